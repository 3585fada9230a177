package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// directory is how many users there are when reads are measured.
const directory = 100_000

// job is one comparison: ours against the floor, or against ourselves with less
// data, which shows whether a cost grows.
type job struct {
	name  string // for -only
	title string
	conns int
	// Exactly one of these says what is judged; none, that the job is only shown.
	atLeast float64 // our requests per second over the other side's
	atMost  float64 // our median latency over the other side's
	// slow jobs are left out by -quick.
	slow    bool
	prepare func(ctx context.Context, w *world) (ours, against side, err error)
}

// side is one of the two loads of a job.
type side struct {
	name   string
	server *server
	next   func(i int) request
	// after checks, when a round is over, what single answers can't show; may be nil.
	after func() error
}

var jobs = []job{
	{name: "read", title: "GET /Users/{id}", conns: 8, atLeast: 0.7, prepare: readJob},
	{name: "read", title: "GET /Users/{id}", conns: 1, prepare: readJob},
	{name: "filter", title: "userName eq, against GET by id", conns: 1, atMost: 1.3, prepare: filterJob},
	{name: "group-head", title: "GET group without members, 50,000 against 10", conns: 1, atMost: 1.15, prepare: groupHeadJob(50_000)},
	{name: "patch-add", title: "PATCH add one member, 50,000 against 10", conns: 1, atMost: 1.15, prepare: patchJob("add", 50_000)},
	{name: "patch-remove", title: "PATCH remove one member, 50,000 against 10", conns: 1, atMost: 1.15, prepare: patchJob("remove", 50_000)},
	{name: "create", title: "POST /Users", conns: 8, atLeast: 0.5, prepare: createJob},
	{name: "create", title: "POST /Users", conns: 32, atLeast: 0.5, prepare: createJob},
	{name: "create", title: "POST /Users", conns: 1, prepare: createJob},
	{name: "patch-add", title: "PATCH add one member, 200,000 against 10", conns: 1, atMost: 1.15, slow: true, prepare: patchJob("add", 200_000)},
	{name: "patch-remove", title: "PATCH remove one member, 200,000 against 10", conns: 1, atMost: 1.15, slow: true, prepare: patchJob("remove", 200_000)},
}

// world is both servers on one database, and what has been put into them. It
// grows as jobs ask for it, so that -only pays for one job alone.
type world struct {
	ours, floor *server
	// settle lets the database do now what it would do by itself within minutes
	// of a large load.
	settle func(ctx context.Context) error
	note   func(format string, args ...any)

	users      []string // ids; the i-th is called userName(i)
	floorUsers []string
	groups     map[int]string // size to id
	created    atomic.Int64
}

func userName(i int) string { return fmt.Sprintf("user%06d", i) }

// needUsers creates users over SCIM until there are n.
func (w *world) needUsers(ctx context.Context, n int) (err error) {
	w.users, err = w.seed(ctx, w.ours, w.users, n)
	return err
}

// needFloorUsers gives the floor as many documents to search among as we have.
func (w *world) needFloorUsers(ctx context.Context, n int) (err error) {
	w.floorUsers, err = w.seed(ctx, w.floor, w.floorUsers, n)
	return err
}

func (w *world) seed(ctx context.Context, s *server, ids []string, n int) ([]string, error) {
	from := len(ids)
	if from >= n {
		return ids, nil
	}
	ids = append(ids, make([]string, n-from)...)
	m, err := run(ctx, s, load{conns: 8, limit: time.Hour, requests: n - from, next: func(i int) request {
		name := userName(from + i)
		return request{method: "POST", path: "/Users", body: userBody(name), status: 201, check: func(body []byte) (err error) {
			ids[from+i], err = sameUser(body, name)
			return err
		}}
	}})
	if err != nil {
		return nil, fmt.Errorf("create users: %w", err)
	}
	w.note("%s: %d users over 8 connections, %.0f/s, CPU %s each", s.name, n-from, m.Rate, micros(m.CPU))
	return ids, w.settle(ctx)
}

