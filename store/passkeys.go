package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
)

// MaxPasskeys is how many passkeys a person has at most.
const MaxPasskeys = 20

// MaxCeremony is how long a browser has to answer a challenge.
const MaxCeremony = 5 * time.Minute

// MaxCeremonies is how many challenges of a tenant, or of none, wait for an answer.
// One more drops the oldest.
const MaxCeremonies = 5000

// PasskeyID names a passkey among ours; the authenticator's name is Credential.
type PasskeyID string

// The actions on passkeys.
const (
	PasskeyAdded   = "passkey.added"
	PasskeyRenamed = "passkey.renamed"
	PasskeyRemoved = "passkey.removed"
	PasskeyRefused = "passkey.refused"
)

// Passkey is what somebody outside any provider signs in with (Web Authentication
// Level 3 §4, credential record).
type Passkey struct {
	TenantID   TenantID  `json:"tenant_id"`
	ID         PasskeyID `json:"id"`
	UserID     UserID    `json:"user_id"`
	Credential []byte    `json:"-"`
	PublicKey  []byte    `json:"-"`
	// SignCount is what the authenticator counts, 0 for one that doesn't.
	SignCount uint32 `json:"sign_count"`
	// Flags are those of the authenticator data at registration (§6.1).
	Flags      byte     `json:"flags"`
	Transports []string `json:"transports,omitempty"`
	AAGUID     string   `json:"aaguid,omitempty"`
	// Name is what its owner calls it.
	Name       string  `json:"name"`
	CreatedAt  Instant `json:"created_at"`
	LastUsedAt Instant `json:"last_used_at"`
}

func (p Passkey) subject() subject { return subject{kind: "passkey", id: string(p.ID), name: p.Name} }

func (r reader) passkeys(ctx context.Context, rest string, args ...any) ([]Passkey, error) {
	all := []Passkey{}
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var p Passkey
		var transports []byte
		err := rows.Scan(&p.TenantID, &p.ID, &p.UserID, &p.Credential, &p.PublicKey, &p.SignCount, &p.Flags, &transports, &p.AAGUID, &p.Name, &p.CreatedAt, &p.LastUsedAt)
		if err == nil {
			err = json.Unmarshal(transports, &p.Transports)
		}
		all = append(all, p)
		return err
	}, `SELECT tenant_id, id, user_id, credential, public_key, sign_count, flags, transports, aaguid, name, created_at, last_used_at FROM passkeys `+rest, args...)
	return all, err
}

// Passkeys gives those of a person, the oldest first.
func (r reader) Passkeys(ctx context.Context, tenant TenantID, user UserID) ([]Passkey, error) {
	if !validID(string(user)) {
		return []Passkey{}, nil
	}
	return r.passkeys(ctx, `WHERE tenant_id = ? AND user_id = ? ORDER BY id`, tenant, user)
}

// PasskeyOf gives the passkey, of any tenant, that an authenticator calls so.
// ErrNotFound when there is none.
func (r reader) PasskeyOf(ctx context.Context, credential []byte) (Passkey, error) {
	found, err := r.passkeys(ctx, `WHERE credential = ?`, credential)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Passkey{}, fmt.Errorf("passkey: %w", err)
	}
	return found[0], nil
}

