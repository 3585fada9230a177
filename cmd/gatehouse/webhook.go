package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
	"gatehouse/webhook"
)

type webhookCmd struct {
	Add        webhookAddCmd        `cmd:"" help:"Tell a product what changes."`
	List       webhookListCmd       `cmd:"" help:"List a tenant's webhooks."`
	Rotate     webhookRotateCmd     `cmd:"" help:"Give a webhook a new secret; the old one signs as well for a while."`
	Enable     webhookEnableCmd     `cmd:"" help:"Send to a webhook again that was disabled."`
	Remove     webhookRemoveCmd     `cmd:"" help:"Take a webhook away."`
	Deliveries webhookDeliveriesCmd `cmd:"" help:"List what was sent, and what waits."`
	Retry      webhookRetryCmd      `cmd:"" help:"Send dead deliveries again."`
}

// ofWebhook names the webhook that a command is about.
type ofWebhook struct {
	Tenant  string `help:"The tenant." default:"default" placeholder:"NAME"`
	Product string `help:"The product, by its key." required:"" placeholder:"KEY"`
	Address string `name:"url" env:"-" help:"The webhook's address; needed when the product has several." placeholder:"URL"`
}

func (o ofWebhook) with(a *app, f func(*store.Store, store.Tenant, store.Webhook) error) error {
	return a.with(o.Tenant, func(st *store.Store, t store.Tenant) error {
		hooks, err := st.Webhooks(a.ctx, t.ID)
		if err != nil {
			return err
		}
		var found []store.Webhook
		for _, w := range hooks {
			if string(w.Product) == o.Product && (o.Address == "" || w.URL == o.Address) {
				found = append(found, w)
			}
		}
		list := fmt.Sprintf("'gatehouse webhook list --tenant %s' shows those there are", t.Name)
		switch {
		case len(found) == 1:
			return f(st, t, found[0])
		case len(found) > 1:
			return fmt.Errorf("product %q has %d webhooks: say which one with --url; %s", o.Product, len(found), list)
		case o.Address != "":
			return fmt.Errorf("product %q has no webhook with that address: %s", o.Product, list)
		}
		return fmt.Errorf("product %q has no webhook: %s", o.Product, list)
	})
}

// sealing are the settings of those commands that make a secret.
type sealing struct {
	SecretKey string `help:"The secret-key of the server: the webhook's secret is kept sealed with it." placeholder:"KEY"`
}

// AfterApply refuses a key that the server would.
func (s *sealing) AfterApply() error { return checkSecretKey(s.SecretKey) }

// newSecret makes a secret of a webhook, for f to keep.
func (s *sealing) newSecret(a *app, st *store.Store, f func(sealer *webhook.Sealer, secret, hint string) error) error {
	sealer, err := webhook.NewSealer(a.ctx, st, s.SecretKey)
	if err != nil {
		return err
	}
	secret, hint := webhook.NewSecret()
	return f(sealer, secret, hint)
}

// webhookShown is a webhook with what is said of it once.
type webhookShown struct {
	store.Webhook
	Secret string `json:"secret"`
	// OldUntil is until when the secret before signs as well.
	OldUntil *time.Time `json:"old_secret_until,omitempty"`
}

type webhookAddCmd struct {
	Tenant       string `help:"The tenant." default:"default" placeholder:"NAME"`
	Product      string `help:"The product, by its key." required:"" placeholder:"KEY"`
	Address      string `name:"url" env:"-" help:"Where the product takes messages: https://…" required:"" placeholder:"URL"`
	AllowPrivate bool   `name:"webhook-allow-private" help:"The server's setting of that name: private addresses and http are allowed."`
	sealing      `embed:""`
}

// Help shows an example.
func (webhookAddCmd) Help() string {
	return `The product is told what changes from now on: see docs/webhooks.md. The secret
is shown once; messages are signed with it.

Example: gatehouse webhook add --product crm --url https://crm.example/hooks/gatehouse`
}

