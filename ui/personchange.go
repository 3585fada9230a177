package ui

import (
	"net/http"
	"net/url"
	"time"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"
)

func (s *Server) personChangeRoutes() []route {
	change := needs{access.ConsolePeople, access.LevelChange}
	return []route{
		{"GET", "/people/{id}/block", change, s.blockPerson},
		{"POST", "/people/{id}/block", change, s.blockPerson},
		{"GET", "/people/{id}/unblock", change, s.unblockPerson},
		{"POST", "/people/{id}/unblock", change, s.unblockPerson},
		{"GET", "/people/{id}/expiry", change, s.expirePerson},
		{"POST", "/people/{id}/expiry", change, s.expirePerson},
	}
}

// personChangePage is a change of what is said of somebody, with what it does.
type personChangePage struct {
	page
	Who   step
	Text  string
	Until field // the end of the account; without a name there is none to choose
	Panel *panel
}

// blockPerson keeps somebody out, whatever the provider says.
func (s *Server) blockPerson(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.changePerson(w, r, v, "person.do.block", "person.block.text", func(p *store.Person) error {
		p.LoginAllowed = false
		return nil
	})
}

// unblockPerson lets somebody in again.
func (s *Server) unblockPerson(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.changePerson(w, r, v, "person.do.unblock", "person.unblock.text", func(p *store.Person) error {
		p.LoginAllowed = true
		return nil
	})
}

// expirePerson chooses the last day of an account, in ?until=; an empty one takes the
// end away.
func (s *Server) expirePerson(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.changePerson(w, r, v, "person.do.expiry", "person.expiry.text", func(p *store.Person) error {
		until := r.URL.Query().Get("until")
		if until == "" {
			p.ExpiresAt = time.Time{}
			return nil
		}
		day, ok := v.theDay(until)
		if !ok {
			return badRequest{"problem.at"}
		}
		p.ExpiresAt = day.AddDate(0, 0, 1)
		return nil
	})
}

// changePerson shows what a change of what is said of somebody does, and makes it.
func (s *Server) changePerson(w http.ResponseWriter, r *http.Request, v *visit, title, text string, change func(*store.Person) error) error {
	if !v.mayAt(access.ConsolePeople, access.LevelChange, nil) {
		return forbidden{needs{access.ConsolePeople, access.LevelChange}}
	}
	one, err := s.see(r.Context(), v, r.PathValue("id"), moment{at: v.now})
	if err != nil {
		return err
	}
	if !one.DeletedAt.IsZero() {
		return store.ErrNotFound
	}
	back := "/people/" + string(one.ID)
	p := &personChangePage{page: v.page(title), Who: step{Text: one.called(), Href: back}, Text: v.words.t(text, "name", one.called())}
	query := r.URL.Query()
	action := r.URL.Path
	if title == "person.do.expiry" {
		action += "?until=" + url.QueryEscape(query.Get("until"))
		p.Until = field{Name: "until", Label: v.words.t("person.until"), Hint: v.words.t("person.until.hint"), Type: "date", Value: query.Get("until")}
		if end := one.Said.ExpiresAt; !query.Has("until") && !end.IsZero() {
			p.Until.Value = end.In(v.zone).Add(-time.Second).Format(time.DateOnly)
		}
		if !query.Has("until") {
			p.Panel = &panel{Waiting: v.words.t("person.until.choose")}
			return s.render(w, http.StatusOK, "personchange", p)
		}
	}
	said := one.Said
	if err := change(&said); err != nil {
		return err
	}
	return s.propose(w, r, v, proposal{
		Proposal: impact.Proposal{People: []impact.PersonChange{{User: one.ID, Person: said}}},
		action:   action, done: back,
	}, func(status int, panel *panel) error {
		p.Panel = panel
		return s.render(w, status, "personchange", p)
	})
}
