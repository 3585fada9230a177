package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/internal/pgtest"
	"gatehouse/internal/replay"
)

// The servers of these tests may fetch keys from this machine, where the issuers
// of these tests are.
func init() { os.Setenv(loopbackIssuers, "true") }

const loopbackIssuers = "GATEHOUSE_LOOPBACK_ISSUERS"

// entra is an issuer like Entra's, on this machine and with keys of its own.
type entra struct {
	*httptest.Server
	t     *testing.T
	key   *rsa.PrivateKey
	asked atomic.Int32
}

func newEntra(t *testing.T) *entra {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e := &entra{t: t, key: key}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/ce5f061f/v2.0/.well-known/openid-configuration":
			json.NewEncoder(w).Encode(object{"issuer": e.issuer(), "jwks_uri": e.URL + "/ce5f061f/discovery/v2.0/keys"})
		case "/ce5f061f/discovery/v2.0/keys":
			json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k1", Use: "sig"}}})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(e.Close)
	return e
}

func (e *entra) issuer() string { return e.URL + "/ce5f061f/v2.0" }

// assertion signs what Microsoft's example says, with changes.
func (e *entra) assertion(changes object) string {
	e.t.Helper()
	now := time.Now().Unix()
	claims := object{
		"aud": "api://b5ba7a93", "iss": e.issuer(), "iat": now - 300, "nbf": now - 300, "exp": now + 3600, "appid": "b5ba7a93",
		"appidacr": "2", "idp": e.issuer(), "oid": "d2f8ee76", "sub": "sync-fabric", "tid": "ce5f061f", "ver": "2.0",
	}
	maps.Copy(claims, changes)
	payload, err := json.Marshal(claims)
	if err != nil {
		e.t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: e.key, KeyID: "k1"}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		e.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		e.t.Fatal(err)
	}
	jwt, err := signed.CompactSerialize()
	if err != nil {
		e.t.Fatal(err)
	}
	return jwt
}

// A tenancy is a running server with two connections, of which the first has a
// client.
type tenancy struct {
	*client
	database   string
	other      string // path of the second connection
	id, secret string
	tokenURL   string
}

// onBothTenancies runs a test against a fresh server on each database.
func onBothTenancies(t *testing.T, test func(t *testing.T, s *tenancy)) {
	t.Helper()
	t.Parallel()
	for name, database := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db") },
		"postgres": func(t *testing.T) string { return pgtest.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &tenancy{database: database(t)}
			s.client = serve(t, s.database)
			var added struct {
				SCIMURL string `json:"scim_url"`
			}
			s.command(t, &added, "connection", "add", "--name=okta", "--idp=okta")
			u, err := url.Parse(added.SCIMURL)
			if err != nil {
				t.Fatal(err)
			}
			s.other = u.Path
			var client struct {
				TokenURL string `json:"token_url"`
				ID       string `json:"client_id"`
				Secret   string `json:"client_secret"`
			}
			s.command(t, &client, "client", "add", "--connection=entra", "--url="+s.host)
			s.tokenURL, s.id, s.secret = client.TokenURL, client.ID, client.Secret
			test(t, s)
		})
	}
}

// command runs the program on the server's database and reads what it prints.
func (s *tenancy) command(t *testing.T, result any, args ...string) {
	t.Helper()
	output := command(t, append([]string{"--database-url=" + s.database, "--json"}, args...)...)
	if result == nil {
		return
	}
	if err := json.Unmarshal(output, result); err != nil {
		t.Fatalf("%v printed %s: %v", args, output, err)
	}
}

func (s *tenancy) federate(t *testing.T, e *entra) {
	t.Helper()
	s.command(t, nil, "client", "federate", "--connection=entra", "--issuer="+e.issuer(),
		"--subject=sync-fabric", "--tenant-id=ce5f061f", "--audience=api://b5ba7a93/.default")
}

// ask sends a token request and gives the status, the access token and the
// error's code.
func (s *tenancy) ask(t *testing.T, form url.Values) (status int, token, code string) {
	t.Helper()
	form.Set("grant_type", "client_credentials")
	answer, err := http.PostForm(s.tokenURL, form)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	var body struct {
		Token string `json:"access_token"`
		Code  string `json:"error"`
	}
	if err := json.Unmarshal(raw, &body); err != nil {
		t.Errorf("%s: %v", raw, err)
	}
	return answer.StatusCode, body.Token, body.Code
}

