package scim

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	scimerr "github.com/elimity-com/scim/errors"
)

// searchParameters are what a SearchRequest may say (RFC 7644 §3.4.3, RFC 9865
// §2): the parameters of lists.
var searchParameters = []struct {
	name string
	// list says that it is a list of texts, number that it is a number.
	list, number bool
}{
	{name: "attributes", list: true},
	{name: "excludedAttributes", list: true},
	{name: "filter"},
	{name: "sortBy"},
	{name: "sortOrder"},
	{name: "startIndex", number: true},
	{name: "count", number: true},
	{name: "cursor"},
}

// search answers POST …/.search as list answers the GET with the same parameters.
func (s *Server) search(list handler) handler {
	return func(w http.ResponseWriter, r *http.Request, c caller) error {
		said, err := queryOf(r)
		if err != nil {
			return err
		}
		for _, p := range searchParameters {
			if said.Has(p.name) {
				return invalid(scimerr.ScimTypeInvalidValue, "%s is in the address: put it into the body.", p.name)
			}
		}
		body, err := s.readBody(w, r, c, maxUserBody)
		if err != nil {
			return err
		}
		query, err := searchQuery(body)
		if err != nil {
			return err
		}
		address := *r.URL
		address.RawQuery = query.Encode()
		get := *r
		get.Method, get.URL = http.MethodGet, &address
		return list(w, &get, c)
	}
}

// searchQuery is a SearchRequest as the query of a GET. Like there, what we don't
// know is ignored.
func searchQuery(body document) (url.Values, error) {
	query := url.Values{}
	for _, p := range searchParameters {
		value := body[sameKey(body, p.name)]
		switch v := value.(type) {
		case nil:
			continue
		case string:
			query.Set(p.name, v)
			continue
		case json.Number:
			if p.number {
				query.Set(p.name, v.String())
				continue
			}
		case []any:
			if names, ok := texts(v); p.list && ok {
				query.Set(p.name, strings.Join(names, ","))
				continue
			}
		}
		wanted := "text"
		switch {
		case p.list:
			wanted = "a list of names"
		case p.number:
			wanted = "a number"
		}
		return nil, invalid(scimerr.ScimTypeInvalidValue, "%s has to be %s, not %s.", p.name, wanted, shorten(value))
	}
	return query, nil
}

// texts are the elements of a list of nothing but texts.
func texts(list []any) ([]string, bool) {
	all := make([]string, len(list))
	for i, e := range list {
		text, ok := e.(string)
		if !ok {
			return nil, false
		}
		all[i] = text
	}
	return all, true
}
