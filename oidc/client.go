// Package oidc is the protocol of signing in at an identity provider (OpenID
// Connect Core 1.0, code flow with PKCE), of signing out there and here, and of
// the assertions that a provider shows instead of a secret (RFC 7523). It believes
// nothing that others sign or say before it was checked, and holds the one way out
// to addresses that they name. It knows neither sessions nor the store: what is
// remembered between a beginning and its end is the caller's to keep.
//
//	browser ─► caller ─► Begin ─► Transaction (kept) + address (redirect)
//	browser ─► provider … ─► caller ─► Finish(transaction, answer) ─► Identity, or why not
//	provider ─► caller ─► VerifyLogout | VerifyRevocation | VerifyAssertion
//	                        all by way of: one cache of discovery and keys ─► Egress
//
// Its neighbours below are x/oauth2, go-oidc and go-jose: they make requests and
// check signatures. What they leave open is checked here, before any key is
// fetched.
//
//	client := oidc.NewClient(oidc.NewEgress(false), nil)
//	transaction, address, err := client.Begin(ctx, provider, oidc.BeginOptions{})
//	identity, err := client.Finish(ctx, provider, transaction, r.URL.Query())
package oidc

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

const (
	// patience is for how long somebody waits in front of a browser for what providers
	// say: the page that says that one is down comes within ten seconds.
	patience = 9 * time.Second
	// TransactionLife is how long a sign-in may take, from Begin to Finish.
	TransactionLife = 10 * time.Minute
	// maxCode bounds a code in bytes; those of Entra have about 1,500.
	maxCode = 8 << 10
	// maxHint bounds what a stranger can have us pass on, in bytes.
	maxHint = 256
)

// AuthMethod is how a provider knows us (OpenID Connect Core 1.0 §9).
type AuthMethod int

// The methods that there are.
const (
	ClientSecretBasic AuthMethod = iota
	PrivateKeyJWT
)

// String gives the method's registered name.
func (m AuthMethod) String() string {
	switch m {
	case ClientSecretBasic:
		return "client_secret_basic"
	case PrivateKeyJWT:
		return "private_key_jwt"
	}
	return "unknown"
}

// Provider is an identity provider as a connection sets it up.
type Provider struct {
	Issuer   string
	ClientID string
	Auth     AuthMethod
	// ClientSecret is for ClientSecretBasic.
	ClientSecret string
	// Key is for PrivateKeyJWT: RSA, ECDSA or Ed25519, also one in a machine that
	// doesn't give it away. KeyID is what the provider knows it by.
	Key   crypto.Signer
	KeyID string
	// RedirectURL is where answers come back to, exactly as registered.
	RedirectURL string
	// Scopes are asked for beside openid.
	Scopes []string
	// Algorithms are those that the provider may sign with; RS256 if there are none.
	Algorithms []string
	// UserInfo asks the provider for more claims after each sign-in.
	UserInfo bool
}

func (p Provider) check() error {
	switch {
	case p.Issuer == "" || p.ClientID == "" || p.RedirectURL == "":
		return errors.New("issuer, client id and redirect address are needed")
	case p.Auth == ClientSecretBasic && p.ClientSecret == "":
		return errors.New("client_secret_basic needs a secret")
	case p.Auth == PrivateKeyJWT && p.Key == nil:
		return errors.New("private_key_jwt needs a key")
	case p.Auth.String() == "unknown":
		return errors.New("unknown way to authenticate")
	}
	for _, a := range p.algorithms() {
		if _, known := algorithms[a]; !known {
			return fmt.Errorf("algorithm %q can't be allowed", a)
		}
	}
	return nil
}

func (p Provider) algorithms() []jose.SignatureAlgorithm {
	if len(p.Algorithms) == 0 {
		return []jose.SignatureAlgorithm{jose.RS256}
	}
	var list []jose.SignatureAlgorithm
	for _, a := range p.Algorithms {
		list = append(list, jose.SignatureAlgorithm(a))
	}
	return list
}

// Client speaks with identity providers; it is safe for use by many goroutines.
type Client struct {
	egress     *Egress
	now        func() time.Time
	discovered answers[Discovery]
	keys       answers[[]signingKey]
}

// NewClient makes a client that calls out by way of e. now is the clock, for
// tests; nil means time.Now.
func NewClient(e *Egress, now func() time.Time) *Client {
	if now == nil {
		now = time.Now
	}
	return &Client{egress: e, now: now, discovered: answers[Discovery]{now: now}, keys: answers[[]signingKey]{now: now}}
}

// bounded gives a call its time, for all that it asks together.
func (c *Client) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, patience)
}

// BeginOptions are wishes for one sign-in; the zero value has none.
type BeginOptions struct {
	// LoginHint is who is expected. One that is long or odd is left out: it can be a
	// stranger's, from a link that starts a sign-in.
	LoginHint string
	// Prompt is login, select_account, consent or none. By itself it proves nothing,
	// since it goes through the browser: to have somebody sign in anew, say MaxAge.
	Prompt string
	// MaxAge is how long ago the person may have signed in at the provider, in whole
	// seconds; 0 means any time. Finish checks it.
	MaxAge time.Duration
}

