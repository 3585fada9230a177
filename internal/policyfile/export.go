package policyfile

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"

	"go.yaml.in/yaml/v3"
)

// Export writes a tenant as a file in a stable order. Applied as it is, it changes
// nothing; it owns all, so that whatever is taken out of it goes.
func Export(now store.Snapshot) ([]byte, error) {
	x := exporter{Words: NewWords(now, now.Catalogue)}
	doc := mapping()
	doc.add("owns", text("all"))
	doc.add("dimensions", x.dimensions())
	doc.add("sites", x.sitesOf())
	doc.add("products", x.productsOf())
	doc.add("grants", x.grants())
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode((*yaml.Node)(doc)); err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	return b.Bytes(), encoder.Close()
}

type exporter struct{ *Words }

// block is a YAML map in the making.
type block yaml.Node

func mapping() *block { return &block{Kind: yaml.MappingNode} }

// flow is a map on one line.
func flow() *block { return &block{Kind: yaml.MappingNode, Style: yaml.FlowStyle} }

func (b *block) add(key string, value *yaml.Node) {
	b.Content = append(b.Content, text(key), value)
}

// put adds a text, unless it is empty.
func (b *block) put(key, value string) {
	if value != "" {
		b.add(key, text(value))
	}
}

// flag adds true, but not false.
func (b *block) flag(key string, value bool) {
	if value {
		b.add(key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "true"})
	}
}

// number adds a number, but not 0.
func (b *block) number(key string, value int) {
	if value != 0 {
		b.add(key, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(value)})
	}
}

func (b *block) node() *yaml.Node { return (*yaml.Node)(b) }

// text is quoted where it would be something else without.
func text[S ~string](s S) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: string(s)}
	// A text of several lines would lose or gain ends of lines as a block.
	for _, r := range s {
		if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfeff {
			n.Style = yaml.DoubleQuotedStyle
		}
	}
	return n
}

func list[S ~string](all []S) *yaml.Node {
	n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, s := range all {
		n.Content = append(n.Content, text(s))
	}
	return n
}

func (x *exporter) dimensions() *yaml.Node {
	all := mapping()
	for _, d := range sortedBy(x.now.Catalogue.Dimensions, func(d access.Dimension) string { return string(d.ID) }) {
		all.add(string(d.ID), text(d.Name))
	}
	return all.node()
}

func sortedBy[T any](all []T, key func(T) string) []T {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	return all
}

func (x *exporter) sitesOf() *yaml.Node {
	below := make(map[access.SiteID][]access.Site)
	tops := make(map[access.DimensionID][]access.Site)
	for _, s := range sortedBy(x.now.Catalogue.Sites, SiteRef) {
		if s.Parent == "" {
			tops[s.Dimension] = append(tops[s.Dimension], s)
		} else {
			below[s.Parent] = append(below[s.Parent], s)
		}
	}
	all := mapping()
	for _, d := range sortedBy(x.now.Catalogue.Dimensions, func(d access.Dimension) string { return string(d.ID) }) {
		if len(tops[d.ID]) > 0 {
			all.add(string(d.ID), tree(tops[d.ID], below))
		}
	}
	return all.node()
}

func tree(sites []access.Site, below map[access.SiteID][]access.Site) *yaml.Node {
	all := mapping()
	for _, s := range sites {
		if !s.Archived && len(below[s.ID]) == 0 {
			all.add(SiteRef(s), text(s.Name))
			continue
		}
		one := mapping()
		one.put("name", s.Name)
		one.flag("archived", s.Archived)
		if len(below[s.ID]) > 0 {
			one.add("sites", tree(below[s.ID], below))
		}
		all.add(SiteRef(s), one.node())
	}
	return all.node()
}

func (x *exporter) productsOf() *yaml.Node {
	all := mapping()
	for _, p := range sortedBy(x.now.Catalogue.Products, func(p access.Product) string { return string(p.ID) }) {
		all.add(string(p.ID), product(p))
	}
	return all.node()
}

func product(p access.Product) *yaml.Node {
	all := mapping()
	all.put("name", p.Name)
	if len(p.Levels) > 0 {
		all.add("levels", list(p.Levels))
	}
	if len(p.Dimensions) > 0 {
		all.add("dimensions", list(p.Dimensions))
	}
	if len(p.Permissions) > 0 {
		permissions := mapping()
		for _, one := range p.Permissions {
			if len(one.Tags) == 0 {
				permissions.add(string(one.ID), text(one.Name))
				continue
			}
			fields := flow()
			fields.put("name", one.Name)
			fields.add("tags", list(one.Tags))
			permissions.add(string(one.ID), fields.node())
		}
		all.add("permissions", permissions.node())
	}
	if len(p.Roles) > 0 {
		roles := mapping()
		for _, one := range p.Roles {
			roles.add(string(one.ID), role(one, p))
		}
		all.add("roles", roles.node())
	}
	if rules := rules(p.Rules); len(rules.Content) > 0 {
		all.add("rules", rules)
	}
	return all.node()
}

