package store

import (
	"context"
	"fmt"
)

// Group is a group of a connection (RFC 7643 §4.2), without its members: those
// are rows of their own, so that a large group costs no more than a small one.
type Group struct {
	ID          GroupID `db:"id"`
	ExternalID  string  `db:"external_id"`
	DisplayName string  `db:"display_name"`
	// Doc and Search are as those of a User; neither holds members.
	Doc     []byte `db:"doc"`
	Search  []byte `db:"-"`
	Version int64  `db:"version"`
	// DescribedAt is when the group's own attributes, not its members, changed.
	DescribedAt Instant `db:"described_at"`
	CreatedAt   Instant `db:"created_at"`
	ModifiedAt  Instant `db:"modified_at"`
	// Unfinished is the change that the group is in the middle of, if it was read to
	// be changed.
	Unfinished ChangeID `db:"unfinished"`
	// SortKey is what Query.Sort sorted by, of a group in a sorted list.
	SortKey *string `db:"sort_key"`
}

const groupColumns = `g.id, g.external_id, g.display_name, g.doc, g.version, g.described_at, g.created_at, g.modified_at`

// Group reads one group of a connection.
func (r reader) Group(ctx context.Context, c ConnectionRef, id GroupID) (Group, error) {
	return r.group(ctx, c, id, "")
}

func (r reader) group(ctx context.Context, c ConnectionRef, id GroupID, lock string) (Group, error) {
	var g Group
	if !validID(string(id)) {
		return g, fmt.Errorf("group %q: %w", id, ErrNotFound)
	}
	err := r.get(ctx, &g, `SELECT `+groupColumns+`, COALESCE(CAST(g.unfinished AS text), '') AS unfinished FROM groups g
		WHERE g.tenant_id = ? AND g.id = ? AND g.connection_id = ?`+lock, c.Tenant, id, c.ID)
	if err != nil {
		return g, fmt.Errorf("group %s: %w", id, err)
	}
	return g, nil
}

// CreateGroup adds a group to a connection of the actor's tenant, with members.
// Write's ErrTaken says that the connection has one of that displayName.
func (tx *Tx) CreateGroup(ctx context.Context, c ConnectionRef, g Group, members []MemberID) (Group, MembersResult, error) {
	return tx.createGroup(ctx, c, GroupID(newID()), ChangeID(newID()), g, members)
}

func (tx *Tx) createGroup(ctx context.Context, c ConnectionRef, id GroupID, created ChangeID, g Group, members []MemberID) (Group, MembersResult, error) {
	var res MembersResult
	if err := tx.own(c); err != nil {
		return g, res, err
	}
	if err := g.check(); err != nil {
		return g, res, err
	}
	g.ID = id
	g.Version = 1
	g.CreatedAt, g.ModifiedAt, g.DescribedAt = tx.now, tx.now, tx.now
	tx.insert(`groups (tenant_id, id, connection_id, external_id, display_name, display_name_key, doc, search, version, described_at, created_at, modified_at)`,
		c.Tenant, g.ID, c.ID, g.ExternalID, g.DisplayName, Fold(g.DisplayName),
		string(g.Doc), string(g.Search), g.Version, g.DescribedAt, g.CreatedAt, g.ModifiedAt)
	tx.resize(c, "group", 1, 0)
	tx.logAs(created, GroupCreated, g.subject(c), nil)
	res, err := tx.changeMembers(ctx, c, g, MemberDelta{Add: members})
	return g, res, err
}

// UpdateGroup changes a group's own attributes by a pure function of what they
// are now, and its members by a delta; change may be nil. The members that the
// delta doesn't name are not read. When nothing changes, nothing is written.
// Write's ErrTaken says that the new displayName is another group's.
func (tx *Tx) UpdateGroup(ctx context.Context, c ConnectionRef, id GroupID, change func(Group) (Group, MemberDelta, error)) (Group, MembersResult, error) {
	var res MembersResult
	if err := tx.own(c); err != nil {
		return Group{}, res, err
	}
	before, err := tx.group(ctx, c, id, tx.pool.dialect.forUpdate)
	if err != nil {
		return Group{}, res, err
	}
	if err := tx.free(before); err != nil {
		return Group{}, res, err
	}
	g, delta, err := change(before)
	if err != nil {
		return Group{}, res, err
	}
	described := string(g.Doc) != string(before.Doc)
	if described {
		if err := g.check(); err != nil {
			return Group{}, res, err
		}
		g.DescribedAt = later(tx.now, before.DescribedAt)
		changeID := tx.log(GroupUpdated, g.subject(c), nil)
		tx.endGroup(c, before, g.DescribedAt, changeID)
	}
	if res, err = tx.changeMembers(ctx, c, g, delta); err != nil {
		return Group{}, res, err
	}
	if !described && !res.Changed() {
		return before, res, nil
	}

	g.Version = before.Version + 1
	g.ModifiedAt = later(tx.now, before.ModifiedAt)
	if !described {
		tx.later(`UPDATE groups SET version = ?, modified_at = ? WHERE tenant_id = ? AND id = ?`, g.Version, g.ModifiedAt, c.Tenant, g.ID)
	} else {
		tx.later(`UPDATE groups SET external_id = ?, display_name = ?, display_name_key = ?, doc = ?, search = ?,
				version = ?, described_at = ?, modified_at = ?
			WHERE tenant_id = ? AND id = ?`,
			g.ExternalID, g.DisplayName, Fold(g.DisplayName), string(g.Doc), string(g.Search),
			g.Version, g.DescribedAt, g.ModifiedAt, c.Tenant, g.ID)
	}
	return g, res, nil
}

