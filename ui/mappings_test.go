package ui

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"

	"github.com/PuerkitoBio/goquery"
)

// compose is the address of the editor's form as a browser sends it.
func (g *rig) compose(path string, fields ...string) string {
	values := url.Values{"v": {"1"}}
	for i := 0; i < len(fields); i += 2 {
		values.Add(fields[i], fields[i+1])
	}
	return path + "?" + values.Encode()
}

// press saves what a page's panel shows, as its form does.
func (g *rig) press(as string, page answer, edit ...string) answer {
	g.t.Helper()
	form := page.Find("#impact form")
	action, ok := form.Attr("action")
	if !ok {
		g.t.Fatalf("nothing to save: %s", page.text("#impact"))
	}
	values := url.Values{}
	form.Find("input").Each(func(_ int, input *goquery.Selection) {
		values.Set(input.AttrOr("name", ""), input.AttrOr("value", ""))
	})
	for i := 0; i < len(edit); i += 2 {
		values.Set(edit[i], edit[i+1])
	}
	return g.post(as, action, values)
}

// granted are the grants of the tenant to a group.
func (g *rig) granted(group string) []access.Grant {
	g.t.Helper()
	p, _, err := g.Policy(g.t.Context(), g.actor.Tenant)
	if err != nil {
		g.t.Fatal(err)
	}
	return slices.DeleteFunc(p.Grants(), func(one access.Grant) bool { return one.Subject.Group != access.GroupID(g.groups[group]) })
}

func (g *rig) join(group, userName string) {
	g.t.Helper()
	g.write(func(tx *store.Tx) error {
		_, _, err := tx.UpdateGroup(g.t.Context(), g.refs["Entra ID"], g.groups[group], func(o store.Group) (store.Group, store.MemberDelta, error) {
			return o, store.MemberDelta{Add: []store.MemberID{store.MemberID(g.users[userName])}}, nil
		})
		return err
	})
}

const supervisor = "role/clicktime/supervisor"

