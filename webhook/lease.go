package webhook

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/store"
)

const (
	// leaseTime is how long a process may be silent before another takes its tenants
	// over. Nobody's clock is compared with another's: each watches whether the
	// holder's beat moves.
	leaseTime = 15 * time.Second
	// beatEvery leaves room for a few beats that are lost.
	beatEvery = 2 * time.Second
	// lookEvery is how often free tenants are looked for.
	lookEvery = time.Second
)

// lease is until when this process may send.
type lease struct{ until atomic.Pointer[time.Time] }

// holds reports whether nobody can take over for that long.
func (l *lease) holds(during time.Duration) bool {
	until := l.until.Load()
	return until != nil && time.Until(*until) > during
}

func (l *lease) extend(from time.Time) {
	until := from.Add(leaseTime)
	l.until.Store(&until)
}

// seen is when a feed's beat was first seen as it is.
type seen struct {
	holder string
	beat   int64
	since  time.Time
}

// Run works for the tenants that no other process works for, until ctx ends.
func (d *Dispatcher) Run(ctx context.Context) {
	var all sync.WaitGroup
	held := map[store.TenantID]context.CancelFunc{}
	watched := map[store.TenantID]seen{}
	beaten := time.Time{}
	for {
		if len(held) > 0 && time.Since(beaten) >= beatEvery {
			start := time.Now()
			still, err := d.beat(ctx)
			d.complain(ctx, "webhooks: sign of life", "", err)
			if err == nil {
				beaten = start
				d.lease.extend(start)
				for tenant, stop := range held {
					if !still[tenant] {
						stop()
						delete(held, tenant)
					}
				}
			}
		}
		feeds, err := d.store.Feeds(ctx)
		d.complain(ctx, "webhooks: feeds", "", err)
		for _, f := range feeds {
			if held[f.TenantID] != nil || !free(watched, f) {
				continue
			}
			if len(held) == 0 {
				d.lease.extend(time.Now())
				beaten = time.Now()
			}
			err := d.store.Write(ctx, actor(f.TenantID), func(tx *store.Tx) error { return tx.ClaimFeed(ctx, f, d.me) })
			d.complain(ctx, "webhooks: take over", f.TenantID, err)
			if err != nil {
				continue
			}
			inner, stop := context.WithCancel(ctx)
			held[f.TenantID] = stop
			all.Go(func() { d.serve(inner, f.TenantID) })
		}
		if !pause(ctx, lookEvery, nil) {
			break
		}
	}
	for _, stop := range held {
		stop()
	}
	all.Wait()
	d.client.Close()
	if len(held) == 0 {
		return
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	err := d.store.Write(last, actor(""), func(tx *store.Tx) error { return tx.ReleaseFeeds(last, d.me) })
	d.complain(last, "webhooks: hand over", "", err)
}

// free reports whether nobody works for a feed's tenant, or whoever does has been
// silent for too long.
func free(watched map[store.TenantID]seen, f store.Feed) bool {
	w := watched[f.TenantID]
	if w.holder != f.Holder || w.beat != f.Beat {
		w = seen{holder: f.Holder, beat: f.Beat, since: time.Now()}
		watched[f.TenantID] = w
	}
	return f.Holder == "" || time.Since(w.since) >= leaseTime
}

func (d *Dispatcher) beat(ctx context.Context) (map[store.TenantID]bool, error) {
	var tenants []store.TenantID
	err := d.store.Write(ctx, actor(""), func(tx *store.Tx) (err error) {
		tenants, err = tx.BeatFeeds(ctx, d.me)
		return err
	})
	still := map[store.TenantID]bool{}
	for _, t := range tenants {
		still[t] = true
	}
	return still, err
}
