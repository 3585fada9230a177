package ui

import (
	"encoding/csv"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// listed are the user names on a list of people.
func listed(a answer) []string { return a.texts("#people tbody th .quiet") }

func TestPeopleCanBeFound(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		group, site, okta := string(g.groups["Utrecht technicians"]), string(g.sites["uithof"]), string(g.refs["Okta"].ID)
		planning := []string{"alice.jansen@waterland.example", eva}
		for _, test := range []struct {
			why   string
			query url.Values
			count string
			has   []string // "" for none
			not   string
		}{
			{"all", nil, "56 people", []string{"ada.byron@waterland.example", "ada.byron@dijkwerk.example"}, ""},
			{"by name, in any case and order", url.Values{"q": {"BYRON ada"}}, "2 people", []string{ada, "ada.byron@dijkwerk.example"}, ""},
			{"by what sounds the same to nobody", url.Values{"q": {"chloé"}}, "1 person", []string{chloe}, ""},
			{"by a source", url.Values{"q": {"ada byron"}, "connection": {okta}}, "1 person", []string{"ada.byron@dijkwerk.example"}, ""},
			{"by a group", url.Values{"group": {group}}, "3 people", []string{bob, "daan.bakker@waterland.example", "frank.visser@waterland.example"}, ""},
			{"by a group's name", url.Values{"group": {"utrecht TECHNICIANS"}}, "3 people", []string{bob}, ""},
			{"by a site: who may do something there", url.Values{"site": {site}, "role": {"clicktime/supervisor"}}, "15 people", append(planning, bob), "noor.mulder@waterland.example"},
			{"by a site of nobody", url.Values{"site": {string(g.sites["zeeland"])}, "role": {"console/site-administrator"}}, "0 people", nil, bob},
			{"by a role", url.Values{"role": {"clicktime/client"}}, "8 people", []string{"ada.byron@dijkwerk.example"}, ada},
			{"who has left", url.Values{"state": {"inactive"}}, "1 person", []string{"frank.visser@waterland.example"}, ""},
			{"nobody", url.Values{"q": {"zzz"}}, "0 people", nil, ""},
			{"by a group that isn't there", url.Values{"group": {"x"}}, "0 people", nil, ""},
			{"by a role that isn't there", url.Values{"role": {"x/y"}}, "0 people", nil, ""},
			{"by a site that isn't there", url.Values{"site": {"x"}}, "0 people", nil, ""},
			{"by a source that isn't there", url.Values{"connection": {"x"}}, "0 people", nil, ""},
		} {
			got := g.get(chloe, "/people?"+test.query.Encode())
			all := listed(got)
			if got.status != 200 || got.text("#people-count") != test.count {
				t.Errorf("%s: status %d, %q, want %q: %v", test.why, got.status, got.text("#people-count"), test.count, all)
			}
			for _, want := range test.has {
				if !slices.Contains(all, want) {
					t.Errorf("%s: got %v, want %s among them", test.why, all, want)
				}
			}
			if test.not != "" && slices.Contains(all, test.not) {
				t.Errorf("%s: got %v, want no %s", test.why, all, test.not)
			}
			if len(all) == 0 && got.Find(".empty a[href='/people']").Length() != 1 {
				t.Errorf("%s: an empty list without a way out", test.why)
			}
			if q := test.query.Get("q"); got.Find("#f-q").AttrOr("value", "") != q {
				t.Errorf("%s: what was typed is gone", test.why)
			}
		}
		got := g.get(chloe, "/people?group=x")
		if got.Find("#f-group[aria-invalid][aria-describedby=e-group]").Length() != 1 || got.text("#e-group") != "There is no group “x”." {
			t.Errorf("a group that isn't there: %q, want to be told beside the field", got.text(".filters"))
		}
	})
}

