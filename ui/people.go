package ui

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

func (s *Server) peopleRoutes() []route {
	change := needs{access.ConsolePeople, access.LevelChange}
	return []route{
		{"GET", "/people", needs{access.ConsolePeople, access.LevelView}, s.people},
		{"GET", "/people.csv", needs{access.ConsolePeople, access.LevelView}, s.peopleCSV},
		{"GET", "/people/bulk", change, s.bulkPeople},
		{"POST", "/people/bulk", change, s.bulkPeople},
	}
}

// peoplePage is the list of people, now or on another day. All of its state is in the
// address.
type peoplePage struct {
	page
	AsOf        asOf
	Search, Day field
	Filters     []field
	// Filtered says that there is something to clear.
	Filtered  bool
	Count     string
	Elsewhere string // how many a scoped visitor doesn't see
	Table     table
	People    []personRow
	Bulk      *bulkPeople // nil for who may change nothing
	CSV       string
	Pager     pager
	Empty     empty
}

type personRow struct {
	ID, Name, UserName, Connection string
	Href                           string
	// State is empty for whoever is live; Kind for an employee.
	State, Kind string
	Chips       []chip
	More        int // chips not shown
	Elsewhere   int
}

const (
	peoplePerPage = 50
	chipsPerRow   = 3
	// countPeople is up to how many people a list says how many exactly, and countFound
	// those whom somebody looks for by name; counting 100,000 takes longer than showing
	// the first of them.
	countPeople = 10_000
	countFound  = 1_000
)

// countUpTo is up to how many people are counted whom a text finds.
func countUpTo(text string) int {
	if text == "" {
		return countPeople
	}
	return countFound
}

// peopleQuery is what an address asks for.
type peopleQuery struct {
	store.PeopleFilter
	moment
	// then is who there was, for a list of the past, and day the day as it was asked for.
	then        *store.Snapshot
	day         string
	granted     *granted
	connections []store.Connection
	fields      []field
	filtered    bool
}

func (s *Server) people(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	q, err := s.peopleQuery(ctx, v, r.URL.Query())
	if err != nil {
		return err
	}
	after, err := place[store.PeopleKey](r)
	if err != nil {
		return err
	}
	list, err := s.listing(ctx, v, q)
	if err != nil {
		return err
	}
	found, _, err := list.Page(ctx, after, peoplePerPage+1)
	if err != nil {
		return err
	}
	p := &peoplePage{
		page: v.page("people.title"), AsOf: v.asOf(address("/people", r.URL.Query(), "at", ""), q.moment),
		Search:  field{Name: "q", Label: v.words.t("people.search"), Value: q.Text, Type: "search"},
		Filters: q.fields, Filtered: q.filtered,
		CSV:   address("/people.csv", r.URL.Query(), "after", ""),
		Table: table{ID: "people", Caption: v.words.t("people.title"), Hidden: true, Columns: v.columns("people.name:wide", "people.access:wide", "people.connection", "people.state:narrow")},
	}
	p.Day = field{Name: "at", Label: v.words.t("people.at"), Type: "date", Value: p.AsOf.Asked}
	if q.past { // no e-mail address of then is looked at
		p.Search.Label = v.words.t("people.searchThen")
	}
	var next *store.PeopleKey
	if len(found) > peoplePerPage {
		found = found[:peoplePerPage]
		key := found[peoplePerPage-1].Key()
		next = &key
	}
	p.Pager = keyset(r, next)
	for _, one := range found {
		row := q.row(v, one)
		if len(row.Chips) > chipsPerRow {
			row.Chips, row.More = row.Chips[:chipsPerRow], len(row.Chips)-chipsPerRow
		}
		p.People = append(p.People, row)
	}
	whole := after == store.PeopleKey{} && next == nil
	n, err := s.countPeople(ctx, v, q, list, len(found), whole, p)
	if err != nil {
		return err
	}
	if len(found) > 0 && !q.past {
		p.Bulk = v.bulkPeople(address("/people", r.URL.Query(), "after", ""), n)
	}
	switch {
	case len(found) > 0:
	case q.past && len(q.then.Facts.People) == 0:
		p.Empty, err = s.nobodyYet(ctx, v, p.AsOf)
	case q.filtered:
		p.Empty = empty{Text: v.words.t("people.nobody"), Href: address("/people", nil, "at", q.day), Link: v.words.t("people.clear")}
	case v.scoped(access.ConsolePeople, access.LevelView):
		p.Empty = empty{Text: v.words.t("people.noneHere")}
	default:
		p.Empty = empty{Text: v.words.t("people.none"), Href: v.link("/sync/new"), Link: v.words.t("people.connect")}
	}
	if err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "people", p)
}

