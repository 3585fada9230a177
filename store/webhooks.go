package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/access"
)

// The kinds of identifier of webhooks.
type (
	WebhookID  string
	DeliveryID string
)

// The actions on webhooks.
const (
	WebhookCreated  = "webhook.created"
	WebhookRotated  = "webhook.rotated"
	WebhookDisabled = "webhook.disabled"
	WebhookEnabled  = "webhook.enabled"
	WebhookRemoved  = "webhook.removed"
)

// MaxWebhooks is how many webhooks a tenant has at most: each is a lane of its own.
const MaxWebhooks = 100

// maxWebhookURL is what fits into an index of the databases.
const maxWebhookURL = 1000

// Webhook is an address where a product is told what changed.
type Webhook struct {
	TenantID  TenantID         `db:"tenant_id" json:"tenant_id"`
	ID        WebhookID        `db:"id" json:"id"`
	Product   access.ProductID `db:"product" json:"product"`
	URL       string           `db:"url" json:"url"`
	CreatedAt Instant          `db:"created_at" json:"created_at"`
	// DisabledAt is when nothing more was sent, zero while it works, and DisabledWhy
	// is the reason in words.
	DisabledAt  Instant `db:"disabled_at" json:"disabled_at"`
	DisabledWhy string  `db:"disabled_why" json:"disabled_why,omitempty"`
}

// WebhookSecret is what deliveries are signed with. The store never sees it open.
type WebhookSecret struct {
	ID        string    `db:"id"`
	WebhookID WebhookID `db:"webhook_id"`
	Sealed    string    `db:"sealed"`
	Hint      string    `db:"hint"`
	CreatedAt Instant   `db:"created_at"`
	ExpiresAt Instant   `db:"expires_at"`
}

// Live reports whether deliveries are signed with the secret at that time.
func (s WebhookSecret) Live(now time.Time) bool {
	return s.ExpiresAt.IsZero() || now.Before(s.ExpiresAt.Time)
}

const webhookColumns = `tenant_id, id, product, url, created_at, disabled_at, disabled_why`

// Webhooks gives all webhooks of a tenant, by product and address.
func (r reader) Webhooks(ctx context.Context, tenant TenantID) ([]Webhook, error) {
	hooks := []Webhook{}
	err := r.list(ctx, &hooks, `SELECT `+webhookColumns+` FROM webhooks WHERE tenant_id = ? ORDER BY product, url`, tenant)
	return hooks, err
}

// WebhookSecrets gives the secrets of a webhook, the newest first, also those that
// have expired.
func (r reader) WebhookSecrets(ctx context.Context, tenant TenantID, id WebhookID) ([]WebhookSecret, error) {
	var secrets []WebhookSecret
	err := r.list(ctx, &secrets, `SELECT id, webhook_id, sealed, hint, created_at, expires_at FROM webhook_secrets
		WHERE tenant_id = ? AND webhook_id = ? ORDER BY id DESC`, tenant, id)
	return secrets, err
}

// webhook finds and locks a webhook of the actor's tenant.
func (tx *Tx) webhook(ctx context.Context, id WebhookID) (Webhook, error) {
	var w Webhook
	if !validID(string(id)) {
		return w, fmt.Errorf("webhook %q: %w", id, ErrNotFound)
	}
	err := tx.get(ctx, &w, `SELECT `+webhookColumns+` FROM webhooks WHERE tenant_id = ? AND id = ?`+tx.pool.dialect.forUpdate, tx.actor.Tenant, id)
	if err != nil {
		return w, fmt.Errorf("webhook %s: %w", id, err)
	}
	return w, nil
}

func (w Webhook) subject() subject {
	return subject{kind: "webhook", id: string(w.ID), name: string(w.Product)}
}

