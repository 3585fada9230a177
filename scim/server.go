// Package scim is the SCIM 2.0 edge (RFC 7643, RFC 7644): identity providers
// write people and groups through it. It understands the dialects of real
// clients, turns what they ask into changes of the directory, and answers with
// the truth of it. It knows nothing of grants; below it is only package store.
//
//	s, err := scim.New(ctx, st, scim.Options{})
//	mux, err := web.Mux(s.Routes())
//
// Read the files in the order of a request: oauth.go (a token, for those who
// come without), server.go (routes, who may enter),
// decode.go (a bounded body), normalize.go and patch.go (dialects into
// documents and deltas), users.go and groups.go (the resources), etag.go (their
// versions), list.go and filter.go (queries), root.go (those of both kinds of
// resource), bulk.go (many requests in one), answer.go and project.go (what goes
// back). Beside them, record.go keeps what passed for a while, scrub.go takes
// secrets out of it, and causes.go says in plain words what went wrong.
package scim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	scimerr "github.com/elimity-com/scim/errors"

	"gatehouse/internal/web"
	"gatehouse/store"
)

// Options are the settings of a Server; the zero value works.
type Options struct {
	// URL is the public address, https://gatehouse.example, in front of every
	// location; "" takes the address that the client called.
	URL string
	// MaxBody bounds a request's body in bytes; 0 means DefaultMaxBody.
	MaxBody int64
	// MaxBulk bounds the operations of a bulk request, 0 means DefaultMaxBulk; MaxPage
	// the resources of a page, 0 means DefaultMaxPage.
	MaxBulk, MaxPage int
	// Rate bounds the requests a second of each connection; 0 means no bound.
	Rate float64
	// AccessTokenLife is how long an access token works; 0 means
	// DefaultAccessTokenLife.
	AccessTokenLife time.Duration
	// VerifyAssertion checks what clients show instead of a secret; nil refuses
	// them all.
	VerifyAssertion VerifyAssertion
	// RecordFor is how long requests and their answers are kept, for administrators
	// to look at; 0 keeps none, and deletes what was kept before.
	RecordFor time.Duration
	// MaskPersonal keeps them without names, addresses and what else may be
	// somebody's.
	MaskPersonal bool
	// SecretKey signs cursors; "" means a key that is kept in the database.
	SecretKey string
	// Log is told what has no request to be told in; nil means slog.Default().
	Log *slog.Logger
}

// DefaultMaxBody holds a group of 200,000 members as Okta pushes it.
const DefaultMaxBody = 32 << 20

// What a bulk request and a page hold unless Options say otherwise.
const (
	DefaultMaxBulk = 1000
	DefaultMaxPage = 1000
)

// Server answers SCIM requests.
type Server struct {
	store     *store.Store
	opts      Options
	cursorKey []byte
	used      web.Usage[store.TokenID, store.Token]
	firstUse  chan struct{} // of a token, to be written down at once
	limits    web.Rates[store.ConnectionID]
	heavy     turns
	cores     chan struct{} // see takeCore
	bodies    turns
	recorder  *recorder
}

// New makes the SCIM edge of a directory.
func New(ctx context.Context, st *store.Store, opts Options) (*Server, error) {
	if opts.MaxBody == 0 {
		opts.MaxBody = DefaultMaxBody
	}
	opts.MaxBulk, opts.MaxPage = cmp.Or(opts.MaxBulk, DefaultMaxBulk), cmp.Or(opts.MaxPage, DefaultMaxPage)
	if opts.AccessTokenLife == 0 {
		opts.AccessTokenLife = DefaultAccessTokenLife
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	key := []byte(opts.SecretKey)
	if len(key) == 0 {
		var err error
		if key, err = st.Secret(ctx, "scim-cursor"); err != nil {
			return nil, err
		}
	}
	return &Server{
		store: st, opts: opts, cursorKey: key, recorder: newRecorder(st, opts),
		heavy: turns{n: heavyTurns}, bodies: turns{n: bodyTurns},
		cores: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-2)), firstUse: make(chan struct{}, 1),
	}, nil
}

// caller is the identity provider behind a request.
type caller struct {
	token store.Token
	conn  store.ConnectionRef
	// base is the address of the connection's endpoint, without a slash at its end.
	base string
	held *held
	// inTurn says that this request has its turn for heavy work already.
	inTurn bool
}

func (c caller) actor(ctx context.Context) store.Actor {
	return store.Actor{
		Tenant:    c.conn.Tenant,
		Kind:      store.ActorSCIM,
		ID:        string(c.token.ID),
		RequestID: web.RequestID(ctx),
	}
}

