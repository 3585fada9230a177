package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gatehouse/access"
	"gatehouse/internal/browser"
	"gatehouse/store"

	"github.com/PuerkitoBio/goquery"
)

// payloads are texts that do something where a page takes them for markup, script,
// style or an address: they call the function that reports, or ask the canary.
func payloads(canary string) []string {
	shapes := []string{
		`<script>RUN</script>`,
		`"><script>RUN</script>`,
		`'><script>RUN</script>`,
		`</title><script>RUN</script>`,
		`</textarea><script>RUN</script>`,
		`</style><script>RUN</script>`,
		`</script><script>RUN</script>`,
		`<img src=x onerror=RUN>`,
		`"><img src="CANARY">`,
		`<img srcset="CANARY 1x">`,
		`<svg onload=RUN>`,
		`<svg><script>RUN</script></svg>`,
		`" onfocus="RUN" autofocus x="`,
		`' onmouseover='RUN`,
		`x onclick=RUN //`,
		`javascript:RUN`,
		`JaVaScRiPt:RUN//`,
		`data:text/html,<script>RUN</script>`,
		`<iframe src="javascript:RUN"></iframe>`,
		`<iframe srcdoc="<script>RUN</script>"></iframe>`,
		`<a href="javascript:RUN">x</a>`,
		`<meta http-equiv=refresh content="0;url=CANARY">`,
		`<base href="CANARY">`,
		`<link rel=stylesheet href="CANARY">`,
		`<style>@import url(CANARY);</style>`,
		`<form action="CANARY"><button autofocus>go</button></form>`,
		`<math><mi xlink:href="javascript:RUN">x</mi></math>`,
		`{{RUN}} ${RUN} #{RUN}`,
		`<!--><img src=x onerror=RUN>-->`,
		`&lt;script&gt;RUN&lt;/script&gt;`,
		`\u003cscript\u003eRUN\u003c/script\u003e`,
		`<object data="CANARY"></object><embed src="CANARY">`,
		`<template><style></template><img src=x onerror=RUN>`,
		`'-RUN-'`,
	}
	for i, shape := range shapes {
		shapes[i] = strings.NewReplacer("RUN", fmt.Sprintf("%s('payload %d')", browser.Binding, i), "CANARY", fmt.Sprintf("%s/%d", canary, i)).Replace(shape)
	}
	return shapes
}

// most is how many pages of one kind are opened in the browser; of the others only
// the markup is looked at.
const most = 3

// TestTextsAreTexts puts payloads into every text that an identity provider or an
// administrator can set, and opens every page.
func TestTextsAreTexts(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	canary := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(canary.Close)
	texts := payloads(canary.URL)
	if len(texts) < 30 {
		t.Fatalf("%d payloads, want at least 30", len(texts))
	}
	h := hostileHouse(t, texts)
	all := h.screens(t, len(texts)+2)

	attacks, opened := 0, map[string]int{}
	shown := make([]bool, len(texts))
	harmless := func(what string, page document) {
		for _, found := range markup(page, h.url) {
			attacks++
			t.Errorf("%s: %s", what, found)
		}
		words := page.Text()
		page.Find("input").Each(func(_ int, input *goquery.Selection) { words += input.AttrOr("value", "") })
		for i, text := range texts {
			shown[i] = shown[i] || strings.Contains(words, text)
		}
	}
	p := h.visit(t, sam)
	look := func(path string) {
		p.Open(path)
		for _, fault := range p.Faults() {
			attacks++
			t.Errorf("%s: %s", path, fault)
		}
	}
	for i, s := range all {
		page := h.get(t, sam, s.path)
		harmless(s.path, page)
		if opened[s.pattern]++; opened[s.pattern] <= most {
			look(s.path)
		}
		// What is asked for comes back in the page, and what can't be saved beside its
		// field.
		for _, address := range asking(page, s.path, texts[i%len(texts)]) {
			harmless(address, h.get(t, sam, address))
			if opened[s.pattern] <= 1 {
				look(address)
			}
		}
	}
	sent := 0
	for i, s := range all {
		h.get(t, sam, s.path).Find("form[method=post]").Each(func(j int, form *goquery.Selection) {
			action := form.AttrOr("action", s.path)
			if action == "/logout" || strings.HasPrefix(action, "/me/") || strings.HasSuffix(action, "signout") {
				return
			}
			answer := h.do(t, sam, "POST", action, fill(form, texts[(i+j)%len(texts)]).Encode(), fromUs(h.url))
			if answer.status >= 500 {
				t.Errorf("POST %s of %s: status %d", action, s.path, answer.status)
			}
			harmless("POST "+action, answer)
			sent++
		})
	}
	for i, ok := range shown {
		if !ok {
			t.Errorf("no page shows %s: nothing was tried with it", texts[i])
		}
	}
	attacks += int(asked.Load())
	t.Logf("browser_attacks = %d of %d payloads on %d pages, %d of them in the browser, %d forms sent", attacks, len(texts), len(all), sum(opened, most), sent)
	if attacks > 0 {
		t.Errorf("the canary was asked %d times", asked.Load())
	}
}

