package store

import (
	"context"
	"fmt"
	"time"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

// Snapshot is a whole tenant as it is, or was, with what people and groups are
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
func (r reader) Snapshot(ctx context.Context, tenant TenantID) (Snapshot, error) {
	return r.snapshot(ctx, tenant, moment{})
}

// SnapshotAt is Snapshot as it was at an instant, by the names of then: whoever left
// since, or is called otherwise, is in it.
func (r reader) SnapshotAt(ctx context.Context, tenant TenantID, at time.Time) (Snapshot, error) {
	return r.snapshot(ctx, tenant, then(at))
}

func (r reader) snapshot(ctx context.Context, tenant TenantID, m moment) (s Snapshot, err error) {
	err = r.agree(ctx, func(r reader) error {
		s = Snapshot{Users: map[access.UserID]Named{}, Groups: map[access.GroupID]Named{}}
		if s.Catalogue, s.Grants, err = r.catalogueAndGrants(ctx, tenant, m); err != nil {
			return err
		}
		if s.Facts, err = r.facts(ctx, tenant, m, ""); err != nil {
			return err
		}
		const named = `) n JOIN connections c ON c.tenant_id = ? AND c.id = n.connection_id`
		query, args := m.versions("users", "modified_at", "id, user_name, display_name, connection_id", "", tenant)
		err := r.each(ctx, func(rows *sqlx.Rows) error {
			var id access.UserID
			var n Named
			err := rows.Scan(&id, &n.Name, &n.DisplayName, &n.Connection)
			s.Users[id] = n
			return err
		}, `SELECT n.id, n.user_name, n.display_name, c.name FROM (`+query+named, append(args, tenant)...)
		if err != nil {
			return err
		}
		query, args = m.versions("groups", "described_at", "id, display_name, connection_id", "", tenant)
		return r.each(ctx, func(rows *sqlx.Rows) error {
			var id access.GroupID
			var n Named
			err := rows.Scan(&id, &n.Name, &n.Connection)
			s.Groups[id] = n
			return err
		}, `SELECT n.id, n.display_name, c.name FROM (`+query+named, append(args, tenant)...)
	})
	if err != nil {
		return Snapshot{}, fmt.Errorf("snapshot of tenant %s: %w", tenant, err)
	}
	return s, nil
}
