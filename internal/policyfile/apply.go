package policyfile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

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
	_, err = p.edit.Write(ctx, tx)
	return p, err
}
