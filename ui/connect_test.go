package ui

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/store"
)

func TestTokensOfAConnection(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		at := g.sync("Entra ID")
		page := g.get(sam, at+"/settings")
		if page.status != 200 || !strings.Contains(page.text("#scim"), string(g.refs["Entra ID"].ID)) || page.Find("#tokens").Length() != 0 {
			t.Fatalf("status %d, %q", page.status, page.text("main"))
		}
		var secrets []string
		for range 2 {
			shown, _ := g.onceShown(sam, g.post(sam, at+"/tokens", url.Values{"to": {"settings"}}))
			secrets = append(secrets, shown.Find("#new-token").Text())
		}
		if secrets[0] == secrets[1] || !strings.HasPrefix(secrets[1], store.TokenPrefix) {
			t.Fatalf("got %q, want two tokens", secrets)
		}
		third := g.post(sam, at+"/tokens", url.Values{"to": {"settings"}})
		if third.status != 303 || strings.Contains(strings.Join(third.header.Values("Set-Cookie"), " "), onceCookie) {
			t.Errorf("a third: status %d, %v, want to be told that two work", third.status, third.header.Values("Set-Cookie"))
		}
		page = g.get(sam, at+"/settings")
		if rows := page.Find("#tokens tbody tr").Length(); rows != 2 || tokens.MatchString(page.body) || page.Find("form[action$='/tokens']").Length() != 0 {
			t.Errorf("%d tokens listed, want 2 without their secrets and no way to a third", rows)
		}
		old := page.Find("#tokens form").Last().AttrOr("action", "")
		if got := g.post(sam, old, nil); got.status != 303 {
			t.Errorf("revoking: status %d", got.status)
		}
		if got := g.post(sam, old, nil); got.status != 404 {
			t.Errorf("revoking twice: status %d, want 404", got.status)
		}
		live := 0
		for _, secret := range secrets {
			if _, err := g.Authenticate(t.Context(), secret); err == nil {
				live++
			}
		}
		if live != 1 {
			t.Errorf("%d tokens work, want 1", live)
		}
	})
}

func TestConnectionsAreRenamed(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		at := g.sync("Entra ID")
		for name, want := range map[string]int{"okta": 409, "": 400, "a\tb": 400} {
			got := g.post(sam, at+"/name", url.Values{"name": {name}})
			if got.status != want || got.text("#e-name") == "" || got.Find("#f-name").AttrOr("value", "-") != name {
				t.Errorf("%q: status %d, %q, want %d and what was typed", name, got.status, got.text("#e-name"), want)
			}
		}
		if got := g.post(sam, at+"/name", url.Values{"name": {"Head <office>"}}); got.status != 303 {
			t.Fatalf("status %d: %q", got.status, got.text("main"))
		}
		if got := g.get(sam, "/sync"); !slices.Contains(got.texts("main h2 a"), "Head <office>") {
			t.Errorf("got %q", got.texts("main h2 a"))
		}
	})
}

func TestOAuthOfAConnection(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		at := g.sync("Entra ID")
		shown, _ := g.onceShown(sam, g.post(sam, at+"/client", url.Values{"do": {"secret"}}))
		secret, id := shown.Find("#new-secret").Text(), shown.text("#oauth ~ dl code")
		if !strings.HasPrefix(secret, store.ClientSecretPrefix) || id == "" {
			t.Fatalf("got %q of %q", secret, id)
		}
		again := g.get(sam, at+"/settings")
		if tokens.MatchString(again.body) {
			t.Error("the client's secret is shown a second time")
		}
		for _, f := range []url.Values{
			{"do": {"federate"}}, {"do": {"federate"}, "issuer": {"http://x"}, "subject": {"s"}, "audience": {"a"}},
			{"do": {"federate"}, "issuer": {"https://x"}, "subject": {""}, "audience": {"a"}}, {"do": {"nothing"}}, nil,
		} {
			if got := g.post(sam, at+"/client", f); got.status != 400 {
				t.Errorf("%v: status %d, want 400", f, got.status)
			}
		}
		f := url.Values{"do": {"federate"}, "issuer": {"https://login.example/v2.0"}, "subject": {"s-1"}, "audience": {"api://x/.default"}}
		if got := g.post(sam, at+"/client", f); got.status != 303 {
			t.Fatalf("federate: status %d, %q", got.status, got.text("main"))
		}
		if got := g.get(sam, at+"/settings").text("#oauth ~ dl"); !strings.Contains(got, "https://login.example/v2.0") || !strings.Contains(got, "api://x") {
			t.Errorf("got %q, want the federation", got)
		}
		credential := again.Find("form[action$='/client'] input[name=secret]").AttrOr("value", "")
		for _, f := range []url.Values{{"do": {"revoke-secret"}, "secret": {credential}}, {"do": {"end-federation"}}, {"do": {"revoke"}}} {
			if got := g.post(sam, at+"/client", f); got.status != 303 {
				t.Errorf("%v: status %d", f, got.status)
			}
			if got := g.post(sam, at+"/client", f); got.status != 404 {
				t.Errorf("%v twice: status %d, want 404", f, got.status)
			}
		}
	})
}

