package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

func TestDecisions(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		other := r.addConnection(t, "okta")
		// One whose name is another's address, and one who has the same address.
		r.addUser(t, other, "dan@acme.example", "else@acme.example", true)
		r.addUser(t, other, "eve", "bob@acme.example", true)
		for _, test := range []struct {
			why, path, key string
			body           string
			want           bool
			reason         access.Reason
		}{
			{why: "through a group within a group, at a site below", body: ask(user("ann"), "timesheet.maintain", site("berlin", "guards")), want: true, reason: granted},
			{why: "a level includes those below it", body: ask(user("ann"), "timesheet.view", site("berlin", "guards")), want: true, reason: granted},
			{why: "all teams are asked about, and all are granted", body: ask(user("ann"), "timesheet.view", site("berlin", "")), want: true, reason: granted},
			{why: "names are compared without regard to case", body: ask(user("ANN"), "timesheet.view", site("berlin", "")), want: true, reason: granted},
			{why: "by e-mail address", body: ask(user("Ann@acme.example"), "timesheet.view", site("berlin", "")), want: true, reason: granted},
			{why: "by id", body: ask(user(string(r.users["ann"])), "timesheet.view", site("berlin", "")), want: true, reason: granted},
			{why: "sites by id", body: ask(user("ann"), "timesheet.view", site(string(r.sites["berlin"]), string(r.sites["guards"]))), want: true, reason: granted},
			{why: "a permission with a dot in it", body: ask(user("ann"), "rota.week.view", site("berlin", "")), want: true, reason: granted},
			{why: "what a group has by itself", body: ask(group("crew"), "timesheet.maintain", site("paris", "guards")), want: true, reason: granted},
			{why: "groups by id, too", body: ask(group(string(r.groups["staff"])), "timesheet.maintain", site("paris", "guards")), want: true, reason: granted},
			{why: "a product without dimensions", path: byPhone, key: r.phone, body: ask(user("dan"), "call", `{"type":"product","id":"phone"}`), want: true, reason: granted},
			{why: "a product without levels says so by itself", path: byPhone, key: r.phone, body: ask(user("dan"), "call.allow", `{"type":"product","id":"phone"}`), want: true, reason: granted},
			{why: "everyone is in every group", path: byPhone, key: r.phone, body: ask(group("crew"), "call", `{"type":"product","id":"phone"}`), want: true, reason: granted},
			{why: "members that aren't known are ignored", body: ask(user("ann"), "timesheet.view", site("berlin", ""), `,"trace":{"a":[1]},"Options":3`), want: true, reason: granted},

			{why: "a deny", body: ask(user("bob"), "timesheet.maintain", site("berlin", "cleaning")), reason: access.Denied},
			{why: "and what the deny leaves", body: ask(user("bob"), "timesheet.view", site("berlin", "cleaning")), want: true, reason: granted},
			{why: "not for this team", body: ask(user("bob"), "timesheet.view", site("berlin", "guards")), reason: access.OtherSite},
			{why: "not for all teams", body: ask(user("bob"), "timesheet.view", site("berlin", "")), reason: access.OtherSite},
			{why: "not above", body: ask(user("bob"), "timesheet.view", site("eu", "cleaning")), reason: access.OtherSite},
			{why: "less than that", body: ask(user("ann"), "rota.week.maintain", site("berlin", "")), reason: access.LevelTooLow},
			{why: "nothing of it", body: ask(user("ann"), "salary.view", site("berlin", "")), reason: access.NotGranted},
			{why: "in no group", body: ask(user("dan"), "timesheet.view", site("berlin", "guards")), reason: access.NotGranted},
			{why: "not active", body: ask(user("cid"), "salary.maintain", site("berlin", "")), reason: access.NotActive},
			{why: "the product as a whole needs ALL", body: ask(user("ann"), "timesheet.view", `{"type":"product","id":"clicktime"}`), reason: access.OtherSite},
			{why: "the product at a place", body: ask(user("ann"), "timesheet.view", `{"type":"product","id":"clicktime","properties":{"site":"berlin"}}`), want: true, reason: granted},

			{why: "nobody", body: ask(user("nobody"), "timesheet.view", site("berlin", "")), reason: access.UnknownPerson},
			{why: "nobody of that id", body: ask(user("01890000-0000-7000-8000-00000000beef"), "timesheet.view", site("berlin", "")), reason: access.UnknownPerson},
			{why: "a group's id is no user's", body: ask(user(string(r.groups["crew"])), "timesheet.view", site("berlin", "")), reason: access.UnknownPerson},
			{why: "the name of one is the address of another", body: ask(user("dan@acme.example"), "timesheet.view", site("berlin", "cleaning")), reason: ambiguousSubject},
			{why: "an address that two have", body: ask(user("bob@acme.example"), "timesheet.view", site("berlin", "cleaning")), reason: ambiguousSubject},
			{why: "no such group", body: ask(group("nobody"), "timesheet.view", site("berlin", "")), reason: unknownGroup},
			{why: "a user's id is no group's", body: ask(group(string(r.users["ann"])), "timesheet.view", site("berlin", "")), reason: unknownGroup},
			{why: "some other kind of subject", body: ask(`{"type":"robot","id":"ann"}`, "timesheet.view", site("berlin", "")), reason: unknownSubjectType},
			{why: "types are compared exactly", body: ask(`{"type":"User","id":"ann"}`, "timesheet.view", site("berlin", "")), reason: unknownSubjectType},
			{why: "no such permission", body: ask(user("ann"), "fly.view", site("berlin", "")), reason: access.UnknownPermission},
			{why: "permissions are compared exactly", body: ask(user("ann"), "Timesheet.view", site("berlin", "")), reason: access.UnknownPermission},
			{why: "no such level", body: ask(user("ann"), "timesheet.own", site("berlin", "")), reason: access.UnknownLevel},
			{why: "which level?", body: ask(user("ann"), "timesheet", site("berlin", "")), reason: access.UnknownLevel},
			{why: "a level that isn't there", body: ask(user("ann"), "timesheet.", site("berlin", "")), reason: access.UnknownPermission},
			{why: "sheet at view, or sheet.view?", body: ask(user("ann"), "sheet.view", site("berlin", "")), reason: access.AmbiguousAction},
			{why: "no such site", body: ask(user("ann"), "timesheet.view", site("rome", "")), reason: access.UnknownSite},
			{why: "a site of another dimension", body: ask(user("ann"), "timesheet.view", site("guards", "")), reason: access.UnknownSite},
			{why: "an archived site", body: ask(user("ann"), "timesheet.view", site("sydney", "")), reason: access.ArchivedSite},
			{why: "no such team", body: ask(user("ann"), "timesheet.view", site("berlin", "pilots")), reason: access.UnknownSite},
			{why: "an empty team", body: ask(user("ann"), "timesheet.view", `{"type":"site","id":"berlin","properties":{"team":""}}`), reason: access.UnknownSite},
			{why: "a team that is no text", body: ask(user("ann"), "timesheet.view", `{"type":"site","id":"berlin","properties":{"team":["guards"]}}`), reason: access.UnknownSite},
			{why: "a team that is null", body: ask(user("ann"), "timesheet.view", `{"type":"site","id":"berlin","properties":{"team":null}}`), reason: access.UnknownSite},
			{why: "two sites at once", body: ask(user("ann"), "timesheet.view", `{"type":"site","id":"berlin","properties":{"site":"paris"}}`), reason: access.AmbiguousSite},
			{why: "the same site twice", body: ask(user("ann"), "timesheet.view", `{"type":"site","id":"berlin","properties":{"site":"berlin"}}`), want: true, reason: granted},
			{why: "the key of one, the id of another", body: ask(user("ann"), "timesheet.view", site(string(r.sites["paris"]), "")), reason: access.AmbiguousSite},
			{why: "no such type of resource", body: ask(user("ann"), "timesheet.view", `{"type":"door","id":"berlin"}`), reason: access.UnknownDimension},
			{why: "another product", body: ask(user("ann"), "timesheet.view", `{"type":"product","id":"phone"}`), reason: access.UnknownProduct},
			{why: "a dimension of other products only", path: byPhone, key: r.phone, body: ask(user("dan"), "call", site("berlin", "")), reason: access.UnknownDimension},
			{why: "letters that look alike", body: ask(user("аnn"), "timesheet.view", site("berlin", "")), reason: access.UnknownPerson},
		} {
			path, key := evaluation, r.plain
			if test.path != "" {
				path, key = test.path, test.key
			}
			got := r.send(t, "POST", path, key, test.body)
			if got.status != 200 || got.doc["decision"] != test.want || got.at("context", "reason") != string(test.reason) {
				t.Errorf("%s: %s\ngot %d %s, want decision %v, reason %s", test.why, test.body, got.status, got.raw, test.want, test.reason)
			}
			// The same in a batch, and in words, which end in a stable code, too.
			batch := r.send(t, "POST", strings.TrimSuffix(path, "evaluation")+"evaluations", key, `{"evaluations":[`+test.body+`,`+test.body+`]}`)
			if batch.at("evaluations", 1, "decision") != test.want || batch.at("evaluations", 1, "context", "reason") != string(test.reason) {
				t.Errorf("%s: in a batch: got %s", test.why, batch.raw)
			}
			words := r.send(t, "POST", path, key, strings.TrimSuffix(test.body, "}")+`,"context":{"explain":true}}`)
			if words.doc["decision"] != test.want || words.at("context", "reason") != string(test.reason) {
				t.Errorf("%s: in words: got %s", test.why, words.raw)
			}
			for _, of := range []string{"reason_user", "reason_admin"} {
				for _, language := range []string{"en", "nl"} {
					if text, _ := words.at("context", of, language).(string); text == "" {
						t.Errorf("%s: no %s in %s: %s", test.why, of, language, words.raw)
					}
				}
			}
		}
	})
}

