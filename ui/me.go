package ui

import (
	"errors"
	"net/http"

	"gatehouse/access"
	"gatehouse/store"
)

func (s *Server) meRoutes() []route {
	return []route{{"GET", "/me", needs{access.ConsoleOwn, access.LevelView}, s.me}}
}

// mePage is what somebody may do herself.
type mePage struct {
	page
	UserName string
	// At is the instant of the past that it is about; zero for now.
	At     when
	Access []chip
	Empty  empty
	Owners []string
}

func (s *Server) me(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	at, past, err := v.at(r)
	if err != nil {
		return err
	}
	p := &mePage{page: v.page("me.title"), UserName: v.person.UserName, Owners: v.owners(ctx)}
	subject, policy := v.person.Subject, v.policy
	if past {
		p.At = v.when(at)
		if policy, err = s.store.PolicyAt(ctx, v.tenant(), at); err != nil {
			return err
		}
		subject, err = s.store.SubjectAt(ctx, v.tenant(), v.session.UserID, at)
		if err != nil && !errors.Is(err, store.ErrNotFound) { // she came later
			return err
		}
	}
	p.Access, _ = v.granted(policy, at, nil).chips(subject)
	if len(p.Access) == 0 {
		p.Empty.Text = v.words.t("me.nothing")
	}
	return s.render(w, http.StatusOK, "me", p)
}
