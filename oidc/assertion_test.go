package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Keys take a while to make; each test process makes them once.
var (
	goodKey  = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	otherKey = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })
	weakKey  = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(1024) })
)

func newRSA(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

// issuer is an identity provider on this machine. It counts what it is asked.
type issuer struct {
	*httptest.Server
	mu        sync.Mutex
	keys      []any
	discovery map[string]any
	asked     map[string]int
	down      bool
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{asked: map[string]int{}}
	i.Server = httptest.NewServer(http.HandlerFunc(i.serve))
	t.Cleanup(i.Close)
	i.keys = []any{jwk("k1", "sig", &goodKey().PublicKey)}
	i.discovery = map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"}
	return i
}

func (i *issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked[r.URL.Path]++
	if i.down {
		http.Error(w, "down", http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		json.NewEncoder(w).Encode(i.discovery)
	case "/keys":
		json.NewEncoder(w).Encode(map[string]any{"keys": i.keys})
	case "/moved":
		http.Redirect(w, r, "/keys", http.StatusFound)
	case "/html":
		w.Header().Set("Content-Type", "text/html")
		json.NewEncoder(w).Encode(map[string]any{"keys": i.keys})
	case "/huge":
		fmt.Fprintf(w, `{"keys":[],"x":"%s"}`, strings.Repeat("x", egressMaxBody))
	default:
		http.NotFound(w, r)
	}
}

func (i *issuer) set(f func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f()
}

// calls is how often the issuer was asked for anything.
func (i *issuer) calls() (n int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, c := range i.asked {
		n += c
	}
	return n
}

func jwk(id, use string, key any) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key, KeyID: id, Use: use}
}

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// bench is an issuer, what is pinned of it, and a client.
type bench struct {
	*issuer
	clock *clock
	want  Pinned
	c     *Client
}

func newBench(t *testing.T) *bench {
	b := &bench{issuer: newIssuer(t), clock: newClock()}
	b.want = Pinned{Issuer: b.URL, Subject: "sync-fabric", Audience: "api://gatehouse", EntraTenant: "acme"}
	b.c = NewClient(NewEgress(true), b.clock.Now)
	return b
}

// claims are those of a good assertion, as Microsoft prints them.
func (b *bench) claims() map[string]any {
	now := b.clock.Now().Add(-5 * time.Minute).Unix()
	return map[string]any{
		"aud": b.want.Audience, "iss": b.want.Issuer, "iat": now, "nbf": now, "exp": now + 3900,
		"appid": "gatehouse", "appidacr": "2", "idp": b.want.Issuer, "oid": "workload",
		"sub": b.want.Subject, "tid": b.want.EntraTenant, "ver": "2.0", "jti": "a-1",
	}
}

func entraHeader() map[string]any {
	return map[string]any{"alg": "RS256", "typ": "JWT", "kid": "k1"}
}

// seal signs header and payload as they are, also when they are nonsense.
func seal(header, payload any, sign func(input []byte) []byte) string {
	part := func(v any) string {
		text, raw := v.(string)
		if !raw {
			data, err := json.Marshal(v)
			if err != nil {
				panic(err)
			}
			text = string(data)
		}
		return base64.RawURLEncoding.EncodeToString([]byte(text))
	}
	input := part(header) + "." + part(payload)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(input)))
}

func rs256(key *rsa.PrivateKey) func([]byte) []byte {
	return func(input []byte) []byte {
		sum := sha256.Sum256(input)
		s, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		if err != nil {
			panic(err)
		}
		return s
	}
}

