package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// On PostgreSQL every round trip costs more than what is done in it, above all when
// others keep the processors busy. What providers send most, one member more or less,
// takes two: the group is read, unless it is known, and one statement does everything,
// provided that the group is still so. Those who change one group at the same time would wait
// for each other's COMMIT, and so share a transaction: a statement each.

// callers are those who change groups just now, a batch of each.
type callers struct {
	mu sync.Mutex
	of map[groupRef]*atGroup
}

// groupRef is a group of one connection; whoever is at it under another finds nothing.
type groupRef struct {
	conn ConnectionRef
	id   GroupID
}

type atGroup struct {
	batch batch
	n     int
}

// enter gives the batch of a group, until the caller leaves.
func (c *callers) enter(id groupRef, commit func([]*job)) (b *batch, leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[groupRef]*atGroup{}
	}
	if c.of[id] == nil {
		c.of[id] = &atGroup{batch: batch{commit: commit}}
	}
	at := c.of[id]
	at.n++
	return &at.batch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if at.n--; at.n == 0 {
			delete(c.of, id)
		}
	}
}

// guesses are groups as this process has left them, so that the next change needs not
// read them: the statement sees whether they are still so. Only where the last two
// changes were both of this process is a guess made, or servers that take turns with a
// group would guess wrong each time.
type guesses struct {
	mu     sync.Mutex
	groups map[groupRef]guess
}

type guess struct {
	group Group
	sure  bool
}

// maxGuesses bounds the groups, and maxGuess the bytes of each.
const maxGuesses, maxGuess = 1_000, 8 << 10

func (g *guesses) of(ref groupRef) (Group, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	last := g.groups[ref]
	return last.group, last.sure
}

// learn keeps what a change has made of a group.
func (g *guesses) learn(ref groupRef, before, after Group) {
	g.mu.Lock()
	defer g.mu.Unlock()
	last, again := g.groups[ref]
	if len(after.Doc) > maxGuess {
		delete(g.groups, ref)
		return
	}
	if g.groups == nil || !again && len(g.groups) >= maxGuesses {
		g.groups = map[groupRef]guess{}
	}
	g.groups[ref] = guess{after, again && last.group.Version == before.Version}
}

// errApart says that a batch came to nothing: each of its jobs is to be done by itself.
var errApart = errors.New("to be done apart from the others")

// updateTogether does what Tx.UpdateGroup does when only a few members come and go, all
// of them users, for all who change the group just now. It reports false, and has done
// nothing, when it is something else, or another server was faster.
func (s *Store) updateTogether(ctx context.Context, actor Actor, c ConnectionRef, id GroupID,
	change func(Group) (Group, MemberDelta, error)) (g Group, res MembersResult, done bool, err error) {
	if c.Tenant != actor.Tenant {
		return g, res, false, nil
	}
	b, leave := s.callers.enter(groupRef{c, id}, s.commitTogether)
	defer leave()
	var refused error
	j := &job{actor: actor, f: func(tx *Tx) (err error) {
		r := s.reader
		if tx != nil {
			r = tx.reader
		}
		g, res, done, refused, err = s.updateAtOnce(ctx, r, actor, c, id, change)
		return err
	}}
	if err := b.do(ctx, s, j); errors.Is(err, errApart) {
		return Group{}, MembersResult{}, false, nil
	} else if err != nil {
		return Group{}, MembersResult{}, true, err
	}
	return g, res, done, refused
}

// commitTogether does the jobs of updateTogether: one alone without a transaction
// around its statement.
func (s *Store) commitTogether(jobs []*job) {
	fail := func(err error) {
		for _, j := range jobs {
			if j.panicked == nil {
				j.err = err
			}
		}
	}
	if len(jobs) == 1 {
		defer jobs[0].caught()
		jobs[0].err = jobs[0].f(nil)
		return
	}
	w := &work{begin: s.beginInTurn}
	// An open transaction would hold its locks for ever.
	defer w.end(s.write)
	for _, j := range jobs {
		if s.run(w, j); j.err != nil {
			fail(errApart)
			return
		}
	}
	if w.tx == nil {
		return
	}
	if err := w.tx.Commit(); err != nil {
		if err = s.write.dialect.classify(err); s.write.dialect.retryable(err) {
			err = errApart
		}
		fail(err)
	}
}

