package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Actor is who does a write; it is recorded with every change.
type Actor struct {
	// Tenant is the only tenant that the actor can write to.
	Tenant TenantID
	// Kind says what sort of actor it is: ActorSCIM, ActorCLI, ActorSystem.
	Kind string
	// ID names the actor within its kind: a token, an operating system's user.
	ID string
	// RequestID ties the change to the request's log line; may be empty.
	RequestID string
}

// The kinds of actor.
const (
	ActorSCIM   = "scim"
	ActorCLI    = "cli"
	ActorSystem = "system"
)

// Tx is a transaction that can write, on behalf of one actor in one tenant.
type Tx struct {
	reader
	store   *Store
	actor   Actor
	now     Instant
	changes []Change
	after   []func()
	// failed is the first error of a statement. PostgreSQL takes nothing more
	// then and SQLite would, so that the transaction ends on both.
	failed error
}

const writeAttempts = 10

// Write runs f in a transaction and commits it together with the log rows of
// what f changed. When f returns an error, or a write in it failed, nothing is
// written. f may run again
// when the database asks for it (deadlock, serialization): it must touch nothing
// outside but variables that it sets anew each time.
//
// ErrUnavailable means that the fate of the write is unknown: the connection
// died before the answer to COMMIT. The caller's retry meets the same names and
// ids and so finds out.
func (s *Store) Write(ctx context.Context, actor Actor, f func(*Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := s.try(ctx, actor, f)
		if err == nil || attempt == writeAttempts || !s.write.dialect.retryable(err) {
			return err
		}
		pause := time.Duration(rand.Int64N(int64(attempt) * int64(10*time.Millisecond)))
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
		case <-time.After(pause):
		}
	}
}

func (s *Store) try(ctx context.Context, actor Actor, f func(*Tx) error) error {
	d := s.write.dialect
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return d.classify(ctx.Err())
	}
	sqlTx, err := s.write.db.BeginTxx(ctx, nil)
	if err != nil {
		return d.classify(err)
	}
	// An open transaction would hold its locks for ever, also after a panic in f.
	defer func() { _ = sqlTx.Rollback() }()
	tx := &Tx{
		reader: reader{pool: s.write, tx: sqlTx},
		store:  s,
		actor:  actor,
		now:    At(s.now()),
	}
	if err := f(tx); err != nil {
		return err
	}
	if tx.failed != nil {
		return tx.failed
	}
	if err := tx.record(ctx); err != nil {
		return err
	}
	if err := sqlTx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", d.classifyCommit(err))
	}
	for _, f := range tx.after {
		f()
	}
	return nil
}

// exec runs a statement and gives the number of rows it touched.
func (tx *Tx) exec(ctx context.Context, query string, args ...any) (int, error) {
	d := tx.pool.dialect
	st, release, err := tx.prepare(ctx, query)
	if err != nil {
		return 0, d.classify(err)
	}
	defer release()
	res, err := st.ExecContext(ctx, args...)
	if err != nil {
		tx.failed = d.classify(err)
		return 0, tx.failed
	}
	n, err := res.RowsAffected()
	return int(n), err
}
