package ui

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

func (s *Server) personRoutes() []route {
	return []route{
		{"GET", "/people/{id}", needs{access.ConsolePeople, access.LevelView}, s.personPage},
		{"GET", "/people/{id}/compare", needs{access.ConsolePeople, access.LevelView}, s.comparePage},
		{"POST", "/people/{id}/signout", needs{access.ConsolePeople, access.LevelChange}, s.signPersonOut},
	}
}

// personPage is somebody with all that she may do and why, now or on another day.
type personPage struct {
	page
	ID, UserName string
	Banners      []banner
	AsOf         asOf
	// Waiting says that nothing of what is listed counts, since she isn't live.
	Waiting   bool
	Holdings  []holding
	Elsewhere int // grants at sites that the visitor doesn't see
	Empty     empty
	Map       []step // groups that give nothing, to map
	Told      []fact // what products are told about her
	Groups    []membershipRow
	Hidden    int // groups that the visitor doesn't see
	GroupList table
	Source    string
	Fields    []labelled
	Said      []labelled
	Actions   []step
	SignsIn   []labelled // what she is to her provider
	Unlink    string     // the address of the page; "" for whoever may not
	Sessions  *sessionList
	SignOut   string // the address of the form; "" for whoever may not
	Timeline  *timeline
	Explain   string
	Compare   string
}

// labelled is a value with what it is.
type labelled struct{ Label, Text, Href string }

type membershipRow struct {
	step
	Since when
	Chips []chip
	// Until is zero for a membership that lasts.
	Until when
}

// shownPerson is somebody as a page shows her, at an instant.
type shownPerson struct {
	store.PersonRecord
	moment
	// absent says that she wasn't there then.
	absent  bool
	subject access.Subject
	policy  *access.Policy
	facts   access.Facts // of the past
	groups  map[access.GroupID]string
	// mine and within are what the visitor sees of anybody.
	mine   access.Audience
	within []access.Area
}

// see finds somebody whom the visitor may see. Whom she may not see is as if there
// were nobody.
func (s *Server) see(ctx context.Context, v *visit, id string, m moment) (*shownPerson, error) {
	p := &shownPerson{moment: m, policy: v.policy}
	p.mine, p.within = v.mine()
	record, err := s.store.PersonRecord(ctx, v.tenant(), store.UserID(id))
	if err != nil {
		return nil, err
	}
	p.PersonRecord = record
	var now store.Somebody
	if record.DeletedAt.IsZero() {
		if now, p.policy, err = s.store.Somebody(ctx, v.tenant(), id); err != nil {
			return nil, err
		}
		p.policy = v.words.policy(p.policy)
	}
	if !sees(p.mine, now.Subject) {
		return nil, store.ErrNotFound
	}
	if !m.past {
		p.subject = now.Subject
		p.groups, err = s.groupNames(ctx, v, now.Groups)
		return p, err
	}
	if p.policy, err = v.policyAt(ctx, m.at); err != nil {
		return nil, err
	}
	p.facts, err = s.store.FactsOf(ctx, v.tenant(), store.UserID(id), m.at)
	if errors.Is(err, store.ErrNotFound) {
		p.absent = true
		return p, nil
	}
	if err == nil {
		p.PersonRecord, err = s.store.PersonRecordAt(ctx, v.tenant(), store.UserID(id), m.at)
	}
	p.subject, p.groups = p.facts.Subject(access.UserID(id)), map[access.GroupID]string{}
	for _, group := range p.subject.Groups {
		p.groups[group] = p.facts.Groups[group].Name
	}
	return p, err
}

func (s *Server) groupNames(ctx context.Context, v *visit, groups []access.GroupID) (map[access.GroupID]string, error) {
	names, err := s.store.Names(ctx, v.tenant(), nil, groups)
	all := map[access.GroupID]string{}
	for id, name := range names {
		all[access.GroupID(id)] = name
	}
	return all, err
}

// called is what people call her.
func (p *shownPerson) called() string {
	return name(store.Somebody{UserName: p.UserName, DisplayName: p.DisplayName})
}

