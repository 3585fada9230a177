package oidc

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

func TestReachable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		address string
		want    bool
	}{
		{"20.190.128.1", true},
		{"2603:1006:2000::1", true},
		{"::ffff:20.190.128.1", true},

		{"0.0.0.0", false},
		{"10.0.0.1", false},
		{"100.100.100.200", false}, // a cloud's metadata
		{"127.0.0.1", false},
		{"127.8.8.8", false},
		{"169.254.169.254", false}, // most clouds' metadata
		{"172.16.0.1", false},
		{"192.168.1.1", false},
		{"192.0.0.192", false},
		{"198.18.0.1", false},
		{"224.0.0.1", false},
		{"240.0.0.1", false},
		{"255.255.255.255", false},
		{"::", false},
		{"::1", false},
		{"::127.0.0.1", false},
		{"::ffff:127.0.0.1", false},
		{"::ffff:10.0.0.1", false},
		{"64:ff9b::7f00:1", false},
		{"2002:7f00:1::", false},
		{"2001:0:7f00:1::", false},
		{"fd00:ec2::254", false},
		{"fe80::1", false},
		{"fe80::1%eth0", false},
		{"fec0::1", false},
		{"ff02::1", false},
	} {
		if got := reachable(netip.MustParseAddr(test.address), false); got != test.want {
			t.Errorf("%s: got %v, want %v", test.address, got, test.want)
		}
	}
	for _, address := range []string{"127.0.0.1", "::1"} {
		if !reachable(netip.MustParseAddr(address), true) {
			t.Errorf("%s is not reached although it may be", address)
		}
	}
	for _, address := range []string{"10.0.0.1", "169.254.169.254"} {
		if reachable(netip.MustParseAddr(address), true) {
			t.Errorf("%s is reached because this machine may be", address)
		}
	}
}

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

func TestCheckURL(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		url                string
		outside, onMachine bool
	}{
		{"https://login.microsoftonline.com/x/v2.0", true, true},
		{"http://127.0.0.1:8080", false, true},
		{"http://[::1]:8080", false, true},
		{"http://localhost:8080", false, false}, // a name can lead anywhere
		{"http://login.example", false, false},
		{"ftp://login.example", false, false},
		{"file:///etc/passwd", false, false},
		{"https://", false, false},
		{"https://user@login.example", false, false},
		{"https://login.example/#x", false, false},
		{"//login.example", false, false},
		{"https://a b", false, false},
		{"", false, false},
	} {
		if got := NewEgress(false).CheckURL(test.url) == nil; got != test.outside {
			t.Errorf("%s: got %v, want %v", test.url, got, test.outside)
		}
		if got := NewEgress(true).CheckURL(test.url) == nil; got != test.onMachine {
			t.Errorf("%s with this machine allowed: got %v, want %v", test.url, got, test.onMachine)
		}
	}
}

func TestRefusalNamesTheAddress(t *testing.T) {
	t.Parallel()
	_, err := NewEgress(false).getJSON(t.Context(), "https://127.0.0.1:9/")
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1 is no public address") {
		t.Errorf("got %v, want the address in it", err)
	}
}
