package ui

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/internal/web"
	"gatehouse/oidc"
	"gatehouse/store"
)

// Who signs out here can be taken to the provider, to sign out there too, and the
// provider can say that somebody signed out there.

const (
	// hintCookie keeps the ID token, sealed, for the provider's question who signs out
	// (RP-Initiated Logout 1.0 §2). It goes nowhere but to /logout.
	hintCookie = "gatehouse-hint"
	// logoutCookie is a logout that goes by way of the provider.
	logoutCookie = "gatehouse-logout"
	logoutLife   = 10 * time.Minute
	// maxHint bounds an ID token that is kept, in bytes: browsers keep no more than
	// 4096 of a cookie. Without it the provider asks the person.
	maxHint = 2800
)

// leaving is what logoutCookie holds.
type leaving struct {
	Tenant     store.TenantID
	Connection store.ConnectionID
	Session    store.SessionID
	State      string
}

func (s *Server) keepHint(w http.ResponseWriter, r *http.Request, id store.SessionID, token string) {
	if len(token) <= maxHint {
		s.setCookie(w, r, hintCookie, "/logout", s.sealFor("hint of "+string(id), token), 24*time.Hour)
	}
}

// logout ends the session here, and then leads to the page that says so, and to the
// provider. That a provider is down keeps nobody signed in.
func (s *Server) logout(w http.ResponseWriter, r *http.Request, v *visit) error {
	err := s.recognise(r, v)
	if errors.Is(err, store.ErrNotFound) {
		if err := s.forgetSession(w, r); err != nil {
			return err
		}
		return s.redirect(w, r, "/logout")
	}
	if err != nil {
		return err
	}
	return s.leave(w, r, v, func() error { return s.endSession(w, r, v) })
}

// logoutEverywhere ends all sessions of the visitor, the browser's among them.
func (s *Server) logoutEverywhere(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.leave(w, r, v, func() error {
		ctx := r.Context()
		err := s.store.Write(ctx, v.actor(), func(tx *store.Tx) error {
			_, err := tx.EndSessionsOf(ctx, v.session.UserID, "")
			return err
		})
		if err != nil {
			return err
		}
		return s.forgetSession(w, r)
	})
}

// leave ends sessions, the browser's among them, and begins the way by the provider.
func (s *Server) leave(w http.ResponseWriter, r *http.Request, v *visit, end func() error) error {
	if err := end(); err != nil {
		return err
	}
	if v.session.Connection == "" || s.signing.sealer == nil {
		return s.redirect(w, r, "/logout")
	}
	p, err := s.store.Provider(r.Context(), store.ConnectionRef{Tenant: v.tenant(), ID: v.session.Connection})
	if err == nil && p.Enabled && p.LogoutThere {
		text, err := json.Marshal(leaving{p.TenantID, p.ConnectionID, v.session.ID, randomText()})
		if err != nil {
			return err
		}
		s.setCookie(w, r, logoutCookie, "/logout", s.sealFor("logout", string(text)), logoutLife)
	}
	return s.redirect(w, r, "/logout")
}

// logoutPage says that somebody is signed out, and where.
type logoutPage struct {
	page
	Text string
	// Provider is where she still has to sign out, and There its address; the
	// browser goes there by itself.
	Provider, There string
	// SignedIn says that she isn't signed out: the page has the button.
	SignedIn bool
}

