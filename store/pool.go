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

// pool is a set of connections with the statements prepared on them.
type pool struct {
	dialect *dialect
	db      *sqlx.DB

	mu    sync.RWMutex
	stmts map[string]*sqlx.Stmt

	now     func() time.Time
	anchors anchors
}

func newPool(d *dialect, db *sqlx.DB) *pool {
	return &pool{dialect: d, db: db, stmts: map[string]*sqlx.Stmt{}, now: time.Now}
}

// prepare gives the statement for a query with ? placeholders. Call release when
// it is no longer needed.
func (p *pool) prepare(ctx context.Context, query string) (st *sqlx.Stmt, release func(), err error) {
	p.mu.RLock()
	st, room := p.stmts[query], len(p.stmts) < maxStatements
	p.mu.RUnlock()
	if st != nil {
		return st, func() {}, nil
	}

	st, err = p.db.PreparexContext(ctx, p.db.Rebind(query))
	if err != nil {
		return nil, nil, err
	}
	if !room {
		return st, func() { st.Close() }, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if first := p.stmts[query]; first != nil {
		st.Close()
		return first, func() {}, nil
	}
	p.stmts[query] = st
	return st, func() {}, nil
}

func (p *pool) close() error {
	var errs []error
	for _, st := range p.stmts {
		errs = append(errs, st.Close())
	}
	return errors.Join(append(errs, p.db.Close())...)
}
