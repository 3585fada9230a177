package ui

import (
	"bytes"
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/internal/policyfile"
	"gatehouse/store"
)

func (s *Server) sitesRoutes() []route {
	view := needs{access.ConsoleSites, access.LevelView}
	return []route{
		{"GET", "/sites", view, s.sites},
		{"GET", "/sites.csv", view, s.sitesCSV},
		{"GET", "/sites/{id}", view, s.site},
		{"GET", "/sites/{id}/people.csv", view, s.sitePeopleCSV},
	}
}

// sitesPage is a dimension as a tree, opened where somebody looks, or what a search
// finds in it.
type sitesPage struct {
	page
	Dimensions []pivotLink
	Dimension  string
	Search     field
	State      string
	Filtered   bool
	Count      string
	Nodes      []siteNode
	Found      []siteNode
	Table      table
	Pagers     []windowPager
	Tools      []pivotLink
	CSV        string
	Empty      empty
}

// siteNode is a site in the tree. Its address is its page; Open shows what is below
// in the tree, and Close hides it again.
type siteNode struct {
	Name, Key, Href string
	Path            string
	Archived        bool
	Below           string
	Open, Close     string
	Nodes           []siteNode
	// More says how many of its level aren't shown.
	More, MoreHref string
}

const (
	// sitesPerLevel is how many sites a tree shows below each other.
	sitesPerLevel = 50
	sitesPerPage  = 50
)

func (s *Server) sites(w http.ResponseWriter, r *http.Request, v *visit) error {
	query, words := r.URL.Query(), v.words
	f := v.forest(v.policy, access.ConsoleSites)
	p := &sitesPage{page: v.page("sites.title"), State: query.Get("state"),
		Search: field{Name: "q", Label: words.t("sites.search"), Value: query.Get("q"), Type: "search"}}
	dimensions := f.dimensions()
	if len(dimensions) == 0 {
		p.Empty = empty{Text: words.t("sites.noDimension"), Href: v.link("/sites/dimensions/new"), Link: words.t("sites.newDimension")}
		return s.render(w, http.StatusOK, "sites", p)
	}
	chosen := dimensions[0].ID
	for _, d := range dimensions {
		if string(d.ID) == query.Get("dimension") {
			chosen = d.ID
		}
	}
	open, opened := f.policy.Site(access.SiteID(query.Get("open")))
	if opened = opened && f.sees(open); opened {
		chosen = open.Dimension
	}
	for _, d := range dimensions {
		p.Dimensions = append(p.Dimensions, pivotLink{d.Name, address("/sites", nil, "dimension", string(d.ID)), d.ID == chosen})
	}
	p.Dimension, p.Tools = string(chosen), v.siteTools(access.Site{Dimension: chosen}, false)
	p.CSV = "/sites.csv"
	wanted := store.Fold(strings.TrimSpace(query.Get("q")))
	p.Filtered = wanted != "" || p.State != ""
	if p.Filtered {
		var found []access.Site
		f.each(chosen, func(site access.Site) {
			if (p.State != "archived" || site.Archived) && (strings.Contains(store.Fold(site.Name), wanted) || strings.Contains(store.Fold(site.Key), wanted)) {
				found = append(found, site)
			}
		})
		shown, pagers := v.window("/sites", query, "n", words.t("sites.title"), len(found), sitesPerPage)
		for _, site := range found[shown.first:shown.last] {
			p.Found = append(p.Found, f.node(v, site))
		}
		p.Pagers, p.Count = pagers, words.n("sites.count", len(found))
		p.Table = table{ID: "sites", Caption: words.t("sites.title"), Hidden: true, Columns: v.columns("sites.name:wide", "sites.path", "sites.key", "sites.below:narrow")}
		p.Empty = empty{Text: words.t("matrix.noMatch"), Href: address("/sites", nil, "dimension", p.Dimension), Link: words.t("people.clear")}
		return s.render(w, http.StatusOK, "sites", p)
	}
	n := 0
	for level, sites := range f.below {
		if level.dimension == chosen {
			n += len(sites)
		}
	}
	p.Count = words.n("sites.count", n)
	var path []access.Site
	if opened {
		path = f.path(open)
	}
	tops := f.level(chosen, "")
	shown, pagers := v.window("/sites", query, "n", words.t("sites.title"), len(tops), sitesPerLevel)
	if opened {
		i := slices.IndexFunc(tops, func(site access.Site) bool { return site.ID == path[0].ID })
		shown = window{i / sitesPerLevel * sitesPerLevel, min(i/sitesPerLevel*sitesPerLevel+sitesPerLevel, len(tops))}
	}
	p.Pagers = pagers
	for _, site := range tops[shown.first:shown.last] {
		p.Nodes = append(p.Nodes, f.opened(v, site, path))
	}
	p.Empty = empty{Text: words.t("sites.none")}
	if v.mayHere(access.ConsoleSites, access.LevelChange, access.Site{}) {
		p.Empty.Href, p.Empty.Link = v.link(address("/sites/new", nil, "dimension", p.Dimension)), words.t("sites.add")
	}
	return s.render(w, http.StatusOK, "sites", p)
}

