package ui

import (
	"encoding/base64"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gorilla/sessions"

	"gatehouse/store"
)

// sessionCookie is the name of the cookie that says who somebody is. A browser
// takes __Host- only over TLS from the host itself; on one's own machine, without
// TLS, the cookie goes without it.
const sessionCookie = "gatehouse"

// cookies is a gorilla store that carries the secret of a session in a cookie and
// nothing else: the row in the database is the truth.
type cookies struct{ options sessions.Options }

// cookiesFor are the cookies of a request.
func (s *Server) cookiesFor(r *http.Request) (*cookies, string) {
	c := &cookies{sessions.Options{Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode}}
	if s.plain(r) {
		c.options.Secure = false
		return c, sessionCookie
	}
	return c, "__Host-" + sessionCookie
}

// plain reports whether the browser talks to its own machine, without TLS.
func (s *Server) plain(r *http.Request) bool {
	if r.TLS != nil || strings.HasPrefix(s.url, "https://") {
		return false
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Get is for gorilla: the session of a request, the same at every call.
func (c *cookies) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(c, name)
}

// New is for gorilla: what the request's cookie says.
func (c *cookies) New(r *http.Request, name string) (*sessions.Session, error) {
	session := sessions.NewSession(c, name)
	session.Options = &c.options
	session.IsNew = true
	if cookie, err := r.Cookie(name); err == nil {
		session.ID, session.IsNew = cookie.Value, false
	}
	return session, nil
}

// Save is for gorilla: it sets the cookie, or removes it if there is no id.
func (c *cookies) Save(_ *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	options := *session.Options
	if session.ID == "" {
		options.MaxAge = -1
	}
	http.SetCookie(w, sessions.NewCookie(session.Name(), session.ID, &options))
	return nil
}

// secret is what the browser shows of its session; "" if it has none.
func (s *Server) secret(r *http.Request) string {
	c, name := s.cookiesFor(r)
	session, err := c.Get(r, name)
	if err != nil {
		return ""
	}
	return session.ID
}

// keepSecret gives the browser the secret of a new session, in place of any that
// it had; "" takes it away.
func (s *Server) keepSecret(w http.ResponseWriter, r *http.Request, secret string) error {
	c, name := s.cookiesFor(r)
	session, err := c.New(r, name)
	if err != nil {
		return err
	}
	session.ID = secret
	return session.Save(r, w)
}

// preferences are what somebody chose for this browser.
type preferences struct{ Language, Theme, Zone string }

const (
	preferencesCookie = "gatehouse-preferences"
	flashCookie       = "gatehouse-flash"
)

// themes are those that can be chosen; "" is the system's.
var themes = []string{"", "light", "dark"}

// someZones are time zones to choose from (the IANA database's names): one or more
// of each hour, from west to east.
var someZones = []string{
	"Pacific/Honolulu", "America/Anchorage", "America/Los_Angeles", "America/Denver", "America/Phoenix", "America/Chicago", "America/Mexico_City",
	"America/New_York", "America/Bogota", "America/Halifax", "America/Curacao", "America/Santiago", "America/Paramaribo", "America/Sao_Paulo",
	"Atlantic/Azores", "UTC", "Europe/Lisbon", "Europe/London", "Africa/Casablanca", "Africa/Lagos", "Europe/Amsterdam", "Europe/Berlin",
	"Europe/Brussels", "Europe/Madrid", "Europe/Paris", "Africa/Johannesburg", "Europe/Athens", "Europe/Helsinki", "Europe/Kyiv",
	"Europe/Istanbul", "Africa/Nairobi", "Asia/Riyadh", "Asia/Tehran", "Asia/Dubai", "Asia/Karachi", "Asia/Kolkata", "Asia/Dhaka",
	"Asia/Jakarta", "Asia/Singapore", "Asia/Shanghai", "Australia/Perth", "Asia/Tokyo", "Australia/Adelaide", "Australia/Sydney", "Pacific/Auckland",
}

// zones are the time zones to choose from, Options.Zone among them.
func (s *Server) zones() []string {
	if own := s.zone.String(); !slices.Contains(someZones, own) {
		return append([]string{own}, someZones...)
	}
	return someZones
}

func readPreferences(r *http.Request) preferences {
	var p preferences
	cookie, err := r.Cookie(preferencesCookie)
	if err != nil {
		return p
	}
	values, err := url.ParseQuery(cookie.Value)
	if err != nil {
		return p
	}
	if slices.Contains(languages, values.Get("language")) {
		p.Language = values.Get("language")
	}
	if slices.Contains(themes, values.Get("theme")) {
		p.Theme = values.Get("theme")
	}
	if slices.Contains(someZones, values.Get("zone")) {
		p.Zone = values.Get("zone")
	}
	return p
}

// setPreferences keeps what the form says, and leaves the rest.
func (s *Server) setPreferences(w http.ResponseWriter, r *http.Request, v *visit) error {
	p := v.prefs
	for name, of := range map[string]struct {
		known []string
		to    *string
	}{"language": {languages, &p.Language}, "theme": {themes, &p.Theme}, "zone": {s.zones(), &p.Zone}} {
		value := r.PostFormValue(name)
		switch {
		case !r.PostForm.Has(name):
		case !slices.Contains(of.known, value):
			return badRequest{"problem.invalid"}
		default:
			*of.to = value
		}
	}
	http.SetCookie(w, &http.Cookie{
		Name: preferencesCookie, Value: url.Values{"language": {p.Language}, "theme": {p.Theme}, "zone": {p.Zone}}.Encode(),
		Path: "/", MaxAge: 365 * 24 * 60 * 60, HttpOnly: true, Secure: !s.plain(r), SameSite: http.SameSiteLaxMode,
	})
	return s.redirect(w, r, ownPath(r.PostFormValue("to")))
}

// flash is what a page says once, about what was just done: a text with its
// values, and where to undo it. It is shown as text, so that whoever could forge
// the cookie could only misinform.
type flash struct {
	Key    string   `json:"k"`
	Values []string `json:"v,omitempty"`
	Undo   string   `json:"u,omitempty"`

	Text string `json:"-"`
}

// redirect answers a POST that was done.
func (s *Server) redirect(w http.ResponseWriter, r *http.Request, to string) error {
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// say is redirect with a flash for the page that comes. Undo is the address of
// the page that takes it back; "" if there is none.
func (s *Server) say(w http.ResponseWriter, r *http.Request, to, undo, key string, values ...string) error {
	text, err := json.Marshal(flash{Key: key, Values: values, Undo: undo})
	if err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{
		Name: flashCookie, Value: base64.RawURLEncoding.EncodeToString(text),
		Path: "/", MaxAge: 60, HttpOnly: true, Secure: !s.plain(r), SameSite: http.SameSiteLaxMode,
	})
	return s.redirect(w, r, to)
}

// readFlash gives what the page has to say; nil is nothing.
func (v *visit) readFlash() *flash {
	var f flash
	data, err := base64.RawURLEncoding.DecodeString(v.flash)
	if err != nil || json.Unmarshal(data, &f) != nil {
		return nil
	}
	if _, known := v.words.texts[f.Key]; !known {
		return nil
	}
	values := make([]any, len(f.Values))
	for i, value := range f.Values {
		values[i] = value
	}
	f.Text = v.words.t(f.Key, values...)
	if f.Undo != "" {
		f.Undo = v.link(ownPath(f.Undo))
	}
	return &f
}

func (s *Server) clearFlash(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: flashCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// ownPath is an address of this console, or / if to is anything else: it begins
// with one slash, and browsers take neither a backslash nor anything below a space
// in it for something else.
func ownPath(to string) string {
	if len(to) > 2000 || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsFunc(to, func(c rune) bool {
		return c == '\\' || c <= ' ' || c == 0x7f
	}) {
		return "/"
	}
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || strings.HasPrefix(u.Path, "//") || isAboutSignIn(u.Path) {
		return "/"
	}
	return u.RequestURI()
}

// isAboutSignIn is of pages that nobody wants to be at after signing in.
func isAboutSignIn(path string) bool {
	return path == "/login" || path == "/logout" || strings.HasPrefix(path, "/login/") || strings.HasPrefix(path, "/oidc/")
}

// endSession ends the visitor's session, here and in the browser, and what the
// browser has begun to sign in with.
func (s *Server) endSession(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx, browser := r.Context(), s.cookie(r, signinCookie, "/")
	err := s.store.Write(ctx, v.actor(), func(tx *store.Tx) error {
		if err := tx.EndSignInsFrom(ctx, hash(browser)); err != nil {
			return err
		}
		return tx.EndSession(ctx, v.session.ID)
	})
	if err != nil {
		return err
	}
	return s.forgetSession(w, r)
}

// forgetSession takes away what the browser holds of a session, and of sign-ins that
// it has begun.
func (s *Server) forgetSession(w http.ResponseWriter, r *http.Request) error {
	s.setCookie(w, r, signinCookie, "/", "", 0)
	return s.keepSecret(w, r, "")
}
