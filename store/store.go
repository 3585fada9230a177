// Package store keeps the directory: tenants, connections, users, groups, who is
// a member of what, what all of it was before, and the log of every change. It
// holds all SQL of Gatehouse, on an embedded SQLite file or on PostgreSQL.
//
// Reads are methods of Store and of Tx alike; writes exist only on Tx, and a Tx
// is only to be had from Store.Write, which wants an actor. So nothing is
// written without a transaction, somebody to name, and a row in the log:
//
//	st, err := store.Open(ctx, "sqlite://gatehouse.db", store.Options{})
//	err = st.Write(ctx, actor, func(tx *store.Tx) error {
//		user, err = tx.CreateUser(ctx, connection, user)
//		return err
//	})
//
// Above it are the edges (scim, api, ui), which know no SQL; below it is only
// package migrations.
package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// The errors that callers tell apart, with errors.Is.
var (
	// ErrNotFound says that there is no such thing in this tenant and connection.
	ErrNotFound = errors.New("not found")
	// ErrTaken says that another one of the connection bears the name already.
	ErrTaken = errors.New("taken")
	// ErrTooLong says that a name doesn't fit into an index of the databases.
	ErrTooLong = errors.New("too long")
	// ErrUnavailable says that the database could not be asked, or that its answer
	// was lost: a write may or may not have been done. Try again later.
	ErrUnavailable = errors.New("database unavailable")
	// ErrUnknownMembers says that a group's members were to be replaced by ids of
	// which none is known: a mistake, and the group would be empty.
	ErrUnknownMembers = errors.New("none of the members is known")
	// ErrCycle says that a group would become a member of itself, if only through
	// others.
	ErrCycle = errors.New("a group within itself")
	// ErrLimit says that a limit of Gatehouse forbids the change.
	ErrLimit = errors.New("limit reached")
	// ErrInvalid says that what was to be written contradicts itself or names
	// something that isn't there.
	ErrInvalid = errors.New("invalid")
	// ErrInUse says that something else refers to what was to be changed.
	ErrInUse = errors.New("in use")
)

// The kinds of identifier; each is a UUIDv7 in its canonical text form (RFC 9562)
// and is never used again, so that nothing can be inherited from the deleted.
type (
	TenantID     string
	ConnectionID string
	TokenID      string
	KeyID        string
	UserID       string
	GroupID      string
	ChangeID     string
)

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// validID reports whether s can be an identifier at all. PostgreSQL answers
// anything else with an error instead of an empty result.
func validID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c < '0' || c > '9' && c < 'a' || c > 'f':
			return false
		}
	}
	return true
}

// isText reports whether PostgreSQL takes s for text; SQLite takes anything.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// Instant is a point in time as the databases keep it: milliseconds since 1970,
// UTC. The zero Instant is "never".
type Instant struct{ time.Time }

// At is the Instant of t, cut to milliseconds.
func At(t time.Time) Instant {
	if t.IsZero() {
		return Instant{}
	}
	return Instant{time.UnixMilli(t.UnixMilli()).UTC()}
}

// Scan reads the milliseconds of a column.
func (i *Instant) Scan(v any) error {
	ms, ok := v.(int64)
	if !ok {
		return fmt.Errorf("instant from %T", v)
	}
	*i = Instant{}
	if ms != 0 {
		i.Time = time.UnixMilli(ms).UTC()
	}
	return nil
}

// Value gives the milliseconds for a column.
func (i Instant) Value() (driver.Value, error) {
	if i.IsZero() {
		return int64(0), nil
	}
	return i.UnixMilli(), nil
}

// Options are the settings of a Store; the zero value works.
type Options struct {
	// Connections bounds the connections to PostgreSQL, at least 2; 0 means 20.
	Connections int
	// Now is the clock, for tests; nil means time.Now.
	Now func() time.Time
	// Patient lets statements on PostgreSQL take as long as they need, for work
	// that reads everything; otherwise they are ended after 30 seconds.
	Patient bool
	// SessionIdle is after how long without use a session ends, and SessionLife after
	// how long in any case; 0 means DefaultSessionIdle and DefaultSessionLife.
	SessionIdle, SessionLife time.Duration
}

