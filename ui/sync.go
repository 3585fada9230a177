package ui

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/access"
	"gatehouse/store"
)

var (
	seeConnections    = needs{access.ConsoleConnections, access.LevelView}
	changeConnections = needs{access.ConsoleConnections, access.LevelChange}
)

func (s *Server) syncRoutes() []route {
	return []route{
		{"GET", "/sync", seeConnections, s.sync},
		{"GET", "/sync.csv", seeConnections, s.syncCSV},
		{"GET", "/sync/{connection}", seeConnections, s.syncOne},
		{"GET", "/sync/{connection}/requests", seeConnections, s.requests},
		{"GET", "/sync/{connection}/requests.csv", seeConnections, s.requestsCSV},
		{"GET", "/sync/{connection}/requests/{request}", seeConnections, s.request},
	}
}

// Cause is a kind of failure, in words for the administrator of an identity provider:
// what happened, and which setting to change there.
type Cause struct{ Title, Happened, Entra, Okta string }

// everywhere refuses whoever holds a right at some places only: connections and
// settings are of a whole tenant.
func (v *visit) everywhere(n needs) error {
	if !v.mayAt(n.permission, n.level, nil) {
		return forbidden{n}
	}
	return nil
}

// connection is the one in the address. One of another tenant is not found, and
// neither is the one of the people outside, which has no provider.
func (s *Server) connection(r *http.Request, v *visit, n needs) (store.Connection, error) {
	if err := v.everywhere(n); err != nil {
		return store.Connection{}, err
	}
	id := r.PathValue("connection")
	c, err := s.store.ConnectionNamed(r.Context(), v.tenant(), id)
	if err == nil && (string(c.ID) != id || c.IdP == store.IdPLocal) {
		err = fmt.Errorf("connection %q: %w", id, store.ErrNotFound)
	}
	return c, err
}

// recent is how far back the state of a connection looks.
const recent = 24 * time.Hour

// syncPage says of each identity provider whether it calls, and what goes wrong.
type syncPage struct {
	page
	Alarms      []alarm
	Connections []*health
	// New is where to connect another one, "" for whoever may not.
	New, CSV string
	Empty    empty
}

// health is the state of a connection in words.
type health struct {
	Label, Href, Settings, Setup string
	// Provider is the kind of identity provider.
	Provider string
	State    string
	Bad      bool
	// Silence is what it means when this provider doesn't call.
	Silence string
	Last    *when
	Notes   []healthNote
	Counts  string
	Chart   *chart
	Causes  []causeRow

	connection store.Connection
	requests   int
	failed     int
}

// healthNote is a fact beside the state: the token's age, a token that is refused.
type healthNote struct {
	Text string
	At   *when
	Bad  bool
}

// causeRow is a cause with how often it was met, and what to do about it.
type causeRow struct {
	Code, Title, Happened string
	Count                 int
	First, Last           when
	// Advice is what to do at each provider.
	Advice []advice
	// Requests is where they are listed, Example the newest of them.
	Requests, Example string
	// Settings is where the connection has its tokens, if they are the cause.
	Settings string
}

type advice struct{ At, Text string }

// chart is requests by the hour as an image.
type chart struct {
	Width, Height int
	Bars          []bar
	Label         string
}

type bar struct{ X, Y, Width, Height, BadY, BadHeight int }

func (s *Server) sync(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.everywhere(seeConnections); err != nil {
		return err
	}
	ctx := r.Context()
	all, err := s.healths(ctx, v)
	if err != nil {
		return err
	}
	p := &syncPage{page: v.page("sync.title"), Connections: all, CSV: "/sync.csv"}
	if v.meets(changeConnections) {
		p.New = "/sync/new"
	}
	if p.Alarms, err = s.alarms(ctx, v); err != nil {
		return err
	}
	p.Empty = empty{Text: v.words.t("sync.none"), Href: p.New, Link: v.words.t("sync.connect")}
	return s.render(w, http.StatusOK, "sync", p)
}

