package access

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Held is what a person effectively has at an instant, with the reasons.
type Held struct {
	User UserID    `json:"user"`
	At   time.Time `json:"at"`
	// NotLive is why the account is not live; if it says anything, nothing is held.
	NotLive []Reason `json:"notLive,omitempty"`
	Items   []Item   `json:"items,omitempty"`
	// Taken is what would be held if no deny took it away.
	Taken []Item `json:"taken,omitempty"`
	// Attributes are what products are told about the person; who is given several
	// values of one has them all, in order.
	Attributes map[ProductID]map[string][]string `json:"attributes,omitempty"`
}

// Item is a permission at a level in an area.
type Item struct {
	Product    ProductID    `json:"product"`
	Permission PermissionID `json:"permission"`
	// Level is what remains; in Held.Taken it is what is allowed before denies.
	Level Level `json:"level"`
	Area  Area  `json:"area,omitempty"`
	// Through are the ways by which it is allowed, the highest level first; Against
	// are those by which some of it is denied.
	Through []Path `json:"through"`
	Against []Path `json:"against,omitempty"`
}

// Path is one way from a person to a permission: the person is in the first of
// the groups, each group is in the next, and the last one has the grant. Without
// groups the grant is to the person or to everyone.
type Path struct {
	Groups []GroupID `json:"groups,omitempty"`
	Grant  *Grant    `json:"grant"`
	// Level is what the grant gives of the permission, or takes away with all above.
	Level Level `json:"level"`
	// Sites are those of the grant's scope that are the place asked about or above
	// it; a dimension where the grant says ALL is missing. Explain fills it.
	Sites map[DimensionID]SiteID `json:"sites,omitempty"`
}

// Resolve works out all that a person has: the slow, complete answer of which
// Allows is the fast part.
func Resolve(facts Facts, p *Policy, user UserID, at time.Time) Held {
	return p.Held(facts.Subject(user), at)
}

// Held is Resolve for a person whose groups are known.
func (p *Policy) Held(s Subject, at time.Time) Held {
	held := Held{User: s.Person.ID, At: at, NotLive: s.Person.notLive(at)}
	rules := p.inForce(&s, at)
	paths := newPaths(s)
	for _, pr := range p.ordered {
		held.add(p, pr, rules, paths)
	}
	for _, r := range rules {
		if r.Attribute != "" {
			held.attribute(r.Grant)
		}
	}
	return held
}

// add adds what the rules come to in one product.
func (h *Held) add(p *Policy, pr *product, rules []*rule, paths *paths) {
	for _, f := range findings([]view{p.view(pr, rules)}, nil) {
		item := paths.item(&f, pr)
		if item.Level != "" {
			h.Items = append(h.Items, item)
			continue
		}
		item.Level = item.Through[0].Level
		h.Taken = append(h.Taken, item)
	}
}

func (h *Held) attribute(g *Grant) {
	if h.Attributes == nil {
		h.Attributes = make(map[ProductID]map[string][]string)
	}
	if h.Attributes[g.Product] == nil {
		h.Attributes[g.Product] = make(map[string][]string)
	}
	values := h.Attributes[g.Product][g.Attribute]
	if i, found := slices.BinarySearch(values, g.Value); !found {
		h.Attributes[g.Product][g.Attribute] = slices.Insert(values, i, g.Value)
	}
}

func (p *Person) notLive(at time.Time) []Reason {
	var all []Reason
	for _, check := range []struct {
		failed bool
		reason Reason
	}{
		{p.ID == "", UnknownPerson},
		{p.ID != "" && !p.Active, NotActive},
		{p.ID != "" && !p.LoginAllowed, LoginBlocked},
		{p.expired(at), AccountExpired},
		{at.IsZero(), NoInstant},
	} {
		if check.failed {
			all = append(all, check.reason)
		}
	}
	return all
}

// inForce is the grants that count for a person, none if she isn't live, in the
// order of their ids.
func (p *Policy) inForce(s *Subject, at time.Time) []*rule {
	if !s.Person.Live(at) {
		return nil
	}
	return slices.DeleteFunc(p.rulesFor(s), func(r *rule) bool { return !r.InForce(at) })
}

