package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Each test here is a fault that other products had in production, as far as
// provisioning alone can show it.

// crowd makes n users with several connections and returns their ids.
func (c *client) crowd(prefix string, n int) []string {
	c.t.Helper()
	ids := make([]string, n)
	var workers sync.WaitGroup
	const lanes = 8
	for lane := range lanes {
		workers.Go(func() {
			for i := lane; i < n; i += lanes {
				ids[i] = c.do("POST", "/Users", object{
					"schemas": []string{coreURN}, "userName": fmt.Sprintf("%s-%05d@corp.example", prefix, i), "active": true,
				}).text("id")
			}
		})
	}
	workers.Wait()
	if missing := slices.Index(ids, ""); missing >= 0 {
		c.t.Fatalf("user %d of %d was not made", missing, n)
	}
	return ids
}

func TestAddToGroupOf5000KeepsTheOther5000(t *testing.T) {
	const people = 5000
	onBoth(t, func(t *testing.T, c *client) {
		ids := c.crowd("many", people+1)
		group := c.group("Five thousand", ids[:people]...)
		same(t, "members at first", len(c.members(group)), people)

		c.want(204, "PATCH", "/Groups/"+group, patch(op("Add", "members", refs(ids[people]))))
		same(t, "members after one was added", c.members(group), sorted(ids...))

		c.want(204, "PATCH", "/Groups/"+group, patch(op("Remove", "members", refs(ids[0]))))
		same(t, "members after one was removed", c.members(group), sorted(ids[1:]...))

		withoutMembers(t, c.want(200, "GET", "/Groups/"+group+"?excludedAttributes=members", nil).doc)
		got := c.want(200, "GET", "/Groups?filter="+query(`displayName eq "five thousand"`), nil)
		same(t, "members in a list", len(memberIDs(got.list(t)[0])), people)
	})
}

func TestFilterOnUnsupportedAttributeIsInvalidFilter(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		c.user("somebody@corp.example", nil)
		for _, path := range []string{
			"/Users?filter=" + query(`shoeSize eq "44"`),
			"/Users?filter=" + query(`shoeSize eq "44" or userName eq "somebody@corp.example"`),
			"/Users?filter=" + query(`not (shoeSize pr)`),
			"/Users?filter=" + query(`name.shoeSize eq "44"`),
			"/Users?filter=" + query(`emails[shoeSize eq "44"]`),
			"/Groups?filter=" + query(`userName eq "somebody@corp.example"`),
		} {
			c.step(path, func(t *testing.T, c *client) { refused("invalidFilter")(t, c.want(400, "GET", path, nil), nil) })
		}
	})
}

func TestPagingWhileRowsAreDeletedLosesNobody(t *testing.T) {
	const people, count = 60, 10
	onBoth(t, func(t *testing.T, c *client) {
		ids := c.users("paged", people)
		seen := map[string]int{}
		gone := map[string]bool{}
		next := fmt.Sprintf("/Users?cursor&count=%d", count)
		for pages := 0; next != ""; pages++ {
			if pages > people {
				t.Fatal("the pages do not end")
			}
			got := c.want(200, "GET", next, nil)
			page := got.list(t)
			if len(page) == 0 {
				t.Fatalf("page %d is empty: the one before was the last and had a nextCursor all the same", pages+1)
			}
			for _, user := range page {
				seen[fmt.Sprint(user["id"])]++
			}
			// The first and the last of each page go: with row numbers, the next
			// page would begin two people too late, and the cursor's own row is
			// no longer there to continue from.
			for _, user := range []object{page[0], page[len(page)-1]} {
				id := fmt.Sprint(user["id"])
				if !gone[id] {
					c.want(204, "DELETE", "/Users/"+id, nil)
				}
				gone[id] = true
			}
			next = ""
			if cursor := got.text("nextCursor"); cursor != "" {
				next = fmt.Sprintf("/Users?cursor=%s&count=%d", query(cursor), count)
			}
		}
		for _, id := range ids {
			if seen[id] != 1 {
				t.Errorf("user %s was met %d times", id, seen[id])
			}
		}
	})
}

