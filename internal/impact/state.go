package impact

import (
	"fmt"
	"slices"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// change is a proposal against what is granted: the policy before it, after it,
// and on the way.
type change struct {
	*Proposal
	before *access.Policy
	// middle has the new catalogue, but none of the grants changed or added: what the
	// store checks those against.
	middle, after *access.Policy
	// added are the grants of the proposal under the ids that they have in after.
	added []access.Grant
	// touched are the grants that don't mean the same before and after, and concerned
	// is whom they are for.
	touched   []access.GrantID
	concerned access.Audience
	refused   []Refusal
	// objected are whom the grants are for that the actor may not change so.
	objected map[access.Objection][]access.Grantee
}

// against works out what would be granted. ErrNotFound when what is to be changed
// isn't there any more.
func (p *Proposal) against(before *access.Policy) (*change, error) {
	c := &change{Proposal: p, before: before, middle: before}
	if err := c.find(); err != nil {
		return nil, err
	}
	if ok, err := c.catalogue(); err != nil || !ok {
		return c, err
	}
	if ok, err := c.grants(); err != nil || !ok {
		return c, err
	}
	if ok, err := c.removals(); err != nil || !ok {
		return c, err
	}
	c.touched, c.concerned = access.Touched(c.before, c.after)
	for _, person := range p.People {
		c.concerned.Users = append(c.concerned.Users, access.UserID(person.User))
	}
	if p.Review != nil {
		for _, d := range p.Review.People {
			c.concerned.Users = append(c.concerned.Users, access.UserID(d.User))
		}
	}
	return c, nil
}

// about is the person of a review whom a grant is for, or nobody.
func (c *change) about(g access.Grant) []access.UserID {
	if c.Review == nil || g.Subject.User == "" {
		return nil
	}
	return []access.UserID{g.Subject.User}
}

// refuse notes why the change can't be made; without an after there is nothing
// to preview.
func (c *change) refuse(r Refusal) { c.refused = append(c.refused, r) }

func (c *change) find() error {
	ids := slices.Clone(c.End)
	for _, g := range c.Change {
		ids = append(ids, g.ID)
	}
	for _, l := range c.Relink {
		ids = append(ids, l.Grant)
	}
	for i, id := range ids {
		if _, ok := c.before.Grant(id); !ok {
			return fmt.Errorf("grant %q: %w", id, store.ErrNotFound)
		}
		if slices.Contains(ids[:i], id) {
			return fmt.Errorf("grant %s: %w: it is changed twice", id, store.ErrInvalid)
		}
	}
	for _, s := range c.ChangeSites {
		old, ok := c.before.Site(s.ID)
		if !ok {
			return fmt.Errorf("site %q: %w", s.ID, store.ErrNotFound)
		}
		if old.Dimension != s.Dimension {
			return fmt.Errorf("site %s: %w: it keeps its dimension", s.ID, store.ErrInvalid)
		}
	}
	for _, id := range c.RemoveProducts {
		if _, ok := c.before.Product(id); !ok {
			return fmt.Errorf("product %q: %w", id, store.ErrNotFound)
		}
	}
	for _, g := range c.Change {
		if old, _ := c.before.Grant(g.ID); old.Subject != g.Subject {
			return fmt.Errorf("grant %s: %w: it stays with whom it is for", g.ID, store.ErrInvalid)
		}
	}
	return nil
}

// catalogue makes middle: grants end before what they name changes.
func (c *change) catalogue() (ok bool, err error) {
	if c.middle, err = c.before.Without(c.End...); err != nil {
		return false, err
	}
	if !c.newCatalogue() {
		return true, nil
	}
	kept := c.middle
	middle, err := access.NewPolicy(c.Catalogue(kept.Catalogue()), kept.Grants())
	if err != nil {
		c.refuse(Refusal{Reason: Contradicts, Name: err.Error()})
		return false, nil
	}
	c.middle = middle
	old := make(map[access.Problem]bool)
	for _, p := range kept.Problems() {
		old[p] = true
	}
	ok = true
	for _, p := range c.middle.Problems() {
		if !old[p] && names(p) {
			c.refuse(Refusal{Reason: StillGranted, Grant: p.Grant, Name: p.Name})
			ok = false
		}
	}
	return ok, nil
}

// Catalogue is a catalogue with what the proposal adds to it and changes in it.
func (p *Proposal) Catalogue(now access.Catalogue) access.Catalogue {
	now.Dimensions = replaced(now.Dimensions, p.Dimensions, func(d access.Dimension) access.DimensionID { return d.ID })
	now.Sites = replaced(now.Sites, slices.Concat(p.AddSites, p.ChangeSites), func(s access.Site) access.SiteID { return s.ID })
	now.Products = replaced(now.Products, p.Products, func(p access.Product) access.ProductID { return p.ID })
	return now
}

// takesAway reports whether the change can take away what invitations promise.
func (c *change) takesAway() bool {
	return c.newCatalogue() || len(c.RemoveProducts)+len(c.RemoveDimensions) > 0
}

func (c *change) newCatalogue() bool {
	return len(c.Dimensions)+len(c.AddSites)+len(c.ChangeSites)+len(c.Products) > 0
}

// names reports whether a grant names something of the catalogue that isn't there.
func names(p access.Problem) bool {
	switch p.Reason {
	case access.UnknownProduct, access.UnknownRole, access.UnknownPermission, access.UnknownLevel, access.UnknownDimension:
		return true
	}
	return false
}

// replaced are things with others in place of those of the same id, or behind them.
func replaced[T any, ID comparable](things, others []T, id func(T) ID) []T {
	all := slices.Clone(things)
	for _, other := range others {
		if i := slices.IndexFunc(all, func(o T) bool { return id(o) == id(other) }); i >= 0 {
			all[i] = other
			continue
		}
		all = append(all, other)
	}
	return all
}

// placeholder is the id of a grant that is still to be made: no store makes such.
func placeholder(i int) access.GrantID { return access.GrantID(fmt.Sprintf("new-%04d", i)) }

// guest is the id of somebody who isn't there yet.
func guest(i int) access.UserID { return access.UserID(fmt.Sprintf("guest-%04d", i)) }

// guest is the guest of an id, or nil.
func (c *change) guest(id access.UserID) *Guest {
	for i := range c.Guests {
		if guest(i) == id {
			return &c.Guests[i]
		}
	}
	return nil
}

// grants makes after, but for what is removed at the end.
func (c *change) grants() (ok bool, err error) {
	for _, g := range c.Change {
		c.added = append(c.added, Normal(g))
	}
	for _, l := range c.Relink {
		g, _ := c.middle.Grant(l.Grant)
		g.Subject = access.Grantee{Group: l.Group}
		c.added = append(c.added, g)
	}
	add := func(g access.Grant) {
		g = Normal(g)
		g.ID = placeholder(len(c.added))
		c.added = append(c.added, g)
	}
	for _, g := range c.Add {
		add(g)
	}
	for i, who := range c.Guests {
		for _, g := range who.Grants {
			g.Subject = access.Grantee{User: guest(i)}
			add(g)
		}
	}
	if c.after, err = c.middle.With(c.added...); err != nil {
		c.refuse(Refusal{Reason: Contradicts, Name: err.Error()})
		return false, nil
	}
	ok = true
	for _, g := range c.added {
		if g.Product == access.ConsoleID && g.Effect == access.Deny && g.Subject.User == "" {
			c.refuse(Refusal{Reason: GroupDenied, Grant: g.ID})
			ok = false
		}
	}
	for _, p := range c.after.Problems() {
		if slices.ContainsFunc(c.added, func(g access.Grant) bool { return g.ID == p.Grant }) {
			g, _ := c.after.Grant(p.Grant)
			c.refuse(Refusal{Reason: GivesNothing, Grant: p.Grant, Problem: p.Reason, Name: p.Name, Users: c.about(g)})
			ok = false
		}
	}
	return ok, nil
}

// removals takes products and dimensions out of after: nothing may need them.
func (c *change) removals() (ok bool, err error) {
	if len(c.RemoveProducts)+len(c.RemoveDimensions) == 0 {
		return true, nil
	}
	for _, g := range c.after.Grants() {
		named := slices.Contains(c.RemoveProducts, g.Product)
		for d := range g.Scope.Sites {
			named = named || slices.Contains(c.RemoveDimensions, d)
		}
		if named {
			c.refuse(Refusal{Reason: StillGranted, Grant: g.ID})
		}
	}
	next := c.after.Catalogue()
	next.Products = slices.DeleteFunc(slices.Clone(next.Products), func(p access.Product) bool { return slices.Contains(c.RemoveProducts, p.ID) })
	next.Dimensions = slices.DeleteFunc(slices.Clone(next.Dimensions), func(d access.Dimension) bool { return slices.Contains(c.RemoveDimensions, d.ID) })
	after, err := access.NewPolicy(next, c.after.Grants())
	if err != nil {
		c.refuse(Refusal{Reason: Contradicts, Name: err.Error()})
	}
	if len(c.refused) > 0 {
		c.after = nil
		return false, nil
	}
	c.after = after
	return true, nil
}

// instant is when the preview looks: now, or the day on which all that is added
// begins, since before that day it changes nothing.
func (c *change) instant(now time.Time) time.Time {
	rest := *c.Proposal
	if rest.Add, rest.Guests = nil, nil; !rest.Empty() {
		return now
	}
	at := now
	for i, g := range c.added {
		if !g.From.After(now) {
			return now
		}
		if i == 0 || g.From.Before(at) {
			at = g.From
		}
	}
	return at
}

// facts are those after the change.
func (c *change) facts(before access.Facts) access.Facts {
	if len(c.People)+len(c.Guests) == 0 {
		return before
	}
	after := access.Facts{People: make(map[access.UserID]access.Person, len(before.People)), Groups: before.Groups}
	for id, p := range before.People {
		after.People[id] = p
	}
	say := func(p access.Person, said store.Person) access.Person {
		p.LoginAllowed, p.Kind, p.ExpiresAt = said.LoginAllowed, said.Kind, said.ExpiresAt
		return p
	}
	for _, change := range c.People {
		id := access.UserID(change.User)
		if p, ok := after.People[id]; ok {
			after.People[id] = say(p, change.Person)
		}
	}
	for i, g := range c.Guests {
		after.People[guest(i)] = say(access.Person{ID: guest(i), Active: true}, g.Person)
	}
	return after
}
