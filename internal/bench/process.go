package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	// pids are the processes whose processor time a request costs: the server
	// itself, and its database where that is a process of its own.
	pids []int
	// started is the time from before the process was made until its log named
	// the address.
	started time.Duration

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
	start := time.Now()
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
		s.addr, s.started = addr, time.Since(start)
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

// stop kills the process: it serves a benchmark, and has nothing to tidy up.
func (s *server) stop() error {
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

// startGatehouse serves a database, ready for SCIM requests of a new connection.
func startGatehouse(ctx context.Context, program, database string) (*server, error) {
	var stderr bytes.Buffer
	add := exec.CommandContext(ctx, program, "connection", "add",
		"--database-url="+database, "--tenant=default", "--name=entra", "--idp=entra", "--json")
	add.Stderr = &stderr
	out, err := add.Output()
	if err != nil {
		return nil, fmt.Errorf("add a connection: %w: %s", err, stderr.String())
	}
	var made struct {
		SCIMURL string `json:"scim_url"`
		Token   string
	}
	if err := json.Unmarshal(out, &made); err != nil {
		return nil, fmt.Errorf("add a connection: %w: %s", err, out)
	}
	endpoint, err := url.Parse(made.SCIMURL)
	if err != nil {
		return nil, fmt.Errorf("add a connection: %w", err)
	}
	s, err := serve(ctx, program, database)
	if err != nil {
		return nil, err
	}
	// The host in it is the public one; this server listens somewhere of its own.
	s.base, s.token = endpoint.Path, made.Token
	return s, nil
}

func serve(ctx context.Context, program, database string) (*server, error) {
	return startServer(ctx, "gatehouse", program, "serve", "--database-url="+database, "--listen=127.0.0.1:0")
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

// firstAnswer is the time from starting the server on an empty database until
// its first HTTP answer has been read.
func firstAnswer(ctx context.Context, program, database string) (took time.Duration, s *server, err error) {
	start := time.Now()
	if s, err = serve(ctx, program, database); err != nil {
		return 0, nil, err
	}
	resp, err := http.Get("http://" + s.addr + "/livez")
	if err != nil {
		return 0, nil, errors.Join(err, s.stop())
	}
	took = time.Since(start)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, nil, errors.Join(fmt.Errorf("GET /livez: got status %d, want 200", resp.StatusCode), s.stop())
	}
	return took, s, nil
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

// residentMemory is the VmRSS of one process, in bytes.
func residentMemory(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kib, err := strconv.ParseInt(f[1], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d: no VmRSS", pid)
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
