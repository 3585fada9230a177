package web

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Behind lets requests that come through trusted proxies come from whom they are of:
// RemoteAddr is what limits count and what is written down. Each proxy adds the address
// that it was called from to the end of X-Forwarded-For, and whatever is before that
// was said by somebody else. So the list is read from its end, as far as proxies that
// are trusted have said it. Whoever is no proxy says nothing about itself: its header
// doesn't count. Without proxies there is nothing to do.
//
//	handler = web.Behind([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, handler)
func Behind(proxies []netip.Prefix, next http.Handler) http.Handler {
	if len(proxies) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if from, ok := clientOf(r, proxies); ok {
			r2 := *r
			r2.RemoteAddr = net.JoinHostPort(from.String(), "0")
			next.ServeHTTP(w, &r2)
			r.Pattern = r2.Pattern // for metrics
			return
		}
		next.ServeHTTP(w, r)
	})
}

// clientOf is whom a request comes from, if a proxy that is trusted has brought it.
func clientOf(r *http.Request, proxies []netip.Prefix) (from netip.Addr, ok bool) {
	from, ok = address(r.RemoteAddr)
	trusted := func() bool {
		return slices.ContainsFunc(proxies, func(p netip.Prefix) bool { return p.Contains(from) })
	}
	if !ok || !trusted() {
		return from, false
	}
	said := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, one := range slices.Backward(said) {
		before, ok := address(strings.TrimSpace(one))
		if !ok {
			break // said by nobody who can be trusted, whatever comes before
		}
		if from = before; !trusted() {
			break
		}
	}
	return from, true
}

// address reads an address, as some proxies write it with a port.
func address(text string) (netip.Addr, bool) {
	if withPort, err := netip.ParseAddrPort(text); err == nil {
		return withPort.Addr().Unmap().WithZone(""), true
	}
	one, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return one.Unmap().WithZone(""), err == nil
}
