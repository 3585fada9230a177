package access

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrLastOwner says that a change would leave nobody who may do everything in the
// console, now or on a day that is known already.
var ErrLastOwner = errors.New("no live owner would be left")

// Owners are the live people who have the role owner by a grant of their own and
// may do everything everywhere in the console: no mask, no deny and no site
// limits them. They come by id. Facts about the people of OwnerCandidates are
// enough.
func Owners(st State) []UserID { return st.Policy.owners(st.Facts, st.At) }

// OwnerCandidates are the people who have a grant of the role owner, in force or
// not.
func (p *Policy) OwnerCandidates() []UserID {
	var all []UserID
	for _, r := range p.rules {
		if r.ownership() && !slices.Contains(all, r.Subject.User) {
			all = append(all, r.Subject.User)
		}
	}
	slices.Sort(all)
	return all
}

func (r *rule) ownership() bool {
	return r.Product == ConsoleID && r.Role == RoleOwner && r.Effect == Allow && r.Subject.User != ""
}

func (p *Policy) owners(facts Facts, at time.Time) []UserID {
	var all []UserID
	for _, id := range p.OwnerCandidates() {
		if p.owns(facts.Subject(id), at) {
			all = append(all, id)
		}
	}
	return all
}

// owns reports whether a person is an owner.
func (p *Policy) owns(s Subject, at time.Time) bool {
	has := slices.ContainsFunc(p.byUser[s.Person.ID], func(r *rule) bool { return r.ownership() && r.InForce(at) })
	return has && !slices.ContainsFunc(p.products[ConsoleID].Permissions, func(permission Permission) bool {
		return !p.Allows(s, Question{Product: ConsoleID, Permission: permission.ID, Level: LevelChange}, at)
	})
}

// KeepsOwner is ErrLastOwner if a change leaves no owner: at once, or on a day
// that grants or accounts end or denies begin, and earlier than without it. Every
// path that changes grants, sites or people asks it. Who has no owner yet may do
// everything, since somebody has to be the first.
func KeepsOwner(before, after State) error {
	was, ended := before.ownerless()
	is, ends := after.ownerless()
	if !ends || ended && !is.Before(was) {
		return nil
	}
	if is.After(after.At) {
		return &OwnerlessError{From: is}
	}
	return &OwnerlessError{}
}

// OwnerlessError is ErrLastOwner with when: From is the day that is known already,
// zero for at once.
type OwnerlessError struct{ From time.Time }

func (e *OwnerlessError) Error() string {
	if e.From.IsZero() {
		return ErrLastOwner.Error() + ": name another owner first"
	}
	return fmt.Sprintf("%s from %s on: name an owner without an end first", ErrLastOwner, e.From.UTC().Format(time.RFC3339))
}

// Unwrap makes it an ErrLastOwner.
func (e *OwnerlessError) Unwrap() error { return ErrLastOwner }

// ownerless is the first instant without an owner, if there is one.
func (st State) ownerless() (time.Time, bool) {
	for _, at := range st.turns() {
		if len(st.Policy.owners(st.Facts, at)) == 0 {
			if at.Equal(st.At) {
				at = time.Time{} // already: no change can make it earlier
			}
			return at, true
		}
	}
	return time.Time{}, false
}

