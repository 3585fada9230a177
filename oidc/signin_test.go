package oidc

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/egress"
	"gatehouse/internal/idptest"
)

const redirect = "http://127.0.0.1:8080/oidc/callback"

// desk is a provider, a connection to it, and a client.
type desk struct {
	*idptest.OP
	clock *clock
	p     Provider
	c     *Client
}

func newDesk(t *testing.T, setup idptest.Setup) *desk {
	t.Helper()
	d := &desk{OP: idptest.New(t), clock: newClock()}
	d.Now = d.clock.Now
	d.p = Provider{
		Issuer: d.URL, ClientID: d.ClientID, ClientSecret: d.ClientSecret, RedirectURL: redirect,
		Scopes: []string{"profile", "email"}, Algorithms: setup.Algorithms, UserInfo: setup.UserInfo,
	}
	if setup.Key != nil {
		// A secret of former days is still there, and stays unsaid.
		d.p.Auth, d.p.Key, d.p.KeyID = PrivateKeyJWT, setup.Key, "ours"
	}
	d.c = NewClient(NewEgress(true), d.clock.Now)
	return d
}

// begin goes to the provider and back, as far as it leads.
func (d *desk) begin(ctx context.Context, o BeginOptions) (Transaction, url.Values, error) {
	t, address, err := d.c.Begin(ctx, d.p, o)
	if err != nil {
		return Transaction{}, nil, err
	}
	answer, err := d.Visit(address)
	return t, answer, err
}

func (d *desk) signIn(ctx context.Context, o BeginOptions, wait time.Duration) (Identity, error) {
	t, answer, err := d.begin(ctx, o)
	if err != nil {
		return Identity{}, err
	}
	d.clock.advance(wait)
	return d.c.Finish(ctx, d.p, t, answer)
}

// callOrder is that of a sign-in.
var callOrder = []idptest.Call{"", idptest.Discovery, idptest.Token, idptest.Keys, idptest.UserInfo, idptest.Elsewhere}

// checkCalls wants the provider asked until then, and not after.
func checkCalls(t *testing.T, op *idptest.OP, until idptest.Call) {
	t.Helper()
	var last idptest.Call
	for _, call := range op.Calls() {
		last = callOrder[max(slices.Index(callOrder, last), slices.Index(callOrder, call))]
	}
	if last != until {
		t.Errorf("the provider was asked %v, want it asked until %q", op.Calls(), until)
	}
}

