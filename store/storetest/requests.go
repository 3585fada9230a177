package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/store"
)

// requests is the contract of what the flight recorder keeps.
func requests(t *testing.T, s *store.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s *store.Store)
	}{
		{"RoundTrip", requestRoundTrip},
		{"NewestFirst", requestsNewestFirst},
		{"ByHour", requestsByHour},
		{"FoundByTheBeginningOfTheID", requestByPrefix},
		{"TheirChanges", changesOfRequest},
		{"CausesAreCounted", causesAreCounted},
		{"FailingConnections", failingConnections},
		{"OldOnesGoInSteps", oldRequestsGo},
		{"WhoseTheyAre", whoseRequests},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, s) })
	}
	clean(t, s)
}

// exchange is a request to a place, so many milliseconds after its first.
func (p place) exchange(ms int, change func(*store.Request)) store.Request {
	q := store.Request{
		TenantID: p.ref.Tenant, ConnectionID: p.ref.ID, At: store.Instant{Time: dawn.Add(time.Duration(ms) * time.Millisecond)},
		Took: 1500, Count: 1, Method: "GET", Path: fmt.Sprintf("/Users/%d", ms), Status: 200, Headers: "{}", Notes: "{}",
	}
	if change != nil {
		change(&q)
	}
	return q
}

var dawn = time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)

func (p place) record(t *testing.T, all ...store.Request) {
	t.Helper()
	before := len(p.log(t))
	p.write(t, func(tx *store.Tx) error { return tx.RecordRequests(t.Context(), all) })
	if after := len(p.log(t)); after != before {
		t.Errorf("recording left %d rows in the log of changes, want none", after-before)
	}
}

func (p place) requests(t *testing.T, q store.RequestQuery) (paths []string) {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 1000
	}
	found, err := p.Requests(t.Context(), p.ref, q)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range found {
		paths = append(paths, r.Path)
	}
	return paths
}

func requestRoundTrip(t *testing.T, s *store.Store) {
	p := newPlace(t, s, t.Name(), "entra")
	want := store.Request{
		TenantID: p.ref.Tenant, ConnectionID: p.ref.ID, At: store.At(dawn), Took: 1234, Count: 2, TokenID: "t", RequestID: "r-7",
		Method: "PATCH", Path: "/Users/é", Query: `filter=userName eq "ann"`, Status: 409, SCIMType: "uniqueness", Cause: "user-name-taken",
		Detail: "A user …", ResourceKind: store.ResourceUser, ResourceID: "0190", Headers: `{"Accept":"*/*"}`, Notes: `{"ignored":["x"]}`,
		Body: `{"a":"é"}`, BodySize: 9, BodyNote: "cut", Answer: `{"b":1}`, AnswerSize: 1 << 40, AnswerNote: "broken off",
	}
	p.record(t, want)
	list, err := s.Requests(t.Context(), p.ref, store.RequestQuery{Limit: 10})
	if err != nil || len(list) != 1 {
		t.Fatalf("got %v, %v, want one request", list, err)
	}
	want.ID = list[0].ID
	got, err := s.Request(t.Context(), p.ref, string(want.ID))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	want.Body, want.Answer = "", "" // lists are light
	if diff := cmp.Diff(want, list[0]); diff != "" {
		t.Errorf("in a list (-want +got):\n%s", diff)
	}
}

func requestsNewestFirst(t *testing.T, s *store.Store) {
	p := newPlace(t, s, t.Name(), "entra")
	var all []store.Request
	for i := range 200 { // more than one statement takes
		all = append(all, p.exchange(i, func(q *store.Request) {
			if i%10 == 0 {
				q.Status, q.Cause = 404, "not-found"
			}
			if i%10 == 1 {
				q.Cause = "unknown-members"
			}
			if i%20 == 0 {
				q.ResourceKind, q.ResourceID = store.ResourceUser, "u1"
			}
		}))
	}
	slices.Reverse(all)
	p.record(t, all...)
	for _, test := range []struct {
		why  string
		q    store.RequestQuery
		want []string
	}{
		{"the newest", store.RequestQuery{Limit: 3}, []string{"/Users/199", "/Users/198", "/Users/197"}},
		{"since then", store.RequestQuery{Since: dawn.Add(198 * time.Millisecond)}, []string{"/Users/199", "/Users/198"}},
		{"failed ones, not those with something left out", store.RequestQuery{Failed: true, Limit: 2}, []string{"/Users/190", "/Users/180"}},
		{"about somebody", store.RequestQuery{ResourceID: "u1", Since: dawn.Add(160 * time.Millisecond)}, []string{"/Users/180", "/Users/160"}},
		{"about nobody", store.RequestQuery{ResourceID: "u2"}, nil},
		{"about what PostgreSQL takes for no text", store.RequestQuery{ResourceID: "\x00"}, nil},
		{"since the Middle Ages", store.RequestQuery{Since: dawn.AddDate(-900, 0, 0), Limit: 1}, []string{"/Users/199"}},
		{"in the future", store.RequestQuery{Since: dawn.Add(time.Hour)}, nil},
	} {
		if got := p.requests(t, test.q); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.why, got, test.want)
		}
	}
	if got := p.requests(t, store.RequestQuery{}); len(got) != 200 {
		t.Errorf("got %d requests in all, want 200", len(got))
	}
}

