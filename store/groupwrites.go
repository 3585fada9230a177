package store

import (
	"context"
	"errors"
	"fmt"
)

// errInSteps says that a change is too large for one transaction.
var errInSteps = errors.New("to be done in steps")

// errMoved says that the group is another than the one that a change was made for.
var errMoved = errors.New("the group has changed")

// UpdateGroup is Tx.UpdateGroup in a transaction of its own, or, when many members come
// or go on SQLite, in several, which come to their end whatever happens (steps.go): who
// reads meanwhile sees some of them. It may call change several times, which must not
// change the group itself. Long says that change takes long, or is likely to change many
// members.
func (s *Store) UpdateGroup(ctx context.Context, actor Actor, c ConnectionRef, id GroupID, long bool,
	change func(Group) (Group, MemberDelta, error)) (g Group, res MembersResult, err error) {
	if s.write.dialect == postgresDialect && !long {
		if g, res, done, err := s.updateTogether(ctx, actor, c, id, change); done {
			return g, res, err
		}
	}
	if s.write.dialect != sqliteDialect || !long {
		err = s.Write(ctx, actor, func(tx *Tx) error {
			g, res, err = tx.UpdateGroup(ctx, c, id, func(before Group) (Group, MemberDelta, error) {
				after, delta, err := change(before)
				if err == nil {
					err = tx.few(ctx, c, id, delta)
				}
				return after, delta, err
			})
			return err
		})
		if !errors.Is(err, errInSteps) {
			return g, res, err
		}
	}
	h, err := s.enter(ctx, c.Tenant, id)
	if err != nil {
		return Group{}, res, err
	}
	defer s.leave(h, id)
	err = s.untilStill(ctx, h, c.Tenant, id, func(n int) error {
		if n <= mostPlans {
			g, res, err = s.updateInSteps(ctx, h, actor, c, id, change)
			return err
		}
		return s.WriteLong(ctx, actor, func(tx *Tx) (err error) {
			tx.hold = h
			g, res, err = tx.UpdateGroup(ctx, c, id, change)
			return err
		})
	})
	return g, res, err
}

// untilStill tries something for the nth time, until nothing changes the group meanwhile.
func (s *Store) untilStill(ctx context.Context, h *hold, tenant TenantID, id GroupID, try func(n int) error) error {
	for n := 1; ; n++ {
		if err := try(n); !errors.Is(err, errMoved) {
			return err
		}
		if err := s.tidy(ctx, h, tenant, id); err != nil {
			return err
		}
	}
}

// mostPlans is how often a change is worked out beside the writers. When members are
// deleted meanwhile, each time, it is made in one transaction after all.
const mostPlans = 3

// updateInSteps is UpdateGroup for whoever has the turn of the group. errMoved says that
// it has become another while the change was worked out.
func (s *Store) updateInSteps(ctx context.Context, h *hold, actor Actor, c ConnectionRef, id GroupID,
	change func(Group) (Group, MemberDelta, error)) (g Group, res MembersResult, err error) {
	var p plan
	if err := s.agree(ctx, func(r reader) (err error) {
		p, err = r.plan(ctx, c, id, change)
		return err
	}); err != nil {
		return Group{}, res, err
	}
	g, res, err = s.beginSteps(ctx, h, s.stepsOf(actor, c, id, &p), func(tx *Tx) (Group, MembersResult, error) {
		return tx.UpdateGroup(ctx, c, id, func(now Group) (Group, MemberDelta, error) {
			if now.Version != p.before.Version {
				return now, MemberDelta{}, errMoved
			}
			return p.after, p.first, nil
		})
	})
	return g, p.result(res), err
}

// CreateGroup is Tx.CreateGroup in a transaction of its own, or in several as
// UpdateGroup is.
func (s *Store) CreateGroup(ctx context.Context, actor Actor, c ConnectionRef, g Group, members []MemberID) (Group, MembersResult, error) {
	var res MembersResult
	if s.write.dialect != sqliteDialect || len(members) <= s.sizes.whole {
		made := g
		err := s.Write(ctx, actor, func(tx *Tx) (err error) {
			made, res, err = tx.CreateGroup(ctx, c, g, members)
			return err
		})
		return made, res, err
	}
	var p plan
	err := s.agree(ctx, func(r reader) (err error) {
		p, err = r.planMembers(ctx, c, "", MemberDelta{Add: members})
		return err
	})
	if err != nil {
		return g, res, err
	}
	// The log has the group before its members.
	id, created := GroupID(newID()), ChangeID(newID())
	h, err := s.enter(ctx, c.Tenant, id)
	if err != nil {
		return g, res, err
	}
	defer s.leave(h, id)
	made, res, err := s.beginSteps(ctx, h, s.stepsOf(actor, c, id, &p), func(tx *Tx) (Group, MembersResult, error) {
		return tx.createGroup(ctx, c, id, created, g, p.first.Add)
	})
	return made, p.result(res), err
}

// DeleteGroupIf is Tx.DeleteGroupIf in a transaction of its own, or in several as
// UpdateGroup is.
func (s *Store) DeleteGroupIf(ctx context.Context, actor Actor, c ConnectionRef, id GroupID, allowed func(Group) error) error {
	err := s.Write(ctx, actor, func(tx *Tx) error {
		return tx.DeleteGroupIf(ctx, c, id, func(g Group) error {
			if err := allowed(g); err != nil {
				return err
			}
			return tx.few(ctx, c, id, MemberDelta{Replace: true})
		})
	})
	if !errors.Is(err, errInSteps) {
		return err
	}
	h, err := s.enter(ctx, c.Tenant, id)
	if err != nil {
		return err
	}
	defer s.leave(h, id)
	return s.untilStill(ctx, h, c.Tenant, id, func(int) error {
		var p plan
		err := s.agree(ctx, func(r reader) (err error) {
			p, err = r.plan(ctx, c, id, func(g Group) (Group, MemberDelta, error) {
				return g, MemberDelta{Replace: true}, allowed(g)
			})
			return err
		})
		if err != nil {
			return err
		}
		begun := s.stepsOf(actor, c, id, &p)
		begun.deletes = true
		_, _, err = s.beginSteps(ctx, h, begun, func(tx *Tx) (g Group, res MembersResult, err error) {
			if g, err = tx.group(ctx, c, id, ""); err == nil {
				err = tx.free(g)
			}
			if err == nil {
				err = allowed(g) // whoever isn't a member any more does no harm
			}
			return g, res, err
		})
		return err
	})
}

// few is errInSteps for a change of many members where that is done in steps.
func (tx *Tx) few(ctx context.Context, c ConnectionRef, id GroupID, delta MemberDelta) error {
	if tx.pool.dialect != sqliteDialect {
		return nil
	}
	n := len(delta.Add) + len(delta.Remove)
	if delta.Replace && n <= tx.store.sizes.whole {
		var members int
		err := tx.get(ctx, &members, fmt.Sprintf(`SELECT COUNT(*) FROM
			(SELECT 1 FROM members WHERE tenant_id = ? AND group_id = ? LIMIT %d)`, tx.store.sizes.whole+1), c.Tenant, id)
		if err != nil {
			return err
		}
		n = members
	}
	if n > tx.store.sizes.whole {
		return errInSteps
	}
	return nil
}
