package store_test

import (
	"slices"
	"testing"

	"gatehouse/access"
	"gatehouse/store"
)

// TestVerifyFindsDamagedSignIn spoils what is kept of signing in, in one way at a
// time, and wants each found.
func TestVerifyFindsDamagedSignIn(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		ctx := t.Context()
		s := open(t, url, store.Options{})
		p := acme(t, s)
		p.write(t, func(tx *store.Tx) error {
			ann, err := tx.CreateUser(ctx, p.ref, person("ann", true))
			if err != nil {
				return err
			}
			if _, _, err := tx.CreateToken(ctx, p.conn, p.Now().AddDate(1, 0, 0)); err != nil {
				return err
			}
			if _, err := tx.Link(ctx, p.ref, "https://idp.example", "s-ann", store.LinkUserName, "ann"); err != nil {
				return err
			}
			if _, _, err := tx.CreateSession(ctx, store.Session{UserID: ann.ID, Method: store.MethodOIDC}); err != nil {
				return err
			}
			_, code, err := tx.CreateInvitation(ctx, store.Invitation{Kind: access.KindContractor, DisplayName: "Tim", Form: store.InvitationCode})
			if err != nil {
				return err
			}
			tim, err := tx.AcceptInvitation(ctx, code)
			if err != nil {
				return err
			}
			if _, err := tx.AddPasskey(ctx, store.Passkey{UserID: tim.UserID, Credential: []byte("c"), PublicKey: []byte("k")}); err != nil {
				return err
			}
			_, glass, err := tx.CreateBreakGlass(ctx)
			if err == nil {
				_, err = tx.TakeBreakGlass(ctx, glass, "")
			}
			return err
		})
		db := raw(t, url)
		tables := []string{"sessions", "identities", "invitations", "passkeys", "connections", "entrances"}
		if isSQLite(url) {
			mustExec(t, db, `PRAGMA foreign_keys = off`)
		}
		for _, table := range tables {
			mustExec(t, db, `CREATE TABLE sound_`+table+` AS SELECT * FROM `+table)
		}
		const stranger = `'01990000-0000-7000-8000-000000000009'`
		for _, c := range []struct{ check, damage, mend string }{
			{"sessions are of people who are here and active", `UPDATE sessions SET user_id = ` + stranger, `UPDATE sessions SET user_id = (SELECT user_id FROM sound_sessions)`},
			{"every session was created in the log", `UPDATE sessions SET id = ` + stranger, `UPDATE sessions SET id = (SELECT id FROM sound_sessions)`},
			{"subjects are linked to users of the connection", `UPDATE identities SET user_id = ` + stranger, `UPDATE identities SET user_id = (SELECT user_id FROM sound_identities)`},
			{"passkeys are of people outside any provider", `UPDATE passkeys SET user_id = (SELECT user_id FROM identities)`, `UPDATE passkeys SET user_id = (SELECT user_id FROM sound_passkeys)`},
			{"whoever accepted an invitation is or was here", `UPDATE invitations SET user_id = ` + stranger, `UPDATE invitations SET user_id = (SELECT user_id FROM sound_invitations)`},
			{"nothing but one connection is local, and no token opens it", `UPDATE connections SET idp = 'local'`, `UPDATE connections SET idp = (SELECT b.idp FROM sound_connections b WHERE b.id = connections.id)`},
			{"an entrance that was used made an owner", `UPDATE entrances SET id = ` + stranger, `UPDATE entrances SET id = (SELECT id FROM sound_entrances)`},
		} {
			clean(t, s)
			mustExec(t, db, c.damage)
			findings, err := s.Verify(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(findings, func(f store.Finding) bool { return f.Check == c.check && f.Detail != "" }) {
				t.Errorf("%s: got %v, want it found by %q", c.damage, findings, c.check)
			}
			mustExec(t, db, c.mend)
		}
		clean(t, s)
	})
}
