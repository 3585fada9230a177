package ui

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"
)

func (s *Server) auditRoutes() []route {
	audit := needs{access.ConsoleAudit, access.LevelView}
	return []route{
		{"GET", "/audit", audit, s.audit},
		{"GET", "/audit/{id}", audit, s.auditOne},
		{"GET", "/audit/check", audit, s.auditCheck},
		{"GET", "/audit.csv", audit, s.auditCSV},
		{"GET", "/audit.json", audit, s.auditJSON},
		{"GET", "/audit/seals.json", audit, s.auditSeals},
	}
}

// auditPage is the list of changes, the newest first. All of its state is in the
// address.
type auditPage struct {
	page
	Search   field
	Filters  []field
	Request  string // the one that is looked at alone
	Filtered bool
	Chain    chainFact
	Table    table
	Changes  []auditRow
	CSV      string
	JSON     string
	Seals    string
	// Back leads on where nothing was found so far.
	Back, BackText string
	Pager          pager
	Empty          empty
}

// auditRow is a change in the list. Bad says what is wrong with it.
type auditRow struct {
	At      when
	Said    sentence
	Source  string
	Href    string
	Request string // the address of the list of what it did
	Bad     string
}

// chainFact says in words whether the log is as it was sealed.
type chainFact struct {
	Text     string
	Broken   bool
	Breaks   []chainBreak
	Unsealed string
	At       *when
	Check    string // the address of the check
	Last     string // the last seal, to be kept elsewhere
}

// chainBreak is a place where it isn't.
type chainBreak struct {
	Text string
	At   when
	Href string // of the change
}

const (
	changesPerPage = 50
	exportAtOnce   = 1000
)

// everywhereOnly refuses whoever may read the trail at some places only: it can't
// be cut up by sites.
func everywhereOnly(v *visit) error {
	if v.mayAt(access.ConsoleAudit, access.LevelView, nil) {
		return nil
	}
	return forbidden{needs{access.ConsoleAudit, access.LevelView}}
}

func (s *Server) audit(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := everywhereOnly(v); err != nil {
		return err
	}
	ctx, query := r.Context(), r.URL.Query()
	after, err := place[string](r)
	if err != nil {
		return err
	}
	q, err := s.auditQuery(ctx, v, query)
	if err != nil {
		return err
	}
	var found store.AuditPage
	if !q.nothing {
		if found, err = s.store.Audit(ctx, v.tenant(), q.AuditFilter, after, changesPerPage); err != nil {
			return auditError(err)
		}
	}
	p := &auditPage{
		page: v.page("audit.title"), Search: q.search, Filters: q.fields, Filtered: q.filtered,
		CSV: address("/audit.csv", query, "after", ""), JSON: address("/audit.json", query, "after", ""), Seals: "/audit/seals.json",
		Chain: v.chain(s.store.LastLogCheck(v.tenant())),
		Table: table{ID: "changes", Caption: v.words.t("audit.title"), Hidden: true, Columns: v.columns("audit.when:narrow", "audit.what", "audit.source:narrow")},
	}
	if q.Request != "" {
		p.Request = v.words.t("audit.requestIs", "id", q.Request)
	}
	var next *string
	if found.Next != "" {
		next = &found.Next
	}
	p.Pager = keyset(r, next)
	if len(found.Changes) == 0 && found.Next != "" {
		p.Back, p.BackText, p.Pager.Next = p.Pager.Next, v.words.t("audit.nothingYet", "when", v.words.clock(v.instant(found.Through).Time)), ""
	}
	tell, err := s.teller(ctx, v, found.Changes)
	if err != nil {
		return err
	}
	for _, c := range found.Changes {
		row := auditRow{At: v.instant(c.At), Said: tell.sentence(c), Source: tell.connections[c.ConnectionID], Href: v.link("/audit/" + string(c.ID))}
		for _, b := range p.Chain.Breaks {
			if b.Href == row.Href {
				row.Bad = b.Text
			}
		}
		p.Changes = append(p.Changes, row)
	}
	p.Empty = empty{Text: v.words.t("audit.none")}
	if q.filtered {
		p.Empty = empty{Text: v.words.t("audit.nothing"), Href: "/audit", Link: v.words.t("audit.clear")}
	}
	return s.render(w, http.StatusOK, "audit", p)
}

