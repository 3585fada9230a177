package ui

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"gatehouse/access"
	"gatehouse/store"
)

func (s *Server) groupsRoutes() []route {
	return []route{
		{"GET", "/groups", needs{access.ConsolePeople, access.LevelView}, s.groupsPage},
		{"GET", "/groups.csv", needs{access.ConsolePeople, access.LevelView}, s.groupsCSV},
		{"GET", "/groups/{id}", needs{access.ConsolePeople, access.LevelView}, s.groupPage},
		{"GET", "/groups/{id}/members.csv", needs{access.ConsolePeople, access.LevelView}, s.membersCSV},
	}
}

// groupsPage is the list of groups: first those that give nobody anything.
type groupsPage struct {
	page
	Search    field
	Filters   []field
	Filtered  bool
	Count     string
	Elsewhere string
	Table     table
	Groups    []groupRow
	CSV       string
	Pager     pager
	Empty     empty
}

type groupRow struct {
	Name, Href, Connection string
	Members                string
	Inner                  int
	Changed                when
	Chips                  []chip
	More                   int
	// Within says that the group gives something only because another one does that
	// it is in.
	Within bool
	// Map is where to give it something; "" for what gives something, or may not be
	// mapped.
	Map string
}

const groupsPerPage = 50

// groupsQuery is what an address of the list of groups asks for.
type groupsQuery struct {
	store.GroupFilter
	granted     *granted
	connections []store.Connection
	fields      []field
	filtered    bool
	mine        access.Audience
	within      []access.Area
}

func (s *Server) groupsQuery(r *http.Request, v *visit) (*groupsQuery, error) {
	query := r.URL.Query()
	q := &groupsQuery{granted: v.granted(v.policy, v.now, nil)}
	q.mine, q.within = v.mine()
	q.granted.within = q.within
	q.Giving = q.granted.audience(func(*access.Grant) bool { return true }).Groups
	if !q.mine.Everyone {
		q.Among = append([]access.GroupID{}, q.mine.Groups...)
	}
	q.Text, q.Connection = strings.TrimSpace(query.Get("q")), store.ConnectionID(query.Get("connection"))
	yes, no := true, false
	state := query.Get("mapped")
	switch state {
	case "yes":
		q.Gives = &yes
	case "no":
		q.Gives = &no
	case "empty":
		q.Empty = true
	}
	q.filtered = q.Text != "" || q.Connection != "" || state != ""
	var err error
	if q.connections, err = s.store.Connections(r.Context(), v.tenant()); err != nil {
		return nil, err
	}
	q.fields = []field{
		choose("mapped", v.words.t("groups.state"), v.words.t("groups.anyState"), state, []option{
			{Value: "no", Text: v.words.t("groups.mapped.no")}, {Value: "yes", Text: v.words.t("groups.mapped.yes")}, {Value: "empty", Text: v.words.t("groups.mapped.empty")}}),
		v.connectionFilter(query, q.connections),
	}
	return q, nil
}

func (q *groupsQuery) connection(id store.ConnectionID) string {
	for _, c := range q.connections {
		if c.ID == id {
			return c.Name
		}
	}
	return ""
}

func (q *groupsQuery) row(v *visit, g store.GroupRow) groupRow {
	row := groupRow{
		Name: g.DisplayName, Href: v.link("/groups/" + string(g.ID)), Connection: q.connection(g.Connection),
		Members: v.counted(g.Members), Inner: g.Inner, Changed: v.instant(g.ModifiedAt),
	}
	row.Chips, _ = q.granted.chips(access.Subject{Groups: []access.GroupID{access.GroupID(g.ID)}})
	row.Within = g.Gives && len(row.Chips) == 0
	if len(row.Chips) > chipsPerRow {
		row.Chips, row.More = row.Chips[:chipsPerRow], len(row.Chips)-chipsPerRow
	}
	if !g.Gives {
		row.Map = v.link("/mappings/new?group=" + string(g.ID))
	}
	return row
}