// countPeople counts the list, up to countUpTo and one more, and says on the page how
// many there are, and how many elsewhere. The page shows n of them, perhaps the whole
// list.
func (s *Server) countPeople(ctx context.Context, v *visit, q *peopleQuery, list listing, n int, whole bool, p *peoplePage) (int, error) {
	var all int
	var err error
	if q.past {
		all = len(q.then.Facts.People)
	} else {
		all, err = s.countAll(ctx, v)
	}
	if err == nil && !q.filtered && !v.scoped(access.ConsolePeople, access.LevelView) {
		p.Count = v.words.n("people.count", all)
		return all, nil
	}
	most := countUpTo(q.Text)
	if err == nil && !whole {
		n, err = list.Count(ctx, most)
	}
	if err != nil {
		return 0, err
	}
	if p.Count = v.words.n("people.count", n); n > most {
		p.Count = v.words.t("people.many", "n", most)
	}
	if !q.filtered && n <= most && all > n {
		p.Elsewhere = v.words.n("people.elsewhere", all-n)
	}
	return n, nil
}

// countAll is how many people the tenant has.
func (s *Server) countAll(ctx context.Context, v *visit) (n int, err error) {
	sizes, err := s.store.ConnectionSizes(ctx, v.tenant())
	for _, size := range sizes {
		n += size.Users
	}
	return n, err
}

// own is whom a visitor may see by name: those with access inside her sites.
// Everyone, for whoever may see all.
func (v *visit) own(g *granted, areas []access.Area) access.Audience {
	if !v.scoped(access.ConsolePeople, access.LevelView) {
		return access.Audience{Everyone: true}
	}
	return g.audience(func(grant *access.Grant) bool { return g.inside(grant, areas) })
}

// peopleQuery reads the filters of an address, and makes the controls for them.
func (s *Server) peopleQuery(ctx context.Context, v *visit, query url.Values) (*peopleQuery, error) {
	areas := v.area(access.ConsolePeople, access.LevelView)
	q := &peopleQuery{}
	if err := s.peopleMoment(ctx, v, query, q); err != nil {
		return nil, err
	}
	q.Text = strings.TrimSpace(query.Get("q"))
	q.Connection = store.ConnectionID(query.Get("connection"))
	q.State = store.PersonState(query.Get("state"))
	q.filtered = slices.ContainsFunc([]string{"q", "connection", "group", "site", "role", "state"}, func(name string) bool { return query.Get(name) != "" })
	mine := v.own(q.granted, areas)
	if !mine.Everyone {
		q.granted.within = areas
		q.Among = append(q.Among, mine)
	}
	var err error
	if q.connections, err = s.store.Connections(ctx, v.tenant()); err != nil {
		return nil, err
	}
	group, err := s.groupFilter(ctx, v, query.Get("group"), mine, q)
	if err != nil {
		return nil, err
	}
	site, role := v.siteFilter(q.granted.policy, query.Get("site"), areas), v.roleFilter(q.granted.policy, query.Get("role"))
	if site.Value != "" || role.Value != "" {
		where := access.SiteID(site.Value)
		q.Among = append(q.Among, q.granted.audience(func(grant *access.Grant) bool {
			return (role.Value == "" || role.Value == string(grant.Product)+"/"+string(grant.Role)) && (where == "" || q.granted.reaches(grant, where)) &&
				(q.granted.within == nil || q.granted.inside(grant, areas))
		}))
	}
	q.fields = []field{group, site, role, v.connectionFilter(query, q.connections), v.stateFilter(query)}
	return q, nil
}