// TestSignIns runs the cases of package idptest, and prints the figure.
func TestSignIns(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var rejected, accepted int
	count := func(t *testing.T, n *int) {
		mu.Lock()
		defer mu.Unlock()
		if !t.Failed() {
			*n++
		}
	}
	hostile, good := idptest.Hostile(), idptest.Good()
	logouts, goodLogouts := idptest.HostileLogouts(), idptest.GoodLogouts()
	revocations, goodRevocations := idptest.HostileRevocations(), idptest.GoodRevocations()
	t.Run("sign-in", func(t *testing.T) {
		for _, c := range append(hostile, good...) {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				d := newDesk(t, c.Setup)
				c.Prepare(d.OP)
				got, err := d.signIn(t.Context(), BeginOptions{MaxAge: c.Setup.MaxAge}, c.Wait)
				if Reason(err) != c.Reason || (c.Reason == "") != (err == nil) {
					t.Errorf("got %v, want reason %q", err, c.Reason)
				}
				checkCalls(t, d.OP, c.Until)
				if c.Reason != "" {
					if got.Subject != "" || got.Claims != nil {
						t.Errorf("refused, and somebody came of it: %v", got)
					}
					count(t, &rejected)
					return
				}
				if got.Issuer != d.URL || got.Subject != d.Subject || got.IDToken == "" {
					t.Errorf("got %v", got)
				}
				if _, more := got.Text("department"); more != c.Setup.UserInfo {
					t.Errorf("claims of userinfo: %v, want %v", more, c.Setup.UserInfo)
				}
				count(t, &accepted)
			})
		}
	})
	t.Run("logout", func(t *testing.T) {
		for _, c := range append(logouts, goodLogouts...) {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				d := newDesk(t, c.Setup)
				c.Prepare(d.OP)
				got, err := d.c.VerifyLogout(t.Context(), d.p, d.LogoutToken())
				if Reason(err) != c.Reason || (c.Reason == "") != (err == nil) {
					t.Errorf("got %v, want reason %q", err, c.Reason)
				}
				if c.Reason != "" {
					checkCalls(t, d.OP, c.Until)
					if got != (Logout{}) {
						t.Errorf("refused, and somebody came of it: %v", got)
					}
					count(t, &rejected)
					return
				}
				if got.Issuer != d.URL || got.ID == "" || got.Subject+got.SessionID == "" || got.ExpiresAt.Before(d.Now()) {
					t.Errorf("got %v", got)
				}
				count(t, &accepted)
			})
		}
	})
	t.Run("revocation", func(t *testing.T) {
		const ours = "https://gatehouse.example/global-token-revocation/corp"
		for _, c := range append(revocations, goodRevocations...) {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				d := newDesk(t, c.Setup)
				c.Prepare(d.OP)
				got, err := d.c.VerifyRevocation(t.Context(), d.p, ours, d.RevocationToken(ours), []byte(c.RevocationBody(d.OP)))
				if Reason(err) != c.Reason || (c.Reason == "") != (err == nil) {
					t.Errorf("got %v, want reason %q", err, c.Reason)
				}
				if c.Reason != "" {
					checkCalls(t, d.OP, c.Until)
					if got != (Revocation{}) {
						t.Errorf("refused, and somebody came of it: %v", got)
					}
					count(t, &rejected)
					return
				}
				if got.Issuer != d.URL || got.Subject != d.Subject || got.ID == "" {
					t.Errorf("got %v", got)
				}
				count(t, &accepted)
			})
		}
	})
	bad, fine := len(hostile)+len(logouts)+len(revocations), len(good)+len(goodLogouts)+len(goodRevocations)
	t.Logf("oidc_hostile_rejected = %d of %d", rejected, bad)
	t.Logf("oidc_good_accepted = %d of %d", accepted, fine)
	if bad < 110 || fine < 12 {
		t.Errorf("%d hostile and %d good cases, want at least 110 and 12", bad, fine)
	}
}

// Every reason of a case has its sentence, and every sentence a case or a test.
func TestReasons(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{"transaction": true, "initiation": true} // TestAnotherProvidersTransaction, TestInitiation
	for _, list := range [][]idptest.Case{idptest.Hostile(), idptest.HostileLogouts(), idptest.HostileRevocations()} {
		names := map[string]bool{}
		for _, c := range list {
			seen[c.Reason] = true
			if names[c.Name] {
				t.Errorf("two cases are called %q", c.Name)
			}
			names[c.Name] = true
			if _, known := Reasons[c.Reason]; !known && c.Reason != "denied" && c.Reason != "unavailable" {
				t.Errorf("%s: reason %q is none of Reasons", c.Name, c.Reason)
			}
		}
	}
	for reason := range Reasons {
		if !seen[reason] {
			t.Errorf("no case is refused with reason %q", reason)
		}
	}
}

