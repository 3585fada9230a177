package ui

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"
)

func (s *Server) mappingsRoutes() []route {
	view, change := needs{access.ConsoleAccess, access.LevelView}, needs{access.ConsoleAccess, access.LevelChange}
	return []route{
		{"GET", "/mappings", view, s.mappings},
		{"GET", "/mappings/new", change, s.newMapping},
		{"POST", "/mappings/new", change, s.newMapping},
		{"GET", "/mappings/bulk", change, s.bulkMappings},
		{"POST", "/mappings/bulk", change, s.bulkMappings},
		{"GET", "/mappings/{id}", view, s.mapping},
		{"GET", "/mappings/{id}/edit", change, s.editMapping},
		{"POST", "/mappings/{id}/edit", change, s.editMapping},
		{"GET", "/mappings/{id}/end", change, s.endMapping},
		{"POST", "/mappings/{id}/end", change, s.endMapping},
		{"GET", "/mappings/{id}/relink", change, s.relinkMapping},
		{"POST", "/mappings/{id}/relink", change, s.relinkMapping},
	}
}

// mappingsPage is the list of what is granted to groups, or to people.
type mappingsPage struct {
	page
	Filters  []field
	Filtered bool
	Count    string
	Table    table
	Rows     []mappingRow
	Pager    pager
	Empty    empty
	New      string
	// Bulk is where the chosen go, empty for who may change nothing.
	Bulk  string
	Roles field
}

type mappingRow struct {
	ID, Who, Href string
	Chip          chip
	People        string
	Validity      string
	States        []string
	Relink        string
}

const mappingsPerPage = 50

// mappingKey is a place in the list.
type mappingKey struct{ Name, ID string }

// The states that the list can be narrowed to.
var mappingStates = []string{"expired", "later", "redundant", "unused", "sleeping", "broken"}

// names are what users and groups are called, those too that have gone.
func (s *Server) names(ctx context.Context, v *visit, users []access.UserID, groups []access.GroupID) (map[string]string, error) {
	return s.store.Names(ctx, v.tenant(), users, groups)
}

// grantOf is the grant that the path names, if the visitor may see it.
func (v *visit) grantOf(r *http.Request) (access.Grant, error) {
	g, ok := v.policy.Grant(access.GrantID(r.PathValue("id")))
	if !ok || !v.sight()(&g) {
		return g, store.ErrNotFound
	}
	return g, nil
}

// sight tells which grants are the visitor's to see: a scoped one sees those that
// reach into her sites.
func (v *visit) sight() func(*access.Grant) bool {
	if !v.scoped(access.ConsoleAccess, access.LevelView) {
		return func(*access.Grant) bool { return true }
	}
	granted, areas := v.granted(v.policy, v.now, nil), v.area(access.ConsoleAccess, access.LevelView)
	return func(g *access.Grant) bool { return granted.inside(g, areas) }
}

// mappingList is what a page of the list is made of.
type mappingList struct {
	grants   []access.Grant
	names    map[string]string
	sizes    map[access.GroupID]store.GroupSize
	sleeping map[access.GrantID]store.Relink
	problems map[access.GrantID]access.Problem
	covered  map[access.GrantID]access.Grant
}

func (s *Server) mappingList(ctx context.Context, v *visit, keep func(*access.Grant) bool) (*mappingList, error) {
	l := &mappingList{sleeping: map[access.GrantID]store.Relink{}, problems: map[access.GrantID]access.Problem{}, covered: map[access.GrantID]access.Grant{}}
	var users []access.UserID
	var groups []access.GroupID
	of, sees := map[access.Grantee][]access.Grant{}, v.sight()
	for _, g := range v.policy.Grants() {
		of[g.Subject] = append(of[g.Subject], g)
		if !keep(&g) || !sees(&g) {
			continue
		}
		l.grants = append(l.grants, g)
		if g.Subject.User != "" {
			users = append(users, g.Subject.User)
		}
		if g.Subject.Group != "" {
			groups = append(groups, g.Subject.Group)
		}
	}
	for _, g := range l.grants {
		for _, other := range slices.Concat(of[g.Subject], of[access.Grantee{Everyone: true}]) {
			// Of two that say the same the newer one is too many.
			if v.policy.Covers(other, g, nil) && (!v.policy.Covers(g, other, nil) || other.ID < g.ID) {
				l.covered[g.ID] = other
				break
			}
		}
	}
	for _, p := range v.policy.Problems() {
		l.problems[p.Grant] = p
	}
	var err error
	if l.names, err = s.names(ctx, v, users, groups); err != nil {
		return nil, err
	}
	if l.sizes, err = s.store.GroupSizes(ctx, v.tenant(), groups, 1000); err != nil {
		return nil, err
	}
	asleep, err := s.store.Sleeping(ctx, v.tenant())
	for _, a := range asleep {
		l.sleeping[a.Grant] = a
	}
	return l, err
}

