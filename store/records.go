package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

// A record is what a page about one person or one group shows: as it is, or as it
// was at an instant. Who was deleted is still recorded.

// PersonRecord is a user with what we say of her.
type PersonRecord struct {
	ID          UserID       `db:"id"`
	Connection  ConnectionID `db:"connection_id"`
	UserName    string       `db:"user_name"`
	DisplayName string       `db:"display_name"`
	ExternalID  string       `db:"external_id"`
	Active      bool         `db:"active"`
	// Doc is the JSON object of what the provider says.
	Doc []byte `db:"doc"`
	// ModifiedAt is since when the provider says so; DeletedAt is zero for whoever
	// is there.
	ModifiedAt Instant `db:"modified_at"`
	DeletedAt  Instant `db:"deleted_at"`
	Said       Person  `db:"-"`
}

// PersonRecord gives a user as she is, or as she was when she was deleted.
// ErrNotFound when the tenant never had her.
func (r reader) PersonRecord(ctx context.Context, tenant TenantID, id UserID) (PersonRecord, error) {
	return r.personRecord(ctx, tenant, id, moment{})
}

// PersonRecordAt gives a user as she was at an instant. ErrNotFound when she wasn't
// there then.
func (r reader) PersonRecordAt(ctx context.Context, tenant TenantID, id UserID, at time.Time) (PersonRecord, error) {
	return r.personRecord(ctx, tenant, id, then(at))
}

func (r reader) personRecord(ctx context.Context, tenant TenantID, id UserID, m moment) (p PersonRecord, err error) {
	if !validID(string(id)) {
		return p, fmt.Errorf("user %q: %w", id, ErrNotFound)
	}
	err = r.agree(ctx, func(r reader) error {
		err := r.record(ctx, &p, tenant, string(id), m, "users", "modified_at", "user_name, display_name, external_id, active, doc")
		if err != nil {
			return err
		}
		if !p.DeletedAt.IsZero() {
			m = moment{past: true, at: At(p.DeletedAt.Add(-time.Millisecond))}
		}
		p.Said = Person{LoginAllowed: true, Kind: access.KindEmployee}
		query, args := m.versions("people", "since", "login_allowed, kind, expires_at, sponsor_id", ` AND user_id = ?`, tenant, id)
		return r.each(ctx, func(rows *sqlx.Rows) error {
			var expires Instant
			var sponsor sql.NullString
			err := rows.Scan(&p.Said.LoginAllowed, &p.Said.Kind, &expires, &sponsor)
			p.Said.ExpiresAt, p.Said.Sponsor = expires.Time, UserID(sponsor.String)
			return err
		}, query, args...)
	})
	if err != nil {
		return p, fmt.Errorf("user %s: %w", id, err)
	}
	return p, nil
}

// GroupRecord is a group without its members.
type GroupRecord struct {
	ID          GroupID      `db:"id"`
	Connection  ConnectionID `db:"connection_id"`
	DisplayName string       `db:"display_name"`
	ExternalID  string       `db:"external_id"`
	// ModifiedAt is since when the provider calls it so; DeletedAt is zero for one
	// that is there.
	ModifiedAt Instant `db:"modified_at"`
	DeletedAt  Instant `db:"deleted_at"`
}

// GroupRecord gives a group as it is, or as it was when it was deleted. ErrNotFound
// when the tenant never had it.
func (r reader) GroupRecord(ctx context.Context, tenant TenantID, id GroupID) (GroupRecord, error) {
	return r.groupRecord(ctx, tenant, id, moment{})
}

// GroupRecordAt gives a group as it was at an instant. ErrNotFound when it wasn't
// there then.
func (r reader) GroupRecordAt(ctx context.Context, tenant TenantID, id GroupID, at time.Time) (GroupRecord, error) {
	return r.groupRecord(ctx, tenant, id, then(at))
}

func (r reader) groupRecord(ctx context.Context, tenant TenantID, id GroupID, m moment) (g GroupRecord, err error) {
	err = ErrNotFound
	if validID(string(id)) {
		err = r.record(ctx, &g, tenant, string(id), m, "groups", "described_at", "display_name, external_id")
	}
	if err != nil {
		return g, fmt.Errorf("group %q: %w", id, err)
	}
	return g, nil
}