// Run adds the webhook.
func (c *webhookAddCmd) Run(a *app) error {
	if err := webhook.CheckURL(c.Address, c.AllowPrivate); err != nil {
		return err
	}
	return a.with(c.Tenant, func(st *store.Store, t store.Tenant) error {
		return c.newSecret(a, st, func(sealer *webhook.Sealer, secret, hint string) error {
			shown := webhookShown{Secret: secret}
			err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) (err error) {
				shown.Webhook, err = tx.AddWebhook(a.ctx, access.ProductID(c.Product), c.Address)
				if err == nil {
					_, err = tx.RotateWebhook(a.ctx, shown.ID, sealer.Seal(shown.ID, secret), hint, 0)
				}
				return err
			})
			switch {
			case errors.Is(err, store.ErrNotFound):
				return fmt.Errorf("tenant %q has no product %q", t.Name, c.Product)
			case errors.Is(err, store.ErrTaken):
				return fmt.Errorf("product %q has a webhook with that address already: 'gatehouse webhook rotate --product %s' gives it a new secret", c.Product, c.Product)
			case err != nil:
				return err
			}
			return a.print(shown, fmt.Sprintf(`Product  %s
Address  %s
Secret   %s

The secret can't be shown again. The product verifies messages with it:
docs/webhooks.md says how.
`, shown.Product, shown.URL, secret))
		})
	})
}

type webhookListCmd struct {
	Tenant string `help:"The tenant." default:"default" placeholder:"NAME"`
}

// Help shows an example.
func (webhookListCmd) Help() string { return "Example: gatehouse webhook list" }

// Run lists the webhooks.
func (c *webhookListCmd) Run(a *app) error {
	return a.with(c.Tenant, func(st *store.Store, t store.Tenant) error {
		hooks, err := st.Webhooks(a.ctx, t.ID)
		if err != nil {
			return err
		}
		return a.print(hooks, table("PRODUCT\tADDRESS\tSTATE\tMADE\tID", func(row func(...any)) {
			for _, w := range hooks {
				state := "works"
				if !w.DisabledAt.IsZero() {
					state = "disabled: " + w.DisabledWhy
				}
				row(w.Product, w.URL, state, moment(w.CreatedAt), w.ID)
			}
		}))
	})
}

type webhookRotateCmd struct {
	ofWebhook `embed:""`
	Overlap   time.Duration `help:"How long the old secret signs as well; 0 ends it at once, as for one that has leaked." default:"24h" placeholder:"TIME"`
	sealing   `embed:""`
}

// Help shows an example.
func (webhookRotateCmd) Help() string {
	return `While both secrets live, each message carries a signature by each, so that the
product can change over at any moment in between.

Example: gatehouse webhook rotate --product crm --overlap 24h`
}

// AfterApply refuses settings that can't work.
func (c *webhookRotateCmd) AfterApply() error {
	if c.Overlap < 0 {
		return fmt.Errorf("overlap %v: want a time such as 24h, or 0", c.Overlap)
	}
	return c.sealing.AfterApply()
}

// Run rotates the secret.
func (c *webhookRotateCmd) Run(a *app) error {
	return c.with(a, func(st *store.Store, t store.Tenant, w store.Webhook) error {
		return c.newSecret(a, st, func(sealer *webhook.Sealer, secret, hint string) error {
			var made store.WebhookSecret
			err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) (err error) {
				made, err = tx.RotateWebhook(a.ctx, w.ID, sealer.Seal(w.ID, secret), hint, c.Overlap)
				return err
			})
			if err != nil {
				return err
			}
			until := made.CreatedAt.Add(c.Overlap)
			old := "The old one no longer signs."
			if c.Overlap > 0 {
				old = "The old one signs as well until " + moment(store.At(until)) + "."
			}
			return a.print(webhookShown{Webhook: w, Secret: secret, OldUntil: &until},
				fmt.Sprintf("Secret   %s\n\nThe secret can't be shown again. %s\n", secret, old))
		})
	})
}

type webhookEnableCmd struct {
	ofWebhook `embed:""`
}

// Help shows an example.
func (webhookEnableCmd) Help() string {
	return `A webhook is disabled when its receiver answers 410 Gone. What came meanwhile is
dead and can be sent with 'gatehouse webhook retry'.

Example: gatehouse webhook enable --product crm`
}

// Run enables the webhook.
func (c *webhookEnableCmd) Run(a *app) error {
	return c.with(a, func(st *store.Store, t store.Tenant, w store.Webhook) error {
		err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) error { return tx.EnableWebhook(a.ctx, w.ID) })
		if err != nil {
			return err
		}
		return a.print(map[string]any{"id": w.ID, "enabled": true}, fmt.Sprintf("The webhook of product %s works again.\n", w.Product))
	})
}

type webhookRemoveCmd struct {
	ofWebhook `embed:""`
}

// Help shows an example.
func (webhookRemoveCmd) Help() string { return "Example: gatehouse webhook remove --product crm" }

