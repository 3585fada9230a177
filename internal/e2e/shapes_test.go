package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"gatehouse/internal/replay"
)

// shapes returns the recorded requests by id, and their ids in order.
func shapes(t *testing.T) (map[string]replay.Line, []string) {
	t.Helper()
	text, err := os.ReadFile("testdata/shapes.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	byID := map[string]replay.Line{}
	var ids []string
	decoder := json.NewDecoder(bytes.NewReader(text))
	for decoder.More() {
		var line replay.Line
		if err := decoder.Decode(&line); err != nil {
			t.Fatalf("shapes.ndjson after %v: %v", ids, err)
		}
		byID[line.ID] = line
		ids = append(ids, line.ID)
	}
	return byID, ids
}

// TestEveryShape plays every recorded request twice over on one server. After
// each request that writes, the state must be what stateAfter says, attribute
// by attribute: a 200 that lost a member is the fault we exist to avoid. Then
// the same request is sent once more, as happens when an answer got lost, and
// must change nothing.
func TestEveryShape(t *testing.T) {
	byID, ids := shapes(t)
	for id, line := range byID {
		_, hasState := stateAfter[id]
		_, hasAnswer := answers[id]
		if writes := line.Method != "GET" && !strings.HasPrefix(line.Path, "/oauth2/"); writes != hasState {
			t.Errorf("%s writes: %v, has a state to compare with: %v", id, writes, hasState)
		}
		if line.Method == "GET" && line.Want == 200 && !hasAnswer {
			t.Errorf("%s reads and nothing looks at its answer", id)
		}
	}
	recording, err := os.ReadFile("testdata/shapes.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	onBoth(t, func(t *testing.T, c *client) {
		c.users("filler", 12) // so that a page of ten is not the last
		for _, round := range []string{"first", "again"} {
			c.step(round, func(t *testing.T, c *client) {
				sum := playShapes(t, c, byID, recording)
				same(t, "summary", sum, replay.Summary{Passed: len(ids) - 2, NotPlayed: 2})
			})
		}
	})
}