// TestWordsNameTheGrant holds that an administrator is told which grant, through
// which groups.
func TestWordsNameTheGrant(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		for _, test := range []struct {
			who, action, at string
			want            []string
		}{
			{"ann", "timesheet.maintain", "berlin", []string{string(r.grants["staff"]), "crew → staff", "Europe", "supervisor"}},
			{"bob", "timesheet.maintain", "berlin", []string{string(r.grants["no bob"]), "Deny", "to the person", "everywhere"}},
			{"dan", "timesheet.maintain", "berlin", []string{string(r.grants["staff"]), "staff", "isn't in"}},
		} {
			got := r.send(t, "POST", evaluation, r.key, ask(user(test.who), test.action, site(test.at, "cleaning"), `,"context":{"explain":true}`))
			text, _ := got.at("context", "reason_admin", "en").(string)
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("%s: got %q, want %q in it", test.who, text, want)
				}
			}
		}
	})
}

// TestEveryReasonHasWords holds that there are words for each code in both languages,
// and for no other.
func TestEveryReasonHasWords(t *testing.T) {
	for _, reason := range append(access.Reasons(), granted, ambiguousSubject, unknownSubjectType, unknownGroup) {
		p, ok := phrases[reason]
		if !ok || p.userEN == "" || p.userNL == "" || p.adminEN == "" || p.adminNL == "" || p.userEN == p.userNL || p.adminEN == p.adminNL {
			t.Errorf("%s: no words for it in both languages: %+v", reason, p)
		}
	}
	if got, want := len(phrases), len(access.Reasons())+4; got != want {
		t.Errorf("words for %d reasons, want %d: there are words for none of them", got, want)
	}
}

