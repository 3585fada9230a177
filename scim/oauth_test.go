package scim

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/pgtest"
	"gatehouse/internal/web"
	"gatehouse/store"
)

var oauthDatabase = pgtest.Template{Prepare: func(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}}

// goodAssertion is what the issuer of these tests signs; package oidc looks at
// real ones, and internal/e2e at both together.
const goodAssertion = "head.claims.signature"

// authority is a server with a connection that has a client, one that has
// another client, and a look behind the scenes.
type authority struct {
	*httptest.Server
	edge     *Server
	store    *store.Store
	db       *sql.DB
	actor    store.Actor
	conn     store.Connection
	other    store.Connection
	id       store.ClientID
	secret   string
	otherID  store.ClientID
	otherKey string

	mu     sync.Mutex
	now    time.Time
	verify atomic.Int32 // how often an assertion was looked at
	down   atomic.Bool  // the issuer
	jti    atomic.Value // of the next assertion
}

func onBothAuthorities(t *testing.T, test func(t *testing.T, a *authority)) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) (address, driver, source string){
		"sqlite": func(t *testing.T) (string, string, string) {
			file := filepath.Join(t.TempDir(), "gatehouse.db")
			if _, err := store.Migrate(t.Context(), "sqlite://"+file); err != nil {
				t.Fatal(err)
			}
			return "sqlite://" + file, "sqlite", "file:" + file + "?_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)"
		},
		"postgres": func(t *testing.T) (string, string, string) {
			address := oauthDatabase.URL(t)
			return address, "postgres", address
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, driver, source := open(t)
			a := &authority{now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
			a.jti.Store("")
			a.open(t, address, driver, source)
			test(t, a)
		})
	}
}

