package scim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"gatehouse/internal/web"
	"gatehouse/store"
)

// endpointOf is a server's handler on SQLite, with what requests to it need.
type endpointOf struct {
	t       testing.TB
	handler http.Handler
	base    string
	token   string
}

// newEndpoint makes a server whose clock is now; nil is the machine's.
func newEndpoint(t testing.TB, now func() time.Time) *endpointOf {
	t.Helper()
	address := "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db")
	if _, err := store.Migrate(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), address, store.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	tenant, err := s.EnsureTenant(t.Context(), store.Actor{Kind: store.ActorSystem}, "acme")
	if err != nil {
		t.Fatal(err)
	}
	e := &endpointOf{t: t}
	err = s.Write(t.Context(), store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI, ID: "ann"}, func(tx *store.Tx) error {
		conn, err := tx.CreateConnection(t.Context(), "entra", store.IdPEntra)
		if err != nil {
			return err
		}
		e.base = "/scim/" + string(conn.ID) + "/v2"
		_, e.token, err = tx.CreateToken(t.Context(), conn, time.Time{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	edge, err := New(t.Context(), s, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if e.handler, err = web.Mux(edge.Routes()); err != nil {
		t.Fatal(err)
	}
	return e
}

// send answers a request; doc is nil without a body.
func (e *endpointOf) send(method, path string, body []byte) (status int, doc document) {
	r := httptest.NewRequest(method, e.base+path, bytes.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+e.token)
	w := httptest.NewRecorder()
	e.handler.ServeHTTP(w, r)
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			e.t.Fatalf("%s %s %q: answered %d %q, which is no JSON object", method, path, body, w.Code, w.Body)
		}
	}
	return w.Code, doc
}

// want is send for what has to be answered with the status.
func (e *endpointOf) want(status int, method, path, body string) document {
	e.t.Helper()
	got, doc := e.send(method, path, []byte(body))
	if got != status {
		e.t.Fatalf("%s %s %s: answered %d %v, want %d", method, path, body, got, doc, status)
	}
	return doc
}

// bodySeeds are bodies of users, groups and PATCHes, good ones and not.
var bodySeeds = []string{
	expand(annUser), `{"userName":"u","active":"False","emails":[{"value":"a","primary":true}],"name.givenName":"G","password":"p"}`,
	expand(`{"schemas":["$CORE"],"userName":"u","$ACME":{"a":[1,{"b":null}]},"$ENT":{"manager":["m"]}}`), `{"displayName":"g","members":[{"value":"u"},"v"]}`, opsGroup,
	`{"Operations":[{"op":"Add","path":"emails[type eq \"work\"].value","value":"x"},{"op":"remove","path":"title"}]}`,
	`{"Operations":[{"op":"replace","value":{"displayName":"new","members":[]}}]}`, `{"Operations":[{"op":"Remove","path":"members","value":[{"value":"u"}]}]}`,
	`{"Operations":[{"op":"replace","path":"active","value":null}]}`, `[]`, `{"userName":`, "\xff", `{"userName":"a","USERNAME":"b"}`,
}

// FuzzBody sends whole bodies.
func FuzzBody(f *testing.F) {
	for i, body := range bodySeeds {
		for target := range byte(6) {
			f.Add(target, []byte(body))
		}
		if i == 0 {
			f.Add(byte(255), []byte(body))
		}
	}
	f.Fuzz(newBodyCheck(f).check)
}

// A bodyCheck is an endpoint with a resource of each collection that no body has
// changed.
type bodyCheck struct {
	*endpointOf
	here map[string]string
}

func newBodyCheck(t testing.TB) bodyCheck { return bodyCheck{newEndpoint(t, nil), map[string]string{}} }

// check checks what holds for every body: it is taken, and what it made can be read,
// or it is refused with a SCIM error, and nothing has changed.
func (c bodyCheck) check(t *testing.T, target byte, body []byte) {
	e := c.endpointOf
	e.t = t
	collection := []string{"/Users", "/Groups"}[target%2]
	method := []string{"POST", "PUT", "PATCH"}[target/2%3]
	address := c.here[collection]
	if address == "" {
		address = collection + "/" + text(e.want(201, "POST", collection, `{"userName":"here","displayName":"here"}`), "id")
		c.here[collection] = address
	}
	before := e.want(200, "GET", address, "")
	path := address
	if method == "POST" {
		path = collection
	}
	status, answer := e.send(method, path, body)
	after := e.want(200, "GET", address, "")
	switch {
	case status == 201:
		other := collection + "/" + text(answer, "id")
		e.want(200, "GET", other, "")
		e.want(204, "DELETE", other, "")
	case status == 200 || status == 204:
		e.want(204, "DELETE", address, "")
		delete(c.here, collection)
	case status < 400 || status >= 500 || text(answer, "detail") == "":
		t.Errorf("%s of %q: answered %d %v", method, body, status, answer)
	case !equal(jsonValue(before), jsonValue(after)):
		t.Errorf("%s of %q: was refused with %v, and %v became %v", method, body, answer, before, after)
	}
}

// jsonValue is a value of encoding/json, with its numbers as equal compares them.
func jsonValue(v any) any {
	value, err := decode(jsonOf(v))
	if err != nil {
		panic(err) // it was JSON before
	}
	return value
}

func TestCursorsEnd(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	e := newEndpoint(t, func() time.Time { return now })
	for _, name := range []string{"ann", "bob"} {
		e.want(201, "POST", "/Users", `{"userName":"`+name+`"}`)
	}
	next := "/Users?count=1&cursor=" + text(e.want(200, "GET", "/Users?count=1&cursor", ""), "nextCursor")
	now = now.Add(cursorLife)
	e.want(200, "GET", next, "")
	now = now.Add(2 * time.Second)
	if doc := e.want(400, "GET", next, ""); text(doc, "scimType") != string(scimTypeExpiredCursor) {
		t.Errorf("after %v: got %v, want expiredCursor", cursorLife, doc)
	}
}

// slowBody is a body without end. It says when so many bytes were read, and then
// has no more until its client goes on.
type slowBody struct {
	read, pause int
	seen        func() // after each read; nil for nothing
	paused      func()
	goOn        <-chan struct{}
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.read >= b.pause {
		b.paused()
		<-b.goOn
		return 0, io.EOF
	}
	n := min(len(p), b.pause-b.read)
	clear(p[:n])
	b.read += n
	if b.seen != nil {
		b.seen()
	}
	return n, nil
}

// Whoever sends many large bodies at a time fills no memory with those that wait.
func TestLargeBodiesAreReadInTurn(t *testing.T) {
	t.Parallel()
	p := newRig(t)
	send := func(ctx context.Context, b *slowBody) int {
		r := httptest.NewRequestWithContext(ctx, "POST", p.path+"/Groups", b)
		r.Header.Set("Authorization", "Bearer "+p.token)
		w := httptest.NewRecorder()
		p.handler.ServeHTTP(w, r)
		return w.Code
	}
	goOn, reading := make(chan struct{}), make(chan struct{})
	var senders sync.WaitGroup
	for range bodyTurns {
		senders.Go(func() {
			send(t.Context(), &slowBody{pause: maxUserBody + 1, paused: func() { reading <- struct{}{} }, goOn: goOn})
		})
	}
	for range bodyTurns {
		<-reading
	}
	// One more, whose client goes away when its turn would have to come.
	ctx, cancel := context.WithCancel(t.Context())
	late := &slowBody{pause: 4 * maxUserBody, paused: func() {}, goOn: ctx.Done()}
	late.seen = func() {
		if late.read >= maxUserBody {
			cancel()
		}
	}
	status := send(ctx, late)
	if status != http.StatusServiceUnavailable || late.read > maxUserBody {
		t.Errorf("got %d after %d bytes, want 503 after %d", status, late.read, maxUserBody)
	}
	close(goOn)
	senders.Wait()
}

// Bulks with operations of more than a megabyte hold no turns that others of them wait for.
func TestLargeBulksGoOn(t *testing.T) {
	t.Parallel()
	p := newRig(t)
	fill := strings.Repeat("x", maxUserBody*2/3)
	var senders sync.WaitGroup
	for i := range bodyTurns {
		senders.Go(func() {
			body := fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[
				{"method":"POST","bulkId":"a","path":"/Groups","data":{"displayName":"%d","a":"%s","b":"%s"}}]}`, i, fill, fill)
			r := httptest.NewRequestWithContext(t.Context(), "POST", p.path+"/Bulk", strings.NewReader(body))
			r.Header.Set("Authorization", "Bearer "+p.token)
			w := httptest.NewRecorder()
			p.handler.ServeHTTP(w, r)
			if w.Code != 200 || !strings.Contains(w.Body.String(), `"status":"201"`) {
				t.Errorf("bulk %d: got %d %.300s, want 200 with 201", i, w.Code, w.Body)
			}
		})
	}
	senders.Wait()
}

// A body that breaks off is none, wherever it does.
func TestBodiesBreakOff(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, maxUserBody, maxUserBody + 1} {
		broken := io.MultiReader(strings.NewReader(strings.Repeat(" ", size)), iotest.ErrReader(io.ErrUnexpectedEOF))
		if _, err := readPieces([]byte("{}"), broken); err != io.ErrUnexpectedEOF {
			t.Errorf("after %d bytes: got %v, want io.ErrUnexpectedEOF", size, err)
		}
		pieces, err := readPieces([]byte("{}"), strings.NewReader(strings.Repeat(" ", size)))
		if all := bytes.Join(pieces, nil); err != nil || len(all) != size+2 {
			t.Errorf("%d bytes: got %d, %v, want %d", size, len(all), err, size+2)
		}
	}
}

// What is long by itself is read as it is in one piece.
func TestLongTexts(t *testing.T) {
	t.Parallel()
	x, blank := strings.Repeat("x", 8*maxUserBody), strings.Repeat(" ", 8*maxUserBody)
	for _, long := range []string{`{"a":"` + x + `"}`, `{"a":` + blank + `1}`, `{"a":1}` + blank, `{"` + x + `":1}`, `{"a":1}` + blank + `}`, `{"a":"` + x} {
		pieces, err := readPieces(nil, strings.NewReader(long))
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(pieces...)
		want, wrong := decode([]byte(long))
		if !reflect.DeepEqual(got, want) || fmt.Sprint(err) != fmt.Sprint(wrong) {
			t.Errorf("%.10s: got an answer or %v unlike in one piece, where it is %v", long, err, wrong)
		}
	}
}
