package store

import (
	"cmp"
	"context"
	"fmt"
	"time"
)

// MailID names a mail.
type MailID string

// NewMailID makes an id for a mail that is to be queued: its text is sealed for it.
func NewMailID() MailID { return MailID(newID()) }

// Mail is a message that a mail server has yet to take, or what became of it.
type Mail struct {
	TenantID TenantID `db:"tenant_id"`
	ID       MailID   `db:"id"`
	// It is about one of these; the other one is empty.
	InvitationID InvitationID `db:"invitation_id"`
	ReviewID     ReviewID     `db:"review_id"`
	Address      string       `db:"address"`
	// Sealed is the message, closed by the caller; empty once it has ended.
	Sealed   string `db:"sealed"`
	Attempts int    `db:"attempts"`
	// Error is what came of the last attempt; empty if nothing was wrong.
	Error     string  `db:"error"`
	CreatedAt Instant `db:"created_at"`
	// DueAt is when it is tried next.
	DueAt Instant `db:"due_at"`
	// EndedAt is when it was sent, or, with an Error, given up.
	EndedAt Instant `db:"ended_at"`
}

const mailColumns = `tenant_id, id, COALESCE(CAST(invitation_id AS text), '') AS invitation_id, COALESCE(CAST(review_id AS text), '') AS review_id,
	address, sealed, attempts, error, created_at, due_at, ended_at`

// QueueMail has a mail about an invitation, or about a review, sent once the
// transaction is done: ID, InvitationID or ReviewID, Address, Sealed, and TenantID
// unless that is the actor's. One about the same that still waits is not sent any more:
// the newer secret counts.
func (tx *Tx) QueueMail(ctx context.Context, m Mail) error {
	tenant := cmp.Or(m.TenantID, tx.actor.Tenant)
	column, about := `invitation_id`, string(m.InvitationID)
	if m.ReviewID != "" {
		column, about = `review_id`, string(m.ReviewID)
	}
	if _, err := tx.exec(ctx, `DELETE FROM mails WHERE tenant_id = ? AND `+column+` = ? AND ended_at = 0`, tenant, about); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `INSERT INTO mails (tenant_id, id, `+column+`, address, sealed, attempts, error, created_at, due_at, ended_at) VALUES (?, ?, ?, ?, ?, 0, '', ?, ?, 0)`,
		tenant, m.ID, about, m.Address, m.Sealed, tx.now, tx.now)
	if err != nil {
		return fmt.Errorf("mail to %s: %w", m.Address, err)
	}
	return nil
}

// TakeMails gives mails of any tenant that are due, at most limit. They are due again
// after lease, in case whoever took them doesn't live to EndMail. Mails of invitations
// that opened nothing any more are given up, and those of reviews that have ended.
func (tx *Tx) TakeMails(ctx context.Context, limit int, lease time.Duration) ([]Mail, error) {
	_, err := tx.exec(ctx, `UPDATE mails SET ended_at = ?, sealed = '', error = 'the invitation is over' WHERE ended_at = 0 AND due_at <= ?
		AND EXISTS (SELECT 1 FROM invitations i WHERE i.tenant_id = mails.tenant_id AND i.id = mails.invitation_id
			AND (i.accepted_at <> 0 OR i.withdrawn_at <> 0 OR i.expires_at <= ?))`, tx.now, tx.now, tx.now)
	if err != nil {
		return nil, err
	}
	_, err = tx.exec(ctx, `UPDATE mails SET ended_at = ?, sealed = '', error = 'the review has ended' WHERE ended_at = 0 AND due_at <= ?
		AND EXISTS (SELECT 1 FROM reviews v WHERE v.tenant_id = mails.tenant_id AND v.id = mails.review_id AND (v.finished_at <> 0 OR v.withdrawn_at <> 0))`, tx.now, tx.now)
	if err != nil {
		return nil, err
	}
	var taken []Mail
	err = tx.take(ctx, &taken, `UPDATE mails SET due_at = ?, attempts = attempts + 1 WHERE ended_at = 0 AND due_at <= ? AND (tenant_id, id) IN (
		SELECT tenant_id, id FROM mails WHERE ended_at = 0 AND due_at <= ? ORDER BY due_at, id LIMIT ?) RETURNING `+mailColumns,
		At(tx.now.Add(lease)), tx.now, tx.now, limit)
	return taken, err
}

// EndMail writes down what came of an attempt: sent if problem is empty, otherwise to
// be tried again at due, or given up if that is zero. A mail that isn't there any more,
// or that somebody else took since, is left alone.
func (tx *Tx) EndMail(ctx context.Context, m Mail, problem string, due Instant) error {
	ended, sealed := Instant{}, m.Sealed
	if due.IsZero() {
		ended, sealed, due = tx.now, "", m.DueAt
	}
	_, err := tx.exec(ctx, `UPDATE mails SET error = ?, due_at = ?, ended_at = ?, sealed = ? WHERE tenant_id = ? AND id = ? AND attempts = ? AND ended_at = 0`,
		cut(problem, 500), due, ended, sealed, m.TenantID, m.ID, m.Attempts)
	return err
}

// MailsOf gives the last mail of each of the invitations that has one.
func (r reader) MailsOf(ctx context.Context, tenant TenantID, invitations []InvitationID) (map[InvitationID]Mail, error) {
	var found []Mail
	err := r.list(ctx, &found, `SELECT `+mailColumns+` FROM mails WHERE tenant_id = ? AND invitation_id IN (`+r.pool.dialect.ids+`) ORDER BY id`,
		tenant, r.pool.dialect.idList(texts(invitations)))
	last := make(map[InvitationID]Mail, len(found))
	for _, m := range found {
		last[m.InvitationID] = m
	}
	return last, err
}