// who names whom a grant is for, also a group that has gone.
func (l *mappingList) who(v *visit, g *access.Grant) string {
	if g.Subject.Everyone {
		return v.words.t("mappings.everyone")
	}
	if a, ok := l.sleeping[g.ID]; ok {
		return a.Name
	}
	return cmp.Or(l.names[string(g.Subject.User)], l.names[string(g.Subject.Group)], v.words.t("mappings.gone"))
}

func (l *mappingList) states(v *visit, g *access.Grant) []string {
	var all []string
	add := func(is bool, state string) {
		if is {
			all = append(all, state)
		}
	}
	_, asleep := l.sleeping[g.ID]
	_, covered := l.covered[g.ID]
	_, broken := l.problems[g.ID]
	size, there := l.sizes[g.Subject.Group]
	add(!g.Until.IsZero() && !v.now.Before(g.Until), "expired")
	add(g.From.After(v.now), "later")
	add(covered, "redundant")
	add(there && size.Empty(), "unused")
	add(asleep, "sleeping")
	add(broken, "broken")
	return all
}

func (s *Server) mappings(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx, query := r.Context(), r.URL.Query()
	after, err := place[mappingKey](r)
	if err != nil {
		return err
	}
	g := v.granted(v.policy, v.now, nil)
	site := v.siteFilter(v.policy, query.Get("site"), v.area(access.ConsoleAccess, access.LevelView))
	role := v.roleFilter(v.policy, query.Get("role"))
	l, err := s.mappingList(ctx, v, func(grant *access.Grant) bool {
		to := grant.Subject
		return (query.Get("group") == "" || string(to.Group) == query.Get("group")) && (query.Get("user") == "" || string(to.User) == query.Get("user")) &&
			(query.Get("of") == "all" || query.Get("user") != "" || to.Group != "") && grant.Attribute == "" &&
			(role.Value == "" || role.Value == string(grant.Product)+"/"+string(grant.Role)) &&
			(site.Value == "" || g.reaches(grant, access.SiteID(site.Value)))
	})
	if err != nil {
		return err
	}
	p := &mappingsPage{page: v.page("mappings.title"), New: v.link(address("/mappings/new", nil, "group", query.Get("group"))), Filtered: len(query) > 0,
		Filters: []field{role, site, v.mappingStateFilter(query.Get("state")), v.mappingOfFilter(query.Get("of"))},
		Table: table{ID: "mappings", Caption: v.words.t("mappings.title"), Hidden: true,
			Columns: v.columns("mappings.who:wide", "mappings.gets:wide", "mappings.people:number", "mappings.valid")}}
	if v.may(access.ConsoleAccess, access.LevelChange) {
		p.Bulk = "/mappings/bulk"
		p.Roles = v.roleFilter(v.policy, "")
		p.Roles.Name, p.Roles.Label = "to", v.words.t("mappings.toRole")
		p.Roles.Any = v.words.t("mappings.chooseRole")
	}
	rows := l.rows(v, g, query)
	p.Count = v.words.n("mappings.count", len(rows))
	rows = slices.DeleteFunc(rows, func(row keyedRow) bool { return row.key.compare(after) <= 0 && after != (mappingKey{}) })
	var next *mappingKey
	if len(rows) > mappingsPerPage {
		rows = rows[:mappingsPerPage]
		next = &rows[mappingsPerPage-1].key
	}
	p.Pager = keyset(r, next)
	for _, row := range rows {
		p.Rows = append(p.Rows, row.mappingRow)
	}
	p.Empty = empty{Text: v.words.t("mappings.none"), Href: p.New, Link: v.words.t("mappings.new")}
	if p.Filtered {
		p.Empty = empty{Text: v.words.t("mappings.noMatch"), Href: "/mappings", Link: v.words.t("people.clear")}
	}
	return s.render(w, http.StatusOK, "mappings", p)
}

