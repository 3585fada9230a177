package ui

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// attempts bounds how often something may go wrong for each address that it comes
// from: burst times, and then once every pause. Only what goes wrong counts, so that
// many people behind one address don't stand in each other's way.
type attempts struct {
	burst int
	pause time.Duration

	mu sync.Mutex
	of map[string]*rate.Limiter
}

// maxAddresses bounds the memory that attempts take. Whoever has more addresses than
// that isn't stopped by counting them.
const maxAddresses = 10_000

func (a *attempts) limiter(address string) *rate.Limiter {
	// Whoever has an IPv6 address has 2^64 of them.
	if ip, err := netip.ParseAddr(address); err == nil && ip.Is6() && !ip.Is4In6() {
		if prefix, err := ip.WithZone("").Prefix(64); err == nil {
			address = prefix.String()
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.of[address]
	if one == nil {
		if a.of == nil || len(a.of) >= maxAddresses {
			a.of = map[string]*rate.Limiter{}
		}
		one = rate.NewLimiter(rate.Every(a.pause), a.burst)
		a.of[address] = one
	}
	return one
}

// left reports whether there is an attempt left.
func (a *attempts) left(address string) bool { return a.limiter(address).Tokens() >= 1 }

// spend counts one, and reports whether it was left.
func (a *attempts) spend(address string) bool { return a.limiter(address).Allow() }
