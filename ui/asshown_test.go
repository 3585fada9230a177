package ui

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"

	"github.com/PuerkitoBio/goquery"
)

// What the panel of a page says of people, by name, is what becomes of them when its
// form is sent, to nobody else and nowhere else: in random companies, by random
// changes of every kind that has a panel. SEED repeats a run of one company.
func TestWhatThePanelShowsHappens(t *testing.T) {
	t.Parallel()
	seed, all := uint64(time.Now().UnixNano()), true
	if text := os.Getenv("SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
		all = false
	}
	for name, database := range map[string]struct {
		companies uint64
		url       func(*testing.T) string
	}{
		"sqlite":   {5, sqliteURL},
		"postgres": {2, func(t *testing.T) string { return migrated.URL(t) }}, // which takes longer
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sum := tallyOfShown{routes: map[string]int{}}
			if !all {
				database.companies = 1
			}
			// A route that none of them came to save is left to a few more.
			for i := uint64(0); i < database.companies || all && i < database.companies+5 && len(sum.routes) < len(panelRoutes()); i++ {
				newCompany(t, database.url(t), seed+i, &sum).live()
			}
			t.Logf("impact_as_shown = %d of %d", sum.asShown, sum.saved)
			t.Logf("SEED=%d: %d people named, %d panels of nobody, %d refused, %d stale", seed, sum.named, sum.nobody, sum.refused, sum.stale)
			if !all {
				return
			}
			if sum.named < 50 || sum.nobody < 5 || sum.asShown < 80 {
				t.Errorf("SEED=%d: too few to say anything", seed)
			}
			for _, route := range panelRoutes() {
				if sum.routes[route] == 0 {
					t.Errorf("SEED=%d: nothing was saved by %s", seed, route)
				}
			}
		})
	}
}

// panelRoutes are those that save what a panel shows.
func panelRoutes() []string {
	all := []string{"POST /products/{id}/edit", "POST /sites/import"} // whose form comes first
	for _, e := range examples {
		if e.form == "panel" && !slices.Contains(all, e.route) {
			all = append(all, e.route)
		}
	}
	return all
}

// tallyOfShown counts what became of panels, and the saves of each route.
type tallyOfShown struct {
	saved, asShown, named, nobody, refused, stale int
	routes                                        map[string]int
}

// company is a small one that Sam owns.
type company struct {
	*rig
	*rand.Rand
	seed  uint64
	tally *tallyOfShown
	names int // given so far
	// home is the connection of each person and group, by name.
	home map[string]string
}

// name is one that nothing else has.
func (c *company) name(kind string) string {
	c.names++
	return fmt.Sprintf("%s%d", kind, c.names)
}

func newCompany(t *testing.T, database string, seed uint64, tally *tallyOfShown) *company {
	t.Helper()
	c := &company{rig: openRig(t, database), Rand: rand.New(rand.NewPCG(seed, 11)), seed: seed, tally: tally, home: map[string]string{}}
	ctx := t.Context()
	for _, name := range []string{"Entra ID", "Okta"} {
		c.write(func(tx *store.Tx) error {
			made, err := tx.CreateConnection(ctx, name, store.IdPEntra)
			c.refs[name] = made.Ref()
			return err
		})
	}
	c.newPerson("Entra ID", sam, true)
	for i := range 10 {
		c.newPerson([]string{"Entra ID", "Entra ID", "Okta"}[i%3], c.name("person"), c.IntN(5) > 0)
	}
	for range 5 {
		c.newGroup(oneOf(c.Rand, []string{"Entra ID", "Entra ID", "Okta"}), c.name("group"))
	}
	c.write(func(tx *store.Tx) error {
		for _, d := range []access.DimensionID{"site", "team"} {
			if err := tx.SetDimension(ctx, access.Dimension{ID: d, Name: string(d)}); err != nil {
				return err
			}
			known := []access.SiteID{""}
			for range map[access.DimensionID]int{"site": 4, "team": 2}[d] {
				name := c.name("place")
				one := access.Site{ID: store.NewSiteID(), Dimension: d, Key: name, Name: name, Parent: oneOf(c.Rand, known)}
				if _, err := tx.AddSites(ctx, one); err != nil {
					return err
				}
				known = append(known, one.ID)
			}
		}
		for i, dimensions := range [][]access.DimensionID{{"site"}, {"site", "team"}, nil} {
			p := access.Product{ID: access.ProductID(fmt.Sprintf("product%d", i)), Name: c.name("Product"), Levels: []access.Level{"view", "maintain"}, Dimensions: dimensions}
			for range 3 {
				p.Permissions = append(p.Permissions, access.Permission{ID: access.PermissionID(c.name("permission")), Tags: oneOf(c.Rand, [][]string{nil, {"sensitive"}})})
			}
			for range 3 {
				role := access.Role{ID: access.RoleID(c.name("role")), Permissions: map[access.PermissionID]access.Level{}}
				for range 2 {
					role.Permissions[oneOf(c.Rand, cellsOf(p))] = oneOf(c.Rand, p.Levels)
				}
				p.Roles = append(p.Roles, role)
			}
			if err := tx.SetProduct(ctx, p); err != nil {
				return err
			}
		}
		return nil
	})
	c.grant(c.toUser(sam, access.ConsoleID, access.RoleOwner, access.Scope{Everywhere: true}))
	for range 12 {
		c.grant(c.newGrant())
	}
	return c
}

