// Package patchmodel says what a PATCH has to do: a slow, plain reading of RFC
// 7644 §3.5.2, with what docs/scim.md says of the dialects of real clients, and a
// generator of requests. Tests compare the server with it; the product never
// imports it, and it imports nothing of the product.
//
//	s := patchmodel.NewGenerator(seed).Sequence()
//	after, refused := patchmodel.Apply(s.Before, s.Operations)
//
// The model is handed paths and filters as trees, and the server as text, so that
// the model has no parser that could share a mistake with the server's.
package patchmodel

import (
	"cmp"
	"slices"
	"strings"
)

// object is a JSON object. Numbers are json.Number.
type object = map[string]any

// Kind is a type of resource: User or Group.
type Kind string

// The kinds that there are.
const (
	User  Kind = "User"
	Group Kind = "Group"
)

// Resource is a resource apart from what its server makes (id, meta, schemas).
type Resource struct {
	Kind Kind
	// Doc has core attributes at the top and others below their schema's URN, named
	// as the schemas do, and nothing that is unassigned (RFC 7643 §2.5).
	Doc map[string]any
	// Members are the ids of a group's members.
	Members map[string]bool
}

// Operation is one operation of a PATCH request, as it is sent.
type Operation struct {
	Op    string
	Path  *Path // nil for none
	Value any
	Given bool // a value is sent, perhaps null
}

// Path is the target of an operation: [URN ":"] Name ["[" Where "]"] ["." Sub].
type Path struct {
	URN, Name string
	Where     *Filter
	Sub       string
	// Bad is a path that is none, sent instead; Refused is the error for it.
	Bad     any
	Refused string
}

// Filter is a tree: and, or, not, or a comparison with one of the operators of RFC
// 7644 table 3.
type Filter struct {
	Op          string
	Left, Right *Filter // of and, or; not has Left alone
	Attr        string
	Value       any  // of a comparison: nil, bool or string
	Quoted      bool // text is sent in double quotes, and so are booleans
}

// refusal is the scimType that a request is refused with (RFC 7644 §3.12).
type refusal string

func refuse(kind string) { panic(refusal(kind)) }

// Apply gives the resource as it is after the operations, one after the other, or
// the scimType of the error that leaves it as it was (RFC 7644 §3.5.2: "a PATCH
// request ... SHALL be treated as atomic"). What it is given is not modified.
func Apply(before Resource, operations []Operation) (after Resource, refused string) {
	defer func() {
		if r := recover(); r != nil {
			after, refused = before, string(r.(refusal))
		}
	}()
	after = Resource{Kind: before.Kind, Doc: clone(before.Doc).(object), Members: map[string]bool{}}
	for id := range before.Members {
		after.Members[id] = true
	}
	for _, o := range operations {
		o.checkShape()
	}
	for _, o := range operations {
		after.apply(strings.ToLower(o.Op), o)
	}
	return after, ""
}

// checkShape: "op" is one of three, in any case as Entra sends it; a path is text.
func (o Operation) checkShape() {
	if !slices.Contains([]string{"add", "remove", "replace"}, strings.ToLower(o.Op)) {
		refuse("invalidSyntax")
	}
	if o.Path != nil && o.Path.Bad != nil {
		if _, ok := o.Path.Bad.(string); !ok {
			refuse(o.Path.Refused)
		}
	}
}

func (r Resource) apply(op string, o Operation) {
	if o.Path == nil {
		if op == "remove" {
			refuse("noTarget") // §3.5.2.2
		}
		body, ok := o.Value.(object)
		if !ok {
			refuse("invalidValue") // §3.5.2.1: "a set of attributes"
		}
		r.applyBody(op, body)
		return
	}
	t := r.resolve(o.Path)
	if op != "remove" && !o.Given {
		refuse("invalidValue")
	}
	switch {
	case t.attr != nil:
		r.change(op, t, o.Value, o.Given)
	case t.name == "":
		r.changeSchema(op, t.home, o.Value)
	case t.qualified:
		if t.sub != "" || t.where != nil {
			refuse("invalidPath") // nobody has described what is inside
		}
		r.setCustom(op, t.home, t.name, o.Value)
	}
	// An attribute that the schema doesn't have is ignored.
}

