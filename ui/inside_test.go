package ui

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"gatehouse/internal/web"
)

// TestProvidersAreNowhereInside has an owner check, save and use issuers that lead to
// this machine in all ways that an address can be written: none is called.
func TestProvidersAreNowhereInside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var connections atomic.Int32
	inside := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	inside.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	inside.StartTLS()
	t.Cleanup(inside.Close)
	answer, err := inside.Client().Get(inside.URL) // the control
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if connections.Swap(0) == 0 {
		t.Fatal("connections are not counted")
	}

	opts := rigOptions(t)
	opts.LoopbackIssuers = false
	w.console = New(w.Store, opts)
	mux, err := web.Mux(w.console.Routes())
	if err != nil {
		t.Fatal(err)
	}
	w.server.Config.Handler = web.Log(opts.Log, nil, mux)

	port := strconv.Itoa(inside.Listener.Addr().(*net.TCPAddr).Port)
	form := w.form(example{route: "POST ", form: "client=c&secret=s&auth=client_secret_basic&claim=sub&attribute=externalId&enabled=yes"}, w.mine)
	saved := 0
	for _, pattern := range insideForms {
		address := strings.ReplaceAll(pattern, "PORT", port)
		path := "/sync/" + w.mine["connection"] + "/signin"
		form.Set("issuer", address)
		form.Set("do", "check")
		if got := w.post(sam, path, form); got.status >= 500 {
			t.Errorf("checking %s: status %d", address, got.status)
		}
		form.Set("do", "")
		if got := w.post(sam, path, form); got.status == http.StatusSeeOther {
			saved++
			started := w.get(nobody, "/login/start?"+url.Values{"provider": {w.mine["connection"]}}.Encode())
			if started.status < 400 {
				t.Errorf("signing in at %s: status %d to %s", address, started.status, started.header.Get("Location"))
			}
		}
	}
	if saved == 0 {
		t.Error("no address could be saved, so that none was used")
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
	t.Logf("ssrf_connects = %d of %d issuers, %d of them saved", connections.Load(), len(insideForms), saved)
}

// insideForms are ways to write an address inside; PORT is that of a listener.
var insideForms = []string{
	"https://127.0.0.1:PORT", "https://localhost:PORT", "https://LOCALHOST:PORT", "https://localhost.:PORT", "https://127.1:PORT", "https://127.0.1:PORT", "https://0.0.0.0:PORT",
	"https://0:PORT", "https://2130706433:PORT", "https://0x7f000001:PORT", "https://0x7f.1:PORT", "https://0177.0.0.1:PORT", "https://127.8.8.8:PORT", "https://127.0.0.1.:PORT",
	"https://[::1]:PORT", "https://[::]:PORT", "https://[::ffff:127.0.0.1]:PORT", "https://[::ffff:7f00:1]:PORT", "https://[0:0:0:0:0:0:0:1]:PORT", "https://[::127.0.0.1]:PORT",
	"https://[64:ff9b::7f00:1]:PORT", "https://[2002:7f00:1::]:PORT", "https://[fe80::1%25lo]:PORT", "https://[::1%25lo]:PORT", "https://①②⑦.0.0.1:PORT", "https://127。0。0。1:PORT",
	"http://127.0.0.1:PORT", "http://localhost:PORT", "https://x@127.0.0.1:PORT", "https://127.0.0.1:PORT/#x", "https://127.0.0.1:PORT/?x=y", "https://127.0.0.1:PORT/tenant/v2.0",
	"https://ip6-localhost:PORT", "https://127.0.0.1:PORT@example.com", "https://10.0.0.1", "https://172.16.0.1", "https://192.168.1.1", "https://169.254.169.254", "https://100.100.100.200",
	"https://[fd00:ec2::254]", "https://[fe80::1]", "https://192.0.0.192", "https://198.18.0.1", "https://224.0.0.1", "https://255.255.255.255", "file:///etc/passwd", "gopher://127.0.0.1:PORT", "//127.0.0.1:PORT",
}
