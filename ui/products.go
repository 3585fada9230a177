package ui

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

func (s *Server) productsRoutes() []route {
	view := needs{access.ConsoleProducts, access.LevelView}
	return []route{
		{"GET", "/products", view, s.products},
		{"GET", "/products/{id}", view, s.product},
		{"GET", "/products/{id}/grid.csv", view, s.productCSV},
		{"GET", "/products/{id}/roles/{role}", view, s.role},
		{"GET", "/products/{id}/roles/{role}/people.csv", view, s.rolePeopleCSV},
	}
}

// productsPage is the list of products.
type productsPage struct {
	page
	Table table
	Rows  []productRow
	// New is where a product is added; empty for who may add none.
	New string
}

type productRow struct {
	Name, ID, Href     string
	Roles, Permissions int
	Dimensions         string
	Grants             int
}

func (s *Server) products(w http.ResponseWriter, _ *http.Request, v *visit) error {
	p := &productsPage{page: v.page("products.title"), Table: table{ID: "products", Caption: v.words.t("products.title"), Hidden: true,
		Columns: v.columns("products.name:wide", "products.places", "products.roles:number", "products.permissions:number", "products.grants:number")}}
	grants := map[access.ProductID]int{}
	for _, g := range v.policy.Grants() {
		if g.InForce(v.now) {
			grants[g.Product]++
		}
	}
	for _, product := range consoleLast(v.policy.Products()) {
		p.Rows = append(p.Rows, productRow{
			Name: productName(product), ID: string(product.ID), Href: v.link(productPath(product.ID)),
			Roles: len(product.Roles), Permissions: len(product.Permissions), Dimensions: strings.Join(v.dimensionNames(product), ", "), Grants: grants[product.ID],
		})
	}
	if v.mayAt(access.ConsoleProducts, access.LevelChange, nil) {
		p.New = v.link("/products/add/product")
	}
	return s.render(w, http.StatusOK, "products", p)
}

// productPath, permissionPath and rolePath are what the addresses of their pages
// begin with.
func productPath(id access.ProductID) string { return "/products/" + url.PathEscape(string(id)) }

func permissionPath(product access.ProductID, id access.PermissionID) string {
	return productPath(product) + "/permissions/" + url.PathEscape(string(id))
}

func rolePath(product access.ProductID, id access.RoleID) string {
	return productPath(product) + "/roles/" + url.PathEscape(string(id))
}

func productName(product access.Product) string { return cmp.Or(product.Name, string(product.ID)) }

// dimensionNames are what a product scopes by.
func (v *visit) dimensionNames(product access.Product) []string {
	var names []string
	for _, d := range v.policy.Catalogue().Dimensions {
		if slices.Contains(product.Dimensions, d.ID) {
			names = append(names, cmp.Or(d.Name, string(d.ID)))
		}
	}
	return names
}

// productPage is a product: what its roles may do, its rules and its keys.
type productPage struct {
	page
	Facts []term
	Grid  grid
	Pager pager
	Rules []string
	Keys  []keyRow
	KeysT table
	// NewKey is the form for a key; nil for who may make none.
	NewKey *keyForm
	// Secret is that of a key that was made just now: it is shown once.
	Secret string
	CSV    string
	Tools  []pivotLink // what the visitor may do with the product
}

// term is a word with what it is here.
type term struct{ Name, Value string }

// gridElements is about how many elements a grid on a page has at most, so that a page
// has fewer than 3,000: of a larger product the page shows a part, and one role is
// edited at a time. gridRoles is how many roles stand beside each other then.
const (
	gridElements = 2400
	gridRoles    = 40
)

// gridPlace is where a part of a grid begins.
type gridPlace struct{ Role, Row int }

// gridPart is the part of the product's grid that begins at a place, and where the next one
// does: the permissions that are left for the same roles, then the next roles.
func (v *visit) gridPart(product access.Product, at gridPlace) (g grid, next *gridPlace, err error) {
	if at.Role < 0 || at.Row < 0 || at.Role > len(product.Roles) {
		return g, nil, badRequest{"problem.after"}
	}
	roles := product.Roles[at.Role:]
	roles = roles[:min(len(roles), gridRoles)]
	g = v.grid(product, roles)
	if at.Row > len(g.Rows) {
		return g, nil, badRequest{"problem.after"}
	}
	g.Rows = g.Rows[at.Row:]
	switch most, end := gridElements/(len(roles)+5), at.Role+len(roles); { // beside the cells: the row, its head, a link, a chip, and who is denied it
	case len(g.Rows) > most:
		g.Rows, next = g.Rows[:most], &gridPlace{at.Role, at.Row + most}
	case end < len(product.Roles):
		next = &gridPlace{end, 0}
	}
	return g, next, nil
}

