package ui

import (
	"net/http"
	"regexp"
)

// demoMailRoutes are there in the demo alone.
func (s *Server) demoMailRoutes() []route {
	if s.shown == nil {
		return nil
	}
	return []route{{"GET", "/demo/mail", anybody, s.demoMail}}
}

// demoMailPage shows the mails that the demo would have sent, the newest first.
type demoMailPage struct {
	page
	Mails []demoMail
}

type demoMail struct {
	To, Subject string
	At          when
	// Before and After are the text around the link in it.
	Before, Link, After string
}

var linkInMail = regexp.MustCompile(`https?://\S+`)

func (s *Server) demoMail(w http.ResponseWriter, r *http.Request, v *visit) error {
	_ = s.recognise(r, v) // only for the navigation
	p := &demoMailPage{page: v.page("demomail.title")}
	for _, m := range s.shown.Messages() {
		one := demoMail{To: m.To, Subject: m.Subject, At: v.when(m.At), Before: m.Text}
		if at := linkInMail.FindStringIndex(m.Text); at != nil {
			one.Before, one.Link, one.After = m.Text[:at[0]], m.Text[at[0]:at[1]], m.Text[at[1]:]
		}
		p.Mails = append(p.Mails, one)
	}
	return s.render(w, http.StatusOK, "demomail", p)
}
