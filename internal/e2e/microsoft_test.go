package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// fullUser is a user with every attribute that Microsoft's validator sends.
func fullUser(t *testing.T, userName string) object {
	t.Helper()
	byID, _ := shapes(t)
	body := decode(byID["V01"].Body)
	body["userName"], body["externalId"] = userName, "ext-"+userName
	return body
}

// TestMicrosoftValidator is the inventory of scimvalidator.microsoft.com: V01
// to V25, then the preview tests P1 to P7.
func TestMicrosoftValidator(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		validateUsers(t, c)
		validateGroups(c)
		validatePreview(c)
	})
}

func validateUsers(t *testing.T, c *client) {
	const userName = "Shaniya@v.example"
	sent := fullUser(t, userName)
	var id, manager string
	userIs := func(c *client, changes object) {
		c.t.Helper()
		want := plain(sent)
		want["roles"] = []any{object{"primary": true, "display": "RAJB", "value": "OGCI", "type": "IJAQ"}}
		for name, value := range changes {
			want[name] = value
		}
		same(c.t, "user", plain(c.want(200, "GET", "/Users/"+id, nil).doc), plain(want))
	}

	c.step("V01 Create a new User", func(t *testing.T, c *client) {
		id = c.want(201, "POST", "/Users", sent).text("id")
		same(t, "found", c.find("/Users", `userName eq "`+userName+`"`), []string{id})
		userIs(c, nil)
	})
	c.step("V02 Create a duplicate User", func(t *testing.T, c *client) {
		conflict(t, c.want(409, "POST", "/Users", sent), nil)
	})
	c.step("V03 Filter for an existing user", func(t *testing.T, c *client) {
		got := c.want(200, "GET", "/Users?filter="+query(`userName eq "`+userName+`"`), nil)
		lists(1)(t, got, nil)
		same(t, "startIndex", got.number(t, "startIndex"), 1)
		same(t, "itemsPerPage", got.number(t, "itemsPerPage"), 1)
		same(t, "id", got.text("Resources", 0, "id"), id)
	})
	c.step("V04 Filter for a non-existing user", func(t *testing.T, c *client) {
		lists(0)(t, c.want(200, "GET", "/Users?filter="+query(`userName eq "`+uuid.NewString()+`"`), nil), nil)
	})
	c.step("V05 Filter for a user in different case", func(t *testing.T, c *client) {
		same(t, "found", c.find("/Users", `userName eq "`+strings.ToUpper(userName)+`"`), []string{id})
	})
	c.step("V06 Replace Attributes", func(t *testing.T, c *client) {
		c.want(200, "PATCH", "/Users/"+id, patch(
			op("replace", "displayName", "One"), op("replace", "name.givenName", "Two"),
			op("replace", `emails[type eq "work"].value`, "three@v.example"),
			op("replace", enterpriseURN+":department", "D2")))
		name := object{"givenName": "Two", "familyName": "Keaton", "formatted": "Matt", "middleName": "Marcelo", "honorificPrefix": "Caleigh", "honorificSuffix": "Cat"}
		extension := object{"employeeNumber": "E1", "department": "D2", "costCenter": "C1", "organization": "O1", "division": "V1", "manager": object{"value": "GZFDHGRKQLCG"}}
		mail := []any{object{"type": "work", "value": "three@v.example", "primary": true}}
		userIs(c, object{"displayName": "One", "name": name, "emails": mail, enterpriseURN: extension})

		c.want(200, "PATCH", "/Users/"+id, patch(op("replace", "", object{
			"displayName": sent["displayName"], "name.givenName": "Sadye", enterpriseURN + ":department": "D1",
		}), op("replace", `emails[type eq "work"].value`, "c@v.example")))
		userIs(c, nil)
	})
	c.step("V07 Update User userName", func(t *testing.T, c *client) {
		c.want(200, "PATCH", "/Users/"+id, patch(op("replace", "userName", "renamed@v.example")))
		userIs(c, object{"userName": "renamed@v.example"})
		same(t, "found by the old name", c.find("/Users", `userName eq "`+userName+`"`), []string{})
	})
	c.step("V08 Disable User", func(t *testing.T, c *client) {
		c.want(200, "PATCH", "/Users/"+id, patch(op("replace", "active", false)))
		userIs(c, object{"userName": "renamed@v.example", "active": false})
	})
	c.step("V09 Add Attributes Verbose", addVerbose)
	c.step("V10 Add Manager", func(t *testing.T, c *client) {
		id = c.user("managed@v.example", nil)
		manager = c.user("manager@v.example", nil)
		c.want(200, "PATCH", "/Users/"+id, patch(op("Add", enterpriseURN+":manager", manager)))
		same(t, "manager", c.want(200, "GET", "/Users/"+id, nil).text(enterpriseURN, "manager", "value"), manager)
	})
	c.step("V11 Replace Manager", func(t *testing.T, c *client) {
		other := c.user("manager2@v.example", nil)
		c.want(200, "PATCH", "/Users/"+id, patch(op("replace", enterpriseURN+":manager", other)))
		same(t, "manager", c.want(200, "GET", "/Users/"+id, nil).text(enterpriseURN, "manager", "value"), other)
	})
	c.step("V12 Remove Manager", func(t *testing.T, c *client) {
		c.want(200, "PATCH", "/Users/"+id, patch(op("replace", enterpriseURN+":manager", object{"value": ""})))
		if got := c.want(200, "GET", "/Users/"+id, nil).at(enterpriseURN, "manager"); got != nil {
			t.Errorf("got manager %v, want none", got)
		}
	})
	c.step("V13 Delete a User", func(t *testing.T, c *client) {
		c.want(204, "DELETE", "/Users/"+id, nil)
		c.want(404, "GET", "/Users/"+id, nil)
	})
}