// whys says what she has and why.
func (s *Server) whyPerson(ctx context.Context, v *visit, p *shownPerson) (*whys, []store.Membership, error) {
	w, err := s.why(ctx, v, p.policy, p.subject, p.moment, p.within)
	if err != nil {
		return nil, nil, err
	}
	memberships, err := s.store.Memberships(ctx, v.tenant(), p.ID, 1000)
	w.join(memberships)
	w.groups, w.start = p.groups, way{{Text: p.called(), Href: v.link("/people/" + string(p.ID))}}
	if !p.past {
		w.explain = v.link("/explain?person=" + string(p.ID))
	}
	return w, memberships, err
}

func (s *Server) personPage(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	at, past, err := v.at(r)
	if err != nil {
		return err
	}
	one, err := s.see(ctx, v, r.PathValue("id"), moment{at, past})
	if err != nil {
		return err
	}
	path := "/people/" + string(one.ID)
	why, memberships, err := s.whyPerson(ctx, v, one)
	if err != nil {
		return err
	}
	connections, err := s.store.Connections(ctx, v.tenant())
	if err != nil {
		return err
	}
	var source store.Connection
	for _, c := range connections {
		if c.ID == one.Connection {
			source = c
		}
	}
	p := &personPage{
		page: v.page("person.title", "name", one.called()), ID: string(one.ID), UserName: one.UserName,
		AsOf: v.asOf(path, one.moment), Source: source.Name, Compare: path + "/compare",
		Explain: v.link("/explain?person=" + string(one.ID)),
	}
	p.Banners, p.Waiting = v.personBanners(one, source)
	if !one.absent {
		p.Holdings, p.Elsewhere = why.holdings()
		p.Told = why.told()
		p.Fields = v.sourceFields(one)
	}
	if err := s.saidOf(ctx, v, p, one); err != nil {
		return err
	}
	p.groups(v, one, why, memberships)
	if !one.past && one.DeletedAt.IsZero() && one.within == nil {
		if p.Sessions, err = s.sessionList(ctx, v, one.ID); err != nil {
			return err
		}
		identities, err := s.store.Identities(ctx, v.tenant(), one.ID)
		if err != nil {
			return err
		}
		if p.SignsIn = v.identities(identities); len(identities) > 0 {
			p.Unlink = v.link(path + "/unlink")
		}
		if v.may(access.ConsolePeople, access.LevelChange) && len(p.Sessions.Rows) > 0 {
			p.SignOut = path + "/signout"
		}
		for _, do := range []string{"block", "unblock", "expiry"} {
			fits := do == "expiry" && one.Said.Kind != access.KindEmployee || do == "block" && one.Said.LoginAllowed || do == "unblock" && !one.Said.LoginAllowed
			if href := v.link(path + "/" + do); href != "" && fits {
				p.Actions = append(p.Actions, step{Text: v.words.t("person.do." + do), Href: href})
			}
		}
	}
	if v.mayAt(access.ConsoleAudit, access.LevelView, nil) {
		changes, err := s.store.PersonTimeline(ctx, v.tenant(), one.ID, store.ChangeID(r.URL.Query().Get("before")), timelinePage+1)
		if err != nil {
			return err
		}
		t, err := s.timeline(ctx, v, path, changes, v.comingsAndGoings(memberships))
		if err != nil {
			return err
		}
		p.Timeline = &t
	}
	return s.render(w, http.StatusOK, "person", p)
}

// personBanners are what is to be known of an account before all else; waiting says
// that it isn't live.
func (v *visit) personBanners(one *shownPerson, source store.Connection) (all []banner, waiting bool) {
	add := func(bad bool, key string, values ...any) {
		all = append(all, banner{Text: v.words.t(key, values...), Bad: bad})
	}
	clock := func(t time.Time) string { return v.words.clock(t.In(v.zone)) }
	switch {
	case one.absent:
		add(true, "person.absent")
		return all, true
	case !one.past && !one.DeletedAt.IsZero():
		add(true, "person.deleted", "source", source.Name, "date", clock(one.DeletedAt.Time))
		return all, true
	}
	if !one.Active {
		add(true, "person.inactive", "source", source.Name)
	}
	if !one.Said.LoginAllowed {
		add(true, "person.blocked")
	}
	if end := one.Said.ExpiresAt; !end.IsZero() && !end.After(one.at) {
		add(true, "person.expired", "date", clock(end))
	}
	waiting = len(all) > 0
	if called := source.LastRequestAt; !one.past && !called.IsZero() && v.now.Sub(called.Time) > quiet {
		add(false, "person.quiet", "source", source.Name, "ago", v.words.ago(v.instant(called)))
		all[len(all)-1].Go = step{Text: v.words.t("person.sync"), Href: v.link("/sync/" + string(source.ID))}
	}
	return all, waiting
}

