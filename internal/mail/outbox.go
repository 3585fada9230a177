// Package mail sends the mails that the console writes. A mail is queued in the
// transaction that it tells of, and sent afterwards: nothing is lost when the mail
// server or this program is down, and a slow server delays nobody. It stands between
// the pages, which know the words, and the store, which keeps what waits.
//
//	out := mail.New(st, mail.Options{Send: mail.SMTP(server, from), Sealer: sealer, Log: log})
//	go out.Run(ctx)
//	…
//	err := st.Write(ctx, actor, func(tx *store.Tx) error { …; return out.Queue(ctx, tx, invitation.ID, message) })
//	out.Wake()
package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"gatehouse/internal/seal"
	"gatehouse/store"
)

// Message is a mail.
type Message struct {
	// ID tells mails apart: a server that gets one twice can see that.
	ID      string
	To      string
	Subject string
	Text    string
}

// Send hands a message to a server. ErrRefused says that it will never be taken;
// after any other error it is tried again.
type Send func(ctx context.Context, m Message) error

// ErrRefused says that a server does not take a message, and won't later.
var ErrRefused = errors.New("refused")

// Options are what an outbox needs.
type Options struct {
	Send Send
	// Sealer closes messages while they wait: a link in them lets somebody in.
	Sealer *seal.Sealer
	Log    *slog.Logger
	// Every is how often the outbox looks for mails that other replicas queued; by
	// default 5 s.
	Every time.Duration
}

// Outbox sends what was queued in the database, together with those of other
// replicas.
type Outbox struct {
	store  *store.Store
	opts   Options
	wake   chan struct{}
	sent   atomic.Uint64
	failed atomic.Uint64
}

// New makes an outbox, which sends once it runs.
func New(st *store.Store, opts Options) *Outbox {
	if opts.Every == 0 {
		opts.Every = 5 * time.Second
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	return &Outbox{store: st, opts: opts, wake: make(chan struct{}, 1)}
}

// Counts gives how many mails this process has sent, and how many attempts failed.
func (o *Outbox) Counts() (sent, failed uint64) { return o.sent.Load(), o.failed.Load() }

// Queue has a message sent once the transaction is done; its ID is chosen here. It
// takes the place of one of the same invitation that still waits.
func (o *Outbox) Queue(ctx context.Context, tx *store.Tx, about store.InvitationID, m Message) error {
	return o.queue(ctx, tx, store.Mail{InvitationID: about}, m)
}

// QueueReview does the same for a message about a review, of any tenant.
func (o *Outbox) QueueReview(ctx context.Context, tx *store.Tx, about store.Review, m Message) error {
	return o.queue(ctx, tx, store.Mail{TenantID: about.TenantID, ReviewID: about.ID}, m)
}

func (o *Outbox) queue(ctx context.Context, tx *store.Tx, row store.Mail, m Message) error {
	id := store.NewMailID()
	m.ID, m.Subject, m.Text = string(id), store.Straight(m.Subject), store.Straight(m.Text)
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	row.ID, row.Address, row.Sealed = id, m.To, o.opts.Sealer.Seal(m.ID, string(text))
	return tx.QueueMail(ctx, row)
}

// Wake has the outbox look at once.
func (o *Outbox) Wake() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

const (
	// takeAtOnce is how many mails a replica takes at a time.
	takeAtOnce = 10
	// sendTimeout is how long a server may take for one.
	sendTimeout = 30 * time.Second
	// lease is longer than it takes to send all that were taken.
	lease = (takeAtOnce + 1) * sendTimeout
)

// pauses are those before a mail is tried again; after the last it is given up.
var pauses = []time.Duration{10 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour}

// Run sends until ctx ends.
func (o *Outbox) Run(ctx context.Context) {
	tick := time.NewTicker(o.opts.Every)
	defer tick.Stop()
	for {
		for {
			n, err := o.round(ctx)
			if err != nil && ctx.Err() == nil {
				o.opts.Log.Warn("mails that wait", slog.Any("error", err))
			}
			if err != nil || n == 0 {
				break
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-o.wake:
		}
	}
}

var system = store.Actor{Kind: store.ActorSystem, ID: "mail"}

// round sends some mails that are due and gives their number.
func (o *Outbox) round(ctx context.Context) (int, error) {
	var taken []store.Mail
	err := o.store.Write(ctx, system, func(tx *store.Tx) (err error) {
		taken, err = tx.TakeMails(ctx, takeAtOnce, lease)
		return err
	})
	if err != nil {
		return 0, err
	}
	for i, m := range taken {
		if ctx.Err() != nil {
			return i, ctx.Err() // another round takes them when the lease is over
		}
		if err := o.deliver(ctx, m); err != nil {
			return i, err
		}
	}
	return len(taken), nil
}

// deliver sends a mail and writes down what came of it.
func (o *Outbox) deliver(ctx context.Context, m store.Mail) error {
	err := o.send(ctx, m)
	problem, due := "", store.Instant{}
	if err == nil {
		o.sent.Add(1)
	} else {
		o.failed.Add(1)
		problem = err.Error()
		o.opts.Log.Warn("mail not sent", slog.String("mail", string(m.ID)), slog.Int("attempt", m.Attempts), slog.String("error", problem))
		if !errors.Is(err, ErrRefused) && m.Attempts <= len(pauses) {
			due = store.At(o.store.Now().Add(pauses[m.Attempts-1]))
		}
	}
	// What was sent is written down also when the program stops just now.
	ctx = context.WithoutCancel(ctx)
	return o.store.Write(ctx, system, func(tx *store.Tx) error { return tx.EndMail(ctx, m, problem, due) })
}

func (o *Outbox) send(ctx context.Context, m store.Mail) error {
	text, err := o.opts.Sealer.Open(string(m.ID), m.Sealed)
	if err != nil {
		return fmt.Errorf("%w: the mail was %w", ErrRefused, err)
	}
	var message Message
	if err := json.Unmarshal([]byte(text), &message); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return o.opts.Send(ctx, message)
}
