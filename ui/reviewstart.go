package ui

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/internal/review"
	"gatehouse/store"
)

// startPage starts a review. All of it is in the address, with what it would ask for
// below.
type startPage struct {
	page
	Of              picker
	Due, Months, By field
	// Chosen is what was chosen, and Kind what that is.
	Chosen, Kind string
	// Waiting says what is still to be chosen; the rest is empty then.
	Waiting string
	// Counts say how many people it is about; Large, that those are too many decisions,
	// and Narrower what could be reviewed instead.
	Counts   []string
	Large    string
	Narrower []step
	// There leads to the review of the same that is open already.
	There string
	// Action starts it; "" if that can't be.
	Action string
}

// scopeText names a scope in an address, and readScope reads it.
func scopeText(of store.ReviewScope) string {
	switch {
	case of.Site != "":
		return "site/" + url.PathEscape(string(of.Site))
	case of.Role != "":
		return "role/" + url.PathEscape(string(of.Product)) + "/" + url.PathEscape(string(of.Role))
	}
	return "product/" + url.PathEscape(string(of.Product))
}

func readScope(text string) (of store.ReviewScope, ok bool) {
	parts := strings.Split(text, "/")
	for i := range parts {
		part, err := url.PathUnescape(parts[i])
		if err != nil {
			return of, false
		}
		parts[i] = part
	}
	switch {
	case len(parts) == 2 && parts[0] == "site":
		of.Site = access.SiteID(parts[1])
	case len(parts) == 2 && parts[0] == "product":
		of.Product = access.ProductID(parts[1])
	case len(parts) == 3 && parts[0] == "role":
		of.Product, of.Role = access.ProductID(parts[1]), access.RoleID(parts[2])
	}
	return of, of != store.ReviewScope{}
}

// startForm reads the form of a new review.
type startForm struct {
	*visit
	values url.Values
	review store.Review
	errors map[string]string // by field
}

func (s *Server) startReview(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx := r.Context()
	f := &startForm{visit: v, values: r.URL.Query(), errors: map[string]string{}}
	if err := f.read(ctx); err != nil {
		return err
	}
	p := &startPage{page: v.page("reviews.new")}
	f.fill(p)
	status := http.StatusOK
	switch {
	case len(f.errors) > 0:
		p.Waiting = v.words.t("mappings.mend")
	case f.review.ReviewScope == store.ReviewScope{}:
		p.Waiting = v.words.t("reviews.choose")
	case r.Method == http.MethodPost:
		opened, err := review.Open(ctx, s.store, v.actor(), f.review, func(tx *store.Tx, opened store.Review) error { return s.tellReviewer(r, tx, v, opened) })
		switch {
		case err == nil:
			if s.mail != nil {
				s.mail.Wake()
			}
			return s.say(w, r, "/reviews/"+string(opened.ID)+"/decide", "", "reviews.started", "name", v.reviewName(opened))
		case errors.Is(err, store.ErrTaken): // also the second of two clicks
			return s.redirect(w, r, cmp.Or(f.there(ctx), "/reviews"))
		case !f.tells(p, err):
			return err
		}
		status = http.StatusConflict
	default:
		if err := f.preview(ctx, p); err != nil {
			return err
		}
	}
	if p.Waiting != "" && r.Method == http.MethodPost && status == http.StatusOK {
		status = http.StatusBadRequest
	}
	return s.render(w, status, "review-new", p)
}

// tells reports whether an error is one that the page tells.
func (f *startForm) tells(p *startPage, err error) bool {
	switch {
	case errors.Is(err, store.ErrLimit):
		p.Waiting = f.words.t("reviews.tooMany", "n", store.MaxReviewed)
		p.Narrower = f.narrower()
	case errors.Is(err, store.ErrInvalid):
		p.Waiting = f.words.t("reviews.nobody")
	default:
		return false
	}
	return true
}

// there is the address of the review of the scope that is open, "" if there is none.
func (f *startForm) there(ctx context.Context) string {
	open, err := f.openReviews(ctx, access.LevelChange)
	i := slices.IndexFunc(open, func(r store.Review) bool { return r.ReviewScope == f.review.ReviewScope })
	if err != nil || i < 0 {
		return ""
	}
	return "/reviews/" + string(open[i].ID) + "/decide"
}

// read makes the review of the form. What isn't the visitor's to review is not found.
func (f *startForm) read(ctx context.Context) error {
	if text := f.values.Get("of"); text != "" {
		of, ok := readScope(text)
		if !ok {
			return badRequest{"problem.invalid"}
		}
		if _, err := review.Place(f.policy, of); err != nil || !f.mayReview(of, access.LevelChange) {
			return store.ErrNotFound
		}
		if site, ok := f.policy.Site(of.Site); ok && site.Archived {
			return store.ErrNotFound
		}
		f.review.ReviewScope = of
	}
	today := f.now.In(f.zone)
	due := time.Date(today.Year(), today.Month(), today.Day()+dueDays, 0, 0, 0, 0, f.zone)
	if text := f.values.Get("due"); text != "" {
		var ok bool
		if due, ok = f.theDay(text); !ok || due.AddDate(0, 0, 1).Before(f.now) {
			f.errors["due"] = f.words.t("invitations.noDate")
		}
	}
	f.review.DueAt = store.At(due.AddDate(0, 0, 1).Add(-time.Millisecond))
	months, ok := rhythms[f.values.Get("months")]
	if !ok {
		return badRequest{"problem.invalid"}
	}
	f.review.Months = months
	return f.readReviewer(ctx)
}

