package ui

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gatehouse/access"
	"gatehouse/store"
)

func (s *Server) viewsRoutes() []route {
	return []route{
		{"GET", "/views", signedIn, s.views},
		{"POST", "/views", signedIn, s.saveView},
		{"POST", "/views/{id}", signedIn, s.changeView},
		{"POST", "/views/{id}/remove", signedIn, s.removeView},
	}
}

// savedViews stand above a list with filters, as {{template "views" .}}: the
// filters of that list that the visitor keeps or others share with her.
type savedViews struct {
	Items []savedView
	// Save is where what the list is filtered by is given a name; "" if by nothing.
	Save string
}

// savedView is an address under a name.
type savedView struct {
	ID, Name, Href string
	Current        bool // it is what the page shows
	Shared, Own    bool
	Remove         bool // the visitor may
}

// maxChips is how many saved views stand above a list; the page of views has all.
const maxChips = 20

// Views are for the template of a list.
func (p *page) Views() (*savedViews, error) {
	v := p.visit
	all, err := v.views()
	if err != nil {
		return nil, err
	}
	here, saved := listAddress(v.path), &savedViews{}
	for _, one := range all {
		if pathOf(one.Href) == pathOf(here) && len(saved.Items) < maxChips {
			one.Current = one.Href == here
			saved.Items = append(saved.Items, one)
		}
	}
	if strings.Contains(here, "?") {
		saved.Save = address("/views", nil, "path", here)
	}
	return saved, nil
}

// listAddress is the address of a list from its start, always written the same.
func listAddress(path string) string {
	query := queryOf(path)
	query.Del("csv")
	return address(pathOf(path), query, "after", "")
}

// views are those of the visitor, and those shared with her that she may open.
func (v *visit) views() ([]savedView, error) {
	all, err := v.server.store.Views(v.ctx, v.tenant(), v.session.UserID)
	if err != nil {
		return nil, err
	}
	var shown []savedView
	for _, one := range all {
		own := one.UserID == v.session.UserID
		if href := v.link(one.Path); href != "" {
			shown = append(shown, savedView{ID: string(one.ID), Name: one.Name, Href: href, Shared: one.Shared, Own: own, Remove: own || v.tidies()})
		}
	}
	slices.SortFunc(shown, func(a, b savedView) int {
		return cmp.Or(cmp.Compare(store.Fold(a.Name), store.Fold(b.Name)), cmp.Compare(a.ID, b.ID))
	})
	return shown, nil
}

// tidies reports whether the visitor may remove what others share.
func (v *visit) tidies() bool { return v.mayAt(access.ConsoleSettings, access.LevelChange, nil) }

// shares reports whether the visitor may put a name above everybody's lists: whoever
// may change anything at all.
func (v *visit) shares() bool {
	return slices.ContainsFunc(v.held.Items, func(item access.Item) bool {
		return item.Level == access.LevelChange && item.Permission != access.ConsoleOwn
	})
}

// viewsPage keeps one more view, and has those there are.
type viewsPage struct {
	page
	// Path is what is to be saved; "" on the page that only shows them.
	Path  string
	Name  field
	Share bool // the visitor may
	All   []savedView
}

func (s *Server) views(w http.ResponseWriter, r *http.Request, v *visit) error {
	return s.showViews(w, v, http.StatusOK, r.URL.Query().Get("path"), "", "")
}

// showViews shows the page, with what was typed and what is wrong with it.
func (s *Server) showViews(w http.ResponseWriter, v *visit, status int, path, name, problem string) error {
	all, err := v.views()
	if err != nil {
		return err
	}
	p := &viewsPage{page: v.page("views.title"), All: all, Share: v.shares()}
	if path != "" {
		if p.Path, err = v.savable(path); err != nil {
			return err
		}
	}
	p.Name = field{Name: "name", Label: v.words.t("views.name"), Value: name, Error: problem}
	return s.render(w, status, "views", p)
}

// savable is the address of a page of ours that the visitor may open.
func (v *visit) savable(path string) (string, error) {
	here := ownPath(listAddress(path))
	u, err := url.Parse(here)
	if err != nil || ownPath(path) != path || v.link(here) == "" {
		return "", badRequest{"problem.invalid"}
	}
	if _, pattern := v.server.mux.Handler(&http.Request{Method: "GET", URL: u}); v.server.needs[pattern] == anybody {
		return "", badRequest{"problem.invalid"}
	}
	return here, nil
}

func (s *Server) saveView(w http.ResponseWriter, r *http.Request, v *visit) error {
	path, err := v.savable(r.PostFormValue("path"))
	if err != nil {
		return err
	}
	view := store.View{UserID: v.session.UserID, Name: r.PostFormValue("name"), Path: path, Shared: r.PostFormValue("shared") != "" && v.shares()}
	err = s.store.Write(r.Context(), v.actor(), func(tx *store.Tx) error {
		_, err := tx.SaveView(r.Context(), view)
		return err
	})
	if problem := viewProblem(err); problem != "" {
		return s.showViews(w, v, http.StatusBadRequest, path, view.Name, v.words.t(problem))
	}
	if err != nil {
		return err
	}
	return s.say(w, r, path, "", "views.saved")
}

// viewProblem is the key of what is wrong with a view that wasn't saved.
func viewProblem(err error) string {
	switch {
	case errors.Is(err, store.ErrLimit):
		return "views.full"
	case errors.Is(err, store.ErrTooLong):
		return "views.long"
	case errors.Is(err, store.ErrInvalid):
		return "views.noName"
	}
	return ""
}

func (s *Server) changeView(w http.ResponseWriter, r *http.Request, v *visit) error {
	view := store.View{ID: store.ViewID(r.PathValue("id")), UserID: v.session.UserID, Name: r.PostFormValue("name"), Shared: r.PostFormValue("shared") != "" && v.shares()}
	err := s.store.Write(r.Context(), v.actor(), func(tx *store.Tx) error { return tx.ChangeView(r.Context(), view) })
	if problem := viewProblem(err); problem != "" {
		return badRequest{problem}
	}
	if err != nil {
		return err
	}
	return s.say(w, r, "/views", "", "views.changed")
}

func (s *Server) removeView(w http.ResponseWriter, r *http.Request, v *visit) error {
	err := s.store.Write(r.Context(), v.actor(), func(tx *store.Tx) error {
		view := store.View{ID: store.ViewID(r.PathValue("id")), UserID: v.session.UserID}
		err := tx.RemoveView(r.Context(), view)
		if errors.Is(err, store.ErrNotFound) && v.tidies() {
			view.UserID = ""
			err = tx.RemoveView(r.Context(), view)
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.say(w, r, "/views", "", "views.removed")
}
