package store

import (
	"context"
	"fmt"
	"slices"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

// Concerned is what the preview of a change looks at, in one state: what is
// granted, all groups, and those people whom the change can concern.
type Concerned struct {
	Policy *access.Policy
	Facts  access.Facts
	// Users are what the people are called.
	Users map[access.UserID]Named
	// People is how many the tenant has, concerned or not.
	People int
}

// Concerned reads a tenant for the people that whom picks, given what is granted.
// It is called with the policy that Concerned then has, perhaps more than once.
func (s *Store) Concerned(ctx context.Context, tenant TenantID, whom func(*access.Policy) (access.Audience, error)) (Concerned, error) {
	for range maxPolicyTurns {
		policy, revision, err := s.Policy(ctx, tenant)
		if err != nil {
			return Concerned{}, err
		}
		audience, err := whom(policy)
		if err != nil {
			return Concerned{}, err
		}
		c := Concerned{Policy: policy}
		moved := false
		err = s.agree(ctx, func(r reader) error {
			now, err := r.Revision(ctx, tenant)
			if moved = now != revision; err != nil || moved {
				return err
			}
			return r.concerned(ctx, &c, tenant, audience)
		})
		if err != nil || !moved {
			return c, err
		}
	}
	return Concerned{}, fmt.Errorf("%w: the policy changes faster than it can be read", ErrUnavailable)
}

// Concerned is that of Store for the actor's tenant, with this transaction's
// changes, and keeps others from changing what is granted until it ends.
func (tx *Tx) Concerned(ctx context.Context, whom func(*access.Policy) (access.Audience, error)) (Concerned, error) {
	policy, err := tx.Policy(ctx)
	if err != nil {
		return Concerned{}, err
	}
	c := Concerned{Policy: policy}
	audience, err := whom(policy)
	if err == nil {
		err = tx.concerned(ctx, &c, tx.actor.Tenant, audience)
	}
	return c, err
}

func (r reader) concerned(ctx context.Context, c *Concerned, tenant TenantID, a access.Audience) error {
	c.Facts = access.Facts{People: map[access.UserID]access.Person{}, Groups: map[access.GroupID]access.Group{}}
	c.Users = map[access.UserID]Named{}
	err := r.get(ctx, &c.People, `SELECT COALESCE(SUM(created - deleted), 0) FROM sizes WHERE tenant_id = ? AND kind = 'user'`, tenant)
	if err != nil {
		return err
	}
	for _, read := range []func(context.Context, access.Facts, TenantID, moment, UserID) error{r.factGroups, r.factSubgroups} {
		if err := read(ctx, c.Facts, tenant, moment{}, ""); err != nil {
			return err
		}
	}
	known := make(map[string]access.GroupID, len(c.Facts.Groups))
	for id := range c.Facts.Groups {
		known[string(id)] = id
	}
	from, args := r.audience(tenant, a)
	return r.each(ctx, func(rows *sqlx.Rows) error {
		var p access.Person
		var n Named
		var groups []byte
		err := rows.Scan(&p.ID, &p.Active, readPerson{&p}, &groups, &n.Name, &n.DisplayName, &n.Connection)
		p.Groups = groupList(groups, known)
		c.Facts.People[p.ID], c.Users[p.ID] = p, n
		return err
	}, `SELECT u.id, u.active, `+personColumn+`,
		COALESCE((SELECT string_agg(CAST(m.group_id AS text), ',') FROM members m WHERE m.tenant_id = u.tenant_id AND m.user_id = u.id), ''),
		u.user_name, u.display_name, (SELECT c.name FROM connections c WHERE c.tenant_id = u.tenant_id AND c.id = u.connection_id)
		FROM `+from, args...)
}

// audience is the rest of a query for the users u whom grants are for.
func (r reader) audience(tenant TenantID, a access.Audience) (string, []any) {
	if a.Everyone {
		return `users u WHERE u.tenant_id = ?`, []any{tenant}
	}
	d := r.pool.dialect
	return `(WITH RECURSIVE within (id) AS (` + d.ids + `
			UNION SELECT s.member_id FROM within JOIN subgroups s ON s.tenant_id = ? AND s.group_id = within.id)
		SELECT m.user_id AS id FROM within JOIN members m ON m.tenant_id = ? AND m.group_id = within.id
		UNION SELECT id FROM (` + d.idRows + `) d) w CROSS JOIN users u WHERE u.tenant_id = ? AND u.id = w.id`,
		[]any{d.idList(valid(texts(a.Groups))), tenant, tenant, d.idList(valid(texts(a.Users))), tenant}
}

// SignedIn is when those of some users who ever signed in were last here: by their
// sessions, while there are any, and else when the last of those began.
func (r reader) SignedIn(ctx context.Context, tenant TenantID, users []access.UserID) (map[access.UserID]Instant, error) {
	seen := make(map[access.UserID]Instant, len(users))
	list := r.pool.dialect.idList(valid(texts(users)))
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var id access.UserID
		var at Instant
		err := rows.Scan(&id, &at)
		seen[id] = at
		return err
	}, `SELECT user_id, MAX(at) FROM (
			SELECT user_id, seen_at AS at FROM sessions WHERE tenant_id = ? AND user_id IN (`+r.pool.dialect.ids+`)
			UNION ALL SELECT user_id, at FROM visits WHERE tenant_id = ? AND user_id IN (`+r.pool.dialect.ids+`)) v GROUP BY user_id`,
		tenant, list, tenant, list)
	return seen, err
}

// GroupSize is how many are in a group directly.
type GroupSize struct{ People, Groups int }

// Empty reports whether nobody can be in the group.
func (g GroupSize) Empty() bool { return g.People+g.Groups == 0 }

// GroupSizes counts the members of those groups that are there, each up to most.
func (r reader) GroupSizes(ctx context.Context, tenant TenantID, groups []access.GroupID, most int) (map[access.GroupID]GroupSize, error) {
	sizes := make(map[access.GroupID]GroupSize, len(groups))
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var id access.GroupID
		var size GroupSize
		err := rows.Scan(&id, &size.People, &size.Groups)
		sizes[id] = size
		return err
	}, `SELECT g.id,
		(SELECT COUNT(*) FROM (SELECT 1 FROM members m WHERE m.tenant_id = g.tenant_id AND m.group_id = g.id LIMIT ?) m),
		(SELECT COUNT(*) FROM (SELECT 1 FROM subgroups s WHERE s.tenant_id = g.tenant_id AND s.group_id = g.id LIMIT ?) s)
		FROM groups g WHERE g.tenant_id = ? AND g.id IN (`+r.pool.dialect.ids+`)`,
		most, most, tenant, r.pool.dialect.idList(valid(texts(groups))))
	return sizes, err
}

// valid are those that can be ids at all.
func valid(ids []string) []string {
	return slices.DeleteFunc(ids, func(id string) bool { return !validID(id) })
}

// ChangesAbout gives the newest changes of one thing, newest first, at most limit.
func (r reader) ChangesAbout(ctx context.Context, tenant TenantID, id string, limit int) ([]Change, error) {
	changes := []Change{}
	if !validID(id) {
		return changes, nil
	}
	err := r.list(ctx, &changes, `SELECT `+changeSelection+` FROM changes WHERE tenant_id = ? AND subject_id = ? ORDER BY id DESC LIMIT ?`, tenant, id, limit)
	return changes, err
}
