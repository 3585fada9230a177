package ui

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/fixture"
	"gatehouse/internal/pgtest"
	"gatehouse/internal/seal"
	"gatehouse/internal/web"
	"gatehouse/store"

	"github.com/PuerkitoBio/goquery"
)

// A server of httptest that closes also closes what http.DefaultTransport calls idle, and an
// answer without a body is still on its way then: the client of a test beside it would fail.
func init() { http.DefaultTransport = struct{ http.RoundTripper }{http.DefaultTransport} }

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// now is when all tests take place.
var now = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

var migrated = pgtest.Template{Prepare: migrate}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

func sqliteURL(t *testing.T) string {
	t.Helper()
	url := "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db")
	if err := migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return url
}

// onBoth runs a test with the sample company in a database of each kind.
func onBoth(t *testing.T, test func(t *testing.T, g *rig)) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"sqlite":   sqliteURL,
		"postgres": func(t *testing.T) string { return migrated.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newRigAt(t, url(t)))
		})
	}
}

// newRig is the sample company on SQLite, for tests that are about pages alone.
func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigAt(t, sqliteURL(t))
}

// rig is the console of the sample company, served over HTTP, with somebody of
// each role to look at it.
type rig struct {
	*store.Store
	t       *testing.T
	url     string // of the database
	server  *httptest.Server
	console *Server
	actor   store.Actor
	refs    map[string]store.ConnectionRef
	users   map[string]store.UserID   // by userName
	groups  map[string]store.GroupID  // by displayName
	sites   map[string]access.SiteID  // by key
	cookies map[string][]*http.Cookie // of those who have visited
	passed  *atomic.Int64             // time, since now
	ticked  *atomic.Pointer[func()]   // what happens when somebody asks for the time; may hold nil
	raw     *sql.DB                   // behind the store's back
}

// The people who visit, by what they may do: Sam owns the tenant, Ada administers
// access, Bob the sites of Utrecht, Chloé looks, Eva works there, and nobody is
// signed in.
const (
	nobody = ""
	sam    = "sam.devries@waterland.example"
	ada    = "ada.byron@waterland.example"
	bob    = "bob.okafor@waterland.example"
	chloe  = "chloe.martin@waterland.example"
	eva    = "eva.smit@waterland.example"
)

// everybody is each kind of visitor.
var everybody = []string{nobody, sam, ada, bob, chloe, eva}

func newRigAt(t *testing.T, database string) *rig {
	t.Helper()
	g := openRig(t, database)
	g.company()
	return g
}