func TestPagesOfPeople(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		first := g.get(ada, "/people?connection=&state=")
		next, ok := first.Find("a[rel=next]").Attr("href")
		if !ok || len(listed(first)) != peoplePerPage {
			t.Fatalf("%d people on the first page, next %q", len(listed(first)), next)
		}
		second := g.get(ada, next)
		all := append(listed(first), listed(second)...)
		if len(all) != 56 || len(slices.Compact(slices.Sorted(slices.Values(all)))) != 56 {
			t.Errorf("%d people on two pages, want each of 56 once", len(all))
		}
		if start := second.Find(".pager a").First().AttrOr("href", ""); start != "/people" {
			t.Errorf("back to %q", start)
		}
	})
}

func TestChipsSayWhatPeopleHave(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	denied := g.toUser(eva, "clicktime", "supervisor", g.at("uithof"))
	denied.Effect = access.Deny
	g.grant(denied)
	for who, want := range map[string][]string{
		sam: {"Console: Owner @ everywhere"},
		bob: {"ClickTime: Supervisor @ Uithof", "Console: Site administrator @ Utrecht"},
		eva: {"ClickTime: Supervisor @ Utrecht +1", "not ClickTime: Supervisor @ Uithof"},
	} {
		if got := g.get(chloe, "/people?q="+who).texts("#people .chip"); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", who, got, want)
		}
	}
}

// TestSiteAdministratorsSeeTheirOwnPeople holds that no filter shows a site's
// administrator anybody without access there, on any of the pages.
func TestSiteAdministratorsSeeTheirOwnPeople(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		got := g.get(bob, "/people")
		if count := got.text("#people-count"); count != "18 people · 38 people elsewhere" {
			t.Errorf("got %q", count)
		}
		theirs := listed(got)
		for _, want := range []string{bob, eva, sam, "frank.visser@waterland.example"} {
			if !slices.Contains(theirs, want) {
				t.Errorf("got %v, want %s among them", theirs, want)
			}
		}
		stranger := "postma@dijkwerk.example" // has access at Vlissingen alone
		for _, path := range []string{
			"/people?q=postma", "/people?q=ruben.postma@dijkwerk.example", "/people?group=Dijkwerk+staff", "/people?group=" + string(g.groups["Welders"]),
			"/people?connection=" + string(g.refs["Okta"].ID), "/people?site=" + string(g.sites["vlissingen"]) + "&role=clicktime/client",
			"/people?role=clicktime/client", "/people?state=live&connection=" + string(g.refs["Okta"].ID), "/search?q=postma", "/people.csv", "/people.csv?q=postma",
		} {
			// What was typed is shown again in the field and on paper, so that it doesn't count.
			shows := func(a answer) bool {
				a.Find("input, .paper").Remove()
				page, _ := a.Html()
				return strings.Contains(page, stranger)
			}
			if got := g.get(bob, path); got.status >= 400 || shows(got) {
				t.Errorf("%s: status %d, shows %s", path, got.status, stranger)
			}
			if !shows(g.get(sam, path)) {
				t.Errorf("%s: an owner doesn't see her either: the test is no test", path)
			}
		}
		if options := got.texts("#f-site option"); !slices.Equal(options, []string{"Any site", "Nieuwegein", "Uithof", "Utrecht"}) {
			t.Errorf("sites to choose from: %q", options)
		}
		if options := got.texts("#f-group option"); slices.Contains(options, "Dijkwerk staff") || !slices.Contains(options, "Planning") {
			t.Errorf("groups to choose from: %q", options)
		}
	})
}

