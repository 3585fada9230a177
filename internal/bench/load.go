package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// requestTimeout bounds one request; a slower answer counts as an error.
const requestTimeout = 60 * time.Second

// request is one call of the load, with what makes its answer right.
type request struct {
	method, path string // path is relative to the server's base
	body         []byte
	status       int
	// check looks into the body of an answer with the right status; nil where
	// there is none to look into.
	check func(body []byte) error
	// aside marks a request that only undoes the one before it: it is made and
	// checked, and its latency isn't counted.
	aside bool
	// then is made on the same connection when this one has been answered; may be nil.
	then *request
}

// conn is one keep-alive connection. It writes and reads HTTP/1.1 by hand, because the
// generator shares the processors with the server that it measures, and
// net/http's client costs more than many of the answers, and more for each of their headers.
type conn struct {
	server *server
	tcp    net.Conn
	in     *bufio.Reader
	out    []byte
	began  time.Duration // from the last request to the first byte of its answer
}

// do makes one request and gives its status, body and latency in full.
func (c *conn) do(r request) (status int, body []byte, took time.Duration, err error) {
	if c.tcp == nil {
		if c.tcp, err = net.DialTimeout("tcp", c.server.addr, requestTimeout); err != nil {
			return 0, nil, 0, err
		}
		c.in = bufio.NewReaderSize(c.tcp, 64<<10)
	}
	start := time.Now()
	status, body, again, err := c.roundTrip(r, start.Add(requestTimeout))
	took = time.Since(start)
	if err != nil || !again {
		c.close()
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	return status, body, took, err
}

// roundTrip says with again whether the connection may be used for another request.
func (c *conn) roundTrip(r request, deadline time.Time) (status int, body []byte, again bool, err error) {
	out := append(c.out[:0], r.method...)
	out = append(out, ' ')
	out = append(out, c.server.base...)
	out = append(out, r.path...)
	out = append(out, " HTTP/1.1\r\nHost: "...)
	out = append(out, c.server.addr...)
	if c.server.cookie != "" {
		out = append(out, "\r\nCookie: "...)
		out = append(out, c.server.cookie...)
	} else {
		out = append(out, "\r\nAuthorization: Bearer "...)
		out = append(out, c.server.token...)
	}
	out = append(out, "\r\nAccept: application/scim+json\r\n"...)
	if r.body != nil {
		out = append(out, "Content-Type: "...)
		out = append(out, cmp.Or(c.server.media, "application/scim+json")...)
		out = append(out, "\r\nContent-Length: "...)
		out = strconv.AppendInt(out, int64(len(r.body)), 10)
		out = append(out, "\r\n"...)
	}
	out = append(out, "\r\n"...)
	c.out = append(out, r.body...)

	if err := c.tcp.SetDeadline(deadline); err != nil {
		return 0, nil, false, err
	}
	sent := time.Now()
	if _, err := c.tcp.Write(c.out); err != nil {
		return 0, nil, false, err
	}
	if _, err := c.in.Peek(1); err != nil {
		return 0, nil, false, err
	}
	c.began = time.Since(sent)
	return readAnswer(c.in)
}

// readAnswer reads an answer of HTTP/1.1 (RFC 9112), all of it, and says whether
// another may come behind it. An answer that is neither empty nor tells its length
// comes in chunks, or is an error: none of what we measure ends with its connection.
func readAnswer(in *bufio.Reader) (status int, body []byte, again bool, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, nil, false, err
	}
	text, ok := bytes.CutPrefix(line, []byte("HTTP/1.1 "))
	if !ok || len(text) < 3 {
		return 0, nil, false, fmt.Errorf("not a status line: %q", line)
	}
	if status, err = strconv.Atoi(string(text[:3])); err != nil {
		return 0, nil, false, err
	}
	length, again := -1, true
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return 0, nil, false, err
		}
		name, value, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(": "))
		switch {
		case len(name) == 0:
			switch {
			case status == http.StatusNoContent || status == http.StatusNotModified:
			case length >= 0:
				body = make([]byte, length)
				_, err = io.ReadFull(in, body)
			default:
				body, err = io.ReadAll(httputil.NewChunkedReader(in))
				if err == nil {
					_, err = in.Discard(len("\r\n")) // behind the last chunk
				}
			}
			return status, body, again, err
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 {
				return 0, nil, false, fmt.Errorf("a length of %q: %w", value, err)
			}
		case bytes.EqualFold(name, []byte("Connection")):
			again = !bytes.EqualFold(value, []byte("close"))
		}
	}
}

func (c *conn) close() {
	if c.tcp != nil {
		c.tcp.Close()
		c.tcp = nil
	}
}

// answered makes a request and says what is wrong with its answer, if anything.
func (c *conn) answered(r request) (body []byte, took time.Duration, err error) {
	status, body, took, err := c.do(r)
	if err != nil {
		return nil, took, err
	}
	if status != r.status {
		return nil, took, fmt.Errorf("%s %s: got status %d, want %d: %s", r.method, r.path, status, r.status, shorten(body))
	}
	if r.check != nil {
		if err := r.check(body); err != nil {
			return nil, took, fmt.Errorf("%s %s: wrong answer: %w: %s", r.method, r.path, err, shorten(body))
		}
	}
	return body, took, nil
}

func shorten(body []byte) []byte {
	const most = 300
	if len(body) <= most {
		return body
	}
	return append(slices.Clone(body[:most]), "…"...)
}