// auditError tells a cursor that somebody made up from what is our trouble.
func auditError(err error) error {
	if errors.Is(err, store.ErrCursor) {
		return badRequest{"problem.after"}
	}
	return err
}

// auditFilters is what an address asks for.
type auditFilters struct {
	store.AuditFilter
	search   field
	fields   []field
	filtered bool
	// nothing says that a filter has a value that nothing can match; its field says so.
	nothing bool
}

// auditQuery reads the filters of an address, and makes the controls for them.
func (s *Server) auditQuery(ctx context.Context, v *visit, query url.Values) (*auditFilters, error) {
	w, q := v.words, &auditFilters{}
	q.Text, q.Request = strings.TrimSpace(query.Get("q")), query.Get("request")
	q.search = field{Name: "q", Label: w.t("audit.search"), Value: query.Get("q"), Type: "search"}
	actor := field{Name: "actor", Label: w.t("audit.actor"), Any: w.t("audit.anyActor"), Value: query.Get("actor")}
	about := field{Name: "subject", Label: w.t("audit.subject"), Any: w.t("audit.anySubject"), Value: query.Get("subject")}
	var err error
	if q.Actor, err = s.auditActor(ctx, v, actor.Value); err != nil {
		return nil, err
	}
	q.Subject, err = s.auditSubject(ctx, v, about.Value)
	if errors.Is(err, store.ErrNotFound) {
		about.Error, q.nothing, err = w.t("audit.unknown"), true, nil
	}
	if err != nil {
		return nil, err
	}
	action := choose("action", w.t("audit.action"), w.t("audit.anyAction"), query.Get("action"), v.actionOptions())
	q.Actions = actionsOf(w, action.Value)
	connections, err := s.store.Connections(ctx, v.tenant())
	if err != nil {
		return nil, err
	}
	connection := v.connectionFilter(query, connections)
	q.Connection = store.ConnectionID(connection.Value)
	from, until := v.day(query, "from", w.t("audit.from"), q), v.day(query, "until", w.t("audit.until"), q)
	q.From = from.at
	if q.Until = until.at; !q.Until.IsZero() {
		q.Until = q.Until.AddDate(0, 0, 1)
	}
	q.fields = []field{actor, about, action, connection, from.field, until.field}
	q.filtered = slices.ContainsFunc([]string{"q", "actor", "subject", "action", "connection", "from", "until", "request"}, func(name string) bool { return query.Get(name) != "" })
	return q, nil
}

// dayField is a field for a day, with its beginning where the visitor is.
type dayField struct {
	field
	at time.Time
}

func (v *visit) day(query url.Values, name, label string, q *auditFilters) dayField {
	d := dayField{field: field{Name: name, Label: label, Value: query.Get(name), Type: "date"}}
	if d.Value == "" {
		return d
	}
	var err error
	if d.at, err = time.ParseInLocation(time.DateOnly, d.Value, v.zone); err != nil {
		d.Error, q.nothing = v.words.t("audit.day"), true
	}
	return d
}

// auditActor is the id of the actor that somebody typed: a person's name, or what
// the log has for others, such as the user of a command line.
func (s *Server) auditActor(ctx context.Context, v *visit, typed string) (string, error) {
	if typed == "" {
		return "", nil
	}
	one, _, err := s.store.Somebody(ctx, v.tenant(), typed)
	if errors.Is(err, store.ErrNotFound) {
		return typed, nil
	}
	return one.ID, err
}

// auditSubject is the id of the person or the group that somebody typed, or an id
// as it is.
func (s *Server) auditSubject(ctx context.Context, v *visit, typed string) (string, error) {
	if typed == "" || anID.MatchString(typed) {
		return typed, nil
	}
	one, _, err := s.store.Somebody(ctx, v.tenant(), typed)
	if errors.Is(err, store.ErrNotFound) {
		one, _, err = s.store.GroupNamed(ctx, v.tenant(), typed)
	}
	return one.ID, err
}

var anID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// didPrefix begins the key of each action's sentence; in it the dots are _.
const didPrefix = "audit.did."