func (s *Server) syncCSV(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.everywhere(seeConnections); err != nil {
		return err
	}
	all, err := s.healths(r.Context(), v)
	if err != nil {
		return err
	}
	rows := func() (rows [][]string, err error) {
		for _, h := range all {
			last := ""
			if h.Last != nil {
				last = h.Last.Format(time.RFC3339)
			}
			rows = append(rows, []string{h.Label, h.Provider, h.State, last, fmt.Sprint(h.requests), fmt.Sprint(h.failed), h.Counts, string(h.connection.ID)})
		}
		all = nil
		return rows, nil
	}
	return v.csv(w, "sync.csv", []string{"sync.name", "sync.provider", "sync.state", "sync.last", "sync.requests", "sync.failed", "sync.holds", "sync.id"}, rows)
}

// healths are the states of all connections of the visitor's tenant.
func (s *Server) healths(ctx context.Context, v *visit) ([]*health, error) {
	connections, err := s.store.Connections(ctx, v.tenant())
	if err != nil {
		return nil, err
	}
	sizes, err := s.store.ConnectionSizes(ctx, v.tenant())
	if err != nil {
		return nil, err
	}
	var all []*health
	for _, c := range connections {
		if c.IdP == store.IdPLocal {
			continue
		}
		h, err := s.health(ctx, v, c, sizes[c.ID])
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
	return all, nil
}

// health looks at what the flight recorder has of a connection.
func (s *Server) health(ctx context.Context, v *visit, c store.Connection, size store.ConnectionCounts) (*health, error) {
	at := "/sync/" + string(c.ID)
	h := &health{
		Label: c.Name, Href: at, Provider: v.words.t("sync.idp." + c.IdP), connection: c,
		Counts: v.words.t("sync.counts", "people", v.words.n("people.count", size.Users), "groups", v.words.n("overview.groups", size.Groups)),
	}
	if !c.EndedAt.IsZero() {
		h.State, h.Silence = v.words.t("sync.ended", "date", v.words.date(c.EndedAt.In(v.zone))), v.words.t("sync.ended.text")
		return h, nil
	}
	h.Silence = v.words.t("sync.silence." + c.IdP)
	if v.meets(changeConnections) {
		h.Settings, h.Setup = at+"/settings", at+"/setup"
	}
	since := v.now.Add(-recent)
	hours, err := s.store.RequestsByHour(ctx, c.Ref(), since)
	if err != nil {
		return nil, err
	}
	for _, hour := range hours {
		h.requests, h.failed = h.requests+hour.Count, h.failed+hour.Failed
	}
	h.Chart = v.chart(hours, since)
	causes, err := s.store.Causes(ctx, c.Ref(), since)
	if err != nil {
		return nil, err
	}
	for _, one := range causes {
		h.Causes = append(h.Causes, s.cause(v, c, one))
	}
	last := c.LastRequestAt
	if good, err := s.store.Requests(ctx, c.Ref(), store.RequestQuery{Since: since, Limit: 20}); err != nil {
		return nil, err
	} else if i := slices.IndexFunc(good, func(q store.Request) bool { return q.Status < 400 }); i >= 0 && good[i].At.After(last.Time) {
		last = good[i].At
	}
	if !last.IsZero() {
		when := v.instant(last)
		h.Last = &when
	}
	refused, err := s.refusedTokens(ctx, v, c, causes, last)
	if err != nil {
		return nil, err
	}
	tokens, err := s.tokenNotes(ctx, v, c)
	if err != nil {
		return nil, err
	}
	h.Notes = append(refused, tokens...)
	switch {
	case len(refused) > 0:
		h.State, h.Bad = v.words.t("sync.state.refused"), true
	case last.IsZero():
		h.State, h.Bad = v.words.t("sync.state.waiting"), true
	case h.failed > 0:
		h.State, h.Bad = v.words.n("sync.state.failed", h.failed), true
	case v.now.Sub(last.Time) > quiet:
		h.State = v.words.t("sync.state.quiet")
	default:
		h.State = v.words.t("sync.state.well")
	}
	return h, nil
}

// chart draws requests by the hour: the last is the hour that runs.
func (v *visit) chart(hours []store.HourCount, since time.Time) *chart {
	const width, gap, height = 10, 2, 48
	c := &chart{Height: height}
	most, total := 1, 0
	for _, h := range hours {
		most, total = max(most, h.Count), total+h.Count
	}
	first := since.Truncate(time.Hour)
	for at := first; !at.After(v.now); at = at.Add(time.Hour) {
		b := bar{X: int(at.Sub(first)/time.Hour) * (width + gap), Y: height - 1, Width: width, Height: 1, BadY: height}
		for _, h := range hours {
			if h.Hour.Equal(at) {
				b.Height = max(2, h.Count*height/most)
				b.BadHeight = h.Failed * b.Height / max(h.Count, 1)
				b.Y, b.BadY = height-b.Height, height-b.BadHeight
			}
		}
		c.Bars = append(c.Bars, b)
	}
	c.Width = len(c.Bars) * (width + gap)
	c.Label = v.words.n("sync.chart", total, "most", most)
	return c
}

// cause says what went wrong in words, and what to do at the connection's provider.
func (s *Server) cause(v *visit, c store.Connection, n store.CauseCount) causeRow {
	words := s.opts.Explain(v.words.lang, n.Cause)
	at := "/sync/" + string(c.ID) + "/requests"
	row := causeRow{
		Code: n.Cause, Title: words.Title, Happened: words.Happened, Count: n.Count, First: v.instant(n.First), Last: v.instant(n.Last),
		Requests: address(at, nil, "cause", n.Cause), Example: at + "/" + string(n.Example),
	}
	if slices.Contains(tokenCauses, n.Cause) && c.EndedAt.IsZero() && v.meets(changeConnections) {
		row.Settings = "/sync/" + string(c.ID) + "/settings#provisioning"
	}
	if c.IdP != store.IdPOkta {
		row.Advice = append(row.Advice, advice{v.words.t("sync.idp.entra"), words.Entra})
	}
	if c.IdP != store.IdPEntra {
		row.Advice = append(row.Advice, advice{v.words.t("sync.idp.okta"), words.Okta})
	}
	return row
}

// tokenCauses are those of requests that a token didn't let in.
var tokenCauses = []string{"no-token", "wrong-token", "dead-token", "other-token"}

// refusedTokens says which tokens don't open the connection, if none has since.
func (s *Server) refusedTokens(ctx context.Context, v *visit, c store.Connection, causes []store.CauseCount, good store.Instant) ([]healthNote, error) {
	var notes []healthNote
	for _, n := range causes {
		if !slices.Contains(tokenCauses, n.Cause) || !n.Last.After(good.Time) {
			continue
		}
		example, err := s.store.Request(ctx, c.Ref(), string(n.Example))
		if errors.Is(err, store.ErrNotFound) { // its time may have come a moment ago
			continue
		}
		if err != nil {
			return nil, err
		}
		since := v.instant(n.First)
		notes = append(notes, healthNote{Text: v.refusedToken(n.Cause, example, n.Count), At: &since, Bad: true})
	}
	return notes, nil
}

// refusedToken names a token that was refused by its end, as far as that is known.
func (v *visit) refusedToken(cause string, q store.Request, times int) string {
	var notes struct {
		End string `json:"token_end"`
	}
	_ = json.Unmarshal([]byte(q.Notes), &notes) // ours
	if notes.End == "" || cause == "no-token" {
		return v.words.n("sync.refused", times)
	}
	return v.words.n("sync.refused.token", times, "end", notes.End)
}

// soon is how long before its end a token is worth a word.
const soon = 30 * 24 * time.Hour

// tokenNotes are the ages of a connection's tokens.
func (s *Server) tokenNotes(ctx context.Context, v *visit, c store.Connection) ([]healthNote, error) {
	tokens, err := s.store.Tokens(ctx, c.Ref())
	if err != nil {
		return nil, err
	}
	var notes []healthNote
	for _, t := range tokens {
		if t.Live(v.now) {
			notes = append(notes, v.tokenNote(t))
		}
	}
	if len(notes) > 0 {
		return notes, nil
	}
	if _, err := s.store.Client(ctx, c.Ref()); !errors.Is(err, store.ErrNotFound) {
		return nil, err
	}
	return []healthNote{{Text: v.words.t("sync.token.none"), Bad: true}}, nil
}

func (v *visit) tokenNote(t store.Token) healthNote {
	made := v.instant(t.CreatedAt)
	note := healthNote{At: &made, Text: v.words.t("sync.token.forever", "hint", t.Hint)}
	if !t.ExpiresAt.IsZero() {
		note.Text = v.words.t("sync.token", "hint", t.Hint, "date", v.words.date(t.ExpiresAt.In(v.zone)))
		note.Bad = t.ExpiresAt.Sub(v.now) < soon
	}
	return note
}

// connectionPage is all about one connection.
type connectionPage struct {
	page
	*health
	Alarms []alarm
	// Last are its newest requests, and All where they all are.
	Latest []requestRow
	Table  table
	All    string
	Kept   string
}

func (s *Server) syncOne(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	c, err := s.connection(r, v, seeConnections)
	if err != nil {
		return err
	}
	sizes, err := s.store.ConnectionSizes(ctx, v.tenant())
	if err != nil {
		return err
	}
	h, err := s.health(ctx, v, c, sizes[c.ID])
	if err != nil {
		return err
	}
	p := &connectionPage{page: v.page("sync.one", "name", c.Name), health: h, All: h.Href + "/requests", Kept: s.kept(v), Table: v.requestTable()}
	alarms, err := s.alarms(ctx, v)
	if err != nil {
		return err
	}
	for _, a := range alarms {
		if a.connection == c.ID {
			p.Alarms = append(p.Alarms, a)
		}
	}
	latest, err := s.store.Requests(ctx, c.Ref(), store.RequestQuery{Limit: 10})
	if err != nil {
		return err
	}
	for _, q := range latest {
		p.Latest = append(p.Latest, s.requestRow(v, q))
	}
	return s.render(w, http.StatusOK, "connection", p)
}

// kept says how long requests can be looked at.
func (s *Server) kept(v *visit) string {
	if s.opts.RecordFor == 0 {
		return v.words.t("sync.kept.none")
	}
	if hours := int(s.opts.RecordFor.Hours()); hours < 48 {
		return v.words.n("sync.kept.hours", hours)
	}
	return v.words.n("sync.kept.days", int(s.opts.RecordFor.Hours()/24))
}

// requestsPage lists what a provider sent. All of its state is in the address.
type requestsPage struct {
	page
	Back     string
	Search   field
	Filters  []field
	Filtered bool
	Clear    string
	// Cause is the one that the list is narrowed to, and Concerned whom it met.
	Cause     *causeRow
	Concerned []factLine
	Table     table
	Requests  []requestRow
	Kept      string
	CSV       string
	Pager     pager
	Empty     empty
}

type requestRow struct {
	Href, Method, Path, Cause, Took string
	At                              when
	Status                          int
	Count                           int
	Bad                             bool
}

const requestsPerPage = 50

func (v *visit) requestTable() table {
	return table{ID: "requests", Caption: v.words.t("sync.requests.title"), Hidden: true,
		Columns: v.columns("sync.when:narrow", "sync.what:wide", "sync.status:number", "sync.cause", "sync.took:number")}
}

// requestsQuery is what an address asks for.
func (s *Server) requestsQuery(r *http.Request, v *visit, c store.Connection) (q store.RequestQuery, p requestsPage, err error) {
	ctx, query := r.Context(), r.URL.Query()
	q.Failed, q.Cause = query.Get("failed") != "", query.Get("cause")
	about := strings.TrimSpace(query.Get("about"))
	p.Search = field{Name: "about", Label: v.words.t("sync.about"), Value: about, Type: "search"}
	p.Filtered = q.Failed || q.Cause != "" || about != ""
	if about != "" {
		if q.ResourceID, err = s.resource(ctx, c, about); err != nil {
			return q, p, err
		}
	}
	causes, err := s.store.Causes(ctx, c.Ref(), time.Time{})
	if err != nil {
		return q, p, err
	}
	var options []option
	for _, n := range causes {
		if n.Cause == q.Cause {
			row := s.cause(v, c, n)
			p.Cause = &row
		}
		options = append(options, option{Value: n.Cause, Text: v.words.t("sync.causeOption", "title", s.opts.Explain(v.words.lang, n.Cause).Title, "n", n.Count)})
	}
	p.Filters = []field{
		choose("cause", v.words.t("sync.cause"), v.words.t("sync.anyCause"), q.Cause, options),
		choose("failed", v.words.t("sync.result"), v.words.t("sync.anyResult"), query.Get("failed"), []option{{Value: "yes", Text: v.words.t("sync.onlyFailed")}}),
	}
	return q, p, nil
}

// resource is the id of the person or group of a name; whoever was deleted can only
// be found by the id.
func (s *Server) resource(ctx context.Context, c store.Connection, name string) (string, error) {
	if !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		return name, nil // nobody has it, and PostgreSQL would not take it
	}
	equal := func(attribute string) store.Query {
		return store.Query{Limit: 1, Filter: store.Compare{Attr: store.Attr{Path: []string{attribute}}, Op: store.Equal, Value: store.Fold(name)}}
	}
	users, _, err := s.store.Users(ctx, c.Ref(), equal("username"))
	if err != nil || len(users) > 0 {
		if err != nil {
			return "", err
		}
		return string(users[0].ID), nil
	}
	groups, _, err := s.store.Groups(ctx, c.Ref(), equal("displayname"))
	if err != nil || len(groups) > 0 {
		if err != nil {
			return "", err
		}
		return string(groups[0].ID), nil
	}
	return name, nil
}

