package scim

import (
	"cmp"
	"net/http"
	"slices"

	"gatehouse/access"
)

// urnRole is the schema that Okta's entitlements read roles by.
const urnRole = "urn:okta:scim:schemas:core:1.0:Role"

func roleSchema() document {
	attribute := func(name, description string) document {
		return document{
			"name": name, "type": "string", "multiValued": false, "description": description, "required": false,
			"caseExact": true, "mutability": "readOnly", "returned": "default", "uniqueness": "none",
		}
	}
	return document{
		"schemas": []string{urnSchema}, "id": urnRole, "name": "Role", "description": "A role that a user can have",
		"attributes": []document{attribute("displayName", "The role's name for people")},
	}
}

// roles are those of the console, which the program holds: few, and always the same.
func roles(base string) []document {
	var all []document
	for _, role := range access.Console().Roles {
		all = append(all, document{
			"schemas": []string{urnRole}, "id": string(role.ID), "displayName": role.Name,
			"meta": document{"resourceType": roleType.name, "location": base + roleType.endpoint + "/" + string(role.ID)},
		})
	}
	return all
}

// listRoles answers as lists of users do. Without sortBy the order is that of the
// console.
func (s *Server) listRoles(w http.ResponseWriter, r *http.Request, c caller) error {
	p, query, err := roleType.projectionOf(r)
	if err != nil {
		return err
	}
	q, err := s.listQuery(roleType, c, query)
	if err != nil {
		return err
	}
	found := pickRoles(roles(c.base), q)
	total := len(found)
	start := min(q.Offset, total)
	if q.After != "" {
		start = 1 + slices.IndexFunc(found, func(role document) bool { return text(role, "id") == q.After })
		if start == 0 { // another release had it
			return invalid(scimTypeInvalidCursor, "The role that the cursor stands behind is gone: start again with an empty cursor.")
		}
	}
	page := found[start:min(start+q.count, total)]
	var next place
	if len(page) > 0 && start+len(page) < total {
		next.After = text(page[len(page)-1], "id")
	}
	out := newStream(w, http.StatusOK)
	s.openList(out, q, total, len(page), next)
	for i, role := range p.each(page) {
		if i > 0 {
			out.text(",")
		}
		out.write(jsonOf(role))
	}
	out.text("]}")
	return out.close()
}

// pickRoles gives the roles that a query asks for, in its order: in the one of
// lists of users, absent values last.
func pickRoles(all []document, q listQuery) []document {
	type keyed struct {
		role document
		key  any
	}
	var picked []keyed
	for _, role := range all {
		search := roleType.searchable(role)
		if q.Filter != nil && !matches(q.Filter, search) {
			continue
		}
		k := keyed{role: role}
		if path := q.Sort.Attr.Path; path != nil {
			if values := valuesAt(search, path); len(values) > 0 {
				k.key = values[0]
			}
		}
		picked = append(picked, k)
	}
	slices.SortStableFunc(picked, func(a, b keyed) int {
		have, isText := a.key.(string)
		other, otherIsText := b.key.(string)
		switch {
		case isText && otherIsText:
			return cmp.Compare(have, other)
		case isText:
			return -1
		case otherIsText:
			return 1
		}
		return 0
	})
	if q.Sort.Descending {
		slices.Reverse(picked)
	}
	found := make([]document, len(picked))
	for i, k := range picked {
		found[i] = k.role
	}
	return found
}

func (s *Server) getRole(w http.ResponseWriter, r *http.Request, c caller) error {
	p, _, err := roleType.projectionOf(r)
	if err != nil {
		return err
	}
	return sendOne(w, r, "role", roleType.endpoint, p.each(roles(c.base)))
}
