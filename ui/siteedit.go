package ui

import (
	"cmp"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/internal/policyfile"
	"gatehouse/store"
)

func (s *Server) siteEditRoutes() []route {
	change := needs{access.ConsoleSites, access.LevelChange}
	return []route{
		{"GET", "/sites/new", change, s.newSite},
		{"POST", "/sites/new", change, s.newSite},
		{"GET", "/sites/dimensions/new", change, s.newDimension},
		{"POST", "/sites/dimensions/new", change, s.newDimension},
		{"GET", "/sites/import", change, s.importSites},
		{"POST", "/sites/import", change, s.importSites},
		{"GET", "/sites/{id}/edit", change, s.editSite},
		{"POST", "/sites/{id}/edit", change, s.editSite},
		{"GET", "/sites/{id}/archive", change, s.archiveSite},
		{"POST", "/sites/{id}/archive", change, s.archiveSite},
		{"GET", "/sites/{id}/restore", change, s.archiveSite},
		{"POST", "/sites/{id}/restore", change, s.archiveSite},
	}
}

// changeableSite finds a site that the visitor may change.
func (v *visit) changeableSite(id string) (access.Site, *forest, error) {
	f := v.forest(v.policy, access.ConsoleSites)
	site, err := f.site(access.SiteID(id))
	if err == nil && !v.mayHere(access.ConsoleSites, access.LevelChange, site) {
		err = forbidden{needs{access.ConsoleSites, access.LevelChange}}
	}
	return site, f, err
}

// aboveField chooses the site above: by a list while there are few, else by key or
// name. It gives the site chosen.
func (v *visit) aboveField(f *forest, dimension access.DimensionID, value string, not access.SiteID) (field, access.SiteID) {
	w := v.words
	var options []option
	named := map[string][]access.SiteID{}
	f.each(dimension, func(site access.Site) {
		if f.closed(site) || !v.mayHere(access.ConsoleSites, access.LevelChange, site) {
			return
		}
		for up := site; ; {
			if up.ID == not {
				return // not below itself
			}
			above, ok := f.policy.Site(up.Parent)
			if !ok {
				break
			}
			up = above
		}
		indent := strings.Repeat("\u2003", len(f.path(site))-1)
		options = append(options, option{Value: string(site.ID), Text: indent + siteName(site)})
		for _, name := range slices.Compact([]string{string(site.ID), store.Fold(site.Key), store.Fold(site.Name)}) {
			if name != "" {
				named[name] = append(named[name], site.ID)
			}
		}
	})
	top := ""
	if v.mayAt(access.ConsoleSites, access.LevelChange, nil) {
		top = w.t("sites.top")
	}
	if value == "" {
		field := choose("parent", w.t("sites.above"), top, "", options)
		if top == "" {
			field.Error = w.t("sites.chooseAbove")
		}
		return field, ""
	}
	found := slices.Compact(named[value])
	if len(found) == 0 {
		found = slices.Compact(named[store.Fold(value)])
	}
	if len(found) != 1 {
		field := choose("parent", w.t("sites.above"), top, value, options)
		field.Error = w.t("sites.noAbove", "name", value)
		return field, ""
	}
	field := choose("parent", w.t("sites.above"), top, string(found[0]), options)
	if site, _ := f.policy.Site(found[0]); field.Options == nil {
		field.Value = cmp.Or(site.Key, string(site.ID))
	}
	return field, found[0]
}

// taken reports whether another site of the dimension has the key.
func (v *visit) taken(site access.Site) bool {
	other, ok := v.policy.SiteByKey(site.Dimension, site.Key)
	return site.Key != "" && ok && other.ID != site.ID
}

