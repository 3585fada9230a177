package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"gatehouse/internal/pgtest"
)

var weakTag = regexp.MustCompile(`^W/"[0-9]+(\.[A-Za-z0-9_-]{8})?"$`)

// tag is the version of one resource as an answer shows it.
func (a answer) tag(t testing.TB) string {
	t.Helper()
	tag := a.header.Get("ETag")
	if !weakTag.MatchString(tag) {
		t.Fatalf("%s: answered %d with the ETag %q, want a weak one", a.request, a.status, tag)
	}
	return tag
}

// kinds are a user and a group, and a body that changes them.
var kinds = []struct {
	collection, name, urn string
	patched               int
}{{"/Users", "userName", coreURN, 200}, {"/Groups", "displayName", groupURN, 204}}

func TestEveryAnswerHasItsVersion(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		for _, kind := range kinds {
			body := object{"schemas": []string{kind.urn}, kind.name: "ann"}
			made := c.want(201, "POST", kind.collection, body)
			path := kind.collection + "/" + made.text("id")
			first := made.tag(t)
			same(t, "meta.version of POST", made.text("meta", "version"), first)
			read := c.want(200, "GET", path, nil)
			same(t, "ETag of GET", read.tag(t), first)
			same(t, "meta.version of GET", read.text("meta", "version"), first)
			for _, parameters := range []string{"?attributes=" + kind.name, "?excludedAttributes=meta,groups", "?attributes=meta.version", "?attributes=meta"} {
				same(t, "ETag of GET "+parameters, c.want(200, "GET", path+parameters, nil).tag(t), first)
			}
			same(t, "meta.version alone", c.want(200, "GET", path+"?attributes=meta.version", nil).text("meta", "version"), first)

			// Nothing changed keeps the version, on every way.
			nothing := patch(op("replace", kind.name, "ann"))
			same(t, "ETag of a PATCH of nothing", c.want(kind.patched, "PATCH", path, nothing).tag(t), first)
			same(t, "ETag of a PUT of the same", c.want(200, "PUT", path, body).tag(t), first)
			changed := c.want(kind.patched, "PATCH", path, patch(op("replace", "externalId", "x-1"))).tag(t)
			if changed == first {
				t.Errorf("PATCH %s: the version is still %s", path, first)
			}
			same(t, "ETag of GET after PATCH", c.want(200, "GET", path, nil).tag(t), changed)
			body["externalId"] = "x-2"
			put := c.want(200, "PUT", path, body)
			if put.tag(t) == changed || put.text("meta", "version") != put.tag(t) {
				t.Errorf("PUT %s: ETag %s, meta.version %s, want another than %s", path, put.tag(t), put.text("meta", "version"), changed)
			}
			for _, parameters := range []string{"", "?excludedAttributes=groups,members", "?attributes=meta.version"} {
				listed := c.want(200, "GET", kind.collection+parameters, nil)
				same(t, "meta.version in a list "+parameters, at(listed.list(t)[0], "meta", "version"), any(put.tag(t)))
				same(t, "ETag of a list", listed.header.Get("ETag"), "")
			}
		}
	})
}

