package scim

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"gatehouse/access"
	"gatehouse/internal/web"
	"gatehouse/store"
)

// studio is a server that records, with one connection and its token.
type studio struct {
	edge  *Server
	store *store.Store
	mux   http.Handler
	conn  store.Connection
	token string
	log   bytes.Buffer

	mu  sync.Mutex
	now time.Time // zero for the real one
}

func newStudio(t testing.TB, opts Options) *studio {
	t.Helper()
	p := &studio{}
	url := "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db")
	if _, err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.store, err = store.Open(t.Context(), url, store.Options{Now: p.clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.store.Close() })
	tenant, err := p.store.EnsureTenant(t.Context(), store.Actor{Kind: store.ActorSystem}, "acme")
	if err != nil {
		t.Fatal(err)
	}
	err = p.store.Write(t.Context(), store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI}, func(tx *store.Tx) error {
		var err error
		if p.conn, err = tx.CreateConnection(t.Context(), "entra", store.IdPEntra); err == nil {
			_, p.token, err = tx.CreateToken(t.Context(), p.conn, time.Time{})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	opts.Log = slog.New(slog.NewTextHandler(&p.log, nil))
	if p.edge, err = New(t.Context(), p.store, opts); err != nil {
		t.Fatal(err)
	}
	mux, err := web.Mux(p.edge.Routes())
	if err != nil {
		t.Fatal(err)
	}
	p.mux = web.Log(slog.New(slog.DiscardHandler), nil, mux)
	return p
}

func (p *studio) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now.IsZero() {
		return time.Now()
	}
	return p.now
}

func (p *studio) set(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = now
}

