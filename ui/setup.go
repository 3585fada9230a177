package ui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"

	"gatehouse/store"
)

func (s *Server) setupRoutes() []route {
	routes := []route{
		{"GET", "/sync/new", changeConnections, s.setupChoose},
		{"GET", "/sync/{connection}/setup", changeConnections, s.setup},
		{"POST", "/sync/{connection}/tokens", changeConnections, s.tokenAdd},
		{"GET", "/setup/{token}", anybody, s.setupByLink},
		{"POST", "/setup/{token}/tokens", anybody, s.tokenAddByLink},
	}
	for _, g := range guides {
		routes = append(routes,
			route{"GET", "/sync/new/" + g.id, changeConnections, s.setupNew},
			route{"POST", "/sync/new/" + g.id, changeConnections, s.setupCreate})
	}
	return routes
}

// guide is how one kind of provider is set up.
type guide struct {
	id, idp string
	// steps are the keys of its texts, each setup.ID.STEP; of some the values to copy
	// come behind the text.
	steps []guideStep
}

type guideStep struct {
	key    string
	values []string // url, token
}

// guides are those of the providers that there are words for, by the names of their
// own buttons.
var guides = []guide{
	{"entra", store.IdPEntra, []guideStep{
		{"setup.entra.app", nil}, {"setup.entra.connect", []string{"setup.label.tenantURL", "setup.label.secretToken"}}, {"setup.entra.test", nil},
		{"setup.entra.mapping", nil}, {"setup.entra.scope", nil}, {"setup.entra.demand", nil}, {"setup.entra.start", nil},
	}},
	{"okta", store.IdPOkta, []guideStep{
		{"setup.okta.app", nil}, {"setup.okta.scim", nil}, {"setup.okta.connect", []string{"setup.label.baseURL", "setup.label.authorization"}}, {"setup.okta.test", nil},
		{"setup.okta.toapp", nil}, {"setup.okta.assign", nil}, {"setup.okta.push", nil},
	}},
	{"keycloak", store.IdPGeneric, []guideStep{
		{"setup.keycloak.extension", nil}, {"setup.other.connect", []string{"setup.label.url", "setup.label.token"}}, {"setup.other.test", nil}, {"setup.keycloak.signin", nil},
	}},
	{"google", store.IdPGeneric, []guideStep{
		{"setup.google.app", nil}, {"setup.other.connect", []string{"setup.label.url", "setup.label.token"}}, {"setup.other.test", nil}, {"setup.google.signin", nil},
	}},
	{"other", store.IdPGeneric, []guideStep{
		{"setup.other.connect", []string{"setup.label.url", "setup.label.token"}}, {"setup.other.match", nil}, {"setup.other.test", nil}, {"setup.other.groups", nil},
	}},
}

func guideOf(id string) (g guide, ok bool) {
	for _, g := range guides {
		if g.id == id {
			return g, true
		}
	}
	return g, false
}

// setupChoosePage asks which provider it is: one click makes the connection.
type setupChoosePage struct {
	page
	Guides []factLine
}

func (s *Server) setupChoose(w http.ResponseWriter, _ *http.Request, v *visit) error {
	if err := v.everywhere(changeConnections); err != nil {
		return err
	}
	p := &setupChoosePage{page: v.page("setup.title")}
	for _, g := range guides {
		p.Guides = append(p.Guides, factLine{Text: v.words.t("setup.guide." + g.id), Href: "/sync/new/" + g.id})
	}
	return s.render(w, http.StatusOK, "setup-choose", p)
}

// setupNewPage tells what there is to do, and asks for a name.
type setupNewPage struct {
	page
	Action string
	Naming field
	// Taken is the connection that has the name already.
	Taken string
	Steps []string
	Local bool
}

func (s *Server) setupNew(w http.ResponseWriter, r *http.Request, v *visit) error {
	p, _, err := s.newPage(r, v)
	if err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "setup-new", p)
}

