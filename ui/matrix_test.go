package ui

import (
	"encoding/csv"
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

// rowOf is what the cells of a row of a table say, its head first.
func rowOf(a answer, table, head string) []string {
	for i, name := range a.texts(table + " tbody th:first-child") {
		if name == head {
			return append([]string{name}, a.texts(fmt.Sprintf("%s tbody tr:nth-child(%d) td", table, i+1))...)
		}
	}
	return nil
}

func TestMatrixOfGroupsAndSites(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		deny := g.toGroup("Welders", "client", g.at("zeeland"))
		deny.Effect = access.Deny
		later := g.toGroup("Welders", "supervisor", g.at("uithof"))
		later.From = now.AddDate(0, 0, 1)
		g.grant(g.toGroup("Planning", "client", g.at("uithof")), deny, later)
		got := g.get(ada, "/matrix")
		if heads := got.texts("#matrix thead th"); !slices.Equal(heads, []string{"Group", "Utrecht", "Nieuwegein", "Uithof", "Zeeland", "Vlissingen"}) {
			t.Errorf("columns: %q", heads)
		}
		for head, want := range map[string][]string{
			"Planning":            {"Supervisor", "Supervisor", "Client, Supervisor", "", "Supervisor"},
			"Utrecht technicians": {"", "", "Supervisor", "", ""},
			"Welders":             {"", "", "", "not Client", "not Client"},
		} {
			if row := rowOf(got, "#matrix", head); !slices.Equal(row, append([]string{head}, want...)) {
				t.Errorf("got %q, want %q", row, want)
			}
		}
		if row := rowOf(got, "#matrix", "Finance"); row != nil {
			t.Errorf("a group that is granted nothing is there: %q", row)
		}
		cells := got.Find("#matrix tbody td")
		if links := cells.Find("a").Length(); links != cells.FilterFunction(func(_ int, s *goquery.Selection) bool { return s.Text() != "" }).Length() {
			t.Errorf("%d links, want one in each cell that isn't empty", links)
		}
		title := got.Find("#matrix a[title*='from Utrecht']").First()
		if !strings.Contains(title.AttrOr("title", ""), "Supervisor, from Utrecht") {
			t.Errorf("what comes from above: %q", title.AttrOr("title", ""))
		}
		// One grant leads to its editor, several to their list; who changes nothing to
		// the grant.
		href := func(as, row, column string) string {
			a := g.get(as, "/matrix?group="+url.QueryEscape(row)+"&site="+column)
			return a.Find("#matrix tbody td a").First().AttrOr("href", "")
		}
		for _, test := range []struct{ as, row, column, want string }{
			{ada, "Utrecht technicians", "uithof", "/mappings/*/edit"},
			{chloe, "Utrecht technicians", "uithof", "/mappings/*"},
			{ada, "Planning", "uithof", "/mappings?group=" + string(g.groups["Planning"]) + "&site=" + string(g.sites["uithof"])},
		} {
			link := href(test.as, test.row, test.column)
			prefix, suffix, _ := strings.Cut(test.want, "*")
			if !strings.HasPrefix(link, prefix) || !strings.HasSuffix(link, suffix) {
				t.Errorf("%s, %s at %s: leads to %q, want %q", test.as, test.row, test.column, link, test.want)
			}
			if there := g.get(test.as, link); there.status != 200 {
				t.Errorf("%s: status %d", link, there.status)
			}
		}
		flipped := g.get(ada, "/matrix?flip=1")
		if row := rowOf(flipped, "#matrix", "Zeeland"); len(row) != len(flipped.texts("#matrix thead th")) || !slices.Contains(row, "not Client") {
			t.Errorf("rows and columns swapped: %q", row)
		}
		if only := g.get(ada, "/matrix?site=UIT&group=plan"); !slices.Equal(only.texts("#matrix th"), []string{"Group", "Uithof", "Planning"}) {
			t.Errorf("filtered: %q", only.texts("#matrix th"))
		}
		if none := g.get(ada, "/matrix?group=zzz"); none.Find("#matrix").Length() > 0 || none.Find(".empty a").AttrOr("href", "") != "/matrix" {
			t.Errorf("nothing matches: %q", none.text("main"))
		}
		for _, odd := range []string{"/matrix?product=x", "/matrix?rows=-3&cols=99999999999999999999", "/matrix?dimension=x&pivot=y", "/matrix?product=console&dimension=team"} {
			if got := g.get(ada, odd); got.status != 200 {
				t.Errorf("%s: status %d", odd, got.status)
			}
		}
		if got := g.get(ada, "/matrix?at=yesterday"); got.status != 400 {
			t.Errorf("no date: status %d", got.status)
		}
	})
}

