// Package review looks at who has what at a site, in a product or by a role, and says
// whom somebody has to decide about: those who have something else than when it was
// last looked at, and those in whom something is odd. It stands between the console
// and store, which keeps reviews; access works out what people have, and what is taken
// from them is a proposal of package impact.
//
//	v, err := review.Open(ctx, st, actor, store.Review{ReviewScope: of, …}, nil)  // a snapshot
//	now, err := review.Today(ctx, st, v, may)                               // what became of it
//	p := now.Proposal(decisions, reason)                                     // to be shown, and saved
package review

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// Unused is how long ago somebody has to have signed in last to be asked about.
const Unused = 90 * 24 * time.Hour

// AtMost is how many decisions of their own a review should ask for: who has to make
// more stops looking.
const AtMost = 25

// Place is where somebody needs the right to change access to review a scope; nil is
// everywhere. ErrNotFound when the scope isn't there.
func Place(p *access.Policy, of store.ReviewScope) (access.Place, error) {
	if of.Site != "" {
		site, ok := p.Site(of.Site)
		if !ok {
			return nil, fmt.Errorf("site %q: %w", of.Site, store.ErrNotFound)
		}
		return access.Place{site.Dimension: site.ID}, nil
	}
	product, ok := p.Product(of.Product)
	if !ok || of.Role != "" && !slices.ContainsFunc(product.Roles, func(r access.Role) bool { return r.ID == of.Role }) {
		return nil, fmt.Errorf("role %q of product %q: %w", of.Role, of.Product, store.ErrNotFound)
	}
	return nil, nil
}

// Name is what people call a scope.
func Name(p *access.Policy, of store.ReviewScope) string {
	if site, ok := p.Site(of.Site); ok {
		return cmp.Or(site.Name, site.Key, string(site.ID))
	}
	product, _ := p.Product(of.Product)
	name := cmp.Or(product.Name, string(of.Product))
	for _, role := range product.Roles {
		if role.ID == of.Role {
			return name + ": " + cmp.Or(role.Name, string(role.ID))
		}
	}
	return name
}

// scope is what a review is of, in a policy.
type scope struct {
	store.ReviewScope
	policy *access.Policy
	site   access.Site // the zero Site if it is of something else
}

func newScope(p *access.Policy, of store.ReviewScope) (scope, error) {
	_, err := Place(p, of)
	site, _ := p.Site(of.Site)
	return scope{of, p, site}, err
}

// has reports whether a grant is part of the scope. What everyone has isn't: nobody
// can be asked about it.
func (s scope) has(g *access.Grant) bool {
	switch {
	case g.Subject.Everyone || g.Effect != access.Allow || g.Attribute != "":
		return false
	case s.Site == "":
		return g.Product == s.Product && (s.Role == "" || g.Role == s.Role)
	}
	if _, ok := s.policy.Reach(g.ID, s.Site); ok {
		return true
	}
	return slices.ContainsFunc(g.Scope.Sites[s.site.Dimension].Sites, func(id access.SiteID) bool {
		_, ok := s.policy.Reach(g.ID, id)
		return ok && s.covers(id)
	})
}

// covers reports whether a site is the one of the scope, or below it.
func (s scope) covers(id access.SiteID) bool { return s.below(id, s.Site) }

// below reports whether a site is another one, or below it.
func (s scope) below(id, other access.SiteID) bool {
	for id != "" && id != other {
		site, _ := s.policy.Site(id)
		id = site.Parent
	}
	return id != ""
}

// meets reports whether an area has a place of the scope.
func (s scope) meets(area access.Area) bool {
	if s.Site == "" {
		return true
	}
	part, scoped := area[s.site.Dimension]
	return scoped && (s.policy.Contains(access.Area{s.site.Dimension: part}, access.Place{s.site.Dimension: s.Site}) ||
		slices.ContainsFunc(part.Sites, s.covers))
}

// audience is whom the grants of the scope are for, those too that begin later.
func (s scope) audience(at time.Time) access.Audience {
	var a access.Audience
	for _, g := range s.policy.Grants() {
		if (g.InForce(at) || g.From.After(at)) && s.has(&g) {
			a.Add(g.Subject)
		}
	}
	return a
}