// DeleteGroup removes a group for good, with its memberships; the past keeps both.
// Its mappings sleep: see Sleeping.
func (tx *Tx) DeleteGroup(ctx context.Context, c ConnectionRef, id GroupID) error {
	return tx.DeleteGroupIf(ctx, c, id, func(Group) error { return nil })
}

// DeleteGroupIf is DeleteGroup on a condition: an error of allowed, which sees the
// group as it is under the lock, is returned and nothing done.
func (tx *Tx) DeleteGroupIf(ctx context.Context, c ConnectionRef, id GroupID, allowed func(Group) error) error {
	if err := tx.own(c); err != nil {
		return err
	}
	if !validID(string(id)) {
		return fmt.Errorf("group %q: %w", id, ErrNotFound)
	}
	// The groups that it is a member of lose one. They are locked in the order of
	// their ids, as everywhere.
	var locked []GroupID
	err := tx.list(ctx, &locked, `SELECT id FROM groups WHERE tenant_id = ? AND (id = ? OR id IN
			(SELECT group_id FROM subgroups WHERE tenant_id = ? AND member_id = ?))
		ORDER BY id`+tx.pool.dialect.forUpdate, c.Tenant, id, c.Tenant, id)
	if err != nil {
		return err
	}
	g, err := tx.group(ctx, c, id, tx.pool.dialect.forUpdate)
	if err == nil {
		err = tx.free(g)
	}
	if err == nil {
		err = allowed(g)
	}
	if err != nil {
		return err
	}
	return tx.deleteGroup(ctx, c, g, ChangeID(newID()))
}

// deleteGroup does it, as a change of the log.
func (tx *Tx) deleteGroup(ctx context.Context, c ConnectionRef, g Group, change ChangeID) error {
	id := g.ID
	outer, err := tx.touchGroups(ctx, c.Tenant, `SELECT group_id FROM subgroups WHERE tenant_id = ? AND member_id = ?`, id)
	if err != nil {
		return err
	}
	var detail any
	if outer > 0 {
		detail = map[string]int{"groups": outer}
	}
	tx.resize(c, "group", 0, 1)
	tx.logAs(change, GroupDeleted, g.subject(c), detail)
	if err := tx.sleep(ctx, c, g); err != nil {
		return err
	}
	if _, err := tx.endMembers(ctx, change, `tenant_id = ? AND group_id = ?`, c.Tenant, id); err != nil {
		return err
	}
	for _, column := range []string{"group_id", "member_id"} {
		if _, err := tx.endSubgroups(ctx, change, `tenant_id = ? AND `+column+` = ?`, c.Tenant, id); err != nil {
			return err
		}
	}
	tx.endGroup(c, g, later(tx.now, g.DescribedAt), change)
	if _, err := tx.exec(ctx, `DELETE FROM groups WHERE tenant_id = ? AND id = ?`, c.Tenant, id); err != nil {
		return fmt.Errorf("group %s: %w", id, err)
	}
	return nil
}

// touchGroups notes that groups are about to lose a member, and gives how many
// they are. The query selects their ids by the tenant's id and the member's.
func (tx *Tx) touchGroups(ctx context.Context, tenant TenantID, query string, member any) (int, error) {
	return tx.exec(ctx, `UPDATE groups SET version = version + 1, modified_at = CASE WHEN modified_at < ? THEN ? ELSE modified_at END
		WHERE tenant_id = ? AND id IN (`+query+`)`, tx.now, tx.now, tenant, tenant, member)
}

// endGroup keeps what a group's own attributes were until now.
func (tx *Tx) endGroup(c ConnectionRef, g Group, until Instant, change ChangeID) {
	tx.insert(`groups_past (tenant_id, id, version, connection_id, external_id, display_name, doc, valid_from, valid_until, change_id)`,
		c.Tenant, g.ID, g.Version, c.ID, g.ExternalID, g.DisplayName, string(g.Doc), g.DescribedAt, until, change)
}

func (g Group) subject(c ConnectionRef) subject {
	return subject{kind: "group", id: string(g.ID), name: g.DisplayName, connection: c.ID}
}

func (g Group) check() error {
	if len(g.Doc) == 0 || len(g.Search) == 0 {
		return fmt.Errorf("group %q without a document", g.DisplayName)
	}
	return checkKeys(map[string]string{"displayName": Fold(g.DisplayName), "externalId": g.ExternalID})
}
