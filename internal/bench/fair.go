package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Fairness: one tenant sends what is costly, as fast as it is answered, while
// another goes on at a moderate rate. The other must not notice.

// disturbance gives the requests of the tenant that disturbs, one after the other.
type disturbance func(w *world, group string) []request

func fairJobs(z sizes) (list []job) {
	for _, d := range []struct {
		title string
		disturbance
	}{
		{fmt.Sprintf("groups of %d replaced", z.group), replacing},
		{fmt.Sprintf("bodies of %.2g MiB", mebi(int64(z.body))), largeBodies},
		{"filters that look into every document", scanning},
	} {
		for _, quiet := range []struct {
			title string
			every time.Duration
			load  func(context.Context, *directory) (side, error)
		}{
			{"200 GET a second", 5 * time.Millisecond, readModerately},
			{"50 PATCH a second", 20 * time.Millisecond, patchModerately},
		} {
			title := "one tenant's " + quiet.title + ", another's " + d.title
			fair := job{name: "fair", goal: "P11", conns: 8, every: quiet.every, by: byTail}
			fair.title, fair.target, fair.prepare = title+" against quiet", atMost(10).ofFigure(), fairJob(quiet.load, d.disturbance, false)
			list = append(list, fair)
			fair.title, fair.target, fair.prepare = title+" against the floor beside the same", target{}, fairJob(quiet.load, d.disturbance, true)
			list = append(list, fair)
		}
	}
	return list
}

// fairJob has a load disturbed. Against it is the same load without that, or what a server
// that does nothing but that load takes on the same machine and database while ours is
// kept busy in the same way.
func fairJob(load func(context.Context, *directory) (side, error), disturb disturbance, floor bool) pairing {
	return func(ctx context.Context, w *world) (ours, against side, err error) {
		quiet, err := w.neighbour(ctx)
		if err != nil {
			return ours, against, err
		}
		if ours, err = load(ctx, quiet); err != nil {
			return ours, against, err
		}
		if err := w.ours.needUsers(ctx, max(w.users, w.sizes.group*3/2)); err != nil {
			return ours, against, err
		}
		group, err := w.ours.newGroup()
		if err != nil {
			return ours, against, err
		}
		requests := disturb(w, group)
		against = ours
		if floor {
			if against, err = load(ctx, w.floor); err != nil {
				return ours, against, err
			}
		}
		ours.name, against.name = "disturbed", "quiet"
		ours.beside = func(ctx context.Context) (end func() error, err error) {
			return startDisturbing(ctx, w.ours.server, requests)
		}
		if floor {
			against.name, against.beside = "floor", ours.beside
		}
		return ours, against, nil
	}
}

// neighbour is another tenant of our server.
func (w *world) neighbour(ctx context.Context) (*directory, error) {
	if w.quiet != nil {
		return w.quiet, nil
	}
	if _, err := command(ctx, w.program, "tenant", "add", "--database-url="+w.ours.url, "quiet"); err != nil {
		return nil, err
	}
	base, token, err := addConnection(ctx, w.program, w.ours.url, "quiet")
	if err != nil {
		return nil, err
	}
	// No processes: their time is spent on the tenant that disturbs.
	s := &server{name: "the quiet tenant", addr: w.ours.addr, base: base, token: token}
	w.quiet = &directory{server: s, url: w.ours.url, note: w.note, settle: w.settle, patched: 204}
	return w.quiet, nil
}

// quietGroup is how many members the quiet tenant's group has.
const quietGroup = 100

func readModerately(ctx context.Context, d *directory) (side, error) {
	err := d.needUsers(ctx, quietGroup+1)
	return side{directory: d, next: readUsers(d.users)}, err
}

func patchModerately(ctx context.Context, d *directory) (side, error) {
	s, err := onGroup(ctx, d, quietGroup, patchSide("add"))
	if err != nil {
		return s, err
	}
	// Each request is on its own here: there are many connections.
	both := s.next(0)
	add, remove := both, *both.then
	add.then, remove.aside = nil, false
	s.next = func(i int) request {
		if i%2 == 0 {
			return add
		}
		return remove
	}
	return s, nil
}

func putGroup(group string, members []string) request {
	return request{method: "PUT", path: "/Groups/" + group, status: 200,
		body: fmt.Appendf(nil, `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:Group"],"displayName":%q,"members":%s}`, group, memberList(members))}
}

// replacing exchanges half of the members of a large group each time.
func replacing(w *world, group string) []request {
	size := w.sizes.group
	return []request{putGroup(group, w.ours.users[:size]), putGroup(group, w.ours.users[size/2:size/2+size])}
}

// largeBodies names few members over and over, up to the largest body allowed.
func largeBodies(w *world, group string) []request {
	few := w.ours.users[:smallGroup]
	small := putGroup(group, few)
	r := putGroup(group, few)
	// Indented, since the number of values in a body is limited too.
	again := strings.ReplaceAll(","+strings.Trim(memberList(few), "[]"), "{", "\n"+strings.Repeat(" ", 32)+"{")
	fill := strings.Repeat(again, (w.body-len(small.body))/len(again))
	r.body = append(r.body[:len(r.body)-len("]}")], fill+"]}"...)
	return []request{r}
}

// scanning looks for somebody by what no index knows.
func scanning(*world, string) []request {
	return []request{{method: "GET", path: "/Users?filter=" + url.QueryEscape(`name.familyName co "nobody"`), status: 200}}
}
