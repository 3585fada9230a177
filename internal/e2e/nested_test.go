package e2e

import (
	"strings"
	"testing"
)

// TestGroupsWithinGroups follows RFC 7643 §4.1.2 (groups, direct and indirect)
// and §4.2 (a member may be a Group).
func TestGroupsWithinGroups(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		ann := c.user("ann.nested@corp.example", nil)
		inner := c.group("Nested inner", ann)
		outer := c.group("Nested outer")
		c.want(204, "PATCH", "/Groups/"+outer, patch(op("add", "members", []object{{"value": inner, "type": "Group"}})))

		var kinds []string
		for _, m := range c.want(200, "GET", "/Groups/"+outer, nil).doc["members"].([]any) {
			kinds = append(kinds, m.(object)["value"].(string)+" "+m.(object)["type"].(string))
		}
		same(t, "members of the outer group", kinds, []string{inner + " Group"})
		groups := func() []string {
			var all []string
			for _, g := range c.want(200, "GET", "/Users/"+ann, nil).doc["groups"].([]any) {
				all = append(all, g.(object)["display"].(string)+" "+g.(object)["type"].(string))
			}
			return sorted(all...)
		}
		same(t, "her groups", groups(), []string{"Nested inner direct", "Nested outer indirect"})
		same(t, "who is in the outer group", len(c.want(200, "GET", "/Users?filter="+query(`groups.value eq "`+outer+`"`), nil).list(t)), 1)

		for _, way := range []object{
			patch(op("add", "members", []object{{"value": outer}})),
			patch(op("replace", "members", []object{{"value": ann}, {"value": outer}})),
			patch(op("add", "members", []object{{"value": inner}})),
		} {
			refused := c.want(400, "PATCH", "/Groups/"+inner, way)
			if refused.text("scimType") != "invalidValue" || !strings.Contains(refused.text("detail"), "member of itself") {
				t.Errorf("a cycle: got %s", refused.raw)
			}
		}
		same(t, "members of the inner group", c.members(inner), []string{ann})

		c.want(204, "DELETE", "/Groups/"+inner, nil)
		same(t, "her groups without the inner one", len(groups()), 0)
		same(t, "members of the outer group without the inner one", len(c.members(outer)), 0)
	})
}
