package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Discovery is what an identity provider says of itself (OpenID Connect Discovery
// 1.0 §3). Addresses that it doesn't have are "".
type Discovery struct {
	Issuer           string
	AuthorizationURL string
	TokenURL         string
	KeysURL          string
	UserInfoURL      string
	EndSessionURL    string
	// NamesIssuer is whether its answers say whose they are (RFC 9207 §3).
	NamesIssuer bool
	// BackChannelLogout is whether it tells us when somebody signs out there.
	BackChannelLogout bool
	// Algorithms and AuthMethods are what it signs ID tokens with, and how it knows
	// us; empty where it doesn't say.
	Algorithms, AuthMethods []string

	responseTypes, challenges []string
}

// discover gives what is known of an issuer, and asks if need be.
func (c *Client) discover(ctx context.Context, issuer string) (Discovery, error) {
	return c.discovered.find(ctx, issuer,
		func(Discovery) bool { return true },
		func(ctx context.Context) (Discovery, error) { return c.readDiscovery(ctx, issuer) })
}

func (c *Client) readDiscovery(ctx context.Context, issuer string) (Discovery, error) {
	if err := c.egress.CheckURL(issuer); err != nil {
		return Discovery{}, refuse("settings", "issuer: %w", err)
	}
	data, err := c.egress.getJSON(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return Discovery{}, unavailable("discovery", err)
	}
	d, err := readDiscovery(data, issuer, c.egress.CheckURL)
	if err != nil {
		return Discovery{}, refuse("discovery", "discovery: %w", err)
	}
	return d, nil
}

// readDiscovery reads a discovery document, and refuses one that speaks for
// another issuer (§4.3) or leads where checkURL lets nobody go.
func readDiscovery(data []byte, issuer string, checkURL func(string) error) (d Discovery, err error) {
	names, err := object(data)
	if err != nil {
		return Discovery{}, err
	}
	if d.Issuer, err = names.text("issuer"); err != nil {
		return Discovery{}, err
	}
	if d.Issuer != issuer {
		return Discovery{}, fmt.Errorf("the document is that of issuer %.200q", d.Issuer)
	}
	for name, to := range map[string]*string{
		"authorization_endpoint": &d.AuthorizationURL,
		"token_endpoint":         &d.TokenURL,
		"jwks_uri":               &d.KeysURL,
		"userinfo_endpoint":      &d.UserInfoURL,
		"end_session_endpoint":   &d.EndSessionURL,
	} {
		if !names.has(name) {
			continue
		}
		if *to, err = names.text(name); err == nil {
			err = checkURL(*to)
		}
		if err != nil {
			return Discovery{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	if d.KeysURL == "" {
		return Discovery{}, errors.New("no jwks_uri")
	}
	for name, to := range map[string]*[]string{
		"id_token_signing_alg_values_supported": &d.Algorithms,
		"token_endpoint_auth_methods_supported": &d.AuthMethods,
		"response_types_supported":              &d.responseTypes,
		"code_challenge_methods_supported":      &d.challenges,
	} {
		if *to, err = names.strings(name); err != nil {
			return Discovery{}, err
		}
	}
	for name, to := range map[string]*bool{
		"authorization_response_iss_parameter_supported": &d.NamesIssuer,
		"backchannel_logout_supported":                   &d.BackChannelLogout,
	} {
		if *to, err = names.flag(name); err != nil {
			return Discovery{}, err
		}
	}
	return d, nil
}

// forSignIn gives the discovery of a provider, if one can sign in there as it is
// set up.
func (c *Client) forSignIn(ctx context.Context, p Provider) (Discovery, error) {
	if err := p.check(); err != nil {
		return Discovery{}, refuse("settings", "%w", err)
	}
	d, err := c.discover(ctx, p.Issuer)
	if err != nil {
		return Discovery{}, err
	}
	if err := d.signsIn(p); err != nil {
		return Discovery{}, refuse("discovery", "discovery: %w", err)
	}
	return d, nil
}

// signsIn says why one can't sign in at a provider: what it lacks, or what it says
// that it doesn't do. Nothing said is nothing against.
func (d Discovery) signsIn(p Provider) error {
	lacks := func(said []string, want string) bool { return len(said) > 0 && !slices.Contains(said, want) }
	switch {
	case d.AuthorizationURL == "":
		return errors.New("no authorization_endpoint")
	case d.TokenURL == "":
		return errors.New("no token_endpoint")
	case p.UserInfo && d.UserInfoURL == "":
		return errors.New("no userinfo_endpoint, and the connection asks for it")
	case lacks(d.responseTypes, "code"):
		return errors.New("the provider doesn't do the code flow")
	case lacks(d.challenges, "S256"):
		return errors.New("the provider doesn't do PKCE with S256 (RFC 7636)")
	}
	u, err := url.Parse(d.AuthorizationURL)
	if err != nil {
		return err
	}
	for name := range u.Query() {
		if slices.Contains(requestNames, name) {
			return fmt.Errorf("authorization_endpoint already says %s", name)
		}
	}
	return nil
}

// requestNames are the parameters of our requests: an address that has one already
// would leave it to the provider which of the two counts.
var requestNames = []string{"response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce",
	"code_challenge", "code_challenge_method", "login_hint", "prompt", "max_age", "request", "request_uri"}

// Check asks a provider anew for its discovery document and its keys, and says
// what stands in the way of signing in there. It is for the page that sets a
// connection up, and remembers nothing.
func (c *Client) Check(ctx context.Context, p Provider) (Discovery, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	if err := p.check(); err != nil {
		return Discovery{}, refuse("settings", "%w", err)
	}
	d, err := c.readDiscovery(ctx, p.Issuer)
	if err != nil {
		return Discovery{}, err
	}
	if err := d.signsIn(p); err != nil {
		return d, refuse("discovery", "discovery: %w", err)
	}
	if len(d.AuthMethods) > 0 && !slices.Contains(d.AuthMethods, p.Auth.String()) {
		return d, refuse("discovery", "the provider takes %q, not %s", d.AuthMethods, p.Auth)
	}
	keys, err := c.readKeys(ctx, d.KeysURL)
	if err != nil {
		return d, err
	}
	for _, algorithm := range p.algorithms() {
		announced := len(d.Algorithms) == 0 || slices.Contains(d.Algorithms, string(algorithm))
		if announced && slices.ContainsFunc(keys, func(k signingKey) bool { return k.fits(algorithm, "") }) {
			return d, nil
		}
	}
	return d, refuse("key", "the provider has no signing key for any of %v; it announces %q", p.algorithms(), d.Algorithms)
}
