package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// AuditFilter says which changes to look at; the zero value is all of them.
type AuditFilter struct {
	// Actor is who made them: the id of a user or a token, or another actor's name.
	Actor string
	// Subject is the id of what they are about.
	Subject string
	// Actions are those to show; none means all.
	Actions []string
	// Connection is the identity provider that they came by, or are about.
	Connection ConnectionID
	// From and Until bound their time; Until itself is outside. Zero is no bound.
	From, Until time.Time
	// Request is the id of the request that made them.
	Request string
	// Text is a part of the subject's or the actor's name, in any case.
	Text string
}

// AuditPage is some of the log, newest first.
type AuditPage struct {
	Changes []Change
	// Next is the cursor behind them; "" at the end. There may be fewer changes than
	// wanted and yet a next page: looking through the log ends after a while.
	Next string
	// Through is how far back was looked; zero at the end.
	Through Instant
}

// frequentActions are what a sync does all the time. The index changes_by_action
// leaves them out: they are found by going through the log, which is full of them.
var frequentActions = []string{UserCreated, UserUpdated, GroupCreated, GroupUpdated, MembersChanged, AccessTokenCreated}

// infrequent is the condition of the index changes_by_action, to the letter.
var infrequent = `action NOT IN ('` + strings.Join(frequentActions, `', '`) + `')`

const (
	// auditWalk bounds the changes that one page looks at.
	auditWalk = 20_000
	// auditChunk is how many are read at a time.
	auditChunk = 2000
	// auditSkew is how far apart a change's time and that in its id may be: clocks of
	// servers differ, and a change that waited for another comes after it.
	auditSkew = 24 * time.Hour
)

// Audit gives a tenant's changes behind a cursor of an earlier page, the newest
// first, at most limit. ErrCursor when the cursor is none.
//
// Changes by subject, by a person or by an action that isn't a sync's daily work
// are found by an index; everything else by going through the log from the end.
func (r reader) Audit(ctx context.Context, tenant TenantID, f AuditFilter, after string, limit int) (AuditPage, error) {
	if after != "" && !validID(after) {
		return AuditPage{}, fmt.Errorf("%w %q", ErrCursor, after)
	}
	find, ok, err := r.auditQuery(ctx, tenant, f)
	if err != nil || !ok {
		return AuditPage{}, err
	}
	var p AuditPage
	text := Fold(f.Text)
	for walked := 0; walked < auditWalk; {
		size := min(auditChunk, auditWalk-walked)
		if f.everything() {
			size = min(size, limit+1-len(p.Changes))
		}
		var chunk []Change
		query, args := find(after, size)
		if err := r.list(ctx, &chunk, query, args...); err != nil {
			return AuditPage{}, fmt.Errorf("audit of tenant %s: %w", tenant, err)
		}
		for _, c := range chunk {
			if !f.matches(c, text) {
				continue
			}
			if len(p.Changes) == limit {
				last := p.Changes[limit-1]
				p.Next, p.Through = string(last.ID), last.At
				return p, nil
			}
			p.Changes = append(p.Changes, c)
		}
		if len(chunk) < size {
			p.Next, p.Through = "", Instant{}
			return p, nil
		}
		walked += size
		after = string(chunk[size-1].ID)
		p.Next, p.Through = after, chunk[size-1].At
	}
	return p, nil
}

// everything reports whether nothing is left out.
func (f AuditFilter) everything() bool {
	return f.Actor == "" && f.Subject == "" && len(f.Actions) == 0 && f.Connection == "" && f.From.IsZero() && f.Until.IsZero() &&
		f.Request == "" && f.Text == ""
}

// matches reports whether a change is among those looked for; text is folded.
func (f AuditFilter) matches(c Change, text string) bool {
	switch {
	case f.Actor != "" && f.Actor != c.ActorID,
		f.Subject != "" && f.Subject != c.SubjectID,
		len(f.Actions) > 0 && !slices.Contains(f.Actions, c.Action),
		f.Connection != "" && f.Connection != c.ConnectionID,
		!f.From.IsZero() && c.At.Before(f.From),
		!f.Until.IsZero() && !c.At.Before(f.Until),
		f.Request != "" && f.Request != c.RequestID:
		return false
	}
	return text == "" || strings.Contains(Fold(c.SubjectName), text) || strings.Contains(Fold(c.ActorID), text)
}

