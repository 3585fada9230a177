package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gatehouse/oidc"
	"gatehouse/store"
)

func (s *Server) connectRoutes() []route {
	return []route{
		{"GET", "/sync/{connection}/settings", changeConnections, s.connect},
		{"POST", "/sync/{connection}/name", changeConnections, s.connectRename},
		{"POST", "/sync/{connection}/tokens/{token}/revoke", changeConnections, s.tokenRevoke},
		{"POST", "/sync/{connection}/links", changeConnections, s.linkAdd},
		{"POST", "/sync/{connection}/links/{link}/revoke", changeConnections, s.linkRevoke},
		{"POST", "/sync/{connection}/client", changeConnections, s.clientChange},
		{"POST", "/sync/{connection}/signin", changeConnections, s.signinChange},
		{"GET", "/sync/{connection}/remove", changeConnections, s.disconnect},
		{"POST", "/sync/{connection}/remove", changeConnections, s.disconnect},
	}
}

// connectPage is how a connection is opened, and how its people sign in.
type connectPage struct {
	page
	Back   string
	At     string // the address that its forms begin with
	Rename field

	SCIMURL string
	Tokens  []tokenRow
	Table   table
	Full    bool
	Told    once

	Links    []linkRow
	LinkFull bool

	Client *clientView

	SignIn   signinForm
	Checked  *checked
	Redirect string
	Logout   string

	Remove string
}

type tokenRow struct {
	ID, Hint, State string
	Live, Bad       bool
	Made            when
	Ends, Used      *when
}

type linkRow struct {
	ID         string
	Made, Ends when
}

// clientView is the OAuth client of a connection.
type clientView struct {
	ID, TokenURL string
	Secrets      []tokenRow
	Full         bool
	Federation   *store.Federation
}

// signinForm is how people sign in, as typed or as it is.
type signinForm struct {
	Fields                                       []field
	Secret                                       field
	Kept                                         bool // a secret is there already
	Enabled, JIT, UserInfo, LogoutThere, Present bool
	Error                                        string
	// Test is where to try it, "" if nobody can sign in with it.
	Test string
}

// checked is what a provider says of itself.
type checked struct {
	OK   bool
	Text string
	Rows []setupValue
}

func (s *Server) connect(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := s.connected(r, v)
	if err != nil {
		return err
	}
	p, err := s.connectPage(r, v, c)
	if err != nil {
		return err
	}
	p.Told = s.told(w, r, v.holder())
	if p.Told.Link != "" {
		p.Told.Link = v.publicURL("/setup/" + p.Told.Link)
	}
	return s.render(w, http.StatusOK, "connect", p)
}

// connected is the connection in the address, which can be changed as long as it
// hasn't ended.
func (s *Server) connected(r *http.Request, v *visit) (store.Connection, error) {
	c, err := s.connection(r, v, changeConnections)
	if err == nil && !c.EndedAt.IsZero() {
		err = fmt.Errorf("connection %s has ended: %w", c.ID, store.ErrNotFound)
	}
	return c, err
}

func (s *Server) connectPage(r *http.Request, v *visit, c store.Connection) (*connectPage, error) {
	ctx, w := r.Context(), v.words
	at := "/sync/" + string(c.ID)
	p := &connectPage{
		page: v.page("connect.title", "name", c.Name), Back: at, At: at, SCIMURL: v.scimURL(c.ID),
		Rename:   field{Name: "name", Label: w.t("setup.name"), Value: c.Name},
		Redirect: v.publicURL("/oidc/callback"), Logout: v.publicURL("/oidc/backchannel-logout"),
		Table:  table{ID: "tokens", Caption: w.t("connect.tokens"), Hidden: true, Columns: v.columns("connect.token", "connect.made", "connect.ends", "connect.used", "connect.do")},
		Remove: v.link(at + "/remove"),
	}
	tokens, err := s.store.Tokens(ctx, c.Ref())
	if err != nil {
		return nil, err
	}
	live := 0
	for _, t := range tokens {
		row := v.tokenRow(string(t.ID), t.Hint, t.CreatedAt, t.ExpiresAt, t.RevokedAt, t.LastUsedAt)
		if row.Live {
			live++
		}
		p.Tokens = append(p.Tokens, row)
	}
	p.Full = live >= store.MaxLiveTokens
	links, err := s.store.SetupLinks(ctx, c.Ref())
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		p.Links = append(p.Links, linkRow{l.ID, v.instant(l.CreatedAt), v.instant(l.ExpiresAt)})
	}
	p.LinkFull = len(links) >= store.MaxSetupLinks
	if p.Client, err = s.clientView(ctx, v, c); err != nil {
		return nil, err
	}
	provider, err := s.store.Provider(ctx, c.Ref())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	p.SignIn = v.signinForm(c, provider)
	return p, nil
}

