package ui

import (
	"encoding/json"
	"net/http"
	"strings"
)

// onceCookie carries a secret that was just made from the answer to a form to the
// page that shows it, once. It is sealed for that page of that visitor, and gone when
// the page has come.
const onceCookie = "gatehouse-once"

// onceLife is how long a browser may take to come for the page, in seconds.
const onceLife = 120

// once is what a page shows once: secrets of which only hashes are kept.
type once struct {
	// Token is a SCIM token, Link a set-up link, Client the secret of an OAuth client,
	// Webhook that of a webhook, Invitation the link or code of one.
	Token      string `json:"t,omitempty"`
	Link       string `json:"l,omitempty"`
	Client     string `json:"c,omitempty"`
	Webhook    string `json:"w,omitempty"`
	Invitation string `json:"i,omitempty"`
}

// tell answers a POST that made secrets: to is the page that shows them, to a
// holder, who is a session or a link.
func (s *Server) tell(w http.ResponseWriter, r *http.Request, to, holder string, o once) error {
	path, _, _ := strings.Cut(to, "?")
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{
		Name: onceCookie, Value: s.opts.Sealer.Seal(onceFor(path, holder), string(text)),
		Path: path, MaxAge: onceLife, HttpOnly: true, Secure: !s.plain(r), SameSite: http.SameSiteStrictMode,
	})
	return s.redirect(w, r, to)
}

func onceFor(path, holder string) string { return "once " + holder + " " + path }

// told gives what this page has to show, and takes it away.
func (s *Server) told(w http.ResponseWriter, r *http.Request, holder string) once {
	var o once
	cookie, err := r.Cookie(onceCookie)
	if err != nil {
		return o
	}
	http.SetCookie(w, &http.Cookie{Name: onceCookie, Path: r.URL.Path, MaxAge: -1, HttpOnly: true, Secure: !s.plain(r), SameSite: http.SameSiteStrictMode})
	text, err := s.opts.Sealer.Open(onceFor(r.URL.Path, holder), cookie.Value)
	if err != nil || json.Unmarshal([]byte(text), &o) != nil {
		return once{}
	}
	return o
}
