package store

import (
	"context"
	"fmt"
	"time"
)

// SetupLinkPrefix begins the secret of every set-up link.
const SetupLinkPrefix = "ghl_"

// SetupLinkLife is how long a set-up link works.
const SetupLinkLife = 7 * 24 * time.Hour

// MaxSetupLinks is how many set-up links of a connection work at a time.
const MaxSetupLinks = 5

// The actions on set-up links.
const (
	SetupLinkCreated = "setup_link.created"
	SetupLinkRevoked = "setup_link.revoked"
)

// SetupLink lets somebody without an account set up one connection at its provider:
// an IT administrator. Only the hash of its secret is kept.
type SetupLink struct {
	TenantID     TenantID     `db:"tenant_id" json:"tenant_id"`
	ID           string       `db:"id" json:"id"`
	ConnectionID ConnectionID `db:"connection_id" json:"connection_id"`
	CreatedAt    Instant      `db:"created_at" json:"created_at"`
	ExpiresAt    Instant      `db:"expires_at" json:"expires_at"`
}

func (l SetupLink) subject(c Connection) subject {
	return subject{kind: "setup_link", id: l.ID, name: c.Name, connection: c.ID}
}

const setupLinkColumns = `tenant_id, id, connection_id, created_at, expires_at`

// SetupLinks gives the links of a connection that work, the newest first.
func (s *Store) SetupLinks(ctx context.Context, c ConnectionRef) ([]SetupLink, error) {
	return s.setupLinks(ctx, c, At(s.now()))
}

// SetupLinks gives the links of a connection that work, the newest first.
func (tx *Tx) SetupLinks(ctx context.Context, c ConnectionRef) ([]SetupLink, error) {
	return tx.setupLinks(ctx, c, tx.now)
}

func (r reader) setupLinks(ctx context.Context, c ConnectionRef, now Instant) ([]SetupLink, error) {
	links := []SetupLink{}
	err := r.list(ctx, &links, `SELECT `+setupLinkColumns+` FROM setup_links
		WHERE tenant_id = ? AND connection_id = ? AND revoked_at = 0 AND expires_at > ? ORDER BY id DESC`, c.Tenant, c.ID, now)
	return links, err
}

// SetupLinkBySecret gives the link with this secret, of any tenant, and its
// connection. ErrNotFound when there is none, or not any more.
func (s *Store) SetupLinkBySecret(ctx context.Context, secret string) (SetupLink, Connection, error) {
	var l SetupLink
	var c Connection
	err := s.get(ctx, &l, `SELECT `+setupLinkColumns+` FROM setup_links
		WHERE hash = ? AND revoked_at = 0 AND expires_at > ?`, hashSecret(secret), At(s.now()))
	if err == nil {
		c, err = s.ConnectionNamed(ctx, l.TenantID, string(l.ConnectionID))
	}
	if err != nil {
		return l, c, fmt.Errorf("set-up link: %w", err)
	}
	return l, c, nil
}

// CreateSetupLink makes a link to set up a connection of the actor's tenant, and
// gives its secret, which can't be had again. ErrLimit when MaxSetupLinks work.
func (tx *Tx) CreateSetupLink(ctx context.Context, id ConnectionID) (SetupLink, string, error) {
	c, err := tx.lockRef(ctx, id)
	if err == nil {
		err = c.connected()
	}
	if err != nil {
		return SetupLink{}, "", err
	}
	links, err := tx.SetupLinks(ctx, c.Ref())
	if err != nil {
		return SetupLink{}, "", err
	}
	if len(links) >= MaxSetupLinks {
		return SetupLink{}, "", fmt.Errorf("connection %q has %d set-up links: %w", c.Name, len(links), ErrLimit)
	}
	l := SetupLink{TenantID: c.TenantID, ID: newID(), ConnectionID: c.ID, CreatedAt: tx.now, ExpiresAt: At(tx.now.Add(SetupLinkLife))}
	secret := newSecret(SetupLinkPrefix)
	_, err = tx.exec(ctx, `INSERT INTO setup_links (`+setupLinkColumns+`, hash, revoked_at) VALUES (?, ?, ?, ?, ?, ?, 0)`,
		l.TenantID, l.ID, l.ConnectionID, l.CreatedAt, l.ExpiresAt, hashSecret(secret))
	if err != nil {
		return l, "", err
	}
	tx.log(SetupLinkCreated, l.subject(c), nil)
	return l, secret, nil
}

// RevokeSetupLink ends a link of a connection of the actor's tenant. ErrNotFound when
// there is no such one that works.
func (tx *Tx) RevokeSetupLink(ctx context.Context, connection ConnectionID, id string) error {
	c, err := tx.lockRef(ctx, connection)
	if err != nil {
		return err
	}
	if !validID(id) {
		return fmt.Errorf("set-up link %q: %w", id, ErrNotFound)
	}
	n, err := tx.exec(ctx, `UPDATE setup_links SET revoked_at = ?
		WHERE tenant_id = ? AND id = ? AND connection_id = ? AND revoked_at = 0 AND expires_at > ?`, tx.now, c.TenantID, id, c.ID, tx.now)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("set-up link %s: %w", id, err)
	}
	tx.log(SetupLinkRevoked, SetupLink{ID: id}.subject(c), nil)
	return nil
}
