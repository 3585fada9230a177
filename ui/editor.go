package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"
)

// editorPage makes or changes a grant, as one sentence with what it does below:
// members of a group get a role at some sites. All of it is in the address, so that
// it can be shown to a colleague before it is saved.
type editorPage struct {
	page
	Action string
	// Who is whom the grant is for, if that is settled; otherwise To is to be chosen.
	Who   string
	Notes []string // of whom it is not for who was chosen, too
	To    picker
	What  picker
	Where []picker // the sites of each dimension
	Until field
	More  moreFields
	// Fine says that permissions are offered one by one, too. Keep is what the address
	// says beside the form.
	Fine  bool
	Keep  url.Values
	Panel *panel
	Back  string
}

// moreFields are what most mappings don't need.
type moreFields struct {
	Open         bool
	Deny         bool
	Mask         []pick
	From, Reason field
}

// picker is a choice of one, or of several, with a box to find them by when there
// are many.
type picker struct {
	ID, Name, Legend, Type string
	// For says which products it is for, while none is chosen.
	For string
	// All is the name of the box that says ALL, "" when there is none, and AllValue its
	// value.
	All, AllValue string
	IsAll         bool
	Filter        *field
	Options       []pick
	More          int
	Error         string
}

// pick is an option of a picker.
type pick struct {
	ID, Value, Text, Detail string
	Checked                 bool
}

// fewOptions is up to how many need no box to find them by.
const fewOptions = 12

// choose keeps the options that match what was typed, and those that are chosen.
func (p *picker) choose(v *visit, options []pick, values url.Values) {
	typed, name := "", "q."+p.Name
	if len(options) > fewOptions {
		typed = values.Get(name)
		p.Filter = &field{Name: name, Label: v.words.t("mappings.find"), Value: typed, Type: "search"}
	}
	key := store.Fold(strings.TrimSpace(typed))
	chosen := values[p.Name]
	for _, o := range options {
		o.Checked = slices.Contains(chosen, o.Value)
		switch {
		case !o.Checked && key != "" && !strings.Contains(store.Fold(o.Text+" "+o.Detail), key):
		case !o.Checked && len(p.Options) >= maxOptions:
			p.More++
		default:
			p.Options = append(p.Options, o)
		}
	}
	p.ID = "pick-" + strings.ReplaceAll(p.Name, ".", "-")
	for i := range p.Options {
		p.Options[i].ID = p.ID + "-" + p.Options[i].Value
	}
}

// editor reads the form of a grant.
type editor struct {
	server *Server
	visit  *visit
	values url.Values
	// old is the grant that is changed; its id is empty for a new one.
	old     access.Grant
	grant   access.Grant
	product access.Product
	crowd   *crowd            // nil for a grant to one
	waiting string            // what is still to be chosen
	errors  map[string]string // by field
}

func (s *Server) editor(v *visit, values url.Values, old access.Grant) *editor {
	e := &editor{server: s, visit: v, values: values, old: old, errors: map[string]string{}}
	switch {
	case values.Get("v") != "":
	case old.ID != "":
		e.values = e.fromGrant()
	default:
		e.values = e.fromNothing()
	}
	return e
}

// begun is the value of a box for ALL that was ticked when the form came.
const begun = "begun"

// fromNothing is the form that nobody has touched yet. A dimension that no product
// comes by first narrows down what another one says, such as teams at a site: there
// ALL is ticked, for everybody to see and untick.
func (e *editor) fromNothing() url.Values {
	values := url.Values{"v": {"1"}}
	maps.Copy(values, e.values)
	narrows := map[access.DimensionID]bool{}
	for _, product := range e.visit.policy.Products() {
		for i, d := range product.Dimensions {
			if was, known := narrows[d]; product.ID != access.ConsoleID {
				narrows[d] = i > 0 && (was || !known)
			}
		}
	}
	for d, yes := range narrows {
		if yes {
			values.Set("all."+string(d), begun)
		}
	}
	return values
}