// handler answers a request whose caller is known.
type handler func(http.ResponseWriter, *http.Request, caller) error

// endpoint is one row of the table of routes.
type endpoint struct {
	method, path string
	handle       handler
}

const prefix = "/scim/{connection}/v2"

// searchName is the last segment of the addresses that search by POST (RFC 7644
// §3.4.3). It stands where ids stand, and is none.
const searchName = ".search"

func (s *Server) endpoints() []endpoint {
	return []endpoint{
		{"GET", "", s.listRoot},
		{"POST", "/" + searchName, s.search(s.listRoot)},
		{"POST", "/Bulk", s.bulk},
		{"GET", "/Users", s.listUsers},
		{"POST", "/Users/" + searchName, s.search(s.listUsers)},
		{"POST", "/Users", s.createUser},
		{"GET", "/Users/{id}", s.getUser},
		{"PUT", "/Users/{id}", s.replaceUser},
		{"PATCH", "/Users/{id}", s.patchUser},
		{"DELETE", "/Users/{id}", s.deleteUser},
		{"GET", "/Groups", s.listGroups},
		{"POST", "/Groups/" + searchName, s.search(s.listGroups)},
		{"POST", "/Groups", s.createGroup},
		{"GET", "/Groups/{id}", s.getGroup},
		{"PUT", "/Groups/{id}", s.replaceGroup},
		{"PATCH", "/Groups/{id}", s.patchGroup},
		{"DELETE", "/Groups/{id}", s.deleteGroup},
		{"GET", "/Roles", s.listRoles},
		{"POST", "/Roles/" + searchName, s.search(s.listRoles)},
		{"GET", "/Roles/{id}", s.getRole},
		{"GET", "/Schemas", s.listSchemas},
		{"GET", "/Schemas/{id}", s.getSchema},
		{"GET", "/ResourceTypes", s.listResourceTypes},
		{"GET", "/ResourceTypes/{id}", s.getResourceType},
		{"GET", "/ServiceProviderConfig", s.getServiceProviderConfig},
	}
}

// Routes is the table of routes, with the token endpoint. Everything below /scim/ is answered here, also
// what does not exist: in SCIM's form, and only to those who may ask.
func (s *Server) Routes() []web.Route {
	var routes []web.Route
	methods := map[string][]string{}
	for _, e := range s.endpoints() {
		routes = append(routes, web.Route{Method: e.method, Pattern: prefix + e.path, Access: web.SCIMToken, Handler: s.guard(e.handle)})
		if !strings.HasSuffix(e.path, "{id}") {
			routes = append(routes, web.Route{Method: e.method, Pattern: prefix + e.path + "/{$}", Access: web.SCIMToken, Handler: s.guard(e.handle)})
		}
		methods[e.path] = append(methods[e.path], e.method)
	}
	for path, allowed := range methods {
		slices.Sort(allowed)
		refuse := s.guard(refuseMethod(allowed))
		if siblings, ok := methods[strings.TrimSuffix(path, searchName)+"{id}"]; ok {
			// Rows without a method would conflict with those of {id}; what these
			// leave over, such as OPTIONS, goes to the row of {id} without a method.
			for _, method := range siblings {
				routes = append(routes, web.Route{Method: method, Pattern: prefix + path, Access: web.SCIMToken, Handler: refuse})
			}
			routes = append(routes, web.Route{Pattern: prefix + path + "/{$}", Access: web.SCIMToken, Handler: refuse})
			continue
		}
		routes = append(routes, web.Route{Pattern: prefix + path, Access: web.SCIMToken, Handler: refuse})
		if !strings.HasSuffix(path, "{id}") {
			routes = append(routes, web.Route{Pattern: prefix + path + "/{$}", Access: web.SCIMToken, Handler: refuse})
		}
	}
	for _, path := range []string{"/Me", "/Me/{$}"} {
		routes = append(routes, web.Route{Pattern: prefix + path, Access: web.SCIMToken, Handler: s.guard(notAPerson)})
	}
	routes = append(routes, web.Route{Pattern: "/scim/", Access: web.SCIMToken, Handler: s.guard(func(w http.ResponseWriter, r *http.Request, _ caller) error {
		return scimerr.ScimError{Status: http.StatusNotFound, Detail: "There is no such endpoint. The address is /scim/{connection}/v2 followed by /Users or /Groups."}
	})})
	routes = append(routes, s.oauthRoutes()...)
	slices.SortFunc(routes, func(a, b web.Route) int { return strings.Compare(a.Pattern+" "+a.Method, b.Pattern+" "+b.Method) })
	return routes
}

