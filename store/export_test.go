package store

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
