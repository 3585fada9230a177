package storetest

import (
	"encoding/json"
	"errors"
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
