package ui

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"gatehouse/access"
	"gatehouse/store"
)

func (s *Server) searchRoutes() []route {
	return []route{{"GET", "/search", signedIn, s.search}}
}

// searchPage is what the search of the top bar, and of Ctrl-K, finds: pages,
// people, groups, mappings, sites and products by name or id, as far as the visitor may open them.
type searchPage struct {
	page
	Text    string
	Results []result
}

// result is something found.
type result struct{ Kind, Text, Detail, Href string }

// perKind is how many results of a kind are shown.
const perKind = 8

func (s *Server) search(w http.ResponseWriter, r *http.Request, v *visit) error {
	p := &searchPage{page: v.page("search.title"), Text: strings.TrimSpace(r.URL.Query().Get("q"))}
	for _, find := range []func(context.Context, *visit, *searchPage) ([]result, error){s.findPeople, s.findGroups, s.findMappings, findSites, findProducts, findPages} {
		found, err := find(r.Context(), v, p)
		if err != nil {
			return err
		}
		p.Results = append(p.Results, found[:min(len(found), perKind)]...)
	}
	return s.render(w, http.StatusOK, "search", p)
}

// matches reports whether what was typed is part of a name; nothing is part of all.
func (p *searchPage) matches(name string) bool {
	return strings.Contains(store.Fold(name), store.Fold(p.Text))
}

func (s *Server) findPeople(ctx context.Context, v *visit, p *searchPage) (all []result, err error) {
	if p.Text == "" || !v.may(access.ConsolePeople, access.LevelView) {
		return nil, nil
	}
	mine, _ := v.mine()
	list, err := s.store.People(ctx, v.tenant(), store.PeopleFilter{Text: p.Text, Among: []access.Audience{mine}})
	if err != nil {
		return nil, err
	}
	people, _, err := list.Page(ctx, store.PeopleKey{}, perKind)
	if err == nil && len(people) == 0 {
		// Not a part of her name, but an id.
		if one, _, err := s.store.Somebody(ctx, v.tenant(), p.Text); err == nil && sees(mine, one.Subject) {
			people = append(people, one)
		}
	}
	for _, one := range people {
		// The list shows her, if there is no page of her own.
		href := cmp.Or(v.link("/people/"+one.ID), v.link(address("/people", nil, "q", one.UserName)))
		all = append(all, result{v.words.t("search.person"), name(one), one.UserName, href})
	}
	return all, err
}

func (s *Server) findGroups(ctx context.Context, v *visit, p *searchPage) (all []result, err error) {
	if p.Text == "" || !v.may(access.ConsolePeople, access.LevelView) {
		return nil, nil
	}
	filter := store.GroupFilter{Text: p.Text}
	if mine, _ := v.mine(); !mine.Everyone {
		filter.Among = append([]access.GroupID{}, mine.Groups...)
	}
	groups, err := s.store.GroupsPage(ctx, v.tenant(), filter, store.GroupKey{}, perKind)
	if err != nil || len(groups) == 0 {
		return nil, err
	}
	connections, err := s.store.Connections(ctx, v.tenant())
	for _, g := range groups {
		q := groupsQuery{connections: connections}
		all = append(all, result{v.words.t("search.group"), g.DisplayName, q.connection(g.Connection), v.link("/groups/" + string(g.ID))})
	}
	return all, err
}

// findMappings finds what is granted to a group of that name, or by that id.
func (s *Server) findMappings(ctx context.Context, v *visit, p *searchPage) (all []result, err error) {
	if p.Text == "" || v.link("/mappings/-") == "" {
		return nil, nil
	}
	mine, within := v.mine()
	of := v.granted(v.policy, v.now, within)
	filter := store.GroupFilter{Text: p.Text, Giving: of.audience(func(*access.Grant) bool { return true }).Groups}
	if !mine.Everyone {
		filter.Among = append([]access.GroupID{}, mine.Groups...)
	}
	yes := true
	filter.Gives = &yes
	groups, err := s.store.GroupsPage(ctx, v.tenant(), filter, store.GroupKey{}, perKind)
	for _, g := range groups {
		for _, grant := range of.of[access.Grantee{Group: access.GroupID(g.ID)}] {
			if within == nil || of.inside(&grant, within) {
				all = append(all, result{v.words.t("search.mapping"), g.DisplayName + " → " + of.chip(&grant).Text, "", v.link("/mappings/" + string(grant.ID))})
			}
		}
	}
	if grant, ok := v.policy.Grant(access.GrantID(p.Text)); ok && (within == nil || of.inside(&grant, within)) {
		all = append(all, result{v.words.t("search.mapping"), of.chip(&grant).Title, p.Text, v.link("/mappings/" + p.Text)})
	}
	return all, err
}

func findSites(_ context.Context, v *visit, p *searchPage) (all []result, err error) {
	if p.Text == "" {
		return nil, nil
	}
	for _, o := range siteOptions(v.policy, v.area(access.ConsoleSites, access.LevelView)) {
		if href := v.link("/sites/" + o.Value); href != "" && (p.matches(o.Text) || o.Value == p.Text) {
			all = append(all, result{Kind: v.words.t("search.site"), Text: o.Text, Href: href})
		}
	}
	return all, nil
}

func findProducts(_ context.Context, v *visit, p *searchPage) (all []result, err error) {
	for _, product := range v.policy.Products() {
		named := cmp.Or(product.Name, string(product.ID))
		if href := v.link("/products/" + string(product.ID)); href != "" && p.Text != "" && p.matches(named) {
			all = append(all, result{Kind: v.words.t("search.product"), Text: named, Href: href})
		}
	}
	return all, nil
}

func findPages(_ context.Context, v *visit, p *searchPage) (all []result, err error) {
	for _, entry := range p.Nav {
		if p.matches(entry.Text) {
			all = append(all, result{Kind: v.words.t("search.page"), Text: entry.Text, Href: entry.Path})
		}
	}
	return all, nil
}
