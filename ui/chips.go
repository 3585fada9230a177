package ui

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
)

// granted is a tenant's policy at an instant, sorted by whom its grants are for, to
// show what many people have on one page.
type granted struct {
	words  *words
	policy *access.Policy
	of     map[access.Grantee][]access.Grant
	// within limits what is shown to some areas; nil shows all.
	within []access.Area
}

// granted sorts the grants that are in force and give something. Those to
// everyone say nothing about anybody, and are left out.
func (v *visit) granted(p *access.Policy, at time.Time, within []access.Area) *granted {
	g := &granted{words: v.words, policy: v.words.policy(p), of: map[access.Grantee][]access.Grant{}, within: within}
	dead := map[access.GrantID]bool{}
	for _, problem := range p.Problems() {
		dead[problem.Grant] = true
	}
	for _, grant := range p.Grants() {
		if grant.InForce(at) && !dead[grant.ID] && !grant.Subject.Everyone && grant.Attribute == "" {
			g.of[grant.Subject] = append(g.of[grant.Subject], grant)
		}
	}
	return g
}

// audience is whom the grants are for that allow something and that keep picks.
func (g *granted) audience(keep func(*access.Grant) bool) access.Audience {
	var a access.Audience
	for to, grants := range g.of {
		if !slices.ContainsFunc(grants, func(one access.Grant) bool { return one.Effect == access.Allow && keep(&one) }) {
			continue
		}
		if to.User != "" {
			a.Users = append(a.Users, to.User)
		} else {
			a.Groups = append(a.Groups, to.Group)
		}
	}
	slices.Sort(a.Users)
	slices.Sort(a.Groups)
	return a
}

// inside reports whether a grant reaches into any of the areas. One in a product
// that doesn't scope by what limits an area reaches nowhere in particular.
func (g *granted) inside(grant *access.Grant, areas []access.Area) bool {
	product, _ := g.policy.Product(grant.Product)
	return slices.ContainsFunc(areas, func(area access.Area) bool {
		for d, part := range area {
			scoped, whole := slices.Contains(product.Dimensions, d), part.All && len(part.Except) == 0
			if !scoped && !whole || scoped && !grant.Scope.Everywhere && !g.meets(grant.Scope.Sites[d], part) {
				return false
			}
		}
		return true
	})
}

// meets reports whether a selection and a part of a dimension have a site in common.
func (g *granted) meets(selection access.Selection, part access.Part) bool {
	if selection.All {
		return part.All || len(part.Sites) > 0
	}
	return slices.ContainsFunc(selection.Sites, func(id access.SiteID) bool {
		site, ok := g.policy.Site(id)
		return ok && (g.policy.Contains(access.Area{site.Dimension: part}, access.Place{site.Dimension: id}) ||
			slices.ContainsFunc(part.Sites, func(in access.SiteID) bool { return g.below(in, id) }))
	})
}

// below reports whether a site is another one or below it.
func (g *granted) below(id, above access.SiteID) bool {
	for id != "" {
		if id == above {
			return true
		}
		site, _ := g.policy.Site(id)
		id = site.Parent
	}
	return false
}

// chips are what somebody has, and how much of it is outside the areas.
func (g *granted) chips(s access.Subject) (chips []chip, elsewhere int) {
	grants := slices.Clone(g.of[access.Grantee{User: s.Person.ID}])
	for _, group := range s.Groups {
		grants = append(grants, g.of[access.Grantee{Group: group}]...)
	}
	for i := range grants {
		if g.within != nil && !g.inside(&grants[i], g.within) {
			elsewhere++
			continue
		}
		chips = append(chips, g.chip(&grants[i]))
	}
	slices.SortFunc(chips, func(a, b chip) int { return cmp.Or(cmp.Compare(a.Title, b.Title), cmp.Compare(a.Text, b.Text)) })
	return slices.Compact(chips), elsewhere
}

// chip is a grant in a few words.
func (g *granted) chip(grant *access.Grant) chip {
	product, _ := g.policy.Product(grant.Product)
	what := g.what(grant, product)
	w := g.words
	short, whole := g.where(grant, product, 1), g.where(grant, product, 100)
	name := cmp.Or(product.Name, string(grant.Product)) // two products may both have an administrator
	c := chip{Text: w.t("chip", "product", name, "role", what, "site", short),
		Title: w.t("chip", "product", name, "role", what, "site", whole)}
	if grant.Effect == access.Deny {
		c.Deny, c.Text, c.Title = true, w.t("chip.deny", "what", c.Text), w.t("chip.deny", "what", c.Title)
	}
	return c
}

// what is a grant's role, or its permission and level.
func (g *granted) what(grant *access.Grant, product access.Product) string {
	if grant.Role == "" {
		return g.permissionName(grant.Permission, product) + " " + g.words.level(grant.Level)
	}
	for _, role := range product.Roles {
		if role.ID == grant.Role {
			return cmp.Or(role.Name, string(role.ID))
		}
	}
	return string(grant.Role)
}

// permissionName is what people call a permission of a product.
func (g *granted) permissionName(id access.PermissionID, product access.Product) string {
	if id == access.AllPermissions {
		return g.words.t("because.everything")
	}
	for _, permission := range product.Permissions {
		if permission.ID == id {
			return cmp.Or(permission.Name, string(id))
		}
	}
	return string(id)
}

// siteName is what people call a site.
func (g *granted) siteName(id access.SiteID) string {
	site, _ := g.policy.Site(id)
	return cmp.Or(site.Name, site.Key, string(id))
}

// names are at most so many sites by name, in order, and how many more there are. A
// visitor who sees only some areas is told the names of the sites there and above.
func (g *granted) names(sites []access.SiteID, most int) (names []string, more int) {
	for _, id := range sites {
		if g.tells(id) {
			names = append(names, g.siteName(id))
		}
	}
	slices.Sort(names)
	names = names[:min(len(names), most)]
	return names, len(sites) - len(names)
}

// tells reports whether the visitor may know of a site.
func (g *granted) tells(id access.SiteID) bool {
	site, ok := g.policy.Site(id)
	return g.within == nil || ok && slices.ContainsFunc(g.within, func(area access.Area) bool {
		return g.meets(access.Selection{Sites: []access.SiteID{id}}, area[site.Dimension])
	})
}

// where is a grant's scope in words: at most so many sites of each dimension by
// name.
func (g *granted) where(grant *access.Grant, product access.Product, most int) string {
	w := g.words
	var parts []string
	dimensions := product.Dimensions
	if product.ID == "" { // it is gone, and can't say what narrows a grant down
		dimensions = slices.Sorted(maps.Keys(grant.Scope.Sites))
	}
	for _, d := range dimensions {
		selection := grant.Scope.Sites[d]
		if grant.Scope.Everywhere || selection.All {
			continue
		}
		names, more := g.names(selection.Sites, most)
		text := strings.Join(names, ", ")
		if more > 0 {
			text = strings.TrimSpace(text + " +" + w.number(more))
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return w.t("chip.everywhere")
	}
	return strings.Join(parts, " · ")
}
