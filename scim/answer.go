package scim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	scimerr "github.com/elimity-com/scim/errors"

	"gatehouse/store"
)

// URNs of messages (RFC 7644 §3.4.2, §3.7).
const (
	urnListResponse = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	urnBulkResponse = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"
)

func writeJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h["Content-Type"], h["Cache-Control"] = mediaType, noStore
	w.WriteHeader(status)
	w.Write(body) // a client that is gone needs no answer
}

// The values of headers that are the same in all answers.
var mediaType, noStore = []string{"application/scim+json"}, []string{"no-store"}

// jsonOf marshals what can always be marshalled, and leaves <, > and & as they
// are, since values come back as they were sent.
func jsonOf(v any) []byte { return appendJSON(nil, v) }

// appendJSON adds what jsonOf makes of a value. What documents are made of is written
// here, without reflection: a user takes a third less.
func appendJSON(out []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(out, "null"...)
	case bool:
		return strconv.AppendBool(out, v)
	case json.Number: // as it was read
		return append(out, v...)
	case string:
		return appendString(out, v)
	case []any:
		if v == nil {
			break
		}
		out = append(out, '[')
		for i, e := range v {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendJSON(out, e)
		}
		return append(out, ']')
	case document:
		if v == nil {
			break
		}
		out = append(out, '{')
		for i, name := range sortedKeys(v) {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendJSON(append(appendString(out, name), ':'), v[name])
		}
		return append(out, '}')
	}
	return marshal(out, v)
}

// appendString adds a JSON string; most have nothing to escape.
func appendString(out []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return marshal(out, s)
		}
	}
	return append(append(append(out, '"'), s...), '"')
}

