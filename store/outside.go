package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// LocalConnection gives the connection of the people whom no identity provider
// knows, of the actor's tenant. It is made when it is first needed, and nothing
// reaches it over SCIM.
func (tx *Tx) LocalConnection(ctx context.Context) (Connection, error) {
	// The lock keeps two from making it.
	var locked TenantID
	if err := tx.get(ctx, &locked, `SELECT id FROM tenants WHERE id = ?`+tx.pool.dialect.forUpdate, tx.actor.Tenant); err != nil {
		return Connection{}, fmt.Errorf("tenant %s: %w", tx.actor.Tenant, err)
	}
	all, err := tx.Connections(ctx, tx.actor.Tenant)
	if err != nil {
		return Connection{}, err
	}
	if i := slices.IndexFunc(all, func(c Connection) bool { return c.IdP == IdPLocal }); i >= 0 {
		return all[i], nil
	}
	name := "local"
	for n := 2; slices.ContainsFunc(all, func(c Connection) bool { return Fold(c.Name) == name }); n++ {
		name = fmt.Sprintf("local %d", n)
	}
	return tx.createConnection(ctx, name, IdPLocal)
}

// createLocal adds somebody outside any provider. She is called by her e-mail address
// where there is one. ErrTaken when somebody is called so already.
func (tx *Tx) createLocal(ctx context.Context, displayName, email, otherName string) (User, ConnectionRef, error) {
	c, err := tx.LocalConnection(ctx)
	if err != nil {
		return User{}, ConnectionRef{}, err
	}
	u := User{UserName: otherName, DisplayName: displayName, Active: true}
	doc := map[string]any{"displayName": displayName, "active": true}
	search := map[string]any{"displayname": Fold(displayName), "active": true}
	if email != "" {
		u.UserName, u.Emails = email, []string{email}
		doc["emails"] = []any{map[string]any{"value": email, "primary": true}}
		search["emails"] = []any{map[string]any{"value": Fold(email), "primary": true}}
	}
	doc["userName"], search["username"] = u.UserName, Fold(u.UserName)
	docText, err := asJSON(doc)
	if err != nil {
		return u, c.Ref(), err
	}
	searchText, err := asJSON(search)
	if err != nil {
		return u, c.Ref(), err
	}
	u.Doc, u.Search = []byte(docText), []byte(searchText)
	if err := tx.freeName(ctx, c.Ref(), u.UserName); err != nil {
		return u, c.Ref(), err
	}
	u, err = tx.CreateUser(ctx, c.Ref(), u)
	return u, c.Ref(), err
}

// freeName is ErrTaken if a user of the connection has that name.
func (tx *Tx) freeName(ctx context.Context, c ConnectionRef, userName string) error {
	_, err := tx.named(ctx, c, LinkUserName, userName)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("%q: %w: somebody outside is called so", userName, ErrTaken)
	}
	return err
}
