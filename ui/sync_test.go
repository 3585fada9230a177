package ui

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"gatehouse/access"
	"gatehouse/store"
)

// record keeps requests as the flight recorder does, each so long before now.
func (g *rig) record(connection string, ago time.Duration, change func(*store.Request)) store.Request {
	g.t.Helper()
	ref := g.refs[connection]
	q := store.Request{
		TenantID: ref.Tenant, ConnectionID: ref.ID, At: store.At(now.Add(-ago)), Took: 41_000, Count: 1, RequestID: "r-1",
		Method: "GET", Path: "/Users", Query: `filter=userName eq "x"`, Status: 200, Headers: "{}", Notes: "{}",
	}
	if change != nil {
		change(&q)
	}
	all := []store.Request{q}
	g.write(func(tx *store.Tx) error { return tx.RecordRequests(g.t.Context(), all) })
	return all[0]
}

// refusedWith is a request with a token that nobody knows.
func refusedWith(end string) func(*store.Request) {
	return func(q *store.Request) {
		q.Status, q.Cause, q.Count, q.Notes = 401, "wrong-token", 37, fmt.Sprintf(`{"token_end":%q}`, end)
	}
}

func (g *rig) sync(connection string) string { return "/sync/" + string(g.refs[connection].ID) }

func TestSyncSaysHowProvidersAre(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		got := g.get(chloe, "/sync")
		if got.status != 200 || !slices.Equal(got.texts("main h2 a"), []string{"Entra ID", "Okta"}) || !strings.Contains(got.text("main"), "Waiting for the first request") {
			t.Fatalf("before anybody called: status %d, %q", got.status, got.text("main"))
		}
		if n := got.Find("main form, main a[href='/sync/new']").Length(); n != 0 {
			t.Errorf("an auditor has %d ways to change something", n)
		}
		g.record("Entra ID", 2*time.Hour, nil)
		g.record("Entra ID", time.Hour, refusedWith("9f2c"))
		g.record("Okta", 30*time.Minute, func(q *store.Request) { q.Status, q.Cause, q.Count = 409, "user-name-taken", 3 })
		g.record("Okta", 10*time.Minute, nil)
		got = g.get(sam, "/sync")
		for _, want := range []string{
			"Requests are refused", "Token ending …9f2c refused 37 times, first 1 hour ago", "3 requests failed in 24 hours", "title of user-name-taken 3 times",
			"No token works", "Entra looks every 20 to 40 minutes", "Last request 10 minutes ago",
		} {
			if !strings.Contains(got.text("main"), want) {
				t.Errorf("got %q, want %q in it", got.text("main"), want)
			}
		}
		if label := got.Find("svg.chart").First().AttrOr("aria-label", ""); label != "38 requests in 24 hours, at most 37 in one" || got.Find("svg.chart rect.bad").Length() != 2 {
			t.Errorf("chart %q with %d bad hours, want 38 requests and 2", label, got.Find("svg.chart rect.bad").Length())
		}
		tokens := "main .card a[href='" + g.sync("Entra ID") + "/settings#provisioning']"
		for who, want := range map[string]int{sam: 1, chloe: 0} {
			if n := g.get(who, g.sync("Entra ID")).Find(tokens).Length(); n != want {
				t.Errorf("%s is led to the tokens %d times, want %d", who, n, want)
			}
		}
		if n := g.get(sam, g.sync("Okta")).Find("main a[href$='#provisioning']").Length(); n != 0 {
			t.Errorf("a name that is taken leads to the tokens %d times", n)
		}
		g.record("Entra ID", 0, nil)
		if got := g.get(sam, g.sync("Entra ID")); strings.Contains(got.text("main"), "…9f2c") {
			t.Errorf("a good request came, and still: %q", got.text("main"))
		}
		if got := g.get(chloe, "/sync.csv"); got.status != 200 || strings.Count(got.body, "\r\n") != 3 {
			t.Errorf("as a file: status %d, %q", got.status, got.body)
		}
	})
}