// turns are the state's instant and those after it when an owner can come or go.
func (st State) turns() []time.Time {
	all := []time.Time{st.At}
	add := func(at time.Time) {
		if at.After(st.At) {
			all = append(all, at)
		}
	}
	for _, r := range st.Policy.rules {
		if r.Product == ConsoleID {
			add(r.From)
			add(r.Until)
		}
	}
	for _, id := range st.Policy.OwnerCandidates() {
		add(st.Facts.People[id].ExpiresAt)
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

// Objection is why somebody may not make a change.
type Objection struct {
	Reason ObjectionReason `json:"reason"`
	// Product and Permission are what the actor lacks at Level, somewhere in the
	// scope of the change.
	Product    ProductID    `json:"product,omitempty"`
	Permission PermissionID `json:"permission,omitempty"`
	Level      Level        `json:"level,omitempty"`
}

// ObjectionReason is a stable code for machines.
type ObjectionReason string

// The reasons against a change.
const (
	// OutsideOwnSites: the actor may not change access in all of the grant's scope.
	OutsideOwnSites ObjectionReason = "outside_own_sites"
	// AboveOwnAccess: a console grant of more than the actor has.
	AboveOwnAccess ObjectionReason = "above_own_access"
	// ToOneself: the grant, or the end of the deny, gives the actor more, or for
	// longer. Managing access isn't having it: somebody else has to do it. Owners may,
	// since there is nobody above them.
	ToOneself ObjectionReason = "to_oneself"
	// Unreadable: the grant names something unknown, so that what it gives can't be told.
	Unreadable ObjectionReason = "unreadable"
)

// MayChange says what stands against an actor's adding a grant (before is nil),
// ending it (after is nil) or changing it; nothing means that the actor may. The
// policy and the actor are those before the change. Both grants have to lie
// within the actor's right to change access, so that a site administrator
// touches nothing outside the own sites.
func (p *Policy) MayChange(actor Subject, before, after *Grant, at time.Time) []Objection {
	if !actor.Person.Live(at) {
		return []Objection{{Reason: OutsideOwnSites, Product: ConsoleID, Permission: ConsoleAccess, Level: LevelChange}}
	}
	var all []Objection
	for _, g := range []*Grant{before, after} {
		if g == nil {
			continue
		}
		r := p.rule(g)
		if g == after && len(r.problems) > 0 {
			all = append(all, Objection{Reason: Unreadable})
		}
		all = append(all, p.outside(actor, r, at)...)
		if g.isFor(&actor) && g.Product != ConsoleID && (g.Effect == Deny) == (g == before) && !p.owns(actor, at) {
			all = append(all, p.excess(actor, r, ToOneself, at)...)
		}
	}
	return all
}

// MayJoin says what stands against an actor's making somebody a member of a
// group: who may not give what the group has may not let people into it.
func (p *Policy) MayJoin(actor Subject, member UserID, group GroupID, groups map[GroupID]Group, at time.Time) []Objection {
	var all []Objection
	for _, id := range closure(groups, group) {
		for _, r := range p.byGroup[id] {
			g := *r.Grant
			g.Subject = Grantee{User: member}
			all = append(all, p.MayChange(actor, nil, &g, at)...)
		}
	}
	return all
}

// MayAdmit says what stands against an actor's letting somebody in again, or for
// longer. Who may not give the rights in the console that come with it may not give
// them back either, and only owners do it for themselves.
func (p *Policy) MayAdmit(actor, to Subject, at time.Time) []Objection {
	if actor.Person.ID == to.Person.ID && !p.owns(actor, at) {
		return []Objection{{Reason: ToOneself, Product: ConsoleID, Permission: ConsolePeople, Level: LevelChange}}
	}
	var all []Objection
	for _, r := range p.rules {
		over := !r.Until.IsZero() && !at.Before(r.Until)
		if r.Product == ConsoleID && r.Effect == Allow && !over && r.isFor(&to) {
			all = append(all, p.excess(actor, r, AboveOwnAccess, at)...)
		}
	}
	return all
}

// outside looks at the actor's rights in the console over the scope of a grant.
func (p *Policy) outside(actor Subject, r *rule, at time.Time) []Objection {
	var all []Objection
	if !p.throughout(actor, r, ConsoleAccess, LevelChange, ConsoleID, at) {
		all = append(all, Objection{Reason: OutsideOwnSites, Product: ConsoleID, Permission: ConsoleAccess, Level: LevelChange})
	}
	if r.Product == ConsoleID {
		all = append(all, p.excess(actor, r, AboveOwnAccess, at)...)
	}
	return all
}

// excess is what a grant gives that the actor doesn't have in all of its scope,
// and, if it is for the actor too, for as long as it lasts.
func (p *Policy) excess(actor Subject, r *rule, reason ObjectionReason, at time.Time) []Objection {
	instants := []time.Time{at}
	if r.isFor(&actor) {
		instants = append(instants, r.turns(at)...)
	}
	var all []Objection
	for i, rank := range r.ranks {
		permission, level := r.product.Permissions[i].ID, r.product.level(rank)
		lacks := func(at time.Time) bool { return !p.throughout(actor, r, permission, level, r.Product, at) }
		if rank > 0 && slices.ContainsFunc(instants, lacks) {
			all = append(all, Objection{Reason: reason, Product: r.Product, Permission: permission, Level: level})
		}
	}
	return all
}

// turns are the first and the last instant of a grant, those after at.
func (g *Grant) turns(at time.Time) []time.Time {
	last := g.Until.Add(-1)
	if g.Until.IsZero() {
		last = at.AddDate(1000, 0, 0)
	}
	return slices.DeleteFunc([]time.Time{g.From, last}, func(turn time.Time) bool { return !turn.After(at) })
}

// throughout reports whether a person has a permission at every place of a
// grant's scope. In a dimension that the scope doesn't limit she must have it as
// a whole.
func (p *Policy) throughout(s Subject, r *rule, permission PermissionID, level Level, product ProductID, at time.Time) bool {
	a, reason, _ := p.ask(Question{Product: product, Permission: permission, Level: level}, nil)
	s.Person.ExpiresAt = time.Time{} // no grant outlives the account: its end is no limit of its own
	if reason != "" || !s.Person.Live(at) {
		return false
	}
	v := p.view(a.product, p.inForce(&s, at))
	choices := make([][]int32, len(a.product.Dimensions))
	for i, dimension := range a.product.Dimensions {
		choices[i] = p.choices(dimension, r.Scope, v)
	}
	var every func(d int) bool
	every = func(d int) bool {
		if d == len(choices) {
			return p.rank(&s, &a, at) >= a.rank
		}
		for _, site := range choices[d] {
			a.where[d] = site
			if !every(d + 1) {
				return false
			}
		}
		return true
	}
	return every(0)
}

// choices are sites that stand for all that a scope covers in a dimension: one
// of each kind that the view's grants can tell apart, or the dimension as a
// whole. Archived sites count, since they may be opened again.
func (p *Policy) choices(dimension DimensionID, scope Scope, v view) []int32 {
	selection := scope.Sites[dimension]
	if selection.All || len(selection.Sites) == 0 {
		return []int32{asked}
	}
	d := v.product.dimensionAt[dimension]
	seen := make(map[string]bool)
	var all []int32
	for _, id := range selection.Sites {
		top, ok := p.at[id]
		if !ok || p.sites[top].Dimension != dimension {
			return []int32{asked}
		}
		for site := top; site <= p.sites[top].last; site++ {
			signature := make([]byte, len(v.rules))
			for i, r := range v.rules {
				if r.covers(d, site) {
					signature[i] = 1
				}
			}
			if !seen[string(signature)] {
				seen[string(signature)] = true
				all = append(all, site)
			}
		}
	}
	return all
}
