package ui

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"
)

func (s *Server) impactRoutes() []route {
	change := needs{access.ConsoleAccess, access.LevelChange}
	return []route{
		{"GET", "/changes/{id}/revert", change, s.revert},
		{"POST", "/changes/{id}/revert", change, s.revert},
	}
}

// panel shows what a change does before it is saved: who loses and who gains, by
// name, and what stands against it. Every page that moves access shows it, as
// {{template "impact" .Panel}}, and saves with Server.propose.
type panel struct {
	// Waiting says what is still to be chosen; the rest is empty then.
	Waiting string
	Counts  []impactCount
	// At is the day that it is about, if not today.
	At *when
	// Hidden says that only counts are for this visitor.
	Hidden   bool
	Table    table
	Rows     []impactRow
	More     int // people not shown
	CSV      string
	Warnings []string
	Refused  []string
	// Problem is why a save came to nothing: the world moved, the number is wrong.
	Problem string

	// Action is where the form goes, with all of the proposal; Digest, Key and Seen
	// come back with it.
	Action, Digest, Key, Seen string
	// Body is what is too large for an address; it comes back as it is.
	Body       string
	Save       string
	Bad        bool
	Typed      int
	TypedField field
}

// impactCount is how many fare in a way.
type impactCount struct {
	Text string
	Bad  bool
}

// impactRow is somebody for whom something changes.
type impactRow struct {
	Name, UserName, Href string
	Bad                  bool
	Lines                []impactLine
	SeenAt               *when
}

// impactLine is what becomes of permissions somewhere.
type impactLine struct {
	Kind, Text, Where string
	Bad, Sensitive    bool
	// Ways are those by which it is kept, or no more.
	Ways []string
}

// impactNames is how many people the panel names, and unkeptNames how many of those
// who were invited.
const (
	impactNames = 50
	unkeptNames = 5
)

// badKinds are those in which somebody has less than before.
func badKind(k access.DifferenceKind) bool { return k == access.Loses || k == access.Lowers }

// panel makes the panel of a preview. Action is the address that has all of the
// proposal.
func (s *Server) panel(ctx context.Context, v *visit, look *impact.Preview, action string) (*panel, error) {
	w := v.words
	p := &panel{Hidden: look.Hidden, Action: action, Digest: look.Digest, Key: store.NewProposalKey(), Seen: seen(look), Typed: look.Typed,
		CSV:   address(pathOf(action), queryOf(action), "csv", "1"),
		Table: table{ID: "impact-people", Caption: w.t("impact.people"), Columns: v.columns("impact.who:wide", "impact.what", "impact.seen:narrow")}}
	for _, kind := range impact.Kinds {
		if n := look.Counts[kind]; n > 0 {
			p.Counts = append(p.Counts, impactCount{Text: w.n("impact.count."+string(kind), n), Bad: badKind(kind)})
		}
	}
	if look.After != nil && look.Unchanged > 0 {
		p.Counts = append(p.Counts, impactCount{Text: w.n("impact.count.same", look.Unchanged)})
	}
	if look.Later {
		at := v.when(look.At)
		p.At = &at
	}
	t := newForecast(v, look)
	p.Warnings = t.covered()
	for _, f := range look.Findings {
		if text := t.finding(f); !f.Refuse && !slices.Contains(p.Warnings, text) {
			p.Warnings = append(p.Warnings, text)
		}
	}
	if n := len(look.Unkept); n > 0 {
		var names []string
		for _, one := range look.Unkept {
			if v.may(access.ConsolePeople, access.LevelView) && v.sees(one) && len(names) < unkeptNames {
				names = append(names, one.DisplayName)
			}
		}
		text := w.n("impact.unkept", n)
		if len(names) > 0 {
			text += " " + w.t("impact.unkeptFor", "names", w.list(names))
		}
		p.Warnings = append(p.Warnings, text)
	}
	for _, r := range look.Refused {
		if text := t.of(r.Users, t.refusal(r)); !slices.Contains(p.Refused, text) {
			p.Refused = append(p.Refused, text)
		}
	}
	switch gains, losers := look.Counts[access.Gains]+look.Counts[access.Raises], look.Losers(); {
	case losers > 0:
		p.Save, p.Bad = w.n("impact.save.lose", losers), true
	case gains > 0:
		p.Save = w.n("impact.save.gain", gains)
	default:
		p.Save = w.t("impact.save")
	}
	p.TypedField = field{Name: "typed", Label: w.n("impact.typed", look.Typed), Type: "text"}
	if look.Hidden {
		return p, nil
	}
	shown := look.People[:min(len(look.People), impactNames)]
	p.More = len(look.People) - len(shown)
	ids := make([]access.UserID, len(shown))
	for i := range shown {
		ids[i] = shown[i].User
	}
	signedIn, err := s.store.SignedIn(ctx, v.tenant(), ids)
	if err != nil {
		return nil, err
	}
	for i := range shown {
		row := t.row(&shown[i])
		if at, ok := signedIn[shown[i].User]; ok {
			seen := v.instant(at)
			row.SeenAt = &seen
		}
		p.Rows = append(p.Rows, row)
	}
	return p, nil
}