func TestGoodAssertions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		why    string
		header func(map[string]any)
		claims func(b *bench, c map[string]any)
		issuer func(b *bench)
		id     string
	}{
		{why: "as Entra sends it", id: "a-1"},
		{why: "without an id", claims: func(_ *bench, c map[string]any) { delete(c, "jti") }},
		{why: "aud as a list of one", id: "a-1", claims: func(_ *bench, c map[string]any) { c["aud"] = []string{"api://gatehouse"} }},
		{why: "without nbf", id: "a-1", claims: func(_ *bench, c map[string]any) { delete(c, "nbf") }},
		{why: "times with fractions", id: "a-1", claims: func(b *bench, c map[string]any) { c["iat"] = float64(b.clock.Now().Unix()) - 0.25 }},
		{why: "an issuer's clock a little ahead", id: "a-1", claims: func(b *bench, c map[string]any) {
			c["iat"], c["nbf"] = b.clock.Now().Unix()+110, b.clock.Now().Unix()+110
		}},
		{why: "ended a little while ago", id: "a-1", claims: func(b *bench, c map[string]any) { c["exp"] = b.clock.Now().Unix() - 110 }},
		{why: "without typ", id: "a-1", header: func(h map[string]any) { delete(h, "typ") }},
		{why: "typ in small letters", id: "a-1", header: func(h map[string]any) { h["typ"] = "jwt" }},
		{why: "typ of client authentication", id: "a-1", header: func(h map[string]any) { h["typ"] = "client-authentication+jwt" }},
		{why: "without kid", id: "a-1", header: func(h map[string]any) { delete(h, "kid") }},
		{why: "an unknown header is nobody's business", id: "a-1", header: func(h map[string]any) { h["x5t"] = "abc"; h["nonce"] = "n" }},
		{why: "an issuer without tid", id: "a-1", claims: func(_ *bench, c map[string]any) { delete(c, "tid") }, issuer: func(b *bench) { b.want.EntraTenant = "" }},
		{why: "keys at a known address", id: "a-1", issuer: func(b *bench) { b.want.KeysURL = b.URL + "/keys"; b.discovery = nil }},
		{why: "a key without use", id: "a-1", issuer: func(b *bench) { b.keys = []any{jwk("k1", "", &goodKey().PublicKey)} }},
		{why: "among keys for other things", id: "a-1", issuer: func(b *bench) {
			ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				panic(err)
			}
			b.keys = append([]any{map[string]any{"kty": "novel"}, 7, jwk("k1", "enc", &otherKey().PublicKey), jwk("k1", "sig", &ec.PublicKey)}, b.keys...)
		}},
	} {
		t.Run(test.why, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			header, claims := entraHeader(), b.claims()
			if test.issuer != nil {
				b.set(func() { test.issuer(b) })
			}
			if test.header != nil {
				test.header(header)
			}
			if test.claims != nil {
				test.claims(b, claims)
			}
			got, err := b.c.VerifyAssertion(t.Context(), b.want, seal(header, claims, rs256(goodKey())))
			if err != nil || got.ID != test.id {
				t.Errorf("got %+v, %v, want id %q", got, err, test.id)
			}
		})
	}
}

// bad is an assertion that must be refused; one is made from a good one.
type bad struct {
	why    string
	says   string // in the error
	header func(map[string]any)
	claims func(b *bench, c map[string]any)
	// jwt makes the whole of it.
	jwt    func(b *bench) string
	sign   func(input []byte) []byte
	issuer func(b *bench)
	// asks is true when only the issuer's keys can tell.
	asks bool
}

func claim(name string, value any) func(*bench, map[string]any) {
	return func(_ *bench, c map[string]any) { c[name] = value }
}

func drop(name string) func(*bench, map[string]any) {
	return func(_ *bench, c map[string]any) { delete(c, name) }
}

// at sets a time relative to now, in seconds.
func at(name string, seconds int64) func(*bench, map[string]any) {
	return func(b *bench, c map[string]any) { c[name] = b.clock.Now().Unix() + seconds }
}

func header(name string, value any) func(map[string]any) {
	return func(h map[string]any) { h[name] = value }
}

// text replaces in the JSON of good claims.
func text(old, new string) func(b *bench) string {
	return func(b *bench) string {
		data, err := json.Marshal(b.claims())
		if err != nil || !strings.Contains(string(data), old) {
			panic(fmt.Sprint("no ", old, " in ", string(data)))
		}
		return seal(entraHeader(), strings.Replace(string(data), old, new, 1), rs256(goodKey()))
	}
}

