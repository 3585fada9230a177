package ui

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

// meter is an answer that keeps nothing but how much of it there was.
type meter struct {
	http.ResponseWriter
	written, flushed int
}

func (m *meter) Write(b []byte) (int, error) {
	m.written += len(b)
	return len(b), nil
}

func (m *meter) Flush() { m.flushed = m.written }

// TestCSVIsStreamed makes a file much larger than what the process has in memory:
// before more rows are asked for, all before them are on their way, and nothing of
// them is kept. It is alone while it looks at the memory.
func TestCSVIsStreamed(t *testing.T) {
	const batches, perBatch, cell = 200, 1000, 200 // 40 MB and a bit
	to := &meter{ResponseWriter: httptest.NewRecorder()}
	inUse := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	made, least := 0, 0
	before := inUse()
	rows := func() (some [][]string, err error) {
		if to.flushed < least {
			t.Errorf("%d batches are made, and %d bytes under way, want all %d", made, to.flushed, least)
		}
		if made == batches {
			return nil, nil
		}
		if made%50 == 0 {
			if now := inUse(); now > before+1<<20 {
				t.Errorf("after %d MB: %d KiB more in memory than before, want none of it kept", to.written>>20, (now-before)>>10)
			}
		}
		for i := range perBatch {
			some = append(some, []string{fmt.Sprint(i), strings.Repeat("x", cell)})
		}
		made++
		least += perBatch * cell
		return some, nil
	}
	if err := new(visit).csvOf(to, "long.csv", []string{"number", "text"}, rows); err != nil {
		t.Fatal(err)
	}
	if made != batches || to.written < least {
		t.Errorf("%d batches and %d bytes, want %d and at least %d", made, to.written, batches, least)
	}
}
