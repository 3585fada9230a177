package e2e

import (
	"strings"
	"testing"
)

// What an attack on the running server found, and must not find again.

func TestWhoHasLeftStaysOut(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		user := c.user("left@corp.example", object{"active": false})
		for _, operation := range []object{
			remove("active"),
			op("replace", "active", nil),
			op("replace", "active", ""),
			remove(coreURN + ":active"),
			op("replace", coreURN+":active", nil),
			op("replace", "", object{"active": nil}),
			op("add", "", object{"active": ""}),
			op("replace", "", object{coreURN: object{"active": nil}}),
			op("replace", coreURN, object{"active": nil}),
			op("replace", "", object{coreURN + ":active": ""}),
		} {
			if a := c.do("PATCH", "/Users/"+user, patch(operation)); a.status != 200 && a.status != 400 {
				t.Errorf("%v: status %d", operation, a.status)
			}
			same(t, "active", c.want(200, "GET", "/Users/"+user, nil).at("active"), any(false))
		}
		for _, body := range []object{
			{"schemas": []string{coreURN}, "userName": "left@corp.example"},
			{"schemas": []string{coreURN}, "userName": "left@corp.example", "active": nil},
			{"schemas": []string{coreURN}, "userName": "left@corp.example", "active": ""},
		} {
			same(t, "active after PUT", c.want(200, "PUT", "/Users/"+user, body).at("active"), any(false))
		}
	})
}

func TestReplacementByStrangersEmptiesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		user := c.user("crew@corp.example", nil)
		group := c.group("Crew", user)
		c.want(400, "PATCH", "/Groups/"+group, patch(op("replace", "members", refs("junk", "01990000-0000-7000-8000-000000000000"))))
		c.want(400, "PUT", "/Groups/"+group, object{"schemas": []string{groupURN}, "displayName": "Crew", "members": refs("junk")})
		same(t, "members", c.members(group), []string{user})
		c.want(204, "PATCH", "/Groups/"+group, patch(op("replace", "members", refs("junk", strings.ToUpper(user)))))
		same(t, "members", c.members(group), []string{user})
	})
}

func TestCostlyRequestsAreRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		filter := strings.Repeat(`nickName co "x" or `, 16) + `nickName co "y"`
		same(t, "scimType", c.want(400, "GET", "/Users?filter="+query(filter), nil).text("scimType"), "tooMany")
		many := strings.Repeat(`userName eq "x" or `, 100) + `userName eq "y"`
		c.want(200, "GET", "/Users?filter="+query(many), nil)
		c.want(413, "POST", "/Users", object{"schemas": []string{coreURN}, "userName": "x", "title": strings.Repeat("x", 2<<20)})
		c.want(400, "POST", "/Groups", object{"schemas": []string{groupURN}, "displayName": "x", "x": make([]int, 1_000_001)})
	})
}

func TestBaseAddressWithASlashTooMany(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		user := c.user("slash@corp.example", nil)
		same(t, "user", c.want(200, "GET", "//Users/"+user, nil).text("id"), user)
		c.want(200, "GET", "//Users?count=1", nil)
	})
}
