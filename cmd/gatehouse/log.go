package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// newLog writes one JSON object a line. Lines about requests that went well may
// wait a moment and go out together: whoever reads a log line by line wakes up
// for each write, and that costs more than the request. Everything else goes out
// at once.
func newLog(w io.Writer, level slog.Level) (log *slog.Logger, flush func()) {
	lines := &lineBuffer{w: w}
	return slog.New(promptHandler{slog.NewJSONHandler(lines, &slog.HandlerOptions{Level: level}), lines, true}), lines.Flush
}

// promptHandler flushes what must not wait.
type promptHandler struct {
	slog.Handler
	lines *lineBuffer
	bare  bool // no attributes or groups of a logger come before those of a line
}

func (h promptHandler) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelInfo && r.Message == "request" {
		if h.bare && h.lines.request(r) {
			return nil
		}
		return h.Handler.Handle(ctx, r)
	}
	err := h.Handler.Handle(ctx, r)
	h.lines.Flush()
	return err
}

func (h promptHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return promptHandler{h.Handler.WithAttrs(attrs), h.lines, false}
}

func (h promptHandler) WithGroup(name string) slog.Handler {
	return promptHandler{h.Handler.WithGroup(name), h.lines, false}
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
	b.add(append(b.buf, line...))
	return len(line), nil
}

// request adds the line about a request that went well as slog.JSONHandler would,
// which takes a tenth of the time of a small request. It is false, and adds
// nothing, for values that it can't write.
func (b *lineBuffer) request(r slog.Record) (ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	line := r.Time.AppendFormat(append(b.buf, `{"time":"`...), time.RFC3339Nano)
	line = append(line, `","level":"INFO","msg":"request"`...)
	ok = true
	r.Attrs(func(a slog.Attr) bool {
		line = append(line, ',')
		line = append(appendText(line, a.Key), ':')
		switch a.Value.Kind() {
		case slog.KindString:
			line = appendText(line, a.Value.String())
		case slog.KindInt64:
			line = strconv.AppendInt(line, a.Value.Int64(), 10)
		case slog.KindFloat64:
			line = strconv.AppendFloat(line, a.Value.Float64(), 'f', -1, 64)
		default:
			ok = false
		}
		return ok
	})
	if ok {
		b.add(append(line, '}', '\n'))
	}
	return ok
}

// appendText adds a JSON string. Most have nothing to escape.
func appendText(line []byte, s string) []byte {
	for _, c := range s {
		if c < ' ' || c == '"' || c == '\\' || c == utf8.RuneError || c == '\u2028' || c == '\u2029' {
			escaped, _ := json.Marshal(s) // any string can be marshalled
			return append(line, escaped...)
		}
	}
	return append(append(append(line, '"'), s...), '"')
}

// add has the lines of buf wait, which begins with those that wait.
func (b *lineBuffer) add(buf []byte) {
	if len(b.buf) == 0 {
		time.AfterFunc(lineDelay, b.Flush)
	}
	b.buf = buf
	if len(b.buf) >= lineBytes {
		b.flush()
	}
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
