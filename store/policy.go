package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

// Policy is what is granted: dimensions, sites, products and grants. It is small
// and read as a whole into an immutable access.Policy, which a Store keeps for as
// long as the tenant's revision stays what it is. The revision is read with every
// question, so that no answer is older than the last change, on any replica.

// Revision names a state of a tenant's policy: the last change that made it.
// Revisions are compared for equality only; none comes back.
type Revision string

// The actions on policy.
const (
	DimensionCreated = "dimension.created"
	DimensionChanged = "dimension.changed"
	DimensionRemoved = "dimension.removed"
	SiteCreated      = "site.created"
	SiteChanged      = "site.changed"
	SiteMoved        = "site.moved"
	SiteArchived     = "site.archived"
	SiteRestored     = "site.restored"
	ProductCreated   = "product.created"
	ProductChanged   = "product.changed"
	ProductRemoved   = "product.removed"
	GrantCreated     = "grant.created"
	GrantChanged     = "grant.changed"
	GrantEnded       = "grant.ended"
	GrantSleeping    = "grant.sleeping"
	GrantRelinked    = "grant.relinked"
)

// loadedPolicy is a policy with the revision it has.
type loadedPolicy struct {
	revision Revision
	policy   *access.Policy
}

// policyCache keeps the policies of the tenants that are asked about.
type policyCache struct {
	mu      sync.Mutex
	tenants map[TenantID]*cachedPolicy
}

// cachedPolicy is what is kept of one tenant; the lock lets one load it while others wait.
type cachedPolicy struct {
	mu     sync.Mutex
	loaded atomic.Pointer[loadedPolicy]
	// nests says whether the tenant had groups within groups when it was asked last.
	nests atomic.Bool
}

func (c *policyCache) of(tenant TenantID) *cachedPolicy {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := c.tenants[tenant]
	if entry == nil {
		if c.tenants == nil || len(c.tenants) >= 1000 {
			c.tenants = map[TenantID]*cachedPolicy{}
		}
		entry = &cachedPolicy{}
		c.tenants[tenant] = entry
	}
	return entry
}

// Policy gives what is granted in a tenant now. ErrNotFound when there is no such
// tenant.
func (s *Store) Policy(ctx context.Context, tenant TenantID) (*access.Policy, Revision, error) {
	var revision Revision
	err := s.row(ctx, []any{&revision}, `SELECT revision FROM policies WHERE tenant_id = ?`, tenant)
	if err != nil {
		return nil, "", fmt.Errorf("policy of tenant %s: %w", tenant, err)
	}
	p, err := s.policyOf(ctx, tenant, revision)
	if err != nil {
		return nil, "", err
	}
	return p.policy, p.revision, nil
}