func sum(counts map[string]int, most int) (n int) {
	for _, count := range counts {
		n += min(count, most)
	}
	return n
}

// fromUs are the headers of a form that a page of ours sends.
func fromUs(origin string) http.Header {
	return http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {origin}, "Sec-Fetch-Site": {"same-origin"}}
}

// fill is what a browser sends of a form in which somebody typed a text everywhere.
func fill(form *goquery.Selection, text string) url.Values {
	values := url.Values{}
	form.Find("input, textarea, select, button").Each(func(_ int, input *goquery.Selection) {
		name, kind := input.AttrOr("name", ""), input.AttrOr("type", "text")
		switch {
		case name == "":
		case input.Is("select"):
			values.Add(name, input.Find("option").Last().AttrOr("value", ""))
		case input.Is("button"), kind == "hidden", kind == "checkbox", kind == "radio":
			values.Set(name, input.AttrOr("value", ""))
		default:
			values.Add(name, text)
		}
	})
	return values
}

// asking are the addresses of a page's forms that ask for something, with a text in
// every field.
func asking(page document, path, text string) []string {
	path, _, _ = strings.Cut(path, "?")
	return page.Find("main form:not([method=post])").Map(func(_ int, form *goquery.Selection) string {
		return form.AttrOr("action", path) + "?" + fill(form, text).Encode()
	})
}

// markup is what no page of ours has: it came of a text.
func markup(page document, home string) (found []string) {
	page.Find("*").Each(func(_ int, e *goquery.Selection) {
		node := e.Get(0)
		switch node.Data {
		case "iframe", "object", "embed", "base", "math", "style", "img", "template", "frame", "applet", "mi":
			found = append(found, "there is a "+node.Data)
		case "script":
			if !strings.HasPrefix(e.AttrOr("src", ""), "/s/") || e.Text() != "" {
				found = append(found, "a script: "+e.Text())
			}
		}
		for _, a := range node.Attr {
			value := strings.ToLower(strings.TrimSpace(a.Val))
			switch {
			case strings.HasPrefix(a.Key, "on"), a.Key == "style", a.Key == "srcdoc", a.Key == "http-equiv", a.Key == "srcset":
				found = append(found, node.Data+" has "+a.Key+"="+a.Val)
			case a.Key == "href" || a.Key == "src" || a.Key == "action" || a.Key == "formaction":
				u, err := url.Parse(value)
				if err != nil || u.Scheme != "" && !strings.HasPrefix(value, home) && u.Scheme != "https" && u.Scheme != "mailto" || u.Scheme == "" && u.Host != "" {
					found = append(found, node.Data+" leads to "+a.Val)
				}
			}
		}
	})
	return found
}

