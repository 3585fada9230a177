package ui

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// hotline is a product with all that a grid and rules can say.
func (g *rig) hotline() {
	g.write(func(tx *store.Tx) error {
		return tx.SetProduct(g.t.Context(), access.Product{
			ID: "hotline", Name: "Hotline", Levels: []access.Level{"view", "handle"},
			Permissions: []access.Permission{
				{ID: "cases", Name: "Cases"}, {ID: "case.close", Name: "Close a case", Tags: []string{"sensitive"}}, {ID: "case.export", Name: "Export a case"},
				{ID: "settings", Name: "Settings"},
			},
			Roles: []access.Role{
				{ID: "administrator", Name: "Administrator", Permissions: map[access.PermissionID]access.Level{access.AllPermissions: "handle", "cases": "view"}},
				{ID: "case handler/2", Name: "Case handler", Permissions: map[access.PermissionID]access.Level{"cases": "handle"}},
			},
			Rules: access.Rules{OneRole: true, Limits: []access.Limit{{Kind: access.KindClient, MaxLevel: "view", ForbidTags: []string{"sensitive"}, ForbidAll: true}},
				Holders: []access.HolderRule{{Role: "administrator", Warn: 2, Refuse: 1, Max: 5}}},
		})
	})
}

// known is a product as the tenant has it now.
func (g *rig) known(id access.ProductID) access.Product {
	g.t.Helper()
	p, _, err := g.Policy(g.t.Context(), g.actor.Tenant)
	if err != nil {
		g.t.Fatal(err)
	}
	product, _ := p.Product(id)
	return product
}

func TestAProductAsItPrints(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.hotline()
		deny := g.toUser(eva, "hotline", "", access.Scope{Everywhere: true})
		deny.Effect, deny.Permission, deny.Level = access.Deny, "case.close", "view"
		g.grant(deny)
		if list := g.get(ada, "/products").texts("#products tbody th a"); !slices.Equal(list, []string{"ClickTime", "Hotline", "Console"}) {
			t.Errorf("products: %q", list)
		}
		got := g.get(ada, "/products/hotline")
		for head, want := range map[string][]string{
			"Cases": {"view", "handle", ""}, "Close a case sensitive": {"(handle)", "", "1 grant"}, "Settings": {"(handle)", "", ""}, "Case": {"", "", ""},
		} {
			if row := rowOf(got, "#grid", head); !slices.Equal(row, append([]string{head}, want...)) {
				t.Errorf("got %q, want %q", row, want)
			}
		}
		if got.Find("#grid td.quiet[title*=inherited]").Length() != 3 {
			t.Error("what is inherited isn't marked")
		}
		want := []string{"Everybody has one role at most.", "Who is a client may have view at most.", "Who is a client may have nothing that is marked sensitive.",
			"Who is a client may not be granted anything everywhere.", "Administrator: at least 1 person, always.", "Administrator: fewer than 2 people are warned of.", "Administrator: 5 people at most."}
		if rules := got.texts("aside li"); !slices.Equal(rules, want) {
			t.Errorf("rules: %q", rules)
		}
		if facts := got.texts("aside dd"); !slices.Equal(facts, []string{"hotline", "view < handle", "nothing: it is one place"}) {
			t.Errorf("facts: %q", facts)
		}
		file, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(g.get(ada, "/products/hotline/grid.csv").body, "\ufeff"))).ReadAll()
		if err != nil || !slices.Equal(file[2], []string{"Close a case", "case.close", "handle", ""}) {
			t.Errorf("the file: %q, %v", file, err)
		}
		for as, status := range map[string]int{nobody: 303, bob: 403, eva: 403, chloe: 200, sam: 200} {
			for _, path := range []string{"/products", "/products/hotline", "/products/hotline/grid.csv", "/products/clicktime/roles/supervisor", "/products/clicktime/roles/supervisor/people.csv"} {
				if got := g.get(as, path); got.status != status {
					t.Errorf("%s, %s: status %d, want %d", as, path, got.status, status)
				}
			}
		}
		for _, path := range []string{"/products/x", "/products/x/roles/y", "/products/clicktime/roles/y", "/products/x/edit", "/products/clicktime/edit?role=y", "/products/x/grid.csv"} {
			if got := g.get(sam, path); got.status != 404 {
				t.Errorf("%s: status %d, want 404", path, got.status)
			}
		}
		if edit := g.get(ada, "/products/hotline"); edit.Find("main form, main a[href$='/edit']").Length() > 0 {
			t.Error("who may not change products is offered to")
		}
	})
}

