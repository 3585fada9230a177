package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
)

// One transaction writes at a time on SQLite. A change of many members is made in
// steps there, each a short transaction of its own, so that nobody else waits for the
// whole: what is to be done is worked out beside the writers, written down, and then
// done bit by bit. What a process that dies leaves behind is finished by the next
// (FinishChanges), so that such a change is made as a whole, too, or not at all.
//
// Until its end nothing else changes the group or its members, but for users that are
// deleted; whoever reads meanwhile sees some who are to come and some who are to go,
// and those who stay. The group has its new version, and the log the change, once
// everybody has come and gone.

// stepSizes say how many members are much; tests make them small.
type stepSizes struct {
	// whole is how many may come and go in one transaction.
	whole int
	// step is how many come in one step, and how many go; part is the same for what is
	// written down.
	step, part int
}

var usualSteps = stepSizes{whole: 1000, step: 50, part: 2000}

// steps are a change of many members.
type steps struct {
	conn    ConnectionRef
	group   GroupID
	change  ChangeID
	actor   Actor
	deletes bool
	// parts are what is left to be done; of the one under way, all of it.
	parts []portion
	done  membersDetail
	// recount says that done may not be all, as when another process has done some of it.
	recount bool
}

// portion are users who come and who go.
type portion struct {
	number     int
	come, gone []string
}

// left reads what is left of a change of a group, which a process that died or another
// one has begun: to do the same step twice does no harm. It is nil if there is nothing.
func (s *Store) left(ctx context.Context, tenant TenantID, group GroupID) (*steps, error) {
	all := &steps{group: group, conn: ConnectionRef{Tenant: tenant}, actor: Actor{Tenant: tenant}, recount: true}
	err := s.agree(ctx, func(r reader) error {
		err := r.row(ctx, []any{&all.change, &all.conn.ID, &all.deletes, &all.actor.Kind, &all.actor.ID, &all.actor.RequestID},
			`SELECT change_id, connection_id, deletes, actor_kind, actor_id, request_id FROM unfinished WHERE tenant_id = ? AND group_id = ?`, tenant, group)
		if err != nil {
			return err
		}
		return r.each(ctx, func(rows *sqlx.Rows) error {
			var p portion
			var come, gone []byte
			err := rows.Scan(&p.number, &come, &gone)
			if err == nil {
				err = errors.Join(json.Unmarshal(come, &p.come), json.Unmarshal(gone, &p.gone))
			}
			all.parts = append(all.parts, p)
			return err
		}, `SELECT part, come, gone FROM unfinished_parts WHERE tenant_id = ? AND change_id = ? ORDER BY part`, tenant, all.change)
	})
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err // some of it would be taken for all
	}
	return all, nil
}

// count counts who has come and gone by a change, whoever did it.
func (r reader) count(ctx context.Context, all *steps) (done membersDetail, err error) {
	tenant, group := all.conn.Tenant, all.group
	err = r.row(ctx, []any{&done.Added, &done.Removed}, `SELECT
		(SELECT COUNT(*) FROM members WHERE tenant_id = ? AND group_id = ? AND change_id = ?)
			+ (SELECT COUNT(*) FROM members_past WHERE tenant_id = ? AND group_id = ? AND change_id = ?),
		(SELECT COUNT(*) FROM members_past WHERE tenant_id = ? AND group_id = ? AND end_change_id = ?)`,
		tenant, group, all.change, tenant, group, all.change, tenant, group, all.change)
	return done, err
}

// FinishChanges finishes what a process that died has left half done. Call it when
// the program starts, and now and then.
func (s *Store) FinishChanges(ctx context.Context) error {
	if s.write.dialect != sqliteDialect {
		return nil
	}
	var open []heldError
	err := s.each(ctx, func(rows *sqlx.Rows) error {
		var one heldError
		err := rows.Scan(&one.tenant, &one.group)
		open = append(open, one)
		return err
	}, `SELECT tenant_id, group_id FROM unfinished`)
	for _, one := range open {
		err = errors.Join(err, s.standBack(ctx, one))
	}
	if err != nil {
		return err
	}
	// A change that is only being written down is young.
	var never []*steps
	err = s.each(ctx, func(rows *sqlx.Rows) error {
		one := new(steps)
		err := rows.Scan(&one.conn.Tenant, &one.change)
		never = append(never, one)
		return err
	}, `SELECT DISTINCT p.tenant_id, p.change_id FROM unfinished_parts p WHERE p.change_id < ?
		AND NOT EXISTS (SELECT 1 FROM unfinished u WHERE u.tenant_id = p.tenant_id AND u.change_id = p.change_id)`, firstIDAt(s.now().Add(-time.Hour)))
	for _, one := range never {
		err = errors.Join(err, s.forget(ctx, one))
	}
	return err
}

