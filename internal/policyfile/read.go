package policyfile

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"

	"go.yaml.in/yaml/v3"
)

// Wanted is what a file says, in the ids of the tenant that it was read for.
type Wanted struct {
	// OwnsAll is that the file is the whole truth: what it has a section for and
	// doesn't name goes. Otherwise it speaks for what it names.
	OwnsAll bool
	// HasDimensions and so on say which sections the file has.
	HasDimensions, HasSites, HasProducts, HasGrants bool
	Dimensions                                      []access.Dimension
	// Sites come before those below them. One that is still to be made has an id
	// that begins with newSite.
	Sites    []access.Site
	Products []access.Product
	// Speaks are the products that the file names under products or grants.
	Speaks map[access.ProductID]bool
	Grants []access.Grant
	// MustHold are the assertions, never and always.
	MustHold []MustHold
	// Warnings are grants which are there as the file has them and give nothing.
	Warnings []Mistake
}

// MustHold is an assertion: as access has it, or its opposite, that everybody
// live of those it is about has the permission throughout the scope.
type MustHold struct {
	access.Assertion
	Always bool `json:"always,omitempty"`
}

// newSite begins the id of a site that is still to be made; the key of its
// dimension, a slash and its own key follow.
const newSite = "new:"

// fileReader reads a file for a tenant.
type fileReader struct {
	reader
	Wanted
	now      store.Snapshot
	sites    map[access.DimensionID]map[string]access.SiteID
	parents  map[access.SiteID]bool // that the file has
	base     *access.Policy         // the catalogue as it will be, without grants
	products map[access.ProductID]access.Product
	users    names[access.UserID]
	groups   names[access.GroupID]
	contents map[string]bool // of the grants that are there
	grantees map[string]bool // whom they are for
	lines    map[string]int  // of the grants read, by content
}

// Read makes of a file's text what it says about a tenant. Its error is Mistakes,
// all that there are. Nothing is changed.
func Read(file string, data []byte, now store.Snapshot) (*Wanted, error) {
	r := &fileReader{reader: reader{file: file}, now: now, lines: make(map[string]int)}
	doc := r.document(data)
	if doc == nil {
		return nil, r.err()
	}
	f := r.fields(doc, "the file", "owns", "dimensions", "sites", "products", "grants", "must-hold")
	r.readOwns(f)
	before := len(r.mistakes)
	r.readDimensions(f["dimensions"])
	r.readSites(f["sites"])
	r.readProducts(f["products"])
	if len(r.mistakes) > before {
		return nil, r.err() // grants of what can't be read would be mistakes, too
	}
	var err error
	if r.base, err = access.NewPolicy(r.catalogue(now.Catalogue), nil); err != nil {
		r.fail(cmp.Or(f["products"], f["dimensions"], doc), "%v", err)
		return nil, r.err()
	}
	r.index()
	r.readGrants(f["grants"])
	r.readMustHold(f["must-hold"])
	if err := r.err(); err != nil {
		return nil, err
	}
	return &r.Wanted, nil
}

func (r *fileReader) readOwns(f fields) {
	n, ok := f["owns"]
	if !ok {
		return
	}
	switch owns := f.string(&r.reader, "owns"); owns {
	case "all":
		r.OwnsAll = true
	case "imports":
	default:
		r.fail(n, "owns: %q: want imports (what earlier files made in the products named here) or all", owns)
	}
}

// named are the entries of a map from id to something, or of a plain list of ids.
func (r *fileReader) named(n *yaml.Node, what string) []entry {
	if n.Kind != yaml.SequenceNode {
		return r.entries(n, what)
	}
	var all []entry
	seen := make(map[string]bool)
	for _, item := range n.Content {
		id, ok := r.text(item, what)
		switch {
		case ok && seen[id]:
			r.fail(item, "%s: %q is there twice", what, id)
		case ok:
			seen[id] = true
			all = append(all, entry{key: id, name: item})
		}
	}
	return all
}

