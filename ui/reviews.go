package ui

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/internal/review"
	"gatehouse/store"
)

func (s *Server) reviewsRoutes() []route {
	view := needs{access.ConsoleAccess, access.LevelView}
	return []route{
		{"GET", "/reviews", view, s.reviews},
		{"GET", "/reviews/new", forAccess, s.startReview},
		{"POST", "/reviews/new", forAccess, s.startReview},
		{"GET", "/reviews/{id}", view, s.review},
		{"GET", "/reviews/{id}/decisions.csv", view, s.reviewCSV},
		{"GET", "/reviews/{id}/decide", forAccess, s.decideReview},
		{"POST", "/reviews/{id}/decide", forAccess, s.decideReview},
		{"POST", "/reviews/{id}/withdraw", forAccess, s.withdrawReview},
	}
}

// reviewsPage lists the reviews: what waits for decisions, what will, and what was
// finished.
type reviewsPage struct {
	page
	New       string // "" for who may start none
	Open      []reviewLine
	OpenTable table
	// Next are scopes that are to be reviewed again.
	Next       []reviewLine
	NextTable  table
	Ended      []reviewLine
	EndedTable table
	Pager      pager
	Empty      empty
}

// reviewLine is a review in a list. Its address is where to decide, for who may, while
// that is to be done.
type reviewLine struct {
	Name, Kind, Href string
	Reviewer         string
	At               when
	// Late says that it should have been done by now.
	Late  bool
	State string
	Count string
}

const (
	reviewsPerPage = 50
	// mostOpen bounds the reviews that a tenant is shown as open.
	mostOpen = 200
)

// mayReview reports whether the visitor has a right over all of a scope. What isn't
// there any more is for those who have it everywhere.
func (v *visit) mayReview(of store.ReviewScope, level access.Level) bool {
	place, err := review.Place(v.policy, of)
	if err != nil {
		place = nil
	}
	return v.mayAt(access.ConsoleAccess, level, place)
}

// reviewable reports whether what a review is of is there.
func (v *visit) reviewable(of store.ReviewScope) bool {
	_, err := review.Place(v.policy, of)
	return err == nil
}

// openReviews are those that wait for decisions and that a visitor with a right over
// their scope may see, the one that is due first in front.
func (v *visit) openReviews(ctx context.Context, level access.Level) ([]store.Review, error) {
	all, err := v.server.store.OpenReviews(ctx, v.tenant(), mostOpen)
	return slices.DeleteFunc(all, func(r store.Review) bool { return !v.mayReview(r.ReviewScope, level) }), err
}

// nextReviews are the scopes to be reviewed again, the soonest first.
func (v *visit) nextReviews(ctx context.Context) ([]store.Review, error) {
	all, err := v.server.store.NextReviews(ctx, v.tenant(), mostOpen)
	return slices.DeleteFunc(all, func(r store.Review) bool { return !v.mayReview(r.ReviewScope, access.LevelView) }), err
}

// work is how many reviews wait for somebody like the visitor, for the navigation. A
// page comes without it rather than not at all.
func (v *visit) work() int {
	if !v.may(access.ConsoleAccess, access.LevelChange) {
		return 0
	}
	open, err := v.openReviews(v.ctx, access.LevelChange)
	if err != nil {
		v.server.log.Warn("count the open reviews", "error", err, "request", v.id)
	}
	return len(open)
}

// reviewName is what the scope of a review is called, and reviewKind what it is: of
// places, which kind of place, where there are several.
func (v *visit) reviewName(r store.Review) string {
	if !v.reviewable(r.ReviewScope) {
		return r.Name
	}
	return review.Name(v.policy, r.ReviewScope)
}

func (v *visit) reviewKind(of store.ReviewScope) string {
	switch {
	case of.Site != "":
		site, _ := v.policy.Site(of.Site)
		all := v.policy.Catalogue().Dimensions
		i := slices.IndexFunc(all, func(d access.Dimension) bool { return d.ID == site.Dimension })
		if i < 0 || len(all) == 1 {
			return v.words.t("reviews.kind.site")
		}
		return cmp.Or(all[i].Name, string(all[i].ID))
	case of.Role != "":
		return v.words.t("reviews.kind.role")
	}
	return v.words.t("reviews.kind.product")
}