// mayHere reports whether the visitor has a right at a site, whatever the place in
// the other dimensions; the zero site is everywhere. At an archived one only
// whoever has it everywhere.
func (v *visit) mayHere(permission access.PermissionID, level access.Level, site access.Site) bool {
	return v.mayAt(permission, level, nil) || site.ID != "" && v.mayAt(permission, level, access.Place{site.Dimension: site.ID})
}

// siteTools are what the visitor may do with a site; without an id, with all of a
// dimension.
func (v *visit) siteTools(site access.Site, closed bool) (tools []pivotLink) {
	if !v.mayHere(access.ConsoleSites, access.LevelChange, site) {
		return nil
	}
	add := func(text, path string) {
		if href := v.link(path); href != "" {
			tools = append(tools, pivotLink{Text: v.words.t(text), Href: href})
		}
	}
	if site.ID == "" {
		add("sites.add", address("/sites/new", nil, "dimension", string(site.Dimension)))
		add("sites.import", "/sites/import")
		add("sites.newDimension", "/sites/dimensions/new")
		return tools
	}
	page := "/sites/" + string(site.ID)
	add("sites.edit", page+"/edit")
	if !closed {
		add("sites.addBelow", address("/sites/new", nil, "parent", string(site.ID)))
	}
	if site.Archived {
		add("sites.restore", page+"/restore")
	} else if !closed {
		add("sites.archive", page+"/archive")
	}
	return tools
}

// node is a site in a tree or a list, closed.
func (f *forest) node(v *visit, site access.Site) siteNode {
	n := siteNode{Name: siteName(site), Key: site.Key, Href: v.link("/sites/" + string(site.ID)), Archived: site.Archived}
	path := f.path(site)
	var names []string
	for _, above := range path[:len(path)-1] {
		names = append(names, siteName(above))
	}
	n.Path = strings.Join(names, " › ")
	if below := f.count(site); below > 0 {
		n.Below = v.words.n("sites.belowCount", below)
		n.Open = address("/sites", nil, "open", string(site.ID))
	}
	return n
}

// opened is a site with what is below it, if the path leads there.
func (f *forest) opened(v *visit, site access.Site, path []access.Site) siteNode {
	n := f.node(v, site)
	if len(path) == 0 || path[0].ID != site.ID || n.Open == "" {
		return n
	}
	n.Open, n.Close = "", address("/sites", nil, "dimension", string(site.Dimension))
	if above, ok := f.policy.Site(site.Parent); ok && f.sees(above) {
		n.Close = address("/sites", nil, "open", string(above.ID))
	}
	level := f.level(site.Dimension, site.ID)
	for i, below := range level {
		if i < sitesPerLevel || len(path) > 1 && path[1].ID == below.ID {
			n.Nodes = append(n.Nodes, f.opened(v, below, path[1:]))
		}
	}
	if more := len(level) - len(n.Nodes); more > 0 {
		n.More, n.MoreHref = v.words.n("sites.more", more), n.Href
	}
	return n
}

