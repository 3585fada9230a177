package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"

	"github.com/google/go-cmp/cmp"
)

// tick waits until the clock of the store shows a later instant, and gives it.
func (p place) tick(t *testing.T) time.Time {
	t.Helper()
	from := store.At(p.Now()).Time
	for !store.At(p.Now()).After(from) {
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
	return store.At(p.Now()).Time
}

func records(t *testing.T, s *store.Store) {
	p := acme(t, s)
	other := newPlace(t, s, "other", "okta")
	ctx := t.Context()
	ids := p.addPeople(t, "ann", "bob")
	crew := p.addGroup(t, team("crew", nil), ids[0])
	before := p.tick(t)
	p.tick(t)
	p.changePerson(t, ids[0], store.Person{LoginAllowed: false, Kind: access.KindGuest, Sponsor: ids[1]})
	p.write(t, func(tx *store.Tx) error {
		_, err := tx.UpdateUser(ctx, p.ref, ids[0], func(u store.User) (store.User, error) {
			u.DisplayName, u.Doc = "Ann Lee", []byte(`{"userName":"ann","displayName":"Ann Lee"}`)
			u.Search = []byte(`{"username":"ann"}`)
			return u, nil
		})
		return err
	})

	now, err := s.PersonRecord(ctx, p.ref.Tenant, ids[0])
	if err != nil || now.DisplayName != "Ann Lee" || now.Said.LoginAllowed || now.Said.Sponsor != ids[1] || now.Connection != p.ref.ID || !now.DeletedAt.IsZero() {
		t.Errorf("now: got %+v, %v, want Ann Lee as a blocked guest of bob", now, err)
	}
	was, err := s.PersonRecordAt(ctx, p.ref.Tenant, ids[0], before)
	if err != nil || was.DisplayName == "Ann Lee" || !was.Said.LoginAllowed || was.Said.Kind != access.KindEmployee {
		t.Errorf("before: got %+v, %v, want the employee that she was", was, err)
	}
	if _, err := s.PersonRecordAt(ctx, p.ref.Tenant, ids[0], before.AddDate(-1, 0, 0)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a year ago: got %v, want ErrNotFound", err)
	}
	group, err := s.GroupRecord(ctx, p.ref.Tenant, crew.ID)
	if err != nil || group.DisplayName != "crew" || !group.DeletedAt.IsZero() {
		t.Errorf("group: got %+v, %v", group, err)
	}
	last := p.tick(t)
	p.tick(t)
	p.write(t, func(tx *store.Tx) error {
		if err := tx.DeleteUser(ctx, p.ref, ids[0]); err != nil {
			return err
		}
		return tx.DeleteGroup(ctx, p.ref, crew.ID)
	})
	if gone, err := s.PersonRecord(ctx, p.ref.Tenant, ids[0]); err != nil || gone.DeletedAt.IsZero() || gone.DisplayName != "Ann Lee" || gone.Said.LoginAllowed {
		t.Errorf("deleted: got %+v, %v, want Ann Lee as she was, and when she was deleted", gone, err)
	}
	if gone, err := s.GroupRecord(ctx, p.ref.Tenant, crew.ID); err != nil || gone.DeletedAt.IsZero() || gone.DisplayName != "crew" {
		t.Errorf("deleted group: got %+v, %v", gone, err)
	}
	if was, err := s.PersonRecordAt(ctx, p.ref.Tenant, ids[0], last); err != nil || was.DisplayName != "Ann Lee" || !was.DeletedAt.IsZero() {
		t.Errorf("the day before she was deleted: got %+v, %v", was, err)
	}
	if was, err := s.GroupRecordAt(ctx, p.ref.Tenant, crew.ID, last); err != nil || was.DisplayName != "crew" {
		t.Errorf("the day before it was deleted: got %+v, %v", was, err)
	}
	for _, at := range []time.Time{last, p.Now()} {
		facts, err := s.FactsOf(ctx, p.ref.Tenant, ids[0], at)
		if at.Equal(last) && (err != nil || len(facts.People) != 1 || facts.Groups[access.GroupID(crew.ID)].Name != "crew") {
			t.Errorf("facts then: got %+v, %v, want Ann and the crew", facts, err)
		}
		if !at.Equal(last) && !errors.Is(err, store.ErrNotFound) {
			t.Errorf("facts of somebody who is gone: got %v, want ErrNotFound", err)
		}
	}
	for _, id := range []string{"", "x", string(ids[0])} {
		if _, err := s.PersonRecord(ctx, other.ref.Tenant, store.UserID(id)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("user %q of another tenant: got %v, want ErrNotFound", id, err)
		}
		if _, err := s.GroupRecord(ctx, other.ref.Tenant, store.GroupID(id)); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("group %q of another tenant: got %v, want ErrNotFound", id, err)
		}
	}
	if _, err := s.GroupRecord(ctx, other.ref.Tenant, crew.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a group of another tenant: got %v, want ErrNotFound", err)
	}
}

