package ui

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// Because is what every page says that shows access: each thing that somebody has,
// with all ways to it, from the person through groups to the grant, each part a link.

// step is one part of a way.
type step struct{ Text, Href, Note string }

// way is one way from somebody to something that she has.
type way []step

// holding is what somebody has in a product.
type holding struct {
	Product, Href string
	Table         table
	Lines         []line
	// Levels are the same permission by permission; none for a visitor who sees only
	// some sites.
	Levels     []levelLine
	LevelTable table
}

// line is a grant that somebody has.
type line struct {
	chip
	// Taken says that a deny leaves nothing of it.
	Taken bool
	Where []step
	Until when // zero for ever
	Ways  []way
	// Baseline says that everyone has it.
	Baseline bool
}

// levelLine is what remains of a permission in an area.
type levelLine struct {
	Permission, Level, Where string
	Explain                  string
	Denied                   []way
}

// whys says what somebody has, and why.
type whys struct {
	v       *visit
	g       *granted
	at      time.Time
	start   way // whom the ways begin with
	held    access.Held
	groups  map[access.GroupID]string
	joined  map[access.GroupID]store.Instant
	records map[access.GrantID]store.GrantRecord
	tell    *teller
	named   map[access.GroupID]bool // groups that some way goes through
	// explain is the address of the questions about her; "" for none.
	explain string
	opens   opens
}

// opens is what the visitor may open: her own ways lead through more.
type opens struct {
	grant func(*access.Grant) bool
	mine  access.Audience
	sites forest // which only says what it sees
}

func (v *visit) opens() opens {
	o := opens{grant: v.sight(), sites: forest{policy: v.policy}}
	o.mine, _ = v.mine()
	if v.scoped(access.ConsoleSites, access.LevelView) {
		o.sites.areas = v.area(access.ConsoleSites, access.LevelView)
	}
	return o
}

// group reports whether the visitor may open one of some groups, and so those below.
func (o *opens) group(groups []access.GroupID) bool {
	return o.mine.Everyone || slices.ContainsFunc(groups, func(id access.GroupID) bool { return slices.Contains(o.mine.Groups, id) })
}

func (o *opens) site(id access.SiteID) bool {
	_, err := o.sites.site(id)
	return err == nil
}

// moment is the instant that a page shows.
type moment struct {
	at   time.Time
	past bool
}

// why works out what a subject has by a policy. Whoever isn't live is looked at as if
// she were: the page says that nothing of it counts.
// Within limits what is told to some areas; nil tells all.
func (s *Server) why(ctx context.Context, v *visit, p *access.Policy, subject access.Subject, m moment, within []access.Area) (*whys, error) {
	subject.Person.Active, subject.Person.LoginAllowed, subject.Person.ExpiresAt = true, true, time.Time{}
	w := &whys{v: v, g: &granted{words: v.words, policy: p, within: within}, at: m.at, held: p.Held(subject, m.at), joined: map[access.GroupID]store.Instant{}, named: map[access.GroupID]bool{}}
	w.opens = v.opens()
	grants := map[access.GrantID]bool{}
	w.each(func(path access.Path, _ bool) { grants[path.Grant.ID] = true })
	return w, s.whyRecords(ctx, w, grants, m)
}

