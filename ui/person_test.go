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

	"github.com/PuerkitoBio/goquery"
)

const (
	alice = "alice.jansen@waterland.example"
	daan  = "daan.bakker@waterland.example"
	frank = "frank.visser@waterland.example"
)

func (g *rig) pathOf(userName string) string { return "/people/" + string(g.users[userName]) }

// lacks reports what of some texts a page doesn't say.
func (a answer) lacks(want ...string) (missing []string) {
	said := a.text("main")
	for _, text := range want {
		if !strings.Contains(said, text) {
			missing = append(missing, text)
		}
	}
	return missing
}

func TestPersonSaysWhatAndWhy(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		deny := g.toUser(daan, "clicktime", "", g.at("uithof"))
		deny.Effect, deny.Permission, deny.Level, deny.Reason = access.Deny, "timesheet", "maintain", "on leave"
		g.grant(deny)
		got := g.get(sam, g.pathOf(daan))
		if got.status != 200 || got.text("h1") != "Daan Bakker" {
			t.Fatalf("status %d, heading %q", got.status, got.text("h1"))
		}
		if missing := got.lacks(
			"Daan Bakker → Utrecht technicians (member since 22 Nov 2026) → mapping: Supervisor @ Uithof (since 22 Nov 2026, by grace on the command line)",
			"not Time sheets maintain", "denied: Time sheets maintain @ Uithof", "Managed by Entra ID", "daan.bakker@waterland.example", "“on leave”", "Not signed in anywhere.",
			"Became a member of Utrecht technicians"); missing != nil {
			t.Errorf("got no %q in\n%s", missing, got.text("main"))
		}
		if rows := got.Find("#levels-clicktime tbody tr").Length(); rows == 0 {
			t.Error("nothing permission by permission")
		}
		if href := got.Find("#has-clicktime a:contains('Utrecht technicians')").AttrOr("href", ""); href != "/groups/"+string(g.groups["Utrecht technicians"]) {
			t.Errorf("the group of the way leads to %q", href)
		}
		for _, href := range got.Find("main a[href^='/']").Map(func(_ int, s *goquery.Selection) string { return s.AttrOr("href", "") }) {
			if to := g.get(sam, href); to.status != 200 {
				t.Errorf("link %s: status %d", href, to.status)
			}
		}
		if n := got.Find("form[method=post]:has(input:not([type=hidden]))").Length(); n > 0 {
			t.Errorf("%d forms with fields on a page about what the provider says", n)
		}
	})
}

func TestPersonWithoutAccess(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	got := g.get(sam, g.pathOf("noor.mulder@waterland.example"))
	if missing := got.lacks("No access. Member of 2 groups, none of which gives anything."); missing != nil {
		t.Errorf("got no %q in\n%s", missing, got.text("main"))
	}
}

func TestPersonWhoIsNotLive(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		got := g.get(sam, g.pathOf(frank))
		if missing := got.lacks("Entra ID says that this account is deactivated", "Nothing of this counts", "mapping: Supervisor @ Uithof"); missing != nil {
			t.Errorf("deactivated: got no %q in\n%s", missing, got.text("main"))
		}
		g.write(func(tx *store.Tx) error {
			_, err := tx.ChangePerson(t.Context(), g.users[daan], func(p store.Person) store.Person {
				return store.Person{Kind: access.KindContractor, ExpiresAt: now.Add(-time.Hour), Sponsor: g.users[bob]}
			})
			return err
		})
		got = g.get(sam, g.pathOf(daan))
		if missing := got.lacks("Sign-in is blocked here", "The account ended on 22 Nov 2026, 09:30", "contractor", "Bob Okafor"); missing != nil {
			t.Errorf("blocked and expired: got no %q in\n%s", missing, got.text("main"))
		}
		g.write(func(tx *store.Tx) error { return tx.DeleteUser(t.Context(), g.refs["Entra ID"], g.users[daan]) })
		got = g.get(sam, g.pathOf(daan))
		if got.status != 200 || got.lacks("Entra ID deleted this account on 22 Nov 2026") != nil || got.Find("#has-clicktime").Length() > 0 {
			t.Errorf("deleted: status %d\n%s", got.status, got.text("main"))
		}
	})
}

