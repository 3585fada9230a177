package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"

	"github.com/google/go-cmp/cmp"
)

func (p place) addWebhook(t *testing.T, product access.ProductID, url string) store.Webhook {
	t.Helper()
	var w store.Webhook
	p.write(t, func(tx *store.Tx) (err error) {
		if w, err = tx.AddWebhook(t.Context(), product, url); err == nil {
			_, err = tx.RotateWebhook(t.Context(), w.ID, "sealed-1", "hint", 0)
		}
		return err
	})
	return w
}

func webhooks(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p, other := acme(t, s), newPlace(t, s, "other", "okta")
	p.addCatalogue(t)
	add := func(product access.ProductID, url string) error {
		return p.Write(ctx, p.actor, func(tx *store.Tx) error { _, err := tx.AddWebhook(ctx, product, url); return err })
	}
	wantErr(t, "a product that isn't there", add("crm", "https://a.example/"), store.ErrNotFound)
	wantErr(t, "an address that is too long", add("clicktime", "https://a.example/"+strings.Repeat("x", 1000)), store.ErrTooLong)
	wantErr(t, "an address that is no text", add("clicktime", "https://a.example/\x00"), store.ErrInvalid)
	wantErr(t, "a product that is no text", add("\xff", "https://a.example/"), store.ErrInvalid)
	if feeds, err := s.Feeds(ctx); err != nil || len(feeds) > 0 {
		t.Errorf("feeds of refused webhooks: %v, %v", feeds, err)
	}
	w := p.addWebhook(t, "clicktime", "https://a.example/")
	p.addWebhook(t, "console", "https://a.example/")
	wantErr(t, "the same again", add("clicktime", "https://a.example/"), store.ErrTaken)

	// Of two secrets both live for a while, of three the first ends.
	live := func() (hints []string) {
		t.Helper()
		secrets, err := s.WebhookSecrets(ctx, p.ref.Tenant, w.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range secrets {
			if secret.Live(s.Now()) {
				hints = append(hints, secret.Hint)
			}
		}
		return hints
	}
	for i, want := range [][]string{{"r0", "hint"}, {"r1", "r0"}, {"r2"}} {
		overlap := time.Hour
		if i == 2 {
			overlap = 0
		}
		p.write(t, func(tx *store.Tx) error {
			_, err := tx.RotateWebhook(ctx, w.ID, "sealed", fmt.Sprint("r", i), overlap)
			return err
		})
		if got := live(); !slices.Equal(got, want) {
			t.Errorf("rotation %d: live are %v, want %v", i, got, want)
		}
	}

	// Nobody else's, and none that isn't there.
	for _, id := range []store.WebhookID{w.ID, "x", "01990000-0000-7000-8000-000000000000"} {
		for what, f := range map[string]func(*store.Tx) error{
			"rotate":  func(tx *store.Tx) error { _, err := tx.RotateWebhook(ctx, id, "s", "h", 0); return err },
			"disable": func(tx *store.Tx) error { return tx.DisableWebhook(ctx, id, "why") },
			"enable":  func(tx *store.Tx) error { return tx.EnableWebhook(ctx, id) },
			"remove":  func(tx *store.Tx) error { return tx.RemoveWebhook(ctx, id) },
			"retry":   func(tx *store.Tx) error { _, err := tx.RetryDeliveries(ctx, id); return err },
		} {
			wantErr(t, what+" of another tenant", s.Write(ctx, other.actor, f), store.ErrNotFound)
		}
	}
	if hooks, err := s.Webhooks(ctx, other.ref.Tenant); err != nil || len(hooks) > 0 {
		t.Errorf("another tenant's webhooks: %v, %v", hooks, err)
	}
	wantErr(t, "more than there may be", p.Write(ctx, p.actor, func(tx *store.Tx) error {
		for i := range store.MaxWebhooks - 2 {
			if _, err := tx.AddWebhook(ctx, "clicktime", fmt.Sprint("https://a.example/", i)); err != nil {
				return fmt.Errorf("webhook %d: %v", i, err)
			}
		}
		_, err := tx.AddWebhook(ctx, "clicktime", "https://b.example/")
		return err
	}), store.ErrLimit)
	clean(t, s)
	p.write(t, func(tx *store.Tx) error { return tx.RemoveWebhook(ctx, w.ID) })
	if hooks, err := s.Webhooks(ctx, p.ref.Tenant); err != nil || len(hooks) != 1 || hooks[0].Product != "console" {
		t.Errorf("after removal: %v, %v, want the console's", hooks, err)
	}
	clean(t, s)
}

// webhooksAreNotInherited removes a product and makes one of the same name: whoever
// was told of the first is told nothing of the second.
func webhooksAreNotInherited(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p, other := acme(t, s), newPlace(t, s, "other", "okta")
	p.addCatalogue(t)
	other.addCatalogue(t)
	old := p.addWebhook(t, "clicktime", "https://a.example/")
	kept := []store.Webhook{p.addWebhook(t, "console", "https://a.example/"), other.addWebhook(t, "clicktime", "https://a.example/")}
	p.write(t, func(tx *store.Tx) error { return tx.RemoveProduct(ctx, "clicktime") })
	// Until then it hears who lost what.
	if hooks, err := s.Webhooks(ctx, p.ref.Tenant); err != nil || len(hooks) != 2 {
		t.Errorf("of a product that was removed: %v, %v, want both still there", hooks, err)
	}
	p.write(t, func(tx *store.Tx) error { return tx.SetProduct(ctx, clicktime()) })
	if hooks, err := s.Webhooks(ctx, p.ref.Tenant); err != nil || !cmp.Equal(hooks, kept[:1]) {
		t.Errorf("of the new product: %v, %v, want none, and the console's", hooks, err)
	}
	if hooks, err := s.Webhooks(ctx, other.ref.Tenant); err != nil || !cmp.Equal(hooks, kept[1:]) {
		t.Errorf("of another tenant: %v, %v, want it to stay", hooks, err)
	}
	log, err := s.Changes(ctx, p.ref.Tenant, 1000)
	if err != nil || !slices.ContainsFunc(log, func(c store.Change) bool { return c.Action == store.WebhookRemoved && c.SubjectID == string(old.ID) }) {
		t.Errorf("the log of %d changes, %v: want it to tell of the removal", len(log), err)
	}
	p.addWebhook(t, "clicktime", "https://a.example/")
	p.write(t, func(tx *store.Tx) error {
		product := clicktime()
		product.Name = "Another"
		return tx.SetProduct(ctx, product)
	})
	if hooks, err := s.Webhooks(ctx, p.ref.Tenant); err != nil || len(hooks) != 2 {
		t.Errorf("of a product that was changed: %v, %v, want it to stay", hooks, err)
	}
	clean(t, s)
}

// deliveries are sent in a person's order: the second waits for the first, also
// while that one waits for its next attempt.
func deliveries(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p, other := acme(t, s), newPlace(t, s, "other", "okta")
	p.addCatalogue(t)
	w := p.addWebhook(t, "clicktime", "https://a.example/")
	ids := p.addPeople(t, "ann", "bob")
	now := s.Now()
	var all []store.Delivery
	for i, who := range []int{0, 0, 1, 1} {
		all = append(all, store.Delivery{ID: store.DeliveryID(fmt.Sprintf("01990000-0000-7000-8000-00000000000%d", i)), WebhookID: w.ID, Seq: int64(i + 1),
			UserID: ids[who], Type: "access.changed", Body: "{}", CreatedAt: store.At(now), State: store.DeliveryWaiting, NextAt: store.At(now)})
	}
	p.write(t, func(tx *store.Tx) error { tx.QueueDeliveries(all); return nil })
	due := func(at time.Time) (seqs []int64) {
		t.Helper()
		found, err := s.DueDeliveries(ctx, p.ref.Tenant, w.ID, at, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range found {
			seqs = append(seqs, d.Seq)
		}
		return seqs
	}
	settle := func(i int, state string, next time.Time) {
		t.Helper()
		d := all[i]
		d.State, d.Attempts, d.NextAt, d.Status = state, d.Attempts+1, store.At(next), 500
		if state != store.DeliveryWaiting {
			d.EndedAt = store.At(next)
		}
		p.write(t, func(tx *store.Tx) error { tx.SettleDeliveries([]store.Delivery{d}); return nil })
	}
	want := func(why string, at time.Time, seqs ...int64) {
		t.Helper()
		if got := due(at); !slices.Equal(got, seqs) {
			t.Errorf("%s: due are %v, want %v", why, got, seqs)
		}
	}
	want("before its time", now.Add(-time.Minute))
	want("the first of each", now, 1, 3)
	settle(0, store.DeliveryWaiting, now.Add(time.Hour))
	want("ann's second waits with the first", now.Add(time.Minute), 3)
	settle(2, store.DeliveryDelivered, now)
	want("bob's second", now, 4)
	want("ann's first again", now.Add(time.Hour), 4, 1)
	settle(0, store.DeliveryDead, now)
	want("ann's second after a dead one", now, 2, 4)
	settle(0, store.DeliveryWaiting, now)
	want("what has ended doesn't wait again by itself", now, 2, 4)

	count := func(q store.DeliveryQuery) int {
		t.Helper()
		q.Limit = 10
		found, err := s.Deliveries(ctx, p.ref.Tenant, q)
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	if n, dead := count(store.DeliveryQuery{}), count(store.DeliveryQuery{State: store.DeliveryDead, Webhooks: []store.WebhookID{w.ID}}); n != 4 || dead != 1 {
		t.Errorf("listed %d, %d of them dead; want 4 and 1", n, dead)
	}
	retry := func(id store.DeliveryID) error {
		return p.Write(ctx, p.actor, func(tx *store.Tx) error { _, err := tx.RetryDelivery(ctx, id); return err })
	}
	wantErr(t, "retry while a later one waits", retry(all[0].ID), store.ErrSuperseded)
	wantErr(t, "retry of one that waits", retry(all[1].ID), store.ErrNotFound)
	wantErr(t, "retry of no id", retry("x"), store.ErrNotFound)
	settle(1, store.DeliveryDead, now)
	if err := retry(all[1].ID); err != nil {
		t.Errorf("retry of the last: %v", err)
	}
	want("both of ann's wait again, in their order", s.Now(), 4, 1)

	swept := func(actor store.Actor, before time.Time) (n int) {
		t.Helper()
		err := s.Write(ctx, actor, func(tx *store.Tx) (err error) { n, err = tx.SweepDeliveries(ctx, before, 10); return err })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := swept(other.actor, now.Add(time.Hour)); n != 0 {
		t.Errorf("swept %d of another tenant", n)
	}
	if n := swept(p.actor, now.Add(-time.Hour)); n != 0 {
		t.Errorf("swept %d too early", n)
	}
	if n := swept(p.actor, now.Add(time.Hour)); n != 1 {
		t.Errorf("swept %d, want the one that was delivered", n)
	}
	clean(t, s)
	p.write(t, func(tx *store.Tx) error { return tx.RemoveWebhook(ctx, w.ID) })
	if n := swept(p.actor, now); n != 3 {
		t.Errorf("swept %d of a webhook that was removed, want 3", n)
	}
	clean(t, s)
}

// followsMembers names whom a change of a group's members concerns.
func followsMembers(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	ids := p.addPeople(t, numbered("p", 60)...)
	crew, inner := p.addGroup(t, team("crew", nil)), p.addGroup(t, team("inner", nil), ids[0])
	last := func(action string) store.Change {
		t.Helper()
		changes, err := s.Changes(ctx, p.ref.Tenant, 5)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(changes, func(c store.Change) bool { return c.Action == action })
		if i < 0 {
			t.Fatalf("no %s in %v", action, changes)
		}
		return changes[i]
	}
	touched := func(why string, c store.Change, want []store.UserID, groups bool) {
		t.Helper()
		got, any, err := s.MembersTouched(ctx, p.ref.Tenant, crew.ID, c.ID, 1000)
		if err != nil || !slices.Equal(got, sorted(want)) || any != groups {
			t.Errorf("%s: got %v, groups %v, %v; want %v, %v", why, got, any, err, want, groups)
		}
	}
	change := func(d store.MemberDelta) store.Change {
		t.Helper()
		if _, err := p.changeMembers(t, crew.ID, d); err != nil {
			t.Fatal(err)
		}
		return last(store.MembersChanged)
	}
	c := change(store.MemberDelta{Add: memberIDs(ids[0], ids[1])})
	touched("two added", c, ids[:2], false)
	if !strings.Contains(c.Detail, string(ids[0])) || !strings.Contains(c.Detail, string(ids[1])) {
		t.Errorf("a small change doesn't name whom: %s", c.Detail)
	}
	c = change(store.MemberDelta{Add: memberIDs(ids...)})
	touched("many added", c, ids[2:], false)
	if strings.Contains(c.Detail, "named") {
		t.Errorf("a large change names everybody: %s", c.Detail)
	}
	touched("replaced", change(store.MemberDelta{Replace: true, Add: memberIDs(ids[5:]...)}), ids[:5], false)
	touched("a group put in", change(store.MemberDelta{Add: memberIDs(inner.ID)}), nil, true)
	touched("a group taken out", change(store.MemberDelta{Remove: memberIDs(inner.ID)}), nil, true)
	for _, id := range []string{string(inner.ID), string(ids[0])} {
		if got, err := s.AnyGroup(ctx, p.ref.Tenant, []string{id}); err != nil || got != (id == string(inner.ID)) {
			t.Errorf("is %s a group: got %v, %v", id, got, err)
		}
	}
	p.write(t, func(tx *store.Tx) error { return tx.DeleteGroup(ctx, p.ref, crew.ID) })
	touched("deleted", last(store.GroupDeleted), ids[5:], false)
	p.write(t, func(tx *store.Tx) error { return tx.DeleteGroup(ctx, p.ref, inner.ID) })
	if got, err := s.AnyGroup(ctx, p.ref.Tenant, []string{string(inner.ID)}); err != nil || !got {
		t.Errorf("a deleted group is forgotten: %v, %v", got, err)
	}
}
