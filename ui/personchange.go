package ui

import (
	"errors"
	"fmt"
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
		{"GET", "/people/{id}/unlink", change, s.unlinkPage},
		{"POST", "/people/{id}/unlink", change, s.unlinkPerson},
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

// unlinkPage says what somebody is to a provider, and what it means to forget that.
type unlinkPage struct {
	page
	Who        step
	Text       string
	Identities []labelled
	Action     string
}

// linked is somebody who is linked to a subject of her provider, whom the visitor may
// change.
func (s *Server) linked(r *http.Request, v *visit) (*shownPerson, []store.Identity, error) {
	if !v.mayAt(access.ConsolePeople, access.LevelChange, nil) {
		return nil, nil, forbidden{needs{access.ConsolePeople, access.LevelChange}}
	}
	one, err := s.see(r.Context(), v, r.PathValue("id"), moment{at: v.now})
	if err != nil {
		return nil, nil, err
	}
	all, err := s.store.Identities(r.Context(), v.tenant(), one.ID)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("subject of user %s: %w", one.ID, store.ErrNotFound)
	}
	return one, all, err
}

func (s *Server) unlinkPage(w http.ResponseWriter, r *http.Request, v *visit) error {
	one, all, err := s.linked(r, v)
	if err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "unlink", &unlinkPage{
		page: v.page("person.do.unlink"), Who: step{Text: one.called(), Href: "/people/" + string(one.ID)},
		Text: v.words.t("person.unlink.text", "name", one.called()), Identities: v.identities(all), Action: r.URL.Path,
	})
}

// unlinkPerson forgets who somebody is to her provider, and ends what was opened by
// that.
func (s *Server) unlinkPerson(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	one, _, err := s.linked(r, v)
	if err != nil {
		return err
	}
	c := store.ConnectionRef{Tenant: v.tenant(), ID: one.Connection}
	err = s.store.Write(ctx, v.actor(), func(tx *store.Tx) error { return tx.Unlink(ctx, c, one.ID) })
	if errors.Is(err, store.ErrNotFound) {
		return errStale // somebody else did so just now
	}
	if err != nil {
		return err
	}
	return s.say(w, r, "/people/"+string(one.ID), "", "person.unlinked", "name", one.called())
}

// identities are what somebody is to her provider, by the provider's own names.
func (v *visit) identities(all []store.Identity) (rows []labelled) {
	for _, one := range all {
		rows = append(rows, labelled{Label: v.words.t("person.issuer"), Text: one.Issuer}, labelled{Label: v.words.t("person.subject"), Text: one.Subject},
			labelled{Label: v.words.t("person.linked"), Text: v.words.clock(one.CreatedAt.In(v.zone))})
	}
	return rows
}