// reaches reports whether a grant covers a site, or something below it.
func (g *granted) reaches(grant *access.Grant, id access.SiteID) bool {
	site, ok := g.policy.Site(id)
	return ok && g.inside(grant, []access.Area{g.around(site)})
}

// around is everywhere at a site, in the other dimensions anywhere.
func (g *granted) around(site access.Site) access.Area {
	area := access.Area{}
	console, _ := g.policy.Product(access.ConsoleID)
	for _, d := range console.Dimensions {
		area[d] = access.Part{All: true}
	}
	area[site.Dimension] = access.Part{Sites: []access.SiteID{site.ID}}
	return area
}

// groupFilter picks the members of a group, named by its id or, since there may be
// thousands, by its name.
func (s *Server) groupFilter(ctx context.Context, v *visit, value string, mine access.Audience, q *peopleQuery) (field, error) {
	options, err := s.groupOptions(ctx, v, mine, q)
	if err != nil {
		return field{}, err
	}
	f := choose("group", v.words.t("people.group"), v.words.t("people.anyGroup"), value, options)
	if value == "" {
		return f, nil
	}
	group, err := s.groupNamed(ctx, v, q, value)
	unknown := errors.Is(err, store.ErrNotFound) || err == nil && !mine.Everyone && !slices.Contains(mine.Groups, access.GroupID(group.ID))
	switch {
	case unknown:
		f.Error = v.words.t("people.noGroup", "name", value)
	case errors.Is(err, store.ErrAmbiguous):
		f.Error = v.words.t("people.twoGroups", "name", value)
	case err != nil:
		return f, err
	default:
		if f.Options == nil {
			f.Value = group.DisplayName
		}
		q.Among = append(q.Among, access.Audience{Groups: []access.GroupID{access.GroupID(group.ID)}})
		return f, nil
	}
	q.Among = append(q.Among, access.Audience{}) // nobody
	return f, nil
}

// groupOptions are the groups to choose from, more than maxOptions if there are.
func (s *Server) groupOptions(ctx context.Context, v *visit, mine access.Audience, q *peopleQuery) ([]option, error) {
	var options []option
	if q.past {
		return groupsThen(q.then, mine), nil
	}
	if !mine.Everyone {
		names, err := s.store.Names(ctx, v.tenant(), nil, mine.Groups)
		for id, name := range names {
			options = append(options, option{Value: id, Text: name})
		}
		sortOptions(options)
		return options, err
	}
	for _, c := range q.connections {
		groups, _, err := s.store.Groups(ctx, c.Ref(), store.Query{Limit: maxOptions + 1})
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			options = append(options, option{Value: string(g.ID), Text: g.DisplayName})
		}
	}
	sortOptions(options)
	return options, nil
}

func sortOptions(options []option) {
	slices.SortFunc(options, func(a, b option) int {
		return cmp.Or(cmp.Compare(store.Fold(a.Text), store.Fold(b.Text)), cmp.Compare(a.Value, b.Value))
	})
}

// siteFilter offers the sites inside the visitor's areas. A site is named by its
// id, or by its key or name where there are too many to choose from.
func (v *visit) siteFilter(p *access.Policy, value string, areas []access.Area) field {
	options := siteOptions(p, areas)
	if key := store.Fold(value); key != "" {
		for _, o := range options {
			site, _ := p.Site(access.SiteID(o.Value))
			if key == store.Fold(site.Key) || key == store.Fold(site.Name) {
				value = o.Value
			}
		}
	}
	return choose("site", v.words.t("people.site"), v.words.t("people.anySite"), value, options)
}