// whyRecords reads since when the grants are there, and by whom.
func (s *Server) whyRecords(ctx context.Context, w *whys, grants map[access.GrantID]bool, m moment) (err error) {
	var ids []access.GrantID
	for id := range grants {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if m.past {
		w.records, err = s.store.GrantRecordsAt(ctx, w.v.tenant(), ids, m.at)
	} else {
		w.records, err = s.store.GrantRecords(ctx, w.v.tenant(), ids)
	}
	if err != nil {
		return err
	}
	var changes []store.Change
	for _, id := range ids {
		changes = append(changes, w.records[id].Change)
	}
	w.tell, err = s.teller(ctx, w.v, changes)
	return err
}

// join notes since when she is in groups.
func (w *whys) join(memberships []store.Membership) {
	for _, m := range memberships {
		if !m.Since.After(w.at) && (m.Until.IsZero() || m.Until.After(w.at)) {
			w.joined[access.GroupID(m.Group)] = m.Since
		}
	}
}

// each calls f with every path; taken says that a deny leaves nothing there.
func (w *whys) each(f func(path access.Path, taken bool)) {
	for i, items := range [][]access.Item{w.held.Items, w.held.Taken} {
		for _, item := range items {
			for _, path := range slices.Concat(item.Through, item.Against) {
				f(path, i == 1 && path.Grant.Effect == access.Allow)
			}
		}
	}
}

// holdings are what somebody has, product by product, and how many grants are left
// out since they reach only where the visitor doesn't see.
func (w *whys) holdings() (all []holding, elsewhere int) {
	within := w.g.within
	type entry struct {
		grant *access.Grant
		taken bool
		ways  []way
		seen  map[string]bool
	}
	entries := map[access.GrantID]*entry{}
	outside := map[access.GrantID]bool{}
	var order []access.GrantID
	w.each(func(path access.Path, taken bool) {
		id := path.Grant.ID
		if within != nil && !w.g.inside(path.Grant, within) {
			outside[id] = true
			return
		}
		e := entries[id]
		if e == nil {
			e = &entry{grant: path.Grant, taken: true, seen: map[string]bool{}}
			entries[id], order = e, append(order, id)
		}
		e.taken = e.taken && taken
		if key := strings.Join(ids(path.Groups), " "); !e.seen[key] {
			e.seen[key] = true
			e.ways = append(e.ways, w.way(path))
		}
	})
	for _, product := range consoleLast(w.g.policy.Products()) {
		h := holding{Product: cmp.Or(product.Name, string(product.ID)), Href: w.v.link("/products/" + string(product.ID))}
		for _, id := range order {
			e := entries[id]
			if e.grant.Product != product.ID {
				continue
			}
			what := w.g.chip(e.grant)
			what.Text = w.g.what(e.grant, product)
			h.Lines = append(h.Lines, line{
				chip: what, Taken: e.taken, Where: w.where(e.grant, product), Until: w.until(e.grant), Ways: e.ways, Baseline: e.grant.Subject.Everyone,
			})
		}
		if len(h.Lines) == 0 {
			continue
		}
		slices.SortStableFunc(h.Lines, func(a, b line) int {
			return cmp.Or(compareBool(a.Deny, b.Deny), cmp.Compare(a.Text, b.Text), cmp.Compare(a.Title, b.Title))
		})
		h.Table = table{ID: "has-" + string(product.ID), Caption: h.Product, Columns: w.v.columns("because.what:narrow", "because.where:narrow", "because.why")}
		if within == nil {
			h.Levels = w.levels(product)
			h.LevelTable = table{ID: "levels-" + string(product.ID), Caption: w.v.words.t("because.levels", "product", h.Product), Hidden: true,
				Columns: w.v.columns("because.permission", "because.level:narrow", "because.where", "because.less")}
		}
		all = append(all, h)
	}
	return all, len(outside)
}

// own reports whether somebody has more than everyone.
func own(holdings []holding) bool {
	return slices.ContainsFunc(holdings, func(h holding) bool {
		return slices.ContainsFunc(h.Lines, func(l line) bool { return !l.Baseline && !l.Deny })
	})
}

// plain reports whether it is only what everyone has.
func plain(h holding) bool {
	return !slices.ContainsFunc(h.Lines, func(l line) bool { return !l.Baseline })
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func ids(groups []access.GroupID) []string {
	all := make([]string, len(groups))
	for i, id := range groups {
		all[i] = string(id)
	}
	return all
}

// levels are what remains of each permission.
func (w *whys) levels(product access.Product) (all []levelLine) {
	for i, items := range [][]access.Item{w.held.Items, w.held.Taken} {
		for _, item := range items {
			if item.Product != product.ID {
				continue
			}
			l := levelLine{Permission: w.g.permissionName(item.Permission, product), Level: w.v.words.level(item.Level), Where: w.area(item.Area, product)}
			if i == 1 {
				l.Level = w.v.words.t("because.none")
			}
			if w.explain != "" {
				l.Explain = w.explain + "&product=" + string(product.ID) + "&permission=" + string(item.Permission)
			}
			for _, path := range item.Against {
				l.Denied = append(l.Denied, w.way(path))
			}
			all = append(all, l)
		}
	}
	return all
}

// area is an area in words.
func (w *whys) area(area access.Area, product access.Product) string {
	names := func(ids []access.SiteID) string {
		all, more := w.g.names(ids, len(ids))
		if more > 0 {
			all = append(all, "+"+w.v.words.number(more))
		}
		return strings.Join(all, ", ")
	}
	var parts []string
	for _, d := range product.Dimensions {
		switch part := area[d]; {
		case part.All && len(part.Except) > 0:
			parts = append(parts, w.v.words.t("because.except", "sites", names(part.Except)))
		case !part.All && len(part.Except) > 0:
			parts = append(parts, w.v.words.t("because.sitesExcept", "in", names(part.Sites), "sites", names(part.Except)))
		case !part.All:
			parts = append(parts, names(part.Sites))
		}
	}
	if len(parts) == 0 {
		return w.v.words.t("chip.everywhere")
	}
	return strings.Join(parts, " · ")
}

// maxSites is how many sites a line names.
const maxSites = 12

// where are the sites of a grant, each a link.
func (w *whys) where(grant *access.Grant, product access.Product) (all []step) {
	more := 0
	for _, d := range product.Dimensions {
		selection := grant.Scope.Sites[d]
		if grant.Scope.Everywhere || selection.All {
			continue
		}
		var some []step
		for _, id := range selection.Sites {
			if !w.g.tells(id) {
				more++
				continue
			}
			one := step{Text: w.g.siteName(id)}
			if w.opens.site(id) {
				one.Href = w.v.link("/sites/" + string(id))
			}
			some = append(some, one)
		}
		slices.SortFunc(some, func(a, b step) int { return cmp.Compare(a.Text, b.Text) })
		show := min(len(some), maxSites)
		all, more = append(all, some[:show]...), more+len(some)-show
	}
	switch {
	case len(all) == 0 && more == 0:
		return []step{{Text: w.v.words.t("chip.everywhere")}}
	case more > 0:
		all = append(all, step{Text: "+" + w.v.words.number(more)})
	}
	return all
}

func (w *whys) until(grant *access.Grant) when {
	if grant.Until.IsZero() {
		return when{}
	}
	return w.v.when(grant.Until)
}

// way is a path in words: the person, the groups, and the grant.
func (w *whys) way(path access.Path) way {
	words := w.v.words
	all := slices.Clone(w.start)
	for i, id := range path.Groups {
		w.named[id] = true
		one := step{Text: w.groups[id]}
		if w.opens.group(path.Groups[i:]) {
			one.Href = w.v.link("/groups/" + string(id))
		}
		if one.Text == "" {
			one.Text = words.t("because.goneGroup")
		}
		if since, ok := w.joined[id]; ok && i == 0 {
			one.Note = words.t("because.member", "date", words.date(w.v.instant(since).Time))
		}
		// The page of a group begins with the group itself.
		if len(all) > 0 && i == 0 && all[len(all)-1].Href == one.Href && all[len(all)-1].Text == one.Text {
			continue
		}
		all = append(all, one)
	}
	if path.Grant.Subject.Everyone {
		all = append(all, step{Text: words.t("because.everyone")})
	}
	return append(all, w.last(path.Grant))
}

// shownWays are the paths in words that the visitor may see.
func (w *whys) shownWays(paths []access.Path) (all []way) {
	for _, path := range paths {
		if w.g.within == nil || w.g.inside(path.Grant, w.g.within) {
			all = append(all, w.way(path))
		}
	}
	return all
}

// last is the step that is the grant itself.
func (w *whys) last(grant *access.Grant) step {
	product, _ := w.g.policy.Product(grant.Product)
	words := w.v.words
	key := "because.grant"
	switch group, deny := grant.Subject.Group != "", grant.Effect == access.Deny; {
	case group && deny:
		key = "because.denyMapping"
	case group:
		key = "because.mapping"
	case deny:
		key = "because.deny"
	}
	last := step{
		Text: words.t(key, "what", w.g.what(grant, product), "where", w.g.where(grant, product, 2)),
	}
	if w.opens.grant(grant) {
		last.Href = w.v.link("/mappings/" + string(grant.ID))
	}
	record := w.records[grant.ID]
	var notes []string
	if !record.Since.IsZero() {
		notes = append(notes, words.t("because.since", "date", words.date(w.v.instant(record.Since).Time), "who", w.tell.who(record.Change).Text))
	}
	if !grant.Until.IsZero() {
		notes = append(notes, words.t("because.until", "date", words.date(w.v.when(grant.Until).Time)))
	}
	if grant.Reason != "" && grant.Origin != access.OriginBaseline {
		notes = append(notes, words.t("because.reason", "text", grant.Reason))
	}
	last.Note = strings.Join(notes, ", ")
	return last
}

// banner is something that the page has to say before all else.
type banner struct {
	Text string
	Bad  bool
	Go   step // where to do something about it
}

// asOf is the control that shows a page as it was on another day.
type asOf struct {
	Path string // of the page as it is now
	Day  string // 2026-03-01; "" is now
	At   when   // its end; zero is now
	// Asked is the day that was asked for: also today, which is now.
	Asked string
}

// asOf makes the control for a page.
func (v *visit) asOf(path string, m moment) asOf {
	a := asOf{Path: path}
	if m.past {
		a.Day = m.at.In(v.zone).Format(time.DateOnly)
		a.At = v.when(m.at)
	}
	if m.past || queryOf(v.path).Get("at") != "" {
		a.Asked = m.at.In(v.zone).Format(time.DateOnly)
	}
	return a
}

// timeline is what was done, the newest first.
type timeline struct {
	Table   table
	Changes []changeRow
	Earlier string // the address of what was before
}

// timelinePage is how many changes a page shows.
const timelinePage = 20

// timeline makes the table of changes; told says of some what they mean here.
func (s *Server) timeline(ctx context.Context, v *visit, path string, changes []store.Change, told map[store.ChangeID][]string) (timeline, error) {
	t := timeline{Table: table{ID: "timeline", Caption: v.words.t("because.timeline"), Columns: v.columns("because.when:narrow", "because.did")}}
	if len(changes) > timelinePage {
		changes = changes[:timelinePage]
		t.Earlier = address(path, nil, "before", string(changes[timelinePage-1].ID))
	}
	tell, err := s.teller(ctx, v, changes)
	if err != nil {
		return t, err
	}
	for _, c := range changes {
		row := changeRow{At: v.instant(c.At), Said: tell.sentence(c), Href: v.link("/audit/" + string(c.ID))}
		if text := told[c.ID]; text != nil {
			row.Said = sentence{{Text: strings.Join(text, "; ") + " ("}, tell.who(c), {Text: ")"}}
		}
		t.Changes = append(t.Changes, row)
	}
	return t, nil
}

// sees reports whether somebody is among those whom a visitor may see.
func sees(mine access.Audience, s access.Subject) bool {
	return mine.Everyone || slices.Contains(mine.Users, s.Person.ID) ||
		slices.ContainsFunc(s.Groups, func(g access.GroupID) bool { return slices.Contains(mine.Groups, g) })
}

// mine is whom a visitor sees by name, and the areas that limit what she sees of
// them; nil areas limit nothing.
func (v *visit) mine() (access.Audience, []access.Area) {
	areas := v.area(access.ConsolePeople, access.LevelView)
	audience := v.own(v.granted(v.policy, v.now, nil), areas)
	if audience.Everyone {
		areas = nil
	}
	return audience, areas
}
