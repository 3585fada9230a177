package api

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/pgtest"
	"gatehouse/internal/web"
	"gatehouse/store"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// rig is a server of the company acme, which uses clicktime at sites and for teams,
// and phone, which has no dimensions.
//
//	eu: berlin, paris; sydney (archived); teams cleaning, guards
//	crew is in staff. staff supervises eu for all teams; ann is in crew.
//	bob supervises berlin for cleaning, and may not maintain time sheets anywhere.
//	cid has all at berlin and is not active. dan is in no group.
//	everyone calls.
type rig struct {
	store   *store.Store
	edge    *Server
	handler http.Handler
	tenant  store.TenantID
	conn    store.Connection
	clock   *clock
	url     string

	users  map[string]store.UserID
	groups map[string]store.GroupID
	sites  map[string]access.SiteID
	grants map[string]access.GrantID
	// key searches clicktime, plain doesn't, phone is of the other product.
	key, plain, phone string
}

type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMilli(c.at.Load()) }
func (c *clock) advance(d time.Duration) { c.at.Add(d.Milliseconds()) }

func onBoth(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db") },
		"postgres": func(t *testing.T) string { return pgtest.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newRig(t, url(t)))
		})
	}
}

func newRig(t testing.TB, url string) *rig {
	t.Helper()
	if _, err := store.Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	r := &rig{clock: &clock{}, url: url, users: map[string]store.UserID{}, groups: map[string]store.GroupID{},
		sites: map[string]access.SiteID{}, grants: map[string]access.GrantID{}}
	r.clock.at.Store(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).UnixMilli())
	r.store, r.edge, r.handler = serveRig(t, url, r.clock)
	tenant, err := r.store.EnsureTenant(t.Context(), store.Actor{Kind: store.ActorSystem}, "acme")
	if err != nil {
		t.Fatal(err)
	}
	r.tenant = tenant.ID
	r.write(t, func(ctx context.Context, tx *store.Tx) error {
		r.conn, err = tx.CreateConnection(ctx, "entra", store.IdPEntra)
		return err
	})
	r.populate(t)
	return r
}

// serveRig is a server of its own on a database.
func serveRig(t testing.TB, url string, c *clock) (*store.Store, *Server, http.Handler) {
	t.Helper()
	st, err := store.Open(t.Context(), url, store.Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	edge, err := New(t.Context(), st, Options{URL: "https://gatehouse.example"})
	if err != nil {
		t.Fatal(err)
	}
	mux, err := web.Mux(edge.Routes())
	if err != nil {
		t.Fatal(err)
	}
	return st, edge, web.Log(slog.New(slog.DiscardHandler), nil, mux)
}

func (r *rig) write(t testing.TB, f func(context.Context, *store.Tx) error) {
	t.Helper()
	err := r.store.Write(t.Context(), store.Actor{Tenant: r.tenant, Kind: store.ActorCLI}, func(tx *store.Tx) error { return f(t.Context(), tx) })
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) populate(t testing.TB) {
	t.Helper()
	for _, name := range []string{"ann", "bob", "cid", "dan"} {
		r.addUser(t, r.conn, name, name+"@acme.example", name != "cid")
	}
	r.addGroup(t, "crew", string(r.users["ann"]))
	r.addGroup(t, "staff", string(r.groups["crew"]))
	for _, key := range []string{"eu", "berlin", "paris", "sydney", "cleaning", "guards"} {
		r.sites[key] = store.NewSiteID()
	}
	r.write(t, func(ctx context.Context, tx *store.Tx) error {
		for _, d := range []access.DimensionID{"site", "team"} {
			if err := tx.SetDimension(ctx, access.Dimension{ID: d}); err != nil {
				return err
			}
		}
		_, err := tx.AddSites(ctx,
			access.Site{ID: r.sites["eu"], Dimension: "site", Key: "eu", Name: "Europe"},
			access.Site{ID: r.sites["berlin"], Dimension: "site", Key: "berlin", Name: "Berlin", Parent: r.sites["eu"]},
			access.Site{ID: r.sites["paris"], Dimension: "site", Key: "paris", Name: "Paris", Parent: r.sites["eu"]},
			access.Site{ID: r.sites["sydney"], Dimension: "site", Key: "sydney", Name: "Sydney", Archived: true},
			access.Site{Dimension: "site", Name: "a site without a key"},
			access.Site{ID: r.sites["cleaning"], Dimension: "team", Key: "cleaning", Name: "Cleaners"},
			access.Site{ID: r.sites["guards"], Dimension: "team", Key: "guards", Name: "Guards"},
			// The key of one site is the id of another.
			access.Site{Dimension: "site", Key: string(r.sites["paris"]), Name: "Twin"})
		if err != nil {
			return err
		}
		return errorsOf(
			tx.SetProduct(ctx, access.Product{
				ID: "clicktime", Levels: []access.Level{"view", "maintain"}, Dimensions: []access.DimensionID{"site", "team"},
				// sheet.view at a level can be read as sheet at the level view.
				Permissions: []access.Permission{{ID: "timesheet"}, {ID: "salary"}, {ID: "rota.week"}, {ID: "sheet"}, {ID: "sheet.view"}},
				Roles: []access.Role{{ID: "supervisor", Permissions: map[access.PermissionID]access.Level{"timesheet": "maintain", "rota.week": "view"}},
					{ID: "all", Permissions: map[access.PermissionID]access.Level{access.AllPermissions: "maintain"}}},
			}),
			tx.SetProduct(ctx, access.Product{ID: "phone", Permissions: []access.Permission{{ID: "call"}, {ID: "record"}}}))
	})
	at := func(site string, teams ...string) access.Scope {
		s := access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: []access.SiteID{r.sites[site]}}, "team": {All: true}}}
		if len(teams) > 0 {
			s.Sites["team"] = access.Selection{Sites: []access.SiteID{r.sites[teams[0]]}}
		}
		return s
	}
	user := func(name string) access.Grantee { return access.Grantee{User: access.UserID(r.users[name])} }
	r.grant(t, "staff", access.Grant{Subject: access.Grantee{Group: access.GroupID(r.groups["staff"])}, Effect: access.Allow, Product: "clicktime", Role: "supervisor", Scope: at("eu"), Origin: access.OriginMapping})
	r.grant(t, "bob", access.Grant{Subject: user("bob"), Effect: access.Allow, Product: "clicktime", Role: "supervisor", Scope: at("berlin", "cleaning"), Origin: access.OriginDirect})
	r.grant(t, "no bob", access.Grant{Subject: user("bob"), Effect: access.Deny, Product: "clicktime", Permission: "timesheet", Level: "maintain", Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect})
	r.grant(t, "cid", access.Grant{Subject: user("cid"), Effect: access.Allow, Product: "clicktime", Role: "all", Scope: at("berlin"), Origin: access.OriginDirect})
	r.grant(t, "everyone", access.Grant{Subject: access.Grantee{Everyone: true}, Effect: access.Allow, Product: "phone", Permission: "call", Level: access.LevelAllow, Scope: access.Scope{Everywhere: true}, Origin: access.OriginBaseline})
	r.key, _ = r.addKey(t, "clicktime", true)
	r.plain, _ = r.addKey(t, "clicktime", false)
	r.phone, _ = r.addKey(t, "phone", true)
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *rig) addConnection(t testing.TB, name string) (c store.Connection) {
	t.Helper()
	r.write(t, func(ctx context.Context, tx *store.Tx) (err error) {
		c, err = tx.CreateConnection(ctx, name, store.IdPOkta)
		return err
	})
	return c
}

