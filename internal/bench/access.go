package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"gatehouse/access"
	"gatehouse/store"
)

// What products ask: the people of a company of which each is in some groups, of
// which one in four has a role at a site of a tree.

func accessJobs(z sizes) []job {
	const decision, read = "a decision over HTTP, against the floor", "a decision over HTTP, against GET by id of the floor"
	one := func(name, title string, most float64, prepare pairing) job {
		return job{name: name, goal: "P13–P14", title: title + ", against one decision", conns: 1, by: byMedian, target: atMost(most).ofFigure(), prepare: prepare}
	}
	return []job{
		{name: "decide", goal: "P12", title: decision, conns: 8, by: byRate, target: atLeast(0.8), prepare: decideJob},
		{name: "decide", goal: "P12", title: decision, conns: 1, by: byRate, prepare: decideJob},
		{name: "decide", goal: "P12", title: read, conns: 8, by: byRate, prepare: decideOrRead},
		one("batch", fmt.Sprintf("%d decisions of one person", batchSize), 5, againstOne("a batch", (*world).batch)),
		one("sites", "all sites of a person", 2, againstOne("sites", (*world).sitesOf)),
		one("who", fmt.Sprintf("who has access at one of %d sites", z.sites), 100, againstOne("who", (*world).whoHas)),
	}
}

// batchSize is that of the largest batch there may be.
const batchSize = 1_000

// decideJob asks both sides the same; the floor looks up the subject.
func decideJob(ctx context.Context, w *world) (ours, against side, err error) {
	ours, against, err = decideOrRead(ctx, w)
	against.next = func(i int) request {
		return evaluation(w.floor.users[scatter(i, len(w.floor.users))], "timesheet.view", siteKey(i%w.sites), true)
	}
	return ours, against, err
}

// decideOrRead has the floor read a user by id, which has no body to read.
func decideOrRead(ctx context.Context, w *world) (ours, against side, err error) {
	if err = w.needAccess(ctx); err == nil {
		err = w.floor.needUsers(ctx, w.users)
	}
	if err != nil {
		return ours, against, err
	}
	return side{directory: w.product, name: "ours", next: w.decision}, side{directory: w.floor, name: "floor", next: readUsers(w.floor.users)}, nil
}

func againstOne(name string, next func(w *world, i int) request) pairing {
	return func(ctx context.Context, w *world) (ours, against side, err error) {
		err = w.needAccess(ctx)
		ours = side{directory: w.product, name: name, next: func(i int) request { return next(w, i) }}
		return ours, side{directory: w.product, name: "a decision", next: w.decision}, err
	}
}

// blocks is into how many blocks of users the groups cut them.
func (z sizes) blocks() int { return z.deciding / z.members }

// hasMapping reports whether the j-th group has a role at the j-th site.
func (z sizes) hasMapping(j int) bool { return (j/z.blocks()+j)%4 == 0 }

// mapping is a group of the n-th user that has one.
func (z sizes) mapping(n int) int {
	for j := n / z.members; ; j += z.blocks() {
		if z.hasMapping(j) {
			return j
		}
	}
}

func siteKey(i int) string { return fmt.Sprintf("site%04d", i) }

// decision is one about somebody, whose answer is known: yes where the group has
// its role, no about what nobody has.
func (w *world) decision(i int) request {
	n := scatter(i, w.deciding)
	action, want := "timesheet.view", true
	if i%4 == 3 {
		action, want = "salary.view", false
	}
	return evaluation(w.deciders[n], action, siteKey(w.mapping(n)%w.sites), want)
}

func evaluation(user, action, site string, want bool) request {
	return ask("/evaluation", fmt.Appendf(nil, `{"subject":{"type":"user","id":%q},"action":{"name":%q},"resource":{"type":"site","id":%q}}`,
		user, action, site), func(body []byte) error {
		return decided(body, want)
	})
}

func ask(path string, body []byte, check func([]byte) error) request {
	return request{method: "POST", path: path, status: 200, body: body, check: check}
}

func decided(body []byte, want bool) error {
	if !bytes.HasPrefix(body, fmt.Appendf(nil, `{"decision":%v,`, want)) {
		return fmt.Errorf("want a decision %v", want)
	}
	return nil
}

// batch asks about one person at many sites, and about what she can't have at the
// last.
func (w *world) batch(i int) request {
	n := scatter(i, w.deciding)
	item := fmt.Sprintf(`{"resource":{"type":"site","id":%q}},`, siteKey(w.mapping(n)%w.sites))
	body := fmt.Appendf(nil, `{"subject":{"type":"user","id":%q},"action":{"name":"timesheet.view"},"evaluations":[%s{"action":{"name":"salary.view"},"resource":{"type":"site","id":%q}}]}`,
		w.deciders[n], strings.Repeat(item, batchSize-1), siteKey(0))
	return ask("/evaluations", body, func(body []byte) error {
		if yes, no := bytes.Count(body, []byte(`"decision":true`)), bytes.Count(body, []byte(`"decision":false`)); yes != batchSize-1 || no != 1 {
			return fmt.Errorf("%d yes and %d no, want %d and 1", yes, no, batchSize-1)
		}
		return nil
	})
}

// sitesOf lists where somebody may, which includes the site of her group.
func (w *world) sitesOf(i int) request {
	n := scatter(i, w.deciding)
	return ask("/search/resource", fmt.Appendf(nil, `{"subject":{"type":"user","id":%q},"action":{"name":"timesheet.view"},"resource":{"type":"site"},"page":{"limit":1000}}`,
		w.deciders[n]), func(body []byte) error {
		return found(body, siteKey(w.mapping(n)%w.sites))
	})
}

