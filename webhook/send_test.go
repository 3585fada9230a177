package webhook

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/access"
	"gatehouse/store"
)

// toggled switches people off and on, so that each has events in an order that is
// known: twice deactivated, lost and gained.
func (r *rig) toggled(t *testing.T, ids []store.UserID) {
	t.Helper()
	for range 2 {
		for _, id := range ids {
			r.active(t, id, false)
		}
		for _, id := range ids {
			r.active(t, id, true)
		}
	}
}

// inOrder fails the test unless each person's messages, repetitions left out, are
// all of what was planned, in that order.
func (r *rig) inOrder(t *testing.T, w store.Webhook, got []received) {
	t.Helper()
	want, seen := map[string][]string{}, map[string][]string{}
	all, err := r.Deliveries(t.Context(), r.actor.Tenant, store.DeliveryQuery{Webhooks: []store.WebhookID{w.ID}, Limit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range slices.Backward(all) {
		want[string(d.UserID)] = append(want[string(d.UserID)], string(d.ID))
	}
	for _, m := range got {
		if who := m.Data.User.ID; !slices.Contains(seen[who], m.ID) {
			seen[who] = append(seen[who], m.ID)
		}
	}
	if len(want) == 0 {
		t.Fatal("nothing was planned")
	}
	for who := range want {
		if diff := cmp.Diff(want[who], seen[who]); diff != "" {
			t.Errorf("person %s: planned and received differ: -want +got\n%s", who, diff)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("messages about %d people, want %d", len(seen), len(want))
	}
}

func numbered(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%05d", prefix, i)
	}
	return names
}

// A receiver that is down for a while gets everything once it is back, the events
// of each person in their order.
func TestReceiverComesBack(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		r.grant(t, "crm", access.Grantee{Everyone: true}, nil)
		w := r.hook(t, "crm", r.crm)
		var down atomic.Bool
		var refused atomic.Int32
		down.Store(true)
		r.crm.answers(func(w http.ResponseWriter, m received) bool {
			if !down.Load() {
				return true
			}
			refused.Add(1)
			w.WriteHeader([]int{500, 503, 404, 302, 204 + 100}[refused.Load()%5])
			return false
		})
		opts := options(t)
		opts.Retries = slices.Repeat([]time.Duration{30 * time.Millisecond}, 1000)
		r.start(t, opts)
		ids := r.users(t, numbered("p", 12)...)
		r.toggled(t, ids)
		r.wait(t, "failed attempts", func() bool { return refused.Load() > 60 })
		if n := r.crm.count(); n != 0 {
			t.Fatalf("%d messages taken by a receiver that is down", n)
		}
		waiting := r.deliveries(t, store.DeliveryWaiting)
		if len(waiting) == 0 || !slices.ContainsFunc(waiting, func(d store.Delivery) bool {
			return d.Attempts > 0 && strings.HasPrefix(d.Error, "answered ") && d.Status >= 300
		}) {
			t.Errorf("no delivery says what went wrong: %+v", waiting)
		}
		down.Store(false)
		r.settled(t)
		r.inOrder(t, w, r.crm.take())
		if n := len(r.deliveries(t, store.DeliveryDead)); n != 0 {
			t.Errorf("%d dead, want none", n)
		}
		r.verified(t)
	})
}

