package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

// Feed is how far a tenant's log has been told to its webhooks. The log is the
// outbox: nothing is written for webhooks where something changes. What people
// had when products were last told of them is kept beside it, so that the next
// event is exactly the difference, whatever happened in between.
type Feed struct {
	TenantID TenantID `db:"tenant_id"`
	// Version moves with each step; a step from another version is refused.
	Version int64 `db:"version"`
	// Holder is the process that takes the steps, and Beat moves as long as it lives.
	Holder string `db:"holder"`
	Beat   int64  `db:"beat"`
	// Seq is the number of the last event.
	Seq int64 `db:"seq"`
	// Cursor, At and Revision are what has been told: changes, time and policy. No
	// revision means that it has to be found out first what there was at At.
	Cursor   string   `db:"cursor"`
	At       Instant  `db:"at"`
	Revision Revision `db:"revision"`
	// Pass is the step under way, as its holder writes it down, when it takes more
	// than one transaction; Done is the last person that it dealt with.
	Pass string `db:"pass"`
	Done string `db:"done"`
}

// ErrStale says that somebody else took the step.
var ErrStale = errors.New("somebody else was faster")

const feedColumns = `tenant_id, version, holder, beat, seq, cursor, at, revision, pass, done`

// startFeed lets the actor's tenant be told what comes after this transaction.
func (tx *Tx) startFeed(ctx context.Context) error {
	cursor, err := tx.head(ctx)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, `INSERT INTO webhook_feeds (`+feedColumns+`) VALUES (?, 1, '', 0, 0, ?, ?, '', '', '')
		ON CONFLICT (tenant_id) DO UPDATE SET version = webhook_feeds.version + 1, cursor = excluded.cursor, at = excluded.at,
			revision = '', pass = '', done = ''`, tx.actor.Tenant, cursor, tx.now)
	return err
}

// head is a cursor for ChangesSince that is not behind anything that may yet be
// committed, and hardly before anything that is.
func (r reader) head(ctx context.Context) (cursor string, err error) {
	query := `SELECT CAST(COALESCE(MAX(seq), 0) AS text) FROM changes`
	if r.pool.dialect != sqliteDialect {
		query = `SELECT CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) || '.` + zeroID + `'`
	}
	err = r.get(ctx, &cursor, query)
	return cursor, err
}

// Head gives the cursor of the end of the log: what is there is before it, but for
// what was written just now.
func (s *Store) Head(ctx context.Context) (string, error) { return s.head(ctx) }

// Feeds gives the feeds of all tenants, without the steps under way.
func (r reader) Feeds(ctx context.Context) ([]Feed, error) {
	var feeds []Feed
	err := r.list(ctx, &feeds, `SELECT tenant_id, version, holder, beat, seq, cursor, at, revision, '' AS pass, done FROM webhook_feeds ORDER BY tenant_id`)
	return feeds, err
}

// Feed gives the feed of a tenant. ErrNotFound when it never had a webhook.
func (r reader) Feed(ctx context.Context, tenant TenantID) (Feed, error) {
	var f Feed
	err := r.get(ctx, &f, `SELECT `+feedColumns+` FROM webhook_feeds WHERE tenant_id = ?`, tenant)
	if err != nil {
		return f, fmt.Errorf("feed of tenant %s: %w", tenant, err)
	}
	return f, nil
}

// ClaimFeed makes holder the one that takes the steps of the actor's tenant, if
// nobody moved the feed since it was read.
func (tx *Tx) ClaimFeed(ctx context.Context, f Feed, holder string) error {
	n, err := tx.exec(ctx, `UPDATE webhook_feeds SET holder = ?, beat = beat + 1 WHERE tenant_id = ? AND holder = ? AND beat = ?`,
		holder, tx.actor.Tenant, f.Holder, f.Beat)
	if err == nil && n == 0 {
		err = ErrStale
	}
	return err
}

// BeatFeeds shows that the holder lives, and gives the tenants that it holds.
func (tx *Tx) BeatFeeds(ctx context.Context, holder string) (held []TenantID, err error) {
	if _, err := tx.exec(ctx, `UPDATE webhook_feeds SET beat = beat + 1 WHERE holder = ?`, holder); err != nil {
		return nil, err
	}
	err = tx.list(ctx, &held, `SELECT tenant_id FROM webhook_feeds WHERE holder = ? ORDER BY tenant_id`, holder)
	return held, err
}

// ReleaseFeeds lets others take over at once.
func (tx *Tx) ReleaseFeeds(ctx context.Context, holder string) error {
	_, err := tx.exec(ctx, `UPDATE webhook_feeds SET holder = '', beat = beat + 1 WHERE holder = ?`, holder)
	return err
}

