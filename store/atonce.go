package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// On PostgreSQL every round trip costs more than what is done in it, above all when
// others keep the processors busy. What providers send most, one member more or less,
// takes two: the group is read, and one statement does everything, provided that the
// group is still what was read.

// callers counts those who are at a group just now.
type callers struct {
	mu sync.Mutex
	of map[GroupID]int
}

// enter reports whether a caller is alone with a group until it leaves.
func (c *callers) enter(id GroupID) (alone bool, leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[GroupID]int{}
	}
	c.of[id]++
	return c.of[id] == 1, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.of[id]--; c.of[id] == 0 {
			delete(c.of, id)
		}
	}
}

// updateAtOnce does what Tx.UpdateGroup does when only a few members come and go, all
// of them users. It reports false, and has done nothing, when it is something else, or
// another was faster.
func (s *Store) updateAtOnce(ctx context.Context, actor Actor, c ConnectionRef, id GroupID,
	change func(Group) (Group, MemberDelta, error)) (g Group, res MembersResult, done bool, err error) {
	if c.Tenant != actor.Tenant {
		return g, res, false, nil
	}
	before, err := s.Group(ctx, c, id)
	if err != nil {
		return g, res, true, err
	}
	g, delta, err := change(before)
	if err != nil {
		return Group{}, res, true, err
	}
	add, strange := splitIDs(delta.Add)
	remove, _ := splitIDs(delta.Remove)
	n := len(add) + len(remove)
	if delta.Replace || n == 0 || n > maxNamed || len(strange) > 0 || string(g.Doc) != string(before.Doc) {
		return g, res, false, nil
	}
	slices.Sort(add)
	add = slices.Compact(add)

	changeID, now := ChangeID(newID()), At(s.now())
	query, args := s.atOnce(c, before, changeID, now, add, remove)
	named, err := json.Marshal(slices.Concat(add, remove))
	if err != nil {
		return g, res, true, err
	}
	subject := g.subject(c)
	args = append(args, c.Tenant, changeID, now, actor.Kind, actor.ID, actor.RequestID, c.ID,
		MembersChanged, subject.kind, subject.id, subject.name, `,"named":`+string(named)+`}`)

	_, release, err := s.takeSlot(ctx)
	if err != nil {
		return g, res, true, err
	}
	defer release()
	var same int
	err = s.row(ctx, []any{&same, &res.Added, &res.Removed}, query, args...)
	switch {
	case err != nil && s.write.dialect.retryable(err):
		return g, MembersResult{}, false, nil
	case err != nil:
		return g, res, true, fmt.Errorf("members of group %s: %w", id, err)
	case same == 0:
		return g, MembersResult{}, false, nil
	case !res.Changed():
		return before, res, true, nil
	}
	s.grew(n)
	g.Version = before.Version + 1
	g.ModifiedAt = later(now, before.ModifiedAt)
	return g, res, true, nil
}

// atOnce is the statement, with its parameters but for the row of the log. It answers
// whether the group was what it should be, and how many came and went.
func (s *Store) atOnce(c ConnectionRef, g Group, change ChangeID, now Instant, add, remove []string) (query string, args []any) {
	d := s.write.dialect
	few := func(ids []string) string {
		list, _ := json.Marshal(ids)
		return string(list)
	}
	var b strings.Builder
	with := func(name, query string, more ...any) {
		fmt.Fprintf(&b, "%s %s AS (%s)", [2]string{"WITH", ","}[min(b.Len(), 1)], name, query)
		args = append(args, more...)
	}
	with("g", `SELECT id FROM groups WHERE tenant_id = ? AND id = ? AND connection_id = ? AND version = ? FOR NO KEY UPDATE SKIP LOCKED`, c.Tenant, g.ID, c.ID, g.Version)
	same := `SELECT 1 FROM g WHERE TRUE`
	var more []any
	if len(add) > 0 {
		with("known", `SELECT u.id FROM (`+d.fewRows+`) w `+d.each("users", "u.tenant_id = ? AND u.id = w.id AND u.connection_id = ?"), few(add), c.Tenant, c.ID)
		same, more = same+` AND (SELECT COUNT(*) FROM known) = ?`, append(more, len(add))
	}
	if len(remove) > 0 {
		same += ` AND NOT EXISTS (SELECT 1 FROM subgroups WHERE tenant_id = ? AND group_id = ? AND member_id IN (` + d.fewRows + `))`
		more = append(more, c.Tenant, g.ID, few(remove))
	}
	with("same", same, more...)
	came, went := "0", "0"
	if len(remove) > 0 {
		with("gone", `DELETE FROM members WHERE EXISTS (SELECT 1 FROM same) AND ctid = ANY (ARRAY (SELECT u.ctid FROM (`+d.fewRows+`) w `+
			d.each("members", "u.tenant_id = ? AND u.group_id = ? AND u.user_id = w.id")+`)) RETURNING *`, few(remove), c.Tenant, g.ID)
		with("past", `INSERT INTO members_past (tenant_id, group_id, user_id, since, until, change_id, end_change_id)
			SELECT tenant_id, group_id, user_id, since, GREATEST(since, CAST(? AS bigint)), change_id, CAST(? AS uuid) FROM gone`, now, change)
		went = `(SELECT COUNT(*) FROM gone)`
	}
	if len(add) > 0 {
		with("come", `INSERT INTO members (tenant_id, group_id, user_id, since, change_id)
			SELECT ?, ?, known.id, ?, ? FROM known CROSS JOIN same ON CONFLICT DO NOTHING RETURNING 1`, c.Tenant, g.ID, now, change)
		came = `(SELECT COUNT(*) FROM come)`
	}
	with("done", `SELECT `+came+` AS came, `+went+` AS went`)
	with("raised", `UPDATE groups SET version = version + 1, modified_at = GREATEST(modified_at, CAST(? AS bigint))
		FROM done WHERE tenant_id = ? AND id = ? AND came + went > 0`, now, c.Tenant, g.ID)
	b.WriteString(`, told AS (INSERT INTO ` + changeColumns + `
		SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '{"added":' || came || ',"removed":' || went || CAST(? AS text) FROM done WHERE came + went > 0)
		SELECT (SELECT COUNT(*) FROM same), came, went FROM done`)
	return b.String(), args
}