func TestPeopleAsAFile(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		ctx := t.Context()
		g.write(func(tx *store.Tx) error {
			_, err := tx.CreateUser(ctx, g.refs["Okta"], user("formula@dijkwerk.example", "=HYPERLINK(\"https://evil.example\",\"x, y\")\nnext", true))
			return err
		})
		got := g.get(sam, "/people.csv?connection="+string(g.refs["Okta"].ID))
		if got.header.Get("Content-Type") != "text/csv; charset=utf-8" || !strings.Contains(got.header.Get("Content-Disposition"), `filename="people.csv"`) {
			t.Errorf("got %s, %s", got.header.Get("Content-Type"), got.header.Get("Content-Disposition"))
		}
		text, marked := strings.CutPrefix(got.body, "\ufeff")
		if !marked || !strings.Contains(text, "\r\n") {
			t.Errorf("no byte order mark or no CRLF: %.60q", got.body)
		}
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil || len(rows) != 10 {
			t.Fatalf("%d rows (%v), want a head and 9 people", len(rows), err)
		}
		if rows[0][0] != "Name" || !strings.HasPrefix(rows[1][0], "'=HYPERLINK") {
			t.Errorf("got %q, want a head and then a formula made harmless", rows[:2])
		}
		if want := []string{"Ada Byron", "ada.byron@dijkwerk.example", "Okta", "active", "employee", "ClickTime: Client @ Vlissingen"}; !slices.Equal(rows[2][:6], want) {
			t.Errorf("got %q, want %q", rows[2], want)
		}
	})
}

