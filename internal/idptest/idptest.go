// Package idptest is an identity provider for tests: an honest one, that checks
// what it is shown as strictly as the standards allow, until a case makes it say
// something else. Hostile, Good and the lists beside them are such cases. They are
// run against package oidc, and again through the server's own pages.
//
//	op := idptest.New(t)
//	c.Arrange(op)
//	answer, err := op.Visit(address) // a browser that was sent there
//	…
//	op.Calls() // what it was asked, in order
package idptest

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Keys take a while to make; each test process makes them once. EC is P-256.
var (
	RSA      = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	OtherRSA = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	WeakRSA  = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 1024)) })
	EC       = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	Ed       = sync.OnceValue(func() ed25519.PrivateKey { _, key, err := ed25519.GenerateKey(rand.Reader); return must(key, err) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Call is a question that the provider was asked.
type Call string

// The questions there are, in the order of a sign-in. Authorize is asked by
// browsers, all others by us.
const (
	Discovery Call = "discovery"
	Authorize Call = "authorize"
	Token     Call = "token"
	Keys      Call = "keys"
	UserInfo  Call = "userinfo"
	// Elsewhere is every other address: nobody has business there.
	Elsewhere Call = "elsewhere"
)

// OP is an identity provider on this machine. Fields are set before it is asked,
// and not while.
type OP struct {
	// URL is the issuer.
	URL string
	// ClientID and ClientSecret are how it knows the client; with ClientKey, it takes
	// assertions signed by that (private_key_jwt) and no secret.
	ClientID, ClientSecret string
	ClientKey              crypto.PublicKey
	// Subject is who signs in; Claims are what is said of them in ID tokens, beside
	// what must be said.
	Subject string
	Claims  map[string]any
	// SessionID is their session there.
	SessionID string
	// Now is its clock.
	Now func() time.Time
	// Signer signs, KeyID and Algorithm are what the header says of it.
	Signer           crypto.Signer
	KeyID, Algorithm string
	// Published are the keys of its set: jose.JSONWebKey, or anything as JSON.
	Published []any
	// Lies are what a case makes it say.
	Lies Lies

	t     testing.TB
	mu    sync.Mutex
	calls []Call
	codes map[string]grant
}

// Lies change what an honest provider would say. Each gets the honest thing; nil
// leaves it.
type Lies struct {
	Discovery   func(map[string]any)
	Answer      func(url.Values) // the browser's way back
	TokenAnswer func(map[string]any)
	UserInfo    func(map[string]any)
	// Header, Payload and Sign are of every token; PayloadText is what is written,
	// after Payload. JWT changes the whole.
	Header      func(map[string]any)
	Payload     func(map[string]any)
	PayloadText func(string) string
	HeaderText  func(string) string
	Sign        func(input []byte) []byte
	JWT         func(string) string
	// SignUserInfo sends userinfo as a token, to which the lies about tokens apply,
	// and not to ID tokens.
	SignUserInfo bool
	// Reply answers a question instead of it, and reports whether it did.
	Reply func(asked Call, w http.ResponseWriter, r *http.Request) bool
	// Text changes the JSON of an answer as it is written.
	Text func(asked Call, body string) string
	// Before happens before a question is answered.
	Before func(asked Call)
}

// grant is what a code stands for.
type grant struct {
	redirect, challenge, nonce string
	authTime                   bool
}

// New starts a provider, which ends with the test.
func New(t testing.TB) *OP {
	t.Helper()
	op := &OP{
		ClientID: "gatehouse", ClientSecret: "s3cret/with+odd:signs & blanks%", Subject: "248289761001", SessionID: "op-session-1",
		Now: time.Now, Signer: RSA(), KeyID: "k1", Algorithm: "RS256", t: t, codes: map[string]grant{},
		Claims: map[string]any{"preferred_username": "ada@corp.example", "name": "Ada Lovelace", "email": "ada@corp.example"},
	}
	op.Published = []any{PublicKey("k1", "sig", RSA())}
	server := httptest.NewServer(op)
	t.Cleanup(server.Close)
	op.URL = server.URL
	return op
}

// Crowd starts a provider of many people: whoever is named by login_hint signs in, by
// that subject.
func Crowd(t testing.TB) *OP {
	t.Helper()
	op := New(t)
	op.Claims = nil
	var who sync.Map // by nonce
	op.Lies.Reply = func(asked Call, _ http.ResponseWriter, r *http.Request) bool {
		if asked == Authorize {
			who.Store(r.URL.Query().Get("nonce"), r.URL.Query().Get("login_hint"))
		}
		return false
	}
	op.Lies.Payload = func(c map[string]any) {
		c["sub"], _ = who.Load(c["nonce"])
		c["sid"] = fmt.Sprint("session of ", c["sub"])
	}
	return op
}

// PublicKey is a key as it is published.
func PublicKey(id, use string, key crypto.Signer) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key.Public(), KeyID: id, Use: use}
}

