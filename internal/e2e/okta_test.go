package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
)

// slowest is what Okta's SPEC test allows for GET /Groups.
const slowest = 600 * time.Millisecond

// TestOktaSpec is Okta's SCIM 2.0 SPEC test, step for step.
func TestOktaSpec(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		c.user("first@okta.local", object{ // the test wants somebody to be there
			"name":   object{"givenName": "First", "familyName": "User"},
			"emails": []object{{"type": "work", "value": "first@okta.local", "primary": true}},
		})
		var id string
		someone := "random-" + uuid.NewString() + "@okta.local"
		profile := object{
			"schemas": []string{coreURN}, "userName": someone, "active": true,
			"name":   object{"givenName": "Runa", "familyName": "Scope"},
			"emails": []object{{"primary": true, "value": someone, "type": "work"}},
		}

		c.step("01 users exist", func(t *testing.T, c *client) {
			got := c.want(200, "GET", "/Users?count=1&startIndex=1", nil)
			found := got.list(t)
			same(t, "resources", len(found), 1)
			same(t, "itemsPerPage", got.number(t, "itemsPerPage"), 1)
			same(t, "startIndex", got.number(t, "startIndex"), 1)
			if total := got.number(t, "totalResults"); total < 1 {
				t.Errorf("got totalResults %d, want somebody", total)
			}
			oktaReads(t, answer{request: got.request, doc: found[0]})
			id = got.text("Resources", 0, "id")
		})
		c.step("02 get that user", func(t *testing.T, c *client) {
			got := c.want(200, "GET", "/Users/"+id, nil)
			oktaReads(t, got)
			same(t, "id", got.text("id"), id)
		})
		c.step("03 filter for an invalid user", func(t *testing.T, c *client) {
			lists(0)(t, c.want(200, "GET", "/Users?filter="+query(`userName eq "abcdefgh@atko.example"`), nil), nil)
		})
		c.step("04 get an invalid id", func(t *testing.T, c *client) {
			c.want(404, "GET", "/Users/010101001010101011001010101011", nil)
		})
		c.step("05 random user does not exist", func(t *testing.T, c *client) {
			lists(0)(t, c.want(200, "GET", "/Users?filter="+query(`userName eq "`+someone+`"`), nil), nil)
		})
		c.step("06 create user with application/json", func(t *testing.T, c *client) {
			c.contentType = "application/json"
			got := c.want(201, "POST", "/Users", profile)
			oktaReads(t, got)
			oktaWrote(t, got, someone)
			id = got.text("id")
		})
		c.step("07 get the new user", func(t *testing.T, c *client) {
			got := c.want(200, "GET", "/Users/"+id, nil)
			oktaReads(t, got)
			oktaWrote(t, got, someone)
			same(t, "id", got.text("id"), id)
		})
		c.step("08 create the same again", func(t *testing.T, c *client) {
			conflict(t, c.want(409, "POST", "/Users", profile), nil)
		})
		c.step("09 user name in capitals", func(t *testing.T, c *client) {
			same(t, "found", c.find("/Users", `userName eq "`+strings.ToUpper(someone)+`"`), []string{id})
		})
		c.step("10 groups in time", func(t *testing.T, c *client) {
			got := c.want(200, "GET", "/Groups", nil)
			got.list(t)
			if got.took >= slowest {
				t.Errorf("took %v, want less than %v", got.took, slowest)
			}
		})
		c.step("11 bad token", func(t *testing.T, c *client) {
			c.token = "non-token"
			c.want(401, "GET", "/Users?count=1&startIndex=1", nil)
		})
		c.step("12 get another invalid id", func(t *testing.T, c *client) {
			c.want(404, "GET", "/Users/00919288221112222", nil)
		})
	})
}

// oktaReads checks the attributes that Okta's importer needs.
func oktaReads(t *testing.T, user answer) {
	t.Helper()
	for _, path := range [][]any{{"id"}, {"userName"}, {"name", "givenName"}, {"name", "familyName"}, {"emails", 0, "value"}} {
		if user.text(path...) == "" {
			t.Errorf("%s: %v is empty", user.request, path)
		}
	}
	if _, isBool := user.at("active").(bool); !isBool {
		t.Errorf("%s: active is %#v, want a boolean", user.request, user.at("active"))
	}
}

