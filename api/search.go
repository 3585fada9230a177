package api

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// The sizes of pages.
const (
	defaultPage = 100
	maxPage     = 1000
)

// pageLife is how long the token of the next page is good.
const pageLife = time.Hour

// maxExamined bounds how many people one page looks at. A page may be short of its
// limit, even empty, and still not be the last.
const maxExamined = 10_000

// Page is where a list goes on (AuthZEN 1.0 §8.2).
type Page struct {
	// NextToken is empty on the last page.
	NextToken string `json:"next_token"`
	Count     int    `json:"count"`
}

// Found is what a search says (AuthZEN 1.0 §8).
type Found[T any] struct {
	Page    Page         `json:"page"`
	Context *FoundReason `json:"context,omitempty"`
	Results []T          `json:"results"`
}

// FoundReason says why nothing is found when the question names what isn't there,
// and whether what is found is everything.
type FoundReason struct {
	Reason access.Reason `json:"reason,omitempty"`
	// All is that the answer is yes for the dimension as a whole, so also for sites
	// that are added later.
	All bool `json:"all,omitempty"`
}

// Entity is a subject or resource that was found.
type Entity struct {
	Type       string            `json:"type"`
	ID         string            `json:"id"`
	Properties map[string]string `json:"properties,omitempty"`
}

// ActionFound is an action that was found.
type ActionFound struct {
	Name string `json:"name"`
}

func none[T any](reason access.Reason) Found[T] {
	return Found[T]{Context: &FoundReason{Reason: reason}, Results: []T{}}
}

// paging is which part of a list is asked for.
type paging struct {
	limit int
	// after is what the page before ended with; empty on the first.
	after string
	// bound is what the token of the next page is good for.
	bound []byte
}

// pageIn reads the page of a search, whose token is good for the same body only.
func (s *Server) pageIn(c call, body value) (p paging, err error) {
	p.limit = defaultPage
	page, ok := body.get("page")
	if ok && page.kind != isObject {
		return p, malformed("page is no object.")
	}
	if limit, ok := page.get("limit"); ok {
		n, err := strconv.Atoi(limit.text)
		if limit.kind != isNumber || err != nil || n < 1 {
			return p, malformed("page.limit is no number from 1 on.")
		}
		p.limit = min(n, maxPage)
	}
	token, ok := page.get("token")
	if ok && token.kind != isText {
		return p, malformed("page.token is no text.")
	}
	p.bound = s.bind(c, appendCanonical(nil, without(body, "page")), appendCanonical(nil, without(page, "token")))
	if token.text != "" {
		p.after, err = s.openToken(token.text, p.bound)
	}
	return p, err
}

// without is an object without one of its members.
func without(v value, name string) value {
	rest := value{kind: isObject}
	for _, m := range v.items {
		if m.name != name {
			rest.items = append(rest.items, m)
		}
	}
	return rest
}

// bind is what a token is good for: a tenant, product and address, and what is
// asked.
func (s *Server) bind(c call, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, s.pageKey)
	for _, part := range append(parts, []byte(c.key.TenantID), []byte(c.key.Product), []byte(c.Pattern)) {
		h.Write(binary.AppendUvarint(nil, uint64(len(part))))
		h.Write(part)
	}
	return h.Sum(nil)
}

func (s *Server) sign(bound, payload []byte) []byte {
	h := hmac.New(sha256.New, s.pageKey)
	h.Write(bound)
	h.Write(payload)
	return h.Sum(nil)[:16]
}

// token is for the page behind after.
func (s *Server) token(p paging, after string) string {
	payload := binary.AppendVarint(nil, s.store.Now().Add(pageLife).UnixMilli())
	payload = append(payload, after...)
	return base64.RawURLEncoding.EncodeToString(append(s.sign(p.bound, payload), payload...))
}

func (s *Server) openToken(token string, bound []byte) (after string, err error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) < 16 || !hmac.Equal(raw[:16], s.sign(bound, raw[16:])) {
		return "", problem(http.StatusBadRequest, "bad_page_token", "This page token is not one of this question: repeat the question as it was, or begin without a token.")
	}
	until, n := binary.Varint(raw[16:])
	if n <= 0 || s.store.Now().UnixMilli() >= until {
		return "", problem(http.StatusBadRequest, "expired_page_token", "This page token is older than %v: begin without a token.", pageLife)
	}
	return string(raw[16+n:]), nil
}

