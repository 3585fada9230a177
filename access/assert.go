package access

import (
	"errors"
	"fmt"
	"slices"
)

// Assertion is something that must hold whatever is granted: none of these
// people has the permission at the level or above, anywhere in the scope. "Interns never
// maintain payroll."
type Assertion struct {
	Name string `json:"name"`
	// Kind and Subject say whom it is about: the people of a kind, a group's members,
	// one person or everyone; with both, those who are both.
	Kind       Kind         `json:"kind,omitempty"`
	Subject    Grantee      `json:"subject,omitzero"`
	Product    ProductID    `json:"product"`
	Permission PermissionID `json:"permission"` // AllPermissions is any of them
	Level      Level        `json:"level"`
	Scope      Scope        `json:"scope"`
}

// Breach is an assertion that doesn't hold for somebody, through these grants.
type Breach struct {
	Assertion string `json:"assertion"`
	User      UserID `json:"user"`
	Item      Item   `json:"item"`
}

// Check finds who breaks the assertions. An assertion that names something
// unknown, or no scope, could never be broken: that is an error that names it.
func Check(st State, assertions []Assertion) ([]Breach, error) {
	var all []Breach
	for _, assertion := range assertions {
		r, err := assertion.read(st)
		if err != nil {
			return nil, fmt.Errorf("assertion %q: %w", assertion.Name, err)
		}
		for _, id := range sortedKeys(st.Facts.People) {
			s := st.Facts.Subject(id)
			if !assertion.concerns(&s) {
				continue
			}
			for _, item := range st.Policy.atLeast(s, r, st) {
				all = append(all, Breach{Assertion: assertion.Name, User: id, Item: item})
			}
		}
	}
	return all, nil
}

// read looks up what the assertion names, as if it were a grant.
func (a *Assertion) read(st State) (*rule, error) {
	if a.Kind == "" && a.Subject == (Grantee{}) {
		return nil, errors.New("names nobody")
	}
	if a.Subject.Group != "" {
		if _, ok := st.Facts.Groups[a.Subject.Group]; !ok {
			return nil, fmt.Errorf("group %s: unknown", a.Subject.Group)
		}
	}
	r := st.Policy.rule(&Grant{Effect: Allow, Product: a.Product, Permission: a.Permission, Level: a.Level, Scope: a.Scope})
	for _, problem := range r.problems {
		return nil, fmt.Errorf("%s %s", problem.Reason, problem.Name)
	}
	return r, nil
}

func (a *Assertion) concerns(s *Subject) bool {
	g := Grant{Subject: a.Subject}
	return (a.Kind == "" || a.Kind == s.Person.Kind) && (a.Subject == (Grantee{}) || g.isFor(s))
}

// atLeast is what a person has of as much as the rule says, or more, somewhere
// in the rule's scope.
func (p *Policy) atLeast(s Subject, r *rule, st State) []Item {
	v := p.view(r.product, p.inForce(&s, st.At))
	enough := func(permission int, rank uint8) bool { return r.ranks[permission] > 0 && rank >= r.ranks[permission] }
	breaks := func(held *rule) bool {
		for permission, rank := range held.ranks {
			if enough(permission, rank) {
				return true
			}
		}
		return false
	}
	if !slices.ContainsFunc(v.rules, breaks) {
		return nil // spares most people the work
	}
	wanted := func(f *finding) bool { return enough(r.product.permissionAt[f.permission], f.ranks[0]) }
	var all []Item
	for _, f := range findings([]view{v}, wanted) {
		if p.overlaps(f.area, r) {
			all = append(all, newPaths(s).item(&f, r.product))
		}
	}
	return all
}

// overlaps reports whether an area and a rule's scope have a place in common.
func (p *Policy) overlaps(area Area, r *rule) bool {
	for d, dimension := range r.product.Dimensions {
		if r.everywhere || r.reach[d].all {
			continue
		}
		common := slices.ContainsFunc(r.reach[d].spans, func(within span) bool {
			for site := within.first; site <= within.last; site++ {
				if !p.sites[site].closed && p.contains(area[dimension], site) {
					return true
				}
			}
			return false
		})
		if !common {
			return false
		}
	}
	return true
}
