package ui

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// place is a site as the tenant has it now, by its key.
func (g *rig) place(key string) access.Site {
	g.t.Helper()
	p, _, err := g.Policy(g.t.Context(), g.actor.Tenant)
	if err != nil {
		g.t.Fatal(err)
	}
	site, _ := p.SiteByKey("site", key)
	return site
}

func (g *rig) siteAt(key string) string { return "/sites/" + string(g.sites[key]) }

// abroad is a site of another tenant, with a product of the same name.
func (g *rig) abroad() access.SiteID {
	g.t.Helper()
	ctx := g.t.Context()
	other, err := g.EnsureTenant(ctx, store.Actor{Kind: store.ActorSystem}, "globex")
	if err != nil {
		g.t.Fatal(err)
	}
	id := store.NewSiteID()
	err = g.Write(ctx, store.Actor{Tenant: other.ID, Kind: store.ActorCLI, ID: "grace"}, func(tx *store.Tx) error {
		if err := tx.SetDimension(ctx, access.Dimension{ID: "site"}); err != nil {
			return err
		}
		_, err := tx.AddSites(ctx, access.Site{ID: id, Dimension: "site", Key: "moon", Name: "Moon base"})
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return id
}

// lose is how many people a panel says lose something, as one types it.
func lose(page answer) string {
	n := 0
	for _, text := range page.texts("#impact p[role=status] .chip.bad") {
		one, _ := strconv.Atoi(strings.Fields(text)[0])
		n += one
	}
	return strconv.Itoa(n)
}

func TestTheTreeOpensLevelByLevel(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		names := func(a answer) []string {
			var all []string
			for _, href := range a.Find(".tree a[href^='/sites/']").EachIter() {
				all = append(all, href.Text())
			}
			return all
		}
		top := g.get(chloe, "/sites")
		if got := names(top); !slices.Equal(got, []string{"Utrecht", "Zeeland"}) || top.text("#sites-count") != "5 sites" {
			t.Errorf("at the top: %q of %s", got, top.text("#sites-count"))
		}
		open := g.get(chloe, top.Find("a:contains('Show what is below Utrecht')").AttrOr("href", ""))
		if got := names(open); !slices.Equal(got, []string{"Utrecht", "Nieuwegein", "Uithof", "Zeeland"}) {
			t.Errorf("opened: %q", got)
		}
		shut := g.get(chloe, open.Find("a:contains('Hide what is below Utrecht')").AttrOr("href", ""))
		if got := names(shut); len(got) != 2 {
			t.Errorf("closed again: %q", got)
		}
		found := g.get(chloe, "/sites?q=VLIS")
		if got := found.texts("#sites tbody tr > *"); !slices.Equal(got, []string{"Vlissingen", "Zeeland", "vlissingen", ""}) {
			t.Errorf("found %q", got)
		}
		if none := g.get(chloe, "/sites?q=zzz"); none.Find(".empty a[href='/sites?dimension=site']").Length() != 1 {
			t.Errorf("nothing found: %s", none.text("main"))
		}
		if empty := g.get(chloe, "/sites?dimension=team"); empty.text(".empty") != "There are no sites yet." {
			t.Errorf("an empty dimension, to an auditor: %q", empty.text(".empty"))
		}
		if empty := g.get(sam, "/sites?dimension=team"); empty.Find(".empty a[href='/sites/new?dimension=team']").Length() != 1 {
			t.Errorf("an empty dimension, to an owner: %q", empty.text(".empty"))
		}
		if own := g.get(bob, "/sites?open="+string(g.sites["zeeland"])); strings.Contains(own.body, "Zeeland") || !slices.Equal(names(own), []string{"Utrecht"}) {
			t.Errorf("one's own: %q", names(own))
		}
	})
}