func TestUserWithZeroGroupsHasAnEmptyList(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		user, other := c.user("lonely@corp.example", nil), c.user("other@corp.example", nil)
		groups := func(id string) []string {
			t.Helper()
			got := c.want(200, "GET", "/Users/"+id, nil)
			list, isArray := got.at("groups").([]any)
			if !isArray {
				t.Errorf("groups is %#v, want an array", got.at("groups"))
			}
			ids := []string{}
			for _, group := range list {
				ids = append(ids, fmt.Sprint(at(group, "value")))
			}
			return sorted(ids...)
		}
		same(t, "groups of a new user", groups(user), []string{})
		first, second := c.group("First", user, other), c.group("Second", user)
		same(t, "groups", groups(user), sorted(first, second))
		c.want(204, "PATCH", "/Groups/"+first, patch(op("Remove", "members", refs(user))))
		same(t, "groups after she left one", groups(user), []string{second})
		c.want(204, "DELETE", "/Groups/"+second, nil)
		same(t, "groups after the other is gone", groups(user), []string{})
		same(t, "groups of somebody else", groups(other), []string{first})
	})
}

func TestTotalResultsAreEqualOnEveryPage(t *testing.T) {
	const people = 23
	onBoth(t, func(t *testing.T, c *client) {
		c.users("total", people)
		for _, filter := range []string{"", "&filter=" + query(`userName sw "total-"`)} {
			for start := 1; start <= people+10; start += 5 {
				got := c.want(200, "GET", fmt.Sprintf("/Users?startIndex=%d&count=5%s", start, filter), nil)
				same(t, got.request+": totalResults", got.number(t, "totalResults"), people)
			}
			got := c.want(200, "GET", "/Users?startIndex=1&count=0"+filter, nil)
			same(t, "totalResults with count=0", got.number(t, "totalResults"), people)
			same(t, "resources with count=0", len(got.list(t)), 0)
		}
		next := "/Users?cursor&count=5"
		for next != "" {
			got := c.want(200, "GET", next, nil)
			if got.at("totalResults") != nil { // RFC 9865 lets a server leave it out
				same(t, got.request+": totalResults", got.number(t, "totalResults"), people)
			}
			next = ""
			if cursor := got.text("nextCursor"); cursor != "" {
				next = "/Users?count=5&cursor=" + query(cursor)
			}
		}
	})
}

func TestStagedUserRemovedFromGroupIsRemoved(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		staged, other := c.user("staged@corp.example", object{"active": false}), c.user("active@corp.example", nil)
		group := c.group("Staged", staged, other)
		same(t, "members", c.members(group), sorted(staged, other))
		c.want(204, "PATCH", "/Groups/"+group, patch(remove(`members[value eq "`+staged+`"]`)))
		same(t, "members after the removal", c.members(group), []string{other})
		c.want(200, "PATCH", "/Users/"+staged, patch(op("replace", "active", true)))
		same(t, "members after she became active", c.members(group), []string{other})
	})
}

func TestDeactivateThenReactivateKeepsMemberships(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		user, other := c.user("mistake@corp.example", object{"title": "Operator"}), c.user("other@corp.example", nil)
		group := c.group("Keeps", user, other)
		before := plain(c.want(200, "GET", "/Users/"+user, nil).doc)
		same(t, "group", at(before["groups"], 0, "value"), any(group))
		for _, active := range []object{op("Replace", "active", "False"), op("Replace", "active", "True"),
			op("replace", "", object{"active": false}), op("replace", "", object{"active": true})} {
			c.want(200, "PATCH", "/Users/"+user, patch(active))
			same(t, fmt.Sprint("members after ", active), c.members(group), sorted(user, other))
		}
		same(t, "user", plain(c.want(200, "GET", "/Users/"+user, nil).doc), before)
	})
}

