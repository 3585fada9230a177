package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/access"

	"github.com/jmoiron/sqlx"
)

// The limits of reviews: how many people one can be about, and how long a reason is,
// in bytes.
const (
	MaxReviewed  = 500
	MaxReviewWhy = 300
)

// RemindReview is how long before a review is due its reviewer is reminded.
const RemindReview = 3 * 24 * time.Hour

// The actions on reviews. What was decided about somebody is a change of that person.
const (
	ReviewOpened    = "review.opened"
	ReviewKept      = "review.kept"
	ReviewRemoved   = "review.removed"
	ReviewFinished  = "review.finished"
	ReviewWithdrawn = "review.withdrawn"
)

// ReviewID names a review.
type ReviewID string

// ReviewScope is what a review is of: a site with everything below it, a product, or
// a role of a product.
type ReviewScope struct {
	Site    access.SiteID    `json:"site,omitempty"`
	Product access.ProductID `json:"product,omitempty"`
	Role    access.RoleID    `json:"role,omitempty"` // with its Product
}

// Review is a look at who has what, somewhere: what each person had when it was
// opened, and what was decided about it.
type Review struct {
	TenantID TenantID `json:"-"`
	ID       ReviewID `json:"-"`
	// Name is what the scope was called when the review was opened.
	Name string `json:"name"`
	ReviewScope
	// Previous is the last review of the same scope that was finished; may be empty.
	Previous ReviewID `json:"previous,omitempty"`
	// Reviewer is who is to decide, with the name of that day.
	Reviewer     UserID  `json:"reviewer"`
	ReviewerName string  `json:"reviewer_name"`
	OpenedBy     string  `json:"-"`
	OpenedAt     Instant `json:"-"`
	DueAt        Instant `json:"due_at"`
	// Months is how long after its end the next one is due; 0 is never.
	Months      int     `json:"months,omitempty"`
	FinishedAt  Instant `json:"-"`
	WithdrawnAt Instant `json:"-"`
	EndedBy     string  `json:"-"`
	// Proposal is the key of the save that its decisions were part of.
	Proposal string `json:"-"`
	ReviewCounts
}

// ReviewCounts is how many people a review is about, how many of them need a decision
// of their own, and what was decided.
type ReviewCounts struct {
	People  int `json:"people"`
	Flagged int `json:"flagged"`
	Kept    int `json:"kept,omitempty"`
	Removed int `json:"removed,omitempty"`
}

// Open reports whether the review waits for decisions.
func (v Review) Open() bool { return v.FinishedAt.IsZero() && v.WithdrawnAt.IsZero() }

// NextAt is when the next review of the scope is due; zero for never, or while this
// one is open.
func (v Review) NextAt() Instant {
	if v.FinishedAt.IsZero() || v.Months == 0 {
		return Instant{}
	}
	return At(v.FinishedAt.AddDate(0, v.Months, 0))
}

func (v Review) subject() subject {
	return subject{kind: "review", id: string(v.ID), name: v.Name}
}

// ReviewFlag is why somebody needs a decision of her own.
type ReviewFlag string

// The flags. Nothing is said of what can't be known: whoever never signed in here may
// use the products every day.
const (
	FlagFirst     ReviewFlag = "first"     // the scope was never reviewed before
	FlagChanged   ReviewFlag = "changed"   // she had something else when it was
	FlagUnused    ReviewFlag = "unused"    // she signed in here once, and not for long
	FlagOutside   ReviewFlag = "outside"   // no provider knows her
	FlagSensitive ReviewFlag = "sensitive" // it can do much harm
)

// ReviewDecided is what was decided about somebody.
type ReviewDecided string

// The decisions.
const (
	DecidedKeep   ReviewDecided = "kept"
	DecidedRemove ReviewDecided = "removed"
	// DecidedGone is no decision: she had left, or had nothing there any more.
	DecidedGone ReviewDecided = "gone"
)

// ReviewPerson is somebody in a review.
type ReviewPerson struct {
	UserID UserID
	Named
	Kind access.Kind
	// SeenAt is when she last signed in here; zero if she never did.
	SeenAt Instant
	// Flags are why she needs a decision of her own; none for the same as last time.
	Flags []ReviewFlag
	ReviewHad
	Decision ReviewDecided // empty while it is open
	Why      string
}

