package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse/store"
)

// TestStepsThatStop has a change of a group stop half way, as if the disk were full,
// and then finished: by whoever comes next, or by the next process.
func TestStepsThatStop(t *testing.T) {
	t.Parallel()
	type change func(ctx context.Context, s *store.Store, p place, crew store.GroupID, ids []store.MemberID) (store.GroupID, error)
	replace := func(ctx context.Context, s *store.Store, p place, crew store.GroupID, ids []store.MemberID) (store.GroupID, error) {
		_, _, err := s.UpdateGroup(ctx, p.actor, p.ref, crew, true, func(g store.Group) (store.Group, store.MemberDelta, error) {
			return g, store.MemberDelta{Replace: true, Add: ids[3:]}, nil
		})
		return crew, err
	}
	create := func(ctx context.Context, s *store.Store, p place, _ store.GroupID, ids []store.MemberID) (store.GroupID, error) {
		_, _, err := s.CreateGroup(ctx, p.actor, p.ref, team("fresh"), ids[3:])
		groups, _, find := s.Groups(ctx, p.ref, store.Query{Limit: 10})
		if find != nil {
			t.Fatal(find)
		}
		i := slices.IndexFunc(groups, func(g store.Group) bool { return g.DisplayName == "fresh" })
		return groups[i].ID, err
	}
	remove := func(ctx context.Context, s *store.Store, p place, crew store.GroupID, _ []store.MemberID) (store.GroupID, error) {
		return crew, s.DeleteGroupIf(ctx, p.actor, p.ref, crew, func(store.Group) error { return nil })
	}
	for _, test := range []struct {
		why     string
		change  change
		stop    string // what the database refuses, with %s for the last user of all
		gone    bool   // the group is gone at the end; otherwise it has those from the fourth on
		details []string
	}{
		{"replaced, stopped where some come", replace, `BEFORE INSERT ON members WHEN NEW.user_id = '%s'`, false, []string{`{"added":3,"removed":3}`}},
		{"replaced, stopped where some go", replace, `BEFORE DELETE ON members WHEN '%s' <> ''`, false, []string{`{"added":3,"removed":3}`}},
		{"replaced, stopped at the end", replace, `BEFORE DELETE ON unfinished WHEN '%s' <> ''`, false, []string{`{"added":3,"removed":3}`}},
		{"made", create, `BEFORE INSERT ON members WHEN NEW.user_id = '%s'`, false, []string{"{}", `{"added":6,"removed":0}`}},
		{"deleted", remove, `BEFORE INSERT ON members_past WHEN NEW.user_id < '%s'`, true, []string{"{}"}},
	} {
		for _, next := range []string{"the next change", "the next process"} {
			t.Run(test.why+", "+next, func(t *testing.T) {
				t.Parallel()
				url, ctx := sqliteURL(t), t.Context()
				s := open(t, url, store.Options{}).SetSteps(2, 1, 2)
				p := acme(t, s)
				ids := p.addSome(t, 9)
				g, _, err := s.CreateGroup(ctx, p.actor, p.ref, team("crew"), ids[:6])
				if err != nil {
					t.Fatal(err)
				}
				before := p.lastChange(t)
				db := raw(t, url)
				mustExec(t, db, `CREATE TRIGGER stop `+fmt.Sprintf(test.stop, ids[8])+` BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
				group, err := test.change(ctx, s, p, g.ID, ids)
				if err == nil || !strings.Contains(err.Error(), "the disk is full") {
					t.Fatalf("got %v, want the disk to be full", err)
				}
				if begun := column(t, db, `SELECT group_id FROM unfinished`); !slices.Equal(begun, []string{string(group)}) {
					t.Fatalf("begun: got %v, want the change of %s", begun, group)
				}
				p.verified(t, "half way")
				mustExec(t, db, `DROP TRIGGER stop`)
				if !test.gone { // somebody leaves meanwhile, who was to stay or to come
					p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, store.UserID(ids[4])) })
				}

				if next == "the next process" {
					s = open(t, url, store.Options{})
					if err := s.FinishChanges(ctx); err != nil {
						t.Fatal(err)
					}
					p.Store = s
				} else {
					_, _, err := s.UpdateGroup(ctx, p.actor, p.ref, group, false, func(g store.Group) (store.Group, store.MemberDelta, error) {
						return g, store.MemberDelta{Remove: ids[8:]}, nil
					})
					if test.gone != (err != nil) {
						t.Fatalf("the next change: got %v, want an error: %v", err, test.gone)
					}
				}
				p.verified(t, "at the end")
				for _, table := range []string{"unfinished", "unfinished_parts"} {
					if left := column(t, db, `SELECT change_id FROM `+table); len(left) > 0 {
						t.Errorf("%s: got %v, want nothing", table, left)
					}
				}
				var want []string
				if !test.gone {
					for _, id := range slices.Concat(ids[3:4], ids[5:]) {
						want = append(want, string(id))
					}
					if next == "the next change" {
						want = want[:len(want)-1]
					}
				}
				if got := column(t, db, `SELECT user_id FROM members WHERE group_id = ? ORDER BY user_id`, group); !slices.Equal(got, want) {
					t.Errorf("members: got %v, want %v", got, want)
				}
				details := column(t, db, `SELECT detail FROM changes WHERE subject_id = ? AND seq > ? AND detail NOT LIKE '%named%' ORDER BY seq`, group, before)
				if !slices.Equal(details, test.details) {
					t.Errorf("log: got %v, want %v", details, test.details)
				}
			})
		}
	}
}

// TestPartsOfNothing removes what was written down of changes that never began, and
// leaves alone what somebody may be writing just now.
func TestPartsOfNothing(t *testing.T) {
	t.Parallel()
	url, now := sqliteURL(t), newClock()
	s := open(t, url, store.Options{Now: now.Now})
	p := acme(t, s)
	db := raw(t, url)
	old, young := "019c0000-0000-7000-8000-000000000000", "fffcaf4a-0000-7000-8000-000000000000"
	for _, id := range []string{old, young} {
		if _, err := db.Exec(`INSERT INTO unfinished_parts VALUES (?, ?, 0, '[]', '[]')`, p.ref.Tenant, id); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.FinishChanges(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := column(t, db, `SELECT change_id FROM unfinished_parts`); !slices.Equal(left, []string{young}) {
		t.Errorf("got %v left, want %s", left, young)
	}
}

// addSome makes users and gives their ids in order.
func (p place) addSome(t *testing.T, n int) (ids []store.MemberID) {
	t.Helper()
	p.write(t, func(tx *store.Tx) error {
		ids = nil
		for i := range n {
			u, err := tx.CreateUser(t.Context(), p.ref, person(fmt.Sprintf("user%d", i), true))
			if err != nil {
				return err
			}
			ids = append(ids, store.MemberID(u.ID))
		}
		return nil
	})
	return ids
}

// lastChange is the number of the newest change.
func (p place) lastChange(t *testing.T) (seq int64) {
	t.Helper()
	if err := p.DB().QueryRow(`SELECT MAX(seq) FROM changes`).Scan(&seq); err != nil && err != sql.ErrNoRows {
		t.Fatal(err)
	}
	return seq
}

func (p place) verified(t *testing.T, when string) {
	t.Helper()
	findings, err := p.Verify(t.Context())
	if err != nil || len(findings) > 0 {
		t.Errorf("verify %s: got %v, %v, want nothing", when, findings, err)
	}
}