func (s *Server) requests(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := s.connection(r, v, seeConnections)
	if err != nil {
		return err
	}
	q, page, err := s.requestsQuery(r, v, c)
	if err != nil {
		return err
	}
	after, err := place[store.RecordedID](r)
	if err != nil {
		return err
	}
	q.Before, q.Limit = after, requestsPerPage+1
	found, err := s.store.Requests(r.Context(), c.Ref(), q)
	if err != nil {
		return err
	}
	p := &page
	p.page, p.Back, p.Clear, p.Kept = v.page("sync.requests.of", "name", c.Name), "/sync/"+string(c.ID), r.URL.Path, s.kept(v)
	p.CSV = address(r.URL.Path+".csv", r.URL.Query(), "after", "")
	p.Table = v.requestTable()
	var next *store.RecordedID
	if len(found) > requestsPerPage {
		found = found[:requestsPerPage]
		next = &found[requestsPerPage-1].ID
	}
	p.Pager = keyset(r, next)
	for _, one := range found {
		p.Requests = append(p.Requests, s.requestRow(v, one))
	}
	if p.Cause != nil {
		if p.Concerned, err = s.concerned(r.Context(), v, c, q.Cause); err != nil {
			return err
		}
	}
	p.Empty = empty{Text: v.words.t("sync.requests.none")}
	if p.Filtered {
		p.Empty = empty{Text: v.words.t("sync.requests.noMatch"), Href: p.Clear, Link: v.words.t("people.clear")}
	}
	return s.render(w, http.StatusOK, "requests", p)
}

