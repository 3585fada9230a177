// Package web is what all HTTP edges share: handlers that return errors, a table
// of routes that says who may use each, one log line a request, and the limits
// that stand before any handler. It knows nothing of SCIM, pages or the store.
//
// Its neighbours are the edges (scim, api, ui) above it and net/http below:
//
//	routes := []web.Route{{Method: "GET", Pattern: "/livez", Access: web.Public, Handler: live}}
//	mux, err := web.Mux(routes)
//	http.Serve(l, web.Log(logger, mux))
package web

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"path"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// HandlerFunc answers a request, or returns the error that its edge renders.
type HandlerFunc func(http.ResponseWriter, *http.Request) error

// Access says who may use a route.
type Access string

// The kinds of access. A route without one does not start.
const (
	// Public routes answer anybody.
	Public Access = "public"
	// SCIMToken routes want a live token of the connection in their path.
	SCIMToken Access = "scim-token"
	// ClientCredentials routes want a client that proves itself (RFC 6749 §2.3).
	ClientCredentials Access = "client-credentials"
	// ProductKey routes want a live key of a product: of the one in the path, where
	// that names one.
	ProductKey Access = "product-key"
	// Session routes want somebody who is signed in.
	Session Access = "session"
)

// Route is one line of the table of routes.
type Route struct {
	// Method is the HTTP method; "" means every method.
	Method string `json:"method"`
	// Pattern is a path in the form of http.ServeMux, without the method.
	Pattern string `json:"pattern"`
	Access  Access `json:"access"`
	// Needs is the right that a session route asks for, such as people:view; "" is
	// none.
	Needs   string       `json:"needs,omitempty"`
	Handler http.Handler `json:"-"`
}

// Mux builds the multiplexer of a table of routes. Slashes that repeat count as
// one: a base address that was pasted with a slash at its end is a common slip.
// Any other path that isn't clean (/../) is answered as one that doesn't exist
// below the same first segment, where http.ServeMux would redirect before anybody
// is asked who they are.
func Mux(routes []Route) (http.Handler, error) {
	mux := http.NewServeMux()
	for _, r := range routes {
		if r.Access == "" {
			return nil, fmt.Errorf("route %s %s says nobody may use it", r.Method, r.Pattern)
		}
		pattern := r.Pattern
		if r.Method != "" {
			pattern = r.Method + " " + pattern
		}
		mux.Handle(pattern, r.Handler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if clean := cleanPath(r.URL.Path); clean != r.URL.Path {
			u := *r.URL
			u.Path, u.RawPath = clean, ""
			r2 := *r
			r2.URL = &u
			mux.ServeHTTP(w, &r2)
			r.Pattern = r2.Pattern
			return
		}
		mux.ServeHTTP(w, r)
	}), nil
}

// cleanPath is the path that is routed for p.
func cleanPath(p string) string {
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	if strings.HasPrefix(p, "/") && !strings.Contains(p, "/.") {
		return p // as most are
	}
	if clean := path.Clean(p); p == clean || p == clean+"/" {
		return p
	}
	first, _, _ := strings.Cut(p[1:], "/")
	if first == path.Base(path.Clean("/"+first)) {
		return "/" + first + "/-"
	}
	return "/-"
}

// entry is the log line of a request in the making, and what was answered: all
// that Log keeps for a request, in one piece of memory.
type entry struct {
	id    string
	ids   [1]string // the value of the header X-Request-Id
	mu    sync.Mutex
	attrs []slog.Attr
	room  [12]slog.Attr
	recorder
}

var nosniff = []string{"nosniff"}

type entryKey struct{}

// RequestID is the id of the request: in its log line, on error pages and in the
// log of changes. It begins with the one in the X-Request-Id header of the answer.
// Where that is the caller's own, a tilde and a few letters follow, since callers
// give several requests the same.
func RequestID(ctx context.Context) string {
	if e, ok := ctx.Value(entryKey{}).(*entry); ok {
		return e.id
	}
	return ""
}

// Annotate adds to the request's log line. Secrets never go there.
func Annotate(ctx context.Context, attrs ...slog.Attr) {
	if e, ok := ctx.Value(entryKey{}).(*entry); ok {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.attrs = append(e.attrs, attrs...)
	}
}