// TestPeopleAsTheyWere lists who there was before somebody left, somebody came, a group
// and a site were called otherwise and a mapping ended: by all filters, and as a file.
func TestPeopleAsTheyWere(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		ctx := t.Context()
		g.later(48 * time.Hour)
		g.write(func(tx *store.Tx) error {
			if err := tx.DeleteUser(ctx, g.refs["Entra ID"], g.users[eva]); err != nil {
				return err
			}
			if _, err := tx.CreateUser(ctx, g.refs["Okta"], user("new@dijkwerk.example", "Nina New", true)); err != nil {
				return err
			}
			_, _, err := tx.UpdateGroup(ctx, g.refs["Entra ID"], g.groups["Planning"], func(group store.Group) (store.Group, store.MemberDelta, error) {
				group.DisplayName = "Scheduling"
				return group, store.MemberDelta{}, nil
			})
			if err != nil {
				return err
			}
			if _, err := tx.ChangeSite(ctx, g.sites["uithof"], func(s access.Site) access.Site { s.Name = "Science Park"; return s }); err != nil {
				return err
			}
			_, err = tx.ChangePerson(ctx, g.users[bob], func(p store.Person) store.Person { p.LoginAllowed = false; return p })
			return err
		})
		g.write(func(tx *store.Tx) error { return tx.EndGrants(ctx, g.granted("Dijkwerk staff")[0].ID) })
		g.later(48 * time.Hour)

		const then = "2026-11-23"
		planning := string(g.groups["Planning"])
		for _, test := range []struct {
			why   string
			query url.Values
			count string
			has   string
		}{
			{"all", nil, "56 people", eva},
			{"by name", url.Values{"q": {"SMIT eva"}}, "1 person", eva},
			{"who came later", url.Values{"q": {"nina"}}, "0 people", ""},
			{"by the group's name of then", url.Values{"group": {"planning"}}, "12 people", eva},
			{"by the group", url.Values{"group": {planning}}, "12 people", eva},
			{"by its name of today", url.Values{"group": {"scheduling"}}, "0 people", ""},
			{"by the site's name of then, and a role", url.Values{"site": {"uithof"}, "role": {"clicktime/supervisor"}}, "15 people", bob},
			{"by a role that nobody has today", url.Values{"role": {"clicktime/client"}}, "8 people", "ada.byron@dijkwerk.example"},
			{"by a source", url.Values{"connection": {string(g.refs["Okta"].ID)}}, "8 people", "ada.byron@dijkwerk.example"},
			{"who was live", url.Values{"state": {"live"}, "q": {"bob"}}, "1 person", bob},
			{"who was blocked", url.Values{"state": {"blocked"}}, "0 people", ""},
		} {
			query := url.Values{"at": {then}}
			maps.Copy(query, test.query)
			got := g.get(chloe, "/people?"+query.Encode())
			if got.status != 200 || got.text("#people-count") != test.count || test.has != "" && !slices.Contains(listed(got), test.has) {
				t.Errorf("%s: status %d, %q, %v; want %s with %s", test.why, got.status, got.text("#people-count"), listed(got), test.count, test.has)
			}
			if !strings.Contains(got.text(".flash"), "how it was on 23 Nov 2026") || got.Find("#f-at").AttrOr("value", "") != then {
				t.Errorf("%s: it doesn't say of which day it is: %q", test.why, got.text("main"))
			}
		}
		one := g.get(chloe, "/people?q=eva.smit&at="+then)
		if chips := one.texts("#people .chip"); !slices.Equal(chips, []string{"ClickTime: Supervisor @ Utrecht +1"}) {
			t.Errorf("what Eva had: %q", chips)
		}
		if got := g.get(chloe, one.Find("#people tbody a").AttrOr("href", "")); got.status != 200 || !strings.Contains(got.text(".flash"), "23 Nov 2026") {
			t.Errorf("her page of then: status %d, %q", got.status, got.text("main"))
		}
		if now := g.get(chloe, one.Find(".flash a").AttrOr("href", "")); now.text("#people-count") != "0 people" {
			t.Errorf("the way back to today: %q", now.text("main"))
		}
		for _, path := range []string{"/people?at=2026-11-26", "/people?q=zzz&at=2026-11-26", "/people/" + string(g.users[bob]) + "?at=2026-11-26", "/groups/" + string(g.groups["Planning"]) + "?at=2026-11-26"} {
			if today := g.get(chloe, path); today.status != 200 || today.Find("#f-at").AttrOr("value", "") != "2026-11-26" || strings.Contains(today.text("main"), "how it was") {
				t.Errorf("%s, today: status %d with %q in the field: %s", path, today.status, today.Find("#f-at").AttrOr("value", ""), today.text("main"))
			}
		}
		if got := g.get(chloe, "/people"); got.Find("#f-at").AttrOr("value", "x") != "" {
			t.Errorf("no day was asked for, and the field has %q", got.Find("#f-at").AttrOr("value", "x"))
		}
		first := g.get(chloe, "/people?at="+then)
		second := g.get(chloe, first.Find("a[rel=next]").AttrOr("href", ""))
		if all := append(listed(first), listed(second)...); len(slices.Compact(slices.Sorted(slices.Values(all)))) != 56 || len(listed(first)) != peoplePerPage {
			t.Errorf("%d and %d people on two pages, want each of 56 once", len(listed(first)), len(listed(second)))
		}
		file := g.get(chloe, "/people.csv?site=Uithof&role=clicktime%2Fsupervisor&at="+then)
		rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(file.body, "\ufeff"))).ReadAll()
		if err != nil || len(rows) != 16 || !strings.Contains(file.header.Get("Content-Disposition"), "people-2026-11-23.csv") || !strings.Contains(file.body, "ClickTime: Supervisor @ Uithof") {
			t.Errorf("%d rows (%v) in %s, want a head and 15 people: %.300s", len(rows), err, file.header.Get("Content-Disposition"), file.body)
		}

		// A site administrator sees whom she would have seen then.
		scoped := g.get(ben(g), "/people?at="+then)
		if slices.Contains(listed(scoped), "ada.byron@dijkwerk.example") || !slices.Contains(listed(scoped), eva) || !strings.Contains(scoped.text("#people-count"), "people elsewhere") {
			t.Errorf("the administrator of Utrecht: %q, %v", scoped.text("#people-count"), listed(scoped))
		}

		for _, test := range []struct {
			why, day string
			status   int
			says     string
		}{
			{"before anybody was here", "2026-03-01", 200, "Nobody was here yet on 1 Mar 2026. What is known begins on 22 Nov 2026."},
			{"before there was time", "0001-01-01", 200, "Nobody was here yet"},
			{"today", "2026-11-26", 200, "56 people"},
			{"tomorrow", "2026-11-27", 400, "still to come"},
			{"a far day", "9999-12-31", 400, "still to come"},
			{"no day", "2026-02-30", 400, "date"},
			{"garbage", "yesterday", 400, "date"},
		} {
			if got := g.get(chloe, "/people?at="+test.day); got.status != test.status || !strings.Contains(got.text("main"), test.says) {
				t.Errorf("%s: status %d, %q; want %d, %q", test.why, got.status, got.text("main"), test.status, test.says)
			}
			if got := g.get(chloe, "/people.csv?at="+test.day); got.status != test.status {
				t.Errorf("%s, as a file: status %d, want %d", test.why, got.status, test.status)
			}
		}
	})
}

