package store

import (
	"context"
	"errors"
	"sync"
)

// heldError says that a group is in the middle of a change.
type heldError struct {
	tenant TenantID
	group  GroupID
	hold   *hold // nil when it isn't this process that changes it
}

func (e heldError) Error() string { return "group " + string(e.group) + " is being changed" }

// heldGroups are the groups that are changed in steps.
type heldGroups struct {
	mu sync.Mutex
	of map[GroupID]*hold
}

// hold is for one group: whoever has taken its turn works on it.
type hold struct {
	turn chan struct{}
	over bool
	// steps are what has begun and isn't at its end.
	steps *steps
}

// enter takes the turn of a group, once what others began with it is at its end.
func (s *Store) enter(ctx context.Context, tenant TenantID, group GroupID) (*hold, error) {
	for {
		s.holds.mu.Lock()
		h := s.holds.of[group]
		if h == nil {
			if s.holds.of == nil {
				s.holds.of = map[GroupID]*hold{}
			}
			h = &hold{turn: make(chan struct{}, 1)}
			s.holds.of[group] = h
		}
		s.holds.mu.Unlock()
		if err := s.take(ctx, h); err != nil {
			return nil, err
		}
		if !h.over {
			err := s.tidy(ctx, h, tenant, group)
			if err == nil {
				return h, nil
			}
			s.leave(h, group)
			return nil, err
		}
		s.leave(h, group)
	}
}

// take takes the turn of a hold, which may be over then.
func (s *Store) take(ctx context.Context, h *hold) error {
	select {
	case h.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return s.write.dialect.classify(ctx.Err())
	}
}

// tidy finishes what others began with a group and left.
func (s *Store) tidy(ctx context.Context, h *hold, tenant TenantID, group GroupID) (err error) {
	if h.steps == nil {
		h.steps, err = s.left(ctx, tenant, group)
	}
	if err != nil || h.steps == nil {
		return err
	}
	_, err = s.finish(ctx, h)
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return err
}

// leave gives the turn to the next. The hold is over unless something is left to be
// done.
func (s *Store) leave(h *hold, group GroupID) {
	if h.steps == nil && !h.over {
		h.over = true
		s.holds.mu.Lock()
		delete(s.holds.of, group)
		s.holds.mu.Unlock()
	}
	<-h.turn
}

// standBack waits until a group can be changed again. Those who wait for a hold don't
// hold the group themselves, so that none of them is in the way of the others.
func (s *Store) standBack(ctx context.Context, of heldError) error {
	if of.hold == nil {
		h, err := s.enter(ctx, of.tenant, of.group)
		if err == nil {
			s.leave(h, of.group)
		}
		return err
	}
	if err := s.take(ctx, of.hold); err != nil {
		return err
	}
	defer s.leave(of.hold, of.group)
	if of.hold.over {
		return nil
	}
	return s.tidy(ctx, of.hold, of.tenant, of.group)
}

// free is an error when the group, which was read under its lock, is in the middle of
// a change that this transaction is no part of.
func (tx *Tx) free(g Group) error {
	if tx.pool.dialect != sqliteDialect {
		return nil
	}
	tx.store.holds.mu.Lock()
	h := tx.store.holds.of[g.ID]
	tx.store.holds.mu.Unlock()
	switch {
	case h != tx.hold || h == nil && g.Unfinished != "":
		return heldError{tx.actor.Tenant, g.ID, h}
	case g.Unfinished != "": // by another process
		return errMoved
	}
	return nil
}
