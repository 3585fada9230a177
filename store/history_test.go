package store_test

import (
	"database/sql"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"gatehouse/store"

	"github.com/google/go-cmp/cmp"
)

// state is the directory at one instant.
type state struct {
	Users   map[store.UserID]account
	Groups  map[store.GroupID]string
	Members map[store.GroupID]map[store.MemberID]bool
}

type account struct {
	Name   string
	Active bool
}

func (s state) clone() state {
	c := state{Users: maps.Clone(s.Users), Groups: maps.Clone(s.Groups), Members: map[store.GroupID]map[store.MemberID]bool{}}
	for g, members := range s.Members {
		c.Members[g] = maps.Clone(members)
	}
	return c
}

// TestHistoryIsExact does what comes to mind, a second apart, beside a model that
// keeps every state; then it reads the past out of the tables and compares. SEED
// repeats a run.
func TestHistoryIsExact(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	onBoth(t, func(t *testing.T, url string) {
		t.Logf("SEED=%d", seed)
		c := newClock()
		p := acme(t, open(t, url, store.Options{Now: c.Now}))
		m := &model{place: p, dice: rand.New(rand.NewPCG(seed, 1)),
			now: state{Users: map[store.UserID]account{}, Groups: map[store.GroupID]string{}, Members: map[store.GroupID]map[store.MemberID]bool{}}}
		var past []state
		var instants []int64
		for range 300 {
			c.advance(time.Second)
			m.step(t)
			past, instants = append(past, m.now.clone()), append(instants, c.Now().UnixMilli())
		}
		db := raw(t, url)
		for i := 0; i < len(past); i += 7 {
			// Just when it happened, and half a second later.
			for _, at := range []int64{instants[i], instants[i] + 500} {
				if diff := cmp.Diff(past[i], stateAt(t, db, at)); diff != "" {
					t.Fatalf("operation %d (SEED=%d): model (-), tables (+):\n%s", i, seed, diff)
				}
			}
		}
		for _, table := range []string{"users_past", "groups_past"} {
			gaps := column(t, db, `SELECT CAST(a.id AS text) FROM `+table+` a WHERE NOT EXISTS (
				SELECT 1 FROM `+table+` b WHERE b.tenant_id = a.tenant_id AND b.id = a.id AND b.valid_from = a.valid_until)
				AND NOT EXISTS (SELECT 1 FROM `+map[string]string{"users_past": "users u WHERE u.modified_at", "groups_past": "groups u WHERE u.described_at"}[table]+` = a.valid_until AND u.id = a.id)
				AND NOT EXISTS (SELECT 1 FROM changes c WHERE c.id = a.change_id AND c.action IN ('user.deleted', 'group.deleted'))`)
			if len(gaps) > 0 {
				t.Errorf("%s: after these nothing follows: %v", table, gaps)
			}
		}
		clean(t, p.Store)
	})
}

func clean(t *testing.T, s *store.Store) {
	t.Helper()
	if findings, err := s.Verify(t.Context()); err != nil || len(findings) > 0 {
		t.Errorf("verify: got %v, %v, want nothing wrong", findings, err)
	}
}

// model does one thing to the store and to the state it knows.
type model struct {
	place
	dice *rand.Rand
	now  state
	made int
}

func pick[K ~string, V any](m *model, from map[K]V) (K, bool) {
	if len(from) == 0 {
		return "", false
	}
	keys := slices.Sorted(maps.Keys(from))
	return keys[m.dice.IntN(len(keys))], true
}

// some names a few members for a group: users, and groups made after it, so that
// none is within itself. "~" is a group that is still to be made, after which there is none.
func (m *model) some(group store.GroupID) []store.MemberID {
	var ids []store.MemberID
	for range m.dice.IntN(4) {
		id, ok := pick(m, m.now.Users)
		member := store.MemberID(id)
		if g, found := pick(m, m.now.Groups); found && m.dice.IntN(4) == 0 && g > group {
			member, ok = store.MemberID(g), true
		}
		if ok && !slices.Contains(ids, member) {
			ids = append(ids, member)
		}
	}
	return ids
}