// do sends a request with a token to the connection, or to another address that
// begins with a slash twice.
func (p *studio) do(method, path, body, token string) *httptest.ResponseRecorder {
	address := "/scim/" + string(p.conn.ID) + "/v2" + path
	if strings.HasPrefix(path, "//") {
		address = path[1:]
	}
	r := httptest.NewRequest(method, address, strings.NewReader(body))
	if body == "" {
		r.Body = http.NoBody
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Cookie", "session="+canary)
	r.Header.Set("User-Agent", "test")
	w := httptest.NewRecorder()
	p.mux.ServeHTTP(w, r)
	return w
}

// recorded writes what waits and gives all of it, newest first and in full.
func (p *studio) recorded(t *testing.T) []store.Request {
	t.Helper()
	p.edge.recorder.flush(t.Context(), true)
	list, err := p.store.Requests(t.Context(), p.conn.Ref(), store.RequestQuery{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range list {
		if list[i], err = p.store.Request(t.Context(), p.conn.Ref(), string(q.ID)); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// TestTheFirstRequestIsWrittenAtOnce holds that whoever sets a connection up need not
// wait for the recorder's next turn to see that it works.
func TestTheFirstRequestIsWrittenAtOnce(t *testing.T) {
	t.Parallel()
	p := newStudio(t, Options{RecordFor: time.Hour})
	for i, want := range []int{1, 0} {
		p.do("GET", "/Users", "", p.token)
		if got := len(p.edge.recorder.wake); got != want {
			t.Errorf("request %d wakes the recorder %d times, want %d", i+1, got, want)
		}
		for len(p.edge.recorder.wake) > 0 {
			<-p.edge.recorder.wake
		}
	}
}

// TestTheFirstUseIsWrittenAtOnce holds that the console doesn't say of a provider that
// has just begun to call that it never has.
func TestTheFirstUseIsWrittenAtOnce(t *testing.T) {
	t.Parallel()
	p := newStudio(t, Options{})
	p.do("GET", "/Users", "", "wrong")
	if got := len(p.edge.firstUse); got != 0 {
		t.Errorf("a wrong token is written down %d times, want none", got)
	}
	p.do("GET", "/Users", "", p.token)
	if got := len(p.edge.firstUse); got != 1 {
		t.Fatalf("the first use is to be written %d times at once, want 1", got)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.edge.Run(ctx); close(done) }()
	defer func() { stop(); <-done }()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		conn, err := p.store.ConnectionNamed(ctx, p.conn.TenantID, p.conn.Name)
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the connection was last used at %v, %v; %d uses wait", conn.LastRequestAt, err, len(p.edge.firstUse))
		}
		if !conn.LastRequestAt.IsZero() && len(p.edge.firstUse) == 0 {
			return
		}
	}
}

func TestRequestIsRecordedWithWhatItChanged(t *testing.T) {
	t.Parallel()
	p := newStudio(t, Options{RecordFor: time.Hour})
	created := p.do("POST", "/Users", `{"userName":"ann","nick":"x","password":"`+canary+`"}`, p.token)
	if created.Code != 201 {
		t.Fatalf("got %d %s", created.Code, created.Body)
	}
	id := created.Header().Get("Location")[strings.LastIndexByte(created.Header().Get("Location"), '/')+1:]
	p.do("PATCH", "/Users/"+strings.ToUpper(id), `{"Operations":[]}`, p.token)
	p.do("GET", "/Users/"+id+"?attributes=userName", "", p.token)
	all := p.recorded(t)
	if len(all) != 3 {
		t.Fatalf("got %d requests, want 3", len(all))
	}
	get, post := all[0], all[2]
	if get.Method != "GET" || get.Path != "/Users/"+id || get.Query != "attributes=userName" || get.ResourceID != id || get.ResourceKind != store.ResourceUser || get.Status != 200 || get.Body != "" || get.TokenID == "" {
		t.Errorf("got %+v, want the GET of ann", get)
	}
	if post.ResourceID != id || post.Body != `{"userName":"ann","nick":"x","password":"(not kept)"}` || post.Cause != causeIgnored || post.Notes != `{"ignored":["nick"]}` ||
		post.Answer != created.Body.String() || post.AnswerSize != int64(created.Body.Len()) || post.Headers != `{"User-Agent":"test"}` {
		t.Errorf("got %+v, want the POST of ann", post)
	}
	changes, err := p.store.ChangesOf(t.Context(), post, "", 1000)
	if err != nil || len(changes) != 1 || changes[0].Action != store.UserCreated || changes[0].SubjectID != id {
		t.Errorf("got %v, %v, want that ann was created", changes, err)
	}
	if kept, lost := p.edge.Recorded(); kept != 3 || lost != 0 {
		t.Errorf("counted %d recorded and %d lost, want 3 and 0", kept, lost)
	}
}

func TestCausesOfRealAnswers(t *testing.T) {
	t.Parallel()
	p := newStudio(t, Options{RecordFor: time.Hour, MaxBody: 2 << 20})
	id := func(w *httptest.ResponseRecorder) string {
		l := w.Header().Get("Location")
		return l[strings.LastIndexByte(l, '/')+1:]
	}
	user := id(p.do("POST", "/Users", `{"userName":"ann"}`, p.token))
	group := id(p.do("POST", "/Groups", `{"displayName":"Crew","members":[{"value":"`+user+`"}]}`, p.token))
	owner := id(p.do("POST", "/Users", `{"userName":"bob"}`, p.token))
	err := p.store.Write(t.Context(), store.Actor{Tenant: p.conn.TenantID, Kind: store.ActorCLI}, func(tx *store.Tx) error {
		_, err := tx.AddGrants(t.Context(), access.Grant{Subject: access.Grantee{User: access.UserID(owner)}, Effect: access.Allow,
			Product: access.ConsoleID, Role: access.RoleOwner, Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	const nobody = "01a20202-8970-7d46-a2e3-aed8d1f4655c"
	patch := func(op string) string { return `{"Operations":[` + op + `]}` }
	scans := strings.Repeat(`nickName eq "x" or `, 20) + `nickName eq "x"`
	for i, test := range []struct{ method, path, body, want string }{
		{"GET", "/Users", "", ""},
		{"POST", "/Users", `{"userName":"ANN"}`, "user-name-taken"},
		{"POST", "/Groups", `{"displayName":"CREW"}`, "group-name-taken"},
		{"DELETE", "/Users/" + owner, "", "last-owner"},
		{"POST", "/Users", `{"active":true}`, "required-missing"},
		{"POST", "/Users", `{"userName":"x","active":"perhaps"}`, "wrong-type"},
		{"POST", "/Users", `{"userName":"x","userNAME":"y"}`, "sent-twice"},
		{"POST", "/Users", `{"userName":"` + strings.Repeat("x", 5000) + `"}`, "too-long"},
		{"POST", "/Users", `{"userName":" "}`, "wrong-value"},
		{"POST", "/Users", `{"userName":`, "unreadable"},
		{"PATCH", "/Users/" + user, patch(`{"op":"replace","path":"id","value":"x"}`), "read-only"},
		{"PATCH", "/Users/" + user, patch(`{"op":"replace","path":"emails.nope","value":"x"}`), "patch-path"},
		{"PATCH", "/Users/" + user, patch(`{"op":"replace","path":"emails[type ne \"work\"].value","value":"x"}`), "patch-no-target"},
		{"PATCH", "/Groups/" + group, patch(`{"op":"replace","path":"members","value":[{"value":"` + nobody + `"}]}`), "no-member-known"},
		{"PATCH", "/Groups/" + group, patch(`{"op":"add","path":"members","value":[{"value":"` + nobody + `"}]}`), causeUnknownMembers},
		{"GET", "/Users?filter=nope+eq+%22x%22", "", "filter-attribute"},
		{"GET", "/Users?filter=userName+is+x", "", "filter"},
		{"GET", "/Users?filter=" + strings.ReplaceAll(scans, " ", "+"), "", "filter-too-costly"},
		{"GET", "/Users?cursor=x", "", "cursor"},
		{"GET", "/Users?cursor&count=x", "", "cursor"},
		{"GET", "/Users/" + nobody, "", "not-found"},
		{"GET", "/Userss", "", "wrong-address"},
		{"POST", "/Users/" + user, "{}", "wrong-method"},
		{"GET", "/Schemas?filter=id+eq+%22x%22", "", "not-filterable"},
		{"GET", "/Me", "", "not-offered"},
		{"POST", "/Bulk", `{"Operations":[{"method":"POST","path":"/Users","bulkId":"b","data":{"userName":"ann"}}]}`, causeBulkFailed},
		{"POST", "/Users", `{"userName":"` + strings.Repeat("x", 1<<20) + `"}`, "too-large"},
	} {
		got := p.do(test.method, test.path, test.body, p.token)
		all := p.recorded(t)
		if newest := all[0]; len(all) != i+4 || newest.Cause != test.want || newest.Status != got.Code {
			t.Errorf("%s %.80s %.80s: %d %s\ngot cause %q of %d rows, want %q", test.method, test.path, test.body, got.Code, got.Body, newest.Cause, len(all), test.want)
		}
	}
}

func TestLargeBodiesAreCut(t *testing.T) {
	t.Parallel()
	p := newStudio(t, Options{RecordFor: time.Hour})
	var members []string
	for i := range 5000 {
		members = append(members, fmt.Sprintf(`{"value":"01a20202-8970-7d46-a2e3-%012d"}`, i))
	}
	body := `{"displayName":"Crew","members":[` + strings.Join(members, ",") + `]}`
	if w := p.do("POST", "/Groups", body, p.token); w.Code != 201 {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	q := p.recorded(t)[0]
	if q.BodySize != int64(len(body)) || q.BodyNote != noteCut || len(q.Body) > maxRecorded+100 || len(q.Body) < maxRecorded/2 || !strings.HasSuffix(q.Body, `]}`) {
		t.Errorf("got %d of %d bytes (%s), ending in %s, want about %d of %d", len(q.Body), q.BodySize, q.BodyNote, q.Body[len(q.Body)-20:], maxRecorded, len(body))
	}
}

func TestFullQueueIsCountedAndSaid(t *testing.T) {
	t.Parallel()
	p := newStudio(t, Options{RecordFor: time.Hour})
	body := `{"displayName":"` + strings.Repeat("x", maxRecorded) + `"}`
	const sent = 1500
	for range sent {
		p.do("POST", "/Groups", body, p.token)
	}
	if got := p.edge.recorder.queued; got > maxQueued {
		t.Errorf("%d bytes wait, want at most %d", got, maxQueued)
	}
	all := p.recorded(t)
	lost := 0
	for _, q := range all {
		if q.Cause == causeNotRecorded {
			lost += q.Count
		}
	}
	if rows := len(all) - 1; lost == 0 || rows+lost != sent {
		t.Errorf("got %d rows and %d lost, want %d in all and some lost", rows, lost, sent)
	}
	if _, counted := p.edge.Recorded(); counted != uint64(lost) {
		t.Errorf("counted %d lost, want %d", counted, lost)
	}
	if !strings.Contains(p.log.String(), fmt.Sprintf("count=%d", lost)) {
		t.Errorf("the log doesn't say that %d were lost: %s", lost, &p.log)
	}
	if p.edge.recorder.queued != 0 {
		t.Errorf("%d bytes are left in an empty queue", p.edge.recorder.queued)
	}
}

func TestRefusalsFillNoTable(t *testing.T) {
	t.Parallel()
	p := newStudio(t, Options{RecordFor: time.Hour})
	p.set(time.Date(2026, 3, 1, 9, 0, 30, 0, time.UTC))
	for range 50 {
		p.do("POST", "/Users", `{"userName":"`+canary+`"}`, "ghs_"+canary)
	}
	for range 2000 { // connections that don't exist
		p.do("GET", "//scim/01a20202-8970-7d46-a2e3-aed8d1f4655c/v2/Users", "", "x")
		p.do("GET", "//scim/"+canary+"/v2/Users", "", p.token)
	}
	p.edge.recorder.flush(t.Context(), false)
	p.set(time.Date(2026, 3, 1, 9, 1, 0, 0, time.UTC))
	p.edge.recorder.flush(t.Context(), false) // and the minute is over
	all, count := p.recorded(t), 0
	for _, q := range all {
		count += q.Count
		if q.Cause != causeWrongToken || q.Status != 401 || q.Body != "" || q.BodyNote != noteNotRead || strings.Contains(fmt.Sprint(q), canary) {
			t.Errorf("got %+v, want a 401 without what was sent", q)
		}
	}
	if len(all) != keptRefusals+1 || count != 50 {
		t.Errorf("got %d rows for %d requests, want %d for 50", len(all), count, keptRefusals+1)
	}
}

// Whoever makes connections up by the thousand doesn't hide what happens to those
// that there are.
func TestMadeUpConnectionsHideNoRefusal(t *testing.T) {
	t.Parallel()
	p := newStudio(t, Options{RecordFor: time.Hour})
	p.do("GET", "/Users", "", p.token)
	for range maxRefusers + 1 {
		p.do("GET", "//scim/"+uuid.NewString()+"/v2/Users", "", "x")
	}
	p.do("GET", "/Groups", "", "ghs_"+canary)
	p.edge.recorder.flush(t.Context(), false)
	if all := p.recorded(t); len(all) != 2 || all[0].Status != 401 && all[1].Status != 401 {
		t.Errorf("got %+v, want a request that was answered and one that was refused", all)
	}
}

func TestWhyATokenIsRefused(t *testing.T) {
	t.Parallel()
	p := newStudio(t, Options{RecordFor: time.Hour})
	var other store.Connection
	var dead, foreign string
	err := p.store.Write(t.Context(), store.Actor{Tenant: p.conn.TenantID, Kind: store.ActorCLI}, func(tx *store.Tx) error {
		var err error
		if other, err = tx.CreateConnection(t.Context(), "okta", store.IdPOkta); err != nil {
			return err
		}
		if _, foreign, err = tx.CreateToken(t.Context(), other, time.Time{}); err != nil {
			return err
		}
		_, dead, err = tx.CreateToken(t.Context(), p.conn, time.Now().Add(-time.Second))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for _, test := range []struct{ token, want string }{
		{"nobody's", causeWrongToken}, {strings.Repeat("x", 600), causeWrongToken}, {dead, causeDeadToken}, {foreign, causeOtherToken},
	} {
		bodies = append(bodies, p.do("GET", "/Users", "", test.token).Body.String())
		if got := p.recorded(t)[0].Cause; got != test.want {
			t.Errorf("%.20s: got %s, want %s", test.token, got, test.want)
		}
	}
	for _, body := range bodies {
		if body != bodies[0] {
			t.Errorf("got %s and %s, want one answer for all", body, bodies[0])
		}
	}
}

func TestRecordingsEnd(t *testing.T) {
	t.Parallel()
	p := newStudio(t, Options{RecordFor: time.Hour})
	start := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	for i := range 3 {
		p.set(start.Add(time.Duration(i) * 40 * time.Minute))
		p.do("GET", "/Users", "", p.token)
	}
	if got := len(p.recorded(t)); got != 3 {
		t.Fatalf("got %d requests, want 3", got)
	}
	p.edge.recorder.sweep(t.Context())
	if got := p.recorded(t); len(got) != 2 {
		t.Errorf("got %d after more than an hour, want 2 of 3", len(got))
	}
	off, err := New(t.Context(), p.store, Options{})
	if err != nil {
		t.Fatal(err)
	}
	off.recorder.sweep(t.Context())
	if got := p.recorded(t); len(got) != 0 {
		t.Errorf("got %d after recording was turned off, want none", len(got))
	}
	if x := off.recorder.begin(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)); x != nil {
		t.Error("a recorder that is off records")
	}
}

func TestStopWritesWhatWaits(t *testing.T) {
	t.Parallel()
	p := newStudio(t, Options{RecordFor: time.Hour})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.edge.Run(ctx); close(done) }()
	for range 150 {
		p.do("GET", "/Users?count=0", "", p.token)
	}
	stop()
	<-done
	list, err := p.store.Requests(t.Context(), p.conn.Ref(), store.RequestQuery{Limit: 1000})
	if err != nil || len(list) != 150 {
		t.Errorf("got %d, %v, want all 150", len(list), err)
	}
}

func TestMaskedRecordings(t *testing.T) {
	t.Parallel()
	p := newStudio(t, Options{RecordFor: time.Hour, MaskPersonal: true})
	p.do("POST", "/Users", `{"userName":"`+canary+`","name":{"givenName":"`+canary+`"},"active":"True"}`, p.token)
	p.do("POST", "/Users", `{"userName":"`+canary+`"}`, p.token)
	p.do("GET", "/Users?filter=userName+eq+%22"+canary+"%22", "", p.token)
	p.do("GET", "/Users/"+canary, "", p.token)
	p.do("PATCH", "/Users/"+canary, `{"Operations":[{"op":"replace","path":"active","value":"`+canary+`"}]}`, p.token)
	all := p.recorded(t)
	if strings.Contains(fmt.Sprint(all), canary) {
		t.Errorf("a name is in %+v", all)
	}
	if got, want := all[4].Body, `{"userName":"…","name":{"givenName":"…"},"active":"True"}`; got != want {
		t.Errorf("got body %s, want %s", got, want)
	}
	if got := all[3]; got.Cause != "user-name-taken" || got.SCIMType != "uniqueness" || got.Detail != "" {
		t.Errorf("got %+v, want the cause without the sentence", got)
	}
}

// BenchmarkRecord is what recording adds to a request, without and with the
// goroutine that writes.
func BenchmarkRecord(b *testing.B) {
	for _, run := range []struct {
		name string
		opts Options
	}{{"off", Options{}}, {"on", Options{RecordFor: time.Hour}}} {
		b.Run("handler/"+run.name, func(b *testing.B) {
			p := newStudio(b, run.opts)
			ctx, stop := context.WithCancel(b.Context())
			done := make(chan struct{})
			go func() { p.edge.Run(ctx); close(done) }()
			w := p.do("POST", "/Users", `{"userName":"ann"}`, p.token)
			path := strings.TrimPrefix(w.Header().Get("Location"), "http://example.com/scim/"+string(p.conn.ID)+"/v2")
			b.ReportAllocs()
			for b.Loop() {
				if w := p.do("GET", path, "", p.token); w.Code != 200 {
					b.Fatalf("got %d %s", w.Code, w.Body)
				}
			}
			stop()
			<-done
		})
	}
	b.Run("alone", func(b *testing.B) {
		p := newStudio(b, Options{RecordFor: time.Hour})
		r := httptest.NewRequest("PATCH", "/scim/x/v2/Users/y", nil)
		r.Header.Set("User-Agent", "test")
		r.Header.Set("Content-Type", "application/scim+json")
		body, answer, buf := strings.Repeat("x", 400), []byte(strings.Repeat("y", 800)), make([]byte, 512)
		rec := p.edge.recorder
		b.ReportAllocs()
		for b.Loop() {
			r.Body, r.ContentLength = readCloser{strings.NewReader(body)}, int64(len(body))
			x := rec.begin(discard{}, r)
			for err := error(nil); err == nil; {
				_, err = x.in.Read(buf)
			}
			x.by(caller{conn: p.conn.Ref()}, nil)
			_, _ = x.Write(answer)
			x.complete()
			x.end(r)
			if len(rec.queue) == 1000 {
				rec.queue, rec.queued = rec.queue[:0], 0
			}
		}
	})
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

type discard struct{}

func (discard) Header() http.Header         { return nil }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// TestBusyConnectionsKeepTheirFailures holds that more requests than the budget
// are counted, and that none that failed is among those.
func TestBusyConnectionsKeepTheirFailures(t *testing.T) {
	t.Parallel()
	p := newStudio(t, Options{RecordFor: time.Hour})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.edge.Run(ctx); close(done) }()
	const bad = 5
	// As many as go beyond the budget, however busy the machine is.
	good := 0
	for lost := func() uint64 { _, lost := p.edge.Recorded(); return lost }; good < 3*recordRate || lost() < 5; good++ {
		p.do("GET", "/Users?count=0", "", p.token)
	}
	for range bad {
		p.do("GET", "/Users?filter=nonsense", "", p.token)
	}
	stop()
	<-done
	list, err := p.store.Requests(t.Context(), p.conn.Ref(), store.RequestQuery{Limit: 2 * good})
	if err != nil {
		t.Fatal(err)
	}
	kept, failed, counted := 0, 0, 0
	for _, r := range list {
		switch {
		case r.Cause == causeNotRecorded:
			counted += r.Count
		case r.Status >= 400:
			failed++
		default:
			kept++
		}
	}
	if failed != bad || kept < 2*recordRate || kept == good || kept+counted != good {
		t.Errorf("got %d of %d failures, %d kept and %d counted of %d", failed, bad, kept, counted, good)
	}
}
