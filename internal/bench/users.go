package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"
)

func searchJobs(z sizes, database string) []job {
	read := atLeast(0.85)
	if database == "sqlite" {
		read = atLeast(0.80)
	}
	list := []job{
		{name: "read", goal: "P2", title: "GET /Users/{id}, against the floor", conns: 8, by: byRate, target: read, prepare: readJob},
		{name: "read", goal: "P2", title: "GET /Users/{id}, against the floor", conns: 1, by: byRate, prepare: readJob},
	}
	for _, attribute := range []string{"userName", "externalId", "id", "displayName", "emails.value"} {
		list = append(list, job{name: "filter", goal: "P3", title: attribute + " eq, against GET by id",
			conns: 1, by: byMedian, target: atMost(1.3), prepare: filterJob(attribute)})
	}
	page := func(where string, prepare pairing) job {
		return job{name: "list", goal: "P4", title: fmt.Sprintf("%d of %d users %s, against page 1", pageSize, z.users, where),
			conns: 1, by: byMedian, target: atMost(1.5), prepare: prepare}
	}
	return append(list, page("from 50 % on", listJob(50)), page(fmt.Sprintf("from %d %% on", deep), listJob(deep)),
		page(fmt.Sprintf("by cursor at %d %%", deep), cursorJob))
}

func createJobs(z sizes) []job {
	const title = "POST /Users, against the floor"
	return []job{
		{name: "create", goal: "P1", title: title, conns: 8, by: byRate, target: atLeast(0.6), prepare: createJob},
		{name: "create", goal: "P1", title: title, conns: 32, by: byRate, target: atLeast(1), prepare: createJob},
		{name: "create", goal: "P1", title: title, conns: 1, by: byRate, prepare: createJob},
		{name: "create", goal: "P1", title: fmt.Sprintf("POST /Users among %d users, against %d", z.users, z.fewUsers),
			conns: 8, by: byCPU, target: atMost(1.25), prepare: createSlope},
		{name: "recorder", title: "POST /Users with the flight recorder, against without",
			conns: 8, by: byRate, setting: "record-for", prepare: recorderJob},
	}
}

// createJob makes a new user with each request; the floor does one insert and one
// commit.
func createJob(_ context.Context, w *world) (ours, against side, err error) {
	return w.creating(w.ours, "ours"), w.creating(w.floor, "floor"), nil
}

func (w *world) creating(d *directory, name string) side {
	return side{directory: d, name: name, next: func(int) request {
		var id string
		return createUser(fmt.Sprintf("new%08d", w.created.Add(1)), &id)
	}}
}

// createSlope makes users beside many and beside few.
func createSlope(ctx context.Context, w *world) (ours, against side, err error) {
	few, err := w.gatehouse(ctx, "few")
	if err != nil {
		return ours, against, err
	}
	err = errors.Join(w.ours.needUsers(ctx, w.users), few.needUsers(ctx, w.fewUsers))
	return w.creating(w.ours, "among many"), w.creating(few, "among few"), err
}

// recorderJob makes users with the flight recorder and without.
func recorderJob(ctx context.Context, w *world) (ours, against side, err error) {
	with, err := w.gatehouse(ctx, "recorder-on")
	if err != nil {
		return ours, against, err
	}
	without, err := w.gatehouse(ctx, "recorder-off", "--record-for=0")
	return w.creating(with, "with recorder"), w.creating(without, "without"), err
}

