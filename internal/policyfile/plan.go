package policyfile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"
)

// Plan is what a file would change, and what that does to people. It depends on
// nothing but the file, the tenant and the instant.
type Plan struct {
	Steps []Step `json:"steps"`
	// People are those for whom something changes, who loses first.
	People []Person `json:"people"`
	// Findings are rules of products that the change breaks; some only warn.
	Findings []string `json:"findings,omitempty"`
	// Refused are the reasons why the file can't be applied: a finding that says so,
	// something that must hold and doesn't, the last owner.
	Refused []string `json:"refused,omitempty"`
	// Warnings are grants that are there and give nothing.
	Warnings []string `json:"warnings,omitempty"`
	// Left is how many grants in the file's products somebody else made, which it
	// doesn't name and doesn't touch.
	Left int `json:"left,omitempty"`
	// Digest is the same as long as the plan is.
	Digest string `json:"digest"`
	// Impacts are what the people are named from.
	Impacts []access.Impact `json:"-"`

	edit edit
}

// Step is one change of the tenant's policy.
type Step struct {
	// Action is that of the log: grant.created, site.moved.
	Action string `json:"action"`
	// Text says what becomes of what.
	Text string `json:"text"`
}

// Person is somebody for whom something changes.
type Person struct {
	User        access.UserID `json:"user"`
	Name        string        `json:"name"`
	DisplayName string        `json:"displayName,omitempty"`
	Connection  string        `json:"connection"`
	Changes     []Change      `json:"changes"`
}

// Change is what becomes of a permission, in words beside the codes.
type Change struct {
	Kind       access.DifferenceKind `json:"kind"`
	Product    access.ProductID      `json:"product"`
	Permission access.PermissionID   `json:"permission"`
	Before     access.Level          `json:"before,omitempty"`
	After      access.Level          `json:"after,omitempty"`
	Where      string                `json:"where"`
	// Lost, Gained and Kept are the ways to it.
	Lost   []string `json:"lost,omitempty"`
	Gained []string `json:"gained,omitempty"`
	Kept   []string `json:"kept,omitempty"`
}

// Empty reports whether there is nothing to change.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 }

// edit is what a plan writes.
type edit struct{ impact.Proposal }

// Preview says what a file would change in a tenant.
func Preview(w *Wanted, now store.Snapshot, at time.Time) (*Plan, error) {
	before, err := access.NewPolicy(now.Catalogue, now.Grants)
	if err != nil {
		return nil, err
	}
	catalogue := w.catalogue(now.Catalogue)
	p := &Plan{}
	p.edit.catalogue(now.Catalogue, catalogue)
	grants := p.edit.grants(w, now, catalogue)
	p.Left = w.left(now)
	after, err := access.NewPolicy(catalogue, grants)
	if err != nil {
		return nil, err
	}
	was := access.State{Facts: now.Facts, Policy: before, At: at}
	is := access.State{Facts: now.Facts, Policy: after, At: at}
	words := NewWords(now, now.Catalogue, catalogue)
	p.Steps = p.edit.steps(now, words)
	if p.Impacts, err = impact.Diff(was, is); err != nil {
		return nil, err
	}
	p.People = words.people(p.Impacts)
	for _, warning := range w.Warnings {
		p.Warnings = append(p.Warnings, warning.String())
	}
	p.Refused = unreachable(now.Catalogue, catalogue)
	if err := p.judge(w, was, is, catalogue.Sites, words); err != nil {
		return nil, err
	}
	p.Digest, err = p.digest()
	return p, err
}

// digest is of all that somebody agrees to, in full: texts leave out what is long.
func (p *Plan) digest() (string, error) {
	e := &p.edit
	text, err := json.Marshal([]any{p, p.Impacts, e.End, e.Dimensions, e.AddSites, e.ChangeSites, e.Products, e.Change, e.Add,
		e.RemoveProducts, e.RemoveDimensions})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), err
}

// judge looks for what stands against the change.
func (p *Plan) judge(w *Wanted, was, is access.State, sites []access.Site, words *Words) error {
	p.Refused = append(p.Refused, orphans(was.Policy, is.Policy, words)...)
	findings, _ := access.NewFindings(was, is)
	for _, f := range findings {
		text := words.Finding(f)
		p.Findings = append(p.Findings, text)
		if f.Refuse {
			p.Refused = append(p.Refused, text)
		}
	}
	for _, m := range w.MustHold {
		broken, err := m.broken(is, sites, words)
		if err != nil {
			return err
		}
		p.Refused = append(p.Refused, broken...)
	}
	if err := access.KeepsOwner(was, is); err != nil {
		p.Refused = append(p.Refused, err.Error())
	}
	return nil
}

