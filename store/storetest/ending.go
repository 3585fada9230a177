package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

func renamedConnections(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := newPlace(t, s, "acme", "entra")
	second := newPlace(t, s, "acme", "okta")
	other := newPlace(t, s, "globex", "entra")
	rename := func(in place, id store.ConnectionID, name string) error {
		return in.Write(ctx, in.actor, func(tx *store.Tx) error {
			_, err := tx.RenameConnection(ctx, id, name)
			return err
		})
	}
	if err := rename(p, p.ref.ID, "Head office"); err != nil {
		t.Fatal(err)
	}
	if c, err := s.ConnectionNamed(ctx, p.ref.Tenant, "HEAD OFFICE"); err != nil || c.ID != p.ref.ID || c.Name != "Head office" {
		t.Errorf("got %+v, %v, want it by its new name", c, err)
	}
	wantErr(t, "a name in use", rename(second, second.ref.ID, "head office"), store.ErrTaken)
	wantErr(t, "another tenant's", rename(other, p.ref.ID, "mine"), store.ErrNotFound)
	wantErr(t, "no id", rename(p, "x", "mine"), store.ErrNotFound)
	before := len(p.log(t))
	if err := rename(p, p.ref.ID, "Head office"); err != nil {
		t.Fatal(err)
	}
	if after := len(p.log(t)); after != before {
		t.Errorf("the same name again left %d changes, want none", after-before)
	}
	clean(t, s)
}

// endedConnections holds that whoever was connected can do nothing more, and what
// becomes of the people.
func endedConnections(t *testing.T, s *store.Store) {
	ctx := t.Context()
	other := newPlace(t, s, "globex", "entra")
	for _, test := range []struct {
		people       store.LeftBehind
		users, live  int
		stillListed  bool
		groupsRemain bool
	}{
		{store.KeepPeople, 2, 2, true, true},
		{store.SuspendPeople, 2, 0, true, true},
		{store.RemovePeople, 0, 0, false, false},
	} {
		p := newPlace(t, s, "acme", "entra "+string(test.people))
		ids := p.addPeople(t, "ann", "bob")
		group := p.addGroup(t, team("crew", nil), ids...)
		_, token := p.token(t)
		var link string
		p.write(t, func(tx *store.Tx) (err error) {
			_, link, err = tx.CreateSetupLink(ctx, p.ref.ID)
			return err
		})
		end := func(in place, people store.LeftBehind) error {
			return in.Write(ctx, in.actor, func(tx *store.Tx) error {
				_, err := tx.EndConnection(ctx, p.ref.ID, people)
				return err
			})
		}
		wantErr(t, "ended by another tenant", end(other, test.people), store.ErrNotFound)
		wantErr(t, "ended some other way", end(p, "x"), store.ErrInvalid)
		if _, err := s.Authenticate(ctx, token); err != nil {
			t.Fatalf("after what was refused: %v", err)
		}
		if err := end(p, test.people); err != nil {
			t.Fatal(err)
		}
		_, err := s.Authenticate(ctx, token)
		wantErr(t, "its token", err, store.ErrNotFound)
		_, _, err = s.SetupLinkBySecret(ctx, link)
		wantErr(t, "its link", err, store.ErrNotFound)
		for what, f := range map[string]func(tx *store.Tx) error{
			"a token": func(tx *store.Tx) error { _, _, err := tx.CreateToken(ctx, p.conn, time.Time{}); return err },
			"a link":  func(tx *store.Tx) error { _, _, err := tx.CreateSetupLink(ctx, p.ref.ID); return err },
			"a name":  func(tx *store.Tx) error { _, err := tx.RenameConnection(ctx, p.ref.ID, "x"); return err },
			"the end": func(tx *store.Tx) error { _, err := tx.EndConnection(ctx, p.ref.ID, test.people); return err },
			"a sign-in": func(tx *store.Tx) error {
				_, err := tx.SetProvider(ctx, store.Provider{ConnectionID: p.ref.ID})
				return err
			},
		} {
			p.refused(t, what+" of what has ended", store.ErrInvalid, f)
		}
		p.write(t, func(tx *store.Tx) error { // the name is free
			_, err := tx.CreateConnection(ctx, p.conn.Name, store.IdPEntra)
			return err
		})
		people, err := s.PeopleOf(ctx, p.ref, 10)
		live := 0
		for _, one := range people {
			if one.LoginAllowed {
				live++
			}
		}
		if err != nil || len(people) != test.users || live != test.live {
			t.Errorf("%s: got %+v, %v, want %d people, %d of whom may sign in", test.people, people, err, test.users, test.live)
		}
		if _, err := s.Group(ctx, p.ref, group.ID); (err == nil) != test.groupsRemain {
			t.Errorf("%s: its group: %v", test.people, err)
		}
		all, err := s.Connections(ctx, p.ref.Tenant)
		listed := slices.ContainsFunc(all, func(c store.Connection) bool { return c.ID == p.ref.ID && !c.EndedAt.IsZero() })
		if err != nil || listed != test.stillListed {
			t.Errorf("%s: listed %v, %v, want %v: %+v", test.people, listed, err, test.stillListed, all)
		}
	}
	clean(t, s)
}

