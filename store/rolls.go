package store

import (
	"context"
	"math"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

// Rolls are who is live in some groups and among some users, to count those for
// whom several grants are: each person is a number below People, the same
// wherever she is.
type Rolls struct {
	People int
	// Groups has the people of a group, also those in groups within it.
	Groups map[access.GroupID][]int32
	Users  map[access.UserID]int32
}

// NewRolls makes empty rolls and a function that enters somebody live: into a
// group, or by herself if that is empty.
func NewRolls() (*Rolls, func(access.GroupID, access.UserID)) {
	r := &Rolls{Groups: map[access.GroupID][]int32{}, Users: map[access.UserID]int32{}}
	known := map[access.UserID]int32{}
	return r, func(group access.GroupID, user access.UserID) {
		n, seen := known[user]
		if !seen {
			n = int32(r.People)
			known[user] = n
			r.People++
		}
		if group == "" {
			r.Users[user] = n
			return
		}
		r.Groups[group] = append(r.Groups[group], n)
	}
}

// Rolls calls the roll of an audience that isn't everyone, in one state of the
// database: a few queries however many groups there are. Whoever isn't live is read
// by herself: those are fewer than all who are in some group.
func (s *Store) Rolls(ctx context.Context, tenant TenantID, a access.Audience) (*Rolls, error) {
	rolls, enter := NewRolls()
	d := s.pool.dialect
	err := s.agree(ctx, func(r reader) error {
		rolls, enter = NewRolls()
		dead := map[access.UserID]bool{}
		err := r.each(ctx, func(rows *sqlx.Rows) error {
			var user access.UserID
			err := rows.Scan(&user)
			dead[user] = true
			return err
		}, `SELECT id FROM users WHERE tenant_id = ? AND NOT active
			UNION ALL SELECT user_id FROM people WHERE tenant_id = ? AND (NOT login_allowed OR expires_at <> 0 AND expires_at <= ?)`,
			tenant, tenant, At(s.now()))
		if err != nil {
			return err
		}
		err = r.each(ctx, func(rows *sqlx.Rows) error {
			var user access.UserID
			err := rows.Scan(&user)
			if !dead[user] {
				enter("", user)
			}
			return err
		}, `SELECT u.id FROM (`+d.idRows+`) w `+d.each("users", `u.tenant_id = ? AND u.id = w.id`), d.idList(texts(a.Users)), tenant)
		if err != nil {
			return err
		}
		return r.each(ctx, func(rows *sqlx.Rows) error {
			var group access.GroupID
			var user access.UserID
			err := rows.Scan(&group, &user)
			if !dead[user] {
				enter(group, user)
			}
			return err
		}, `WITH RECURSIVE within (top, id) AS (SELECT id AS top, id FROM (`+d.idRows+`) d
				UNION SELECT within.top, s.member_id FROM within JOIN subgroups s ON s.tenant_id = ? AND s.group_id = within.id)
			SELECT within.top, m.value FROM within CROSS JOIN `+d.membersOfWithin,
			d.idList(texts(a.Groups)), tenant, tenant, zeroID, math.MaxInt32)
	})
	return rolls, err
}

// Count counts the people of some grantees, each once. Everyone is none of them.
func (r *Rolls) Count(of []access.Grantee) (n int) {
	in := make([]bool, r.People)
	enter := func(i int32) {
		if !in[i] {
			in[i] = true
			n++
		}
	}
	for _, to := range of {
		if i, ok := r.Users[to.User]; ok {
			enter(i)
		}
		for _, i := range r.Groups[to.Group] {
			enter(i)
		}
	}
	return n
}
