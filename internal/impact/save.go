package impact

import (
	"context"
	"errors"
	"fmt"

	"gatehouse/access"
	"gatehouse/store"
)

// The errors of Save, which come with a preview of what the proposal would do now.
var (
	// ErrStale says that the proposal does something else than what was agreed to.
	ErrStale = errors.New("the world has moved since the preview")
	// ErrRefused says that the proposal can't be saved: Preview.Refused says why.
	ErrRefused = errors.New("refused")
	// ErrUnconfirmed says that the number of those who lose something was to be typed
	// in, and wasn't.
	ErrUnconfirmed = errors.New("not confirmed")
)

// Agreed is what somebody agreed to.
type Agreed struct {
	// Digest is the preview's.
	Digest string
	// Key is one of store.NewProposalKey: of saves with the same key, one is made.
	Key string
	// Typed is the number that was typed in; see Preview.Typed.
	Typed int
	// Undoes is the change that the proposal undoes; may be empty.
	Undoes store.ChangeID
}

// Saved is what a save did.
type Saved struct {
	// Preview is what it would do, and did if there was no error; nil when it was
	// done before.
	Preview *Preview
	// Change is the one that stands for all of it, and Grants are those it made.
	Change store.ChangeID
	Grants []access.GrantID
	// Again says that it was done by an earlier save under the same key.
	Again bool
}

// Save makes a proposal if it still does what was agreed to, all of it or nothing,
// and logs it as one change with its parts. Also, if it isn't nil, is done in the
// same transaction. ErrNotFound and ErrInvalid are as in Look; the store's
// ErrLastOwner, ErrInUse and the like say that something else came in between.
func Save(ctx context.Context, st *store.Store, actor store.Actor, p Proposal, agreed Agreed, also func(*store.Tx) error) (Saved, error) {
	var done Saved
	err := st.Write(ctx, actor, func(tx *store.Tx) (err error) {
		done, err = save(ctx, tx, actor, st, p, agreed, also)
		return err
	})
	return done, err
}

func save(ctx context.Context, tx *store.Tx, actor store.Actor, st *store.Store, p Proposal, agreed Agreed, also func(*store.Tx) error) (done Saved, err error) {
	if _, err := tx.Policy(ctx); err != nil { // from here on it is ours alone
		return done, err
	}
	switch earlier, saved, err := tx.Proposal(ctx, actor.Tenant, agreed.Key); {
	case err == nil && saved.Digest == agreed.Digest && earlier.ActorID == actor.ID:
		return Saved{Change: earlier.ID, Grants: saved.Grants, Again: true}, nil
	case err == nil:
		return done, fmt.Errorf("proposal %s: %w: something else was saved under this key", agreed.Key, store.ErrInvalid)
	case !errors.Is(err, store.ErrNotFound):
		return done, err
	}
	l := looker{proposal: &p, actor: actor, now: st.Now()}
	found, err := tx.Concerned(ctx, l.whom)
	if err != nil {
		return done, err
	}
	if l.change.takesAway() {
		if l.invited, err = tx.OpenInvitations(ctx, actor.Tenant, l.now); err != nil {
			return done, err
		}
	}
	if done.Preview, err = l.preview(found); err != nil {
		return done, err
	}
	switch look := done.Preview; {
	case len(look.Refused) > 0:
		return done, fmt.Errorf("%w: %s", ErrRefused, look.Refused[0].Reason)
	case look.Digest != agreed.Digest:
		return done, ErrStale
	case look.Typed != 0 && look.Typed != agreed.Typed:
		return done, ErrUnconfirmed
	}
	added, err := p.Write(ctx, tx)
	if err == nil && also != nil {
		err = also(tx)
	}
	if err != nil {
		return done, err
	}
	for _, g := range added {
		done.Grants = append(done.Grants, g.ID)
	}
	done.Change, err = tx.LogProposal(agreed.Key, store.SavedProposal{
		Digest: agreed.Digest, People: done.Preview.Counts, Grants: done.Grants, Undoes: agreed.Undoes,
	})
	return done, err
}