func membershipRecords(t *testing.T, s *store.Store) {
	p := acme(t, s)
	other := newPlace(t, s, "other", "okta")
	ctx := t.Context()
	ids := p.addPeople(t, "ann", "bob", "cat")
	crew := p.addGroup(t, team("crew", nil), ids[0], ids[1])
	all := p.addGroup(t, team("all", nil), store.UserID(crew.ID), ids[2])
	both := p.tick(t)
	p.tick(t)
	p.write(t, func(tx *store.Tx) error {
		_, _, err := tx.UpdateGroup(ctx, p.ref, crew.ID, func(g store.Group) (store.Group, store.MemberDelta, error) {
			return g, store.MemberDelta{Remove: []store.MemberID{store.MemberID(ids[0])}}, nil
		})
		return err
	})

	left, err := s.Memberships(ctx, p.ref.Tenant, ids[0], 10)
	if err != nil || len(left) != 1 || left[0].Name != "crew" || left[0].Until.IsZero() || left[0].EndChange == "" || left[0].Connection != p.ref.ID {
		t.Errorf("ann: got %+v, %v, want that she left the crew", left, err)
	}
	stays, err := s.Memberships(ctx, p.ref.Tenant, ids[1], 10)
	if err != nil || len(stays) != 1 || !stays[0].Until.IsZero() || stays[0].EndChange != "" {
		t.Errorf("bob: got %+v, %v, want that he is in the crew", stays, err)
	}
	since, err := s.MembersSince(ctx, p.ref.Tenant, crew.ID, ids)
	if err != nil || len(since) != 1 || since[ids[1]] != stays[0].Since {
		t.Errorf("since: got %v, %v, want bob alone", since, err)
	}
	then := func(at time.Time, after store.UserID, limit int) (names []string) {
		t.Helper()
		members, err := s.MembersAt(ctx, p.ref.Tenant, crew.ID, at, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range members {
			names = append(names, m.UserName)
		}
		return names
	}
	for _, c := range []struct {
		why       string
		got, want []string
	}{
		{"both were in it", then(both, "", 10), []string{"ann", "bob"}},
		{"a page of one", then(both, "", 1), []string{"ann"}},
		{"the next page", then(both, ids[0], 10), []string{"bob"}},
		{"now", then(p.Now(), "", 10), []string{"bob"}},
		{"before", then(both.AddDate(-1, 0, 0), "", 10), nil},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%s: got %v, want %v", c.why, c.got, c.want)
		}
	}
	inner, outer, err := s.Nesting(ctx, p.ref.Tenant, crew.ID)
	if err != nil || len(inner) != 0 || len(outer) != 1 || outer[0].Name != "all" || outer[0].Since.IsZero() {
		t.Errorf("nesting of the crew: got %v in it and %v around it, %v", inner, outer, err)
	}
	if inner, _, err = s.NestingAt(ctx, p.ref.Tenant, all.ID, both); err != nil || len(inner) != 1 || inner[0].ID != crew.ID {
		t.Errorf("nesting then: got %v, %v, want the crew", inner, err)
	}
	if inner, _, err = s.NestingAt(ctx, p.ref.Tenant, all.ID, both.AddDate(-1, 0, 0)); err != nil || len(inner) != 0 {
		t.Errorf("nesting a year ago: got %v, %v, want none", inner, err)
	}
	groups, err := s.GroupsAt(ctx, p.ref.Tenant, both)
	if err != nil || len(groups) != 2 || !slices.Equal(groups[access.GroupID(crew.ID)].Parents, []access.GroupID{access.GroupID(all.ID)}) {
		t.Errorf("groups then: got %v, %v", groups, err)
	}

	tree := p.addCatalogue(t)
	granted := p.addGrants(t, grant(toUser(ids[0]), at(tree.eu)), grant(toGroup(crew.ID), at(tree.berlin)))
	made := p.tick(t)
	p.tick(t)
	p.write(t, func(tx *store.Tx) error { return tx.EndGrants(ctx, granted[0].ID) })
	recorded, err := s.GrantRecords(ctx, p.ref.Tenant, []access.GrantID{granted[0].ID, granted[1].ID})
	if r := recorded[granted[1].ID]; err != nil || len(recorded) != 1 || r.Since.IsZero() || r.Change.ActorID != p.actor.ID || r.Change.Action != store.GrantCreated {
		t.Errorf("grants: got %+v, %v, want the one that is there, with who made it", recorded, err)
	}
	if recorded, err = s.GrantRecordsAt(ctx, p.ref.Tenant, []access.GrantID{granted[0].ID}, made); err != nil || len(recorded) != 1 {
		t.Errorf("grants then: got %+v, %v, want the one that is gone", recorded, err)
	}

	actions := func(changes []store.Change, err error) (all []string) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			all = append(all, c.Action)
		}
		return all
	}
	want := []string{store.GrantEnded, store.GrantCreated, store.MembersChanged, store.MembersChanged, store.UserCreated}
	if diff := cmp.Diff(want, actions(s.PersonTimeline(ctx, p.ref.Tenant, ids[0], "", 10))); diff != "" {
		t.Errorf("timeline of ann (-want +got):\n%s", diff)
	}
	newest, err := s.PersonTimeline(ctx, p.ref.Tenant, ids[0], "", 2)
	if err != nil || len(newest) != 2 {
		t.Fatalf("the newest two: got %d, %v", len(newest), err)
	}
	if diff := cmp.Diff(want[2:], actions(s.PersonTimeline(ctx, p.ref.Tenant, ids[0], newest[1].ID, 10))); diff != "" {
		t.Errorf("what was before (-want +got):\n%s", diff)
	}
	want = []string{store.GrantCreated, store.MembersChanged, store.MembersChanged, store.GroupCreated}
	if diff := cmp.Diff(want, actions(s.GroupTimeline(ctx, p.ref.Tenant, crew.ID, "", 10))); diff != "" {
		t.Errorf("timeline of the crew (-want +got):\n%s", diff)
	}
	if _, err := s.PersonTimeline(ctx, p.ref.Tenant, ids[0], "x", 10); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("before nonsense: got %v, want ErrNotFound", err)
	}

	nothing := func(what string, n int, err error) {
		t.Helper()
		if err != nil || n > 0 {
			t.Errorf("%s, asked in another tenant: got %d, %v, want none", what, n, err)
		}
	}
	foreign := other.ref.Tenant
	memberships, err := s.Memberships(ctx, foreign, ids[1], 10)
	nothing("memberships", len(memberships), err)
	members, err := s.MembersAt(ctx, foreign, crew.ID, both, "", 10)
	nothing("members", len(members), err)
	since, err = s.MembersSince(ctx, foreign, crew.ID, ids)
	nothing("members since", len(since), err)
	inner, outer, err = s.Nesting(ctx, foreign, crew.ID)
	nothing("nesting", len(inner)+len(outer), err)
	recorded, err = s.GrantRecords(ctx, foreign, []access.GrantID{granted[1].ID})
	nothing("grants", len(recorded), err)
	changes, err := s.PersonTimeline(ctx, foreign, ids[0], "", 10)
	nothing("timeline", len(changes), err)
}