func (o Options) statementTimeout() string {
	if o.Patient {
		return "0"
	}
	return "30s"
}

// Store is one database. It is safe for use by many goroutines.
type Store struct {
	reader
	write *pool
	// slots bounds the transactions that write at a time on PostgreSQL to one
	// connection fewer than there are, so that reads go on while all of them wait for
	// a row.
	slots chan int
	// lane is where this process begins to count, see sizes.go.
	lane int
	// batch commits writes together: on SQLite, which has room for one writer, all
	// of them; on PostgreSQL those that only insert.
	batch   batch
	holds   heldGroups
	sizes   stepSizes
	callers callers
	guesses guesses
	growth  growth
	// background are the goroutines that Close waits for.
	background sync.WaitGroup
	now        func() time.Time
	// ownClock says that now is the clock of all who use the database.
	ownClock bool
	tokens   secretCache[Token]
	keys     secretCache[Key]
	policies policyCache
	// sessionIdle and sessionLife are those of Options.
	sessionIdle, sessionLife time.Duration
	// refusals are those of this minute.
	refusalsMu sync.Mutex
	refusals   map[refusalsOf]*refusals
	logChecks  logChecks
	subjects   gather[TenantID, subjectRow]
	shown      gather[ConnectionRef, *User]
	// The queries of both; subjectWithinByID is for tenants with groups within groups.
	subjectByID, subjectWithinByID, shownByID byID
}

// Open connects to the database at url, sqlite://FILE or postgres://…, and
// refuses a schema that is not the one this program knows (see Migrate).
func Open(ctx context.Context, url string, opts Options) (*Store, error) {
	d, err := dialectOf(url)
	if err != nil {
		return nil, err
	}
	if file, ok := sqliteFile(url); ok {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no database %s: check database-url, or run 'gatehouse migrate' to make it", file)
		}
	}
	read, write, err := d.open(url, opts)
	if err != nil {
		return nil, err
	}
	s := &Store{reader: reader{pool: read}, write: write, now: opts.Now,
		sessionIdle: cmp.Or(opts.SessionIdle, DefaultSessionIdle), sessionLife: cmp.Or(opts.SessionLife, DefaultSessionLife)}
	n := write.db.Stats().MaxOpenConnections - 1
	s.slots, s.lane = make(chan int, n), rand.IntN(sizeLanes)
	for i := range n {
		s.slots <- i
	}
	s.ownClock = d == sqliteDialect || opts.Now != nil
	s.batch, s.sizes = batch{commit: s.commit}, usualSteps
	if d == postgresDialect {
		s.batch = batch{commit: s.insertTogether}
	}
	s.subjects.query, s.shown.query = s.askSubjects, s.askShown
	s.subjectByID, s.subjectWithinByID = d.usersByID(subjectColumns, ""), d.usersByID(subjectColumns+withinColumn, "")
	s.shownByID = d.usersByID(`u.id, u.doc, u.version, u.created_at, u.modified_at, `+d.groupsOfUser, ` AND u.connection_id = ?`)
	if s.now == nil {
		s.now = time.Now
	}
	read.now, write.now = s.now, s.now
	if err := checkSchema(ctx, write.db.DB, d); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close ends the connections to the database.
func (s *Store) Close() error {
	s.background.Wait()
	if s.pool == s.write {
		return s.write.close()
	}
	return errors.Join(s.pool.close(), s.write.close())
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return s.get(ctx, &one, `SELECT 1`)
}

// Now is the store's clock.
func (s *Store) Now() time.Time { return s.now() }

// reader asks questions, on the pool or inside a transaction.
type reader struct {
	pool *pool
	work *work // nil outside a transaction
}

// work is a transaction, open or still to be begun.
type work struct {
	tx    *sqlx.Tx
	begin func(context.Context, *work) error
	// slot is which of the store's slots it holds, until release.
	slot    int
	release func()
	// before runs what has to be done before the next statement.
	before func(context.Context) error
	// alone transactions use no statement that is prepared for all.
	alone bool
	// own are the statements by their queries that were prepared for the transaction,
	// on its own connection. They end with it.
	own map[string]*sqlx.Stmt
	// group is the one that several change in the transaction, see atonce.go.
	group *Group
}

