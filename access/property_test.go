package access

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The fast answer, the complete one, the explanation and the text of the rule
// agree at every place, with dimensions left out, and at places that aren't there.
func TestAllAnswersAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapidDice(t))
		st := w.state(t)
		for _, id := range append([]UserID{"nobody"}, people...) {
			s := st.Facts.Subject(id)
			held := Resolve(st.Facts, st.Policy, id, st.At)
			for _, pr := range w.products() {
				places := append(w.places(pr.Dimensions, true), Place{"site": "gone"}, Place{"site": ""}, Place{"floor": "nl"}, Place{"team": "nl"})
				for _, permission := range append(pr.Permissions, Permission{ID: "gone"}) {
					for _, place := range places {
						want := w.naive(id, pr.ID, permission.ID, place)
						agree(t, st, s, held, pr, permission.ID, place, want)
					}
				}
			}
		}
	})
}

func agree(t *rapid.T, st State, s Subject, held Held, pr Product, permission PermissionID, place Place, want int) {
	q := Question{Product: pr.ID, Permission: permission, Place: place}
	name := append([]Level{""}, levelsOf(pr)...)[want]
	if got := st.Policy.Level(s, q, st.At); got != name {
		t.Fatalf("%s %+v: Level is %q, want %q", s.Person.ID, q, got, name)
	}
	for i, level := range levelsOf(pr) {
		q.Level = level
		yes := want > i
		if got := st.Policy.Allows(s, q, st.At); got != yes {
			t.Fatalf("%s %+v: Allows is %v, want %v", s.Person.ID, q, got, yes)
		}
		e := st.Policy.Explain(s, q, st.At)
		if e.Allowed != yes || yes && (e.Level != name || len(e.Through) == 0) || !yes && len(e.Missing) == 0 {
			t.Fatalf("%s %+v: %+v, want %v at %q", s.Person.ID, q, e, yes, name)
		}
	}
	for _, dimension := range append(slices.Sorted(maps.Keys(place)), pr.Dimensions...) {
		if _, named := place[dimension]; !named || !slices.Contains(pr.Dimensions, dimension) {
			return // an area is of places that name every dimension of the product, and no other
		}
	}
	var found []Item
	for _, item := range held.Items {
		if item.Product == pr.ID && item.Permission == permission && st.Policy.Contains(item.Area, place) {
			found = append(found, item)
		}
	}
	if want == 0 && len(found) > 0 || want > 0 && (len(found) != 1 || found[0].Level != name) {
		t.Fatalf("%s %s %v: held %+v, want %q", s.Person.ID, permission, place, found, name)
	}
}

// The preview is what then happens: 10,000 changes, each looked at person by
// person at some of the places. What was and what is comes from Level, which
// TestAllAnswersAgree holds to the rule.
func TestDiffIsWhatThenHappens(t *testing.T) {
	t.Parallel()
	kinds := make(map[DifferenceKind]int)
	for seed := range uint64(10_000) {
		d := seededDice(seed)
		before := newWorld(d)
		after := before.changed(d)
		for _, impact := range sameDiff(t, seed, d, before, after) {
			for _, diff := range impact.Differences {
				kinds[diff.Kind]++
			}
		}
		if t.Failed() {
			return
		}
	}
	for _, kind := range []DifferenceKind{Gains, Loses, Raises, Lowers, Keeps} {
		if kinds[kind] < 20 {
			t.Errorf("%s: %d times only", kind, kinds[kind])
		}
	}
}

