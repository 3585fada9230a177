package impact_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"
)

// What a preview shows is what a save does, to exactly the people that it names;
// what it refuses doesn't happen; and when somebody joined a group in between,
// either nobody's preview changed or nothing is saved.
func TestWhatIsShownHappens(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		saved, named, refused, stale := 0, 0, 0, 0
		for seed := range uint64(60) {
			d := dice{rand.New(rand.NewPCG(seed, 7))}
			p := d.proposal(w, w.snapshot(t))
			look, err := impact.Look(t.Context(), w.Store, w.as("sam"), p)
			if err != nil {
				t.Fatalf("seed %d: %v: %+v", seed, err, p)
			}
			if d.IntN(3) == 0 {
				w.join(t, pick(d, groups), store.MemberID(w.users[pick(d, people)]))
			}
			before := w.snapshot(t)
			done, err := w.save(t, "sam", p, impact.Agreed{Digest: look.Digest, Typed: look.Typed})
			if errors.Is(err, impact.ErrStale) {
				stale++
				same(t, seed, before, w.snapshot(t))
				look = done.Preview
				done, err = w.save(t, "sam", p, impact.Agreed{Digest: look.Digest, Typed: look.Typed})
			}
			after := w.snapshot(t)
			if len(look.Refused) > 0 || errors.Is(err, impact.ErrRefused) {
				refused++
				if !errors.Is(err, impact.ErrRefused) {
					t.Fatalf("seed %d: refused, and yet: %v: %+v", seed, err, look.Refused)
				}
				same(t, seed, before, after)
				continue
			}
			if err != nil {
				t.Fatalf("seed %d: %v: %+v", seed, err, p)
			}
			compare(t, seed, look, before, after)
			saved++
			named += len(look.People)
		}
		t.Logf("%d saved for %d people, %d refused, %d stale", saved, named, refused, stale)
		if saved < 30 || named < 30 || refused < 3 || stale < 2 {
			t.Errorf("%d saved for %d people, %d refused, %d stale: too few to say anything", saved, named, refused, stale)
		}
	})
}

func same(t *testing.T, seed uint64, before, after store.Snapshot) {
	t.Helper()
	if fmt.Sprintf("%+v", before) != fmt.Sprintf("%+v", after) {
		t.Errorf("seed %d: nothing was to change:\n%+v\n%+v", seed, before, after)
	}
}

// fate is what becomes of a permission somewhere.
type fate struct {
	product    access.ProductID
	permission access.PermissionID
	from, to   access.Level
}

// compare asks every question before and after, of everybody.
func compare(t *testing.T, seed uint64, look *impact.Preview, before, after store.Snapshot) {
	t.Helper()
	was, is := tomorrow(t, before, look.At), tomorrow(t, after, look.At)
	said := map[access.UserID]map[fate]bool{}
	for _, person := range look.People {
		said[person.User] = map[fate]bool{}
		for _, d := range person.Differences {
			if d.Kind != access.Keeps {
				said[person.User][fate{d.Product, d.Permission, d.Before, d.After}] = true
			}
		}
	}
	for user := range before.Facts.People {
		x, y := was.Facts.Subject(user), is.Facts.Subject(user)
		seen := map[fate]bool{}
		for _, q := range questions(was.Policy, is.Policy, before, after) {
			from := was.Policy.Level(x, within(was.Policy, q), look.At)
			to := is.Policy.Level(y, within(is.Policy, q), look.At)
			if from != to {
				seen[fate{q.Product, q.Permission, from, to}] = true
			}
		}
		if !maps.Equal(seen, said[user]) {
			t.Errorf("seed %d: %s: the preview says %v, what happened is %v", seed, before.Users[user].Name, said[user], seen)
		}
	}
}

// tomorrow is a state in which there is one site more, which "all sites" reach.
func tomorrow(t *testing.T, s store.Snapshot, at time.Time) access.State {
	t.Helper()
	c := s.Catalogue
	c.Sites = append(slices.Clone(c.Sites), access.Site{ID: "tomorrow", Dimension: "site"})
	p, err := access.NewPolicy(c, s.Grants)
	if err != nil {
		t.Fatal(err)
	}
	return access.State{Facts: s.Facts, Policy: p, At: at}
}

// questions are all: each permission at each site, known before or after. Of a
// dimension as a whole a deny at one site takes away all: no area says that.
func questions(was, is *access.Policy, before, after store.Snapshot) []access.Question {
	sites := map[access.SiteID]bool{"tomorrow": true}
	for _, s := range slices.Concat(before.Catalogue.Sites, after.Catalogue.Sites) {
		sites[s.ID] = true
	}
	var all []access.Question
	for _, p := range append(was.Products(), is.Products()...) {
		for _, permission := range p.Permissions {
			for site := range sites {
				all = append(all, access.Question{Product: p.ID, Permission: permission.ID, Place: access.Place{"site": site}})
			}
		}
	}
	return all
}