func TestReadAgainOnlyWhatChanged(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		ann, bob := c.user("ann", nil), c.user("bob", nil)
		crew := c.group("Crew", bob)
		user, group := "/Users/"+ann, "/Groups/"+crew
		for _, path := range []string{user, group} {
			tag := c.want(200, "GET", path, nil).tag(t)
			for _, header := range []string{tag, tag[2:], "*", `"x", ` + tag, `W/"a,b" ,,` + tag} {
				got := c.when("If-None-Match", header).want(304, "GET", path, nil)
				same(t, "ETag of 304", got.tag(t), tag)
			}
			same(t, "two headers", c.when("If-None-Match", `"x"`, tag).do("GET", path, nil).status, 304)
			same(t, "a part of it", c.when("If-None-Match", tag).do("GET", path+"?attributes=id", nil).status, 304)
			for _, header := range []string{`"x"`, `W/""`, tag[:len(tag)-1] + `x"`} {
				c.when("If-None-Match", header).want(200, "GET", path, nil)
				c.when("If-Match", header).want(412, "GET", path, nil)
			}
			c.when("If-Match", tag).want(200, "GET", path, nil)
			c.when("If-Match", tag).when("If-None-Match", tag).want(304, "GET", path, nil)
			c.when("If-None-Match", "*").want(404, "GET", path[:strings.LastIndexByte(path, '/')+1]+noID, nil)
		}

		// What others do to a person's groups shows in the person, and in the tag.
		tags := map[string]string{}
		look := func(after string) {
			t.Helper()
			tag := c.want(200, "GET", user, nil).tag(t)
			if before, seen := tags[tag]; seen {
				t.Errorf("after %s ann has the ETag %s, as after %s", after, tag, before)
			}
			tags[tag] = after
			for old := range tags {
				want := 200
				if old == tag {
					want = 304
				}
				c.when("If-None-Match", old).want(want, "GET", user, nil)
				c.when("If-None-Match", old).want(want, "GET", user+"?excludedAttributes=groups", nil)
			}
		}
		look("nothing")
		c.expect204(crew, op("add", "members", refs(ann)))
		look("joining")
		c.expect204(crew, op("replace", "displayName", "Old crew"))
		look("renaming")
		other := c.group("Other", ann)
		look("a second group")
		outer := c.group("Outer", other)
		look("a group around that one")
		c.want(204, "DELETE", "/Groups/"+outer, nil)
		same(t, "ETag without the group around it", tags[c.want(200, "GET", user, nil).tag(t)], "a second group")
		c.want(204, "DELETE", group, nil)
		look("losing the first")
		c.want(200, "PATCH", user, patch(op("replace", "title", "Boss")))
		look("a change of her own")
		before := c.want(200, "GET", user, nil).tag(t)
		c.expect204(other, op("add", "members", refs(bob)))
		c.when("If-None-Match", before).want(304, "GET", user, nil)
		c.expect204(other, remove(`members[value eq "`+ann+`"]`))
		look("leaving")

		tag := c.want(200, "GET", "/Groups/"+other, nil).tag(t)
		c.want(204, "DELETE", "/Users/"+bob, nil)
		c.when("If-None-Match", tag).want(200, "GET", "/Groups/"+other, nil)
	})
}