// refuseMethod answers what an address can't do.
func refuseMethod(allowed []string) handler {
	return func(w http.ResponseWriter, r *http.Request, _ caller) error {
		possible := strings.Join(allowed, ", ")
		if r.PathValue("id") == searchName {
			possible = http.MethodPost
		}
		w.Header().Set("Allow", possible)
		return scimerr.ScimError{Status: http.StatusMethodNotAllowed, Detail: r.Method + " is not possible here, only " + possible + "."}
	}
}

// notAPerson answers /Me (RFC 7644 §3.11), the resource of whoever asks: there
// never is one, since tokens are given to identity providers, not to people.
func notAPerson(http.ResponseWriter, *http.Request, caller) error {
	return scimerr.ScimError{Status: http.StatusNotImplemented, Detail: "Gatehouse does not offer /Me: the token is an identity provider's, which is no user. Use /Users/{id}."}
}

// guard lets in the holders of a live token of the connection in the path,
// before anything of the body is read, and renders errors as SCIM wants them. It
// records the request: handlers that call other handlers are recorded once.
func (s *Server) guard(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := s.recorder.begin(w, r)
		defer x.end(r)
		w = x.writer(w)
		c, err := s.enter(r)
		c.held = new(held)
		defer c.held.letGo()
		x.by(c, err)
		if err == nil {
			err = h(w, r, c)
		}
		if err != nil {
			s.fail(w, r, err)
		}
		x.complete()
	})
}

// refused is the error of a caller who is not let in. The cause is for records;
// the answer doesn't have it.
type refused struct{ cause string }

func (e refused) Error() string { return "refused: " + e.cause }

// enter finds out who calls. Whatever is wrong, the answer is the same 401, so
// that nothing can be learnt from it.
func (s *Server) enter(r *http.Request) (caller, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return caller{}, refused{causeNoToken}
	}
	scheme, secret, _ := strings.Cut(headers[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return caller{}, refused{causeNoToken}
	}
	if len(secret) > 512 {
		return caller{}, refused{causeWrongToken}
	}
	secret = strings.TrimSpace(secret)
	token, err := s.store.Authenticate(r.Context(), secret)
	if errors.Is(err, store.ErrNotFound) {
		web.Annotate(r.Context(), slog.String(noteTokenKey, endOf(secret)))
	}
	switch {
	case errors.Is(err, store.ErrNotFound) && string(token.ConnectionID) == connectionIn(r):
		return caller{}, refused{causeDeadToken}
	case errors.Is(err, store.ErrNotFound):
		return caller{}, refused{causeWrongToken}
	case err != nil:
		return caller{}, err
	case string(token.ConnectionID) != connectionIn(r):
		return caller{}, refused{causeOtherToken}
	}
	web.Annotate(r.Context(), slog.String("connection", string(token.ConnectionID)), slog.String("token", "…"+token.Hint))
	now, first := s.store.Now(), token.LastUsedAt.IsZero()
	token.LastUsedAt = store.At(now)
	s.used.Note(token.ID, token, now)
	if first { // somebody may wait to see it, who sets the connection up
		select {
		case s.firstUse <- struct{}{}:
		default:
		}
	}
	if wait, ok := s.limits.Allow(token.ConnectionID, s.opts.Rate); !ok {
		return caller{}, tooMany{wait}
	}
	return caller{token: token, conn: token.Ref(), base: s.base(r) + "/scim/" + string(token.ConnectionID) + "/v2"}, nil
}

// endOf is the end of a secret by which somebody recognises it; "" of one so short
// that its end would tell too much.
func endOf(secret string) string {
	if len(secret) < 20 {
		return ""
	}
	return strings.Map(func(c rune) rune {
		if c <= ' ' || c >= 0x7f {
			return '?'
		}
		return c
	}, secret[len(secret)-4:])
}

