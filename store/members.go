package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jmoiron/sqlx"
)

// MemberID is the id of a user or of a group: what a provider names a member by
// (RFC 7643 §4.2). Which of the two it is only the directory knows.
type MemberID string

// MemberDelta says how a group's members change: to exactly Add when Replace is
// set, otherwise by adding Add and removing Remove, which have no id in common.
type MemberDelta struct {
	Replace bool
	Add     []MemberID
	Remove  []MemberID
}

// MembersResult is what became of a MemberDelta.
type MembersResult struct {
	Added   int
	Removed int
	// Unknown are the ids to add that name nobody and no group of the connection:
	// skipped, since a refusal would make providers repeat the whole request for
	// ever.
	Unknown []MemberID
}

// Changed reports whether the group's members are others than before.
func (r MembersResult) Changed() bool { return r.Added+r.Removed > 0 }

// changeMembers applies a delta to a group that the transaction has locked.
func (tx *Tx) changeMembers(ctx context.Context, c ConnectionRef, g Group, delta MemberDelta) (MembersResult, error) {
	var res MembersResult
	if !delta.Replace && len(delta.Add)+len(delta.Remove) == 0 {
		return res, nil
	}
	d := tx.pool.dialect
	changeID := ChangeID(newID())
	add, unknown := splitIDs(delta.Add)
	remove, _ := splitIDs(delta.Remove)
	var err error

	switch {
	case delta.Replace:
		var users, groups int
		users, add, err = tx.endOthers(ctx, "members", "user_id", changeID, c.Tenant, g.ID, add)
		if err == nil {
			groups, add, err = tx.endOthers(ctx, "subgroups", "member_id", changeID, c.Tenant, g.ID, add)
		}
		res.Removed = users + groups
	case len(remove) > 0:
		if res.Removed, err = tx.endPicked(ctx, "members", "user_id", changeID, c.Tenant, g.ID, remove); err != nil || res.Removed == len(remove) {
			break
		}
		var groups int
		groups, err = tx.endPicked(ctx, "subgroups", "member_id", changeID, c.Tenant, g.ID, remove)
		res.Removed += groups
	}
	if err != nil {
		return res, fmt.Errorf("members of group %s: %w", g.ID, err)
	}

	if len(add) > 0 {
		if res.Added, err = tx.addUsers(ctx, c, g.ID, changeID, add); err != nil {
			return res, fmt.Errorf("members of group %s: %w", g.ID, err)
		}
	}
	if res.Added < len(add) {
		var missing []string
		err := tx.list(ctx, &missing, `SELECT CAST(w.id AS text) FROM (`+d.idRows+`) w
			WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = ? AND u.connection_id = ? AND u.id = w.id)`,
			d.idList(add), c.Tenant, c.ID)
		if err != nil {
			return res, err
		}
		if len(missing) > 0 {
			var groups int
			if groups, missing, err = tx.addSubgroups(ctx, c, g, missing, changeID); err != nil {
				return res, err
			}
			res.Added += groups
		}
		for _, id := range missing {
			unknown = append(unknown, MemberID(id))
		}
	}
	res.Unknown = unknown
	if delta.Replace && res.Removed > 0 && len(delta.Add) > 0 && len(unknown) == len(delta.Add) {
		return res, fmt.Errorf("members of group %s: %w", g.ID, ErrUnknownMembers)
	}
	if res.Changed() {
		detail := membersDetail{Added: res.Added, Removed: res.Removed}
		if !delta.Replace && len(add)+len(remove) <= maxNamed {
			detail.Named = slices.Concat(add, remove)
		}
		tx.logAs(changeID, MembersChanged, g.subject(c), detail)
	}
	return res, nil
}

// addUsers makes those of ids that name users of the connection members of a group.
func (tx *Tx) addUsers(ctx context.Context, c ConnectionRef, g GroupID, change ChangeID, ids []string) (int, error) {
	d := tx.pool.dialect
	return tx.byParts(ids, func(part []string) (int, error) {
		return tx.exec(ctx, `INSERT INTO members (tenant_id, group_id, user_id, since, change_id)
			SELECT u.tenant_id, ?, u.id, ?, ? FROM (`+d.idRows+`) w `+d.each("users", "u.tenant_id = ? AND u.id = w.id AND u.connection_id = ?")+`
			ON CONFLICT DO NOTHING`, g, tx.now, change, d.idList(part), c.Tenant, c.ID)
	})
}