// beginSteps writes down what is to be done, and does it: first in one transaction, the
// rest in steps, once they can no longer fail.
func (s *Store) beginSteps(ctx context.Context, h *hold, all *steps, first func(*Tx) (Group, MembersResult, error)) (g Group, res MembersResult, err error) {
	for _, part := range all.parts {
		come, _ := json.Marshal(part.come)
		gone, _ := json.Marshal(part.gone)
		err = s.WriteLong(ctx, all.actor, func(tx *Tx) error {
			tx.insert(`unfinished_parts (tenant_id, change_id, part, come, gone)`, all.conn.Tenant, all.change, part.number, string(come), string(gone))
			return nil
		})
		if err != nil {
			break
		}
	}
	inSteps := len(all.parts) > 0 || all.deletes
	if err == nil {
		err = s.Write(ctx, all.actor, func(tx *Tx) error {
			tx.hold = h
			if err = tx.written(ctx, all); err != nil {
				return err
			}
			if g, res, err = first(tx); err == nil && inSteps {
				tx.insert(`unfinished (tenant_id, change_id, connection_id, group_id, deletes, actor_kind, actor_id, request_id)`,
					all.conn.Tenant, all.change, all.conn.ID, all.group, all.deletes, all.actor.Kind, all.actor.ID, all.actor.RequestID)
				tx.later(`UPDATE groups SET unfinished = ? WHERE tenant_id = ? AND id = ?`, all.change, all.conn.Tenant, all.group)
			}
			return err
		})
	}
	if err != nil && len(all.parts) > 0 {
		err = errors.Join(err, s.forget(ctx, all))
	}
	if err != nil {
		return Group{}, res, err
	}
	if !inSteps {
		return g, res, nil
	}
	h.steps = all
	if g, err = s.finish(ctx, h); errors.Is(err, ErrNotFound) && !all.deletes {
		g, err = s.Group(ctx, all.conn, all.group)
	} else if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return g, res, err
}

// written is ErrUnavailable when what was written down is no longer all there: a machine
// slept for an hour, and FinishChanges took it for something that never began.
func (tx *Tx) written(ctx context.Context, all *steps) error {
	if len(all.parts) == 0 {
		return nil
	}
	var n int
	err := tx.row(ctx, []any{&n}, `SELECT COUNT(*) FROM unfinished_parts WHERE tenant_id = ? AND change_id = ?`, all.conn.Tenant, all.change)
	if err == nil && n != len(all.parts) {
		err = fmt.Errorf("%w: %d of %d parts of the change of group %s are there", ErrUnavailable, n, len(all.parts), all.group)
	}
	return err
}

// forget removes what was written down of a change that doesn't begin: one that did,
// though its commit failed, keeps it.
func (s *Store) forget(ctx context.Context, all *steps) error {
	return s.Write(context.WithoutCancel(ctx), all.actor, func(tx *Tx) error {
		tx.later(`DELETE FROM unfinished_parts WHERE tenant_id = ? AND change_id = ?
			AND NOT EXISTS (SELECT 1 FROM unfinished u WHERE u.tenant_id = unfinished_parts.tenant_id AND u.change_id = unfinished_parts.change_id)`,
			all.conn.Tenant, all.change)
		return nil
	})
}

// finish does the steps that are left, and gives the group as it is then. ErrNotFound
// when another process has done them already. After another error the next call goes
// on.
func (s *Store) finish(ctx context.Context, h *hold) (g Group, err error) {
	ctx = context.WithoutCancel(ctx)
	all := h.steps
	step := func(long bool, f func(*Tx) error) error {
		write := s.Write
		if long {
			write = s.WriteLong
		}
		err := write(ctx, all.actor, func(tx *Tx) error {
			tx.hold = h
			var one int
			err := tx.row(ctx, []any{&one}, `SELECT 1 FROM unfinished WHERE tenant_id = ? AND change_id = ?`, all.conn.Tenant, all.change)
			if err == nil {
				err = f(tx)
			}
			return err
		})
		if errors.Is(err, ErrNotFound) {
			h.steps = nil // another process was faster
		}
		return err
	}
	for ; len(all.parts) > 0; all.parts = all.parts[1:] {
		part := all.parts[0]
		for n, last := 0, max(len(part.come)-1, len(part.gone)-1, 0)/s.sizes.step; n <= last; n++ {
			var came, went int
			come, gone := cutOut(part.come, n, s.sizes.step), cutOut(part.gone, n, s.sizes.step)
			err := step(true, func(tx *Tx) (err error) {
				came, went, err = tx.step(ctx, all, come, gone)
				if n == last {
					tx.later(`DELETE FROM unfinished_parts WHERE tenant_id = ? AND change_id = ? AND part = ?`, all.conn.Tenant, all.change, part.number)
				}
				return err
			})
			if err != nil {
				return g, err
			}
			all.done.Added += came
			all.done.Removed += went
			all.recount = all.recount || came < len(come) || went < len(gone)
		}
	}
	if all.recount {
		if all.done, err = s.count(ctx, all); err != nil {
			return g, err
		}
	}
	err = step(false, func(tx *Tx) error {
		g, err = tx.conclude(ctx, all)
		return err
	})
	if err == nil {
		h.steps = nil
	}
	return g, err
}

// step lets some users go and others come.
func (tx *Tx) step(ctx context.Context, all *steps, come, gone []string) (came, went int, err error) {
	if len(gone) > 0 {
		went, err = tx.endPicked(ctx, "members", "user_id", all.change, all.conn.Tenant, all.group, gone)
	}
	if err == nil && len(come) > 0 {
		came, err = tx.addUsers(ctx, all.conn, all.group, all.change, come)
	}
	return came, went, err
}

// conclude ends a change in steps: now the log has it, and the group its version.
func (tx *Tx) conclude(ctx context.Context, all *steps) (Group, error) {
	g, err := tx.group(ctx, all.conn, all.group, tx.pool.dialect.forUpdate)
	if err != nil {
		return g, err
	}
	tx.later(`DELETE FROM unfinished WHERE tenant_id = ? AND change_id = ?`, all.conn.Tenant, all.change)
	if all.deletes {
		return g, tx.deleteGroup(ctx, all.conn, g, all.change)
	}
	tx.logAs(all.change, MembersChanged, g.subject(all.conn), all.done)
	g.Version++
	g.ModifiedAt = later(tx.now, g.ModifiedAt)
	g.Unfinished = ""
	tx.later(`UPDATE groups SET version = ?, modified_at = ?, unfinished = NULL WHERE tenant_id = ? AND id = ?`,
		g.Version, g.ModifiedAt, all.conn.Tenant, all.group)
	return g, nil
}
