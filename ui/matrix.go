package ui

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

func (s *Server) matrixRoutes() []route {
	view := needs{access.ConsoleAccess, access.LevelView}
	return []route{
		{"GET", "/matrix", view, s.matrix},
		{"GET", "/matrix.csv", view, s.matrixCSV},
	}
}

// matrixPage shows who has what where, by two of the three.
type matrixPage struct {
	page
	Pivots  []pivotLink
	Filters []field
	// Pivot and Flipped are kept by the form.
	Pivot, Flipped string
	Past           bool
	Caption        string
	Corner         string
	Columns        []matrixLine
	Rows           []matrixRow
	Pagers         []windowPager
	Flip, CSV      string
	Empty          empty
}

type pivotLink struct {
	Text, Href string
	Current    bool
}

type matrixRow struct {
	matrixLine
	Cells []matrixCell
}

// matrixLine is the head of a row or a column.
type matrixLine struct {
	id     string
	Name   string
	Detail string // where it is, if the name doesn't say
}

// matrixCell is empty and inert, or a link.
type matrixCell struct {
	Text, Title, Href string
	// Quiet says that it comes from above; Deny, that it takes something away.
	Quiet, Deny bool
}

// windowPager goes through the rows or the columns of a matrix.
type windowPager struct{ Label, Text, Before, After string }

// The pivots: groups and sites give roles, groups and roles the number of sites,
// roles and sites the number of people.
var pivots = []string{"sites", "roles", "people"}

const (
	matrixRows    = 60
	matrixColumns = 24
)

// matrix is one of the pivots with all its rows and columns; cells are worked out
// when they are shown.
type matrix struct {
	server  *Server
	visit   *visit
	query   url.Values
	at      time.Time
	past    bool
	policy  *access.Policy
	forest  *forest
	pivot   string
	product access.Product
	// dimension is empty for a product without any: it has one column, everywhere.
	dimension access.DimensionID
	of        map[access.Grantee][]access.Grant
	groups    map[access.GroupID]string
	rolls     *store.Rolls
	counted   map[string]int

	rows, columns []matrixLine
	cell          func(row, column string) matrixCell
	corner        string
}

// everyoneRow is the row of what everyone is granted; no group has that id.
const everyoneRow = "everyone"

func (s *Server) readMatrix(r *http.Request, v *visit) (*matrix, error) {
	ctx := r.Context()
	m := &matrix{server: s, visit: v, query: r.URL.Query(), policy: v.policy, pivot: pivots[0], of: map[access.Grantee][]access.Grant{}, counted: map[string]int{}}
	var err error
	if m.at, m.past, err = v.at(r); err != nil {
		return nil, err
	}
	var then store.Snapshot
	if m.past {
		if then, err = s.store.SnapshotAt(ctx, v.tenant(), m.at); err != nil {
			return nil, err
		}
		if m.policy, err = access.NewPolicy(then.Catalogue, then.Grants); err != nil {
			return nil, err
		}
	}
	if pivot := m.query.Get("pivot"); slices.Contains(pivots, pivot) {
		m.pivot = pivot
	}
	m.forest = v.forest(m.policy, access.ConsoleAccess)
	if !m.choose() {
		return m, nil
	}
	m.sort()
	if err := m.name(ctx, then); err != nil {
		return nil, err
	}
	switch m.pivot {
	case "sites":
		m.rows, m.columns, m.cell, m.corner = m.groupLines(), m.siteLines(), m.rolesAt, v.words.t("matrix.groups")
	case "roles":
		m.rows, m.columns, m.cell, m.corner = m.groupLines(), m.roleLines(), m.sitesWith, v.words.t("matrix.groups")
	case "people":
		m.rows, m.columns, m.cell, m.corner = m.roleLines(), m.siteLines(), m.peopleAt, v.words.t("matrix.roles")
		if err := m.call(ctx, then.Facts); err != nil {
			return nil, err
		}
	}
	if m.query.Get("flip") != "" {
		cell := m.cell
		m.rows, m.columns = m.columns, m.rows
		m.cell = func(row, column string) matrixCell { return cell(column, row) }
		m.corner = v.words.t("matrix.sites")
		if m.pivot == "roles" {
			m.corner = v.words.t("matrix.roles")
		}
	}
	return m, nil
}