func (s *Server) newPage(r *http.Request, v *visit) (*setupNewPage, guide, error) {
	if err := v.everywhere(changeConnections); err != nil {
		return nil, guide{}, err
	}
	g, _ := guideOf(path.Base(r.URL.Path))
	name := v.words.t("setup.guide." + g.id)
	p := &setupNewPage{page: v.page("setup.new", "provider", name), Action: r.URL.Path, Local: s.url == "",
		Naming: field{Name: "name", Label: v.words.t("setup.name"), Hint: v.words.t("setup.name.hint"), Value: name}}
	for _, step := range g.steps {
		p.Steps = append(p.Steps, v.words.t(step.key))
	}
	return p, g, nil
}

// setupCreate makes a connection with its first token. A form that doesn't speak of a
// name calls it by its provider.
func (s *Server) setupCreate(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	p, g, err := s.newPage(r, v)
	if err != nil {
		return err
	}
	if r.PostForm.Has("name") {
		p.Naming.Value = r.PostFormValue("name")
	}
	if !validName(p.Naming.Value) {
		p.Naming.Error = v.words.t("setup.name.invalid")
		return s.render(w, http.StatusBadRequest, "setup-new", p)
	}
	var c store.Connection
	var token string
	err = s.store.Write(ctx, v.actor(), func(tx *store.Tx) (err error) {
		if c, err = tx.CreateConnection(ctx, p.Naming.Value, g.idp); err == nil {
			_, token, err = tx.CreateToken(ctx, c, v.now.Add(tokenLife))
		}
		return err
	})
	if errors.Is(err, store.ErrTaken) {
		other, err := s.store.ConnectionNamed(ctx, v.tenant(), p.Naming.Value)
		if err == nil {
			clicked, err := s.clickedBefore(ctx, v, other, p.Naming.Value, g)
			if err != nil {
				return err
			}
			if clicked {
				return s.redirect(w, r, setupPath(other, g))
			}
			p.Taken = v.link("/sync/" + string(other.ID) + "/setup")
		}
		p.Naming.Error = v.words.t("setup.name.taken")
		return s.render(w, http.StatusConflict, "setup-new", p)
	}
	if err != nil {
		return err
	}
	return s.tell(w, r, setupPath(c, g), v.holder(), once{Token: token})
}

// setupPath is where a connection is set up by a guide.
func setupPath(c store.Connection, g guide) string {
	to := "/sync/" + string(c.ID) + "/setup"
	if g.idp == store.IdPGeneric && g.id != "other" {
		to += "?guide=" + g.id
	}
	return to
}

// clickTwice is how far apart two clicks on one button are at most.
const clickTwice = time.Minute

// clickedBefore reports whether a connection is what the visitor's same form has just
// made: the button was clicked twice.
func (s *Server) clickedBefore(ctx context.Context, v *visit, c store.Connection, name string, g guide) (bool, error) {
	if c.Name != name || c.IdP != g.idp || v.now.Sub(c.CreatedAt.Time) > clickTwice {
		return false, nil
	}
	changes, err := s.store.ChangesAbout(ctx, v.tenant(), string(c.ID), 10)
	return slices.ContainsFunc(changes, func(change store.Change) bool {
		return change.Action == store.ConnectionCreated && change.ActorID == string(v.session.UserID)
	}), err
}

// tokenLife is how long a token made here works, as by 'gatehouse token add'.
const tokenLife = 365 * 24 * time.Hour

// holder is who sees what is shown once.
func (v *visit) holder() string { return "session " + string(v.session.ID) }

// validName refuses names that could not be told apart or typed again.
func validName(name string) bool {
	return name != "" && len(name) <= 100 && strings.TrimSpace(name) == name && !strings.ContainsFunc(name, func(c rune) bool {
		return !unicode.IsPrint(c) || c == unicode.ReplacementChar
	})
}

// setupPage is the guide through a provider's own pages, with what to paste there and
// what has arrived.
type setupPage struct {
	page
	// Link says that the visitor came by a set-up link: there is nothing but this page.
	Until *when
	Back  string
	Steps []setupStep
	Local bool
	// AddToken is where a form makes another token; Live how many work.
	AddToken string
	Live     int
	Full     bool
	Guides   []factLine
	Strip    strip
}

