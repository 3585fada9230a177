package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

const (
	bulkURN         = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
	bulkResponseURN = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
)

// bulk is a BulkRequest (RFC 7644 section 3.7).
func bulk(operations ...object) object {
	if operations == nil {
		operations = []object{}
	}
	return object{"schemas": []string{bulkURN}, "Operations": operations}
}

func bulkPost(path, bulkID string, data object) object {
	return object{"method": "POST", "path": path, "bulkId": bulkID, "data": data}
}

func newUser(userName string, more object) object {
	data := object{"schemas": []string{coreURN}, "userName": userName}
	maps.Copy(data, more)
	return data
}

func newGroup(displayName string, members ...string) object {
	return object{"schemas": []string{groupURN}, "displayName": displayName, "members": refs(members...)}
}

// bulk sends a BulkRequest, checks what holds of every answer, and returns what
// came of its operations.
func (c *client) bulk(request object) []object {
	c.t.Helper()
	got := c.want(200, "POST", "/Bulk", request)
	if schemas := got.texts("schemas"); !slices.Equal(schemas, []string{bulkResponseURN}) {
		c.t.Errorf("%s: schemas are %q, want %q", got.request, schemas, bulkResponseURN)
	}
	list, ok := got.at("Operations").([]any)
	if !ok {
		c.t.Fatalf("%s: Operations is %#v, want a list", got.request, got.at("Operations"))
	}
	var operations []object
	for i, item := range list {
		operation, _ := item.(object)
		operations = append(operations, operation)
		status, isText := operation["status"].(string)
		response, _ := operation["response"].(object)
		switch failed := status >= "400"; {
		case !isText:
			c.t.Errorf("operation %d has status %#v, want text", i, operation["status"])
		case status >= "500":
			c.t.Errorf("operation %d: the server failed: %v", i, operation)
		case failed != (response != nil):
			c.t.Errorf("operation %d: status %s with response %v: an error has one, nothing else", i, status, response)
		case failed && (response["status"] != status || at(response, "schemas", 0) != errorURN || response["detail"] == ""):
			c.t.Errorf("operation %d: status %s with response %v, want the same in a SCIM error", i, status, response)
		case !failed && operation["location"] == nil:
			c.t.Errorf("operation %d has no location: %v", i, operation)
		}
	}
	return operations
}

// did writes what came of operations: method, bulkId, status and scimType.
func did(operations []object) []string {
	var all []string
	for _, o := range operations {
		text := fmt.Sprint(o["method"])
		for _, part := range []any{o["bulkId"], o["status"], at(o, "response", "scimType")} {
			if part != nil {
				text += " " + fmt.Sprint(part)
			}
		}
		all = append(all, text)
	}
	return all
}

// made is the id of what an operation has made.
func made(t testing.TB, operation object) string {
	t.Helper()
	location, _ := operation["location"].(string)
	if operation["status"] != "201" || location == "" {
		t.Fatalf("got %v, want 201 with a location", operation)
	}
	return location[strings.LastIndexByte(location, '/')+1:]
}

func (c *client) managerOf(user string) string {
	c.t.Helper()
	return c.want(200, "GET", "/Users/"+user, nil).text(enterpriseURN, "manager", "value")
}

func TestBulkDoesWhatSingleRequestsDo(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		// RFC 7644 section 3.7.3, with operations of every method.
		bob, dave, gone := c.user("bob", nil), c.user("dave", nil), c.user("gone", nil)
		operations := c.bulk(bulk(
			bulkPost("/Users", "qwerty", newUser("Alice", object{"name": object{"formatted": "Mrs <Alice> & Co"}})),
			object{"method": "PUT", "path": "/Users/" + bob, "data": newUser("Bob", object{"title": "Tour Guide"})},
			object{"method": "PATCH", "path": "/Users/" + dave, "bulkId": "mine", "data": patch(op("replace", "active", "False"))},
			object{"method": "DELETE", "path": "/Users/" + gone},
		))
		same(t, "outcome", did(operations), []string{"POST qwerty 201", "PUT 200", "PATCH mine 200", "DELETE 204"})
		alice := made(t, operations[0])
		for i, id := range []string{alice, bob, dave, gone} {
			same(t, "location", fmt.Sprint(operations[i]["location"]), c.host+c.path+"/Users/"+id)
		}
		same(t, "Alice's name", c.want(200, "GET", "/Users/"+alice, nil).text("name", "formatted"), "Mrs <Alice> & Co")
		same(t, "Bob's title", c.want(200, "GET", "/Users/"+bob, nil).text("title"), "Tour Guide")
		same(t, "Dave is active", c.want(200, "GET", "/Users/"+dave, nil).at("active"), any(false))
		c.want(404, "GET", "/Users/"+gone, nil)
		for i, path := range []string{"/Users/" + alice, "/Users/" + bob, "/Users/" + dave} {
			same(t, "version of "+path, operations[i]["version"], any(c.want(200, "GET", path, nil).header.Get("ETag")))
		}
		same(t, "nothing to do", did(c.bulk(bulk())), nil)
	})
}

