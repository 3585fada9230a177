// Bench measures Gatehouse on this machine and judges it by ratios: against the
// floor, which is the least that a server on the same database can do, and
// against itself with less data, which shows whether a cost grows. Both sides
// of a ratio are measured in turn in the same minutes by the same load, so that
// a busy machine slows both.
//
//	make bench
//	go run ./internal/bench -quick -db sqlite -only create,read
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
	"io"
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
	sizes
	only     string
	db       string
	peer     bool
	jsonFile string
}

func main() {
	beOther()
	s := settings{sizes: full}
	choose := func(z sizes) func(string) error {
		return func(string) error { s.sizes = z; return nil }
	}
	flag.BoolFunc("quick", "a tenth of the data, and shorter rounds", choose(quick))
	flag.BoolFunc("tiny", "hardly any data: to see that the jobs work, not for figures", choose(tiny))
	flag.StringVar(&s.only, "only", "", "run only the jobs of these `names`, with commas: "+strings.Join(jobNames(), ", "))
	flag.StringVar(&s.db, "db", "both", "`database`: sqlite, postgres or both")
	flag.BoolVar(&s.peer, "peer", false, "compare with scimmy too, a SCIM server in memory; needs Node.js and npm")
	flag.StringVar(&s.jsonFile, "json", "", "also write every round to this `file`")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ok, err := bench(ctx, s, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// beOther is the program under its other names, of processes that it starts itself. It
// returns if that isn't asked for.
func beOther() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == floorCommand:
		err = serveFloor(os.Args[2])
	case len(os.Args) == 2 && os.Args[1] == disturbCommand:
		err = disturb(os.Stdin, os.Stdout)
	default:
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// bench runs what the settings ask for; ok says that nothing was broken.
func bench(ctx context.Context, s settings, out io.Writer) (ok bool, err error) {
	for name := range strings.SplitSeq(s.only, ",") {
		if s.only != "" && !slices.Contains(jobNames(), name) {
			return false, fmt.Errorf("no job %q; there are %s", name, strings.Join(jobNames(), ", "))
		}
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
		fmt.Fprintln(out, "- "+line)
	}
	fmt.Fprintln(out)
	var rows []row
	for _, database := range databases {
		r, err := databaseRows(ctx, s, out, program, dir, database)
		if err != nil {
			return false, err
		}
		rows = append(rows, r...)
	}
	fmt.Fprintln(out)
	printTables(out, rows)
	fmt.Fprintln(out)
	ok = printSummary(out, rows)
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
		fmt.Sprintf("machine: %d × %s, %s/%s, %s", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH, runtime.Version()),
		"command: `go run ./internal/bench " + strings.Join(os.Args[1:], " ") + "`",
		"date: " + time.Now().UTC().Format("2006-01-02 15:04 MST"),
	}
}

// databaseRows runs the jobs on one kind of database.
func databaseRows(ctx context.Context, s settings, out io.Writer, program, dir, database string) (rows []row, err error) {
	w := &world{
		sizes: s.sizes, program: program,
		note: func(format string, args ...any) { fmt.Fprintf(out, database+"  "+format+"\n", args...) },
		newDatabase: func(_ context.Context, name string) (string, error) {
			return "sqlite://" + filepath.Join(dir, name+".db"), nil
		},
		settle: func(context.Context, string) error { return nil },
	}
	if database == "postgres" {
		pg, err := startPostgres(ctx, filepath.Join(dir, "postgres"))
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, pg.Stop()) }()
		w.newDatabase, w.settle, w.shared = pg.create, pg.settle, []int{pg.pid}
	}
	defer func() { err = errors.Join(err, w.stop()) }()
	if w.ours, err = w.gatehouse(ctx, "gatehouse"); err != nil {
		return nil, err
	}
	if w.floor, err = w.newFloor(ctx, "floor"); err != nil {
		return nil, err
	}
	w.ours.least, w.floor.least = w.users, w.users

	for _, j := range jobs(s.sizes, database) {
		if !j.chosen(s.only) || j.peer && !s.peer {
			continue
		}
		if j.setting != "" && !w.offers(ctx, j.setting) {
			w.note("%s: left out, this program has no setting %s", j.title, j.setting)
			continue
		}
		for _, r := range j.run(ctx, w) {
			r.Database = database
			w.note("%s: %s : %s %s %s", r.Job, r.Ours, r.Against, r.result(), r.Error)
			rows = append(rows, r)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return rows, nil
}
