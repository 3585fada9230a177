package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"gatehouse/access"
)

// PeopleFilter says which people of a tenant to list; the zero one picks all.
type PeopleFilter struct {
	// Text is what somebody types who looks for somebody: each of its words is part
	// of the display name or the user name, or all of it is an e-mail address. Case
	// doesn't matter.
	Text       string
	Connection ConnectionID
	State      PersonState
	// Among are sets of grantees; whoever is listed is in each of them, by herself or
	// through her groups.
	Among []access.Audience
}

// PersonState is whether an account is live, or why not.
type PersonState string

// The states of a person.
const (
	PersonLive     PersonState = "live"
	PersonInactive PersonState = "inactive" // the identity provider says so
	PersonBlocked  PersonState = "blocked"  // we say so
	PersonExpired  PersonState = "expired"
)

// PersonStates are all of them.
func PersonStates() []PersonState {
	return []PersonState{PersonLive, PersonInactive, PersonBlocked, PersonExpired}
}

// PeopleKey is a place in the list of people: behind the one of that name and id.
// The zero PeopleKey is before all.
type PeopleKey struct {
	Name string `json:"n"` // folded
	ID   UserID `json:"i"`
}

// Key is the person's place in the list of people.
func (s Somebody) Key() PeopleKey {
	return PeopleKey{Name: Fold(s.DisplayName), ID: UserID(s.ID)}
}

// maxWords bounds what a text is looked for by. maxFew is how many people a list is
// made from by looking at each; whoever is one of more is soon found by going
// through all in the order of names.
const (
	maxWords = 5
	maxFew   = 2000
)

// PeopleList is a list of people: those whom a filter picks. To make it, the store
// looks whether some part of the filter is about few people; then the list is made
// from those, and otherwise by going through all by name.
type PeopleList struct {
	filter      PeopleFilter
	words       []string
	store       *Store
	dialect     *dialect
	tenant      TenantID
	now         Instant
	connections []ConnectionID
	few         []string
	isFew       bool
}

// People makes the list of the people of a tenant whom a filter picks.
func (s *Store) People(ctx context.Context, tenant TenantID, f PeopleFilter) (*PeopleList, error) {
	l := &PeopleList{filter: f, store: s, dialect: s.pool.dialect, tenant: tenant, now: At(s.now())}
	if !isText(f.Text) || f.Connection != "" && !validID(string(f.Connection)) {
		l.isFew = true // none
		return l, nil
	}
	l.words = strings.Fields(Fold(f.Text))
	l.words = l.words[:min(len(l.words), maxWords)]
	l.filter.Among = slices.DeleteFunc(slices.Clone(f.Among), func(a access.Audience) bool { return a.Everyone })
	if f.Connection != "" {
		l.connections = []ConnectionID{f.Connection}
	} else if err := s.list(ctx, &l.connections, `SELECT id FROM connections WHERE tenant_id = ? ORDER BY id`, tenant); err != nil {
		return nil, err
	}
	l.isFew = len(l.connections) == 0
	return l, l.narrow(ctx)
}

// nobody reports whether the list is known to be empty.
func (l *PeopleList) nobody() bool { return l.isFew && len(l.few) == 0 }

// Page gives people by display name, at most limit of them behind a place, with
// what it takes to decide about each: all as fresh as one snapshot. The policy is
// nil when nobody is found.
func (l *PeopleList) Page(ctx context.Context, after PeopleKey, limit int) ([]Somebody, *access.Policy, error) {
	if l.nobody() || limit <= 0 {
		return nil, nil, nil
	}
	if after.ID != "" && !validID(string(after.ID)) || !isText(after.Name) {
		return nil, nil, fmt.Errorf("after %q: %w", after.ID, ErrNotFound)
	}
	query, args := l.page(after, limit)
	return l.store.somebodies(ctx, l.tenant, false, query, args...)
}

// Count counts the list, up to most; one more means that it is longer.
func (l *PeopleList) Count(ctx context.Context, most int) (n int, err error) {
	if l.nobody() {
		return 0, nil
	}
	w := l.where(false)
	w.add(` LIMIT ?`, most+1)
	err = l.store.get(ctx, &n, `SELECT COUNT(*) FROM (SELECT 1 FROM users u WHERE u.tenant_id = ?`+w.text.String()+`) n`, append([]any{l.tenant}, w.args...)...)
	return n, err
}

