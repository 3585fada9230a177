package impact

import (
	"slices"

	"gatehouse/access"
	"gatehouse/store"
)

// Normal is a grant in the one way to write it.
func Normal(g access.Grant) access.Grant {
	g.From, g.Until = store.At(g.From).Time, store.At(g.Until).Time
	g.Mask = slices.Clone(g.Mask)
	slices.Sort(g.Mask)
	g.Mask = slices.Compact(g.Mask)
	sites := make(map[access.DimensionID]access.Selection)
	for dimension, selection := range g.Scope.Sites {
		selection.Sites = slices.Clone(selection.Sites)
		slices.Sort(selection.Sites)
		selection.Sites = slices.Compact(selection.Sites)
		sites[dimension] = selection
	}
	if g.Scope.Sites = sites; len(sites) == 0 {
		g.Scope.Sites = nil
	}
	return g
}

// Diff is the difference of two states whose catalogues may have different
// dimensions. access.Diff wants both to know all: one that a catalogue doesn't
// have is added there without sites, and the console's grants, which scope by
// every dimension, say ALL in it, since they were not limited by it.
func Diff(was, is access.State) ([]access.Impact, error) {
	before, after := was.Policy.Catalogue().Dimensions, is.Policy.Catalogue().Dimensions
	for _, side := range []struct {
		state      *access.State
		own, other []access.Dimension
	}{{&was, before, after}, {&is, after, before}} {
		missing := slices.DeleteFunc(slices.Clone(side.other), func(d access.Dimension) bool {
			return slices.ContainsFunc(side.own, func(o access.Dimension) bool { return o.ID == d.ID })
		})
		if len(missing) == 0 {
			continue
		}
		c, grants := side.state.Policy.Catalogue(), side.state.Policy.Grants()
		c.Dimensions = slices.Clone(c.Dimensions)
		for _, d := range missing {
			c.Dimensions = append(c.Dimensions, access.Dimension{ID: d.ID})
			for i, g := range grants {
				if g.Product == access.ConsoleID && len(g.Scope.Sites) > 0 {
					grants[i] = Normal(g)
					grants[i].Scope.Sites[d.ID] = access.Selection{All: true}
				}
			}
		}
		p, err := access.NewPolicy(c, grants)
		if err != nil {
			return nil, err
		}
		side.state.Policy = p
	}
	return access.Diff(was, is), nil
}
