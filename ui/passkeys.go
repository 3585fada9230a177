package ui

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"gatehouse/store"
)

// Passkeys are what people outside any provider sign in with (Web Authentication
// Level 3). The script asks for a challenge, has the browser answer it, and sends the
// answer with an ordinary form.

func (s *Server) passkeysRoutes() []route {
	return []route{
		{"GET", "/me/passkeys", signedIn, s.passkeys},
		{"POST", "/me/passkeys/challenge", signedIn, s.challengeNew},
		{"POST", "/me/passkeys", signedIn, s.addPasskey},
		{"POST", "/me/passkeys/{id}/rename", signedIn, s.renamePasskey},
		{"POST", "/me/passkeys/{id}/remove", signedIn, s.removePasskey},
		{"GET", "/login/passkey", anybody, s.passkeyLogin},
		{"POST", "/login/passkey/challenge", anybody, s.challengeLogin},
		{"POST", "/login/passkey", anybody, s.signInByPasskey},
	}
}

// passkeysPage lists the visitor's passkeys, and adds one.
type passkeysPage struct {
	page
	// Welcome says that she has just come in and can't come again without one.
	Welcome  bool
	Passkeys []passkeyRow
	Form     passkeyForm
	// Provider is the connection that signs her in; she needs no passkey then.
	Provider string
	Full     bool
}

type passkeyRow struct {
	ID, Name      string
	Created, Used when
}

// passkeyForm is the part of a page that talks to an authenticator.
type passkeyForm struct {
	Action, Challenge string
	// Kind is create or get.
	Kind   string
	Submit string
	To     string
	// Elsewhere is the address at which it works, if it doesn't here: a passkey is for
	// a name, and an IP address is none (§5.4.2).
	Elsewhere string
}

func (s *Server) passkeyForm(r *http.Request, v *visit, kind, action, submit string) passkeyForm {
	f := passkeyForm{Action: action, Challenge: action + "/challenge", Kind: kind, Submit: v.words.t(submit)}
	u, err := url.Parse(s.base(r))
	if err != nil {
		return f
	}
	if ip := net.ParseIP(u.Hostname()); ip != nil && ip.IsLoopback() {
		u.Host = "localhost"
		if port := portOf(s.base(r)); port != "" {
			u.Host += ":" + port
		}
		f.Elsewhere = u.String() + r.URL.Path
	}
	return f
}

func portOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Port()
}

// isLocal reports whether no provider signs the visitor in, and otherwise which one
// does.
func (s *Server) isLocal(ctx context.Context, v *visit) (bool, string, error) {
	connections, err := s.store.Connections(ctx, v.tenant())
	for _, c := range connections {
		if c.ID == v.person.Connection {
			return c.IdP == store.IdPLocal, c.Name, nil
		}
	}
	return false, "", err
}

func (s *Server) passkeys(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	local, connection, err := s.isLocal(ctx, v)
	if err != nil {
		return err
	}
	p := &passkeysPage{page: v.page("passkeys.title"), Welcome: r.URL.Query().Has("welcome")}
	if !local {
		p.Provider = connection
	}
	all, err := s.store.Passkeys(ctx, v.tenant(), v.session.UserID)
	if err != nil {
		return err
	}
	for _, one := range all {
		row := passkeyRow{ID: string(one.ID), Name: cmp.Or(one.Name, v.words.t("passkeys.unnamed")), Created: v.instant(one.CreatedAt)}
		if !one.LastUsedAt.IsZero() {
			row.Used = v.instant(one.LastUsedAt)
		}
		p.Passkeys = append(p.Passkeys, row)
	}
	p.Welcome = p.Welcome && len(all) == 0
	p.Full = len(all) >= store.MaxPasskeys
	p.Form = s.passkeyForm(r, v, "create", "/me/passkeys", "passkeys.add")
	return s.render(w, http.StatusOK, "passkeys", p)
}

// relyingParty is who asks for passkeys: our own address (§5.4.2), which must be the
// one that the browser shows.
func (s *Server) relyingParty(r *http.Request) (*webauthn.WebAuthn, error) {
	u, err := url.Parse(s.base(r))
	if err != nil {
		return nil, err
	}
	if net.ParseIP(u.Hostname()) != nil {
		return nil, telling{http.StatusBadRequest, "passkeys.ip"}
	}
	return webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: "Gatehouse", RPOrigins: []string{u.Scheme + "://" + u.Host},
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: protocol.ResidentKeyRequired(),
			UserVerification: protocol.VerificationRequired,
		},
		AttestationPreference: protocol.PreferNoAttestation,
	})
}