func pathOf(address string) string {
	p, _, _ := strings.Cut(address, "?")
	return p
}

func queryOf(address string) url.Values {
	_, q, _ := strings.Cut(address, "?")
	values, err := url.ParseQuery(q)
	if err != nil {
		return url.Values{}
	}
	return values
}

// seen is how many the page told of, to say afterwards how many there are more.
func seen(look *impact.Preview) string {
	text, _ := json.Marshal(look.Counts) // counts
	return string(text)
}

// proposal is a change that a page proposes.
type proposal struct {
	impact.Proposal
	undoes store.ChangeID
	// action is the address of the page with all of the proposal; done is where to go
	// when it is saved, by default to the grant that was made.
	action, done string
	// also is done in the same transaction; what has it can't be undone. said is the
	// key of what is said then.
	also func(*store.Tx) error
	said string
	// then answers the save instead of a redirect to done; may be nil.
	then func(impact.Saved) error
}

// propose answers a page that shows what a change does, and its save: show renders
// the page around the panel.
func (s *Server) propose(w http.ResponseWriter, r *http.Request, v *visit, p proposal, show func(status int, p *panel) error) error {
	ctx := r.Context()
	if r.Method != http.MethodPost { // also HEAD
		look, err := impact.Look(ctx, s.store, v.actor(), p.Proposal)
		if err != nil {
			return err
		}
		if r.URL.Query().Get("csv") != "" {
			return v.impactCSV(w, look)
		}
		shown, err := s.panel(ctx, v, look, p.action)
		if err != nil {
			return err
		}
		return show(http.StatusOK, shown)
	}
	typed, _ := strconv.Atoi(strings.TrimSpace(r.PostFormValue("typed")))
	saved, err := impact.Save(ctx, s.store, v.actor(), p.Proposal,
		impact.Agreed{Digest: r.PostFormValue("digest"), Key: r.PostFormValue("key"), Typed: typed, Undoes: p.undoes}, p.also)
	if refusedSave(err) {
		shown, problem := s.panel(ctx, v, saved.Preview, p.action)
		if problem != nil {
			return problem
		}
		switch {
		case errors.Is(err, impact.ErrStale):
			shown.Problem = v.moved(r.PostFormValue("seen"), saved.Preview)
		case errors.Is(err, impact.ErrUnconfirmed):
			shown.TypedField.Error = v.words.t("impact.typedWrong")
			shown.Problem = shown.TypedField.Error
		}
		return show(http.StatusConflict, shown)
	}
	if err != nil {
		return err
	}
	if p.then != nil {
		return p.then(saved)
	}
	if p.done == "" && len(saved.Grants) > 0 {
		p.done = "/mappings/" + string(saved.Grants[0])
	}
	undo := "/changes/" + string(saved.Change) + "/revert"
	if p.also != nil || p.Empty() {
		undo = ""
	}
	return s.say(w, r, cmp.Or(p.done, "/mappings"), undo, cmp.Or(p.said, map[bool]string{true: "impact.undone"}[p.undoes != ""], "impact.saved"))
}

// refusedSave reports whether a save came to nothing for a reason that the panel shows.
func refusedSave(err error) bool {
	return errors.Is(err, impact.ErrStale) || errors.Is(err, impact.ErrRefused) || errors.Is(err, impact.ErrUnconfirmed)
}

// moved says what is otherwise than when somebody looked.
func (v *visit) moved(seen string, look *impact.Preview) string {
	was := map[access.DifferenceKind]int{}
	if json.Unmarshal([]byte(seen), &was) != nil {
		return v.words.t("impact.moved")
	}
	before, after := 0, len(look.People)
	for _, n := range was {
		before += n
	}
	switch {
	case after > before:
		return v.words.n("impact.moved.more", after-before)
	case after < before:
		return v.words.n("impact.moved.fewer", before-after)
	}
	return v.words.t("impact.moved")
}

// forecast puts a preview into words.
type forecast struct {
	v    *visit
	look *impact.Preview
	// was is how things are granted now, and granted how they would be.
	was, granted *granted
}

