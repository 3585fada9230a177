package e2e

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq"

	"gatehouse/internal/pgtest"
)

// Gatehouse is killed in the middle of a sync, as by a power cut, time and
// again on the same data. What it had acknowledged must be there; what it had
// not answered is there wholly or not at all.
//
// Each writer keeps a ledger of its own people, so the order of what happened to
// a person is known. SEED=n repeats the choices of a run (what is written, when
// the kill comes; not the scheduling); ROUNDS=n makes it longer or shorter.
func TestKilledDuringSyncLosesNothing(t *testing.T) {
	seed, rounds := crashNumber(t, "SEED", time.Now().UnixNano()), crashNumber(t, "ROUNDS", 30)
	t.Logf("repeat with SEED=%d ROUNDS=%d", seed, rounds)
	t.Run("sqlite", func(t *testing.T) {
		crashRounds(t, &crashSite{url: crashSQLite(t)}, nil, uint64(seed), int(rounds))
	})
	t.Run("postgres", func(t *testing.T) {
		pg, url := crashPostgres(t)
		crashRounds(t, &crashSite{url: url}, pg, uint64(seed), int(rounds))
	})
}

// Two replicas, or one server with many connections, change one group at once.
// An update that is read, changed and written back would lose somebody here.
func TestManyWritersOfOneGroupLoseNothing(t *testing.T) {
	t.Run("sqlite, one server", func(t *testing.T) {
		crashOneGroup(t, &crashSite{url: crashSQLite(t)}, 1)
	})
	t.Run("postgres, two servers", func(t *testing.T) {
		_, url := crashPostgres(t)
		crashOneGroup(t, &crashSite{url: url}, 2)
	})
}

// A group of many is filled, exchanged and deleted, and the server killed meanwhile.
// Whoever was killed has done the whole of it or nothing, as anybody sees it from the
// next start on, and those who stay are members at every moment.
func TestKilledDuringALargeChange(t *testing.T) {
	seed, rounds := crashNumber(t, "SEED", time.Now().UnixNano()), crashNumber(t, "ROUNDS", 6)
	t.Logf("repeat with SEED=%d ROUNDS=%d", seed, rounds)
	t.Run("sqlite", func(t *testing.T) {
		crashLargeChanges(t, &crashSite{url: crashSQLite(t)}, uint64(seed), int(rounds))
	})
	t.Run("postgres", func(t *testing.T) {
		_, url := crashPostgres(t)
		crashLargeChanges(t, &crashSite{url: url}, uint64(seed), int(rounds))
	})
}