// actionsOf are the actions that a choice stands for: a kind such as grant, or one
// action alone.
func actionsOf(w *words, choice string) (actions []string) {
	if choice == "" {
		return nil
	}
	if strings.Contains(choice, ".") {
		return []string{choice}
	}
	for _, action := range store.Actions() {
		if kindOf(action) == choice {
			actions = append(actions, action)
		}
	}
	if actions == nil {
		return []string{choice} // there is none
	}
	return actions
}

func kindOf(action string) string {
	kind, _, _ := strings.Cut(action, ".")
	return kind
}

func (v *visit) actionOptions() []option {
	var options []option
	for _, action := range store.Actions() {
		kind := kindOf(action)
		if !slices.ContainsFunc(options, func(o option) bool { return o.Value == kind }) {
			options = append(options, option{Value: kind, Text: v.words.t("audit.kind." + kind)})
		}
	}
	sortOptions(options)
	return options
}

// chain says what a check of the log found.
func (v *visit) chain(check store.LogCheck) chainFact {
	w := v.words
	f := chainFact{Check: v.link("/audit/check")}
	if check.At.IsZero() {
		f.Text = w.t("audit.unchecked")
		return f
	}
	at := v.instant(check.At)
	f.At, f.Text = &at, w.n("audit.intact", int(check.Changes))
	if check.Unsealed > 0 {
		f.Unsealed = w.n("audit.unsealed", int(check.Unsealed))
	}
	if check.Seals > 0 {
		f.Last = strconv.FormatInt(check.Seals, 10) + ":" + check.Hash
	}
	if len(check.Breaks) > 0 {
		f.Broken, f.Text = true, w.n("audit.broken", len(check.Breaks))
	}
	for _, b := range check.Breaks {
		key := strings.ReplaceAll(b.Kind, "-", "_")
		if b.Until > b.Seal {
			key = "seals_missing"
		}
		found := chainBreak{Text: w.t("audit.break."+key, "seal", int(b.Seal), "until", int(b.Until)), At: v.instant(b.At)}
		if b.Change != "" && b.Kind != store.ChangeMissing {
			found.Href = v.link("/audit/" + string(b.Change))
		}
		f.Breaks = append(f.Breaks, found)
	}
	return f
}

// checkPage says how the chain of the log is.
type checkPage struct {
	page
	// Known is what the last check found, and Chain what this one does; Problem is why
	// it found nothing.
	Known, Chain chainFact
	Problem      string
}

// auditCheck checks the whole chain. That takes a while: what is known comes first.
func (s *Server) auditCheck(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := everywhereOnly(v); err != nil {
		return err
	}
	p := &checkPage{page: v.page("audit.checkTitle"), Known: v.chain(s.store.LastLogCheck(v.tenant()))}
	return s.renderSlowly(w, "check", p, func() {
		check, err := s.store.CheckLog(r.Context(), v.tenant())
		if err != nil {
			s.log.Error("check the log", "error", err, "request", v.id)
			p.Problem = v.words.t("audit.notChecked", "id", v.id)
			return
		}
		p.Chain = v.chain(check)
	})
}

// changePage is one change with all that is known of it.
type changePage struct {
	page
	Change store.Change
	At     when
	Said   sentence
	Actor  string
	Source string
	Bad    string
	Table  table
	// Details are what it changed.
	Details []store.Detail
	More    []more
}

// more leads to other changes.
type more struct{ Text, Href string }