// Transaction is a sign-in that has begun. The caller keeps it on the server, binds
// it to the browser, and uses it once: who knows it can finish the sign-in.
type Transaction struct {
	Issuer, ClientID       string
	State, Nonce, Verifier string
	MaxAge                 time.Duration
	// NamesIssuer is whether the answer must say whose it is (RFC 9207).
	NamesIssuer bool
	StartedAt   time.Time
}

// Begin starts a sign-in, and says where to send the browser. It answers within
// ten seconds.
func (c *Client) Begin(ctx context.Context, p Provider, o BeginOptions) (Transaction, string, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	d, err := c.forSignIn(ctx, p)
	if err != nil {
		return Transaction{}, "", err
	}
	t := Transaction{
		Issuer: p.Issuer, ClientID: p.ClientID, State: secret(), Nonce: secret(), Verifier: oauth2.GenerateVerifier(),
		MaxAge: o.MaxAge, NamesIssuer: d.NamesIssuer, StartedAt: c.now(),
	}
	wishes := []oauth2.AuthCodeOption{goidc.Nonce(t.Nonce), oauth2.S256ChallengeOption(t.Verifier)}
	wish := func(name, value string) { wishes = append(wishes, oauth2.SetAuthURLParam(name, value)) }
	if o.LoginHint != "" && len(o.LoginHint) <= maxHint && printable(o.LoginHint) {
		wish("login_hint", o.LoginHint)
	}
	if o.Prompt != "" {
		wish("prompt", o.Prompt)
	}
	if o.MaxAge > 0 {
		wish("max_age", strconv.Itoa(int(o.MaxAge.Seconds())))
	}
	return t, p.oauth(d).AuthCodeURL(t.State, wishes...), nil
}

// oauth is the provider as x/oauth2 wants it. How we authenticate is said, never
// tried out: a secret is not shown in a second way because the first was refused.
func (p Provider) oauth(d Discovery) *oauth2.Config {
	style := oauth2.AuthStyleInHeader
	if p.Auth == PrivateKeyJWT {
		style = oauth2.AuthStyleInParams
	}
	scopes := []string{goidc.ScopeOpenID}
	for _, s := range p.Scopes {
		if !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.ClientSecret, RedirectURL: p.RedirectURL, Scopes: scopes,
		Endpoint: oauth2.Endpoint{AuthURL: d.AuthorizationURL, TokenURL: d.TokenURL, AuthStyle: style},
	}
}

// secret makes 256 bits that nobody can guess.
func secret() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// Identity is who signed in, by the word of the provider. Issuer and Subject
// together are the identity; nothing else is.
type Identity struct {
	Issuer, Subject string
	// SessionID is the session at the provider (sid); "" when it doesn't say.
	SessionID string
	// AuthTime is when the person signed in there; zero when it doesn't say.
	AuthTime time.Time
	// IDToken is for EndSession.
	IDToken string
	// Claims are those of the ID token, and of userinfo where it has others.
	Claims map[string]json.RawMessage
}

// Text gives a claim that is a text and not empty.
func (i Identity) Text(claim string) (string, bool) {
	s, err := claims(i.Claims).text(claim)
	return s, err == nil
}

// Finish ends a sign-in with the answer that the browser brought, as query or form.
// It answers within ten seconds, and asks nobody anything once it knows a reason to
// refuse. The error is a *Refusal, a *Denial or an ErrUnavailable.
func (c *Client) Finish(ctx context.Context, p Provider, t Transaction, answer url.Values) (Identity, error) {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	code, err := t.read(p, answer, c.now())
	if err != nil {
		return Identity{}, err
	}
	d, err := c.forSignIn(ctx, p)
	if err != nil {
		return Identity{}, err
	}
	said, err := c.exchange(ctx, p, d, code, t.Verifier)
	if err != nil {
		return Identity{}, err
	}
	id, err := c.identify(ctx, p, d, t, said)
	if err != nil {
		return Identity{}, err
	}
	if p.UserInfo {
		if err := c.addUserInfo(ctx, p, d, said.accessToken, &id); err != nil {
			return Identity{}, err
		}
	}
	return id, nil
}

// answerNames are the parameters of an answer that mean something (RFC 6749
// §4.1.2), and those that answer what we never ask.
var answerNames = []string{"state", "iss", "code", "error", "id_token", "access_token", "response"}