// SignWith makes the provider sign with a key, and publish it alone.
func (op *OP) SignWith(algorithm string, key crypto.Signer) {
	op.Algorithm, op.Signer, op.KeyID = algorithm, key, "k1"
	op.Published = []any{PublicKey("k1", "sig", key)}
}

// Calls are the questions asked until now, but for those of browsers.
func (op *OP) Calls() []Call {
	op.mu.Lock()
	defer op.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(op.calls), func(c Call) bool { return c == Authorize })
}

// Forget makes Calls begin anew.
func (op *OP) Forget() {
	op.mu.Lock()
	defer op.mu.Unlock()
	op.calls = nil
}

var paths = map[string]Call{
	"/.well-known/openid-configuration": Discovery,
	"/authorize":                        Authorize,
	"/token":                            Token,
	"/keys":                             Keys,
	"/userinfo":                         UserInfo,
}

// ServeHTTP answers browsers and clients.
func (op *OP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked, known := paths[r.URL.Path]
	if !known {
		asked = Elsewhere
	}
	op.mu.Lock()
	op.calls = append(op.calls, asked)
	op.mu.Unlock()
	if op.Lies.Before != nil {
		op.Lies.Before(asked)
	}
	if op.Lies.Reply != nil && op.Lies.Reply(asked, w, r) {
		return
	}
	switch asked {
	case Discovery:
		op.write(w, asked, http.StatusOK, op.discovery())
	case Keys:
		op.write(w, asked, http.StatusOK, map[string]any{"keys": op.Published})
	case Authorize:
		op.authorize(w, r)
	case Token:
		op.token(w, r)
	case UserInfo:
		op.userInfo(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (op *OP) write(w http.ResponseWriter, asked Call, status int, body map[string]any) {
	text := string(must(json.Marshal(body)))
	if op.Lies.Text != nil {
		text = op.Lies.Text(asked, text)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, text)
}

func (op *OP) discovery() map[string]any {
	d := map[string]any{
		"issuer": op.URL, "authorization_endpoint": op.URL + "/authorize", "token_endpoint": op.URL + "/token",
		"jwks_uri": op.URL + "/keys", "userinfo_endpoint": op.URL + "/userinfo", "end_session_endpoint": op.URL + "/logout",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": []string{op.Algorithm},
		"code_challenge_methods_supported":      []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "private_key_jwt"},
		"backchannel_logout_supported":          true,
	}
	if op.Lies.Discovery != nil {
		op.Lies.Discovery(d)
	}
	return d
}

// authorize signs the one person in at once, if the request is as it should be.
func (op *OP) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	for name, values := range q {
		if len(values) != 1 {
			http.Error(w, name+" is there twice", http.StatusBadRequest)
			return
		}
	}
	switch {
	case q.Get("client_id") != op.ClientID:
		http.Error(w, "unknown client", http.StatusBadRequest)
	case q.Get("redirect_uri") == "":
		http.Error(w, "no redirect_uri", http.StatusBadRequest)
	case q.Get("response_type") != "code", !slices.Contains(strings.Fields(q.Get("scope")), "openid"):
		http.Error(w, "want the code flow of OpenID Connect", http.StatusBadRequest)
	case q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43:
		http.Error(w, "want PKCE with S256", http.StatusBadRequest)
	case len(q.Get("state")) < 43 || len(q.Get("nonce")) < 43 || q.Get("state") == q.Get("nonce"):
		http.Error(w, "want a state and a nonce of 256 bits", http.StatusBadRequest)
	default:
		code := rand.Text()
		op.mu.Lock()
		op.codes[code] = grant{q.Get("redirect_uri"), q.Get("code_challenge"), q.Get("nonce"), q.Has("max_age")}
		op.mu.Unlock()
		answer := url.Values{"code": {code}, "state": {q.Get("state")}}
		if named, _ := op.discovery()["authorization_response_iss_parameter_supported"].(bool); named {
			answer.Set("iss", op.URL)
		}
		if op.Lies.Answer != nil {
			op.Lies.Answer(answer)
		}
		http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusSeeOther)
	}
}

