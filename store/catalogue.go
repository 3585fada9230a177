package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

// SetDimension adds a dimension to the actor's tenant, or gives it another name.
func (tx *Tx) SetDimension(ctx context.Context, d access.Dimension) error {
	edit, err := tx.lockPolicy(ctx)
	if err != nil {
		return err
	}
	if err := names(map[string]string{"dimension": string(d.ID), "name": d.Name}); err != nil {
		return err
	}
	c := edit.catalogue
	i := slices.IndexFunc(c.Dimensions, func(o access.Dimension) bool { return o.ID == d.ID })
	if i >= 0 && c.Dimensions[i] == d {
		return nil
	}
	if err := newKey("dimension", string(d.ID)); i < 0 && err != nil {
		return err
	}
	c.Dimensions = slices.Clone(c.Dimensions)
	action, before := DimensionCreated, any(nil)
	row, err := tx.keyed(ctx, "dimensions", string(d.ID))
	switch {
	case err != nil:
		return err
	case i >= 0:
		action, before = DimensionChanged, c.Dimensions[i]
		c.Dimensions[i] = d
	default:
		c.Dimensions = append(c.Dimensions, d)
	}
	p, err := edit.withCatalogue(c)
	if err != nil {
		return err
	}
	change := tx.changed(p, action, subject{kind: "dimension", id: row, name: string(d.ID)}, before, d)
	edit.catalogue = c
	if i < 0 {
		_, err = tx.exec(ctx, `INSERT INTO dimensions (tenant_id, id, key, name, since, change_id) VALUES (?, ?, ?, ?, ?, ?)`,
			tx.actor.Tenant, row, d.ID, d.Name, tx.now, change)
		return err
	}
	if err := tx.retire(ctx, "dimensions", "id, key, name", "id", row, change, false); err != nil {
		return fmt.Errorf("dimension %s: %w", d.ID, err)
	}
	_, err = tx.exec(ctx, `UPDATE dimensions SET name = ?, since = ?, change_id = ? WHERE tenant_id = ? AND id = ?`,
		d.Name, tx.now, change, tx.actor.Tenant, row)
	return err
}

// RemoveDimension takes away a dimension that nothing refers to: ErrInUse when it
// has sites, archived ones too, or when a product or a grant names it.
func (tx *Tx) RemoveDimension(ctx context.Context, id access.DimensionID) error {
	edit, err := tx.lockPolicy(ctx)
	if err != nil {
		return err
	}
	c := edit.catalogue
	i := slices.IndexFunc(c.Dimensions, func(o access.Dimension) bool { return o.ID == id })
	if i < 0 {
		return fmt.Errorf("dimension %q: %w", id, ErrNotFound)
	}
	used := func(by string) error { return fmt.Errorf("dimension %s: %w by %s", id, ErrInUse, by) }
	if j := slices.IndexFunc(c.Sites, func(s access.Site) bool { return s.Dimension == id }); j >= 0 {
		return used("site " + c.Sites[j].Name)
	}
	if j := slices.IndexFunc(c.Products, func(p access.Product) bool { return slices.Contains(p.Dimensions, id) }); j >= 0 {
		return used("product " + string(c.Products[j].ID))
	}
	for _, g := range edit.policy.Grants() {
		if _, named := g.Scope.Sites[id]; named {
			return used("grant " + string(g.ID))
		}
	}
	before := c.Dimensions[i]
	c.Dimensions = slices.Delete(slices.Clone(c.Dimensions), i, i+1)
	p, err := edit.withCatalogue(c)
	if err != nil {
		return err
	}
	row, err := tx.keyed(ctx, "dimensions", string(id))
	if err != nil {
		return err
	}
	change := tx.changed(p, DimensionRemoved, subject{kind: "dimension", id: row, name: string(id)}, before, nil)
	edit.catalogue = c
	return tx.retire(ctx, "dimensions", "id, key, name", "id", row, change, true)
}

// keyed is the id of the row of a dimension or product, a new one if there is none.
func (tx *Tx) keyed(ctx context.Context, table, key string) (string, error) {
	rows := []string{}
	err := tx.list(ctx, &rows, `SELECT CAST(id AS text) FROM `+table+` WHERE tenant_id = ? AND key = ?`, tx.actor.Tenant, key)
	if err != nil || len(rows) == 0 {
		return newID(), err
	}
	return rows[0], nil
}

const siteColumns = `id, dimension, key, name, parent_id, archived`

func scanSite(rows *sqlx.Rows) (access.Site, error) {
	var s access.Site
	var parent sql.NullString
	err := rows.Scan(&s.ID, &s.Dimension, &s.Key, &s.Name, &parent, &s.Archived)
	s.Parent = access.SiteID(parent.String)
	return s, err
}