// group gives a group that has the first so many users as members.
func (w *world) group(ctx context.Context, size int) (id string, err error) {
	if id, ok := w.groups[size]; ok {
		return id, nil
	}
	// One more user than members, to be added and removed.
	if err := w.needUsers(ctx, max(size+1, directory)); err != nil {
		return "", err
	}
	c := &conn{server: w.ours}
	defer c.close()
	name := fmt.Sprintf("Site %d Operators", size)
	body, _, err := c.answered(request{method: "POST", path: "/Groups", status: 201,
		body: fmt.Appendf(nil, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":%q}`, name)})
	if err != nil {
		return "", err
	}
	if id, err = resourceID(body); err != nil {
		return "", err
	}

	const chunk = 1_000
	start := time.Now()
	_, err = run(ctx, w.ours, load{conns: 4, limit: time.Hour, requests: (size + chunk - 1) / chunk, next: func(i int) request {
		members := w.users[i*chunk : min((i+1)*chunk, size)]
		return request{method: "PATCH", path: "/Groups/" + id, body: addMembers(members...), status: 204}
	}})
	if err != nil {
		return "", fmt.Errorf("fill a group of %d: %w", size, err)
	}
	if size >= chunk {
		took := time.Since(start)
		w.note("gatehouse: group of %d in PATCHes of %d over 4 connections, %.0f members/s", size, chunk, float64(size)/took.Seconds())
	}
	if err := checkMembers(w.ours, id, size); err != nil {
		return "", err
	}
	if w.groups == nil {
		w.groups = map[int]string{}
	}
	w.groups[size] = id
	return id, w.settle(ctx)
}

func addMembers(ids ...string) []byte {
	values := make([]string, len(ids))
	for i, id := range ids {
		values[i] = `{"value":"` + id + `"}`
	}
	return patchBody(`{"op":"add","path":"members","value":[` + strings.Join(values, ",") + `]}`)
}

func removeMember(id string) []byte {
	return patchBody(`{"op":"remove","path":"members[value eq \"` + id + `\"]"}`)
}

// checkMembers reads the whole group and counts.
func checkMembers(s *server, group string, size int) error {
	c := &conn{server: s}
	defer c.close()
	_, _, err := c.answered(request{method: "GET", path: "/Groups/" + group, status: 200, check: func(body []byte) error {
		return groupWith(body, group, size)
	}})
	return err
}

// createJob makes a new user with each request; the floor does one insert and one commit.
func createJob(_ context.Context, w *world) (ours, against side, err error) {
	next := func(int) request {
		name := fmt.Sprintf("new%08d", w.created.Add(1))
		return request{method: "POST", path: "/Users", body: userBody(name), status: 201, check: func(body []byte) error {
			_, err := sameUser(body, name)
			return err
		}}
	}
	return side{name: "ours", server: w.ours, next: next}, side{name: "floor", server: w.floor, next: next}, nil
}

// readJob reads users all over the directory; the floor does one indexed select.
func readJob(ctx context.Context, w *world) (ours, against side, err error) {
	if err := errors.Join(w.needUsers(ctx, directory), w.needFloorUsers(ctx, directory)); err != nil {
		return side{}, side{}, err
	}
	return side{name: "ours", server: w.ours, next: readUsers(w.users)}, side{name: "floor", server: w.floor, next: readUsers(w.floorUsers)}, nil
}

func readUsers(ids []string) func(i int) request {
	return func(i int) request {
		n := scatter(i, len(ids))
		return request{method: "GET", path: "/Users/" + ids[n], status: 200, check: func(body []byte) error {
			id, err := sameUser(body, userName(n))
			if err == nil && id != ids[n] {
				err = fmt.Errorf("user %s, want %s", id, ids[n])
			}
			return err
		}}
	}
}

// filterJob finds one user by name among all, as identity providers do before
// each write; the other side reads one by id.
func filterJob(ctx context.Context, w *world) (ours, against side, err error) {
	if err := w.needUsers(ctx, directory); err != nil {
		return side{}, side{}, err
	}
	find := func(i int) request {
		n := scatter(i, len(w.users))
		filter := url.QueryEscape(fmt.Sprintf(`userName eq "%s@example.test"`, userName(n)))
		return request{method: "GET", path: "/Users?filter=" + filter, status: 200, check: func(body []byte) error {
			return onlyUser(body, w.users[n])
		}}
	}
	return side{name: "filter", server: w.ours, next: find}, side{name: "by id", server: w.ours, next: readUsers(w.users)}, nil
}

// scatter walks over all n in an order without neighbours, so that no cache of
// the last pages makes reads look cheaper than they are.
func scatter(i, n int) int {
	const prime = 7_368_787
	return i * prime % n
}

// groupHeadJob reads what Entra reads before each change of a group.
func groupHeadJob(size int) func(context.Context, *world) (ours, against side, err error) {
	return groupPair(size, func(_ *world, group string, _ int) side {
		return side{next: func(int) request {
			return request{method: "GET", path: "/Groups/" + group + "?excludedAttributes=members", status: 200, check: func(body []byte) error {
				return groupWith(body, group, 0)
			}}
		}}
	})
}

// patchJob adds and removes one person in turn, so that the group keeps its
// size; only op is timed. When a round is over, both must still do what they say.
func patchJob(op string, size int) func(context.Context, *world) (ours, against side, err error) {
	return groupPair(size, func(w *world, group string, size int) side {
		path, person := "/Groups/"+group, w.users[size]
		add := request{method: "PATCH", path: path, body: addMembers(person), status: 204, aside: op != "add"}
		remove := request{method: "PATCH", path: path, body: removeMember(person), status: 204, aside: op != "remove"}
		return side{
			next: func(i int) request {
				if i%2 == 0 {
					return add
				}
				return remove
			},
			// A 204 shows nothing, so the group itself is asked after one more of each.
			after: func() error {
				c := &conn{server: w.ours}
				defer c.close()
				for _, step := range []struct {
					request request
					members int
				}{{add, size + 1}, {remove, size}} {
					if _, _, err := c.answered(step.request); err != nil {
						return err
					}
					if err := checkMembers(w.ours, group, step.members); err != nil {
						return err
					}
				}
				return nil
			},
		}
	})
}

// groupPair makes the same load for a group of that size and for one of 10.
func groupPair(size int, make func(w *world, group string, size int) side) func(context.Context, *world) (ours, against side, err error) {
	const small = 10
	return func(ctx context.Context, w *world) (ours, against side, err error) {
		large, err := w.group(ctx, size)
		if err != nil {
			return side{}, side{}, err
		}
		little, err := w.group(ctx, small)
		if err != nil {
			return side{}, side{}, err
		}
		ours, against = make(w, large, size), make(w, little, small)
		ours.name, ours.server = fmt.Sprint(size), w.ours
		against.name, against.server = fmt.Sprint(small), w.ours
		return ours, against, nil
	}
}

// round is both sides, measured one after the other.
type round struct {
	Ours    measured `json:"ours"`
	Against measured `json:"against"`
}

// ratio is the one that the job is judged by.
func (j job) ratio(r round) float64 {
	if j.atMost > 0 {
		return float64(r.Ours.P50) / float64(r.Against.P50)
	}
	return r.Ours.Rate / r.Against.Rate
}

// rounds measures both sides in turn, each for length, after a short warm-up
// that isn't counted.
func (j job) rounds(ctx context.Context, w *world, n int, length time.Duration) ([]round, error) {
	ours, against, err := j.prepare(ctx, w)
	if err != nil {
		return nil, err
	}
	measure := func(s side, length time.Duration) (measured, error) {
		m, err := run(ctx, s.server, load{conns: j.conns, limit: length, next: s.next})
		if err == nil && s.after != nil {
			err = s.after()
		}
		return m, err
	}
	for _, s := range []side{ours, against} {
		if _, err := measure(s, max(length/5, 200*time.Millisecond)); err != nil {
			return nil, err
		}
	}
	var all []round
	for range n {
		var r round
		if r.Ours, err = measure(ours, length); err != nil {
			return nil, err
		}
		if r.Against, err = measure(against, length); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, ctx.Err()
}

// middle is the round with the median ratio, so that the figures shown beside a
// ratio are those it was made of.
func (j job) middle(rounds []round) round {
	sorted := slices.Clone(rounds)
	slices.SortFunc(sorted, func(a, b round) int {
		if j.ratio(a) < j.ratio(b) {
			return -1
		}
		return 1
	})
	return sorted[len(sorted)/2]
}