// groups lists the groups that she is in, and says what is missing.
func (p *personPage) groups(v *visit, one *shownPerson, why *whys, memberships []store.Membership) {
	// A name that a way tells is no secret on this page.
	shown := func(id access.GroupID) bool {
		return one.mine.Everyone || slices.Contains(one.mine.Groups, id) || why.named[id]
	}
	gives := v.granted(one.policy, one.at, one.within)
	for _, id := range one.subject.Groups {
		if !shown(id) {
			p.Hidden++
			continue
		}
		row := membershipRow{step: step{Text: one.groups[id], Href: v.link("/groups/" + string(id))}}
		if since, ok := why.joined[id]; ok {
			row.Since = v.instant(since)
		}
		for _, g := range gives.of[access.Grantee{Group: id}] {
			if one.within == nil || gives.inside(&g, one.within) {
				row.Chips = append(row.Chips, gives.chip(&g))
			}
		}
		p.Groups = append(p.Groups, row)
		if len(row.Chips) == 0 && len(p.Map) < 5 {
			if href := v.link("/mappings/new?group=" + string(id)); href != "" {
				p.Map = append(p.Map, step{Text: v.words.t("person.map", "group", one.groups[id]), Href: href})
			}
		}
	}
	slices.SortFunc(p.Groups, func(a, b membershipRow) int {
		return cmp.Or(cmp.Compare(store.Fold(a.Text), store.Fold(b.Text)), cmp.Compare(a.Href, b.Href))
	})
	p.GroupList = table{ID: "groups", Caption: v.words.t("person.groups"), Columns: v.columns("person.group", "person.joined:narrow", "person.gives:wide")}
	if !own(p.Holdings) {
		p.Empty.Text = v.words.n("person.nothing", len(one.subject.Groups))
		if p.Elsewhere > 0 {
			p.Empty.Text = v.words.t("person.nothingHere")
		}
		return
	}
	p.Map = nil
}

// told is what products are told about her.
func (w *whys) told() (all []fact) {
	for _, product := range w.g.policy.Products() {
		attributes := w.held.Attributes[product.ID]
		if len(attributes) == 0 {
			continue
		}
		f := fact{Title: cmp.Or(product.Name, string(product.ID))}
		for name, values := range attributes {
			f.Lines = append(f.Lines, factLine{Text: name + ": " + strings.Join(values, ", ")})
		}
		slices.SortFunc(f.Lines, func(a, b factLine) int { return cmp.Compare(a.Text, b.Text) })
		all = append(all, f)
	}
	return all
}

// sourceFields are what the identity provider says of her.
func (v *visit) sourceFields(one *shownPerson) (all []labelled) {
	doc := document(one.Doc)
	add := func(key, text string) {
		if text != "" {
			all = append(all, labelled{Label: v.words.t(key), Text: text})
		}
	}
	add("person.field.userName", one.UserName)
	add("person.field.displayName", one.DisplayName)
	add("person.field.email", first(doc, "emails"))
	add("person.field.title", stringOf(doc, "title"))
	const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	extension, _ := doc[enterprise].(map[string]any)
	add("person.field.department", stringOf(extension, "department"))
	add("person.field.organization", stringOf(extension, "organization"))
	add("person.field.employeeNumber", stringOf(extension, "employeeNumber"))
	manager, _ := extension["manager"].(map[string]any)
	add("person.field.manager", stringOf(manager, "displayName"))
	add("person.field.phone", first(doc, "phoneNumbers"))
	add("person.field.externalId", one.ExternalID)
	state := "person.field.activeYes"
	if !one.Active {
		state = "person.field.activeNo"
	}
	add("person.field.active", v.words.t(state))
	return all
}

// document is what a provider said, with the names as they are; without one, only the
// columns are shown.
func document(data []byte) map[string]any {
	var doc map[string]any
	_ = json.Unmarshal(data, &doc) // the store keeps nothing else
	return doc
}

func stringOf(doc map[string]any, name string) string {
	value, _ := doc[name].(string)
	return value
}

