package oidc

import (
	"context"
	"sync"
	"time"

	"gatehouse/internal/egress"
)

const (
	// answerLife is how long an answer is believed without asking again: a key that
	// the issuer withdrew works for no longer.
	answerLife = 10 * time.Minute
	// refetchPause is between two questions for what wasn't in a fresh answer.
	refetchPause = time.Minute
	// failurePause is how long a failure is remembered, so that callers don't
	// queue up before an issuer that is down.
	failurePause = 5 * time.Second
	// maxIssuers bounds the cache; more are forgotten and asked again.
	maxIssuers = 1000
)

// answers remembers what issuers said.
type answers[T any] struct {
	now func() time.Time

	mu    sync.Mutex
	known map[string]*answer[T]
}

// answer is that of one issuer. busy holds one token: whoever has taken it may
// touch the rest.
type answer[T any] struct {
	busy   chan struct{}
	value  T
	err    error     // of the last question
	asked  time.Time // the last question
	got    time.Time // the last answer that was none of failure
	missed time.Time // the last question because a fresh answer didn't fit
}

// find gives what is known by that name, and asks when it is too old or doesn't
// fit. What doesn't fit after that is given all the same.
//
// A question goes on when the one who asked has gone: others may wait for it.
func (a *answers[T]) find(ctx context.Context, name string, fits func(T) bool, ask func(context.Context) (T, error)) (T, error) {
	var none T
	k := a.of(name)
	select {
	case k.busy <- struct{}{}:
	case <-ctx.Done():
		return none, unavailable("wait for others", ctx.Err())
	}
	now := a.now()
	fresh := within(answerLife, k.got, now)
	switch {
	case fresh && (fits(k.value) || within(refetchPause, k.missed, now)):
		defer func() { <-k.busy }()
		return k.value, nil
	case k.err != nil && within(failurePause, k.asked, now):
		defer func() { <-k.busy }()
		return none, k.err
	}
	if fresh {
		k.missed = now
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-k.busy }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), egress.Timeout)
		defer cancel()
		value, err := ask(ctx)
		if k.asked, k.err = now, err; err == nil {
			k.value, k.got = value, now
		}
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, unavailable("wait for the answer", ctx.Err())
	}
}

// within reports whether it is less than d since then. A clock that was set back
// makes nothing younger.
func within(d time.Duration, then, now time.Time) bool {
	return !then.IsZero() && !now.Before(then) && now.Sub(then) < d
}

func (a *answers[T]) of(name string) *answer[T] {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.known[name]
	if k == nil {
		if a.known == nil || len(a.known) >= maxIssuers {
			a.known = map[string]*answer[T]{}
		}
		k = &answer[T]{busy: make(chan struct{}, 1)}
		a.known[name] = k
	}
	return k
}
