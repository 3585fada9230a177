package pgtest

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startTimeout bounds how long PostgreSQL may take to recover and listen, and
// stopTimeout how long to write its last checkpoint.
const (
	startTimeout = 2 * time.Minute
	stopTimeout  = 2 * time.Minute
)

// Relaxed is a setting for Start: quicker, and data is lost with the machine's
// power, though not by killing processes.
const Relaxed = "fsync=off"

// errRetry marks a start that may well go better a moment later.
var errRetry = errors.New("the address or the memory of an earlier server is still taken")

// Server is a PostgreSQL of our own, reached over loopback. Its URL stays the
// same when it is started again. Use it from one goroutine.
type Server struct {
	bin, dir       string
	settings       []string
	port, password string
	owner          *syscall.Credential // nil: whoever runs the test

	cmd  *exec.Cmd
	log  *tail
	gone chan struct{} // closed when all processes of the server have ended
}

// Start makes a cluster in dir, which it takes for itself, and starts it.
// Settings are those of postgresql.conf, as name=value. Fsync is on unless they
// say otherwise. PostgreSQL refuses to run as root: under root it runs as
// postgres or nobody, who then owns dir.
//
// Locale and encoding are those of the official container image in effect:
// UTF-8, sorted as people sort, so that a query that relies on the order of
// bytes and doesn't say so is found out.
func Start(dir string, settings ...string) (*Server, error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir, settings: settings, password: rand.Text()}
	if err := s.makeDir(); err != nil {
		return nil, err
	}
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(s.password), 0o600); err != nil {
		return nil, err
	}
	if s.owner != nil {
		if err := os.Chown(secret, int(s.owner.Uid), int(s.owner.Gid)); err != nil {
			return nil, err
		}
	}
	initdb := s.command("initdb", "--pgdata="+s.data(), "--username=gatehouse", "--pwfile="+secret, "--auth=password",
		"--encoding=UTF8", "--locale=C", "--locale-provider=icu", "--icu-locale=en-US", "--no-sync")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	if err := s.start(); err != nil {
		return nil, err
	}
	return s, nil
}

// URL is where a database of the server is reached.
func (s *Server) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("gatehouse", s.password),
		Host: net.JoinHostPort("127.0.0.1", s.port), Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// Stop ends the server as an administrator would: connections are closed, all
// data is on disk. The directory stays.
func (s *Server) Stop() error {
	return s.end(syscall.SIGINT)
}

// Kill ends every process of the server at once by SIGKILL, as a crash would.
func (s *Server) Kill() error {
	// Stopped, it can't fork a child between the look and the kill.
	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for _, pid := range children(s.cmd.Process.Pid) {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	return s.end(syscall.SIGKILL)
}

// Restart starts the server again on its data and its address, after a Stop if
// it runs.
func (s *Server) Restart() error {
	select {
	case <-s.gone:
	default:
		if err := s.Stop(); err != nil {
			return err
		}
	}
	return s.start()
}

func (s *Server) end(signal os.Signal) error {
	if err := s.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.gone:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("PostgreSQL still runs %s after %s: %s", stopTimeout, signal, s.log)
	}
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// makeDir makes a directory that the server's user owns and can reach.
func (s *Server) makeDir() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		u, err = user.Lookup("nobody")
	}
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return err
	}
	s.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}

	// A test's own temporary directory lies in one that only root may enter.
	for p := filepath.Dir(s.dir); strings.HasPrefix(p, filepath.Clean(os.TempDir())+"/"); p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil {
			return err
		}
		if err := os.Chmod(p, info.Mode()|0o011); err != nil {
			return err
		}
	}
	return os.Chown(s.dir, int(uid), int(gid))
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = processAttributes(s.owner)
	return cmd
}

// start runs the server and waits until it answers. Between the choice of a free
// port and its use somebody else may take it, so that a start can fail by
// chance.
func (s *Server) start() error {
	choose := s.port == ""
	deadline := time.Now().Add(startTimeout)
	for {
		if choose {
			port, err := freePort()
			if err != nil {
				return err
			}
			s.port = port
		}
		err := s.launch(time.Until(deadline))
		if !errors.Is(err, errRetry) || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *Server) launch(patience time.Duration) error {
	// The socket stands in the data directory, named from there: a socket's path
	// must be short, and a test's temporary directory isn't.
	args := []string{"-D", s.data(), "-p", s.port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=."}
	for _, setting := range s.settings {
		args = append(args, "-c", setting)
	}
	s.cmd, s.log, s.gone = s.command("postgres", args...), &tail{}, make(chan struct{})
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		close(s.gone)
		return err
	}
	started, ready := make(chan error, 1), make(chan struct{}, 1)
	go func() {
		defer close(s.gone)
		// The kernel signals the child when the thread that made it ends, so
		// this thread stays until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := s.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		// All processes of the server hold this pipe: it ends when the last did.
		s.log.read(stderr, "database system is ready to accept connections", ready)
		s.cmd.Wait() // An exit status says nothing after a kill.
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	select {
	case <-ready:
		return nil
	case <-s.gone:
	case <-time.After(patience):
		return errors.Join(fmt.Errorf("PostgreSQL isn't ready after %s: %s", startTimeout, s.log), s.Kill())
	}
	if text := s.log.String(); strings.Contains(text, "could not bind") || strings.Contains(text, "shared memory block") {
		return fmt.Errorf("PostgreSQL ended: %w: %s", errRetry, text)
	}
	return fmt.Errorf("PostgreSQL ended before it was ready: %s", s.log)
}

// freePort chooses a port below those that kernels hand out by themselves: nobody who
// asks for any gets it while the server is being started, or is down for a while.
func freePort() (string, error) {
	const first, last = 10_000, 32_767
	var err error
	for range 100 {
		port := strconv.Itoa(first + mathrand.IntN(last-first+1))
		var l net.Listener
		if l, err = new(net.ListenConfig).Listen(context.Background(), "tcp4", net.JoinHostPort("127.0.0.1", port)); err == nil {
			return port, l.Close()
		}
	}
	return "", err
}

// findBinaries gives the directory of initdb and postgres. Debian keeps them off
// the PATH, one directory a version.
func findBinaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil && exists(filepath.Join(filepath.Dir(path), "postgres")) {
			return filepath.Dir(path), nil
		}
	}
	newest, found := 0, ""
	versions, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	for _, path := range versions {
		bin := filepath.Dir(path)
		if v, err := strconv.Atoi(filepath.Base(filepath.Dir(bin))); err == nil && v > newest && exists(filepath.Join(bin, "postgres")) {
			newest, found = v, bin
		}
	}
	if found == "" {
		return "", errors.New("PostgreSQL's server programs (initdb, postgres) are missing: run 'make deps'")
	}
	return found, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// tail keeps the last lines of a log, to explain a failure with.
type tail struct {
	mu    sync.Mutex
	lines []string
}

// read goes on to the end, since a full pipe would stop the writer.
func (t *tail) read(r io.Reader, sign string, seen chan<- struct{}) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		t.mu.Lock()
		t.lines = append(t.lines, line)
		t.lines = t.lines[max(0, len(t.lines)-20):]
		t.mu.Unlock()
		if strings.Contains(line, sign) {
			select {
			case seen <- struct{}{}:
			default:
			}
		}
		if err != nil {
			return
		}
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "")
}
