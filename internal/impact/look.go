package impact

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// Preview is what a proposal would do.
type Preview struct {
	// At is the instant that it is about: now, or the day on which all that is added
	// begins, which is Later.
	At    time.Time
	Later bool
	// People are those for whom something changes, who loses first.
	People []Person
	// Counts is how many there are of each kind; People may name them, if not Hidden.
	Counts map[access.DifferenceKind]int
	// Unchanged is how many more people the proposal is about, for whom nothing
	// changes, and Of how many people the tenant has.
	Unchanged, Of int
	// Hidden says that the actor may not see who they are: part of the change lies
	// outside the own sites.
	Hidden bool
	// Covered are grants that add nothing, since another gives the same.
	Covered []Covered
	// Findings are rules of products that the change would break; some only warn.
	Findings []access.Finding
	// Unkept are the open invitations that the change keeps from being accepted, since
	// what they promise would not be there.
	Unkept []store.Invitation
	// Refused are the reasons why it can't be saved; without any it can.
	Refused []Refusal
	// Typed is the number that has to be typed in to save, 0 for none: so many people
	// lose something that a slip of the hand must not do it.
	Typed int
	// Digest is the same as long as the proposal does the same to the same people.
	Digest string
	// Before and After are what is granted; After is nil when that can't be told.
	// Grants to be made have ids of their own in it.
	Before, After *access.Policy
	// Users are what those are called whom Findings name, if not Hidden.
	Users map[access.UserID]store.Named
	// Groups are all groups.
	Groups map[access.GroupID]access.Group

	change *change
}

// Person is somebody for whom something changes.
type Person struct {
	access.Impact
	store.Named
	// Kind is the weightiest of what changes.
	Kind access.DifferenceKind
}

// Covered is a grant of the proposal that another one covers.
type Covered struct{ Grant, By access.Grant }

// Refusal is why a proposal can't be saved.
type Refusal struct {
	Reason RefusalReason
	// Grant is the one that it is about, if any; Name what it names, or the error.
	Grant access.GrantID
	Name  string
	// Problem says of GivesNothing why.
	Problem   access.Reason
	Objection access.Objection
	Finding   access.Finding
	// From is when the tenant would be without an owner; the zero time is at once.
	From time.Time
	// Users are the people of a review, as far as it is about any in particular: among
	// many decisions one has to know whose to change.
	Users []access.UserID
}

// RefusalReason is a stable code.
type RefusalReason string

// The reasons against a proposal.
const (
	// Nothing: it doesn't change anything.
	Nothing RefusalReason = "nothing"
	// Contradicts: the catalogue or a grant contradicts itself; Name says how.
	Contradicts RefusalReason = "contradicts"
	// GivesNothing: a grant can't be taken as it is written, as Problem says.
	GivesNothing RefusalReason = "gives_nothing"
	// GroupDenied: in the console only single people can be denied something.
	GroupDenied RefusalReason = "group_denied"
	// StillGranted: Grant names what would go.
	StillGranted RefusalReason = "still_granted"
	// Gone: whom a grant is for isn't there any more.
	Gone RefusalReason = "gone"
	// LastOwner: nobody would own the tenant.
	LastOwner RefusalReason = "last_owner"
	// LocksOut: the actor couldn't change access any more, so not take it back.
	LocksOut RefusalReason = "locks_out"
	// NotAllowed: the actor may not do it, as Objection says.
	NotAllowed RefusalReason = "not_allowed"
	// Broken: a product's rule refuses it, as Finding says.
	Broken RefusalReason = "broken"
)

// manyLose is from how many losers on a save asks for their number, and few how
// many never need it, whatever their share: a tenth of a small company is one
// person.
const (
	manyLose = 50
	fewLose  = 5
)

