package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// The bounds of a call to a server that somebody else named.
const (
	egressTimeout = 10 * time.Second
	egressMaxBody = 1 << 20
)

// Egress is the only way out to addresses that administrators and issuers name.
// It speaks https, follows no redirects, reads at most 1 MiB within 10 seconds,
// and connects to public addresses only: an issuer's host name can't lead it
// into our own network, since the address is looked at when it is dialled.
type Egress struct {
	client   *http.Client
	loopback bool
}

// NewEgress makes the way out. With loopback it also reaches this machine, and
// by http there: for tests.
func NewEgress(loopback bool) *Egress {
	dialer := &net.Dialer{Timeout: egressTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if !reachable(to.Addr(), loopback) {
			return fmt.Errorf("%s is no public address", to.Addr())
		}
		return nil
	}}
	return &Egress{loopback: loopback, client: &http.Client{
		Timeout:       egressTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			// A proxy would dial for us, and not look at the address.
			Proxy:                  nil,
			DialContext:            dialer.DialContext,
			DisableCompression:     true,
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: 64 << 10,
			TLSHandshakeTimeout:    egressTimeout,
			IdleConnTimeout:        30 * time.Second,
			MaxIdleConns:           10,
		},
	}}
}

// CheckURL says what is wrong with an address before anything is sent to it.
func (e *Egress) CheckURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return fmt.Errorf("address %q: not readable", address)
	case u.Host == "" || u.User != nil || u.Fragment != "":
		return fmt.Errorf("address %q: want https://HOST, without a user or a fragment", address)
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && e.loopback && isLoopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("address %q: want https", address)
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// getJSON reads a JSON document.
func (e *Egress) getJSON(ctx context.Context, address string) ([]byte, error) {
	if err := e.CheckURL(address); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "gatehouse")
	answer, err := e.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("get %s: answered %s", address, answer.Status)
	}
	switch media, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type")); {
	case err != nil, media != "application/json" && media != "application/jwk-set+json":
		return nil, fmt.Errorf("get %s: answered with %.100q, want application/json", address, answer.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, egressMaxBody+1))
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", address, err)
	}
	if len(body) > egressMaxBody {
		return nil, fmt.Errorf("get %s: %w", address, errTooLarge)
	}
	return body, nil
}

var errTooLarge = errors.New("answered more than 1 MiB")

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

// reachable reports whether an address may be dialled.
func reachable(ip netip.Addr, loopback bool) bool {
	ip = ip.Unmap().WithZone("")
	if ip.IsLoopback() {
		return loopback
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
