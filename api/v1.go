package api

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// Person is a user in an answer.
type Person struct {
	ID          string `json:"id"`
	UserName    string `json:"user_name"`
	DisplayName string `json:"display_name"`
}

// Site is a site in an answer.
type Site struct {
	ID   string `json:"id"`
	Key  string `json:"key"`
	Name string `json:"name"`
}

// Part is a set of sites of one dimension: those listed, or all, with everything
// below them, but for the exceptions.
type Part struct {
	All    bool   `json:"all"`
	Sites  []Site `json:"sites"`
	Except []Site `json:"except"`
}

// Group is a group in an answer.
type Group struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Way is how somebody comes to have something, or to be denied it: the person is
// in the first of the groups, each group is in the next, and the last one has the
// grant. Without groups the grant is to the person or to everyone.
type Way struct {
	Grant  string       `json:"grant"`
	Level  access.Level `json:"level"`
	Groups []Group      `json:"groups"`
	// Until is when the grant ends, in UTC; missing if it doesn't.
	Until time.Time `json:"until,omitzero"`
}

// HeldItem is a permission at a level in an area. A product without dimensions has
// an area without any.
type HeldItem struct {
	Permission access.PermissionID `json:"permission"`
	Level      access.Level        `json:"level"`
	Area       map[string]Part     `json:"area"`
	Via        []Way               `json:"via"`
	Against    []Way               `json:"against"`
}

// UserAccess is all that a person has in the product of the key.
type UserAccess struct {
	User    Person           `json:"user"`
	Product access.ProductID `json:"product"`
	At      time.Time        `json:"at"`
	// NotLive is why the account is not live; if it says anything, nothing is held.
	NotLive    []access.Reason     `json:"not_live"`
	Access     []HeldItem          `json:"access"`
	Attributes map[string][]string `json:"attributes"`
}

// SitePerson is somebody who has access at a site.
type SitePerson struct {
	User   Person      `json:"user"`
	Access []LevelHeld `json:"access"`
}

// LevelHeld is a permission with the level that is held of it.
type LevelHeld struct {
	Permission access.PermissionID `json:"permission"`
	Level      access.Level        `json:"level"`
}

// SitePeople is a page of those who have access at a site.
type SitePeople struct {
	People []SitePerson `json:"people"`
	// NextCursor is empty on the last page.
	NextCursor string `json:"next_cursor"`
}

// Explained is the answer to a question with all its reasons.
type Explained struct {
	Allowed bool          `json:"allowed"`
	Reason  access.Reason `json:"reason"`
	// Level is what is held of the permission at the place; empty is nothing.
	Level       access.Level  `json:"level"`
	Through     []Way         `json:"through"`
	Missing     []MissingItem `json:"missing"`
	ReasonUser  Texts         `json:"reason_user"`
	ReasonAdmin Texts         `json:"reason_admin"`
}

// MissingItem is one thing that stands between a person and a yes.
type MissingItem struct {
	Reasons []access.Reason `json:"reasons"`
	Name    string          `json:"name,omitempty"`
	Way     *Way            `json:"way,omitempty"`
}

// ChangeSeen is a change that may have changed access in the product.
type ChangeSeen struct {
	ID      store.ChangeID `json:"id"`
	At      time.Time      `json:"at"`
	Action  string         `json:"action"`
	Subject ChangeSubject  `json:"subject"`
}

// ChangeSubject is what a change was done to.
type ChangeSubject struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// ChangesPage is the part of the log behind a cursor.
type ChangesPage struct {
	Changes []ChangeSeen `json:"changes"`
	// Cursor is where to go on; More says that there is more there already.
	Cursor string `json:"cursor"`
	More   bool   `json:"more"`
}

