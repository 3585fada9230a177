package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"gatehouse/store"
)

// sizes are how much data the jobs work on, and how long they measure.
type sizes struct {
	rounds int // of which the middle one counts: an odd number
	round  time.Duration

	users    int   // that reads, filters and lists search among
	fewUsers int   // of the small directory that POST is compared with
	group    int   // members of the group that all jobs on one group use
	groups   []int // members of those that are compared with a small one
	streamed []int // members of the groups that are read whole
	singles  int   // single PATCHes from which a group of that size is extrapolated
	chunk    int   // members of a PATCH that builds a group
	replayed int   // users of a replay, each in ten groups
	body     int   // bytes of the largest body
	// still is how long a list rests before pages deep in it are asked for: Gatehouse
	// remembers positions once what stands there is a minute old.
	still time.Duration
	// calm is how long at most a server may work on by itself before it is measured.
	calm time.Duration

	// What access is decided among: users, groups of which each has members many, and
	// sites. One group in four has a mapping.
	deciding, mapped, members, sites int

	// What the console shows: people, groups that are granted something, and sites. One
	// more group of previewed people gets something only in a preview.
	listed, granted, places, previewed int
	pages                              int // of the console that are opened in a browser, at most

	peerUsers  int   // in the peer's directory
	peerGroups []int // members of the groups that both have
}

// smallGroup is how many members the group has that others are compared with.
const smallGroup = 10

var (
	full = sizes{
		rounds: 3, round: 3 * time.Second, still: time.Minute, calm: time.Minute,
		users: 1_000_000, fewUsers: 1_000, group: 50_000, groups: []int{1_000, 50_000, 200_000}, streamed: []int{10_000, 200_000},
		singles: 5_000, chunk: 1_000, replayed: 100_000, body: 32<<20 - 1<<10,
		deciding: 100_000, mapped: 2_000, members: 500, sites: 1_000,
		listed: 100_000, granted: 1_500, places: 200, previewed: 5_000, pages: 1_000,
		peerUsers: 10_000, peerGroups: []int{1_000, 5_000},
	}
	quick = sizes{
		rounds: 3, round: time.Second, calm: time.Minute,
		users: 100_000, fewUsers: 1_000, group: 50_000, groups: []int{50_000}, streamed: []int{10_000},
		singles: 1_000, chunk: 1_000, replayed: 10_000, body: 32<<20 - 1<<10,
		deciding: 20_000, mapped: 400, members: 500, sites: 1_000,
		listed: 100_000, granted: 1_500, places: 200, previewed: 5_000, pages: 1_000,
		peerUsers: 1_000, peerGroups: []int{1_000},
	}
	tiny = sizes{
		rounds: 1, round: 50 * time.Millisecond,
		users: 1_000, fewUsers: 100, group: 200, groups: []int{200}, streamed: []int{300},
		singles: 20, chunk: 50, replayed: 200, body: 256 << 10,
		deciding: 200, mapped: 40, members: 50, sites: 30,
		listed: 3_000, granted: 30, places: 20, previewed: 100, pages: 2,
		peerUsers: 100, peerGroups: []int{50},
	}
)

// world is what the jobs work with: both servers on one kind of database, and
// those that jobs start beside them.
type world struct {
	sizes
	program string
	// newDatabase makes an empty database and gives its URL.
	newDatabase func(ctx context.Context, name string) (url string, err error)
	// settle lets a database do now what it would do by itself within minutes of
	// a large load.
	settle func(ctx context.Context, url string) error
	// shared are processes that work for every server: the database's.
	shared []int
	note   func(format string, args ...any)

	ours, floor *directory
	quiet       *directory // another tenant of ours; nil until it is needed
	peer        *directory // nil until it is needed
	product     *directory // what a product asks; nil until it is needed
	deciders    []string   // the ids of those it asks about
	console     *directory // what its owner's browser asks; nil until it is needed
	secret      string     // of her session
	proposed    string     // where she previews a mapping

	// The ids of all users in the order of lists, and a cursor that stands deep
	// among them; see walk.
	order  []string
	cursor string

	running []*server
	created atomic.Int64
}

