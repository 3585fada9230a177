package ui

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// ask is the address of a question.
func (g *rig) ask(person string, rest ...string) string {
	q := url.Values{"person": {person}}
	for i := 0; i+1 < len(rest); i += 2 {
		q.Add(rest[i], rest[i+1])
	}
	return "/explain?" + q.Encode()
}

func TestExplain(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		deny := g.toUser("noor.mulder@waterland.example", "clicktime", "", g.at("uithof"))
		deny.Effect, deny.Permission, deny.Level = access.Deny, "timesheet", "view"
		toNoor := g.toUser("noor.mulder@waterland.example", "clicktime", "supervisor", g.at("utrecht"))
		over := g.toUser(chloe, "clicktime", "client", g.at("utrecht"))
		over.Until = now.Add(-24 * time.Hour)
		g.grant(deny, toNoor, over)
		maintain := []string{"product", "clicktime", "permission", "timesheet", "level", "maintain"}
		for _, c := range []struct {
			why, path, chip string
			says            []string
		}{
			{"yes, by a group, below the site of the mapping", g.ask(alice, append(maintain, "site", string(g.sites["uithof"]))...), "Yes",
				[]string{"Alice Jansen may do “Time sheets: maintain” in ClickTime @ Uithof.", "Alice Jansen → Planning (member since 22 Nov 2026) → mapping: Supervisor @ Utrecht, Vlissingen (since 22 Nov 2026, by grace on the command line)"}},
			{"by a name typed, a site's key and a role", g.ask("alice jansen", "product", "clicktime", "role", "supervisor", "site", "uithof"), "Yes",
				[]string{"Alice Jansen may do all that the role Supervisor of ClickTime gives @ Uithof.", "Planning (member since"}},
			{"no, elsewhere", g.ask(bob, append(maintain, "site", "zeeland")...), "No",
				[]string{"It is granted at other places: Uithof.", "Sam de Vries and Ada Byron can change this.", "Bob Okafor → Utrecht technicians"}},
			{"no, in no group that gives it", g.ask(eva, "product", "clicktime", "permission", "payroll", "site", "utrecht"), "No",
				[]string{"Nothing gives this to anybody."}},
			{"no, though a group would", g.ask(chloe, append(maintain, "site", "uithof")...), "No",
				[]string{"Chloé Martin is not in Planning, which would give it.", "Utrecht technicians → mapping: Supervisor @ Uithof"}},
			{"no, it is over", g.ask(chloe, "product", "clicktime", "permission", "timesheet", "level", "view", "site", "utrecht"), "No",
				[]string{"What would give it ended on 21 Nov 2026."}},
			{"no, denied", g.ask("noor.mulder@waterland.example", append(maintain, "site", "uithof")...), "No",
				[]string{"A deny takes it away, whatever else is granted.", "denied: Time sheets view @ Uithof"}},
			{"no, deactivated", g.ask(frank, append(maintain, "site", "uithof")...), "No",
				[]string{"The identity provider has deactivated Frank Visser."}},
			{"all that she may do at a site", g.ask(alice, "site", "Uithof"), "Yes",
				[]string{"Alice Jansen may, in ClickTime @ Uithof:", "Time sheets: maintainAlice Jansen → Planning"}},
			{"nothing at a site", g.ask(chloe, "site", "zeeland", "product", "clicktime"), "No",
				[]string{"Chloé Martin may do nothing @ Zeeland.", "Chloé Martin is not in Dijkwerk staff"}},
			{"everywhere", g.ask(alice, maintain...), "No", []string{"Asked about all of: Sites."}},
		} {
			got := g.get(sam, c.path)
			if missing := got.lacks(c.says...); got.status != 200 || missing != nil || !slices.Contains(got.texts(".answer .big .chip"), c.chip) {
				t.Errorf("%s: status %d, %q: got no %q in\n%s", c.why, got.status, got.texts(".answer .big .chip"), missing, got.text("#explain-answer"))
			}
			for _, link := range got.Find("#explain-answer a").Map(hrefs) {
				if to := g.get(sam, link); to.status != 200 {
					t.Errorf("%s: link %s: status %d", c.why, link, to.status)
				}
			}
		}
	})
}

