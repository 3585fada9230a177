package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestRouteWithoutAccessDoesNotStart(t *testing.T) {
	t.Parallel()
	_, err := Mux([]Route{{Method: "GET", Pattern: "/x", Handler: http.NotFoundHandler()}})
	if err == nil {
		t.Fatal("a route that says nobody may use it was started")
	}
}

func TestOneLineARequest(t *testing.T) {
	t.Parallel()
	tests := []struct {
		why       string
		requestID string
		handler   http.HandlerFunc
		status    int
		keepsID   bool
	}{
		{why: "an answer without a status is 200", handler: func(http.ResponseWriter, *http.Request) {}, status: 200},
		{why: "a plain id of the caller is kept", requestID: "abc-1", handler: func(http.ResponseWriter, *http.Request) {}, status: 200, keepsID: true},
		{why: "an id that could forge log lines is not", requestID: "a b\"c", handler: func(http.ResponseWriter, *http.Request) {}, status: 200},
		{why: "a panic is a 500, not a dead connection", handler: func(http.ResponseWriter, *http.Request) { panic("boom") }, status: 500},
	}
	for _, test := range tests {
		t.Run(test.why, func(t *testing.T) {
			var out bytes.Buffer
			observed := 0
			h := Log(slog.New(slog.NewJSONHandler(&out, nil)), func(_, _ string, status int, _ time.Duration) { observed = status }, test.handler)
			r := httptest.NewRequest("GET", "/people?filter=secret%22x%22", nil)
			r.Header.Set("X-Request-Id", test.requestID)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)

			if w.Code != test.status || observed != test.status {
				t.Errorf("status %d, observed %d, want %d", w.Code, observed, test.status)
			}
			if lines := strings.Count(out.String(), "\n"); lines != 1 {
				t.Errorf("%d log lines, want 1:\n%s", lines, out.String())
			}
			if strings.Contains(out.String(), "secret") {
				t.Errorf("the query is in the log: %s", out.String())
			}
			var line map[string]any
			if err := json.Unmarshal(out.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			got, logged := w.Header().Get("X-Request-Id"), fmt.Sprint(line["request"])
			if got == "" || (got == test.requestID) != test.keepsID || (logged == got) == test.keepsID || !strings.HasPrefix(logged, got) {
				t.Errorf("X-Request-Id %q, log %v, sent %q", got, logged, test.requestID)
			}
		})
	}
}

// Callers repeat their ids; what is kept under one must still be of one request.
func TestARequestHasAnIDOfItsOwn(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	h := Log(slog.New(slog.DiscardHandler), nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen[RequestID(r.Context())] = true }))
	for range 1000 {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Request-Id", "proxy-1")
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	for id := range seen {
		if !strings.HasPrefix(id, "proxy-1~") || len(id) > len("proxy-1~")+9 {
			t.Fatalf("got id %q, want the caller's and a few letters", id)
		}
	}
	if len(seen) != 1000 {
		t.Errorf("1000 requests have %d ids", len(seen))
	}
}

func TestAPartKeepsItsNotesToItself(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var noted []slog.Attr
	var id, partID string
	h := Log(slog.New(slog.NewJSONHandler(&out, nil)), nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		part, notes := Part(r.Context())
		Annotate(part, slog.String("inner", "x"))
		Annotate(r.Context(), slog.String("outer", "y"))
		noted, id, partID = notes(), RequestID(r.Context()), RequestID(part)
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	if id == "" || partID != id {
		t.Errorf("the part has id %q, the request %q", partID, id)
	}
	if len(noted) != 1 || noted[0].Key != "inner" {
		t.Errorf("noted %v, want inner alone", noted)
	}
	if strings.Contains(out.String(), "inner") || !strings.Contains(out.String(), "outer") {
		t.Errorf("got the line %s, want outer in it, and not inner", out.String())
	}
}

func TestUncleanPathsAreNotRedirected(t *testing.T) {
	t.Parallel()
	mux, err := Mux([]Route{
		{Pattern: "/scim/", Access: SCIMToken, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) })},
		{Pattern: "/", Access: Public, Handler: http.NotFoundHandler()},
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"/scim//x": 401, "/scim/../x": 401, "/scim/x/..": 401, "/scim/x/": 401, "/scim/x": 401,
		"//scim/x": 401, "/scim///x//": 401, "/../scim/x": 404, "/./scim/x": 404, "/x//y": 404, "/": 404, "//": 404,
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path = path
		mux.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: status %d, want %d", path, w.Code, want)
		}
	}
}

// TestTokensInTheWrongPlaceStayOutOfTheLog sends a secret wherever a client might
// by mistake.
func TestTokensInTheWrongPlaceStayOutOfTheLog(t *testing.T) {
	t.Parallel()
	const secret = "ghs_Zm9vYmFyYmF6cXV4cXV1eGNvcmdlZ3JhdWx0Z2FycGx5"
	var out bytes.Buffer
	h := Log(slog.New(slog.NewJSONHandler(&out, nil)), nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		Annotate(r.Context(), slog.String("error", "no user "+secret))
	}))
	r := httptest.NewRequest("GET", "/Users/"+secret, nil)
	r.Header.Set("X-Request-Id", secret)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if strings.Contains(out.String(), secret[4:]) || !strings.Contains(out.String(), "/Users/gh*_…") {
		t.Errorf("got the line %s, want no secret in it", out.String())
	}
	if id := w.Header().Get("X-Request-Id"); id == "" || id == secret {
		t.Errorf("X-Request-Id %q, want one of ours", id)
	}
}
