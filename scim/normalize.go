package scim

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	scimerr "github.com/elimity-com/scim/errors"
)

// maxValues is how many values an attribute may hold, members aside: comparing
// each new value with all the others must stay cheap.
const maxValues = 500

// maxStatements is how many attributes one request may set, members aside.
const maxStatements = 1000

func tooManyStatements() error {
	return invalid(scimerr.ScimTypeInvalidValue, "The request sets more than %d attributes: split it.", maxStatements)
}

// memberList is what the body of a POST or PUT says about a group's members. A
// body that does not mention them, or says null, changes nothing about them.
type memberList struct {
	present bool
	ids     []string // in order, each once, as sent
}

// normalize turns the body of a POST or PUT into a canonical document. It accepts
// what identity providers send instead of RFC 7643: names in any case, dotted or
// with their URN in front, booleans and numbers as text, one value for a list,
// nothing said in a dozen ways. What the client cannot set is left out without a
// word (RFC 7644 §3.5.1); attributes that the schema does not have are left out
// and named in ignored. A value of the wrong type is invalidValue.
func (t *resourceType) normalize(body map[string]any) (doc document, members memberList, ignored []string, err error) {
	n := normalizer{t: t, doc: document{}, seen: map[string]bool{}}
	entries := t.entries(body)
	if len(entries) > maxStatements {
		return nil, memberList{}, nil, tooManyStatements()
	}
	for _, e := range entries {
		if err := n.put(e); err != nil {
			return nil, memberList{}, nil, err
		}
	}
	for _, a := range t.core.attributes {
		if list, ok := n.doc[a.name].([]any); ok && isHollow(list[0]) {
			delete(n.doc, a.name) // emails.type alone; lists hold nothing hollow
		}
		if _, ok := n.doc[a.name]; !ok && a.required && a.mutability != mutabilityReadOnly {
			return nil, memberList{}, nil, invalid(scimerr.ScimTypeInvalidValue, "%s is required: map a value to it that is never empty.", a.label)
		}
	}
	return n.doc, n.members, n.ignored, nil
}

type normalizer struct {
	t       *resourceType
	doc     document
	members memberList
	ignored []string
	seen    map[string]bool
}

// put sets one entry of the body in the document.
func (n *normalizer) put(e entry) error {
	switch {
	case isEmpty(e.value):
		return nil
	case e.isCustom(n.t):
		return n.putCustom(e)
	case e.attr == nil && e.name == "" && e.qualified && !e.inside:
		return invalid(scimerr.ScimTypeInvalidValue, "%s has to be an object of attributes, not %s.", shorten(e.key), shorten(e.value))
	case e.attr == nil || e.subName != "" && e.sub == nil:
		n.ignored = append(n.ignored, e.key)
		return nil
	case !e.settable():
		return nil
	}
	if err := n.once(e); err != nil {
		return err
	}
	if e.attr.isRows() {
		return n.putMembers(e)
	}
	value, err := e.leaf().coerce(e.value, &n.ignored)
	if err != nil || value == nil {
		return err
	}
	object := child(n.doc, e.home)
	switch {
	case e.sub == nil:
		object[e.attr.name] = value
	case e.attr.multi:
		first, ok := object[e.attr.name].([]any)
		if !ok {
			first = []any{document{}}
			object[e.attr.name] = first
		}
		first[0].(document)[e.sub.name] = value
	default:
		child(object, e.attr.name)[e.sub.name] = value
	}
	return nil
}

// once refuses a second value for an attribute under another of its names, such
// as userName and urn:…:User:userName: either could be the one that is meant.
func (n *normalizer) once(e entry) error {
	whole, leaf := e.attr.label, e.leaf().label
	if n.seen[whole] || n.seen[leaf] || e.sub == nil && n.seen[whole+"."] {
		return invalid(scimerr.ScimTypeInvalidValue, "%s is there twice, under different names: send it once.", leaf)
	}
	n.seen[leaf] = true
	n.seen[whole+"."] = e.sub != nil // something of it
	return nil
}

func (n *normalizer) putMembers(e entry) error {
	if e.sub != nil {
		n.ignored = append(n.ignored, e.key)
		return nil
	}
	ids, err := memberIDs(e.value)
	n.members = memberList{present: true, ids: ids}
	return err
}

// putCustom keeps what belongs to an extension that no schema describes.
func (n *normalizer) putCustom(e entry) error {
	object, ok := e.object()
	if !ok {
		n.ignored = append(n.ignored, e.key)
		return nil
	}
	return mergeCustom(n.doc, e.home, object)
}

