package access

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// large is 100,000 people with five groups each of 2,000, a tree of 1,000 sites
// with five below each, and 500 mappings.
func large(tb testing.TB) (State, []Question) {
	d := rand.New(rand.NewPCG(1, 1))
	catalogue := Catalogue{
		Dimensions: []Dimension{{ID: "site"}},
		Products: []Product{{
			ID: "roster", Levels: []Level{"view", "maintain"}, Dimensions: []DimensionID{"site"},
			Permissions: []Permission{{ID: "shifts"}, {ID: "hours"}, {ID: "reports"}, {ID: "payroll"}},
			Roles: []Role{
				{ID: "viewer", Permissions: map[PermissionID]Level{AllPermissions: "view"}},
				{ID: "planner", Permissions: map[PermissionID]Level{"shifts": "maintain", "hours": "view"}},
				{ID: "manager", Permissions: map[PermissionID]Level{AllPermissions: "maintain", "payroll": "view"}},
			},
		}},
	}
	site := func(i int) SiteID { return SiteID(fmt.Sprintf("0198c0de-0000-7000-8000-%012d", i)) }
	group := func(i int) GroupID { return GroupID(fmt.Sprintf("0198c0de-0001-7000-8000-%012d", i)) }
	user := func(i int) UserID { return UserID(fmt.Sprintf("0198c0de-0002-7000-8000-%012d", i)) }
	for i := range 1000 {
		s := Site{ID: site(i), Dimension: "site"}
		if i > 0 {
			s.Parent = site((i - 1) / 5)
		}
		catalogue.Sites = append(catalogue.Sites, s)
	}
	facts := Facts{People: make(map[UserID]Person), Groups: make(map[GroupID]Group)}
	for i := range 2000 {
		facts.Groups[group(i)] = Group{ID: group(i)}
	}
	for i := range 100_000 {
		p := Person{ID: user(i), Active: true, LoginAllowed: true}
		for range 5 {
			p.Groups = append(p.Groups, group(d.IntN(2000)))
		}
		facts.People[p.ID] = p
	}
	var grants []Grant
	for i := range 500 {
		grants = append(grants, Grant{
			ID: GrantID(fmt.Sprint("m", i)), Subject: Grantee{Group: group(d.IntN(1000))}, Effect: Allow, Product: "roster",
			Role:   []RoleID{"viewer", "planner", "manager"}[d.IntN(3)],
			Scope:  Scope{Sites: map[DimensionID]Selection{"site": {Sites: []SiteID{site(d.IntN(1000)), site(d.IntN(1000)), site(d.IntN(30))}}}},
			Origin: OriginMapping,
		})
	}
	p, err := NewPolicy(catalogue, append(grants, ConsoleBaseline("baseline")))
	if err != nil {
		tb.Fatal(err)
	}
	var questions []Question
	for range 4096 {
		questions = append(questions, Question{
			Product: "roster", Permission: "shifts", Level: []Level{"view", "maintain"}[d.IntN(2)], Place: Place{"site": site(d.IntN(1000))},
		})
	}
	return State{Facts: facts, Policy: p, At: noon}, questions
}

// A policy is asked by many at once; the race detector watches.
func TestAPolicyServesMany(t *testing.T) {
	t.Parallel()
	w := newWorld(seededDice(7))
	st := w.state(t)
	var all sync.WaitGroup
	for i := range uint64(8) {
		all.Go(func() {
			d := seededDice(i)
			for range 50 {
				s, q := st.Facts.Subject(pick(d, people...)), someQuestion(d, w)
				if st.Policy.Allows(s, q, st.At) != st.Policy.Explain(s, q, st.At).Allowed {
					t.Errorf("%s %+v: the answers differ", s.Person.ID, q)
				}
				st.Policy.Held(s, st.At)
				if _, err := st.Policy.With(newGrant(d, "new")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func BenchmarkAllows(b *testing.B) {
	st, questions := large(b)
	var subjects []Subject
	for id := range st.Facts.People {
		subjects = append(subjects, st.Facts.Subject(id))
	}
	b.ReportAllocs()
	yes := 0
	for i := 0; b.Loop(); i++ {
		if st.Policy.Allows(subjects[i*7919%len(subjects)], questions[i%len(questions)], st.At) {
			yes++
		}
	}
	b.ReportMetric(float64(yes)/float64(b.N), "yes/op")
}

// BenchmarkSubject is what a decision adds to reading a person and her groups.
func BenchmarkSubject(b *testing.B) {
	st, _ := large(b)
	people := slices.Collect(maps.Values(st.Facts.People))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		NewSubject(people[i*7919%len(people)], st.Facts.Groups)
	}
}

func BenchmarkResolve(b *testing.B) {
	st, _ := large(b)
	var subjects []Subject
	for id := range st.Facts.People {
		subjects = append(subjects, st.Facts.Subject(id))
	}
	for i := 0; b.Loop(); i++ {
		st.Policy.Held(subjects[i*7919%len(subjects)], st.At)
	}
}

func BenchmarkNewPolicy(b *testing.B) {
	st, _ := large(b)
	grants := st.Policy.Grants()
	for b.Loop() {
		if _, err := NewPolicy(st.Policy.catalogue, grants); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDiff previews a new mapping for everybody: 100,000 people in the facts.
func BenchmarkDiff(b *testing.B) {
	st, _ := large(b)
	group := GroupID(fmt.Sprintf("0198c0de-0001-7000-8000-%012d", 7))
	after, err := st.Policy.With(Grant{
		ID: "new", Subject: Grantee{Group: group}, Effect: Allow, Product: "roster", Role: "manager",
		Scope: Scope{Sites: map[DimensionID]Selection{"site": {All: true}}},
	})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if len(Diff(st, State{Facts: st.Facts, Policy: after, At: st.At})) == 0 {
			b.Fatal("nobody gains")
		}
	}
}
