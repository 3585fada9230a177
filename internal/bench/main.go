// Bench measures Gatehouse on this machine and judges it by ratios: against the
// floor, which is the least that a server on the same database can do, and
// against itself with less data, which shows whether a cost grows. Both sides
// of a ratio are measured in turn in the same minutes by the same load, so that
// a busy machine slows both.
//
//	make bench
//	go run ./internal/bench -quick -db sqlite -only create
//
// It builds and starts the real program and a PostgreSQL of its own, and checks
// every answer. It ends with 1 if something is broken (an error, a wrong
// answer), not if a target is missed. docs/benchmarks.md says how to read it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	quick    bool
	only     string
	db       string
	jsonFile string
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == floorCommand {
		fmt.Fprintln(os.Stderr, serveFloor(os.Args[2]))
		os.Exit(1)
	}
	var s settings
	flag.BoolVar(&s.quick, "quick", false, "shorter rounds, and no group of 200,000")
	flag.StringVar(&s.only, "only", "", "run only the jobs of this `name`: "+strings.Join(jobNames(), ", "))
	flag.StringVar(&s.db, "db", "both", "`database`: sqlite, postgres or both")
	flag.StringVar(&s.jsonFile, "json", "", "also write every round to this `file`")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := bench(ctx, s)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// processJob names the measurements of the program itself, for -only.
const processJob = "process"

func jobNames() []string {
	names := []string{processJob}
	for _, j := range jobs {
		if !slices.Contains(names, j.name) {
			names = append(names, j.name)
		}
	}
	return names
}

// bench runs what the settings ask for; ok says that nothing was broken.
func bench(ctx context.Context, s settings) (ok bool, err error) {
	if s.only != "" && !slices.Contains(jobNames(), s.only) {
		return false, fmt.Errorf("no job %q; there are %s", s.only, strings.Join(jobNames(), ", "))
	}
	databases := []string{"sqlite", "postgres"}
	if s.db != "both" {
		if !slices.Contains(databases, s.db) {
			return false, fmt.Errorf("no database %q; want sqlite, postgres or both", s.db)
		}
		databases = []string{s.db}
	}
	dir, err := os.MkdirTemp("", "gatehouse-bench-")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	// PostgreSQL may have to run as another user, who must be able to get here.
	if err := os.Chmod(dir, 0o755); err != nil {
		return false, err
	}
	program, err := buildGatehouse(ctx, dir)
	if err != nil {
		return false, err
	}

	about := describe()
	for _, line := range about {
		fmt.Println(line)
	}
	var rows []row
	if s.only == "" || s.only == processJob {
		r, err := processRows(ctx, program, dir)
		if err != nil {
			return false, err
		}
		rows = append(rows, r...)
	}
	if s.only != processJob {
		for _, database := range databases {
			r, err := databaseRows(ctx, s, program, dir, database)
			if err != nil {
				return false, err
			}
			rows = append(rows, r...)
		}
	}
	fmt.Println()
	if err := printTable(os.Stdout, rows); err != nil {
		return false, err
	}
	fmt.Println()
	ok = printSummary(os.Stdout, rows)
	if s.jsonFile != "" {
		err = writeJSON(s.jsonFile, about, rows)
	}
	return ok, err
}

// describe says what figures have to come with to mean anything.
func describe() []string {
	model := "unknown processor"
	if data, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(data)) {
			if k, v, _ := strings.Cut(line, ":"); strings.TrimSpace(k) == "model name" {
				model = strings.TrimSpace(v)
				break
			}
		}
	}
	return []string{
		"date     " + time.Now().UTC().Format("2006-01-02 15:04 MST"),
		fmt.Sprintf("machine  %d × %s, %s/%s, %s", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH, runtime.Version()),
		"command  bench " + strings.Join(os.Args[1:], " "),
	}
}

// processRows measures the program by itself: its size, how soon it answers on
// an empty SQLite file, and the memory it holds when nobody asks for anything.
func processRows(ctx context.Context, program, dir string) ([]row, error) {
	binary, err := os.Stat(program)
	if err != nil {
		return nil, err
	}
	const starts = 5
	var took []time.Duration
	var memory int64
	for i := range starts {
		d, s, err := firstAnswer(ctx, program, "sqlite://"+filepath.Join(dir, fmt.Sprintf("empty-%d.db", i)))
		if err != nil {
			return nil, err
		}
		took = append(took, d)
		if i == starts-1 {
			time.Sleep(time.Second) // what starting needed has been let go by then
			memory, err = residentMemory(s.cmd.Process.Pid)
		}
		if err := errors.Join(err, s.stop()); err != nil {
			return nil, err
		}
	}
	slices.Sort(took)
	return []row{
		valueRow("start to first HTTP answer, new file", float64(took[starts/2])/float64(time.Millisecond), 100, "ms"),
		valueRow("resident memory, idle", float64(memory)/(1<<20), 40, "MiB"),
		valueRow("size of the program", float64(binary.Size())/1e6, 30, "MB"),
	}, nil
}

// databaseRows runs the jobs on one kind of database.
func databaseRows(ctx context.Context, s settings, program, dir, database string) (rows []row, err error) {
	w := &world{note: func(format string, args ...any) { fmt.Printf(database+"  "+format+"\n", args...) }}
	oursURL := "sqlite://" + filepath.Join(dir, "gatehouse.db")
	floorURL := "sqlite://" + filepath.Join(dir, "floor.db")
	w.settle = func(context.Context) error { return nil }
	var postmaster []int
	if database == "postgres" {
		var pg *postgres
		if pg, err = startPostgres(ctx, filepath.Join(dir, "postgres")); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, pg.Stop()) }()
		oursURL, floorURL, w.settle = pg.URL("gatehouse"), pg.URL("floor"), pg.settle
		postmaster = []int{pg.pid}
	}
	if w.ours, err = startGatehouse(ctx, program, oursURL); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.ours.stop()) }()
	if w.floor, err = startFloor(ctx, floorURL); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.floor.stop()) }()
	w.ours.pids = append(w.ours.pids, postmaster...)
	w.floor.pids = append(w.floor.pids, postmaster...)

	length := 3 * time.Second
	if s.quick {
		length = time.Second
	}
	for _, j := range jobs {
		if s.only != "" && j.name != s.only || s.quick && j.slow {
			continue
		}
		n, length := 3, length
		if j.atMost > 0 {
			// A neighbour's burst spoils a few of many short rounds, and latency needs
			// no long ones.
			n, length = 5*n, length/5
		}
		rounds, err := j.rounds(ctx, w, n, length)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r := jobRow(database, j, rounds, err)
		w.note("%s, c=%d: ratio %.2f %s", r.Job, r.Connections, r.Ratio, r.Verdict)
		rows = append(rows, r)
	}
	memory, err := residentMemory(w.ours.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	w.note("gatehouse: %.0f MiB resident after all this", float64(memory)/(1<<20))
	return rows, nil
}