type keyedRow struct {
	key mappingKey
	mappingRow
}

func (k mappingKey) compare(o mappingKey) int {
	return cmp.Or(cmp.Compare(k.Name, o.Name), cmp.Compare(k.ID, o.ID))
}

// rows are the grants of a state, by whom they are for.
func (l *mappingList) rows(v *visit, granted *granted, query url.Values) []keyedRow {
	var rows []keyedRow
	for i := range l.grants {
		g := &l.grants[i]
		states := l.states(v, g)
		if state := query.Get("state"); state != "" && !slices.Contains(states, state) {
			continue
		}
		row := mappingRow{ID: string(g.ID), Who: l.who(v, g), Href: v.link("/mappings/" + string(g.ID)), Chip: granted.chip(g), Validity: v.validity(g)}
		for _, state := range states {
			text := v.words.t("mappings.state." + state)
			if by, ok := l.covered[g.ID]; ok && state == "redundant" {
				text = v.words.t("mappings.coveredBy", "grant", granted.chip(&by).Title)
			}
			row.States = append(row.States, text)
		}
		if size, ok := l.sizes[g.Subject.Group]; ok {
			if row.People = v.words.number(size.People); size.People == 1000 || size.Groups > 0 {
				row.People += "+"
			}
		}
		if a, ok := l.sleeping[g.ID]; ok && a.Candidate != "" {
			row.Relink = v.link(address("/mappings/"+string(g.ID)+"/relink", nil, "group", string(a.Candidate)))
		}
		rows = append(rows, keyedRow{mappingKey{store.Fold(row.Who), row.ID}, row})
	}
	slices.SortFunc(rows, func(a, b keyedRow) int { return a.key.compare(b.key) })
	return rows
}

// validity is from when until when a grant counts; empty for always.
func (v *visit) validity(g *access.Grant) string {
	w, until := v.words, g.Until.Add(-time.Millisecond).In(v.zone)
	switch {
	case !g.From.IsZero() && !g.Until.IsZero():
		return w.t("mappings.between", "from", w.date(g.From.In(v.zone)), "until", w.date(until))
	case !g.From.IsZero():
		return w.t("mappings.since", "from", w.date(g.From.In(v.zone)))
	case !g.Until.IsZero():
		return w.t("mappings.to", "until", w.date(until))
	}
	return ""
}

func (v *visit) mappingStateFilter(value string) field {
	var options []option
	for _, state := range mappingStates {
		options = append(options, option{Value: state, Text: v.words.t("mappings.state." + state)})
	}
	return choose("state", v.words.t("people.state"), v.words.t("people.anyState"), value, options)
}

func (v *visit) mappingOfFilter(value string) field {
	return choose("of", v.words.t("mappings.of"), v.words.t("mappings.ofGroups"), value, []option{{Value: "all", Text: v.words.t("mappings.ofAll")}})
}