func TestBatches(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		yes := `{"resource":` + site("berlin", "guards") + `}`
		no := `{"resource":` + site("rome", "") + `}`
		bad := `{"resource":{"type":"site"}}`
		batch := func(semantic string, items ...string) string {
			options := ""
			if semantic != "" {
				options = `,"options":{"evaluations_semantic":"` + semantic + `","other":1}`
			}
			return `{"subject":` + user("ann") + `,"action":{"name":"timesheet.view"}` + options + `,"evaluations":[` + strings.Join(items, ",") + `]}`
		}
		for _, test := range []struct {
			why, body string
			want      []bool
		}{
			{"all are answered, in order", batch("", yes, no, yes), []bool{true, false, true}},
			{"so is said", batch("execute_all", yes, no, yes), []bool{true, false, true}},
			{"until the first no", batch("deny_on_first_deny", yes, yes, no, yes), []bool{true, true, false}},
			{"no no", batch("deny_on_first_deny", yes, yes), []bool{true, true}},
			{"until the first yes", batch("permit_on_first_permit", no, bad, yes, no), []bool{false, false, true}},
			{"no yes", batch("permit_on_first_permit", no, no), []bool{false, false}},
			{"what can't be read is no", batch("", yes, bad, `5`, `{}`, `{"resource":null}`, yes), []bool{true, false, false, false, false, true}},
			{"also for the first no", batch("deny_on_first_deny", bad, yes), []bool{false}},
			{"an entity replaces the whole of the default",
				`{"subject":` + user("ann") + `,"action":{"name":"timesheet.view"},"resource":` + site("berlin", "guards") + `,"evaluations":[{},{"resource":{"type":"site","id":"paris"}},{"resource":{"id":"paris"}},{"subject":` + user("dan") + `},{"action":{"name":"salary.view"}}]}`,
				[]bool{true, true, false, false, false}},
			{"no defaults at all", `{"evaluations":[` + ask(user("ann"), "timesheet.view", site("paris", "")) + `,{"subject":` + user("ann") + `}]}`, []bool{true, false}},
			{"groups and people together", `{"action":{"name":"timesheet.view"},"resource":` + site("paris", "") + `,"evaluations":[{"subject":` + user("ann") + `},{"subject":` + group("crew") + `},{"subject":` + user("crew") + `}]}`, []bool{true, true, false}},
		} {
			got := r.send(t, "POST", evaluations, r.plain, test.body)
			list, _ := got.doc["evaluations"].([]any)
			var decisions []bool
			for i := range list {
				decision, ok := got.at("evaluations", i, "decision").(bool)
				if !ok {
					t.Fatalf("%s: got %s", test.why, got.raw)
				}
				decisions = append(decisions, decision)
			}
			if got.status != 200 || !slices.Equal(decisions, test.want) {
				t.Errorf("%s: got %d %s, want %v", test.why, got.status, got.raw, test.want)
			}
		}
		got := r.send(t, "POST", evaluations, r.plain, batch("", bad, yes))
		if got.at("evaluations", 0, "context", "error", "status") != 400.0 || got.at("evaluations", 0, "context", "error", "message") != "resource has no id: send a text." {
			t.Errorf("an evaluation that can't be read: got %s", got.raw)
		}
		// Without evaluations it is a single one.
		for _, more := range []string{``, `,"evaluations":[]`} {
			body := ask(user("ann"), "timesheet.view", site("berlin", ""), more)
			if got := r.send(t, "POST", evaluations, r.plain, body); got.doc["decision"] != true || got.doc["evaluations"] != nil {
				t.Errorf("%s: got %d %s, want a single decision", body, got.status, got.raw)
			}
		}
	})
}

