package impact_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/internal/pgtest"
	"gatehouse/store"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// now is when all tests take place.
var now = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

var migrated = pgtest.Template{Prepare: migrate}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

func sqliteURL(t testing.TB) string {
	t.Helper()
	url := "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db")
	if err := migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return url
}

// onBoth runs a test on the sample company in each kind of database.
func onBoth(t *testing.T, test func(t *testing.T, w *world)) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"sqlite":   func(t *testing.T) string { return sqliteURL(t) },
		"postgres": func(t *testing.T) string { return migrated.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t, url(t)))
		})
	}
}

// world is a small company: roster is its product, Sam and Olga own the tenant,
// Bob may change access at Utrecht.
type world struct {
	*store.Store
	system store.Actor
	ref    store.ConnectionRef
	users  map[string]access.UserID
	groups map[string]access.GroupID
	sites  map[string]access.SiteID
	at     time.Time
}

var people = []string{"sam", "olga", "bob", "alice", "chloe", "daan", "eva", "frank"}

// members are the groups; planners are within staff.
var members = map[string][]string{
	"staff": {"chloe"}, "planners": {"alice", "eva"}, "technicians": {"daan", "eva", "frank"}, "night": nil,
}

var groups = []string{"staff", "planners", "technicians", "night"}

func newWorld(t testing.TB, url string) *world {
	t.Helper()
	w := &world{users: map[string]access.UserID{}, groups: map[string]access.GroupID{}, sites: map[string]access.SiteID{}, at: now}
	var err error
	if w.Store, err = store.Open(t.Context(), url, store.Options{Now: func() time.Time { return w.at }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	tenant, err := w.EnsureTenant(t.Context(), store.Actor{Kind: store.ActorSystem}, store.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	w.system = store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI, ID: "grace"}
	w.write(t, func(tx *store.Tx) error {
		c, err := tx.CreateConnection(t.Context(), "entra", store.IdPEntra)
		w.ref = c.Ref()
		return err
	})
	for _, name := range people {
		w.user(t, name)
	}
	for _, name := range groups {
		w.group(t, name, members[name]...)
	}
	w.join(t, "staff", store.MemberID(w.groups["planners"]))
	w.catalogue(t)
	w.write(t, func(tx *store.Tx) error {
		_, err := tx.AddGrants(t.Context(), w.console("sam", access.RoleOwner), w.console("olga", access.RoleOwner),
			w.console("bob", access.RoleSiteAdministrator, "utrecht"))
		return err
	})
	return w
}

func (w *world) catalogue(t testing.TB) {
	t.Helper()
	var sites []access.Site
	for _, s := range []struct{ key, parent string }{{"nl", ""}, {"utrecht", "nl"}, {"uithof", "utrecht"}, {"breda", "nl"}, {"be", ""}} {
		w.sites[s.key] = store.NewSiteID()
		sites = append(sites, access.Site{ID: w.sites[s.key], Dimension: "site", Key: s.key, Name: s.key, Parent: w.sites[s.parent]})
	}
	w.write(t, func(tx *store.Tx) error {
		if err := tx.SetDimension(t.Context(), access.Dimension{ID: "site", Name: "Site"}); err != nil {
			return err
		}
		if _, err := tx.AddSites(t.Context(), sites...); err != nil {
			return err
		}
		return tx.SetProduct(t.Context(), roster())
	})
}

func roster() access.Product {
	return access.Product{
		ID: "roster", Name: "Roster", Levels: []access.Level{"view", "edit"}, Dimensions: []access.DimensionID{"site"},
		Permissions: []access.Permission{{ID: "shifts", Name: "Shifts"}, {ID: "salary", Tags: []string{"sensitive"}}},
		Roles: []access.Role{
			{ID: "viewer", Permissions: map[access.PermissionID]access.Level{"shifts": "view"}},
			{ID: "planner", Permissions: map[access.PermissionID]access.Level{"shifts": "edit"}},
			{ID: "payroll", Permissions: map[access.PermissionID]access.Level{access.AllPermissions: "view"}},
		},
		Rules: access.Rules{
			Holders: []access.HolderRule{{Role: "payroll", Max: 3}},
			Limits:  []access.Limit{{Kind: access.KindClient, ForbidTags: []string{"sensitive"}}},
		},
	}
}

func (w *world) user(t testing.TB, name string) {
	t.Helper()
	w.write(t, func(tx *store.Tx) error {
		u, err := tx.CreateUser(t.Context(), w.ref, store.User{UserName: name, DisplayName: name, Active: true, Doc: []byte(`{}`), Search: []byte(`{}`)})
		w.users[name] = access.UserID(u.ID)
		return err
	})
}

func (w *world) group(t testing.TB, name string, members ...string) {
	t.Helper()
	w.write(t, func(tx *store.Tx) error {
		var ids []store.MemberID
		for _, m := range members {
			ids = append(ids, store.MemberID(w.users[m]))
		}
		g, _, err := tx.CreateGroup(t.Context(), w.ref, store.Group{DisplayName: name, Doc: []byte(`{}`), Search: []byte(`{}`)}, ids)
		w.groups[name] = access.GroupID(g.ID)
		return err
	})
}

// join makes somebody, or a group, a member of a group.
func (w *world) join(t testing.TB, group string, ids ...store.MemberID) {
	t.Helper()
	w.write(t, func(tx *store.Tx) error {
		_, _, err := tx.UpdateGroup(t.Context(), w.ref, store.GroupID(w.groups[group]), func(g store.Group) (store.Group, store.MemberDelta, error) {
			return g, store.MemberDelta{Add: ids}, nil
		})
		return err
	})
}

func (w *world) write(t testing.TB, f func(*store.Tx) error) {
	t.Helper()
	if err := w.Write(t.Context(), w.system, f); err != nil {
		t.Fatal(err)
	}
}

// console is a grant of a role in the console.
func (w *world) console(name string, role access.RoleID, sites ...string) access.Grant {
	g := access.Grant{Subject: access.Grantee{User: w.users[name]}, Effect: access.Allow, Product: access.ConsoleID, Role: role,
		Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect}
	if len(sites) > 0 {
		g.Scope = w.scope(sites...)
	}
	return g
}

func (w *world) scope(sites ...string) access.Scope {
	var ids []access.SiteID
	for _, s := range sites {
		ids = append(ids, w.sites[s])
	}
	return access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: ids, All: len(ids) == 0}}}
}

