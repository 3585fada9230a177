package ui

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"
)

func (s *Server) productEditRoutes() []route {
	change := needs{access.ConsoleProducts, access.LevelChange}
	return []route{
		{"GET", "/products/{id}/edit", change, s.editProduct},
		{"POST", "/products/{id}/edit", change, s.editProduct},
		{"POST", "/products/{id}/keys", change, s.createKey},
		{"POST", "/products/{id}/keys/{key}/revoke", change, s.revokeKey},
	}
}

// gridPage is the grid of a product, or one role's column of it, as it is edited. The
// address has the cells that are otherwise than now, or the draft that has them.
type gridPage struct {
	page
	Action, Back string
	Caption      string
	Roles        []gridRole
	Rows         []editRow
	// Others are all roles, where the whole grid is too large for a page.
	Others []pivotLink
	Panel  *panel
}

// editRow is a permission, or a heading of some.
type editRow struct {
	Heading, Name string
	Cells         []editCell
}

// editCell chooses a level; Any is what holds when none is chosen.
type editCell struct {
	Name, Label, Any string
	Options          []option
	Changed          bool
}

// cellName names a role's permission in a form, and with its level in an address.
func cellName(role access.RoleID, permission access.PermissionID) string {
	return url.QueryEscape(string(role)) + "/" + url.QueryEscape(string(permission))
}

// changeableProduct is the product that the path names, if the visitor may change
// it: products are at no place. The console is as it is.
func (v *visit) changeableProduct(r *http.Request) (access.Product, error) {
	product, err := v.findProduct(r)
	switch {
	case err != nil:
		return product, err
	case !v.mayAt(access.ConsoleProducts, access.LevelChange, nil):
		return product, forbidden{needs{access.ConsoleProducts, access.LevelChange}}
	}
	return product, nil
}

// editProduct changes what roles may do: the choices come as a POST, become an
// address of what they change, and that is previewed and saved.
func (s *Server) editProduct(w http.ResponseWriter, r *http.Request, v *visit) error {
	product, err := v.editableProduct(r)
	if err != nil {
		return err
	}
	values, action, err := s.state(r, v)
	if err != nil {
		return err
	}
	role, path := values.Get("role"), productPath(product.ID)
	roles := product.Roles
	// A choice is a cell with a select, and an option for each level and for none.
	large := len(roles)*(len(product.Permissions)+1)*(3+len(product.Levels)) > gridElements
	i := slices.IndexFunc(roles, func(o access.Role) bool { return string(o.ID) == role })
	switch {
	case i >= 0:
		roles = roles[i : i+1]
	case role != "":
		return store.ErrNotFound
	case large:
		return s.redirect(w, r, address(path+"/edit", nil, "role", string(roles[0].ID)))
	}
	tooMany := false
	if r.Method == http.MethodPost && !saving(r) {
		values = chosenCells(r.PostForm, product, roles)
		values.Set("role", role)
		there, err := s.keep(r, v, path+"/edit", values)
		if err == nil {
			return s.redirect(w, r, there)
		}
		if tooMany = errors.Is(err, store.ErrTooLong); !tooMany {
			return err
		}
	}
	changed, cells, err := withCells(product, values["c"])
	if err != nil {
		return err
	}
	p := &gridPage{page: v.page("products.editing", "name", productName(product)), Back: path, Action: address(path+"/edit", nil, "role", role)}
	p.grid(v, product, changed, roles, cells)
	if large {
		for _, one := range product.Roles {
			p.Others = append(p.Others, pivotLink{Text: cmp.Or(one.Name, string(one.ID)), Href: address(path+"/edit", nil, "role", string(one.ID)), Current: string(one.ID) == role})
		}
	}
	show := func(status int, panel *panel) error {
		p.Panel = panel
		return s.render(w, status, "product-edit", p)
	}
	switch {
	case tooMany:
		return show(http.StatusBadRequest, &panel{Waiting: v.words.t("products.tooMany")})
	case len(cells) == 0 && !saving(r):
		return show(http.StatusOK, &panel{Waiting: v.words.t("products.chooseCells")})
	}
	done := path
	if role != "" {
		done = rolePath(product.ID, access.RoleID(role))
	}
	return s.propose(w, r, v, proposal{Proposal: impact.Proposal{Products: []access.Product{changed}}, action: action, done: done}, show)
}

// chosenCells are the choices of a form that aren't what is now, as an address has
// them: a value for each role and level, with all permissions that get it.
func chosenCells(form url.Values, product access.Product, roles []access.Role) url.Values {
	values := url.Values{}
	for _, role := range roles {
		at := map[string][]string{}
		for _, permission := range cellsOf(product) {
			name := cellName(role.ID, permission)
			if level := form.Get(name); form.Has(name) && level != string(role.Permissions[permission]) {
				at[level] = append(at[level], url.QueryEscape(string(permission)))
			}
		}
		for _, level := range slices.Sorted(maps.Keys(at)) {
			values.Add("c", url.QueryEscape(string(role.ID))+"/"+strings.Join(at[level], ",")+"="+level)
		}
	}
	return values
}

// cellsOf are the permissions that a role can speak of, all of them together first.
func cellsOf(product access.Product) []access.PermissionID {
	all := []access.PermissionID{access.AllPermissions}
	for _, permission := range product.Permissions {
		all = append(all, permission.ID)
	}
	return all
}

