package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jmoiron/sqlx"
)

// Finding is something in the database that can't be, were everything right.
type Finding struct {
	// Check names what was looked at; Detail says what was found where.
	Check  string `json:"check"`
	Detail string `json:"detail"`
}

// maxFindings bounds the findings of one check; more of a kind tell no more.
const maxFindings = 20

// Verify looks through the whole database for what must never be: half a write,
// a member of nothing, a change without its row in the log. It only reads.
func (s *Store) Verify(ctx context.Context) ([]Finding, error) {
	findings := []Finding{}
	for _, check := range verifyQueries {
		var details []string
		if err := s.list(ctx, &details, check.query+fmt.Sprintf(" LIMIT %d", maxFindings)); err != nil {
			return nil, fmt.Errorf("verify %s: %w", check.name, err)
		}
		for _, d := range details {
			findings = append(findings, Finding{Check: check.name, Detail: d})
		}
	}
	keys, err := s.verifyKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("verify keys: %w", err)
	}
	findings = append(findings, keys...)
	if s.pool.dialect.name == "sqlite" {
		var rows []string
		if err := s.list(ctx, &rows, `PRAGMA integrity_check`); err != nil {
			return nil, fmt.Errorf("verify file: %w", err)
		}
		for _, r := range rows {
			if r != "ok" {
				findings = append(findings, Finding{Check: "file", Detail: r})
			}
		}
	}
	return findings, nil
}

// Each query gives a text for every row that is wrong.
var verifyQueries = []struct{ name, query string }{
	{"members point to users and groups of one connection", `
		SELECT 'group ' || CAST(m.group_id AS text) || ' member ' || CAST(m.user_id AS text) FROM members m
		LEFT JOIN users u ON u.tenant_id = m.tenant_id AND u.id = m.user_id
		LEFT JOIN groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id
		WHERE u.id IS NULL OR g.id IS NULL OR u.connection_id <> g.connection_id`},
	{"groups within groups are of one connection", `
		SELECT 'group ' || CAST(s.group_id AS text) || ' member ' || CAST(s.member_id AS text) FROM subgroups s
		LEFT JOIN groups i ON i.tenant_id = s.tenant_id AND i.id = s.member_id
		LEFT JOIN groups o ON o.tenant_id = s.tenant_id AND o.id = s.group_id
		WHERE i.id IS NULL OR o.id IS NULL OR i.connection_id <> o.connection_id`},
	{"no group is within itself", `
		WITH RECURSIVE within (tenant_id, top, id) AS (
			SELECT tenant_id, group_id, member_id FROM subgroups
			UNION SELECT w.tenant_id, w.top, s.member_id FROM within w JOIN subgroups s ON s.tenant_id = w.tenant_id AND s.group_id = w.id)
		SELECT 'group ' || CAST(id AS text) FROM within WHERE id = top`},
	{"users belong to a connection", `
		SELECT 'user ' || CAST(u.id AS text) FROM users u
		LEFT JOIN connections c ON c.tenant_id = u.tenant_id AND c.id = u.connection_id WHERE c.id IS NULL`},
	{"groups belong to a connection", `
		SELECT 'group ' || CAST(g.id AS text) FROM groups g
		LEFT JOIN connections c ON c.tenant_id = g.tenant_id AND c.id = g.connection_id WHERE c.id IS NULL`},
	{"every user was created in the log", `
		SELECT 'user ' || CAST(u.id AS text) FROM users u
		WHERE NOT EXISTS (SELECT 1 FROM changes c WHERE c.tenant_id = u.tenant_id AND c.subject_id = u.id AND c.action = 'user.created')`},
	{"every group was created in the log", `
		SELECT 'group ' || CAST(g.id AS text) FROM groups g
		WHERE NOT EXISTS (SELECT 1 FROM changes c WHERE c.tenant_id = g.tenant_id AND c.subject_id = g.id AND c.action = 'group.created')`},
	{"every user created in the log is here or was deleted in the log", `
		SELECT 'user ' || CAST(c.subject_id AS text) FROM changes c
		LEFT JOIN users u ON u.tenant_id = c.tenant_id AND u.id = c.subject_id
		WHERE c.action = 'user.created' AND u.id IS NULL
		AND NOT EXISTS (SELECT 1 FROM changes d WHERE d.tenant_id = c.tenant_id AND d.subject_id = c.subject_id AND d.action = 'user.deleted')`},
	{"every group created in the log is here or was deleted in the log", `
		SELECT 'group ' || CAST(c.subject_id AS text) FROM changes c
		LEFT JOIN groups g ON g.tenant_id = c.tenant_id AND g.id = c.subject_id
		WHERE c.action = 'group.created' AND g.id IS NULL
		AND NOT EXISTS (SELECT 1 FROM changes d WHERE d.tenant_id = c.tenant_id AND d.subject_id = c.subject_id AND d.action = 'group.deleted')`},
	{"a user's versions are all kept", `
		SELECT 'user ' || CAST(u.id AS text) || ' version ' || CAST(u.version AS text) FROM users u
		WHERE u.version - 1 <> (SELECT COUNT(*) FROM users_past p WHERE p.tenant_id = u.tenant_id AND p.id = u.id)`},
	{"the past ends after it began", `
		SELECT 'user ' || CAST(id AS text) FROM users_past WHERE valid_until < valid_from
		UNION ALL SELECT 'group ' || CAST(id AS text) FROM groups_past WHERE valid_until < valid_from
		UNION ALL SELECT 'group ' || CAST(group_id AS text) || ' member ' || CAST(user_id AS text) FROM members_past WHERE until < since
		UNION ALL SELECT 'group ' || CAST(group_id AS text) || ' member ' || CAST(member_id AS text) FROM subgroups_past WHERE until < since`},
	{"memberships began with a change in the log", `
		SELECT 'group ' || CAST(m.group_id AS text) || ' member ' || CAST(m.user_id AS text) FROM members m
		LEFT JOIN changes c ON c.tenant_id = m.tenant_id AND c.id = m.change_id WHERE c.id IS NULL
		UNION ALL SELECT 'group ' || CAST(m.group_id AS text) || ' member ' || CAST(m.member_id AS text) FROM subgroups m
		LEFT JOIN changes c ON c.tenant_id = m.tenant_id AND c.id = m.change_id WHERE c.id IS NULL`},
	{"memberships ended with a change in the log", `
		SELECT 'group ' || CAST(m.group_id AS text) || ' member ' || CAST(m.user_id AS text) FROM members_past m
		LEFT JOIN changes c ON c.tenant_id = m.tenant_id AND c.id = m.end_change_id WHERE c.id IS NULL
		UNION ALL SELECT 'group ' || CAST(m.group_id AS text) || ' member ' || CAST(m.member_id AS text) FROM subgroups_past m
		LEFT JOIN changes c ON c.tenant_id = m.tenant_id AND c.id = m.end_change_id WHERE c.id IS NULL`},
	{"the users and groups of each connection are as many as were counted", `
		SELECT 'connection ' || CAST(c.id AS text) || ' ' || k.kind FROM connections c
		JOIN (SELECT 'user' AS kind UNION ALL SELECT 'group') k ON TRUE
		WHERE COALESCE((SELECT SUM(created - deleted) FROM sizes s WHERE s.tenant_id = c.tenant_id AND s.connection_id = c.id AND s.kind = k.kind), 0)
			<> CASE k.kind WHEN 'user' THEN (SELECT COUNT(*) FROM users u WHERE u.tenant_id = c.tenant_id AND u.connection_id = c.id)
				ELSE (SELECT COUNT(*) FROM groups g WHERE g.tenant_id = c.tenant_id AND g.connection_id = c.id) END`},
	{"e-mail keys belong to a user of the connection", `
		SELECT 'user ' || CAST(e.user_id AS text) FROM user_emails e
		LEFT JOIN users u ON u.tenant_id = e.tenant_id AND u.id = e.user_id AND u.connection_id = e.connection_id WHERE u.id IS NULL`},
}

