package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// all reads every page of a search and gives the ids, or names, in order.
func (r *rig) all(t *testing.T, kind, body string, limit int) []string {
	t.Helper()
	ids, token := []string{}, ""
	for range 100 {
		page := fmt.Sprintf(`,"page":{"limit":%d,"token":%q}}`, limit, token)
		got := r.send(t, "POST", "/p/clicktime/access/v1/search/"+kind, r.key, strings.TrimSuffix(body, "}")+page)
		results, ok := got.doc["results"].([]any)
		if got.status != 200 || !ok || len(results) > limit {
			t.Fatalf("%s %s: got %d %s", kind, body, got.status, got.raw)
		}
		for i := range results {
			id, _ := got.at("results", i, "id").(string)
			if id == "" {
				id, _ = got.at("results", i, "name").(string)
			}
			ids = append(ids, id)
		}
		if token, _ = got.at("page", "next_token").(string); token == "" {
			return ids
		}
	}
	t.Fatalf("%s %s: no end", kind, body)
	return nil
}

// TestSearchesAgreeWithDecisions asks about everybody, everywhere and everything one
// by one, and holds that the searches find just that, in pages of any size.
func TestSearchesAgreeWithDecisions(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		for i := range 7 {
			name := fmt.Sprintf("more%d", i)
			r.addUser(t, r.conn, name, name+"@acme.example", i != 3)
			if i%2 == 1 {
				r.addGroup(t, "g"+name, string(r.users[name]))
			}
		}
		r.grant(t, "one group", access.Grant{Subject: access.Grantee{Group: access.GroupID(r.groups["gmore1"])}, Effect: access.Allow, Product: "clicktime", Role: "all",
			Scope: access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {All: true}, "team": {All: true}}}, Origin: access.OriginMapping})
		r.grant(t, "another", access.Grant{Subject: access.Grantee{Group: access.GroupID(r.groups["gmore3"])}, Effect: access.Allow, Product: "clicktime", Role: "all",
			Scope: access.Scope{Everywhere: true}, Origin: access.OriginMapping})
		allows := func(subject, action, resource string) bool {
			return r.send(t, "POST", evaluation, r.plain, ask(subject, action, resource)).doc["decision"] == true
		}
		ids := func(of map[string]bool) []string {
			var all []string
			for id := range of {
				all = append(all, id)
			}
			slices.Sort(all)
			return all
		}
		checked := 0
		check := func(kind, body string, want []string) {
			t.Helper()
			slices.Sort(want)
			for _, limit := range []int{1, 2, 1000} {
				got := r.all(t, kind, body, limit)
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Errorf("%s %s in pages of %d:\ngot  %v\nwant %v", kind, body, limit, got, want)
				}
				checked += len(got)
			}
		}
		for _, action := range []string{"timesheet.view", "timesheet.maintain", "salary.view", "rota.week.view"} {
			for _, where := range []string{site("berlin", "cleaning"), site("paris", ""), site("eu", "guards"), site("sydney", ""), `{"type":"product","id":"clicktime"}`} {
				want := map[string]bool{}
				for _, id := range r.users {
					if allows(user(string(id)), action, where) {
						want[string(id)] = true
					}
				}
				check("subject", `{"subject":{"type":"user","id":"ignored"},"action":{"name":"`+action+`"},"resource":`+where+`}`, ids(want))
				want = map[string]bool{}
				for _, id := range r.groups {
					if allows(group(string(id)), action, where) {
						want[string(id)] = true
					}
				}
				check("subject", `{"subject":{"type":"group"},"action":{"name":"`+action+`"},"resource":`+where+`}`, ids(want))
			}
			for name, id := range r.users {
				for _, team := range []string{"", "cleaning"} {
					var want []string
					resource := `{"type":"site"}`
					if team != "" {
						resource = `{"type":"site","properties":{"team":"` + team + `"}}`
					}
					for _, key := range []string{"eu", "berlin", "sydney"} { // paris' id is another's key
						if allows(user(string(id)), action, site(key, team)) {
							want = append(want, key)
						}
					}
					got := r.all(t, "resource", `{"subject":`+user(string(id))+`,"action":{"name":"`+action+`"},"resource":`+resource+`}`, 1)
					got = slices.DeleteFunc(got, func(id string) bool { return !slices.Contains([]string{"eu", "berlin", "sydney"}, id) })
					slices.Sort(got)
					slices.Sort(want)
					if !slices.Equal(got, want) {
						t.Errorf("where may %s %s for %q: got %v, want %v", name, action, team, got, want)
					}
					checked += len(got)
				}
			}
		}
		for _, id := range r.users {
			var want []string
			for _, action := range []string{"timesheet.view", "timesheet.maintain", "salary.view", "salary.maintain", "rota.week.view", "rota.week.maintain",
				"sheet.maintain", "sheet.view.view", "sheet.view.maintain"} {
				if allows(user(string(id)), action, site("berlin", "cleaning")) {
					want = append(want, action)
				}
			}
			check("action", `{"subject":`+user(string(id))+`,"resource":`+site("berlin", "cleaning")+`}`, want)
		}
		if checked < 100 {
			t.Fatalf("%d results in all: these searches find too little to be worth asking", checked)
		}
	})
}

