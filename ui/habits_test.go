package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"

	"github.com/PuerkitoBio/goquery"
)

func TestSavedFilters(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		const filtered = "/people?state=inactive&q=a"
		page := g.get(ada, filtered)
		save := page.Find("#views a").AttrOr("href", "")
		form := g.get(ada, save)
		path := form.Find("input[name=path]").AttrOr("value", "")
		if path != "/people?q=a&state=inactive" {
			t.Fatalf("%s leads to %s, where %q would be saved", filtered, save, path)
		}
		if got := g.post(ada, "/views", url.Values{"path": {path}, "name": {" "}}); got.status != 400 ||
			got.text(".error") != "The filter needs a name" || got.Find("input[name=path]").AttrOr("value", "") != path {
			t.Errorf("without a name: status %d, %q", got.status, got.text("main"))
		}
		saved := g.post(ada, "/views", url.Values{"path": {path}, "name": {"Left <b>us</b>"}, "shared": {"1"}})
		if saved.status != 303 || saved.header.Get("Location") != path {
			t.Fatalf("saved: status %d to %q", saved.status, saved.header.Get("Location"))
		}
		g.post(ada, "/views", url.Values{"path": {"/mappings?state=expired"}, "name": {"Over"}, "shared": {"1"}})
		g.post(ada, "/views", url.Values{"path": {"/people?state=live&after=x"}, "name": {"Mine"}})
		g.post(ada, "/views", url.Values{"path": {"/invitations?state=open"}, "name": {"To come"}})

		for _, test := range []struct {
			why, who, path string
			want           []string
		}{
			{"hers, and shared by her", ada, "/people", []string{"Left <b>us</b>", "Mine"}},
			{"what is shared", sam, "/people", []string{"Left <b>us</b>"}},
			{"of that list", sam, "/mappings", []string{"Over"}},
			{"of the list of invitations", ada, "/invitations", []string{"To come"}},
			{"for a site administrator", bob, "/people", []string{"Left <b>us</b>"}},
			{"for who may not open the list", eva, "/views", nil},
		} {
			if got := g.get(test.who, test.path).texts("#views .chip, h2 a"); !slices.Equal(got, test.want) {
				t.Errorf("%s: %s sees %q, want %q", test.why, test.who, got, test.want)
			}
		}
		chip := g.get(sam, path).Find("#views [aria-current]")
		if chip.AttrOr("href", "") != path {
			t.Errorf("at %s the current filter is %q", path, chip.Text())
		}

		// It is Ada's: others can't rename it, and who settles the settings can remove it.
		mine := g.get(ada, "/views").Find("form[action$='/remove']").First().AttrOr("action", "")
		id := strings.TrimSuffix(mine, "/remove")
		if got := g.post(chloe, id, url.Values{"name": {"hers"}}); got.status != 404 {
			t.Errorf("an auditor renames Ada's: status %d", got.status)
		}
		if got := g.post(chloe, mine, nil); got.status != 404 {
			t.Errorf("an auditor removes Ada's: status %d", got.status)
		}
		if got := g.post(ada, id, url.Values{"name": {"Gone"}, "shared": {"1"}}); got.status != 303 {
			t.Errorf("Ada renames hers: status %d", got.status)
		}
		if got := g.post(sam, mine, nil); got.status != 303 || len(g.get(ada, "/people").texts("#views .chip")) != 1 {
			t.Errorf("the owner removes a shared one: status %d", got.status)
		}
		if got := g.post(chloe, "/views", url.Values{"path": {"/audit?q=x"}, "name": {"Auditor's"}, "shared": {"1"}}); got.status != 303 ||
			len(g.get(sam, "/audit").texts("#views .chip")) != 0 || len(g.get(chloe, "/audit").texts("#views .chip")) != 1 {
			t.Errorf("who may change nothing puts nothing above other people's lists: status %d", got.status)
		}
	})
}

