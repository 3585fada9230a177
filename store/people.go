package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

// The actions on what we say of people.
const (
	PersonLoginBlocked  = "person.login_blocked"
	PersonLoginAllowed  = "person.login_allowed"
	PersonExpiryChanged = "person.expiry_changed"
	PersonChanged       = "person.changed"
)

// Person is what we say of a user, beside what the identity provider says: SCIM
// neither sees nor changes it.
type Person struct {
	// LoginAllowed is false for whoever was blocked here; a provider that activates
	// the user doesn't change that.
	LoginAllowed bool        `json:"loginAllowed"`
	Kind         access.Kind `json:"kind"`
	// ExpiresAt ends the account; the zero time never does.
	ExpiresAt time.Time `json:"expiresAt,omitzero"`
	// Sponsor is the user who answers for a guest; may be empty.
	Sponsor UserID `json:"sponsor,omitempty"`
}

// said is a column of what we say of a user u, or what stands where there is
// nothing to say. On SQLite a look-up is much cheaper than an outer join.
func said(column, otherwise string) string {
	return `COALESCE((SELECT p.` + column + ` FROM people p WHERE p.tenant_id = u.tenant_id AND p.user_id = u.id), ` + otherwise + `)`
}

// personColumn is what decides of what we say of a user u, for a readPerson: one
// look-up and one text, since each column takes a database about as long as a row.
const personColumn = `(SELECT CAST(p.login_allowed AS text) || ' ' || CAST(p.expires_at AS text) || ' ' || p.kind
	FROM people p WHERE p.tenant_id = u.tenant_id AND p.user_id = u.id)`

// readPerson scans personColumn.
type readPerson struct{ *access.Person }

func (r readPerson) Scan(v any) error {
	r.LoginAllowed, r.ExpiresAt, r.Kind = true, time.Time{}, access.KindEmployee
	var text string
	switch v := v.(type) {
	case nil: // there is nothing to say
		return nil
	case string:
		text = v
	case []byte:
		text = string(v)
	default:
		return fmt.Errorf("person from %T", v)
	}
	allowed, rest, _ := strings.Cut(text, " ")
	expires, kind, _ := strings.Cut(rest, " ")
	ms, err := strconv.ParseInt(expires, 10, 64)
	if err != nil {
		return fmt.Errorf("person from %q: %w", text, err)
	}
	if ms != 0 {
		r.ExpiresAt = time.UnixMilli(ms).UTC()
	}
	r.Kind = access.Kind(kind)
	r.LoginAllowed, err = strconv.ParseBool(allowed)
	return err
}

// Person gives what we say of a user.
func (r reader) Person(ctx context.Context, tenant TenantID, user UserID) (Person, error) {
	p, _, err := r.person(ctx, tenant, user)
	return p, err
}

// person is Person with when it last changed, zero for never.
func (r reader) person(ctx context.Context, tenant TenantID, user UserID) (Person, Instant, error) {
	var p Person
	var since, expires Instant
	if !validID(string(user)) {
		return p, since, fmt.Errorf("user %q: %w", user, ErrNotFound)
	}
	var sponsor sql.NullString
	err := r.row(ctx, []any{&p.LoginAllowed, &p.Kind, &expires, &sponsor, &since},
		`SELECT `+said("login_allowed", "TRUE")+`, `+said("kind", "'employee'")+`, `+said("expires_at", "0")+`, CAST(`+said("sponsor_id", "NULL")+` AS text), `+said("since", "0")+`
		FROM users u WHERE u.tenant_id = ? AND u.id = ?`, tenant, user)
	if err != nil {
		return p, since, fmt.Errorf("user %s: %w", user, err)
	}
	p.ExpiresAt, p.Sponsor = expires.Time, UserID(sponsor.String)
	return p, since, nil
}