// directory is a server and what has been put into it. It grows as jobs ask for
// it, so that -only pays for one job alone.
type directory struct {
	*server
	url    string // of its database
	note   func(format string, args ...any)
	settle func(ctx context.Context, url string) error
	// load writes users faster than over SCIM; nil where there is no other way.
	load func(ctx context.Context, from, to int) (ids []string, err error)
	// least is how many users are there whenever something is measured.
	least int
	// patched is how a PATCH is answered.
	patched int

	users  []string       // ids; the i-th is called userName(i)
	loaded time.Time      // when the last of them was made
	groups map[int]string // size to id
	made   atomic.Int64   // groups, for their names
}

// loadChunk is how many users go into one transaction when they are loaded.
const loadChunk = 1_000

func userName(i int) string { return fmt.Sprintf("user%06d", i) }

// gatehouse starts one more Gatehouse on an empty database.
func (w *world) gatehouse(ctx context.Context, name string, args ...string) (*directory, error) {
	url, err := w.newDatabase(ctx, name)
	if err != nil {
		return nil, err
	}
	s, err := startGatehouse(ctx, w.program, url, args...)
	if err != nil {
		return nil, err
	}
	d := w.directory(s, url)
	d.load = func(ctx context.Context, from, to int) ([]string, error) { return loadUsers(ctx, d, from, to) }
	return d, nil
}

// newFloor starts one more floor on an empty database.
func (w *world) newFloor(ctx context.Context, name string) (*directory, error) {
	url, err := w.newDatabase(ctx, name)
	if err != nil {
		return nil, err
	}
	s, err := startFloor(ctx, url)
	if err != nil {
		return nil, err
	}
	d := w.directory(s, url)
	d.load = func(ctx context.Context, from, to int) ([]string, error) { return loadFloor(ctx, url, from, to) }
	return d, nil
}

// directory makes a running server one that is stopped at the end.
func (w *world) directory(s *server, url string) *directory {
	s.pids = append(s.pids, w.shared...)
	w.running = append(w.running, s)
	return &directory{server: s, url: url, note: w.note, settle: w.settle, patched: 204}
}

func (w *world) stop() (err error) {
	for _, s := range w.running {
		err = errors.Join(err, s.stop())
	}
	return err
}

// needUsers makes users until there are n.
func (d *directory) needUsers(ctx context.Context, n int) error {
	from := len(d.users)
	if from >= n {
		return nil
	}
	load, how := d.load, "loaded"
	if load == nil {
		load, how = d.createUsers, "created over SCIM"
	}
	start := time.Now()
	ids, err := load(ctx, from, n)
	if err != nil {
		return fmt.Errorf("%s: users: %w", d.name, err)
	}
	d.users, d.loaded = append(d.users, ids...), time.Now()
	d.note("%s: %d users %s, %.0f/s", d.name, n-from, how, float64(n-from)/time.Since(start).Seconds())
	return d.settle(ctx, d.url)
}

// createUsers makes users over SCIM.
func (d *directory) createUsers(ctx context.Context, from, to int) ([]string, error) {
	ids := make([]string, to-from)
	_, err := run(ctx, d.server, load{conns: 8, limit: time.Hour, requests: to - from, next: func(i int) request {
		return createUser(userName(from+i), &ids[i])
	}})
	return ids, err
}

func createUser(name string, id *string) request {
	return request{method: "POST", path: "/Users", body: userBody(name), status: 201, check: func(body []byte) (err error) {
		*id, err = sameUser(body, name)
		return err
	}}
}