// id checks the name of something that other things refer to.
func (r *fileReader) id(e entry, what string) bool {
	if e.key == "" {
		r.fail(e.name, "%s: the name is empty", what)
		return false
	}
	return true
}

func (r *fileReader) readDimensions(n *yaml.Node) {
	if r.HasDimensions = n != nil; n == nil {
		return
	}
	for _, e := range r.named(n, "dimensions") {
		d := access.Dimension{ID: access.DimensionID(e.key)}
		if e.value != nil {
			d.Name, _ = r.text(e.value, "dimension "+e.key+": its name")
		}
		if r.id(e, "dimension") {
			r.Dimensions = append(r.Dimensions, d)
		}
	}
}

func (r *fileReader) readSites(n *yaml.Node) {
	r.sites = make(map[access.DimensionID]map[string]access.SiteID)
	dimensions := make(map[access.DimensionID]bool)
	for _, d := range append(slices.Clone(r.now.Catalogue.Dimensions), r.Dimensions...) {
		dimensions[d.ID] = true
		r.sites[d.ID] = make(map[string]access.SiteID)
	}
	for _, s := range r.now.Catalogue.Sites {
		r.sites[s.Dimension][SiteRef(s)] = s.ID
	}
	if r.HasSites = n != nil; n == nil {
		return
	}
	r.parents = make(map[access.SiteID]bool)
	for _, e := range r.entries(n, "sites") {
		dimension := access.DimensionID(e.key)
		if !dimensions[dimension] {
			r.fail(e.name, "sites: unknown dimension %q%s", e.key, meant(&r.reader, e.key, sortedKeys(&r.reader, dimensions)))
			continue
		}
		r.readTree(e.value, dimension, "")
	}
}

// readTree reads the sites below a parent.
func (r *fileReader) readTree(n *yaml.Node, dimension access.DimensionID, parent access.SiteID) {
	for _, e := range r.entries(n, "sites of "+string(dimension)) {
		if !r.id(e, "site") {
			continue
		}
		s := access.Site{Dimension: dimension, Key: e.key, Parent: parent}
		id, known := r.sites[dimension][e.key]
		switch {
		case known:
			s.ID = id
			if strings.HasPrefix(e.key, "#") && SiteRef(access.Site{ID: id}) == e.key {
				s.Key = ""
			}
		case strings.HasPrefix(e.key, "#"):
			r.fail(e.name, "site %s: no site of that id; a new one has a key, which doesn't begin with #", e.key)
			continue
		default:
			s.ID = access.SiteID(newSite + string(dimension) + "/" + e.key)
			r.sites[dimension][e.key] = s.ID
		}
		if r.parents[s.ID] {
			r.fail(e.name, "site %s: is there twice", e.key)
			continue
		}
		r.parents[s.ID] = true
		var f fields
		if e.value.Kind == yaml.MappingNode {
			f = r.fields(e.value, "site "+e.key, "name", "archived", "sites")
			s.Name, s.Archived = f.string(&r.reader, "name"), f.bool(&r.reader, "archived")
		} else {
			s.Name, _ = r.text(e.value, "site "+e.key+": its name")
		}
		r.Sites = append(r.Sites, s)
		if below := f["sites"]; below != nil {
			r.readTree(below, dimension, s.ID)
		}
	}
}

// SiteRef is what files call a site: its key, or # and its id if it has none.
func SiteRef(s access.Site) string {
	if s.Key == "" {
		return "#" + string(s.ID)
	}
	return s.Key
}

func (r *fileReader) readProducts(n *yaml.Node) {
	r.Speaks = make(map[access.ProductID]bool)
	if r.HasProducts = n != nil; n == nil {
		return
	}
	for _, e := range r.entries(n, "products") {
		switch {
		case access.ProductID(e.key) == access.ConsoleID:
			r.fail(e.name, "product console: is built in; only grants can name it")
		case r.id(e, "product"):
			r.Speaks[access.ProductID(e.key)] = true
			r.Products = append(r.Products, r.product(e))
		}
	}
}

