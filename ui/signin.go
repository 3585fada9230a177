package ui

import (
	"errors"
	"net/http"
	"net/mail"
	"net/url"
	"slices"
	"strings"

	"gatehouse/oidc"
	"gatehouse/store"
)

// Signing in takes a browser from /login by way of /login/start to the provider
// and back to /oidc/callback. Links lead there, and no forms: form-action in our
// policy holds for where a form is redirected, too.

func (s *Server) signinRoutes() []route {
	return []route{
		{"GET", "/login", anybody, s.login},
		{"GET", "/login/start", anybody, s.startSignIn},
		{"POST", "/login/start", anybody, s.resubmit},
		{"GET", "/oidc/callback", anybody, s.finishSignIn},
		{"POST", "/oidc/callback", anybody, s.resubmit},
		{"POST", "/oidc/backchannel-logout", anybody, s.backChannelLogout},
		{"GET", "/oidc/frontchannel-logout", anybody, s.frontChannelLogout},
		{"POST", "/oidc/revoke/{connection}", anybody, s.revoke},
		{"GET", "/logout", anybody, s.loggedOut},
		{"POST", "/logout", anybody, s.logout},
		{"POST", "/me/sessions/end-all", signedIn, s.logoutEverywhere},
	}
}

// fromElsewhere are the forms that other sites may send: all they do is to come
// again as a link, see resubmit.
var fromElsewhere = []string{"POST /login/start", "POST /oidc/callback"}

// maxResubmit bounds, in bytes, a form that becomes an address.
const maxResubmit = 32 << 10

// resubmit makes a link of a form that another site sends: the answer of a provider
// that uses response_mode=form_post (OAuth 2.0 Form Post Response Mode), or the wish
// to sign in of one that posts it (OpenID Connect Core 1.0 §4).
//
// Browsers send no cookie of SameSite=Lax along with such a form, and ours says
// which browser began the sign-in. With SameSite=None the cookie would be sent by
// whatever any site makes the browser do; coming again by GET needs no such cookie,
// and shows in the address only what other providers put there anyway: a code that
// works once, for us, together with a verifier that the browser never sees.
func (s *Server) resubmit(w http.ResponseWriter, r *http.Request, _ *visit) error {
	if err := r.ParseForm(); err != nil {
		return badRequest{"problem.invalid"}
	}
	query := r.PostForm.Encode()
	if len(query) > maxResubmit {
		return badRequest{"problem.large"}
	}
	return s.redirect(w, r, r.URL.Path+"?"+query)
}

// StandIn is somebody of the sample company whom a visitor of the demo can be.
type StandIn struct {
	Connection store.ConnectionID
	// Hint is who it is at the connection's provider.
	Hint string
	Name string
	// Role is what she is here, for people.
	Role string
}

// loginPage lists the ways to sign in.
type loginPage struct {
	page
	// Plain says that a browser would not keep a session: no TLS.
	Plain     bool
	Providers []loginChoice
	StandIns  []loginChoice
	// Closed says that nobody can sign in with a provider yet.
	Closed bool
	// Email finds the provider.
	Email field
	To    string
}

// loginChoice is a button.
type loginChoice struct{ Href, Name, Role string }