// TestABatchIsOneLook holds that what is decided together is decided by the same
// facts, and that a thousand decisions fit.
func TestABatchIsOneLook(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		item := `{"resource":` + site("berlin", "guards") + `}`
		body := func(n int) string {
			return `{"subject":` + user("ann") + `,"action":{"name":"timesheet.view"},"evaluations":[` + strings.Repeat(item+",", n-1) + item + `]}`
		}
		got := r.send(t, "POST", evaluations, r.plain, body(maxEvaluations))
		if list, _ := got.doc["evaluations"].([]any); len(list) != maxEvaluations || strings.Count(got.raw, `"decision":true`) != maxEvaluations {
			t.Fatalf("%d evaluations: got %d, %d", maxEvaluations, got.status, len(list))
		}
		d := r.edge.batch(call{Request: httptest.NewRequestWithContext(t.Context(), "POST", evaluations, nil), key: store.Key{TenantID: r.tenant}})
		first, err := d.subject(entity{kind: typeUser, id: "ann"})
		again, errAgain := d.subject(entity{kind: typeUser, id: "ann"})
		if err != nil || errAgain != nil || first != again {
			t.Errorf("one subject twice in a batch: got %p, %v and %p, %v, want the same", first, err, again, errAgain)
		}
		got = r.send(t, "POST", evaluations, r.plain, body(maxEvaluations+1))
		if got.status != 400 || !strings.Contains(got.raw, "more than 1000 evaluations") {
			t.Errorf("one more: got %d %s", got.status, got.raw)
		}
	})
}