// choose picks the product and the dimension; false if there is none of that id.
func (m *matrix) choose() bool {
	products := consoleLast(m.policy.Products())
	m.product = products[0]
	if id := m.query.Get("product"); id != "" {
		product, ok := m.policy.Product(access.ProductID(id))
		if !ok {
			return false
		}
		m.product = product
	}
	if len(m.product.Dimensions) == 0 {
		return true
	}
	m.dimension = m.product.Dimensions[0]
	if id := access.DimensionID(m.query.Get("dimension")); slices.Contains(m.product.Dimensions, id) {
		m.dimension = id
	}
	return true
}

// sort puts the grants in the product by whom they are for; of a visitor who sees
// only some sites, those that reach one of them.
func (m *matrix) sort() {
	g := m.visit.granted(m.policy, m.at, nil)
	dead := map[access.GrantID]bool{}
	for _, problem := range m.policy.Problems() {
		dead[problem.Grant] = dead[problem.Grant] || problem.Reason != access.UnknownSite
	}
	for _, grant := range m.policy.Grants() {
		if grant.Product == m.product.ID && grant.Attribute == "" && grant.InForce(m.at) && (!dead[grant.ID] || grant.Effect == access.Deny) &&
			(m.forest.areas == nil || g.inside(&grant, m.forest.areas)) {
			m.of[grant.Subject] = append(m.of[grant.Subject], grant)
		}
	}
}

// name finds what groups are called, or were.
func (m *matrix) name(ctx context.Context, then store.Snapshot) error {
	m.groups = map[access.GroupID]string{}
	var ids []access.GroupID
	for to := range m.of {
		if to.Group != "" {
			ids = append(ids, to.Group)
			m.groups[to.Group] = m.visit.words.t("matrix.gone")
		}
	}
	if m.past {
		for _, id := range ids {
			if named, ok := then.Groups[id]; ok {
				m.groups[id] = named.Name
			}
		}
		return nil
	}
	names, err := m.server.store.Names(ctx, m.visit.tenant(), nil, ids)
	for id, name := range names {
		m.groups[access.GroupID(id)] = name
	}
	return err
}

// call finds the people whom the grants are for.
func (m *matrix) call(ctx context.Context, then access.Facts) (err error) {
	var whom access.Audience
	for to := range m.of {
		whom.Add(to)
	}
	whom.Everyone = false
	if !m.past {
		m.rolls, err = m.server.store.Rolls(ctx, m.visit.tenant(), whom)
		return err
	}
	var enter func(access.GroupID, access.UserID)
	m.rolls, enter = store.NewRolls()
	for id, person := range then.People {
		if !person.Live(m.at) {
			continue
		}
		if m.of[access.Grantee{User: id}] != nil {
			enter("", id)
		}
		for _, group := range then.Subject(id).Groups {
			if m.of[access.Grantee{Group: group}] != nil {
				enter(group, id)
			}
		}
	}
	return nil
}

// matches reports whether one of some texts has what a filter asks for in it.
func (m *matrix) matches(filter string, texts ...string) bool {
	wanted := store.Fold(strings.TrimSpace(m.query.Get(filter)))
	return wanted == "" || slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(store.Fold(text), wanted) })
}

func (m *matrix) groupLines() []matrixLine {
	var all []matrixLine
	for id, name := range m.groups {
		if m.matches("group", name) {
			all = append(all, matrixLine{id: string(id), Name: name})
		}
	}
	all = byName(all, func(l matrixLine) string { return l.Name }, func(l matrixLine) string { return l.id })
	if everyone := m.visit.words.t("matrix.everyone"); m.of[access.Grantee{Everyone: true}] != nil && m.matches("group", everyone) {
		all = append([]matrixLine{{id: everyoneRow, Name: everyone}}, all...)
	}
	return all
}

func (m *matrix) siteLines() []matrixLine {
	if m.dimension == "" {
		return []matrixLine{{Name: m.visit.words.t("chip.everywhere")}}
	}
	var all []matrixLine
	m.forest.each(m.dimension, func(site access.Site) {
		if !m.forest.closed(site) && m.matches("site", site.Name, site.Key) {
			above, _ := m.policy.Site(site.Parent)
			line := matrixLine{id: string(site.ID), Name: siteName(site)}
			if above.ID != "" && m.forest.sees(above) {
				line.Detail = siteName(above)
			}
			all = append(all, line)
		}
	})
	return all
}

