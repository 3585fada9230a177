package access

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// dice throws a number below n: rapid's for tests, so that a failure shrinks, and
// a seeded one for the corpus.
type dice func(n int) int

// rapidDice throws bit by bit: rapid's integers prefer small ones, and a world of
// firsts is one in which hardly anybody is live.
func rapidDice(t *rapid.T) dice {
	return func(n int) int {
		x := 0
		for range 9 {
			x <<= 1
			if rapid.Bool().Draw(t, "") {
				x++
			}
		}
		return x % n
	}
}

func seededDice(seed uint64) dice { return rand.New(rand.NewPCG(seed, seed)).IntN }

func pick[T any](d dice, from ...T) T { return from[d(len(from))] }

func some[T any](d dice, most int, from ...T) []T {
	var all []T
	for range d(most + 1) {
		all = append(all, pick(d, from...))
	}
	return all
}

// world is a small company: two dimensions, three products and the console.
type world struct {
	Catalogue Catalogue `json:"catalogue"`
	Facts     Facts     `json:"facts"`
	Grants    []Grant   `json:"grants"`
	At        time.Time `json:"at"`
}

var (
	people     = []UserID{"ada", "alice", "bob", "chloe", "daan"}
	groupIDs   = []GroupID{"staff", "planners", "technicians", "night", "loop"}
	siteIDs    = []SiteID{"nl", "utrecht", "uithof", "breda", "be", "gent"}
	teamIDs    = []SiteID{"guards", "cleaners", "nightguards"}
	dimensions = []DimensionID{"site", "team"}
)

func newWorld(d dice) world {
	w := world{At: noon}
	w.Catalogue = Catalogue{
		Dimensions: []Dimension{{ID: "site"}, {ID: "team"}},
		Sites: []Site{
			{ID: "nl", Dimension: "site", Key: "nl"}, {ID: "utrecht", Dimension: "site", Parent: "nl"},
			{ID: "uithof", Dimension: "site", Parent: "utrecht"}, {ID: "breda", Dimension: "site", Parent: "nl"},
			{ID: "be", Dimension: "site"}, {ID: "gent", Dimension: "site", Parent: "be"},
			{ID: "guards", Dimension: "team"}, {ID: "cleaners", Dimension: "team"}, {ID: "nightguards", Dimension: "team", Parent: "guards"},
		},
		Products: []Product{
			{
				ID: "roster", Levels: []Level{"view", "edit", "approve"}, Dimensions: []DimensionID{"site", "team"},
				Permissions: []Permission{{ID: "shifts"}, {ID: "hours"}, {ID: "payroll", Tags: []string{"sensitive"}}},
				Roles: []Role{
					{ID: "viewer", Permissions: map[PermissionID]Level{AllPermissions: "view"}},
					{ID: "planner", Permissions: map[PermissionID]Level{"shifts": "edit", "hours": "view"}},
					{ID: "boss", Permissions: map[PermissionID]Level{AllPermissions: "approve", "payroll": "view"}, Personal: true},
				},
			},
			{
				ID: "locks", Dimensions: []DimensionID{"site"}, Permissions: []Permission{{ID: "open"}, {ID: "program"}},
				Roles: []Role{{ID: "keeper", Permissions: map[PermissionID]Level{AllPermissions: LevelAllow}}},
			},
			{
				ID: "wiki", Levels: []Level{"view", "edit"}, Permissions: []Permission{{ID: "pages"}},
				Roles: []Role{{ID: "writer", Permissions: map[PermissionID]Level{"pages": "edit"}}},
			},
		},
	}
	for i := range w.Catalogue.Sites {
		w.Catalogue.Sites[i].Archived = d(12) == 0
	}
	w.Facts = Facts{People: make(map[UserID]Person), Groups: make(map[GroupID]Group)}
	for _, id := range groupIDs {
		w.Facts.Groups[id] = Group{ID: id, Parents: some(d, 2, groupIDs...)}
	}
	for _, id := range people {
		w.Facts.People[id] = newPerson(d, id)
	}
	for i := range d(10) {
		w.Grants = append(w.Grants, newGrant(d, GrantID(fmt.Sprintf("g%d", i))))
	}
	return w
}

func newPerson(d dice, id UserID) Person {
	p := Person{ID: id, Kind: pick(d, KindEmployee, KindClient), Active: d(8) > 0, LoginAllowed: d(8) > 0}
	p.Groups = some(d, 2, append(groupIDs, "gone")...)
	p.ExpiresAt = pick(d, time.Time{}, time.Time{}, time.Time{}, noon, noon.Add(time.Hour))
	return p
}