// target is what a path or the key of a body means here.
type target struct {
	home, name, sub string
	where           *Filter
	qualified       bool
	attr            *attribute // nil if the schema has none of that name
	subAttr         *attribute
}

// name reads [URN ":"] name ["." sub].
func (r Resource) name(urn, name, sub string) target {
	t := target{home: urn, name: name, sub: sub, qualified: urn != ""}
	if s := schemas[r.Kind].of(urn); s != nil {
		t.home = s.home
		t.attr = s.find(name)
	}
	if urn == "" && t.attr == nil && strings.EqualFold(name, "manager") && r.Kind == User {
		t.home = EnterpriseURN // clients leave its URN out; nothing else has that name
		t.attr = schemas[User].of(EnterpriseURN).find(name)
	}
	if t.attr != nil && sub != "" {
		t.subAttr = t.attr.find(sub)
	}
	return t
}

func (r Resource) resolve(p *Path) target {
	if p.Bad != nil {
		refuse(p.Refused)
	}
	t := r.name(p.URN, p.Name, p.Sub)
	t.where = p.Where
	if t.attr == nil {
		return t
	}
	if t.where != nil {
		if len(t.attr.subs) == 0 {
			refuse("invalidPath") // §3.5.2, figure 7: valuePath is of a complex attribute
		}
		t.where.check(t.attr)
	}
	if t.sub != "" && t.subAttr == nil {
		refuse("invalidPath")
	}
	return t
}

// applyBody applies an operation without a path: "the 'value' parameter contains
// a set of attributes to be added to the resource" (§3.5.2.1), each as with a path.
// What clients read and send back is ignored. An object has no order; this is the
// one of its keys.
func (r Resource) applyBody(op string, body object) {
	for _, key := range sorted(body) {
		urn, rest := schemas[r.Kind].split(key)
		name, sub, _ := strings.Cut(rest, ".")
		t := r.name(urn, name, sub)
		switch {
		case t.attr == nil && t.name == "":
			r.changeSchema(op, t.home, body[key])
		case t.attr != nil:
			r.changeInBody(op, t, body[key])
		case t.qualified && sub == "":
			r.setCustom(op, t.home, t.name, body[key])
		case t.qualified && schemas[r.Kind].of(urn) == nil:
			refuse("invalidPath")
		}
	}
}

func (r Resource) changeInBody(op string, t target, value any) {
	switch {
	case t.attr.readOnly, t.attr.ignored, t.sub != "" && t.subAttr == nil, t.subAttr != nil && t.subAttr.readOnly:
		return
	case t.attr.name == "members" && unassigned(value):
		return // nothing is said of members
	}
	r.change(op, t, value, true)
}

// changeSchema applies an operation to all that a schema's URN stands for: the
// extension's attributes are those of its object.
func (r Resource) changeSchema(op, home string, value any) {
	if op == "remove" || unassigned(value) {
		if home == "" {
			refuse("noTarget") // that would be the whole resource
		}
		delete(r.Doc, r.key(home))
		return
	}
	body, ok := value.(object)
	if !ok {
		refuse("invalidValue")
	}
	for _, key := range sorted(body) {
		if schemas[r.Kind].of(home) == nil {
			r.setCustom(op, home, key, body[key])
			continue
		}
		name, sub, _ := strings.Cut(key, ".")
		if t := r.name(cmp.Or(home, schemas[r.Kind].core), name, sub); t.attr != nil {
			r.changeInBody(op, t, body[key])
		}
	}
}

// setCustom sets an attribute that no schema describes: as it is, and as a whole.
func (r Resource) setCustom(op, home, name string, value any) {
	holder := r.Doc
	if home != "" {
		home = r.key(home)
		holder, _ = r.Doc[home].(object)
		if holder == nil {
			holder = object{}
		}
	}
	for key := range holder {
		if strings.EqualFold(key, name) {
			name = key
		}
	}
	if op == "remove" || unassigned(value) {
		delete(holder, name)
	} else {
		holder[name] = clone(value)
	}
	r.keep(home, holder)
}

