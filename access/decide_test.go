package access

import (
	"maps"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Decide says what Allows says, and why not as Explain does, whom a question is
// answered with yes is in its audience, and what is held in one product is what is
// held of it at all.
func TestDecisionsAgreeWithAllows(t *testing.T) {
	t.Parallel()
	seen := map[Reason]int{}
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapidDice(t))
		st := w.state(t)
		for _, pr := range w.products() {
			places := append(w.places(pr.Dimensions, true), Place{"site": "gone"}, Place{"floor": "nl"})
			for _, permission := range append(pr.Permissions, Permission{ID: "gone"}) {
				for _, place := range places {
					q := Question{Product: pr.ID, Permission: permission.ID, Level: levelsOf(pr)[0], Place: place}
					audience := st.Policy.Audience(q, st.At)
					for _, id := range append([]UserID{"nobody"}, people...) {
						s := st.Facts.Subject(id)
						yes := st.Policy.Allows(s, q, st.At)
						if yes && !audience.Everyone && !slices.Contains(audience.Users, id) &&
							!slices.ContainsFunc(s.Groups, func(g GroupID) bool { return slices.Contains(audience.Groups, g) }) {
							t.Fatalf("%s has %+v and is not in its audience %+v", id, q, audience)
						}
						for _, q.Level = range levelsOf(pr) {
							got, reason := st.Policy.Decide(s, q, st.At)
							if want := st.Policy.Allows(s, q, st.At); got != want || got != (reason == "") {
								t.Fatalf("%s %+v: decided %v because of %q, want %v", id, q, got, reason, want)
							}
							seen[reason]++
							e := st.Policy.Explain(s, q, st.At)
							switch reason {
							case "", NotGranted:
							case Denied, OtherSite, LevelTooLow:
								if !slices.ContainsFunc(e.Missing, func(m Missing) bool { return slices.Contains(m.Reasons, reason) }) && reason == Denied {
									t.Fatalf("%s %+v: decided %q, explained %+v", id, q, reason, e.Missing)
								}
							default:
								if e.Missing[0].Reasons[0] != reason {
									t.Fatalf("%s %+v: decided %q, explained %+v", id, q, reason, e.Missing)
								}
							}
						}
						q.Level = levelsOf(pr)[0]
					}
				}
			}
			for _, id := range people {
				all, one := st.Policy.Held(st.Facts.Subject(id), st.At), st.Policy.HeldIn(st.Facts.Subject(id), pr.ID, st.At)
				all.Items = slices.DeleteFunc(all.Items, func(i Item) bool { return i.Product != pr.ID })
				all.Taken = slices.DeleteFunc(all.Taken, func(i Item) bool { return i.Product != pr.ID })
				maps.DeleteFunc(all.Attributes, func(p ProductID, _ map[string][]string) bool { return p != pr.ID })
				if len(all.Items)+len(one.Items) > 0 && !reflect.DeepEqual(all.Items, one.Items) ||
					len(all.Taken)+len(one.Taken) > 0 && !reflect.DeepEqual(all.Taken, one.Taken) ||
					len(all.Attributes)+len(one.Attributes) > 0 && !reflect.DeepEqual(all.Attributes, one.Attributes) {
					t.Fatalf("%s in %s:\ngot  %+v\nwant %+v", id, pr.ID, one, all)
				}
			}
		}
	})
	for _, reason := range []Reason{"", Denied, OtherSite, LevelTooLow, NotGranted, UnknownPermission, UnknownSite, UnknownDimension, UnknownPerson, NotActive} {
		if seen[reason] == 0 {
			t.Errorf("nothing was ever decided because of %q", reason)
		}
	}
}