func (m *matrix) roleLines() []matrixLine {
	var all []matrixLine
	for _, role := range m.product.Roles {
		all = append(all, matrixLine{id: string(role.ID), Name: cmp.Or(role.Name, string(role.ID))})
	}
	return all
}

func (m *matrix) grantee(row string) access.Grantee {
	if row == everyoneRow {
		return access.Grantee{Everyone: true}
	}
	return access.Grantee{Group: access.GroupID(row)}
}

// reach is Policy.Reach, where a product without dimensions is one place.
func (m *matrix) reach(grant *access.Grant, site string) (access.Reach, bool) {
	if m.dimension == "" {
		return access.Reach{}, grant.Scope.Everywhere
	}
	return m.policy.Reach(grant.ID, access.SiteID(site))
}

// what is what a grant gives, in a few words.
func (m *matrix) what(grant *access.Grant) string {
	return grantWhat(m.visit.words, grant, m.product)
}

// grantWhat is the role of a grant, or the permission and its level; with a not
// before what is denied.
func grantWhat(w *words, grant *access.Grant, product access.Product) string {
	what := roleName(product, grant.Role)
	if grant.Role == "" {
		what = permissionName(product, grant.Permission)
		if grant.Permission == access.AllPermissions {
			what = w.t("matrix.anything")
		}
		if len(product.Levels) > 1 {
			what += " " + w.level(grant.Level)
		}
	}
	if grant.Effect == access.Deny {
		return w.t("chip.deny", "what", what)
	}
	return what
}

func roleName(product access.Product, id access.RoleID) string {
	for _, role := range product.Roles {
		if role.ID == id {
			return cmp.Or(role.Name, string(id))
		}
	}
	return string(id)
}

func permissionName(product access.Product, id access.PermissionID) string {
	for _, permission := range product.Permissions {
		if permission.ID == id {
			return cmp.Or(permission.Name, string(id))
		}
	}
	return string(id)
}

// rolesAt is what a group is granted at a site.
func (m *matrix) rolesAt(group, site string) matrixCell {
	w := m.visit.words
	c := matrixCell{Quiet: true}
	var texts, titles []string
	var through []access.GrantID
	grants := m.of[m.grantee(group)]
	for i := range grants {
		reach, ok := m.reach(&grants[i], site)
		if !ok {
			continue
		}
		text := m.what(&grants[i])
		through = append(through, grants[i].ID)
		if !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
		switch above, _ := m.policy.Site(reach.Above); {
		case reach.Above == access.SiteID(site):
			c.Quiet = false
		case reach.Above == "":
			text = w.t("matrix.fromAll", "what", text)
		case m.forest.sees(above):
			text = w.t("matrix.from", "what", text, "site", siteName(above))
		default:
			text = w.t("matrix.fromAbove", "what", text)
		}
		if reach.Part {
			text = w.t("matrix.part", "what", text)
		}
		if !slices.Contains(titles, text) {
			titles = append(titles, text)
		}
		c.Deny = c.Deny || grants[i].Effect == access.Deny
	}
	if len(texts) == 0 {
		return matrixCell{}
	}
	slices.Sort(texts)
	slices.Sort(titles)
	c.Text, c.Title = strings.Join(texts, ", "), strings.Join(titles, "; ")
	switch {
	case m.past:
		c.Href = m.there(site, "")
	case len(through) == 1 && m.visit.may(access.ConsoleAccess, access.LevelChange):
		c.Href = cmp.Or(m.visit.link("/mappings/"+string(through[0])+"/edit"), m.there(site, ""))
	case len(through) == 1:
		c.Href = cmp.Or(m.visit.link("/mappings/"+string(through[0])), m.there(site, ""))
	default:
		c.Href = cmp.Or(m.mappings(group, "", site), m.there(site, ""))
	}
	return c
}

// there is the page of a site, with the people of a role or with all.
func (m *matrix) there(site, role string) string {
	if site == "" {
		return ""
	}
	query := url.Values{}
	if role != "" {
		query.Set("role", string(m.product.ID)+"/"+role)
	}
	return m.visit.link(address("/sites/"+site, query, "at", m.query.Get("at")))
}