// A group is mapped to a role at two sites: four choices, one of them the group's
// own link, and a save; then it is undone.
func TestMapAGroupAndUndoIt(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		start := g.get(sam, "/mappings/new?group="+string(g.groups["Finance"]))
		if start.status != 200 || start.text("#editor .big") != "Members of Finance" || start.Find("#impact form").Length() > 0 {
			t.Fatalf("%d: %s", start.status, start.text("main"))
		}
		names := start.Find("#editor input[name='s.site']")
		if names.Length() != 5 || start.Find(`#editor input[name="what"][value="`+supervisor+`"]`).Length() != 1 {
			t.Fatalf("%d sites: %s", names.Length(), start.text("#editor"))
		}
		address := g.compose("/mappings/new", "group", string(g.groups["Finance"]), "what", supervisor,
			"s.site", string(g.sites["uithof"]), "s.site", string(g.sites["vlissingen"]), "until", "2026-12-31", "reason", "year's end")
		page := g.get(sam, address)
		list, err := g.People(t.Context(), g.actor.Tenant, store.PeopleFilter{Among: []access.Audience{{Groups: []access.GroupID{access.GroupID(g.groups["Finance"])}}}})
		if err != nil {
			t.Fatal(err)
		}
		members, _, err := list.Page(t.Context(), store.PeopleKey{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		if rows := page.Find("#impact-people tbody tr").Length(); rows != len(members) || rows == 0 {
			t.Errorf("%d people are named, want %d", rows, len(members))
		}
		if text := page.text("#impact-people"); !strings.Contains(text, "Chloé Martin") || !strings.Contains(text, "ClickTime: Time sheets, none → maintain Uithof, Vlissingen") {
			t.Errorf("the panel says: %s", text)
		}
		saved := g.press(sam, page)
		made := g.granted("Finance")
		if saved.status != 303 || len(made) != 1 || saved.header.Get("Location") != "/mappings/"+string(made[0].ID) {
			t.Fatalf("%d to %s: %+v\n%s", saved.status, saved.header.Get("Location"), made, saved.text("main"))
		}
		if until := made[0].Until.In(g.console.zone); until.Format("2006-01-02 15:04") != "2027-01-01 00:00" || made[0].Reason != "year's end" || made[0].Origin != access.OriginMapping {
			t.Errorf("made %+v", made[0])
		}
		one := g.get(sam, saved.header.Get("Location"))
		if one.status != 200 || !strings.Contains(one.text("main"), "Members of Finance get ClickTime: Supervisor @ Uithof, Vlissingen, until 31 Dec 2026") ||
			!strings.Contains(one.text("#mapping-people"), "Chloé Martin") || one.Find("#mapping-history li").Length() != 1 {
			t.Errorf("%d: %s", one.status, one.text("main"))
		}

		told := g.get(sam, "/mappings", func(r *http.Request) { r.Header.Add("Cookie", strings.Split(saved.header.Get("Set-Cookie"), ";")[0]) })
		link, ok := told.Find(".flash a").Attr("href")
		if !ok {
			t.Fatalf("there is no undo: %s", told.text("main"))
		}
		undo := g.get(sam, link)
		if !strings.Contains(undo.text("main"), "End: Members of Finance get") || !strings.Contains(undo.text("#impact"), "lose access") {
			t.Fatalf("%d: %s", undo.status, undo.text("main"))
		}
		typed := undo.Find("#impact input[name=typed]").Length() == 1
		if typed != (len(members) > 5) {
			t.Errorf("%d people lose it, and a number is asked for: %v", len(members), typed)
		}
		if typed {
			if got := g.press(sam, undo, "typed", "1"); got.status != 409 || !strings.Contains(got.text("#impact .error"), "type the number") {
				t.Errorf("a wrong number: %d: %s", got.status, got.text("#impact"))
			}
		}
		if got := g.press(sam, undo, "typed", fmt.Sprint(len(members))); got.status != 303 || len(g.granted("Finance")) != 0 {
			t.Errorf("%d: %s", got.status, got.text("main"))
		}
	})
}

// Twice the same form makes one mapping; an edited one, a foreign id and another
// site's post make none.
func TestForgedAndDoubledForms(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		at := func(site string) string {
			return g.compose("/mappings/new", "group", string(g.groups["Sales"]), "what", supervisor, "s.site", string(g.sites[site]))
		}
		page := g.get(sam, at("uithof"))
		elsewhere, _ := g.get(sam, at("zeeland")).Find("#impact form").Attr("action")
		digest := page.Find("#impact input[name=digest]").AttrOr("value", "")
		key := page.Find("#impact input[name=key]").AttrOr("value", "")
		for _, test := range []struct {
			why, path string
			form      url.Values
			want      int
		}{
			{"another proposal with this digest", elsewhere, url.Values{"digest": {digest}, "key": {key}}, 409},
			{"no digest", at("uithof"), url.Values{"key": {key}}, 409},
			{"another digest", at("uithof"), url.Values{"digest": {strings.Repeat("0", 32)}, "key": {key}}, 409},
			{"no key", at("uithof"), url.Values{"digest": {digest}}, 400},
			{"a key that is none", at("uithof"), url.Values{"digest": {digest}, "key": {"x"}}, 400},
			{"no site", g.compose("/mappings/new", "group", string(g.groups["Sales"]), "what", supervisor), url.Values{"digest": {digest}, "key": {key}}, 400},
			{"an unknown role", g.compose("/mappings/new", "group", string(g.groups["Sales"]), "what", "role/clicktime/god", "s.site", string(g.sites["uithof"])), url.Values{"digest": {digest}, "key": {key}}, 409},
			{"an unknown product", g.compose("/mappings/new", "group", string(g.groups["Sales"]), "what", "role/x/y", "s.site", string(g.sites["uithof"])), url.Values{"digest": {digest}, "key": {key}}, 400},
			{"an unknown site", g.compose("/mappings/new", "group", string(g.groups["Sales"]), "what", supervisor, "s.site", "x"), url.Values{"digest": {digest}, "key": {key}}, 409},
			{"an unknown group", g.compose("/mappings/new", "group", store.NewProposalKey(), "what", supervisor, "s.site", string(g.sites["uithof"])), url.Values{"digest": {digest}, "key": {key}}, 404},
			{"no group's id", g.compose("/mappings/new", "group", "'; --", "what", supervisor, "s.site", string(g.sites["uithof"])), url.Values{"digest": {digest}, "key": {key}}, 404},
			{"no grant", "/mappings/" + store.NewProposalKey() + "/end", url.Values{"digest": {digest}, "key": {key}}, 404},
			{"no change", "/changes/x/revert", url.Values{"digest": {digest}, "key": {key}}, 404},
		} {
			if got := g.post(sam, test.path, test.form); got.status != test.want {
				t.Errorf("%s: status %d, want %d: %s", test.why, got.status, test.want, got.text("main"))
			}
			if made := g.granted("Sales"); len(made) != 0 {
				t.Fatalf("%s: made %+v", test.why, made)
			}
		}
		first, second := g.press(sam, page), g.press(sam, page)
		if made := g.granted("Sales"); first.status != 303 || second.status != 303 || len(made) != 1 ||
			first.header.Get("Location") != second.header.Get("Location") {
			t.Errorf("%d and %d: %+v", first.status, second.status, made)
		}
	})
}

