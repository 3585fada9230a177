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

// axis is a dimension divided into classes: sets of sites that the grants of the
// views can't tell apart. The first class is the rest, with or without sites: what
// no grant names, such as a site added tomorrow.
type axis struct {
	dimension DimensionID
	// signatures has for each class, and there for each view, one byte of open, shut
	// or unscoped, and one for each rule that says whether it covers the sites.
	signatures []string
	// sites are those that are open in some view, in the pre-order of the last view,
	// then those that only the views before have; each with its class and the index
	// of the nearest site above, -1 at the top.
	sites []SiteID
	class []int
	above []int
}

const (
	open     = 'o'
	shut     = 's' // archived there, or not there: nothing covers it
	unscoped = 'u' // the view's product doesn't scope by the dimension: it makes no difference
	covered  = '1'
	bare     = '0'
)

func newAxis(dimension DimensionID, views []view) axis {
	signature, _ := sign(nil, dimension, views, "")
	x := axis{dimension: dimension, signatures: []string{string(signature)}}
	if alike(dimension, views) {
		return x
	}
	known := map[string]int{x.signatures[0]: 0}
	index := make(map[SiteID]int) // -1 if it is in no class
	for i := range views {
		p := views[len(views)-1-i].policy
		within, there := p.roots[dimension]
		if !there {
			continue // a dimension of another time
		}
		for at := within.first; at <= within.last; at++ {
			site := &p.sites[at]
			if _, seen := index[site.ID]; seen {
				continue
			}
			var somewhere bool
			signature, somewhere = sign(signature[:0], dimension, views, site.ID)
			if !somewhere {
				index[site.ID] = -1
				continue
			}
			class, ok := known[string(signature)]
			if !ok {
				class = len(x.signatures)
				known[string(signature)] = class
				x.signatures = append(x.signatures, string(signature))
			}
			index[site.ID] = len(x.sites)
			x.sites, x.class = append(x.sites, site.ID), append(x.class, class)
			x.above = append(x.above, -1)
			for parent := site.Parent; parent != "" && i == 0; parent = p.sites[p.at[parent]].Parent {
				if j := index[parent]; j >= 0 {
					x.above[len(x.above)-1] = j
					break
				}
			}
		}
	}
	return x
}

// alike reports whether all sites of a dimension are like the rest: no grant
// names any, and what is archived is archived in all views.
func alike(dimension DimensionID, views []view) bool {
	for _, v := range views {
		if v.policy.base != views[0].policy.base {
			return false
		}
		for _, r := range v.rules {
			if d, scoped := r.product.dimensionAt[dimension]; scoped && !r.everywhere && !r.reach[d].all {
				return false
			}
		}
	}
	return true
}

// sign appends the signature of a site, or of the rest if there is none, and
// reports whether the site is open in any view.
func sign(buf []byte, dimension DimensionID, views []view, site SiteID) (signature []byte, somewhere bool) {
	for _, v := range views {
		at, state := rest, byte(open)
		if site != "" {
			found, ok := v.policy.at[site]
			if !ok || v.policy.sites[found].Dimension != dimension || v.policy.sites[found].closed {
				state = shut
			}
			at = found
		}
		somewhere = somewhere || state == open
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
	return buf, somewhere
}

// part describes some of the classes.
func (x *axis) part(chosen []int) Part {
	in := make([]bool, len(x.signatures))
	for _, class := range chosen {
		in[class] = true
	}
	part := Part{All: in[0]}
	for i, site := range x.sites {
		above := part.All
		if x.above[i] >= 0 {
			above = in[x.class[x.above[i]]]
		}
		switch {
		case in[x.class[i]] && !above:
			part.Sites = append(part.Sites, site)
		case !in[x.class[i]] && above:
			part.Except = append(part.Except, site)
		}
	}
	return part
}

// box is a set of places: some classes of each dimension.
type box [][]int

// grid is the places of a product, divided as its grants ask for.
type grid struct {
	axes  []axis
	views []view
}

func newGrid(views []view) *grid {
	g := &grid{views: views}
	for _, v := range views {
		if v.product == nil {
			continue
		}
		for _, dimension := range v.product.Dimensions {
			if !slices.ContainsFunc(g.axes, func(x axis) bool { return x.dimension == dimension }) {
				g.axes = append(g.axes, newAxis(dimension, views))
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
	at := make([]int, len(g.axes))
	for {
		all = append(all, cell{at: slices.Clone(at), reaching: g.reaching(at)})
		d := len(at) - 1
		for ; d >= 0; d-- {
			if at[d]++; at[d] < len(g.axes[d].signatures) {
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
	for d, class := range at {
		signature := g.axes[d].signatures[class][offset:]
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
	area := make(Area, len(g.axes))
	for d := range g.axes {
		area[g.axes[d].dimension] = g.axes[d].part(b[d])
	}
	return area
}
