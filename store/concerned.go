package store

import (
	"context"
	"fmt"

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
		var expires Instant
		var groups []byte
		err := rows.Scan(&p.ID, &p.Active, &p.LoginAllowed, &p.Kind, &expires, &groups, &n.Name, &n.DisplayName, &n.Connection)
		p.ExpiresAt, p.Groups = expires.Time, groupList(groups, known)
		c.Facts.People[p.ID], c.Users[p.ID] = p, n
		return err
	}, `SELECT u.id, u.active, `+personColumns+`,
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
	valid := func(ids []string) (kept []string) {
		kept = []string{}
		for _, id := range ids {
			if validID(id) {
				kept = append(kept, id)
			}
		}
		return kept
	}
	return `(WITH RECURSIVE within (id) AS (` + d.ids + `
			UNION SELECT s.member_id FROM within JOIN subgroups s ON s.tenant_id = ? AND s.group_id = within.id)
		SELECT m.user_id AS id FROM within JOIN members m ON m.tenant_id = ? AND m.group_id = within.id
		UNION SELECT id FROM (` + d.idRows + `) d) w CROSS JOIN users u WHERE u.tenant_id = ? AND u.id = w.id`,
		[]any{d.idList(valid(texts(a.Groups))), tenant, tenant, d.idList(valid(texts(a.Users))), tenant}
}
