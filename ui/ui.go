// Package ui is the console: what people see in a browser. It reads the store
// and renders pages with html/template; pages work without script and carry a
// policy that forbids any.
//
//	routes := ui.New(st, log).Routes()
package ui

import (
	"bytes"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"gatehouse/internal/web"
	"gatehouse/store"
)

//go:embed templates/*.html
var templateFiles embed.FS

//go:embed static/app.css
var appCSS []byte

// Server renders the console.
type Server struct {
	store     *store.Store
	log       *slog.Logger
	templates *template.Template
}

// New makes the console of a directory.
func New(st *store.Store, log *slog.Logger) *Server {
	return &Server{
		store: st,
		log:   log,
		templates: template.Must(template.New("").Funcs(template.FuncMap{
			"count": count,
		}).ParseFS(templateFiles, "templates/*.html")),
	}
}

// Routes is the console's table of routes.
func (s *Server) Routes() []web.Route {
	return []web.Route{
		{Method: "GET", Pattern: "/{$}", Access: web.Public, Handler: s.page(s.overview)},
		{Method: "GET", Pattern: "/static/app.css", Access: web.Public, Handler: http.HandlerFunc(css)},
		{Pattern: "/", Access: web.Public, Handler: s.page(s.missing)},
	}
}

func css(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "max-age=300")
	w.Write(appCSS)
}

// page renders errors as a page that says what to do.
func (s *Server) page(h web.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-store")
		if err := h(w, r); err != nil {
			web.Annotate(r.Context(), slog.String("error", err.Error()))
			p := problemPage{
				Title:     "This page can't be shown just now",
				Text:      "Gatehouse could not read its database. Identity providers keep their changes and send them again. Try again in a minute; if it stays like this, the log has the cause under the request below.",
				RequestID: web.RequestID(r.Context()),
			}
			if err := s.render(w, http.StatusServiceUnavailable, "problem.html", p); err != nil {
				s.log.Error("problem page", "error", err)
			}
		}
	})
}

// render writes a page once it is whole: never half a page with status 200.
func (s *Server) render(w http.ResponseWriter, status int, name string, data any) error {
	var b bytes.Buffer
	if err := s.templates.ExecuteTemplate(&b, name, data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes())
	return nil
}

// problemPage says what went wrong and what to do.
type problemPage struct {
	Title, Text, RequestID string
}

func (s *Server) missing(w http.ResponseWriter, r *http.Request) error {
	return s.render(w, http.StatusNotFound, "problem.html", problemPage{
		Title:     "There is no such page",
		Text:      "The address may be mistyped or out of date.",
		RequestID: web.RequestID(r.Context()),
	})
}

// overviewPage shows each tenant's connections and what has come in by them.
type overviewPage struct {
	Tenants []overviewTenant
}

type overviewTenant struct {
	Name        string
	Connections []overviewConnection
}

type overviewConnection struct {
	store.Connection
	store.ConnectionCounts
	Provider string
	// LastCall says in words when the provider last called.
	LastCall string
	Silent   bool
}

var providers = map[string]string{
	store.IdPEntra:   "Microsoft Entra ID",
	store.IdPOkta:    "Okta",
	store.IdPGeneric: "SCIM 2.0",
}

func (s *Server) overview(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	tenants, err := s.store.Tenants(ctx)
	if err != nil {
		return err
	}
	var p overviewPage
	for _, t := range tenants {
		conns, err := s.store.Connections(ctx, t.ID)
		if err != nil {
			return err
		}
		ot := overviewTenant{Name: t.Name}
		for _, c := range conns {
			n, err := s.store.Counts(ctx, c.Ref())
			if err != nil {
				return err
			}
			ot.Connections = append(ot.Connections, overviewConnection{
				Connection:       c,
				ConnectionCounts: n,
				Provider:         providers[c.IdP],
				LastCall:         ago(s.store.Now(), c.LastRequestAt),
				Silent:           c.LastRequestAt.IsZero(),
			})
		}
		p.Tenants = append(p.Tenants, ot)
	}
	return s.render(w, http.StatusOK, "overview.html", p)
}

// ago says how long ago something was, as a person would.
func ago(now time.Time, at store.Instant) string {
	if at.IsZero() {
		return "has not called yet"
	}
	d := now.Sub(at.Time)
	switch {
	case d < time.Minute:
		return "less than a minute ago"
	case d < time.Hour:
		return plural(int(d/time.Minute), "minute") + " ago"
	case d < 48*time.Hour:
		return plural(int(d/time.Hour), "hour") + " ago"
	}
	return plural(int(d/(24*time.Hour)), "day") + " ago"
}

func plural(n int, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return count(n) + " " + unit + "s"
}

// count writes a number with commas between thousands.
func count(n int) string {
	if n < 1000 {
		return strconv.Itoa(n)
	}
	rest := strconv.Itoa(n % 1000)
	for len(rest) < 3 {
		rest = "0" + rest
	}
	return count(n/1000) + "," + rest
}
