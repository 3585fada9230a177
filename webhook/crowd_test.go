package webhook

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// onTheWay runs a dispatcher until it has told some people more than before, and ends it
// there: its clock stops for as long as that takes, and nothing is written without one.
func (r *rig) onTheWay(t *testing.T, before int64) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	defer end()
	reached := make(chan struct{})
	var once sync.Once
	st, err := store.Open(ctx, r.url, store.Options{Now: func() time.Time {
		if f, err := r.Feed(t.Context(), r.actor.Tenant); err == nil && f.Seq > before {
			once.Do(func() { close(reached) })
			<-ctx.Done()
		}
		return r.clock.Now()
	}})
	if err != nil {
		t.Fatal(err)
	}
	other := *r
	other.Store = st
	_, stop := other.start(t, options(t))
	<-reached
	end()
	stop()
	if err := st.Close(); err != nil {
		t.Error(err)
	}
}

// A change for thousands is told person by person, in pieces. A process that ends in
// the middle, time and again, leaves the rest to the next: nobody is left out, and
// nobody hears twice.
func TestCrowd(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		const people = 1200
		crew := r.group(t, "crew")
		g := r.grant(t, "crm", toGroup(crew), nil)
		ids := r.users(t, numbered("p", people)...)
		w := r.hook(t, "crm", r.crm)
		_, stop := r.start(t, options(t))
		r.told(t)
		stop()

		var all []store.MemberID
		for _, id := range ids {
			all = append(all, store.MemberID(id))
		}
		r.members(t, crew, store.MemberDelta{Add: all})
		before := int64(0)
		for range 3 {
			r.onTheWay(t, before)
			f, err := r.Feed(t.Context(), r.actor.Tenant)
			if err != nil || f.Seq <= before || f.Seq >= people {
				t.Fatalf("%d are told of when a process ends, %v, want more than %d and not all", f.Seq, err, before)
			}
			before = f.Seq
		}
		r.start(t, options(t))
		r.settled(t)
		got := r.crm.take()
		heard := map[string]int{}
		for _, m := range got {
			heard[m.Data.User.ID]++
			if m.String() != fmt.Sprintf("access.changed %s gains doc >edit@eu = doc:edit@eu", m.Data.User.UserName) {
				t.Fatalf("got %s", m)
			}
		}
		if len(heard) != people {
			t.Errorf("%d people heard of, want %d", len(heard), people)
		}
		r.inOrder(t, w, got)

		// Everybody loses by one click, by another a few hundred do.
		r.write(t, func(tx *store.Tx) error { return tx.EndGrants(t.Context(), g.ID) })
		r.settled(t)
		if n := len(r.crm.take()); n != people {
			t.Errorf("%d messages, want %d", n, people)
		}
		r.write(t, func(tx *store.Tx) error {
			for _, id := range ids[:300] {
				_, err := tx.AddGrants(t.Context(), access.Grant{Subject: toUser(id), Effect: access.Allow, Product: "crm", Role: "writer",
					Origin: access.OriginDirect, Scope: access.Scope{Everywhere: true}})
				if err != nil {
					return err
				}
			}
			return nil
		})
		r.settled(t)
		if n := len(r.crm.take()); n != 300 {
			t.Errorf("%d messages, want 300", n)
		}
		if f, err := r.Feed(t.Context(), r.actor.Tenant); err != nil || f.Pass != "" || int(f.Seq) != 2*people+300 {
			t.Errorf("feed %+v, %v: want it done, after %d events", f, err, 2*people+300)
		}
		r.verified(t)
	})
}

// When the last webhook goes, what was kept of people goes too. A new one begins
// with what there is then.
func TestFeedEndsAndBegins(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		ids := r.users(t, numbered("p", 300)...)
		w := r.hook(t, "crm", r.crm)
		r.start(t, options(t))
		r.grant(t, "crm", toUser(ids[0]), nil)
		r.settled(t)
		if n := len(r.crm.take()); n != 1 {
			t.Fatalf("%d messages, want one", n)
		}
		r.write(t, func(tx *store.Tx) error { return tx.RemoveWebhook(ctx, w.ID) })
		r.wait(t, "the feed to end", func() bool {
			feeds, err := r.Feeds(ctx)
			if err != nil {
				t.Fatal(err)
			}
			return len(feeds) == 0
		})
		if kept, err := r.ToldOf(ctx, r.actor.Tenant); err != nil || len(kept) > 0 {
			t.Errorf("%d people are kept, %v", len(kept), err)
		}
		r.grant(t, "crm", toUser(ids[1]), nil) // nobody hears
		r.hook(t, "crm", r.crm)
		r.grant(t, "crm", toUser(ids[2]), nil)
		r.wait(t, "the feed", func() bool { f, err := r.Feed(ctx, r.actor.Tenant); return err == nil && f.Revision != "" })
		r.settled(t)
		got := lines(r.crm.take())
		if len(got) != 1 || got[0] != "access.changed p00002 gains doc >edit@eu = doc:edit@eu" {
			t.Errorf("got %q, want what came after the webhook alone", got)
		}
		r.verified(t)
	})
}

// What ended long ago is forgotten, what waits isn't.
func TestDeliveriesAreKeptForATime(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		ids := r.users(t, "ann")
		r.grant(t, "crm", access.Grantee{Everyone: true}, nil)
		r.hook(t, "crm", r.crm)
		_, stop := r.start(t, options(t))
		r.active(t, ids[0], false)
		r.settled(t)
		stop()
		if n := len(r.deliveries(t, "")); n != 2 {
			t.Fatalf("%d deliveries, want 2", n)
		}
		r.clock.advance(31 * 24 * time.Hour)
		r.active(t, ids[0], true)
		r.start(t, options(t))
		r.wait(t, "the old ones to go", func() bool {
			all := r.deliveries(t, "")
			return len(all) == 1 && all[0].State == store.DeliveryDelivered
		})
	})
}
