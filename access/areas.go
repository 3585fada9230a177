package access

import (
	"fmt"
	"slices"
	"strings"
)

// Area is a set of places: all that are in its part of each dimension. The area
// of a product without dimensions is empty and means the product.
type Area map[DimensionID]Part

// Part is a set of sites of a dimension: the listed with everything below, but
// for the exceptions with everything below, in which sites may be listed again.
// Archived sites are in no part.
type Part struct {
	// All is the whole dimension, sites added later too, but for the exceptions.
	All    bool     `json:"all,omitempty"`
	Sites  []SiteID `json:"sites,omitempty"`
	Except []SiteID `json:"except,omitempty"`
}

// Contains reports whether a place is in the area by the policy's sites. The
// place has to name a site in each of the area's dimensions.
func (p *Policy) Contains(area Area, place Place) bool {
	for dimension, part := range area {
		at, ok := p.at[place[dimension]]
		if !ok || p.sites[at].closed || !p.contains(part, at) {
			return false
		}
	}
	return true
}

// contains looks for the nearest site above that the part speaks of.
func (f *forest) contains(part Part, at int32) bool {
	for id := f.sites[at].ID; id != ""; id = f.sites[f.at[id]].Parent {
		if slices.Contains(part.Sites, id) {
			return true
		}
		if slices.Contains(part.Except, id) {
			return false
		}
	}
	return part.All
}

// view is what one person has in a product by one policy: the grants that are in
// force for her.
type view struct {
	policy  *Policy
	product *product // nil if the policy doesn't have it
	rules   []*rule
}

// class is a set of sites that the grants of some views can't tell apart. Its
// signature has for each view one byte of open, shut or unscoped, and one for each
// rule that says whether it covers the sites.
type class struct {
	sites     []SiteID
	signature string
}

const (
	open     = 'o'
	shut     = 's' // archived there, or not there: nothing covers it
	unscoped = 'u' // the view's product doesn't scope by the dimension: it makes no difference
	covered  = '1'
	bare     = '0'
)

// classes divides a dimension by the grants of the views. The class of the rest
// comes first, with or without sites.
func classes(dimension DimensionID, views []view) []class {
	var buf []byte
	buf, _ = sign(buf, dimension, views, "")
	all := []class{{signature: string(buf)}}
	found := map[string]int{all[0].signature: 0}
	seen := make(map[SiteID]bool)
	for _, v := range views {
		within := v.policy.roots[dimension]
		for at := within.first; at <= within.last; at++ {
			site := v.policy.sites[at].ID
			if seen[site] {
				continue
			}
			seen[site] = true
			var anywhere bool
			if buf, anywhere = sign(buf[:0], dimension, views, site); !anywhere {
				continue
			}
			i, ok := found[string(buf)]
			if !ok {
				i = len(all)
				found[string(buf)] = i
				all = append(all, class{signature: string(buf)})
			}
			all[i].sites = append(all[i].sites, site)
		}
	}
	return all
}

// sign appends the signature of a site, or of the rest if there is none, and
// reports whether the site is open in any view.
func sign(buf []byte, dimension DimensionID, views []view, site SiteID) (signature []byte, anywhere bool) {
	for _, v := range views {
		at, state := rest, byte(open)
		if site != "" {
			found, ok := v.policy.at[site]
			if !ok || v.policy.sites[found].Dimension != dimension || v.policy.sites[found].closed {
				state = shut
			}
			at = found
		}
		anywhere = anywhere || state == open
		d, scoped := 0, false
		if v.product != nil {
			d, scoped = v.product.dimensionAt[dimension]
		}
		if !scoped {
			state = unscoped
		}
		buf = append(buf, state)
		for _, r := range v.rules {
			if state == open && r.covers(d, at) {
				buf = append(buf, covered)
				continue
			}
			buf = append(buf, bare)
		}
	}
	return buf, anywhere
}

// box is a set of places: some classes of each dimension.
type box [][]int

// grid is the places of a product, divided into as few boxes as its grants ask for.
type grid struct {
	dimensions []DimensionID
	classes    [][]class
	views      []view
}