func TestWhoHasARole(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.grant(g.toUser(eva, "clicktime", "client", g.at("uithof")))
		g.hotline()
		g.grant(g.toUser(eva, "hotline", "case handler/2", access.Scope{Everywhere: true}))
		got := g.get(chloe, "/products/clicktime/roles/client")
		if got.text("h1") != "Client" || got.text("#count") != "9 people" {
			t.Errorf("%d: %s, %s", got.status, got.text("h1"), got.text("#count"))
		}
		found := ""
		for _, row := range got.texts("#people tbody tr") {
			if strings.HasPrefix(row, "Eva Smit") {
				found = row
			}
		}
		if !strings.HasSuffix(found, "ClickTime: Client ← directly, Uithof") {
			t.Errorf("Eva: %q", found)
		}
		if grants := got.text("#grants"); !strings.Contains(grants, "Dijkwerk staff") || !strings.Contains(grants, "Vlissingen") {
			t.Errorf("where: %q", grants)
		}
		if owner := g.get(chloe, "/products/console/roles/owner"); owner.text("#count") != "1 person" || owner.Find("a[href*='/edit']").Length() > 0 {
			t.Errorf("owners: %s", owner.text("main"))
		}
		link := g.get(chloe, "/products/hotline").Find("#grid thead a").Last().AttrOr("href", "")
		if odd := g.get(chloe, link); odd.status != 200 || odd.text("h1") != "Case handler" {
			t.Errorf("%s: %d", link, odd.status)
		}
	})
}

// TestALevelCalledNone looks at a product that has one: nobody takes it for no level.
func TestALevelCalledNone(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.write(func(tx *store.Tx) error {
		return tx.SetProduct(t.Context(), access.Product{
			ID: "desk", Name: "Desk", Levels: []access.Level{"none", "Nothing", "view"}, Permissions: []access.Permission{{ID: "calls", Name: "Calls"}},
			Roles: []access.Role{{ID: "agent", Name: "Agent", Permissions: map[access.PermissionID]access.Level{"calls": "none"}},
				{ID: "any", Permissions: map[access.PermissionID]access.Level{access.AllPermissions: "none"}}},
		})
	})
	g.grant(access.Grant{Subject: access.Grantee{User: access.UserID(g.users[eva])}, Effect: access.Allow, Product: "desk", Role: "agent", Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect})
	if cells := g.get(sam, "/products/desk").texts("#grid td:not(.bad)"); !slices.Contains(cells, "“none”") || slices.Contains(cells, "none") {
		t.Errorf("the grid says %q", cells)
	}
	form := g.get(sam, "/products/desk/edit")
	if options := form.texts("#grid select[name='agent/calls'] option"); !slices.Equal(options, []string{"–", "“none”", "“Nothing”", "view"}) {
		t.Errorf("to choose from: %q", options)
	}
	if option := form.text("#grid select[name='any/calls'] option[value='']"); option != "inherited: “none”" {
		t.Errorf("inherited: %q", option)
	}
	for level, want := range map[string]string{"view": "Calls, “none” → view", "": "Calls, “none” → none"} {
		sent := g.post(sam, "/products/desk/edit", url.Values{"agent/calls": {level}})
		if text := g.get(sam, sent.header.Get("Location")).text("#impact"); !strings.Contains(text, want) {
			t.Errorf("got %s, want %q in it", text, want)
		}
	}
	// In Dutch, no level is called otherwise.
	dutch := g.get(sam, "/products/desk", func(r *http.Request) { r.Header.Set("Accept-Language", "nl") })
	if cells := dutch.texts("#grid td:not(.bad)"); !slices.Contains(cells, "none") {
		t.Errorf("in Dutch: %q", cells)
	}
}