// auditQuery gives a function for the query that finds the next changes: at most
// size of them, behind a cursor. They are to be looked through for those that match.
// It reports false when none can.
func (r reader) auditQuery(ctx context.Context, tenant TenantID, f AuditFilter) (find func(after string, size int) (string, []any), ok bool, err error) {
	for _, text := range []string{f.Actor, f.Subject, string(f.Connection), f.Request, f.Text} {
		if !isText(text) {
			return nil, false, nil
		}
	}
	wheres, args := []string{""}, [][]any{nil} // of several queries that are put together
	switch {
	case f.Subject != "":
		if !validID(f.Subject) {
			return nil, false, nil
		}
		wheres[0], args[0] = ` AND subject_id = ?`, []any{f.Subject}
	case f.Actor != "":
		sync, err := r.syncs(ctx, tenant, f.Actor)
		if err != nil {
			return nil, false, err
		}
		if !sync {
			wheres[0], args[0] = ` AND actor_kind <> '`+ActorSCIM+`' AND actor_id = ?`, []any{f.Actor}
		}
	case len(f.Actions) > 0 && !slices.ContainsFunc(f.Actions, func(a string) bool { return slices.Contains(frequentActions, a) || !isText(a) }):
		wheres, args = nil, nil
		for _, a := range slices.Compact(slices.Sorted(slices.Values(f.Actions))) {
			wheres, args = append(wheres, ` AND `+infrequent+` AND action = ?`), append(args, []any{a})
		}
	}
	low, high := f.bounds()
	return func(after string, size int) (string, []any) {
		var queries []string
		var all []any
		for i, where := range wheres {
			query := `SELECT ` + changeSelection + ` FROM changes WHERE tenant_id = ?` + where
			all = append(append(all, tenant), args[i]...)
			if below := cmp.Or(after, high); below != "" {
				query, all = query+` AND id < ?`, append(all, below)
			}
			if low != "" {
				query, all = query+` AND id >= ?`, append(all, low)
			}
			queries, all = append(queries, query+` ORDER BY id DESC LIMIT ?`), append(all, size)
		}
		if len(queries) == 1 {
			return queries[0], all
		}
		return `SELECT * FROM (SELECT * FROM (` + strings.Join(queries, `) a UNION ALL SELECT * FROM (`) + `) a) a ORDER BY id DESC LIMIT ?`, append(all, size)
	}, true, nil
}

// bounds are between which ids the changes are; "" is no bound.
func (f AuditFilter) bounds() (low, high string) {
	if !f.From.IsZero() {
		low = firstIDAt(f.From.Add(-auditSkew))
	}
	if !f.Until.IsZero() {
		high = firstIDAt(f.Until.Add(auditSkew))
	}
	// Our own request ids say when the request came, and its changes are not long in
	// coming. A proxy's may be anything.
	if id, err := uuid.Parse(f.Request); err == nil && id.Version() == 7 {
		came := madeAt(f.Request)
		low, high = max(low, firstIDAt(came.Add(-time.Minute))), cmp.Or(high, firstIDAt(came.Add(auditSkew)))
	}
	return low, high
}

// syncs reports whether an actor is an identity provider's: a token, an access
// token or a connection.
func (r reader) syncs(ctx context.Context, tenant TenantID, actor string) (bool, error) {
	var found []string
	err := r.list(ctx, &found, `SELECT actor_id FROM changes WHERE tenant_id = ? AND actor_kind <> '`+ActorSCIM+`' AND actor_id = ? LIMIT 1`, tenant, actor)
	return len(found) == 0, err
}