// loadUsers makes one user over SCIM and writes the others through the store as
// copies of what SCIM made of that one, with only the name exchanged.
func loadUsers(ctx context.Context, d *directory, from, to int) ([]string, error) {
	ids, err := d.createUsers(ctx, from, from+1)
	if err != nil {
		return nil, err
	}
	var doc, search string
	if err := queryRow(ctx, d.url, `SELECT doc, search FROM users WHERE id = $1`, ids[0], &doc, &search); err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, d.url, store.Options{Patient: true})
	if err != nil {
		return nil, err
	}
	defer st.Close()
	tenant, err := st.TenantNamed(ctx, store.DefaultTenant)
	if err != nil {
		return nil, err
	}
	conn, err := st.ConnectionNamed(ctx, tenant.ID, connectionName)
	if err != nil {
		return nil, err
	}
	actor := store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI, ID: "bench"}
	like := userName(from)
	for from++; from < to; from += loadChunk {
		chunk := make([]string, min(loadChunk, to-from))
		err := st.Write(ctx, actor, func(tx *store.Tx) error {
			for i := range chunk {
				name := userName(from + i)
				exchange := func(s string) []byte { return []byte(strings.ReplaceAll(s, like, name)) }
				u, err := tx.CreateUser(ctx, conn.Ref(), store.User{
					UserName: name + "@example.test", ExternalID: "ext-" + name, DisplayName: "Ann " + name, Active: true,
					Emails: []string{name + "@example.test"}, Doc: exchange(doc), Search: exchange(search),
				})
				if err != nil {
					return err
				}
				chunk[i] = string(u.ID)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		ids = append(ids, chunk...)
	}
	return ids, nil
}

// queryRow reads one row of a database from outside of its server.
func queryRow(ctx context.Context, url, query string, arg any, dst ...any) error {
	driver, dsn := "postgres", url
	if file, ok := strings.CutPrefix(url, "sqlite://"); ok {
		driver, dsn = "sqlite", "file:"+file
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return err
	}
	defer db.Close()
	return db.QueryRowContext(ctx, query, arg).Scan(dst...)
}

// group gives a group that has the first so many users as members.
func (d *directory) group(ctx context.Context, size int) (id string, err error) {
	if id, ok := d.groups[size]; ok {
		return id, nil
	}
	if err := d.needUsers(ctx, size); err != nil {
		return "", err
	}
	if id, err = d.newGroup(); err != nil {
		return "", err
	}
	const chunk = 1_000
	var patches []request
	for members := range slices.Chunk(d.users[:size], chunk) {
		patches = append(patches, d.patch(id, addMembers(members...)))
	}
	m, err := run(ctx, d.server, load{conns: 1, limit: time.Hour, requests: len(patches), next: func(i int) request { return patches[i] }})
	if err != nil {
		return "", fmt.Errorf("fill a group of %d: %w", size, err)
	}
	if size >= chunk {
		d.note("%s: a group of %d in PATCHes of %d, %.0f members/s", d.name, size, chunk, m.Rate*chunk)
	}
	if err := d.checkMembers(id, d.users[:size]); err != nil {
		return "", err
	}
	if d.groups == nil {
		d.groups = map[int]string{}
	}
	d.groups[size] = id
	return id, d.settle(ctx, d.url)
}

// newGroup makes a group without members.
func (d *directory) newGroup() (id string, err error) {
	_, err = d.ask(createGroup(fmt.Sprintf("Site %d Operators", d.made.Add(1)), &id))
	return id, err
}

func createGroup(name string, id *string) request {
	return request{method: "POST", path: "/Groups", status: 201,
		body: fmt.Appendf(nil, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":%q}`, name),
		check: func(body []byte) (err error) {
			*id, err = resourceID(body)
			return err
		}}
}

// ask makes one request on a connection of its own.
func (d *directory) ask(r request) (body []byte, err error) {
	c := &conn{server: d.server}
	defer c.close()
	body, _, err = c.answered(r)
	return body, err
}

func (d *directory) patch(group string, body []byte) request {
	return request{method: "PATCH", path: "/Groups/" + group, body: body, status: d.patched}
}

func addMembers(ids ...string) []byte {
	return patchBody(`{"op":"add","path":"members","value":` + memberList(ids) + `}`)
}

func memberList(ids []string) string {
	values := make([]string, len(ids))
	for i, id := range ids {
		values[i] = `{"value":"` + id + `"}`
	}
	return "[" + strings.Join(values, ",") + "]"
}

func removeMember(id string) []byte {
	return patchBody(`{"op":"remove","path":"members[value eq \"` + id + `\"]"}`)
}

// checkMembers reads the whole group: nobody may be lost, and nobody too many.
func (d *directory) checkMembers(group string, want []string) error {
	_, err := d.ask(request{method: "GET", path: "/Groups/" + group, status: 200, check: func(body []byte) error {
		return sameMembers(body, want)
	}})
	return err
}

// sameMembers compares the members in an answer, in whatever order.
func sameMembers(body []byte, want []string) error {
	var group struct{ Members []struct{ Value string } }
	if err := json.Unmarshal(body, &group); err != nil {
		return err
	}
	wanted := make(map[string]bool, len(want))
	for _, id := range want {
		wanted[id] = true
	}
	strangers := 0
	for _, m := range group.Members {
		if !wanted[m.Value] {
			strangers++
		}
		delete(wanted, m.Value)
	}
	if len(wanted) > 0 || strangers > 0 {
		return fmt.Errorf("%d members: %d of %d are lost, and %d are there twice or wrongly", len(group.Members), len(wanted), len(want), strangers)
	}
	return nil
}