// somebody finds the person that a parameter names.
func (s *Server) somebody(c call, name string) (store.Somebody, *access.Policy, error) {
	if err := checkText("the user's name", name); err != nil {
		return store.Somebody{}, nil, problem(http.StatusBadRequest, "bad_parameter", "%s", err)
	}
	one, policy, err := s.store.Somebody(c.Context(), c.key.TenantID, name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		err = problem(http.StatusNotFound, "unknown_user", "There is no user of the id, user name or e-mail address %q.", shorten(name))
	case errors.Is(err, store.ErrAmbiguous):
		err = problem(http.StatusConflict, "ambiguous_user", "Several users are called %q: ask by id.", shorten(name))
	}
	return one, policy, err
}

func personOf(one store.Somebody) Person {
	return Person{ID: one.ID, UserName: one.UserName, DisplayName: one.DisplayName}
}

// userAccess tells all that a person has in the product.
func (s *Server) userAccess(_ http.ResponseWriter, c call) (any, error) {
	if _, err := query(c); err != nil {
		return nil, err
	}
	one, policy, err := s.somebody(c, c.PathValue("id"))
	if err != nil {
		return nil, err
	}
	held := policy.HeldIn(one.Subject, c.key.Product, s.store.Now())
	var groups []access.GroupID
	for _, item := range held.Items {
		groups = append(groups, groupsIn(access.Explanation{Through: append(slices.Clone(item.Through), item.Against...)})...)
	}
	names, err := s.store.Names(c.Context(), c.key.TenantID, nil, groups)
	if err != nil {
		return nil, err
	}
	tell := teller{policy, names}
	answer := UserAccess{
		User: personOf(one), Product: c.key.Product, At: held.At.UTC(), NotLive: append([]access.Reason{}, held.NotLive...),
		Access: []HeldItem{}, Attributes: held.Attributes[c.key.Product],
	}
	if answer.Attributes == nil {
		answer.Attributes = map[string][]string{}
	}
	for _, item := range held.Items {
		area := map[string]Part{}
		for dimension, part := range item.Area {
			area[string(dimension)] = Part{All: part.All, Sites: tell.sites(part.Sites), Except: tell.sites(part.Except)}
		}
		answer.Access = append(answer.Access, HeldItem{
			Permission: item.Permission, Level: item.Level, Area: area, Via: tell.ways(item.Through), Against: tell.ways(item.Against),
		})
	}
	return answer, nil
}

func (t teller) sites(ids []access.SiteID) []Site {
	all := make([]Site, len(ids))
	for i, id := range ids {
		site, _ := t.policy.Site(id)
		all[i] = Site{ID: string(id), Key: site.Key, Name: site.Name}
	}
	return all
}

func (t teller) ways(paths []access.Path) []Way {
	all := make([]Way, len(paths))
	for i, path := range paths {
		all[i] = t.way(path)
	}
	return all
}

func (t teller) way(path access.Path) Way {
	w := Way{Grant: string(path.Grant.ID), Level: path.Level, Groups: make([]Group, len(path.Groups)), Until: path.Grant.Until}
	for i, id := range path.Groups {
		w.Groups[i] = Group{ID: string(id), Name: t.names[string(id)]}
	}
	return w
}

// placeOf reads sites of the form dimension:key, one for each dimension.
func placeOf(p *access.Policy, sites []string) (access.Place, error) {
	found := access.Place{}
	for _, text := range sites {
		dimension, name, ok := strings.Cut(text, ":")
		if !ok {
			return nil, problem(http.StatusBadRequest, "bad_parameter", "The site %q is not of the form dimension:key.", shorten(text))
		}
		site, reason := p.SiteNamed(access.DimensionID(dimension), name)
		if reason != "" {
			return nil, unknown(reason, text)
		}
		if _, twice := found[access.DimensionID(dimension)]; twice {
			return nil, problem(http.StatusBadRequest, "bad_parameter", "There are two sites of the dimension %q: ask about one.", shorten(dimension))
		}
		found[access.DimensionID(dimension)] = site
	}
	return found, nil
}

