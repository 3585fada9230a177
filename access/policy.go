package access

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Policy is what is granted at an instant: an immutable snapshot, indexed for
// answering, safe for use by many at once. It keeps what it was made of: nobody
// may change that afterwards.
type Policy struct {
	*base
	rules    []*rule
	byID     map[GrantID]*rule
	byUser   map[UserID][]*rule
	byGroup  map[GroupID][]*rule
	everyone []*rule
	renamed  map[ProductID]Product // what Product says instead
}

// base is what grants refer to: the catalogue, indexed.
type base struct {
	catalogue Catalogue
	forest
	products map[ProductID]*product
	ordered  []*product
}

type product struct {
	Product
	permissionAt map[PermissionID]int
	rankOf       map[Level]uint8 // from 1; 0 is nothing
	roleAt       map[RoleID]int
	dimensionAt  map[DimensionID]int
}

// rule is a grant made ready for asking.
type rule struct {
	*Grant
	product *product
	// ranks says for each permission of the product which level the grant gives or
	// takes away, 0 for none; unmasked is the same without the mask.
	ranks, unmasked []uint8
	// reach says for each dimension of the product which sites the grant covers;
	// everywhere needs none.
	everywhere bool
	reach      []reach
	// problems are why the grant gives less than it says, or takes away more.
	problems []Problem
	// dead grants reach nothing at all.
	dead bool
}

// reach is a part of a dimension.
type reach struct {
	all   bool
	spans []span
}

// Problem says that a grant can't be taken as it is written: an allow then gives
// nothing, or not there, and a deny takes away more.
type Problem struct {
	Grant  GrantID `json:"grant"`
	Reason Reason  `json:"reason"`
	// Name is what the reason is about: the unknown role, the dimension left out.
	Name string `json:"name,omitempty"`
}

// NewPolicy checks the catalogue and the grants and makes a policy of them. Its
// errors name the object at fault. What a grant refers to and isn't there is no
// error, since catalogue and grants change apart: see Policy.Problems.
func NewPolicy(catalogue Catalogue, grants []Grant) (*Policy, error) {
	b, err := newBase(catalogue)
	if err != nil {
		return nil, err
	}
	grants = slices.Clone(grants)
	pointers := make([]*Grant, len(grants))
	for i := range grants {
		pointers[i] = &grants[i]
	}
	return b.policy(pointers)
}

// With is the policy with these grants added, in place of those of the same id:
// what a preview compares with.
func (p *Policy) With(grants ...Grant) (*Policy, error) {
	replaced := make(map[GrantID]bool)
	for _, g := range grants {
		replaced[g.ID] = true
	}
	all := p.keep(func(id GrantID) bool { return !replaced[id] })
	grants = slices.Clone(grants)
	for i := range grants {
		all = append(all, &grants[i])
	}
	return p.policy(all)
}

// Without is the policy without the grants of these ids.
func (p *Policy) Without(ids ...GrantID) (*Policy, error) {
	return p.policy(p.keep(func(id GrantID) bool { return !slices.Contains(ids, id) }))
}

func (p *Policy) keep(wanted func(GrantID) bool) []*Grant {
	var kept []*Grant
	for _, r := range p.rules {
		if wanted(r.ID) {
			kept = append(kept, r.Grant)
		}
	}
	return kept
}

// Grant is the grant of that id.
func (p *Policy) Grant(id GrantID) (Grant, bool) {
	r, ok := p.byID[id]
	if !ok {
		return Grant{}, false
	}
	return *r.Grant, true
}

// Grants are all grants, in the order given.
func (p *Policy) Grants() []Grant {
	all := make([]Grant, len(p.rules))
	for i, r := range p.rules {
		all[i] = *r.Grant
	}
	return all
}

// Catalogue is what the policy's grants refer to, as it was given.
func (p *Policy) Catalogue() Catalogue { return p.catalogue }

// Product is the product of that id, the console too.
func (p *Policy) Product(id ProductID) (Product, bool) {
	if renamed, ok := p.renamed[id]; ok {
		return renamed, true
	}
	pr, ok := p.products[id]
	if !ok {
		return Product{}, false
	}
	return pr.Product, true
}

