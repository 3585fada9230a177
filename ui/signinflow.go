package ui

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"gatehouse/oidc"
	"gatehouse/store"
)

// wish is what a sign-in should come to.
type wish struct{ to, hint string }

// signinCookie ties a sign-in to the browser that began it. It is the same for all
// that the browser begins: people open several tabs.
const signinCookie = "gatehouse-signin"

// signinKept is how long a sign-in is remembered. It can be finished within
// oidc.TransactionLife; whoever comes after that is told so.
const signinKept = store.MaxSignIn

// startBurst and startPause bound the sign-ins that one address begins: fewer in the ten
// minutes that one may take than store.MaxSignIns, of which the oldest make room, so that
// nobody's is pushed out by another who only begins. A company that comes to work behind
// one address stays within them.
const (
	startBurst = 1000
	startPause = 200 * time.Millisecond
)

// begin sends the browser to a provider.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, v *visit, p store.Provider, wish wish) error {
	if !s.starts.spend(clientAddress(r)) {
		return telling{http.StatusTooManyRequests, "passkeys.often"}
	}
	ctx := r.Context()
	who, err := s.signing.open(p, s.base(r))
	if err != nil {
		return s.refuseSignIn(w, r, v, refusal{code: "settings", reason: "settings", cause: err, provider: p})
	}
	transaction, to, err := who.client.Begin(ctx, who.provider, oidc.BeginOptions{LoginHint: wish.hint})
	if err != nil {
		return s.refuseSignIn(w, r, v, because(err, p, wish.to))
	}
	text, err := json.Marshal(transaction)
	if err != nil {
		return err
	}
	browser := s.cookie(r, signinCookie, "/")
	if len(browser) != 43 {
		browser = randomText()
	}
	begun := store.SignIn{
		Connection: p.ConnectionID, State: hash(transaction.State), Browser: hash(browser), ReturnTo: wish.to,
		ExpiresAt: store.At(s.store.Now().Add(signinKept)),
	}
	begun.Sealed = s.signing.sealer.Seal(hex.EncodeToString(begun.State), string(text))
	err = s.store.Write(ctx, store.Actor{Tenant: p.TenantID, Kind: store.ActorSystem, RequestID: v.id}, func(tx *store.Tx) error {
		_, err := tx.BeginSignIn(ctx, begun)
		return err
	})
	if err != nil {
		return err
	}
	s.setCookie(w, r, signinCookie, "/", browser, signinKept)
	return s.redirect(w, r, to)
}

// finishSignIn reads what the browser brings back from a provider. The sign-in is
// used up by that, whatever comes of it.
func (s *Server) finishSignIn(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx, answer := r.Context(), r.URL.Query()
	states := answer["state"]
	browser := s.cookie(r, signinCookie, "/")
	if len(states) != 1 || states[0] == "" || browser == "" {
		return s.refuseSignIn(w, r, v, refusal{code: "lost", reason: "state"})
	}
	var begun store.SignIn
	err := s.store.Write(ctx, store.Actor{Kind: store.ActorSystem}, func(tx *store.Tx) (err error) {
		begun, err = tx.TakeSignIn(ctx, hash(states[0]), hash(browser))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return s.refuseSignIn(w, r, v, refusal{code: "lost", reason: "state"})
	}
	if err != nil {
		return err
	}
	p, err := s.store.Provider(ctx, store.ConnectionRef{Tenant: begun.TenantID, ID: begun.Connection})
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && !p.Enabled:
		return s.refuseSignIn(w, r, v, refusal{code: "closed", reason: "closed", provider: p})
	case err != nil:
		return err
	}
	who, err := s.signing.open(p, s.base(r))
	if err != nil {
		return s.refuseSignIn(w, r, v, refusal{code: "settings", reason: "settings", cause: err, provider: p})
	}
	text, err := s.signing.sealer.Open(hex.EncodeToString(begun.State), begun.Sealed)
	var transaction oidc.Transaction
	if err == nil {
		err = json.Unmarshal([]byte(text), &transaction)
	}
	if err != nil {
		return s.refuseSignIn(w, r, v, refusal{code: "lost", reason: "state", cause: err, provider: p})
	}
	identity, err := who.client.Finish(ctx, who.provider, transaction, answer)
	if err != nil {
		return s.refuseSignIn(w, r, v, because(err, p, begun.ReturnTo))
	}
	return s.admit(w, r, v, p, begun, identity)
}