// ben administers the site of Utrecht since Bob may not.
func ben(g *rig) string {
	atUtrecht := g.at("utrecht")
	atUtrecht.Sites["team"] = access.Selection{All: true}
	const who = "daan.bakker@waterland.example"
	g.grant(g.toUser(who, access.ConsoleID, access.RoleSiteAdministrator, atUtrecht))
	return who
}

// TestNamesAreText holds that what a provider calls people never becomes markup.
func TestNamesAreText(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, name := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `{{.}}`, `javascript:alert(1)`, `'; --`, "\u202egnp.exe"} {
		g.write(func(tx *store.Tx) error {
			_, err := tx.CreateUser(t.Context(), g.refs["Okta"], user("x"+name, name, true))
			return err
		})
		typed := url.QueryEscape("x " + name) // some have no word in them that could be found
		for _, path := range []string{"/people?q=" + typed, "/search?q=" + typed} {
			got := g.get(sam, path)
			if !strings.Contains(got.Find("#people-list, #found").Text(), store.Straight(name)) {
				t.Errorf("%q is not shown as it is: %s", name, got.text("main"))
			}
			if got.Find("main script, main img, [onerror]").Length() > 0 {
				t.Errorf("%q became markup on %s", name, path)
			}
		}
	}
}

func TestScopesThatMeet(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	policy, _, err := g.Policy(t.Context(), g.actor.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	v := &visit{server: g.console, words: g.console.words["en"], now: now, policy: policy}
	part := func(keys ...string) access.Part {
		var p access.Part
		for _, key := range keys {
			p.Sites = append(p.Sites, g.sites[key])
		}
		return p
	}
	utrecht := access.Area{"site": part("utrecht"), "team": {All: true}}
	for _, test := range []struct {
		why   string
		scope access.Scope
		area  access.Area
		want  bool
	}{
		{"the site itself", g.at("utrecht"), utrecht, true},
		{"a site below it", g.at("uithof"), utrecht, true},
		{"the site above it", g.at("utrecht"), access.Area{"site": part("uithof"), "team": {All: true}}, true},
		{"a site beside it", g.at("vlissingen"), utrecht, false},
		{"one of two", g.at("vlissingen", "nieuwegein"), utrecht, true},
		{"everywhere", access.Scope{Everywhere: true}, utrecht, true},
		{"the whole dimension", access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {All: true}}}, utrecht, true},
		{"what an area leaves out", g.at("uithof"), access.Area{"site": {All: true, Except: part("utrecht").Sites}, "team": {All: true}}, false},
		{"what limits the area is nothing to the product", g.at("uithof"), access.Area{"site": {All: true}, "team": part("uithof")}, false},
		{"nowhere", access.Scope{}, utrecht, false},
	} {
		grant := g.toGroup("Planning", "supervisor", test.scope)
		if got := v.granted(policy, now, nil).inside(&grant, []access.Area{test.area}); got != test.want {
			t.Errorf("%s: got %v, want %v", test.why, got, test.want)
		}
	}
}