// Somebody joins between looking and saving: the panel comes again, with what was
// typed, and says how many more there are.
func TestStalePanelComesAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		page := g.get(ada, g.compose("/mappings/new", "group", string(g.groups["Sales"]), "what", supervisor, "s.site", string(g.sites["uithof"]), "reason", "asked for"))
		g.join("Sales", eva)
		got := g.press(ada, page)
		if got.status != 409 || !strings.Contains(got.text("#impact .error"), "1 more person since you looked") || !strings.Contains(got.text("#impact-people"), "Eva Smit") {
			t.Fatalf("%d: %s", got.status, got.text("#impact"))
		}
		if got.Find("#f-reason").AttrOr("value", "") != "asked for" || got.Find(`#editor input[name="s.site"][checked]`).AttrOr("value", "") != string(g.sites["uithof"]) {
			t.Error("what was typed is lost")
		}
		if len(g.granted("Sales")) != 0 {
			t.Error("it was saved all the same")
		}
		if again := g.press(ada, got); again.status != 303 || len(g.granted("Sales")) != 1 {
			t.Errorf("%d: %s", again.status, again.text("main"))
		}
	})
}

// A site administrator maps at the own sites; elsewhere the panel has numbers, no
// names and no button, and a post is refused.
func TestSiteAdministratorsPanel(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		at := func(site string) string {
			return g.compose("/mappings/new", "group", string(g.groups["Planning"]), "what", "role/clicktime/client", "s.site", string(g.sites[site]))
		}
		if got := g.get(bob, at("nieuwegein")); got.Find("#impact form").Length() != 1 || got.Find("#impact-people tr").Length() < 2 {
			t.Errorf("inside: %d %s", got.status, got.text("#impact"))
		}
		out := g.get(bob, at("vlissingen"))
		if out.Find("#impact form").Length() != 0 || out.Find("#impact-people").Length() != 0 || !strings.Contains(out.text("#impact"), "outside") {
			t.Errorf("outside: %s", out.text("#impact"))
		}
		if csv := g.get(bob, at("vlissingen")+"&csv=1"); csv.status != 403 {
			t.Errorf("a file of names outside: status %d", csv.status)
		}
		look := g.get(sam, at("vlissingen"))
		digest := look.Find("#impact input[name=digest]").AttrOr("value", "")
		if got := g.post(bob, at("vlissingen"), url.Values{"digest": {digest}, "key": {store.NewProposalKey()}}); got.status != 409 {
			t.Errorf("a post from outside: status %d", got.status)
		}
		zeeland := g.granted("Dijkwerk staff")[0]
		for _, page := range []string{"", "/edit", "/end"} {
			if got := g.get(bob, "/mappings/"+string(zeeland.ID)+page); got.status != 404 {
				t.Errorf("%s of a mapping elsewhere: status %d", page, got.status)
			}
		}
		changes, err := g.ChangesAbout(t.Context(), g.actor.Tenant, string(zeeland.ID), 1)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.get(bob, "/changes/"+string(changes[0].ID)+"/revert"); got.Find("#impact form").Length() != 0 || strings.Contains(got.text("main"), "Dijkwerk") {
			t.Errorf("undoing what was done elsewhere: %s", got.text("main"))
		}
		list := g.get(bob, "/mappings")
		if text := list.text("#mappings-list"); strings.Contains(text, "Dijkwerk") || !strings.Contains(text, "Planning") {
			t.Errorf("the list: %s", text)
		}
		if got := g.get(chloe, "/mappings"); got.Find("main form[action='/mappings/bulk'], main a[href^='/mappings/new']").Length() != 0 {
			t.Error("an auditor is offered changes")
		}
	})
}