func TestChangeWhatARoleMayDo(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		form := g.get(sam, "/products/clicktime/edit")
		values := url.Values{}
		for _, choice := range form.Find("#grid select").EachIter() {
			values.Set(choice.AttrOr("name", ""), choice.Find("option[selected]").AttrOr("value", ""))
		}
		if len(values) != 6 || values.Get("supervisor/timesheet") != "maintain" || form.Find("#impact form").Length() > 0 {
			t.Fatalf("%d: choices %v", form.status, values)
		}
		if same := g.post(sam, "/products/clicktime/edit", values); same.header.Get("Location") != "/products/clicktime/edit" {
			t.Errorf("nothing chosen: %d to %s", same.status, same.header.Get("Location"))
		}
		values.Set("supervisor/timesheet", "view")
		values.Set(cellName("client", access.AllPermissions), "view")
		sent := g.post(sam, "/products/clicktime/edit", values)
		if sent.status != 303 || g.known("clicktime").Roles[0].Permissions["timesheet"] != "maintain" {
			t.Fatalf("%d: %s", sent.status, sent.text("main"))
		}
		page := g.get(sam, sent.header.Get("Location"))
		if text := page.text("#impact"); !strings.Contains(text, "Alice Jansen") || !strings.Contains(text, "Payroll, none → view") || page.Find("td.changed").Length() != 2 {
			t.Errorf("%s: %s", sent.header.Get("Location"), text)
		}
		if got := g.press(sam, page, "typed", "1"); got.status != 409 {
			t.Errorf("a wrong number: status %d", got.status)
		}
		for range 2 {
			if got := g.press(sam, page, "typed", lose(page)); got.status != 303 || got.header.Get("Location") != "/products/clicktime" {
				t.Fatalf("%d: %s", got.status, got.text("main"))
			}
		}
		if roles := g.known("clicktime").Roles; roles[0].Permissions["timesheet"] != "view" || roles[1].Permissions[access.AllPermissions] != "view" || roles[1].Permissions["timesheet"] != "view" {
			t.Errorf("got %+v", roles)
		}
		g.hotline()
		one := g.get(sam, "/products/hotline/edit?"+url.Values{"role": {"case handler/2"}, "c": {cellName("case handler/2", "cases") + "="}}.Encode())
		if one.Find("#grid select").Length() != 5 {
			t.Errorf("one role: %d choices", one.Find("#grid select").Length())
		}
		if got := g.press(sam, one); got.status != 303 || len(g.known("hotline").Roles[1].Permissions) != 0 {
			t.Errorf("one role: %d: %s", got.status, got.text("main"))
		}
		for _, odd := range []string{"c=x/y=view", "c=supervisor/timesheet=own", "c=supervisor/timesheet", "c=", "c=%00"} {
			if got := g.get(sam, "/products/clicktime/edit?"+odd); got.status != 400 {
				t.Errorf("%s: status %d, want 400", odd, got.status)
			}
		}
		if got := g.get(sam, "/products/console/edit"); got.status != 400 {
			t.Errorf("the console: status %d", got.status)
		}
		for _, as := range []string{ada, bob, chloe} {
			if got := g.get(as, "/products/clicktime/edit"); got.status != 403 {
				t.Errorf("%s: status %d, want 403", as, got.status)
			}
		}
	})
}