// holder is a person as the library wants to know her.
type holder struct {
	id       store.UserID
	name     string
	passkeys []store.Passkey
}

func (h holder) WebAuthnID() []byte          { return []byte(h.id) }
func (h holder) WebAuthnName() string        { return h.name }
func (h holder) WebAuthnDisplayName() string { return h.name }

func (h holder) WebAuthnCredentials() []webauthn.Credential {
	var all []webauthn.Credential
	for _, p := range h.passkeys {
		c := webauthn.Credential{
			ID: p.Credential, PublicKey: p.PublicKey, Flags: webauthn.NewCredentialFlags(protocol.AuthenticatorFlags(p.Flags)),
			Authenticator: webauthn.Authenticator{SignCount: p.SignCount},
		}
		for _, t := range p.Transports {
			c.Transport = append(c.Transport, protocol.AuthenticatorTransport(t))
		}
		all = append(all, c)
	}
	return all
}

// passkeyCookie ties a challenge to the browser that asked for it.
const passkeyCookie = "gatehouse-passkey"

// give sends a challenge to the script.
func (s *Server) give(w http.ResponseWriter, r *http.Request, actor store.Actor, user store.UserID, options any, session *webauthn.SessionData) error {
	data, err := json.Marshal(session)
	if err != nil {
		return err
	}
	key := randomText()
	err = s.store.Write(r.Context(), actor, func(tx *store.Tx) error {
		return tx.BeginCeremony(r.Context(), store.Ceremony{Key: hash(key), UserID: user, Data: string(data)})
	})
	if err != nil {
		return err
	}
	text, err := json.Marshal(options)
	if err != nil {
		return err
	}
	s.setCookie(w, r, passkeyCookie, "/", key, store.MaxCeremony)
	w.Header().Set("Content-Type", "application/json")
	w.Write(text)
	return nil
}

// taken gives the challenge that the browser was given, which is used up by that.
func (s *Server) taken(w http.ResponseWriter, r *http.Request, actor store.Actor) (store.Ceremony, webauthn.SessionData, error) {
	var c store.Ceremony
	var session webauthn.SessionData
	key := s.cookie(r, passkeyCookie, "/")
	s.setCookie(w, r, passkeyCookie, "/", "", 0)
	if r.PostFormValue("credential") == "" {
		return c, session, telling{http.StatusBadRequest, "passkeys.script"}
	}
	err := s.store.Write(r.Context(), actor, func(tx *store.Tx) (err error) {
		c, err = tx.TakeCeremony(r.Context(), hash(key))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return c, session, telling{http.StatusBadRequest, "passkeys.late"}
	}
	if err != nil {
		return c, session, err
	}
	return c, session, json.Unmarshal([]byte(c.Data), &session)
}

func (s *Server) holder(ctx context.Context, v *visit) (holder, error) {
	all, err := s.store.Passkeys(ctx, v.tenant(), v.session.UserID)
	return holder{id: v.session.UserID, name: name(v.person), passkeys: all}, err
}

func (s *Server) challengeNew(w http.ResponseWriter, r *http.Request, v *visit) error {
	rp, err := s.relyingParty(r)
	if err != nil {
		return err
	}
	h, err := s.holder(r.Context(), v)
	if err != nil {
		return err
	}
	creation, session, err := rp.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.WebAuthnCredentials()).CredentialDescriptors()))
	if err != nil {
		return err
	}
	return s.give(w, r, v.actor(), v.session.UserID, creation, session)
}

