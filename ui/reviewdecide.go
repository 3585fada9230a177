package ui

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gatehouse/access"
	"gatehouse/internal/review"
	"gatehouse/store"
)

// decidePage asks for the decisions of a review, with what they would do below. All of
// them are in the address, as in the editor of mappings.
type decidePage struct {
	page
	Intro  string
	Action string
	// Asked are those who need a decision of their own, Same those who have what they
	// had, and Gone those about whom nothing is asked any more.
	Asked, Same, Gone []decideRow
	Confirmed         bool
	Back              string
	Panel             *panel
}

// decideRow is somebody to decide about.
type decideRow struct {
	reviewRow
	// Hints say what is to be known of a removal, and what has happened since.
	Hints        []string
	Keep, Remove pick
	Why          field
}

// decideForm reads the decisions of an address.
type decideForm struct {
	*visit
	now     *review.Now
	values  url.Values
	decided map[store.UserID]store.ReviewDecision
	errors  map[store.UserID]string
	// missing is how many still need a decision, and same how many are confirmed
	// together.
	missing, same int
	confirmed     bool
}

// decideReview asks for decisions, shows what they would do, and saves both.
func (s *Server) decideReview(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	one, err := s.visibleReview(r, v)
	if err != nil {
		return err
	}
	path := "/reviews/" + string(one.ID)
	switch {
	case !v.mayReview(one.ReviewScope, access.LevelChange):
		return forbidden{forAccess}
	case !one.Open() && (r.Method == http.MethodGet || one.Proposal == r.PostFormValue("key") && one.EndedBy == string(v.session.UserID)):
		return s.redirect(w, r, path) // also the second of two clicks
	case !one.Open():
		return telling{http.StatusConflict, "reviews.closed"}
	}
	now, err := review.Today(ctx, s.store, one, func(before, after *access.Grant) bool {
		return len(v.policy.MayChange(v.person.Subject, before, after, v.now)) == 0
	})
	switch {
	case errors.Is(err, store.ErrNotFound) && r.Method == http.MethodGet:
		return s.redirect(w, r, path) // there it can be withdrawn
	case errors.Is(err, store.ErrNotFound):
		return telling{http.StatusConflict, "reviews.scopeGone"}
	}
	if err != nil {
		return err
	}
	values, action, err := s.state(r, v)
	if err != nil {
		return err
	}
	f := &decideForm{visit: v, now: now, values: values, decided: map[store.UserID]store.ReviewDecision{}, errors: map[store.UserID]string{}}
	if err := f.read(); err != nil {
		return err
	}
	p, err := f.page(ctx)
	if err != nil {
		return err
	}
	show := func(status int, panel *panel) error {
		if p.Panel = panel; !panel.Bad {
			panel.Save = v.words.n("reviews.submit", len(now.People)-len(p.Gone))
		}
		return s.render(w, status, "review-decide", p)
	}
	if waiting := f.waiting(); waiting != "" {
		status := http.StatusOK
		if r.Method == http.MethodPost {
			status = http.StatusBadRequest
		}
		return show(status, &panel{Waiting: waiting})
	}
	change := proposal{Proposal: now.Proposal(f.decided, f.reason), action: action, done: path, said: "reviews.done"}
	change.Review.Proposal = r.PostFormValue("key")
	err = s.propose(w, r, v, change, show)
	if saving(r) && (errors.Is(err, store.ErrInUse) || errors.Is(err, store.ErrNotFound)) {
		return s.overtaken(ctx, v, one.ID)
	}
	return err
}

// overtaken says what has become of a review that somebody else has changed access
// under while it was saved, perhaps by ending it.
func (s *Server) overtaken(ctx context.Context, v *visit, id store.ReviewID) error {
	one, err := s.store.Review(ctx, v.tenant(), id)
	switch {
	case err != nil:
		return err
	case one.Open():
		return errStale
	}
	return telling{http.StatusConflict, "reviews.closed"}
}

// The values of a decision in an address.
const (
	sayKeep   = "keep"
	sayRemove = "remove"
)

