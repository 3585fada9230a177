package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startTimeout bounds how long a server may take until it listens.
const startTimeout = 30 * time.Second

// server is a process that answers the load.
type server struct {
	name        string // for messages
	addr        string
	base, token string
	cookie      string // of a browser, in place of the token
	media       string // of bodies; "" is SCIM's
	// pids are the processes whose processor time a request costs: the server
	// itself, and its database where that is a process of its own.
	pids []int

	cmd  *exec.Cmd
	log  *tail
	read chan struct{} // closed when the log has ended
}

// startServer runs a program that logs JSON on stderr, and waits for its line
// {"msg":"listening","addr":…}.
func startServer(ctx context.Context, name, program string, args ...string) (*server, error) {
	s := &server{name: name, cmd: exec.CommandContext(ctx, program, args...), log: &tail{}, read: make(chan struct{})}
	// Nothing started here outlives this program, however that ends.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	listening := make(chan string, 1)
	go func() {
		defer close(s.read)
		defer close(listening)
		s.readLog(stderr, listening)
	}()
	select {
	case addr, ok := <-listening:
		if !ok {
			return nil, errors.Join(fmt.Errorf("%s ended without listening: %s", name, s.log), s.stop())
		}
		s.addr = addr
	case <-time.After(startTimeout):
		return nil, errors.Join(fmt.Errorf("%s does not listen after %s: %s", name, startTimeout, s.log), s.stop())
	}
	s.pids = []int{s.cmd.Process.Pid}
	return s, nil
}

// readLog sends the address as soon as it is known, and goes on reading, since a
// full pipe would stop the server.
func (s *server) readLog(r io.Reader, listening chan<- string) {
	found := false
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		s.log.add(lines.Bytes())
		var line struct{ Msg, Addr string }
		if !found && json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" && line.Addr != "" {
			found = true
			listening <- line.Addr
		}
	}
	io.Copy(io.Discard, r)
}

// stop kills the process, unless it was stopped before: it serves a benchmark,
// and has nothing to tidy up.
func (s *server) stop() error {
	if s.cmd.ProcessState != nil {
		return nil
	}
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.read
	var exit *exec.ExitError
	if err := s.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// tail keeps the last lines of a log, to explain a failure with.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (t *tail) add(line []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, string(line))
	t.lines = t.lines[max(0, len(t.lines)-20):]
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

// buildGatehouse compiles the program into dir as a release is compiled.
func buildGatehouse(ctx context.Context, dir string) (program string, err error) {
	program = filepath.Join(dir, "gatehouse")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "gatehouse/cmd/gatehouse")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build gatehouse: %w: %s", err, out)
	}
	return program, nil
}

// connectionName is that of the connection that the load comes through.
const connectionName = "entra"

// startGatehouse serves a database, ready for SCIM requests of a new connection.
func startGatehouse(ctx context.Context, program, database string, args ...string) (*server, error) {
	base, token, err := addConnection(ctx, program, database, "default")
	if err != nil {
		return nil, err
	}
	s, err := serve(ctx, program, database, args...)
	if err != nil {
		return nil, err
	}
	s.base, s.token = base, token
	return s, nil
}

// addConnection makes a connection of a tenant, and gives the path below which it
// is served and a token for it.
func addConnection(ctx context.Context, program, database, tenant string) (base, token string, err error) {
	out, err := command(ctx, program, "connection", "add",
		"--database-url="+database, "--tenant="+tenant, "--name="+connectionName, "--idp=entra", "--json")
	if err != nil {
		return "", "", err
	}
	var made struct {
		SCIMURL string `json:"scim_url"`
		Token   string
	}
	if err := json.Unmarshal(out, &made); err != nil {
		return "", "", fmt.Errorf("add a connection: %w: %s", err, out)
	}
	endpoint, err := url.Parse(made.SCIMURL)
	if err != nil {
		return "", "", fmt.Errorf("add a connection: %w", err)
	}
	// The host in it is the public one; the server listens somewhere of its own.
	return endpoint.Path, made.Token, nil
}

// command runs a command to its end and gives what it printed.
func command(ctx context.Context, program string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args[:min(2, len(args))], " "), err, stderr.String())
	}
	return out, nil
}

func serve(ctx context.Context, program, database string, args ...string) (*server, error) {
	args = append([]string{"serve", "--database-url=" + database, "--listen=127.0.0.1:0"}, args...)
	return startServer(ctx, "gatehouse", program, args...)
}

// offers reports whether the program's server has a setting of that name.
func (w *world) offers(ctx context.Context, setting string) bool {
	help, err := command(ctx, w.program, "serve", "--help")
	return err == nil && bytes.Contains(help, []byte("--"+setting))
}

// startFloor runs the floor program, which is this program under another name.
func startFloor(ctx context.Context, database string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s, err := startServer(ctx, "floor", self, floorCommand, database)
	if err != nil {
		return nil, err
	}
	s.token = floorToken
	return s, nil
}

// firstAnswer is the time from starting a server on a database until the first
// answer to a request has been read. The base and token are those of a connection.
func firstAnswer(ctx context.Context, program, database, base, token string, r request) (took time.Duration, s *server, err error) {
	start := time.Now()
	if s, err = serve(ctx, program, database); err != nil {
		return 0, nil, err
	}
	s.base, s.token = base, token
	c := &conn{server: s}
	defer c.close()
	if _, _, err := c.answered(r); err != nil {
		return 0, nil, errors.Join(err, s.stop())
	}
	return time.Since(start), s, nil
}

// clockTick is how much processor time one count in /proc/PID/stat stands for:
// USER_HZ, which is 100 on every Linux that Go supports.
const clockTick = 10 * time.Millisecond

// cpuTime is the processor time that the processes and all below them have used,
// including children that have ended.
func cpuTime(pids []int) time.Duration {
	stats := map[int]procStat{}
	children := map[int][]int{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended since the listing
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		st, err := parseStat(string(data))
		if err != nil {
			continue
		}
		stats[pid] = st
		children[st.parent] = append(children[st.parent], pid)
	}
	var sum func(pid int) time.Duration
	sum = func(pid int) time.Duration {
		total := stats[pid].cpu
		for _, child := range children[pid] {
			total += sum(child)
		}
		return total
	}
	var total time.Duration
	for _, pid := range pids {
		total += sum(pid)
	}
	return total
}

type procStat struct {
	parent int
	cpu    time.Duration
}

// parseStat reads a line of /proc/PID/stat. The second field is the program's
// name in brackets and may itself hold blanks and brackets.
func parseStat(line string) (procStat, error) {
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 15 {
		return procStat{}, fmt.Errorf("stat %q: too short", line)
	}
	var st procStat
	var err error
	if st.parent, err = strconv.Atoi(fields[1]); err != nil {
		return procStat{}, err
	}
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return procStat{}, err
		}
		st.cpu += time.Duration(ticks) * clockTick
	}
	return st, nil
}

// The figures of memory that the kernel keeps for a process.
const (
	residentMemory = "VmRSS:"
	peakMemory     = "VmHWM:"   // of the resident memory since resetPeak
	ownMemory      = "RssAnon:" // resident, without files that are mapped into it
)

// memory is a figure of one process, in bytes.
func memory(pid int, figure string) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == figure {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d: no %s", pid, figure)
}

// resetPeak has peakMemory count from now on.
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// parentOf is the process that started pid.
func parentOf(pid int) (int, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	st, err := parseStat(string(data))
	return st.parent, err
}
