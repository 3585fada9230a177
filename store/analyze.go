package store

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// PostgreSQL chooses plans for a table that it has never analyzed by guesses, and
// keeps them in every session. With the tenant in front of every index the guess
// is often the wrong index, which reads everything the tenant has. Autovacuum
// mends that, but comes by once a minute, and an initial cycle writes 100,000 rows
// in a minute. So fresh tables are analyzed as soon as they have grown.

// analyzeEvery is how many written rows it takes to look at the tables again.
const analyzeEvery = 2000

// growth counts written rows, on PostgreSQL until every table has been analyzed.
type growth struct {
	rows    atomic.Int64
	running atomic.Bool
	settled atomic.Bool
}

// grew counts rows, and now and then does in the background what many new ones ask
// for: fresh tables are analyzed, or the log of an SQLite file is copied into it.
func (s *Store) grew(rows int) {
	g := &s.growth
	every, do := int64(analyzeEvery), s.analyze
	if s.write.dialect == sqliteDialect {
		every, do = checkpointEvery, s.checkpoint
	}
	if g.settled.Load() || g.rows.Add(int64(rows)) < every || !g.running.CompareAndSwap(false, true) {
		return
	}
	g.rows.Store(0)
	s.background.Go(func() {
		defer g.running.Store(false)
		do()
	})
}

func (s *Store) analyze() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.analyzeFresh(ctx); err != nil {
		slog.Warn("fresh tables not analyzed", "error", err)
	}
}

// analyzeFresh analyzes the tables that never were and are no longer small: for a
// small one the best plan is to read it all, and that plan would be kept. One that
// looked empty is fresh, too: whoever was filling it hadn't committed.
func (s *Store) analyzeFresh(ctx context.Context) error {
	var tables []struct {
		Name  string `db:"relname"`
		Large bool   `db:"large"`
	}
	err := s.list(ctx, &tables, `SELECT relname, pg_relation_size(oid) >= 50 * 8192 AS large FROM pg_class
		WHERE relname IN ('users', 'user_emails', 'user_words', 'groups', 'members') AND reltuples <= 0
		AND relnamespace = CAST(current_schema() AS regnamespace)`)
	if err != nil {
		return err
	}
	s.growth.settled.Store(len(tables) == 0)
	for _, t := range tables {
		if !t.Large {
			continue
		}
		if _, err := s.write.db.ExecContext(ctx, `ANALYZE `+t.Name); err != nil {
			return err
		}
	}
	return nil
}