// product reads one product. Whatever it refers to within itself has to be there.
func (r *fileReader) product(e entry) access.Product {
	p := access.Product{ID: access.ProductID(e.key)}
	f := r.fields(e.value, "product "+e.key, "name", "levels", "dimensions", "permissions", "roles", "rules")
	p.Name = f.string(&r.reader, "name")
	if n := f["levels"]; n != nil {
		for _, item := range r.items(n, "levels") {
			level, ok := r.text(item, "levels")
			if !ok || level == "" || slices.Contains(p.Levels, access.Level(level)) {
				r.fail(item, "levels: %q: want different names, the least first", level)
				continue
			}
			p.Levels = append(p.Levels, access.Level(level))
		}
	}
	for _, item := range r.items(f["dimensions"], "dimensions") {
		if id, ok := r.text(item, "dimensions"); ok {
			if slices.Contains(p.Dimensions, access.DimensionID(id)) {
				r.fail(item, "product %s: dimension %q is there twice", e.key, id)
				continue
			}
			p.Dimensions = append(p.Dimensions, access.DimensionID(id))
			known := slices.Sorted(maps.Keys(r.sites))
			if !slices.Contains(known, access.DimensionID(id)) {
				r.fail(item, "product %s: unknown dimension %q%s", e.key, id, meant(&r.reader, id, known))
			}
		}
	}
	if n := f["permissions"]; n != nil {
		for _, e := range r.named(n, "permissions") {
			p.Permissions = append(p.Permissions, r.permission(e))
		}
	}
	if n := f["roles"]; n != nil {
		for _, e := range r.entries(n, "roles") {
			p.Roles = append(p.Roles, r.role(e, p))
		}
	}
	if n := f["rules"]; n != nil {
		p.Rules = r.rules(n, p)
	}
	return p
}

func (r *fileReader) permission(e entry) access.Permission {
	p := access.Permission{ID: access.PermissionID(e.key)}
	r.id(e, "permission")
	if p.ID == access.AllPermissions {
		r.fail(e.name, "permission %q: stands for all permissions in a role, and is none itself", e.key)
	}
	switch {
	case e.value == nil:
	case e.value.Kind == yaml.MappingNode:
		f := r.fields(e.value, "permission "+e.key, "name", "tags")
		p.Name = f.string(&r.reader, "name")
		p.Tags = r.texts(f["tags"], "tags")
	default:
		p.Name, _ = r.text(e.value, "permission "+e.key+": its name")
	}
	return p
}

func (r *fileReader) texts(n *yaml.Node, what string) []string {
	var all []string
	for _, item := range r.items(n, what) {
		if text, ok := r.text(item, what); ok {
			all = append(all, text)
		}
	}
	return all
}

func (r *fileReader) role(e entry, p access.Product) access.Role {
	role := access.Role{ID: access.RoleID(e.key)}
	r.id(e, "role")
	f := r.fields(e.value, "role "+e.key, "name", "personal", "permissions")
	role.Name, role.Personal = f.string(&r.reader, "name"), f.bool(&r.reader, "personal")
	n := f["permissions"]
	if n == nil {
		return role
	}
	role.Permissions = make(map[access.PermissionID]access.Level)
	for _, e := range r.entries(n, "permissions") {
		permission := access.PermissionID(e.key)
		if permission != access.AllPermissions {
			r.permissionOf(p, e.name, e.key)
		}
		role.Permissions[permission] = r.levelOf(p, e.value)
	}
	return role
}

// permissionOf is a permission of the product; AllPermissions isn't.
func (r *fileReader) permissionOf(p access.Product, n *yaml.Node, id string) {
	var known []access.PermissionID
	for _, permission := range p.Permissions {
		known = append(known, permission.ID)
	}
	if !slices.Contains(known, access.PermissionID(id)) {
		r.fail(n, "product %s: unknown permission %q%s", p.ID, id, meant(&r.reader, id, known))
	}
}

