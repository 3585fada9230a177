package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// testServer makes an httptest server what the load can drive.
func testServer(t *testing.T, h http.Handler) *server {
	t.Helper()
	ts := httptest.NewServer(h)
	t.Cleanup(ts.Close)
	return &server{name: "test", addr: ts.Listener.Addr().String(), token: floorToken, pids: []int{os.Getpid()}}
}

func testFloor(t *testing.T) *server {
	t.Helper()
	h, err := newFloor("sqlite://" + filepath.Join(t.TempDir(), "floor.db"))
	if err != nil {
		t.Fatal(err)
	}
	return testServer(t, h)
}

// The floor must do its job truly, or every ratio to it flatters us.
func TestFloorKeepsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	w := &world{floor: testFloor(t), settle: func(context.Context) error { return nil }, note: t.Logf}
	if err := w.needFloorUsers(t.Context(), 50); err != nil {
		t.Fatal(err)
	}
	m, err := run(t.Context(), w.floor, load{conns: 4, limit: time.Minute, requests: 200, next: readUsers(w.floorUsers)})
	if err != nil {
		t.Fatal(err)
	}
	if m.Requests != 200 || m.Rate <= 0 || m.P50 <= 0 || m.P99 < m.P50 {
		t.Errorf("got %+v, want 200 requests with a rate and latencies", m)
	}

	c := &conn{server: w.floor}
	defer c.close()
	if _, _, err := c.answered(request{method: "POST", path: "/Users", body: userBody(userName(7)), status: 201}); err == nil {
		t.Error("a second user of the same name was created")
	}
	w.floor.token = "other"
	if _, _, err := c.answered(request{method: "GET", path: "/Users/" + w.floorUsers[0], status: 401}); err != nil {
		t.Errorf("with a wrong token: %v", err)
	}
}

func TestWrongAnswersBreakTheRun(t *testing.T) {
	t.Parallel()
	cases := []struct {
		why     string
		answer  string
		status  int
		request request
		want    string
	}{
		{"another status", `{}`, 500, request{method: "GET", path: "/Users/a", status: 200}, "got status 500, want 200"},
		{"another user", `{"id":"b","userName":"user000001@example.test"}`, 200, readUsers([]string{"a"})(0), "wrong answer"},
		{"a filter that isn't applied", `{"totalResults":2,"Resources":[{"id":"a"},{"id":"b"}]}`, 200,
			request{method: "GET", path: "/Users", status: 200, check: func(b []byte) error { return onlyUser(b, "a") }}, "2 results"},
		{"a member lost", `{"id":"g","members":[{"value":"a"}]}`, 200,
			request{method: "GET", path: "/Groups/g", status: 200, check: func(b []byte) error { return groupWith(b, "g", 2) }}, "with 1 members"},
		{"members that were excluded", `{"id":"g","members":[]}`, 200,
			request{method: "GET", path: "/Groups/g", status: 200, check: func(b []byte) error { return groupWith(b, "g", 0) }}, "excluded"},
	}
	for _, c := range cases {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			s := testServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(c.status)
				io.WriteString(w, c.answer)
			}))
			_, err := run(t.Context(), s, load{conns: 2, limit: time.Minute, requests: 4, next: func(int) request { return c.request }})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "4 of 4") {
				t.Errorf("got error %v, want 4 of 4 with %q", err, c.want)
			}
		})
	}
}

// Gatehouse may answer in any framing that HTTP has, and must not pay for a new
// connection with each request.
func TestOneConnectionForAllFramings(t *testing.T) {
	t.Parallel()
	var dials atomic.Int64
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/base/none":
			w.WriteHeader(204)
		case "/base/chunked":
			for range 3 {
				io.WriteString(w, strings.Repeat("x", 5000))
				w.(http.Flusher).Flush()
			}
		default:
			fmt.Fprintf(w, "%s %s %s", r.Method, r.Header.Get("Authorization"), body)
		}
	}))
	ts.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { dials.Add(1); return ctx }
	ts.Start()
	defer ts.Close()
	c := &conn{server: &server{addr: ts.Listener.Addr().String(), base: "/base", token: "secret"}}
	defer c.close()
	for _, step := range []struct {
		path   string
		status int
		want   string
	}{
		{"/none", 204, ""},
		{"/chunked", 200, strings.Repeat("x", 15000)},
		{"/plain", 200, "PATCH Bearer secret {}"},
		{"/none", 204, ""},
	} {
		status, body, _, err := c.do(request{method: "PATCH", path: step.path, body: []byte("{}")})
		if err != nil || status != step.status || string(body) != step.want {
			t.Errorf("%s: got %d %q, %v; want %d %q", step.path, status, shorten(body), err, step.status, step.want)
		}
	}
	if n := dials.Load(); n != 1 {
		t.Errorf("got %d connections for 4 requests, want 1", n)
	}
}

