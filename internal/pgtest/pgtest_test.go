package pgtest

import (
	"context"
	"database/sql"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

func TestEachTestHasItsOwnDatabase(t *testing.T) {
	t.Parallel()
	first, second := open(t, URL(t)), open(t, URL(t))
	mustExec(t, first, "CREATE TABLE people (name text)")
	if _, err := second.Exec("SELECT name FROM people"); err == nil {
		t.Error("a table made in one test's database is seen in another's")
	}
}

func TestDatabaseIsDroppedAfterItsTest(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("inner", func(t *testing.T) {
		u, err := url.Parse(URL(t))
		if err != nil {
			t.Fatal(err)
		}
		name = strings.TrimPrefix(u.Path, "/")
		open(t, u.String())
	})
	admin, err := shared.url()
	if err != nil {
		t.Fatal(err)
	}
	if n := queryInt(t, open(t, admin), "SELECT count(*) FROM pg_database WHERE datname = '"+name+"'"); n != 0 {
		t.Errorf("database %s is still there", name)
	}
}

func TestTemplateIsPreparedOnceAndCopied(t *testing.T) {
	t.Parallel()
	prepared := 0
	template := &Template{Prepare: func(ctx context.Context, url string) error {
		prepared++
		return execute(url, "CREATE TABLE people AS SELECT 'Ada' AS name")
	}}
	first, second := open(t, template.URL(t)), open(t, template.URL(t))
	mustExec(t, first, "DELETE FROM people")
	if n := queryInt(t, second, "SELECT count(*) FROM people"); n != 1 || prepared != 1 {
		t.Errorf("got %d people in the second copy after %d preparations, want 1 and 1", n, prepared)
	}
}

func TestSortsAsPeopleDo(t *testing.T) {
	t.Parallel()
	var least string
	if err := open(t, URL(t)).QueryRow("SELECT min(name) FROM (VALUES ('Zoe'), ('ann')) AS p (name)").Scan(&least); err != nil {
		t.Fatal(err)
	}
	if least != "ann" {
		t.Errorf("got %s before ann, want the order of people, not of bytes", least)
	}
}

func TestWhatWasCommittedSurvivesKill(t *testing.T) {
	t.Parallel()
	s, err := Start(filepath.Join(t.TempDir(), "cluster"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop() })
	before := s.URL("postgres")
	db := open(t, before)
	if n := queryInt(t, db, "SELECT count(*) FROM pg_settings WHERE name = 'fsync' AND setting = 'on'"); n != 1 {
		t.Error("fsync is off, want it on unless asked")
	}
	mustExec(t, db, "CREATE TABLE people AS SELECT 'Ada' AS name")
	backend := queryInt(t, db, "SELECT pg_backend_pid()")

	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	// The kernel may take a moment to end a process that it has killed.
	for deadline := time.Now().Add(time.Minute); alive(backend); {
		if time.Now().After(deadline) {
			t.Fatalf("process %d of the server lives after Kill", backend)
		}
	}
	if err := db.Ping(); err == nil {
		t.Error("the server answers after Kill")
	}
	for _, how := range []string{"killed", "running"} {
		if err := s.Restart(); err != nil {
			t.Fatalf("restart when %s: %v", how, err)
		}
		if s.URL("postgres") != before {
			t.Errorf("restart when %s: address %s, want %s", how, s.URL("postgres"), before)
		}
		if n := queryInt(t, open(t, before), "SELECT count(*) FROM people"); n != 1 {
			t.Errorf("restart when %s: %d people, want 1", how, n)
		}
	}
}

func TestBadSettingIsExplained(t *testing.T) {
	t.Parallel()
	_, err := Start(filepath.Join(t.TempDir(), "cluster"), "no_such_setting=1")
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("got error %v, want one that names no_such_setting", err)
	}
}

// TestServerDiesWithItsParent runs this test program again as a parent that is
// killed while its server works.
func TestServerDiesWithItsParent(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv("PGTEST_PARENT"); dir != "" {
		s, err := Start(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "pid"), []byte(strconv.Itoa(s.cmd.Process.Pid)), 0o600); err != nil {
			t.Fatal(err)
		}
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	dir := filepath.Join(t.TempDir(), "cluster")
	parent := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestServerDiesWithItsParent$")
	parent.Env = append(os.Environ(), "PGTEST_PARENT="+dir)
	if out, err := parent.CombinedOutput(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("parent ended with %v, want it killed: %s", err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); alive(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("server %d lives after its parent", pid)
		}
	}
}

// alive says whether a process runs. One that ended and waits for its parent to
// look counts as dead.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Ping(); err != nil {
		t.Fatal(err)
	}
	return db
}

func mustExec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func queryInt(t *testing.T, db *sql.DB, query string) (n int) {
	t.Helper()
	if err := db.QueryRow(query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}