// unreachable finds new things that the store refuses, since no address can have
// their keys in it.
func unreachable(before, after access.Catalogue) (refused []string) {
	keys := func(c access.Catalogue) map[string]string {
		all := map[string]string{}
		add := func(what, key string) { all[fmt.Sprintf("%s %q", what, key)] = key }
		for _, d := range c.Dimensions {
			add("dimension", string(d.ID))
		}
		for _, s := range c.Sites {
			add("site", s.Key)
		}
		for _, p := range c.Products {
			add("product", string(p.ID))
			for _, o := range p.Permissions {
				add(string(p.ID)+": permission", string(o.ID))
			}
			for _, o := range p.Roles {
				add(string(p.ID)+": role", string(o.ID))
			}
		}
		return all
	}
	had := keys(before)
	for what, key := range keys(after) {
		if _, there := had[what]; !there && !store.IsKey(key) {
			refused = append(refused, what+": no address can have that in it")
		}
	}
	slices.Sort(refused)
	return refused
}

// orphans finds grants that the file leaves alone and that name something which
// it takes away.
func orphans(before, after *access.Policy, words *Words) []string {
	old := make(map[access.Problem]bool)
	for _, problem := range before.Problems() {
		old[problem] = true
	}
	var all []string
	for _, problem := range after.Problems() {
		if g, ok := after.Grant(problem.Grant); ok && !old[problem] && orphaning(problem) {
			all = append(all, fmt.Sprintf("%s %s: still granted: %s; end that first, or let the file own all", problem.Reason, problem.Name, words.Grant(g)))
		}
	}
	return all
}

// orphaning reports whether a grant names something that isn't there: the store
// takes away nothing that is granted.
func orphaning(p access.Problem) bool {
	switch p.Reason {
	case access.UnknownProduct, access.UnknownRole, access.UnknownPermission, access.UnknownLevel, access.UnknownDimension:
		return true
	}
	return false
}

// broken says who breaks an assertion, the first few by name.
func (m *MustHold) broken(st access.State, sites []access.Site, words *Words) ([]string, error) {
	var users []access.UserID
	how := make(map[access.UserID]string)
	if m.Always {
		users = m.lacking(st, sites)
		for _, id := range users {
			how[id] = "doesn't have it"
		}
	}
	for _, at := range m.instants(st) {
		then := access.State{Facts: st.Facts, Policy: st.Policy, At: at}
		breaches, err := access.Check(then, []access.Assertion{m.Assertion})
		if err != nil {
			return nil, err
		}
		for _, b := range breaches {
			if how[b.User] != "" {
				continue
			}
			users = append(users, b.User)
			how[b.User] = "has it " + words.Area(b.Item.Area, b.Item.Product) + " " + words.Path(b.Item.Through[0])
			if at.After(st.At) {
				how[b.User] = "from " + day(at) + " on " + how[b.User]
			}
		}
	}
	var texts []string
	const most = 20
	for _, id := range users[:min(len(users), most)] {
		texts = append(texts, fmt.Sprintf("must hold: %s: %s %s", m.Name, words.User(id), how[id]))
	}
	if len(users) > most {
		texts = append(texts, fmt.Sprintf("must hold: %s: and %d more people", m.Name, len(users)-most))
	}
	return texts, nil
}

