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
	// Text is what somebody types who looks for somebody. Each of its words is how a
	// word of the display name, or of the user name up to an @, begins. With an @ it is
	// how the user name begins, or an e-mail address. Case doesn't matter.
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
// through all in the order of names. With a word that no more than maxCommon have,
// it is still quicker to look at those. Of what more have, firstLook times as many
// people as a page has room for mostly fill it.
const (
	maxWords  = 8
	maxFew    = 2000
	maxCommon = 8000
	firstLook = 100
)

// PeopleList is a list of people: those whom a filter picks. To make it, the store
// looks whether some part of the filter is about few people; then the list is made
// from those, and otherwise by going through all by name.
type PeopleList struct {
	store       *Store
	dialect     *dialect
	tenant      TenantID
	connections []ConnectionID
	// parts are what everybody on the list fulfils. Lead is the one that the list is
	// counted from, and made from if that is sorted; nil if that is everybody.
	parts  []*part
	lead   *part
	sorted bool
	// common says that so many may be in the lead that it is only made from that when
	// a first look hasn't found enough.
	common bool
	// nobody says that they are none at all.
	nobody bool
}

// part is one of the conditions of a list.
type part struct {
	// where is what a user u must fulfil.
	where clause
	// ids is a query for those who may fulfil it: for nobody else, if it is exact. All
	// of them are there, some more than once. It is empty where there is none.
	ids   clause
	exact bool
	// word is the one that the users are found by, if more than a few have it: first
	// those whose display names begin with it, which an index has in order.
	word string
}

// People makes the list of the people of a tenant whom a filter picks.
func (s *Store) People(ctx context.Context, tenant TenantID, f PeopleFilter) (*PeopleList, error) {
	l := &PeopleList{store: s, dialect: s.pool.dialect, tenant: tenant}
	if !isText(f.Text) || f.Connection != "" && !validID(string(f.Connection)) {
		l.nobody = true
		return l, nil
	}
	if f.Connection != "" {
		l.connections = []ConnectionID{f.Connection}
		in := &part{}
		in.where.add(`u.connection_id = ?`, f.Connection)
		l.parts = append(l.parts, in)
	} else if err := s.list(ctx, &l.connections, `SELECT id FROM connections WHERE tenant_id = ? ORDER BY id`, tenant); err != nil {
		return nil, err
	}
	l.nobody = len(l.connections) == 0
	switch text, typed := strings.TrimSpace(Fold(f.Text)), words(Fold(f.Text)); {
	case text == "":
	case strings.Contains(text, "@"):
		l.parts = append(l.parts, l.addressed(text))
	case len(typed) == 0:
		l.nobody = true
		return l, nil
	default:
		named, err := l.named(ctx, typed[:min(len(typed), maxWords)])
		if err != nil {
			return nil, err
		}
		l.parts, l.sorted = append(l.parts, named), true
	}
	for _, a := range f.Among {
		if a.Everyone {
			continue
		}
		among, err := l.among(ctx, a)
		if err != nil {
			return nil, err
		}
		l.parts = append(l.parts, among)
	}
	if f.State != "" {
		l.parts = append(l.parts, l.in(f.State, At(s.now())))
	}
	return l, l.narrow(ctx)
}

// narrow looks for a part that few people fulfil.
func (l *PeopleList) narrow(ctx context.Context) error {
	for i, p := range l.parts {
		if p.ids.text.Len() == 0 {
			continue
		}
		if l.lead == nil {
			l.lead = p
		}
		if p.word != "" {
			continue // more than a few
		}
		var ids []string
		err := l.store.list(ctx, &ids, `SELECT i.id FROM (`+p.ids.text.String()+`) i LIMIT ?`, append(slices.Clip(p.ids.args), maxFew+1)...)
		if err != nil {
			return err
		}
		if len(ids) <= maxFew {
			l.lead, l.sorted, l.common, l.nobody = &part{exact: true}, true, false, len(ids) == 0
			l.lead.ids.add(l.dialect.idRows, l.dialect.idList(ids))
			if p.exact {
				l.parts = slices.Delete(l.parts, i, i+1)
			}
			return nil
		}
	}
	return nil
}