func sameDiff(t *testing.T, seed uint64, d dice, before, after world) []Impact {
	t.Helper()
	a, b := before.state(t), after.state(t)
	all := Diff(a, b)
	impacts := make(map[UserID]Impact)
	for _, impact := range all {
		impacts[impact.User] = impact
	}
	for _, pr := range before.products() {
		then, _ := b.Policy.Product(pr.ID)
		of := slices.Clone(pr.Dimensions)
		for _, dimension := range then.Dimensions {
			if !slices.Contains(of, dimension) {
				of = append(of, dimension)
			}
		}
		places := after.places(of, false)
		for range 12 {
			place := pick(d, places...)
			if before.shut(place) && after.shut(place) {
				continue // closed all along: areas don't speak of it
			}
			permission := pick(d, pr.Permissions...).ID
			for _, id := range people {
				was, is := levelAt(a, id, pr, permission, place), levelAt(b, id, then, permission, place)
				got := at(impacts[id], b.Policy, pr.ID, permission, place)
				if len(got) > 1 || len(got) == 0 && was != is || len(got) == 1 && (got[0].Before != was || got[0].After != is) {
					t.Errorf("seed %d: %s %s %s %v: %q became %q, and the preview says %+v\nbefore %v\nafter %v",
						seed, id, pr.ID, permission, place, was, is, got, before, after)
				}
			}
		}
	}
	return all
}

// shut reports whether one of the place's sites is archived, or isn't there.
func (w world) shut(place Place) bool {
	for _, id := range place {
		if w.site(id) == nil || slices.ContainsFunc(w.upwards(id), func(above SiteID) bool { return w.site(above).Archived }) {
			return true
		}
	}
	return false
}

// levelAt asks about a place, with the dimensions that the product has.
func levelAt(st State, id UserID, pr Product, permission PermissionID, place Place) Level {
	own := make(Place)
	for _, dimension := range pr.Dimensions {
		own[dimension] = place[dimension]
	}
	return st.Policy.Level(st.Facts.Subject(id), Question{Product: pr.ID, Permission: permission, Place: own}, st.At)
}

// at is the differences about a place. A place archived by the change is in its
// area, too: that is where access is lost.
func at(impact Impact, p *Policy, product ProductID, permission PermissionID, place Place) []Difference {
	var found []Difference
	for _, diff := range impact.Differences {
		in := diff.Product == product && diff.Permission == permission
		for dimension, part := range diff.Area {
			in = in && p.contains(part, p.at[place[dimension]])
		}
		if in {
			found = append(found, diff)
		}
	}
	return found
}

// Nothing that doesn't change is in a preview, and the people nobody touched
// aren't either.
func TestDiffOfTheSameIsEmpty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(rapidDice(t))
		if got := Diff(w.state(t), w.copied().state(t)); len(got) > 0 {
			t.Fatalf("%+v", got)
		}
	})
}

// With a path's first step gone, the answer is no, or another of the listed
// paths gives it; with all first steps gone it is no.
func TestExplanationListsEveryPath(t *testing.T) {
	t.Parallel()
	several := 0
	rapid.Check(t, func(t *rapid.T) {
		d := rapidDice(t)
		w := newWorld(d)
		st := w.state(t)
		for _, id := range people {
			for _, item := range st.Policy.Held(st.Facts.Subject(id), st.At).Items {
				several += everyPath(t, d, w, st, id, item)
			}
		}
	})
	if several < 2 {
		t.Errorf("%d explanations with several paths only", several)
	}
}

// everyPath looks at the explanation of one thing held, at some place, and tells
// whether it has several paths.
func everyPath(t *rapid.T, d dice, w world, st State, id UserID, item Item) (several int) {
	pr, _ := st.Policy.Product(item.Product)
	places := slices.DeleteFunc(w.places(pr.Dimensions, false), func(place Place) bool { return !st.Policy.Contains(item.Area, place) })
	if len(places) == 0 {
		return 0 // for sites that are yet to come
	}
	q := Question{Product: item.Product, Permission: item.Permission, Level: item.Level, Place: pick(d, places...)}
	e := st.Policy.Explain(st.Facts.Subject(id), q, st.At)
	if !e.Allowed {
		t.Fatalf("%s %+v: held and not explained: %+v", id, q, e)
	}
	if len(e.Through) > 1 {
		several = 1
	}
	all := w
	for _, path := range e.Through {
		less := w.withoutFirstStep(id, path)
		all = all.withoutFirstStep(id, path)
		then := less.state(t).Policy.Explain(less.Facts.Subject(id), q, st.At)
		for _, other := range then.Through {
			listed := func(p Path) bool { return p.Grant.ID == other.Grant.ID && slices.Equal(p.Groups, other.Groups) }
			if !slices.ContainsFunc(e.Through, listed) {
				t.Fatalf("%s %+v: %+v wasn't listed", id, q, other)
			}
		}
	}
	if then := all.state(t).Policy.Explain(all.Facts.Subject(id), q, st.At); then.Allowed {
		t.Fatalf("%s %+v: still through %+v", id, q, then.Through)
	}
	return several
}