func (m *model) step(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	user, haveUser := pick(m, m.now.Users)
	group, haveGroup := pick(m, m.now.Groups)
	m.made++
	name := fmt.Sprintf("n%d", m.made)
	switch n := m.dice.IntN(20); {
	case n < 4 || !haveUser:
		m.write(t, func(tx *store.Tx) error {
			u, err := tx.CreateUser(ctx, m.ref, person(name, true))
			m.now.Users[u.ID] = account{name, true}
			return err
		})
	case n < 6 || !haveGroup:
		members := m.some("~")
		m.write(t, func(tx *store.Tx) error {
			g, _, err := tx.CreateGroup(ctx, m.ref, team(name), members)
			m.now.Groups[g.ID], m.now.Members[g.ID] = name, map[store.MemberID]bool{}
			for _, id := range members {
				m.now.Members[g.ID][id] = true
			}
			return err
		})
	case n < 9: // sometimes nothing new
		to := account{m.now.Users[user].Name, m.dice.IntN(2) == 0}
		if m.dice.IntN(3) == 0 {
			to.Name = name
		}
		m.write(t, func(tx *store.Tx) error {
			_, err := tx.UpdateUser(ctx, m.ref, user, func(store.User) (store.User, error) { return person(to.Name, to.Active), nil })
			return err
		})
		m.now.Users[user] = to
	case n == 9:
		m.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, m.ref, user) })
		delete(m.now.Users, user)
		for _, members := range m.now.Members {
			delete(members, store.MemberID(user))
		}
	case n == 10 && m.dice.IntN(2) == 0:
		m.write(t, func(tx *store.Tx) error { return tx.DeleteGroup(ctx, m.ref, group) })
		delete(m.now.Groups, group)
		delete(m.now.Members, group)
		for _, members := range m.now.Members {
			delete(members, store.MemberID(group))
		}
	default:
		m.changeGroup(t, group, name)
	}
}

func (m *model) changeGroup(t *testing.T, group store.GroupID, name string) {
	t.Helper()
	delta := store.MemberDelta{Replace: m.dice.IntN(4) == 0, Add: m.some(group)}
	if !delta.Replace {
		delta.Remove = slices.DeleteFunc(m.some(group), func(id store.MemberID) bool { return slices.Contains(delta.Add, id) })
	}
	if m.dice.IntN(4) > 0 {
		name = m.now.Groups[group]
	}
	m.write(t, func(tx *store.Tx) error {
		_, _, err := tx.UpdateGroup(t.Context(), m.ref, group, func(g store.Group) (store.Group, store.MemberDelta, error) {
			to := team(name)
			g.DisplayName, g.Doc, g.Search = to.DisplayName, to.Doc, to.Search
			return g, delta, nil
		})
		return err
	})
	m.now.Groups[group] = name
	members := m.now.Members[group]
	if delta.Replace {
		clear(members)
	}
	for _, id := range delta.Add {
		members[id] = true
	}
	for _, id := range delta.Remove {
		delete(members, id)
	}
}

// stateAt reads the directory as it was at an instant, from what is and what was.
func stateAt(t *testing.T, db *sql.DB, at int64) state {
	t.Helper()
	s := state{Users: map[store.UserID]account{}, Groups: map[store.GroupID]string{}, Members: map[store.GroupID]map[store.MemberID]bool{}}
	rows := func(query string, scan func(*sql.Rows) error) {
		t.Helper()
		found, err := db.Query(fmt.Sprintf(query, at))
		if err != nil {
			t.Fatal(err)
		}
		defer found.Close()
		for found.Next() {
			if err := scan(found); err != nil {
				t.Fatal(err)
			}
		}
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
	}
	rows(`SELECT id, user_name, active FROM users WHERE modified_at <= %[1]d
		UNION ALL SELECT id, user_name, active FROM users_past WHERE valid_from <= %[1]d AND valid_until > %[1]d`, func(r *sql.Rows) error {
		var id store.UserID
		var a account
		err := r.Scan(&id, &a.Name, &a.Active)
		if _, twice := s.Users[id]; twice {
			t.Errorf("user %s is two at %d", id, at)
		}
		s.Users[id] = a
		return err
	})
	rows(`SELECT id, display_name FROM groups WHERE described_at <= %[1]d
		UNION ALL SELECT id, display_name FROM groups_past WHERE valid_from <= %[1]d AND valid_until > %[1]d`, func(r *sql.Rows) error {
		var id store.GroupID
		var name string
		err := r.Scan(&id, &name)
		s.Groups[id], s.Members[id] = name, map[store.MemberID]bool{}
		return err
	})
	rows(`SELECT group_id, user_id FROM members WHERE since <= %[1]d
		UNION ALL SELECT group_id, user_id FROM members_past WHERE since <= %[1]d AND until > %[1]d
		UNION ALL SELECT group_id, member_id FROM subgroups WHERE since <= %[1]d
		UNION ALL SELECT group_id, member_id FROM subgroups_past WHERE since <= %[1]d AND until > %[1]d`, func(r *sql.Rows) error {
		var g store.GroupID
		var u store.MemberID
		err := r.Scan(&g, &u)
		if s.Members[g] == nil || s.Members[g][u] {
			t.Errorf("member %s of %s at %d: no such group, or twice", u, g, at)
			return err
		}
		s.Members[g][u] = true
		return err
	})
	return s
}