// A site administrator can't ask for the names of others by asking what a grant at
// the own sites would do for them, nor does a rule that elsewhere is broken name them.
func TestNoNamesByProposing(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		at := func(name, value, site string) string {
			return g.compose("/mappings/new", name, value, "what", "role/clicktime/client", "s.site", string(g.sites[site]))
		}
		for _, to := range [][2]string{{"group", string(g.groups["Dijkwerk staff"])}, {"user", string(g.users["noor.mulder@waterland.example"])}, {"everyone", "1"}} {
			for _, path := range []string{at(to[0], to[1], "uithof"), "/mappings/new?" + to[0] + "=" + to[1]} {
				if got := g.get(bob, path); got.status != 404 {
					t.Errorf("%s elsewhere: status %d: %s", to[0], got.status, got.text("main"))
				}
				if got := g.get(ada, path); got.status != 200 {
					t.Errorf("%s for who sees all: status %d", to[0], got.status)
				}
			}
		}
		for _, to := range [][2]string{{"group", string(g.groups["Planning"])}, {"user", string(g.users[eva])}} {
			if got := g.get(bob, at(to[0], to[1], "uithof")); got.status != 200 {
				t.Errorf("%s at the own sites: status %d", to[0], got.status)
			}
		}
		product, _, err := g.Policy(t.Context(), g.actor.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		clicktime, _ := product.Product("clicktime")
		clicktime.Rules.OneRole = true
		g.write(func(tx *store.Tx) error { return tx.SetProduct(t.Context(), clicktime) })
		path := at("group", string(g.groups["Planning"]), "vlissingen")
		if got := g.get(sam, path); !strings.Contains(got.text("#impact"), "Eva Smit would have more than one role") {
			t.Errorf("who sees all: %s", got.text("#impact"))
		}
		got := g.get(bob, path).text("#impact")
		if strings.Count(got, "Somebody would have more than one role") != 1 || strings.Contains(got, string(g.users[eva])) {
			t.Errorf("elsewhere: %s", got)
		}
	})
}

