package store_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/store"

	gocmp "github.com/google/go-cmp/cmp"
)

// TestStepsComeToTheSame does the same at random in two directories, one of which does
// everything that it can in steps: results, members and history are the same in both.
func TestStepsComeToTheSame(t *testing.T) {
	t.Parallel()
	for _, sizes := range [][3]int{{0, 1, 2}, {2, 2, 1}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			t.Parallel()
			seed := uint64(time.Now().UnixNano())
			whole := newTwin(t, open(t, sqliteURL(t), store.Options{}))
			parts := newTwin(t, open(t, sqliteURL(t), store.Options{}).SetSteps(sizes[0], sizes[1], sizes[2]))
			random := rand.New(rand.NewPCG(seed, 0))
			for n := range 250 {
				what := whole.next(random, n)
				want, got := what.do(t.Context(), whole), what.do(t.Context(), parts)
				if diff := gocmp.Diff(want, got); diff != "" {
					t.Fatalf("seed %d, %d, %+v: one transaction (-), steps (+):\n%s", seed, n, what, diff)
				}
				if diff := gocmp.Diff(whole.state(t), parts.state(t)); diff != "" {
					t.Fatalf("seed %d, after %d, %+v: one transaction (-), steps (+):\n%s", seed, n, what, diff)
				}
			}
			if diff := gocmp.Diff(whole.history(t), parts.history(t)); diff != "" {
				t.Errorf("seed %d: history: one transaction (-), steps (+):\n%s", seed, diff)
			}
			whole.verified(t, "in one transaction")
			parts.verified(t, "in steps")
		})
	}
}

// twin is a directory whose users and groups have names beside their ids, the same
// ones in another.
type twin struct {
	place
	other store.ConnectionRef
	ids   map[string]string
	// users and groups are the names of those who are there.
	users, groups []string
	// ends are the numbers of the last changes of what was done.
	ends []int64
}

func newTwin(t *testing.T, s *store.Store) *twin {
	t.Helper()
	w := &twin{place: acme(t, s), ids: map[string]string{
		"nobody": "019c0000-0000-7000-8000-000000000000", "nonsense": "no id at all",
	}}
	w.write(t, func(tx *store.Tx) error {
		c, err := tx.CreateConnection(t.Context(), "other", store.IdPOkta)
		w.other = c.Ref()
		return err
	})
	for n := range 8 {
		if err := (deed{kind: "create user", target: fmt.Sprint("user", n)}).do(t.Context(), w).Err; err != "" {
			t.Fatal(err)
		}
	}
	w.write(t, func(tx *store.Tx) error {
		u, err := tx.CreateUser(t.Context(), w.other, person("stranger", true))
		w.ids["stranger"] = string(u.ID)
		return err
	})
	w.ends = []int64{w.lastChange(t)}
	return w
}

// deed is something to do. A name with an exclamation mark stands for the id in capitals.
type deed struct {
	kind, target, rename string
	refused, long        bool
	replace              bool
	add, remove          []string
}

// outcome is what it came to.
type outcome struct {
	Err            string
	Added, Removed int
	Unknown        []string
}

// next makes up what to do.
func (w *twin) next(random *rand.Rand, n int) deed {
	one := func(names []string) string { return names[random.IntN(len(names))] }
	some := func(most int) (names []string) {
		all := slices.Concat(w.users, w.users, w.groups, slices.Sorted(maps.Keys(w.ids))) // those who are gone, too
		for range random.IntN(most + 1) {
			name := one(all)
			if random.IntN(8) == 0 {
				name += "!"
			}
			names = append(names, name)
		}
		return names
	}
	kind := one([]string{"create user", "delete user", "create group", "delete group", "change", "change", "change", "change", "change"})
	d := deed{kind: kind, refused: random.IntN(15) == 0, long: random.IntN(2) == 0}
	switch {
	case kind == "create user":
		d.target = fmt.Sprint("user", n+100)
	case kind == "delete user" && len(w.users) > 5:
		d.target = one(w.users)
	case kind == "create group" && len(w.groups) < 6, len(w.groups) == 0:
		d.kind, d.target, d.rename = "create group", fmt.Sprint("group", n), fmt.Sprint("name", random.IntN(9))
		d.add = some(8)
	case kind == "delete group":
		d.target = one(w.groups)
	default:
		d.kind, d.target = "change", one(w.groups)
		if random.IntN(30) == 0 {
			d.target = "nobody"
		}
		if random.IntN(5) == 0 {
			d.rename = fmt.Sprint("name", random.IntN(9))
		}
		d.replace = random.IntN(2) == 0
		d.add = some(8)
		d.remove = some(8)
		if !d.replace { // none in common
			d.remove = slices.DeleteFunc(d.remove, func(name string) bool {
				name = strings.TrimSuffix(name, "!")
				return slices.Contains(d.add, name) || slices.Contains(d.add, name+"!")
			})
		}
	}
	return d
}

var errRefused = errors.New("refused")