// RFC 7644 section 3.7.3: each operation fails in its way, and the others are done.
func TestBulkHoldsVersions(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		bob, dave := c.user("bob", nil), c.user("dave", nil)
		group := c.group("Ops", bob)
		version := func(path string) string { return c.want(200, "GET", path, nil).header.Get("ETag") }
		stale := version("/Users/" + bob)
		c.want(200, "PATCH", "/Users/"+bob, patch(op("replace", "title", "Boss")))
		operations := c.bulk(bulk(
			bulkPost("/Users", "qwerty", object{"schemas": []string{coreURN}}),
			object{"method": "PUT", "path": "/Users/" + bob, "version": stale, "data": newUser("bob", nil)},
			object{"method": "PATCH", "path": "/Users/" + dave, "version": version("/Users/" + dave), "data": patch(op("replace", "title", "D"))},
			object{"method": "PATCH", "path": "/Groups/" + group, "version": `W/"999"`, "data": patch(op("add", "members", refs(dave)))},
			object{"method": "DELETE", "path": "/Users/" + bob, "version": stale},
			object{"method": "DELETE", "path": "/Users/01890000-0000-7000-8000-000000000000", "version": `W/"1"`},
			object{"method": "DELETE", "path": "/Groups/" + group, "version": "one"},
		))
		same(t, "outcome", did(operations), []string{
			"POST qwerty 400 invalidValue", "PUT 412", "PATCH 200", "PATCH 412", "DELETE 412", "DELETE 404", "DELETE 400 invalidValue"})
		same(t, "location of what failed", operations[1]["location"], any(c.host+c.path+"/Users/"+bob))
		same(t, "title", c.want(200, "GET", "/Users/"+bob, nil).text("title"), "Boss")
		same(t, "members", c.members(group), []string{bob})

		// The version of what was completed in a second step is the last one.
		operations = c.bulk(bulk(bulkPost("/Users", "a", newUser("a", reportsTo("bulkId:b"))), bulkPost("/Users", "b", newUser("b", reportsTo("bulkId:a")))))
		for _, operation := range operations {
			same(t, "version in a circle", operation["version"], any(version("/Users/"+made(t, operation))))
		}
	})
}