// newSite adds a site at the top or below another.
func (s *Server) newSite(w http.ResponseWriter, r *http.Request, v *visit) error {
	query, words := r.URL.Query(), v.words
	f := v.forest(v.policy, access.ConsoleSites)
	dimensions := f.dimensions()
	if len(dimensions) == 0 {
		return s.redirect(w, r, "/sites")
	}
	site := access.Site{Dimension: dimensions[0].ID, Key: strings.TrimSpace(query.Get("key")), Name: strings.TrimSpace(query.Get("name"))}
	for _, d := range dimensions {
		if string(d.ID) == query.Get("dimension") {
			site.Dimension = d.ID
		}
	}
	if above, err := f.site(access.SiteID(query.Get("parent"))); err == nil && query.Get("dimension") == "" {
		site.Dimension = above.Dimension
	}
	p := &formPage{page: v.page("sites.add"), Action: "/sites/new", Back: "/sites", Keep: map[string]string{"dimension": string(site.Dimension)}}
	above, parent := v.aboveField(f, site.Dimension, query.Get("parent"), "")
	site.Parent = parent
	key := v.textField("key", words.t("sites.key"), site.Key, true)
	key.Hint = words.t("sites.key.hint")
	if v.taken(site) && !saving(r) {
		key.Error = words.t("sites.keyTaken", "key", site.Key)
	}
	name := v.textField("name", words.t("sites.name"), site.Name, true)
	fresh := !query.Has("name") && !query.Has("key")
	if fresh {
		name.Error, key.Error, above.Error = "", "", ""
	}
	p.Fields = []field{name, key, above}
	if len(dimensions) > 1 {
		p.Text = words.t("sites.in", "dimension", f.dimension(site.Dimension).Name)
	}
	if fresh || wrong(p.Fields) {
		return s.waiting(w, r, p, words.t("sites.fill"))
	}
	site.ID = access.SiteID("new:" + site.Key) // the store chooses another
	done := "/sites"
	if site.Parent != "" {
		done = "/sites/" + string(site.Parent)
	}
	values := url.Values{"dimension": {string(site.Dimension)}, "name": {site.Name}, "key": {site.Key}, "parent": {string(site.Parent)}}
	return s.proposeForm(w, r, v, p, proposal{Proposal: impact.Proposal{AddSites: []access.Site{site}}, action: address("/sites/new", values, "", ""), done: done})
}

// editSite renames a site, gives it another key, or moves it with all below.
func (s *Server) editSite(w http.ResponseWriter, r *http.Request, v *visit) error {
	query, words := r.URL.Query(), v.words
	site, f, err := v.changeableSite(r.PathValue("id"))
	if err != nil {
		return err
	}
	before, back := site, "/sites/"+string(site.ID)
	p := &formPage{page: v.page("sites.editing", "name", siteName(site)), Action: back + "/edit", Back: back}
	parent := string(site.Parent)
	if above, ok := v.policy.Site(site.Parent); ok && !f.sees(above) {
		parent = ""
	}
	if query.Has("name") {
		site.Name, site.Key, parent = strings.TrimSpace(query.Get("name")), strings.TrimSpace(query.Get("key")), query.Get("parent")
	}
	name, key := v.textField("name", words.t("sites.name"), site.Name, true), v.textField("key", words.t("sites.key"), site.Key, false)
	key.Hint = words.t("sites.key.hint")
	if v.taken(site) && !saving(r) {
		key.Error = words.t("sites.keyTaken", "key", site.Key)
	}
	p.Fields = []field{name, key}
	// Who may not change what is above can't move it either.
	if above, chosen := v.aboveField(f, site.Dimension, parent, site.ID); above.Error == "" {
		site.Parent = chosen
		p.Fields = append(p.Fields, above)
	} else if query.Has("parent") {
		p.Fields = append(p.Fields, above)
	}
	if wrong(p.Fields) {
		return s.waiting(w, r, p, words.t("sites.mend"))
	}
	if site == before && !saving(r) {
		return s.waiting(w, r, p, words.t("sites.unchanged"))
	}
	values := url.Values{"name": {site.Name}, "key": {site.Key}, "parent": {string(site.Parent)}}
	action := p.Action + "?" + values.Encode() // an empty one counts
	return s.proposeForm(w, r, v, p, proposal{Proposal: impact.Proposal{ChangeSites: []access.Site{site}}, action: action, done: back})
}

// archiveSite closes a site and all below, or brings it back.
func (s *Server) archiveSite(w http.ResponseWriter, r *http.Request, v *visit) error {
	site, _, err := v.changeableSite(r.PathValue("id"))
	if err != nil {
		return err
	}
	back := "/sites/" + string(site.ID)
	key, path := "sites.archiving", back+"/archive"
	if site.Archived = strings.HasSuffix(r.URL.Path, "/archive"); !site.Archived {
		key, path = "sites.restoring", back+"/restore"
	}
	p := &formPage{page: v.page(key, "name", siteName(site)), Back: back, Text: v.words.t(key + ".text")}
	change := impact.Proposal{ChangeSites: []access.Site{site}}
	if now, _ := v.policy.Site(site.ID); now == site && !saving(r) {
		return s.redirect(w, r, back)
	}
	return s.proposeForm(w, r, v, p, proposal{Proposal: change, action: path, done: back})
}