// mostConcerned is how many of the newest requests are asked whom they were about.
const mostConcerned = 50

// concerned are the people and groups whom requests with a cause were about, those of
// the newest first.
func (s *Server) concerned(ctx context.Context, v *visit, c store.Connection, cause string) ([]factLine, error) {
	found, err := s.store.Requests(ctx, c.Ref(), store.RequestQuery{Cause: cause, Limit: mostConcerned})
	if err != nil {
		return nil, err
	}
	var all []factLine
	for _, q := range found {
		if q.ResourceID == "" && q.BodySize > 0 { // lists leave bodies out
			if q, err = s.store.Request(ctx, c.Ref(), string(q.ID)); errors.Is(err, store.ErrNotFound) {
				continue // its time has come
			} else if err != nil {
				return nil, err
			}
		}
		one, err := s.subject(ctx, v, c, q)
		if err != nil {
			return nil, err
		}
		if one != nil && !slices.Contains(all, *one) {
			all = append(all, *one)
		}
	}
	return all, nil
}

// subject is whom a request is about: by the id in its path, or by the name in its
// body, which may be known. Nil if it says neither.
func (s *Server) subject(ctx context.Context, v *visit, c store.Connection, q store.Request) (*factLine, error) {
	id, text := q.ResourceID, q.ResourceID
	if id == "" {
		var sent struct{ UserName, DisplayName string }
		_ = json.Unmarshal([]byte(q.Body), &sent) // or nothing
		if text = cmp.Or(sent.UserName, sent.DisplayName); strings.Trim(text, "…") == "" {
			return nil, nil // not kept, or masked
		}
		var err error
		if id, err = s.resource(ctx, c, text); err != nil {
			return nil, err
		}
	}
	names, err := s.store.Names(ctx, v.tenant(), []access.UserID{access.UserID(id)}, []access.GroupID{access.GroupID(id)})
	if err != nil || names[id] == "" {
		return &factLine{Text: text}, err
	}
	href := "/people/" + id
	if q.ResourceKind == store.ResourceGroup || strings.HasPrefix(q.Path, "/Groups") {
		href = "/groups/" + id
	}
	return &factLine{Text: names[id], Href: v.link(href)}, nil
}

