package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"gatehouse/access"

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
	for _, check := range append(slices.Clip(verifyQueries), verification{"people are found by the words of their names, and by no others", s.wrongWords()}) {
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
	sealed, err := s.verifySeals(ctx)
	if err != nil {
		return nil, fmt.Errorf("verify seals: %w", err)
	}
	findings = append(findings, sealed...)
	policies, err := s.verifyPolicies(ctx)
	if err != nil {
		return nil, fmt.Errorf("verify policies: %w", err)
	}
	findings = append(findings, policies...)
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

// verification is a check whose query gives a text for every row that is wrong.
type verification struct{ name, query string }

var verifyQueries = []verification{
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
		UNION ALL SELECT 'group ' || CAST(group_id AS text) || ' member ' || CAST(member_id AS text) FROM subgroups_past WHERE until < since
		UNION ALL SELECT 'dimension ' || key FROM dimensions_past WHERE until < since
		UNION ALL SELECT 'site ' || CAST(id AS text) FROM sites_past WHERE until < since
		UNION ALL SELECT 'product ' || key FROM products_past WHERE until < since
		UNION ALL SELECT 'grant ' || CAST(id AS text) FROM grants_past WHERE until < since
		UNION ALL SELECT 'person ' || CAST(user_id AS text) FROM people_past WHERE until < since`},
	{"memberships began with a change in the log", `
		SELECT 'group ' || CAST(m.group_id AS text) || ' member ' || CAST(m.user_id AS text) FROM members m
		LEFT JOIN changes c ON c.tenant_id = m.tenant_id AND c.id = m.change_id WHERE c.id IS NULL
		AND NOT EXISTS (SELECT 1 FROM unfinished f WHERE f.tenant_id = m.tenant_id AND f.change_id = m.change_id)
		UNION ALL SELECT 'group ' || CAST(m.group_id AS text) || ' member ' || CAST(m.member_id AS text) FROM subgroups m
		LEFT JOIN changes c ON c.tenant_id = m.tenant_id AND c.id = m.change_id WHERE c.id IS NULL`},
	{"memberships ended with a change in the log", `
		SELECT 'group ' || CAST(m.group_id AS text) || ' member ' || CAST(m.user_id AS text) FROM members_past m
		LEFT JOIN changes c ON c.tenant_id = m.tenant_id AND c.id = m.end_change_id WHERE c.id IS NULL
		AND NOT EXISTS (SELECT 1 FROM unfinished f WHERE f.tenant_id = m.tenant_id AND f.change_id = m.end_change_id)
		UNION ALL SELECT 'group ' || CAST(m.group_id AS text) || ' member ' || CAST(m.member_id AS text) FROM subgroups_past m
		LEFT JOIN changes c ON c.tenant_id = m.tenant_id AND c.id = m.end_change_id WHERE c.id IS NULL`},
	{"a group in the middle of a change is in the middle of one that will be finished", `
		SELECT 'group ' || CAST(g.id AS text) FROM groups g
		LEFT JOIN unfinished f ON f.tenant_id = g.tenant_id AND f.group_id = g.id AND f.change_id = g.unfinished
		WHERE g.unfinished IS NOT NULL AND f.group_id IS NULL
		UNION ALL SELECT 'group ' || CAST(f.group_id AS text) FROM unfinished f
		LEFT JOIN groups g ON g.tenant_id = f.tenant_id AND g.id = f.group_id AND g.unfinished = f.change_id WHERE g.id IS NULL`},
	{"the users and groups of each connection are as many as were counted", `
		SELECT 'connection ' || CAST(c.id AS text) || ' ' || k.kind FROM connections c
		JOIN (SELECT 'user' AS kind UNION ALL SELECT 'group') k ON TRUE
		WHERE COALESCE((SELECT SUM(created - deleted) FROM sizes s WHERE s.tenant_id = c.tenant_id AND s.connection_id = c.id AND s.kind = k.kind), 0)
			<> CASE k.kind WHEN 'user' THEN (SELECT COUNT(*) FROM users u WHERE u.tenant_id = c.tenant_id AND u.connection_id = c.id)
				ELSE (SELECT COUNT(*) FROM groups g WHERE g.tenant_id = c.tenant_id AND g.connection_id = c.id) END`},
	{"e-mail keys belong to a user of the connection", `
		SELECT 'user ' || CAST(e.user_id AS text) FROM user_emails e
		LEFT JOIN users u ON u.tenant_id = e.tenant_id AND u.id = e.user_id AND u.connection_id = e.connection_id WHERE u.id IS NULL`},
	{"reviews are decided as a whole", `
		SELECT 'review ' || CAST(p.review_id AS text) || ' user ' || CAST(p.user_id AS text) FROM review_people p
		JOIN reviews v ON v.tenant_id = p.tenant_id AND v.id = p.review_id WHERE (p.decision <> '') <> (v.finished_at <> 0)`},
	{"every tenant has a policy", `
		SELECT 'tenant ' || CAST(t.id AS text) FROM tenants t LEFT JOIN policies p ON p.tenant_id = t.id WHERE p.tenant_id IS NULL`},
	{"policy has the revision of a change in the log", `
		SELECT 'tenant ' || CAST(p.tenant_id AS text) FROM policies p
		LEFT JOIN changes c ON c.tenant_id = p.tenant_id AND c.id = p.revision
		WHERE c.id IS NULL AND p.revision <> '` + zeroID + `'`},
	{"policy is no older than what it consists of", `
		SELECT 'tenant ' || CAST(p.tenant_id AS text) FROM policies p
		WHERE p.changed_at < (SELECT MAX(since) FROM grants g WHERE g.tenant_id = p.tenant_id)
		OR p.changed_at < (SELECT MAX(since) FROM sites s WHERE s.tenant_id = p.tenant_id)
		OR p.changed_at < (SELECT MAX(since) FROM products o WHERE o.tenant_id = p.tenant_id)
		OR p.changed_at < (SELECT MAX(since) FROM dimensions d WHERE d.tenant_id = p.tenant_id)`},
	{"grants are for people and groups that are or were here", `
		SELECT 'grant ' || CAST(g.id AS text) FROM grants g WHERE g.user_id IS NOT NULL
		AND NOT EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = g.tenant_id AND u.id = g.user_id)
		AND NOT EXISTS (SELECT 1 FROM users_past u WHERE u.tenant_id = g.tenant_id AND u.id = g.user_id)
		UNION ALL SELECT 'grant ' || CAST(g.id AS text) FROM grants g WHERE g.group_id IS NOT NULL
		AND NOT EXISTS (SELECT 1 FROM groups o WHERE o.tenant_id = g.tenant_id AND o.id = g.group_id)
		AND NOT EXISTS (SELECT 1 FROM groups_past o WHERE o.tenant_id = g.tenant_id AND o.id = g.group_id)`},
	{"what we say of people is of people that are or were here", `
		SELECT 'person ' || CAST(p.user_id AS text) FROM people p
		WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = p.tenant_id AND u.id = p.user_id)
		AND NOT EXISTS (SELECT 1 FROM users_past u WHERE u.tenant_id = p.tenant_id AND u.id = p.user_id)`},
	{"every webhook was created in the log and has a secret", `
		SELECT 'webhook ' || CAST(w.id AS text) FROM webhooks w
		WHERE NOT EXISTS (SELECT 1 FROM changes c WHERE c.tenant_id = w.tenant_id AND c.subject_id = w.id AND c.action = 'webhook.created')
		OR NOT EXISTS (SELECT 1 FROM webhook_secrets s WHERE s.tenant_id = w.tenant_id AND s.webhook_id = w.id AND s.expires_at = 0)`},
	{"every webhook is told the log", `
		SELECT 'webhook ' || CAST(w.id AS text) FROM webhooks w LEFT JOIN webhook_feeds f ON f.tenant_id = w.tenant_id WHERE f.tenant_id IS NULL`},
	{"the policy that webhooks were told is kept", `
		SELECT 'tenant ' || CAST(f.tenant_id AS text) FROM webhook_feeds f
		LEFT JOIN webhook_policies p ON p.tenant_id = f.tenant_id AND p.revision = f.revision WHERE f.revision <> '' AND p.tenant_id IS NULL`},
	{"webhooks were told of people that are or were here", `
		SELECT 'person ' || CAST(p.user_id AS text) FROM webhook_people p
		WHERE NOT EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = p.tenant_id AND u.id = p.user_id)
		AND NOT EXISTS (SELECT 1 FROM users_past u WHERE u.tenant_id = p.tenant_id AND u.id = p.user_id)`},
	{"events of a person are delivered in their order", `
		SELECT 'delivery ' || CAST(d.id AS text) FROM webhook_deliveries d WHERE d.state = 'waiting'
		AND EXISTS (SELECT 1 FROM webhook_deliveries e WHERE e.tenant_id = d.tenant_id AND e.webhook_id = d.webhook_id
			AND e.user_id = d.user_id AND e.seq > d.seq AND e.state = 'delivered')`},
	{"no event has more than one place", `
		SELECT 'delivery ' || CAST(MIN(CAST(id AS text)) AS text) FROM webhook_deliveries GROUP BY tenant_id, webhook_id, seq HAVING COUNT(*) > 1`},
	{"sessions are of people who are here and active", `
		SELECT 'session ' || CAST(s.id AS text) FROM sessions s
		LEFT JOIN users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id WHERE u.id IS NULL OR NOT u.active`},
	{"every session was created in the log", `
		SELECT 'session ' || CAST(s.id AS text) FROM sessions s
		WHERE NOT EXISTS (SELECT 1 FROM changes c WHERE c.tenant_id = s.tenant_id AND c.subject_id = s.id AND c.action = 'session.created')`},
	{"subjects are linked to users of the connection", `
		SELECT 'user ' || CAST(i.user_id AS text) FROM identities i LEFT JOIN users u
		ON u.tenant_id = i.tenant_id AND u.id = i.user_id AND u.connection_id = i.connection_id WHERE u.id IS NULL`},
	{"passkeys are of people outside any provider", `
		SELECT 'passkey ' || CAST(k.id AS text) FROM passkeys k
		LEFT JOIN users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
		LEFT JOIN connections c ON c.tenant_id = u.tenant_id AND c.id = u.connection_id WHERE c.idp IS NULL OR c.idp <> 'local'`},
	{"whoever accepted an invitation is or was here", `
		SELECT 'invitation ' || CAST(i.id AS text) FROM invitations i WHERE i.accepted_at <> 0
		AND NOT EXISTS (SELECT 1 FROM users u WHERE u.tenant_id = i.tenant_id AND u.id = i.user_id)
		AND NOT EXISTS (SELECT 1 FROM users_past u WHERE u.tenant_id = i.tenant_id AND u.id = i.user_id)`},
	{"nothing but one connection is local, and no token opens it", `
		SELECT 'tenant ' || CAST(MIN(CAST(tenant_id AS text)) AS text) FROM connections WHERE idp = 'local' GROUP BY tenant_id HAVING COUNT(*) > 1
		UNION ALL SELECT 'token ' || CAST(k.id AS text) FROM tokens k JOIN connections c ON c.tenant_id = k.tenant_id AND c.id = k.connection_id WHERE c.idp = 'local'`},
	{"an entrance that was used made an owner", `
		SELECT 'entrance ' || CAST(e.id AS text) FROM entrances e WHERE e.used_at <> 0
		AND NOT EXISTS (SELECT 1 FROM changes c WHERE c.tenant_id = e.tenant_id AND c.subject_id = e.id AND c.action = 'breakglass.used')`},
	{"policy began with a change in the log", policyWithoutChange("change_id", "")},
	{"policy ended with a change in the log", policyWithoutChange("end_change_id", "_past")},
}

// wrongWords finds words that user_words lacks, or has too many.
func (s *Store) wrongWords() string {
	const have = `SELECT tenant_id, word, user_id FROM user_words`
	want := s.pool.dialect.splitUsers
	return `SELECT 'user ' || CAST(user_id AS text) || ' word ' || word FROM
		(SELECT * FROM (` + want + ` EXCEPT ` + have + `) missing UNION ALL SELECT * FROM (` + have + ` EXCEPT ` + want + `) more) w`
}

// policyWithoutChange finds rows of policy and of people whose change is missing.
func policyWithoutChange(column, suffix string) string {
	var queries []string
	for _, table := range []string{"dimensions", "sites", "products", "grants", "people"} {
		id := "id"
		if table == "people" {
			id = "user_id"
		}
		queries = append(queries, `SELECT '`+table+` ' || CAST(o.`+id+` AS text) FROM `+table+suffix+` o
			LEFT JOIN changes c ON c.tenant_id = o.tenant_id AND c.id = o.`+column+` WHERE c.id IS NULL`)
	}
	return strings.Join(queries, " UNION ALL ")
}

// verifySeals compares the log of every tenant with its seals.
func (s *Store) verifySeals(ctx context.Context) ([]Finding, error) {
	tenants, err := s.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	var findings []Finding
	for _, t := range tenants {
		check, err := s.CheckLog(ctx, t.ID)
		if err != nil {
			return nil, err
		}
		for _, b := range check.Breaks {
			findings = append(findings, Finding{Check: "the log is as it was sealed", Detail: "tenant " + t.Name + ": " + b.String()})
		}
	}
	return findings, nil
}

// verifyPolicies reads the policy of every tenant and looks for grants of what
// isn't there.
func (s *Store) verifyPolicies(ctx context.Context) ([]Finding, error) {
	const check = "grants are for known products, roles and sites"
	tenants, err := s.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	var findings []Finding
	for _, t := range tenants {
		c, grants, err := s.catalogueAndGrants(ctx, t.ID, moment{})
		if err != nil {
			return nil, err
		}
		p, err := access.NewPolicy(c, grants)
		if err != nil {
			findings = append(findings, Finding{Check: "policy can be read", Detail: "tenant " + t.Name + ": " + err.Error()})
			continue
		}
		for _, problem := range p.Problems() {
			switch problem.Reason {
			case access.UnknownProduct, access.UnknownRole, access.UnknownPermission, access.UnknownLevel, access.UnknownDimension, access.UnknownSite:
				findings = append(findings, Finding{Check: check, Detail: fmt.Sprintf("grant %s: %s %s", problem.Grant, problem.Reason, problem.Name)})
			}
		}
	}
	return findings[:min(len(findings), maxFindings)], nil
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