// key is the document's own spelling of a URN.
func (r Resource) key(urn string) string {
	for key := range r.Doc {
		if strings.EqualFold(key, urn) {
			return key
		}
	}
	return urn
}

// keep puts a schema's object in the document, unless it is empty.
func (r Resource) keep(home string, holder object) {
	switch {
	case home == "":
	case len(holder) == 0:
		delete(r.Doc, home)
	default:
		r.Doc[home] = holder
	}
}

// change applies an operation to an attribute of a schema, or part of it.
func (r Resource) change(op string, t target, value any, given bool) {
	switch {
	case t.attr.name == "members":
		r.changeMembers(op, t, value, given)
		return
	case t.attr.ignored:
		return
	case t.attr.readOnly || t.subAttr != nil && t.subAttr.readOnly:
		refuse("mutability") // §3.5.2: "SHALL NOT ... 'readOnly'"
	}
	holder := r.Doc
	if t.home != "" {
		holder, _ = r.Doc[t.home].(object)
		if holder == nil {
			holder = object{}
		}
	}
	var after any
	switch {
	case t.attr.kind != complexKind && (op == "remove" || unassigned(value)):
		// RFC 7643 §2.5: null is the same as unassigned; Entra says "" for it.
	case t.attr.kind != complexKind:
		after = t.attr.single(value)
	case t.attr.many:
		list, _ := holder[t.attr.name].([]any)
		after = changeMany(op, t, list, value)
	default:
		one, _ := holder[t.attr.name].(object)
		after = changeOne(op, t, one, value)
	}
	if isNothing(after) {
		if t.attr.required {
			refuse("mutability") // §3.5.2.2: "removed or becomes unassigned"
		}
		delete(holder, t.attr.name)
	} else {
		holder[t.attr.name] = after
	}
	r.keep(t.home, holder)
}