func crashLargeChanges(t *testing.T, site *crashSite, seed uint64, rounds int) {
	const people = 2400
	site.connect(t)
	srv := site.serve(t, "--rate-limit=5000")
	ids := make([]string, people)
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for i := c; i < people; i += 8 {
				var user struct{ ID string }
				name := fmt.Sprintf("person%d@example.test", i)
				status, answer, err := srv.do("POST", "/Users", crashUserBody(name, "new"))
				if err != nil || status != 201 || json.Unmarshal(answer, &user) != nil {
					t.Errorf("create %s: got %d %s, %v", name, status, answer, err)
				}
				ids[i] = user.ID
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	body := func(members []string) string {
		return `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":"Crew","members":[{"value":"` + strings.Join(members, `"},{"value":"`) + `"}]}`
	}
	set := func(members []string) map[string]bool {
		all := map[string]bool{}
		for _, id := range members {
			all[id] = true
		}
		return all
	}
	// crew is what there is: its members, or nil for no group.
	crew := func() (id string, members map[string]bool) {
		var page struct{ Resources []struct{ ID string } }
		srv.must(t, "GET", "/Groups?excludedAttributes=members", "", 200, &page)
		if len(page.Resources) == 0 {
			return "", nil
		}
		id = page.Resources[0].ID
		_, members = srv.readGroup(t, id)
		return id, members
	}
	first, second, stay := ids[:people*2/3], ids[people/3:], ids[people/3:people*2/3]
	random := rand.New(rand.NewPCG(seed, 0))
	// A kill that comes after the answer tells nothing: so many count that don't.
	unanswered, done, round := 0, 0, 0
	for ; unanswered < rounds && round < 20*rounds; round++ {
		id, before := crew()
		var method, path, text string
		var after map[string]bool
		switch {
		case id == "":
			method, path, text, after = "POST", "/Groups", body(first), set(first)
		case random.IntN(4) == 0:
			method, path = "DELETE", "/Groups/"+id
		case before[ids[0]]:
			method, path, text, after = "PUT", "/Groups/"+id, body(second), set(second)
		default:
			method, path, text, after = "PUT", "/Groups/"+id, body(first), set(first)
		}
		answered := make(chan int, 1)
		go func() {
			status, _, err := srv.do(method, path, text)
			if err != nil {
				status = 0
			}
			answered <- status
		}()
		kill := time.After(time.Duration(random.IntN(150_000)) * time.Microsecond)
		for killed := false; !killed; {
			select {
			case <-kill:
				killed = true
			default:
				if method != "PUT" {
					continue
				}
				_, now := srv.readGroup(t, id)
				for _, id := range stay {
					if !now[id] {
						t.Fatalf("round %d: %s isn't a member during a PUT that keeps everybody in the middle", round, id)
					}
				}
			}
		}
		srv.kill()
		status := <-answered
		site.verify(t)
		srv = site.serve(t, "--rate-limit=5000")
		_, now := crew()
		switch {
		case maps.Equal(now, after) && (now == nil) == (after == nil):
			done++
		case status != 0 || !maps.Equal(now, before) || (now == nil) != (before == nil):
			t.Fatalf("round %d: %s answered %d: got %d members, had %d, want %d", round, method, status, len(now), len(before), len(after))
		}
		if status == 0 {
			unanswered++
		} else if status >= 300 {
			t.Fatalf("round %d: %s: got status %d", round, method, status)
		}
		site.verify(t)
	}
	t.Logf("%d rounds: %d unanswered, %d done in the end", round, unanswered, done)
	if unanswered < rounds {
		t.Errorf("something was under way at %d kills only, want %d", unanswered, rounds)
	}
}

// crashNumber reads a whole number from the environment.
func crashNumber(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

func crashSQLite(t *testing.T) (url string) {
	return "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db")
}

// crashPostgres starts a PostgreSQL of this test's own, since it is going to be killed.
func crashPostgres(t *testing.T) (pg *pgtest.Server, url string) {
	t.Helper()
	pg, err := pgtest.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pg.Stop() })
	db, err := sql.Open("postgres", pg.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE gatehouse"); err != nil {
		t.Fatal(err)
	}
	return pg, pg.URL("gatehouse")
}

// crashSite is a database with the one connection that all servers on it serve.
type crashSite struct {
	url         string
	path, token string // of SCIM
}

// connect adds the connection.
func (s *crashSite) connect(t *testing.T) {
	t.Helper()
	out := command(t, "connection", "add", "--database-url="+s.url, "--tenant=default", "--name=entra", "--idp=entra", "--json")
	var made struct {
		SCIMURL string `json:"scim_url"`
		Token   string
	}
	if err := json.Unmarshal(out, &made); err != nil || made.Token == "" {
		t.Fatalf("connection add: no token, %v in %s", err, out)
	}
	endpoint, err := url.Parse(made.SCIMURL)
	if err != nil {
		t.Fatal(err)
	}
	s.path, s.token = endpoint.Path, made.Token
}

// verify lets Gatehouse check its own data: among others, that each resource has
// the rows of the log that tell of it.
func (s *crashSite) verify(t *testing.T) {
	t.Helper()
	out := command(t, "verify", "--database-url="+s.url, "--json")
	var report struct{ Findings *[]json.RawMessage }
	if err := json.Unmarshal(out, &report); err != nil || report.Findings == nil {
		t.Fatalf("verify: want a list of findings, got %v in %s", err, out)
	}
	if len(*report.Findings) > 0 {
		t.Fatalf("verify finds faults: %s", out)
	}
}