func TestBegin(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idptest.Setup{})
	tx, address, err := d.c.Begin(t.Context(), d.p, BeginOptions{LoginHint: "ada@corp.example", Prompt: "login", MaxAge: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "gatehouse", "redirect_uri": redirect, "scope": "openid profile email",
		"state": tx.State, "nonce": tx.Nonce, "code_challenge_method": "S256",
		"login_hint": "ada@corp.example", "prompt": "login", "max_age": "60",
	} {
		if got := q[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if strings.Contains(address, tx.Verifier) || strings.Contains(address, url.QueryEscape(d.ClientSecret)) {
		t.Error("the address has a secret in it")
	}
	for _, hint := range []string{strings.Repeat("x", 257), "a\r\nb", "ä"} {
		_, address, err := d.c.Begin(t.Context(), d.p, BeginOptions{LoginHint: hint})
		if err != nil || strings.Contains(address, "login_hint") {
			t.Errorf("hint %.10q: got %s, %v, want it left out", hint, address, err)
		}
	}
}

// Nothing of a transaction comes twice.
func TestTransactionsDiffer(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idptest.Setup{})
	seen := map[string]bool{}
	for range 100 {
		tx, _, err := d.c.Begin(t.Context(), d.p, BeginOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{tx.State, tx.Nonce, tx.Verifier} {
			if len(secret) != 43 || seen[secret] {
				t.Fatalf("%q is short or was there before", secret)
			}
			seen[secret] = true
		}
	}
}

func TestCodeIsReplayed(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idptest.Setup{})
	tx, answer, err := d.begin(t.Context(), BeginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.c.Finish(t.Context(), d.p, tx, answer); err != nil {
		t.Fatalf("the first time: %v", err)
	}
	if _, err := d.c.Finish(t.Context(), d.p, tx, answer); Reason(err) != "code" {
		t.Errorf("the second time: got %v, want reason code", err)
	}
}

// A code that was stolen from one sign-in is worth nothing in another, since the
// verifier is not its own.
func TestCodeOfAnotherSignIn(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idptest.Setup{})
	_, stolen, err := d.begin(t.Context(), BeginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tx, answer, err := d.begin(t.Context(), BeginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.c.Finish(t.Context(), d.p, tx, stolen); Reason(err) != "state" {
		t.Errorf("another's answer: got %v, want reason state", err)
	}
	answer.Set("code", stolen.Get("code"))
	if _, err := d.c.Finish(t.Context(), d.p, tx, answer); Reason(err) != "code" {
		t.Errorf("another's code: got %v, want reason code", err)
	}
}

func TestAnotherProvidersTransaction(t *testing.T) {
	t.Parallel()
	honest, evil := newDesk(t, idptest.Setup{}), newDesk(t, idptest.Setup{})
	tx, answer, err := honest.begin(t.Context(), BeginOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := evil.c.Finish(t.Context(), evil.p, tx, answer); Reason(err) != "transaction" {
		t.Errorf("got %v, want reason transaction", err)
	}
	checkCalls(t, evil.OP, "")
	renamed := honest.p
	renamed.ClientID = "another-client"
	if _, err := honest.c.Finish(t.Context(), renamed, tx, answer); Reason(err) != "transaction" {
		t.Errorf("another client: got %v, want reason transaction", err)
	}
	if _, err := honest.c.Finish(t.Context(), honest.p, Transaction{}, url.Values{"state": {""}, "code": {"x"}}); Reason(err) != "state" {
		t.Errorf("no transaction: got %v, want reason state", err)
	}
}

// The access token of another person of the same provider, with their ID token.
func TestSwappedIDToken(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idptest.Setup{})
	stolen := d.IDToken("another-nonce", "x", false)
	d.Lies.TokenAnswer = func(a map[string]any) { a["id_token"] = stolen }
	if _, err := d.signIn(t.Context(), BeginOptions{}, 0); Reason(err) != "nonce" {
		t.Errorf("got %v, want reason nonce", err)
	}
}

func TestUserInfoAddsAndChangesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idptest.Setup{UserInfo: true})
	d.Lies.UserInfo = func(a map[string]any) {
		a["name"], a["email"], a["acr"], a["auth_time"] = "Root", "root@corp.example", "9", 1
	}
	got, err := d.signIn(t.Context(), BeginOptions{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for claim, want := range map[string]string{"name": "Ada Lovelace", "email": "ada@corp.example", "locale": "nl"} {
		if s, _ := got.Text(claim); s != want {
			t.Errorf("%s: got %q, want %q", claim, s, want)
		}
	}
	if _, there := got.Claims["auth_time"]; there {
		t.Error("userinfo said when the person signed in")
	}
	if _, there := got.Text("exp"); there {
		t.Error("exp is a text")
	}
}

func TestSigningKeyRotation(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idptest.Setup{})
	signIn := func(want string) {
		t.Helper()
		if _, err := d.signIn(t.Context(), BeginOptions{}, 0); Reason(err) != want {
			t.Errorf("with key %s: got %v, want reason %q", d.KeyID, err, want)
		}
	}
	signIn("")
	d.SignWith("RS256", idptest.OtherRSA())
	d.KeyID, d.Published = "k2", []any{idptest.PublicKey("k2", "sig", idptest.OtherRSA())}
	signIn("") // the module oidcc-client-test-signing-key-rotation
	d.SignWith("RS256", idptest.RSA())
	d.KeyID, d.Published = "k1", []any{idptest.PublicKey("k2", "sig", idptest.OtherRSA())}
	signIn("key") // withdrawn, and forgotten with the question for k2
	d.clock.advance(answerLife)
	signIn("key")
}

// Who invents key ids has the provider asked once a minute.
func TestInventedKeysAskOnce(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idptest.Setup{})
	if _, err := d.signIn(t.Context(), BeginOptions{}, 0); err != nil {
		t.Fatal(err)
	}
	d.Forget()
	d.Lies.Header = func(h map[string]any) { h["kid"] = rand.Text() }
	for range 20 {
		if _, err := d.c.VerifyLogout(t.Context(), d.p, d.LogoutToken()); Reason(err) != "key" {
			t.Fatalf("got %v, want reason key", err)
		}
	}
	if got := d.Calls(); len(got) != 1 {
		t.Errorf("the provider was asked %v, want once", got)
	}
	d.Lies.Header = nil
	if _, err := d.signIn(t.Context(), BeginOptions{}, 0); err != nil {
		t.Errorf("the good key meanwhile: %v", err)
	}
}

// What no connection can allow is not taken where nobody looks at its settings.
func TestAlgorithmsOfNobody(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idptest.Setup{Algorithms: []string{"none", "HS256"}})
	for _, algorithm := range d.p.Algorithms {
		d.Lies.Header = func(h map[string]any) { h["alg"] = algorithm }
		if _, err := d.c.VerifyLogout(t.Context(), d.p, d.LogoutToken()); Reason(err) != "alg" {
			t.Errorf("%s: got %v, want reason alg", algorithm, err)
		}
	}
}

