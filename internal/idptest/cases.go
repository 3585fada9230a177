package idptest

import (
	"crypto"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Case is a provider that behaves in one way, and what must come of it. Those whose
// name begins with oidcc-client-test are named after the module of the OpenID
// Foundation's test plans for relying parties that asks the same.
type Case struct {
	Name, Why string
	// Reason is why it is refused, as oidc.Reason says it; "" when it is accepted.
	Reason string
	// Until is the last question that may be asked: what comes after the point of
	// refusal is none of the provider's business.
	Until Call
	// Setup is how the connection is set up.
	Setup Setup
	// Wait is how long the browser takes.
	Wait time.Duration
	// Body is that of a revocation; nil is a good one.
	Body func(op *OP) string
	// Arrange prepares the provider; nil leaves it honest.
	Arrange func(op *OP)
}

// Setup is what a connection can be set to.
type Setup struct {
	Algorithms []string
	UserInfo   bool
	MaxAge     time.Duration
	// Key makes the client authenticate by private_key_jwt.
	Key crypto.Signer
}

// Prepare arranges the provider for the case.
func (c Case) Prepare(op *OP) {
	if c.Arrange != nil {
		c.Arrange(op)
	}
}

// RevocationBody is the body of a revocation of the provider's person.
func (c Case) RevocationBody(op *OP) string {
	if c.Body != nil {
		return c.Body(op)
	}
	return fmt.Sprintf(`{"sub_id":{"format":"iss_sub","iss":%q,"sub":%q}}`, op.URL, op.Subject)
}

// What cases are made of.
type arrange = func(op *OP)

func payload(name string, value any) arrange {
	return func(op *OP) { op.Lies.Payload = func(c map[string]any) { c[name] = value } }
}

func without(name string) arrange {
	return func(op *OP) { op.Lies.Payload = func(c map[string]any) { delete(c, name) } }
}

// at sets a time of the payload, in seconds from now.
func at(name string, seconds int64) arrange {
	return func(op *OP) { op.Lies.Payload = func(c map[string]any) { c[name] = op.Now().Unix() + seconds } }
}

func header(name string, value any) arrange {
	return func(op *OP) { op.Lies.Header = func(h map[string]any) { h[name] = value } }
}

// text replaces in the payload as it is written. The old text must be there.
func text(old, new string) arrange {
	return func(op *OP) { op.Lies.PayloadText = replace(old, new) }
}

func replace(old, new string) func(string) string {
	return func(s string) string {
		if !strings.Contains(s, old) {
			panic(old + " is not in " + s)
		}
		return strings.Replace(s, old, new, 1)
	}
}

func whole(f func(string) string) arrange { return func(op *OP) { op.Lies.JWT = f } }

func signed(sign func([]byte) []byte) arrange { return func(op *OP) { op.Lies.Sign = sign } }

func both(list ...arrange) arrange {
	return func(op *OP) {
		for _, f := range list {
			f(op)
		}
	}
}

func byOther(input []byte) []byte { return Sign("RS256", OtherRSA(), input) }

func published(keys ...any) arrange { return func(op *OP) { op.Published = keys } }

// changedKey publishes the right key with something different about it.
func changedKey(name string, value any) arrange {
	return func(op *OP) {
		key := jsonOf(op.Published[0])
		key[name] = value
		op.Published = []any{key}
	}
}

func answer(f func(url.Values)) arrange { return func(op *OP) { op.Lies.Answer = f } }

func says(name string, value any) arrange {
	return func(op *OP) { op.Lies.Discovery = func(d map[string]any) { d[name] = value } }
}

func silent(name string) arrange {
	return func(op *OP) { op.Lies.Discovery = func(d map[string]any) { delete(d, name) } }
}

func tokenAnswer(name string, value any) arrange {
	return func(op *OP) { op.Lies.TokenAnswer = func(a map[string]any) { a[name] = value } }
}

func userInfo(name string, value any) arrange {
	return func(op *OP) { op.Lies.UserInfo = func(a map[string]any) { a[name] = value } }
}

// body changes the JSON of one answer.
func body(of Call, change func(string) string) arrange {
	return func(op *OP) {
		op.Lies.Text = func(asked Call, body string) string {
			if asked == of {
				return change(body)
			}
			return body
		}
	}
}

// reply answers one question with a status, a type and a text.
func reply(to Call, status int, media, text string) arrange {
	return func(op *OP) {
		op.Lies.Reply = func(asked Call, w http.ResponseWriter, _ *http.Request) bool {
			if asked == to {
				w.Header().Set("Content-Type", media)
				w.WriteHeader(status)
				io.WriteString(w, text)
			}
			return asked == to
		}
	}
}

// moved answers one question with where to ask instead.
func moved(to Call, status int) arrange {
	return func(op *OP) {
		op.Lies.Reply = func(asked Call, w http.ResponseWriter, r *http.Request) bool {
			if asked == to {
				http.Redirect(w, r, op.URL+"/elsewhere", status)
			}
			return asked == to
		}
	}
}

func userInfoToken(f arrange) arrange {
	return func(op *OP) {
		op.Lies.SignUserInfo = true
		f(op)
	}
}

var (
	huge   = strings.Repeat("x", 1<<20)
	oneLie = func(string) string { return "<html>" }
)

func many(prefix string, n int) arrange {
	return func(op *OP) {
		op.Lies.Payload = func(c map[string]any) {
			for i := range n {
				c[fmt.Sprint(prefix, i)] = i
			}
		}
	}
}

// Hostile are the sign-ins that must be refused.
func Hostile() []Case {
	var all []Case
	for _, list := range [][]Case{hostileAnswers, hostileDiscoveries, hostileTokenAnswers, hostileHeaders, hostileKeys, hostileClaims, hostileUserInfo} {
		all = append(all, list...)
	}
	for i := range all {
		all[i].Setup.UserInfo = true // so that going on after a refusal would be seen
	}
	return all
}

var hostileAnswers = []Case{
	{Name: "oidcc-client-test-form-post-error", Why: "the provider says login_required", Reason: "denied", Until: Discovery,
		Arrange: answer(func(a url.Values) { a.Del("code"); a.Set("error", "login_required") })},
	{Name: "access denied", Reason: "denied", Until: Discovery, Arrange: answer(func(a url.Values) { a.Del("code"); a.Set("error", "access_denied") })},
	{Name: "an error with markup", Reason: "denied", Until: Discovery, Arrange: answer(func(a url.Values) { a.Del("code"); a.Set("error", "<script>alert(1)</script>") })},
	{Name: "an error with line breaks", Reason: "answer", Until: Discovery, Arrange: answer(func(a url.Values) { a.Del("code"); a.Set("error", "x\r\nlevel=ERROR") })},
	{Name: "a very long error", Reason: "answer", Until: Discovery, Arrange: answer(func(a url.Values) { a.Del("code"); a.Set("error", huge[:5000]) })},
	{Name: "an empty error", Reason: "answer", Until: Discovery, Arrange: answer(func(a url.Values) { a.Del("code"); a.Set("error", "") })},
	{Name: "an error for another's sign-in", Reason: "state", Until: Discovery, Arrange: answer(func(a url.Values) { a.Set("error", "access_denied"); a.Set("state", "x") })},
	{Name: "the provider is broken", Reason: "unavailable", Until: Discovery, Arrange: answer(func(a url.Values) { a.Del("code"); a.Set("error", "server_error") })},
	{Name: "the provider is busy", Reason: "unavailable", Until: Discovery, Arrange: answer(func(a url.Values) { a.Del("code"); a.Set("error", "temporarily_unavailable") })},
	{Name: "a code and an error", Reason: "answer", Until: Discovery, Arrange: answer(func(a url.Values) { a.Set("error", "access_denied") })},
	{Name: "another state", Reason: "state", Until: Discovery, Arrange: answer(func(a url.Values) { a.Set("state", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA") })},
	{Name: "the state in another case", Reason: "state", Until: Discovery, Arrange: answer(func(a url.Values) { a.Set("state", strings.ToUpper(a.Get("state"))+"x") })},
	{Name: "the beginning of the state", Reason: "state", Until: Discovery, Arrange: answer(func(a url.Values) { a.Set("state", a.Get("state")[:20]) })},
	{Name: "no state", Reason: "state", Until: Discovery, Arrange: answer(func(a url.Values) { a.Del("state") })},
	{Name: "an empty state", Reason: "state", Until: Discovery, Arrange: answer(func(a url.Values) { a.Set("state", "") })},
	{Name: "the state twice", Reason: "answer", Until: Discovery, Arrange: answer(func(a url.Values) { a.Add("state", a.Get("state")) })},
	{Name: "no code", Reason: "code", Until: Discovery, Arrange: answer(func(a url.Values) { a.Del("code") })},
	{Name: "an empty code", Reason: "code", Until: Discovery, Arrange: answer(func(a url.Values) { a.Set("code", "") })},
	{Name: "two codes", Reason: "answer", Until: Discovery, Arrange: answer(func(a url.Values) { a.Add("code", "x") })},
	{Name: "a code with line breaks", Reason: "code", Until: Discovery, Arrange: answer(func(a url.Values) { a.Set("code", "x\r\ny") })},
	{Name: "a huge code", Reason: "code", Until: Discovery, Arrange: answer(func(a url.Values) { a.Set("code", huge[:100_000]) })},
	{Name: "an invented code", Reason: "code", Until: Token, Arrange: answer(func(a url.Values) { a.Set("code", "invented") })},
	{Name: "an ID token instead of a code", Reason: "answer", Until: Discovery, Arrange: answer(func(a url.Values) { a.Set("id_token", "x.y.z") })},
	{Name: "an access token beside the code", Reason: "answer", Until: Discovery, Arrange: answer(func(a url.Values) { a.Set("access_token", "x") })},
	{Name: "an answer as a token", Reason: "answer", Until: Discovery, Arrange: answer(func(a url.Values) { a.Set("response", "x.y.z") })},
	{Name: "no iss although announced", Why: "RFC 9207: the mix-up attack", Reason: "answer_iss", Until: Discovery,
		Arrange: both(says("authorization_response_iss_parameter_supported", true), answer(func(a url.Values) { a.Del("iss") }))},
	{Name: "another provider's iss", Reason: "answer_iss", Until: Discovery,
		Arrange: both(says("authorization_response_iss_parameter_supported", true), answer(func(a url.Values) { a.Set("iss", "https://evil.example") }))},
	{Name: "another provider's iss, not announced", Reason: "answer_iss", Until: Discovery, Arrange: answer(func(a url.Values) { a.Set("iss", "https://evil.example") })},
	{Name: "an empty iss", Reason: "answer_iss", Until: Discovery, Arrange: answer(func(a url.Values) { a.Set("iss", "") })},
	{Name: "iss with a slash more", Reason: "answer_iss", Until: Discovery, Arrange: func(op *OP) {
		op.Lies.Answer = func(a url.Values) { a.Set("iss", op.URL+"/") }
	}},
	{Name: "iss twice", Reason: "answer", Until: Discovery, Arrange: func(op *OP) {
		op.Lies.Answer = func(a url.Values) { a["iss"] = []string{op.URL, op.URL} }
	}},
	{Name: "another provider's error", Reason: "answer_iss", Until: Discovery,
		Arrange: answer(func(a url.Values) {
			a.Del("code")
			a.Set("error", "access_denied")
			a.Set("iss", "https://evil.example")
		})},
	{Name: "after eleven minutes", Reason: "expired", Until: Discovery, Wait: 11 * time.Minute},
	{Name: "after ten minutes", Reason: "expired", Until: Discovery, Wait: 10 * time.Minute},
}

var hostileDiscoveries = []Case{
	{Name: "oidcc-client-test-discovery-issuer-mismatch", Reason: "discovery", Until: Discovery, Arrange: says("issuer", "https://evil.example")},
	{Name: "an issuer with a slash more", Reason: "discovery", Until: Discovery, Arrange: func(op *OP) { says("issuer", op.URL+"/")(op) }},
	{Name: "no issuer", Reason: "discovery", Until: Discovery, Arrange: silent("issuer")},
	{Name: "two issuers", Reason: "discovery", Until: Discovery, Arrange: body(Discovery, replace(`"issuer":`, `"issuer":"https://evil.example","issuer":`))},
	{Name: "an Issuer beside the issuer", Reason: "discovery", Until: Discovery, Arrange: says("Issuer", "https://evil.example")},
	{Name: "a look-alike of jwks_uri", Reason: "discovery", Until: Discovery, Arrange: says("jwKs_uri", "https://evil.example")},
	{Name: "no authorization endpoint", Reason: "discovery", Until: Discovery, Arrange: silent("authorization_endpoint")},
	{Name: "no token endpoint", Reason: "discovery", Until: Discovery, Arrange: silent("token_endpoint")},
	{Name: "no keys", Reason: "discovery", Until: Discovery, Arrange: silent("jwks_uri")},
	{Name: "no userinfo, and it is asked for", Reason: "discovery", Until: Discovery, Arrange: silent("userinfo_endpoint")},
	{Name: "a script as authorization endpoint", Reason: "discovery", Until: Discovery, Arrange: says("authorization_endpoint", "javascript:alert(1)")},
	{Name: "data as authorization endpoint", Reason: "discovery", Until: Discovery, Arrange: says("authorization_endpoint", "data:text/html,x")},
	{Name: "a path as authorization endpoint", Reason: "discovery", Until: Discovery, Arrange: says("authorization_endpoint", "/authorize")},
	{Name: "an authorization endpoint with its own redirect", Reason: "discovery", Until: Discovery, Arrange: func(op *OP) {
		says("authorization_endpoint", op.URL+"/authorize?redirect_uri=https://evil.example")(op)
	}},
	{Name: "an authorization endpoint with a fragment", Reason: "discovery", Until: Discovery, Arrange: func(op *OP) { says("authorization_endpoint", op.URL+"/authorize#x")(op) }},
	{Name: "a token endpoint over http", Reason: "discovery", Until: Discovery, Arrange: says("token_endpoint", "http://login.example/token")},
	{Name: "a token endpoint with a password", Reason: "discovery", Until: Discovery, Arrange: says("token_endpoint", "https://a:b@login.example/token")},
	{Name: "a token endpoint in our network", Reason: "discovery", Until: Discovery, Arrange: says("token_endpoint", "https://10.0.0.1/token")},
	{Name: "a cloud's metadata as token endpoint", Reason: "discovery", Until: Discovery, Arrange: says("token_endpoint", "https://169.254.169.254/latest/meta-data")},
	{Name: "a file as keys", Reason: "discovery", Until: Discovery, Arrange: says("jwks_uri", "file:///etc/passwd")},
	{Name: "userinfo over http", Reason: "discovery", Until: Discovery, Arrange: says("userinfo_endpoint", "http://login.example/userinfo")},
	{Name: "an endpoint that is no text", Reason: "discovery", Until: Discovery, Arrange: says("token_endpoint", 7)},
	{Name: "an end of sessions that is a script", Reason: "discovery", Until: Discovery, Arrange: says("end_session_endpoint", "javascript:alert(1)")},
	{Name: "PKCE only plain", Reason: "discovery", Until: Discovery, Arrange: says("code_challenge_methods_supported", []string{"plain"})},
	{Name: "no code flow", Reason: "discovery", Until: Discovery, Arrange: says("response_types_supported", []string{"id_token"})},
	{Name: "a list that is none", Reason: "discovery", Until: Discovery, Arrange: says("response_types_supported", "code")},
	{Name: "perhaps names its issuer", Reason: "discovery", Until: Discovery, Arrange: says("authorization_response_iss_parameter_supported", "no")},
	{Name: "a discovery document that is a list", Reason: "discovery", Until: Discovery, Arrange: body(Discovery, func(s string) string { return "[" + s + "]" })},
	{Name: "something behind the discovery document", Reason: "discovery", Until: Discovery, Arrange: body(Discovery, func(s string) string { return s + "{}" })},
	{Name: "discovery elsewhere", Reason: "unavailable", Until: Discovery, Arrange: moved(Discovery, http.StatusFound)},
	{Name: "a page instead of discovery", Reason: "unavailable", Until: Discovery, Arrange: reply(Discovery, 200, "text/html", "<html>")},
	{Name: "an endless discovery document", Reason: "unavailable", Until: Discovery, Arrange: reply(Discovery, 200, "application/json", `{"x":"`+huge+`"}`)},
	{Name: "no discovery", Reason: "unavailable", Until: Discovery, Arrange: reply(Discovery, 404, "application/json", "{}")},
}

var hostileTokenAnswers = []Case{
	{Name: "no ID token", Reason: "token", Until: Token, Arrange: func(op *OP) { op.Lies.TokenAnswer = func(a map[string]any) { delete(a, "id_token") } }},
	{Name: "an ID token that is no text", Reason: "token", Until: Token, Arrange: tokenAnswer("id_token", 7)},
	{Name: "an empty ID token", Reason: "token", Until: Token, Arrange: tokenAnswer("id_token", "")},
	{Name: "two ID tokens", Reason: "token_answer", Until: Token, Arrange: body(Token, replace(`"id_token":`, `"id_token":"x.y.z","id_token":`))},
	{Name: "two ID tokens by escape", Reason: "token_answer", Until: Token, Arrange: body(Token, replace(`"id_token":`, `"id\u005ftoken":"x.y.z","id_token":`))},
	{Name: "an ID_TOKEN beside the ID token", Reason: "token_answer", Until: Token, Arrange: tokenAnswer("ID_TOKEN", "x.y.z")},
	{Name: "an Access_Token alone", Reason: "token_answer", Until: Token, Arrange: body(Token, replace(`"access_token":`, `"Access_Token":`))},
	{Name: "no access token", Reason: "token_answer", Until: Token, Arrange: func(op *OP) { op.Lies.TokenAnswer = func(a map[string]any) { delete(a, "access_token") } }},
	{Name: "an access token with line breaks", Reason: "token_answer", Until: Token, Arrange: tokenAnswer("access_token", "x\r\nHost: evil.example")},
	{Name: "a huge access token", Reason: "token_answer", Until: Token, Arrange: tokenAnswer("access_token", huge[:100_000])},
	{Name: "no token type", Reason: "token_type", Until: Token, Arrange: func(op *OP) { op.Lies.TokenAnswer = func(a map[string]any) { delete(a, "token_type") } }},
	{Name: "another token type", Reason: "token_type", Until: Token, Arrange: tokenAnswer("token_type", "DPoP")},
	{Name: "an end that is no number", Reason: "token_answer", Until: Token, Arrange: tokenAnswer("expires_in", map[string]any{})},
	{Name: "an error with status 200", Reason: "token_answer", Until: Token, Arrange: tokenAnswer("error", "server_error")},
	{Name: "the client is not known", Reason: "client", Until: Token, Arrange: func(op *OP) { op.ClientSecret = "rotated" }},
	{Name: "the client may not", Reason: "client", Until: Token, Arrange: reply(Token, 400, "application/json", `{"error":"unauthorized_client"}`)},
	{Name: "the grant is over", Reason: "code", Until: Token, Arrange: reply(Token, 400, "application/json", `{"error":"invalid_grant","error_description":"<b>x</b>"}`)},
	{Name: "another error", Reason: "token_answer", Until: Token, Arrange: reply(Token, 400, "application/json", `{"error":"invalid_scope"}`)},
	{Name: "a page instead of tokens", Reason: "token_answer", Until: Token, Arrange: reply(Token, 200, "text/html", "<html>")},
	{Name: "a form instead of tokens", Reason: "token_answer", Until: Token, Arrange: reply(Token, 200, "application/x-www-form-urlencoded", "access_token=x&token_type=bearer&id_token=x.y.z")},
	{Name: "tokens that are called a page", Reason: "token_answer", Until: Token, Arrange: reply(Token, 200, "text/html", `{"access_token":"x","token_type":"bearer","id_token":"x.y.z"}`)},
	{Name: "tokens as text", Reason: "token_answer", Until: Token, Arrange: reply(Token, 200, "text/plain", "access_token=x")},
	{Name: "no JSON instead of tokens", Reason: "token_answer", Until: Token, Arrange: body(Token, oneLie)},
	{Name: "a list of tokens", Reason: "token_answer", Until: Token, Arrange: body(Token, func(s string) string { return "[" + s + "]" })},
	{Name: "tokens elsewhere", Why: "the secret and the code would follow", Reason: "token_answer", Until: Token, Arrange: moved(Token, http.StatusTemporaryRedirect)},
	{Name: "tokens elsewhere for good", Reason: "token_answer", Until: Token, Arrange: moved(Token, http.StatusPermanentRedirect)},
	{Name: "endless tokens", Reason: "unavailable", Until: Token, Arrange: reply(Token, 200, "application/json", `{"x":"`+huge+`"}`)},
	{Name: "the token endpoint is broken", Reason: "unavailable", Until: Token, Arrange: reply(Token, 502, "text/html", "<html>")},
	{Name: "the token endpoint is busy", Reason: "unavailable", Until: Token, Arrange: reply(Token, 429, "text/html", "<html>")},
}

func none(algorithm string) arrange {
	return both(header("alg", algorithm), signed(func([]byte) []byte { return nil }))
}

var hostileHeaders = []Case{
	{Name: "oidcc-client-test-idtoken-sig-none", Reason: "alg", Until: Token, Arrange: none("none")},
	{Name: "none in capitals", Reason: "alg", Until: Token, Arrange: none("NONE")},
	{Name: "None", Reason: "alg", Until: Token, Arrange: none("None")},
	{Name: "an empty algorithm", Reason: "alg", Until: Token, Arrange: none("")},
	{Name: "no algorithm", Reason: "alg", Until: Token, Arrange: func(op *OP) { op.Lies.Header = func(h map[string]any) { delete(h, "alg") } }},
	{Name: "none, allowed by nobody", Reason: "settings", Until: "", Setup: Setup{Algorithms: []string{"none"}}, Arrange: none("none")},
	{Name: "a shared secret, allowed by nobody", Reason: "settings", Until: "", Setup: Setup{Algorithms: []string{"HS256"}}},
	{Name: "oidcc-client-test-invalid-sig-hs256", Why: "the public key as a password", Reason: "alg", Until: Token,
		Arrange: both(header("alg", "HS256"), signed(withPublicKeyAsPassword))},
	{Name: "oidcc-client-test-invalid-sig-rs256", Reason: "signature", Until: Keys, Arrange: signed(byOther)},
	{Name: "oidcc-client-test-invalid-sig-es256", Reason: "signature", Until: Keys, Setup: Setup{Algorithms: []string{"ES256"}},
		Arrange: func(op *OP) {
			op.SignWith("ES256", EC())
			op.Lies.Sign = func(input []byte) []byte { return Sign("ES256", EC(), append(input, 'x')) }
		}},
	{Name: "a signature of nothing", Reason: "signature", Until: Keys, Arrange: signed(func([]byte) []byte { return []byte{0} })},
	{Name: "no signature", Reason: "signature", Until: Keys, Arrange: signed(func([]byte) []byte { return nil })},
	{Name: "a signature of zeros", Reason: "signature", Until: Keys, Setup: Setup{Algorithms: []string{"ES256"}}, Arrange: both(
		func(op *OP) { op.SignWith("ES256", EC()) }, signed(func([]byte) []byte { return make([]byte, 64) }))},
	{Name: "the signature of another token", Reason: "signature", Until: Keys, Arrange: signed(func([]byte) []byte { return Sign("RS256", RSA(), []byte("x.y")) })},
	{Name: "an algorithm that isn't allowed", Why: "the key is right", Reason: "alg", Until: Token, Arrange: func(op *OP) { op.Algorithm = "RS512" }},
	{Name: "PS256 where RS256 is allowed", Reason: "alg", Until: Token, Arrange: func(op *OP) { op.Algorithm = "PS256" }},
	{Name: "ES256 where RS256 is allowed", Reason: "alg", Until: Token, Arrange: func(op *OP) { op.SignWith("ES256", EC()) }},
	{Name: "RS256 where ES256 is allowed", Reason: "alg", Until: Token, Setup: Setup{Algorithms: []string{"ES256"}}},
	{Name: "the algorithm in small letters", Reason: "alg", Until: Token, Arrange: header("alg", "rs256")},
	{Name: "an algorithm that is no text", Reason: "alg", Until: Token, Arrange: header("alg", 256)},
	{Name: "RS256 with a key for ES256", Reason: "key", Until: Keys, Arrange: func(op *OP) { op.Published = []any{PublicKey("k1", "sig", EC())} }},
	{Name: "an access token", Reason: "typ", Until: Token, Arrange: header("typ", "at+jwt")},
	{Name: "an access token by its long name", Reason: "typ", Until: Token, Arrange: header("typ", "application/at+jwt")},
	{Name: "a logout token by type", Reason: "typ", Until: Token, Arrange: header("typ", "logout+jwt")},
	{Name: "a proof of possession", Reason: "typ", Until: Token, Arrange: header("typ", "dpop+jwt")},
	{Name: "a security event", Reason: "typ", Until: Token, Arrange: header("typ", "secevent+jwt")},
	{Name: "a client assertion", Reason: "typ", Until: Token, Arrange: header("typ", "client-authentication+jwt")},
	{Name: "a type that is no text", Reason: "typ", Until: Token, Arrange: header("typ", []string{"JWT"})},
	{Name: "a type that is null", Reason: "typ", Until: Token, Arrange: header("typ", nil)},
	{Name: "extensions we don't know", Reason: "header", Until: Token, Arrange: func(op *OP) {
		op.Lies.Header = func(h map[string]any) { h["crit"], h["exp"] = []string{"exp"}, 1 }
	}},
	{Name: "no extensions, and said so", Reason: "header", Until: Token, Arrange: header("crit", []string{})},
	{Name: "a payload that is not encoded", Reason: "header", Until: Token, Arrange: header("b64", false)},
	{Name: "two algorithms", Reason: "header", Until: Token, Arrange: func(op *OP) { op.Lies.HeaderText = replace(`"alg":`, `"alg":"none","alg":`) }},
	{Name: "an ALG beside the alg", Reason: "header", Until: Token, Arrange: header("ALG", "none")},
	{Name: "a Typ alone", Reason: "header", Until: Token, Arrange: func(op *OP) { op.Lies.HeaderText = replace(`"typ":`, `"Typ":`) }},
	{Name: "a key id that is no text", Reason: "header", Until: Token, Arrange: header("kid", 1)},
	{Name: "a header that is no object", Reason: "header", Until: Token, Arrange: func(op *OP) { op.Lies.HeaderText = func(string) string { return `"RS256"` } }},
	{Name: "two parts", Reason: "token", Until: Token, Arrange: whole(func(s string) string { return s[:strings.LastIndex(s, ".")] })},
	{Name: "four parts", Reason: "token", Until: Token, Arrange: whole(func(s string) string { return s + ".x" })},
	{Name: "encrypted", Reason: "token", Until: Token, Arrange: whole(func(string) string { return "eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d" })},
	{Name: "a token as JSON", Reason: "token", Until: Token, Arrange: whole(func(s string) string {
		p := strings.Split(s, ".")
		return fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, p[1], p[0], p[2])
	})},
	{Name: "a token with padding", Reason: "token", Until: Token, Arrange: whole(func(s string) string { return s + "==" })},
	{Name: "a token with a line break", Reason: "token", Until: Token, Arrange: whole(func(s string) string { return strings.Replace(s, ".", "\n.", 1) })},
	{Name: "a huge token", Reason: "token", Until: Token, Arrange: payload("x", huge[:100_000])},
}

var hostileKeys = []Case{
	{Name: "an unknown key id", Reason: "key", Until: Keys, Arrange: header("kid", "k2")},
	{Name: "a key id like a path", Reason: "key", Until: Keys, Arrange: header("kid", "../../dev/null")},
	{Name: "the key it brings along", Reason: "signature", Until: Keys, Arrange: both(
		func(op *OP) { header("jwk", jsonOf(PublicKey("k1", "sig", OtherRSA())))(op) }, signed(byOther))},
	{Name: "the key it brings along, with another id", Reason: "key", Until: Keys, Arrange: both(
		func(op *OP) {
			op.Lies.Header = func(h map[string]any) {
				h["kid"], h["jwk"] = "mine", jsonOf(PublicKey("mine", "sig", OtherRSA()))
			}
		}, signed(byOther))},
	{Name: "a key at an address it names", Reason: "signature", Until: Keys, Arrange: both(
		func(op *OP) {
			op.Lies.Header = func(h map[string]any) { h["jku"], h["x5u"] = op.URL+"/elsewhere", op.URL+"/elsewhere" }
		}, signed(byOther))},
	{Name: "a key for encryption", Reason: "key", Until: Keys, Arrange: changedKey("use", "enc")},
	{Name: "a key for something else", Reason: "key", Until: Keys, Arrange: changedKey("use", "SIG")},
	{Name: "a key that may only encrypt", Reason: "key", Until: Keys, Arrange: changedKey("key_ops", []string{"encrypt"})},
	{Name: "a key that may only sign", Reason: "key", Until: Keys, Arrange: changedKey("key_ops", []string{"sign"})},
	{Name: "a key for another algorithm", Reason: "key", Until: Keys, Arrange: changedKey("alg", "RS512")},
	{Name: "a key for encryption by its algorithm", Reason: "key", Until: Keys, Arrange: changedKey("alg", "RSA-OAEP")},
	{Name: "a key with two uses", Reason: "key", Until: Keys, Arrange: func(op *OP) {
		changedKey("use", "enc")(op)
		op.Published[0].(map[string]any)["Use"] = "sig"
	}},
	{Name: "a weak key", Reason: "key", Until: Keys, Arrange: func(op *OP) { op.SignWith("RS256", WeakRSA()) }},
	{Name: "a key that is public with its private part", Reason: "key", Until: Keys, Arrange: func(op *OP) {
		private := PublicKey("k1", "sig", RSA())
		private.Key = RSA()
		op.Published = []any{private}
	}},
	{Name: "a published password", Reason: "key", Until: Keys,
		Arrange: published(map[string]any{"kty": "oct", "kid": "k1", "k": base64.RawURLEncoding.EncodeToString([]byte(huge[:64]))})},
	{Name: "a point off the curve", Reason: "key", Until: Keys, Setup: Setup{Algorithms: []string{"ES256"}}, Arrange: func(op *OP) {
		op.SignWith("ES256", EC())
		changedKey("x", base64.RawURLEncoding.EncodeToString(make([]byte, 32)))(op)
	}},
	{Name: "a key of the other curve", Reason: "key", Until: Keys, Setup: Setup{Algorithms: []string{"ES384"}}, Arrange: func(op *OP) {
		op.SignWith("ES256", EC())
		header("alg", "ES384")(op)
	}},
	{Name: "no key", Reason: "key", Until: Keys, Arrange: published()},
	{Name: "keys that are none", Reason: "key", Until: Keys, Arrange: published(7, "x", nil, map[string]any{"kty": "novel"}, []any{})},
	{Name: "very many keys", Reason: "unavailable", Until: Keys, Arrange: func(op *OP) {
		for range 200 {
			op.Published = append(op.Published, op.Published[0])
		}
	}},
	{Name: "two sets of keys", Reason: "unavailable", Until: Keys, Arrange: body(Keys, replace(`{"keys":`, `{"Keys":[],"keys":`))},
	{Name: "keys elsewhere", Reason: "unavailable", Until: Keys, Arrange: moved(Keys, http.StatusFound)},
	{Name: "a page instead of keys", Reason: "unavailable", Until: Keys, Arrange: reply(Keys, 200, "text/html", "<html>")},
	{Name: "endless keys", Reason: "unavailable", Until: Keys, Arrange: reply(Keys, 200, "application/json", `{"keys":[],"x":"`+huge+`"}`)},
	{Name: "keys are broken", Reason: "unavailable", Until: Keys, Arrange: reply(Keys, 500, "application/json", "{}")},
}

var hostileClaims = []Case{
	{Name: "oidcc-client-test-invalid-iss", Reason: "iss", Until: Token, Arrange: payload("iss", "https://evil.example")},
	{Name: "an issuer with a slash more, in the token", Reason: "iss", Until: Token, Arrange: func(op *OP) { payload("iss", op.URL+"/")(op) }},
	{Name: "the issuer in capitals", Reason: "iss", Until: Token, Arrange: func(op *OP) { payload("iss", strings.ToUpper(op.URL))(op) }},
	{Name: "no issuer in the token", Reason: "iss", Until: Token, Arrange: without("iss")},
	{Name: "a list of issuers", Reason: "iss", Until: Token, Arrange: func(op *OP) { payload("iss", []string{op.URL})(op) }},
	{Name: "oidcc-client-test-missing-sub", Reason: "sub", Until: Token, Arrange: without("sub")},
	{Name: "only an address of mail", Reason: "sub", Until: Token, Arrange: both(without("sub"), func(op *OP) { op.Claims["email_verified"] = true })},
	{Name: "an empty subject", Reason: "sub", Until: Token, Arrange: payload("sub", "")},
	{Name: "a subject of null", Reason: "sub", Until: Token, Arrange: payload("sub", nil)},
	{Name: "a subject that is a number", Reason: "sub", Until: Token, Arrange: payload("sub", 248289761001)},
	{Name: "a list of subjects", Reason: "sub", Until: Token, Arrange: payload("sub", []string{"248289761001"})},
	{Name: "a long subject", Reason: "sub", Until: Token, Arrange: payload("sub", huge[:256])},
	{Name: "a subject that looks like another", Reason: "sub", Until: Token, Arrange: payload("sub", "аda")}, // the first letter is Cyrillic
	{Name: "a subject with a NUL", Reason: "sub", Until: Token, Arrange: payload("sub", "248289761001\x00")},
	{Name: "a subject with a line break", Reason: "sub", Until: Token, Arrange: payload("sub", "248289761001\n")},
	{Name: "a subject with a blank behind", Reason: "sub", Until: Token, Arrange: payload("sub", "248289761001 ")},
	{Name: "oidcc-client-test-invalid-aud", Reason: "aud", Until: Token, Arrange: payload("aud", "another-client")},
	{Name: "oidcc-client-test-missing-aud", Reason: "aud", Until: Token, Arrange: without("aud")},
	{Name: "an audience that begins like us", Reason: "aud", Until: Token, Arrange: payload("aud", "gatehouse-test")},
	{Name: "the audience in capitals", Reason: "aud", Until: Token, Arrange: payload("aud", "GATEHOUSE")},
	{Name: "an audience of nobody", Reason: "aud", Until: Token, Arrange: payload("aud", []string{})},
	{Name: "a list of other audiences", Reason: "aud", Until: Token, Arrange: payload("aud", []string{"a", "b"})},
	{Name: "a second audience", Reason: "aud", Until: Token, Arrange: payload("aud", []string{"gatehouse", "another-client"})},
	{Name: "a second audience that it was given to", Reason: "azp", Until: Token, Arrange: func(op *OP) {
		op.Lies.Payload = func(c map[string]any) {
			c["aud"], c["azp"] = []string{"gatehouse", "another-client"}, "another-client"
		}
	}},
	{Name: "us twice", Reason: "aud", Until: Token, Arrange: payload("aud", []string{"gatehouse", "gatehouse"})},
	{Name: "an audience that is no text", Reason: "aud", Until: Token, Arrange: payload("aud", []any{"gatehouse", 1})},
	{Name: "an audience that is an object", Reason: "aud", Until: Token, Arrange: payload("aud", map[string]any{"gatehouse": true})},
	{Name: "very many audiences", Reason: "aud", Until: Token, Arrange: func(op *OP) {
		list := []string{"gatehouse"}
		for i := range 50 {
			list = append(list, fmt.Sprint("client-", i))
		}
		op.Lies.Payload = func(c map[string]any) { c["aud"], c["azp"] = list, "gatehouse" }
	}},
	{Name: "given to another client", Reason: "azp", Until: Token, Arrange: payload("azp", "another-client")},
	{Name: "given to nobody", Reason: "azp", Until: Token, Arrange: payload("azp", "")},
	{Name: "given to null", Reason: "azp", Until: Token, Arrange: payload("azp", nil)},
	{Name: "given to a list", Reason: "azp", Until: Token, Arrange: payload("azp", []string{"gatehouse"})},
	{Name: "ended", Reason: "exp", Until: Token, Arrange: at("exp", -121)},
	{Name: "no end", Reason: "exp", Until: Token, Arrange: without("exp")},
	{Name: "an end as text", Reason: "exp", Until: Token, Arrange: payload("exp", "4000000000")},
	{Name: "an end beyond time", Reason: "exp", Until: Token, Arrange: payload("exp", 1e300)},
	{Name: "an end before time", Reason: "exp", Until: Token, Arrange: payload("exp", -1)},
	{Name: "an end of null", Reason: "exp", Until: Token, Arrange: payload("exp", nil)},
	{Name: "ends before it was issued", Reason: "exp", Until: Token, Arrange: at("exp", -10)},
	{Name: "oidcc-client-test-missing-iat", Reason: "iat", Until: Token, Arrange: without("iat")},
	{Name: "issued in the future", Reason: "iat", Until: Token, Arrange: at("iat", 130)},
	{Name: "issued long ago", Reason: "iat", Until: Token, Arrange: at("iat", -13*60)},
	{Name: "issued at a text", Reason: "iat", Until: Token, Arrange: payload("iat", "now")},
	{Name: "issued at an object", Reason: "iat", Until: Token, Arrange: payload("iat", map[string]any{})},
	{Name: "starts in the future", Reason: "nbf", Until: Token, Arrange: at("nbf", 130)},
	{Name: "starts at a text", Reason: "nbf", Until: Token, Arrange: payload("nbf", "0")},
	{Name: "starts at null", Reason: "nbf", Until: Token, Arrange: payload("nbf", nil)},
	{Name: "oidcc-client-test-nonce-invalid", Reason: "nonce", Until: Token, Arrange: payload("nonce", "another")},
	{Name: "no nonce", Reason: "nonce", Until: Token, Arrange: without("nonce")},
	{Name: "an empty nonce", Reason: "nonce", Until: Token, Arrange: payload("nonce", "")},
	{Name: "a nonce of null", Reason: "nonce", Until: Token, Arrange: payload("nonce", nil)},
	{Name: "a nonce in a list", Reason: "nonce", Until: Token, Arrange: func(op *OP) {
		op.Lies.Payload = func(c map[string]any) { c["nonce"] = []any{c["nonce"]} }
	}},
	{Name: "the nonce with a letter more", Reason: "nonce", Until: Token, Arrange: func(op *OP) {
		op.Lies.Payload = func(c map[string]any) { c["nonce"] = fmt.Sprint(c["nonce"], "x") }
	}},
	{Name: "oidcc-client-test-invalid-athash", Reason: "at_hash", Until: Keys, Arrange: payload("at_hash", "AAAAAAAAAAAAAAAAAAAAAA")},
	{Name: "the hash of another access token", Reason: "at_hash", Until: Keys, Arrange: func(op *OP) { payload("at_hash", op.hash("another"))(op) }},
	{Name: "an empty at_hash", Reason: "at_hash", Until: Token, Arrange: payload("at_hash", "")},
	{Name: "an at_hash that is a number", Reason: "at_hash", Until: Token, Arrange: payload("at_hash", 0)},
	{Name: "no auth_time although asked", Reason: "auth_time", Until: Token, Setup: Setup{MaxAge: time.Minute}, Arrange: without("auth_time")},
	{Name: "signed in long ago", Reason: "auth_time", Until: Token, Setup: Setup{MaxAge: time.Minute}, Arrange: at("auth_time", -200)},
	{Name: "signs in tomorrow", Reason: "auth_time", Until: Token, Setup: Setup{MaxAge: time.Minute}, Arrange: at("auth_time", 86400)},
	{Name: "signs in tomorrow, not asked", Reason: "auth_time", Until: Token, Arrange: at("auth_time", 86400)},
	{Name: "signed in at a text", Reason: "auth_time", Until: Token, Setup: Setup{MaxAge: time.Minute}, Arrange: payload("auth_time", "now")},
	{Name: "a logout token as ID token", Reason: "typ", Until: Token,
		Arrange: payload("events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}})},
	{Name: "an empty session id", Reason: "sid", Until: Token, Arrange: payload("sid", "")},
	{Name: "a session id that is a number", Reason: "sid", Until: Token, Arrange: payload("sid", 1)},
	{Name: "two subjects", Reason: "claims", Until: Token, Arrange: text(`"sub":`, `"sub":"root","sub":`)},
	{Name: "two subjects, the wrong one last", Reason: "claims", Until: Token, Arrange: text(`"sub":"248289761001"`, `"sub":"248289761001","sub":"root"`)},
	{Name: "two subjects by escape", Reason: "claims", Until: Token, Arrange: text(`"sub":`, `"s\u0075b":"root","sub":`)},
	{Name: "a SUB beside the sub", Reason: "claims", Until: Token, Arrange: payload("SUB", "root")},
	{Name: "a sub with a long s", Reason: "claims", Until: Token, Arrange: payload("ſub", "root")},
	{Name: "a Sub alone", Reason: "claims", Until: Token, Arrange: text(`"sub":`, `"Sub":`)},
	{Name: "a NONCE beside the nonce", Reason: "claims", Until: Token, Arrange: payload("NONCE", "x")},
	{Name: "an Aud alone", Reason: "claims", Until: Token, Arrange: text(`"aud":`, `"Aud":`)},
	{Name: "an AZP alone", Reason: "claims", Until: Token, Arrange: payload("AZP", "gatehouse")},
	{Name: "two other claims", Reason: "claims", Until: Token, Arrange: text(`"email":`, `"email":"root@corp.example","email":`)},
	{Name: "an Email beside the email", Reason: "claims", Until: Token, Arrange: payload("Email", "root@corp.example")},
	{Name: "claims that are a list", Reason: "claims", Until: Token, Arrange: func(op *OP) { op.Lies.PayloadText = func(string) string { return "[]" } }},
	{Name: "claims that are nothing", Reason: "claims", Until: Token, Arrange: func(op *OP) { op.Lies.PayloadText = func(string) string { return "" } }},
	{Name: "something behind the claims", Reason: "claims", Until: Token, Arrange: func(op *OP) { op.Lies.PayloadText = func(s string) string { return s + "{}" } }},
	{Name: "claims that end early", Reason: "claims", Until: Token, Arrange: func(op *OP) { op.Lies.PayloadText = func(s string) string { return s[:len(s)-1] } }},
	{Name: "very many claims", Reason: "claims", Until: Token, Arrange: many("claim", 200)},
}

var hostileUserInfo = []Case{
	{Name: "oidcc-client-test-userinfo-invalid-sub", Reason: "userinfo_sub", Until: UserInfo, Arrange: userInfo("sub", "somebody-else")},
	{Name: "userinfo about nobody", Reason: "userinfo_sub", Until: UserInfo, Arrange: func(op *OP) { op.Lies.UserInfo = func(a map[string]any) { delete(a, "sub") } }},
	{Name: "userinfo about null", Reason: "userinfo_sub", Until: UserInfo, Arrange: userInfo("sub", nil)},
	{Name: "userinfo about two", Reason: "userinfo", Until: UserInfo, Arrange: body(UserInfo, replace(`"sub":`, `"sub":"root","sub":`))},
	{Name: "userinfo about a SUB too", Reason: "userinfo", Until: UserInfo, Arrange: userInfo("SUB", "root")},
	{Name: "userinfo about a Sub alone", Reason: "userinfo", Until: UserInfo, Arrange: body(UserInfo, replace(`"sub":`, `"Sub":`))},
	{Name: "userinfo as a list", Reason: "userinfo", Until: UserInfo, Arrange: body(UserInfo, func(s string) string { return "[" + s + "]" })},
	{Name: "no JSON as userinfo", Reason: "userinfo", Until: UserInfo, Arrange: body(UserInfo, oneLie)},
	{Name: "a page as userinfo", Reason: "userinfo", Until: UserInfo, Arrange: reply(UserInfo, 200, "text/html", "<html>")},
	{Name: "userinfo refused", Reason: "userinfo", Until: UserInfo, Arrange: reply(UserInfo, 401, "application/json", "{}")},
	{Name: "userinfo elsewhere", Why: "the access token would follow", Reason: "userinfo", Until: UserInfo, Arrange: moved(UserInfo, http.StatusFound)},
	{Name: "userinfo is broken", Reason: "unavailable", Until: UserInfo, Arrange: reply(UserInfo, 500, "application/json", "{}")},
	{Name: "endless userinfo", Reason: "unavailable", Until: UserInfo, Arrange: reply(UserInfo, 200, "application/json", `{"x":"`+huge+`"}`)},
	{Name: "signed userinfo about another", Reason: "userinfo_sub", Until: UserInfo, Arrange: userInfoToken(userInfo("sub", "root"))},
	{Name: "signed userinfo by another", Reason: "signature", Until: UserInfo, Arrange: userInfoToken(signed(byOther))},
	{Name: "userinfo signed with none", Reason: "alg", Until: UserInfo, Arrange: userInfoToken(none("none"))},
	{Name: "signed userinfo for another client", Reason: "aud", Until: UserInfo, Arrange: userInfoToken(payload("aud", "another-client"))},
	{Name: "signed userinfo of another provider", Reason: "iss", Until: UserInfo, Arrange: userInfoToken(payload("iss", "https://evil.example"))},
	{Name: "signed userinfo that ended", Reason: "exp", Until: UserInfo, Arrange: userInfoToken(payload("exp", 1))},
	{Name: "signed userinfo about two", Reason: "claims", Until: UserInfo, Arrange: userInfoToken(text(`"sub":`, `"sub":"root","sub":`))},
	{Name: "an access token as userinfo", Reason: "typ", Until: UserInfo, Arrange: userInfoToken(header("typ", "at+jwt"))},
	{Name: "encrypted userinfo", Reason: "token", Until: UserInfo, Arrange: reply(UserInfo, 200, "application/jwt", "a.b.c.d.e")},
}

func signsWith(algorithm string, key func() crypto.Signer) Case {
	return Case{Name: algorithm, Until: Keys, Setup: Setup{Algorithms: []string{"RS256", algorithm}}, Arrange: func(op *OP) { op.SignWith(algorithm, key()) }}
}

func rsaKey() crypto.Signer { return RSA() }

// Good are the sign-ins that must be accepted.
func Good() []Case {
	return []Case{
		{Name: "oidcc-client-test", Until: UserInfo, Setup: Setup{UserInfo: true}},
		{Name: "oidcc-client-test-client-secret-basic", Why: "with signs that must be encoded (RFC 6749 §2.3.1)", Until: Keys},
		{Name: "oidcc-client-test-nonce", Until: Keys},
		{Name: "oidcc-client-test-scope-userinfo-claims", Until: UserInfo, Setup: Setup{UserInfo: true}, Arrange: func(op *OP) { op.Claims = nil }},
		{Name: "oidcc-client-test-userinfo-bearer-header", Why: "the fake wants it so", Until: UserInfo, Setup: Setup{UserInfo: true}},
		{Name: "oidcc-client-test-userinfo-signed", Until: UserInfo, Setup: Setup{UserInfo: true}, Arrange: userInfoToken(func(*OP) {})},
		{Name: "oidcc-client-test-kid-absent-single-jwks", Until: Keys, Arrange: func(op *OP) { op.Lies.Header = func(h map[string]any) { delete(h, "kid") } }},
		{Name: "oidcc-client-test-kid-absent-multiple-jwks", Until: Keys, Arrange: func(op *OP) {
			op.Lies.Header = func(h map[string]any) { delete(h, "kid") }
			op.Published = []any{PublicKey("", "sig", OtherRSA()), PublicKey("", "sig", RSA())}
		}},
		{Name: "oidcc-client-test-ignores-unparseable-key-in-jwks", Until: Keys, Arrange: func(op *OP) {
			op.Published = append([]any{map[string]any{"kty": "AKP", "alg": "ML-DSA-99", "kid": "k1", "pub": "AA"}, map[string]any{"kty": "novel", "kid": "k1"}, 7}, op.Published...)
		}},
		{Name: "oidcc-client-test-idtoken-sig-rs256", Until: Keys},
		{Name: "oidcc-client-test-discovery-openid-config", Until: Keys},
		{Name: "oidcc-client-test-discovery-jwks-uri-keys", Until: Keys},
		{Name: "oidcc-client-test-signing-key-rotation-just-before-signing", Until: Keys, Arrange: func(op *OP) {
			op.Lies.Before = func(asked Call) {
				if asked == Token {
					op.Signer, op.KeyID = OtherRSA(), "k2"
					op.Published = []any{PublicKey("k2", "sig", OtherRSA())}
				}
			}
		}},
		{Name: "oidcc-client-test-aggregated-claims", Why: "they are not for us to read", Until: Keys, Arrange: func(op *OP) {
			op.Claims["_claim_names"] = map[string]any{"address": "src1"}
			op.Claims["_claim_sources"] = map[string]any{"src1": map[string]any{"JWT": "a.b.c"}}
		}},
		{Name: "oidcc-client-test-distributed-claims", Why: "nobody goes where a token points", Until: Keys, Arrange: func(op *OP) {
			op.Claims["_claim_names"] = map[string]any{"address": "src1"}
			op.Claims["_claim_sources"] = map[string]any{"src1": map[string]any{"endpoint": op.URL + "/elsewhere", "access_token": "x"}}
		}},
		signsWith("RS384", rsaKey), signsWith("RS512", rsaKey), signsWith("PS256", rsaKey), signsWith("PS384", rsaKey), signsWith("PS512", rsaKey),
		signsWith("ES256", func() crypto.Signer { return EC() }),
		signsWith("EdDSA", func() crypto.Signer { return Ed() }),
		{Name: "private_key_jwt with RSA", Until: Keys, Setup: Setup{Key: OtherRSA()}, Arrange: func(op *OP) { op.ClientKey = OtherRSA().Public() }},
		{Name: "private_key_jwt with ECDSA", Until: Keys, Setup: Setup{Key: EC()}, Arrange: func(op *OP) { op.ClientKey = EC().Public() }},
		{Name: "private_key_jwt with Ed25519", Until: Keys, Setup: Setup{Key: Ed()}, Arrange: func(op *OP) { op.ClientKey = Ed().Public() }},
		{Name: "aud as a list of one", Until: Keys, Arrange: payload("aud", []string{"gatehouse"})},
		{Name: "several audiences, given to us", Until: Keys, Arrange: func(op *OP) {
			op.Lies.Payload = func(c map[string]any) {
				c["aud"], c["azp"] = []string{"another-client", "gatehouse"}, "gatehouse"
			}
		}},
		{Name: "given to us", Until: Keys, Arrange: payload("azp", "gatehouse")},
		{Name: "expires_in absent", Until: Keys, Arrange: func(op *OP) { op.Lies.TokenAnswer = func(a map[string]any) { delete(a, "expires_in") } }},
		{Name: "expires_in as text", Until: Keys, Arrange: tokenAnswer("expires_in", "3600")},
		{Name: "bearer", Until: Keys, Arrange: tokenAnswer("token_type", "bearer")},
		{Name: "BEARER", Until: Keys, Arrange: tokenAnswer("token_type", "BEARER")},
		{Name: "a refresh token beside", Until: Keys, Arrange: tokenAnswer("refresh_token", "x")},
		{Name: "no at_hash", Until: Keys, Arrange: without("at_hash")},
		{Name: "no session id", Until: Keys, Arrange: without("sid")},
		{Name: "no type", Until: Keys, Arrange: func(op *OP) { op.Lies.Header = func(h map[string]any) { delete(h, "typ") } }},
		{Name: "the type in small letters", Until: Keys, Arrange: header("typ", "jwt")},
		{Name: "other headers", Until: Keys, Arrange: header("x5t", "abc")},
		{Name: "other claims", Until: Keys, Arrange: both(many("claim", 50), func(op *OP) { op.Claims["address"] = map[string]any{"country": "NL"} })},
		{Name: "iss announced and given", Until: Keys, Arrange: says("authorization_response_iss_parameter_supported", true)},
		{Name: "iss given and not announced", Until: Keys, Arrange: func(op *OP) { op.Lies.Answer = func(a url.Values) { a.Set("iss", op.URL) } }},
		{Name: "other parameters of an answer", Until: Keys, Arrange: answer(func(a url.Values) { a.Set("session_state", "x"); a.Add("session_state", "y") })},
		{Name: "a clock 90 seconds ahead", Until: Keys, Arrange: skew(90 * time.Second)},
		{Name: "a clock 90 seconds behind", Until: Keys, Arrange: skew(-90 * time.Second)},
		{Name: "ended a little while ago", Until: Keys, Arrange: func(op *OP) {
			op.Lies.Payload = func(c map[string]any) { c["iat"], c["exp"] = op.Now().Unix()-200, op.Now().Unix()-100 }
		}},
		{Name: "times with fractions", Until: Keys, Arrange: func(op *OP) {
			op.Lies.Payload = func(c map[string]any) { c["iat"] = float64(op.Now().Unix()) - 0.25 }
		}},
		{Name: "nbf in force", Until: Keys, Arrange: at("nbf", -60)},
		{Name: "signed in just now", Until: Keys, Setup: Setup{MaxAge: time.Minute}},
		{Name: "a key without a use", Until: Keys, Arrange: func(op *OP) { op.Published = []any{PublicKey("k1", "", RSA())} }},
		{Name: "a key that may verify", Until: Keys, Arrange: changedKey("key_ops", []string{"verify"})},
		{Name: "a key that names the algorithm", Until: Keys, Arrange: changedKey("alg", "RS256")},
		{Name: "a long subject of good length", Until: Keys, Arrange: func(op *OP) { op.Subject = huge[:255] }},
		{Name: "a subject with signs", Until: Keys, Arrange: func(op *OP) { op.Subject = "auth0|5f7c8ec7c33c6c004bbafe82/Ada L." }},
		{Name: "an authorization endpoint with a query", Until: Keys, Arrange: func(op *OP) {
			op.Lies.Discovery = func(d map[string]any) { d["authorization_endpoint"] = op.URL + "/authorize?p=b2c_1_signin" }
		}},
		{Name: "a discovery document that says the least", Until: Keys, Arrange: func(op *OP) {
			op.Lies.Discovery = func(d map[string]any) {
				for name := range d {
					switch name {
					case "issuer", "authorization_endpoint", "token_endpoint", "jwks_uri":
					default:
						delete(d, name)
					}
				}
			}
		}},
		{Name: "after nine minutes", Until: Keys, Wait: 9 * time.Minute},
	}
}

// skew sets the provider's clock off.
func skew(d time.Duration) arrange {
	return func(op *OP) {
		now := op.Now
		op.Now = func() time.Time { return now().Add(d) }
	}
}

// GoodLogouts are logout tokens that must be believed.
func GoodLogouts() []Case {
	return []Case{
		{Name: "oidcc-client-test-rp-backchannel-rpinitlogout"},
		{Name: "only who", Arrange: without("sid")},
		{Name: "only where", Arrange: without("sub")},
		{Name: "a logout token that says JWT", Arrange: header("typ", "JWT")},
		{Name: "a logout token without a type", Arrange: func(op *OP) { op.Lies.Header = func(h map[string]any) { delete(h, "typ") } }},
		{Name: "a logout token for a list of one", Arrange: payload("aud", []string{"gatehouse"})},
		{Name: "beside other events", Arrange: func(op *OP) {
			op.Lies.Payload = func(c map[string]any) { c["events"].(map[string]any)["https://example.com/other"] = map[string]any{} }
		}},
	}
}

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// HostileLogouts are logout tokens that must be refused. Until says only whether
// keys may be asked for.
func HostileLogouts() []Case {
	return []Case{
		{Name: "oidcc-client-test-rp-backchannel-rpinitlogout-alg-none", Reason: "alg", Arrange: none("none")},
		{Name: "oidcc-client-test-rp-backchannel-rpinitlogout-no-event", Reason: "events", Arrange: without("events")},
		{Name: "oidcc-client-test-rp-backchannel-rpinitlogout-with-nonce", Reason: "nonce", Arrange: payload("nonce", "x")},
		{Name: "oidcc-client-test-rp-backchannel-rpinitlogout-wrong-alg", Reason: "alg", Arrange: func(op *OP) { op.Algorithm = "PS256" }},
		{Name: "oidcc-client-test-rp-backchannel-rpinitlogout-wrong-aud", Reason: "aud", Arrange: payload("aud", "another-client")},
		{Name: "oidcc-client-test-rp-backchannel-rpinitlogout-wrong-event", Reason: "events", Arrange: payload("events", map[string]any{logoutEvent + "x": map[string]any{}})},
		{Name: "oidcc-client-test-rp-backchannel-rpinitlogout-wrong-iss", Reason: "iss", Arrange: payload("iss", "https://evil.example")},
		{Name: "signed by another", Reason: "signature", Until: Keys, Arrange: signed(byOther)},
		{Name: "an unknown key", Reason: "key", Until: Keys, Arrange: header("kid", "k2")},
		{Name: "a shared secret", Reason: "alg", Arrange: both(header("alg", "HS256"), signed(withPublicKeyAsPassword))},
		{Name: "a nonce of null", Reason: "nonce", Arrange: payload("nonce", nil)},
		{Name: "an event that is a text", Reason: "events", Arrange: payload("events", map[string]any{logoutEvent: "x"})},
		{Name: "an event of null", Reason: "events", Arrange: payload("events", map[string]any{logoutEvent: nil})},
		{Name: "a list of events", Reason: "events", Arrange: payload("events", []string{logoutEvent})},
		{Name: "the event in capitals too", Reason: "events", Arrange: payload("events", map[string]any{logoutEvent: map[string]any{}, strings.ToUpper(logoutEvent): map[string]any{}})},
		{Name: "no id", Reason: "jti", Arrange: without("jti")},
		{Name: "an empty id", Reason: "jti", Arrange: payload("jti", "")},
		{Name: "an id that is a number", Reason: "jti", Arrange: payload("jti", 1)},
		{Name: "neither who nor where", Reason: "sub", Arrange: func(op *OP) {
			op.Lies.Payload = func(c map[string]any) { delete(c, "sub"); delete(c, "sid") }
		}},
		{Name: "an empty subject", Reason: "sub", Arrange: payload("sub", "")},
		{Name: "an empty session id", Reason: "sid", Arrange: payload("sid", "")},
		{Name: "two subjects", Reason: "claims", Arrange: text(`"sub":`, `"sub":"root","sub":`)},
		{Name: "a SID beside the sid", Reason: "claims", Arrange: payload("SID", "x")},
		{Name: "issued long ago", Reason: "iat", Arrange: both(func(op *OP) {
			op.Lies.Payload = func(c map[string]any) { c["iat"], c["exp"] = op.Now().Unix()-13*60, op.Now().Unix()+60 }
		})},
		{Name: "issued in the future", Reason: "iat", Arrange: func(op *OP) {
			op.Lies.Payload = func(c map[string]any) { c["iat"], c["exp"] = op.Now().Unix()+130, op.Now().Unix()+300 }
		}},
		{Name: "not issued", Reason: "iat", Arrange: without("iat")},
		{Name: "ended", Reason: "exp", Arrange: at("exp", -121)},
		{Name: "no end", Reason: "exp", Arrange: without("exp")},
		{Name: "a second audience", Reason: "aud", Arrange: payload("aud", []string{"gatehouse", "another-client"})},
		{Name: "an access token", Reason: "typ", Arrange: header("typ", "at+jwt")},
		{Name: "a revocation", Reason: "typ", Arrange: header("typ", "global-token-revocation+jwt")},
		{Name: "extensions we don't know", Reason: "header", Arrange: header("crit", []string{"x"})},
		{Name: "no token", Reason: "token", Arrange: whole(func(string) string { return "" })},
		{Name: "encrypted", Reason: "token", Arrange: whole(func(string) string { return "a.b.c.d.e" })},
		{Name: "no discovery", Reason: "unavailable", Until: Discovery, Arrange: reply(Discovery, 503, "text/html", "")},
	}
}

func revokes(format string) func(*OP) string {
	return func(op *OP) string {
		return strings.NewReplacer("$ISS", op.URL, "$SUB", op.Subject).Replace(format)
	}
}

// GoodRevocations are revocations that must be believed.
func GoodRevocations() []Case {
	return []Case{
		{Name: "as Okta sends it"},
		{Name: "by an opaque id", Body: revokes(`{"sub_id":{"format":"opaque","id":"$SUB"}}`)},
		{Name: "as earlier drafts name it", Body: revokes(`{"subject":{"format":"iss_sub","iss":"$ISS","sub":"$SUB"}}`)},
		{Name: "without a type", Arrange: func(op *OP) { op.Lies.Header = func(h map[string]any) { delete(h, "typ") } }},
		{Name: "beside other members", Body: revokes(`{"reason":"left","sub_id":{"format":"iss_sub","iss":"$ISS","sub":"$SUB"}}`)},
	}
}

// HostileRevocations are revocations that must be refused. Until says only whether
// keys may be asked for.
func HostileRevocations() []Case {
	return []Case{
		{Name: "for another server", Reason: "aud", Arrange: payload("aud", "https://evil.example/revoke")},
		{Name: "for our client, as ID tokens are", Reason: "aud", Arrange: payload("aud", "gatehouse")},
		{Name: "for two", Reason: "aud", Arrange: func(op *OP) {
			op.Lies.Payload = func(c map[string]any) { c["aud"] = []any{c["aud"], "x"} }
		}},
		{Name: "for nobody", Reason: "aud", Arrange: without("aud")},
		{Name: "of another provider", Reason: "iss", Arrange: payload("iss", "https://evil.example")},
		{Name: "signed by another", Reason: "signature", Until: Keys, Arrange: signed(byOther)},
		{Name: "signed by another, and a body that can't be read", Reason: "signature", Until: Keys, Arrange: signed(byOther), Body: revokes(`[`)},
		{Name: "not signed", Reason: "alg", Arrange: none("none")},
		{Name: "a shared secret", Reason: "alg", Arrange: both(header("alg", "HS256"), signed(withPublicKeyAsPassword))},
		{Name: "ended", Reason: "exp", Arrange: at("exp", -121)},
		{Name: "no end", Reason: "exp", Arrange: without("exp")},
		{Name: "issued long ago", Reason: "iat", Arrange: at("iat", -13*60)},
		{Name: "no id", Reason: "jti", Arrange: without("jti")},
		{Name: "with a nonce", Reason: "typ", Arrange: payload("nonce", "x")},
		{Name: "with events", Reason: "typ", Arrange: payload("events", map[string]any{})},
		{Name: "an access token", Reason: "typ", Arrange: header("typ", "at+jwt")},
		{Name: "a logout token", Reason: "typ", Arrange: header("typ", "logout+jwt")},
		{Name: "two audiences by name", Reason: "claims", Arrange: text(`"aud":`, `"AUD":"x","aud":`)},
		{Name: "an address of mail", Reason: "sub_id_email", Until: Keys, Body: revokes(`{"sub_id":{"format":"email","email":"ada@corp.example"}}`)},
		{Name: "another provider's person", Reason: "sub_id_iss", Until: Keys, Body: revokes(`{"sub_id":{"format":"iss_sub","iss":"https://evil.example","sub":"$SUB"}}`)},
		{Name: "a person of no provider", Reason: "sub_id_iss", Until: Keys, Body: revokes(`{"sub_id":{"format":"iss_sub","sub":"$SUB"}}`)},
		{Name: "nobody of the provider", Reason: "sub_id", Until: Keys, Body: revokes(`{"sub_id":{"format":"iss_sub","iss":"$ISS","sub":""}}`)},
		{Name: "a format we don't know", Reason: "sub_id", Until: Keys, Body: revokes(`{"sub_id":{"format":"phone_number","phone_number":"+31"}}`)},
		{Name: "no format", Reason: "sub_id", Until: Keys, Body: revokes(`{"sub_id":{"iss":"$ISS","sub":"$SUB"}}`)},
		{Name: "about nobody", Reason: "sub_id", Until: Keys, Body: revokes(`{}`)},
		{Name: "about two", Reason: "sub_id", Until: Keys, Body: revokes(`{"sub_id":{"format":"opaque","id":"$SUB"},"subject":{"format":"opaque","id":"root"}}`)},
		{Name: "about two by name", Reason: "sub_id", Until: Keys, Body: revokes(`{"sub_id":{"format":"opaque","id":"$SUB"},"SUB_ID":{"format":"opaque","id":"root"}}`)},
		{Name: "an id twice", Reason: "sub_id", Until: Keys, Body: revokes(`{"sub_id":{"format":"opaque","id":"$SUB","id":"root"}}`)},
		{Name: "a list", Reason: "sub_id", Until: Keys, Body: revokes(`[]`)},
		{Name: "no JSON", Reason: "sub_id", Until: Keys, Body: revokes(`sub_id=x`)},
		{Name: "nothing", Reason: "sub_id", Until: Keys, Body: revokes(``)},
		{Name: "a huge body", Reason: "sub_id", Until: Keys, Body: revokes(`{"x":"` + huge + `"}`)},
	}
}