func TestOnlyThoseOfTheTenantSeeAConnection(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		tenant, err := g.EnsureTenant(t.Context(), store.Actor{Kind: store.ActorSystem}, "globex")
		if err != nil {
			t.Fatal(err)
		}
		var foreign store.Connection
		err = g.Write(t.Context(), store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI}, func(tx *store.Tx) (err error) {
			foreign, err = tx.CreateConnection(t.Context(), "Entra", store.IdPEntra)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		own := g.record("Entra ID", time.Minute, nil)
		random := "0199aaaa-0000-7000-8000-000000000000"
		pattern := strings.NewReplacer("{token}", "x", "{link}", "x")
		for _, rt := range g.console.routes {
			if !strings.Contains(rt.pattern, "/sync/{connection}") {
				continue
			}
			path := func(id string) string {
				return pattern.Replace(strings.NewReplacer("{connection}", id, "{request}", string(own.ID)).Replace(rt.pattern))
			}
			bodies := map[string]string{}
			for _, id := range []string{string(foreign.ID), random, "x"} {
				got := g.do(sam, rt.method, path(id), url.Values{"do": {"secret"}, "name": {"mine"}})
				if got.status != 404 {
					t.Errorf("%s %s: status %d, want 404", rt.method, path(id), got.status)
				}
				bodies[id] = got.text("h1")
			}
			if bodies[string(foreign.ID)] != bodies[random] {
				t.Errorf("%s: another tenant's answers %q, one that is not there %q", rt.pattern, bodies[string(foreign.ID)], bodies[random])
			}
			for _, who := range []string{bob, eva} {
				if got := g.do(who, rt.method, path(string(g.refs["Entra ID"].ID)), nil); got.status != 403 {
					t.Errorf("%s %s as %s: status %d, want 403", rt.method, rt.pattern, who, got.status)
				}
			}
			if rt.needs.level == access.LevelChange {
				for _, who := range []string{chloe, ada} {
					if got := g.do(who, rt.method, path(string(g.refs["Entra ID"].ID)), nil); got.status != 403 {
						t.Errorf("%s %s as %s: status %d, want 403", rt.method, rt.pattern, who, got.status)
					}
				}
			}
		}
	})
}

func TestRequestsCanBeFound(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		list := g.sync("Entra ID") + "/requests"
		if got := g.get(sam, list); got.status != 200 || !strings.Contains(got.text(".empty"), "Nothing is recorded yet") || !strings.Contains(got.text("main"), "deleted after 7 days") {
			t.Errorf("none yet: %q", got.text("main"))
		}
		about := string(g.users[eva])
		for i := range requestsPerPage + 5 {
			g.record("Entra ID", time.Duration(i)*time.Minute, func(q *store.Request) {
				if i == 3 {
					q.ResourceKind, q.ResourceID, q.Method, q.Path = store.ResourceUser, about, "PATCH", "/Users/"+about
				}
				if i == 4 {
					q.Status, q.Cause = 409, "user-name-taken"
				}
			})
		}
		g.record("Okta", 0, nil)
		first := g.get(chloe, list)
		next := first.Find("a[rel=next]").AttrOr("href", "")
		second := g.get(chloe, next)
		if a, b := first.Find("#requests tbody tr").Length(), second.Find("#requests tbody tr").Length(); a != requestsPerPage || b != 5 {
			t.Errorf("%d and %d requests, want %d and 5", a, b, requestsPerPage)
		}
		for query, want := range map[string]int{
			"failed=yes": 1, "cause=user-name-taken": 1, "about=" + eva: 1, "about=" + about: 1, "about=nobody": 0, "cause=x": 0,
		} {
			got := g.get(chloe, list+"?"+query)
			if n := got.Find("#requests tbody tr").Length(); got.status != 200 || n != want {
				t.Errorf("%s: status %d, %d requests, want %d", query, got.status, n, want)
			}
			if want == 0 && got.Find(".empty a").AttrOr("href", "") != list {
				t.Errorf("%s: nothing, and no way out", query)
			}
		}
		if got := g.get(chloe, list+"?after=%21"); got.status != 400 {
			t.Errorf("a place that is none: status %d, want 400", got.status)
		}
		if got := g.get(chloe, list+".csv?failed=yes"); got.status != 200 || strings.Count(got.body, "\r\n") != 2 {
			t.Errorf("as a file: status %d, %q", got.status, got.body)
		}
	})
}

