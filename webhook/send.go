package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"gatehouse/store"
)

const (
	// atOnce is how many requests a receiver gets at a time, each about somebody else.
	atOnce = 8
	// maxDue is how many deliveries are taken at a time; a crash repeats that many at
	// most.
	maxDue = 64
	// resendEvery is how often a lane looks for deliveries whose time has come.
	resendEvery = 500 * time.Millisecond
	// afterError is the pause when the fault is ours, such as a lost secret-key.
	afterError = 5 * time.Second
	// maxAnswer is how much of an answer is read; nothing in it counts.
	maxAnswer = 4 << 10
	// maxRetryAfter is how long a receiver may have us wait.
	maxRetryAfter = 24 * time.Hour
)

// lanes are the webhooks of a tenant, each of which is served by itself: one that is
// slow or dead holds up nobody else.
type lanes struct {
	*Dispatcher
	tenant  store.TenantID
	all     *sync.WaitGroup
	running map[store.WebhookID]*lane
}

type lane struct {
	hook store.Webhook
	stop context.CancelFunc
	wake chan struct{}
}

// keep has a lane for every webhook that isn't disabled.
func (l *lanes) keep(ctx context.Context, hooks []store.Webhook) {
	wanted := map[store.WebhookID]bool{}
	for _, hook := range hooks {
		if !hook.DisabledAt.IsZero() {
			continue
		}
		wanted[hook.ID] = true
		if l.running[hook.ID] != nil {
			continue
		}
		inner, stop := context.WithCancel(ctx)
		one := &lane{hook: hook, stop: stop, wake: make(chan struct{}, 1)}
		l.running[hook.ID] = one
		l.all.Go(func() { l.serve(inner, one) })
	}
	for id, one := range l.running {
		if !wanted[id] {
			one.stop()
			delete(l.running, id)
		}
	}
}

// wake tells all lanes that there is something to send.
func (l *lanes) wake() {
	for _, one := range l.running {
		select {
		case one.wake <- struct{}{}:
		default:
		}
	}
}

// serve sends what is due, until ctx ends.
func (l *lanes) serve(ctx context.Context, one *lane) {
	for {
		n, err := l.round(ctx, one.hook)
		l.complain(ctx, "webhooks: send", l.tenant, err)
		if n == maxDue && err == nil {
			continue
		}
		wait := resendEvery
		if err != nil {
			wait = afterError
		}
		if !pause(ctx, wait, one.wake) {
			return
		}
	}
}

// round sends what is due, and gives how much that was.
func (l *lanes) round(ctx context.Context, hook store.Webhook) (int, error) {
	due, err := l.store.DueDeliveries(ctx, l.tenant, hook.ID, l.store.Now(), maxDue)
	if err != nil || len(due) == 0 {
		return 0, err
	}
	signers, err := l.signers(ctx, hook.ID)
	if err != nil {
		return 0, err
	}
	results := make([]*store.Delivery, len(due))
	gone := false
	var mu sync.Mutex
	var senders sync.WaitGroup
	next := 0
	for range min(atOnce, len(due)) {
		senders.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				stop := gone
				mu.Unlock()
				// A request that another process could overtake isn't begun.
				if i >= len(due) || stop || ctx.Err() != nil || !l.lease.holds(l.opts.Timeout) {
					return
				}
				result, dead := l.attempt(ctx, hook, signers, due[i])
				mu.Lock()
				results[i], gone = result, gone || dead
				mu.Unlock()
			}
		})
	}
	senders.Wait()

	var settled []store.Delivery
	for _, r := range results {
		if r != nil {
			settled = append(settled, *r)
		}
	}
	// What was sent was sent, also when we are told to stop.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.opts.Timeout)
	defer cancel()
	err = l.store.Write(ctx, actor(l.tenant), func(tx *store.Tx) error {
		tx.SettleDeliveries(settled)
		if gone {
			return tx.DisableWebhook(ctx, hook.ID, whyGone)
		}
		return nil
	})
	if errors.Is(err, store.ErrNotFound) { // removed meanwhile
		err = nil
	}
	return len(settled), err
}

const whyGone = "the receiver answered 410 Gone"

