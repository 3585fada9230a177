package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestSortedLists(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		mails := func(primary, other string) object {
			return object{"emails": []object{{"value": other, "type": "home"}, {"value": primary, "type": "work", "primary": true}}}
		}
		people := []struct {
			name string
			more object
		}{
			{"mona", mails("b@x", "a@x")},
			{"Adam", object{"displayName": "zoë", "active": false, "externalId": "b", enterpriseURN: object{"department": "ops", "manager": object{"value": "m2"}}}},
			{"Öde", object{"displayName": "Zoe", "externalId": "B", enterpriseURN: object{"department": "Ops", "manager": object{"value": "m1"}}}},
			{"zed", object{"name": object{"familyName": "Bell"}, "emails": []object{{"value": "C@x"}}}},
			{"Öda", object{"name": object{"familyName": "able"}, "title": "T"}},
		}
		for _, p := range people {
			c.user(p.name, p.more)
		}
		for _, test := range []struct{ sortBy, want string }{
			{"", "mona Adam Öde zed Öda"},
			{"id", "mona Adam Öde zed Öda"},
			{"meta.created", "mona Adam Öde zed Öda"},
			{"userName", "Adam mona zed Öda Öde"},
			{"USERNAME", "Adam mona zed Öda Öde"},
			{coreURN + ":userName", "Adam mona zed Öda Öde"},
			{"displayName", "Öde Adam mona zed Öda"},
			{"externalId", "Öde Adam mona zed Öda"},
			{"name.familyName", "Öda zed mona Adam Öde"},
			{"title", "Öda mona Adam Öde zed"},
			{"active", "Adam mona Öde zed Öda"},
			{"emails", "mona zed Adam Öde Öda"},
			{"emails.value", "mona zed Adam Öde Öda"},
			{"emails.type", "mona Adam Öde zed Öda"},
			{enterpriseURN + ":department", "Adam Öde mona zed Öda"},
			{enterpriseURN + ":manager", "Öde Adam mona zed Öda"},
			{"manager.value", "Öde Adam mona zed Öda"},
		} {
			base := "/Users?attributes=userName"
			if test.sortBy != "" {
				base += "&sortBy=" + url.QueryEscape(test.sortBy)
			}
			up := c.names(base + "&sortOrder=ascending")
			same(t, "by "+test.sortBy, up, test.want)
			same(t, "by default, by "+test.sortBy, c.names(base), test.want)
			down := reversed(test.want)
			same(t, "descending by "+test.sortBy, c.names(base+"&sortOrder=Descending"), down)
			for i, want := range []string{test.want, down} {
				order := []string{"", "&sortOrder=descending"}[i]
				pages, cursor := "", ""
				for start := 1; start <= 5; start += 2 {
					pages += " " + c.names(fmt.Sprintf("%s%s&startIndex=%d&count=2", base, order, start))
				}
				same(t, "by index, by "+test.sortBy, pages[1:], want)
				pages = ""
				for range 3 {
					got := c.want(200, "GET", base+order+"&count=2&cursor="+cursor, nil)
					pages, cursor = pages+" "+names(t, got), got.text("nextCursor")
				}
				same(t, "by cursor, by "+test.sortBy, pages[1:], want)
				same(t, "the last cursor", cursor, "")
			}
		}
		same(t, "filtered", c.names("/Users?sortBy=title&sortOrder=descending&filter="+query(`userName sw "Ö"`)), "Öde Öda")

		for _, name := range []string{"b", "C", "a"} {
			c.group(name)
		}
		same(t, "groups", c.names("/Groups?sortBy=displayName"), "a b C")
		same(t, "groups by externalId, descending", c.names("/Groups?sortBy=externalId&sortOrder=descending"), "a C b")

		// A cursor is of one order.
		cursor := c.want(200, "GET", "/Users?cursor&count=1&sortBy=title", nil).text("nextCursor")
		for _, other := range []string{"", "&sortBy=userName", "&sortBy=title&sortOrder=descending"} {
			same(t, "a cursor of another order"+other, c.want(400, "GET", "/Users?cursor="+cursor+other, nil).text("scimType"), "invalidCursor")
		}
		c.want(200, "GET", "/Users?sortBy=Title&sortOrder=ascending&cursor="+cursor, nil) // the same order, otherwise said

		config := c.want(200, "GET", "/ServiceProviderConfig", nil)
		same(t, "sort and etag", []any{config.at("sort", "supported"), config.at("etag", "supported")}, []any{true, true})
	})
}

// TestSortedGroupsHaveTheirMembers asks for groups in an order that isn't that of
// their ids, by which members are read.
func TestSortedGroupsHaveTheirMembers(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		ids := sorted(c.users("member", 8)...)
		want := map[string][]string{"d": ids[:3], "b": {}, "g": {ids[4]}, "a": ids[2:7], "c": {}, "f": ids[:1], "e": ids[6:]}
		for _, name := range []string{"d", "b", "g", "a", "c", "f", "e"} {
			id := c.group(name, want[name]...)
			if name == "f" {
				want["h"] = []string{id} // a group within a group
			}
		}
		c.group("h", want["h"]...)
		for _, parameters := range []string{"", "?sortOrder=descending", "?sortBy=displayName", "?sortBy=displayName&sortOrder=descending", "?sortBy=externalId&sortOrder=descending"} {
			groups := c.want(200, "GET", "/Groups"+parameters, nil).list(t)
			got := map[string][]string{}
			for _, group := range groups {
				got[group["displayName"].(string)] = memberIDs(group)
			}
			same(t, "groups"+parameters, len(groups), 8)
			same(t, "members of groups"+parameters, got, want)
		}
	})
}

// TestSortedPagingWhileRowsAreDeletedLosesNobody deletes whom the next page goes on
// behind, and others.
func TestSortedPagingWhileRowsAreDeletedLosesNobody(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		for _, parameters := range []string{"sortBy=userName", "sortBy=userName&sortOrder=descending", "sortBy=title", "sortBy=title&sortOrder=descending"} {
			stays := map[string]bool{}
			for i := range 24 {
				more := object{}
				if i%4 > 0 {
					more["title"] = fmt.Sprint("T", i%3)
				}
				stays[c.user(fmt.Sprintf("user%02d", i*7%24), more)] = true
			}
			seen := map[string]bool{}
			for cursor, more := "", true; more; more = cursor != "" {
				page := c.want(200, "GET", "/Users?count=5&"+parameters+"&cursor="+cursor, nil)
				cursor = page.text("nextCursor")
				users := page.list(t)
				for i, user := range users {
					id := user["id"].(string)
					seen[id] = true
					if i == 0 || i == len(users)-1 {
						c.want(204, "DELETE", "/Users/"+id, nil)
						delete(stays, id)
					}
				}
			}
			for id := range stays {
				if !seen[id] {
					t.Errorf("%s: %s stayed and was not seen", parameters, id)
				}
				c.want(204, "DELETE", "/Users/"+id, nil)
			}
			same(t, "seen by "+parameters, len(seen), 24)
		}
	})
}

// names are those of the resources of a list, in its order.
func (c *client) names(path string) string {
	c.t.Helper()
	return names(c.t, c.want(200, "GET", path, nil))
}

func names(t testing.TB, list answer) string {
	t.Helper()
	var all []string
	for _, resource := range list.list(t) {
		name, ok := resource["userName"]
		if !ok {
			name = resource["displayName"]
		}
		all = append(all, fmt.Sprint(name))
	}
	return strings.Join(all, " ")
}

func reversed(words string) string {
	list := strings.Fields(words)
	slices.Reverse(list)
	return strings.Join(list, " ")
}
