package ui

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// tokens are all secrets that a page shows.
var tokens = regexp.MustCompile(`(ghs_|ghl_|ghc_|whsec_)[\w-]{20,}`)

func TestConnectEntraFromZero(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		// Each step is a click: Connect, Entra; then copy and copy.
		page := g.get(sam, "/sync")
		page = g.get(sam, page.Find("main a.button[href='/sync/new']").AttrOr("href", ""))
		if steps := g.get(sam, page.Find("main a[href='/sync/new/entra']").AttrOr("href", "")); steps.Find("main ol li").Length() < 5 || steps.Find("#f-name").AttrOr("value", "") != "Microsoft Entra ID" {
			t.Errorf("what there is to do: %q", steps.text("main"))
		}
		made := g.post(sam, page.Find("main form[action$='/entra']").AttrOr("action", ""), nil)
		setup := made.header.Get("Location")
		if made.status != 303 || !strings.HasSuffix(setup, "/setup") {
			t.Fatalf("status %d to %q: %s", made.status, setup, made.text("main"))
		}
		shown, cookie := g.onceShown(sam, made)
		secret := tokens.FindString(shown.body)
		if shown.Find("button[data-copy]").Length() != 2 || secret == "" || !strings.Contains(shown.text("main"), "Tenant URL") {
			t.Fatalf("want the URL and the token to copy: %q", shown.text("main"))
		}
		if _, err := g.Authenticate(t.Context(), secret); err != nil {
			t.Errorf("the token that was shown: %v", err)
		}
		if strings.Contains(made.body+setup, secret) || strings.Contains(cookie.Value, secret) {
			t.Error("the token is in the answer to the form")
		}
		if again := g.get(sam, setup); tokens.MatchString(again.body) {
			t.Error("the token is shown a second time")
		}
		for who, page := range map[string]string{ada: setup, sam: g.sync("Entra ID") + "/setup"} {
			got := g.get(who, page, func(r *http.Request) { r.AddCookie(&http.Cookie{Name: onceCookie, Value: cookie.Value}) })
			if tokens.MatchString(got.body) {
				t.Errorf("%s at %s is shown the token by a copy of the cookie", who, page)
			}
		}

		if twice := g.post(sam, "/sync/new/entra", nil); twice.status != 303 || twice.header.Get("Location") != setup {
			t.Errorf("the button clicked twice: status %d to %q, want %q as the first time", twice.status, twice.header.Get("Location"), setup)
		}
		taken := func(why, who, guide, name string) {
			t.Helper()
			got := g.post(who, "/sync/new/"+guide, url.Values{"name": {name}})
			if got.status != 409 || got.text("#e-name") != "There is a connection of that name already." || got.Find("main a[href='"+setup+"']").Length() != 1 ||
				got.Find("#f-name").AttrOr("value", "") != name {
				t.Errorf("%s: status %d, %q, want the way to go on", why, got.status, got.text("main"))
			}
		}
		taken("a name written otherwise", sam, "entra", "microsoft entra id")
		taken("another provider", sam, "okta", "Microsoft Entra ID")
		g.grant(g.toUser(bob, access.ConsoleID, access.RoleOwner, access.Scope{Everywhere: true}))
		taken("by somebody else", bob, "entra", "Microsoft Entra ID")
		g.later(2 * time.Minute)
		taken("two minutes later", sam, "entra", "Microsoft Entra ID")
		for _, name := range []string{"", " x", "a\nb", strings.Repeat("x", 101)} {
			if got := g.post(sam, "/sync/new/okta", url.Values{"name": {name}}); got.status != 400 || got.Find("#f-name[aria-invalid]").Length() != 1 {
				t.Errorf("name %q: status %d, want to be told beside the field", name, got.status)
			}
		}
		if all, err := g.Connections(t.Context(), g.actor.Tenant); err != nil || len(all) != 3 {
			t.Errorf("%d connections, %v, want the one that was made and two", len(all), err)
		}
	})
}

