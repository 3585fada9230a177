package store

import "context"

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
	return queries, args
}

// SessionQuery is the SQL that Session asks with.
func (s *Store) SessionQuery(secret string) (query string, args []any) {
	return s.pool.db.Rebind(sessionQuery), append([]any{hashSecret(secret)}, s.live()...)
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