// read reads the decisions. One about somebody who isn't in the review is a mistake of
// nobody who uses the page; one about whoever has left meanwhile doesn't count.
func (f *decideForm) read() error {
	people := map[string]*review.Person{}
	for i := range f.now.People {
		people[string(f.now.People[i].UserID)] = &f.now.People[i]
	}
	for name := range f.values {
		_, id, ok := strings.Cut(name, ".")
		if ok && people[id] == nil {
			return badRequest{"reviews.stranger"}
		}
	}
	f.confirmed = f.values.Get("same") != ""
	for _, p := range f.now.People {
		decision := store.ReviewDecision{User: p.UserID, Decided: store.DecidedKeep}
		switch say := f.values.Get("d." + string(p.UserID)); {
		case p.Gone:
			continue
		case !p.Flagged():
			f.same++
			f.decided[p.UserID] = decision
			continue
		case say == sayKeep:
		case say == sayRemove:
			decision.Decided = store.DecidedRemove
		case say == "":
			f.missing++
			continue
		default:
			return badRequest{"problem.invalid"}
		}
		decision.Why = strings.TrimSpace(f.values.Get("why." + string(p.UserID)))
		if len(decision.Why) > store.MaxReviewWhy || !utf8.ValidString(decision.Why) || strings.ContainsFunc(decision.Why, unicode.IsControl) {
			f.errors[p.UserID] = f.words.t("reviews.whyLong")
		} else if strings.ContainsFunc(decision.Why, store.Turns) {
			f.errors[p.UserID] = f.words.t("sites.turns")
		}
		f.decided[p.UserID] = decision
	}
	return nil
}

// waiting says what is still to be done; "" when all is decided.
func (f *decideForm) waiting() string {
	switch {
	case len(f.errors) > 0:
		return f.words.t("mappings.mend")
	case f.missing > 0:
		return f.words.n("reviews.missing", f.missing)
	case f.same > 0 && !f.confirmed:
		return f.words.n("reviews.unconfirmed", f.same)
	}
	return ""
}

// reason is what a grant says that a removal makes.
func (f *decideForm) reason(d store.ReviewDecision) string {
	name := f.reviewName(f.now.Review)
	if d.Why == "" {
		return f.words.t("reviews.reason", "name", name)
	}
	return f.words.t("reviews.reasonWhy", "name", name, "why", d.Why)
}

// page asks about everybody.
func (f *decideForm) page(ctx context.Context) (*decidePage, error) {
	of, date := f.now.Review, func(at store.Instant) string { return f.words.date(f.instant(at).Time) }
	path := "/reviews/" + string(of.ID)
	p := &decidePage{page: f.visit.page("reviews.deciding", "name", f.reviewName(of)), Action: path + "/decide", Back: path, Confirmed: f.confirmed,
		Intro: f.words.t("reviews.intro", "opened", date(of.OpenedAt), "due", date(of.DueAt), "name", of.ReviewerName)}
	tell, err := f.reviewTeller(ctx, of)
	if err != nil {
		return nil, err
	}
	now := &granted{words: f.words, policy: f.words.policy(f.policy), within: tell.granted.within}
	for i := range f.now.People {
		one := &f.now.People[i]
		row := decideRow{reviewRow: tell.row(one.ReviewPerson)}
		switch {
		case one.Gone:
			p.Gone = append(p.Gone, row)
		case !one.Flagged():
			p.Same = append(p.Same, row)
		default:
			f.ask(&row, one, tell, now)
			p.Asked = append(p.Asked, row)
		}
	}
	return p, nil
}

// ask makes the controls of somebody, and says what a removal would do.
func (f *decideForm) ask(row *decideRow, one *review.Person, tell *reviewTeller, now *granted) {
	w, id := f.words, string(one.UserID)
	say := f.values.Get("d." + id)
	choice := func(value, key string) pick {
		return pick{ID: "d-" + id + "-" + value, Value: value, Text: w.t(key), Checked: say == value}
	}
	row.Keep, row.Remove = choice(sayKeep, "reviews.keep"), choice(sayRemove, "reviews.remove")
	if len(one.Ends)+len(one.Cuts) == 0 {
		row.Remove.Text = w.t(map[bool]string{true: "reviews.denyHere", false: "reviews.deny"}[f.now.Site != ""])
	}
	row.Why = field{Name: "why." + id, Label: w.t("reviews.because"), Value: f.values.Get("why." + id), Error: f.errors[one.UserID]}
	var groups []string
	for _, h := range one.Now {
		if len(h.Groups) > 0 && !slices.Contains(groups, h.Groups[0].Name) {
			groups = append(groups, h.Groups[0].Name)
		}
	}
	if len(groups) > 0 {
		row.Hints = append(row.Hints, w.t("reviews.fromGroup", "groups", w.list(groups), "connection", one.Connection))
	}
	if len(one.Stays) > 0 {
		row.Hints = append(row.Hints, w.t("reviews.stays"))
	}
	if one.Moved {
		var has []string
		for _, h := range one.Has {
			has = append(has, w.t("reviews.has", "what", now.chip(&h.Grant).Title, "how", tell.via(h, one.Connection)))
		}
		row.Hints = append(row.Hints, w.t("reviews.moved", "what", w.list(has)))
	}
	if one.UserID == f.session.UserID {
		row.Hints = append(row.Hints, w.t("reviews.own"))
	}
}
