// Package impact says what a change would do to people before it is made, by
// name, and then does exactly that or nothing. It stands between the edges that
// change access and store, which does it; access works out the difference.
//
//	p := impact.Proposal{Add: []access.Grant{mapping}}
//	look, err := impact.Look(ctx, st, actor, p)     // who gains, who loses, what stands against it
//	done, err := impact.Save(ctx, st, actor, p, impact.Agreed{Digest: look.Digest, Key: key})
//
// Nothing is kept between the two: Save works it out again under the lock of the
// policy, and the digest says whether that is what was agreed to.
package impact

import (
	"cmp"
	"context"
	"slices"

	"gatehouse/access"
	"gatehouse/store"
)

// Proposal is a change as it could be made, in the order in which the store takes
// it: what is granted ends before what it names goes. The zero Proposal changes
// nothing.
type Proposal struct {
	End        []access.GrantID
	Dimensions []access.Dimension
	// AddSites may choose ids for others of the proposal to refer to; the store gives
	// them others.
	AddSites    []access.Site
	ChangeSites []access.Site
	Products    []access.Product
	Change      []access.Grant
	Relink      []Relink
	// Add are grants whose ids the store chooses.
	Add              []access.Grant
	RemoveProducts   []access.ProductID
	RemoveDimensions []access.DimensionID
	People           []PersonChange
	// Guests are people who would come by an invitation: they are previewed, and
	// whoever saves makes the invitation.
	Guests []Guest
	// Review are the decisions of a review that the rest carries out; nil for none.
	// They can be saved alone: that everybody keeps what they have.
	Review *store.ReviewDecisions
}

// Relink binds a sleeping mapping to a group.
type Relink struct {
	Grant access.GrantID
	Group access.GroupID
}

// PersonChange is what would be said of a user: blocked, let in again, until when.
type PersonChange struct {
	User   store.UserID
	Person store.Person
}

// Guest is somebody who isn't there yet, with grants that name no subject.
type Guest struct {
	Name   string
	Person store.Person
	Grants []access.Grant
}

// Empty reports whether there is nothing to change in who has access.
func (p *Proposal) Empty() bool {
	return len(p.End)+len(p.Dimensions)+len(p.AddSites)+len(p.ChangeSites)+len(p.Products)+len(p.Change)+len(p.Relink)+len(p.Add)+
		len(p.RemoveProducts)+len(p.RemoveDimensions)+len(p.People)+len(p.Guests) == 0
}

// Write makes the change and gives the grants that it added. Whoever calls it
// holds the lock of the policy since it was looked at: see Save.
func (p *Proposal) Write(ctx context.Context, tx *store.Tx) (added []access.Grant, err error) {
	if len(p.End) > 0 {
		if err := tx.EndGrants(ctx, p.End...); err != nil {
			return nil, err
		}
	}
	for _, d := range p.Dimensions {
		if err := tx.SetDimension(ctx, d); err != nil {
			return nil, err
		}
	}
	made, err := p.writeSites(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, product := range p.Products {
		if err := tx.SetProduct(ctx, product); err != nil {
			return nil, err
		}
	}
	if added, err = p.writeGrants(ctx, tx, made); err != nil {
		return nil, err
	}
	for _, id := range p.RemoveProducts {
		if err := tx.RemoveProduct(ctx, id); err != nil {
			return nil, err
		}
	}
	for _, id := range p.RemoveDimensions {
		if err := tx.RemoveDimension(ctx, id); err != nil {
			return nil, err
		}
	}
	for _, c := range p.People {
		if _, err := tx.ChangePerson(ctx, c.User, func(store.Person) store.Person { return c.Person }); err != nil {
			return nil, err
		}
	}
	if p.Review != nil {
		err = tx.FinishReview(ctx, *p.Review)
	}
	return added, err
}

func (p *Proposal) writeGrants(ctx context.Context, tx *store.Tx, made ids) ([]access.Grant, error) {
	for _, g := range p.Change {
		g = made.in(g)
		if _, err := tx.ChangeGrant(ctx, g.ID, func(access.Grant) access.Grant { return g }); err != nil {
			return nil, err
		}
	}
	for _, l := range p.Relink {
		if _, err := tx.RelinkGrant(ctx, l.Grant, l.Group); err != nil {
			return nil, err
		}
	}
	if len(p.Add) == 0 {
		return nil, nil
	}
	add := make([]access.Grant, len(p.Add))
	for i, g := range p.Add {
		add[i] = made.in(g)
	}
	return tx.AddGrants(ctx, add...)
}

// ids are what sites that were still to be made are called now.
type ids map[access.SiteID]access.SiteID

func (made ids) of(id access.SiteID) access.SiteID {
	if now, ok := made[id]; ok {
		return now
	}
	return id
}

func (made ids) in(g access.Grant) access.Grant {
	g = Normal(g)
	for _, selection := range g.Scope.Sites {
		for i, id := range selection.Sites {
			selection.Sites[i] = made.of(id)
		}
	}
	return Normal(g)
}

// writeSites adds and changes sites, from the top down: what a site moves below is
// in its place then, so that on the way no site comes to be above itself.
func (p *Proposal) writeSites(ctx context.Context, tx *store.Tx) (ids, error) {
	made := make(ids)
	add := make([]access.Site, len(p.AddSites))
	for i, s := range p.AddSites {
		made[s.ID] = store.NewSiteID()
		s.ID, s.Parent = made[s.ID], made.of(s.Parent)
		add[i] = s
	}
	if len(add) > 0 {
		if _, err := tx.AddSites(ctx, add...); err != nil {
			return nil, err
		}
	}
	if len(p.ChangeSites) == 0 {
		return made, nil
	}
	policy, err := tx.Policy(ctx)
	if err != nil {
		return nil, err
	}
	change := slices.Clone(p.ChangeSites)
	for i := range change {
		change[i].Parent = made.of(change[i].Parent)
	}
	depth := depths(change, policy)
	slices.SortStableFunc(change, func(a, b access.Site) int { return cmp.Compare(depth(a.ID), depth(b.ID)) })
	for _, s := range change {
		if _, err := tx.ChangeSite(ctx, s.ID, func(access.Site) access.Site { return s }); err != nil {
			return nil, err
		}
	}
	return made, nil
}

// depths tells how many sites will be above one, once some of those of a policy are
// changed.
func depths(change []access.Site, policy *access.Policy) func(access.SiteID) int {
	above := make(map[access.SiteID]access.SiteID, len(change))
	for _, s := range change {
		above[s.ID] = s.Parent
	}
	return func(id access.SiteID) (n int) {
		for moved := 0; id != "" && moved <= len(above); n++ { // whatever goes round has moved
			parent, ok := above[id]
			if ok {
				moved++
			} else {
				site, _ := policy.Site(id)
				parent = site.Parent
			}
			id = parent
		}
		return n
	}
}
