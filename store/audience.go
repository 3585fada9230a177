package store

import (
	"context"
	"errors"
	"fmt"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

// Somebody is a user or a group as a decision looks at one, with the names that
// people know. A group is asked about as if it were a live person who is in it and
// in nothing else.
type Somebody struct {
	access.Subject
	// ID is the user's or the group's.
	ID          string
	UserName    string       // of a user
	Connection  ConnectionID // of a user
	DisplayName string
}

// readSomebody scans the columns of somebody, those of a subject first.
type readSomebody struct {
	columns string
	dst     func(row *subjectRow, one *Somebody) []any
}

// groupColumnsAbove are what subjectColumns and withinColumn are for the members
// of a group g.
const groupColumnsAbove = `g.id, (SELECT r.revision FROM policies r WHERE r.tenant_id = g.tenant_id),
	COALESCE((WITH RECURSIVE above (id) AS (
			SELECT g.id UNION SELECT s.group_id FROM above JOIN subgroups s ON s.tenant_id = g.tenant_id AND s.member_id = above.id)
		SELECT string_agg(CAST(s.member_id AS text) || CAST(s.group_id AS text), ',')
		FROM above JOIN subgroups s ON s.tenant_id = g.tenant_id AND s.member_id = above.id), ''), g.display_name`

func somebodies(groups, nested bool) readSomebody {
	if groups {
		return readSomebody{groupColumnsAbove, func(row *subjectRow, one *Somebody) []any {
			row.person = access.Person{Active: true, LoginAllowed: true}
			return []any{&row.groups, &row.revision, &row.within, &one.DisplayName}
		}}
	}
	columns := subjectColumns + `, ''`
	if nested {
		columns = subjectColumns + withinColumn
	}
	return readSomebody{columns + `, u.user_name, u.display_name, u.connection_id`, func(row *subjectRow, one *Somebody) []any {
		p := &row.person
		return []any{&p.ID, &p.Active, readPerson{p}, &row.revision, &row.groups, &row.nested, &row.within,
			&one.UserName, &one.DisplayName, &one.Connection}
	}}
}

// somebodies runs a query for users or groups, all of one snapshot, and gives the
// policy of that one, too; none if there is nobody.
func (s *Store) somebodies(ctx context.Context, tenant TenantID, groups bool, from string, args ...any) ([]Somebody, *access.Policy, error) {
	if !groups {
		args = forTenant(tenant, args)
	}
	nests := &s.policies.of(tenant).nests
	var all []Somebody
	policy, err := s.together(ctx, tenant, func(r reader) (Revision, error) {
		whole := nests.Load()
		var last subjectRow
		var err error
		all, last, err = r.readSomebodies(ctx, groups, whole, from, args)
		if err == nil && !groups && len(all) > 0 && last.nested != whole {
			nests.Store(last.nested)
			if last.nested {
				all, last, err = r.readSomebodies(ctx, groups, true, from, args)
			}
		}
		return last.revision, err
	})
	if err != nil {
		return nil, nil, err
	}
	return all, policy, nil
}

func (r reader) readSomebodies(ctx context.Context, groups, nested bool, from string, args []any) (all []Somebody, last subjectRow, err error) {
	read := somebodies(groups, nested)
	err = r.each(ctx, func(rows *sqlx.Rows) error {
		var row subjectRow
		var one Somebody
		if err := rows.Scan(read.dst(&row, &one)...); err != nil {
			return err
		}
		if groups {
			row.person.ID = access.UserID(row.groups) // nobody has a grant under that id
		}
		one.ID, last = string(row.person.ID), row
		one.Subject = row.subject()
		all = append(all, one)
		return nil
	}, `SELECT `+read.columns+` FROM `+from, args...)
	return all, last, err
}

// GroupNamed gives a group by its id or its display name, compared without regard
// to case, and what is granted in the tenant: what Subject gives for a person.
// ErrNotFound when there is no such group, ErrAmbiguous when there are several.
func (s *Store) GroupNamed(ctx context.Context, tenant TenantID, name string) (Somebody, *access.Policy, error) {
	if !isText(name) {
		return Somebody{}, nil, fmt.Errorf("group %q: %w", name, ErrNotFound)
	}
	var found []Somebody
	var p *access.Policy
	var err error
	if validID(name) {
		found, p, err = s.somebodies(ctx, tenant, true, `groups g WHERE g.tenant_id = ? AND g.id = ?`, tenant, name)
	}
	if err == nil && len(found) == 0 {
		found, p, err = s.somebodies(ctx, tenant, true, `connections c CROSS JOIN groups g WHERE c.tenant_id = ?
			AND g.tenant_id = c.tenant_id AND g.connection_id = c.id AND g.display_name_key = ? LIMIT 2`, tenant, Fold(name))
	}
	switch {
	case err != nil:
		return Somebody{}, nil, fmt.Errorf("group %q: %w", name, err)
	case len(found) == 0:
		return Somebody{}, nil, fmt.Errorf("group %q: %w", name, ErrNotFound)
	case len(found) > 1:
		return Somebody{}, nil, fmt.Errorf("group %q: %w: several groups have that name; ask by id", name, ErrAmbiguous)
	}
	return found[0], p, nil
}

// Granted finds users, or groups, whom there may be grants for that give what a
// question asks: those after an id, in the order of ids, at most limit of them, as
// fresh as one snapshot, with the policy to ask about each. Whoever has access is
// among them; of the others some are, too, since they may be denied it or not live.
func (s *Store) Granted(ctx context.Context, tenant TenantID, q access.Question, groups bool, after string, limit int) ([]Somebody, *access.Policy, error) {
	policy, _, err := s.Policy(ctx, tenant)
	if err != nil {
		return nil, nil, err
	}
	if after == "" {
		after = zeroID
	}
	if !validID(after) {
		return nil, nil, fmt.Errorf("after %q: %w", after, ErrNotFound)
	}
	for range maxPolicyTurns {
		from, args := s.granted(tenant, policy.Audience(q, s.now()), groups, after, limit)
		found, newer, err := s.somebodies(ctx, tenant, groups, from, args...)
		if err != nil || len(found) == 0 || newer == policy {
			return found, policy, err
		}
		policy = newer // of whom it is about may be others
	}
	return nil, nil, fmt.Errorf("%w: the policy changes faster than it can be read", ErrUnavailable)
}

// maxPolicyTurns is how often Granted looks again because the policy changed.
const maxPolicyTurns = 10

// granted is the rest of a query for the audience of a question.
func (s *Store) granted(tenant TenantID, a access.Audience, groups bool, after string, limit int) (string, []any) {
	d := s.pool.dialect
	table, alias := "users", "u"
	if groups {
		table, alias = "groups", "g"
	}
	if a.Everyone {
		return fmt.Sprintf(`%s %[2]s WHERE %[2]s.tenant_id = ? AND %[2]s.id > ? ORDER BY %[2]s.id LIMIT ?`, table, alias), []any{tenant, after, limit}
	}
	// UNION leaves out whoever is in several of the groups, or has a grant as well.
	with := `WITH RECURSIVE within (id) AS (` + d.ids + ` UNION SELECT s.member_id FROM within JOIN subgroups s ON s.tenant_id = ? AND s.group_id = within.id)`
	args := []any{d.idList(texts(a.Groups)), tenant}
	if groups {
		with += ` SELECT g.id FROM within JOIN groups g ON g.tenant_id = ? AND g.id = within.id WHERE within.id > ?`
		args = append(args, tenant, after)
	} else {
		// Grants may be for those who aren't there any more. They must not take the
		// place of others on the page.
		with += ` SELECT m.value AS id FROM within CROSS JOIN ` + d.membersOfWithin + `
			UNION SELECT u.id FROM (` + d.idRows + `) w ` + d.each("users", "u.tenant_id = ? AND u.id = w.id AND u.id > ?")
		args = append(args, tenant, after, limit, d.idList(texts(a.Users)), tenant, after)
	}
	// The outer limit says no more than the inner one. It is for SQLite, which can't
	// see the value of that, and would read all users so as to be ready for millions.
	atMost := 1000
	for atMost < limit {
		atMost *= 10
	}
	from := fmt.Sprintf(`(SELECT id FROM (SELECT id FROM (%s) a ORDER BY id LIMIT ?) b LIMIT %d) w
		CROSS JOIN %[3]s %[4]s WHERE %[4]s.tenant_id = ? AND %[4]s.id = w.id ORDER BY %[4]s.id`, with, atMost, table, alias)
	return from, append(args, limit, tenant)
}

func texts[ID ~string](ids []ID) []string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = string(id)
	}
	return all
}

