package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/internal/policyfile"
	"gatehouse/store"
)

type explainCmd struct {
	Tenant     string   `help:"The tenant." default:"default" placeholder:"NAME"`
	User       string   `help:"The person, by userName or id." required:"" placeholder:"NAME"`
	Connection string   `help:"Where the person comes from, if two connections have that userName." placeholder:"NAME"`
	Product    string   `help:"The product." required:"" placeholder:"ID"`
	Permission string   `help:"What is to be done." required:"" placeholder:"ID"`
	Level      string   `help:"How much of it; the least that the product has, without." placeholder:"LEVEL"`
	Site       []string `help:"Where: a dimension and the key of a site in it; once for each dimension." placeholder:"DIMENSION=KEY" sep:"none"`
	At         string   `help:"When: a day or an instant (RFC 3339); now, without." placeholder:"TIME"`
}

// Help shows an example.
func (explainCmd) Help() string {
	return `Says yes or no, and through which group and grant, or what is missing and who
could mend it. A dimension that no --site names is asked about as a whole.

Example: gatehouse explain --tenant default --user ann@corp.example --product clicktime --permission timesheet --site site=sydney`
}

// explained is the answer.
type explained struct {
	Allowed bool            `json:"allowed"`
	User    string          `json:"user"`
	Name    string          `json:"name"`
	Ask     access.Question `json:"ask"`
	At      time.Time       `json:"at"`
	// Level is what the person has there, enough or not.
	Level   access.Level    `json:"level,omitempty"`
	Because []string        `json:"because,omitempty"`
	Reasons []access.Reason `json:"reasons,omitempty"`
	Missing []string        `json:"missing,omitempty"`
	// Menders could change what is missing.
	Menders []string `json:"menders,omitempty"`
}

// Run explains.
func (c *explainCmd) Run(a *app) error {
	return a.with(c.Tenant, func(st *store.Store, t store.Tenant) error {
		then, at, err := snapshot(a, st, t, c.At)
		if err != nil {
			return err
		}
		user, err := person(then, c.User, c.Connection, c.At)
		if err != nil {
			return err
		}
		state := access.State{Facts: then.Facts, At: at}
		if state.Policy, err = access.NewPolicy(then.Catalogue, then.Grants); err != nil {
			return err
		}
		q, err := c.question(state.Policy)
		if err != nil {
			return err
		}
		words := policyfile.NewWords(then, then.Catalogue)
		e := state.Policy.Explain(state.Facts.Subject(user), q, state.At)
		answer := explained{Allowed: e.Allowed, User: string(user), Name: words.User(user), Ask: q, At: state.At, Level: e.Level}
		for _, path := range e.Through {
			answer.Because = append(answer.Because, words.Path(path))
		}
		for _, m := range e.Missing {
			answer.Reasons = append(answer.Reasons, m.Reasons...)
			if text := missingText(m, words); !slices.Contains(answer.Missing, text) {
				answer.Missing = append(answer.Missing, text)
			}
		}
		if len(answer.Reasons) > 0 {
			for _, id := range access.Menders(state, q, answer.Reasons[0]) {
				answer.Menders = append(answer.Menders, words.User(id))
			}
		}
		return a.print(answer, answer.text(c, q))
	})
}

// snapshot is what there was at an instant as people type it, now without one. A time
// to come is asked about by what is known today.
func snapshot(a *app, st *store.Store, t store.Tenant, text string) (s store.Snapshot, at time.Time, err error) {
	at = st.Now()
	if text != "" {
		now := at
		if at, err = instant(text); err == nil && at.Before(now) {
			s, err = st.SnapshotAt(a.ctx, t.ID, at)
			return s, at, err
		}
	}
	if err == nil {
		s, err = st.Snapshot(a.ctx, t.ID)
	}
	return s, at, err
}