// dueDays is how long a reviewer has, unless somebody says otherwise.
const dueDays = 14

// rhythms are after how many months a review can be due again.
var rhythms = map[string]int{"": 0, "3": 3, "6": 6, "12": 12}

// readReviewer finds who is to decide: somebody by her user name who may change access
// there, or the visitor herself.
func (f *startForm) readReviewer(ctx context.Context) error {
	f.review.Reviewer, f.review.ReviewerName = f.session.UserID, name(f.person)
	text := strings.TrimSpace(f.values.Get("reviewer"))
	if text == "" {
		return nil
	}
	mine, _ := f.mine()
	found, _, err := f.server.store.Somebody(ctx, f.tenant(), text)
	place, _ := review.Place(f.policy, f.review.ReviewScope)
	decides := access.Question{Product: access.ConsoleID, Permission: access.ConsoleAccess, Level: access.LevelChange, Place: place}
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrAmbiguous), err == nil && !sees(mine, found.Subject):
		f.errors["reviewer"] = f.words.t("invitations.noSponsor")
		return nil
	case err == nil && f.review.ReviewScope != (store.ReviewScope{}) && !f.policy.Allows(found.Subject, decides, f.now):
		f.errors["reviewer"] = f.words.t("reviews.noReviewer")
	}
	f.review.Reviewer, f.review.ReviewerName = store.UserID(found.ID), name(found)
	return err
}

// fill puts the form on its page.
func (f *startForm) fill(p *startPage) {
	w, values := f.words, f.values
	p.Of = picker{Name: "of", Legend: w.t("reviews.of"), Type: "radio"}
	p.Of.choose(f.visit, f.scopes(), values)
	if f.review.ReviewScope != (store.ReviewScope{}) {
		p.Chosen, p.Kind = f.reviewName(f.review), f.reviewKind(f.review.ReviewScope)
	}
	p.Due = field{Name: "due", Type: "date", Label: w.t("reviews.due"), Value: cmp.Or(values.Get("due"), f.review.DueAt.In(f.zone).Format(time.DateOnly)), Error: f.errors["due"]}
	var months []option
	for _, n := range []string{"3", "6", "12"} {
		months = append(months, option{Value: n, Text: w.n("reviews.months", rhythms[n])})
	}
	p.Months = choose("months", w.t("reviews.rhythm"), w.t("reviews.once"), values.Get("months"), months)
	p.By = field{Name: "reviewer", Label: w.t("reviews.reviewer"), Value: values.Get("reviewer"), Any: f.person.UserName, Hint: w.t("reviews.reviewerHint"), Error: f.errors["reviewer"]}
}

// scopes are what the visitor may review.
func (f *startForm) scopes() []pick {
	var all []pick
	add := func(of store.ReviewScope) {
		if f.mayReview(of, access.LevelChange) {
			all = append(all, pick{Value: scopeText(of), Text: review.Name(f.policy, of), Detail: f.reviewKind(of)})
		}
	}
	for _, o := range siteOptions(f.policy, f.area(access.ConsoleAccess, access.LevelChange)) {
		if site, _ := f.policy.Site(access.SiteID(o.Value)); !site.Archived {
			add(store.ReviewScope{Site: site.ID})
		}
	}
	for _, product := range consoleLast(f.policy.Products()) {
		add(store.ReviewScope{Product: product.ID})
		for _, role := range product.Roles {
			add(store.ReviewScope{Product: product.ID, Role: role.ID})
		}
	}
	return all
}

// preview says what the review would ask for.
func (f *startForm) preview(ctx context.Context, p *startPage) error {
	if p.There = f.there(ctx); p.There != "" {
		p.Waiting = f.words.t("reviews.already")
		return nil
	}
	people, err := review.Look(ctx, f.server.store, f.tenant(), f.review.ReviewScope)
	if err != nil {
		if f.tells(p, err) {
			err = nil
		}
		return err
	}
	if len(people) == 0 {
		p.Waiting = f.words.t("reviews.nobody")
		return nil
	}
	flagged := 0
	for _, one := range people {
		if len(one.Flags) > 0 {
			flagged++
		}
	}
	p.Counts = []string{f.words.n("people.count", len(people)), f.words.n("reviews.flagged", flagged)}
	if same := len(people) - flagged; same > 0 {
		p.Counts = append(p.Counts, f.words.n("reviews.same", same))
	}
	if flagged > review.AtMost {
		p.Large, p.Narrower = f.words.t("reviews.large", "n", flagged, "most", review.AtMost), f.narrower()
	}
	p.Action = address("/reviews/new", f.values, "", "")
	return nil
}

// narrower are parts of the scope: the sites below, or the roles.
func (f *startForm) narrower() (all []step) {
	add := func(of store.ReviewScope) {
		if len(all) < fewOptions {
			all = append(all, step{Text: review.Name(f.policy, of), Href: address("/reviews/new", f.values, "of", scopeText(of))})
		}
	}
	of := f.review.ReviewScope
	for _, site := range f.policy.Catalogue().Sites {
		if of.Site != "" && site.Parent == of.Site && !site.Archived {
			add(store.ReviewScope{Site: site.ID})
		}
	}
	product, _ := f.policy.Product(of.Product)
	for _, role := range product.Roles {
		if of.Role == "" {
			add(store.ReviewScope{Product: product.ID, Role: role.ID})
		}
	}
	return all
}
