package scim

import (
	"slices"
	"strings"

	"github.com/elimity-com/scim/schema"

	"gatehouse/store"
)

// document is a resource as Gatehouse keeps it: what the client set, with the
// schema's spelling of names, extensions nested under their URN, and numbers as
// json.Number. It holds no id, meta, schemas, groups or password, and a group's
// holds no members: those are rows, or are made when it is read.
type document = map[string]any

// The types of attributes as schemas name them (RFC 7643 §2.3).
const (
	typeString    = "string"
	typeBoolean   = "boolean"
	typeDecimal   = "decimal"
	typeInteger   = "integer"
	typeDateTime  = "dateTime"
	typeBinary    = "binary"
	typeReference = "reference"
	typeComplex   = "complex"
)

// Mutabilities and returned-characteristics that are acted on (RFC 7643 §7).
const (
	mutabilityReadOnly  = "readOnly"
	mutabilityReadWrite = "readWrite"
	mutabilityImmutable = "immutable"
	returnedAlways      = "always"
	returnedNever       = "never"
	returnedRequest     = "request"
)

// Longest texts, in bytes. The first is for attributes that the database keeps
// an index on.
const (
	maxIndexedText = 1024
	maxText        = 64 << 10
)

// attribute is what a schema says about an attribute or sub-attribute (RFC 7643
// §7).
type attribute struct {
	name, folded string
	urn          string // of its schema; "" for id, externalId, meta and schemas
	// label is how errors call it: emails.value, urn:…:User:department.
	label                            string
	typ                              string
	multi, caseExact, required       bool
	mutability, returned, uniqueness string
	description                      string
	canonical, references            []string
	sub                              []*attribute
	// path is where the searchable document has it.
	path []string
	// listed says that it, or for a sub-attribute its parent, is multi-valued.
	listed bool
	// filterable says that a filter of a list may name it.
	filterable bool
	// limit is the longest text it may hold, in bytes.
	limit int
	// hidden says that /Schemas does not list it: it is part of every resource, or
	// read-only and never there.
	hidden bool
}

// resourceSchema is one schema of a resource type: the core one or an extension.
type resourceSchema struct {
	urn, folded, name, description string
	attributes                     []*attribute
	byName                         map[string]*attribute // by folded name
}

// resourceType is what the endpoint /Users or /Groups serves (RFC 7643 §6).
type resourceType struct {
	name, endpoint, description string
	core                        *resourceSchema // with the common attributes of RFC 7643 §3.1
	extensions                  []*resourceSchema
}

// The resource types that are served.
var (
	userType = &resourceType{
		name: "User", endpoint: "/Users", description: "User account",
		core:       newSchema(schema.CoreUserSchema(), true),
		extensions: []*resourceSchema{newSchema(schema.ExtensionEnterpriseUser(), false)},
	}
	groupType = &resourceType{
		name: "Group", endpoint: "/Groups", description: "Group",
		core: newSchema(schema.CoreGroupSchema(), true),
	}
	// roleType says what can be asked for of a role, see roleSchema.
	roleType = &resourceType{name: "Role", endpoint: "/Roles", core: newSchema(schema.Schema{ID: urnRole, Attributes: []schema.CoreAttribute{
		schema.SimpleCoreAttribute(schema.SimpleStringParams(schema.StringParams{Name: "displayName", CaseExact: true})),
	}}, true)}
)

func newSchema(definition schema.Schema, core bool) *resourceSchema {
	s := &resourceSchema{
		urn: definition.ID, folded: foldName(definition.ID),
		name: definition.Name.Value(), description: definition.Description.Value(),
		byName: map[string]*attribute{},
	}
	if core {
		for _, a := range schema.CommonAttributes() {
			s.add(newAttribute(a, nil, "", "", nil))
		}
	}
	for _, a := range definition.Attributes {
		if core {
			s.add(newAttribute(a, nil, s.urn, "", nil))
			continue
		}
		s.add(newAttribute(a, nil, s.urn, s.urn+":", []string{s.folded}))
	}
	return s
}

func (s *resourceSchema) add(a *attribute) {
	s.attributes = append(s.attributes, a)
	s.byName[a.folded] = a
}

