package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
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
	Job         string  `json:"job"`
	Connections int     `json:"connections,omitempty"`
	Ours        string  `json:"ours,omitempty"`
	Against     string  `json:"against,omitempty"`
	Ratio       float64 `json:"ratio,omitempty"`
	Target      string  `json:"target,omitempty"`
	Verdict     string  `json:"verdict,omitempty"`
	Error       string  `json:"error,omitempty"`
	// Shown is the round with the median ratio; Rounds are all of them.
	Shown  *round  `json:"shown,omitempty"`
	Rounds []round `json:"rounds,omitempty"`
}

// jobRow judges a job by its rounds.
func jobRow(database string, j job, rounds []round, err error) row {
	r := row{Database: database, Job: j.title, Connections: j.conns, Rounds: rounds}
	if err != nil {
		r.Verdict, r.Error = broken, err.Error()
		return r
	}
	shown := j.middle(rounds)
	r.Shown, r.Ratio = &shown, j.ratio(shown)
	r.Ours, r.Against = rate(shown.Ours), rate(shown.Against)
	switch {
	case j.atLeast > 0:
		r.Target, r.Verdict = fmt.Sprintf(">= %.2f", j.atLeast), judge(r.Ratio >= j.atLeast)
	case j.atMost > 0:
		r.Ours, r.Against = micros(shown.Ours.P50), micros(shown.Against.P50)
		r.Target, r.Verdict = fmt.Sprintf("<= %.2f", j.atMost), judge(r.Ratio <= j.atMost)
	}
	return r
}

// valueRow judges a single figure, given in the unit it is printed in.
func valueRow(job string, value, atMost float64, unit string) row {
	return row{
		Database: "sqlite", Job: job,
		Ours:   fmt.Sprintf("%.1f %s", value, unit),
		Target: fmt.Sprintf("<= %.0f %s", atMost, unit), Verdict: judge(value <= atMost),
	}
}

func judge(ok bool) string {
	if ok {
		return met
	}
	return missed
}

func rate(m measured) string { return fmt.Sprintf("%.0f/s", m.Rate) }

func micros(d time.Duration) string {
	return fmt.Sprintf("%.0f µs", float64(d)/float64(time.Microsecond))
}

// printTable writes the rows; the last columns hold, ours against the other
// side, the kinds of figure that the row may not be judged by.
func printTable(w io.Writer, rows []row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "database\tjob\tc\tours\tagainst\tratio\ttarget\tresult\treq/s\tp50\tCPU/request")
	for _, r := range rows {
		conns, ratio, rates, p50, cpu := "", "", "", "", ""
		if r.Connections > 0 {
			conns = fmt.Sprint(r.Connections)
		}
		if s := r.Shown; s != nil {
			ratio = fmt.Sprintf("%.2f", r.Ratio)
			rates = fmt.Sprintf("%.0f : %.0f", s.Ours.Rate, s.Against.Rate)
			p50 = micros(s.Ours.P50) + " : " + micros(s.Against.P50)
			cpu = micros(s.Ours.CPU) + " : " + micros(s.Against.CPU)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			r.Database, r.Job, conns, r.Ours, r.Against, ratio, r.Target, r.Verdict, rates, p50, cpu)
	}
	return t.Flush()
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
	out.SetEscapeHTML(false) // targets hold < and >
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