// loggedOut is where a logout ends, here or by way of the provider. It ends none
// itself: a link must not.
func (s *Server) loggedOut(w http.ResponseWriter, r *http.Request, v *visit) error {
	switch err := s.recognise(r, v); {
	case err == nil:
		return s.render(w, http.StatusOK, "logout", &logoutPage{page: v.page("logout.question"), SignedIn: true, Text: v.words.t("logout.question.text")})
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	p := &logoutPage{page: v.page("logout.title"), Text: v.words.t("logout.here")}
	var from leaving
	if json.Unmarshal([]byte(s.openFor("logout", s.cookie(r, logoutCookie, "/logout"))), &from) != nil {
		return s.render(w, http.StatusOK, "logout", p)
	}
	ctx := r.Context()
	provider, err := s.store.Provider(ctx, store.ConnectionRef{Tenant: from.Tenant, ID: from.Connection})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	hint := s.openFor("hint of "+string(from.Session), s.cookie(r, hintCookie, "/logout"))
	if r.URL.Query().Has("state") {
		s.forgetLogout(w, r)
		if oidc.CheckReturn(from.State, r.URL.Query()) == nil {
			p.Text = v.words.t("logout.everywhere", "provider", provider.Name)
		}
		return s.render(w, http.StatusOK, "logout", p)
	}
	who, err := s.signing.open(provider, s.base(r))
	var to string
	if err == nil {
		to, _, err = who.client.EndSession(ctx, who.provider, hint, s.base(r)+"/logout", from.State)
	}
	if err != nil || to == "" {
		web.Annotate(ctx, slog.Any("end_session", err))
		s.forgetLogout(w, r)
		p.Text = v.words.t("logout.still", "provider", provider.Name)
		return s.render(w, http.StatusOK, "logout", p)
	}
	p.Provider, p.There = provider.Name, to
	p.Text = v.words.t("logout.there", "provider", provider.Name)
	w.Header().Set("Refresh", "0; url="+to)
	return s.render(w, http.StatusOK, "logout", p)
}

func (s *Server) forgetLogout(w http.ResponseWriter, r *http.Request) {
	s.setCookie(w, r, logoutCookie, "/logout", "", 0)
	s.setCookie(w, r, hintCookie, "/logout", "", 0)
}

// backChannelLogout ends sessions because their provider says that somebody signed
// out there (OpenID Connect Back-Channel Logout 1.0 §2.5–2.8). All connections that
// have the token's issuer and client believe it or none.
func (s *Server) backChannelLogout(w http.ResponseWriter, r *http.Request, v *visit) error {
	refuse := func(err error) error {
		web.Annotate(r.Context(), slog.String("logout_refused", oidc.Reason(err)), slog.Any("error", err))
		return oauthError(w, http.StatusBadRequest, "invalid_request", "the logout token was not accepted ("+oidc.Reason(err)+")")
	}
	if err := r.ParseForm(); err != nil || len(r.PostForm["logout_token"]) != 1 {
		return oauthError(w, http.StatusBadRequest, "invalid_request", "want one logout_token, as a form")
	}
	raw := r.PostForm.Get("logout_token")
	issuer, audiences, err := oidc.Peek(raw)
	if err != nil {
		return refuse(err)
	}
	providers, err := s.store.ProvidersOfIssuer(r.Context(), issuer)
	if err != nil {
		return err
	}
	providers = slices.DeleteFunc(providers, func(p store.Provider) bool { return !p.BackChannel || !slices.Contains(audiences, p.ClientID) })
	if len(providers) == 0 {
		return oauthError(w, http.StatusBadRequest, "invalid_request", "no connection takes logouts of this issuer and client")
	}
	for _, p := range providers {
		who, err := s.signing.open(p, s.base(r))
		if err != nil {
			return refuse(err)
		}
		l, err := who.client.VerifyLogout(r.Context(), who.provider, raw)
		if err != nil {
			return refuse(err)
		}
		of := store.Revocation{Connection: p.ConnectionID, ProviderSession: l.SessionID}
		if l.Subject != "" {
			of.Issuer, of.Subject = l.Issuer, l.Subject
		}
		err = s.revokeOnce(r, v, p, of, l.ID, l.ExpiresAt)
		if errors.Is(err, store.ErrTaken) {
			return oauthError(w, http.StatusBadRequest, "invalid_request", "the logout token was used before")
		}
		if err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// revokeOnce ends sessions by a token that works once.
func (s *Server) revokeOnce(r *http.Request, v *visit, p store.Provider, of store.Revocation, id string, expires time.Time) error {
	ctx := r.Context()
	return s.store.Write(ctx, s.providerActor(v, p), func(tx *store.Tx) error {
		if err := tx.UseToken(ctx, p.ConnectionID, id, expires); err != nil {
			return err
		}
		_, err := tx.Revoke(ctx, of)
		return err
	})
}

// oauthError answers a provider (RFC 6749 §5.2). Nobody stores it: protect says so.
func oauthError(w http.ResponseWriter, status int, code, description string) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(map[string]string{"error": code, "error_description": description})
}

// minSecretSID is from which length on, in bytes, a session's id at the provider
// can't be guessed; those of Entra are UUIDs.
const minSecretSID = 20

// frontChannelLogout ends the sessions that belong to a session at the provider, whose
// page loads us in a frame (OpenID Connect Front-Channel Logout 1.0 §2). Browsers keep
// our cookie from frames of other sites, so that what says whose it is is the session's
// id there, which only the provider and those know whom it told. A short one counts
// only in the browser whose session it is.
func (s *Server) frontChannelLogout(w http.ResponseWriter, r *http.Request, v *visit) error {
	query := r.URL.Query()
	issuer, session := query.Get("iss"), query.Get("sid")
	if len(query["iss"]) != 1 || len(query["sid"]) != 1 || issuer == "" || session == "" {
		return badRequest{"problem.invalid"}
	}
	ctx := r.Context()
	err := s.recognise(r, v)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	hers := err == nil && v.session.Issuer == issuer && v.session.ProviderSession == session
	providers, err := s.store.ProvidersOfIssuer(ctx, issuer)
	if err != nil {
		return err
	}
	for _, p := range providers {
		if !p.FrontChannel {
			continue
		}
		s.allowFrame(w, p)
		hers := hers && v.session.Connection == p.ConnectionID
		if hers || len(session) >= minSecretSID {
			if err := s.endThere(ctx, v, p, session); err != nil {
				return err
			}
		}
		if hers {
			if err := s.forgetSession(w, r); err != nil {
				return err
			}
		}
	}
	p := &logoutPage{page: v.page("logout.title"), Text: v.words.t("logout.frame")}
	p.page.Name, p.page.Nav, p.page.Me = "", nil, ""
	return s.render(w, http.StatusOK, "logout", p)
}

// endThere ends the sessions that belong to one at the provider. Nothing is written
// for a stranger's invention.
func (s *Server) endThere(ctx context.Context, v *visit, p store.Provider, session string) error {
	there, err := s.store.HasSessionAt(ctx, store.ConnectionRef{Tenant: p.TenantID, ID: p.ConnectionID}, session)
	if err != nil || !there {
		return err
	}
	return s.store.Write(ctx, s.providerActor(v, p), func(tx *store.Tx) error {
		_, err := tx.Revoke(ctx, store.Revocation{Connection: p.ConnectionID, ProviderSession: session})
		return err
	})
}

// providerActor is a provider that ends sessions.
func (s *Server) providerActor(v *visit, p store.Provider) store.Actor {
	return store.Actor{Tenant: p.TenantID, Kind: store.ActorSystem, ID: "provider " + string(p.ConnectionID), RequestID: v.id}
}

// allowFrame lets the provider's page show ours in a frame.
func (s *Server) allowFrame(w http.ResponseWriter, p store.Provider) {
	u, err := url.Parse(p.Issuer)
	if err != nil || u.Host == "" || strings.ContainsAny(u.Host, "; ,") {
		return
	}
	policy := strings.Replace(contentPolicy, "frame-ancestors 'none'", "frame-ancestors "+u.Scheme+"://"+u.Host, 1)
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
}

// maxRevocation bounds the body of a revocation, in bytes.
const maxRevocation = 64 << 10

// revoke ends all sessions of somebody at once because the provider demands it:
// Global Token Revocation, which Okta calls Universal Logout. Whether we know the
// person is nobody else's business; the answer is the same.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request, v *visit) error {
	unauthorized := func() error {
		w.Header().Set("WWW-Authenticate", `Bearer realm="gatehouse"`)
		return oauthError(w, http.StatusUnauthorized, "invalid_token", "want the provider's own token, made for this address")
	}
	raw, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	p, err := s.provider(r.Context(), store.ConnectionID(r.PathValue("connection")))
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return err
	case err != nil, !bearer, len(r.Header.Values("Authorization")) != 1, !p.GlobalRevocation:
		return unauthorized()
	}
	later := func(description string) error {
		w.Header().Set("Retry-After", "30")
		return oauthError(w, http.StatusServiceUnavailable, "temporarily_unavailable", description)
	}
	who, err := s.signing.open(p, s.base(r))
	if err != nil {
		web.Annotate(r.Context(), slog.Any("error", err))
		return later("the connection's secret can't be opened here: its administrators have to set it anew")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRevocation))
	if err != nil {
		return oauthError(w, http.StatusRequestEntityTooLarge, "invalid_request", "the body is too large")
	}
	demand, err := who.client.VerifyRevocation(r.Context(), who.provider, s.base(r)+r.URL.Path, raw, body)
	reason := oidc.Reason(err)
	if err != nil {
		web.Annotate(r.Context(), slog.String("revocation_refused", reason), slog.Any("error", err))
	}
	switch {
	case errors.Is(err, oidc.ErrUnavailable):
		return later("the provider's keys can't be asked for just now")
	case strings.HasPrefix(reason, "sub_id"):
		return oauthError(w, http.StatusBadRequest, "invalid_request", "the body doesn't say whose sessions should end ("+reason+"): "+oidc.Reasons[reason])
	case err != nil:
		return unauthorized()
	}
	of := store.Revocation{Connection: p.ConnectionID, Issuer: demand.Issuer, Subject: demand.Subject}
	err = s.revokeOnce(r, v, p, of, demand.ID, demand.ExpiresAt)
	if errors.Is(err, store.ErrTaken) {
		return unauthorized()
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
