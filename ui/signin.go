package ui

import (
	"errors"
	"net/http"
	"net/url"

	"gatehouse/store"
)

func (s *Server) signinRoutes() []route {
	return []route{
		{"GET", "/login", anybody, s.login},
		{"POST", "/logout", signedIn, s.logout},
	}
}

// loginPage lists the ways to sign in.
type loginPage struct {
	page
	// To is where to go afterwards.
	To string
	// Plain says that a browser would not keep a session: no TLS.
	Plain bool
}

func (s *Server) login(w http.ResponseWriter, r *http.Request, v *visit) error {
	to := ownPath(r.URL.Query().Get("to"))
	switch err := s.recognise(r, v); {
	case err == nil:
		return s.redirect(w, r, to)
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	return s.render(w, http.StatusOK, "login", &loginPage{page: v.page("login.title"), To: to, Plain: r.TLS == nil && s.url == "" && !s.plain(r)})
}

// sendToSignIn is for whoever isn't signed in. A form that was sent is lost, but
// for where it was.
func (s *Server) sendToSignIn(w http.ResponseWriter, r *http.Request) error {
	to := r.URL.RequestURI()
	if r.Method != http.MethodGet {
		to = "/"
		if from, err := url.Parse(r.Referer()); err == nil && from.Host == r.Host {
			to = from.RequestURI()
		}
	}
	return s.redirect(w, r, address("/login", nil, "to", ownPath(to)))
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := s.endSession(w, r, v); err != nil {
		return err
	}
	return s.say(w, r, "/login", "", "login.out")
}
