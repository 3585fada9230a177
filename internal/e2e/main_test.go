// Package e2e drives the real program from outside, as identity providers do:
// it builds gatehouse once, serves it on SQLite and on PostgreSQL, and speaks
// HTTP to it. It knows the contract of docs and recordings, and no Go of ours
// but the player of recordings.
package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/pgtest"
)

// binary is the program under test, built by TestMain. racing is the same with the race
// detector in it, when the tests have it in them (make race), and binary otherwise.
var binary, racing string

// A server of httptest that closes also closes what http.DefaultTransport calls idle, and an
// answer without a body is still on its way then: the client of a test beside it would fail.
func init() { http.DefaultTransport = struct{ http.RoundTripper }{http.DefaultTransport} }

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gatehouse-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "gatehouse")
	build := exec.Command("go", "build", "-o", binary, "gatehouse/cmd/gatehouse")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build gatehouse: %v\n%s", err, output)
		return 1
	}
	racing = binary
	if raceDetector {
		racing += "-race"
		if output, err := exec.Command("go", "build", "-race", "-o", racing, "gatehouse/cmd/gatehouse").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build gatehouse with the race detector: %v\n%s", err, output)
			return 1
		}
	}
	return pgtest.Main(m)
}

// patience bounds every wait for what comes in a moment, unless something is broken
// or the machine does a lot else; startTimeout how long the program may take to
// migrate and listen, and stopTimeout how long to finish what it is doing when told
// to stop.
const (
	patience     = 2 * time.Minute
	startTimeout = patience
	stopTimeout  = patience
)

// onBoth runs a test against a fresh server on each database.
func onBoth(t *testing.T, test func(t *testing.T, c *client)) {
	t.Helper()
	t.Parallel()
	for name, database := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db") },
		"postgres": func(t *testing.T) string { return pgtest.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, serve(t, database(t)))
		})
	}
}

// serve makes a connection, starts the program and returns a client for it. Flags
// are those of the command serve.
func serve(t *testing.T, database string, flags ...string) *client {
	t.Helper()
	c, _ := serveLogged(t, database, flags...)
	return c
}

// serveLogged is serve with what the server logs.
func serveLogged(t *testing.T, database string, flags ...string) (*client, *serverLog) {
	t.Helper()
	var connection struct {
		SCIMURL string `json:"scim_url"`
		Token   string
	}
	output := command(t, "--database-url="+database,
		"connection", "add", "--tenant=default", "--name=entra", "--idp=entra", "--json")
	if err := json.Unmarshal(output, &connection); err != nil {
		t.Fatalf("connection add printed %s: %v", output, err)
	}
	endpoint, err := url.Parse(connection.SCIMURL)
	if err != nil || !strings.HasPrefix(endpoint.Path, "/scim/") || connection.Token == "" {
		t.Fatalf("connection add printed %s, want scim_url …/scim/… and token (%v)", output, err)
	}
	address, log := listenLogged(t, database, flags...)
	return newClient(t, "http://"+address, endpoint.Path, connection.Token), log
}

// command runs the program to its end and returns what it printed.
func command(t *testing.T, args ...string) []byte {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("gatehouse %s: %v\n%s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.Bytes()
}

// listen starts the server on a port of the kernel's choice, returns its
// address, and stops it when the test ends. A log line of level ERROR fails the
// test: what the suites ask is what identity providers ask every day.
func listen(t *testing.T, database string, flags ...string) string {
	t.Helper()
	address, _ := listenLogged(t, database, flags...)
	return address
}

// listenLogged is listen with what the server logs.
func listenLogged(t *testing.T, database string, flags ...string) (string, *serverLog) {
	t.Helper()
	return listenBy(t, binary, database, flags...)
}

// listenBy is listenLogged of a program of one's choice.
func listenBy(t *testing.T, program, database string, flags ...string) (string, *serverLog) {
	t.Helper()
	cmd := exec.Command(program, append([]string{"--database-url=" + database, "serve", "--listen=127.0.0.1:0"}, flags...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start gatehouse: %v", err)
	}
	log := readLog(stderr)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may be gone: Wait says how
		kill := time.AfterFunc(stopTimeout, func() { _ = cmd.Process.Kill() })
		<-log.end
		if err := cmd.Wait(); err != nil {
			t.Errorf("gatehouse ended: %v\n%s", err, log)
		}
		kill.Stop()
		for _, line := range log.errors() {
			t.Errorf("gatehouse logged an error: %s", line)
		}
	})
	select {
	case addr := <-log.listening:
		return addr, log
	case <-log.end:
		t.Fatalf("gatehouse ended before it listened:\n%s", log)
	case <-time.After(startTimeout):
		t.Fatalf("gatehouse does not listen after %v:\n%s", startTimeout, log)
	}
	return "", nil
}

// A serverLog is what the server wrote so far.
type serverLog struct {
	listening chan string   // the address, once
	end       chan struct{} // closed when the server closed its log
	mu        sync.Mutex
	lines     []string
}

func readLog(stderr io.Reader) *serverLog {
	log := &serverLog{listening: make(chan string, 1), end: make(chan struct{})}
	go func() {
		defer close(log.end)
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			log.mu.Lock()
			log.lines = append(log.lines, lines.Text())
			log.mu.Unlock()
			var entry struct{ Msg, Addr string }
			if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "listening" {
				select {
				case log.listening <- entry.Addr:
				default: // another listener, such as the one of the metrics
				}
			}
		}
	}()
	return log
}

// errors returns the lines that say something went wrong, a panic included.
func (l *serverLog) errors() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []string
	for _, line := range l.lines {
		var entry struct{ Level string }
		if json.Unmarshal([]byte(line), &entry) != nil || entry.Level == "ERROR" {
			found = append(found, line)
		}
	}
	return found
}

// address is where a listener of the server is, by what the log calls it.
func (l *serverLog) address(t *testing.T, name string) string {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		var entry struct{ Msg, Addr string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == name && entry.Addr != "" {
			return entry.Addr
		}
	}
	t.Fatalf("the log tells of no %s", name)
	return ""
}

func (l *serverLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "\n")
}
