package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"time"
)

// TokenPrefix begins every SCIM token, so that secret scanners and people
// recognise one that has leaked.
const TokenPrefix = "ghs_"

// MaxLiveTokens is how many tokens of a connection work at a time: the old one
// and the new one while a provider is moved over, without a gap.
const MaxLiveTokens = 2

// Token is what a provider shows to write to a connection. Only the hash of its
// secret is kept.
type Token struct {
	TenantID     TenantID     `db:"tenant_id" json:"tenant_id"`
	ID           TokenID      `db:"id" json:"id"`
	ConnectionID ConnectionID `db:"connection_id" json:"connection_id"`
	// Hint is the end of the secret, to tell tokens apart.
	Hint       string  `db:"hint" json:"hint"`
	CreatedAt  Instant `db:"created_at" json:"created_at"`
	ExpiresAt  Instant `db:"expires_at" json:"expires_at"`
	RevokedAt  Instant `db:"revoked_at" json:"revoked_at"`
	LastUsedAt Instant `db:"last_used_at" json:"last_used_at"`
}

// Live reports whether the token opens the connection at that time.
func (t Token) Live(now time.Time) bool {
	return t.RevokedAt.IsZero() && (t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt.Time))
}

// Ref is the connection that the token opens.
func (t Token) Ref() ConnectionRef { return ConnectionRef{Tenant: t.TenantID, ID: t.ConnectionID} }

const tokenColumns = `tenant_id, id, connection_id, hint, created_at, expires_at, revoked_at, last_used_at`

// Tokens gives all tokens of a connection, the newest first, also the dead.
func (r reader) Tokens(ctx context.Context, c ConnectionRef) ([]Token, error) {
	tokens := []Token{}
	err := r.list(ctx, &tokens, `SELECT `+tokenColumns+` FROM tokens
		WHERE tenant_id = ? AND connection_id = ? ORDER BY id DESC`, c.Tenant, c.ID)
	return tokens, err
}

