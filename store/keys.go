package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gatehouse/access"
)

// KeyPrefix begins every product key, so that secret scanners and people
// recognise one that has leaked.
const KeyPrefix = "ghp_"

// MaxLiveKeys is how many keys of a product work at a time: one for each of its
// installations, and a new one beside an old one without a gap.
const MaxLiveKeys = 20

// Key is what a product shows to ask about its access. Only the hash of its secret
// is kept.
type Key struct {
	TenantID TenantID         `db:"tenant_id" json:"tenant_id"`
	ID       KeyID            `db:"id" json:"id"`
	Product  access.ProductID `db:"product" json:"product"`
	// Search allows the questions whose answers are lists: who may do something,
	// and what somebody may do it with.
	Search bool `db:"search" json:"search"`
	// Hint is the end of the secret, to tell keys apart.
	Hint       string  `db:"hint" json:"hint"`
	CreatedAt  Instant `db:"created_at" json:"created_at"`
	ExpiresAt  Instant `db:"expires_at" json:"expires_at"`
	RevokedAt  Instant `db:"revoked_at" json:"revoked_at"`
	LastUsedAt Instant `db:"last_used_at" json:"last_used_at"`
}

// Live reports whether the key opens its product at that time.
func (k Key) Live(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt.Time))
}

// keySelection reads keys k with their product's name; that of a product which
// isn't there any more is not read.
const keySelection = `SELECT k.tenant_id, k.id, COALESCE(p.key, 'console') AS product, k.search, k.hint, k.created_at, k.expires_at, k.revoked_at, k.last_used_at
	FROM product_keys k LEFT JOIN products p ON p.tenant_id = k.tenant_id AND p.id = k.product_id
	WHERE (k.product_id IS NULL OR p.id IS NOT NULL)`

// Keys gives all keys of a product, the newest first, also the dead.
func (r reader) Keys(ctx context.Context, tenant TenantID, product access.ProductID) ([]Key, error) {
	keys := []Key{}
	err := r.list(ctx, &keys, keySelection+` AND k.tenant_id = ? AND COALESCE(p.key, 'console') = ? ORDER BY k.id DESC`, tenant, product)
	return keys, err
}

// CreateKey adds a key to a product of the actor's tenant and gives its secret,
// which can't be had again. A zero expires means never. ErrNotFound when there is
// no such product, ErrLimit when MaxLiveKeys live ones exist.
func (tx *Tx) CreateKey(ctx context.Context, product access.ProductID, search bool, expires time.Time) (Key, string, error) {
	row, err := tx.productRow(ctx, product)
	if err != nil {
		return Key{}, "", err
	}
	keys, err := tx.Keys(ctx, tx.actor.Tenant, product)
	if err != nil {
		return Key{}, "", err
	}
	live := 0
	for _, k := range keys {
		if k.Live(tx.now.Time) {
			live++
		}
	}
	if live >= MaxLiveKeys {
		return Key{}, "", fmt.Errorf("product %q has %d live keys: %w", product, live, ErrLimit)
	}
	secret := newSecret(KeyPrefix)
	k := Key{
		TenantID:  tx.actor.Tenant,
		ID:        KeyID(newID()),
		Product:   product,
		Search:    search,
		Hint:      secret[len(secret)-4:],
		CreatedAt: tx.now,
		ExpiresAt: At(expires),
	}
	_, err = tx.exec(ctx, `INSERT INTO product_keys (tenant_id, id, product_id, hash, hint, search, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		k.TenantID, k.ID, optional(row), hashSecret(secret), k.Hint, k.Search, k.CreatedAt, k.ExpiresAt)
	if err != nil {
		return Key{}, "", fmt.Errorf("key of product %q: %w", product, err)
	}
	tx.log(KeyCreated, k.subject(), map[string]any{"product": product, "search": search})
	return k, secret, nil
}

func (k Key) subject() subject { return subject{kind: "key", id: string(k.ID), name: "…" + k.Hint} }

// productRow is the id of a product's row, "" for the console. The tenant's policy
// is locked: no product goes and no key comes meanwhile.
func (tx *Tx) productRow(ctx context.Context, product access.ProductID) (string, error) {
	var id string
	err := tx.get(ctx, &id, `SELECT CAST(tenant_id AS text) FROM policies WHERE tenant_id = ?`+tx.pool.dialect.forUpdate, tx.actor.Tenant)
	if err != nil || product == access.ConsoleID {
		return "", err
	}
	if !isText(string(product)) {
		return "", fmt.Errorf("product %q: %w", product, ErrNotFound)
	}
	err = tx.get(ctx, &id, `SELECT CAST(id AS text) FROM products WHERE tenant_id = ? AND key = ?`, tx.actor.Tenant, product)
	if err != nil {
		return "", fmt.Errorf("product %q: %w", product, err)
	}
	return id, nil
}

// RevokeKey ends a key of a product, named by its id or its hint, at once in this
// process and within tokenCacheTime in others.
func (tx *Tx) RevokeKey(ctx context.Context, product access.ProductID, idOrHint string) (Key, error) {
	keys, err := tx.Keys(ctx, tx.actor.Tenant, product)
	if err != nil {
		return Key{}, err
	}
	for _, k := range keys {
		if !k.Live(tx.now.Time) || string(k.ID) != idOrHint && k.Hint != strings.TrimPrefix(idOrHint, "…") {
			continue
		}
		k.RevokedAt = tx.now
		n, err := tx.exec(ctx, `UPDATE product_keys SET revoked_at = ? WHERE tenant_id = ? AND id = ? AND revoked_at = 0`, k.RevokedAt, k.TenantID, k.ID)
		if err != nil {
			return Key{}, err
		}
		if n == 0 { // somebody else was faster
			break
		}
		tx.log(KeyRevoked, k.subject(), map[string]any{"product": product})
		tx.after = append(tx.after, tx.store.keys.clear)
		return k, nil
	}
	// It may have been revoked a moment ago by somebody who has yet to say so.
	tx.store.keys.clear()
	return Key{}, fmt.Errorf("live key %q of product %q: %w", idOrHint, product, ErrNotFound)
}

// AuthenticateKey finds the product key with this secret. ErrNotFound when there is
// none or it no longer lives; nothing tells the two apart.
func (s *Store) AuthenticateKey(ctx context.Context, secret string) (Key, error) {
	now := s.now()
	k, err := s.keys.find(secret, now, func(k *Key, hash []byte) error { return s.get(ctx, k, keySelection+` AND k.hash = ?`, hash) })
	if err != nil {
		return Key{}, fmt.Errorf("product key: %w", err)
	}
	if !k.Live(now) {
		return Key{}, fmt.Errorf("product key …%s: %w", k.Hint, ErrNotFound)
	}
	return k, nil
}

// TouchKeys notes when keys were last used. It is no change of the directory and
// leaves no row in the log.
func (tx *Tx) TouchKeys(ctx context.Context, used map[KeyID]Key) error {
	for _, k := range used {
		_, err := tx.exec(ctx, `UPDATE product_keys SET last_used_at = ? WHERE tenant_id = ? AND id = ? AND last_used_at < ?`,
			k.LastUsedAt, k.TenantID, k.ID, k.LastUsedAt)
		if err != nil {
			return err
		}
	}
	return nil
}
