package ui

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"
)

// catalogueRoutes make products, and change them with their permissions and roles.
// What adds stands below "add": products, permissions and roles may have any key, so
// that a page beside theirs would hide one of them.
func (s *Server) catalogueRoutes() []route {
	change := needs{access.ConsoleProducts, access.LevelChange}
	return []route{
		{"GET", "/products/add/product", change, s.addProduct},
		{"POST", "/products/add/product", change, s.addProduct},
		{"GET", "/products/{id}/details", change, s.changeProduct},
		{"POST", "/products/{id}/details", change, s.changeProduct},
		{"GET", "/products/{id}/remove", change, s.removeProduct},
		{"POST", "/products/{id}/remove", change, s.removeProduct},
		{"GET", "/products/{id}/add/permission", change, s.editPermission},
		{"POST", "/products/{id}/add/permission", change, s.editPermission},
		{"GET", "/products/{id}/permissions/{permission}/edit", change, s.editPermission},
		{"POST", "/products/{id}/permissions/{permission}/edit", change, s.editPermission},
		{"GET", "/products/{id}/permissions/{permission}/remove", change, s.removePermission},
		{"POST", "/products/{id}/permissions/{permission}/remove", change, s.removePermission},
		{"GET", "/products/{id}/add/role", change, s.editRole},
		{"POST", "/products/{id}/add/role", change, s.editRole},
		{"GET", "/products/{id}/roles/{role}/edit", change, s.editRole},
		{"POST", "/products/{id}/roles/{role}/edit", change, s.editRole},
		{"GET", "/products/{id}/roles/{role}/remove", change, s.removeRole},
		{"POST", "/products/{id}/roles/{role}/remove", change, s.removeRole},
	}
}

// productForm is a form about a product, or about a part of it.
type productForm struct {
	*formPage
	visit *visit
	// values are what the address says; while nobody has typed, how it is now.
	values url.Values
	typed  bool
	// taken says that there is one with the key of what is added.
	taken bool
	// product is what the form makes of it.
	product access.Product
}

// productForm begins a form: is says how things are now, in the fields of the form.
func (v *visit) productForm(r *http.Request, product access.Product, title, back string, is url.Values) *productForm {
	f := &productForm{visit: v, values: r.URL.Query(), product: product, formPage: &formPage{
		page: v.page("products.one", "name", title), Action: r.URL.EscapedPath(), Back: back, Keep: map[string]string{"v": "1"}}}
	if f.typed = f.values.Get("v") != ""; !f.typed {
		f.values = is
	}
	// The policy is everybody's: what the form changes is its own.
	f.product.Permissions, f.product.Roles = slices.Clone(product.Permissions), slices.Clone(product.Roles)
	for i := range f.product.Roles {
		f.product.Roles[i].Permissions = maps.Clone(f.product.Roles[i].Permissions)
	}
	return f
}

// ask adds a field to the form.
func (f *productForm) ask(field field, hint string, values ...any) {
	field.Hint = f.visit.words.t(hint, values...)
	f.Fields = append(f.Fields, field)
}

// newKey asks for the key of something new beside others. Two keys that differ only in
// case would be told apart by products, but not by people.
func newKey[T any, ID ~string](f *productForm, others []T, id func(T) ID) ID {
	w, key := f.visit.words, strings.TrimSpace(f.values.Get("key"))
	field := f.visit.textField("key", w.t("products.key"), key, true)
	for _, o := range others {
		if other := string(id(o)); store.Fold(other) == store.Fold(key) {
			f.taken, field.Error = true, w.t("sites.keyTaken", "key", other)
		}
	}
	f.ask(field, "products.key.hint")
	return ID(key)
}

// name asks for a name.
func (f *productForm) name() string {
	name := strings.TrimSpace(f.values.Get("name"))
	f.ask(f.visit.textField("name", f.visit.words.t("products.name"), name, false), "products.name.hint")
	return name
}

// place asks for a place among n things, and gives it from 0.
func (f *productForm) place(n int) int {
	w, text := f.visit.words, strings.TrimSpace(f.values.Get("place"))
	field := field{Name: "place", Label: w.t("products.place"), Type: "number", Value: text}
	at, err := strconv.Atoi(text)
	if err != nil || at < 1 || at > n {
		field.Error, at = w.t("products.noPlace", "n", n), n
	}
	f.ask(field, "products.place.hint", "n", n)
	return at - 1
}