// all reports whether ALL is said of a dimension. What was ticked when the form came
// gives way to sites that are chosen.
func (e *editor) all(d access.DimensionID) bool {
	switch e.values.Get("all." + string(d)) {
	case "":
		return false
	case begun:
		return len(e.values["s."+string(d)]) == 0
	}
	return true
}

// fromGrant is the form of the grant as it is.
func (e *editor) fromGrant() url.Values {
	g := e.old
	values := url.Values{"v": {"1"}, "what": {whatOf(&g)}, "reason": {g.Reason}}
	if g.Effect == access.Deny {
		values.Set("effect", string(g.Effect))
	}
	for _, m := range g.Mask {
		values.Add("mask", string(m))
	}
	product, _ := e.visit.policy.Product(g.Product)
	for _, d := range product.Dimensions {
		selection := g.Scope.Sites[d]
		if g.Scope.Everywhere || selection.All {
			values.Set("all."+string(d), "1")
		}
		for _, id := range selection.Sites {
			values.Add("s."+string(d), string(id))
		}
	}
	values.Set("from", e.day(g.From, 0))
	values.Set("until", e.day(g.Until, -time.Millisecond))
	return values
}

// day is an instant as a date field has it; until is the last day on which a grant
// counts.
func (e *editor) day(at time.Time, shift time.Duration) string {
	if at.IsZero() {
		return ""
	}
	return at.Add(shift).In(e.visit.zone).Format(time.DateOnly)
}