// AddSites adds sites to the actor's tenant and gives them with their ids. Where
// one is below another of the same call, the caller may choose ids beforehand
// (NewSiteID). ErrInvalid when a key is taken or a parent isn't there.
func (tx *Tx) AddSites(ctx context.Context, sites ...access.Site) ([]access.Site, error) {
	edit, err := tx.lockPolicy(ctx)
	if err != nil {
		return nil, err
	}
	sites = slices.Clone(sites)
	c := edit.catalogue
	c.Sites = slices.Clip(c.Sites)
	for i := range sites {
		s := &sites[i]
		if s.ID == "" {
			s.ID = NewSiteID()
		}
		if !validID(string(s.ID)) {
			return nil, fmt.Errorf("site %q: %w: no id of a site", s.ID, ErrInvalid)
		}
		if err := names(map[string]string{"dimension": string(s.Dimension), "key": s.Key, "name": s.Name}); err != nil {
			return nil, err
		}
		if err := newKey("site", s.Key); err != nil {
			return nil, err
		}
		c.Sites = append(c.Sites, *s)
	}
	p, err := edit.withCatalogue(c)
	if err != nil {
		return nil, err
	}
	edit.catalogue = c
	for _, s := range sites {
		change := tx.changed(p, SiteCreated, siteSubject(s), nil, s)
		tx.insert(`sites (tenant_id, id, dimension, key, name, parent_id, archived, since, change_id)`,
			tx.actor.Tenant, s.ID, s.Dimension, s.Key, s.Name, optional(s.Parent), s.Archived, tx.now, change)
	}
	return sites, nil
}

// NewSiteID makes the id of a site that is still to be added.
func NewSiteID() access.SiteID { return access.SiteID(newID()) }

func siteSubject(s access.Site) subject {
	return subject{kind: "site", id: string(s.ID), name: s.Name}
}

// ChangeSite renames, moves, archives or restores a site by a pure function of
// what it is now, and gives what it is then. The log names the weightiest of what
// was done. A site keeps its dimension. Sites are never removed: archive them.
func (tx *Tx) ChangeSite(ctx context.Context, id access.SiteID, change func(access.Site) access.Site) (access.Site, error) {
	edit, err := tx.lockPolicy(ctx)
	if err != nil {
		return access.Site{}, err
	}
	c := edit.catalogue
	i := slices.IndexFunc(c.Sites, func(s access.Site) bool { return s.ID == id })
	if i < 0 {
		return access.Site{}, fmt.Errorf("site %q: %w", id, ErrNotFound)
	}
	before := c.Sites[i]
	after := change(before)
	if after == before {
		return before, nil
	}
	if after.ID != before.ID || after.Dimension != before.Dimension {
		return before, fmt.Errorf("site %s: %w: it keeps its id and its dimension", id, ErrInvalid)
	}
	if err := names(map[string]string{"key": after.Key, "name": after.Name}); err != nil {
		return before, err
	}
	if err := newKey("site", after.Key); after.Key != before.Key && err != nil {
		return before, err
	}
	c.Sites = slices.Clone(c.Sites)
	c.Sites[i] = after
	p, err := edit.withCatalogue(c)
	if err != nil {
		return before, err
	}
	action := SiteChanged
	switch {
	case after.Archived && !before.Archived:
		action = SiteArchived
	case before.Archived && !after.Archived:
		action = SiteRestored
	case after.Parent != before.Parent:
		action = SiteMoved
	}
	changeID := tx.changed(p, action, siteSubject(after), before, after)
	edit.catalogue = c
	if err := tx.retire(ctx, "sites", siteColumns, "id", id, changeID, false); err != nil {
		return before, fmt.Errorf("site %s: %w", id, err)
	}
	_, err = tx.exec(ctx, `UPDATE sites SET key = ?, name = ?, parent_id = ?, archived = ?, since = ?, change_id = ? WHERE tenant_id = ? AND id = ?`,
		after.Key, after.Name, optional(after.Parent), after.Archived, tx.now, changeID, tx.actor.Tenant, id)
	return after, err
}