// Products are all products, the console first.
func (p *Policy) Products() []Product {
	all := make([]Product, len(p.ordered))
	for i, pr := range p.ordered {
		all[i], _ = p.Product(pr.ID)
	}
	return all
}

// Renamed is the policy with other names for a product, its permissions and its
// roles, as people of another language call them: name gives that of an id, which is
// empty for the product itself. Ids decide, so that every answer stays the same.
func (p *Policy) Renamed(id ProductID, name func(PermissionID, RoleID) string) *Policy {
	renamed, ok := p.Product(id)
	if !ok {
		return p
	}
	renamed.Name, renamed.Permissions, renamed.Roles = name("", ""), slices.Clone(renamed.Permissions), slices.Clone(renamed.Roles)
	for i := range renamed.Permissions {
		renamed.Permissions[i].Name = name(renamed.Permissions[i].ID, "")
	}
	for i := range renamed.Roles {
		renamed.Roles[i].Name = name("", renamed.Roles[i].ID)
	}
	other := *p
	other.renamed = map[ProductID]Product{}
	maps.Copy(other.renamed, p.renamed)
	other.renamed[id] = renamed
	return &other
}

// Problems are all that is wrong with grants, in the order of the grants.
func (p *Policy) Problems() []Problem {
	var all []Problem
	for _, r := range p.rules {
		all = append(all, r.problems...)
	}
	return all
}

func newBase(catalogue Catalogue) (*base, error) {
	b := &base{catalogue: catalogue, products: make(map[ProductID]*product)}
	var err error
	if b.forest, err = newForest(catalogue.Dimensions, catalogue.Sites); err != nil {
		return nil, err
	}
	dimensions := make([]DimensionID, len(catalogue.Dimensions))
	for i, d := range catalogue.Dimensions {
		dimensions[i] = d.ID
	}
	for _, one := range append([]Product{Console(dimensions...)}, catalogue.Products...) {
		if b.products[one.ID] != nil || one.ID == "" {
			return nil, fmt.Errorf("product %q: the id is empty or taken", one.ID)
		}
		pr, err := newProduct(one, b.roots)
		if err != nil {
			return nil, fmt.Errorf("product %s: %w", one.ID, err)
		}
		b.products[one.ID] = pr
		b.ordered = append(b.ordered, pr)
	}
	return b, nil
}

func newProduct(one Product, dimensions map[DimensionID]span) (*product, error) {
	if len(one.Levels) == 0 {
		one.Levels = []Level{LevelAllow}
	}
	if len(one.Levels) > 254 {
		return nil, errors.New("more than 254 levels")
	}
	pr := &product{Product: one}
	var err error
	if pr.permissionAt, err = index("permission", one.Permissions, func(p Permission) PermissionID { return p.ID }); err != nil {
		return nil, err
	}
	if _, ok := pr.permissionAt[AllPermissions]; ok {
		return nil, fmt.Errorf("permission %s: the id stands for all permissions", AllPermissions)
	}
	if pr.roleAt, err = index("role", one.Roles, func(r Role) RoleID { return r.ID }); err != nil {
		return nil, err
	}
	if pr.dimensionAt, err = index("dimension", one.Dimensions, func(d DimensionID) DimensionID { return d }); err != nil {
		return nil, err
	}
	levelAt, err := index("level", one.Levels, func(l Level) Level { return l })
	if err != nil {
		return nil, err
	}
	pr.rankOf = make(map[Level]uint8, len(levelAt))
	for level, i := range levelAt {
		pr.rankOf[level] = uint8(i + 1)
	}
	for _, d := range one.Dimensions {
		if _, ok := dimensions[d]; !ok {
			return nil, fmt.Errorf("dimension %s: unknown", d)
		}
	}
	return pr, pr.check()
}

