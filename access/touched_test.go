package access

import (
	"slices"
	"testing"
	"time"
)

// Who isn't touched fares alike: 3,000 changes of worlds in which people stay as
// they are.
func TestOnlyTheTouchedFareOtherwise(t *testing.T) {
	t.Parallel()
	spared := 0
	for seed := range uint64(3_000) {
		d := seededDice(seed)
		before := newWorld(d)
		after := before.changed(d)
		after.Facts, after.At = before.Facts, before.At
		a, b := before.state(t), after.state(t)
		grants, whom := Touched(a.Policy, b.Policy)
		in := func(s Subject) bool {
			return whom.Everyone || slices.Contains(whom.Users, s.Person.ID) ||
				slices.ContainsFunc(s.Groups, func(g GroupID) bool { return slices.Contains(whom.Groups, g) })
		}
		for _, impact := range Diff(a, b) {
			if in(a.Facts.Subject(impact.User)) {
				continue
			}
			for _, diff := range impact.Differences {
				if diff.Product != ConsoleID || diff.Permission != ConsoleOwn {
					t.Fatalf("seed %d: %s is not touched by %v: %+v\nbefore %v\nafter %v", seed, impact.User, grants, diff, before, after)
				}
			}
		}
		for id := range a.Facts.People {
			if !in(a.Facts.Subject(id)) && len(grants) > 0 {
				spared++
			}
		}
	}
	if spared < 1_000 {
		t.Errorf("%d people were not touched by a change: too few to say anything", spared)
	}
}

// A grant that another covers can go without a change of anybody's levels, now
// or later.
func TestCoveredGrantsCanGo(t *testing.T) {
	t.Parallel()
	covered := 0
	for seed := range uint64(6_000) {
		w := newWorld(seededDice(seed))
		st := w.state(t)
		for _, narrow := range st.Policy.Grants() {
			if !slices.ContainsFunc(st.Policy.Grants(), func(wide Grant) bool { return st.Policy.Covers(wide, narrow, st.Facts.Groups) }) {
				continue
			}
			covered++
			without, err := st.Policy.Without(narrow.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range []time.Time{noon, noon.Add(90 * time.Minute), noon.AddDate(1, 0, 0)} {
				for _, impact := range Diff(State{st.Facts, st.Policy, at}, State{st.Facts, without, at}) {
					for _, diff := range impact.Differences {
						if diff.Kind != Keeps {
							t.Fatalf("seed %d: without %+v %s %s: %+v\n%v", seed, narrow, impact.User, at, diff, w)
						}
					}
				}
			}
		}
	}
	if covered < 100 {
		t.Errorf("%d grants were covered: too few to say anything", covered)
	}
}

func TestCovers(t *testing.T) {
	t.Parallel()
	st := newWorld(func(int) int { return 1 }).state(t)
	p, err := NewPolicy(st.Policy.Catalogue(), nil)
	if err != nil {
		t.Fatal(err)
	}
	known := map[GroupID]Group{"planners": {ID: "planners", Parents: []GroupID{"staff"}}, "staff": {ID: "staff"}}
	at := func(sites ...SiteID) Scope { return Scope{Sites: map[DimensionID]Selection{"site": {Sites: sites}}} }
	all := Scope{Sites: map[DimensionID]Selection{"site": {All: true}}}
	keeper := func(to Grantee, scope Scope) Grant {
		return Grant{ID: "g", Subject: to, Effect: Allow, Product: "locks", Role: "keeper", Scope: scope}
	}
	staff, planners := Grantee{Group: "staff"}, Grantee{Group: "planners"}
	until := func(g Grant, at time.Time) Grant { g.Until = at; return g }
	deny := func(g Grant) Grant { g.Effect = Deny; return g }
	masked := func(g Grant) Grant { g.Mask = []PermissionID{"open"}; return g }
	for _, test := range []struct {
		why          string
		wide, narrow Grant
		want         bool
	}{
		{"the same twice", keeper(staff, at("utrecht")), keeper(staff, at("utrecht")), true},
		{"a site above", keeper(staff, at("nl")), keeper(staff, at("uithof", "breda")), true},
		{"a site below", keeper(staff, at("uithof")), keeper(staff, at("utrecht")), false},
		{"one of two sites", keeper(staff, at("breda")), keeper(staff, at("utrecht", "breda")), false},
		{"all sites", keeper(staff, all), keeper(staff, at("nl", "be")), true},
		{"all sites by name aren't those of tomorrow", keeper(staff, at("nl", "be")), keeper(staff, all), false},
		{"a group around", keeper(staff, at("nl")), keeper(planners, at("nl")), true},
		{"a group within", keeper(planners, at("nl")), keeper(staff, at("nl")), false},
		{"everyone", keeper(Grantee{Everyone: true}, at("nl")), keeper(Grantee{User: "ada"}, at("nl")), true},
		{"a person isn't her group", keeper(staff, at("nl")), keeper(Grantee{User: "ada"}, at("nl")), false},
		{"it ends sooner", until(keeper(staff, at("nl")), noon), keeper(staff, at("nl")), false},
		{"it ends later", until(keeper(staff, at("nl")), noon.Add(time.Hour)), until(keeper(staff, at("nl")), noon), true},
		{"a mask leaves less", masked(keeper(staff, at("nl"))), keeper(staff, at("nl")), false},
		{"less than all of it", keeper(staff, at("nl")), masked(keeper(staff, at("nl"))), true},
		{"a deny covers no allow", deny(keeper(staff, at("nl"))), keeper(staff, at("nl")), false},
		{"a deny covers a deny", deny(keeper(staff, at("nl"))), deny(keeper(planners, at("breda"))), true},
	} {
		test.wide.ID = "wide"
		if got := p.Covers(test.wide, test.narrow, known); got != test.want {
			t.Errorf("%s: got %v, want %v", test.why, got, test.want)
		}
	}
}
