// Package webhook tells products what changed, so that they need not ask: that
// somebody's account has ended, and what somebody gained or lost. It follows the
// log of changes, compares what people have with what was last told of them, and
// sends the difference signed as Standard Webhooks wants it, until the product
// has taken it. Its neighbour below is store; who is told what it decides with
// package access alone.
//
//	d, err := webhook.New(ctx, st, webhook.Options{Log: log})
//	go d.Run(ctx)
//
// Of the processes on a database one at a time works for a tenant (lease.go). It
// turns changes into deliveries (plan.go, event.go), which are rows, and sends
// those of each webhook in a lane of their own (send.go). A crash loses nothing
// and repeats what was on its way: receivers know a repetition by its webhook-id.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"gatehouse/internal/egress"
	"gatehouse/store"
)

// MaxTimeout is the longest that a receiver may be given to answer: a process that
// is taken for dead must not have a request under way any more.
const MaxTimeout = 10 * time.Second

// Options are the settings of a Dispatcher; the zero value works.
type Options struct {
	// SecretKey opens the secrets that were sealed with it; see Sealer.
	SecretKey string
	// AllowPrivate also sends to private addresses, and by http.
	AllowPrivate bool
	// Retries are the pauses before each further attempt; nil means DefaultRetries.
	// After the last one a delivery is dead.
	Retries []time.Duration
	// Timeout is how long a receiver may take, up to MaxTimeout, which 0 means.
	Timeout time.Duration
	// Keep is how long what was delivered or is dead can be looked at; 0 means 30 days.
	Keep time.Duration
	// Log gets what goes wrong; nil means nobody.
	Log *slog.Logger
}

// DefaultRetries give a receiver a day and a half to come back.
var DefaultRetries = []time.Duration{
	5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour, 6 * time.Hour, 24 * time.Hour,
}

// Dispatcher tells the products of all tenants that this process works for.
type Dispatcher struct {
	store  *store.Store
	opts   Options
	client *egress.Client
	sealer *Sealer
	log    *slog.Logger
	// me names the process among those on the database.
	me    string
	lease lease

	delivered, failed, dead atomic.Int64
}

// New makes a dispatcher, which does nothing until Run.
func New(ctx context.Context, st *store.Store, opts Options) (*Dispatcher, error) {
	if opts.Retries == nil {
		opts.Retries = DefaultRetries
	}
	if opts.Timeout == 0 {
		opts.Timeout = MaxTimeout
	}
	if opts.Keep == 0 {
		opts.Keep = 30 * 24 * time.Hour
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Timeout > MaxTimeout {
		return nil, fmt.Errorf("timeout %v: want at most %v", opts.Timeout, MaxTimeout)
	}
	sealer, err := NewSealer(ctx, st, opts.SecretKey)
	if err != nil {
		return nil, err
	}
	return &Dispatcher{
		store: st, opts: opts, sealer: sealer, log: opts.Log, me: uuid.NewString(),
		client: egress.New(egress.Options{Private: opts.AllowPrivate, Timeout: opts.Timeout}),
	}, nil
}

// CheckURL says what is wrong with the address of a webhook.
func CheckURL(address string, allowPrivate bool) error {
	return egress.New(egress.Options{Private: allowPrivate}).CheckURL(address)
}

// Counts are how many attempts were taken and how many failed since the process
// began, and how many deliveries became dead.
func (d *Dispatcher) Counts() (delivered, failed, dead int64) {
	return d.delivered.Load(), d.failed.Load(), d.dead.Load()
}

func actor(tenant store.TenantID) store.Actor {
	return store.Actor{Tenant: tenant, Kind: store.ActorSystem, ID: "webhooks"}
}

// complain logs an error that the next attempt may be spared.
func (d *Dispatcher) complain(ctx context.Context, what string, tenant store.TenantID, err error) {
	switch {
	case err == nil, ctx.Err() != nil, errors.Is(err, store.ErrStale):
	case errors.Is(err, store.ErrUnavailable):
		d.log.Warn(what, "tenant", tenant, "error", err)
	default:
		d.log.Error(what, "tenant", tenant, "error", err)
	}
}

// pause waits, for a while or until something comes, and reports false at the end.
func pause(ctx context.Context, wait time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-timer.C:
	}
	return true
}