// newAttribute copies a definition of the library. Label and path are those of
// what surrounds it: nothing, an extension or the parent attribute.
func newAttribute(from schema.CoreAttribute, parent *attribute, urn, label string, path []string) *attribute {
	a := &attribute{
		name: from.Name(), folded: foldName(from.Name()), urn: urn, label: label + from.Name(),
		typ: from.AttributeType(), multi: from.MultiValued(), caseExact: from.CaseExact(), required: from.Required(),
		mutability: from.Mutability(), returned: from.Returned(), uniqueness: from.Uniqueness(),
		description: from.Description(), canonical: from.CanonicalValues(),
		limit: maxText,
	}
	a.path = append(slices.Clone(path), a.folded)
	a.listed = a.multi || parent != nil && parent.multi
	a.filterable = a.mutability != mutabilityReadOnly && a.mutability != mutabilityImmutable && a.returned != returnedNever
	for _, r := range from.ReferenceTypes() {
		a.references = append(a.references, string(r))
	}
	a.refine()
	for _, sub := range from.SubAttributes() {
		a.sub = append(a.sub, newAttribute(sub, a, urn, a.label+".", a.path))
	}
	return a
}

// refine states where Gatehouse differs from RFC 7643 §8.7, which leaves these
// choices to the server.
func (a *attribute) refine() {
	switch strings.Join(a.path, ".") {
	case "username", "externalid", "emails.value":
		a.limit = maxIndexedText
	case "displayname":
		a.limit = maxIndexedText
		if a.required {
			a.uniqueness = "server" // a group's; two people may have one name
		}
	case "members.value", "groups.value", enterpriseManager + ".value":
		a.caseExact = true // as the id is that they refer to
	case enterpriseManager + ".$ref", enterpriseManager + ".displayname":
		a.mutability, a.filterable, a.hidden = mutabilityReadOnly, false, true // value need not be anybody's id
	case "members.type":
		a.mutability = mutabilityReadOnly // the member's own
	case "members.$ref", "groups.$ref":
		a.mutability, a.returned = mutabilityReadOnly, returnedRequest
	case "members.display":
		a.mutability, a.hidden = mutabilityReadOnly, true
	case "password":
		a.description = "Taken and forgotten: Gatehouse keeps no passwords."
	}
	if a.mutability == mutabilityReadWrite {
		a.description = strings.TrimSuffix(a.description, " READ-ONLY.")
	}
	switch strings.Join(a.path, ".") {
	case "groups.$ref":
		a.references = []string{"Group"}
	case "meta.location":
		a.references = []string{"uri"}
	}
	switch strings.Join(a.path, ".") {
	case "id", "schemas", "meta", "meta.created", "meta.lastmodified", "meta.resourcetype", "meta.location", "meta.version",
		"groups", "groups.value", "groups.$ref", "groups.display", "groups.type",
		"members", "members.value", "members.$ref", "members.type":
		a.filterable = true
	}
	if a.name == "schemas" {
		a.mutability, a.returned, a.caseExact, a.hidden = mutabilityReadOnly, returnedAlways, true, true
	}
}

// enterpriseManager is the path of the enterprise extension's manager.
var enterpriseManager = foldName(schema.ExtensionEnterpriseUser().ID) + ".manager"

// foldName is how names of attributes and schemas compare (RFC 7643 §2.1). Only
// ASCII is folded: no look-alike letter ever names an attribute.
func foldName(s string) string {
	for i := 0; i < len(s); i++ {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return strings.Map(func(r rune) rune {
				if 'A' <= r && r <= 'Z' {
					r += 'a' - 'A'
				}
				return r
			}, s)
		}
	}
	return s
}

// subAttribute finds a sub-attribute in any case.
func (a *attribute) subAttribute(name string) (*attribute, bool) {
	folded := foldName(name)
	for _, sub := range a.sub {
		if sub.folded == folded {
			return sub, true
		}
	}
	return nil, false
}

// attrType is the attribute's type as filters know it.
func (a *attribute) attrType() store.AttrType {
	switch a.typ {
	case typeBoolean:
		return store.TypeBoolean
	case typeDecimal, typeInteger:
		return store.TypeNumber
	case typeDateTime:
		return store.TypeDateTime
	case typeComplex:
		return store.TypeComplex
	}
	return store.TypeString
}

// schema finds the core schema or an extension by its URN, in any case.
func (t *resourceType) schema(urn string) (*resourceSchema, bool) {
	folded := foldName(urn)
	if t.core.folded == folded {
		return t.core, true
	}
	for _, s := range t.extensions {
		if s.folded == folded {
			return s, true
		}
	}
	return nil, false
}

// attribute finds a top-level attribute in any case. With an empty urn it is one
// of the core schema or a common one, or manager: clients leave out the URN of
// the enterprise extension there, and nothing else has that name.
func (t *resourceType) attribute(urn, name string) (*attribute, bool) {
	folded := foldName(name)
	if urn != "" {
		s, ok := t.schema(urn)
		if !ok {
			return nil, false
		}
		a, ok := s.byName[folded]
		return a, ok
	}
	if a, ok := t.core.byName[folded]; ok {
		return a, true
	}
	if folded != "manager" {
		return nil, false
	}
	for _, s := range t.extensions {
		if a, ok := s.byName[folded]; ok {
			return a, true
		}
	}
	return nil, false
}