func someQuestion(d dice, w world) Question {
	pr := pick(d, w.products()...)
	return Question{
		Product: pr.ID, Permission: pick(d, pr.Permissions...).ID, Level: pick(d, levelsOf(pr)...),
		Place: pick(d, w.places(pr.Dimensions, true)...),
	}
}

func (w world) withoutFirstStep(id UserID, path Path) world {
	w = w.copied()
	if len(path.Groups) == 0 {
		w.Grants = slices.DeleteFunc(w.Grants, func(g Grant) bool { return g.ID == path.Grant.ID })
		return w
	}
	person := w.Facts.People[id]
	person.Groups = slices.DeleteFunc(slices.Clone(person.Groups), func(g GroupID) bool { return g == path.Groups[0] })
	w.Facts.People[id] = person
	return w
}

// What an explanation of no says is missing is what was missing: mended, the
// answer is yes, unless it needs mending of several things.
func TestWhatIsMissingIsEnough(t *testing.T) {
	t.Parallel()
	mended := 0
	rapid.Check(t, func(t *rapid.T) {
		d := rapidDice(t)
		w := newWorld(d)
		st := w.state(t)
		for range 40 {
			id, q := pick(d, people...), someQuestion(d, w)
			e := st.Policy.Explain(st.Facts.Subject(id), q, st.At)
			for _, missing := range e.Missing {
				then := w.copied()
				person := then.Facts.People[id]
				switch missing.Reasons[0] {
				case NotActive:
					person.Active = true
				case LoginBlocked:
					person.LoginAllowed = true
				case NotMember:
					person.Groups = append(slices.Clone(person.Groups), missing.Path.Groups[0])
				case Denied:
					then.Grants = slices.DeleteFunc(then.Grants, func(g Grant) bool { return g.ID == missing.Path.Grant.ID })
				default:
					continue
				}
				then.Facts.People[id] = person
				if len(e.Missing) > 1 && missing.Reasons[0] != NotMember || len(missing.Reasons) > 1 {
					continue
				}
				// The group may bring a deny along, which is then what is missing.
				now := then.state(t).Policy.Explain(then.Facts.Subject(id), q, st.At)
				for _, left := range now.Missing {
					if left.Reasons[0] == missing.Reasons[0] || left.Reasons[0] != Denied && len(e.Missing) == 1 {
						t.Fatalf("%s %+v: %+v mended, and still %+v", id, q, missing, now)
					}
				}
				mended++
			}
		}
	})
	if mended < 5 {
		t.Errorf("%d times only", mended)
	}
}

// No deny and no mask ever gives anybody more, and no allow takes anything away:
// mapping a parent group or site never lowers a higher role (GitLab #386021).
func TestEffectsAreMonotone(t *testing.T) {
	t.Parallel()
	more := func(before, after int) bool { return after > before }
	less := func(before, after int) bool { return after < before }
	rapid.Check(t, func(t *rapid.T) {
		d := rapidDice(t)
		w := newWorld(d)
		deny, allow := newGrant(d, "new"), newGrant(d, "new")
		deny.Effect, allow.Effect = Deny, Allow
		compare(t, w, w.plus(deny), more)
		compare(t, w, w.plus(allow), less)
		unmasked := newGrant(d, "new")
		unmasked.Mask = nil
		masked := unmasked
		masked.Mask = some(d, 3, "shifts", "hours", "open", "pages", AllPermissions)
		compare(t, w.plus(unmasked), w.plus(masked), more)
	})
}

