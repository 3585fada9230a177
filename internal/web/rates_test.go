package web

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestRates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // where all of it takes no time
		var rates Rates[string]
		for i := range 1000 {
			if _, ok := rates.Allow("free", 0); !ok {
				t.Fatalf("request %d was refused, want no limit", i)
			}
		}
		passed := 0
		for ; passed < 1000; passed++ {
			if wait, ok := rates.Allow("ann", 1); !ok {
				if wait != time.Second || RetryAfter(wait) != 2 {
					t.Errorf("wait %v, Retry-After %d, want a second, and a bit", wait, RetryAfter(wait))
				}
				break
			}
		}
		if passed != 2 {
			t.Errorf("%d of ann passed at once, want twice the rate", passed)
		}
		time.Sleep(time.Second)
		for _, want := range []bool{true, false} {
			if _, ok := rates.Allow("ann", 1); ok != want {
				t.Errorf("a second later: got %v, want %v", ok, want)
			}
		}
		if _, ok := rates.Allow("bob", 1); !ok {
			t.Error("bob was refused for what ann sent")
		}
		rates.Charge("eve", 1, 60)
		if wait, ok := rates.Allow("eve", 1); ok || wait != 59*time.Second {
			t.Errorf("after 60 more: %v, %v, want a long wait", wait, ok)
		}
		rates.Charge("free", 0, 1_000_000)
		if _, ok := rates.Allow("free", 0); !ok {
			t.Error("charged where there is no limit")
		}
	})
}