func newGrid(views []view) *grid {
	g := &grid{views: views}
	for _, v := range views {
		if v.product == nil {
			continue
		}
		for _, dimension := range v.product.Dimensions {
			if !slices.Contains(g.dimensions, dimension) {
				g.dimensions = append(g.dimensions, dimension)
				g.classes = append(g.classes, classes(dimension, views))
			}
		}
	}
	return g
}

// cell is a combination of classes, one of each dimension, with the rules of each
// view that reach it.
type cell struct {
	at       []int
	reaching [][]*rule
}

func (g *grid) cells() []cell {
	var all []cell
	at := make([]int, len(g.dimensions))
	for {
		all = append(all, cell{at: slices.Clone(at), reaching: g.reaching(at)})
		d := len(at) - 1
		for ; d >= 0; d-- {
			if at[d]++; at[d] < len(g.classes[d]) {
				break
			}
			at[d] = 0
		}
		if d < 0 {
			return all
		}
	}
}

func (g *grid) reaching(at []int) [][]*rule {
	all := make([][]*rule, len(g.views))
	offset := 0
	for i, v := range g.views {
		for j, r := range v.rules {
			if g.reaches(at, offset, j, r) {
				all[i] = append(all[i], r)
			}
		}
		offset += 1 + len(v.rules)
	}
	return all
}

// reaches reads one view's part of the signatures, which starts at offset.
func (g *grid) reaches(at []int, offset, rule int, r *rule) bool {
	scoped := false
	for d := range g.dimensions {
		signature := g.classes[d][at[d]].signature[offset:]
		if signature[0] == unscoped {
			continue
		}
		scoped = true
		if signature[1+rule] != covered {
			return false
		}
	}
	return scoped || r.everywhere
}

// merge joins boxes that differ in one dimension only.
func merge(boxes []box, dimensions int) []box {
	for d := range dimensions {
		var joined []box
		found := make(map[string]int)
		for _, b := range boxes {
			var key strings.Builder
			for e, classes := range b {
				if e == d {
					continue
				}
				for _, c := range classes {
					fmt.Fprintf(&key, "%d,", c)
				}
				key.WriteByte(';')
			}
			i, ok := found[key.String()]
			if !ok {
				found[key.String()] = len(joined)
				joined = append(joined, b)
				continue
			}
			joined[i][d] = append(joined[i][d], b[d]...)
		}
		boxes = joined
	}
	return boxes
}

// area describes a box by the sites of the last view's policy; sites that only
// an earlier one has stand for themselves.
func (g *grid) area(b box) Area {
	area := make(Area, len(g.dimensions))
	for d, dimension := range g.dimensions {
		area[dimension] = g.part(d, b[d])
	}
	return area
}

func (g *grid) part(d int, chosen []int) Part {
	within := make(map[SiteID]bool)
	for i, c := range g.classes[d] {
		for _, site := range c.sites {
			within[site] = slices.Contains(chosen, i)
		}
	}
	part := Part{All: slices.Contains(chosen, 0)}
	f := &g.views[len(g.views)-1].policy.forest
	for _, site := range g.inOrder(d) {
		above := part.All
		if at, ok := f.at[site]; ok {
			for id := f.sites[at].Parent; id != ""; id = f.sites[f.at[id]].Parent {
				if in, listed := within[id]; listed {
					above = in
					break
				}
			}
		}
		switch in := within[site]; {
		case in && !above:
			part.Sites = append(part.Sites, site)
		case !in && above:
			part.Except = append(part.Except, site)
		}
	}
	return part
}

// inOrder is all sites of a dimension that are in a class, in the last view's
// pre-order, then those that it doesn't have.
func (g *grid) inOrder(d int) []SiteID {
	var all []SiteID
	for _, c := range g.classes[d] {
		all = append(all, c.sites...)
	}
	f := &g.views[len(g.views)-1].policy.forest
	slices.SortStableFunc(all, func(a, b SiteID) int {
		i, known := f.at[a]
		j, other := f.at[b]
		switch {
		case known && other:
			return int(i) - int(j)
		case known:
			return -1
		case other:
			return 1
		}
		return strings.Compare(string(a), string(b))
	})
	return all
}
