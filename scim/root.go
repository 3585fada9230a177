package scim

import (
	"net/http"
	"net/url"
	"strings"

	scimerr "github.com/elimity-com/scim/errors"

	"gatehouse/store"
)

// listRoot answers queries of everything (RFC 7644 §3.4.2.1): users and groups in
// one list, users first, each in the order of their making.
func (s *Server) listRoot(w http.ResponseWriter, r *http.Request, c caller) error {
	query, err := queryOf(r)
	if err != nil {
		return err
	}
	page, err := s.rootQuery(c, query)
	if err != nil {
		return err
	}
	ofUsers, err := userType.projection(query.Get("attributes"), query.Get("excludedAttributes"))
	if err != nil {
		return err
	}
	ofGroups, err := groupType.projection(query.Get("attributes"), query.Get("excludedAttributes"))
	if err != nil {
		return err
	}
	page.users.WithGroups = ofUsers.includes("groups") || ofUsers.includes("meta") // which has the version
	err = s.inTurn(r, c, page.listQuery, func() error { return page.read(r, s.store, c) })
	if err != nil {
		return err
	}
	out := newStream(w, http.StatusOK)
	s.openList(out, page.listQuery, page.total, len(page.foundUsers)+len(page.foundGroups), page.next)
	if err := s.writeUsers(out, c, page.foundUsers, ofUsers); err != nil {
		return out.fail(err)
	}
	if len(page.foundUsers) > 0 && len(page.foundGroups) > 0 {
		out.text(",")
	}
	if err := s.writeGroups(r, out, c, page.foundGroups, ofGroups); err != nil {
		return out.fail(err)
	}
	out.text("]}")
	return out.close()
}

// rootPage is a page of users and groups: what is asked of each, and what was found.
type rootPage struct {
	listQuery
	users, groups store.Query
	// behindUsers says that a cursor stands behind all users.
	behindUsers bool

	foundUsers  []store.User
	foundGroups []store.Group
	total       int
	next        place
}

// Cursors of these lists say of what kind the resource is that they stand behind.
const (
	behindUser  = "u/"
	behindGroup = "g/"
)

// rootQuery reads a query as both kinds of resource understand it.
func (s *Server) rootQuery(c caller, query url.Values) (rootPage, error) {
	var p rootPage
	for _, name := range []string{"sortBy", "sortOrder"} {
		if query.Get(name) != "" {
			return p, invalid(scimerr.ScimTypeInvalidValue, "%s is for lists of one kind: ask /Users or /Groups.", name)
		}
	}
	users, err := s.listQuery(userType, c, query, groupType)
	if err != nil {
		return p, err
	}
	groups, err := s.listQuery(groupType, c, query, userType)
	if err != nil {
		return p, err
	}
	p.listQuery, p.users, p.groups = users, users.Query, groups.Query
	p.scans += groups.scans
	p.behindUsers = strings.HasPrefix(users.After, behindGroup)
	p.users.After = strings.TrimPrefix(users.After, behindUser)
	p.groups.After = ""
	if p.behindUsers {
		p.users.After, p.groups.After = "", strings.TrimPrefix(users.After, behindGroup)
	}
	return p, nil
}

// read fetches the page: users, and groups in the room that they leave.
func (p *rootPage) read(r *http.Request, st *store.Store, c caller) error {
	limit := p.Limit
	if p.behindUsers {
		p.users.Limit = 0 // they are counted only
	}
	users, ofUsers, err := st.Users(r.Context(), c.conn, p.users)
	if err != nil {
		return err
	}
	p.groups.Limit = limit - len(users)
	p.groups.Offset = max(p.Offset-ofUsers, 0)
	groups, ofGroups, err := st.Groups(r.Context(), c.conn, p.groups)
	if err != nil {
		return err
	}
	p.total = ofUsers + ofGroups
	more := len(users)+len(groups) > p.count
	p.foundUsers = users[:min(len(users), p.count)]
	p.foundGroups = groups[:min(len(groups), p.count-len(p.foundUsers))]
	switch {
	case !more:
	case len(p.foundGroups) > 0:
		p.next.After = behindGroup + string(p.foundGroups[len(p.foundGroups)-1].ID)
	case len(p.foundUsers) > 0:
		p.next.After = behindUser + string(p.foundUsers[len(p.foundUsers)-1].ID)
	}
	return nil
}
