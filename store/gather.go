package store

import (
	"fmt"
	"runtime"
	"sync"
)

// gather answers questions that are asked at the same time with one query: most of
// what a small one costs is sending it, waking somebody up, and getting ready.
// Nobody waits for others to ask: as long as few queries are under way a question
// is asked at once, and what arrives meanwhile is the next query. An answer is as
// fresh as one of its own: its query begins after the question was asked.
type gather[K comparable, A any] struct {
	// query answers questions of one kind, such as those of one tenant, with pick.
	query func(kind K, all []*asked[A]) error

	mu     sync.Mutex
	asking int
	queue  []*waiting[K, A]
}

// asked is a question about an id, and its answer.
type asked[A any] struct {
	id       string
	answer   A
	answered bool
	err      error
}

// pick is the next question about an id; nil when there is none.
func pick[A any](all []*asked[A], id string) *asked[A] {
	for _, q := range all {
		if q.id == id && !q.answered {
			q.answered = true
			return q
		}
	}
	return nil
}

// idsOf are the ids of questions as a JSON array.
func idsOf[A any](all []*asked[A]) string {
	list := make([]byte, 0, len(all)*(idLength+3)+1)
	for _, q := range all {
		list = append(append(append(list, ',', '"'), q.id...), '"')
	}
	list[0] = '['
	return string(append(list, ']'))
}

// waiting is a question in the queue.
type waiting[K comparable, A any] struct {
	*asked[A]
	kind K
	// turn says that it is answered, or gives the questions to ask, of which it is one.
	turn chan []*waiting[K, A]
}

// maxGathered bounds the questions of a query.
const maxGathered = 32

// queriesAtOnce is how many queries a gather has under way: more would be answered
// no sooner, and each would answer fewer questions.
var queriesAtOnce = max(2, runtime.GOMAXPROCS(0)/2)

// about asks about an id, together with those who ask at the same time.
func (g *gather[K, A]) about(kind K, id string) (A, error) {
	q := &asked[A]{id: id}
	g.mu.Lock()
	if g.asking < queriesAtOnce {
		g.asking++
		g.mu.Unlock()
		defer g.next()
		g.ask(kind, []*asked[A]{q})
		return q.answer, q.err
	}
	w := &waiting[K, A]{q, kind, make(chan []*waiting[K, A], 1)}
	g.queue = append(g.queue, w)
	g.mu.Unlock()

	turn := <-w.turn
	if turn == nil {
		return q.answer, q.err
	}
	all := make([]*asked[A], len(turn))
	for i, other := range turn {
		all[i] = other.asked
	}
	defer g.next()
	defer func() {
		for _, other := range turn {
			if other != w {
				other.turn <- nil
			}
		}
	}()
	g.ask(kind, all)
	return q.answer, q.err
}

// ask answers questions of one kind. None is left without an answer, also when the
// query panics.
func (g *gather[K, A]) ask(kind K, all []*asked[A]) {
	err := fmt.Errorf("%w: no answer", ErrUnavailable)
	defer func() {
		for _, q := range all {
			if !q.answered {
				q.err = err
			}
		}
	}()
	if err = g.query(kind, all); err == nil {
		err = ErrNotFound
	}
}

// next lets one of those who wait ask for all who wait with the same kind of
// question.
func (g *gather[K, A]) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.queue) == 0 {
		g.asking--
		return
	}
	first := g.queue[0]
	var turn, rest []*waiting[K, A]
	for i, w := range g.queue {
		if w.kind == first.kind && len(turn) < maxGathered {
			turn = append(turn, w)
			continue
		}
		if rest == nil {
			rest = make([]*waiting[K, A], 0, len(g.queue)-i)
		}
		rest = append(rest, w)
	}
	g.queue = rest
	first.turn <- turn
}