// AddWebhook adds a webhook of a product to the actor's tenant; it needs a secret
// (RotateWebhook) before anything is sent. It is told what changes from now on.
// ErrNotFound when there is no such product, ErrTaken when the product has that
// address already, ErrLimit when the tenant has MaxWebhooks.
func (tx *Tx) AddWebhook(ctx context.Context, product access.ProductID, url string) (Webhook, error) {
	tenant := tx.actor.Tenant
	w := Webhook{TenantID: tenant, ID: WebhookID(newID()), Product: product, URL: url, CreatedAt: tx.now}
	if !isText(url) || !isText(string(product)) {
		return w, fmt.Errorf("webhook %q: %w: no text", url, ErrInvalid)
	}
	if len(url) > maxWebhookURL {
		return w, fmt.Errorf("address: %w: more than %d bytes", ErrTooLong, maxWebhookURL)
	}
	// The lock keeps two that add the first from both seeing none.
	var locked TenantID
	if err := tx.get(ctx, &locked, `SELECT id FROM tenants WHERE id = ?`+tx.pool.dialect.forUpdate, tenant); err != nil {
		return w, fmt.Errorf("tenant %s: %w", tenant, err)
	}
	var found string
	err := tx.get(ctx, &found, `SELECT key FROM products WHERE tenant_id = ? AND key = ?`, tenant, product)
	if errors.Is(err, ErrNotFound) && product == access.ConsoleID {
		err = nil // built in
	}
	if err != nil {
		return w, fmt.Errorf("product %q: %w", product, err)
	}
	hooks, err := tx.Webhooks(ctx, tenant)
	switch {
	case err != nil:
		return w, err
	case len(hooks) >= MaxWebhooks:
		return w, fmt.Errorf("%d webhooks: %w", len(hooks), ErrLimit)
	case len(hooks) == 0:
		if err := tx.startFeed(ctx); err != nil {
			return w, err
		}
	}
	_, err = tx.exec(ctx, `INSERT INTO webhooks (`+webhookColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		w.TenantID, w.ID, w.Product, w.URL, w.CreatedAt, w.DisabledAt, w.DisabledWhy)
	if err != nil {
		return w, fmt.Errorf("webhook of product %s: %w", product, err)
	}
	tx.log(WebhookCreated, w.subject(), map[string]string{"product": string(product)})
	return w, nil
}

