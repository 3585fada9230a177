package store

import (
	"context"
	"fmt"
	"sync"
)

// job is one call of Write on its way into a transaction.
type job struct {
	actor Actor
	f     func(*Tx) error

	err      error
	panicked any
	after    []func()

	done chan struct{}
	// lead asks the caller to commit the next batch.
	lead chan struct{}
}

// outcome is what the caller of Write gets.
func (j *job) outcome() error {
	if j.panicked != nil {
		panic(j.panicked)
	}
	return j.err
}

// maxBatch bounds the jobs of a transaction, and so the wait of the first.
const maxBatch = 64

// batch commits the writes that wait for SQLite's one writer together: a commit
// waits for the disk, and one wait serves all. Each job stands in a savepoint,
// so that it succeeds or fails on its own. Nobody waits for a batch to fill.
type batch struct {
	mu      sync.Mutex
	leading bool
	queue   []*job
}

func (b *batch) do(ctx context.Context, s *Store, j *job) error {
	j.done, j.lead = make(chan struct{}), make(chan struct{})
	b.mu.Lock()
	b.queue = append(b.queue, j)
	first := !b.leading
	b.leading = true
	b.mu.Unlock()

	if !first {
		select {
		case <-j.done:
			return j.outcome()
		case <-j.lead:
		case <-ctx.Done():
			if b.leave(j) {
				return s.write.dialect.classify(ctx.Err())
			}
			select { // too late: it has begun, or it is our turn to lead
			case <-j.done:
				return j.outcome()
			case <-j.lead:
			}
		}
	}

	b.mu.Lock()
	n := min(len(b.queue), maxBatch)
	jobs := b.queue[:n:n]
	b.queue = b.queue[n:]
	b.mu.Unlock()
	s.commit(jobs)
	for _, j := range jobs {
		close(j.done)
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		b.leading, b.queue = false, nil
	} else {
		close(b.queue[0].lead)
	}
	return j.outcome()
}

// leave takes a job out of the queue, unless it is at its head or gone.
func (b *batch) leave(j *job) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, waiting := range b.queue {
		if waiting == j && i > 0 {
			b.queue = append(b.queue[:i:i], b.queue[i+1:]...)
			return true
		}
	}
	return false
}

// commit runs jobs in one transaction.
func (s *Store) commit(jobs []*job) {
	d := s.write.dialect
	fail := func(err error) {
		for _, j := range jobs {
			if j.err == nil && j.panicked == nil {
				j.err = err
			}
		}
	}
	sqlTx, err := s.begin()
	if err != nil {
		fail(err)
		return
	}
	// An open transaction would hold its locks for ever.
	defer func() { _ = sqlTx.Rollback() }()

	written := false
	for _, j := range jobs {
		if len(jobs) == 1 {
			s.run(sqlTx, j)
			written = j.err == nil && j.panicked == nil
			continue
		}
		if _, err := sqlTx.Exec(`SAVEPOINT job`); err != nil {
			fail(d.classify(err))
			return
		}
		s.run(sqlTx, j)
		end := `RELEASE job`
		if j.err != nil || j.panicked != nil {
			end = `ROLLBACK TO job`
		} else {
			written = true
		}
		if _, err := sqlTx.Exec(end); err != nil {
			// The database has given up the whole transaction, a full disk for example.
			fail(fmt.Errorf("%w: %w", ErrUnavailable, err))
			return
		}
	}
	if !written {
		return
	}
	if err := sqlTx.Commit(); err != nil {
		fail(fmt.Errorf("commit: %w", d.classifyCommit(err)))
		return
	}
	for _, j := range jobs {
		if j.err == nil && j.panicked == nil {
			for _, f := range j.after {
				f()
			}
		}
	}
}
