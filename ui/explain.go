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

func (s *Server) explainRoutes() []route {
	return []route{{"GET", "/explain", needs{access.ConsolePeople, access.LevelView}, s.explain}}
}

// explainPage answers whether somebody may do something somewhere: yes, and by which
// ways, or no, the nearest reasons and who could mend them.
type explainPage struct {
	page
	Person, Product, What field
	Sites                 []field
	At                    field
	AsOf                  asOf
	// Choices are several people of the name that was typed.
	Choices []step
	Who     step
	Answers []answered
	// Hint says what is still to be chosen; "" when there is an answer.
	Hint string
	// Partly are dimensions that the question leaves open, so that it is about all of
	// them.
	Partly []string
}

// answered is one question with its answer.
type answered struct {
	Allowed  bool
	Sentence string
	// Items are all that somebody may do, when that was asked.
	Items   []allowedItem
	Ways    []way
	Reasons []reasonRow
	// Hidden is how many other ways lie at sites that the visitor doesn't see.
	Hidden int
}

// allowedItem is one of several things that somebody may do.
type allowedItem struct {
	What, Href string
	Ways       []way
}

// reasonRow is one thing that stands between somebody and a yes.
type reasonRow struct {
	Text string
	Way  way
	// Who could mend it, and Where the page to do so is.
	Who   []string
	Where step
}

// asked is a question as an address puts it.
type asked struct {
	product    access.ProductID
	permission access.PermissionID
	level      access.Level
	role       access.RoleID
	place      access.Place
	unknown    string // a site of which nobody knows
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx, query := r.Context(), r.URL.Query()
	at, past, err := v.at(r)
	if err != nil {
		return err
	}
	m := moment{at, past}
	typed := strings.TrimSpace(query.Get("person"))
	if query["site"] = slices.DeleteFunc(query["site"], func(site string) bool { return site == "" }); len(query["site"]) == 0 {
		query.Del("site")
	}
	p := &explainPage{
		page:   v.page("explain.title"),
		Person: field{Name: "person", Label: v.words.t("explain.person"), Value: typed, Type: "search"},
		AsOf:   v.asOf(address("/explain", query, "at", ""), m),
		At:     field{Name: "at", Label: v.words.t("because.day"), Value: query.Get("at"), Type: "date"},
	}
	policy := v.policy
	var one *shownPerson
	if typed != "" {
		id, choices, err := s.findPerson(ctx, v, typed, func(id string) string { return address("/explain", query, "person", id) })
		if err != nil {
			return err
		}
		switch p.Choices = choices; {
		case id != "":
			if one, err = s.see(ctx, v, id, m); err != nil {
				return err
			}
			policy, p.Person.Value = one.policy, one.UserName
			p.Who = step{Text: one.called(), Href: v.link("/people/" + id)}
		case len(choices) == 0:
			p.Person.Error = v.words.t("explain.nobody", "name", typed)
		}
	}
	q := s.question(r, v, p, policy)
	switch {
	case q.unknown != "":
		p.Hint = v.words.t("explain.noSite", "name", q.unknown)
	case one == nil && len(p.Choices) > 0:
		p.Hint = v.words.t("explain.which")
	case one == nil:
		p.Hint = v.words.t("explain.who")
	case one.absent:
		p.Hint = v.words.t("person.absent")
	default:
		if err := s.answer(ctx, v, p, one, q); err != nil {
			return err
		}
	}
	return s.render(w, http.StatusOK, "explain", p)
}