func setupLinks(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	other := newPlace(t, s, "globex", "entra")
	var link store.SetupLink
	var secret string
	create := func(tx *store.Tx) (err error) {
		link, secret, err = tx.CreateSetupLink(ctx, p.ref.ID)
		return err
	}
	for range store.MaxSetupLinks {
		p.write(t, create)
	}
	p.refused(t, "one more", store.ErrLimit, func(tx *store.Tx) error { _, _, err := tx.CreateSetupLink(ctx, p.ref.ID); return err })
	found, c, err := s.SetupLinkBySecret(ctx, secret)
	if err != nil || found != link || c.ID != p.ref.ID || !strings.HasPrefix(secret, store.SetupLinkPrefix) {
		t.Errorf("got %+v of %+v, %v, want %+v", found, c, err, link)
	}
	for _, wrong := range []string{"", secret + "x", link.ID, "\xff"} {
		_, _, err := s.SetupLinkBySecret(ctx, wrong)
		wantErr(t, "secret "+wrong, err, store.ErrNotFound)
	}
	revoke := func(in place, c store.ConnectionID, id string) error {
		return in.Write(ctx, in.actor, func(tx *store.Tx) error { return tx.RevokeSetupLink(ctx, c, id) })
	}
	wantErr(t, "another tenant's", revoke(other, p.ref.ID, link.ID), store.ErrNotFound)
	wantErr(t, "of another connection", revoke(other, other.ref.ID, link.ID), store.ErrNotFound)
	wantErr(t, "no id", revoke(p, p.ref.ID, "x"), store.ErrNotFound)
	if err := revoke(p, p.ref.ID, link.ID); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "a second time", revoke(p, p.ref.ID, link.ID), store.ErrNotFound)
	_, _, err = s.SetupLinkBySecret(ctx, secret)
	wantErr(t, "the revoked one", err, store.ErrNotFound)
	if links, err := s.SetupLinks(ctx, p.ref); err != nil || len(links) != store.MaxSetupLinks-1 {
		t.Errorf("got %v, %v, want the others", links, err)
	}
	clean(t, s)
}

