package store_test

import (
	"slices"
	"testing"

	"gatehouse/store"
)

// TestVerifyFindsDamagedWebhooks spoils what is kept for webhooks in one way at a
// time.
func TestVerifyFindsDamagedWebhooks(t *testing.T) {
	const nobody = "01990000-0000-7000-8000-000000000000"
	tables := []string{"webhook_secrets", "webhook_feeds", "webhook_policies", "webhook_people", "webhook_deliveries", "changes"}
	onBoth(t, func(t *testing.T, url string) {
		ctx := t.Context()
		s := open(t, url, store.Options{})
		p := acme(t, s)
		var w store.Webhook
		p.write(t, func(tx *store.Tx) error {
			ann, err := tx.CreateUser(ctx, p.ref, person("ann", true))
			if err != nil {
				return err
			}
			if w, err = tx.AddWebhook(ctx, "console", "https://a.example/"); err != nil {
				return err
			}
			if _, err = tx.RotateWebhook(ctx, w.ID, "sealed", "hint", 0); err != nil {
				return err
			}
			tx.Tell(map[store.UserID]string{ann.ID: "{}"})
			now := store.At(s.Now())
			tx.QueueDeliveries([]store.Delivery{
				{ID: "01990000-0000-7000-8000-000000000001", WebhookID: w.ID, Seq: 1, UserID: ann.ID, Body: "{}", State: store.DeliveryWaiting, NextAt: now},
				{ID: "01990000-0000-7000-8000-000000000002", WebhookID: w.ID, Seq: 2, UserID: ann.ID, Body: "{}", State: store.DeliveryWaiting, NextAt: now},
			})
			return nil
		})
		f, err := s.Feed(ctx, p.ref.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		f.Revision = nobody
		p.write(t, func(tx *store.Tx) error {
			if _, err := tx.SaveFeed(ctx, f); err != nil {
				return err
			}
			return tx.KeepPolicy(ctx, f.Revision, []byte("{}"))
		})
		clean(t, s)
		db := raw(t, url)
		unguard(t, db, url)
		for _, table := range tables {
			mustExec(t, db, `CREATE TABLE sound_`+table+` AS SELECT * FROM `+table)
		}
		for _, c := range []struct{ check, damage string }{
			{"every webhook was created in the log and has a secret", `DELETE FROM webhook_secrets`},
			{"every webhook was created in the log and has a secret", `UPDATE webhook_secrets SET expires_at = 1`},
			{"every webhook was created in the log and has a secret", `DELETE FROM changes WHERE action = 'webhook.created'`},
			{"every webhook is told the log", `DELETE FROM webhook_feeds`},
			{"the policy that webhooks were told is kept", `DELETE FROM webhook_policies`},
			{"webhooks were told of people that are or were here", `UPDATE webhook_people SET user_id = '01990000-0000-7000-8000-000000000009'`},
			{"events of a person are delivered in their order", `UPDATE webhook_deliveries SET state = 'delivered' WHERE seq = 2`},
			{"no event has more than one place", `UPDATE webhook_deliveries SET seq = 1`},
		} {
			for _, table := range tables {
				mustExec(t, db, `DELETE FROM `+table, `INSERT INTO `+table+` SELECT * FROM sound_`+table)
			}
			clean(t, s)
			mustExec(t, db, c.damage)
			findings, err := s.Verify(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(findings, func(f store.Finding) bool { return f.Check == c.check && f.Detail != "" }) {
				t.Errorf("%s: got %v, want it found by %q", c.damage, findings, c.check)
			}
		}
	})
}
