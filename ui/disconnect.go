package ui

import (
	"errors"
	"net/http"
	"slices"

	"gatehouse/internal/impact"
	"gatehouse/store"
)

// disconnectPage ends a connection: what becomes of its people is chosen first, and
// shown by name before it is done.
type disconnectPage struct {
	page
	Back   string
	Counts string
	// Choices are what can become of the people; Chosen is the one that is shown.
	Choices []disconnectChoice
	Chosen  string
	Panel   *panel
	// Action is where a form goes that needs no panel, since nobody's access changes.
	Action string
	// Problem is why it can't be done.
	Problem string
}

type disconnectChoice struct {
	Text, Hint, Href string
	Current          bool
}

// leftBehind are the choices, the least harmful first.
var leftBehind = []store.LeftBehind{store.KeepPeople, store.SuspendPeople, store.RemovePeople}

func (s *Server) disconnect(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	c, err := s.connection(r, v, changeConnections)
	if err != nil {
		return err
	}
	if !c.EndedAt.IsZero() { // the form was sent twice
		return s.say(w, r, "/sync", "", "connect.removed")
	}
	people := store.LeftBehind(r.URL.Query().Get("people"))
	if people != "" && !slices.Contains(leftBehind, people) {
		return badRequest{"problem.invalid"}
	}
	sizes, err := s.store.ConnectionSizes(ctx, v.tenant())
	if err != nil {
		return err
	}
	p := &disconnectPage{page: v.page("connect.remove.title", "name", c.Name), Back: "/sync/" + string(c.ID) + "/settings", Chosen: string(people),
		Counts: v.words.t("sync.counts", "people", v.words.n("people.count", sizes[c.ID].Users), "groups", v.words.n("overview.groups", sizes[c.ID].Groups))}
	for _, one := range leftBehind {
		p.Choices = append(p.Choices, disconnectChoice{Text: v.words.t("connect.remove." + string(one)), Hint: v.words.t("connect.removeHint." + string(one)),
			Href: address(r.URL.Path, nil, "people", string(one)), Current: one == people})
	}
	show := func(status int, panel *panel) error {
		p.Panel = panel
		return s.render(w, status, "disconnect", p)
	}
	end := func(tx *store.Tx) error {
		_, err := tx.EndConnection(ctx, c.ID, people)
		return err
	}
	var proposal proposal
	switch people {
	case "":
		if r.Method == http.MethodPost {
			return badRequest{"connect.remove.choose"}
		}
		return show(http.StatusOK, nil)
	case store.SuspendPeople, store.RemovePeople:
		if proposal.Proposal, err = s.suspended(r, v, c); errors.Is(err, store.ErrLimit) {
			p.Problem = v.words.t("connect.remove.many", "n", store.MaxLeftBehind)
			return show(http.StatusConflict, nil)
		}
		if err != nil {
			return err
		}
	}
	p.Action = address(r.URL.Path, nil, "people", string(people))
	if proposal.Empty() {
		if r.Method != http.MethodPost {
			return show(http.StatusOK, nil)
		}
		if err := s.store.Write(ctx, v.actor(), end); err != nil {
			return err
		}
		return s.say(w, r, "/sync", "", "connect.removed")
	}
	proposal.action, proposal.done, proposal.also, proposal.said = p.Action, "/sync", end, "connect.removed"
	return s.propose(w, r, v, proposal, show)
}

// suspended proposes to block all of a connection's people who aren't blocked. Who is
// to be deleted loses the same.
func (s *Server) suspended(r *http.Request, v *visit, c store.Connection) (impact.Proposal, error) {
	people, err := s.store.PeopleOf(r.Context(), c.Ref(), store.MaxLeftBehind+1)
	if err == nil && len(people) > store.MaxLeftBehind {
		err = store.ErrLimit
	}
	var p impact.Proposal
	for _, one := range people {
		if one.LoginAllowed {
			one.LoginAllowed = false
			p.People = append(p.People, impact.PersonChange{User: one.User, Person: one.Person})
		}
	}
	return p, err
}