// grid is the levels of permissions in roles, as it prints.
type grid struct {
	Caption string
	Roles   []gridRole
	Rows    []gridRow
}

type gridRole struct{ Name, Href string }

// gridRow is a permission, or a heading of some.
type gridRow struct {
	Heading    string
	Name, Href string
	Tags       []string
	Cells      []gridCell
	// Denied says to how many grants deny it.
	Denied string
}

// gridCell is what a role gives of a permission. Inherited is given by what the
// role says of all permissions.
type gridCell struct {
	Text, Title string
	Inherited   bool
}

// grid makes the grid of some of a product's roles.
func (v *visit) grid(product access.Product, roles []access.Role) grid {
	w := v.words
	g := grid{Caption: w.t("products.grid", "product", productName(product))}
	for _, role := range roles {
		g.Roles = append(g.Roles, gridRole{cmp.Or(role.Name, string(role.ID)), v.link(rolePath(product.ID, role.ID))})
	}
	denied := map[access.PermissionID]int{}
	for _, grant := range v.policy.Grants() {
		if grant.Product != product.ID || grant.Effect != access.Deny || !grant.InForce(v.now) {
			continue
		}
		for _, permission := range product.Permissions {
			if grant.Permission == permission.ID || grant.Permission == access.AllPermissions || grant.Role != "" && roleLevel(product, grant.Role, permission.ID) != "" {
				denied[permission.ID]++
			}
		}
	}
	heading := ""
	for _, permission := range product.Permissions {
		if h := permissionHeading(product, permission); h != heading {
			if heading = h; h != "" {
				g.Rows = append(g.Rows, gridRow{Heading: h})
			}
		}
		row := gridRow{Name: cmp.Or(permission.Name, string(permission.ID)), Tags: permission.Tags}
		if v.shapes(product) {
			row.Href = permissionPath(product.ID, permission.ID) + "/edit"
		}
		for _, role := range roles {
			row.Cells = append(row.Cells, v.gridCell(role, permission.ID))
		}
		if n := denied[permission.ID]; n > 0 {
			row.Denied = w.n("products.denied", n)
		}
		g.Rows = append(g.Rows, row)
	}
	return g
}

func (v *visit) gridCell(role access.Role, permission access.PermissionID) gridCell {
	if level, ok := role.Permissions[permission]; ok {
		return gridCell{Text: v.words.level(level), Title: v.words.t("products.cell.allow", "level", v.words.level(level))}
	}
	if level, ok := role.Permissions[access.AllPermissions]; ok {
		return gridCell{Text: v.words.level(level), Title: v.words.t("products.cell.inherited", "level", v.words.level(level)), Inherited: true}
	}
	return gridCell{}
}

// roleLevel is what a role gives of a permission, empty for nothing.
func roleLevel(product access.Product, id access.RoleID, permission access.PermissionID) access.Level {
	for _, role := range product.Roles {
		if role.ID == id {
			return cmp.Or(role.Permissions[permission], role.Permissions[access.AllPermissions])
		}
	}
	return ""
}

// permissionHeading is what a product puts a permission under: case.close stands
// under case. There is none where only one stands under it.
func permissionHeading(product access.Product, permission access.Permission) string {
	group, _, ok := strings.Cut(string(permission.ID), ".")
	if !ok {
		return ""
	}
	n := 0
	for _, other := range product.Permissions {
		if strings.HasPrefix(string(other.ID), group+".") {
			n++
		}
	}
	if n < 2 {
		return ""
	}
	return strings.ToUpper(group[:1]) + group[1:]
}

// shapes reports whether the visitor may say what a product's permissions and roles
// are. Those of the console are built in.
func (v *visit) shapes(product access.Product) bool {
	return product.ID != access.ConsoleID && v.mayAt(access.ConsoleProducts, access.LevelChange, nil)
}

// findProduct is the product that the path names.
func (v *visit) findProduct(r *http.Request) (access.Product, error) {
	product, ok := v.policy.Product(access.ProductID(r.PathValue("id")))
	if !ok {
		return product, store.ErrNotFound
	}
	return product, nil
}

func (s *Server) product(w http.ResponseWriter, r *http.Request, v *visit) error {
	product, err := v.findProduct(r)
	if err != nil {
		return err
	}
	return s.showProduct(w, r, v, product, http.StatusOK, nil)
}