func TestDiscovery(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		for _, product := range []string{"clicktime", "nothing-here", "a%2Fb"} {
			got := r.send(t, "GET", "/.well-known/authzen-configuration/p/"+product, "", "")
			want := "https://gatehouse.example/p/" + product
			if got.status != 200 || got.doc["policy_decision_point"] != want {
				t.Errorf("%s: got %d %s, want the decision point %s", product, got.status, got.raw, want)
			}
			for name, path := range map[string]string{
				"access_evaluation_endpoint": "evaluation", "access_evaluations_endpoint": "evaluations",
				"search_subject_endpoint": "search/subject", "search_resource_endpoint": "search/resource", "search_action_endpoint": "search/action",
			} {
				if got.doc[name] != want+"/access/v1/"+path {
					t.Errorf("%s: %s is %v", product, name, got.doc[name])
				}
			}
		}
		// What it says is there.
		for _, path := range []string{"evaluation", "evaluations", "search/subject", "search/resource", "search/action"} {
			if got := r.send(t, "POST", "/p/clicktime/access/v1/"+path, r.key, `{}`); got.status != 400 {
				t.Errorf("%s: got %d %s, want 400", path, got.status, got.raw)
			}
		}
	})
}

// TestRequestIDComesBack holds that AuthZEN's callers get their own id back, and
// everybody gets one.
func TestRequestIDComesBack(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		for _, id := range []string{"bfe9eb29-ab87-4ca3-be83-a1d5d8305716", "a b/c:{}", strings.Repeat("x", maxText)} {
			for _, key := range []string{r.key, ""} {
				got := r.send(t, "POST", evaluation, key, `{}`, "X-Request-Id", id)
				if got.header.Get("X-Request-Id") != id {
					t.Errorf("X-Request-ID %q with key %q: got %q back", shorten(id), key, got.header.Get("X-Request-Id"))
				}
			}
		}
		if got := r.send(t, "POST", evaluation, r.key, `{}`); got.header.Get("X-Request-Id") == "" {
			t.Error("without an id: got none")
		}
	})
}

// TestCertificationScenario is the scenario of AuthZEN's certification, as far as
// our model can say it: who may do what with which record. What hangs on properties
// (a subject's role, an action's "soft", a record's status) needs conditions, which
// there are none of; a record that is archived is an archived site, and closed to
// all.
func TestCertificationScenario(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		r.addUser(t, r.conn, "alice", "alice@acme.example", true)
		r.addUser(t, r.conn, "robert", "robert@acme.example", true)
		r.write(t, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.SetDimension(ctx, access.Dimension{ID: "record"}); err != nil {
				return err
			}
			if _, err := tx.AddSites(ctx, access.Site{Dimension: "record", Key: "record-1"}, access.Site{Dimension: "record", Key: "record-2", Archived: true}); err != nil {
				return err
			}
			return tx.SetProduct(ctx, access.Product{ID: "records", Dimensions: []access.DimensionID{"record"},
				Permissions: []access.Permission{{ID: "read"}, {ID: "write"}, {ID: "delete"}}})
		})
		all := access.Scope{Sites: map[access.DimensionID]access.Selection{"record": {All: true}}}
		for who, permissions := range map[string][]access.PermissionID{"alice": {"read", "write"}, "robert": {"read"}} {
			for _, permission := range permissions {
				r.grant(t, "", access.Grant{Subject: access.Grantee{User: access.UserID(r.users[who])}, Effect: access.Allow, Product: "records",
					Permission: permission, Level: access.LevelAllow, Scope: all, Origin: access.OriginDirect})
			}
		}
		key, _ := r.addKey(t, "records", true)
		record := func(id string) string { return `{"type":"record","id":"` + id + `"}` }
		type decision struct {
			who, action, record string
			want                bool
		}
		var batch []string
		decisions := []decision{
			{"alice", "read", "record-1", true}, {"alice", "write", "record-1", true}, {"robert", "read", "record-1", true},
			{"robert", "write", "record-1", false}, {"alice", "write", "record-2", false},
		}
		for _, d := range decisions {
			body := ask(user(d.who), d.action, record(d.record))
			batch = append(batch, body)
			if got := r.send(t, "POST", "/p/records/access/v1/evaluation", key, body); got.doc["decision"] != d.want {
				t.Errorf("%s %s %s: got %s, want %v", d.who, d.action, d.record, got.raw, d.want)
			}
		}
		got := r.send(t, "POST", "/p/records/access/v1/evaluations", key, `{"evaluations":[`+strings.Join(batch, ",")+`]}`)
		for i, d := range decisions {
			if got.at("evaluations", i, "decision") != d.want {
				t.Errorf("batch: %+v: got %s", d, got.raw)
			}
		}
		// The searches include who and what the decisions said yes to.
		found := r.send(t, "POST", "/p/records/access/v1/search/subject", key, `{"subject":{"type":"user"},"action":{"name":"read"},"resource":`+record("record-1")+`}`)
		names := []string{}
		for i := range found.doc["results"].([]any) {
			names = append(names, found.at("results", i, "properties", "user_name").(string))
		}
		slices.Sort(names)
		if !slices.Equal(names, []string{"alice", "robert"}) {
			t.Errorf("who reads record-1: got %s", found.raw)
		}
		found = r.send(t, "POST", "/p/records/access/v1/search/resource", key, `{"subject":`+user("alice")+`,"action":{"name":"write"},"resource":{"type":"record"}}`)
		if found.at("results", 0, "id") != "record-1" || found.at("results", 1) != nil || found.at("context", "all") != true {
			t.Errorf("what alice writes: got %s", found.raw)
		}
		found = r.send(t, "POST", "/p/records/access/v1/search/action", key, `{"subject":`+user("alice")+`,"resource":`+record("record-1")+`}`)
		if text, _ := json.Marshal(found.doc["results"]); string(text) != `[{"name":"read"},{"name":"write"}]` {
			t.Errorf("what alice may do with record-1: got %s", found.raw)
		}
	})
}

