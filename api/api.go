// Package api is what products and scripts call: may she do this here, and why;
// where may she; who may. It speaks AuthZEN 1.0 below /p/{product} and a few
// questions of our own below /api/v1. It decides nothing itself: a request finds
// the person with one query (package store) and asks the policy (package access),
// so that no answer is older than the last change, on any replica.
//
//	s, err := api.New(ctx, st, api.Options{})
//	mux, err := web.Mux(s.Routes())
//
// Who calls shows a product key, which says what tenant and product the question is
// about. Read the files in the order of a request: api.go (routes, who may enter,
// errors), json.go (a bounded body), authzen.go (decisions), search.go (lists of
// them, in pages), reasons.go (why, in words), v1.go (the rest), openapi.go (the
// description of all of it).
package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/internal/web"
	"gatehouse/store"
)

// Options are the settings of a Server; the zero value works.
type Options struct {
	// URL is the public address, https://gatehouse.example, in front of every
	// address in an answer; "" takes the one that the client called.
	URL string
	// SecretKey signs page tokens; "" means a key that is kept in the database.
	SecretKey string
	// Rate bounds the requests a second of each key; 0 means no bound.
	Rate float64
	// Log is told what has no request to be told in; nil means slog.Default().
	Log *slog.Logger
}

// Server answers products.
type Server struct {
	store   *store.Store
	opts    Options
	pageKey []byte
	used    web.Usage[store.KeyID, store.Key]
	rates   web.Rates[store.KeyID]
}

// New makes the API of a directory.
func New(ctx context.Context, st *store.Store, opts Options) (*Server, error) {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	key := []byte(opts.SecretKey)
	if len(key) == 0 {
		var err error
		if key, err = st.Secret(ctx, "api-page"); err != nil {
			return nil, err
		}
	}
	return &Server{store: st, opts: opts, pageKey: key}, nil
}

// call is a request of a product that was let in.
type call struct {
	*http.Request
	key store.Key
	// params are the names of the parameters that the endpoint has.
	params []string
}

// handler answers a call with a status and a body that becomes JSON, or with an
// error. A body of type []byte is JSON already.
type handler func(w http.ResponseWriter, c call) (any, error)

// endpoint is one address. The searching ones want a key that may. Parameters of
// the query string that may be repeated end in *.
type endpoint struct {
	method, path string
	handle       handler
	searches     bool
	params       []string
}

const (
	authZEN   = "/p/{product}"
	v1        = "/api/v1"
	wellKnown = "/.well-known/authzen-configuration/p/{product}"
	openAPI   = "/api/openapi.yaml"
)

func (s *Server) endpoints() []endpoint {
	return []endpoint{
		{"POST", authZEN + "/access/v1/evaluation", s.evaluation, false, nil},
		{"POST", authZEN + "/access/v1/evaluations", s.evaluations, false, nil},
		{"POST", authZEN + "/access/v1/search/subject", s.searchSubject, true, nil},
		{"POST", authZEN + "/access/v1/search/resource", s.searchResource, true, nil},
		{"POST", authZEN + "/access/v1/search/action", s.searchAction, true, nil},
		{"GET", v1 + "/users/{id}/access", s.userAccess, false, nil},
		{"GET", v1 + "/sites/{dimension}/{key}/people", s.sitePeople, true, []string{"permission", "level", "site*", "limit", "cursor"}},
		{"GET", v1 + "/explain", s.explain, false, []string{"user", "permission", "level", "site*"}},
		{"GET", v1 + "/changes", s.changes, true, []string{"cursor", "limit"}},
	}
}

// Routes is the table of routes. Everything below /p/ and /api/ is answered here,
// also what does not exist, and only to those who may ask.
func (s *Server) Routes() []web.Route {
	routes := []web.Route{
		{Method: "GET", Pattern: wellKnown, Access: web.Public, Handler: http.HandlerFunc(s.discovery)},
		{Method: "GET", Pattern: openAPI, Access: web.Public, Handler: http.HandlerFunc(describe)},
	}
	for _, e := range s.endpoints() {
		routes = append(routes,
			web.Route{Method: e.method, Pattern: e.path, Access: web.ProductKey, Handler: s.guard(e)},
			web.Route{Pattern: e.path, Access: web.ProductKey, Handler: s.guard(endpoint{handle: refuseMethod(e.method)})})
	}
	for _, prefix := range []string{"/p/", "/api/"} {
		routes = append(routes, web.Route{Pattern: prefix, Access: web.ProductKey, Handler: s.guard(endpoint{handle: nothing})})
	}
	return routes
}

func refuseMethod(allowed string) handler {
	return func(w http.ResponseWriter, c call) (any, error) {
		w.Header().Set("Allow", allowed)
		return nil, problem(http.StatusMethodNotAllowed, "method_not_allowed", "%s is not possible here, only %s.", c.Method, allowed)
	}
}