// TestFailuresLeadToWhomTheyMet follows the badge of the navigation to the cause, and
// that to the people.
func TestFailuresLeadToWhomTheyMet(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.record("Okta", time.Minute, nil)
		if got := g.get(chloe, "/me"); got.Find("#nav .chip").Length() != 0 {
			t.Errorf("all is well, and the navigation says %q", got.texts("#nav .chip"))
		}
		failed := func(path, body string) func(*store.Request) {
			return func(q *store.Request) {
				q.Method, q.Path, q.Query, q.Status, q.Cause, q.Body, q.BodySize = "POST", path, "", 409, "user-name-taken", body, int64(len(body))
				if strings.HasPrefix(path, "/Users/") {
					q.ResourceKind, q.ResourceID = store.ResourceUser, strings.TrimPrefix(path, "/Users/")
				}
			}
		}
		g.record("Entra ID", 9*time.Minute, failed("/Users", `{"userName":"`+strings.ToUpper(eva)+`"}`))
		g.record("Entra ID", 8*time.Minute, failed("/Users", `{"userName":"new@waterland.example"}`))
		g.record("Entra ID", 7*time.Minute, failed("/Users/"+string(g.users[bob]), `{"userName":"`+eva+`"}`))
		g.record("Entra ID", 6*time.Minute, failed("/Groups", `{"displayName":"planning"}`))
		for i, body := range []string{`{"userName":"…"}`, `[`, "", `{"userName":7}`, `{"userName":"new@waterland.example"}`} {
			g.record("Entra ID", time.Duration(5-i)*time.Minute, failed("/Users", body))
		}
		g.console.refusing = looks[[]store.ConnectionID]{} // what was looked at a moment ago
		got := g.get(chloe, "/me")
		if badge := got.texts("#nav .chip.bad"); !slices.Equal(badge, []string{"1 with failed requests"}) {
			t.Errorf("the navigation says %q", badge)
		}
		if facts := g.get(chloe, "/").texts(".facts li.bad"); !slices.Contains(facts, "Entra ID: requests failed in the last 24 hours") {
			t.Errorf("the overview says %q", facts)
		}
		if got := g.get(bob, "/people"); got.Find("#nav .chip").Length() != 0 {
			t.Errorf("who sees no connections is told %q", got.texts("#nav .chip"))
		}
		sync := g.get(chloe, got.Find("#nav a:has(.bad)").AttrOr("href", ""))
		list := g.get(chloe, sync.Find("main a[href*='cause=']").AttrOr("href", ""))
		if names := list.texts("#request-cause dd a"); !slices.Equal(names, []string{"Planning", "Bob Okafor", "Eva Smit"}) {
			t.Errorf("those who are known: %q", names)
		}
		if text := list.text("#request-cause"); !strings.Contains(text, "new@waterland.example, Planning, Bob Okafor, Eva Smit") || !strings.Contains(text, "in Entra for user-name-taken") || !strings.Contains(text, "9 times") {
			t.Errorf("the cause says %q", text)
		}
		for _, link := range list.Find("#request-cause dd a").EachIter() {
			if there := g.get(chloe, link.AttrOr("href", "")); there.status != 200 || there.text("h1") != link.Text() {
				t.Errorf("%s leads to status %d, %q", link.Text(), there.status, there.text("h1"))
			}
		}
		if other := g.get(chloe, g.sync("Okta")+"/requests?cause=user-name-taken"); strings.Contains(other.text("main"), "Eva") {
			t.Errorf("another connection tells of them: %q", other.text("main"))
		}
	})
}

