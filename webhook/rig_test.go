package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"gatehouse/access"
	"gatehouse/internal/egress"
	"gatehouse/internal/pgtest"
	"gatehouse/store"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// onBoth runs a test on an empty, migrated database of each kind.
func onBoth(t *testing.T, test func(t *testing.T, r *rig)) {
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

// rig is a company with a product, the product's receiver, and a dispatcher that
// the test starts.
type rig struct {
	*store.Store
	url   string
	clock *clock
	ref   store.ConnectionRef
	actor store.Actor
	crm   *receiver
	// sites of the dimension site: berlin is in eu.
	eu, berlin, sydney access.SiteID
}

type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

func newRig(t *testing.T, url string) *rig {
	t.Helper()
	ctx := t.Context()
	if _, err := store.Migrate(ctx, url); err != nil {
		t.Fatal(err)
	}
	r := &rig{url: url, clock: &clock{}, actor: store.Actor{Kind: store.ActorSCIM, ID: "token-7"}}
	r.Store = r.open(t)
	tenant, err := r.EnsureTenant(ctx, r.actor, "acme")
	if err != nil {
		t.Fatal(err)
	}
	r.actor.Tenant = tenant.ID
	r.eu, r.berlin, r.sydney = store.NewSiteID(), store.NewSiteID(), store.NewSiteID()
	r.write(t, func(tx *store.Tx) error {
		c, err := tx.CreateConnection(ctx, "entra", store.IdPEntra)
		if err != nil {
			return err
		}
		r.ref = c.Ref()
		if err := tx.SetDimension(ctx, access.Dimension{ID: "site", Name: "Site"}); err != nil {
			return err
		}
		_, err = tx.AddSites(ctx,
			access.Site{ID: r.eu, Dimension: "site", Key: "eu", Name: "Europe"},
			access.Site{ID: r.berlin, Dimension: "site", Key: "berlin", Name: "Berlin", Parent: r.eu},
			access.Site{ID: r.sydney, Dimension: "site", Key: "sydney", Name: "Sydney"})
		if err != nil {
			return err
		}
		for _, id := range []access.ProductID{"crm", "wiki"} {
			if err := tx.SetProduct(ctx, product(id, "edit")); err != nil {
				return err
			}
		}
		return nil
	})
	r.crm = newReceiver(t)
	return r
}

// product has the permission doc at the levels view and edit, and a role that gives
// it at a level.
func product(id access.ProductID, level access.Level) access.Product {
	return access.Product{ID: id, Levels: []access.Level{"view", "edit"}, Permissions: []access.Permission{{ID: "doc"}},
		Roles: []access.Role{{ID: "writer", Permissions: map[access.PermissionID]access.Level{"doc": level}}}, Dimensions: []access.DimensionID{"site"}}
}

func (r *rig) open(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), r.url, store.Options{Now: r.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func (r *rig) write(t testing.TB, f func(*store.Tx) error) {
	t.Helper()
	if err := r.Write(t.Context(), r.actor, f); err != nil {
		t.Fatal(err)
	}
}

// hook adds a webhook and lets the receiver know its secret. What was written before is
// shown by then: as long as a transaction of another test on the same server holds it
// back, it counts as new, and would be told.
func (r *rig) hook(t *testing.T, product access.ProductID, to *receiver) store.Webhook {
	t.Helper()
	logged, err := r.Changes(t.Context(), r.actor.Tenant, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	r.wait(t, "the log to be shown", func() bool {
		shown, _, err := r.ChangesSince(t.Context(), r.actor.Tenant, "", 100_000)
		return err == nil && len(shown) >= len(logged)
	})
	var w store.Webhook
	r.write(t, func(tx *store.Tx) (err error) {
		w, err = tx.AddWebhook(t.Context(), product, to.url)
		return err
	})
	r.rotate(t, w, to, 0)
	return w
}

func (r *rig) rotate(t *testing.T, w store.Webhook, to *receiver, overlap time.Duration) {
	t.Helper()
	sealer, err := NewSealer(t.Context(), r.Store, "")
	if err != nil {
		t.Fatal(err)
	}
	secret, hint := NewSecret()
	r.write(t, func(tx *store.Tx) error {
		_, err := tx.RotateWebhook(t.Context(), w.ID, sealer.Seal(w.ID, secret), hint, overlap)
		return err
	})
	to.trust(secret)
}

// options are such that a test need not wait for long.
func options(t *testing.T) Options {
	return Options{AllowPrivate: true, Retries: []time.Duration{20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond},
		Timeout: time.Second, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))}
}

// start runs a dispatcher until the test ends, or stop is called. It gives no receiver
// up, so that what is sent twice was not sent twice for a machine that stood still.
func (r *rig) start(t *testing.T, opts Options) (d *Dispatcher, stop func()) {
	t.Helper()
	d, err := New(t.Context(), r.Store, opts)
	if err != nil {
		t.Fatal(err)
	}
	d.client = egress.New(egress.Options{Private: opts.AllowPrivate, Timeout: time.Hour})
	return d, d.start(t)
}

// start runs the dispatcher as it is.
func (d *Dispatcher) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); d.Run(ctx) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