// TestTheWorldMovesWhileARoleIsEdited holds that what was looked at is what happens.
func TestTheWorldMovesWhileARoleIsEdited(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		page := g.get(sam, "/products/clicktime/edit?c=client/timesheet=maintain")
		g.grant(g.toGroup("Finance", "client", g.at("uithof")))
		got := g.press(sam, page)
		if got.status != 409 || !strings.Contains(got.text("#impact .error"), "more people") || g.known("clicktime").Roles[1].Permissions["timesheet"] != "view" {
			t.Errorf("%d: %s", got.status, got.text("#impact"))
		}
		if again := g.press(sam, got); again.status != 303 || g.known("clicktime").Roles[1].Permissions["timesheet"] != "maintain" {
			t.Errorf("agreed to what is new: %d: %s", again.status, again.text("main"))
		}
	})
}

func TestKeysAreShownOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		page := g.get(sam, "/products/clicktime")
		form := page.Find("form[action='/products/clicktime/keys']")
		values := url.Values{"nonce": {form.Find("[name=nonce]").AttrOr("value", "")}, "expires": {"2026-12-31"}, "search": {"1"}}
		if form.Find("[name=expires]").AttrOr("value", "") != "2027-11-22" {
			t.Errorf("expires by itself on %s", form.Find("[name=expires]").AttrOr("value", ""))
		}
		made := g.post(sam, "/products/clicktime/keys", values)
		secret := made.text("#secret")
		key, err := g.AuthenticateKey(t.Context(), secret)
		if made.status != 200 || err != nil || !key.Search || !key.ExpiresAt.Equal(time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC)) {
			t.Fatalf("%d: %+v, %v: %s", made.status, key, err, made.text("main"))
		}
		if made.header.Get("Cache-Control") != "no-store" {
			t.Error("a page with a secret may be kept")
		}
		again := g.post(sam, "/products/clicktime/keys", values)
		if keys, err := g.Keys(t.Context(), g.actor.Tenant, "clicktime"); err != nil || len(keys) != 1 || again.status != 303 {
			t.Errorf("sent twice: status %d, %d keys, %v", again.status, len(keys), err)
		}
		if row := g.get(chloe, "/products/clicktime"); strings.Contains(row.body, secret) || !strings.Contains(row.text("#keys"), "…"+key.Hint) || row.Find("#keys form").Length() > 0 {
			t.Errorf("to an auditor: %s", row.text("#keys"))
		}
		for _, test := range []struct{ expires, want string }{{"tomorrow", "Write a day as 2026-12-31."}, {"2026-11-21", "That day is over."}} {
			got := g.post(sam, "/products/clicktime/keys", url.Values{"nonce": {store.NewProposalKey()}, "expires": {test.expires}, "search": {"1"}})
			if got.status != 400 || got.text("#e-expires") != test.want || got.Find("#f-expires").AttrOr("value", "") != test.expires || got.Find("[name=search][checked]").Length() != 1 {
				t.Errorf("%s: %d: %s", test.expires, got.status, got.text("form.card"))
			}
		}
		for _, nonce := range []string{"", "x", "%00"} {
			if got := g.post(sam, "/products/clicktime/keys", url.Values{"nonce": {nonce}}); got.status != 400 {
				t.Errorf("nonce %q: status %d, want 400", nonce, got.status)
			}
		}
		revoke := "/products/clicktime/keys/" + string(key.ID) + "/revoke"
		for as, edit := range map[string]func(*http.Request){ada: func(*http.Request) {}, chloe: func(*http.Request) {}, sam: func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }} {
			if got := g.post(as, revoke, nil, edit); got.status != 403 {
				t.Errorf("%s revokes: status %d, want 403", as, got.status)
			}
		}
		for _, path := range []string{"/products/console/keys/" + string(key.ID) + "/revoke", "/products/clicktime/keys/" + key.Hint + "/revoke", "/products/clicktime/keys/" + string(store.NewSiteID()) + "/revoke"} {
			if got := g.post(sam, path, nil); got.status != 404 {
				t.Errorf("%s: status %d, want 404", path, got.status)
			}
		}
		if _, err := g.AuthenticateKey(t.Context(), secret); err != nil {
			t.Fatalf("the key works no more: %v", err)
		}
		for range 2 {
			if got := g.post(sam, revoke, nil); got.status != 303 {
				t.Errorf("revoked: status %d", got.status)
			}
		}
		if _, err := g.AuthenticateKey(t.Context(), secret); err == nil {
			t.Error("a revoked key works")
		}
		if got := g.get(sam, "/products/clicktime"); !strings.Contains(got.text("#keys"), "revoked") || got.Find("#keys form").Length() > 0 {
			t.Errorf("revoked: %s", got.text("#keys"))
		}
		for range store.MaxLiveKeys {
			g.post(sam, "/products/clicktime/keys", url.Values{"nonce": {store.NewProposalKey()}})
		}
		if got := g.post(sam, "/products/clicktime/keys", url.Values{"nonce": {store.NewProposalKey()}}); got.status != 400 || !strings.Contains(got.text("h1"), "too many") {
			t.Errorf("too many: %d: %s", got.status, got.text("main"))
		}
	})
}