// question reads what an address asks, and makes the controls for it.
func (s *Server) question(r *http.Request, v *visit, p *explainPage, policy *access.Policy) asked {
	query := r.URL.Query()
	q := asked{product: access.ProductID(query.Get("product")), permission: access.PermissionID(query.Get("permission")), level: access.Level(query.Get("level")),
		role: access.RoleID(query.Get("role")), place: access.Place{}}
	var products, whats []option
	for _, product := range policy.Products() {
		products = append(products, option{Value: string(product.ID), Text: cmp.Or(product.Name, string(product.ID))})
	}
	p.Product = choose("product", v.words.t("explain.product"), v.words.t("explain.anyProduct"), string(q.product), products)

	// One control asks for a role, or for a permission at a level.
	if what := query.Get("what"); what != "" {
		kind, rest, _ := strings.Cut(what, ":")
		switch kind {
		case "role":
			q.role, q.permission, q.level = access.RoleID(rest), "", ""
		case "permission":
			id, level, _ := strings.Cut(rest, ":")
			q.role, q.permission, q.level = "", access.PermissionID(id), access.Level(level)
		}
	}
	product, known := policy.Product(q.product)
	chosen := ""
	switch {
	case q.role != "":
		chosen = "role:" + string(q.role)
	case q.permission != "":
		if q.level == "" && known {
			q.level = levels(product)[0]
		}
		chosen = "permission:" + string(q.permission) + ":" + string(q.level)
	}
	for _, role := range product.Roles {
		whats = append(whats, option{Value: "role:" + string(role.ID), Text: v.words.t("explain.role", "role", cmp.Or(role.Name, string(role.ID)))})
	}
	for _, permission := range product.Permissions {
		for _, level := range levels(product) {
			whats = append(whats, option{Value: "permission:" + string(permission.ID) + ":" + string(level), Text: cmp.Or(permission.Name, string(permission.ID)) + ": " + v.words.level(level)})
		}
	}
	p.What = choose("what", v.words.t("explain.what"), v.words.t("explain.anything"), chosen, whats)
	if !known {
		p.Product.Hint = v.words.t("explain.productFirst")
	}
	s.places(query["site"], v, p, policy, &q)
	return q
}

func levels(product access.Product) []access.Level {
	if len(product.Levels) == 0 {
		return []access.Level{access.LevelAllow}
	}
	return product.Levels
}

// places reads the sites of a question, by id, key or name, at most one of a
// dimension, and makes a control for each dimension that has sites.
func (s *Server) places(given []string, v *visit, p *explainPage, policy *access.Policy, q *asked) {
	areas := v.area(access.ConsolePeople, access.LevelView)
	if !v.scoped(access.ConsolePeople, access.LevelView) {
		areas = nil
	}
	catalogue := policy.Catalogue()
	for _, text := range given {
		if text == "" {
			continue
		}
		i := slices.IndexFunc(catalogue.Sites, func(site access.Site) bool { return string(site.ID) == text })
		if i < 0 {
			i = slices.IndexFunc(catalogue.Sites, func(site access.Site) bool {
				return store.Fold(site.Key) == store.Fold(text) || store.Fold(site.Name) == store.Fold(text)
			})
		}
		if i < 0 || areas != nil && !insideAny(policy, areas, catalogue.Sites[i]) {
			q.unknown = text
			continue
		}
		q.place[catalogue.Sites[i].Dimension] = catalogue.Sites[i].ID
	}
	product, known := policy.Product(q.product)
	for _, dimension := range catalogue.Dimensions {
		if known && !slices.Contains(product.Dimensions, dimension.ID) {
			continue
		}
		var options []option
		for _, site := range catalogue.Sites {
			if site.Dimension == dimension.ID && (areas == nil || insideAny(policy, areas, site)) {
				options = append(options, option{Value: string(site.ID), Text: cmp.Or(site.Name, site.Key, string(site.ID))})
			}
		}
		if len(options) == 0 {
			continue
		}
		sortOptions(options)
		f := choose("site", cmp.Or(dimension.Name, string(dimension.ID)), v.words.t("explain.anywhere"), string(q.place[dimension.ID]), options)
		if site, ok := policy.Site(q.place[dimension.ID]); ok && f.Options == nil {
			f.Value = cmp.Or(site.Name, site.Key, string(site.ID))
		}
		p.Sites = append(p.Sites, f)
	}
}

// insideAny reports whether a site is inside one of some areas, wherever that is in
// the other dimensions.
func insideAny(policy *access.Policy, areas []access.Area, site access.Site) bool {
	return slices.ContainsFunc(areas, func(area access.Area) bool {
		return policy.Contains(access.Area{site.Dimension: area[site.Dimension]}, access.Place{site.Dimension: site.ID})
	})
}

