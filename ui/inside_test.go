package ui

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"gatehouse/internal/idptest"
	"gatehouse/internal/web"
	"gatehouse/store"
)

// inside are servers, by https and by http, that nobody may call.
type inside struct {
	connections   atomic.Int32
	secure, plain string // their ports
}

func newInside(t *testing.T, host string) *inside {
	t.Helper()
	in := &inside{}
	serve := func(secure bool) string {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		server.Listener.Close()
		server.Listener = l
		server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				in.connections.Add(1)
			}
		}
		if secure {
			server.StartTLS()
		} else {
			server.Start()
		}
		t.Cleanup(server.Close)
		control := server.Client()
		if secure {
			control.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true // its certificate is for 127.0.0.1
		}
		answer, err := control.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if in.connections.Swap(0) == 0 {
			t.Fatal("connections are not counted")
		}
		return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
	in.secure, in.plain = serve(true), serve(false)
	return in
}

// fill puts the port of the server that an address would reach into it.
func (in *inside) fill(address string) string {
	port := in.secure
	if strings.HasPrefix(address, "http:") {
		port = in.plain
	}
	return strings.ReplaceAll(address, "PORT", port)
}

// serveAs has the world's console run with other options.
func (w *world) serveAs(opts Options) {
	w.t.Helper()
	w.console = New(w.Store, opts)
	mux, err := web.Mux(w.console.Routes())
	if err != nil {
		w.t.Fatal(err)
	}
	w.server.Config.Handler = web.Log(opts.Log, nil, mux)
}

// TestProvidersAreNowhereInside has an owner check, save and use issuers that lead to
// this machine in all ways that an address can be written: none can be saved, and one
// that is there all the same, by another's hand, is not called.
func TestProvidersAreNowhereInside(t *testing.T) {
	t.Parallel()
	w, in := newWorld(t), newInside(t, "127.0.0.1")
	opts := rigOptions(t)
	opts.LoopbackIssuers = false
	w.serveAs(opts)
	c := store.ConnectionRef{Tenant: w.actor.Tenant, ID: store.ConnectionID(w.mine["connection"])}
	path := "/sync/" + w.mine["connection"] + "/signin"
	form := w.form(example{route: "POST ", form: "client=c&secret=s&auth=client_secret_basic&claim=sub&attribute=externalId&enabled=yes"}, w.mine)
	kept := store.Provider{ConnectionID: c.ID, ClientID: "c", Enabled: true, Sealed: opts.Sealer.Seal(string(c.ID), "s"), ProviderSettings: store.ProviderSettings{
		Auth: "client_secret_basic", Claim: "sub", Attribute: store.LinkExternalID}}
	used := 0
	for _, pattern := range insideForms {
		issuer := in.fill(pattern)
		form.Set("issuer", issuer)
		for _, do := range []string{"check", "save"} {
			form.Set("do", do)
			got := w.post(sam, path, form)
			if got.status != http.StatusBadRequest || !strings.Contains(got.text("#e-issuer"), "public addresses only") || got.Find("#f-issuer").AttrOr("value", "") != issuer {
				t.Errorf("%s %s: status %d, %q beside the field", do, issuer, got.status, got.text("#e-issuer"))
			}
		}
		if _, err := w.Provider(t.Context(), c); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s was saved: %v", issuer, err)
		}
		kept.Issuer = issuer
		err := w.Write(t.Context(), w.actor, func(tx *store.Tx) error { _, err := tx.SetProvider(t.Context(), kept); return err })
		if errors.Is(err, store.ErrInvalid) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		used++
		if got := w.get(nobody, "/login/start?provider="+string(c.ID)); got.status < 400 || got.status >= 500 && got.status != http.StatusServiceUnavailable {
			t.Errorf("signing in at %s: status %d to %s", issuer, got.status, got.header.Get("Location"))
		}
		w.write(func(tx *store.Tx) error { return tx.RemoveProvider(t.Context(), c.ID) })
	}
	if used == 0 {
		t.Error("no address could be kept, so that none was used")
	}
	if n := in.connections.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
	t.Logf("ssrf_connects = %d of %d issuers, %d of them used", in.connections.Load(), len(insideForms), used)
}