// TestSearchesForNothing holds that what isn't there is found nowhere, and that the
// answer says why.
func TestSearchesForNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		may := `"action":{"name":"timesheet.view"}`
		for _, test := range []struct{ kind, body, reason string }{
			{"subject", `{"subject":{"type":"robot"},` + may + `,"resource":` + site("berlin", "") + `}`, "unknown_subject_type"},
			{"subject", `{"subject":{"type":"user"},` + may + `,"resource":` + site("rome", "") + `}`, "unknown_site"},
			{"subject", `{"subject":{"type":"user"},"action":{"name":"fly"},"resource":` + site("berlin", "") + `}`, "unknown_permission"},
			{"subject", `{"subject":{"type":"user"},` + may + `,"resource":{"type":"door","id":"1"}}`, "unknown_dimension"},
			{"resource", `{"subject":` + user("nobody") + `,` + may + `,"resource":{"type":"site"}}`, "unknown_person"},
			{"resource", `{"subject":` + user("ann") + `,` + may + `,"resource":{"type":"door"}}`, "unknown_dimension"},
			{"resource", `{"subject":` + user("ann") + `,"action":{"name":"timesheet"},"resource":{"type":"site"}}`, "unknown_level"},
			{"action", `{"subject":` + user("nobody") + `,"resource":` + site("berlin", "") + `}`, "unknown_person"},
			{"action", `{"subject":` + user("ann") + `,"resource":` + site("rome", "") + `}`, "unknown_site"},
		} {
			got := r.send(t, "POST", "/p/clicktime/access/v1/search/"+test.kind, r.key, test.body)
			results, ok := got.doc["results"].([]any)
			if got.status != 200 || !ok || len(results) != 0 || got.at("context", "reason") != test.reason || got.at("page", "next_token") != "" {
				t.Errorf("%s %s: got %d %s, want no results because of %s", test.kind, test.body, got.status, got.raw, test.reason)
			}
		}
	})
}

