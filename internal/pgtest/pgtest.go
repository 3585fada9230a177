// Package pgtest gives tests a real PostgreSQL. The first test of a package that
// asks starts a server for that test process; each test gets a database of its
// own, which is dropped when the test ends.
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
//	func TestStore(t *testing.T) {
//		s, err := store.Open(t.Context(), pgtest.URL(t), store.Options{})
//		…
//	}
//
// GATEHOUSE_TEST_POSTGRES names a server to use instead: a postgres:// URL whose
// user may create databases. Tests that crash the database, and benchmarks, call
// Start for a server that is theirs alone.
package pgtest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lib/pq"
)

// Main runs the tests, ends the server they shared and gives the exit status.
// Without it the server still dies with the process, and its directory stays
// until another test process clears it away.
func Main(m *testing.M) int {
	defer shared.stop()
	return m.Run()
}

// URL gives an empty database for this test.
func URL(t testing.TB) string {
	t.Helper()
	return clone(t, "template1")
}

// Template is a database that is prepared once in a test process and then
// copied, which is quicker than to prepare each anew. Its zero value copies an
// empty database.
//
//	var migrated = pgtest.Template{Prepare: func(ctx context.Context, url string) error { … }}
type Template struct {
	// Prepare fills the database at url, and leaves no connection open.
	Prepare func(ctx context.Context, url string) error

	once sync.Once
	name string
	err  error
}

// URL gives a copy of the prepared database for this test.
func (p *Template) URL(t testing.TB) string {
	t.Helper()
	if p.Prepare == nil {
		return URL(t)
	}
	p.once.Do(func() {
		admin, err := shared.url()
		if err != nil {
			p.err = err
			return
		}
		p.name = newName()
		if p.err = shared.create(admin, p.name, "template1"); p.err != nil {
			return
		}
		shared.keep(p.name)
		p.err = p.Prepare(context.Background(), withDatabase(admin, p.name))
	})
	if p.err != nil {
		t.Fatalf("prepare a database: %v", p.err)
	}
	return clone(t, p.name)
}

func clone(t testing.TB, template string) string {
	t.Helper()
	admin, err := shared.url()
	if err != nil {
		t.Fatal(err)
	}
	name := newName()
	if err := shared.create(admin, name, template); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := execute(admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return withDatabase(admin, name)
}

// shared is the server of this test process.
var shared sharedServer

type sharedServer struct {
	once   sync.Once
	admin  string
	err    error
	server *Server
	lock   *os.File // on the directory, for as long as we live

	mu        sync.Mutex
	templates []string // dropped at the end
}

// url is the address of a database that others can be made from.
func (s *sharedServer) url() (string, error) {
	s.once.Do(func() {
		if s.admin = os.Getenv("GATEHOUSE_TEST_POSTGRES"); s.admin != "" {
			return
		}
		s.err = s.start()
	})
	return s.admin, s.err
}

func (s *sharedServer) start() error {
	clearAway()
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		return err
	}
	if s.lock, err = os.Open(dir); err != nil {
		return err
	}
	if err := syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return err
	}
	// Nobody crashes this one, and parallel tests open a few pools each, as many tests
	// at once as there are processors.
	if s.server, err = Start(dir, Relaxed, "max_connections=1000"); err != nil {
		return err
	}
	s.admin = s.server.URL("postgres")
	return nil
}

// create copies one at a time: two copies of the same template don't get faster
// by running at once.
func (s *sharedServer) create(admin, name, template string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return execute(admin, "CREATE DATABASE "+name+" TEMPLATE "+template)
}

func (s *sharedServer) keep(template string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.templates = append(s.templates, template)
}

func (s *sharedServer) stop() {
	if s.lock != nil {
		defer os.RemoveAll(s.lock.Name())
	}
	if s.server != nil {
		// The directory goes, so there is nothing to save.
		if err := s.server.Kill(); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
		}
		return
	}
	for _, name := range s.templates {
		if err := execute(s.admin, "DROP DATABASE "+name); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
		}
	}
}

// prefix begins the names of our directories in the system's temporary one.
const prefix = "gatehouse-pgtest-"

// clearAway removes what test processes left that were killed: directories that
// nobody has locked. A young one may be about to be locked.
func clearAway() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*"))
	for _, dir := range dirs {
		f, err := os.Open(dir)
		if err != nil {
			continue
		}
		info, err := f.Stat()
		if err == nil && time.Since(info.ModTime()) > time.Minute &&
			syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.RemoveAll(dir)
		}
		f.Close()
	}
}

func newName() string {
	return "test_" + strings.ToLower(rand.Text())
}

func withDatabase(admin, name string) string {
	u, err := url.Parse(admin)
	if err != nil {
		return admin // execute has told what is wrong with it
	}
	u.Path = "/" + name
	return u.String()
}

func execute(url, statement string) error {
	db, err := sql.Open("postgres", url)
	if err != nil {
		return err
	}
	defer db.Close()
	for deadline := time.Now().Add(startTimeout); ; {
		_, err := db.Exec(statement)
		if err == nil {
			return nil
		}
		// A connection that was closed here may have a process there for some time yet.
		if inUse, ok := errors.AsType[*pq.Error](err); !ok || inUse.Code != objectInUse || time.Now().After(deadline) {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
}

// objectInUse is what PostgreSQL says, after some seconds, of a database that somebody
// else is connected to.
const objectInUse = "55006"