func newForecast(v *visit, look *impact.Preview) *forecast {
	return &forecast{v, look, v.granted(look.Before, v.now, nil), v.granted(cmp.Or(look.After, look.Before), v.now, nil)}
}

func (t *forecast) row(p *impact.Person) impactRow {
	row := impactRow{Name: cmp.Or(p.DisplayName, p.Named.Name), UserName: p.Named.Name, Href: t.v.link("/people/" + string(p.User)), Bad: badKind(p.Kind)}
	w := t.v.words
	if p.Before != p.After {
		key := "impact.blocked"
		if p.After {
			key = "impact.letIn"
		}
		row.Lines = append(row.Lines, impactLine{Kind: w.t("impact.kind." + string(p.Kind)), Text: w.t(key), Bad: !p.After})
	}
	var alike []access.Difference
	names := map[int][]string{}
	for _, d := range p.Differences {
		permission := d.Permission
		d.Permission = ""
		i := slices.IndexFunc(alike, func(o access.Difference) bool { return sameFate(&o, &d) })
		if i < 0 {
			i = len(alike)
			alike = append(alike, d)
		}
		name, sensitive := t.permission(d.Product, permission)
		if sensitive && !badKind(d.Kind) && d.Kind != access.Keeps {
			name = w.t("impact.sensitive", "permission", name)
		}
		names[i] = append(names[i], name)
	}
	for i, d := range alike {
		line := impactLine{Kind: w.t("impact.kind." + string(d.Kind)), Bad: badKind(d.Kind), Where: t.area(d.Area)}
		line.Text = w.t("impact.levels", "product", t.product(d.Product), "permissions", w.list(names[i]),
			"before", cmp.Or(w.level(d.Before), w.t("impact.none")), "after", cmp.Or(w.level(d.After), w.t("impact.none")))
		if d.Before == d.After {
			line.Text = w.t("impact.level", "product", t.product(d.Product), "permissions", w.list(names[i]), "level", cmp.Or(w.level(d.After), w.t("impact.none")))
		}
		for _, ways := range []struct {
			key   string
			paths []access.Path
			by    *granted
		}{{"impact.lost", d.Lost, t.was}, {"impact.kept", d.Kept, t.granted}} {
			for _, path := range ways.paths {
				text := w.t(ways.key, "way", t.path(path, ways.by))
				if !slices.Contains(line.Ways, text) {
					line.Ways = append(line.Ways, text)
				}
			}
		}
		row.Lines = append(row.Lines, line)
	}
	return row
}

// sameFate compares differences but for the permission.
func sameFate(a, b *access.Difference) bool {
	grants := func(paths []access.Path) string {
		var b strings.Builder
		for _, p := range paths {
			b.WriteString(string(p.Grant.ID))
			for _, g := range p.Groups {
				b.WriteString(string(g))
			}
		}
		return b.String()
	}
	samePart := func(x, y access.Part) bool {
		return x.All == y.All && slices.Equal(x.Sites, y.Sites) && slices.Equal(x.Except, y.Except)
	}
	return a.Kind == b.Kind && a.Product == b.Product && a.Before == b.Before && a.After == b.After && maps.EqualFunc(a.Area, b.Area, samePart) &&
		grants(a.Lost) == grants(b.Lost) && grants(a.Kept) == grants(b.Kept) && grants(a.Gained) == grants(b.Gained)
}

// covered says what adds nothing, each way once: what many are given may be covered
// for hundreds of them.
func (t *forecast) covered() (all []string) {
	times := map[string]int{}
	for _, c := range t.look.Covered {
		text := t.v.words.t("impact.covered", "grant", t.granted.chip(&c.By).Title, "who", t.whom(c.By.Subject))
		if times[text]++; times[text] == 1 {
			all = append(all, text)
		}
	}
	for i, text := range all {
		if n := times[text]; n > 1 {
			all[i] = t.v.words.t("impact.coveredTimes", "n", n, "text", text)
		}
	}
	return all
}

// known is the product of an id, as it is after the change or was before.
func (t *forecast) known(id access.ProductID) access.Product {
	for _, p := range []*access.Policy{t.granted.policy, t.was.policy} {
		if product, ok := p.Product(id); ok {
			return product
		}
	}
	return access.Product{ID: id}
}

func (t *forecast) product(id access.ProductID) string {
	return cmp.Or(t.known(id).Name, string(id))
}

