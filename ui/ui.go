// Package ui is the console: what people see in a browser. It reads the store,
// asks package access what the visitor may do, and renders pages with
// html/template. Every page works without script; app.js only saves steps. The
// addresses hold all state, a GET never changes anything, a POST ends in a
// redirect, and the policy header forbids whatever the pages don't need.
//
//	console := ui.New(st, ui.Options{URL: "https://gatehouse.example", Log: log})
//	mux, err := web.Mux(console.Routes())
//
// # Adding a page
//
// Everything about a subject, such as sites, is in files of its own, so that work
// on one touches no other:
//
//   - sites.go holds its routes (func (s *Server) sitesRoutes() []route, named once
//     in Server.table), its handlers and a struct for each page.
//   - templates/sites.html defines "main" and is rendered by its name; what many
//     pages share is in templates/shared.
//   - texts/en/sites.json and texts/nl/sites.json hold its texts, each key
//     beginning with "sites.".
//   - sites_test.go asks for the pages with a rig (newRig) as the people of the
//     sample company.
//
// A route says what it needs; one that doesn't stops the server from starting. A
// handler parses, asks, renders, and returns its errors, which become pages in
// Server.fail. Who may see only some sites is the handler's to respect: visit.area.
//
//	{"GET", "/sites", needs{access.ConsoleSites, access.LevelView}, s.sites},
//
//	func (s *Server) sites(w http.ResponseWriter, r *http.Request, v *visit) error {
//		…
//		return s.render(w, http.StatusOK, "sites", &sitesPage{page: v.page("sites.title"), …})
//	}
package ui

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	_ "time/tzdata" // a container may have none

	"gatehouse/access"
	"gatehouse/internal/mail"
	"gatehouse/internal/seal"
	"gatehouse/internal/web"
	"gatehouse/oidc"
	"gatehouse/store"
)

// Options are what the console needs beside a store; the zero Options work.
type Options struct {
	// URL is the public address of the server; "" if it has none yet.
	URL string
	Log *slog.Logger
	// Zone is the time zone of dates; nil is Europe/Amsterdam.
	Zone *time.Location
	// Sealer closes the secrets of providers, and what is shown once. Without it nobody
	// signs in.
	Sealer *seal.Sealer
	// LoopbackIssuers lets providers be on this machine, by http: for the demo and
	// for tests.
	LoopbackIssuers bool
	// StandIns are whom the sign-in page offers to be: in the demo alone.
	StandIns func() []StandIn
	// Explain gives the words for the code of what went wrong, in one of the console's
	// languages.
	Explain func(lang, code string) Cause
	// RecordFor is how long requests can be looked at; 0 if none are kept.
	RecordFor time.Duration
	// Webhooks makes their secrets and looks at their addresses.
	Webhooks Webhooks
	// Settings are those of the server that are in force.
	Settings []Setting
	// Mail sends invitations; without it there are links to copy.
	Mail *mail.Outbox
	// ShownMail has a page with the mails that were not sent, for the demo alone:
	// anybody who comes may read them.
	ShownMail *mail.Shown
}

// Server renders the console.
type Server struct {
	store    *store.Store
	log      *slog.Logger
	url      string
	zone     *time.Location
	routes   []route
	needs    map[string]needs // of each pattern that is read, with its method
	mux      *http.ServeMux   // of the same, to find a link's
	words    map[string]*words
	pages    map[string]pages // by language
	assets   map[string]asset
	seen     web.Usage[store.SessionID, store.Session]
	ends     endsCache
	alarmed  looks[[]store.MassRemoval]
	refusing looks[[]store.ConnectionID]
	opts     Options
	crossing *http.CrossOriginProtection
	signing  signing
	standIns func() []StandIn
	mail     *mail.Outbox
	shown    *mail.Shown

	guesses    attempts // at printed codes
	challenges attempts // for sign-ins by passkey
	starts     attempts // of sign-ins at a provider
	glass      atomic.Uint64
}

