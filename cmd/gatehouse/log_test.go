package main

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// written is a log that tests can read while it is written.
type written struct {
	mu     sync.Mutex
	text   strings.Builder
	writes int
}

func (w *written) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes++
	return w.text.Write(b)
}

func (w *written) read() (lines, writes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Count(w.text.String(), "\n"), w.writes
}

func TestOnlyGoodRequestsWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // where no time passes but while all wait
		var w written
		log, flush := newLog(&w, slog.LevelInfo)
		for range 3 {
			log.Info("request", "status", 200)
		}
		if lines, _ := w.read(); lines != 0 {
			t.Fatalf("%d lines about good requests went out at once", lines)
		}
		log.Error("request", "status", 500)
		if lines, writes := w.read(); lines != 4 || writes != 1 {
			t.Errorf("after an error: %d lines in %d writes, want 4 in 1", lines, writes)
		}
		log.Info("listening")
		if lines, _ := w.read(); lines != 5 {
			t.Errorf("%d lines, want 5: what is not about a request goes out at once", lines)
		}
		log.Debug("noise")
		log.Info("request", "status", 200)
		flush()
		if lines, _ := w.read(); lines != 6 {
			t.Errorf("%d lines after flush, want 6", lines)
		}
		log.Info("request", "status", 200)
		time.Sleep(lineDelay)
		synctest.Wait()
		if lines, _ := w.read(); lines != 7 {
			t.Errorf("%d lines after %v, want 7", lines, lineDelay)
		}
	})
}

// TestRequestLines compares the lines about requests with what slog writes.
func TestRequestLines(t *testing.T) {
	t.Parallel()
	var got, want strings.Builder
	log, flush := newLog(&got, slog.LevelInfo)
	plain := slog.NewJSONHandler(&want, nil)
	at := time.Date(2026, 3, 1, 12, 0, 0, 120_000_000, time.FixedZone("", 3600))
	for _, attrs := range [][]slog.Attr{
		nil,
		{slog.String("request", "3fk0"), slog.Int("status", 200), slog.Float64("ms", 1.25), slog.Int64("bytes", -1)},
		{slog.String("path", "/a\"b\\c\n\x00\x7fé☃\u2028"), slog.String("ключ", "\xff"), slog.Float64("ms", 0)},
		{slog.Any("unknown", []string{"a", "b"}), slog.Bool("cut", true), slog.Duration("took", time.Second)},
		{slog.Group("within", slog.Int("n", 1))},
	} {
		r := slog.NewRecord(at, slog.LevelInfo, "request", 0)
		r.AddAttrs(attrs...)
		for _, h := range []slog.Handler{log.Handler(), plain} {
			if err := h.Handle(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	log.With("a", 1).Info("request", "status", 200)
	flush()
	lines := strings.SplitAfter(got.String(), "\n")
	if with := lines[5]; !strings.HasSuffix(with, `"msg":"request","a":1,"status":200}`+"\n") {
		t.Errorf("of a logger with an attribute: got %s", with)
	}
	if got := strings.Join(lines[:5], ""); got != want.String() {
		t.Errorf("got:\n%s\nwant:\n%s", got, want.String())
	}
}
