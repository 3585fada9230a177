package store

import (
	"context"
	"fmt"
)

// Connection is one identity provider of a tenant: a SCIM endpoint with its
// tokens.
type Connection struct {
	TenantID TenantID     `db:"tenant_id" json:"tenant_id"`
	ID       ConnectionID `db:"id" json:"id"`
	Name     string       `db:"name" json:"name"`
	// IdP is the kind of provider: IdPEntra, IdPOkta, IdPGeneric, or IdPLocal for
	// people outside any. It chooses
	// texts and hints; every dialect is understood on every connection.
	IdP       string  `db:"idp" json:"idp"`
	CreatedAt Instant `db:"created_at" json:"created_at"`
	// LastRequestAt is when the provider last called, a few seconds coarse.
	LastRequestAt Instant `db:"last_request_at" json:"last_request_at"`
}

// The kinds of identity provider.
const (
	IdPEntra   = "entra"
	IdPOkta    = "okta"
	IdPGeneric = "generic"
	// IdPLocal is of the one connection of a tenant whose people no provider knows.
	IdPLocal = "local"
)

// Ref names the connection within its tenant.
func (c Connection) Ref() ConnectionRef { return ConnectionRef{Tenant: c.TenantID, ID: c.ID} }

// ConnectionRef is where users and groups live: a connection of a tenant. Two
// connections never see each other's, even under the same names.
type ConnectionRef struct {
	Tenant TenantID
	ID     ConnectionID
}

const connectionColumns = `tenant_id, id, name, idp, created_at, last_request_at`

// Connections gives a tenant's connections by name.
func (r reader) Connections(ctx context.Context, tenant TenantID) ([]Connection, error) {
	conns := []Connection{}
	err := r.list(ctx, &conns, `SELECT `+connectionColumns+` FROM connections WHERE tenant_id = ? ORDER BY name_key`, tenant)
	return conns, err
}

// ConnectionNamed finds a connection by its name, without regard to case, or by
// its id.
func (r reader) ConnectionNamed(ctx context.Context, tenant TenantID, name string) (Connection, error) {
	var c Connection
	if !isText(name) {
		return c, fmt.Errorf("connection %q: %w", name, ErrNotFound)
	}
	err := r.get(ctx, &c, `SELECT `+connectionColumns+` FROM connections
		WHERE tenant_id = ? AND (name_key = ? OR CAST(id AS text) = ?)`, tenant, Fold(name), name)
	if err != nil {
		return c, fmt.Errorf("connection %q: %w", name, err)
	}
	return c, nil
}

// ConnectionCounts are the sizes of a connection.
type ConnectionCounts struct {
	Users    int `db:"users" json:"users"`
	Inactive int `db:"inactive" json:"inactive"`
	Groups   int `db:"groups" json:"groups"`
	Members  int `db:"members" json:"members"`
}

// Counts gives the sizes of a connection; it reads them all, so it is for
// people, not for request paths.
func (r reader) Counts(ctx context.Context, c ConnectionRef) (ConnectionCounts, error) {
	var n ConnectionCounts
	err := r.get(ctx, &n, `SELECT
		(SELECT COUNT(*) FROM users WHERE tenant_id = ? AND connection_id = ?) AS users,
		(SELECT COUNT(*) FROM users WHERE tenant_id = ? AND connection_id = ? AND NOT active) AS inactive,
		(SELECT COUNT(*) FROM groups WHERE tenant_id = ? AND connection_id = ?) AS groups,
		(SELECT COUNT(*) FROM members m JOIN groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id
			WHERE g.tenant_id = ? AND g.connection_id = ?) AS members`,
		c.Tenant, c.ID, c.Tenant, c.ID, c.Tenant, c.ID, c.Tenant, c.ID)
	return n, err
}

// CreateConnection adds a connection to the actor's tenant. ErrTaken when it has
// one of that name already.
func (tx *Tx) CreateConnection(ctx context.Context, name, idp string) (Connection, error) {
	if idp == IdPLocal {
		return Connection{}, fmt.Errorf("connection %q: %w: the local one is made when it is needed", name, ErrInvalid)
	}
	return tx.createConnection(ctx, name, idp)
}

func (tx *Tx) createConnection(ctx context.Context, name, idp string) (Connection, error) {
	if err := checkKeys(map[string]string{"name": Fold(name)}); err != nil {
		return Connection{}, err
	}
	c := Connection{TenantID: tx.actor.Tenant, ID: ConnectionID(newID()), Name: name, IdP: idp, CreatedAt: tx.now}
	_, err := tx.exec(ctx, `INSERT INTO connections (tenant_id, id, name, name_key, idp, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
		c.TenantID, c.ID, c.Name, Fold(c.Name), c.IdP, c.CreatedAt)
	if err != nil {
		return c, fmt.Errorf("connection %q: %w", name, err)
	}
	tx.log(ConnectionCreated, subject{kind: "connection", id: string(c.ID), name: c.Name, connection: c.ID},
		map[string]string{"idp": idp})
	return c, nil
}