// record reads one row of users or groups with its version's beginning, and when it
// was deleted if it is the last that there was.
func (r reader) record(ctx context.Context, dst any, tenant TenantID, id string, m moment, table, from, columns string) error {
	columns = `id, connection_id, ` + columns
	if m.past {
		return r.get(ctx, dst, `SELECT `+columns+`, `+from+` AS modified_at, 0 AS deleted_at FROM `+table+` WHERE tenant_id = ? AND id = ? AND `+from+` <= ?
			UNION ALL SELECT `+columns+`, valid_from, 0 FROM `+table+`_past WHERE tenant_id = ? AND id = ? AND valid_from <= ? AND valid_until > ?`,
			tenant, id, m.at, tenant, id, m.at, m.at)
	}
	err := r.get(ctx, dst, `SELECT `+columns+`, `+from+` AS modified_at, 0 AS deleted_at FROM `+table+` WHERE tenant_id = ? AND id = ?`, tenant, id)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	return r.get(ctx, dst, `SELECT `+columns+`, valid_from AS modified_at, valid_until AS deleted_at FROM `+table+`_past
		WHERE tenant_id = ? AND id = ? ORDER BY version DESC LIMIT 1`, tenant, id)
}

// FactsOf gives one person with all groups that there were at an instant: enough to
// compare her with herself. ErrNotFound when she wasn't there.
func (r reader) FactsOf(ctx context.Context, tenant TenantID, user UserID, at time.Time) (access.Facts, error) {
	if !validID(string(user)) {
		return access.Facts{}, fmt.Errorf("user %q: %w", user, ErrNotFound)
	}
	f, err := r.facts(ctx, tenant, then(at), user)
	if err == nil && len(f.People) == 0 {
		err = fmt.Errorf("user %s at %s: %w", user, at, ErrNotFound)
	}
	return f, err
}

// GroupsAt gives the groups that a tenant had at an instant, each with those that it
// was in.
func (r reader) GroupsAt(ctx context.Context, tenant TenantID, at time.Time) (groups map[access.GroupID]access.Group, err error) {
	f := access.Facts{Groups: map[access.GroupID]access.Group{}}
	err = r.agree(ctx, func(r reader) error {
		if err := r.factGroups(ctx, f, tenant, then(at), ""); err != nil {
			return err
		}
		return r.factSubgroups(ctx, f, tenant, then(at), "")
	})
	return f.Groups, err
}

// Membership is a time that somebody spent in a group.
type Membership struct {
	Group GroupID `db:"group_id"`
	// Name and Connection are the group's, the last that it had.
	Name       string       `db:"name"`
	Connection ConnectionID `db:"connection_id"`
	Since      Instant      `db:"since"`
	Until      Instant      `db:"until"` // zero as long as it lasts
	// Change is what began it, EndChange what ended it.
	Change    ChangeID `db:"change_id"`
	EndChange ChangeID `db:"end_change_id"`
}

// lastOf is a column of the group h.group_id, as it is or was last.
func lastOf(column string) string {
	return `COALESCE((SELECT CAST(g.` + column + ` AS text) FROM groups g WHERE g.tenant_id = h.tenant_id AND g.id = h.group_id),
		(SELECT CAST(p.` + column + ` AS text) FROM groups_past p WHERE p.tenant_id = h.tenant_id AND p.id = h.group_id ORDER BY p.version DESC LIMIT 1), '')`
}

// Memberships gives the groups that a user is or was directly in: first those that
// last, then the newest, at most limit.
func (r reader) Memberships(ctx context.Context, tenant TenantID, user UserID, limit int) ([]Membership, error) {
	all := []Membership{}
	if !validID(string(user)) {
		return all, nil
	}
	err := r.list(ctx, &all, membershipsQuery, tenant, user, tenant, user, limit)
	return all, err
}

var membershipsQuery = `SELECT h.group_id, ` + lastOf("display_name") + ` AS name, ` + lastOf("connection_id") + ` AS connection_id,
		h.since, h.until, h.change_id, h.end_change_id
	FROM (SELECT tenant_id, group_id, since, 0 AS until, change_id, '' AS end_change_id FROM members WHERE tenant_id = ? AND user_id = ?
		UNION ALL SELECT tenant_id, group_id, since, until, change_id, CAST(end_change_id AS text) FROM members_past WHERE tenant_id = ? AND user_id = ?) h
	ORDER BY CASE h.until WHEN 0 THEN 0 ELSE 1 END, h.since DESC, h.group_id, h.until DESC LIMIT ?`

// Nested is a group within another.
type Nested struct {
	ID    GroupID `db:"id"`
	Name  string  `db:"name"`
	Since Instant `db:"since"`
}

// Nesting gives the groups that are directly in a group, and those that it is in,
// by name.
func (r reader) Nesting(ctx context.Context, tenant TenantID, group GroupID) (inner, outer []Nested, err error) {
	return r.nesting(ctx, tenant, group, moment{})
}