func (t *forecast) permission(product access.ProductID, id access.PermissionID) (name string, sensitive bool) {
	for _, policy := range []*access.Policy{t.granted.policy, t.was.policy} {
		known, _ := policy.Product(product)
		for _, p := range known.Permissions {
			if p.ID == id {
				return cmp.Or(p.Name, string(id)), slices.Contains(p.Tags, "sensitive")
			}
		}
	}
	return string(id), false
}

// area is where, in words.
func (t *forecast) area(area access.Area) string {
	w := t.v.words
	var parts []string
	for _, d := range slices.Sorted(maps.Keys(area)) {
		part := area[d]
		switch {
		case part.All && len(part.Except) == 0:
		case part.All && len(part.Sites) > 0:
			parts = append(parts, w.t("impact.butAlso", "sites", t.sites(part.Except), "also", t.sites(part.Sites)))
		case part.All:
			parts = append(parts, w.t("impact.but", "sites", t.sites(part.Except)))
		case len(part.Except) > 0:
			parts = append(parts, w.t("impact.sitesBut", "sites", t.sites(part.Sites), "except", t.sites(part.Except)))
		default:
			parts = append(parts, t.sites(part.Sites))
		}
	}
	if len(parts) == 0 {
		return w.t("chip.everywhere")
	}
	return strings.Join(parts, " · ")
}

func (t *forecast) sites(ids []access.SiteID) string {
	const most = 6
	var names []string
	for _, id := range ids {
		for _, p := range []*access.Policy{t.look.After, t.look.Before} {
			if site, ok := p.Site(id); ok {
				names = append(names, cmp.Or(site.Name, site.Key, string(id)))
				break
			}
		}
	}
	slices.Sort(names)
	if len(names) > most {
		names = append(names[:most], "+"+t.v.words.number(len(ids)-most))
	}
	return strings.Join(names, ", ")
}

// path is a way to a permission: through which groups, or not, and by which grant.
func (t *forecast) path(p access.Path, by *granted) string {
	w, what := t.v.words, by.chip(p.Grant).Text
	if len(p.Groups) == 0 {
		return w.t("impact.way", "who", t.whom(p.Grant.Subject), "what", what)
	}
	var names []string
	for _, id := range p.Groups {
		names = append(names, cmp.Or(t.look.Groups[id].Name, string(id)))
	}
	return w.t("impact.way", "who", strings.Join(names, " › "), "what", what)
}

// whom is whom a grant is for, as far as a panel needs to say.
func (t *forecast) whom(g access.Grantee) string {
	switch {
	case g.Everyone:
		return t.v.words.t("impact.everyone")
	case g.Group != "":
		return cmp.Or(t.look.Groups[g.Group].Name, string(g.Group))
	}
	return t.v.words.t("impact.direct")
}

// refusal is why a change can't be saved, and what to do.
func (t *forecast) refusal(r impact.Refusal) string {
	w := t.v.words
	switch r.Reason {
	case impact.NotAllowed:
		return w.t("impact.objection." + string(r.Objection.Reason))
	case impact.Broken:
		return t.finding(r.Finding)
	case impact.GivesNothing:
		if r.Problem == access.NoScope {
			return w.t("impact.noScope")
		}
		return w.t("impact.givesNothing", "why", strings.ReplaceAll(string(r.Problem), "_", " "), "name", r.Name)
	case impact.Contradicts:
		return w.t("impact.contradicts", "why", r.Name)
	case impact.LastOwner:
		if !r.From.IsZero() {
			return w.t("impact.lastOwnerFrom", "date", w.date(r.From.In(t.v.zone)))
		}
	}
	return w.t("impact.refused." + string(r.Reason))
}

// refusedNames is how many people a refusal names.
const refusedNames = 5

// of puts the people of a review before what is said of them.
func (t *forecast) of(users []access.UserID, text string) string {
	var names []string
	for _, id := range users {
		if named, ok := t.look.Users[id]; ok {
			names = append(names, cmp.Or(named.DisplayName, named.Name))
		}
	}
	if len(names) == 0 {
		return text
	}
	who := t.v.words.list(names)
	if more := len(names) - refusedNames; more > 0 {
		who = strings.Join(names[:refusedNames], ", ") + " " + t.v.words.n("impact.more", more)
	}
	return t.v.words.t("impact.refusedOf", "names", who, "why", text)
}

