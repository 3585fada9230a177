package oidc

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"
)

const (
	// assertionLife is how long our own assertions live: for one request.
	assertionLife = time.Minute
	// maxAccessToken bounds an access token in bytes: it goes into a header.
	maxAccessToken = 16 << 10
)

// tokens are what a code was exchanged for.
type tokens struct{ accessToken, idToken string }

// exchange shows the code and the PKCE verifier to the provider's token endpoint
// (RFC 6749 §4.1.3, RFC 7636 §4.5).
func (c *Client) exchange(ctx context.Context, p Provider, d Discovery, code, verifier string) (tokens, error) {
	options := []oauth2.AuthCodeOption{oauth2.VerifierOption(verifier)}
	if p.Auth == PrivateKeyJWT {
		assertion, err := p.assertion(c.now())
		if err != nil {
			return tokens{}, refuse("settings", "sign our assertion: %w", err)
		}
		options = append(options,
			oauth2.SetAuthURLParam("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
			oauth2.SetAuthURLParam("client_assertion", assertion))
		p.ClientSecret = "" // it stays unsaid
	}
	reader := &tokenReader{egress: c.egress}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &http.Client{
		Transport:     reader,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	_, err := p.oauth(d).Exchange(ctx, code, options...)
	if _, known := errors.AsType[*Refusal](err); known || errors.Is(err, ErrUnavailable) {
		return tokens{}, err
	}
	if err != nil {
		return tokens{}, refuse("token_answer", "%w", err)
	}
	return reader.said.tokens()
}

// assertion proves to the provider who we are (RFC 7523 §2.2). It is for the issuer
// and nobody else: with the token endpoint's address as audience, another provider
// that names that address as its own would get what it can use there.
func (p Provider) assertion(now time.Time) (string, error) {
	opaque := cryptosigner.Opaque(p.Key)
	if len(opaque.Algs()) == 0 {
		return "", fmt.Errorf("a key of type %T can't sign", p.Key.Public())
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: opaque.Algs()[0], Key: jose.JSONWebKey{Key: opaque, KeyID: p.KeyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	return jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: p.ClientID, Subject: p.ClientID, Audience: jwt.Audience{p.Issuer}, ID: secret(),
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionLife)),
	}).Serialize()
}

// tokenReader carries x/oauth2's request and reads the answer before it does, and
// more strictly. It quotes nothing of it but the error's code: the rest can be
// an echo of what we sent.
type tokenReader struct {
	egress *Egress
	said   claims
}

// RoundTrip sends a request to the token endpoint.
func (t *tokenReader) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "gatehouse")
	answer, err := t.egress.Do(r)
	if err != nil {
		return nil, unavailable("token", err)
	}
	body, err := readBody(answer)
	if err != nil {
		return nil, unavailable("token", err)
	}
	media, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	switch {
	case answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests:
		return nil, fmt.Errorf("%w: token: answered %s", ErrUnavailable, answer.Status)
	case media != "application/json":
		return nil, refuse("token_answer", "answered %s with %.100q, want application/json", answer.Status, media)
	}
	said, err := object(body)
	if err == nil {
		err = said.checkNames([]string{"access_token", "token_type", "id_token", "expires_in", "error"})
	}
	if err != nil {
		return nil, refuse("token_answer", "%w", err)
	}
	if code, err := said.text("error"); err == nil {
		return nil, refuse(cmp.Or(tokenErrors[code], "token_answer"), "answered %s and the error %.100q", answer.Status, code)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, refuse("token_answer", "answered %s", answer.Status)
	}
	t.said = said
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}

// tokenErrors are the reasons behind a token endpoint's errors (RFC 6749 §5.2).
var tokenErrors = map[string]string{"invalid_grant": "code", "invalid_client": "client", "unauthorized_client": "client"}

func (c claims) tokens() (said tokens, err error) {
	kind, err := c.text("token_type")
	if err != nil {
		return tokens{}, refuse("token_type", "%w", err)
	}
	if !strings.EqualFold(kind, "bearer") {
		return tokens{}, refuse("token_type", "it is of type %.100q", kind)
	}
	if said.accessToken, err = c.text("access_token"); err != nil {
		return tokens{}, refuse("token_answer", "%w", err)
	}
	if len(said.accessToken) > maxAccessToken || !printable(said.accessToken) {
		return tokens{}, refuse("token_answer", "an access token that can't be one")
	}
	if said.idToken, err = c.text("id_token"); err != nil {
		return tokens{}, refuse("token", "%w", err)
	}
	return said, nil
}

// addUserInfo asks for more claims (OpenID Connect Core 1.0 §5.3). What the ID
// token said stays as it is.
func (c *Client) addUserInfo(ctx context.Context, p Provider, d Discovery, accessToken string, id *Identity) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.UserInfoURL, nil)
	if err != nil {
		return refuse("discovery", "userinfo_endpoint: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+accessToken)
	r.Header.Set("Accept", "application/json, application/jwt")
	r.Header.Set("User-Agent", "gatehouse")
	answer, err := c.egress.Do(r)
	if err != nil {
		return unavailable("userinfo", err)
	}
	body, err := readBody(answer)
	if err != nil {
		return unavailable("userinfo", err)
	}
	media, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	var more claims
	switch {
	case answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%w: userinfo: answered %s", ErrUnavailable, answer.Status)
	case answer.StatusCode != http.StatusOK:
		return refuse("userinfo", "answered %s", answer.Status)
	case media == "application/json":
		more, err = object(body)
		if err == nil {
			err = more.checkNames(tokenClaims)
		}
		if err != nil {
			return refuse("userinfo", "%w", err)
		}
	case media == "application/jwt":
		if more, err = c.signedUserInfo(ctx, p, d, string(body)); err != nil {
			return err
		}
	default:
		return refuse("userinfo", "answered with %.100q", media)
	}
	if subject, err := more.text("sub"); err != nil || subject != id.Subject {
		return refuse("userinfo_sub", "userinfo's sub is not that of the ID token")
	}
	for name, value := range more {
		if _, there := id.Claims[name]; !there && !slices.Contains(tokenClaims, name) {
			id.Claims[name] = value
		}
	}
	return nil
}

// signedUserInfo reads userinfo that comes as a token (§5.3.2). Who it is from and
// for is optional there; when said, it must be right.
func (c *Client) signedUserInfo(ctx context.Context, p Provider, d Discovery, raw string) (claims, error) {
	t, err := readToken(strings.TrimSpace(raw), maxToken, p.algorithms(), idTokenTypes)
	if err != nil {
		return nil, err
	}
	if _, there := t.claims["iss"]; there {
		if err := t.claims.checkIssuer(p.Issuer); err != nil {
			return nil, err
		}
	}
	if _, there := t.claims["aud"]; there {
		if err := t.claims.checkClient(p.ClientID); err != nil {
			return nil, err
		}
	}
	if _, there := t.claims["exp"]; there {
		if expires, err := t.claims.instant("exp"); err != nil || !c.now().Before(expires.Add(leeway)) {
			return nil, refuse("exp", "userinfo has ended")
		}
	}
	keys, err := c.keysFor(ctx, p.Issuer, d.KeysURL, t)
	if err != nil {
		return nil, err
	}
	return t.claims, t.signedBy(keys)
}
