package ui

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// tick is the address that the list of people leads to with a button pressed: for
// those people, or, for nobody, for all of the list.
func (g *rig) tick(as, list, button string, fields url.Values, userNames ...string) string {
	g.t.Helper()
	page := g.get(as, list)
	form := page.Find("form:has(#people)")
	query := url.Values{}
	for name, values := range fields {
		query[name] = values
	}
	for _, who := range userNames {
		query.Add("user", form.Find("#user-"+string(g.users[who])).AttrOr("value", "not on the list: "+who))
	}
	if len(userNames) == 0 {
		query.Set("match", form.Find("input[name=match]").AttrOr("value", ""))
	}
	for _, b := range form.Find("button").EachIter() {
		if strings.HasPrefix(b.Text(), button) {
			if name := b.AttrOr("name", ""); name != "" {
				query.Set(name, b.AttrOr("value", ""))
			}
			return b.AttrOr("formaction", form.AttrOr("action", "")) + "?" + query.Encode()
		}
	}
	g.t.Fatalf("%s has no button %q for %s: %s", list, button, as, page.text("main"))
	return ""
}

// filledIn is the address of the editor of a page with a role, a site and more chosen.
func (a answer) filledIn(fields ...string) string {
	values := url.Values{}
	for _, input := range a.Find("#editor input[type=hidden]").EachIter() {
		values.Add(input.AttrOr("name", ""), input.AttrOr("value", ""))
	}
	for i := 0; i < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	return "/mappings/new?" + values.Encode()
}

// newest is the latest change of the log that was saved from a panel.
func (g *rig) newest() (store.Change, store.SavedProposal) {
	g.t.Helper()
	var saved store.SavedProposal
	log, err := g.Audit(g.t.Context(), g.actor.Tenant, store.AuditFilter{Actions: []string{store.ProposalSaved}}, "", 1)
	if err != nil || len(log.Changes) != 1 {
		g.t.Fatalf("%d changes: %v", len(log.Changes), err)
	}
	if err := json.Unmarshal([]byte(log.Changes[0].Detail), &saved); err != nil {
		g.t.Fatal(err)
	}
	return log.Changes[0], saved
}

// blocked reports whether somebody's sign-in is blocked.
func (g *rig) blocked(userName string) bool {
	g.t.Helper()
	p, err := g.Person(g.t.Context(), g.actor.Tenant, g.users[userName])
	if err != nil {
		g.t.Fatal(err)
	}
	return !p.LoginAllowed
}

// Those who are ticked are given a role at a site, each a grant of her own, by one
// change of the log; and it is taken back at once.
func TestGiveARoleToMany(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		page := g.get(sam, g.tick(sam, "/people?connection="+string(g.refs["Entra ID"].ID), "Give a role", nil, daan, alice, sam))
		if page.status != 200 || page.text("#editor .big") != "2 people: Alice Jansen and Daan Bakker" || !strings.Contains(page.text("#editor .hint"), "You were chosen, too") {
			t.Fatalf("%d: %s", page.status, page.text("main"))
		}
		path := page.filledIn("what", "role/clicktime/client", "s.site", string(g.sites["vlissingen"]), "until", "2027-01-31", "reason", "The flood")
		page = g.get(sam, path)
		if rows := page.texts("#impact-people tbody th"); len(rows) != 2 || page.text("#impact .chip") == "" {
			t.Fatalf("%q: %s", rows, page.text("#impact"))
		}
		got := g.press(sam, page)
		if got.status != 303 || got.header.Get("Location") != "/people" {
			t.Fatalf("%d to %s: %s", got.status, got.header.Get("Location"), got.text("main"))
		}
		until := time.Date(2027, 2, 1, 0, 0, 0, 0, g.console.zone)
		for _, who := range []string{daan, alice} {
			has := g.grantsOf(who)
			if len(has) != 1 || has[0].Role != "client" || has[0].Reason != "The flood" || has[0].Origin != access.OriginDirect || !has[0].Until.Equal(until) {
				t.Errorf("%s has %+v", who, has)
			}
		}
		if n := len(g.grantsOf(sam)); n != 1 {
			t.Errorf("who gave it has %d grants, want the one from before", n)
		}
		if _, saved := g.newest(); len(saved.Parts) != 2 || len(saved.Grants) != 2 {
			t.Errorf("the change of the log has %d parts and %d grants", len(saved.Parts), len(saved.Grants))
		}
		undo := g.flashed(sam, got).Find(".flash a").AttrOr("href", "")
		if back := g.press(sam, g.get(sam, undo)); back.status != 303 || len(g.grantsOf(daan))+len(g.grantsOf(alice)) != 0 {
			t.Errorf("undone by %s: %d, %v", undo, back.status, g.grantsOf(daan))
		}
	})
}

