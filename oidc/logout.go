package oidc

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
)

const (
	// maxIDTokenHint bounds the ID token that goes into an address: longer addresses
	// are refused on their way. Without it the provider asks the person.
	maxIDTokenHint = 4000
	// maxRevocation bounds the body of a revocation in bytes.
	maxRevocation = 16 << 10
	// logoutEvent is what a logout token is about (OpenID Connect Back-Channel Logout
	// 1.0 §2.4).
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"
)

// EndSession says where to send the browser of somebody who signs out here, to sign
// out at the provider too (OpenID Connect RP-Initiated Logout 1.0 §2). It reports
// false when the provider has no such address. state comes back with the browser,
// see CheckReturn.
func (c *Client) EndSession(ctx context.Context, p Provider, idTokenHint, postLogoutRedirect, state string) (string, bool, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	d, err := c.discover(ctx, p.Issuer)
	if err != nil || d.EndSessionURL == "" {
		return "", false, err
	}
	u, err := url.Parse(d.EndSessionURL)
	if err != nil {
		return "", false, refuse("discovery", "end_session_endpoint: %w", err)
	}
	query := u.Query()
	query.Set("client_id", p.ClientID)
	if idTokenHint != "" && len(idTokenHint) <= maxIDTokenHint {
		query.Set("id_token_hint", idTokenHint)
	}
	if postLogoutRedirect != "" {
		query.Set("post_logout_redirect_uri", postLogoutRedirect)
		query.Set("state", state)
	}
	u.RawQuery = query.Encode()
	return u.String(), true, nil
}

// CheckReturn refuses a browser that comes back from no logout of ours (RP-Initiated
// Logout 1.0 §3): somebody else sent it.
func CheckReturn(state string, answer url.Values) error {
	if state == "" || len(answer["state"]) != 1 || subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(state)) == 0 {
		return refuse("state", "state is not the one of this logout")
	}
	return nil
}

// Initiation is somebody else's wish that a person signs in here (OpenID Connect
// Core 1.0 §4). Anybody can make one: it chooses among the connections there are,
// and proves nothing.
type Initiation struct {
	Issuer string
	// LoginHint goes to BeginOptions.
	LoginHint string
	// Target is where the person wants to be; the caller keeps it on this host.
	Target string
}

// ReadInitiation reads the parameters of a sign-in that a third party begins.
func ReadInitiation(values url.Values) (Initiation, error) {
	for _, name := range []string{"iss", "login_hint", "target_link_uri"} {
		if len(values[name]) > 1 {
			return Initiation{}, refuse("initiation", "%s is there %d times", name, len(values[name]))
		}
	}
	i := Initiation{values.Get("iss"), values.Get("login_hint"), values.Get("target_link_uri")}
	if u, err := url.Parse(i.Issuer); err != nil || u.Scheme == "" || u.Host == "" || len(i.Issuer) > 1000 {
		return Initiation{}, refuse("initiation", "iss is no issuer")
	}
	return i, nil
}

// Logout is a provider's word that somebody signed out there.
type Logout struct {
	Issuer string
	// Subject is who; with SessionID, only that session of theirs ends. One of the
	// two can be "".
	Subject, SessionID string
	// ID tells it from others. Whether it was seen before is the caller's to know,
	// until ExpiresAt.
	ID                  string
	IssuedAt, ExpiresAt time.Time
}

// Peek reads from which issuer and for whom a token claims to be, so that a caller
// with several connections knows which one to verify it with. It proves nothing.
func Peek(raw string) (issuer string, audiences []string, err error) {
	allowed := slices.Collect(maps.Keys(algorithms))
	t, err := readToken(raw, maxToken, allowed, slices.Concat(idTokenTypes, logoutTypes, revocationTypes))
	if err != nil {
		return "", nil, err
	}
	if issuer, err = t.claims.text("iss"); err != nil {
		return "", nil, refuse("iss", "%w", err)
	}
	if audiences, err = t.claims.audiences(); err != nil {
		return "", nil, refuse("aud", "%w", err)
	}
	return issuer, audiences, nil
}

// logoutTypes are what a logout token may say that it is (§2.4); many providers say
// only JWT.
var logoutTypes = []string{"jwt", "logout+jwt"}

// VerifyLogout checks a logout token (OpenID Connect Back-Channel Logout 1.0 §2.6):
// first what it says, then who says so.
func (c *Client) VerifyLogout(ctx context.Context, p Provider, raw string) (Logout, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	t, err := readToken(raw, maxToken, p.algorithms(), logoutTypes)
	if err != nil {
		return Logout{}, err
	}
	l, err := t.claims.logout(p, c.now())
	if err != nil {
		return Logout{}, err
	}
	d, err := c.discover(ctx, p.Issuer)
	if err != nil {
		return Logout{}, err
	}
	keys, err := c.keysFor(ctx, p.Issuer, d.KeysURL, t)
	if err != nil {
		return Logout{}, err
	}
	if _, err := goidc.NewVerifier(p.Issuer, &goidc.StaticKeySet{PublicKeys: keys}, p.verifierConfig()).VerifyLogout(ctx, raw); err != nil {
		return Logout{}, refuse("signature", "%w", err)
	}
	return l, nil
}