// NestingAt is Nesting at an instant.
func (r reader) NestingAt(ctx context.Context, tenant TenantID, group GroupID, at time.Time) (inner, outer []Nested, err error) {
	return r.nesting(ctx, tenant, group, then(at))
}

func (r reader) nesting(ctx context.Context, tenant TenantID, group GroupID, m moment) (inner, outer []Nested, err error) {
	if !validID(string(group)) {
		return nil, nil, nil
	}
	for _, side := range []struct {
		to            *[]Nested
		where, column string
	}{{&inner, "group_id", "member_id"}, {&outer, "member_id", "group_id"}} {
		query, args := m.versions("subgroups", "since", "tenant_id, "+side.column+" AS group_id, since", ` AND `+side.where+` = ?`, tenant, group)
		err := r.list(ctx, side.to, `SELECT h.group_id AS id, `+lastOf("display_name")+` AS name, h.since FROM (`+query+`) h ORDER BY 2, 1`, args...)
		if err != nil {
			return nil, nil, err
		}
	}
	return inner, outer, nil
}

// MemberSince is somebody directly in a group.
type MemberSince struct {
	ID          UserID  `db:"id"`
	UserName    string  `db:"user_name"`
	DisplayName string  `db:"display_name"`
	Since       Instant `db:"since"`
}

// MembersSince gives since when some users are directly in a group; those who aren't
// are missing.
func (r reader) MembersSince(ctx context.Context, tenant TenantID, group GroupID, users []UserID) (map[UserID]Instant, error) {
	since := map[UserID]Instant{}
	users = slices.DeleteFunc(slices.Clone(users), func(id UserID) bool { return !validID(string(id)) })
	if !validID(string(group)) || len(users) == 0 {
		return since, nil
	}
	d := r.pool.dialect
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var id UserID
		var at Instant
		err := rows.Scan(&id, &at)
		since[id] = at
		return err
	}, `SELECT user_id, since FROM members WHERE tenant_id = ? AND group_id = ? AND user_id IN (`+d.ids+`)`, tenant, group, d.idList(texts(users)))
	return since, err
}

// MembersAt gives who was directly in a group at an instant, under the names of
// then: those behind an id, in the order of ids, at most limit.
func (r reader) MembersAt(ctx context.Context, tenant TenantID, group GroupID, at time.Time, after UserID, limit int) ([]MemberSince, error) {
	all := []MemberSince{}
	if after == "" {
		after = zeroID
	}
	if !validID(string(group)) || !validID(string(after)) {
		return all, nil
	}
	m := then(at)
	query, args := m.versions("members", "since", "tenant_id, user_id AS id, since", ` AND group_id = ? AND user_id > ?`, tenant, group, after)
	name := func(column string) string {
		return `COALESCE((SELECT u.` + column + ` FROM users u WHERE u.tenant_id = m.tenant_id AND u.id = m.id AND u.modified_at <= ?),
			(SELECT p.` + column + ` FROM users_past p WHERE p.tenant_id = m.tenant_id AND p.id = m.id AND p.valid_from <= ? AND p.valid_until > ?), '') AS ` + column
	}
	args = append([]any{m.at, m.at, m.at, m.at, m.at, m.at}, args...)
	err := r.list(ctx, &all, `SELECT m.id, `+name("user_name")+`, `+name("display_name")+`, m.since FROM (`+query+`) m ORDER BY m.id LIMIT ?`, append(args, limit)...)
	return all, err
}

// GrantRecord is since when a grant is as it is, and what made it so.
type GrantRecord struct {
	Since  Instant
	Change Change
}

// GrantRecords gives the records of some grants, of those that are there.
func (r reader) GrantRecords(ctx context.Context, tenant TenantID, ids []access.GrantID) (map[access.GrantID]GrantRecord, error) {
	return r.grantRecords(ctx, tenant, ids, moment{})
}

// GrantRecordsAt is GrantRecords at an instant.
func (r reader) GrantRecordsAt(ctx context.Context, tenant TenantID, ids []access.GrantID, at time.Time) (map[access.GrantID]GrantRecord, error) {
	return r.grantRecords(ctx, tenant, ids, then(at))
}