// newDimension adds a kind of place.
func (s *Server) newDimension(w http.ResponseWriter, r *http.Request, v *visit) error {
	query, words := r.URL.Query(), v.words
	d := access.Dimension{ID: access.DimensionID(strings.TrimSpace(query.Get("key"))), Name: strings.TrimSpace(query.Get("name"))}
	name, key := v.textField("name", words.t("sites.name"), d.Name, true), v.textField("key", words.t("sites.key"), string(d.ID), true)
	key.Hint = words.t("sites.dimensionKey.hint")
	fresh := !query.Has("name") && !query.Has("key")
	switch {
	case fresh:
		name.Error, key.Error = "", ""
	case slices.ContainsFunc(v.policy.Catalogue().Dimensions, func(o access.Dimension) bool { return o.ID == d.ID }) && !saving(r):
		key.Error = words.t("sites.keyTaken", "key", string(d.ID))
	}
	p := &formPage{page: v.page("sites.newDimension"), Action: "/sites/dimensions/new", Back: "/sites", Fields: []field{name, key}}
	if fresh || wrong(p.Fields) {
		return s.waiting(w, r, p, words.t("sites.fill"))
	}
	values := url.Values{"name": {d.Name}, "key": {string(d.ID)}}
	return s.proposeForm(w, r, v, p, proposal{Proposal: impact.Proposal{Dimensions: []access.Dimension{d}},
		action: address(p.Action, values, "", ""), done: address("/sites", nil, "dimension", string(d.ID))})
}

// importPage takes a file of sites.
type importPage struct {
	page
	// Body is the file as it was sent; it comes back with the save.
	Body     string
	Mistakes []string
	More     int
	Steps    []string
	Panel    *panel
}

// mostMistakes is how many the page tells at once.
const mostMistakes = 50

// importSites reads a file of sites, shows what it does, and saves that. A file is
// too large for an address, so that the preview is the answer to a POST.
func (s *Server) importSites(w http.ResponseWriter, r *http.Request, v *visit) error {
	words := v.words
	if !v.mayAt(access.ConsoleSites, access.LevelChange, nil) {
		return forbidden{needs{access.ConsoleSites, access.LevelChange}}
	}
	p := &importPage{page: v.page("sites.importing")}
	if r.Method != http.MethodPost {
		return s.render(w, http.StatusOK, "sites-import", p)
	}
	body, err := sentFile(r)
	if err != nil {
		return err
	}
	p.Body = body
	wanted, err := policyfile.ReadSites(words.t("sites.file"), []byte(body), store.Snapshot{Catalogue: v.policy.Catalogue()})
	var mistakes policyfile.Mistakes
	if errors.As(err, &mistakes) {
		for _, m := range mistakes[:min(len(mistakes), mostMistakes)] {
			p.Mistakes = append(p.Mistakes, words.t("sites.mistake", "line", m.Line, "text", m.Text))
		}
		p.More = len(mistakes) - len(p.Mistakes)
		return s.render(w, http.StatusBadRequest, "sites-import", p)
	}
	if err != nil {
		return err
	}
	change := proposal{action: "/sites/import", done: "/sites"}
	for _, site := range wanted.Sites {
		switch now, ok := v.policy.Site(site.ID); {
		case !ok:
			change.AddSites = append(change.AddSites, site)
		case now != site:
			change.ChangeSites = append(change.ChangeSites, site)
		}
	}
	p.Steps = []string{words.n("sites.import.add", len(change.AddSites)), words.n("sites.import.change", len(change.ChangeSites)),
		words.n("sites.import.same", len(wanted.Sites)-len(change.AddSites)-len(change.ChangeSites))}
	show := func(status int, panel *panel) error {
		panel.Body = body
		p.Panel = panel
		return s.render(w, status, "sites-import", p)
	}
	if saving(r) {
		return s.propose(w, r, v, change, show)
	}
	look, err := impact.Look(r.Context(), s.store, v.actor(), change.Proposal)
	if err != nil {
		return err
	}
	shown, err := s.panel(r.Context(), v, look, change.action)
	if err != nil {
		return err
	}
	shown.CSV = ""
	return show(http.StatusOK, shown)
}

// sentFile is the file of a form, or what was pasted instead.
func sentFile(r *http.Request) (string, error) {
	if err := r.ParseMultipartForm(maxForm); err != nil && !errors.Is(err, http.ErrNotMultipart) {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return "", err
		}
		return "", badRequest{"problem.invalid"}
	}
	if file, _, err := r.FormFile("file"); err == nil {
		defer file.Close()
		data, err := io.ReadAll(file)
		if err != nil || len(data) > 0 {
			return string(data), err
		}
	}
	return r.PostFormValue("body"), nil
}
