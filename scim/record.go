package scim

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/internal/web"
	"gatehouse/store"
)

// The flight recorder keeps every request and its answer for a while, so that an
// administrator sees what the provider really sent. A request only copies what
// passes anyway into a bounded queue; a goroutine takes secrets out and writes
// what is left, a batch at a time. A crash loses the last two seconds of
// recordings, and nothing else.

const (
	// maxRecorded is how many bytes of a body, and of an answer, are kept.
	maxRecorded = 16 << 10
	// maxQueued bounds the memory of what waits to be written, in bytes.
	maxQueued = 16 << 20
	// recordEvery is how long recordings wait at most.
	recordEvery = 2 * time.Second
	// Of one transaction, since SQLite has one writer: rows, and bytes before
	// secrets are taken out.
	maxRecordRows  = 128
	maxRecordBytes = 64 << 10
	// lossEvery is how often what was lost is noted.
	lossEvery = 10 * time.Second
	// keptRefusals is how many requests that were turned away at the door are kept
	// of each connection in a minute; the others are counted, so that nobody fills
	// the table. maxRefusers bounds the connections that are told apart.
	keptRefusals = 5
	maxRefusers  = 1000
	// recordRate is how many requests a second that went well are kept of each
	// connection, after twice as many at once: four times what Entra sends. Those
	// beyond are counted. Failures are always kept.
	recordRate = 100
	// sweepEvery is how often old recordings are deleted, sweepRows at a time.
	sweepEvery = 30 * time.Second
	sweepRows  = 200
)

// recorder takes exchanges from requests, and writes them down in run.
type recorder struct {
	store *store.Store
	log   *slog.Logger
	keep  time.Duration
	mask  bool

	kept, lost atomic.Uint64
	budget     web.Rates[store.ConnectionID]

	mu      sync.Mutex
	queue   []*exchange
	queued  int // bytes
	losses  map[store.ConnectionRef]int
	refused map[refuser]*refusals // of this minute
	known   map[string]bool       // connections and clients that have called, by id
	wake    chan struct{}

	// Of run alone:
	places   map[string]store.ConnectionRef // of refusers; zero for none
	minute   time.Time
	lossAt   time.Time
	lossRows []store.Request
}

// refuser is where somebody was turned away: the connection or OAuth client that
// was named, and the status.
type refuser struct {
	named  string
	client bool
	status int
}

type refusals struct {
	count int
	last  *exchange
}

func newRecorder(st *store.Store, opts Options) *recorder {
	return &recorder{
		store: st, log: opts.Log, keep: opts.RecordFor, mask: opts.MaskPersonal,
		losses: map[store.ConnectionRef]int{}, refused: map[refuser]*refusals{}, known: map[string]bool{}, places: map[string]store.ConnectionRef{},
		wake: make(chan struct{}, 1), minute: st.Now().Truncate(time.Minute),
	}
}

// Recorded tells how many requests were written down since the start, and how
// many were not since more came than could be.
func (s *Server) Recorded() (kept, lost uint64) {
	return s.recorder.kept.Load(), s.recorder.lost.Load()
}

// recordedHeaders are those that tell something about a client, in canonical form.
// Authorization and Cookie are never among them.
var recordedHeaders = [...]string{
	"User-Agent", "Content-Type", "Content-Encoding", "Accept", "If-Match", "If-None-Match", "Adscimversion",
}

// Keys of what handlers add to the request's log line, and that is recorded too.
const (
	noteIgnoredKey = "ignored"
	noteUnknownKey = "unknown_members"
	noteFailedKey  = "failed"    // operations of a bulk
	noteTokenKey   = "token_end" // of a token that opens nothing, to tell which one it is
)

// exchange is a request and its answer on the way into the database. It stands in
// for the request's body and for the ResponseWriter, and copies what passes.
type exchange struct {
	http.ResponseWriter
	recorder *recorder
	in       copied
	at       time.Time
	took     time.Duration
	answer   []byte
	answered int64 // bytes
	status   int
	whole    bool // the answer, so far as the handler knows
	form     bool // the body is a token request
	beyond   bool // the connection's budget is used up

	conn    store.ConnectionRef // once the caller has proved to belong to it
	refuser refuser             // otherwise
	token   string
	cause   string
	count   int

	requestID, method, path, query string
	kind, id, location             string
	headers                        [len(recordedHeaders)]string
	notes                          []slog.Attr
}

// copied is a body that is read.
type copied struct {
	io.ReadCloser
	buf  []byte
	size int64 // what was read, or what the client said
	read bool
	done bool
}

func (c *copied) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.read, c.done = true, c.done || err == io.EOF
	c.size += int64(n)
	c.buf = append(c.buf, p[:min(n, maxRecorded-len(c.buf))]...)
	return n, err
}