func (s *tenancy) bySecret(secret string) url.Values {
	return url.Values{"client_id": {s.id}, "client_secret": {secret}}
}

func (s *tenancy) byAssertion(jwt string) url.Values {
	return url.Values{
		"client_id": {s.id}, "client_assertion": {jwt},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
	}
}

// with is the client of another token.
func (s *tenancy) with(t *testing.T, token string) *client {
	c := s.in(t)
	c.token = token
	return c
}

func TestOAuthShapes(t *testing.T) {
	onBothTenancies(t, func(t *testing.T, s *tenancy) {
		e := newEntra(t)
		s.federate(t, e)
		recording, err := os.ReadFile(filepath.Join("testdata", "shapes.ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(string(recording)) {
			if strings.Contains(line, `"/oauth2/`) {
				lines = append(lines, line)
			}
		}
		same(t, "lines", len(lines), 2)

		tokens := map[string]string{}
		player := replay.Player{BaseURL: s.host + s.path, Token: s.token, ClientID: s.id, ClientSecret: s.secret, Assertion: e.assertion(nil)}
		sum, err := player.Play(t.Context(), strings.NewReader(strings.Join(lines, "")), func(r replay.Result) {
			body := decode(r.Body)
			if !r.OK || body["token_type"] != "Bearer" || fmt.Sprint(body["expires_in"]) != "3600" {
				t.Errorf("%s: %s %s", r.ID, r.Detail, r.Body)
			}
			tokens[r.ID] = fmt.Sprint(body["access_token"])
			same(t, r.ID+": scope", body["scope"], any("scim"))
		})
		if err != nil {
			t.Fatal(err)
		}
		same(t, "summary", sum, replay.Summary{Passed: 2})

		for id, token := range tokens {
			c := s.with(t, token)
			made := c.user("oauth-"+id+"@corp.example", nil)
			c.want(200, "GET", "/Users/"+made, nil)
			c.path = s.other
			c.want(401, "GET", "/Users", nil)
		}

		// The command plays them too.
		file := filepath.Join(t.TempDir(), "oauth.ndjson")
		if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600); err != nil {
			t.Fatal(err)
		}
		var played struct{ Summary replay.Summary }
		s.command(t, &played, "replay", "--url="+s.host+s.path, "--token="+s.token,
			"--client-id="+s.id, "--client-secret="+s.secret, "--assertion="+e.assertion(nil), file)
		same(t, "the command's summary", played.Summary, replay.Summary{Passed: 2})
	})
}

func TestAssertionsOfTheWrongKind(t *testing.T) {
	onBothTenancies(t, func(t *testing.T, s *tenancy) {
		e, stranger := newEntra(t), newEntra(t)
		s.federate(t, e)
		now := time.Now().Unix()
		forged := func() string { // our issuer's claims under a stranger's key
			return stranger.assertion(object{"iss": e.issuer(), "idp": e.issuer()})
		}
		if status, _, code := s.ask(t, s.byAssertion(e.assertion(object{"jti": "once"}))); status != 200 {
			t.Fatalf("the control: got %d %s, want 200", status, code)
		}
		asked := e.asked.Load()
		for _, test := range []struct {
			why, jwt string
		}{
			{"another issuer", stranger.assertion(nil)},
			{"another issuer with our claims", forged()},
			{"another subject", e.assertion(object{"sub": "somebody"})},
			{"another directory", e.assertion(object{"tid": "globex"})},
			{"another audience", e.assertion(object{"aud": "api://other"})},
			{"two audiences", e.assertion(object{"aud": []string{"api://b5ba7a93", "api://other"}})},
			{"ended", e.assertion(object{"exp": now - 180})},
			{"not yet", e.assertion(object{"nbf": now + 180})},
			{"too long", e.assertion(object{"exp": now + 7200})},
			{"an ID token", e.assertion(object{"nonce": "n"})},
			{"used before", e.assertion(object{"jti": "once"})},
			{"a look-alike claim", e.assertion(object{"SUB": "somebody"})},
			{"cut off", e.assertion(nil)[:400]},
			{"nothing of the kind", "x.y.z"},
		} {
			if status, token, code := s.ask(t, s.byAssertion(test.jwt)); status != 401 || code != "invalid_client" || token != "" {
				t.Errorf("%s: got %d %s, want 401 invalid_client", test.why, status, code)
			}
		}
		if got := stranger.asked.Load(); got != 0 {
			t.Errorf("the stranger was asked %d times, want never", got)
		}
		if got := e.asked.Load(); got != asked {
			t.Errorf("the issuer was asked %d times for the bad ones, want never", got-asked)
		}
		if status, _, code := s.ask(t, s.byAssertion(e.assertion(nil))); status != 200 {
			t.Errorf("a good one afterwards: got %d %s, want 200", status, code)
		}
	})
}