// policyOf gives the policy of a revision that was just read, or a newer one.
func (s *Store) policyOf(ctx context.Context, tenant TenantID, revision Revision) (*loadedPolicy, error) {
	entry := s.policies.of(tenant)
	if p := entry.loaded.Load(); p != nil && p.revision == revision {
		return p, nil
	}
	entry.mu.Lock()
	defer entry.mu.Unlock()
	if p := entry.loaded.Load(); p != nil && p.revision == revision {
		return p, nil
	}
	p := &loadedPolicy{}
	err := s.agree(ctx, func(r reader) error {
		err := r.get(ctx, &p.revision, `SELECT revision FROM policies WHERE tenant_id = ?`, tenant)
		if err != nil {
			return err
		}
		p.policy, err = r.policyAt(ctx, tenant, moment{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("policy of tenant %s: %w", tenant, err)
	}
	entry.loaded.Store(p)
	return p, nil
}

// policyTurns is how often together looks again because the policy changed.
const policyTurns = 3

// together gives what was granted in a tenant when read read what it wants to know,
// and with that the revision. Who somebody was at one moment and what was granted at
// another can come to what never was. Read may run again; without a revision it has
// found nothing.
func (s *Store) together(ctx context.Context, tenant TenantID, read func(reader) (Revision, error)) (p *access.Policy, err error) {
	for range policyTurns {
		revision, err := read(s.reader)
		if err != nil || revision == "" {
			return nil, err
		}
		loaded, err := s.policyOf(ctx, tenant, revision)
		if err != nil {
			return nil, err
		}
		if loaded.revision == revision {
			return loaded.policy, nil
		}
	}
	// The policy changes faster than it can be loaded.
	err = s.agree(ctx, func(r reader) error {
		revision, err := read(r)
		if err == nil && revision != "" {
			p, err = r.policyAt(ctx, tenant, moment{})
		}
		return err
	})
	return p, err
}

// PolicyAt gives what was granted in a tenant at an instant.
func (r reader) PolicyAt(ctx context.Context, tenant TenantID, at time.Time) (p *access.Policy, err error) {
	err = r.agree(ctx, func(r reader) error {
		p, err = r.policyAt(ctx, tenant, then(at))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("policy of tenant %s: %w", tenant, err)
	}
	return p, nil
}

// agree runs f with reads that see one state of the database. They prepare their
// statements themselves: PostgreSQL plans those for what is asked about.
func (r reader) agree(ctx context.Context, f func(reader) error) error {
	if r.work != nil {
		return f(r)
	}
	tx, err := r.pool.db.BeginTxx(ctx, &sql.TxOptions{Isolation: r.pool.dialect.agreeing, ReadOnly: true})
	if err != nil {
		return r.pool.dialect.classify(err)
	}
	defer func() { _ = tx.Rollback() }() // it only read
	r.work = &work{tx: tx, alone: true, before: func(context.Context) error { return nil }}
	if err = f(r); err != nil && ctx.Err() != nil {
		// database/sql closes what is being read, and not always says why.
		return r.pool.dialect.classify(ctx.Err())
	}
	return err
}

// moment is when a question is about: now, or an instant of the past. Nothing was
// at the zero instant, which somebody forgot to set.
type moment struct {
	past bool
	at   Instant
}

func then(at time.Time) moment { return moment{past: true, at: At(at)} }

// versions are the columns of what was in a table at the moment, as a query with
// its arguments. from is the column of the table that says since when a row is as
// it is; where narrows the rows down and must begin with AND.
func (m moment) versions(table, from, columns, where string, tenant TenantID, args ...any) (string, []any) {
	now := `SELECT ` + columns + ` FROM ` + table + ` WHERE tenant_id = ?` + where
	all := append([]any{tenant}, args...)
	if !m.past {
		return now, all
	}
	since, until := "since", "until"
	if from != "since" {
		since, until = "valid_from", "valid_until"
	}
	now += ` AND ` + from + ` <= ? UNION ALL SELECT ` + columns + ` FROM ` + table + `_past WHERE tenant_id = ?` + where +
		` AND ` + since + ` <= ? AND ` + until + ` > ?`
	all = append(append(all, m.at, tenant), args...)
	return now, append(all, m.at, m.at)
}

// policyAt reads a policy.
func (r reader) policyAt(ctx context.Context, tenant TenantID, m moment) (*access.Policy, error) {
	c, grants, err := r.catalogueAndGrants(ctx, tenant, m)
	if err != nil {
		return nil, err
	}
	return access.NewPolicy(c, grants)
}

func (r reader) catalogueAndGrants(ctx context.Context, tenant TenantID, m moment) (c access.Catalogue, grants []access.Grant, err error) {
	query, args := m.versions("dimensions", "since", "key, name", "", tenant)
	err = r.each(ctx, func(rows *sqlx.Rows) error {
		var d access.Dimension
		err := rows.Scan(&d.ID, &d.Name)
		c.Dimensions = append(c.Dimensions, d)
		return err
	}, query+` ORDER BY key`, args...)
	if err != nil {
		return c, nil, err
	}
	query, args = m.versions("sites", "since", "id, dimension, key, name, parent_id, archived", "", tenant)
	err = r.each(ctx, func(rows *sqlx.Rows) error {
		s, err := scanSite(rows)
		c.Sites = append(c.Sites, s)
		return err
	}, query+` ORDER BY id`, args...)
	if err != nil {
		return c, nil, err
	}
	query, args = m.versions("products", "since", "key, doc", "", tenant)
	err = r.each(ctx, func(rows *sqlx.Rows) error {
		var key string
		var doc []byte
		if err := rows.Scan(&key, &doc); err != nil {
			return err
		}
		var p access.Product
		if err := json.Unmarshal(doc, &p); err != nil {
			return fmt.Errorf("product %s: %w", key, err)
		}
		c.Products = append(c.Products, p)
		return nil
	}, query+` ORDER BY key`, args...)
	if err != nil {
		return c, nil, err
	}
	query, args = m.versions("grants", "since", grantColumns, "", tenant)
	err = r.each(ctx, func(rows *sqlx.Rows) error {
		g, err := scanGrant(rows)
		grants = append(grants, g)
		return err
	}, query+` ORDER BY id`, args...)
	return c, grants, err
}

// policyEdit is the policy of a transaction that changes it.
type policyEdit struct {
	catalogue access.Catalogue
	policy    *access.Policy
	last      ChangeID // of this transaction; none yet if empty
}

// lockPolicy makes the transaction the only one that changes its tenant's policy
// or takes somebody away who might be its last owner, and gives what is granted.
func (tx *Tx) lockPolicy(ctx context.Context) (*policyEdit, error) {
	if tx.edit != nil {
		return tx.edit, nil
	}
	tenant := tx.actor.Tenant
	var row struct {
		Revision  Revision `db:"revision"`
		ChangedAt Instant  `db:"changed_at"`
	}
	err := tx.get(ctx, &row, `SELECT revision, changed_at FROM policies WHERE tenant_id = ?`+tx.pool.dialect.forUpdate, tenant)
	if err != nil {
		return nil, fmt.Errorf("policy of tenant %s: %w", tenant, err)
	}
	// What waited for the lock comes after what held it, whatever the clocks say.
	tx.now = later(later(At(tx.store.now()), tx.now), row.ChangedAt)

	c, grants, err := tx.catalogueAndGrants(ctx, tenant, moment{})
	if err != nil {
		return nil, err
	}
	edit := &policyEdit{catalogue: c}
	if edit.policy, err = access.NewPolicy(c, grants); err != nil {
		return nil, fmt.Errorf("policy of tenant %s: %w", tenant, err)
	}
	tx.edit = edit
	return edit, tx.watchOwners(ctx)
}

// Policy gives what is granted in the actor's tenant, this transaction's changes
// included, and keeps others from changing it until the transaction ends: a
// preview that was agreed to can be compared with what is.
func (tx *Tx) Policy(ctx context.Context) (*access.Policy, error) {
	edit, err := tx.lockPolicy(ctx)
	if err != nil {
		return nil, err
	}
	return edit.policy, nil
}

// changed takes the policy that a change makes, and logs the change.
func (tx *Tx) changed(p *access.Policy, action string, s subject, before, after any) ChangeID {
	tx.edit.policy = p
	tx.edit.last = tx.log(action, s, beforeAfter(before, after))
	return tx.edit.last
}

// beforeAfter is the detail of a change, as JSON objects; nil is left out.
func beforeAfter(before, after any) map[string]any {
	detail := map[string]any{}
	if before != nil {
		detail["before"] = before
	}
	if after != nil {
		detail["after"] = after
	}
	return detail
}

// withCatalogue is the policy with another catalogue. ErrInvalid when the
// catalogue contradicts itself.
func (e *policyEdit) withCatalogue(c access.Catalogue) (*access.Policy, error) {
	p, err := access.NewPolicy(c, e.policy.Grants())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return p, nil
}

// settle ends what a transaction did to policy and to owners: it gives the policy
// its new revision, and refuses to leave the tenant without an owner.
func (tx *Tx) settle(ctx context.Context) error {
	if tx.edit == nil {
		return nil
	}
	if tx.edit.last != "" {
		tenant := tx.actor.Tenant
		_, err := tx.exec(ctx, `UPDATE policies SET revision = ?, changed_at = ? WHERE tenant_id = ?`, tx.edit.last, tx.now, tenant)
		if err != nil {
			return err
		}
		p := &loadedPolicy{revision: Revision(tx.edit.last), policy: tx.edit.policy}
		tx.after = append(tx.after, func() { tx.store.policies.of(tenant).loaded.Store(p) })
	}
	return tx.keepOwners(ctx)
}

// retire moves a row of policy to the past as it is, and removes it when its
// successor isn't to be written over it.
func (tx *Tx) retire(ctx context.Context, table, columns, key string, id any, change ChangeID, remove bool) error {
	latest := "GREATEST"
	if tx.pool.dialect == sqliteDialect {
		latest = "MAX"
	}
	n, err := tx.exec(ctx, `INSERT INTO `+table+`_past (tenant_id, `+columns+`, since, until, change_id, end_change_id)
		SELECT tenant_id, `+columns+`, since, `+latest+`(since, CAST(? AS bigint)), change_id, `+tx.pool.dialect.idParam+`
		FROM `+table+` WHERE tenant_id = ? AND `+key+` = ?`, tx.now, change, tx.actor.Tenant, id)
	if err == nil && n == 0 {
		err = ErrNotFound
	}
	if err == nil && remove {
		_, err = tx.exec(ctx, `DELETE FROM `+table+` WHERE tenant_id = ? AND `+key+` = ?`, tx.actor.Tenant, id)
	}
	return err
}

// names checks texts that go into columns of their own.
func names(texts map[string]string) error {
	for what, text := range texts {
		if !isText(text) {
			return fmt.Errorf("%s %q: %w: no text", what, text, ErrInvalid)
		}
	}
	return checkKeys(texts)
}

// IsKey reports whether something new can be called so. All but "." and ".." can:
// these are no parts of an address, neither of the console nor of the API, so that
// what is called so couldn't be reached (RFC 3986, section 5.2.4).
func IsKey(text string) bool { return text != "." && text != ".." }

// newKey refuses what IsKey doesn't like.
func newKey(what, text string) error {
	if !IsKey(text) {
		return fmt.Errorf("%s %q: %w: no address can have that in it", what, text, ErrInvalid)
	}
	return nil
}

// optional is an id for a column that may be NULL.
func optional[ID ~string](id ID) any {
	if id == "" {
		return nil
	}
	return string(id)
}

// asJSON is a value for a column that holds JSON.
func asJSON(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}

var errBuiltIn = errors.New("the console is built in")
