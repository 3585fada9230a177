package policyfile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// ErrRefused says that a plan can't be applied; Plan.Refused says why.
var ErrRefused = errors.New("refused")

// ErrMoved says that what a file would do is something else than what was agreed
// to.
var ErrMoved = errors.New("the world has moved since the plan")

// Source makes what is wanted of a tenant as it is: Read, with a file's text.
type Source func(now store.Snapshot) (*Wanted, error)

// Apply makes a tenant what a source wants, all of it or nothing, and gives the
// plan that it followed, judged at an instant: now. It may be called again in the same Write. ErrRefused and
// ErrMoved come with the plan; an empty digest agrees to any. Write's
// ErrLastOwner says that nobody would own the tenant.
func Apply(ctx context.Context, tx *store.Tx, tenant store.TenantID, source Source, at time.Time, digest string) (*Plan, error) {
	if _, err := tx.Policy(ctx); err != nil { // from here on it is ours alone
		return nil, err
	}
	now, err := tx.Snapshot(ctx, tenant)
	if err != nil {
		return nil, err
	}
	w, err := source(now)
	if err != nil {
		return nil, err
	}
	p, err := Preview(w, now, at)
	switch {
	case err != nil:
		return nil, err
	case len(p.Refused) > 0:
		return p, fmt.Errorf("%w: %s", ErrRefused, strings.Join(p.Refused, "\nrefused: "))
	case digest != "" && digest != p.Digest:
		return p, fmt.Errorf("%w: plan again; its digest is %s by now", ErrMoved, p.Digest)
	}
	return p, p.edit.write(ctx, tx)
}

// write does the edit.
func (e *edit) write(ctx context.Context, tx *store.Tx) error {
	if len(e.end) > 0 {
		if err := tx.EndGrants(ctx, e.end...); err != nil {
			return err
		}
	}
	for _, d := range e.dimensions {
		if err := tx.SetDimension(ctx, d); err != nil {
			return err
		}
	}
	made, err := e.writeSites(ctx, tx)
	if err != nil {
		return err
	}
	for _, p := range e.products {
		if err := tx.SetProduct(ctx, p); err != nil {
			return err
		}
	}
	for _, g := range e.change {
		g = made.in(g)
		if _, err := tx.ChangeGrant(ctx, g.ID, func(access.Grant) access.Grant { return g }); err != nil {
			return err
		}
	}
	if len(e.add) > 0 {
		add := make([]access.Grant, len(e.add))
		for i, g := range e.add {
			add[i] = made.in(g)
		}
		if _, err := tx.AddGrants(ctx, add...); err != nil {
			return err
		}
	}
	for _, id := range e.removeProducts {
		if err := tx.RemoveProduct(ctx, id); err != nil {
			return err
		}
	}
	for _, id := range e.removeDimensions {
		if err := tx.RemoveDimension(ctx, id); err != nil {
			return err
		}
	}
	return nil
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
	g = normal(g)
	for _, selection := range g.Scope.Sites {
		for i, id := range selection.Sites {
			selection.Sites[i] = made.of(id)
		}
	}
	return normal(g)
}

// writeSites adds and changes sites, from the top down: what a site moves below is
// in its place then, so that on the way no site comes to be above itself.
func (e *edit) writeSites(ctx context.Context, tx *store.Tx) (ids, error) {
	made := make(ids)
	add := make([]access.Site, len(e.addSites))
	for i, s := range e.addSites {
		made[s.ID] = store.NewSiteID()
		s.ID, s.Parent = made[s.ID], made.of(s.Parent)
		add[i] = s
	}
	if len(add) > 0 {
		if _, err := tx.AddSites(ctx, add...); err != nil {
			return nil, err
		}
	}
	for _, s := range e.changeSites {
		s.Parent = made.of(s.Parent)
		if _, err := tx.ChangeSite(ctx, s.ID, func(access.Site) access.Site { return s }); err != nil {
			return nil, err
		}
	}
	return made, nil
}