// Several mappings are changed at once, with one panel and one change of the log.
func TestBulk(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		list := g.get(sam, "/mappings")
		if rows := list.Find("#mappings tbody tr").Length(); rows != 3 {
			t.Fatalf("%d rows: %s", rows, list.text("main"))
		}
		planning, technicians := g.granted("Planning")[0], g.granted("Utrecht technicians")[0]
		page := g.get(sam, "/mappings/bulk?do=extend&until=2027-03-31&id="+string(planning.ID)+"&id="+string(technicians.ID))
		if !strings.Contains(page.text("main"), "until 31 Mar 2027") {
			t.Fatalf("%d: %s", page.status, page.text("main"))
		}
		if got := g.press(sam, page); got.status != 303 || g.granted("Planning")[0].Until.IsZero() || g.granted("Utrecht technicians")[0].Until.IsZero() {
			t.Errorf("%d: %s", got.status, got.text("main"))
		}
		role := g.get(sam, "/mappings/bulk?do=role&to=clicktime%2Fclient&id="+string(technicians.ID))
		if !strings.Contains(role.text("#impact"), "less") {
			t.Errorf("%d: %s", role.status, role.text("main"))
		}
		for path, want := range map[string]int{
			"/mappings/bulk": 400, "/mappings/bulk?id=x&do=end": 404, "/mappings/bulk?do=dance&id=" + string(planning.ID): 400,
			"/mappings/bulk?do=extend&until=soon&id=" + string(planning.ID):       400,
			"/mappings/bulk?do=extend&until=9999-12-31&id=" + string(planning.ID): 400, "/mappings/bulk?do=role&to=console%2Fowner&id=" + string(planning.ID): 400,
		} {
			if got := g.get(sam, path); got.status != want {
				t.Errorf("%s: status %d, want %d", path, got.status, want)
			}
		}
	})
}

// The list tells what is expired, covered by another, without people, asleep; what
// sleeps is linked anew in one step.
func TestMappingsByState(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		ctx := t.Context()
		expired := g.toGroup("Sales", "client", g.at("zeeland"))
		expired.Until = now.AddDate(0, 0, -1)
		g.grant(g.toGroup("Planning", "client", g.at("uithof")), expired)
		doc := []byte(`{"displayname":"night"}`)
		var night store.Group
		make := func() {
			g.write(func(tx *store.Tx) (err error) {
				night, _, err = tx.CreateGroup(ctx, g.refs["Entra ID"], store.Group{DisplayName: "Night", Doc: doc, Search: doc}, nil)
				return err
			})
			g.groups["Night"] = night.ID
		}
		make()
		asleep := g.grant(g.toGroup("Night", "client", g.at("uithof")))[0]
		if got := g.get(sam, "/mappings?state=unused"); !strings.Contains(got.text("#mappings tbody"), "Night") || got.Find("#mappings tbody tr").Length() != 1 {
			t.Errorf("unused: %s", got.text("#mappings-list"))
		}
		g.write(func(tx *store.Tx) error { return tx.DeleteGroup(ctx, g.refs["Entra ID"], night.ID) })
		make()
		for state, want := range map[string]string{"expired": "Sales", "redundant": "Planning", "sleeping": "Night"} {
			if got := g.get(sam, "/mappings?state="+state); got.Find("#mappings tbody tr").Length() != 1 || !strings.Contains(got.text("#mappings tbody"), want) {
				t.Errorf("%s: %s", state, got.text("#mappings-list"))
			}
		}
		// It can be changed in its sleep.
		change, _ := g.get(sam, "/mappings/"+string(asleep.ID)).Find("main a[href$='/edit']").Attr("href")
		if got := g.get(sam, change); got.status != 200 || got.text("#editor .big") != "Members of Night, a group that was deleted" {
			t.Errorf("changing what sleeps: status %d, %q", got.status, got.text("main"))
		}
		page := g.get(sam, g.compose(change, "what", "role/clicktime/client", "s.site", string(g.sites["zeeland"])))
		if got := g.press(sam, page); got.status != 303 {
			t.Errorf("changed in its sleep: status %d, %s", got.status, got.text("#impact"))
		}
		link, _ := g.get(sam, "/mappings?state=sleeping").Find("#mappings a[href*=relink]").Attr("href")
		if got := g.press(sam, g.get(sam, link)); got.status != 303 {
			t.Fatalf("%d: %s", got.status, got.text("main"))
		}
		if made := g.granted("Night"); len(made) != 1 || made[0].ID != asleep.ID || made[0].Scope.Sites["site"].Sites[0] != g.sites["zeeland"] {
			t.Errorf("linked: %+v", made)
		}
		if got := g.get(sam, link); got.status != 404 {
			t.Errorf("linking what is awake: status %d", got.status)
		}
	})
}

