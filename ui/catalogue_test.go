package ui

import (
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gatehouse/access"
	"gatehouse/store"
)

// filled is the address of a form of the catalogue with what somebody typed.
func filled(path string, fields ...string) string {
	values := url.Values{"v": {"1"}}
	for i := 0; i < len(fields); i += 2 {
		values.Add(fields[i], fields[i+1])
	}
	return path + "?" + values.Encode()
}

// saved fills a form in, sees what it does, and saves it, twice.
func (g *rig) saved(path string, fields ...string) answer {
	g.t.Helper()
	page := g.get(sam, filled(path, fields...))
	var done answer
	for range 2 {
		if done = g.press(sam, page, "typed", lose(page)); done.status != 303 {
			g.t.Fatalf("%s %q: %d: %s", path, fields, done.status, done.text("main"))
		}
	}
	return done
}

func TestAProductIsMadeByHand(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		if form := g.get(sam, g.get(sam, "/products").Find("main a.primary").AttrOr("href", "")); form.status != 200 || form.Find(".error").Length() > 0 || form.Find("#impact form").Length() > 0 {
			t.Fatalf("an empty form: %d: %s", form.status, form.text("main"))
		}
		g.saved("/products/add/product", "key", "desk/2", "name", "Desk", "levels", "view\r\n\r\n change ", "dimension", "team", "dimension", "site")
		const desk = "/products/desk%2F2"
		g.saved(desk+"/add/permission", "key", "tickets", "name", "Tickets", "place", "1")
		g.saved(desk+"/add/permission", "key", "invoice.pay", "name", "Pay", "tags", "sensitive\nmoney", "place", "1")
		done := g.saved(desk+"/add/role", "key", "agent", "name", "Agent", "place", "1")
		grid := done.header.Get("Location")
		if grid != desk+"/edit?role=agent" {
			t.Errorf("a new role leads to %s", grid)
		}
		chosen := g.post(sam, grid, url.Values{cellName("agent", "tickets"): {"change"}, cellName("agent", access.AllPermissions): {"view"}})
		if got := g.press(sam, g.get(sam, chosen.header.Get("Location"))); got.status != 303 {
			t.Fatalf("the grid: %d: %s", got.status, got.text("main"))
		}
		if form := g.get(sam, desk+"/add/role?copy=agent"); form.Find("#f-name").AttrOr("value", "") != "Copy of Agent" || form.Find("#f-place").AttrOr("value", "") != "2" {
			t.Errorf("a copy: %s", form.text("main"))
		}
		g.saved(desk+"/add/role", "copy", "agent", "key", "boss", "name", "Boss", "personal", "1", "place", "1")
		gives := map[access.PermissionID]access.Level{"tickets": "change", access.AllPermissions: "view"}
		want := access.Product{ID: "desk/2", Name: "Desk", Levels: []access.Level{"view", "change"}, Dimensions: []access.DimensionID{"site", "team"},
			Permissions: []access.Permission{{ID: "invoice.pay", Name: "Pay", Tags: []string{"sensitive", "money"}}, {ID: "tickets", Name: "Tickets"}},
			Roles:       []access.Role{{ID: "boss", Name: "Boss", Personal: true, Permissions: gives}, {ID: "agent", Name: "Agent", Permissions: gives}}}
		if diff := cmp.Diff(want, g.known("desk/2")); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}

		g.saved(desk+"/details", "name", "Service desk", "levels", "view\nadd\nchange", "dimension", "team")
		g.saved(desk+"/permissions/tickets/edit", "name", "Cases", "place", "1")
		g.saved(desk+"/roles/boss/edit", "name", "Chief", "place", "2")
		g.saved(desk + "/permissions/invoice.pay/remove")
		want = access.Product{ID: "desk/2", Name: "Service desk", Levels: []access.Level{"view", "add", "change"}, Dimensions: []access.DimensionID{"team"},
			Permissions: []access.Permission{{ID: "tickets", Name: "Cases"}},
			Roles:       []access.Role{{ID: "agent", Name: "Agent", Permissions: gives}, {ID: "boss", Name: "Chief", Permissions: gives}}}
		if diff := cmp.Diff(want, g.known("desk/2")); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		for _, path := range []string{"/details", "/permissions/tickets/edit", "/roles/boss/edit"} {
			if form := g.get(sam, desk+path); form.text("#impact .hint") != "Nothing is changed yet." {
				t.Errorf("%s as it is: %s", path, form.text("#impact"))
			}
		}
		if link := g.get(sam, desk).Find("#grid tbody a").AttrOr("href", ""); link != desk+"/permissions/tickets/edit" {
			t.Errorf("the grid leads to %s", link)
		}
		g.saved(desk + "/roles/boss/remove")
		g.saved(desk + "/remove")
		if p := g.known("desk/2"); p.ID != "" {
			t.Errorf("still there: %+v", p)
		}
	})
}