// hostileHouse is a server whose people, groups, sites, products, grants and
// connections are named by payloads, but for Sam, who looks at them.
func hostileHouse(t *testing.T, texts []string) *house {
	t.Helper()
	database := filepath.Join(t.TempDir(), "gatehouse.db")
	first := command(t, database, "connection", "add", "--tenant=default", "--name="+texts[0], "--idp=entra", "--json")
	h := start(t, database, "--database-url=sqlite://"+database, "serve", "--listen=127.0.0.1:0", "--record-for=24h", "--record-personal")
	var c struct {
		URL   string `json:"scim_url"`
		Token string
	}
	if err := json.Unmarshal(first, &c); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	scim := func(method, path string, body any) map[string]any {
		t.Helper()
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), method, h.url+u.Path+path, strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Authorization": {"Bearer " + c.Token}, "Content-Type": {"application/scim+json"}, "User-Agent": {texts[7]}}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var made map[string]any
		if err := json.NewDecoder(response.Body).Decode(&made); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		return made
	}
	scim("POST", "/Users", map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User"}, "userName": sam, "active": true})
	groups := make([]access.GroupID, len(texts))
	for i, text := range texts {
		made := scim("POST", "/Users", map[string]any{
			"schemas":  []string{"urn:ietf:params:scim:schemas:core:2.0:User", "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"},
			"userName": text, "displayName": text, "externalId": text, "nickName": text, "title": text, "userType": text, "active": true,
			"name":         map[string]any{"givenName": text, "familyName": text, "formatted": text},
			"emails":       []any{map[string]any{"value": text, "type": "work", "display": text}},
			"phoneNumbers": []any{map[string]any{"value": text, "type": "work"}},
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": map[string]any{"department": text, "employeeNumber": text, "costCenter": text},
		})
		group := scim("POST", "/Groups", map[string]any{
			"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "displayName": text,
			"members": []any{map[string]any{"value": made["id"], "display": text}},
		})
		id, ok := group["id"].(string)
		if !ok {
			t.Fatalf("no group %s: %v", text, group)
		}
		groups[i] = access.GroupID(id)
		scim("GET", "/Users?filter="+url.QueryEscape(`userName eq "`+text), nil) // it is refused, and noted
	}
	sites := make([]access.SiteID, len(texts))
	roles := make([]access.Role, len(texts))
	permissions := make([]access.Permission, len(texts))
	for i, text := range texts {
		id := access.PermissionID(fmt.Sprintf("p%d", i))
		permissions[i] = access.Permission{ID: id, Name: text}
		roles[i] = access.Role{ID: access.RoleID(fmt.Sprintf("r%d", i)), Name: text, Permissions: map[access.PermissionID]access.Level{id: access.LevelAllow}}
		sites[i] = store.NewSiteID()
	}
	h.write(t, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.SetDimension(ctx, access.Dimension{ID: "site", Name: texts[1]}); err != nil {
			return err
		}
		for i, text := range texts {
			site := access.Site{ID: sites[i], Dimension: "site", Key: fmt.Sprintf("s%d", i), Name: text}
			if i%2 == 1 {
				site.Parent = sites[i-1]
			}
			if _, err := tx.AddSites(ctx, site); err != nil {
				return err
			}
		}
		product := access.Product{ID: "hostile", Name: texts[2], Levels: []access.Level{access.LevelAllow}, Permissions: permissions, Roles: roles, Dimensions: []access.DimensionID{"site"}}
		if err := tx.SetProduct(ctx, product); err != nil {
			return err
		}
		for i, text := range texts {
			at := access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: []access.SiteID{sites[i]}}}}
			_, err := tx.AddGrants(ctx, access.Grant{Subject: access.Grantee{Group: groups[i]}, Effect: access.Allow, Product: "hostile",
				Role: roles[i].ID, Scope: at, Reason: text, Origin: access.OriginMapping})
			if err != nil {
				return err
			}
		}
		return nil
	})
	for i := 3; i < len(texts); i += 10 {
		command(t, database, "connection", "add", "--tenant=default", "--name="+texts[i], "--idp=okta", "--json")
	}
	h.hire(t, sam, access.RoleOwner)
	return h
}

