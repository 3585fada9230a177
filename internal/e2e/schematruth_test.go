package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// A claim is what /Schemas says of an attribute or sub-attribute, and how to reach
// it.
type claim struct {
	answer              // the definition
	collection   string // /Users or /Groups
	extension    string // the URN of its schema, if that is an extension
	parent       *claim
	sub          []*claim
	name, typ    string
	multi, exact bool
	required     bool
	mutability   string
	returned     string
	uniqueness   string
	canonical    []string
	references   []string // kinds of resources that it points to
}

// path is the attribute's name in paths and filters (RFC 7644 section 3.10).
func (a *claim) path() string {
	switch {
	case a.parent != nil:
		return a.parent.path() + "." + a.name
	case a.extension != "":
		return a.extension + ":" + a.name
	}
	return a.name
}

// derived are all read-only attributes: their values follow from something else,
// and what that is has tests of its own.
var derived = []string{"id", "meta", "groups"}

// testSchemasAreTrue reads /Schemas and does what each attribute's definition says
// can be done, and what it says can't (RFC 7643 section 7). What a third party's
// client generates from the schemas therefore works: scim2-tester's checks, which
// add, replace, remove, ask for and leave out each attribute, are among this.
func testSchemasAreTrue(t *testing.T, c *client) {
	for _, kind := range c.want(200, "GET", "/ResourceTypes", nil).list(t) {
		one := answer{doc: kind}
		collection := one.text("endpoint")
		if collection == "/Roles" {
			continue // nobody can write them
		}
		place := &claimPlace{collection: collection, name: "userName", urn: coreURN}
		if collection == "/Groups" {
			place.name, place.urn = "displayName", groupURN
		}
		place.claims = readClaims(c.want(200, "GET", "/Schemas/"+one.text("schema"), nil), collection, "")
		extensions, _ := one.at("schemaExtensions").([]any)
		for _, extension := range extensions {
			urn := at(extension, "schema").(string)
			place.claims = append(place.claims, readClaims(c.want(200, "GET", "/Schemas/"+urn, nil), collection, urn)...)
		}
		c.step(one.text("name"), place.check)
	}
}

func readClaims(schema answer, collection, extension string) []*claim {
	var all []*claim
	definitions, _ := schema.at("attributes").([]any)
	for _, d := range definitions {
		all = append(all, readClaim(d.(object), collection, extension, nil))
	}
	return all
}

func readClaim(definition object, collection, extension string, parent *claim) *claim {
	d := answer{doc: definition}
	a := &claim{
		answer: d, collection: collection, extension: extension, parent: parent, name: d.text("name"), typ: d.text("type"),
		multi: d.at("multiValued") == true, exact: d.at("caseExact") == true, required: d.at("required") == true,
		mutability: d.text("mutability"), returned: d.text("returned"), uniqueness: d.text("uniqueness"),
		canonical: d.texts("canonicalValues"), references: d.texts("referenceTypes"),
	}
	subs, _ := d.at("subAttributes").([]any)
	for _, sub := range subs {
		a.sub = append(a.sub, readClaim(sub.(object), collection, extension, a))
	}
	return a
}

// A claimPlace is a resource type, its attributes, and a resource that has a value
// of each.
type claimPlace struct {
	collection, name, urn string
	claims                []*claim
	path                  string // of the resource
	member                string // id of somebody
	count                 int
}

func (p *claimPlace) check(t *testing.T, c *client) {
	p.member = c.user("somebody in "+p.collection, nil)
	full := object{}
	for _, a := range p.claims {
		if a.mutability != "readOnly" {
			a.set(full, p.value(a, "Full"))
		}
	}
	made := c.want(201, "POST", p.collection, full)
	p.path = p.collection + "/" + made.text("id")
	if p.collection == "/Users" {
		c.group("Somebody's group", made.text("id"))
	}
	c.step("nothing else is there", func(t *testing.T, c *client) { p.nothingElse(t, c.want(200, "GET", p.path, nil).doc) })
	for _, a := range p.claims {
		c.step(strings.TrimPrefix(a.path(), a.extension+":"), func(t *testing.T, c *client) {
			p.written(t, c, a, full)
			p.shown(t, c, a)
			p.searched(t, c, a)
			for _, sub := range a.sub {
				p.writtenPart(t, c, sub)
				p.shown(t, c, sub)
				p.searched(t, c, sub)
			}
		})
	}
}

