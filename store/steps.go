package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
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

// errInSteps says that a change is too large for one transaction.
var errInSteps = errors.New("to be done in steps")

// errMoved says that the group is another than the one that a change was made for.
var errMoved = errors.New("the group has changed")

// heldError says that a group is in the middle of a change.
type heldError struct {
	tenant TenantID
	group  GroupID
	hold   *hold // nil when it isn't this process that changes it
}

func (e heldError) Error() string { return "group " + string(e.group) + " is being changed" }

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
	var never []heldError // with the ids of changes
	err = s.each(ctx, func(rows *sqlx.Rows) error {
		var one heldError
		err := rows.Scan(&one.tenant, &one.group)
		never = append(never, one)
		return err
	}, `SELECT DISTINCT p.tenant_id, p.change_id FROM unfinished_parts p WHERE p.change_id < ?
		AND NOT EXISTS (SELECT 1 FROM unfinished u WHERE u.tenant_id = p.tenant_id AND u.change_id = p.change_id)`, firstIDAt(s.now().Add(-time.Hour)))
	for _, one := range never {
		err = errors.Join(err, s.forget(ctx, &steps{conn: ConnectionRef{Tenant: one.tenant}, change: ChangeID(one.group)}))
	}
	return err
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

// UpdateGroup is Tx.UpdateGroup in a transaction of its own, or in several: see
// WriteLong. Long says that change takes long, or is likely to change many members.
func (s *Store) UpdateGroup(ctx context.Context, actor Actor, c ConnectionRef, id GroupID, long bool,
	change func(Group) (Group, MemberDelta, error)) (g Group, res MembersResult, err error) {
	alone, leave := s.callers.enter(id)
	defer leave()
	if s.write.dialect == postgresDialect && alone && !long {
		if g, res, done, err := s.updateAtOnce(ctx, actor, c, id, change); done {
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
	for n := 1; ; n++ {
		if n <= mostPlans {
			g, res, err = s.updateInSteps(ctx, h, actor, c, id, change)
		} else {
			err = s.WriteLong(ctx, actor, func(tx *Tx) (err error) {
				tx.hold = h
				g, res, err = tx.UpdateGroup(ctx, c, id, change)
				return err
			})
		}
		if !errors.Is(err, errMoved) {
			return g, res, err
		}
		if err := s.tidy(ctx, h, c.Tenant, id); err != nil {
			return Group{}, res, err
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

// CreateGroup is Tx.CreateGroup in a transaction of its own, or in several: see
// WriteLong.
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

// DeleteGroupIf is Tx.DeleteGroupIf in a transaction of its own, or in several: see
// WriteLong.
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
	for {
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
		if !errors.Is(err, errMoved) {
			return err
		}
		if err := s.tidy(ctx, h, c.Tenant, id); err != nil {
			return err
		}
	}
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

// plan is what a change comes to.
type plan struct {
	before, after Group
	// first is what the first transaction does, all of it when that isn't much; come
	// and gone are the users that the steps are for.
	first      MemberDelta
	come, gone []string
	unknown    []MemberID
}

// result adds to what the first transaction did what the steps did.
func (p plan) result(first MembersResult) MembersResult {
	first.Added += len(p.come)
	first.Removed += len(p.gone)
	first.Unknown = slices.Concat(p.unknown, first.Unknown)
	return first
}

// plan works out what a change of a group comes to.
func (r reader) plan(ctx context.Context, c ConnectionRef, id GroupID, change func(Group) (Group, MemberDelta, error)) (plan, error) {
	before, err := r.group(ctx, c, id, "")
	if err != nil {
		return plan{}, err
	}
	after, delta, err := change(before)
	if err != nil {
		return plan{}, err
	}
	p, err := r.planMembers(ctx, c, id, delta)
	p.before, p.after = before, after
	return p, err
}

// planMembers does so for the members.
func (r reader) planMembers(ctx context.Context, c ConnectionRef, id GroupID, delta MemberDelta) (p plan, err error) {
	add, unknown := splitIDs(delta.Add)
	var remove []string
	if !delta.Replace {
		remove, _ = splitIDs(delta.Remove)
	}
	p.unknown = unknown
	d := r.pool.dialect
	ids := func(query string, args ...any) (set map[string]bool) {
		set = map[string]bool{}
		if err != nil {
			return set
		}
		var list []string
		err = r.list(ctx, &list, query, args...)
		for _, id := range list {
			set[id] = true
		}
		return set
	}
	var users, groups map[string]bool // of those who can go or are in already
	if delta.Replace {
		users = ids(`SELECT user_id FROM members WHERE tenant_id = ? AND group_id = ?`, c.Tenant, id)
		groups = ids(`SELECT member_id FROM subgroups WHERE tenant_id = ? AND group_id = ?`, c.Tenant, id)
		keep := map[string]bool{}
		for _, id := range add {
			keep[id] = true
		}
		for _, members := range []map[string]bool{users, groups} {
			for id := range members {
				if !keep[id] {
					remove = append(remove, id)
				}
			}
		}
	} else {
		named := d.idList(slices.Concat(add, remove))
		users = ids(`SELECT w.id FROM (`+d.idRows+`) w `+d.each("members", `u.tenant_id = ? AND u.group_id = ? AND u.user_id = w.id`), named, c.Tenant, id)
		groups = ids(`SELECT member_id FROM subgroups WHERE tenant_id = ? AND group_id = ?`, c.Tenant, id)
	}
	for _, id := range remove {
		switch {
		case users[id]:
			p.gone = append(p.gone, id)
		case groups[id]:
			p.first.Remove = append(p.first.Remove, MemberID(id))
		}
	}
	add = slices.DeleteFunc(add, func(id string) bool { return users[id] || groups[id] })
	known := ids(`SELECT w.id FROM (`+d.idRows+`) w `+d.each("users", `u.tenant_id = ? AND u.id = w.id AND u.connection_id = ?`), d.idList(add), c.Tenant, c.ID)
	var others []string
	for _, id := range add {
		if known[id] {
			p.come = append(p.come, id)
		} else {
			others = append(others, id)
		}
	}
	known = ids(`SELECT w.id FROM (`+d.idRows+`) w `+d.each("groups", `u.tenant_id = ? AND u.id = w.id AND u.connection_id = ?`), d.idList(others), c.Tenant, c.ID)
	for _, id := range others {
		if known[id] {
			p.first.Add = append(p.first.Add, MemberID(id))
		} else {
			p.unknown = append(p.unknown, MemberID(id))
		}
	}
	if err == nil && delta.Replace && len(p.gone)+len(p.first.Remove) > 0 && len(delta.Add) > 0 && len(p.unknown) == len(delta.Add) {
		err = fmt.Errorf("members of group %s: %w", id, ErrUnknownMembers)
	}
	// In the order of the tables, so that a step touches few of their pages.
	p.come, p.gone = sortedSet(p.come), sortedSet(p.gone)
	return p, err
}

// stepsOf are the steps of a plan; when they aren't worth it, there are none and the
// first transaction does everything.
func (s *Store) stepsOf(actor Actor, c ConnectionRef, id GroupID, p *plan) *steps {
	if len(p.come)+len(p.gone) <= s.sizes.whole {
		for _, id := range p.come {
			p.first.Add = append(p.first.Add, MemberID(id))
		}
		for _, id := range p.gone {
			p.first.Remove = append(p.first.Remove, MemberID(id))
		}
		p.come, p.gone = nil, nil
	}
	all := &steps{conn: c, group: id, change: ChangeID(newID()), actor: actor}
	for n := 0; n*s.sizes.part < max(len(p.come), len(p.gone)); n++ {
		all.parts = append(all.parts, portion{n, cutOut(p.come, n, s.sizes.part), cutOut(p.gone, n, s.sizes.part)})
	}
	return all
}

// sortedSet gives each of a list once, in order.
func sortedSet(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

// cutOut is the nth piece of a list.
func cutOut(list []string, n, size int) []string {
	return list[min(n*size, len(list)):min((n+1)*size, len(list))]
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