// TestPageTokens holds that a token goes with its question alone, and not for ever.
func TestPageTokens(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		path := "/p/clicktime/access/v1/search/resource"
		body := func(who, action, more, page string) string {
			return `{"subject":` + user(who) + `,"action":{"name":"` + action + `"},"resource":{"type":"site","id":"berlin"}` + more + `,"page":` + page + `}`
		}
		first := r.send(t, "POST", path, r.key, body("ann", "timesheet.view", "", `{"limit":1}`))
		token, _ := first.at("page", "next_token").(string)
		if token == "" {
			t.Fatalf("no second page: %s", first.raw)
		}
		at := func(token string) string { return fmt.Sprintf(`{"limit":1,"token":%q}`, token) }
		if got := r.send(t, "POST", path, r.key, body("ann", "timesheet.view", "", at(token))); got.status != 200 || got.at("results", 0, "id") == first.at("results", 0, "id") {
			t.Errorf("the second page: got %d %s after %s", got.status, got.raw, first.raw)
		}
		// Members in another order are the same question.
		same := `{"page":` + at(token) + `,"resource":{"id":"berlin","type":"site"},"action":{"name":"timesheet.view"},"subject":{"id":"ann","type":"user"}}`
		if got := r.send(t, "POST", path, r.key, same); got.status != 200 {
			t.Errorf("the same in another order: got %d %s", got.status, got.raw)
		}
		otherKey, _ := r.addKey(t, "clicktime", true)
		if got := r.send(t, "POST", path, otherKey, body("ann", "timesheet.view", "", at(token))); got.status != 200 {
			t.Errorf("another key of the same product: got %d %s", got.status, got.raw)
		}
		for _, test := range []struct{ why, path, key, body string }{
			{"another person", path, r.key, body("bob", "timesheet.view", "", at(token))},
			{"another action", path, r.key, body("ann", "timesheet.maintain", "", at(token))},
			{"another context", path, r.key, body("ann", "timesheet.view", `,"context":{"time":1}`, at(token))},
			{"another limit", path, r.key, body("ann", "timesheet.view", "", fmt.Sprintf(`{"limit":2,"token":%q}`, token))},
			{"no limit", path, r.key, body("ann", "timesheet.view", "", fmt.Sprintf(`{"token":%q}`, token))},
			{"another search", "/p/clicktime/access/v1/search/action", r.key, body("ann", "timesheet.view", "", at(token))},
			{"another product", "/p/phone/access/v1/search/resource", r.phone, body("ann", "timesheet.view", "", at(token))},
			{"cut off", path, r.key, body("ann", "timesheet.view", "", at(token[:len(token)-1]))},
			{"one letter other", path, r.key, body("ann", "timesheet.view", "", at(flip(token)))},
			{"made up", path, r.key, body("ann", "timesheet.view", "", at("AAAA"))},
			{"not even base64", path, r.key, body("ann", "timesheet.view", "", at("?!"))},
		} {
			if got := r.send(t, "POST", test.path, test.key, test.body); got.status != 400 || !strings.Contains(got.raw, "page token") {
				t.Errorf("%s: got %d %s, want 400", test.why, got.status, got.raw)
			}
		}
		r.clock.advance(pageLife)
		if got := r.send(t, "POST", path, r.key, body("ann", "timesheet.view", "", at(token))); got.status != 400 || !strings.Contains(got.raw, "older than") {
			t.Errorf("an hour later: got %d %s", got.status, got.raw)
		}
	})
}

func flip(token string) string {
	last := byte('A')
	if token[5] == 'A' {
		last = 'B'
	}
	return token[:5] + string(last) + token[6:]
}

// TestPeopleWhoLeaveLoseNobodyElse removes people between pages: those who stay are
// all found, once.
func TestPeopleWhoLeaveLoseNobodyElse(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		var stay, members []string
		for i := range 60 {
			name := fmt.Sprintf("p%02d", i)
			r.addUser(t, r.conn, name, name+"@acme.example", true)
			members = append(members, string(r.users[name]))
			if i%3 != 0 {
				stay = append(stay, string(r.users[name]))
			}
		}
		r.addGroup(t, "crowd", members...)
		r.grant(t, "crowd", access.Grant{Subject: access.Grantee{Group: access.GroupID(r.groups["crowd"])}, Effect: access.Allow, Product: "clicktime",
			Permission: "salary", Level: "view", Scope: access.Scope{Everywhere: true}, Origin: access.OriginMapping})
		var found []string
		cursor, gone := "", 0
		for {
			got := r.send(t, "GET", "/api/v1/sites/site/berlin/people?permission=salary&limit=7&cursor="+url.QueryEscape(cursor), r.key, "")
			if cursor == "" {
				got = r.send(t, "GET", "/api/v1/sites/site/berlin/people?permission=salary&limit=7", r.key, "")
			}
			if got.status != 200 {
				t.Fatalf("got %d %s", got.status, got.raw)
			}
			for i := range got.doc["people"].([]any) {
				found = append(found, got.at("people", i, "user", "id").(string))
			}
			for range 5 { // leave from either end
				if i := gone * 3; i < 60 {
					r.write(t, func(ctx context.Context, tx *store.Tx) error {
						return tx.DeleteUser(ctx, r.conn.Ref(), store.UserID(members[i]))
					})
					gone++
				}
			}
			if cursor, _ = got.doc["next_cursor"].(string); cursor == "" {
				break
			}
		}
		for _, id := range stay {
			if n := len(slices.DeleteFunc(slices.Clone(found), func(other string) bool { return other != id })); n != 1 {
				t.Errorf("%s stayed and was found %d times", id, n)
			}
		}
	})
}

