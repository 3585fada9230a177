package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// TestCrowdAtOneRow has many accept one invitation at once, by a process that has just
// started: all but one wait for a row, while nothing is prepared yet. A stall would end
// with the databases' patience, and an error.
func TestCrowdAtOneRow(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		ctx := t.Context()
		p := acme(t, open(t, url, store.Options{}))
		for range 5 {
			var secret string
			p.write(t, func(tx *store.Tx) (err error) {
				_, secret, err = tx.CreateInvitation(ctx, store.Invitation{Kind: access.KindGuest, DisplayName: "Jan Klus", Form: store.InvitationCode})
				return err
			})
			fresh, err := store.Open(ctx, url, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			var in atomic.Int32
			for range 40 {
				all.Go(func() {
					if _, err := fresh.InvitationBySecret(ctx, secret); err != nil {
						t.Error(err)
					}
					err := fresh.Write(ctx, p.actor, func(tx *store.Tx) error {
						v, err := tx.AcceptInvitation(ctx, secret)
						if err == nil {
							_, _, err = tx.CreateSession(ctx, store.Session{UserID: v.UserID, Method: store.MethodInvitation})
						}
						return err
					})
					switch {
					case err == nil:
						in.Add(1)
					case !errors.Is(err, store.ErrNotFound):
						t.Error(err)
					}
				})
			}
			all.Wait()
			if in.Load() != 1 {
				t.Errorf("%d of 40 accepted it, want 1", in.Load())
			}
			if err := fresh.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestTransactionsNeedOneConnection has all connections but a transaction's own wait
// for something that only ends after it: whatever the transaction asks, and however
// many statements there are, it goes on.
func TestTransactionsNeedOneConnection(t *testing.T) {
	t.Parallel()
	url := postgresURL(t)
	db := raw(t, url)
	s := open(t, url, store.Options{Connections: 2})
	p := acme(t, s)
	ctx := t.Context()
	var ann store.User
	p.write(t, func(tx *store.Tx) (err error) { ann, err = tx.CreateUser(ctx, p.ref, person("ann", true)); return err })
	unheard := 0
	// users asks what nobody has asked.
	users := func(ask func(context.Context, store.ConnectionRef, store.Query) ([]store.User, int, error)) error {
		unheard++
		nick := store.Attr{Path: []string{fmt.Sprintf("unheard%d", unheard)}}
		_, _, err := ask(ctx, p.ref, store.Query{Filter: store.Present{Attr: nick}, Limit: 1})
		return err
	}
	for why, hold := range map[string]func(tx *store.Tx, meanwhile func()) error{
		"a new query": func(tx *store.Tx, meanwhile func()) error {
			meanwhile()
			return users(tx.Users)
		},
		"the end of a new query": func(tx *store.Tx, meanwhile func()) error {
			unheard++
			return tx.Walk(ctx, meanwhile, fmt.Sprintf(`SELECT %d`, unheard))
		},
	} {
		for _, full := range []bool{false, true} {
			for full && s.Prepared() < store.MaxStatements {
				if err := users(s.Users); err != nil {
					t.Fatal(err)
				}
			}
			var others *others
			err := p.Write(ctx, p.actor, func(tx *store.Tx) error {
				_, err := tx.ChangePerson(ctx, ann.ID, func(p store.Person) store.Person { return p })
				if err != nil {
					return err
				}
				return hold(tx, func() { others = waiting(t, db, s) })
			})
			if err != nil {
				t.Errorf("%s, full %t: %v", why, full, err)
			}
			others.release(t, why)
		}
	}
}

// others are reads that wait for a table.
type others struct {
	lock *sql.Tx
	done chan error
}

// waiting has reads of a store take every connection that is left, and returns once
// they have.
func waiting(t *testing.T, db *sql.DB, s *store.Store) *others {
	t.Helper()
	lock, err := db.Begin()
	if err == nil {
		_, err = lock.Exec(`LOCK TABLE drafts IN ACCESS EXCLUSIVE MODE`)
	}
	if err != nil {
		t.Fatal(err)
	}
	o := &others{lock: lock, done: make(chan error, 1)}
	id := store.NewSiteID()
	go func() {
		_, err := s.Draft(t.Context(), store.TenantID(id), store.UserID(id), store.DraftID(id))
		o.done <- err
	}()
	for deadline := time.Now().Add(2 * time.Minute); ; runtime.Gosched() {
		var n int
		if err := db.QueryRow(`SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			return o
		}
		if time.Now().After(deadline) {
			t.Fatal("nobody waits")
		}
	}
}

// release lets them go on. Whoever has not waited until now, but as long as the
// database lets one, has held up what was to go on meanwhile.
func (o *others) release(t *testing.T, why string) {
	t.Helper()
	if err := o.lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-o.done; !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%s: the transaction went on only after the others: %v", why, err)
	}
}