// ready is called before every statement.
func (w *work) ready(ctx context.Context) error {
	if w.tx == nil {
		if err := w.begin(ctx, w); err != nil {
			return err
		}
	}
	return w.before(ctx)
}

// end rolls back, if the transaction is not at its end, and frees the slot. What was
// new to it is prepared for all.
func (w *work) end(p *pool) {
	if w.tx != nil {
		_ = w.tx.Rollback() // done already, or nothing more can be done
	}
	if w.release != nil {
		w.release()
	}
	for query := range w.own {
		p.learn(query)
	}
}

// prepare gives the statement of a query without a second connection: others may
// have all of them, and wait for a row that this transaction has locked.
func (w *work) prepare(ctx context.Context, p *pool, query string) (*sqlx.Stmt, error) {
	if st := p.prepared(query); st != nil && !w.alone {
		return w.tx.StmtxContext(ctx, st), nil
	}
	if st := w.own[query]; st != nil {
		return st, nil
	}
	st, err := w.tx.PreparexContext(ctx, p.db.Rebind(query))
	if err != nil {
		return nil, err
	}
	if w.own == nil {
		w.own = map[string]*sqlx.Stmt{}
	}
	w.own[query] = st
	return st, nil
}

// context is what a statement runs under. In a transaction that is not the
// caller's: a statement that is broken off would take the whole of it along, and
// on SQLite also the others of its batch.
func (r reader) context(ctx context.Context) context.Context {
	if r.work == nil {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// row reads one row into dst, column by column.
func (r reader) row(ctx context.Context, dst []any, query string, args ...any) error {
	st, release, err := r.prepare(ctx, query)
	if err != nil {
		return r.pool.dialect.classify(err)
	}
	defer release()
	// Watching for the end of ctx takes longer than reading a row. The databases
	// end what takes too long, and a dead connection is noticed (dialer).
	err = st.Stmt.QueryRowContext(context.WithoutCancel(ctx), args...).Scan(dst...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return r.pool.dialect.classify(err)
}

// get reads one row into dst: a struct by its db tags, or a single value.
func (r reader) get(ctx context.Context, dst any, query string, args ...any) error {
	st, release, err := r.prepare(ctx, query)
	if err != nil {
		return r.pool.dialect.classify(err)
	}
	defer release()
	err = st.GetContext(r.context(ctx), dst, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return r.pool.dialect.classify(err)
}

// list reads all rows into dst, a pointer to a slice.
func (r reader) list(ctx context.Context, dst any, query string, args ...any) error {
	st, release, err := r.prepare(ctx, query)
	if err != nil {
		return r.pool.dialect.classify(err)
	}
	defer release()
	return r.pool.dialect.classify(st.SelectContext(r.context(ctx), dst, args...))
}

// each calls f for every row; what f scanned is not kept.
func (r reader) each(ctx context.Context, f func(*sqlx.Rows) error, query string, args ...any) error {
	st, release, err := r.prepare(ctx, query)
	if err != nil {
		return r.pool.dialect.classify(err)
	}
	defer release()
	rows, err := st.QueryxContext(r.context(ctx), args...)
	if err != nil {
		return r.pool.dialect.classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return r.pool.dialect.classify(rows.Err())
}

// prepare gives the prepared statement of a query with ? placeholders, in the
// transaction if there is one.
func (r reader) prepare(ctx context.Context, query string) (st *sqlx.Stmt, release func(), err error) {
	if r.work == nil {
		return r.pool.prepare(ctx, query)
	}
	if err := r.work.ready(ctx); err != nil {
		return nil, nil, err
	}
	st, err = r.work.prepare(r.context(ctx), r.pool, query)
	return st, func() {}, err
}

// DB is the pool that reads go to, for statistics only.
func (s *Store) DB() *sql.DB { return s.pool.db.DB }