func TestMistakesStandBesideTheField(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.hotline()
		g.signIn(sam)
		before := g.snapshot()
		long := strings.Repeat("é", maxName+1)
		for _, test := range []struct {
			why, path, field, typed, want string
			more                          []string
		}{
			{why: "no key", path: "/products/add/product", field: "key", want: "Fill this in."},
			{why: "a key that is taken", path: "/products/add/product", field: "key", typed: "clicktime", want: "There is another one with the key clicktime."},
			{why: "a key that addresses leave out", path: "/products/add/product", field: "key", typed: "..", want: "No address can have that in it: choose another key."},
			{why: "the same of a permission", path: "/products/clicktime/add/permission", field: "key", typed: ".", want: "No address can have that in it: choose another key.", more: []string{"place", "1"}},
			{why: "the same of a role", path: "/products/clicktime/add/role", field: "key", typed: "..", want: "No address can have that in it: choose another key.", more: []string{"place", "1"}},
			{why: "a key that differs only in case", path: "/products/add/product", field: "key", typed: "ClickTime", want: "There is another one with the key clicktime."},
			{why: "the same of a permission", path: "/products/clicktime/add/permission", field: "key", typed: "PAYROLL", want: "There is another one with the key payroll.", more: []string{"place", "1"}},
			{why: "the same of a role", path: "/products/clicktime/add/role", field: "key", typed: "Client", want: "There is another one with the key client.", more: []string{"place", "1"}},
			{why: "the console's key", path: "/products/add/product", field: "key", typed: "console", want: "There is another one with the key console."},
			{why: "a long key", path: "/products/add/product", field: "key", typed: long, want: "At most 200 characters."},
			{why: "a name of two lines", path: "/products/add/product", field: "name", typed: "a\tb", want: "Write it on one line.", more: []string{"key", "x"}},
			{why: "bytes that are no text", path: "/products/add/product", field: "name", typed: "a\xffb", want: "Write it on one line.", more: []string{"key", "x"}},
			{why: "a name that turns what follows", path: "/products/add/product", field: "name", typed: "a\u202eb", want: "It has an unseen character in it that turns the direction of writing: type it anew.", more: []string{"key", "x"}},
			{why: "a level twice", path: "/products/add/product", field: "levels", typed: "view\nview", want: "view is there twice.", more: []string{"key", "x"}},
			{why: "a level that roles give", path: "/products/clicktime/details", field: "levels", typed: "view", want: "Supervisor still gives maintain. Choose another level there first."},
			{why: "no level", path: "/products/clicktime/details", field: "levels", want: "Supervisor still gives maintain. Choose another level there first."},
			{why: "a permission's key that is taken", path: "/products/clicktime/add/permission", field: "key", typed: "payroll", want: "There is another one with the key payroll.", more: []string{"place", "1"}},
			{why: "a role's key that is taken", path: "/products/clicktime/add/role", field: "key", typed: "client", want: "There is another one with the key client.", more: []string{"place", "1"}},
			{why: "a mark twice", path: "/products/hotline/permissions/case.close/edit", field: "tags", typed: "own\nown", want: "own is there twice.", more: []string{"place", "1"}},
			{why: "no place", path: "/products/clicktime/permissions/payroll/edit", field: "place", want: "Write a number from 1 to 2."},
			{why: "the place behind the last", path: "/products/clicktime/permissions/payroll/edit", field: "place", typed: "3", want: "Write a number from 1 to 2."},
			{why: "a place that is no number", path: "/products/clicktime/roles/client/edit", field: "place", typed: "last", want: "Write a number from 1 to 2."},
		} {
			path := filled(test.path, append([]string{test.field, test.typed}, test.more...)...)
			refused := 400
			if strings.HasPrefix(test.want, "There is") {
				refused = 409 // it may be the same form, sent before
			}
			for status, got := range map[int]answer{200: g.get(sam, path), refused: g.post(sam, path, url.Values{"digest": {"x"}, "key": {store.NewProposalKey()}})} {
				kept := got.Find("#f-"+test.field).AttrOr("value", strings.TrimPrefix(got.Find("#f-"+test.field).Text(), "\n"))
				if got.status != status || got.text("#e-"+test.field) != test.want || kept != test.typed || got.Find("#impact form").Length() > 0 {
					t.Errorf("%s: %d with %q kept: %s", test.why, got.status, kept, got.text("main"))
				}
			}
		}
		// What only the whole of a product can tell, the panel says.
		for why, path := range map[string]string{
			"a permission that stands for all": filled("/products/clicktime/add/permission", "key", "*", "place", "1"),
			"a role that a rule counts":        "/products/hotline/roles/administrator/remove",
			"a role that is granted":           "/products/clicktime/roles/client/remove",
			"a product that is granted":        "/products/clicktime/remove",
			"a dimension that grants name":     filled("/products/clicktime/details", "levels", "view\nmaintain"),
		} {
			got := g.get(sam, path)
			if got.status != 200 || got.Find("#impact [role=alert] li").Length() == 0 || got.Find("#impact form").Length() > 0 {
				t.Errorf("%s: %d: %s", why, got.status, got.text("main"))
			}
			// Whoever is told to end the grants is told of the tick for it, where there is one.
			says := got.text("#impact [role=alert]")
			if tick := got.Find("input[name=end]").Length() > 0; strings.Contains(says, "still granted") && strings.Contains(says, "Tick above") != tick {
				t.Errorf("%s, with a tick for the grants: %v: %s", why, tick, says)
			} else if strings.HasPrefix(why, "a role that is granted") && !tick {
				t.Errorf("%s: nothing to tick: %s", why, got.text("main"))
			}
			if got := g.post(sam, path, url.Values{"digest": {"x"}, "key": {store.NewProposalKey()}}); got.status != 409 {
				t.Errorf("%s, saved all the same: %d: %s", why, got.status, got.text("main"))
			}
		}
		for _, path := range []string{"/products/x/details", "/products/x/remove", "/products/clicktime/permissions/x/edit", "/products/clicktime/permissions/x/remove",
			"/products/clicktime/roles/x/edit", "/products/clicktime/roles/x/remove", "/products/clicktime/add/role?copy=x"} {
			if got := g.get(sam, path); got.status != 404 {
				t.Errorf("%s: status %d, want 404", path, got.status)
			}
		}
		for _, path := range []string{"/details", "/remove", "/add/permission", "/add/role", "/permissions/access/edit", "/permissions/access/remove", "/roles/owner/edit", "/roles/owner/remove"} {
			if got := g.get(sam, "/products/console"+path); got.status != 400 {
				t.Errorf("%s of the console: status %d, want 400", path, got.status)
			}
		}
		if after := g.snapshot(); after != before {
			t.Errorf("something changed:\n%s", difference(before, after))
		}
	})
}

