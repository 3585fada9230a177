package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

// Actor is who does a write; it is recorded with every change.
type Actor struct {
	// Tenant is the only tenant that the actor can write to.
	Tenant TenantID
	// Kind says what sort of actor it is: ActorSCIM, ActorPerson, ActorInvitation, ActorCLI,
	// ActorSystem.
	Kind string
	// ID names the actor within its kind: a token, a user of the
	// tenant, an operating system's user.
	ID string
	// RequestID ties the change to the request's log line; may be empty.
	RequestID string
}

// The kinds of actor.
const (
	ActorSCIM   = "scim"
	ActorPerson = "person" // in the console
	// ActorInvitation is whoever holds an invitation or another way in that needs
	// nobody inside; its ID is that of the invitation.
	ActorInvitation = "invitation"
	ActorCLI        = "cli"
	ActorSystem     = "system"
)

// Tx is a transaction that can write, on behalf of one actor in one tenant.
type Tx struct {
	reader
	store   *Store
	actor   Actor
	now     Instant
	waiting []statement
	changes []Change
	sizes   sizeDeltas
	// lastChange is one of those that the transaction records, if there are any.
	lastChange ChangeID
	after      []func()
	// rows is how many have been written.
	rows int
	// edit is the tenant's policy once the transaction holds its lock, and owners
	// are what decided who owns the tenant before it changed anything.
	edit   *policyEdit
	owners access.State
	// hold is the group that the transaction changes in steps, if it does.
	hold   *hold
	amends []amends
	// failed is the first error of a statement. PostgreSQL takes nothing more
	// then and SQLite would, so that the transaction ends on both.
	failed error
}

// amends are what has to be done though the transaction fails, in one of its own.
type amends struct {
	// when is the error that it fails with.
	when error
	do   func(context.Context, *Tx) error
}

// statement is one that waits for its turn.
type statement struct {
	// query is whole, or, of an insert, has a %s where the rows go.
	query string
	width int   // of an insert's rows; 0 of others
	args  []any // of all rows
}