func (c *company) newPerson(connection, userName string, active bool) {
	c.t.Helper()
	c.home[userName] = connection
	c.write(func(tx *store.Tx) error {
		u, err := tx.CreateUser(c.t.Context(), c.refs[connection], user(userName, "The "+userName, active))
		c.users[userName] = u.ID
		return err
	})
}

// newGroup makes a group of some of the connection's people, and of other groups.
func (c *company) newGroup(connection, name string) {
	c.t.Helper()
	var members []store.MemberID
	for _, who := range c.people() {
		if c.home[who] == connection && c.IntN(3) == 0 {
			members = append(members, store.MemberID(c.users[who]))
		}
	}
	for _, within := range c.teams() {
		if c.home[within] == connection && within != name && c.IntN(3) == 0 {
			members = append(members, store.MemberID(c.groups[within]))
		}
	}
	doc := fmt.Appendf(nil, `{"displayname":%q}`, name)
	c.home[name] = connection
	c.write(func(tx *store.Tx) error {
		made, _, err := tx.CreateGroup(c.t.Context(), c.refs[connection], store.Group{DisplayName: name, Doc: doc, Search: doc}, members)
		c.groups[name] = made.ID
		return err
	})
}

// newGrant is one as somebody, a file or a script may have made it before.
func (c *company) newGrant() access.Grant {
	c.t.Helper()
	known := c.catalogue()
	product := oneOf(c.Rand, slices.DeleteFunc(slices.Clone(known.Products), func(p access.Product) bool { return p.ID == access.ConsoleID || len(p.Roles)*len(p.Permissions) == 0 }))
	g := access.Grant{Effect: access.Allow, Product: product.ID, Origin: access.OriginMapping}
	switch c.IntN(8) {
	case 0:
		g.Subject.Everyone = true
	case 1, 2:
		g.Subject.User, g.Origin = access.UserID(c.users[oneOf(c.Rand, c.people())]), access.OriginDirect
	default:
		g.Subject.Group = access.GroupID(c.groups[oneOf(c.Rand, c.teams())])
	}
	if c.IntN(5) == 0 {
		g.Effect = access.Deny
	} else if c.IntN(5) == 0 {
		g.Mask = []access.PermissionID{oneOf(c.Rand, product.Permissions).ID}
	}
	if g.Role = oneOf(c.Rand, product.Roles).ID; c.IntN(4) == 0 {
		g.Role, g.Permission, g.Level = "", oneOf(c.Rand, product.Permissions).ID, oneOf(c.Rand, product.Levels)
	}
	g.Scope = access.Scope{Everywhere: true}
	if len(product.Dimensions) > 0 && c.IntN(5) > 0 {
		g.Scope = access.Scope{Sites: map[access.DimensionID]access.Selection{}}
		for _, d := range product.Dimensions {
			selection := access.Selection{All: c.IntN(4) == 0}
			for range 1 + c.IntN(2) {
				if at := oneOf(c.Rand, c.places(d)).ID; !selection.All && !slices.Contains(selection.Sites, at) {
					selection.Sites = append(selection.Sites, at)
				}
			}
			g.Scope.Sites[d] = selection
		}
	}
	return g
}

func (c *company) catalogue() access.Catalogue { return c.now().Catalogue }

func (c *company) now() store.Snapshot {
	c.t.Helper()
	s, err := c.Snapshot(c.t.Context(), c.actor.Tenant)
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// places are the sites of a dimension, in the order of their keys; people are those
// who are there, but for Sam.
func (c *company) places(d access.DimensionID) []access.Site {
	all := slices.DeleteFunc(slices.Clone(c.catalogue().Sites), func(s access.Site) bool { return s.Dimension != d })
	slices.SortFunc(all, func(a, b access.Site) int { return cmp.Compare(a.Key, b.Key) })
	return all
}

func (c *company) people() []string {
	there := c.now().Facts.People
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.users)), func(who string) bool {
		_, ok := there[access.UserID(c.users[who])]
		return who == sam || !ok
	})
}

// teams are the groups that are there.
func (c *company) teams() []string {
	there := c.now().Groups
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.groups)), func(name string) bool {
		_, ok := there[access.GroupID(c.groups[name])]
		return !ok
	})
}

// grants are all but Sam's, in the order in which they came.
func (c *company) grants() []access.Grant {
	return slices.DeleteFunc(c.now().Grants, func(g access.Grant) bool { return g.Subject.User == access.UserID(c.users[sam]) })
}

// live makes changes of all kinds, in a random order, while people come and go.
func (c *company) live() {
	kinds := c.kinds()
	c.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
	for _, kind := range kinds {
		for range 12 {
			if c.IntN(2) == 0 {
				c.bustle()
			}
			if page, ok := kind.open(); ok && c.try(kind.route, page) {
				break
			}
			if c.t.Failed() {
				return
			}
		}
	}
}