var badAssertions = []bad{
	{why: "another issuer", says: "iss", claims: claim("iss", "https://evil.example")},
	{why: "the issuer with a slash", says: "iss", claims: func(b *bench, c map[string]any) { c["iss"] = b.want.Issuer + "/" }},
	{why: "no issuer", says: "no iss", claims: drop("iss")},
	{why: "the issuer as a list", says: "iss", claims: func(b *bench, c map[string]any) { c["iss"] = []string{b.want.Issuer} }},
	{why: "another subject", says: "sub", claims: claim("sub", "somebody")},
	{why: "the subject in capitals", says: "sub", claims: claim("sub", "SYNC-FABRIC")},
	{why: "no subject", says: "no sub", claims: drop("sub")},
	{why: "an empty subject", says: "sub", claims: claim("sub", "")},
	{why: "no person, null", says: "no sub", claims: claim("sub", nil)},
	{why: "another directory", says: "tid", claims: claim("tid", "globex")},
	{why: "no directory", says: "no tid", claims: drop("tid")},
	{why: "another audience", says: "aud", claims: claim("aud", "api://other")},
	{why: "the audience of an ID token", says: "aud", claims: claim("aud", "gatehouse")},
	{why: "a scope instead of an audience", says: "aud", claims: claim("aud", "api://gatehouse/.default")},
	{why: "two audiences", says: "aud", claims: claim("aud", []string{"api://gatehouse", "api://other"})},
	{why: "the audience twice", says: "aud", claims: claim("aud", []string{"api://gatehouse", "api://gatehouse"})},
	{why: "an audience of nobody", says: "aud", claims: claim("aud", []string{})},
	{why: "no audience", says: "no aud", claims: drop("aud")},
	{why: "the audience as an object", says: "aud", claims: claim("aud", map[string]any{"api://gatehouse": true})},

	{why: "ended", says: "ended", claims: at("exp", -121)},
	{why: "no end", says: "no exp", claims: drop("exp")},
	{why: "the end as text", says: "exp", claims: claim("exp", "2000000000")},
	{why: "an end beyond time", says: "exp", claims: claim("exp", 1e300)},
	{why: "an end before time", says: "exp", claims: claim("exp", -1)},
	{why: "issued in the future", says: "future", claims: at("iat", 130)},
	{why: "not issued", says: "no iat", claims: drop("iat")},
	{why: "starts in the future", says: "future", claims: at("nbf", 130)},
	{why: "a start that is no time", says: "nbf", claims: claim("nbf", true)},
	{why: "lives a day", says: "lives", claims: at("exp", 24*3600)},
	{why: "lives a minute too long", says: "lives", claims: at("exp", 3661)},
	{why: "issued long ago", says: "lives", claims: at("iat", -7200)},
	{why: "ends before it was issued", says: "ends before", claims: func(b *bench, c map[string]any) {
		c["exp"], c["iat"], c["nbf"] = b.clock.Now().Unix()-60, b.clock.Now().Unix(), b.clock.Now().Unix()
	}},
	{why: "an id that is no text", says: "jti", claims: claim("jti", 7)},
	{why: "an empty id", says: "jti", claims: claim("jti", "")},
	{why: "an id of null", says: "jti", claims: claim("jti", nil)},

	{why: "an ID token", says: "nonce", claims: claim("nonce", "n-1")},
	{why: "an ID token beside an access token", says: "at_hash", claims: claim("at_hash", "x")},
	{why: "a logout token", says: "events", claims: claim("events", map[string]any{})},
	{why: "an access token by typ", says: "typ", header: header("typ", "at+jwt")},
	{why: "a logout token by typ", says: "typ", header: header("typ", "logout+jwt")},
	{why: "typ that is no text", says: "typ", header: header("typ", 1)},

	{why: "a claim twice", says: "twice", jwt: text(`"sub":"sync-fabric"`, `"sub":"somebody","sub":"sync-fabric"`)},
	{why: "a claim twice, the good one first", says: "twice", jwt: text(`"sub":"sync-fabric"`, `"sub":"sync-fabric","sub":"somebody"`)},
	{why: "a claim twice by escape", says: "twice", jwt: text(`"sub":`, `"s\u0075b":"somebody","sub":`)},
	{why: "a claim in another case beside it", says: "twice", jwt: text(`"sub":`, `"SUB":"somebody","sub":`)},
	{why: "a look-alike letter", says: "twice", jwt: text(`"sub":`, `"ſub":"somebody","sub":`)},
	{why: "a claim in another case alone", says: "looks like", jwt: text(`"nbf":`, `"Nbf":`)},
	{why: "an id in another case", says: "looks like", jwt: text(`"jti":`, `"JTI":`)},
	{why: "a header twice", says: "header", jwt: func(b *bench) string {
		return seal(`{"alg":"RS256","kid":"k1","typ":"JWT","typ":"JWT"}`, b.claims(), rs256(goodKey()))
	}},
	{why: "a header in another case beside it", says: "header", jwt: func(b *bench) string {
		return seal(`{"alg":"RS256","kid":"k1","KID":"k2"}`, b.claims(), rs256(goodKey()))
	}},
	{why: "claims that are a list", says: "claims", jwt: func(*bench) string { return seal(entraHeader(), "[]", rs256(goodKey())) }},
	{why: "claims that are nothing", says: "claims", jwt: func(*bench) string { return seal(entraHeader(), "", rs256(goodKey())) }},
	{why: "something behind the claims", says: "claims", jwt: func(b *bench) string {
		data, _ := json.Marshal(b.claims())
		return seal(entraHeader(), string(data)+"{}", rs256(goodKey()))
	}},
	{why: "very many claims", says: "more than", claims: func(_ *bench, c map[string]any) {
		for i := range 200 {
			c[fmt.Sprint("c", i)] = i
		}
	}},
	{why: "very large", says: "larger", claims: claim("x", strings.Repeat("x", maxAssertion))},

	{why: "not signed", header: header("alg", "none"), sign: func([]byte) []byte { return nil }},
	{why: "signed with the public key as a password", header: header("alg", "HS256"), sign: func(input []byte) []byte {
		h := hmac.New(sha256.New, x509.MarshalPKCS1PublicKey(&goodKey().PublicKey))
		h.Write(input)
		return h.Sum(nil)
	}},
	{why: "another algorithm of the same key", header: header("alg", "RS384")},
	{why: "the algorithm in small letters", header: header("alg", "rs256")},
	{why: "no algorithm", header: header("alg", "")},
	{why: "extensions we don't know", says: "crit", header: func(h map[string]any) { h["crit"], h["x"] = []string{"x"}, 1 }},
	{why: "a payload that is not encoded", says: "b64", header: header("b64", true)},
	{why: "no token", jwt: func(*bench) string { return "x" }},
	{why: "two parts", jwt: func(b *bench) string {
		whole := seal(entraHeader(), b.claims(), rs256(goodKey()))
		return whole[:strings.LastIndex(whole, ".")]
	}},
	{why: "four parts", jwt: func(b *bench) string { return seal(entraHeader(), b.claims(), rs256(goodKey())) + ".x" }},
	{why: "five parts, encrypted", jwt: func(*bench) string { return "eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d" }},
	{why: "as JSON", jwt: func(b *bench) string {
		p := strings.Split(seal(entraHeader(), b.claims(), rs256(goodKey())), ".")
		return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, p[0], p[1], p[2])
	}},
	{why: "encoded with padding", jwt: func(b *bench) string { return seal(entraHeader(), b.claims(), rs256(goodKey())) + "==" }},
	{why: "nothing is pinned", says: "pinned", issuer: func(b *bench) { b.want.Subject = "" }},

	{why: "another key's signature", says: "signature", sign: func(i []byte) []byte { return rs256(otherKey())(i) }, asks: true},
	{why: "a signature of nothing", says: "signature", sign: func([]byte) []byte { return []byte{1} }, asks: true},
	{why: "the signature of other claims", says: "signature", sign: func([]byte) []byte { return rs256(goodKey())([]byte("x.y")) }, asks: true},
	{why: "an unknown key", says: "k2", header: header("kid", "k2"), asks: true},
	{why: "the key it brings along", says: "signature", asks: true, sign: func(i []byte) []byte { return rs256(otherKey())(i) },
		header: func(h map[string]any) { h["jwk"] = jwk("k1", "sig", &otherKey().PublicKey) }},
	{why: "a key at an address that it names", says: "signature", asks: true, sign: func(i []byte) []byte { return rs256(otherKey())(i) },
		header: func(h map[string]any) { h["jku"], h["x5u"] = "https://evil.example/keys", "https://evil.example/cert" }},
	{why: "a key for encryption", says: "no signing key", asks: true,
		issuer: func(b *bench) { b.keys = []any{jwk("k1", "enc", &goodKey().PublicKey)} }},
	{why: "a key for another algorithm", says: "no signing key", asks: true, issuer: func(b *bench) {
		k := jwk("k1", "sig", &goodKey().PublicKey)
		k.Algorithm = "PS256"
		b.keys = []any{k}
	}},
	{why: "a weak key", says: "no signing key", asks: true, sign: func(i []byte) []byte { return rs256(weakKey())(i) },
		issuer: func(b *bench) { b.keys = []any{jwk("k1", "sig", &weakKey().PublicKey)} }},
	{why: "no key", says: "no signing key", asks: true, issuer: func(b *bench) { b.keys = []any{} }},
}