// SaveFeed takes a step from the feed as it was read: ErrStale when somebody else
// did or the holder lost it. It gives the feed as it is then.
func (tx *Tx) SaveFeed(ctx context.Context, f Feed) (Feed, error) {
	n, err := tx.exec(ctx, `UPDATE webhook_feeds SET version = version + 1, seq = ?, cursor = ?, at = ?, revision = ?, pass = ?, done = ?
		WHERE tenant_id = ? AND version = ? AND holder = ?`, f.Seq, f.Cursor, f.At, f.Revision, f.Pass, f.Done, tx.actor.Tenant, f.Version, f.Holder)
	if err == nil && n == 0 {
		err = fmt.Errorf("feed of tenant %s: %w", tx.actor.Tenant, ErrStale)
	}
	f.Version++
	return f, err
}

// EndFeed forgets a feed that no webhook needs any more, once nothing more is kept
// of people; until then it forgets some of that and reports false.
func (tx *Tx) EndFeed(ctx context.Context, f Feed, limit int) (bool, error) {
	tenant := tx.actor.Tenant
	n, err := tx.exec(ctx, `DELETE FROM webhook_people WHERE tenant_id = ? AND user_id IN (
		SELECT user_id FROM webhook_people WHERE tenant_id = ? LIMIT ?)`, tenant, tenant, limit)
	if err != nil || n > 0 {
		return false, err
	}
	if _, err := tx.exec(ctx, `DELETE FROM webhook_policies WHERE tenant_id = ?`, tenant); err != nil {
		return false, err
	}
	n, err = tx.exec(ctx, `DELETE FROM webhook_feeds WHERE tenant_id = ? AND version = ? AND holder = ?
		AND NOT EXISTS (SELECT 1 FROM webhooks w WHERE w.tenant_id = webhook_feeds.tenant_id)`, tenant, f.Version, f.Holder)
	if err == nil && n == 0 {
		err = ErrStale // and what was deleted stays
	}
	return err == nil, err
}

// Told gives what was kept of people when they were last told of, as JSON; who is
// unknown is left out.
func (r reader) Told(ctx context.Context, tenant TenantID, ids []UserID) (map[UserID]string, error) {
	told := map[UserID]string{}
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var id UserID
		var person string
		err := rows.Scan(&id, &person)
		told[id] = person
		return err
	}, `SELECT user_id, person FROM webhook_people WHERE tenant_id = ? AND user_id IN (`+r.pool.dialect.ids+`)`,
		tenant, r.pool.dialect.idList(texts(ids)))
	return told, err
}

// ToldOf gives the ids of all people that something is kept of, in order.
func (r reader) ToldOf(ctx context.Context, tenant TenantID) ([]UserID, error) {
	var ids []UserID
	err := r.list(ctx, &ids, `SELECT user_id FROM webhook_people WHERE tenant_id = ? ORDER BY user_id`, tenant)
	return ids, err
}

// Tell keeps what people of the actor's tenant are told of now; the empty text
// forgets them.
func (tx *Tx) Tell(people map[UserID]string) {
	var gone []string
	for id, person := range people {
		if person == "" {
			gone = append(gone, string(id))
			continue
		}
		tx.later(`INSERT INTO webhook_people (tenant_id, user_id, person) VALUES (`+tx.pool.dialect.idParam+`, `+tx.pool.dialect.idParam+`, ?)
			ON CONFLICT (tenant_id, user_id) DO UPDATE SET person = excluded.person`, tx.actor.Tenant, id, person)
	}
	if len(gone) > 0 {
		tx.later(`DELETE FROM webhook_people WHERE tenant_id = ? AND user_id IN (`+tx.pool.dialect.ids+`)`,
			tx.actor.Tenant, tx.pool.dialect.idList(gone))
	}
}

// KeepPolicy keeps the document of a policy that the actor's feed names from now
// on; revisions are the only ones then.
func (tx *Tx) KeepPolicy(ctx context.Context, revision Revision, doc []byte, revisions ...Revision) error {
	if doc != nil {
		_, err := tx.exec(ctx, `INSERT INTO webhook_policies (tenant_id, revision, doc) VALUES (?, ?, ?)
			ON CONFLICT (tenant_id, revision) DO UPDATE SET doc = excluded.doc`, tx.actor.Tenant, revision, string(doc))
		if err != nil {
			return err
		}
	}
	keep, args := `?`, []any{tx.actor.Tenant, revision}
	for _, r := range revisions {
		keep, args = keep+`, ?`, append(args, r)
	}
	_, err := tx.exec(ctx, `DELETE FROM webhook_policies WHERE tenant_id = ? AND revision NOT IN (`+keep+`)`, args...)
	return err
}

// KeptPolicy gives the document of a policy that a feed names.
func (r reader) KeptPolicy(ctx context.Context, tenant TenantID, revision Revision) ([]byte, error) {
	var doc []byte
	err := r.get(ctx, &doc, `SELECT doc FROM webhook_policies WHERE tenant_id = ? AND revision = ?`, tenant, revision)
	if err != nil {
		return nil, fmt.Errorf("policy %s of tenant %s: %w", revision, tenant, err)
	}
	return doc, nil
}