// updateAtOnce is updateTogether for one, with r. What refuses the change is another
// thing than an error of the database.
func (s *Store) updateAtOnce(ctx context.Context, r reader, actor Actor, c ConnectionRef, id GroupID,
	change func(Group) (Group, MemberDelta, error)) (g Group, res MembersResult, done bool, refused, err error) {
	if guess, ok := s.guesses.of(groupRef{c, id}); ok && r.work == nil {
		g, res, done, refused, err = s.updateFrom(ctx, r, actor, c, guess, change)
		if done && (refused == nil || err != nil) {
			return g, res, done, nil, err
		}
	}
	before, err := r.groupAtOnce(ctx, c, id)
	if errors.Is(err, ErrNotFound) {
		return g, res, true, err, nil
	}
	if err != nil {
		return g, res, true, nil, err
	}
	return s.updateFrom(ctx, r, actor, c, before, change)
}

// updateFrom is updateAtOnce if the group is still as before.
func (s *Store) updateFrom(ctx context.Context, r reader, actor Actor, c ConnectionRef, before Group,
	change func(Group) (Group, MemberDelta, error)) (g Group, res MembersResult, done bool, refused, err error) {
	g, delta, refused := change(before)
	if refused != nil {
		return Group{}, res, true, refused, nil
	}
	add, strange := splitIDs(delta.Add)
	remove, _ := splitIDs(delta.Remove)
	n := len(add) + len(remove)
	both := slices.ContainsFunc(add, func(id string) bool { return slices.Contains(remove, id) })
	if delta.Replace || n == 0 || n > maxNamed || len(strange) > 0 || both || string(g.Doc) != string(before.Doc) {
		return g, res, false, nil, nil
	}
	slices.Sort(add)
	add = slices.Compact(add)

	changeID, now := ChangeID(newID()), At(s.now())
	query, args := s.atOnce(c, before, changeID, now, add, remove)
	named, err := json.Marshal(slices.Concat(add, remove))
	if err != nil {
		return g, res, true, nil, err
	}
	subject := g.subject(c)
	args = append(args, c.Tenant, changeID, now, actor.Kind, actor.ID, actor.RequestID, c.ID,
		MembersChanged, subject.kind, subject.id, subject.name, `,"named":`+string(named)+`}`)

	if r.work == nil {
		_, release, err := s.takeSlot(ctx)
		if err != nil {
			return g, res, true, nil, err
		}
		defer release()
	}
	var same int
	err = r.row(ctx, []any{&same, &res.Added, &res.Removed}, query, args...)
	switch {
	case err != nil && r.work == nil && s.write.dialect.retryable(err):
		return g, MembersResult{}, false, nil, nil
	case err != nil:
		return g, res, true, nil, fmt.Errorf("members of group %s: %w", before.ID, err)
	case same == 0:
		// database/sql sends a statement again when its connection dies, even if it was
		// done by then: the change that is in the way may be our own.
		detail, ours := membersDetail{}, false
		if r.work == nil {
			if detail, ours, err = r.membersChange(ctx, c.Tenant, changeID); err != nil {
				return g, MembersResult{}, true, nil, err
			}
		}
		if !ours {
			return g, MembersResult{}, false, nil, nil
		}
		res.Added, res.Removed = detail.Added, detail.Removed
	case !res.Changed():
		return before, res, true, nil, nil
	}
	s.grew(n)
	after := before
	after.Version++
	after.ModifiedAt = later(now, before.ModifiedAt)
	if r.work != nil {
		r.work.group = &after
	} else {
		s.guesses.learn(groupRef{c, before.ID}, before, after)
	}
	g.Version, g.ModifiedAt = after.Version, after.ModifiedAt
	return g, res, true, nil, nil
}

// membersChange is what the log says of a change of members, if it is there.
func (r reader) membersChange(ctx context.Context, tenant TenantID, id ChangeID) (detail membersDetail, found bool, err error) {
	var text string
	err = r.row(ctx, []any{&text}, `SELECT detail FROM changes WHERE tenant_id = ? AND id = ?`, tenant, id)
	if errors.Is(err, ErrNotFound) {
		return detail, false, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &detail)
	}
	return detail, err == nil, err
}

// groupAtOnce is Group, but that who shares a transaction locks the group, and finds it
// as the one before has left it.
func (r reader) groupAtOnce(ctx context.Context, c ConnectionRef, id GroupID) (Group, error) {
	switch {
	case r.work == nil:
		return r.group(ctx, c, id, "")
	case r.work.group == nil:
		g, err := r.group(ctx, c, id, r.pool.dialect.forUpdate)
		if err == nil {
			r.work.group = &g
		}
		return g, err
	}
	return *r.work.group, nil
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
	with("g", `SELECT id FROM groups WHERE tenant_id = ? AND id = ? AND connection_id = ? AND version = ? AND modified_at = ? FOR NO KEY UPDATE SKIP LOCKED`,
		c.Tenant, g.ID, c.ID, g.Version, g.ModifiedAt)
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
