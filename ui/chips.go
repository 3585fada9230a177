package ui

import (
	"cmp"
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
	g := &granted{words: v.words, policy: p, of: map[access.Grantee][]access.Grant{}, within: within}
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
	what := string(grant.Role)
	for _, role := range product.Roles {
		if role.ID == grant.Role {
			what = cmp.Or(role.Name, what)
		}
	}
	if grant.Role == "" {
		what = string(grant.Permission) + " " + string(grant.Level)
	}
	w := g.words
	short, whole := g.where(grant, product, 1), g.where(grant, product, 100)
	c := chip{Text: w.t("chip", "role", what, "site", short),
		Title: w.t("chip.title", "product", cmp.Or(product.Name, string(product.ID)), "role", what, "site", whole)}
	if grant.Effect == access.Deny {
		c.Deny, c.Text, c.Title = true, w.t("chip.deny", "what", c.Text), w.t("chip.deny", "what", c.Title)
	}
	return c
}

// where is a grant's scope in words: at most so many sites of each dimension by
// name.
func (g *granted) where(grant *access.Grant, product access.Product, most int) string {
	w := g.words
	var parts []string
	for _, d := range product.Dimensions {
		selection := grant.Scope.Sites[d]
		if grant.Scope.Everywhere || selection.All {
			continue
		}
		var names []string
		for _, id := range selection.Sites {
			site, _ := g.policy.Site(id)
			names = append(names, cmp.Or(site.Name, site.Key, string(id)))
		}
		slices.Sort(names)
		text := strings.Join(names[:min(len(names), most)], ", ")
		if more := len(names) - most; more > 0 {
			text += " +" + w.number(more)
		}
		parts = append(parts, text)
	}
	if len(parts) == 0 {
		return w.t("chip.everywhere")
	}
	return strings.Join(parts, " · ")
}
