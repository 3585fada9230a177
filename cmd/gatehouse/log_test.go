package main

import (
	"log/slog"
	"strings"
	"sync"
	"testing"
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
	for lines := 0; lines != 7; lines, _ = w.read() { // the test's deadline ends this if no timer does
	}
}