func TestPersonOnAnotherDay(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		ctx := t.Context()
		g.later(48 * time.Hour)
		g.write(func(tx *store.Tx) error {
			_, _, err := tx.UpdateGroup(ctx, g.refs["Entra ID"], g.groups["Utrecht technicians"], func(group store.Group) (store.Group, store.MemberDelta, error) {
				return group, store.MemberDelta{Remove: []store.MemberID{store.MemberID(g.users[daan])}}, nil
			})
			return err
		})
		g.grant(g.toUser(daan, "clicktime", "client", g.at("vlissingen")))
		g.later(48 * time.Hour)
		path := g.pathOf(daan)

		today := g.get(sam, path)
		if missing := today.lacks("granted: Client @ Vlissingen", "Left Utrecht technicians"); missing != nil || strings.Contains(today.text("#has-clicktime"), "Supervisor") {
			t.Errorf("today: got no %q in\n%s", missing, today.text("main"))
		}
		then := g.get(sam, path+"?at=2026-11-23")
		if missing := then.lacks("You see how it was on 23 Nov 2026, 23:59", "Utrecht technicians (member since 22 Nov 2026) → mapping: Supervisor @ Uithof"); missing != nil || strings.Contains(then.text("#has-clicktime"), "Client") {
			t.Errorf("two days ago: got no %q in\n%s", missing, then.text("main"))
		}
		if never := g.get(sam, path+"?at=2025-01-01"); never.status != 200 || never.lacks("was not there on that day") != nil {
			t.Errorf("before there was anybody: status %d\n%s", never.status, never.text("main"))
		}
		if bad := g.get(sam, path+"?at=yesterday"); bad.status != 400 {
			t.Errorf("no date: status %d, want 400", bad.status)
		}

		between := g.get(sam, path+"/compare?from=2026-11-23")
		rows := between.texts("#differences tbody tr")
		if len(rows) != 2 || !slices.ContainsFunc(rows, func(row string) bool {
			return strings.Contains(row, "UithofmaintainnothingNo longer: Daan Bakker → Utrecht technicians")
		}) ||
			!slices.ContainsFunc(rows, func(row string) bool {
				return strings.Contains(row, "VlissingennothingviewNew: Daan Bakker → granted: Client")
			}) {
			t.Errorf("between: got %q, want the loss at Uithof and the gain in Vlissingen", rows)
		}
		if missing := between.lacks("Left Utrecht technicians"); missing != nil {
			t.Errorf("between: got no %q in\n%s", missing, between.text("main"))
		}
		same := g.get(sam, path+"/compare?from=2026-11-22&to=2026-11-23")
		if same.lacks("The access was the same on both days") != nil {
			t.Errorf("two equal days:\n%s", same.text("main"))
		}
	})
}

func TestComparePeople(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	got := g.get(sam, g.pathOf(daan)+"/compare?with="+url.QueryEscape(bob))
	parts := got.texts("section.card li")
	if want := []string{"Console: Site administrator @ Utrecht", "ClickTime: Supervisor @ Uithof", "Console: Own access view @ everywhere"}; !slices.Equal(parts, want) {
		t.Errorf("got %q, want %q", parts, want)
	}
	several := g.get(sam, g.pathOf(daan)+"/compare?with=ada")
	if n := several.Find(".found a").Length(); n != 2 {
		t.Errorf("a name of two: got %d to choose from\n%s", n, several.text("main"))
	}
	if nobody := g.get(sam, g.pathOf(daan)+"/compare?with=xyzzy"); nobody.lacks("Nobody is called “xyzzy”") != nil {
		t.Errorf("nobody:\n%s", nobody.text("main"))
	}
}