func requestByPrefix(t *testing.T, s *store.Store) {
	p, ctx := newPlace(t, s, t.Name(), "entra"), t.Context()
	other := newPlace(t, s, t.Name()+" other", "entra")
	p.record(t, p.exchange(0, nil), p.exchange(0, func(q *store.Request) { q.At.Time = q.At.Add(2 * time.Microsecond); q.Path = "second" }))
	list, err := s.Requests(ctx, p.ref, store.RequestQuery{Limit: 2})
	if err != nil || len(list) != 2 || list[0].Path != "second" {
		t.Fatalf("got %v, %v, want two in the order of their microseconds", list, err)
	}
	id := string(list[0].ID)
	for _, prefix := range []string{id, id[:18], id[:8] + id[9:13] + id[14:18]} {
		if got, err := s.Request(ctx, p.ref, prefix); err != nil || got.Path != "second" {
			t.Errorf("%s: got %v, %v", prefix, got.Path, err)
		}
	}
	_, err = s.Request(ctx, p.ref, id[:13])
	wantErr(t, "the millisecond of both", err, store.ErrTaken)
	for _, wrong := range []string{"", "zz", id + "0", "01a2'; --", "\x00", "é"} {
		_, err := s.Request(ctx, p.ref, wrong)
		wantErr(t, "request "+wrong, err, store.ErrNotFound)
	}
	_, err = s.Request(ctx, other.ref, id)
	wantErr(t, "from another tenant", err, store.ErrNotFound)
}

