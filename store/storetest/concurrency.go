package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/access"
	"gatehouse/store"
)

// crowdOnOneGroup has 16 writers add, remove, delete and rename at once.
func crowdOnOneGroup(t *testing.T, s *store.Store) { Crowd(t, s, s) }

// Crowd has 16 writers, half on each of two stores of one database, add and
// remove members of one group, delete users and rename the group, and wants the
// exact end of it all.
func Crowd(t *testing.T, first, second *store.Store) {
	const writers, each = 16, 5
	ctx := t.Context()
	p := acme(t, first)
	ids := p.addPeople(t, numbered("user", writers*each)...)
	deleted := p.addPeople(t, numbered("leaver", writers)...)
	old := p.addPeople(t, numbered("old", writers)...)
	crew := p.addGroup(t, team("crew", nil), append(slices.Clone(old), deleted[:writers/2]...)...)

	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			at := p
			if i%2 == 1 {
				at.Store = second
			}
			change := func(what string, err error) {
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Errorf("writer %d, %s: %v", i, what, err)
				}
			}
			update := func(delta store.MemberDelta, name string) error {
				_, _, err := at.UpdateGroup(ctx, at.actor, at.ref, crew.ID, false, func(g store.Group) (store.Group, store.MemberDelta, error) {
					if name != "" {
						g = rename(g, name)
					}
					return g, delta, nil
				})
				return err
			}
			for n := range each {
				change("add", update(store.MemberDelta{Add: memberIDs(ids[i*each+n], deleted[(i+n)%writers])}, ""))
			}
			change("remove", update(store.MemberDelta{Remove: memberIDs(old[i])}, ""))
			change("delete", at.Write(ctx, at.actor, func(tx *store.Tx) error { return tx.DeleteUser(ctx, at.ref, deleted[i]) }))
			change("delete twice", at.Write(ctx, at.actor, func(tx *store.Tx) error { return tx.DeleteUser(ctx, at.ref, deleted[(i+1)%writers]) }))
			change("rename", update(store.MemberDelta{}, fmt.Sprintf("crew %d", i)))
			change("rename a user", at.Write(ctx, at.actor, func(tx *store.Tx) error {
				_, err := tx.UpdateUser(ctx, at.ref, ids[i], func(store.User) (store.User, error) { return person(fmt.Sprintf("renamed%d", i), nil), nil })
				return err
			}))
		})
	}
	all.Wait()

	if got := p.members(t, crew.ID); !slices.Equal(got, ids) {
		t.Errorf("members: got %d, %v, want the %d who were added to stay", len(got), got, len(ids))
	}
	_, total, err := p.Users(ctx, p.ref, store.Query{Count: true})
	if want := len(ids) + len(old); err != nil || total != want {
		t.Errorf("users: got %d, %v, want %d", total, err, want)
	}
	effects := map[string]int{}
	for _, action := range p.log(t) {
		effects[action]++
	}
	for action, want := range map[string]int{store.UserDeleted: writers, store.GroupUpdated: writers, store.UserUpdated: writers} {
		if effects[action] != want {
			t.Errorf("log: got %d × %s, want %d", effects[action], action, want)
		}
	}
	clean(t, first)
}

// askedTogether has many ask about people of two tenants at the same time, while
// others take people away and ask at once: every answer is about whom it was asked
// about, and as fresh as the last change.
func askedTogether(t *testing.T, s *store.Store) {
	const askers, each = 24, 20
	ctx := t.Context()
	p, other := acme(t, s), newPlace(t, s, "globex", "entra")
	stay, strangers := p.addPeople(t, numbered("user", 8)...), other.addPeople(t, numbered("user", 8)...)
	leave := p.addPeople(t, numbered("leaver", 40)...)
	crew := p.addGroup(t, team("crew", nil), stay...)

	ask := func(at place, id store.UserID, known bool) {
		subject, _, err := at.Subject(ctx, at.ref.Tenant, store.Who{ID: id})
		shown, shownErr := at.ShownUser(ctx, at.ref, id)
		if !known {
			if !errors.Is(err, store.ErrNotFound) || !errors.Is(shownErr, store.ErrNotFound) {
				t.Errorf("%s of another tenant: got %v and %v, want %v", id, err, shownErr, store.ErrNotFound)
			}
			return
		}
		if err != nil || subject.Person.ID != access.UserID(id) || !subject.Person.Active || shownErr != nil || shown.ID != id {
			t.Errorf("%s: got %s, active %t, %v, and %s, %v", id, subject.Person.ID, subject.Person.Active, err, shown.ID, shownErr)
		}
		if in := slices.Contains(subject.Groups, access.GroupID(crew.ID)); in != (at == p) || strings.Contains(string(shown.Groups), string(crew.ID)) != in {
			t.Errorf("%s: in crew: got %t and %s, want %t", id, in, shown.Groups, at == p)
		}
	}
	var all sync.WaitGroup
	for i := range askers {
		all.Go(func() {
			for n := range each {
				k := (i + n) % len(stay)
				ask(p, stay[k], true)
				ask(other, strangers[k], true)
				ask(other, stay[k], false)
			}
		})
	}
	for _, some := range [][]store.UserID{leave[:len(leave)/2], leave[len(leave)/2:]} {
		all.Go(func() {
			for _, id := range some {
				err := p.Write(ctx, p.actor, func(tx *store.Tx) error {
					_, err := tx.UpdateUser(ctx, p.ref, id, func(u store.User) (store.User, error) {
						return person(u.UserName, map[string]any{"active": false}), nil
					})
					return err
				})
				if err != nil {
					t.Errorf("deactivate: %v", err)
				}
				subject, _, err := p.Subject(ctx, p.ref.Tenant, store.Who{ID: id})
				if err != nil || subject.Person.Active {
					t.Errorf("%s, after she was deactivated: got active %t, %v", id, subject.Person.Active, err)
				}
			}
		})
	}
	all.Wait()
}

