package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/store"
)

// groupsOf tells a user's groups as "name type", in the order of the names.
func (p place) groupsOf(t *testing.T, id store.UserID) string {
	t.Helper()
	one, err := p.User(t.Context(), p.ref, id, true)
	if err != nil {
		t.Fatal(err)
	}
	listed, _, err := p.Users(t.Context(), p.ref, store.Query{Limit: 100, WithGroups: true, Filter: compare("id", store.Equal, string(id))})
	if err != nil || len(listed) != 1 {
		t.Fatalf("list of user %s: got %d, %v", id, len(listed), err)
	}
	digest := store.Digest(one.Groups)
	same, _, err := p.Users(t.Context(), p.ref, store.Query{Limit: 100, Filter: store.SameGroups{Digest: string(digest[:])}})
	if err != nil || !slices.ContainsFunc(same, func(u store.User) bool { return u.ID == id }) {
		t.Errorf("users with the digest of %s: got %d, %v", one.Groups, len(same), err)
	}
	tell := func(groups []byte) string {
		var list []struct{ Value, Display, Type string }
		if err := json.Unmarshal(groups, &list); err != nil {
			t.Fatalf("groups %s: %v", groups, err)
		}
		var words []string
		for _, g := range list {
			if g.Value == "" {
				t.Errorf("a group without a value: %s", groups)
			}
			words = append(words, g.Display+" "+g.Type)
		}
		slices.Sort(words)
		return strings.Join(words, ", ")
	}
	if a, b := tell(one.Groups), tell(listed[0].Groups); a != b {
		t.Errorf("user %s: read alone in %q, in a list in %q", id, a, b)
	}
	return tell(one.Groups)
}

func (p place) subgroups(t *testing.T, id store.GroupID) []store.GroupID {
	t.Helper()
	found, err := p.Subgroups(t.Context(), p.ref, []store.GroupID{id})
	if err != nil {
		t.Fatal(err)
	}
	return found[id]
}

