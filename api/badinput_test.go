package api

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gatehouse/access"
	"gatehouse/store"
)

// badInput is a request that is refused with a 4xx and a sentence about why.
type badInput struct {
	why, method, path, body string
	headers                 []string
	status                  int
	says                    string
}

// badBodies can't be read at all, whatever is asked.
func badBodies() []badInput {
	good := ask(user("ann"), "timesheet.view", site("berlin", ""))
	nest := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	bodies := []struct{ why, body, says string }{
		{"nothing", "", "empty"},
		{"space", " \n\t ", "empty"},
		{"null", "null", "not a JSON object"},
		{"an array", "[" + good + "]", "not a JSON object"},
		{"a text", `"x"`, "not a JSON object"},
		{"a number", "5", "not a JSON object"},
		{"true", "true", "not a JSON object"},
		{"a form", "subject=ann", "not a JSON object"},
		{"XML", "<subject/>", "not a JSON object"},
		{"half", good[:len(good)/2], "cannot be read"},
		{"a brace", "{", "cannot be read"},
		{"more behind it", good + good, "more after the end"},
		{"a comma too many", strings.TrimSuffix(good, "}") + ",}", "cannot be read"},
		{"a comma too few", strings.Replace(good, ",", " ", 1), "comma"},
		{"no colon", strings.Replace(good, ":", " ", 1), "colon"},
		{"no quotes", `{subject:1}`, "name of a member"},
		{"other quotes", `{'subject':1}`, "name of a member"},
		{"a comment", `{/* */}`, "name of a member"},
		{"NaN", `{"a":NaN}`, "value was expected"},
		{"a leading zero", `{"a":01}`, "no number"},
		{"a plus", `{"a":+1}`, "value was expected"},
		{"two points", `{"a":1.2.3}`, "no number"},
		{"a minus", `{"a":-}`, "no number"},
		{"an exponent without digits", `{"a":1e}`, "no number"},
		{"tru", `{"a":tru}`, "value was expected"},
		{"TRUE", `{"a":TRUE}`, "value was expected"},
		{"a subject twice", strings.TrimSuffix(good, "}") + `,"subject":` + user("bob") + `}`, "twice"},
		{"a subject twice, in capitals", strings.TrimSuffix(good, "}") + `,"SUBJECT":` + user("bob") + `}`, "twice"},
		{"an id twice", strings.Replace(good, `"id":"ann"`, `"id":"ann","Id":"bob"`, 1), "twice"},
		{"an id twice, escaped", strings.Replace(good, `"id":"ann"`, `"id":"ann","\u0069d":"bob"`, 1), "twice"},
		{"a long s", strings.Replace(good, `"subject"`, `"subject":1,"ſubject"`, 1), "twice"},
		{"a kelvin sign", `{"key":1,"` + "\u212a" + `ey":2}`, "twice"},
		{"sharp s", `{"strasse":1,"straße":2}`, "twice"},
		{"one of many names twice", `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"A":1}`, "twice"},
		{"the last of many names twice", `{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"J":1}`, "twice"},
		{"twice in what is ignored", strings.TrimSuffix(good, "}") + `,"context":{"a":1,"A":2}}`, "twice"},
		{"NUL", "{\"a\":\"\x00\"}", "control character"},
		{"NUL, escaped", `{"a":"\u0000"}`, "U+0000"},
		{"NUL in a name", `{"\u0000":1}`, "U+0000"},
		{"a line end in a text", "{\"a\":\"b\nc\"}", "control character"},
		{"no such escape", `{"a":"\x"}`, "escape"},
		{"half an escape", `{"a":"\u12"}`, "escape"},
		{"half of a pair", `{"a":"\ud800"}`, "surrogate"},
		{"the other half", `{"a":"\udc00"}`, "surrogate"},
		{"no UTF-8", "{\"a\":\"\xff\"}", "UTF-8"},
		{"UTF-8 that is too long", "{\"a\":\"\xc0\xaf\"}", "UTF-8"},
		{"a byte order mark", "\ufeff" + good, "not a JSON object"},
		{"UTF-16", "{\x00\"\x00", "cannot be read"},
		{"nested too deep", `{"a":` + nest(maxDepth+1) + `}`, "nested"},
		{"nested much too deep", `{"a":` + nest(100_000) + `}`, "nested"},
		{"open brackets", `{"a":` + strings.Repeat("[", 500_000), "nested"},
		{"too many values", `{"a":[` + strings.Repeat("1,", maxValues) + `1]}`, "values"},
	}
	var all []badInput
	for _, b := range bodies {
		for _, path := range []string{evaluation, evaluations, "/p/clicktime/access/v1/search/subject"} {
			all = append(all, badInput{why: b.why, path: path, body: b.body, status: 400, says: b.says})
		}
	}
	for _, path := range []string{evaluation, evaluations, "/p/clicktime/access/v1/search/action"} {
		all = append(all, badInput{why: "too large", path: path, body: `{"a":"` + strings.Repeat("x", maxBody) + `"}`, status: 413, says: "larger than"})
		for _, ct := range []string{"text/plain", "application/x-www-form-urlencoded", "application/xml", "application/json; charset=latin1", "application/jsonp", ";", "application/scim+json", strings.Repeat("\x80", 100)} {
			all = append(all, badInput{why: "Content-Type " + ct, path: path, body: good, headers: []string{"Content-Type", ct}, status: 400, says: "application/json"})
		}
		for _, encoding := range []string{"gzip", strings.Repeat("\x80", 100)} {
			all = append(all, badInput{why: "Content-Encoding " + encoding, path: path, body: good, headers: []string{"Content-Encoding", encoding}, status: 400, says: "as it is"})
		}
	}
	return all
}

