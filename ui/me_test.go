package ui

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gatehouse/access"
	"gatehouse/store"

	"github.com/PuerkitoBio/goquery"
)

func hrefs(_ int, s *goquery.Selection) string { return s.AttrOr("href", "") }

func TestMyAccess(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.write(func(tx *store.Tx) error {
			_, err := tx.ChangePerson(t.Context(), g.users[eva], func(p store.Person) store.Person {
				p.Kind, p.Sponsor, p.ExpiresAt = access.KindGuest, g.users[daan], now.AddDate(0, 1, 0)
				return p
			})
			return err
		})
		got := g.get(eva, "/me")
		if missing := got.lacks("You → Planning (member since 22 Nov 2026) → mapping: Supervisor @ Utrecht, Vlissingen", "Your account ends22 Dec 2026", "Daan Bakker, Sam de Vries and Ada Byron can help.", "this one"); missing != nil {
			t.Errorf("got no %q in\n%s", missing, got.text("main"))
		}
		mail, err := url.Parse(got.Find("a[href^='mailto:']").AttrOr("href", ""))
		if to, _ := url.PathUnescape(mail.Opaque); err != nil || to != "daan.bakker@waterland.example,"+sam+","+ada || !strings.Contains(mail.Query().Get("body"), "Eva Smit (eva.smit@waterland.example)") {
			t.Errorf("mail: %v, %v", mail, err)
		}
		for _, href := range got.Find("main a").Map(hrefs) {
			if !strings.HasPrefix(href, "mailto:") && href != "/me/passkeys" {
				t.Errorf("an end user is offered %s", href)
			}
		}
		none := g.get("noor.mulder@waterland.example", "/me")
		if none.status != 200 || none.lacks("You have no access yet.") != nil {
			t.Errorf("without access: status %d\n%s", none.status, none.text("main"))
		}
	})
}

// The ways to one's own access are links only as far as one may follow them.
func TestOwnWaysLeadToPages(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		everywhere := g.toUser(bob, "clicktime", "client", access.Scope{Everywhere: true})
		elsewhere := g.toUser(bob, "clicktime", "supervisor", g.at("vlissingen"))
		g.grant(everywhere, elsewhere)
		for _, as := range []string{sam, ada, bob, chloe, eva} {
			links := g.get(as, "/me").Find("main a").Map(hrefs)
			if as != eva && len(links) == 0 {
				t.Errorf("%s: no links", as)
			}
			for _, href := range links {
				if strings.HasPrefix(href, "mailto:") {
					continue
				}
				if got := g.get(as, href); got.status != 200 {
					t.Errorf("%s: %s is a link and answers %d", as, href, got.status)
				}
			}
		}
	})
}

func TestEndOwnSessions(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		here := g.signIn(eva)
		var there [2][]*http.Cookie
		for i := range there {
			delete(g.cookies, eva)
			there[i] = g.signIn(eva)
		}
		g.cookies[eva] = here
		as := func(cookies []*http.Cookie) int {
			g.cookies[eva] = cookies
			defer func() { g.cookies[eva] = here }()
			return g.get(eva, "/me").status
		}
		page := g.get(eva, "/me")
		buttons := page.Find("form[action='/me/sessions/end'] button")
		if buttons.Length() != 2 || page.Find("#sessions tbody tr").Length() != 3 {
			t.Fatalf("got %d buttons, want one for each other session:\n%s", buttons.Length(), page.text("main"))
		}
		newest := buttons.First().AttrOr("value", "")
		if got := g.post(bob, "/me/sessions/end", url.Values{"id": {newest}}); got.status != 409 || as(there[1]) != 200 {
			t.Errorf("somebody else's session: status %d, want it refused", got.status)
		}
		for _, id := range []string{"", "x"} {
			if got := g.post(eva, "/me/sessions/end", url.Values{"id": {id}}); got.status != 409 {
				t.Errorf("session %q: status %d, want 409", id, got.status)
			}
		}
		if got := g.post(eva, "/me/sessions/end", url.Values{"id": {newest}}); got.status != 303 || as(there[1]) != 303 || as(there[0]) != 200 {
			t.Errorf("ending one: status %d, want that one gone and the others there", got.status)
		}
		if got := g.post(eva, "/me/sessions/end-others", nil); got.status != 303 || as(there[0]) != 303 || as(here) != 200 {
			t.Errorf("ending the others: status %d, want this one alone there", got.status)
		}
	})
}

func TestSearchFindsWhatOneMaySee(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		for _, c := range []struct {
			why, who, text string
			want           []string
			not            string
		}{
			{"people and groups", sam, "utrecht", []string{"Utrecht technicians"}, ""},
			{"a group by its id", sam, string(g.groups["Sales"]), []string{"Sales"}, ""},
			{"a person by id", sam, string(g.users[eva]), []string{"Eva Smit"}, ""},
			{"a site administrator, inside", bob, "plan", []string{"Planning"}, ""},
			{"a site administrator, elsewhere", bob, "sales", nil, "Sales"},
			{"a site administrator, somebody elsewhere by id", bob, string(g.users["noor.mulder@waterland.example"]), nil, "Noor"},
			{"an end user", eva, "planning", nil, "Planning"},
		} {
			got := g.get(c.who, "/search?q="+url.QueryEscape(c.text))
			if missing := got.lacks(c.want...); got.status != 200 || missing != nil || c.not != "" && strings.Contains(got.text("#found"), c.not) {
				t.Errorf("%s: status %d, got %q, want %q", c.why, got.status, got.text("#found"), c.want)
			}
		}
	})
}
