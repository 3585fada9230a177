package main

import (
	"net"
	"testing"
)

// TestEntrancesAreWhereTheServerIs has links open in a browser on this machine, by a
// name, since passkeys are for names.
func TestEntrancesAreWhereTheServerIs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ url, listen, want string }{
		{"", "127.0.0.1:8080", "http://localhost:8080/setup?code=ghb_x"},
		{"", "127.0.0.1:9123", "http://localhost:9123/setup?code=ghb_x"},
		{"", "0.0.0.0:80", "http://localhost:80/setup?code=ghb_x"},
		{"", "[::]:9123", "http://localhost:9123/setup?code=ghb_x"},
		{"", "[::1]:9123", "http://localhost:9123/setup?code=ghb_x"},
		{"", "192.0.2.7:9123", "http://192.0.2.7:9123/setup?code=ghb_x"},
		{"https://access.example.com", "127.0.0.1:9123", "https://access.example.com/setup?code=ghb_x"},
	} {
		at, err := net.ResolveTCPAddr("tcp", test.listen)
		if err != nil {
			t.Fatal(err)
		}
		if got := (publicURL{test.url}).served(at).entrance("/setup", "ghb_x"); got != test.want {
			t.Errorf("listening at %s, url %q: got %s, want %s", test.listen, test.url, got, test.want)
		}
	}
	if got, want := (publicURL{}).entrance("/break-glass", "ghb_x"), "http://localhost:8080/break-glass?code=ghb_x"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