// policyDoc is all that a policy is made of.
type policyDoc struct {
	Catalogue access.Catalogue `json:"catalogue"`
	Grants    []access.Grant   `json:"grants,omitempty"`
}

// PolicyDoc gives a tenant's policy as a document for ReadPolicy, with its
// revision: as it is now, or as it was at an instant, and then without.
func (r reader) PolicyDoc(ctx context.Context, tenant TenantID, at time.Time) (doc []byte, revision Revision, err error) {
	err = r.agree(ctx, func(r reader) error {
		var p policyDoc
		when := then(at)
		if at.IsZero() {
			when = moment{}
			if err := r.get(ctx, &revision, `SELECT revision FROM policies WHERE tenant_id = ?`, tenant); err != nil {
				return err
			}
		}
		if p.Catalogue, p.Grants, err = r.catalogueAndGrants(ctx, tenant, when); err != nil {
			return err
		}
		doc, err = json.Marshal(p)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("policy of tenant %s: %w", tenant, err)
	}
	return doc, revision, nil
}

// ReadPolicy makes a policy of a document, with the catalogue and the grants that
// it consists of, to be compared with others.
func ReadPolicy(doc []byte) (*access.Policy, access.Catalogue, error) {
	var p policyDoc
	if err := json.Unmarshal(doc, &p); err != nil {
		return nil, p.Catalogue, fmt.Errorf("policy: %w", err)
	}
	policy, err := access.NewPolicy(p.Catalogue, p.Grants)
	return policy, p.Catalogue, err
}

// Revision gives the revision of a tenant's policy as it is now.
func (r reader) Revision(ctx context.Context, tenant TenantID) (revision Revision, err error) {
	err = r.row(ctx, []any{&revision}, `SELECT revision FROM policies WHERE tenant_id = ?`, tenant)
	return revision, err
}

// UserName is how products may know somebody beside her id.
type UserName struct {
	ID         UserID `db:"id"`
	UserName   string `db:"user_name"`
	ExternalID string `db:"external_id"`
}

// UserNames gives the names of users of a tenant; who isn't there is left out.
func (r reader) UserNames(ctx context.Context, tenant TenantID, ids []UserID) (map[UserID]UserName, error) {
	names := make(map[UserID]UserName, len(ids))
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var n UserName
		err := rows.Scan(&n.ID, &n.UserName, &n.ExternalID)
		names[n.ID] = n
		return err
	}, `SELECT id, user_name, external_id FROM users WHERE tenant_id = ? AND id IN (`+r.pool.dialect.ids+`)`,
		tenant, r.pool.dialect.idList(texts(ids)))
	return names, err
}

// ExpiredBetween gives the users whose account expires after from and not after
// until, in the order of their ids.
func (r reader) ExpiredBetween(ctx context.Context, tenant TenantID, from, until time.Time) ([]UserID, error) {
	var ids []UserID
	err := r.list(ctx, &ids, `SELECT user_id FROM people WHERE tenant_id = ? AND expires_at > ? AND expires_at <= ? ORDER BY user_id`,
		tenant, At(from), At(until))
	return ids, err
}

// MembersTouched gives the users whose membership of a group began or ended with a
// change, at most limit, and whether a group's did.
func (r reader) MembersTouched(ctx context.Context, tenant TenantID, group GroupID, change ChangeID, limit int) (users []UserID, groups bool, err error) {
	for _, from := range []string{"members WHERE change_id", "members_past WHERE end_change_id"} {
		var ids []UserID
		err := r.list(ctx, &ids, `SELECT user_id FROM `+from+` = ? AND tenant_id = ? AND group_id = ? ORDER BY user_id LIMIT ?`, change, tenant, group, limit)
		if err != nil {
			return nil, false, err
		}
		users = append(users, ids...)
	}
	var n int
	err = r.get(ctx, &n, `SELECT
		(SELECT COUNT(*) FROM subgroups WHERE tenant_id = ? AND group_id = ? AND change_id = ?)
		+ (SELECT COUNT(*) FROM subgroups_past WHERE tenant_id = ? AND group_id = ? AND end_change_id = ?)
		+ (SELECT COUNT(*) FROM subgroups_past WHERE tenant_id = ? AND member_id = ? AND end_change_id = ?)`,
		tenant, group, change, tenant, group, change, tenant, group, change)
	slices.Sort(users)
	return slices.Compact(users), n > 0, err
}

// AnyGroup reports whether one of the ids is a group's, that is or that was.
func (r reader) AnyGroup(ctx context.Context, tenant TenantID, ids []string) (bool, error) {
	var n int
	d := r.pool.dialect
	err := r.get(ctx, &n, `SELECT (SELECT COUNT(*) FROM groups WHERE tenant_id = ? AND id IN (`+d.ids+`))
		+ (SELECT COUNT(*) FROM groups_past WHERE tenant_id = ? AND id IN (`+d.ids+`))`, tenant, d.idList(ids), tenant, d.idList(ids))
	return n > 0, err
}
