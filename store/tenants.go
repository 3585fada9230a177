package store

import (
	"context"
	"errors"
	"fmt"
)

// DefaultTenant is the name of the tenant that a fresh install has.
const DefaultTenant = "default"

// Tenant is one customer. Every other row belongs to one; nothing crosses.
type Tenant struct {
	ID        TenantID `db:"id" json:"id"`
	Name      string   `db:"name" json:"name"`
	CreatedAt Instant  `db:"created_at" json:"created_at"`
}

// Tenants gives all tenants by name.
func (r reader) Tenants(ctx context.Context) ([]Tenant, error) {
	tenants := []Tenant{}
	err := r.list(ctx, &tenants, `SELECT id, name, created_at FROM tenants ORDER BY name_key`)
	return tenants, err
}

// TenantNamed finds a tenant by its name, without regard to case.
func (r reader) TenantNamed(ctx context.Context, name string) (Tenant, error) {
	var t Tenant
	if !isText(name) {
		return t, fmt.Errorf("tenant %q: %w", name, ErrNotFound)
	}
	err := r.get(ctx, &t, `SELECT id, name, created_at FROM tenants WHERE name_key = ?`, Fold(name))
	if err != nil {
		return t, fmt.Errorf("tenant %q: %w", name, err)
	}
	return t, nil
}

// CreateTenant adds a tenant and makes it the transaction's. ErrTaken when one
// has that name already.
func (tx *Tx) CreateTenant(ctx context.Context, name string) (Tenant, error) {
	if err := checkKeys(map[string]string{"name": Fold(name)}); err != nil {
		return Tenant{}, err
	}
	t := Tenant{ID: TenantID(newID()), Name: name, CreatedAt: tx.now}
	_, err := tx.exec(ctx, `INSERT INTO tenants (id, name, name_key, created_at) VALUES (?, ?, ?, ?)`,
		t.ID, t.Name, Fold(t.Name), t.CreatedAt)
	if err != nil {
		return t, fmt.Errorf("tenant %q: %w", name, err)
	}
	tx.actor.Tenant = t.ID
	tx.insert(`policies (tenant_id, revision, changed_at)`, t.ID, zeroID, tx.now)
	tx.log(TenantCreated, subject{kind: "tenant", id: string(t.ID), name: t.Name}, nil)
	return t, nil
}

// EnsureTenant gives the tenant of that name, made now if there is none.
func (s *Store) EnsureTenant(ctx context.Context, actor Actor, name string) (Tenant, error) {
	t, err := s.TenantNamed(ctx, name)
	if !errors.Is(err, ErrNotFound) {
		return t, err
	}
	err = s.Write(ctx, actor, func(tx *Tx) error {
		t, err = tx.CreateTenant(ctx, name)
		return err
	})
	if errors.Is(err, ErrTaken) { // somebody else was faster
		return s.TenantNamed(ctx, name)
	}
	return t, err
}