// AddPasskey keeps a passkey of somebody outside any provider, of the actor's tenant:
// UserID, Credential, PublicKey, SignCount, Flags, Transports, AAGUID and Name.
// ErrTaken when the authenticator's name for it is in use (§7.1), ErrLimit when she
// has MaxPasskeys, ErrInvalid when her provider is to sign her in, ErrNotFound when
// she isn't live.
func (tx *Tx) AddPasskey(ctx context.Context, p Passkey) (Passkey, error) {
	p.TenantID, p.ID, p.CreatedAt, p.LastUsedAt = tx.actor.Tenant, PasskeyID(newID()), tx.now, Instant{}
	p.Name = cut(strings.TrimSpace(p.Name), 100)
	if len(p.Credential) == 0 || len(p.Credential) > 1023 || len(p.PublicKey) == 0 || len(p.PublicKey) > 10_000 || len(p.AAGUID) > 100 || !isText(p.AAGUID) {
		return p, fmt.Errorf("passkey: %w: want a credential id of up to 1023 bytes and a public key", ErrInvalid)
	}
	if p.Transports == nil {
		p.Transports = []string{}
	}
	if err := tx.lockLocal(ctx, p.UserID); err != nil {
		return p, err
	}
	have, err := tx.Passkeys(ctx, p.TenantID, p.UserID)
	if err != nil {
		return p, err
	}
	if len(have) >= MaxPasskeys {
		return p, fmt.Errorf("%d passkeys: %w", len(have), ErrLimit)
	}
	transports, err := asJSON(p.Transports)
	if err != nil {
		return p, err
	}
	_, err = tx.exec(ctx, `INSERT INTO passkeys (tenant_id, id, user_id, credential, public_key, sign_count, flags, transports, aaguid, name, created_at, last_used_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, p.TenantID, p.ID, p.UserID, p.Credential, p.PublicKey, int64(p.SignCount), int64(p.Flags), transports, p.AAGUID, p.Name, p.CreatedAt, p.LastUsedAt)
	if err != nil {
		return p, fmt.Errorf("passkey of user %s: %w", p.UserID, err)
	}
	tx.log(PasskeyAdded, p.subject(), map[string]string{"user": string(p.UserID), "aaguid": p.AAGUID})
	return p, nil
}

// lockLocal locks somebody who may sign in and whom no provider knows.
func (tx *Tx) lockLocal(ctx context.Context, user UserID) error {
	if _, err := tx.lockLive(ctx, user); err != nil {
		return err
	}
	var idp string
	err := tx.get(ctx, &idp, `SELECT c.idp FROM users u JOIN connections c ON c.tenant_id = u.tenant_id AND c.id = u.connection_id
		WHERE u.tenant_id = ? AND u.id = ?`, tx.actor.Tenant, user)
	if err == nil && idp != IdPLocal {
		err = fmt.Errorf("user %s: %w: she signs in with her identity provider", user, ErrInvalid)
	}
	return err
}

// ErrCloned says that an authenticator counts backwards, so that there may be two of
// it (§6.1.1).
var ErrCloned = errors.New("the authenticator's counter went backwards")

// UsePasskey notes that a passkey of the actor's tenant has just been proved, with
// the authenticator's counter. ErrCloned when that isn't above the last one; the
// refusal is logged. ErrNotFound when the passkey isn't there any more.
func (tx *Tx) UsePasskey(ctx context.Context, id PasskeyID, signCount uint32) (Passkey, error) {
	p, err := tx.lockPasskey(ctx, id)
	if err != nil {
		return p, err
	}
	if (signCount != 0 || p.SignCount != 0) && signCount <= p.SignCount {
		tx.amends = append(tx.amends, amends{ErrCloned, func(_ context.Context, tx *Tx) error {
			tx.log(PasskeyRefused, p.subject(), map[string]any{"user": p.UserID, "why": "counter", "had": p.SignCount, "got": signCount})
			return nil
		}})
		return p, fmt.Errorf("passkey %s: %w: %d after %d", id, ErrCloned, signCount, p.SignCount)
	}
	p.SignCount, p.LastUsedAt = signCount, tx.now
	_, err = tx.exec(ctx, `UPDATE passkeys SET sign_count = ?, last_used_at = ? WHERE tenant_id = ? AND id = ?`, int64(p.SignCount), p.LastUsedAt, p.TenantID, p.ID)
	return p, err
}

func (tx *Tx) lockPasskey(ctx context.Context, id PasskeyID) (Passkey, error) {
	if !validID(string(id)) {
		return Passkey{}, fmt.Errorf("passkey %q: %w", id, ErrNotFound)
	}
	found, err := tx.passkeys(ctx, `WHERE tenant_id = ? AND id = ?`+tx.pool.dialect.forUpdate, tx.actor.Tenant, id)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Passkey{}, fmt.Errorf("passkey %s: %w", id, err)
	}
	return found[0], nil
}

// RenamePasskey calls a passkey of the actor's tenant something else.
func (tx *Tx) RenamePasskey(ctx context.Context, id PasskeyID, name string) error {
	p, err := tx.lockPasskey(ctx, id)
	if name = cut(strings.TrimSpace(name), 100); err != nil || name == p.Name {
		return err
	}
	before := p.Name
	p.Name = name
	tx.log(PasskeyRenamed, p.subject(), beforeAfter(before, name))
	_, err = tx.exec(ctx, `UPDATE passkeys SET name = ? WHERE tenant_id = ? AND id = ?`, name, p.TenantID, p.ID)
	return err
}

// RemovePasskey forgets a passkey of the actor's tenant, and signs its owner out
// wherever she signed in with one.
func (tx *Tx) RemovePasskey(ctx context.Context, id PasskeyID) error {
	p, err := tx.lockPasskey(ctx, id)
	if err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `DELETE FROM passkeys WHERE tenant_id = ? AND id = ?`, p.TenantID, p.ID); err != nil {
		return err
	}
	tx.log(PasskeyRemoved, p.subject(), map[string]string{"user": string(p.UserID)})
	_, err = tx.endSessions(ctx, PasskeyRemoved, `user_id = ? AND method = ?`, p.UserID, MethodPasskey)
	return err
}

// Ceremony is a challenge that a browser was given.
type Ceremony struct {
	// Key is the hash of what only the browser knows.
	Key []byte
	// UserID is who may answer, empty when anybody may: her answer says who she is.
	UserID UserID
	// Data is what the answer is checked with.
	Data    string
	BegunAt Instant
}

// tenantOrNone is the actor's tenant, or what stands for none.
func (tx *Tx) tenantOrNone() TenantID {
	if tx.actor.Tenant == "" {
		return zeroID
	}
	return tx.actor.Tenant
}

// BeginCeremony keeps a challenge for MaxCeremony. With a UserID, of the actor's
// tenant, it ends when she is taken away.
func (tx *Tx) BeginCeremony(ctx context.Context, c Ceremony) error {
	if len(c.Key) < 32 || !isText(c.Data) {
		return fmt.Errorf("ceremony: %w: the key is a hash of 32 bytes", ErrInvalid)
	}
	if c.UserID != "" {
		if _, err := tx.lockLive(ctx, c.UserID); err != nil {
			return err
		}
	}
	tenant := tx.tenantOrNone()
	if err := tx.dropOldest(ctx, tenant, "ceremonies", "key", MaxCeremonies); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `INSERT INTO ceremonies (tenant_id, key, user_id, data, begun_at, expires_at) VALUES (?, ?, ?, ?, `+tx.pool.dialect.clock+`, ?)`,
		tenant, c.Key, optional(c.UserID), c.Data, tx.sharedNow(), At(tx.now.Add(MaxCeremony)))
	return err
}

// TakeCeremony gives a challenge back, once. ErrNotFound when there is none of that
// key in the actor's tenant, or not any more.
func (tx *Tx) TakeCeremony(ctx context.Context, key []byte) (Ceremony, error) {
	var found []struct {
		UserID  UserID  `db:"user_id"`
		Data    string  `db:"data"`
		BegunAt Instant `db:"begun_at"`
		Expires Instant `db:"expires_at"`
	}
	err := tx.take(ctx, &found, `DELETE FROM ceremonies WHERE tenant_id = ? AND key = ?
		RETURNING COALESCE(CAST(user_id AS text), '') AS user_id, data, begun_at, expires_at`, tx.tenantOrNone(), key)
	if err == nil && (len(found) == 0 || !tx.now.Before(found[0].Expires.Time)) {
		err = ErrNotFound
	}
	if err != nil {
		return Ceremony{}, fmt.Errorf("ceremony: %w", err)
	}
	return Ceremony{Key: key, UserID: found[0].UserID, Data: found[0].Data, BegunAt: found[0].BegunAt}, nil
}