// Page gives people by display name, at most limit of them behind a place, with
// what it takes to decide about each: all as fresh as one snapshot. The policy is
// nil when nobody is found.
func (l *PeopleList) Page(ctx context.Context, after PeopleKey, limit int) ([]Somebody, *access.Policy, error) {
	if l.nobody || limit <= 0 {
		return nil, nil, nil
	}
	if after.ID != "" && !validID(string(after.ID)) || !isText(after.Name) {
		return nil, nil, fmt.Errorf("after %q: %w", after.ID, ErrNotFound)
	}
	if l.common {
		query := l.page(after, limit, firstLook*limit)
		found, policy, err := l.store.somebodies(ctx, l.tenant, false, query.text.String(), query.args...)
		if err != nil || len(found) == limit {
			return found, policy, err
		}
	}
	query := l.page(after, limit, 0)
	return l.store.somebodies(ctx, l.tenant, false, query.text.String(), query.args...)
}

// Count counts the list, up to most; one more means that it is longer.
func (l *PeopleList) Count(ctx context.Context, most int) (n int, err error) {
	if l.nobody {
		return 0, nil
	}
	where := l.where(l.lead)
	if l.lead != nil && where.text.Len() == 0 {
		return l.countLead(ctx, most)
	}
	w := &clause{}
	if l.lead == nil {
		w.add(`users u WHERE u.tenant_id = ?`, l.tenant)
		w.put(where)
	} else {
		w.put(l.led(where))
	}
	w.add(` LIMIT ?`, most+1)
	err = l.store.get(ctx, &n, `SELECT COUNT(*) FROM (SELECT 1 FROM `+w.text.String()+`) n`, w.args...)
	return n, err
}

// countLead counts those of the lead. Twice as many rows as people are wanted have
// enough of them in it, unless many come more often than twice: PostgreSQL would read
// all rows before it counts the first.
func (l *PeopleList) countLead(ctx context.Context, most int) (int, error) {
	var rows, people int
	for limit := 2 * (most + 1); ; limit *= 10 {
		err := l.store.row(ctx, []any{&rows, &people}, `SELECT COUNT(*), COUNT(DISTINCT n.id) FROM (SELECT i.id FROM (`+l.lead.ids.text.String()+`) i LIMIT ?) n`,
			append(slices.Clip(l.lead.ids.args), limit)...)
		if err != nil || rows < limit || people > most {
			return min(people, most+1), err
		}
	}
}

// addressed is about those whose user name begins like an e-mail address, or whose
// address it is.
func (l *PeopleList) addressed(address string) *part {
	const of = ` FROM connections c CROSS JOIN `
	const begins, equals = `u.user_name_key >= ? AND u.user_name_key <= ?`, `e.value_key = ?`
	p := &part{exact: true}
	p.ids.add(`SELECT u.id`+of+`users u WHERE c.tenant_id = ? AND u.tenant_id = c.tenant_id AND u.connection_id = c.id AND `+begins+`
		UNION ALL SELECT e.user_id`+of+`user_emails e WHERE c.tenant_id = ? AND e.tenant_id = c.tenant_id AND e.connection_id = c.id AND `+equals,
		l.tenant, address, address+lastRune, l.tenant, address)
	p.where.add(`(`+begins+` OR EXISTS (SELECT 1 FROM user_emails e WHERE e.tenant_id = u.tenant_id AND e.user_id = u.id AND `+equals+`))`,
		address, address+lastRune, address)
	return p
}

// named is about those whose names have a word that begins like each of some.
func (l *PeopleList) named(ctx context.Context, words []string) (*part, error) {
	spelled := make([][]string, len(words))
	for i, word := range words {
		var err error
		if spelled[i], err = l.spelled(ctx, word); err != nil {
			return nil, err
		}
	}
	sought, n, err := l.sought(ctx, spelled)
	if err != nil {
		return nil, err
	}
	p := &part{exact: len(sought) == len(words)}
	if len(sought[0]) == 1 && (l.common || len(sought) == 1) && n > maxFew {
		p.word, p.exact = sought[0][0], len(words) == 1
	}
	for i, word := range sought {
		query, args := usersBegunBy(l.tenant, word)
		p.ids.add([2]string{``, ` INTERSECT `}[min(i, 1)]+`SELECT id FROM (`+query+fmt.Sprintf(`) w%d`, i), args...)
	}
	for i, word := range spelled {
		p.where.add([2]string{`(`, ` AND (`}[min(i, 1)])
		for j, one := range word {
			p.where.add([2]string{``, ` OR `}[min(j, 1)]+l.dialect.hasWord, l.dialect.wordPattern(one))
		}
		p.where.add(`)`)
	}
	return p, nil
}

