package storetest

import (
	"errors"
	"slices"
	"testing"

	"gatehouse/store"

	"github.com/google/go-cmp/cmp"
)

func groupRoundTrip(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	ids := p.addPeople(t, "ann", "bob")
	made := p.addGroup(t, team("Crew", map[string]any{"externalId": "g-1"}), ids[0])
	got := p.group(t, made.ID)
	made.Search = nil
	if diff := cmp.Diff(made, got); diff != "" || got.Version != 1 {
		t.Errorf("what was made (-) is not what is read (+):\n%s", diff)
	}
	p.addGroup(t, team("Staff", nil))
	update := func(to store.Group, delta store.MemberDelta) error {
		return p.Write(ctx, p.actor, func(tx *store.Tx) error {
			_, _, err := tx.UpdateGroup(ctx, p.ref, made.ID, func(g store.Group) (store.Group, store.MemberDelta, error) {
				return rename(g, to.DisplayName), delta, nil
			})
			return err
		})
	}
	wantErr(t, "another's name", update(team("STAFF", nil), store.MemberDelta{Add: memberIDs(ids...)}), store.ErrTaken)
	if now := p.members(t, made.ID); !slices.Equal(now, ids[:1]) {
		t.Errorf("members after the refusal: got %v, want %v", now, ids[:1])
	}
	refusal := errors.New("no")
	err := p.Write(ctx, p.actor, func(tx *store.Tx) error {
		_, _, err := tx.UpdateGroup(ctx, p.ref, made.ID, func(g store.Group) (store.Group, store.MemberDelta, error) {
			return g, store.MemberDelta{}, refusal
		})
		return err
	})
	wantErr(t, "the change refuses", err, refusal)

	if err := update(team("Team", nil), store.MemberDelta{Add: memberIDs(ids[1:]...)}); err != nil {
		t.Fatal(err)
	}
	if got := p.group(t, made.ID); got.DisplayName != "Team" || got.Version != 2 || !slices.Equal(p.members(t, made.ID), ids) {
		t.Errorf("got %+v with %v, want version 2 of Team with both", got, p.members(t, made.ID))
	}
	p.write(t, func(tx *store.Tx) error { return tx.DeleteGroup(ctx, p.ref, made.ID) })
	_, err = s.Group(ctx, p.ref, made.ID)
	wantErr(t, "read the deleted", err, store.ErrNotFound)
	if again := p.addGroup(t, team("Team", nil)); again.ID == made.ID || len(p.members(t, again.ID)) != 0 {
		t.Errorf("a group that comes back: got %+v, want a new and empty one", again)
	}
	clean(t, s)
}

func membersByDelta(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ids := p.addPeople(t, "ann", "bob", "eve", "zoe")
	ann, bob, eve, zoe := ids[0], ids[1], ids[2], ids[3]
	crew := p.addGroup(t, team("crew", nil))
	other := p.addGroup(t, team("other", nil), ids...)
	for _, step := range []struct {
		why            string
		delta          store.MemberDelta
		added, removed int
		want           []store.UserID
	}{
		{"the first", store.MemberDelta{Add: memberIDs(ann, bob)}, 2, 0, []store.UserID{ann, bob}},
		{"one is there already, one is named twice", store.MemberDelta{Add: memberIDs(bob, eve, eve)}, 1, 0, []store.UserID{ann, bob, eve}},
		{"one is not there", store.MemberDelta{Remove: memberIDs(ann, zoe, ann)}, 0, 1, []store.UserID{bob, eve}},
		{"come and go", store.MemberDelta{Add: memberIDs(ann, zoe), Remove: memberIDs(bob)}, 2, 1, []store.UserID{ann, eve, zoe}},
		{"replaced: one stays", store.MemberDelta{Replace: true, Add: memberIDs(zoe, bob)}, 1, 2, []store.UserID{bob, zoe}},
		{"replaced by the same", store.MemberDelta{Replace: true, Add: memberIDs(bob, zoe, bob)}, 0, 0, []store.UserID{bob, zoe}},
		{"replaced by nobody", store.MemberDelta{Replace: true}, 0, 2, nil},
		{"nothing", store.MemberDelta{}, 0, 0, nil},
	} {
		before := p.group(t, crew.ID)
		res, err := p.changeMembers(t, crew.ID, step.delta)
		if err != nil || res.Added != step.added || res.Removed != step.removed || len(res.Unknown) > 0 {
			t.Errorf("%s: got %+v, %v, want %d added and %d removed", step.why, res, err, step.added, step.removed)
		}
		if got := p.members(t, crew.ID); !slices.Equal(got, step.want) {
			t.Errorf("%s: got members %v, want %v", step.why, got, step.want)
		}
		want := before.Version
		if res.Changed() {
			want++
		}
		if after := p.group(t, crew.ID); after.Version != want || after.DescribedAt != crew.DescribedAt {
			t.Errorf("%s: got version %d described %v, want %d and %v", step.why, after.Version, after.DescribedAt, want, crew.DescribedAt)
		}
	}
	if got := p.members(t, other.ID); !slices.Equal(got, ids) || p.group(t, other.ID).Version != other.Version {
		t.Errorf("another group: got %v, want %v untouched", got, ids)
	}

	var both []store.UserID
	err := p.EachMember(t.Context(), p.ref, []store.GroupID{other.ID, crew.ID}, func(g store.GroupID, u store.UserID) error {
		if g != other.ID {
			t.Errorf("member of %s, which has none", g)
		}
		both = append(both, u)
		return nil
	})
	if err != nil || !slices.Equal(both, ids) {
		t.Errorf("members of two groups: got %v, %v, want %v", both, err, ids)
	}
	clean(t, s)
}

