package store_test

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"runtime"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// TestSessionsEnd holds when a session is over: when it wasn't used for a while,
// after its whole life, and when the person's account expires. The settings say how
// long that is.
func TestSessionsEnd(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		ctx, c := t.Context(), newClock()
		p := acme(t, open(t, url, store.Options{Now: c.Now, SessionIdle: 10 * time.Minute, SessionLife: time.Hour}))
		var ann store.User
		p.write(t, func(tx *store.Tx) (err error) { ann, err = tx.CreateUser(ctx, p.ref, person("ann", true)); return err })
		signIn := func(until time.Time) (v store.Session, secret string) {
			p.write(t, func(tx *store.Tx) (err error) {
				v, secret, err = tx.CreateSession(ctx, store.Session{UserID: ann.ID, Method: store.MethodPasskey, ExpiresAt: store.At(until)})
				return err
			})
			return v, secret
		}
		check := func(why, secret string, want bool) {
			t.Helper()
			_, err := p.Session(ctx, secret)
			if want != (err == nil) || err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: got %v, want it to work: %v", why, err, want)
			}
			if list, err := p.Sessions(ctx, p.ref.Tenant, ann.ID); err != nil || (len(list) == 1) != want {
				t.Errorf("%s: listed %v, %v", why, list, err)
			}
		}
		sweep := func(want int) {
			t.Helper()
			p.write(t, func(tx *store.Tx) error {
				n, err := tx.SweepSignIn(ctx, 10)
				if n != want {
					t.Errorf("swept %d, want %d", n, want)
				}
				return err
			})
		}

		_, secret := signIn(time.Time{})
		c.advance(10*time.Minute - time.Millisecond)
		check("almost idle", secret, true)
		c.advance(time.Millisecond)
		check("idle", secret, false)
		sweep(0)

		v, secret := signIn(time.Time{})
		for range 5 {
			c.advance(9 * time.Minute)
			v.SeenAt = store.At(c.Now())
			p.write(t, func(tx *store.Tx) error {
				return tx.TouchSessions(ctx, map[store.SessionID]store.Session{v.ID: v})
			})
		}
		check("used all the time", secret, true)
		c.advance(9 * time.Minute)
		v.SeenAt = store.At(c.Now())
		p.write(t, func(tx *store.Tx) error {
			return tx.TouchSessions(ctx, map[store.SessionID]store.Session{v.ID: v})
		})
		c.advance(6*time.Minute - time.Millisecond)
		check("almost over", secret, true)
		c.advance(time.Millisecond)
		check("over", secret, false)
		sweep(0) // a form that is sent with it is kept for her: LapsedSession
		c.advance(time.Hour)
		sweep(2)

		if v, _ := signIn(c.Now().Add(24 * time.Hour)); v.ExpiresAt != store.At(c.Now().Add(time.Hour)) {
			t.Errorf("asked for a day: until %v, want an hour", v.ExpiresAt)
		}
		p.write(t, func(tx *store.Tx) error { _, err := tx.EndSessionsOf(ctx, ann.ID, ""); return err })
		_, secret = signIn(c.Now().Add(5 * time.Minute))
		c.advance(5 * time.Minute)
		check("asked for five minutes", secret, false)

		p.write(t, func(tx *store.Tx) error {
			_, err := tx.ChangePerson(ctx, ann.ID, func(q store.Person) store.Person {
				q.ExpiresAt = c.Now().Add(time.Minute)
				return q
			})
			return err
		})
		p.write(t, func(tx *store.Tx) error { _, err := tx.EndSessionsOf(ctx, ann.ID, ""); return err })
		_, secret = signIn(time.Time{})
		check("expires in a minute", secret, true)
		c.advance(time.Minute)
		check("expired", secret, false)
		p.write(t, func(tx *store.Tx) error {
			_, err := tx.ChangePerson(ctx, ann.ID, func(q store.Person) store.Person { q.ExpiresAt = time.Time{}; return q })
			return err
		})
		check("may stay for longer", secret, false)
		c.advance(48 * time.Hour)
		p.write(t, func(tx *store.Tx) error { _, err := tx.SweepSignIn(ctx, 10); return err })
		if n := column(t, raw(t, url), `SELECT (SELECT COUNT(*) FROM sessions) + (SELECT COUNT(*) FROM cutoffs)`); n[0] != "0" {
			t.Errorf("%s rows are left after two days, want none", n[0])
		}
	})
}

