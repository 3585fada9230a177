package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// disturbCommand makes the program one that disturbs. It is a process of its own, as
// another tenant's identity provider is: one that also took the time of somebody's
// answers would keep itself from seeing them.
const disturbCommand = "disturb"

// orders are what the process that disturbs is told.
type orders struct {
	Addr, Base, Token string
	Requests          []order
}

// order is a request, with the status that it is answered with.
type order struct {
	Method, Path string
	Body         []byte
	Status       int
}

// disturbConns is over how many connections it asks.
const disturbConns = 2

// beforeDisturbing is for how long nothing happens before it begins: a process that
// starts, and the requests on their way to it, disturb by themselves.
const beforeDisturbing = 300 * time.Millisecond

// startDisturbing has requests made over and over until end is called, which waits for
// the last answers and says what went wrong. It returns when the first is about to be sent.
func startDisturbing(ctx context.Context, s *server, requests []request) (end func() error, err error) {
	all := orders{Addr: s.addr, Base: s.base, Token: s.token}
	for _, r := range requests {
		all.Requests = append(all.Requests, order{r.method, r.path, r.body, r.status})
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, disturbCommand)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var wrong bytes.Buffer
	cmd.Stderr = &wrong
	tell, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	told, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	end = func() error {
		_ = tell.Close() // which is its sign
		if err := cmd.Wait(); err != nil {
			return fmt.Errorf("what disturbs: %w: %s", err, wrong.Bytes())
		}
		return nil
	}
	err = json.NewEncoder(tell).Encode(all)
	runtime.GC() // now rather than while somebody's answers are timed
	if err == nil {
		_, err = bufio.NewReader(told).ReadString('\n')
	}
	if err != nil {
		return nil, errors.Join(err, end())
	}
	return end, nil
}

// disturb is that process: it does as it is told until in ends, or until an answer is
// wrong. To be told to come back later is a right one.
func disturb(in io.Reader, out io.Writer) error {
	var all orders
	told := json.NewDecoder(in)
	if err := told.Decode(&all); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = told.Token() // there is none: it is the end
		stop()
	}()
	s := &server{addr: all.Addr, base: all.Base, token: all.Token}
	runtime.GC()
	time.Sleep(beforeDisturbing)
	fmt.Fprintln(out, "disturbing")
	failed := make(chan error, disturbConns)
	for n := range disturbConns {
		go func() {
			c := &conn{server: s}
			defer c.close()
			for i := n; ctx.Err() == nil; i++ {
				r := all.Requests[i%len(all.Requests)]
				status, body, _, err := c.do(request{method: r.Method, path: r.Path, body: r.Body})
				if err == nil && status != r.Status && status != 429 {
					err = fmt.Errorf("%s %s: got status %d, want %d or 429: %s", r.Method, r.Path, status, r.Status, shorten(body))
				}
				if err != nil {
					failed <- err
					return
				}
			}
			failed <- nil
		}()
	}
	for range disturbConns {
		if err := <-failed; err != nil {
			return err
		}
	}
	return nil
}