// provider is an identity provider that says of itself what it should.
func provider(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	keys := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k1", Algorithm: "RS256", Use: "sig"}}}
	var issuer string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var answer any = keys
		if strings.HasSuffix(r.URL.Path, "openid-configuration") {
			answer = map[string]any{"issuer": issuer, "authorization_endpoint": issuer + "/authorize", "token_endpoint": issuer + "/token", "jwks_uri": issuer + "/keys",
				"response_types_supported": []string{"code"}, "id_token_signing_alg_values_supported": []string{"RS256"},
				"code_challenge_methods_supported": []string{"S256"}, "token_endpoint_auth_methods_supported": []string{"client_secret_basic", "private_key_jwt"}}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(s.Close)
	issuer = s.URL
	return issuer
}

func TestHowPeopleSignIn(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		at, issuer := g.sync("Entra ID"), provider(t)
		form := func(edit ...string) url.Values {
			f := url.Values{"do": {"save"}, "issuer": {issuer}, "client": {"us"}, "auth": {"client_secret_basic"}, "claim": {"oid"}, "attribute": {"externalId"},
				"domains": {"waterland.example, corp.example"}, "secret": {"very secret indeed"}, "enabled": {"yes"}}
			for i := 0; i+1 < len(edit); i += 2 {
				f.Set(edit[i], edit[i+1])
			}
			return f
		}
		page := g.get(sam, at+"/settings")
		if page.Find("#f-claim").AttrOr("value", "") != "oid" || page.text("#redirect") != g.server.URL+"/oidc/callback" {
			t.Errorf("what is suggested: claim %q, redirect %q", page.Find("#f-claim").AttrOr("value", ""), page.text("#redirect"))
		}
		for why, f := range map[string]url.Values{
			"no issuer": form("issuer", ""), "no client": form("client", " "), "no secret": form("secret", ""), "by e-mail": form("claim", "email"),
			"a domain that is none": form("domains", "a@b"), "no way to prove it": form("auth", "none"), "no key": form("auth", "private_key_jwt"), "not an address": form("issuer", "x"),
		} {
			got := g.post(sam, at+"/signin", f)
			if got.status != 400 || got.text("form[action$='/signin'] .error") == "" || got.Find("#f-client").AttrOr("value", "") != strings.TrimSpace(f.Get("client")) {
				t.Errorf("%s: status %d, %q, want to be told and what was typed", why, got.status, got.text("main .error"))
			}
			if strings.Contains(got.body, "very secret") {
				t.Errorf("%s: the secret is in the page", why)
			}
		}
		if _, err := g.Provider(t.Context(), g.refs["Entra ID"]); err == nil {
			t.Fatal("what was refused is kept")
		}

		checked := g.post(sam, at+"/signin", form("do", "check"))
		if checked.status != 200 || !strings.Contains(checked.text("#checked"), issuer+"/authorize") {
			t.Errorf("checked: status %d, %q", checked.status, checked.text("main"))
		}
		if got := g.post(sam, at+"/signin", form("do", "check", "issuer", issuer+"/other")); got.status != 200 || !strings.Contains(got.text("#checked .error"), "doesn't work like this") {
			t.Errorf("checked one that isn't there: status %d, %q", got.status, got.text("#checked"))
		}
		if got := g.post(sam, at+"/signin", form()); got.status != 303 {
			t.Fatalf("saved: status %d, %q", got.status, got.text("main .error"))
		}
		p, err := g.Provider(t.Context(), g.refs["Entra ID"])
		if err != nil || p.Issuer != issuer || p.Claim != "oid" || !slices.Equal(p.Domains, []string{"corp.example", "waterland.example"}) || !p.Enabled || p.JIT || strings.Contains(p.Sealed, "secret indeed") {
			t.Fatalf("got %+v, %v", p, err)
		}
		if opened, err := g.console.opts.Sealer.Open(string(p.ConnectionID), p.Sealed); err != nil || opened != "very secret indeed" {
			t.Errorf("the sealed secret: %q, %v", opened, err)
		}
		if got := g.get(sam, at+"/settings"); strings.Contains(got.body, "very secret") || !strings.Contains(got.text("#h-secret"), "One is kept") {
			t.Errorf("afterwards: %q", got.text("#h-secret"))
		}
		if got := g.post(sam, at+"/signin", form("secret", "", "jit", "yes", "enabled", "")); got.status != 303 {
			t.Errorf("changed with the kept secret: status %d, %q", got.status, got.text("main .error"))
		}
		if after, err := g.Provider(t.Context(), g.refs["Entra ID"]); err != nil || after.Sealed != p.Sealed || !after.JIT || after.Enabled {
			t.Errorf("got %+v, %v, want the secret as it was, jit, and nobody let in", after, err)
		}
		if got := g.get(chloe, "/settings"); !strings.Contains(got.text("main"), issuer) || !strings.Contains(got.text("main"), "oid = externalId") {
			t.Errorf("settings: %q, want how people sign in", got.text("main"))
		}
		if got := g.post(sam, at+"/signin", url.Values{"do": {"remove"}}); got.status != 303 {
			t.Errorf("ended: status %d", got.status)
		}
		if _, err := g.Provider(t.Context(), g.refs["Entra ID"]); err == nil {
			t.Error("it signs in still")
		}
	})
}

