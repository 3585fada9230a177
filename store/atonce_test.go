package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"gatehouse/store"
)

// TestMembersAtOnce has single members come and go by one statement on PostgreSQL: it
// does everything that the usual way does, or nothing.
func TestMembersAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t, postgresURL(t), store.Options{})
	p, ctx := acme(t, s), t.Context()
	ids := p.addSome(t, 4)
	ann, bob, eve, zoe := ids[0], ids[1], ids[2], ids[3]
	group := func(name string, members ...store.MemberID) store.GroupID {
		g, _, err := s.CreateGroup(ctx, p.actor, p.ref, team(name), members)
		if err != nil {
			t.Fatal(err)
		}
		return g.ID
	}
	inner := group("inner")
	crew := group("crew", ann, store.MemberID(inner))
	members := func() (all []store.MemberID) {
		err := s.EachMember(ctx, p.ref, []store.GroupID{crew}, func(_ store.GroupID, u store.UserID) error {
			all = append(all, store.MemberID(u))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	refused := errors.New("refused")
	for _, test := range []struct {
		why     string
		delta   store.MemberDelta
		refuse  error
		rename  bool
		beside  store.MemberDelta // what another does between reading and writing
		done    bool
		added   int
		removed int
		want    []store.MemberID
		detail  string
	}{
		{why: "one comes", delta: store.MemberDelta{Add: ids[1:2]}, done: true, added: 1, want: []store.MemberID{ann, bob}, detail: `{"added":1,"removed":0,"named":["BOB"]}`},
		{why: "one is there, one named twice and in upper case", delta: store.MemberDelta{Add: []store.MemberID{bob, eve, store.MemberID(strings.ToUpper(string(eve)))}}, done: true, added: 1,
			want: []store.MemberID{ann, bob, eve}, detail: `{"added":1,"removed":0,"named":["BOB","EVE"]}`},
		{why: "come and go", delta: store.MemberDelta{Add: ids[3:], Remove: ids[:2]}, done: true, added: 1, removed: 2,
			want: []store.MemberID{eve, zoe}, detail: `{"added":1,"removed":2,"named":["ZOE","ANN","BOB"]}`},
		{why: "all is so already", delta: store.MemberDelta{Add: ids[3:], Remove: ids[:1]}, done: true, want: []store.MemberID{eve, zoe}},
		{why: "another changes the group meanwhile", delta: store.MemberDelta{Add: ids[:1]}, beside: store.MemberDelta{Remove: ids[2:3]}, want: []store.MemberID{zoe}},
		{why: "an unknown one", delta: store.MemberDelta{Add: []store.MemberID{ann, "01990000-0000-7000-8000-000000000000"}}, want: []store.MemberID{zoe}},
		{why: "no id at all", delta: store.MemberDelta{Add: []store.MemberID{ann, "junk"}}, want: []store.MemberID{zoe}},
		{why: "a group comes", delta: store.MemberDelta{Add: []store.MemberID{ann, store.MemberID(inner)}}, want: []store.MemberID{zoe}},
		{why: "a group goes", delta: store.MemberDelta{Remove: []store.MemberID{zoe, store.MemberID(inner)}}, want: []store.MemberID{zoe}},
		{why: "replaced", delta: store.MemberDelta{Replace: true, Add: ids[:1]}, want: []store.MemberID{zoe}},
		{why: "renamed, too", delta: store.MemberDelta{Add: ids[:1]}, rename: true, want: []store.MemberID{zoe}},
		{why: "refused", delta: store.MemberDelta{Add: ids[:1]}, refuse: refused, done: true, want: []store.MemberID{zoe}},
	} {
		before, err := s.Group(ctx, p.ref, crew)
		if err != nil {
			t.Fatal(err)
		}
		g, res, done, err := s.UpdateAtOnce(ctx, p.actor, p.ref, crew, func(g store.Group) (store.Group, store.MemberDelta, error) {
			if len(test.beside.Remove) > 0 {
				_, _, err := s.UpdateGroup(ctx, p.actor, p.ref, crew, true, func(g store.Group) (store.Group, store.MemberDelta, error) { return g, test.beside, nil })
				if err != nil {
					t.Fatal(err)
				}
				before.Version++
			}
			if test.rename {
				g.Doc = []byte(`{"displayname":"other"}`)
			}
			return g, test.delta, test.refuse
		})
		if !errors.Is(err, test.refuse) || done != test.done || res.Added != test.added || res.Removed != test.removed {
			t.Errorf("%s: got %+v, done %v, %v, want %d and %d, done %v, %v", test.why, res, done, err, test.added, test.removed, test.done, test.refuse)
		}
		if got := members(); !slices.Equal(got, test.want) {
			t.Errorf("%s: got members %v, want %v", test.why, got, test.want)
		}
		after, err := s.Group(ctx, p.ref, crew)
		want := before.Version
		if test.detail != "" {
			want++
		}
		if err != nil || after.Version != want || test.detail != "" && (g.Version != want || !g.ModifiedAt.Equal(after.ModifiedAt.Time)) {
			t.Errorf("%s: got version %d, told %d, %v, want %d", test.why, after.Version, g.Version, err, want)
		}
		changes, err := s.Changes(ctx, p.ref.Tenant, 1)
		if test.detail != "" && err == nil {
			named := strings.NewReplacer("ANN", string(ann), "BOB", string(bob), "EVE", string(eve), "ZOE", string(zoe)).Replace(test.detail)
			c := changes[0]
			if c.Action != store.MembersChanged || c.Detail != named || c.SubjectID != string(crew) || c.SubjectName != "crew" || c.SubjectKind != "group" ||
				c.ConnectionID != p.ref.ID || c.ActorID != p.actor.ID || c.ActorKind != p.actor.Kind {
				t.Errorf("%s: got change %+v, want %s", test.why, c, named)
			}
		}
	}
	p.verified(t, "at the end")
}

// TestMembersAtOnceDoNotWait leaves a group that another transaction has locked to the
// usual way, which waits for it.
func TestMembersAtOnceDoNotWait(t *testing.T) {
	t.Parallel()
	s := open(t, postgresURL(t), store.Options{})
	p, ctx := acme(t, s), t.Context()
	ids := p.addSome(t, 1)
	g, _, err := s.CreateGroup(ctx, p.actor, p.ref, team("crew"), nil)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, func(tx *store.Tx) error {
		_, _, err := tx.UpdateGroup(ctx, p.ref, g.ID, func(g store.Group) (store.Group, store.MemberDelta, error) {
			_, _, done, err := s.UpdateAtOnce(ctx, p.actor, p.ref, g.ID, func(g store.Group) (store.Group, store.MemberDelta, error) {
				return g, store.MemberDelta{Add: ids}, nil
			})
			if done || err != nil {
				t.Errorf("locked: got done %v, %v, want it left alone", done, err)
			}
			return g, store.MemberDelta{}, nil
		})
		return err
	})
}