// What goes takes nobody's access along unseen: it stays while it is granted, and with
// the grants it goes when whoever loses has been named. Undoing brings all of it back.
func TestWhatIsGrantedGoesWithItsGrants(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		sites := []string{"uithof", "vlissingen"}
		before := g.levels(sites)
		alice := before["alice.jansen@waterland.example"]
		if !strings.Contains(alice, "maintain") {
			t.Fatalf("Alice has %s", alice)
		}
		for _, path := range []string{"/products/clicktime/roles/supervisor/remove", "/products/clicktime/remove"} {
			refused := g.get(sam, path)
			if text := refused.text("main"); !strings.Contains(text, "still granted") || !strings.Contains(text, "grants that name it, too") {
				t.Errorf("%s: %s", path, text)
			}
			page := g.get(sam, filled(path, "end", "1"))
			if text := page.text("#impact-people"); !strings.Contains(text, "loses ClickTime: Time sheets, maintain → none Utrecht, Vlissingenno longer via Planning: ClickTime: Supervisor @ Utrecht") {
				t.Errorf("%s: %s", path, text)
			}
			if got := g.press(sam, page, "typed", "1"); got.status != 409 {
				t.Errorf("%s, a wrong number: %d", path, got.status)
			}
			g.saved(path, "end", "1")
			if got := g.levels(sites)["alice.jansen@waterland.example"]; strings.Trim(got, "/") != "" {
				t.Errorf("%s: Alice still has %s", path, got)
			}
			page = g.get(sam, "/changes/"+g.latest()+"/revert")
			if text := page.text("main"); !strings.Contains(text, "Add: Members of Planning get ClickTime: Supervisor @ Utrecht") || strings.Contains(text, "Planning get ClickTime: Supervisor @ everywhere") {
				t.Errorf("%s is undone by %s", path, text)
			}
			if got := g.press(sam, page, "typed", lose(page)); got.status != 303 {
				t.Fatalf("%s undone: %d: %s", path, got.status, got.text("main"))
			}
			if after := g.levels(sites); !maps.Equal(before, after) {
				t.Errorf("%s undone: %s", path, cmp.Diff(before, after))
			}
		}
	})
}