func (v *visit) reviewLine(r store.Review) reviewLine {
	l := reviewLine{Name: v.reviewName(r), Kind: v.reviewKind(r.ReviewScope), Href: "/reviews/" + string(r.ID), Reviewer: r.ReviewerName, State: v.reviewState(r)}
	switch {
	case r.Open():
		if v.mayReview(r.ReviewScope, access.LevelChange) && v.reviewable(r.ReviewScope) {
			l.Href += "/decide"
		}
		l.At, l.Late = v.instant(r.DueAt), !v.now.Before(r.DueAt.Time)
		l.Count = v.words.t("reviews.count", "people", v.words.n("people.count", r.People), "flagged", r.Flagged)
	case r.FinishedAt.IsZero():
		l.At = v.instant(r.WithdrawnAt)
	default:
		l.At = v.instant(r.FinishedAt)
		l.Count = v.words.t("reviews.decided", "kept", r.Kept, "removed", r.Removed)
	}
	return l
}

func (v *visit) reviewState(r store.Review) string {
	switch {
	case r.Open():
		return v.words.t("reviews.state.open")
	case r.FinishedAt.IsZero():
		return v.words.t("reviews.state.withdrawn")
	}
	return v.words.t("reviews.state.finished")
}

func (s *Server) reviews(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	before, err := place[store.ReviewID](r)
	if err != nil {
		return err
	}
	ended, err := s.store.EndedReviews(ctx, v.tenant(), before, reviewsPerPage+1)
	if err != nil {
		return err
	}
	open, err := v.openReviews(ctx, access.LevelView)
	if err != nil {
		return err
	}
	next, err := v.nextReviews(ctx)
	if err != nil {
		return err
	}
	p := &reviewsPage{page: v.page("reviews.title"), New: v.link("/reviews/new"),
		OpenTable:  table{ID: "open", Caption: v.words.t("reviews.open"), Columns: v.columns("reviews.of:wide", "reviews.reviewer", "reviews.due", "reviews.people")},
		NextTable:  table{ID: "next", Caption: v.words.t("reviews.next"), Columns: v.columns("reviews.of:wide", "reviews.due", "reviews.last")},
		EndedTable: table{ID: "ended", Caption: v.words.t("reviews.ended"), Columns: v.columns("reviews.of:wide", "reviews.reviewer", "reviews.end", "reviews.decisions")}}
	for _, one := range open {
		p.Open = append(p.Open, v.reviewLine(one))
	}
	for _, one := range next {
		line := v.reviewLine(one)
		line.At, line.Late = v.instant(one.NextAt()), !v.now.Before(one.NextAt().Time)
		if v.mayReview(one.ReviewScope, access.LevelChange) {
			line.Href = address("/reviews/new", nil, "of", scopeText(one.ReviewScope))
		}
		p.Next = append(p.Next, line)
	}
	var last *store.ReviewID
	if len(ended) > reviewsPerPage {
		ended = ended[:reviewsPerPage]
		last = &ended[reviewsPerPage-1].ID
	}
	p.Pager = keyset(r, last)
	for _, one := range ended {
		if v.mayReview(one.ReviewScope, access.LevelView) {
			p.Ended = append(p.Ended, v.reviewLine(one))
		}
	}
	switch {
	case len(open) > 0 || len(p.Next) > 0 && p.Next[0].Late:
	case len(next) > 0:
		p.Empty.Text = v.words.t("reviews.until", "date", v.words.date(p.Next[0].At.Time))
	case len(p.Ended) > 0:
		p.Empty.Text = v.words.t("reviews.noneOpen")
	default:
		p.Empty = empty{Text: v.words.t("reviews.none"), Href: p.New, Link: v.words.t("reviews.new")}
	}
	return s.render(w, http.StatusOK, "reviews", p)
}

// reviewPage is the record of a review, to be shown to whoever asks how access is
// looked after.
type reviewPage struct {
	page
	Facts  []labelled
	Table  table
	People []reviewRow
	CSV    string
	// Undecided is what stands in place of a decision.
	Undecided string
	// Decide is where to decide; "" for who may not, or when it has ended.
	Decide, Withdraw string
	// Gone says that there is nothing to decide about any more.
	Gone string
	// Revert takes back what the review changed.
	Revert string
}