// narrow looks for a part of the filter that few people fulfil.
func (l *PeopleList) narrow(ctx context.Context) error {
	words := slices.SortedFunc(slices.Values(l.words), func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for _, word := range words {
		if err := l.narrowByWord(ctx, word); err != nil || l.isFew {
			return err
		}
	}
	for i, among := range l.filter.Among {
		query, args := l.among(among)
		if err := l.narrowBy(ctx, query, args); err != nil {
			return err
		}
		if l.isFew {
			l.filter.Among = slices.Delete(l.filter.Among, i, i+1)
			return nil
		}
	}
	if l.filter.State == PersonInactive && !l.isFew {
		// In the order of ids, which is about that of the rows: another index would jump
		// about the table.
		query, args := l.each(`SELECT u.id FROM users u WHERE u.tenant_id = ? AND u.connection_id = ? AND u.id > ? AND NOT u.active`, zeroID)
		return l.narrowBy(ctx, query, args)
	}
	return nil
}

// narrowBy takes the ids that a query gives, if they are few.
func (l *PeopleList) narrowBy(ctx context.Context, query string, args []any) error {
	var ids []string
	err := l.store.list(ctx, &ids, `SELECT w.id FROM (`+query+`) w LIMIT ?`, append(args, maxFew+1)...)
	if err == nil && len(ids) <= maxFew {
		l.few, l.isFew = ids, true
	}
	return err
}

// narrowByWord looks for a word in the indexes of the names, which are much smaller
// than the table, and then for whose names those are.
func (l *PeopleList) narrowByWord(ctx context.Context, word string) error {
	whole := &clause{}
	for _, column := range []string{"u.display_name_key", "u.user_name_key"} {
		var keys []string
		query, args := l.each(`SELECT `+column+` AS k FROM users u WHERE u.tenant_id = ? AND u.connection_id = ? AND `+l.dialect.contains(column), word)
		err := l.store.list(ctx, &keys, `SELECT w.k FROM (`+query+`) w LIMIT ?`, append(args, maxFew+1)...)
		if err != nil || len(keys) > maxFew {
			return err
		}
		query, args = l.each(`SELECT u.id FROM users u WHERE u.tenant_id = ? AND u.connection_id = ? AND `+column+` IN (`+l.dialect.texts+`)`, l.dialect.idList(keys))
		whole.add(query+` UNION `, args...)
	}
	// Whose e-mail address is something else than both names.
	whole.add(`SELECT e.user_id FROM connections c CROSS JOIN user_emails e
		WHERE c.tenant_id = ? AND e.tenant_id = c.tenant_id AND e.connection_id = c.id AND e.value_key = ?`, l.tenant, l.address())
	return l.narrowBy(ctx, whole.text.String(), whole.args)
}

// address is the text, if it were an e-mail address.
func (l *PeopleList) address() string { return Fold(strings.TrimSpace(l.filter.Text)) }

// each is a query of one connection, which comes behind the tenant in its
// parameters, for each of them.
func (l *PeopleList) each(query string, more ...any) (string, []any) {
	var all []string
	var args []any
	for _, connection := range l.connections {
		all = append(all, query)
		args = append(append(args, l.tenant, connection), more...)
	}
	return strings.Join(all, ` UNION ALL `), args
}

// among is a query for the ids of an audience.
func (l *PeopleList) among(a access.Audience) (string, []any) {
	return `WITH RECURSIVE within (id) AS (` + l.dialect.ids + `
			UNION SELECT s.member_id FROM within JOIN subgroups s ON s.tenant_id = ? AND s.group_id = within.id)
		SELECT m.user_id AS id FROM within JOIN members m ON m.tenant_id = ? AND m.group_id = within.id
		UNION ` + l.dialect.idRows,
		[]any{l.dialect.idList(texts(a.Groups)), l.tenant, l.tenant, l.dialect.idList(texts(a.Users))}
}

// where is what a user u must fulfil, each part after an AND. By name means that
// few are asked before the page is full.
func (l *PeopleList) where(byName bool) *clause {
	w := &clause{dialect: l.dialect}
	if l.isFew {
		w.add(` AND u.id IN (`+l.dialect.ids+`)`, l.dialect.idList(l.few))
	}
	if l.filter.Connection != "" {
		w.add(` AND u.connection_id = ?`, l.filter.Connection)
	}
	for _, among := range l.filter.Among {
		if !byName && !l.isFew {
			query, args := l.among(among)
			w.add(` AND u.id IN (SELECT w.id FROM (`+query+`) w)`, args...)
			continue
		}
		w.add(` AND (EXISTS (WITH RECURSIVE above (id) AS (
				SELECT m.group_id FROM members m WHERE m.tenant_id = u.tenant_id AND m.user_id = u.id
				UNION SELECT s.group_id FROM above JOIN subgroups s ON s.tenant_id = u.tenant_id AND s.member_id = above.id)
			SELECT 1 FROM above WHERE above.id IN (`+l.dialect.ids+`)) OR u.id IN (`+l.dialect.ids+`))`,
			l.dialect.idList(texts(among.Groups)), l.dialect.idList(texts(among.Users)))
	}
	switch l.filter.State {
	case PersonLive:
		w.add(` AND u.active AND `+said("login_allowed", "TRUE")+` AND (`+said("expires_at", "0")+` = 0 OR `+said("expires_at", "0")+` > ?)`, l.now)
	case PersonInactive:
		w.add(` AND NOT u.active`)
	case PersonBlocked:
		w.add(` AND u.id IN (SELECT p.user_id FROM people p WHERE p.tenant_id = ? AND NOT p.login_allowed)`, l.tenant)
	case PersonExpired:
		w.add(` AND u.id IN (SELECT p.user_id FROM people p WHERE p.tenant_id = ? AND p.expires_at <> 0 AND p.expires_at <= ?)`, l.tenant, l.now)
	}
	if len(l.words) == 0 {
		return w
	}
	w.add(` AND (TRUE`)
	for _, word := range l.words {
		w.add(` AND (`+l.dialect.contains("u.display_name_key")+` OR `+l.dialect.contains("u.user_name_key")+`)`, word, word)
	}
	w.add(` OR EXISTS (SELECT 1 FROM user_emails e WHERE e.tenant_id = u.tenant_id AND e.user_id = u.id AND e.value_key = ?))`, l.address())
	return w
}

// page is the rest of a query for the users u of a page. An index has the names of
// each connection in order, so that the pages of all connections are merged.
func (l *PeopleList) page(after PeopleKey, limit int) (string, []any) {
	const order = ` ORDER BY u.display_name_key, u.id LIMIT `
	where := l.where(true)
	behind := &clause{}
	if after.ID != "" {
		// The first comparison is for SQLite, which looks only that up in the index.
		behind.add(` AND u.display_name_key >= ? AND (u.display_name_key > ? OR u.id > ?)`, after.Name, after.Name, after.ID)
	}
	all := &clause{}
	one := func(of string, args ...any) {
		all.add(`SELECT u.id, u.display_name_key FROM users u WHERE u.tenant_id = ?`+of, append([]any{l.tenant}, args...)...)
		all.add(where.text.String(), where.args...)
		all.add(behind.text.String(), behind.args...)
		all.add(order)
		all.limit(limit)
	}
	if l.isFew {
		one(``)
	} else {
		for i, connection := range l.connections {
			all.add([2]string{`SELECT id, display_name_key FROM (`, ` UNION ALL SELECT id, display_name_key FROM (`}[min(i, 1)])
			one(` AND u.connection_id = ?`, connection)
			all.add(fmt.Sprintf(`) c%d`, i))
		}
	}
	page := &clause{}
	page.add(`(SELECT id FROM (`+all.text.String()+`) l ORDER BY display_name_key, id LIMIT `, all.args...)
	page.limit(limit)
	page.add(`) l CROSS JOIN users u WHERE u.tenant_id = ? AND u.id = l.id ORDER BY u.display_name_key, u.id`, l.tenant)
	return page.text.String(), page.args
}

// ConnectionSizes are how many users and groups each connection of a tenant has:
// what was counted when they came and went, so that it costs the same for a million.
func (r reader) ConnectionSizes(ctx context.Context, tenant TenantID) (map[ConnectionID]ConnectionCounts, error) {
	var rows []struct {
		Connection ConnectionID `db:"connection_id"`
		Kind       string       `db:"kind"`
		N          int          `db:"n"`
	}
	err := r.list(ctx, &rows, `SELECT connection_id, kind, SUM(created - deleted) AS n FROM sizes WHERE tenant_id = ? GROUP BY connection_id, kind`, tenant)
	sizes := map[ConnectionID]ConnectionCounts{}
	for _, row := range rows {
		of := sizes[row.Connection]
		if row.Kind == "user" {
			of.Users = row.N
		} else {
			of.Groups = row.N
		}
		sizes[row.Connection] = of
	}
	return sizes, err
}