// Run removes the webhook.
func (c *webhookRemoveCmd) Run(a *app) error {
	return c.with(a, func(st *store.Store, t store.Tenant, w store.Webhook) error {
		err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) error { return tx.RemoveWebhook(a.ctx, w.ID) })
		if err != nil {
			return err
		}
		return a.print(map[string]any{"id": w.ID, "removed": true}, fmt.Sprintf("Product %s is told nothing more at %s.\n", w.Product, w.URL))
	})
}

type webhookDeliveriesCmd struct {
	Tenant  string `help:"The tenant." default:"default" placeholder:"NAME"`
	Product string `help:"Only those of a product." placeholder:"KEY"`
	Dead    bool   `help:"Only those that were given up." xor:"state"`
	Waiting bool   `help:"Only those that are still to be sent." xor:"state"`
	Limit   int    `help:"The most to show, the newest first." default:"50" placeholder:"N"`
}

// Help shows an example.
func (webhookDeliveriesCmd) Help() string {
	return `With --json each comes with the message that was sent.

Example: gatehouse webhook deliveries --product crm --dead`
}

// AfterApply refuses settings that can't work.
func (c *webhookDeliveriesCmd) AfterApply() error {
	if c.Limit < 1 || c.Limit > 10_000 {
		return fmt.Errorf("limit %d: want 1 to 10000", c.Limit)
	}
	return nil
}

// Run lists the deliveries.
func (c *webhookDeliveriesCmd) Run(a *app) error {
	return a.with(c.Tenant, func(st *store.Store, t store.Tenant) error {
		q := store.DeliveryQuery{Limit: c.Limit}
		switch {
		case c.Dead:
			q.State = store.DeliveryDead
		case c.Waiting:
			q.State = store.DeliveryWaiting
		}
		hooks, err := st.Webhooks(a.ctx, t.ID)
		if err != nil {
			return err
		}
		products := map[store.WebhookID]access.ProductID{}
		for _, w := range hooks {
			products[w.ID] = w.Product
			if string(w.Product) == c.Product {
				q.Webhooks = append(q.Webhooks, w.ID)
			}
		}
		if c.Product != "" && len(q.Webhooks) == 0 {
			return fmt.Errorf("product %q has no webhook: 'gatehouse webhook list --tenant %s' shows those there are", c.Product, t.Name)
		}
		all, err := st.Deliveries(a.ctx, t.ID, q)
		if err != nil {
			return err
		}
		return a.print(all, table("MADE\tPRODUCT\tTYPE\tUSER\tSTATE\tTRIES\tNEXT\tRESULT\tID", func(row func(...any)) {
			for _, d := range all {
				result, next := d.Error, "-"
				if d.State == store.DeliveryWaiting {
					next = moment(d.NextAt)
				}
				if result == "" && d.Status != 0 {
					result = fmt.Sprint("answered ", d.Status)
				}
				row(moment(d.CreatedAt), cmp.Or(string(products[d.WebhookID]), "(removed)"), d.Type, d.UserID, d.State, d.Attempts, next, cmp.Or(result, "-"), d.ID)
			}
		}))
	})
}

type webhookRetryCmd struct {
	ofWebhook `embed:""`
	Delivery  string `arg:"" optional:"" help:"The delivery's id; without one all that are dead are sent again."`
}

// Help shows an example.
func (webhookRetryCmd) Help() string {
	return `What a later message has said better is left out: sent now, it would say what
isn't so any more.

Example: gatehouse webhook retry --product crm`
}

// Run lets deliveries wait again.
func (c *webhookRetryCmd) Run(a *app) error {
	return c.with(a, func(st *store.Store, t store.Tenant, w store.Webhook) error {
		if !w.DisabledAt.IsZero() {
			return fmt.Errorf("the webhook of product %s is disabled (%s): 'gatehouse webhook enable --product %s' first", w.Product, w.DisabledWhy, w.Product)
		}
		n := 0
		err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) (err error) {
			if c.Delivery == "" {
				n, err = tx.RetryDeliveries(a.ctx, w.ID)
				return err
			}
			n, err = tx.RetryDelivery(a.ctx, store.DeliveryID(strings.ToLower(c.Delivery)))
			return err
		})
		switch {
		case errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("there is no dead delivery %q: 'gatehouse webhook deliveries --product %s --dead' shows them", c.Delivery, w.Product)
		case errors.Is(err, store.ErrSuperseded):
			return fmt.Errorf("delivery %s is not sent again: a later message about the same person says all that it would", c.Delivery)
		case err != nil:
			return err
		}
		return a.print(map[string]int{"retried": n}, fmt.Sprintf("%d to be sent again.\n", n))
	})
}