func TestBadAssertions(t *testing.T) {
	t.Parallel()
	if len(badAssertions) < 40 {
		t.Errorf("%d bad assertions, want at least 40", len(badAssertions))
	}
	for _, test := range badAssertions {
		t.Run(test.why, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			good := seal(entraHeader(), b.claims(), rs256(goodKey()))
			h, c := entraHeader(), b.claims()
			if test.header != nil {
				test.header(h)
			}
			if test.claims != nil {
				test.claims(b, c)
			}
			if test.sign == nil {
				test.sign = rs256(goodKey())
			}
			jwt := seal(h, c, test.sign)
			if test.jwt != nil {
				jwt = test.jwt(b)
			}
			if _, err := b.c.VerifyAssertion(t.Context(), b.want, good); test.issuer == nil && err != nil {
				t.Fatalf("the good one: %v", err)
			}
			b.c = NewClient(NewEgress(true), b.clock.Now) // which knows no keys
			if test.issuer != nil {
				b.set(func() { test.issuer(b) })
			}
			before := b.calls()
			got, err := b.c.VerifyAssertion(t.Context(), b.want, jwt)
			if !errors.Is(err, ErrRefused) || !strings.Contains(fmt.Sprint(err), test.says) || got != (Assertion{}) {
				t.Errorf("got %+v, %v, want it refused with %q", got, err, test.says)
			}
			if asked := b.calls() > before; asked != test.asks {
				t.Errorf("the issuer was asked: %v, want %v", asked, test.asks)
			}
		})
	}
}

