package store_test

import (
	"context"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"gatehouse/store"
	"gatehouse/store/storetest"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *store.Store { return open(t, sqliteURL(t), store.Options{}) })
}

// TestSQLiteInSteps has more than two members come and go in steps of one.
func TestSQLiteInSteps(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) *store.Store { return open(t, sqliteURL(t), store.Options{}).SetSteps(2, 1, 2) })
}

// TestLongWritesStandAside has two long writes and two short ones, with room for one
// at a time: the short ones wait for one of the long, not for both.
func TestLongWritesStandAside(t *testing.T) {
	t.Parallel()
	p := acme(t, open(t, sqliteURL(t), store.Options{}))
	waiting := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(2 * time.Minute); p.Waiting() != n; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%d writes wait, want %d", p.Waiting(), n)
			}
		}
	}
	var order []string // only one writes at a time
	var all sync.WaitGroup
	began, release := make(chan struct{}, 4), make(chan struct{})
	begin := func(name string, write func(context.Context, store.Actor, func(*store.Tx) error) error) {
		all.Go(func() {
			err := write(t.Context(), p.actor, func(tx *store.Tx) error {
				began <- struct{}{}
				<-release
				order = append(order, name)
				_, err := tx.CreateUser(t.Context(), p.ref, person(name, true))
				return err
			})
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	begin("long", p.WriteLong)
	<-began
	begin("longer", p.WriteLong)
	for i, name := range []string{"short", "another"} {
		begin(name, p.Write)
		waiting(i + 1)
	}
	close(release)
	all.Wait()
	if want := []string{"long", "short", "another", "longer"}; !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
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