// settled waits until all that was written has been told and sent.
func (r *rig) settled(t *testing.T) {
	t.Helper()
	r.told(t)
	r.wait(t, "all to be sent", func() bool {
		one, err := r.Deliveries(t.Context(), r.actor.Tenant, store.DeliveryQuery{State: store.DeliveryWaiting, Limit: 1})
		return err == nil && len(one) == 0
	})
}

// told waits until all that was written has been turned into deliveries.
func (r *rig) told(t *testing.T) {
	t.Helper()
	r.wait(t, "the log to be told", func() bool {
		f, err := r.Feed(t.Context(), r.actor.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		revision, err := r.Revision(t.Context(), r.actor.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		// Transactions of other tests on the same server hold changes back for a while.
		logged, err := r.Changes(t.Context(), r.actor.Tenant, 100_000)
		if err != nil {
			t.Fatal(err)
		}
		shown, cursor, err := r.ChangesSince(t.Context(), r.actor.Tenant, "", 100_000)
		return err == nil && len(shown) == len(logged) && f.Pass == "" && f.Revision == revision && r.behind(t, f.Cursor, cursor)
	})
}

// behind reports whether nothing is between a feed's cursor and the end.
func (r *rig) behind(t testing.TB, cursor, end string) bool {
	t.Helper()
	changes, _, err := r.ChangesSince(t.Context(), r.actor.Tenant, cursor, 1)
	return cursor == end || err == nil && len(changes) == 0
}

func (r *rig) deliveries(t testing.TB, state string) []store.Delivery {
	t.Helper()
	all, err := r.Deliveries(t.Context(), r.actor.Tenant, store.DeliveryQuery{State: state, Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (r *rig) wait(t testing.TB, what string, until func() bool) {
	t.Helper()
	late := time.After(2 * time.Minute)
	for tick := time.Tick(5 * time.Millisecond); !until(); {
		select {
		case <-tick:
		case <-late:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// verified fails the test when the database holds what must never be.
func (r *rig) verified(t *testing.T) {
	t.Helper()
	findings, err := r.Verify(t.Context())
	if err != nil || len(findings) > 0 {
		t.Errorf("verify: got %v, %v, want nothing wrong", findings, err)
	}
}

func (r *rig) users(t testing.TB, names ...string) []store.UserID {
	t.Helper()
	var ids []store.UserID
	r.write(t, func(tx *store.Tx) error {
		ids = nil
		for _, name := range names {
			doc := fmt.Appendf(nil, `{"userName":%q,"externalId":"x-%s","active":true}`, name, name)
			u, err := tx.CreateUser(t.Context(), r.ref, store.User{UserName: name, ExternalID: "x-" + name, Active: true, Doc: doc, Search: doc})
			if err != nil {
				return err
			}
			ids = append(ids, u.ID)
		}
		return nil
	})
	return ids
}

// active switches a user.
func (r *rig) active(t testing.TB, id store.UserID, active bool) {
	t.Helper()
	r.write(t, func(tx *store.Tx) error { return r.switchUser(t, tx, id, active) })
}

func (r *rig) switchUser(t testing.TB, tx *store.Tx, id store.UserID, active bool) error {
	_, err := tx.UpdateUser(t.Context(), r.ref, id, func(u store.User) (store.User, error) {
		u.Active = active
		u.Doc = fmt.Appendf(nil, `{"userName":%q,"externalId":%q,"active":%t}`, u.UserName, u.ExternalID, active)
		u.Search = u.Doc
		return u, nil
	})
	return err
}

func (r *rig) group(t testing.TB, name string, members ...store.MemberID) store.Group {
	t.Helper()
	doc := fmt.Appendf(nil, `{"displayName":%q}`, name)
	g := store.Group{DisplayName: name, Doc: doc, Search: doc}
	r.write(t, func(tx *store.Tx) (err error) {
		g, _, err = tx.CreateGroup(t.Context(), r.ref, store.Group{DisplayName: name, Doc: doc, Search: doc}, members)
		return err
	})
	return g
}

func (r *rig) members(t testing.TB, g store.Group, delta store.MemberDelta) {
	t.Helper()
	r.write(t, func(tx *store.Tx) error {
		_, _, err := tx.UpdateGroup(t.Context(), r.ref, g.ID, func(g store.Group) (store.Group, store.MemberDelta, error) { return g, delta, nil })
		return err
	})
}

func (r *rig) grant(t testing.TB, product access.ProductID, to access.Grantee, change func(*access.Grant)) access.Grant {
	t.Helper()
	g := access.Grant{Subject: to, Effect: access.Allow, Product: product, Role: "writer", Origin: access.OriginDirect,
		Scope: access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: []access.SiteID{r.eu}}}}}
	if change != nil {
		change(&g)
	}
	r.write(t, func(tx *store.Tx) error {
		added, err := tx.AddGrants(t.Context(), g)
		if err == nil {
			g = added[0]
		}
		return err
	})
	return g
}

func toUser(id store.UserID) access.Grantee { return access.Grantee{User: access.UserID(id)} }
func toGroup(g store.Group) access.Grantee  { return access.Grantee{Group: access.GroupID(g.ID)} }

// receiver is a product that verifies what it is sent with the library of Standard
// Webhooks and remembers it.
type receiver struct {
	t      testing.TB
	url    string
	server *httptest.Server

	mu       sync.Mutex
	secrets  []*standardwebhooks.Webhook
	messages []received
	// answer may refuse a message; nil takes all. It runs without the lock.
	answer func(w http.ResponseWriter, m received) bool
}

// received is a message that was taken.
type received struct {
	ID, Signatures string
	Type           string
	Timestamp      time.Time
	Data           struct {
		Product string
		User    struct {
			ID, UserName, ExternalID string
			Active, Deleted          bool
		}
		Changes []struct {
			Kind, Permission, Before, After string
			Area                            map[string]areaSeen
		}
		Access []struct {
			Permission, Level string
			Area              map[string]areaSeen
		}
	}
}

type areaSeen struct {
	All           bool
	Sites, Except []struct{ ID, Key string }
}

func (a areaSeen) String() string {
	var keys []string
	if a.All {
		keys = append(keys, "all")
	}
	for _, s := range a.Sites {
		keys = append(keys, s.Key)
	}
	for _, s := range a.Except {
		keys = append(keys, "-"+s.Key)
	}
	return strings.Join(keys, ",")
}

// String is a message in a line: type, who, what became of what, and what is left.
func (m received) String() string {
	text := m.Type + " " + m.Data.User.UserName
	if m.Type == UserDeactivated {
		return text
	}
	for _, c := range m.Data.Changes {
		text += fmt.Sprintf(" %s %s %s>%s@%s", c.Kind, c.Permission, c.Before, c.After, c.Area["site"])
	}
	text += " ="
	for _, a := range m.Data.Access {
		text += fmt.Sprintf(" %s:%s@%s", a.Permission, a.Level, a.Area["site"])
	}
	return text
}

func newReceiver(t testing.TB) *receiver {
	t.Helper()
	r := &receiver{t: t}
	r.server = httptest.NewServer(r)
	r.url = r.server.URL + "/hook"
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) trust(secret string) {
	w, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = append(r.secrets, w)
}

func (r *receiver) answers(f func(w http.ResponseWriter, m received) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // broken off
	}
	r.mu.Lock()
	secrets, answer := slices.Clone(r.secrets), r.answer
	r.mu.Unlock()
	if len(secrets) == 0 || secrets[len(secrets)-1].Verify(body, req.Header) != nil {
		r.t.Errorf("a message without a good signature: %v %s", req.Header, body)
	}
	m := received{ID: req.Header.Get("webhook-id"), Signatures: req.Header.Get("webhook-signature")}
	if err := json.Unmarshal(body, &m); err != nil {
		r.t.Errorf("%v in %s", err, body)
	}
	if answer != nil && !answer(w, m) {
		return
	}
	r.mu.Lock()
	r.messages = append(r.messages, m)
	r.mu.Unlock()
}

// take gives the messages taken so far and forgets them.
func (r *receiver) take() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.messages
	r.messages = nil
	return all
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.messages)
}

func lines(messages []received) []string {
	all := []string{}
	for _, m := range messages {
		all = append(all, m.String())
	}
	return all
}
