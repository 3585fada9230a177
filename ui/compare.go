package ui

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// comparePage is what two people have, or what somebody had on two days.
type comparePage struct {
	page
	Who      step
	With     field
	From, To field
	Error    string
	Choices  []step // of several people of a name
	// Other is whom she is compared with.
	Other step
	Parts []comparePart
	// Days says that two days of one person are compared.
	Days     bool
	Caption  string
	Table    table
	Changes  []differenceRow
	Same     bool
	Timeline *timeline
}

// comparePart is what both have, or only one.
type comparePart struct {
	Title string
	Chips []chip
}

type differenceRow struct {
	What, Where, Before, After string
	Bad                        bool
	Gained, Lost               []way
}

func (s *Server) comparePage(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx, query := r.Context(), r.URL.Query()
	one, err := s.see(ctx, v, r.PathValue("id"), moment{at: v.now})
	if err != nil {
		return err
	}
	with, from, to := strings.TrimSpace(query.Get("with")), query.Get("from"), query.Get("to")
	p := &comparePage{
		page: v.page("person.compareTitle", "name", one.called()),
		Who:  step{Text: one.called(), Href: "/people/" + string(one.ID)},
		With: field{Name: "with", Label: v.words.t("person.with"), Value: with, Type: "search"},
		From: field{Name: "from", Label: v.words.t("person.from"), Value: from, Type: "date"},
		To:   field{Name: "to", Label: v.words.t("person.to"), Value: to, Type: "date", Hint: v.words.t("person.to.hint")},
	}
	switch {
	case with != "":
		err = s.comparePeople(ctx, v, p, one, with)
	case from != "":
		err = s.compareDays(ctx, v, p, one, from, to)
	}
	if err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "compare", p)
}

func (s *Server) comparePeople(ctx context.Context, v *visit, p *comparePage, one *shownPerson, with string) error {
	other, choices, err := s.findPerson(ctx, v, with, func(id string) string {
		return address("/people/"+string(one.ID)+"/compare", nil, "with", id)
	})
	if err != nil {
		return err
	}
	if p.Choices = choices; other == "" {
		if len(choices) == 0 {
			p.With.Error = v.words.t("person.nobody", "name", with)
		}
		return nil
	}
	second, err := s.see(ctx, v, other, moment{at: v.now})
	if err != nil {
		return err
	}
	p.Other, p.With.Value = step{Text: second.called(), Href: "/people/" + other}, second.UserName
	chips := [2]map[chip]bool{}
	for i, someone := range []*shownPerson{one, second} {
		why, err := s.why(ctx, v, someone.policy, someone.subject, someone.moment, someone.within)
		if err != nil {
			return err
		}
		chips[i] = map[chip]bool{}
		holdings, _ := why.holdings()
		for _, h := range holdings {
			for _, l := range h.Lines {
				if !l.Taken {
					chips[i][chip{Text: l.Title, Title: l.Title, Deny: l.Deny}] = true
				}
			}
		}
	}
	var both, left, right []chip
	for c := range chips[0] {
		if chips[1][c] {
			both = append(both, c)
		} else {
			left = append(left, c)
		}
	}
	for c := range chips[1] {
		if !chips[0][c] {
			right = append(right, c)
		}
	}
	p.Parts = []comparePart{
		{v.words.t("person.only", "name", one.called()), left},
		{v.words.t("person.only", "name", second.called()), right},
		{v.words.t("person.both"), both},
	}
	for _, part := range p.Parts {
		slices.SortFunc(part.Chips, func(a, b chip) int { return cmp.Compare(a.Text, b.Text) })
	}
	return nil
}