// What is refused for too long is dead, and is sent again when somebody says so,
// unless something newer has been said about the person.
func TestDeadLetters(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		ids := r.users(t, "ann", "bob")
		r.grant(t, "crm", access.Grantee{Everyone: true}, nil)
		w := r.hook(t, "crm", r.crm)
		var down atomic.Bool
		var attempts sync.Map
		down.Store(true)
		r.crm.answers(func(w http.ResponseWriter, m received) bool {
			n, _ := attempts.LoadOrStore(m.ID, new(atomic.Int32))
			n.(*atomic.Int32).Add(1)
			if down.Load() {
				w.WriteHeader(500)
			}
			return !down.Load()
		})
		r.start(t, options(t))
		r.active(t, ids[0], false)
		r.active(t, ids[1], false)
		r.settled(t)
		dead := r.deliveries(t, store.DeliveryDead)
		if len(dead) != 4 {
			t.Fatalf("got %d dead, want two of each person: %+v", len(dead), dead)
		}
		for _, d := range dead {
			n, _ := attempts.Load(string(d.ID))
			if got := int(n.(*atomic.Int32).Load()); got != 4 || d.Attempts != 4 || d.Status != 500 {
				t.Errorf("%s: %d requests, noted %d and status %d; want the first and three more", d.Type, got, d.Attempts, d.Status)
			}
		}

		// Bob comes back, and hears of it.
		down.Store(false)
		r.active(t, ids[1], true)
		r.settled(t)
		if got := lines(r.crm.take()); !slices.Equal(got, []string{"access.changed bob gains doc >edit@eu = doc:edit@eu"}) {
			t.Fatalf("got %q", got)
		}
		// What was to be said of him before would be wrong now.
		for _, d := range dead {
			err := r.Write(ctx, r.actor, func(tx *store.Tx) error { _, err := tx.RetryDelivery(ctx, d.ID); return err })
			if want := d.UserID == ids[1]; errors.Is(err, store.ErrSuperseded) != want || err != nil && !want && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("retry %s of %s: got %v, want superseded: %v", d.Type, d.UserID, err, want)
			}
		}
		r.settled(t)
		want := []string{"user.deactivated ann", "access.changed ann loses doc edit>@eu ="}
		if diff := cmp.Diff(want, lines(r.crm.take())); diff != "" {
			t.Errorf("retried: -want +got\n%s", diff)
		}
		n := -1
		r.write(t, func(tx *store.Tx) (err error) { n, err = tx.RetryDeliveries(ctx, w.ID); return err })
		if n != 0 || len(r.deliveries(t, store.DeliveryDead)) != 2 {
			t.Errorf("retry of all: got %d, want none: what is dead of bob stays", n)
		}
		r.verified(t)
	})
}

// A receiver that says that it is gone isn't asked again until it is enabled, and
// gets then what became dead meanwhile.
func TestGoneDisables(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.users(t, "ann")
		w := r.hook(t, "crm", r.crm)
		var gone atomic.Bool
		var asked atomic.Int32
		gone.Store(true)
		r.crm.answers(func(w http.ResponseWriter, m received) bool {
			asked.Add(1)
			if gone.Load() {
				w.WriteHeader(http.StatusGone)
			}
			return !gone.Load()
		})
		r.start(t, options(t))
		state := func() store.Webhook {
			hooks, err := r.Webhooks(ctx, r.actor.Tenant)
			if err != nil || len(hooks) != 1 {
				t.Fatal(hooks, err)
			}
			return hooks[0]
		}
		g := r.grant(t, "crm", access.Grantee{Everyone: true}, nil)
		r.wait(t, "the webhook to be disabled", func() bool { return !state().DisabledAt.IsZero() })
		r.write(t, func(tx *store.Tx) error { return tx.EndGrants(ctx, g.ID) })
		r.grant(t, "crm", access.Grantee{Everyone: true}, func(g *access.Grant) { g.Scope = access.Scope{Everywhere: true} })
		r.settled(t)
		if n := asked.Load(); n != 1 {
			t.Errorf("%d requests, want one", n)
		}
		if why := state().DisabledWhy; !strings.Contains(why, "410") {
			t.Errorf("disabled, since %q", why)
		}
		gone.Store(false)
		r.write(t, func(tx *store.Tx) error {
			if err := tx.EnableWebhook(ctx, w.ID); err != nil {
				return err
			}
			_, err := tx.RetryDeliveries(ctx, w.ID)
			return err
		})
		r.wait(t, "what was missed", func() bool { return len(r.deliveries(t, store.DeliveryDead)) == 0 })
		r.settled(t)
		r.inOrder(t, w, r.crm.take())
		actions := map[string]int{}
		changes, err := r.Changes(ctx, r.actor.Tenant, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			if c.SubjectKind == "webhook" {
				actions[c.Action]++
			}
		}
		if diff := cmp.Diff(map[string]int{"webhook.created": 1, "webhook.disabled": 1, "webhook.enabled": 1}, actions); diff != "" {
			t.Errorf("the log: -want +got\n%s", diff)
		}
		r.verified(t)
	})
}