// reviewRow is somebody in a review.
type reviewRow struct {
	ID, Name, UserName, Href string
	// Reasons are why she needs a decision of her own.
	Reasons []string
	// Has is what she had, each with how, and Fewer what she had at the last review and
	// no more.
	Has      []reviewWay
	Fewer    []chip
	Decision string
	Bad      bool
	Why      string
}

// reviewWay is something that somebody had, and how it came about. New says that it was
// otherwise at the last review.
type reviewWay struct {
	chip
	Via string
	New bool
}

// visibleReview is the review of the request's address.
func (s *Server) visibleReview(r *http.Request, v *visit) (store.Review, error) {
	one, err := s.store.Review(r.Context(), v.tenant(), store.ReviewID(r.PathValue("id")))
	if err == nil && !v.mayReview(one.ReviewScope, access.LevelView) {
		err = store.ErrNotFound
	}
	return one, err
}

func (s *Server) review(w http.ResponseWriter, r *http.Request, v *visit) error {
	one, err := s.visibleReview(r, v)
	if err != nil {
		return err
	}
	ctx, path := r.Context(), "/reviews/"+string(one.ID)
	p := &reviewPage{page: v.page("reviews.one", "name", v.reviewName(one)), CSV: path + "/decisions.csv",
		Table: table{ID: "people", Caption: v.words.t("reviews.record"), Hidden: true, Columns: v.columns("reviews.who", "reviews.had:wide", "reviews.why", "reviews.decision")}}
	if one.Open() && v.mayReview(one.ReviewScope, access.LevelChange) {
		p.Decide, p.Withdraw = path+"/decide", path+"/withdraw"
		if !v.reviewable(one.ReviewScope) {
			p.Decide, p.Gone = "", v.words.t("reviews.scopeGone.text")
		}
	}
	p.Undecided = v.words.t("reviews.undecided")
	if !one.WithdrawnAt.IsZero() {
		p.Undecided = v.words.t("reviews.noDecision")
	}
	if p.People, err = s.reviewRows(ctx, v, one); err != nil {
		return err
	}
	if p.Facts, err = s.reviewFacts(ctx, v, one); err != nil {
		return err
	}
	if one.Removed > 0 && v.mayReview(one.ReviewScope, access.LevelChange) {
		saved, _, err := s.store.Proposal(ctx, v.tenant(), one.Proposal)
		if err == nil {
			p.Revert = v.link("/changes/" + string(saved.ID) + "/revert")
		}
	}
	return s.render(w, http.StatusOK, "review", p)
}

// reviewFacts say who did what when.
func (s *Server) reviewFacts(ctx context.Context, v *visit, one store.Review) ([]labelled, error) {
	who, err := s.store.ActorNames(ctx, v.tenant(), []store.Change{{ActorKind: store.ActorPerson, ActorID: one.OpenedBy}, {ActorKind: store.ActorPerson, ActorID: one.EndedBy}})
	if err != nil {
		return nil, err
	}
	w := v.words
	var all []labelled
	add := func(key, text, href string) {
		if text != "" {
			all = append(all, labelled{Label: w.t(key), Text: text, Href: href})
		}
	}
	by := func(at store.Instant, id string) string {
		if at.IsZero() {
			return ""
		}
		return w.t("reviews.by", "at", w.clock(v.instant(at).Time), "name", cmp.Or(who[id].Name, id))
	}
	add("reviews.state", v.reviewState(one), "")
	add("reviews.kind", v.reviewKind(one.ReviewScope), "")
	add("reviews.reviewer", one.ReviewerName, "")
	add("reviews.opened", by(one.OpenedAt, one.OpenedBy), "")
	add("reviews.due", w.date(v.instant(one.DueAt).Time), "")
	add("reviews.finishedAt", by(one.FinishedAt, one.EndedBy), "")
	add("reviews.withdrawnAt", by(one.WithdrawnAt, one.EndedBy), "")
	add("reviews.people", w.t("reviews.count", "people", w.n("people.count", one.People), "flagged", one.Flagged), "")
	if !one.FinishedAt.IsZero() {
		add("reviews.decisions", w.t("reviews.decided", "kept", one.Kept, "removed", one.Removed), "")
	}
	if one.Previous != "" {
		previous, err := s.store.Review(ctx, v.tenant(), one.Previous)
		if err != nil {
			return nil, err
		}
		add("reviews.previous", w.date(v.instant(previous.FinishedAt).Time), v.link("/reviews/"+string(previous.ID)))
	}
	if next := one.NextAt(); !next.IsZero() {
		add("reviews.again", w.date(v.instant(next).Time), "")
	}
	return all, nil
}