func TestTheStripSaysWhatArrives(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		var c store.Connection
		g.write(func(tx *store.Tx) (err error) {
			c, err = tx.CreateConnection(t.Context(), "New", store.IdPEntra)
			return err
		})
		g.refs["New"] = c.Ref()
		strip := func(poll string, want ...string) {
			t.Helper()
			got := g.get(sam, g.sync("New")+"/setup")
			if p := got.Find("#strip").AttrOr("data-poll", ""); p != poll {
				t.Errorf("it asks again after %q ms, want %q", p, poll)
			}
			for _, text := range want {
				if !strings.Contains(got.text("#strip"), text) {
					t.Errorf("got %q, want %q in it", got.text("#strip"), text)
				}
			}
		}
		strip("1000", "Waiting for the first request …", "Choose Test connection in Entra", "No person yet", "Look again")
		g.record("New", 2*time.Minute, refusedWith("9f2c"))
		strip("1000", "Waiting for the first request …", "Token ending …9f2c refused 37 times, first 2 minutes ago", "in Entra for wrong-token")
		g.record("New", time.Minute, nil)
		strip("2000", `Received GET /Users?filter=userName eq "x", 200, 41 ms`)
		g.write(func(tx *store.Tx) error {
			u, err := tx.CreateUser(t.Context(), c.Ref(), user("zoe@corp.example", "Zoë <i>Zon", true))
			if err != nil {
				return err
			}
			doc := []byte(`{"displayname":"crew"}`)
			_, _, err = tx.CreateGroup(t.Context(), c.Ref(), store.Group{DisplayName: "Crew", Doc: doc, Search: doc}, []store.MemberID{store.MemberID(u.ID)})
			return err
		})
		strip("", "First person: Zoë <i>Zon", "First group: Crew")
	})
}

// TestSetUpByLink holds that a link shows the guide of its connection, and nothing of
// anything else.
func TestSetUpByLink(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		made := g.post(sam, g.sync("Okta")+"/links", nil)
		shown, _ := g.onceShown(sam, made)
		secret := tokens.FindString(shown.body)
		if !strings.HasPrefix(secret, store.SetupLinkPrefix) || !strings.Contains(shown.text("main"), "/setup/"+secret) {
			t.Fatalf("want the link: %q", shown.text("main"))
		}
		if again := g.get(sam, g.sync("Okta")+"/settings"); tokens.MatchString(again.body) {
			t.Error("the link is shown a second time")
		}
		link := "/setup/" + secret
		got := g.get(nobody, link)
		if got.status != 200 || !strings.Contains(got.text("main"), "SCIM connector base URL") || got.Find("#nav, .search").Length() != 0 {
			t.Fatalf("by the link: status %d, %q", got.status, got.text("main"))
		}
		token, _ := g.onceShown(nobody, g.post(nobody, got.Find("main form").AttrOr("action", ""), nil))
		opened, err := g.Authenticate(t.Context(), tokens.FindString(token.text("main")))
		if err != nil || opened.ConnectionID != g.refs["Okta"].ID {
			t.Errorf("the token made by the link: %+v, %v", opened, err)
		}
		changes, err := g.Changes(t.Context(), g.actor.Tenant, 1)
		if err != nil || changes[0].Action != store.TokenCreated || changes[0].ActorKind != store.ActorInvitation {
			t.Errorf("got %+v, %v, want the link to have made the token", changes, err)
		}
		for _, path := range []string{"/setup/x", "/setup/" + secret + "x", "/setup/ghl_", link + "/tokens"} {
			if got := g.get(nobody, path); got.status != 404 && got.status != 405 {
				t.Errorf("%s: status %d, want 404", path, got.status)
			}
		}
		if got := g.post(nobody, "/setup/ghl_x/tokens", nil); got.status != 404 {
			t.Errorf("a token by no link: status %d, want 404", got.status)
		}
		revoke := g.get(sam, g.sync("Okta")+"/settings").Find("main form[action*='/links/']").AttrOr("action", "")
		if got := g.post(sam, revoke, nil); got.status != 303 {
			t.Fatalf("revoking: status %d", got.status)
		}
		if got := g.get(nobody, link); got.status != 404 || !strings.Contains(got.text("main"), "Ask whoever sent it") {
			t.Errorf("the revoked link: status %d, %q", got.status, got.text("main"))
		}
		if got := g.post(nobody, link+"/tokens", nil); got.status != 404 {
			t.Errorf("a token by a revoked link: status %d, want 404", got.status)
		}
		if _, _, err := g.SetupLinkBySecret(t.Context(), secret); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the revoked link: %v", err)
		}
	})
}