// All that match a filter are those who matched when somebody looked: who comes
// meanwhile isn't changed unseen.
func TestAllThatMatch(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.signIn(eva)
		list := "/people?group=" + string(g.groups["Planning"]) + "&state=live"
		if label := g.get(sam, list).text("label[for=match]"); !strings.HasPrefix(label, "All 12 people on this list") {
			t.Errorf("the box says %q", label)
		}
		page := g.get(sam, g.tick(sam, list, "Block", nil))
		if rows := page.Find("#impact-people tbody tr").Length(); rows != 12 || page.Find("#f-typed").Length() != 1 {
			t.Fatalf("%d: %d rows: %s", page.status, rows, page.text("main"))
		}
		if got := g.press(sam, page); got.status != 409 || g.blocked(eva) {
			t.Errorf("without the number: status %d, blocked %v", got.status, g.blocked(eva))
		}
		g.join("Planning", daan)
		again := g.press(sam, page, "typed", "12")
		if again.status != 409 || !strings.Contains(again.text("#impact .error"), "1 more person") || g.blocked(eva) || g.blocked(daan) {
			t.Fatalf("somebody came: status %d: %s", again.status, again.text("#impact .error"))
		}
		if got := g.press(sam, again, "typed", "13"); got.status != 303 || got.header.Get("Location") != "/people?"+queryOf(list).Encode() || !g.blocked(eva) || !g.blocked(daan) {
			t.Fatalf("status %d to %s, blocked %v and %v", got.status, got.header.Get("Location"), g.blocked(eva), g.blocked(daan))
		}
		if got := g.press(sam, again, "typed", "13"); got.status != 303 {
			t.Errorf("the second of two clicks, when nobody matches any more: status %d: %s", got.status, got.text("main"))
		}
		if got := g.get(eva, "/me"); got.status != 303 {
			t.Errorf("whoever is blocked is still in: status %d", got.status)
		}
		change, saved := g.newest()
		if len(saved.Parts) != 14 { // with the end of Eva's session
			t.Errorf("the change of the log has %d parts, want 14", len(saved.Parts))
		}
		if got := g.press(sam, g.get(sam, "/changes/"+string(change.ID)+"/revert")); got.status != 303 || g.blocked(eva) || g.blocked(daan) {
			t.Errorf("undone: status %d, blocked %v and %v", got.status, g.blocked(eva), g.blocked(daan))
		}
	})
}

// Sign-in is allowed again, and the last day set of those from outside: of whom it is
// said already, or whom the provider ends, nothing is written.
func TestAllowAndEndMany(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.write(func(tx *store.Tx) error {
			for _, who := range []string{daan, frank} {
				if _, err := tx.ChangePerson(t.Context(), g.users[who], func(p store.Person) store.Person {
					p.LoginAllowed, p.Kind = false, access.KindContractor
					return p
				}); err != nil {
					return err
				}
			}
			return nil
		})
		page := g.get(ada, g.tick(ada, "/people", "Allow", nil, daan, frank, eva))
		if got := g.press(ada, page); got.status != 303 || g.blocked(daan) || g.blocked(frank) {
			t.Fatalf("status %d, blocked %v and %v", got.status, g.blocked(daan), g.blocked(frank))
		}
		if _, saved := g.newest(); len(saved.Parts) != 2 {
			t.Errorf("%d parts, want one for each who was blocked", len(saved.Parts))
		}
		page = g.get(ada, g.tick(ada, "/people", "Set the last day", url.Values{"last": {"2026-12-31"}}, daan, frank, eva))
		if !strings.Contains(page.text("main"), "1 more is an employee") {
			t.Errorf("%d: %s", page.status, page.text("main"))
		}
		if got := g.press(ada, page); got.status != 303 {
			t.Fatalf("status %d: %s", got.status, got.text("main"))
		}
		for who, want := range map[string]time.Time{daan: time.Date(2027, 1, 1, 0, 0, 0, 0, g.console.zone), frank: time.Date(2027, 1, 1, 0, 0, 0, 0, g.console.zone), eva: {}} {
			if p, err := g.Person(t.Context(), g.actor.Tenant, g.users[who]); err != nil || !p.ExpiresAt.Equal(want) {
				t.Errorf("%s ends %v (%v), want %v", who, p.ExpiresAt, err, want)
			}
		}
		lastOwner := g.get(ada, g.tick(ada, "/people?connection="+string(g.refs["Entra ID"].ID), "Block", nil, sam, eva))
		if !strings.Contains(lastOwner.text("#impact .error"), "Nobody would own the console") || lastOwner.Find("#impact form").Length() > 0 {
			t.Errorf("the last owner: %s", lastOwner.text("#impact"))
		}
	})
}