func TestBulkCircles(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		c.step("the two groups of RFC 7644 section 3.7.1", func(t *testing.T, c *client) {
			operations := c.bulk(bulk(
				bulkPost("/Groups", "qwerty", object{"schemas": []string{groupURN}, "displayName": "Group A", "members": []object{{"type": "Group", "value": "bulkId:ytrewq"}}}),
				bulkPost("/Groups", "ytrewq", object{"schemas": []string{groupURN}, "displayName": "Group B", "members": []object{{"type": "Group", "value": "bulkId:qwerty"}}}),
			))
			// It was tried, and a group is never a member of itself.
			same(t, "outcome", did(operations), []string{"POST qwerty 409", "POST ytrewq 409"})
			if says, _ := at(operations[1], "response", "detail").(string); !strings.Contains(says, "member of itself") {
				t.Errorf("the error says %q, want why", says)
			}
			same(t, "found", c.find("/Groups", `displayName sw "Group "`), []string{})
		})
		c.step("groups within groups, the outermost first", func(t *testing.T, c *client) {
			operations := c.bulk(bulk(
				bulkPost("/Groups", "1", newGroup("Outer", "bulkId:2", "bulkId:ann")),
				bulkPost("/Groups", "2", newGroup("Middle", "bulkId:3")),
				bulkPost("/Groups", "3", newGroup("Inner", "bulkId:ann")),
				bulkPost("/Users", "ann", newUser("ann", nil)),
			))
			outer, middle, inner, ann := made(t, operations[0]), made(t, operations[1]), made(t, operations[2]), made(t, operations[3])
			same(t, "Outer", c.members(outer), sorted(middle, ann))
			same(t, "Middle", c.members(middle), []string{inner})
			same(t, "Inner", c.members(inner), []string{ann})
		})
		c.step("people who manage each other", func(t *testing.T, c *client) {
			eve := c.user("eve", nil)
			operations := c.bulk(bulk(
				bulkPost("/Groups", "g", newGroup("All", "bulkId:a", "bulkId:b", eve, "bulkId:c")),
				bulkPost("/Users", "a", newUser("a", reportsTo("bulkId:b"))),
				bulkPost("/Users", "b", newUser("b", object{"title": "B", enterpriseURN: object{"department": "Ops", "manager": "bulkId:c"}})),
				bulkPost("/Users", "c", newUser("c", reportsTo("bulkId:a"))),
				bulkPost("/Users", "self", newUser("self", object{"manager": "BulkID:self"})),
			))
			same(t, "outcome", did(operations), []string{"POST g 201", "POST a 201", "POST b 201", "POST c 201", "POST self 201"})
			ids := map[string]string{}
			for _, operation := range operations {
				ids[fmt.Sprint(operation["bulkId"])] = made(t, operation)
			}
			same(t, "members", c.members(ids["g"]), sorted(ids["a"], ids["b"], ids["c"], eve))
			for who, manager := range map[string]string{"a": "b", "b": "c", "c": "a", "self": "self"} {
				same(t, "manager of "+who, c.managerOf(ids[who]), ids[manager])
			}
			b := c.want(200, "GET", "/Users/"+ids["b"], nil)
			same(t, "b's title and department", []string{b.text("title"), b.text(enterpriseURN, "department")}, []string{"B", "Ops"})
		})
		c.step("one that can't be closed leaves nobody", func(t *testing.T, c *client) {
			operations := c.bulk(bulk(
				bulkPost("/Users", "x", newUser("x", reportsTo("bulkId:y"))),
				bulkPost("/Users", "y", newUser("y", reportsTo("bulkId:z"))),
				bulkPost("/Users", "z", newUser("z", object{"active": "perhaps", "manager": "bulkId:x"})),
				object{"method": "PATCH", "path": "/Users/bulkId:x", "data": patch(op("replace", "title", "X"))},
				bulkPost("/Groups", "xyz", newGroup("XYZ", "bulkId:y")),
				bulkPost("/Users", "w", newUser("w", nil)),
			))
			same(t, "outcome", did(operations), []string{
				"POST x 409", "POST y 409", "POST z 400 invalidValue", "PATCH 409", "POST xyz 409", "POST w 201"})
			operations = c.bulk(bulk( // what is wrong is found last
				bulkPost("/Users", "x", newUser("x", object{"active": "perhaps", "manager": "bulkId:y"})),
				bulkPost("/Users", "y", newUser("y", reportsTo("bulkId:z"))),
				bulkPost("/Users", "z", newUser("z", reportsTo("bulkId:x"))),
			))
			same(t, "outcome", did(operations), []string{"POST x 400 invalidValue", "POST y 409", "POST z 409"})
			same(t, "found", c.find("/Users", `userName eq "x" or userName eq "y" or userName eq "z"`), []string{})
			for _, operation := range operations {
				if operation["location"] != nil {
					t.Errorf("%v has a location, and was not made", operation)
				}
			}
		})
	})
}

