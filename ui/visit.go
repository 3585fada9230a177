package ui

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/internal/web"
	"gatehouse/store"
)

// visit is one request: who makes it, what she may do, and how she reads.
type visit struct {
	server *Server
	ctx    context.Context
	words  *words
	zone   *time.Location
	prefs  preferences
	flash  string // the cookie
	packed bool   // the browser takes gzip
	path   string // with the query
	now    time.Time
	id     string // of the request
	base   string // what others call this server by
	kept   *keptForm

	// The rest is of somebody who is signed in.
	session store.Session
	person  store.Somebody
	policy  *access.Policy
	held    access.Held // of the console
}

func (s *Server) newVisit(r *http.Request) *visit {
	v := &visit{server: s, ctx: r.Context(), prefs: readPreferences(r), zone: s.zone, path: r.URL.RequestURI(), now: time.Now(), id: web.RequestID(r.Context())}
	v.base = s.base(r)
	v.packed = strings.Contains(r.Header.Get("Accept-Encoding"), "gzip")
	if s.store != nil {
		v.now = s.store.Now()
	}
	if zone, err := time.LoadLocation(v.prefs.Zone); err == nil && v.prefs.Zone != "" {
		v.zone = zone
	}
	v.words = s.words[s.language(v.prefs.Language, r.Header.Get("Accept-Language"))]
	if cookie, err := r.Cookie(flashCookie); err == nil {
		v.flash = cookie.Value
	}
	return v
}

// recognise finds out who it is. ErrNotFound when nobody is signed in. The row in
// the database is asked every time: whoever is taken away is out at once.
func (s *Server) recognise(r *http.Request, v *visit) error {
	secret := s.secret(r)
	if secret == "" {
		return fmt.Errorf("session: %w", store.ErrNotFound)
	}
	ctx := r.Context()
	session, err := s.store.Session(ctx, secret)
	if err != nil {
		return err
	}
	person, policy, err := s.store.Somebody(ctx, session.TenantID, string(session.UserID))
	if err != nil {
		return err
	}
	v.session, v.person, v.policy = session, person, v.words.policy(policy)
	v.held = policy.HeldIn(person.Subject, access.ConsoleID, v.now)
	session.SeenAt = store.At(v.now)
	s.seen.Note(session.ID, session, v.now)
	return nil
}

// noteSessions writes down which sessions were used.
func (s *Server) noteSessions(ctx context.Context, all bool) {
	used := s.seen.Take(time.Now(), all)
	if len(used) == 0 {
		return
	}
	err := s.store.Write(ctx, store.Actor{Kind: store.ActorSystem}, func(tx *store.Tx) error { return tx.TouchSessions(ctx, used) })
	if err != nil {
		s.log.Warn("note the use of sessions", "error", err)
	}
}

func (v *visit) signedIn() bool         { return v.session.ID != "" }
func (v *visit) tenant() store.TenantID { return v.session.TenantID }

// actor is who changes something by this request.
func (v *visit) actor() store.Actor {
	return store.Actor{Tenant: v.tenant(), Kind: store.ActorPerson, ID: string(v.session.UserID), RequestID: v.id}
}

// meets reports whether the visitor has what a route needs.
func (v *visit) meets(n needs) bool {
	switch n {
	case anybody:
		return true
	case signedIn:
		return v.signedIn()
	}
	return v.may(n.permission, n.level)
}

// may reports whether the visitor has the right anywhere at all.
func (v *visit) may(permission access.PermissionID, level access.Level) bool {
	return len(v.area(permission, level)) > 0
}

// mayAt reports whether the visitor has the right at a place; nil asks for
// everywhere.
func (v *visit) mayAt(permission access.PermissionID, level access.Level, place access.Place) bool {
	return v.policy != nil && v.policy.Allows(v.person.Subject,
		access.Question{Product: access.ConsoleID, Permission: permission, Level: level, Place: place}, v.now)
}

// area is where the visitor has the right: several areas may meet.
func (v *visit) area(permission access.PermissionID, level access.Level) []access.Area {
	var all []access.Area
	for _, item := range v.held.Items {
		if item.Permission == permission && (item.Level == level || item.Level == access.LevelChange) {
			all = append(all, item.Area)
		}
	}
	return all
}

// scoped reports whether the visitor has the right, but not everywhere: whoever
// is so sees what is inside area, and of the rest only how much there is.
func (v *visit) scoped(permission access.PermissionID, level access.Level) bool {
	return v.may(permission, level) && !v.mayAt(permission, level, nil)
}

// link is an address of the console if there is such a page and the visitor may
// open it, and otherwise "".
func (v *visit) link(path string) string {
	u, err := url.Parse(path)
	if err != nil {
		return ""
	}
	_, pattern := v.server.mux.Handler(&http.Request{Method: "GET", URL: u})
	needs, ok := v.server.needs[pattern]
	if !ok || !v.meets(needs) {
		return ""
	}
	return path
}

// when is an instant as this visitor reads it.
func (v *visit) when(t time.Time) when { return when{Time: t.In(v.zone), now: v.now} }

// at is the instant that a page is to show by ?at=, the end of that day where the
// visitor is; not past if the page is about now.
func (v *visit) at(r *http.Request) (at time.Time, past bool, err error) {
	return v.endOf(r.URL.Query().Get("at"))
}

// endOf is at for a text.
func (v *visit) endOf(text string) (at time.Time, past bool, err error) {
	if text == "" {
		return v.now, false, nil
	}
	at, err = time.Parse(time.RFC3339, text)
	if err != nil {
		day, err := time.ParseInLocation(time.DateOnly, text, v.zone)
		if err != nil {
			return v.now, false, badRequest{"problem.at"}
		}
		at = day.AddDate(0, 0, 1).Add(-time.Millisecond)
	}
	if !at.Before(v.now) {
		return v.now, false, nil
	}
	return at, true, nil
}

// toCome reports whether a text is about a day that hasn't begun.
func (v *visit) toCome(text string) bool {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.ParseInLocation(time.DateOnly, text, v.zone)
	}
	return err == nil && at.After(v.now)
}

// theDay reads a day of a form, its beginning where the visitor is. A year that no
// calendar of ours needs is no day: later ones can't be written down in the log.
func (v *visit) theDay(text string) (time.Time, bool) {
	at, err := time.ParseInLocation(time.DateOnly, text, v.zone)
	return at, err == nil && at.Year() >= 2000 && at.Year() <= 2200
}

// owners are the names of those who can help with anything, at most five.
func (v *visit) owners(ctx context.Context) []string {
	if v.policy == nil {
		return nil
	}
	facts := access.Facts{People: map[access.UserID]access.Person{}}
	names := map[access.UserID]string{}
	for _, id := range v.policy.OwnerCandidates() {
		if one, _, err := v.server.store.Somebody(ctx, v.tenant(), string(id)); err == nil {
			facts.People[id], names[id] = one.Person, name(one)
		}
	}
	var all []string
	for _, id := range access.Owners(access.State{Facts: facts, Policy: v.policy, At: v.now}) {
		all = append(all, names[id])
	}
	slices.Sort(all)
	return all[:min(len(all), 5)]
}

// name is what people call somebody.
func name(one store.Somebody) string {
	if strings.TrimSpace(one.DisplayName) == "" {
		return one.UserName
	}
	return one.DisplayName
}