func marshal(out []byte, v any) []byte {
	b := bytes.NewBuffer(out)
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // only maps, lists and scalars reach this
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// encode writes a document for the database: its schemas first, so that an
// answer is the stored text with id and meta around it.
func (t *resourceType) encode(doc document) []byte {
	schemas := []string{t.core.urn}
	for key := range doc {
		if isURN(key) {
			schemas = append(schemas, key)
		}
	}
	slices.Sort(schemas[1:])
	out := append([]byte(`{"schemas":`), jsonOf(schemas)...)
	if body := jsonOf(doc); len(body) > 2 {
		out = append(append(out, ','), body[1:]...)
	} else {
		out = append(out, '}')
	}
	return out
}

// decodeStored reads a document that encode wrote.
func decodeStored(stored []byte) (document, error) {
	dec := json.NewDecoder(bytes.NewReader(stored))
	dec.UseNumber()
	doc := document{}
	if err := dec.Decode(&doc); err != nil {
		return nil, err
	}
	delete(doc, "schemas")
	return doc, nil
}

// resource is a user or group on its way out.
type resource struct {
	t        *resourceType
	id       string
	doc      []byte // as encode wrote it
	created  store.Instant
	modified store.Instant
	version  string // "" of a user that was read without its groups
	// extra is what Gatehouse adds beside meta: groups of a user. JSON.
	extraName string
	extra     []byte
}

func userResource(u store.User) resource {
	r := resource{t: userType, id: string(u.ID), doc: u.Doc, created: u.CreatedAt, modified: u.ModifiedAt}
	if u.Groups != nil {
		r.extraName, r.extra, r.version = "groups", u.Groups, userVersion(u)
	}
	return r
}

func groupResource(g store.Group) resource {
	return resource{t: groupType, id: string(g.ID), doc: g.Doc, created: g.CreatedAt, modified: g.ModifiedAt, version: groupVersion(g)}
}

func (r resource) location(base string) string { return base + r.t.endpoint + "/" + r.id }

// appendTime adds an xsd:dateTime to the millisecond (RFC 7643 §2.3.5). Package time
// has a quick way for whole seconds only.
func appendTime(out []byte, t store.Instant) []byte {
	ms := t.Nanosecond() / 1e6
	out = t.UTC().AppendFormat(out, time.RFC3339)
	return append(out[:len(out)-1], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
}

// open writes a resource up to where its meta ends, without the closing brace,
// so that members can follow.
func (r resource) open(base string, p *projection) ([]byte, error) {
	if p == nil {
		out := make([]byte, 0, len(r.doc)+len(r.extra)+512)
		out = append(out, `{"id":"`...)
		out = append(out, r.id...)
		out = append(out, `",`...)
		out = append(out, r.doc[1:len(r.doc)-1]...)
		if r.extra != nil {
			out = append(out, `,"`+r.extraName+`":`...)
			out = append(out, r.extra...)
		}
		out = append(out, `,"meta":{"resourceType":"`...)
		out = append(out, r.t.name...)
		out = append(out, `","created":"`...)
		out = appendTime(out, r.created)
		out = append(out, `","lastModified":"`...)
		out = appendTime(out, r.modified)
		out = append(out, `","location":`...)
		out = appendString(out, base)
		out = append(append(out[:len(out)-1], r.t.endpoint...), '/')
		out = append(append(out, r.id...), `","version":"`...)
		for i := range len(r.version) { // an ETag, which has quotes and nothing else to escape
			if r.version[i] == '"' {
				out = append(out, '\\')
			}
			out = append(out, r.version[i])
		}
		return append(out, `"}`...), nil
	}

	doc, err := decodeStored(r.doc)
	if err != nil {
		return nil, err
	}
	var stored struct {
		Schemas []any `json:"schemas"`
	}
	if err := json.Unmarshal(r.doc, &stored); err != nil {
		return nil, err
	}
	doc["id"], doc["schemas"] = r.id, stored.Schemas
	if r.extra != nil {
		var extra any
		if err := json.Unmarshal(r.extra, &extra); err != nil {
			return nil, err
		}
		doc[r.extraName] = withRefs(extra, base, p)
	}
	doc["meta"] = document{
		"resourceType": r.t.name,
		"created":      string(appendTime(nil, r.created)),
		"lastModified": string(appendTime(nil, r.modified)),
		"location":     r.location(base),
		"version":      r.version,
	}
	body := jsonOf(p.apply(doc))
	return body[:len(body)-1], nil
}

// withRefs adds to a user's groups where each of them is, if p asks for that.
func withRefs(groups any, base string, p *projection) any {
	list, _ := groups.([]any)
	a := userType.core.byName["groups"]
	if ref, _ := a.subAttribute("$ref"); !p.includesPart(a, ref) {
		return groups
	}
	for _, g := range list {
		g := g.(document)
		g["$ref"] = base + groupType.endpoint + "/" + text(g, "value")
	}
	return groups
}

// whole writes a resource that has no members.
func (r resource) whole(base string, p *projection) ([]byte, error) {
	body, err := r.open(base, p)
	if err != nil {
		return nil, err
	}
	return append(body, '}'), nil
}

// isText reports whether both databases can hold s.
func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// projectionOf reads the parameters attributes and excludedAttributes (RFC 7644
// §3.9) and others that a handler wants.
func (t *resourceType) projectionOf(r *http.Request) (*projection, url.Values, error) {
	query, err := queryOf(r)
	if err != nil {
		return nil, nil, err
	}
	p, err := t.projection(query.Get("attributes"), query.Get("excludedAttributes"))
	return p, query, err
}

// queryOf reads the query string; unlike r.URL.Query it says what it can't read.
// Parameters that we don't know are ignored: Entra's tenant URL carries flags.
func queryOf(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid(scimerr.ScimTypeInvalidValue, "The query string can't be read (%v): encode its special characters with %%.", err)
	}
	for name, values := range query {
		for _, v := range values {
			if !isText(v) {
				return nil, invalid(scimerr.ScimTypeInvalidValue, "The parameter %s holds a NUL or text that is not UTF-8.", shorten(strings.ToValidUTF8(name, "?")))
			}
		}
	}
	return query, nil
}