// ReviewHad is what somebody had when the review was opened, and Before what she had
// when it was last reviewed, if that is something else.
type ReviewHad struct {
	Now    []ReviewHolding `json:"now,omitempty"`
	Before []ReviewHolding `json:"before,omitempty"`
	// Levels are what all of it came to, as "product permission level", in order.
	Levels []string `json:"levels,omitempty"`
}

// ReviewHolding is one way to something: a grant, and the groups that lead to it, the
// person's own first. Without groups it is hers alone.
type ReviewHolding struct {
	Grant  access.Grant  `json:"grant"`
	Groups []ReviewGroup `json:"groups,omitempty"`
}

// ReviewGroup is a group with the name of that day.
type ReviewGroup struct {
	ID   access.GroupID `json:"id"`
	Name string         `json:"name"`
}

// ReviewDecisions are all decisions of a review, which are made at once.
type ReviewDecisions struct {
	Review ReviewID
	People []ReviewDecision
	// Proposal is the key of the save that they are part of: not itself a decision.
	Proposal string `json:"-"`
}

// ReviewDecision is one of them.
type ReviewDecision struct {
	User    UserID
	Decided ReviewDecided
	Why     string
}

const reviewColumns = `v.tenant_id, v.id, v.name, v.site, v.product, v.role, v.previous_id, v.reviewer_id, v.reviewer_name, v.opened_by, v.opened_at, v.due_at,
	v.months, v.finished_at, v.withdrawn_at, v.ended_by, v.proposal`

// reviewCounts are the columns of ReviewCounts.
const reviewCounts = `, (SELECT COUNT(*) FROM review_people p WHERE p.tenant_id = v.tenant_id AND p.review_id = v.id),
	(SELECT COUNT(*) FROM review_people p WHERE p.tenant_id = v.tenant_id AND p.review_id = v.id AND p.flags <> '[]'),
	(SELECT COUNT(*) FROM review_people p WHERE p.tenant_id = v.tenant_id AND p.review_id = v.id AND p.decision = 'kept'),
	(SELECT COUNT(*) FROM review_people p WHERE p.tenant_id = v.tenant_id AND p.review_id = v.id AND p.decision = 'removed')`

func (r reader) reviews(ctx context.Context, rest string, args ...any) ([]Review, error) {
	all := []Review{}
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var v Review
		var previous sql.NullString
		err := rows.Scan(&v.TenantID, &v.ID, &v.Name, &v.Site, &v.Product, &v.Role, &previous, &v.Reviewer, &v.ReviewerName, &v.OpenedBy, &v.OpenedAt, &v.DueAt,
			&v.Months, &v.FinishedAt, &v.WithdrawnAt, &v.EndedBy, &v.Proposal, &v.People, &v.Flagged, &v.Kept, &v.Removed)
		v.Previous = ReviewID(previous.String)
		all = append(all, v)
		return err
	}, `SELECT `+reviewColumns+reviewCounts+` FROM reviews v WHERE v.tenant_id = ?`+rest, args...)
	return all, err
}

func (r reader) review(ctx context.Context, rest string, args ...any) (Review, error) {
	found, err := r.reviews(ctx, rest, args...)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Review{}, fmt.Errorf("review: %w", err)
	}
	return found[0], nil
}

// Review gives a review of a tenant. ErrNotFound when there is none.
func (r reader) Review(ctx context.Context, tenant TenantID, id ReviewID) (Review, error) {
	if !validID(string(id)) {
		return Review{}, fmt.Errorf("review %q: %w", cut(string(id), 100), ErrNotFound)
	}
	return r.review(ctx, ` AND v.id = ?`, tenant, id)
}

// OpenReviews gives those of a tenant that wait for decisions, the one that is due
// first in front, at most limit.
func (r reader) OpenReviews(ctx context.Context, tenant TenantID, limit int) ([]Review, error) {
	return r.reviews(ctx, ` AND v.finished_at = 0 AND v.withdrawn_at = 0 ORDER BY v.due_at, v.id LIMIT ?`, tenant, limit)
}