// addVerbose adds every attribute to a user who has only a name, one operation
// for each leaf, as the validator does.
func addVerbose(t *testing.T, c *client) {
	id := c.want(201, "POST", "/Users", object{"schemas": []string{coreURN}, "userName": "bare@v.example"}).text("id")
	var operations []object
	add := func(path string, value any) { operations = append(operations, op("add", path, value)) }
	want := object{"userName": "bare@v.example", "active": true}
	add("active", true)
	for _, name := range []string{"displayName", "title", "preferredLanguage", "userType", "nickName", "locale", "timezone", "profileUrl", "externalId"} {
		add(name, "new "+name)
		want[name] = "new " + name
	}
	nested := func(prefix, separator, into string, names ...string) {
		leaves := object{}
		for _, name := range names {
			add(prefix+separator+name, "new "+name)
			leaves[name] = "new " + name
		}
		want[into] = leaves
	}
	nested("name", ".", "name", "givenName", "familyName", "formatted", "middleName", "honorificPrefix", "honorificSuffix")
	nested(enterpriseURN, ":", enterpriseURN, "employeeNumber", "department", "costCenter", "organization", "division")
	nested(`addresses[type eq "work"]`, ".", "address", "formatted", "streetAddress", "locality", "region", "postalCode", "country")
	address := want["address"].(object)
	delete(want, "address")
	add(`addresses[type eq "work"].primary`, true)
	address["type"], address["primary"] = "work", true
	want["addresses"] = []any{address}
	add(`emails[type eq "work"].value`, "a@v.example")
	add(`emails[type eq "work"].primary`, true)
	want["emails"] = []any{object{"type": "work", "value": "a@v.example", "primary": true}}
	var phones []any
	for _, kind := range []string{"work", "mobile", "fax"} {
		add(`phoneNumbers[type eq "`+kind+`"].value`, "1-"+kind)
		phones = append(phones, object{"type": kind, "value": "1-" + kind})
	}
	want["phoneNumbers"] = phones
	add(`roles[primary eq "True"].display`, "TQ")
	add(`roles[primary eq "True"].value`, "UO")
	add(`roles[primary eq "True"].type`, "VG")
	want["roles"] = []any{object{"primary": true, "display": "TQ", "value": "UO", "type": "VG"}}

	c.want(200, "PATCH", "/Users/"+id, patch(operations...))
	same(t, "user", plain(c.want(200, "GET", "/Users/"+id, nil).doc), plain(want))
}