// tokenRow is a secret as it is listed.
func (v *visit) tokenRow(id, hint string, made, ends, revoked, used store.Instant) tokenRow {
	row := tokenRow{ID: id, Hint: hint, Made: v.instant(made), Live: revoked.IsZero() && (ends.IsZero() || v.now.Before(ends.Time))}
	if !ends.IsZero() {
		at := v.instant(ends)
		row.Ends, row.Bad = &at, row.Live && ends.Sub(v.now) < soon
	}
	if !used.IsZero() {
		at := v.instant(used)
		row.Used = &at
	}
	switch {
	case !revoked.IsZero():
		row.State = v.words.t("connect.revoked")
	case !row.Live:
		row.State = v.words.t("connect.expired")
	}
	return row
}

func (s *Server) clientView(ctx context.Context, v *visit, c store.Connection) (*clientView, error) {
	client, err := s.store.Client(ctx, c.Ref())
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all, err := s.store.Credentials(ctx, client)
	if err != nil {
		return nil, err
	}
	view := &clientView{ID: string(client.ID), TokenURL: v.publicURL("/oauth2/token")}
	live := 0
	for _, one := range all {
		if !one.IsSecret() {
			if one.Live(v.now) {
				view.Federation = &one.Federation
			}
			continue
		}
		row := v.tokenRow(string(one.ID), one.Hint, one.CreatedAt, one.ExpiresAt, one.RevokedAt, one.LastUsedAt)
		if row.Live {
			live++
		}
		view.Secrets = append(view.Secrets, row)
	}
	view.Full = live >= store.MaxLiveSecrets
	return view, nil
}

// change makes a change of a connection, and comes back to its settings. What the
// store refuses for its limits is said there.
func (s *Server) change(w http.ResponseWriter, r *http.Request, v *visit, said string, f func(ctx context.Context, tx *store.Tx, c store.Connection) error) error {
	c, err := s.connected(r, v)
	if err != nil {
		return err
	}
	err = s.store.Write(r.Context(), v.actor(), func(tx *store.Tx) error { return f(r.Context(), tx, c) })
	if err != nil {
		return err
	}
	return s.say(w, r, "/sync/"+string(c.ID)+"/settings", "", said)
}

func (s *Server) connectRename(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	c, err := s.connected(r, v)
	if err != nil {
		return err
	}
	name := r.PostFormValue("name")
	status, problem := http.StatusBadRequest, "setup.name.invalid"
	if validName(name) {
		err := s.store.Write(ctx, v.actor(), func(tx *store.Tx) error { _, err := tx.RenameConnection(ctx, c.ID, name); return err })
		if err == nil {
			return s.say(w, r, "/sync/"+string(c.ID)+"/settings", "", "connect.renamed")
		}
		if !errors.Is(err, store.ErrTaken) {
			return err
		}
		status, problem = http.StatusConflict, "setup.name.taken"
	}
	p, err := s.connectPage(r, v, c)
	if err != nil {
		return err
	}
	p.Rename.Value, p.Rename.Error = name, v.words.t(problem)
	return s.render(w, status, "connect", p)
}

func (s *Server) tokenRevoke(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.change(w, r, v, "connect.token.ended", func(ctx context.Context, tx *store.Tx, c store.Connection) error {
		_, err := tx.RevokeToken(ctx, c, r.PathValue("token"))
		return err
	})
}

func (s *Server) linkRevoke(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.change(w, r, v, "connect.link.ended", func(ctx context.Context, tx *store.Tx, c store.Connection) error {
		return tx.RevokeSetupLink(ctx, c.ID, r.PathValue("link"))
	})
}

func (s *Server) linkAdd(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	c, err := s.connected(r, v)
	if err != nil {
		return err
	}
	var secret string
	err = s.store.Write(ctx, v.actor(), func(tx *store.Tx) (err error) { _, secret, err = tx.CreateSetupLink(ctx, c.ID); return err })
	page := "/sync/" + string(c.ID) + "/settings"
	if errors.Is(err, store.ErrLimit) {
		return s.say(w, r, page, "", "connect.link.many")
	}
	if err != nil {
		return err
	}
	return s.tell(w, r, page, v.holder(), once{Link: secret})
}

// clientLife is how long a client's secret works.
const clientLife = 365 * 24 * time.Hour

