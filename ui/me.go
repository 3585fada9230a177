package ui

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gatehouse/access"
	"gatehouse/store"
)

func (s *Server) meRoutes() []route {
	return []route{
		{"GET", "/me", needs{access.ConsoleOwn, access.LevelView}, s.me},
		{"POST", "/me/sessions/end", signedIn, s.endOwnSession},
		{"POST", "/me/sessions/end-others", signedIn, s.endOtherSessions},
	}
}

// mePage is what somebody may do herself, why, and whom to ask for more.
type mePage struct {
	page
	UserName string
	AsOf     asOf
	Holdings []holding
	Empty    empty
	Until    when // the end of the account; zero for none
	Ask      ask
	Sessions *sessionList
	// Passkeys says that no provider signs the visitor in.
	Passkeys bool
}

// ask is whom somebody asks for access, and the mail that does.
type ask struct {
	Names []string
	// Mail is the address of a letter that is begun for her; "" when nobody who can
	// help has an address.
	Mail string
}

func (s *Server) me(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	at, past, err := v.at(r)
	if err != nil {
		return err
	}
	m := moment{at, past}
	p := &mePage{page: v.page("me.title"), UserName: v.person.UserName, AsOf: v.asOf("/me", m), Passkeys: v.session.Connection == ""}
	why, err := s.ownWhys(ctx, v, m)
	if err != nil {
		return err
	}
	p.Holdings, _ = why.holdings()
	p.Holdings = slices.DeleteFunc(p.Holdings, plain)
	for i := range p.Holdings {
		p.Holdings[i].Levels = nil
	}
	if !own(p.Holdings) {
		p.Empty.Text = v.words.t("me.nothing")
		if past {
			p.Empty.Text = v.words.t("me.nothingThen")
		}
	}
	if end := v.person.Person.ExpiresAt; !end.IsZero() {
		p.Until = v.when(end)
	}
	if p.Ask, err = s.whomToAsk(ctx, v); err != nil {
		return err
	}
	if !past {
		if p.Sessions, err = s.sessionList(ctx, v, v.session.UserID); err != nil {
			return err
		}
	}
	return s.render(w, http.StatusOK, "me", p)
}

// ownWhys says what the visitor has, or had, and why.
func (s *Server) ownWhys(ctx context.Context, v *visit, m moment) (*whys, error) {
	subject, policy := v.person.Subject, v.policy
	groups, err := s.groupNames(ctx, v, subject.Groups)
	if err != nil {
		return nil, err
	}
	if m.past {
		if policy, err = v.policyAt(ctx, m.at); err != nil {
			return nil, err
		}
		facts, err := s.store.FactsOf(ctx, v.tenant(), v.session.UserID, m.at)
		if err != nil && !errors.Is(err, store.ErrNotFound) { // she came later
			return nil, err
		}
		subject = facts.Subject(access.UserID(v.session.UserID))
		for id, group := range facts.Groups {
			groups[id] = group.Name
		}
	}
	why, err := s.why(ctx, v, policy, subject, m, nil)
	if err != nil {
		return nil, err
	}
	why.start, why.groups = way{{Text: v.words.t("me.you")}}, groups
	memberships, err := s.store.Memberships(ctx, v.tenant(), v.session.UserID, 1000)
	why.join(memberships)
	return why, err
}

// maxHelpers is how many people are named who can help.
const maxHelpers = 5

// whomToAsk are the sponsor of a guest, and those who may change who may do what:
// everywhere, or at least somewhere.
func (s *Server) whomToAsk(ctx context.Context, v *visit) (ask, error) {
	var a ask
	said, err := s.store.Person(ctx, v.tenant(), v.session.UserID)
	if err != nil {
		return a, err
	}
	var to []store.UserID
	if said.Sponsor != "" {
		to = append(to, said.Sponsor)
	}
	helpers, err := s.holders(ctx, v, access.ConsoleAccess, nil)
	if err != nil {
		return a, err
	}
	for _, helper := range helpers {
		if id := store.UserID(helper.ID); !slices.Contains(to, id) && id != v.session.UserID {
			to = append(to, id)
		}
	}
	var mail []string
	for _, id := range to[:min(len(to), maxHelpers)] {
		one, err := s.store.PersonRecord(ctx, v.tenant(), id)
		if err != nil {
			return a, err
		}
		a.Names = append(a.Names, name(store.Somebody{UserName: one.UserName, DisplayName: one.DisplayName}))
		if address := mailOf(one); address != "" {
			mail = append(mail, url.PathEscape(address))
		}
	}
	if len(mail) > 0 {
		a.Mail = "mailto:" + strings.Join(mail, ",") + "?subject=" + url.PathEscape(v.words.t("me.mail.subject")) +
			"&body=" + url.PathEscape(v.words.t("me.mail.body", "name", name(v.person), "userName", v.person.UserName))
	}
	return a, nil
}

