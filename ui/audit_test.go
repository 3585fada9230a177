package ui

import (
	"database/sql"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"gatehouse/access"
	"gatehouse/store"
)

func TestEveryActionHasASentence(t *testing.T) {
	t.Parallel()
	for lang, words := range allWords() {
		for _, action := range store.Actions() {
			if text := words.texts[didPrefix+strings.ReplaceAll(action, ".", "_")]; text.Other == "" {
				t.Errorf("%s: no sentence %s%s in texts/%s/audit.json", action, didPrefix, strings.ReplaceAll(action, ".", "_"), lang)
			}
			if kind := words.texts["audit.kind."+kindOf(action)]; kind.Other == "" {
				t.Errorf("%s: no text audit.kind.%s in %s", action, kindOf(action), lang)
			}
		}
	}
}

// said are the sentences on a page, the newest first.
func (a answer) said() []string { return a.texts("#changes tbody th") }

func TestAuditTellsWhatHappened(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		ctx := t.Context()
		byAda := store.Actor{Tenant: g.actor.Tenant, Kind: store.ActorPerson, ID: string(g.users[ada]), RequestID: "r-7"}
		var token store.Token
		err := g.Write(ctx, byAda, func(tx *store.Tx) error {
			grants, err := tx.AddGrants(ctx, g.toUser(eva, "clicktime", "supervisor", g.at("uithof")), g.toGroup("Planning", "client", access.Scope{Everywhere: true}))
			if err == nil {
				err = tx.EndGrants(ctx, grants[1].ID)
			}
			denied := g.toUser(eva, "clicktime", "client", g.at("zeeland"))
			denied.Effect = access.Deny
			if err == nil {
				_, err = tx.AddGrants(ctx, denied)
			}
			if err == nil {
				_, err = tx.ChangePerson(ctx, g.users[eva], func(p store.Person) store.Person { p.LoginAllowed = false; return p })
			}
			connections, _ := tx.Connections(ctx, g.actor.Tenant)
			if err == nil {
				token, _, err = tx.CreateToken(ctx, connections[0], now.Add(time.Hour))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		bySCIM := store.Actor{Tenant: g.actor.Tenant, Kind: store.ActorSCIM, ID: string(token.ID), RequestID: "r-8"}
		err = g.Write(ctx, bySCIM, func(tx *store.Tx) error {
			_, _, err := tx.UpdateGroup(ctx, g.refs["Entra ID"], g.groups["IT"], func(group store.Group) (store.Group, store.MemberDelta, error) {
				return group, store.MemberDelta{Add: []store.MemberID{store.MemberID(g.users[eva])}}, nil
			})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		page := g.get(chloe, "/audit?from=2026-11-01")
		got := page.said()
		want := []string{
			"Entra ID (token …" + token.Hint + ") changed the members of IT: 1 added, 0 removed",
			"Ada Byron made the token …" + token.Hint + " for Entra ID",
			"Ada Byron blocked " + eva,
			"Ada Byron denied Eva Smit ClickTime: Client @ Zeeland",
			"Ada Byron took ClickTime: Client @ everywhere from Planning",
			"Ada Byron gave Planning ClickTime: Client @ everywhere",
			"Ada Byron gave Eva Smit ClickTime: Supervisor @ Uithof",
		}
		// Chloé's own session is the newest.
		got = slices.DeleteFunc(got, func(s string) bool { return strings.HasSuffix(s, " signed in") })
		if !slices.Equal(got[:min(len(got), len(want))], want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if whole := "grace on the command line gave Planning ClickTime: Supervisor @ Utrecht, Vlissingen"; !slices.Contains(got, whole) {
			t.Errorf("got no %q, which names all sites", whole)
		}
		if !slices.Contains(g.get(chloe, "/audit?q=Entra").said(), "grace on the command line added the identity provider Entra ID") {
			t.Errorf("got %v, want the command line's user", g.get(chloe, "/audit?q=Entra").said())
		}
		dutch := g.get(sam, "/audit?actor=ada.byron@waterland.example&action=person", func(r *http.Request) { r.Header.Set("Accept-Language", "nl") })
		if got := dutch.said(); len(got) != 1 || got[0] != "Ada Byron blokkeerde "+eva {
			t.Errorf("in Dutch: got %v", got)
		}
		for query, want := range map[string]string{
			"subject=IT&action=group.members": "changed the members",
			"request=r-8":                     "changed the members",
			"action=person":                   "blocked",
		} {
			if got := g.get(sam, "/audit?"+query).said(); len(got) == 0 || !strings.Contains(got[0], want) {
				t.Errorf("%s: got %v, want %q", query, got, want)
			}
		}
		href, _ := g.get(sam, "/audit?action=person").Find("#changes tbody td a").Attr("href")
		one := g.get(sam, href)
		if got := one.texts("#details tbody tr > *"); one.status != 200 || !slices.Equal(got, []string{"loginAllowed", "true", "false"}) {
			t.Errorf("%s: status %d, got %q, want what was before and after", href, one.status, got)
		}
		if got := one.text("main"); !strings.Contains(got, "All of the same request") || !strings.Contains(got, "All by Ada Byron") {
			t.Errorf("%s: got %q, want ways on", href, got)
		}
	})
}

func TestAuditFiltersAndBadAddresses(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for query, want := range map[string]struct {
		status int
		text   string
	}{
		"q=nobodyatall":                {200, "Nothing matches these filters"},
		"subject=nobodyatall":          {200, "Nobody and nothing is called that"},
		"from=yesterday":               {200, "A day looks like 2026-03-01"},
		"until=2026-02-30":             {200, "A day looks like 2026-03-01"},
		"action=x":                     {200, "Nothing matches"},
		"action=%27":                   {200, "Nothing matches"},
		"actor=%00":                    {200, "Nothing matches"},
		"subject=%ff":                  {200, "Nobody and nothing"},
		"request=%00":                  {200, "Nothing matches"},
		"connection=x":                 {200, "Nothing matches"},
		"from=0000-01-01":              {200, "grace on the command line"},
		"after=x":                      {400, "place in the list"},
		"after=" + encoded(t, "x"):     {400, "place in the list"},
		"after=" + encoded(t, "1' OR"): {400, "place in the list"},
	} {
		page := g.get(sam, "/audit?"+query)
		if page.status != want.status || !strings.Contains(page.text("main"), want.text) {
			t.Errorf("%s: status %d, want %d and %q:\n%s", query, page.status, want.status, want.text, page.text("main"))
		}
	}
	for _, path := range []string{"/audit/x", "/audit/01990000-0000-7000-8000-000000000009", "/audit/" + string(g.users[sam])} {
		if page := g.get(sam, path); page.status != 404 {
			t.Errorf("%s: status %d, want 404", path, page.status)
		}
	}
	if page := g.get(sam, "/audit.csv?from=x"); page.status != 400 {
		t.Errorf("a file for a day that is none: status %d, want 400", page.status)
	}
}

// encoded is a place in a list as an address has it.
func encoded(t *testing.T, place string) string {
	t.Helper()
	text, err := json.Marshal(place)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// The export is exactly what the filters show, on all pages.
func TestAuditExport(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.signIn(sam)
	evil := `=HYPERLINK("http://x")`
	g.write(func(tx *store.Tx) error {
		_, err := tx.CreateUser(t.Context(), g.refs["Okta"], user(evil, evil, true))
		return err
	})
	var listed []string
	pages := 0
	for next := "/audit?action=user"; next != ""; pages++ {
		page := g.get(sam, next)
		page.Find("#changes tbody td a").Each(func(_ int, a *goquery.Selection) {
			href, _ := a.Attr("href")
			listed = append(listed, strings.TrimPrefix(href, "/audit/"))
		})
		next, _ = page.Find(".pager a[rel=next]").Attr("href")
	}
	if pages < 2 {
		t.Fatalf("%d pages, want several", pages)
	}
	answer := g.get(sam, "/audit.csv?action=user")
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(answer.body, "\ufeff"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var exported []string
	for _, row := range rows[1:] {
		exported = append(exported, row[11])
	}
	if !slices.Equal(exported, listed) {
		t.Errorf("the file has %d rows, the list %d, or others", len(exported), len(listed))
	}
	if strings.Contains(answer.body, `,"=`) || strings.Contains(answer.body, ",=") || !strings.Contains(answer.body, `'=HYPERLINK`) {
		t.Errorf("a cell begins a formula")
	}
	var changes []store.Change
	if err := json.Unmarshal([]byte(g.get(sam, "/audit.json?action=user").body), &changes); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range changes {
		ids = append(ids, string(c.ID))
	}
	if !slices.Equal(ids, listed) {
		t.Errorf("the JSON has %d changes, the list %d, or others", len(ids), len(listed))
	}
	if got := g.get(sam, "/audit.json?q=nobodyatall").body; strings.Join(strings.Fields(got), "") != "[]" {
		t.Errorf("nothing: got %q, want []", got)
	}
}

func TestAuditShowsTheChain(t *testing.T) {
	t.Parallel()
	database := sqliteURL(t)
	g := newRigAt(t, database)
	ctx := t.Context()
	if got := g.get(chloe, "/audit").text(".chain"); !strings.Contains(got, "has not been checked") {
		t.Errorf("before: got %q", got)
	}
	if _, err := g.Seal(ctx, g.actor.Tenant); err != nil {
		t.Fatal(err)
	}
	if got := g.get(chloe, "/audit/check").text("main"); !strings.Contains(got, "The chain is whole: all") || !strings.Contains(got, "Last seal: 1:") {
		t.Errorf("sealed: got %q", got)
	}
	if got := g.get(chloe, "/audit/check").text("main > p.quiet"); !strings.Contains(got, "Before this check: The chain is whole") {
		t.Errorf("checked again: got %q", got)
	}
	if got := g.get(chloe, "/audit").text(".chain"); !strings.Contains(got, "The chain is whole") {
		t.Errorf("sealed, on the list: got %q", got)
	}
	var seals []sealJSON
	if err := json.Unmarshal([]byte(g.get(chloe, "/audit/seals.json").body), &seals); err != nil || len(seals) != 1 || len(seals[0].Covers) != seals[0].Changes*96 {
		t.Errorf("the seals: got %d, %v", len(seals), err)
	}
	db, err := sql.Open("sqlite", strings.TrimPrefix(database, "sqlite://"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{`DROP TRIGGER changes_stay`, `UPDATE changes SET actor_id = 'mallory' WHERE subject_name = 'Okta'`} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	if got := g.get(chloe, "/audit/check").text(".chain.broken"); !strings.Contains(got, "broken in 1 place") || !strings.Contains(got, "says something else") {
		t.Errorf("tampered: got %q", got)
	}
	page := g.get(chloe, "/audit?q=Okta")
	if got := page.text("tr.bad"); !strings.Contains(got, "mallory") || !strings.Contains(got, "says something else") {
		t.Errorf("the list: got %q, want the row marked", got)
	}
	href, _ := page.Find("tr.bad td a").Attr("href")
	if got := g.get(chloe, href).text("[role=alert]"); !strings.Contains(got, "says something else") {
		t.Errorf("the change: got %q, want it said", got)
	}
}

// Whoever may read the trail of some sites only gets none: it can't be cut up.
func TestAuditIsForWhoeverMayReadAll(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	atUtrecht := g.at("utrecht")
	atUtrecht.Sites["team"] = access.Selection{All: true}
	g.grant(g.toUser(eva, access.ConsoleID, access.RoleAuditor, atUtrecht))
	for _, path := range []string{"/audit", "/audit.csv", "/audit.json", "/audit/seals.json", "/audit/check", "/audit/" + url.PathEscape(string(g.users[sam]))} {
		if page := g.get(eva, path); page.status != 403 {
			t.Errorf("%s: status %d, want 403", path, page.status)
		}
	}
}
