package storetest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// reviewed is somebody with something to be looked at.
func reviewed(id store.UserID, name string, g access.Grant, flags ...store.ReviewFlag) store.ReviewPerson {
	return store.ReviewPerson{UserID: id, Named: store.Named{Name: name, DisplayName: strings.ToUpper(name), Connection: "entra"}, Kind: access.KindEmployee, Flags: flags,
		ReviewHad: store.ReviewHad{Now: []store.ReviewHolding{{Grant: g, Groups: []store.ReviewGroup{{ID: "g", Name: "Guards"}}}}, Levels: []string{"clicktime timesheet view"}}}
}

func (p place) openReview(t *testing.T, v store.Review, people ...store.ReviewPerson) store.Review {
	t.Helper()
	p.write(t, func(tx *store.Tx) (err error) {
		v, err = tx.OpenReview(t.Context(), v, people)
		return err
	})
	return v
}

func reviews(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p, other := acme(t, s), newPlace(t, s, "globex", "okta")
	tree := p.addCatalogue(t)
	ids := p.addPeople(t, "ann", "bob", "eva")
	p = p.byHand(ids[0])
	g := grant(toUser(ids[1]), at(tree.berlin))
	of := store.ReviewScope{Site: tree.berlin}
	wish := store.Review{Name: "Berlin", ReviewScope: of, Reviewer: ids[0], ReviewerName: "Ann", DueAt: store.At(s.Now().AddDate(0, 0, 14)), Months: 3}
	people := []store.ReviewPerson{reviewed(ids[1], "bob", g, store.FlagFirst, store.FlagSensitive), reviewed(ids[2], "eva", g), reviewed(ids[0], "ann", g)}
	people[0].SeenAt, people[1].Before = store.At(s.Now().Add(-time.Hour)), people[2].Now
	v := p.openReview(t, wish, people...)

	want := wish
	want.TenantID, want.ID, want.OpenedAt, want.OpenedBy = p.ref.Tenant, v.ID, v.OpenedAt, string(ids[0])
	want.ReviewCounts = store.ReviewCounts{People: 3, Flagged: 1}
	got, err := s.Review(ctx, p.ref.Tenant, v.ID)
	if diff := cmp.Diff(want, got); err != nil || diff != "" || !got.Open() || !got.NextAt().IsZero() {
		t.Errorf("opened: %v, -want +got\n%s", err, diff)
	}
	inIt, err := s.ReviewPeople(ctx, p.ref.Tenant, v.ID)
	if diff := cmp.Diff([]store.ReviewPerson{people[2], people[0], people[1]}, inIt, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("its people, by name: %v, -want +got\n%s", err, diff)
	}
	_, err = s.LastReview(ctx, p.ref.Tenant, of)
	wantErr(t, "the last one, while none was finished", err, store.ErrNotFound)
	list := func(why string, want int, get func() ([]store.Review, error)) {
		t.Helper()
		if all, err := get(); err != nil || len(all) != want || want > 0 && all[0].ID != v.ID {
			t.Errorf("%s: got %d, %v; want %d", why, len(all), err, want)
		}
	}
	tenant := p.ref.Tenant
	list("open", 1, func() ([]store.Review, error) { return s.OpenReviews(ctx, tenant, 10) })
	list("ended, while it is open", 0, func() ([]store.Review, error) { return s.EndedReviews(ctx, tenant, "", 10) })
	list("another tenant's", 0, func() ([]store.Review, error) { return s.OpenReviews(ctx, other.ref.Tenant, 10) })
	_, err = s.Review(ctx, other.ref.Tenant, v.ID)
	wantErr(t, "in another tenant", err, store.ErrNotFound)
	if rows, err := s.ReviewPeople(ctx, other.ref.Tenant, v.ID); err != nil || len(rows) > 0 {
		t.Errorf("its people in another tenant: %v, %v", rows, err)
	}

	for why, c := range map[string]struct {
		want  error
		spoil func(*store.Review)
	}{
		"a second one":          {store.ErrTaken, func(*store.Review) {}},
		"of nothing":            {store.ErrInvalid, func(v *store.Review) { v.Site = "" }},
		"of two things":         {store.ErrInvalid, func(v *store.Review) { v.Product = "clicktime" }},
		"of a role alone":       {store.ErrInvalid, func(v *store.Review) { v.Site, v.Role = "", "supervisor" }},
		"due already":           {store.ErrInvalid, func(v *store.Review) { v.Site, v.DueAt = tree.eu, store.At(s.Now()) }},
		"in a strange rhythm":   {store.ErrInvalid, func(v *store.Review) { v.Site, v.Months = tree.eu, -1 }},
		"by nobody":             {store.ErrNotFound, func(v *store.Review) { v.Site, v.Reviewer = tree.eu, "x" }},
		"by somebody elsewhere": {store.ErrNotFound, func(v *store.Review) { v.Site, v.Reviewer = tree.eu, other.addPeople(t, "zoe")[0] }},
		"of no text":            {store.ErrInvalid, func(v *store.Review) { v.Site, v.Name = tree.eu, "\x00" }},
	} {
		bad := wish
		c.spoil(&bad)
		p.refused(t, why, c.want, func(tx *store.Tx) error { _, err := tx.OpenReview(ctx, bad, people); return err })
	}
	p.refused(t, "of nobody", store.ErrInvalid, func(tx *store.Tx) error {
		_, err := tx.OpenReview(ctx, store.Review{Name: "x", ReviewScope: store.ReviewScope{Product: "p"}, Reviewer: ids[0], DueAt: wish.DueAt}, nil)
		return err
	})
	p.refused(t, "of too many", store.ErrLimit, func(tx *store.Tx) error {
		_, err := tx.OpenReview(ctx, store.Review{Name: "x", ReviewScope: store.ReviewScope{Product: "p"}, Reviewer: ids[0], DueAt: wish.DueAt}, make([]store.ReviewPerson, store.MaxReviewed+1))
		return err
	})

	all := []store.ReviewDecision{{User: ids[0], Decided: store.DecidedGone}, {User: ids[1], Decided: store.DecidedRemove, Why: "moved to Sydney"}, {User: ids[2], Decided: store.DecidedKeep}}
	finish := func(d store.ReviewDecisions) func(tx *store.Tx) error {
		return func(tx *store.Tx) error { return tx.FinishReview(ctx, d) }
	}
	decide := func(i int, change func(*store.ReviewDecision)) []store.ReviewDecision {
		changed := slices.Clone(all)
		change(&changed[i])
		return changed
	}
	for why, people := range map[string][]store.ReviewDecision{
		"one missing":        all[:2],
		"one twice":          append(slices.Clone(all), all[0]),
		"a stranger":         decide(0, func(d *store.ReviewDecision) { d.User = store.UserID(tree.eu) }),
		"undecided":          decide(0, func(d *store.ReviewDecision) { d.Decided = "" }),
		"a strange decision": decide(0, func(d *store.ReviewDecision) { d.Decided = "approve" }),
		"a reason too long":  decide(1, func(d *store.ReviewDecision) { d.Why = strings.Repeat("x", store.MaxReviewWhy+1) }),
		"a reason of no text": decide(1, func(d *store.ReviewDecision) {
			d.Why = "\xff"
		}),
	} {
		p.refused(t, why, store.ErrInvalid, finish(store.ReviewDecisions{Review: v.ID, People: people}))
	}
	p.refused(t, "no such review", store.ErrNotFound, finish(store.ReviewDecisions{Review: store.ReviewID(tree.eu)}))
	other.refused(t, "another tenant's", store.ErrNotFound, finish(store.ReviewDecisions{Review: v.ID, People: all}))

	p.refused(t, "a key that is none", store.ErrInvalid, finish(store.ReviewDecisions{Review: v.ID, People: all, Proposal: "\xff"}))

	before, key := len(p.log(t)), store.NewProposalKey()
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			switch err := s.Write(ctx, p.actor, finish(store.ReviewDecisions{Review: v.ID, People: all, Proposal: key})); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrInUse):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 4 finished it, want 1", won.Load())
	}
	if logged := p.log(t)[before:]; !slices.Equal(logged, []string{store.ReviewRemoved, store.ReviewKept, store.ReviewFinished}) {
		t.Errorf("logged %v", logged)
	}
	last, err := s.LastReview(ctx, tenant, of)
	if err != nil || last.ID != v.ID || last.Kept != 1 || last.Removed != 1 || last.EndedBy != string(ids[0]) || last.Proposal != key ||
		!last.NextAt().Equal(last.FinishedAt.AddDate(0, 3, 0)) {
		t.Errorf("finished: %+v, %v", last, err)
	}
	if inIt, err = s.ReviewPeople(ctx, tenant, v.ID); err != nil || inIt[1].Decision != store.DecidedRemove || inIt[1].Why != "moved to Sydney" || inIt[0].Decision != store.DecidedGone {
		t.Errorf("decided: %+v, %v", inIt, err)
	}
	if changes, err := s.ChangesAbout(ctx, tenant, string(ids[1]), 1); err != nil || changes[0].Action != store.ReviewRemoved || !strings.Contains(changes[0].Detail, "moved to Sydney") {
		t.Errorf("the log of whom it was about: %+v, %v", changes, err)
	}
	list("to come", 1, func() ([]store.Review, error) { return s.NextReviews(ctx, tenant, 10) })
	list("ended", 1, func() ([]store.Review, error) { return s.EndedReviews(ctx, tenant, "", 10) })
	list("ended before it", 0, func() ([]store.Review, error) { return s.EndedReviews(ctx, tenant, v.ID, 10) })
	p.refused(t, "withdrawn afterwards", store.ErrInUse, func(tx *store.Tx) error { return tx.WithdrawReview(ctx, v.ID, "") })

	next := p.openReview(t, wish, people...)
	list("to come, while the next is open", 0, func() ([]store.Review, error) { return s.NextReviews(ctx, tenant, 10) })
	p.write(t, func(tx *store.Tx) error { return tx.WithdrawReview(ctx, next.ID, "a mistake") })
	p.refused(t, "finished after it was withdrawn", store.ErrInUse, finish(store.ReviewDecisions{Review: next.ID, People: all}))
	list("to come, when that was withdrawn", 1, func() ([]store.Review, error) { return s.NextReviews(ctx, tenant, 10) })
	if last, err := s.LastReview(ctx, tenant, of); err != nil || last.ID != v.ID {
		t.Errorf("the last one: %+v, %v; want that which was finished", last, err)
	}
	p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, ids[1]) })
	if inIt, err = s.ReviewPeople(ctx, tenant, v.ID); err != nil || len(inIt) != 3 || inIt[1].DisplayName != "BOB" {
		t.Errorf("after somebody was deleted: %+v, %v; want the record as it was", inIt, err)
	}
	clean(t, s)
}

// lastVisits holds when people were last here, also when their sessions are over.
func lastVisits(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ids := p.addPeople(t, "ann", "bob")
	session, _ := p.signIn(t, ids[0])
	all := []access.UserID{access.UserID(ids[0]), access.UserID(ids[1])}
	seen := func(why string, want int) {
		t.Helper()
		got, err := s.SignedIn(t.Context(), p.ref.Tenant, all)
		if err != nil || len(got) != want || want > 0 && !got[all[0]].Equal(session.SeenAt.Time) {
			t.Errorf("%s: got %v, %v; want %d, Ann at %v", why, got, err, want, session.SeenAt)
		}
	}
	seen("with a session", 1)
	p.write(t, func(tx *store.Tx) error { return tx.EndSession(t.Context(), session.ID) })
	seen("without one", 1)
	p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(t.Context(), p.ref, ids[0]) })
	seen("of somebody deleted", 0)
}