// read gives the code of an answer to this sign-in.
func (t Transaction) read(p Provider, answer url.Values, now time.Time) (string, error) {
	for _, name := range answerNames {
		if len(answer[name]) > 1 {
			return "", refuse("answer", "%s is there %d times", name, len(answer[name]))
		}
	}
	if t.State == "" || subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(t.State)) == 0 {
		return "", refuse("state", "state is not the one of this sign-in")
	}
	if t.Issuer != p.Issuer || t.ClientID != p.ClientID {
		return "", refuse("transaction", "the sign-in began at %q as %q, not at %q as %q", t.Issuer, t.ClientID, p.Issuer, p.ClientID)
	}
	// Another replica can have begun it, by its own clock.
	if now.Sub(t.StartedAt) >= TransactionLife || now.Add(leeway).Before(t.StartedAt) {
		return "", refuse("expired", "the sign-in began at %v", t.StartedAt.UTC())
	}
	switch iss, there := answer.Get("iss"), answer.Has("iss"); {
	case there && iss != p.Issuer:
		return "", refuse("answer_iss", "iss is %.200q, want %q", iss, p.Issuer)
	case !there && t.NamesIssuer:
		return "", refuse("answer_iss", "no iss, and the provider announces it (RFC 9207)")
	}
	code, failure := answer.Get("code"), answer.Get("error")
	switch {
	case answer.Has("id_token") || answer.Has("access_token") || answer.Has("response"):
		return "", refuse("answer", "it answers what was not asked")
	case answer.Has("error") && answer.Has("code"):
		return "", refuse("answer", "it has a code, and an error")
	case answer.Has("error") && (failure == "" || len(failure) > 100 || !printable(failure)):
		return "", refuse("answer", "an error that says nothing")
	case answer.Has("error"):
		return "", &Denial{failure}
	case code == "" || len(code) > maxCode || !printable(code):
		return "", refuse("code", "no code, or none that can be one")
	}
	return code, nil
}

// idTokenTypes are what an ID token may say that it is.
var idTokenTypes = []string{"jwt"}

// identify reads the ID token: first what it says, then who signed it.
func (c *Client) identify(ctx context.Context, p Provider, d Discovery, t Transaction, said tokens) (Identity, error) {
	token, err := readToken(said.idToken, maxToken, p.algorithms(), idTokenTypes)
	if err != nil {
		return Identity{}, err
	}
	id, err := token.claims.identity(p, t, c.now())
	if err != nil {
		return Identity{}, err
	}
	keys, err := c.keysFor(ctx, p.Issuer, d.KeysURL, token)
	if err != nil {
		return Identity{}, err
	}
	// go-oidc reads the token a second time and checks the signature. Times are
	// checked above, by our clock and with its leeway.
	verified, err := goidc.NewVerifier(p.Issuer, &goidc.StaticKeySet{PublicKeys: keys}, p.verifierConfig()).Verify(ctx, token.raw)
	if err != nil {
		return Identity{}, refuse("signature", "%w", err)
	}
	if verified.AccessTokenHash != "" {
		if err := verified.VerifyAccessToken(said.accessToken); err != nil {
			return Identity{}, refuse("at_hash", "%w", err)
		}
	}
	id.IDToken = token.raw
	return id, nil
}

func (p Provider) verifierConfig() *goidc.Config {
	config := &goidc.Config{ClientID: p.ClientID, SkipExpiryCheck: true}
	for _, a := range p.algorithms() {
		config.SupportedSigningAlgs = append(config.SupportedSigningAlgs, string(a))
	}
	return config
}

// identity checks what an ID token says (OpenID Connect Core 1.0 §3.1.3.7) for this
// sign-in.
func (c claims) identity(p Provider, t Transaction, now time.Time) (id Identity, err error) {
	if err := c.checkIssuer(p.Issuer); err != nil {
		return Identity{}, err
	}
	if err := c.checkClient(p.ClientID); err != nil {
		return Identity{}, err
	}
	if _, _, err := c.checkTimes(now); err != nil {
		return Identity{}, err
	}
	if nonce, err := c.text("nonce"); err != nil || t.Nonce == "" || nonce != t.Nonce {
		return Identity{}, refuse("nonce", "nonce is not the one of this sign-in")
	}
	if _, there := c["events"]; there {
		return Identity{}, refuse("typ", "with events it is a token for another purpose")
	}
	if _, _, err := c.optional("at_hash"); err != nil {
		return Identity{}, refuse("at_hash", "%w", err)
	}
	id = Identity{Issuer: p.Issuer, Claims: c}
	if id.Subject, err = c.identifier("sub"); err != nil {
		return Identity{}, refuse("sub", "%w", err)
	}
	if _, there := c["sid"]; there {
		if id.SessionID, err = c.identifier("sid"); err != nil {
			return Identity{}, refuse("sid", "%w", err)
		}
	}
	if _, there := c["auth_time"]; there || t.MaxAge > 0 {
		if id.AuthTime, err = c.instant("auth_time"); err != nil {
			return Identity{}, refuse("auth_time", "%w", err)
		}
	}
	if t.MaxAge > 0 && now.Sub(id.AuthTime) > t.MaxAge+leeway || now.Add(leeway).Before(id.AuthTime) {
		return Identity{}, refuse("auth_time", "the person signed in at %v", id.AuthTime.UTC())
	}
	return id, nil
}
