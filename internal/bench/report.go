package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// The verdicts on a row.
const (
	met    = "met"
	missed = "missed"
	broken = "broken" // errors or wrong answers: there is no figure to judge
)

// row is a line of the table.
type row struct {
	Database    string  `json:"database"`
	Goal        string  `json:"goal,omitempty"`
	Job         string  `json:"job"`
	Connections int     `json:"connections,omitempty"`
	Ours        string  `json:"ours,omitempty"`
	Against     string  `json:"against,omitempty"`
	Ratio       float64 `json:"ratio,omitempty"`
	Target      string  `json:"target,omitempty"`
	Verdict     string  `json:"verdict,omitempty"`
	// MissedBy is the distance to the target, as a share of it.
	MissedBy float64 `json:"missed_by,omitempty"`
	Error    string  `json:"error,omitempty"`
	// Shown is the round with the median ratio; Rounds are all of them.
	Shown  *round  `json:"shown,omitempty"`
	Rounds []round `json:"rounds,omitempty"`
}

// row judges a job by its rounds.
func (j job) row(rounds []round, err error) row {
	r := row{Goal: j.goal, Job: j.title, Connections: j.conns, Rounds: rounds}
	if err != nil {
		r.Verdict, r.Error = broken, err.Error()
		return r
	}
	shown := j.middle(rounds)
	if j.by == byCPU {
		shown.Ours.CPU, shown.Against.CPU = r.cpu(ours), r.cpu(against)
	}
	r.Shown, r.Ratio = &shown, j.ratio(shown)
	r.Ours, r.Against = j.text(shown.Ours), j.text(shown.Against)
	switch {
	case j.absolute:
		j.judge(&r, j.of(shown.Ours), j.unit())
	case r.Ratio > 0:
		j.judge(&r, r.Ratio, "")
	}
	return r
}

// value judges a single figure, given in the unit it is printed in.
func (j job) value(value float64, unit string) row {
	r := row{Goal: j.goal, Job: j.title, Ours: fmt.Sprintf("%.1f %s", value, unit)}
	j.judge(&r, value, " "+unit)
	return r
}

// unit is that of the figure that an absolute target is about.
func (j job) unit() string {
	switch j.by {
	case byRate:
		return "/s"
	case byTime:
		return " s"
	}
	return " ms"
}

// judge compares with the target.
func (t target) judge(r *row, value float64, unit string) {
	switch {
	case t.atLeast > 0:
		r.Target, r.MissedBy = "≥ "+short(t.atLeast)+unit, 1-value/t.atLeast
	case t.atMost > 0:
		r.Target, r.MissedBy = "≤ "+short(t.atMost)+unit, value/t.atMost-1
	default:
		return
	}
	if r.MissedBy <= 0 {
		r.Verdict, r.MissedBy = met, 0
		return
	}
	r.Verdict = missed
}

// result is the verdict with the distance to the target.
func (r row) result() string {
	if r.Verdict != missed {
		return r.Verdict
	}
	return fmt.Sprintf("missed by %.0f %%", 100*r.MissedBy)
}

// short writes a number with two decimals, or with two digits if it is small.
func short(v float64) string {
	if v != 0 && v < 0.1 {
		return fmt.Sprintf("%.2g", v)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.2f", v), ".00")
}

// ratio writes a over b, or nothing where one of them was not measured.
func ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return ""
	}
	return short(a / b)
}

// duration writes a time in the unit that suits it; nothing measured is a dash.
func duration(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.0f µs", float64(d)/float64(time.Microsecond))
	}
	return fmt.Sprintf("%.1f ms", millis(d))
}

// cpu is the processor time per request of one side in all rounds together,
// since the kernel counts it too coarsely for a short one.
func (r row) cpu(side func(round) measured) time.Duration {
	var total time.Duration
	requests := 0
	for _, round := range r.Rounds {
		m := side(round)
		total += m.CPU * time.Duration(m.Requests)
		requests += m.Requests
	}
	return total / time.Duration(max(1, requests))
}

func ours(r round) measured    { return r.Ours }
func against(r round) measured { return r.Against }

// printTables writes the verdicts, and then the figures that they were made of,
// as Markdown.
func printTables(w io.Writer, rows []row) {
	verdicts := [][]string{{"goal", "database", "job", "c", "ours", "against", "ratio", "target", "result", "req/s ratio", "CPU ratio"}}
	figures := [][]string{{"database", "job", "c", "req/s", "CPU/request", "p50", "p99"}}
	pair := func(a, b string) string { return a + " : " + b }
	for _, r := range rows {
		conns := ""
		if r.Connections > 0 {
			conns = fmt.Sprint(r.Connections)
		}
		line := []string{r.Goal, r.Database, r.Job, conns, r.Ours, r.Against, "", r.Target, r.result(), "", ""}
		if s := r.Shown; s != nil {
			a, b := r.cpu(ours), r.cpu(against)
			line[6], line[9], line[10] = short(r.Ratio), ratio(s.Ours.Rate, s.Against.Rate), ratio(float64(a), float64(b))
			figures = append(figures, []string{r.Database, r.Job, conns, fmt.Sprintf("%.0f : %.0f", s.Ours.Rate, s.Against.Rate),
				pair(duration(a), duration(b)), pair(duration(s.Ours.P50), duration(s.Against.P50)), pair(duration(s.Ours.P99), duration(s.Against.P99))})
		}
		verdicts = append(verdicts, line)
	}
	printTable(w, verdicts, "lllrrrrrlrr")
	fmt.Fprintln(w, "\nBoth sides in figures, ours : against:")
	fmt.Fprintln(w)
	printTable(w, figures, "llrrrrr")
}

// printTable writes a table whose first line is its heading; align has an l or r
// for each column.
func printTable(w io.Writer, lines [][]string, align string) {
	widths := make([]int, len(align))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell), 3)
		}
	}
	for n, line := range lines {
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if align[i] == 'r' {
				fmt.Fprintf(w, "| %s%s ", pad, cell)
			} else {
				fmt.Fprintf(w, "| %s%s ", cell, pad)
			}
		}
		fmt.Fprintln(w, "|")
		if n > 0 {
			continue
		}
		for i := range line {
			dashes := strings.Repeat("-", widths[i]-1)
			if align[i] == 'r' {
				fmt.Fprintf(w, "| %s: ", dashes)
			} else {
				fmt.Fprintf(w, "| %s- ", dashes)
			}
		}
		fmt.Fprintln(w, "|")
	}
}

// printSummary writes how many targets were met and missed, and what broke.
func printSummary(w io.Writer, rows []row) (ok bool) {
	count := map[string]int{}
	for _, r := range rows {
		count[r.Verdict]++
		if r.Verdict == broken {
			fmt.Fprintf(w, "broken: %s, %s, c=%d: %s\n", r.Database, r.Job, r.Connections, r.Error)
		}
	}
	fmt.Fprintf(w, "%d met, %d missed\n", count[met], count[missed])
	return count[broken] == 0
}

// writeJSON keeps a run for comparing it with another.
func writeJSON(file string, about []string, rows []row) error {
	var data bytes.Buffer
	out := json.NewEncoder(&data)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	err := out.Encode(struct {
		About []string `json:"about"`
		Rows  []row    `json:"rows"`
	}{about, rows})
	if err != nil {
		return err
	}
	return os.WriteFile(file, data.Bytes(), 0o644)
}