// EndedReviews gives those that were finished or withdrawn, the newest first, behind
// one of an earlier page, at most limit.
func (r reader) EndedReviews(ctx context.Context, tenant TenantID, before ReviewID, limit int) ([]Review, error) {
	before = cmp.Or(before, ReviewID(lastID))
	if !validID(string(before)) {
		return nil, fmt.Errorf("review %q: %w", cut(string(before), 100), ErrNotFound)
	}
	return r.reviews(ctx, ` AND NOT (v.finished_at = 0 AND v.withdrawn_at = 0) AND v.id < `+r.pool.dialect.idParam+` ORDER BY v.id DESC LIMIT ?`, tenant, before, limit)
}

// NextReviews gives for each scope that is to be reviewed again, and of which no
// review is open, the last one that was finished, at most limit.
func (r reader) NextReviews(ctx context.Context, tenant TenantID, limit int) ([]Review, error) {
	const same = ` o.tenant_id = v.tenant_id AND o.site = v.site AND o.product = v.product AND o.role = v.role`
	all, err := r.reviews(ctx, ` AND v.finished_at <> 0 AND v.months > 0
		AND NOT EXISTS (SELECT 1 FROM reviews o WHERE`+same+` AND o.finished_at <> 0 AND o.id > v.id)
		AND NOT EXISTS (SELECT 1 FROM reviews o WHERE`+same+` AND o.finished_at = 0 AND o.withdrawn_at = 0) ORDER BY v.id LIMIT ?`, tenant, limit)
	slices.SortStableFunc(all, func(a, b Review) int { return a.NextAt().Compare(b.NextAt().Time) })
	return all, err
}

// LastReview gives the last review of a scope that was finished. ErrNotFound when
// none was.
func (r reader) LastReview(ctx context.Context, tenant TenantID, of ReviewScope) (Review, error) {
	return r.review(ctx, ` AND v.site = ? AND v.product = ? AND v.role = ? AND v.finished_at <> 0 ORDER BY v.id DESC LIMIT 1`,
		tenant, of.Site, of.Product, of.Role)
}

// ReviewPeople gives everybody in a review, by name.
func (r reader) ReviewPeople(ctx context.Context, tenant TenantID, id ReviewID) ([]ReviewPerson, error) {
	all := []ReviewPerson{}
	if !validID(string(id)) {
		return all, nil
	}
	err := r.each(ctx, func(rows *sqlx.Rows) error {
		var p ReviewPerson
		var flags, had []byte
		err := rows.Scan(&p.UserID, &p.Name, &p.DisplayName, &p.Connection, &p.Kind, &p.SeenAt, &flags, &had, &p.Decision, &p.Why)
		if err == nil {
			err = json.Unmarshal(flags, &p.Flags)
		}
		if err == nil {
			err = json.Unmarshal(had, &p.ReviewHad)
		}
		all = append(all, p)
		return err
	}, `SELECT user_id, user_name, display_name, connection, kind, seen_at, flags, had, decision, why FROM review_people
		WHERE tenant_id = ? AND review_id = ? ORDER BY user_id LIMIT ?`, tenant, id, MaxReviewed)
	if err != nil {
		return nil, fmt.Errorf("review %s: %w", id, err)
	}
	slices.SortStableFunc(all, func(a, b ReviewPerson) int {
		return cmp.Compare(Fold(cmp.Or(a.DisplayName, a.Name)), Fold(cmp.Or(b.DisplayName, b.Name)))
	})
	return all, nil
}