// cut is the part of a sorted list that a page holds.
func cut[T any](s *Server, p paging, all []T, key func(T) string) (Page, []T) {
	from, found := slices.BinarySearchFunc(all, p.after, func(item T, after string) int { return cmp.Compare(key(item), after) })
	if found {
		from++
	}
	all = all[from:]
	page := Page{}
	if len(all) > p.limit {
		all = all[:p.limit]
		page.NextToken = s.token(p, key(all[p.limit-1]))
	}
	page.Count = len(all)
	return page, all
}

// people collects those for whom a question may be answered with yes: those whom
// keep wants, up to the page's limit. The next page begins behind the last of them.
func (s *Server) people(c call, p paging, q access.Question, groups bool, keep func(store.Somebody, *access.Policy) bool) (page Page, found []store.Somebody, err error) {
	after, examined := p.after, 0
	for {
		batch := min(max(2*p.limit, 100), 1000)
		some, policy, err := s.store.Granted(c.Context(), c.key.TenantID, q, groups, after, batch)
		if err != nil {
			return page, nil, err
		}
		for _, one := range some {
			if keep(one, policy) {
				if len(found) == p.limit {
					page.NextToken = s.token(p, found[p.limit-1].ID)
					page.Count = len(found)
					return page, found, nil
				}
				found = append(found, one)
			}
			after = one.ID
		}
		examined += len(some)
		page.Count = len(found)
		switch {
		case len(some) < batch:
			return page, found, nil
		case examined >= maxExamined:
			page.NextToken = s.token(p, after)
			return page, found, nil
		}
	}
}

// searchSubject finds who may (AuthZEN 1.0 §8.4).
func (s *Server) searchSubject(w http.ResponseWriter, c call) (any, error) {
	body, err := readBody(w, c)
	if err != nil {
		return nil, err
	}
	subject, err := entityIn(&body, "subject", false)
	if err != nil {
		return nil, err
	}
	action, err := actionIn(&body)
	if err != nil {
		return nil, err
	}
	resource, err := entityIn(&body, "resource", true)
	if err != nil {
		return nil, err
	}
	if _, err := explainIn(&body); err != nil {
		return nil, err
	}
	p, err := s.pageIn(c, body)
	if err != nil {
		return nil, err
	}
	if subject.kind != typeUser && subject.kind != typeGroup {
		return none[Entity](unknownSubjectType), nil
	}
	policy, _, err := s.store.Policy(c.Context(), c.key.TenantID)
	if err != nil {
		return nil, err
	}
	q, reason := translate(policy, c.key.Product, action, resource)
	if reason != "" {
		return none[Entity](reason), nil
	}
	page, found, err := s.people(c, p, q, subject.kind == typeGroup, func(one store.Somebody, policy *access.Policy) bool {
		return policy.Allows(one.Subject, q, s.store.Now())
	})
	if err != nil {
		return nil, err
	}
	results := make([]Entity, len(found))
	for i, one := range found {
		results[i] = Entity{Type: subject.kind, ID: one.ID, Properties: map[string]string{"display_name": one.DisplayName}}
		if subject.kind == typeUser {
			results[i].Properties["user_name"] = one.UserName
		}
	}
	return Found[Entity]{Page: page, Results: results}, nil
}