// rulesFor is the grants to a person, live or not, her groups and everyone, in
// the order of their ids.
func (p *Policy) rulesFor(s *Subject) []*rule {
	all := slices.Clone(p.byUser[s.Person.ID])
	for _, group := range s.Groups {
		all = append(all, p.byGroup[group]...)
	}
	all = append(all, p.everyone...)
	slices.SortFunc(all, func(a, b *rule) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// view is the part of the rules that is about a product's permissions.
func (p *Policy) view(pr *product, rules []*rule) view {
	v := view{policy: p, product: pr}
	for _, r := range rules {
		if pr != nil && r.product == pr && r.ranks != nil {
			v.rules = append(v.rules, r)
		}
	}
	return v
}

// finding is one permission in one area: the rank that remains in each view, and
// the rules that reach it.
type finding struct {
	permission PermissionID
	area       Area
	ranks      []uint8
	reaching   [][]*rule
}

// findings are what the views of one product come to, permission by permission,
// areas with the same reasons as one. Something must be allowed in some view for
// a place to be in any. Wanted may leave out findings before areas are made.
func findings(views []view, wanted func(*finding) bool) []finding {
	rules := 0
	for _, v := range views {
		rules += len(v.rules)
	}
	if rules == 0 {
		return nil
	}
	g := newGrid(views)
	cells := g.cells()
	var all []finding
	for _, permission := range permissionsOf(views) {
		var found []finding
		boxes := make(map[string][]box)
		for _, c := range cells {
			f, allowed := weigh(views, permission, c.reaching)
			if !allowed || wanted != nil && !wanted(&f) {
				continue
			}
			key := f.key()
			if boxes[key] == nil {
				found = append(found, f)
			}
			b := make(box, len(c.at))
			for d, i := range c.at {
				b[d] = []int{i}
			}
			boxes[key] = append(boxes[key], b)
		}
		for _, f := range found {
			for _, b := range merge(boxes[f.key()], len(g.axes)) {
				f.area = g.area(b)
				all = append(all, f)
			}
		}
	}
	return all
}

func permissionsOf(views []view) []PermissionID {
	var all []PermissionID
	for _, v := range views {
		if v.product == nil {
			continue
		}
		for _, permission := range v.product.Permissions {
			if !slices.Contains(all, permission.ID) {
				all = append(all, permission.ID)
			}
		}
	}
	return all
}

// weigh finds what remains of a permission in each view where the rules reach.
func weigh(views []view, permission PermissionID, reaching [][]*rule) (f finding, allowed bool) {
	f = finding{permission: permission, ranks: make([]uint8, len(views)), reaching: make([][]*rule, len(views))}
	for i, v := range views {
		if v.product == nil {
			continue
		}
		at, ok := v.product.permissionAt[permission]
		if !ok {
			continue
		}
		w := weight{ceiling: 255}
		for _, r := range reaching[i] {
			if r.ranks[at] > 0 {
				f.reaching[i] = append(f.reaching[i], r)
				w.count(r, at)
			}
		}
		f.ranks[i] = w.rank()
		allowed = allowed || w.allowed > 0
	}
	return f, allowed
}

// key is the same for findings with the same reasons.
func (f *finding) key() string {
	var b strings.Builder
	for _, rules := range f.reaching {
		for _, r := range rules {
			b.WriteString(string(r.ID))
			b.WriteByte(0)
		}
		b.WriteByte(1)
	}
	return b.String()
}

// paths finds the ways from one person to grants, each group's only once.
type paths struct {
	subject Subject
	chains  map[GroupID][][]GroupID
}

func newPaths(s Subject) *paths { return &paths{subject: s, chains: make(map[GroupID][][]GroupID)} }

// item is a finding of one view with its paths.
func (w *paths) item(f *finding, pr *product) Item {
	permission := pr.permissionAt[f.permission]
	return Item{
		Product: pr.ID, Permission: f.permission, Level: pr.level(f.ranks[0]), Area: f.area,
		Through: w.all(f.reaching[0], permission, Allow), Against: w.all(f.reaching[0], permission, Deny),
	}
}

// all are the paths through the rules of one effect, the highest level first.
func (w *paths) all(rules []*rule, permission int, effect Effect) []Path {
	sorted := slices.Clone(rules)
	slices.SortStableFunc(sorted, func(a, b *rule) int { return cmp.Compare(b.ranks[permission], a.ranks[permission]) })
	var all []Path
	for _, r := range sorted {
		if r.Effect == effect && r.ranks[permission] > 0 {
			all = append(all, w.through(r, permission)...)
		}
	}
	return all
}

// through are the ways to one grant.
func (w *paths) through(r *rule, permission int) []Path {
	path := Path{Grant: r.Grant, Level: r.product.level(r.ranks[permission])}
	group := r.Subject.Group
	if group == "" {
		return []Path{path}
	}
	chains, ok := w.chains[group]
	if !ok {
		chains = w.subject.chains(group)
		w.chains[group] = chains
	}
	all := make([]Path, len(chains))
	for i, chain := range chains {
		all[i] = path
		all[i].Groups = chain
	}
	return all
}