// check looks at what roles and rules refer to within the product. A rule about
// something unknown could never be broken, so it is refused.
func (pr *product) check() error {
	for _, role := range pr.Roles {
		for permission, level := range role.Permissions {
			if _, ok := pr.permissionAt[permission]; !ok && permission != AllPermissions {
				return fmt.Errorf("role %s: permission %s: unknown", role.ID, permission)
			}
			if pr.rankOf[level] == 0 {
				return fmt.Errorf("role %s: permission %s: level %q: unknown", role.ID, permission, level)
			}
		}
	}
	for _, limit := range pr.Rules.Limits {
		if limit.MaxLevel != "" && pr.rankOf[limit.MaxLevel] == 0 {
			return fmt.Errorf("limit for kind %s: level %q: unknown", limit.Kind, limit.MaxLevel)
		}
	}
	for _, rule := range pr.Rules.Holders {
		if _, ok := pr.roleAt[rule.Role]; !ok {
			return fmt.Errorf("holders of role %s: unknown", rule.Role)
		}
	}
	return nil
}

// index finds things by their id, which must be there and not twice.
func index[T any, ID ~string](kind string, things []T, id func(T) ID) (map[ID]int, error) {
	at := make(map[ID]int, len(things))
	for i, thing := range things {
		key := id(thing)
		if key == "" {
			return nil, fmt.Errorf("%s %d: the id is empty", kind, i+1)
		}
		if _, taken := at[key]; taken {
			return nil, fmt.Errorf("%s %s: twice", kind, key)
		}
		at[key] = i
	}
	return at, nil
}

// level is the name of a rank, empty for none.
func (pr *product) level(rank uint8) Level {
	if rank == 0 {
		return ""
	}
	return pr.Levels[rank-1]
}

// policy indexes the grants by whom they are for.
func (b *base) policy(grants []*Grant) (*Policy, error) {
	p := &Policy{
		base: b, byID: make(map[GrantID]*rule, len(grants)),
		byUser: make(map[UserID][]*rule), byGroup: make(map[GroupID][]*rule),
	}
	for i, g := range grants {
		if g.ID == "" {
			return nil, fmt.Errorf("grant %d: the id is empty", i+1)
		}
		if p.byID[g.ID] != nil {
			return nil, fmt.Errorf("grant %s: twice", g.ID)
		}
		if err := g.check(); err != nil {
			return nil, fmt.Errorf("grant %s: %w", g.ID, err)
		}
		r := b.rule(g)
		p.byID[g.ID] = r
		p.rules = append(p.rules, r)
		switch {
		case r.dead:
		case g.Subject.Everyone:
			p.everyone = append(p.everyone, r)
		case g.Subject.User != "":
			p.byUser[g.Subject.User] = append(p.byUser[g.Subject.User], r)
		default:
			p.byGroup[g.Subject.Group] = append(p.byGroup[g.Subject.Group], r)
		}
	}
	return p, nil
}

// check looks at what can be wrong with a grant whatever the catalogue.
func (g *Grant) check() error {
	count := func(set ...bool) (n int) {
		for _, one := range set {
			if one {
				n++
			}
		}
		return n
	}
	if count(g.Subject.User != "", g.Subject.Group != "", g.Subject.Everyone) != 1 {
		return errors.New("subject: must be one of user, group and everyone")
	}
	if g.Effect != Allow && g.Effect != Deny {
		return fmt.Errorf("effect %q: must be allow or deny", g.Effect)
	}
	if count(g.Role != "", g.Permission != "", g.Attribute != "") != 1 {
		return errors.New("must name one of role, permission and attribute")
	}
	if g.Attribute != "" && (g.Effect == Deny || !g.Scope.Zero() || len(g.Mask) > 0) {
		return errors.New("an attribute has no scope and no mask, and can't be denied")
	}
	if g.Permission == "" && g.Level != "" {
		return errors.New("level: goes with a permission only")
	}
	if !g.Until.IsZero() && !g.From.Before(g.Until) {
		return errors.New("ends before it starts")
	}
	if g.Scope.Everywhere && len(g.Scope.Sites) > 0 {
		return errors.New("scope: everywhere and sites exclude each other")
	}
	for dimension, selection := range g.Scope.Sites {
		if selection.All && len(selection.Sites) > 0 {
			return fmt.Errorf("scope: dimension %s: ALL and a list of sites exclude each other", dimension)
		}
	}
	return nil
}