// OpenReview opens a review of people by Reviewer, until DueAt. ErrTaken when one of
// the scope is open already, ErrLimit for more than MaxReviewed people, ErrNotFound
// when the reviewer isn't live, ErrInvalid when something isn't as it must be.
func (tx *Tx) OpenReview(ctx context.Context, v Review, people []ReviewPerson) (Review, error) {
	v.TenantID, v.ID, v.OpenedAt, v.OpenedBy = tx.actor.Tenant, ReviewID(newID()), tx.now, tx.actor.ID
	v.FinishedAt, v.WithdrawnAt, v.EndedBy, v.Proposal = Instant{}, Instant{}, "", ""
	if err := v.check(tx.now); err != nil {
		return v, err
	}
	if len(people) == 0 {
		return v, fmt.Errorf("review of %s: %w: nobody has anything there", v.Name, ErrInvalid)
	}
	if len(people) > MaxReviewed {
		return v, fmt.Errorf("review of %d people: %w", len(people), ErrLimit)
	}
	if _, err := tx.lockLive(ctx, v.Reviewer); err != nil {
		return v, fmt.Errorf("reviewer: %w", err)
	}
	reminded := Instant{}
	if v.DueAt.Sub(tx.now.Time) <= RemindReview { // she is told of it just now
		reminded = tx.now
	}
	_, err := tx.exec(ctx, `INSERT INTO reviews (tenant_id, id, name, site, product, role, previous_id, reviewer_id, reviewer_name, opened_by, opened_at, due_at,
			months, finished_at, withdrawn_at, ended_by, proposal, reminded_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, '', '', ?)`,
		v.TenantID, v.ID, v.Name, v.Site, v.Product, v.Role, optional(v.Previous), v.Reviewer, v.ReviewerName, v.OpenedBy, v.OpenedAt, v.DueAt, v.Months, reminded)
	if err != nil {
		return v, fmt.Errorf("review of %s: %w", v.Name, err)
	}
	v.ReviewCounts = ReviewCounts{People: len(people)}
	for _, p := range people {
		flags, err := asJSON(append([]ReviewFlag{}, p.Flags...))
		if err != nil {
			return v, err
		}
		had, err := asJSON(p.ReviewHad)
		if err != nil {
			return v, err
		}
		if len(p.Flags) > 0 {
			v.Flagged++
		}
		tx.insert(`review_people (tenant_id, review_id, user_id, user_name, display_name, connection, kind, seen_at, flags, had, decision, why)`,
			v.TenantID, v.ID, p.UserID, p.Name, p.DisplayName, p.Connection, p.Kind, p.SeenAt, flags, had, "", "")
	}
	tx.log(ReviewOpened, v.subject(), v)
	return v, nil
}