// RotateWebhook gives a webhook a new secret, sealed by the caller. The one before
// signs as well for the time of overlap, and those before that no more, so that
// there are two at most.
func (tx *Tx) RotateWebhook(ctx context.Context, id WebhookID, sealed, hint string, overlap time.Duration) (WebhookSecret, error) {
	s := WebhookSecret{ID: newID(), WebhookID: id, Sealed: sealed, Hint: hint, CreatedAt: tx.now}
	w, err := tx.webhook(ctx, id)
	if err != nil {
		return s, err
	}
	secrets, err := tx.WebhookSecrets(ctx, w.TenantID, id)
	if err != nil {
		return s, err
	}
	for i, old := range secrets {
		until := At(tx.now.Add(overlap))
		if i > 0 || overlap <= 0 {
			until = tx.now
		}
		if !old.ExpiresAt.IsZero() && !until.Before(old.ExpiresAt.Time) {
			continue
		}
		_, err := tx.exec(ctx, `UPDATE webhook_secrets SET expires_at = ? WHERE tenant_id = ? AND id = ?`, until, w.TenantID, old.ID)
		if err != nil {
			return s, err
		}
	}
	_, err = tx.exec(ctx, `INSERT INTO webhook_secrets (tenant_id, id, webhook_id, sealed, hint, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		w.TenantID, s.ID, s.WebhookID, s.Sealed, s.Hint, s.CreatedAt, s.ExpiresAt)
	if err != nil {
		return s, fmt.Errorf("secret of webhook %s: %w", id, err)
	}
	if len(secrets) > 0 {
		tx.log(WebhookRotated, w.subject(), map[string]string{"hint": hint})
	}
	return s, nil
}

// DisableWebhook sends nothing more to a webhook: what waits becomes dead, and so
// does what is still to come. Disabling twice is no change.
func (tx *Tx) DisableWebhook(ctx context.Context, id WebhookID, why string) error {
	w, err := tx.webhook(ctx, id)
	if err != nil || !w.DisabledAt.IsZero() {
		return err
	}
	_, err = tx.exec(ctx, `UPDATE webhooks SET disabled_at = ?, disabled_why = ? WHERE tenant_id = ? AND id = ?`, tx.now, why, w.TenantID, id)
	if err != nil {
		return err
	}
	tx.log(WebhookDisabled, w.subject(), map[string]string{"why": why})
	_, err = tx.exec(ctx, `UPDATE webhook_deliveries SET state = 'dead', error = ?, ended_at = ?
		WHERE tenant_id = ? AND webhook_id = ? AND state = 'waiting'`, why, tx.now, w.TenantID, id)
	return err
}

// EnableWebhook sends to a webhook again what comes from now on. What became dead
// meanwhile is to be retried (RetryDeliveries).
func (tx *Tx) EnableWebhook(ctx context.Context, id WebhookID) error {
	w, err := tx.webhook(ctx, id)
	if err != nil || w.DisabledAt.IsZero() {
		return err
	}
	_, err = tx.exec(ctx, `UPDATE webhooks SET disabled_at = 0, disabled_why = '' WHERE tenant_id = ? AND id = ?`, w.TenantID, id)
	tx.log(WebhookEnabled, w.subject(), nil)
	return err
}

// RemoveWebhook takes a webhook away with its secrets. What waits for it goes too,
// a little later (SweepDeliveries).
func (tx *Tx) RemoveWebhook(ctx context.Context, id WebhookID) error {
	w, err := tx.webhook(ctx, id)
	if err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `DELETE FROM webhooks WHERE tenant_id = ? AND id = ?`, w.TenantID, id); err != nil {
		return err
	}
	tx.log(WebhookRemoved, w.subject(), nil)
	return nil
}

// removeWebhooks takes away all webhooks of a product: those of one that was removed
// when another gets its name, which is none of their business.
func (tx *Tx) removeWebhooks(ctx context.Context, product access.ProductID) error {
	hooks, err := tx.Webhooks(ctx, tx.actor.Tenant)
	if err != nil {
		return err
	}
	for _, w := range hooks {
		if w.Product != product {
			continue
		}
		if err := tx.RemoveWebhook(ctx, w.ID); err != nil {
			return err
		}
	}
	return nil
}

// The states of a delivery.
const (
	DeliveryWaiting   = "waiting"
	DeliveryDelivered = "delivered"
	DeliveryDead      = "dead"
)

// Delivery is one event for one webhook: what is to be sent, and what became of it.
type Delivery struct {
	TenantID TenantID `db:"tenant_id" json:"tenant_id"`
	// ID is the webhook-id of the message, the same at each attempt.
	ID        DeliveryID `db:"id" json:"id"`
	WebhookID WebhookID  `db:"webhook_id" json:"webhook_id"`
	// Seq is the order of the tenant's events. The events of a person are sent in
	// it, each when the one before has ended.
	Seq       int64   `db:"seq" json:"seq"`
	UserID    UserID  `db:"user_id" json:"user_id"`
	Type      string  `db:"type" json:"type"`
	Body      string  `db:"body" json:"body,omitempty"`
	CreatedAt Instant `db:"created_at" json:"created_at"`
	State     string  `db:"state" json:"state"`
	// Attempts is how often it was sent, and NextAt when it will be again.
	Attempts int     `db:"attempts" json:"attempts"`
	NextAt   Instant `db:"next_at" json:"next_at"`
	// Status and Error are what the last attempt came to; 0 without an answer.
	Status  int     `db:"status" json:"status"`
	Error   string  `db:"error" json:"error,omitempty"`
	EndedAt Instant `db:"ended_at" json:"ended_at"`
}

const deliveryColumns = `tenant_id, id, webhook_id, seq, user_id, type, body, created_at, state, attempts, next_at, status, error, ended_at`

// QueueDeliveries adds deliveries of the actor's tenant, as they are.
func (tx *Tx) QueueDeliveries(deliveries []Delivery) {
	for _, d := range deliveries {
		tx.insert(`webhook_deliveries (`+deliveryColumns+`)`, tx.actor.Tenant, d.ID, d.WebhookID, d.Seq, d.UserID, d.Type, d.Body,
			d.CreatedAt, d.State, d.Attempts, d.NextAt, d.Status, d.Error, d.EndedAt)
	}
}

// DueDeliveries gives what can be sent to a webhook now, the longest due first, at
// most limit: of each person only the first that waits, if its time has come.
func (r reader) DueDeliveries(ctx context.Context, tenant TenantID, id WebhookID, now time.Time, limit int) ([]Delivery, error) {
	var due []Delivery
	err := r.list(ctx, &due, `SELECT `+deliveryColumns+` FROM webhook_deliveries d
		WHERE tenant_id = ? AND webhook_id = ? AND state = 'waiting' AND next_at <= ?
		AND NOT EXISTS (SELECT 1 FROM webhook_deliveries e WHERE e.tenant_id = d.tenant_id AND e.webhook_id = d.webhook_id
			AND e.user_id = d.user_id AND e.seq < d.seq AND e.state = 'waiting')
		ORDER BY next_at, seq LIMIT ?`, tenant, id, At(now), limit)
	return due, err
}

// SettleDeliveries notes what came of attempts: state, attempts, next_at, status,
// error and ended_at. One that has ended meanwhile stays as it is.
func (tx *Tx) SettleDeliveries(deliveries []Delivery) {
	for _, d := range deliveries {
		tx.later(`UPDATE webhook_deliveries SET state = ?, attempts = ?, next_at = ?, status = ?, error = ?, ended_at = ?
			WHERE tenant_id = ? AND id = `+tx.pool.dialect.idParam+` AND state = 'waiting'`,
			d.State, d.Attempts, d.NextAt, d.Status, d.Error, d.EndedAt, tx.actor.Tenant, d.ID)
	}
}

// DeliveryQuery says which deliveries to list.
type DeliveryQuery struct {
	// Webhooks are those to list; none means all.
	Webhooks []WebhookID
	// State is one of the states; empty means all.
	State string
	// Limit is the most to give.
	Limit int
}

// Deliveries gives the newest deliveries of a tenant, newest first.
func (r reader) Deliveries(ctx context.Context, tenant TenantID, q DeliveryQuery) ([]Delivery, error) {
	all := []Delivery{}
	query, args := `SELECT `+deliveryColumns+` FROM webhook_deliveries WHERE tenant_id = ?`, []any{tenant}
	if len(q.Webhooks) > 0 {
		var ids []string
		for _, id := range q.Webhooks {
			ids = append(ids, string(id))
		}
		query, args = query+` AND webhook_id IN (`+r.pool.dialect.ids+`)`, append(args, r.pool.dialect.idList(ids))
	}
	if q.State != "" {
		query, args = query+` AND state = ?`, append(args, q.State)
	}
	err := r.list(ctx, &all, query+` ORDER BY seq DESC, id DESC LIMIT ?`, append(args, q.Limit)...)
	return all, err
}

// ErrSuperseded says that a later event of the same person told, or is going to
// tell, all that an event says.
var ErrSuperseded = errors.New("a later event says it all")

// lastWord narrows dead deliveries d down to those that no later one of the person
// makes superfluous. Sent after it they would say what isn't so any more.
const lastWord = ` AND NOT EXISTS (SELECT 1 FROM webhook_deliveries e WHERE e.tenant_id = d.tenant_id AND e.webhook_id = d.webhook_id
	AND e.user_id = d.user_id AND e.seq > d.seq AND e.state <> 'dead')`

// RetryDelivery lets a dead delivery wait again, with all its attempts before it,
// and what is dead of the same person before it as well. ErrNotFound when there is
// no such dead delivery, ErrSuperseded when a later event makes it superfluous.
func (tx *Tx) RetryDelivery(ctx context.Context, id DeliveryID) (int, error) {
	var d Delivery
	if !validID(string(id)) {
		return 0, fmt.Errorf("dead delivery %q: %w", id, ErrNotFound)
	}
	err := tx.get(ctx, &d, `SELECT `+deliveryColumns+` FROM webhook_deliveries WHERE tenant_id = ? AND id = ? AND state = 'dead'`, tx.actor.Tenant, id)
	if err != nil {
		return 0, fmt.Errorf("dead delivery %s: %w", id, err)
	}
	n, err := tx.retry(ctx, d.WebhookID, ` AND user_id = ? AND seq <= ?`, d.UserID, d.Seq)
	if err == nil && n == 0 {
		err = fmt.Errorf("delivery %s: %w", id, ErrSuperseded)
	}
	return n, err
}

// RetryDeliveries does the same for all dead deliveries of a webhook that are not
// superseded, and gives their number.
func (tx *Tx) RetryDeliveries(ctx context.Context, id WebhookID) (int, error) {
	return tx.retry(ctx, id, "")
}

func (tx *Tx) retry(ctx context.Context, id WebhookID, where string, args ...any) (int, error) {
	w, err := tx.webhook(ctx, id)
	if err != nil {
		return 0, err
	}
	if !w.DisabledAt.IsZero() {
		return 0, fmt.Errorf("webhook %s: %w: it is disabled", id, ErrInvalid)
	}
	return tx.exec(ctx, `UPDATE webhook_deliveries AS d SET state = 'waiting', attempts = 0, next_at = ?, ended_at = 0
		WHERE tenant_id = ? AND webhook_id = ? AND state = 'dead'`+where+lastWord, append([]any{tx.now, w.TenantID, id}, args...)...)
}

// SweepDeliveries deletes deliveries that ended before that time, and those of
// webhooks that were removed, at most limit, and gives their number.
func (tx *Tx) SweepDeliveries(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := tx.exec(ctx, `DELETE FROM webhook_deliveries WHERE tenant_id = ? AND id IN (
		SELECT id FROM webhook_deliveries WHERE tenant_id = ? AND state <> 'waiting' AND ended_at < ? LIMIT ?)`,
		tx.actor.Tenant, tx.actor.Tenant, At(before), limit)
	if err != nil || n == limit {
		return n, err
	}
	orphans, err := tx.exec(ctx, `DELETE FROM webhook_deliveries WHERE tenant_id = ? AND id IN (
		SELECT d.id FROM webhook_deliveries d LEFT JOIN webhooks w ON w.tenant_id = d.tenant_id AND w.id = d.webhook_id
		WHERE d.tenant_id = ? AND w.id IS NULL LIMIT ?)`, tx.actor.Tenant, tx.actor.Tenant, limit-n)
	return n + orphans, err
}