func TestMatrixOfRoles(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		g.grant(g.toGroup("Welders", "client", access.Scope{Everywhere: true}), g.toUser(eva, "clicktime", "client", g.at("uithof")))
		got := g.get(chloe, "/matrix?pivot=roles")
		for head, want := range map[string][]string{
			"Planning": {"4", ""}, "Utrecht technicians": {"1", ""}, "Dijkwerk staff": {"", "1"}, "Welders": {"", "all"},
		} {
			if row := rowOf(got, "#matrix", head); !slices.Equal(row, append([]string{head}, want...)) {
				t.Errorf("sites of roles: got %q, want %q", row, want)
			}
		}
		people := g.get(chloe, "/matrix?pivot=people")
		links := people.Find("#matrix tbody td a")
		if links.Length() == 0 {
			t.Fatal("no cells to look at")
		}
		links.Each(func(_ int, a *goquery.Selection) {
			there := g.get(chloe, a.AttrOr("href", ""))
			if count, _, _ := strings.Cut(there.text("#count"), " "); there.status != 200 || count != a.Text() {
				t.Errorf("%s: the cell says %s, the page %q", a.AttrOr("href", ""), a.Text(), there.text("#count"))
			}
		})
		// Frank of the technicians has left, Eva comes twice.
		if row := rowOf(people, "#matrix", "Supervisor"); !slices.Equal(row, []string{"Supervisor", "12", "12", "14", "", "12"}) {
			t.Errorf("people: %q", row)
		}
	})
}

// TestMatrixOfAnotherDay looks at a day before and after what was granted then was
// taken back, and its group deleted.
func TestMatrixOfAnotherDay(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		at := url.QueryEscape(now.Format(time.RFC3339Nano))
		before := map[string]answer{}
		for _, pivot := range pivots {
			before[pivot] = g.get(chloe, "/matrix?pivot="+pivot)
		}
		g.later(time.Hour)
		g.write(func(tx *store.Tx) error {
			if err := tx.DeleteUser(t.Context(), g.refs["Entra ID"], g.users[eva]); err != nil {
				return err
			}
			return tx.DeleteGroup(t.Context(), g.refs["Okta"], g.groups["Dijkwerk staff"])
		})
		for _, pivot := range pivots {
			then, is := g.get(chloe, "/matrix?pivot="+pivot+"&at="+at), g.get(chloe, "/matrix?pivot="+pivot)
			if want, got := before[pivot].texts("#matrix th, #matrix td"), then.texts("#matrix th, #matrix td"); !slices.Equal(got, want) || len(got) < 10 {
				t.Errorf("%s: got %q, want as it was %q", pivot, got, want)
			}
			if slices.Equal(is.texts("#matrix th, #matrix td"), before[pivot].texts("#matrix th, #matrix td")) {
				t.Errorf("%s: nothing has changed since: the test is no test", pivot)
			}
		}
	})
}