// print is what the files in the program make, the same for every Server.
type print struct {
	words  map[string]*words
	assets map[string]asset
	pages  map[string]pages
}

var printed = sync.OnceValue(func() print {
	p := print{words: allWords(), assets: allAssets()}
	p.pages = allPages(p.words, p.assets)
	return p
})

// New makes the console of a store, which may be nil if only its routes are asked
// for.
func New(st *store.Store, opts Options) *Server {
	s := &Server{
		store: st, log: opts.Log, url: opts.URL, zone: opts.Zone, opts: opts,
		needs: map[string]needs{}, mux: http.NewServeMux(),
		words: printed().words, assets: printed().assets, pages: printed().pages, crossing: http.NewCrossOriginProtection(), standIns: opts.StandIns,
		mail:       opts.Mail,
		shown:      opts.ShownMail,
		guesses:    attempts{burst: guessBurst, pause: guessPause},
		challenges: attempts{burst: challengeBurst, pause: challengePause},
		starts:     attempts{burst: startBurst, pause: startPause},
	}
	for _, pattern := range fromElsewhere {
		s.crossing.AddInsecureBypassPattern(pattern)
	}
	egress := oidc.NewEgress(opts.LoopbackIssuers)
	s.signing = signing{sealer: opts.Sealer, egress: egress, client: func() *oidc.Client { return oidc.NewClient(egress, st.Now) }}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.opts.Explain == nil {
		s.opts.Explain = func(_, code string) Cause { return Cause{Title: code} }
	}
	if s.zone == nil {
		s.zone, _ = time.LoadLocation("Europe/Amsterdam") // tzdata is in the program
	}
	s.routes = s.table()
	for _, rt := range s.routes {
		if rt.method == "GET" {
			s.needs["GET "+rt.pattern] = rt.needs
			s.mux.Handle("GET "+rt.pattern, http.NotFoundHandler())
		}
	}
	return s
}

// table is every route of the console, by subject.
func (s *Server) table() []route {
	var all []route
	for _, subject := range [][]route{
		s.shellRoutes(),
		s.signinRoutes(),
		s.passkeysRoutes(),
		s.acceptRoutes(),
		s.invitationsRoutes(),
		s.demoMailRoutes(),
		s.entrancesRoutes(),
		s.overviewRoutes(),
		s.searchRoutes(),
		s.peopleRoutes(),
		s.mappingsRoutes(),
		s.impactRoutes(),
		s.auditRoutes(),
		s.personRoutes(),
		s.personChangeRoutes(),
		s.groupsRoutes(),
		s.explainRoutes(),
		s.matrixRoutes(),
		s.sitesRoutes(),
		s.siteEditRoutes(),
		s.productsRoutes(),
		s.productEditRoutes(),
		s.catalogueRoutes(),
		s.reviewsRoutes(),
		s.syncRoutes(),
		s.setupRoutes(),
		s.connectRoutes(),
		s.settingsRoutes(),
		s.meRoutes(),
		s.viewsRoutes(),
		s.draftsRoutes(),
	} {
		all = append(all, subject...)
	}
	return all
}

// route is one line of the table.
type route struct {
	method, pattern string
	needs           needs
	handler         handler
}

// handler answers a request of a visitor who may make it, or returns the error
// that Server.fail makes a page of.
type handler func(w http.ResponseWriter, r *http.Request, v *visit) error

// needs is the right in the console that a route asks for, held at any place; or
// anybody, or signedIn. The zero needs are nobody's.
type needs struct {
	permission access.PermissionID
	level      access.Level
}

var (
	anybody  = needs{permission: "(anybody)"}
	signedIn = needs{permission: "(signed in)"}
)

func (n needs) String() string { return string(n.permission) + ":" + string(n.level) }

