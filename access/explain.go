package access

import (
	"cmp"
	"slices"
	"time"
)

// Explanation is the answer to a question with everything that decided it.
type Explanation struct {
	Allowed bool `json:"allowed"`
	// Level is what the person has of the permission at the place, asked or not;
	// empty is nothing.
	Level Level `json:"level,omitempty"`
	// Through are the ways that give enough; the answer is yes if there is one and
	// nothing is Missing.
	Through []Path `json:"through,omitempty"`
	// Missing is why not: what is wrong with the question, else with the account,
	// then the denies, then the grants that came nearest.
	Missing []Missing `json:"missing,omitempty"`
}

// Missing is one thing that stands between a person and a yes. All that are
// before the grants have to be mended, of the grants any one.
type Missing struct {
	// Reasons are all that this grant lacks; without a grant there is one.
	Reasons []Reason `json:"reasons"`
	// Name is what the reason is about: the site not known, the level held.
	Name string `json:"name,omitempty"`
	// Path is the deny, or the grant that would do; for a group that the person
	// isn't in, that group alone.
	Path *Path `json:"path,omitempty"`
}

// Explain answers a question as Allows does and says why.
func (p *Policy) Explain(s Subject, q Question, at time.Time) Explanation {
	var e Explanation
	a, reason, name := p.ask(q, nil)
	if reason != "" {
		e.missing(reason, name)
		return e
	}
	notLive := s.Person.notLive(at)
	for _, reason := range notLive {
		e.missing(reason, "")
	}
	// A blocked account is looked at as if it weren't: what else is missing is of
	// use to whoever unblocks it.
	w := newPaths(s)
	var denies []*rule
	total := weight{ceiling: 255}
	for _, r := range p.view(a.product, p.rulesFor(&s)).rules {
		if !r.InForce(at) || !r.reaches(a.where) || r.ranks[a.permission] == 0 {
			continue
		}
		total.count(r, a.permission)
		switch {
		case r.Effect == Deny && r.ranks[a.permission] <= a.rank:
			denies = append(denies, r)
		case r.Effect == Allow && r.ranks[a.permission] >= a.rank:
			e.Through = append(e.Through, p.placed(w.through(r, a.permission), &a)...)
		}
	}
	for _, r := range denies {
		for _, path := range p.placed(w.through(r, a.permission), &a) {
			e.Missing = append(e.Missing, Missing{Reasons: []Reason{Denied}, Path: &path})
		}
	}
	if len(notLive) == 0 {
		e.Level = a.product.level(total.rank())
	}
	if len(e.Through) == 0 {
		e.Missing = append(e.Missing, p.nearest(w, &a, at)...)
	}
	e.Allowed = len(e.Missing) == 0
	return e
}

func (e *Explanation) missing(reason Reason, name string) {
	e.Missing = append(e.Missing, Missing{Reasons: []Reason{reason}, Name: name})
}

// isFor reports whether the grant is for the person, for a group that she is in,
// or for everyone.
func (g *Grant) isFor(s *Subject) bool {
	if g.Subject.Group == "" {
		return g.Subject.Everyone || g.Subject.User == s.Person.ID
	}
	_, in := slices.BinarySearch(s.Groups, g.Subject.Group)
	return in
}

// placed says in each path which site of the grant's scope is the place or the
// nearest above it.
func (p *Policy) placed(paths []Path, a *ask) []Path {
	for i := range paths {
		for d, dimension := range a.product.Dimensions {
			selection := paths[i].Grant.Scope.Sites[dimension]
			if a.where[d] < 0 || selection.All {
				continue
			}
			for id := p.sites[a.where[d]].ID; id != ""; id = p.sites[p.at[id]].Parent {
				if slices.Contains(selection.Sites, id) {
					if paths[i].Sites == nil {
						paths[i].Sites = make(map[DimensionID]SiteID)
					}
					paths[i].Sites[dimension] = id
					break
				}
			}
		}
	}
	return paths
}

// nearest finds the grants that lack the fewest things to give what is asked: to
// the person, to everyone or to any group.
func (p *Policy) nearest(w *paths, a *ask, at time.Time) []Missing {
	var all []Missing
	for _, r := range p.rules {
		if r.Effect != Allow || r.product != a.product || r.ranks == nil {
			continue
		}
		if r.Subject.User != "" && r.Subject.User != w.subject.Person.ID {
			continue
		}
		missing, ok := r.lacks(w, a, at)
		if !ok {
			continue
		}
		if len(all) > 0 && len(missing.Reasons) < len(all[0].Reasons) {
			all = nil
		}
		if len(all) == 0 || len(missing.Reasons) == len(all[0].Reasons) {
			all = append(all, missing)
		}
	}
	if len(all) == 0 {
		return []Missing{{Reasons: []Reason{NothingGrants}}}
	}
	slices.SortFunc(all, func(a, b Missing) int {
		return cmp.Or(
			slices.CompareFunc(a.Reasons, b.Reasons, func(a, b Reason) int { return cmp.Compare(reasonOrder[a], reasonOrder[b]) }),
			cmp.Compare(a.Path.Grant.ID, b.Path.Grant.ID),
		)
	})
	return all
}

// lacks is what keeps an allow from giving what is asked; not ok if it has
// nothing to do with the permission.
func (r *rule) lacks(w *paths, a *ask, at time.Time) (Missing, bool) {
	var m Missing
	lack := func(is bool, reason Reason) {
		if is {
			m.Reasons = append(m.Reasons, reason)
		}
	}
	rank := r.unmasked[a.permission]
	if rank == 0 && !slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Reason == UnknownRole }) {
		return m, false
	}
	path := Path{Grant: r.Grant, Level: r.product.level(rank)}
	if r.isFor(&w.subject) {
		if chains := w.through(r, a.permission); len(chains) > 0 {
			path.Groups = chains[0].Groups
		}
	} else {
		path.Groups = []GroupID{r.Subject.Group}
		lack(true, NotMember)
	}
	m.Path = &path
	lack(rank > 0 && rank < a.rank, LevelTooLow)
	lack(rank > 0 && r.ranks[a.permission] == 0, Masked)
	for _, problem := range r.problems {
		if r.dead {
			lack(!slices.Contains(m.Reasons, problem.Reason), problem.Reason)
			m.Name = problem.Name
		}
	}
	lack(!r.dead && !r.reaches(a.where), OtherSite)
	lack(r.ended(at), GrantExpired)
	lack(at.Before(r.From), NotYetValid)
	slices.SortFunc(m.Reasons, func(a, b Reason) int { return cmp.Compare(reasonOrder[a], reasonOrder[b]) })
	if slices.Contains(m.Reasons, LevelTooLow) {
		m.Name = string(path.Level)
	}
	return m, true
}

// Menders are the live people whose right in the console lets them change what a
// reason is about, at the place of the question; none if that is not for anybody
// here. A place that isn't known is for those who may do so everywhere.
func Menders(st State, q Question, reason Reason) []UserID {
	right := reason.Mend()
	if right == "" {
		return nil
	}
	console := Question{Product: ConsoleID, Permission: right, Level: LevelChange, Place: q.Place}
	if _, unclear, _ := st.Policy.ask(console, nil); unclear != "" {
		console.Place = nil
	}
	var all []UserID
	for _, holder := range WhoHas(st, console) {
		all = append(all, holder.User)
	}
	return all
}