func nestedGroups(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ann := p.addPeople(t, "ann")[0]
	inner := p.addGroup(t, team("inner", nil), ann)
	middle := p.addGroup(t, team("middle", nil))
	outer := p.addGroup(t, team("outer", nil))
	stranger := newPlace(t, s, "acme", "okta").addGroup(t, team("stranger", nil))
	change := func(g store.Group, delta store.MemberDelta) store.MembersResult {
		t.Helper()
		res, err := p.changeMembers(t, g.ID, delta)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}

	if got, want := p.groupsOf(t, ann), "inner direct"; got != want {
		t.Errorf("before nesting: got groups %q, want %q", got, want)
	}
	if res := change(middle, store.MemberDelta{Add: memberIDs(inner.ID)}); res.Added != 1 {
		t.Errorf("a group within a group: got %+v, want 1 added", res)
	}
	// One call may name people, groups and nobody.
	res := change(outer, store.MemberDelta{Add: append(memberIDs(middle.ID, stranger.ID), memberIDs(ann)...)})
	if res.Added != 2 || !slices.Equal(res.Unknown, memberIDs(stranger.ID)) {
		t.Errorf("a person, a group and another connection's: got %+v, want 2 added", res)
	}
	if got, want := p.groupsOf(t, ann), "inner direct, middle indirect, outer direct"; got != want {
		t.Errorf("nested: got groups %q, want %q", got, want)
	}
	if got := p.members(t, outer.ID); !slices.Equal(got, []store.UserID{ann}) || !slices.Equal(p.subgroups(t, outer.ID), []store.GroupID{middle.ID}) {
		t.Errorf("members of outer: got %v and %v", got, p.subgroups(t, outer.ID))
	}

	for _, c := range []struct {
		why   string
		q     store.Filter
		users bool
		want  []string
	}{
		{"through two groups", compare("groups.value", store.Equal, string(middle.ID)), true, []string{string(ann)}},
		{"another connection's group", compare("groups.value", store.Equal, string(stranger.ID)), true, nil},
		{"whose member is a group", compare("members.value", store.Equal, string(middle.ID)), false, []string{string(outer.ID)}},
		{"whose member is a person", compare("members.value", store.Equal, string(ann)), false, []string{string(inner.ID), string(outer.ID)}},
		{"who has a group as its only member", store.Present{Attr: compare("members.value", store.Equal, "").Attr}, false, []string{string(inner.ID), string(middle.ID), string(outer.ID)}},
	} {
		var got []string
		var err error
		if c.users {
			var found []store.User
			found, _, err = p.Users(t.Context(), p.ref, store.Query{Filter: c.q, Limit: 10})
			for _, u := range found {
				got = append(got, string(u.ID))
			}
		} else {
			var found []store.Group
			found, _, err = p.Groups(t.Context(), p.ref, store.Query{Filter: c.q, Limit: 10})
			for _, g := range found {
				got = append(got, string(g.ID))
			}
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v, want %v", c.why, got, err, c.want)
		}
	}

	for why, cycle := range map[string]struct{ group, member store.Group }{
		"itself": {inner, inner}, "its outer": {inner, middle}, "its outer's outer": {inner, outer},
	} {
		before := p.group(t, cycle.group.ID)
		_, err := p.changeMembers(t, cycle.group.ID, store.MemberDelta{Add: memberIDs(cycle.member.ID)})
		wantErr(t, why, err, store.ErrCycle)
		if after := p.group(t, cycle.group.ID); after.Version != before.Version {
			t.Errorf("%s: the group changed", why)
		}
	}

	version := p.group(t, outer.ID).Version
	if res := change(outer, store.MemberDelta{Replace: true, Add: memberIDs(middle.ID)}); res.Removed != 1 || res.Added != 0 {
		t.Errorf("replaced by the group alone: got %+v, want 1 removed", res)
	}
	if got, want := p.groupsOf(t, ann), "inner direct, middle indirect, outer indirect"; got != want {
		t.Errorf("through groups only: got groups %q, want %q", got, want)
	}
	p.write(t, func(tx *store.Tx) error { return tx.DeleteGroup(t.Context(), p.ref, middle.ID) })
	if got, want := p.groupsOf(t, ann), "inner direct"; got != want {
		t.Errorf("the middle gone: got groups %q, want %q", got, want)
	}
	if got := p.group(t, outer.ID).Version; got != version+2 {
		t.Errorf("outer lost a group: got version %d, want %d", got, version+2)
	}
	change(outer, store.MemberDelta{Add: memberIDs(inner.ID)})
	if res := change(outer, store.MemberDelta{Remove: append(memberIDs(inner.ID), memberIDs(ann)...)}); res.Removed != 1 {
		t.Errorf("take the group out: got %+v, want 1 removed", res)
	}
	clean(t, s)
}

