package store

import (
	"context"
	"errors"
	"fmt"
)

// ErrLeft says that a connection's provider once told of somebody and took her away.
var ErrLeft = errors.New("the provider has taken that person away")

// CreateOnSignIn adds somebody of whom the provider of a connection never told over
// SCIM, because she has proved to be its own: a user with what everybody has, and
// nothing else. externalID may be empty. ErrTaken when there is a user with that
// userName or externalId, active or not, and ErrLeft when there was one: what SCIM
// took away no sign-in brings back.
func (tx *Tx) CreateOnSignIn(ctx context.Context, c ConnectionRef, userName, externalID, displayName string) (User, error) {
	if err := tx.own(c); err != nil {
		return User{}, err
	}
	if userName == "" || !isText(userName) || !isText(externalID) || !isText(displayName) {
		return User{}, fmt.Errorf("user %q: %w: no text", cut(userName, 100), ErrInvalid)
	}
	for attribute, value := range map[string]string{LinkUserName: userName, LinkExternalID: externalID} {
		switch _, err := tx.named(ctx, c, attribute, value); {
		case err == nil, errors.Is(err, ErrAmbiguous):
			return User{}, fmt.Errorf("user with %s %q: %w", attribute, cut(value, 100), ErrTaken)
		case !errors.Is(err, ErrNotFound):
			return User{}, err
		}
	}
	left, err := tx.left(ctx, c, userName, externalID)
	if err != nil {
		return User{}, err
	}
	if left {
		return User{}, fmt.Errorf("user %q: %w", cut(userName, 100), ErrLeft)
	}
	u := User{UserName: userName, ExternalID: externalID, DisplayName: displayName, Active: true}
	doc := map[string]any{"userName": userName, "active": true}
	search := map[string]any{"username": Fold(userName), "active": true}
	if externalID != "" {
		doc["externalId"], search["externalid"] = externalID, externalID
	}
	if displayName != "" {
		doc["displayName"], search["displayname"] = displayName, Fold(displayName)
	}
	docText, err := asJSON(doc)
	if err != nil {
		return u, err
	}
	searchText, err := asJSON(search)
	if err != nil {
		return u, err
	}
	u.Doc, u.Search = []byte(docText), []byte(searchText)
	return tx.CreateUser(ctx, c, u)
}

// left reports whether a user of the connection who is gone had that name, or that
// externalId. It reads everybody who is gone, once for each newcomer: names are
// compared as Fold makes them, which only Go can.
func (tx *Tx) left(ctx context.Context, c ConnectionRef, userName, externalID string) (bool, error) {
	var gone []struct {
		UserName   string `db:"user_name"`
		ExternalID string `db:"external_id"`
	}
	err := tx.list(ctx, &gone, `SELECT DISTINCT p.user_name, p.external_id FROM users_past p
		WHERE p.tenant_id = ? AND p.connection_id = ? AND NOT EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = p.tenant_id AND u.id = p.id)`,
		c.Tenant, c.ID)
	for _, g := range gone {
		if Fold(g.UserName) == Fold(userName) || externalID != "" && g.ExternalID == externalID {
			return true, err
		}
	}
	return false, err
}