// clientChange does what the form says with a connection's OAuth client.
func (s *Server) clientChange(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	switch r.PostFormValue("do") {
	case "secret":
		c, err := s.connected(r, v)
		if err != nil {
			return err
		}
		var secret string
		err = s.store.Write(ctx, v.actor(), func(tx *store.Tx) (err error) {
			if _, err = tx.EnsureClient(ctx, c); err == nil {
				_, secret, err = tx.CreateSecret(ctx, c, clientLife)
			}
			return err
		})
		page := "/sync/" + string(c.ID) + "/settings"
		if errors.Is(err, store.ErrLimit) {
			return s.say(w, r, page, "", "connect.secret.two")
		}
		if err != nil {
			return err
		}
		return s.tell(w, r, page, v.holder(), once{Client: secret})
	case "revoke-secret":
		return s.change(w, r, v, "connect.secret.ended", func(ctx context.Context, tx *store.Tx, c store.Connection) error {
			return tx.RevokeSecret(ctx, c, r.PostFormValue("secret"))
		})
	case "federate":
		f := store.Federation{Issuer: strings.TrimSpace(r.PostFormValue("issuer")), Subject: strings.TrimSpace(r.PostFormValue("subject")),
			Audience: strings.TrimSuffix(strings.TrimSpace(r.PostFormValue("audience")), "/.default"), KeysURL: strings.TrimSpace(r.PostFormValue("keys"))}
		outside := s.signing.egress.Leads
		if f.Subject == "" || f.Audience == "" || outside(ctx, f.Issuer) != nil || f.KeysURL != "" && outside(ctx, f.KeysURL) != nil {
			return badRequest{"connect.federation.invalid"}
		}
		return s.change(w, r, v, "connect.federated", func(ctx context.Context, tx *store.Tx, c store.Connection) error {
			if _, err := tx.EnsureClient(ctx, c); err != nil {
				return err
			}
			_, err := tx.Federate(ctx, c, f)
			return err
		})
	case "end-federation":
		return s.change(w, r, v, "connect.federation.ended", func(ctx context.Context, tx *store.Tx, c store.Connection) error {
			return tx.EndFederation(ctx, c)
		})
	case "revoke":
		return s.change(w, r, v, "connect.client.ended", func(ctx context.Context, tx *store.Tx, c store.Connection) error {
			_, err := tx.RevokeClient(ctx, c)
			return err
		})
	}
	return badRequest{"problem.invalid"}
}

// signinForm shows how people sign in. The claims that we suggest are those that the
// providers never give to somebody else.
func (v *visit) signinForm(c store.Connection, p store.Provider) signinForm {
	present := p.Issuer != ""
	if !present {
		p.Enabled, p.Claim, p.Attribute, p.LogoutThere, p.Auth = true, "sub", store.LinkExternalID, true, oidc.ClientSecretBasic.String()
		if c.IdP == store.IdPEntra {
			p.Claim = "oid"
		}
	}
	w := v.words
	options := func(values ...string) (all []option) {
		for _, value := range values {
			all = append(all, option{Value: value, Text: value})
		}
		return all
	}
	test := ""
	if present && p.Enabled {
		test = startAddress(c.ID, "/sync/"+string(c.ID)+"/settings", "")
	}
	return signinForm{
		Test: test, Present: present, Kept: p.Sealed != "", Enabled: p.Enabled, JIT: p.JIT, UserInfo: p.UserInfo, LogoutThere: p.LogoutThere,
		Fields: []field{
			{Name: "issuer", Label: w.t("connect.issuer"), Value: p.Issuer, Type: "url", Hint: w.t("connect.issuer." + c.IdP)},
			{Name: "client", Label: w.t("connect.clientID"), Value: p.ClientID},
			choose("auth", w.t("connect.auth"), w.t("connect.choose"), p.Auth, options("client_secret_basic", "private_key_jwt")),
			{Name: "key", Label: w.t("connect.keyID"), Value: p.KeyID},
			{Name: "claim", Label: w.t("connect.claim"), Value: p.Claim, Hint: w.t("connect.claim.hint")},
			choose("attribute", w.t("connect.attribute"), w.t("connect.choose"), p.Attribute, options(store.LinkExternalID, store.LinkUserName)),
			{Name: "domains", Label: w.t("connect.domains"), Value: strings.Join(p.Domains, " "), Hint: w.t("connect.domains.hint")},
		},
		Secret: field{Name: "secret", Label: w.t("connect.secret")},
	}
}

