package store_test

import (
	"context"
	"os"
	"testing"

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

var migrated = pgtest.Template{Prepare: func(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}}

func postgresURL(t *testing.T) string {
	t.Helper()
	return migrated.URL(t)
}