// counted is a number up to which the store counts.
func (v *visit) counted(n int) string {
	if n > store.MaxCounted {
		return v.words.t("groups.many", "n", store.MaxCounted)
	}
	return v.words.number(n)
}

func (s *Server) groupsPage(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	q, err := s.groupsQuery(r, v)
	if err != nil {
		return err
	}
	after, err := place[store.GroupKey](r)
	if err != nil {
		return err
	}
	found, err := s.store.GroupsPage(ctx, v.tenant(), q.GroupFilter, after, groupsPerPage+1)
	if err != nil {
		return err
	}
	p := &groupsPage{
		page:    v.page("groups.title"),
		Search:  field{Name: "q", Label: v.words.t("groups.search"), Value: q.Text, Type: "search"},
		Filters: q.fields, Filtered: q.filtered,
		CSV:   address("/groups.csv", r.URL.Query(), "after", ""),
		Table: table{ID: "groups", Caption: v.words.t("groups.title"), Hidden: true, Columns: v.columns("groups.name:wide", "groups.gives:wide", "groups.members:number", "groups.changed:narrow", "groups.source:narrow")},
	}
	var next *store.GroupKey
	if len(found) > groupsPerPage {
		found = found[:groupsPerPage]
		key := found[groupsPerPage-1].Key()
		next = &key
	}
	p.Pager = keyset(r, next)
	for _, g := range found {
		p.Groups = append(p.Groups, q.row(v, g))
	}
	sizes, err := s.store.ConnectionSizes(ctx, v.tenant())
	if err != nil {
		return err
	}
	all := 0
	for _, size := range sizes {
		all += size.Groups
	}
	switch {
	case !q.filtered && q.Among == nil:
		p.Count = v.words.n("groups.count", all)
	case next == nil && after.ID == "":
		p.Count = v.words.n("groups.count", len(found))
		if !q.filtered {
			p.Elsewhere = v.words.n("groups.elsewhere", all-len(found))
		}
	default:
		p.Count = v.words.t("groups.more", "n", groupsPerPage)
	}
	switch {
	case len(found) > 0:
	case q.filtered:
		p.Empty = empty{Text: v.words.t("groups.noMatch"), Href: "/groups", Link: v.words.t("people.clear")}
	case q.Among != nil:
		p.Empty = empty{Text: v.words.t("groups.noneHere")}
	default:
		p.Empty = empty{Text: v.words.t("groups.none"), Href: v.link("/sync/new"), Link: v.words.t("people.connect")}
	}
	return s.render(w, http.StatusOK, "groups", p)
}

// groupsCSV is all of the list, as a file.
func (s *Server) groupsCSV(w http.ResponseWriter, r *http.Request, v *visit) error {
	q, err := s.groupsQuery(r, v)
	if err != nil {
		return err
	}
	ctx := r.Context()
	var after store.GroupKey
	rows := func() ([][]string, error) {
		found, err := s.store.GroupsPage(ctx, v.tenant(), q.GroupFilter, after, 500)
		var all [][]string
		for _, g := range found {
			row := q.row(v, g)
			chips, _ := q.granted.chips(access.Subject{Groups: []access.GroupID{access.GroupID(g.ID)}})
			all = append(all, []string{row.Name, row.Connection, row.Members, row.Changed.Format("2006-01-02 15:04"), titles(chips), string(g.ID)})
			after = g.Key()
		}
		return all, err
	}
	return v.csv(w, "groups.csv", []string{"groups.name", "groups.source", "groups.members", "groups.changed", "groups.gives", "people.id"}, rows)
}

// titles are the whole texts of chips.
func titles(chips []chip) string {
	var all []string
	for _, c := range chips {
		all = append(all, c.Title)
	}
	return strings.Join(all, "; ")
}

// groupPage is a group: what it gives and why, and who is in it, now or on another
// day.
type groupPage struct {
	page
	ID        string
	Source    string
	Banners   []banner
	AsOf      asOf
	Holdings  []holding
	Elsewhere int
	Empty     empty
	Map       string
	Search    field
	Count     string
	Members   []memberRow
	Table     table
	None      empty
	Pager     pager
	CSV       string
	Inner     []membershipRow
	Outer     []membershipRow
	// HiddenOuter is how many groups it is in that the visitor doesn't see.
	HiddenOuter int
	Fields      []labelled
	Timeline    *timeline
}