func (s *Server) requestRow(v *visit, q store.Request) requestRow {
	row := requestRow{
		Href:   "/sync/" + string(q.ConnectionID) + "/requests/" + string(q.ID),
		Method: cmp.Or(q.Method, "–"), Path: target(q), At: v.instant(q.At), Status: q.Status, Count: q.Count, Bad: q.Status >= 400, Took: ms(q.Took),
	}
	if q.Cause != "" {
		row.Cause = s.opts.Explain(v.words.lang, q.Cause).Title
	}
	return row
}

// target is what a request was sent to.
func target(q store.Request) string {
	if q.Query != "" {
		return q.Path + "?" + q.Query
	}
	return q.Path
}

// ms writes microseconds as milliseconds.
func ms(took int64) string {
	if took < 10_000 {
		return fmt.Sprintf("%.1f ms", float64(took)/1000)
	}
	return fmt.Sprintf("%d ms", took/1000)
}

func (s *Server) requestsCSV(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := s.connection(r, v, seeConnections)
	if err != nil {
		return err
	}
	q, _, err := s.requestsQuery(r, v, c)
	if err != nil {
		return err
	}
	q.Limit = 1000
	rows := func() ([][]string, error) {
		found, err := s.store.Requests(r.Context(), c.Ref(), q)
		var rows [][]string
		for _, one := range found {
			q.Before = one.ID
			rows = append(rows, []string{one.At.UTC().Format(time.RFC3339Nano), one.Method, target(one), fmt.Sprint(one.Status), one.Cause,
				one.Detail, fmt.Sprint(one.Count), ms(one.Took), one.RequestID, string(one.ID)})
		}
		return rows, err
	}
	return v.csv(w, "requests.csv", []string{"sync.when", "sync.method", "sync.what", "sync.status", "sync.cause", "sync.detail", "sync.count", "sync.took", "sync.requestID", "sync.id"}, rows)
}