func TestSavedFiltersAreOfPagesThatExist(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, path := range []string{"", "people", "//evil.example/people", "https://evil.example/", "/\\evil.example", "/nothing", "/login", "/s/x/app.css",
		"/people?q=" + strings.Repeat("x", 2000), "/preferences", "javascript:alert(1)"} {
		if got := g.post(ada, "/views", url.Values{"path": {path}, "name": {"x"}}); got.status != 400 {
			t.Errorf("%.60q: status %d, want 400", path, got.status)
		}
	}
	if got := g.post(bob, "/views", url.Values{"path": {"/audit"}, "name": {"x"}}); got.status != 400 {
		t.Errorf("a page that he may not open: status %d, want 400", got.status)
	}
	if got := g.get(ada, "/views").texts("h2"); len(got) != 0 {
		t.Errorf("saved nevertheless: %q", got)
	}
}

func TestLongProposalsAreDrafts(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		form := url.Values{"v": {"1"}, "group": {string(g.groups["Planning"])}, "what": {"role/clicktime/client"}, "reason": {""}}
		g.write(func(tx *store.Tx) error {
			var sites []access.Site
			for i := range 300 {
				sites = append(sites, access.Site{ID: store.NewSiteID(), Dimension: "site", Key: fmt.Sprint("s", i), Name: fmt.Sprint("Site ", i)})
			}
			form["s.site"] = nil
			for _, site := range sites {
				form.Add("s.site", string(site.ID))
			}
			_, err := tx.AddSites(t.Context(), sites...)
			return err
		})
		short := url.Values{"v": {"1"}, "group": form["group"], "what": form["what"], "s.site": form["s.site"][:2]}
		if to := g.post(ada, "/drafts?for=%2fmappings%2fnew", short).header.Get("Location"); to != "/mappings/new?"+short.Encode() {
			t.Errorf("a short one: to %q, want all in the address", to)
		}
		to := g.post(ada, "/drafts?for=%2fmappings%2fnew", form).header.Get("Location")
		if !strings.HasPrefix(to, "/mappings/new?draft=") || len(to) > 100 {
			t.Fatalf("300 sites: to %.100q, want a draft", to)
		}
		page := g.get(ada, to)
		if n := page.Find("input[name='s.site'][checked]").Length(); n != 300 {
			t.Errorf("%d sites are ticked, want 300", n)
		}
		panel := page.Find("#impact form[method=post]")
		if panel.AttrOr("action", "") != to {
			t.Errorf("saves to %.100q, want %s", panel.AttrOr("action", ""), to)
		}
		if button := page.Find("#editor button[formaction]"); button.AttrOr("formaction", "") != "/drafts?for=%2fmappings%2fnew" {
			t.Errorf("the preview goes to %q", button.AttrOr("formaction", ""))
		}
		if csv := g.get(ada, page.Find("#impact a[download]").AttrOr("href", "")); csv.status != 200 || !strings.Contains(csv.body, "Client") && !strings.Contains(csv.body, "ClickTime") {
			t.Errorf("all of them as a file: status %d, %.200q", csv.status, csv.body)
		}
		for _, other := range []string{sam, bob} {
			if got := g.get(other, to); got.status != 400 || !strings.Contains(got.text("main"), "only for whoever made it") {
				t.Errorf("%s opens Ada's draft: status %d, %q", other, got.status, got.text("main"))
			}
		}
		fields := url.Values{}
		panel.Find("input").Each(func(_ int, in *goquery.Selection) { fields.Set(in.AttrOr("name", ""), in.AttrOr("value", "")) })
		saved := g.post(ada, to, fields)
		made := strings.TrimPrefix(saved.header.Get("Location"), "/mappings/")
		policy, _, err := g.Policy(t.Context(), g.actor.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		grant, ok := policy.Grant(access.GrantID(made))
		if saved.status != 303 || !ok || len(grant.Scope.Sites["site"].Sites) != 300 {
			t.Errorf("saved: status %d to %q, %d sites:\n%s", saved.status, made, len(grant.Scope.Sites["site"].Sites), saved.text("#impact"))
		}
		for why, test := range map[string]struct {
			who, path string
			form      url.Values
			status    int
		}{
			"a page that isn't there": {ada, "/drafts?for=/nothing", form, 400},
			"another host":            {ada, "/drafts?for=//evil.example/", form, 400},
			"no page":                 {ada, "/drafts", form, 400},
			"more than is kept":       {ada, "/drafts?for=/mappings/new", url.Values{"reason": {strings.Repeat("x", 70_000)}}, 400},
			"who may change nothing":  {chloe, "/drafts?for=/mappings/new", form, 403},
		} {
			if got := g.post(test.who, test.path, test.form); got.status != test.status {
				t.Errorf("%s: status %d to %.60q, want %d", why, got.status, got.header.Get("Location"), test.status)
			}
		}
	})
}