// lines asks for several names.
func (f *productForm) lines(name, label, hint string) []string {
	field, lines := f.visit.linesField(name, f.visit.words.t(label), f.values.Get(name))
	f.ask(field, hint)
	return lines
}

// tick asks for yes or no.
func (f *productForm) tick(name, legend, text string) bool {
	yes := picker{Name: name, Legend: legend, Type: "checkbox"}
	yes.choose(f.visit, []pick{{Value: "1", Text: text}}, f.values)
	f.Picks = append(f.Picks, yes)
	return yes.Options[0].Checked
}

// proposeProduct shows what a form makes of its product, and saves it.
func (s *Server) proposeProduct(w http.ResponseWriter, r *http.Request, f *productForm, done string) error {
	v, change := f.visit, impact.Proposal{Products: []access.Product{f.product}}
	switch {
	case f.taken && saving(r):
		// By the same form before, which propose knows, or by somebody else: then it must
		// not take the place of hers.
		change = impact.Proposal{}
	case wrong(f.Fields):
		problem := "sites.mend"
		if !f.typed {
			problem = "sites.fill"
			for i := range f.Fields {
				f.Fields[i].Error = ""
			}
		}
		return s.waiting(w, r, f.formPage, v.words.t(problem))
	}
	if now, ok := v.policy.Product(f.product.ID); ok && reflect.DeepEqual(now, f.product) && !saving(r) {
		return s.waiting(w, r, f.formPage, v.words.t("sites.unchanged"))
	}
	return s.proposeForm(w, r, v, f.formPage, proposal{Proposal: change, action: address(f.Action, r.URL.Query(), "csv", ""), done: done})
}

// addProduct makes a product.
func (s *Server) addProduct(w http.ResponseWriter, r *http.Request, v *visit) error {
	if !v.mayAt(access.ConsoleProducts, access.LevelChange, nil) {
		return forbidden{needs{access.ConsoleProducts, access.LevelChange}}
	}
	f := v.productForm(r, access.Product{}, v.words.t("products.add"), "/products", nil)
	f.product.ID = newKey(f, v.policy.Products(), func(p access.Product) access.ProductID { return p.ID })
	return s.productDetails(w, r, f)
}

// changeProduct gives a product another name, other levels or other dimensions.
func (s *Server) changeProduct(w http.ResponseWriter, r *http.Request, v *visit) error {
	product, err := v.editableProduct(r)
	if err != nil {
		return err
	}
	is := url.Values{"name": {product.Name}, "levels": {strings.Join(levelNames(product), "\n")}}
	for _, d := range product.Dimensions {
		is.Add("dimension", string(d))
	}
	return s.productDetails(w, r, v.productForm(r, product, v.words.t("products.changing", "name", productName(product)), productPath(product.ID), is))
}

// productDetails answers the form of a product as a whole.
func (s *Server) productDetails(w http.ResponseWriter, r *http.Request, f *productForm) error {
	f.product.Name, f.product.Levels = f.name(), nil
	for _, level := range f.lines("levels", "products.levels", "products.levels.hint") {
		f.product.Levels = append(f.product.Levels, access.Level(level))
	}
	if role, level := f.lost(); level != "" {
		f.Fields[len(f.Fields)-1].Error = f.visit.words.t("products.levelUsed", "level", string(level), "role", role)
	}
	f.dimensions()
	return s.proposeProduct(w, r, f, productPath(f.product.ID))
}

// lost finds a role that gives a level which the product would have no more.
func (f *productForm) lost() (role string, level access.Level) {
	levels := f.product.Levels
	if len(levels) == 0 {
		levels = []access.Level{access.LevelAllow}
	}
	for _, one := range f.product.Roles {
		for _, level := range slices.Sorted(maps.Values(one.Permissions)) {
			if !slices.Contains(levels, level) {
				return cmp.Or(one.Name, string(one.ID)), level
			}
		}
	}
	return "", ""
}

// dimensions asks for those that the product scopes by.
func (f *productForm) dimensions() {
	var options []pick
	chosen, was := f.values["dimension"], f.product.Dimensions
	f.product.Dimensions = slices.DeleteFunc(slices.Clone(was), func(d access.DimensionID) bool { return !slices.Contains(chosen, string(d)) })
	for _, d := range f.visit.policy.Catalogue().Dimensions {
		options = append(options, pick{Value: string(d.ID), Text: cmp.Or(d.Name, string(d.ID))})
		if slices.Contains(chosen, string(d.ID)) && !slices.Contains(was, d.ID) {
			f.product.Dimensions = append(f.product.Dimensions, d.ID)
		}
	}
	if len(options) == 0 {
		return
	}
	by := picker{Name: "dimension", Legend: f.visit.words.t("products.places"), Type: "checkbox"}
	by.choose(f.visit, options, f.values)
	f.Picks = append(f.Picks, by)
}