func TestBulkReferences(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		c.step("RFC 7644 section 3.7.2", func(t *testing.T, c *client) {
			operations := c.bulk(bulk(
				bulkPost("/Users", "qwerty", newUser("Alice", nil)),
				bulkPost("/Groups", "ytrewq", object{"schemas": []string{groupURN}, "displayName": "Tour Guides", "members": []object{{"type": "User", "value": "bulkId:qwerty"}}}),
				bulkPost("/Users", "bob", newUser("Bob", object{enterpriseURN: object{"employeeNumber": "11250", "manager": object{"value": "bulkId:qwerty"}}})),
			))
			alice := made(t, operations[0])
			same(t, "members", c.members(made(t, operations[1])), []string{alice})
			same(t, "manager", c.managerOf(made(t, operations[2])), alice)
		})
		c.step("forward, in paths and in PATCH", func(t *testing.T, c *client) {
			old := c.user("old", nil)
			group := c.group("Crew", old)
			operations := c.bulk(bulk(
				object{"method": "PATCH", "path": "/Groups/" + group, "data": patch(op("add", "members", refs("bulkId:1", "bulkId:2")))},
				object{"method": "PATCH", "path": "/Groups/" + group, "data": patch(remove(`members[value eq "bulkId:2" or value eq "` + old + `"]`))},
				object{"method": "PATCH", "path": "/Users/bulkId:1", "data": patch(op("replace", "manager", "bulkId:2"))},
				object{"method": "PUT", "path": "/Groups/bulkId:3", "data": newGroup("Renamed", "bulkId:2", old)},
				object{"method": "DELETE", "path": "/Users/bulkId:4"},
				bulkPost("/Users", "1", newUser("one", nil)),
				bulkPost("Users/", "2", newUser("two", nil)),
				bulkPost("/Groups", "3", newGroup("Third", "bulkId:1")),
				bulkPost("/Users", "4", newUser("four", nil)),
			))
			same(t, "outcome", did(operations), []string{
				"PATCH 204", "PATCH 204", "PATCH 200", "PUT 200", "DELETE 204", "POST 1 201", "POST 2 201", "POST 3 201", "POST 4 201"})
			one, two, third := made(t, operations[5]), made(t, operations[6]), made(t, operations[7])
			same(t, "members of Crew", c.members(group), []string{one})
			same(t, "members of Third", c.members(third), sorted(two, old))
			same(t, "name of Third", c.want(200, "GET", "/Groups/"+third, nil).text("displayName"), "Renamed")
			same(t, "manager of one", c.managerOf(one), two)
			c.want(404, "GET", "/Users/"+made(t, operations[8]), nil)
			same(t, "location of a PATCH", operations[2]["location"], any(c.host+c.path+"/Users/"+one))
		})
	})
}

