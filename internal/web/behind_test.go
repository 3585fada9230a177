package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestBehind(t *testing.T) {
	t.Parallel()
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::1/128"), netip.MustParsePrefix("192.0.2.7/32")}
	for _, test := range []struct {
		why, peer string
		said      []string
		want      string
	}{
		{why: "no proxy in between", peer: "203.0.113.9:5000", want: "203.0.113.9:5000"},
		{why: "a stranger says who it is", peer: "203.0.113.9:5000", said: []string{"198.51.100.1"}, want: "203.0.113.9:5000"},
		{why: "a neighbour of the proxies does", peer: "10.0.1.1:5000", said: []string{"198.51.100.1"}, want: "10.0.1.1:5000"},
		{why: "a proxy says who it is of", peer: "10.0.0.5:5000", said: []string{"203.0.113.9"}, want: "203.0.113.9:0"},
		{why: "a proxy by its other name", peer: "[::ffff:10.0.0.5]:5000", said: []string{"203.0.113.9"}, want: "203.0.113.9:0"},
		{why: "a proxy by IPv6", peer: "[fd00::1]:5000", said: []string{"2001:db8::9"}, want: "[2001:db8::9]:0"},
		{why: "two proxies, one after the other", peer: "10.0.0.5:5000", said: []string{"203.0.113.9, 192.0.2.7"}, want: "203.0.113.9:0"},
		{why: "each with a header of its own", peer: "10.0.0.5:5000", said: []string{"203.0.113.9", "192.0.2.7"}, want: "203.0.113.9:0"},
		{why: "whoever comes wrote something before", peer: "10.0.0.5:5000", said: []string{"198.51.100.1, 203.0.113.9"}, want: "203.0.113.9:0"},
		{why: "and a proxy's address, too", peer: "10.0.0.5:5000", said: []string{"198.51.100.1, 10.0.0.6, 203.0.113.9"}, want: "203.0.113.9:0"},
		{why: "in a header before", peer: "10.0.0.5:5000", said: []string{"10.0.0.6", "203.0.113.9"}, want: "203.0.113.9:0"},
		{why: "with ports, as some write it", peer: "10.0.0.5:5000", said: []string{"[2001:db8::9]:44, 192.0.2.7:80"}, want: "[2001:db8::9]:0"},
		{why: "no address", peer: "10.0.0.5:5000", said: []string{"198.51.100.1, unknown, 192.0.2.7"}, want: "192.0.2.7:0"},
		{why: "something with an end to the line", peer: "10.0.0.5:5000", said: []string{"203.0.113.9\t"}, want: "203.0.113.9:0"},
		{why: "nothing", peer: "10.0.0.5:5000", want: "10.0.0.5:0"},
		{why: "commas", peer: "10.0.0.5:5000", said: []string{"198.51.100.1,,"}, want: "10.0.0.5:0"},
		{why: "proxies alone", peer: "10.0.0.5:5000", said: []string{"10.0.0.7, 10.0.0.6"}, want: "10.0.0.7:0"},
		{why: "no peer that has an address", peer: "@", said: []string{"203.0.113.9"}, want: "@"},
	} {
		got := ""
		handler := Behind(proxies, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got, r.Pattern = r.RemoteAddr, "GET /x" }))
		r := httptest.NewRequest("GET", "/x", nil)
		r.RemoteAddr = test.peer
		r.Header["X-Forwarded-For"] = test.said
		r.Header.Set("Forwarded", "for=198.51.100.2")
		r.Header.Set("X-Real-Ip", "198.51.100.3")
		handler.ServeHTTP(httptest.NewRecorder(), r)
		if got != test.want || r.Pattern != "GET /x" || r.RemoteAddr != test.peer {
			t.Errorf("%s: got %s and pattern %q, want %s", test.why, got, r.Pattern, test.want)
		}
	}
	got := ""
	handler := Behind(nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
	r := httptest.NewRequest("GET", "/x", nil)
	r.Header.Set("X-Forwarded-For", "198.51.100.1")
	handler.ServeHTTP(httptest.NewRecorder(), r)
	if got != r.RemoteAddr {
		t.Errorf("without proxies: got %s, want the peer %s", got, r.RemoteAddr)
	}
}
