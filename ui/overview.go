package ui

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

func (s *Server) overviewRoutes() []route {
	return []route{{"GET", "/{$}", signedIn, s.overview}}
}

// overviewPage answers "is all well?": some facts, each with where to look, and
// what changed last.
type overviewPage struct {
	page
	// Glass says when the glass was broken lately.
	Glass  []brokenGlass
	Alarms []alarm
	// Tasks are what a new tenant has to do; none when all is done.
	Tasks   []task
	Facts   []fact
	Table   table
	Changes []changeRow
	All     string // the address of all changes
}

// task is a step of a first run.
type task struct {
	Text, Hint, Href string
	Done             bool
}

// fact is one thing to know. One that can't be read says so, and the others still
// show.
type fact struct {
	Title, Text, Href string
	// Lines are its parts.
	Lines []factLine
	// Failed says that it could not be read; Waiting, that it is being counted.
	Failed, Waiting bool
}

type factLine struct {
	Text, Href string
	At         when // zero for none
	Bad        bool
}

type changeRow struct {
	At   when
	Said sentence
	Href string
}

// forOverview is what it takes to see the overview; everybody else comes for her
// own access.
var forOverview = needs{access.ConsolePeople, access.LevelView}

func (s *Server) overview(w http.ResponseWriter, r *http.Request, v *visit) error {
	if !v.meets(forOverview) {
		http.Redirect(w, r, "/me", http.StatusSeeOther)
		return nil
	}
	ctx := r.Context()
	p := &overviewPage{page: v.page("overview.title"), All: v.link("/audit")}
	for _, one := range []struct {
		may  access.PermissionID
		make func(context.Context, *visit) (fact, error)
		name string
		// everywhere facts can't be cut up by sites.
		everywhere bool
	}{
		{access.ConsoleConnections, s.syncFact, "overview.sync", true},
		{access.ConsoleAccess, s.endsFact, "overview.ends", true},
		{access.ConsoleAccess, s.reviewsFact, "overview.reviews", false},
		{access.ConsolePeople, s.peopleFact, "overview.people", false},
	} {
		if !v.may(one.may, access.LevelView) || one.everywhere && v.scoped(one.may, access.LevelView) {
			continue
		}
		f, err := one.make(ctx, v)
		if err != nil {
			s.log.Error("overview", "fact", one.name, "error", err, "request", v.id)
			f = fact{Failed: true}
		}
		f.Title = v.words.t(one.name)
		p.Facts = append(p.Facts, f)
	}
	if v.mayAt(access.ConsoleConnections, access.LevelView, nil) {
		var err error
		if p.Alarms, err = s.alarms(ctx, v); err != nil {
			s.log.Error("overview", "fact", "alarms", "error", err, "request", v.id)
		}
	}
	if v.mayAt(access.ConsoleAudit, access.LevelView, nil) {
		var err error
		if p.Glass, err = s.brokenGlasses(ctx, v); err != nil {
			return err
		}
		changes, err := s.store.Changes(ctx, v.tenant(), 10)
		if err != nil {
			return err
		}
		tell, err := s.teller(ctx, v, changes)
		if err != nil {
			return err
		}
		for _, c := range changes {
			p.Changes = append(p.Changes, changeRow{At: v.instant(c.At), Said: tell.sentence(c), Href: v.link("/audit/" + string(c.ID))})
		}
		p.Table = table{ID: "changes", Caption: v.words.t("overview.changes"), Columns: v.columns("overview.when:narrow", "overview.what")}
	}
	if v.mayAt(access.ConsoleConnections, access.LevelChange, nil) {
		var err error
		if p.Tasks, err = s.tasks(ctx, v); err != nil {
			return err
		}
	}
	return s.render(w, http.StatusOK, "overview", p)
}