// home is the key of the document under which an attribute's schema nests: "" for
// the core schema, whose attributes are at the top.
func (t *resourceType) home(a *attribute) string {
	if a.urn == t.core.urn {
		return ""
	}
	return a.urn
}

// schemas are the representations for GET /Schemas (RFC 7643 §7), the core schema
// first. None holds a null: Entra does not read further when one does.
func (t *resourceType) schemas() []map[string]any {
	var list []map[string]any
	for _, s := range append([]*resourceSchema{t.core}, t.extensions...) {
		list = append(list, map[string]any{
			"schemas":     []string{"urn:ietf:params:scim:schemas:core:2.0:Schema"},
			"id":          s.urn,
			"name":        s.name,
			"description": s.description,
			"attributes":  representations(s.attributes),
		})
	}
	return list
}

func representations(attributes []*attribute) []map[string]any {
	list := []map[string]any{}
	for _, a := range attributes {
		if !a.hidden {
			list = append(list, a.representation())
		}
	}
	return list
}

func (a *attribute) representation() map[string]any {
	r := map[string]any{
		"name":        a.name,
		"type":        a.typ,
		"multiValued": a.multi,
		"description": a.description,
		"required":    a.required,
		"mutability":  a.mutability,
		"returned":    a.returned,
		"uniqueness":  a.uniqueness,
		"caseExact":   a.caseExact,
	}
	if len(a.canonical) > 0 {
		r["canonicalValues"] = a.canonical
	}
	if len(a.references) > 0 {
		r["referenceTypes"] = a.references
	}
	if len(a.sub) > 0 {
		r["subAttributes"] = representations(a.sub)
	}
	return r
}

// target is what a name in a path, a filter or a body stands for.
type target struct {
	// home is the key of the document it is under: "" for the top, else an
	// extension's URN, spelt as the schema or else as the client spells it.
	home string
	// name is the attribute's name as sent; "" means the whole of home.
	name string
	// attr is nil if name is "" or the schema does not have it.
	attr *attribute
	// subName is the sub-attribute's name as sent, sub what the schema says of it.
	subName string
	sub     *attribute
	// qualified says that a URN stood before the name.
	qualified bool
}

// resolve reads [URN ":"] name ["." sub] against the schema. The URN of an
// extension that nobody has described to us ends before the name of a resource
// type or, failing that, at the last colon.
func (t *resourceType) resolve(word string) target {
	for _, s := range append([]*resourceSchema{t.core}, t.extensions...) {
		if len(word) < len(s.urn) || foldName(word[:len(s.urn)]) != s.folded {
			continue
		}
		home := s.urn
		if s == t.core {
			home = ""
		}
		if len(word) == len(s.urn) {
			return target{home: home, qualified: true}
		}
		if rest := word[len(s.urn):]; rest[0] == ':' {
			return t.named(s.urn, home, rest[1:])
		}
	}
	if !isURN(word) {
		return t.named("", "", word)
	}
	urn, name := t.splitURN(word)
	if name == "" {
		return target{home: urn, qualified: true}
	}
	return t.named(urn, urn, name)
}

func isURN(word string) bool { return len(word) > 4 && foldName(word[:4]) == "urn:" }

// splitURN parts urn:…:2.0:User:site into URN and name.
func (t *resourceType) splitURN(word string) (urn, name string) {
	last := strings.LastIndexByte(word, ':')
	tail := word[last+1:]
	first, _, _ := strings.Cut(tail, ".")
	if foldName(tail) == foldName(t.name) || !isName(first) {
		return word, ""
	}
	return word[:last], tail
}

// named finds the attribute and the sub-attribute of a dotted name.
func (t *resourceType) named(urn, home, dotted string) target {
	name, sub, _ := strings.Cut(dotted, ".")
	g := target{home: home, name: name, subName: sub, qualified: urn != ""}
	a, ok := t.attribute(urn, name)
	if !ok {
		return g
	}
	g.attr = a
	if a.urn != "" {
		g.home = t.home(a)
	}
	g.sub, _ = a.subAttribute(sub)
	return g
}

// isName says whether s has the form of an attribute's name (RFC 7643 §2.1).
func isName(s string) bool {
	for i, r := range s {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r != '-' && r != '_' && (r < '0' || r > '9')) {
			return false
		}
	}
	return s != ""
}