// readJob reads users all over the directory; the floor does one indexed select.
func readJob(ctx context.Context, w *world) (ours, against side, err error) {
	err = errors.Join(w.ours.needUsers(ctx, w.users), w.floor.needUsers(ctx, w.users))
	return side{directory: w.ours, name: "ours", next: readUsers(w.ours.users)},
		side{directory: w.floor, name: "floor", next: readUsers(w.floor.users)}, err
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

// filterJob finds one user by an attribute among all, as identity providers do
// before each write; the other side reads one by id.
func filterJob(attribute string) pairing {
	return func(ctx context.Context, w *world) (ours, against side, err error) {
		err = w.ours.needUsers(ctx, w.users)
		return side{directory: w.ours, name: "filter", next: findUsers(attribute, w.ours.users)},
			side{directory: w.ours, name: "by id", next: readUsers(w.ours.users)}, err
	}
}

func findUsers(attribute string, ids []string) func(i int) request {
	return func(i int) request {
		n := scatter(i, len(ids))
		value := map[string]string{
			"userName":     userName(n) + "@example.test",
			"externalId":   "ext-" + userName(n),
			"id":           ids[n],
			"displayName":  "Ann " + userName(n),
			"emails.value": userName(n) + "@example.test",
		}[attribute]
		return find("/Users", attribute, value, 1, ids[n])
	}
}

// find asks for what an attribute equals, and knows the answer.
func find(path, attribute, value string, total int, ids ...string) request {
	filter := url.QueryEscape(fmt.Sprintf("%s eq %q", attribute, value))
	return request{method: "GET", path: path + "?filter=" + filter, status: 200, check: func(body []byte) error {
		return results(body, total, ids...)
	}}
}

// scatter walks over all n in an order without neighbours, so that no cache of
// the last pages makes reads look cheaper than they are.
func scatter(i, n int) int {
	const prime = 7_368_787
	return i * prime % n
}

// pageSize is that of the lists.
const pageSize = 100

// listJob reads a page from so many percent of the list on; the other side reads
// the first.
func listJob(percent int) pairing {
	return func(ctx context.Context, w *world) (ours, against side, err error) {
		if err := w.walk(ctx); err != nil {
			return ours, against, err
		}
		select {
		case <-time.After(time.Until(w.ours.loaded.Add(w.still))):
		case <-ctx.Done():
			return ours, against, ctx.Err()
		}
		return pages(w.ours, fmt.Sprintf("from %d %%", percent), w.order, len(w.order)*percent/100, ""), pages(w.ours, "page 1", w.order, 0, ""), nil
	}
}

// cursorJob reads the page behind the deep cursor.
func cursorJob(ctx context.Context, w *world) (ours, against side, err error) {
	if err := w.walk(ctx); err != nil {
		return ours, against, err
	}
	return pages(w.ours, "by cursor", w.order, len(w.order)*deep/100, w.cursor), pages(w.ours, "page 1", w.order, 0, ""), nil
}

// pages reads the page that begins behind so many users of the list.
func pages(d *directory, name string, order []string, behind int, cursor string) side {
	path := fmt.Sprintf("/Users?count=%d", pageSize)
	if cursor == "" {
		path += fmt.Sprintf("&startIndex=%d", behind+1)
	} else {
		path += "&cursor=" + url.QueryEscape(cursor)
	}
	r := request{method: "GET", path: path, status: 200, check: func(body []byte) error {
		return results(body, len(order), order[behind:behind+pageSize]...)
	}}
	return side{directory: d, name: name, next: func(int) request { return r }}
}

// deep is where the deep cursor stands, in percent of the list.
const deep = 90

// walk reads the ids of all users by cursor, which must be everybody once, and
// keeps the deep cursor.
func (w *world) walk(ctx context.Context) error {
	if w.order != nil {
		return nil
	}
	d := w.ours
	if err := d.needUsers(ctx, w.users); err != nil {
		return err
	}
	var order []string
	count := min(1_000, len(d.users)/10)
	for next := ""; ; {
		body, err := d.ask(request{method: "GET", status: 200,
			path: fmt.Sprintf("/Users?attributes=id&count=%d&cursor=%s", count, url.QueryEscape(next))})
		if err != nil {
			return err
		}
		var list listed
		if err := json.Unmarshal(body, &list); err != nil {
			return err
		}
		for _, u := range list.Resources {
			order = append(order, u.ID)
		}
		if next = list.NextCursor; next == "" {
			break
		}
		if len(order) == len(d.users)*deep/100 {
			w.cursor = next
		}
	}
	if want := slices.Sorted(slices.Values(d.users)); !slices.Equal(order, want) {
		return fmt.Errorf("%d users by cursor, want %d, each once and in order", len(order), len(want))
	}
	if w.cursor == "" {
		return fmt.Errorf("no page of %d ends at %d %% of %d users", count, deep, len(order))
	}
	w.order = order
	return nil
}