// TestNothingIsStale changes something and asks another server on the same database
// at once.
func TestNothingIsStale(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		_, _, other := serveRig(t, r.url, r.clock)
		body := ask(user("ann"), "timesheet.view", site("berlin", "guards"))
		says := func(why string, want bool) {
			t.Helper()
			for i, h := range []http.Handler{r.handler, other} {
				if got := send(t, h, "POST", evaluation, r.key, body); got.doc["decision"] != want {
					t.Errorf("%s, server %d: got %s, want %v", why, i, got.raw, want)
				}
			}
		}
		says("at first", true)
		r.write(t, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.ChangePerson(ctx, r.users["ann"], func(p store.Person) store.Person { p.LoginAllowed = false; return p })
			return err
		})
		says("blocked", false)
		r.write(t, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.ChangePerson(ctx, r.users["ann"], func(p store.Person) store.Person {
				p.LoginAllowed, p.ExpiresAt = true, r.clock.now().Add(time.Minute)
				return p
			})
			return err
		})
		says("let in again", true)
		r.clock.advance(time.Minute)
		says("expired", false)
	})
}

// TestKeys holds what a key opens and for how long.
func TestKeys(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		_, _, other := serveRig(t, r.url, r.clock)
		body := ask(user("ann"), "timesheet.view", site("berlin", "guards"))
		open := func(h http.Handler, key string) int { return send(t, h, "POST", evaluation, key, body).status }
		secret, key := r.addKey(t, "clicktime", false)
		if got := open(r.handler, secret); got != 200 {
			t.Fatalf("a new key: got %d", got)
		}
		if got := open(other, secret); got != 200 {
			t.Fatalf("a new key, elsewhere: got %d", got)
		}
		if got := r.send(t, "POST", "/p/clicktime/access/v1/search/action", secret, `{}`); got.status != 403 || !strings.Contains(got.raw, "key add --search") {
			t.Errorf("a search without being allowed to: got %d %s", got.status, got.raw)
		}
		r.write(t, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.RevokeKey(ctx, "clicktime", string(key.ID))
			return err
		})
		if got := open(r.handler, secret); got != 401 {
			t.Errorf("revoked: got %d", got)
		}
		r.clock.advance(500 * time.Millisecond)
		if got := open(other, secret); got != 401 {
			t.Errorf("revoked, elsewhere, half a second later: got %d", got)
		}
		// The use is written down.
		r.edge.flush(t.Context(), true)
		keys, err := r.store.Keys(t.Context(), r.tenant, "clicktime")
		if err != nil || len(keys) != 3 || keys[0].LastUsedAt.IsZero() {
			t.Errorf("keys are %+v, %v; want the newest used", keys, err)
		}
	})
}