type memberRow struct {
	Name, UserName, Href string
	Since                when
	Within               bool // through a group that is in this one
	State                string
}

const membersPerPage = 50

// shownGroup is a group as a page shows it.
type shownGroup struct {
	store.GroupRecord
	moment
	absent  bool
	subject access.Subject
	policy  *access.Policy
	names   map[access.GroupID]string
	mine    access.Audience
	within  []access.Area
}

// seeGroup finds a group that the visitor may see.
func (s *Server) seeGroup(ctx context.Context, v *visit, id string, m moment) (*shownGroup, error) {
	g := &shownGroup{moment: m, policy: v.policy}
	g.mine, g.within = v.mine()
	var err error
	if g.GroupRecord, err = s.store.GroupRecord(ctx, v.tenant(), store.GroupID(id)); err != nil {
		return nil, err
	}
	only := access.Person{Active: true, LoginAllowed: true, Groups: []access.GroupID{access.GroupID(id)}}
	g.subject = access.NewSubject(only, map[access.GroupID]access.Group{access.GroupID(id): {ID: access.GroupID(id)}})
	if g.DeletedAt.IsZero() {
		one, policy, err := s.store.GroupNamed(ctx, v.tenant(), id)
		if err != nil {
			return nil, err
		}
		g.subject, g.policy = one.Subject, v.words.policy(policy)
	}
	if !sees(g.mine, g.subject) {
		return nil, store.ErrNotFound
	}
	if !m.past {
		g.names, err = s.groupNames(ctx, v, g.subject.Groups)
		g.names[access.GroupID(id)] = g.DisplayName
		return g, err
	}
	if g.policy, err = v.policyAt(ctx, m.at); err != nil {
		return nil, err
	}
	then, err := s.store.GroupRecordAt(ctx, v.tenant(), store.GroupID(id), m.at)
	if errors.Is(err, store.ErrNotFound) {
		g.absent = true
		return g, nil
	}
	if err != nil {
		return nil, err
	}
	g.GroupRecord = then
	groups, err := s.store.GroupsAt(ctx, v.tenant(), m.at)
	g.subject, g.names = access.NewSubject(only, groups), map[access.GroupID]string{}
	for id, group := range groups {
		g.names[id] = group.Name
	}
	return g, err
}

func (s *Server) groupPage(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	at, past, err := v.at(r)
	if err != nil {
		return err
	}
	g, err := s.seeGroup(ctx, v, r.PathValue("id"), moment{at, past})
	if err != nil {
		return err
	}
	path := "/groups/" + string(g.ID)
	p := &groupPage{page: v.page("group.title", "name", g.DisplayName), ID: string(g.ID), AsOf: v.asOf(path, g.moment), CSV: address(path+"/members.csv", r.URL.Query(), "after", "")}
	connections, err := s.store.Connections(ctx, v.tenant())
	if err != nil {
		return err
	}
	for _, c := range connections {
		if c.ID == g.Connection {
			p.Source = c.Name
		}
	}
	why, err := s.why(ctx, v, g.policy, g.subject, g.moment, g.within)
	if err != nil {
		return err
	}
	why.groups, why.start = g.names, way{{Text: g.DisplayName, Href: v.link(path)}}
	deleted := !g.past && !g.DeletedAt.IsZero()
	if !g.absent {
		p.Holdings, p.Elsewhere = why.holdings()
		p.Holdings = slices.DeleteFunc(p.Holdings, plain)
	}
	switch {
	case g.absent:
		p.Banners = append(p.Banners, banner{Text: v.words.t("group.absent"), Bad: true})
	case deleted:
		p.Banners = append(p.Banners, banner{Text: v.words.t("group.deleted", "source", p.Source, "date", v.words.clock(v.instant(g.DeletedAt).Time)), Bad: true})
		if n := g.mappings(); n > 0 {
			p.Banners = append(p.Banners, banner{Text: v.words.n("group.sleeping", n), Go: step{Text: v.words.t("group.relink"), Href: v.link("/mappings?state=sleeping")}})
		}
	}
	if !own(p.Holdings) {
		p.Empty.Text = v.words.t("group.nothing")
		if p.Elsewhere > 0 {
			p.Empty.Text = v.words.n("group.nothingHere", p.Elsewhere)
		}
	}
	if !g.past && !deleted {
		p.Map = v.link("/mappings/new?group=" + string(g.ID))
	}
	p.Fields = append(p.Fields, labelled{Label: v.words.t("groups.source"), Text: p.Source})
	if g.ExternalID != "" {
		p.Fields = append(p.Fields, labelled{Label: v.words.t("person.field.externalId"), Text: g.ExternalID})
	}
	if err := s.members(r, v, p, g); err != nil {
		return err
	}
	if err := s.nested(ctx, v, p, g, why); err != nil {
		return err
	}
	if v.mayAt(access.ConsoleAudit, access.LevelView, nil) {
		changes, err := s.store.GroupTimeline(ctx, v.tenant(), g.ID, store.ChangeID(r.URL.Query().Get("before")), timelinePage+1)
		if err != nil {
			return err
		}
		t, err := s.timeline(ctx, v, path, changes, nil)
		if err != nil {
			return err
		}
		p.Timeline = &t
	}
	return s.render(w, http.StatusOK, "group", p)
}

