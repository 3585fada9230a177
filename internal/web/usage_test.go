package web

import (
	"maps"
	"testing"
	"time"
)

func TestUsageIsWrittenNowAndThen(t *testing.T) {
	t.Parallel()
	start := time.UnixMilli(1_700_000_000_000)
	var u Usage[string, int]
	for _, step := range []struct {
		why   string
		after time.Duration
		note  int // 0 is no use
		all   bool
		want  map[string]int
	}{
		{"nothing yet", 0, 0, false, map[string]int{}},
		{"the first use, at once", time.Second, 1, false, map[string]int{"a": 1}},
		{"a busy one waits", 2 * time.Second, 2, false, map[string]int{}},
		{"but not at the end", 3 * time.Second, 3, true, map[string]int{"a": 3}},
		{"written is written", 4 * time.Second, 0, true, map[string]int{}},
		{"an interval later", 3*time.Second + usageInterval, 4, false, map[string]int{"a": 4}},
		{"quiet, and forgotten", 4*time.Second + 2*usageInterval, 0, false, map[string]int{}},
		{"used again, at once", 5*time.Second + 2*usageInterval, 5, false, map[string]int{"a": 5}},
	} {
		now := start.Add(step.after)
		if step.note > 0 {
			u.Note("a", step.note, now)
		}
		if got := u.Take(now, step.all); !maps.Equal(got, step.want) {
			t.Errorf("%s: got %v, want %v", step.why, got, step.want)
		}
	}
}
