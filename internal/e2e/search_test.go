package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const searchURN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"

// A search by POST is answered like the GET with the same parameters.
func TestSearchByPost(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		ids := c.users("sam", 7)
		c.user("Zoe", object{"title": "Boss", "emails": refs("zoe@corp.example")})
		for i := range 4 {
			c.group(fmt.Sprintf("Team %d", i), ids[i])
		}
		for _, collection := range []string{"", "/Users", "/Groups"} {
			for _, test := range []struct {
				query string
				body  object
			}{
				{"", object{}},
				{"", object{"filter": nil, "count": nil, "attributes": nil}},
				{"count=3&startIndex=2", object{"count": 3, "startIndex": 2}},
				{"count=0", object{"COUNT": "0"}},
				{"count=-1&startIndex=-1", object{"count": -1, "startIndex": -1}},
				{"count=100000", object{"count": 100000}},
				{"filter=" + query(`displayName sw "team"`), object{"filter": `displayName sw "team"`}},
				{"filter=" + query(`meta.resourceType eq "User"`) + "&attributes=userName,displayName", object{"filter": `meta.resourceType eq "User"`, "attributes": []string{"userName", "displayName"}}},
				{"attributes=id", object{"attributes": "id"}},
				{"excludedAttributes=members,emails,meta", object{"schemas": []string{searchURN}, "excludedAttributes": []string{"members", "emails", "meta"}}},
				{"sortBy=displayName&sortOrder=descending", object{"sortBy": "displayName", "sortOrder": "descending"}},
				{"excludedAttributes=", object{"excludedAttributes": []string{}}},
			} {
				get := c.do("GET", collection+"?"+test.query, nil)
				status := 200
				if collection == "" && test.body["sortBy"] != nil {
					status = 400 // it is for lists of one kind
				}
				post := c.want(status, "POST", collection+"/.search", test.body)
				same(t, fmt.Sprintf("%s %v", collection, test.body), string(post.raw), string(get.raw))
			}
			var got []string
			cursor := ""
			for pages := 0; ; pages++ {
				page := c.want(200, "POST", collection+"/.search", object{"cursor": cursor, "count": 2})
				for _, resource := range page.list(t) {
					got = append(got, fmt.Sprint(resource["id"]))
				}
				if cursor = page.text("nextCursor"); cursor == "" || pages > 20 {
					break
				}
			}
			var want []string
			for _, resource := range c.want(200, "GET", collection+"?count=1000", nil).list(t) {
				want = append(want, fmt.Sprint(resource["id"]))
			}
			same(t, collection+" by cursor", got, want)
		}
	})
}

