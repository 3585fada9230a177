package access

import (
	"slices"
	"time"
)

// Holder is somebody who has a permission at a place.
type Holder struct {
	User       UserID       `json:"user"`
	Permission PermissionID `json:"permission"`
	Level      Level        `json:"level"`
}

// WhoHas finds the people who have the permission at the place, at the level or
// above; without a level at any, without a permission any of the product. They
// come by id, and each one's permissions in the product's order.
func WhoHas(st State, q Question) []Holder {
	asks := st.Policy.asks(q)
	var all []Holder
	for _, id := range sortedKeys(st.Facts.People) {
		all = append(all, st.Policy.holdings(st.Facts.Subject(id), asks, st.At)...)
	}
	return all
}

// ActionsAt is what a person may do at a place: each permission with its level,
// in the product's order. The user of each holder is the person.
func (p *Policy) ActionsAt(s Subject, product ProductID, place Place, at time.Time) []Holder {
	return p.holdings(s, p.asks(Question{Product: product, Place: place}), at)
}

// asks are the questions that one with parts left out stands for.
func (p *Policy) asks(q Question) []ask {
	pr := p.products[q.Product]
	if pr == nil {
		return nil
	}
	if q.Level == "" {
		q.Level = pr.Levels[0]
	}
	var all []ask
	for _, permission := range pr.Permissions {
		if q.Permission != "" && q.Permission != permission.ID {
			continue
		}
		one := q
		one.Permission = permission.ID
		if a, reason, _ := p.ask(one, nil); reason == "" {
			all = append(all, a)
		}
	}
	return all
}

func (p *Policy) holdings(s Subject, asks []ask, at time.Time) []Holder {
	if !s.Person.Live(at) {
		return nil
	}
	var all []Holder
	for _, a := range asks {
		if rank := p.rank(&s, &a, at); rank >= a.rank {
			all = append(all, Holder{User: s.Person.ID, Permission: a.product.Permissions[a.permission].ID, Level: a.product.level(rank)})
		}
	}
	return all
}

// PlacesOf is where a person has the permission at the level or above. Several
// areas may meet, but don't overlap.
func (p *Policy) PlacesOf(s Subject, product ProductID, permission PermissionID, level Level, at time.Time) []Area {
	pr := p.products[product]
	if pr == nil {
		return nil
	}
	a, reason, _ := p.ask(Question{Product: product, Permission: permission, Level: level}, nil)
	if reason != "" {
		return nil
	}
	enough := func(f *finding) bool { return f.permission == permission && f.ranks[0] >= a.rank }
	var all []Area
	for _, f := range findings([]view{p.view(pr, p.inForce(&s, at))}, enough) {
		all = append(all, f.area)
	}
	return all
}

// SitesOf lists the sites of a dimension where the answer to a question is yes:
// the question's place says where in the other dimensions. All is that it is yes
// for the dimension as a whole, so also for sites added tomorrow. What it lists
// is what Allows allows.
func (p *Policy) SitesOf(s Subject, q Question, dimension DimensionID, at time.Time) (sites []SiteID, all bool) {
	place := make(Place, len(q.Place)+1)
	for d, site := range q.Place {
		if d != dimension {
			place[d] = site
		}
	}
	q.Place = place
	a, reason, _ := p.ask(q, nil)
	if reason != "" || !s.Person.Live(at) {
		return nil, false
	}
	i, ok := a.product.dimensionAt[dimension]
	if !ok {
		return nil, false
	}
	all = p.rank(&s, &a, at) >= a.rank
	a.where = slices.Clone(a.where)
	within := p.roots[dimension]
	for site := within.first; site <= within.last; site++ {
		a.where[i] = site
		if !p.sites[site].closed && p.rank(&s, &a, at) >= a.rank {
			sites = append(sites, p.sites[site].ID)
		}
	}
	return sites, all
}