// ActorName is what to call whoever made a change.
type ActorName struct {
	// Name is a person's, or the end of a token's secret; empty when there is nobody
	// of that id.
	Name string
	// Connection is that of a provider.
	Connection string
}

// ActorNames gives the names of those who made changes, by their ids: of people,
// also of those who are gone, and of tokens. Other actors are named by their id.
func (r reader) ActorNames(ctx context.Context, tenant TenantID, changes []Change) (map[string]ActorName, error) {
	names := map[string]ActorName{}
	people, tokens := map[string]bool{}, map[string]bool{}
	for _, c := range changes {
		switch {
		case c.ActorKind == ActorSCIM && validID(c.ActorID):
			tokens[c.ActorID] = true
		case c.ActorKind != ActorCLI && validID(c.ActorID):
			people[c.ActorID] = true
		}
	}
	called, err := r.names(ctx, tenant, sortedKeys(people))
	if err != nil {
		return nil, err
	}
	for id, name := range called {
		names[id] = ActorName{Name: name}
	}
	if len(tokens) == 0 {
		return names, nil
	}
	d := r.pool.dialect
	list := d.idList(sortedKeys(tokens))
	err = r.each(ctx, func(rows *sqlx.Rows) error {
		var id string
		var name ActorName
		err := rows.Scan(&id, &name.Name, &name.Connection)
		names[id] = name
		return err
	}, `SELECT w.id, w.hint, c.name FROM (
			SELECT id, hint, connection_id FROM tokens WHERE tenant_id = ? AND id IN (`+d.ids+`)
			UNION ALL SELECT id, hint, connection_id FROM access_tokens WHERE tenant_id = ? AND id IN (`+d.ids+`)
			UNION ALL SELECT id, '', id FROM connections WHERE tenant_id = ? AND id IN (`+d.ids+`)) w
		JOIN connections c ON c.tenant_id = ? AND c.id = w.connection_id`, tenant, list, tenant, list, tenant, list, tenant)
	return names, err
}

// names is what users, groups, sites, connections and products are called, by
// their ids; the last name of those that are gone.
func (r reader) names(ctx context.Context, tenant TenantID, ids []string) (map[string]string, error) {
	names := map[string]string{}
	if len(ids) == 0 {
		return names, nil
	}
	for _, query := range []string{
		// What is gone first, so that what is there stands in the end.
		`SELECT id, CASE WHEN display_name = '' THEN user_name ELSE display_name END FROM users_past WHERE tenant_id = ? AND id IN (%s) ORDER BY version`,
		`SELECT id, CASE WHEN display_name = '' THEN user_name ELSE display_name END FROM users WHERE tenant_id = ? AND id IN (%s)`,
		`SELECT id, display_name FROM groups_past WHERE tenant_id = ? AND id IN (%s) ORDER BY version`,
		`SELECT id, display_name FROM groups WHERE tenant_id = ? AND id IN (%s)`,
		`SELECT id, CASE WHEN name = '' THEN key ELSE name END FROM sites WHERE tenant_id = ? AND id IN (%s)`,
		`SELECT id, name FROM connections WHERE tenant_id = ? AND id IN (%s)`,
	} {
		err := r.each(ctx, func(rows *sqlx.Rows) error {
			var id, name string
			err := rows.Scan(&id, &name)
			if name != "" {
				names[id] = name
			}
			return err
		}, fmt.Sprintf(query, r.pool.dialect.ids), tenant, r.pool.dialect.idList(ids))
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}

func sortedKeys(set map[string]bool) []string {
	var all []string
	for k := range set {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// ChangeByID gives one change of a tenant.
func (r reader) ChangeByID(ctx context.Context, tenant TenantID, id ChangeID) (Change, error) {
	var c Change
	if !validID(string(id)) {
		return c, fmt.Errorf("change %q: %w", id, ErrNotFound)
	}
	err := r.get(ctx, &c, `SELECT `+changeSelection+` FROM changes WHERE tenant_id = ? AND id = ?`, tenant, id)
	if err != nil {
		return c, fmt.Errorf("change %s: %w", id, err)
	}
	return c, nil
}
