package policyfile_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gatehouse/access"
	"gatehouse/internal/policyfile"
	"gatehouse/store"

	"pgregory.net/rapid"
)

// wordings draws what things are called.
type wordings struct {
	// name is any text; key is what a site, a role and so on are known by.
	name, key *rapid.Generator[string]
	keyless   bool // sites may have no key
	rules     bool
}

var text = rapid.OneOf(
	rapid.String(),
	rapid.SampledFrom([]string{"no", "~", "null", "007", "1e3", "2026-01-01", "<<", "a: b", "# c", "'x", "\"", "- a", "{", "*", "&a", "!!int", " padded ", "line\nbreak", "\ttab", "é", "ALL", "\u0085", "\u2028", "\ufeff", "a\r\nb"}),
).Filter(func(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) && len(s) < 200 })

var (
	anything = wordings{name: text, key: text.Filter(func(s string) bool { return s != "" && s != "*" && !strings.HasPrefix(s, "#") && s != "console" }), keyless: true, rules: true}
	plain    = wordings{name: rapid.SampledFrom([]string{"", "One", "Two"}), key: rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})}
)

// policy draws a catalogue, and grants in it to the people and groups given.
func (w wordings) policy(t *rapid.T, people store.Snapshot) store.Snapshot {
	s := people
	s.Catalogue, s.Grants = access.Catalogue{}, nil
	w.sites(t, &s.Catalogue)
	for _, id := range w.distinct(t, "products", 0, 2) {
		s.Catalogue.Products = append(s.Catalogue.Products, w.product(t, access.ProductID(id), s.Catalogue))
	}
	for i := range rapid.IntRange(0, 6).Draw(t, "grants") {
		if len(s.Catalogue.Products) > 0 {
			s.Grants = append(s.Grants, w.grant(t, &s, i))
		}
	}
	return s
}

func (w wordings) distinct(t *rapid.T, label string, least, most int) []string {
	return rapid.SliceOfNDistinct(w.key, least, most, func(s string) string { return s }).Draw(t, label)
}

func (w wordings) sites(t *rapid.T, c *access.Catalogue) {
	for _, id := range w.distinct(t, "dimensions", 0, 2) {
		d := access.Dimension{ID: access.DimensionID(id), Name: w.name.Draw(t, "dimension")}
		c.Dimensions = append(c.Dimensions, d)
		var ids []access.SiteID
		for _, key := range w.distinct(t, "sites", 0, 4) {
			site := access.Site{ID: access.SiteID(fmt.Sprintf("site %d", len(c.Sites))), Dimension: d.ID, Key: key,
				Name: w.name.Draw(t, "site"), Archived: rapid.IntRange(0, 5).Draw(t, "archived") == 0}
			if w.keyless && rapid.IntRange(0, 5).Draw(t, "keyless") == 0 {
				site.Key = ""
			}
			if len(ids) > 0 && rapid.Bool().Draw(t, "below") {
				site.Parent = rapid.SampledFrom(ids).Draw(t, "parent")
			}
			ids = append(ids, site.ID)
			c.Sites = append(c.Sites, site)
		}
	}
}

func (w wordings) product(t *rapid.T, id access.ProductID, c access.Catalogue) access.Product {
	p := access.Product{ID: id, Name: w.name.Draw(t, "product")}
	for _, level := range w.distinct(t, "levels", 0, 3) {
		p.Levels = append(p.Levels, access.Level(level))
	}
	for _, d := range c.Dimensions {
		if rapid.Bool().Draw(t, "scoped") {
			p.Dimensions = append(p.Dimensions, d.ID)
		}
	}
	level := rapid.SampledFrom(levelsOf(p))
	for _, id := range w.distinct(t, "permissions", 1, 3) {
		one := access.Permission{ID: access.PermissionID(id), Name: w.name.Draw(t, "permission")}
		if rapid.Bool().Draw(t, "tagged") {
			one.Tags = []string{"t", w.key.Draw(t, "tag")}
		}
		p.Permissions = append(p.Permissions, one)
	}
	for _, id := range w.distinct(t, "roles", 0, 2) {
		role := access.Role{ID: access.RoleID(id), Name: w.name.Draw(t, "role"), Permissions: map[access.PermissionID]access.Level{}}
		for _, permission := range append(p.Permissions, access.Permission{ID: access.AllPermissions}) {
			if rapid.Bool().Draw(t, "in the role") {
				role.Permissions[permission.ID] = level.Draw(t, "level")
			}
		}
		role.Personal = len(role.Permissions) == 1
		p.Roles = append(p.Roles, role)
	}
	if w.rules && rapid.Bool().Draw(t, "rules") {
		p.Rules.OneRole = rapid.Bool().Draw(t, "one role")
		p.Rules.Limits = []access.Limit{{Kind: access.KindClient, MaxLevel: level.Draw(t, "limit"), ForbidAll: rapid.Bool().Draw(t, "forbid all"), ForbidTags: p.Permissions[0].Tags}}
		for _, role := range p.Roles {
			p.Rules.Holders = append(p.Rules.Holders, access.HolderRule{Role: role.ID, Warn: rapid.IntRange(0, 3).Draw(t, "warn"), Max: rapid.IntRange(0, 3).Draw(t, "max")})
		}
	}
	return p
}