// answer answers a question: about a role or a permission with yes or no; about
// neither with all that somebody may do there.
func (s *Server) answer(ctx context.Context, v *visit, p *explainPage, one *shownPerson, q asked) error {
	why, _, err := s.whyPerson(ctx, v, one)
	if err != nil {
		return err
	}
	if one.within != nil && len(q.place) == 0 {
		p.Hint = v.words.t("explain.whereFirst")
		return nil
	}
	var products []access.Product
	for _, product := range one.policy.Products() {
		if q.product == "" || q.product == product.ID {
			products = append(products, product)
		}
	}
	if len(products) == 0 {
		p.Hint = v.words.t("explain.noProduct")
		return nil
	}
	x := &explainer{s, v, why, one, q}
	if q.role == "" && q.permission == "" {
		return x.everything(ctx, p, products)
	}
	product := products[0]
	for _, d := range product.Dimensions {
		if _, named := q.place[d]; !named {
			p.Partly = append(p.Partly, dimensionName(one.policy, d))
		}
	}
	var a answered
	if q.role != "" {
		a, err = x.role(ctx, product)
	} else {
		a, err = x.permission(ctx, product, q.permission, q.level)
	}
	p.Answers = append(p.Answers, a)
	return err
}

func dimensionName(policy *access.Policy, id access.DimensionID) string {
	for _, d := range policy.Catalogue().Dimensions {
		if d.ID == id {
			return cmp.Or(d.Name, string(id))
		}
	}
	return string(id)
}

// explainer answers questions about one person at one place.
type explainer struct {
	*Server
	v   *visit
	why *whys
	one *shownPerson
	q   asked
}

// placeIn is the place of the question as far as a product scopes by it.
func (x *explainer) placeIn(product access.Product) access.Place {
	place := access.Place{}
	for _, d := range product.Dimensions {
		if site, ok := x.q.place[d]; ok {
			place[d] = site
		}
	}
	return place
}

// where is the place in words.
func (x *explainer) where(product access.Product) string {
	var names []string
	for _, d := range product.Dimensions {
		if site, ok := x.q.place[d]; ok {
			names = append(names, x.why.g.siteName(site))
		}
	}
	if len(names) == 0 {
		return x.v.words.t("chip.everywhere")
	}
	return strings.Join(names, " · ")
}

func (x *explainer) sentence(key string, product access.Product, what string) string {
	return x.v.words.t(key, "name", x.one.called(), "what", what, "product", cmp.Or(product.Name, string(product.ID)), "where", x.where(product))
}

// permission answers whether a permission is held.
func (x *explainer) permission(ctx context.Context, product access.Product, permission access.PermissionID, level access.Level) (answered, error) {
	q := access.Question{Product: product.ID, Permission: permission, Level: level, Place: x.placeIn(product)}
	e := x.one.policy.Explain(x.one.subject, q, x.one.at)
	what := x.why.g.permissionName(permission, product) + ": " + x.v.words.level(level)
	a := answered{Allowed: e.Allowed, Sentence: x.sentence("explain.no", product, what)}
	if e.Allowed {
		a.Sentence = x.sentence("explain.yes", product, what)
	}
	if err := x.records(ctx, e); err != nil {
		return a, err
	}
	x.ways(&a, e)
	return a, x.reasons(ctx, &a, q, e.Missing)
}

// records reads what the ways of an answer need beside what the person has.
func (x *explainer) records(ctx context.Context, e access.Explanation) error {
	grants, groups := map[access.GrantID]bool{}, []access.GroupID{}
	for _, path := range slices.Concat(e.Through, missingPaths(e)) {
		grants[path.Grant.ID] = true
		for _, g := range path.Groups {
			if x.why.groups[g] == "" {
				groups = append(groups, g)
			}
		}
	}
	if err := x.whyRecords(ctx, x.why, grants, x.one.moment); err != nil {
		return err
	}
	if len(groups) == 0 {
		return nil
	}
	names, err := x.groupNames(ctx, x.v, groups)
	for id, group := range x.one.facts.Groups {
		names[id] = group.Name
	}
	for id, name := range names {
		x.why.groups[id] = name
	}
	return err
}

