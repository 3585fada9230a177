package ui

import (
	"cmp"
	"context"
	"slices"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// holders are the people whom some grants are for and who are live, by name, each
// with why: the people at a site, or of a role.
type holders struct {
	visit  *visit
	policy *access.Policy
	// then is who there was, for a page about the past.
	then   *store.Snapshot
	at     time.Time
	here   access.SiteID // the site of the page; empty for none
	grants []reachingGrant
	of     map[access.Grantee][]int // places in grants
	list   listing
	names  map[string]string
}

// reachingGrant is a grant with how it comes to the site of the page, if it has one.
type reachingGrant struct {
	access.Grant
	access.Reach
}

// holderRow is somebody with why she is on the list.
type holderRow struct {
	Name, UserName, Href string
	Ways                 []holderWay
}

// holderWay is one way: what somebody has, through whom, and where that was said.
type holderWay struct {
	What, Href   string
	Via, ViaHref string
	From         string
	Deny         bool
}

// reached finds those whom the grants allow something; denies among the grants are
// told beside it.
func (s *Server) reached(ctx context.Context, v *visit, policy *access.Policy, at time.Time, then *store.Snapshot, grants []reachingGrant, here access.SiteID) (*holders, error) {
	h := &holders{visit: v, here: here, policy: policy, then: then, at: at, grants: grants, of: map[access.Grantee][]int{}, names: map[string]string{}}
	var whom, named access.Audience
	for i := range grants {
		to := grants[i].Subject
		h.of[to] = append(h.of[to], i)
		if len(h.of[to]) == 1 {
			named.Add(to)
		}
		if grants[i].Effect == access.Allow && !to.Everyone {
			whom.Add(to)
		}
	}
	if then != nil {
		h.fromSnapshot(whom, named)
		return h, nil
	}
	var err error
	if h.names, err = s.store.Names(ctx, v.tenant(), named.Users, named.Groups); err != nil {
		return nil, err
	}
	h.list, err = s.store.People(ctx, v.tenant(), store.PeopleFilter{State: store.PersonLive, Among: []access.Audience{whom}})
	return h, err
}

func (h *holders) fromSnapshot(whom, named access.Audience) {
	for _, id := range named.Users {
		user := h.then.Users[id]
		h.names[string(id)] = cmp.Or(user.DisplayName, user.Name)
	}
	for _, id := range named.Groups {
		h.names[string(id)] = h.then.Groups[id].Name
	}
	among := amongOf(whom)
	h.list = peopleThen(h.then, func(one *store.Somebody) bool { return one.Person.Live(h.at) && among(one.Subject) })
}

// page gives some of them behind a place.
func (h *holders) page(ctx context.Context, after store.PeopleKey, limit int) ([]store.Somebody, error) {
	found, _, err := h.list.Page(ctx, after, limit)
	return found, err
}

// count says how many there are.
func (h *holders) count(ctx context.Context) (string, error) {
	n, err := h.list.Count(ctx, countPeople)
	if n > countPeople {
		return h.visit.words.t("people.many", "n", countPeople), err
	}
	return h.visit.words.n("people.count", n), err
}

// row is one of them, with why.
func (h *holders) row(one store.Somebody) holderRow {
	row := holderRow{Name: name(one), UserName: one.UserName, Href: h.visit.link("/people/" + one.ID)}
	for _, i := range h.of[access.Grantee{User: access.UserID(one.ID)}] {
		row.Ways = append(row.Ways, h.way(&h.grants[i]))
	}
	for _, group := range one.Subject.Groups {
		for _, i := range h.of[access.Grantee{Group: group}] {
			row.Ways = append(row.Ways, h.way(&h.grants[i]))
		}
	}
	for _, i := range h.of[access.Grantee{Everyone: true}] {
		if h.grants[i].Effect == access.Deny {
			row.Ways = append(row.Ways, h.way(&h.grants[i]))
		}
	}
	slices.SortStableFunc(row.Ways, func(a, b holderWay) int { return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.Via, b.Via)) })
	return row
}

func (h *holders) way(g *reachingGrant) holderWay {
	w := h.visit.words
	product, _ := h.policy.Product(g.Product)
	way := holderWay{What: cmp.Or(product.Name, string(product.ID)) + ": " + grantWhat(w, &g.Grant, product), Deny: g.Effect == access.Deny, From: h.from(g)}
	if h.then == nil {
		way.Href = h.visit.link("/mappings/" + string(g.ID))
	}
	switch {
	case g.Subject.Everyone:
		way.Via = w.t("matrix.everyone")
	case g.Subject.Group != "":
		way.Via = cmp.Or(h.names[string(g.Subject.Group)], w.t("matrix.gone"))
		way.ViaHref = h.visit.link("/groups/" + string(g.Subject.Group))
	default:
		way.Via = w.t("sites.direct")
	}
	return way
}

// from is where a grant was said: here, at a site above, or everywhere. On a page
// without a site it is all of its scope.
func (h *holders) from(g *reachingGrant) string {
	w := h.visit.words
	if h.here == "" {
		product, _ := h.policy.Product(g.Product)
		return (&granted{words: w, policy: h.policy}).where(&g.Grant, product, 3)
	}
	text := w.t("sites.from.all")
	if site, ok := h.policy.Site(g.Above); ok {
		text = w.t("sites.from", "site", siteName(site))
		if site.ID == h.here {
			text = w.t("sites.here")
		}
	}
	if g.Part {
		text = w.t("matrix.part", "what", text)
	}
	return text
}
