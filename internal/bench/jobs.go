package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// job is one line of the table or, where it is no comparison of two loads,
// several. Most compare ours with the floor, or with ourselves with less data,
// which shows whether a cost grows.
type job struct {
	name  string // for -only
	goal  string // which this judges
	title string
	conns int
	by    figure
	target
	// requests make a round, and total of them are what the time stands for; 0
	// lets a round take as long as all others.
	requests, total int
	every           time.Duration // as in load
	// setting is a flag of "gatehouse serve" that the job needs; it is left out
	// for a program without.
	setting string
	peer    bool // runs only with -peer
	prepare pairing
	// rows is what a job does that is no comparison of two loads.
	rows func(ctx context.Context, w *world, j job) ([]row, error)
}

// pairing puts into both servers what a job needs, and gives its two loads.
type pairing func(ctx context.Context, w *world) (ours, against side, err error)

// target is what a job is judged by. The zero target judges nothing: the job is
// only shown.
type target struct {
	atLeast, atMost float64 // only one is set
	// absolute targets are of our figure, in its unit; others are of the ratio.
	absolute bool
}

func atLeast(ratio float64) target { return target{atLeast: ratio} }
func atMost(ratio float64) target  { return target{atMost: ratio} }
func (t target) ofFigure() target  { t.absolute = true; return t }

// side is one of the two loads of a job.
type side struct {
	*directory
	name string
	next func(i int) request
	// before makes ready for a round; beside begins what goes on beside it, and gives
	// what ends that; after checks what single answers can't show. All may be nil.
	before func() error
	beside func(ctx context.Context) (end func() error, err error)
	after  func() error
}

// figure is what a job's ratio and target are about.
type figure string

const (
	byRate   figure = "req/s"
	byMedian figure = "p50"
	byLate   figure = "p95"
	byTail   figure = "p99"
	byCPU    figure = "CPU"
	byTime   figure = "s" // of the job's total
)

// of is the figure of a round: milliseconds, a rate or seconds.
func (j job) of(m measured) float64 {
	switch j.by {
	case byMedian:
		return millis(m.P50)
	case byLate:
		return millis(m.P95)
	case byTail:
		return millis(m.P99)
	case byCPU:
		return millis(m.CPU)
	case byTime:
		return float64(j.total) / m.Rate
	}
	return m.Rate
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// text is the figure as people read it.
func (j job) text(m measured) string {
	switch j.by {
	case byMedian:
		return duration(m.P50)
	case byLate:
		return duration(m.P95)
	case byTail:
		return duration(m.P99)
	case byCPU:
		return duration(m.CPU)
	case byTime:
		return fmt.Sprintf("%.2f s", j.of(m))
	}
	return fmt.Sprintf("%.0f/s", m.Rate)
}

// jobs is all of them, in the order in which they run: what changes the number
// of users comes behind what counts them.
func jobs(z sizes, database string) []job {
	start := target{}
	if database == "sqlite" {
		start = atMost(30).ofFigure()
	}
	return slices.Concat(
		[]job{{name: "process", goal: "P16–P18", title: "the program by itself", target: start, rows: processRows}},
		searchJobs(z, database), accessJobs(z), consoleJobs(z), groupJobs(z), fairJobs(z), createJobs(z), []job{replayJob(z)}, peerJobs(z))
}

func jobNames() (names []string) {
	for _, j := range jobs(full, "sqlite") {
		if !slices.Contains(names, j.name) {
			names = append(names, j.name)
		}
	}
	return names
}

// run does a job and judges it. What goes wrong is in the rows.
func (j job) run(ctx context.Context, w *world) []row {
	if j.rows != nil {
		rows, err := j.rows(ctx, w, j)
		if err != nil {
			rows = append(rows, j.row(nil, err))
		}
		return rows
	}
	n, length := w.rounds, w.round
	switch {
	case j.by == byTail:
		length *= 2
	case j.by == byMedian:
		// A neighbour's burst spoils a few of many short rounds, and latency needs
		// no long ones.
		n, length = 5*n, length/5
	}
	rounds, err := j.rounds(ctx, w, n, length)
	return []row{j.row(rounds, err)}
}

// round is both sides, measured one after the other.
type round struct {
	Ours    measured `json:"ours"`
	Against measured `json:"against"`
}

// rounds measures both sides in turn, after a short warm-up that isn't counted.
func (j job) rounds(ctx context.Context, w *world, n int, length time.Duration) ([]round, error) {
	ours, against, err := j.prepare(ctx, w)
	if err != nil {
		return nil, err
	}
	for _, s := range []side{ours, against} {
		if err := s.server.rest(ctx, w.calm); err != nil {
			return nil, err
		}
		if _, err := j.measure(ctx, s, min(length, max(length/5, 200*time.Millisecond)), j.requests); err != nil {
			return nil, err
		}
	}
	var all []round
	for range n {
		var r round
		if r.Ours, err = j.measure(ctx, ours, length, j.requests); err != nil {
			return nil, err
		}
		if r.Against, err = j.measure(ctx, against, length, j.requests); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, ctx.Err()
}

// measure is one side of one round.
func (j job) measure(ctx context.Context, s side, length time.Duration, requests int) (m measured, err error) {
	if s.before != nil {
		if err := s.before(); err != nil {
			return m, err
		}
	}
	if err := s.server.shortenLog(); err != nil {
		return m, err
	}
	if requests > 0 {
		length = time.Hour
	}
	end := func() error { return nil }
	if s.beside != nil {
		if end, err = s.beside(ctx); err != nil {
			return m, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	m, err = run(ctx, s.server, load{conns: j.conns, limit: length, requests: requests, every: j.every, next: s.next})
	err = errors.Join(err, end())
	if err == nil && s.after != nil {
		err = s.after()
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", s.name, err)
	}
	return m, err
}

// ratio is the one that the job is judged by; 0 when there is none, since the
// kernel counts processor time too coarsely for a round.
func (j job) ratio(r round) float64 {
	against := j.of(r.Against)
	if against == 0 {
		return 0
	}
	return j.of(r.Ours) / against
}

// middle is the round with the median ratio, so that the figures shown beside a
// ratio are those it was made of.
func (j job) middle(rounds []round) round {
	sorted := slices.Clone(rounds)
	slices.SortFunc(sorted, func(a, b round) int {
		if j.ratio(a) < j.ratio(b) {
			return -1
		}
		return 1
	})
	return sorted[len(sorted)/2]
}

// chosen reports whether -only, a list of names with commas, asks for the job.
func (j job) chosen(only string) bool {
	return only == "" || slices.Contains(strings.Split(only, ","), j.name)
}
