package mail

import (
	"context"
	"slices"
	"sync"
	"time"
)

// maxShown is how many mails are kept to look at.
const maxShown = 100

// Shown is for the demo: it sends nothing and keeps what would be sent, for a page.
// The zero Shown works.
type Shown struct {
	mu   sync.Mutex
	last []ShownMessage
}

// ShownMessage is a mail with when it came.
type ShownMessage struct {
	Message
	At time.Time
}

// Send keeps a message.
func (s *Shown) Send(_ context.Context, m Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = append(s.last, ShownMessage{m, time.Now()})
	if len(s.last) > maxShown {
		s.last = slices.Delete(s.last, 0, len(s.last)-maxShown)
	}
	return nil
}

// Messages gives what was kept, the newest first.
func (s *Shown) Messages() []ShownMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.last)
	slices.Reverse(all)
	return all
}