func nothing(http.ResponseWriter, call) (any, error) {
	return nil, problem(http.StatusNotFound, "no_such_endpoint", "There is no such endpoint: GET %s lists them all.", openAPI)
}

// guard lets in the holders of a live key of the product in the path, before
// anything of the body is read, and renders what the handler gives.
func (s *Server) guard(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Cache-Control"] = noStore
		// AuthZEN wants the caller's own id back, whatever it is (§10.1.7).
		if id := r.Header.Get("X-Request-Id"); id != "" && len(id) <= maxText && forAuthZEN(r) {
			h.Set("X-Request-Id", id)
			web.Annotate(r.Context(), slog.String("client_request", id))
		}
		key, err := s.enter(r)
		if err == nil && e.searches && !key.Search {
			err = problem(http.StatusForbidden, "search_not_allowed",
				"This key does not allow searches: 'gatehouse key add --search' makes one that does.")
		}
		var body any
		if err == nil {
			body, err = e.handle(w, call{r, key, e.params})
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		text, ready := body.([]byte)
		if !ready {
			if text, err = json.Marshal(body); err != nil {
				s.fail(w, r, err)
				return
			}
		}
		h["Content-Type"] = mediaType
		_, _ = w.Write(text) // the client is gone, or it isn't
	})
}

// The values of headers that are the same in all answers.
var mediaType, noStore = []string{"application/json"}, []string{"no-store"}

// forAuthZEN reports whether a request is to be answered as AuthZEN says.
func forAuthZEN(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/p/") }

// errRefused is the error of a caller who is not let in.
var errRefused = errors.New("no live product key")

// enter finds out which product calls. Whatever is wrong, the answer is the same
// 401, so that nothing can be learnt from it.
func (s *Server) enter(r *http.Request) (store.Key, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) != 1 {
		return store.Key{}, errRefused
	}
	scheme, secret, _ := strings.Cut(headers[0], " ")
	secret = strings.TrimSpace(secret)
	if !strings.EqualFold(scheme, "Bearer") || len(secret) > 512 || !strings.HasPrefix(secret, store.KeyPrefix) {
		return store.Key{}, errRefused
	}
	key, err := s.store.AuthenticateKey(r.Context(), secret)
	if errors.Is(err, store.ErrNotFound) {
		return key, errRefused
	}
	if err != nil {
		return key, err
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, "/p/"); ok {
		if product, _, _ := strings.Cut(rest, "/"); cmp.Or(r.PathValue("product"), product) != string(key.Product) {
			return key, errRefused
		}
	}
	web.Annotate(r.Context(), slog.String("product", string(key.Product)), slog.String("key", "…"+key.Hint))
	now := s.store.Now()
	key.LastUsedAt = store.At(now)
	s.used.Note(key.ID, key, now)
	if wait, ok := s.rates.Allow(key.ID, s.opts.Rate); !ok {
		return key, tooMany{wait}
	}
	return key, nil
}

// tooMany is the error of a key that asks too often.
type tooMany struct{ wait time.Duration }

func (e tooMany) Error() string { return "too many requests" }

// Problem is an error as the caller gets it (RFC 9457).
type Problem struct {
	// Type is a name for the kind of problem that never changes; Code is its end.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	// Request is the id of the request, to find it in the log.
	Request string `json:"request"`
}

func (p Problem) Error() string { return p.Detail }

func problem(status int, code, format string, args ...any) Problem {
	return Problem{Type: "urn:gatehouse:problem:" + code, Title: http.StatusText(status), Status: status, Code: code, Detail: fmt.Sprintf(format, args...)}
}

// fail renders an error: as AuthZEN wants it, which is a sentence, or as a problem.
// Details of errors that are not ours stay in the log.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var p Problem
	var large *http.MaxBytesError
	var bad malformed
	var busy tooMany
	h := w.Header()
	switch {
	case errors.As(err, &p):
	case errors.As(err, &bad):
		p = problem(http.StatusBadRequest, "malformed", "%s", bad)
	case errors.Is(err, errRefused):
		p = problem(http.StatusUnauthorized, "unauthorized",
			"The product key is missing, wrong, expired or revoked, or belongs to another product: 'gatehouse key add' makes one.")
		h.Set("WWW-Authenticate", `Bearer realm="gatehouse"`)
	case errors.As(err, &busy):
		p = problem(http.StatusTooManyRequests, "too_many_requests",
			"This key asks more often than it may: slow down, ask many questions at once, or raise the setting key-rate-limit. Let nobody in meanwhile.")
		h.Set("Retry-After", strconv.Itoa(web.RetryAfter(busy.wait)))
	case errors.As(err, &large):
		p = problem(http.StatusRequestEntityTooLarge, "too_large", "The body is larger than %d bytes: ask fewer questions at a time.", large.Limit)
	case errors.Is(err, store.ErrUnavailable):
		p = problem(http.StatusServiceUnavailable, "unavailable", "The database can't be reached just now: try again, and let nobody in meanwhile.")
		h.Set("Retry-After", "5")
	default:
		p = problem(http.StatusInternalServerError, "internal", "Something went wrong in Gatehouse. Its log has the cause under request %s.", web.RequestID(r.Context()))
	}
	web.Annotate(r.Context(), slog.String("error", err.Error()))
	if forAuthZEN(r) {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(p.Status)
		_, _ = io.WriteString(w, p.Detail+"\n")
		return
	}
	p.Request = web.RequestID(r.Context())
	if p.Status == http.StatusUnauthorized {
		p.Request = "" // the same to the byte for everybody
	}
	body, _ := json.Marshal(p) // texts and a number
	h.Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(body)
}