func oktaWrote(t *testing.T, user answer, userName string) {
	t.Helper()
	same(t, "userName", user.text("userName"), userName)
	same(t, "name", user.at("name"), any(object{"givenName": "Runa", "familyName": "Scope"}))
	same(t, "active", user.at("active"), any(true))
	same(t, "schemas", user.texts("schemas"), []string{coreURN})
}

// TestOktaCRUD is Okta's CRUD test: one person's life in an application, once
// as custom applications write it (PUT) and once as catalogue ones do (PATCH).
func TestOktaCRUD(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		for _, kind := range []string{"PUT", "PATCH"} {
			c.step(kind, func(t *testing.T, c *client) { oktaCRUD(t, c, kind) })
		}
	})
}

func oktaCRUD(t *testing.T, c *client, kind string) {
	userName := kind + "@okta.local"
	profile := func(givenName string, active bool) object {
		return object{
			"schemas": []string{coreURN}, "userName": userName, "active": active, "groups": []string{},
			"name":   object{"givenName": givenName, "familyName": "Crud"},
			"emails": []object{{"primary": true, "value": userName, "type": "work"}},
		}
	}
	var id string
	update := func(c *client, givenName string, active bool) {
		c.t.Helper()
		body := profile(givenName, active)
		body["id"] = id
		c.want(200, "PUT", "/Users/"+id, body)
	}
	activate := func(c *client, active bool) {
		c.t.Helper()
		if kind == "PUT" {
			update(c, "Changed", active)
			return
		}
		c.want(200, "PATCH", "/Users/"+id, patch(op("replace", "", object{"active": active})))
	}
	expect := func(givenName string, active bool) func(*testing.T, *client) {
		return func(t *testing.T, c *client) {
			got := c.want(200, "GET", "/Users/"+id, nil)
			want := decode(mustJSON(t, profile(givenName, active)))
			same(t, "user", plain(got.doc), plain(want))
		}
	}

	c.step("01 no such user yet", func(t *testing.T, c *client) {
		same(t, "found", c.find("/Users", `userName eq "`+userName+`"`), []string{})
	})
	c.step("02 assign", func(t *testing.T, c *client) {
		id = c.want(201, "POST", "/Users", profile("Given", true)).text("id")
	})
	c.step("03 assigned", expect("Given", true))
	c.step("04 read before the update", expect("Given", true))
	c.step("05 change first name", func(t *testing.T, c *client) { update(c, "Changed", true) })
	c.step("06 first name changed", expect("Changed", true))
	c.step("07 deactivate", func(t *testing.T, c *client) { activate(c, false) })
	c.step("08 still there, inactive", expect("Changed", false))
	c.step("09 reactivate", func(t *testing.T, c *client) { activate(c, true) })
	c.step("10 active", expect("Changed", true))
	c.step("11 unassign", func(t *testing.T, c *client) { activate(c, false) })
	c.step("12 inactive", expect("Changed", false))
	c.step("13 found by name all the same", func(t *testing.T, c *client) {
		same(t, "found", c.find("/Users", `userName eq "`+userName+`"`), []string{id})
	})
}

// TestOktaEntitlements is Okta's entitlements test: what exists is discovered,
// then each endpoint is read with count=1.
func TestOktaEntitlements(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		endpoints := map[string]string{} // by schema
		c.step("resource types", func(t *testing.T, c *client) {
			for _, kind := range c.want(200, "GET", "/ResourceTypes", nil).list(t) {
				schema, _ := kind["schema"].(string)
				endpoints[schema], _ = kind["endpoint"].(string)
			}
			for schema, want := range map[string]string{coreURN: "/Users", groupURN: "/Groups", "urn:okta:scim:schemas:core:1.0:Role": "/Roles"} {
				same(t, schema, endpoints[schema], want)
			}
		})
		c.step("schemas", func(t *testing.T, c *client) { c.want(200, "GET", "/Schemas", nil).list(t) })
		c.step("each endpoint", func(t *testing.T, c *client) {
			for _, endpoint := range endpoints {
				got := c.want(200, "GET", endpoint+"?count=1&startIndex=1", nil)
				page(1, 1)(t, got, nil)
			}
		})
		c.step("roles", func(t *testing.T, c *client) {
			ids := []string{}
			for _, role := range c.want(200, "GET", "/Roles", nil).list(t) {
				ids = append(ids, role["id"].(string))
			}
			same(t, "roles", sorted(ids...), []string{"access-administrator", "auditor", "owner", "site-administrator"})
		})
	})
}