// Visit goes where a browser is sent, and gives what it brings back.
func (op *OP) Visit(address string) (url.Values, error) {
	browser := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	page, err := browser.Get(address)
	if err != nil {
		return nil, err
	}
	defer page.Body.Close()
	if page.StatusCode != http.StatusSeeOther {
		text, _ := io.ReadAll(page.Body)
		return nil, fmt.Errorf("the provider answered %s: %s", page.Status, text)
	}
	back, err := page.Location()
	if err != nil {
		return nil, err
	}
	return back.Query(), nil
}

// token exchanges a code, once, with whom it was made for.
func (op *OP) token(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, code string, err error) {
		op.t.Logf("idptest: token refused: %v", err)
		op.write(w, Token, status, map[string]any{"error": code})
	}
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
		fail(http.StatusBadRequest, "invalid_request", errors.New("want a form by POST"))
		return
	}
	if err := op.knows(r); err != nil {
		fail(http.StatusUnauthorized, "invalid_client", err)
		return
	}
	op.mu.Lock()
	g, known := op.codes[r.PostForm.Get("code")]
	delete(op.codes, r.PostForm.Get("code"))
	op.mu.Unlock()
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	switch {
	case r.PostForm.Get("grant_type") != "authorization_code":
		fail(http.StatusBadRequest, "unsupported_grant_type", errors.New("want a code"))
		return
	case !known:
		fail(http.StatusBadRequest, "invalid_grant", errors.New("no such code, or used before"))
		return
	case base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge:
		fail(http.StatusBadRequest, "invalid_grant", errors.New("the verifier is another's"))
		return
	case r.PostForm.Get("redirect_uri") != g.redirect:
		fail(http.StatusBadRequest, "invalid_grant", errors.New("another redirect_uri"))
		return
	}
	access := rand.Text()
	said := map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": 3600, "scope": "openid",
		"id_token": op.IDToken(g.nonce, access, g.authTime),
	}
	if op.Lies.TokenAnswer != nil {
		op.Lies.TokenAnswer(said)
	}
	op.write(w, Token, http.StatusOK, said)
}

// knows checks who asks: exactly one way, and the one that was agreed.
func (op *OP) knows(r *http.Request) error {
	assertion := r.PostForm.Get("client_assertion")
	id, secret, basic := r.BasicAuth()
	switch {
	case r.PostForm.Has("client_secret"):
		return errors.New("the secret is in the form")
	case op.ClientKey == nil && (!basic || assertion != ""):
		return errors.New("want client_secret_basic, and nothing beside it")
	case op.ClientKey == nil:
		id, err := url.QueryUnescape(id)
		if err != nil {
			return err
		}
		if secret, err = url.QueryUnescape(secret); err != nil || id != op.ClientID || secret != op.ClientSecret {
			return errors.New("client or secret are others")
		}
		return nil
	case basic:
		return errors.New("want private_key_jwt, and nothing beside it")
	case r.PostForm.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer":
		return errors.New("no client_assertion_type")
	}
	t, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA})
	if err != nil {
		return err
	}
	var c jwt.Claims
	if err := t.Claims(op.ClientKey, &c); err != nil {
		return err
	}
	if c.ID == "" || c.Expiry == nil || c.Expiry.Time().Sub(op.Now()) > time.Minute || len(c.Audience) != 1 {
		return errors.New("want a jti, an end within a minute and one audience")
	}
	return c.Validate(jwt.Expected{Issuer: op.ClientID, Subject: op.ClientID, AnyAudience: jwt.Audience{op.URL}, Time: op.Now()})
}

func (op *OP) userInfo(w http.ResponseWriter, r *http.Request) {
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); scheme != "Bearer" || token == "" || r.URL.RawQuery != "" {
		w.Header().Set("WWW-Authenticate", "Bearer")
		op.write(w, UserInfo, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
		return
	}
	said := map[string]any{"sub": op.Subject, "name": "Ada Lovelace", "locale": "nl", "department": "Engines"}
	if op.Lies.UserInfo != nil {
		op.Lies.UserInfo(said)
	}
	if !op.Lies.SignUserInfo {
		op.write(w, UserInfo, http.StatusOK, said)
		return
	}
	said["iss"], said["aud"] = op.URL, op.ClientID
	w.Header().Set("Content-Type", "application/jwt")
	io.WriteString(w, op.sign("JWT", said, true))
}