// SetProduct adds a product to the actor's tenant, or replaces the whole of one.
// ErrInUse when a role, permission, level or dimension goes that a grant names:
// end those grants first, so that nobody loses access as a side effect.
func (tx *Tx) SetProduct(ctx context.Context, product access.Product) error {
	edit, err := tx.lockPolicy(ctx)
	if err != nil {
		return err
	}
	if product.ID == access.ConsoleID {
		return fmt.Errorf("product %s: %w: %w", product.ID, ErrInvalid, errBuiltIn)
	}
	if err := names(map[string]string{"product": string(product.ID)}); err != nil {
		return err
	}
	// As it will be read back, and nothing of the caller's to change later.
	doc, err := asJSON(product)
	if err != nil {
		return fmt.Errorf("product %s: %w", product.ID, err)
	}
	product = access.Product{}
	if err := json.Unmarshal([]byte(doc), &product); err != nil {
		return err
	}

	c := edit.catalogue
	c.Products = slices.Clone(c.Products)
	action, before := ProductCreated, any(nil)
	i := slices.IndexFunc(c.Products, func(o access.Product) bool { return o.ID == product.ID })
	if err := newKeys(c.Products, product); err != nil {
		return err
	}
	if i >= 0 {
		if reflect.DeepEqual(c.Products[i], product) {
			return nil
		}
		action, before = ProductChanged, c.Products[i]
		c.Products[i] = product
	} else {
		c.Products = append(c.Products, product)
	}
	p, err := edit.withCatalogue(c)
	if err != nil {
		return err
	}
	if err := orphans(edit.policy, p); err != nil {
		return err
	}
	row, err := tx.keyed(ctx, "products", string(product.ID))
	if err != nil {
		return err
	}
	change := tx.changed(p, action, subject{kind: "product", id: row, name: string(product.ID)}, before, product)
	edit.catalogue = c
	if i < 0 {
		_, err = tx.exec(ctx, `INSERT INTO products (tenant_id, id, key, doc, since, change_id) VALUES (?, ?, ?, ?, ?, ?)`,
			tx.actor.Tenant, row, product.ID, doc, tx.now, change)
		if err != nil {
			return err
		}
		return tx.removeWebhooks(ctx, product.ID)
	}
	if err := tx.retire(ctx, "products", "id, key, doc", "id", row, change, false); err != nil {
		return fmt.Errorf("product %s: %w", product.ID, err)
	}
	_, err = tx.exec(ctx, `UPDATE products SET doc = ?, since = ?, change_id = ? WHERE tenant_id = ? AND id = ?`,
		doc, tx.now, change, tx.actor.Tenant, row)
	return err
}

// newKeys refuses new things of a product that can't be called so.
func newKeys(before []access.Product, product access.Product) error {
	had := map[string]bool{}
	for _, p := range before {
		if p.ID != product.ID {
			continue
		}
		had["product "+string(p.ID)] = true
		for _, o := range p.Permissions {
			had["permission "+string(o.ID)] = true
		}
		for _, o := range p.Roles {
			had["role "+string(o.ID)] = true
		}
	}
	check := func(what, key string) error {
		if had[what+" "+key] {
			return nil
		}
		return newKey(what, key)
	}
	err := check("product", string(product.ID))
	for _, o := range product.Permissions {
		err = cmp.Or(err, check("permission", string(o.ID)))
	}
	for _, o := range product.Roles {
		err = cmp.Or(err, check("role", string(o.ID)))
	}
	return err
}

// orphans finds grants that name something which a change took away.
func orphans(before, after *access.Policy) error {
	old := map[access.Problem]bool{}
	for _, p := range before.Problems() {
		old[p] = true
	}
	for _, p := range after.Problems() {
		switch p.Reason {
		case access.UnknownProduct, access.UnknownRole, access.UnknownPermission, access.UnknownLevel, access.UnknownDimension:
			if !old[p] {
				return fmt.Errorf("%s %s: %w by grant %s", p.Reason, p.Name, ErrInUse, p.Grant)
			}
		}
	}
	return nil
}

// RemoveProduct takes a product away that nobody is granted anything in. ErrInUse
// as long as there is a grant, in force or not. Its keys open nothing any more; its
// webhooks stay, to hear who lost what, until there is a product of that name again.
func (tx *Tx) RemoveProduct(ctx context.Context, id access.ProductID) error {
	edit, err := tx.lockPolicy(ctx)
	if err != nil {
		return err
	}
	c := edit.catalogue
	i := slices.IndexFunc(c.Products, func(p access.Product) bool { return p.ID == id })
	if i < 0 {
		return fmt.Errorf("product %q: %w", id, ErrNotFound)
	}
	for _, g := range edit.policy.Grants() {
		if g.Product == id {
			return fmt.Errorf("product %s: %w by grant %s", id, ErrInUse, g.ID)
		}
	}
	before := c.Products[i]
	c.Products = slices.Delete(slices.Clone(c.Products), i, i+1)
	p, err := edit.withCatalogue(c)
	if err != nil {
		return err
	}
	row, err := tx.keyed(ctx, "products", string(id))
	if err != nil {
		return err
	}
	change := tx.changed(p, ProductRemoved, subject{kind: "product", id: row, name: string(id)}, before, nil)
	edit.catalogue = c
	tx.after = append(tx.after, tx.store.keys.clear)
	return tx.retire(ctx, "products", "id, key, doc", "id", row, change, true)
}
