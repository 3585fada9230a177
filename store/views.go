package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// The limits of saved views: how many a person has, how many shared ones are
// offered, and how long a name and an address are, in bytes.
const (
	MaxViews       = 50
	maxSharedViews = 500
	MaxViewName    = 100
	MaxViewPath    = 2000
)

// ViewID names a saved view.
type ViewID string

// View is an address of the console that somebody keeps under a name: a list with
// its filters. It gives nobody a right: who opens it sees what she may see.
type View struct {
	ID     ViewID `db:"id"`
	UserID UserID `db:"user_id"` // whose it is
	Name   string `db:"name"`
	Path   string `db:"path"` // with the query
	// Shared views are offered to all of the tenant who may open the page.
	Shared    bool    `db:"shared"`
	CreatedAt Instant `db:"created_at"`
}

const viewColumns = `id, user_id, name, path, shared, created_at`

// Views gives the views of a person and those that others share with her, the
// oldest first.
func (r reader) Views(ctx context.Context, tenant TenantID, user UserID) ([]View, error) {
	all := []View{}
	if !validID(string(user)) {
		return all, nil
	}
	err := r.list(ctx, &all, `SELECT `+viewColumns+` FROM views WHERE tenant_id = ? AND user_id = ?
		UNION SELECT * FROM (SELECT `+viewColumns+` FROM views WHERE tenant_id = ? AND shared ORDER BY id LIMIT ?) s
		ORDER BY id`, tenant, user, tenant, maxSharedViews)
	return all, err
}

// check refuses a view that can't be shown.
func (v *View) check() error {
	v.Name = strings.TrimSpace(v.Name)
	switch {
	case v.Name == "" || !isText(v.Name) || !isText(v.Path) || !strings.HasPrefix(v.Path, "/"):
		return fmt.Errorf("view %q: %w: want a name and an address", cut(v.Name, MaxViewName), ErrInvalid)
	case len(v.Name) > MaxViewName || len(v.Path) > MaxViewPath:
		return fmt.Errorf("view %q: %w", cut(v.Name, MaxViewName), ErrTooLong)
	}
	return nil
}

// SaveView keeps a view of UserID, a person of the actor's tenant: Name, Path and
// Shared. The same form sent twice makes one. Whether there is such a page is for the
// caller to know. ErrLimit when she
// has MaxViews, ErrTooLong or ErrInvalid for what can't be shown, ErrNotFound when
// she isn't live.
func (tx *Tx) SaveView(ctx context.Context, v View) (View, error) {
	v.ID, v.CreatedAt = ViewID(newID()), tx.now
	if err := v.check(); err != nil {
		return v, err
	}
	if _, err := tx.lockLive(ctx, v.UserID); err != nil { // also so that two don't become the last together
		return v, err
	}
	err := tx.get(ctx, &v.ID, `SELECT id FROM views WHERE tenant_id = ? AND user_id = ? AND name = ? AND path = ? ORDER BY id LIMIT 1`,
		tx.actor.Tenant, v.UserID, v.Name, v.Path)
	if !errors.Is(err, ErrNotFound) {
		if err == nil {
			err = tx.ChangeView(ctx, v)
		}
		return v, err
	}
	var has int
	if err := tx.get(ctx, &has, `SELECT COUNT(*) FROM views WHERE tenant_id = ? AND user_id = ?`, tx.actor.Tenant, v.UserID); err != nil {
		return v, err
	}
	if has >= MaxViews {
		return v, fmt.Errorf("%d views: %w", has, ErrLimit)
	}
	_, err = tx.exec(ctx, `INSERT INTO views (tenant_id, `+viewColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		tx.actor.Tenant, v.ID, v.UserID, v.Name, v.Path, v.Shared, v.CreatedAt)
	return v, err
}

// ChangeView gives a view of UserID another Name, and shares it or not.
// ErrNotFound when she has no such view.
func (tx *Tx) ChangeView(ctx context.Context, v View) error {
	v.Path = "/" // stays
	if err := v.check(); err != nil {
		return err
	}
	return tx.atView(ctx, v, `UPDATE views SET name = ?, shared = ? WHERE tenant_id = ? AND id = ? AND user_id = ?`,
		v.Name, v.Shared, tx.actor.Tenant, v.ID, v.UserID)
}

// RemoveView removes a view of UserID, or if that is empty a shared one of whoever
// it is. ErrNotFound when there is no such view.
func (tx *Tx) RemoveView(ctx context.Context, v View) error {
	if v.UserID == "" {
		return tx.atView(ctx, v, `DELETE FROM views WHERE tenant_id = ? AND id = ? AND shared`, tx.actor.Tenant, v.ID)
	}
	return tx.atView(ctx, v, `DELETE FROM views WHERE tenant_id = ? AND id = ? AND user_id = ?`, tx.actor.Tenant, v.ID, v.UserID)
}

// atView changes the one view that a statement is about.
func (tx *Tx) atView(ctx context.Context, v View, query string, args ...any) error {
	if !validID(string(v.ID)) || v.UserID != "" && !validID(string(v.UserID)) {
		return fmt.Errorf("view %q: %w", cut(string(v.ID), 100), ErrNotFound)
	}
	n, err := tx.exec(ctx, query, args...)
	if err == nil && n == 0 {
		err = fmt.Errorf("view %s: %w", v.ID, ErrNotFound)
	}
	return err
}