// deletedWhileAdded has users deleted in the moment in which they are added to a
// group: they are unknown or taken out again, and nobody gets an error.
func deletedWhileAdded(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	crew := p.addGroup(t, team("crew", nil))
	other := p.addGroup(t, team("other", nil))
	stays := p.addPeople(t, "ann")[0]
	for round := range 40 {
		leaver := p.addPeople(t, fmt.Sprintf("leaver%d", round))[0]
		var all sync.WaitGroup
		for _, g := range []store.GroupID{crew.ID, other.ID} {
			all.Go(func() {
				if _, err := p.changeMembers(t, g, store.MemberDelta{Add: memberIDs(leaver, stays)}); err != nil {
					t.Errorf("round %d, add: %v", round, err)
				}
			})
		}
		all.Go(func() {
			err := p.Write(ctx, p.actor, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, leaver) })
			if err != nil {
				t.Errorf("round %d, delete: %v", round, err)
			}
		})
		all.Wait()
	}
	for _, g := range []store.GroupID{crew.ID, other.ID} {
		if got := p.members(t, g); !slices.Equal(got, []store.UserID{stays}) {
			t.Errorf("members: got %v, want the one who stays", got)
		}
		// Every change of members is a version: others compare by it.
		want := int64(1)
		changes, err := p.Changes(ctx, p.ref.Tenant, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if c.Action == store.MembersChanged && c.SubjectID == string(g) {
				want++
			}
		}
		if got := p.group(t, g).Version; got < want {
			t.Errorf("version: got %d, want %d at least", got, want)
		}
	}
	clean(t, s)
}

// largeChangeBesideOthers exchanges most of a large group while others read it, change
// a member or two, delete users, and exchange it as well: whoever stays is a member at
// every moment, and nothing that was done is undone.
func largeChangeBesideOthers(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	ids := p.addPeople(t, numbered("user", 3000)...)
	crew := p.addGroup(t, team("crew", nil), ids[:2000]...)
	stay, leavers := ids[1000:1900], ids[1900:2000] // the latter leave for good
	var all, reading sync.WaitGroup
	over := make(chan struct{})
	reading.Go(func() {
		for done := false; !done; {
			select {
			case <-over:
				done = true
			default:
			}
			members := map[store.UserID]bool{}
			for _, id := range p.members(t, crew.ID) {
				members[id] = true
			}
			for _, id := range stay {
				if !members[id] {
					t.Errorf("%s isn't a member for a while", id)
					return
				}
			}
		}
	})
	for range 2 { // the same twice
		all.Go(func() {
			if _, err := p.changeMembers(t, crew.ID, store.MemberDelta{Replace: true, Add: memberIDs(ids[1000:]...)}); err != nil {
				t.Errorf("replace: %v", err)
			}
		})
	}
	all.Go(func() {
		for _, id := range leavers {
			p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, id) })
		}
	})
	all.Go(func() {
		for range 20 {
			if _, err := p.changeMembers(t, crew.ID, store.MemberDelta{Add: memberIDs(ids[1000])}); err != nil {
				t.Errorf("add one who is there: %v", err)
			}
		}
	})
	all.Wait()
	close(over)
	reading.Wait()
	if got, want := p.members(t, crew.ID), slices.Concat(stay, ids[2000:]); !slices.Equal(got, want) {
		t.Errorf("got %d members, want %d", len(got), len(want))
	}
	// What comes after it is about the group as it has become.
	if _, err := p.changeMembers(t, crew.ID, store.MemberDelta{Remove: memberIDs(ids[1000:]...)}); err != nil {
		t.Errorf("remove all: %v", err)
	}
	if _, err := p.changeMembers(t, crew.ID, store.MemberDelta{Add: memberIDs(ids[:2]...)}); err != nil {
		t.Error(err)
	}
	if got := p.members(t, crew.ID); !slices.Equal(got, ids[:2]) {
		t.Errorf("got %d members, want the first two", len(got))
	}
	clean(t, s)
}

// groupsInAnyOrder has transactions touch the same groups in different orders,
// as a bulk request does.
func groupsInAnyOrder(t *testing.T, s *store.Store) {
	const writers = 4
	ctx := t.Context()
	p := acme(t, s)
	ids := p.addPeople(t, numbered("user", writers)...)
	var groups []store.GroupID
	for _, name := range numbered("group", 5) {
		groups = append(groups, p.addGroup(t, team(name, nil)).ID)
	}
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			order := rand.New(rand.NewPCG(1, uint64(i))).Perm(len(groups))
			err := p.Write(ctx, p.actor, func(tx *store.Tx) error {
				for _, n := range order {
					_, _, err := tx.UpdateGroup(ctx, p.ref, groups[n], func(g store.Group) (store.Group, store.MemberDelta, error) {
						return g, store.MemberDelta{Add: memberIDs(ids[i])}, nil
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	all.Wait()
	for _, g := range groups {
		if got := p.members(t, g); !slices.Equal(got, ids) || p.group(t, g).Version != 1+writers {
			t.Errorf("got %v in version %d, want all %d, each once", got, p.group(t, g).Version, writers)
		}
	}
	clean(t, s)
}
