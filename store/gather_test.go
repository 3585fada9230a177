package store

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestGather has many ask at the same time, about things of two kinds: each gets the
// answer to the question, from a query of its kind that began after it was asked.
func TestGather(t *testing.T) {
	var clock atomic.Int64
	broken := errors.New("broken")
	var g gather[string, string]
	g.query = func(kind string, all []*asked[string]) error {
		began := clock.Add(1)
		for _, q := range all {
			switch q.id {
			case "nobody":
			case "panic":
				panic("a query")
			case "broken":
				return broken
			default:
				q.answered, q.answer = true, fmt.Sprint(kind, " ", q.id, " ", began)
			}
		}
		return nil
	}
	about := func(kind, id string) (answer string, err error) {
		defer func() {
			if recover() != nil {
				err = errors.New("panicked")
			}
		}()
		return g.about(kind, id)
	}

	const askers, each = 40, 200
	var all sync.WaitGroup
	for i := range askers {
		all.Go(func() {
			kind := []string{"people", "groups"}[i%2]
			for n := range each {
				id := fmt.Sprint(i, "-", n)
				asked := clock.Add(1)
				answer, err := about(kind, id)
				var began int64
				if _, scanned := fmt.Sscanf(answer, kind+" "+id+" %d", &began); err != nil || scanned != nil || began < asked {
					t.Errorf("%s %s asked at %d: got %q, %v", kind, id, asked, answer, err)
				}
				if _, err := about(kind+" that break", "nobody"); !errors.Is(err, ErrNotFound) {
					t.Errorf("nobody: got %v, want ErrNotFound", err)
				}
				if _, err := about(kind+" that are broken", "broken"); !errors.Is(err, broken) {
					t.Errorf("broken: got %v, want the query's error", err)
				}
				if n%20 == 0 {
					if _, err := about(kind+" that panic", "panic"); err == nil {
						t.Error("a query that panics: got an answer")
					}
				}
			}
		})
	}
	all.Wait()
	if g.asking != 0 || len(g.queue) != 0 {
		t.Errorf("%d queries are under way and %d questions wait, want none", g.asking, len(g.queue))
	}
}

// TestGatherTogether has as many queries under way as may be, of which only the first is
// about a single question: what is asked meanwhile is one query for each kind of
// question.
func TestGatherTogether(t *testing.T) {
	const askers = maxGathered
	begun, held := make(chan int), make(chan struct{})
	var mu sync.Mutex
	questions := map[string][]int{}
	var g gather[string, string]
	g.query = func(kind string, all []*asked[string]) error {
		for _, q := range all {
			q.answered = true
		}
		if kind == "held" {
			begun <- len(all)
			<-held
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		questions[kind] = append(questions[kind], len(all))
		return nil
	}
	var all sync.WaitGroup
	ask := func(kind string, id int) {
		all.Go(func() {
			if _, err := g.about(kind, fmt.Sprint(id)); err != nil {
				t.Errorf("%s %d: got %v, want an answer", kind, id, err)
			}
		})
	}
	wait := func(questions int) {
		for waiting := -1; waiting != questions; runtime.Gosched() {
			g.mu.Lock()
			waiting = len(g.queue)
			g.mu.Unlock()
		}
	}
	began := func(ago time.Duration) {
		g.mu.Lock()
		defer g.mu.Unlock()
		for i := range g.began {
			g.began[i] = time.Now().Add(-ago)
		}
	}
	ask("held", 0)
	<-begun
	began(-time.Hour) // so that it isn't slow yet
	for query := 1; query < queriesAtOnce; query++ {
		for i := range worthAnother - 1 {
			ask("held", i)
		}
		wait(worthAnother - 1)
		ask("held", worthAnother)
		if n := <-begun; n != worthAnother {
			t.Errorf("query %d is about %d questions, want %d", query, n, worthAnother)
		}
		began(-time.Hour)
	}
	for i := range askers {
		ask("people", i)
		ask("groups", i)
	}
	wait(2 * askers)
	close(held)
	all.Wait()
	if want := map[string][]int{"people": {askers}, "groups": {askers}}; !reflect.DeepEqual(questions, want) {
		t.Errorf("got queries of %v questions, want %v", questions, want)
	}
}

// TestGatherBesideSlow has a query under way that takes long: a single question waits for
// a quick one beside it at most.
func TestGatherBesideSlow(t *testing.T) {
	ends := map[string]chan struct{}{"slow": make(chan struct{}), "quick": make(chan struct{}), "late": make(chan struct{})}
	var g gather[string, string]
	g.query = func(_ string, all []*asked[string]) error {
		for _, q := range all {
			q.answered = true
		}
		<-ends[all[0].id]
		return nil
	}
	var all sync.WaitGroup
	ask := func(id string, under bool) {
		n := len(g.began)
		all.Go(func() {
			if _, err := g.about("people", id); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		})
		for reached := false; !reached; runtime.Gosched() {
			g.mu.Lock()
			reached = under && len(g.began) > n || !under && len(g.queue) > 0
			g.mu.Unlock()
		}
	}
	ask("slow", true)
	for slowly := false; !slowly; runtime.Gosched() {
		slowly = isSlow(g.began[0])
	}
	ask("quick", true)
	ask("late", false)
	close(ends["quick"])
	close(ends["late"])
	for under := 2; under > 1; runtime.Gosched() {
		g.mu.Lock()
		under = len(g.began) + len(g.queue)
		g.mu.Unlock()
	}
	close(ends["slow"])
	all.Wait()
}