func isNothing(v any) bool {
	switch v := v.(type) {
	case object:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return v == nil
}

// changeOne is what becomes of a single complex attribute; one is nil when it is
// unassigned.
func changeOne(op string, t target, one object, value any) any {
	if list, ok := value.([]any); ok && t.subAttr == nil {
		value = t.attr.alone(list)
	}
	found := one != nil && (t.where == nil || t.where.holds(t.attr, one))
	if op == "remove" || unassigned(value) {
		switch {
		case !found:
			return one
		case t.subAttr == nil:
			return nil
		}
		delete(one, t.subAttr.name)
		return one
	}
	if !found {
		if one != nil {
			refuse("noTarget") // there is room for one only
		}
		one = t.made()
	}
	return t.set(op, one, value)
}

// changeMany is what becomes of the values of a multi-valued complex attribute.
func changeMany(op string, t target, list []any, value any) []any {
	whole := t.where == nil && t.sub == ""
	switch {
	case whole && op == "add" && unassigned(value):
		return list
	case whole && op == "add":
		return addValues(list, t.attr.values(value))
	case op == "remove" && whole && value != nil:
		return removeValues(t.attr, list, t.attr.values(value)) // Entra: those, where the RFC knows no value
	case op == "remove" || unassigned(value):
		return removePicked(t, list)
	case whole:
		return t.attr.values(value) // §3.5.2.3: "the attribute and all values are replaced"
	}
	touched := make([]bool, len(list))
	for i, e := range list {
		touched[i] = t.where == nil || t.where.holds(t.attr, e.(object))
	}
	if !slices.Contains(touched, true) {
		list, touched = append(list, t.made()), append(touched, true)
	}
	for i := range list {
		if touched[i] {
			list[i] = t.set(op, list[i].(object), value)
		}
	}
	return tidy(list, touched, t.sub == "")
}

// tidy: "primary" is true of one value at most, the one that was touched last
// (§3.5.2: "SHALL set the value of the existing attribute's 'primary' to false").
// What was set as a whole and says nothing is gone.
func tidy(list []any, touched []bool, whole bool) []any {
	marked := 0
	for i, e := range list {
		if touched[i] && e.(object)["primary"] == true {
			marked++
		}
	}
	if marked > 1 {
		refuse("invalidValue")
	}
	var left []any
	for i, e := range list {
		if marked == 1 && !touched[i] && e.(object)["primary"] == true {
			e.(object)["primary"] = false
		}
		if !(whole && touched[i] && saysNothing(e.(object))) {
			left = append(left, e)
		}
	}
	return left
}

// addValues: §3.5.2.1, "if the target location already contains the value
// specified, no changes SHOULD be made".
func addValues(list, values []any) []any {
	for _, v := range values {
		if !contains(list, v) {
			list = append(list, v)
		}
	}
	touched := make([]bool, len(list))
	for i := range list {
		touched[i] = contains(values, list[i])
	}
	return tidy(list, touched, false)
}

func removeValues(a *attribute, list, values []any) []any {
	var left []any
	for _, e := range list {
		if !slices.ContainsFunc(values, func(v any) bool { return a.covers(e.(object), v.(object)) }) {
			left = append(left, e)
		}
	}
	return left
}

// removePicked removes the values that the path picks, or a part of each. A value
// that says nothing any more is gone, too.
func removePicked(t target, list []any) []any {
	var left []any
	for _, e := range list {
		if t.where == nil || t.where.holds(t.attr, e.(object)) {
			if t.sub == "" {
				continue
			}
			delete(e.(object), t.subAttr.name)
			if saysNothing(e.(object)) {
				continue
			}
		}
		left = append(left, e)
	}
	return left
}

// made is the value that a path asks for and that isn't there (§3.5.2.3 wants
// noTarget; Entra expects it to be made when the filter says what it would be).
func (t target) made() object {
	if t.where == nil {
		return object{}
	}
	parts, ok := t.where.equalities()
	if !ok {
		refuse("noTarget")
	}
	value, _ := t.attr.single(parts).(object)
	if value == nil || !t.where.holds(t.attr, value) {
		refuse("noTarget")
	}
	return value
}

// set sets a part of a value, or several: those that an object names, the others
// being left unchanged (§3.5.2.3). Replacing a value that a filter has picked
// leaves nothing of it but what it was picked by.
func (t target) set(op string, value object, given any) object {
	if t.subAttr != nil {
		value[t.subAttr.name] = t.subAttr.single(given)
		return value
	}
	typed, _ := t.attr.single(given).(object)
	named, _ := given.(object)
	if t.where != nil && op == "replace" {
		value = t.pickedBy(value)
	}
	for key := range named {
		if sub := t.attr.findOrAlias(key); sub != nil && !sub.readOnly {
			delete(value, sub.name)
		}
	}
	for key, v := range typed {
		value[key] = v
	}
	return value
}

func (t target) pickedBy(value object) object {
	kept := object{}
	if parts, ok := t.where.equalities(); ok {
		for key := range parts {
			if v, there := value[t.attr.find(key).name]; there {
				kept[t.attr.find(key).name] = v
			}
		}
	}
	return kept
}

// changeMembers: members are values that are ids.
func (r Resource) changeMembers(op string, t target, value any, given bool) {
	switch {
	case t.sub != "":
		refuse("mutability") // RFC 7643 §4.2: they are immutable
	case t.where != nil:
		ids, ok := t.where.ids()
		if !ok {
			refuse("invalidFilter")
		}
		if op != "remove" {
			refuse("invalidPath")
		}
		for _, id := range ids {
			delete(r.Members, id)
		}
		return
	case given && unassigned(value):
		return // a slip; a group is emptied by an empty list or by no value at all
	case op == "remove" && !given:
		clear(r.Members)
		return
	}
	ids := t.attr.memberIDs(value)
	if op == "replace" {
		clear(r.Members)
	}
	for _, id := range ids {
		if op == "remove" {
			delete(r.Members, id)
		} else {
			r.Members[id] = true
		}
	}
}