// admit gives a session to whoever a provider vouches for, if SCIM told of her and
// she may come in.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, v *visit, p store.Provider, begun store.SignIn, id oidc.Identity) error {
	ctx := r.Context()
	value, said := id.Text(p.Claim)
	user, err := s.find(ctx, v, p, begun, id, value)
	if err != nil {
		no := refusal{provider: p, cause: err, name: value, to: begun.ReturnTo}
		switch {
		case errors.Is(err, errEnded):
			no.code, no.reason = "lost", "state"
		case errors.Is(err, store.ErrOtherPerson), errors.Is(err, store.ErrTaken):
			no.code = "otherperson"
		case errors.Is(err, store.ErrAmbiguous):
			no.code = "ambiguous"
		case errors.Is(err, store.ErrLeft):
			no.code = "left"
		case errors.Is(err, store.ErrInvalid), errors.Is(err, store.ErrTooLong):
			no.code = "badname"
		case errors.Is(err, store.ErrNotFound) && !said:
			no.code, no.detail = "noclaim", "no claim "+p.Claim
		case errors.Is(err, store.ErrNotFound):
			no.code = "unknown"
		default:
			return err
		}
		return s.refuseSignIn(w, r, v, no)
	}
	actor := store.Actor{Tenant: p.TenantID, Kind: store.ActorPerson, ID: string(user), RequestID: v.id}
	var session store.Session
	var secret string
	err = s.store.Write(ctx, actor, func(tx *store.Tx) (err error) {
		session, secret, err = tx.CreateSession(ctx, store.Session{
			UserID: user, Method: store.MethodOIDC, Connection: p.ConnectionID, Issuer: id.Issuer, Subject: id.Subject,
			ProviderSession: id.SessionID, UserAgent: r.UserAgent(), Address: clientAddress(r), BegunAt: begun.BegunAt, Browser: string(begun.Browser),
		})
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		code, err := s.whyNotLive(ctx, p, user)
		if err != nil {
			return err
		}
		return s.refuseSignIn(w, r, v, refusal{code: code, provider: p, user: user, name: value, to: begun.ReturnTo})
	}
	if err != nil {
		return err
	}
	s.replaceSession(r)
	if p.LogoutThere {
		s.keepHint(w, r, session.ID, id.IDToken)
	}
	if err := s.keepSecret(w, r, secret); err != nil {
		return err
	}
	return s.redirect(w, r, begun.ReturnTo)
}

// errEnded says that a sign-in was ended while the provider was asked.
var errEnded = errors.New("the connection was changed meanwhile")

// find gives the user whom an identity is, or makes one where the connection says
// so.
func (s *Server) find(ctx context.Context, v *visit, p store.Provider, begun store.SignIn, id oidc.Identity, value string) (user store.UserID, err error) {
	c := store.ConnectionRef{Tenant: p.TenantID, ID: p.ConnectionID}
	actor := store.Actor{Tenant: p.TenantID, Kind: store.ActorSystem, ID: "sign-in", RequestID: v.id}
	write := func(f func(tx *store.Tx) error) error {
		return s.store.Write(ctx, actor, func(tx *store.Tx) error {
			if err := f(tx); err != nil {
				return err
			}
			err := tx.GoesOn(ctx, begun)
			if errors.Is(err, store.ErrNotFound) {
				err = fmt.Errorf("%w: %v", errEnded, err)
			}
			return err
		})
	}
	link := func() error {
		return write(func(tx *store.Tx) (err error) {
			user, err = tx.Link(ctx, c, id.Issuer, id.Subject, p.Attribute, value)
			return err
		})
	}
	if err = link(); !errors.Is(err, store.ErrNotFound) || !p.JIT || value == "" {
		return user, err
	}
	userName, externalID := value, ""
	if p.Attribute == store.LinkExternalID {
		userName, _ = id.Text("preferred_username")
		userName, externalID = cmp.Or(userName, value), value
	}
	name, _ := id.Text("name")
	err = write(func(tx *store.Tx) error {
		_, err := tx.CreateOnSignIn(ctx, c, userName, externalID, name)
		return err
	})
	if errors.Is(err, store.ErrTaken) {
		// By SCIM, or by the same person in another tab, a moment ago; or by somebody
		// else: then the link still finds nobody, and that is the answer.
		if again := link(); again == nil {
			return user, nil
		}
		return "", err
	}
	if err == nil {
		err = link()
	}
	return user, err
}

