package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

func groupJobs(z sizes) []job {
	flat := atMost(1.15)
	list := []job{
		{name: "group-head", goal: "P8", title: fmt.Sprintf("GET group of %d without members, against GET user", z.group),
			conns: 1, by: byMedian, target: atMost(1.2), prepare: headAgainstUser},
		{name: "group-head", goal: "P8", title: fmt.Sprintf("GET group without members, %d against %d", z.group, smallGroup),
			conns: 1, by: byMedian, target: flat, prepare: groupPair(z.group, headSide)},
	}
	for _, op := range []string{"add", "remove"} {
		for _, size := range z.groups {
			list = append(list, job{name: "patch-" + op, goal: "P5", title: fmt.Sprintf("PATCH %s one member, %d against %d", op, size, smallGroup),
				conns: 1, by: byMedian, target: flat, prepare: groupPair(size, patchSide(op))})
		}
		list = append(list, job{name: "patch-" + op, goal: "P5", title: fmt.Sprintf("PATCH %s one member of %d, against the floor", op, z.group),
			conns: 1, by: byRate, target: atLeast(0.6), prepare: floorPair(z.group, patchSide(op))})
	}
	list = append(list,
		job{name: "patch-many", goal: "P6", title: fmt.Sprintf("PATCH one member of one group of %d, against the floor", z.group),
			conns: 16, by: byRate, target: atLeast(3_000).ofFigure(), prepare: manyJob},
		job{name: "build", goal: "P7", title: fmt.Sprintf("a group of %d by single PATCHes, from %d of them, against the floor", z.group, z.singles),
			conns: 1, by: byTime, requests: z.singles, total: z.group, target: atMost(1.8), prepare: buildJob(z.singles, 1)},
		job{name: "build", goal: "P7", title: fmt.Sprintf("a group of %d by PATCHes of %d, against the floor", z.group, z.chunk),
			conns: 1, by: byTime, requests: z.group / z.chunk, total: z.group / z.chunk, target: atMost(1.8), prepare: buildJob(z.group, z.chunk)},
	)
	for _, size := range z.streamed {
		list = append(list,
			job{name: "stream", goal: "P8", title: fmt.Sprintf("GET group of %d with members, against the floor", size),
				conns: 1, by: byMedian, target: atMost(1.5), prepare: floorPair(size, streamSide)},
			job{name: "stream", goal: "P8", title: fmt.Sprintf("memory beyond that of GET user, while a group of %d is read", size),
				target: atMost(4).ofFigure(), rows: streamMemory(size)})
	}
	return list
}

// sideOf makes a load on a group of that size.
type sideOf func(d *directory, group string, size int) side

// groupPair makes the same load for a group of that size and for a small one.
func groupPair(size int, load sideOf) pairing {
	return func(ctx context.Context, w *world) (ours, against side, err error) {
		if ours, err = onGroup(ctx, w.ours, size, load); err != nil {
			return ours, against, err
		}
		against, err = onGroup(ctx, w.ours, smallGroup, load)
		ours.name, against.name = fmt.Sprint(size), fmt.Sprint(smallGroup)
		return ours, against, err
	}
}

// floorPair makes the same load for groups of that size on both servers.
func floorPair(size int, load sideOf) pairing {
	return func(ctx context.Context, w *world) (ours, against side, err error) {
		if ours, err = onGroup(ctx, w.ours, size, load); err != nil {
			return ours, against, err
		}
		against, err = onGroup(ctx, w.floor, size, load)
		ours.name, against.name = "ours", "floor"
		return ours, against, err
	}
}

func onGroup(ctx context.Context, d *directory, size int, load sideOf) (side, error) {
	// One more user than members, to be added and removed.
	if err := d.needUsers(ctx, max(size+1, d.least)); err != nil {
		return side{}, err
	}
	group, err := d.group(ctx, size)
	return load(d, group, size), err
}

// headSide reads what Entra reads before each change of a group.
func headSide(d *directory, group string, _ int) side {
	r := request{method: "GET", path: "/Groups/" + group + "?excludedAttributes=members", status: 200, check: func(body []byte) error {
		return groupHead(body, group)
	}}
	return side{directory: d, next: func(int) request { return r }}
}

// headAgainstUser reads a group without its members; the other side reads users.
func headAgainstUser(ctx context.Context, w *world) (ours, against side, err error) {
	ours, err = onGroup(ctx, w.ours, w.sizes.group, headSide)
	ours.name = "group"
	return ours, side{directory: w.ours, name: "user", next: readUsers(w.ours.users)}, err
}

// streamSide reads a group with all its members, and counts them at the end of
// each round.
func streamSide(d *directory, group string, size int) side {
	r := request{method: "GET", path: "/Groups/" + group, status: 200}
	return side{directory: d, next: func(int) request { return r }, after: func() error {
		return d.checkMembers(group, d.users[:size])
	}}
}