// A provider that does not answer is given up in time.
func TestProviderHangs(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	for _, at := range []idptest.Call{idptest.Discovery, idptest.Token, idptest.Keys, idptest.UserInfo} {
		d := newDesk(t, idptest.Setup{UserInfo: true})
		d.c.egress = &Egress{egress.New(egress.Options{Loopback: true, Timeout: 500 * time.Millisecond})}
		d.Lies.Reply = func(asked idptest.Call, _ http.ResponseWriter, r *http.Request) bool {
			if asked == at {
				select {
				case <-release:
				case <-r.Context().Done():
				}
			}
			return asked == at
		}
		start := time.Now()
		_, err := d.signIn(t.Context(), BeginOptions{}, 0)
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrRefused) {
			t.Errorf("%s hangs: got %v, want %v", at, err, ErrUnavailable)
		}
		if took := time.Since(start); took > egress.Timeout {
			t.Errorf("%s hangs: it took %v", at, took)
		}
	}
	close(release)
}

// A caller who waits for another's question waits no longer than it may.
func TestWaitingEnds(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idptest.Setup{})
	asked, release := make(chan struct{}), make(chan struct{})
	d.Lies.Before = func(idptest.Call) {
		close(asked)
		<-release
	}
	first := make(chan error, 1)
	go func() {
		_, _, err := d.c.Begin(t.Context(), d.p, BeginOptions{})
		first <- err
	}()
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, _, err := d.c.Begin(ctx, d.p, BeginOptions{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want %v", err, ErrUnavailable)
	}
	close(release)
	if err := <-first; err != nil {
		t.Errorf("the first: %v", err)
	}
}

// What a sign-in was refused for names no secret of it.
func TestErrorsKeepSecrets(t *testing.T) {
	t.Parallel()
	for _, c := range idptest.Hostile() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, c.Setup)
			c.Prepare(d.OP)
			tx, answer, err := d.begin(t.Context(), BeginOptions{MaxAge: c.Setup.MaxAge})
			if err != nil {
				return // there are no secrets yet
			}
			_, err = d.c.Finish(t.Context(), d.p, tx, answer)
			for what, secret := range map[string]string{
				"state": tx.State, "nonce": tx.Nonce, "verifier": tx.Verifier, "client secret": d.ClientSecret, "code": answer.Get("code"),
			} {
				if len(secret) > 10 && strings.Contains(fmt.Sprint(err), secret) {
					t.Errorf("the %s is in %v", what, err)
				}
			}
			if strings.ContainsAny(fmt.Sprint(err), "\r\n") {
				t.Errorf("%q has several lines", err)
			}
		})
	}
}