// first is the primary value of a multi-valued attribute, or its first.
func first(doc map[string]any, name string) string {
	values, _ := doc[name].([]any)
	found := ""
	for _, one := range values {
		value, _ := one.(map[string]any)
		if primary, _ := value["primary"].(bool); primary || found == "" {
			found = cmp.Or(stringOf(value, "value"), found)
			if primary {
				return found
			}
		}
	}
	return found
}

// saidOf is what is said of her here.
func (s *Server) saidOf(ctx context.Context, v *visit, p *personPage, one *shownPerson) error {
	if one.absent {
		return nil
	}
	said := one.Said
	p.Said = append(p.Said, labelled{Label: v.words.t("person.kind"), Text: v.words.t("kind." + string(said.Kind))})
	login := "person.login.yes"
	if !said.LoginAllowed {
		login = "person.login.no"
	}
	p.Said = append(p.Said, labelled{Label: v.words.t("person.login"), Text: v.words.t(login)})
	if !said.ExpiresAt.IsZero() {
		p.Said = append(p.Said, labelled{Label: v.words.t("person.expires"), Text: v.words.clock(said.ExpiresAt.In(v.zone))})
	}
	if said.Sponsor == "" || one.within != nil {
		return nil
	}
	names, err := s.store.Names(ctx, v.tenant(), []access.UserID{access.UserID(said.Sponsor)}, nil)
	sponsor := labelled{Label: v.words.t("person.sponsor"), Text: names[string(said.Sponsor)], Href: v.link("/people/" + string(said.Sponsor))}
	if sponsor.Text == "" {
		sponsor.Text, sponsor.Href = v.words.t("audit.gone"), ""
	}
	p.Said = append(p.Said, sponsor)
	return err
}

// comingsAndGoings says which changes of groups were hers.
func (v *visit) comingsAndGoings(memberships []store.Membership) map[store.ChangeID][]string {
	told := map[store.ChangeID][]string{}
	for _, m := range memberships {
		told[m.Change] = append(told[m.Change], v.words.t("person.entered", "group", m.Name))
		if m.EndChange != "" {
			told[m.EndChange] = append(told[m.EndChange], v.words.t("person.left", "group", m.Name))
		}
	}
	return told
}

func (s *Server) signPersonOut(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	one, err := s.see(ctx, v, r.PathValue("id"), moment{at: v.now})
	if err != nil {
		return err
	}
	if !v.mayAt(access.ConsolePeople, access.LevelChange, nil) {
		return forbidden{needs{access.ConsolePeople, access.LevelChange}}
	}
	err = s.store.Write(ctx, v.actor(), func(tx *store.Tx) error {
		_, err := tx.EndSessionsOf(ctx, one.ID, "")
		return err
	})
	if err != nil {
		return err
	}
	return s.say(w, r, "/people/"+string(one.ID), "", "person.signedOut", "name", one.called())
}

// findPerson finds somebody whom the visitor may see by an id, or by what somebody
// types; of several, each is a link that href makes of an id.
func (s *Server) findPerson(ctx context.Context, v *visit, typed string, href func(id string) string) (id string, choices []step, err error) {
	mine, _ := v.mine()
	found, _, err := s.store.Somebody(ctx, v.tenant(), typed)
	switch {
	case err == nil && sees(mine, found.Subject):
		return found.ID, nil, nil
	case mine.Everyone && errors.Is(err, store.ErrNotFound):
		// Who is gone can still be asked about by id.
		if gone, err := s.store.PersonRecord(ctx, v.tenant(), store.UserID(typed)); err == nil {
			return string(gone.ID), nil, nil
		}
	case err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrAmbiguous):
		return "", nil, err
	}
	list, err := s.store.People(ctx, v.tenant(), store.PeopleFilter{Text: typed, Among: []access.Audience{mine}})
	if err != nil {
		return "", nil, err
	}
	people, _, err := list.Page(ctx, store.PeopleKey{}, 20)
	if err != nil {
		return "", nil, err
	}
	if len(people) == 1 && store.Fold(people[0].DisplayName) == store.Fold(typed) {
		return people[0].ID, nil, nil
	}
	for _, one := range people {
		choices = append(choices, step{Text: name(one), Note: one.UserName, Href: href(one.ID)})
	}
	return "", choices, nil
}