// TestRedirectsStayHere gives every parameter that says where to go next a foreign
// address, and asks the browser where it would go.
func TestRedirectsStayHere(t *testing.T) {
	t.Parallel()
	h := demo(t)
	h.hire(t, sam, access.RoleOwner)
	p := h.visit(t, sam)
	p.Open("/me")
	host := strings.TrimPrefix(h.url, "http://")
	foreign := []string{
		"https://evil.example/", "http://evil.example", "//evil.example/", "///evil.example", "////evil.example", `\\evil.example`, `/\evil.example`, `\/evil.example`,
		"/\t/evil.example", "/\n/evil.example", "\t//evil.example", " //evil.example", "/%09/evil.example", "/%5cevil.example", "/%2f/evil.example", "//%65vil.example",
		"https:evil.example", "https:/evil.example", "http:///evil.example", "javascript:alert(1)", "data:text/html,x", "//" + host + "@evil.example/", "http://" + host + ".evil.example/",
		"http://" + host + "@evil.example/", "/..//evil.example", "/./\\evil.example", "/people/..//evil.example", "//evil.example/%2e%2e", "/?to=//evil.example", "/%0d%0aLocation:%20//evil.example",
		"?x=//evil.example", "evil.example", "./evil.example", "..//evil.example", "/login?to=//evil.example", "/\u00a0/evil.example", "/\u2028/evil.example", "//[::1]/", "//127.0.0.1:1/", "/\x00/evil.example",
	}
	ways := []struct {
		what string
		send func(to string) document
	}{
		{"the sign-in page, signed in", func(to string) document { return h.get(t, sam, "/login?to="+url.QueryEscape(to)) }},
		{"preferences", func(to string) document {
			return h.do(t, "", "POST", "/preferences", url.Values{"language": {"en"}, "to": {to}}.Encode(), fromUs(h.url))
		}},
	}
	stayed, n := 0, 0
	for _, way := range ways {
		for _, to := range foreign {
			n++
			answer := way.send(to)
			location := answer.header.Get("Location")
			if answer.status != 303 {
				t.Errorf("%s, %q: status %d, want 303", way.what, to, answer.status)
				continue
			}
			quoted, _ := json.Marshal(location) // a string
			if got := browser.Eval[string](p, "new URL("+string(quoted)+", location.href).origin"); got != h.url {
				t.Errorf("%s, %q: leads to %s on %s", way.what, to, location, got)
				continue
			}
			stayed++
		}
	}
	p.Open("/login?to=" + url.QueryEscape("//evil.example/"))
	if at := p.URL(); !strings.HasPrefix(at, h.url+"/") {
		t.Errorf("the browser went to %s", at)
	}
	p.Clean()
	t.Logf("redirects_stay = %d of %d", stayed, n)
}