func (s *Server) addPasskey(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	rp, err := s.relyingParty(r)
	if err != nil {
		return err
	}
	c, session, err := s.taken(w, r, v.actor())
	if err != nil {
		return err
	}
	if c.UserID != v.session.UserID {
		return telling{http.StatusBadRequest, "passkeys.late"}
	}
	h, err := s.holder(ctx, v)
	if err != nil {
		return err
	}
	answer, err := protocol.ParseCredentialCreationResponseBytes([]byte(r.PostFormValue("credential")))
	if err != nil {
		return fmt.Errorf("%w: %w", telling{http.StatusBadRequest, "passkeys.unproved"}, err)
	}
	made, err := rp.CreateCredential(h, session, answer)
	if err != nil {
		return fmt.Errorf("%w: %w", telling{http.StatusBadRequest, "passkeys.unproved"}, err)
	}
	p := store.Passkey{
		UserID: v.session.UserID, Credential: made.ID, PublicKey: made.PublicKey, SignCount: made.Authenticator.SignCount,
		Flags: byte(made.Flags.ProtocolValue()), AAGUID: fmt.Sprintf("%x", made.Authenticator.AAGUID), Name: r.PostFormValue("name"),
	}
	if p.Name = strings.TrimSpace(p.Name); p.Name == "" {
		p.Name = deviceOf(r.UserAgent())
	}
	for _, t := range made.Transport {
		p.Transports = append(p.Transports, string(t))
	}
	err = s.store.Write(ctx, v.actor(), func(tx *store.Tx) error { _, err := tx.AddPasskey(ctx, p); return err })
	switch {
	case errors.Is(err, store.ErrTaken):
		return telling{http.StatusConflict, "passkeys.taken"}
	case errors.Is(err, store.ErrLimit):
		return telling{http.StatusConflict, "passkeys.full"}
	case errors.Is(err, store.ErrInvalid):
		return telling{http.StatusForbidden, "passkeys.provider"}
	case err != nil:
		return err
	}
	return s.say(w, r, "/me/passkeys", "", "passkeys.added")
}

