package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/pgtest"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

// onBoth runs a test on a migrated database of each kind.
func onBoth(t *testing.T, test func(t *testing.T, url string)) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{"sqlite": sqliteURL, "postgres": postgresURL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, url(t))
		})
	}
}

// onBothEmpty is onBoth before the first migration.
func onBothEmpty(t *testing.T, test func(t *testing.T, url string)) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{"sqlite": newFile, "postgres": func(t *testing.T) string { return pgtest.URL(t) }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, url(t))
		})
	}
}

func open(t *testing.T, url string, opts store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// raw is the database behind the store's back.
func raw(t *testing.T, url string) *sql.DB {
	t.Helper()
	driver, source := "postgres", url
	if file, ok := strings.CutPrefix(url, "sqlite://"); ok {
		driver, source = "sqlite", "file:"+strings.NewReplacer("%", "%25", "#", "%23").Replace(file)+"?_pragma=busy_timeout(60000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func mustExec(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// column gives the one column of a query's rows as text.
func column(t *testing.T, db *sql.DB, query string, args ...any) (values []string) {
	t.Helper()
	rows, err := db.Query(query, args...)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		values = append(values, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return values
}

func isSQLite(url string) bool { return strings.HasPrefix(url, "sqlite://") }

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// place is a connection to write to.
type place struct {
	*store.Store
	actor store.Actor
	conn  store.Connection
	ref   store.ConnectionRef
}

func acme(t *testing.T, s *store.Store) place {
	t.Helper()
	return acmeNamed(t, s, "acme")
}

func acmeNamed(t *testing.T, s *store.Store, name string) place {
	t.Helper()
	p := place{Store: s, actor: store.Actor{Kind: store.ActorSCIM, ID: "token-7"}}
	tenant, err := s.EnsureTenant(t.Context(), p.actor, name)
	if err != nil {
		t.Fatal(err)
	}
	p.actor.Tenant = tenant.ID
	p.write(t, func(tx *store.Tx) error {
		p.conn, err = tx.CreateConnection(t.Context(), "entra", store.IdPEntra)
		return err
	})
	p.ref = p.conn.Ref()
	return p
}

func (p place) write(t testing.TB, f func(*store.Tx) error) {
	t.Helper()
	if err := p.Write(t.Context(), p.actor, f); err != nil {
		t.Fatal(err)
	}
}

// person and team are as the edge would make them.
func person(name string, active bool) store.User {
	return store.User{UserName: name, DisplayName: name, Active: active, ExternalID: "x-" + name, Emails: []string{name + "@corp.example"},
		Doc:    fmt.Appendf(nil, `{"userName":%q,"externalId":"x-%s","active":%t}`, name, name, active),
		Search: fmt.Appendf(nil, `{"username":%q,"emails":[{"value":"%s@corp.example"}]}`, name, name)}
}

func team(name string) store.Group {
	doc := fmt.Appendf(nil, `{"displayname":%q}`, name)
	return store.Group{DisplayName: name, Doc: doc, Search: doc}
}

func TestTwoStoresOnOneDatabase(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		storetest.Crowd(t, open(t, url, store.Options{}), open(t, url, store.Options{}))
	})
}

func TestTwoStoresAnswerFromOneState(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		storetest.NeverTogether(t, open(t, url, store.Options{}), open(t, url, store.Options{}))
	})
}

func TestFirstAnswersKnowGroupsWithinGroups(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		storetest.FirstAnswers(t, func() *store.Store { return open(t, url, store.Options{}) })
	})
}

func TestTwoStoresFollowTheLog(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		storetest.Feed(t, open(t, url, store.Options{}), open(t, url, store.Options{}), !isSQLite(url))
	})
}

func TestTwoStoresKeepAnOwner(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		storetest.OwnersLeave(t, open(t, url, store.Options{}), open(t, url, store.Options{}))
	})
}

// After pg_restore the server counts transactions from the beginning.
func TestTheLogSurvivesAnotherServer(t *testing.T) {
	t.Parallel()
	url := postgresURL(t)
	p := acme(t, open(t, url, store.Options{}))
	ctx := t.Context()
	mustExec(t, raw(t, url), `UPDATE changes SET xid = '1000000000'`)
	_, err := store.Migrate(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, func(tx *store.Tx) error {
		_, err := tx.CreateUser(ctx, p.ref, person("ann", true))
		return err
	})
	var actions []string
	cursor := ""
	for end := time.Now().Add(2 * time.Minute); len(actions) < 3 && time.Now().Before(end); {
		var changes []store.Change
		if changes, cursor, err = p.ChangesSince(ctx, p.ref.Tenant, cursor, 1); err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			actions = append(actions, c.Action)
		}
	}
	if want := []string{store.TenantCreated, store.ConnectionCreated, store.UserCreated}; !slices.Equal(actions, want) {
		t.Errorf("got %v, want %v", actions, want)
	}
	_, _, err = p.ChangesSince(ctx, p.ref.Tenant, "1000000000.01990000-0000-7000-8000-000000000000", 1)
	if !errors.Is(err, store.ErrCursor) {
		t.Errorf("a cursor of the other server: got %v, want %v", err, store.ErrCursor)
	}
}

// TestLostStatement has the database refuse one of many statements that wait for each
// other, as it runs or as it is prepared: nothing is written, however many they are.
func TestLostStatement(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		p := acme(t, open(t, url, store.Options{}))
		create := func(name string, addresses int) error {
			u := person(name, true)
			for i := range addresses {
				u.Emails = append(u.Emails, fmt.Sprintf("%s%d@corp.example", name, i))
			}
			return p.Write(t.Context(), p.actor, func(tx *store.Tx) error {
				_, err := tx.CreateUser(t.Context(), p.ref, u)
				return err
			})
		}
		if err := create("ann", 1); err != nil {
			t.Fatal(err)
		}
		db := raw(t, url)
		before := column(t, db, `SELECT id FROM changes ORDER BY id`)
		for n := range 20 {
			if err := create("ann", n); !errors.Is(err, store.ErrTaken) {
				t.Errorf("another ann with %d addresses: got %v, want that the name is taken", n, err)
			}
		}
		mustExec(t, db, `DROP TABLE user_emails`)
		for n := range 20 {
			if err := create("bob", n); err == nil {
				t.Errorf("bob with %d addresses that can't be kept: got no error", n)
			}
		}
		if after := column(t, db, `SELECT id FROM changes ORDER BY id`); !slices.Equal(after, before) {
			t.Errorf("log: got %v, want %v", after, before)
		}
	})
}