// person finds the one who is asked about, by id or by the name of then.
func person(then store.Snapshot, name, connection, at string) (access.UserID, error) {
	if _, ok := then.Users[access.UserID(name)]; ok {
		return access.UserID(name), nil
	}
	var found []access.UserID
	var connections []string
	for id, named := range then.Users {
		if store.Fold(named.Name) != store.Fold(name) {
			continue
		}
		if connection == "" || store.Fold(named.Connection) == store.Fold(connection) {
			found = append(found, id)
			connections = append(connections, named.Connection)
		}
	}
	slices.Sort(connections)
	switch len(found) {
	case 0:
		if at != "" {
			return "", fmt.Errorf("nobody here had the userName or id %q at %s", name, at)
		}
		return "", fmt.Errorf("nobody here has the userName or id %q", name)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%q is the userName of several people: say --connection %s", name, strings.Join(connections, " or "))
}

// instant reads a point in time as people type it.
func instant(text string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("time %q: want a day such as 2031-06-30, or an instant such as 2031-06-30T17:00:00Z", text)
}

// question looks up the sites.
func (c *explainCmd) question(p *access.Policy) (access.Question, error) {
	q := access.Question{Product: access.ProductID(c.Product), Permission: access.PermissionID(c.Permission), Level: access.Level(c.Level)}
	product, ok := p.Product(q.Product)
	if !ok {
		return q, fmt.Errorf("there is no product %q", c.Product)
	}
	if q.Level == "" {
		q.Level = product.Levels[0]
	}
	for _, word := range c.Site {
		site, err := siteNamed(p, word)
		if err != nil {
			return q, err
		}
		if _, twice := q.Place[site.Dimension]; twice {
			return q, fmt.Errorf("there are two sites of the dimension %q: ask about one", site.Dimension)
		}
		if q.Place == nil {
			q.Place = access.Place{}
		}
		q.Place[site.Dimension] = site.ID
	}
	return q, nil
}

// siteNamed finds a site by its dimension and key.
func siteNamed(p *access.Policy, word string) (access.Site, error) {
	dimension, key, ok := strings.Cut(word, "=")
	if !ok {
		return access.Site{}, fmt.Errorf("site %q: want a dimension and a key, such as site=sydney", word)
	}
	site, ok := p.SiteByKey(access.DimensionID(dimension), key)
	if !ok {
		return access.Site{}, fmt.Errorf("dimension %q has no site with the key %q", dimension, key)
	}
	return site, nil
}

func (e *explained) text(c *explainCmd, q access.Question) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	what := fmt.Sprintf("%s of %s", c.Permission, c.Product)
	if q.Level != access.LevelAllow {
		what += fmt.Sprintf(" at level %s", q.Level)
	}
	if len(c.Site) > 0 {
		what += " at " + strings.Join(c.Site, ", ")
	}
	if c.At != "" {
		what += " (asked about " + e.At.UTC().Format(time.RFC3339) + ")"
	}
	if e.Allowed {
		line("Yes: %s has %s.", e.Name, what)
	} else {
		line("No: %s doesn't have %s.", e.Name, what)
	}
	if e.Level != "" && e.Level != q.Level {
		line("  The level there is %s.", e.Level)
	}
	for _, text := range e.Because {
		if e.Allowed {
			line("  %s", text)
		} else {
			line("  It would come %s", text)
		}
	}
	for _, text := range e.Missing {
		line("  %s", text)
	}
	if len(e.Menders) > 0 {
		const most = 5
		line("  Who could change that: %s", strings.Join(e.Menders[:min(len(e.Menders), most)], ", "))
	}
	return b.String()
}

// missingText is one thing that stands between a person and a yes.
func missingText(m access.Missing, words *policyfile.Words) string {
	reason := m.Reasons[0]
	if reason == access.ArchivedSite {
		m.Name = words.Site(access.SiteID(m.Name))
	}
	if text, ok := reasonTexts[reason]; ok && m.Path == nil {
		return strings.TrimSpace(fmt.Sprintf("%s %s", text, m.Name))
	}
	if reason == access.Denied {
		return "Denied " + words.Path(*m.Path)
	}
	var but []string
	for _, reason := range m.Reasons {
		switch reason {
		case access.NotMember:
			but = append(but, "the person isn't in that group")
		case access.OtherSite:
			but = append(but, "it is for other places")
		case access.LevelTooLow:
			but = append(but, fmt.Sprintf("it gives no more than %s", m.Path.Level))
		case access.Masked:
			but = append(but, "it leaves this out")
		case access.GrantExpired:
			but = append(but, "it has ended")
		case access.NotYetValid:
			but = append(but, "it hasn't begun")
		default:
			but = append(but, strings.TrimSpace("it can't be read: "+strings.ReplaceAll(string(reason), "_", " ")+" "+m.Name))
		}
	}
	return fmt.Sprintf("Nearest is %s; but %s.", words.Grant(*m.Path.Grant), strings.Join(but, ", and "))
}

// reasonTexts are those that no grant has a part in.
var reasonTexts = map[access.Reason]string{
	access.UnknownProduct:    "There is no product",
	access.UnknownPermission: "The product has no permission",
	access.UnknownLevel:      "The product has no level",
	access.UnknownDimension:  "The product has no dimension",
	access.UnknownSite:       "There is no site",
	access.ArchivedSite:      "The site is archived, or one above it:",
	access.UnknownPerson:     "Nobody of that id was there.",
	access.NotActive:         "The identity provider has deactivated the account.",
	access.LoginBlocked:      "Signing in is blocked here.",
	access.AccountExpired:    "The account has expired.",
	access.NoInstant:         "The question is about no point in time.",
	access.NothingGrants:     "No grant gives this to any group, nor to everyone.",
}
