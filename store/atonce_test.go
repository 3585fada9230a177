package store_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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
		{why: "one comes and goes, in two spellings", delta: store.MemberDelta{Add: []store.MemberID{store.MemberID(strings.ToUpper(string(zoe)))}, Remove: ids[3:]}, want: []store.MemberID{eve, zoe}},
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
		n := 0
		g, res, done, err := s.UpdateAtOnce(ctx, p.actor, p.ref, crew, func(g store.Group) (store.Group, store.MemberDelta, error) {
			if n++; len(test.beside.Remove) > 0 {
				_, _, err := s.UpdateGroup(ctx, p.actor, p.ref, crew, true, func(g store.Group) (store.Group, store.MemberDelta, error) {
					if n > 1 { // the first look was at what is known of the group
						g.Doc, g.Search = []byte(`{"displayname":"Crew"}`), []byte(`{}`)
					}
					return g, test.beside, nil
				})
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

// TestMembersAtOnceOfTwoServers has a group that one server believes to know changed by
// another: what it does then is what it would have done with the group as it is.
func TestMembersAtOnceOfTwoServers(t *testing.T) {
	t.Parallel()
	url := postgresURL(t)
	s, other := open(t, url, store.Options{}), open(t, url, store.Options{})
	p, ctx := acme(t, s), t.Context()
	ids := p.addSome(t, 6)
	g, _, err := s.CreateGroup(ctx, p.actor, p.ref, team("crew"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var seen []int64
	add := func(id store.MemberID) (store.Group, bool) {
		seen = nil
		g, res, done, err := s.UpdateAtOnce(ctx, p.actor, p.ref, g.ID, func(g store.Group) (store.Group, store.MemberDelta, error) {
			seen = append(seen, g.Version)
			return g, store.MemberDelta{Add: []store.MemberID{id}}, nil
		})
		if err != nil || res.Added != 1 {
			t.Errorf("got %+v, %v, want one added", res, err)
		}
		return g, done
	}
	for _, id := range ids[:3] {
		if _, done := add(id); !done {
			t.Error("not done at once")
		}
	}
	_, _, err = other.UpdateGroup(ctx, p.actor, p.ref, g.ID, false, func(g store.Group) (store.Group, store.MemberDelta, error) {
		g.DisplayName, g.Doc, g.Search = "renamed", []byte(`{"displayname":"renamed"}`), []byte(`{}`)
		return g, store.MemberDelta{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range ids[3:] {
		got, done := add(id)
		if want := g.Version + 4 + int64(i) + 1; !done || got.Version != want || got.DisplayName != "renamed" {
			t.Errorf("got %q, version %d, done %v, want version %d", got.DisplayName, got.Version, done, want)
		}
		if want := [][]int64{{g.Version + 3, g.Version + 4}, {g.Version + 5}, {g.Version + 6}}[i]; !slices.Equal(seen, want) {
			t.Errorf("worked out for versions %v, want %v", seen, want)
		}
	}
	changes, err := s.Changes(ctx, p.ref.Tenant, 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if c.SubjectName != "renamed" {
			t.Errorf("the log has %+v, want the new name", c)
		}
	}
	p.verified(t, "at the end")
}

// TestManyAtOneGroup has many change one group while it is locked, so that they share a
// transaction once it is free: each gets what it would have got alone.
func TestManyAtOneGroup(t *testing.T) {
	t.Parallel()
	url := postgresURL(t)
	s := open(t, url, store.Options{})
	p, ctx := acme(t, s), t.Context()
	const come, in = 20, 5
	ids := p.addSome(t, come+in)
	g, _, err := s.CreateGroup(ctx, p.actor, p.ref, team("crew"), ids[come:])
	if err != nil {
		t.Fatal(err)
	}
	inner, _, err := s.CreateGroup(ctx, p.actor, p.ref, team("inner"), nil)
	if err != nil {
		t.Fatal(err)
	}
	other := p.ref
	p.write(t, func(tx *store.Tx) error {
		c, err := tx.CreateConnection(ctx, "other", store.IdPOkta)
		other.ID = c.ID
		return err
	})
	refused := errors.New("refused")
	update := func(c store.ConnectionRef, change func(store.Group) (store.Group, store.MemberDelta, error)) (store.Group, store.MembersResult, error) {
		return s.UpdateGroup(ctx, p.actor, c, g.ID, false, change)
	}
	by := func(d store.MemberDelta) func(store.Group) (store.Group, store.MemberDelta, error) {
		return func(g store.Group) (store.Group, store.MemberDelta, error) { return g, d, nil }
	}

	var all sync.WaitGroup
	var mu sync.Mutex
	versions := map[int64]bool{}
	changed := func(why string, c store.ConnectionRef, d store.MemberDelta, added, removed int) {
		all.Go(func() {
			got, res, err := update(c, by(d))
			if err != nil || res.Added != added || res.Removed != removed {
				t.Errorf("%s: got %+v, %v, want %d and %d", why, res, err, added, removed)
			}
			mu.Lock()
			defer mu.Unlock()
			if res.Changed() && versions[got.Version] {
				t.Errorf("%s: version %d twice", why, got.Version)
			}
			versions[got.Version] = versions[got.Version] || res.Changed()
		})
	}
	p.write(t, func(tx *store.Tx) error {
		_, _, err := tx.UpdateGroup(ctx, p.ref, g.ID, func(g store.Group) (store.Group, store.MemberDelta, error) {
			for _, id := range ids[:come] {
				changed("comes", p.ref, store.MemberDelta{Add: []store.MemberID{id}}, 1, 0)
			}
			for _, id := range ids[come+1:] {
				changed("goes", p.ref, store.MemberDelta{Remove: []store.MemberID{id}}, 0, 1)
			}
			changed("is there", p.ref, store.MemberDelta{Add: ids[come : come+1]}, 0, 0)
			changed("a group comes", p.ref, store.MemberDelta{Add: []store.MemberID{store.MemberID(inner.ID)}}, 1, 0)
			all.Go(func() {
				if _, _, err := update(other, by(store.MemberDelta{Remove: ids[come : come+1]})); !errors.Is(err, store.ErrNotFound) {
					t.Errorf("of another connection: got %v, want not found", err)
				}
			})
			all.Go(func() {
				_, _, err := update(p.ref, func(g store.Group) (store.Group, store.MemberDelta, error) {
					return g, store.MemberDelta{Remove: ids[come : come+1]}, refused
				})
				if !errors.Is(err, refused) {
					t.Errorf("refused: got %v", err)
				}
			})
			all.Go(func() {
				defer func() {
					if recover() == nil {
						t.Error("a panic is lost")
					}
				}()
				_, _, _ = update(p.ref, func(store.Group) (store.Group, store.MemberDelta, error) { panic("mine") })
			})
			all.Go(func() {
				_, _, err := update(p.ref, func(g store.Group) (store.Group, store.MemberDelta, error) {
					g.DisplayName, g.Doc, g.Search = "renamed", []byte(`{"displayname":"renamed"}`), []byte(`{}`)
					return g, store.MemberDelta{}, nil
				})
				if err != nil {
					t.Errorf("renamed: %v", err)
				}
			})
			for range 2000 { // a minute
				if s.AtGroup(p.ref, g.ID) >= come+in {
					break
				}
				time.Sleep(30 * time.Millisecond)
			}
			if n := s.AtGroup(p.ref, g.ID); n < come+in {
				t.Errorf("%d wait together, want most", n)
			}
			return g, store.MemberDelta{}, nil
		})
		return err
	})
	all.Wait()
	var members []store.MemberID
	if err := s.EachMember(ctx, p.ref, []store.GroupID{g.ID}, func(_ store.GroupID, u store.UserID) error {
		members = append(members, store.MemberID(u))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := slices.Sorted(slices.Values(ids[:come+1])); !slices.Equal(members, want) {
		t.Errorf("got %v, want %v", members, want)
	}
	after, err := s.Group(ctx, p.ref, g.ID)
	// Each that changed something, and the new name.
	if want := g.Version + come + in - 1 + 1 + 1; err != nil || after.Version != want || after.DisplayName != "renamed" {
		t.Errorf("got %q, version %d, %v, want version %d", after.DisplayName, after.Version, err, want)
	}
	var shared int
	if err := raw(t, url).QueryRow(`SELECT COUNT(*) - COUNT(DISTINCT xid) FROM changes WHERE subject_id = $1`, g.ID).Scan(&shared); err != nil || shared < come {
		t.Errorf("%d changes shared a transaction with another, %v, want %d", shared, err, come)
	}
	p.verified(t, "at the end")
}