// load is what one run of a job is made of.
type load struct {
	conns int
	// The run ends after limit, or after requests if that isn't 0.
	limit    time.Duration
	requests int
	// every is the time from one request to the next over all connections, and
	// latency counts from when a request was due; 0 makes each as soon as the one
	// before it is answered.
	every time.Duration
	// next gives the i-th request, counted over all connections from 0.
	next func(i int) request
}

// measured is what a run of a load has shown.
type measured struct {
	Requests int           `json:"requests"`
	Rate     float64       `json:"requests_per_second"`
	P50      time.Duration `json:"p50_ns"`
	P95      time.Duration `json:"p95_ns"`
	P99      time.Duration `json:"p99_ns"`
	// CPU is processor time per request of the server and its database.
	CPU time.Duration `json:"cpu_per_request_ns"`
}

// run puts a load on a server. Wrong answers don't stop it, so that one run
// shows how many there are; the error tells their number and the first of them.
func run(ctx context.Context, s *server, l load) (measured, error) {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		next   atomic.Int64
		all    []time.Duration
		done   int
		wrong  int
		first  error
		before = cpuTime(s.pids)
		start  = time.Now()
	)
	for range l.conns {
		wg.Go(func() {
			c := &conn{server: s}
			defer c.close()
			var took []time.Duration
			var made, bad int
			var firstBad error
			for {
				i := int(next.Add(1) - 1)
				late, ok := l.await(ctx, start, i)
				if !ok {
					break
				}
				head := l.next(i)
				for r := &head; r != nil; r = r.then {
					_, d, err := c.answered(*r)
					made++
					if err != nil {
						bad++
						firstBad = firstOf(firstBad, err)
						break
					}
					if !r.aside {
						took = append(took, late+d)
					}
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			done += made
			wrong += bad
			first = firstOf(first, firstBad)
		})
	}
	wg.Wait()
	elapsed, cpu := time.Since(start), cpuTime(s.pids)-before
	if wrong > 0 {
		return measured{}, fmt.Errorf("%s: %d of %d requests went wrong, the first: %w", s.name, wrong, done, first)
	}
	if len(all) == 0 {
		return measured{}, fmt.Errorf("%s: no request was answered within %s", s.name, l.limit)
	}
	slices.Sort(all)
	return measured{
		Requests: done,
		Rate:     float64(done) / elapsed.Seconds(),
		P50:      quantile(all, 0.50),
		P95:      quantile(all, 0.95),
		P99:      quantile(all, 0.99),
		CPU:      cpu / time.Duration(done),
	}, nil
}

// await waits until the i-th request is due, and says how late it is by then. It
// is false when the run is over. There is always a first request, and none of
// those that are due within the limit is left out because others took long.
func (l load) await(ctx context.Context, start time.Time, i int) (late time.Duration, ok bool) {
	if ctx.Err() != nil || l.requests > 0 && i >= l.requests {
		return 0, false
	}
	if l.every == 0 {
		return 0, i == 0 || time.Since(start) < l.limit
	}
	due := time.Duration(i) * l.every
	if due >= l.limit {
		return 0, false
	}
	select {
	case <-time.After(due - time.Since(start)):
		return time.Since(start) - due, true
	case <-ctx.Done():
		return 0, false
	}
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// quantile expects sorted to be in order and not empty.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// patchBody wraps the operations of a PATCH (RFC 7644 §3.5.2).
func patchBody(operations string) []byte {
	return []byte(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[` + operations + `]}`)
}

// userBody is a user as an identity provider would create it.
func userBody(name string) []byte {
	return fmt.Appendf(nil, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"externalId":"ext-%[1]s","userName":"%[1]s@example.test",`+
		`"active":true,"displayName":"Ann %[1]s","name":{"givenName":"Ann","familyName":"%[1]s"},`+
		`"emails":[{"value":"%[1]s@example.test","type":"work","primary":true}]}`, name)
}

// sameUser checks that an answer is the user of that name, and gives its id. It
// doesn't parse it, which would cost more the more a server says.
func sameUser(body []byte, name string) (id string, err error) {
	const start, length = `{"id":"`, 36
	if !bytes.HasPrefix(body, []byte(start)) || !bytes.Contains(body, []byte(`"userName":"`+name+`@example.test"`)) || body[len(start)+length] != '"' {
		return "", fmt.Errorf("want user %s@example.test", name)
	}
	return string(body[len(start):][:length]), nil
}

// listed is a ListResponse (RFC 7644 §3.4.2).
type listed struct {
	TotalResults int
	NextCursor   string
	Resources    []struct{ ID string }
}

// results checks that an answer lists so many in all, and on this page exactly
// those ids.
func results(body []byte, total int, ids ...string) error {
	var list listed
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	got := make([]string, len(list.Resources))
	for i, r := range list.Resources {
		got[i] = r.ID
	}
	if list.TotalResults != total || !slices.Equal(got, ids) {
		return fmt.Errorf("%d results, %d of them here, want %d and %d, or others", list.TotalResults, len(got), total, len(ids))
	}
	return nil
}

// groupHead checks that an answer is that group without its members.
func groupHead(body []byte, id string) error {
	got, err := resourceID(body)
	if err == nil && got != id {
		err = fmt.Errorf("group %s, want %s", got, id)
	}
	if err == nil && bytes.Contains(body, []byte(`"members"`)) {
		err = errors.New("members are there, although they were excluded")
	}
	return err
}

// resourceID is the id of the resource in an answer.
func resourceID(body []byte) (string, error) {
	var made struct{ ID string }
	if err := json.Unmarshal(body, &made); err != nil {
		return "", err
	}
	if made.ID == "" {
		return "", errors.New("an answer without an id")
	}
	return made.ID, nil
}