func levelsOf(p access.Product) []access.Level {
	if len(p.Levels) == 0 {
		return []access.Level{access.LevelAllow}
	}
	return p.Levels
}

func (w wordings) grant(t *rapid.T, s *store.Snapshot, i int) access.Grant {
	p := rapid.SampledFrom(s.Catalogue.Products).Draw(t, "product")
	g := access.Grant{
		ID: access.GrantID(fmt.Sprintf("grant %d", i)), Product: p.ID,
		Effect: rapid.SampledFrom([]access.Effect{access.Allow, access.Allow, access.Deny}).Draw(t, "effect"),
		Reason: w.name.Draw(t, "reason"), Origin: rapid.SampledFrom([]access.Origin{access.OriginDirect, access.OriginImport}).Draw(t, "origin"),
	}
	switch rapid.IntRange(0, 3).Draw(t, "subject") {
	case 0:
		g.Subject.Everyone = true
	case 1:
		g.Subject.Group = rapid.SampledFrom(slices.Sorted(maps.Keys(s.Groups))).Draw(t, "group")
	default:
		g.Subject.User = rapid.SampledFrom(slices.Sorted(maps.Keys(s.Users))).Draw(t, "user")
	}
	role := access.Role{Personal: true}
	if len(p.Roles) > 0 && rapid.Bool().Draw(t, "by role") {
		role = rapid.SampledFrom(p.Roles).Draw(t, "role")
	}
	switch {
	case g.Effect == access.Allow && rapid.IntRange(0, 7).Draw(t, "attribute") == 0:
		g.Attribute, g.Value = w.key.Draw(t, "attribute"), w.name.Draw(t, "value")
	case role.ID != "" && (!role.Personal || g.Subject.User != "" || g.Effect == access.Deny):
		g.Role = role.ID
	default:
		g.Permission = rapid.SampledFrom(p.Permissions).Draw(t, "permission").ID
		g.Level = rapid.SampledFrom(levelsOf(p)).Draw(t, "level")
	}
	if g.Attribute == "" {
		g.Scope = scope(t, p, s.Catalogue.Sites)
		if g.Effect == access.Allow && rapid.IntRange(0, 3).Draw(t, "masked") == 0 {
			g.Mask = []access.PermissionID{rapid.SampledFrom(p.Permissions).Draw(t, "mask").ID}
		}
	}
	day := rapid.SampledFrom([]time.Time{{}, {}, now.Add(-24 * time.Hour), now, now.Add(36*time.Hour + time.Millisecond)})
	g.From, g.Until = day.Draw(t, "from"), day.Draw(t, "until")
	if !g.From.Before(g.Until) {
		g.Until = time.Time{}
	}
	return g
}

func scope(t *rapid.T, p access.Product, sites []access.Site) access.Scope {
	scope := access.Scope{Sites: map[access.DimensionID]access.Selection{}}
	for _, d := range p.Dimensions {
		var ids []access.SiteID
		for _, s := range sites {
			if s.Dimension == d && rapid.Bool().Draw(t, "in scope") {
				ids = append(ids, s.ID)
			}
		}
		scope.Sites[d] = access.Selection{Sites: ids, All: len(ids) == 0}
	}
	if len(scope.Sites) == 0 || rapid.IntRange(0, 4).Draw(t, "everywhere") == 0 {
		return access.Scope{Everywhere: true}
	}
	return scope
}