// reviewRows are the people of a review, those who need a decision first.
func (s *Server) reviewRows(ctx context.Context, v *visit, one store.Review) ([]reviewRow, error) {
	people, err := s.store.ReviewPeople(ctx, v.tenant(), one.ID)
	if err != nil {
		return nil, err
	}
	tell, err := v.reviewTeller(ctx, one)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(people, func(a, b store.ReviewPerson) int { return compareBool(len(a.Flags) == 0, len(b.Flags) == 0) })
	var all []reviewRow
	for _, p := range people {
		all = append(all, tell.row(p))
	}
	return all, nil
}

// reviewTeller puts people of a review into words, with the names of the day on which
// it was opened.
type reviewTeller struct {
	v       *visit
	review  store.Review
	granted *granted
}

func (v *visit) reviewTeller(ctx context.Context, one store.Review) (*reviewTeller, error) {
	policy, err := v.policyAt(ctx, one.OpenedAt.Time)
	t := &reviewTeller{v: v, review: one, granted: &granted{words: v.words, policy: policy}}
	if v.scoped(access.ConsolePeople, access.LevelView) {
		t.granted.within = v.area(access.ConsolePeople, access.LevelView)
	}
	return t, err
}

func (t *reviewTeller) row(p store.ReviewPerson) reviewRow {
	w := t.v.words
	row := reviewRow{ID: string(p.UserID), Name: cmp.Or(p.DisplayName, p.Name), UserName: p.Name, Href: t.v.link("/people/" + string(p.UserID)),
		Bad: p.Decision == store.DecidedRemove, Why: p.Why}
	for _, flag := range p.Flags {
		row.Reasons = append(row.Reasons, t.reason(flag, p))
	}
	changed := slices.Contains(p.Flags, store.FlagChanged) && p.Before != nil
	isNew, fewer := review.Changes(t.granted.policy, t.review.ReviewScope, p.ReviewHad)
	for i, h := range p.Now {
		via := t.via(h, p.Connection)
		if h.Grant.From.After(t.review.OpenedAt.Time) {
			via = w.t("reviews.later", "via", via, "from", w.date(h.Grant.From.In(t.v.zone)))
		}
		row.Has = append(row.Has, reviewWay{t.granted.chip(&h.Grant), via, changed && isNew[i]})
	}
	for _, h := range fewer {
		row.Fewer = append(row.Fewer, t.granted.chip(&h.Grant))
	}
	if p.Decision != "" {
		row.Decision = w.t("reviews.decision." + string(p.Decision))
		if p.Decision == store.DecidedKeep && len(p.Flags) == 0 {
			row.Decision = w.t("reviews.decision.same")
		}
		if string(p.UserID) == t.review.EndedBy {
			row.Decision = w.t("reviews.decision.own", "decision", row.Decision)
		}
	}
	return row
}

// reason says why somebody needs a decision of her own.
func (t *reviewTeller) reason(flag store.ReviewFlag, p store.ReviewPerson) string {
	w := t.v.words
	switch {
	case flag == store.FlagUnused:
		return w.t("reviews.flag.unused", "date", w.date(t.v.instant(p.SeenAt).Time))
	case flag == store.FlagOutside && p.Kind != access.KindEmployee:
		return w.t("reviews.flag.outsideKind", "kind", w.t("kind."+string(p.Kind)))
	case flag == store.FlagChanged && p.Before == nil:
		return w.t("reviews.flag.new")
	}
	return w.t("reviews.flag." + string(flag))
}