// streamMemory is how much more memory of its own the server has at most while it reads
// a group than while it reads users, in the median of some tries.
func streamMemory(size int) func(context.Context, *world, job) ([]row, error) {
	return func(ctx context.Context, w *world, j job) ([]row, error) {
		s, err := onGroup(ctx, w.ours, size, streamSide)
		if err != nil {
			return nil, err
		}
		// The heap grows and is collected by itself, so that single figures say little.
		most := func(next func(int) request) (int64, error) {
			peak := watchMemory(w.ours.cmd.Process.Pid)
			_, err := run(ctx, w.ours.server, load{conns: 1, limit: w.round, next: next})
			return peak(), err
		}
		var beyond []int64
		for range memoryTries {
			users, err := most(readUsers(w.ours.users))
			if err != nil {
				return nil, err
			}
			members, err := most(s.next)
			if err != nil {
				return nil, err
			}
			beyond = append(beyond, members-users)
		}
		slices.Sort(beyond)
		return []row{j.value(mebi(beyond[memoryTries/2]), "MiB")}, nil
	}
}

// memoryTries is how often users and a group are read in turn.
const memoryTries = 5

// patchSide adds and removes one person in turn, so that the group keeps its
// size; only op is timed. When a round is over, both must still do what they say.
func patchSide(op string) sideOf {
	return func(d *directory, group string, size int) side {
		person := d.users[size]
		add, remove := d.patch(group, addMembers(person)), d.patch(group, removeMember(person))
		add.aside, remove.aside = op != "add", op != "remove"
		both := add
		both.then = &remove
		return side{
			directory: d,
			next:      func(int) request { return both },
			// A 204 shows nothing, so the group itself is asked after one more of each.
			after: func() error {
				for i, step := range []request{add, remove} {
					if _, err := d.ask(step); err != nil {
						return err
					}
					if err := d.checkMembers(group, d.users[:size+1-i]); err != nil {
						return err
					}
				}
				return nil
			},
		}
	}
}

// manyJob has many connections add people to one group, and remove them again.
func manyJob(ctx context.Context, w *world) (ours, against side, err error) {
	if ours, err = manySide(ctx, w, w.ours); err != nil {
		return ours, against, err
	}
	against, err = manySide(ctx, w, w.floor)
	ours.name, against.name = "ours", "floor"
	return ours, against, err
}

// manySide knows of each of the people who come and go whether they are in, as
// the answers say, and compares with the group itself when a round is over.
func manySide(ctx context.Context, w *world, d *directory) (side, error) {
	const people = 256 // more than there are connections
	size := w.sizes.group
	if err := d.needUsers(ctx, max(size+people, d.least)); err != nil {
		return side{}, err
	}
	group, err := d.newGroup()
	if err != nil {
		return side{}, err
	}
	if _, err := d.ask(d.patch(group, addMembers(d.users[:size]...))); err != nil {
		return side{}, err
	}
	if err := d.settle(ctx, d.url); err != nil {
		return side{}, err
	}

	idle := make(chan string, people) // those whom no request is about just now
	for _, id := range d.users[size : size+people] {
		idle <- id
	}
	var mu sync.Mutex
	in := map[string]bool{}
	return side{
		directory: d,
		next: func(int) request {
			id := <-idle
			mu.Lock()
			defer mu.Unlock()
			r := d.patch(group, addMembers(id))
			if in[id] {
				r = d.patch(group, removeMember(id))
			}
			r.check = func([]byte) error {
				mu.Lock()
				defer mu.Unlock()
				if in[id] {
					delete(in, id)
				} else {
					in[id] = true
				}
				idle <- id
				return nil
			}
			return r
		},
		after: func() error {
			return d.checkMembers(group, slices.AppendSeq(slices.Clone(d.users[:size]), maps.Keys(in)))
		},
	}, nil
}

// buildJob fills a new group in each round, so many members with a request.
func buildJob(members, chunk int) pairing {
	return func(ctx context.Context, w *world) (ours, against side, err error) {
		err = errors.Join(w.ours.needUsers(ctx, w.users), w.floor.needUsers(ctx, w.users))
		return buildSide(w.ours, "ours", members, chunk), buildSide(w.floor, "floor", members, chunk), err
	}
}

func buildSide(d *directory, name string, members, chunk int) side {
	var group string
	return side{
		directory: d, name: name,
		before: func() (err error) {
			group, err = d.newGroup()
			return err
		},
		next:  func(i int) request { return d.patch(group, addMembers(d.users[i*chunk:(i+1)*chunk]...)) },
		after: func() error { return d.checkMembers(group, d.users[:members]) },
	}
}