// text is the SQL of the statement.
func (st statement) text() string {
	if st.width == 0 {
		return st.query
	}
	row := ", (?" + strings.Repeat(", ?", st.width-1) + ")"
	return fmt.Sprintf(st.query, strings.Repeat(row, len(st.args)/st.width)[2:])
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
// Whom a provider wanted to take away and who stays with ErrLastOwner is signed out
// nevertheless, in a transaction of its own.
//
// ErrUnavailable means that the fate of the write is unknown: the connection
// died before the answer to COMMIT. The caller's retry meets the same names and
// ids and so finds out.
func (s *Store) Write(ctx context.Context, actor Actor, f func(*Tx) error) error {
	return s.attempts(ctx, actor, f, false)
}

// WriteLong is Write for what may take longer than most. On SQLite, which has one
// writer, no other write shares its transaction, and those who had to wait for one
// get as much time before the next. A change of many thousand members is made in many
// such transactions there: see UpdateGroup.
func (s *Store) WriteLong(ctx context.Context, actor Actor, f func(*Tx) error) error {
	return s.attempts(ctx, actor, f, true)
}

func (s *Store) attempts(ctx context.Context, actor Actor, f func(*Tx) error, long bool) error {
	for attempt := 1; ; attempt++ {
		j := &job{actor: actor, f: f, long: long}
		err := s.try(ctx, j)
		for _, a := range j.amends {
			if !errors.Is(err, a.when) {
				continue
			}
			if failed := s.Write(ctx, actor, func(tx *Tx) error { return a.do(ctx, tx) }); failed != nil {
				return failed
			}
		}
		if held, ok := errors.AsType[heldError](err); ok {
			if err := s.standBack(ctx, held); err != nil {
				return err
			}
			attempt--
			continue
		}
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

func (s *Store) try(ctx context.Context, j *job) error {
	if err := ctx.Err(); err != nil {
		return s.write.dialect.classify(err)
	}
	if s.write.dialect == sqliteDialect {
		if j.long {
			return s.batch.doLong(ctx, s, j)
		}
		return s.batch.do(ctx, s, j)
	}
	s.alone(ctx, j)
	if j.failed() || len(j.waiting) == 0 {
		return j.outcome()
	}
	return s.batch.do(ctx, s, j)
}

// alone does one job in a transaction of its own, begun when the first statement
// with an answer wants it. A job that only inserts wants none: its rows are left
// waiting, to be written together with those of others.
func (s *Store) alone(ctx context.Context, j *job) {
	w := &work{begin: s.beginInTurn}
	// An open transaction would hold its locks for ever.
	defer w.end(s.write)
	s.run(w, j)
	if j.failed() || w.tx == nil {
		return
	}
	if err := w.tx.Commit(); err != nil {
		j.err = fmt.Errorf("commit: %w", s.write.dialect.classify(err))
	}
}

// begin starts a transaction.
func (s *Store) begin() (*sqlx.Tx, error) {
	sqlTx, err := s.write.db.BeginTxx(context.Background(), nil)
	return sqlTx, s.write.dialect.classify(err)
}

// beginInTurn starts one when there is a slot for it.
func (s *Store) beginInTurn(ctx context.Context, w *work) (err error) {
	var release func()
	if w.slot, release, err = s.takeSlot(ctx); err != nil {
		return err
	}
	w.release = release
	w.tx, err = s.begin()
	return err
}

func (s *Store) takeSlot(ctx context.Context) (slot int, release func(), err error) {
	select {
	case slot = <-s.slots:
		return slot, func() { s.slots <- slot }, nil
	case <-ctx.Done():
		return 0, nil, s.write.dialect.classify(ctx.Err())
	}
}

// run does one job, up to before its commit.
func (s *Store) run(w *work, j *job) {
	tx := &Tx{store: s, actor: j.actor, now: At(s.now())}
	w.before = tx.flush
	tx.reader = reader{pool: s.write, work: w}
	defer j.caught()
	defer func() {
		// Before the commit nobody else would see how much there is.
		j.after, j.amends = append(tx.after, func() { s.grew(tx.rows) }), tx.amends
	}()
	if j.err = j.f(tx); j.err != nil {
		return
	}
	if j.err = tx.failed; j.err == nil {
		j.err = tx.settle(context.Background())
	}
	if j.err == nil {
		j.err = tx.record(context.Background())
	}
	j.waiting, j.sizes, j.change = tx.waiting, tx.sizes, tx.lastChange
}

// exec runs a statement and gives the number of rows it touched.
func (tx *Tx) exec(ctx context.Context, query string, args ...any) (int, error) {
	if tx.failed != nil {
		return 0, tx.failed // SQLite may have ended the transaction: this would be one of its own
	}
	d := tx.pool.dialect
	st, release, err := tx.prepare(ctx, query)
	if err != nil {
		tx.failed = d.classify(err)
		return 0, tx.failed
	}
	defer release()
	res, err := st.ExecContext(tx.context(ctx), args...)
	if err != nil {
		tx.failed = d.classify(err)
		return 0, tx.failed
	}
	n, err := res.RowsAffected()
	tx.rows += int(n)
	return int(n), err
}

// later runs an UPDATE or DELETE at the latest before the next statement that
// has an answer, or at the end. None of those that wait may need what another
// one does, but for foreign keys: PostgreSQL gets them all in one round trip.
func (tx *Tx) later(query string, args ...any) {
	tx.wait(statement{query: query, args: args})
}

// insert is later for rows of a table, which is named with its columns.
func (tx *Tx) insert(into string, values ...any) {
	tx.insertFrom("INSERT INTO "+into+" VALUES %s", values...)
}

// insertFrom is later for an INSERT that makes its rows of others, which go where
// it has a %s.
func (tx *Tx) insertFrom(query string, values ...any) {
	tx.wait(statement{query: query, width: len(values), args: values})
}

func (tx *Tx) wait(st statement) {
	tx.waiting = append(tx.waiting, st)
	if len(tx.waiting) == maxWaiting {
		_ = tx.flush(context.Background()) // its error is in tx.failed
	}
}

// flush runs the statements that wait: all of them as one on PostgreSQL, one
// after the other on SQLite.
func (tx *Tx) flush(ctx context.Context) error {
	waiting := tx.waiting
	tx.waiting = nil // or the first would let the others go before it
	for len(waiting) > 0 {
		n := len(waiting)
		if tx.pool.dialect == sqliteDialect {
			n = 1
		}
		st := together(waiting[:n])
		waiting = waiting[n:]
		if _, err := tx.exec(ctx, st.text(), st.args...); err != nil {
			return err
		}
	}
	return tx.failed // perhaps of those that were too many to wait any longer
}

// together makes one statement of many. The rows of one INSERT go into one.
func together(waiting []statement) statement {
	var all []statement
	inserts := map[string]int{}
	for _, st := range waiting {
		i, found := inserts[st.query]
		switch {
		case st.width == 0:
			all = append(all, st)
		case found:
			all[i].args = append(all[i].args, st.args...)
		default:
			inserts[st.query] = len(all)
			st.args = slices.Clip(st.args)
			all = append(all, st)
		}
	}
	if len(all) == 1 {
		return all[0]
	}
	var one statement
	var b strings.Builder
	for i, st := range all {
		fmt.Fprintf(&b, "%s s%d AS (%s)", [2]string{"WITH", ","}[min(i, 1)], i, st.text())
		one.args = append(one.args, st.args...)
	}
	b.WriteString(" SELECT 1")
	one.query = b.String()
	return one
}

// insertTogether writes the rows that jobs have left waiting, in one statement,
// which needs no BEGIN and COMMIT around it.
func (s *Store) insertTogether(jobs []*job) {
	slot, release, err := s.takeSlot(context.Background())
	if err == nil {
		defer release()
		err = s.insertRows(jobs, slot)
	}
	if err == nil {
		return
	}
	for _, j := range jobs {
		// One of them is to blame; the others shall not suffer.
		if len(jobs) > 1 {
			err = s.insertRows([]*job{j}, slot)
		}
		if errors.Is(err, ErrTaken) {
			// database/sql sends a statement again when its connection dies, even if it
			// was done by then: what is taken may be what we wrote ourselves.
			var found ChangeID
			look := s.get(context.Background(), &found, `SELECT id FROM changes WHERE tenant_id = ? AND id = ?`, j.actor.Tenant, j.change)
			if !errors.Is(look, ErrNotFound) {
				err = look
			}
		}
		j.err = err
	}
}

func (s *Store) insertRows(jobs []*job, slot int) error {
	var waiting []statement
	var sizes sizeDeltas
	for _, j := range jobs {
		waiting = append(waiting, j.waiting...)
		sizes.merge(j.sizes)
	}
	one := together(append(waiting, s.sizeStatements(sizes, slot)...))
	st, release, err := s.write.prepare(context.Background(), one.text())
	if err != nil {
		return s.write.dialect.classify(err)
	}
	defer release()
	_, err = st.Exec(one.args...)
	if err == nil {
		s.grew(len(waiting))
	}
	return s.write.dialect.classify(err)
}