func TestUserAccess(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		for _, name := range []string{"ann", "ANN@acme.example", string(r.users["ann"])} {
			got := r.send(t, "GET", "/api/v1/users/"+url.PathEscape(name)+"/access", r.plain, "")
			if got.status != 200 || got.at("user", "id") != string(r.users["ann"]) || got.at("user", "user_name") != "ann" {
				t.Fatalf("%s: got %d %s", name, got.status, got.raw)
			}
			held := map[string]string{}
			for i := range got.doc["access"].([]any) {
				held[got.at("access", i, "permission").(string)] = got.at("access", i, "level").(string)
				if got.at("access", i, "area", "site", "sites", 0, "key") != "eu" || got.at("access", i, "area", "team", "all") != true {
					t.Errorf("%s: item %d is not of eu and all teams: %s", name, i, got.raw)
				}
				if got.at("access", i, "via", 0, "grant") != string(r.grants["staff"]) || got.at("access", i, "via", 0, "groups", 1, "name") != "staff" {
					t.Errorf("%s: item %d is not through crew and staff: %s", name, i, got.raw)
				}
			}
			if text, _ := json.Marshal(held); string(text) != `{"rota.week":"view","timesheet":"maintain"}` {
				t.Errorf("%s: got %s", name, text)
			}
		}
		got := r.send(t, "GET", "/api/v1/users/cid/access", r.plain, "")
		if got.at("not_live", 0) != "not_active" || got.at("access", 0) != nil {
			t.Errorf("cid, who is not active: got %s", got.raw)
		}
		got = r.send(t, "GET", "/api/v1/users/ann/access", r.phone, "")
		if got.doc["product"] != "phone" || got.at("access", 0, "permission") != "call" || got.at("access", 1) != nil {
			t.Errorf("ann's access to phone: got %s", got.raw)
		}
	})
}

func TestSitePeople(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		who := func(path string) string {
			t.Helper()
			got := r.send(t, "GET", "/api/v1/sites/"+path, r.key, "")
			if got.status != 200 {
				t.Fatalf("%s: got %d %s", path, got.status, got.raw)
			}
			var all []string
			for i := range got.doc["people"].([]any) {
				text := got.at("people", i, "user", "user_name").(string)
				for j := range got.at("people", i, "access").([]any) {
					text += fmt.Sprintf(" %v.%v", got.at("people", i, "access", j, "permission"), got.at("people", i, "access", j, "level"))
				}
				all = append(all, text)
			}
			slices.Sort(all)
			return strings.Join(all, "; ")
		}
		for path, want := range map[string]string{
			"site/berlin/people":                                                        "ann timesheet.maintain rota.week.view",
			"site/berlin/people?site=team:cleaning":                                     "ann timesheet.maintain rota.week.view; bob timesheet.view rota.week.view",
			"team/cleaning/people?site=site:berlin":                                     "ann timesheet.maintain rota.week.view; bob timesheet.view rota.week.view",
			"site/berlin/people?site=team:cleaning&permission=timesheet":                "ann timesheet.maintain; bob timesheet.view",
			"site/berlin/people?site=team:cleaning&permission=timesheet&level=maintain": "ann timesheet.maintain",
			"site/berlin/people?level=maintain":                                         "ann timesheet.maintain",
			"site/sydney/people":                                                        "",
			"team/guards/people":                                                        "",
			"site/" + string(r.sites["berlin"]) + "/people":                             "ann timesheet.maintain rota.week.view",
		} {
			if got := who(path); got != want {
				t.Errorf("%s: got %q, want %q", path, got, want)
			}
		}
	})
}