func playShapes(t *testing.T, c *client, byID map[string]replay.Line, recording []byte) replay.Summary {
	t.Helper()
	var before object
	player := &replay.Player{
		BaseURL: c.host + c.path, Token: c.token,
		Prepared: func(line replay.Line, values map[string]string) { before = c.target(line, values) },
	}
	sum, err := player.Play(t.Context(), bytes.NewReader(recording), func(r replay.Result) {
		c.step(r.ID, func(t *testing.T, c *client) {
			line := byID[r.ID]
			switch {
			case r.NotPlayed:
				if !strings.HasPrefix(line.Path, "/oauth2/") {
					t.Errorf("%s %s: %s", r.Method, r.Path, r.Detail)
				}
				return
			case !r.OK:
				t.Fatalf("%s %s %s\n%s", r.Method, r.Path, r.Sent, r.Detail)
			}
			got := answer{request: r.Method + " " + r.Path, status: r.Got, header: r.Header, raw: r.Body, doc: decode(r.Body)}
			for _, fault := range faults(got) {
				t.Errorf("%s\nanswered %d %s\n%s", got.request, got.status, r.Body, fault)
			}
			if look, ok := answers[r.ID]; ok {
				look(t, got, r.Values)
			}
			if want, ok := stateAfter[r.ID]; ok {
				c.verify(want, line, r, before)
				c.repeat(want, line, r, before)
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// target reads the resource that a line is about, nil if there is none yet.
func (c *client) target(line replay.Line, values map[string]string) object {
	for placeholder, collection := range map[string]string{"id": "/Users", "gid": "/Groups"} {
		if strings.Contains(line.Path, "{"+placeholder+"}") {
			if got := c.do("GET", collection+"/"+values[placeholder], nil); got.status == 200 {
				return got.doc
			}
		}
	}
	return nil
}

// verify compares the state after a line with what it should be.
func (c *client) verify(want state, line replay.Line, r replay.Result, before object) {
	c.t.Helper()
	fill := filler(r.Values, before)
	where, id := location(r)
	if want.gone {
		c.want(404, "GET", where+"/"+id, nil)
	}
	for _, filter := range want.lost {
		if slices.Contains(c.find(where, fill(filter)), id) {
			c.t.Errorf("%s: filter %s still finds it", want.why, fill(filter))
		}
	}
	if want.gone || r.Want >= 400 && before == nil {
		if r.Want == 404 {
			c.want(404, "GET", where+"/"+id, nil)
		}
		for _, filter := range want.only {
			if found := c.find(where, fill(filter)); len(found) != 1 {
				c.t.Errorf("%s: filter %s finds %v, want just one", want.why, fill(filter), found)
			}
		}
		return
	}

	now := c.want(200, "GET", where+"/"+id, nil)
	same(c.t, want.why, plain(now.doc), want.expected(c.t, before, fill))
	for _, fault := range schemaFaults(where, now.doc) {
		c.t.Errorf("%s: %s", want.why, fault)
	}
	if before != nil {
		same(c.t, "what never changes", fixed(now.doc), fixed(before))
	}
	if len(r.Body) > 0 && r.Got < 300 {
		same(c.t, "the answer, beside a GET right after it", plain(decode(r.Body)), plain(now.doc))
	}
	for _, filter := range want.found {
		if found := c.find(where, fill(filter)); !slices.Contains(found, id) {
			c.t.Errorf("%s: filter %s finds %v, want %s among them", want.why, fill(filter), found, id)
		}
	}
}

// repeat sends a line a second time: what is done already stays done.
func (c *client) repeat(want state, line replay.Line, r replay.Result, before object) {
	c.t.Helper()
	status := r.Want
	switch {
	case r.Method == "POST":
		status = 409
	case r.Method == "DELETE":
		status = 404
	}
	var body any
	if r.Sent != nil {
		body = string(r.Sent)
	}
	c.want(status, r.Method, r.Path, body)
	second := r
	second.Body = nil
	if r.Method == "POST" {
		second.Body = r.Body // it says which resource the first one made
		second.Got = 409
	}
	c.verify(want, line, second, before)
}

// location says which collection a line wrote to, and the id it wrote.
func location(r replay.Result) (collection, id string) {
	collection = "/Users"
	id = r.Values["id"]
	if strings.HasPrefix(r.Path, "/Groups") {
		collection, id = "/Groups", r.Values["gid"]
	}
	if r.Method == "POST" {
		id = answer{doc: decode(r.Body)}.text("id")
	}
	return collection, id
}

// A state is what must be true after a recorded request.
type state struct {
	why string
	// set are the attributes that differ from before, as JSON; null is absent.
	// All others must be as they were: none, for a new resource.
	set string
	// replaced says that nothing of before stays but what set says, which is
	// what PUT means (RFC 7644 section 3.5.1). Only the externalId stays too:
	// it says who she is, and Okta's PUT leaves it out.
	replaced bool
	// members, if not nil, are the placeholders of who is in the group.
	members []string
	gone    bool     // the resource is deleted
	found   []string // filters that find the resource
	lost    []string // filters that don't
	only    []string // filters that find exactly one, for what was refused
}

// expected is the whole resource as it should be, in the form of plain.
func (s state) expected(t testing.TB, before object, fill func(string) string) object {
	t.Helper()
	want := object{}
	if s.replaced {
		want["externalId"] = before["externalId"]
	} else {
		maps.Copy(want, before)
	}
	if s.set != "" {
		changes := decode([]byte(fill(s.set)))
		if changes == nil {
			t.Fatalf("%s: set is no JSON: %s", s.why, fill(s.set))
		}
		for name, value := range changes {
			want[name] = value
		}
	}
	if s.members != nil {
		list := []any{}
		for _, member := range s.members {
			list = append(list, object{"value": fill(member)})
		}
		want["members"] = list
	}
	return plain(want)
}

// filler fills placeholders, among them {old.userName} and its like.
func filler(values map[string]string, before object) func(string) string {
	pairs := []string{"ENT", enterpriseURN}
	for name, value := range values {
		pairs = append(pairs, "{"+name+"}", value)
	}
	for _, name := range []string{"userName", "displayName", "externalId"} {
		value, _ := before[name].(string)
		pairs = append(pairs, "{old."+name+"}", value)
	}
	return strings.NewReplacer(pairs...).Replace
}

// plain strips a resource of what RFC 7643 lets a server choose: the order of
// multi-valued attributes, absent or empty (section 2.5), and what is computed
// from other resources.
func plain(resource object) object {
	clean := object{}
	for name, value := range resource {
		switch name {
		case "id", "meta", "schemas": // compared by fixed and schemaFaults
			continue
		case "members":
			list := []any{}
			for _, id := range memberIDs(resource) {
				list = append(list, id)
			}
			value = list
		case enterpriseURN:
			extension, _ := value.(object)
			extension = maps.Clone(extension)
			if manager, isReference := extension["manager"].(object); isReference {
				extension["manager"] = manager["value"]
			}
			value = plain(extension)
		}
		if list, ok := value.([]any); ok {
			value = plainList(list)
		}
		if !empty(value) {
			clean[name] = value
		}
	}
	return clean
}

func plainList(list []any) []any {
	kept := []any{}
	for _, item := range list {
		if element, ok := item.(object); ok {
			item = without(element, "$ref")
		}
		kept = append(kept, item)
	}
	slices.SortFunc(kept, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return kept
}

func without(o object, names ...string) object {
	rest := object{}
	for name, value := range o {
		if !slices.Contains(names, name) {
			rest[name] = value
		}
	}
	return rest
}

func empty(value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case []any:
		return len(value) == 0
	case object:
		return len(value) == 0
	}
	return false
}

// fixed is what stays with a resource all its life.
func fixed(resource object) object {
	return object{
		"id": resource["id"], "resourceType": at(resource, "meta", "resourceType"),
		"created": at(resource, "meta", "created"), "location": at(resource, "meta", "location"),
	}
}

// schemaFaults checks that schemas lists the resource's own schema, the
// extensions that are there, and no others (RFC 7643 section 3.3).
func schemaFaults(collection string, resource object) []string {
	core := map[string]string{"/Users": coreURN, "/Groups": groupURN}[collection]
	listed := answer{doc: resource}.texts("schemas")
	var found []string
	if !slices.Contains(listed, core) {
		found = append(found, fmt.Sprintf("schemas %q lack %s", listed, core))
	}
	for name := range resource {
		if strings.HasPrefix(name, "urn:") && !slices.Contains(listed, name) {
			found = append(found, fmt.Sprintf("schemas %q lack %s", listed, name))
		}
	}
	for _, urn := range listed {
		if resource[urn] == nil && urn != core && urn != enterpriseURN {
			found = append(found, fmt.Sprintf("schemas list %q, of which there is nothing", urn))
		}
	}
	return found
}

// workMail is the one e-mail of a user that the player made, changed.
func workMail(address string) string {
	return `[{"type":"work","value":"` + address + `","primary":true}]`
}

const (
	byOldName  = `userName eq "{old.userName}"`
	opsNoBoss  = `{"ENT":{"department":"Ops"}}`
	testUserAt = `"userName":"test.user@okta.local","emails":[{"primary":true,"value":"test.user@okta.local","type":"work"}]`
)

// stateAfter is the state after each shape that writes.
var stateAfter = map[string]state{
	"E20": {why: "the standard create keeps every value",
		set: `{"externalId":"0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef","userName":"ada@corp.example","active":true,"emails":` + workMail("ada@corp.example") +
			`,"name":{"formatted":"Ada Byron","familyName":"Byron","givenName":"Ada"}}`,
		found: []string{`userName eq "ADA@corp.example"`, `externalId eq "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef"`, `emails[type eq "work"].value eq "ada@corp.example"`}},
	"E21": {why: "nulls are absent, the misspelt URN is forgotten",
		set: `{"externalId":"jyoung","userName":"jyoung","active":true,"displayName":"Joy Young","emails":` + workMail("joy@corp.example") + `,"name":{"familyName":"Young","givenName":"Joy"}}`},
	"E22": {why: "a bare manager becomes a reference",
		set:   `{"userName":"bo@corp.example","externalId":"bo","active":true,"displayName":"Bo","ENT":{"employeeNumber":"701984","department":"Ops","manager":{"value":"{m1}"}}}`,
		found: []string{`ENT:employeeNumber eq "701984"`, `ENT:manager eq "{m1}"`}},
	"E23": {why: `"True" is true`, set: `{"userName":"cy@corp.example","active":true,"ENT":{"manager":{"value":"{m1}"}}}`},
	"E24": {why: "the first Ada stays as she is, and alone", only: []string{`userName eq "ADA@CORP.EXAMPLE"`, `userName eq "ada@corp.example"`}},
	"E25": {why: "an extension of the customer's own is kept as it came",
		set: `{"userName":"dd@corp.example","externalId":"dd","active":true,"urn:ietf:params:scim:schemas:extension:acme:2.0:User":{"site":"A"}}`},

	"E30": {why: "disabled, and still found", set: `{"active":false}`, found: []string{byOldName}},
	"E31": {why: "restored", set: `{"active":true}`},
	"E32": {why: "disabled by Add", set: `{"active":false}`},
	"E33": {why: "the element keeps its type and primary, the name its other parts",
		set:   `{"emails":` + workMail("new@corp.example") + `,"name":{"givenName":"Replay","familyName":"King"}}`,
		found: []string{`emails[type eq "work"].value eq "new@corp.example"`}},
	"E34": {why: "the missing e-mail is made, with the filter's type", set: `{"emails":[{"type":"work","value":"first@corp.example"}]}`},
	"E35": {why: "one element for each type, however many operations name it",
		set: `{"addresses":[{"type":"work","formatted":"1 Main St","postalCode":"12345"},{"type":"other","formatted":"HQ"}],"phoneNumbers":[{"type":"mobile","value":"+1 555 0100"}]}`},
	"E36": {why: "the extension is nested", set: `{"ENT":{"department":"Ops","employeeNumber":"42"}}`, found: []string{`ENT:employeeNumber eq "42"`, `ENT:department eq "Ops"`}},
	"E37": {why: "found by the new externalId only", set: `{"externalId":"new-ext"}`, found: []string{`externalId eq "new-ext"`}, lost: []string{`externalId eq "{old.externalId}"`}},
	"E38": {why: "found by the new name only", set: `{"userName":"renamed@corp.example"}`, found: []string{`userName eq "renamed@corp.example"`}, lost: []string{byOldName}},
	"E39": {why: "an attribute that a customer added, known by its URN, is kept", set: `{"role":"editor"}`},
	"E40": {why: "Remove clears", set: `{"title":null}`},
	"E41": {why: "an empty string clears", set: `{"title":null}`},
	"E42": {why: "null clears", set: `{"title":null}`},
	"E43": {why: "null clears, on a value path too", set: `{"nickName":null,"emails":null}`, lost: []string{`nickName eq "Rep"`}},
	"E50": {why: "each key reaches its attribute",
		set: `{"displayName":"Ada K","name":{"givenName":"Ada","familyName":"King"},"emails":` + workMail("t@corp.example") + `,"ENT":{"employeeNumber":"42","department":"Ops"}}`},
	"E51": {why: "disabled", set: `{"active":false}`, found: []string{byOldName}},
	"E52": {why: "disabled without a path", set: `{"active":false}`, found: []string{byOldName}},
	"E53": {why: "only she leaves", members: []string{"{u8}", "{u9}"}},
	"E54": {why: "the extension is nested", set: `{"ENT":{"department":"Ops","manager":{"value":"{m1}"}}}`},
	"E60": {why: "a bare id becomes a reference", set: `{"ENT":{"manager":{"value":"{m1}"}}}`, found: []string{`id eq "{id}" and manager eq "{m1}"`}},
	"E61": {why: "the other manager, the same department", set: `{"ENT":{"department":"Ops","manager":{"value":"{m2}"}}}`, lost: []string{`ENT:manager eq "{m1}"`}},
	"E62": {why: "no manager, the same department", set: opsNoBoss, lost: []string{`ENT:manager eq "{m1}"`}},
	"E63": {why: "no manager, not an empty one", set: opsNoBoss},
	"E64": {why: "an array of one is the manager", set: `{"ENT":{"manager":{"value":"{m1}"}}}`},
	"E65": {why: "no manager, the same department", set: opsNoBoss},
	"E66": {why: "no manager, the same department", set: opsNoBoss},
	"E70": {why: "deleted", gone: true, lost: []string{byOldName, `id eq "{id}"`}},
	"E71": {why: "deleted", gone: true, lost: []string{`displayName eq "{old.displayName}"`}},

	"E80": {why: "a group with nobody in it", set: `{"externalId":"8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159","displayName":"Site A Operators"}`,
		found: []string{`displayName eq "site a operators"`, `externalId eq "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159"`}},
	"E81": {why: "a new name, the same members", set: `{"displayName":"Site A Ops"}`, found: []string{`displayName eq "Site A Ops"`}, lost: []string{`displayName eq "{old.displayName}"`}},
	"E82": {why: "a new name, the same members", set: `{"displayName":"Site A Ops"}`, found: []string{`displayName eq "Site A Ops"`}},
	"E83": {why: "the same members", set: `{"externalId":"663fa3a8-e2b6-4ac0-96c8-363432cdc01d"}`, lost: []string{`externalId eq "{old.externalId}"`}},
	"E84": {why: "one more", members: []string{"{u1}", "{u8}", "{u9}"}, found: []string{`id eq "{gid}" and members eq "{u1}"`}},
	"E85": {why: "three added, one of them twice", members: []string{"{u1}", "{u2}", "{u3}", "{u9}"}},
	"E86": {why: "only she leaves", members: []string{"{u8}", "{u9}"}, lost: []string{`id eq "{gid}" and members eq "{u1}"`}},
	"E87": {why: "only these two leave", members: []string{"{u8}", "{u9}"}},
	"E88": {why: "only these two leave", members: []string{"{u8}", "{u9}"}},
	"E89": {why: "first in, then out", members: []string{"{u8}"}},
	"E90": {why: "one more", members: []string{"{u1}", "{u8}"}},
	"E91": {why: "one more", members: []string{"{u1}", "{u8}"}},
	"E92": {why: "all leave, the group stays", members: []string{}},
	"E93": {why: "she and nobody else", members: []string{"{u1}"}},

	"E100": {why: "the role as sent", set: `{"userName":"r1@corp.example","active":true,"roles":[{"primary":true,"type":"WindowsAzureActiveDirectoryRole","value":"Admin"}]}`},
	"E101": {why: "kept as sent, or Entra sends it again every cycle",
		set: `{"roles":[{"value":"{\"id\":\"06b07648-ecfe-589f-9d2f-6325724a46ee\",\"value\":\"25\",\"displayName\":\"Role1234\"}"}]}`},
	"E102": {why: "one role, primary as a boolean", set: `{"roles":[{"primary":true,"value":"Admin","type":"WindowsAzureActiveDirectoryRole","display":"Administrator"}]}`},
	"E103": {why: "two roles, by the RFC's name for what is shown",
		set: `{"userName":"r2@corp.example","active":true,"roles":[{"primary":false,"type":"WindowsAzureActiveDirectoryRole","display":"BillingAdmin","value":"BillingAdmin"},{"primary":false,"type":"WindowsAzureActiveDirectoryRole","display":"Reader","value":"Reader"}]}`},
	"E104": {why: "two more, the old one stays",
		set: `{"roles":[{"type":"WindowsAzureActiveDirectoryRole","value":"Old"},{"value":"{\"id\":\"a1\",\"value\":\"Reader\",\"displayName\":\"Reader\"}"},{"value":"{\"id\":\"a2\",\"value\":\"Auditor\",\"displayName\":\"Auditor\"}"}]}`},
	"E105": {why: "this one and no other", set: `{"roles":[{"primary":false,"type":"WindowsAzureActiveDirectoryRole","display":"Reader","value":"Reader"}]}`},
	"E106": {why: "none left", set: `{"roles":null}`},

	"E110": {why: "nothing was asked"},
	"E111": {why: "what PUT does not name is gone, but for externalId", replaced: true, set: `{"userName":"OMalley","active":false}`},
	"E112": {why: "what is refused changes nothing", found: []string{byOldName}},

	"V01": {why: "every value as sent",
		set: `{"userName":"shaniya@v.example","active":true,"displayName":"BDFAIMDWZXYA","title":"HZEY","emails":[{"type":"work","value":"c@v.example","primary":true}],"preferredLanguage":"cy-GB",
			"name":{"givenName":"Sadye","familyName":"Keaton","formatted":"Matt","middleName":"Marcelo","honorificPrefix":"Caleigh","honorificSuffix":"Cat"},
			"addresses":[{"type":"work","formatted":"GWRT","streetAddress":"845 A","locality":"L","region":"R","postalCode":"zl48 3xh","primary":true,"country":"Belize"}],
			"phoneNumbers":[{"type":"work","value":"56-357-7743","primary":true},{"type":"mobile","value":"56-357-7743"},{"type":"fax","value":"56-357-7743"}],
			"ENT":{"employeeNumber":"E1","department":"D1","costCenter":"C1","organization":"O1","division":"V1","manager":{"value":"GZFDHGRKQLCG"}},
			"roles":[{"primary":true,"display":"RAJB","value":"OGCI","type":"IJAQ"}],"userType":"T","nickName":"N","locale":"en-GB","timezone":"America/Bogota","profileUrl":"SOME","externalId":"x-1"}`,
		found: []string{`userName eq "SHANIYA@v.example"`, `externalId eq "x-1"`, `emails.value eq "c@v.example"`}},
	"V02": {why: "renamed", set: `{"userName":"renamed@v.example"}`, lost: []string{byOldName}},
	"V03": {why: "every addition is there",
		set: `{"active":true,"displayName":"RJEX","emails":` + workMail("a@v.example") + `,"name":{"givenName":"G"},"addresses":[{"type":"work","streetAddress":"S"}],
			"phoneNumbers":[{"type":"fax","value":"1"}],"ENT":{"department":"D"},"roles":[{"primary":true,"display":"TQ","value":"UO","type":"VG"}]}`},
	"V04": {why: "one gone, two changed", set: `{"preferredLanguage":null,"externalId":"e9","displayName":"ZZ"}`, found: []string{`externalId eq "e9"`}},
	"V05": {why: "the last operation counts", set: `{"externalId":"e2"}`, found: []string{`externalId eq "e2"`}},

	"O03": {why: "no password, no groups", set: `{` + testUserAt + `,"name":{"givenName":"Test","familyName":"User"},"displayName":"Test User","locale":"en-US","externalId":"00ujl29u0le5T6Aj10h7","active":true}`},
	"O04": {why: "one test user", only: []string{`userName eq "test.user@okta.local"`}},
	"O06": {why: "the profile as sent", replaced: true,
		set: `{"userName":"test.user@okta.local","name":{"givenName":"Another","middleName":"Excited","familyName":"User"},"emails":[{"primary":true,"value":"test.user@okta.local","type":"work","display":"test.user@okta.local"}],"active":true}`},
	"O07": {why: "deactivated, and still found", replaced: true, set: `{` + testUserAt + `,"name":{"givenName":"Another","familyName":"User"},"active":false}`, found: []string{`userName eq "test.user@okta.local"`}},
	"O08": {why: "deactivated", set: `{"active":false}`, found: []string{byOldName}},
	"O09": {why: "reactivated", set: `{"active":true}`},
	"O10": {why: "a password leaves no trace"},
	"O13": {why: "who was inactive stays inactive", replaced: true, set: `{` + testUserAt + `,"name":{"givenName":"A","familyName":"U"},"active":false}`},
	"O22": {why: "a group with nobody in it", set: `{"displayName":"Test SCIMv2"}`, found: []string{`displayName eq "test scimv2"`}},
	"O24": {why: "a new name, the same members", set: `{"displayName":"Test SCIMv2 renamed"}`},
	"O25": {why: "one out, one in", members: []string{"{u2}", "{u9}"}},
	"O26": {why: "these two and nobody else", members: []string{"{u1}", "{u2}"}},
	"O27": {why: "empty, because it says so", members: []string{}},
	"O28": {why: "she and nobody else", members: []string{"{u1}"}},
	"O29": {why: "nobody leaves by not being mentioned", set: `{"displayName":"Only name"}`},
	"O30": {why: "the list as sent", replaced: true, set: `{"displayName":"Test SCIMv2"}`, members: []string{"{u1}", "{u2}"}},
	"O31": {why: "deleted", gone: true, lost: []string{`displayName eq "{old.displayName}"`}},
	"O32": {why: "a PATCH makes nobody", lost: []string{`id eq "{id}"`}},
	"O41": {why: "both lists as sent", replaced: true,
		set: `{"userName":"e@okta.local","active":true,"name":{"givenName":"E","familyName":"U"},"roles":[{"value":"owner","display":"Owner","type":"role"}],"entitlements":[{"value":"site-a","display":"Site A","type":"site"}]}`},

	"X01": {why: "active as a boolean, the manager by the id that OneLogin calls managerId",
		set: `{"userName":"ol@corp.example","active":true,"name":{"givenName":"O","familyName":"L"},"emails":` + workMail("ol@corp.example") + `,"ENT":{"department":"Ops","manager":{"value":"{m1}"}}}`},
	"X02": {why: "deleted", gone: true, lost: []string{byOldName}},
	"X03": {why: "once is enough", members: []string{"{u1}", "{u9}"}},
	"X04": {why: "created inactive", set: `{"userName":"susp@corp.example","active":false,"name":{"givenName":"S","familyName":"U"}}`},
	"X05": {why: "inactive", replaced: true, set: `{"userName":"pf@corp.example","active":false,"name":{"givenName":"P","familyName":"F"}}`},
}

// answers look at what reading shapes, and those that are refused, got back.
var answers = map[string]func(t *testing.T, a answer, values map[string]string){
	"E01": lists(0),
	"E02": every("externalId", "jyoung"),
	"E03": every("userName", "ada@corp.example"),
	"E04": every("userName", "ada@corp.example"),
	"E05": func(t *testing.T, a answer, values map[string]string) {
		every("displayName", "Site A Operators")(t, a, values)
		withoutMembers(t, a.list(t)...)
	},
	"E06": isUser,
	"E07": func(t *testing.T, a answer, values map[string]string) {
		same(t, "id", a.text("id"), values["gid"])
		withoutMembers(t, a.doc)
	},
	"E08": func(t *testing.T, a answer, values map[string]string) { onlyIDs(t, a, values["id"]) },
	"E09": func(t *testing.T, a answer, values map[string]string) { onlyIDs(t, a, values["gid"]) },
	"E10": func(t *testing.T, a answer, _ map[string]string) {
		ids := map[any]bool{}
		for _, schema := range a.list(t) {
			ids[schema["id"]] = true
		}
		for _, id := range []string{coreURN, groupURN, enterpriseURN} {
			if !ids[id] {
				t.Errorf("no schema %s", id)
			}
		}
		if bytes.Contains(a.raw, []byte("null")) {
			t.Errorf("a schema holds null, which Entra refuses")
		}
	},
	"E11": page(1, 5),
	"E24": conflict,
	"E113": func(t *testing.T, a answer, values map[string]string) {
		every("displayName", "Bob")(t, a, values)
	},
	"E114": func(t *testing.T, a answer, _ map[string]string) {
		for _, user := range a.list(t) {
			for name := range user {
				if !slices.Contains([]string{"schemas", "id", "emails"}, name) {
					t.Fatalf("only e-mails were asked for, %s came", name)
				}
			}
		}
	},
	"E115": func(t *testing.T, a answer, _ map[string]string) {
		for _, user := range a.list(t) {
			if at(user, "name", "familyName") == "Employee" {
				return
			}
		}
		t.Errorf("Employee is not found")
	},
	"E116": func(t *testing.T, a answer, _ map[string]string) {
		if a.number(t, "totalResults") == 0 {
			t.Errorf("nobody was created after 2015")
		}
	},
	"O01": page(1, 2),
	"O02": func(t *testing.T, a answer, _ map[string]string) { a.list(t) }, // played first in a fresh run, later in the next
	"O03": noPassword,
	"O04": conflict,
	"O05": isUser,
	"O10": noPassword,
	"O11": page(1, 100),
	"O12": page(101, 100),
	"O20": page(1, 100),
	"O21": every("displayName", "Test SCIMv2"),
	"O23": func(t *testing.T, a answer, values map[string]string) {
		same(t, "members", memberIDs(a.doc), []string{values["u1"]})
	},
	"E112": refused("invalidValue"),
	"O40": func(t *testing.T, a answer, values map[string]string) {
		page(1, 1)(t, a, values)
		same(t, "totalResults", a.number(t, "totalResults"), 4)
		same(t, "schemas", answer{doc: a.list(t)[0]}.texts("schemas"), []string{"urn:okta:scim:schemas:core:1.0:Role"})
		if a.text("Resources", 0, "id") == "" || a.text("Resources", 0, "displayName") == "" {
			t.Errorf("got %s, want a role with id and displayName", a.raw)
		}
	},
	"E80": emptyMembers,
	"O22": emptyMembers,
	"S01": func(t *testing.T, a answer, _ map[string]string) {
		same(t, "users on the page", len(a.list(t)), 10)
		if a.text("nextCursor") == "" || a.at("startIndex") != nil || a.at("previousCursor") != nil {
			t.Errorf("got nextCursor %v, startIndex %v, previousCursor %v; want the first alone", a.at("nextCursor"), a.at("startIndex"), a.at("previousCursor"))
		}
	},
	"S02": func(t *testing.T, a answer, _ map[string]string) {
		if len(a.list(t)) == 0 {
			t.Errorf("the second page is empty")
		}
	},
	"S03": refused("invalidCursor"),
}

func lists(total int) func(*testing.T, answer, map[string]string) {
	return func(t *testing.T, a answer, _ map[string]string) {
		same(t, "resources", len(a.list(t)), total)
		same(t, "totalResults", a.number(t, "totalResults"), total)
	}
}

// every wants at least one resource, and all of them with the value.
func every(attribute, want string) func(*testing.T, answer, map[string]string) {
	return func(t *testing.T, a answer, _ map[string]string) {
		found := a.list(t)
		if len(found) == 0 {
			t.Errorf("nothing with %s %s", attribute, want)
		}
		for _, resource := range found {
			if got, _ := resource[attribute].(string); !strings.EqualFold(got, want) {
				t.Errorf("got %s %q, want %q", attribute, got, want)
			}
		}
	}
}

// page checks the numbers of a page (RFC 7644 section 3.4.2.4).
func page(start, count int) func(*testing.T, answer, map[string]string) {
	return func(t *testing.T, a answer, _ map[string]string) {
		total, found := a.number(t, "totalResults"), len(a.list(t))
		same(t, "startIndex", a.number(t, "startIndex"), start)
		same(t, "itemsPerPage", a.number(t, "itemsPerPage"), found)
		same(t, "resources", found, min(count, max(0, total-start+1)))
	}
}

func isUser(t *testing.T, a answer, values map[string]string) {
	same(t, "id", a.text("id"), values["id"])
	same(t, "schemas", a.texts("schemas"), []string{coreURN})
	if a.at("active") != true || a.text("userName") == "" {
		t.Errorf("got %s, want an active user with a name", a.raw)
	}
}

func onlyIDs(t *testing.T, a answer, id string) {
	t.Helper()
	found := a.list(t)
	if len(found) != 1 || found[0]["id"] != id {
		t.Fatalf("got %v, want only %s", found, id)
	}
	same(t, "attributes beside id", without(found[0], "id", "schemas"), object{})
}

func withoutMembers(t *testing.T, groups ...object) {
	t.Helper()
	for _, group := range groups {
		if members, there := group["members"]; there {
			t.Errorf("members were excluded and came: %v", members)
		}
	}
}

func emptyMembers(t *testing.T, a answer, _ map[string]string) {
	if members, isArray := a.at("members").([]any); !isArray || len(members) > 0 {
		t.Errorf("got members %#v, want an empty array", a.at("members"))
	}
}

func conflict(t *testing.T, a answer, _ map[string]string) {
	same(t, "scimType", a.text("scimType"), "uniqueness")
}

func refused(scimType string) func(*testing.T, answer, map[string]string) {
	return func(t *testing.T, a answer, _ map[string]string) { same(t, "scimType", a.text("scimType"), scimType) }
}

func noPassword(t *testing.T, a answer, _ map[string]string) {
	if _, there := a.doc["password"]; there {
		t.Errorf("the answer shows a password")
	}
}