func TestGroupDeletedAndCreatedAgainIsAnotherGroup(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		user := c.user("member@corp.example", nil)
		body := object{"schemas": []string{groupURN}, "displayName": "Again", "externalId": "again"}
		first := c.want(201, "POST", "/Groups", body).text("id")
		c.want(204, "PATCH", "/Groups/"+first, patch(op("add", "members", refs(user))))
		c.want(204, "DELETE", "/Groups/"+first, nil)
		second := c.want(201, "POST", "/Groups", body).text("id")
		if second == first {
			t.Errorf("got the deleted group's id %s again", first)
		}
		same(t, "members", c.members(second), []string{})
		same(t, "found", c.find("/Groups", `externalId eq "again"`), []string{second})
		c.want(404, "PATCH", "/Groups/"+first, patch(op("add", "members", refs(user))))
	})
}

func TestUserDeletedAndCreatedAgainIsAnotherUser(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		body := object{"schemas": []string{coreURN}, "userName": "again@corp.example", "externalId": "again"}
		first := c.want(201, "POST", "/Users", body).text("id")
		group := c.group("Had her", first)
		c.want(204, "DELETE", "/Users/"+first, nil)
		second := c.want(201, "POST", "/Users", body).text("id")
		if second == first {
			t.Errorf("got the deleted user's id %s again", first)
		}
		same(t, "members", c.members(group), []string{})
		same(t, "found", c.find("/Users", `userName eq "again@corp.example"`), []string{second})
	})
}

// TestBurstOfRemovalsIsAnsweredTruthfully takes half of a directory away at
// once, by every way there is. The provider must read back what it asked for,
// or it will ask for ever.
func TestBurstOfRemovalsIsAnsweredTruthfully(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		ids := c.users("burst", 60)
		group := c.group("Half", ids...)
		for i, id := range ids[:30] {
			switch i % 3 {
			case 0:
				c.want(200, "PATCH", "/Users/"+id, patch(op("Replace", "active", "False")))
				same(t, "active", c.want(200, "GET", "/Users/"+id, nil).at("active"), any(false))
			case 1:
				c.want(204, "DELETE", "/Users/"+id, nil)
				c.want(404, "GET", "/Users/"+id, nil)
			case 2:
				c.want(204, "PATCH", "/Groups/"+group, patch(op("Remove", "members", refs(id))))
				same(t, "found as a member", c.find("/Groups", `id eq "`+group+`" and members eq "`+id+`"`), []string{})
			}
		}
		var want []string
		for i, id := range ids {
			if i >= 30 || i%3 == 0 {
				want = append(want, id)
			}
		}
		same(t, "members", c.members(group), sorted(want...))
	})
}

func TestUnknownMembersAreSkipped(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		known, other := c.user("known@corp.example", nil), c.user("other@corp.example", nil)
		group := c.group("Pushed too early", other)
		nobody := strings.Repeat("0", 8) + "-0000-4000-8000-" + strings.Repeat("0", 12)
		for why, operation := range map[string]object{
			"an id nobody has":  op("Add", "members", refs(nobody, known)),
			"what is no id":     op("Add", "members", refs("nobody", known)),
			"removing a ghost":  op("Remove", "members", refs(nobody)),
			"removing nonsense": remove(`members[value eq "nobody"]`),
			"removing nothing":  op("Remove", "members", []object{}),
		} {
			c.want(204, "PATCH", "/Groups/"+group, patch(operation, op("add", "members", refs(known))))
			same(t, why, c.members(group), sorted(known, other))
		}
	})
}

func TestPageSizeIsBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		ids := c.crowd("page", 1010)
		for _, test := range []struct {
			query string
			want  int
		}{
			{"", 100}, {"?startIndex=1", 100}, {"?count=1000", 1000}, {"?count=5000", 1000}, {"?startIndex=1001&count=1000", 10},
			{"?cursor", 100}, {"?cursor&count=5000", 1000},
		} {
			got := c.want(200, "GET", "/Users"+test.query, nil)
			same(t, got.request+": resources", len(got.list(t)), test.want)
			if !strings.Contains(test.query, "cursor") {
				same(t, got.request+": totalResults", got.number(t, "totalResults"), len(ids))
			}
		}
	})
}