// While a secret is rotated each message is signed by both.
func TestRotation(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ids := r.users(t, "ann")
		r.grant(t, "crm", access.Grantee{Everyone: true}, nil)
		w := r.hook(t, "crm", r.crm)
		old := r.crm.secrets[0]
		other := newReceiver(t) // which has the old secret alone
		other.secrets = r.crm.secrets
		opts := options(t)
		opts.AllowPrivate = true
		r.start(t, opts)
		one := func(why string, signatures int) received {
			t.Helper()
			r.active(t, ids[0], false)
			r.settled(t)
			r.active(t, ids[0], true)
			r.settled(t)
			got := r.crm.take()
			if len(got) != 3 {
				t.Fatalf("%s: got %q", why, lines(got))
			}
			if n := len(strings.Fields(got[0].Signatures)); n != signatures {
				t.Errorf("%s: %d signatures, want %d", why, n, signatures)
			}
			return got[0]
		}
		first := one("before", 1)
		r.rotate(t, w, r.crm, time.Hour)
		r.crm.mu.Lock()
		r.crm.secrets = append(r.crm.secrets, old) // the last one is what the receiver verifies with
		r.crm.mu.Unlock()
		one("the old secret while both live", 2)
		r.crm.mu.Lock()
		r.crm.secrets = r.crm.secrets[:2]
		r.crm.mu.Unlock()
		one("the new secret while both live", 2)
		r.clock.advance(2 * time.Hour)
		last := one("the new secret alone", 1)
		if first.ID == last.ID {
			t.Error("two messages with one id")
		}
		r.rotate(t, w, r.crm, time.Hour)
		r.rotate(t, w, r.crm, time.Hour)
		one("two at most", 2)
		r.rotate(t, w, r.crm, 0)
		one("a leaked one ends at once", 1)
		r.verified(t)
	})
}

// Redirects lead nowhere, and nothing of ours is reached by any spelling.
func TestNowhereInside(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ids := r.users(t, "ann")
		r.grant(t, "crm", access.Grantee{Everyone: true}, nil)
		var connections atomic.Int32
		inside := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		inside.Config.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				connections.Add(1)
			}
		}
		inside.StartTLS()
		t.Cleanup(inside.Close)
		answer, err := inside.Client().Get(inside.URL) // the control
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if connections.Swap(0) == 0 {
			t.Fatal("connections are not counted")
		}
		port := inside.Listener.Addr().(*net.TCPAddr).Port
		forms := []string{
			"https://127.0.0.1:%d/", "https://localhost:%d/", "https://LOCALHOST:%d/", "https://localhost.:%d/", "https://127.1:%d/", "https://127.0.1:%d/",
			"https://0.0.0.0:%d/", "https://0:%d/", "https://2130706433:%d/", "https://0x7f000001:%d/", "https://0x7f.1:%d/",
			"https://0177.0.0.1:%d/", "https://127.8.8.8:%d/", "https://127.0.0.1.:%d/", "https://[::1]:%d/", "https://[::]:%d/",
			"https://[::ffff:127.0.0.1]:%d/", "https://[::ffff:7f00:1]:%d/", "https://[0:0:0:0:0:0:0:1]:%d/", "https://[::127.0.0.1]:%d/",
			"https://[64:ff9b::7f00:1]:%d/", "https://[2002:7f00:1::]:%d/", "https://[fe80::1%%25lo]:%d/", "https://[::1%%25lo]:%d/",
			"https://①②⑦.0.0.1:%d/", "https://127。0。0。1:%d/", "http://127.0.0.1:%d/", "https://x@127.0.0.1:%d/", "https://127.0.0.1:%d/#x",
			"https://ip6-localhost:%d/", "https://127.0.0.1:%d@example.com/",
		}
		addresses := []string{"https://10.0.0.1/", "https://169.254.169.254/latest", "https://192.168.1.1/", "https://100.100.100.200/", "https://172.16.0.1/"}
		for _, form := range forms {
			addresses = append(addresses, fmt.Sprintf(form, port))
		}
		for _, address := range addresses {
			r.hookAt(t, "crm", address)
		}
		opts := options(t)
		opts.AllowPrivate, opts.Retries, opts.Timeout = false, []time.Duration{time.Millisecond}, 2*time.Second
		r.start(t, opts)
		r.active(t, ids[0], false)
		r.settled(t)
		dead := r.deliveries(t, store.DeliveryDead)
		if len(dead) != 2*len(addresses) {
			t.Errorf("%d dead deliveries for %d addresses, want two each", len(dead), len(addresses))
		}
		for _, d := range dead {
			if d.Status != 0 || d.Error == "" {
				t.Errorf("a delivery was answered %d: %+v", d.Status, d)
			}
		}
		if n := connections.Load(); n != 0 {
			t.Errorf("ssrf_connects = %d of %d addresses", n, len(addresses))
		}
		t.Logf("ssrf_connects = %d of %d addresses", connections.Load(), len(addresses))
	})
}