// rule works out what a grant gives or takes away, and where.
func (b *base) rule(g *Grant) *rule {
	r := &rule{Grant: g, product: b.products[g.Product], everywhere: g.Scope.Everywhere}
	if r.product == nil {
		r.problem(UnknownProduct, string(g.Product))
		r.dead = true
		return r
	}
	if g.Attribute != "" {
		return r
	}
	r.readLevels()
	r.readScope(&b.forest)
	// One unknown site leaves the others of the list; anything else leaves nothing.
	serious := slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Reason != UnknownSite })
	r.dead = g.Scope.Zero() || g.Effect == Allow && serious
	return r
}

func (r *rule) problem(reason Reason, name string) {
	r.problems = append(r.problems, Problem{Grant: r.ID, Reason: reason, Name: name})
}

// readLevels fills ranks. A deny that can't be read denies as much as it might
// mean: a role that isn't there any more is every permission, an unknown level
// is the lowest.
func (r *rule) readLevels() {
	pr := r.product
	r.unmasked = make([]uint8, len(pr.Permissions))
	i, known := pr.roleAt[r.Role]
	switch {
	case r.Role != "" && known:
		pr.fill(r.unmasked, pr.Roles[i].Permissions)
		if pr.Roles[i].Personal && r.Subject.User == "" && r.Effect == Allow {
			r.problem(PersonalRole, string(r.Role))
		}
	case r.Role != "":
		r.problem(UnknownRole, string(r.Role))
		if r.Effect == Deny {
			pr.fill(r.unmasked, map[PermissionID]Level{AllPermissions: pr.Levels[0]})
		}
	default:
		rank := pr.rankOf[r.Level]
		if rank == 0 {
			r.problem(UnknownLevel, string(r.Level))
			rank = 1
		}
		i, known := pr.permissionAt[r.Permission]
		switch {
		case r.Permission == AllPermissions:
			pr.fill(r.unmasked, map[PermissionID]Level{AllPermissions: pr.level(rank)})
		case known:
			r.unmasked[i] = rank
		default:
			r.problem(UnknownPermission, string(r.Permission))
		}
	}
	r.ranks = r.unmasked
	if len(r.Mask) == 0 {
		return
	}
	if r.Effect == Deny {
		r.problem(MaskedDeny, "") // a mask here would open something
		return
	}
	r.ranks = slices.Clone(r.unmasked)
	for i, permission := range pr.Permissions {
		if slices.Contains(r.Mask, permission.ID) || slices.Contains(r.Mask, AllPermissions) {
			r.ranks[i] = 0
		}
	}
}

// fill writes the ranks of a bundle.
func (pr *product) fill(ranks []uint8, bundle map[PermissionID]Level) {
	for i, permission := range pr.Permissions {
		level, ok := bundle[permission.ID]
		if !ok {
			level = bundle[AllPermissions]
		}
		ranks[i] = pr.rankOf[level]
	}
}

// readScope fills reach. A deny counts as ALL in a dimension that it leaves out
// or where it names a site that isn't there, and as everywhere if it names a
// dimension that the product doesn't have.
func (r *rule) readScope(f *forest) {
	if r.Scope.Zero() {
		r.problem(NoScope, "")
		return
	}
	for _, dimension := range sortedKeys(r.Scope.Sites) {
		if _, ok := r.product.dimensionAt[dimension]; !ok {
			r.problem(UnknownDimension, string(dimension))
			r.everywhere = r.Effect == Deny
		}
	}
	if r.everywhere {
		return
	}
	r.reach = make([]reach, len(r.product.Dimensions))
	for i, dimension := range r.product.Dimensions {
		selection, named := r.Scope.Sites[dimension]
		if !named {
			r.problem(DimensionLeftOut, string(dimension))
			r.reach[i].all = r.Effect == Deny
			continue
		}
		if !selection.All && len(selection.Sites) == 0 {
			r.problem(NoScope, string(dimension))
		}
		var unknown []SiteID
		r.reach[i], unknown = f.reach(dimension, selection)
		for _, site := range unknown {
			r.problem(UnknownSite, string(site))
			r.reach[i].all = r.Effect == Deny
		}
	}
}