// sentences tell grants: members of a group get a role at some sites until a day.
func (s *Server) sentences(ctx context.Context, v *visit, policy *access.Policy, grants []access.Grant) ([]string, error) {
	var users []access.UserID
	var groups []access.GroupID
	for _, g := range grants {
		if g.Subject.User != "" {
			users = append(users, g.Subject.User)
		}
		if g.Subject.Group != "" {
			groups = append(groups, g.Subject.Group)
		}
	}
	names, err := s.names(ctx, v, users, groups)
	if err != nil {
		return nil, err
	}
	granted := v.granted(policy, v.now, nil)
	var all []string
	for i := range grants {
		g := &grants[i]
		who, w := cmp.Or(names[string(g.Subject.User)], names[string(g.Subject.Group)], v.words.t("mappings.gone")), v.words
		key := "person"
		switch {
		case g.Subject.Everyone:
			who, key = w.t("mappings.everyone"), "everyone"
		case g.Subject.Group != "":
			key = "group"
		}
		if g.Effect == access.Deny {
			key += "Deny"
		}
		allowed := *g
		allowed.Effect = access.Allow
		text := w.t("mappings.sentence."+key, "who", who, "what", granted.chip(&allowed).Title)
		if valid := v.validity(g); valid != "" {
			text = w.t("mappings.sentenceValid", "sentence", text, "valid", valid)
		}
		all = append(all, text)
	}
	return all, nil
}

// mappingPage is one grant with its people and its history.
type mappingPage struct {
	page
	Sentence         string
	Reason           string
	Mask             []string
	States           []string
	Group, User      string // addresses
	People           []mappingPerson
	More             bool
	History          []changeRow
	Edit, End, Again string
}

type mappingPerson struct{ Name, UserName, Href string }

func (s *Server) mapping(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	g, err := v.grantOf(r)
	if err != nil {
		return err
	}
	l, err := s.mappingList(ctx, v, func(o *access.Grant) bool { return o.ID == g.ID })
	if err != nil {
		return err
	}
	sentences, err := s.sentences(ctx, v, v.policy, []access.Grant{g})
	if err != nil {
		return err
	}
	p := &mappingPage{page: v.page("mappings.one"), Sentence: sentences[0], Reason: g.Reason}
	if a, ok := l.sleeping[g.ID]; ok {
		p.Sentence = v.words.t("mappings.asleep", "group", a.Name, "what", v.granted(v.policy, v.now, nil).chip(&g).Title)
		if a.Candidate != "" {
			p.Again = v.link(address(r.URL.Path+"/relink", nil, "group", string(a.Candidate)))
		}
	}
	product, _ := v.policy.Product(g.Product)
	for _, permission := range product.Permissions {
		if slices.Contains(g.Mask, permission.ID) {
			p.Mask = append(p.Mask, cmp.Or(permission.Name, string(permission.ID)))
		}
	}
	if g.Subject.Group != "" {
		p.Group = v.link("/groups/" + string(g.Subject.Group))
	}
	if g.Subject.User != "" {
		p.User = v.link("/people/" + string(g.Subject.User))
	}
	for _, state := range l.states(v, &g) {
		p.States = append(p.States, v.words.t("mappings.state."+state))
	}
	p.End = v.link(r.URL.Path + "/end")
	if g.Attribute == "" {
		p.Edit = v.link(r.URL.Path + "/edit")
	}
	if err := s.mappingPeople(ctx, v, &g, p); err != nil {
		return err
	}
	changes, err := s.store.ChangesAbout(ctx, v.tenant(), string(g.ID), 20)
	if err != nil {
		return err
	}
	tell, err := s.teller(ctx, v, changes)
	if err != nil {
		return err
	}
	for _, c := range changes {
		p.History = append(p.History, changeRow{At: v.instant(c.At), Said: tell.sentence(c), Href: v.link("/audit/" + string(c.ID))})
	}
	return s.render(w, http.StatusOK, "mapping", p)
}

// mappingPeople are the first of those whom a grant is for.
func (s *Server) mappingPeople(ctx context.Context, v *visit, g *access.Grant, p *mappingPage) error {
	if g.Subject.Everyone {
		return nil
	}
	var whom access.Audience
	whom.Add(g.Subject)
	list, err := s.store.People(ctx, v.tenant(), store.PeopleFilter{Among: []access.Audience{whom}})
	if err != nil {
		return err
	}
	people, _, err := list.Page(ctx, store.PeopleKey{}, impactNames+1)
	if p.More = len(people) > impactNames; p.More {
		people = people[:impactNames]
	}
	for _, one := range people {
		p.People = append(p.People, mappingPerson{name(one), one.UserName, v.link("/people/" + one.ID)})
	}
	return err
}

