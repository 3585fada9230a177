package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/internal/replay"
)

// Scenarios are what identity providers do over hours, assembled from the
// recorded shapes. Numbers 8, 9 and 10 of the list are suites of their own:
// TestMicrosoftValidator, TestLogicApp and TestOktaSpec.

// A beat is one shape of a story. Its checks run right after it.
type beat struct {
	shape string
	save  string // keeps the new resource's id under this placeholder
	then  func(t *testing.T, c *client, values map[string]string)
}

// beats are shapes without checks.
func beats(ids ...string) []beat {
	var list []beat
	for _, id := range ids {
		list = append(list, beat{shape: id})
	}
	return list
}

// tell plays shapes in a row about the same user and group.
func tell(t *testing.T, c *client, story ...[]beat) {
	t.Helper()
	byID, _ := shapes(t)
	var recording bytes.Buffer
	encoder := json.NewEncoder(&recording)
	all := slices.Concat(story...)
	for _, b := range all {
		line, known := byID[b.shape]
		if !known {
			t.Fatalf("no shape %s", b.shape)
		}
		line.Keep, line.Save = true, b.save
		if err := encoder.Encode(line); err != nil {
			t.Fatal(err)
		}
	}
	player := &replay.Player{BaseURL: c.host + c.path, Token: c.token}
	n := 0
	_, err := player.Play(t.Context(), &recording, func(r replay.Result) {
		b := all[n]
		n++
		c.step(fmt.Sprintf("%02d %s", n, r.ID), func(t *testing.T, c *client) {
			if !r.OK {
				t.Fatalf("%s %s %s\n%s", r.Method, r.Path, r.Sent, r.Detail)
			}
			if b.then != nil {
				b.then(t, c, r.Values)
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

// userHas checks attributes of the story's user, given as JSON.
func userHas(attributes string) func(*testing.T, *client, map[string]string) {
	return func(t *testing.T, c *client, values map[string]string) {
		t.Helper()
		user := c.want(200, "GET", "/Users/"+values["id"], nil)
		fill := filler(values, nil)
		for name, want := range decode([]byte(fill(attributes))) {
			same(t, name, plain(object{name: user.at(name)}), plain(object{name: want}))
		}
	}
}

// groupHas checks who is in the story's group.
func groupHas(placeholders ...string) func(*testing.T, *client, map[string]string) {
	return func(t *testing.T, c *client, values map[string]string) {
		t.Helper()
		want := []string{}
		for _, placeholder := range placeholders {
			want = append(want, values[placeholder])
		}
		same(t, "members", c.members(values["gid"]), sorted(want...))
	}
}

func TestScenario01EntraInitialCycle(t *testing.T) {
	const people, chunk = 120, 100
	onBoth(t, func(t *testing.T, c *client) {
		tell(t, c, beats("E01", "E01", "E01", "E03", "E20", "E24"))
		var ids []string
		for i := range people {
			userName := fmt.Sprintf("person-%03d@corp.example", i)
			same(t, "match before create", c.find("/Users", `userName eq "`+userName+`"`), []string{})
			ids = append(ids, c.user(userName, object{"externalId": fmt.Sprint("person-", i)}))
		}
		same(t, "group match before create", c.find("/Groups", `displayName eq "All of Site A"`), []string{})
		group := c.group("All of Site A")
		for batch := range slices.Chunk(ids, chunk) {
			c.want(204, "PATCH", "/Groups/"+group, patch(op("Add", "members", refs(batch...))))
		}
		same(t, "members", c.members(group), sorted(ids...))
		for _, id := range ids[1:] { // references come last
			c.want(200, "PATCH", "/Users/"+id, patch(op("Add", enterpriseURN+":manager", ids[0])))
		}
		for i, id := range ids[1:] {
			user := c.want(200, "GET", "/Users/"+id, nil)
			same(t, "manager", user.text(enterpriseURN, "manager", "value"), ids[0])
			same(t, "externalId", user.text("externalId"), fmt.Sprint("person-", i+1))
		}
		same(t, "members after the references", c.members(group), sorted(ids...))
	})
}

func TestScenario02EntraIncrementalCycle(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		tell(t, c, []beat{
			{shape: "E06"},
			{shape: "E33", then: userHas(`{"emails":` + workMail("new@corp.example") + `,"title":"Operator"}`)},
			{shape: "E34", then: userHas(`{"emails":` + workMail("first@corp.example") + `}`)},
			{shape: "E35", then: userHas(`{"phoneNumbers":[{"type":"mobile","value":"+1 555 0100"}],"emails":` + workMail("first@corp.example") + `}`)},
			{shape: "E36", then: userHas(`{"ENT":{"department":"Ops","employeeNumber":"42"}}`)},
			{shape: "E07"},
			{shape: "E81", then: groupHas("u9")},
			{shape: "E84", then: groupHas("u1", "u9")},
			{shape: "E86", then: groupHas("u9")},
			{shape: "E30", then: userHas(`{"active":false,"title":"Operator","ENT":{"department":"Ops","employeeNumber":"42"}}`)},
			{shape: "E31", then: userHas(`{"active":true,"title":"Operator","ENT":{"department":"Ops","employeeNumber":"42"}}`)},
			{shape: "E70", then: func(t *testing.T, c *client, values map[string]string) {
				c.want(404, "GET", "/Users/"+values["id"], nil)
				same(t, "members", c.members(values["gid"]), []string{values["u9"]})
			}},
		})
	})
}

// flagDialect is a cycle of Entra with the aadOptscim062020 flag.
func flagDialect() []beat {
	return []beat{
		{shape: "E50", then: userHas(`{"displayName":"Ada K","name":{"givenName":"Ada","familyName":"King"},"ENT":{"employeeNumber":"42","department":"Ops"}}`)},
		{shape: "E51", then: userHas(`{"active":false,"displayName":"Ada K"}`)},
		{shape: "E53", then: groupHas("u8", "u9")},
		{shape: "E85", then: groupHas("u1", "u2", "u3", "u8", "u9")},
		{shape: "E88", then: groupHas("u3", "u8", "u9")},
		{shape: "E105", then: userHas(`{"roles":[{"primary":false,"type":"WindowsAzureActiveDirectoryRole","display":"Reader","value":"Reader"}],"displayName":"Ada K"}`)},
	}
}

func TestScenario03EntraFlagDialect(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		tell(t, c, flagDialect())
		c.step("the flag itself is ignored", func(t *testing.T, c *client) {
			id := c.user("flag@corp.example", nil)
			c.want(200, "PATCH", "/Users/"+id+"?aadOptscim062020", patch(op("replace", "active", false)))
			got := c.want(200, "GET", "/Users?aadOptscim062020&filter="+query(`userName eq "flag@corp.example"`), nil)
			same(t, "active", got.at("Resources", 0, "active"), any(false))
		})
	})
}

func TestScenario04ProvisionOnDemandAmidTheFlagDialect(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		flagged := flagDialect()
		onDemand := []beat{{shape: "E01"}, {shape: "E01"}, {shape: "E01"}, {shape: "E03"},
			{shape: "E32", then: userHas(`{"active":false,"displayName":"Ada K"}`)},
			{shape: "E31", then: userHas(`{"active":true,"displayName":"Ada K"}`)}}
		tell(t, c, flagged[:1], onDemand, flagged[1:])
	})
}