func TestUndoingIsNotTimed(t *testing.T) {
	t.Parallel()
	s := testServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			<-time.After(20 * time.Millisecond)
		}
	}))
	m, err := run(t.Context(), s, load{conns: 1, limit: time.Minute, requests: 10, next: func(i int) request {
		if i%2 == 0 {
			return request{method: "GET", path: "/fast", status: 200}
		}
		return request{method: "GET", path: "/slow", status: 200, aside: true}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if m.Requests != 10 || m.P99 >= 20*time.Millisecond {
		t.Errorf("got %d requests with p99 %s, want 10 below 20 ms", m.Requests, m.P99)
	}
}

func TestJudging(t *testing.T) {
	t.Parallel()
	at := func(rate float64, p50 time.Duration) measured { return measured{Rate: rate, P50: p50} }
	rounds := []round{
		{Ours: at(900, 9), Against: at(1000, 10)},
		{Ours: at(100, 30), Against: at(1000, 10)}, // a neighbour was busy
		{Ours: at(600, 12), Against: at(1000, 10)},
	}
	cases := []struct {
		why     string
		job     job
		err     error
		verdict string
		ratio   float64
	}{
		{"the median round reaches the share of the floor", job{atLeast: 0.6}, nil, met, 0.6},
		{"the best round alone doesn't count", job{atLeast: 0.7}, nil, missed, 0.6},
		{"a cost that may grow by a fifth", job{atMost: 1.2}, nil, met, 1.2},
		{"a cost that has grown too much", job{atMost: 1.15}, nil, missed, 1.2},
		{"without a target nothing is judged", job{}, nil, "", 0.6},
		{"an error leaves nothing to judge", job{atLeast: 0.1}, errors.New("lost"), broken, 0},
	}
	for _, c := range cases {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			r := jobRow("sqlite", c.job, rounds, c.err)
			if r.Verdict != c.verdict || r.Ratio != c.ratio {
				t.Errorf("got %q with ratio %v, want %q with %v", r.Verdict, r.Ratio, c.verdict, c.ratio)
			}
		})
	}
}

func TestSummaryCountsAndFailsOnlyOnBroken(t *testing.T) {
	t.Parallel()
	rows := []row{{Verdict: met}, {Verdict: met}, {Verdict: missed}, {}}
	var out bytes.Buffer
	if !printSummary(&out, rows) || out.String() != "2 met, 1 missed\n" {
		t.Errorf("got %q, want 2 met, 1 missed, and success", out.String())
	}
	out.Reset()
	if printSummary(&out, append(rows, row{Verdict: broken, Error: "lost a member"})) || !strings.Contains(out.String(), "lost a member") {
		t.Errorf("got %q and success, want the error and no success", out.String())
	}
}

func TestTableAndFileHoldEveryRow(t *testing.T) {
	t.Parallel()
	rows := []row{
		valueRow("size of the program", 31.5, 30, "MB"),
		jobRow("postgres", job{title: "POST /Users", conns: 8, atLeast: 0.5}, []round{{Ours: measured{Rate: 300}, Against: measured{Rate: 1000}}}, nil),
	}
	var out bytes.Buffer
	if err := printTable(&out, rows); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[1], "31.5 MB") || !strings.Contains(lines[2], "300/s") || !strings.Contains(lines[2], "0.30") {
		t.Errorf("got\n%s\nwant a heading, 31.5 MB, and 300/s with ratio 0.30", out.String())
	}

	file := filepath.Join(t.TempDir(), "rows.json")
	if err := writeJSON(file, []string{"machine"}, rows); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var kept struct{ Rows []row }
	if err := json.Unmarshal(data, &kept); err != nil {
		t.Fatal(err)
	}
	if len(kept.Rows) != 2 || kept.Rows[0].Verdict != missed || kept.Rows[1].Rounds[0].Against.Rate != 1000 {
		t.Errorf("got %+v, want the two rows with their rounds", kept.Rows)
	}
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	st, err := parseStat("42 (a) b (c) S 7 42 42 0 -1 4194560 100 0 0 0 11 22 33 44 20 0 9 0 1 2 3")
	if err != nil || st.parent != 7 || st.cpu != 110*clockTick {
		t.Errorf("got %+v, %v; want parent 7 and 110 ticks", st, err)
	}
	if _, err := parseStat("42 (short) S 7"); err == nil {
		t.Error("a short line was accepted")
	}
}

func TestCPUTimeGrowsWithWork(t *testing.T) {
	t.Parallel()
	before, sum := cpuTime([]int{os.Getpid()}), 0
	for deadline := time.Now().Add(10 * time.Second); cpuTime([]int{os.Getpid()}) < before+5*clockTick; sum++ {
		if time.Now().After(deadline) {
			t.Fatalf("after 10 s of work and %d readings: %s, as at the beginning", sum, before)
		}
	}
}

func TestScatterReachesEverybody(t *testing.T) {
	t.Parallel()
	seen := map[int]bool{}
	for i := range directory {
		seen[scatter(i, directory)] = true
	}
	if len(seen) != directory {
		t.Errorf("got %d of %d", len(seen), directory)
	}
}