// mappings counts what is granted to the group itself.
func (g *shownGroup) mappings() (n int) {
	for _, grant := range g.policy.Grants() {
		if grant.Subject.Group == access.GroupID(g.ID) {
			n++
		}
	}
	return n
}

// members lists who is in the group: now by name, those of groups within it too; on
// another day those directly in it, in the order in which they came to be known.
func (s *Server) members(r *http.Request, v *visit, p *groupPage, g *shownGroup) error {
	ctx := r.Context()
	p.Search = field{Name: "q", Label: v.words.t("people.search"), Value: strings.TrimSpace(r.URL.Query().Get("q")), Type: "search"}
	p.Table = table{ID: "members", Caption: v.words.t("group.members"), Columns: v.columns("people.name", "person.joined:narrow", "people.state:narrow")}
	p.None.Text = v.words.t("group.noMembers")
	if g.past {
		return s.membersThen(r, v, p, g)
	}
	after, err := place[store.PeopleKey](r)
	if err != nil {
		return err
	}
	list, err := s.store.People(ctx, v.tenant(), membersFilter(g, p.Search.Value))
	if err != nil {
		return err
	}
	people, _, err := list.Page(ctx, after, membersPerPage+1)
	if err != nil {
		return err
	}
	var next *store.PeopleKey
	if len(people) > membersPerPage {
		people = people[:membersPerPage]
		key := people[membersPerPage-1].Key()
		next = &key
	}
	p.Pager = keyset(r, next)
	if p.Members, err = s.memberRows(ctx, v, g, people); err != nil {
		return err
	}
	most := countUpTo(p.Search.Value)
	n, err := list.Count(ctx, most)
	if p.Count = v.words.n("people.count", n); n > most {
		p.Count = v.words.t("people.many", "n", most)
	}
	if p.Search.Value != "" {
		p.None.Text = v.words.t("people.nobody")
	}
	return err
}

// membersFilter picks those in the group, directly or through another.
func membersFilter(g *shownGroup, text string) store.PeopleFilter {
	return store.PeopleFilter{Text: text, Among: []access.Audience{{Groups: []access.GroupID{access.GroupID(g.ID)}}}}
}