// value is one of the attribute's type; seed tells values apart.
func (p *claimPlace) value(a *claim, seed string) any {
	var one any
	switch a.typ {
	case "boolean":
		one = true
	case "integer":
		one = json.Number(fmt.Sprint(len(seed)))
	case "decimal":
		one = json.Number(fmt.Sprintf("%d.5", len(seed)))
	case "dateTime":
		one = "2026-01-31T08:00:00Z"
	case "binary":
		one = "QUJD"
	case "reference":
		one = "https://example.com/" + seed
	case "complex":
		parts := object{}
		for _, sub := range a.sub {
			if sub.mutability != "readOnly" {
				parts[sub.name] = p.value(sub, seed)
			}
		}
		one = parts
	default:
		one = seed + " " + a.name
		if len(a.canonical) > 0 {
			one = a.canonical[0]
		}
		if a.parent != nil && a.parent.name == "members" {
			one = p.member
		}
	}
	if a.multi {
		return []any{one}
	}
	return one
}

// set puts a value of the attribute into a body.
func (a *claim) set(body object, value any) {
	if a.extension == "" {
		body[a.name] = value
		return
	}
	extension, ok := body[a.extension].(object)
	if !ok {
		extension = object{}
		body[a.extension] = extension
	}
	extension[a.name] = value
}

// in is the attribute's value in a resource; of a sub-attribute the first one.
func (a *claim) in(resource object) any {
	if a.parent != nil {
		value := a.parent.in(resource)
		if a.parent.multi {
			value = at(value, 0)
		}
		return at(value, a.name)
	}
	if a.extension != "" {
		return at(resource, a.extension, a.name)
	}
	return resource[a.name]
}

// minimal is a body with what is required.
func (p *claimPlace) minimal() object {
	p.count++
	return object{"schemas": []string{p.urn}, p.name: fmt.Sprintf("Minimal %d", p.count)}
}

// patched sends operations and reads the resource afterwards.
func (p *claimPlace) patched(c *client, path string, operations ...object) object {
	c.t.Helper()
	got := c.do("PATCH", path, patch(operations...))
	if got.status != 200 && got.status != 204 {
		c.t.Errorf("%s\nanswered %d %s", got.request, got.status, abbreviate(got.raw))
	}
	return c.want(200, "GET", path, nil).doc
}

// written checks what can be written to an attribute, and what can't.
func (p *claimPlace) written(t *testing.T, c *client, a *claim, full object) {
	values := p.value(a, "New")
	if a.mutability == "readOnly" {
		before := a.in(c.want(200, "GET", p.path, nil).doc)
		body := maps.Clone(full)
		a.set(body, values)
		same(t, "read-only, after PUT", a.in(c.want(200, "PUT", p.path, body).doc) == nil, before == nil)
		for _, operation := range []object{op("add", a.path(), values), op("replace", a.path(), values), remove(a.path())} {
			c.refuse(400, "mutability", "PATCH", p.path, patch(operation))
		}
		after := a.in(c.want(200, "GET", p.path, nil).doc)
		if !slices.Contains(derived, a.name) {
			t.Errorf("%s is read-only, and nothing here knows where its value comes from", a.path())
		}
		if a.name != "meta" {
			same(t, "read-only, after all", after, before)
		}
		return
	}

	// By POST, PUT and PATCH, and what is sent comes back.
	body := p.minimal()
	bare := c.want(201, "POST", p.collection, body)
	path := p.collection + "/" + bare.text("id")
	want := values
	if a.returned == "never" {
		want = nil
	}
	check := func(how string, resource object, want any) {
		t.Helper()
		same(t, a.path()+" "+how, comparable(a.in(resource)), comparable(want))
	}
	a.set(body, values)
	check("by PUT", c.want(200, "PUT", path, body).doc, want)
	if a.required {
		c.refuse(400, "mutability", "PATCH", path, patch(remove(a.path())))
		check("after the attempt to remove it", c.want(200, "GET", path, nil).doc, want)
		lacking := without(body, a.name)
		c.refuse(400, "invalidValue", "POST", p.collection, lacking)
		c.refuse(400, "invalidValue", "PUT", path, lacking)
	} else if a.name != "active" { // whoever has left stays out: see docs/scim.md
		check("removed", p.patched(c, path, remove(a.path())), nil)
		check("added by PATCH", p.patched(c, path, op("add", a.path(), values)), want)
		check("removed again", p.patched(c, path, remove(a.path())), nil)
	}
	qualified := a.path()
	if a.extension == "" {
		qualified = p.urn + ":" + a.path()
	}
	check("replaced by PATCH", p.patched(c, path, op("replace", qualified, values)), want)
	fresh := p.minimal()
	a.set(fresh, p.value(a, "Post"))
	made := c.want(201, "POST", p.collection, fresh)
	if a.returned != "never" {
		check("by POST", made.doc, p.value(a, "Post"))
	}

	// Unique, or not; texts in any case.
	second := p.minimal()
	if a.typ == "string" {
		a.set(second, swapCase(a.in(fresh)))
	} else {
		a.set(second, p.value(a, "Post"))
	}
	switch {
	case a.uniqueness == "none":
		c.want(201, "POST", p.collection, second)
	case a.exact:
		t.Errorf("%s: unique and case-exact, for which there is no check", a.path())
	default:
		c.refuse(409, "uniqueness", "POST", p.collection, second)
	}

	// One value or many, and of the right type.
	wrong := []any{object{"x": []any{}}, []any{[]any{}}}
	switch a.typ {
	case "boolean", "dateTime", "integer", "decimal":
		wrong = append(wrong, "something")
	case "complex":
		wrong = append(wrong, true)
	}
	if a.multi {
		several := append(slices.Clone(values.([]any)), p.value(a, "Other").([]any)...)
		if a.name == "members" {
			several[1].(object)["value"] = c.user("member of "+body[p.name].(string), nil)
		} else {
			several[1].(object)["primary"] = false
		}
		got, _ := a.in(p.patched(c, path, op("replace", a.path(), several))).([]any)
		same(t, a.path()+": values", len(got), 2)
		wrong = append(wrong, true)
	} else if a.typ != "complex" {
		wrong = append(wrong, []any{values, values})
	}
	for _, value := range wrong {
		if o, ok := value.(object); ok && a.typ == "complex" && o["x"] != nil {
			continue // an unknown sub-attribute, which is ignored
		}
		if a.returned == "never" {
			continue // nobody looks at it
		}
		c.refuse(400, "invalidValue", "PATCH", path, patch(op("replace", a.path(), value)))
	}
	if a.multi && a.name != "members" {
		// "Canonical" is a suggestion (RFC 7643 section 2.4).
		for _, sub := range a.sub {
			if len(sub.canonical) == 0 {
				continue
			}
			for _, kind := range append(slices.Clone(sub.canonical), "of my own") {
				got := p.patched(c, path, op("replace", a.path(), []any{object{"value": "v", "locality": "v", sub.name: kind}}))
				if at(a.in(got), 0, sub.name) != kind {
					t.Errorf("%s: got %v, want %s", sub.path(), a.in(got), kind)
				}
			}
		}
	}
}

