package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"gatehouse/access"
	"gatehouse/internal/pgtest"
	"gatehouse/store"
)

// hookFlags let the server reach receivers on this machine, and not wait for long.
var hookFlags = []string{"--webhook-allow-private", "--webhook-retries=" + strings.TrimSuffix(strings.Repeat("100ms,", 50), ",")}

// hookTimeout is how long a message may take, a process that has to be taken for
// dead first included.
const hookTimeout = patience

// A hookProduct is a product that verifies what it is sent and remembers it.
type hookProduct struct {
	t      *testing.T
	server *httptest.Server

	mu      sync.Mutex
	secret  *standardwebhooks.Webhook
	heard   []hookMessage
	refuses func(hookMessage) int // a status, or 0
}

type hookMessage struct {
	ID, Type string
	Data     struct {
		User struct {
			ID, UserName    string
			Active, Deleted bool
		}
		Changes []struct{ Kind, Permission, Before, After string }
		Access  []struct{ Permission, Level string }
	}
}

// String is a message in a few words.
func (m hookMessage) String() string {
	text := m.Type + " " + m.Data.User.UserName
	for _, c := range m.Data.Changes {
		text += " " + c.Kind + " " + c.Permission
	}
	return text
}

func newHookProduct(t *testing.T) *hookProduct {
	p := &hookProduct{t: t}
	p.server = httptest.NewServer(p)
	t.Cleanup(p.server.Close)
	return p
}

func (p *hookProduct) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender was killed
	}
	p.mu.Lock()
	secret, refuses := p.secret, p.refuses
	p.mu.Unlock()
	if secret == nil || secret.Verify(body, r.Header) != nil {
		p.t.Errorf("a message without a good signature: %v", r.Header)
	}
	m := hookMessage{ID: r.Header.Get("webhook-id")}
	if err := json.Unmarshal(body, &m); err != nil {
		p.t.Errorf("%v in %s", err, body)
	}
	if refuses != nil {
		if status := refuses(m); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = append(p.heard, m)
}

// take waits for n messages and gives them, those of a person in their order.
func (p *hookProduct) take(what string, n int) []string {
	p.t.Helper()
	eventually(p.t, what, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.heard) >= n })
	p.mu.Lock()
	defer p.mu.Unlock()
	got := []string{}
	for _, m := range p.heard {
		got = append(got, m.String())
	}
	p.heard = nil
	slices.SortStableFunc(got, func(a, b string) int { return strings.Compare(strings.Fields(a)[1], strings.Fields(b)[1]) })
	return got
}

