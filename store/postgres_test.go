package store_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"gatehouse/internal/pgtest"
	"gatehouse/store"
	"gatehouse/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// Few connections, so that a transaction which needs a second one is found out.
func TestPostgres(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *store.Store { return open(t, postgresURL(t), store.Options{Connections: 4}) })
}

// Tables that were analyzed while those who filled them had not committed are analyzed
// again: PostgreSQL would take them for empty.
func TestFilledTablesAreNotTakenForEmpty(t *testing.T) {
	t.Parallel()
	url := postgresURL(t)
	s, db := open(t, url, store.Options{}), raw(t, url)
	p := acme(t, s)
	const many = 3000
	p.write(t, func(tx *store.Tx) error {
		for i := range many {
			if _, err := tx.CreateUser(t.Context(), p.ref, person(fmt.Sprintf("user%04d", i), true)); err != nil {
				return err
			}
		}
		mustExec(t, db, `ANALYZE users`)
		return nil
	})
	var taken float64
	for deadline := time.Now().Add(time.Minute); taken < many; time.Sleep(10 * time.Millisecond) {
		if err := db.QueryRow(`SELECT reltuples FROM pg_class WHERE relname = 'users'`).Scan(&taken); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("PostgreSQL takes a table of %d users for one of %.0f", many, taken)
		}
	}
}

var migrated = pgtest.Template{Prepare: func(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}}

func postgresURL(t *testing.T) string {
	t.Helper()
	return migrated.URL(t)
}