// RemindOfReviews gives open reviews of all tenants whose reviewers are to be reminded
// now, at most limit, and notes that they were: of those who ask at the same time, one
// gets each.
func (tx *Tx) RemindOfReviews(ctx context.Context, limit int) ([]Review, error) {
	var due []struct {
		TenantID TenantID `db:"tenant_id"`
		ID       ReviewID `db:"id"`
	}
	const waits = `reminded_at = 0 AND finished_at = 0 AND withdrawn_at = 0 AND due_at <= ?`
	until := At(tx.now.Add(RemindReview))
	err := tx.take(ctx, &due, `UPDATE reviews SET reminded_at = ? WHERE `+waits+` AND (tenant_id, id) IN (
		SELECT tenant_id, id FROM reviews WHERE `+waits+` ORDER BY due_at, id LIMIT ?) RETURNING tenant_id, id`, tx.now, until, until, limit)
	if err != nil {
		return nil, err
	}
	all := make([]Review, len(due))
	for i, one := range due {
		if all[i], err = tx.Review(ctx, one.TenantID, one.ID); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// check looks at all that can be wrong with a review beside its people.
func (v Review) check(now Instant) error {
	switch {
	case (v.Site == "") == (v.Product == "") || v.Role != "" && v.Product == "":
		return fmt.Errorf("review: %w: want a site, a product, or a role of a product", ErrInvalid)
	case !now.Before(v.DueAt.Time) || v.DueAt.Year() > 2200:
		return fmt.Errorf("review due %s: %w: want a time to come", v.DueAt, ErrInvalid)
	case v.Months < 0 || v.Months > 120:
		return fmt.Errorf("review every %d months: %w", v.Months, ErrInvalid)
	}
	return names(map[string]string{"name": v.Name, "site": string(v.Site), "product": string(v.Product), "role": string(v.Role)})
}

// lockReview finds an open review of the actor's tenant, and keeps others from ending
// it. ErrInUse when it has ended.
func (tx *Tx) lockReview(ctx context.Context, id ReviewID) (Review, error) {
	var locked ReviewID
	if !validID(string(id)) {
		return Review{}, fmt.Errorf("review %q: %w", cut(string(id), 100), ErrNotFound)
	}
	err := tx.get(ctx, &locked, `SELECT id FROM reviews WHERE tenant_id = ? AND id = ?`+tx.pool.dialect.forUpdate, tx.actor.Tenant, id)
	if err != nil {
		return Review{}, fmt.Errorf("review %s: %w", id, err)
	}
	v, err := tx.Review(ctx, tx.actor.Tenant, id)
	if err == nil && !v.Open() {
		err = fmt.Errorf("review %s: %w: it has ended", id, ErrInUse)
	}
	return v, err
}

// FinishReview notes down all decisions of a review and so ends it. It changes no
// access: that is for whoever calls it, in the same transaction. ErrInUse when the
// review has ended; ErrInvalid unless there is one decision about everybody in it.
func (tx *Tx) FinishReview(ctx context.Context, d ReviewDecisions) error {
	if d.Proposal != "" && !validID(d.Proposal) {
		return fmt.Errorf("proposal %q: %w: no key of a proposal", cut(d.Proposal, 100), ErrInvalid)
	}
	v, err := tx.lockReview(ctx, d.Review)
	if err != nil {
		return err
	}
	people, err := tx.ReviewPeople(ctx, v.TenantID, v.ID)
	if err != nil {
		return err
	}
	open := make(map[UserID]ReviewPerson, len(people))
	for _, p := range people {
		open[p.UserID] = p
	}
	for _, one := range d.People {
		p, ok := open[one.User]
		switch {
		case !ok:
			return fmt.Errorf("review %s: user %q: %w: not in it, or decided twice", v.ID, cut(string(one.User), 100), ErrInvalid)
		case !slices.Contains([]ReviewDecided{DecidedKeep, DecidedRemove, DecidedGone}, one.Decided):
			return fmt.Errorf("review %s: decision %q: %w", v.ID, one.Decided, ErrInvalid)
		case !isText(one.Why) || len(one.Why) > MaxReviewWhy:
			return fmt.Errorf("review %s: reason: %w: want a text of at most %d bytes", v.ID, ErrInvalid, MaxReviewWhy)
		}
		delete(open, one.User)
		tx.decided(&v, p, one)
	}
	if len(open) > 0 {
		return fmt.Errorf("review %s: %w: %d people without a decision", v.ID, ErrInvalid, len(open))
	}
	v.FinishedAt = tx.now
	_, err = tx.exec(ctx, `UPDATE reviews SET finished_at = ?, ended_by = ?, proposal = ? WHERE tenant_id = ? AND id = ?`,
		v.FinishedAt, tx.actor.ID, d.Proposal, v.TenantID, v.ID)
	if err != nil {
		return fmt.Errorf("review %s: %w", v.ID, err)
	}
	tx.log(ReviewFinished, v.subject(), v.ReviewCounts)
	return nil
}

// decided notes down what was decided about somebody.
func (tx *Tx) decided(v *Review, p ReviewPerson, d ReviewDecision) {
	tx.later(`UPDATE review_people SET decision = ?, why = ? WHERE tenant_id = ? AND review_id = ? AND user_id = ?`,
		d.Decided, d.Why, v.TenantID, v.ID, p.UserID)
	action := ReviewKept
	switch d.Decided {
	case DecidedGone:
		return
	case DecidedRemove:
		action = ReviewRemoved
		v.Removed++
	default:
		v.Kept++
	}
	tx.log(action, subject{kind: "user", id: string(p.UserID), name: p.Name},
		map[string]string{"review": v.Name, "review_id": string(v.ID), "why": d.Why})
}

// WithdrawReview ends a review without decisions. ErrInUse when it has ended.
func (tx *Tx) WithdrawReview(ctx context.Context, id ReviewID, why string) error {
	v, err := tx.lockReview(ctx, id)
	if err != nil {
		return err
	}
	if !isText(why) {
		return fmt.Errorf("review %s: reason: %w: no text", id, ErrInvalid)
	}
	_, err = tx.exec(ctx, `UPDATE reviews SET withdrawn_at = ?, ended_by = ? WHERE tenant_id = ? AND id = ?`, tx.now, tx.actor.ID, v.TenantID, v.ID)
	if err != nil {
		return fmt.Errorf("review %s: %w", id, err)
	}
	tx.log(ReviewWithdrawn, v.subject(), map[string]string{"why": cut(strings.TrimSpace(why), MaxReviewWhy)})
	return nil
}
