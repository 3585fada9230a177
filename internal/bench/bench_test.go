package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/pgtest"
)

// TestMain is the floor too, and whatever else the program starts itself as.
func TestMain(m *testing.M) {
	beOther()
	os.Exit(pgtest.Main(m))
}

// testServer makes an httptest server what the load can drive.
func testServer(t *testing.T, h http.Handler) *server {
	t.Helper()
	ts := httptest.NewServer(h)
	t.Cleanup(ts.Close)
	return &server{name: "test", addr: ts.Listener.Addr().String(), token: floorToken, pids: []int{os.Getpid()}}
}

// onBoth runs a test with an empty database of each kind.
func onBoth(t *testing.T, f func(t *testing.T, database string)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, "sqlite://"+filepath.Join(t.TempDir(), "floor.db"))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		f(t, pgtest.URL(t))
	})
}

// testFloor serves the floor on a database, behind a handler that may spoil it.
func testFloor(t *testing.T, database string, spoil func(next http.Handler) http.Handler) *directory {
	t.Helper()
	h, err := newFloor(database)
	if err != nil {
		t.Fatal(err)
	}
	if spoil != nil {
		h = spoil(h)
	}
	return &directory{server: testServer(t, h), url: database, note: t.Logf, patched: 204,
		settle: func(context.Context, string) error { return nil }}
}

// forgetful answers the third PATCH without doing it.
func forgetful(next http.Handler) http.Handler {
	var patches atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PATCH" && patches.Add(1) == 3 {
			w.WriteHeader(204)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// The floor must do its job truly, or every ratio to it flatters us.
func TestFloorKeepsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		d := testFloor(t, database, nil)
		if err := d.needUsers(t.Context(), 20); err != nil {
			t.Fatal(err)
		}
		d.load = func(ctx context.Context, from, to int) ([]string, error) { return loadFloor(ctx, database, from, to) }
		if err := d.needUsers(t.Context(), loadChunk+50); err != nil {
			t.Fatal(err)
		}
		decide := func(i int) request { return evaluation(d.users[i%len(d.users)], "timesheet.view", siteKey(0), true) }
		for what, next := range map[string]func(int) request{"read": readUsers(d.users), "find": findUsers("userName", d.users), "decide": decide} {
			m, err := run(t.Context(), d.server, load{conns: 4, limit: time.Minute, requests: 200, next: next})
			if err != nil {
				t.Fatal(err)
			}
			if m.Requests != 200 || m.Rate <= 0 || m.P50 <= 0 || m.P99 < m.P50 {
				t.Errorf("%s: got %+v, want 200 requests with a rate and latencies", what, m)
			}
		}
		group, err := d.group(t.Context(), 30)
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range []string{"add", "remove"} {
			if err := patchSide(op)(d, group, 30).after(); err != nil {
				t.Errorf("PATCH: %v", err)
			}
		}
		if _, err := d.ask(headSide(d, group, 30).next(0)); err != nil {
			t.Error(err)
		}

		if _, err := d.ask(request{method: "POST", path: "/Users", body: userBody(userName(7)), status: 201}); err == nil {
			t.Error("a second user of the same name was created")
		}
		if _, err := d.ask(evaluation(newID(), "timesheet.view", siteKey(0), true)); err == nil {
			t.Error("somebody who isn't there was let in")
		}
		d.token = "other"
		if _, err := d.ask(request{method: "GET", path: "/Users/" + d.users[0], status: 401}); err != nil {
			t.Errorf("with a wrong token: %v", err)
		}
	})
}

func TestReplayIsReadBack(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, database string) {
		sent, err := replay(t.Context(), testFloor(t, database, nil), 60, 4)
		if err != nil {
			t.Fatal(err)
		}
		if got := sent.total.Requests; got != 2*60+3*20 {
			t.Errorf("got %d requests, want 2 for each of 60 users and 3 for each of 20 groups", got)
		}
		if err := sent.verifyMembers(); err != nil {
			t.Error(err)
		}
	})
}