// spelled is how a word may be spelled, if anybody's name has another spelling of it:
// mostly nobody's has, and then those needn't be looked for.
func (l *PeopleList) spelled(ctx context.Context, word string) ([]string, error) {
	all := spellings(word)
	if len(all) == 1 {
		return all, nil
	}
	var n int
	query, args := usersBegunBy(l.tenant, all[1:])
	err := l.store.get(ctx, &n, `SELECT COUNT(*) FROM (SELECT id FROM (`+query+`) w LIMIT 1) n`, args...)
	if n == 0 {
		all = all[:1]
	}
	return all, err
}

// sought picks the words to look for in the indexes, each with its spellings: the
// first that few have, or those that not everybody has. It counts how often the last of
// them comes, up to one more than maxCommon.
func (l *PeopleList) sought(ctx context.Context, words [][]string) (sought [][]string, times int, err error) {
	for _, word := range slices.SortedFunc(slices.Values(words), func(a, b []string) int { return cmp.Compare(len(b[0]), len(a[0])) }) {
		var n int
		query, args := usersBegunBy(l.tenant, word)
		err := l.store.get(ctx, &n, `SELECT COUNT(*) FROM (SELECT id FROM (`+query+`) w LIMIT ?) n`, append(args, maxCommon+1)...)
		switch {
		case err != nil:
			return nil, 0, err
		case n <= maxFew:
			return [][]string{word}, n, nil
		case n <= maxCommon:
			sought, times = append(sought, word), n
		}
	}
	if len(sought) == 0 {
		l.common, sought, times = true, words, maxCommon+1
	}
	return sought, times, nil
}

// among is about an audience.
func (l *PeopleList) among(ctx context.Context, a access.Audience) (*part, error) {
	d := l.dialect
	var within []string
	err := l.store.list(ctx, &within, `WITH RECURSIVE within (id) AS (`+d.ids+`
			UNION SELECT s.member_id FROM within JOIN subgroups s ON s.tenant_id = ? AND s.group_id = within.id)
		SELECT id FROM within`, d.idList(texts(a.Groups)), l.tenant)
	if err != nil {
		return nil, err
	}
	groups, users := d.idList(within), d.idList(valid(texts(a.Users)))
	p := &part{exact: true}
	p.ids.add(`SELECT m.user_id AS id FROM (`+d.idRows+`) g JOIN members m ON m.tenant_id = ? AND m.group_id = g.id
		UNION ALL SELECT u.id FROM (`+d.idRows+`) w `+d.each("users", `u.tenant_id = ? AND u.id = w.id`), groups, l.tenant, users, l.tenant)
	// With IS TRUE, or SQLite would look for each of the groups in the index, for each
	// user, and PostgreSQL compare each of hers with each of them, instead of making a
	// table of them once; with an OFFSET, or PostgreSQL would read all members before it
	// looks for one user.
	p.where.add(`(EXISTS (SELECT 1 FROM members m WHERE m.tenant_id = u.tenant_id AND m.user_id = u.id
			AND (m.group_id IN (`+d.ids+`)) IS TRUE LIMIT 1 OFFSET 0)
		OR u.id IN (`+d.ids+`))`, groups, users)
	return p, nil
}

// in is about a state.
func (l *PeopleList) in(state PersonState, now Instant) *part {
	p := &part{exact: true}
	keptOut := func(why string, args ...any) {
		query := ` FROM people p CROSS JOIN users u WHERE p.tenant_id = ? AND ` + why + ` AND u.tenant_id = p.tenant_id AND u.id = p.user_id`
		p.ids.add(`SELECT u.id`+query, append([]any{l.tenant}, args...)...)
		p.where.add(`EXISTS (SELECT 1 FROM people p WHERE p.tenant_id = u.tenant_id AND p.user_id = u.id AND `+why+`)`, args...)
	}
	switch state {
	case PersonLive:
		p.where.add(`u.active AND `+said("login_allowed", "TRUE")+` AND (`+said("expires_at", "0")+` = 0 OR `+said("expires_at", "0")+` > ?)`, now)
	case PersonInactive:
		p.where.add(`NOT u.active`)
	case PersonBlocked:
		keptOut(`NOT p.login_allowed`)
	case PersonExpired:
		keptOut(`p.expires_at <> 0 AND p.expires_at <= ?`, now)
	default:
		p.where.add(`TRUE`)
	}
	return p
}

// where is what a user u must fulfil, besides what the lead says exactly, each part
// after an AND.
func (l *PeopleList) where(lead *part) *clause {
	w := &clause{}
	for _, p := range l.parts {
		if p != lead || !p.exact {
			w.add(` AND `)
			w.put(&p.where)
		}
	}
	return w
}

