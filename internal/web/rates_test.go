package web

import "testing"

func TestRates(t *testing.T) {
	t.Parallel()
	var rates Rates[string]
	for i := range 1000 {
		if _, ok := rates.Allow("free", 0); !ok {
			t.Fatalf("request %d was refused, want no limit", i)
		}
	}
	passed := 0
	for passed < 1000 {
		wait, ok := rates.Allow("ann", 1)
		if !ok {
			if wait <= 0 || RetryAfter(wait) < 1 || RetryAfter(wait) > 2 {
				t.Errorf("wait %v, Retry-After %d, want up to a second", wait, RetryAfter(wait))
			}
			break
		}
		passed++
	}
	if passed < 2 || passed > 4 {
		t.Errorf("%d of ann passed at once, want twice the rate", passed)
	}
	if _, ok := rates.Allow("bob", 1); !ok {
		t.Error("bob was refused for what ann sent")
	}
	rates.Charge("eve", 1, 60)
	if wait, ok := rates.Allow("eve", 1); ok || RetryAfter(wait) < 30 {
		t.Errorf("after 60 more: %v, %v, want a long wait", wait, ok)
	}
	rates.Charge("free", 0, 1_000_000)
	if _, ok := rates.Allow("free", 0); !ok {
		t.Error("charged where there is no limit")
	}
}
