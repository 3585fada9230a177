package store

import (
	"context"
	"maps"
	"math"
	"slices"

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
// database: two queries however many groups there are. Each person is looked up
// once, by herself, whatever the statistics say.
func (s *Store) Rolls(ctx context.Context, tenant TenantID, a access.Audience) (*Rolls, error) {
	rolls, enter := NewRolls()
	d := s.pool.dialect
	live := map[access.UserID]bool{}
	in := map[access.GroupID][]access.UserID{}
	for _, id := range a.Users {
		live[id] = false
	}
	err := s.agree(ctx, func(r reader) error {
		err := r.each(ctx, func(rows *sqlx.Rows) error {
			var group access.GroupID
			var user access.UserID
			err := rows.Scan(&group, &user)
			in[group] = append(in[group], user)
			live[user] = false
			return err
		}, `WITH RECURSIVE within (top, id) AS (SELECT id AS top, id FROM (`+d.idRows+`) d
				UNION SELECT within.top, s.member_id FROM within JOIN subgroups s ON s.tenant_id = ? AND s.group_id = within.id)
			SELECT within.top, m.value FROM within CROSS JOIN `+d.membersOfWithin,
			d.idList(texts(a.Groups)), tenant, tenant, zeroID, math.MaxInt32)
		if err != nil || len(live) == 0 {
			return err
		}
		return r.each(ctx, func(rows *sqlx.Rows) error {
			var user access.UserID
			err := rows.Scan(&user)
			live[user] = true
			return err
		}, `SELECT u.id FROM (`+d.idRows+`) w `+d.each("users", `u.tenant_id = ? AND u.id = w.id AND u.active AND `+said("login_allowed", "TRUE")+
			` AND (`+said("expires_at", "0")+` = 0 OR `+said("expires_at", "0")+` > ?)`),
			d.idList(texts(slices.Collect(maps.Keys(live)))), tenant, At(s.now()))
	})
	if err != nil {
		return nil, err
	}
	for _, id := range a.Users {
		if live[id] {
			enter("", id)
		}
	}
	for group, users := range in {
		for _, id := range users {
			if live[id] {
				enter(group, id)
			}
		}
	}
	return rolls, nil
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
