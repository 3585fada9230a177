package storetest

import (
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

func mails(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	v, _ := p.invite(t, store.Invitation{Kind: access.KindClient, DisplayName: "Cleo Client", Email: "cleo@client.example"})
	queue := func(sealed string) store.MailID {
		id := store.NewMailID()
		p.write(t, func(tx *store.Tx) error {
			return tx.QueueMail(ctx, store.Mail{ID: id, InvitationID: v.ID, Address: v.Email, Sealed: sealed})
		})
		return id
	}
	take := func() (taken []store.Mail) {
		p.write(t, func(tx *store.Tx) (err error) { taken, err = tx.TakeMails(ctx, 10, time.Minute); return err })
		return taken
	}
	end := func(m store.Mail, problem string, due store.Instant) {
		p.write(t, func(tx *store.Tx) error { return tx.EndMail(ctx, m, problem, due) })
	}
	last := func() store.Mail {
		all, err := p.MailsOf(ctx, p.ref.Tenant, []store.InvitationID{v.ID})
		if err != nil {
			t.Fatal(err)
		}
		return all[v.ID]
	}
	queue("first")
	second := queue("second")
	taken := take()
	if len(taken) != 1 || taken[0].ID != second || taken[0].Sealed != "second" || taken[0].Attempts != 1 {
		t.Fatalf("took %+v, want the second alone", taken)
	}
	if again := take(); len(again) != 0 {
		t.Errorf("taken twice: %+v", again)
	}
	end(taken[0], "busy", store.At(p.Now()))
	again := take()
	if len(again) != 1 || again[0].Error != "busy" || again[0].Attempts != 2 {
		t.Fatalf("tried again: %+v", again)
	}
	end(taken[0], "", store.Instant{}) // the first attempt comes back late
	if m := last(); !m.EndedAt.IsZero() {
		t.Errorf("ended by an attempt that counts no more: %+v", m)
	}
	end(again[0], "", store.Instant{})
	if m := last(); m.EndedAt.IsZero() || m.Sealed != "" || m.Error != "" {
		t.Errorf("sent: %+v", m)
	}
	queue("third")
	p.write(t, func(tx *store.Tx) error { return tx.WithdrawInvitation(ctx, v.ID, "") })
	if taken := take(); len(taken) != 0 {
		t.Errorf("withdrawn: took %+v", taken)
	}
	if m := last(); m.EndedAt.IsZero() || m.Sealed != "" || m.Error == "" {
		t.Errorf("withdrawn: %+v, want it given up", m)
	}
}