// whyNotLive says why a person whom the directory knows gets no session.
func (s *Server) whyNotLive(ctx context.Context, p store.Provider, id store.UserID) (code string, err error) {
	user, err := s.store.User(ctx, store.ConnectionRef{Tenant: p.TenantID, ID: p.ConnectionID}, id, false)
	if err == nil && !user.Active {
		return "inactive", nil
	}
	var person store.Person
	if err == nil {
		person, err = s.store.Person(ctx, p.TenantID, id)
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return "unknown", nil
	case err != nil:
		return "", err
	case !person.LoginAllowed:
		return "blocked", nil
	case !person.ExpiresAt.IsZero() && !s.store.Now().Before(person.ExpiresAt):
		return "ended", nil
	}
	return "revoked", nil
}

// replaceSession ends the session that the browser had: it gets a new one at each
// sign-in, and the old one's secret may be known elsewhere.
func (s *Server) replaceSession(r *http.Request) {
	ctx := r.Context()
	secret := s.secret(r)
	if secret == "" {
		return
	}
	old, err := s.store.Session(ctx, secret)
	if err != nil {
		return // over already
	}
	err = s.store.Write(ctx, store.Actor{Tenant: old.TenantID, Kind: store.ActorPerson, ID: string(old.UserID)}, func(tx *store.Tx) error {
		return tx.EndSession(ctx, old.ID)
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.log.Warn("end the session that a sign-in replaces", "error", err)
	}
}

// clientAddress is where a request comes from.
func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// randomText is 256 bits that nobody can guess.
func randomText() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

func hash(text string) []byte {
	h := sha256.Sum256([]byte(text))
	return h[:]
}

// cookieName is a name that a browser takes from this host alone: with __Host- for
// the whole of it, with __Secure- for a path. See cookiesFor about plain http.
func (s *Server) cookieName(r *http.Request, name, path string) string {
	switch {
	case s.plain(r):
		return name
	case path == "/":
		return "__Host-" + name
	}
	return "__Secure-" + name
}

// cookie reads what setCookie set; "" if there is nothing.
func (s *Server) cookie(r *http.Request, name, path string) string {
	c, err := r.Cookie(s.cookieName(r, name, path))
	if err != nil {
		return ""
	}
	return c.Value
}

// setCookie keeps a value for a while; "" takes it away.
func (s *Server) setCookie(w http.ResponseWriter, r *http.Request, name, path, value string, life time.Duration) {
	c := &http.Cookie{
		Name: s.cookieName(r, name, path), Value: value, Path: path, MaxAge: int(life.Seconds()),
		HttpOnly: true, Secure: !s.plain(r), SameSite: http.SameSiteLaxMode,
	}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// sealFor closes a value for a cookie, and openFor opens it; "" if it doesn't.
func (s *Server) sealFor(purpose, text string) string {
	return s.signing.sealer.Seal(fmt.Sprintf("cookie %s", purpose), text)
}

func (s *Server) openFor(purpose, sealed string) string {
	if sealed == "" {
		return ""
	}
	text, err := s.signing.sealer.Open(fmt.Sprintf("cookie %s", purpose), sealed)
	if err != nil {
		return ""
	}
	return text
}