// rowFilters picks groups by parts of their members, and users by parts of their
// groups.
func rowFilters(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ids := p.addPeople(t, "ann", "bob", "cid", "dee")
	ann, bob, cid := ids[0], ids[1], ids[2]
	inner := p.addGroup(t, team("Inner Ops", nil), ann, bob)
	middle := p.addGroup(t, team("Middle", nil), cid)
	outer := p.addGroup(t, team("Outer OPS", nil), bob)
	p.addGroup(t, team("Empty", nil))
	for group, member := range map[store.GroupID]store.GroupID{middle.ID: inner.ID, outer.ID: middle.ID} {
		if _, err := p.changeMembers(t, group, store.MemberDelta{Add: memberIDs(member)}); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := newPlace(t, s, "acme", "okta")
	stranger := elsewhere.addPeople(t, "ann")[0]
	ops := elsewhere.addGroup(t, team("Inner Ops", nil), stranger)
	if _, err := elsewhere.changeMembers(t, elsewhere.addGroup(t, team("Outer OPS", nil)).ID, store.MemberDelta{Add: memberIDs(ops.ID)}); err != nil {
		t.Fatal(err)
	}

	value := func(op store.Op, id any) store.Filter { return compare("value", op, fmt.Sprint(id)) }
	typ := func(op store.Op, v any) store.Filter { return compare("type", op, v) }
	display := func(op store.Op, v any) store.Filter { return compare("display", op, v) }
	not := func(f store.Filter) store.Filter { return store.Not{Filter: f} }
	member := func(where store.Filter) store.Filter { return store.Some{Attr: multi("members"), Where: where} }
	in := func(where store.Filter) store.Filter { return store.Some{Attr: multi("groups"), Where: where} }
	whole := func(attr string, part string, op store.Op, v any) store.Filter {
		return store.Compare{Attr: multi(attr, part), Op: op, Value: v}
	}

	for _, c := range []struct {
		why    string
		filter store.Filter
		scans  int
		want   string // names of groups by their first letters
	}{
		{"a person of that id", member(store.And{value(store.Equal, ann), typ(store.Equal, "user")}), 0, "I"},
		{"no group has that id", member(store.And{value(store.Equal, ann), typ(store.Equal, "group")}), 0, ""},
		{"a group of that id", member(store.And{typ(store.Equal, "group"), value(store.Equal, inner.ID)}), 0, "M"},
		{"who can't exist", member(store.And{typ(store.Equal, "user"), value(store.Equal, "x")}), 0, ""},
		{"a stranger", member(store.And{typ(store.Equal, "user"), value(store.Equal, stranger)}), 0, ""},
		{"one of two", member(store.Or{value(store.Equal, ann), value(store.Equal, inner.ID)}), 0, "IM"},
		{"one of two, each of a kind", member(store.Or{store.And{value(store.Equal, ann), typ(store.Equal, "user")}, store.And{value(store.Equal, inner.ID), typ(store.Equal, "user")}}), 0, "I"},
		{"no element is both", member(store.And{value(store.Equal, ann), value(store.Equal, bob)}), 0, ""},
		{"two elements are", store.And{whole("members", "value", store.Equal, string(ann)), whole("members", "value", store.Equal, string(bob))}, 0, "I"},
		{"people", whole("members", "type", store.Equal, "user"), 1, "IMO"},
		{"groups", whole("members", "type", store.Equal, "group"), 1, "MO"},
		{"not one of them a group", whole("members", "type", store.NotEqual, "group"), 1, "IE"},
		{"one that is no group", member(typ(store.NotEqual, "group")), 1, "IMO"},
		{"part of the type", member(typ(store.StartsWith, "gr")), 1, "MO"},
		{"the type in order", member(typ(store.Less, "h")), 1, "MO"},
		{"a type that none is", member(typ(store.Contains, "x")), 1, ""},
		{"a type that is no text", member(typ(store.Equal, true)), 1, ""},
		{"somebody else", member(value(store.NotEqual, bob)), 1, "IMO"},
		{"somebody else of that kind", member(store.And{value(store.NotEqual, bob), typ(store.Equal, "user")}), 2, "IM"},
		{"one who is not those", member(not(store.Or{value(store.Equal, bob), value(store.Equal, inner.ID)})), 2, "IMO"},
		{"all are those", not(member(not(store.Or{value(store.Equal, bob), value(store.Equal, middle.ID)}))), 2, "OE"},
		{"any", member(store.Present{Attr: attr("type")}), 1, "IMO"},
		{"none", not(store.Present{Attr: multi("members", "$ref")}), 1, "E"},
		{"the absent", member(typ(store.Equal, nil)), 1, ""},
		{"always", member(store.And{}), 1, "IMO"},
		{"never", member(store.Or{}), 1, ""},
	} {
		if got := store.Scans(c.filter, true); got != c.scans {
			t.Errorf("%s: %d scans, want %d", c.why, got, c.scans)
		}
		found, total, err := s.Groups(t.Context(), p.ref, store.Query{Filter: c.filter, Limit: 10, Count: true})
		var got string
		for _, g := range found {
			got += g.DisplayName[:1]
		}
		if err != nil || got != c.want || total != len(c.want) {
			t.Errorf("%s: got groups %q of %d, %v, want %q", c.why, got, total, err, c.want)
		}
	}

	// ann: Inner. bob: Inner, Outer. cid: Middle. All are in Outer, ann and bob in
	// Middle, through those.
	for _, c := range []struct {
		why    string
		filter store.Filter
		scans  int
		want   string
	}{
		{"in or within a group of that id", in(value(store.Equal, outer.ID)), 0, "abc"},
		{"in it", in(store.And{value(store.Equal, outer.ID), typ(store.Equal, "direct")}), 0, "b"},
		{"within it only", in(store.And{value(store.Equal, outer.ID), typ(store.Equal, "indirect")}), 0, "ac"},
		{"within it two deep", in(store.And{typ(store.Equal, "indirect"), value(store.Equal, middle.ID)}), 0, "ab"},
		{"another connection's", in(store.And{value(store.Equal, ops.ID), typ(store.Equal, "direct")}), 0, ""},
		{"what can't be one", in(store.And{value(store.Equal, "x"), typ(store.Equal, "direct")}), 0, ""},
		{"by name", whole("groups", "display", store.Equal, "middle"), 1, "abc"},
		{"by part of a name", whole("groups", "display", store.Contains, "ops"), 1, "abc"},
		{"in one of that name", in(store.And{display(store.EndsWith, "ops"), typ(store.Equal, "direct")}), 2, "ab"},
		{"within one of that name", in(store.And{display(store.EndsWith, "ops"), typ(store.Equal, "indirect")}), 2, "ac"},
		{"in one of another name", in(store.And{display(store.NotEqual, "inner ops"), typ(store.Equal, "direct")}), 2, "bc"},
		{"in none of that name", whole("groups", "display", store.NotEqual, "middle"), 1, "d"},
		{"names in order", in(store.And{display(store.GreaterOrEqual, "n"), typ(store.NotEqual, "indirect")}), 2, "b"},
		{"in any", whole("groups", "type", store.Equal, "direct"), 1, "abc"},
		{"within any", whole("groups", "type", store.Equal, "indirect"), 1, "abc"},
		{"each kind in its own group", in(store.And{store.Or{store.And{typ(store.Equal, "direct"), value(store.Equal, inner.ID)}, store.And{typ(store.Equal, "indirect"), value(store.Equal, outer.ID)}}}), 4, "abc"},
		{"not of that type, nor that id", in(not(store.Or{typ(store.Equal, "indirect"), value(store.Equal, inner.ID)})), 2, "bc"},
		{"one of two", in(store.Or{value(store.Equal, inner.ID), display(store.Equal, "nothing")}), 1, "ab"},
		{"any at all", in(store.Present{Attr: attr("display")}), 1, "abc"},
		{"none at all", not(store.Present{Attr: multi("groups", "display")}), 1, "d"},
		{"never", in(store.Or{}), 1, ""},
		{"neither type", in(typ(store.Equal, "x")), 1, ""},
		{"beside another", store.And{compare("username", store.NotEqual, "ann"), in(store.And{display(store.Contains, "ops"), typ(store.Contains, "direct")})}, 3, "bc"},
		{"or another", store.Or{compare("username", store.Equal, "dee"), in(store.And{display(store.Contains, "ops"), typ(store.Equal, "direct")})}, 2, "abd"},
	} {
		if got := store.Scans(c.filter, false); got != c.scans {
			t.Errorf("%s: %d scans, want %d", c.why, got, c.scans)
		}
		found, total, err := s.Users(t.Context(), p.ref, store.Query{Filter: c.filter, Limit: 10, Count: true})
		var got string
		for _, u := range found {
			got += u.UserName[:1]
		}
		if err != nil || got != c.want || total != len(c.want) {
			t.Errorf("%s: got users %q of %d, %v, want %q", c.why, got, total, err, c.want)
		}
	}
}

// nestedAtOnce lets many close a ring of groups at the same time: one link is
// always missing.
func nestedAtOnce(t *testing.T, s *store.Store) {
	p := acme(t, s)
	const n = 8
	var ring []store.GroupID
	for _, name := range numbered("ring", n) {
		ring = append(ring, p.addGroup(t, team(name, nil)).ID)
	}
	var wg sync.WaitGroup
	refused := make(chan error, n)
	for i := range n {
		wg.Go(func() {
			_, err := p.changeMembers(t, ring[i], store.MemberDelta{Add: memberIDs(ring[(i+1)%n])})
			if err != nil {
				refused <- err
			}
		})
	}
	wg.Wait()
	close(refused)
	count := 0
	for err := range refused {
		count++
		if !errors.Is(err, store.ErrCycle) {
			t.Errorf("a link: got %v, want %v", err, store.ErrCycle)
		}
	}
	if count != 1 {
		t.Errorf("links refused: got %d, want 1", count)
	}
	clean(t, s)
}