// good signs a good assertion with the key of that id.
func (b *bench) good(id string, key *rsa.PrivateKey) string {
	h := entraHeader()
	h["kid"] = id
	return seal(h, b.claims(), rs256(key))
}

func (b *bench) verify(ctx context.Context, jwt string) error {
	_, err := b.c.VerifyAssertion(ctx, b.want, jwt)
	return err
}

func TestKeysAreKept(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for range 5 {
		if err := b.verify(t.Context(), b.good("k1", goodKey())); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]int{"/.well-known/openid-configuration": 1, "/keys": 1}
	if b.set(func() {}); !maps.Equal(b.asked, want) {
		t.Errorf("asked %v, want %v", b.asked, want)
	}
}

func TestRotatedKeyIsFetchedOnceAMinute(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.verify(t.Context(), b.good("k1", goodKey())); err != nil {
		t.Fatal(err)
	}
	b.set(func() { b.keys = append(b.keys, jwk("k2", "sig", &otherKey().PublicKey)) })
	before := b.calls()
	if err := b.verify(t.Context(), b.good("k2", otherKey())); err != nil {
		t.Errorf("a new key: %v", err)
	}
	b.set(func() { b.keys = append(b.keys, jwk("k3", "sig", &otherKey().PublicKey)) })
	for _, id := range []string{"k3", "made-up-1", "made-up-2"} {
		if err := b.verify(t.Context(), b.good(id, otherKey())); !errors.Is(err, ErrRefused) {
			t.Errorf("%s within the minute: got %v, want it refused", id, err)
		}
	}
	if got := b.calls() - before; got != 1 {
		t.Errorf("the issuer was called %d times, want 1", got)
	}
	b.clock.advance(refetchPause)
	if err := b.verify(t.Context(), b.good("k3", otherKey())); err != nil {
		t.Errorf("a new key after a minute: %v", err)
	}
}