// TestExplainAgrees asks the page whatever can be asked of some people, and wants
// what the engine says.
func TestExplainAgrees(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, who := range []string{alice, daan, eva, frank} {
		subject, policy, err := g.Subject(t.Context(), g.actor.Tenant, store.Who{UserName: who})
		if err != nil {
			t.Fatal(err)
		}
		for key, site := range g.sites {
			for _, level := range []access.Level{"view", "maintain"} {
				q := access.Question{Product: "clicktime", Permission: "timesheet", Level: level, Place: access.Place{"site": site}}
				want := map[bool]string{true: "Yes", false: "No"}[policy.Allows(subject, q, now)]
				got := g.get(chloe, g.ask(who, "product", "clicktime", "permission", "timesheet", "level", string(level), "site", string(site)))
				if text := got.text(".answer .big .chip"); text != want {
					t.Errorf("%s, %s at %s: got %q, want %s", who, level, key, text, want)
				}
			}
		}
	}
}

func TestExplainStepByStep(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		for _, c := range []struct{ why, path, want string }{
			{"nothing yet", "/explain", "Whom is it about?"},
			{"several of a name", "/explain?person=ada", "Whom do you mean?"},
			{"nobody", "/explain?person=xyzzy", "“xyzzy” is not in any source."},
			{"no such site", g.ask(alice, "site", "atlantis"), "There is no site “atlantis”"},
			{"no such product", g.ask(alice, "product", "x"), "There is no such product."},
			{"no such role", g.ask(alice, "product", "clicktime", "role", "x"), "There is no such role."},
			{"no such permission", g.ask(alice, "product", "clicktime", "permission", "x"), "The product has no such permission."},
			{"no such level", g.ask(alice, "product", "clicktime", "permission", "timesheet", "level", "x"), "The product has no level “x”."},
			{"odd text", g.ask("a\x00b", "site", "\x00"), "is not in any source"},
		} {
			got := g.get(sam, c.path)
			if got.status != 200 || got.lacks(c.want) != nil {
				t.Errorf("%s: status %d, want %q in\n%s", c.why, got.status, c.want, got.text("main"))
			}
		}
		several := g.get(sam, "/explain?person=ada&site=uithof&product=clicktime&what=role%3Asupervisor")
		links := several.Find(".found a").Map(hrefs)
		if len(links) != 2 {
			t.Fatalf("got %d people of the name, want 2", len(links))
		}
		if chosen := g.get(sam, links[0]); chosen.lacks("role Supervisor of ClickTime gives @ Uithof") != nil {
			t.Errorf("having chosen one, the rest of the question is lost:\n%s", chosen.text("main"))
		}

		g.later(24 * time.Hour)
		g.write(func(tx *store.Tx) error { return tx.DeleteUser(t.Context(), g.refs["Entra ID"], g.users[daan]) })
		g.later(24 * time.Hour)
		path := fmt.Sprintf("/explain?person=%s&product=clicktime&permission=timesheet&level=maintain&site=uithof", g.users[daan])
		if then := g.get(sam, path+"&at=2026-11-22"); then.lacks("You see how it was on 22 Nov 2026", "Daan Bakker may do “Time sheets: maintain”") != nil {
			t.Errorf("then:\n%s", then.text("main"))
		}
	})
}

func TestExplainAtOwnSitesOnly(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.grant(g.toUser(daan, "clicktime", "client", g.at("zeeland")))
		inside := g.get(bob, g.ask(daan, "product", "clicktime", "permission", "timesheet", "level", "maintain", "site", "uithof"))
		if inside.lacks("Daan Bakker may do", "Utrecht technicians") != nil {
			t.Errorf("at an own site:\n%s", inside.text("main"))
		}
		no := g.get(bob, g.ask(daan, "product", "clicktime", "permission", "timesheet", "site", "nieuwegein"))
		if said := no.text("#explain-answer"); no.lacks("Daan Bakker may not do", "1 more way lies at sites that are not yours") != nil || strings.Contains(no.body, "Zeeland") || strings.Contains(no.body, "Dijkwerk") {
			t.Errorf("a grant elsewhere is told:\n%s", said)
		}
		for path, want := range map[string]string{
			g.ask(daan, "site", string(g.sites["zeeland"])): "or it is none of yours",
			g.ask(daan, "product", "clicktime"):             "Choose one of your sites.",
			g.ask("noor.mulder@waterland.example"):          "is not in any source",
			g.ask(string(g.stranger(t))):                    "is not in any source",
		} {
			if got := g.get(bob, path); got.status != 200 || got.lacks(want) != nil {
				t.Errorf("%s: status %d, want %q in\n%s", path, got.status, want, got.text("main"))
			}
		}
		if got := g.get(eva, g.ask(eva)); got.status != 403 {
			t.Errorf("as an end user: status %d, want 403", got.status)
		}
	})
}