func TestAuditorsHaveNoForms(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, path := range []string{"/sites", g.siteAt("utrecht"), "/products", "/products/clicktime", "/products/clicktime/roles/supervisor", "/products/console", "/matrix"} {
		got := g.get(chloe, path)
		for _, form := range got.Find("main form").EachIter() {
			if form.AttrOr("method", "get") != "get" {
				t.Errorf("%s: a form to %s", path, form.AttrOr("action", ""))
			}
		}
		for _, link := range got.Find("main a").EachIter() {
			if there := g.get(chloe, link.AttrOr("href", "")); there.status != 200 {
				t.Errorf("%s: a link to %s, status %d", path, link.AttrOr("href", ""), there.status)
			}
		}
	}
}

// TestCatalogueNamesAreText holds that names of sites, roles and products never
// become markup.
func TestCatalogueNamesAreText(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for i, name := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `{{.}}`, `javascript:alert(1)`, `'; --`} {
		product := access.ProductID(fmt.Sprintf("odd%d", i))
		site := access.Site{ID: store.NewSiteID(), Dimension: "site", Key: name, Name: name}
		g.write(func(tx *store.Tx) error {
			if _, err := tx.AddSites(t.Context(), site); err != nil {
				return err
			}
			if err := tx.SetProduct(t.Context(), access.Product{ID: product, Name: name, Dimensions: []access.DimensionID{"site"}, Levels: []access.Level{access.Level(name)},
				Permissions: []access.Permission{{ID: "p", Name: name, Tags: []string{name}}},
				Roles:       []access.Role{{ID: "r", Name: name, Permissions: map[access.PermissionID]access.Level{"p": access.Level(name)}}}}); err != nil {
				return err
			}
			grant := g.toGroup("Planning", "r", access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: []access.SiteID{site.ID}}}})
			grant.Product, grant.Reason = product, name
			_, err := tx.AddGrants(t.Context(), grant)
			return err
		})
		for _, path := range []string{"/sites?q=" + url.QueryEscape(name), "/sites/" + string(site.ID), "/sites/" + string(site.ID) + "/edit", "/products", "/products/" + string(product),
			"/products/" + string(product) + "/edit", "/products/" + string(product) + "/roles/r", "/matrix?product=" + string(product), "/matrix?pivot=people&product=" + string(product)} {
			got := g.get(sam, path)
			if got.status != 200 || !strings.Contains(got.Find("main").Text()+got.Find("main #f-name").AttrOr("value", ""), name) {
				t.Errorf("%s, %s: status %d: %.300s", name, path, got.status, got.text("main"))
			}
			if got.Find("main script, main img, [onerror], a[href^='javascript']").Length() > 0 {
				t.Errorf("%s became markup on %s", name, path)
			}
		}
	}
}