// role writes permissions in the order of the product, all of them first.
func role(one access.Role, p access.Product) *yaml.Node {
	all := mapping()
	all.put("name", one.Name)
	all.flag("personal", one.Personal)
	permissions := flow()
	for _, permission := range append([]access.Permission{{ID: access.AllPermissions}}, p.Permissions...) {
		if level, ok := one.Permissions[permission.ID]; ok {
			permissions.add(string(permission.ID), text(level))
		}
	}
	if len(permissions.Content) > 0 {
		all.add("permissions", permissions.node())
	}
	return all.node()
}

func rules(r access.Rules) *yaml.Node {
	all := mapping()
	all.flag("one-role", r.OneRole)
	if len(r.Limits) > 0 {
		limits := &yaml.Node{Kind: yaml.SequenceNode}
		for _, one := range r.Limits {
			limit := flow()
			limit.add("kind", text(one.Kind))
			limit.put("max-level", string(one.MaxLevel))
			if len(one.ForbidTags) > 0 {
				limit.add("forbid-tags", list(one.ForbidTags))
			}
			limit.flag("forbid-all", one.ForbidAll)
			limits.Content = append(limits.Content, limit.node())
		}
		all.add("limits", limits)
	}
	if len(r.Holders) > 0 {
		holders := &yaml.Node{Kind: yaml.SequenceNode}
		for _, one := range r.Holders {
			rule := flow()
			rule.add("role", text(one.Role))
			rule.number("warn", one.Warn)
			rule.number("refuse", one.Refuse)
			rule.number("max", one.Max)
			holders.Content = append(holders.Content, rule.node())
		}
		all.add("holders", holders)
	}
	return all.node()
}

// grants writes each content once, everyone's first, then groups', then people's.
func (x *exporter) grants() *yaml.Node {
	type line struct{ product, order, content string }
	var lines []line
	nodes := make(map[line]*yaml.Node)
	for _, g := range x.now.Grants {
		kind, named := "0", store.Named{}
		switch {
		case g.Subject.Group != "":
			kind, named = "1", x.now.Groups[g.Subject.Group]
		case g.Subject.User != "":
			kind, named = "2", x.now.Users[g.Subject.User]
		}
		l := line{string(g.Product), kind + "\x00" + store.Fold(named.Name) + "\x00" + named.Connection, content(g)}
		if nodes[l] == nil {
			nodes[l] = x.grant(g)
			lines = append(lines, l)
		}
	}
	slices.SortFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.product, b.product), cmp.Compare(a.order, b.order), cmp.Compare(a.content, b.content))
	})
	all := mapping()
	for i, l := range lines {
		if i == 0 || lines[i-1].product != l.product {
			all.add(l.product, &yaml.Node{Kind: yaml.SequenceNode})
		}
		last := all.Content[len(all.Content)-1]
		last.Content = append(last.Content, nodes[l])
	}
	return all.node()
}

func (x *exporter) grant(g access.Grant) *yaml.Node {
	g = impact.Normal(g)
	all := flow()
	subject := func(key, id string, named store.Named, there bool) {
		if !there {
			all.add(key, text("#"+id))
			all.LineComment = "deleted; nobody has anything by this"
			return
		}
		all.add(key, text(named.Name))
		all.add("connection", text(named.Connection))
	}
	switch {
	case g.Subject.Everyone:
		all.flag("everyone", true)
	case g.Subject.Group != "":
		named, there := x.now.Groups[g.Subject.Group]
		subject("group", string(g.Subject.Group), named, there)
	default:
		named, there := x.now.Users[g.Subject.User]
		subject("user", string(g.Subject.User), named, there)
	}
	if g.Effect == access.Deny {
		all.add("effect", text(g.Effect))
	}
	all.put("role", string(g.Role))
	all.put("permission", string(g.Permission))
	if p, known := x.products[g.Product]; !known || !slices.Equal(levels(p), []access.Level{g.Level}) {
		all.put("level", string(g.Level))
	}
	all.put("attribute", g.Attribute)
	all.put("value", g.Value)
	switch {
	case g.Scope.Everywhere:
		all.add("scope", text("ALL"))
	case !g.Scope.Zero():
		all.add("scope", x.scope(g.Scope, g.Product))
	}
	if len(g.Mask) > 0 {
		all.add("mask", list(g.Mask))
	}
	if !g.From.IsZero() {
		all.add("from", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!timestamp", Value: day(g.From)})
	}
	if !g.Until.IsZero() {
		all.add("until", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!timestamp", Value: day(g.Until)})
	}
	all.put("reason", g.Reason)
	return all.node()
}

func (x *exporter) scope(scope access.Scope, product access.ProductID) *yaml.Node {
	all := flow()
	for _, dimension := range x.Words.dimensions(product, maps.Keys(scope.Sites)) {
		selection := scope.Sites[dimension]
		if selection.All {
			all.add(string(dimension), text("ALL"))
			continue
		}
		refs := make([]string, len(selection.Sites))
		for i, id := range selection.Sites {
			refs[i] = x.Site(id)
		}
		slices.Sort(refs)
		all.add(string(dimension), list(refs))
	}
	return all.node()
}