// Whoever adds what somebody else has added meanwhile takes nothing of hers away.
func TestTwoAddTheSame(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		for _, path := range []string{"/products/add/product", "/products/clicktime/add/permission", "/products/clicktime/add/role"} {
			mine := g.get(sam, filled(path, "key", "rota", "name", "Mine", "place", "1"))
			g.saved(path, "key", "rota", "name", "Hers", "place", "1")
			before := g.snapshot()
			got := g.press(sam, mine)
			if got.status != 409 || got.text("#e-key") != "There is another one with the key rota." || got.Find("#impact form").Length() > 0 {
				t.Errorf("%s: %d: %s", path, got.status, got.text("main"))
			}
			if after := g.snapshot(); after != before {
				t.Errorf("%s: something changed:\n%s", path, difference(before, after))
			}
		}
	})
}

// latest is the change of the audit trail that stands for what was saved last.
func (g *rig) latest() string {
	g.t.Helper()
	page, err := g.Audit(g.t.Context(), g.actor.Tenant, store.AuditFilter{Actions: []string{store.ProposalSaved}}, "", 1)
	if err != nil || len(page.Changes) != 1 {
		g.t.Fatalf("%+v, %v", page, err)
	}
	return string(page.Changes[0].ID)
}

// TestALargeGrid changes every cell of a product of 20 roles and 20 permissions at
// once, by the page's own link and form. One of 34 and 34 comes a role at a time, and
// no page of either has more elements than the console promises.
func TestALargeGrid(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		n := 20
		large := access.Product{ID: "large", Name: "Large", Levels: []access.Level{"view", "maintain"}}
		grow := func() {
			for i := len(large.Roles); i < n; i++ {
				large.Permissions = append(large.Permissions, access.Permission{ID: access.PermissionID(fmt.Sprintf("a-rather-long-permission.%02d", i))})
				large.Roles = append(large.Roles, access.Role{ID: access.RoleID(fmt.Sprintf("a rather, long role/%02d", i))})
			}
		}
		small := func(what string, page answer) {
			t.Helper()
			if got := page.Find("*").Length(); page.status != 200 || got > 3000 {
				t.Errorf("%s: status %d, %d elements, want at most 3,000", what, page.status, got)
			}
		}
		grow()
		g.write(func(tx *store.Tx) error { return tx.SetProduct(t.Context(), large) })
		link := "/products/large/edit"
		small("20 roles", g.get(sam, "/products/large"))
		if g.get(sam, "/products/large").Find("main a[href='"+link+"']").Length() != 1 {
			t.Fatal("no link to the grid")
		}
		form := g.get(sam, link)
		choices := form.Find("#grid select")
		if form.status != 200 || choices.Length() != n*(n+1) {
			t.Fatalf("%d: %d choices, %s", form.status, choices.Length(), form.text("h1"))
		}
		small("20 roles to edit", form)
		values := url.Values{}
		for i, choice := range choices.EachIter() {
			values.Set(choice.AttrOr("name", ""), string(large.Levels[i%2]))
		}
		sent := g.post(sam, link, values)
		if to := sent.header.Get("Location"); sent.status != 303 || !strings.Contains(to, "draft=") {
			t.Fatalf("%d to %s: %s", sent.status, to, sent.text("main"))
		}
		page := g.get(sam, sent.header.Get("Location"))
		if page.Find("td.changed").Length() != n*(n+1) {
			t.Errorf("%d cells are changed: %s", page.Find("td.changed").Length(), page.text("#impact"))
		}
		if got := g.press(sam, page); got.status != 303 {
			t.Fatalf("%d: %s", got.status, got.text("main"))
		}
		for _, role := range g.known("large").Roles {
			for _, permission := range append(cellsOf(large)[1:], access.AllPermissions) {
				if want := values.Get(cellName(role.ID, permission)); string(role.Permissions[permission]) != want {
					t.Fatalf("%s, %s: got %q, want %q", role.ID, permission, role.Permissions[permission], want)
				}
			}
		}
		// A larger one comes a role at a time, each with a way to the others.
		n = 34
		grow()
		g.write(func(tx *store.Tx) error { return tx.SetProduct(t.Context(), large) })
		whole := g.get(sam, "/products/large")
		small("34 roles", whole)
		if rows := whole.Find("#grid tbody tr").Length(); rows != n+1 || whole.Find("main .pager").Length() != 0 {
			t.Errorf("34 roles: %d rows on the first page, want all of them and their heading", rows)
		}
		for i := range n {
			large.Permissions = append(large.Permissions, access.Permission{ID: access.PermissionID(strings.Repeat("x", 2000) + fmt.Sprint(i))})
		}
		g.write(func(tx *store.Tx) error { return tx.SetProduct(t.Context(), large) })
		one := g.get(sam, g.get(sam, link).header.Get("Location"))
		small("34 roles to edit", one)
		if others := one.Find("main nav a"); one.status != 200 || one.Find("#grid select").Length() != 2*n+1 || others.Length() != n || others.First().AttrOr("aria-current", "") != "page" {
			t.Errorf("%d: %d choices, ways to %q", one.status, one.Find("#grid select").Length(), one.texts("main nav a"))
		}
		// What is too much even for a draft is kept on the page.
		values = url.Values{}
		for _, choice := range one.Find("#grid select").EachIter() {
			values.Set(choice.AttrOr("name", ""), "view")
		}
		got := g.post(sam, one.Find("main form").AttrOr("action", ""), values)
		if got.status != 400 || !strings.Contains(got.text("#impact"), "Too much at once.") || got.Find("#grid option[selected][value=view]").Length() != 2*n+1 {
			t.Errorf("%d: %s", got.status, got.text("#impact"))
		}
	})
}