// withCells is a product with other levels in some cells, and which those are.
// What names no cell of the product, or none of its levels, is a bad request.
func withCells(product access.Product, changes []string) (access.Product, map[string]bool, error) {
	cells, known := map[string]bool{}, map[string]bool{}
	for _, permission := range cellsOf(product) {
		known[string(permission)] = true
	}
	product.Roles = slices.Clone(product.Roles)
	at := map[string]*access.Role{}
	for i := range product.Roles {
		role := &product.Roles[i]
		at[url.QueryEscape(string(role.ID))] = role
		if role.Permissions = maps.Clone(role.Permissions); role.Permissions == nil {
			role.Permissions = map[access.PermissionID]access.Level{}
		}
	}
	for _, change := range changes {
		where, level, ok := strings.Cut(change, "=")
		id, permissions, _ := strings.Cut(where, "/")
		role := at[id]
		if !ok || role == nil || level != "" && !slices.Contains(product.Levels, access.Level(level)) {
			return product, nil, badRequest{"products.noCell"}
		}
		for escaped := range strings.SplitSeq(permissions, ",") {
			name, err := url.QueryUnescape(escaped)
			if err != nil || !known[name] {
				return product, nil, badRequest{"products.noCell"}
			}
			permission := access.PermissionID(name)
			if access.Level(level) == role.Permissions[permission] {
				continue // somebody else was faster
			}
			cells[cellName(role.ID, permission)] = true
			if role.Permissions[permission] = access.Level(level); level == "" {
				delete(role.Permissions, permission)
			}
		}
	}
	return product, cells, nil
}

// grid fills the choices.
func (p *gridPage) grid(v *visit, product, changed access.Product, roles []access.Role, cells map[string]bool) {
	w := v.words
	p.Caption = w.t("products.grid", "product", productName(product))
	for _, role := range roles {
		p.Roles = append(p.Roles, gridRole{Name: cmp.Or(role.Name, string(role.ID))})
	}
	heading := ""
	row := func(permission access.Permission, name string) {
		line := editRow{Name: name}
		for _, role := range changed.Roles {
			if !slices.ContainsFunc(roles, func(o access.Role) bool { return o.ID == role.ID }) {
				continue
			}
			cell := editCell{Name: cellName(role.ID, permission.ID), Any: w.t("products.nothing"), Label: w.t("products.cell", "permission", name, "role", cmp.Or(role.Name, string(role.ID)))}
			cell.Changed = cells[cell.Name]
			if all, ok := role.Permissions[access.AllPermissions]; ok && permission.ID != access.AllPermissions {
				cell.Any = w.t("products.inherited", "level", w.level(all))
			}
			for _, level := range product.Levels {
				cell.Options = append(cell.Options, option{Value: string(level), Text: w.level(level), Selected: role.Permissions[permission.ID] == level})
			}
			line.Cells = append(line.Cells, cell)
		}
		p.Rows = append(p.Rows, line)
	}
	row(access.Permission{ID: access.AllPermissions}, w.t("products.allOthers"))
	for _, permission := range product.Permissions {
		if h := permissionHeading(product, permission); h != heading {
			if heading = h; h != "" {
				p.Rows = append(p.Rows, editRow{Heading: h})
			}
		}
		row(permission, cmp.Or(permission.Name, string(permission.ID)))
	}
}

// errMadeBefore says that a form was sent twice.
var errMadeBefore = errors.New("made before")

// createKey makes a key and shows its secret, this once. The same form sent again
// makes no other.
func (s *Server) createKey(w http.ResponseWriter, r *http.Request, v *visit) error {
	product, err := v.changeableProduct(r)
	if err != nil {
		return err
	}
	words := v.words
	typed := strings.TrimSpace(r.PostFormValue("expires"))
	var expires time.Time
	if typed != "" {
		day, ok := v.theDay(typed)
		expires = day.AddDate(0, 0, 1)
		if problem := map[bool]string{!ok: words.t("products.noDate"), ok && !expires.After(v.now): words.t("products.over")}[true]; problem != "" {
			return s.showProduct(w, r, v, product, http.StatusBadRequest, func(p *productPage) {
				p.NewKey.Expires.Value, p.NewKey.Expires.Error, p.NewKey.Search = typed, problem, r.PostFormValue("search") != ""
			})
		}
	}
	ctx, nonce := r.Context(), r.PostFormValue("nonce")
	var secret string
	err = s.store.Write(ctx, v.actor(), func(tx *store.Tx) (err error) {
		if _, secret, err = tx.CreateKey(ctx, product.ID, r.PostFormValue("search") != "", expires); err != nil {
			return err
		}
		if _, _, err := tx.Proposal(ctx, v.tenant(), nonce); err == nil {
			return errMadeBefore
		}
		_, err = tx.LogProposal(nonce, store.SavedProposal{})
		return err
	})
	switch {
	case errors.Is(err, errMadeBefore):
		return s.say(w, r, productPath(product.ID), "", "products.madeBefore")
	case errors.Is(err, store.ErrLimit):
		return badRequest{"products.manyKeys"}
	case err != nil:
		return err
	}
	return s.showProduct(w, r, v, product, http.StatusOK, func(p *productPage) { p.Secret = secret })
}

// revokeKey ends a key at once; one that has ended stays as it is.
func (s *Server) revokeKey(w http.ResponseWriter, r *http.Request, v *visit) error {
	product, err := v.changeableProduct(r)
	if err != nil {
		return err
	}
	ctx, id := r.Context(), r.PathValue("key")
	keys, err := s.store.Keys(ctx, v.tenant(), product.ID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(keys, func(key store.Key) bool { return string(key.ID) == id })
	if i < 0 {
		return store.ErrNotFound
	}
	err = s.store.Write(ctx, v.actor(), func(tx *store.Tx) error {
		_, err := tx.RevokeKey(ctx, product.ID, id)
		return err
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return s.say(w, r, productPath(product.ID), "", "products.revokedNow", "hint", "…"+keys[i].Hint)
}
