package impact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"gatehouse/access"
	"gatehouse/store"
)

// ErrNoInverse says that a change can't be taken back here: it came from an
// identity provider, or it is no change of access.
var ErrNoInverse = errors.New("can't be undone")

// Undo gives the proposal that takes a change of the log back, with all its
// parts. Since says that what it made was changed again afterwards: then that is
// taken back, too. ErrNotFound when there is no such change, or when what it made
// has gone since.
func Undo(ctx context.Context, st *store.Store, tenant store.TenantID, id store.ChangeID) (p Proposal, since bool, err error) {
	c, err := st.ChangeByID(ctx, tenant, id)
	if err != nil {
		return p, false, err
	}
	now, _, err := st.Policy(ctx, tenant)
	if err != nil {
		return p, false, err
	}
	u := undoer{now: now}
	parts := []store.Change{c}
	if c.Action == store.ProposalSaved {
		var saved store.SavedProposal
		if err := json.Unmarshal([]byte(c.Detail), &saved); err != nil {
			return p, false, fmt.Errorf("change %s: %w", id, err)
		}
		parts = nil
		for _, part := range slices.Backward(saved.Parts) {
			one, err := st.ChangeByID(ctx, tenant, part)
			if err != nil {
				return p, false, err
			}
			if !consequence(one.Action) {
				parts = append(parts, one)
			}
		}
	}
	for _, part := range parts {
		if err := u.undo(part); err != nil {
			return p, false, fmt.Errorf("change %s: %s: %w", part.ID, part.Action, err)
		}
	}
	for i := range u.People {
		person, err := st.Person(ctx, tenant, u.People[i].User)
		if err != nil {
			return p, false, err
		}
		back, again := takeBack(person, u.People[i].Person, u.left[i])
		u.People[i].Person, u.since = back, u.since || again
	}
	return u.Proposal, u.since, nil
}

// consequence reports whether a change only followed from others, as the sessions of
// somebody who was blocked ended: undoing those doesn't bring it back.
func consequence(action string) bool {
	return action == store.SessionEnded || action == store.InvitationWasWithdrawn
}

// takeBack is what is said of somebody now, but for what a change from before to
// after said. The rest stays as others have made it since: undoing an end of the
// account lets nobody in who was blocked meanwhile. Again says that the same was
// changed once more.
func takeBack(now, before, after store.Person) (p store.Person, again bool) {
	p = now
	if before.LoginAllowed != after.LoginAllowed {
		p.LoginAllowed, again = before.LoginAllowed, again || now.LoginAllowed != after.LoginAllowed
	}
	if before.Kind != after.Kind {
		p.Kind, again = before.Kind, again || now.Kind != after.Kind
	}
	if !before.ExpiresAt.Equal(after.ExpiresAt) {
		p.ExpiresAt, again = before.ExpiresAt, again || !now.ExpiresAt.Equal(after.ExpiresAt)
	}
	if before.Sponsor != after.Sponsor {
		p.Sponsor, again = before.Sponsor, again || now.Sponsor != after.Sponsor
	}
	return p, again
}

// Undoable reports whether Undo knows what takes changes of that kind back.
func Undoable(action string) bool {
	switch action {
	case store.ProposalSaved, store.GrantCreated, store.GrantChanged, store.GrantEnded, store.GrantRelinked,
		store.SiteCreated, store.SiteChanged, store.SiteMoved, store.SiteArchived, store.SiteRestored,
		store.ProductCreated, store.ProductChanged, store.ProductRemoved,
		store.DimensionCreated, store.DimensionChanged, store.DimensionRemoved,
		store.PersonChanged, store.PersonExpiryChanged, store.PersonLoginAllowed, store.PersonLoginBlocked:
		return true
	}
	return false
}

// undoer gathers the inverse of changes.
type undoer struct {
	Proposal
	now   *access.Policy
	since bool
	// left is what the changes of People had made of them.
	left []store.Person
}

// undo adds the inverse of one change.
func (u *undoer) undo(c store.Change) error {
	switch c.Action {
	case store.GrantCreated, store.GrantChanged, store.GrantEnded, store.GrantRelinked:
		return u.grant(c)
	case store.SiteCreated, store.SiteChanged, store.SiteMoved, store.SiteArchived, store.SiteRestored:
		return u.site(c)
	case store.ProductCreated, store.ProductChanged, store.ProductRemoved:
		return u.product(c)
	case store.DimensionCreated, store.DimensionChanged, store.DimensionRemoved:
		return u.dimension(c)
	case store.PersonChanged, store.PersonExpiryChanged, store.PersonLoginAllowed, store.PersonLoginBlocked:
		before, after, err := read[store.Person](c)
		if err != nil {
			return err
		}
		u.People, u.left = append(u.People, PersonChange{User: store.UserID(c.SubjectID), Person: *before}), append(u.left, *after)
		return nil
	case store.ReviewKept, store.ReviewRemoved, store.ReviewFinished:
		return nil // what was decided stays on record; what it changed are other parts
	}
	return ErrNoInverse
}

// read gives what a change tells of before and after, nil for nothing.
func read[T any](c store.Change) (before, after *T, err error) {
	var detail struct {
		Before *T `json:"before"`
		After  *T `json:"after"`
	}
	err = json.Unmarshal([]byte(c.Detail), &detail)
	return detail.Before, detail.After, err
}

func (u *undoer) grant(c store.Change) error {
	before, after, err := read[access.Grant](c)
	if err != nil {
		return err
	}
	if after == nil {
		u.Add = append(u.Add, *before)
		return nil
	}
	now, ok := u.now.Grant(after.ID)
	if !ok {
		return store.ErrNotFound
	}
	u.since = u.since || !reflect.DeepEqual(Normal(now), Normal(*after))
	if before == nil || before.Subject != now.Subject {
		u.End = append(u.End, now.ID) // of a link to another group, too: the former one is gone
		return nil
	}
	u.Change = append(u.Change, *before)
	return nil
}

func (u *undoer) site(c store.Change) error {
	before, after, err := read[access.Site](c)
	if err != nil {
		return err
	}
	now, ok := u.now.Site(after.ID)
	if !ok {
		return store.ErrNotFound
	}
	u.since = u.since || now != *after
	if before == nil {
		now.Archived = true // sites are never removed
		before = &now
	}
	u.ChangeSites = append(u.ChangeSites, *before)
	return nil
}

func (u *undoer) product(c store.Change) error {
	before, after, err := read[access.Product](c)
	if err != nil {
		return err
	}
	if after == nil {
		u.Products = append(u.Products, *before)
		return nil
	}
	now, ok := u.now.Product(after.ID)
	if !ok {
		return store.ErrNotFound
	}
	u.since = u.since || !sameJSON(now, *after)
	if before == nil {
		u.RemoveProducts = append(u.RemoveProducts, after.ID)
		return nil
	}
	u.Products = append(u.Products, *before)
	return nil
}

// sameJSON compares things as the log keeps them.
func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func (u *undoer) dimension(c store.Change) error {
	before, after, err := read[access.Dimension](c)
	if err != nil {
		return err
	}
	if before != nil {
		u.Dimensions = append(u.Dimensions, *before)
		return nil
	}
	if !slices.ContainsFunc(u.now.Catalogue().Dimensions, func(d access.Dimension) bool { return d.ID == after.ID }) {
		return store.ErrNotFound
	}
	u.RemoveDimensions = append(u.RemoveDimensions, after.ID)
	return nil
}