func (d deed) do(ctx context.Context, w *twin) (o outcome) {
	refs := func(names []string) (ids []store.MemberID) {
		for _, name := range names {
			id := w.ids[strings.TrimSuffix(name, "!")]
			if strings.HasSuffix(name, "!") {
				id = strings.ToUpper(id)
			}
			ids = append(ids, store.MemberID(id))
		}
		return ids
	}
	id := w.ids[d.target]
	allowed := func(store.Group) error {
		if d.refused {
			return errRefused
		}
		return nil
	}
	var err error
	var res store.MembersResult
	switch d.kind {
	case "create user":
		err = w.Write(ctx, w.actor, func(tx *store.Tx) error {
			u, err := tx.CreateUser(ctx, w.ref, person(d.target, true))
			id = string(u.ID)
			return err
		})
		w.ids[d.target], w.users = id, append(w.users, d.target)
	case "delete user":
		err = w.Write(ctx, w.actor, func(tx *store.Tx) error { return tx.DeleteUser(ctx, w.ref, store.UserID(id)) })
		w.users = slices.DeleteFunc(w.users, func(name string) bool { return name == d.target })
	case "create group":
		var g store.Group
		g, res, err = w.CreateGroup(ctx, w.actor, w.ref, team(d.rename), refs(d.add))
		if err == nil {
			w.ids[d.target], w.groups = string(g.ID), append(w.groups, d.target)
		}
	case "delete group":
		err = w.DeleteGroupIf(ctx, w.actor, w.ref, store.GroupID(id), allowed)
		if err == nil {
			w.groups = slices.DeleteFunc(w.groups, func(name string) bool { return name == d.target })
		}
	case "change":
		_, res, err = w.UpdateGroup(ctx, w.actor, w.ref, store.GroupID(id), d.long, func(g store.Group) (store.Group, store.MemberDelta, error) {
			if d.rename != "" {
				named := team(d.rename)
				g.DisplayName, g.Doc, g.Search = named.DisplayName, named.Doc, named.Search
			}
			return g, store.MemberDelta{Replace: d.replace, Add: refs(d.add), Remove: refs(d.remove)}, allowed(g)
		})
	}
	for _, kind := range []error{errRefused, store.ErrNotFound, store.ErrTaken, store.ErrCycle, store.ErrUnknownMembers} {
		if errors.Is(err, kind) {
			o.Err = kind.Error()
		}
	}
	if err != nil && o.Err == "" {
		o.Err = "something else: " + err.Error()
	}
	if err == nil {
		o.Added, o.Removed = res.Added, res.Removed
		for _, id := range res.Unknown {
			o.Unknown = append(o.Unknown, cmp.Or(w.name(string(id)), string(id)))
		}
	}
	var last int64
	if err := w.DB().QueryRow(`SELECT MAX(seq) FROM changes`).Scan(&last); err != nil {
		o.Err += err.Error()
	}
	w.ends = append(w.ends, last)
	return o
}

// name is what an id is called.
func (w *twin) name(id string) string {
	for name, of := range w.ids {
		if of == id {
			return name
		}
	}
	return ""
}

// state is who and what is in each group, by its name.
func (w *twin) state(t *testing.T) map[string][]string {
	t.Helper()
	state := map[string][]string{}
	rows, err := w.DB().Query(`SELECT g.id, g.display_name, COALESCE(g.unfinished, ''), COALESCE(m.id, '') FROM groups g LEFT JOIN (
		SELECT group_id, user_id AS id FROM members UNION ALL SELECT group_id, member_id FROM subgroups) m ON m.group_id = g.id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, called, unfinished, member string
		if err := rows.Scan(&id, &called, &unfinished, &member); err != nil {
			t.Fatal(err)
		}
		key := w.name(id) + " " + called + " " + unfinished
		state[key] = append(state[key], w.name(member))
	}
	for _, members := range state {
		slices.Sort(members)
	}
	return state
}

// history is what the log says was done, and by which of it each membership began and
// ended.
func (w *twin) history(t *testing.T) map[string]int {
	t.Helper()
	db, history, by := w.DB(), map[string]int{}, map[string]int{}
	rows, err := db.Query(`SELECT seq, id, action, subject_id, subject_name, detail FROM changes WHERE subject_kind IN ('user', 'group') ORDER BY seq`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		var id, action, subject, called, detail string
		if err := rows.Scan(&seq, &id, &action, &subject, &called, &detail); err != nil {
			t.Fatal(err)
		}
		n, _ := slices.BinarySearch(w.ends, seq)
		by[id] = n
		what := fmt.Sprintf("%d %s %s %s", n, action, w.name(subject), called)
		if action != store.MembersChanged {
			history[what+" "+detail]++
			continue
		}
		var counts struct{ Added, Removed int }
		if err := json.Unmarshal([]byte(detail), &counts); err != nil {
			t.Fatal(err)
		}
		history[what+" added"] += counts.Added
		history[what+" removed"] += counts.Removed
	}
	memberships, err := db.Query(`SELECT group_id, user_id, change_id, '' FROM members UNION ALL SELECT group_id, user_id, change_id, end_change_id FROM members_past
		UNION ALL SELECT group_id, member_id, change_id, '' FROM subgroups UNION ALL SELECT group_id, member_id, change_id, end_change_id FROM subgroups_past`)
	if err != nil {
		t.Fatal(err)
	}
	defer memberships.Close()
	for memberships.Next() {
		var group, member, began, ended string
		if err := memberships.Scan(&group, &member, &began, &ended); err != nil {
			t.Fatal(err)
		}
		history[fmt.Sprintf("%s in %s: %d to %d", w.name(member), w.name(group), by[began], by[ended])]++
	}
	return history
}