func TestTenThousandSites(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	var last access.Site
	g.write(func(tx *store.Tx) error {
		var sites []access.Site
		for i := range 100 {
			region := access.Site{ID: store.NewSiteID(), Dimension: "site", Key: fmt.Sprintf("r%02d", i), Name: fmt.Sprintf("Region %02d", i)}
			sites = append(sites, region)
			for j := range 99 {
				last = access.Site{ID: store.NewSiteID(), Dimension: "site", Parent: region.ID, Key: fmt.Sprintf("s%02d-%02d", i, j), Name: fmt.Sprintf("Site %02d-%02d", i, j)}
				sites = append(sites, last)
			}
		}
		_, err := tx.AddSites(t.Context(), sites...)
		return err
	})
	for path, want := range map[string]string{
		"/sites":                                 "Region 00",
		"/sites?n=3":                             "Zeeland",
		"/sites?open=" + string(last.ID):         "Site 99-98",
		"/sites?q=site+42":                       "Site 42-00",
		"/sites?q=site+42&n=2":                   "Site 42-98",
		"/sites/" + string(last.Parent):          "Site 99-00",
		"/sites/" + string(last.ID) + "/edit":    "key or name",
		"/matrix?cols=400":                       "Columns 9,577 to 9,600",
		"/people?site=" + url.QueryEscape("s00"): "people",
	} {
		got := g.get(sam, path)
		if elements := got.Find("*").Length(); got.status != 200 || !strings.Contains(got.text("main"), want) && want != "key or name" || elements > 1500 && !strings.HasPrefix(path, "/matrix") {
			t.Errorf("%s: status %d, %d elements, want %q: %.300s", path, got.status, elements, want, got.text("main"))
		}
	}
	edit := g.get(sam, "/sites/"+string(last.ID)+"/edit?name=Moved&key=moved&parent=region+05")
	if edit.Find("#impact form").Length() != 1 || edit.Find("#f-parent").AttrOr("value", "") != "r05" {
		t.Errorf("a site above by its name: %s", edit.text("main"))
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(g.get(sam, "/sites.csv").body, "\ufeff"))).ReadAll()
	if err != nil || len(rows) != 10006 {
		t.Errorf("%d rows (%v), want all", len(rows), err)
	}
}

func TestWhoIsAtASiteAndWhy(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		deny := g.toUser(eva, "clicktime", "supervisor", g.at("uithof"))
		deny.Effect = access.Deny
		own := g.toUser(eva, "clicktime", "client", g.at("uithof"))
		own.Reason, own.Until = "holiday help", now.AddDate(0, 1, 0)
		g.grant(deny, own, g.toGroup("Planning", "client", g.at("vlissingen")))
		got := g.get(chloe, g.siteAt("uithof"))
		if got.text("h1") != "Uithof" || got.text("nav[aria-label='Where it is'] a") != "Utrecht" {
			t.Errorf("%d: %q below %q", got.status, got.text("h1"), got.text("nav[aria-label='Where it is']"))
		}
		row := func(a answer, who string) string {
			for _, text := range a.texts("#people tbody tr") {
				if strings.Contains(text, who) {
					return text
				}
			}
			return ""
		}
		for who, want := range map[string]string{
			eva:   "Eva Smit " + eva + " ClickTime: Client ← directly, here ClickTime: Supervisor ← Planning, from Utrecht ClickTime: not Supervisor ← directly, here",
			bob:   "Bob Okafor " + bob + " ClickTime: Supervisor ← Utrecht technicians, here Console: Site administrator ← directly, from Utrecht",
			chloe: "Chloé Martin " + chloe + " Console: Auditor ← directly, everywhere",
		} {
			if text := row(got, who); strings.ReplaceAll(text, " ", "") != strings.ReplaceAll(want, " ", "") { // <br> is none
				t.Errorf("got  %q\nwant %q", text, want)
			}
		}
		if frank := row(got, "frank.visser"); frank != "" {
			t.Errorf("who has left is here: %s", frank)
		}
		if strings.Contains(got.text("#grants"), "Vlissingen") || !strings.Contains(got.text("#grants"), "holiday help") || !strings.Contains(got.text("#grants"), "22 Dec 2026") {
			t.Errorf("grants: %q", got.text("#grants"))
		}
		if first := got.texts("#grants tbody tr"); !strings.Contains(first[0], "here") || got.Find("#grants tr.quiet").Length() == 0 {
			t.Errorf("what is said here isn't first: %q", first)
		}
		only := g.get(chloe, g.siteAt("uithof")+"?role=clicktime/client")
		if people := only.texts("#people tbody th .quiet"); !slices.Equal(people, []string{eva}) || only.text("#count") != "1 person" {
			t.Errorf("clients: %q, %s", people, only.text("#count"))
		}
		if empty := g.get(chloe, g.siteAt("zeeland")+"?role=clicktime/client"); empty.text(".empty") != "Nobody has access here yet." {
			t.Errorf("nobody: %q", empty.text("main"))
		}
		if below := g.get(chloe, g.siteAt("utrecht")).texts(".tree li"); len(below) != 2 || !strings.HasPrefix(below[0], "Nieuwegein") {
			t.Errorf("below: %q", below)
		}
		file, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(g.get(bob, g.siteAt("uithof")+"/people.csv").body, "\ufeff"))).ReadAll()
		if err != nil || !slices.ContainsFunc(file, func(row []string) bool {
			return slices.Equal(row, []string{"Eva Smit", eva, "ClickTime: Supervisor", "Planning", "from Utrecht"})
		}) {
			t.Errorf("the file (%v): %q", err, file)
		}
	})
}