func TestWritesOnCondition(t *testing.T) {
	onBoth(t, func(t *testing.T, c *client) {
		crew := c.group("Crew")
		for _, kind := range kinds {
			body := object{"schemas": []string{kind.urn}, kind.name: "ann"}
			made := c.want(201, "POST", kind.collection, body)
			path, old := kind.collection+"/"+made.text("id"), made.tag(t)
			tag := c.want(kind.patched, "PATCH", path, patch(op("replace", "externalId", "x-1"))).tag(t)

			before := string(c.want(200, "GET", path, nil).raw)
			for why, refused := range map[string]*client{
				"an old tag":               c.when("If-Match", old),
				"a tag of nobody":          c.when("If-Match", `"x"`),
				"the empty tag":            c.when("If-Match", `""`),
				"old ones":                 c.when("If-Match", old+`, "x"`),
				"not this one":             c.when("If-None-Match", tag),
				"not one of these":         c.when("If-None-Match", `"x"`, tag),
				"none that is there":       c.when("If-None-Match", "*"),
				"this one, and not it":     c.when("If-Match", tag).when("If-None-Match", tag),
				"an old one, and not that": c.when("If-Match", old).when("If-None-Match", old),
			} {
				body["externalId"] = "x-2"
				for _, got := range []answer{
					refused.do("PUT", path, body),
					refused.do("PATCH", path, patch(op("replace", "externalId", "x-2"))),
					refused.do("PATCH", path, patch(op("replace", "externalId", "x-1"))), // though it changes nothing
					refused.do("DELETE", path, nil),
				} {
					if got.status != 412 || got.text("scimType") != "" {
						t.Errorf("%s: %s: answered %d %s, want 412", why, got.request, got.status, got.raw)
					}
				}
			}
			same(t, "the resource after all that was refused", string(c.want(200, "GET", path, nil).raw), before)

			if kind.collection == "/Users" { // what happens to her groups is no change of hers
				c.expect204(crew, op("add", "members", refs(made.text("id"))))
			}
			body["externalId"] = "x-3"
			tag = c.when("If-Match", tag).want(200, "PUT", path, body).tag(t)
			tag = c.when("If-Match", `"x", `+tag).want(kind.patched, "PATCH", path, patch(op("replace", "externalId", "x-4"))).tag(t)
			tag = c.when("If-Match", tag[2:]).want(kind.patched, "PATCH", path, patch(op("replace", "externalId", "x-5"))).tag(t)
			c.when("If-Match", "*").want(kind.patched, "PATCH", path, patch(op("replace", "externalId", "x-6")))
			tag = c.when("If-None-Match", tag).want(kind.patched, "PATCH", path, patch(op("replace", "externalId", "x-7"))).tag(t)
			c.when("If-Match", tag).want(204, "DELETE", path, nil)
			for _, header := range []string{tag, "*"} { // gone is gone, whatever the condition (RFC 9110 section 13.2.1)
				c.when("If-Match", header).want(404, "PUT", path, body)
				c.when("If-Match", header).want(404, "PATCH", path, patch(op("replace", "externalId", "x-8")))
				c.when("If-Match", header).want(404, "DELETE", path, nil)
			}
			// Making one is on no condition.
			c.when("If-Match", `"x"`).when("If-None-Match", "*").want(201, "POST", kind.collection, body)
		}
	})
}

// TestOneOfManyWritersWins lets 16 change the same version at once, over two
// servers where the database allows for it.
func TestOneOfManyWritersWins(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		c := serve(t, "sqlite://"+t.TempDir()+"/gatehouse.db")
		oneWins(t, c, c)
	})
	t.Run("postgres, two servers", func(t *testing.T) {
		t.Parallel()
		database := pgtest.URL(t)
		c := serve(t, database)
		oneWins(t, c, newClient(t, "http://"+listen(t, database), c.path, c.token))
	})
}

func oneWins(t *testing.T, servers ...*client) {
	c := servers[0]
	for _, path := range []string{"/Users/" + c.user("bob", nil), "/Groups/" + c.group("Crew")} {
		for round := range 12 {
			tag := c.want(200, "GET", path, nil).tag(t)
			newcomer := c.user(fmt.Sprint("newcomer", round, path[1:6]), nil) // so that each adding is a change
			answers := make([]answer, 16)
			var wg sync.WaitGroup
			for i := range answers {
				wg.Go(func() {
					c := servers[i%len(servers)].when("If-Match", tag)
					switch value := fmt.Sprintf("%d-%d", round, i); {
					case round == 11 && i%4 == 0:
						answers[i] = c.do("DELETE", path, nil)
					case path[1] == 'G' && i%2 == 0:
						answers[i] = c.do("PATCH", path, patch(op("add", "members", refs(newcomer))))
					default:
						answers[i] = c.do("PATCH", path, patch(op("replace", "externalId", value)))
					}
				})
			}
			wg.Wait()
			won, deleted := 0, false
			for _, got := range answers {
				switch got.status {
				case 200, 204:
					won++
					deleted = deleted || got.request[0] == 'D'
				case 412:
				case 404:
					if round < 11 {
						t.Errorf("%s: answered 404", got.request)
					}
				default:
					t.Errorf("%s: answered %d %s", got.request, got.status, got.raw)
				}
			}
			if won != 1 {
				t.Fatalf("round %d on %s: %d writers changed version %s, want one", round, path, won, tag)
			}
			if got := c.do("GET", path, nil); (got.status == 404) != deleted {
				t.Errorf("round %d on %s: reading it answers %d, and that it was deleted is %v", round, path, got.status, deleted)
			}
		}
	}
}
