package store

import (
	"context"
	"errors"
	"fmt"

	"gatehouse/access"
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

// CreateTenant adds a tenant and makes it the transaction's. Nothing is granted in it
// yet: see EnsureBaselines. ErrTaken when one
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

// baselineMissing is a condition for tenants t that never had the grant which every
// tenant has: it comes back to none that took it away.
const baselineMissing = `NOT EXISTS (SELECT 1 FROM grants g WHERE g.tenant_id = t.id AND g.origin = 'baseline' AND g.product = 'console')
	AND NOT EXISTS (SELECT 1 FROM grants_past g WHERE g.tenant_id = t.id AND g.origin = 'baseline' AND g.product = 'console')`

// EnsureBaselines gives access.ConsoleBaseline to the tenants that never had it: the
// program asks for it whenever it starts and whenever it has made a tenant.
func (s *Store) EnsureBaselines(ctx context.Context) error {
	var tenants []TenantID
	if err := s.list(ctx, &tenants, `SELECT t.id FROM tenants t WHERE `+baselineMissing+` ORDER BY t.id`); err != nil {
		return err
	}
	for _, id := range tenants {
		err := s.Write(ctx, Actor{Tenant: id, Kind: ActorSystem}, func(tx *Tx) error {
			if _, err := tx.lockPolicy(ctx); err != nil {
				return err
			}
			var still []TenantID // another process may have been faster
			if err := tx.list(ctx, &still, `SELECT t.id FROM tenants t WHERE t.id = ? AND `+baselineMissing, id); err != nil || len(still) == 0 {
				return err
			}
			_, err := tx.AddGrants(ctx, access.ConsoleBaseline(""))
			return err
		})
		if err != nil {
			return fmt.Errorf("tenant %s: %w", id, err)
		}
	}
	return nil
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