func missingPaths(e access.Explanation) (all []access.Path) {
	for _, m := range e.Missing {
		if m.Path != nil {
			all = append(all, *m.Path)
		}
	}
	return all
}

// shown reports whether the visitor may see a grant.
func (x *explainer) shown(grant *access.Grant) bool {
	return x.one.within == nil || x.why.g.inside(grant, x.one.within)
}

func (x *explainer) ways(a *answered, e access.Explanation) {
	for _, path := range e.Through {
		if !x.shown(path.Grant) {
			a.Hidden++
			continue
		}
		a.Ways = append(a.Ways, x.why.way(path))
	}
}

// maxReasons is how many reasons an answer lists.
const maxReasons = 6

// reasons says what is missing, the nearest first, and who could mend it.
func (x *explainer) reasons(ctx context.Context, a *answered, q access.Question, missing []access.Missing) error {
	for _, m := range missing {
		if m.Path != nil && !x.shown(m.Path.Grant) {
			a.Hidden++
			continue
		}
		if len(a.Reasons) == maxReasons {
			return nil
		}
		row, err := x.reason(ctx, q, m)
		if err != nil {
			return err
		}
		a.Reasons = append(a.Reasons, row)
	}
	return nil
}

func (x *explainer) reason(ctx context.Context, q access.Question, m access.Missing) (reasonRow, error) {
	var row reasonRow
	words := x.v.words
	var texts []string
	group := ""
	if m.Path != nil {
		row.Way = x.why.way(*m.Path)
		if len(m.Path.Groups) > 0 {
			group = x.why.groups[m.Path.Groups[0]]
		}
		if slices.Contains(m.Reasons, access.NotMember) {
			row.Way = row.Way[len(x.why.start):] // she isn't at the beginning of it
		}
	}
	for _, reason := range m.Reasons {
		where, date := "", ""
		if m.Path != nil {
			product, _ := x.one.policy.Product(m.Path.Grant.Product)
			where = x.why.g.where(m.Path.Grant, product, 3)
		}
		switch reason {
		case access.GrantExpired:
			date = words.date(x.v.when(m.Path.Grant.Until).Time)
		case access.NotYetValid:
			date = words.date(x.v.when(m.Path.Grant.From).Time)
		}
		texts = append(texts, words.t("reason."+string(reason), "name", x.one.called(), "group", group, "about", m.Name, "where", where, "date", date))
	}
	row.Text = strings.Join(texts, " ")
	right := m.Reasons[0].Mend()
	if right == "" {
		return row, nil
	}
	holders, err := x.holders(ctx, x.v, right, q.Place)
	if err == nil && len(holders) == 0 {
		holders, err = x.holders(ctx, x.v, right, nil)
	}
	for _, h := range holders {
		if h.ID != string(x.one.ID) { // nobody gives herself anything
			row.Who = append(row.Who, name(h))
		}
	}
	return row, err
}

// role answers whether everything that a role gives is held.
func (x *explainer) role(ctx context.Context, product access.Product) (answered, error) {
	i := slices.IndexFunc(product.Roles, func(role access.Role) bool { return role.ID == x.q.role })
	if i < 0 {
		return answered{Sentence: x.v.words.t("explain.noRole")}, nil
	}
	role := product.Roles[i]
	what := x.v.words.t("explain.role", "role", cmp.Or(role.Name, string(role.ID)))
	whole := answered{Allowed: true}
	seen := map[string]bool{}
	for _, permission := range product.Permissions {
		level, named := role.Permissions[permission.ID]
		if !named {
			if level, named = role.Permissions[access.AllPermissions]; !named {
				continue
			}
		}
		a, err := x.permission(ctx, product, permission.ID, level)
		if err != nil {
			return whole, err
		}
		whole.Allowed, whole.Hidden = whole.Allowed && a.Allowed, max(whole.Hidden, a.Hidden)
		for _, w := range a.Ways {
			if key := w.text(); !seen[key] {
				seen[key] = true
				whole.Ways = append(whole.Ways, w)
			}
		}
		for _, row := range a.Reasons {
			if key := row.Text + row.Way.text(); !seen[key] {
				seen[key] = true
				whole.Reasons = append(whole.Reasons, row)
			}
		}
	}
	if whole.Sentence = x.sentence("explain.noRoleHeld", product, what); whole.Allowed {
		whole.Sentence = x.sentence("explain.yesRole", product, what)
	} else {
		whole.Ways = nil
	}
	return whole, nil
}

