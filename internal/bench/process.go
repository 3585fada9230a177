package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
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
const startTimeout = 2 * time.Minute

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

	cmd *exec.Cmd
	log *os.File // what it wrote on stderr
}

// startServer runs a program that logs JSON on stderr, and waits for its line
// {"msg":"listening","addr":…}. The log goes to a file: who reads a pipe costs as much
// processor time as many an answer, and would be the load generator's.
func startServer(ctx context.Context, name, program string, args ...string) (*server, error) {
	log, err := openLog()
	if err != nil {
		return nil, err
	}
	s := &server{name: name, cmd: exec.CommandContext(ctx, program, args...), log: log}
	s.cmd.Stderr = log
	// Nothing started here outlives this program, however that ends.
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), log.Close())
	}
	s.pids = []int{s.cmd.Process.Pid}
	for began := time.Now(); ; time.Sleep(500 * time.Microsecond) {
		if s.addr = s.listens(); s.addr != "" {
			return s, nil
		}
		// One that has ended is there until it is waited for.
		if st, err := stat(s.cmd.Process.Pid); err != nil || st.ended || time.Since(began) > startTimeout {
			return nil, errors.Join(fmt.Errorf("%s does not listen: %s", name, s.lastLines()), s.stop())
		}
	}
}

// openLog makes a file without a name, which is gone when it is closed.
func openLog() (*os.File, error) {
	dir, err := os.MkdirTemp("", "gatehouse-bench-log-")
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	return log, errors.Join(err, os.RemoveAll(dir))
}

// listens is the address that the log tells; empty as long as it tells none.
func (s *server) listens() string {
	lines := bufio.NewScanner(io.NewSectionReader(s.log, 0, math.MaxInt64))
	for lines.Scan() {
		var line struct{ Msg, Addr string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
			return line.Addr
		}
	}
	return ""
}

// lastLines is the end of the log, to explain a failure with.
func (s *server) lastLines() []byte {
	end := make([]byte, 4<<10)
	info, err := s.log.Stat()
	if err != nil {
		return nil
	}
	n, _ := s.log.ReadAt(end, max(0, info.Size()-int64(len(end))))
	return end[:n]
}

// shortenLog forgets what was logged, so that long runs don't fill the disk.
func (s *server) shortenLog() error {
	if s.log == nil {
		return nil
	}
	return s.log.Truncate(0)
}

// rest waits until the server is done with what it does by itself after much has been
// written, such as sealing the log, but not longer than most.
func (s *server) rest(ctx context.Context, most time.Duration) error {
	const look, busy = 500 * time.Millisecond, 20 * time.Millisecond
	for began := time.Now(); time.Since(began) < most; {
		before := cpuTime(s.pids)
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return ctx.Err()
		}
		if cpuTime(s.pids)-before <= busy {
			return nil
		}
	}
	return nil
}

// stop kills the process, unless it was stopped before: it serves a benchmark,
// and has nothing to tidy up.
func (s *server) stop() error {
	if s.cmd.ProcessState != nil {
		return nil
	}
	defer s.log.Close()
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	var exit *exec.ExitError
	if err := s.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
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
	ended  bool // and not yet waited for
}

// stat is what the kernel tells of a process.
func stat(pid int) (procStat, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(string(data))
}

// parseStat reads a line of /proc/PID/stat. The second field is the program's
// name in brackets and may itself hold blanks and brackets.
func parseStat(line string) (procStat, error) {
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 15 {
		return procStat{}, fmt.Errorf("stat %q: too short", line)
	}
	st := procStat{ended: fields[0] == "Z"}
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

// watchMemory looks every 5 ms how much memory of its own a process has, until most is
// called, which gives the most that it had.
func watchMemory(pid int) (most func() int64) {
	var seen int64
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for tick := time.Tick(5 * time.Millisecond); ; {
			if now, err := memory(pid, ownMemory); err == nil {
				seen = max(seen, now)
			}
			select {
			case <-tick:
			case <-done:
				return
			}
		}
	})
	return func() int64 {
		close(done)
		watch.Wait()
		return seen
	}
}

// parentOf is the process that started pid.
func parentOf(pid int) (int, error) {
	st, err := stat(pid)
	return st.parent, err
}
