package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
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
	j := &job{actor: actor, f: f}
	if s.write.dialect == sqliteDialect {
		return s.batch.do(ctx, s, j)
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return s.write.dialect.classify(ctx.Err())
	}
	s.alone(j)
	return j.outcome()
}

// alone does one job in a transaction of its own, begun when the first statement
// with an answer wants it.
func (s *Store) alone(j *job) {
	w := &work{begin: s.begin}
	// An open transaction would hold its locks for ever.
	defer w.rollback()
	s.run(w, j)
	if j.failed() || w.tx == nil {
		return
	}
	if err := w.tx.Commit(); err != nil {
		j.err = fmt.Errorf("commit: %w", s.write.dialect.classifyCommit(err))
	}
}

// begin starts a transaction.
func (s *Store) begin() (*sqlx.Tx, error) {
	sqlTx, err := s.write.db.BeginTxx(context.Background(), nil)
	return sqlTx, s.write.dialect.classify(err)
}

// run does one job, up to before its commit.
func (s *Store) run(w *work, j *job) {
	tx := &Tx{store: s, actor: j.actor, now: At(s.now())}
	w.before = tx.flush
	tx.reader = reader{pool: s.write, work: w}
	defer func() {
		if p := recover(); p != nil {
			// The caller panics with it, perhaps in another goroutine: keep where it was.
			j.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
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
	query, args := tx.together()
	if query == "" {
		return nil
	}
	_, err := tx.exec(ctx, query, args...)
	if err == nil && len(tx.waiting) > 0 {
		return tx.flush(ctx)
	}
	return err
}

// together takes statements that wait: all of them as one on PostgreSQL, the
// first on SQLite; "" when none waits.
func (tx *Tx) together() (query string, args []any) {
	n := len(tx.waiting)
	if tx.pool.dialect == sqliteDialect {
		n = min(n, 1)
	}
	taken := tx.waiting[:n]
	tx.waiting = tx.waiting[n:]
	switch n {
	case 0:
		return "", nil
	case 1:
		return taken[0].query, taken[0].args
	}
	tx.store.grew(n)
	var b strings.Builder
	for i, st := range taken {
		fmt.Fprintf(&b, "%s s%d AS (%s)", [2]string{"WITH", ","}[min(i, 1)], i, st.query)
		args = append(args, st.args...)
	}
	b.WriteString(" SELECT 1")
	return b.String(), args
}

// finish runs what waits when nothing comes after it. If nothing came before it
// either, it is one statement, which needs no BEGIN and COMMIT around it.
func (tx *Tx) finish(ctx context.Context, id ChangeID) error {
	if tx.work.tx != nil {
		return tx.flush(ctx)
	}
	query, args := tx.together()
	if query == "" {
		return nil
	}
	d := tx.pool.dialect
	st, release, err := tx.pool.prepare(ctx, query)
	if err != nil {
		return d.classify(err)
	}
	defer release()
	_, err = st.ExecContext(ctx, args...)
	if err = d.classify(err); !errors.Is(err, ErrTaken) {
		return err
	}
	// database/sql sends a statement again when its connection dies, even if it
	// was done by then. What is taken may be what we wrote ourselves.
	var found ChangeID
	if tx.store.get(ctx, &found, `SELECT id FROM changes WHERE tenant_id = ? AND id = ?`, tx.actor.Tenant, id) == nil {
		return nil
	}
	return err
}
