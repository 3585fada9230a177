package access

import (
	"reflect"
	"slices"
)

// Touched are the grants that are in one of two policies only, or don't mean the
// same in both, in the order of after and then of before, and whom they are for:
// everybody else fares alike under both. What everyone may do about themselves
// isn't about a place, so that a new site touches nobody for that.
func Touched(before, after *Policy) ([]GrantID, Audience) {
	t := toucher{before: before, after: after, alike: make(map[ProductID]bool), moved: before.moved(after)}
	var all []GrantID
	w := newWhom()
	for _, r := range after.rules {
		old := before.byID[r.ID]
		if old != nil && t.same(old, r) {
			continue
		}
		all = append(all, r.ID)
		w.add(r.Subject)
		if old != nil {
			w.add(old.Subject)
		}
	}
	for _, r := range before.rules {
		if after.byID[r.ID] == nil {
			all = append(all, r.ID)
			w.add(r.Subject)
		}
	}
	return all, w.audience()
}

// whom gathers an audience.
type whom struct {
	everyone bool
	users    map[UserID]bool
	groups   map[GroupID]bool
}

func newWhom() whom { return whom{users: make(map[UserID]bool), groups: make(map[GroupID]bool)} }

func (w *whom) add(g Grantee) {
	switch {
	case g.Everyone:
		w.everyone = true
	case g.User != "":
		w.users[g.User] = true
	default:
		w.groups[g.Group] = true
	}
}

func (w *whom) audience() Audience {
	return Audience{Everyone: w.everyone, Users: sortedKeys(w.users), Groups: sortedKeys(w.groups)}
}

// toucher compares the grants of two policies.
type toucher struct {
	before, after *Policy
	// moved are the sites that grants may cover in one policy and not in the other.
	moved []SiteID
	// alike says of products whether their levels and dimensions are the same.
	alike map[ProductID]bool
}

func (t *toucher) same(old, now *rule) bool {
	if old.Grant != now.Grant && !reflect.DeepEqual(old.Grant, now.Grant) || old.dead != now.dead {
		return false
	}
	if t.before.base == t.after.base || now.Attribute != "" {
		return true
	}
	if old.product == nil || now.product == nil {
		return old.product == now.product
	}
	return t.comparable(old.product, now.product) && sameLevels(old, now) && !slices.ContainsFunc(t.moved, func(id SiteID) bool {
		return (now.Product != ConsoleID || now.Permission != ConsoleOwn) && t.before.opens(old, id) != t.after.opens(now, id)
	})
}

func (t *toucher) comparable(old, now *product) bool {
	known, ok := t.alike[now.ID]
	if !ok {
		known = slices.Equal(old.Levels, now.Levels) && slices.Equal(old.Dimensions, now.Dimensions)
		t.alike[now.ID] = known
	}
	return known
}

// sameLevels compares what two rules say of each permission.
func sameLevels(old, now *rule) bool {
	rank := func(r *rule, permission PermissionID) uint8 {
		if i, ok := r.product.permissionAt[permission]; ok {
			return r.ranks[i]
		}
		return 0
	}
	differs := func(permission Permission) bool { return rank(old, permission.ID) != rank(now, permission.ID) }
	return !slices.ContainsFunc(old.product.Permissions, differs) && !slices.ContainsFunc(now.product.Permissions, differs)
}

// opens reports whether a grant reaches a site in some dimension of its product.
func (p *Policy) opens(r *rule, id SiteID) bool {
	at, ok := p.at[id]
	if !ok || p.sites[at].closed {
		return false
	}
	d, ok := r.product.dimensionAt[p.sites[at].Dimension]
	return ok && !r.dead && r.covers(d, at)
}

// moved are the sites that another policy doesn't have, has elsewhere or has
// closed, and those that only it has.
func (p *Policy) moved(other *Policy) []SiteID {
	if p.base == other.base {
		return nil
	}
	var all []SiteID
	for i := range p.sites {
		if s := &p.sites[i]; !p.stands(other, s.ID) {
			all = append(all, s.ID)
		}
	}
	for i := range other.sites {
		if _, known := p.at[other.sites[i].ID]; !known {
			all = append(all, other.sites[i].ID)
		}
	}
	return all
}

// stands reports whether a site is in its place in both policies.
func (p *Policy) stands(other *Policy, id SiteID) bool {
	for first := true; id != ""; first = false {
		here, ok := p.at[id]
		there, too := other.at[id]
		if !ok || !too {
			return false
		}
		a, b := &p.sites[here], &other.sites[there]
		if a.Parent != b.Parent || first && (a.closed != b.closed || a.Dimension != b.Dimension) {
			return false
		}
		id = a.Parent
	}
	return true
}

// Covers reports whether one grant says all that another says, at least as
// widely and for at least as long, to the same people or more: the narrow one
// then changes nothing for anybody. Known are the groups, for those within others.
func (p *Policy) Covers(wide, narrow Grant, known map[GroupID]Group) bool {
	if wide.ID == narrow.ID || wide.Effect != narrow.Effect || wide.Product != narrow.Product || !wide.outlasts(&narrow) {
		return false
	}
	switch to, of := wide.Subject, narrow.Subject; {
	case to.Everyone || to == of:
	case to.Group == "" || of.Group == "" || !slices.Contains(closure(known, of.Group), to.Group):
		return false
	}
	if wide.Attribute != "" || narrow.Attribute != "" {
		return wide.Attribute == narrow.Attribute && wide.Value == narrow.Value
	}
	a, b := p.rule(&wide), p.rule(&narrow)
	if a.product == nil || a.dead || b.dead {
		return false
	}
	for i, rank := range b.ranks {
		enough := a.ranks[i] >= rank
		if narrow.Effect == Deny {
			enough = a.ranks[i] > 0 && a.ranks[i] <= rank
		}
		if rank > 0 && !enough {
			return false
		}
	}
	return a.contains(b)
}

func (g *Grant) outlasts(other *Grant) bool {
	return !other.From.Before(g.From) && (g.Until.IsZero() || !other.Until.IsZero() && !g.Until.Before(other.Until))
}

// contains compares where two rules of a product reach, also on the day after a
// site was added.
func (r *rule) contains(other *rule) bool {
	if r.everywhere {
		return true
	}
	if other.everywhere {
		return false
	}
	for d := range r.reach {
		if r.reach[d].all {
			continue
		}
		if other.reach[d].all || slices.ContainsFunc(other.reach[d].spans, func(s span) bool { return !r.reach[d].holds(s.first) }) {
			return false
		}
	}
	return len(r.reach) > 0
}