// Names are how people call the users and groups of some ids; those that aren't
// there have none.
func (r reader) Names(ctx context.Context, tenant TenantID, users []access.UserID, groups []access.GroupID) (map[string]string, error) {
	names := map[string]string{}
	for _, of := range []struct {
		query string
		ids   []string
	}{
		{`SELECT id, CASE WHEN display_name = '' THEN user_name ELSE display_name END FROM users`, valid(texts(users))},
		{`SELECT id, display_name FROM groups`, valid(texts(groups))},
	} {
		if len(of.ids) == 0 {
			continue
		}
		err := r.each(ctx, func(rows *sqlx.Rows) error {
			var id, name string
			err := rows.Scan(&id, &name)
			names[id] = name
			return err
		}, of.query+` WHERE tenant_id = ? AND id IN (`+r.pool.dialect.ids+`)`, tenant, r.pool.dialect.idList(of.ids))
		if err != nil {
			return nil, err
		}
	}
	return names, nil
}

// Somebody gives a user of any connection of a tenant by id, user name or e-mail
// address. ErrNotFound
// when there is nobody, ErrAmbiguous when there are several.
func (s *Store) Somebody(ctx context.Context, tenant TenantID, name string) (Somebody, *access.Policy, error) {
	find := func(w Who) ([]Somebody, *access.Policy, error) {
		from, args, err := w.find(tenant)
		if err != nil {
			return nil, nil, err
		}
		return s.somebodies(ctx, tenant, false, from, args...)
	}
	found, p, err := find(Who{ID: UserID(name)})
	if (err == nil || errors.Is(err, ErrNotFound)) && len(found) == 0 {
		found, p, err = find(Who{Name: name})
	}
	switch {
	case err != nil:
		return Somebody{}, nil, fmt.Errorf("user %q: %w", name, err)
	case len(found) == 0:
		return Somebody{}, nil, fmt.Errorf("user %q: %w", name, ErrNotFound)
	case len(found) > 1:
		return Somebody{}, nil, fmt.Errorf("user %q: %w: several users have that name; ask by id", name, ErrAmbiguous)
	}
	return found[0], p, nil
}