func validateGroups(c *client) {
	const name = "Validator Group"
	var id, member, bystander string
	byName := func(displayName string) string {
		return "/Groups?excludedAttributes=members&filter=" + query(`displayName eq "`+displayName+`"`)
	}
	c.step("V14 Get group by id excluding members", func(t *testing.T, c *client) {
		bystander = c.user("bystander@v.example", nil)
		id = c.group(name, bystander)
		got := c.want(200, "GET", "/Groups/"+id+"?excludedAttributes=members", nil)
		same(t, "displayName", got.text("displayName"), name)
		withoutMembers(t, got.doc)
	})
	c.step("V15 Filter for a group excluding members", func(t *testing.T, c *client) {
		withoutMembers(t, c.want(200, "GET", byName(name), nil).list(t)...)
	})
	c.step("V16 Filter for an existing group", func(t *testing.T, c *client) {
		same(t, "found", c.find("/Groups", `displayName eq "`+name+`"`), []string{id})
	})
	c.step("V17 Filter for a non-existing group", func(t *testing.T, c *client) {
		lists(0)(t, c.want(200, "GET", byName(uuid.NewString()), nil), nil)
	})
	c.step("V18 Filter for a group in different case", func(t *testing.T, c *client) {
		same(t, "found", c.find("/Groups", `displayName eq "vALIDATOR gROUP"`), []string{id})
	})
	c.step("V19 Create a new Group", func(t *testing.T, c *client) {
		got := c.want(201, "POST", "/Groups", object{"schemas": []string{groupURN}, "displayName": "Second Group", "externalId": "g-2"})
		same(t, "group", plain(got.doc), object{"displayName": "Second Group", "externalId": "g-2"})
		emptyMembers(t, got, nil)
	})
	c.step("V20 Create a duplicate Group", func(t *testing.T, c *client) {
		conflict(t, c.want(409, "POST", "/Groups", object{"schemas": []string{groupURN}, "displayName": "SECOND GROUP"}), nil)
	})
	groupIs := func(c *client, displayName, externalID string, members ...string) {
		c.t.Helper()
		got := c.want(200, "GET", "/Groups/"+id, nil)
		same(c.t, "displayName", got.text("displayName"), displayName)
		same(c.t, "externalId", got.text("externalId"), externalID)
		same(c.t, "members", memberIDs(got.doc), sorted(members...))
	}
	c.step("V21 Replace Attributes", func(t *testing.T, c *client) {
		c.want(204, "PATCH", "/Groups/"+id, patch(op("replace", "", object{"displayName": "Replaced", "externalId": "g-1"})))
		groupIs(c, "Replaced", "g-1", bystander)
	})
	c.step("V22 Update displayName and externalId", func(t *testing.T, c *client) {
		c.want(204, "PATCH", "/Groups/"+id, patch(op("replace", "displayName", "Updated"), op("replace", "externalId", "g-1b")))
		groupIs(c, "Updated", "g-1b", bystander)
	})
	c.step("V23 Add Member", func(t *testing.T, c *client) {
		member = c.user("member@v.example", nil)
		c.want(204, "PATCH", "/Groups/"+id, patch(op("add", "members", refs(member))))
		groupIs(c, "Updated", "g-1b", bystander, member)
		c.want(204, "PATCH", "/Groups/"+id, patch(op("replace", "members", refs(member))))
		groupIs(c, "Updated", "g-1b", member)
		c.want(204, "PATCH", "/Groups/"+id, patch(op("add", "members", refs(bystander))))
	})
	c.step("V24 Remove Member", func(t *testing.T, c *client) {
		c.want(204, "PATCH", "/Groups/"+id, patch(remove(`members[value eq "`+member+`"]`)))
		groupIs(c, "Updated", "g-1b", bystander)
	})
	c.step("V25 Delete a Group", func(t *testing.T, c *client) {
		c.want(204, "DELETE", "/Groups/"+id, nil)
		c.want(404, "GET", "/Groups/"+id, nil)
		c.want(200, "GET", "/Users/"+bystander, nil)
	})
}