// whatOf names a role, or a permission at a level, of a product.
func whatOf(g *access.Grant) string {
	parts := []string{"role", string(g.Product), string(g.Role)}
	if g.Role == "" {
		parts = []string{"permission", string(g.Product), string(g.Permission), string(g.Level)}
	}
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// readWhat is the inverse of whatOf.
func readWhat(text string, g *access.Grant) bool {
	parts := strings.Split(text, "/")
	for i := range parts {
		part, err := url.PathUnescape(parts[i])
		if err != nil {
			return false
		}
		parts[i] = part
	}
	switch {
	case len(parts) == 3 && parts[0] == "role":
		g.Product, g.Role = access.ProductID(parts[1]), access.RoleID(parts[2])
	case len(parts) == 4 && parts[0] == "permission":
		g.Product, g.Permission, g.Level = access.ProductID(parts[1]), access.PermissionID(parts[2]), access.Level(parts[3])
	default:
		return false
	}
	return true
}

// read makes the grant of the form. What makes no sense at all is a bad request;
// what is still to be chosen is in waiting.
func (e *editor) read() error {
	v, values := e.visit, e.values
	g := access.Grant{ID: e.old.ID, Subject: e.old.Subject, Origin: e.old.Origin, Effect: access.Allow}
	if e.old.ID == "" {
		g.Subject = access.Grantee{Group: access.GroupID(values.Get("group")), User: access.UserID(values.Get("user")), Everyone: values.Get("everyone") != ""}
		g.Origin = access.OriginMapping
		if e.crowd != nil {
			g.Subject = access.Grantee{User: e.crowd.first()}
		}
		if g.Subject.Group == "" {
			g.Origin = access.OriginDirect
		}
	}
	if values.Get("effect") == string(access.Deny) {
		g.Effect = access.Deny
	}
	if what := values.Get("what"); what != "" && !readWhat(what, &g) {
		return badRequest{"problem.invalid"}
	}
	var known bool
	if e.product, known = v.policy.Product(g.Product); !known && g.Product != "" {
		return badRequest{"problem.invalid"}
	}
	for _, m := range values["mask"] {
		if slices.ContainsFunc(e.product.Permissions, func(p access.Permission) bool { return string(p.ID) == m }) && g.Effect == access.Allow {
			g.Mask = append(g.Mask, access.PermissionID(m))
		}
	}
	g.Scope = e.scope()
	g.From, g.Until = e.date("from", e.old.From, 0), e.date("until", e.old.Until, 1)
	g.Reason = strings.TrimSpace(values.Get("reason"))
	if len(g.Reason) > 500 || strings.ContainsFunc(g.Reason, unicode.IsControl) {
		e.errors["reason"] = v.words.t("mappings.reasonLong")
	} else if strings.ContainsFunc(g.Reason, store.Turns) {
		e.errors["reason"] = v.words.t("sites.turns")
	}
	switch {
	case g.Subject == access.Grantee{}:
		e.waiting = v.words.t("mappings.chooseWho")
	case g.Product == "" || g.Scope.Zero():
		e.waiting = v.words.t("mappings.choose")
	case len(e.errors) > 0:
		e.waiting = v.words.t("mappings.mend")
	}
	e.grant = g
	return nil
}

// scope is where: each dimension of the product with its sites, or ALL.
func (e *editor) scope() access.Scope {
	dimensions := e.product.Dimensions
	if e.product.ID != "" && len(dimensions) == 0 {
		return access.Scope{Everywhere: true}
	}
	sites := make(map[access.DimensionID]access.Selection)
	all := e.product.ID == access.ConsoleID
	for _, d := range dimensions {
		selection := access.Selection{All: e.all(d)}
		for _, id := range e.values["s."+string(d)] {
			if !selection.All && !slices.Contains(selection.Sites, access.SiteID(id)) {
				selection.Sites = append(selection.Sites, access.SiteID(id))
			}
		}
		if !selection.All && len(selection.Sites) == 0 {
			return access.Scope{} // still to be chosen
		}
		all = all && selection.All
		sites[d] = selection
	}
	if all {
		return access.Scope{Everywhere: true} // also in dimensions that come later
	}
	return access.Scope{Sites: sites}
}

// date reads a day, so many days on. The day of the grant that is changed stands
// for its very instant.
func (e *editor) date(name string, old time.Time, days int) time.Time {
	text := e.values.Get(name)
	shift := -time.Duration(days) * time.Millisecond
	if text == "" || text == e.day(old, shift) {
		if text == "" {
			return time.Time{}
		}
		return old
	}
	at, ok := e.visit.theDay(text)
	if !ok {
		e.errors[name] = e.visit.words.t("mappings.noDate")
		return time.Time{}
	}
	return at.AddDate(0, 0, days)
}

// whatOptions are the roles of all products, and their permissions one by one.
func (e *editor) whatOptions() []pick {
	var roles, permissions []pick
	for _, product := range e.visit.policy.Products() {
		name := cmp.Or(product.Name, string(product.ID))
		for _, role := range product.Roles {
			if role.Personal && e.grant.Subject.User == "" {
				continue
			}
			g := access.Grant{Product: product.ID, Role: role.ID}
			roles = append(roles, pick{Value: whatOf(&g), Text: cmp.Or(role.Name, string(role.ID)), Detail: name})
		}
		for _, permission := range product.Permissions {
			for _, level := range product.Levels {
				g := access.Grant{Product: product.ID, Permission: permission.ID, Level: level}
				text := e.visit.words.t("mappings.permission", "permission", cmp.Or(permission.Name, string(permission.ID)), "level", e.visit.words.level(level))
				permissions = append(permissions, pick{Value: whatOf(&g), Text: text, Detail: name})
			}
		}
	}
	// The console last: it is for few.
	slices.SortStableFunc(roles, func(a, b pick) int {
		console := func(p pick) int {
			if strings.HasPrefix(p.Value, "role/console/") {
				return 1
			}
			return 0
		}
		return cmp.Compare(console(a), console(b))
	})
	if e.values.Get("fine") != "" || strings.HasPrefix(e.values.Get("what"), "permission/") {
		return append(roles, permissions...)
	}
	return roles
}

// dimensions are those of the product, or of any product while none is chosen.
func (e *editor) dimensions() []access.DimensionID {
	if e.product.ID != "" {
		return e.product.Dimensions
	}
	var all []access.DimensionID
	for _, product := range e.visit.policy.Products() {
		for _, d := range product.Dimensions {
			if product.ID != access.ConsoleID && !slices.Contains(all, d) {
				all = append(all, d)
			}
		}
	}
	return all
}

// fill puts the form on its page.
func (e *editor) fill(ctx context.Context, p *editorPage) error {
	v, w := e.visit, e.visit.words
	who, err := e.who(ctx)
	if err != nil {
		return err
	}
	if p.Who = who; p.Who == "" {
		p.To = picker{Name: "group", Legend: w.t("mappings.who"), Type: "radio"}
		options, err := e.server.groupPicks(ctx, v, e.values.Get("q.group"))
		if err != nil {
			return err
		}
		p.To.choose(v, options, e.values)
	}
	p.Fine, p.Keep = e.values.Get("fine") != "", url.Values{}
	names := []string{"group", "user", "everyone"}
	if e.values.Get("match") != "" {
		names = []string{"match"}
	}
	for _, name := range names {
		if e.values.Get(name) != "" && p.Who != "" && e.old.ID == "" {
			p.Keep[name] = e.values[name]
		}
	}
	p.What = picker{Name: "what", Legend: w.t("mappings.what"), Type: "radio"}
	p.What.choose(v, e.whatOptions(), e.values)
	p.Where = e.where()
	p.Until = field{Name: "until", Label: w.t("mappings.until"), Type: "date", Value: e.values.Get("until"), Error: e.errors["until"]}
	p.More = moreFields{
		Deny:   e.grant.Effect == access.Deny,
		From:   field{Name: "from", Label: w.t("mappings.from"), Type: "date", Value: e.values.Get("from"), Error: e.errors["from"]},
		Reason: field{Name: "reason", Label: w.t("mappings.reason"), Value: e.values.Get("reason"), Error: e.errors["reason"]},
	}
	for _, permission := range e.product.Permissions {
		id := string(permission.ID)
		p.More.Mask = append(p.More.Mask, pick{ID: "mask-" + id, Value: id, Text: cmp.Or(permission.Name, id), Checked: slices.Contains(e.values["mask"], id)})
	}
	p.More.Open = p.More.Deny || len(e.grant.Mask) > 0 || p.More.From.Value != "" || p.More.Reason.Value != "" || p.More.From.Error+p.More.Reason.Error != ""
	return nil
}

// who names whom the grant is for; empty while that isn't chosen.
func (e *editor) who(ctx context.Context) (string, error) {
	if e.crowd != nil {
		return e.crowd.text(e.visit), nil
	}
	if e.old.ID == "" {
		if err := e.server.seeGrantee(ctx, e.visit, e.grant.Subject); err != nil {
			return "", err
		}
	}
	who, err := e.server.whom(ctx, e.visit, e.grant.Subject)
	if e.old.ID != "" && errors.Is(err, store.ErrNotFound) {
		return e.server.whomFormerly(ctx, e.visit, e.old)
	}
	return who, err
}

// scopedBy are the names of the products that come by a dimension, without the console,
// which comes by each.
func (v *visit) scopedBy(d access.DimensionID) (names []string) {
	for _, product := range v.policy.Products() {
		if product.ID != access.ConsoleID && slices.Contains(product.Dimensions, d) {
			names = append(names, productName(product))
		}
	}
	return names
}

// where offers the sites of each dimension.
func (e *editor) where() []picker {
	v, w := e.visit, e.visit.words
	var pickers []picker
	areas := v.area(access.ConsoleAccess, access.LevelChange)
	all := v.policy.Catalogue()
	for _, d := range e.dimensions() {
		label := string(d)
		for _, known := range all.Dimensions {
			if known.ID == d {
				label = cmp.Or(known.Name, label)
			}
		}
		where := picker{Name: "s." + string(d), Legend: w.t("mappings.at", "dimension", label), Type: "checkbox",
			All: "all." + string(d), AllValue: "1", IsAll: e.all(d)}
		if where.IsAll {
			where.AllValue = e.values.Get(where.All)
		}
		if e.product.ID == "" {
			where.For = strings.Join(v.scopedBy(d), ", ")
		}
		var options []pick
		for _, o := range siteOptions(v.policy, areas) {
			site, _ := v.policy.Site(access.SiteID(o.Value))
			if site.Dimension == d && !site.Archived {
				above, _ := v.policy.Site(site.Parent)
				options = append(options, pick{Value: o.Value, Text: o.Text, Detail: above.Name})
			}
		}
		where.choose(v, options, e.values)
		pickers = append(pickers, where)
	}
	return pickers
}

// seeGrantee is ErrNotFound unless the visitor sees whom a grant is for: an address
// must not tell a site administrator the names of people and groups elsewhere.
func (s *Server) seeGrantee(ctx context.Context, v *visit, to access.Grantee) (err error) {
	if mine, _ := v.mine(); mine.Everyone {
		return nil
	}
	switch {
	case to.User != "":
		_, err = s.see(ctx, v, string(to.User), moment{at: v.now})
	case to.Group != "":
		_, err = s.seeGroup(ctx, v, string(to.Group), moment{at: v.now})
	}
	return err
}

// whom names whom a grant is for; empty while that isn't chosen. ErrNotFound when
// there is no such group or person here.
func (s *Server) whom(ctx context.Context, v *visit, to access.Grantee) (string, error) {
	w := v.words
	switch {
	case to.Everyone:
		return w.t("mappings.everyone"), nil
	case to == access.Grantee{}:
		return "", nil
	}
	var users []access.UserID
	var groups []access.GroupID
	if to.User != "" {
		users = []access.UserID{to.User}
	} else {
		groups = []access.GroupID{to.Group}
	}
	names, err := s.names(ctx, v, users, groups)
	if err != nil {
		return "", err
	}
	if name, ok := names[string(to.User)]; ok && to.User != "" {
		return name, nil
	}
	if name, ok := names[string(to.Group)]; ok && to.Group != "" {
		return w.t("mappings.members", "group", name), nil
	}
	return "", store.ErrNotFound
}

// whomFormerly names whom a grant is for who isn't there any more: the group of a
// mapping that sleeps.
func (s *Server) whomFormerly(ctx context.Context, v *visit, g access.Grant) (string, error) {
	asleep, err := s.store.Sleeping(ctx, v.tenant())
	for _, a := range asleep {
		if a.Grant == g.ID {
			return v.words.t("mappings.membersOnce", "group", a.Name), nil
		}
	}
	return v.words.t("mappings.gone"), err
}

// mayName is ErrNotFound when whom a grant is to be for isn't the visitor's to see:
// the page names the members of a group, whatever the sites.
func (s *Server) mayName(ctx context.Context, v *visit, to access.Grantee) error {
	mine, _ := v.mine()
	if mine.Everyone || to == (access.Grantee{}) {
		return nil
	}
	var one store.Somebody
	err := fmt.Errorf("everyone: %w", store.ErrNotFound)
	switch {
	case to.Group != "":
		one, _, err = s.store.GroupNamed(ctx, v.tenant(), string(to.Group))
	case to.User != "":
		one, _, err = s.store.Somebody(ctx, v.tenant(), string(to.User))
	}
	switch {
	case err == nil && sees(mine, one.Subject):
		return nil
	case err == nil, errors.Is(err, store.ErrAmbiguous):
		return fmt.Errorf("whom the grant is for: %w", store.ErrNotFound)
	}
	return err
}

// groupPicks are the groups to choose from: those of whom the visitor sees people.
func (s *Server) groupPicks(ctx context.Context, v *visit, typed string) ([]pick, error) {
	connections, err := s.store.Connections(ctx, v.tenant())
	if err != nil {
		return nil, err
	}
	var all []pick
	mine := v.own(v.granted(v.policy, v.now, nil), v.area(access.ConsolePeople, access.LevelView))
	for _, c := range connections {
		q := store.Query{Limit: maxOptions + 1}
		if typed = strings.TrimSpace(typed); typed != "" {
			q.Filter = store.Compare{Attr: store.Attr{Path: []string{"displayname"}}, Op: store.Contains, Value: store.Fold(typed)}
		}
		groups, _, err := s.store.Groups(ctx, c.Ref(), q)
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			if mine.Everyone || slices.Contains(mine.Groups, access.GroupID(g.ID)) {
				all = append(all, pick{Value: string(g.ID), Text: g.DisplayName, Detail: c.Name})
			}
		}
	}
	slices.SortFunc(all, func(a, b pick) int {
		return cmp.Or(cmp.Compare(store.Fold(a.Text), store.Fold(b.Text)), cmp.Compare(a.Value, b.Value))
	})
	return all, nil
}