func changesOfRequest(t *testing.T, s *store.Store) {
	p := newPlace(t, s, t.Name(), "entra")
	start := time.Now()
	p.actor.RequestID = "r-42"
	ids := p.addPeople(t, "ann", "bob")
	p.actor.RequestID = "r-43"
	p.addPeople(t, "cy")
	p.record(t, p.exchange(0, func(q *store.Request) { q.At, q.RequestID = store.Instant{Time: start}, "r-42" }))
	q, err := s.Requests(t.Context(), p.ref, store.RequestQuery{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	changes, err := s.ChangesOf(t.Context(), q[0], "", 10)
	if err != nil || len(changes) != 2 || changes[0].SubjectID != string(ids[0]) || changes[1].Action != store.UserCreated {
		t.Errorf("got %v, %v, want ann and bob created", changes, err)
	}
	var paged []store.Change
	for range changes {
		after := store.ChangeID("")
		if n := len(paged); n > 0 {
			after = paged[n-1].ID
		}
		page, err := s.ChangesOf(t.Context(), q[0], after, 1)
		if err != nil || len(page) != 1 {
			t.Fatalf("a page behind %q: got %v, %v, want one change", after, page, err)
		}
		paged = append(paged, page...)
	}
	if page, err := s.ChangesOf(t.Context(), q[0], paged[1].ID, 1); !slices.Equal(paged, changes) || err != nil || len(page) > 0 {
		t.Errorf("page by page: got %v and then %v, %v, want the same", paged, page, err)
	}
	if _, err := s.ChangesOf(t.Context(), q[0], "x", 1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("behind no change: got %v, want %v", err, store.ErrNotFound)
	}
	q[0].At.Time = start.Add(-time.Hour)
	if changes, err := s.ChangesOf(t.Context(), q[0], "", 10); err != nil || len(changes) != 0 {
		t.Errorf("a request of an hour before with the same id: got %v, %v, want none", changes, err)
	}
}

func causesAreCounted(t *testing.T, s *store.Store) {
	p := newPlace(t, s, t.Name(), "entra")
	with := func(cause string, count int) func(*store.Request) {
		return func(q *store.Request) { q.Cause, q.Count, q.Status = cause, count, 401 }
	}
	p.record(t, p.exchange(0, nil), p.exchange(1, with("b", 1)), p.exchange(2, with("a", 1)), p.exchange(3, with("c", 40)), p.exchange(4, with("a", 1)),
		p.exchange(5, with("b", 1)))
	got, err := s.Causes(t.Context(), p.ref, time.Time{})
	if err != nil || len(got) != 3 {
		t.Fatalf("got %v, %v, want three causes", got, err)
	}
	at := func(ms int) store.Instant { return store.At(dawn.Add(time.Duration(ms) * time.Millisecond)) }
	for i, want := range []store.CauseCount{
		{Cause: "c", Count: 40, First: at(3), Last: at(3)},
		{Cause: "a", Count: 2, First: at(2), Last: at(4)},
		{Cause: "b", Count: 2, First: at(1), Last: at(5)},
	} {
		example, err := s.Request(t.Context(), p.ref, string(got[i].Example))
		if err != nil || example.At != want.Last || example.Cause != want.Cause {
			t.Errorf("%s: got example %+v, %v, want its newest", want.Cause, example, err)
		}
		want.Example = got[i].Example
		if got[i] != want {
			t.Errorf("got %+v, want %+v", got[i], want)
		}
	}
	if got, err := s.Causes(t.Context(), p.ref, dawn.Add(5*time.Millisecond)); err != nil || len(got) != 1 || got[0].Cause != "b" || got[0].Count != 1 {
		t.Errorf("since the last: got %v, %v, want one b", got, err)
	}
}

func failingConnections(t *testing.T, s *store.Store) {
	p := newPlace(t, s, t.Name(), "entra")
	failing := func(since time.Time) []store.ConnectionID {
		t.Helper()
		got, err := s.Failing(t.Context(), p.ref.Tenant, since)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	p.record(t, p.exchange(0, nil), p.exchange(1, func(q *store.Request) { q.Cause = "ignored-attribute" }))
	if got := failing(time.Time{}); len(got) != 0 {
		t.Errorf("all went well, and %v fail", got)
	}
	p.record(t, p.exchange(2, func(q *store.Request) { q.Cause, q.Status = "user-name-taken", 409 }))
	if got := failing(dawn); !slices.Equal(got, []store.ConnectionID{p.ref.ID}) {
		t.Errorf("got %v, want the connection that refused something", got)
	}
	if got := failing(dawn.Add(3 * time.Millisecond)); len(got) != 0 {
		t.Errorf("since then nothing was refused, and %v fail", got)
	}
	p.write(t, func(tx *store.Tx) error {
		_, err := tx.EndConnection(t.Context(), p.ref.ID, store.KeepPeople)
		return err
	})
	if got := failing(dawn); len(got) != 0 {
		t.Errorf("the connection has ended, and %v fail", got)
	}
}

func oldRequestsGo(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p, other := newPlace(t, s, t.Name(), "entra"), newPlace(t, s, t.Name()+" other", "entra")
	// Long before those of the other tests, which share the database.
	old := func(q *store.Request) { q.At.Time = q.At.AddDate(-1, 0, 0) }
	for _, p := range []place{p, other} {
		for i := range 7 {
			p.record(t, p.exchange(i, old))
		}
	}
	sweep := func(limit int) (n int) {
		t.Helper()
		p.write(t, func(tx *store.Tx) error {
			var err error
			n, err = tx.SweepRequests(ctx, dawn.AddDate(-1, 0, 0).Add(5*time.Millisecond), limit)
			return err
		})
		return n
	}
	for _, want := range []int{4, 4, 2, 0} {
		if got := sweep(4); got != want {
			t.Errorf("a step deleted %d, want %d", got, want)
		}
	}
	for _, p := range []place{p, other} {
		if got, want := p.requests(t, store.RequestQuery{}), []string{"/Users/6", "/Users/5"}; !slices.Equal(got, want) {
			t.Errorf("got %q left, want %q", got, want)
		}
	}
}

func whoseRequests(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p, client := oauthPlace(t, s, "entra")
	if got, err := s.ConnectionOf(ctx, p.ref.ID); err != nil || got != p.ref {
		t.Errorf("connection: got %v, %v, want %v", got, err, p.ref)
	}
	if got, err := s.ConnectionOfClient(ctx, client.ID); err != nil || got != p.ref {
		t.Errorf("client: got %v, %v, want %v", got, err, p.ref)
	}
	for _, id := range []string{"", "x", "\x00", string(p.ref.Tenant)} {
		_, err := s.ConnectionOf(ctx, store.ConnectionID(id))
		wantErr(t, "connection "+id, err, store.ErrNotFound)
		_, err = s.ConnectionOfClient(ctx, store.ClientID(id))
		wantErr(t, "client "+id, err, store.ErrNotFound)
	}
}