type setupStep struct {
	Text   string
	Values []setupValue
}

// setupValue is something to copy; Missing says why it can't be shown.
type setupValue struct {
	ID, Label, Value, Missing string
	Secret                    bool
}

// strip is what has arrived so far; it is asked for again until all has.
type strip struct {
	Refresh string
	// Poll is after how many milliseconds, 0 for not at all.
	Poll  int
	Lines []stripLine
}

type stripLine struct {
	Text      string
	At        *when
	Done, Bad bool
	Hint      string
}

func (s *Server) setup(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := s.connection(r, v, changeConnections)
	if err != nil {
		return err
	}
	p := &setupPage{page: v.page("setup.of", "name", c.Name), Back: "/sync/" + string(c.ID), AddToken: "/sync/" + string(c.ID) + "/tokens"}
	return s.showSetup(w, r, v, c, p, v.holder())
}

func (s *Server) showSetup(w http.ResponseWriter, r *http.Request, v *visit, c store.Connection, p *setupPage, holder string) error {
	if !c.EndedAt.IsZero() {
		return fmt.Errorf("connection %s has ended: %w", c.ID, store.ErrNotFound)
	}
	ctx := r.Context()
	told := s.told(w, r, holder)
	p.Local = s.url == ""
	g, ok := guideOf(cmp.Or(map[string]string{store.IdPEntra: "entra", store.IdPOkta: "okta"}[c.IdP], r.URL.Query().Get("guide"), "other"))
	if !ok {
		return badRequest{"problem.invalid"}
	}
	for i, step := range g.steps {
		one := setupStep{Text: v.words.t(step.key)}
		for j, label := range step.values {
			value := setupValue{ID: fmt.Sprintf("value-%d-%d", i, j), Label: v.words.t(label), Value: v.scimURL(c.ID)}
			if j == 1 {
				value.Value, value.Secret = told.Token, true
				if told.Token == "" {
					value.Missing = v.words.t("setup.token.shown")
				}
			}
			one.Values = append(one.Values, value)
		}
		p.Steps = append(p.Steps, one)
	}
	tokens, err := s.store.Tokens(ctx, c.Ref())
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if t.Live(v.now) {
			p.Live++
		}
	}
	p.Full = p.Live >= store.MaxLiveTokens
	p.Strip, err = s.strip(ctx, v, c)
	p.Strip.Refresh = r.URL.RequestURI()
	if err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "setup", p)
}

// strip says what has arrived: a request, a person, a group.
func (s *Server) strip(ctx context.Context, v *visit, c store.Connection) (strip, error) {
	st := strip{Poll: 1000}
	latest, err := s.store.Requests(ctx, c.Ref(), store.RequestQuery{Limit: 50})
	if err != nil {
		return st, err
	}
	first := stripLine{Text: v.words.t("setup.waiting"), Hint: v.words.t("setup.waiting." + c.IdP)}
	good := slices.IndexFunc(latest, func(q store.Request) bool { return q.Status < 400 && q.Method != "" })
	switch {
	case good >= 0:
		q := latest[good]
		at := v.instant(q.At)
		first = stripLine{Text: v.words.t("setup.received", "method", q.Method, "path", target(q), "status", q.Status, "took", ms(q.Took)), At: &at, Done: true}
	case !c.LastRequestAt.IsZero():
		at := v.instant(c.LastRequestAt)
		first = stripLine{Text: v.words.t("setup.called"), At: &at, Done: true}
	}
	st.Lines = append(st.Lines, first)
	if len(latest) > 0 && latest[0].Status >= 400 {
		q := latest[0]
		at := v.instant(q.At)
		words := s.opts.Explain(v.words.lang, q.Cause)
		line := stripLine{Text: v.words.t("setup.failed", "method", q.Method, "path", target(q), "status", q.Status, "why", words.Title), At: &at, Bad: true, Hint: words.Entra}
		if slices.Contains(tokenCauses, q.Cause) {
			line.Text = v.refusedToken(q.Cause, q, q.Count)
		}
		if c.IdP == store.IdPOkta {
			line.Hint = words.Okta
		}
		st.Lines = append(st.Lines, line)
	}
	user, group := stripLine{Text: v.words.t("setup.noUser")}, stripLine{Text: v.words.t("setup.noGroup")}
	users, _, err := s.store.Users(ctx, c.Ref(), store.Query{Limit: 1})
	if err != nil {
		return st, err
	}
	if len(users) > 0 {
		user = stripLine{Text: v.words.t("setup.firstUser", "name", cmp.Or(users[0].DisplayName, users[0].UserName)), Done: true}
	}
	groups, _, err := s.store.Groups(ctx, c.Ref(), store.Query{Limit: 1})
	if err != nil {
		return st, err
	}
	if len(groups) > 0 {
		group = stripLine{Text: v.words.t("setup.firstGroup", "name", groups[0].DisplayName), Done: true}
	}
	st.Lines = append(st.Lines, user, group)
	if first.Done {
		st.Poll = 2000
	}
	if first.Done && user.Done && group.Done {
		st.Poll = 0
	}
	return st, nil
}