// A query of the root finds people and groups (RFC 7644 section 3.4.2.1).
func TestRootQueries(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		same(t, "in an empty place", c.find("/", "id pr"), []string{})
		var users, groups []string
		users = append(users, c.user("ann", object{"displayName": "Crew", "title": "Boss", "emails": refs("ann@corp.example")}), c.user("bob", nil), c.user("cid", nil))
		users = append(users, c.user("dee", reportsTo(users[0])))
		groups = append(groups, c.group("Crew", users[0]), c.group("Ops"), c.group("Café", users[0], users[1]))
		everything := slices.Concat(users, groups)
		for filter, want := range map[string][]string{
			`id pr`:                       everything,
			`meta.resourceType eq "User"`: users, `meta.resourceType eq "Group"`: groups, `meta.resourceType ne "User"`: groups, `meta.resourceType eq "Role"`: {},
			`displayName eq "CREW"`: {users[0], groups[0]}, `userName eq "bob"`: {users[1]}, `userName ne "bob"`: slices.Concat(users[:1], users[2:], groups),
			`userName eq "bob" or displayName eq "ops"`: {users[1], groups[1]}, `userName pr`: users, `not (userName pr)`: groups,
			`title eq null`: slices.Concat(users[1:], groups), `title ne null`: users[:1], `members pr`: {groups[0], groups[2]},
			`members eq "` + users[1] + `"`: {groups[2]}, `members[value eq "` + users[0] + `"]`: {groups[0], groups[2]},
			`meta.location eq "` + c.host + c.path + "/Users/" + users[1] + `"`: users[1:2], `meta.location ne "` + c.host + c.path + "/Groups/" + groups[0] + `"`: slices.Concat(users, groups[1:]), `meta.version pr`: everything,
			`groups[display sw "c" and type eq "direct"]`: users[:2], `members.type eq "User"`: {groups[0], groups[2]}, `groups.display ne "crew"`: slices.Concat(users[1:], groups),
			`groups eq "` + groups[2] + `"`: {users[0], users[1]}, `emails[value co "@corp"]`: users[:1], `emails[type eq "x"].value ne "y"`: {},
			`emails.value ne "x"`: everything, `manager eq "` + users[0] + `"`: users[3:], enterpriseURN + `:manager pr`: users[3:],
			`id eq "` + groups[1] + `"`: groups[1:2], `userName eq "ann" and members pr`: {}, `active eq true`: users, coreURN + `:active eq true`: users, groupURN + `:displayName eq "Ops"`: groups[1:2],
			`not (userName eq "ann" or displayName eq "ops")`: slices.Concat(users[1:], groups[:1], groups[2:]),
		} {
			same(t, filter, c.find("/", filter), want)
		}
		// A user's version tells the groups, too, those of groups as well.
		outer := c.group("<All> & \"ÿ\" \\ staff", groups[2])
		version := func(path string) string {
			return string(mustJSON(t, c.want(200, "GET", path, nil).text("meta", "version")))
		}
		for _, id := range users[:2] {
			is := "meta.version eq " + version("/Users/"+id)
			same(t, is, c.find("/", is), []string{id})
			isNot := "userName pr and " + strings.Replace(is, " eq ", " ne ", 1)
			same(t, isNot, c.find("/", isNot), slices.DeleteFunc(slices.Clone(users), func(other string) bool { return other == id }))
		}
		same(t, "of two", c.find("/", "meta.version eq "+version("/Users/"+users[2])), users[2:])
		for _, digits := range []string{"1", "-1", "9223372036854775807", "92233720368547758070"} {
			same(t, "of nobody", c.find("/", `meta.version eq "W/\"`+digits+`.xxxxxxxx\"" or meta.version eq "W/\"`+digits+`.\""`), []string{})
		}
		c.want(204, "DELETE", "/Groups/"+outer, nil)
		for _, filter := range []string{`nope eq "x"`, `userName.nope eq "x"`, `members co "x"`, `userName eq`, `active eq "maybe"`, `urn:acme:2.0:User:site eq "x"`, `meta.version co "x"`, `meta.location co "x"`} {
			got := c.want(400, "GET", "/?filter="+query(filter), nil)
			same(t, filter, got.text("scimType"), "invalidFilter")
		}
		for size := 1; size <= len(everything)+1; size++ {
			for start := 1; start <= len(everything)+2; start++ {
				page := c.want(200, "GET", fmt.Sprintf("?count=%d&startIndex=%d", size, start), nil)
				from := min(start-1, len(everything))
				same(t, page.request, resourceIDs(page.list(t)), append([]string{}, everything[from:min(from+size, len(everything))]...))
				same(t, "totalResults", page.number(t, "totalResults"), len(everything))
				same(t, "itemsPerPage", page.number(t, "itemsPerPage"), len(page.list(t)))
			}
			got := []string{}
			next := ""
			for pages := 1; ; pages++ {
				page := c.want(200, "GET", fmt.Sprintf("?count=%d&cursor=%s", size, next), nil)
				same(t, "totalResults", page.number(t, "totalResults"), len(everything))
				got = append(got, resourceIDs(page.list(t))...)
				if next = page.text("nextCursor"); next == "" {
					same(t, fmt.Sprintf("pages of %d", size), pages, (len(everything)+size-1)/size)
					break
				}
			}
			same(t, fmt.Sprintf("by cursor, %d a page", size), got, everything)
		}
		same(t, "counted only", c.want(200, "GET", "/?count=0", nil).number(t, "totalResults"), len(everything))
		for _, cursor := range []string{c.want(200, "GET", "/Users?cursor&count=1", nil).text("nextCursor"), c.want(200, "GET", "/Groups?cursor&count=1", nil).text("nextCursor")} {
			same(t, "another list's cursor", c.want(400, "GET", "/?cursor="+cursor, nil).text("scimType"), "invalidCursor")
		}
		root := c.want(200, "GET", "/?cursor&count=1", nil).text("nextCursor")
		same(t, "the root's cursor", c.want(400, "GET", "/Users?cursor="+root, nil).text("scimType"), "invalidCursor")

		page := c.want(200, "GET", "/?attributes=userName,members&filter="+query(`displayName eq "crew"`), nil).list(t)
		same(t, "attributes", page, []object{
			{"schemas": []any{coreURN}, "id": users[0], "userName": "ann"},
			{"schemas": []any{groupURN}, "id": groups[0], "members": []any{object{"value": users[0], "type": "User"}}},
		})
		for _, resource := range c.want(200, "GET", "", nil).list(t) {
			same(t, "as it is alone", resource, c.want(200, "GET", strings.TrimPrefix(fmt.Sprint(at(resource, "meta", "location")), c.host+c.path), nil).doc)
		}
	})
}

func resourceIDs(resources []object) []string {
	ids := []string{}
	for _, resource := range resources {
		ids = append(ids, fmt.Sprint(resource["id"]))
	}
	return ids
}

// Nobody is behind a token, and .search is nobody's id.
func TestAddressesThatAreNobody(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
			request, err := http.NewRequest(method, c.host+c.path+"/Me", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+c.token)
			response, err := c.http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			var body struct {
				Schemas []string
				Status  string
				Detail  string
			}
			err = json.NewDecoder(response.Body).Decode(&body)
			response.Body.Close()
			if err != nil || response.StatusCode != 501 || body.Status != "501" || !slices.Equal(body.Schemas, []string{errorURN}) || !strings.Contains(body.Detail, "no user") {
				t.Errorf("%s /Me: got %d %+v, %v, want 501 and why", method, response.StatusCode, body, err)
			}
		}
		for _, path := range []string{"/.search", "/Users/.search", "/Groups/.search", "/Users/.search/", "/Bulk"} {
			for _, method := range []string{"GET", "PUT", "PATCH", "DELETE", "OPTIONS"} {
				same(t, method+" "+path, c.want(405, method, path, nil).header.Get("Allow"), "POST")
			}
		}
		same(t, "the root", c.want(405, "POST", "/", object{}).header.Get("Allow"), "GET")
	})
}