// begin starts to record a request; nil when nothing is recorded. All methods of
// exchange may be called on nil.
func (r *recorder) begin(w http.ResponseWriter, req *http.Request) *exchange {
	if r == nil || r.keep == 0 {
		return nil
	}
	x := &exchange{ResponseWriter: w, recorder: r, at: r.store.Now(), count: 1}
	x.in.ReadCloser = req.Body
	if n := req.ContentLength; n > 0 {
		x.in.buf = make([]byte, 0, min(n, maxRecorded))
	}
	req.Body = &x.in
	return x
}

// writer is what the handler answers to.
func (x *exchange) writer(w http.ResponseWriter) http.ResponseWriter {
	if x == nil {
		return w
	}
	return x
}

func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
	}
	x.ResponseWriter.WriteHeader(status)
}

func (x *exchange) Write(b []byte) (int, error) {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	x.answered += int64(len(b))
	if x.spare() {
		return x.ResponseWriter.Write(b)
	}
	x.answer = append(x.answer, b[:min(len(b), maxRecorded-len(x.answer))]...)
	return x.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// by says who calls; a caller who was not let in has no connection.
func (x *exchange) by(c caller, err error) {
	if x == nil {
		return
	}
	x.token = string(c.token.ID)
	if err == nil {
		x.conn = c.conn
		_, within := x.recorder.budget.Allow(c.conn.ID, recordRate)
		x.beyond = !within
		return
	}
	var no refused
	if errors.As(err, &no) {
		x.cause = no.cause
	}
}

// spare reports whether the request is one of those that are only counted.
func (x *exchange) spare() bool { return x.beyond && x.status < 400 }

// claims says which OAuth client a request for a token pretends to come from.
func (x *exchange) claims(client string) {
	if x != nil {
		x.form, x.refuser = true, refuser{named: client, client: true}
	}
}

// provedBy says which client a request for a token has proved to come from.
func (x *exchange) provedBy(c store.Credential) {
	if x != nil {
		x.conn, x.token = store.ConnectionRef{Tenant: c.TenantID, ID: c.ConnectionID}, string(c.ID)
	}
}

// asClient says what the request for a token ended with.
func (x *exchange) asClient(err error) {
	var malformed oauthError
	var unproved invalidClient
	switch {
	case x == nil:
	case errors.As(err, &malformed):
		x.cause = causeTokenRequest
	case errors.As(err, &unproved):
		x.cause = causeWrongClient
	}
}

// complete says that the handler has come to its end.
func (x *exchange) complete() {
	if x != nil {
		x.whole = true
	}
}

// end hands a request over that was answered, or whose handler panicked.
func (x *exchange) end(req *http.Request) {
	if x == nil {
		return
	}
	if x.status == 0 {
		x.status = http.StatusInternalServerError
	}
	if x.spare() {
		x.recorder.add(x)
		return
	}
	x.took = x.recorder.store.Now().Sub(x.at)
	x.method, x.path, x.query = req.Method, req.URL.Path, req.URL.RawQuery
	x.requestID, x.notes = web.RequestID(req.Context()), web.Annotated(req.Context(), noteIgnoredKey, noteUnknownKey, noteFailedKey, noteTokenKey)
	if x.status == http.StatusCreated {
		x.location = x.Header().Get("Location")
	}
	switch {
	case strings.Contains(req.Pattern, "/v2/Users"):
		x.kind = store.ResourceUser
	case strings.Contains(req.Pattern, "/v2/Groups"):
		x.kind = store.ResourceGroup
	}
	x.id = req.PathValue("id")
	for i, name := range recordedHeaders {
		if values := req.Header[name]; len(values) > 0 {
			x.headers[i] = values[0]
		}
	}
	x.in.size = max(x.in.size, req.ContentLength)
	if x.conn.ID == "" && !x.refuser.client {
		x.refuser.named = connectionIn(req)
	}
	x.refuser.status = x.status
	x.ResponseWriter, x.in.ReadCloser = nil, nil // the server uses them again
	x.recorder.add(x)
}

// cost is how many bytes of memory an exchange takes, about.
func (x *exchange) cost() int {
	return cap(x.in.buf) + cap(x.answer) + len(x.path) + len(x.query) + 1024
}

// add puts an exchange into the queue, unless that is full.
func (r *recorder) add(x *exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := false // somebody may wait for it, who sets the connection up
	if x.conn.ID != "" {
		first = !r.known[string(x.conn.ID)]
		r.known[string(x.conn.ID)] = true
		if x.refuser.client {
			r.known[x.refuser.named] = true
		}
	} else if !r.refuse(x) {
		return
	}
	if x.spare() || r.queued+x.cost() > maxQueued {
		r.lost.Add(1)
		if x.conn.ID != "" {
			r.losses[x.conn]++
		}
		return
	}
	r.queue = append(r.queue, x)
	r.queued += x.cost()
	if first || r.queued > maxRecordBytes {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// refuse counts a request that was turned away, and reports whether it is one of
// the few that are kept. Of none is the body: anybody may have sent it. A form is
// another thing, since next to nothing of it passes the scrubber.
func (r *recorder) refuse(x *exchange) bool {
	n := r.refused[x.refuser]
	if n == nil {
		// Names that somebody made up leave room for those of real connections.
		if !isID(x.refuser.named) || len(r.refused) >= maxRefusers && !r.known[x.refuser.named] {
			return false
		}
		n = new(refusals)
		r.refused[x.refuser] = n
	}
	if x.query = ""; !x.form {
		x.in.buf = nil
	}
	n.count++
	if n.count > keptRefusals {
		n.last = x
		return false
	}
	return true
}

// run writes what was recorded and deletes what is old, until ctx ends.
func (r *recorder) run(ctx context.Context) {
	tick, sweep := time.NewTicker(recordEvery), time.NewTicker(sweepEvery)
	defer tick.Stop()
	defer sweep.Stop()
	r.sweep(ctx)
	wake := r.wake
	for {
		select {
		case <-tick.C:
			r.flush(ctx, false)
			wake = r.wake
		case <-wake:
			if !r.flush(ctx, false) {
				wake = nil // until the next tick
			}
		case <-sweep.C:
			r.sweep(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			r.flush(last, true)
			return
		}
	}
}

// flush writes what waits, in short transactions, and reports whether the
// database took it. At the end what it doesn't take is lost.
func (r *recorder) flush(ctx context.Context, end bool) bool {
	r.count(end)
	for {
		batch, cost := r.next()
		if len(batch) == 0 && len(r.lossRows) == 0 {
			return true
		}
		rows := r.lossRows
		for _, x := range batch {
			if row, ok := r.row(ctx, x); ok {
				rows = append(rows, row)
			}
		}
		err := r.store.Write(ctx, store.Actor{Kind: store.ActorSystem}, func(tx *store.Tx) error { return tx.RecordRequests(ctx, rows) })
		if errors.Is(err, store.ErrUnavailable) && !end {
			return false // the queue keeps them until it is full
		}
		if err != nil {
			r.log.Warn("requests not recorded", "count", len(batch), "error", err)
			r.lost.Add(uint64(len(batch)))
		} else {
			r.kept.Add(uint64(len(rows)))
		}
		r.lossRows = nil
		r.done(len(batch), cost)
	}
}

// next gives the oldest of the queue, which stay there until done.
func (r *recorder) next() (batch []*exchange, cost int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.queue {
		if len(batch) == maxRecordRows || cost > maxRecordBytes {
			break
		}
		batch = append(batch, x)
		cost += x.cost()
	}
	return batch, cost
}

func (r *recorder) done(n, cost int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.queue[:n])
	if r.queue = r.queue[n:]; len(r.queue) == 0 {
		r.queue = nil
	}
	r.queued -= cost
}

// count makes rows of what was only counted: losses now and then, refusals when
// their minute is over.
func (r *recorder) count(end bool) {
	now := r.store.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.losses) > 0 && (end || now.Sub(r.lossAt) >= lossEvery) {
		r.lossAt = now
		for conn, n := range r.losses {
			r.log.Warn("requests not recorded: more came than could be written", "connection", string(conn.ID), "count", n)
			r.lossRows = append(r.lossRows, store.Request{
				TenantID: conn.Tenant, ConnectionID: conn.ID, At: store.Instant{Time: now}, Count: n,
				Cause: causeNotRecorded, Headers: "{}", Notes: "{}",
			})
		}
		clear(r.losses)
	}
	if minute := now.Truncate(time.Minute); end || !minute.Equal(r.minute) {
		r.minute = minute
		for _, n := range r.refused {
			if n.last == nil {
				continue
			}
			// It stands for all that came after those that were kept.
			n.last.count, n.last.answer = n.count-keptRefusals, nil
			r.queue = append(r.queue, n.last)
			r.queued += n.last.cost()
		}
		clear(r.refused)
		clear(r.places)
	}
}

// place is the connection that a refused request named, if there is one.
func (r *recorder) place(ctx context.Context, f refuser) store.ConnectionRef {
	key := f.named
	if found, ok := r.places[key]; ok {
		return found
	}
	var found store.ConnectionRef
	var err error
	if f.client {
		found, err = r.store.ConnectionOfClient(ctx, store.ClientID(f.named))
	} else {
		found, err = r.store.ConnectionOf(ctx, store.ConnectionID(f.named))
	}
	if err != nil {
		found = store.ConnectionRef{}
	}
	if err == nil || errors.Is(err, store.ErrNotFound) {
		r.places[key] = found
	}
	return found
}

// row is what is kept of an exchange; nothing when it belongs to no connection.
func (r *recorder) row(ctx context.Context, x *exchange) (store.Request, bool) {
	conn := x.conn
	if conn.ID == "" {
		conn = r.place(ctx, x.refuser)
	}
	if conn.Tenant == "" {
		return store.Request{}, false
	}
	s := scrubber{mask: r.mask}
	path := x.path
	if !x.form {
		if path = strings.TrimPrefix(path, "/scim/"+string(conn.ID)+"/v2"); path == "" {
			path = "/"
		}
	}
	q := store.Request{
		TenantID: conn.Tenant, ConnectionID: conn.ID, At: store.Instant{Time: x.at}, Took: x.took.Microseconds(), Count: x.count,
		TokenID: x.token, RequestID: x.requestID, Method: clean(x.method, 20), Path: s.scrubPath(path), Status: x.status,
		Headers: "{}", BodySize: x.in.size, AnswerSize: x.answered,
	}
	q.Query = s.scrubQuery(x.query)
	q.Body, q.BodyNote = x.body(&s)
	s.answer = true
	q.Answer, q.AnswerNote = s.scrub(x.answer, x.answered <= maxRecorded)
	if !x.whole {
		q.AnswerNote = noteBroken
	}
	x.resource(&q)
	x.failure(&q, &s)
	q.Headers = x.headersKept(&s)
	return q, true
}

// body is what is kept of the request's body, and why it is not all.
func (x *exchange) body(s *scrubber) (text, note string) {
	switch {
	case x.in.size == 0:
		return "", ""
	case !x.in.read || x.conn.ID == "" && !x.form:
		return "", noteNotRead
	case x.form:
		text, _, note = scrubForm(x.in.buf, x.in.size <= maxRecorded)
		return text, note
	}
	return s.scrub(x.in.buf, x.in.done && x.in.size <= maxRecorded)
}

// resource is the user or group in the path, or the one that was created.
func (x *exchange) resource(q *store.Request) {
	id := x.id
	if x.location != "" {
		id = x.location[strings.LastIndexByte(x.location, '/')+1:]
	}
	if x.kind != "" && isID(id) {
		q.ResourceKind, q.ResourceID = x.kind, strings.ToLower(id)
	}
}

// failure says what went wrong, or not quite right.
func (x *exchange) failure(q *store.Request, s *scrubber) {
	notes := document{}
	for _, a := range x.notes {
		switch a.Key {
		case noteIgnoredKey:
			ignored, _ := a.Value.Any().([]string)
			var names []string
			for _, name := range ignored[:min(len(ignored), 20)] {
				names = append(names, plainPart(shorten(name)))
			}
			notes[a.Key] = names
			q.Cause = causeIgnored
		case noteUnknownKey, noteFailedKey:
			if n := a.Value.Int64(); n > 0 {
				notes[a.Key] = n
			}
		case noteTokenKey:
			if end := a.Value.String(); end != "" {
				notes[a.Key] = end
			}
		}
	}
	if _, ok := notes[noteUnknownKey]; ok {
		q.Cause = causeUnknownMembers
	}
	if _, ok := notes[noteFailedKey]; ok {
		q.Cause = causeBulkFailed
	}
	q.Notes = string(jsonOf(notes))
	if x.status < http.StatusBadRequest {
		return
	}
	var e struct {
		ScimType    string `json:"scimType"`
		Detail      string `json:"detail"`
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(x.answer, &e) // none of ours is longer than what is kept
	q.SCIMType = e.ScimType
	if q.Cause = x.cause; q.Cause == "" {
		q.Cause = causeOf(x.status, e.ScimType, e.Detail)
	}
	if !s.mask {
		q.Detail = clean(string(s.withoutSecrets([]byte(s.detail(e.Detail+e.Description)))), maxLine)
	}
}

func (x *exchange) headersKept(s *scrubber) string {
	kept := map[string]string{}
	for i, value := range x.headers {
		if value != "" {
			kept[recordedHeaders[i]] = clean(string(s.withoutSecrets([]byte(value))), 200)
		}
	}
	return string(jsonOf(kept))
}

// sweep deletes what is old, in small steps; when nothing is to be kept, all.
func (r *recorder) sweep(ctx context.Context) {
	before := r.store.Now().Add(-r.keep)
	if r.keep == 0 {
		before = before.Add(time.Minute) // also what another server recorded just now
	}
	for range 500 {
		var n int
		err := r.store.Write(ctx, store.Actor{Kind: store.ActorSystem}, func(tx *store.Tx) error {
			var err error
			n, err = tx.SweepRequests(ctx, before, sweepRows)
			return err
		})
		if err != nil {
			r.log.Warn("old recordings not deleted", "error", err)
			return
		}
		if n < sweepRows {
			return
		}
	}
}