func TestEndSession(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idptest.Setup{})
	address, has, err := d.c.EndSession(t.Context(), d.p, "h.i.nt", "https://gatehouse.example/", "st&te")
	if err != nil || !has {
		t.Fatalf("got %v, %v", has, err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	want := url.Values{"client_id": {"gatehouse"}, "id_token_hint": {"h.i.nt"}, "post_logout_redirect_uri": {"https://gatehouse.example/"}, "state": {"st&te"}}
	if got := u.Query(); got.Encode() != want.Encode() || u.Path != "/logout" {
		t.Errorf("got %s, want %v", address, want)
	}
	address, _, err = d.c.EndSession(t.Context(), d.p, strings.Repeat("x", maxIDTokenHint+1), "", "")
	if err != nil || strings.Contains(address, "hint") || strings.Contains(address, "state") {
		t.Errorf("got %s, %v, want neither a long hint nor a state", address, err)
	}
	silent := newDesk(t, idptest.Setup{})
	silent.Lies.Discovery = func(m map[string]any) { delete(m, "end_session_endpoint") }
	if _, has, err := silent.c.EndSession(t.Context(), silent.p, "", "", ""); has || err != nil {
		t.Errorf("a provider without: got %v, %v", has, err)
	}
}

// The modules of RP-initiated logout: the browser comes back from our logout, from
// another, and without a word.
func TestCheckReturn(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, state string
		answer      url.Values
		reason      string
	}{
		{"oidcc-client-test-rp-init-logout", "abc", url.Values{"state": {"abc"}}, ""},
		{"oidcc-client-test-rp-init-logout-other-state", "abc", url.Values{"state": {"abd"}}, "state"},
		{"oidcc-client-test-rp-init-logout-no-state", "abc", url.Values{}, "state"},
		{"two states", "abc", url.Values{"state": {"abc", "abc"}}, "state"},
		{"no logout of ours", "", url.Values{"state": {""}}, "state"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Reason(CheckReturn(test.state, test.answer)); got != test.reason {
				t.Errorf("got %q, want %q", got, test.reason)
			}
		})
	}
}

func TestPeek(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idptest.Setup{})
	for _, raw := range []string{d.LogoutToken(), d.RevocationToken("https://gatehouse.example/revoke")} {
		issuer, audiences, err := Peek(raw)
		if err != nil || issuer != d.URL || len(audiences) != 1 {
			t.Errorf("got %s for %v, %v", issuer, audiences, err)
		}
	}
	for reason, lie := range map[string]func(c map[string]any){
		"iss":    func(c map[string]any) { delete(c, "iss") },
		"aud":    func(c map[string]any) { c["aud"] = 1 },
		"claims": func(c map[string]any) { c["ISS"] = "x" },
	} {
		d.Lies.Payload = lie
		if issuer, _, err := Peek(d.LogoutToken()); Reason(err) != reason || issuer != "" {
			t.Errorf("got %q, %v, want reason %s", issuer, err, reason)
		}
	}
	if calls := d.Calls(); len(calls) != 0 {
		t.Errorf("the provider was asked %v", calls)
	}
}

