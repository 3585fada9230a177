package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

const grantColumns = `id, user_id, group_id, effect, product, role, permission, level, attribute, value,
	scope, mask, valid_from, valid_until, reason, origin`

func scanGrant(rows *sqlx.Rows) (access.Grant, error) {
	var g access.Grant
	var user, group sql.NullString
	var scope, mask []byte
	var from, until Instant
	err := rows.Scan(&g.ID, &user, &group, &g.Effect, &g.Product, &g.Role, &g.Permission, &g.Level, &g.Attribute, &g.Value,
		&scope, &mask, &from, &until, &g.Reason, &g.Origin)
	if err != nil {
		return g, err
	}
	g.Subject = access.Grantee{User: access.UserID(user.String), Group: access.GroupID(group.String), Everyone: !user.Valid && !group.Valid}
	g.From, g.Until = from.Time, until.Time
	if err = json.Unmarshal(scope, &g.Scope); err == nil {
		err = json.Unmarshal(mask, &g.Mask)
	}
	if err != nil {
		return g, fmt.Errorf("grant %s: %w", g.ID, err)
	}
	return g, nil
}

// asStored is a grant as it will be read back: instants to the millisecond, and
// nothing that the caller could change later.
func asStored(g access.Grant) (stored access.Grant, scope, mask string, err error) {
	stored = g
	stored.From, stored.Until = At(g.From).Time, At(g.Until).Time
	if scope, err = asJSON(g.Scope); err == nil {
		mask, err = asJSON(g.Mask)
	}
	if err != nil {
		return stored, "", "", fmt.Errorf("grant: %w", err)
	}
	stored.Scope, stored.Mask = access.Scope{}, nil
	if err = json.Unmarshal([]byte(scope), &stored.Scope); err == nil {
		err = json.Unmarshal([]byte(mask), &stored.Mask)
	}
	return stored, scope, mask, err
}

// grantSubject is how the log names a grant.
func grantSubject(g access.Grant) subject {
	words := []string{string(g.Effect), string(g.Product), string(g.Role), string(g.Permission), string(g.Level), g.Attribute, g.Value}
	words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
	return subject{kind: "grant", id: string(g.ID), name: strings.Join(words, " ")}
}

// AddGrants grants something to somebody, and gives the grants with the ids that
// they get. ErrInvalid when a grant contradicts itself or names something that
// isn't there; ErrNotFound when its user or group isn't.
//
// In the console only single people can be denied something: were a group denied
// it, an identity provider could take the last owner away by putting her in.
func (tx *Tx) AddGrants(ctx context.Context, grants ...access.Grant) ([]access.Grant, error) {
	edit, err := tx.lockPolicy(ctx)
	if err != nil {
		return nil, err
	}
	added := make([]access.Grant, len(grants))
	rows := make([][]any, len(grants))
	for i, g := range grants {
		g.ID = access.GrantID(newID())
		if added[i], rows[i], err = tx.grantRow(g); err != nil {
			return nil, err
		}
	}
	if err := tx.checkGrantees(ctx, added); err != nil {
		return nil, err
	}
	p, err := edit.withGrants(added)
	if err != nil {
		return nil, err
	}
	for i, g := range added {
		change := tx.changed(p, GrantCreated, grantSubject(g), nil, g)
		tx.insert(`grants (`+grantColumns+`, tenant_id, since, change_id)`, append(rows[i], tx.actor.Tenant, tx.now, change)...)
	}
	return added, nil
}

// grantRow is a grant as it will be read back and the values of grantColumns.
func (tx *Tx) grantRow(g access.Grant) (access.Grant, []any, error) {
	g, scope, mask, err := asStored(g)
	if err != nil {
		return g, nil, err
	}
	err = names(map[string]string{"product": string(g.Product), "role": string(g.Role), "permission": string(g.Permission),
		"level": string(g.Level), "attribute": g.Attribute, "value": g.Value, "reason": g.Reason, "origin": string(g.Origin)})
	if err != nil {
		return g, nil, fmt.Errorf("grant: %w", err)
	}
	if g.Product == access.ConsoleID && g.Effect == access.Deny && g.Subject.User == "" {
		return g, nil, fmt.Errorf("grant: %w: in the console only single people can be denied something", ErrInvalid)
	}
	return g, []any{g.ID, optional(g.Subject.User), optional(g.Subject.Group), g.Effect, g.Product, g.Role, g.Permission, g.Level,
		g.Attribute, g.Value, scope, mask, At(g.From), At(g.Until), g.Reason, g.Origin}, nil
}