// Commands act on a server that runs, from another process.
func TestRevokedOnARunningServer(t *testing.T) {
	onBothTenancies(t, func(t *testing.T, s *tenancy) {
		e := newEntra(t)
		s.federate(t, e)
		token := func(form url.Values) string {
			t.Helper()
			status, token, code := s.ask(t, form)
			if status != 200 {
				t.Fatalf("got %d %s, want a token", status, code)
			}
			s.with(t, token).want(200, "GET", "/Users?count=1", nil)
			return token
		}
		gone := func(what, token string) {
			t.Helper()
			deadline := time.Now().Add(patience)
			for s.with(t, token).do("GET", "/Users?count=1", nil).status != 401 {
				if time.Now().After(deadline) {
					t.Fatalf("%s still opens the connection", what)
				}
			}
		}

		bySecret, byAssertion := token(s.bySecret(s.secret)), token(s.byAssertion(e.assertion(nil)))
		var next struct {
			Secret string `json:"client_secret"`
		}
		s.command(t, &next, "client", "secret", "add", "--connection=entra")
		byNext := token(s.bySecret(next.Secret))
		s.command(t, nil, "client", "secret", "revoke", "--connection=entra", s.secret[len(s.secret)-4:])
		if status, _, code := s.ask(t, s.bySecret(s.secret)); status != 401 || code != "invalid_client" {
			t.Errorf("a revoked secret: got %d %s, want 401 invalid_client", status, code)
		}
		gone("the revoked secret's token", bySecret)
		s.with(t, byNext).want(200, "GET", "/Users?count=1", nil)
		s.with(t, byAssertion).want(200, "GET", "/Users?count=1", nil)

		s.command(t, nil, "client", "federate", "--off", "--connection=entra")
		gone("the ended federation's token", byAssertion)
		s.command(t, nil, "client", "revoke", "--connection=entra")
		gone("the revoked client's token", byNext)
		s.want(200, "GET", "/Users?count=1", nil) // the long-lived one is another matter
	})
}

// Without the setting for tests, this machine is no place for keys.
func TestKeysAreNotFetchedInside(t *testing.T) {
	t.Parallel()
	database := "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db")
	e := newEntra(t)
	s := &tenancy{database: database}
	s.command(t, nil, "connection", "add", "--name=entra", "--idp=entra")
	var client struct {
		ID string `json:"client_id"`
	}
	s.command(t, &client, "client", "federate", "--connection=entra", "--issuer="+e.issuer(), "--subject=sync-fabric", "--audience=api://b5ba7a93")
	cmd := exec.Command(binary, "--database-url="+database, "serve", "--listen=127.0.0.1:0")
	cmd.Env = append(os.Environ(), loopbackIssuers+"=false")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	log := readLog(stderr)
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be gone
		<-log.end
		_ = cmd.Wait()
	})
	select {
	case addr := <-log.listening:
		s.tokenURL = "http://" + addr + "/oauth2/token"
	case <-time.After(startTimeout):
		t.Fatalf("gatehouse does not listen:\n%s", log)
	}
	s.id = client.ID
	status, token, code := s.ask(t, s.byAssertion(e.assertion(nil)))
	if status != 503 || code != "temporarily_unavailable" || token != "" {
		t.Errorf("got %d %s, want 503: the keys can't be had", status, code)
	}
	if got := e.asked.Load(); got != 0 {
		t.Errorf("the issuer was asked %d times, want never", got)
	}
}