// TestWhoIsSeenByName holds that whoever administers some sites sees those with
// access there, what they have there, and of the rest only how much.
func TestWhoIsSeenByName(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.grant(g.toUser(daan, "clicktime", "client", g.at("vlissingen")), g.toGroup("Sales", "client", g.at("zeeland")))
		got := g.get(bob, g.pathOf(daan))
		said := got.text("main")
		if got.status != 200 || got.lacks("Supervisor @ Uithof", "1 grant reaches only other sites than yours.", "2 groups have nothing to do with your sites.") != nil {
			t.Errorf("status %d:\n%s", got.status, said)
		}
		for _, secret := range []string{"Vlissingen", "Everyone Waterland", "Operations", "What happened", "Not signed in anywhere"} {
			if strings.Contains(said, secret) {
				t.Errorf("a site administrator is told %q:\n%s", secret, said)
			}
		}
		stranger := g.users["noor.mulder@waterland.example"]
		random := store.NewSiteID()
		foreign := g.stranger(t)
		for _, path := range []string{"/people/%s", "/people/%s/compare", "/people/%s?at=2026-11-21"} {
			want := g.get(bob, fmt.Sprintf(path, random))
			for what, id := range map[string]string{"somebody elsewhere": string(stranger), "somebody of another tenant": string(foreign), "no id": "x", "a name": eva} {
				got := g.get(bob, fmt.Sprintf(path, id))
				if got.status != 404 || got.text("h1") != want.text("h1") {
					t.Errorf("%s of %s: status %d, %q, want the 404 of an id that nobody has", path, what, got.status, got.text("h1"))
				}
			}
			if got := g.get(sam, fmt.Sprintf(path, foreign)); got.status != 404 {
				t.Errorf("%s of another tenant, as owner: status %d, want 404", path, got.status)
			}
		}
	})
}

// stranger is somebody of another tenant.
func (g *rig) stranger(t *testing.T) (id store.UserID) {
	t.Helper()
	ctx := t.Context()
	tenant, err := g.EnsureTenant(ctx, store.Actor{Kind: store.ActorSystem}, "others")
	if err != nil {
		t.Fatal(err)
	}
	actor := store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI, ID: "grace"}
	err = g.Write(ctx, actor, func(tx *store.Tx) error {
		c, err := tx.CreateConnection(ctx, "Theirs", store.IdPEntra)
		if err != nil {
			return err
		}
		u, err := tx.CreateUser(ctx, c.Ref(), user("zed@others.example", "Zed", true))
		id = u.ID
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestSignSomebodyOut(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.signIn(eva)
	page := g.get(sam, g.pathOf(eva))
	if form := page.Find("form[action$='/signout']"); form.Length() != 1 || page.Find("#sessions tbody tr").Length() != 1 {
		t.Fatalf("want her session and a way to end it:\n%s", page.text("main"))
	}
	if auditor := g.get(chloe, g.pathOf(eva)); auditor.Find("main form[method=post]").Length() > 0 {
		t.Error("an auditor is offered a form")
	}
	for _, who := range []string{chloe, bob, eva} {
		if got := g.post(who, g.pathOf(eva)+"/signout", nil); got.status != 403 && got.status != 404 {
			t.Errorf("as %s: status %d, want to be refused", who, got.status)
		}
	}
	if got := g.get(eva, "/me"); got.status != 200 {
		t.Fatalf("refused, and yet she is out: status %d", got.status)
	}
	if got := g.post(ada, g.pathOf(eva)+"/signout", nil); got.status != 303 {
		t.Errorf("as access administrator: status %d", got.status)
	}
	if got := g.get(eva, "/me"); got.status != 303 {
		t.Errorf("signed out: status %d, want to be sent to sign in", got.status)
	}
}

// TestUnlink has somebody who is linked to another subject be seen as who she is, and
// unlinked: what she had open ends, and the audit trail says what became of her.
func TestUnlink(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		ctx := t.Context()
		path := g.pathOf(eva)
		c := g.refs["Entra ID"]
		if page := g.get(ada, path); page.Find("a[href$='/unlink']").Length() != 0 {
			t.Error("somebody who never signed in can be unlinked")
		}
		if got := g.get(ada, path+"/unlink"); got.status != 404 {
			t.Errorf("the page of somebody who never signed in: status %d", got.status)
		}
		g.write(func(tx *store.Tx) error {
			_, err := tx.Link(ctx, c, "https://id.example", "<b>subject 7</b>", store.LinkUserName, eva)
			return err
		})
		g.signIn(eva)
		for who, shown := range map[string]bool{ada: true, sam: true, chloe: true, bob: false} {
			if page := g.get(who, path); strings.Contains(page.text("main"), "<b>subject 7</b>") != shown || (page.Find("a[href$='/unlink']").Length() == 1) != (who == ada || who == sam) {
				t.Errorf("%s sees %s", who, page.text("aside"))
			}
		}
		for _, who := range []string{chloe, bob, eva} {
			if get, post := g.get(who, path+"/unlink"), g.post(who, path+"/unlink", nil); get.status != 403 || post.status != 403 {
				t.Errorf("as %s: status %d and %d, want to be refused", who, get.status, post.status)
			}
		}
		page := g.get(ada, path+"/unlink")
		if text := page.text("main"); page.status != 200 || !strings.Contains(text, "https://id.example") || !strings.Contains(text, "<b>subject 7</b>") || !strings.Contains(text, "Make sure first") {
			t.Errorf("confirming: status %d: %s", page.status, text)
		}
		if got := g.get(eva, "/me"); got.status != 200 {
			t.Fatalf("nothing is done yet, and she is out: status %d", got.status)
		}
		action := page.Find("main form[method=post]").AttrOr("action", "")
		if got := g.post(ada, action, nil); got.status != 303 {
			t.Fatalf("unlinking: status %d", got.status)
		}
		if got := g.get(eva, "/me"); got.status != 303 {
			t.Errorf("unlinked: status %d, want to be sent to sign in", got.status)
		}
		if all, err := g.Identities(ctx, g.actor.Tenant, g.users[eva]); err != nil || len(all) != 0 {
			t.Errorf("still linked: %+v, %v", all, err)
		}
		if got := g.post(ada, action, nil); got.status != 404 {
			t.Errorf("again: status %d", got.status)
		}
		trail := g.get(ada, "/audit?subject="+string(g.users[eva]))
		if text := trail.text("main"); !strings.Contains(text, "Ada Byron undid the link between") {
			t.Errorf("the audit trail: %s", text)
		}
	})
}