func (s *Server) compareDays(ctx context.Context, v *visit, p *comparePage, one *shownPerson, from, to string) error {
	p.Days = true
	var looks [2]moment
	for i, day := range []string{from, to} {
		looks[i] = moment{at: v.now, past: day != ""}
		if day == "" {
			continue
		}
		at, past, err := v.endOf(day)
		if err != nil {
			return err
		}
		looks[i] = moment{at, past}
	}
	if looks[1].at.Before(looks[0].at) {
		looks[0], looks[1] = looks[1], looks[0]
	}
	var states [2]access.State
	for i, m := range looks {
		facts, err := s.store.FactsOf(ctx, v.tenant(), one.ID, m.at)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		policy, err := v.policyAt(ctx, m.at)
		if err != nil {
			return err
		}
		states[i] = access.State{Facts: facts, Policy: policy, At: m.at}
	}
	clock := func(m moment) string { return v.words.clock(m.at.In(v.zone)) }
	p.Caption = v.words.t("person.between", "from", clock(looks[0]), "to", clock(looks[1]))
	p.Table = table{ID: "differences", Caption: p.Caption, Hidden: true, Columns: v.columns("because.what", "because.where", "person.before:narrow", "person.after:narrow", "because.why:wide")}
	if err := s.differences(ctx, v, p, one, states); err != nil {
		return err
	}
	p.Same = len(p.Changes) == 0
	if !v.mayAt(access.ConsoleAudit, access.LevelView, nil) {
		return nil
	}
	changes, err := s.store.ChangesTouching(ctx, v.tenant(), store.Touched{User: one.ID}, looks[0].at, looks[1].at.Add(time.Millisecond), "", timelinePage)
	if err != nil {
		return err
	}
	memberships, err := s.store.Memberships(ctx, v.tenant(), one.ID, 1000)
	if err != nil {
		return err
	}
	t, err := s.timeline(ctx, v, "/people/"+string(one.ID), changes, v.comingsAndGoings(memberships))
	p.Timeline = &t
	return err
}

// differences are what changed between two states, for one person.
func (s *Server) differences(ctx context.Context, v *visit, p *comparePage, one *shownPerson, states [2]access.State) error {
	impacts := access.Diff(states[0], states[1])
	if len(impacts) == 0 {
		return nil
	}
	grants := map[access.GrantID]bool{}
	groups := map[access.GroupID]string{}
	for _, state := range states {
		for id, group := range state.Facts.Groups {
			groups[id] = group.Name
		}
	}
	for _, d := range impacts[0].Differences {
		for _, path := range slices.Concat(d.Gained, d.Lost) {
			grants[path.Grant.ID] = true
		}
	}
	opens := v.opens()
	var whysOf [2]*whys
	for i, state := range states {
		whysOf[i] = &whys{v: v, opens: opens, g: &granted{words: v.words, policy: state.Policy, within: one.within}, groups: groups, named: map[access.GroupID]bool{}, start: way{p.Who}}
		if err := s.whyRecords(ctx, whysOf[i], grants, moment{state.At, true}); err != nil {
			return err
		}
	}
	was, w := whysOf[0], whysOf[1]
	for _, d := range impacts[0].Differences {
		if d.Kind == access.Keeps {
			continue
		}
		if one.within != nil && !slices.ContainsFunc(slices.Concat(d.Gained, d.Lost, d.Kept), func(path access.Path) bool { return w.g.inside(path.Grant, one.within) }) {
			continue
		}
		product, there := states[1].Policy.Product(d.Product)
		if !there {
			product, _ = states[0].Policy.Product(d.Product)
		}
		row := differenceRow{
			What:  cmp.Or(product.Name, string(product.ID)) + ": " + w.g.permissionName(d.Permission, product),
			Where: w.area(d.Area, product), Before: cmp.Or(v.words.level(d.Before), v.words.t("because.none")), After: cmp.Or(v.words.level(d.After), v.words.t("because.none")),
			Bad: d.Kind == access.Loses || d.Kind == access.Lowers,
		}
		row.Gained, row.Lost = w.shownWays(d.Gained), was.shownWays(d.Lost)
		p.Changes = append(p.Changes, row)
	}
	return nil
}
