package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jmoiron/sqlx"
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
	// EndedAt is when the provider was disconnected, zero while it is connected. Who
	// came from it may still be here.
	EndedAt Instant `db:"ended_at" json:"ended_at,omitzero"`
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

const connectionColumns = `tenant_id, id, name, idp, created_at, last_request_at, ended_at`

// Connections gives a tenant's connections by name; those that have ended only while
// somebody or something of them is still here.
func (r reader) Connections(ctx context.Context, tenant TenantID) ([]Connection, error) {
	conns := []Connection{}
	err := r.list(ctx, &conns, `SELECT `+connectionColumns+` FROM connections c WHERE tenant_id = ? AND (ended_at = 0
		OR EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = c.tenant_id AND u.connection_id = c.id)
		OR EXISTS (SELECT 1 FROM groups g WHERE g.tenant_id = c.tenant_id AND g.connection_id = c.id)) ORDER BY name_key, id`, tenant)
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
	tx.log(ConnectionCreated, c.subject(), map[string]string{"idp": idp})
	return c, nil
}

// connected is ErrInvalid for a connection that no provider writes to.
func (c Connection) connected() error {
	switch {
	case c.IdP == IdPLocal:
		return fmt.Errorf("connection %q: %w: its people have no provider", c.Name, ErrInvalid)
	case !c.EndedAt.IsZero():
		return fmt.Errorf("connection %q: %w: it was disconnected", c.Name, ErrInvalid)
	}
	return nil
}

func (c Connection) subject() subject {
	return subject{kind: "connection", id: string(c.ID), name: c.Name, connection: c.ID}
}

// RenameConnection gives a connection of the actor's tenant another name. ErrTaken
// when another one has it.
func (tx *Tx) RenameConnection(ctx context.Context, id ConnectionID, name string) (Connection, error) {
	if err := checkKeys(map[string]string{"name": Fold(name)}); err != nil {
		return Connection{}, err
	}
	c, err := tx.lockRef(ctx, id)
	if err == nil {
		err = c.connected()
	}
	if err != nil || c.Name == name {
		return c, err
	}
	before := c.Name
	c.Name = name
	_, err = tx.exec(ctx, `UPDATE connections SET name = ?, name_key = ? WHERE tenant_id = ? AND id = ?`, c.Name, Fold(c.Name), c.TenantID, c.ID)
	if err != nil {
		return c, fmt.Errorf("connection %q: %w", name, err)
	}
	tx.log(ConnectionRenamed, c.subject(), beforeAfter(before, c.Name))
	return c, nil
}

// LeftBehind is what becomes of the people and groups of a connection that ends.
type LeftBehind string

// What can become of them.
const (
	// KeepPeople leaves them as they are, with their access.
	KeepPeople LeftBehind = "keep"
	// SuspendPeople blocks the people here; nothing of them is lost.
	SuspendPeople LeftBehind = "suspend"
	// RemovePeople deletes the people and the groups; the past keeps them.
	RemovePeople LeftBehind = "remove"
)

// MaxLeftBehind is how many people can be suspended or removed with a connection at
// once: they go in one transaction.
const MaxLeftBehind = 5000

// EndConnection disconnects a provider of the actor's tenant: its tokens, its client
// and its sign-in end, and its name is free again. ErrLimit when more people than
// MaxLeftBehind would have to go, Write's ErrLastOwner when nobody would own the
// tenant.
func (tx *Tx) EndConnection(ctx context.Context, id ConnectionID, people LeftBehind) (Connection, error) {
	c, err := tx.lockRef(ctx, id)
	if err == nil {
		err = c.connected()
	}
	if err != nil {
		return c, err
	}
	if err := tx.closeConnection(ctx, c); err != nil {
		return c, err
	}
	c.EndedAt = tx.now
	// An id is nobody's name, so that the name can be given again.
	_, err = tx.exec(ctx, `UPDATE connections SET ended_at = ?, name_key = ? WHERE tenant_id = ? AND id = ?`, c.EndedAt, string(c.ID), c.TenantID, c.ID)
	if err != nil {
		return c, err
	}
	tx.log(ConnectionEnded, c.subject(), map[string]string{"people": string(people)})
	switch people {
	case KeepPeople:
		return c, nil
	case SuspendPeople:
		return c, tx.suspendAll(ctx, c)
	case RemovePeople:
		return c, tx.removeAll(ctx, c)
	}
	return c, fmt.Errorf("people of connection %q: %w: want keep, suspend or remove", c.Name, ErrInvalid)
}

// closeConnection ends all that opens a connection.
func (tx *Tx) closeConnection(ctx context.Context, c Connection) error {
	tokens, err := tx.Tokens(ctx, c.Ref())
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if !t.Live(tx.now.Time) {
			continue
		}
		if _, err := tx.RevokeToken(ctx, c, string(t.ID)); err != nil {
			return err
		}
	}
	if _, err := tx.RevokeClient(ctx, c); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err := tx.RemoveProvider(ctx, c.ID); err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	links, err := tx.SetupLinks(ctx, c.Ref())
	if err != nil {
		return err
	}
	for _, l := range links {
		if err := tx.RevokeSetupLink(ctx, c.ID, l.ID); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) suspendAll(ctx context.Context, c Connection) error {
	people, err := tx.PeopleOf(ctx, c.Ref(), MaxLeftBehind+1)
	if err != nil {
		return err
	}
	if len(people) > MaxLeftBehind {
		return fmt.Errorf("more than %d people: %w", MaxLeftBehind, ErrLimit)
	}
	for _, one := range people {
		_, err := tx.ChangePerson(ctx, one.User, func(p Person) Person { p.LoginAllowed = false; return p })
		if err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) removeAll(ctx context.Context, c Connection) error {
	people, err := tx.PeopleOf(ctx, c.Ref(), MaxLeftBehind+1)
	if err != nil {
		return err
	}
	if len(people) > MaxLeftBehind {
		return fmt.Errorf("more than %d people: %w", MaxLeftBehind, ErrLimit)
	}
	var groups []GroupID
	err = tx.list(ctx, &groups, `SELECT id FROM groups WHERE tenant_id = ? AND connection_id = ? ORDER BY id`, c.TenantID, c.ID)
	if err != nil {
		return err
	}
	for _, id := range groups {
		if err := tx.DeleteGroup(ctx, c.Ref(), id); err != nil {
			return err
		}
	}
	for _, one := range people {
		if err := tx.DeleteUser(ctx, c.Ref(), one.User); err != nil {
			return err
		}
	}
	return nil
}

// PersonOf is a user with what we say of her.
type PersonOf struct {
	User UserID
	Person
}

// PeopleOf gives what we say of the users of a connection, in the order of their
// ids, at most limit.
func (r reader) PeopleOf(ctx context.Context, c ConnectionRef, limit int) ([]PersonOf, error) {
	var all []PersonOf
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var one PersonOf
		var expires Instant
		var sponsor sql.NullString
		err := rows.Scan(&one.User, &one.LoginAllowed, &one.Kind, &expires, &sponsor)
		one.ExpiresAt, one.Sponsor = expires.Time, UserID(sponsor.String)
		all = append(all, one)
		return err
	}, `SELECT u.id, `+said("login_allowed", "TRUE")+`, `+said("kind", "'employee'")+`, `+said("expires_at", "0")+`, CAST(`+said("sponsor_id", "NULL")+` AS text)
		FROM users u WHERE u.tenant_id = ? AND u.connection_id = ? ORDER BY u.id LIMIT ?`, c.Tenant, c.ID, limit)
	return all, err
}