// bustle is what an identity provider does meanwhile, if it is still connected.
func (c *company) bustle() {
	c.t.Helper()
	group, who := oneOf(c.Rand, c.teams()), store.MemberID(c.users[oneOf(c.Rand, c.people())])
	delta := store.MemberDelta{Add: []store.MemberID{who}}
	if c.IntN(3) == 0 {
		delta.Add, delta.Remove = nil, delta.Add
	}
	_ = c.Write(c.t.Context(), c.actor, func(tx *store.Tx) error { // or the person is another provider's
		_, _, err := tx.UpdateGroup(c.t.Context(), c.refs[c.home[group]], c.groups[group], func(o store.Group) (store.Group, store.MemberDelta, error) { return o, delta, nil })
		return err
	})
}

// try sends what a panel shows, and reports whether it was saved.
func (c *company) try(route string, page answer) bool {
	c.t.Helper()
	form := "#impact form"
	if strings.Contains(page.text("main form.card"), c.console.words["en"].t("connect.remove.nobody")) {
		form = "main form.card"
	}
	if page.status == 200 && page.Find(form).Length() == 0 {
		if page.Find("#impact [role=alert]").Length() > 0 {
			c.tally.refused++
		}
		return false
	}
	if page.status != 200 {
		c.t.Fatalf("SEED=%d: %s: status %d: %s", c.seed, route, page.status, page.text("main"))
	}
	if c.IntN(6) == 0 {
		c.bustle()
	}
	said, before := c.said(page), c.now()
	got := c.send(page, form)
	if got.status == 409 {
		c.tally.stale++
		if after := c.now(); fmt.Sprintf("%+v", before) != fmt.Sprintf("%+v", after) {
			c.t.Errorf("SEED=%d: %s: not saved, and yet something changed", c.seed, route)
		}
		if got.Find(form).Length() == 0 {
			return false
		}
		said = c.said(got)
		got = c.send(got, form)
	}
	if got.status != 303 {
		c.t.Errorf("SEED=%d: %s: status %d: %s", c.seed, route, got.status, got.text("main"))
		return false
	}
	if route == "POST /invitations/new" {
		c.accept(got)
	}
	c.tally.saved++
	c.tally.routes[route]++
	if c.happened(route, said, before, c.now()) {
		c.tally.asShown++
	}
	c.tally.named += len(said.rows)
	if len(said.rows) == 0 {
		c.tally.nobody++
	}
	return true
}

// send presses the button of a form.
func (c *company) send(page answer, form string) answer {
	c.t.Helper()
	values := formOf(page, form)
	if text := page.Find(form + " textarea"); text.Length() > 0 {
		values.Set(text.AttrOr("name", ""), strings.TrimPrefix(text.Text(), "\n"))
	}
	if values.Has("typed") {
		values.Set("typed", lose(page))
	}
	return c.post(sam, page.Find(form).AttrOr("action", ""), values)
}

// accept opens what Sam hands over, as the one who is invited.
func (c *company) accept(saved answer) {
	c.t.Helper()
	page := c.get(sam, saved.header.Get("Location"), func(r *http.Request) {
		for _, cookie := range (&http.Response{Header: saved.header}).Cookies() {
			r.AddCookie(cookie)
		}
	})
	secret := strings.TrimPrefix(page.text("#link"), c.server.URL+"/i/")
	if got := c.guest().post("/i", url.Values{"code": {secret}}); got.status != 303 {
		c.t.Fatalf("SEED=%d: accepted: status %d: %s", c.seed, got.status, got.text("main"))
	}
}

// saidOf is what a panel says.
type saidOf struct {
	at   time.Time
	rows []saidRow
	// counted is how many people its head counts for whom something changes.
	counted int
}

// saidRow is what it says of a person.
type saidRow struct {
	name, userName string
	lines          []saidLine
}

// saidLine is what becomes of permissions of a product somewhere, in words.
type saidLine struct{ kind, text, where string }