// A policy that is written out and read again is the same one, whatever things
// are called.
func TestExportReadsBack(t *testing.T) {
	t.Parallel()
	people := store.Snapshot{
		Facts: access.Facts{People: map[access.UserID]access.Person{}},
		Users: map[access.UserID]store.Named{}, Groups: map[access.GroupID]store.Named{},
	}
	granted := 0
	rapid.Check(t, func(t *rapid.T) {
		s := people
		s.Users, s.Groups = maps.Clone(people.Users), maps.Clone(people.Groups)
		for i, name := range anything.distinct(t, "people", 1, 3) {
			s.Users[access.UserID(fmt.Sprintf("user %d", i))] = store.Named{Name: name + fmt.Sprint(i), Connection: anything.name.Draw(t, "connection")}
			s.Groups[access.GroupID(fmt.Sprintf("group %d", i))] = store.Named{Name: name + fmt.Sprint(i), Connection: "entra"}
		}
		s = anything.policy(t, s)
		granted += len(s.Grants)
		text, err := policyfile.Export(s)
		if err != nil {
			t.Fatal(err)
		}
		w, err := policyfile.Read("export.yaml", text, s)
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		p, err := policyfile.Preview(w, s, now)
		if err != nil {
			t.Fatal(err)
		}
		if !p.Empty() || len(p.People) > 0 || len(p.Warnings) > 0 || p.Left > 0 {
			t.Errorf("reading back changes something:\n%s\n%s", p.Text(0), text)
		}
	})
	if granted == 0 {
		t.Error("no policy had a grant")
	}
}

// So are sites in a spreadsheet.
func TestSitesReadBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s store.Snapshot
		w := anything
		w.key = w.key.Filter(func(s string) bool { return !strings.Contains(s, "\r\n") })
		w.sites(t, &s.Catalogue)
		text, err := policyfile.ExportSites(s)
		if err != nil {
			t.Fatal(err)
		}
		wanted, err := policyfile.ReadSites("sites.csv", text, s)
		if err != nil {
			t.Fatalf("%v\n%q", err, text)
		}
		p, err := policyfile.Preview(wanted, s, now)
		if err != nil {
			t.Fatal(err)
		}
		if !p.Empty() || len(wanted.Sites) != len(s.Catalogue.Sites) {
			t.Errorf("reading back changes something:\n%s\n%q", p.Text(0), text)
		}
		rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		for _, cell := range slices.Concat(rows...) {
			if cell != "" && strings.Contains("=+-@\t\r\n", cell[:1]) {
				t.Errorf("a spreadsheet runs %q", cell)
			}
		}
	})
}

// What a plan says is what then happens: to exactly the people that it names, and
// to each of their levels everywhere. A file that is applied is the export, and
// applying it again changes nothing.
func TestPlanIsWhatHappens(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.company(t)
		w.person(t, bob, func(p store.Person) store.Person {
			p.LoginAllowed = false
			return p
		})
		people := few(w.snapshot(t), w.users[sam], w.users[alice], w.users[bob], w.users[daan], w.users[frank], w.users[welda])
		files := rapid.Custom(func(t *rapid.T) string {
			text, err := policyfile.Export(plain.policy(t, people))
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		})
		changed, named, refused := 0, 0, 0
		for seed := range 20 {
			text := files.Example(seed)
			before := w.snapshot(t)
			p := w.mustPlan(t, text)
			done, err := w.apply(t, text, p.Digest)
			after := w.snapshot(t)
			if len(p.Refused) > 0 {
				refused++
				if !errors.Is(err, policyfile.ErrRefused) || !sameText(t, before, after) {
					t.Fatalf("seed %d: refused, and yet: %v\n%s", seed, err, p.Text(0))
				}
				continue
			}
			if err != nil {
				t.Fatalf("seed %d: %v\n%s\n%s", seed, err, p.Text(0), text)
			}
			if done.Digest != p.Digest {
				t.Errorf("seed %d: the plan was %s, and %s was done", seed, p.Digest, done.Digest)
			}
			compare(t, seed, before, after, p)
			again := w.mustApply(t, text)
			if !again.Empty() {
				t.Errorf("seed %d: applying twice changes something:\n%s", seed, again.Text(0))
			}
			if p := w.mustPlan(t, w.export(t)); !p.Empty() {
				t.Errorf("seed %d: the export changes something:\n%s", seed, p.Text(0))
			}
			changed += len(p.Steps)
			named += len(p.People)
		}
		t.Logf("%d changes for %d people, %d refused", changed, named, refused)
		if changed < 100 || named < 20 {
			t.Errorf("%d changes for %d people, %d refused: too few to say anything", changed, named, refused)
		}
	})
}