func validatePreview(c *client) {
	c.step("P1 Multiple operations on different attributes", func(t *testing.T, c *client) {
		id := c.user("p1@v.example", object{"preferredLanguage": "en", "displayName": "P", "title": "T"})
		c.want(200, "PATCH", "/Users/"+id, patch(remove("preferredLanguage"), op("add", "externalId", "p1"), op("replace", "displayName", "P1")))
		same(t, "user", plain(c.want(200, "GET", "/Users/"+id, nil).doc),
			object{"userName": "p1@v.example", "active": true, "externalId": "p1", "displayName": "P1", "title": "T"})
	})
	c.step("P2 Multiple operations on the same attribute", func(t *testing.T, c *client) {
		id := c.user("p2@v.example", object{"externalId": "p2"})
		c.want(200, "PATCH", "/Users/"+id, patch(remove("externalId"), op("add", "externalId", "p2-added"), op("replace", "externalId", "p2-replaced")))
		same(t, "externalId", c.want(200, "GET", "/Users/"+id, nil).text("externalId"), "p2-replaced")
	})
	for i, collection := range []string{"/Users", "/Groups"} {
		c.step(fmt.Sprintf("P%d Delete a non-existent resource of %s", 3+i, collection), func(t *testing.T, c *client) {
			c.want(404, "DELETE", collection+"/"+uuid.NewString(), nil)
		})
	}
	c.step("P5 Delete the same User twice", func(t *testing.T, c *client) {
		id := c.user("p5@v.example", nil)
		c.want(204, "DELETE", "/Users/"+id, nil)
		c.want(404, "DELETE", "/Users/"+id, nil)
	})
	c.step("P6 Delete the same Group twice", func(t *testing.T, c *client) {
		id := c.group("P6")
		c.want(204, "DELETE", "/Groups/"+id, nil)
		c.want(404, "DELETE", "/Groups/"+id, nil)
	})
	c.step("P7 Add and remove a member in one request", func(t *testing.T, c *client) {
		member, bystander := c.user("p7@v.example", nil), c.user("p7b@v.example", nil)
		id := c.group("P7", bystander)
		c.want(204, "PATCH", "/Groups/"+id, patch(op("add", "members", refs(member)), remove(`members[value eq "`+member+`"]`)))
		same(t, "members", c.members(id), []string{bystander})
	})
}

// TestLogicApp is Microsoft's Logic App validation suite, without the tests of
// tokens, which need an OAuth client.
func TestLogicApp(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		logicAppUsers(t, c)
		logicAppGroups(c)
		c.step("Schema_Discoverability", schemaDiscoverability)
		c.step("SCIM_Null_Update", nullUpdate)
		c.step("User_Pagination", func(t *testing.T, c *client) {
			for i := range 11 {
				c.user(fmt.Sprintf("page-%d@v.example", i), nil)
			}
			pagination(t, c, "/Users")
		})
		c.step("Group_Pagination", func(t *testing.T, c *client) {
			for i := range 11 {
				c.group(fmt.Sprintf("Page %d", i))
			}
			pagination(t, c, "/Groups")
		})
	})
}

func logicAppUsers(t *testing.T, c *client) {
	const userName = "logic@v.example"
	sent := fullUser(t, userName)
	var id string
	c.step("User_Create", func(t *testing.T, c *client) {
		id = c.want(201, "POST", "/Users", sent).text("id")
		same(t, "found", c.find("/Users", `userName eq "`+userName+`"`), []string{id})
	})
	c.step("User_Update", func(t *testing.T, c *client) {
		c.want(200, "PATCH", "/Users/"+id, patch(op("replace", "displayName", "Updated"), op("replace", "title", "Chief")))
		got := c.want(200, "GET", "/Users/"+id, nil)
		same(t, "displayName", got.text("displayName"), "Updated")
		same(t, "title", got.text("title"), "Chief")
		same(t, "nickName", got.text("nickName"), "N")
	})
	c.step("Update_Manager", func(t *testing.T, c *client) {
		for _, manager := range []string{c.user("boss1@v.example", nil), c.user("boss2@v.example", nil), ""} {
			c.want(200, "PATCH", "/Users/"+id, patch(op("replace", enterpriseURN+":manager", manager)))
			got := c.want(200, "GET", "/Users/"+id, nil)
			same(t, "manager", got.text(enterpriseURN, "manager", "value"), manager)
			same(t, "department", got.text(enterpriseURN, "department"), "D1")
		}
	})
	c.step("User_Disable", func(t *testing.T, c *client) {
		c.want(200, "PATCH", "/Users/"+id, patch(op("Replace", "active", "False")))
		same(t, "active", c.want(200, "GET", "/Users/"+id, nil).at("active"), any(false))
	})
	c.step("User_Restore", func(t *testing.T, c *client) {
		c.want(200, "PATCH", "/Users/"+id, patch(op("Replace", "active", "True")))
		same(t, "active", c.want(200, "GET", "/Users/"+id, nil).at("active"), any(true))
	})
	c.step("User_Provision_on_demand", func(t *testing.T, c *client) {
		for range 3 {
			same(t, "nobody", c.find("/Users", `userName eq "`+uuid.NewString()+`"`), []string{})
		}
		same(t, "found", c.find("/Users", `userName eq "`+userName+`"`), []string{id})
		c.want(200, "PATCH", "/Users/"+id, patch(op("Replace", "displayName", "On demand")))
		same(t, "displayName", c.want(200, "GET", "/Users/"+id, nil).text("displayName"), "On demand")
	})
	c.step("User_Delete", func(t *testing.T, c *client) {
		c.want(204, "DELETE", "/Users/"+id, nil)
		c.want(404, "GET", "/Users/"+id, nil)
		same(t, "found", c.find("/Users", `userName eq "`+userName+`"`), []string{})
	})
	c.step("User_Restore of a deleted one is a new one", func(t *testing.T, c *client) {
		if again := c.want(201, "POST", "/Users", sent).text("id"); again == id || again == "" {
			t.Errorf("got id %q, want one that was never used", again)
		}
	})
}