func TestThePeopleOfASiteComeInPages(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		scope := access.Scope{Everywhere: true}
		g.grant(g.toGroup("Everyone Waterland", "client", scope))
		var all []string
		for path := g.siteAt("zeeland") + "?role=clicktime/client"; path != ""; {
			page := g.get(sam, path)
			all = append(all, page.texts("#people tbody th .quiet")...)
			path = page.Find(".pager a[rel=next]").AttrOr("href", "")
		}
		if n := len(slices.Compact(slices.Sorted(slices.Values(all)))); n != len(all) || n != 47 {
			t.Errorf("%d people, %d different, want the 47 who are live", len(all), n)
		}
	})
}

func TestASiteOfAnotherDay(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		at := "at=" + url.QueryEscape(now.Format(time.RFC3339Nano))
		before := g.get(chloe, g.siteAt("uithof"))
		g.later(time.Hour)
		g.write(func(tx *store.Tx) error {
			ctx := t.Context()
			if err := tx.DeleteUser(ctx, g.refs["Entra ID"], g.users[eva]); err != nil {
				return err
			}
			if err := tx.DeleteGroup(ctx, g.refs["Entra ID"], g.groups["Utrecht technicians"]); err != nil {
				return err
			}
			_, err := tx.ChangeSite(ctx, g.sites["uithof"], func(s access.Site) access.Site {
				s.Name, s.Parent = "Science Park", g.sites["zeeland"]
				return s
			})
			return err
		})
		is, then := g.get(chloe, g.siteAt("uithof")), g.get(chloe, g.siteAt("uithof")+"?"+at)
		if is.text("h1") != "Science Park" || strings.Contains(is.body, eva) || strings.Contains(is.text("#people"), "Planning") {
			t.Errorf("now: %s", is.text("main"))
		}
		if then.text("h1") != "Uithof" || then.text("nav[aria-label='Where it is'] a") != "Utrecht" || then.text("#count") != before.text("#count") {
			t.Errorf("then: %s, below %s, %s, want %s", then.text("h1"), then.text("nav[aria-label='Where it is'] a"), then.text("#count"), before.text("#count"))
		}
		if want, got := before.texts("#people tbody tr"), then.texts("#people tbody tr"); !slices.Equal(got, want) {
			t.Errorf("people then: %q\nwant %q", got, want)
		}
		if then.Find("aside a[href$='/edit']").Length() > 0 || !strings.Contains(then.text(".flash"), "As it was on") {
			t.Error("the past can be changed, or isn't called that")
		}
		if !strings.Contains(is.text("#history"), "Science Park") {
			t.Errorf("history: %q", is.text("#history"))
		}
		// What came first is on a page of its own, however much came since.
		for i := range timelinePage {
			g.write(func(tx *store.Tx) error {
				_, err := tx.ChangeSite(t.Context(), g.sites["uithof"], func(s access.Site) access.Site { s.Name = fmt.Sprint("Quay ", i); return s })
				return err
			})
		}
		newest := g.get(chloe, g.siteAt("uithof"))
		oldest := g.get(chloe, newest.Find("main a[href$='#history']").AttrOr("href", ""))
		if n := newest.Find("#history tbody tr").Length(); n != timelinePage || strings.Contains(newest.text("#history"), "Science Park") {
			t.Errorf("the newest %d changes: %q", n, newest.text("#history"))
		}
		if !strings.Contains(oldest.text("#history"), "Science Park") || strings.Contains(oldest.text("#history"), "Quay") || oldest.Find("main a[href$='#history']").Length() > 0 {
			t.Errorf("the changes before: %q", oldest.text("#history"))
		}
		if got := g.get(chloe, g.siteAt("uithof")+"?before=x"); got.status != 404 {
			t.Errorf("before no change: status %d, want 404", got.status)
		}
		// Before the site was there it isn't.
		if early := g.get(chloe, g.siteAt("uithof")+"?at=2026-01-01"); early.status != 404 {
			t.Errorf("before there was one: status %d", early.status)
		}
	})
}

