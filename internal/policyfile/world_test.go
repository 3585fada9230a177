package policyfile_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/fixture"
	"gatehouse/internal/pgtest"
	"gatehouse/internal/policyfile"
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

func sqliteURL(t *testing.T) string {
	t.Helper()
	url := "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db")
	if err := migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	return url
}

// onBoth runs a test on an empty tenant of each kind of database.
func onBoth(t *testing.T, test func(t *testing.T, w *world)) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"sqlite":   sqliteURL,
		"postgres": func(t *testing.T) string { return migrated.URL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newWorld(t, url(t)))
		})
	}
}

// world is a tenant of a database.
type world struct {
	*store.Store
	actor store.Actor
	users map[string]access.UserID // by userName
	group map[string]access.GroupID
	refs  map[string]store.ConnectionRef
	at    time.Time
}

func newWorld(t *testing.T, url string) *world {
	t.Helper()
	w := &world{users: map[string]access.UserID{}, group: map[string]access.GroupID{}, refs: map[string]store.ConnectionRef{}, at: now}
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
	w.actor = store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI, ID: "grace"}
	return w
}

// sqlite is a tenant on an embedded database.
func sqlite(t *testing.T) *world {
	t.Helper()
	return newWorld(t, sqliteURL(t))
}

func (w *world) write(t testing.TB, f func(*store.Tx) error) {
	t.Helper()
	if err := w.Write(t.Context(), w.actor, f); err != nil {
		t.Fatal(err)
	}
}

// company provisions Waterland and Dijkwerk. The people of Dijkwerk are clients.
func (w *world) company(t *testing.T) *world {
	t.Helper()
	for name, provider := range map[string]fixture.Provider{"entra": fixture.Entra(), "okta": fixture.Okta()} {
		w.provision(t, name, provider)
	}
	for _, p := range fixture.Okta().People {
		w.person(t, p.UserName(fixture.OktaDomain), func(p store.Person) store.Person {
			p.Kind = access.KindClient
			return p
		})
	}
	return w
}

func (w *world) provision(t *testing.T, connection string, provider fixture.Provider) {
	t.Helper()
	w.write(t, func(tx *store.Tx) error {
		c, err := tx.CreateConnection(t.Context(), connection, store.IdPGeneric)
		w.refs[connection] = c.Ref()
		return err
	})
	w.write(t, func(tx *store.Tx) error {
		for _, p := range provider.People {
			name := p.UserName(provider.Domain)
			u, err := tx.CreateUser(t.Context(), w.refs[connection], store.User{
				UserName: name, DisplayName: p.Name(), Active: !p.Inactive, Doc: []byte(`{}`), Search: []byte(`{}`),
			})
			if err != nil {
				return err
			}
			w.users[name] = access.UserID(u.ID)
		}
		for _, g := range provider.Groups {
			var members []store.MemberID
			for _, m := range g.Members {
				members = append(members, store.MemberID(w.users[m.UserName(provider.Domain)]))
			}
			made, _, err := tx.CreateGroup(t.Context(), w.refs[connection], store.Group{DisplayName: g.Name, Doc: []byte(`{}`), Search: []byte(`{}`)}, members)
			if err != nil {
				return err
			}
			w.group[g.Name] = access.GroupID(made.ID)
		}
		return nil
	})
}

// user adds somebody to a connection, which is made when it is missing.
func (w *world) user(t *testing.T, connection, userName string) access.UserID {
	t.Helper()
	w.write(t, func(tx *store.Tx) error {
		if _, ok := w.refs[connection]; ok {
			return nil
		}
		c, err := tx.CreateConnection(t.Context(), connection, store.IdPGeneric)
		w.refs[connection] = c.Ref()
		return err
	})
	w.write(t, func(tx *store.Tx) error {
		u, err := tx.CreateUser(t.Context(), w.refs[connection], store.User{UserName: userName, Active: true, Doc: []byte(`{}`), Search: []byte(`{}`)})
		w.users[userName+"/"+connection] = access.UserID(u.ID)
		return err
	})
	return w.users[userName+"/"+connection]
}

// person changes what we say of somebody.
func (w *world) person(t *testing.T, userName string, change func(store.Person) store.Person) {
	t.Helper()
	w.write(t, func(tx *store.Tx) error {
		_, err := tx.ChangePerson(t.Context(), store.UserID(w.users[userName]), change)
		return err
	})
}

func (w *world) snapshot(t testing.TB) store.Snapshot {
	t.Helper()
	s, err := w.Snapshot(t.Context(), w.actor.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	return s
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

func (w *world) plan(t testing.TB, text string) (*policyfile.Plan, error) {
	t.Helper()
	s := w.snapshot(t)
	wanted, err := policyfile.Read("policy.yaml", []byte(text), s)
	if err != nil {
		return nil, err
	}
	return policyfile.Preview(wanted, s, w.at)
}

func (w *world) mustPlan(t testing.TB, text string) *policyfile.Plan {
	t.Helper()
	p, err := w.plan(t, text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}

func (w *world) apply(t testing.TB, text, digest string) (p *policyfile.Plan, err error) {
	t.Helper()
	source := func(now store.Snapshot) (*policyfile.Wanted, error) {
		return policyfile.Read("policy.yaml", []byte(text), now)
	}
	err = w.Write(t.Context(), w.actor, func(tx *store.Tx) (err error) {
		p, err = policyfile.Apply(t.Context(), tx, w.actor.Tenant, source, w.at, digest)
		return err
	})
	return p, err
}

func (w *world) mustApply(t testing.TB, text string) *policyfile.Plan {
	t.Helper()
	p, err := w.apply(t, text, "")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p
}

func (w *world) export(t testing.TB) string {
	t.Helper()
	text, err := policyfile.Export(w.snapshot(t))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// site is the site of a key.
func (w *world) site(t testing.TB, dimension access.DimensionID, key string) access.SiteID {
	t.Helper()
	s, ok := w.state(t).Policy.SiteByKey(dimension, key)
	if !ok {
		t.Fatalf("no %s %q", dimension, key)
	}
	return s.ID
}

// ask asks as a product does: "timesheet=view site=utrecht team=security".
func (w *world) ask(t testing.TB, userName string, product access.ProductID, question string) bool {
	t.Helper()
	words := strings.Fields(question)
	permission, level, _ := strings.Cut(words[0], "=")
	q := access.Question{Product: product, Permission: access.PermissionID(permission), Level: access.Level(level), Place: access.Place{}}
	st := w.state(t)
	for _, word := range words[1:] {
		dimension, key, _ := strings.Cut(word, "=")
		q.Place[access.DimensionID(dimension)] = w.site(t, access.DimensionID(dimension), key)
	}
	id, ok := w.users[userName]
	if !ok {
		t.Fatalf("nobody is %s", userName)
	}
	s := st.Facts.Subject(id)
	e := st.Policy.Explain(s, q, st.At)
	if allowed := st.Policy.Allows(s, q, st.At); allowed != e.Allowed {
		t.Fatalf("%s %s: Allows says %v, Explain %v", userName, question, allowed, e.Allowed)
	}
	if len(e.Missing) > 0 {
		switch reason := e.Missing[0].Reasons[0]; reason {
		case access.UnknownProduct, access.UnknownPermission, access.UnknownLevel, access.UnknownDimension, access.UnknownSite, access.UnknownPerson:
			t.Fatalf("%s %s: the question is wrong: %s", userName, question, reason)
		}
	}
	return e.Allowed
}

func wantText(t testing.TB, what, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%s has no %q:\n%s", what, w, got)
		}
	}
}