// withGrants is the policy with grants added or in place of those of their ids.
func (e *policyEdit) withGrants(grants []access.Grant) (*access.Policy, error) {
	p, err := e.policy.With(grants...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	for _, problem := range p.Problems() {
		if slices.ContainsFunc(grants, func(g access.Grant) bool { return g.ID == problem.Grant }) {
			return nil, fmt.Errorf("grant: %w: %s %s", ErrInvalid, problem.Reason, problem.Name)
		}
	}
	return p, nil
}

// checkGrantees finds grants for nobody. Whoever is granted something in the
// console stays locked, so that she doesn't leave unseen as the new last owner.
func (tx *Tx) checkGrantees(ctx context.Context, grants []access.Grant) error {
	want := map[string]map[string]bool{"users": {}, "groups": {}}
	var console []string
	for _, g := range grants {
		switch {
		case g.Subject.User != "":
			want["users"][string(g.Subject.User)] = true
			if g.Product == access.ConsoleID && validID(string(g.Subject.User)) {
				console = append(console, string(g.Subject.User))
			}
		case g.Subject.Group != "":
			want["groups"][string(g.Subject.Group)] = true
		}
	}
	d := tx.pool.dialect
	for _, table := range []string{"groups", "users"} {
		var ids, found []string
		for id := range want[table] {
			if !validID(id) {
				return fmt.Errorf("grant: one of the %s, %q: %w", table, id, ErrNotFound)
			}
			ids = append(ids, id)
		}
		if len(ids) == 0 {
			continue
		}
		lock, args := "", []any{tx.actor.Tenant, d.idList(ids)}
		if table == "users" && len(console) > 0 {
			lock = d.forUpdate
		}
		err := tx.list(ctx, &found, `SELECT CAST(id AS text) FROM `+table+` WHERE tenant_id = ? AND id IN (`+d.ids+`) ORDER BY id`+lock, args...)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !slices.Contains(found, id) {
				return fmt.Errorf("grant: one of the %s, %s: %w", table, id, ErrNotFound)
			}
		}
	}
	return nil
}

// ChangeGrant changes a grant by a pure function of what it is now, and gives
// what it is then. It stays with whom it is for: see RelinkGrant.
func (tx *Tx) ChangeGrant(ctx context.Context, id access.GrantID, change func(access.Grant) access.Grant) (access.Grant, error) {
	edit, err := tx.lockPolicy(ctx)
	if err != nil {
		return access.Grant{}, err
	}
	before, ok := edit.policy.Grant(id)
	if !ok {
		return before, fmt.Errorf("grant %q: %w", id, ErrNotFound)
	}
	copied, _, _, err := asStored(before) // change may do to it what it likes
	if err != nil {
		return before, err
	}
	after := change(copied)
	if after.ID != id || after.Subject != before.Subject {
		return before, fmt.Errorf("grant %s: %w: it stays with whom it is for", id, ErrInvalid)
	}
	return tx.rewriteGrant(ctx, before, after, GrantChanged)
}

// rewriteGrant puts a grant in place of what it was.
func (tx *Tx) rewriteGrant(ctx context.Context, before, after access.Grant, action string) (access.Grant, error) {
	after, row, err := tx.grantRow(after)
	if err != nil {
		return before, err
	}
	if reflect.DeepEqual(before, after) {
		return before, nil
	}
	p, err := tx.edit.withGrants([]access.Grant{after})
	if err != nil {
		return before, err
	}
	if err := tx.lockForConsole(ctx, after); err != nil {
		return before, err
	}
	changeID := tx.changed(p, action, grantSubject(after), before, after)
	if err := tx.retire(ctx, "grants", grantColumns, "id", after.ID, changeID, false); err != nil {
		return before, fmt.Errorf("grant %s: %w", after.ID, err)
	}
	_, err = tx.exec(ctx, `UPDATE grants SET user_id = ?, group_id = ?, effect = ?, product = ?, role = ?, permission = ?, level = ?,
			attribute = ?, value = ?, scope = ?, mask = ?, valid_from = ?, valid_until = ?, reason = ?, origin = ?, since = ?, change_id = ?
		WHERE tenant_id = ? AND id = ?`, append(row[1:], tx.now, changeID, tx.actor.Tenant, after.ID)...)
	return after, err
}

// lockForConsole keeps somebody whose rights in the console change from leaving
// unseen, if she is still here.
func (tx *Tx) lockForConsole(ctx context.Context, g access.Grant) error {
	if g.Product != access.ConsoleID || g.Subject.User == "" {
		return nil
	}
	var locked []string
	return tx.list(ctx, &locked, `SELECT CAST(id AS text) FROM users WHERE tenant_id = ? AND id = ?`+tx.pool.dialect.forUpdate,
		tx.actor.Tenant, g.Subject.User)
}

// EndGrants takes grants back. What they were stays in the past.
func (tx *Tx) EndGrants(ctx context.Context, ids ...access.GrantID) error {
	edit, err := tx.lockPolicy(ctx)
	if err != nil {
		return err
	}
	var ended []access.Grant
	for _, id := range ids {
		g, ok := edit.policy.Grant(id)
		if !ok {
			return fmt.Errorf("grant %q: %w", id, ErrNotFound)
		}
		ended = append(ended, g)
	}
	p, err := edit.policy.Without(ids...)
	if err != nil {
		return err
	}
	for _, g := range ended {
		change := tx.changed(p, GrantEnded, grantSubject(g), g, nil)
		if err := tx.retire(ctx, "grants", grantColumns, "id", g.ID, change, true); err != nil {
			return fmt.Errorf("grant %s: %w", g.ID, err)
		}
	}
	return nil
}