func newGrant(d dice, id GrantID) Grant {
	g := Grant{ID: id, Effect: pick(d, Allow, Allow, Allow, Deny)}
	switch d(6) {
	case 0:
		g.Subject.Everyone = true
	case 1, 2:
		g.Subject.User = pick(d, people...)
	default:
		g.Subject.Group = pick(d, groupIDs...)
	}
	g.Product = pick(d, "roster", "roster", "roster", "roster", "locks", "wiki", ConsoleID, ConsoleID)
	if d(40) == 0 {
		g.Product = "gone"
	}
	if d(2) == 0 {
		roles := map[ProductID][]RoleID{
			"roster": {"viewer", "planner", "boss"}, "locks": {"keeper"}, "wiki": {"writer"}, "gone": {"viewer"},
			ConsoleID: {RoleOwner, RoleAccessAdministrator, RoleSiteAdministrator, RoleAuditor},
		}
		g.Role = pick(d, roles[g.Product]...)
		if d(25) == 0 {
			g.Role = "gone"
		}
	} else {
		permissions := map[ProductID][]PermissionID{
			"roster": {"shifts", "hours", "payroll"}, "locks": {"open", "program"}, "wiki": {"pages"}, "gone": {"pages"},
			ConsoleID: {ConsoleAccess, ConsolePeople, ConsoleOwn},
		}
		levels := map[ProductID][]Level{
			"roster": {"view", "edit", "approve"}, "locks": {LevelAllow}, "wiki": {"view", "edit"}, "gone": {"view"},
			ConsoleID: {LevelView, LevelChange},
		}
		g.Permission, g.Level = pick(d, permissions[g.Product]...), pick(d, levels[g.Product]...)
		if d(12) == 0 {
			g.Permission = pick(d, AllPermissions, "gone")
		}
		if d(25) == 0 {
			g.Level = "gone"
		}
	}
	g.Scope = newScope(d, g.Product)
	if d(5) == 0 {
		g.Mask = some(d, 2, "shifts", "hours", "open", "pages", ConsoleAccess)
	}
	window := pick(d, [2]time.Duration{}, [2]time.Duration{}, [2]time.Duration{}, [2]time.Duration{-2, -1}, [2]time.Duration{-1, 1}, [2]time.Duration{1, 2})
	if window != [2]time.Duration{} {
		g.From, g.Until = noon.Add(window[0]*time.Hour), noon.Add(window[1]*time.Hour)
	}
	return g
}

func newScope(d dice, product ProductID) Scope {
	switch d(12) {
	case 0:
		return Scope{}
	case 1, 2:
		return Scope{Everywhere: true}
	}
	if product == "wiki" && d(10) > 0 {
		return Scope{Everywhere: true}
	}
	s := Scope{Sites: make(map[DimensionID]Selection)}
	for _, dimension := range dimensions {
		sites := siteIDs
		if dimension == "team" {
			sites = teamIDs
			if product == "locks" && d(15) > 0 {
				continue
			}
		}
		switch d(12) {
		case 0: // left out
		case 1, 2, 3:
			s.Sites[dimension] = Selection{All: true}
		case 4:
			s.Sites[dimension] = Selection{Sites: append(some(d, 1, sites...), "gone")}
		default:
			s.Sites[dimension] = Selection{Sites: append(some(d, 1, sites...), pick(d, sites...))}
		}
	}
	return s
}