func TestMatrixOfOwnSites(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		for _, pivot := range pivots {
			for _, path := range []string{"/matrix?pivot=" + pivot, "/matrix.csv?pivot=" + pivot, "/matrix?flip=1&pivot=" + pivot, "/matrix?product=console&pivot=" + pivot} {
				got := g.get(bob, path)
				if got.status != 200 {
					t.Errorf("%s: status %d", path, got.status)
				}
				for _, foreign := range []string{"Zeeland", "Vlissingen", "Dijkwerk staff"} {
					if strings.Contains(got.body, foreign) {
						t.Errorf("%s: shows %s", path, foreign)
					}
				}
			}
		}
		if row := rowOf(g.get(bob, "/matrix?pivot=roles"), "#matrix", "Planning"); !slices.Equal(row, []string{"Planning", "all", ""}) {
			t.Errorf("sites, of one's own: %q", row)
		}
		for as, want := range map[string]int{nobody: 303, eva: 403} {
			if got := g.get(as, "/matrix"); got.status != want {
				t.Errorf("%s: status %d, want %d", as, got.status, want)
			}
		}
	})
}

func TestMatrixIsPaged(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	ctx := t.Context()
	g.write(func(tx *store.Tx) error {
		var sites []access.Site
		for i := range 60 {
			sites = append(sites, access.Site{Dimension: "site", Key: fmt.Sprintf("s%03d", i), Name: fmt.Sprintf("Site %03d", i)})
		}
		_, err := tx.AddSites(ctx, sites...)
		return err
	})
	for i := range 130 {
		name := fmt.Sprintf("Crew %03d", i)
		g.write(func(tx *store.Tx) error {
			doc := []byte(`{}`)
			made, _, err := tx.CreateGroup(ctx, g.refs["Okta"], store.Group{DisplayName: name, Doc: doc, Search: doc}, nil)
			if err != nil {
				return err
			}
			g.groups[name] = made.ID
			_, err = tx.AddGrants(ctx, g.toGroup(name, "client", access.Scope{Everywhere: true}))
			return err
		})
	}
	rows, columns := map[string]int{}, map[string]int{}
	count := func(a answer) {
		for _, name := range a.texts("#matrix tbody th") {
			rows[name]++
		}
		for _, name := range a.texts("#matrix thead th")[1:] {
			columns[name]++
		}
	}
	pages := 0
	for down := "/matrix"; down != ""; {
		first := g.get(ada, down)
		for right := down; right != ""; {
			page := g.get(ada, right)
			count(page)
			pages++
			if n := page.Find("*").Length(); n > 3600 {
				t.Errorf("%s has %d elements", right, n)
			}
			right = page.Find("nav[aria-label=Columns] a[rel=next]").AttrOr("href", "")
		}
		down = first.Find("nav[aria-label=Rows] a[rel=next]").AttrOr("href", "")
	}
	if pages != 9 || len(rows) != 133 || len(columns) != 65 {
		t.Errorf("%d pages, %d rows, %d columns; want 9, 133 and 65", pages, len(rows), len(columns))
	}
	for name, n := range rows {
		if n != 3 {
			t.Errorf("row %s on %d pages, want 3", name, n)
		}
	}
	file, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(g.get(ada, "/matrix.csv?rows=2").body, "\ufeff"))).ReadAll()
	if err != nil || len(file) != 134 || len(file[0]) != 66 {
		t.Errorf("the file: %d rows (%v), want all", len(file), err)
	}
}

func TestMatrixAsAFileIsNoFormula(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.write(func(tx *store.Tx) error {
		_, err := tx.AddSites(t.Context(), access.Site{Dimension: "site", Key: "evil", Name: `=HYPERLINK("x")`})
		return err
	})
	file, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(g.get(ada, "/matrix.csv").body, "\ufeff"))).ReadAll()
	if err != nil || !slices.Contains(file[0], `'=HYPERLINK("x")`) || slices.Contains(file[0], `=HYPERLINK("x")`) {
		t.Errorf("got %q, %v", file, err)
	}
}
