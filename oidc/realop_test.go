package oidc

import (
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
)

// A server of httptest that closes also closes what http.DefaultTransport calls idle, and an
// answer without a body is still on its way then: the client of a test beside it would fail.
func init() { http.DefaultTransport = struct{ http.RoundTripper }{http.DefaultTransport} }

// TestRealProvider signs in at somebody else's provider, who can't have made our
// mistakes, and out again.
func TestRealProvider(t *testing.T) {
	t.Parallel()
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	const secret = "a secret+with/signs%"
	storage.RegisterClients(storage.WebClient("gatehouse", secret, redirect))
	handler = exampleop.SetupServer(server.URL, storage.NewStorage(storage.NewUserStore(server.URL)), slog.New(slog.DiscardHandler), true)

	c := NewClient(NewEgress(true), nil)
	p := Provider{Issuer: server.URL, ClientID: "gatehouse", ClientSecret: secret, RedirectURL: redirect, Scopes: []string{"profile", "email"}, UserInfo: true}
	if _, err := c.Check(t.Context(), p); err != nil {
		t.Fatalf("check: %v", err)
	}
	tx, address, err := c.Begin(t.Context(), p, BeginOptions{MaxAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	answer := visitLogin(t, address)
	id, err := c.Finish(t.Context(), p, tx, answer)
	if err != nil {
		t.Fatalf("finish: %v", err)
	}
	name, _ := id.Text("preferred_username")
	if id.Issuer != server.URL || id.Subject != "id1" || name != "test-user@127.0.0.1" || time.Since(id.AuthTime) > time.Minute {
		t.Errorf("got %s %s %q, signed in at %v", id.Issuer, id.Subject, name, id.AuthTime)
	}
	if _, err := c.Finish(t.Context(), p, tx, answer); Reason(err) != "code" {
		t.Errorf("the same answer again: got %v, want reason code", err)
	}
	wrong := p
	wrong.ClientSecret = "another"
	tx, address, err = c.Begin(t.Context(), wrong, BeginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Finish(t.Context(), wrong, tx, visitLogin(t, address)); Reason(err) != "client" {
		t.Errorf("another secret: got %v, want reason client", err)
	}
	out, has, err := c.EndSession(t.Context(), p, id.IDToken, "", "")
	if err != nil || !has {
		t.Fatalf("end the session: %v, %v", has, err)
	}
	page, err := http.Get(out)
	if err != nil {
		t.Fatal(err)
	}
	page.Body.Close()
	if page.StatusCode != http.StatusOK || page.Request.URL.Path != "/logged-out" {
		t.Errorf("signing out there: %s at %s", page.Status, page.Request.URL)
	}
}

// visitLogin fills in the provider's form, and gives what the browser brings back.
func visitLogin(t *testing.T, address string) url.Values {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var back url.Values
	browser := http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), redirect) {
			back = r.URL.Query()
			return http.ErrUseLastResponse
		}
		return nil
	}}
	page, err := browser.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	page.Body.Close()
	form := page.Request.URL
	page, err = browser.PostForm(form.Scheme+"://"+form.Host+form.Path, url.Values{
		"id": {form.Query().Get("authRequestID")}, "username": {"test-user@127.0.0.1"}, "password": {"verysecure"},
	})
	if err != nil {
		t.Fatal(err)
	}
	page.Body.Close()
	if back == nil {
		t.Fatalf("the provider's form leads to %s with %s", page.Request.URL, page.Status)
	}
	return back
}