func groupList(t *testing.T, s *store.Store) {
	p := acme(t, s)
	other := newPlace(t, s, "other", "okta")
	okta := newPlace(t, s, "acme", "okta")
	ctx := t.Context()
	ids := p.addPeople(t, "ann", "bob")
	made := map[string]access.GroupID{}
	for i := range 30 {
		where, members := p, ids[:i%2]
		if i%3 == 0 {
			where, members = okta, nil
		}
		name := fmt.Sprintf("Team %02d", (i*7)%30)
		made[name] = access.GroupID(where.addGroup(t, team(name, nil), members...).ID)
	}
	inside := okta.addGroup(t, team("inside", nil))
	outside := okta.addGroup(t, team("outside", nil), store.UserID(inside.ID))
	other.addGroup(t, team("Team of others", nil))
	giving := []access.GroupID{made["Team 03"], made["Team 10"], access.GroupID(outside.ID)}

	list := func(f store.GroupFilter, limit int) (names []string) {
		t.Helper()
		var after store.GroupKey
		for {
			rows, err := s.GroupsPage(ctx, p.ref.Tenant, f, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range rows {
				names = append(names, row.DisplayName)
			}
			if len(rows) < limit {
				return names
			}
			after = rows[len(rows)-1].Key()
		}
	}
	var want []string
	for i := range 30 {
		if i != 3 && i != 10 {
			want = append(want, fmt.Sprintf("Team %02d", i))
		}
	}
	want = append(want, "inside", "outside", "Team 03", "Team 10")
	for _, limit := range []int{1, 7, 100} {
		if diff := cmp.Diff(want, list(store.GroupFilter{Giving: giving}, limit)); diff != "" {
			t.Errorf("all, %d a page: those that give nothing first (-want +got):\n%s", limit, diff)
		}
	}
	yes, no := true, false
	for _, c := range []struct {
		why  string
		f    store.GroupFilter
		want []string
	}{
		{"what gives something, and what is within it", store.GroupFilter{Giving: giving, Gives: &yes}, []string{"inside", "outside", "Team 03", "Team 10"}},
		{"what gives nothing", store.GroupFilter{Giving: giving, Gives: &no, Text: "team 0"}, []string{"Team 00", "Team 01", "Team 02", "Team 04", "Team 05", "Team 06", "Team 07", "Team 08", "Team 09", "Team 20"}},
		{"a part of the name in any case", store.GroupFilter{Text: "SIDE"}, []string{"inside", "outside"}},
		{"an id", store.GroupFilter{Text: string(made["Team 07"])}, []string{"Team 07"}},
		{"a text that could mean something in SQL", store.GroupFilter{Text: "%_'"}, nil},
		{"no text at all", store.GroupFilter{Text: "a\x00"}, nil},
		{"one connection", store.GroupFilter{Connection: okta.ref.ID, Text: "side"}, []string{"inside", "outside"}},
		{"the other one", store.GroupFilter{Connection: p.ref.ID, Text: "side"}, nil},
		{"no connection", store.GroupFilter{Connection: "x"}, nil},
		{"another tenant's", store.GroupFilter{Connection: other.ref.ID}, nil},
		{"only some, and what is within them", store.GroupFilter{Among: []access.GroupID{access.GroupID(outside.ID), made["Team 01"]}}, []string{"inside", "outside", "Team 01"}},
		{"none of them", store.GroupFilter{Among: []access.GroupID{}}, nil},
		{"without members", store.GroupFilter{Empty: true, Connection: p.ref.ID, Text: "team 2"}, []string{"Team 02", "Team 20", "Team 22", "Team 26", "Team 28"}},
	} {
		if diff := cmp.Diff(c.want, list(c.f, 5)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.why, diff)
		}
	}
	rows, err := s.GroupsPage(ctx, p.ref.Tenant, store.GroupFilter{Text: "outside"}, store.GroupKey{}, 5)
	if err != nil || len(rows) != 1 || rows[0].Inner != 1 || rows[0].Members != 0 || rows[0].Connection != okta.ref.ID {
		t.Errorf("outside: got %+v, %v, want one group in it", rows, err)
	}
}