// hookAt adds a webhook whose receiver is somewhere else.
func (r *rig) hookAt(t *testing.T, product access.ProductID, address string) store.Webhook {
	t.Helper()
	to := newReceiver(t)
	to.url = address
	return r.hook(t, product, to)
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ids := r.users(t, "ann")
		r.grant(t, "crm", access.Grantee{Everyone: true}, nil)
		r.hook(t, "crm", r.crm)
		var followed atomic.Int32
		elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
		t.Cleanup(elsewhere.Close)
		var asked atomic.Int32
		r.crm.answers(func(w http.ResponseWriter, _ received) bool {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader([]int{301, 302, 303, 307, 308}[asked.Add(1)%5])
			return false
		})
		r.start(t, options(t))
		r.active(t, ids[0], false)
		r.settled(t)
		if followed.Load() != 0 || asked.Load() != 8 {
			t.Errorf("%d redirects followed of %d, want none of 8", followed.Load(), asked.Load())
		}
		for _, d := range r.deliveries(t, store.DeliveryDead) {
			if !strings.Contains(d.Error, "redirects are not followed") {
				t.Errorf("got %q", d.Error)
			}
		}
	})
}

// One that never answers, or answers without end, holds up nobody else. Here nobody is
// given up, so that whoever waited for the slow one would wait for ever.
func TestSlowReceiverIsAlone(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		r.grant(t, "crm", access.Grantee{Everyone: true}, nil)
		r.grant(t, "wiki", access.Grantee{Everyone: true}, nil)
		release := make(chan struct{})
		var hanging, most atomic.Int32
		slow, endless := newReceiver(t), newReceiver(t)
		t.Cleanup(func() { close(release) }) // before the receivers are closed
		slow.answers(func(w http.ResponseWriter, _ received) bool {
			most.Store(max(most.Load(), hanging.Add(1)))
			<-release
			return true
		})
		endless.answers(func(w http.ResponseWriter, _ received) bool {
			for i := 0; i < 1<<16; i++ {
				if _, err := w.Write(make([]byte, 1<<10)); err != nil {
					return false
				}
			}
			t.Error("an endless answer was read to its end")
			return false
		})
		r.hook(t, "crm", slow)
		r.hook(t, "crm", endless)
		quick := r.hook(t, "wiki", r.crm)
		r.start(t, options(t))
		r.toggled(t, r.users(t, numbered("p", 20)...))
		r.told(t)
		r.wait(t, "the quick one's messages", func() bool {
			return !slices.ContainsFunc(r.deliveries(t, store.DeliveryWaiting), func(d store.Delivery) bool { return d.WebhookID == quick.ID })
		})
		r.inOrder(t, quick, r.crm.take())
		r.wait(t, "the slow one to hang", func() bool { return hanging.Load() > 0 })
		if n := most.Load(); n > atOnce {
			t.Errorf("%d requests hang at once, want at most %d", n, atOnce)
		}
	})
}

// A receiver that hangs is given up when its time is over, and the message is dead
// after as many attempts as any other.
func TestHangingReceiverIsGivenUp(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		r.grant(t, "crm", access.Grantee{Everyone: true}, nil)
		r.hook(t, "crm", r.crm)
		release := make(chan struct{})
		t.Cleanup(func() { close(release) }) // before the receiver is closed
		r.crm.answers(func(http.ResponseWriter, received) bool { <-release; return true })
		opts := options(t)
		opts.Timeout = 50 * time.Millisecond
		d, err := New(t.Context(), r.Store, opts)
		if err != nil {
			t.Fatal(err)
		}
		d.start(t)
		r.users(t, "ann")
		r.settled(t)
		for _, one := range r.deliveries(t, "") {
			if one.State != store.DeliveryDead || one.Attempts != len(opts.Retries)+1 || one.Status != 0 || one.Error == "" {
				t.Errorf("got %+v, want it dead after %d attempts that nobody answered", one, len(opts.Retries)+1)
			}
		}
	})
}

// Two processes share the work without sending anything twice or out of order, and
// when one dies the other goes on where it was.
func TestTwoDispatchers(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		r.grant(t, "crm", access.Grantee{Everyone: true}, nil)
		w := r.hook(t, "crm", r.crm)
		var mu sync.Mutex
		busy, ids := map[string]bool{}, map[string]int{}
		r.crm.answers(func(_ http.ResponseWriter, m received) bool {
			mu.Lock()
			if busy[m.Data.User.ID] {
				t.Errorf("two requests about one person at a time")
			}
			busy[m.Data.User.ID] = true
			ids[m.ID]++
			mu.Unlock()
			defer func() { mu.Lock(); busy[m.Data.User.ID] = false; mu.Unlock() }()
			return true
		})
		_, stop := r.start(t, options(t))
		other := *r
		other.Store = r.open(t)
		other.start(t, options(t))
		people := r.users(t, numbered("p", 10)...)
		r.toggled(t, people)
		r.settled(t)
		stop() // hands over
		r.toggled(t, people)
		r.settled(t)
		r.inOrder(t, w, r.crm.take())
		for id, n := range maps.All(ids) {
			if n != 1 {
				t.Errorf("message %s came %d times", id, n)
			}
		}
		r.verified(t)
	})
}