// writtenPart checks what can be written to a sub-attribute.
func (p *claimPlace) writtenPart(t *testing.T, c *client, a *claim) {
	bare := c.want(201, "POST", p.collection, p.minimal())
	path := p.collection + "/" + bare.text("id")
	value := p.value(a, "Part")
	if a.mutability != "readWrite" {
		for _, operation := range []object{op("add", a.path(), value), op("replace", a.path(), value), remove(a.path())} {
			c.refuse(400, "mutability", "PATCH", path, patch(operation))
		}
		return
	}
	// The companion keeps an element there that "type" or "primary" alone would not
	// make.
	const fellow = "QUJD" // in base64, too
	body, companion := p.minimal(), "type"
	if a.name == "type" || a.name == "primary" {
		companion = "value"
		if a.parent.name == "addresses" {
			companion = "locality"
		}
	}
	element := object{a.name: value}
	if a.parent.multi {
		element[companion] = fellow
		a.parent.set(body, []any{element})
	} else {
		a.parent.set(body, element)
	}
	same(t, a.path()+" by PUT", comparable(a.in(c.want(200, "PUT", path, body).doc)), comparable(value))
	same(t, a.path()+" removed", a.in(p.patched(c, path, remove(a.path()))), nil)
	if a.parent.multi {
		// Add a companion first: there may be no element left to add to.
		p.patched(c, path, op("replace", a.parent.path(), []any{object{companion: fellow, "display": "D"}}))
	}
	same(t, a.path()+" added", comparable(a.in(p.patched(c, path, op("add", a.path(), value)))), comparable(value))
	if a.required {
		t.Errorf("%s is required, for which there is no check", a.path())
	}
	c.refuse(400, "invalidPath", "PATCH", path, patch(op("add", a.path()+"x", value)))
}

// shown checks when an attribute is returned (RFC 7643 section 7, "returned").
func (p *claimPlace) shown(t *testing.T, c *client, a *claim) {
	there := func(parameters string) bool {
		return a.in(c.want(200, "GET", p.path+parameters, nil).doc) != nil
	}
	name := strings.ReplaceAll(a.path(), "$", "%24")
	other := "externalId"
	if a.name == other {
		other = p.name
	}
	want := map[string]bool{"by default": true, "asked for": true, "left out": false, "others asked for": false}
	switch a.returned {
	case "always":
		want["left out"], want["others asked for"] = true, true
	case "never":
		want["by default"], want["asked for"] = false, false
	case "request":
		want["by default"] = false
	}
	got := map[string]bool{
		"by default": there(""), "asked for": there("?attributes=" + name), "left out": there("?excludedAttributes=" + name), "others asked for": there("?attributes=" + other),
	}
	same(t, a.path()+" is there", got, want)
	if a.parent == nil {
		listed := c.want(200, "GET", p.collection+"?count=1000&attributes="+name, nil)
		for _, resource := range listed.list(t) {
			if resource["id"] == strings.TrimPrefix(p.path, p.collection+"/") {
				same(t, a.path()+" is there in a list", a.in(resource) != nil, want["asked for"])
			}
		}
	}
	value := a.in(c.want(200, "GET", p.path+"?attributes="+name, nil).doc)
	p.typed(t, a, value)
	if a.name == "$ref" {
		if kind := c.dereference(fmt.Sprint(value)).text("meta", "resourceType"); !slices.Contains(a.references, kind) {
			t.Errorf("%s leads to a %s, want one of %q", a.path(), kind, a.references)
		}
	}
}