// A site's administrator gives what she has, inside the own sites, to those whom she
// sees; an auditor has nothing to tick; of another day there is nothing to change.
func TestWhoChangesMany(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		for as, path := range map[string]string{chloe: "/people", sam: "/people?at=2026-11-21"} {
			if got := g.get(as, path); got.Find("main input[type=checkbox], main fieldset").Length() > 0 {
				t.Errorf("%s, %s: %s", as, path, got.text("main fieldset"))
			}
		}
		list := g.get(bob, "/people")
		if buttons := list.texts("form:has(#people) button"); !slices.Equal(buttons, []string{"Give a role…"}) {
			t.Errorf("Bob's buttons: %q", buttons)
		}
		page := g.get(bob, g.tick(bob, "/people", "Give a role", nil))
		if !strings.HasPrefix(page.text("#editor .big"), "17 people") { // and himself
			t.Fatalf("%d: %s", page.status, page.text("main"))
		}
		uithof, vlissingen := string(g.sites["uithof"]), string(g.sites["vlissingen"])
		outside := g.get(bob, page.filledIn("what", "role/clicktime/client", "s.site", vlissingen))
		if !strings.Contains(outside.text("#impact .error"), "outside of what you may change") || outside.Find("#impact form").Length() > 0 {
			t.Errorf("outside: %s", outside.text("#impact"))
		}
		if got := g.press(bob, g.get(bob, page.filledIn("what", "role/clicktime/client", "s.site", uithof))); got.status != 303 || len(g.grantsOf(eva)) != 1 {
			t.Errorf("inside: status %d, %v", got.status, g.grantsOf(eva))
		}

		// Whom he doesn't see is left out as if there were nobody.
		stranger, nobodyAtAll := string(g.users[noor]), string(store.NewSiteID())
		for _, id := range []string{stranger, nobodyAtAll} {
			got := g.get(bob, "/mappings/new?user="+string(g.users[eva])+"&user="+id)
			if got.status != 200 || got.text("#editor .big") != "1 person: Eva Smit" || !strings.Contains(got.text("#editor .hint"), "1 more was chosen who") || strings.Contains(got.body, "Mulder") {
				t.Errorf("%s: %d: %s", id, got.status, got.text("main"))
			}
		}
		for _, as := range []string{bob, chloe, eva} {
			if got := g.get(as, "/people/bulk?do=block&user="+string(g.users[eva])+"&user="+string(g.users[daan])); got.status != 403 {
				t.Errorf("%s may block: status %d", as, got.status)
			}
		}
		if got := g.get(chloe, "/mappings/new?user="+string(g.users[eva])+"&user="+string(g.users[daan])); got.status != 403 {
			t.Errorf("an auditor gives a role: status %d", got.status)
		}
	})
}