// tokenAdd makes another token, beside the one in use.
func (s *Server) tokenAdd(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := s.connection(r, v, changeConnections)
	if err != nil {
		return err
	}
	page := "/sync/" + string(c.ID) + "/setup"
	if r.PostFormValue("to") == "settings" {
		page = "/sync/" + string(c.ID) + "/settings"
	}
	return s.addToken(w, r, v, c, v.actor(), page, v.holder())
}

func (s *Server) addToken(w http.ResponseWriter, r *http.Request, v *visit, c store.Connection, actor store.Actor, page, holder string) error {
	var token string
	err := s.store.Write(r.Context(), actor, func(tx *store.Tx) (err error) {
		_, token, err = tx.CreateToken(r.Context(), c, v.now.Add(tokenLife))
		return err
	})
	if errors.Is(err, store.ErrLimit) {
		return s.say(w, r, page, "", "setup.token.two")
	}
	if err != nil {
		return err
	}
	return s.tell(w, r, page, holder, once{Token: token})
}

// byLink finds what a set-up link is for. The visitor is nobody otherwise: her
// language is the browser's.
func (s *Server) byLink(r *http.Request) (store.SetupLink, store.Connection, error) {
	secret := r.PathValue("token")
	if !strings.HasPrefix(secret, store.SetupLinkPrefix) {
		return store.SetupLink{}, store.Connection{}, fmt.Errorf("set-up link: %w", store.ErrNotFound)
	}
	return s.store.SetupLinkBySecret(r.Context(), secret)
}

func (s *Server) setupByLink(w http.ResponseWriter, r *http.Request, v *visit) error {
	link, c, err := s.byLink(r)
	if errors.Is(err, store.ErrNotFound) {
		p := &problemPage{page: v.page("setup.link.gone"), Text: v.words.t("setup.link.gone.text")}
		return s.render(w, http.StatusNotFound, "problem", p)
	}
	if err != nil {
		return err
	}
	until := v.instant(link.ExpiresAt)
	p := &setupPage{page: v.page("setup.of", "name", c.Name), Until: &until, AddToken: r.URL.Path + "/tokens"}
	return s.showSetup(w, r, v, c, p, "link "+link.ID)
}

func (s *Server) tokenAddByLink(w http.ResponseWriter, r *http.Request, v *visit) error {
	link, c, err := s.byLink(r)
	if err != nil {
		return err
	}
	actor := store.Actor{Tenant: link.TenantID, Kind: store.ActorInvitation, ID: link.ID, RequestID: v.id}
	return s.addToken(w, r, v, c, actor, strings.TrimSuffix(r.URL.Path, "/tokens"), "link "+link.ID)
}
