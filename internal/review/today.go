package review

import (
	"context"
	"reflect"
	"slices"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"
)

// Now is a review with what has become of its people since it was opened.
type Now struct {
	store.Review
	People []Person

	scope scope
	may   func(before, after *access.Grant) bool
}

// Person is somebody in a review, today.
type Person struct {
	store.ReviewPerson
	// Gone says that no decision is asked: she has left, or has nothing there any more.
	Gone bool
	// Moved says that she has something else than when the review was opened: Has.
	Moved bool
	Has   []store.ReviewHolding
	// Ends and Cuts are grants of hers alone that a removal ends, or takes the site out
	// of; Denies are what it denies her, since a group gives it, or a grant that stays.
	Ends   []access.GrantID
	Cuts   []access.Grant
	Denies []access.Grant
	// Stays are the grants of hers alone that reach further, and so are denied.
	Stays []access.GrantID
}

// Flagged reports whether she needs a decision of her own: also who had the same as at
// the last review when this one was opened, and hasn't any more.
func (p *Person) Flagged() bool { return (len(p.Flags) > 0 || p.Moved) && !p.Gone }

// Today reads the people of a review with what they have now. What may says is whether
// whoever decides may change a grant that is for other sites, too.
func Today(ctx context.Context, st *store.Store, v store.Review, may func(before, after *access.Grant) bool) (*Now, error) {
	people, err := st.ReviewPeople(ctx, v.TenantID, v.ID)
	if err != nil {
		return nil, err
	}
	now := &Now{Review: v, may: may}
	var who access.Audience
	for _, p := range people {
		who.Users = append(who.Users, access.UserID(p.UserID))
	}
	found, err := st.Concerned(ctx, v.TenantID, func(p *access.Policy) (_ access.Audience, err error) {
		now.scope, err = newScope(p, v.ReviewScope)
		return who, err
	})
	if err != nil {
		return nil, err
	}
	at := st.Now()
	for _, p := range people {
		has, items := now.scope.held(found.Facts.Subject(access.UserID(p.UserID)), found.Facts.Groups, at)
		one := Person{ReviewPerson: p, Gone: len(has.Now) == 0, Moved: !now.scope.same(p.ReviewHad, has), Has: has.Now}
		now.removal(&one, has.Now, items)
		now.People = append(now.People, one)
	}
	return now, nil
}

// removal works out what it takes for somebody to have nothing in the scope any more.
func (n *Now) removal(p *Person, has []store.ReviewHolding, items []access.Item) {
	s := n.scope
	denied := map[access.ProductID]bool{}
	for i := range has {
		g := has[i].Grant
		switch rest, cut := s.cut(g); {
		case g.Subject.User == "":
			if s.Role != "" {
				for _, deny := range s.denyRole(p, &g) {
					if !slices.ContainsFunc(p.Denies, func(o access.Grant) bool { return reflect.DeepEqual(o, deny) }) {
						p.Denies = append(p.Denies, deny)
					}
				}
				continue
			}
			denied[g.Product] = true
		case cut && rest.Scope.Zero():
			p.Ends = append(p.Ends, g.ID)
		case cut && n.may(&g, &rest):
			p.Cuts = append(p.Cuts, rest)
		default:
			denied[g.Product], p.Stays = true, append(p.Stays, g.ID)
		}
	}
	for _, product := range s.policy.Products() {
		if denied[product.ID] {
			p.Denies = append(p.Denies, s.deny(p, product, items)...)
		}
	}
}

// cut is a grant without the sites of the scope; one without any scope has to end. Not
// ok if it reaches them from above.
func (s scope) cut(g access.Grant) (rest access.Grant, ok bool) {
	if s.Site == "" {
		g.Scope = access.Scope{}
		return g, true
	}
	in := g.Scope.Sites[s.site.Dimension]
	above := func(id access.SiteID) bool { return id != s.Site && s.below(s.Site, id) }
	if g.Scope.Everywhere || in.All || slices.ContainsFunc(in.Sites, above) {
		return g, false
	}
	g = impact.Normal(g) // with lists of its own
	in.Sites = slices.DeleteFunc(slices.Clone(in.Sites), s.covers)
	g.Scope.Sites[s.site.Dimension] = in
	if len(in.Sites) == 0 {
		g.Scope = access.Scope{}
	}
	return g, true
}

// deny shuts somebody out of a product in the scope. Of the console only what she has
// there is denied: everybody sees their own access.
func (s scope) deny(p *Person, product access.Product, items []access.Item) (all []access.Grant) {
	where := access.Scope{Everywhere: true}
	if s.Site != "" {
		where = access.Scope{Sites: map[access.DimensionID]access.Selection{}}
		for _, d := range product.Dimensions {
			where.Sites[d] = access.Selection{All: true}
		}
		where.Sites[s.site.Dimension] = access.Selection{Sites: []access.SiteID{s.Site}}
	}
	if product.ID != access.ConsoleID {
		return []access.Grant{denial(p, product, access.AllPermissions, where)}
	}
	for _, permission := range product.Permissions {
		has := slices.ContainsFunc(items, func(i access.Item) bool { return i.Product == product.ID && i.Permission == permission.ID })
		if has && permission.ID != access.ConsoleOwn {
			all = append(all, denial(p, product, permission.ID, where))
		}
	}
	return all
}

// denyRole denies what a role gives, where a grant of it does.
func (s scope) denyRole(p *Person, g *access.Grant) (all []access.Grant) {
	product, _ := s.policy.Product(g.Product)
	for _, role := range product.Roles {
		if role.ID != g.Role {
			continue
		}
		for _, permission := range product.Permissions {
			_, named := role.Permissions[permission.ID]
			_, rest := role.Permissions[access.AllPermissions]
			if (named || rest) && permission.ID != access.ConsoleOwn && !slices.Contains(g.Mask, permission.ID) {
				all = append(all, denial(p, product, permission.ID, g.Scope))
			}
		}
	}
	return all
}

// denial takes a permission from somebody, at every level.
func denial(p *Person, product access.Product, permission access.PermissionID, where access.Scope) access.Grant {
	return access.Grant{Subject: access.Grantee{User: access.UserID(p.UserID)}, Effect: access.Deny, Product: product.ID,
		Permission: permission, Level: product.Levels[0], Scope: where, Origin: access.OriginDirect}
}

// Proposal is what decisions come to. Who is gone is noted as that; reason says of each
// removal why, in words for the grants that it makes.
func (n *Now) Proposal(decided map[store.UserID]store.ReviewDecision, reason func(store.ReviewDecision) string) impact.Proposal {
	d := &store.ReviewDecisions{Review: n.ID}
	p := impact.Proposal{Review: d}
	for i := range n.People {
		one := &n.People[i]
		decision := decided[one.UserID]
		if decision.User = one.UserID; one.Gone {
			decision = store.ReviewDecision{User: one.UserID, Decided: store.DecidedGone}
		}
		d.People = append(d.People, decision)
		if decision.Decided != store.DecidedRemove {
			continue
		}
		p.End, p.Change = append(p.End, one.Ends...), append(p.Change, one.Cuts...)
		for _, g := range one.Denies {
			g.Reason = reason(decision)
			p.Add = append(p.Add, g)
		}
	}
	return p
}
