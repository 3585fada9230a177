package oidc

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// Nothing connects to this machine by any spelling of its address.
func TestNoConnectionInside(t *testing.T) {
	t.Parallel()
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := server.Client().Get(server.URL) // the control: it can be reached
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if connections.Load() == 0 {
		t.Fatal("connections are not counted")
	}
	connections.Store(0)
	e := NewEgress(false)
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "0.0.0.0", "[::]", "LOCALHOST", "127.0.0.1."} {
		_, err := e.getJSON(t.Context(), "https://"+host+":"+port+"/")
		if err == nil {
			t.Errorf("%s: got no error", host)
		}
	}
	if n := connections.Load(); n != 0 {
		t.Errorf("%d connections were made, want none", n)
	}
}

func TestRefusalNamesTheAddress(t *testing.T) {
	t.Parallel()
	_, err := NewEgress(false).getJSON(t.Context(), "https://127.0.0.1:9/")
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1 is no public address") {
		t.Errorf("got %v, want the address in it", err)
	}
}