// crashServer is one running server of a site.
type crashServer struct {
	site   *crashSite
	cmd    *exec.Cmd
	addr   string
	client *http.Client
	log    *bytes.Buffer // to be read once ended is closed
	ended  chan struct{}
}

func (s *crashSite) serve(t *testing.T, flags ...string) *crashServer {
	t.Helper()
	srv := &crashServer{
		site: s, log: &bytes.Buffer{}, ended: make(chan struct{}),
		cmd:    exec.Command(binary, append([]string{"serve", "--database-url=" + s.url, "--listen=127.0.0.1:0"}, flags...)...),
		client: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	srv.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := srv.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.kill)
	listening := make(chan string, 1)
	go func() {
		defer close(srv.ended)
		lines := bufio.NewScanner(io.TeeReader(stderr, srv.log))
		for lines.Scan() {
			var line struct{ Msg, Addr string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "listening" {
				listening <- line.Addr
				break
			}
		}
		io.Copy(srv.log, stderr)
	}()
	select {
	case srv.addr = <-listening:
	case <-srv.ended:
		t.Fatalf("the server ended without listening:\n%s", srv.log)
	case <-time.After(startTimeout):
		srv.kill()
		t.Fatalf("the server doesn't listen after %v:\n%s", startTimeout, srv.log)
	}
	return srv
}

// kill ends the server as a power cut would: nothing of it runs any more.
func (srv *crashServer) kill() {
	srv.cmd.Process.Kill()
	<-srv.ended
	srv.cmd.Wait()
	srv.client.CloseIdleConnections()
}

// do makes one SCIM request. An error means that no whole answer came.
func (srv *crashServer) do(method, path, body string) (status int, answer []byte, err error) {
	req, err := http.NewRequest(method, "http://"+srv.addr+srv.site.path+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+srv.site.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/scim+json")
	}
	resp, err := srv.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// must makes a request that nothing may disturb, and decodes its answer into v.
func (srv *crashServer) must(t *testing.T, method, path, body string, want int, v any) {
	t.Helper()
	status, answer, err := srv.do(method, path, body)
	if err != nil || status != want {
		t.Fatalf("%s %s: got %d %s, %v; want %d", method, path, status, answer, err, want)
	}
	if v != nil {
		if err := json.Unmarshal(answer, v); err != nil {
			t.Fatalf("%s %s: %v in %s", method, path, err, answer)
		}
	}
}

// createGroup gives the id of a new, empty group.
func (srv *crashServer) createGroup(t *testing.T, name string) (id string) {
	t.Helper()
	var group struct{ ID string }
	srv.must(t, "POST", "/Groups", fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":%q}`, name), 201, &group)
	return group.ID
}

// readGroup gives a group's name and the ids of its members.
func (srv *crashServer) readGroup(t *testing.T, id string) (name string, members map[string]bool) {
	t.Helper()
	var group struct {
		DisplayName string
		Members     []struct{ Value string }
	}
	srv.must(t, "GET", "/Groups/"+id, "", 200, &group)
	members = map[string]bool{}
	for _, m := range group.Members {
		if members[m.Value] {
			t.Errorf("group %s lists member %s twice", id, m.Value)
		}
		members[m.Value] = true
	}
	return group.DisplayName, members
}

// crashUser is a user as the server shows it.
type crashUser struct {
	ID, UserName, NickName, Title string
	Active                        bool
}

// readUsers gives everybody by user name, page by page.
func (srv *crashServer) readUsers(t *testing.T) map[string]crashUser {
	t.Helper()
	users := map[string]crashUser{}
	for {
		var page struct {
			TotalResults int
			Resources    []crashUser
		}
		srv.must(t, "GET", fmt.Sprintf("/Users?startIndex=%d&count=1000", len(users)+1), "", 200, &page)
		for _, u := range page.Resources {
			if _, twice := users[u.UserName]; twice {
				t.Fatalf("%s is listed twice", u.UserName)
			}
			users[u.UserName] = u
		}
		if len(users) >= page.TotalResults {
			return users
		}
		if len(page.Resources) == 0 {
			t.Fatalf("%d of %d users are listed, and the next page is empty", len(users), page.TotalResults)
		}
	}
}

func crashUserBody(name, note string) string {
	return fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":%q,"active":true,"nickName":%q,"title":%q,`+
		`"emails":[{"value":%q,"type":"work","primary":true}]}`, name, note, note, name)
}

func crashPatch(operations ...string) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + strings.Join(operations, ",") + `]}`
}

func crashAdd(ids ...string) string {
	values := make([]string, len(ids))
	for i, id := range ids {
		values[i] = `{"value":"` + id + `"}`
	}
	return `{"op":"add","path":"members","value":[` + strings.Join(values, ",") + `]}`
}

func crashRemove(id string) string {
	return `{"op":"remove","path":"members[value eq \"` + id + `\"]"}`
}

// crashPerson is what the ledger holds of one person; a comparable value.
type crashPerson struct {
	exists bool
	id     string // "" as long as no answer has told it
	// note is written to two attributes by one PATCH: one without the other would
	// be half a request.
	note   string
	active bool
	member bool
}

// crashWriter makes one request after the other, all about people of its own.
type crashWriter struct {
	name   string
	random *rand.Rand
	group  string
	count  int // of notes and names given, so that each is new

	people map[string]crashPerson // by user name, as acknowledged
	// pending is what an unanswered request makes of some people; nil if none is
	// unanswered.
	pending map[string]crashPerson
	// acknowledged counts over all rounds.
	acknowledged int
}

// crashRequest is one request and what it makes of people.
type crashRequest struct {
	method, path, body string
	after              map[string]crashPerson
}

// choose makes up the next request.
func (w *crashWriter) choose() crashRequest {
	w.count++
	note := fmt.Sprintf("%s-%d", w.name, w.count)
	alive := slices.Sorted(maps.Keys(w.people))
	alive = slices.DeleteFunc(alive, func(name string) bool { return !w.people[name].exists })
	kind := w.random.IntN(10)
	if len(alive) < 5 || kind < 4 {
		name := note + "@example.test"
		return crashRequest{"POST", "/Users", crashUserBody(name, note), map[string]crashPerson{name: {exists: true, note: note, active: true}}}
	}
	name := alive[w.random.IntN(len(alive))]
	p := w.people[name]
	switch {
	case kind < 6: // three people join in one request
		after, ids := map[string]crashPerson{}, []string(nil)
		for range 3 {
			name := alive[w.random.IntN(len(alive))]
			p := w.people[name]
			p.member = true
			after[name], ids = p, append(ids, p.id)
		}
		return crashRequest{"PATCH", "/Groups/" + w.group, crashPatch(crashAdd(ids...)), after}
	case kind < 7:
		p.member = false
		return crashRequest{"PATCH", "/Groups/" + w.group, crashPatch(crashRemove(p.id)), map[string]crashPerson{name: p}}
	case kind < 9:
		p.note, p.active = note, !p.active
		body := crashPatch(
			fmt.Sprintf(`{"op":"replace","path":"nickName","value":%q}`, note),
			fmt.Sprintf(`{"op":"replace","path":"active","value":%t}`, p.active),
			fmt.Sprintf(`{"op":"replace","path":"title","value":%q}`, note))
		return crashRequest{"PATCH", "/Users/" + p.id, body, map[string]crashPerson{name: p}}
	}
	return crashRequest{"DELETE", "/Users/" + p.id, "", map[string]crashPerson{name: {}}}
}

// work writes until a request is not answered with success. The error tells of
// an answer that no kill explains; with dying, the database is about to be
// killed, and a 5xx is as good as no answer.
func (w *crashWriter) work(srv *crashServer, dying *atomic.Bool, acknowledged func()) error {
	for {
		r := w.choose()
		status, answer, err := srv.do(r.method, r.path, r.body)
		switch {
		case err != nil || status >= 500 && dying.Load():
			w.pending = r.after
			return nil
		case status < 200 || status > 299:
			w.pending = r.after
			return fmt.Errorf("%s %s: got %d %s, want 2xx", r.method, r.path, status, answer)
		case r.method == "POST":
			var made struct{ ID string }
			if err := json.Unmarshal(answer, &made); err != nil || made.ID == "" {
				return fmt.Errorf("%s %s: no id in %s", r.method, r.path, answer)
			}
			for name, p := range r.after {
				p.id = made.ID
				r.after[name] = p
			}
		}
		maps.Copy(w.people, r.after)
		w.acknowledged++
		acknowledged()
	}
}

// settle compares the ledger with what is there, decides what became of the
// unanswered request, and takes that over.
func (w *crashWriter) settle(t *testing.T, users map[string]crashUser, members map[string]bool) {
	t.Helper()
	there := func(name string) crashPerson {
		u, ok := users[name]
		if !ok {
			return crashPerson{}
		}
		if u.Title != u.NickName {
			t.Errorf("%s has title %q and nickName %q: half a PATCH", name, u.Title, u.NickName)
		}
		return crashPerson{exists: true, id: u.ID, note: u.NickName, active: u.Active, member: members[u.ID]}
	}
	all := func(want func(name string) crashPerson) bool {
		for name := range w.pending {
			got, want := there(name), want(name)
			if want.exists && want.id == "" {
				want.id = got.id
			}
			if got != want {
				return false
			}
		}
		return true
	}
	before := all(func(name string) crashPerson { return w.people[name] })
	after := all(func(name string) crashPerson { return w.pending[name] })
	if !before && !after {
		for name := range w.pending {
			t.Errorf("unanswered request of %s: %s was %+v, should have become %+v, is %+v", w.name, name, w.people[name], w.pending[name], there(name))
		}
	}
	for name := range w.pending {
		w.people[name] = there(name)
	}
	w.pending = nil
	for name, want := range w.people {
		if got := there(name); got != want {
			t.Errorf("%s, acknowledged: got %+v, want %+v", name, got, want)
		}
	}
}

// crashRounds kills the server, checks what is left and goes on, so many times.
// With pg, every fifth round kills PostgreSQL before the server.
func crashRounds(t *testing.T, site *crashSite, pg *pgtest.Server, seed uint64, rounds int) {
	site.connect(t)
	srv := site.serve(t)
	group := srv.createGroup(t, "Site A Operators")
	random := rand.New(rand.NewPCG(seed, 0))
	var writers []*crashWriter
	for i := range 4 {
		writers = append(writers, &crashWriter{
			name: fmt.Sprintf("writer%d", i), group: group, people: map[string]crashPerson{}, random: rand.New(rand.NewPCG(seed, uint64(i)+1)),
		})
	}
	unanswered := 0
	for round := range rounds {
		killDatabase := pg != nil && round%5 == 4
		var dying atomic.Bool
		first := make(chan struct{})
		var once sync.Once
		failures := make([]error, len(writers))
		var wg sync.WaitGroup
		for i, w := range writers {
			wg.Go(func() { failures[i] = w.work(srv, &dying, func() { once.Do(func() { close(first) }) }) })
		}
		stopped := make(chan struct{})
		go func() { wg.Wait(); close(stopped) }()
		select {
		case <-first:
		case <-stopped:
			t.Fatalf("round %d: no request was acknowledged: %v", round, errors.Join(failures...))
		}
		// The moment of the kill is what this test is about; nothing waits for it.
		<-time.After(time.Duration(random.IntN(200_000)) * time.Microsecond)
		if killDatabase {
			dying.Store(true)
			if err := pg.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		srv.kill()
		<-stopped
		if err := errors.Join(failures...); err != nil {
			t.Fatalf("round %d: %v\n%s", round, err, srv.log)
		}
		for _, w := range writers {
			if w.pending != nil {
				unanswered++
			}
		}

		if killDatabase {
			if err := pg.Restart(); err != nil {
				t.Fatal(err)
			}
		}
		site.verify(t)
		srv = site.serve(t)
		crashSettle(t, srv, group, writers)
		if t.Failed() {
			t.Fatalf("after the kill of round %d", round)
		}
	}
	acknowledged := 0
	for _, w := range writers {
		acknowledged += w.acknowledged
	}
	t.Logf("%d rounds: %d requests acknowledged, %d unanswered", rounds, acknowledged, unanswered)
	if unanswered == 0 {
		t.Error("no request was under way at any kill, so nothing was tested")
	}
}

// crashSettle compares everybody and the group with all ledgers.
func crashSettle(t *testing.T, srv *crashServer, group string, writers []*crashWriter) {
	t.Helper()
	users := srv.readUsers(t)
	_, members := srv.readGroup(t, group)
	known := map[string]bool{}
	for _, w := range writers {
		w.settle(t, users, members)
		for name, p := range w.people {
			known[name] = p.exists
			delete(members, p.id)
		}
	}
	for name := range users {
		if !known[name] {
			t.Errorf("%s is there, and nobody created it", name)
		}
	}
	for id := range members {
		t.Errorf("user %s is a member, and nobody has that id", id)
	}
}

// crashOneGroup lets 16 connections change one group over so many servers on one
// database, each 40 times adding, 10 times removing and 5 times renaming.
func crashOneGroup(t *testing.T, site *crashSite, servers int) {
	const connections, adds, removes, renames = 16, 40, 10, 5
	site.connect(t)
	var all []*crashServer
	for range servers {
		all = append(all, site.serve(t))
	}
	group := all[0].createGroup(t, "Site A Operators")

	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var mu sync.Mutex
	var wg sync.WaitGroup
	want, lastNames := map[string]bool{}, map[string]bool{}
	for c := range connections {
		wg.Go(func() {
			// Each request goes to the next server, so a person added through one is
			// removed through the other.
			turn := c
			send := func(method, path, body string, status int) []byte {
				turn++
				got, answer, err := all[turn%servers].do(method, path, body)
				if err != nil || got != status {
					cancel(fmt.Errorf("%s %s: got %d %s, %v; want %d", method, path, got, answer, err, status))
				}
				return answer
			}
			var ids []string
			for i := range adds {
				var user struct{ ID string }
				name := fmt.Sprintf("person%d-%d@example.test", c, i)
				if err := json.Unmarshal(send("POST", "/Users", crashUserBody(name, "new"), 201), &user); err != nil || user.ID == "" {
					cancel(fmt.Errorf("create %s: no id, %v", name, err))
				}
				ids = append(ids, user.ID)
			}
			name := ""
			for i, id := range ids {
				if ctx.Err() != nil {
					return
				}
				send("PATCH", "/Groups/"+group, crashPatch(crashAdd(id)), 204)
				if i%(adds/removes) == 0 {
					send("PATCH", "/Groups/"+group, crashPatch(crashRemove(id)), 204)
				}
				if i%(adds/renames) == 0 {
					name = fmt.Sprintf("Site A Operators, named by %d-%d", c, i)
					send("PATCH", "/Groups/"+group, crashPatch(fmt.Sprintf(`{"op":"replace","path":"displayName","value":%q}`, name)), 204)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			lastNames[name] = true
			for i, id := range ids {
				if i%(adds/removes) != 0 {
					want[id] = true
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		t.Fatal(err)
	}
	for i, srv := range all {
		name, got := srv.readGroup(t, group)
		if !maps.Equal(got, want) {
			t.Errorf("server %d shows %d members, want %d: those acknowledged", i, len(got), len(want))
		}
		if !lastNames[name] {
			t.Errorf("server %d shows the name %q, which is nobody's last", i, name)
		}
	}
	site.verify(t)
}