// tasks are the steps of a first run, nil when all are done.
func (s *Server) tasks(ctx context.Context, v *visit) ([]task, error) {
	connections, err := s.store.Connections(ctx, v.tenant())
	if err != nil {
		return nil, err
	}
	called := slices.ContainsFunc(connections, func(c store.Connection) bool { return !c.LastRequestAt.IsZero() })
	mapped := slices.ContainsFunc(v.policy.Grants(), func(g access.Grant) bool { return g.Subject.Group != "" })
	steps := []task{
		{v.words.t("overview.task.connect"), v.words.t("overview.task.connect.hint"), v.link("/sync/new"), called},
		{v.words.t("overview.task.products"), v.words.t("overview.task.products.hint"), v.link("/products"), len(v.policy.Products()) > 1},
		{v.words.t("overview.task.map"), v.words.t("overview.task.map.hint"), v.link("/groups"), mapped},
		{v.words.t("overview.task.signin"), v.words.t("overview.task.signin.hint"), v.link("/settings"), v.session.Connection != ""},
	}
	// Signing in is the only step that one can do later.
	if !slices.ContainsFunc(steps[:3], func(t task) bool { return !t.Done }) {
		return nil, nil
	}
	return steps, nil
}

// quiet is how long a provider may be silent before it is worth a word: Entra
// calls every 40 minutes at the latest, Okta when something changes.
const quiet = 24 * time.Hour

func (s *Server) syncFact(ctx context.Context, v *visit) (fact, error) {
	connections, err := s.store.Connections(ctx, v.tenant())
	if err != nil {
		return fact{}, err
	}
	// Nobody calls for the people outside any provider.
	connections = slices.DeleteFunc(connections, func(c store.Connection) bool { return c.IdP == store.IdPLocal })
	f := fact{Href: v.link("/sync")}
	silent, refusing, failing := 0, 0, v.failing()
	for _, c := range connections {
		line := factLine{Href: v.link("/sync/" + string(c.ID))}
		switch {
		case slices.Contains(failing, c.ID):
			line.Text, line.Bad = v.words.t("overview.failing", "name", c.Name), true
			refusing++
		case c.LastRequestAt.IsZero():
			line.Text, line.Bad = v.words.t("overview.never", "name", c.Name), true
		case v.now.Sub(c.LastRequestAt.Time) > quiet:
			line.Text, line.At, line.Bad = v.words.t("overview.quiet", "name", c.Name), v.instant(c.LastRequestAt), true
		default:
			line.Text, line.At = v.words.t("overview.called", "name", c.Name), v.instant(c.LastRequestAt)
		}
		if line.Bad {
			silent++
		}
		f.Lines = append(f.Lines, line)
	}
	switch {
	case len(connections) == 0:
		f.Text = v.words.t("overview.unconnected")
	case refusing > 0:
		f.Text = v.words.n("overview.refusing", refusing)
	case silent > 0:
		f.Text = v.words.n("overview.silent", silent)
	default:
		f.Text = v.words.n("overview.connected", len(connections))
	}
	return f, nil
}

func (s *Server) peopleFact(ctx context.Context, v *visit) (fact, error) {
	f := fact{Href: v.link("/people")}
	all, err := s.countAll(ctx, v)
	if err != nil {
		return f, err
	}
	f.Text = v.words.n("people.count", all)
	if v.scoped(access.ConsolePeople, access.LevelView) {
		areas := v.area(access.ConsolePeople, access.LevelView)
		list, err := s.store.People(ctx, v.tenant(), store.PeopleFilter{Among: []access.Audience{v.own(v.granted(v.policy, v.now, nil), areas)}})
		if err != nil {
			return f, err
		}
		here, err := list.Count(ctx, countPeople)
		if err != nil {
			return f, err
		}
		f.Text = v.words.n("overview.here", here)
		if here > countPeople {
			f.Text = v.words.t("people.many", "n", countPeople)
		} else if all > here {
			f.Lines = append(f.Lines, factLine{Text: v.words.n("people.elsewhere", all-here)})
		}
		return f, nil
	}
	sizes, err := s.store.ConnectionSizes(ctx, v.tenant())
	if err != nil {
		return f, err
	}
	connections, err := s.store.Connections(ctx, v.tenant())
	for _, c := range connections {
		f.Lines = append(f.Lines, factLine{
			Text: v.words.t("overview.from", "people", v.words.n("people.count", sizes[c.ID].Users), "groups", v.words.n("overview.groups", sizes[c.ID].Groups), "name", c.Name),
			Href: v.link(address("/people", nil, "connection", string(c.ID))),
		})
	}
	return f, err
}

