package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

// A provider that takes away this much within removalWindow has probably lost its
// mind: a filter was emptied, a group was unassigned. It is done as it asked; somebody
// has to look.
const (
	removalWindow = 10 * time.Minute
	// Of a connection's people, more than manyRemoved and more than one in removedShare.
	manyRemoved  = 10
	removedShare = 5
	// Of a group's members, more than half, if there were smallGroup.
	smallGroup = 10
)

// MassRemoval is many people taken away by a provider within a few minutes, who are
// still away.
type MassRemoval struct {
	Connection ConnectionID
	// Group is the mapped group that they were taken out of, "" if they were
	// deactivated or deleted.
	Group access.GroupID
	// At is when the last of them went.
	At Instant
	// People are those who went, by name, and Of how many there were before.
	People []Gone
	Of     int
}

// Gone is somebody who was taken away; Deleted people are not there any more.
type Gone struct {
	ID      UserID
	Name    string
	Deleted bool

	at Instant
}

// MassRemovals looks for people taken away in numbers since a time, by connection and
// of the groups given, which are those that access hangs on. It reads the log since
// then, so it is for people, not for request paths.
func (r reader) MassRemovals(ctx context.Context, tenant TenantID, groups []access.GroupID, since time.Time) ([]MassRemoval, error) {
	left := map[ConnectionID][]Gone{}
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var c ConnectionID
		var one Gone
		err := rows.Scan(&c, &one.ID, &one.Name, &one.Deleted, &one.at)
		left[c] = append(left[c], one)
		return err
	}, `SELECT c.connection_id, c.subject_id, c.subject_name, u.id IS NULL, MAX(c.at) FROM changes c
		LEFT JOIN users u ON u.tenant_id = c.tenant_id AND u.id = c.subject_id
		WHERE c.tenant_id = ? AND c.id >= ? AND c.action IN ('`+UserDeactivated+`', '`+UserDeleted+`') AND c.actor_kind = '`+ActorSCIM+`'
			AND (u.id IS NULL OR NOT u.active)
		GROUP BY 1, 2, 3, 4 ORDER BY 5, 2`, tenant, firstIDAt(since))
	if err != nil {
		return nil, err
	}
	var all []MassRemoval
	for c, gone := range left {
		worst := worstWindow(gone)
		if len(worst) <= manyRemoved {
			continue
		}
		var active int
		err := r.row(ctx, []any{&active}, `SELECT COUNT(*) FROM users WHERE tenant_id = ? AND connection_id = ? AND active`, tenant, c)
		if err != nil {
			return nil, err
		}
		if of := active + len(worst); len(worst)*removedShare > of {
			all = append(all, MassRemoval{Connection: c, At: worst[len(worst)-1].at, People: worst, Of: of})
		}
	}
	emptied, err := r.emptiedGroups(ctx, tenant, groups, since)
	if err != nil {
		return nil, err
	}
	all = append(all, emptied...)
	for i := range all {
		if err := r.nameGone(ctx, tenant, all[i].People); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b MassRemoval) int {
		return cmp.Or(b.At.Compare(a.At.Time), cmp.Compare(a.Connection, b.Connection), cmp.Compare(a.Group, b.Group))
	})
	return all, nil
}

// worstWindow gives the most who went within removalWindow, of some in order of time.
func worstWindow(gone []Gone) (worst []Gone) {
	first := 0
	for i := range gone {
		for gone[i].at.Sub(gone[first].at.Time) > removalWindow {
			first++
		}
		if i+1-first > len(worst) {
			worst = gone[first : i+1]
		}
	}
	return slices.Clone(worst)
}

// emptiedGroups are those of some groups that lost most of their members. A group
// that was deleted has lost them all.
func (r reader) emptiedGroups(ctx context.Context, tenant TenantID, groups []access.GroupID, since time.Time) ([]MassRemoval, error) {
	groups = slices.DeleteFunc(slices.Clone(groups), func(id access.GroupID) bool { return !validID(string(id)) })
	if len(groups) == 0 {
		return nil, nil
	}
	left := map[access.GroupID][]Gone{}
	connection := map[access.GroupID]ConnectionID{}
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var group access.GroupID
		var c ConnectionID
		var one Gone
		err := rows.Scan(&group, &c, &one.ID, &one.at)
		left[group] = append(left[group], one)
		connection[group] = c
		return err
	}, `SELECT p.group_id, c.connection_id, p.user_id, MAX(p.until) FROM members_past p
		JOIN changes c ON c.tenant_id = p.tenant_id AND c.id = p.end_change_id AND c.actor_kind = '`+ActorSCIM+`'
		WHERE p.tenant_id = ? AND p.group_id IN (`+r.pool.dialect.ids+`) AND p.until >= ? AND NOT EXISTS (SELECT 1 FROM members m
			WHERE m.tenant_id = p.tenant_id AND m.group_id = p.group_id AND m.user_id = p.user_id)
		GROUP BY 1, 2, 3 ORDER BY 4, 3`, tenant, r.pool.dialect.idList(texts(groups)), At(since))
	if err != nil {
		return nil, err
	}
	var all []MassRemoval
	for group, gone := range left {
		worst := worstWindow(gone)
		if 2*len(worst) <= smallGroup {
			continue
		}
		var members int
		err := r.row(ctx, []any{&members}, `SELECT COUNT(*) FROM members WHERE tenant_id = ? AND group_id = ?`, tenant, group)
		if err != nil {
			return nil, err
		}
		if of := members + len(worst); of >= smallGroup && 2*len(worst) > of {
			all = append(all, MassRemoval{Connection: connection[group], Group: group, At: worst[len(worst)-1].at, People: worst, Of: of})
		}
	}
	return all, nil
}

// nameGone says who somebody was, by the name now or, of those who were deleted, the
// last one.
func (r reader) nameGone(ctx context.Context, tenant TenantID, gone []Gone) error {
	var ids []access.UserID
	for _, one := range gone {
		ids = append(ids, access.UserID(one.ID))
	}
	names, err := r.Names(ctx, tenant, ids, nil)
	if err != nil {
		return err
	}
	past := map[UserID]string{}
	err = r.each(ctx, func(rows *sqlx.Rows) error {
		var id UserID
		var name string
		err := rows.Scan(&id, &name)
		past[id] = name
		return err
	}, `SELECT id, CASE WHEN display_name = '' THEN user_name ELSE display_name END FROM users_past
		WHERE tenant_id = ? AND id IN (`+r.pool.dialect.ids+`) ORDER BY id, version`, tenant, r.pool.dialect.idList(texts(ids)))
	for i, one := range gone {
		name, there := names[string(one.ID)]
		gone[i].Name, gone[i].Deleted = cmp.Or(name, past[one.ID], one.Name), !there
	}
	slices.SortFunc(gone, func(a, b Gone) int { return cmp.Or(cmp.Compare(Fold(a.Name), Fold(b.Name)), cmp.Compare(a.ID, b.ID)) })
	return err
}
