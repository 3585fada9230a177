package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/base64"
	"fmt"
	"slices"

	"modernc.org/sqlite"
)

// Groups can be members of groups (RFC 7643 §4.2). Whoever is in the inner one is
// in the outer one as well, indirectly.

// addSubgroups makes those of ids that name groups of the connection members of a
// group that the transaction has locked, and gives the others back. ErrCycle when
// the group would be within itself.
func (tx *Tx) addSubgroups(ctx context.Context, c ConnectionRef, g Group, ids []string, change ChangeID) (added int, rest []string, err error) {
	d := tx.pool.dialect
	var found []string
	err = tx.list(ctx, &found, `SELECT CAST(id AS text) FROM groups WHERE tenant_id = ? AND connection_id = ? AND id IN (`+d.ids+`)`,
		c.Tenant, c.ID, d.idList(ids))
	if err != nil || len(found) == 0 {
		return 0, ids, err
	}
	// Two transactions that each add one half of a cycle must not miss each other.
	var lock string
	err = tx.get(ctx, &lock, `SELECT name FROM connections WHERE tenant_id = ? AND id = ?`+d.forUpdate, c.Tenant, c.ID)
	if err != nil {
		return 0, nil, err
	}
	var cycles int
	err = tx.get(ctx, &cycles, `WITH RECURSIVE within (id) AS (
			SELECT id FROM groups WHERE tenant_id = ? AND id IN (`+d.ids+`)
			UNION SELECT s.member_id FROM within JOIN subgroups s ON s.tenant_id = ? AND s.group_id = within.id)
		SELECT COUNT(*) FROM within WHERE id = ?`, c.Tenant, d.idList(found), c.Tenant, g.ID)
	if err != nil {
		return 0, nil, err
	}
	if cycles > 0 {
		return 0, nil, fmt.Errorf("members of group %s: %w", g.ID, ErrCycle)
	}
	added, err = tx.exec(ctx, `INSERT INTO subgroups (tenant_id, group_id, member_id, since, change_id)
		SELECT tenant_id, ?, id, ?, ? FROM groups WHERE tenant_id = ? AND id IN (`+d.ids+`)
		ON CONFLICT DO NOTHING`, g.ID, tx.now, change, c.Tenant, d.idList(found))
	if err != nil {
		return 0, nil, err
	}
	_, err = tx.exec(ctx, `UPDATE groups SET within = 1 WHERE tenant_id = ? AND within = 0 AND id IN (`+d.ids+`)`, c.Tenant, d.idList(found))
	rest = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return slices.Contains(found, id) })
	return added, rest, err
}

// Subgroups gives the groups that are members of some groups, in the order of
// their ids.
func (r reader) Subgroups(ctx context.Context, c ConnectionRef, groups []GroupID) (map[GroupID][]GroupID, error) {
	var ids []string
	for _, g := range groups {
		if validID(string(g)) {
			ids = append(ids, string(g))
		}
	}
	var rows []struct {
		Group  GroupID `db:"group_id"`
		Member GroupID `db:"member_id"`
	}
	err := r.list(ctx, &rows, `SELECT s.group_id, s.member_id FROM subgroups s
			JOIN groups g ON g.tenant_id = s.tenant_id AND g.id = s.group_id
		WHERE s.tenant_id = ? AND g.connection_id = ? AND s.group_id IN (`+r.pool.dialect.ids+`) ORDER BY s.group_id, s.member_id`,
		c.Tenant, c.ID, r.pool.dialect.idList(ids))
	members := map[GroupID][]GroupID{}
	for _, row := range rows {
		members[row.Group] = append(members[row.Group], row.Member)
	}
	return members, err
}

// addIndirect adds to the Groups of users, as they were read, those that they are
// in through other groups only. Most are in none, and their Groups say so.
func (r reader) addIndirect(ctx context.Context, c ConnectionRef, users ...*User) error {
	users = slices.DeleteFunc(users, func(u *User) bool {
		groups, more := bytes.CutPrefix(u.Groups, []byte("+"))
		u.Groups = groups
		return !more
	})
	if len(users) == 0 {
		return nil
	}
	d := r.pool.dialect
	ids, byID := make([]string, len(users)), map[UserID]*User{}
	for i, u := range users {
		ids[i], byID[u.ID] = string(u.ID), u
	}
	var rows []struct {
		ID     UserID `db:"id"`
		Groups []byte `db:"groups"`
	}
	err := r.list(ctx, &rows, `SELECT u.id, `+d.allGroupsOfUser()+` AS groups FROM users u
		WHERE u.tenant_id = ? AND u.id IN (`+d.ids+`)`, c.Tenant, d.idList(ids))
	for _, row := range rows {
		byID[row.ID].Groups = row.Groups
	}
	return err
}

// allGroupsOfUser is groupsOfUser with those that u is in through other groups only,
// behind the others. The LIMIT has the databases work the first out once.
func (d *dialect) allGroupsOfUser() string {
	return `(SELECT CASE WHEN substr(direct, 1, 1) <> '+' THEN direct ELSE substr(direct, 2, length(direct) - 2) || COALESCE(',' || (
			WITH RECURSIVE outer_groups (group_id) AS (
				SELECT s.group_id FROM members m JOIN subgroups s ON s.tenant_id = m.tenant_id AND s.member_id = m.group_id
				WHERE m.tenant_id = u.tenant_id AND m.user_id = u.id
				UNION SELECT s.group_id FROM outer_groups o JOIN subgroups s ON s.tenant_id = u.tenant_id AND s.member_id = o.group_id)
			` + d.joined(`SELECT `+d.indirectGroup+` AS e FROM outer_groups o JOIN groups g ON g.tenant_id = u.tenant_id AND g.id = o.group_id
				WHERE NOT EXISTS (SELECT 1 FROM members m WHERE m.tenant_id = g.tenant_id AND m.group_id = g.id AND m.user_id = u.id)
				ORDER BY g.id`) + `), '') || ']' END
		FROM (SELECT ` + d.groupsOfUser + ` AS direct LIMIT 1) list)`
}

// Digest tells the Groups of users apart: eight letters of base64url.
func Digest(groups []byte) (letters [8]byte) {
	sum := sha256.Sum256(groups)
	base64.RawURLEncoding.Encode(letters[:], sum[:6])
	return letters
}

// SQLite has no digests.
func init() {
	sqlite.MustRegisterDeterministicScalarFunction("gatehouse_digest", 1, func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
		text, _ := args[0].(string)
		letters := Digest([]byte(text))
		return string(letters[:]), nil
	})
}