// via is how somebody has something: through which groups of which provider, or alone.
func (t *reviewTeller) via(h store.ReviewHolding, connection string) string {
	if len(h.Groups) == 0 {
		return t.v.words.t("reviews.direct")
	}
	var names []string
	for _, g := range h.Groups {
		names = append(names, g.Name)
	}
	return t.v.words.t("reviews.via", "groups", strings.Join(names, " › "), "connection", connection)
}

// reviewCSV is the record as a file.
func (s *Server) reviewCSV(w http.ResponseWriter, r *http.Request, v *visit) error {
	one, err := s.visibleReview(r, v)
	if err != nil {
		return err
	}
	people, err := s.reviewRows(r.Context(), v, one)
	if err != nil {
		return err
	}
	ended := ""
	if !one.FinishedAt.IsZero() {
		ended = one.FinishedAt.In(v.zone).Format(time.RFC3339)
	}
	by, err := s.store.ActorNames(r.Context(), v.tenant(), []store.Change{{ActorKind: store.ActorPerson, ActorID: one.EndedBy}})
	if err != nil {
		return err
	}
	var rows [][]string
	for _, p := range people {
		var has []string
		for _, h := range p.Has {
			has = append(has, h.Title+" ("+h.Via+")")
		}
		rows = append(rows, []string{p.Name, p.UserName, strings.Join(has, "; "), strings.Join(p.Reasons, "; "), p.Decision, p.Why, cmp.Or(by[one.EndedBy].Name, one.EndedBy), ended, p.ID})
	}
	return v.csv(w, "review.csv", []string{"reviews.who", "people.userName", "reviews.had", "reviews.why", "reviews.decision", "reviews.reasonGiven", "reviews.decidedBy", "reviews.end", "people.id"},
		func() ([][]string, error) {
			some := rows
			rows = nil
			return some, nil
		})
}

// withdrawReview ends a review that was started by mistake.
func (s *Server) withdrawReview(w http.ResponseWriter, r *http.Request, v *visit) error {
	one, err := s.visibleReview(r, v)
	if err != nil {
		return err
	}
	if !v.mayReview(one.ReviewScope, access.LevelChange) {
		return forbidden{forAccess}
	}
	if !one.Open() {
		return telling{http.StatusConflict, "reviews.closed"}
	}
	err = s.store.Write(r.Context(), v.actor(), func(tx *store.Tx) error {
		return tx.WithdrawReview(r.Context(), one.ID, r.PostFormValue("why"))
	})
	if err != nil {
		return err
	}
	return s.say(w, r, "/reviews", "", "reviews.withdrawn", "name", v.reviewName(one))
}

// reviewsFact says what is to be reviewed.
func (s *Server) reviewsFact(ctx context.Context, v *visit) (fact, error) {
	f := fact{Href: v.link("/reviews")}
	open, err := v.openReviews(ctx, access.LevelView)
	if err != nil {
		return f, err
	}
	next, err := v.nextReviews(ctx)
	if err != nil {
		return f, err
	}
	for _, one := range open[:min(len(open), 5)] {
		line := v.reviewLine(one)
		key := "reviews.line"
		if line.Late {
			key = "reviews.late"
		}
		f.Lines = append(f.Lines, factLine{Text: v.words.t(key, "name", line.Name, "date", v.words.date(line.At.Time)), Href: line.Href, Bad: line.Late})
	}
	due := slices.DeleteFunc(slices.Clone(next), func(r store.Review) bool { return v.now.Before(r.NextAt().Time) })
	for _, one := range due[:min(len(due), 5)] {
		f.Lines = append(f.Lines, factLine{Text: v.words.t("reviews.dueAgain", "name", v.reviewName(one)), Href: f.Href, Bad: true})
	}
	switch n := len(open) + len(due); {
	case n > 0:
		f.Text = v.words.n("reviews.dueCount", n)
	case len(next) > 0:
		f.Text = v.words.t("reviews.until", "date", v.words.date(v.instant(next[0].NextAt()).Time))
	default:
		f.Text = v.words.t("reviews.noneOpen")
	}
	return f, nil
}