// sitePeople tells who has access at a site.
func (s *Server) sitePeople(_ http.ResponseWriter, c call) (any, error) {
	values, err := query(c)
	if err != nil {
		return nil, err
	}
	dimension, key := c.PathValue("dimension"), c.PathValue("key")
	for name, text := range map[string]string{"the dimension": dimension, "the site's key": key} {
		if err := checkText(name, text); err != nil {
			return nil, problem(http.StatusBadRequest, "bad_parameter", "%s", err)
		}
	}
	policy, _, err := s.store.Policy(c.Context(), c.key.TenantID)
	if err != nil {
		return nil, err
	}
	product, _ := policy.Product(c.key.Product)
	q := access.Question{Product: c.key.Product, Permission: access.PermissionID(values.Get("permission")), Level: access.Level(values.Get("level"))}
	if q.Place, err = placeOf(policy, append(values["site"], dimension+":"+key)); err != nil {
		return nil, err
	}
	if err := askable(product, q); err != nil {
		return nil, err
	}
	p := paging{limit: defaultPage}
	if values.Has("limit") {
		if p.limit, err = limitIn(values.Get("limit")); err != nil {
			return nil, err
		}
	}
	p.bound = s.bind(c, []byte(dimension), []byte(key), []byte(q.Permission), []byte(q.Level),
		[]byte(strings.Join(values["site"], "\n")), []byte(values.Get("limit")))
	if cursor := values.Get("cursor"); cursor != "" {
		if p.after, err = s.openToken(cursor, p.bound); err != nil {
			return nil, err
		}
	}
	var held [][]LevelHeld
	page, found, err := s.people(c, p, q, false, func(one store.Somebody, policy *access.Policy) bool {
		levels := levelsHeld(policy, product, one, q, s.store.Now())
		if len(levels) > 0 {
			held = append(held, levels)
		}
		return len(levels) > 0
	})
	if err != nil {
		return nil, err
	}
	answer := SitePeople{People: make([]SitePerson, len(found)), NextCursor: page.NextToken}
	for i, one := range found {
		answer.People[i] = SitePerson{User: personOf(one), Access: held[i]}
	}
	return answer, nil
}

// unknown is the 404 for a name that the product doesn't have.
func unknown(reason access.Reason, name string) error {
	return problem(http.StatusNotFound, string(reason), "%s: %q.", strings.TrimSuffix(phrases[reason].adminEN, "."), shorten(name))
}

// askable refuses a question whose names aren't the product's.
func askable(product access.Product, q access.Question) error {
	known := slices.ContainsFunc(product.Permissions, func(p access.Permission) bool { return p.ID == q.Permission })
	if q.Permission != "" && !known {
		return unknown(access.UnknownPermission, string(q.Permission))
	}
	if q.Level != "" && !slices.Contains(product.Levels, q.Level) {
		return unknown(access.UnknownLevel, string(q.Level))
	}
	for dimension := range q.Place {
		if !slices.Contains(product.Dimensions, dimension) {
			return unknown(access.UnknownDimension, string(dimension))
		}
	}
	return nil
}

// levelsHeld is what somebody has at a place of what a question wants.
func levelsHeld(policy *access.Policy, product access.Product, one store.Somebody, q access.Question, at time.Time) []LevelHeld {
	var all []LevelHeld
	for _, held := range policy.ActionsAt(one.Subject, q.Product, q.Place, at) {
		if q.Permission != "" && held.Permission != q.Permission ||
			slices.Index(product.Levels, held.Level) < slices.Index(product.Levels, q.Level) {
			continue
		}
		all = append(all, LevelHeld{held.Permission, held.Level})
	}
	return all
}

func limitIn(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, problem(http.StatusBadRequest, "bad_parameter", "The limit %q is no number from 1 on.", shorten(text))
	}
	return min(n, maxPage), nil
}