func unknownMembers(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ids := p.addPeople(t, "ann")
	foreign := newPlace(t, s, "acme", "okta").addPeople(t, "bob")[0]
	never := store.UserID("01990000-0000-7000-8000-000000000000")
	crew, res := store.Group{}, store.MembersResult{}
	unknown := []store.UserID{foreign, never, "nonsense"}
	p.write(t, func(tx *store.Tx) error {
		var err error
		crew, res, err = tx.CreateGroup(t.Context(), p.ref, team("crew", nil), memberIDs(append(ids, unknown...)...))
		return err
	})
	for _, why := range []string{"create", "replace"} {
		if !slices.Equal(sorted(res.Unknown), memberIDs(sorted(unknown)...)) {
			t.Errorf("%s: got unknown %v, want %v", why, res.Unknown, unknown)
		}
		if got := p.members(t, crew.ID); !slices.Equal(got, ids) {
			t.Errorf("%s: got members %v, want %v", why, got, ids)
		}
		var err error
		if res, err = p.changeMembers(t, crew.ID, store.MemberDelta{Replace: true, Add: memberIDs(append(ids, unknown...)...)}); err != nil || res.Changed() {
			t.Errorf("replace: got %+v, %v, want no change", res, err)
		}
	}
	if res, err := p.changeMembers(t, crew.ID, store.MemberDelta{Remove: memberIDs(unknown...)}); err != nil || res.Changed() || len(res.Unknown) > 0 {
		t.Errorf("remove unknown ones: got %+v, %v, want nothing", res, err)
	}
	clean(t, s)
}

// largeGroup is larger than what is read and changed at a time: pages of 6,000 members and
// parts of 1,000 on PostgreSQL, pages of 2,666 on SQLite.
func largeGroup(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ids := p.addPeople(t, numbered("user", 12_001)...)
	before := ids[:12_000]
	crew := p.addGroup(t, team("crew", nil), before...)
	others := func(of, but []store.UserID) (n int) {
		for _, id := range of {
			if _, there := slices.BinarySearch(but, id); !there {
				n++
			}
		}
		return n
	}
	for _, step := range []struct {
		why   string
		delta store.MemberDelta
		want  []store.UserID
	}{
		{"one more keeps the other 12,000", store.MemberDelta{Add: memberIDs(ids[12_000:]...)}, ids},
		{"one less keeps the other 12,000", store.MemberDelta{Remove: memberIDs(ids[:1]...)}, ids[1:]},
		{"replaced by all", store.MemberDelta{Replace: true, Add: memberIDs(ids...)}, ids},
		{"exactly two pages on PostgreSQL", store.MemberDelta{Replace: true, Add: memberIDs(ids[:12_000]...)}, ids[:12_000]},
		{"the same again", store.MemberDelta{Replace: true, Add: memberIDs(ids[:12_000]...)}, ids[:12_000]},
		{"exactly two pages on SQLite", store.MemberDelta{Replace: true, Add: memberIDs(ids[:5332]...)}, ids[:5332]},
		{"replaced by all again", store.MemberDelta{Replace: true, Add: memberIDs(ids...)}, ids},
		{"10,000 go, in exactly ten parts", store.MemberDelta{Remove: memberIDs(ids[:10_000]...)}, ids[10_000:]},
		{"replaced by others", store.MemberDelta{Replace: true, Add: memberIDs(ids[:2500]...)}, ids[:2500]},
	} {
		res, err := p.changeMembers(t, crew.ID, step.delta)
		if err != nil {
			t.Fatalf("%s: %v", step.why, err)
		}
		if came, went := others(step.want, before), others(before, step.want); res.Added != came || res.Removed != went {
			t.Errorf("%s: %d came and %d went, want %d and %d", step.why, res.Added, res.Removed, came, went)
		}
		if got := p.members(t, crew.ID); !slices.Equal(got, step.want) {
			t.Errorf("%s: got %d members, want %d", step.why, len(got), len(step.want))
		}
		before = step.want
	}
	clean(t, s)
}

// A replacement that nobody is in is a wrong field in a mapping, not a wish.
func replacedByStrangers(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ids := p.addPeople(t, "ann", "bob")
	crew := p.addGroup(t, team("crew", nil), ids...)
	strangers := store.MemberDelta{Replace: true, Add: memberIDs("01990000-0000-7000-8000-000000000000", "junk")}
	_, err := p.changeMembers(t, crew.ID, strangers)
	wantErr(t, "replace by strangers", err, store.ErrUnknownMembers)
	if got := p.members(t, crew.ID); len(got) != 2 {
		t.Errorf("members: got %v, want ann and bob", got)
	}
	if _, err := p.changeMembers(t, crew.ID, store.MemberDelta{Replace: true}); err != nil {
		t.Errorf("replace by nobody, which was said: %v", err)
	}
	if _, err := p.changeMembers(t, crew.ID, strangers); err != nil {
		t.Errorf("strangers for a group that is empty: %v", err)
	}
	clean(t, s)
}
