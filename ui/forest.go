package ui

import (
	"cmp"
	"slices"

	"gatehouse/access"
	"gatehouse/store"
)

// forest is the sites of a policy as pages show them: by name below each other,
// and of a visitor who may see only some sites those.
type forest struct {
	policy *access.Policy
	areas  []access.Area // nil for all
	below  map[siteLevel][]access.Site
}

// siteLevel is what lies below a site; without one, at the top of a dimension. For
// who sees only some sites the top is the uppermost of those.
type siteLevel struct {
	dimension access.DimensionID
	above     access.SiteID
}

// forest arranges the sites that the visitor may see by a permission.
func (v *visit) forest(p *access.Policy, permission access.PermissionID) *forest {
	f := &forest{policy: p, below: map[siteLevel][]access.Site{}}
	if v.scoped(permission, access.LevelView) {
		f.areas = v.area(permission, access.LevelView)
	}
	for _, site := range p.Catalogue().Sites {
		if !f.sees(site) {
			continue
		}
		above := site.Parent
		if parent, ok := p.Site(above); ok && !f.sees(parent) {
			above = ""
		}
		level := siteLevel{site.Dimension, above}
		f.below[level] = append(f.below[level], site)
	}
	return f
}

// sees reports whether the visitor sees a site. What is archived is in no area.
func (f *forest) sees(site access.Site) bool {
	here := access.Place{site.Dimension: site.ID}
	return f.areas == nil || slices.ContainsFunc(f.areas, func(a access.Area) bool {
		return f.policy.Contains(access.Area{site.Dimension: a[site.Dimension]}, here)
	})
}

// site finds a site that the visitor sees.
func (f *forest) site(id access.SiteID) (access.Site, error) {
	site, ok := f.policy.Site(id)
	if !ok || !f.sees(site) {
		return access.Site{}, store.ErrNotFound
	}
	return site, nil
}

// level gives the sites right below one, by name.
func (f *forest) level(dimension access.DimensionID, above access.SiteID) []access.Site {
	return byName(f.below[siteLevel{dimension, above}], siteName, func(s access.Site) string { return string(s.ID) })
}

// each goes through a dimension, each site before those below it.
func (f *forest) each(dimension access.DimensionID, do func(access.Site)) {
	var down func(above access.SiteID)
	down = func(above access.SiteID) {
		for _, site := range f.level(dimension, above) {
			do(site)
			down(site.ID)
		}
	}
	down("")
}

// count is how many sites are below one.
func (f *forest) count(site access.Site) (n int) {
	for _, one := range f.below[siteLevel{site.Dimension, site.ID}] {
		n += 1 + f.count(one)
	}
	return n
}

// path is the way to a site from the top, itself last.
func (f *forest) path(site access.Site) []access.Site {
	path := []access.Site{site}
	for {
		above, ok := f.policy.Site(path[0].Parent)
		if !ok || !f.sees(above) {
			return path
		}
		path = slices.Insert(path, 0, above)
	}
}

// closed reports whether a site is archived, or below one that is.
func (f *forest) closed(site access.Site) bool {
	for !site.Archived {
		above, ok := f.policy.Site(site.Parent)
		if !ok {
			return false
		}
		site = above
	}
	return true
}

// dimensions are those with a name, as they are shown.
func (f *forest) dimensions() []access.Dimension {
	all := slices.Clone(f.policy.Catalogue().Dimensions)
	for i := range all {
		all[i].Name = cmp.Or(all[i].Name, string(all[i].ID))
	}
	return all
}

// dimension is one of them.
func (f *forest) dimension(id access.DimensionID) access.Dimension {
	for _, d := range f.dimensions() {
		if d.ID == id {
			return d
		}
	}
	return access.Dimension{ID: id, Name: string(id)}
}

// siteName is what people call a site.
func siteName(site access.Site) string {
	return cmp.Or(site.Name, site.Key, string(site.ID))
}

// byName sorts things by what people call them, in any case.
func byName[T any](all []T, name, id func(T) string) []T {
	type entry struct {
		key, id string
		thing   T
	}
	entries := make([]entry, len(all))
	for i, one := range all {
		entries[i] = entry{store.Fold(name(one)), id(one), one}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.id, b.id)) })
	sorted := make([]T, len(all))
	for i, one := range entries {
		sorted[i] = one.thing
	}
	return sorted
}
