package main

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// newLog writes one JSON object a line. Lines about requests that went well may
// wait a moment and go out together: whoever reads a log line by line wakes up
// for each write, and that costs more than the request. Everything else goes out
// at once.
func newLog(w io.Writer, level slog.Level) (log *slog.Logger, flush func()) {
	lines := &lineBuffer{w: w}
	return slog.New(promptHandler{slog.NewJSONHandler(lines, &slog.HandlerOptions{Level: level}), lines}), lines.Flush
}

// promptHandler flushes what must not wait.
type promptHandler struct {
	slog.Handler
	lines *lineBuffer
}

func (h promptHandler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level != slog.LevelInfo || r.Message != "request" {
		h.lines.Flush()
	}
	return err
}

func (h promptHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return promptHandler{h.Handler.WithAttrs(attrs), h.lines}
}

func (h promptHandler) WithGroup(name string) slog.Handler {
	return promptHandler{h.Handler.WithGroup(name), h.lines}
}

// How long, and how many bytes, lines wait.
const (
	lineDelay = 100 * time.Millisecond
	lineBytes = 64 << 10
)

// lineBuffer gathers lines for one write.
type lineBuffer struct {
	w  io.Writer
	mu sync.Mutex
	// buf holds whole lines; a timer is running whenever it is not empty.
	buf []byte
}

func (b *lineBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.buf) == 0 {
		time.AfterFunc(lineDelay, b.Flush)
	}
	b.buf = append(b.buf, line...)
	if len(b.buf) >= lineBytes {
		b.flush()
	}
	return len(line), nil
}

// Flush writes what waits.
func (b *lineBuffer) Flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flush()
}

func (b *lineBuffer) flush() {
	if len(b.buf) > 0 {
		_, _ = b.w.Write(b.buf) // there is nowhere to report that the log is gone
		b.buf = b.buf[:0]
	}
}