// An operation fails on its own, and changes nothing.
func TestBulkOperationsThatFail(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		ann := c.user("ann", nil)
		group := c.group("Ops", ann)
		data := newUser("never", nil)
		for _, test := range []struct {
			why       string
			operation any
			want      string
			says      string
		}{
			{"no object", "DELETE", "<nil> 400 invalidSyntax", "object"},
			{"nothing", nil, "<nil> 400 invalidSyntax", "object"},
			{"no method", object{"path": "/Users", "data": data}, "<nil> 400 invalidValue", "POST, PUT, PATCH or DELETE"},
			{"a method to read with", object{"method": "GET", "path": "/Users/" + ann}, "GET 400 invalidValue", "POST, PUT, PATCH or DELETE"},
			{"a method that is no text", object{"method": 1, "path": "/Users"}, "<nil> 400 invalidValue", "method"},
			{"a POST without bulkId", object{"method": "POST", "path": "/Users", "data": data}, "POST 400 invalidValue", "bulkId"},
			{"a bulkId that is no text", object{"method": "POST", "bulkId": 1, "path": "/Users", "data": data}, "POST 400 invalidValue", "bulkId"},
			{"no path", object{"method": "POST", "bulkId": "b", "data": data}, "POST b 400 invalidPath", "/Users or /Groups"},
			{"an unknown path", bulkPost("/Nothing", "b", data), "POST b 400 invalidPath", "/Users or /Groups"},
			{"a path in another case", bulkPost("/users", "b", data), "POST b 400 invalidPath", "/Users or /Groups"},
			{"a bulk in a bulk", bulkPost("/Bulk", "b", bulk()), "POST b 400 invalidPath", "/Users or /Groups"},
			{"a search", bulkPost("/Users/.search", "b", object{}), "POST b 400 invalidPath", "/Users or /Groups"},
			{"discovery", object{"method": "DELETE", "path": "/Schemas/" + coreURN}, "DELETE 400 invalidPath", "/Users/{id}"},
			{"a whole address", object{"method": "DELETE", "path": c.host + c.path + "/Users/" + ann}, "DELETE 400 invalidPath", "/Users/{id}"},
			{"dots", object{"method": "DELETE", "path": "/Groups/../Users/" + ann}, "DELETE 400 invalidPath", "/Users/{id}"},
			{"dots as id", object{"method": "DELETE", "path": "/Users/.."}, "DELETE 404", ".."},
			{"something behind the id", object{"method": "DELETE", "path": "/Users/" + ann + "/groups"}, "DELETE 400 invalidPath", "/Users/{id}"},
			{"a query", object{"method": "DELETE", "path": "/Users/" + ann + "?x=y"}, "DELETE 404", "not found"},
			{"POST to somebody", bulkPost("/Users/"+ann, "b", data), "POST b 400 invalidPath", "/Users or /Groups"},
			{"DELETE of all", object{"method": "DELETE", "path": "/Users"}, "DELETE 400 invalidPath", "/Users/{id}"},
			{"no data", object{"method": "PUT", "path": "/Users/" + ann}, "PUT 400 invalidSyntax", "JSON object"},
			{"data as text", object{"method": "PUT", "path": "/Users/" + ann, "data": `{"userName":"never"}`}, "PUT 400 invalidSyntax", "JSON object"},
			{"data as a list", object{"method": "PATCH", "path": "/Users/" + ann, "data": []any{}}, "PATCH 400 invalidSyntax", "JSON object"},
			{"bad data", bulkPost("/Users", "b", object{"userName": true}), "POST b 400 invalidValue", "userName"},
			{"a name that is taken", bulkPost("/Users", "b", newUser("ANN", nil)), "POST b 409 uniqueness", "already"},
			{"nobody", object{"method": "DELETE", "path": "/Users/01890000-0000-7000-8000-000000000000"}, "DELETE 404", "not found"},
			{"a group among people", object{"method": "DELETE", "path": "/Users/" + group}, "DELETE 404", "not found"},
			{"an unknown reference", bulkPost("/Groups", "b", newGroup("never", "bulkId:c")), "POST b 400 invalidValue", "bulkId:c"},
			{"an empty reference", bulkPost("/Groups", "b", newGroup("never", "bulkId:")), "POST b 400 invalidValue", "bulkId:"},
			{"an unknown reference in a path", object{"method": "DELETE", "path": "/Users/bulkId:c"}, "DELETE 400 invalidValue", "bulkId:c"},
			{"an unknown reference in a filter", object{"method": "PATCH", "path": "/Groups/" + group, "data": patch(remove(`members[value eq "bulkId:c"]`))}, "PATCH 400 invalidValue", "bulkId:c"},
			{"a member of an unknown reference", object{"method": "PATCH", "path": "/Groups/" + group, "data": patch(op("replace", "members", refs("bulkId:c")))}, "PATCH 400 invalidValue", "bulkId:c"},
			{"a reference to what creates nothing", object{"method": "PATCH", "bulkId": "b", "path": "/Users/" + ann, "data": patch(op("replace", "manager", "bulkId:b"))}, "PATCH b 400 invalidValue", "bulkId:b"},
			{"a group in itself", bulkPost("/Groups", "b", newGroup("never", "bulkId:b")), "POST b 409", "member of itself"},
			{"what is required refers to itself", bulkPost("/Users", "b", object{"userName": "bulkId:b"}), "POST b 400 invalidValue", "userName"},
			{"nobody known takes the place of all", object{"method": "PUT", "path": "/Groups/" + group, "data": newGroup("Ops", "01890000-0000-7000-8000-000000000000")}, "PUT 400 invalidValue", "members"},
		} {
			operations := c.bulk(object{"Operations": []any{test.operation}})
			if got := did(operations); len(got) != 1 || got[0] != test.want {
				t.Errorf("%s: got %q, want %q", test.why, got, test.want)
				continue
			}
			if says, _ := at(operations[0], "response", "detail").(string); !strings.Contains(says, test.says) {
				t.Errorf("%s: the error says %q, want %q in it", test.why, says, test.says)
			}
		}
		same(t, "the same bulkId twice", did(c.bulk(bulk(bulkPost("/Users", "b", newUser("never", nil)), bulkPost("/Users", "b", newUser("never2", nil)), bulkPost("/Groups", "c", newGroup("never", "bulkId:b"))))),
			[]string{"POST b 400 invalidValue", "POST b 400 invalidValue", "POST c 409"})
		same(t, "what refers to what failed", did(c.bulk(bulk(bulkPost("/Groups", "g", newGroup("never", "bulkId:u")), bulkPost("/Users", "u", newUser("ann", nil))))),
			[]string{"POST g 409", "POST u 409 uniqueness"})
		same(t, "people", c.find("/Users", "id pr"), []string{ann})
		same(t, "groups", c.find("/Groups", "id pr"), []string{group})
		same(t, "members", c.members(group), []string{ann})
	})
}

