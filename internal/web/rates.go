package web

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rates bounds how many requests a second each of many sends: a token bucket for
// each, which holds twice the rate. The zero value works.
type Rates[K comparable] struct {
	mu sync.Mutex
	of map[K]*rate.Limiter
}

// Allow reports whether one may call now, or how long to wait. A rate of 0 is none.
func (r *Rates[K]) Allow(one K, perSecond float64) (wait time.Duration, ok bool) {
	if perSecond <= 0 {
		return 0, true
	}
	// A limiter that is told of an earlier moment after a later one counts the time between
	// twice: one after the other, so that their clocks agree.
	r.mu.Lock()
	defer r.mu.Unlock()
	res := r.bucket(one, perSecond).Reserve()
	if wait := res.Delay(); wait > 0 {
		res.Cancel()
		return wait, false
	}
	return 0, true
}

// Charge takes n more from what one may send, who may come to owe them: what comes
// next waits the longer.
func (r *Rates[K]) Charge(one K, perSecond float64, n int) {
	if perSecond <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	bucket := r.bucket(one, perSecond)
	for range n {
		bucket.Reserve()
	}
}

// bucket is called with the lock.
func (r *Rates[K]) bucket(one K, perSecond float64) *rate.Limiter {
	lim := r.of[one]
	if lim == nil {
		if r.of == nil {
			r.of = map[K]*rate.Limiter{}
		}
		lim = rate.NewLimiter(rate.Limit(perSecond), int(2*perSecond))
		r.of[one] = lim
	}
	return lim
}

// RetryAfter is a wait for the header of that name, in whole seconds (RFC 9110
// §10.2.3).
func RetryAfter(wait time.Duration) int { return int(wait/time.Second) + 1 }