// levelOf is a level of the product.
func (r *fileReader) levelOf(p access.Product, n *yaml.Node) access.Level {
	text, ok := r.text(n, "a level")
	if known := levels(p); ok && !slices.Contains(known, access.Level(text)) {
		r.fail(n, "product %s: unknown level %q%s (it has %s)", p.ID, text, meant(&r.reader, text, known), join(known))
	}
	return access.Level(text)
}

// levels are those of a product, with the one that goes without saying.
func levels(p access.Product) []access.Level {
	if len(p.Levels) == 0 {
		return []access.Level{access.LevelAllow}
	}
	return p.Levels
}

func join[S ~string](all []S) string {
	texts := make([]string, len(all))
	for i, s := range all {
		texts[i] = string(s)
	}
	return strings.Join(texts, ", ")
}

func (r *fileReader) rules(n *yaml.Node, p access.Product) access.Rules {
	f := r.fields(n, "rules", "one-role", "limits", "holders")
	rules := access.Rules{OneRole: f.bool(&r.reader, "one-role")}
	for _, item := range r.list(f["limits"], "limits") {
		f := r.fields(item, "a limit", "kind", "max-level", "forbid-tags", "forbid-all")
		limit := access.Limit{Kind: r.kind(f, item), ForbidAll: f.bool(&r.reader, "forbid-all"), ForbidTags: r.texts(f["forbid-tags"], "forbid-tags")}
		if n := f["max-level"]; n != nil {
			limit.MaxLevel = r.levelOf(p, n)
		}
		r.tagsOf(p, f["forbid-tags"])
		rules.Limits = append(rules.Limits, limit)
	}
	for _, item := range r.list(f["holders"], "holders") {
		f := r.fields(item, "holders", "role", "warn", "refuse", "max")
		rule := access.HolderRule{Role: access.RoleID(f.string(&r.reader, "role")),
			Warn: f.number(&r.reader, "warn"), Refuse: f.number(&r.reader, "refuse"), Max: f.number(&r.reader, "max")}
		var known []access.RoleID
		for _, role := range p.Roles {
			known = append(known, role.ID)
		}
		if !slices.Contains(known, rule.Role) {
			r.fail(item, "holders: unknown role %q%s", rule.Role, meant(&r.reader, string(rule.Role), known))
		}
		rules.Holders = append(rules.Holders, rule)
	}
	return rules
}

// tagsOf finds tags that no permission has: a rule about them could never be
// broken.
func (r *fileReader) tagsOf(p access.Product, n *yaml.Node) {
	var known []string
	for _, permission := range p.Permissions {
		known = append(known, permission.Tags...)
	}
	for _, item := range r.items(n, "forbid-tags") {
		if !slices.Contains(known, item.Value) {
			r.fail(item, "forbid-tags: no permission of %s has the tag %q%s", p.ID, item.Value, meant(&r.reader, item.Value, known))
		}
	}
}

var kinds = []access.Kind{access.KindEmployee, access.KindClient, access.KindContractor, access.KindGuest, access.KindService}

// kind is a kind of people, which has to be there.
func (r *fileReader) kind(f fields, n *yaml.Node) access.Kind {
	kind := access.Kind(f.string(&r.reader, "kind"))
	if !slices.Contains(kinds, kind) {
		if at := f["kind"]; at != nil {
			n = at
		}
		r.fail(n, "kind: %q: want one of %s%s", kind, join(kinds), meant(&r.reader, string(kind), kinds))
	}
	return kind
}

// list are the items of a list that has to be one.
func (r *fileReader) list(n *yaml.Node, what string) []*yaml.Node {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		r.fail(n, "%s: want a list, got %s", what, kindOf(n))
		return nil
	}
	return n.Content
}