func TestBulkStopsAfterErrors(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		ann := c.user("ann", nil)
		bad := bulkPost("/Users", "qwerty", object{"userName": nil}) // the error of RFC 7644 section 3.7.3
		operations := []object{
			bad,
			{"method": "PUT", "path": "/Users/" + ann, "data": newUser("ann2", nil)},
			{"method": "DELETE", "path": "/Users/01890000-0000-7000-8000-000000000000"},
			{"method": "DELETE", "path": "/Users/" + ann},
		}
		request := func(failOnErrors any, operations ...object) object {
			r := bulk(operations...)
			r["failOnErrors"] = failOnErrors
			return r
		}
		got := c.bulk(request(1, operations...))
		same(t, "after one", did(got), []string{"POST qwerty 400 invalidValue"})
		same(t, "ann is who she was", c.find("/Users", `userName eq "ann"`), []string{ann})
		same(t, "after two", did(c.bulk(request(2, operations...))), []string{"POST qwerty 400 invalidValue", "PUT 200", "DELETE 404"})
		same(t, "never", did(c.bulk(request(nil, operations...))), []string{"POST qwerty 400 invalidValue", "PUT 200", "DELETE 404", "DELETE 204"})

		// What is not done, something else may refer to.
		same(t, "in the middle of a circle", did(c.bulk(request(1,
			bulkPost("/Users", "a", newUser("a", object{"manager": "bulkId:b", "x": "bulkId:c"})),
			bulkPost("/Users", "b", newUser("b", reportsTo("bulkId:a"))),
			bulkPost("/Users", "c", newUser("", nil)),
		))), []string{"POST b 409", "POST c 400 invalidValue"})
		same(t, "people", c.find("/Users", "id pr"), []string{})
	})
}

func TestBulkLimits(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		config := c.want(200, "GET", "/ServiceProviderConfig", nil)
		operations, payload := config.number(t, "bulk", "maxOperations"), config.number(t, "bulk", "maxPayloadSize")
		same(t, "supported", config.at("bulk", "supported"), any(true))

		var many []object
		members := []string{}
		for i := range operations {
			id := fmt.Sprintf("u%d", i)
			many = append(many, bulkPost("/Users", id, newUser(id+"@corp.example", nil)))
			members = append(members, "bulkId:"+id)
		}
		got := c.want(413, "POST", "/Bulk", bulk(append(many, bulkPost("/Users", "one", newUser("one", nil)))...))
		if says := got.text("detail"); !strings.Contains(says, fmt.Sprintf("maxOperations, %d", operations)) {
			t.Errorf("too many operations: the error says %q, want the limit", says)
		}
		got = c.want(413, "POST", "/Bulk", bulk(bulkPost("/Users", "x", newUser("x", object{"title": strings.Repeat("x", payload)}))))
		if says := got.text("detail"); !strings.Contains(says, fmt.Sprintf("maxPayloadSize, %d", payload)) {
			t.Errorf("too large: the error says %q, want the limit", says)
		}
		same(t, "people", c.find("/Users", "id pr"), []string{})

		many[0] = bulkPost("/Groups", "all", newGroup("All", members[1:]...))
		made := c.bulk(bulk(many...))
		for i, operation := range made {
			if operation["status"] != "201" {
				t.Fatalf("operation %d: %v", i, operation)
			}
		}
		group, _ := made[0]["location"].(string)
		same(t, "members", len(c.members(group[strings.LastIndexByte(group, '/')+1:])), operations-1)

		// Exactly as large as it may be, and as many references as fit: a circle of all.
		chain := make([]object, operations)
		for i := range chain {
			chain[i] = bulkPost("/Users", fmt.Sprint(i), newUser(fmt.Sprintf("chain%d", i), reportsTo(fmt.Sprintf("bulkId:%d", (i+1)%operations))))
		}
		for i, operation := range c.bulk(bulk(chain...)) {
			if operation["status"] != "201" {
				t.Fatalf("operation %d of the circle: %v", i, operation)
			}
		}
		whole := string(mustJSON(t, bulk(object{"method": "DELETE", "path": "/Users/nobody"})))
		same(t, "as large as it may be", did(c.bulkText(whole+strings.Repeat(" ", payload-len(whole)))), []string{"DELETE 404"})
		c.want(413, "POST", "/Bulk", whole+strings.Repeat(" ", payload-len(whole)+1))
	})
}

// bulkText is bulk for a request that is written already.
func (c *client) bulkText(request string) []object {
	c.t.Helper()
	var operations []object
	list, _ := c.want(200, "POST", "/Bulk", request).at("Operations").([]any)
	for _, item := range list {
		operation, _ := item.(object)
		operations = append(operations, operation)
	}
	return operations
}