// verifyKeys compares what users are found by with their documents.
func (s *Store) verifyKeys(ctx context.Context) ([]Finding, error) {
	var findings []Finding
	wrong := func(id UserID, format string, args ...any) {
		if len(findings) < maxFindings {
			findings = append(findings, Finding{Check: "columns agree with the document", Detail: "user " + string(id) + ": " + fmt.Sprintf(format, args...)})
		}
	}
	err := s.each(ctx, func(rows *sqlx.Rows) error {
		var u struct {
			User
			Key string `db:"user_name_key"`
		}
		if err := rows.StructScan(&u); err != nil {
			return err
		}
		var doc struct {
			UserName   string `json:"userName"`
			ExternalID string `json:"externalId"`
			Active     *bool  `json:"active"`
		}
		if err := json.Unmarshal(u.Doc, &doc); err != nil {
			wrong(u.ID, "document: %v", err)
			return nil
		}
		if u.Key != Fold(u.UserName) || doc.UserName != u.UserName {
			wrong(u.ID, "userName %q, document %q, key %q", u.UserName, doc.UserName, u.Key)
		}
		if doc.ExternalID != u.ExternalID {
			wrong(u.ID, "externalId %q, document %q", u.ExternalID, doc.ExternalID)
		}
		if doc.Active != nil && *doc.Active != u.Active {
			wrong(u.ID, "active %v, document %v", u.Active, *doc.Active)
		}
		return nil
	}, `SELECT `+userColumns+`, u.user_name_key FROM users u ORDER BY u.tenant_id, u.id`)
	return findings, err
}