// TestForeignSitesAreUnknown holds that what a visitor may not see answers as what
// isn't there.
func TestForeignSitesAreUnknown(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		abroad := "/sites/" + string(g.abroad())
		strip := func(a answer, id string) string {
			a.Find(".quiet, input").Remove()
			text, _ := a.Find("main").Html()
			return strings.ReplaceAll(text, id, "ID")
		}
		for _, tail := range []string{"", "/edit", "/archive", "/restore", "/people.csv", "/edit?name=x&key=y&parent="} {
			random := "/sites/" + string(store.NewSiteID())
			want := strip(g.get(sam, random+tail), random)
			if got := g.get(sam, abroad+tail); got.status != 404 || strip(got, abroad) != want {
				t.Errorf("%s of another tenant: status %d", tail, got.status)
			}
			for as, status := range map[string]int{chloe: 403, bob: 403} {
				if tail == "" || tail == "/people.csv" {
					if status = 404; as == chloe {
						continue // she may see all
					}
				}
				if got := g.get(as, g.siteAt("zeeland")+tail); got.status != status || strings.Contains(got.text("main"), "Zeeland") {
					t.Errorf("%s, %s: status %d, want %d", as, tail, got.status, status)
				}
			}
		}
		for _, id := range []string{"x", "%00", "..", strings.Repeat("9", 5000)} {
			if got := g.get(sam, "/sites/"+id); got.status >= 500 || got.status < 300 {
				t.Errorf("/sites/%.20s: status %d", id, got.status)
			}
		}
	})
}

func TestAddMoveAndArchiveSites(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		form := g.get(sam, "/sites/new?parent="+string(g.sites["utrecht"]))
		if form.Find("#impact form").Length() > 0 || form.Find("#f-parent option[selected]").AttrOr("value", "") != string(g.sites["utrecht"]) || form.Find("main .field .error").Length() > 0 {
			t.Fatalf("%d: %s", form.status, form.text("main"))
		}
		add := "/sites/new?dimension=site&name=Vleuten&key=vleuten&parent=" + string(g.sites["utrecht"])
		page := g.get(sam, add)
		saved := g.press(sam, page)
		if made := g.place("vleuten"); saved.status != 303 || saved.header.Get("Location") != g.siteAt("utrecht") || made.Parent != g.sites["utrecht"] {
			t.Fatalf("%d to %s: %+v: %s", saved.status, saved.header.Get("Location"), made, saved.text("main"))
		}
		vleuten := g.place("vleuten").ID
		if again := g.press(sam, page); again.status != 303 || again.header.Get("Location") != g.siteAt("utrecht") {
			t.Errorf("sent twice: %d: %s", again.status, again.text("main"))
		}

		// Below Zeeland nobody of Planning has anything there.
		move := g.get(sam, "/sites/"+string(vleuten)+"/edit?name=Vleuten+West&key=vleuten&parent="+string(g.sites["zeeland"]))
		if !strings.Contains(move.text("#impact"), "Alice Jansen") || !strings.Contains(move.text("#impact"), "lose") {
			t.Errorf("the panel says: %s", move.text("#impact"))
		}
		losers := lose(move)
		if wrong := g.press(sam, move, "typed", "1"); wrong.status != 409 || g.place("vleuten").Parent != g.sites["utrecht"] {
			t.Errorf("a wrong number: status %d", wrong.status)
		}
		if forged := g.press(sam, move, "digest", "0000", "typed", losers); forged.status != 409 || g.place("vleuten").Name != "Vleuten" {
			t.Errorf("an edited digest: status %d", forged.status)
		}
		if got := g.press(sam, move, "typed", losers); got.status != 303 || g.place("vleuten").Parent != g.sites["zeeland"] || g.place("vleuten").Name != "Vleuten West" {
			t.Errorf("moved: %d: %s", got.status, got.text("main"))
		}

		archive := g.get(sam, g.siteAt("uithof")+"/archive")
		losers = lose(archive)
		if got := g.press(sam, archive, "typed", losers); losers == "0" || got.status != 303 || !g.place("uithof").Archived {
			t.Fatalf("archived: %d, %s lose: %s", got.status, losers, got.text("main"))
		}
		if got := g.press(sam, archive, "typed", losers); got.status != 303 {
			t.Errorf("archived twice: status %d", got.status)
		}
		gone := g.get(sam, g.siteAt("uithof"))
		if !strings.Contains(gone.text("aside"), "archived") || gone.text("#count") != "0 people" || gone.Find("aside a[href$='/restore']").Length() != 1 {
			t.Errorf("archived: %s", gone.text("main"))
		}
		if list := g.get(sam, "/sites?state=archived").texts("#sites tbody th a"); !slices.Equal(list, []string{"Uithof"}) {
			t.Errorf("archived sites: %q", list)
		}
		back := g.get(sam, g.siteAt("uithof")+"/restore")
		if got := g.press(sam, back, "typed", "0"); got.status != 303 || g.place("uithof").Archived {
			t.Errorf("brought back: %d: %s", got.status, got.text("main"))
		}
	})
}