// within leaves out of a question the dimensions that the product doesn't have.
func within(p *access.Policy, q access.Question) access.Question {
	product, _ := p.Product(q.Product)
	if !slices.Contains(product.Dimensions, "site") {
		q.Place = nil
	}
	return q
}

// dice draw proposals.
type dice struct{ *rand.Rand }

func pick[T any](d dice, from []T) T { return from[d.IntN(len(from))] }

// proposal draws one or two steps on a tenant as it is.
func (d dice) proposal(w *world, s store.Snapshot) impact.Proposal {
	var p impact.Proposal
	touched := map[access.GrantID]bool{}
	old := func() (access.Grant, bool) {
		g := pick(d, s.Grants)
		ok := !touched[g.ID] && g.Product != access.ConsoleID
		touched[g.ID] = true
		return g, ok
	}
	for range 1 + d.IntN(3) {
		switch d.IntN(14) {
		case 0, 1, 2, 3, 4:
			p.Add = append(p.Add, d.grant(w))
		case 5, 6:
			if g, ok := old(); ok {
				p.End = append(p.End, g.ID)
			}
		case 7, 8:
			if g, ok := old(); ok {
				next := d.grant(w)
				next.ID, next.Subject = g.ID, g.Subject
				p.Change = append(p.Change, next)
			}
		case 9:
			p.AddSites = []access.Site{{ID: "new", Dimension: "site", Name: "New", Parent: w.sites[pick(d, []string{"", "nl", "utrecht"})]}}
		case 10:
			site := pick(d, s.Catalogue.Sites)
			switch d.IntN(3) {
			case 0:
				site.Archived = !site.Archived
			case 1:
				site.Parent = w.sites[pick(d, []string{"", "nl", "be"})]
			default:
				site.Name += "!"
			}
			p.ChangeSites = []access.Site{site}
		case 11:
			product := roster()
			if len(s.Catalogue.Products) > 0 {
				product = s.Catalogue.Products[0]
			}
			product.Roles = slices.Clone(product.Roles)
			product.Roles[d.IntN(len(product.Roles))].Permissions = map[access.PermissionID]access.Level{
				pick(d, []access.PermissionID{"shifts", "salary", access.AllPermissions}): pick(d, product.Levels)}
			product.Rules.Holders = nil
			p.Products = []access.Product{product}
		case 12:
			person := store.Person{LoginAllowed: d.IntN(2) == 0, Kind: pick(d, []access.Kind{access.KindEmployee, access.KindClient})}
			person.ExpiresAt = pick(d, []time.Time{{}, {}, now.Add(-time.Hour), now.AddDate(0, 0, 5)})
			p.People = []impact.PersonChange{{User: store.UserID(w.users[pick(d, people[2:])]), Person: person}}
		default:
			g := w.console(pick(d, people[2:]), pick(d, []access.RoleID{access.RoleAuditor, access.RoleSiteAdministrator}), pick(d, [][]string{nil, {"breda"}})...)
			p.Add = append(p.Add, g)
		}
	}
	return p
}

func (d dice) grant(w *world) access.Grant {
	g := access.Grant{Effect: access.Allow, Product: "roster", Origin: access.OriginMapping}
	switch d.IntN(8) {
	case 0:
		g.Subject.Everyone = true
	case 1, 2:
		g.Subject.User = w.users[pick(d, people)]
	default:
		g.Subject.Group = w.groups[pick(d, groups)]
	}
	if d.IntN(5) == 0 {
		g.Effect = access.Deny
	}
	switch d.IntN(3) {
	case 0:
		g.Permission, g.Level = pick(d, []access.PermissionID{"shifts", "salary", access.AllPermissions}), pick(d, []access.Level{"view", "edit"})
	default:
		g.Role = pick(d, []access.RoleID{"viewer", "planner", "payroll"})
	}
	if g.Effect == access.Allow && d.IntN(5) == 0 {
		g.Mask = []access.PermissionID{"shifts"}
	}
	g.Scope = pick(d, []access.Scope{{Everywhere: true}, w.scope(), w.scope("nl"), w.scope("utrecht", "be"), w.scope("uithof"), {}})
	g.From = pick(d, []time.Time{{}, {}, {}, now.Add(-time.Hour), now.Add(48 * time.Hour)})
	g.Until = pick(d, []time.Time{{}, {}, {}, now.Add(-time.Minute), now.Add(96 * time.Hour)})
	return g
}