// showProduct renders the page of a product; edit changes it before.
func (s *Server) showProduct(w http.ResponseWriter, r *http.Request, v *visit, product access.Product, status int, edit func(*productPage)) error {
	words := v.words
	at, err := place[gridPlace](r)
	if err != nil {
		return err
	}
	grid, next, err := v.gridPart(product, at)
	if err != nil {
		return err
	}
	p := &productPage{page: v.page("products.one", "name", productName(product)), Grid: grid, Pager: keyset(r, next),
		Rules: v.rules(product), CSV: productPath(product.ID) + "/grid.csv"}
	p.Facts = []term{
		{words.t("products.key"), string(product.ID)},
		{words.t("products.levels"), strings.Join(levelNames(product), " < ")},
		{words.t("products.places"), cmp.Or(strings.Join(v.dimensionNames(product), ", "), words.t("products.noPlaces"))},
	}
	if v.shapes(product) {
		path := productPath(product.ID)
		if len(product.Roles) > 0 {
			p.Tools = append(p.Tools, pivotLink{Text: words.t("products.edit"), Href: path + "/edit"})
		}
		p.Tools = append(p.Tools, pivotLink{Text: words.t("products.addPermission"), Href: path + "/add/permission"},
			pivotLink{Text: words.t("products.addRole"), Href: path + "/add/role"}, pivotLink{Text: words.t("products.change"), Href: path + "/details"},
			pivotLink{Text: words.t("products.remove"), Href: path + "/remove"})
	}
	if err := s.keys(r.Context(), v, product, p); err != nil {
		return err
	}
	if edit != nil {
		edit(p)
	}
	return s.render(w, status, "product", p)
}

func levelNames(product access.Product) []string {
	all := make([]string, len(product.Levels))
	for i, level := range product.Levels {
		all[i] = string(level)
	}
	return all
}

// rules are a product's rules in words.
func (v *visit) rules(product access.Product) (all []string) {
	w := v.words
	if product.Rules.OneRole {
		all = append(all, w.t("products.rule.one"))
	}
	for _, limit := range product.Rules.Limits {
		kind := w.t("kind." + string(limit.Kind))
		if limit.MaxLevel != "" {
			all = append(all, w.t("products.rule.level", "kind", kind, "level", w.level(limit.MaxLevel)))
		}
		if len(limit.ForbidTags) > 0 {
			all = append(all, w.t("products.rule.tags", "kind", kind, "tags", strings.Join(limit.ForbidTags, ", ")))
		}
		if limit.ForbidAll {
			all = append(all, w.t("products.rule.all", "kind", kind))
		}
	}
	for _, rule := range product.Rules.Holders {
		role := roleName(product, rule.Role)
		if rule.Refuse > 0 {
			all = append(all, w.n("products.rule.refuse", rule.Refuse, "role", role))
		}
		if rule.Warn > 0 {
			all = append(all, w.n("products.rule.warn", rule.Warn, "role", role))
		}
		if rule.Max > 0 {
			all = append(all, w.n("products.rule.max", rule.Max, "role", role))
		}
	}
	return all
}

// productCSV is the grid, as a file.
func (s *Server) productCSV(w http.ResponseWriter, r *http.Request, v *visit) error {
	product, err := v.findProduct(r)
	if err != nil {
		return err
	}
	heads := []string{v.words.t("products.permission"), v.words.t("products.key")}
	for _, role := range product.Roles {
		heads = append(heads, cmp.Or(role.Name, string(role.ID)))
	}
	done := false
	return v.csvOf(w, "grid.csv", heads, func() (rows [][]string, err error) {
		if done {
			return nil, nil
		}
		done = true
		for _, permission := range product.Permissions {
			row := []string{cmp.Or(permission.Name, string(permission.ID)), string(permission.ID)}
			for _, role := range product.Roles {
				row = append(row, v.gridCell(role, permission.ID).Text)
			}
			rows = append(rows, row)
		}
		return rows, nil
	})
}

// rolePage is a role: what it may do, who has it and where.
type rolePage struct {
	page
	Product, ProductHref string
	Personal             bool
	Grid                 grid
	Tools                []pivotLink // what the visitor may do with the role
	People               *holdersList
	Grants               []siteGrant
	GrantsT              table
	Pagers               []windowPager
}

// roleView is a role as an address asks for it, with the grants of it that the
// visitor sees.
type roleView struct {
	product access.Product
	role    access.Role
	grants  []reachingGrant
}

func (s *Server) readRole(r *http.Request, v *visit) (*roleView, error) {
	product, err := v.findProduct(r)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(product.Roles, func(role access.Role) bool { return string(role.ID) == r.PathValue("role") })
	if i < 0 {
		return nil, store.ErrNotFound
	}
	o := &roleView{product: product, role: product.Roles[i]}
	// Whom a visitor may see is what the list of people says, too.
	var areas []access.Area
	if v.scoped(access.ConsolePeople, access.LevelView) {
		areas = v.area(access.ConsolePeople, access.LevelView)
	}
	all := v.granted(v.policy, v.now, nil)
	dead := map[access.GrantID]bool{}
	for _, problem := range v.policy.Problems() {
		dead[problem.Grant] = dead[problem.Grant] || problem.Reason != access.UnknownSite
	}
	for _, g := range v.policy.Grants() {
		if g.Product == product.ID && g.Role == o.role.ID && g.InForce(v.now) && !g.Scope.Zero() && (!dead[g.ID] || g.Effect == access.Deny) &&
			(areas == nil || all.inside(&g, areas)) {
			o.grants = append(o.grants, reachingGrant{Grant: g})
		}
	}
	return o, nil
}