// badMembers are objects whose members aren't those of a question.
func badMembers() []badInput {
	var all []badInput
	subject, action, resource := user("ann"), `{"name":"timesheet.view"}`, site("berlin", "")
	build := func(members map[string]string) string {
		var parts []string
		for _, name := range []string{"subject", "action", "resource", "context", "page", "options", "evaluations"} {
			if text, ok := members[name]; ok && text != "" {
				parts = append(parts, fmt.Sprintf("%q:%s", name, text))
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	wrong := []string{"null", "5", `"x"`, "[]", "true"}
	for _, endpoint := range []struct {
		path  string
		needs []string
		ids   []string
	}{
		{evaluation, []string{"subject", "action", "resource"}, []string{"subject", "resource"}},
		{evaluations, []string{"subject", "action", "resource"}, []string{"subject", "resource"}},
		{"/p/clicktime/access/v1/search/subject", []string{"subject", "action", "resource"}, []string{"resource"}},
		{"/p/clicktime/access/v1/search/resource", []string{"subject", "action", "resource"}, []string{"subject"}},
		{"/p/clicktime/access/v1/search/action", []string{"subject", "resource"}, []string{"subject", "resource"}},
	} {
		whole := map[string]string{"subject": subject, "action": action, "resource": resource}
		with := func(name, text string) string {
			changed := map[string]string{}
			for k, v := range whole {
				changed[k] = v
			}
			changed[name] = text
			return build(changed)
		}
		add := func(why, name, text, says string) {
			all = append(all, badInput{why: why, path: endpoint.path, body: with(name, text), status: 400, says: says})
		}
		for _, name := range endpoint.needs {
			add("no "+name, name, "", name+" is missing")
			for _, text := range wrong {
				add(name+" is "+text, name, text, name+" is no object")
			}
		}
		for _, name := range []string{"subject", "resource"} {
			add(name+" without a type", name, `{"id":"x"}`, name+" has no type")
			add(name+" with an empty type", name, `{"id":"x","type":""}`, "empty")
			add(name+" with a type of another type", name, `{"id":"x","type":5}`, "no text")
			add(name+" in capitals", name, `{"Type":"user","ID":"x"}`, name+" has no type")
			add(name+" with a long type", name, `{"id":"x","type":"`+strings.Repeat("x", maxText+1)+`"}`, "longer than 1024")
			for _, text := range wrong {
				add(name+".properties is "+text, name, `{"id":"x","type":"user","properties":`+text+`}`, "properties is no object")
			}
		}
		for _, name := range endpoint.ids {
			add(name+" without an id", name, `{"type":"user"}`, name+" has no id")
			add(name+" with an empty id", name, `{"type":"user","id":""}`, "empty")
			add(name+" with an id of another type", name, `{"type":"user","id":{"value":"ann"}}`, "no text")
			add(name+" with a null id", name, `{"type":"user","id":null}`, "no text")
			add(name+" with a long id", name, `{"type":"user","id":"`+strings.Repeat("é", maxText/2+1)+`"}`, "longer than 1024")
		}
		if slices.Contains(endpoint.needs, "action") {
			add("an action without a name", "action", `{}`, "action has no name")
			add("an action with a wrong name", "action", `{"name":["x"]}`, "no text")
			add("an action with an empty name", "action", `{"name":""}`, "empty")
			add("an action with wrong properties", "action", `{"name":"x","properties":1}`, "properties is no object")
		}
		for _, text := range wrong {
			add("context is "+text, "context", text, "context is no object")
		}
		add("explain is a text", "context", `{"explain":"yes"}`, "neither true nor false")
		if strings.Contains(endpoint.path, "search") {
			for _, text := range wrong {
				add("page is "+text, "page", text, "page is no object")
			}
			for _, text := range []string{"0", "-1", "1.5", `"5"`, "null", "1e99", "99999999999999999999"} {
				add("limit is "+text, "page", `{"limit":`+text+`}`, "page.limit")
			}
			for _, text := range []string{"5", "null", "{}"} {
				add("token is "+text, "page", `{"token":`+text+`}`, "page.token")
			}
			add("token is made up", "page", `{"token":"abc"}`, "page token")
		}
	}
	for _, test := range [][3]string{
		{"evaluations is an object", `{"evaluations":{}}`, "evaluations is no array"},
		{"evaluations is null", `{"evaluations":null}`, "evaluations is no array"},
		{"options is a text", `{"options":"execute_all","evaluations":[{}]}`, "options is no object"},
		{"semantics of no kind", `{"options":{"evaluations_semantic":"maybe"},"evaluations":[{}]}`, "none of execute_all"},
		{"semantics in capitals", `{"options":{"evaluations_semantic":"EXECUTE_ALL"},"evaluations":[{}]}`, "none of execute_all"},
		{"semantics of another type", `{"options":{"evaluations_semantic":1},"evaluations":[{}]}`, "none of execute_all"},
		{"a default that is no object", `{"subject":"ann","evaluations":[{}]}`, "subject is no object"},
		{"a context that is no object", `{"context":1,"evaluations":[{}]}`, "context is no object"},
	} {
		all = append(all, badInput{why: test[0], path: evaluations, body: test[1], status: 400, says: test[2]})
	}
	return all
}

// badQueries are calls of our own endpoints.
func badQueries() []badInput {
	get := func(why, path string, status int, says string) badInput {
		return badInput{why: why, method: "GET", path: path, status: status, says: says}
	}
	long, garbled := strings.Repeat("x", maxText+1), strings.Repeat("%80", 100)
	return []badInput{
		get("nobody", "/api/v1/users/nobody/access", 404, "unknown_user"),
		get("nobody of that id", "/api/v1/users/01890000-0000-7000-8000-00000000beef/access", 404, "unknown_user"),
		get("several of that name", "/api/v1/users/twin/access", 409, "ambiguous_user"),
		get("several to explain", "/api/v1/explain?user=twin&permission=timesheet", 409, "ambiguous_user"),
		get("a long name", "/api/v1/users/"+long+"/access", 400, "longer than"),
		get("NUL in a name", "/api/v1/users/a%00b/access", 400, "U+0000"),
		get("no UTF-8", "/api/v1/users/%ff/access", 404, "unknown_user"),
		get("much that is no UTF-8", "/api/v1/users/"+garbled+"/access", 404, "unknown_user"),
		get("a garbled parameter", "/api/v1/explain?"+garbled+"=1", 400, "no parameter"),
		get("a garbled permission", "/api/v1/explain?user=ann&permission="+garbled, 404, "unknown_permission"),
		get("a garbled site", "/api/v1/explain?user=ann&permission=timesheet&site=site:"+garbled, 404, "unknown_site"),
		get("a garbled key", "/api/v1/sites/site/"+garbled+"/people", 404, "unknown_site"),
		get("a garbled limit", "/api/v1/changes?limit="+garbled, 400, "limit"),
		get("a parameter that isn't there", "/api/v1/users/ann/access?product=phone", 400, "here, nor any other."),
		get("a query that can't be read", "/api/v1/users/ann/access?%zz", 400, "query string"),
		get("a semicolon", "/api/v1/users/ann/access?a;b", 400, "query string"),
		get("nothing asked", "/api/v1/explain", 400, "is missing"),
		get("no permission", "/api/v1/explain?user=ann", 400, "is missing"),
		get("an empty user", "/api/v1/explain?user=&permission=timesheet", 400, "empty"),
		get("an empty permission", "/api/v1/explain?user=ann&permission=", 400, "empty"),
		get("a user twice", "/api/v1/explain?user=ann&user=bob&permission=timesheet", 400, "twice"),
		get("a slip", "/api/v1/explain?user=ann&permision=timesheet", 400, "no parameter"),
		get("a name in capitals", "/api/v1/explain?User=ann&permission=timesheet", 400, "no parameter"),
		get("no such permission", "/api/v1/explain?user=ann&permission=fly", 404, `no such permission: \"fly\"."`),
		get("no such level", "/api/v1/explain?user=ann&permission=timesheet&level=own", 404, "unknown_level"),
		get("no such site", "/api/v1/explain?user=ann&permission=timesheet&level=view&site=site:rome", 404, "unknown_site"),
		get("no such dimension", "/api/v1/explain?user=ann&permission=timesheet&level=view&site=door:1", 404, "unknown_site"),
		get("a site without a dimension", "/api/v1/explain?user=ann&permission=timesheet&level=view&site=berlin", 400, "dimension:key"),
		get("two sites of a dimension", "/api/v1/explain?user=ann&permission=timesheet&level=view&site=site:berlin&site=site:eu", 400, "two sites"),
		get("a site whose key is another's id", "/api/v1/sites/site/PARIS/people", 404, "ambiguous_site"),
		get("people at no site", "/api/v1/sites/site/rome/people", 404, "unknown_site"),
		get("people in no dimension", "/api/v1/sites/door/1/people", 404, "unknown_site"),
		get("people with no permission", "/api/v1/sites/site/berlin/people?permission=fly", 404, `no such permission: \"fly\"."`),
		get("people with no level", "/api/v1/sites/site/berlin/people?level=own", 404, "unknown_level"),
		get("a limit of nothing", "/api/v1/sites/site/berlin/people?limit=0", 400, "limit"),
		get("a limit that is no number", "/api/v1/sites/site/berlin/people?limit=ten", 400, "limit"),
		get("an empty limit", "/api/v1/sites/site/berlin/people?limit=", 400, "empty"),
		get("a cursor of nobody", "/api/v1/sites/site/berlin/people?cursor=abc", 400, "bad_page_token"),
		get("two of a dimension", "/api/v1/sites/site/berlin/people?site=site:eu", 400, "two sites"),
		get("a negative limit", "/api/v1/changes?limit=-1", 400, "limit"),
		get("a cursor of no log", "/api/v1/changes?cursor=abc", 400, "unknown_cursor"),
		get("a cursor of another database", "/api/v1/changes?cursor=99999999999999", 400, "unknown_cursor"),
		get("a negative cursor", "/api/v1/changes?cursor=-1", 400, "unknown_cursor"),
		get("a cursor from the future", "/api/v1/changes?cursor=9000000000000000000.01890000-0000-7000-8000-00000000beef", 400, "unknown_cursor"),
		get("nowhere", "/api/v1/nowhere", 404, "no_such_endpoint"),
		get("nowhere else", "/api/", 404, "no_such_endpoint"),
		{why: "the wrong method", method: "DELETE", path: "/api/v1/changes", status: 405, says: "method_not_allowed"},
		{why: "another wrong method", method: "POST", path: "/api/v1/users/ann/access", status: 405, says: "method_not_allowed"},
		{why: "reading a decision", method: "GET", path: evaluation, status: 405, says: "only POST"},
		{why: "putting a decision", method: "PUT", path: evaluations, status: 405, says: "only POST"},
		{why: "no such decision", method: "POST", path: "/p/clicktime/access/v1/decide", status: 404, says: "no such endpoint"},
		{why: "another version", method: "POST", path: "/p/clicktime/access/v2/evaluation", status: 404, says: "no such endpoint"},
	}
}

func TestBadInputs(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		all := slices.Concat(badBodies(), badMembers(), badQueries())
		if len(all) < 300 {
			t.Fatalf("%d bad inputs, want at least 300", len(all))
		}
		r.addUser(t, r.conn, "twin", "twin@acme.example", true)
		r.addUser(t, r.addConnection(t, "okta"), "twin", "twin@other.example", true)
		_, before, err := r.store.Policy(t.Context(), r.tenant)
		if err != nil {
			t.Fatal(err)
		}
		logged := func() []store.Change {
			changes, err := r.store.Changes(t.Context(), r.tenant, 1)
			if err != nil {
				t.Fatal(err)
			}
			return changes
		}
		last := logged()
		for _, bad := range all {
			if bad.method == "" {
				bad.method = "POST"
			}
			bad.path = strings.ReplaceAll(bad.path, "PARIS", string(r.sites["paris"]))
			got := r.send(t, bad.method, bad.path, r.key, bad.body, bad.headers...)
			if got.status != bad.status || !strings.Contains(got.raw, bad.says) {
				t.Errorf("%s: %s %s %s\ngot %d %s, want %d and %q", bad.why, bad.method, bad.path, shorten(bad.body), got.status, got.raw, bad.status, bad.says)
			}
			switch ct := got.header.Get("Content-Type"); {
			case strings.HasPrefix(bad.path, "/p/") && ct != "text/plain; charset=utf-8",
				strings.HasPrefix(bad.path, "/api/") && (ct != "application/problem+json" || got.doc["request"] == "" || got.doc["type"] != "urn:gatehouse:problem:"+fmt.Sprint(got.doc["code"])):
				t.Errorf("%s: %s: got %s %s", bad.why, bad.path, ct, got.raw)
			}
			if got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: may be cached", bad.why)
			}
		}
		if _, after, err := r.store.Policy(t.Context(), r.tenant); err != nil || after != before || !reflect.DeepEqual(logged(), last) {
			t.Errorf("bad inputs changed something: revision %s to %s, %v", before, after, err)
		}
		t.Logf("api_bad_inputs = %d of %d", len(all), len(all))
	})
}