func TestScenario05OktaCustomApplication(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		tell(t, c, []beat{
			{shape: "O01"}, {shape: "O02"}, {shape: "O03", save: "id"}, {shape: "O05"},
			{shape: "O06", then: userHas(`{"active":true,"name":{"givenName":"Another","middleName":"Excited","familyName":"User"}}`)},
			{shape: "O07", then: userHas(`{"active":false,"name":{"givenName":"Another","familyName":"User"}}`)},
			{shape: "O30", then: groupHas("u1", "u2")},
			{shape: "O31", then: func(t *testing.T, c *client, values map[string]string) {
				c.want(404, "GET", "/Groups/"+values["gid"], nil)
				c.want(200, "GET", "/Users/"+values["u1"], nil)
			}},
		})
	})
}

func TestScenario06OktaCatalogueApplication(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		tell(t, c, []beat{
			{shape: "O02"}, {shape: "O03", save: "id"},
			{shape: "O08", then: userHas(`{"active":false,"displayName":"Test User"}`)},
			{shape: "O09", then: userHas(`{"active":true,"displayName":"Test User"}`)},
			{shape: "O06", then: userHas(`{"active":true,"name":{"givenName":"Another","middleName":"Excited","familyName":"User"}}`)},
			{shape: "O21"}, {shape: "O22", save: "gid"},
			{shape: "O24"},
			{shape: "O25", then: groupHas("u2")},
			{shape: "O26", then: groupHas("u1", "u2")},
			{shape: "O29", then: groupHas("u1", "u2")},
			{shape: "O27", then: groupHas()},
			{shape: "O29", then: groupHas()},
		})
	})
}