func (s *Server) endsFact(ctx context.Context, v *visit) (fact, error) {
	f := fact{}
	ends, ready, err := s.looseEnds(ctx, v)
	if err != nil || !ready {
		f.Waiting = true
		return f, err
	}
	total := 0
	for _, kind := range []struct {
		key, href string
		n         int
	}{
		{"overview.ends.holders", "/settings", len(ends.FewHolders)},
		{"overview.ends.unmapped", "/groups?mapped=no", len(ends.Unmapped)},
		{"overview.ends.without", "", len(ends.WithoutAccess)},
		{"overview.ends.expiring", "", len(ends.Expiring)},
		{"overview.ends.sleeping", "/mappings?state=sleeping", len(ends.Sleeping)},
		{"overview.ends.empty", "/mappings?state=empty", len(ends.Empty)},
		{"overview.ends.orphaned", "/mappings?state=orphaned", len(ends.Orphaned)},
		{"overview.ends.shadow", "/mappings?state=shadow", len(ends.Shadow)},
		{"overview.ends.archived", "/sites?state=archived", len(ends.ArchivedSites)},
		{"overview.ends.unkept", "/invitations?state=open", len(ends.Unkept)},
	} {
		if kind.n == 0 {
			continue
		}
		total += kind.n
		line := factLine{Text: v.words.n(kind.key, kind.n), Bad: kind.key == "overview.ends.holders"}
		if kind.href != "" {
			line.Href = v.link(kind.href)
		}
		f.Lines = append(f.Lines, line)
	}
	f.Text = v.words.n("overview.loose", total)
	if total == 0 {
		f.Text = v.words.t("overview.tidy")
	}
	return f, nil
}

// endsCache keeps what a look through a whole tenant found: with 100,000 people
// it takes seconds.
type endsCache struct {
	mu  sync.Mutex
	all map[store.TenantID]*endsLook
}

// endsLook is one look, in progress until done is closed.
type endsLook struct {
	policy *access.Policy // it was of
	at     time.Time
	done   chan struct{}
	ends   store.LooseEnds
	err    error
}

const (
	// endsAge is how old the loose ends may be; a change of the policy counts at once.
	endsAge = time.Minute
	// endsPatience is how long a page waits for them before it goes without.
	endsPatience = 300 * time.Millisecond
)

// looseEnds gives the loose ends of the visitor's tenant, unless it takes longer
// than a page should: then they are ready at one of the next times.
func (s *Server) looseEnds(ctx context.Context, v *visit) (ends store.LooseEnds, ready bool, err error) {
	tenant := v.tenant()
	s.ends.mu.Lock()
	look := s.ends.all[tenant]
	if look == nil || look.policy != v.policy || time.Since(look.at) > endsAge {
		look = &endsLook{policy: v.policy, at: time.Now(), done: make(chan struct{})}
		if s.ends.all == nil || len(s.ends.all) >= 1000 {
			s.ends.all = map[store.TenantID]*endsLook{}
		}
		s.ends.all[tenant] = look
		go func(ctx context.Context) {
			defer close(look.done)
			look.ends, look.err = s.store.LooseEnds(ctx, tenant)
		}(context.WithoutCancel(ctx))
	}
	s.ends.mu.Unlock()
	select {
	case <-look.done:
		return look.ends, true, look.err
	case <-time.After(endsPatience):
		return store.LooseEnds{}, false, nil
	}
}