// led is the rest of a query for those of the lead's users u who fulfil a condition.
func (l *PeopleList) led(where *clause) *clause {
	w := &clause{}
	if word := l.lead.word; word != "" {
		w.add(`(`+userRow+usersByDisplayName+` UNION ALL `, l.tenant, word, word+lastRune)
		w.put(l.calledOtherwise(word))
		w.add(`) u WHERE TRUE`)
		w.put(where)
		return w
	}
	w.add(`(SELECT DISTINCT i.id FROM (`)
	w.put(&l.lead.ids)
	w.add(`) i) w `+l.dialect.each("users", `u.tenant_id = ? AND u.id = w.id`+where.text.String()), l.tenant)
	w.args = append(w.args, where.args...)
	return w
}

// calledOtherwise is a query for what parts look at of the users who have a word
// anywhere but in front of their display names: each once.
func (l *PeopleList) calledOtherwise(word string) *clause {
	const not = ` AND NOT (` + displayNameBetween + `)`
	w, last := &clause{}, word+lastRune
	w.add(userRow+usersByUserName+not, l.tenant, word, last, word, last)
	w.add(` UNION ALL `+userRow+` FROM (SELECT DISTINCT w.user_id AS id`+usersByOtherWord+`) w `+
		l.dialect.each("users", `u.tenant_id = ? AND u.id = w.id`+not+` AND NOT (`+userNameBetween+`)`),
		l.tenant, word, last, l.tenant, word, last, word, last)
	return w
}

// page is the rest of a query for the users u of a page, or, if look isn't 0, for
// those of the next so many people who are on it.
func (l *PeopleList) page(after PeopleKey, limit, look int) *clause {
	const order = ` ORDER BY u.display_name_key, u.id LIMIT `
	behind := &clause{}
	if after.ID != "" {
		// The first comparison is for SQLite, which looks only that up in the index.
		behind.add(` AND u.display_name_key >= ? AND (u.display_name_key > ? OR u.id > ?)`, after.Name, after.Name, after.ID)
	}
	w := &clause{}
	w.add(`(SELECT id FROM (`)
	switch {
	case look > 0:
		// Those looked at are read once: what parts look at comes along.
		w.add(`SELECT u.id, u.display_name_key FROM (SELECT * FROM (`)
		w.put(l.byName(userRow, behind, look))
		w.add(`) l ORDER BY display_name_key, id LIMIT `)
		w.limit(look)
		w.add(`) u WHERE TRUE`)
		w.put(l.where(nil))
	case l.sorted && l.lead.word != "":
		// Those whose display names begin with the word are in order: the first few are
		// enough of them.
		word, where := l.lead.word, l.where(l.lead)
		where.put(behind)
		first := &clause{}
		first.add(` AND `+displayNameBetween, word, word+lastRune)
		first.put(where)
		w.put(l.byName(namesOfUser, first, limit))
		w.add(` UNION ALL SELECT u.id, u.display_name_key FROM (`)
		w.put(l.calledOtherwise(word))
		w.add(`) u WHERE TRUE`)
		w.put(where)
	case l.sorted:
		where := l.where(l.lead)
		where.put(behind)
		w.add(namesOfUser + ` FROM `)
		w.put(l.led(where))
		w.add(order)
		w.limit(limit)
	default:
		where := l.where(nil)
		where.put(behind)
		w.put(l.byName(namesOfUser, where, limit))
	}
	w.add(`) l ORDER BY display_name_key, id LIMIT `)
	w.limit(limit)
	w.add(`) w `+l.dialect.each("users", `u.tenant_id = ? AND u.id = w.id`), l.tenant)
	w.add(order)
	w.limit(limit)
	return w
}

// byName is a query for what is picked of the first users u of all connections who
// fulfil a condition. An index has the names of each connection in order, so that they
// are merged.
func (l *PeopleList) byName(pick string, where *clause, limit int) *clause {
	w := &clause{}
	for i, connection := range l.connections {
		w.add([2]string{``, ` UNION ALL `}[min(i, 1)]+`SELECT * FROM (`+pick+`
			FROM users u WHERE u.tenant_id = ? AND u.connection_id = ?`, l.tenant, connection)
		w.put(where)
		w.add(` ORDER BY u.display_name_key, u.id LIMIT `)
		w.limit(limit)
		w.add(fmt.Sprintf(`) c%d`, i))
	}
	return w
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
