package ui

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"gatehouse/access"
	"gatehouse/internal/pgtest"
	"gatehouse/store"
)

// things are what requests speak of, by what it is: {person}, {group}, …
type things map[string]string

func (t things) fill(text string) string {
	var pairs []string
	for name, id := range t {
		pairs = append(pairs, "{"+name+"}", id)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// with is t with one thing of others in it.
func (t things) with(name string, others things) things {
	changed := maps.Clone(t)
	changed[name] = others[name]
	return changed
}

// world is the sample company with one of everything that a page can be about, and
// another tenant that has the same.
type world struct {
	*rig
	mine, theirs things
	// nothing has the form of something, and is nowhere.
	nothing things
	// outside is the tenant's, at sites that Bob does not administer.
	outside things
}

// seed is what all worlds of a database begin with: the database itself, and what
// is in it.
type seed struct {
	sync.Once
	world    *world
	file     []byte          // of SQLite
	postgres pgtest.Template // or the other
}

var onSQLite, onPostgres seed

// newWorld is a world of its own, on SQLite.
func newWorld(t *testing.T) *world {
	t.Helper()
	onSQLite.Do(func() {
		g := newRig(t)
		w := stock(g)
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
		var err error
		if onSQLite.file, err = os.ReadFile(strings.TrimPrefix(g.url, "sqlite://")); err != nil {
			t.Fatal(err)
		}
		onSQLite.world = w
	})
	file := filepath.Join(t.TempDir(), "world.db")
	if err := os.WriteFile(file, onSQLite.file, 0o600); err != nil {
		t.Fatal(err)
	}
	return onSQLite.open(t, "sqlite://"+file)
}

// newPostgresWorld is the same on PostgreSQL.
func newPostgresWorld(t *testing.T) *world {
	t.Helper()
	onPostgres.Do(func() {
		onPostgres.postgres.Prepare = func(ctx context.Context, url string) error {
			if err := migrate(ctx, url); err != nil {
				return err
			}
			g := newRigAt(t, url)
			onPostgres.world = stock(g)
			return g.Close()
		}
	})
	return onPostgres.open(t, onPostgres.postgres.URL(t))
}

func (of *seed) open(t *testing.T, url string) *world {
	t.Helper()
	if of.world == nil {
		t.Fatal("the template could not be made")
	}
	w, g := *of.world, openRig(t, url)
	g.refs, g.users, g.groups, g.sites, g.cookies = w.refs, w.users, w.groups, w.sites, w.cookies
	w.rig = g
	return &w
}

// stock puts one of everything into a company, and makes the other tenant.
func stock(g *rig) *world {
	g.t.Helper()
	w := &world{rig: g}
	for _, who := range everybody {
		g.signIn(who)
	}
	g.write(func(tx *store.Tx) error {
		_, err := tx.ChangePerson(g.t.Context(), g.users["frank.visser@waterland.example"], func(p store.Person) store.Person { p.LoginAllowed = false; return p })
		return err
	})
	w.mine = things{
		"person": string(g.users["daan.bakker@waterland.example"]), "other": string(g.users[bob]), "blocked": string(g.users["frank.visser@waterland.example"]),
		"group": string(g.groups["Utrecht technicians"]), "site": string(g.sites["uithof"]), "upper": string(g.sites["nieuwegein"]), "archived": string(store.NewSiteID()), "product": "clicktime", "role": "supervisor", "permission": "timesheet",
		"mapping": string(g.granted("Utrecht technicians")[0].ID), "connection": string(g.refs["Entra ID"].ID),
		"asset": g.console.assets["app.css"].path,
	}
	w.furnish(g.actor, w.mine, g.users[sam])
	w.outside = maps.Clone(w.mine)
	maps.Copy(w.outside, things{
		"person": string(g.users["noor.mulder@waterland.example"]), "other": string(g.users["ada.byron@dijkwerk.example"]), "group": string(g.groups["Dijkwerk staff"]),
		"site": string(g.sites["vlissingen"]), "upper": string(g.sites["zeeland"]), "mapping": string(g.granted("Dijkwerk staff")[0].ID), "connection": string(g.refs["Okta"].ID),
	})
	bySam := store.Actor{Tenant: g.actor.Tenant, Kind: store.ActorPerson, ID: string(g.users[sam])}
	err := g.Write(g.t.Context(), bySam, func(tx *store.Tx) (err error) {
		if w.outside["review"], err = w.openReview(tx, w.outside, "Vlissingen", g.users[sam]); err != nil {
			return err
		}
		w.outside["invitation"], _, err = w.invite(tx, w.outside, "Klaas Buiten", g.users[sam])
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	w.outside["change"] = w.changeAbout(g.actor, w.outside["mapping"])
	w.globex()
	w.nothing = things{}
	for name := range w.theirs {
		w.nothing[name] = string(store.NewSiteID())
	}
	for _, secret := range []string{"invited", "setup", "glass"} {
		delete(w.theirs, secret) // whoever has it may use it
	}
	w.mine["opening"] = w.opening()
	w.nothing["product"], w.nothing["role"], w.nothing["permission"] = "nosuchproduct", "nosuchrole", "nosuchpermission"
	return w
}

// furnish makes what a company has beside its people and who has what.
func (w *world) furnish(actor store.Actor, t things, owner store.UserID) {
	w.t.Helper()
	ctx := w.t.Context()
	t["change"] = w.changeAbout(actor, t["mapping"])
	sessions, err := w.Sessions(ctx, actor.Tenant, owner)
	if err != nil || len(sessions) == 0 {
		w.t.Fatalf("sessions: %v, %v", sessions, err)
	}
	t["session"] = string(sessions[0].ID)
	c, err := w.connection(actor.Tenant, t["connection"])
	if err != nil {
		w.t.Fatal(err)
	}
	byOwner := store.Actor{Tenant: actor.Tenant, Kind: store.ActorPerson, ID: string(owner)}
	err = w.Write(ctx, byOwner, func(tx *store.Tx) error {
		token, _, err := tx.CreateToken(ctx, c, now.AddDate(1, 0, 0))
		if err != nil {
			return err
		}
		t["token"] = string(token.ID)
		key, _, err := tx.CreateKey(ctx, access.ProductID(t["product"]), false, time.Time{})
		if err != nil {
			return err
		}
		t["key"] = string(key.ID)
		hook, err := tx.AddWebhook(ctx, access.ProductID(t["product"]), "https://hooks.example/"+string(actor.Tenant))
		if err != nil {
			return err
		}
		t["webhook"] = string(hook.ID)
		if _, err := tx.AddSites(ctx, access.Site{ID: access.SiteID(t["archived"]), Dimension: "site", Key: "old", Name: "Old site", Parent: access.SiteID(t["upper"]), Archived: true}); err != nil {
			return err
		}
		link, secret, err := tx.CreateSetupLink(ctx, c.ID)
		if err != nil {
			return err
		}
		t["link"], t["setup"] = link.ID, secret
		delivery := store.Delivery{ID: store.DeliveryID(store.NewSiteID()), WebhookID: hook.ID, Seq: 1, UserID: store.UserID(t["person"]), Type: "access.changed", Body: "{}",
			CreatedAt: store.At(now), State: store.DeliveryDead, Attempts: 8, NextAt: store.At(now), Error: "timeout", EndedAt: store.At(now)}
		tx.QueueDeliveries([]store.Delivery{delivery})
		t["delivery"] = string(delivery.ID)
		if t["invitation"], t["invited"], err = w.invite(tx, t, "Jan Klus", owner); err != nil {
			return err
		}
		once, secret, err := w.invite(tx, t, "Kim Klaar", owner)
		if err != nil {
			return err
		}
		kim, err := tx.AcceptInvitation(ctx, secret)
		if err != nil {
			return err
		}
		// Nobody who visits may touch it.
		passkey, err := tx.AddPasskey(ctx, store.Passkey{UserID: kim.UserID, Credential: []byte(once), PublicKey: []byte("key"), Name: "Phone"})
		if err != nil {
			return err
		}
		t["accepted"], t["passkey"] = once, string(passkey.ID)
		if _, t["glass"], err = tx.CreateBreakGlass(ctx); err != nil {
			return err
		}
		if t["review"], err = w.openReview(tx, t, "Uithof", owner); err != nil {
			return err
		}
		view, err := tx.SaveView(ctx, store.View{UserID: owner, Name: "Active ones", Path: "/people?state=active"})
		if err != nil {
			return err
		}
		draft, err := tx.KeepDraft(ctx, store.Draft{UserID: owner, Doc: "v=1&group=" + t["group"]})
		if err != nil {
			return err
		}
		t["view"], t["draft"] = string(view.ID), string(draft.ID)
		requests := []store.Request{{TenantID: actor.Tenant, ConnectionID: c.ID, At: store.At(now.Add(-time.Hour)), Count: 1, RequestID: "r-1", Method: "GET",
			Path: "/Users", Status: 200, Headers: "{}", Notes: "{}"}}
		if err := tx.RecordRequests(ctx, requests); err != nil {
			return err
		}
		t["request"] = string(requests[0].ID)
		doc := []byte(`{"displayname":"night"}`)
		night, _, err := tx.CreateGroup(ctx, c.Ref(), store.Group{DisplayName: "Night", Doc: doc, Search: doc}, nil)
		if err != nil {
			return err
		}
		asleep, err := tx.AddGrants(ctx, access.Grant{Subject: access.Grantee{Group: access.GroupID(night.ID)}, Effect: access.Allow,
			Product: access.ProductID(t["product"]), Role: access.RoleID(t["role"]), Origin: access.OriginMapping,
			Scope: access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: []access.SiteID{access.SiteID(t["site"])}}}}})
		if err != nil {
			return err
		}
		t["asleep"] = string(asleep[0].ID)
		if err := tx.DeleteGroup(ctx, c.Ref(), night.ID); err != nil {
			return err
		}
		person, err := tx.User(ctx, c.Ref(), store.UserID(t["person"]), false)
		if err != nil {
			return err
		}
		if _, err := tx.Link(ctx, c.Ref(), "https://id.example", "subject-of-"+t["person"], store.LinkUserName, person.UserName); err != nil {
			return err
		}
		again, _, err := tx.CreateGroup(ctx, c.Ref(), store.Group{DisplayName: "Night", Doc: doc, Search: doc}, nil)
		t["night"] = string(again.ID)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// opening opens a tenant that nobody owns yet, to its first owner.
func (w *world) opening() (secret string) {
	w.t.Helper()
	ctx := w.t.Context()
	tenant, err := w.EnsureTenant(ctx, store.Actor{Kind: store.ActorSystem}, "newcomer")
	if err == nil {
		err = w.Write(ctx, store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI, ID: "nina"}, func(tx *store.Tx) error {
			_, secret, err = tx.CreateSetup(ctx)
			return err
		})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return secret
}

// invite invites somebody to what a company has, at one of its sites.
func (w *world) invite(tx *store.Tx, t things, name string, sponsor store.UserID) (id, secret string, err error) {
	one, secret, err := tx.CreateInvitation(w.t.Context(), store.Invitation{
		Kind: access.KindContractor, DisplayName: name, Email: strings.ReplaceAll(strings.ToLower(name), " ", ".") + "@klus.example", Sponsor: sponsor, AccountEnds: store.At(now.AddDate(0, 1, 0)),
		Grants: []access.Grant{{Effect: access.Allow, Product: access.ProductID(t["product"]), Role: access.RoleID(t["role"]), Origin: access.OriginDirect,
			Scope: access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: []access.SiteID{access.SiteID(t["site"])}}}}}},
	})
	return string(one.ID), secret, err
}

// openReview opens a review of a company's site, in which one person is to be decided
// about.
func (w *world) openReview(tx *store.Tx, t things, name string, reviewer store.UserID) (string, error) {
	policy, err := tx.Policy(w.t.Context())
	if err != nil {
		return "", err
	}
	g, _ := policy.Grant(access.GrantID(t["mapping"]))
	one, err := tx.OpenReview(w.t.Context(), store.Review{Name: name, ReviewScope: store.ReviewScope{Site: access.SiteID(t["site"])}, Reviewer: reviewer, ReviewerName: "The owner",
		DueAt: store.At(now.AddDate(0, 0, 14)), Months: 3},
		[]store.ReviewPerson{{UserID: store.UserID(t["person"]), Named: store.Named{Name: "somebody", Connection: "a provider"}, Kind: access.KindEmployee, Flags: []store.ReviewFlag{store.FlagFirst},
			ReviewHad: store.ReviewHad{Now: []store.ReviewHolding{{Grant: g, Groups: []store.ReviewGroup{{ID: g.Subject.Group, Name: "a group"}}}}}}})
	return string(one.ID), err
}

func (w *world) connection(tenant store.TenantID, id string) (store.Connection, error) {
	all, err := w.Connections(w.t.Context(), tenant)
	for _, c := range all {
		if string(c.ID) == id {
			return c, err
		}
	}
	return store.Connection{}, fmt.Errorf("connection %s: %w (%v)", id, store.ErrNotFound, err)
}

// changeAbout is the first change of something.
func (w *world) changeAbout(actor store.Actor, id string) string {
	w.t.Helper()
	changes, err := w.ChangesAbout(w.t.Context(), actor.Tenant, id, 1)
	if err != nil || len(changes) == 0 {
		w.t.Fatalf("changes about %s: %v, %v", id, changes, err)
	}
	return string(changes[0].ID)
}

// globex is the other tenant. All of its names begin with Globex, so that one that
// is seen elsewhere is known.
func (w *world) globex() {
	w.t.Helper()
	ctx := w.t.Context()
	tenant, err := w.EnsureTenant(ctx, store.Actor{Kind: store.ActorSystem}, "globex")
	if err != nil {
		w.t.Fatal(err)
	}
	actor := store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI, ID: "gus"}
	site, t := store.NewSiteID(), things{"product": "globextime", "role": "globexer", "permission": "globexing"}
	t["site"], t["upper"], t["archived"] = string(site), string(store.NewSiteID()), string(store.NewSiteID())
	var owner store.UserID
	err = w.Write(ctx, actor, func(tx *store.Tx) error {
		c, err := tx.CreateConnection(ctx, "Globex Entra", store.IdPEntra)
		if err != nil {
			return err
		}
		t["connection"] = string(c.ID)
		for _, who := range []string{"owner", "person", "other", "blocked"} {
			u, err := tx.CreateUser(ctx, c.Ref(), user("globex."+who+"@globex.example", "Globex "+who, true))
			if err != nil {
				return err
			}
			t[who] = string(u.ID)
		}
		owner = store.UserID(t["owner"])
		if _, err := tx.ChangePerson(ctx, store.UserID(t["blocked"]), func(p store.Person) store.Person { p.LoginAllowed = false; return p }); err != nil {
			return err
		}
		doc := []byte(`{"displayname":"globex ops"}`)
		group, _, err := tx.CreateGroup(ctx, c.Ref(), store.Group{DisplayName: "Globex Ops", Doc: doc, Search: doc}, []store.MemberID{store.MemberID(t["person"])})
		if err != nil {
			return err
		}
		t["group"] = string(group.ID)
		if err := tx.SetDimension(ctx, access.Dimension{ID: "site", Name: "Globex sites"}); err != nil {
			return err
		}
		if _, err := tx.AddSites(ctx, access.Site{ID: site, Dimension: "site", Key: "globex", Name: "Globex Plaza"},
			access.Site{ID: access.SiteID(t["upper"]), Dimension: "site", Key: "globex2", Name: "Globex Park"}); err != nil {
			return err
		}
		return tx.SetProduct(ctx, access.Product{ID: "globextime", Name: "Globex Time", Levels: []access.Level{"view"},
			Permissions: []access.Permission{{ID: "globexing", Name: "Globexing"}},
			Roles:       []access.Role{{ID: "globexer", Name: "Globexer", Permissions: map[access.PermissionID]access.Level{"globexing": "view"}}},
			Dimensions:  []access.DimensionID{"site"}})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	err = w.Write(ctx, actor, func(tx *store.Tx) error {
		if _, err := tx.AddGrants(ctx, access.ConsoleBaseline(""), access.Grant{Subject: access.Grantee{User: access.UserID(owner)}, Effect: access.Allow,
			Product: access.ConsoleID, Role: access.RoleOwner, Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect}); err != nil {
			return err
		}
		made, err := tx.AddGrants(ctx, access.Grant{Subject: access.Grantee{Group: access.GroupID(t["group"])}, Effect: access.Allow, Product: "globextime", Role: "globexer",
			Scope:  access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: []access.SiteID{site}}}},
			Origin: access.OriginMapping})
		if err != nil {
			return err
		}
		t["mapping"] = string(made[0].ID)
		_, _, err = tx.CreateSession(ctx, store.Session{UserID: owner, Method: store.MethodOIDC})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.furnish(actor, t, owner)
	w.theirs = t
}

// example is a request that a route is made for: the owner's goes through. Each
// thing in its path and form may be somebody else's.
type example struct {
	route string // method and pattern
	path  string
	form  string // of a POST, as a query; "panel" saves what the page at path shows
	want  byte   // of the owner, if it isn't yes
	looks bool   // a form that saves nothing
	adds  bool   // something at each time that it is sent
}

func (e example) method() string {
	method, _, _ := strings.Cut(e.route, " ")
	if method == "" {
		return "GET"
	}
	return method
}

// ask sends an example as somebody, about things.
func (w *world) ask(as string, e example, t things, edit ...func(*http.Request)) answer {
	w.t.Helper()
	path := t.fill(e.path)
	if strings.Contains(e.route, "passkey") {
		edit = append(edit, atLocalhost)
	}
	var a answer
	if e.method() == "POST" {
		a = w.post(as, path, w.form(e, t), edit...)
	} else {
		a = w.do(as, e.method(), path, nil, edit...)
	}
	a.check(w.t, e.route+" as "+as)
	return a
}

// atLocalhost asks the console by a name, without which there are no passkeys.
func atLocalhost(r *http.Request) {
	r.Host = "localhost:" + r.URL.Port()
	if r.Header.Get("Origin") == "http://"+r.URL.Host {
		r.Header.Set("Origin", "http://"+r.Host)
	}
}

// form is what an example sends. What a panel agrees to is what the owner sees.
func (w *world) form(e example, t things) url.Values {
	w.t.Helper()
	if e.form == "panel" {
		page := w.get(sam, t.fill(e.path))
		form := url.Values{}
		page.Find("#impact form input").Each(func(_ int, input *goquery.Selection) { form.Set(input.AttrOr("name", ""), input.AttrOr("value", "")) })
		if typed := tally.FindString(page.text("#impact label[for=f-typed]")); typed != "" {
			form.Set("typed", typed)
		}
		return form
	}
	form, err := url.ParseQuery(t.fill(e.form))
	if err != nil {
		w.t.Fatal(err)
	}
	return form
}

// close ends a world before its test does: there are not that many connections.
func (w *world) close() {
	w.t.Helper()
	w.server.Close()
	if w.raw != nil {
		w.raw.Close()
	}
	if err := w.Close(); err != nil {
		w.t.Error(err)
	}
}

// check holds what is so of every answer: the headers, and no more in the page than
// they allow.
func (a answer) check(t *testing.T, what string) {
	t.Helper()
	for name, want := range map[string]string{
		"Content-Security-Policy": contentPolicy, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "same-origin",
	} {
		if name == "Cache-Control" && (strings.Contains(what, "/s/{hash}") || strings.Contains(what, "{asset}")) && a.status == http.StatusOK {
			want = "public, max-age=31536000, immutable"
		}
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: status %d, %s: got %q, want %q", what, a.status, name, got, want)
		}
	}
	for _, name := range []string{"Server", "X-Powered-By", "Access-Control-Allow-Origin"} {
		if got := a.header.Get(name); got != "" {
			t.Errorf("%s: %s: %s", what, name, got)
		}
	}
	if !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		return
	}
	for _, node := range a.Find("*").EachIter() {
		tag := goquery.NodeName(node)
		for _, attr := range node.Nodes[0].Attr {
			foreign := strings.HasPrefix(attr.Val, "//") || strings.Contains(attr.Val, "://") || strings.HasPrefix(attr.Val, "javascript:") || strings.HasPrefix(attr.Val, "data:")
			loads := slices.Contains([]string{"src", "srcset", "action", "formaction", "data", "poster", "background", "ping"}, attr.Key) || attr.Key == "href" && tag != "a"
			if strings.HasPrefix(attr.Key, "on") || attr.Key == "style" || attr.Key == "srcdoc" || loads && foreign || foreign && attr.Key == "href" && !strings.HasPrefix(attr.Val, sameMachine) {
				t.Errorf("%s: <%s %s=%q>", what, tag, attr.Key, attr.Val)
			}
		}
		if tag == "style" || tag == "base" || tag == "iframe" || tag == "object" || tag == "embed" || tag == "meta" && node.AttrOr("http-equiv", "") != "" || tag == "script" && (node.Text() != "" || node.AttrOr("src", "") == "") {
			t.Errorf("%s: <%s>", what, tag)
		}
	}
	if a.status >= 400 && (a.text("h1") == "" || a.Find("main a[href], #nav a[href], header a[href], main form").Length() == 0) {
		t.Errorf("%s: status %d is a page without a way out: %s", what, a.status, a.text("body"))
	}
}