func (a *authority) open(t *testing.T, address, driver, source string) {
	t.Helper()
	var err error
	if a.store, err = store.Open(t.Context(), address, store.Options{Connections: 4, Now: a.clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.store.Close() })
	if a.db, err = sql.Open(driver, source); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.db.Close() })
	tenant, err := a.store.EnsureTenant(t.Context(), store.Actor{Kind: store.ActorSystem}, "acme")
	if err != nil {
		t.Fatal(err)
	}
	a.actor = store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI, ID: "ann"}
	a.write(t, func(tx *store.Tx) error {
		for _, c := range []struct {
			name   string
			conn   *store.Connection
			id     *store.ClientID
			secret *string
		}{{"entra", &a.conn, &a.id, &a.secret}, {"okta", &a.other, &a.otherID, &a.otherKey}} {
			var err error
			if *c.conn, err = tx.CreateConnection(t.Context(), c.name, store.IdPEntra); err != nil {
				return err
			}
			client, err := tx.EnsureClient(t.Context(), *c.conn)
			if err != nil {
				return err
			}
			*c.id = client.ID
			if _, *c.secret, err = tx.CreateSecret(t.Context(), *c.conn, store.MinSecretLife); err != nil {
				return err
			}
		}
		_, err := tx.Federate(t.Context(), a.conn, store.Federation{Issuer: "https://login.example", Subject: "s", Audience: "api://gatehouse"})
		return err
	})
	a.edge, err = New(t.Context(), a.store, Options{VerifyAssertion: func(_ context.Context, pinned store.Federation, assertion string) (string, error) {
		a.verify.Add(1)
		switch {
		case a.down.Load():
			return "", fmt.Errorf("%w: no route", ErrIssuerUnavailable)
		case assertion != goodAssertion || pinned.Issuer != "https://login.example":
			return "", errors.New("not the issuer's signature")
		}
		return a.jti.Load().(string), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	mux, err := web.Mux(a.edge.Routes())
	if err != nil {
		t.Fatal(err)
	}
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
}

func (a *authority) clock() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now
}

func (a *authority) advance(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now = a.now.Add(d)
}

func (a *authority) write(t *testing.T, f func(*store.Tx) error) {
	t.Helper()
	if err := a.store.Write(t.Context(), a.actor, f); err != nil {
		t.Fatal(err)
	}
}

// tokenRequest is what a client sends, or somebody who wants to be one.
type tokenRequest struct {
	method, query, contentType string
	header                     http.Header
	form                       string
}

type tokenAnswer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (a *authority) ask(t *testing.T, r tokenRequest) tokenAnswer {
	t.Helper()
	req, err := http.NewRequest(cmp.Or(r.method, "POST"), a.URL+"/oauth2/token"+r.query, strings.NewReader(r.form))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if _, given := r.header["Content-Type"]; !given {
		req.Header.Set("Content-Type", cmp.Or(r.contentType, "application/x-www-form-urlencoded"))
	}
	answer, err := a.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := tokenAnswer{status: answer.StatusCode, header: answer.Header, raw: string(raw)}
	if err := json.Unmarshal(raw, &got.body); err != nil {
		t.Errorf("%s: %v", raw, err)
	}
	if c := got.header; c.Get("Cache-Control") != "no-store" || c.Get("Pragma") != "no-cache" || c.Get("Content-Type") != "application/json" {
		t.Errorf("headers: got %v, want JSON that is not stored", c)
	}
	return got
}

func basic(id, secret string) http.Header {
	return authorization("Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret)))
}

func authorization(values ...string) http.Header { return http.Header{"Authorization": values} }

const (
	grantForm  = "grant_type=client_credentials"
	bearerType = "&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
)

func (a *authority) post(id store.ClientID, secret string) string {
	return grantForm + "&client_id=" + string(id) + "&client_secret=" + secret
}

func (a *authority) assertion(id store.ClientID, jwt string) string {
	return grantForm + "&client_id=" + string(id) + bearerType + "&client_assertion=" + jwt
}

// token asks with a secret and gives the access token.
func (a *authority) token(t *testing.T, form string) string {
	t.Helper()
	got := a.ask(t, tokenRequest{form: form})
	token, _ := got.body["access_token"].(string)
	if got.status != 200 || token == "" {
		t.Fatalf("got %d %s, want a token", got.status, got.raw)
	}
	return token
}

// opens gives the status of a read of a connection with a token.
func (a *authority) opens(t *testing.T, c store.Connection, token string) int {
	t.Helper()
	req, err := http.NewRequest("GET", a.URL+"/scim/"+string(c.ID)+"/v2/Users?count=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	answer, err := a.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.StatusCode
}

// rows are all rows that a token request could touch.
func (a *authority) rows(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, table := range []string{"connections", "tokens", "clients", "client_credentials", "access_tokens", "changes"} {
		rows, err := a.db.Query("SELECT * FROM " + table + " ORDER BY id")
		if err != nil {
			t.Fatal(err)
		}
		columns, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values := make([]any, len(columns))
			for i := range values {
				values[i] = new(any)
			}
			if err := rows.Scan(values...); err != nil {
				t.Fatal(err)
			}
			row := ""
			for _, v := range values {
				row += fmt.Sprintf("%v|", *v.(*any))
			}
			all[table] = append(all[table], row)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestTokenEndpoint(t *testing.T) {
	onBothAuthorities(t, func(t *testing.T, a *authority) {
		id, secret := string(a.id), a.secret
		for _, test := range []struct {
			why string
			tokenRequest
		}{
			{why: "secret in the body", tokenRequest: tokenRequest{form: a.post(a.id, secret)}},
			{why: "secret in the header", tokenRequest: tokenRequest{form: grantForm, header: basic(id, secret)}},
			{why: "the id in both", tokenRequest: tokenRequest{form: grantForm + "&client_id=" + id, header: basic(id, secret)}},
			{why: "encoded in the header", tokenRequest: tokenRequest{form: grantForm, header: basic(id, strings.Replace(secret, "_", "%5F", 1))}},
			{why: "scheme in small letters", tokenRequest: tokenRequest{form: grantForm, header: authorization("basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret)))}},
			{why: "an assertion", tokenRequest: tokenRequest{form: a.assertion(a.id, goodAssertion)}},
			{why: "the same assertion without an id again", tokenRequest: tokenRequest{form: a.assertion(a.id, goodAssertion)}},
			{why: "as Entra asks", tokenRequest: tokenRequest{form: a.assertion(a.id, goodAssertion) + "&scope=scim"}},
			{why: "another scope is ignored", tokenRequest: tokenRequest{form: a.post(a.id, secret) + "&scope=everything"}},
			{why: "so are several", tokenRequest: tokenRequest{form: a.post(a.id, secret) + "&scope=scim+okta.users.manage+https%3A%2F%2Fx%2F.default"}},
			{why: "and what is no scope", tokenRequest: tokenRequest{form: a.post(a.id, secret) + "&scope=%22%C3%A9%5C"}},
			{why: "without a value is not there", tokenRequest: tokenRequest{form: a.post(a.id, secret) + "&scope=&client_assertion=&client_assertion_type="}},
			{why: "what we don't know is ignored", tokenRequest: tokenRequest{form: a.post(a.id, secret) + "&resource=x&audience=y"}},
			{why: "with a charset", tokenRequest: tokenRequest{form: a.post(a.id, secret), contentType: "application/x-www-form-urlencoded; charset=UTF-8"}},
			{why: "the type in capitals", tokenRequest: tokenRequest{form: a.post(a.id, secret), contentType: "Application/X-WWW-Form-URLEncoded"}},
		} {
			got := a.ask(t, test.tokenRequest)
			token, _ := got.body["access_token"].(string)
			want := map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3600.0, "scope": "scim"}
			if got.status != 200 || !strings.HasPrefix(token, store.AccessTokenPrefix) || !reflect.DeepEqual(got.body, want) {
				t.Errorf("%s: got %d %s, want %v", test.why, got.status, got.raw, want)
				continue
			}
			if status := a.opens(t, a.conn, token); status != 200 {
				t.Errorf("%s: the token opens its connection with %d, want 200", test.why, status)
			}
			if status := a.opens(t, a.other, token); status != 401 {
				t.Errorf("%s: the token opens another connection with %d, want 401", test.why, status)
			}
		}
	})
}

func TestTokenEndpointRefuses(t *testing.T) {
	onBothAuthorities(t, func(t *testing.T, a *authority) {
		id, secret := string(a.id), a.secret
		var revoked string
		a.write(t, func(tx *store.Tx) error {
			c, s, err := tx.CreateSecret(t.Context(), a.conn, store.MinSecretLife)
			if err != nil {
				return err
			}
			revoked = s
			return tx.RevokeSecret(t.Context(), a.conn, string(c.ID))
		})
		a.jti.Store("used")
		a.token(t, a.assertion(a.id, goodAssertion)) // from now on its id is known
		access := a.token(t, a.post(a.id, secret))
		good := a.post(a.id, secret)

		for _, test := range []struct {
			why string
			tokenRequest
			code      string
			status    int
			challenge bool // WWW-Authenticate
			verified  bool // whether the assertion was looked at
		}{
			{why: "no body", code: "invalid_client"},
			{why: "only the grant", tokenRequest: tokenRequest{form: grantForm}, code: "invalid_client"},
			{why: "only the id", tokenRequest: tokenRequest{form: grantForm + "&client_id=" + id}, code: "invalid_client"},
			{why: "an empty secret", tokenRequest: tokenRequest{form: a.post(a.id, "")}, code: "invalid_client"},
			{why: "no id", tokenRequest: tokenRequest{form: grantForm + "&client_secret=" + secret}, code: "invalid_request"},
			{why: "an unknown client", tokenRequest: tokenRequest{form: a.post("01890000-0000-7000-8000-000000000000", secret)}, code: "invalid_client"},
			{why: "a client that can't be", tokenRequest: tokenRequest{form: a.post("nobody", secret)}, code: "invalid_client"},
			{why: "a wrong secret", tokenRequest: tokenRequest{form: a.post(a.id, secret+"x")}, code: "invalid_client"},
			{why: "a shortened secret", tokenRequest: tokenRequest{form: a.post(a.id, secret[:len(secret)-1])}, code: "invalid_client"},
			{why: "the secret in capitals", tokenRequest: tokenRequest{form: a.post(a.id, strings.ToUpper(secret))}, code: "invalid_client"},
			{why: "another client's secret", tokenRequest: tokenRequest{form: a.post(a.id, a.otherKey)}, code: "invalid_client"},
			{why: "a revoked secret", tokenRequest: tokenRequest{form: a.post(a.id, revoked)}, code: "invalid_client"},
			{why: "an access token as a secret", tokenRequest: tokenRequest{form: a.post(a.id, access)}, code: "invalid_client"},
			{why: "a connection's id", tokenRequest: tokenRequest{form: a.post(store.ClientID(a.conn.ID), secret)}, code: "invalid_client"},
			{why: "the id in capitals", tokenRequest: tokenRequest{form: a.post(store.ClientID(strings.ToUpper(id)), secret)}, code: "invalid_client"},

			{why: "a wrong secret in the header", tokenRequest: tokenRequest{form: grantForm, header: basic(id, "x")}, code: "invalid_client", challenge: true},
			{why: "an unknown client in the header", tokenRequest: tokenRequest{form: grantForm, header: basic("nobody", secret)}, code: "invalid_client", challenge: true},
			{why: "no secret in the header", tokenRequest: tokenRequest{form: grantForm, header: basic(id, "")}, code: "invalid_client", challenge: true},
			{why: "a header that is not encoded", tokenRequest: tokenRequest{form: grantForm, header: authorization("Basic " + id + ":" + secret)}, code: "invalid_client", challenge: true},
			{why: "a header with half an escape", tokenRequest: tokenRequest{form: grantForm, header: basic(id, secret+"%2")}, code: "invalid_client", challenge: true},
			{why: "the secret as a bearer token", tokenRequest: tokenRequest{form: grantForm + "&client_id=" + id, header: authorization("Bearer " + secret)}, code: "invalid_client", challenge: true},
			{why: "an access token for another", tokenRequest: tokenRequest{form: grantForm, header: authorization("Bearer " + access)}, code: "invalid_client", challenge: true},
			{why: "two headers", tokenRequest: tokenRequest{form: grantForm, header: authorization(basic(id, secret).Get("Authorization"), "Basic eDp5")}, code: "invalid_request"},
			{why: "header and secret", tokenRequest: tokenRequest{form: good, header: basic(id, secret)}, code: "invalid_request"},
			{why: "header and assertion", tokenRequest: tokenRequest{form: a.assertion(a.id, goodAssertion), header: basic(id, secret)}, code: "invalid_request"},
			{why: "secret and assertion", tokenRequest: tokenRequest{form: a.assertion(a.id, goodAssertion) + "&client_secret=" + secret}, code: "invalid_request"},
			{why: "header for one, id of another", tokenRequest: tokenRequest{form: grantForm + "&client_id=" + string(a.otherID), header: basic(id, secret)}, code: "invalid_request"},

			{why: "no assertion", tokenRequest: tokenRequest{form: grantForm + "&client_id=" + id + bearerType}, code: "invalid_request"},
			{why: "an assertion without a type", tokenRequest: tokenRequest{form: grantForm + "&client_id=" + id + "&client_assertion=" + goodAssertion}, code: "invalid_request"},
			{why: "an assertion of another type", tokenRequest: tokenRequest{form: strings.Replace(a.assertion(a.id, goodAssertion), "jwt-bearer", "saml2-bearer", 1)}, code: "invalid_client"},
			{why: "a type with a secret", tokenRequest: tokenRequest{form: good + bearerType}, code: "invalid_request"},
			{why: "an assertion without an id of the client", tokenRequest: tokenRequest{form: grantForm + bearerType + "&client_assertion=" + goodAssertion}, code: "invalid_request"},
			{why: "an assertion nobody signed", tokenRequest: tokenRequest{form: a.assertion(a.id, "x.y.z")}, code: "invalid_client", verified: true},
			{why: "an assertion of an unknown client", tokenRequest: tokenRequest{form: a.assertion("nobody", goodAssertion)}, code: "invalid_client", verified: true},
			{why: "an assertion of a client that has only secrets", tokenRequest: tokenRequest{form: a.assertion(a.otherID, goodAssertion)}, code: "invalid_client", verified: true},
			{why: "an assertion that was used", tokenRequest: tokenRequest{form: a.assertion(a.id, goodAssertion)}, code: "invalid_client", verified: true},

			{why: "no grant", tokenRequest: tokenRequest{form: strings.TrimPrefix(good, grantForm)}, code: "invalid_request"},
			{why: "an empty grant", tokenRequest: tokenRequest{form: strings.Replace(good, "client_credentials", "", 1)}, code: "invalid_request"},
			{why: "a password", tokenRequest: tokenRequest{form: strings.Replace(good, "client_credentials", "password", 1)}, code: "unsupported_grant_type"},
			{why: "an authorization code", tokenRequest: tokenRequest{form: strings.Replace(good, "client_credentials", "authorization_code", 1)}, code: "unsupported_grant_type"},
			{why: "a refresh token", tokenRequest: tokenRequest{form: strings.Replace(good, "client_credentials", "refresh_token", 1)}, code: "unsupported_grant_type"},
			{why: "an exchange", tokenRequest: tokenRequest{form: strings.Replace(good, "client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange", 1)}, code: "unsupported_grant_type"},
			{why: "the grant in capitals", tokenRequest: tokenRequest{form: strings.Replace(good, "client_credentials", "CLIENT_CREDENTIALS", 1)}, code: "unsupported_grant_type"},
			{why: "the grant twice", tokenRequest: tokenRequest{form: good + "&" + grantForm}, code: "invalid_request"},
			{why: "the id twice", tokenRequest: tokenRequest{form: good + "&client_id=" + id}, code: "invalid_request"},
			{why: "two secrets, one of them good", tokenRequest: tokenRequest{form: good + "&client_secret=x"}, code: "invalid_request"},
			{why: "the scope twice", tokenRequest: tokenRequest{form: good + "&scope=scim&scope=x"}, code: "invalid_request"},
			{why: "something unknown twice", tokenRequest: tokenRequest{form: good + "&x=1&x=2"}, code: "invalid_request"},

			{why: "in the address", tokenRequest: tokenRequest{query: "?" + good}, code: "invalid_request"},
			{why: "partly in the address", tokenRequest: tokenRequest{query: "?client_secret=" + secret, form: grantForm + "&client_id=" + id}, code: "invalid_request"},
			{why: "as JSON", tokenRequest: tokenRequest{form: `{"grant_type":"client_credentials"}`, contentType: "application/json"}, code: "invalid_request"},
			{why: "a form called JSON", tokenRequest: tokenRequest{form: good, contentType: "application/json"}, code: "invalid_request"},
			{why: "multipart", tokenRequest: tokenRequest{form: good, contentType: "multipart/form-data; boundary=x"}, code: "invalid_request"},
			{why: "of no type", tokenRequest: tokenRequest{form: good, header: http.Header{"Content-Type": {""}}}, code: "invalid_request"},
			{why: "of two types", tokenRequest: tokenRequest{form: good, header: http.Header{"Content-Type": {"application/x-www-form-urlencoded", "application/json"}}}, code: "invalid_request"},
			{why: "in another charset", tokenRequest: tokenRequest{form: good, contentType: "application/x-www-form-urlencoded; charset=utf-16"}, code: "invalid_request"},
			{why: "compressed", tokenRequest: tokenRequest{form: good, header: http.Header{"Content-Encoding": {"gzip"}}}, code: "invalid_request"},
			{why: "very large", tokenRequest: tokenRequest{form: good + "&x=" + strings.Repeat("x", maxTokenRequest)}, code: "invalid_request"},
			{why: "broken escapes", tokenRequest: tokenRequest{form: good + "&x=%zz"}, code: "invalid_request"},
			{why: "semicolons", tokenRequest: tokenRequest{form: strings.ReplaceAll(good, "&", ";")}, code: "invalid_request"},
			{why: "no text", tokenRequest: tokenRequest{form: good + "&x=%ff"}, code: "invalid_request"},
			{why: "a NUL", tokenRequest: tokenRequest{form: good + "%00"}, code: "invalid_request"},
			{why: "a blank behind the secret", tokenRequest: tokenRequest{form: good + "+"}, code: "invalid_client"},
			{why: "GET", tokenRequest: tokenRequest{method: "GET", query: "?" + good}, code: "invalid_request", status: 405},
			{why: "PUT", tokenRequest: tokenRequest{method: "PUT", form: good}, code: "invalid_request", status: 405},
		} {
			before, looked := a.rows(t), a.verify.Load()
			got := a.ask(t, test.tokenRequest)
			status := cmp.Or(test.status, map[string]int{"invalid_client": 401}[test.code], 400)
			if got.status != status || got.body["error"] != test.code || got.body["access_token"] != nil {
				t.Errorf("%s: got %d %s, want %d %s", test.why, got.status, got.raw, status, test.code)
			}
			description, _ := got.body["error_description"].(string)
			if description == "" || strings.ContainsFunc(description, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
				t.Errorf("%s: description %q, want what RFC 6749 section 5.2 allows", test.why, description)
			}
			for _, canary := range []string{secret, revoked, access, a.otherKey, goodAssertion} {
				if strings.Contains(got.raw, canary) {
					t.Errorf("%s: the answer holds a secret: %s", test.why, got.raw)
				}
			}
			if challenge := strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Basic "); challenge != test.challenge {
				t.Errorf("%s: WWW-Authenticate is %q", test.why, got.header.Get("WWW-Authenticate"))
			}
			if after := a.rows(t); !reflect.DeepEqual(after, before) {
				t.Errorf("%s: a row was written:\n%v\nbefore\n%v", test.why, after, before)
			}
			if verified := a.verify.Load() > looked; verified != test.verified {
				t.Errorf("%s: the assertion was looked at: %v, want %v", test.why, verified, test.verified)
			}
		}
		if status := a.opens(t, a.conn, access); status != 200 { // the control
			t.Errorf("after all of it the good token opens with %d, want 200", status)
		}
	})
}

// What is wrong with a client can't be told from the answer.
func TestUnknownClientLooksLikeWrongSecret(t *testing.T) {
	onBothAuthorities(t, func(t *testing.T, a *authority) {
		want := a.ask(t, tokenRequest{form: a.post(a.id, "x")})
		for why, form := range map[string]string{
			"unknown client":             a.post("01890000-0000-7000-8000-000000000000", "x"),
			"no client at all":           a.post("x", "x"),
			"another client's secret":    a.post(a.id, a.otherKey),
			"wrong assertion":            a.assertion(a.id, "x"),
			"unknown client's assertion": a.assertion("x", goodAssertion),
			"client without federation":  a.assertion(a.otherID, goodAssertion),
		} {
			if got := a.ask(t, tokenRequest{form: form}); got.status != want.status || got.raw != want.raw {
				t.Errorf("%s: got %d %s, want %d %s", why, got.status, got.raw, want.status, want.raw)
			}
		}
	})
}

func TestSecretsRotateWithoutAGap(t *testing.T) {
	onBothAuthorities(t, func(t *testing.T, a *authority) {
		old := a.token(t, a.post(a.id, a.secret))
		var next string
		a.write(t, func(tx *store.Tx) error {
			var err error
			_, next, err = tx.CreateSecret(t.Context(), a.conn, store.MinSecretLife)
			return err
		})
		for _, secret := range []string{a.secret, next} {
			if status := a.opens(t, a.conn, a.token(t, a.post(a.id, secret))); status != 200 {
				t.Errorf("while both secrets work: got %d, want 200", status)
			}
		}
		fresh := a.token(t, a.post(a.id, next))
		if status := a.opens(t, a.conn, old); status != 200 { // and it is in the cache now
			t.Errorf("the old token before: got %d, want 200", status)
		}
		a.write(t, func(tx *store.Tx) error { return tx.RevokeSecret(t.Context(), a.conn, a.secret[len(a.secret)-4:]) })
		if status := a.opens(t, a.conn, old); status != 401 {
			t.Errorf("the old secret's token: got %d, want 401", status)
		}
		if got := a.ask(t, tokenRequest{form: a.post(a.id, a.secret)}); got.status != 401 {
			t.Errorf("the old secret: got %d, want 401", got.status)
		}
		if status := a.opens(t, a.conn, fresh); status != 200 {
			t.Errorf("the new secret's token: got %d, want 200", status)
		}
	})
}

func TestRevokedClientOpensNothing(t *testing.T) {
	onBothAuthorities(t, func(t *testing.T, a *authority) {
		tokens := []string{a.token(t, a.post(a.id, a.secret)), a.token(t, a.assertion(a.id, goodAssertion))}
		others := a.token(t, a.post(a.otherID, a.otherKey))
		for _, token := range tokens {
			if status := a.opens(t, a.conn, token); status != 200 {
				t.Fatalf("before: got %d, want 200", status)
			}
		}
		a.write(t, func(tx *store.Tx) error { _, err := tx.RevokeClient(t.Context(), a.conn); return err })
		for _, token := range tokens {
			if status := a.opens(t, a.conn, token); status != 401 {
				t.Errorf("a revoked client's token: got %d, want 401", status)
			}
		}
		for _, form := range []string{a.post(a.id, a.secret), a.assertion(a.id, goodAssertion)} {
			if got := a.ask(t, tokenRequest{form: form}); got.status != 401 || got.body["error"] != "invalid_client" {
				t.Errorf("a revoked client: got %d %s, want 401 invalid_client", got.status, got.raw)
			}
		}
		if status := a.opens(t, a.other, others); status != 200 {
			t.Errorf("another connection's token: got %d, want 200", status)
		}
	})
}

// No command deletes a connection; when one does, what opened it goes along.
func TestTokensGoWithTheirConnection(t *testing.T) {
	onBothAuthorities(t, func(t *testing.T, a *authority) {
		gone, kept := a.token(t, a.post(a.otherID, a.otherKey)), a.token(t, a.post(a.id, a.secret))
		if status := a.opens(t, a.other, gone); status != 200 {
			t.Fatalf("before: got %d, want 200", status)
		}
		if _, err := a.db.Exec("DELETE FROM connections WHERE id = '" + string(a.other.ID) + "'"); err != nil {
			t.Fatal(err)
		}
		a.advance(time.Second) // the cache believes for half of one
		if status := a.opens(t, a.other, gone); status != 401 {
			t.Errorf("a deleted connection's token: got %d, want 401", status)
		}
		if got := a.ask(t, tokenRequest{form: a.post(a.otherID, a.otherKey)}); got.status != 401 {
			t.Errorf("a deleted connection's client: got %d, want 401", got.status)
		}
		if status := a.opens(t, a.conn, kept); status != 200 {
			t.Errorf("another connection's token: got %d, want 200", status)
		}
	})
}

func TestTimeEndsTokensAndSecrets(t *testing.T) {
	onBothAuthorities(t, func(t *testing.T, a *authority) {
		token := a.token(t, a.post(a.id, a.secret))
		a.advance(time.Hour - time.Second)
		if status := a.opens(t, a.conn, token); status != 200 {
			t.Errorf("a second before its end: got %d, want 200", status)
		}
		a.advance(time.Second)
		if status := a.opens(t, a.conn, token); status != 401 {
			t.Errorf("at its end: got %d, want 401", status)
		}

		a.advance(store.MinSecretLife - time.Hour - time.Minute)
		last := a.ask(t, tokenRequest{form: a.post(a.id, a.secret)})
		if last.body["expires_in"] != 60.0 {
			t.Errorf("a minute before the secret ends: got %s, want 60 seconds", last.raw)
		}
		a.advance(time.Minute)
		if got := a.ask(t, tokenRequest{form: a.post(a.id, a.secret)}); got.status != 401 {
			t.Errorf("an expired secret: got %d, want 401", got.status)
		}
		if status := a.opens(t, a.conn, fmt.Sprint(last.body["access_token"])); status != 401 {
			t.Errorf("the token of an expired secret: got %d, want 401", status)
		}
		fresh := a.token(t, a.assertion(a.id, goodAssertion))

		a.edge.sweep(t.Context())
		if left := a.rows(t)["access_tokens"]; len(left) != 2 { // the fresh one, and the one that just ended
			t.Errorf("%d access tokens are kept, want 2: %v", len(left), left)
		}
		if status := a.opens(t, a.conn, fresh); status != 200 {
			t.Errorf("the fresh token after the sweep: got %d, want 200", status)
		}
	})
}

func TestIssuerDownIsNoRefusal(t *testing.T) {
	onBothAuthorities(t, func(t *testing.T, a *authority) {
		a.down.Store(true)
		before := a.rows(t)
		got := a.ask(t, tokenRequest{form: a.assertion(a.id, goodAssertion)})
		if got.status != 503 || got.header.Get("Retry-After") == "" || got.body["error"] != "temporarily_unavailable" {
			t.Errorf("got %d %v %s, want 503 and when to try again", got.status, got.header, got.raw)
		}
		if !reflect.DeepEqual(a.rows(t), before) {
			t.Error("a row was written")
		}
		a.down.Store(false)
		a.token(t, a.assertion(a.id, goodAssertion))
	})
}

// The rate of a connection covers the tokens that it asks for.
func TestTokensCountAgainstTheRate(t *testing.T) {
	onBothAuthorities(t, func(t *testing.T, a *authority) {
		a.edge.opts.Rate = 1
		slowed := false
		for range 4 {
			got := a.ask(t, tokenRequest{form: a.post(a.id, a.secret)})
			slowed = slowed || got.status == 429 && got.header.Get("Retry-After") != ""
		}
		if !slowed {
			t.Error("four tokens at once at one a second: none was refused")
		}
	})
}

// A connection that calls too often is told to wait, in SCIM's form, and another
// one doesn't notice.
func TestRequestsCountAgainstTheRate(t *testing.T) {
	onBothAuthorities(t, func(t *testing.T, a *authority) {
		mine := a.token(t, a.post(a.id, a.secret))
		a.edge.opts.Rate = 25
		var slowed bool
		for range 200 {
			r := httptest.NewRequest("GET", "/scim/"+string(a.conn.ID)+"/v2/Users?count=1", nil)
			r.Header.Set("Authorization", "Bearer "+mine)
			w := httptest.NewRecorder()
			a.Config.Handler.ServeHTTP(w, r)
			switch {
			case w.Code == 429 && w.Header().Get("Retry-After") != "" && strings.Contains(w.Body.String(), `"status":"429"`):
				slowed = true
			case w.Code != 200:
				t.Fatalf("got %d: %s", w.Code, w.Body)
			}
		}
		if !slowed {
			t.Error("200 requests at once at 25 a second: none was refused")
		}
		if _, ok := a.edge.limits.Allow("another", 25); !ok {
			t.Error("another connection was refused, too")
		}
	})
}

func TestDiscoveryNamesOAuth(t *testing.T) {
	onBothAuthorities(t, func(t *testing.T, a *authority) {
		req, err := http.NewRequest("GET", a.URL+"/scim/"+url.PathEscape(string(a.conn.ID))+"/v2/ServiceProviderConfig", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+a.token(t, a.post(a.id, a.secret)))
		answer, err := a.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var config struct {
			AuthenticationSchemes []struct{ Type string }
		}
		if err := json.NewDecoder(answer.Body).Decode(&config); err != nil {
			t.Fatal(err)
		}
		var types []string
		for _, s := range config.AuthenticationSchemes {
			types = append(types, s.Type)
		}
		if !reflect.DeepEqual(types, []string{"oauthbearertoken", "oauth2"}) {
			t.Errorf("got schemes %v, want the bearer token and OAuth", types)
		}
	})
}