func (s *Server) memberRows(ctx context.Context, v *visit, g *shownGroup, people []store.Somebody) ([]memberRow, error) {
	var ids []store.UserID
	for _, one := range people {
		ids = append(ids, store.UserID(one.ID))
	}
	since, err := s.store.MembersSince(ctx, v.tenant(), g.ID, ids)
	var rows []memberRow
	for _, one := range people {
		row := memberRow{Name: name(one), UserName: one.UserName, Href: v.link("/people/" + one.ID)}
		if at, direct := since[store.UserID(one.ID)]; direct {
			row.Since = v.instant(at)
		} else {
			row.Within = true
		}
		if state := stateOf(one.Person, v.now); state != store.PersonLive {
			row.State = v.words.t("state." + string(state))
		}
		rows = append(rows, row)
	}
	return rows, err
}

func (s *Server) membersThen(r *http.Request, v *visit, p *groupPage, g *shownGroup) error {
	after, err := place[store.UserID](r)
	if err != nil {
		return err
	}
	members, err := s.store.MembersAt(r.Context(), v.tenant(), g.ID, g.at, after, membersPerPage+1)
	if err != nil {
		return err
	}
	var next *store.UserID
	if len(members) > membersPerPage {
		members = members[:membersPerPage]
		next = &members[membersPerPage-1].ID
	}
	p.Pager = keyset(r, next)
	p.Search = field{}
	p.Table.Caption = v.words.t("group.membersThen")
	p.Table.Columns = p.Table.Columns[:2]
	for _, m := range members {
		p.Members = append(p.Members, memberRow{
			Name: name(store.Somebody{UserName: m.UserName, DisplayName: m.DisplayName}), UserName: m.UserName,
			Href: v.link("/people/" + string(m.ID)), Since: v.instant(m.Since),
		})
	}
	return nil
}

// membersCSV is all members, as a file.
func (s *Server) membersCSV(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	at, past, err := v.at(r)
	if err != nil {
		return err
	}
	g, err := s.seeGroup(ctx, v, r.PathValue("id"), moment{at, past})
	if err != nil {
		return err
	}
	list, err := s.store.People(ctx, v.tenant(), membersFilter(g, strings.TrimSpace(r.URL.Query().Get("q"))))
	if err != nil {
		return err
	}
	var behind store.PeopleKey
	var after store.UserID
	line := func(name, userName string, since when, id string) []string {
		joined := v.words.t("group.within")
		if !since.IsZero() {
			joined = since.Format("2006-01-02 15:04")
		}
		return []string{name, userName, joined, id}
	}
	rows := func() (all [][]string, err error) {
		if past {
			members, err := s.store.MembersAt(ctx, v.tenant(), g.ID, at, after, 1000)
			for _, m := range members {
				all = append(all, line(m.DisplayName, m.UserName, v.instant(m.Since), string(m.ID)))
				after = m.ID
			}
			return all, err
		}
		people, _, err := list.Page(ctx, behind, 1000)
		if err != nil {
			return nil, err
		}
		members, err := s.memberRows(ctx, v, g, people)
		for i, m := range members {
			all = append(all, line(m.Name, m.UserName, m.Since, people[i].ID))
			behind = people[i].Key()
		}
		return all, err
	}
	return v.csv(w, "members.csv", []string{"people.name", "people.userName", "person.joined", "people.id"}, rows)
}

// nested lists the groups in the group and around it.
func (s *Server) nested(ctx context.Context, v *visit, p *groupPage, g *shownGroup, why *whys) (err error) {
	var inner, outer []store.Nested
	if g.past {
		inner, outer, err = s.store.NestingAt(ctx, v.tenant(), g.ID, g.at)
	} else {
		inner, outer, err = s.store.Nesting(ctx, v.tenant(), g.ID)
	}
	row := func(n store.Nested) membershipRow {
		return membershipRow{step: step{Text: cmp.Or(n.Name, string(n.ID)), Href: v.link("/groups/" + string(n.ID))}, Since: v.instant(n.Since)}
	}
	for _, n := range inner {
		p.Inner = append(p.Inner, row(n))
	}
	for _, n := range outer {
		if id := access.GroupID(n.ID); !g.mine.Everyone && !slices.Contains(g.mine.Groups, id) && !why.named[id] {
			p.HiddenOuter++
			continue
		}
		p.Outer = append(p.Outer, row(n))
	}
	return err
}