// Look says what a proposal would do if it were saved now. ErrNotFound when what
// it changes isn't there any more, ErrInvalid when it makes no sense at all;
// whatever else stands against it is in Preview.Refused.
func Look(ctx context.Context, st *store.Store, actor store.Actor, p Proposal) (*Preview, error) {
	l := looker{proposal: &p, actor: actor, now: st.Now()}
	found, err := st.Concerned(ctx, actor.Tenant, l.whom)
	if err != nil {
		return nil, err
	}
	if l.change.takesAway() {
		if l.invited, err = st.OpenInvitations(ctx, actor.Tenant, l.now); err != nil {
			return nil, err
		}
	}
	return l.preview(found)
}

// looker makes a preview.
type looker struct {
	proposal *Proposal
	actor    store.Actor
	now      time.Time
	change   *change
	// invited are the open invitations, where the change can concern them.
	invited []store.Invitation
}

// whom finds the people that the preview needs: those concerned, the actor, and
// those whom rules count.
func (l *looker) whom(before *access.Policy) (access.Audience, error) {
	c, err := l.proposal.against(before)
	if err != nil {
		return access.Audience{}, err
	}
	l.change = c
	a := access.Audience{Everyone: c.concerned.Everyone, Users: slices.Clone(c.concerned.Users), Groups: slices.Clone(c.concerned.Groups)}
	if l.actor.Kind == store.ActorPerson {
		a.Users = append(a.Users, access.UserID(l.actor.ID))
	}
	for _, g := range c.added {
		a.Add(g.Subject) // also where it gives nothing, to see whether there is anybody
	}
	a.Users = append(a.Users, before.OwnerCandidates()...)
	if c.after == nil {
		return a, nil
	}
	a.Users = append(a.Users, c.after.OwnerCandidates()...)
	counted := c.counted()
	for _, p := range []*access.Policy{c.before, c.after} {
		for _, g := range p.Grants() {
			if counted[g.Product][g.Role] {
				a.Add(g.Subject)
			}
		}
	}
	return a, nil
}

// counted are the roles whose holders a rule counts, of those that the change can
// concern: all of them where people change.
func (c *change) counted() map[access.ProductID]map[access.RoleID]bool {
	touched := make(map[access.ProductID]map[access.RoleID]bool)
	for _, p := range []*access.Policy{c.before, c.after} {
		for _, id := range c.touched {
			if g, ok := p.Grant(id); ok {
				if touched[g.Product] == nil {
					touched[g.Product] = make(map[access.RoleID]bool)
				}
				touched[g.Product][g.Role] = true
			}
		}
	}
	counted := make(map[access.ProductID]map[access.RoleID]bool)
	for _, p := range []*access.Policy{c.before, c.after} {
		for _, product := range p.Products() {
			for _, rule := range product.Rules.Holders {
				if len(c.People)+len(c.Guests) == 0 && !touched[product.ID][rule.Role] {
					continue
				}
				if counted[product.ID] == nil {
					counted[product.ID] = make(map[access.RoleID]bool)
				}
				counted[product.ID][rule.Role] = true
			}
		}
	}
	return counted
}

// ruled reports whether the change can break rules of products.
func (c *change) ruled() bool {
	if len(c.People)+len(c.Guests) > 0 {
		return true
	}
	for _, p := range []*access.Policy{c.before, c.after} {
		for _, id := range c.touched {
			g, _ := p.Grant(id)
			product, _ := p.Product(g.Product)
			if r := product.Rules; r.OneRole || len(r.Limits)+len(r.Holders) > 0 {
				return true
			}
		}
	}
	return slices.ContainsFunc(c.Products, func(p access.Product) bool { return p.Rules.OneRole || len(p.Rules.Limits)+len(p.Rules.Holders) > 0 })
}