func (s *Server) auditOne(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := everywhereOnly(v); err != nil {
		return err
	}
	ctx := r.Context()
	c, err := s.store.ChangeByID(ctx, v.tenant(), store.ChangeID(r.PathValue("id")))
	if err != nil {
		return err
	}
	details, err := s.store.ChangeDetails(ctx, c)
	if err != nil {
		return err
	}
	tell, err := s.teller(ctx, v, []store.Change{c})
	if err != nil {
		return err
	}
	words := v.words
	p := &changePage{
		page: v.page("audit.one"), Change: c, At: v.instant(c.At), Said: tell.sentence(c), Actor: tell.who(c).Text, Source: tell.connections[c.ConnectionID], Details: details,
		Table: table{ID: "details", Caption: words.t("audit.detail"), Columns: v.columns("audit.field", "audit.before:wide", "audit.after:wide")},
	}
	for _, b := range s.store.LastLogCheck(v.tenant()).Breaks {
		if b.Change == c.ID {
			p.Bad = v.chain(store.LogCheck{At: store.At(v.now), Breaks: []store.LogBreak{b}}).Breaks[0].Text
		}
	}
	if undo := v.link("/changes/" + string(c.ID) + "/revert"); undo != "" && impact.Undoable(c.Action) {
		p.More = append(p.More, more{words.t("impact.revert"), undo})
	}
	name := cmp.Or(c.SubjectName, words.t("audit.unnamed"))
	p.More = append(p.More, more{words.t("audit.sameSubject", "name", name), address("/audit", nil, "subject", c.SubjectID)})
	if c.ActorID != "" {
		p.More = append(p.More, more{words.t("audit.sameActor", "name", p.Actor), address("/audit", nil, "actor", c.ActorID)})
	}
	if c.RequestID != "" {
		p.More = append(p.More, more{words.t("audit.sameRequest"), address("/audit", nil, "request", c.RequestID)})
	}
	return s.render(w, http.StatusOK, "change", p)
}

// sentence says what somebody did, in pieces of which some are links.
type sentence []span

type span struct{ Text, Href string }

func (s sentence) String() string {
	var b strings.Builder
	for _, piece := range s {
		b.WriteString(piece.Text)
	}
	return b.String()
}

// teller tells changes, once it knows the names in them.
type teller struct {
	v           *visit
	actors      map[string]store.ActorName
	names       map[string]string
	connections map[store.ConnectionID]string
	granted     *granted
}

// changed is what the details of changes have that sentences speak of.
type changed struct {
	Before, After *access.Grant
	Added         int
	Removed       int
	Product       string
	User          string
	DisplayName   string
	Why           string
	Review        string
	ReviewID      string `json:"review_id"`
	More          int    // refusals that were only counted
}

func detailOf(c store.Change) changed {
	var d changed
	// Of other kinds before and after are no grants, which leaves them as they are.
	if c.SubjectKind == "grant" || !bytes.Contains([]byte(c.Detail), []byte(`"before"`)) && !bytes.Contains([]byte(c.Detail), []byte(`"after"`)) {
		_ = json.Unmarshal([]byte(c.Detail), &d)
	}
	return d
}

// grant is the one that a change is about: as it became, or as it was.
func (d changed) grant() *access.Grant { return cmp.Or(d.After, d.Before) }

// teller finds the names of those whom changes are about.
func (s *Server) teller(ctx context.Context, v *visit, changes []store.Change) (*teller, error) {
	t := &teller{v: v, connections: map[store.ConnectionID]string{}, granted: &granted{words: v.words, policy: v.policy}}
	var err error
	if t.actors, err = s.store.ActorNames(ctx, v.tenant(), changes); err != nil {
		return nil, err
	}
	var users []access.UserID
	var groups []access.GroupID
	for _, c := range changes {
		d := detailOf(c)
		if g := d.grant(); g != nil && g.Subject.User != "" {
			users = append(users, g.Subject.User)
		} else if g != nil && g.Subject.Group != "" {
			groups = append(groups, g.Subject.Group)
		}
		if anID.MatchString(d.User) {
			users = append(users, access.UserID(d.User))
		}
	}
	if t.names, err = s.store.Names(ctx, v.tenant(), users, groups); err != nil {
		return nil, err
	}
	connections, err := s.store.Connections(ctx, v.tenant())
	for _, c := range connections {
		t.connections[c.ID] = c.Name
	}
	return t, err
}

var placeholder = regexp.MustCompile(`\{\w+\}`)

// sentence tells a change.
func (t *teller) sentence(c store.Change) sentence {
	w, d := t.v.words, detailOf(c)
	key := strings.ReplaceAll(c.Action, ".", "_")
	if g := d.grant(); g != nil && g.Effect == access.Deny {
		key = map[string]string{store.GrantCreated: "grant_denied", store.GrantEnded: "grant_undenied"}[c.Action]
	}
	if d.More > 0 {
		key += "_more"
	}
	told, ok := w.texts[didPrefix+cmp.Or(key, strings.ReplaceAll(c.Action, ".", "_"))]
	if !ok {
		told = w.find("audit.sentence")
	}
	var all sentence
	end := 0
	for _, at := range placeholder.FindAllStringIndex(told.Other, -1) {
		all = append(all, span{Text: told.Other[end:at[0]]}, t.value(told.Other[at[0]+1:at[1]-1], c, d))
		end = at[1]
	}
	return append(all, span{Text: told.Other[end:]})
}