// byParts does with many members what it does with few, and rests in between, so that
// the disk gets to what others commit. It does so on PostgreSQL: on SQLite everybody
// would wait for a transaction that rests, and large changes are made in steps.
func (tx *Tx) byParts(ids []string, do func(part []string) (int, error)) (n int, err error) {
	if tx.pool.dialect.name == "sqlite" {
		return do(ids)
	}
	for begin := 0; begin < len(ids); begin += partMembers {
		if begin > 0 {
			time.Sleep(partRest)
		}
		done, err := do(ids[begin:min(begin+partMembers, len(ids))])
		n += done
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// A part of a change on PostgreSQL is partMembers members, and partRest lies between two.
const (
	partMembers = 1000
	partRest    = 2 * time.Millisecond
)

// membersDetail is what the log says of a change of members.
type membersDetail struct {
	Added   int `json:"added"`
	Removed int `json:"removed"`
	// Named are the ids of a small change, so that whoever follows the log knows
	// whom it can concern without looking through the group.
	Named []string `json:"named,omitempty"`
}

// maxNamed is how many members the log names, a handful more than providers send
// at a time.
const maxNamed = 50

// endMembers moves the memberships of users that fulfil a condition to the past.
func (tx *Tx) endMembers(ctx context.Context, change ChangeID, where string, args ...any) (int, error) {
	return tx.end(ctx, "members", "user_id", change, where, args...)
}

// endSubgroups does the same for the memberships of groups.
func (tx *Tx) endSubgroups(ctx context.Context, change ChangeID, where string, args ...any) (int, error) {
	return tx.end(ctx, "subgroups", "member_id", change, where, args...)
}

// endOthers ends the memberships of a group but for some, and gives those of keep
// that are no members yet. The difference of the two lists is made here: on fresh
// tables PostgreSQL compares each with each.
func (tx *Tx) endOthers(ctx context.Context, table, member string, change ChangeID, tenant TenantID, group GroupID, keep []string) (ended int, missing []string, err error) {
	var have []string
	err = tx.eachOf(ctx, table, member, tenant, string(group), func(id string) error {
		have = append(have, id)
		return nil
	})
	if err != nil || len(have) == 0 {
		return 0, keep, err
	}
	wanted := make(map[string]bool, len(keep))
	for _, id := range keep {
		wanted[id] = true
	}
	gone := have[:0]
	for _, id := range have {
		if !wanted[id] {
			gone = append(gone, id)
		}
		delete(wanted, id)
	}
	missing = slices.DeleteFunc(keep, func(id string) bool { return !wanted[id] })
	if len(gone) > 0 {
		ended, err = tx.endPicked(ctx, table, member, change, tenant, group, gone)
	}
	return ended, missing, err
}

// endPicked ends some memberships of a group.
func (tx *Tx) endPicked(ctx context.Context, table, member string, change ChangeID, tenant TenantID, group GroupID, ids []string) (int, error) {
	d := tx.pool.dialect
	if d.name == "sqlite" {
		return tx.end(ctx, table, member, change, `tenant_id = ? AND group_id = ? AND `+member+` IN (`+d.ids+`)`, tenant, group, d.idList(ids))
	}
	return tx.byParts(ids, func(part []string) (int, error) {
		return tx.end(ctx, table, member, change, `ctid = ANY (ARRAY (SELECT u.ctid FROM (`+d.idRows+`) w `+
			d.each(table, "u.tenant_id = ? AND u.group_id = ? AND u."+member+" = w.id")+`))`, d.idList(part), tenant, group)
	})
}

func (tx *Tx) end(ctx context.Context, table, member string, change ChangeID, where string, args ...any) (int, error) {
	into := `INSERT INTO ` + table + `_past (tenant_id, group_id, ` + member + `, since, until, change_id, end_change_id)
		SELECT tenant_id, group_id, ` + member + `, since, `
	if tx.pool.dialect.name == "postgres" {
		// One statement, so that two transactions can't both end a membership.
		return tx.exec(ctx, `WITH ended AS (DELETE FROM `+table+` WHERE `+where+` RETURNING *) `+
			into+`GREATEST(since, CAST(? AS bigint)), change_id, CAST(? AS uuid) FROM ended`, append(args, tx.now, change)...)
	}
	n, err := tx.exec(ctx, into+`MAX(since, ?), change_id, ? FROM `+table+` WHERE `+where, append([]any{tx.now, change}, args...)...)
	if err != nil || n == 0 {
		return n, err
	}
	return tx.exec(ctx, `DELETE FROM `+table+` WHERE `+where, args...)
}

// splitIDs parts ids that can exist from those that can't.
func splitIDs(ids []MemberID) (valid []string, invalid []MemberID) {
	valid = make([]string, 0, len(ids))
	for _, id := range ids {
		if lower := lowerASCII(string(id)); validID(lower) {
			valid = append(valid, lower)
		} else {
			invalid = append(invalid, id)
		}
	}
	return valid, invalid
}

// memberPage is how many memberships EachMember reads at a time: the LIMIT of its
// queries, written out since SQLite plans a query with LIMIT ? anew each time.
const memberPage = 10_000

// EachMember calls f with every user's membership of some groups, in the order of the
// groups' ids and then of the users', without holding them all. No connection to
// the database is held while f runs: f may write to a slow client.
func (r reader) EachMember(ctx context.Context, c ConnectionRef, groups []GroupID, f func(GroupID, UserID) error) error {
	var ids []string
	for _, g := range groups {
		if validID(string(g)) {
			ids = append(ids, string(g))
		}
	}
	d := r.pool.dialect
	var own []string
	err := r.list(ctx, &own, `SELECT CAST(id AS text) FROM groups
		WHERE tenant_id = ? AND connection_id = ? AND id IN (`+d.ids+`) ORDER BY id`, c.Tenant, c.ID, d.idList(ids))
	if err != nil {
		return err
	}
	if len(own) == 1 {
		return r.eachOf(ctx, "members", "user_id", c.Tenant, own[0], func(user string) error { return f(GroupID(own[0]), UserID(user)) })
	}
	type membership struct{ group, user string }
	last := membership{zeroID, zeroID}
	for {
		var page []membership
		err := r.each(ctx, func(rows *sqlx.Rows) error {
			var m membership
			err := rows.Scan(&m.group, &m.user)
			page = append(page, m)
			return err
		}, `SELECT group_id, user_id FROM members WHERE tenant_id = ? AND group_id IN (`+d.ids+`)
			AND (group_id, user_id) > (?, ?) ORDER BY group_id, user_id LIMIT 10000`, c.Tenant, d.idList(own), last.group, last.user)
		if err != nil {
			return err
		}
		for _, m := range page {
			if err := f(GroupID(m.group), UserID(m.user)); err != nil {
				return err
			}
		}
		if len(page) < memberPage {
			return nil
		}
		last = page[len(page)-1]
	}
}

// eachOf gives the members of one group in a table, which may be many, in the order of their
// ids. The ids of a page come as one value: a row for each takes longer, and leaves much
// more garbage.
func (r reader) eachOf(ctx context.Context, table, member string, tenant TenantID, group string, f func(id string) error) error {
	d := r.pool.dialect
	query := `SELECT COUNT(*), ` + d.packed("id") + ` FROM (SELECT ` + member + ` AS id FROM ` + table + `
		WHERE tenant_id = ? AND group_id = ? AND ` + member + ` > ? ORDER BY ` + member + ` LIMIT ` + strconv.Itoa(d.packedPage()) + `) m`
	var n int
	var page []byte
	for last := zeroID; ; {
		err := r.each(ctx, func(rows *sqlx.Rows) error {
			var packed sql.RawBytes
			err := rows.Scan(&n, &packed)
			page = append(page[:0], packed...)
			return err
		}, query, tenant, group, last)
		if err != nil {
			return err
		}
		if len(page) != n*d.packedSize {
			return fmt.Errorf("members of group %s behind %s: %d bytes for %d ids", group, last, len(page), n)
		}
		for at := 0; at < len(page); at += d.packedSize {
			next := d.unpacked(page[at : at+d.packedSize])
			if next <= last {
				return fmt.Errorf("members of group %s: %s comes after %s", group, next, last)
			}
			last = next
			if err := f(last); err != nil {
				return err
			}
		}
		if n < d.packedPage() {
			return nil
		}
	}
}

// zeroID is smaller than every id.
const zeroID = "00000000-0000-0000-0000-000000000000"