// preview looks at the people who were found.
func (l *looker) preview(found store.Concerned) (*Preview, error) {
	c := l.change
	at := c.instant(l.now)
	p := &Preview{At: at, Later: at.After(l.now), Of: found.People, Before: c.before, After: c.after, Users: found.Users, Groups: found.Facts.Groups,
		Counts: map[access.DifferenceKind]int{}, Refused: c.refused, change: c}
	if c.Empty() && c.Review == nil {
		p.Refused = append(p.Refused, Refusal{Reason: Nothing})
	}
	l.grantees(p, found)
	l.rights(p, found)
	if c.after != nil {
		was := access.State{Facts: found.Facts, Policy: c.before, At: at}
		is := access.State{Facts: c.facts(found.Facts), Policy: c.after, At: at}
		impacts, err := Diff(was, is)
		if err != nil {
			return nil, err
		}
		p.name(impacts, found)
		p.count(found)
		l.judge(p, was, is)
		p.cover()
		if p.Unkept, err = l.unkept(); err != nil {
			return nil, err
		}
	}
	p.Digest = p.digest()
	return p, nil
}

// name makes people of impacts, who loses first.
func (p *Preview) name(impacts []access.Impact, found store.Concerned) {
	touched := make(map[access.GrantID]bool)
	for _, id := range p.change.touched {
		touched[id] = true
	}
	keys := make(map[access.UserID]string)
	for _, i := range impacts {
		i.Differences = slices.DeleteFunc(i.Differences, func(d access.Difference) bool { return i.Before == i.After && incidental(d, touched) })
		if i.Before == i.After && len(i.Differences) == 0 {
			continue
		}
		slices.SortStableFunc(i.Differences, func(a, b access.Difference) int { return cmp.Compare(weight[a.Kind], weight[b.Kind]) })
		person := Person{Impact: i, Named: found.Users[i.User], Kind: kindOf(i)}
		if g := p.change.guest(i.User); g != nil {
			person.DisplayName = g.Name
		}
		p.People = append(p.People, person)
		p.Counts[person.Kind]++
		keys[i.User] = store.Fold(cmp.Or(person.DisplayName, person.Name))
	}
	slices.SortFunc(p.People, func(a, b Person) int {
		return cmp.Or(cmp.Compare(weight[a.Kind], weight[b.Kind]), cmp.Compare(keys[a.User], keys[b.User]), cmp.Compare(a.User, b.User))
	})
	if losers := p.Losers(); losers > manyLose || losers > fewLose && losers*10 > p.Of {
		p.Typed = losers
	}
}

// incidental differences come from what isn't about places: everybody's right to
// see their own access, at a site that comes or goes.
func incidental(d access.Difference, touched map[access.GrantID]bool) bool {
	if d.Product != access.ConsoleID || d.Permission != access.ConsoleOwn {
		return false
	}
	return !slices.ContainsFunc(slices.Concat(d.Lost, d.Gained), func(path access.Path) bool { return touched[path.Grant.ID] })
}

// weight puts losses first.
var weight = map[access.DifferenceKind]int{access.Loses: 1, access.Lowers: 2, access.Raises: 3, access.Gains: 4, access.Keeps: 5}

// Kinds are the kinds of difference, the weightiest first.
var Kinds = []access.DifferenceKind{access.Loses, access.Lowers, access.Raises, access.Gains, access.Keeps}

func kindOf(i access.Impact) access.DifferenceKind {
	switch {
	case i.Before && !i.After:
		return access.Loses
	case !i.Before && i.After && len(i.Differences) == 0:
		return access.Gains
	}
	return i.Differences[0].Kind
}

// Losers is how many people have less than before.
func (p *Preview) Losers() int { return p.Counts[access.Loses] + p.Counts[access.Lowers] }

// count finds for how many of those concerned nothing changes.
func (p *Preview) count(found store.Concerned) {
	a := p.change.concerned
	users, groups := make(map[access.UserID]bool, len(a.Users)), make(map[access.GroupID]bool, len(a.Groups))
	for _, id := range a.Users {
		users[id] = true
	}
	for _, id := range a.Groups {
		groups[id] = true
	}
	n := 0
	for id := range found.Facts.People {
		if a.Everyone || users[id] ||
			slices.ContainsFunc(found.Facts.Subject(id).Groups, func(g access.GroupID) bool { return groups[g] }) {
			n++
		}
	}
	p.Unchanged = max(0, n+len(p.change.Guests)-len(p.People))
}