// requestPage is one request in full: what was sent, what it was answered, and what
// that changed.
type requestPage struct {
	page
	Back, List string
	At         when
	Method     string
	Target     string
	Status     int
	Took       string
	Count      string // of how many it is the last, "" for one
	Detail     string
	LogID      string
	Subject    *factLine
	Headers    string
	Cause      *causeRow
	Changes    []changedRow
	Pager      pager // of Changes
	Table      table
	Body       *bodyText
	Answer     *bodyText
	Curl       string
	Kept       string
}

// bodyText is a body as it was kept.
type bodyText struct{ Title, Size, Note, Text string }

// changedRow is one thing that a request changed.
type changedRow struct {
	Text, Href    string
	Before, After string
}

func (s *Server) request(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	c, err := s.connection(r, v, seeConnections)
	if err != nil {
		return err
	}
	q, err := s.store.Request(ctx, c.Ref(), r.PathValue("request"))
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrTaken) || err == nil && string(q.ID) != r.PathValue("request") {
		p := &problemPage{page: v.page("sync.gone"), Text: v.words.t("sync.gone.text", "kept", s.kept(v))}
		return s.render(w, http.StatusNotFound, "problem", p)
	}
	if err != nil {
		return err
	}
	at := "/sync/" + string(c.ID)
	p := &requestPage{
		page: v.page("sync.request", "method", cmp.Or(q.Method, "–"), "path", q.Path), Back: at, List: at + "/requests",
		At: v.instant(q.At), Method: q.Method, Target: target(q), Status: q.Status, Took: ms(q.Took), Detail: q.Detail, LogID: q.RequestID,
		Body: v.body("sync.body", q.Body, q.BodySize, q.BodyNote), Answer: v.body("sync.answer", q.Answer, q.AnswerSize, q.AnswerNote),
		Kept: s.kept(v), Curl: v.curl(c, q),
		Table: table{ID: "changed", Caption: v.words.t("sync.changed"), Columns: v.columns("sync.what", "sync.before", "sync.after")},
	}
	if q.Count > 1 {
		p.Count = v.words.n("sync.standsFor", q.Count)
	}
	if q.Headers != "{}" {
		p.Headers = q.Headers
	}
	if q.Cause != "" {
		row := s.cause(v, c, store.CauseCount{Cause: q.Cause, Count: q.Count, First: q.At, Last: q.At, Example: q.ID})
		p.Cause = &row
	}
	if err := s.aboutRequest(r, v, c, q, p); err != nil {
		return err
	}
	return s.render(w, http.StatusOK, "request", p)
}