func TestExplain(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		got := r.send(t, "GET", "/api/v1/explain?user=ann&permission=timesheet&level=maintain&site=site:berlin&site=team:guards", r.plain, "")
		if got.doc["allowed"] != true || got.doc["reason"] != "granted" || got.doc["level"] != "maintain" || got.at("through", 0, "groups", 0, "name") != "crew" {
			t.Errorf("a yes: got %d %s", got.status, got.raw)
		}
		got = r.send(t, "GET", "/api/v1/explain?user=bob&permission=timesheet&level=maintain&site=site:berlin&site=team:cleaning", r.plain, "")
		if got.doc["allowed"] != false || got.doc["reason"] != "denied" || got.doc["level"] != "view" || got.at("missing", 0, "way", "grant") != string(r.grants["no bob"]) {
			t.Errorf("a no: got %d %s", got.status, got.raw)
		}
		got = r.send(t, "GET", "/api/v1/explain?user=dan&permission=timesheet&level=maintain&site=site:berlin&site=team:cleaning", r.plain, "")
		if got.at("missing", 0, "reasons", 0) != "not_member" || got.at("missing", 0, "way", "groups", 0, "name") != "staff" {
			t.Errorf("somebody who is in no group: got %d %s", got.status, got.raw)
		}
	})
}

// TestChanges follows the log beside a writer and holds that nothing that matters to
// the product is left out, and nothing about other products is there.
func TestChanges(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		isGrant := func(a string) bool { return strings.HasPrefix(a, "grant.created allow clicktime supervisor") }
		cursor := ""
		read := func() (actions []string) {
			t.Helper()
			for {
				got := r.send(t, "GET", "/api/v1/changes?limit=3&cursor="+url.QueryEscape(cursor), r.key, "")
				if cursor == "" {
					got = r.send(t, "GET", "/api/v1/changes?limit=3", r.key, "")
				}
				if got.status != 200 {
					t.Fatalf("got %d %s", got.status, got.raw)
				}
				for i := range got.doc["changes"].([]any) {
					actions = append(actions, got.at("changes", i, "action").(string)+" "+got.at("changes", i, "subject", "name").(string))
				}
				cursor = got.doc["cursor"].(string)
				if got.doc["more"] != true {
					return actions
				}
			}
		}
		// Whatever else is open on PostgreSQL's server holds the log back for a moment:
		// cid's grant is the newest that is the product's.
		isNewest := func(a string) bool { return strings.HasPrefix(a, "grant.created allow clicktime all") }
		first := read()
		for deadline := time.Now().Add(2 * time.Minute); !slices.ContainsFunc(first, isNewest) && time.Now().Before(deadline); {
			first = append(first, read()...)
		}
		if !slices.Contains(first, "user.created ann") || !slices.ContainsFunc(first, isGrant) || !slices.ContainsFunc(first, isNewest) {
			t.Errorf("from the beginning: got %v", first)
		}
		for _, other := range []string{"phone", "token.", "key.", "connection.", "tenant."} {
			if slices.ContainsFunc(first, func(a string) bool { return strings.Contains(a, other) }) {
				t.Errorf("%s is no business of clicktime: got %v", other, first)
			}
		}
		if again := read(); len(again) != 0 {
			t.Errorf("with nothing new: got %v", again)
		}
		r.write(t, func(ctx context.Context, tx *store.Tx) error {
			return tx.EndGrants(ctx, r.grants["bob"], r.grants["everyone"])
		})
		r.addUser(t, r.conn, "new", "new@acme.example", true)
		var got []string
		for deadline := time.Now().Add(2 * time.Minute); len(got) < 2 && time.Now().Before(deadline); {
			got = append(got, read()...)
		}
		if !slices.Equal(got, []string{"grant.ended allow clicktime supervisor", "user.created new"}) {
			t.Errorf("after a grant of each product ended: got %v", got)
		}
		if got := r.send(t, "GET", "/api/v1/changes?cursor=nonsense", r.key, ""); got.status != 400 || got.doc["code"] != "unknown_cursor" {
			t.Errorf("a cursor that isn't one: got %d %s", got.status, got.raw)
		}
	})
}