func TestInitiation(t *testing.T) {
	t.Parallel()
	t.Run("oidcc-client-test-3rd-party-init-login", func(t *testing.T) {
		d := newDesk(t, idptest.Setup{})
		i, err := ReadInitiation(url.Values{"iss": {d.URL}, "login_hint": {"ada"}, "target_link_uri": {"/groups"}, "state": {"chosen"}})
		if err != nil || i != (Initiation{d.URL, "ada", "/groups"}) {
			t.Fatalf("got %v, %v", i, err)
		}
		tx, answer, err := d.begin(t.Context(), BeginOptions{LoginHint: i.LoginHint})
		if err != nil {
			t.Fatal(err)
		}
		if tx.State == "chosen" {
			t.Error("a third party chose the state")
		}
		if _, err := d.c.Finish(t.Context(), d.p, tx, answer); err != nil {
			t.Error(err)
		}
	})
	for why, values := range map[string]url.Values{
		"no issuer":    {},
		"two issuers":  {"iss": {"https://a.example", "https://b.example"}},
		"no address":   {"iss": {"corp"}},
		"a script":     {"iss": {"javascript:alert(1)"}},
		"two hints":    {"iss": {"https://a.example"}, "login_hint": {"a", "b"}},
		"two targets":  {"iss": {"https://a.example"}, "target_link_uri": {"/a", "/b"}},
		"a long issue": {"iss": {"https://" + strings.Repeat("a", 2000)}},
	} {
		if _, err := ReadInitiation(values); Reason(err) != "initiation" {
			t.Errorf("%s: got %v, want reason initiation", why, err)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	d := newDesk(t, idptest.Setup{})
	got, err := d.c.Check(t.Context(), d.p)
	if err != nil || got.Issuer != d.URL || got.EndSessionURL != d.URL+"/logout" || !got.BackChannelLogout || got.NamesIssuer {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, test := range []struct {
		why, reason string
		arrange     func(d *desk)
	}{
		{"another issuer", "discovery", func(d *desk) {
			d.Lies.Discovery = func(m map[string]any) { m["issuer"] = "https://evil.example" }
		}},
		{"nobody there", "unavailable", func(d *desk) { d.p.Issuer += "/tenant" }},
		{"an issuer over http", "settings", func(d *desk) { d.p.Issuer = "http://login.example" }},
		{"an issuer with a password", "settings", func(d *desk) { d.p.Issuer = "https://a:b@login.example" }},
		{"no secret", "settings", func(d *desk) { d.p.ClientSecret = "" }},
		{"no client", "settings", func(d *desk) { d.p.ClientID = "" }},
		{"no key", "settings", func(d *desk) { d.p.Auth = PrivateKeyJWT }},
		{"no way to authenticate", "settings", func(d *desk) { d.p.Auth = 7 }},
		{"another algorithm", "key", func(d *desk) { d.p.Algorithms = []string{"ES256"} }},
		{"an algorithm that it doesn't announce", "key", func(d *desk) { d.p.Algorithms = []string{"PS256"} }},
		{"a way to authenticate that it doesn't take", "discovery", func(d *desk) {
			d.Lies.Discovery = func(m map[string]any) {
				m["token_endpoint_auth_methods_supported"] = []string{"client_secret_post"}
			}
		}},
		{"only weak keys", "key", func(d *desk) { d.SignWith("RS256", idptest.WeakRSA()) }},
		{"no userinfo", "discovery", func(d *desk) {
			d.p.UserInfo = true
			d.Lies.Discovery = func(m map[string]any) { delete(m, "userinfo_endpoint") }
		}},
	} {
		d := newDesk(t, idptest.Setup{})
		test.arrange(d)
		if _, err := d.c.Check(t.Context(), d.p); Reason(err) != test.reason {
			t.Errorf("%s: got %v, want reason %q", test.why, err, test.reason)
		}
	}
}

// Many sign in at two providers at once, and each is who they are.
func TestParallelSignIns(t *testing.T) {
	t.Parallel()
	one, two := newDesk(t, idptest.Setup{}), newDesk(t, idptest.Setup{})
	two.Subject, two.c = "somebody-else", one.c
	two.Now = one.Now
	var all sync.WaitGroup
	for i := range 60 {
		d := []*desk{one, two}[i%2]
		all.Go(func() {
			got, err := d.signIn(t.Context(), BeginOptions{}, 0)
			if err != nil || got.Issuer != d.URL || got.Subject != d.Subject {
				t.Errorf("got %v %v, %v", got.Issuer, got.Subject, err)
			}
		})
	}
	all.Wait()
}

func TestDenial(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]error{"access_denied": ErrDenied, "login_required": ErrDenied, "server_error": ErrUnavailable} {
		var err error = fmt.Errorf("sign in: %w", &Denial{code})
		denial, ok := errors.AsType[*Denial](err)
		if !ok || denial.Code != code || !errors.Is(err, want) || errors.Is(err, ErrRefused) {
			t.Errorf("%s: got %v, want it to be %v", code, err, want)
		}
		if errors.Is(err, ErrDenied) == errors.Is(err, ErrUnavailable) {
			t.Errorf("%s is both, or neither", code)
		}
	}
}

// FuzzObject: what our reader of JSON takes, encoding/json reads the same, by
// whatever case of the names.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{`{}`, `{"sub":"a"}`, `{"sub":"a","SUB":"b"}`, `{"a":{"b":[1,null,"x"]},"c":1e5}`, `{"s\u0075b":"a"}`, `{"ſub":1}`, `[`, `{"a":}`, `{"a":1}{}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := object(data)
		if err != nil {
			return
		}
		var plain map[string]json.RawMessage
		if err := json.Unmarshal(data, &plain); err != nil || len(plain) != len(c) {
			t.Fatalf("%q: ours reads %v, encoding/json %v, %v", data, c, plain, err)
		}
		var careless struct {
			Sub json.RawMessage `json:"sub"`
		}
		if err := json.Unmarshal(data, &careless); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if c.checkNames(tokenClaims) == nil && string(careless.Sub) != string(c["sub"]) {
			t.Fatalf("%q: ours reads sub %s, a careless reader %s", data, c["sub"], careless.Sub)
		}
	})
}