// sitesCSV is all sites, as the file that can be imported again.
func (s *Server) sitesCSV(w http.ResponseWriter, _ *http.Request, v *visit) error {
	f := v.forest(v.policy, access.ConsoleSites)
	c := v.policy.Catalogue()
	var mine []access.Site
	for _, site := range c.Sites {
		if !f.sees(site) {
			continue
		}
		if above, ok := f.policy.Site(site.Parent); ok && !f.sees(above) {
			site.Parent = ""
		}
		mine = append(mine, site)
	}
	c.Sites = mine
	data, err := policyfile.ExportSites(store.Snapshot{Catalogue: c})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="sites.csv"`)
	w.Write([]byte("\ufeff"))
	w.Write(bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n")))
	return nil
}

// sitePage is one site: who is here and why, what reaches it, what is below.
type sitePage struct {
	page
	Path      []pivotLink
	Key       string
	Dimension string
	State     string
	// Past is when it is about; zero for now.
	Past    when
	Now     string
	AsOf    field
	Role    field
	Keep    map[string]string
	Tools   []pivotLink
	People  *holdersList
	Grants  []siteGrant
	GrantsT table
	Pagers  []windowPager
	Nodes   []siteNode
	BelowP  []windowPager
	History []changeRow
	HistT   table
	Earlier string // the address of what was before
}

// holdersList is the table of people with why.
type holdersList struct {
	Table    table
	Count    string
	Everyone []string // what everyone has
	Rows     []holderRow
	Pager    pager
	CSV      string
	Empty    string
}

// siteGrant is a grant that reaches a site.
type siteGrant struct {
	Who, WhoHref  string
	What, Href    string
	From          string
	Inherited     bool
	Deny          bool
	Valid, Reason string
}

const grantsPerPage = 50

// siteView is a site as an address asks for it.
type siteView struct {
	site   access.Site
	forest *forest
	policy *access.Policy
	at     time.Time
	past   bool
	then   *store.Snapshot
	grants []reachingGrant
	roles  []option
}

// readSite finds the site and the grants that reach it, of the role asked for.
func (s *Server) readSite(r *http.Request, v *visit) (*siteView, error) {
	o := &siteView{policy: v.policy}
	var err error
	if o.at, o.past, err = v.at(r); err != nil {
		return nil, err
	}
	if _, err := v.forest(v.policy, access.ConsoleSites).site(access.SiteID(r.PathValue("id"))); err != nil {
		return nil, err
	}
	if o.past {
		then, err := s.store.SnapshotAt(r.Context(), v.tenant(), o.at)
		if err != nil {
			return nil, err
		}
		o.then = &then
		if o.policy, err = access.NewPolicy(then.Catalogue, then.Grants); err != nil {
			return nil, err
		}
	}
	o.forest = v.forest(o.policy, access.ConsoleSites)
	if o.site, err = o.forest.site(access.SiteID(r.PathValue("id"))); err != nil {
		return nil, err
	}
	wanted := r.URL.Query().Get("role")
	for _, g := range o.policy.Grants() {
		reach, ok := o.policy.Reach(g.ID, o.site.ID)
		if !ok || !g.InForce(o.at) {
			continue
		}
		product, _ := o.policy.Product(g.Product)
		if role := string(g.Product) + "/" + string(g.Role); g.Role != "" && g.Effect == access.Allow && !slices.ContainsFunc(o.roles, func(one option) bool { return one.Value == role }) {
			o.roles = append(o.roles, option{Value: role, Text: cmp.Or(product.Name, string(product.ID)) + ": " + roleName(product, g.Role)})
		}
		if wanted == "" || wanted == string(g.Product)+"/"+string(g.Role) {
			o.grants = append(o.grants, reachingGrant{g, reach})
		}
	}
	sortOptions(o.roles)
	return o, nil
}

func (s *Server) site(w http.ResponseWriter, r *http.Request, v *visit) error {
	o, err := s.readSite(r, v)
	if err != nil {
		return err
	}
	ctx, query, words := r.Context(), r.URL.Query(), v.words
	p := &sitePage{page: v.page("sites.one", "name", siteName(o.site)), Key: o.site.Key,
		Dimension: o.forest.dimension(o.site.Dimension).Name, State: words.t("sites.open"), Keep: map[string]string{},
		Role: choose("role", words.t("people.role"), words.t("people.anyRole"), query.Get("role"), o.roles)}
	if o.forest.closed(o.site) {
		p.State = words.t("sites.archived")
	}
	p.AsOf = field{Name: "at", Label: words.t("matrix.at"), Type: "date"}
	if o.past {
		p.Past, p.Now = v.when(o.at), address(r.URL.Path, query, "at", "")
		p.AsOf.Value = o.at.In(v.zone).Format(time.DateOnly)
	} else {
		p.Tools = v.siteTools(o.site, o.forest.closed(o.site))
	}
	path := o.forest.path(o.site)
	for _, above := range path[:len(path)-1] {
		p.Path = append(p.Path, pivotLink{Text: siteName(above), Href: v.link(address("/sites/"+string(above.ID), nil, "at", query.Get("at")))})
	}
	h, err := s.reached(ctx, v, o.policy, o.at, o.then, o.grants, o.site.ID)
	if err != nil {
		return err
	}
	if v.mayHere(access.ConsolePeople, access.LevelView, o.site) {
		if p.People, err = s.holdersList(r, v, h, "/sites/"+string(o.site.ID)+"/people.csv"); err != nil {
			return err
		}
		p.People.Table.Caption = words.t("sites.people")
		p.People.Empty = words.t("sites.nobody")
	}
	if v.mayHere(access.ConsoleAccess, access.LevelView, o.site) {
		p.grants(v, o, h, r)
	}
	level := o.forest.level(o.site.Dimension, o.site.ID)
	shown, pagers := v.window(r.URL.EscapedPath(), query, "below", words.t("sites.below"), len(level), sitesPerLevel)
	for _, below := range level[shown.first:shown.last] {
		p.Nodes = append(p.Nodes, o.forest.node(v, below))
	}
	p.BelowP = pagers
	if v.mayAt(access.ConsoleAudit, access.LevelView, nil) {
		if err := s.siteHistory(r, v, o, p); err != nil {
			return err
		}
	}
	return s.render(w, http.StatusOK, "site", p)
}

// grants fills the table of what reaches the site, what is said here first.
func (p *sitePage) grants(v *visit, o *siteView, h *holders, r *http.Request) {
	all := slices.Clone(o.grants)
	depth := map[access.SiteID]int{}
	for i, site := range o.forest.path(o.site) {
		depth[site.ID] = i + 1
	}
	slices.SortStableFunc(all, func(a, b reachingGrant) int { return cmp.Compare(depth[b.Above], depth[a.Above]) })
	p.Grants, p.Pagers = v.grantRows(h, all, r)
	p.GrantsT = table{ID: "grants", Caption: v.words.t("sites.grants"), Columns: v.columns("sites.who", "sites.what", "sites.where", "sites.until:narrow")}
}

// grantRows are the grants of a page of them.
func (v *visit) grantRows(h *holders, all []reachingGrant, r *http.Request) (rows []siteGrant, pagers []windowPager) {
	words := v.words
	shown, pagers := v.window(r.URL.EscapedPath(), r.URL.Query(), "grants", words.t("sites.grants"), len(all), grantsPerPage)
	for i := shown.first; i < shown.last; i++ {
		g := &all[i]
		way := h.way(g)
		row := siteGrant{Who: way.Via, WhoHref: way.ViaHref, What: way.What, Href: way.Href, From: way.From, Deny: way.Deny,
			Inherited: g.Above != h.here, Reason: g.Reason}
		if g.Subject.User != "" {
			row.Who, row.WhoHref = cmp.Or(h.names[string(g.Subject.User)], words.t("audit.gone")), v.link("/people/"+string(g.Subject.User))
		}
		if !g.Until.IsZero() {
			row.Valid = words.date(g.Until.Add(-time.Millisecond).In(v.zone))
		}
		rows = append(rows, row)
	}
	return rows, pagers
}

// holdersList is a page of the people whom grants are for.
func (s *Server) holdersList(r *http.Request, v *visit, h *holders, csv string) (*holdersList, error) {
	ctx, words := r.Context(), v.words
	after, err := place[store.PeopleKey](r)
	if err != nil {
		return nil, err
	}
	l := &holdersList{Table: table{ID: "people", Columns: v.columns("people.name:wide", "sites.why")}, CSV: address(csv, r.URL.Query(), "after", "")}
	for i := range h.grants {
		if g := &h.grants[i]; g.Subject.Everyone && g.Effect == access.Allow {
			l.Everyone = append(l.Everyone, words.t("sites.everyone", "what", h.way(g).What))
		}
	}
	if l.Count, err = h.count(ctx); err != nil {
		return nil, err
	}
	found, err := h.page(ctx, after, peoplePerPage+1)
	if err != nil {
		return nil, err
	}
	var next *store.PeopleKey
	if len(found) > peoplePerPage {
		found = found[:peoplePerPage]
		key := found[peoplePerPage-1].Key()
		next = &key
	}
	l.Pager = keyset(r, next)
	for _, one := range found {
		l.Rows = append(l.Rows, h.row(one))
	}
	return l, nil
}

// siteHistory is what was done to the site and those above it, the newest first.
func (s *Server) siteHistory(r *http.Request, v *visit, o *siteView, p *sitePage) error {
	ctx, query := r.Context(), r.URL.Query()
	changes, err := s.store.ChangesTouching(ctx, v.tenant(), store.Touched{Site: o.site.ID}, time.UnixMilli(1), o.at.Add(time.Millisecond), store.ChangeID(query.Get("before")), timelinePage+1)
	if err != nil {
		return err
	}
	if len(changes) > timelinePage {
		changes = changes[:timelinePage]
		p.Earlier = address(r.URL.Path, query, "before", string(changes[timelinePage-1].ID))
	}
	tell, err := s.teller(ctx, v, changes)
	if err != nil {
		return err
	}
	for _, c := range changes {
		p.History = append(p.History, changeRow{At: v.instant(c.At), Said: tell.sentence(c), Href: v.link("/audit/" + string(c.ID))})
	}
	p.HistT = table{ID: "history", Caption: v.words.t("sites.history"), Columns: v.columns("overview.when:narrow", "overview.what:wide")}
	return nil
}

// sitePeopleCSV is everybody at a site, as a file with a line for each way.
func (s *Server) sitePeopleCSV(w http.ResponseWriter, r *http.Request, v *visit) error {
	o, err := s.readSite(r, v)
	if err != nil {
		return err
	}
	if !v.mayHere(access.ConsolePeople, access.LevelView, o.site) {
		return forbidden{needs{access.ConsolePeople, access.LevelView}}
	}
	h, err := s.reached(r.Context(), v, o.policy, o.at, o.then, o.grants, o.site.ID)
	if err != nil {
		return err
	}
	return h.csv(w, r)
}

// csv is all of them, as a file with a line for each way.
func (h *holders) csv(w http.ResponseWriter, r *http.Request) error {
	var after store.PeopleKey
	return h.visit.csv(w, "people.csv", []string{"people.name", "people.userName", "sites.what", "sites.through", "sites.where"}, func() ([][]string, error) {
		found, err := h.page(r.Context(), after, 1000)
		var rows [][]string
		for _, one := range found {
			row := h.row(one)
			for _, way := range row.Ways {
				rows = append(rows, []string{row.Name, row.UserName, way.What, way.Via, way.From})
			}
			after = one.Key()
		}
		return rows, err
	})
}