// mapping gives a role to a group at sites, at all of them without any.
func (w *world) mapping(group string, role access.RoleID, sites ...string) access.Grant {
	return access.Grant{Subject: access.Grantee{Group: w.groups[group]}, Effect: access.Allow, Product: "roster", Role: role,
		Scope: w.scope(sites...), Origin: access.OriginMapping}
}

// as is somebody in the console.
func (w *world) as(name string) store.Actor {
	return store.Actor{Tenant: w.system.Tenant, Kind: store.ActorPerson, ID: string(w.users[name])}
}

func (w *world) look(t testing.TB, as string, p impact.Proposal) *impact.Preview {
	t.Helper()
	look, err := impact.Look(t.Context(), w.Store, w.as(as), p)
	if err != nil {
		t.Fatal(err)
	}
	return look
}

func (w *world) save(t testing.TB, as string, p impact.Proposal, agreed impact.Agreed) (impact.Saved, error) {
	t.Helper()
	if agreed.Key == "" {
		agreed.Key = store.NewProposalKey()
	}
	return impact.Save(t.Context(), w.Store, w.as(as), p, agreed, nil)
}

// must looks at a proposal and saves it.
func (w *world) must(t testing.TB, as string, p impact.Proposal) impact.Saved {
	t.Helper()
	look := w.look(t, as, p)
	done, err := w.save(t, as, p, impact.Agreed{Digest: look.Digest, Typed: look.Typed})
	if err != nil {
		t.Fatalf("%v: %+v", err, look.Refused)
	}
	return done
}

func (w *world) snapshot(t testing.TB) store.Snapshot {
	t.Helper()
	s, err := w.Snapshot(t.Context(), w.system.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// named are the people of a preview by kind.
func named(p *impact.Preview) map[access.DifferenceKind][]string {
	all := map[access.DifferenceKind][]string{}
	for _, person := range p.People {
		all[person.Kind] = append(all[person.Kind], person.DisplayName)
	}
	return all
}

// state is the tenant as it is now.
func (w *world) state(t testing.TB) access.State {
	t.Helper()
	s := w.snapshot(t)
	p, err := access.NewPolicy(s.Catalogue, s.Grants)
	if err != nil {
		t.Fatal(err)
	}
	return access.State{Facts: s.Facts, Policy: p, At: w.at}
}