// grantees finds grants for nobody.
func (l *looker) grantees(p *Preview, found store.Concerned) {
	for _, g := range l.change.added {
		_, user := found.Facts.People[g.Subject.User]
		_, group := found.Facts.Groups[g.Subject.Group]
		if g.Subject.User != "" && !user && l.change.guest(g.Subject.User) == nil || g.Subject.Group != "" && !group {
			if old, ok := l.change.before.Grant(g.ID); ok && old.Subject == g.Subject {
				continue // asleep already
			}
			p.Refused = append(p.Refused, Refusal{Reason: Gone, Grant: g.ID, Users: l.change.about(g)})
		}
	}
	for _, person := range l.change.People {
		if _, ok := found.Facts.People[access.UserID(person.User)]; !ok {
			p.Refused = append(p.Refused, Refusal{Reason: Gone, Name: string(person.User)})
		}
	}
}

// rights looks at what the actor may do. Who isn't a person acts for the one who
// runs the server.
func (l *looker) rights(p *Preview, found store.Concerned) {
	if l.actor.Kind != store.ActorPerson {
		return
	}
	actor := found.Facts.Subject(access.UserID(l.actor.ID))
	objections := l.change.objections(actor, l.now)
	for _, person := range l.change.People {
		was, ok := found.Facts.People[access.UserID(person.User)]
		if ok && letsIn(was, person.Person) {
			objections = append(objections, l.change.before.MayAdmit(actor, found.Facts.Subject(was.ID), l.now)...)
		}
	}
	for _, o := range objections {
		p.Refused = append(p.Refused, Refusal{Reason: NotAllowed, Objection: o, Users: l.change.reviewed(o)})
		p.Hidden = p.Hidden || o.Reason == access.OutsideOwnSites
	}
}

// reviewed are the people of a review to whose grants the actor's change meets an
// objection.
func (c *change) reviewed(o access.Objection) (all []access.UserID) {
	if c.Review == nil {
		return nil
	}
	for _, grantee := range c.objected[o] {
		if grantee.User != "" && !slices.Contains(all, grantee.User) {
			all = append(all, grantee.User)
		}
	}
	return all
}

// letsIn reports whether somebody is in who was kept out, or for longer.
func letsIn(was access.Person, is store.Person) bool {
	longer := !was.ExpiresAt.IsZero() && (is.ExpiresAt.IsZero() || is.ExpiresAt.After(was.ExpiresAt))
	return is.LoginAllowed && !was.LoginAllowed || longer
}

