package store

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// job is one call of Write on its way into a transaction.
type job struct {
	actor Actor
	f     func(*Tx) error
	long  bool // see WriteLong

	err      error
	panicked any
	after    []func()
	amends   []amends
	// What is left to be written, by others, when the job is one of inserts alone.
	waiting []statement
	sizes   sizeDeltas
	change  ChangeID

	done chan struct{}
	// lead gives the caller a batch to commit, of which the job is one.
	lead chan []*job
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

// caught keeps a panic for the caller, perhaps in another goroutine, with where it was.
func (j *job) caught() {
	if p := recover(); p != nil {
		j.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
	}
}

func (j *job) failed() bool { return j.err != nil || j.panicked != nil }

// maxBatch bounds the jobs of a transaction, and so the wait of the first.
const maxBatch = 64

// batch commits the writes that wait together: a commit waits for the disk, and
// one wait serves all. Nobody waits for a batch to fill: whoever finds nobody
// committing commits alone, and what arrives meanwhile is the next batch.
type batch struct {
	commit func(jobs []*job)

	mu      sync.Mutex
	leading bool
	queue   []*job
	// long says that the last batch was a long job, and rest until when the next one
	// stays away, so that those who waited for it have as much time as it took.
	long bool
	rest time.Time
	// longs lets one long job at a time into the queue.
	longs sync.Mutex
}

// doLong is do for a long job, once it may go on.
func (b *batch) doLong(ctx context.Context, s *Store, j *job) error {
	b.longs.Lock()
	defer b.longs.Unlock()
	b.mu.Lock()
	rest := time.Until(b.rest)
	b.mu.Unlock()
	select {
	case <-time.After(rest):
		return b.do(ctx, s, j)
	case <-ctx.Done():
		return s.write.dialect.classify(ctx.Err())
	}
}

func (b *batch) do(ctx context.Context, s *Store, j *job) error {
	j.done, j.lead = make(chan struct{}), make(chan []*job, 1)
	b.mu.Lock()
	b.queue = append(b.queue, j)
	if !b.leading {
		b.leading = true
		j.lead <- b.next()
	}
	b.mu.Unlock()

	var jobs []*job
	select {
	case <-j.done:
		return j.outcome()
	case jobs = <-j.lead:
	case <-ctx.Done():
		if b.leave(j) {
			return s.write.dialect.classify(ctx.Err())
		}
		select { // too late: it is in a batch, or it is our turn to lead
		case <-j.done:
			return j.outcome()
		case jobs = <-j.lead:
		}
	}

	began := time.Now()
	b.commit(jobs)
	for _, j := range jobs {
		close(j.done)
	}
	b.mu.Lock()
	if jobs[0].long && len(b.queue) > 0 {
		b.rest = time.Now().Add(time.Since(began))
	}
	if len(b.queue) == 0 {
		b.leading = false
	} else {
		next := b.next()
		next[0].lead <- next
	}
	b.mu.Unlock()
	return j.outcome()
}

// next takes a batch out of the queue. A long job is a batch of its own, and takes
// turns with all others.
func (b *batch) next() []*job {
	first := slices.IndexFunc(b.queue, func(j *job) bool { return j.long })
	others := first < 0 || b.long && slices.ContainsFunc(b.queue, func(j *job) bool { return !j.long })
	b.long = !others
	if !others {
		jobs := []*job{b.queue[first]}
		b.queue = slices.Delete(b.queue, first, first+1)
		return jobs
	}
	var jobs, rest []*job
	for _, j := range b.queue {
		if !j.long && len(jobs) < maxBatch {
			jobs = append(jobs, j)
		} else {
			rest = append(rest, j)
		}
	}
	b.queue = rest
	return jobs
}

// leave takes a job out of the queue, if it is still there.
func (b *batch) leave(j *job) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, waiting := range b.queue {
		if waiting == j {
			b.queue = append(b.queue[:i:i], b.queue[i+1:]...)
			return true
		}
	}
	return false
}

// commit runs jobs in one transaction, each in a savepoint, so that it succeeds or
// fails on its own.
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
	defer w.end(s.write)
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
		fail(fmt.Errorf("commit: %w", s.write.dialect.classify(err)))
	}
}