// value is what stands for a name in the sentence of a change.
func (t *teller) value(name string, c store.Change, d changed) span {
	w := t.v.words
	switch name {
	case "who":
		return t.who(c)
	case "whom":
		return t.whom(d)
	case "connection":
		return span{Text: cmp.Or(t.connections[c.ConnectionID], w.t("audit.scim"))}
	case "grant":
		if g := d.grant(); g != nil {
			g := *g
			g.Effect = access.Allow // the sentence says what is denied
			return span{Text: t.granted.chip(&g).Title, Href: t.v.link("/mappings/" + c.SubjectID)}
		}
	case "added":
		return span{Text: w.number(d.Added)}
	case "removed":
		return span{Text: w.number(d.Removed)}
	case "product":
		return span{Text: d.Product}
	case "group":
		return span{Text: cmp.Or(d.DisplayName, w.t("audit.unnamed"))}
	case "why":
		return span{Text: cmp.Or(d.Why, w.t("audit.unnamed"))}
	case "more":
		return span{Text: w.number(d.More)}
	case "review":
		return span{Text: d.Review, Href: t.v.link("/reviews/" + d.ReviewID)}
	case "action":
		return span{Text: c.Action}
	}
	return span{Text: cmp.Or(c.SubjectName, w.t("audit.unnamed")), Href: t.about(c)}
}

// about is the page of what a change is about, if there is one.
func (t *teller) about(c store.Change) string {
	switch c.SubjectKind {
	case "user":
		return t.v.link("/people/" + c.SubjectID)
	case "group":
		return t.v.link("/groups/" + c.SubjectID)
	case "site":
		return t.v.link("/sites/" + c.SubjectID)
	case "product":
		return t.v.link("/products/" + url.PathEscape(c.SubjectName))
	case "connection":
		return t.v.link("/sync/" + c.SubjectID)
	case "review":
		return t.v.link("/reviews/" + c.SubjectID)
	}
	return ""
}

// whom is for whom a grant is, or whose a session.
func (t *teller) whom(d changed) span {
	w := t.v.words
	g := d.grant()
	switch {
	case g != nil && g.Subject.Everyone:
		return span{Text: w.t("audit.everyone")}
	case g != nil && g.Subject.Group != "":
		return span{cmp.Or(t.names[string(g.Subject.Group)], w.t("audit.gone")), t.v.link("/groups/" + string(g.Subject.Group))}
	case g != nil:
		return span{cmp.Or(t.names[string(g.Subject.User)], w.t("audit.gone")), t.v.link("/people/" + string(g.Subject.User))}
	case anID.MatchString(d.User):
		return span{cmp.Or(t.names[d.User], w.t("audit.gone")), t.v.link("/people/" + d.User)}
	}
	return span{Text: w.t("audit.gone")}
}

// who is who made a change.
func (t *teller) who(c store.Change) span {
	w, actor := t.v.words, t.actors[c.ActorID]
	switch {
	case c.ActorKind == store.ActorPerson:
		return span{cmp.Or(actor.Name, w.t("audit.gone")), t.v.link("/people/" + url.PathEscape(c.ActorID))}
	case c.ActorKind == store.ActorSCIM && actor.Name != "":
		return span{Text: w.t("audit.token", "connection", actor.Connection, "hint", actor.Name)}
	case c.ActorKind == store.ActorSCIM:
		return span{Text: cmp.Or(actor.Connection, t.connections[c.ConnectionID], w.t("audit.scim"))}
	case c.ActorKind == store.ActorCLI:
		return span{Text: w.t("audit.cli", "name", c.ActorID)}
	}
	return span{Text: w.t("audit.system")}
}