// catalogue is what the tenant's becomes by the file.
func (w *Wanted) catalogue(now access.Catalogue) access.Catalogue {
	after := access.Catalogue{}
	after.Dimensions = replaced(now.Dimensions, w.Dimensions, func(d access.Dimension) access.DimensionID { return d.ID }, false)
	if w.OwnsAll && w.HasDimensions {
		// One that has sites stays, since sites are archived rather than removed.
		after.Dimensions = slices.DeleteFunc(after.Dimensions, func(d access.Dimension) bool {
			named := slices.ContainsFunc(w.Dimensions, func(o access.Dimension) bool { return o.ID == d.ID })
			return !named && !slices.ContainsFunc(now.Sites, func(s access.Site) bool { return s.Dimension == d.ID })
		})
	}
	after.Products = replaced(now.Products, w.Products, func(p access.Product) access.ProductID { return p.ID }, w.OwnsAll && w.HasProducts)
	after.Sites = replaced(now.Sites, w.Sites, func(s access.Site) access.SiteID { return s.ID }, false)
	if w.OwnsAll && w.HasSites {
		named := make(map[access.SiteID]bool)
		for _, s := range w.Sites {
			named[s.ID] = true
		}
		for i, s := range after.Sites {
			after.Sites[i].Archived = s.Archived || !named[s.ID]
		}
	}
	return after
}

// replaced are the things of now with those wanted in their places and behind
// them; without the rest, if only what is wanted stays.
func replaced[T any, ID comparable](now, wanted []T, id func(T) ID, only bool) []T {
	var all []T
	at := make(map[ID]int)
	for i, thing := range wanted {
		at[id(thing)] = i
	}
	there := make(map[ID]bool)
	for _, thing := range now {
		there[id(thing)] = true
		if i, ok := at[id(thing)]; ok {
			all = append(all, wanted[i])
		} else if !only {
			all = append(all, thing)
		}
	}
	for _, thing := range wanted {
		if !there[id(thing)] {
			all = append(all, thing)
		}
	}
	return all
}

// names finds ids by what people call them.
type names[ID ~string] struct {
	what   string
	byName map[string][]ID // by folded name
	named  map[ID]store.Named
}

func newNames[ID ~string](what string, named map[ID]store.Named) names[ID] {
	n := names[ID]{what: what, byName: make(map[string][]ID), named: named}
	for _, id := range slices.Sorted(maps.Keys(named)) {
		key := store.Fold(named[id].Name)
		n.byName[key] = append(n.byName[key], id)
	}
	return n
}

// index makes what grants are read with.
func (r *fileReader) index() {
	r.users, r.groups = newNames("user", r.now.Users), newNames("group", r.now.Groups)
	r.contents, r.grantees = make(map[string]bool), make(map[string]bool)
	for _, g := range r.now.Grants {
		r.contents[content(g)] = true
		r.grantees[string(g.Subject.User)+string(g.Subject.Group)] = true
	}
	r.products = make(map[access.ProductID]access.Product)
	for _, p := range r.base.Products() {
		r.products[p.ID] = p
	}
}

// find is the one user or group of a name. "#" and an id stand for one that has
// been deleted and still has grants.
func find[ID ~string](r *fileReader, all names[ID], n *yaml.Node, name, connection string) (ID, bool) {
	if id, ok := strings.CutPrefix(name, "#"); ok && r.grantees[id] {
		return ID(id), true
	}
	var found []ID
	for _, id := range all.byName[store.Fold(name)] {
		if connection == "" || store.Fold(all.named[id].Connection) == store.Fold(connection) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 1:
		return found[0], true
	case 0:
		var known []string
		of := "here"
		if connection != "" {
			of = "at connection " + connection
		}
		for _, id := range sortedKeys(&r.reader, all.named) {
			named := all.named[id]
			if connection == "" || store.Fold(named.Connection) == store.Fold(connection) {
				known = append(known, named.Name)
			}
		}
		slices.Sort(known)
		r.fail(n, "unknown %s: nobody %s has the name %q%s", all.what, of, name, meant(&r.reader, name, known))
		return "", false
	}
	var connections []string
	for _, id := range found {
		connections = append(connections, all.named[id].Connection)
	}
	slices.Sort(connections)
	r.fail(n, "%s %q: there are %d of that name, by the connections %s: say which one, as in \"connection: %s\"",
		all.what, name, len(found), strings.Join(connections, " and "), connections[0])
	return "", false
}