// signinChange saves how people sign in, checks it, or ends it.
func (s *Server) signinChange(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	c, err := s.connected(r, v)
	if err != nil {
		return err
	}
	if r.PostFormValue("do") == "remove" {
		return s.change(w, r, v, "connect.signin.ended", func(ctx context.Context, tx *store.Tx, c store.Connection) error {
			return tx.RemoveProvider(ctx, c.ID)
		})
	}
	before, err := s.store.Provider(ctx, c.Ref())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	p := store.Provider{TenantID: c.TenantID, ConnectionID: c.ID, Issuer: strings.TrimSpace(r.PostFormValue("issuer")), ClientID: strings.TrimSpace(r.PostFormValue("client")),
		Enabled: r.PostFormValue("enabled") != "", ProviderSettings: before.ProviderSettings}
	p.Auth, p.KeyID = r.PostFormValue("auth"), strings.TrimSpace(r.PostFormValue("key"))
	p.Claim, p.Attribute = strings.TrimSpace(r.PostFormValue("claim")), r.PostFormValue("attribute")
	p.Domains = strings.FieldsFunc(r.PostFormValue("domains"), func(c rune) bool { return c == ' ' || c == ',' || c == ';' || c == '\n' || c == '\r' })
	p.JIT, p.UserInfo, p.LogoutThere = r.PostFormValue("jit") != "", r.PostFormValue("userinfo") != "", r.PostFormValue("logout") != ""
	if before.Issuer == "" {
		p.BackChannel, p.Scopes = true, []string{"profile"}
	}
	again := func(status int, problem, issuer string, result *checked) error {
		page, err := s.connectPage(r, v, c)
		if err != nil {
			return err
		}
		kept := page.SignIn.Kept
		page.SignIn = v.signinForm(c, p)
		page.SignIn.Kept, page.SignIn.Present, page.SignIn.Error, page.Checked = kept, before.Issuer != "", problem, result
		page.SignIn.Fields[0].Error = issuer
		return s.render(w, status, "connect", page)
	}
	proof := strings.TrimSpace(r.PostFormValue("secret"))
	protocol, problem := s.protocol(v, p, before, proof)
	if problem != "" {
		return again(http.StatusBadRequest, v.words.t(problem), "", nil)
	}
	if err := s.signing.egress.Leads(ctx, p.Issuer); err != nil {
		return again(http.StatusBadRequest, "", v.words.t("connect.issuer.wrong", "why", err.Error()), nil)
	}
	if r.PostFormValue("do") == "check" {
		return again(http.StatusOK, "", "", s.check(ctx, v, protocol))
	}
	if proof != "" {
		p.Sealed = s.opts.Sealer.Seal(string(c.ID), proof)
	}
	err = s.store.Write(ctx, v.actor(), func(tx *store.Tx) error { _, err := tx.SetProvider(ctx, p); return err })
	if errors.Is(err, store.ErrInvalid) || errors.Is(err, store.ErrLimit) {
		return again(http.StatusBadRequest, v.words.t("connect.signin.invalid", "why", err.Error()), "", nil)
	}
	if err != nil {
		return err
	}
	return s.say(w, r, "/sync/"+string(c.ID)+"/settings", "", "connect.signin.saved")
}

// protocol is a provider as package oidc takes it, or the key of what is wrong. What
// we prove ourselves with is what was typed, or what is kept.
func (s *Server) protocol(v *visit, p, before store.Provider, proof string) (oidc.Provider, string) {
	o := oidc.Provider{Issuer: p.Issuer, ClientID: p.ClientID, KeyID: p.KeyID, RedirectURL: v.publicURL("/oidc/callback"), Scopes: p.Scopes, Algorithms: p.Algorithms}
	if p.Issuer == "" || p.ClientID == "" {
		return o, "connect.signin.missing"
	}
	if proof == "" {
		if before.Sealed == "" || before.Auth != p.Auth {
			return o, "connect.secret.missing"
		}
		opened, err := s.opts.Sealer.Open(string(p.ConnectionID), before.Sealed)
		if err != nil {
			return o, "connect.secret.sealed"
		}
		proof = opened
	}
	switch p.Auth {
	case oidc.ClientSecretBasic.String():
		o.Auth, o.ClientSecret = oidc.ClientSecretBasic, proof
	case oidc.PrivateKeyJWT.String():
		key, err := privateKey(proof)
		if err != nil {
			return o, "connect.secret.noKey"
		}
		o.Auth, o.Key = oidc.PrivateKeyJWT, key
	default:
		return o, "connect.auth.missing"
	}
	return o, ""
}

// check asks a provider what it says of itself, and whether that goes together with
// the settings.
func (s *Server) check(ctx context.Context, v *visit, p oidc.Provider) *checked {
	d, err := s.signing.client().Check(ctx, p)
	if err != nil {
		return &checked{Text: v.words.t("connect.check.failed", "why", err.Error())}
	}
	c := &checked{OK: true, Text: v.words.t("connect.check.ok")}
	for _, row := range []struct{ label, value string }{
		{"connect.issuer", d.Issuer}, {"connect.check.authorization", d.AuthorizationURL}, {"connect.check.token", d.TokenURL},
		{"connect.check.keys", d.KeysURL}, {"connect.check.endSession", d.EndSessionURL}, {"connect.check.algorithms", strings.Join(d.Algorithms, ", ")},
	} {
		if row.value != "" {
			c.Rows = append(c.Rows, setupValue{Label: v.words.t(row.label), Value: row.value})
		}
	}
	return c
}
