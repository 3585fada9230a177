package egress

import (
	"net"
	"net/netip"
	"os"
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
		if got := (Options{}).reaches(netip.MustParseAddr(test.address)); got != test.want {
			t.Errorf("%s: got %v, want %v", test.address, got, test.want)
		}
	}
	for _, address := range []string{"127.0.0.1", "::1"} {
		if !(Options{Loopback: true}).reaches(netip.MustParseAddr(address)) {
			t.Errorf("%s is not reached although it may be", address)
		}
	}
	for _, address := range []string{"10.0.0.1", "169.254.169.254", "127.0.0.2"} {
		if (Options{Loopback: true}).reaches(netip.MustParseAddr(address)) {
			t.Errorf("%s is reached because this machine may be", address)
		}
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
		{"https://localhost:8080", false, true},
		{"https://LOCALHOST./x", false, true},
		{"https://login.localhost", false, true},
		{"https://127.0.0.1:8080", false, true},
		{"https://127.0.0.1.", false, true},
		{"https://127.0.0.2", false, false},
		{"https://127.1", false, false},
		{"https://2130706433", false, false},
		{"https://0x7f.1", false, false},
		{"https://0177.0.0.01", false, false},
		{"https://①②⑦.0.0.1", false, true},
		{"https://１２７。1", false, false},
		{"https://[fe80::1%25lo]", false, false},
		{"https://xn--mnchen-3ya.example", true, true},
		{"https://münchen.example", true, true},
		{"https://4.example", true, true},
		{"https://my_host.example", true, true},
		{"https://.", false, false},
		{"https://-ü.example", false, false},
		{"https://127.0.0.2。", false, false},
		{"https://example.4u", true, true},
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
		if got := New(Options{}).CheckURL(test.url) == nil; got != test.outside {
			t.Errorf("%s: got %v, want %v", test.url, got, test.outside)
		}
		if got := New(Options{Loopback: true}).CheckURL(test.url) == nil; got != test.onMachine {
			t.Errorf("%s with this machine allowed: got %v, want %v", test.url, got, test.onMachine)
		}
	}
}

// A name that leads inside is told of when it is entered, and one that nobody knows
// is not.
func TestLeads(t *testing.T) {
	t.Parallel()
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	found, _ := net.DefaultResolver.LookupNetIP(t.Context(), "ip", name) // nobody has to know it
	for _, ip := range found {
		inside = inside || !(Options{}).reaches(ip)
	}
	for address, want := range map[string]bool{
		"https://nobody.invalid": true,
		"https://10.0.0.1":       false,
		"https://" + name:        !inside,
	} {
		err := New(Options{}).Leads(t.Context(), address)
		if got := err == nil; got != want {
			t.Errorf("%s: got %v, want it to pass: %v", address, err, want)
		}
	}
	if err := New(Options{Private: true}).Leads(t.Context(), "https://"+name); err != nil {
		t.Errorf("%s where private addresses are allowed: %v", name, err)
	}
}