// object is what an entry of an unknown extension states about it.
func (e entry) object() (document, bool) {
	if e.name == "" {
		object, ok := e.value.(document)
		return object, ok
	}
	return document{e.name: e.value}, e.subName == ""
}

// mergeCustom sets members of the object under a key, or of the document itself
// under "", as they are; in a document nothing is null.
func mergeCustom(doc document, home string, object document) error {
	for name, v := range object {
		if err := checkText(name, v); err != nil {
			return err
		}
	}
	home = sameKey(doc, home)
	custom := child(doc, home)
	if len(custom)+len(object) > maxStatements {
		return tooManyStatements()
	}
	for name, v := range object {
		switch key := sameKey(custom, name); {
		case foldName(name) == "password": // taken and forgotten, whatever stands before it
		case isEmpty(v):
			delete(custom, key)
		default:
			custom[key] = clone(v)
		}
	}
	if len(custom) == 0 {
		delete(doc, home)
	}
	return nil
}

// entry is one statement of a body: this attribute has this value.
type entry struct {
	target
	key   string // as sent, for ignored
	value any
	// inside says that the key was inside the object of a schema, not before it.
	inside bool
}

// entries takes a body apart into its statements, those inside extensions one by
// one, in an order that does not change between runs.
func (t *resourceType) entries(body map[string]any) []entry {
	var list []entry
	for _, key := range sortedKeys(body) {
		value := body[key]
		e := entry{target: t.resolveKey(key, value), key: key, value: value}
		object, ok := value.(document)
		if e.name != "" || e.isCustom(t) || !ok {
			list = append(list, e)
			continue
		}
		for _, name := range sortedKeys(object) {
			inner := t.named(t.urnOf(e.home), e.home, name)
			list = append(list, entry{target: inner, key: key + ":" + name, value: object[name], inside: true})
		}
	}
	return list
}

// resolveKey is resolve for a key of a body, where an object under an unknown URN
// is the whole extension.
func (t *resourceType) resolveKey(key string, value any) target {
	g := t.resolve(key)
	_, object := value.(document)
	if object && g.home != "" && g.attr == nil && !strings.HasSuffix(foldName(g.home), ":"+foldName(t.name)) {
		if _, known := t.schema(g.home); !known {
			return target{home: key, qualified: true}
		}
	}
	return g
}

// urnOf is the URN of the schema whose attributes are under home.
func (t *resourceType) urnOf(home string) string {
	if home == "" {
		return t.core.urn
	}
	return home
}

// isCustom says that the target belongs to an extension nobody described to us.
func (g target) isCustom(t *resourceType) bool {
	if g.home == "" || g.attr != nil {
		return false
	}
	_, known := t.schema(g.home)
	return !known
}

// settable says whether a client can set the attribute. A password is taken, but
// not kept.
func (g target) settable() bool {
	for _, a := range []*attribute{g.attr, g.leaf()} {
		if a.mutability == mutabilityReadOnly || a.returned == returnedNever {
			return false
		}
	}
	return true
}

// isEmpty says that a value means "no value" (RFC 7643 §2.5): null, and the text
// that stands for it in Entra and Okta.
func isEmpty(value any) bool { return value == nil || value == "" }

// coerce gives a value the attribute's type. It is nil if nothing is left of it.
// Names of sub-attributes that the schema does not have are added to ignored.
func (a *attribute) coerce(value any, ignored *[]string) (any, error) {
	if !a.multi {
		return a.coerceOne(value, ignored)
	}
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	if len(list) > maxValues {
		return nil, a.tooMany()
	}
	var values []any
	for _, e := range list {
		v, err := a.coerceOne(e, ignored)
		if err != nil {
			return nil, err
		}
		if v != nil && !isHollow(v) {
			values = appendNew(values, v)
		}
	}
	if primaries(values) > 1 {
		return nil, a.twoPrimaries()
	}
	if len(values) == 0 {
		return nil, nil
	}
	return values, nil
}

func (a *attribute) tooMany() error {
	return invalid(scimerr.ScimTypeInvalidValue, "%s has more than %d values: send fewer.", a.label, maxValues)
}

func (a *attribute) twoPrimaries() error {
	return invalid(scimerr.ScimTypeInvalidValue, "%s has more than one value with primary true: mark one.", a.label)
}

