package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/store"
)

func lapsedSessions(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ids := p.addPeople(t, "ann", "bob", "eva")
	lapsed := func(user store.UserID) (v store.Session, secret string) {
		t.Helper()
		p.write(t, func(tx *store.Tx) (err error) {
			v, secret, err = tx.CreateSession(t.Context(), store.Session{UserID: user, Method: store.MethodOIDC, ExpiresAt: store.At(s.Now().Add(-time.Minute))})
			return err
		})
		return v, secret
	}
	_, anns := lapsed(ids[0])
	p.out(t, "a session that is over", anns)
	if tenant, user, err := p.LapsedSession(t.Context(), anns); err != nil || tenant != p.ref.Tenant || user != ids[0] {
		t.Errorf("whose it was: got %s, %s, %v; want Ann of %s", tenant, user, err, p.ref.Tenant)
	}
	p.write(t, func(tx *store.Tx) error {
		_, err := tx.SweepSignIn(t.Context(), 100)
		return err
	})
	if _, _, err := p.LapsedSession(t.Context(), anns); err != nil {
		t.Errorf("swept a minute after: got %v, want it to be known for an hour", err)
	}
	_, live := p.signIn(t, ids[0])
	ended, bobs := lapsed(ids[1])
	p.write(t, func(tx *store.Tx) error { return tx.EndSession(t.Context(), ended.ID) })
	_, evas := lapsed(ids[2])
	if err := p.setActive(t, ids[2], false); err != nil {
		t.Fatal(err)
	}
	for why, secret := range map[string]string{"one that works": live, "one that was ended": bobs, "of somebody who was taken away": evas, "none": "", "no text": "\xff\x00"} {
		_, user, err := p.LapsedSession(t.Context(), secret)
		if wantErr(t, why, err, store.ErrNotFound); user != "" {
			t.Errorf("%s: got user %s", why, user)
		}
	}
}

func views(t *testing.T, s *store.Store) {
	p, other := acme(t, s), newPlace(t, s, "globex", "okta")
	ids := p.addPeople(t, "ann", "bob")
	stranger := other.addPeople(t, "zoe")[0]
	save := func(v store.View) store.View {
		t.Helper()
		p.write(t, func(tx *store.Tx) (err error) {
			v, err = tx.SaveView(t.Context(), v)
			return err
		})
		return v
	}
	own := save(store.View{UserID: ids[0], Name: "  Left in Zeeland ", Path: "/people?state=inactive"})
	shared := save(store.View{UserID: ids[1], Name: "É", Path: "/groups?state=unmapped", Shared: true})
	save(store.View{UserID: ids[1], Name: "Bob's", Path: "/audit"})
	want := func(why string, tenant store.TenantID, user store.UserID, views ...store.View) {
		t.Helper()
		got, err := s.Views(t.Context(), tenant, user)
		if err != nil || !slices.Equal(got, views) {
			t.Errorf("%s: got %+v, %v; want %+v", why, got, err, views)
		}
	}
	if own.Name != "Left in Zeeland" {
		t.Errorf("name %q, want it without the spaces", own.Name)
	}
	want("hers and what is shared", p.ref.Tenant, ids[0], own, shared)
	want("another tenant's", other.ref.Tenant, stranger)
	want("her id in another tenant", other.ref.Tenant, ids[0])
	want("no id", p.ref.Tenant, "\x00")

	for why, c := range map[string]struct {
		want error
		f    func(*store.Tx) error
	}{
		"no name": {store.ErrInvalid, func(tx *store.Tx) error {
			_, err := tx.SaveView(t.Context(), store.View{UserID: ids[0], Name: " ", Path: "/people"})
			return err
		}},
		"no address": {store.ErrInvalid, func(tx *store.Tx) error {
			_, err := tx.SaveView(t.Context(), store.View{UserID: ids[0], Name: "x", Path: "people"})
			return err
		}},
		"NUL": {store.ErrInvalid, func(tx *store.Tx) error {
			_, err := tx.SaveView(t.Context(), store.View{UserID: ids[0], Name: "a\x00b", Path: "/people"})
			return err
		}},
		"a long name": {store.ErrTooLong, func(tx *store.Tx) error {
			return tx.ChangeView(t.Context(), store.View{ID: own.ID, UserID: ids[0], Name: strings.Repeat("x", 101)})
		}},
		"a long address": {store.ErrTooLong, func(tx *store.Tx) error {
			_, err := tx.SaveView(t.Context(), store.View{UserID: ids[0], Name: "x", Path: "/" + strings.Repeat("x", 2000)})
			return err
		}},
		"nobody's": {store.ErrNotFound, func(tx *store.Tx) error {
			_, err := tx.SaveView(t.Context(), store.View{UserID: stranger, Name: "x", Path: "/people"})
			return err
		}},
		"renaming Bob's": {store.ErrNotFound, func(tx *store.Tx) error {
			return tx.ChangeView(t.Context(), store.View{ID: shared.ID, UserID: ids[0], Name: "mine"})
		}},
		"removing Bob's":    {store.ErrNotFound, func(tx *store.Tx) error { return tx.RemoveView(t.Context(), store.View{ID: shared.ID, UserID: ids[0]}) }},
		"one not shared":    {store.ErrNotFound, func(tx *store.Tx) error { return tx.RemoveView(t.Context(), store.View{ID: own.ID}) }},
		"an id that's none": {store.ErrNotFound, func(tx *store.Tx) error { return tx.RemoveView(t.Context(), store.View{ID: "x' OR 1=1"}) }},
	} {
		p.refused(t, why, c.want, c.f)
	}
	other.refused(t, "another tenant's", store.ErrNotFound, func(tx *store.Tx) error { return tx.RemoveView(t.Context(), store.View{ID: shared.ID}) })

	own.Name, own.Shared = "Zeeland", true
	p.write(t, func(tx *store.Tx) error { return tx.ChangeView(t.Context(), own) })
	want("changed", p.ref.Tenant, ids[0], own, shared)
	p.write(t, func(tx *store.Tx) error { return tx.RemoveView(t.Context(), store.View{ID: shared.ID}) })
	want("a shared one is removed by another", p.ref.Tenant, ids[0], own)

	for n := 1; n < store.MaxViews; n++ {
		save(store.View{UserID: ids[0], Name: fmt.Sprint(n), Path: "/people"})
	}
	p.refused(t, "one too many", store.ErrLimit, func(tx *store.Tx) error {
		_, err := tx.SaveView(t.Context(), store.View{UserID: ids[0], Name: "x", Path: "/people"})
		return err
	})
	p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(t.Context(), p.ref, ids[0]) })
	want("of somebody deleted", p.ref.Tenant, ids[0])
	clean(t, s)
}