// TestBlockAndExpire holds that what moves somebody's access is shown first, and
// then does what it showed.
func TestBlockAndExpire(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.write(func(tx *store.Tx) error {
			_, err := tx.ChangePerson(t.Context(), g.users[eva], func(p store.Person) store.Person { p.Kind = access.KindGuest; return p })
			return err
		})
		g.signIn(eva)
		save := func(path string) answer {
			t.Helper()
			look := g.get(ada, path)
			if look.status != 200 || look.lacks("Eva Smit") != nil {
				t.Fatalf("%s: status %d\n%s", path, look.status, look.text("main"))
			}
			form := look.Find("#impact form")
			values := url.Values{}
			form.Find("input").Each(func(_ int, s *goquery.Selection) { values.Set(s.AttrOr("name", ""), s.AttrOr("value", "")) })
			return g.post(ada, form.AttrOr("action", ""), values)
		}
		path := g.pathOf(eva)
		if got := g.get(ada, path).Find("aside a.button").Map(hrefs); !slices.Equal(got, []string{path + "/block", path + "/expiry"}) {
			t.Errorf("a guest: offered %q", got)
		}
		if got := g.get(ada, path+"/block"); got.lacks("Time sheets") != nil || g.get(eva, "/me").status != 200 {
			t.Errorf("looking at it: status %d, and she is to be in still\n%s", got.status, got.text("main"))
		}
		if got := save(path + "/block"); got.status != 303 || got.header.Get("Location") != path || g.get(eva, "/me").status != 303 {
			t.Errorf("blocked: status %d to %q, want her out", got.status, got.header.Get("Location"))
		}
		if got := save(path + "/unblock"); got.status != 303 {
			t.Errorf("let in again: status %d", got.status)
		}
		delete(g.cookies, eva)
		if got := g.get(eva, "/me"); got.status != 200 {
			t.Errorf("let in again: status %d", got.status)
		}
		if got := save(path + "/expiry?until=2026-11-30"); got.status != 303 || g.get(ada, path).lacks("Account ends1 Dec 2026, 00:00") != nil {
			t.Errorf("with an end: status %d\n%s", got.status, g.get(ada, path).text("aside"))
		}
		if got := save(path + "/expiry?until="); got.status != 303 || g.get(ada, path).lacks("Account ends") == nil {
			t.Errorf("without an end: status %d\n%s", got.status, g.get(ada, path).text("aside"))
		}
		for _, day := range []string{"soon", "9999-12-31", "0001-01-01"} {
			if got := g.get(ada, path+"/expiry?until="+day); got.status != 400 {
				t.Errorf("%s: status %d, want 400", day, got.status)
			}
		}
		for _, who := range []string{bob, chloe, eva} {
			for _, do := range []string{"/block", "/unblock", "/expiry"} {
				if get, post := g.get(who, path+do), g.post(who, path+do, nil); get.status != 403 || post.status != 403 {
					t.Errorf("%s as %s: status %d and %d, want 403", do, who, get.status, post.status)
				}
			}
		}
		owner := g.get(ada, g.pathOf(sam)+"/block")
		if owner.Find("#impact form").Length() > 0 || owner.Find("#impact .error").Length() == 0 {
			t.Errorf("the last owner can be blocked:\n%s", owner.text("main"))
		}
	})
}