// CreateToken adds a token to a connection of the actor's tenant and gives its
// secret, which can't be had again. A zero expires means never. ErrLimit when
// MaxLiveTokens live ones exist.
func (tx *Tx) CreateToken(ctx context.Context, c Connection, expires time.Time) (Token, string, error) {
	if err := tx.lockConnection(ctx, c); err != nil {
		return Token{}, "", err
	}
	tokens, err := tx.Tokens(ctx, c.Ref())
	if err != nil {
		return Token{}, "", err
	}
	live := 0
	for _, t := range tokens {
		if t.Live(tx.now.Time) {
			live++
		}
	}
	if live >= MaxLiveTokens {
		return Token{}, "", fmt.Errorf("connection %q has %d live tokens: %w", c.Name, live, ErrLimit)
	}

	secret := newSecret(TokenPrefix)
	t := Token{
		TenantID:     tx.actor.Tenant,
		ID:           TokenID(newID()),
		ConnectionID: c.ID,
		Hint:         secret[len(secret)-4:],
		CreatedAt:    tx.now,
		ExpiresAt:    At(expires),
	}
	_, err = tx.exec(ctx, `INSERT INTO tokens (tenant_id, id, connection_id, hash, hint, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		t.TenantID, t.ID, t.ConnectionID, hashSecret(secret), t.Hint, t.CreatedAt, t.ExpiresAt)
	if err != nil {
		return Token{}, "", fmt.Errorf("token of connection %q: %w", c.Name, err)
	}
	tx.log(TokenCreated, subject{kind: "token", id: string(t.ID), name: "…" + t.Hint, connection: c.ID}, nil)
	return t, secret, nil
}

// RevokeToken ends a token of a connection, named by its id or its hint, at
// once in this process and within tokenCacheTime in others.
func (tx *Tx) RevokeToken(ctx context.Context, c Connection, idOrHint string) (Token, error) {
	if err := tx.own(c.Ref()); err != nil {
		return Token{}, err
	}
	tokens, err := tx.Tokens(ctx, c.Ref())
	if err != nil {
		return Token{}, err
	}
	for _, t := range tokens {
		if !t.Live(tx.now.Time) || string(t.ID) != idOrHint && t.Hint != strings.TrimPrefix(idOrHint, "…") {
			continue
		}
		t.RevokedAt = tx.now
		n, err := tx.exec(ctx, `UPDATE tokens SET revoked_at = ? WHERE tenant_id = ? AND id = ? AND revoked_at = 0`, t.RevokedAt, t.TenantID, t.ID)
		if err != nil {
			return Token{}, err
		}
		if n == 0 { // somebody else was faster
			break
		}
		tx.log(TokenRevoked, subject{kind: "token", id: string(t.ID), name: "…" + t.Hint, connection: c.ID}, nil)
		tx.after = append(tx.after, tx.store.tokens.clear)
		return t, nil
	}
	// It may have been revoked a moment ago by somebody who has yet to say so.
	tx.store.tokens.clear()
	return Token{}, fmt.Errorf("live token %q of connection %q: %w", idOrHint, c.Name, ErrNotFound)
}

// Authenticate finds the token, or the access token, with this secret.
// ErrNotFound when there is none or it no longer lives; a token that no longer
// lives comes with the error, to be named in records and never in an answer.
func (s *Store) Authenticate(ctx context.Context, secret string) (Token, error) {
	now := s.now()
	t, err := s.tokens.find(secret, now, func(t *Token, hash []byte) error { return s.get(ctx, t, tokenQuery(secret), hash) })
	if err != nil {
		return Token{}, fmt.Errorf("token: %w", err)
	}
	if !t.Live(now) {
		return t, fmt.Errorf("token …%s: %w", t.Hint, ErrNotFound)
	}
	return t, nil
}

// TouchTokens notes when tokens and their connections were last used. It is no
// change of the directory and leaves no row in the log.
func (tx *Tx) TouchTokens(ctx context.Context, used map[TokenID]Token) error {
	for _, t := range used {
		_, err := tx.exec(ctx, `UPDATE tokens SET last_used_at = ? WHERE tenant_id = ? AND id = ? AND last_used_at < ?`,
			t.LastUsedAt, t.TenantID, t.ID, t.LastUsedAt)
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, `UPDATE connections SET last_request_at = ? WHERE tenant_id = ? AND id = ? AND last_request_at < ?`,
			t.LastUsedAt, t.TenantID, t.ConnectionID, t.LastUsedAt)
		if err != nil {
			return err
		}
	}
	return nil
}

// newSecret makes a secret: 260 random bits behind a prefix, in letters and
// digits. A dash in it would keep a double click from marking all of it, and a
// hint that starts with one would be taken for a flag by the command line.
func newSecret(prefix string) string {
	return prefix + rand.Text() + rand.Text()
}

// hashSecret is what the database keeps of a secret. A plain SHA-256 is enough
// for 256 random bits, and finding a row by it leaks nothing through time.
func hashSecret(secret string) []byte {
	h := sha256.Sum256([]byte(secret))
	return h[:]
}

// tokenCacheTime is how long a token or key found in the database is believed
// without asking again; one revoked by another process may work for this long.
const tokenCacheTime = 500 * time.Millisecond

// secretCache saves the look-up of what a secret stands for.
type secretCache[T any] struct {
	mu      sync.RWMutex
	entries map[[sha256.Size]byte]cachedSecret[T]
	// round counts the clearings: what was read before one is not put after it.
	round int
}

type cachedSecret[T any] struct {
	what  T
	until time.Time
}

// find gives what a secret stands for, by read from the database where it isn't known.
func (c *secretCache[T]) find(secret string, now time.Time, read func(what *T, hash []byte) error) (T, error) {
	hash := sha256.Sum256([]byte(secret))
	what, round, ok := c.get(hash, now)
	if ok {
		return what, nil
	}
	fresh := new(T)
	// A clone, since the hash of a secret that is known then stays on the stack.
	if err := read(fresh, bytes.Clone(hash[:])); err != nil {
		return what, err
	}
	c.put(hash, *fresh, now, round)
	return *fresh, nil
}

func (c *secretCache[T]) get(hash [sha256.Size]byte, now time.Time) (what T, round int, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	e, ok := c.entries[hash]
	return e.what, c.round, ok && now.Before(e.until)
}

func (c *secretCache[T]) put(hash [sha256.Size]byte, what T, now time.Time, round int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if round != c.round {
		return
	}
	if c.entries == nil || len(c.entries) >= 1000 {
		c.entries = map[[sha256.Size]byte]cachedSecret[T]{}
	}
	c.entries[hash] = cachedSecret[T]{what: what, until: now.Add(tokenCacheTime)}
}

func (c *secretCache[T]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
	c.round++
}

// Secret gives a key that Gatehouse keeps for itself under a name, made at its
// first use and the same for every replica: 32 random bytes.
func (s *Store) Secret(ctx context.Context, name string) ([]byte, error) {
	var value []byte
	fresh := make([]byte, 32)
	rand.Read(fresh)
	err := s.Write(ctx, Actor{Kind: ActorSystem}, func(tx *Tx) error {
		_, err := tx.exec(ctx, `INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING`, name, fresh)
		if err != nil {
			return err
		}
		return tx.get(ctx, &value, `SELECT value FROM secrets WHERE name = ?`, name)
	})
	return value, err
}
