package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
)

// maxStatements bounds the prepared statements of a pool. Our own queries are a
// few dozen; filters add one for each shape that clients use, and values are
// never part of a shape.
const maxStatements = 500

// pool is a set of connections with the statements prepared on them. Nobody waits
// for a connection that somebody else uses while holding one, or the lock of the
// pool: the other one may wait for a row that oneself has locked.
type pool struct {
	dialect *dialect
	db      *sqlx.DB

	mu sync.RWMutex
	// stmts are what is prepared for all by its query, nil while somebody is at it.
	stmts      map[string]*sqlx.Stmt
	background sync.WaitGroup

	now     func() time.Time
	anchors anchors
}

func newPool(d *dialect, db *sqlx.DB) *pool {
	return &pool{dialect: d, db: db, stmts: map[string]*sqlx.Stmt{}, now: time.Now}
}

// prepare gives the statement for a query with ? placeholders. One that is not there
// yet is prepared on a connection for the caller alone, and from then on for all. Call
// release when it is no longer needed.
func (p *pool) prepare(ctx context.Context, query string) (st *sqlx.Stmt, release func(), err error) {
	if st := p.prepared(query); st != nil {
		return st, func() {}, nil
	}
	return p.prepareAlone(ctx, query)
}

// prepareAlone prepares a statement on a connection for the caller alone.
func (p *pool) prepareAlone(ctx context.Context, query string) (st *sqlx.Stmt, release func(), err error) {
	conn, err := p.db.Connx(ctx)
	if err != nil {
		return nil, nil, err
	}
	if st, err = conn.PreparexContext(ctx, p.db.Rebind(query)); err != nil {
		conn.Close()
		return nil, nil, err
	}
	return st, func() {
		st.Close()
		conn.Close()
		p.learn(query)
	}, nil
}

// prepared gives the statement that is there for all; nil if there is none.
func (p *pool) prepared(query string) *sqlx.Stmt {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.stmts[query]
}

// learn prepares a query for all, in the background: it takes a connection, which the
// caller has no need to wait for. None that it prepared is closed before the end, since
// that waits for whoever uses the connection then.
func (p *pool) learn(query string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, there := p.stmts[query]; there || len(p.stmts) >= maxStatements {
		return
	}
	p.stmts[query] = nil
	p.background.Go(func() {
		st, err := p.db.Preparex(p.db.Rebind(query))
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.stmts[query] = st; err != nil {
			delete(p.stmts, query) // whoever asks next tries again
		}
	})
}

func (p *pool) close() error {
	p.background.Wait()
	var errs []error
	for _, st := range p.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, p.db.Close())...)
}