func (s *Server) login(w http.ResponseWriter, r *http.Request, v *visit) error {
	query := r.URL.Query()
	to := ownPath(query.Get("to"))
	switch err := s.recognise(r, v); {
	case err == nil:
		return s.redirect(w, r, to)
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	p := &loginPage{
		page: v.page("login.title"), To: to, Plain: r.TLS == nil && s.url == "" && !s.plain(r),
		Email: field{Name: "email", Type: "email", Label: v.words.t("login.email"), Value: query.Get("email")},
	}
	var providers []store.Provider
	var err error
	email := strings.TrimSpace(query.Get("email"))
	if email != "" {
		if providers, err = s.providersOf(r, email); err != nil {
			return err
		}
		if len(providers) == 0 {
			p.Email.Error = v.words.t("login.email.unknown")
		}
	}
	chosen := len(providers) > 0
	if !chosen {
		if providers, err = s.providersHere(r); err != nil {
			return err
		}
	}
	if len(providers) == 1 && (chosen || p.Email.Error == "" && !query.Has("choose") && s.standIns == nil && !p.Plain) {
		return s.redirect(w, r, startAddress(providers[0].ConnectionID, to, email))
	}
	for _, one := range providers {
		p.Providers = append(p.Providers, loginChoice{Href: startAddress(one.ConnectionID, to, email), Name: one.Name})
	}
	p.Closed = len(providers) == 0 && p.Email.Error == ""
	if s.standIns != nil {
		for _, one := range s.standIns() {
			p.StandIns = append(p.StandIns, loginChoice{startAddress(one.Connection, to, one.Hint), one.Name, one.Role})
		}
	}
	return s.render(w, http.StatusOK, "login", p)
}

// providersOf are those that an e-mail address chooses.
func (s *Server) providersOf(r *http.Request, email string) ([]store.Provider, error) {
	parsed, err := mail.ParseAddress(email)
	if err != nil {
		return nil, nil
	}
	_, domain, _ := strings.Cut(parsed.Address, "@")
	return s.store.ProvidersFor(r.Context(), domain)
}

// providersHere are those of the tenant that the address names (?tenant=), or of
// the only one. Where there are several, nobody learns who else is here: an e-mail
// address finds the way.
func (s *Server) providersHere(r *http.Request) ([]store.Provider, error) {
	tenants, err := s.store.Tenants(r.Context())
	if err != nil {
		return nil, err
	}
	if name := r.URL.Query().Get("tenant"); name != "" {
		tenants = slices.DeleteFunc(tenants, func(t store.Tenant) bool { return store.Fold(t.Name) != store.Fold(name) })
	}
	if len(tenants) != 1 {
		return nil, nil
	}
	all, err := s.store.Providers(r.Context(), tenants[0].ID)
	return slices.DeleteFunc(all, func(p store.Provider) bool { return !p.Enabled }), err
}

// startAddress begins a sign-in.
func startAddress(c store.ConnectionID, to, hint string) string {
	query := url.Values{"provider": {string(c)}}
	if to != "/" {
		query.Set("to", to)
	}
	if hint != "" {
		query.Set("login_hint", hint)
	}
	return "/login/start?" + query.Encode()
}

// sendToSignIn is for whoever isn't signed in. A form that was sent is kept if it
// was her session that lapsed, and otherwise lost, but for where it was.
func (s *Server) sendToSignIn(w http.ResponseWriter, r *http.Request) error {
	to := r.URL.RequestURI()
	if r.Method == http.MethodPost {
		to = "/"
		if from, err := url.Parse(r.Referer()); err == nil && from.Host == r.Host {
			to = from.RequestURI()
		}
		if kept := s.keepForm(w, r, to); kept != "" {
			to = kept
		}
	}
	return s.redirect(w, r, address("/login", nil, "to", ownPath(to)))
}

// startSignIn sends the browser to a provider: to the one that our page names, or
// to that of a stranger's wish (OpenID Connect Core 1.0 §4), which chooses among
// those there are and proves nothing.
func (s *Server) startSignIn(w http.ResponseWriter, r *http.Request, v *visit) error {
	query := r.URL.Query()
	wish := wish{to: ownPath(query.Get("to")), hint: query.Get("login_hint")}
	if !query.Has("iss") {
		if !query.Has("provider") {
			return s.redirect(w, r, "/login?choose=1")
		}
		p, err := s.provider(r.Context(), store.ConnectionID(query.Get("provider")))
		if errors.Is(err, store.ErrNotFound) {
			return s.refuseSignIn(w, r, v, refusal{code: "closed"})
		}
		if err != nil {
			return err
		}
		return s.begin(w, r, v, p, wish)
	}
	asked, err := oidc.ReadInitiation(query)
	if err != nil {
		return s.refuseSignIn(w, r, v, refusal{code: "initiation", reason: oidc.Reason(err), cause: err})
	}
	wish.to, wish.hint = s.ownTarget(r, asked.Target), asked.LoginHint
	providers, err := s.store.ProvidersOfIssuer(r.Context(), asked.Issuer)
	switch {
	case err != nil:
		return err
	case len(providers) == 0:
		return s.refuseSignIn(w, r, v, refusal{code: "closed"})
	case len(providers) == 1:
		return s.begin(w, r, v, providers[0], wish)
	}
	p := &loginPage{page: v.page("login.title"), To: wish.to, Email: field{Name: "email", Type: "email", Label: v.words.t("login.email")}}
	for _, one := range providers {
		p.Providers = append(p.Providers, loginChoice{Href: startAddress(one.ConnectionID, wish.to, wish.hint), Name: one.Name})
	}
	return s.render(w, http.StatusOK, "login", p)
}

// ownTarget is the path of a full address on this host, or /.
func (s *Server) ownTarget(r *http.Request, target string) string {
	path, ours := strings.CutPrefix(target, s.base(r))
	if !ours {
		return "/"
	}
	return ownPath(path)
}

// base is our own address, without a slash at its end.
func (s *Server) base(r *http.Request) string {
	switch {
	case s.url != "":
		return strings.TrimRight(s.url, "/")
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}