// FuzzBody holds that whatever is sent is read as encoding/json reads it or refused,
// and never answered with a 5xx.
func FuzzBody(f *testing.F) {
	r := newRig(f, "sqlite://"+f.TempDir()+"/gatehouse.db")
	for _, bad := range slices.Concat(badBodies(), badMembers()) {
		if len(bad.body) < 2000 {
			f.Add(bad.body)
		}
	}
	f.Add(ask(user("ann"), "timesheet.view", site("berlin", "guards"), `,"context":{"explain":true},"page":{"limit":1}`))
	f.Add(`{"subject":` + user("ann") + `,"evaluations":[{},{"action":{"name":"timesheet.view"},"resource":` + site("berlin", "") + `}],"a":"\ud83d\ude00\u00e9"}`)
	f.Fuzz(func(t *testing.T, body string) {
		v, err := parse([]byte(body))
		if err == nil {
			var want any
			if jsonErr := json.Unmarshal([]byte(body), &want); jsonErr != nil {
				t.Fatalf("%q was read, and encoding/json says %v", body, jsonErr)
			}
			if got := plain(v); !reflect.DeepEqual(got, want) {
				t.Fatalf("%q: got %#v, want %#v", body, got, want)
			}
			again := appendCanonical(nil, v)
			if string(appendCanonical(nil, v)) != string(again) {
				t.Fatalf("%q has two canonical forms", body)
			}
		}
		for _, path := range []string{"evaluation", "evaluations", "search/subject", "search/resource", "search/action"} {
			got := r.send(t, "POST", "/p/clicktime/access/v1/"+path, r.key, body, "Content-Type", "application/json")
			if got.status != 200 && got.status != 400 && got.status != 413 {
				t.Fatalf("%s %q: got %d %s", path, body, got.status, got.raw)
			}
			if err != nil && got.status == 200 {
				t.Fatalf("%s %q: answered, though it can't be read: %v", path, body, err)
			}
			if path == "evaluation" && got.doc["decision"] == true && !r.allowed(t, v) {
				t.Fatalf("%q: got %s, want no", body, got.raw)
			}
		}
	})
}