// openRig is the console of what is in a database.
func openRig(t *testing.T, database string) *rig {
	t.Helper()
	passed, ticked := &atomic.Int64{}, &atomic.Pointer[func()]{}
	st, err := store.Open(t.Context(), database, store.Options{Now: func() time.Time {
		if f := ticked.Load(); f != nil {
			(*f)()
		}
		return now.Add(time.Duration(passed.Load()))
	}})
	if err != nil {
		t.Fatal(err)
	}
	g := &rig{
		Store: st, t: t, url: database, passed: passed, ticked: ticked, console: New(st, rigOptions(t)),
		refs: map[string]store.ConnectionRef{}, users: map[string]store.UserID{}, groups: map[string]store.GroupID{},
		sites: map[string]access.SiteID{}, cookies: map[string][]*http.Cookie{},
	}
	mux, err := web.Mux(g.console.Routes())
	if err != nil {
		t.Fatal(err)
	}
	g.server = httptest.NewServer(web.Log(slog.New(slog.DiscardHandler), nil, mux))
	t.Cleanup(func() {
		g.server.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	tenant, err := st.EnsureTenant(t.Context(), store.Actor{Kind: store.ActorSystem}, store.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	g.actor = store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI, ID: "grace"}
	return g
}

// later lets time pass. Everybody signs in anew then.
func (g *rig) later(d time.Duration) {
	g.passed.Add(int64(d))
	clear(g.cookies)
}

// rigOptions are what the rest of the program gives the console.
func rigOptions(t *testing.T) Options {
	t.Helper()
	sealer, err := seal.New("tests", make([]byte, 32), "")
	if err != nil {
		t.Fatal(err)
	}
	return Options{
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Sealer: sealer, LoopbackIssuers: true, RecordFor: 7 * 24 * time.Hour,
		Explain: func(lang, code string) Cause {
			if lang != "en" {
				code += " in " + lang
			}
			return Cause{Title: "title of " + code, Happened: "what " + code + " is", Entra: "in Entra for " + code, Okta: "in Okta for " + code}
		},
		Webhooks: Webhooks{
			Check: func(address string) error {
				if !strings.HasPrefix(address, "https://") {
					return fmt.Errorf("%q: want https://HOST", address)
				}
				return nil
			},
			New: func(id store.WebhookID) (secret, sealed, hint string) {
				secret = "whsec_" + rand.Text()
				return secret, "sealed " + string(id), secret[len(secret)-4:]
			},
		},
		Settings: []Setting{{Name: "max-body", Value: Bytes(1024)}},
	}
}

func (g *rig) write(f func(tx *store.Tx) error) {
	g.t.Helper()
	if err := g.Write(g.t.Context(), g.actor, f); err != nil {
		g.t.Fatal(err)
	}
}

// company makes the people of both providers, their groups, a product and who has
// what.
func (g *rig) company() {
	g.t.Helper()
	g.provider("Entra ID", store.IdPEntra, fixture.Entra())
	g.provider("Okta", store.IdPOkta, fixture.Okta())
	for _, key := range []string{"utrecht", "uithof", "nieuwegein", "zeeland", "vlissingen"} {
		g.sites[key] = store.NewSiteID()
	}
	ctx := g.t.Context()
	g.write(func(tx *store.Tx) error {
		if err := tx.SetDimension(ctx, access.Dimension{ID: "site", Name: "Sites"}); err != nil {
			return err
		}
		if err := tx.SetDimension(ctx, access.Dimension{ID: "team", Name: "Teams"}); err != nil {
			return err
		}
		site := func(key, name, parent string) access.Site {
			return access.Site{ID: g.sites[key], Dimension: "site", Key: key, Name: name, Parent: g.sites[parent]}
		}
		_, err := tx.AddSites(ctx, site("utrecht", "Utrecht", ""), site("uithof", "Uithof", "utrecht"), site("nieuwegein", "Nieuwegein", "utrecht"),
			site("zeeland", "Zeeland", ""), site("vlissingen", "Vlissingen", "zeeland"))
		if err != nil {
			return err
		}
		return tx.SetProduct(ctx, access.Product{
			ID: "clicktime", Name: "ClickTime", Levels: []access.Level{"view", "maintain"},
			Permissions: []access.Permission{{ID: "timesheet", Name: "Time sheets"}, {ID: "payroll", Name: "Payroll"}},
			Roles: []access.Role{
				{ID: "supervisor", Name: "Supervisor", Permissions: map[access.PermissionID]access.Level{"timesheet": "maintain"}},
				{ID: "client", Name: "Client", Permissions: map[access.PermissionID]access.Level{"timesheet": "view"}},
			},
			Dimensions: []access.DimensionID{"site"},
		})
	})
	g.grant(access.ConsoleBaseline(""))
	everywhere := access.Scope{Everywhere: true}
	g.grant(g.toUser(sam, access.ConsoleID, access.RoleOwner, everywhere))
	g.grant(g.toUser(ada, access.ConsoleID, access.RoleAccessAdministrator, everywhere))
	g.grant(g.toUser(chloe, access.ConsoleID, access.RoleAuditor, everywhere))
	atUtrecht := g.at("utrecht")
	atUtrecht.Sites["team"] = access.Selection{All: true}
	g.grant(g.toUser(bob, access.ConsoleID, access.RoleSiteAdministrator, atUtrecht))
	g.grant(g.toGroup("Utrecht technicians", "supervisor", g.at("uithof")))
	g.grant(g.toGroup("Planning", "supervisor", g.at("utrecht", "vlissingen")))
	g.grant(g.toGroup("Dijkwerk staff", "client", g.at("vlissingen")))
}

func (g *rig) provider(name, idp string, p fixture.Provider) {
	g.t.Helper()
	ctx := g.t.Context()
	var c store.Connection
	g.write(func(tx *store.Tx) (err error) {
		c, err = tx.CreateConnection(ctx, name, idp)
		return err
	})
	g.refs[name] = c.Ref()
	g.write(func(tx *store.Tx) error {
		for _, person := range p.People {
			u, err := tx.CreateUser(ctx, c.Ref(), user(person.UserName(p.Domain), person.Name(), !person.Inactive))
			if err != nil {
				return err
			}
			g.users[u.UserName] = u.ID
		}
		for _, group := range p.Groups {
			var members []store.MemberID
			for _, m := range group.Members {
				members = append(members, store.MemberID(g.users[m.UserName(p.Domain)]))
			}
			doc := fmt.Appendf(nil, `{"displayname":%q}`, store.Fold(group.Name))
			made, _, err := tx.CreateGroup(ctx, c.Ref(), store.Group{DisplayName: group.Name, Doc: doc, Search: doc}, members)
			if err != nil {
				return err
			}
			g.groups[group.Name] = made.ID
		}
		return nil
	})
}

// user is one as a provider's would be kept.
func user(userName, displayName string, active bool) store.User {
	return store.User{
		UserName: userName, DisplayName: displayName, Active: active, Emails: []string{userName},
		Doc:    fmt.Appendf(nil, `{"userName":%q,"displayName":%q}`, userName, displayName),
		Search: fmt.Appendf(nil, `{"username":%q}`, store.Fold(userName)),
	}
}

func (g *rig) at(keys ...string) access.Scope {
	var sites []access.SiteID
	for _, key := range keys {
		sites = append(sites, g.sites[key])
	}
	return access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: sites}}}
}