// editPermission adds a permission, or gives one another name, other tags or another
// place in the list.
func (s *Server) editPermission(w http.ResponseWriter, r *http.Request, v *visit) error {
	product, at, err := v.findPermission(r)
	if err != nil {
		return err
	}
	one, back := access.Permission{}, productPath(product.ID)
	is, title, done := url.Values{"place": {strconv.Itoa(len(product.Permissions) + 1)}}, v.words.t("products.addPermission"), back+"/edit"
	if at >= 0 {
		one, done = product.Permissions[at], back
		is, title = url.Values{"name": {one.Name}, "tags": {strings.Join(one.Tags, "\n")}, "place": {strconv.Itoa(at + 1)}}, v.words.t("products.changing", "name", cmp.Or(one.Name, string(one.ID)))
	}
	f := v.productForm(r, product, title, back, is)
	f.Text = productName(product)
	all := f.product.Permissions
	if at < 0 {
		one.ID = newKey(f, all, func(p access.Permission) access.PermissionID { return p.ID })
		at, all = len(all), append(all, one)
	} else {
		f.Tools = []pivotLink{{Text: v.words.t("products.removePermission"), Href: permissionPath(product.ID, one.ID) + "/remove"}}
	}
	one.Name, one.Tags = f.name(), f.lines("tags", "products.tags", "products.tags.hint")
	all[at] = one
	f.product.Permissions = moved(all, at, f.place(len(all)))
	return s.proposeProduct(w, r, f, done)
}

// editRole adds a role, which may give what another one (?copy=) does, or gives one
// another name or another place. What it may do is changed in the grid.
func (s *Server) editRole(w http.ResponseWriter, r *http.Request, v *visit) error {
	product, at, err := v.findRole(r, r.PathValue("role"))
	if err != nil {
		return err
	}
	one, back, words := access.Role{}, productPath(product.ID), v.words
	is, title := url.Values{"place": {strconv.Itoa(len(product.Roles) + 1)}}, words.t("products.addRole")
	copied := r.URL.Query().Get("copy")
	switch {
	case at >= 0:
		one = product.Roles[at]
		back = rolePath(product.ID, one.ID)
		is, title = url.Values{"name": {one.Name}, "place": {strconv.Itoa(at + 1)}}, words.t("products.changing", "name", cmp.Or(one.Name, string(one.ID)))
	case copied != "":
		_, from, err := v.findRole(r, copied)
		if err != nil {
			return err
		}
		one = product.Roles[from]
		title = words.t("products.copyOf", "name", cmp.Or(one.Name, copied))
		is = url.Values{"name": {title}, "place": {strconv.Itoa(from + 2)}}
	}
	if one.Personal {
		is.Set("personal", "1")
	}
	f := v.productForm(r, product, title, back, is)
	f.Text = productName(product)
	all, done := f.product.Roles, back
	if at < 0 {
		one.ID = newKey(f, all, func(r access.Role) access.RoleID { return r.ID })
		at, all, done = len(all), append(all, one), address(back+"/edit", nil, "role", string(one.ID))
		if copied != "" {
			f.Keep["copy"] = copied
		}
	}
	one.Name, one.Personal = f.name(), f.tick("personal", words.t("products.personalTitle"), words.t("products.personalTick"))
	all[at] = one
	f.product.Roles = moved(all, at, f.place(len(all)))
	return s.proposeProduct(w, r, f, done)
}

// moved is a list with the thing at one place at another one.
func moved[T any](all []T, from, to int) []T {
	one := all[from]
	return slices.Insert(slices.Delete(slices.Clone(all), from, from+1), to, one)
}

// removeProduct takes a product away.
func (s *Server) removeProduct(w http.ResponseWriter, r *http.Request, v *visit) error {
	product, err := v.editableProduct(r)
	if err != nil && !again(r, err) {
		return err
	}
	f := v.productForm(r, product, v.words.t("products.removing", "name", productName(product)), productPath(product.ID), nil)
	f.Text = v.words.t("products.removing.text")
	change := impact.Proposal{RemoveProducts: []access.ProductID{access.ProductID(r.PathValue("id"))}}
	return s.proposeRemoval(w, r, f, change, "/products", func(access.Grant) bool { return true })
}