// whoHas lists who may at the site of somebody's group. She needn't be on the first
// page.
func (w *world) whoHas(i int) request {
	n := scatter(i, w.deciding)
	return ask("/search/subject", fmt.Appendf(nil, `{"subject":{"type":"user"},"action":{"name":"timesheet.view"},"resource":{"type":"site","id":%q},"page":{"limit":1000}}`,
		siteKey(w.mapping(n)%w.sites)), func(body []byte) error {
		return found(body, "")
	})
}

// found wants results, and one of them when it is named.
func found(body []byte, id string) error {
	var page struct{ Results []struct{ ID string } }
	if err := json.Unmarshal(body, &page); err != nil {
		return err
	}
	for _, r := range page.Results {
		if r.ID == id || id == "" {
			return nil
		}
	}
	return fmt.Errorf("%d results without %q", len(page.Results), id)
}

// needAccess makes the company, on a server of its own, and the key that its product
// asks with.
func (w *world) needAccess(ctx context.Context) error {
	if w.product != nil {
		return nil
	}
	d, err := w.gatehouse(ctx, "access")
	if err != nil {
		return err
	}
	if err := d.needUsers(ctx, w.deciding); err != nil {
		return err
	}
	if err := w.loadAccess(ctx, d); err != nil {
		return fmt.Errorf("load access: %w", err)
	}
	if err := d.settle(ctx, d.url); err != nil {
		return err
	}
	out, err := command(ctx, w.program, "key", "add", "--database-url="+d.url, "--product=clicktime", "--search", "--json")
	if err != nil {
		return err
	}
	var made struct {
		Key string `json:"api_key"`
	}
	if err := json.Unmarshal(out, &made); err != nil {
		return fmt.Errorf("add a key: %w: %s", err, out)
	}
	s := *d.server
	s.base, s.token, s.media = "/p/clicktime/access/v1", made.Key, "application/json"
	w.product, w.deciders = &directory{server: &s, url: d.url, note: d.note, settle: d.settle}, d.users
	return nil
}

// loadAccess writes groups, sites and mappings through the store.
func (w *world) loadAccess(ctx context.Context, d *directory) error {
	st, err := store.Open(ctx, d.url, store.Options{Patient: true})
	if err != nil {
		return err
	}
	defer st.Close()
	tenant, err := st.TenantNamed(ctx, store.DefaultTenant)
	if err != nil {
		return err
	}
	conn, err := st.ConnectionNamed(ctx, tenant.ID, connectionName)
	if err != nil {
		return err
	}
	actor := store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI, ID: "bench"}
	sites, err := addProduct(ctx, st, actor, w.sites)
	if err != nil {
		return err
	}
	var grants []access.Grant
	for j := range w.mapped {
		members := make([]store.MemberID, w.members)
		for k := range members {
			members[k] = store.MemberID(d.users[(j*w.members+k)%w.deciding])
		}
		name := fmt.Sprintf("Mapped %d", j)
		doc := fmt.Appendf(nil, `{"displayName":%q}`, name)
		var group store.Group
		err := st.Write(ctx, actor, func(tx *store.Tx) (err error) {
			group, _, err = tx.CreateGroup(ctx, conn.Ref(), store.Group{DisplayName: name, Doc: doc, Search: doc}, members)
			return err
		})
		if err != nil {
			return err
		}
		if w.hasMapping(j) {
			grants = append(grants, supervisor(group.ID, sites[j%w.sites]))
		}
	}
	d.note("%s: %d memberships in %d groups, %d mappings, %d sites", d.name, w.mapped*w.members, w.mapped, len(grants), len(sites))
	return st.Write(ctx, actor, func(tx *store.Tx) error {
		_, err := tx.AddGrants(ctx, grants...)
		return err
	})
}

// addProduct makes a tree of so many sites and a product with a role at them.
func addProduct(ctx context.Context, st *store.Store, actor store.Actor, n int) ([]access.Site, error) {
	sites := make([]access.Site, n)
	for i := range sites {
		sites[i] = access.Site{ID: store.NewSiteID(), Dimension: "site", Key: siteKey(i), Name: siteKey(i)}
		if i >= 5 { // five trees, five below each node
			sites[i].Parent = sites[i/5-1].ID
		}
	}
	return sites, st.Write(ctx, actor, func(tx *store.Tx) error {
		if err := tx.SetDimension(ctx, access.Dimension{ID: "site"}); err != nil {
			return err
		}
		if _, err := tx.AddSites(ctx, sites...); err != nil {
			return err
		}
		return tx.SetProduct(ctx, access.Product{
			ID: "clicktime", Levels: []access.Level{"view", "maintain"}, Dimensions: []access.DimensionID{"site"},
			Permissions: []access.Permission{{ID: "timesheet"}, {ID: "rota"}, {ID: "salary"}},
			Roles:       []access.Role{{ID: "supervisor", Permissions: map[access.PermissionID]access.Level{"timesheet": "maintain", "rota": "view"}}},
		})
	})
}

// supervisor is the mapping of a group to the role at a site.
func supervisor(group store.GroupID, site access.Site) access.Grant {
	return access.Grant{
		Subject: access.Grantee{Group: access.GroupID(group)}, Effect: access.Allow, Product: "clicktime", Role: "supervisor",
		Scope:  access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: []access.SiteID{site.ID}}}},
		Origin: access.OriginMapping,
	}
}