// TestWaysInExpire holds when invitations, sign-ins, challenges and entrances are
// over, with nobody writing anything.
func TestWaysInExpire(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		ctx, c := t.Context(), newClock()
		p := acme(t, open(t, url, store.Options{Now: c.Now}))
		var sue store.User
		p.write(t, func(tx *store.Tx) (err error) { sue, err = tx.CreateUser(ctx, p.ref, person("sue", true)); return err })
		p.write(t, func(tx *store.Tx) error {
			_, err := tx.ChangePerson(ctx, sue.ID, func(q store.Person) store.Person { q.ExpiresAt = c.Now().AddDate(0, 0, 2); return q })
			return err
		})
		gone := func(why string, f func(*store.Tx) error) {
			t.Helper()
			if err := p.Write(ctx, p.actor, f); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%s: got %v, want %v", why, err, store.ErrNotFound)
			}
		}
		var sponsored, alone, glass, setup string
		p.write(t, func(tx *store.Tx) (err error) {
			invitation := store.Invitation{Kind: access.KindGuest, DisplayName: "Gus", Form: store.InvitationCode}
			if _, alone, err = tx.CreateInvitation(ctx, invitation); err != nil {
				return err
			}
			invitation.Sponsor = sue.ID
			if _, sponsored, err = tx.CreateInvitation(ctx, invitation); err != nil {
				return err
			}
			if _, glass, err = tx.CreateBreakGlass(ctx); err != nil {
				return err
			}
			if _, setup, err = tx.CreateSetup(ctx); err != nil {
				return err
			}
			return tx.BeginCeremony(ctx, store.Ceremony{Key: make([]byte, 32)})
		})
		c.advance(store.MaxCeremony)
		gone("a challenge", func(tx *store.Tx) error { _, err := tx.TakeCeremony(ctx, make([]byte, 32)); return err })
		c.advance(store.BreakGlassOpen)
		gone("break-glass", func(tx *store.Tx) error { _, err := tx.TakeBreakGlass(ctx, glass, ""); return err })
		c.advance(store.SetupLife)
		gone("set-up", func(tx *store.Tx) error { _, err := tx.TakeSetup(ctx, setup, "Olga", "", ""); return err })
		c.advance(24 * time.Hour)
		gone("an expired sponsor's invitation", func(tx *store.Tx) error { _, err := tx.AcceptInvitation(ctx, sponsored); return err })
		c.advance(5 * 24 * time.Hour)
		gone("an expired invitation", func(tx *store.Tx) error { _, err := tx.AcceptInvitation(ctx, alone); return err })
		if v, err := p.InvitationBySecret(ctx, alone); err != nil || v.State(c.Now()) != store.InvitationExpired {
			t.Errorf("an expired invitation: got %+v, %v", v, err)
		}
		found, err := p.Invitations(ctx, p.ref.Tenant, store.InvitationQuery{State: store.InvitationExpired})
		if err != nil || len(found) != 2 {
			t.Errorf("expired: got %+v, %v; want both", found, err)
		}
		if n := column(t, raw(t, url), `SELECT COUNT(*) FROM users`); n[0] != "1" {
			t.Errorf("%s users, want only the sponsor", n[0])
		}
	})
}

// TestClocksOfReplicas signs somebody in on a replica whose clock is wrong, while
// another one takes her away and lets her in again: what was begun before comes to
// nothing, what is begun after goes on. On SQLite there is one process, and one clock.
func TestClocksOfReplicas(t *testing.T) {
	t.Parallel()
	ctx, url := t.Context(), postgresURL(t)
	p := acme(t, open(t, url, store.Options{}))
	var ann store.User
	p.write(t, func(tx *store.Tx) (err error) {
		if ann, err = tx.CreateUser(ctx, p.ref, person("ann", true)); err != nil {
			return err
		}
		_, err = tx.SetProvider(ctx, store.Provider{ConnectionID: p.ref.ID, Issuer: "https://idp.example", ClientID: "gatehouse",
			Sealed: "sealed:x", Enabled: true, ProviderSettings: store.ProviderSettings{Auth: "client_secret_basic", Claim: "sub", Attribute: store.LinkExternalID}})
		return err
	})
	for name, wrong := range map[string]time.Duration{"ahead": time.Minute, "behind": -time.Minute} {
		t.Run(name, func(t *testing.T) {
			other := p
			other.Store = open(t, url, store.Options{})
			other.SetClock(func() time.Time { return time.Now().Add(wrong) })
			begin := func() (v store.SignIn) {
				state := sha256.Sum256([]byte(rand.Text()))
				other.write(t, func(tx *store.Tx) (err error) {
					v, err = tx.BeginSignIn(ctx, store.SignIn{Connection: p.ref.ID, State: state[:], Browser: state[:], Sealed: "sealed:x"})
					return err
				})
				return v
			}
			finish := func(v store.SignIn) error {
				return p.Write(ctx, p.actor, func(tx *store.Tx) error {
					_, _, err := tx.CreateSession(ctx, store.Session{UserID: ann.ID, Method: store.MethodOIDC, Connection: p.ref.ID,
						Issuer: "https://idp.example", Subject: "ann", BegunAt: v.BegunAt})
					return err
				})
			}
			before := begin()
			for _, allowed := range []bool{false, true} {
				p.write(t, func(tx *store.Tx) error {
					_, err := tx.ChangePerson(ctx, ann.ID, func(q store.Person) store.Person { q.LoginAllowed = allowed; return q })
					return err
				})
			}
			if err := finish(before); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("begun before she was taken away: got %v, want ErrNotFound", err)
			}
			for back := time.Now(); time.Since(back) < 2*time.Millisecond; { // instants are of milliseconds
				runtime.Gosched()
			}
			if err := finish(begin()); err != nil {
				t.Errorf("begun after she was let in again: %v", err)
			}
		})
	}
}
