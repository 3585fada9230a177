package access

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// NotGranted is why Decide says no when the person has no grant of the
// permission; Explain tells apart why not.
const NotGranted Reason = "not_granted"

// AmbiguousAction says that a name can be read as two permissions, AmbiguousSite
// that it is the key of one site and the id of another.
const (
	AmbiguousAction Reason = "ambiguous_action"
	AmbiguousSite   Reason = "ambiguous_site"
)

// Reasons are all codes that there are, in the order in which Explain ranks them.
func Reasons() []Reason {
	all := sortedKeys(reasonOrder)
	slices.SortFunc(all, func(a, b Reason) int { return cmp.Compare(reasonOrder[a], reasonOrder[b]) })
	return append(all, NotGranted, AmbiguousAction, AmbiguousSite)
}

// Decide answers a question as Allows does, and a no with what is found without
// looking further than the person's own grants: what is wrong with the question,
// else with the account, else Denied, LevelTooLow, OtherSite or NotGranted. The
// reason for a yes is empty.
func (p *Policy) Decide(s Subject, q Question, at time.Time) (bool, Reason) {
	var buf [8]int32
	a, reason, _ := p.ask(q, buf[:0])
	if reason != "" {
		return false, reason
	}
	if !s.Person.Live(at) {
		return false, s.Person.notLive(at)[0]
	}
	if p.rank(&s, &a, at) >= a.rank {
		return true, ""
	}
	return false, p.short(&s, &a, at)
}

// short is which of the person's own grants came nearest to a yes.
func (p *Policy) short(s *Subject, a *ask, at time.Time) Reason {
	w, elsewhere := weight{ceiling: 255}, false
	for _, rules := range p.concerned(s) {
		for _, r := range rules {
			switch {
			case r.product != a.product || r.ranks == nil || r.ranks[a.permission] == 0 || !r.InForce(at):
			case r.reaches(a.where):
				w.count(r, a.permission)
			case r.Effect == Allow && r.ranks[a.permission] >= a.rank:
				elsewhere = true
			}
		}
	}
	switch {
	case w.allowed >= a.rank:
		return Denied
	case elsewhere:
		return OtherSite
	case w.allowed > 0:
		return LevelTooLow
	}
	return NotGranted
}

// concerned are the lists of rules that may be for a person.
func (p *Policy) concerned(s *Subject) [][]*rule {
	all := make([][]*rule, 0, len(s.Groups)+2)
	all = append(all, p.byUser[s.Person.ID], p.everyone)
	for _, group := range s.Groups {
		all = append(all, p.byGroup[group])
	}
	return all
}

// Action reads the name of an action, "permission" or "permission.level". A name
// that can be read as two of them is neither.
func (p *Policy) Action(product ProductID, name string) (PermissionID, Level, Reason) {
	pr := p.products[product]
	if pr == nil {
		return "", "", UnknownProduct
	}
	_, whole := pr.permissionAt[PermissionID(name)]
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 {
		dot = len(name)
	}
	permission, level := PermissionID(name[:dot]), Level(strings.TrimPrefix(name[dot:], "."))
	_, part := pr.permissionAt[permission]
	part = part && level != ""
	switch {
	case whole && part && pr.rankOf[level] > 0:
		return "", "", AmbiguousAction
	case whole && len(pr.Levels) == 1:
		return PermissionID(name), pr.Levels[0], ""
	case whole:
		return "", "", UnknownLevel
	case part && pr.rankOf[level] > 0:
		return permission, level, ""
	case part:
		return "", "", UnknownLevel
	}
	return "", "", UnknownPermission
}

// SiteNamed finds a site of a dimension by its key or its id.
func (p *Policy) SiteNamed(dimension DimensionID, name string) (SiteID, Reason) {
	byKey, keyed := p.byKey[siteKey{dimension, name}]
	byID, known := p.at[SiteID(name)]
	known = known && p.sites[byID].Dimension == dimension
	switch {
	case name == "" || !keyed && !known:
		return "", UnknownSite
	case keyed && known && byKey != byID:
		return "", AmbiguousSite
	case keyed:
		return p.sites[byKey].ID, ""
	}
	return p.sites[byID].ID, ""
}

// Audience is whom grants are for: some users, everybody who is in some groups,
// or everyone.
type Audience struct {
	Everyone bool
	Users    []UserID
	Groups   []GroupID
}

// Add lets in whom a grant is for.
func (a *Audience) Add(g Grantee) {
	switch {
	case g.Everyone:
		a.Everyone = true
	case g.User != "":
		a.Users = append(a.Users, g.User)
	default:
		a.Groups = append(a.Groups, g.Group)
	}
}

// Audience is whom there are grants for that give what is asked at the instant;
// without a level any, without a permission any of the product. Nobody else has
// it, and of these Decide says who does: grants may be masked or denied, accounts
// may not be live.
func (p *Policy) Audience(q Question, at time.Time) Audience {
	found := newWhom()
	asks := p.asks(q)
	for _, r := range p.rules {
		if r.dead || r.Effect != Allow || r.ranks == nil || !r.InForce(at) ||
			!slices.ContainsFunc(asks, func(a ask) bool {
				return r.product == a.product && r.ranks[a.permission] >= a.rank && r.reaches(a.where)
			}) {
			continue
		}
		found.add(r.Subject)
	}
	return found.audience()
}

// HeldIn is Held for one product.
func (p *Policy) HeldIn(s Subject, product ProductID, at time.Time) Held {
	held := Held{User: s.Person.ID, At: at, NotLive: s.Person.notLive(at)}
	rules, pr := p.inForce(&s, at), p.products[product]
	if pr == nil {
		return held
	}
	held.add(p, pr, rules, newPaths(s))
	for _, r := range rules {
		if r.Attribute != "" && r.product == pr {
			held.attribute(r.Grant)
		}
	}
	return held
}