func TestARequestInFull(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		about := string(g.users[eva])
		actor := store.Actor{Tenant: g.actor.Tenant, Kind: store.ActorSCIM, ID: "t", RequestID: "r-77"}
		err := g.Write(t.Context(), actor, func(tx *store.Tx) error {
			_, err := tx.UpdateUser(t.Context(), g.refs["Entra ID"], g.users[eva], func(u store.User) (store.User, error) { return user(u.UserName, "Eva de Wit", true), nil })
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		changes, err := g.Changes(t.Context(), g.actor.Tenant, 1)
		if err != nil {
			t.Fatal(err)
		}
		made := time.Unix(uuid.MustParse(string(changes[0].ID)).Time().UnixTime())
		q := g.record("Entra ID", 0, func(q *store.Request) {
			q.At = store.At(made) // ids of changes have the time that it is
			q.Method, q.Path, q.Query, q.RequestID, q.ResourceKind, q.ResourceID = "PATCH", "/Users/"+about, "", "r-77", store.ResourceUser, about
			q.Body, q.BodySize, q.Answer, q.AnswerSize = `{"displayName":"Eva's <b>"}`, 27, `{"id":"x"}`, 10
			q.Status, q.Cause, q.Detail = 409, "user-name-taken", "A user of that name is here."
		})
		got := g.get(chloe, g.sync("Entra ID")+"/requests/"+string(q.ID))
		for _, want := range []string{"41 ms", "A user of that name is here.", "title of user-name-taken", "in Entra for user-name-taken", "Eva de Wit", "deleted after 7 days", "27 bytes"} {
			if !strings.Contains(got.text("main"), want) {
				t.Errorf("got %q, want %q in it", got.text("main"), want)
			}
		}
		if strings.Contains(got.text("main"), "in Okta") {
			t.Error("Entra's page says what to do in Okta")
		}
		if got.Find("#changed tbody tr").Length() != 1 {
			t.Errorf("what it changed: %q", got.text("#changed"))
		}
		want := "curl -X 'PATCH' '" + g.server.URL + "/scim/" + string(g.refs["Entra ID"].ID) + "/v2/Users/" + about + `' \` + "\n" +
			`  -H 'Authorization: Bearer TOKEN' \` + "\n" + `  -H 'Content-Type: application/scim+json' \` + "\n" + `  --data-binary '{"displayName":"Eva'\''s <b>"}'`
		if curl := got.Find("#curl").Text(); curl != want {
			t.Errorf("got\n%s\nwant\n%s", curl, want)
		}
		for _, gone := range []string{"0199aaaa-0000-7000-8000-000000000000", "x", "0"} {
			got := g.get(chloe, g.sync("Entra ID")+"/requests/"+gone)
			if got.status != 404 || !strings.Contains(got.text("main"), "deleted after 7 days") {
				t.Errorf("request %s: status %d, %q, want to be told that its time is over", gone, got.status, got.text("main"))
			}
		}
		if got := g.get(chloe, g.sync("Okta")+"/requests/"+string(q.ID)); got.status != 404 {
			t.Errorf("of another connection: status %d, want 404", got.status)
		}
	})
}

// TestMassRemovalsAlarm holds that many leavers at once are said by name, where
// people look first, and only to those who may see them.
func TestMassRemovalsAlarm(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		actor := store.Actor{Tenant: g.actor.Tenant, Kind: store.ActorSCIM, ID: "t"}
		err := g.Write(t.Context(), actor, func(tx *store.Tx) error {
			left := 0
			for _, name := range slices.Sorted(maps.Keys(g.users)) {
				if slices.Contains(everybody, name) || !strings.HasSuffix(name, "@waterland.example") || left == 15 {
					continue
				}
				left++
				_, err := tx.UpdateUser(t.Context(), g.refs["Entra ID"], g.users[name], func(u store.User) (store.User, error) { return user(u.UserName, u.DisplayName, false), nil })
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, page := range []string{"/sync", g.sync("Entra ID"), "/"} {
			got := g.get(chloe, page)
			if text := got.text(".alarm"); !strings.Contains(text, "Entra ID took away 14 of") || !strings.Contains(text, "people within minutes") || !strings.Contains(text, "Alice Jansen") {
				t.Errorf("%s: got %q, want the alarm with the names", page, text)
			}
		}
		for who, page := range map[string]string{bob: "/", chloe: g.sync("Okta")} {
			if got := g.get(who, page); got.Find(".alarm").Length() != 0 {
				t.Errorf("%s at %s: got %q, want no alarm", who, page, got.text(".alarm"))
			}
		}
	})
}

// onceShown follows the redirect of a form that made a secret, with the cookie that it
// set, and gives the page that shows it.
func (g *rig) onceShown(as string, made answer) (answer, *http.Cookie) {
	g.t.Helper()
	r := http.Response{Header: made.header}
	for _, c := range r.Cookies() {
		if c.Name == onceCookie {
			return g.get(as, made.header.Get("Location"), func(r *http.Request) { r.AddCookie(c) }), c
		}
	}
	g.t.Fatalf("status %d to %q without a cookie: %q", made.status, made.header.Get("Location"), made.text("main"))
	return answer{}, nil
}
