package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
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
	waiting []statement
	changes []Change
	after   []func()
	// failed is the first error of a statement. PostgreSQL takes nothing more
	// then and SQLite would, so that the transaction ends on both.
	failed error
}

// statement is one that waits for its turn.
type statement struct {
	query string
	args  []any
}

const writeAttempts = 10

// maxWaiting keeps what goes in one round trip below the databases' limits of
// placeholders.
const maxWaiting = 16

// Write runs f in a transaction and commits it together with the log rows of
// what f changed. When f returns an error, or a write in it failed, nothing is
// written. f may run again when the database asks for it (deadlock,
// serialization): it must touch nothing outside but variables that it sets anew
// each time. Once f has begun it runs to its end, also when ctx is done.
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
	if err := ctx.Err(); err != nil {
		return s.write.dialect.classify(err)
	}
	if s.write.dialect == sqliteDialect {
		return s.batch.do(ctx, s, &job{actor: actor, f: f})
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return s.write.dialect.classify(ctx.Err())
	}
	j := &job{actor: actor, f: f}
	s.commit([]*job{j})
	return j.outcome()
}

// begin starts a transaction.
func (s *Store) begin() (*sqlx.Tx, error) {
	sqlTx, err := s.write.db.BeginTxx(context.Background(), nil)
	return sqlTx, s.write.dialect.classify(err)
}

// run does one job in an open transaction, up to before its commit.
func (s *Store) run(sqlTx *sqlx.Tx, j *job) {
	tx := &Tx{store: s, actor: j.actor, now: At(s.now())}
	tx.reader = reader{pool: s.write, tx: sqlTx, before: tx.flush}
	defer func() {
		j.panicked = recover()
		j.after = tx.after
	}()
	if j.err = j.f(tx); j.err != nil {
		return
	}
	if j.err = tx.failed; j.err == nil {
		j.err = tx.record(context.Background())
	}
}

// exec runs a statement and gives the number of rows it touched.
func (tx *Tx) exec(ctx context.Context, query string, args ...any) (int, error) {
	d := tx.pool.dialect
	st, release, err := tx.prepare(ctx, query)
	if err != nil {
		return 0, d.classify(err)
	}
	defer release()
	res, err := st.ExecContext(tx.context(ctx), args...)
	if err != nil {
		tx.failed = d.classify(err)
		return 0, tx.failed
	}
	n, err := res.RowsAffected()
	tx.store.grew(int(n))
	return int(n), err
}

// later runs an INSERT or UPDATE at the latest before the next statement that
// has an answer, or at the end. None of those that wait may need what another
// one does, but for foreign keys: PostgreSQL gets them all in one round trip.
func (tx *Tx) later(query string, args ...any) {
	tx.waiting = append(tx.waiting, statement{query, args})
	if len(tx.waiting) == maxWaiting {
		_ = tx.flush(context.Background()) // its error is in tx.failed
	}
}

// flush runs the statements that wait.
func (tx *Tx) flush(ctx context.Context) error {
	waiting := tx.waiting
	tx.waiting = nil
	if tx.pool.dialect == sqliteDialect || len(waiting) == 1 {
		for _, st := range waiting {
			if _, err := tx.exec(ctx, st.query, st.args...); err != nil {
				return err
			}
		}
		return nil
	}
	if len(waiting) == 0 {
		return nil
	}
	var query strings.Builder
	var args []any
	for i, st := range waiting {
		fmt.Fprintf(&query, "%s s%d AS (%s)", [2]string{"WITH", ","}[min(i, 1)], i, st.query)
		args = append(args, st.args...)
	}
	query.WriteString(" SELECT 1")
	tx.store.grew(len(waiting))
	_, err := tx.exec(ctx, query.String(), args...)
	return err
}
