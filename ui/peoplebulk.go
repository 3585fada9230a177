package ui

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"
)

// maxCrowd bounds how many people are changed at once. What more of them are to have
// is for a group to give.
const maxCrowd = 1000

// bulkPeople is what the list of people offers for those who are ticked. They go to
// the editor of a grant, or to bulkPeople, as user= for each of them or as match= for
// all of the list.
type bulkPeople struct {
	// Match is the address of the list, and All what stands beside its box; "" when it
	// is longer than Most. Map is where groups are mapped.
	Match, All, Map string
	Most            int
	// Change says that the visitor may change people, not only what they have.
	Change bool
}

func (v *visit) bulkPeople(list string, n int) *bulkPeople {
	if !v.may(access.ConsoleAccess, access.LevelChange) {
		return nil
	}
	b := &bulkPeople{Match: list, Most: maxCrowd, Map: v.link("/mappings/new"), Change: v.mayAt(access.ConsolePeople, access.LevelChange, nil)}
	if n <= maxCrowd {
		b.All = v.words.n("people.bulkAll", n)
	}
	return b
}

// crowd is who was chosen on the list of people.
type crowd struct {
	people []store.Somebody // by id, so that the same people make the same proposal
	// gone is how many were ticked who aren't there, or not the visitor's to see.
	gone int
	self bool   // the visitor was chosen, too
	back string // the list
}

// named reports whether an address is about several people.
func named(values url.Values) bool {
	return values.Get("match") != "" || len(values["user"]) > 1
}

// crowd finds the people of an address whom the visitor sees. Whom a filter matches is
// found anew by each request: somebody who comes to match it makes another proposal,
// with another digest.
func (s *Server) crowd(r *http.Request, v *visit, values url.Values) (*crowd, error) {
	ctx, c, ticked := r.Context(), &crowd{back: "/people"}, userIDs(values["user"])
	var list listing
	var err error
	switch match := values.Get("match"); {
	case match != "":
		c.back, ticked = ownPath(match), nil
		list, err = s.matching(ctx, v, c.back)
	case len(ticked) > maxCrowd:
		return nil, badRequest{"people.tooMany"}
	default:
		mine, _ := v.mine()
		list, err = s.store.People(ctx, v.tenant(), store.PeopleFilter{Among: []access.Audience{{Users: ticked}, mine}})
	}
	if err != nil {
		return nil, err
	}
	found, _, err := list.Page(ctx, store.PeopleKey{}, maxCrowd+1)
	if err != nil {
		return nil, err
	}
	if len(found) > maxCrowd {
		return nil, badRequest{"people.tooMany"}
	}
	c.gone = max(0, len(ticked)-len(found))
	// Nobody does to herself what she does to many: that would lock her out, or is for
	// somebody else to give.
	c.people = slices.DeleteFunc(found, func(one store.Somebody) bool { return one.ID == string(v.session.UserID) })
	c.self = len(c.people) < len(found)
	if len(c.people) == 0 && !saving(r) {
		return nil, badRequest{"people.choseNone"}
	}
	slices.SortFunc(c.people, func(a, b store.Somebody) int { return cmp.Compare(a.ID, b.ID) })
	return c, nil
}

// userIDs are those of an address, each once.
func userIDs(texts []string) (all []access.UserID) {
	for _, text := range texts {
		all = append(all, access.UserID(text))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// matching is the list of people at an address: of today, since nobody changes what was.
func (s *Server) matching(ctx context.Context, v *visit, path string) (listing, error) {
	q, err := s.peopleQuery(ctx, v, queryOf(path))
	if err == nil && (q.past || pathOf(path) != "/people") {
		err = badRequest{"problem.invalid"}
	}
	if err != nil {
		return nil, err
	}
	return s.listing(ctx, v, q)
}

// first is one of them, nobody if there is none.
func (c *crowd) first() access.UserID {
	if len(c.people) == 0 {
		return ""
	}
	return c.people[0].Person.ID
}

// crowdNames is how many of a crowd are named in a sentence.
const crowdNames = 5

// text says who they are.
func (c *crowd) text(v *visit) string {
	var names []string
	for _, one := range c.people {
		names = append(names, name(one))
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(store.Fold(a), store.Fold(b)), cmp.Compare(a, b)) })
	if len(names) == 0 {
		return v.words.n("people.count", 0)
	}
	who := v.words.list(names)
	if more := len(names) - crowdNames; more > 0 {
		who = strings.Join(names[:crowdNames], ", ") + " " + v.words.n("impact.more", more)
	}
	return v.words.n("people.crowd", len(names), "names", who)
}

// notes say who is left out.
func (c *crowd) notes(v *visit) (all []string) {
	if c.gone > 0 {
		all = append(all, v.words.n("people.crowdGone", c.gone))
	}
	if c.self {
		all = append(all, v.words.t("people.crowdSelf"))
	}
	return all
}

// grants are a grant to each of them.
func (c *crowd) grants(to access.Grant) []access.Grant {
	all := make([]access.Grant, len(c.people))
	for i, one := range c.people {
		to.Subject = access.Grantee{User: one.Person.ID}
		all[i] = to
	}
	return all
}

// bulkPeople blocks the sign-in of people, allows it again, or sets the last day of
// the accounts of those from outside.
func (s *Server) bulkPeople(w http.ResponseWriter, r *http.Request, v *visit) error {
	if !v.mayAt(access.ConsolePeople, access.LevelChange, nil) {
		return forbidden{needs{access.ConsolePeople, access.LevelChange}}
	}
	values, action, err := s.state(r, v)
	if err != nil {
		return err
	}
	do := values.Get("do")
	var change func(*store.Person)
	switch do {
	case "block", "unblock":
		change = func(p *store.Person) { p.LoginAllowed = do == "unblock" }
	case "expire":
		day, ok := v.theDay(values.Get("last"))
		if !ok {
			return badRequest{"mappings.noDate"}
		}
		change = func(p *store.Person) { p.ExpiresAt = day.AddDate(0, 0, 1) }
	default:
		return badRequest{"problem.invalid"}
	}
	c, err := s.crowd(r, v, values)
	if err != nil {
		return err
	}
	notes := c.notes(v)
	if do == "expire" { // an employee's account is the provider's to end
		all := len(c.people)
		c.people = slices.DeleteFunc(c.people, func(one store.Somebody) bool { return one.Person.Kind == access.KindEmployee })
		if left := all - len(c.people); left > 0 {
			notes = append(notes, v.words.n("people.crowdEmployees", left))
		}
	}
	p := &proposalPage{page: v.page("people.do." + do), Back: c.back, Steps: append([]string{c.text(v), v.words.t("people.does." + do)}, notes...)}
	changes, err := s.changesOf(r, v, c.people, change)
	if err != nil {
		return err
	}
	return s.propose(w, r, v, proposal{Proposal: impact.Proposal{People: changes}, action: action, done: c.back}, func(status int, panel *panel) error {
		p.Panel = panel
		return s.render(w, status, "proposal", p)
	})
}

// changesOf are the changes of those of whom it isn't said so already.
func (s *Server) changesOf(r *http.Request, v *visit, people []store.Somebody, change func(*store.Person)) (all []impact.PersonChange, err error) {
	for _, one := range people {
		was, err := s.store.Person(r.Context(), v.tenant(), store.UserID(one.ID))
		if err != nil {
			return nil, err
		}
		is := was
		change(&is)
		if is.LoginAllowed != was.LoginAllowed || !is.ExpiresAt.Equal(was.ExpiresAt) {
			all = append(all, impact.PersonChange{User: store.UserID(one.ID), Person: is})
		}
	}
	return all, nil
}