func (w world) String() string {
	text, err := json.Marshal(w)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// copied is a deep copy, so that a change of one world leaves the other alone.
func (w world) copied() world {
	w.Catalogue.Sites = slices.Clone(w.Catalogue.Sites)
	w.Catalogue.Products = slices.Clone(w.Catalogue.Products)
	w.Facts = Facts{People: maps.Clone(w.Facts.People), Groups: maps.Clone(w.Facts.Groups)}
	w.Grants = slices.Clone(w.Grants)
	return w
}

// changed is the world after one random change.
func (w world) changed(d dice) world {
	w = w.copied()
	switch n := d(12); {
	case n < 2:
		w.Grants = append(w.Grants, newGrant(d, "new"))
	case n == 2 && len(w.Grants) > 0:
		i := d(len(w.Grants))
		w.Grants = slices.Delete(w.Grants, i, i+1)
	case n == 3 && len(w.Grants) > 0:
		i := d(len(w.Grants))
		w.Grants[i] = newGrant(d, w.Grants[i].ID)
	case n < 7:
		id := pick(d, people...)
		w.Facts.People[id] = newPerson(d, id)
	case n == 7:
		id := pick(d, groupIDs...)
		w.Facts.Groups[id] = Group{ID: id, Parents: some(d, 2, groupIDs...)}
	case n == 8:
		i := d(len(w.Catalogue.Sites))
		w.Catalogue.Sites[i].Archived = !w.Catalogue.Sites[i].Archived
	case n == 9:
		pick(d,
			func() { w.Catalogue.Sites[2].Parent = "breda" },
			func() {
				if w.site("delft") != nil {
					return
				}
				w.Catalogue.Sites = append(w.Catalogue.Sites, Site{ID: "delft", Dimension: "site", Parent: pick[SiteID](d, "nl", "")})
			},
		)()
	case n == 10 && len(w.Catalogue.Products) > 0:
		at := d(len(w.Catalogue.Products))
		pr := &w.Catalogue.Products[at]
		pr.Roles = slices.Clone(pr.Roles)
		pick(d,
			func() {
				for i := range pr.Roles {
					pr.Roles[i].Permissions = map[PermissionID]Level{AllPermissions: pick(d, levelsOf(*pr)...)}
				}
			},
			func() { pr.Roles = pr.Roles[min(1, len(pr.Roles)):] },
			func() { pr.Permissions = pr.Permissions[:1]; pr.Roles = nil },
			func() { pr.Dimensions = pick(d, nil, []DimensionID{"site"}, []DimensionID{"team"}, dimensions) },
			func() { w.Catalogue.Products = slices.Delete(w.Catalogue.Products, at, at+1) },
		)()
	default:
		w.At = w.At.Add(pick[time.Duration](d, -1, 1, 90) * time.Minute)
	}
	return w
}

func levelsOf(pr Product) []Level {
	if len(pr.Levels) == 0 {
		return []Level{LevelAllow}
	}
	return pr.Levels
}

func (w world) state(t interface{ Fatalf(string, ...any) }) State {
	p, err := NewPolicy(w.Catalogue, w.Grants)
	if err != nil {
		t.Fatalf("policy: %v", err)
	}
	return State{Facts: w.Facts, Policy: p, At: w.At}
}

// products are the world's with the console.
func (w world) products() []Product {
	return append([]Product{Console(dimensions...)}, w.Catalogue.Products...)
}

// places are all places of some dimensions; with open also those that leave
// dimensions out.
func (w world) places(of []DimensionID, open bool) []Place {
	all := []Place{{}}
	for _, dimension := range of {
		var next []Place
		for _, place := range all {
			if open {
				next = append(next, place)
			}
			for _, s := range w.Catalogue.Sites {
				if s.Dimension == dimension {
					one := maps.Clone(place)
					one[dimension] = s.ID
					next = append(next, one)
				}
			}
		}
		all = next
	}
	return all
}

// naive answers from the text of the rule, slowly: 0 is nothing, 1 the lowest
// level. It shares no code with the package.
func (w world) naive(user UserID, product ProductID, permission PermissionID, place Place) int {
	// "An account that is not live has no access."
	person, ok := w.Facts.People[user]
	if !ok || !person.Active || !person.LoginAllowed || w.At.IsZero() || !person.ExpiresAt.IsZero() && !w.At.Before(person.ExpiresAt) {
		return 0
	}
	var pr *Product
	for _, one := range w.products() {
		if one.ID == product {
			pr = &one
		}
	}
	if pr == nil || !slices.ContainsFunc(pr.Permissions, func(p Permission) bool { return p.ID == permission }) {
		return 0
	}
	// A place is known and open, and of the product's dimensions.
	for dimension, id := range place {
		if !slices.Contains(pr.Dimensions, dimension) || w.site(id) == nil || w.site(id).Dimension != dimension {
			return 0
		}
		for _, above := range w.upwards(id) {
			if w.site(above).Archived {
				return 0
			}
		}
	}
	// "Otherwise take every grant in force for the person, their groups and everyone."
	groups := make(map[GroupID]bool)
	for _, id := range person.Groups {
		if _, ok := w.Facts.Groups[id]; ok {
			groups[id] = true
		}
	}
	for range w.Facts.Groups {
		for id := range maps.Clone(groups) {
			for _, parent := range w.Facts.Groups[id].Parents {
				if _, ok := w.Facts.Groups[parent]; ok {
					groups[parent] = true
				}
			}
		}
	}
	highest, ceiling := 0, len(levelsOf(*pr))
	for _, g := range w.Grants {
		mine := g.Subject.Everyone || g.Subject.User == user || g.Subject.Group != "" && groups[g.Subject.Group]
		started := g.From.IsZero() || g.From.Equal(w.At) || g.From.Before(w.At)
		ended := !g.Until.IsZero() && (g.Until.Equal(w.At) || g.Until.Before(w.At))
		if !mine || !started || ended || g.Product != product || !w.covers(g, *pr, place) {
			continue
		}
		level := w.levelOf(g, *pr, permission)
		if level == 0 {
			continue
		}
		// "For a permission, a deny at a level takes away that level and everything
		// above it, and nothing overrides it; of what remains, the highest allowed
		// level counts; nothing counts as no."
		if g.Effect == Deny {
			ceiling = min(ceiling, level-1)
		} else {
			highest = max(highest, level)
		}
	}
	return min(highest, ceiling)
}

func (w world) site(id SiteID) *Site {
	for i := range w.Catalogue.Sites {
		if w.Catalogue.Sites[i].ID == id {
			return &w.Catalogue.Sites[i]
		}
	}
	return nil
}

func (w world) upwards(id SiteID) []SiteID {
	var all []SiteID
	for id != "" {
		all = append(all, id)
		id = w.site(id).Parent
	}
	return all
}

// covers: "A grant reaches a place if in every dimension it names ALL, or a site
// that is the place or above it", the zero scope nowhere. An allow that can't be
// read reaches nothing, a deny reaches as far as it might.
func (w world) covers(g Grant, pr Product, place Place) bool {
	if g.Scope.Everywhere {
		return true
	}
	if len(g.Scope.Sites) == 0 {
		return false
	}
	for dimension := range g.Scope.Sites {
		if !slices.Contains(pr.Dimensions, dimension) {
			return g.Effect == Deny
		}
	}
	for _, dimension := range pr.Dimensions {
		selection, named := g.Scope.Sites[dimension]
		if !named && g.Effect == Deny || selection.All {
			continue
		}
		hit := false
		for _, id := range selection.Sites {
			s := w.site(id)
			if s == nil || s.Dimension != dimension {
				hit = hit || g.Effect == Deny
				continue
			}
			archived := slices.ContainsFunc(w.upwards(id), func(above SiteID) bool { return w.site(above).Archived })
			if where, asks := place[dimension]; asks {
				hit = hit || slices.Contains(w.upwards(where), id)
			} else {
				hit = hit || g.Effect == Deny && !archived
			}
		}
		if !hit {
			return false
		}
	}
	return true
}

func (w world) levelOf(g Grant, pr Product, permission PermissionID) int {
	rank := func(level Level) int { return slices.Index(levelsOf(pr), level) + 1 }
	masked := slices.Contains(g.Mask, permission) || slices.Contains(g.Mask, AllPermissions)
	if g.Effect == Allow && masked {
		return 0
	}
	if g.Role == "" {
		switch {
		case g.Permission != permission && g.Permission != AllPermissions:
			return 0
		case rank(g.Level) == 0 && g.Effect == Deny:
			return 1
		}
		return rank(g.Level)
	}
	for _, role := range pr.Roles {
		if role.ID == g.Role {
			if role.Personal && g.Subject.User == "" && g.Effect == Allow {
				return 0
			}
			if level, ok := role.Permissions[permission]; ok {
				return rank(level)
			}
			return rank(role.Permissions[AllPermissions])
		}
	}
	if g.Effect == Deny {
		return 1
	}
	return 0
}

// TestWorldsAreVaried keeps the random worlds from becoming ones in which
// nothing is ever allowed, denied or odd, where properties hold by themselves.
func TestWorldsAreVaried(t *testing.T) {
	seen := make(map[string]int)
	for seed := range uint64(500) {
		w := newWorld(seededDice(seed))
		st := w.state(t)
		for _, problem := range st.Policy.Problems() {
			seen[string(problem.Reason)]++
		}
		for _, id := range people {
			held := Resolve(st.Facts, st.Policy, id, st.At)
			for _, item := range held.Items {
				seen["held"]++
				if len(item.Against) > 0 {
					seen["capped"]++
				}
				if len(item.Through) > 1 {
					seen["several paths"]++
				}
				if len(item.Through[0].Groups) > 1 {
					seen["nested"]++
				}
			}
			seen["taken"] += len(held.Taken)
			seen["not live"] += len(held.NotLive)
		}
	}
	for _, want := range []string{
		"held", "capped", "several paths", "nested", "taken", "not live",
		string(UnknownProduct), string(UnknownRole), string(UnknownPermission), string(UnknownLevel), string(UnknownDimension),
		string(UnknownSite), string(PersonalRole), string(NoScope), string(DimensionLeftOut), string(MaskedDeny),
	} {
		if seen[want] < 20 {
			t.Errorf("%s: %d times in 500 worlds", want, seen[want])
		}
	}
	if testing.Verbose() {
		t.Log(seen)
	}
}
