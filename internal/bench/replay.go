package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

func replayJob(z sizes) job {
	return job{name: "replay", goal: "P9", title: fmt.Sprintf("replay of %d users, %d groups, %d members", z.replayed, 10*z.replayed/replayedGroup(z.replayed), 10*z.replayed),
		conns: 8, by: byTime, target: atMost(60 * float64(z.replayed) / 100_000).ofFigure(), rows: replayRows}
}

// directoryReplay is a whole directory as an identity provider sends it at first:
// it asks for each user and group by name, makes what isn't there, and adds the
// members in large PATCHes.
type directoryReplay struct {
	*directory
	conns   int
	groups  []string // ids
	members int      // of each group, and of each PATCH
	total   measured
}

// replayedGroup is how many members each group of a replay of n users has.
func replayedGroup(n int) int { return min(1_000, n/2) }

// replay sends n users, and groups that each user is in ten of.
func replay(ctx context.Context, d *directory, n, conns int) (*directoryReplay, error) {
	p := &directoryReplay{directory: d, conns: conns, members: replayedGroup(n)}
	d.users = make([]string, n)
	p.groups = make([]string, 10*n/p.members)
	name := func(i int) string { return fmt.Sprintf("Replayed %d", i) }
	start, cpu := time.Now(), cpuTime(d.pids)
	err := p.phase(ctx, n, func(i int) request {
		r := find("/Users", "userName", userName(i)+"@example.test", 0)
		create := createUser(userName(i), &d.users[i])
		r.then = &create
		return r
	})
	if err == nil {
		err = p.phase(ctx, len(p.groups), func(i int) request {
			r := find("/Groups", "displayName", name(i), 0)
			create := createGroup(name(i), &p.groups[i])
			r.then = &create
			return r
		})
	}
	if err == nil {
		err = p.phase(ctx, len(p.groups), func(i int) request { return d.patch(p.groups[i], addMembers(p.membersOf(i)...)) })
	}
	took := time.Since(start)
	p.total.Rate = float64(p.total.Requests) / took.Seconds()
	p.total.CPU = (cpuTime(d.pids) - cpu) / time.Duration(max(1, p.total.Requests))
	return p, err
}

func (p *directoryReplay) phase(ctx context.Context, n int, next func(i int) request) error {
	m, err := run(ctx, p.server, load{conns: p.conns, limit: time.Hour, requests: n, next: next})
	p.total.Requests += m.Requests
	return err
}

// membersOf spreads the groups over the users, so that each is in ten.
func (p *directoryReplay) membersOf(group int) []string {
	ids := make([]string, p.members)
	for i := range ids {
		ids[i] = p.users[(group*p.members+i)%len(p.users)]
	}
	return ids
}

// verify reads everything back.
func (p *directoryReplay) verify() error {
	for path, want := range map[string]int{"/Users": len(p.users), "/Groups": len(p.groups)} {
		_, err := p.ask(request{method: "GET", path: path + "?count=0", status: 200, check: func(body []byte) error {
			return results(body, want)
		}})
		if err != nil {
			return err
		}
	}
	return p.verifyMembers()
}

func (p *directoryReplay) verifyMembers() error {
	for i, id := range p.groups {
		if err := p.checkMembers(id, p.membersOf(i)); err != nil {
			return err
		}
	}
	return nil
}

// replayRows replays a directory on both servers, and looks at what a server with
// such a directory takes to start and to hold.
func replayRows(ctx context.Context, w *world, j job) ([]row, error) {
	ours, err := w.gatehouse(ctx, "replay")
	if err != nil {
		return nil, err
	}
	floor, err := w.newFloor(ctx, "floor-replay")
	if err != nil {
		return nil, err
	}
	sent, err := replay(ctx, ours, w.replayed, j.conns)
	if err != nil {
		return nil, err
	}
	if err := sent.verify(); err != nil {
		return nil, err
	}
	least, err := replay(ctx, floor, w.replayed, j.conns)
	if err != nil {
		return nil, err
	}
	j.total = sent.total.Requests
	rows := []row{j.row([]round{{Ours: sent.total, Against: least.total}}, nil)}

	held, err := memory(ours.cmd.Process.Pid, residentMemory)
	if err != nil {
		return rows, err
	}
	what := fmt.Sprintf("%d users and %d members", w.replayed, len(sent.groups)*sent.members)
	rows = append(rows, job{goal: "P16", title: "resident memory after the replay of " + what}.value(mebi(held), "MiB"))
	if err := errors.Join(ours.stop(), ours.settle(ctx, ours.url)); err != nil {
		return rows, err
	}
	first := request{method: "GET", path: "/Users/" + ours.users[0], status: 200}
	starts, err := startRows(ctx, w, what, atMost(400).ofFigure(), atMost(80).ofFigure(), func(context.Context) (database, base, token string, err error) {
		return ours.url, ours.base, ours.token, nil
	}, first)
	return append(rows, starts...), err
}