// mappings is the list of a group's mappings, of a role or at a site.
func (m *matrix) mappings(group, role, site string) string {
	query := url.Values{"site": {site}, "group": {group}}
	if group == everyoneRow {
		query = url.Values{"site": {site}, "of": {"all"}}
	}
	if role != "" {
		role = string(m.product.ID) + "/" + role
	}
	return m.visit.link(address("/mappings", query, "role", role))
}

// sitesWith is at how many sites a group has a role.
func (m *matrix) sitesWith(group, role string) matrixCell {
	w := m.visit.words
	var grants []access.Grant
	for _, grant := range m.of[m.grantee(group)] {
		if grant.Role == access.RoleID(role) && grant.Effect == access.Allow {
			grants = append(grants, grant)
		}
	}
	if len(grants) == 0 {
		return matrixCell{}
	}
	n, of := 0, 0
	for site := range m.open() {
		of++
		for i := range grants {
			if _, ok := m.reach(&grants[i], site); ok {
				n++
				break
			}
		}
	}
	if n == 0 {
		return matrixCell{}
	}
	c := matrixCell{Text: w.number(n), Title: w.n("matrix.sitesOf", n, "of", of)}
	if n == of {
		c.Text = w.t("matrix.all")
	}
	if !m.past {
		c.Href = m.mappings(group, role, "")
	}
	return c
}

// open goes through the sites of the dimension that the visitor sees.
func (m *matrix) open() func(func(string) bool) {
	return func(yield func(string) bool) {
		if m.dimension == "" {
			yield("")
			return
		}
		for _, site := range m.policy.Catalogue().Sites {
			if site.Dimension == m.dimension && m.forest.sees(site) && !m.forest.closed(site) && !yield(string(site.ID)) {
				return
			}
		}
	}
}

// peopleAt is how many people have a role at a site.
func (m *matrix) peopleAt(role, site string) matrixCell {
	w := m.visit.words
	var whom []access.Grantee
	everyone := false
	var key strings.Builder
	for to, grants := range m.of {
		if slices.ContainsFunc(grants, func(grant access.Grant) bool {
			_, ok := m.reach(&grant, site)
			return ok && grant.Role == access.RoleID(role) && grant.Effect == access.Allow
		}) {
			whom = append(whom, to)
			everyone = everyone || to.Everyone
		}
	}
	if len(whom) == 0 {
		return matrixCell{}
	}
	c := matrixCell{Href: m.there(site, role)}
	if everyone {
		c.Text = w.t("matrix.everyone")
		return c
	}
	// Sites below one that is named are for the same people.
	slices.SortFunc(whom, func(a, b access.Grantee) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.User, b.User))
	})
	for _, to := range whom {
		key.WriteString(string(to.Group) + string(to.User))
	}
	n, known := m.counted[key.String()]
	if !known {
		n = m.rolls.Count(whom)
		m.counted[key.String()] = n
	}
	c.Text, c.Title = w.number(n), w.n("people.count", n)
	return c
}

func (s *Server) matrix(w http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := s.readMatrix(r, v)
	if err != nil {
		return err
	}
	words := v.words
	p := &matrixPage{page: v.page("matrix.title"), Pivot: m.pivot, Flipped: m.query.Get("flip"), Past: m.past, Corner: m.corner,
		CSV: m.to("/matrix.csv", "", ""), Filters: m.filters()}
	for _, pivot := range pivots {
		p.Pivots = append(p.Pivots, pivotLink{words.t("matrix.pivot." + pivot), m.to("/matrix", "pivot", pivot), pivot == m.pivot})
	}
	p.Flip = m.to("/matrix", "flip", map[bool]string{true: "", false: "1"}[p.Flipped != ""])
	p.Caption = words.t("matrix.caption", "product", cmp.Or(m.product.Name, string(m.product.ID)), "what", words.t("matrix.pivot."+m.pivot), "at", words.clock(m.at.In(v.zone)))
	rows, more := v.window("/matrix", m.query, "rows", words.t("matrix.rows"), len(m.rows), matrixRows)
	p.Pagers = append(p.Pagers, more...)
	columns, more := v.window("/matrix", m.query, "cols", words.t("matrix.cols"), len(m.columns), matrixColumns)
	p.Pagers = append(p.Pagers, more...)
	p.Columns = m.columns[columns.first:columns.last]
	for _, row := range m.rows[rows.first:rows.last] {
		line := matrixRow{matrixLine: row}
		for _, column := range p.Columns {
			line.Cells = append(line.Cells, m.cell(row.id, column.id))
		}
		p.Rows = append(p.Rows, line)
	}
	if len(p.Rows) == 0 || len(p.Columns) == 0 {
		p.Empty = empty{Text: words.t("matrix.nothing"), Href: v.link("/groups"), Link: words.t("matrix.toGroups")}
		if m.query.Get("group")+m.query.Get("site") != "" || m.corner == "" {
			p.Empty = empty{Text: words.t("matrix.noMatch"), Href: "/matrix", Link: words.t("people.clear")}
		}
	}
	return s.render(w, http.StatusOK, "matrix", p)
}