// deviceOf is what a passkey is called that nobody named: where it was made.
func deviceOf(agent string) string {
	for _, of := range []struct{ sign, name string }{
		{"Android", "Android"}, {"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Windows", "Windows"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"},
	} {
		if strings.Contains(agent, of.sign) {
			return of.name
		}
	}
	return ""
}

// ownPasskey is the visitor's passkey of the request's address; another's doesn't exist
// for her.
func (s *Server) ownPasskey(r *http.Request, v *visit) (store.Passkey, error) {
	all, err := s.store.Passkeys(r.Context(), v.tenant(), v.session.UserID)
	for _, one := range all {
		if string(one.ID) == r.PathValue("id") {
			return one, nil
		}
	}
	return store.Passkey{}, cmp.Or(err, fmt.Errorf("passkey: %w", store.ErrNotFound))
}

func (s *Server) renamePasskey(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, err := s.ownPasskey(r, v)
	if err != nil {
		return err
	}
	err = s.store.Write(r.Context(), v.actor(), func(tx *store.Tx) error {
		return tx.RenamePasskey(r.Context(), p.ID, r.PostFormValue("name"))
	})
	if err != nil {
		return err
	}
	return s.say(w, r, "/me/passkeys", "", "passkeys.renamed")
}

// removePasskey takes a passkey away. If the visitor signed in with one, she is
// signed out by it.
func (s *Server) removePasskey(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, err := s.ownPasskey(r, v)
	if err != nil {
		return err
	}
	err = s.store.Write(r.Context(), v.actor(), func(tx *store.Tx) error { return tx.RemovePasskey(r.Context(), p.ID) })
	if err != nil {
		return err
	}
	return s.say(w, r, "/me/passkeys", "", "passkeys.removed", "name", p.Name)
}

// passkeyLoginPage signs in.
type passkeyLoginPage struct {
	page
	Form passkeyForm
}

func (s *Server) passkeyLogin(w http.ResponseWriter, r *http.Request, v *visit) error {
	to := ownPath(r.URL.Query().Get("to"))
	switch err := s.recognise(r, v); {
	case err == nil:
		return s.redirect(w, r, to)
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	p := &passkeyLoginPage{page: v.page("passkeys.login"), Form: s.passkeyForm(r, v, "get", "/login/passkey", "passkeys.use")}
	p.Form.To = to
	return s.render(w, http.StatusOK, "passkey-login", p)
}

// challengeLogin begins a sign-in. It names no passkeys: the authenticator offers
// those that it has for us, so that nobody learns who has one.
func (s *Server) challengeLogin(w http.ResponseWriter, r *http.Request, v *visit) error {
	if !s.challenges.spend(clientAddress(r)) {
		return telling{http.StatusTooManyRequests, "passkeys.often"}
	}
	rp, err := s.relyingParty(r)
	if err != nil {
		return err
	}
	assertion, session, err := rp.BeginDiscoverableLogin()
	if err != nil {
		return err
	}
	return s.give(w, r, store.Actor{Kind: store.ActorSystem, ID: "sign-in", RequestID: v.id}, "", assertion, session)
}

// signInByPasskey signs in whoever proves to have a passkey of somebody who may.
func (s *Server) signInByPasskey(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	rp, err := s.relyingParty(r)
	if err != nil {
		return err
	}
	c, session, err := s.taken(w, r, store.Actor{Kind: store.ActorSystem, ID: "sign-in", RequestID: v.id})
	if err != nil {
		return err
	}
	unproved := telling{http.StatusForbidden, "passkeys.unproved"}
	answer, err := protocol.ParseCredentialRequestResponseBytes([]byte(r.PostFormValue("credential")))
	if err != nil {
		return fmt.Errorf("%w: %w", unproved, err)
	}
	var found store.Passkey
	var failed error
	_, _, err = rp.ValidatePasskeyLogin(func(credential, handle []byte) (webauthn.User, error) {
		if found, failed = s.store.PasskeyOf(ctx, credential); failed != nil {
			return nil, failed
		}
		if string(handle) != string(found.UserID) {
			return nil, errors.New("the passkey is somebody else's")
		}
		return holder{id: found.UserID, passkeys: []store.Passkey{found}}, nil
	}, session, answer)
	switch {
	case errors.Is(failed, store.ErrNotFound):
		return telling{http.StatusForbidden, "passkeys.unknown"}
	case failed != nil:
		return failed
	case err != nil:
		s.refusePasskey(ctx, v, r, found, "unproved", err)
		return fmt.Errorf("%w: %w", unproved, err)
	}
	actor := store.Actor{Tenant: found.TenantID, Kind: store.ActorPerson, ID: string(found.UserID), RequestID: v.id}
	err = s.admitTo(w, r, actor, &store.Session{UserID: found.UserID, Method: store.MethodPasskey, BegunAt: c.BegunAt}, func(tx *store.Tx) error {
		_, err := tx.UsePasskey(ctx, found.ID, answer.Response.AuthenticatorData.Counter)
		return err
	})
	switch {
	case errors.Is(err, store.ErrCloned):
		return fmt.Errorf("%w: %w", telling{http.StatusForbidden, "passkeys.cloned"}, err)
	case errors.Is(err, store.ErrNotFound):
		s.refusePasskey(ctx, v, r, found, "not live", err)
		return fmt.Errorf("%w: %w", telling{http.StatusForbidden, "passkeys.notlive"}, err)
	case err != nil:
		return err
	}
	return s.redirect(w, r, ownPath(r.PostFormValue("to")))
}

// refusePasskey has it in the audit trail that somebody was refused.
func (s *Server) refusePasskey(ctx context.Context, v *visit, r *http.Request, p store.Passkey, why string, cause error) {
	if p.TenantID == "" {
		return
	}
	err := s.store.Refused(ctx, store.Actor{Tenant: p.TenantID, Kind: store.ActorSystem, ID: "sign-in", RequestID: v.id},
		store.Refusal{Action: store.SignInRefused, UserID: p.UserID, Name: p.Name, Why: "passkey: " + why, Detail: cause.Error(), Address: clientAddress(r)})
	if err != nil {
		s.log.Warn("log a refusal", "error", err, "request", v.id)
	}
}

// admitTo gives the browser a session in place of the one it had, in one transaction
// with what entitles to it, which may complete the session.
func (s *Server) admitTo(w http.ResponseWriter, r *http.Request, actor store.Actor, session *store.Session, first func(*store.Tx) error) error {
	var secret string
	session.UserAgent, session.Address = r.UserAgent(), clientAddress(r)
	err := s.store.Write(r.Context(), actor, func(tx *store.Tx) (err error) {
		if err := first(tx); err != nil {
			return err
		}
		_, secret, err = tx.CreateSession(r.Context(), *session)
		return err
	})
	if err != nil {
		return err
	}
	s.replaceSession(r)
	return s.keepSecret(w, r, secret)
}

const (
	// challengeBurst and challengePause bound the challenges of one address.
	challengeBurst = 60
	challengePause = 2 * time.Second
)