func (w world) plus(g Grant) world {
	w = w.copied()
	w.Grants = append(w.Grants, g)
	return w
}

// compare fails if a level of anybody anywhere went the wrong way.
func compare(t *rapid.T, before, after world, wrong func(before, after int) bool) {
	a, b := before.state(t), after.state(t)
	for _, pr := range before.products() {
		for _, place := range before.places(pr.Dimensions, true) {
			for _, permission := range pr.Permissions {
				for _, id := range people {
					q := Question{Product: pr.ID, Permission: permission.ID, Place: place}
					was := slices.Index(levelsOf(pr), a.Policy.Level(a.Facts.Subject(id), q, a.At))
					is := slices.Index(levelsOf(pr), b.Policy.Level(b.Facts.Subject(id), q, b.At))
					if wrong(was, is) {
						t.Fatalf("%s %+v: %d became %d by %+v", id, q, was, is, after.Grants[len(after.Grants)-1])
					}
				}
			}
		}
	}
}

func TestInactiveHoldsNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := rapidDice(t)
		w := newWorld(d)
		for i, id := range people {
			person := w.Facts.People[id]
			switch i % 3 {
			case 0:
				person.Active = false
			case 1:
				person.LoginAllowed = false
			default:
				person.ExpiresAt = w.At
			}
			w.Facts.People[id] = person
		}
		st := w.state(t)
		for _, pr := range w.products() {
			if got := WhoHas(st, Question{Product: pr.ID}); len(got) > 0 {
				t.Fatalf("%s: %+v", pr.ID, got)
			}
		}
		for _, id := range people {
			held := Resolve(st.Facts, st.Policy, id, st.At)
			if len(held.Items)+len(held.Taken)+len(held.Attributes) > 0 || len(held.NotLive) == 0 {
				t.Fatalf("%+v", held)
			}
		}
		if got := Owners(st); len(got) > 0 {
			t.Fatalf("owners %v", got)
		}
	})
}

// Each search finds exactly what Allows allows, one by one.
func TestSearchesAgreeWithAllows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := rapidDice(t)
		w := newWorld(d)
		st := w.state(t)
		pr := pick(d, w.products()...)
		level := pick(d, levelsOf(pr)...)
		for _, permission := range pr.Permissions {
			areas := make(map[UserID][]Area)
			for _, id := range people {
				areas[id] = st.Policy.PlacesOf(st.Facts.Subject(id), pr.ID, permission.ID, level, st.At)
			}
			for _, place := range w.places(pr.Dimensions, true) {
				q := Question{Product: pr.ID, Permission: permission.ID, Level: level, Place: place}
				holders := WhoHas(st, q)
				for _, id := range people {
					s := st.Facts.Subject(id)
					want := st.Policy.Allows(s, q, st.At)
					if got := slices.ContainsFunc(holders, func(h Holder) bool { return h.User == id }); got != want {
						t.Fatalf("WhoHas %+v: %s %v, want %v", q, id, got, want)
					}
					actions := st.Policy.ActionsAt(s, pr.ID, place, st.At)
					name := st.Policy.Level(s, q, st.At)
					if got := slices.Contains(actions, Holder{User: id, Permission: permission.ID, Level: name}); got != (name != "") {
						t.Fatalf("ActionsAt %+v: %s %v, want %q", q, id, actions, name)
					}
					if len(place) < len(pr.Dimensions) {
						continue
					}
					in := slices.ContainsFunc(areas[id], func(a Area) bool { return st.Policy.Contains(a, place) })
					if in != want {
						t.Fatalf("PlacesOf %+v: %s %v, want %v of %+v", q, id, in, want, areas[id])
					}
				}
			}
		}
	})
}