func (w way) text() string {
	var all []string
	for _, one := range w {
		all = append(all, one.Text, one.Href)
	}
	return strings.Join(all, " ")
}

// everything is all that somebody may do at the place, or the nearest reasons why
// that is nothing.
func (x *explainer) everything(ctx context.Context, p *explainPage, products []access.Product) error {
	for _, product := range consoleLast(products) {
		place := x.placeIn(product)
		if len(x.q.place) > 0 && len(place) == 0 && x.q.product == "" {
			continue // the product doesn't know such places
		}
		all := answered{Allowed: true, Sentence: x.sentence("explain.may", product, "")}
		for _, held := range x.one.policy.ActionsAt(x.one.subject, product.ID, place, x.one.at) {
			a, err := x.permission(ctx, product, held.Permission, held.Level)
			if err != nil {
				return err
			}
			all.Items = append(all.Items, allowedItem{What: x.why.g.permissionName(held.Permission, product) + ": " + x.v.words.level(held.Level), Ways: a.Ways,
				Href: x.ask(product, held)})
			all.Hidden = max(all.Hidden, a.Hidden)
		}
		if len(all.Items) > 0 {
			p.Answers = append(p.Answers, all)
		}
	}
	if len(p.Answers) > 0 {
		return nil
	}
	none := answered{Sentence: x.v.words.t("explain.nothing", "name", x.one.called(), "where", x.whereAny())}
	seen := map[string]bool{}
	for _, product := range products {
		if product.ID == access.ConsoleID && x.q.product == "" || len(x.q.place) > 0 && len(x.placeIn(product)) == 0 {
			continue
		}
		for _, permission := range product.Permissions {
			a, err := x.permission(ctx, product, permission.ID, levels(product)[0])
			if err != nil {
				return err
			}
			for _, row := range a.Reasons {
				if key := row.Text + row.Way.text(); !seen[key] && len(none.Reasons) < maxReasons {
					seen[key] = true
					none.Reasons = append(none.Reasons, row)
				}
			}
			none.Hidden = max(none.Hidden, a.Hidden)
		}
	}
	p.Answers = append(p.Answers, none)
	return nil
}

// ask is the address of the question about one permission.
func (x *explainer) ask(product access.Product, held access.Holder) string {
	query := url.Values{"person": {string(x.one.ID)}, "product": {string(product.ID)}, "permission": {string(held.Permission)}, "level": {string(held.Level)}}
	for _, site := range x.placeIn(product) {
		query.Add("site", string(site))
	}
	if x.one.past {
		query.Set("at", x.one.at.In(x.v.zone).Format(time.DateOnly))
	}
	return "/explain?" + query.Encode()
}

// consoleLast puts the console behind the products that people come for.
func consoleLast(products []access.Product) []access.Product {
	sorted := slices.Clone(products)
	slices.SortStableFunc(sorted, func(a, b access.Product) int {
		return compareBool(a.ID == access.ConsoleID, b.ID == access.ConsoleID)
	})
	return sorted
}

// whereAny is the place of the question in words, whatever the product.
func (x *explainer) whereAny() string {
	var names []string
	for _, site := range x.q.place {
		names = append(names, x.why.g.siteName(site))
	}
	slices.Sort(names)
	return cmp.Or(strings.Join(names, " · "), x.v.words.t("chip.everywhere"))
}
