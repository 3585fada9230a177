package main

import "testing"

func TestNetworksOfProxies(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"10.0.0.7", "10.0.0.7/32"},
		{"10.0.0.7/24", "10.0.0.0/24"},
		{"fd00::1", "fd00::1/128"},
		{"::ffff:10.0.0.7", "10.0.0.7/32"},
		{"::ffff:10.0.0.7/120", "10.0.0.0/24"},
		{"::ffff:0.0.0.0/96", ""},
		{"::ffff:10.0.0.7/64", ""},
		{"0.0.0.0/0", ""},
		{"::/0", ""},
		{"proxy.example", ""},
		{"", ""},
	} {
		var n network
		if err := n.UnmarshalText([]byte(test.text)); (err == nil) != (test.want != "") || err == nil && n.String() != test.want {
			t.Errorf("%q: got %v, %v, want %q", test.text, n, err, test.want)
		}
	}
}
