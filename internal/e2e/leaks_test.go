package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/access"
	"gatehouse/internal/idptest"
	"gatehouse/internal/pgtest"
	"gatehouse/store"
)

// heard keeps what the provider and we tell each other.
type heard struct {
	mu      sync.Mutex
	secrets map[string]string
}

func (h *heard) note(name, value string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if value != "" {
		h.secrets[name] = value
	}
}

// TestSecretsAreNowhere signs an owner in, uses every kind of secret, rightly and
// wrongly, and looks for them in the log at its most talkative, on every page of the
// console, in its exports, in the metrics and in every row of the database.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db") },
		"postgres": func(t *testing.T) string { return pgtest.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secretsAreNowhere(t, database(t))
		})
	}
}

// wayIn is how a secret is used.
type wayIn struct {
	looks []string // addresses that show what it is for
	path  string
	form  url.Values
}

// waysIn makes one of each secret that lets somebody in who has no account, and notes
// them.
func (a consoleArranger) waysIn(h *heard) map[string]wayIn {
	a.t.Helper()
	ctx := a.t.Context()
	var invitation, printed, link, first, glass string
	a.write(func(ctx context.Context, tx *store.Tx) (err error) {
		invited := store.Invitation{Kind: access.KindGuest, DisplayName: "Jan Klus", Email: "jan@klus.example"}
		if _, invitation, err = tx.CreateInvitation(ctx, invited); err != nil {
			return err
		}
		invited = store.Invitation{Kind: access.KindGuest, DisplayName: "Kim Klaar", Form: store.InvitationCode}
		if _, printed, err = tx.CreateInvitation(ctx, invited); err != nil {
			return err
		}
		if _, link, err = tx.CreateSetupLink(ctx, a.ref.ID); err != nil {
			return err
		}
		_, glass, err = tx.CreateBreakGlass(ctx)
		return err
	})
	tenant, err := a.EnsureTenant(ctx, store.Actor{Kind: store.ActorSystem}, "newcomer")
	if err == nil {
		err = a.Write(ctx, store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI}, func(tx *store.Tx) error {
			_, first, err = tx.CreateSetup(ctx)
			return err
		})
	}
	if err != nil {
		a.t.Fatal(err)
	}
	for name, secret := range map[string]string{"invitation": invitation, "printed code": printed, "set-up link": link, "first owner": first, "break-glass": glass} {
		h.note(name, secret)
	}
	code := func(secret string) url.Values { return url.Values{"code": {secret}} }
	return map[string]wayIn{
		"invitation":   {[]string{"/i/" + invitation, "/i?" + code(invitation).Encode()}, "/i", code(invitation)},
		"printed code": {[]string{"/i?" + code(printed).Encode()}, "/i", code(printed)},
		"set-up link":  {[]string{"/setup/" + link}, "/setup/" + link + "/tokens", url.Values{}},
		"first owner":  {[]string{"/setup?" + code(first).Encode()}, "/setup", url.Values{"code": {first}, "name": {"Nina Nieuw"}}},
		"break-glass":  {[]string{"/break-glass?" + code(glass).Encode()}, "/break-glass", code(glass)},
	}
}