func TestWrongSitesAreToldBesideTheField(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		new := func(values ...string) string {
			query := url.Values{"dimension": {"site"}, "name": {"Vleuten"}, "key": {"vleuten"}, "parent": {""}}
			for i := 0; i < len(values); i += 2 {
				query.Set(values[i], values[i+1])
			}
			return "/sites/new?" + query.Encode()
		}
		for _, test := range []struct{ why, path, field, want string }{
			{"a key that is taken", new("key", "uithof"), "key", "There is another one with the key uithof."},
			{"a key that addresses leave out", new("key", ".."), "key", "No address can have that in it: choose another key."},
			{"no name", new("name", "  "), "name", "Fill this in."},
			{"no key", new("key", ""), "key", "Fill this in."},
			{"a long name", new("name", strings.Repeat("é", 201)), "name", "At most 200 characters."},
			{"two lines", new("name", "a\nb"), "name", "Write it on one line."},
			{"below what isn't there", new("parent", string(store.NewSiteID())), "parent", "There is no open site"},
			{"below another tenant's", new("parent", string(g.abroad())), "parent", "There is no open site"},
			{"below itself", g.siteAt("utrecht") + "/edit?name=U&key=u&parent=" + string(g.sites["uithof"]), "parent", "There is no open site"},
			{"another's key", g.siteAt("utrecht") + "/edit?name=U&key=zeeland&parent=", "key", "There is another one with the key zeeland."},
		} {
			got := g.get(sam, test.path)
			if text := got.text("#e-" + test.field); got.status != 200 || !strings.HasPrefix(text, test.want) || got.Find("#impact form").Length() > 0 {
				t.Errorf("%s: status %d, %q, want %q", test.why, got.status, text, test.want)
			}
			if got := g.post(sam, test.path, url.Values{}); got.status != 400 {
				t.Errorf("%s, posted: status %d, want 400", test.why, got.status)
			}
		}
		if got := g.post(sam, new(), url.Values{"digest": {"x"}, "key": {"x"}}); got.status < 400 || got.status >= 500 || g.place("vleuten").ID != "" {
			t.Errorf("a made-up save: status %d", got.status)
		}
		if got := g.post(sam, new(), url.Values{"digest": {"x"}}, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }); got.status != 403 {
			t.Errorf("from another site: status %d", got.status)
		}
		for _, as := range []string{chloe, bob, eva} {
			if got := g.get(as, new()); got.status != 403 {
				t.Errorf("%s: status %d, want 403", as, got.status)
			}
		}
	})
}

// TestAdministratorsOfSomeSites holds that who may change sites below one place
// changes those alone.
func TestAdministratorsOfSomeSites(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		scope := g.at("utrecht")
		scope.Sites["team"] = access.Selection{All: true}
		g.grant(g.toUser(eva, access.ConsoleID, access.RoleAccessAdministrator, scope))
		if got := g.get(eva, g.siteAt("zeeland")); got.status != 404 {
			t.Errorf("elsewhere: status %d", got.status)
		}
		add := g.get(eva, "/sites/new?dimension=site&name=Vleuten&key=vleuten&parent="+string(g.sites["utrecht"]))
		if got := g.press(eva, add); got.status != 303 || g.place("vleuten").Parent != g.sites["utrecht"] {
			t.Errorf("below one's own: %d: %s", got.status, got.text("main"))
		}
		for _, path := range []string{"/sites/new?dimension=site&name=Top&key=top&parent=", "/sites/new?dimension=site&name=Top&key=top&parent=" + string(g.sites["zeeland"])} {
			if got := g.get(eva, path); got.Find("#impact form").Length() > 0 || got.text("#e-parent") == "" || strings.Contains(got.body, "Zeeland") {
				t.Errorf("%s: %s", path, got.text("main"))
			}
		}
		if got := g.get(eva, "/sites/import"); got.status != 403 {
			t.Errorf("an import: status %d", got.status)
		}
		if got := g.get(eva, "/sites.csv"); strings.Contains(got.body, "zeeland") || !strings.Contains(got.body, "utrecht") {
			t.Errorf("the file: %s", got.body)
		}
	})
}