// aboutRequest adds whom a request is about, and what it changed.
func (s *Server) aboutRequest(r *http.Request, v *visit, c store.Connection, q store.Request, p *requestPage) error {
	ctx := r.Context()
	after, err := place[store.ChangeID](r)
	if err != nil {
		return err
	}
	if p.Subject, err = s.subject(ctx, v, c, q); err != nil {
		return err
	}
	changes, err := s.store.ChangesOf(ctx, q, after, changesPerPage+1)
	if err != nil {
		return err
	}
	var next *store.ChangeID
	if len(changes) > changesPerPage {
		changes = changes[:changesPerPage]
		next = &changes[changesPerPage-1].ID
	}
	p.Pager = keyset(r, next)
	tell, err := s.teller(ctx, v, changes)
	for _, c := range changes {
		row := changedRow{Text: tell.sentence(c).String(), Href: v.link("/audit/" + string(c.ID))}
		row.Before, row.After = beforeAfter(c.Detail)
		p.Changes = append(p.Changes, row)
	}
	return err
}

// beforeAfter reads what the detail of a change says; what has no before is all after.
func beforeAfter(detail string) (before, after string) {
	var both struct{ Before, After json.RawMessage }
	if json.Unmarshal([]byte(detail), &both) == nil && (both.Before != nil || both.After != nil) {
		return plainJSON(both.Before), plainJSON(both.After)
	}
	return "", plainJSON([]byte(detail))
}

func plainJSON(data []byte) string {
	var text bytes.Buffer
	switch string(data) {
	case "", "{}", "null":
		return ""
	}
	if json.Indent(&text, data, "", "  ") != nil {
		return string(data)
	}
	return text.String()
}

// body is a body as people read it, nil for none.
func (v *visit) body(title, text string, size int64, note string) *bodyText {
	if size == 0 {
		return nil
	}
	return &bodyText{Title: v.words.t(title), Size: v.words.n("sync.bytes", int(size)), Note: note, Text: plainJSON([]byte(text))}
}

// curl is the request as a command, but for the token, which nobody kept.
func (v *visit) curl(c store.Connection, q store.Request) string {
	if q.Method == "" || !strings.HasPrefix(q.Path, "/") {
		return ""
	}
	quote := func(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
	path := q.Path
	if values, err := url.ParseQuery(q.Query); err == nil && len(values) > 0 {
		path += "?" + values.Encode()
	}
	line := "curl -X " + quote(q.Method) + " " + quote(v.scimURL(c.ID)+path) + " \\\n  -H 'Authorization: Bearer TOKEN'"
	if q.Body != "" {
		line += " \\\n  -H 'Content-Type: application/scim+json' \\\n  --data-binary " + quote(q.Body)
	}
	return line
}

// scimURL is what a provider calls a connection by.
func (v *visit) scimURL(id store.ConnectionID) string {
	return v.publicURL("/scim/" + string(id) + "/v2")
}

// publicURL is the address of a path as others call it: by the setting, and without
// one as the visitor does.
func (v *visit) publicURL(path string) string { return v.base + path }
