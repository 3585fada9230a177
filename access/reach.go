package access

// Reach is how a grant comes to a site.
type Reach struct {
	// Above is the site of the grant's scope that is the site or above it; empty when
	// the grant says ALL in the site's dimension.
	Above SiteID
	// Part says that in another dimension the grant is for some places only.
	Part bool
}

// Reach tells whether a grant comes to a site, and how, wherever that is in the
// other dimensions of the grant's product. It doesn't ask whether the grant is in
// force. What gives nothing comes nowhere, and nothing comes to what is archived.
func (p *Policy) Reach(id GrantID, site SiteID) (reach Reach, ok bool) {
	at, known := p.at[site]
	r := p.byID[id]
	if !known || r == nil || r.dead || r.ranks == nil || p.sites[at].closed {
		return Reach{}, false
	}
	d, scoped := r.product.dimensionAt[p.sites[at].Dimension]
	if !scoped || r.everywhere {
		return Reach{}, scoped
	}
	for other := range r.reach {
		in := &r.reach[other]
		if other == d || in.all {
			continue
		}
		if len(in.spans) == 0 {
			return Reach{}, false
		}
		reach.Part = true
	}
	in := &r.reach[d]
	if in.all {
		return reach, true
	}
	if !in.holds(at) {
		return Reach{}, false
	}
	// Spans are apart from each other: the site of the scope is the first in one.
	for up := site; up != ""; up = p.sites[p.at[up]].Parent {
		for _, s := range in.spans {
			if s.first == p.at[up] {
				return Reach{Above: up, Part: reach.Part}, true
			}
		}
	}
	return reach, true
}