// IDToken is what the provider says of its person to a sign-in.
func (op *OP) IDToken(nonce, accessToken string, authTime bool) string {
	now := op.Now().Unix()
	c := map[string]any{
		"iss": op.URL, "sub": op.Subject, "aud": op.ClientID, "exp": now + 300, "iat": now, "nonce": nonce,
		"at_hash": op.hash(accessToken), "sid": op.SessionID,
	}
	if authTime {
		c["auth_time"] = now
	}
	for name, value := range op.Claims {
		c[name] = value
	}
	return op.sign("JWT", c, !op.Lies.SignUserInfo)
}

// LogoutToken says that the person signed out there (OpenID Connect Back-Channel
// Logout 1.0 §2.4).
func (op *OP) LogoutToken() string {
	now := op.Now().Unix()
	return op.sign("logout+jwt", map[string]any{
		"iss": op.URL, "aud": op.ClientID, "iat": now, "exp": now + 120, "jti": rand.Text(), "sub": op.Subject, "sid": op.SessionID,
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}, true)
}

// RevocationToken is what the provider shows at audience to have sessions ended, as
// Okta does.
func (op *OP) RevocationToken(audience string) string {
	now := op.Now().Unix()
	return op.sign("global-token-revocation+jwt", map[string]any{
		"iss": op.URL, "sub": op.ClientID, "aud": audience, "iat": now, "nbf": now - 300, "exp": now + 300, "jti": rand.Text(),
	}, true)
}

// hash is at_hash (OpenID Connect Core 1.0 §3.1.3.6).
func (op *OP) hash(accessToken string) string {
	var sum []byte
	switch {
	case strings.HasSuffix(op.Algorithm, "256"):
		s := sha256.Sum256([]byte(accessToken))
		sum = s[:]
	case strings.HasSuffix(op.Algorithm, "384"):
		s := sha512.Sum384([]byte(accessToken))
		sum = s[:]
	default:
		s := sha512.Sum512([]byte(accessToken))
		sum = s[:]
	}
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// sign writes a token, honest or not.
func (op *OP) sign(typ string, payload map[string]any, lie bool) string {
	header := map[string]any{"alg": op.Algorithm, "kid": op.KeyID, "typ": typ}
	lies := Lies{}
	if lie {
		lies = op.Lies
	}
	if lies.Header != nil {
		lies.Header(header)
	}
	if lies.Payload != nil {
		lies.Payload(payload)
	}
	part := func(v map[string]any, change func(string) string) string {
		text := string(must(json.Marshal(v)))
		if change != nil {
			text = change(text)
		}
		return base64.RawURLEncoding.EncodeToString([]byte(text))
	}
	input := []byte(part(header, lies.HeaderText) + "." + part(payload, lies.PayloadText))
	sign := lies.Sign
	if sign == nil {
		sign = func(input []byte) []byte { return Sign(op.Algorithm, op.Signer, input) }
	}
	whole := string(input) + "." + base64.RawURLEncoding.EncodeToString(sign(input))
	if lies.JWT != nil {
		whole = lies.JWT(whole)
	}
	return whole
}

// Sign makes the signature of a token (RFC 7515), by any of the algorithms with a
// private key.
func Sign(algorithm string, key crypto.Signer, input []byte) []byte {
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[algorithm[2:]]
	digest := input
	if hash != 0 {
		h := hash.New()
		h.Write(input)
		digest = h.Sum(nil)
	}
	switch key := key.(type) {
	case *rsa.PrivateKey:
		if strings.HasPrefix(algorithm, "PS") {
			return must(rsa.SignPSS(rand.Reader, key, hash, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}))
		}
		return must(rsa.SignPKCS1v15(rand.Reader, key, hash, digest))
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest)
		if err != nil {
			panic(err)
		}
		size := (key.Curve.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
	return must(key.Sign(rand.Reader, input, crypto.Hash(0)))
}

// withPublicKeyAsPassword signs as those hope who know only what is public.
func withPublicKeyAsPassword(input []byte) []byte {
	h := hmac.New(sha256.New, x509.MarshalPKCS1PublicKey(&RSA().PublicKey))
	h.Write(input)
	return h.Sum(nil)
}

// jsonOf is a key as a JSON object, to be changed.
func jsonOf(key any) (names map[string]any) {
	d := json.NewDecoder(bytes.NewReader(must(json.Marshal(key))))
	if err := d.Decode(&names); err != nil {
		panic(err)
	}
	return names
}