// Part gives the context of one part of a request that does many things: its id
// is the request's, and notes gives what was annotated in it, which does not go
// into the request's log line.
func Part(ctx context.Context) (part context.Context, notes func() []slog.Attr) {
	e := &entry{id: RequestID(ctx)}
	return context.WithValue(ctx, entryKey{}, e), func() []slog.Attr {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.attrs
	}
}

// Annotated gives what has been added to the request's log line under one of
// the keys, for those who keep it longer than the request.
func Annotated(ctx context.Context, keys ...string) []slog.Attr {
	e, ok := ctx.Value(entryKey{}).(*entry)
	if !ok {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []slog.Attr
	for _, a := range e.attrs {
		if slices.Contains(keys, a.Key) {
			found = append(found, a)
		}
	}
	return found
}

// Observe is told of every answer, for metrics: the pattern of the route that
// answered ("" for none), its method, the status and how long it took.
type Observe func(pattern, method string, status int, took time.Duration)

// Log gives every request an id, writes one line about it when it is answered,
// and turns a panic into a 500 instead of a dead connection. Query strings stay
// out of the line: filters hold personal data.
func Log(log *slog.Logger, observe Observe, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		e := &entry{recorder: recorder{ResponseWriter: w}}
		rec := &e.recorder
		e.id, e.ids[0] = requestID(r)
		e.attrs = e.room[:6] // what the answer says comes before what was annotated
		r = r.WithContext(context.WithValue(r.Context(), entryKey{}, e))
		w.Header()["X-Request-Id"] = e.ids[:]
		w.Header()["X-Content-Type-Options"] = nosniff

		defer func() {
			p := recover()
			if p != nil && p != http.ErrAbortHandler {
				Annotate(r.Context(), slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
				if rec.status == 0 {
					http.Error(rec, "internal error, request "+e.id, http.StatusInternalServerError)
				}
			}
			took := time.Since(start)
			level := slog.LevelInfo
			if rec.status >= 500 && rec.status != http.StatusNotImplemented || p != nil {
				level = slog.LevelError
			}
			e.mu.Lock()
			copy(e.attrs, []slog.Attr{
				slog.String("request", e.id),
				slog.String("method", r.Method),
				slog.String("path", withoutTokens(r.URL.Path)),
				slog.Int("status", rec.status),
				slog.Int64("bytes", rec.bytes),
				slog.Float64("ms", float64(took.Microseconds())/1000),
			})
			for i, a := range e.attrs {
				if a.Value.Kind() == slog.KindString {
					e.attrs[i].Value = slog.StringValue(withoutTokens(a.Value.String()))
				}
			}
			line := e.attrs
			e.mu.Unlock()
			if log.Enabled(r.Context(), level) {
				// Not through LogAttrs, which looks up the caller for nothing.
				record := slog.NewRecord(start.Add(took), level, "request", 0)
				record.AddAttrs(line...)
				_ = log.Handler().Handle(r.Context(), record) // there is nowhere to report that the log is gone
			}
			if observe != nil {
				observe(r.Pattern, r.Method, rec.status, took)
			}
			if p == http.ErrAbortHandler {
				panic(p) // net/http closes the connection: the client must not take a half answer for a whole one
			}
		}()
		next.ServeHTTP(rec, r)
		if rec.status == 0 {
			rec.status = http.StatusOK
		}
	})
}

// token is what a secret of ours looks like, wherever a client has put it.
var token = regexp.MustCompile(`gh[a-z]_[A-Za-z0-9_-]{16,}`)

// withoutTokens is s without secrets of ours.
func withoutTokens(s string) string {
	if !strings.Contains(s, "gh") {
		return s
	}
	return token.ReplaceAllString(s, "gh*_…")
}

// requestID gives a request its id, and what the answer's header says: the caller's
// own, if it is a plain short one, or the same. Ours has 13 letters and digits at
// most, since people read it to each other; it is no secret.
func requestID(r *http.Request) (id, answered string) {
	own := r.Header.Get("X-Request-Id")
	if !plain(own) || withoutTokens(own) != own {
		id = strconv.FormatUint(rand.Uint64(), 36)
		return id, id
	}
	return own + "~" + strconv.FormatUint(rand.Uint64()>>24, 36), own
}

func plain(id string) bool {
	for i := range len(id) {
		c := id[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return id != "" && len(id) <= 64
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