// Letting somebody in, or for longer, gives her rights back: nobody does that for
// herself but an owner, and not for who has more in the console.
func TestWhoMayLetIn(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		const noor = "noor.mulder@waterland.example"
		g.grant(g.toUser(noor, access.ConsoleID, access.RoleOwner, access.Scope{Everywhere: true}), g.toUser(daan, access.ConsoleID, access.RoleOwner, access.Scope{Everywhere: true}))
		end := now.AddDate(0, 1, 0)
		g.write(func(tx *store.Tx) error {
			for _, one := range []string{ada, chloe, daan} {
				if _, err := tx.ChangePerson(t.Context(), g.users[one], func(p store.Person) store.Person { p.ExpiresAt = end; return p }); err != nil {
					return err
				}
			}
			_, err := tx.ChangePerson(t.Context(), g.users[noor], func(p store.Person) store.Person { p.LoginAllowed = false; return p })
			return err
		})
		for _, test := range []struct {
			why, as, path, objection string
		}{
			{"her own end is taken away", ada, g.pathOf(ada) + "/expiry?until=", "It gives you access."},
			{"her own end is later", ada, g.pathOf(ada) + "/expiry?until=2027-12-31", "It gives you access."},
			{"her own end is sooner", ada, g.pathOf(ada) + "/expiry?until=2026-11-30", ""},
			{"an owner stays for longer", ada, g.pathOf(daan) + "/expiry?until=", "more in the console than you have"},
			{"an owner is let in again", ada, g.pathOf(noor) + "/unblock", "more in the console than you have"},
			{"an auditor stays for longer", ada, g.pathOf(chloe) + "/expiry?until=", ""},
			{"an owner lets an owner in", sam, g.pathOf(noor) + "/unblock", ""},
			{"an owner stays, by her own will", daan, g.pathOf(daan) + "/expiry?until=", ""},
		} {
			got := g.get(test.as, test.path)
			if refused := got.Find("#impact form").Length() == 0; got.status != 200 || refused != (test.objection != "") || !strings.Contains(got.text("#impact"), test.objection) {
				t.Errorf("%s: status %d: %s", test.why, got.status, got.text("#impact"))
			}
		}
	})
}

// TestQuietSource holds that a page says when what it shows may be out of date.
func TestQuietSource(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.write(func(tx *store.Tx) error {
		c, err := tx.ConnectionNamed(t.Context(), g.actor.Tenant, "Entra ID")
		if err != nil {
			return err
		}
		token, _, err := tx.CreateToken(t.Context(), c, now.AddDate(1, 0, 0))
		if err != nil {
			return err
		}
		token.LastUsedAt = store.At(now)
		return tx.TouchTokens(t.Context(), map[store.TokenID]store.Token{token.ID: token})
	})
	g.later(3 * 24 * time.Hour)
	if got := g.get(sam, g.pathOf(daan)); got.status != 200 || got.lacks("Entra ID last called 3 days ago") != nil {
		t.Errorf("status %d:\n%s", got.status, got.text("main"))
	}
}
