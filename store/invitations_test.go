package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// TestInvitationsAreSwept holds which invitations and mails are forgotten, and when,
// and that the log tells of them all.
func TestInvitationsAreSwept(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		ctx, c := t.Context(), newClock()
		s := open(t, url, store.Options{Now: c.Now})
		p, other := acme(t, s), acmeNamed(t, s, "globex")
		db := raw(t, url)
		invite := func(p place, name string) (one store.Invitation, secret string) {
			p.write(t, func(tx *store.Tx) (err error) {
				one, secret, err = tx.CreateInvitation(ctx, store.Invitation{Kind: access.KindGuest, DisplayName: name, Email: name + "@klus.example"})
				if err != nil {
					return err
				}
				return tx.QueueMail(ctx, store.Mail{ID: store.NewMailID(), InvitationID: one.ID, Address: one.Email, Sealed: "x"})
			})
			return one, secret
		}
		accept := func(secret string) (one store.Invitation) {
			p.write(t, func(tx *store.Tx) (err error) { one, err = tx.AcceptInvitation(ctx, secret); return err })
			return one
		}
		left := func() (names []string) {
			return column(t, db, `SELECT display_name FROM invitations ORDER BY display_name`)
		}
		sweep := func(limit, want int) {
			t.Helper()
			p.write(t, func(tx *store.Tx) error {
				n, err := tx.SweepInvitations(ctx, limit)
				if n != want {
					t.Errorf("swept %d, want %d", n, want)
				}
				return err
			})
		}

		invite(p, "expired")
		invite(other, "elsewhere")
		withdrawn, _ := invite(p, "withdrawn")
		p.write(t, func(tx *store.Tx) error { return tx.WithdrawInvitation(ctx, withdrawn.ID, "") })
		_, secret := invite(p, "here")
		accept(secret)
		_, secret = invite(p, "left")
		gone := accept(secret)
		c.advance(store.KeepInvitations - time.Millisecond)
		invite(p, "open")
		p.write(t, func(tx *store.Tx) error {
			taken, err := tx.TakeMails(ctx, 10, time.Hour) // those of what is over end with it
			if err == nil && len(taken) == 1 {
				err = tx.EndMail(ctx, taken[0], "", store.Instant{})
			}
			return err
		})
		local := column(t, db, `SELECT connection_id FROM users WHERE display_name = 'left'`)
		p.write(t, func(tx *store.Tx) error {
			return tx.DeleteUser(ctx, store.ConnectionRef{Tenant: p.ref.Tenant, ID: store.ConnectionID(local[0])}, gone.UserID)
		})
		before := column(t, db, `SELECT id FROM changes ORDER BY id`)

		sweep(10, 0)
		c.advance(time.Millisecond)
		sweep(10, 2)
		if got, want := fmt.Sprint(left()), "[elsewhere expired here open]"; got != want {
			t.Errorf("90 days after they ended: %s are left, want %s", got, want)
		}
		c.advance(7 * 24 * time.Hour)
		sweep(1, 1)
		sweep(10, 1)
		sweep(10, 0)
		if got, want := fmt.Sprint(left()), "[here open]"; got != want {
			t.Errorf("90 days after they expired: %s are left, want %s", got, want)
		}
		c.advance(store.KeepInvitations)
		sweep(10, 3) // the open one by now, and the mails that are left
		if got, want := fmt.Sprint(left()), "[here]"; got != want {
			t.Errorf("at the end %s are left, want %s", got, want)
		}
		if n := column(t, db, `SELECT COUNT(*) FROM mails`); n[0] != "0" {
			t.Errorf("%s mails are left, want none", n[0])
		}
		if after := column(t, db, `SELECT id FROM changes ORDER BY id`); !slices.Equal(after, before) {
			t.Errorf("the log has %d rows, had %d", len(after), len(before))
		}
		if findings, err := s.Verify(ctx); err != nil || len(findings) != 0 {
			t.Errorf("verify: %v, %v", findings, err)
		}
	})
}