// begins are now, and when grants of the scope begin that somebody will have.
func (s scope) begins(subject access.Subject, at time.Time) []time.Time {
	all := []time.Time{at}
	for _, g := range s.policy.Grants() {
		if g.From.After(at) && (g.Subject.User == subject.Person.ID && g.Subject.User != "" || slices.Contains(subject.Groups, g.Subject.Group)) && s.has(&g) {
			all = append(all, g.From)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return slices.CompactFunc(all, time.Time.Equal)
}

// held is what somebody has in the scope or will have, also as what each permission
// comes to by the ways that are part of it.
func (s scope) held(subject access.Subject, groups map[access.GroupID]access.Group, at time.Time) (had store.ReviewHad, items []access.Item) {
	seen, levels := map[string]bool{}, map[string]bool{}
	var all []access.Item
	for _, begin := range s.begins(subject, at) {
		all = append(all, s.policy.Held(subject, begin).Items...)
	}
	for _, item := range all {
		// That people see their own access is nothing to decide about.
		if !s.meets(item.Area) || item.Product == access.ConsoleID && item.Permission == access.ConsoleOwn {
			continue
		}
		of := item
		of.Through = slices.DeleteFunc(slices.Clone(item.Through), func(p access.Path) bool { return !s.has(p.Grant) })
		if len(of.Through) == 0 {
			continue
		}
		of.Level = s.lower(of.Product, of.Level, of.Through[0].Level)
		items = append(items, of)
		levels[fmt.Sprintf("%s %s %s", of.Product, of.Permission, of.Level)] = true
		for _, path := range of.Through {
			h := store.ReviewHolding{Grant: *path.Grant}
			key := string(path.Grant.ID)
			for _, id := range path.Groups {
				key += " " + string(id)
				h.Groups = append(h.Groups, store.ReviewGroup{ID: id, Name: groups[id].Name})
			}
			if !seen[key] {
				seen[key], had.Now = true, append(had.Now, h)
			}
		}
	}
	had.Levels = slices.Sorted(maps.Keys(levels))
	return had, items
}

// lower is the lower of two levels: what the ways of the scope give, of what is left.
func (s scope) lower(id access.ProductID, a, b access.Level) access.Level {
	product, _ := s.policy.Product(id)
	if slices.Index(product.Levels, b) < slices.Index(product.Levels, a) {
		return b
	}
	return a
}

// reads is what a store and a transaction read alike.
type reads interface {
	Connections(context.Context, store.TenantID) ([]store.Connection, error)
	SignedIn(context.Context, store.TenantID, []access.UserID) (map[access.UserID]store.Instant, error)
	LastReview(context.Context, store.TenantID, store.ReviewScope) (store.Review, error)
	ReviewPeople(context.Context, store.TenantID, store.ReviewID) ([]store.ReviewPerson, error)
}

// snapshot is what a review opened now would be about.
type snapshot struct {
	scope
	people   []store.ReviewPerson
	previous store.ReviewID
}

// Look says what a review of a scope would be about if it were opened now. ErrLimit
// when that is more than store.MaxReviewed people, ErrNotFound when there is no such
// scope.
func Look(ctx context.Context, st *store.Store, tenant store.TenantID, of store.ReviewScope) ([]store.ReviewPerson, error) {
	if err := few(ctx, st, tenant, of); err != nil {
		return nil, err
	}
	s := &snapshot{}
	found, err := st.Concerned(ctx, tenant, s.whom(of, st.Now()))
	if err == nil {
		err = s.take(ctx, st, tenant, found, st.Now())
	}
	return s.people, err
}

// Open opens a review of v's scope, with its reviewer, its due date and its rhythm.
// The errors are those of Look and of store.OpenReview. Also, if it isn't nil, is done
// in the same transaction.
func Open(ctx context.Context, st *store.Store, actor store.Actor, v store.Review, also func(*store.Tx, store.Review) error) (store.Review, error) {
	if err := few(ctx, st, actor.Tenant, v.ReviewScope); err != nil {
		return v, err
	}
	var opened store.Review
	err := st.Write(ctx, actor, func(tx *store.Tx) error {
		s := &snapshot{}
		found, err := tx.Concerned(ctx, s.whom(v.ReviewScope, st.Now()))
		if err == nil {
			err = s.take(ctx, tx, actor.Tenant, found, st.Now())
		}
		if err != nil {
			return err
		}
		wish := v
		wish.Name, wish.Previous = Name(s.policy, v.ReviewScope), s.previous
		if opened, err = tx.OpenReview(ctx, wish, s.people); err == nil && also != nil {
			err = also(tx, opened)
		}
		return err
	})
	return opened, err
}

// few is ErrLimit when a scope has more people than a review can be about: finding out
// what 100,000 have only to say that it is too many would take long.
func few(ctx context.Context, st *store.Store, tenant store.TenantID, of store.ReviewScope) error {
	p, _, err := st.Policy(ctx, tenant)
	if err != nil {
		return err
	}
	s, err := newScope(p, of)
	if err != nil {
		return err
	}
	list, err := st.People(ctx, tenant, store.PeopleFilter{State: store.PersonLive, Among: []access.Audience{s.audience(st.Now())}})
	if err != nil {
		return err
	}
	n, err := list.Count(ctx, store.MaxReviewed)
	if err == nil && n > store.MaxReviewed {
		err = fmt.Errorf("review of %s: %w: more than %d people", Name(p, of), store.ErrLimit, store.MaxReviewed)
	}
	return err
}

// whom finds the people of a scope, given what is granted.
func (s *snapshot) whom(of store.ReviewScope, at time.Time) func(*access.Policy) (access.Audience, error) {
	return func(p *access.Policy) (a access.Audience, err error) {
		if s.scope, err = newScope(p, of); err != nil {
			return a, err
		}
		return s.audience(at), nil
	}
}

// take makes a row of everybody who has something, and compares it with the last
// review of the same scope.
func (s *snapshot) take(ctx context.Context, r reads, tenant store.TenantID, found store.Concerned, at time.Time) error {
	last, err := r.LastReview(ctx, tenant, s.ReviewScope)
	first := errors.Is(err, store.ErrNotFound)
	if err != nil && !first {
		return err
	}
	s.previous = last.ID
	before := map[store.UserID]store.ReviewPerson{}
	people, err := r.ReviewPeople(ctx, tenant, last.ID)
	if err != nil {
		return err
	}
	for _, p := range people {
		if p.Decision == store.DecidedKeep {
			before[p.UserID] = p
		}
	}
	connections, err := r.Connections(ctx, tenant)
	if err != nil {
		return err
	}
	outside := map[string]bool{}
	for _, c := range connections {
		// Whom a disconnected provider left behind, nobody keeps up to date.
		outside[c.Name] = outside[c.Name] || c.IdP == store.IdPLocal || !c.EndedAt.IsZero()
	}
	seen, err := r.SignedIn(ctx, tenant, slices.Collect(maps.Keys(found.Facts.People)))
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(found.Facts.People)) {
		subject := found.Facts.Subject(id)
		had, items := s.held(subject, found.Facts.Groups, at)
		if len(had.Now) == 0 {
			continue
		}
		p := store.ReviewPerson{UserID: store.UserID(id), Named: found.Users[id], Kind: subject.Person.Kind, SeenAt: seen[id], ReviewHad: had}
		flag := func(is bool, f store.ReviewFlag) {
			if is {
				p.Flags = append(p.Flags, f)
			}
		}
		was, reviewed := before[p.UserID]
		changed := !first && (!reviewed || !s.same(was.ReviewHad, had))
		if changed {
			p.Before = was.Now
		}
		flag(first, store.FlagFirst)
		flag(changed, store.FlagChanged)
		flag(!p.SeenAt.IsZero() && at.Sub(p.SeenAt.Time) > Unused, store.FlagUnused)
		flag(outside[p.Connection] || p.Kind == access.KindGuest, store.FlagOutside)
		flag(slices.ContainsFunc(items, s.sensitive), store.FlagSensitive)
		s.people = append(s.people, p)
	}
	return nil
}

// sensitive reports whether a permission can do much harm: any in the console, the
// highest level of a product that has several, and what is tagged so.
func (s scope) sensitive(item access.Item) bool {
	product, _ := s.policy.Product(item.Product)
	top := len(product.Levels) - 1
	return item.Product == access.ConsoleID || top > 0 && item.Level == product.Levels[top] ||
		slices.ContainsFunc(product.Permissions, func(p access.Permission) bool {
			return p.ID == item.Permission && slices.Contains(p.Tags, "sensitive")
		})
}

// same reports whether somebody has what she had, by the same ways. What else a grant
// says, and where it reaches outside of the scope, makes no difference.
func (s scope) same(a, b store.ReviewHad) bool {
	return slices.Equal(a.Levels, b.Levels) && slices.Equal(s.keys(a.Now), s.keys(b.Now))
}

// keys are holdings as far as they matter to a review.
func (s scope) keys(all []store.ReviewHolding) []string {
	var keys []string
	for _, h := range all {
		keys = append(keys, s.key(h))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func (s scope) key(h store.ReviewHolding) string {
	g := h.Grant
	where := g.Scope
	if s.Site != "" && !where.Everywhere {
		where.Sites = maps.Clone(where.Sites)
		in := where.Sites[s.site.Dimension]
		in.Sites = slices.DeleteFunc(slices.Clone(in.Sites), func(id access.SiteID) bool { return !s.covers(id) })
		where.Sites[s.site.Dimension] = in
	}
	var through []access.GroupID
	for _, group := range h.Groups {
		through = append(through, group.ID)
	}
	text, err := json.Marshal([]any{g.Product, g.Role, g.Permission, g.Level, g.Mask, g.Until, where, through})
	if err != nil {
		panic(err) // they are texts
	}
	return string(text)
}

// Changes compares what somebody has with what she had when the scope was last
// reviewed: which holdings of now are new, and which of before are gone.
func Changes(p *access.Policy, of store.ReviewScope, had store.ReviewHad) (isNew []bool, gone []store.ReviewHolding) {
	site, _ := p.Site(of.Site)
	s := scope{of, p, site}
	now, before := s.keys(had.Now), s.keys(had.Before)
	for _, h := range had.Now {
		isNew = append(isNew, !slices.Contains(before, s.key(h)))
	}
	for _, h := range had.Before {
		if !slices.Contains(now, s.key(h)) {
			gone = append(gone, h)
		}
	}
	return isNew, gone
}