// finding is a rule of a product that isn't kept.
func (t *forecast) finding(f access.Finding) string {
	named := t.look.Users[f.User]
	name := cmp.Or(named.DisplayName, named.Name, string(f.User))
	if i := slices.IndexFunc(t.look.People, func(p impact.Person) bool { return p.User == f.User }); i >= 0 {
		name = cmp.Or(t.look.People[i].DisplayName, name) // a guest isn't there yet
	}
	if t.look.Hidden {
		name = t.v.words.t("impact.somebody")
	}
	permission, _ := t.permission(f.Product, f.Permission)
	return t.v.words.t("impact.finding."+string(f.Rule), "product", t.product(f.Product), "role", t.role(f.Product, f.Role), "permission", permission, "name", name)
}

func (t *forecast) role(product access.ProductID, id access.RoleID) string {
	for _, r := range t.known(product).Roles {
		if r.ID == id {
			return cmp.Or(r.Name, string(id))
		}
	}
	return string(id)
}

// impactCSV is everybody in the panel, as a file.
func (v *visit) impactCSV(w http.ResponseWriter, look *impact.Preview) error {
	if look.Hidden {
		return forbidden{needs{access.ConsolePeople, access.LevelView}}
	}
	t := newForecast(v, look)
	next := 0
	return v.csv(w, "impact.csv", []string{"impact.who", "people.userName", "impact.kind", "impact.what", "impact.where", "impact.ways"}, func() ([][]string, error) {
		var rows [][]string
		for ; next < len(look.People) && len(rows) < 1000; next++ {
			row := t.row(&look.People[next])
			for _, line := range row.Lines {
				rows = append(rows, []string{row.Name, row.UserName, line.Kind, line.Text, line.Where, strings.Join(line.Ways, "; ")})
			}
		}
		return rows, nil
	})
}

// proposalPage is a page that consists of the panel alone.
type proposalPage struct {
	page
	// Steps say what is to be done.
	Steps []string
	// Since warns that what is undone was changed again afterwards.
	Since string
	Back  string
	Panel *panel
}

// revert takes a change of the log back, with its own panel.
func (s *Server) revert(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx, id := r.Context(), store.ChangeID(r.PathValue("id"))
	undo, since, err := impact.Undo(ctx, s.store, v.tenant(), id)
	if errors.Is(err, impact.ErrNoInverse) {
		return badRequest{"impact.noInverse"}
	}
	if err != nil {
		return err
	}
	done := "/mappings"
	if len(undo.Change) == 1 {
		done = "/mappings/" + string(undo.Change[0].ID)
	}
	return s.propose(w, r, v, proposal{Proposal: undo, undoes: id, action: r.URL.Path, done: done}, func(status int, panel *panel) error {
		p := &proposalPage{page: v.page("impact.undo"), Back: "/mappings", Panel: panel}
		if since {
			p.Since = v.words.t("impact.since")
		}
		if panel.Hidden { // what was done elsewhere isn't this visitor's to read
			return s.render(w, status, "proposal", p)
		}
		if p.Steps, err = s.steps(ctx, v, undo); err != nil {
			return err
		}
		return s.render(w, status, "proposal", p)
	})
}

// steps tell a proposal in sentences.
func (s *Server) steps(ctx context.Context, v *visit, p impact.Proposal) ([]string, error) {
	after, err := access.NewPolicy(p.Catalogue(v.policy.Catalogue()), nil)
	if err != nil { // which the panel says
		after = v.policy
	}
	var all []string
	tell := func(key string, policy *access.Policy, grants ...access.Grant) error {
		sentences, err := s.sentences(ctx, v, policy, grants)
		for _, text := range sentences {
			all = append(all, v.words.t(key, "what", text))
		}
		return err
	}
	var ended []access.Grant
	for _, id := range p.End {
		if g, ok := v.policy.Grant(id); ok {
			ended = append(ended, g)
		}
	}
	if err := tell("impact.step.end", v.policy, ended...); err != nil {
		return nil, err
	}
	if err := tell("impact.step.change", after, p.Change...); err != nil {
		return nil, err
	}
	if err := tell("impact.step.add", after, p.Add...); err != nil {
		return nil, err
	}
	for _, site := range p.ChangeSites {
		all = append(all, v.words.t("impact.step.site", "what", cmp.Or(site.Name, site.Key)))
	}
	for _, product := range p.Products {
		all = append(all, v.words.t("impact.step.product", "what", cmp.Or(product.Name, string(product.ID))))
	}
	for _, id := range p.RemoveProducts {
		all = append(all, v.words.t("impact.step.removeProduct", "what", string(id)))
	}
	if n := len(p.People); n > 0 {
		all = append(all, v.words.n("impact.step.people", n))
	}
	if more := len(all) - impactNames; more > 0 {
		all = append(all[:impactNames], v.words.n("impact.step.more", more))
	}
	return all, nil
}