// said reads the panel of a page.
func (c *company) said(page answer) saidOf {
	c.t.Helper()
	s := saidOf{at: c.Now()}
	if at, ok := page.Find("#impact > p > time").Attr("datetime"); ok {
		var err error
		if s.at, err = time.Parse(time.RFC3339, at); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, text := range page.texts("#impact p[role=status] .chip") {
		if n, err := strconv.Atoi(strings.Fields(text)[0]); err == nil && !strings.Contains(text, " stay") {
			s.counted += n
		}
	}
	for _, tr := range page.Find("#impact-people tbody tr").EachIter() {
		row := saidRow{userName: tr.Find("th .quiet").Text()}
		row.name = strings.TrimSpace(strings.TrimSuffix(tr.Find("th").Text(), row.userName))
		for _, div := range tr.Find("td:nth-child(2) > div").EachIter() {
			line := saidLine{kind: div.Find(".chip").Text()}
			own := div.Contents().FilterFunction(func(_ int, n *goquery.Selection) bool { return goquery.NodeName(n) == "#text" })
			line.text = strings.TrimSpace(own.Text())
			// What follows on a line of its own are the ways.
			if where := div.Find(".chip + .quiet"); where.Length() > 0 {
				line.where = where.Text()
			}
			row.lines = append(row.lines, line)
		}
		s.rows = append(s.rows, row)
	}
	return s
}

// happened compares what was said with what each person might do before and may now.
func (c *company) happened(route string, said saidOf, before, after store.Snapshot) bool {
	c.t.Helper()
	ok := true
	wrong := func(format string, values ...any) {
		ok = false
		c.t.Helper()
		c.t.Errorf("SEED=%d: %s: "+format, append([]any{c.seed, route}, values...)...)
	}
	if said.counted != len(said.rows) {
		wrong("%d people are counted, %d named", said.counted, len(said.rows))
	}
	w := newYardstick(c.t, before, after)
	was, is := w.fortunes(said.at)
	rows := map[string]saidRow{}
	for _, row := range said.rows {
		rows[row.name] = row
	}
	for id := range w.people {
		name := w.people[id]
		row, named := rows[name]
		delete(rows, name)
		claimed, problem := w.claims(row)
		if problem != "" {
			wrong("%s: %s: %+v", name, problem, row)
			continue
		}
		for place, m := range claimed {
			if real := (move{was[id].cells[place], is[id].cells[place]}); real != m {
				wrong("%s: the panel says %v of %v, it is %v: %+v", name, m, place, real, row)
			}
		}
		for place := range w.cells {
			if m, told := claimed[place]; !told && was[id].cells[place] != is[id].cells[place] {
				wrong("%s: the panel says nothing of %v, and it went from %q to %q: %v %+v", name, place, was[id].cells[place], is[id].cells[place], m, row)
			}
		}
		kept := slices.ContainsFunc(row.lines, func(l saidLine) bool { return l.text == "can no longer sign in" })
		let := slices.ContainsFunc(row.lines, func(l saidLine) bool { return l.text == "can sign in" })
		if kept != (was[id].live && !is[id].live) || let != (!was[id].live && is[id].live) {
			wrong("%s: named %v, live %v and then %v, the panel says %+v", name, named, was[id].live, is[id].live, row)
		}
	}
	for name, row := range rows {
		wrong("there is no %s: %+v", name, row)
	}
	if said.at.After(c.Now()) { // until then nothing is otherwise
		was, is := w.fortunes(c.Now())
		for id, name := range w.people {
			if !maps.Equal(was[id].cells, is[id].cells) {
				wrong("%s: something changes before %v", name, said.at)
			}
		}
	}
	return ok
}

// cell is a permission at a place, which is said by the names of its sites; move is
// what becomes of somebody's level there.
type cell struct {
	product    access.ProductID
	permission access.PermissionID
	place      string
}

type move struct{ from, to access.Level }

// fortune is whether an account is live, and what it may do.
type fortune struct {
	live  bool
	cells map[cell]access.Level
}

// yardstick measures what people may do before and after a change, at every site and
// at one that each dimension gets tomorrow.
type yardstick struct {
	before, after store.Snapshot
	was, is       *access.Policy
	people        map[access.UserID]string
	cells         map[cell]access.Place
	// products, permissions and sites are what the panel calls them by.
	products    map[string]access.ProductID
	permissions map[access.ProductID]map[string]access.PermissionID
	sites       map[string]access.Site
	byID        map[access.SiteID]access.Site
}

func newYardstick(t *testing.T, before, after store.Snapshot) *yardstick {
	t.Helper()
	y := &yardstick{before: before, after: after, people: map[access.UserID]string{}, cells: map[cell]access.Place{}, products: map[string]access.ProductID{},
		permissions: map[access.ProductID]map[string]access.PermissionID{}, sites: map[string]access.Site{}, byID: map[access.SiteID]access.Site{}}
	at := map[access.DimensionID]map[access.SiteID]bool{}
	dimensions := map[access.ProductID]map[access.DimensionID]bool{}
	for _, state := range []struct {
		store.Snapshot
		policy **access.Policy
	}{{before, &y.was}, {after, &y.is}} { // what the second calls a thing counts
		known := state.Catalogue
		for _, d := range known.Dimensions {
			known.Sites = append(slices.Clone(known.Sites), access.Site{ID: "tomorrow's " + access.SiteID(d.ID), Dimension: d.ID})
		}
		var err error
		if *state.policy, err = access.NewPolicy(known, state.Grants); err != nil {
			t.Fatal(err)
		}
		shut := map[access.SiteID]bool{}
		all := map[access.SiteID]access.Site{}
		for _, site := range known.Sites {
			all[site.ID], y.byID[site.ID] = site, site
		}
		for _, site := range known.Sites {
			for up := site; up.ID != ""; up = all[up.Parent] {
				shut[site.ID] = shut[site.ID] || up.Archived
			}
			if at[site.Dimension] == nil {
				at[site.Dimension] = map[access.SiteID]bool{}
			}
			at[site.Dimension][site.ID] = at[site.Dimension][site.ID] || !shut[site.ID]
		}
		for _, p := range (*state.policy).Products() {
			y.products[cmp.Or(p.Name, string(p.ID))] = p.ID
			if y.permissions[p.ID] == nil {
				y.permissions[p.ID], dimensions[p.ID] = map[string]access.PermissionID{}, map[access.DimensionID]bool{}
			}
			for _, one := range p.Permissions {
				y.permissions[p.ID][cmp.Or(one.Name, string(one.ID))] = one.ID
			}
			for _, d := range p.Dimensions {
				dimensions[p.ID][d] = true
			}
		}
		for id, named := range state.Users {
			y.people[id] = cmp.Or(named.DisplayName, named.Name)
		}
	}
	for id, site := range y.byID {
		y.sites[y.called(id)] = site
	}
	for id, permissions := range y.permissions {
		for _, place := range y.places(slices.Sorted(maps.Keys(dimensions[id])), at) {
			for _, permission := range permissions {
				// Everybody's right to see the own access is about no place.
				if id != access.ConsoleID || permission != access.ConsoleOwn {
					y.cells[cell{id, permission, y.placeName(place)}] = place
				}
			}
		}
	}
	return y
}

func (y *yardstick) called(id access.SiteID) string { return cmp.Or(y.byID[id].Name, string(id)) }

func (y *yardstick) placeName(place access.Place) string {
	var names []string
	for _, d := range slices.Sorted(maps.Keys(place)) {
		names = append(names, y.called(place[d]))
	}
	return strings.Join(names, "+")
}

// places are all that dimensions make of the sites that are open in one state at least.
func (y *yardstick) places(dimensions []access.DimensionID, open map[access.DimensionID]map[access.SiteID]bool) []access.Place {
	all := []access.Place{{}}
	for _, d := range dimensions {
		var more []access.Place
		for _, place := range all {
			for id, ok := range open[d] {
				if ok {
					one := maps.Clone(place)
					one[d] = id
					more = append(more, one)
				}
			}
		}
		all = more
	}
	return all
}

// fortunes are everybody's before and after.
func (y *yardstick) fortunes(at time.Time) (was, is map[access.UserID]fortune) {
	measure := func(p *access.Policy, facts access.Facts) map[access.UserID]fortune {
		all := map[access.UserID]fortune{}
		for id := range y.people {
			s := facts.Subject(id)
			f := fortune{live: s.Person.Live(at), cells: map[cell]access.Level{}}
			for one, place := range y.cells {
				product, _ := p.Product(one.product)
				q := access.Question{Product: one.product, Permission: one.permission, Place: access.Place{}}
				for _, d := range product.Dimensions {
					q.Place[d] = place[d]
				}
				if level := p.Level(s, q, at); level != "" {
					f.cells[one] = level
				}
			}
			all[id] = f
		}
		return all
	}
	return measure(y.was, y.before.Facts), measure(y.is, y.after.Facts)
}

var becomes = regexp.MustCompile(`^(.+?): (.+), (\S+)(?: → (\S+))?$`)

// claims are what a row of the panel says of each cell, and what can't be read in it.
func (y *yardstick) claims(row saidRow) (all map[cell]move, problem string) {
	all = map[cell]move{}
	for _, line := range row.lines {
		if line.where == "" {
			continue // about the account
		}
		found := becomes.FindStringSubmatch(line.text)
		if found == nil {
			return nil, "what is " + line.text
		}
		product, ok := y.products[found[1]]
		if !ok {
			return nil, "there is no product " + found[1]
		}
		permissions, ok := y.listed(product, found[2])
		if !ok {
			return nil, "there are no permissions " + found[2]
		}
		level := func(text string) access.Level { return access.Level(strings.TrimPrefix(text, "none")) }
		m := move{level(found[3]), level(cmp.Or(found[4], found[3]))}
		if line.kind == "keeps" != (m.from == m.to) || line.kind == "gains" != (m.from == "" && m.to != "") || line.kind == "loses" != (m.from != "" && m.to == "") {
			return nil, line.kind + " is not " + line.text
		}
		area, ok := y.area(line.where)
		if !ok {
			return nil, "where is " + line.where
		}
		for one, place := range y.cells {
			if one.product != product || !slices.Contains(permissions, one.permission) || !y.within(place, area) {
				continue
			}
			if other, twice := all[one]; twice {
				return nil, fmt.Sprintf("%v is said twice, %v and %v", one, other, m)
			}
			all[one] = m
		}
	}
	return all, ""
}

// listed are the permissions of an enumeration.
func (y *yardstick) listed(product access.ProductID, text string) (all []access.PermissionID, ok bool) {
	names := slices.SortedFunc(maps.Keys(y.permissions[product]), func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	for text != "" {
		i := slices.IndexFunc(names, func(name string) bool { return strings.HasPrefix(text, name) })
		if i < 0 {
			return nil, false
		}
		all, text = append(all, y.permissions[product][names[i]]), strings.TrimPrefix(text, names[i])
		for _, between := range []string{" (sensitive)", ", ", " and "} {
			text = strings.TrimPrefix(text, between)
		}
	}
	return all, true
}

// area reads where a line is about: of the nearest site above a place, "" above all,
// it says whether it is in. Nothing is said of the dimensions that are whole.
func (y *yardstick) area(text string) (map[access.DimensionID]map[access.SiteID]bool, bool) {
	area := map[access.DimensionID]map[access.SiteID]bool{}
	if text == "everywhere" {
		return area, true
	}
	for _, part := range strings.Split(text, " · ") {
		in, but, _ := strings.Cut(part, "but not ")
		but, also, _ := strings.Cut(but, ", yet also ")
		said := map[access.SiteID]bool{}
		if rest, whole := strings.CutPrefix(part, "everywhere but "); whole {
			but, also, _ = strings.Cut(rest, ", yet also ")
			in, said[""] = "", true
		}
		var d access.DimensionID
		for _, names := range []struct {
			text string
			in   bool
		}{{in, true}, {but, false}, {also, true}} {
			for _, name := range strings.Split(strings.TrimSpace(names.text), ", ") {
				if name == "" {
					continue
				}
				site, ok := y.sites[name]
				if !ok || d != "" && d != site.Dimension {
					return nil, false
				}
				d = site.Dimension
				said[site.ID] = names.in
			}
		}
		area[d] = said
	}
	return area, true
}

func (y *yardstick) within(place access.Place, area map[access.DimensionID]map[access.SiteID]bool) bool {
	for d, said := range area {
		id := place[d]
		for id != "" {
			if _, ok := said[id]; ok {
				break
			}
			id = y.byID[id].Parent
		}
		if !said[id] {
			return false
		}
	}
	return true
}

// change is a kind of change: the route that saves it, and how a page shows what it
// would do.
type change struct {
	route string
	open  func() (answer, bool)
}

// kinds are all that have a panel.
func (c *company) kinds() []change {
	var all []change
	kind := func(route string, open func() (string, bool)) {
		all = append(all, change{"POST " + route, func() (answer, bool) {
			path, ok := open()
			if !ok {
				return answer{}, false
			}
			return c.get(sam, path), true
		}})
	}
	one := func() (access.Grant, bool) {
		grants := c.grants()
		if len(grants) == 0 {
			return access.Grant{}, false
		}
		return oneOf(c.Rand, grants), true
	}
	for range 8 {
		kind("/mappings/new", func() (string, bool) { return c.compose("/mappings/new", c.fields(c.newGrant(), true)...), true })
	}
	for range 4 {
		kind("/mappings/{id}/edit", func() (string, bool) {
			g, ok := one()
			return c.compose("/mappings/"+string(g.ID)+"/edit", c.fields(c.newGrant(), false)...), ok
		})
		kind("/changes/{id}/revert", c.undo)
		kind("/products/{id}/edit", c.cells)
	}
	for range 2 {
		kind("/mappings/{id}/end", func() (string, bool) {
			g, ok := one()
			return "/mappings/" + string(g.ID) + "/end", ok
		})
		kind("/mappings/bulk", c.bulk)
		kind("/mappings/{id}/relink", c.relink)
		kind("/invitations/new", c.invitation)
		kind("/reviews/{id}/decide", c.review)
		kind("/sites/{id}/edit", func() (string, bool) {
			d := oneOf(c.Rand, []access.DimensionID{"site", "site", "team"})
			site := oneOf(c.Rand, c.places(d))
			return "/sites/" + string(site.ID) + "/edit?" + url.Values{"name": {oneOf(c.Rand, []string{site.Name, c.name("Place")})}, "key": {site.Key},
				"parent": {oneOf(c.Rand, []string{"", string(oneOf(c.Rand, c.places(d)).ID)})}}.Encode(), true
		})
		for _, do := range []string{"block", "unblock", "expiry"} {
			kind("/people/{id}/"+do, func() (string, bool) {
				path := "/people/" + string(c.users[oneOf(c.Rand, append(c.people(), sam))]) + "/" + do
				if do == "expiry" {
					path += "?until=" + oneOf(c.Rand, []string{"", "2026-11-20", "2027-01-31"})
				}
				return path, true
			})
		}
		kind("/people/bulk", func() (string, bool) {
			some := append(c.people(), sam)
			c.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
			asked := url.Values{"do": {oneOf(c.Rand, []string{"block", "unblock"})}}
			for _, who := range some[:min(len(some), 2+c.IntN(3))] {
				asked.Add("user", string(c.users[who]))
			}
			return "/people/bulk?" + asked.Encode(), len(some) > 1
		})
		for _, do := range []string{"archive", "restore"} {
			kind("/sites/{id}/"+do, func() (string, bool) {
				some := slices.DeleteFunc(append(c.places("site"), c.places("team")...), func(s access.Site) bool { return s.Archived != (do == "restore") })
				if len(some) == 0 {
					return "", false
				}
				return "/sites/" + string(oneOf(c.Rand, some).ID) + "/" + do, true
			})
		}
	}
	kind("/sites/new", func() (string, bool) {
		name := c.name("place")
		return address("/sites/new", url.Values{"dimension": {"site"}, "name": {name}, "key": {name}, "parent": {oneOf(c.Rand, []string{"", string(oneOf(c.Rand, c.places("site")).ID)})}}, "", ""), true
	})
	kind("/sites/dimensions/new", func() (string, bool) {
		name := c.name("dimension")
		return "/sites/dimensions/new?name=" + name + "&key=" + name, true
	})
	all = append(all, change{"POST /sites/import", func() (answer, bool) {
		key := c.name("place")
		lines := []string{"dimension,key,name,parent", "site," + c.name("place") + "," + c.name("Place") + "," + key, "site," + key + "," + key + ","}
		for _, site := range c.places("site")[:2] {
			lines = append(lines, "site,"+site.Key+","+site.Name+","+oneOf(c.Rand, []string{"", oneOf(c.Rand, c.places("site")).Key}))
		}
		page := c.upload(sam, "/sites/import", strings.Join(lines, "\n"))
		return page, page.status == 200 // not when one comes to be below itself
	}})
	kind("/sync/{connection}/remove", func() (string, bool) {
		return "/sync/" + string(c.refs["Okta"].ID) + "/remove?people=" + string(oneOf(c.Rand, leftBehind)), true
	})
	return append(all, c.catalogueKinds()...)
}

// fields are a grant as the editor's form has it.
func (c *company) fields(g access.Grant, to bool) (fields []string) {
	add := func(more ...string) { fields = append(fields, more...) }
	switch {
	case !to:
	case g.Subject.Everyone:
		add("everyone", "1")
	case g.Subject.User != "":
		add("user", string(g.Subject.User))
	default:
		add("group", string(g.Subject.Group))
		if c.IntN(3) > 0 {
			g.Effect = access.Allow // a group's deny is refused
		}
	}
	if add("what", whatOf(&g), "from", oneOf(c.Rand, []string{"", "", "", "", "2026-12-01"}), "until", oneOf(c.Rand, []string{"", "", "", "2026-11-20", "2027-01-31"})); g.Effect == access.Deny {
		add("effect", string(g.Effect))
	}
	for _, m := range g.Mask {
		add("mask", string(m))
	}
	product := c.product(g.Product)
	for _, d := range product.Dimensions {
		selection := g.Scope.Sites[d]
		if selection.All || g.Scope.Everywhere {
			add("all."+string(d), "1")
		}
		for _, id := range selection.Sites {
			add("s."+string(d), string(id))
		}
	}
	return fields
}

func (c *company) product(id access.ProductID) access.Product {
	all := c.catalogue().Products
	return all[slices.IndexFunc(all, func(p access.Product) bool { return p.ID == id })]
}

// undo takes one of the last changes back.
func (c *company) undo() (string, bool) {
	found, err := c.Audit(c.t.Context(), c.actor.Tenant, store.AuditFilter{Actions: []string{store.ProposalSaved}}, "", 8)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(found.Changes) == 0 {
		return "", false
	}
	path := "/changes/" + string(oneOf(c.Rand, found.Changes).ID) + "/revert"
	return path, c.get(sam, path).status == 200 // not what is gone since
}

// cells are other levels for some roles.
func (c *company) cells() (string, bool) {
	product := c.anyProduct()
	form := url.Values{}
	for range 1 + c.IntN(3) {
		form.Set(cellName(oneOf(c.Rand, product.Roles).ID, oneOf(c.Rand, cellsOf(product))), oneOf(c.Rand, []string{"", string(oneOf(c.Rand, product.Levels))}))
	}
	got := c.post(sam, productPath(product.ID)+"/edit", form)
	return got.header.Get("Location"), got.status == 303
}

// anyProduct is one with roles and permissions.
func (c *company) anyProduct() access.Product { return c.product(c.newGrant().Product) }

// bulk is one change of several mappings.
func (c *company) bulk() (string, bool) {
	grants := c.grants()
	if len(grants) == 0 {
		return "", false
	}
	first := oneOf(c.Rand, grants)
	values := url.Values{"do": {oneOf(c.Rand, []string{"end", "extend", "role"})}, "id": {string(first.ID)}}
	for _, g := range grants {
		if g.Product == first.Product && g.Role != "" && c.IntN(2) == 0 {
			values.Add("id", string(g.ID))
		}
	}
	switch product := c.product(first.Product); values.Get("do") {
	case "extend":
		values.Set("until", oneOf(c.Rand, []string{"", "2026-11-20", "2027-03-31"}))
	case "role":
		if first.Role == "" {
			return "", false
		}
		values.Set("to", string(product.ID)+"/"+string(oneOf(c.Rand, product.Roles).ID))
	}
	return "/mappings/bulk?" + values.Encode(), true
}

// relink wakes a mapping whose group was deleted and came again.
func (c *company) relink() (string, bool) {
	group := oneOf(c.Rand, c.teams())
	i := slices.IndexFunc(c.grants(), func(g access.Grant) bool { return g.Subject.Group == access.GroupID(c.groups[group]) })
	connection := c.home[group]
	err := c.Write(c.t.Context(), c.actor, func(tx *store.Tx) error { return tx.DeleteGroup(c.t.Context(), c.refs[connection], c.groups[group]) })
	if err != nil { // its connection has ended
		return "", false
	}
	id := c.grants()[max(0, i)].ID
	c.newGroup(connection, group)
	return "/mappings/" + string(id) + "/relink?group=" + string(c.groups[group]), i >= 0
}

// invitation asks somebody in.
func (c *company) invitation() (string, bool) {
	g := c.newGrant()
	g.Effect, g.Mask = access.Allow, nil
	if slices.ContainsFunc(c.catalogue().Sites, func(s access.Site) bool { return s.Archived }) {
		g.Scope = access.Scope{Everywhere: true} // the form offers no archived sites
	}
	path := c.compose("/invitations/new", append(c.fields(g, false), "name", c.name("Guest "), "email", c.name("guest")+"@new.example", "end", "never")...)
	return path, true
}

// review takes from some people what a review is about.
func (c *company) review() (string, bool) {
	product := c.anyProduct()
	of := oneOf(c.Rand, []string{"site/" + string(oneOf(c.Rand, c.places("site")).ID), "product/" + string(product.ID), "role/" + string(product.ID) + "/" + string(oneOf(c.Rand, product.Roles).ID)})
	got := c.post(sam, "/reviews/new?"+url.Values{"of": {of}, "due": {"2026-12-31"}, "months": {"3"}}.Encode(), nil)
	form := got.header.Get("Location")
	if got.status != 303 || !strings.HasSuffix(form, "/decide") {
		return "", false // there is nobody to decide about
	}
	removed := map[string]string{}
	asked := c.get(sam, form)
	for _, who := range c.people() {
		if c.IntN(2) == 0 && asked.Find(`[name="d.`+string(c.users[who])+`"]`).Length() > 0 {
			removed[who] = "left"
		}
	}
	return c.decide(sam, form, removed), true
}

// catalogueKinds are changes of products, permissions and roles.
func (c *company) catalogueKinds() []change {
	var all []change
	kind := func(route string, path func(product access.Product) string, values func(product access.Product) []string) {
		all = append(all, change{"POST " + route, func() (answer, bool) {
			product := c.anyProduct()
			return c.get(sam, c.compose(productPath(product.ID)+path(product), values(product)...)), true
		}})
	}
	is := func(path string) func(access.Product) string { return func(access.Product) string { return path } }
	permission := func(then string) func(access.Product) string {
		return func(p access.Product) string { return "/permissions/" + string(oneOf(c.Rand, p.Permissions).ID) + then }
	}
	role := func(then string) func(access.Product) string {
		return func(p access.Product) string { return "/roles/" + string(oneOf(c.Rand, p.Roles).ID) + then }
	}
	named := func(access.Product) []string {
		return []string{"key", c.name("key"), "name", c.name("Name"), "place", "1", "tags", oneOf(c.Rand, []string{"", "sensitive"})}
	}
	ends := func(access.Product) []string { return []string{"end", "1"} }
	for range 2 {
		kind("/products/{id}/details", is("/details"), func(p access.Product) []string {
			fields := []string{"name", c.name("Product"), "levels", oneOf(c.Rand, []string{"view\nmaintain", "view\nadd\nmaintain", "maintain\nview"})}
			for _, d := range []string{"site", "team"} {
				if slices.Contains(p.Dimensions, access.DimensionID(d)) != (c.IntN(4) == 0) {
					fields = append(fields, "dimension", d)
				}
			}
			return fields
		})
		kind("/products/{id}/add/permission", is("/add/permission"), named)
		kind("/products/{id}/permissions/{permission}/edit", permission("/edit"), named)
		kind("/products/{id}/add/role", is("/add/role"), func(p access.Product) []string { return append(named(p), "copy", string(oneOf(c.Rand, p.Roles).ID)) })
		kind("/products/{id}/roles/{role}/edit", role("/edit"), named)
		kind("/products/{id}/roles/{role}/remove", role("/remove"), ends)
	}
	kind("/products/{id}/permissions/{permission}/remove", permission("/remove"), ends)
	kind("/products/{id}/remove", is("/remove"), ends)
	all = append(all, change{"POST /products/add/product", func() (answer, bool) {
		return c.get(sam, c.compose("/products/add/product", "key", c.name("product"), "name", c.name("Product"), "levels", "view\nmaintain", "dimension", "site")), true
	}})
	return all
}

// A part of an area may list sites again below those that it leaves out.
func TestAreasInWords(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	policy, _, err := g.Policy(t.Context(), g.actor.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	f := &forecast{v: &visit{words: g.console.words["en"]}, look: &impact.Preview{Before: policy, After: policy}}
	except, sites := []access.SiteID{g.sites["utrecht"]}, []access.SiteID{g.sites["uithof"]}
	for want, part := range map[string]access.Part{
		"everywhere":                              {All: true},
		"everywhere but Utrecht":                  {All: true, Except: except},
		"everywhere but Utrecht, yet also Uithof": {All: true, Except: except, Sites: sites},
		"Uithof": {Sites: sites},
		"Uithof, Vlissingen, Zeeland but not Utrecht": {Sites: append(sites, g.sites["zeeland"], g.sites["vlissingen"]), Except: except},
	} {
		if got := f.area(access.Area{"site": part}); got != want {
			t.Errorf("%+v: got %q, want %q", part, got, want)
		}
	}
}