func (r reader) grantRecords(ctx context.Context, tenant TenantID, ids []access.GrantID, m moment) (map[access.GrantID]GrantRecord, error) {
	records := map[access.GrantID]GrantRecord{}
	if len(ids) == 0 {
		return records, nil
	}
	d := r.pool.dialect
	query, args := m.versions("grants", "since", "tenant_id, id, since, change_id", ` AND id IN (`+d.ids+`)`, tenant, d.idList(texts(ids)))
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var id access.GrantID
		var g GrantRecord
		err := rows.Scan(&id, &g.Since, &g.Change.ID, &g.Change.ActorKind, &g.Change.ActorID, &g.Change.ConnectionID, &g.Change.Action)
		g.Change.TenantID, g.Change.At = tenant, g.Since
		records[id] = g
		return err
	}, `SELECT g.id, g.since, g.change_id, COALESCE(c.actor_kind, ''), COALESCE(c.actor_id, ''), COALESCE(CAST(c.connection_id AS text), ''), COALESCE(c.action, '')
		FROM (`+query+`) g LEFT JOIN changes c ON c.tenant_id = g.tenant_id AND c.id = g.change_id`, args...)
	return records, err
}

// personTimeline and groupTimeline are where changes are found: by the tenant, once
// or twice, and then by the id of the person or the group.
var (
	personTimeline = []string{
		`SELECT id FROM changes WHERE tenant_id = ? AND subject_id = ?`,
		`SELECT id FROM changes WHERE tenant_id = ? AND subject_id IN (SELECT id FROM grants WHERE tenant_id = ? AND user_id = ?)`,
		`SELECT id FROM changes WHERE tenant_id = ? AND subject_id IN (SELECT id FROM grants_past WHERE tenant_id = ? AND user_id = ?)`,
		`SELECT change_id AS id FROM members WHERE tenant_id = ? AND user_id = ?`,
		`SELECT change_id AS id FROM members_past WHERE tenant_id = ? AND user_id = ?`,
		`SELECT end_change_id AS id FROM members_past WHERE tenant_id = ? AND user_id = ?`,
	}
	groupTimeline = []string{
		`SELECT id FROM changes WHERE tenant_id = ? AND subject_id = ?`,
		`SELECT id FROM changes WHERE tenant_id = ? AND subject_id IN (SELECT id FROM grants WHERE tenant_id = ? AND group_id = ?)`,
		`SELECT id FROM changes WHERE tenant_id = ? AND subject_id IN (SELECT id FROM grants_past WHERE tenant_id = ? AND group_id = ?)`,
	}
)

// PersonTimeline gives what was done to a person, to her memberships and to her own
// grants: the newest before a change, which may be empty, at most limit.
func (r reader) PersonTimeline(ctx context.Context, tenant TenantID, id UserID, before ChangeID, limit int) ([]Change, error) {
	return r.timeline(ctx, tenant, string(id), before, limit, personTimeline)
}

// GroupTimeline is PersonTimeline for a group, its members and its grants.
func (r reader) GroupTimeline(ctx context.Context, tenant TenantID, id GroupID, before ChangeID, limit int) ([]Change, error) {
	return r.timeline(ctx, tenant, string(id), before, limit, groupTimeline)
}

func (r reader) timeline(ctx context.Context, tenant TenantID, id string, before ChangeID, limit int, finds []string) ([]Change, error) {
	changes := []Change{}
	if before == "" {
		before = lastID
	}
	if !validID(id) || !validID(string(before)) {
		return nil, fmt.Errorf("timeline of %q before %q: %w", id, before, ErrNotFound)
	}
	query, args := timelineQuery(tenant, id, before, limit, finds)
	err := r.list(ctx, &changes, query, args...)
	return changes, err
}

// timelineQuery puts together what is found. Each part gives only as many as are
// wanted, so that a group that changes every minute costs no more than another.
func timelineQuery(tenant TenantID, id string, before ChangeID, limit int, finds []string) (string, []any) {
	args := []any{tenant}
	parts := make([]string, len(finds))
	for i, find := range finds {
		column, _, renamed := strings.Cut(strings.TrimPrefix(find, "SELECT "), " AS id ")
		if !renamed {
			column = "id"
		}
		for range strings.Count(find, "?") - 1 {
			args = append(args, tenant)
		}
		args = append(args, id, before, limit)
		parts[i] = `SELECT id FROM (` + find + ` AND ` + column + ` < ? ORDER BY ` + column + ` DESC LIMIT ?) t`
	}
	return `SELECT ` + changeSelection + ` FROM changes WHERE tenant_id = ? AND id IN (` + strings.Join(parts, ` UNION `) + `) ORDER BY id DESC LIMIT ?`,
		append(args, limit)
}

// lastID is greater than every id, and firstID less.
const (
	firstID = "00000000-0000-0000-0000-000000000000"
	lastID  = "ffffffff-ffff-ffff-ffff-ffffffffffff"
)