// alone is the one value of a list where a single one with a value belongs, nil of
// an empty list: Entra sends manager so. Anything else is as it is.
func (a *attribute) alone(value any) any {
	list, ok := value.([]any)
	if _, hasValue := a.subAttribute("value"); !ok || a.multi || !hasValue || len(list) > 1 {
		return value
	}
	if len(list) == 0 {
		return nil
	}
	if _, nested := list[0].([]any); nested {
		return value
	}
	return list[0]
}

// coerceOne is coerce for a single value, or one of a list.
func (a *attribute) coerceOne(value any, ignored *[]string) (any, error) {
	if value = a.alone(value); isEmpty(value) {
		return nil, nil
	}
	if a.typ == typeComplex {
		return a.coerceComplex(value, ignored)
	}
	switch v := value.(type) {
	case string:
		return a.coerceText(v)
	case json.Number:
		return a.coerceNumber(v)
	case bool:
		if a.typ == typeBoolean {
			return v, nil
		}
	}
	return nil, a.mismatch(value)
}

func (a *attribute) coerceText(text string) (any, error) {
	switch a.typ {
	case typeBoolean:
		// Entra sends active as "False"; RFC 7643 wants a boolean. Accept both.
		switch foldName(text) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, a.mismatch(text)
	case typeInteger, typeDecimal:
		var n json.Number
		if err := json.Unmarshal([]byte(text), &n); err != nil || n == "" || text[0] == '"' {
			return nil, a.mismatch(text)
		}
		return n, nil
	case typeDateTime:
		if _, ok := parseTime(text); !ok {
			return nil, a.mismatch(text)
		}
	}
	if a.required && !a.listed && strings.TrimSpace(text) == "" {
		return nil, invalid(scimerr.ScimTypeInvalidValue, "%s is blank: send a name that people can see.", a.label)
	}
	if len(text) > a.limit {
		return nil, invalid(scimerr.ScimTypeInvalidValue, "%s is longer than %d bytes: shorten it.", a.label, a.limit)
	}
	if a.typ == typeBinary && !isBase64(text) {
		return nil, a.mismatch(text)
	}
	return text, nil
}

// isBase64 reports whether a text stands for bytes (RFC 7643 §2.3.6), in either
// alphabet of RFC 4648. Without padding, or in lines, it is as clear.
func isBase64(text string) bool {
	digits := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "=\r\n"))
	decoded, err := base64.RawStdEncoding.DecodeString(digits)
	return err == nil && len(decoded) > 0
}

func (a *attribute) coerceNumber(n json.Number) (any, error) {
	switch a.typ {
	case typeInteger, typeDecimal:
		return n, nil
	case typeString:
		return a.coerceText(n.String()) // an externalId that looks like a number
	}
	return nil, a.mismatch(n)
}

// coerceComplex accepts for an object with a value also the value alone.
func (a *attribute) coerceComplex(value any, ignored *[]string) (any, error) {
	main, hasValue := a.subAttribute("value")
	switch v := value.(type) {
	case document:
		return a.coerceObject(v, ignored)
	case string, json.Number:
		if hasValue {
			text, err := main.coerceOne(v, ignored)
			if err != nil || text == nil {
				return nil, err
			}
			return document{main.name: text}, nil
		}
	}
	return nil, a.mismatch(value)
}

func (a *attribute) coerceObject(object document, ignored *[]string) (any, error) {
	result := document{}
	for _, name := range sortedKeys(object) {
		sub, alias := a.subOrAlias(name)
		if sub == nil {
			*ignored = append(*ignored, a.label+"."+name)
			continue
		}
		if sub.mutability == mutabilityReadOnly {
			continue
		}
		v, err := sub.coerce(object[name], ignored)
		if err != nil {
			return nil, err
		}
		if _, set := result[sub.name]; v != nil && !(alias && set) {
			result[sub.name] = v
		}
	}
	if len(result) == 0 {
		return nil, nil
	}
	return result, nil
}

// aliases are names that clients use for sub-attributes: Entra's displayName of
// roles, OneLogin's managerId.
var aliases = map[string]string{"displayname": "display", "managerid": "value"}

// subOrAlias finds a sub-attribute by its name or by one that clients use for it.
func (a *attribute) subOrAlias(name string) (sub *attribute, alias bool) {
	if sub, ok := a.subAttribute(name); ok {
		return sub, false
	}
	folded := foldName(name)
	if folded == "managerid" && a.folded != "manager" {
		return nil, false
	}
	sub, _ = a.subAttribute(aliases[folded])
	return sub, sub != nil
}