// searchResource finds where somebody may (AuthZEN 1.0 §8.5).
func (s *Server) searchResource(w http.ResponseWriter, c call) (any, error) {
	body, err := readBody(w, c)
	if err != nil {
		return nil, err
	}
	subject, err := entityIn(&body, "subject", true)
	if err != nil {
		return nil, err
	}
	action, err := actionIn(&body)
	if err != nil {
		return nil, err
	}
	resource, err := entityIn(&body, "resource", false)
	if err != nil {
		return nil, err
	}
	if _, err := explainIn(&body); err != nil {
		return nil, err
	}
	p, err := s.pageIn(c, body)
	if err != nil {
		return nil, err
	}
	k, err := (&decider{Server: s, call: c}).find(subject)
	if err != nil {
		return nil, err
	}
	if k.reason != "" {
		return none[Entity](k.reason), nil
	}
	q, reason := translate(k.policy, c.key.Product, action, resource)
	if reason != "" {
		return none[Entity](reason), nil
	}
	at := s.store.Now()
	if resource.kind == typeProduct {
		var results []Entity
		if k.policy.Allows(k.subject, q, at) {
			results = append(results, Entity{Type: typeProduct, ID: string(c.key.Product)})
		}
		page, results := cut(s, p, results, func(e Entity) string { return e.ID })
		return Found[Entity]{Page: page, Results: append([]Entity{}, results...)}, nil
	}
	dimension := access.DimensionID(resource.kind)
	if site, ok := q.Place[dimension]; ok { // named among the properties: that one alone
		return s.oneSite(k, q, dimension, site, p, at), nil
	}
	ids, all := k.policy.SitesOf(k.subject, q, dimension, at)
	slices.Sort(ids)
	page, ids := cut(s, p, ids, func(id access.SiteID) string { return string(id) })
	found := Found[Entity]{Page: page, Results: make([]Entity, len(ids))}
	if all {
		found.Context = &FoundReason{All: true}
	}
	for i, id := range ids {
		found.Results[i] = siteFound(k.policy, dimension, id)
	}
	return found, nil
}

func (s *Server) oneSite(k *known, q access.Question, dimension access.DimensionID, site access.SiteID, p paging, at time.Time) Found[Entity] {
	var results []Entity
	if k.policy.Allows(k.subject, q, at) && p.after == "" {
		results = append(results, siteFound(k.policy, dimension, site))
	}
	return Found[Entity]{Page: Page{Count: len(results)}, Results: append([]Entity{}, results...)}
}

// siteFound calls a site by its key, if that is enough to find it again.
func siteFound(p *access.Policy, dimension access.DimensionID, id access.SiteID) Entity {
	site, _ := p.Site(id)
	e := Entity{Type: string(dimension), ID: string(id), Properties: map[string]string{"id": string(id), "name": site.Name}}
	if found, reason := p.SiteNamed(dimension, site.Key); reason == "" && found == id {
		e.ID = site.Key
	}
	return e
}

// searchAction finds what somebody may do (AuthZEN 1.0 §8.6): each permission at
// each level up to the one held.
func (s *Server) searchAction(w http.ResponseWriter, c call) (any, error) {
	body, err := readBody(w, c)
	if err != nil {
		return nil, err
	}
	subject, err := entityIn(&body, "subject", true)
	if err != nil {
		return nil, err
	}
	resource, err := entityIn(&body, "resource", true)
	if err != nil {
		return nil, err
	}
	if _, err := explainIn(&body); err != nil {
		return nil, err
	}
	p, err := s.pageIn(c, body)
	if err != nil {
		return nil, err
	}
	k, err := (&decider{Server: s, call: c}).find(subject)
	if err != nil {
		return nil, err
	}
	if k.reason != "" {
		return none[ActionFound](k.reason), nil
	}
	where, reason := place(k.policy, c.key.Product, resource)
	if reason != "" {
		return none[ActionFound](reason), nil
	}
	product, _ := k.policy.Product(c.key.Product)
	names := []string{}
	for _, held := range k.policy.ActionsAt(k.subject, c.key.Product, where, s.store.Now()) {
		for _, level := range product.Levels {
			name := string(held.Permission)
			if len(product.Levels) > 1 {
				name += "." + string(level)
			}
			// A name that can be read in two ways is not one to ask with.
			if _, _, reason := k.policy.Action(c.key.Product, name); reason == "" {
				names = append(names, name)
			}
			if level == held.Level {
				break
			}
		}
	}
	slices.SortFunc(names, strings.Compare)
	page, names := cut(s, p, names, func(name string) string { return name })
	found := Found[ActionFound]{Page: page, Results: make([]ActionFound, len(names))}
	for i, name := range names {
		found.Results[i].Name = name
	}
	return found, nil
}
