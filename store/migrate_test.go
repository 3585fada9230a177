package store_test

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/store"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write migrations/*/schema.sql anew")

// The dumps let people read the schema at a glance.
func TestSchemaIsDumped(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		file, dump := "../migrations/sqlite/schema.sql", dumpSQLite
		if !isSQLite(url) {
			file, dump = "../migrations/postgres/schema.sql", dumpPostgres
		}
		got := dump(t, url)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s is not what the migrations make; run 'make schema' and look (-file +made):\n%s", file, diff)
		}
	})
}

func dumpSQLite(t *testing.T, url string) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("-- Made by 'make schema' from the migrations: read it, don't edit it.\n")
	rows, err := raw(t, url).Query(`SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name <> 'goose_db_version'
		AND tbl_name NOT LIKE 'sqlite_%' ORDER BY tbl_name, type DESC, name`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var statement string
		if err := rows.Scan(&statement); err != nil {
			t.Fatal(err)
		}
		text.WriteString("\n" + statement + ";\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// dumpPostgres leaves out what differs between servers and versions of pg_dump.
func dumpPostgres(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := u.User.Password()
	u.User = url.User(u.User.Username())
	cmd := exec.CommandContext(t.Context(), "pg_dump", "--schema-only", "--no-owner", "--no-privileges", "--no-tablespaces",
		"--exclude-table=goose_db_version", "--dbname="+u.String())
	cmd.Env = append(os.Environ(), "PGPASSWORD="+password, "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pg_dump: %v", err)
	}
	text := "-- Made by 'make schema' from the migrations: read it, don't edit it.\n"
	blank := false
	for line := range strings.Lines(string(out)) {
		switch {
		case strings.HasPrefix(line, "--"), strings.HasPrefix(line, "SET "), strings.HasPrefix(line, "SELECT pg_catalog."), strings.HasPrefix(line, `\`):
			continue
		case line == "\n":
			blank = true
			continue
		}
		if blank {
			text += "\n"
			blank = false
		}
		text += line
	}
	return text
}

func TestMigrate(t *testing.T) {
	onBothEmpty(t, func(t *testing.T, url string) {
		_, err := store.Open(t.Context(), url, store.Options{})
		if err == nil || !strings.Contains(err.Error(), "run 'gatehouse migrate'") {
			t.Errorf("open before migrating: got %v, want the way out", err)
		}
		first, err := store.Migrate(t.Context(), url)
		if err != nil || first < 1 {
			t.Fatalf("migrate: got %d, %v", first, err)
		}
		acme(t, open(t, url, store.Options{}))
		if again, err := store.Migrate(t.Context(), url); err != nil || again != first {
			t.Errorf("migrate again: got %d, %v, want %d", again, err, first)
		}
		if _, err := open(t, url, store.Options{}).TenantNamed(t.Context(), "acme"); err != nil {
			t.Errorf("after migrating again: %v, want all there", err)
		}
	})
}

// TestMigrationFindsWords has people whom a database holds from before it had their
// words: they are found like those who come later.
func TestMigrationFindsWords(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		s := open(t, url, store.Options{})
		p := acme(t, s)
		names := []string{"Ann Smit", "Máire O’Neill\u00a0Ruiz\u2011Öz (extern)", "1\t2\n3.4:5@6[7]8\\9^a_b`c{d|e}f~g\"h'i*j?k", "田中 太郎\u3000x", " -- ", "Ǆ ß ı"}
		for i, name := range names {
			p.write(t, func(tx *store.Tx) error {
				u := person(fmt.Sprintf("user%d", i), true)
				u.DisplayName = name
				_, err := tx.CreateUser(t.Context(), p.ref, u)
				return err
			})
		}
		clean(t, s)
		db := raw(t, url)
		const words = `SELECT CAST(user_id AS text) || ' ' || word FROM user_words ORDER BY 1`
		want := column(t, db, words)
		if err := store.MigrateDown(t.Context(), url, 16); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Migrate(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		if got := column(t, db, words); !slices.Equal(got, want) || len(got) < 25 {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestTenStartersMakeOneSchema(t *testing.T) {
	onBothEmpty(t, func(t *testing.T, url string) {
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				if _, err := store.Migrate(t.Context(), url); err != nil {
					t.Errorf("migrate: %v", err)
					return
				}
				s, err := store.Open(t.Context(), url, store.Options{Connections: 2})
				if err != nil {
					t.Errorf("open: %v", err)
					return
				}
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
		}
		all.Wait()
		var rows, versions int
		err := raw(t, url).QueryRow(`SELECT COUNT(*), COUNT(DISTINCT version_id) FROM goose_db_version`).Scan(&rows, &versions)
		if err != nil || rows != versions {
			t.Errorf("got %d rows for %d versions, %v, want each noted once", rows, versions, err)
		}
	})
}

// TestNoMigrationTwice has a starter make what another has made since it looked.
func TestNoMigrationTwice(t *testing.T) {
	url := newFile(t)
	version, err := store.Migrate(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	db := raw(t, url)
	if err := store.NoteMigration(t.Context(), db, version); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("a migration that is made: got %v, want it refused", err)
	}
	if err := store.NoteMigration(t.Context(), db, version+1); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		mustExec(t, raw(t, url), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`)
		want := "the database has schema 9999, and this gatehouse knows"
		if _, err := store.Open(t.Context(), url, store.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open: got %v, want %q", err, want)
		}
		if _, err := store.Migrate(t.Context(), url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("migrate: got %v, want %q", err, want)
		}
	})
}
