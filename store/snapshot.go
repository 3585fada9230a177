package store

import (
	"context"
	"fmt"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

// Snapshot is a whole tenant as it is now, with what people and groups are
// called: what access written as a file is compared with.
type Snapshot struct {
	Catalogue access.Catalogue
	Grants    []access.Grant
	Facts     access.Facts
	Users     map[access.UserID]Named
	Groups    map[access.GroupID]Named
}

// Named is how people know a user or a group.
type Named struct {
	// Name is a user's userName or a group's displayName: unique in its connection
	// without regard to case.
	Name string
	// DisplayName is a user's; may be empty.
	DisplayName string
	// Connection is the name of the connection that it came by.
	Connection string
}

// Snapshot reads everything of a tenant that decides about access, in one state.
// It is for previews: an answer to a product's question needs Subject alone.
func (r reader) Snapshot(ctx context.Context, tenant TenantID) (s Snapshot, err error) {
	err = r.agree(ctx, func(r reader) error {
		s = Snapshot{Users: map[access.UserID]Named{}, Groups: map[access.GroupID]Named{}}
		if s.Catalogue, s.Grants, err = r.catalogueAndGrants(ctx, tenant, moment{}); err != nil {
			return err
		}
		if s.Facts, err = r.Facts(ctx, tenant); err != nil {
			return err
		}
		err := r.each(ctx, func(rows *sqlx.Rows) error {
			var id access.UserID
			var n Named
			err := rows.Scan(&id, &n.Name, &n.DisplayName, &n.Connection)
			s.Users[id] = n
			return err
		}, `SELECT u.id, u.user_name, u.display_name, c.name FROM users u
			JOIN connections c ON c.tenant_id = u.tenant_id AND c.id = u.connection_id WHERE u.tenant_id = ?`, tenant)
		if err != nil {
			return err
		}
		return r.each(ctx, func(rows *sqlx.Rows) error {
			var id access.GroupID
			var n Named
			err := rows.Scan(&id, &n.Name, &n.Connection)
			s.Groups[id] = n
			return err
		}, `SELECT g.id, g.display_name, c.name FROM groups g
			JOIN connections c ON c.tenant_id = g.tenant_id AND c.id = g.connection_id WHERE g.tenant_id = ?`, tenant)
	})
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot of tenant %s: %w", tenant, err)
	}
	return s, nil
}
