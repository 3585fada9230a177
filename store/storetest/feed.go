package storetest

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/store"
)

// changesInOrder has many write at once while somebody follows the log: nothing is
// missing in the end and nothing came twice.
func changesInOrder(t *testing.T, s *store.Store) { Feed(t, s, s, false) }

// Feed is the same with two stores of one database. Some writers may be slow: they
// keep a transaction open that has begun to write, until others that began later
// have committed. On SQLite nobody could.
func Feed(t *testing.T, one, two *store.Store, slow bool) {
	const writers, each = 12, 12
	ctx := t.Context()
	p, other := newPlace(t, one, "feed", "entra"), newPlace(t, one, "noise", "entra")
	var running atomic.Int32
	running.Store(writers)
	var committed atomic.Int32 // by the quick
	var all sync.WaitGroup
	for w := range writers {
		st, to := one, p
		if w%2 == 1 {
			st = two
		}
		if w%4 == 3 {
			to = other
		}
		all.Go(func() {
			defer running.Add(-1)
			for i := range each {
				err := st.Write(ctx, to.actor, func(tx *store.Tx) error {
					g, _, err := tx.CreateGroup(ctx, to.ref, team(fmt.Sprintf("g-%d-%d", w, i), nil), nil)
					if err != nil || i%3 > 0 {
						return err
					}
					// An open transaction, older than others that will be done before.
					if _, err := tx.Group(ctx, to.ref, g.ID); err != nil {
						return err
					}
					if slow && w < 3 {
						for until := min(committed.Load()+5, (writers-3)*each); committed.Load() < until; {
							runtime.Gosched()
						}
					}
					_, _, err = tx.CreateGroup(ctx, to.ref, team(fmt.Sprintf("h-%d-%d", w, i), nil), nil)
					return err
				})
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
				if w >= 3 {
					committed.Add(1)
				}
			}
		})
	}
	const want = 2 + writers*3/4*each*4/3
	seen := map[store.ChangeID]bool{}
	cursor := ""
	// Transactions of other tests on the same server hold changes back for a while.
	for end := time.Now().Add(2 * time.Minute); running.Load() > 0 || len(seen) < want && time.Now().Before(end); {
		changes, next, err := two.ChangesSince(ctx, p.ref.Tenant, cursor, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if seen[c.ID] || c.TenantID != p.ref.Tenant {
				t.Fatalf("change %s of tenant %s: twice, or another's", c.ID, c.TenantID)
			}
			seen[c.ID] = true
		}
		cursor = next
	}
	all.Wait()
	changes, err := p.Changes(ctx, p.ref.Tenant, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if !seen[c.ID] {
			t.Errorf("change %s, %s %s, was passed over", c.ID, c.Action, c.SubjectName)
		}
	}
	if len(seen) != want || len(changes) != want {
		t.Errorf("changes: got %d by cursor, %d in the log, want %d", len(seen), len(changes), want)
	}
	// What another tenant did last may still have to be walked over, once it is shown.
	for end := time.Now().Add(2 * time.Minute); ; {
		again, next, err := one.ChangesSince(ctx, p.ref.Tenant, cursor, 7)
		if err != nil || len(again) > 0 || time.Now().After(end) {
			t.Fatalf("at the end: got %v, %q, %v, want nothing at %q", again, next, err, cursor)
		}
		if next == cursor {
			break
		}
		cursor = next
	}
	for _, odd := range []string{"x", "-1", "1.x", "9" + strings.Repeat("9", 15), "9" + strings.Repeat("9", 15) + ".00000000-0000-0000-0000-000000000000", "1.0.0", "1'"} {
		_, _, err := one.ChangesSince(ctx, p.ref.Tenant, odd, 7)
		wantErr(t, "cursor "+odd, err, store.ErrCursor)
	}
}