// challenge begins something with a passkey, and gives what is to be signed.
func (v *visitor) challenge(address string) string {
	v.t.Helper()
	answer, err := v.http.PostForm(address, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	var options struct{ PublicKey struct{ Challenge string } }
	if err := json.NewDecoder(answer.Body).Decode(&options); err != nil || options.PublicKey.Challenge == "" {
		v.t.Fatalf("%s: status %d: %v", address, answer.StatusCode, err)
	}
	return options.PublicKey.Challenge
}

func secretsAreNowhere(t *testing.T, database string) {
	h := &heard{secrets: map[string]string{}}
	flags := append([]string{"--log-level=debug", "--metrics-listen=127.0.0.1:0"}, forSignIn...)
	c, log := serveLogged(t, database, flags...)
	h.note("SCIM token", c.token)
	a := arrangeConsole(t, database)
	op := idptest.New(t)
	op.ClientSecret = "canary-client-secret-0123456789"
	h.note("client secret", op.ClientSecret)
	op.Lies.Reply = func(asked idptest.Call, _ http.ResponseWriter, r *http.Request) bool {
		if asked == idptest.Token {
			body, _ := io.ReadAll(r.Body) // it is in memory
			r.Body = io.NopCloser(bytes.NewReader(body))
			form, _ := url.ParseQuery(string(body))
			h.note("verifier", form.Get("code_verifier"))
		}
		return false
	}
	op.Lies.JWT = func(token string) string { h.note("ID token", token); return token }

	connection := signInWith(t, database, "entra", op)
	var owner store.UserID
	a.write(func(ctx context.Context, tx *store.Tx) error {
		u, err := tx.CreateUser(ctx, a.ref, store.User{UserName: "ada@corp.example", ExternalID: op.Subject, Active: true, Doc: []byte(`{}`), Search: []byte(`{}`)})
		if owner = u.ID; err != nil {
			return err
		}
		if err := tx.SetProduct(ctx, access.Product{ID: "clicktime", Permissions: []access.Permission{{ID: "timesheet"}}}); err != nil {
			return err
		}
		_, err = tx.AddGrants(ctx, access.Grant{Subject: access.Grantee{User: access.UserID(owner)}, Effect: access.Allow, Product: access.ConsoleID,
			Role: access.RoleOwner, Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect})
		return err
	})
	productKey, _ := addKey(t, database, "default", "clicktime")
	h.note("product key", productKey)
	var hook struct{ Secret string }
	if err := json.Unmarshal(command(t, "webhook", "add", "--database-url="+database, "--product=clicktime", "--url=https://hooks.example/x", "--json"), &hook); err != nil || hook.Secret == "" {
		t.Fatalf("webhook add: %v", err)
	}
	h.note("webhook secret", hook.Secret)

	waysIn := a.waysIn(h)

	// Everything is used: as it is meant, twice, in the wrong place, and in addresses.
	v := newVisitor(t)
	back := v.begin(c.host, connection, "", op)
	h.note("code", back.Get("code"))
	h.note("state", back.Get("state"))
	if !v.finish(c.host, back) || !v.in(c.host) {
		t.Fatalf("signing in: %s", log)
	}
	host, err := url.Parse(c.host)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range v.http.Jar.Cookies(host) {
		h.note("cookie "+cookie.Name, cookie.Value)
	}
	v.finish(c.host, back)
	c.do("GET", "/Users?filter=userName+eq+%22x%22", nil)
	for name, way := range waysIn {
		guest := newVisitor(t)
		for _, path := range way.looks {
			if status, _, _ := guest.get(c.host + path); status != http.StatusOK {
				t.Errorf("%s: opening it: status %d", name, status)
			}
		}
		for turn, want := range []int{http.StatusSeeOther, 0} { // the second time is too late
			if status := guest.from("", c.host+way.path, way.form); status != want && want != 0 || status >= 500 {
				t.Errorf("%s, turn %d: status %d, want %d", name, turn, status, want)
			}
		}
		for _, cookie := range guest.http.Jar.Cookies(host) {
			h.note(name+"'s cookie "+cookie.Name, cookie.Value)
		}
	}
	for _, path := range []string{"/me/passkeys", "/login/passkey"} {
		challenge := v.challenge(c.host + path + "/challenge")
		h.note("challenge of "+path, challenge)
		credential := fmt.Sprintf(`{"id":"eA","rawId":"eA","type":"public-key","response":{"clientDataJSON":%q}}`, base64.RawURLEncoding.EncodeToString([]byte(challenge)))
		if status := v.from("", c.host+path, url.Values{"credential": {credential}}); status < 400 || status >= 500 {
			t.Errorf("%s with a credential that proves nothing: status %d", path, status)
		}
	}
	var pages bytes.Buffer
	note := func(r *http.Response, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		if _, err := io.Copy(&pages, r.Body); err != nil {
			t.Fatal(err)
		}
		if r.StatusCode >= 500 {
			t.Errorf("%s %s: status %d", r.Request.Method, r.Request.URL.Path, r.StatusCode)
		}
	}
	canaries := slices.Sorted(maps.Values(h.secrets))
	stranger := http.Client{Timeout: patience, CheckRedirect: v.http.CheckRedirect}
	for _, secret := range canaries {
		for _, path := range []string{c.path + "/Users", "/p/clicktime/access/v1/evaluation", "/api/v1/changes", "/people", "/oidc/revoke/" + connection} {
			for _, scheme := range []string{"Bearer ", "Basic ", ""} {
				r, err := http.NewRequest("POST", c.host+path, strings.NewReader("{}"))
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Authorization", scheme+secret)
				r.AddCookie(&http.Cookie{Name: "gatehouse-signin", Value: secret})
				answer, err := stranger.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				answer.Body.Close() // may repeat nothing, and is looked at elsewhere
			}
		}
	}

	// What an owner sees, by following every link from every page.
	seen, next := map[string]bool{}, []string{"/", "/audit", "/audit.csv", "/audit.json", "/audit/seals.json", "/sync", "/settings", "/settings/webhooks", "/products/clicktime", "/people.csv", "/nothing"}
	for len(next) > 0 && len(seen) < 120 {
		path := next[0]
		if next = next[1:]; seen[path] {
			continue
		}
		seen[path] = true
		from := pages.Len()
		note(v.http.Get(c.host + path))
		for _, link := range strings.Split(pages.String()[from:], ` href="`)[1:] {
			to, _, _ := strings.Cut(link, `"`)
			if to = strings.ReplaceAll(to, "&amp;", "&"); strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "/s/") && !strings.HasPrefix(to, "/log") {
				next = append(next, to)
			}
		}
	}
	for _, want := range []string{"/audit", "/sync/" + connection, "/sync/" + connection + "/settings", "/people/" + string(owner)} {
		if !seen[want] {
			t.Errorf("%s was not opened, of %d pages", want, len(seen))
		}
	}
	metrics, err := http.Get("http://" + log.address(t, "metrics") + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer metrics.Body.Close()
	measured, err := io.ReadAll(metrics.Body)
	if err != nil || !bytes.Contains(measured, []byte("gatehouse_")) {
		t.Fatalf("metrics: %v: %.200s", err, measured)
	}
	tables := (&tenancy{client: c, database: database}).dump(t)
	tables["(the log)"], tables["(pages)"], tables["(metrics)"] = log.String(), pages.String(), string(measured)
	if !strings.Contains(tables["(log)"]+tables["(the log)"], "/oidc/callback") || !strings.Contains(tables["users"], "ada@corp.example") {
		t.Errorf("the log or the database was not looked at")
	}
	leaks := 0
	h.mu.Lock()
	defer h.mu.Unlock()
	for name, secret := range h.secrets {
		if len(secret) < 8 {
			t.Errorf("%s is %q, which is found everywhere", name, secret)
		}
		for table, text := range tables {
			if strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret)) {
				leaks++
				t.Errorf("%s is in %s", name, table)
			}
		}
	}
	for _, want := range []string{"cookie gatehouse", "client secret", "code", "verifier", "ID token", "invitation", "printed code", "set-up link", "first owner", "break-glass",
		"invitation's cookie gatehouse", "break-glass's cookie gatehouse", "challenge of /me/passkeys", "challenge of /login/passkey"} {
		if h.secrets[want] == "" {
			t.Errorf("%s was not looked for, only %v", want, slices.Sorted(maps.Keys(h.secrets)))
		}
	}
	t.Logf("leaks = %d of %d secrets in %d places, %d pages", leaks, len(h.secrets), len(tables), len(seen))
}