func logicAppGroups(c *client) {
	const name = "Logic Group"
	var id, ada, bo string
	c.step("Group_Create", func(t *testing.T, c *client) {
		ada, bo = c.user("ada.logic@v.example", nil), c.user("bo.logic@v.example", nil)
		id = c.group(name)
		same(t, "found", c.find("/Groups", `displayName eq "`+name+`"`), []string{id})
	})
	c.step("Group_Update", func(t *testing.T, c *client) {
		c.want(204, "PATCH", "/Groups/"+id, patch(op("Replace", "displayName", name+" 2")))
		same(t, "displayName", c.want(200, "GET", "/Groups/"+id, nil).text("displayName"), name+" 2")
	})
	c.step("Group_Add_Member", func(t *testing.T, c *client) {
		c.want(204, "PATCH", "/Groups/"+id, patch(op("Add", "members", refs(ada, bo))))
		same(t, "members", c.members(id), sorted(ada, bo))
	})
	c.step("Group_Remove_Member", func(t *testing.T, c *client) {
		c.want(204, "PATCH", "/Groups/"+id, patch(op("Remove", "members", refs(ada))))
		same(t, "members", c.members(id), []string{bo})
	})
	c.step("Group_Provision_on_demand", func(t *testing.T, c *client) {
		same(t, "found", c.find("/Groups", `displayName eq "`+name+` 2"`), []string{id})
		c.want(204, "PATCH", "/Groups/"+id, patch(op("Add", "members", refs(ada))))
		same(t, "members", c.members(id), sorted(ada, bo))
	})
	c.step("Group_Delete", func(t *testing.T, c *client) {
		c.want(204, "DELETE", "/Groups/"+id, nil)
		c.want(404, "GET", "/Groups/"+id, nil)
	})
	c.step("Group_Restore of a deleted one is a new one", func(t *testing.T, c *client) {
		again := c.group(name + " 2")
		if again == id {
			t.Errorf("got the deleted group's id %s again", id)
		}
		same(t, "members", c.members(again), []string{})
	})
}

// mapped are the attributes that Entra maps unless an administrator changes it.
var mapped = map[string][]string{
	coreURN: {"userName", "externalId", "active", "displayName", "title", "preferredLanguage", "emails.value", "emails.type",
		"name.givenName", "name.familyName", "name.formatted", "addresses.formatted", "addresses.streetAddress", "addresses.locality",
		"addresses.region", "addresses.postalCode", "addresses.country", "phoneNumbers.value", "phoneNumbers.type", "roles.value"},
	enterpriseURN: {"employeeNumber", "department", "manager.value"},
	groupURN:      {"displayName", "members.value"},
}