// removePermission takes a permission away from a product, and what its roles say of it.
func (s *Server) removePermission(w http.ResponseWriter, r *http.Request, v *visit) error {
	product, at, err := v.findPermission(r)
	if err != nil && !again(r, err) {
		return err
	}
	id, name, back := access.PermissionID(r.PathValue("permission")), r.PathValue("permission"), productPath(product.ID)
	if at >= 0 {
		name = cmp.Or(product.Permissions[at].Name, name)
	}
	f := v.productForm(r, product, v.words.t("products.removing", "name", name), back, nil)
	f.Text = productName(product)
	f.product.Permissions = slices.DeleteFunc(f.product.Permissions, func(o access.Permission) bool { return o.ID == id })
	for _, role := range f.product.Roles {
		delete(role.Permissions, id)
	}
	return s.proposeRemoval(w, r, f, impact.Proposal{Products: []access.Product{f.product}}, back, func(g access.Grant) bool { return g.Permission == id })
}

// removeRole takes a role away from a product.
func (s *Server) removeRole(w http.ResponseWriter, r *http.Request, v *visit) error {
	id := access.RoleID(r.PathValue("role"))
	product, at, err := v.findRole(r, string(id))
	if err != nil && !again(r, err) {
		return err
	}
	name, back := string(id), productPath(product.ID)
	if at >= 0 {
		name, back = cmp.Or(product.Roles[at].Name, name), rolePath(product.ID, id)
	}
	f := v.productForm(r, product, v.words.t("products.removing", "name", name), back, nil)
	f.Text = productName(product)
	f.product.Roles = slices.DeleteFunc(f.product.Roles, func(o access.Role) bool { return o.ID == id })
	return s.proposeRemoval(w, r, f, impact.Proposal{Products: []access.Product{f.product}}, productPath(product.ID), func(g access.Grant) bool { return g.Role == id })
}

// again reports whether what a form removes may be gone because the form comes a second
// time: propose knows it by its key.
func again(r *http.Request, err error) bool { return saving(r) && errors.Is(err, store.ErrNotFound) }

// proposeRemoval shows what it does that something goes, and does it. While grants of
// the product name it, it stays, unless they are to end with it.
func (s *Server) proposeRemoval(w http.ResponseWriter, r *http.Request, f *productForm, change impact.Proposal, done string, names func(access.Grant) bool) error {
	v := f.visit
	var named []access.GrantID
	for _, g := range v.policy.Grants() {
		if g.Product == f.product.ID && names(g) {
			named = append(named, g.ID)
		}
	}
	if len(named) > 0 && f.tick("end", v.words.t("products.granted"), v.words.n("products.end", len(named))) {
		change.End = named
	}
	offer := proposal{Proposal: change, action: address(f.Action, r.URL.Query(), "csv", ""), done: done}
	return s.propose(w, r, v, offer, func(status int, panel *panel) error {
		// Beside the tick, there are two ways out.
		if i := slices.Index(panel.Refused, v.words.t("impact.refused.still_granted")); i >= 0 && len(named) > len(change.End) {
			panel.Refused[i] = v.words.t("products.stillGranted")
		}
		f.Panel = panel
		return s.render(w, status, "form", f.formPage)
	})
}

// editableProduct is the product that the path names, if its permissions and roles
// are the tenant's to say: the console is as it is.
func (v *visit) editableProduct(r *http.Request) (access.Product, error) {
	product, err := v.changeableProduct(r)
	if err == nil && product.ID == access.ConsoleID {
		err = badRequest{"products.builtIn"}
	}
	return product, err
}

// findPermission is the product that the path names, and where its permission is; -1
// when it names none, since one is to be added.
func (v *visit) findPermission(r *http.Request) (access.Product, int, error) {
	product, err := v.editableProduct(r)
	id := r.PathValue("permission")
	at := slices.IndexFunc(product.Permissions, func(o access.Permission) bool { return string(o.ID) == id })
	if err == nil && at < 0 && id != "" {
		err = store.ErrNotFound
	}
	return product, at, err
}

// findRole is the same for a role of an id.
func (v *visit) findRole(r *http.Request, id string) (access.Product, int, error) {
	product, err := v.editableProduct(r)
	at := slices.IndexFunc(product.Roles, func(o access.Role) bool { return string(o.ID) == id })
	if err == nil && at < 0 && id != "" {
		err = store.ErrNotFound
	}
	return product, at, err
}