// What nobody ticked is told, and changes nothing.
func TestHostileCrowds(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.signIn(sam)
		before := g.snapshot()
		eva := string(g.users[eva])
		nonsense := url.Values{"user": {"x", "\x00", "a\xff", "' OR 1=1 --", strings.ToUpper(eva), string(store.NewSiteID())}}
		crowd := url.Values{}
		for range 9_000 { // a few more, and the server reads no address at all
			crowd.Add("user", string(store.NewSiteID()))
		}
		for _, test := range []struct {
			why    string
			values url.Values
			want   int
			says   string
		}{
			{"nobody", nil, 400, "Nobody was chosen"},
			{"nothing that is anybody", nonsense, 400, "Nobody was chosen"},
			{"oneself", url.Values{"user": {string(g.users[sam]), string(g.users[sam])}}, 400, "Nobody was chosen"},
			{"one among nonsense", url.Values{"user": append(nonsense["user"], eva)}, 200, "6 more were chosen"},
			{"the same twice", url.Values{"user": {eva, eva}}, 200, "1 person: Eva Smit"},
			{"the same 9,000 times", url.Values{"user": slices.Repeat([]string{eva}, 9_000)}, 200, "1 person: Eva Smit"},
			{"9,000 who aren't there", crowd, 400, "Too many"},
			{"another list", url.Values{"match": {"/mappings"}}, 400, ""},
			{"another server's", url.Values{"match": {"//evil.example/people"}}, 400, ""},
			{"of another day", url.Values{"match": {"/people?at=2026-11-22T12:00:00Z"}}, 400, ""},
			{"of a day to come", url.Values{"match": {"/people?at=2027-01-01"}}, 400, ""},
			{"nobody's list", url.Values{"match": {"/people?q=%00"}}, 400, "Nobody was chosen"},
			{"a group that isn't there", url.Values{"match": {"/people?group=x"}}, 400, "Nobody was chosen"},
		} {
			block := url.Values{"do": {"block"}}
			for name, values := range test.values {
				block[name] = values
			}
			for _, path := range []string{"/people/bulk?" + block.Encode(), "/mappings/new?" + test.values.Encode()} {
				if test.values == nil && strings.HasPrefix(path, "/mappings") {
					continue // there one chooses a group
				}
				if got := g.get(sam, path); got.status != test.want || !strings.Contains(got.text("main"), test.says) {
					t.Errorf("%s, %.40s: status %d, want %d with %q: %s", test.why, path, got.status, test.want, test.says, got.text("main"))
				}
			}
		}
		for _, query := range []string{"do=dance&user=" + eva, "do=expire&user=" + eva, "do=expire&last=soon&user=" + eva, "do=expire&last=9999-12-31&user=" + eva, "user=" + eva} {
			if got := g.get(sam, "/people/bulk?"+query); got.status != 400 {
				t.Errorf("%s: status %d", query, got.status)
			}
		}
		page := g.get(sam, "/people/bulk?do=block&user="+eva)
		action, _ := page.Find("#impact form").Attr("action")
		form := formOf(page, "#impact form")
		if got := g.post(sam, strings.Replace(action, eva, string(g.users[ada]), 1), form); got.status != 409 {
			t.Errorf("somebody else than was previewed: status %d", got.status)
		}
		if after := g.snapshot(); after != before {
			t.Errorf("something changed:\n%s", difference(before, after))
		}
	})
}

// As many as may be changed at once are changed by one save; one more, and the list
// leads to a group instead.
func TestAThousandAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.addCrowd("Crowd", maxCrowd+1)
		more := g.get(sam, "/people?group=Crowd")
		if more.Find("input[name=match]").Length() > 0 || !strings.Contains(more.text("form:has(#people) fieldset"), "More than 1,000 people") {
			t.Errorf("%s", more.text("form:has(#people) fieldset"))
		}
		if got := g.get(sam, "/people/bulk?do=block&match="+url.QueryEscape("/people?group=Crowd")); got.status != 400 || !strings.Contains(got.text("main"), "map one") {
			t.Errorf("%d: %s", got.status, got.text("main"))
		}
		g.write(func(tx *store.Tx) error {
			return tx.DeleteUser(t.Context(), g.refs["Entra ID"], g.users["crowd1000@waterland.example"])
		})
		page := g.get(sam, g.tick(sam, "/people?group=Crowd", "Give a role", nil))
		path := page.filledIn("what", "role/clicktime/client", "s.site", string(g.sites["uithof"]))
		for _, test := range []struct {
			path  string
			typed string
			done  func() bool
		}{
			{path, "", func() bool { return len(g.grantsOf("crowd0999@waterland.example")) == 1 }},
			{g.tick(sam, "/people?group=Crowd", "Block", nil), "1000", func() bool { return g.blocked("crowd0999@waterland.example") }},
		} {
			start := time.Now()
			page := g.get(sam, test.path)
			looked := time.Since(start)
			if n := page.Find("#impact-people tbody tr").Length(); n != impactNames {
				t.Fatalf("%d rows: %s", n, page.text("#impact"))
			}
			start = time.Now()
			got := g.press(sam, page, "typed", test.typed)
			if got.status != 303 || !test.done() {
				t.Fatalf("%d: %s", got.status, got.text("main"))
			}
			saved := time.Since(start)
			start = time.Now()
			undo := g.get(sam, g.flashed(sam, got).Find(".flash a").AttrOr("href", ""))
			back := g.press(sam, undo, "typed", "1000")
			if back.status != 303 || test.done() {
				t.Fatalf("undone: %d: %s", back.status, back.text("main"))
			}
			t.Logf("%.40s: looked at in %v, saved in %v, undone in %v", test.path, looked, saved, time.Since(start))
		}
	})
}