// A process that has lost its tenant, without knowing yet, writes nothing more.
func TestOnlyTheHolderSteps(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		r.hook(t, "crm", r.crm)
		f, err := r.Feed(ctx, r.actor.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		claim := func(f store.Feed, holder string) error {
			return r.Write(ctx, r.actor, func(tx *store.Tx) error { return tx.ClaimFeed(ctx, f, holder) })
		}
		save := func(f store.Feed) error {
			return r.Write(ctx, r.actor, func(tx *store.Tx) error { _, err := tx.SaveFeed(ctx, f); return err })
		}
		if err := claim(f, "one"); err != nil {
			t.Fatal(err)
		}
		if err := claim(f, "two"); !errors.Is(err, store.ErrStale) {
			t.Errorf("claimed twice: %v", err)
		}
		f.Holder = "one"
		if err := save(f); err != nil {
			t.Errorf("the holder's step: %v", err)
		}
		if err := save(f); !errors.Is(err, store.ErrStale) {
			t.Errorf("the same step again: %v", err)
		}
		if f, err = r.Feed(ctx, r.actor.Tenant); err != nil {
			t.Fatal(err)
		}
		if err := claim(f, "two"); err != nil { // its beat stood still
			t.Fatal(err)
		}
		if err := save(f); !errors.Is(err, store.ErrStale) {
			t.Errorf("a step of the holder before: %v", err)
		}
		var held []store.TenantID
		r.write(t, func(tx *store.Tx) (err error) { held, err = tx.BeatFeeds(ctx, "one"); return err })
		if len(held) != 0 {
			t.Errorf("the holder before still holds %v", held)
		}
	})
}

func TestFree(t *testing.T) {
	t.Parallel()
	watched := map[store.TenantID]seen{}
	f := store.Feed{TenantID: "acme", Holder: "other", Beat: 7}
	if free(watched, f) {
		t.Error("taken over at first sight")
	}
	watched["acme"] = seen{holder: "other", beat: 7, since: time.Now().Add(-leaseTime)}
	if !free(watched, f) {
		t.Error("not taken over although the beat stood still")
	}
	f.Beat++
	if free(watched, f) {
		t.Error("taken over although it lives")
	}
	if f.Holder = ""; !free(watched, f) {
		t.Error("not taken over although it was handed over")
	}
	var l lease
	if l.holds(0) {
		t.Error("a lease from the start")
	}
	l.extend(time.Now().Add(-leaseTime + 5*time.Second))
	if !l.holds(time.Second) || l.holds(MaxTimeout) {
		t.Error("a lease that ends in 5 s is good for a second and not for a request")
	}
}

// A secret opens for its webhook alone and with the key that sealed it.
func TestSeal(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		key := strings.Repeat("k", 32)
		sealer := func(key string) *Sealer {
			s, err := NewSealer(context.Background(), r.Store, key)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		secret, hint := NewSecret()
		if !strings.HasPrefix(secret, SecretPrefix) || !strings.Contains(secret, hint) || len(hint) != 4 {
			t.Errorf("secret with the hint %q", hint)
		}
		for _, test := range []struct {
			why, by, with string
			webhook       store.WebhookID
			opens         bool
		}{
			{"the same key", key, key, "a", true},
			{"no key", "", "", "a", true},
			{"a key that was set later", "", key, "a", true},
			{"a key that was lost", key, "", "a", false},
			{"another key", key, key + "x", "a", false},
			{"another webhook", key, key, "b", false},
		} {
			sealed := sealer(test.by).Seal("a", secret)
			if strings.Contains(sealed, secret[len(SecretPrefix):]) {
				t.Errorf("%s: sealed in clear", test.why)
			}
			got, err := sealer(test.with).Open(test.webhook, sealed)
			if (err == nil) != test.opens || err == nil && got != secret || err != nil && !errors.Is(err, ErrSealed) {
				t.Errorf("%s: got %v, want it to open: %v", test.why, err, test.opens)
			}
		}
		for _, odd := range []string{"", "x", "setting:", "database:AAAA", "database:%"} {
			if _, err := sealer(key).Open("a", odd); !errors.Is(err, ErrSealed) {
				t.Errorf("%q: got %v", odd, err)
			}
		}
	})
}