// TestOtherSitesChangeNothing sends every form of the console as pages elsewhere
// could.
func TestOtherSitesChangeNothing(t *testing.T) {
	t.Parallel()
	h := demo(t)
	h.hire(t, sam, access.RoleOwner)
	port := h.url[strings.LastIndex(h.url, ":"):]
	ways := []struct {
		why, origin, site, kind string
	}{
		{"a form of another site", "https://evil.example", "cross-site", "application/x-www-form-urlencoded"},
		{"a script of another site", "https://evil.example", "cross-site", "application/json"},
		{"the same site by another name", "http://localhost" + port, "cross-site", "application/x-www-form-urlencoded"},
		{"another port of the same host", "http://127.0.0.1:1", "same-site", "application/x-www-form-urlencoded"},
		{"nowhere, as sandboxes say", "null", "cross-site", "application/x-www-form-urlencoded"},
		{"nowhere, in an old browser", "null", "", "application/x-www-form-urlencoded"},
		{"plain text", "https://evil.example", "cross-site", "text/plain"},
	}
	newest := func() []store.Change {
		t.Helper()
		h.secret(t, sam) // signing in is a change, too
		changes, err := h.Changes(t.Context(), h.tenant.ID, 1)
		if err != nil {
			t.Fatal(err)
		}
		return changes
	}
	before, refused, n := newest(), 0, 0
	type form struct{ method, path string }
	var forms []form
	for _, r := range h.routes {
		if r.Method != "GET" && r.Method != "" && (r.Access == "session" || slices.Contains(forAnybody, r.Pattern)) {
			forms = append(forms, form{r.Method, strings.NewReplacer("{", "", "}", "").Replace(r.Pattern)})
		}
	}
	for _, f := range forms {
		for _, way := range ways {
			header := http.Header{"Content-Type": {way.kind}, "Origin": {way.origin}}
			if way.site != "" {
				header.Set("Sec-Fetch-Site", way.site)
			}
			n++
			if got := h.do(t, sam, f.method, f.path, "language=nl", header); got.status != 403 || got.header.Get("Set-Cookie") != "" {
				t.Errorf("%s %s from %s: status %d, cookie %q, want 403 and none", f.method, f.path, way.why, got.status, got.header.Get("Set-Cookie"))
				continue
			}
			refused++
		}
	}
	if after := newest(); len(before) != 1 || after[0].ID != before[0].ID {
		t.Errorf("what was refused changed something: %+v", after)
	}
	for _, f := range forms {
		if got := h.do(t, ada, f.method, f.path, "language=xx", fromUs(h.url)); strings.Contains(got.Text(), elsewhere) {
			t.Errorf("%s %s from a page of ours is refused, too", f.method, f.path)
		}
		h.secrets.Delete(ada) // one of them signs her out
	}
	if len(forms) < 2 {
		t.Errorf("%d forms, want at least 2", len(forms))
	}
	t.Logf("cross_site_refused = %d of %d: %d forms, %d ways", refused, n, len(forms), len(ways))
}

// forAnybody are forms of the console for those who aren't signed in, and elsewhere
// is what the page says that refuses one.
var forAnybody = []string{"/preferences", "/logout"}

const elsewhere = "This came from another site"

// TestAForeignPageInTheBrowser lets the browser itself send what another site makes
// it send.
func TestAForeignPageInTheBrowser(t *testing.T) {
	t.Parallel()
	h := demo(t)
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<!doctype html><title>Prizes</title>
<form method="post" action="%[1]s/logout"><button>Form</button></form>
<form method="post" action="%[1]s/logout" enctype="text/plain"><button>Text</button></form>
<button id="fetch" type="button">Fetch</button>
<script>document.getElementById("fetch").onclick = () => fetch("%[1]s/logout", {method: "POST", mode: "no-cors", credentials: "include", body: "x"}).finally(() => { document.title = "Sent"; });</script>`, h.url)
	}))
	t.Cleanup(evil.Close)
	for _, host := range []string{"127.0.0.1", "localhost"} { // the same site, and another one
		p := h.visit(t, sam)
		from := strings.Replace(evil.URL, "127.0.0.1", host, 1)
		for _, button := range []string{"Form", "Text"} {
			p.Open(from)
			p.Follow("button", button)
			p.Wait(`location.href.endsWith("/logout")`)
			p.WaitText(elsewhere)
		}
		p.Open(from)
		p.Click("button", "Fetch")
		p.Wait(`document.title === "Sent"`)
		p.Open("/me")
		if p.Path() != "/me" {
			t.Errorf("a page at %s signed Sam out", host)
		}
	}
}