func few(s store.Snapshot, ids ...access.UserID) store.Snapshot {
	users := make(map[access.UserID]store.Named)
	for _, id := range ids {
		users[id] = s.Users[id]
	}
	s.Users = users
	return s
}

func sameText(t *testing.T, a, b store.Snapshot) bool {
	t.Helper()
	x, err := policyfile.Export(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := policyfile.Export(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(x) == string(y)
}

// tomorrow is a state in which each dimension has one site more.
func tomorrow(t *testing.T, s store.Snapshot) access.State {
	t.Helper()
	c := s.Catalogue
	for _, d := range c.Dimensions {
		c.Sites = append(slices.Clone(c.Sites), access.Site{ID: access.SiteID("tomorrow " + d.ID), Dimension: d.ID})
	}
	p, err := access.NewPolicy(c, s.Grants)
	if err != nil {
		t.Fatal(err)
	}
	return access.State{Facts: s.Facts, Policy: p, At: now}
}

// compare asks every question before and after.
func compare(t *testing.T, seed int, before, after store.Snapshot, p *policyfile.Plan) {
	t.Helper()
	was, is := tomorrow(t, before), tomorrow(t, after)
	type fate struct {
		product    access.ProductID
		permission access.PermissionID
		from, to   access.Level
	}
	said := map[access.UserID]map[fate]bool{}
	for _, impact := range p.Impacts {
		for _, d := range impact.Differences {
			if d.Kind == access.Keeps {
				continue
			}
			if said[impact.User] == nil {
				said[impact.User] = map[fate]bool{}
			}
			said[impact.User][fate{d.Product, d.Permission, d.Before, d.After}] = true
		}
	}
	for user := range before.Facts.People {
		x, y := was.Facts.Subject(user), is.Facts.Subject(user)
		seen := map[fate]bool{}
		for _, q := range questions(was.Policy, is.Policy, before, after) {
			from := was.Policy.Level(x, within(was.Policy, q), now)
			to := is.Policy.Level(y, within(is.Policy, q), now)
			if from != to {
				seen[fate{q.Product, q.Permission, from, to}] = true
			}
		}
		if !maps.Equal(seen, said[user]) {
			t.Errorf("seed %d: user %s: the plan says %v, what happened is %v\n%s", seed, user, said[user], seen, p.Text(0))
		}
	}
}

// questions are all: each permission at each place, known before or after.
func questions(was, is *access.Policy, before, after store.Snapshot) []access.Question {
	sites := map[access.DimensionID]map[access.SiteID]bool{}
	for _, s := range append(slices.Clone(before.Catalogue.Sites), after.Catalogue.Sites...) {
		if sites[s.Dimension] == nil {
			sites[s.Dimension] = map[access.SiteID]bool{access.SiteID("tomorrow " + s.Dimension): true}
		}
		sites[s.Dimension][s.ID] = true
	}
	var all []access.Question
	for _, p := range append(was.Products(), is.Products()...) {
		if p.ID == access.ConsoleID {
			continue
		}
		places := []access.Place{{}}
		for _, d := range p.Dimensions {
			for _, place := range places {
				for site := range sites[d] {
					one := maps.Clone(place)
					one[d] = site
					places = append(places, one)
				}
			}
		}
		for _, permission := range p.Permissions {
			for _, place := range places {
				all = append(all, access.Question{Product: p.ID, Permission: permission.ID, Place: place})
			}
		}
	}
	return all
}

// within leaves out of a question the dimensions that the product doesn't have.
func within(p *access.Policy, q access.Question) access.Question {
	product, _ := p.Product(q.Product)
	place := maps.Clone(q.Place)
	maps.DeleteFunc(place, func(d access.DimensionID, _ access.SiteID) bool { return !slices.Contains(product.Dimensions, d) })
	q.Place = place
	return q
}