// schemaDiscoverability looks for every mapped attribute in /Schemas.
func schemaDiscoverability(t *testing.T, c *client) {
	names := map[string]bool{}
	for _, schema := range c.want(200, "GET", "/Schemas", nil).list(t) {
		attributes, _ := schema["attributes"].([]any)
		for _, attribute := range attributes {
			name := fmt.Sprint(schema["id"], " ", at(attribute, "name"))
			names[name] = true
			inner, _ := at(attribute, "subAttributes").([]any)
			for _, sub := range inner {
				names[name+"."+fmt.Sprint(at(sub, "name"))] = true
			}
		}
	}
	for schema, attributes := range mapped {
		for _, attribute := range attributes {
			// externalId is common to all resources (RFC 7643 section 3.1) and
			// needs no entry, though it may have one.
			if !names[schema+" "+attribute] && attribute != "externalId" {
				t.Errorf("%s is not discoverable in %s", attribute, schema)
			}
		}
	}
}

// nullUpdate clears every optional attribute with an empty string, and again
// with null.
func nullUpdate(t *testing.T, c *client) {
	optional := []string{"displayName", "title", "preferredLanguage", "nickName", "userType", "locale", "timezone", "profileUrl", "externalId",
		"name.givenName", "name.familyName", "name.formatted", "name.middleName", "name.honorificPrefix", "name.honorificSuffix",
		`emails[type eq "work"].value`, `phoneNumbers[type eq "work"].value`, `phoneNumbers[type eq "mobile"].value`, `phoneNumbers[type eq "fax"].value`,
		`addresses[type eq "work"].formatted`, `addresses[type eq "work"].streetAddress`, `addresses[type eq "work"].locality`,
		`addresses[type eq "work"].region`, `addresses[type eq "work"].postalCode`, `addresses[type eq "work"].country`,
		enterpriseURN + ":employeeNumber", enterpriseURN + ":department", enterpriseURN + ":costCenter", enterpriseURN + ":organization",
		enterpriseURN + ":division", enterpriseURN + ":manager"}
	for what, nothing := range map[string]any{"empty": "", "null": nil} {
		c.step(what, func(t *testing.T, c *client) {
			id := c.want(201, "POST", "/Users", fullUser(t, what+"@null.example")).text("id")
			for _, path := range optional {
				c.want(200, "PATCH", "/Users/"+id, patch(op("replace", path, nothing)))
			}
			left := plain(c.want(200, "GET", "/Users/"+id, nil).doc)
			want := object{"userName": what + "@null.example", "active": true,
				"roles": []any{object{"primary": true, "display": "RAJB", "value": "OGCI", "type": "IJAQ"}}}
			same(t, "what is left", left, want)
		})
	}
}

// pagination reads everything, five at a time, and looks whether each page
// begins where it should and nobody is missed or met twice.
func pagination(t *testing.T, c *client, collection string) {
	total := -1
	seen := map[any]bool{}
	for start := 1; total < 0 || start <= total; start += 5 {
		got := c.want(200, "GET", fmt.Sprintf("%s?startIndex=%d&count=5", collection, start), nil)
		page(start, 5)(t, got, nil)
		if total >= 0 {
			same(t, "totalResults", got.number(t, "totalResults"), total)
		}
		total = got.number(t, "totalResults")
		for _, resource := range got.list(t) {
			if seen[resource["id"]] {
				t.Errorf("%v is on two pages", resource["id"])
			}
			seen[resource["id"]] = true
		}
	}
	if len(seen) != total || total < 10 {
		t.Errorf("read %d of %d, want all and at least two pages", len(seen), total)
	}
}

