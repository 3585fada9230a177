package ui

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"gatehouse/internal/idptest"
	"gatehouse/internal/seal"
	"gatehouse/internal/web"
	"gatehouse/store"
)

// hands is a clock that tests move.
type hands struct {
	mu sync.Mutex
	at time.Time
}

func (h *hands) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *hands) wait(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

// gate is the console as somebody meets who isn't signed in yet, with providers
// that a test makes.
type gate struct {
	*store.Store
	t       *testing.T
	clock   *hands
	server  *httptest.Server
	console *Server
	sealer  *seal.Sealer
	actor   store.Actor
	doors   int
	log     *logged
}

// logged is what the server logs.
type logged struct {
	mu   sync.Mutex
	text []byte
}

func (s *logged) Write(line []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = append(s.text, line...)
	return len(line), nil
}

func (s *logged) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

func newGate(t *testing.T, database string) *gate {
	t.Helper()
	return newGateAt(t, database, "")
}

// newGateAt is one with a public address, as replicas have.
func newGateAt(t *testing.T, database, address string) *gate {
	t.Helper()
	g := &gate{t: t, log: &logged{}, clock: &hands{at: time.Now().Truncate(time.Second)}}
	var err error
	if g.Store, err = store.Open(t.Context(), database, store.Options{Now: g.clock.now}); err != nil {
		t.Fatal(err)
	}
	if g.sealer, err = seal.New("test", make([]byte, 32), ""); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	g.console = New(g.Store, Options{URL: address, Log: log, Sealer: g.sealer, LoopbackIssuers: true})
	mux, err := web.Mux(g.console.Routes())
	if err != nil {
		t.Fatal(err)
	}
	g.server = httptest.NewServer(web.Log(log, nil, mux))
	t.Cleanup(func() {
		g.server.Close()
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	tenant, err := g.EnsureTenant(t.Context(), store.Actor{Kind: store.ActorSystem}, store.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.EnsureBaselines(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.actor = store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI, ID: "grace"}
	return g
}

// atBothGates runs a test with a database of each kind.
func atBothGates(t *testing.T, test func(t *testing.T, g *gate)) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"sqlite":   sqliteURL,
		"postgres": func(t *testing.T) string { return migrated.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newGate(t, url(t)))
		})
	}
}

func (g *gate) write(t *testing.T, f func(tx *store.Tx) error) {
	t.Helper()
	if err := g.Write(t.Context(), g.actor, f); err != nil {
		t.Fatal(err)
	}
}

// door is a connection whose people sign in at a provider of the test's.
type door struct {
	*gate
	*idptest.OP
	t        *testing.T
	ref      store.ConnectionRef
	provider store.Provider
	ada      store.UserID // the provider's person, as SCIM told of her
}

// newDoor makes a connection, its provider, and Ada in both. Change may say
// something else of the provider.
func (g *gate) newDoor(t *testing.T, setup idptest.Setup, change ...func(*store.Provider)) *door {
	t.Helper()
	d := &door{gate: g, OP: idptest.New(t), t: t}
	d.Now = g.clock.now
	ctx := t.Context()
	g.doors++
	g.write(t, func(tx *store.Tx) error {
		c, err := tx.CreateConnection(ctx, fmt.Sprintf("door %d", g.doors), store.IdPGeneric)
		d.ref = c.Ref()
		return err
	})
	d.provider = store.Provider{
		ConnectionID: d.ref.ID, Issuer: d.URL, ClientID: d.ClientID, Enabled: true, Sealed: g.sealer.Seal(string(d.ref.ID), d.ClientSecret),
		ProviderSettings: store.ProviderSettings{
			Auth: "client_secret_basic", Algorithms: setup.Algorithms, UserInfo: setup.UserInfo, Scopes: []string{"profile", "email"},
			Claim: "sub", Attribute: store.LinkExternalID, BackChannel: true, FrontChannel: true, GlobalRevocation: true,
		},
	}
	if setup.Key != nil {
		d.provider.Auth, d.provider.KeyID = "private_key_jwt", "ours"
		d.provider.Sealed = g.sealer.Seal(string(d.ref.ID), keyText(t, setup.Key))
	}
	for _, f := range change {
		f(&d.provider)
	}
	g.write(t, func(tx *store.Tx) error {
		u := user("ada@corp.example", "Ada Lovelace", true)
		u.ExternalID = d.Subject
		u, err := tx.CreateUser(ctx, d.ref, u)
		if d.ada = u.ID; err != nil {
			return err
		}
		d.provider, err = tx.SetProvider(ctx, d.provider)
		return err
	})
	return d
}

func keyText(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// changeAda changes her by SCIM's hand.
func (d *door) changeAda(change func(*store.User)) {
	d.t.Helper()
	d.write(d.t, func(tx *store.Tx) error {
		_, err := tx.UpdateUser(d.t.Context(), d.ref, d.ada, func(u store.User) (store.User, error) {
			change(&u)
			u.Doc = fmt.Appendf(nil, `{"userName":%q,"active":%t,"externalId":%q}`, u.UserName, u.Active, u.ExternalID)
			u.Search = fmt.Appendf(nil, `{"username":%q}`, store.Fold(u.UserName))
			return u, nil
		})
		return err
	})
}

// sessions are Ada's, as the database has them.
func (d *door) sessions() []store.Session {
	d.t.Helper()
	all, err := d.Sessions(d.t.Context(), d.ref.Tenant, d.ada)
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

// browser keeps cookies and follows no redirects.
type browser struct {
	t    testing.TB
	host string
	http http.Client
}

func newBrowser(t testing.TB, host string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, host, http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (b *browser) get(path string) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), "GET", b.host+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.send(r)
}

// post sends a form from a page of ours, or from that of another site.
func (b *browser) post(path, origin string, form url.Values) answer {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), "POST", b.host+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", origin)
	r.Header.Set("Sec-Fetch-Site", map[bool]string{true: "same-origin", false: "cross-site"}[origin == b.host])
	return b.send(r)
}

func (b *browser) send(r *http.Request) answer {
	b.t.Helper()
	resp, err := b.http.Do(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(string(body)))
	if err != nil {
		b.t.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return answer{doc, resp.StatusCode, resp.Header, string(body)}
}

// cookie is what the browser would send here.
func (b *browser) cookie(name string) string {
	b.t.Helper()
	u, err := url.Parse(b.host)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.http.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (d *door) browser() *browser { return newBrowser(d.t, d.server.URL) }

// start begins a sign-in and gives what the provider sends back, or the page that
// says why it doesn't begin.
func (d *door) start(b *browser, more string) (url.Values, answer) {
	d.t.Helper()
	page := b.get("/login/start?provider=" + string(d.ref.ID) + more)
	if page.status != http.StatusSeeOther {
		return nil, page
	}
	back, err := d.Visit(page.header.Get("Location"))
	if err != nil {
		d.t.Fatal(err)
	}
	return back, page
}

// signIn goes to the provider and back.
func (d *door) signIn(b *browser) answer {
	d.t.Helper()
	back, page := d.start(b, "")
	if back == nil {
		return page
	}
	return b.get("/oidc/callback?" + back.Encode())
}

// wantIn fails unless somebody came in.
func (d *door) wantIn(b *browser) {
	d.t.Helper()
	if page := d.signIn(b); page.status != http.StatusSeeOther || b.cookie(sessionCookie) == "" {
		d.t.Fatalf("signing in: status %d: %s", page.status, page.text("main"))
	}
}

// isIn reports whether a browser is signed in.
func (b *browser) isIn() bool {
	b.t.Helper()
	return b.get("/me").status == http.StatusOK
}