// siteOptions are the sites of a policy inside some areas.
func siteOptions(p *access.Policy, areas []access.Area) []option {
	var options []option
	for _, site := range p.Catalogue().Sites {
		here := access.Place{site.Dimension: site.ID}
		if slices.ContainsFunc(areas, func(a access.Area) bool {
			return p.Contains(access.Area{site.Dimension: a[site.Dimension]}, here)
		}) {
			options = append(options, option{Value: string(site.ID), Text: cmp.Or(site.Name, site.Key, string(site.ID))})
		}
	}
	sortOptions(options)
	return options
}

func (v *visit) roleFilter(p *access.Policy, value string) field {
	var options []option
	for _, product := range p.Products() {
		for _, role := range product.Roles {
			options = append(options, option{
				Value: string(product.ID) + "/" + string(role.ID),
				Text:  cmp.Or(product.Name, string(product.ID)) + ": " + cmp.Or(role.Name, string(role.ID)),
			})
		}
	}
	return choose("role", v.words.t("people.role"), v.words.t("people.anyRole"), value, options)
}

func (v *visit) connectionFilter(query url.Values, connections []store.Connection) field {
	var options []option
	for _, c := range connections {
		options = append(options, option{Value: string(c.ID), Text: c.Name})
	}
	return choose("connection", v.words.t("people.connection"), v.words.t("people.anyConnection"), query.Get("connection"), options)
}

func (v *visit) stateFilter(query url.Values) field {
	var options []option
	for _, state := range store.PersonStates() {
		options = append(options, option{Value: string(state), Text: v.words.t("state." + string(state))})
	}
	return choose("state", v.words.t("people.state"), v.words.t("people.anyState"), query.Get("state"), options)
}

// row is somebody on the page.
func (q *peopleQuery) row(v *visit, one store.Somebody) personRow {
	row := personRow{ID: one.ID, Name: name(one), UserName: one.UserName}
	if !q.past || q.granted.within == nil { // whom a visitor saw then she may not see now
		row.Href = v.link(address("/people/"+one.ID, nil, "at", q.day))
	}
	for _, c := range q.connections {
		if c.ID == one.Connection {
			row.Connection = c.Name
		}
	}
	if state := stateOf(one.Person, q.at); state != store.PersonLive {
		row.State = v.words.t("state." + string(state))
	}
	if one.Person.Kind != access.KindEmployee {
		row.Kind = v.words.t("kind." + string(one.Person.Kind))
	}
	row.Chips, row.Elsewhere = q.granted.chips(one.Subject)
	return row
}

// stateOf is the first reason why somebody isn't live at an instant, or that she is.
func stateOf(p access.Person, at time.Time) store.PersonState {
	switch {
	case !p.Active:
		return store.PersonInactive
	case !p.LoginAllowed:
		return store.PersonBlocked
	case !p.Live(at):
		return store.PersonExpired
	}
	return store.PersonLive
}

// peopleCSV is all of the list, as a file.
func (s *Server) peopleCSV(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	q, err := s.peopleQuery(ctx, v, r.URL.Query())
	if err != nil {
		return err
	}
	list, err := s.listing(ctx, v, q)
	if err != nil {
		return err
	}
	var after store.PeopleKey
	rows := func() ([][]string, error) {
		found, _, err := list.Page(ctx, after, 1000)
		var all [][]string
		for _, one := range found {
			row := q.row(v, one)
			var has []string
			for _, c := range row.Chips {
				has = append(has, c.Title)
			}
			all = append(all, []string{row.Name, row.UserName, row.Connection, v.words.t("state." + string(stateOf(one.Person, q.at))),
				v.words.t("kind." + string(one.Person.Kind)), strings.Join(has, "; "), one.ID})
			after = one.Key()
		}
		return all, err
	}
	file := "people.csv"
	if q.past {
		file = "people-" + v.asOf("", q.moment).Day + ".csv"
	}
	return v.csv(w, file, []string{"people.name", "people.userName", "people.connection", "people.state", "people.kind", "people.access", "people.id"}, rows)
}