// whatSame reports whether two grants say the same.
func whatSame(a, b access.Grant) bool {
	x, errX := json.Marshal(impact.Normal(a))
	y, errY := json.Marshal(impact.Normal(b))
	return errX == nil && errY == nil && string(x) == string(y)
}

// endMapping takes a grant back.
func (s *Server) endMapping(w http.ResponseWriter, r *http.Request, v *visit) error {
	g, err := v.grantOf(r)
	if err != nil {
		return err
	}
	return s.proposal(w, r, v, "mappings.ending", proposal{Proposal: impact.Proposal{End: []access.GrantID{g.ID}}, action: r.URL.Path, done: "/mappings"})
}

// relinkMapping wakes a mapping whose group was deleted, for another group.
func (s *Server) relinkMapping(w http.ResponseWriter, r *http.Request, v *visit) error {
	g, err := v.grantOf(r)
	if err != nil {
		return err
	}
	asleep, err := s.store.Sleeping(r.Context(), v.tenant())
	if err != nil {
		return err
	}
	group := access.GroupID(r.URL.Query().Get("group"))
	if !slices.ContainsFunc(asleep, func(a store.Relink) bool { return a.Grant == g.ID && a.Candidate == group && group != "" }) {
		return store.ErrNotFound
	}
	return s.proposal(w, r, v, "mappings.relinking", proposal{
		Proposal: impact.Proposal{Relink: []impact.Relink{{Grant: g.ID, Group: group}}},
		action:   address(r.URL.Path, nil, "group", string(group)), done: "/mappings/" + string(g.ID),
	})
}

// proposal answers a page that is the panel alone.
func (s *Server) proposal(w http.ResponseWriter, r *http.Request, v *visit, title string, change proposal) error {
	return s.propose(w, r, v, change, func(status int, panel *panel) error {
		steps, err := s.steps(r.Context(), v, change.Proposal)
		if err != nil {
			return err
		}
		return s.render(w, status, "proposal", &proposalPage{page: v.page(title), Back: "/mappings", Steps: steps, Panel: panel})
	})
}

// maxBulk bounds how many grants are changed at once.
const maxBulk = 500

// bulkMappings ends, extends or changes the role of the chosen grants.
func (s *Server) bulkMappings(w http.ResponseWriter, r *http.Request, v *visit) error {
	query, action, err := s.state(r, v)
	if err != nil {
		return err
	}
	var grants []access.Grant
	sees := v.sight()
	for _, id := range query["id"] {
		g, ok := v.policy.Grant(access.GrantID(id))
		if !ok || !sees(&g) {
			return store.ErrNotFound
		}
		if !slices.ContainsFunc(grants, func(o access.Grant) bool { return o.ID == g.ID }) {
			grants = append(grants, g)
		}
	}
	switch {
	case len(grants) == 0:
		return badRequest{"mappings.choseNone"}
	case len(grants) > maxBulk:
		return badRequest{"mappings.tooMany"}
	}
	change := proposal{action: action, done: "/mappings"}
	switch query.Get("do") {
	case "end":
		for _, g := range grants {
			change.End = append(change.End, g.ID)
		}
	case "extend":
		at, ok := v.theDay(query.Get("until"))
		if !ok && query.Get("until") != "" {
			return badRequest{"mappings.noDate"}
		}
		for _, g := range grants {
			g.Until = time.Time{}
			if ok {
				g.Until = at.AddDate(0, 0, 1)
			}
			change.Change = append(change.Change, g)
		}
	case "role":
		product, role, ok := strings.Cut(query.Get("to"), "/")
		if !ok {
			return badRequest{"mappings.noRole"}
		}
		for _, g := range grants {
			if g.Product != access.ProductID(product) || g.Role == "" {
				return badRequest{"mappings.otherProduct"}
			}
			g.Role = access.RoleID(role)
			change.Change = append(change.Change, g)
		}
	default:
		return badRequest{"problem.invalid"}
	}
	return s.proposal(w, r, v, "mappings.changing", change)
}
