package access

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// forest holds all sites in pre-order, so that a site and everything below it
// are neighbours, and "is it below" is two comparisons.
type forest struct {
	sites []node
	at    map[SiteID]int32
	byKey map[siteKey]int32
	roots map[DimensionID]span // all sites of the dimension; the keys are the dimensions
}

type node struct {
	Site
	last   int32 // of those below
	closed bool  // archived, or below an archived one
}

// span is a site with everything below it; first > last is nothing.
type span struct{ first, last int32 }

type siteKey struct {
	dimension DimensionID
	key       string
}

func newForest(dimensions []Dimension, sites []Site) (forest, error) {
	f := forest{at: make(map[SiteID]int32, len(sites)), byKey: make(map[siteKey]int32), roots: make(map[DimensionID]span)}
	if _, err := index("dimension", dimensions, func(d Dimension) DimensionID { return d.ID }); err != nil {
		return f, err
	}
	input, err := index("site", sites, func(s Site) SiteID { return s.ID })
	if err != nil {
		return f, err
	}
	for _, d := range dimensions {
		f.roots[d.ID] = span{0, -1}
	}
	below := make(map[SiteID][]int)
	tops := make(map[DimensionID][]int)
	for i, s := range sites {
		if _, ok := f.roots[s.Dimension]; !ok {
			return f, fmt.Errorf("site %s: dimension %q: unknown", s.ID, s.Dimension)
		}
		if s.Parent == "" {
			tops[s.Dimension] = append(tops[s.Dimension], i)
			continue
		}
		parent, ok := input[s.Parent]
		if !ok || sites[parent].Dimension != s.Dimension {
			return f, fmt.Errorf("site %s: parent %s: no site of dimension %s", s.ID, s.Parent, s.Dimension)
		}
		below[s.Parent] = append(below[s.Parent], i)
	}
	var add func(i int, closed bool) error
	add = func(i int, closed bool) error {
		s := sites[i]
		at := int32(len(f.sites))
		closed = closed || s.Archived
		f.at[s.ID] = at
		f.sites = append(f.sites, node{Site: s, closed: closed})
		if key := (siteKey{s.Dimension, s.Key}); s.Key != "" {
			if _, taken := f.byKey[key]; taken {
				return fmt.Errorf("site %s: key %s: taken", s.ID, s.Key)
			}
			f.byKey[key] = at
		}
		for _, child := range below[s.ID] {
			if err := add(child, closed); err != nil {
				return err
			}
		}
		f.sites[at].last = int32(len(f.sites)) - 1
		return nil
	}
	for _, d := range dimensions {
		first := int32(len(f.sites))
		for _, i := range tops[d.ID] {
			if err := add(i, false); err != nil {
				return f, err
			}
		}
		f.roots[d.ID] = span{first, int32(len(f.sites)) - 1}
	}
	for _, s := range sites {
		if _, ok := f.at[s.ID]; !ok {
			return f, fmt.Errorf("site %s: is above itself", s.ID)
		}
	}
	return f, nil
}

// Site is the site of that id.
func (f *forest) Site(id SiteID) (Site, bool) {
	at, ok := f.at[id]
	if !ok {
		return Site{}, false
	}
	return f.sites[at].Site, true
}

// SiteByKey is the site that products call by that key.
func (f *forest) SiteByKey(dimension DimensionID, key string) (Site, bool) {
	at, ok := f.byKey[siteKey{dimension, key}]
	if !ok {
		return Site{}, false
	}
	return f.sites[at].Site, true
}

// reach finds the sites of a selection, and tells which aren't there. What is
// archived is not reached.
func (f *forest) reach(dimension DimensionID, selection Selection) (reach, []SiteID) {
	r := reach{all: selection.All}
	var unknown []SiteID
	for _, id := range selection.Sites {
		at, ok := f.at[id]
		switch {
		case !ok || f.sites[at].Dimension != dimension:
			unknown = append(unknown, id)
		case !f.sites[at].closed:
			r.spans = append(r.spans, span{at, f.sites[at].last})
		}
	}
	slices.SortFunc(r.spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last)) })
	// Sites nest or are apart: who starts inside the one before lies within it.
	kept := r.spans[:0]
	for _, s := range r.spans {
		if len(kept) == 0 || s.first > kept[len(kept)-1].last {
			kept = append(kept, s)
		}
	}
	r.spans = kept
	return r, unknown
}

// holds reports whether a site is within the spans.
func (r *reach) holds(site int32) bool {
	i, found := slices.BinarySearchFunc(r.spans, site, func(s span, site int32) int { return cmp.Compare(s.first, site) })
	return found || i > 0 && site <= r.spans[i-1].last
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
