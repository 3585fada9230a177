package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
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
				if err := s.Forget(ctx, p.actor, store.ChangeID(column(t, db, `SELECT change_id FROM unfinished`)[0])); err != nil {
					t.Fatal(err) // it has begun, so that nothing is forgotten
				}
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

// TestPartsThatAreGone has what was written down disappear before the change begins.
func TestPartsThatAreGone(t *testing.T) {
	t.Parallel()
	url := sqliteURL(t)
	s := open(t, url, store.Options{}).SetSteps(2, 1, 2)
	p := acme(t, s)
	ids := p.addSome(t, 6)
	g, _, err := s.CreateGroup(t.Context(), p.actor, p.ref, team("crew"), ids[:2])
	if err != nil {
		t.Fatal(err)
	}
	db := raw(t, url)
	mustExec(t, db, `CREATE TRIGGER gone AFTER INSERT ON unfinished_parts WHEN NEW.part = 0 BEGIN DELETE FROM unfinished_parts; END`)
	if _, _, err := s.CreateGroup(t.Context(), p.actor, p.ref, team("fresh"), ids); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("create: got %v, want %v", err, store.ErrUnavailable)
	}
	_, _, err = s.UpdateGroup(t.Context(), p.actor, p.ref, g.ID, true, func(g store.Group) (store.Group, store.MemberDelta, error) {
		return g, store.MemberDelta{Replace: true, Add: ids[2:]}, nil
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("replace: got %v, want %v", err, store.ErrUnavailable)
	}
	if got := column(t, db, `SELECT group_id || user_id FROM members ORDER BY 1`); !slices.Equal(got, []string{string(g.ID) + string(ids[0]), string(g.ID) + string(ids[1])}) {
		t.Errorf("got members %v, want the first two of the crew", got)
	}
	p.verified(t, "at the end")
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

// TestUnreadParts has the database refuse to say what is left of a change, and then say
// it: all of it is done.
func TestUnreadParts(t *testing.T) {
	t.Parallel()
	url, ctx := sqliteURL(t), t.Context()
	s := open(t, url, store.Options{}).SetSteps(2, 1, 1)
	p := acme(t, s)
	ids := p.addSome(t, 9)
	crew, _, err := s.CreateGroup(ctx, p.actor, p.ref, team("crew"), ids[:6])
	if err != nil {
		t.Fatal(err)
	}
	db := raw(t, url)
	mustExec(t, db, `CREATE TRIGGER stop BEFORE DELETE ON members BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
	change := func(s *store.Store, delta store.MemberDelta) error {
		_, _, err := s.UpdateGroup(ctx, p.actor, p.ref, crew.ID, false, func(g store.Group) (store.Group, store.MemberDelta, error) { return g, delta, nil })
		return err
	}
	if err := change(s, store.MemberDelta{Replace: true, Add: ids[3:]}); err == nil {
		t.Fatal("got no error, want the disk to be full")
	}
	mustExec(t, db, `DROP TRIGGER stop`, `UPDATE unfinished_parts SET come = '!' || come WHERE part = 1`)

	next := open(t, url, store.Options{})
	if err := change(next, store.MemberDelta{Add: ids[8:]}); err == nil {
		t.Fatal("got no error, want one of the part that can't be read")
	}
	mustExec(t, db, `UPDATE unfinished_parts SET come = substr(come, 2) WHERE part = 1`)
	if err := change(next, store.MemberDelta{Add: ids[8:]}); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, id := range ids[3:] {
		want = append(want, string(id))
	}
	if got := column(t, db, `SELECT user_id FROM members ORDER BY user_id`); !slices.Equal(got, want) {
		t.Errorf("members: got %v, want %v", got, want)
	}
}

// TestLargeChangeBesideLeavers exchanges a group while its members are deleted one after
// the other: it doesn't wait for the last of them.
func TestLargeChangeBesideLeavers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s := open(t, sqliteURL(t), store.Options{}).SetSteps(2, 50, 200)
	p := acme(t, s)
	ids := p.addSome(t, 700)
	crew, _, err := s.CreateGroup(ctx, p.actor, p.ref, team("crew"), ids[:690])
	if err != nil {
		t.Fatal(err)
	}
	done, begun := make(chan error, 1), make(chan bool)
	gone := 0
	for i, id := range ids[:680] {
		p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, store.UserID(id)) })
		if i == 0 {
			go func() {
				close(begun)
				_, _, err := s.UpdateGroup(ctx, p.actor, p.ref, crew.ID, true, func(g store.Group) (store.Group, store.MemberDelta, error) {
					return g, store.MemberDelta{Replace: true, Add: ids[680:]}, nil
				})
				done <- err
			}()
			<-begun
		}
		if len(done) > 0 {
			gone = i + 1
			break
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if gone == 0 {
		t.Error("the change was made when nobody was left to be deleted")
	}
	t.Logf("%d were deleted meanwhile", gone)
	p.verified(t, "at the end")
}

// TestTwoProcessesOnOneChange has another process finish what one is in the middle of: it
// is done once, and the log says how many came and went.
func TestTwoProcessesOnOneChange(t *testing.T) {
	t.Parallel()
	url, ctx := sqliteURL(t), t.Context()
	s, other := open(t, url, store.Options{}).SetSteps(2, 1, 5), open(t, url, store.Options{}).SetSteps(2, 1, 5)
	p := acme(t, s)
	ids := p.addSome(t, 40)
	crew, _, err := s.CreateGroup(ctx, p.actor, p.ref, team("crew"), ids[:20])
	if err != nil {
		t.Fatal(err)
	}
	before := p.lastChange(t)
	var helping sync.WaitGroup
	over := make(chan struct{})
	helping.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
			}
			if err := other.FinishChanges(ctx); err != nil {
				t.Error(err)
				return
			}
		}
	})
	const rounds = 30
	for n := range rounds {
		members := [][]store.MemberID{ids[20:], ids[:20]}[n%2]
		_, _, err := s.UpdateGroup(ctx, p.actor, p.ref, crew.ID, true, func(g store.Group) (store.Group, store.MemberDelta, error) {
			return g, store.MemberDelta{Replace: true, Add: members}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, id := range members {
			want = append(want, string(id))
		}
		if got := column(t, s.DB(), `SELECT user_id FROM members ORDER BY user_id`); !slices.Equal(got, want) {
			t.Fatalf("round %d: got %v, want %v", n, got, want)
		}
	}
	close(over)
	helping.Wait()
	details := column(t, s.DB(), `SELECT detail FROM changes WHERE subject_id = ? AND seq > ?`, crew.ID, before)
	if want := slices.Repeat([]string{`{"added":20,"removed":20}`}, rounds); !slices.Equal(details, want) {
		t.Errorf("log: got %v, want %v", details, want)
	}
	p.verified(t, "at the end")
}

// TestCountOfTwoProcesses has each of two processes do a part of a change, and the first
// one its end: the log says what both did.
func TestCountOfTwoProcesses(t *testing.T) {
	t.Parallel()
	url, ctx := sqliteURL(t), t.Context()
	s, other := open(t, url, store.Options{}).SetSteps(2, 1, 9), open(t, url, store.Options{}).SetSteps(2, 1, 9)
	p := acme(t, s)
	ids := p.addSome(t, 9)
	crew, _, err := s.CreateGroup(ctx, p.actor, p.ref, team("crew"), nil)
	if err != nil {
		t.Fatal(err)
	}
	db, before := raw(t, url), p.lastChange(t)
	add := func(s *store.Store) error {
		_, _, err := s.UpdateGroup(ctx, p.actor, p.ref, crew.ID, true, func(g store.Group) (store.Group, store.MemberDelta, error) {
			return g, store.MemberDelta{Add: ids}, nil
		})
		return err
	}
	for i, s := range []*store.Store{s, other} {
		mustExec(t, db, `DROP TRIGGER IF EXISTS stop`,
			fmt.Sprintf(`CREATE TRIGGER stop BEFORE INSERT ON members WHEN NEW.user_id = '%s' BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`, ids[3*i+3]))
		if err := add(s); err == nil {
			t.Fatal("got no error, want the disk to be full")
		}
	}
	mustExec(t, db, `DROP TRIGGER stop`)
	if err := add(s); err != nil {
		t.Fatal(err)
	}
	details := column(t, db, `SELECT detail FROM changes WHERE subject_id = ? AND seq > ?`, crew.ID, before)
	if want := []string{`{"added":9,"removed":0}`}; !slices.Equal(details, want) {
		t.Errorf("log: got %v, want %v", details, want)
	}
}