// ChangePerson changes what we say of a user of the actor's tenant by a pure
// function of what it is now. Write's ErrLastOwner says that it would end the last
// owner.
func (tx *Tx) ChangePerson(ctx context.Context, id UserID, change func(Person) Person) (Person, error) {
	tenant := tx.actor.Tenant
	if !validID(string(id)) {
		return Person{}, fmt.Errorf("user %q: %w", id, ErrNotFound)
	}
	s := subject{kind: "user", id: string(id)}
	err := tx.row(ctx, []any{&s.name, &s.connection}, `SELECT user_name, connection_id FROM users WHERE tenant_id = ? AND id = ?`+
		tx.pool.dialect.forUpdate, tenant, id)
	if err != nil {
		return Person{}, fmt.Errorf("user %s: %w", id, err)
	}
	before, since, err := tx.person(ctx, tenant, id)
	if err != nil {
		return before, err
	}
	after := change(before)
	after.ExpiresAt = At(after.ExpiresAt).Time
	if after == before {
		return before, nil
	}
	switch after.Kind {
	case access.KindEmployee, access.KindClient, access.KindContractor, access.KindGuest, access.KindService:
	default:
		return before, fmt.Errorf("kind %q: %w: want employee, client, contractor, guest or service", after.Kind, ErrInvalid)
	}
	if after.Sponsor != before.Sponsor && after.Sponsor != "" {
		if _, err := tx.Person(ctx, tenant, after.Sponsor); err != nil {
			return before, fmt.Errorf("sponsor: %w", err)
		}
	}
	if !after.LoginAllowed || !after.ExpiresAt.IsZero() {
		if err := tx.guardOwner(ctx, id); err != nil {
			return before, err
		}
	}

	action := PersonChanged
	switch {
	case before.LoginAllowed && !after.LoginAllowed:
		action = PersonLoginBlocked
	case after.LoginAllowed && !before.LoginAllowed:
		action = PersonLoginAllowed
	case !after.ExpiresAt.Equal(before.ExpiresAt):
		action = PersonExpiryChanged
	}
	changeID := tx.log(action, s, beforeAfter(before, after))
	row := []any{after.LoginAllowed, after.Kind, At(after.ExpiresAt), optional(after.Sponsor), later(tx.now, since), changeID, tenant, id}
	if now := tx.now.Time; !before.live(now) || !after.live(now) {
		if err := tx.shutOut(ctx, id, action); err != nil {
			return before, err
		}
	}
	if since.IsZero() {
		_, err = tx.exec(ctx, `INSERT INTO people (login_allowed, kind, expires_at, sponsor_id, since, change_id, tenant_id, user_id)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, row...)
		return after, err
	}
	if err := tx.retire(ctx, "people", "user_id, login_allowed, kind, expires_at, sponsor_id", "user_id", id, changeID, false); err != nil {
		return before, err
	}
	_, err = tx.exec(ctx, `UPDATE people SET login_allowed = ?, kind = ?, expires_at = ?, sponsor_id = ?, since = ?, change_id = ?
		WHERE tenant_id = ? AND user_id = ?`, row...)
	return after, err
}

// ErrAmbiguous says that several users answer to a name.
var ErrAmbiguous = errors.New("ambiguous")

// Who names a person: exactly one of ID, UserName, Email and Name, which is a
// user name or an e-mail address, whichever it is. The names are compared without
// regard to case. Two connections of a tenant may each have somebody of that name;
// Connection says which one is meant.
type Who struct {
	ID         UserID
	UserName   string
	Email      string
	Name       string
	Connection ConnectionID
}

func (w Who) String() string {
	return cmp.Or(string(w.ID), w.UserName, w.Email, w.Name)
}

// find is the rest of a query for a user u.
func (w Who) find(tenant TenantID) (string, []any, error) {
	var from string
	var args []any
	given := 0
	for _, name := range []string{string(w.ID), w.UserName, w.Email, w.Name} {
		if name != "" {
			given++
		}
	}
	switch {
	case given != 1 || !isText(w.String()):
		return "", nil, ErrNotFound
	case validID(string(w.ID)):
		from, args = `users u WHERE u.tenant_id = ? AND u.id = ?`, []any{tenant, w.ID}
	case w.UserName != "":
		// Through the connections, which are few: the index of names begins with them.
		// CROSS, since SQLite takes that for the order to go by.
		from, args = `connections c CROSS JOIN users u
			WHERE c.tenant_id = ? AND u.tenant_id = c.tenant_id AND u.connection_id = c.id AND u.user_name_key = ?`, []any{tenant, Fold(w.UserName)}
	case w.Email != "":
		from, args = `connections c CROSS JOIN user_emails e CROSS JOIN users u
			WHERE c.tenant_id = ? AND e.tenant_id = c.tenant_id AND e.connection_id = c.id AND e.value_key = ?
			AND u.tenant_id = e.tenant_id AND u.id = e.user_id`, []any{tenant, Fold(w.Email)}
	case w.Name != "":
		from, args = `(SELECT n.id FROM connections c CROSS JOIN users n
				WHERE c.tenant_id = ? AND n.tenant_id = c.tenant_id AND n.connection_id = c.id AND n.user_name_key = ?
			UNION SELECT e.user_id FROM connections c CROSS JOIN user_emails e
				WHERE c.tenant_id = ? AND e.tenant_id = c.tenant_id AND e.connection_id = c.id AND e.value_key = ?) w
			CROSS JOIN users u WHERE u.tenant_id = ? AND u.id = w.id`, []any{tenant, Fold(w.Name), tenant, Fold(w.Name), tenant}
	default:
		return "", nil, ErrNotFound
	}
	if w.Connection != "" {
		if !validID(string(w.Connection)) {
			return "", nil, ErrNotFound
		}
		from, args = from+` AND u.connection_id = ?`, append(args, w.Connection)
	}
	return from + ` LIMIT 2`, args, nil
}

// subjectColumns are all that a decision needs to know of a user u: who it is,
// what says whether the account is live, the policy's revision, her groups, and
// whether any group is within another at all.
const subjectColumns = `u.id, u.active, ` + personColumn + `,
	(SELECT r.revision FROM policies r WHERE r.tenant_id = ?),
	COALESCE((SELECT string_agg(CAST(m.group_id AS text), ',') FROM members m WHERE m.tenant_id = u.tenant_id AND m.user_id = u.id), ''),
	EXISTS (SELECT 1 FROM subgroups s WHERE s.tenant_id = ?)`

// forTenant are the arguments of subjectColumns, for what is the same for everybody and
// so is looked up once, in front of those of the rest of the query.
func forTenant(tenant TenantID, rest []any) []any {
	return append([]any{string(tenant), string(tenant)}, rest...)
}

// withinColumn are the groups that a user u is in through others: each group
// within another, as the two ids. Planning for it takes longer than all the rest,
// so that only tenants ask it that have such groups.
const withinColumn = `, COALESCE((
	WITH RECURSIVE above (id) AS (
		SELECT m.group_id FROM members m WHERE m.tenant_id = u.tenant_id AND m.user_id = u.id
		UNION SELECT s.group_id FROM above JOIN subgroups s ON s.tenant_id = u.tenant_id AND s.member_id = above.id)
	SELECT string_agg(CAST(s.member_id AS text) || CAST(s.group_id AS text), ',')
	FROM above JOIN subgroups s ON s.tenant_id = u.tenant_id AND s.member_id = above.id), '')`

// Subject gives one person with all groups she is in, and what is granted in the
// tenant: what it takes to decide. It is one query, as fresh as its snapshot, and
// the policy is the one in force then. ErrNotFound when there is nobody of that name,
// ErrAmbiguous when there are several.
func (s *Store) Subject(ctx context.Context, tenant TenantID, who Who) (access.Subject, *access.Policy, error) {
	var row subjectRow
	nests := &s.policies.of(tenant).nests
	policy, err := s.together(ctx, tenant, func(r reader) (Revision, error) {
		var err error
		if r.work == nil && validID(string(who.ID)) && who == (Who{ID: who.ID}) {
			row, err = s.subjects.about(tenant, string(who.ID))
		} else {
			row, err = r.subjectNamed(ctx, tenant, who, nests)
		}
		return row.revision, err
	})
	if err != nil {
		return access.Subject{}, nil, fmt.Errorf("user %q: %w", who, err)
	}
	return row.subject(), policy, nil
}

func (r reader) subjectNamed(ctx context.Context, tenant TenantID, who Who, nests *atomic.Bool) (row subjectRow, err error) {
	from, args, err := who.find(tenant)
	if err != nil {
		return row, err
	}
	query := `SELECT ` + subjectColumns
	found, err := r.subjectsOf(ctx, nests, query+` FROM `+from, query+withinColumn+` FROM `+from, forTenant(tenant, args)...)
	switch {
	case err != nil:
		return row, err
	case len(found) == 0:
		return row, ErrNotFound
	case len(found) > 1:
		return row, fmt.Errorf("%w: several users have that name; ask by id, or name the connection", ErrAmbiguous)
	}
	return found[0], nil
}

// askSubjects answers questions about people by their ids.
func (s *Store) askSubjects(tenant TenantID, all []*asked[subjectRow]) error {
	found, err := s.subjectsOf(context.Background(), &s.policies.of(tenant).nests,
		s.subjectByID.of(len(all)), s.subjectWithinByID.of(len(all)), forTenant(tenant, argsOf(all, tenant))...)
	for _, row := range found {
		if q := pick(all, string(row.person.ID)); q != nil {
			q.answer = row
		}
	}
	return err
}

// subjectRow is an answer to subjectColumns.
type subjectRow struct {
	person         access.Person
	revision       Revision
	groups, within string
	nested         bool
}

// subjectsOf runs a query for users u, all of one snapshot, or, where groups are within
// groups, another that has withinColumn. Nests is what is remembered of that.
func (r reader) subjectsOf(ctx context.Context, nests *atomic.Bool, query, withinQuery string, args ...any) ([]subjectRow, error) {
	if nests.Load() {
		found, err := r.subjectRows(ctx, true, withinQuery, args)
		if err == nil && len(found) > 0 && !found[0].nested {
			nests.Store(false)
		}
		return found, err
	}
	found, err := r.subjectRows(ctx, false, query, args)
	if err == nil && len(found) > 0 && found[0].nested {
		nests.Store(true)
		// The whole question again, so that the answer is of one snapshot.
		return r.subjectRows(ctx, true, withinQuery, args)
	}
	return found, err
}

func (r reader) subjectRows(ctx context.Context, nested bool, query string, args []any) (found []subjectRow, err error) {
	st, release, err := r.prepare(ctx, query)
	if err != nil {
		return nil, r.pool.dialect.classify(err)
	}
	defer release()
	if ctx.Done() != nil {
		ctx = context.WithoutCancel(ctx) // not watched for its end, like all point reads (reader.row)
	}
	rows, err := st.Stmt.QueryContext(ctx, args...)
	if err != nil {
		return nil, r.pool.dialect.classify(err)
	}
	defer rows.Close()
	var row subjectRow
	p := &row.person
	dst := []any{&p.ID, &p.Active, readPerson{p}, &row.revision, &row.groups, &row.nested}
	if nested {
		dst = append(dst, &row.within)
	}
	for rows.Next() {
		if err := rows.Scan(dst...); err != nil {
			return nil, err
		}
		found = append(found, row)
	}
	return found, r.pool.dialect.classify(rows.Err())
}

// subject is the person with the groups that the row tells of.
func (row subjectRow) subject() access.Subject {
	p := row.person
	if row.groups != "" {
		p.Groups = make([]access.GroupID, 0, (len(row.groups)+1)/(idLength+1))
	}
	for list := row.groups; len(list) >= idLength; list = list[min(len(list), idLength+1):] {
		p.Groups = append(p.Groups, access.GroupID(list[:idLength]))
	}
	if row.within == "" {
		return access.DirectSubject(p)
	}
	known := make(map[access.GroupID]access.Group, len(p.Groups))
	for _, id := range p.Groups {
		known[id] = access.Group{ID: id}
	}
	for pair := range strings.SplitSeq(row.within, ",") {
		inner, outer := access.GroupID(pair[:idLength]), access.GroupID(pair[idLength:])
		g := known[inner]
		g.ID, g.Parents = inner, append(g.Parents, outer)
		known[inner] = g
		if _, ok := known[outer]; !ok {
			known[outer] = access.Group{ID: outer}
		}
	}
	return access.NewSubject(p, known)
}

// idLength is how long an identifier is.
const idLength = 36

// Facts gives all people and groups of a tenant as they are now. It reads
// everything, so it is for previews and reports.
func (r reader) Facts(ctx context.Context, tenant TenantID) (access.Facts, error) {
	return r.facts(ctx, tenant, moment{}, "")
}

// FactsAt gives all people and groups of a tenant as they were at an instant.
func (r reader) FactsAt(ctx context.Context, tenant TenantID, at time.Time) (access.Facts, error) {
	return r.facts(ctx, tenant, then(at), "")
}

// SubjectAt gives one person with her groups as they were at an instant, also
// somebody who was deleted since. ErrNotFound when she wasn't there.
func (r reader) SubjectAt(ctx context.Context, tenant TenantID, user UserID, at time.Time) (access.Subject, error) {
	if !validID(string(user)) {
		return access.Subject{}, fmt.Errorf("user %q: %w", user, ErrNotFound)
	}
	f, err := r.facts(ctx, tenant, then(at), user)
	if err != nil {
		return access.Subject{}, err
	}
	id := access.UserID(user)
	if _, ok := f.People[id]; !ok {
		return access.Subject{}, fmt.Errorf("user %s at %s: %w", user, at, ErrNotFound)
	}
	return f.Subject(id), nil
}

// facts reads everybody, or only one person with all groups.
func (r reader) facts(ctx context.Context, tenant TenantID, m moment, only UserID) (f access.Facts, err error) {
	err = r.agree(ctx, func(r reader) error {
		f = access.Facts{People: map[access.UserID]access.Person{}, Groups: map[access.GroupID]access.Group{}}
		for _, read := range []func(context.Context, access.Facts, TenantID, moment, UserID) error{
			r.factUsers, r.factPeople, r.factGroups, r.factSubgroups, r.factMembers,
		} {
			if err := read(ctx, f, tenant, m, only); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return access.Facts{}, fmt.Errorf("facts of tenant %s: %w", tenant, err)
	}
	return f, nil
}

// who narrows a query of facts down to one person.
func (m moment) who(table, from, columns, id string, tenant TenantID, only UserID) (string, []any) {
	if only == "" {
		return m.versions(table, from, columns, "", tenant)
	}
	return m.versions(table, from, columns, ` AND `+id+` = ?`, tenant, only)
}

func (r reader) factUsers(ctx context.Context, f access.Facts, tenant TenantID, m moment, only UserID) error {
	query, args := m.who("users", "modified_at", "id, active", "id", tenant, only)
	return r.each(ctx, func(rows *sqlx.Rows) error {
		p := access.Person{LoginAllowed: true, Kind: access.KindEmployee}
		err := rows.Scan(&p.ID, &p.Active)
		f.People[p.ID] = p
		return err
	}, query, args...)
}

func (r reader) factPeople(ctx context.Context, f access.Facts, tenant TenantID, m moment, only UserID) error {
	query, args := m.who("people", "since", "user_id, login_allowed, kind, expires_at", "user_id", tenant, only)
	return r.each(ctx, func(rows *sqlx.Rows) error {
		var id access.UserID
		var p access.Person
		var expires Instant
		err := rows.Scan(&id, &p.LoginAllowed, &p.Kind, &expires)
		if user, ok := f.People[id]; ok {
			user.LoginAllowed, user.Kind, user.ExpiresAt = p.LoginAllowed, p.Kind, expires.Time
			f.People[id] = user
		}
		return err
	}, query, args...)
}

func (r reader) factGroups(ctx context.Context, f access.Facts, tenant TenantID, m moment, _ UserID) error {
	query, args := m.versions("groups", "described_at", "id, display_name", "", tenant)
	return r.each(ctx, func(rows *sqlx.Rows) error {
		var g access.Group
		err := rows.Scan(&g.ID, &g.Name)
		f.Groups[g.ID] = g
		return err
	}, query, args...)
}

func (r reader) factSubgroups(ctx context.Context, f access.Facts, tenant TenantID, m moment, _ UserID) error {
	query, args := m.versions("subgroups", "since", "member_id, group_id", "", tenant)
	return r.each(ctx, func(rows *sqlx.Rows) error {
		var inner, outer access.GroupID
		err := rows.Scan(&inner, &outer)
		if g, ok := f.Groups[inner]; ok {
			g.Parents = append(g.Parents, outer)
			f.Groups[inner] = g
		}
		return err
	}, query+` ORDER BY 1, 2`, args...)
}

// factMembers reads one row a person, with all her groups: a row a membership
// would take several times as long to fetch.
func (r reader) factMembers(ctx context.Context, f access.Facts, tenant TenantID, m moment, only UserID) error {
	query, args := m.who("members", "since", "user_id, group_id", "user_id", tenant, only)
	known := make(map[string]access.GroupID, len(f.Groups)) // one text for each group, not one a membership
	for id := range f.Groups {
		known[string(id)] = id
	}
	return r.each(ctx, func(rows *sqlx.Rows) error {
		var id access.UserID
		var list []byte
		if err := rows.Scan(&id, &list); err != nil {
			return err
		}
		p, ok := f.People[id]
		if !ok {
			return nil
		}
		p.Groups = groupList(list, known)
		f.People[id] = p
		return nil
	}, `SELECT user_id, string_agg(CAST(group_id AS text), ',') FROM (`+query+`) m GROUP BY user_id`, args...)
}

// groupList reads ids that string_agg put together. A group that isn't known is
// left out.
func groupList(list []byte, known map[string]access.GroupID) []access.GroupID {
	if len(list) == 0 {
		return nil
	}
	groups := make([]access.GroupID, 0, (len(list)+1)/(idLength+1))
	for ; len(list) >= idLength; list = list[min(len(list), idLength+1):] {
		if group, ok := known[string(list[:idLength])]; ok {
			groups = append(groups, group)
		}
	}
	slices.Sort(groups)
	return groups
}