// FuzzClaims: no claims make it panic, and whoever comes of them is somebody that
// the claims name.
func FuzzClaims(f *testing.F) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	p := Provider{Issuer: "https://login.example", ClientID: "gatehouse"}
	tx := Transaction{Nonce: "n"}
	good := fmt.Sprintf(`{"iss":"https://login.example","aud":"gatehouse","sub":"ada","nonce":"n","iat":%d,"exp":%d,"events":{%q:{}},"jti":"j"}`,
		now.Unix(), now.Unix()+60, logoutEvent)
	for _, seed := range []string{good, strings.Replace(good, `"events"`, `"x"`, 1), strings.Replace(good, `"nonce"`, `"x"`, 1), strings.Replace(good, `"aud":"gatehouse"`, `"aud":["gatehouse"]`, 1)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := object(data)
		if err != nil || c.checkNames(tokenClaims) != nil {
			return
		}
		var said struct{ Iss, Sub, Nonce string }
		read := func() {
			if err := json.Unmarshal(data, &said); err != nil {
				t.Fatalf("%q: %v", data, err)
			}
		}
		id, err := c.identity(p, tx, now)
		if err == nil {
			if read(); said.Iss != p.Issuer || said.Sub != id.Subject || said.Nonce != tx.Nonce || id.Subject == "" || !printable(id.Subject) {
				t.Fatalf("%q: got %v", data, id)
			}
		}
		l, logoutErr := c.logout(p, now)
		if logoutErr == nil {
			if read(); said.Iss != p.Issuer || said.Sub != l.Subject || l.ID == "" || l.Subject+l.SessionID == "" {
				t.Fatalf("%q: got %v", data, l)
			}
		}
		if err == nil && logoutErr == nil {
			t.Fatalf("%q is an ID token and a logout token", data)
		}
	})
}

// FuzzDocuments: no discovery document and no set of keys makes it panic, and what
// comes of them can be used.
func FuzzDocuments(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://login.example","jwks_uri":"https://login.example/keys","token_endpoint":"https://login.example/token"}`))
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"","y":""},{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},{"kty":"oct","k":"AA"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","use":"sig","key_ops":["verify"]}]}`))
	check := NewEgress(false).CheckURL
	f.Fuzz(func(t *testing.T, data []byte) {
		if d, err := readDiscovery(data, "https://login.example", check); err == nil {
			for _, address := range []string{d.KeysURL, d.TokenURL, d.AuthorizationURL, d.UserInfoURL, d.EndSessionURL} {
				if address != "" && !strings.HasPrefix(strings.ToLower(address), "https://") {
					t.Fatalf("%q: leads to %q", data, address)
				}
			}
		}
		keys, err := signingKeys(data)
		if err != nil && keys != nil {
			t.Fatalf("%q: %d keys and %v", data, len(keys), err)
		}
		for _, k := range keys {
			fits := 0
			for algorithm := range algorithms {
				if k.fits(algorithm, "") {
					fits++
				}
			}
			if k.algorithm == "" && fits == 0 {
				t.Fatalf("%q: a key of type %T for nothing", data, k.key)
			}
		}
	})
}