// instants are when a never is looked at: now, and on the days known already on
// which an allow of the product begins or a deny ends. An always is about now: most
// of what is granted ends on some day.
func (m *MustHold) instants(st access.State) []time.Time {
	if m.Always {
		return nil
	}
	all := []time.Time{st.At}
	for _, g := range st.Policy.Grants() {
		at := g.From
		if g.Effect == access.Deny {
			at = g.Until
		}
		if g.Product == m.Product && at.After(st.At) {
			all = append(all, at)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return slices.CompactFunc(all, time.Time.Equal)
}

// lacking are the live people concerned who don't have the permission in all of
// the scope.
func (m *MustHold) lacking(st access.State, sites []access.Site) []access.UserID {
	places := places(st.Policy, sites, m.Product, m.Scope)
	var all []access.UserID
	for id, person := range st.Facts.People {
		s := st.Facts.Subject(id)
		if !person.Live(st.At) || m.Kind != "" && m.Kind != person.Kind || !concerns(m.Subject, s) {
			continue
		}
		for _, place := range places {
			if !st.Policy.Allows(s, access.Question{Product: m.Product, Permission: m.Permission, Level: m.Level, Place: place}, st.At) {
				all = append(all, id)
				break
			}
		}
	}
	slices.Sort(all)
	return all
}

func concerns(g access.Grantee, s access.Subject) bool {
	return g == (access.Grantee{}) || g.Everyone || g.User == s.Person.ID && g.User != "" || slices.Contains(s.Groups, g.Group)
}

// places are those of a scope: each site with all below it, and a dimension as a
// whole where the scope says ALL. A site that is named counts though it is
// archived: what must always be doesn't hold there.
func places(p *access.Policy, sites []access.Site, id access.ProductID, scope access.Scope) []access.Place {
	product, _ := p.Product(id)
	all := []access.Place{{}}
	for _, dimension := range product.Dimensions {
		selection := scope.Sites[dimension]
		if scope.Everywhere || selection.All {
			continue
		}
		var wider []access.Place
		area := access.Area{dimension: {Sites: selection.Sites}}
		for _, site := range sites {
			if !slices.Contains(selection.Sites, site.ID) && (site.Dimension != dimension || !p.Contains(area, access.Place{dimension: site.ID})) {
				continue
			}
			for _, place := range all {
				one := access.Place{dimension: site.ID}
				for d, s := range place {
					one[d] = s
				}
				wider = append(wider, one)
			}
		}
		all = wider
	}
	return all
}

// catalogue finds what becomes of dimensions, sites and products.
func (e *edit) catalogue(now, after access.Catalogue) {
	e.Dimensions, _ = changed(now.Dimensions, after.Dimensions, func(d access.Dimension) access.DimensionID { return d.ID })
	_, removed := changed(after.Dimensions, now.Dimensions, func(d access.Dimension) access.DimensionID { return d.ID })
	e.RemoveDimensions = removed
	sites, _ := changed(now.Sites, after.Sites, func(s access.Site) access.SiteID { return s.ID })
	there := make(map[access.SiteID]bool)
	for _, s := range now.Sites {
		there[s.ID] = true
	}
	for _, s := range sites {
		if there[s.ID] {
			e.ChangeSites = append(e.ChangeSites, s)
		} else {
			e.AddSites = append(e.AddSites, s)
		}
	}
	e.Products, _ = changed(now.Products, after.Products, func(p access.Product) access.ProductID { return p.ID })
	_, e.RemoveProducts = changed(after.Products, now.Products, func(p access.Product) access.ProductID { return p.ID })
}

// changed are the things of after that now has otherwise or not at all, and the
// ids of those that it doesn't have at all.
func changed[T any, ID comparable](now, after []T, id func(T) ID) (things []T, missing []ID) {
	was := make(map[ID]T)
	for _, thing := range now {
		was[id(thing)] = thing
	}
	for _, thing := range after {
		old, ok := was[id(thing)]
		if !ok {
			missing = append(missing, id(thing))
		}
		if !ok || !same(old, thing) {
			things = append(things, thing)
		}
	}
	return things, missing
}

// same compares things as the store keeps them: an empty list is none.
func same(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

// grants finds what becomes of grants, and gives those that there are then. A
// wanted grant that is there stays as it is, whoever made it. One that says
// something else about the same thing to the same people takes the place of one
// that the file owns and no longer has, so that the log tells of a change rather
// than of an end and a beginning.
func (e *edit) grants(w *Wanted, now store.Snapshot, catalogue access.Catalogue) []access.Grant {
	if !w.HasGrants && !w.HasProducts {
		return now.Grants
	}
	wanted := make(map[string]bool)
	for _, g := range w.Grants {
		wanted[content(g)] = true
	}
	there := make(map[string]bool)
	goes := make(map[string][]access.Grant) // by what they are about
	var after []access.Grant
	for _, g := range now.Grants {
		there[content(g)] = true
		switch {
		case !w.HasGrants || wanted[content(g)] || !w.owns(g):
			after = append(after, g)
		default:
			goes[about(g)] = append(goes[about(g)], g)
		}
	}
	keeps := stillReadable(catalogue)
	for _, g := range w.Grants {
		if there[content(g)] {
			continue
		}
		if i := slices.IndexFunc(goes[about(g)], keeps); i >= 0 {
			old := goes[about(g)][i]
			goes[about(g)] = slices.Delete(goes[about(g)], i, i+1)
			g.ID, g.Origin = old.ID, old.Origin
			e.Change = append(e.Change, g)
		} else {
			e.Add = append(e.Add, g)
		}
		after = append(after, g)
	}
	for _, ended := range goes {
		for _, g := range ended {
			e.End = append(e.End, g.ID)
		}
	}
	slices.Sort(e.End)
	return after
}

// stillReadable tells which grants a catalogue has everything for that they name:
// only those can be changed once it is in force.
func stillReadable(catalogue access.Catalogue) func(access.Grant) bool {
	base, err := access.NewPolicy(catalogue, nil)
	return func(g access.Grant) bool {
		if err != nil {
			return false
		}
		p, err := base.With(g)
		return err == nil && !slices.ContainsFunc(p.Problems(), orphaning)
	}
}

// owns reports whether a grant that the file doesn't name ends by it.
func (w *Wanted) owns(g access.Grant) bool {
	return w.OwnsAll || w.Speaks[g.Product] && g.Origin == access.OriginImport
}

// left counts the grants of others in the products that the file speaks for.
func (w *Wanted) left(now store.Snapshot) int {
	wanted := make(map[string]bool)
	for _, g := range w.Grants {
		wanted[content(g)] = true
	}
	n := 0
	for _, g := range now.Grants {
		if w.HasGrants && w.Speaks[g.Product] && !w.owns(g) && !wanted[content(g)] {
			n++
		}
	}
	return n
}

// content is the same for grants that say the same, whoever made them.
func content(g access.Grant) string {
	g = impact.Normal(g)
	g.ID, g.Origin = "", ""
	text, err := json.Marshal(g)
	if err != nil {
		panic(err) // a grant is made of texts
	}
	return string(text)
}

// about is the same for grants of the same thing to the same people.
func about(g access.Grant) string {
	text, err := json.Marshal(access.Grant{Subject: g.Subject, Effect: g.Effect, Product: g.Product,
		Role: g.Role, Permission: g.Permission, Attribute: g.Attribute})
	if err != nil {
		panic(err) // a grant is made of texts
	}
	return string(text)
}

// steps tells the edit in words.
func (e *edit) steps(now store.Snapshot, words *Words) []Step {
	all := []Step{}
	add := func(action, format string, args ...any) {
		all = append(all, Step{Action: action, Text: fmt.Sprintf(format, args...)})
	}
	grants := make(map[access.GrantID]access.Grant)
	for _, g := range now.Grants {
		grants[g.ID] = g
	}
	for _, id := range e.End {
		add(store.GrantEnded, "end: %s", words.Grant(grants[id]))
	}
	dimensions := make(map[access.DimensionID]bool)
	for _, d := range now.Catalogue.Dimensions {
		dimensions[d.ID] = true
	}
	for _, d := range e.Dimensions {
		if dimensions[d.ID] {
			add(store.DimensionChanged, "rename dimension %s to %q", d.ID, d.Name)
		} else {
			add(store.DimensionCreated, "add dimension %s", d.ID)
		}
	}
	for _, s := range e.AddSites {
		add(store.SiteCreated, "add %s %s", s.Dimension, words.Site(s.ID))
	}
	sites := make(map[access.SiteID]access.Site)
	for _, s := range now.Catalogue.Sites {
		sites[s.ID] = s
	}
	for _, s := range e.ChangeSites {
		old := sites[s.ID]
		for _, one := range []struct {
			is     bool
			action string
			text   string
		}{
			{s.Archived && !old.Archived, store.SiteArchived, "archive %s %s"},
			{!s.Archived && old.Archived, store.SiteRestored, "restore %s %s"},
			{s.Parent != old.Parent, store.SiteMoved, "move %s %s " + words.below(s.Parent)},
			{s.Name != old.Name, store.SiteChanged, "rename %s %s"},
		} {
			if one.is {
				add(one.action, one.text, s.Dimension, words.Site(s.ID))
			}
		}
	}
	products := make(map[access.ProductID]access.Product)
	for _, p := range now.Catalogue.Products {
		products[p.ID] = p
	}
	for _, p := range e.Products {
		if old, ok := products[p.ID]; ok {
			add(store.ProductChanged, "change product %s: %s", p.ID, parts(old, p))
		} else {
			add(store.ProductCreated, "add product %s", p.ID)
		}
	}
	for _, g := range e.Change {
		add(store.GrantChanged, "change: %s\n    to: %s", words.Grant(grants[g.ID]), words.Grant(g))
	}
	for _, g := range e.Add {
		add(store.GrantCreated, "add: %s", words.Grant(g))
	}
	for _, id := range e.RemoveProducts {
		add(store.ProductRemoved, "remove product %s", id)
	}
	for _, id := range e.RemoveDimensions {
		add(store.DimensionRemoved, "remove dimension %s", id)
	}
	return all
}

// parts names what differs between two versions of a product.
func parts(a, b access.Product) string {
	var all []string
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	for i := range x.NumField() {
		if !same(x.Field(i).Interface(), y.Field(i).Interface()) {
			all = append(all, strings.ToLower(x.Type().Field(i).Name))
		}
	}
	return join(all)
}