func (c claims) logout(p Provider, now time.Time) (l Logout, err error) {
	if err := c.checkIssuer(p.Issuer); err != nil {
		return Logout{}, err
	}
	if err := c.checkClient(p.ClientID); err != nil {
		return Logout{}, err
	}
	l = Logout{Issuer: p.Issuer}
	if l.IssuedAt, l.ExpiresAt, err = c.checkTimes(now); err != nil {
		return Logout{}, err
	}
	if _, there := c["nonce"]; there {
		return Logout{}, refuse("nonce", "with a nonce it is an ID token")
	}
	events, err := object(c["events"])
	if err != nil {
		return Logout{}, refuse("events", "events: %w", err)
	}
	if _, err := object(events[logoutEvent]); err != nil {
		return Logout{}, refuse("events", "no event %s", logoutEvent)
	}
	if l.ID, err = c.identifier("jti"); err != nil {
		return Logout{}, refuse("jti", "%w", err)
	}
	_, who := c["sub"]
	_, where := c["sid"]
	if !who && !where {
		return Logout{}, refuse("sub", "neither sub nor sid")
	}
	if who {
		if l.Subject, err = c.identifier("sub"); err != nil {
			return Logout{}, refuse("sub", "%w", err)
		}
	}
	if where {
		if l.SessionID, err = c.identifier("sid"); err != nil {
			return Logout{}, refuse("sid", "%w", err)
		}
	}
	return l, nil
}

// Revocation is a provider's demand that all sessions of somebody end.
type Revocation struct {
	// Issuer and Subject are who.
	Issuer, Subject string
	// ID tells the demand from others; it can be kept until ExpiresAt.
	ID        string
	ExpiresAt time.Time
}

// revocationTypes are what the token of a revocation may say that it is; Okta says
// the long one, the draft none.
var revocationTypes = []string{"jwt", "global-token-revocation+jwt"}

// VerifyRevocation checks a request for Global Token Revocation
// (draft-parecki-oauth-global-token-revocation), Okta's Universal Logout: the
// bearer token must be the provider's own and made for audience, our address for
// such requests, and the body must name a person of that provider. Okta signs as
// the organization, so p.Issuer must be that, and not one of its further
// authorization servers.
//
// A person is named by issuer and subject, or by the subject alone (RFC 9493
// §3.2.3, §3.2.4). An address of mail is refused: it does not say who somebody is.
func (c *Client) VerifyRevocation(ctx context.Context, p Provider, audience, raw string, body []byte) (Revocation, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	t, err := readToken(raw, maxToken, p.algorithms(), revocationTypes)
	if err != nil {
		return Revocation{}, err
	}
	r, err := t.claims.revocation(p, audience, c.now())
	if err != nil {
		return Revocation{}, err
	}
	d, err := c.discover(ctx, p.Issuer)
	if err != nil {
		return Revocation{}, err
	}
	keys, err := c.keysFor(ctx, p.Issuer, d.KeysURL, t)
	if err != nil {
		return Revocation{}, err
	}
	if err := t.signedBy(keys); err != nil {
		return Revocation{}, err
	}
	// The body is read last: nobody who isn't the provider has it parsed.
	if r.Subject, err = revoked(p, body); err != nil {
		return Revocation{}, err
	}
	return r, nil
}

func (c claims) revocation(p Provider, audience string, now time.Time) (r Revocation, err error) {
	if err := c.checkIssuer(p.Issuer); err != nil {
		return Revocation{}, err
	}
	audiences, err := c.audiences()
	if err != nil {
		return Revocation{}, refuse("aud", "%w", err)
	}
	if audience == "" || len(audiences) != 1 || audiences[0] != audience {
		return Revocation{}, refuse("aud", "aud is %.300q, want only %q", audiences, audience)
	}
	r = Revocation{Issuer: p.Issuer}
	if _, r.ExpiresAt, err = c.checkTimes(now); err != nil {
		return Revocation{}, err
	}
	for _, name := range otherPurpose {
		if _, there := c[name]; there {
			return Revocation{}, refuse("typ", "with %s it is a token for another purpose", name)
		}
	}
	if r.ID, err = c.identifier("jti"); err != nil {
		return Revocation{}, refuse("jti", "%w", err)
	}
	return r, nil
}

// revoked reads whose sessions should end. Earlier drafts call it subject.
func revoked(p Provider, body []byte) (string, error) {
	if len(body) > maxRevocation {
		return "", refuse("sub_id", "larger than %d bytes", maxRevocation)
	}
	request, err := object(body)
	if err != nil {
		return "", refuse("sub_id", "%w", err)
	}
	var named []json.RawMessage
	for _, name := range []string{"sub_id", "subject"} {
		if value, there := request[name]; there {
			named = append(named, value)
		}
	}
	if len(named) != 1 {
		return "", refuse("sub_id", "want one sub_id")
	}
	who, err := object(named[0])
	if err != nil {
		return "", refuse("sub_id", "%w", err)
	}
	format, err := who.text("format")
	if err != nil {
		return "", refuse("sub_id", "%w", err)
	}
	claim := "sub"
	switch format {
	case "iss_sub":
		if issuer, err := who.text("iss"); err != nil || issuer != p.Issuer {
			return "", refuse("sub_id_iss", "iss is %.200q, want %q", issuer, p.Issuer)
		}
	case "opaque":
		claim = "id"
	case "email":
		return "", refuse("sub_id_email", "format email: set the provider to issuer and subject")
	default:
		return "", refuse("sub_id", "format %.100q", format)
	}
	subject, err := who.identifier(claim)
	if err != nil {
		return "", refuse("sub_id", "%w", err)
	}
	return subject, nil
}