// TestAGridTooLargeForAPage reads a product of 90 roles and 100 permissions page by
// page: each cell stands on one of them.
func TestAGridTooLargeForAPage(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	huge := access.Product{ID: "huge", Name: "Huge"}
	for i := range 100 {
		huge.Permissions = append(huge.Permissions, access.Permission{ID: access.PermissionID(fmt.Sprintf("p%02d", i)), Name: fmt.Sprintf("may %02d", i)})
	}
	for i := range 90 {
		huge.Roles = append(huge.Roles, access.Role{ID: access.RoleID(fmt.Sprintf("r%02d", i)), Name: fmt.Sprintf("role %02d", i)})
	}
	g.write(func(tx *store.Tx) error { return tx.SetProduct(t.Context(), huge) })
	seen, path := map[string]int{}, "/products/huge"
	for path != "" && len(seen) <= 9000 {
		page := g.get(sam, path)
		if got := page.Find("*").Length(); page.status != 200 || got > 3000 {
			t.Fatalf("%s: status %d, %d elements, want at most 3,000", path, page.status, got)
		}
		for _, permission := range page.texts("#grid tbody th") {
			for _, role := range page.texts("#grid thead th a") {
				seen[permission+", "+role]++
			}
		}
		path = page.Find("main .pager a[rel=next]").AttrOr("href", "")
	}
	if len(seen) != 9000 {
		t.Errorf("%d cells, want 9,000", len(seen))
	}
	for cell, times := range seen {
		if times != 1 {
			t.Errorf("%s stands on %d pages", cell, times)
		}
	}
	for _, after := range []string{`{"Role":-1,"Row":0}`, `{"Role":0,"Row":-1}`, `{"Role":91,"Row":0}`, `{"Role":0,"Row":101}`, `x`} {
		if got := g.get(sam, "/products/huge?after="+base64.RawURLEncoding.EncodeToString([]byte(after))); got.status != 400 {
			t.Errorf("after %s: status %d, want 400", after, got.status)
		}
	}
}