// grantee is whom a grant or an assertion is for; nobody, if no key says so.
func (r *fileReader) grantee(f fields, n *yaml.Node) (g access.Grantee, ok bool) {
	var by []string
	for _, key := range []string{"user", "group", "everyone"} {
		if f[key] != nil {
			by = append(by, key)
		}
	}
	switch {
	case len(by) > 1:
		r.fail(f[by[1]], "%s and %s exclude each other: write two", by[0], by[1])
		return g, false
	case len(by) == 0 && f["connection"] != nil:
		r.fail(f["connection"], "connection: goes with a user or a group")
		return g, false
	case len(by) == 0:
		return g, true
	}
	connection := f.string(&r.reader, "connection")
	at := f[by[0]]
	name := f.string(&r.reader, by[0])
	switch by[0] {
	case "user":
		g.User, ok = find(r, r.users, at, name, connection)
	case "group":
		g.Group, ok = find(r, r.groups, at, name, connection)
	default:
		g.Everyone, ok = f.bool(&r.reader, "everyone"), true
		if !g.Everyone || connection != "" {
			r.fail(at, "everyone: true is all that can be said, and goes with no connection")
			ok = false
		}
	}
	return g, ok
}

// scope reads where a grant reaches.
func (r *fileReader) scope(n *yaml.Node, p access.Product) (scope access.Scope, ok bool) {
	if n.Kind != yaml.MappingNode {
		text, _ := r.text(n, "scope")
		if text == "ALL" {
			return access.Scope{Everywhere: true}, true
		}
		r.fail(n, "scope: want ALL, or sites by dimension such as {site: [a, b]}, got %s", kindOf(n))
		return scope, false
	}
	ok = true
	scope.Sites = make(map[access.DimensionID]access.Selection)
	for _, e := range r.entries(n, "scope") {
		dimension := access.DimensionID(e.key)
		if !slices.Contains(p.Dimensions, dimension) {
			r.fail(e.name, "scope: product %s has no dimension %q%s", p.ID, e.key, meant(&r.reader, e.key, p.Dimensions))
			ok = false
			continue
		}
		if e.value.Kind == yaml.ScalarNode && e.value.Value == "ALL" {
			scope.Sites[dimension] = access.Selection{All: true}
			continue
		}
		var selection access.Selection
		for _, item := range r.items(e.value, "scope") {
			key, isText := r.text(item, "scope: a site")
			id, known := r.sites[dimension][key]
			switch {
			case !isText:
				ok = false
			case !known:
				ok = false
				r.fail(item, "scope: unknown site %q of dimension %s%s", key, dimension, meant(&r.reader, key, sortedKeys(&r.reader, r.sites[dimension])))
			case slices.Contains(selection.Sites, id):
				ok = false
				r.fail(item, "scope: site %q is there twice", key)
			default:
				selection.Sites = append(selection.Sites, id)
			}
		}
		scope.Sites[dimension] = selection
	}
	return scope, ok
}

func (r *fileReader) readGrants(n *yaml.Node) {
	if r.HasGrants = n != nil; n == nil {
		return
	}
	for _, e := range r.entries(n, "grants") {
		p, ok := r.products[access.ProductID(e.key)]
		if !ok && !r.orphaned(e.key) {
			r.fail(e.name, "grants: unknown product %q%s", e.key, meant(&r.reader, e.key, sortedKeys(&r.reader, r.products)))
			continue
		}
		p.ID = access.ProductID(e.key)
		r.Speaks[p.ID] = true
		for _, item := range r.list(e.value, "grants of "+e.key) {
			r.readGrant(item, p)
		}
	}
}

