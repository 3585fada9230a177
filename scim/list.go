package scim

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	scimerr "github.com/elimity-com/scim/errors"

	"gatehouse/store"
)

// defaultPage is how many resources a page has unless the request says it.
const defaultPage = 100

// maxScans bounds the comparisons of a filter that look into every document.
const maxScans = 16

// cursorLife is how long a cursor may lie idle (RFC 9865 §2.3).
const cursorLife = time.Hour

// The errors of paging by cursor (RFC 9865 §2.2).
const (
	scimTypeInvalidCursor scimerr.ScimType = "invalidCursor"
	scimTypeExpiredCursor scimerr.ScimType = "expiredCursor"
	scimTypeInvalidCount  scimerr.ScimType = "invalidCount"
)

// listQuery is what a list request asks for (RFC 7644 §3.4.2, RFC 9865).
type listQuery struct {
	store.Query
	count      int
	scans      int
	startIndex int
	byCursor   bool
	binding    cursorBinding
}

// listQuery reads the parameters of a list of one type, and of those that are in
// the same list besides.
func (s *Server) listQuery(t *resourceType, c caller, query url.Values, besides ...*resourceType) (listQuery, error) {
	q := listQuery{startIndex: 1, byCursor: query.Has("cursor")}
	count, err := number(query, "count", min(defaultPage, s.opts.MaxPage), q.byCursor)
	if err != nil {
		return q, err
	}
	q.count = min(max(count, 0), s.opts.MaxPage) // fewer are allowed (RFC 7644 §3.4.2.4)
	q.Limit, q.Count = q.count, true
	if q.byCursor && q.count > 0 {
		q.Limit++ // one ahead, to know whether there is a next page
	}
	if f := query.Get("filter"); f != "" {
		if q.Filter, err = t.parseFilter(f, besides...); err != nil {
			return q, err
		}
		if t != roleType { // which are made whole before they are searched
			q.Filter = t.derived(q.Filter, c.base)
		}
		if q.scans = store.Scans(q.Filter, t == groupType); q.scans > maxScans {
			return q, invalid(scimerr.ScimTypeTooMany, "The filter makes %d comparisons on attributes without an index; %d are allowed. Those of id, userName, externalId, displayName and emails.value with eq are not counted, one of the meta.version of users counts as 10.", q.scans, maxScans)
		}
	}
	if q.Sort, err = t.sortOf(query); err != nil {
		return q, err
	}
	if store.SortScans(q.Sort, t == groupType) {
		q.scans++
	}
	q.binding = cursorBinding{Connection: c.conn.ID, Type: t.name, Filter: query.Get("filter"), SortBy: strings.Join(q.Sort.Attr.Path, "."), Descending: q.Sort.Descending}
	if len(besides) > 0 {
		q.binding.Type = "" // of all of them
	}
	if q.byCursor {
		if cursor := query.Get("cursor"); cursor != "" {
			var at place
			at, err = s.openCursor(cursor, q.binding)
			q.After, q.AfterKey = at.After, at.Key
		}
		return q, err
	}
	if q.startIndex, err = number(query, "startIndex", 1, false); err != nil {
		return q, err
	}
	q.startIndex = max(q.startIndex, 1)
	q.Offset = q.startIndex - 1
	return q, nil
}

// sortOf reads the parameters sortBy and sortOrder (RFC 7644 §3.4.2.3). A complex
// attribute means its value, as it does in filters. An order without an attribute
// is that of the ids.
func (t *resourceType) sortOf(query url.Values) (store.Sort, error) {
	var s store.Sort
	switch order := query.Get("sortOrder"); foldName(order) {
	case "", "ascending":
	case "descending":
		s.Descending = true
	default:
		return s, invalid(scimerr.ScimTypeInvalidValue, "sortOrder is %s: send ascending or descending.", shorten(order))
	}
	by := query.Get("sortBy")
	if by == "" {
		return s, nil
	}
	g := t.resolve(by)
	a := g.leaf()
	switch {
	case g.attr == nil || (g.subName == "") != (g.sub == nil) || strings.HasSuffix(by, "."):
		return s, invalid(scimerr.ScimTypeInvalidValue, "sortBy is %s, and %s has no such attribute.", shorten(by), t.name)
	case g.attr.isRows():
		return s, invalid(scimerr.ScimTypeInvalidValue, "sortBy is %s, and lists can't be sorted by it: a %s can have any number of them and none is the primary.", shorten(by), t.name)
	}
	if a.typ == typeComplex {
		value, ok := a.subAttribute("value")
		if !ok {
			return s, invalid(scimerr.ScimTypeInvalidValue, "sortBy is %s, which has parts: send one of them, such as %s.", shorten(by), a.sub[0].label)
		}
		a = value
	}
	if !a.filterable || a.isOpaque() {
		return s, invalid(scimerr.ScimTypeInvalidValue, "sortBy is %s, which is not kept for sorting.", shorten(by))
	}
	s.Attr = a.search(false)
	return s, nil
}