// upload sends a file as a browser's form does.
func (g *rig) upload(as, path, file string) answer {
	g.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "sites.csv")
	if err != nil {
		g.t.Fatal(err)
	}
	part.Write([]byte(file))
	form.WriteField("body", "")
	form.Close()
	return g.post(as, path, nil, func(r *http.Request) {
		r.Body, r.ContentLength = http.NoBody, 0
		data := body.Bytes()
		r.Body, r.ContentLength = readCloser{bytes.NewReader(data)}, int64(len(data))
		r.Header.Set("Content-Type", form.FormDataContentType())
	})
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

func TestSitesFromAFile(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		// What was downloaded changes nothing.
		same := g.upload(sam, "/sites/import", g.get(sam, "/sites.csv").body)
		if same.status != 200 || !strings.Contains(same.text("main"), "0 sites are added") || !strings.Contains(same.text("main"), "5 sites stay") || same.Find("#impact form").Length() > 0 {
			t.Errorf("%d: %s", same.status, same.text("main"))
		}
		file := "dimension,key,name,parent,archived\r\nsite,vleuten,\"Vleuten, West\",utrecht,no\r\nsite,uithof,Uithof,zeeland,no\r\nsite,'=cmd,Formula,vleuten,no\r\n"
		page := g.upload(sam, "/sites/import", file)
		if page.status != 200 || !strings.Contains(page.text("main"), "2 sites are added") || !strings.Contains(page.text("#impact"), "Alice Jansen") {
			t.Fatalf("%d: %s", page.status, page.text("main"))
		}
		losers := lose(page)
		body := page.Find("#impact textarea[name=body]").Text()
		if got := g.press(sam, page, "body", strings.Replace(body, "Vleuten", "Elsewhere", 1), "typed", losers); got.status != 409 || g.place("vleuten").ID != "" {
			t.Errorf("an edited file: status %d", got.status)
		}
		for range 2 {
			if got := g.press(sam, page, "body", body, "typed", losers); got.status != 303 {
				t.Fatalf("%d: %s", got.status, got.text("main"))
			}
		}
		if g.place("vleuten").Name != "Vleuten, West" || g.place("uithof").Parent != g.sites["zeeland"] || g.place("=cmd").Parent != g.place("vleuten").ID {
			t.Errorf("got %+v, %+v, %+v", g.place("vleuten"), g.place("uithof"), g.place("=cmd"))
		}
		if out := g.get(sam, "/sites.csv").body; !strings.Contains(out, ",'=cmd,") {
			t.Errorf("a formula in the file: %s", out)
		}
		bad := g.upload(sam, "/sites/import", "dimension,key,name,parent\nsite,a,A,nowhere\nplanet,b,B,\n")
		if bad.status != 400 || len(bad.texts("main .error li")) != 2 || !strings.HasPrefix(bad.texts("main .error li")[0], "Line") || g.place("a").ID != "" {
			t.Errorf("a wrong file: %d: %s", bad.status, bad.text("main"))
		}
		for _, odd := range []string{"", "\x00", "\xff\xfe", strings.Repeat("site,", 1000)} {
			if got := g.upload(sam, "/sites/import", odd); got.status != 400 {
				t.Errorf("%.10q: status %d, want 400", odd, got.status)
			}
		}
		if got := g.upload(sam, "/sites/import", strings.Repeat("x", maxForm+1)); got.status != 413 {
			t.Errorf("a large file: status %d, want 413", got.status)
		}
		for _, as := range []string{bob, chloe} {
			if got := g.upload(as, "/sites/import", file); got.status != 403 {
				t.Errorf("%s: status %d, want 403", as, got.status)
			}
		}
	})
}

func TestAddADimension(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		page := g.get(sam, "/sites/dimensions/new?name=Regions&key=region")
		for range 2 {
			if got := g.press(sam, page); got.status != 303 || got.header.Get("Location") != "/sites?dimension=region" {
				t.Fatalf("%d: %s", got.status, got.text("main"))
			}
		}
		if tabs := g.get(sam, "/sites").texts(".tabs a"); !slices.Contains(tabs, "Regions") {
			t.Errorf("dimensions: %q", tabs)
		}
		if got := g.get(sam, "/sites/dimensions/new?name=Sites&key=site"); got.text("#e-key") == "" {
			t.Errorf("a key that is taken: %s", got.text("main"))
		}
	})
}