// objections are what stands against the actor's making the change, each once.
func (c *change) objections(actor access.Subject, now time.Time) (all []access.Objection) {
	c.objected = map[access.Objection][]access.Grantee{}
	add := func(more ...access.Objection) {
		for _, o := range more {
			if !slices.Contains(all, o) {
				all = append(all, o)
			}
		}
	}
	may := func(permission access.PermissionID, place access.Place) {
		q := access.Question{Product: access.ConsoleID, Permission: permission, Level: access.LevelChange, Place: place}
		if !c.before.Allows(actor, q, now) {
			add(access.Objection{Reason: access.OutsideOwnSites, Product: access.ConsoleID, Permission: permission, Level: access.LevelChange})
		}
	}
	// What is granted may name what the proposal makes first; the actor's rights are
	// those of before all the same.
	rights := c.before
	if c.newCatalogue() {
		if p, err := c.middle.With(c.before.Grants()...); err == nil {
			rights = p
		}
	}
	grant := func(before, after *access.Grant) {
		objections := rights.MayChange(actor, before, after, now)
		for _, o := range objections {
			c.objected[o] = append(c.objected[o], cmp.Or(after, before).Subject)
		}
		add(objections...)
	}
	for _, id := range c.End {
		g, _ := c.before.Grant(id)
		grant(&g, nil)
	}
	for _, g := range c.added {
		if old, ok := c.before.Grant(g.ID); ok {
			grant(&old, &g)
			continue
		}
		grant(nil, &g)
	}
	if len(c.Products)+len(c.RemoveProducts) > 0 {
		may(access.ConsoleProducts, nil)
	}
	if len(c.Dimensions)+len(c.RemoveDimensions) > 0 {
		may(access.ConsoleSites, nil)
	}
	above := make(map[access.SiteID]access.SiteID)
	for _, s := range c.AddSites {
		above[s.ID] = s.Parent
	}
	at := func(s access.Site, id access.SiteID) access.Place {
		// Below one that is still to be made it is up to what is above that.
		for range c.AddSites {
			parent, made := above[id]
			if !made {
				break
			}
			id = parent
		}
		if id == "" {
			return nil
		}
		return access.Place{s.Dimension: id}
	}
	for _, s := range c.AddSites {
		may(access.ConsoleSites, at(s, s.Parent))
	}
	for _, s := range c.ChangeSites {
		old, _ := c.before.Site(s.ID)
		if !old.Archived {
			may(access.ConsoleSites, at(s, s.ID)) // of an archived one only the place above counts
		}
		if old.Archived || old.Parent != s.Parent {
			may(access.ConsoleSites, at(s, s.Parent))
			may(access.ConsoleSites, at(s, old.Parent))
		}
	}
	if len(c.People)+len(c.Guests) > 0 {
		may(access.ConsolePeople, nil)
	}
	return all
}

// judge looks for what stands against the state that there would be.
func (l *looker) judge(p *Preview, was, is access.State) {
	// A known last day is found from now on, whatever day the preview is about.
	was.At, is.At = l.now, l.now
	if err := access.KeepsOwner(was, is); err != nil {
		r := Refusal{Reason: LastOwner}
		var from *access.OwnerlessError
		if errors.As(err, &from) {
			r.From = from.From
		}
		if l.change.Review != nil {
			owners := access.Owners(is)
			r.Users = slices.DeleteFunc(access.Owners(was), func(id access.UserID) bool { return slices.Contains(owners, id) })
		}
		p.Refused = append(p.Refused, r)
	}
	if l.actor.Kind == store.ActorPerson && rules(was, l.actor.ID) && !rules(is, l.actor.ID) {
		p.Refused = append(p.Refused, Refusal{Reason: LocksOut})
	}
	if !l.change.ruled() {
		return
	}
	was.At, is.At = p.At, p.At
	p.Findings, _ = access.NewFindings(was, is)
	for _, f := range p.Findings {
		if f.Refuse && (f.Product != access.ConsoleID || f.Rule != access.RuleFewHolders) { // owners have their own reason
			p.Refused = append(p.Refused, Refusal{Reason: Broken, Finding: f})
		}
	}
}

// rules reports whether somebody may change access somewhere.
func rules(st access.State, user string) bool {
	return len(st.Policy.PlacesOf(st.Facts.Subject(access.UserID(user)), access.ConsoleID, access.ConsoleAccess, access.LevelChange, st.At)) > 0
}

// unkept are the invitations whose promises the change breaks.
func (l *looker) unkept() ([]store.Invitation, error) {
	before, err := store.Unkept(l.change.before, l.invited)
	if err != nil {
		return nil, err
	}
	after, err := store.Unkept(l.change.after, l.invited)
	return slices.DeleteFunc(after, func(v store.Invitation) bool {
		return slices.ContainsFunc(before, func(o store.Invitation) bool { return o.ID == v.ID })
	}), err
}

// cover finds grants that add nothing.
func (p *Preview) cover() {
	for _, g := range p.change.added {
		for _, other := range p.After.Grants() {
			if other.InForce(p.At) && p.After.Covers(other, g, p.Groups) {
				p.Covered = append(p.Covered, Covered{Grant: g, By: other})
				break
			}
		}
	}
}