// Routes is the console's table of routes.
func (s *Server) Routes() []web.Route {
	var all []web.Route
	for _, rt := range s.routes {
		out := web.Route{Method: rt.method, Pattern: rt.pattern, Access: web.Session, Handler: s.handle(rt)}
		switch {
		case rt.needs == needs{}:
			out.Access = "" // web.Mux refuses it
		case rt.needs == anybody:
			out.Access = web.Public
		case rt.needs != signedIn:
			out.Needs = rt.needs.String()
		}
		all = append(all, out)
	}
	return all
}

// maxForm bounds what a browser may send, in bytes.
const maxForm = 1 << 20

// handle makes a handler of a route: headers, who it is, what she may do, and
// errors as pages.
func (s *Server) handle(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.protect(w)
		v := s.newVisit(r)
		defer func() {
			p := recover()
			if p == http.ErrAbortHandler {
				panic(p)
			}
			if p != nil {
				web.Annotate(r.Context(), slog.String("stack", string(debug.Stack())))
				s.fail(w, r, v, fmt.Errorf("panic: %v", p))
			}
		}()
		if err := s.serve(w, r, v, rt); err != nil {
			s.fail(w, r, v, err)
		}
	})
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, v *visit, rt route) error {
	if err := s.crossing.Check(r); err != nil || s.referred(r) {
		return errCrossSite
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if r.Method == http.MethodPost {
		// Before anything is done: what could not be read is no empty form.
		if err := readForm(r); err != nil {
			return err
		}
	}
	if rt.needs == anybody {
		return rt.handler(w, r, v)
	}
	switch err := s.recognise(r, v); {
	case errors.Is(err, store.ErrNotFound):
		return s.sendToSignIn(w, r)
	case err != nil:
		return err
	case !v.meets(rt.needs):
		return forbidden{rt.needs}
	}
	if r.Method == http.MethodGet {
		v.kept = s.readKept(r, v)
	}
	return rt.handler(w, r, v)
}

// referred reports whether a page of another site sent a form, by a browser that says
// so in no other way: it knows neither Sec-Fetch-Site nor Origin.
func (s *Server) referred(r *http.Request) bool {
	if r.Method != http.MethodPost || r.Header.Get("Sec-Fetch-Site")+r.Header.Get("Origin") != "" || r.Referer() == "" ||
		slices.Contains(fromElsewhere, r.Pattern) {
		return false
	}
	from, err := url.Parse(r.Referer())
	return err != nil || from.Host != r.Host
}

// readForm reads the fields of a form. One with files is for its handler to read.
func readForm(r *http.Request) error {
	err := r.ParseForm()
	var large *http.MaxBytesError
	if err != nil && !errors.As(err, &large) {
		return badRequest{"problem.invalid"}
	}
	return err
}

// contentPolicy lets a page load its own style and script and nothing else. No
// text becomes markup in a browser: there is no policy that would let it.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// protect sets the headers that every page has.
func (s *Server) protect(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // the sign-in page comes back to where somebody was
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	if strings.HasPrefix(s.url, "https://") {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// shellRoutes are what belongs to no subject.
func (s *Server) shellRoutes() []route {
	return []route{
		{"GET", "/s/{hash}/{name}", anybody, s.asset},
		{"GET", "/favicon.ico", anybody, s.favicon},
		{"POST", "/preferences", anybody, s.setPreferences},
		{"", "/", anybody, s.missing},
	}
}

// missing answers whatever has no route.
func (s *Server) missing(_ http.ResponseWriter, r *http.Request, v *visit) error {
	_ = s.recognise(r, v) // only for the navigation
	return store.ErrNotFound
}

// Run notes down which sessions were used, and reminds reviewers, until ctx ends.
func (s *Server) Run(ctx context.Context) {
	tick, remind := time.NewTicker(5*time.Second), time.NewTicker(remindEvery)
	defer tick.Stop()
	defer remind.Stop()
	s.remind(ctx)
	for {
		select {
		case <-remind.C:
			s.remind(ctx)
		case <-ctx.Done():
			s.noteSessions(context.WithoutCancel(ctx), true)
			return
		case <-tick.C:
			s.noteSessions(ctx, false)
		}
	}
}
