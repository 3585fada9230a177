package access

import "time"

// Question asks for a permission at a level at a place.
type Question struct {
	Product    ProductID    `json:"product"`
	Permission PermissionID `json:"permission"`
	// Level may be left out if the product has only one.
	Level Level `json:"level,omitempty"`
	Place Place `json:"place,omitempty"`
}

// What stands for a dimension in a position beside the number of a site.
const (
	asked int32 = -1 - iota // the dimension as a whole, since the question leaves it out
	rest                    // a site that no grant names, such as one added tomorrow
)

// Allows reports whether the person may do what is asked at the instant. It is
// what a product waits for: one look into each of the person's grants.
func (p *Policy) Allows(s Subject, q Question, at time.Time) bool {
	var buf [8]int32
	a, reason, _ := p.ask(q, buf[:0])
	if reason != "" || !s.Person.Live(at) {
		return false
	}
	return p.rank(&s, &a, at) >= a.rank
}

// Level is the highest level at which the person has the permission at the
// place; the question's level doesn't count. Empty is no access.
func (p *Policy) Level(s Subject, q Question, at time.Time) Level {
	var buf [8]int32
	if pr := p.products[q.Product]; pr != nil {
		q.Level = pr.Levels[0]
	}
	a, reason, _ := p.ask(q, buf[:0])
	if reason != "" || !s.Person.Live(at) {
		return ""
	}
	return a.product.level(p.rank(&s, &a, at))
}

// ask is a question whose names have been looked up.
type ask struct {
	product    *product
	permission int
	rank       uint8
	where      []int32 // a site or asked, for each dimension of the product
}

// ask looks up the names of a question, or tells which one isn't known. Where is
// appended to buf.
func (p *Policy) ask(q Question, buf []int32) (ask, Reason, string) {
	pr := p.products[q.Product]
	if pr == nil {
		return ask{}, UnknownProduct, string(q.Product)
	}
	a := ask{product: pr, where: buf}
	permission, ok := pr.permissionAt[q.Permission]
	if !ok {
		return a, UnknownPermission, string(q.Permission)
	}
	a.permission = permission
	a.rank = pr.rankOf[q.Level]
	if q.Level == "" && len(pr.Levels) == 1 {
		a.rank = 1
	}
	if a.rank == 0 {
		return a, UnknownLevel, string(q.Level)
	}
	where, reason, name := p.locate(pr, q.Place, buf)
	a.where = where
	return a, reason, name
}

// locate finds the sites of a place, one for each dimension of the product.
func (p *Policy) locate(pr *product, place Place, where []int32) ([]int32, Reason, string) {
	named := 0
	for _, dimension := range pr.Dimensions {
		id, ok := place[dimension]
		if !ok {
			where = append(where, asked)
			continue
		}
		named++
		at, ok := p.at[id]
		if !ok || p.sites[at].Dimension != dimension {
			return where, UnknownSite, string(id)
		}
		if p.sites[at].closed {
			return where, ArchivedSite, string(id)
		}
		where = append(where, at)
	}
	if named < len(place) {
		for _, dimension := range sortedKeys(place) {
			if _, ok := pr.dimensionAt[dimension]; !ok {
				return where, UnknownDimension, string(dimension)
			}
		}
	}
	return where, "", ""
}

// rank is the highest level, as a number, that remains to a live person.
func (p *Policy) rank(s *Subject, a *ask, at time.Time) uint8 {
	w := weight{ceiling: 255}
	w.add(p.byUser[s.Person.ID], a, at)
	for _, group := range s.Groups {
		w.add(p.byGroup[group], a, at)
	}
	w.add(p.everyone, a, at)
	return w.rank()
}

// weight is what allows and denies come to for one permission at one place.
type weight struct{ allowed, ceiling uint8 }

func (w *weight) add(rules []*rule, a *ask, at time.Time) {
	for _, r := range rules {
		if r.product == a.product && r.ranks != nil && r.ranks[a.permission] > 0 && r.InForce(at) && r.reaches(a.where) {
			w.count(r, a.permission)
		}
	}
}

// count takes a rule that reaches the place.
func (w *weight) count(r *rule, permission int) {
	rank := r.ranks[permission]
	switch {
	case rank == 0:
	case r.Effect == Deny:
		w.ceiling = min(w.ceiling, rank-1)
	default:
		w.allowed = max(w.allowed, rank)
	}
}

func (w *weight) rank() uint8 { return min(w.allowed, w.ceiling) }

// reaches reports whether the grant reaches the place.
func (r *rule) reaches(where []int32) bool {
	if r.everywhere {
		return true
	}
	if len(where) == 0 {
		return false // a product without dimensions is reached by everywhere alone
	}
	for i, site := range where {
		if !r.covers(i, site) {
			return false
		}
	}
	return true
}

// covers is reaches in one dimension of the product.
func (r *rule) covers(dimension int, site int32) bool {
	if r.everywhere {
		return true
	}
	in := &r.reach[dimension]
	switch {
	case in.all:
		return true
	case site >= 0:
		return in.holds(site)
	}
	// A deny anywhere in the dimension takes away the whole of it.
	return site == asked && r.Effect == Deny && len(in.spans) > 0
}