// explain answers a question with all its reasons.
func (s *Server) explain(_ http.ResponseWriter, c call) (any, error) {
	values, err := query(c)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"user", "permission"} {
		if !values.Has(name) {
			return nil, problem(http.StatusBadRequest, "bad_parameter", "The parameter %q is missing.", name)
		}
	}
	one, policy, err := s.somebody(c, values.Get("user"))
	if err != nil {
		return nil, err
	}
	q := access.Question{Product: c.key.Product, Permission: access.PermissionID(values.Get("permission")), Level: access.Level(values.Get("level"))}
	if q.Place, err = placeOf(policy, values["site"]); err != nil {
		return nil, err
	}
	product, _ := policy.Product(c.key.Product)
	if err := askable(product, q); err != nil {
		return nil, err
	}
	at := s.store.Now()
	e := policy.Explain(one.Subject, q, at)
	v := verdict{allowed: e.Allowed, reason: granted}
	if !e.Allowed {
		_, v.reason = policy.Decide(one.Subject, q, at)
	}
	said, err := (&decider{Server: s, call: c}).inWords(&known{subject: one.Subject, policy: policy}, q, v, at)
	if err != nil {
		return nil, err
	}
	names, err := s.store.Names(c.Context(), c.key.TenantID, nil, groupsIn(e))
	if err != nil {
		return nil, err
	}
	tell := teller{policy, names}
	answer := Explained{
		Allowed: e.Allowed, Reason: v.reason, Level: e.Level, Through: tell.ways(e.Through),
		Missing: make([]MissingItem, len(e.Missing)), ReasonUser: said.ReasonUser, ReasonAdmin: said.ReasonAdmin,
	}
	for i, m := range e.Missing {
		answer.Missing[i] = MissingItem{Reasons: m.Reasons, Name: m.Name}
		if m.Path != nil {
			way := tell.way(*m.Path)
			answer.Missing[i].Way = &way
		}
	}
	return answer, nil
}

// changes follows what may have changed access in the product. It says too much
// rather than too little: a group's members matter to whoever is granted something
// through a group above it.
func (s *Server) changes(_ http.ResponseWriter, c call) (any, error) {
	values, err := query(c)
	if err != nil {
		return nil, err
	}
	limit := defaultPage
	if values.Has("limit") {
		if limit, err = limitIn(values.Get("limit")); err != nil {
			return nil, err
		}
	}
	answer := ChangesPage{Changes: []ChangeSeen{}, Cursor: values.Get("cursor")}
	// Much of the log may be about others: look through some of it, then say where to
	// go on.
	for range maxLogPages {
		logged, next, err := s.store.ChangesSince(c.Context(), c.key.TenantID, answer.Cursor, limit)
		if errors.Is(err, store.ErrCursor) {
			return nil, problem(http.StatusBadRequest, "unknown_cursor", "This cursor is none of this database's: begin again without one, and take what is there as the new state.")
		}
		if err != nil {
			return nil, err
		}
		answer.Cursor, answer.More = next, len(logged) == limit
		for _, change := range logged {
			if matters(change, c.key.Product) {
				answer.Changes = append(answer.Changes, ChangeSeen{change.ID, change.At.Time, change.Action,
					ChangeSubject{change.SubjectKind, change.SubjectID, change.SubjectName}})
			}
		}
		if !answer.More || len(answer.Changes) > 0 {
			break
		}
	}
	return answer, nil
}

// maxLogPages bounds how much of the log one answer looks through.
const maxLogPages = 20

// matters reports whether a change may have changed somebody's access in a product.
func matters(c store.Change, product access.ProductID) bool {
	kind, _, _ := strings.Cut(c.Action, ".")
	switch kind {
	case "user", "person", "group", "dimension", "site":
		return true
	case "product":
		return c.SubjectName == string(product)
	case "grant":
		return grantOf(c, product)
	}
	return false
}

// grantOf reports whether a change to a grant is of a product. The log has the
// grant as it was and as it is.
func grantOf(c store.Change, product access.ProductID) bool {
	detail, err := parse([]byte(c.Detail))
	if err != nil {
		return true
	}
	told := false
	for _, name := range []string{"before", "after"} {
		grant, ok := detail.get(name)
		if !ok {
			continue
		}
		told = true
		if of, ok := grant.get("product"); !ok || of.text == string(product) {
			return true
		}
	}
	return !told
}

// Reasons are all codes that a decision, or an explanation, can have.
func Reasons() []string {
	var all []string
	for _, reason := range slices.Sorted(maps.Keys(phrases)) {
		all = append(all, string(reason))
	}
	return all
}