func TestSitesOfAgreesWithAllows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := rapidDice(t)
		w := newWorld(d)
		st := w.state(t)
		for _, id := range people {
			q := someQuestion(d, w)
			for _, dimension := range dimensions {
				s := st.Facts.Subject(id)
				sites, all := st.Policy.SitesOf(s, q, dimension, st.At)
				place := Place{}
				for k, v := range q.Place {
					place[k] = v
				}
				one := q
				one.Place = place
				delete(place, dimension)
				pr, _ := st.Policy.Product(q.Product)
				if want := slices.Contains(pr.Dimensions, dimension) && st.Policy.Allows(s, one, st.At); all != want {
					t.Fatalf("%s %+v %s: all %v, want %v", id, q, dimension, all, want)
				}
				for _, site := range w.Catalogue.Sites {
					place[dimension] = site.ID
					if want := st.Policy.Allows(s, one, st.At); slices.Contains(sites, site.ID) != want {
						t.Fatalf("%s %+v: %s listed %v, want %v", id, q, site.ID, !want, want)
					}
				}
			}
		}
	})
}

// Nobody can make a change that reaches beyond their own rights: not outside the
// own sites, not above the own rights in the console, not for themselves.
func TestNobodyAmplifies(t *testing.T) {
	t.Parallel()
	made := 0
	rapid.Check(t, func(t *rapid.T) {
		d := rapidDice(t)
		w := newWorld(d)
		actor := pick(d, people...)
		person := w.Facts.People[actor]
		person.Active, person.LoginAllowed, person.ExpiresAt = true, true, pick(d, time.Time{}, w.At.Add(1))
		w.Facts.People[actor] = person
		w.Grants = append(w.Grants, Grant{
			ID: "job", Subject: Grantee{User: actor}, Effect: Allow, Product: ConsoleID,
			Role: pick(d, RoleOwner, RoleAccessAdministrator, RoleSiteAdministrator, RoleSiteAdministrator), Scope: newScope(d, ConsoleID),
		})
		before, after := w, w.copied()
		var from, to *Grant
		switch i := d(len(w.Grants)); d(3) {
		case 0:
			from = &w.Grants[i]
			after.Grants = slices.Delete(after.Grants, i, i+1)
		case 1:
			from = &w.Grants[i]
			after.Grants[i] = newGrant(d, from.ID)
			to = &after.Grants[i]
		default:
			after.Grants = append(after.Grants, newGrant(d, "new"))
			to = &after.Grants[len(after.Grants)-1]
		}
		a := before.state(t)
		s := a.Facts.Subject(actor)
		if len(a.Policy.MayChange(s, from, to, a.At)) > 0 {
			return
		}
		made++
		owner := slices.Contains(Owners(a), actor)
		for _, minutes := range []time.Duration{30, 90} {
			noLonger(t, w, after, actor, owner, w.At.Add(minutes*time.Minute))
		}
		for _, pr := range w.products() {
			for _, place := range w.places(pr.Dimensions, false) {
				may := w.naive(actor, ConsoleID, ConsoleAccess, place) == 2
				for _, permission := range pr.Permissions {
					own := w.naive(actor, pr.ID, permission.ID, place)
					for _, id := range people {
						was, is := w.naive(id, pr.ID, permission.ID, place), after.naive(id, pr.ID, permission.ID, place)
						switch {
						case was == is:
						case !may:
							t.Fatalf("%s changes %s of %s at %v, outside the own sites: %+v to %+v", actor, permission.ID, id, place, from, to)
						case pr.ID == ConsoleID && is > own:
							t.Fatalf("%s makes %s more than himself: %s %v", actor, id, permission.ID, place)
						case id == actor && is > was && !owner:
							t.Fatalf("%s gives himself %s at %v: %+v to %+v", actor, permission.ID, place, from, to)
						}
					}
				}
			}
		}
	})
	if made < 2 {
		t.Errorf("%d changes were allowed only", made)
	}
}

// noLonger fails if the actor has more at a later instant than without the change.
func noLonger(t *rapid.T, before, after world, actor UserID, owner bool, at time.Time) {
	before.At, after.At = at, at
	a, b := before.state(t), after.state(t)
	for _, impact := range Diff(a, b) {
		for _, diff := range impact.Differences {
			if impact.User == actor && (diff.Kind == Gains || diff.Kind == Raises) && (!owner || diff.Product == ConsoleID) {
				t.Fatalf("%s has %+v at %s", actor, diff, at)
			}
		}
	}
}