func (s *Server) role(w http.ResponseWriter, r *http.Request, v *visit) error {
	o, err := s.readRole(r, v)
	if err != nil {
		return err
	}
	words := v.words
	page := productPath(o.product.ID)
	p := &rolePage{page: v.page("products.one", "name", cmp.Or(o.role.Name, string(o.role.ID))), Product: productName(o.product), ProductHref: v.link(page),
		Personal: o.role.Personal, Grid: v.grid(o.product, []access.Role{o.role})}
	p.Grid.Caption = words.t("products.may", "role", p.Title)
	if path := rolePath(o.product.ID, o.role.ID); v.shapes(o.product) {
		p.Tools = []pivotLink{
			{Text: words.t("products.editRole"), Href: address(page+"/edit", nil, "role", string(o.role.ID))}, {Text: words.t("products.renameRole"), Href: path + "/edit"},
			{Text: words.t("products.copyRole"), Href: address(page+"/add/role", nil, "copy", string(o.role.ID))}, {Text: words.t("products.removeRole"), Href: path + "/remove"},
		}
	}
	h, err := s.reached(r.Context(), v, v.policy, v.now, nil, o.grants, "")
	if err != nil {
		return err
	}
	if v.may(access.ConsolePeople, access.LevelView) {
		if p.People, err = s.holdersList(r, v, h, rolePath(o.product.ID, o.role.ID)+"/people.csv"); err != nil {
			return err
		}
		p.People.Table.Caption = words.t("products.whoHas")
		p.People.Empty = words.t("products.nobodyHas")
	}
	if v.may(access.ConsoleAccess, access.LevelView) {
		p.Grants, p.Pagers = v.grantRows(h, o.grants, r)
		p.GrantsT = table{ID: "grants", Caption: words.t("products.granted"), Columns: v.columns("sites.who", "sites.what", "products.where", "sites.until:narrow")}
	}
	return s.render(w, http.StatusOK, "role", p)
}

// rolePeopleCSV is everybody who has a role, as a file.
func (s *Server) rolePeopleCSV(w http.ResponseWriter, r *http.Request, v *visit) error {
	o, err := s.readRole(r, v)
	if err != nil {
		return err
	}
	if !v.may(access.ConsolePeople, access.LevelView) {
		return forbidden{needs{access.ConsolePeople, access.LevelView}}
	}
	h, err := s.reached(r.Context(), v, v.policy, v.now, nil, o.grants, "")
	if err != nil {
		return err
	}
	return h.csv(w, r)
}

// keyRow is a key of a product; its secret is not to be had again.
type keyRow struct {
	ID, Hint             string
	Search               bool
	Created              when
	Expires, Used, Ended when
	Revoke               string
}

// keyForm makes a key.
type keyForm struct {
	Action, Nonce string
	Expires       field
	Search        bool
}

// keys puts a product's keys on its page.
func (s *Server) keys(ctx context.Context, v *visit, product access.Product, p *productPage) error {
	keys, err := s.store.Keys(ctx, v.tenant(), product.ID)
	for _, key := range keys {
		row := keyRow{ID: string(key.ID), Hint: "…" + key.Hint, Search: key.Search, Created: v.instant(key.CreatedAt)}
		for from, to := range map[*store.Instant]*when{&key.ExpiresAt: &row.Expires, &key.LastUsedAt: &row.Used, &key.RevokedAt: &row.Ended} {
			if !from.IsZero() {
				*to = v.instant(*from)
			}
		}
		if key.Live(v.now) && v.mayAt(access.ConsoleProducts, access.LevelChange, nil) {
			row.Revoke = productPath(product.ID) + "/keys/" + string(key.ID) + "/revoke"
		}
		p.Keys = append(p.Keys, row)
	}
	p.KeysT = table{ID: "keys", Caption: v.words.t("products.keys"), Columns: v.columns("products.hint", "products.created", "products.used", "products.expires", "products.revoke:narrow")}
	if v.mayAt(access.ConsoleProducts, access.LevelChange, nil) {
		p.NewKey = &keyForm{Action: productPath(product.ID) + "/keys", Nonce: store.NewProposalKey(), Expires: field{
			Name: "expires", Label: v.words.t("products.expires"), Type: "date", Hint: v.words.t("products.expires.hint"),
			Value: v.now.In(v.zone).AddDate(1, 0, 0).Format(time.DateOnly)}}
	}
	return err
}
