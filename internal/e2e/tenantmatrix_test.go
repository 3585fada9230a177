package e2e

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A crossing is a request that speaks of something by its id, name or cursor. What
// belongs to somebody else is answered like what doesn't exist.
type crossing struct {
	badInput
	route string // method and pattern
	// foreign are placeholders of what belongs to others; each stands in turn for
	// {it}, and so does nothing that exists, of the same form.
	foreign []string
	nobody  string
	// afresh says that the request changes {mine}, a group or user made for it.
	afresh string
}

const (
	noID     = "01890000-0000-7000-8000-00000000beef"
	noName   = "nobody-at-all@corp.example"
	noGroup  = "Nobody at All"
	noCursor = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)

// crossings are all ways in which a request of one connection can name what belongs
// to another one, or to another tenant.
func crossings() []crossing {
	users, groups := []string{"{otherUser}", "{strangeUser}"}, []string{"{otherGroup}", "{strangeGroup}"}
	anyIDs := slices.Concat(users, groups, []string{"{otherConnection}", "{strangeConnection}"})
	var list []crossing
	add := func(route string, row badInput, foreign []string, nobody string) {
		row.method, _, _ = strings.Cut(route, " ")
		list = append(list, crossing{badInput: row, route: route, foreign: foreign, nobody: nobody})
	}
	afresh := func(route, kind string, row badInput, foreign []string, nobody string) {
		add(route, row, foreign, nobody)
		list[len(list)-1].afresh = kind
	}
	for collection, whole := range map[string]object{"/Users": badUser(nil), "/Groups": badGroup(nil)} {
		one := scimPrefix + collection + "/{id}"
		add("GET "+one, badInput{path: collection + "/{it}"}, anyIDs, noID)
		add("GET "+one, badInput{path: collection + "/{it}?attributes=members,groups"}, anyIDs, noID)
		add("PUT "+one, badInput{path: collection + "/{it}", body: whole}, anyIDs, noID)
		add("PATCH "+one, badInput{path: collection + "/{it}", body: patch(op("replace", "displayName", "Bad"), op("replace", "externalId", "bad"))}, anyIDs, noID)
		add("PATCH "+one, badInput{path: collection + "/{it}", body: patch(op("replace", "", object{"active": false, "members": refs()}))}, anyIDs, noID)
		add("DELETE "+one, badInput{path: collection + "/{it}"}, anyIDs, noID)
		add("DELETE "+one, badInput{path: collection + "/{it}", header: http.Header{"If-Match": {`W/"1"`}}}, anyIDs, noID)
		add(" "+one, badInput{path: collection + "/{it}"}, anyIDs, noID)
		for _, kind := range []string{"If-Match", "If-None-Match"} {
			mine := map[string]string{"/Users": "{user}", "/Groups": "{group}"}[collection]
			add("GET "+one, badInput{path: collection + "/" + mine, header: http.Header{kind: {`W/"{it}"`}}}, anyIDs, noID)
		}
		for _, slash := range []string{"", "/{$}"} {
			route := "GET " + scimPrefix + collection + slash
			path := collection + strings.TrimSuffix(slash, "{$}")
			for _, filter := range []string{`id eq "x" or id eq`, `displayName eq "x" or externalId eq`, "id eq", "externalId eq", "externalId ne", "displayName eq", "displayName co", "meta.resourceType pr and id eq"} {
				add(route, badInput{path: path + "?filter=" + query(filter+` "`) + "{it}%22"}, slices.Concat(anyIDs, []string{"mia", "Initech%20Ops", "Globex%20Ops"}), noID)
			}
			add(route, badInput{path: path + "?cursor={it}"}, []string{"{otherCursor}", "{strangeCursor}"}, noCursor)
			add(route, badInput{path: path + "?cursor={it}&filter=id+pr&count=1"}, []string{"{otherCursor}", "{strangeCursor}"}, noCursor)
			add(" "+scimPrefix+collection+slash, badInput{path: path + "?id={it}"}, anyIDs, noID)
		}
	}
	for _, collection := range []string{"", "/Users", "/Groups", "/Roles"} {
		for _, slash := range []string{"", "/{$}"} {
			path := collection + "/.search" + strings.TrimSuffix(slash, "{$}")
			for _, filter := range []string{`id eq "{it}"`, `externalId eq "{it}"`, `displayName eq "{it}"`, `id eq "{it}" or id eq "{it}"`} {
				add("POST "+scimPrefix+collection+"/.search"+slash, badInput{path: path, body: search("filter", filter)}, anyIDs, noID)
			}
			add("POST "+scimPrefix+collection+"/.search"+slash, badInput{path: path, body: search("cursor", "{it}")}, []string{"{otherCursor}", "{strangeCursor}"}, noCursor)
			add(" "+scimPrefix+collection+"/.search"+slash, badInput{path: path + "?id={it}"}, anyIDs, noID)
		}
		if collection != "" {
			for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
				add(method+" "+scimPrefix+collection+"/.search", badInput{path: collection + "/.search?id={it}"}, anyIDs, noID)
			}
		}
	}
	for _, slash := range []string{"", "/{$}"} {
		path := strings.TrimSuffix(slash, "{$}")
		for _, filter := range []string{"id eq", "externalId eq", "displayName eq"} {
			add("GET "+scimPrefix+slash, badInput{path: path + "?filter=" + query(filter+` "`) + "{it}%22"}, anyIDs, noID)
		}
		add(" "+scimPrefix+slash, badInput{path: path + "?id={it}"}, anyIDs, noID)
		add(" "+scimPrefix+"/Me"+slash, badInput{path: "/Me" + path + "?id={it}"}, anyIDs, noID)
		add(" "+scimPrefix+"/Bulk"+slash, badInput{path: "/Bulk" + path + "?id={it}"}, anyIDs, noID)
		for _, operation := range []object{
			{"method": "DELETE", "path": "/Users/{it}"}, {"method": "DELETE", "path": "/Groups/{it}"}, {"method": "PUT", "path": "/Users/{it}", "data": badUser(nil)}, {"method": "PUT", "path": "/Groups/{it}", "data": badGroup(nil)},
			{"method": "PATCH", "path": "/Users/{it}", "data": patch(op("replace", "active", false))}, {"method": "PATCH", "path": "/Groups/{it}", "data": patch(remove("members"))},
			{"method": "PATCH", "path": "/Groups/{group}", "data": patch(op("add", "members", refs("{it}")))}, {"method": "DELETE", "path": "/Users/{it}", "version": `W/"1"`},
		} {
			add("POST "+scimPrefix+"/Bulk"+slash, badInput{path: "/Bulk" + path, body: object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:BulkRequest"}, "Operations": []object{operation}}}, anyIDs, noID)
		}
	}
	for _, filter := range []string{"userName eq", "userName sw", "emails.value eq", "groups.value eq", "groups eq", "manager eq", enterpriseURN + ":manager.value eq"} {
		add("GET "+scimPrefix+"/Users", badInput{path: "/Users?filter=" + query(filter+` "`) + "{it}%22"},
			slices.Concat(anyIDs, []string{"mia@corp.example", "Bob@corp.example", "Globex%20Ops"}), noName)
	}
	for _, filter := range []string{"members eq", "members.value eq", "members.value ne"} {
		add("GET "+scimPrefix+"/Groups", badInput{path: "/Groups?filter=" + query(filter+` "`) + "{it}%22"}, anyIDs, noID)
	}
	add("GET "+scimPrefix+"/Groups", badInput{path: "/Groups?filter=" + query(`members[value eq "`) + "{it}%22%5D"}, anyIDs, noID)

	for _, slash := range []string{"", "/{$}"} {
		path := strings.TrimSuffix(slash, "{$}")
		post := func(collection, why string, body object, foreign []string, nobody string) {
			afresh("POST "+scimPrefix+collection+slash, "made", badInput{why: why, path: collection + path, body: body}, foreign, nobody)
		}
		post("/Users", "an id of one's own", badUser(object{"id": "{it}"}), anyIDs, noID)
		post("/Users", "a name that others use", badUser(object{"userName": "{it}"}), []string{"mia@corp.example", "Bob@corp.example"}, noName)
		post("/Users", "an externalId that others use", badUser(object{"externalId": "{it}"}), slices.Concat(anyIDs, []string{"mia"}), noID)
		post("/Users", "a manager", badUser(object{enterpriseURN: object{"manager": object{"value": "{it}"}}}), anyIDs, noID)
		post("/Users", "groups", badUser(object{"groups": refs("{it}")}), anyIDs, noID)
		post("/Users", "an address that others use", badUser(object{"emails": refs("{it}")}), []string{"mia@corp.example"}, noName)
		post("/Groups", "a name that others use", badGroup(object{"displayName": "{it}"}), []string{"Initech Ops", "Globex Ops"}, noGroup)
		post("/Groups", "members", badGroup(object{"members": refs("{it}", "{user}")}), anyIDs, noID)
		post("/Groups", "members alone", badGroup(object{"members": refs("{it}")}), anyIDs, noID)
		post("/Groups", "an id of one's own", badGroup(object{"id": "{it}"}), anyIDs, noID)
	}
	one := scimPrefix + "/Groups/{id}"
	for _, body := range []object{
		badGroup(object{"members": refs("{it}")}), badGroup(object{"members": refs("{user}", "{it}")}), badGroup(object{"id": "{it}"}), badGroup(object{"externalId": "{it}"}),
	} {
		afresh("PUT "+one, "group", badInput{path: "/Groups/{mine}", body: body}, anyIDs, noID)
	}
	for _, operation := range []object{
		op("add", "members", refs("{it}")), op("add", "members", refs("{it}", "{user}")), op("add", "", object{"members": refs("{it}")}), op("replace", "members", refs("{it}")),
		op("replace", "members", refs("{it}", "{user}")), op("remove", "members", refs("{it}")), remove(`members[value eq "{it}"]`), op("replace", "", object{"id": "{it}"}), op("replace", "externalId", "{it}"),
	} {
		afresh("PATCH "+one, "group", badInput{path: "/Groups/{mine}", body: patch(operation)}, anyIDs, noID)
		afresh("PATCH "+one, "group", badInput{path: "/Groups/{mine}?attributes=members", body: patch(operation)}, anyIDs, noID)
	}
	one = scimPrefix + "/Users/{id}"
	for _, body := range []object{badUser(object{"manager": "{it}"}), badUser(object{"groups": refs("{it}")}), badUser(object{"id": "{it}"})} {
		afresh("PUT "+one, "user", badInput{path: "/Users/{mine}", body: body}, anyIDs, noID)
	}
	for _, operation := range []object{
		op("add", enterpriseURN+":manager", "{it}"), op("add", "groups", refs("{it}")), op("replace", "id", "{it}"), remove(enterpriseURN + `:manager[value eq "{it}"]`), remove(`groups[value eq "{it}"]`),
		op("replace", `emails[value eq "{it}"].type`, "work"),
	} {
		afresh("PATCH "+one, "user", badInput{path: "/Users/{mine}", body: patch(operation)}, anyIDs, noID)
	}
	afresh("PATCH "+one, "user", badInput{path: "/Users/{mine}", body: patch(op("replace", "userName", "{it}"))}, []string{"mia@corp.example", "Bob@corp.example"}, noName)

	for _, collection := range []string{"/Schemas", "/ResourceTypes", "/Roles"} {
		add("GET "+scimPrefix+collection+"/{id}", badInput{path: collection + "/{it}"}, anyIDs, noID)
		add(" "+scimPrefix+collection+"/{id}", badInput{path: collection + "/{it}"}, anyIDs, noID)
	}
	for _, path := range []string{"/Schemas", "/ResourceTypes", "/Roles", "/ServiceProviderConfig"} {
		for _, method := range []string{"GET ", " "} {
			for _, slash := range []string{"", "/{$}"} {
				add(method+scimPrefix+path+slash, badInput{path: path + strings.TrimSuffix(slash, "{$}") + "?connection={it}&tenant={it}"}, anyIDs, noID)
			}
		}
	}
	for _, rest := range []string{"/v2/Users", "/v2/Groups/{group}", "/v2/ServiceProviderConfig", "/v2/Bulk", "/nothing", ""} {
		add(" /scim/", badInput{address: "/scim/{it}" + rest}, []string{"{otherConnection}", "{strangeConnection}"}, noID)
	}
	return list
}

// search is the body of a search with one parameter (RFC 7644 section 3.4.3).
func search(name string, value any) object {
	return object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:SearchRequest"}, name: value}
}

// TestTenantsNeverMeet compares, for every route, the answers about what belongs to
// others with those about nothing: they are the same to the byte, but for the id
// that is repeated, and what belongs to others stays as it is.
func TestTenantsNeverMeet(t *testing.T) {
	onBothBadPlaces(t, func(t *testing.T, p *badPlace) {
		before, covered := p.foreignRows(), map[string]bool{}
		deviations, n := 0, 0
		for _, c := range crossings() {
			covered[c.route] = true
			want := p.cross(c, c.nobody)
			if want.status >= 500 && want.status != 501 {
				t.Errorf("%s %s: answered %d", c.route, c.why, want.status)
			}
			for _, it := range c.foreign {
				n++
				got := p.cross(c, it)
				if got.status == want.status && p.withoutIDs(got, p.fill.Replace(it)) == p.withoutIDs(want, c.nobody) {
					continue
				}
				deviations++
				t.Errorf("%s %s %s with %s:\ngot  %d %s\nwant %d %s", c.route, c.why, c.path, it, got.status, p.withoutIDs(got, p.fill.Replace(it)), want.status, p.withoutIDs(want, c.nobody))
			}
			if t.Failed() && deviations > 20 {
				t.FailNow()
			}
		}
		same(t, "rows of others", p.foreignRows(), before)
		routes := p.scimRoutes()
		for _, r := range routes {
			if !covered[r.Method+" "+r.Pattern] {
				t.Errorf("%s %s: nothing here tries what belongs to others", r.Method, r.Pattern)
			}
		}
		// The same requests find what is one's own.
		own := func(row badInput, why string) {
			if got := p.send(row); got.status/100 != 2 || strings.Contains(string(got.raw), `"totalResults":0`) {
				t.Errorf("%s: answered %d %s", why, got.status, got.raw)
			}
		}
		own(badInput{method: "GET", path: "/Users/{user}"}, "my user")
		own(badInput{method: "GET", path: "/Groups?filter=" + query(`members.value eq "`) + "{user}%22"}, "my user's groups")
		own(badInput{method: "GET", path: "/Users?cursor={cursor}"}, "my cursor")
		own(badInput{method: "PATCH", path: "/Groups/{group}", body: patch(op("add", "members", refs("{user}")))}, "my member")
		t.Logf("tenant_matrix = %d of %d (%d routes)", deviations, n, len(routes))
	})
}

// cross sends a crossing about it.
func (p *badPlace) cross(c crossing, it string) answer {
	p.t.Helper()
	row, mine := c.badInput, ""
	switch c.afresh {
	case "user":
		mine = p.want(201, "POST", "/Users", object{"userName": "mine@corp.example", "emails": refs("mine@corp.example")}).text("id")
	case "group":
		mine = p.want(201, "POST", "/Groups", object{"displayName": "Mine", "members": refs(p.fill.Replace("{user}"))}).text("id")
	}
	put := strings.NewReplacer("{it}", p.fill.Replace(it), "{mine}", mine).Replace
	row.path, row.address = put(row.path), put(row.address)
	if row.method == "" {
		row.method = "OPTIONS"
	}
	if row.body != nil {
		row.body = put(string(mustJSON(p.t, row.body)))
	}
	if row.header != nil {
		row.header = row.header.Clone()
		for _, values := range row.header {
			for i := range values {
				values[i] = put(values[i])
			}
		}
	}
	got := p.send(row)
	collection := map[string]string{"user": "/Users/", "group": "/Groups/"}[c.afresh]
	if c.afresh == "made" && got.status == 201 {
		mine, collection = got.text("id"), strings.TrimSuffix(row.path, "/")+"/"
	}
	if mine != "" {
		after := p.want(200, "GET", collection+mine, nil)
		got.raw = append(append(got.raw, '\n'), after.raw...) // what became of it counts, too
		p.want(204, "DELETE", collection+mine, nil)
	}
	return got
}

var (
	instantPattern = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)
	lengthPattern  = regexp.MustCompile(`"[A-Za-z0-9_-]{100,}"`) // a cursor is another one each time
)

