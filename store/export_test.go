package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// SetClock puts the clock of this machine wrong.
func (s *Store) SetClock(now func() time.Time) { s.now = now }

// SetSteps changes how many members are changed at a time.
func (s *Store) SetSteps(whole, step, part int) *Store {
	s.sizes = stepSizes{whole, step, part}
	return s
}

// Forget removes what was written down of a change that never began.
func (s *Store) Forget(ctx context.Context, actor Actor, change ChangeID) error {
	return s.forget(ctx, &steps{conn: ConnectionRef{Tenant: actor.Tenant}, actor: actor, change: change})
}

// NoteMigration notes that a migration was made, as Migrate does on SQLite.
func NoteMigration(ctx context.Context, db *sql.DB, version int64) error {
	versions, err := database.NewStore(sqliteDialect.goose, goose.DefaultTablename)
	if err != nil {
		return err
	}
	return onlyOnce{versions}.Insert(ctx, db, database.InsertRequest{Version: version})
}

// UpdateAtOnce changes members by one statement, and reports whether it did.
func (s *Store) UpdateAtOnce(ctx context.Context, actor Actor, c ConnectionRef, id GroupID, change func(Group) (Group, MemberDelta, error)) (Group, MembersResult, bool, error) {
	return s.updateTogether(ctx, actor, c, id, change)
}

// AtGroup is how many are at a group together.
func (s *Store) AtGroup(c ConnectionRef, id GroupID) int {
	s.callers.mu.Lock()
	defer s.callers.mu.Unlock()
	if at := s.callers.of[groupRef{c, id}]; at != nil {
		return at.n
	}
	return 0
}

// UsersQuery is the SQL that Users asks for a page with.
func (s *Store) UsersQuery(c ConnectionRef, q Query) (query string, args []any) {
	query, args = s.pageQuery(c, q, `SELECT `+userColumns, userIndex)
	return s.pool.db.Rebind(query), args
}

// GroupsQuery is the SQL that Groups asks for a page with.
func (s *Store) GroupsQuery(c ConnectionRef, q Query) (query string, args []any) {
	query, args = s.pageQuery(c, q, `SELECT `+groupColumns, groupIndex)
	return s.pool.db.Rebind(query), args
}

// SubjectQueries are the SQL that Subject asks with, and the look of whoever takes
// somebody away.
func (s *Store) SubjectQueries(tenant TenantID, who Who) (queries []string, args []any) {
	from, args, err := who.find(tenant)
	if err != nil {
		panic(err)
	}
	for _, columns := range []string{subjectColumns, subjectColumns + withinColumn} {
		queries = append(queries, s.pool.db.Rebind(`SELECT `+columns+` FROM `+from))
	}
	return queries, forTenant(tenant, args)
}

// SessionQuery is the SQL that Session asks with.
func (s *Store) SessionQuery(secret string) (query string, args []any) {
	return s.pool.db.Rebind(sessionQuery), append([]any{hashSecret(secret)}, s.live()...)
}

// RecordQueries are the SQL behind the pages of a person and a group, and the list of
// groups from a place on.
func (s *Store) RecordQueries(c ConnectionRef, user UserID, group GroupRow) map[string]func() (string, []any) {
	rebound := func(query string, args []any) func() (string, []any) {
		for i, arg := range args {
			if list, ok := arg.(pq.StringArray); ok {
				args[i], _ = list.Value()
			}
		}
		return func() (string, []any) { return s.pool.db.Rebind(query), args }
	}
	return map[string]func() (string, []any){
		"memberships":     rebound(membershipsQuery, []any{c.Tenant, user, c.Tenant, user, 20}),
		"person timeline": rebound(timelineQuery(c.Tenant, string(user), lastID, 20, personTimeline)),
		"group timeline":  rebound(timelineQuery(c.Tenant, string(group.ID), lastID, 20, groupTimeline)),
		"group list":      rebound(s.groupsQuery(c.Tenant, c.ID, GroupFilter{}, false, group.Key(), 5)),
	}
}

// GuardQuery is the SQL with which a user's removal looks for rights in the console.
func (s *Store) GuardQuery() string { return s.pool.db.Rebind(guardQuery) }

// AuditQuery is the SQL that Audit finds changes with.
func (s *Store) AuditQuery(ctx context.Context, tenant TenantID, f AuditFilter) (query string, args []any) {
	find, _, err := s.auditQuery(ctx, tenant, f)
	if err != nil {
		panic(err)
	}
	query, args = find("", 20)
	return s.pool.db.Rebind(query), args
}

// Waiting is how many writes wait for others to end.
func (s *Store) Waiting() int {
	s.batch.mu.Lock()
	defer s.batch.mu.Unlock()
	return len(s.batch.queue)
}

// MaxStatements is how many statements are prepared for all.
const MaxStatements = maxStatements

// Prepared is how many there are by now.
func (s *Store) Prepared() int {
	s.pool.mu.RLock()
	defer s.pool.mu.RUnlock()
	return len(s.pool.stmts)
}

// Walk runs a query and calls f while its rows are open.
func (tx *Tx) Walk(ctx context.Context, f func(), query string) error {
	return tx.each(ctx, func(*sqlx.Rows) error { f(); return nil }, query)
}

// MigrateDown takes a database back to an older schema.
func MigrateDown(ctx context.Context, url string, version int64) error {
	d, err := dialectOf(url)
	if err != nil {
		return err
	}
	_, write, err := d.open(url, Options{})
	if err != nil {
		return err
	}
	defer write.close()
	p, err := provider(write.db.DB, d, true)
	if err != nil {
		return err
	}
	_, err = p.DownTo(ctx, version)
	return err
}
