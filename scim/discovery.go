package scim

import (
	"fmt"
	"net/http"
	"strings"

	scimerr "github.com/elimity-com/scim/errors"
)

// What clients can find out about the endpoint (RFC 7644 §4). It is the same for
// every connection but for the addresses in it.

const (
	urnSchema                = "urn:ietf:params:scim:schemas:core:2.0:Schema"
	urnResourceType          = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"
	urnServiceProviderConfig = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
)

func (s *Server) getServiceProviderConfig(w http.ResponseWriter, r *http.Request, c caller) error {
	if err := refuseFilter(r); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, jsonOf(document{
		"schemas":        []string{urnServiceProviderConfig},
		"patch":          document{"supported": true},
		"bulk":           document{"supported": true, "maxOperations": s.opts.MaxBulk, "maxPayloadSize": s.maxBulkPayload()},
		"filter":         document{"supported": true, "maxResults": s.opts.MaxPage},
		"changePassword": document{"supported": false},
		"sort":           document{"supported": true},
		"etag":           document{"supported": true},
		"pagination": document{
			"cursor": true, "index": true, "defaultPaginationMethod": "index",
			"defaultPageSize": min(defaultPage, s.opts.MaxPage), "maxPageSize": s.opts.MaxPage, "cursorTimeout": int(cursorLife.Seconds()),
		},
		"authenticationSchemes": []document{{
			"type": "oauthbearertoken", "name": "OAuth Bearer Token",
			"description": "A token of this connection, made by 'gatehouse token add'.",
			"specUri":     "https://www.rfc-editor.org/info/rfc6750", "primary": true,
		}, {
			"type": "oauth2", "name": "OAuth 2.0 client credentials",
			"description": "An access token from /oauth2/token, for the client made by 'gatehouse client add' or 'gatehouse client federate'.",
			"specUri":     "https://www.rfc-editor.org/info/rfc6749", "primary": false,
		}},
		"meta": document{"resourceType": "ServiceProviderConfig", "location": c.base + "/ServiceProviderConfig"},
	}))
	return nil
}

func resourceTypes(base string) []document {
	var types []document
	for _, t := range []*resourceType{userType, groupType} {
		extensions := []document{}
		for _, e := range t.extensions {
			extensions = append(extensions, document{"schema": e.urn, "required": false})
		}
		types = append(types, document{
			"schemas": []string{urnResourceType}, "id": t.name, "name": t.name, "description": t.description,
			"endpoint": t.endpoint, "schema": t.core.urn, "schemaExtensions": extensions,
			"meta": document{"resourceType": "ResourceType", "location": base + "/ResourceTypes/" + t.name},
		})
	}
	return append(types, document{
		"schemas": []string{urnResourceType}, "id": "Role", "name": "Role", "description": "Roles of the console",
		"endpoint": "/Roles", "schema": urnRole, "schemaExtensions": []document{},
		"meta": document{"resourceType": "ResourceType", "location": base + "/ResourceTypes/Role"},
	})
}

func schemas(base string) []document {
	var all []document
	for _, t := range []*resourceType{userType, groupType} {
		all = append(all, t.schemas()...)
	}
	all = append(all, roleSchema())
	for _, schema := range all {
		schema["meta"] = document{"resourceType": "Schema", "location": base + "/Schemas/" + text(schema, "id")}
	}
	return all
}

func (s *Server) listSchemas(w http.ResponseWriter, r *http.Request, c caller) error {
	return sendDiscovered(w, r, schemas(c.base))
}

func (s *Server) getSchema(w http.ResponseWriter, r *http.Request, c caller) error {
	if err := refuseFilter(r); err != nil {
		return err
	}
	return sendOne(w, r, "schema", "/Schemas", schemas(c.base))
}

func (s *Server) listResourceTypes(w http.ResponseWriter, r *http.Request, c caller) error {
	return sendDiscovered(w, r, resourceTypes(c.base))
}

func (s *Server) getResourceType(w http.ResponseWriter, r *http.Request, c caller) error {
	if err := refuseFilter(r); err != nil {
		return err
	}
	return sendOne(w, r, "resource type", "/ResourceTypes", resourceTypes(c.base))
}

// refuseFilter says that what can be discovered is not filtered, lest a client
// takes all for what it asked for (RFC 7644 §4).
func refuseFilter(r *http.Request) error {
	query, err := queryOf(r)
	if err == nil && query.Has("filter") {
		err = scimerr.ScimError{Status: http.StatusForbidden, Detail: "This can't be filtered: read it whole."}
	}
	return err
}

// sendDiscovered answers with a whole list: sorting, paging and the like are
// ignored (RFC 7644 §4).
func sendDiscovered(w http.ResponseWriter, r *http.Request, all []document) error {
	if err := refuseFilter(r); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, jsonOf(document{
		"schemas": []string{urnListResponse}, "totalResults": len(all), "startIndex": 1, "itemsPerPage": len(all), "Resources": all,
	}))
	return nil
}

func sendOne(w http.ResponseWriter, r *http.Request, kind, endpoint string, all []document) error {
	id := r.PathValue("id")
	for _, one := range all {
		if strings.EqualFold(fmt.Sprint(one["id"]), id) {
			writeJSON(w, http.StatusOK, jsonOf(one))
			return nil
		}
	}
	return notDiscovered(kind, id, endpoint)
}
