package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// What an administrator's browser asks of the console of a large company: lists of
// people by what is typed and chosen, all of them as a file, and the matrix.

func consoleJobs(z sizes) []job {
	var list []job
	page := func(name, title, path string, most float64, people int) {
		list = append(list, job{name: name, goal: "P19", title: title, conns: 1, by: byLate, requests: 30,
			target: atMost(most).ofFigure(), prepare: pageJob(path, people)})
	}
	of := func(what string) string { return fmt.Sprintf("a page of %d people, %s", z.listed, what) }
	name := url.QueryEscape
	first, last, number := firstName(2), lastName(13), fmt.Sprintf("%06d", z.listed/2)
	for _, c := range []struct {
		what, query string
		people      int // on the page
	}{
		{"all", "", perPage},
		{"by a word of one", "?q=" + number, 1},
		{"by a word of nobody", "?q=" + number + "x", 0},
		{"by a user name", "?q=" + name(personName(z.listed/2)), 1},
		{"by a first name of many", "?q=" + first, perPage},
		{"by a last name of many", "?q=" + last, perPage},
		{"by two words of many, that some have together", "?q=" + name(firstName(12)+" "+last), anyNumber},
		{"by two words of many, that nobody has together", "?q=" + name(first+" "+last), 0},
		{"by a letter", "?q=" + last[:1], perPage},
		{"by a first name of many, inactive", "?state=inactive&q=" + first, anyNumber},
		{"inactive", "?state=inactive", perPage},
		{"blocked", "?state=blocked", 0},
		{"in a large group", "?group=" + name(groupName(0)), perPage},
		{"in a large group, by a letter", "?group=" + name(groupName(0)) + "&q=" + last[:1], perPage},
		{"in a large group, by a letter of nobody near the top", "?group=" + name(groupName(0)) + "&q=" + firstName(firstNames - 1)[:1], perPage},
		{"in a large group, by a first name of many", "?group=" + name(groupName(0)) + "&q=" + first, anyNumber},
		{"with a role that most have", "?role=clicktime/supervisor", perPage},
	} {
		page("people", of(c.what), "/people"+c.query, 50, c.people)
	}
	for _, pivot := range []string{"sites", "roles", "people"} {
		page("matrix", fmt.Sprintf("a page of the matrix of %d groups and %d sites, by %s", z.granted, z.places, pivot), "/matrix?product=clicktime&pivot="+pivot, 300, anyNumber)
	}
	return append(list,
		job{name: "people-csv", goal: "P19", title: fmt.Sprintf("%d people as CSV", z.listed), rows: csvRows},
		job{name: "preview", goal: "P19", title: fmt.Sprintf("what a mapping of a group of %d of %d people would do", z.previewed, z.listed), conns: 1, by: byLate,
			requests: 15, target: atMost(500).ofFigure(), prepare: previewJob},
		job{name: "typing", goal: "P19", title: fmt.Sprintf("%d people, from a key to the painted list of whom it finds", z.listed), target: atMost(300), rows: typingRows},
		job{name: "screens", goal: "P19", title: fmt.Sprintf("the console of %d people, until the largest part of a page is painted", z.listed), target: atMost(200), rows: screenRows})
}

// perPage is how many people a page of the console shows; anyNumber is what a page
// isn't looked through for.
const (
	perPage   = 50
	anyNumber = -1
)

// pageJob asks for a page; the floor does one indexed select.
func pageJob(path string, people int) pairing {
	return func(ctx context.Context, w *world) (ours, against side, err error) {
		if err := errors.Join(w.needConsole(ctx), w.floor.needUsers(ctx, w.users)); err != nil {
			return ours, against, err
		}
		ours, against = w.page(path, people)
		return ours, against, nil
	}
}

// page asks for a page again and again, beside the floor.
func (w *world) page(path string, people int) (ours, against side) {
	r := request{method: "GET", path: path, status: 200, check: func(body []byte) error {
		if n := bytes.Count(body, []byte(`<th scope="row"`)); n != people && people != anyNumber {
			return fmt.Errorf("%d rows, want %d", n, people)
		}
		return nil
	}}
	return side{directory: w.console, name: "the page", next: func(int) request { return r }},
		side{directory: w.floor, name: "floor", next: readUsers(w.floor.users)}
}

// previewJob asks for the editor of a new mapping as its form does once all is chosen:
// the first of those who gain are named below, and all are counted.
func previewJob(ctx context.Context, w *world) (ours, against side, err error) {
	if err := errors.Join(w.needConsole(ctx), w.floor.needUsers(ctx, w.users)); err != nil {
		return ours, against, err
	}
	ours, against = w.page(w.proposed, perPage)
	return ours, against, nil
}

// csvRows are how soon the file begins, how long it takes, and how much memory of
// its own the server takes on top meanwhile: SQLite maps its file as it is read.
func csvRows(ctx context.Context, w *world, j job) ([]row, error) {
	if err := w.needConsole(ctx); err != nil {
		return nil, err
	}
	c := &conn{server: w.console.server}
	defer c.close()
	file := request{method: "GET", path: "/people.csv", status: 200, check: func(body []byte) error {
		if n := bytes.Count(body, []byte("\r\n")) - 1; n != w.listed+1 {
			return fmt.Errorf("%d people, want %d", n, w.listed+1)
		}
		return nil
	}}
	pid := w.console.pids[0]
	before, err := memory(pid, ownMemory)
	if err != nil {
		return nil, err
	}
	var began, took time.Duration
	most := watchMemory(pid)
	for range w.rounds {
		var whole time.Duration
		if _, whole, err = c.answered(file); err != nil {
			break
		}
		began, took = max(began, c.began), max(took, whole)
	}
	peak := max(before, most())
	if err != nil {
		return nil, err
	}
	of := func(what string, t target, value float64, unit string) row {
		one := j
		one.title, one.target = j.title+", "+what, t
		return one.value(value, unit)
	}
	return []row{
		of("until the first byte", atMost(200), millis(began), "ms"),
		of("until the last", target{}, millis(took), "ms"),
		of("memory on top", atMost(32), mebi(peak-before), "MiB"),
	}, nil
}