// TestDiscoveryLeadsNowhereInside has a provider that may be called say that its
// endpoints are where nobody may: the owner who checks it and the audit trail are told
// which, nobody signs in, and nothing is called. Redirects lead there no more.
func TestDiscoveryLeadsNowhereInside(t *testing.T) {
	t.Parallel()
	w, in := newWorld(t), newInside(t, "127.0.0.2")
	op := idptest.New(t)
	path := "/sync/" + w.mine["connection"] + "/signin"
	form := w.form(example{route: "POST ", form: "secret=s&auth=client_secret_basic&claim=sub&attribute=externalId&enabled=yes&userinfo=yes"}, w.mine)
	form.Set("issuer", op.URL)
	tried := 0
	try := func(why, want string) {
		t.Helper()
		tried++
		form.Set("client", fmt.Sprintf("c%d", tried)) // nothing is remembered of other settings
		form.Set("do", "check")
		if got := w.post(sam, path, form); got.status != http.StatusOK || !strings.Contains(got.text("#checked .error"), want) {
			t.Errorf("checking %s: status %d, %q, want %s named", why, got.status, got.text("#checked"), want)
		}
		form.Set("do", "save")
		if got := w.post(sam, path, form); got.status != http.StatusSeeOther {
			t.Errorf("saving %s: status %d", why, got.status)
		}
		if got := w.get(nobody, "/login/start?provider="+w.mine["connection"]); got.status != http.StatusForbidden && got.status != http.StatusServiceUnavailable {
			t.Errorf("signing in with %s: status %d to %s", why, got.status, got.header.Get("Location"))
		}
		page, err := w.Audit(t.Context(), w.actor.Tenant, store.AuditFilter{Actions: []string{store.SignInRefused}}, "", 1)
		if err != nil || len(page.Changes) != 1 {
			t.Fatalf("%s: %d refusals, %v", why, len(page.Changes), err)
		}
		if quoted, _ := json.Marshal(want); tried <= store.MaxRefusals && !strings.Contains(page.Changes[0].Detail, strings.Trim(string(quoted), `"`)) {
			t.Errorf("%s: the audit trail says %s, want %s named", why, page.Changes[0].Detail, want)
		}
	}
	for _, name := range []string{"jwks_uri", "token_endpoint", "userinfo_endpoint", "authorization_endpoint", "end_session_endpoint"} {
		for _, pattern := range insideEndpoints {
			address := in.fill(pattern)
			op.Lies.Discovery = func(d map[string]any) { d[name] = address }
			try(name+" "+address, fmt.Sprintf("%s: address %q", name, address))
		}
	}
	op.Lies.Discovery = nil
	for call, want := range map[idptest.Call]string{idptest.Discovery: "discovery: get ", idptest.Keys: "/keys"} {
		op.Lies.Reply = func(asked idptest.Call, answer http.ResponseWriter, r *http.Request) bool {
			if asked == call {
				http.Redirect(answer, r, in.fill("https://127.0.0.2:PORT/"), http.StatusFound)
			}
			return asked == call
		}
		form.Set("client", "redirected "+string(call))
		form.Set("do", "check")
		if got := w.post(sam, path, form); !strings.Contains(got.text("#checked .error"), want) || !strings.Contains(got.text("#checked .error"), "302 Found") {
			t.Errorf("%s redirected: %q", call, got.text("#checked"))
		}
	}
	if n := in.connections.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
	t.Logf("ssrf_connects = %d of %d endpoints", in.connections.Load(), tried)
}

// TestSignInsAreRedirectedNowhereInside has a provider redirect what a sign-in asks it
// for, after the browser has been there.
func TestSignInsAreRedirectedNowhereInside(t *testing.T) {
	t.Parallel()
	g, in := newGate(t, sqliteURL(t)), newInside(t, "127.0.0.2")
	for _, call := range []idptest.Call{idptest.Token, idptest.Keys, idptest.UserInfo} {
		for _, address := range []string{"https://127.0.0.2:PORT/", "http://127.0.0.2:PORT/"} {
			d := g.newDoor(t, idptest.Setup{UserInfo: true})
			asked := false
			d.Lies.Reply = func(one idptest.Call, answer http.ResponseWriter, r *http.Request) bool {
				if one == call {
					asked = true
					http.Redirect(answer, r, in.fill(address), http.StatusTemporaryRedirect)
				}
				return one == call
			}
			b := d.browser()
			if page := d.signIn(b); page.status < 400 || b.isIn() || !asked {
				t.Errorf("%s redirected to %s: status %d, asked: %t", call, in.fill(address), page.status, asked)
			}
		}
	}
	if n := in.connections.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

// insideEndpoints are ways to write addresses that a provider must not lead to: those
// of a listener at PORT of 127.0.0.2, and others.
var insideEndpoints = []string{
	"https://127.0.0.2:PORT/x", "http://127.0.0.2:PORT/x", "https://127.0.2:PORT/x", "https://0x7f000002:PORT/x", "https://2130706434:PORT/x", "https://127.0.0.2.:PORT/x",
	"https://[::ffff:127.0.0.2]:PORT/x", "https://①②⑦.0.0.②:PORT/x", "https://x@127.0.0.2:PORT/x", "https://10.0.0.1/x", "https://169.254.169.254/latest/meta-data/", "https://[fd00:ec2::254]/x",
	"file:///etc/passwd", "//127.0.0.2:PORT/x",
}

// insideForms are ways to write an address inside; PORT is that of a listener.
var insideForms = []string{
	"https://127.0.0.1:PORT", "https://localhost:PORT", "https://LOCALHOST:PORT", "https://localhost.:PORT", "https://127.1:PORT", "https://127.0.1:PORT", "https://0.0.0.0:PORT",
	"https://0:PORT", "https://2130706433:PORT", "https://0x7f000001:PORT", "https://0x7f.1:PORT", "https://0177.0.0.1:PORT", "https://127.8.8.8:PORT", "https://127.0.0.1.:PORT",
	"https://[::1]:PORT", "https://[::]:PORT", "https://[::ffff:127.0.0.1]:PORT", "https://[::ffff:7f00:1]:PORT", "https://[0:0:0:0:0:0:0:1]:PORT", "https://[::127.0.0.1]:PORT",
	"https://[64:ff9b::7f00:1]:PORT", "https://[2002:7f00:1::]:PORT", "https://[fe80::1%25lo]:PORT", "https://[::1%25lo]:PORT", "https://①②⑦.0.0.1:PORT", "https://127。0。0。1:PORT",
	"http://127.0.0.1:PORT", "http://localhost:PORT", "https://x@127.0.0.1:PORT", "https://127.0.0.1:PORT/#x", "https://127.0.0.1:PORT/?x=y", "https://127.0.0.1:PORT/tenant/v2.0",
	"https://127.0.0.1:PORT@example.com", "https://10.0.0.1", "https://172.16.0.1", "https://192.168.1.1", "https://169.254.169.254", "https://100.100.100.200",
	"https://[fd00:ec2::254]", "https://[fe80::1]", "https://192.0.0.192", "https://198.18.0.1", "https://224.0.0.1", "https://255.255.255.255", "file:///etc/passwd", "gopher://127.0.0.1:PORT", "//127.0.0.1:PORT",
}