// A mapping is bound to the id of its group. When the group is deleted it sleeps:
// it is there and gives nobody anything. Nothing wakes it but RelinkGrant.

// Relink is a sleeping mapping, with what its group was and a group of the same
// connection that it could be linked to.
type Relink struct {
	Grant access.GrantID
	// Group is the one that was deleted.
	Group        access.GroupID
	Name         string
	ExternalID   string
	ConnectionID ConnectionID
	// Candidate has the same externalId, or the same name without regard to case;
	// empty if there is none.
	Candidate access.GroupID
	// By is externalId or displayName.
	By string
}

// Sleeping gives the mappings of a tenant whose group was deleted, in the order
// of their ids. Those with a candidate are offered for linking anew.
func (r reader) Sleeping(ctx context.Context, tenant TenantID) ([]Relink, error) {
	var asleep []Relink
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var l Relink
		err := rows.Scan(&l.Grant, &l.Group, &l.Name, &l.ExternalID, &l.ConnectionID)
		asleep = append(asleep, l)
		return err
	}, `SELECT g.id, p.id, p.display_name, p.external_id, p.connection_id FROM grants g
		JOIN groups_past p ON p.tenant_id = g.tenant_id AND p.id = g.group_id
		WHERE g.tenant_id = ? AND g.group_id IS NOT NULL
		AND NOT EXISTS (SELECT 1 FROM groups o WHERE o.tenant_id = g.tenant_id AND o.id = g.group_id)
		AND NOT EXISTS (SELECT 1 FROM groups_past q WHERE q.tenant_id = p.tenant_id AND q.id = p.id AND q.version > p.version)
		ORDER BY g.id`, tenant)
	if err != nil {
		return nil, err
	}
	for i := range asleep {
		l := &asleep[i]
		var found []struct {
			ID         access.GroupID `db:"id"`
			ExternalID string         `db:"external_id"`
		}
		err := r.list(ctx, &found, `SELECT id, external_id FROM groups WHERE tenant_id = ? AND connection_id = ?
				AND (external_id = ? AND external_id <> '' OR display_name_key = ?) ORDER BY id`,
			tenant, l.ConnectionID, l.ExternalID, Fold(l.Name))
		if err != nil {
			return nil, err
		}
		for _, g := range found {
			if by := g.ExternalID == l.ExternalID && l.ExternalID != ""; by || l.By == "" {
				l.Candidate, l.By = g.ID, "displayName"
				if by {
					l.By = "externalId"
				}
			}
		}
	}
	return asleep, nil
}

// RelinkGrant binds a sleeping mapping to another group of the connection that its
// group was in. ErrInUse when it isn't asleep.
func (tx *Tx) RelinkGrant(ctx context.Context, id access.GrantID, group access.GroupID) (access.Grant, error) {
	edit, err := tx.lockPolicy(ctx)
	if err != nil {
		return access.Grant{}, err
	}
	before, ok := edit.policy.Grant(id)
	if !ok {
		return before, fmt.Errorf("grant %q: %w", id, ErrNotFound)
	}
	asleep, err := tx.Sleeping(ctx, tx.actor.Tenant)
	if err != nil {
		return before, err
	}
	i := slices.IndexFunc(asleep, func(l Relink) bool { return l.Grant == id })
	if i < 0 {
		return before, fmt.Errorf("grant %s: %w: it doesn't sleep", id, ErrInUse)
	}
	if _, err := tx.Group(ctx, ConnectionRef{Tenant: tx.actor.Tenant, ID: asleep[i].ConnectionID}, GroupID(group)); err != nil {
		return before, err
	}
	after := before
	after.Subject = access.Grantee{Group: group}
	return tx.rewriteGrant(ctx, before, after, GrantRelinked)
}

// sleep logs which mappings a group's deletion puts to sleep. They stay as they
// are.
func (tx *Tx) sleep(ctx context.Context, c ConnectionRef, g Group) error {
	var grants []access.Grant
	err := tx.each(ctx, func(rows *sqlx.Rows) error {
		grant, err := scanGrant(rows)
		grants = append(grants, grant)
		return err
	}, `SELECT `+grantColumns+` FROM grants WHERE tenant_id = ? AND group_id = ? ORDER BY id`, c.Tenant, g.ID)
	for _, grant := range grants {
		s := grantSubject(grant)
		s.connection = c.ID
		tx.log(GrantSleeping, s, map[string]string{"group": string(g.ID), "displayName": g.DisplayName, "externalId": g.ExternalID})
	}
	return err
}