// newMapping makes a grant.
func (s *Server) newMapping(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.edit(w, r, v, access.Grant{}, "mappings.new")
}

// editMapping changes one.
func (s *Server) editMapping(w http.ResponseWriter, r *http.Request, v *visit) error {
	g, err := v.grantOf(r)
	if err != nil {
		return err
	}
	return s.edit(w, r, v, g, "mappings.editing")
}

// edit answers the editor, and its save. The form's state is in the address, also
// of the POST: a field that somebody edits is another proposal, with another digest.
func (s *Server) edit(w http.ResponseWriter, r *http.Request, v *visit, old access.Grant, title string) error {
	ctx := r.Context()
	if old.Attribute != "" {
		return badRequest{"mappings.attribute"}
	}
	values, action, err := s.state(r, v)
	if err != nil {
		return err
	}
	e := s.editor(v, values, old)
	if !r.URL.Query().Has("draft") {
		action = address(r.URL.Path, e.values, "csv", "")
	}
	if old.ID == "" && named(values) {
		if e.crowd, err = s.crowd(r, v, values); err != nil {
			return err
		}
	}
	if err := e.read(); err != nil {
		return err
	}
	if old.ID == "" && e.crowd == nil {
		if err := s.mayName(ctx, v, e.grant.Subject); err != nil {
			return err
		}
	}
	p := &editorPage{page: v.page(title), Action: r.URL.Path, Back: "/mappings"}
	if old.ID != "" {
		p.Back = "/mappings/" + string(old.ID)
	}
	if e.crowd != nil {
		p.page, p.Back, p.Notes = v.page("people.give"), e.crowd.back, e.crowd.notes(v)
	}
	if err := e.fill(ctx, p); err != nil {
		return err
	}
	show := func(status int, panel *panel) error {
		p.Panel = panel
		return s.render(w, status, "mapping-edit", p)
	}
	same := old.ID != "" && whatSame(e.grant, old)
	if e.waiting == "" && same && !saving(r) {
		e.waiting = v.words.t("sites.unchanged")
	}
	if e.waiting != "" {
		status := http.StatusOK
		if r.Method == http.MethodPost {
			status = http.StatusBadRequest
		}
		return show(status, &panel{Waiting: e.waiting})
	}
	change := proposal{Proposal: impact.Proposal{Add: []access.Grant{e.grant}}, action: action}
	if e.crowd != nil {
		change.Add, change.done = e.crowd.grants(e.grant), p.Back
	}
	if old.ID != "" {
		change.Proposal, change.done = impact.Proposal{Change: []access.Grant{e.grant}}, p.Back
		if same { // the second of two clicks, which propose knows by its key
			change.Proposal = impact.Proposal{}
		}
	}
	err = s.propose(w, r, v, change, show)
	if errors.Is(err, store.ErrInvalid) {
		return badRequest{"problem.invalid"}
	}
	return err
}