// withoutIDs is an answer without the ids that were made for it, and without what
// it was asked about.
func (p *badPlace) withoutIDs(a answer, it string) string {
	text := fmt.Sprintf("%s %s %s", a.header.Get("Content-Type"), a.header.Get("Allow"), a.raw)
	for _, form := range []string{it, strings.ReplaceAll(it, "%20", " ")} {
		text = strings.ReplaceAll(text, form, "IT")
	}
	return p.anonymous(a.header, lengthPattern.ReplaceAllString(instantPattern.ReplaceAllString(text, "INSTANT"), `"CURSOR"`))
}

// foreignRows are the rows of the other connection and of the other tenant.
func (p *badPlace) foreignRows() map[string][]string {
	p.t.Helper()
	found := map[string][]string{}
	for table, rows := range p.tables() {
		for _, row := range rows {
			for _, owner := range []string{"{otherConnection}", "{strangeConnection}", "{otherUser}", "{otherGroup}", "{strangeUser}", "{strangeGroup}"} {
				if strings.Contains(row, p.fill.Replace(owner)) && !strings.Contains(row, p.fill.Replace("{connection}")) {
					found[table] = append(found[table], row)
					break
				}
			}
		}
	}
	if len(found["users"]) < 4 || len(found["groups"]) < 2 || len(found["members"]) < 2 {
		p.t.Fatalf("the rows of others are %v", found)
	}
	return found
}