// orphaned reports whether there are grants in a product that isn't there.
func (r *fileReader) orphaned(product string) bool {
	return slices.ContainsFunc(r.now.Grants, func(g access.Grant) bool { return string(g.Product) == product })
}

// readGrant reads one grant. What is there already is taken as it is, even if it
// gives nothing; of anything else all that it names has to be there.
func (r *fileReader) readGrant(n *yaml.Node, p access.Product) {
	before := len(r.mistakes)
	f := r.fields(n, "a grant", "user", "group", "everyone", "connection", "effect", "role", "permission", "level",
		"attribute", "value", "scope", "mask", "from", "until", "reason")
	g := access.Grant{
		ID: access.GrantID(fmt.Sprintf("line %d", n.Line)), Product: p.ID, Effect: access.Effect(f.string(&r.reader, "effect")),
		Role: access.RoleID(f.string(&r.reader, "role")), Permission: access.PermissionID(f.string(&r.reader, "permission")),
		Level: access.Level(f.string(&r.reader, "level")), Attribute: f.string(&r.reader, "attribute"), Value: f.string(&r.reader, "value"),
		From: f.instant(&r.reader, "from"), Until: f.instant(&r.reader, "until"),
		Reason: f.string(&r.reader, "reason"), Origin: access.OriginImport,
	}
	if f["effect"] == nil {
		g.Effect = access.Allow
	}
	if known := levels(p); g.Permission != "" && f["level"] == nil && len(known) == 1 {
		g.Level = known[0]
	}
	for _, permission := range r.texts(f["mask"], "mask") {
		g.Mask = append(g.Mask, access.PermissionID(permission))
	}
	g.Subject, _ = r.grantee(f, n)
	if f["scope"] != nil {
		g.Scope, _ = r.scope(f["scope"], p)
	}
	if len(r.mistakes) > before {
		r.checkNames(g, f, p)
		return
	}
	g = impact.Normal(g)
	r.checkNames(g, f, p)
	r.check(g, f, n, p)
	if r.contents[content(g)] {
		r.Warnings = append(r.Warnings, r.mistakes[before:]...)
		r.mistakes = r.mistakes[:before]
	}
	if line, twice := r.lines[content(g)]; twice {
		r.fail(n, "the same grant is in line %d", line)
		return
	}
	r.lines[content(g)] = n.Line
	r.Grants = append(r.Grants, g)
}

// checkNames looks for what a grant names of its product.
func (r *fileReader) checkNames(g access.Grant, f fields, p access.Product) {
	var roles []access.RoleID
	for _, role := range p.Roles {
		roles = append(roles, role.ID)
	}
	if g.Role != "" && !slices.Contains(roles, g.Role) {
		r.fail(f["role"], "product %s: unknown role %q%s", p.ID, g.Role, meant(&r.reader, string(g.Role), roles))
	}
	if g.Permission != "" && g.Permission != access.AllPermissions {
		r.permissionOf(p, f["permission"], string(g.Permission))
	}
	if g.Permission != "" && f["level"] != nil {
		r.levelOf(p, f["level"])
	}
	for _, item := range r.items(f["mask"], "mask") {
		if item.Value != string(access.AllPermissions) {
			r.permissionOf(p, item, item.Value)
		}
	}
}