// allowed decides again, from what encoding/json reads of the body.
func (r *rig) allowed(t *testing.T, v value) bool {
	t.Helper()
	doc, _ := plain(v).(map[string]any)
	at := answer{doc: doc}.at
	id, _ := at("subject", "id").(string)
	policy, _, err := r.store.Policy(t.Context(), r.tenant)
	if err != nil {
		t.Fatal(err)
	}
	var one store.Somebody
	if at("subject", "type") == typeGroup {
		one, _, err = r.store.GroupNamed(t.Context(), r.tenant, id)
	} else {
		one, _, err = r.store.Somebody(t.Context(), r.tenant, id)
	}
	if err != nil {
		return false
	}
	name, _ := at("action", "name").(string)
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return false
	}
	where := access.Place{}
	for _, named := range [][2]any{{at("resource", "type"), at("resource", "id")}, {"site", at("resource", "properties", "site")}, {"team", at("resource", "properties", "team")}} {
		dimension := access.DimensionID(fmt.Sprint(named[0]))
		name, _ := named[1].(string)
		if site, reason := policy.SiteNamed(dimension, name); reason == "" && where[dimension] == "" {
			where[dimension] = site
		}
	}
	return policy.Allows(one.Subject, access.Question{Product: "clicktime", Permission: access.PermissionID(name[:i]), Level: access.Level(name[i+1:]), Place: where}, r.clock.now())
}

// plain is a value as encoding/json gives it.
func plain(v value) any {
	switch v.kind {
	case isNull:
		return nil
	case isTrue, isFalse:
		return v.kind == isTrue
	case isNumber:
		var f float64
		_ = json.Unmarshal([]byte(v.text), &f) // too large for a float64 fails above
		return f
	case isText:
		return v.text
	case isArray:
		list := make([]any, len(v.items))
		for i, item := range v.items {
			list[i] = plain(item.value)
		}
		return list
	}
	object := make(map[string]any, len(v.items))
	for _, m := range v.items {
		object[m.name] = plain(m.value)
	}
	return object
}

func BenchmarkParse(b *testing.B) {
	body := []byte(ask(user("ann@acme.example"), "timesheet.view", site("berlin", "guards"), `,"context":{"explain":false}`))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(body); err != nil {
			b.Fatal(err)
		}
	}
}