func TestMembersLostAreFound(t *testing.T) {
	t.Parallel()
	floor := func(t *testing.T) *directory {
		return testFloor(t, "sqlite://"+filepath.Join(t.TempDir(), "floor.db"), forgetful)
	}
	t.Run("by a replay", func(t *testing.T) {
		t.Parallel()
		sent, err := replay(t.Context(), floor(t), 60, 4)
		if err != nil {
			t.Fatal(err)
		}
		if err := sent.verifyMembers(); err == nil || !strings.Contains(err.Error(), "30 of 30 are lost") {
			t.Errorf("got %v, want 30 of 30 lost", err)
		}
	})
	t.Run("among many connections", func(t *testing.T) {
		t.Parallel()
		d := floor(t)
		s, err := manySide(t.Context(), &world{sizes: sizes{group: 20}}, d)
		if err != nil {
			t.Fatal(err)
		}
		j := job{conns: 4}
		if _, err := j.measure(t.Context(), s, time.Minute, 50); err == nil || !strings.Contains(err.Error(), "are lost") {
			t.Errorf("got %v, want a member that is lost", err)
		}
	})
	t.Run("while a group is built", func(t *testing.T) {
		t.Parallel()
		d := floor(t)
		if err := d.needUsers(t.Context(), 40); err != nil {
			t.Fatal(err)
		}
		j := job{conns: 1}
		if _, err := j.measure(t.Context(), buildSide(d, "floor", 40, 10), time.Minute, 4); err == nil || !strings.Contains(err.Error(), "10 of 40 are lost") {
			t.Errorf("got %v, want 10 of 40 lost", err)
		}
	})
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
			find("/Users", "userName", "ann", 1, "a"), "2 results"},
		{"a member lost", `{"id":"g","members":[{"value":"a"}]}`, 200,
			request{method: "GET", path: "/Groups/g", status: 200, check: func(b []byte) error { return sameMembers(b, []string{"a", "b"}) }}, "1 of 2 are lost"},
		{"a member twice", `{"id":"g","members":[{"value":"a"},{"value":"a"}]}`, 200,
			request{method: "GET", path: "/Groups/g", status: 200, check: func(b []byte) error { return sameMembers(b, []string{"a"}) }}, "1 are there twice"},
		{"members that were excluded", `{"id":"g","members":[]}`, 200,
			headSide(nil, "g", 1).next(0), "excluded"},
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
	fast := request{method: "GET", path: "/fast", status: 200, then: &request{method: "GET", path: "/slow", status: 200, aside: true}}
	// The fast ones are quicker than the slow ones, however busy the machine is, once
	// these are slow enough.
	for slow := 20 * time.Millisecond; ; slow *= 5 {
		s := testServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				<-time.After(slow)
			}
		}))
		m, err := run(t.Context(), s, load{conns: 1, limit: time.Minute, requests: 5, next: func(int) request { return fast }})
		if err != nil {
			t.Fatal(err)
		}
		if m.Requests != 10 {
			t.Fatalf("got %d requests, want 10", m.Requests)
		}
		if m.P99 < slow {
			return
		}
		if slow > 2*time.Second {
			t.Fatalf("got p99 %s where the undoing takes %s, want it left out", m.P99, slow)
		}
	}
}

// A request that had to wait for one before it was late for its client.
// TestDisturbing has another process disturb, and finds what is wrong with its answers.
func TestDisturbing(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s := testServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if asked.Add(1); r.URL.Path == "/busy" {
			w.WriteHeader(http.StatusTooManyRequests)
		}
		w.Write(body)
	}))
	disturbed := func(status int, paths ...string) error {
		var requests []request
		for _, path := range paths {
			requests = append(requests, request{method: "PUT", path: path, body: []byte("something"), status: status})
		}
		before := asked.Load()
		end, err := startDisturbing(t.Context(), s, requests)
		if err != nil {
			t.Fatal(err)
		}
		for asked.Load() == before {
			runtime.Gosched()
		}
		return end()
	}
	if err := disturbed(200, "/a", "/busy"); err != nil {
		t.Errorf("right answers: got %v, want no error", err)
	}
	if err := disturbed(204, "/a"); err == nil || !strings.Contains(err.Error(), "got status 200, want 204 or 429: something") {
		t.Errorf("a wrong answer: got %v, want it told", err)
	}
}

func TestPacedLatencyCountsFromWhenItWasDue(t *testing.T) {
	t.Parallel()
	s := testServer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-time.After(20 * time.Millisecond) }))
	m, err := run(t.Context(), s, load{conns: 1, limit: time.Minute, requests: 10, every: time.Millisecond,
		next: func(int) request { return request{method: "GET", path: "/", status: 200} }})
	if err != nil {
		t.Fatal(err)
	}
	if m.P99 < 190*time.Millisecond {
		t.Errorf("got p99 %s, want the last of 10 requests to have waited for 9 of 20 ms", m.P99)
	}
}

