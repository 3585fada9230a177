package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// unreserved are the characters that a cursor may have (RFC 9865 section 2, RFC
// 3986 section 2.3).
var unreserved = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)

func testRFC9865(t *testing.T, c *client) {
	for i := range 7 {
		c.user(fmt.Sprintf("Jo%d", i), nil)
		c.group(fmt.Sprintf("Jo%d", i))
	}
	const all = "Jo0 Jo1 Jo2 Jo3 Jo4 Jo5 Jo6"
	c.step("2 from page to page, by the example", func(t *testing.T, c *client) {
		for _, list := range []string{"/Users?filter=userName%20sw%20J&", "/Groups?filter=displayName%20sw%20J&", "/Users?"} {
			var pages []string
			for cursor, more := "", true; more; more = cursor != "" {
				got := c.want(200, "GET", list+"cursor="+cursor+"&count=3", nil)
				pages = append(pages, names(t, got))
				same(t, "totalResults", got.number(t, "totalResults"), 7)
				same(t, "itemsPerPage", got.number(t, "itemsPerPage"), len(got.list(t)))
				if got.at("startIndex") != nil || got.at("previousCursor") != nil {
					t.Errorf("startIndex is %v, previousCursor %v: there are none", got.at("startIndex"), got.at("previousCursor"))
				}
				if cursor = got.text("nextCursor"); cursor != "" && !unreserved.MatchString(cursor) {
					t.Errorf("cursor %q has reserved characters", cursor)
				}
				if got.at("nextCursor") != nil && cursor == "" {
					t.Errorf("nextCursor is empty, want none on the last page")
				}
			}
			same(t, "pages", pages, []string{"Jo0 Jo1 Jo2", "Jo3 Jo4 Jo5", "Jo6"})
		}
	})
	c.step("2 an empty cursor is the first page, and so is one without a value", func(t *testing.T, c *client) {
		for _, parameters := range []string{"cursor", "cursor=", "cursor=&count=100"} {
			got := c.want(200, "GET", "/Users?"+parameters, nil)
			same(t, "users", names(t, got), all)
			same(t, "nextCursor", got.at("nextCursor"), nil)
		}
	})
	c.step("2 the last page may be full", func(t *testing.T, c *client) {
		same(t, "nextCursor", c.want(200, "GET", "/Users?cursor&count=7", nil).at("nextCursor"), nil)
	})
	c.step("2 a cursor can be used twice", func(t *testing.T, c *client) {
		next := c.want(200, "GET", "/Users?cursor&count=3", nil).text("nextCursor")
		for range 2 {
			same(t, "users", c.names("/Users?count=3&cursor="+next), "Jo3 Jo4 Jo5")
		}
	})
	c.step("2 count", func(t *testing.T, c *client) {
		for parameters, want := range map[string]string{"count=0": "", "count=-1": "", "count=2": "Jo0 Jo1", "": all, "count=100000": all} {
			got := c.want(200, "GET", "/Users?cursor&"+parameters, nil)
			same(t, parameters, names(t, got), want)
			same(t, "totalResults", got.number(t, "totalResults"), 7)
		}
	})
	c.step("2 a cursor is good for its own query of its own connection", func(t *testing.T, c *client) {
		next := c.want(200, "GET", "/Users?cursor&count=3&filter=userName%20sw%20J", nil).text("nextCursor")
		for _, other := range []string{"/Users?count=3", "/Users?filter=userName%20sw%20K", "/Groups?filter=userName%20sw%20J", "/Users?filter=userName%20sw%20J&sortBy=title"} {
			got := c.do("GET", other+"&cursor="+next, nil)
			if kind := got.text("scimType"); got.status != 400 || kind != "invalidCursor" && !strings.HasPrefix(other, "/Groups") {
				t.Errorf("%s: answered %d %s", got.request, got.status, got.raw)
			}
		}
	})
	c.step("2.1 errors", func(t *testing.T, c *client) {
		for _, cursor := range []string{"forged", "VZUTiyhEQJ94IR", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA", "%21", "1"} {
			c.refuse(400, "invalidCursor", "GET", "/Users?cursor="+cursor, nil)
		}
		for _, count := range []string{"x", "1.5", "99999999999"} {
			c.refuse(400, "invalidCount", "GET", "/Users?cursor&count="+count, nil)
		}
		// expiredCursor takes an hour: see TestExpiredCursor of package scim.
	})
	c.step("2.2 sorted", func(t *testing.T, c *client) {
		got := c.want(200, "GET", "/Users?cursor&count=4&sortBy=userName&sortOrder=descending", nil)
		same(t, "first page", names(t, got), "Jo6 Jo5 Jo4 Jo3")
		same(t, "second page", c.names("/Users?count=4&sortBy=userName&sortOrder=descending&cursor="+got.text("nextCursor")), "Jo2 Jo1 Jo0")
	})
	c.step("2.4 by index, unless it is said", func(t *testing.T, c *client) {
		got := c.want(200, "GET", "/Users?count=3", nil)
		same(t, "startIndex", got.number(t, "startIndex"), 1)
		same(t, "nextCursor", got.at("nextCursor"), nil)
	})
	c.step("2.4 with both, the cursor counts", func(t *testing.T, c *client) {
		// RFC 9865 says that a client uses one of them, not what comes of both.
		got := c.want(200, "GET", "/Users?cursor&startIndex=3&count=3", nil)
		same(t, "users", names(t, got), "Jo0 Jo1 Jo2")
		same(t, "startIndex", got.at("startIndex"), nil)
	})
	c.step("4 ServiceProviderConfig", func(t *testing.T, c *client) {
		config := c.want(200, "GET", "/ServiceProviderConfig", nil)
		for _, name := range []string{"cursor", "index"} {
			same(t, name, config.at("pagination", name), any(true))
		}
		same(t, "defaultPaginationMethod", config.text("pagination", "defaultPaginationMethod"), "index")
		same(t, "defaultPageSize", config.number(t, "pagination", "defaultPageSize"), 100)
		same(t, "maxPageSize", config.number(t, "pagination", "maxPageSize"), config.number(t, "filter", "maxResults"))
		same(t, "cursorTimeout", config.number(t, "pagination", "cursorTimeout"), 3600)
	})
}