// typed checks the JSON of a value.
func (p *claimPlace) typed(t *testing.T, a *claim, value any) {
	if value == nil {
		return
	}
	if list, many := value.([]any); many || a.multi {
		same(t, a.path()+" is a list", many, a.multi)
		if value = at(list, 0); value == nil {
			return
		}
	}
	var ok bool
	switch a.typ {
	case "boolean":
		_, ok = value.(bool)
	case "integer", "decimal":
		_, ok = value.(json.Number)
	case "complex":
		_, ok = value.(object)
	default:
		_, ok = value.(string)
	}
	if !ok {
		t.Errorf("%s is %#v, want a %s", a.path(), value, a.typ)
	}
	if a.mutability == "readOnly" && len(a.canonical) > 0 && !slices.Contains(a.canonical, fmt.Sprint(value)) {
		t.Errorf("%s is %v, want one of %q", a.path(), value, a.canonical)
	}
}

// searched checks whether an attribute can be searched by, and in which case.
func (p *claimPlace) searched(t *testing.T, c *client, a *claim) {
	path := p.collection + "?attributes=id&filter="
	if a.path() == "password" { // kept nowhere
		c.refuse(400, "invalidFilter", "GET", path+query(a.path()+" pr"), nil)
		return
	}
	id := strings.TrimPrefix(p.path, p.collection+"/")
	found := func(filter string) bool {
		return slices.Contains(c.find(p.collection, `id eq "`+id+`" and `+filter), id)
	}
	shown := p.path
	if a.returned == "request" {
		shown += "?attributes=" + query(a.path())
	}
	value := a.in(c.want(200, "GET", shown, nil).doc)
	if value == nil {
		t.Errorf("%s has no value to look for", a.path())
		return
	}
	same(t, a.path()+" pr", found(a.path()+" pr"), true)
	if a.typ == "complex" {
		return
	}
	text := strings.TrimSpace(string(mustJSON(t, value)))
	same(t, a.path()+" eq "+text, found(a.path()+" eq "+text), true)
	if a.typ != "string" && a.typ != "reference" && a.typ != "binary" {
		return
	}
	other := string(mustJSON(t, swapCase(value)))
	if other != text && !isID(value) {
		same(t, a.path()+" eq "+other, found(a.path()+" eq "+other), !a.exact)
	} else if isID(value) {
		same(t, a.path()+" is case-exact", a.exact, true)
	}
}

// isID says that a value is one of our ids, in which digits may be all there is.
func isID(value any) bool { return badIDPattern.MatchString(fmt.Sprint(value)) }

// nothingElse checks that a resource has only what its schemas describe.
func (p *claimPlace) nothingElse(t *testing.T, resource object) {
	known := map[string]bool{"schemas": true}
	for _, a := range p.claims {
		known[a.path()] = true
		for _, sub := range a.sub {
			known[sub.path()] = true
		}
	}
	var look func(prefix string, o object)
	look = func(prefix string, o object) {
		for name, value := range o {
			if strings.HasPrefix(name, "urn:") {
				look(name+":", value.(object))
				continue
			}
			if !known[prefix+name] {
				t.Errorf("%s is in no schema", prefix+name)
			}
			list, many := value.([]any)
			if !many {
				list = []any{value}
			}
			for _, e := range list {
				if e, ok := e.(object); ok {
					look(prefix+name+".", e)
				}
			}
		}
	}
	look("", resource)
}

// comparable is a value without what depends on the server: the types of members.
func comparable(value any) any {
	switch v := value.(type) {
	case []any:
		list := []any{}
		for _, e := range v {
			list = append(list, comparable(e))
		}
		if len(list) == 0 {
			return nil
		}
		return list
	case object:
		if id, ok := v["value"]; ok && len(v) <= 2 && (v["type"] == "User" || len(v) == 1) {
			return id
		}
	}
	return value
}

func swapCase(value any) any {
	text, ok := value.(string)
	if !ok {
		return value
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsUpper(r) {
			return unicode.ToLower(r)
		}
		return unicode.ToUpper(r)
	}, text)
}
