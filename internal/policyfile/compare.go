package policyfile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// Compared says whose access became another between two instants, and why: by which
// ways they had it, and have it.
type Compared struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// People are those for whom something is otherwise, who lost first.
	People []Person `json:"people"`
}

// About narrows a comparison to a person, a product, a site. What is empty narrows
// nothing.
type About struct {
	User    access.UserID
	Product access.ProductID
	// Site is looked at together with what is above it: whoever lost "everywhere" lost
	// the site, too.
	Site access.Site
}

// Compare finds what became of people's access between two snapshots, of the instants
// from and to.
func Compare(was, is store.Snapshot, from, to time.Time, about About) (*Compared, error) {
	before, after := access.State{Facts: about.only(was.Facts), At: from}, access.State{Facts: about.only(is.Facts), At: to}
	var err error
	if before.Policy, err = access.NewPolicy(was.Catalogue, was.Grants); err != nil {
		return nil, err
	}
	if after.Policy, err = access.NewPolicy(is.Catalogue, is.Grants); err != nil {
		return nil, err
	}
	var impacts []access.Impact
	for _, impact := range access.Diff(before, after) {
		impact.Differences = slices.DeleteFunc(impact.Differences, func(d access.Difference) bool {
			return !about.concerns(d, before.Policy, after.Policy)
		})
		if len(impact.Differences) > 0 {
			impacts = append(impacts, impact)
		}
	}
	// Who has gone is called as then, who is here as now.
	known := is
	known.Users, known.Groups = maps.Clone(was.Users), maps.Clone(was.Groups)
	maps.Copy(known.Users, is.Users)
	maps.Copy(known.Groups, is.Groups)
	return &Compared{From: from, To: to, People: NewWords(known, was.Catalogue, is.Catalogue).people(impacts)}, nil
}

// only leaves out people who aren't asked about.
func (a About) only(facts access.Facts) access.Facts {
	if a.User == "" {
		return facts
	}
	one := facts
	one.People = map[access.UserID]access.Person{}
	if p, ok := facts.People[a.User]; ok {
		one.People[a.User] = p
	}
	return one
}

// concerns reports whether a difference is about the product and reaches the site. A
// site that is archived by now is looked for where it was.
func (a About) concerns(d access.Difference, before, after *access.Policy) bool {
	if a.Product != "" && d.Product != a.Product {
		return false
	}
	if a.Site.ID == "" {
		return true
	}
	dimension := a.Site.Dimension
	part, ok := d.Area[dimension]
	if !ok {
		return false
	}
	place := access.Place{dimension: a.Site.ID}
	policy := after
	if !policy.Contains(access.Area{dimension: {All: true}}, place) {
		policy = before
	}
	return policy.Contains(access.Area{dimension: part}, place)
}

// Text tells a comparison to a person at a terminal. It names at most so many people;
// 0 is all.
func (c *Compared) Text(most int) string {
	between := fmt.Sprintf("between %s and %s", day(c.From), day(c.To))
	if len(c.People) == 0 {
		return fmt.Sprintf("Nobody's access changed %s.\n", between)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "What changed %s, and for whom:\n", between)
	peopleText(c.People, func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }, most)
	return b.String()
}