// export gives all changes of an address, some at a time, none at the end.
func (s *Server) export(r *http.Request, v *visit) (func() ([]store.Change, error), error) {
	if err := everywhereOnly(v); err != nil {
		return nil, err
	}
	ctx := r.Context()
	q, err := s.auditQuery(ctx, v, r.URL.Query())
	if err != nil {
		return nil, err
	}
	if q.nothing {
		return nil, badRequest{"problem.invalid"}
	}
	after, done := "", false
	return func() ([]store.Change, error) {
		for !done {
			page, err := s.store.Audit(ctx, v.tenant(), q.AuditFilter, after, exportAtOnce)
			if err != nil {
				return nil, err
			}
			if after, done = page.Next, page.Next == ""; len(page.Changes) > 0 {
				return page.Changes, nil
			}
		}
		return nil, nil
	}, nil
}

// auditCSV is all that the filters find, for a spreadsheet.
func (s *Server) auditCSV(w http.ResponseWriter, r *http.Request, v *visit) error {
	next, err := s.export(r, v)
	if err != nil {
		return err
	}
	rows := func() ([][]string, error) {
		changes, err := next()
		if err != nil || len(changes) == 0 {
			return nil, err
		}
		tell, err := s.teller(r.Context(), v, changes)
		var all [][]string
		for _, c := range changes {
			if err != nil {
				return nil, err
			}
			all = append(all, []string{c.At.In(v.zone).Format(time.RFC3339), tell.sentence(c).String(), tell.who(c).Text, c.ActorKind, c.ActorID, c.Action,
				c.SubjectKind, c.SubjectName, c.SubjectID, tell.connections[c.ConnectionID], c.RequestID, string(c.ID), c.Detail})
		}
		return all, nil
	}
	return v.csv(w, "audit.csv", []string{"audit.when", "audit.what", "audit.who", "audit.kindOfActor", "audit.actorId", "audit.action",
		"audit.subjectKind", "audit.about", "audit.subjectId", "audit.source", "audit.request", "audit.id", "audit.detail"}, rows)
}

// auditJSON is the same for programs: the rows as they are hashed (docs/audit.md).
func (s *Server) auditJSON(w http.ResponseWriter, r *http.Request, v *visit) error {
	next, err := s.export(r, v)
	if err != nil {
		return err
	}
	return streamJSON(s, w, v, "audit.json", next)
}

// sealJSON is a seal for whoever checks an export; bytes are hexadecimal.
type sealJSON struct {
	Seq      int64         `json:"seq"`
	Changes  int           `json:"changes"`
	SealedAt store.Instant `json:"sealed_at"`
	Previous string        `json:"previous"`
	Covers   string        `json:"covers"`
	Hash     string        `json:"hash"`
}

func (s *Server) auditSeals(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := everywhereOnly(v); err != nil {
		return err
	}
	var after int64
	return streamJSON(s, w, v, "seals.json", func() ([]sealJSON, error) {
		seals, err := s.store.Seals(r.Context(), v.tenant(), after, 100)
		var all []sealJSON
		for _, seal := range seals {
			after = seal.Seq
			all = append(all, sealJSON{seal.Seq, seal.Changes, seal.SealedAt, hex.EncodeToString(seal.Previous), hex.EncodeToString(seal.Covers), hex.EncodeToString(seal.Hash)})
		}
		return all, err
	})
}

// streamJSON writes a JSON array with a line for each element; next gives some at a
// time, none at the end. An error behind the first breaks the connection off, so
// that nobody takes a part for the whole.
func streamJSON[T any](s *Server, w http.ResponseWriter, v *visit, file string, next func() ([]T, error)) error {
	some, err := next()
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Disposition", `attachment; filename="`+file+`"`)
	var b bytes.Buffer
	separator := "[\n"
	for len(some) > 0 {
		for _, one := range some {
			line, err := json.Marshal(one)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			b.WriteString(separator)
			b.Write(line)
			separator = ",\n"
		}
		if _, err := b.WriteTo(w); err != nil {
			panic(http.ErrAbortHandler)
		}
		if some, err = next(); err != nil {
			s.log.Error("stream "+file, "error", err, "request", v.id)
			panic(http.ErrAbortHandler)
		}
	}
	if separator == "[\n" {
		b.WriteString("[")
	}
	b.WriteString("\n]\n")
	_, _ = b.WriteTo(w) // the browser may be gone
	return nil
}