// TestFormsOutliveTheirSession sends a form with a session that has lapsed, signs in
// again, and finds what was typed in the form; nothing has been sent.
func TestFormsOutliveTheirSession(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		lapse := func(who string) {
			t.Helper()
			delete(g.cookies, who)
			var secret string
			g.write(func(tx *store.Tx) (err error) {
				_, secret, err = tx.CreateSession(t.Context(), store.Session{UserID: g.users[who], Method: store.MethodOIDC, ExpiresAt: store.At(now.Add(-time.Minute))})
				return err
			})
			g.cookies[who] = []*http.Cookie{{Name: sessionCookie, Value: secret}}
		}
		const page = "/views?path=%2Fpeople%3Fq%3Da"
		typed := url.Values{"path": {"/people?q=a"}, "name": {`A" onfocus="x`}, "shared": {"1"}}
		send := func(who string) (to, cookie string) {
			t.Helper()
			lapse(who)
			got := g.post(who, "/views", typed, func(r *http.Request) { r.Header.Set("Referer", g.server.URL+page) })
			for _, c := range got.header.Values("Set-Cookie") {
				if strings.HasPrefix(c, keptCookie+"=") {
					cookie, _, _ = strings.Cut(c, ";")
				}
			}
			in, err := url.Parse(got.header.Get("Location"))
			if err != nil || in.Path != "/login" {
				t.Fatalf("sent with a session that has lapsed: status %d to %q", got.status, got.header.Get("Location"))
			}
			delete(g.cookies, who) // she signs in
			return in.Query().Get("to"), cookie
		}
		with := func(cookie string) func(*http.Request) {
			return func(r *http.Request) { r.Header.Add("Cookie", cookie) }
		}

		to, cookie := send(ada)
		if back := g.get(ada, to, with(cookie)); back.header.Get("Location") != page {
			t.Fatalf("%s leads to %q, want %q", to, back.header.Get("Location"), page)
		}
		got := g.get(ada, page, with(cookie))
		if name := got.Find("form[action='/views'] input[name=name]").AttrOr("value", ""); name != typed.Get("name") || got.Find("input[name=shared][checked]").Length() != 1 {
			t.Errorf("the form has %q, want what was typed:\n%s", name, got.text("main"))
		}
		if !strings.Contains(got.text(".flash"), "nothing was sent") || got.Find("[onfocus]").Length() != 0 {
			t.Errorf("the page says %q", got.text(".flash"))
		}
		if plain := g.get(ada, page); plain.Find("title").Text() != got.Find("title").Text() || plain.Find("body *").Length()+1 != got.Find("body *").Length() {
			t.Error("the page is otherwise not as it was")
		}
		if c := got.header.Get("Set-Cookie"); !strings.HasPrefix(c, keptCookie+"=;") {
			t.Errorf("got cookie %q, want it gone", c)
		}
		if got := g.get(ada, "/views").texts("h2"); len(got) != 0 {
			t.Errorf("sent by itself: %q", got)
		}

		// It is that person's in that browser.
		to, cookie = send(ada)
		for why, who := range map[string]string{"another person": sam, "another browser": ada} {
			c := cookie
			if who == ada {
				c, _, _ = strings.Cut(cookie, ".")
				c += ".XXXXXXXXXXXXXXXXXXXXXXXXXX"
			}
			if back := g.get(who, to, with(c)); back.header.Get("Location") != page {
				t.Errorf("%s: %s leads to %q, want where it was", why, to, back.header.Get("Location"))
			}
			if got := g.get(who, page, with(c)); got.Find("form[action='/views'] input[name=name]").AttrOr("value", "") != "" || got.Find(".flash").Length() != 0 {
				t.Errorf("%s: sees what Ada typed", why)
			}
		}

		// Of nobody's session nothing is kept.
		anybody := g.post(nobody, "/views", typed, func(r *http.Request) { r.Header.Set("Referer", g.server.URL+page) })
		if anybody.header.Get("Set-Cookie") != "" || anybody.header.Get("Location") != "/login?to="+url.QueryEscape(page) {
			t.Errorf("sent by nobody: cookie %q, to %q", anybody.header.Get("Set-Cookie"), anybody.header.Get("Location"))
		}
	})
}

