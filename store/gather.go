package store

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"
)

// gather answers questions that are asked at the same time with one query: most of
// what a small one costs is sending it, waking somebody up, and getting ready.
// A question is asked at once if no query is under way, or, while many ask, as soon as
// those have who are about to; what arrives meanwhile is the next query, which begins
// when another ends or enough questions wait. An answer is as fresh as one of its own: its query begins after the question
// was asked.
type gather[K comparable, A any] struct {
	// query answers questions of one kind, such as those of one tenant, with pick.
	query func(kind K, all []*asked[A]) error

	mu     sync.Mutex
	asking int
	queue  []*waiting[K, A]
	// began is when each of the queries under way did.
	began []time.Time
	// crowd says that the last query answered several questions.
	crowd bool
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

// byID are the two ways to ask about users u by their ids: about one, and about
// several. They are texts made once, since a decision takes hardly longer than making
// and comparing them would.
type byID struct{ one, many string }

// usersByID asks for columns of the users that fulfil a condition, too.
func (d *dialect) usersByID(columns, and string) byID {
	return byID{
		one:  `SELECT ` + columns + ` FROM users u WHERE u.tenant_id = ? AND u.id = ?` + and,
		many: `SELECT ` + columns + ` FROM (` + d.fewRows + `) w ` + d.each("users", `u.tenant_id = ? AND u.id = w.id`+and),
	}
}

// of is the text for so many questions.
func (q byID) of(n int) string {
	if n == 1 {
		return q.one
	}
	return q.many
}

// argsOf are the arguments of the query for questions, with those of its condition.
func argsOf[A any](all []*asked[A], tenant TenantID, and ...any) []any {
	if len(all) == 1 {
		return append([]any{string(tenant), all[0].id}, and...)
	}
	return append([]any{idsOf(all), string(tenant)}, and...)
}

// waiting is a question in the queue.
type waiting[K comparable, A any] struct {
	asked[A]
	kind K
	// began is when the query did that this one asks.
	began time.Time
	// turn says that it is answered, or gives the questions to ask, of which it is one.
	turn chan []*waiting[K, A]
}

// maxGathered bounds the questions of a query.
const maxGathered = 32

// queriesAtOnce is how many queries a gather has under way: more would be answered
// no sooner, and each would answer fewer questions. The other processors have the
// requests around them; with a single query they would wait for each other's answers.
var queriesAtOnce = max(2, runtime.GOMAXPROCS(0)/2)

// worthAnother is how many questions begin a query beside another one. Fewer are asked
// when that ends, with what has come by then: for one, everything around the question
// costs several times as much as itself.
const worthAnother = 3

// slow is how long a query takes at most that is worth waiting for. One that takes longer
// waits for a processor, with the machine at somebody's long work: who waited for its end
// would wait twice.
const slow = 2 * time.Millisecond

func isSlow(began time.Time) bool { return time.Since(began) > slow }

// due says whether the queue is to be asked now, beside so many other queries.
func (g *gather[K, A]) due(others int) bool {
	if others >= queriesAtOnce || len(g.queue) == 0 {
		return false
	}
	return others == 0 || len(g.queue) >= worthAnother || slices.ContainsFunc(g.began, isSlow)
}

// about asks about an id, together with those who ask at the same time.
func (g *gather[K, A]) about(kind K, id string) (A, error) {
	w := &waiting[K, A]{asked: asked[A]{id: id}, kind: kind, turn: make(chan []*waiting[K, A], 1)}
	g.mu.Lock()
	g.queue = append(g.queue, w)
	due, crowd := g.due(g.asking), g.crowd
	if due {
		g.asking++
	}
	g.mu.Unlock()
	if due {
		if crowd {
			runtime.Gosched() // who is about to ask comes along
		}
		g.next(time.Time{})
	}
	if turn := <-w.turn; turn != nil {
		g.take(w, turn)
	}
	return w.answer, w.err
}

// take asks the questions of a turn, of which w has one, and wakes the others.
func (g *gather[K, A]) take(w *waiting[K, A], turn []*waiting[K, A]) {
	all := make([]*asked[A], len(turn))
	for i, other := range turn {
		all[i] = &other.asked
	}
	defer func() { g.next(w.began) }()
	defer func() {
		for _, other := range turn {
			if other != w {
				other.turn <- nil
			}
		}
	}()
	g.ask(w.kind, all)
}

var errNoAnswer = fmt.Errorf("%w: no answer", ErrUnavailable)

// ask answers questions of one kind. None is left without an answer, also when the
// query panics.
func (g *gather[K, A]) ask(kind K, all []*asked[A]) {
	err := errNoAnswer
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
// question, if that is due. The query that began at ended is one no more.
func (g *gather[K, A]) next(ended time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.began, ended); i >= 0 {
		g.began = slices.Delete(g.began, i, i+1)
	}
	if !g.due(g.asking - 1) {
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
	g.queue, g.crowd = rest, len(turn) > 1
	first.began = time.Now()
	g.began = append(g.began, first.began)
	first.turn <- turn
}