// to is the address of the page with another value, at the first of its rows and
// columns.
func (m *matrix) to(path, name, value string) string {
	query := maps.Clone(m.query)
	query.Del("rows")
	query.Del("cols")
	return address(path, query, name, value)
}

// filters are the controls above the matrix.
func (m *matrix) filters() []field {
	w := m.visit.words
	var products, dimensions []option
	for _, product := range consoleLast(m.policy.Products()) {
		products = append(products, option{Value: string(product.ID), Text: cmp.Or(product.Name, string(product.ID))})
	}
	all := []field{choose("product", w.t("matrix.product"), products[0].Text, string(m.product.ID), products[1:])}
	if len(m.product.Dimensions) > 1 {
		for _, id := range m.product.Dimensions {
			dimensions = append(dimensions, option{Value: string(id), Text: m.forest.dimension(id).Name})
		}
		all = append(all, choose("dimension", w.t("matrix.dimension"), dimensions[0].Text, string(m.dimension), dimensions[1:]))
	}
	if m.pivot != "people" {
		all = append(all, field{Name: "group", Label: w.t("matrix.group"), Value: m.query.Get("group"), Type: "search"})
	}
	if m.pivot != "roles" {
		all = append(all, field{Name: "site", Label: w.t("matrix.site"), Value: m.query.Get("site"), Type: "search"})
	}
	day := ""
	if m.past {
		day = m.at.In(m.visit.zone).Format(time.DateOnly)
	}
	return append(all, field{Name: "at", Label: w.t("matrix.at"), Value: day, Type: "date"})
}

type window struct{ first, last int }

// window is the part that a page shows of what is in memory as a whole, and how to
// get to the rest: name is the number's in the address, and its text's. A number
// past the end is the last page.
func (v *visit) window(path string, query url.Values, name, label string, of, size int) (window, []windowPager) {
	pages := max(1, (of+size-1)/size)
	n, _ := strconv.Atoi(query.Get(name))
	n = min(max(n, 1), pages)
	shown := window{(n - 1) * size, min(n*size, of)}
	if pages == 1 {
		return shown, nil
	}
	p := windowPager{Label: label, Text: v.words.t("matrix.window", "what", label, "first", shown.first+1, "last", shown.last, "of", of)}
	if n == 2 {
		p.Before = address(path, query, name, "")
	} else if n > 2 {
		p.Before = address(path, query, name, strconv.Itoa(n-1))
	}
	if n < pages {
		p.After = address(path, query, name, strconv.Itoa(n+1))
	}
	return shown, []windowPager{p}
}

// matrixCSV is all rows and columns, as a file.
func (s *Server) matrixCSV(w http.ResponseWriter, r *http.Request, v *visit) error {
	m, err := s.readMatrix(r, v)
	if err != nil {
		return err
	}
	heads := []string{m.corner}
	for _, column := range m.columns {
		heads = append(heads, column.Name)
	}
	next := 0
	return v.csvOf(w, "matrix.csv", heads, func() ([][]string, error) {
		var rows [][]string
		for ; next < len(m.rows) && len(rows) < 100; next++ {
			row := []string{m.rows[next].Name}
			for _, column := range m.columns {
				row = append(row, m.cell(m.rows[next].id, column.id).Text)
			}
			rows = append(rows, row)
		}
		return rows, nil
	})
}