// TestDimensionsThatNarrowBeginWithAll holds that a form nobody has touched says ALL
// where products come by another dimension first, and no more once a site there is
// chosen: what counts is what the address says.
func TestDimensionsThatNarrowBeginWithAll(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		crew := store.NewSiteID()
		g.write(func(tx *store.Tx) error {
			if _, err := tx.AddSites(t.Context(), access.Site{ID: crew, Dimension: "team", Key: "crew", Name: "Crew"}); err != nil {
				return err
			}
			return tx.SetProduct(t.Context(), access.Product{ID: "roster", Name: "Roster", Levels: []access.Level{access.LevelAllow}, Dimensions: []access.DimensionID{"site", "team"},
				Permissions: []access.Permission{{ID: "plan"}}, Roles: []access.Role{{ID: "planner", Permissions: map[access.PermissionID]access.Level{"plan": access.LevelAllow}}}})
		})
		for _, path := range []string{"/mappings/new?group=" + string(g.groups["Finance"]), "/invitations/new?email=jan@klus.example"} {
			fresh := g.get(sam, path)
			if fresh.Find(`input[name="all.team"][checked]`).Length() != 1 || fresh.Find(`input[name="all.site"][checked]`).Length() != 0 {
				t.Errorf("%s: %q", path, fresh.text("main"))
			}
			if legends := fresh.texts("legend"); !slices.Contains(legends, "at (Sites) ClickTime, Roster") || !slices.Contains(legends, "at (Teams) Roster") {
				t.Errorf("%s: the places are of %q, want to be told of which products", path, legends)
			}
			begins := fresh.Find(`input[name="all.team"]`).AttrOr("value", "")
			uithof := []string{"what", "role/roster/planner", "s.site", string(g.sites["uithof"]), "group", string(g.groups["Finance"]), "email", "jan@klus.example"}
			for _, test := range []struct {
				why    string
				fields []string
				ticked []string // in the team
				says   string
			}{
				{"as it began", []string{"all.team", begins}, []string{begins}, "Roster: plan, none → allow Uithof"},
				{"a team is chosen", []string{"all.team", begins, "s.team", string(crew)}, []string{string(crew)}, "Uithof · Crew"},
				{"all is ticked by hand", []string{"all.team", "1", "s.team", string(crew)}, []string{"1", string(crew)}, "Roster: plan, none → allow Uithof"},
				{"all is unticked", nil, nil, "Choose a role and a site"},
			} {
				pathOnly, _, _ := strings.Cut(path, "?")
				got := g.get(sam, g.compose(pathOnly, append(slices.Clone(uithof), test.fields...)...))
				ticked := got.Find(`input[name$=".team"][checked]`).Map(func(_ int, box *goquery.Selection) string { return box.AttrOr("value", "") })
				if !slices.Equal(ticked, test.ticked) || !strings.Contains(got.text("#impact"), test.says) || strings.Contains(got.text("#impact"), "Crew") != strings.Contains(test.says, "Crew") {
					t.Errorf("%s, %s: ticked %q, %q; want %q, %q", pathOnly, test.why, ticked, got.text("#impact"), test.ticked, test.says)
				}
			}
		}
	})
}

// The panel names the day that it is about if that is one to come, and no other: also
// while the clock goes on.
func TestThePanelNamesDaysToCome(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	var ticks atomic.Int64
	moving, err := store.Open(t.Context(), g.url, store.Options{Now: func() time.Time { return now.Add(time.Duration(ticks.Add(1)) * time.Millisecond) }})
	if err != nil {
		t.Fatal(err)
	}
	defer moving.Close()
	g.console.store = moving
	defer func() { g.console.store = g.Store }()
	for from, want := range map[string]string{"": "", "2026-11-22": "", "2026-12-01": "As of 1 Dec 2026"} {
		page := g.get(sam, g.compose("/mappings/new", "group", string(g.groups["Finance"]), "what", supervisor, "s.site", string(g.sites["uithof"]), "from", from))
		text := page.text("#impact")
		if !strings.Contains(text, "gain access") || strings.Contains(text, "As of") != (want != "") || !strings.Contains(text, want) {
			t.Errorf("from %q: the panel says %q, want %q in it", from, text, want)
		}
	}
}