// What the page says of a change of a product is what then happens: to those whom it
// names, and to nobody else.
func TestPageNamesWhomAProductMoves(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		sites := []string{"uithof", "vlissingen"}
		concerned, kinds := 0, map[string]bool{}
		for seed := range uint64(16) {
			d := rand.New(rand.NewPCG(seed, 5))
			product := g.known("clicktime")
			role, permission := oneOf(d, product.Roles), oneOf(d, product.Permissions)
			roles, permissions := rolePath(product.ID, role.ID), permissionPath(product.ID, permission.ID)
			levels := append([]access.Level{""}, product.Levels...)
			key := fmt.Sprintf("new%d", seed)
			steps := map[string]string{
				"grid": "/products/clicktime/edit?" + url.Values{"c": {cellName(role.ID, permission.ID) + "=" + string(oneOf(d, levels))}}.Encode(),
				"all":  "/products/clicktime/edit?" + url.Values{"c": {cellName(role.ID, access.AllPermissions) + "=" + string(oneOf(d, levels))}}.Encode(),
				"add":  filled("/products/clicktime/add/permission", "key", key, "place", "1"),
				"copy": filled("/products/clicktime/add/role", "copy", string(role.ID), "key", key, "place", "2"),
				"move": filled(permissions+"/edit", "name", key, "place", "1"),
				"only": filled(roles+"/edit", "name", key, "personal", oneOf(d, []string{"", "1"}), "place", "1"),
				"less": filled("/products/clicktime/details", "name", key, "levels", "view\nmaintain\n"+key, "dimension", "site", "dimension", oneOf(d, []string{"site", "team"})),
				"drop": filled(roles+"/remove", "end", "1"),
			}
			if len(product.Permissions) > 3 {
				steps["forget"] = permissions + "/remove"
			}
			if len(product.Roles) < 3 {
				delete(steps, "drop")
			}
			kind := oneOf(d, slices.Sorted(maps.Keys(steps)))
			page := g.get(sam, steps[kind])
			if page.Find("#impact form").Length() == 0 {
				continue
			}
			file, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(g.get(sam, steps[kind]+map[bool]string{true: "&csv=1", false: "?csv=1"}[strings.Contains(steps[kind], "?")]).body, "\ufeff"))).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			said := map[string]bool{}
			for _, line := range file[1:] {
				said[line[1]] = said[line[1]] || line[2] != "keeps"
			}
			before := g.everything(sites)
			if got := g.press(sam, page, "typed", lose(page)); got.status != 303 {
				t.Fatalf("seed %d, %s: %d: %s", seed, kind, got.status, got.text("#impact"))
			}
			after := g.everything(sites)
			for user := range g.users {
				changed := !maps.Equal(before[user], after[user])
				if changed != said[user] {
					t.Errorf("seed %d, %s: %s: the page says %v, and what happened is %v", seed, kind, user, said[user], changed)
				}
				if changed {
					concerned++
				}
			}
			kinds[kind] = true
		}
		if concerned < 20 || len(kinds) < 6 {
			t.Errorf("%d people were concerned by %v: too few to say anything", concerned, kinds)
		}
	})
}

func oneOf[T any](d *rand.Rand, all []T) T { return all[d.IntN(len(all))] }

// everything is what each person has of each permission of ClickTime at sites, as a
// product asks; what is nothing is left out.
func (g *rig) everything(sites []string) map[string]map[string]access.Level {
	g.t.Helper()
	all := map[string]map[string]access.Level{}
	for user, id := range g.users {
		s, p, err := g.Subject(g.t.Context(), g.actor.Tenant, store.Who{ID: id})
		if err != nil {
			g.t.Fatal(err)
		}
		product, _ := p.Product("clicktime")
		all[user] = map[string]access.Level{}
		for _, site := range sites {
			for _, permission := range product.Permissions {
				q := access.Question{Product: "clicktime", Permission: permission.ID, Place: access.Place{"site": g.sites[site]}}
				if level := p.Level(s, q, now); level != "" {
					all[user][site+" "+string(permission.ID)] = level
				}
			}
		}
	}
	return all
}