func (r *rig) addUser(t testing.TB, c store.Connection, name, email string, active bool) {
	t.Helper()
	doc, _ := json.Marshal(map[string]any{"userName": name, "active": active})
	r.write(t, func(ctx context.Context, tx *store.Tx) error {
		u, err := tx.CreateUser(ctx, c.Ref(), store.User{UserName: name, DisplayName: strings.ToUpper(name), Active: active, Emails: []string{email}, Doc: doc, Search: doc})
		r.users[name] = u.ID
		return err
	})
}

func (r *rig) addGroup(t testing.TB, name string, members ...string) {
	t.Helper()
	ids := make([]store.MemberID, len(members))
	for i, id := range members {
		ids[i] = store.MemberID(id)
	}
	doc, _ := json.Marshal(map[string]any{"displayName": name})
	r.write(t, func(ctx context.Context, tx *store.Tx) error {
		g, _, err := tx.CreateGroup(ctx, r.conn.Ref(), store.Group{DisplayName: name, Doc: doc, Search: doc}, ids)
		r.groups[name] = g.ID
		return err
	})
}

func (r *rig) grant(t testing.TB, name string, g access.Grant) {
	t.Helper()
	r.write(t, func(ctx context.Context, tx *store.Tx) error {
		added, err := tx.AddGrants(ctx, g)
		if err == nil {
			r.grants[name] = added[0].ID
		}
		return err
	})
}

func (r *rig) addKey(t testing.TB, product access.ProductID, search bool) (secret string, key store.Key) {
	t.Helper()
	r.write(t, func(ctx context.Context, tx *store.Tx) (err error) {
		key, secret, err = tx.CreateKey(ctx, product, search, time.Time{})
		return err
	})
	return secret, key
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	raw    string
	doc    map[string]any
}

// send sends a request with a key.
func (r *rig) send(t testing.TB, method, path, key, body string, headers ...string) answer {
	t.Helper()
	return send(t, r.handler, method, path, key, body, headers...)
}

func send(t testing.TB, h http.Handler, method, path, key, body string, headers ...string) answer {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	a := answer{status: w.Code, header: w.Result().Header, raw: w.Body.String()}
	if json.Unmarshal(bytes.TrimSpace(w.Body.Bytes()), &a.doc) != nil {
		a.doc = nil
	}
	return a
}

// at walks into the answer's document; nil if there is nothing.
func (a answer) at(path ...any) any {
	var v any = a.doc
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

const (
	evaluation  = "/p/clicktime/access/v1/evaluation"
	evaluations = "/p/clicktime/access/v1/evaluations"
	byPhone     = "/p/phone/access/v1/evaluation"
)

// ask is an evaluation request.
func ask(subject, action, resource string, more ...string) string {
	return `{"subject":` + subject + `,"action":{"name":"` + action + `"},"resource":` + resource + strings.Join(more, "") + `}`
}

func user(id string) string  { return `{"type":"user","id":"` + id + `"}` }
func group(id string) string { return `{"type":"group","id":"` + id + `"}` }

// site is a place of clicktime.
func site(key, team string) string {
	if team == "" {
		return `{"type":"site","id":"` + key + `"}`
	}
	return `{"type":"site","id":"` + key + `","properties":{"team":"` + team + `"}}`
}