func eventually(t *testing.T, what string, until func() bool) {
	t.Helper()
	late := time.After(hookTimeout)
	for tick := time.Tick(20 * time.Millisecond); !until(); {
		select {
		case <-tick:
		case <-late:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// add adds the product's webhook with the program, and keeps the secret. What was
// written before is shown by then: as long as a transaction of another test on the same
// server holds it back, it counts as new, and would be told.
func (p *hookProduct) add(admin *hookAdmin, database string) {
	p.t.Helper()
	logged, err := admin.st.Changes(p.t.Context(), admin.by.Tenant, 100_000)
	if err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, "the log to be shown", func() bool {
		shown, _, err := admin.st.ChangesSince(p.t.Context(), admin.by.Tenant, "", 100_000)
		return err == nil && len(shown) >= len(logged)
	})
	p.trust(command(p.t, "webhook", "add", "--database-url="+database, "--product=crm", "--url="+p.server.URL, "--webhook-allow-private", "--json"))
}

func (p *hookProduct) trust(output []byte) {
	p.t.Helper()
	var made struct{ Secret string }
	if err := json.Unmarshal(output, &made); err != nil || !strings.HasPrefix(made.Secret, "whsec_") {
		p.t.Fatalf("no secret in %s, %v", output, err)
	}
	secret, err := standardwebhooks.NewWebhook(made.Secret)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.secret = secret
}

// hookAdmin changes policy, as the console will.
type hookAdmin struct {
	t  *testing.T
	st *store.Store
	by store.Actor
}

func newHookAdmin(t *testing.T, database string) *hookAdmin {
	t.Helper()
	st, err := store.Open(t.Context(), database, store.Options{Connections: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	tenant, err := st.TenantNamed(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	a := &hookAdmin{t: t, st: st, by: store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI, ID: "grace"}}
	a.write(func(tx *store.Tx) error {
		return tx.SetProduct(t.Context(), access.Product{ID: "crm", Permissions: []access.Permission{{ID: "doc"}}})
	})
	return a
}

func (a *hookAdmin) write(f func(*store.Tx) error) {
	a.t.Helper()
	if err := a.st.Write(a.t.Context(), a.by, f); err != nil {
		a.t.Fatal(err)
	}
}

func (a *hookAdmin) grant(to access.Grantee, until time.Time) access.GrantID {
	a.t.Helper()
	var added []access.Grant
	a.write(func(tx *store.Tx) (err error) {
		added, err = tx.AddGrants(a.t.Context(), access.Grant{Subject: to, Effect: access.Allow, Product: "crm", Permission: "doc", Level: access.LevelAllow,
			Scope: access.Scope{Everywhere: true}, Until: until, Origin: access.OriginDirect})
		return err
	})
	return added[0].ID
}

// hookOnBoth runs a test with a database of each kind.
func hookOnBoth(t *testing.T, test func(t *testing.T, database string)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, "sqlite://"+filepath.Join(t.TempDir(), "gatehouse.db"))
	})
	t.Run("postgres", func(t *testing.T) { t.Parallel(); test(t, pgtest.URL(t)) })
}

// Whatever an identity provider or an administrator does, the product hears what
// became of each person.
func TestProductsAreTold(t *testing.T) {
	hookOnBoth(t, func(t *testing.T, database string) {
		c := serve(t, database, hookFlags...)
		admin := newHookAdmin(t, database)
		ann, bob := c.user("ann", nil), c.user("bob", nil)
		crew, inner := c.group("crew", ann), c.group("inner", bob)
		admin.grant(access.Grantee{Group: access.GroupID(crew)}, time.Time{})
		crm := newHookProduct(t)
		crm.add(admin, database)

		person := func(id string, active bool) func() {
			return func() { c.want(200, "PATCH", "/Users/"+id, patch(op("replace", "active", active))) }
		}
		var grant access.GrantID
		const lost, gained = " loses doc", " gains doc"
		for _, step := range []struct {
			why  string
			do   func()
			want []string
		}{
			{"deactivated", person(ann, false), []string{"user.deactivated ann", "access.changed ann" + lost}},
			{"activated", person(ann, true), []string{"access.changed ann" + gained}},
			{"put into a group", func() { c.want(204, "PATCH", "/Groups/"+crew, patch(op("add", "members", refs(bob)))) }, []string{"access.changed bob" + gained}},
			{"taken out", func() { c.want(204, "PATCH", "/Groups/"+crew, patch(remove(`members[value eq "`+bob+`"]`))) }, []string{"access.changed bob" + lost}},
			{"a group put in", func() { c.want(204, "PATCH", "/Groups/"+crew, patch(op("add", "members", refs(inner)))) }, []string{"access.changed bob" + gained}},
			{"deactivated by replacement", func() {
				c.want(200, "PUT", "/Users/"+bob, object{"schemas": []string{coreURN}, "userName": "bob", "active": false})
			}, []string{"user.deactivated bob", "access.changed bob" + lost}},
			{"activated again", person(bob, true), []string{"access.changed bob" + gained}},
			{"a group deleted", func() { c.want(204, "DELETE", "/Groups/"+inner, nil) }, []string{"access.changed bob" + lost}},
			{"granted", func() { grant = admin.grant(access.Grantee{User: access.UserID(bob)}, time.Time{}) }, []string{"access.changed bob" + gained}},
			{"the grant ended", func() { admin.write(func(tx *store.Tx) error { return tx.EndGrants(t.Context(), grant) }) }, []string{"access.changed bob" + lost}},
			{"granted for an hour", func() { grant = admin.grant(access.Grantee{User: access.UserID(bob)}, time.Now().Add(time.Hour)) }, []string{"access.changed bob" + gained}},
			{"the hour became a second", func() {
				admin.write(func(tx *store.Tx) error {
					_, err := tx.ChangeGrant(t.Context(), grant, func(g access.Grant) access.Grant { g.Until = time.Now().Add(1500 * time.Millisecond); return g })
					return err
				})
			}, []string{"access.changed bob" + lost}},
			{"blocked here", func() {
				admin.write(func(tx *store.Tx) error {
					_, err := tx.ChangePerson(t.Context(), store.UserID(ann), func(p store.Person) store.Person { p.LoginAllowed = false; return p })
					return err
				})
			}, []string{"user.deactivated ann", "access.changed ann" + lost}},
			{"deleted", func() { c.want(204, "DELETE", "/Users/"+bob, nil) }, []string{"user.deactivated bob"}},
		} {
			step.do()
			if got := crm.take(step.why, len(step.want)); !slices.Equal(got, step.want) {
				t.Errorf("%s: got %q, want %q", step.why, got, step.want)
			}
		}

		// The program tells what it sent, and gives a new secret.
		shown := string(command(t, "webhook", "deliveries", "--database-url="+database, "--product=crm"))
		if n := strings.Count(shown, "answered 200"); n != 17 || strings.Contains(shown, "whsec_") {
			t.Errorf("%d deliveries shown, want 17:\n%s", n, shown)
		}
		crm.trust(command(t, "webhook", "rotate", "--database-url="+database, "--product=crm", "--json"))
		admin.grant(access.Grantee{Everyone: true}, time.Time{})
		c.user("cid", nil)
		crm.take("after rotation", 1)
		if findings := command(t, "verify", "--database-url="+database, "--json"); !strings.Contains(string(findings), `"findings":[]`) && !strings.Contains(string(findings), `"findings":null`) {
			t.Errorf("verify: %s", findings)
		}
	})
}

// A receiver that hangs delays neither another product's messages nor the answers
// to identity providers: they don't wait for it to be given up, which takes the ten
// seconds that webhooks have by default. Where all was quicker than that, a machine
// that stood still did not look like waiting; three tries are enough for that.
func TestHangingProductDelaysNobody(t *testing.T) {
	hookOnBoth(t, func(t *testing.T, database string) {
		c := serve(t, database, hookFlags...)
		admin := newHookAdmin(t, database)
		admin.grant(access.Grantee{Everyone: true}, time.Time{})
		hangs, quick := newHookProduct(t), newHookProduct(t)
		var hanging atomic.Int32
		release := make(chan struct{})
		t.Cleanup(func() { close(release) }) // before the server stops
		hangs.refuses = func(hookMessage) int { hanging.Add(1); <-release; return 500 }
		const givenUpAfter, each = 10 * time.Second, 30
		hangs.add(admin, database)
		quick.add(admin, database)
		c.user("first", nil)
		var took time.Duration
		for try, before := 0, int32(0); try < 3; try++ {
			eventually(t, "the receiver to hang, from now on", func() bool { return hanging.Load() > before })
			start := time.Now()
			for i := range each {
				c.user(fmt.Sprintf("p%d-%d", try, i), nil)
			}
			eventually(t, "the quick one's messages", func() bool { quick.mu.Lock(); defer quick.mu.Unlock(); return len(quick.heard) == 1+(try+1)*each })
			if took = time.Since(start); took < givenUpAfter {
				return
			}
			before = hanging.Load()
		}
		t.Errorf("the quick one heard all after %v: did it wait for the one that hangs?", took)
	})
}

// Killed in the middle, on two processes or one, time and again: in the end the
// product has heard everything, each person's messages in their order, and knows
// who is active and has what.
func TestKilledWhileTelling(t *testing.T) {
	hookOnBoth(t, func(t *testing.T, database string) {
		site := &crashSite{url: database}
		site.connect(t)
		admin := newHookAdmin(t, database)
		admin.grant(access.Grantee{Everyone: true}, time.Time{})
		crm := newHookProduct(t)
		crm.add(admin, database)
		var n atomic.Int32
		crm.refuses = func(hookMessage) int { // now and then
			if n.Add(1)%5 == 0 {
				return 503
			}
			return 0
		}
		one, two := site.serve(t, hookFlags...), site.serve(t, hookFlags...)
		var people []string
		for i := range 20 {
			var made crashUser
			one.must(t, "POST", "/Users", crashUserBody(fmt.Sprintf("p%02d@corp.example", i), "x"), 201, &made)
			people = append(people, made.ID)
		}
		active := map[string]bool{}
		toggle := func(srv *crashServer, round int) {
			for i, id := range people {
				active[id] = (i+round)%3 > 0
				srv.must(t, "PATCH", "/Users/"+id, crashPatch(fmt.Sprintf(`{"op":"replace","path":"active","value":%t}`, active[id])), 200, nil)
			}
		}
		toggle(one, 0)
		eventually(t, "some to be told", func() bool { crm.mu.Lock(); defer crm.mu.Unlock(); return len(crm.heard) > 5 })
		one.kill()
		toggle(two, 1)
		two.kill()
		one = site.serve(t, hookFlags...)
		toggle(one, 2)

		// The log of changes and what waits come to their end.
		planned := func(state string) []store.Delivery {
			all, err := admin.st.Deliveries(t.Context(), admin.by.Tenant, store.DeliveryQuery{State: state, Limit: 10_000})
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		eventually(t, "everything to be told", func() bool {
			f, err := admin.st.Feed(t.Context(), admin.by.Tenant)
			if err != nil {
				t.Fatal(err)
			}
			// Other tests on the same server hold changes back for a while.
			logged, err := admin.st.Changes(t.Context(), admin.by.Tenant, 10_000)
			if err != nil {
				t.Fatal(err)
			}
			shown, _, err := admin.st.ChangesSince(t.Context(), admin.by.Tenant, "", 10_000)
			if err != nil || len(shown) < len(logged) {
				return false
			}
			changes, _, err := admin.st.ChangesSince(t.Context(), admin.by.Tenant, f.Cursor, 1)
			return err == nil && len(changes) == 0 && f.Pass == "" && len(planned(store.DeliveryWaiting)) == 0
		})
		want, got, last := map[string][]string{}, map[string][]string{}, map[string]hookMessage{}
		for _, d := range slices.Backward(planned("")) {
			want[string(d.UserID)] = append(want[string(d.UserID)], string(d.ID))
		}
		crm.mu.Lock()
		defer crm.mu.Unlock()
		repeated := 0
		for _, m := range crm.heard {
			id := m.Data.User.ID
			if slices.Contains(got[id], m.ID) {
				repeated++
				continue
			}
			got[id] = append(got[id], m.ID)
			last[id] = m
		}
		for _, id := range people {
			if !slices.Equal(got[id], want[id]) || len(got[id]) == 0 {
				t.Errorf("%s heard %v, planned %v", id, got[id], want[id])
			}
			m := last[id]
			if m.Data.User.Active != active[id] || len(m.Data.Access) > 0 != active[id] {
				t.Errorf("%s: the product thinks %+v, and active is %v", id, m.Data, active[id])
			}
		}
		t.Logf("webhooks_lost = 0 of %d", len(crm.heard)-repeated)
		site.verify(t)
	})
}