// An edited mapping keeps what isn't edited, and saving it unchanged changes nothing.
func TestEdit(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		old := g.granted("Planning")[0]
		path := "/mappings/" + string(old.ID) + "/edit"
		page := g.get(sam, path)
		if page.Find("#editor input[checked]").Length() != 4 || !strings.Contains(page.text("#impact"), "Nothing is changed yet") || strings.Contains(page.text("#impact"), "saved") { // role, two sites, allow
			t.Fatalf("%d: %s", page.status, page.text("main"))
		}
		page = g.get(sam, g.compose(path, "what", supervisor, "all.site", "1", "mask", "payroll"))
		if got := g.press(sam, page); got.status != 303 || got.header.Get("Location") != "/mappings/"+string(old.ID) {
			t.Fatalf("%d: %s", got.status, got.text("main"))
		}
		now := g.granted("Planning")[0]
		if now.ID != old.ID || !now.Scope.Sites["site"].All || !slices.Equal(now.Mask, []access.PermissionID{"payroll"}) || now.Origin != old.Origin {
			t.Errorf("got %+v", now)
		}
	})
}

// Whom the page names is who then has it: the preview's names are what each
// person's own answer says, before and after.
func TestPageNamesWhoThenHasIt(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		names := slices.Sorted(func(yield func(string) bool) {
			for name := range g.groups {
				if !yield(name) {
					return
				}
			}
		})
		sites := []string{"utrecht", "uithof", "nieuwegein", "zeeland", "vlissingen"}
		concerned := 0
		for seed := range uint64(8) {
			d := rand.New(rand.NewPCG(seed, 3))
			group := names[d.IntN(len(names))]
			fields := []string{"group", string(g.groups[group]), "what", []string{supervisor, "role/clicktime/client"}[d.IntN(2)], "s.site", string(g.sites[sites[d.IntN(5)]])}
			if d.IntN(4) == 0 {
				fields = append(fields, "effect", "deny")
			}
			path := g.compose("/mappings/new", fields...)
			page := g.get(sam, path)
			csv := strings.Split(strings.TrimSpace(g.get(sam, path+"&csv=1").body), "\r\n")[1:]
			said := map[string]bool{}
			for _, line := range csv {
				cells := strings.Split(line, ",")
				if cells[2] != "keeps" {
					said[cells[1]] = true
				}
			}
			before := g.levels(sites)
			if page.Find("#impact form").Length() == 0 {
				continue
			}
			if got := g.press(sam, page, "typed", fmt.Sprint(page.Find("#impact input[name=typed]").Length()*len(said))); got.status != 303 {
				t.Fatalf("seed %d: %d: %s", seed, got.status, got.text("#impact"))
			}
			after := g.levels(sites)
			for user := range g.users {
				changed := before[user] != after[user]
				if changed != said[user] {
					t.Errorf("seed %d: %s: the page says %v, and what happened is %v", seed, user, said[user], changed)
				}
				if changed {
					concerned++
				}
			}
		}
		if concerned < 20 {
			t.Errorf("%d people were concerned: too few to say anything", concerned)
		}
	})
}

// levels are what each person may do at each site, asked as a product asks.
func (g *rig) levels(sites []string) map[string]string {
	g.t.Helper()
	all := map[string]string{}
	for user, id := range g.users {
		s, p, err := g.Subject(g.t.Context(), g.actor.Tenant, store.Who{ID: id})
		if err != nil {
			g.t.Fatal(err)
		}
		for _, site := range sites {
			for _, permission := range []access.PermissionID{"timesheet", "payroll"} {
				q := access.Question{Product: "clicktime", Permission: permission, Place: access.Place{"site": g.sites[site]}}
				all[user] += string(p.Level(s, q, now)) + "/"
			}
		}
	}
	return all
}
