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
// people, groups, sites and products by name, as far as the visitor may open them.
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
	for _, find := range []func(context.Context, *visit, *searchPage) ([]result, error){s.findPeople, s.findGroups, findSites, findProducts, findPages} {
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
	mine := v.own(v.granted(v.policy, v.now, nil), v.area(access.ConsolePeople, access.LevelView))
	list, err := s.store.People(ctx, v.tenant(), store.PeopleFilter{Text: p.Text, Among: []access.Audience{mine}})
	if err != nil {
		return nil, err
	}
	people, _, err := list.Page(ctx, store.PeopleKey{}, perKind)
	for _, one := range people {
		// The list shows her, if there is no page of her own.
		href := cmp.Or(v.link("/people/"+one.ID), v.link(address("/people", nil, "q", one.UserName)))
		all = append(all, result{v.words.t("search.person"), name(one), one.UserName, href})
	}
	return all, err
}

func (s *Server) findGroups(ctx context.Context, v *visit, p *searchPage) (all []result, err error) {
	if p.Text == "" || v.scoped(access.ConsolePeople, access.LevelView) || v.link("/groups/-") == "" {
		return nil, nil
	}
	connections, err := s.store.Connections(ctx, v.tenant())
	if err != nil {
		return nil, err
	}
	named := store.Compare{Attr: store.Attr{Path: []string{"displayname"}}, Op: store.Contains, Value: store.Fold(p.Text)}
	for _, c := range connections {
		groups, _, err := s.store.Groups(ctx, c.Ref(), store.Query{Filter: named, Limit: perKind})
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			all = append(all, result{v.words.t("search.group"), g.DisplayName, c.Name, v.link("/groups/" + string(g.ID))})
		}
	}
	return all, nil
}

func findSites(_ context.Context, v *visit, p *searchPage) (all []result, err error) {
	if p.Text == "" {
		return nil, nil
	}
	for _, o := range v.siteOptions(v.area(access.ConsoleSites, access.LevelView)) {
		if href := v.link("/sites/" + o.Value); href != "" && p.matches(o.Text) {
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