// There are as few first and last names as make each one of many people. Whoever's
// first name has some vowel has a last name with the same.
const firstNames, lastNames = 30, 30

func firstName(i int) string { return syllable(i%firstNames) + "ra" }
func lastName(i int) string  { return syllable(i%lastNames) + "sen" }

func syllable(i int) string {
	const consonants, vowels = "bdfgklmnpr", "aei"
	return consonants[i%10:i%10+1] + vowels[i/10:i/10+1]
}

func personName(i int) string {
	first := i % firstNames
	last := first/10*10 + i/firstNames%10
	return fmt.Sprintf("%s.%s.%06d@corp.example", firstName(first), lastName(last), i)
}

func groupName(i int) string { return fmt.Sprintf("Role group %04d", i) }

// needConsole makes the company, on a server of its own, and signs its owner in.
func (w *world) needConsole(ctx context.Context) error {
	if w.console != nil {
		return nil
	}
	d, err := w.gatehouse(ctx, "console")
	if err != nil {
		return err
	}
	secret, err := w.loadConsole(ctx, d.url)
	if err != nil {
		return fmt.Errorf("load console: %w", err)
	}
	w.secret = secret
	if err := d.settle(ctx, d.url); err != nil {
		return err
	}
	s := *d.server
	s.base, s.cookie = "", sessionCookie+"="+secret
	w.console = &directory{server: &s, url: d.url, note: d.note, settle: d.settle}
	return nil
}

// loadConsole writes people, groups, sites and mappings through the store, and gives
// the secret of the owner's session.
func (w *world) loadConsole(ctx context.Context, database string) (secret string, err error) {
	st, err := store.Open(ctx, database, store.Options{Patient: true})
	if err != nil {
		return "", err
	}
	defer st.Close()
	tenant, err := st.TenantNamed(ctx, store.DefaultTenant)
	if err != nil {
		return "", err
	}
	conn, err := st.ConnectionNamed(ctx, tenant.ID, connectionName)
	if err != nil {
		return "", err
	}
	actor := store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI, ID: "bench"}
	var ids []store.MemberID
	for len(ids) <= w.listed { // and the owner
		var some []store.MemberID
		err := st.Write(ctx, actor, func(tx *store.Tx) error {
			some = nil
			for i := len(ids); i <= min(w.listed, len(ids)+loadChunk-1); i++ {
				u, err := tx.CreateUser(ctx, conn.Ref(), listedPerson(i, i < w.listed))
				if err != nil {
					return err
				}
				some = append(some, store.MemberID(u.ID))
			}
			return nil
		})
		if err != nil {
			return "", err
		}
		ids = append(ids, some...)
	}
	sites, err := addProduct(ctx, st, actor, w.places)
	if err != nil {
		return "", err
	}
	owner := ids[w.listed]
	grants := []access.Grant{{Subject: access.Grantee{User: access.UserID(owner)}, Effect: access.Allow, Product: access.ConsoleID, Role: access.RoleOwner,
		Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect}}
	for j := range w.granted + 1 {
		size := 20
		switch j {
		case 0:
			size = w.listed / 2
		case w.granted: // nothing is granted to this one
			size = w.previewed
		}
		members := make([]store.MemberID, size)
		for k := range members {
			members[k] = ids[(j*size+k)%w.listed]
		}
		var group store.Group
		doc := fmt.Appendf(nil, `{"displayName":%q}`, groupName(j))
		err := st.Write(ctx, actor, func(tx *store.Tx) (err error) {
			group, _, err = tx.CreateGroup(ctx, conn.Ref(), store.Group{DisplayName: groupName(j), Doc: doc, Search: doc}, members)
			return err
		})
		if err != nil {
			return "", err
		}
		if j == w.granted {
			w.proposed = "/mappings/new?" + url.Values{"v": {"1"}, "group": {string(group.ID)}, "what": {"role/clicktime/supervisor"}, "s.site": {string(sites[len(sites)-1].ID)}}.Encode()
			break
		}
		grants = append(grants, supervisor(group.ID, sites[j%len(sites)]))
	}
	err = st.Write(ctx, actor, func(tx *store.Tx) error {
		if _, err := tx.AddGrants(ctx, grants...); err != nil {
			return err
		}
		_, secret, err = tx.CreateSession(ctx, store.Session{UserID: store.UserID(owner), Method: store.MethodOIDC})
		return err
	})
	return secret, err
}

// listedPerson is the i-th, as SCIM would keep her. One in twenty isn't active.
func listedPerson(i int, mayBeInactive bool) store.User {
	name := personName(i)
	first, rest, _ := strings.Cut(name, ".")
	last, _, _ := strings.Cut(rest, ".")
	u := store.User{UserName: name, ExternalID: "ext-" + name, DisplayName: first + " " + last, Active: !mayBeInactive || scatter(i, 20) != 0, Emails: []string{name}}
	u.Doc = fmt.Appendf(nil, `{"userName":%q,"externalId":%q,"displayName":%q,"active":%v,"emails":[{"value":%q,"type":"work","primary":true}],"name":{"givenName":%q,"familyName":%q}}`,
		name, u.ExternalID, u.DisplayName, u.Active, name, first, last)
	u.Search = bytes.ToLower(u.Doc)
	return u
}