func TestAPrivateKeyProvesWhoWeAre(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	f := url.Values{"do": {"save"}, "issuer": {provider(t)}, "client": {"us"}, "auth": {"private_key_jwt"}, "key": {"k1"}, "claim": {"sub"}, "attribute": {"userName"}, "secret": {text}}
	if got := g.post(sam, g.sync("Okta")+"/signin", f); got.status != 303 {
		t.Fatalf("status %d, %q", got.status, got.text("main .error"))
	}
	if p, err := g.Provider(t.Context(), g.refs["Okta"]); err != nil || p.Auth != "private_key_jwt" || p.KeyID != "k1" {
		t.Errorf("got %+v, %v", p, err)
	}
}

// TestDisconnecting holds that it is said what becomes of the people, by name, before
// it is done.
func TestDisconnecting(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		okta, at := g.refs["Okta"], g.sync("Okta")+"/remove"
		page := g.get(sam, at)
		if page.status != 200 || !strings.Contains(page.text("main"), "8 people, ") || page.Find("main form").Length() != 0 || page.Find("main .tabs .button").Length() != 3 || page.Find("main [aria-current]").Length() != 0 {
			t.Fatalf("status %d, %q", page.status, page.text("main"))
		}
		if got := g.post(sam, at, nil); got.status != 400 {
			t.Errorf("without a choice: status %d, want 400", got.status)
		}
		if got := g.get(sam, at+"?people=x"); got.status != 400 {
			t.Errorf("another choice: status %d, want 400", got.status)
		}
		look := g.get(sam, at+"?people=suspend")
		if !strings.Contains(look.text("#impact"), "Ada Byron") || look.Find("#impact form").Length() != 1 || look.text("main .tabs .button[aria-current]") != "Suspend them" {
			t.Fatalf("who loses: %q", look.text("#impact"))
		}
		f := url.Values{}
		for i := range look.Find("#impact form input").Length() {
			input := look.Find("#impact form input").Eq(i)
			f.Set(input.AttrOr("name", ""), input.AttrOr("value", ""))
		}
		if typed := look.Find("#f-typed"); typed.Length() == 1 {
			for _, n := range []string{"1", "2", "3", "4", "5", "6", "7", "8"} {
				if strings.Contains(look.text("label[for=f-typed]"), n) {
					f.Set("typed", n)
				}
			}
		}
		stale := url.Values{"digest": {"x"}, "key": f["key"]}
		if got := g.post(sam, at+"?people=suspend", stale); got.status != 409 {
			t.Errorf("with another digest: status %d, want 409", got.status)
		}
		if c, err := g.ConnectionNamed(t.Context(), okta.Tenant, "Okta"); err != nil || !c.EndedAt.IsZero() {
			t.Fatalf("what was refused is done: %+v, %v", c, err)
		}
		if got := g.post(sam, at+"?people=suspend", f); got.status != 303 || got.header.Get("Location") != "/sync" {
			t.Fatalf("status %d, %q", got.status, got.text("main"))
		}
		people, err := g.PeopleOf(t.Context(), okta, 100)
		if err != nil || len(people) != 8 || slices.ContainsFunc(people, func(p store.PersonOf) bool { return p.LoginAllowed }) {
			t.Errorf("got %+v, %v, want all eight blocked", people, err)
		}
		if got := g.get(sam, "/sync"); !strings.Contains(got.text("main"), "Disconnected on 22 Nov 2026") {
			t.Errorf("afterwards: %q", got.text("main"))
		}
		if got := g.post(sam, at+"?people=suspend", f); got.status != 303 {
			t.Errorf("the form sent twice: status %d, want to be told that it is done", got.status)
		}
		if got := g.get(sam, g.sync("Okta")+"/settings"); got.status != 404 {
			t.Errorf("its settings: status %d, want 404", got.status)
		}

		last := g.get(sam, g.sync("Entra ID")+"/remove?people=remove")
		if last.Find("#impact form").Length() != 0 || last.text("#impact [role=alert]") == "" {
			t.Errorf("with the last owner in it: %q, want it refused", last.text("#impact"))
		}
		if got := g.post(sam, g.sync("Entra ID")+"/remove?people=keep", nil); got.status != 303 {
			t.Fatalf("kept: status %d, %q", got.status, got.text("main"))
		}
		if got := g.get(sam, "/people?q="+eva); got.status != 200 || !slices.Contains(listed(got), eva) {
			t.Errorf("kept: %v, want them there", listed(got))
		}
	})
}