// check looks at what package access would object to beside names.
func (r *fileReader) check(g access.Grant, f fields, n *yaml.Node, p access.Product) {
	if g.Product == access.ConsoleID && g.Effect == access.Deny && g.Subject.User == "" {
		r.fail(n, "in the console only single people can be denied something")
	}
	if g.Value != "" && g.Attribute == "" {
		r.fail(f["value"], "value: goes with an attribute only")
	}
	policy, err := r.base.With(g)
	if err != nil {
		r.fail(n, "%v", errors.Unwrap(err))
		return
	}
	at := func(key string) *yaml.Node {
		if f[key] != nil {
			return f[key]
		}
		return n
	}
	for _, problem := range policy.Problems() {
		switch problem.Reason {
		case access.UnknownRole, access.UnknownPermission:
		case access.UnknownLevel:
			if problem.Name == "" {
				r.fail(n, "level: missing; product %s has %s", p.ID, join(levels(p)))
			}
		case access.PersonalRole:
			r.fail(at("role"), "role %s is for single people: no group and not everyone can have it", problem.Name)
		case access.NoScope:
			r.fail(at("scope"), "scope: missing; say where: ALL%s", within(p))
		case access.DimensionLeftOut:
			r.fail(at("scope"), "scope: says nothing about dimension %s; write ALL if you mean all of it", problem.Name)
		case access.MaskedDeny:
			r.fail(at("mask"), "mask: a deny has none")
		default:
			r.fail(n, "%s %s", problem.Reason, problem.Name)
		}
	}
}

// within says how else a scope can be written.
func within(p access.Product) string {
	if len(p.Dimensions) == 0 {
		return ""
	}
	return ", or sites by dimension (" + join(p.Dimensions) + ")"
}

func (r *fileReader) readMustHold(n *yaml.Node) {
	for _, item := range r.list(n, "must-hold") {
		before := len(r.mistakes)
		f := r.fields(item, "must-hold", "name", "user", "group", "everyone", "connection", "kind", "never", "always", "product", "level", "scope")
		verb := "never"
		if f["always"] != nil {
			verb = "always"
		}
		if (f["never"] == nil) == (f["always"] == nil) {
			r.fail(item, "must-hold: say never or always, and a permission")
			continue
		}
		product := access.ProductID(f.string(&r.reader, "product"))
		p, ok := r.products[product]
		if !ok {
			r.fail(item, "must-hold: unknown product %q%s", product, meant(&r.reader, string(product), sortedKeys(&r.reader, r.products)))
			continue
		}
		m := MustHold{Always: verb == "always", Assertion: access.Assertion{
			Name: f.string(&r.reader, "name"), Product: p.ID, Permission: access.PermissionID(f.string(&r.reader, verb)),
			Level: access.Level(f.string(&r.reader, "level")), Scope: access.Scope{Everywhere: true},
		}}
		if m.Name == "" {
			r.fail(item, "must-hold: give it a name: it is shown when it doesn't hold")
		}
		r.permissionOf(p, f[verb], string(m.Permission))
		switch known := levels(p); {
		case f["level"] != nil:
			r.levelOf(p, f["level"])
		case len(known) == 1:
			m.Level = known[0]
		default:
			r.fail(item, "level: missing; product %s has %s", p.ID, join(known))
		}
		if f["kind"] != nil {
			m.Kind = r.kind(f, item)
		}
		m.Subject, _ = r.grantee(f, item)
		if m.Kind == "" && m.Subject == (access.Grantee{}) && len(r.mistakes) == before {
			r.fail(item, "must-hold: say who: a user, a group, a kind, or everyone")
		}
		if at := f["scope"]; at != nil {
			if m.Scope, ok = r.scope(at, p); ok {
				r.wholeScope(m.Scope, at, p)
			}
		}
		r.MustHold = append(r.MustHold, m)
	}
}

// wholeScope wants something said about every dimension: an assertion about
// nowhere could never be broken.
func (r *fileReader) wholeScope(scope access.Scope, n *yaml.Node, p access.Product) {
	for _, dimension := range p.Dimensions {
		if selection := scope.Sites[dimension]; !scope.Everywhere && !selection.All && len(selection.Sites) == 0 {
			r.fail(n, "scope: says nothing about dimension %s; write ALL if you mean all of it", dimension)
		}
	}
}