func TestJudging(t *testing.T) {
	t.Parallel()
	at := func(rate float64, p50 time.Duration) measured {
		return measured{Requests: 10, Rate: rate, P50: p50, P99: 3 * p50}
	}
	const ms = time.Millisecond
	rounds := []round{
		{Ours: at(900, 9*ms), Against: at(1000, 10*ms)},
		{Ours: at(100, 30*ms), Against: at(1000, 10*ms)}, // a neighbour was busy
		{Ours: at(600, 12*ms), Against: at(1000, 10*ms)},
	}
	rounds[0].Ours.CPU, rounds[2].Against.CPU = 6*ms, 4*ms // the clock ticks seldom
	cases := []struct {
		why    string
		job    job
		err    error
		result string
		ratio  float64
	}{
		{"the median round reaches the share of the floor", job{by: byRate, target: target{atLeast: 0.6}}, nil, "met", 0.6},
		{"the best round alone doesn't count", job{by: byRate, target: target{atLeast: 0.75}}, nil, "missed by 20 %", 0.6},
		{"a cost that may grow by a fifth", job{by: byMedian, target: target{atMost: 1.2}}, nil, "met", 1.2},
		{"a cost that has grown too much", job{by: byMedian, target: target{atMost: 1}}, nil, "missed by 20 %", 1.2},
		{"an absolute rate", job{by: byRate, target: target{atLeast: 600, absolute: true}}, nil, "met", 0.6},
		{"an absolute latency", job{by: byTail, target: target{atMost: 30, absolute: true}}, nil, "missed by 20 %", 1.2},
		{"a time that stands for more than was sent", job{by: byTime, total: 1200, target: target{atMost: 2, absolute: true}}, nil, "met", 1 / 0.6},
		{"without a target nothing is judged", job{by: byRate}, nil, "", 0.6},
		{"processor time of all rounds together", job{by: byCPU, target: target{atMost: 1}}, nil, "missed by 50 %", 1.5},
		{"an error leaves nothing to judge", job{by: byRate, target: target{atLeast: 0.1}}, errors.New("lost"), "broken", 0},
	}
	for _, c := range cases {
		t.Run(c.why, func(t *testing.T) {
			t.Parallel()
			r := c.job.row(rounds, c.err)
			if r.result() != c.result || math.Abs(r.Ratio-c.ratio) > 1e-6 {
				t.Errorf("got %q with ratio %v, want %q with %v", r.result(), r.Ratio, c.result, c.ratio)
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
	shown := round{Ours: measured{Requests: 10, Rate: 300, CPU: 2000}, Against: measured{Requests: 20, Rate: 1000, CPU: 1000}}
	rows := []row{
		job{title: "size of the program", target: target{atMost: 30, absolute: true}}.value(31.5, "MB"),
		job{title: "POST /Users", conns: 8, by: byRate, target: target{atLeast: 0.5}}.row([]round{shown}, nil),
	}
	var out bytes.Buffer
	printTables(&out, rows)
	cells := func(text string) (found []string) {
		for line := range strings.Lines(out.String()) {
			if strings.Contains(line, text) {
				found = append(found, strings.Join(strings.Fields(line), " "))
			}
		}
		return found
	}
	if got := cells("size of the program"); len(got) != 1 || !strings.Contains(got[0], "| 31.5 MB | | | ≤ 30 MB | missed by 5 % |") {
		t.Errorf("got %q, want one line with 31.5 MB of 30", got)
	}
	want := []string{"| 300/s | 1000/s | 0.30 | ≥ 0.50 | missed by 40 % | 0.30 | 2 |", "| 8 | 300 : 1000 | 2 µs : 1 µs | – : – | – : – |"}
	if got := cells("POST /Users"); len(got) != 2 || !strings.Contains(got[0], want[0]) || !strings.Contains(got[1], want[1]) {
		t.Errorf("got %q, want %q", got, want)
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

func TestPeerSaysWhatItNeeds(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := installPeer(t.Context()); err == nil || !strings.Contains(err.Error(), "node is missing") {
		t.Errorf("got %v, want to be told that node is missing", err)
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
	for deadline := time.Now().Add(time.Minute); cpuTime([]int{os.Getpid()}) < before+5*clockTick; sum++ {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute of work and %d readings: %s, as at the beginning", sum, before)
		}
	}
}

func TestScatterReachesEverybody(t *testing.T) {
	t.Parallel()
	for _, n := range []int{tiny.users, quick.users, full.peerUsers} {
		seen := map[int]bool{}
		for i := range n {
			seen[scatter(i, n)] = true
		}
		if len(seen) != n {
			t.Errorf("got %d of %d", len(seen), n)
		}
	}
}

// TestEveryJobRuns is the whole program with hardly any data. What it measures
// means nothing; that no answer is wrong does. On PostgreSQL it leaves out jobs
// that differ in nothing but the database's address.
func TestEveryJobRuns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		database, only string
		goals          []string
	}{
		{"sqlite", "", []string{"P1", "P2", "P3", "P4", "P5", "P6", "P7", "P8", "P9", "P11", "P16", "P17", "P18", "P19"}},
		{"postgres", "read,patch-add,patch-many,build,stream,replay", []string{"P2", "P5", "P6", "P7", "P8", "P9", "P16", "P17"}},
	} {
		t.Run(c.database, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			file := filepath.Join(t.TempDir(), "rows.json")
			ok, err := bench(t.Context(), settings{sizes: tiny, db: c.database, only: c.only, jsonFile: file}, &out)
			if err != nil || !ok {
				t.Fatalf("got %v, want nothing broken: %v\n%s", ok, err, &out)
			}
			var kept struct{ Rows []row }
			data, err := os.ReadFile(file)
			if err == nil {
				err = json.Unmarshal(data, &kept)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, goal := range c.goals {
				if !slices.ContainsFunc(kept.Rows, func(r row) bool { return r.Goal == goal && r.Ours != "" && r.Database == c.database }) {
					t.Errorf("no figure for %s", goal)
				}
			}
		})
	}
}