// TestScenario07OktaImport pages through 250 people while more arrive. Who was
// there at the start is met; the order of a page never changes.
func TestScenario07OktaImport(t *testing.T) {
	const people, count = 250, 100
	onBoth(t, func(t *testing.T, c *client) {
		ids := c.users("import", people)
		for _, method := range []string{"index", "cursor"} {
			c.step(method, func(t *testing.T, c *client) {
				seen := map[string]int{}
				next := "/Users?startIndex=1&count=100"
				if method == "cursor" {
					next = "/Users?cursor&count=100"
				}
				for n := 1; next != ""; n++ {
					got := c.want(200, "GET", next, nil)
					for _, user := range got.list(t) {
						seen[fmt.Sprint(user["id"])]++
					}
					ids = append(ids, c.user(fmt.Sprintf("late-%s-%d@corp.example", method, n), nil))
					switch {
					case method == "cursor" && got.text("nextCursor") != "":
						next = fmt.Sprintf("/Users?cursor=%s&count=%d", query(got.text("nextCursor")), count)
					case method == "index" && n*count < got.number(t, "totalResults"):
						next = fmt.Sprintf("/Users?startIndex=%d&count=%d", n*count+1, count)
					default:
						next = ""
					}
					if n > 10 {
						t.Fatal("the pages do not end")
					}
				}
				for _, id := range ids[:people] {
					if seen[id] != 1 {
						t.Errorf("user %s was met %d times", id, seen[id])
					}
				}
			})
		}
	})
}

func TestScenario11JumpCloudActivation(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		user := c.user("jumpcloud-test@corp.example", nil)
		group := c.group("JumpCloud test", user)
		c.want(204, "PATCH", "/Groups/"+group, patch(op("add", "members", refs(user))))
		same(t, "members", c.members(group), []string{user})
		tell(t, c, []beat{{shape: "X03", then: groupHas("u1", "u9")}, {shape: "X02"}})
		for _, path := range []string{"/Groups/" + group, "/Users/" + user} {
			c.want(204, "DELETE", path, nil)
			c.want(404, "GET", path, nil)
		}
	})
}

// TestScenario12SailPointBurst changes one group by one member a request, 50 at
// a time: 25 come while 25 go, and who is neither stays.
func TestScenario12SailPointBurst(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		ids := c.users("burst", 60)
		stay, leave, join := ids[:10], ids[10:35], ids[35:]
		group := c.group("Burst", slices.Concat(stay, leave)...)
		var burst sync.WaitGroup
		for i := range 25 {
			burst.Go(func() { c.expect204(group, op("add", "members", refs(join[i]))) })
			burst.Go(func() {
				if i%2 == 0 {
					c.expect204(group, remove(`members[value eq "`+leave[i]+`"]`))
					return
				}
				c.expect204(group, op("Remove", "members", refs(leave[i])))
			})
		}
		burst.Wait()
		same(t, "members", c.members(group), sorted(slices.Concat(stay, join)...))
	})
}

// expect204 patches a group from any goroutine.
func (c *client) expect204(group string, operation object) {
	if got := c.do("PATCH", "/Groups/"+group, patch(operation)); got.status != 204 {
		c.t.Errorf("%s\nanswered %d %s\nwant 204", got.request, got.status, strings.TrimSpace(abbreviate(got.raw)))
	}
}