func TestWithdrawnKeyIsGone(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.verify(t.Context(), b.good("k1", goodKey())); err != nil {
		t.Fatal(err)
	}
	b.set(func() { b.keys = []any{jwk("k2", "sig", &otherKey().PublicKey)} })
	b.clock.advance(answerLife - time.Second)
	if err := b.verify(t.Context(), b.good("k1", goodKey())); err != nil {
		t.Errorf("while the keys are believed: %v", err)
	}
	b.clock.advance(time.Second)
	if err := b.verify(t.Context(), b.good("k1", goodKey())); !errors.Is(err, ErrRefused) {
		t.Errorf("a withdrawn key: got %v, want it refused", err)
	}
}

func TestIssuerDown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.verify(t.Context(), b.good("k1", goodKey())); err != nil {
		t.Fatal(err)
	}
	b.set(func() { b.down = true })
	if err := b.verify(t.Context(), b.good("k1", goodKey())); err != nil {
		t.Errorf("while the keys are believed: %v", err)
	}
	b.clock.advance(answerLife)
	before := b.calls()
	for range 3 {
		if err := b.verify(t.Context(), b.good("k1", goodKey())); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, want %v", err, ErrUnavailable)
		}
	}
	if got := b.calls() - before; got != 1 {
		t.Errorf("an issuer that is down was called %d times, want 1", got)
	}
	b.set(func() { b.down = false })
	b.clock.advance(failurePause)
	if err := b.verify(t.Context(), b.good("k1", goodKey())); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

func TestCallersShareOneAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	jwt := b.good("k1", goodKey())
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := b.verify(t.Context(), jwt); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := b.calls(); got != 2 {
		t.Errorf("the issuer was called %d times, want 2", got)
	}
}

// What an issuer answers is not to be trusted either.
func TestBadIssuers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		why    string
		issuer func(b *bench)
	}{
		{"a document for another issuer", func(b *bench) { b.discovery["issuer"] = "https://evil.example" }},
		{"a document for the issuer with a slash", func(b *bench) { b.discovery["issuer"] = b.URL + "/" }},
		{"a document without an issuer", func(b *bench) { delete(b.discovery, "issuer") }},
		{"a document that says it twice", func(b *bench) { b.discovery["Issuer"] = b.URL }},
		{"a document without keys", func(b *bench) { delete(b.discovery, "jwks_uri") }},
		{"keys at a file", func(b *bench) { b.discovery["jwks_uri"] = "file:///etc/passwd" }},
		{"keys over http elsewhere", func(b *bench) { b.discovery["jwks_uri"] = "http://keys.example/" }},
		{"keys with a password", func(b *bench) {
			b.discovery["jwks_uri"] = strings.Replace(b.URL, "http://", "http://user:password@", 1) + "/keys"
		}},
		{"a redirect", func(b *bench) { b.want.KeysURL = b.URL + "/moved" }},
		{"a page", func(b *bench) { b.want.KeysURL = b.URL + "/html" }},
		{"nothing there", func(b *bench) { b.want.KeysURL = b.URL + "/nothing" }},
		{"more than we read", func(b *bench) { b.want.KeysURL = b.URL + "/huge" }},
		{"very many keys", func(b *bench) { b.keys = slices.Repeat(b.keys, maxKeys+1) }},
	} {
		t.Run(test.why, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.set(func() { test.issuer(b) })
			err := b.verify(t.Context(), b.good("k1", goodKey()))
			if !errors.Is(err, ErrUnavailable) || errors.Is(err, errTooLarge) != (test.why == "more than we read") {
				t.Errorf("got %v, want %v", err, ErrUnavailable)
			}
			if b.asked["/keys"] > 0 && test.why != "very many keys" {
				t.Errorf("asked %v, want the keys never read", b.asked)
			}
		})
	}
}