// readBody reads the JSON object of a call, after its headers have been found in
// order.
func readBody(w http.ResponseWriter, c call) (value, error) {
	if ct := c.Header.Get("Content-Type"); ct != "" && ct != "application/json" {
		media, params, err := mime.ParseMediaType(ct)
		charset := strings.ToLower(params["charset"])
		if err != nil || media != "application/json" || charset != "" && charset != "utf-8" {
			return value{}, malformed("The Content-Type is " + shorten(ct) + ": send application/json.")
		}
	}
	if enc := c.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return value{}, malformed("The Content-Encoding is " + shorten(enc) + ": send the body as it is.")
	}
	var data bytes.Buffer
	data.Grow(int(min(max(c.ContentLength, 0), maxBody)) + bytes.MinRead)
	_, err := data.ReadFrom(http.MaxBytesReader(w, c.Body, maxBody))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return value{}, err
		}
		return value{}, malformed("The body could not be read to its end.")
	}
	return parse(data.Bytes())
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

// Metadata is what the discovery document of a product says (AuthZEN 1.0 §9).
type Metadata struct {
	PolicyDecisionPoint string `json:"policy_decision_point"`
	AccessEvaluation    string `json:"access_evaluation_endpoint"`
	AccessEvaluations   string `json:"access_evaluations_endpoint"`
	SearchSubject       string `json:"search_subject_endpoint"`
	SearchResource      string `json:"search_resource_endpoint"`
	SearchAction        string `json:"search_action_endpoint"`
}

// discovery describes the decision point of a product. It is the same for every
// name, and so gives away nothing about which products there are.
func (s *Server) discovery(w http.ResponseWriter, r *http.Request) {
	pdp := s.base(r) + "/p/" + url.PathEscape(r.PathValue("product"))
	body, _ := json.Marshal(Metadata{ // texts
		PolicyDecisionPoint: pdp,
		AccessEvaluation:    pdp + "/access/v1/evaluation",
		AccessEvaluations:   pdp + "/access/v1/evaluations",
		SearchSubject:       pdp + "/access/v1/search/subject",
		SearchResource:      pdp + "/access/v1/search/resource",
		SearchAction:        pdp + "/access/v1/search/action",
	})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "max-age=3600")
	_, _ = w.Write(body)
}

// Run writes down when keys were last used, within two seconds when they had been
// quiet, until ctx ends.
func (s *Server) Run(ctx context.Context) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.flush(ctx, false)
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
	err := s.store.Write(ctx, store.Actor{Kind: store.ActorSystem}, func(tx *store.Tx) error { return tx.TouchKeys(ctx, used) })
	if err != nil {
		s.opts.Log.Warn("last use of product keys not noted", "error", err)
	}
}

// query reads the parameters of a call. One that isn't known, or is there twice, is
// refused: a slip would widen the question.
func query(c call) (url.Values, error) {
	values, err := url.ParseQuery(c.URL.RawQuery)
	if err != nil {
		return nil, problem(http.StatusBadRequest, "bad_parameter", "The query string cannot be read: encode it as a URL wants it.")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case slices.Contains(c.params, name+"*"):
		case len(c.params) == 0:
			return nil, problem(http.StatusBadRequest, "bad_parameter", "There is no parameter %q here, nor any other.", shorten(name))
		case !slices.Contains(c.params, name):
			return nil, problem(http.StatusBadRequest, "bad_parameter", "There is no parameter %q here, only these: %s.",
				shorten(name), strings.ReplaceAll(strings.Join(c.params, ", "), "*", ""))
		case len(values[name]) > 1:
			return nil, problem(http.StatusBadRequest, "bad_parameter", "The parameter %q is there twice: send it once.", name)
		}
		for _, v := range values[name] {
			if err := checkText(name, v); err != nil {
				return nil, problem(http.StatusBadRequest, "bad_parameter", "%s", err)
			}
		}
	}
	return values, nil
}