// connectionIn is the connection that the path names, also where no route does.
func connectionIn(r *http.Request) string {
	if id := r.PathValue("connection"); id != "" {
		return id
	}
	u, err := url.ParseRequestURI(r.RequestURI)
	if err != nil {
		return ""
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/scim/"), "/")
	return id
}

func (s *Server) base(r *http.Request) string {
	switch {
	case s.opts.URL != "":
		return strings.TrimSuffix(s.opts.URL, "/")
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// tooMany is the error of a connection that calls too often.
type tooMany struct{ wait time.Duration }

func (e tooMany) Error() string { return "too many requests" }

// fail renders an error as a SCIM error (RFC 7644 §3.12). Details of errors that
// are not ours stay in the log.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e scimerr.ScimError
	var out refused
	var busy tooMany
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &e):
	case errors.As(err, &out):
		e = scimerr.ScimError{Status: http.StatusUnauthorized, Detail: "The bearer token is missing, wrong, expired or revoked, or belongs to another connection: compare the SCIM URL and the token with those that 'gatehouse connection add' or 'gatehouse token add' printed."}
	case errors.As(err, &busy):
		e = scimerr.ScimError{Status: http.StatusTooManyRequests, Detail: "This connection sends more at a time than it may: slow down."}
		w.Header().Set("Retry-After", fmt.Sprint(web.RetryAfter(busy.wait)))
	case errors.As(err, &large):
		advice := "send fewer members at a time, or raise the setting max-body"
		if large.Limit < s.opts.MaxBody {
			advice = "send fewer attributes"
		}
		e = scimerr.ScimError{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf("The body is larger than %d bytes: %s.", large.Limit, advice)}
	case errors.Is(err, store.ErrTooLong):
		e = scimerr.ScimError{Status: http.StatusBadRequest, ScimType: scimerr.ScimTypeInvalidValue, Detail: "A name is too long: " + err.Error() + "."}
	case errors.Is(err, store.ErrUnavailable):
		e = scimerr.ScimError{Status: http.StatusServiceUnavailable, Detail: "The database can't be reached just now. Nothing is lost: try again."}
		w.Header().Set("Retry-After", "5")
	default:
		e = scimerr.ScimError{Status: http.StatusInternalServerError, Detail: "Something went wrong in Gatehouse. Its log has the cause under request " + web.RequestID(r.Context()) + "."}
	}
	web.Annotate(r.Context(), slog.String("error", err.Error()))
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="gatehouse"`)
	}
	body, _ := e.MarshalJSON() // three strings
	writeJSON(w, e.Status, body)
}

// maxUserBody bounds the body of a single person, in bytes; groups have members
// and go up to Options.MaxBody.
const maxUserBody = 1 << 20

// readBody reads the JSON object of a request. One that is large waits for its
// turn.
func (s *Server) readBody(w http.ResponseWriter, r *http.Request, c caller, limit int64) (map[string]any, error) {
	data, release, err := s.readBytes(w, r, c, limit)
	if err != nil {
		return nil, err
	}
	defer release()
	if len(data) > 1 && !c.inTurn {
		leave, err := s.heavy.enter(r.Context(), c.conn.ID)
		if err != nil {
			return nil, err
		}
		c.held.until(leave)
		c.held.until(s.takeCore())
	}
	return decodeObject(data...)
}

// held is what a request holds until its long work is done. It is let go before
// the answer, which a client may take slowly, and at the latest after it.
type held struct{ release []func() }

func (h *held) until(release func()) { h.release = append(h.release, release) }

// long reports whether the request does long work.
func (h *held) long() bool { return len(h.release) > 0 }

func (h *held) letGo() {
	for _, release := range h.release {
		release()
	}
	h.release = nil
}

// takeCore waits for one of the processors that long work may have, and gives it
// back when called again. One is always left for the requests of everybody else, and the
// one that the program has more than the machine.
func (s *Server) takeCore() (leave func()) {
	s.cores <- struct{}{}
	return func() { <-s.cores }
}

// decodeObject is decode for a body, which is an object.
func decodeObject(body ...[]byte) (map[string]any, error) {
	value, err := decode(body...)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, invalid(scimerr.ScimTypeInvalidSyntax, "The body is not a JSON object.")
	}
	return object, nil
}

// readBytes reads the body of a request, after its headers have been found in
// order: in one piece, or in pieces of a megabyte. Release it when it is no longer needed:
// those waiting would fill the memory, so that only a few large ones are read at a time.
func (s *Server) readBytes(w http.ResponseWriter, r *http.Request, c caller, limit int64) (data [][]byte, release func(), err error) {
	if ct := r.Header.Get("Content-Type"); ct != "" {
		media, params, err := mime.ParseMediaType(ct)
		charset := strings.ToLower(params["charset"])
		if err != nil || media != "application/scim+json" && media != "application/json" || charset != "" && charset != "utf-8" {
			return nil, nil, scimerr.ScimError{Status: http.StatusUnsupportedMediaType, Detail: "The Content-Type is " + shorten(ct) + ": send application/scim+json."}
		}
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return nil, nil, scimerr.ScimError{Status: http.StatusUnsupportedMediaType, Detail: "The Content-Encoding is " + shorten(enc) + ": send the body as it is."}
	}
	body := http.MaxBytesReader(w, r.Body, min(limit, s.opts.MaxBody))
	release = func() {}
	first, err := io.ReadAll(io.LimitReader(body, maxUserBody))
	data = [][]byte{first}
	if err == nil && len(first) == maxUserBody {
		if !c.inTurn { // the body of an operation of a Bulk came with that
			release, err = s.bodies.enter(r.Context(), c.conn.ID)
		}
		if err != nil {
			if errors.As(err, new(tooMany)) {
				// Clients that are still sending when they are answered see a broken connection.
				_, _ = io.Copy(io.Discard, body)
			}
			return nil, nil, err
		}
		data, err = readPieces(first, body)
	}
	if err == nil {
		return data, release, nil
	}
	release()
	var large *http.MaxBytesError
	if !errors.As(err, &large) {
		err = invalid(scimerr.ScimTypeInvalidSyntax, "The body could not be read to its end: %v.", err)
	}
	return nil, nil, err
}

// readPieces reads the rest of a body in pieces, so that it takes as much memory as has
// come, whatever length was told. A buffer that grows clears and copies megabytes in one
// go, which can't be interrupted: the garbage collector would wait for that, and whoever
// needs memory for it.
func readPieces(first []byte, body io.Reader) ([][]byte, error) {
	pieces := [][]byte{first}
	for {
		time.Sleep(breath)
		piece := make([]byte, maxUserBody)
		n := 0
		var err error
		for n < len(piece) && err == nil {
			var more int
			more, err = body.Read(piece[n:])
			n += more
		}
		if n > 0 {
			pieces = append(pieces, piece[:n])
		}
		switch err {
		case nil:
		case io.EOF: // not io.ErrUnexpectedEOF, which is that of a body that broke off
			return pieces, nil
		default:
			return nil, err
		}
	}
}

// breath is for how long the reader of a long body leaves its processor to others behind
// each piece. While all of Go's processors are busy, also with a body that comes as fast as
// it is read, it looks every ten milliseconds whether anybody's request or answer has come.
const breath = time.Millisecond

// noteIgnored puts attributes that were left out into the request's log line.
func noteIgnored(ctx context.Context, ignored []string) {
	if len(ignored) > 0 {
		web.Annotate(ctx, slog.Any(noteIgnoredKey, ignored))
	}
}

// Run writes down when tokens were last used, at once the first time, within two
// seconds when they had been quiet, deletes old access tokens every minute, and writes what was
// recorded, until ctx ends.
func (s *Server) Run(ctx context.Context) {
	var recording sync.WaitGroup
	recording.Go(func() { s.recorder.run(ctx) })
	defer recording.Wait()
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	s.sweep(ctx)
	for {
		select {
		case <-tick.C:
			s.flush(ctx, false)
		case <-s.firstUse:
			s.flush(ctx, false)
		case <-minute.C:
			s.sweep(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			defer cancel()
			s.flush(last, true)
			return
		}
	}
}

func (s *Server) flush(ctx context.Context, all bool) {
	used := s.used.Take(s.store.Now(), all)
	if len(used) == 0 {
		return
	}
	err := s.store.Write(ctx, store.Actor{Kind: store.ActorSystem}, func(tx *store.Tx) error { return tx.TouchTokens(ctx, used) })
	if err != nil {
		s.opts.Log.Warn("last use of tokens not noted", "error", err)
	}
}

// heavyTurns is how many things a connection does at a time that take much memory
// or time: decoding large bodies, bulks, and filters that read every document.
const heavyTurns = 2

// bodyTurns is how many large bodies of a connection are in memory at a time, read
// or waiting to be decoded.
const bodyTurns = 4

// turns lets each connection do n things at a time. The others of that connection
// wait; other connections don't notice.
type turns struct {
	n  int
	mu sync.Mutex
	of map[store.ConnectionID]chan struct{}
}

// heavyWait is how long a request waits for its turn before it is told to come
// back.
const heavyWait = 15 * time.Second

func (t *turns) enter(ctx context.Context, c store.ConnectionID) (leave func(), err error) {
	t.mu.Lock()
	taken := t.of[c]
	if taken == nil {
		if t.of == nil {
			t.of = map[store.ConnectionID]chan struct{}{}
		}
		taken = make(chan struct{}, t.n)
		t.of[c] = taken
	}
	t.mu.Unlock()
	late := time.NewTimer(heavyWait)
	defer late.Stop()
	select {
	case taken <- struct{}{}:
		return func() { <-taken }, nil
	case <-late.C:
		return nil, tooMany{heavyWait}
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
	}
}