func drafts(t *testing.T, s *store.Store) {
	p, other := acme(t, s), newPlace(t, s, "globex", "okta")
	ids := p.addPeople(t, "ann", "bob")
	keep := func(d store.Draft) store.Draft {
		t.Helper()
		p.write(t, func(tx *store.Tx) (err error) {
			d, err = tx.KeepDraft(t.Context(), d)
			return err
		})
		return d
	}
	text := "s.site=é&" + strings.Repeat("x", 20_000)
	d := keep(store.Draft{UserID: ids[0], Doc: text})
	if life := d.ExpiresAt.Sub(s.Now()); life > store.MaxDraftLife || life < store.MaxDraftLife-time.Minute {
		t.Errorf("kept for %v, want %v", life, store.MaxDraftLife)
	}
	if got, err := s.Draft(t.Context(), p.ref.Tenant, ids[0], d.ID); err != nil || got != d {
		t.Errorf("got %.50v…, %v", got, err)
	}
	over := keep(store.Draft{UserID: ids[0], Doc: "over", ExpiresAt: store.At(s.Now().Add(-time.Second))})
	for why, c := range map[string]struct {
		tenant store.TenantID
		user   store.UserID
		id     store.DraftID
	}{
		"another person's":      {p.ref.Tenant, ids[1], d.ID},
		"another tenant's":      {other.ref.Tenant, ids[0], d.ID},
		"one that is over":      {p.ref.Tenant, ids[0], over.ID},
		"none":                  {p.ref.Tenant, ids[0], ""},
		"an id that can't be":   {p.ref.Tenant, ids[0], "x\x00"},
		"somebody who can't be": {p.ref.Tenant, "", d.ID},
	} {
		got, err := s.Draft(t.Context(), c.tenant, c.user, c.id)
		if wantErr(t, why, err, store.ErrNotFound); got.Doc != "" {
			t.Errorf("%s: got %.50q", why, got.Doc)
		}
	}
	p.refused(t, "too long", store.ErrTooLong, func(tx *store.Tx) error {
		_, err := tx.KeepDraft(t.Context(), store.Draft{UserID: ids[0], Doc: strings.Repeat("x", store.MaxDraft+1)})
		return err
	})
	p.refused(t, "no text", store.ErrInvalid, func(tx *store.Tx) error {
		_, err := tx.KeepDraft(t.Context(), store.Draft{UserID: ids[0], Doc: "\xff"})
		return err
	})
	other.refused(t, "for somebody of another tenant", store.ErrNotFound, func(tx *store.Tx) error {
		_, err := tx.KeepDraft(t.Context(), store.Draft{UserID: ids[0], Doc: "x"})
		return err
	})

	var swept int
	p.write(t, func(tx *store.Tx) (err error) { swept, err = tx.SweepSignIn(t.Context(), 100); return err })
	if swept != 1 {
		t.Errorf("swept %d, want the one that is over", swept)
	}
	bobs := keep(store.Draft{UserID: ids[1], Doc: "Bob's"})
	for range store.MaxDrafts {
		keep(store.Draft{UserID: ids[0], Doc: "x"})
	}
	if _, err := s.Draft(t.Context(), p.ref.Tenant, ids[0], d.ID); err == nil {
		t.Errorf("of %d drafts the oldest is still there", store.MaxDrafts+1)
	}
	if _, err := s.Draft(t.Context(), p.ref.Tenant, ids[1], bobs.ID); err != nil {
		t.Errorf("another person's draft made room: %v", err)
	}
	p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(t.Context(), p.ref, ids[1]) })
	if _, err := s.Draft(t.Context(), p.ref.Tenant, ids[1], bobs.ID); err == nil {
		t.Error("the draft of somebody deleted is still there")
	}
}
