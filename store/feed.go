package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatehouse/access"
)

// ErrCursor says that a cursor is none of this database's. Begin again without
// one, and take what is there as the new state.
var ErrCursor = errors.New("unknown cursor")

// ChangesSince gives the changes of a tenant behind a cursor, at most limit, and
// the cursor behind them. The empty cursor is before the first. Whoever calls it
// with each cursor that it gives gets every change once, however many write
// meanwhile; the order is that of the database, not that of the clocks.
//
// On PostgreSQL a change is given once all transactions that began before its own
// have ended, so that one left open for long holds the changes back.
func (r reader) ChangesSince(ctx context.Context, tenant TenantID, cursor string, limit int) (changes []Change, next string, err error) {
	if r.pool.dialect == sqliteDialect {
		return r.changesBySeq(ctx, tenant, cursor, limit)
	}
	xid, id, found := strings.Cut(cmp.Or(cursor, "0."+zeroID), ".")
	if _, err := strconv.ParseUint(xid, 10, 63); err != nil || !found || !validID(id) {
		return nil, "", fmt.Errorf("%w %q", ErrCursor, cursor)
	}
	var rows []struct {
		Change
		XID string `db:"xid"`
	}
	err = r.list(ctx, &rows, `SELECT CAST(xid AS text) AS xid, `+changeSelection+` FROM changes
		WHERE tenant_id = ? AND (xid, id) > (CAST(CAST(? AS text) AS xid8), CAST(? AS uuid))
		AND xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY changes.xid, changes.id LIMIT ?`, tenant, xid, id, limit)
	if err != nil {
		return nil, "", err
	}
	next = cursor
	for _, row := range rows {
		changes, next = append(changes, row.Change), row.XID+"."+string(row.ID)
	}
	if len(rows) == 0 && cursor != "" {
		// A database that was restored from a dump counts transactions anew.
		var ahead bool
		err := r.get(ctx, &ahead, `SELECT CAST(CAST(? AS text) AS xid8) >= pg_snapshot_xmax(pg_current_snapshot())`, xid)
		if err != nil || ahead {
			return nil, "", cmp.Or(err, fmt.Errorf("%w %q", ErrCursor, cursor))
		}
	}
	return changes, next, nil
}

// changesBySeq is ChangesSince where one transaction writes at a time. What other
// tenants did is walked over, and not again.
func (r reader) changesBySeq(ctx context.Context, tenant TenantID, cursor string, limit int) ([]Change, string, error) {
	since, err := strconv.ParseInt(cmp.Or(cursor, "0"), 10, 64)
	if err != nil || since < 0 {
		return nil, "", fmt.Errorf("%w %q", ErrCursor, cursor)
	}
	var newest int64
	if err := r.get(ctx, &newest, `SELECT COALESCE(MAX(seq), 0) FROM changes`); err != nil {
		return nil, "", err
	}
	if since > newest {
		return nil, "", fmt.Errorf("%w %q", ErrCursor, cursor)
	}
	var rows []struct {
		Change
		Seq int64 `db:"seq"`
	}
	err = r.list(ctx, &rows, `SELECT seq, `+changeSelection+` FROM changes
		WHERE seq > ? AND seq <= ? AND +tenant_id = ? ORDER BY seq LIMIT ?`, since, newest, tenant, limit)
	if err != nil {
		return nil, "", err
	}
	var changes []Change
	for _, row := range rows {
		changes = append(changes, row.Change)
	}
	if len(rows) == limit {
		newest = rows[limit-1].Seq
	}
	return changes, strconv.FormatInt(newest, 10), nil
}

// Touched names what changes are looked for: exactly one of the three.
type Touched struct {
	User    UserID
	Site    access.SiteID
	Product access.ProductID
}

// ChangesTouching gives the changes between two instants that explain why access
// differs, the newest first, behind one of an earlier page (empty means the first page),
// at most limit: what was done to a person, to her memberships, to her grants and to those of groups that she is or was directly
// in; to a site and the sites above it; or to a product and the grants in it.
func (r reader) ChangesTouching(ctx context.Context, tenant TenantID, what Touched, from, until time.Time, before ChangeID, limit int) ([]Change, error) {
	var of string
	var args []any
	add := func(query string, a ...any) {
		if of != "" {
			of += ` UNION `
		}
		of += query
		args = append(args, a...)
	}
	subjects := func(query string, a ...any) {
		add(`SELECT id FROM changes WHERE tenant_id = ? AND subject_id IN (`+query+`)`, append([]any{tenant}, a...)...)
	}
	switch {
	case what.User != "" && validID(string(what.User)):
		add(`SELECT id FROM changes WHERE tenant_id = ? AND subject_id = ?`, tenant, what.User)
		for _, table := range []string{"grants", "grants_past"} {
			subjects(`SELECT id FROM `+table+` WHERE tenant_id = ? AND user_id = ?`, tenant, what.User)
		}
		for _, table := range []string{"grants", "grants_past"} {
			for _, members := range []string{"members", "members_past"} {
				subjects(`SELECT g.id FROM `+members+` m JOIN `+table+` g ON g.tenant_id = m.tenant_id AND g.group_id = m.group_id
					WHERE m.tenant_id = ? AND m.user_id = ?`, tenant, what.User)
			}
		}
		for _, of := range []string{"change_id FROM members", "change_id FROM members_past", "end_change_id FROM members_past"} {
			add(`SELECT `+of+` WHERE tenant_id = ? AND user_id = ?`, tenant, what.User)
		}
	case what.Site != "" && validID(string(what.Site)):
		subjects(`WITH RECURSIVE above (id, parent_id) AS (
			SELECT id, parent_id FROM sites WHERE tenant_id = ? AND id = ?
			UNION SELECT s.id, s.parent_id FROM above JOIN sites s ON s.tenant_id = ? AND s.id = above.parent_id)
			SELECT id FROM above`, tenant, what.Site, tenant)
	case what.Product != "" && isText(string(what.Product)):
		for table, column := range map[string]string{"products": "key", "grants": "product"} {
			for _, table := range []string{table, table + "_past"} {
				subjects(`SELECT id FROM `+table+` WHERE tenant_id = ? AND `+column+` = ?`, tenant, what.Product)
			}
		}
	default:
		return nil, ErrNotFound
	}
	changes := []Change{}
	before = cmp.Or(before, lastID)
	if !validID(string(before)) {
		return nil, fmt.Errorf("change %q: %w", cut(string(before), 100), ErrNotFound)
	}
	query := `SELECT ` + changeSelection + ` FROM changes WHERE tenant_id = ? AND at >= ? AND at < ? AND id < ` + r.pool.dialect.idParam + ` AND id IN (` + of + `) ORDER BY id DESC LIMIT ?`
	err := r.list(ctx, &changes, query, append(append([]any{tenant, At(from), At(until), before}, args...), limit)...)
	return changes, err
}