// From a state with a lasting owner, allowed changes never lead to a day without
// one, whatever day is looked at.
func TestAnOwnerRemains(t *testing.T) {
	t.Parallel()
	refused := 0
	rapid.Check(t, func(t *rapid.T) {
		d := rapidDice(t)
		w := newWorld(d)
		w.Facts.People["ada"] = Person{ID: "ada", Active: true, LoginAllowed: true}
		w.Grants = []Grant{{ID: "first", Subject: Grantee{User: "ada"}, Effect: Allow, Product: ConsoleID, Role: RoleOwner, Scope: Scope{Everywhere: true}}}
		for i := range 30 {
			next := w.changed(d)
			next.At = w.At
			if d(2) == 0 {
				g := newGrant(d, GrantID(fmt.Sprintf("c%d", i)))
				g.Product, g.Role, g.Permission, g.Level = ConsoleID, RoleOwner, "", ""
				next.Grants = append(next.Grants, g)
			}
			// The new grants of a chain of changes may not share an id.
			for j := range next.Grants {
				if next.Grants[j].ID == "new" {
					next.Grants[j].ID = GrantID(fmt.Sprintf("n%d", i))
				}
			}
			if KeepsOwner(w.state(t), next.state(t)) != nil {
				refused++
				continue
			}
			w = next
			for hours := range 4 {
				later := w.state(t)
				later.At = later.At.Add(time.Duration(hours) * time.Hour)
				if len(Owners(later)) == 0 {
					t.Fatalf("no owner %d hours later: %+v", hours, w)
				}
			}
		}
	})
	if refused < 20 {
		t.Errorf("%d refused only", refused)
	}
}

// What breaks an assertion is what the rule's text allows, place by place.
func TestAssertionsFindWhoBreaksThem(t *testing.T) {
	t.Parallel()
	breaches := 0
	rapid.Check(t, func(t *rapid.T) {
		d := rapidDice(t)
		w := newWorld(d)
		st := w.state(t)
		for range 40 {
			breaches += assertion(t, d, w, st)
		}
	})
	if breaches < 3 {
		t.Errorf("%d breaches only", breaches)
	}
}

// assertion makes one up, compares who breaks it and tells how many do.
func assertion(t *rapid.T, d dice, w world, st State) (breaches int) {
	scope := newScope(d, "roster")
	a := Assertion{Name: "a", Kind: KindClient, Product: "roster", Permission: "payroll", Level: pick[Level](d, "view", "edit"), Scope: scope}
	got, err := Check(st, []Assertion{a})
	if err != nil {
		readable, _ := st.Policy.With(Grant{ID: "probe", Subject: Grantee{Everyone: true}, Effect: Allow, Product: "roster", Permission: "payroll", Level: "view", Scope: scope})
		if r := readable.byID["probe"]; len(r.problems) == 0 {
			t.Fatalf("%+v: %v", scope, err)
		}
		return 0
	}
	for _, id := range people {
		want := false
		for _, place := range w.places(dimensions, false) {
			in := w.covers(Grant{Effect: Allow, Scope: scope}, w.Catalogue.Products[0], place)
			want = want || in && w.Facts.People[id].Kind == KindClient && w.naive(id, "roster", "payroll", place) >= slices.Index([]Level{"", "view", "edit"}, a.Level)
		}
		breach := slices.ContainsFunc(got, func(b Breach) bool { return b.User == id })
		// A grant for sites added tomorrow breaks it today.
		if breach != want && !(breach && scope.Everywhere) && !(breach && scope.Sites["site"].All) && !(breach && scope.Sites["team"].All) {
			t.Fatalf("%s: breach %v, want %v: %+v", id, breach, want, got)
		}
		if breach {
			breaches++
		}
	}
	return breaches
}