// sameMachine is how the page of passkeys sends somebody to the name of the machine,
// who came by its number.
const sameMachine = "http://localhost:"

var tally = regexp.MustCompile(`[0-9]+`)

// letter is how an answer is written in the tables.
func letter(a answer) byte {
	switch {
	case a.status == 303 && strings.HasPrefix(a.header.Get("Location"), "/login"):
		return 's'
	case a.status < 400:
		return 'y'
	case a.status == 403:
		return '-'
	case a.status == 404:
		return '0'
	case a.status == 409:
		return 'c'
	case a.status < 500:
		return '4'
	}
	return '5'
}

// logTables are those that tell what happened; every other holds what is.
var logTables = []string{"changes", "seals", "seal_heads", "signins"}

// snapshot is all that a database holds but its log.
func (g *rig) snapshot() string {
	g.t.Helper()
	driver, source, list := "postgres", g.url, `SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`
	if file, ok := strings.CutPrefix(g.url, "sqlite://"); ok {
		driver, source, list = "sqlite", "file:"+file+"?_pragma=busy_timeout(10000)", `SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1`
	}
	if g.raw == nil {
		db, err := sql.Open(driver, source)
		if err != nil {
			g.t.Fatal(err)
		}
		g.raw = db
		g.t.Cleanup(func() { db.Close() })
	}
	var all bytes.Buffer
	for _, table := range g.rows(list) {
		if !strings.Contains(" "+strings.Join(logTables, " ")+" ", " "+table[0]+" ") {
			rows := g.rows(`SELECT * FROM "` + table[0] + `"`)
			slices.SortFunc(rows, slices.Compare[[]string]) // not all keys are of two columns
			for _, row := range rows {
				fmt.Fprintf(&all, "%s: %q\n", table[0], row)
			}
		}
	}
	return all.String()
}

func (g *rig) rows(query string) (all [][]string) {
	g.t.Helper()
	rows, err := g.raw.QueryContext(context.Background(), query)
	if err != nil {
		g.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		g.t.Fatal(err)
	}
	for rows.Next() {
		row, into := make([]string, len(columns)), make([]any, len(columns))
		raw := make([]sql.RawBytes, len(columns))
		for i := range raw {
			into[i] = &raw[i]
		}
		if err := rows.Scan(into...); err != nil {
			g.t.Fatal(err)
		}
		for i := range raw {
			row[i] = string(raw[i])
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		g.t.Fatal(err)
	}
	return all
}