func TestTimeZones(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	chosen := g.post(sam, "/preferences", url.Values{"zone": {"Asia/Tokyo"}, "to": {"/audit"}})
	cookie, _, _ := strings.Cut(chosen.header.Get("Set-Cookie"), ";")
	got := g.get(sam, "/audit", func(r *http.Request) { r.Header.Add("Cookie", cookie) })
	if at := got.Find("tbody time").First(); at.Text() != "22 Nov 2026, 18:30" || at.AttrOr("datetime", "") != "2026-11-22T09:30:00Z" {
		t.Errorf("in Tokyo 9:30 UTC is %q, %q", at.Text(), at.AttrOr("datetime", ""))
	}
	if zone := got.text("#zone option[selected]"); zone != "Asia/Tokyo" || got.Find("#zone option").Length() > maxOptions {
		t.Errorf("the choice says %q of %d", zone, got.Find("#zone option").Length())
	}
	for _, zone := range []string{"Local", "../../etc/passwd", "Mars/Base", ""} {
		if got := g.post(sam, "/preferences", url.Values{"zone": {zone}}); got.status != 400 {
			t.Errorf("zone %q: status %d, want 400", zone, got.status)
		}
	}
	for _, zone := range someZones {
		if _, err := time.LoadLocation(zone); err != nil {
			t.Error(err)
		}
	}
	utc := New(nil, Options{Zone: time.FixedZone("Here", 3600)})
	if !slices.Contains(utc.zones(), "Here") {
		t.Error("the organisation's own zone can't be chosen")
	}
}

func TestTheConsoleSpeaksDutch(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	dutch := func(r *http.Request) { r.Header.Set("Accept-Language", "nl") }
	for path, want := range map[string]string{
		"/people":                                 "Toegangsbeheerder @ overal",
		"/people/" + string(g.users[bob]):         "Locatiebeheerder",
		"/mappings/new?fine=1":                    "Wie wat mag",
		"/mappings?of=all":                        "Eigenaar @ overal",
		"/people?role=console/auditor&q=chloé":    "Console: Auditor",
		"/explain?person=" + bob + "&site=uithof": "Personen en groepen: bekijken",
	} {
		if got := g.get(sam, path, dutch); got.status != 200 || !strings.Contains(got.text("main"), want) {
			t.Errorf("%s: status %d, want %q in it:\n%s", path, got.status, want, got.text("main"))
		}
		if got := g.get(sam, path); strings.Contains(got.text("main"), "beheerder") || strings.Contains(got.text("main"), "bekijken") {
			t.Errorf("%s: Dutch for somebody who reads English", path)
		}
	}
	// What package access calls them is what the English texts say.
	en, nl := allWords()["en"], allWords()["nl"]
	same := func(key, name string) {
		if en.t(key) != name || nl.t(key) == "" {
			t.Errorf("%s: %q in English, %q in Dutch, want %q in English", key, en.t(key), nl.t(key), name)
		}
	}
	console := access.Console()
	for _, p := range console.Permissions {
		same("console.permission."+string(p.ID), p.Name)
	}
	for _, r := range console.Roles {
		same("console.role."+string(r.ID), r.Name)
	}
	if got := nl.level("maintain") + nl.level("x"); got != "onderhoudenx" {
		t.Errorf("levels: %q", got)
	}
}
