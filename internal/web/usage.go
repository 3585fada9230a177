package web

import (
	"sync"
	"time"
)

// Usage remembers when credentials were last used, until that is written down:
// K identifies one, V is what is written. The zero Usage is empty.
type Usage[K comparable, V any] struct {
	mu   sync.Mutex
	last map[K]use[V]
}

// use is the last use of a credential, and which one was last written down.
type use[V any] struct {
	value       V
	at, written time.Time
}

// usageInterval is how often the use of a credential that is busy is written down.
// Each write empties what SQLite's readers have cached.
const usageInterval = 30 * time.Second

// Note says that a credential was used at that time.
func (u *Usage[K, V]) Note(id K, value V, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil {
		u.last = map[K]use[V]{}
	}
	u.last[id] = use[V]{value, at, u.last[id].written}
}

// Take gives the uses to write down now: of credentials that have been quiet for
// an interval at once, of busy ones once an interval, and when all is set, every
// one.
func (u *Usage[K, V]) Take(now time.Time, all bool) map[K]V {
	u.mu.Lock()
	defer u.mu.Unlock()
	due := map[K]V{}
	for id, l := range u.last {
		switch unwritten := l.at.After(l.written); {
		case unwritten && (all || now.Sub(l.written) >= usageInterval):
			due[id] = l.value
			u.last[id] = use[V]{l.value, l.at, l.at}
		case !unwritten && now.Sub(l.written) >= usageInterval:
			delete(u.last, id)
		}
	}
	return due
}