// mismatch is the error for a value of the wrong type.
func (a *attribute) mismatch(value any) error {
	wanted := map[string]string{
		typeBoolean: "true or false", typeInteger: "a number", typeDecimal: "a number",
		typeDateTime: "a date and time such as 2026-01-31T08:00:00Z", typeComplex: "an object",
		typeBinary: "in base64, without anything around it",
	}[a.typ]
	if wanted == "" {
		wanted = "text"
	}
	data, err := json.Marshal(value)
	if err != nil {
		data = []byte("something else")
	}
	return invalid(scimerr.ScimTypeInvalidValue, "%s has to be %s, not %s.", a.label, wanted, shorten(string(data)))
}

// memberIDs reads the values of a group's members: a list or one, objects with a
// value or the value alone; or ids, as decode reads long lists.
func memberIDs(value any) ([]string, error) {
	if ids, ok := value.([]string); ok {
		seen := make(map[string]bool, len(ids))
		return slices.DeleteFunc(slices.Clone(ids), func(id string) bool {
			again := seen[id]
			seen[id] = true
			return again
		}), nil
	}
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	ids := make([]string, 0, len(list))
	seen := make(map[string]bool, len(list))
	for i, e := range list {
		id, err := memberID(e)
		if err != nil {
			return nil, err
		}
		if id == "" {
			return nil, invalid(scimerr.ScimTypeInvalidValue, "members[%d] has no value: send the id of the member.", i)
		}
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func memberID(value any) (string, error) {
	a := groupType.core.byName["members"]
	main, _ := a.subAttribute("value")
	if object, ok := value.(document); ok {
		value = nil
		for name, v := range object {
			if foldName(name) == "value" {
				value = v
			}
		}
	} else if !isEmpty(value) {
		switch value.(type) {
		case string, json.Number:
		default:
			return "", a.mismatch(value)
		}
	}
	id, err := main.coerceOne(value, nil)
	text, _ := id.(string)
	return text, err
}

// isHollow says that an element says nothing but which one it would be.
func isHollow(element any) bool {
	object, ok := element.(document)
	for name := range object {
		if name != "type" && name != "primary" {
			return false
		}
	}
	return ok
}

// primaries counts the elements that are marked as the primary one.
func primaries(list []any) (n int) {
	for _, e := range list {
		if isPrimary(e) {
			n++
		}
	}
	return n
}

func isPrimary(element any) bool {
	object, _ := element.(document)
	return object["primary"] == true
}

// appendNew appends values that are not in the list yet.
func appendNew(list []any, values ...any) []any {
	for _, v := range values {
		if !slices.ContainsFunc(list, func(e any) bool { return equal(e, v) }) {
			list = append(list, v)
		}
	}
	return list
}

// equal compares two canonical values.
func equal(a, b any) bool {
	switch a := a.(type) {
	case document:
		b, ok := b.(document)
		if !ok || len(a) != len(b) {
			return false
		}
		for name, v := range a {
			if other, ok := b[name]; !ok || !equal(v, other) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, equal)
	}
	switch b.(type) {
	case document, []any:
		return false
	}
	return a == b
}

// checkText holds texts that no schema describes to the limit for all texts.
func checkText(label string, value any) error {
	switch v := value.(type) {
	case string:
		if len(v) > maxText {
			return invalid(scimerr.ScimTypeInvalidValue, "%s is longer than %d bytes: shorten it.", shorten(label), maxText)
		}
	case json.Number:
		return checkText(label, string(v))
	case []any:
		for _, e := range v {
			if err := checkText(label, e); err != nil {
				return err
			}
		}
	case document:
		for name, e := range v {
			if err := checkText(label+"."+name, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// child is the object under a key, made if it is not there; under "" it is the
// object itself.
func child(object document, key string) document {
	if key == "" {
		return object
	}
	c, ok := object[key].(document)
	if !ok {
		c = document{}
		object[key] = c
	}
	return c
}

// sameKey is the key of the object that is name in another case, else name.
func sameKey(object document, name string) string {
	if name == "" {
		return ""
	}
	if _, ok := object[name]; ok {
		return name
	}
	folded := foldName(name)
	for key := range object {
		if foldName(key) == folded {
			return key
		}
	}
	return name
}

func clone(value any) any {
	switch v := value.(type) {
	case document:
		c := make(document, len(v))
		for name, e := range v {
			c[name] = clone(e)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, e := range v {
			c[i] = clone(e)
		}
		return c
	}
	return value
}

func sortedKeys(object document) []string {
	keys := make([]string, 0, len(object))
	for key := range object {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
