package store

import (
	"context"
	"fmt"
	"time"
)

// The limits of drafts: how many a person has, of which the oldest makes room, how
// many bytes one has, and how long it is kept at most.
const (
	MaxDrafts    = 100
	MaxDraft     = 64 << 10
	MaxDraftLife = 24 * time.Hour
)

// DraftID names a draft.
type DraftID string

// Draft is what a person has typed in the console and not sent. It changes nothing
// and is nobody else's.
type Draft struct {
	ID        DraftID `db:"id"`
	UserID    UserID  `db:"user_id"`
	Doc       string  `db:"doc"` // the caller's
	ExpiresAt Instant `db:"expires_at"`
}

// KeepDraft keeps a draft of UserID, a person of the actor's tenant, until
// ExpiresAt, by default and at most for MaxDraftLife. ErrTooLong when it has more
// than MaxDraft bytes, ErrNotFound when she isn't live.
func (tx *Tx) KeepDraft(ctx context.Context, d Draft) (Draft, error) {
	d.ID = DraftID(newID())
	switch {
	case len(d.Doc) > MaxDraft:
		return d, fmt.Errorf("draft of %d bytes: %w", len(d.Doc), ErrTooLong)
	case !isText(d.Doc):
		return d, fmt.Errorf("draft: %w: no text", ErrInvalid)
	}
	if _, err := tx.lockLive(ctx, d.UserID); err != nil {
		return d, err
	}
	if end := At(tx.now.Add(MaxDraftLife)); d.ExpiresAt.IsZero() || end.Before(d.ExpiresAt.Time) {
		d.ExpiresAt = end
	}
	tenant := tx.actor.Tenant
	_, err := tx.exec(ctx, `DELETE FROM drafts WHERE tenant_id = ? AND id IN (SELECT id FROM drafts
		WHERE tenant_id = ? AND user_id = ? ORDER BY id DESC LIMIT 1000 OFFSET ?)`, tenant, tenant, d.UserID, MaxDrafts-1)
	if err != nil {
		return d, err
	}
	_, err = tx.exec(ctx, `INSERT INTO drafts (tenant_id, id, user_id, doc, begun_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)`,
		tenant, d.ID, d.UserID, d.Doc, tx.now, d.ExpiresAt)
	return d, err
}

// Draft gives a draft to the person whose it is. ErrNotFound when she has none of
// that id, or not any more.
func (s *Store) Draft(ctx context.Context, tenant TenantID, user UserID, id DraftID) (Draft, error) {
	var d Draft
	if !validID(string(user)) || !validID(string(id)) {
		return d, fmt.Errorf("draft %q: %w", cut(string(id), 100), ErrNotFound)
	}
	err := s.row(ctx, []any{&d.ID, &d.UserID, &d.Doc, &d.ExpiresAt}, `SELECT id, user_id, doc, expires_at FROM drafts
		WHERE tenant_id = ? AND id = ? AND user_id = ? AND expires_at > ?`, tenant, id, user, At(s.now()))
	if err != nil {
		return Draft{}, fmt.Errorf("draft %s: %w", id, err)
	}
	return d, nil
}
