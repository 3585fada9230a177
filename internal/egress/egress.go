// Package egress is the only way out to addresses that administrators, issuers
// and products name. It follows no redirects, is bounded in time, and connects to
// public addresses only: a host name can't lead into our own network, since the
// address is looked at when it is dialled. Everybody who calls out uses it; it
// knows nobody.
//
//	client := egress.New(egress.Options{})
//	if err := client.CheckURL(address); err != nil { … } // or Leads, when somebody enters it
//	answer, err := client.Do(request)
package egress

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/net/idna"
)

// Timeout bounds a call, unless Options say otherwise, from the look-up of the
// name to the end of the answer.
const Timeout = 10 * time.Second

// Options widen or narrow the way out; the zero value leads to public servers.
type Options struct {
	// Loopback also reaches this machine, and by http where the address is a number:
	// for tests.
	Loopback bool
	// Private also reaches every other address, and by http: for products within
	// one's own network.
	Private bool
	// Timeout is instead of the constant of that name.
	Timeout time.Duration
}

// Client calls servers that somebody else named. It is safe for use by many.
type Client struct {
	http *http.Client
	opts Options
}

// New makes the way out.
func New(opts Options) *Client {
	if opts.Timeout == 0 {
		opts.Timeout = Timeout
	}
	dialer := &net.Dialer{Timeout: opts.Timeout, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if !opts.reaches(to.Addr()) {
			return fmt.Errorf("%s is no public address", to.Addr())
		}
		return nil
	}}
	return &Client{opts: opts, http: &http.Client{
		Timeout:       opts.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			// A proxy would dial for us, and not look at the address.
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: 64 << 10,
			TLSHandshakeTimeout:    opts.Timeout,
			IdleConnTimeout:        30 * time.Second,
			MaxIdleConns:           50,
			MaxIdleConnsPerHost:    10,
		},
	}}
}

// Do sends a request. A redirect is an answer like any other. The caller reads no
// more of the body than it has use for, and closes it.
func (c *Client) Do(r *http.Request) (*http.Response, error) { return c.http.Do(r) }

// Close ends connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// CheckURL says what is wrong with an address before anything is sent to it.
func (c *Client) CheckURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return fmt.Errorf("address %q: not readable", address)
	case u.Host == "" || u.Hostname() == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("address %q: want https://HOST, without a user or a fragment", address)
	case u.Scheme == "https":
	case u.Scheme == "http" && (c.opts.Private || c.opts.Loopback && isLoopback(u.Hostname())):
	default:
		return fmt.Errorf("address %q: want https", address)
	}
	host, err := hostOf(u)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	// Names are looked up when they are dialled, and may lead elsewhere by then.
	if ip, err := netip.ParseAddr(host); err == nil && !c.opts.reaches(ip) {
		return fmt.Errorf("address %q: %s is no public address", address, ip)
	}
	if (host == "localhost" || strings.HasSuffix(host, ".localhost")) && !c.opts.Loopback && !c.opts.Private {
		return fmt.Errorf("address %q: that is this machine", address)
	}
	return nil
}

// hostOf is a URL's host as it is dialled: in ASCII, without a dot at its end. What
// only looks like a name is none: old programs read 127.1, 0x7f.1 and 2130706433 as
// numbers of an address, and no top-level domain is a number.
func hostOf(u *url.URL) (string, error) {
	host := u.Hostname()
	if strings.Contains(host, ":") { // IPv6
		return host, nil
	}
	if strings.IndexFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) >= 0 {
		var err error
		if host, err = idna.Lookup.ToASCII(host); err != nil { // as net/http does
			return "", fmt.Errorf("%s is no name of a host", u.Hostname())
		}
	}
	if host = strings.ToLower(strings.TrimSuffix(host, ".")); host == "" {
		return "", fmt.Errorf("%s is no name of a host", u.Hostname())
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return host, nil
	}
	if _, err := strconv.ParseUint(host[strings.LastIndexByte(host, '.')+1:], 0, 64); err == nil {
		return "", fmt.Errorf("%s is neither a name nor an address", u.Hostname())
	}
	return host, nil
}

// lookup bounds how long Leads waits for the answer.
const lookup = 2 * time.Second

// Leads is CheckURL when somebody enters an address, who is told at once where its
// name leads just now. A name that nobody knows, or that can't be looked up, passes:
// what counts is where it leads when it is called.
func (c *Client) Leads(ctx context.Context, address string) error {
	if err := c.CheckURL(address); err != nil {
		return err
	}
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	host, err := hostOf(u)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lookup)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil
	}
	for _, ip := range found {
		if !c.opts.reaches(ip) {
			return fmt.Errorf("address %q: its name leads to %s, which is no public address", address, ip.Unmap())
		}
	}
	return nil
}

// isLoopback reports whether a host is this machine, in the two ways to write it. The
// other addresses of 127.0.0.0/8 are as far as any private one.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && own(ip)
}

func own(ip netip.Addr) bool {
	return ip == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || ip == netip.IPv6Loopback()
}

// reserved are the blocks that netip has no word for and that lead to no public
// server: IANA's registries of special-purpose addresses.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // shared by a carrier's customers, and some clouds' metadata
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	// What carries an IPv4 address inside reaches where that one leads.
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("3fff::/20"),
	netip.MustParsePrefix("5f00::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

// reaches reports whether an address may be dialled.
func (o Options) reaches(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if o.Private {
		return !ip.IsUnspecified() && !ip.IsMulticast()
	}
	if ip.IsLoopback() {
		return o.Loopback && own(ip)
	}
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, block := range reserved {
		if block.Contains(ip) {
			return false
		}
	}
	return true
}