func (g *rig) toUser(userName string, product access.ProductID, role access.RoleID, scope access.Scope) access.Grant {
	return access.Grant{Subject: access.Grantee{User: access.UserID(g.users[userName])}, Effect: access.Allow,
		Product: product, Role: role, Scope: scope, Origin: access.OriginDirect}
}

func (g *rig) toGroup(group string, role access.RoleID, scope access.Scope) access.Grant {
	return access.Grant{Subject: access.Grantee{Group: access.GroupID(g.groups[group])}, Effect: access.Allow,
		Product: "clicktime", Role: role, Scope: scope, Origin: access.OriginMapping}
}

func (g *rig) grant(grants ...access.Grant) []access.Grant {
	g.t.Helper()
	var added []access.Grant
	g.write(func(tx *store.Tx) (err error) {
		added, err = tx.AddGrants(g.t.Context(), grants...)
		return err
	})
	return added
}

// signIn gives the cookies of somebody's session, the same at every call.
func (g *rig) signIn(as string) []*http.Cookie {
	g.t.Helper()
	if as == nobody || g.cookies[as] != nil {
		return g.cookies[as]
	}
	var secret string
	g.write(func(tx *store.Tx) (err error) {
		_, secret, err = tx.CreateSession(g.t.Context(), store.Session{UserID: g.users[as], Method: store.MethodOIDC})
		return err
	})
	g.cookies[as] = []*http.Cookie{{Name: sessionCookie, Value: secret}}
	return g.cookies[as]
}

// answer is a page as it came.
type answer struct {
	*goquery.Document
	status int
	header http.Header
	body   string
}

// text is what an element of the page says, with single spaces.
func (a answer) text(selector string) string {
	return strings.Join(strings.Fields(a.Find(selector).Text()), " ")
}

// texts are what each of the elements says.
func (a answer) texts(selector string) []string {
	return a.Find(selector).Map(func(_ int, s *goquery.Selection) string { return strings.Join(strings.Fields(s.Text()), " ") })
}

// get asks for a page as one of the people; redirects are not followed.
func (g *rig) get(as, path string, edit ...func(*http.Request)) answer {
	g.t.Helper()
	return g.do(as, "GET", path, nil, edit...)
}

// post sends a form as a browser would from a page of ours.
func (g *rig) post(as, path string, form url.Values, edit ...func(*http.Request)) answer {
	g.t.Helper()
	return g.do(as, "POST", path, form, edit...)
}

func (g *rig) do(as, method, path string, form url.Values, edit ...func(*http.Request)) answer {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		g.t.Fatal(err)
	}
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", g.server.URL)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for _, cookie := range g.signIn(as) {
		r.AddCookie(cookie)
	}
	for _, f := range edit {
		f(r)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(string(body)))
	if err != nil {
		g.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{doc, resp.StatusCode, resp.Header, string(body)}
}
