package store_test

import (
	"path/filepath"
	"testing"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *store.Store { return open(t, sqliteURL(t), store.Options{}) })
}

func newFile(t *testing.T) string {
	t.Helper()
	return "sqlite://" + filepath.Join(t.TempDir(), "100% #1.db") // as people name files
}

func sqliteURL(t *testing.T) string {
	t.Helper()
	url := newFile(t)
	if _, err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return url
}