// massRemovals holds what alarms, and that it stops when people come back.
func massRemovals(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := newPlace(t, s, "acme", "entra")
	other := newPlace(t, s, "globex", "entra")
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("p%02d", i))
	}
	ids := p.addPeople(t, names...)
	group := p.addGroup(t, team("crew", nil), ids[:12]...)
	scim := p
	scim.actor.Kind = store.ActorSCIM
	activate := func(active bool, ids ...store.UserID) {
		scim.write(t, func(tx *store.Tx) error {
			for _, id := range ids {
				_, err := tx.UpdateUser(ctx, p.ref, id, func(u store.User) (store.User, error) {
					return person(u.UserName, map[string]any{"active": active}), nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	look := func(in place, since time.Time) []store.MassRemoval {
		t.Helper()
		found, err := s.MassRemovals(ctx, in.ref.Tenant, []access.GroupID{access.GroupID(group.ID)}, since)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	day := s.Now().Add(-24 * time.Hour)
	activate(false, ids[:10]...)
	if found := look(p, day); len(found) != 0 {
		t.Errorf("ten people gone: got %+v, want no alarm", found)
	}
	activate(false, ids[10])
	found := look(p, day)
	if len(found) != 1 || found[0].Connection != p.ref.ID || len(found[0].People) != 11 || found[0].Of != 30 || found[0].People[0].Name != "p00" {
		t.Fatalf("eleven of thirty gone: got %+v, want the alarm", found)
	}
	if found := look(p, s.Now().Add(time.Hour)); len(found) != 0 {
		t.Errorf("since later: got %+v", found)
	}
	if found := look(other, day); len(found) != 0 {
		t.Errorf("another tenant: got %+v", found)
	}
	activate(true, ids[:11]...)
	if found := look(p, day); len(found) != 0 {
		t.Errorf("all are back: got %+v", found)
	}

	scim.write(t, func(tx *store.Tx) error {
		var members []store.MemberID
		for _, id := range ids[:6] {
			members = append(members, store.MemberID(id))
		}
		_, _, err := tx.UpdateGroup(ctx, p.ref, group.ID, func(g store.Group) (store.Group, store.MemberDelta, error) {
			return g, store.MemberDelta{Remove: members}, nil
		})
		return err
	})
	if found := look(p, day); len(found) != 0 {
		t.Errorf("half a group: got %+v, want no alarm", found)
	}
	scim.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, ids[6]) })
	found = look(p, day)
	if len(found) != 1 || found[0].Group != access.GroupID(group.ID) || len(found[0].People) != 7 || found[0].Of != 12 ||
		!slices.ContainsFunc(found[0].People, func(g store.Gone) bool { return g.Deleted && g.Name == "p06" }) {
		t.Errorf("seven of twelve members: got %+v, want the alarm, and p06 by name", found)
	}
	clean(t, s)
}

func requestsByHour(t *testing.T, s *store.Store) {
	p := newPlace(t, s, t.Name(), "entra")
	const hour = int(time.Hour / time.Millisecond)
	failed := func(q *store.Request) { q.Status, q.Count, q.Cause = 409, 3, "conflict" }
	p.record(t, p.exchange(0, nil), p.exchange(1, failed), p.exchange(2*hour, nil))
	got, err := s.RequestsByHour(t.Context(), p.ref, time.Time{})
	want := []store.HourCount{{Hour: store.At(dawn), Count: 4, Failed: 3}, {Hour: store.At(dawn.Add(2 * time.Hour)), Count: 1}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := s.RequestsByHour(t.Context(), p.ref, dawn.Add(time.Hour)); err != nil || len(got) != 1 {
		t.Errorf("since an hour later: got %v, %v, want one", got, err)
	}
	list, err := s.Requests(t.Context(), p.ref, store.RequestQuery{Limit: 2})
	if err != nil || len(list) != 2 {
		t.Fatalf("got %v, %v", list, err)
	}
	if got := p.requests(t, store.RequestQuery{Before: list[1].ID}); !slices.Equal(got, []string{"/Users/0"}) {
		t.Errorf("behind the second: got %v", got)
	}
	if got := p.requests(t, store.RequestQuery{Cause: "conflict"}); !slices.Equal(got, []string{"/Users/1"}) {
		t.Errorf("by cause: got %v", got)
	}
	for _, q := range []store.RequestQuery{{Before: "x"}, {Cause: "a\x00"}, {Cause: "none"}} {
		if got := p.requests(t, q); len(got) != 0 {
			t.Errorf("%+v: got %v, want none", q, got)
		}
	}
}