// TestPostmanCollection holds the status assertions of Microsoft's published
// request collection. Where it lets a server choose between 200 and 204, ours
// answers a user with 200 and a group with 204.
func TestPostmanCollection(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		user := func(more string) string { return `{"schemas":["` + coreURN + `"]` + more + `}` }
		id := c.user("omalley@corp.example", nil)
		group := c.group("Postman")
		for _, test := range []struct {
			name, method, path, body string
			want                     int
		}{
			{"POST without userName", "POST", "/Users", user(`,"active":true`), 400},
			{"POST of empty JSON", "POST", "/Users", `{}`, 400},
			{"POST of what is no JSON", "POST", "/Users", `{"userName":`, 400},
			{"POST of an array", "POST", "/Users", `[]`, 400},
			{"POST with active as a string", "POST", "/Users", user(`,"userName":"string@corp.example","active":"True"`), 201},
			{"POST of a duplicate", "POST", "/Users", user(`,"userName":"OMalley@corp.example"`), 409},
			{"POST of odd case", "POST", "/Users", user(`,"UserName":"odd@corp.example","Emails":[{"Primary":true,"Type":"work","Value":"odd@corp.example"}],"` + enterpriseURN + `":{"Department":"Ops","Manager":{"Value":"m"}}`), 201},
			{"PUT without userName", "PUT", "/Users/" + id, user(`,"active":true`), 400},
			{"PUT with a misspelt attribute", "PUT", "/Users/" + id, user(`,"userName":"omalley@corp.example","adreses":[]`), 200},
			{"PUT of nobody", "PUT", "/Users/" + uuid.NewString(), user(`,"userName":"nobody@corp.example"`), 404},
			{"PATCH of a user", "PATCH", "/Users/" + id, string(mustJSON(t, patch(op("replace", "displayName", "O")))), 200},
			{"PATCH of nobody", "PATCH", "/Users/" + uuid.NewString(), string(mustJSON(t, patch(op("replace", "displayName", "O")))), 404},
			{"PATCH of a group", "PATCH", "/Groups/" + group, string(mustJSON(t, patch(op("replace", "displayName", "Postman 2")))), 204},
			{"POST of a group without displayName", "POST", "/Groups", `{"schemas":["` + groupURN + `"]}`, 400},
			{"GET of nobody", "GET", "/Users/nobody", "", 404},
			{"GET of no collection", "GET", "/Nothing", "", 404},
			{"filter that is none", "GET", "/Users?filter=" + query(`userName eq`), "", 400},
			{"ServiceProviderConfig", "GET", "/ServiceProviderConfig", "", 200},
			{"DELETE of a group", "DELETE", "/Groups/" + group, "", 204},
			{"DELETE of a user", "DELETE", "/Users/" + id, "", 204},
		} {
			c.step(test.name, func(t *testing.T, c *client) {
				var body any
				if test.body != "" {
					body = test.body
				}
				c.want(test.want, test.method, test.path, body)
			})
		}
		c.step("odd case reaches the attributes", func(t *testing.T, c *client) {
			found := c.want(200, "GET", "/Users?filter="+query(`userName eq "odd@corp.example"`), nil).list(t)
			if len(found) != 1 {
				t.Fatalf("got %v, want one user", found)
			}
			same(t, "user", plain(found[0]), plain(object{
				"userName": "odd@corp.example", "active": true,
				"emails":      []any{object{"primary": true, "type": "work", "value": "odd@corp.example"}},
				enterpriseURN: object{"department": "Ops", "manager": object{"value": "m"}},
			}))
		})
		c.step("ResourceTypes begin with Users", func(t *testing.T, c *client) {
			same(t, "endpoint", c.want(200, "GET", "/ResourceTypes", nil).text("Resources", 0, "endpoint"), "/Users")
		})
		c.step("count is kept", func(t *testing.T, c *client) {
			got := c.want(200, "GET", "/Users?startIndex=1&count=2", nil)
			same(t, "itemsPerPage", got.number(t, "itemsPerPage"), 2)
		})
		c.step("ServiceProviderConfig is whole", func(t *testing.T, c *client) {
			got := c.want(200, "GET", "/ServiceProviderConfig", nil)
			for _, feature := range []string{"patch", "bulk", "filter", "changePassword", "sort", "etag"} {
				if _, isBool := got.at(feature, "supported").(bool); !isBool {
					t.Errorf("%s.supported is %#v, want a boolean", feature, got.at(feature, "supported"))
				}
			}
			got.number(t, "bulk", "maxOperations")
			got.number(t, "bulk", "maxPayloadSize")
			got.number(t, "filter", "maxResults")
			same(t, "patch", got.at("patch", "supported"), any(true))
			same(t, "changePassword", got.at("changePassword", "supported"), any(false))
			same(t, "pagination", got.at("pagination", "cursor"), any(true))
			if got.text("authenticationSchemes", 0, "type") != "oauthbearertoken" {
				t.Errorf("got authenticationSchemes %v, want oauthbearertoken", got.at("authenticationSchemes"))
			}
		})
	})
}