// signers are the live secrets, ready to sign, the newest first.
func (l *lanes) signers(ctx context.Context, id store.WebhookID) ([]*standardwebhooks.Webhook, error) {
	secrets, err := l.store.WebhookSecrets(ctx, l.tenant, id)
	if err != nil {
		return nil, err
	}
	var signers []*standardwebhooks.Webhook
	for _, s := range secrets {
		if !s.Live(l.store.Now()) {
			continue
		}
		secret, err := l.sealer.Open(id, s.Sealed)
		if err != nil {
			return nil, err
		}
		signer, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			return nil, fmt.Errorf("webhook %s: its secret can't be read", id) // and is not repeated
		}
		signers = append(signers, signer)
	}
	if len(signers) == 0 {
		return nil, fmt.Errorf("webhook %s has no secret", id)
	}
	return signers, nil
}

// attempt sends a delivery once and gives what came of it, nil when it was broken
// off by us; gone says that the receiver wants nothing more.
func (l *lanes) attempt(ctx context.Context, hook store.Webhook, signers []*standardwebhooks.Webhook, d store.Delivery) (result *store.Delivery, gone bool) {
	answer, err := l.post(ctx, hook, signers, d)
	if err != nil && ctx.Err() != nil {
		return nil, false
	}
	now := l.store.Now()
	d.Attempts++
	d.Status, d.Error = 0, ""
	if err != nil {
		d.Error = reason(err)
	} else {
		d.Status = answer.status
		if d.Status < 200 || d.Status > 299 {
			d.Error = "answered " + strconv.Itoa(d.Status)
		}
		if d.Status >= 300 && d.Status <= 399 {
			d.Error += ": redirects are not followed"
		}
	}
	switch {
	case d.Error == "":
		d.State, d.EndedAt = store.DeliveryDelivered, store.At(now)
		l.delivered.Add(1)
		return &d, false
	case d.Status == http.StatusGone, d.Attempts > len(l.opts.Retries):
		d.State, d.EndedAt = store.DeliveryDead, store.At(now)
		l.dead.Add(1)
		l.log.Warn("webhook: dead delivery", "tenant", d.TenantID, "webhook", d.WebhookID, "delivery", d.ID, "attempts", d.Attempts, "error", d.Error)
	default:
		wait := l.opts.Retries[d.Attempts-1]
		// Spread, so that a receiver that comes back isn't met by all at once.
		wait = time.Duration(float64(wait) * (0.8 + 0.4*rand.Float64()))
		d.NextAt = store.At(now.Add(max(wait, answer.retryAfter)))
	}
	l.failed.Add(1)
	return &d, d.Status == http.StatusGone
}

// answered is what counts of an answer.
type answered struct {
	status     int
	retryAfter time.Duration
}

func (l *lanes) post(ctx context.Context, hook store.Webhook, signers []*standardwebhooks.Webhook, d store.Delivery) (answered, error) {
	if err := l.client.CheckURL(hook.URL); err != nil {
		return answered{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.URL, bytes.NewReader([]byte(d.Body)))
	if err != nil {
		return answered{}, err
	}
	at := time.Now() // the receiver compares it with its own clock
	var signatures []string
	for _, s := range signers {
		signature, err := s.Sign(string(d.ID), at, []byte(d.Body))
		if err != nil {
			return answered{}, err
		}
		signatures = append(signatures, signature)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "gatehouse")
	r.Header.Set(standardwebhooks.HeaderWebhookID, string(d.ID))
	r.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(at.Unix(), 10))
	r.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	answer, err := l.client.Do(r)
	if err != nil {
		return answered{}, err
	}
	defer answer.Body.Close()
	_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer) // a short one leaves the connection for the next
	a := answered{status: answer.StatusCode}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
		a.retryAfter = min(time.Duration(min(seconds, 1e6))*time.Second, maxRetryAfter)
	}
	return a, nil
}

// reason is an error without the address, which may hold what is nobody's business.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		if u.Timeout() {
			return "no answer in time"
		}
		err = u.Err
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, err.Error())
	return strings.ToValidUTF8(text[:min(len(text), 300)], "")
}