// number reads an integer parameter.
func number(query url.Values, name string, missing int, byCursor bool) (int, error) {
	v := query.Get(name)
	if v == "" {
		return missing, nil
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil {
		kind := scimerr.ScimTypeInvalidValue
		if byCursor {
			kind = scimTypeInvalidCount
		}
		return 0, invalid(kind, "%s is %s: send a whole number.", name, shorten(v))
	}
	return int(n), nil
}

func (s *Server) listUsers(w http.ResponseWriter, r *http.Request, c caller) error {
	p, query, err := userType.projectionOf(r)
	if err != nil {
		return err
	}
	q, err := s.listQuery(userType, c, query)
	if err != nil {
		return err
	}
	q.WithGroups = p.includes("groups") || p.includes("meta") // which has the version
	var users []store.User
	var total int
	err = s.inTurn(r, c, q, func() (err error) {
		users, total, err = s.store.Users(r.Context(), c.conn, q.Query)
		return err
	})
	if err != nil {
		return err
	}
	more := len(users) > q.count
	users = users[:min(len(users), q.count)]
	var next place
	if more {
		last := users[len(users)-1]
		next = place{string(last.ID), last.SortKey}
	}
	out := newStream(w, http.StatusOK)
	s.openList(out, q, total, len(users), next)
	if err := s.writeUsers(out, c, users, p); err != nil {
		return out.fail(err)
	}
	out.text("]}")
	return out.close()
}

// writeUsers writes users, parted by commas.
func (s *Server) writeUsers(out *stream, c caller, users []store.User, p *projection) error {
	for i, u := range users {
		if i > 0 {
			out.text(",")
		}
		body, err := userResource(u).whole(c.base, p)
		if err != nil {
			return err
		}
		out.write(body)
	}
	return out.err
}

// inTurn reads; what looks into every document waits for its turn.
func (s *Server) inTurn(r *http.Request, c caller, q listQuery, read func() error) error {
	if q.scans > 0 {
		leave, err := s.heavy.enter(r.Context(), c.conn.ID)
		if err != nil {
			return err
		}
		defer leave()
		defer s.takeCore()()
	}
	return read()
}

func (s *Server) listGroups(w http.ResponseWriter, r *http.Request, c caller) error {
	p, query, err := groupType.projectionOf(r)
	if err != nil {
		return err
	}
	q, err := s.listQuery(groupType, c, query)
	if err != nil {
		return err
	}
	var groups []store.Group
	var total int
	err = s.inTurn(r, c, q, func() (err error) {
		groups, total, err = s.store.Groups(r.Context(), c.conn, q.Query)
		return err
	})
	if err != nil {
		return err
	}
	more := len(groups) > q.count
	groups = groups[:min(len(groups), q.count)]
	var next place
	if more {
		last := groups[len(groups)-1]
		next = place{string(last.ID), last.SortKey}
	}
	out := newStream(w, http.StatusOK)
	s.openList(out, q, total, len(groups), next)
	if err := s.writeGroups(r, out, c, groups, p); err != nil {
		return out.fail(err)
	}
	out.text("]}")
	return out.close()
}

// openList writes a ListResponse up to its resources; next is where the next page
// of a list by cursor begins, if there is one.
func (s *Server) openList(out *stream, q listQuery, total, got int, next place) {
	out.text(fmt.Sprintf(`{"schemas":["%s"],"totalResults":%d,"itemsPerPage":%d,`, urnListResponse, total, got))
	switch {
	case !q.byCursor:
		out.text(fmt.Sprintf(`"startIndex":%d,`, q.startIndex))
	case next.After != "":
		out.text(`"nextCursor":"` + s.sealCursor(next, q.binding) + `",`)
	}
	out.text(`"Resources":[`)
}

// cursorBinding is what a cursor is good for: the same list of the same
// connection in the same order.
type cursorBinding struct {
	Connection store.ConnectionID `json:"c"`
	Type       string             `json:"t"`
	Filter     string             `json:"f"`
	SortBy     string             `json:"s,omitempty"`
	Descending bool               `json:"d,omitempty"`
}

// place is where in a list a resource stands: its id, and what the list is sorted
// by if that isn't the id.
type place struct {
	After string  `json:"a"`
	Key   *string `json:"k,omitempty"`
}

// sealedCursor is a cursor before it is signed.
type sealedCursor struct {
	place
	Expires int64 `json:"e"` // Unix seconds
}

const cursorMAC = 16 // bytes

// sealCursor makes a cursor that goes on behind a place.
func (s *Server) sealCursor(after place, b cursorBinding) string {
	payload := jsonOf(sealedCursor{after, s.store.Now().Add(cursorLife).Unix()})
	return base64.RawURLEncoding.EncodeToString(append(s.signCursor(payload, b), payload...))
}

func (s *Server) signCursor(payload []byte, b cursorBinding) []byte {
	mac := hmac.New(sha256.New, s.cursorKey)
	mac.Write(payload)
	mac.Write(jsonOf(b))
	return mac.Sum(nil)[:cursorMAC]
}

// openCursor gives the place that a cursor stands at. Forged, foreign and mangled
// cursors can't be told apart.
func (s *Server) openCursor(cursor string, b cursorBinding) (after place, err error) {
	bad := invalid(scimTypeInvalidCursor, "The cursor is not one of this list: start again with an empty cursor, and keep the filter and the order as they are between pages.")
	data, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(data) < cursorMAC {
		return place{}, bad
	}
	payload := data[cursorMAC:]
	if !hmac.Equal(data[:cursorMAC], s.signCursor(payload, b)) {
		return place{}, bad
	}
	var c sealedCursor
	if err := json.Unmarshal(payload, &c); err != nil {
		return place{}, bad
	}
	if s.store.Now().Unix() > c.Expires {
		return place{}, invalid(scimTypeExpiredCursor, "The cursor is more than %v old: start again with an empty cursor.", cursorLife)
	}
	return c.place, nil
}