// holders are those who have a right of the console at a place, at most maxHelpers;
// a nil place is everywhere.
func (s *Server) holders(ctx context.Context, v *visit, right access.PermissionID, place access.Place) (all []store.Somebody, err error) {
	q := access.Question{Product: access.ConsoleID, Permission: right, Level: access.LevelChange, Place: place}
	found, policy, err := s.store.Granted(ctx, v.tenant(), q, false, "", 100)
	for _, one := range found {
		if policy.Allows(one.Subject, q, v.now) && len(all) < maxHelpers {
			all = append(all, one)
		}
	}
	return all, err
}

// mailOf is somebody's e-mail address; "" if none is known.
func mailOf(one store.PersonRecord) string {
	mail := cmp.Or(first(document(one.Doc), "emails"), one.UserName)
	if strings.Count(mail, "@") != 1 || strings.ContainsAny(mail, " \r\n\t,?&") {
		return ""
	}
	return mail
}

// sessionList are somebody's sessions.
type sessionList struct {
	Table table
	Rows  []sessionRow
	// End says that each can be ended.
	End bool
}

type sessionRow struct {
	ID                       store.SessionID
	Device, Address, Method  string
	Created, Seen, ExpiresAt when
	Current                  bool
}

func (s *Server) sessionList(ctx context.Context, v *visit, user store.UserID) (*sessionList, error) {
	sessions, err := s.store.Sessions(ctx, v.tenant(), user)
	l := &sessionList{End: user == v.session.UserID, Table: table{ID: "sessions", Caption: v.words.t("me.sessions"),
		Columns: v.columns("me.device", "me.signedIn:narrow", "me.seen:narrow", "me.address:narrow")}}
	if l.End {
		l.Table.Columns = append(l.Table.Columns, v.columns("me.end:narrow")...)
	}
	for _, one := range sessions {
		l.Rows = append(l.Rows, sessionRow{
			ID: one.ID, Device: cmp.Or(device(one.UserAgent), v.words.t("me.someDevice")), Address: one.Address,
			Method: v.words.t("me.method." + strings.ReplaceAll(one.Method, "-", "")), Created: v.instant(one.CreatedAt), Seen: v.instant(one.SeenAt),
			Current: one.ID == v.session.ID,
		})
	}
	return l, err
}

// device is the browser and the system that a User-Agent names; "" for others.
func device(userAgent string) string {
	var parts []string
	for _, known := range [][][2]string{
		{{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"}},
		{{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"Android", "Android"}, {"Windows", "Windows"}, {"Mac OS", "macOS"}, {"Linux", "Linux"}},
	} {
		for _, one := range known {
			if strings.Contains(userAgent, one[0]) {
				parts = append(parts, one[1])
				break
			}
		}
	}
	return strings.Join(parts, ", ")
}

// endOwnSession ends one of the visitor's own sessions; nobody else's.
func (s *Server) endOwnSession(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	id := store.SessionID(r.PostFormValue("id"))
	own, err := s.store.Sessions(ctx, v.tenant(), v.session.UserID)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(own, func(one store.Session) bool { return one.ID == id }) {
		return errStale
	}
	err = s.store.Write(ctx, v.actor(), func(tx *store.Tx) error { return tx.EndSession(ctx, id) })
	if err != nil {
		return err
	}
	return s.say(w, r, "/me", "", "me.ended")
}

// endOtherSessions signs the visitor out everywhere else.
func (s *Server) endOtherSessions(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	err := s.store.Write(ctx, v.actor(), func(tx *store.Tx) error {
		_, err := tx.EndSessionsOf(ctx, v.session.UserID, v.session.ID)
		return err
	})
	if err != nil {
		return err
	}
	return s.say(w, r, "/me", "", "me.endedOthers")
}
