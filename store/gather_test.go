package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// TestGather has many ask at the same time, about things of two kinds: each gets the
// answer to the question, from a query of its kind that began after it was asked.
func TestGather(t *testing.T) {
	var clock, queries, most atomic.Int64
	broken := errors.New("broken")
	var g gather[string, string]
	g.query = func(kind string, all []*asked[string]) error {
		began := clock.Add(1)
		queries.Add(1)
		for n := most.Load(); int64(len(all)) > n && !most.CompareAndSwap(n, int64(len(all))); n = most.Load() {
		}
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
	t.Logf("%d questions in %d queries, at most %d in one", askers*each*3, queries.Load(), most.Load())
	if most.Load() < 2 {
		t.Error("no two questions were asked together")
	}
	if g.asking != 0 || len(g.queue) != 0 {
		t.Errorf("%d queries are under way and %d questions wait, want none", g.asking, len(g.queue))
	}
}
