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
	if j.err == nil {
		for _, f := range j.after {
			f()
		}
	}
	return j.err
}

func (j *job) failed() bool { return j.err != nil || j.panicked != nil }

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
	fail := func(err error) {
		for _, j := range jobs {
			if !j.failed() {
				j.err = err
			}
		}
	}
	w := &work{}
	// An open transaction would hold its locks for ever.
	defer w.rollback()
	var err error
	if w.tx, err = s.begin(); err != nil {
		fail(err)
		return
	}

	savepoints := len(jobs) > 1
	for _, j := range jobs {
		if savepoints {
			if _, err := w.tx.Exec(`SAVEPOINT job`); err != nil {
				fail(s.write.dialect.classify(err))
				return
			}
		}
		s.run(w, j)
		if !savepoints {
			break
		}
		end := `RELEASE job`
		if j.failed() {
			end = `ROLLBACK TO job`
		}
		if _, err := w.tx.Exec(end); err != nil {
			// The database has given up the whole transaction, for want of room on the disk perhaps.
			fail(fmt.Errorf("%w: %w", ErrUnavailable, err))
			return
		}
	}
	if !savepoints && jobs[0].failed() {
		return
	}
	if err := w.tx.Commit(); err != nil {
		fail(fmt.Errorf("commit: %w", s.write.dialect.classifyCommit(err)))
	}
}
