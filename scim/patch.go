package scim

import (
	"fmt"
	"maps"
	"slices"

	scimerr "github.com/elimity-com/scim/errors"

	"gatehouse/store"
)

// operation is one operation of a PATCH request (RFC 7644 §3.5.2).
type operation struct {
	op    string // add, remove or replace
	path  string // "" if there is none
	value any    // nil if there is none, or null
	given bool   // there is a value, perhaps null
}

// memberDelta is the net effect of all operations on members, in order. With
// replace the group holds exactly add afterwards; otherwise add and remove have
// no id in common, and the last operation on an id has won.
type memberDelta struct {
	replace     bool
	add, remove []string
}

// parsePatch reads the envelope of a PATCH request. Names and operations may be in
// any case and other members are ignored; Entra's validator sends an empty list,
// which changes nothing.
func parsePatch(body any) ([]operation, error) {
	envelope, ok := body.(document)
	if !ok {
		return nil, invalid(scimerr.ScimTypeInvalidSyntax, "The body has to be an object with Operations.")
	}
	list, ok := envelope[sameKey(envelope, "Operations")].([]any)
	if !ok {
		return nil, invalid(scimerr.ScimTypeInvalidSyntax, "The body has to hold Operations, a list.")
	}
	ops := make([]operation, 0, len(list))
	for i, e := range list {
		op, err := parseOperation(e)
		if err != nil {
			return nil, inOperation(i, err)
		}
		ops = append(ops, op)
	}
	return ops, nil
}

func parseOperation(value any) (operation, error) {
	object, ok := value.(document)
	if !ok {
		return operation{}, invalid(scimerr.ScimTypeInvalidSyntax, "An operation has to be an object with op, path and value.")
	}
	var o operation
	op, _ := object[sameKey(object, "op")].(string)
	switch o.op = foldName(op); o.op {
	case "add", "remove", "replace":
	default:
		return operation{}, invalid(scimerr.ScimTypeInvalidSyntax, "op has to be add, remove or replace, not %q.", shorten(op))
	}
	if path := object[sameKey(object, "path")]; path != nil {
		if o.path, ok = path.(string); !ok {
			return operation{}, invalid(scimerr.ScimTypeInvalidPath, "path has to be text, not %s.", shorten(path))
		}
	}
	o.value, o.given = object[sameKey(object, "value")]
	return o, nil
}

// inOperation says in which operation an error was found.
func inOperation(i int, err error) error {
	e, ok := err.(scimerr.ScimError)
	if !ok {
		return fmt.Errorf("operation %d: %w", i+1, err)
	}
	e.Detail = fmt.Sprintf("Operation %d: %s", i+1, e.Detail)
	return e
}

// patch applies operations one after the other, all or none. The document given
// is not modified, nor are the operations. What Entra and Okta mean differs from
// RFC 7644 in a few places:
//
//   - add or replace with a value path that picks nothing makes the element, if
//     the value path is made of equalities (RFC: noTarget);
//   - remove with a value removes those values only (RFC: all of them);
//   - a value of null or "" removes;
//   - attributes that the schema does not have are ignored and named, but kept
//     when a URN stands before them.
func (t *resourceType) patch(doc document, ops []operation) (after document, members memberDelta, ignored []string, err error) {
	p := patcher{t: t, doc: clone(doc).(document)}
	for i, op := range ops {
		if err := p.apply(op); err != nil {
			return nil, memberDelta{}, nil, inOperation(i, err)
		}
	}
	return p.doc, p.members.delta(), p.ignored, nil
}

type patcher struct {
	t          *resourceType
	doc        document
	members    memberChange
	ignored    []string
	statements int
}

func (p *patcher) apply(o operation) error {
	if o.path == "" {
		return p.applyBody(o)
	}
	g, err := p.target(o)
	if err != nil {
		return err
	}
	if o.op != "remove" && !o.given {
		return invalid(scimerr.ScimTypeInvalidValue, "%s of %s needs a value.", o.op, g.text)
	}
	if o.given && isEmpty(o.value) && g.attr != nil && g.attr.isRows() && g.settable() && g.where == nil && g.subName == "" {
		return nil // a group is emptied by an empty list or by no value at all, not by a slip
	}
	return p.change(o.op, g, o.value)
}

// target is what the operation's path stands for. An extension that the document
// has is found by its URN before the URN is taken apart.
func (p *patcher) target(o operation) (patchPath, error) {
	if key := sameKey(p.doc, o.path); isURN(key) {
		if _, ok := p.doc[key]; ok {
			return patchPath{target: p.t.whole(key), text: shorten(o.path)}, nil
		}
	}
	return p.t.parsePath(o.path)
}

// whole is the target that an extension's URN stands for.
func (t *resourceType) whole(urn string) target { return target{home: urn, qualified: true} }

// applyBody applies an operation without a path, whose value is like a body. What
// clients read and send back, such as id and meta, is ignored.
func (p *patcher) applyBody(o operation) error {
	if o.op == "remove" {
		return invalid(scimerr.ScimTypeNoTarget, "remove needs a path that says what to remove.")
	}
	body, ok := o.value.(document)
	if !ok {
		return invalid(scimerr.ScimTypeInvalidValue, "%s without a path needs an object of attributes as value.", o.op)
	}
	for _, e := range p.t.entries(body) {
		switch {
		case e.isUnknown(p.t):
			p.ignored = append(p.ignored, e.key)
			continue
		case e.attr != nil && !e.settable():
			continue
		case e.attr != nil && e.attr.isRows() && isEmpty(e.value):
			continue // a client that says nothing about members means none of them
		}
		if err := p.change(o.op, patchPath{target: e.target, text: shorten(e.key)}, e.value); err != nil {
			return err
		}
	}
	return nil
}

// isUnknown says that the entry means nothing here: the schema does not have it,
// and no URN of its own tells it apart from a mistake.
func (e entry) isUnknown(t *resourceType) bool {
	if e.attr != nil {
		return e.subName != "" && e.sub == nil
	}
	kept := e.qualified && !e.inside && e.subName == "" && (e.name == "" || isName(e.name))
	return !kept && !e.isCustom(t)
}

// change applies one operation to one target.
func (p *patcher) change(op string, g patchPath, value any) error {
	if g.attr != nil && g.attr.isRows() && p.t == groupType {
		return p.changeMembers(op, g, value)
	}
	list, _ := value.([]any)
	if p.statements += max(1, len(list)); p.statements > maxStatements {
		return tooManyStatements()
	}
	switch {
	case g.attr == nil:
		return p.changeUnknown(op, g, value)
	case g.attr.returned == returnedNever:
		return nil // a password is taken, but not kept
	case !g.settable():
		return invalid(scimerr.ScimTypeMutability, "%s is read-only: leave it out of the mapping.", g.leaf().label)
	case g.attr.typ != typeComplex:
		return p.changeSimple(op, g, value)
	}
	if g.sub == nil {
		value = g.attr.alone(value)
	}
	if op != "remove" && isEmpty(value) {
		if op == "add" && g.attr.multi && g.where == nil && g.sub == nil {
			return nil // nothing is added
		}
		op, value = "remove", nil
	}
	return p.changeElements(op, g, value)
}

// changeUnknown keeps attributes that only a URN tells apart from a mistake: those
// of unknown extensions, and those that an administrator has added to a known
// schema.
func (p *patcher) changeUnknown(op string, g patchPath, value any) error {
	if !g.qualified {
		p.ignored = append(p.ignored, g.text)
		return nil
	}
	if g.subName != "" {
		return invalid(scimerr.ScimTypeInvalidPath, "The path %s goes into an attribute that no schema describes: set it as a whole.", g.text)
	}
	if g.name != "" {
		if op == "remove" {
			value = nil
		}
		return mergeCustom(p.doc, g.home, document{g.name: value})
	}
	if op == "remove" || isEmpty(value) {
		return p.removeExtension(g)
	}
	object, ok := value.(document)
	if !ok {
		return invalid(scimerr.ScimTypeInvalidValue, "%s has to be an object of attributes, not %s.", g.text, shorten(value))
	}
	if g.isCustom(p.t) {
		return mergeCustom(p.doc, g.home, object)
	}
	urn := p.t.urnOf(g.home)
	return p.applyBody(operation{op: op, value: document{urn: object}})
}

func (p *patcher) removeExtension(g patchPath) error {
	if g.home == "" {
		return invalid(scimerr.ScimTypeNoTarget, "The path %s is the whole resource: name the attribute to remove.", g.text)
	}
	delete(p.doc, sameKey(p.doc, g.home))
	return nil
}

// changeSimple sets or removes an attribute without sub-attributes.
func (p *patcher) changeSimple(op string, g patchPath, value any) error {
	if op == "remove" {
		value = nil
	}
	v, err := g.attr.coerce(value, &p.ignored)
	if err != nil {
		return err
	}
	return p.store(g, v)
}

// store sets the value of the target's attribute in the document; nil removes it.
func (p *patcher) store(g patchPath, value any) error {
	if value == nil {
		if g.attr.required { // RFC 7644 §3.5.2.2 has this keyword for it
			return invalid(scimerr.ScimTypeMutability, "%s is required and cannot be removed: map a value to it that is never empty.", g.attr.label)
		}
		object, _ := p.doc[g.home].(document)
		if g.home == "" {
			object = p.doc
		}
		delete(object, g.attr.name)
		if len(object) == 0 && g.home != "" {
			delete(p.doc, g.home)
		}
		return nil
	}
	child(p.doc, g.home)[g.attr.name] = value
	return nil
}

// changeElements changes a complex attribute. A single-valued one is treated as a
// list of at most one element.
func (p *patcher) changeElements(op string, g patchPath, value any) error {
	home, _ := p.doc[g.home].(document)
	if g.home == "" {
		home = p.doc
	}
	list, ok := home[g.attr.name].([]any)
	if one, there := home[g.attr.name]; there && !ok {
		list = []any{one}
	}
	list, err := p.elements(op, g, list, value)
	switch {
	case err != nil:
		return err
	case len(list) > maxValues:
		return g.attr.tooMany()
	case len(list) == 0:
		return p.store(g, nil)
	case g.attr.multi:
		return p.store(g, list)
	}
	return p.store(g, list[0])
}

// elements is what becomes of the elements of a complex attribute.
func (p *patcher) elements(op string, g patchPath, list []any, value any) ([]any, error) {
	if op == "remove" {
		return p.removeElements(g, list, value)
	}
	if g.where == nil && g.sub == nil && g.attr.multi {
		return p.addElements(op, g, list, value)
	}
	picked := pick(g, list)
	if !slices.Contains(picked, true) {
		if len(list) > 0 && !g.attr.multi {
			return nil, noElement(g) // there is room for one only
		}
		element, err := newElement(g)
		if err != nil {
			return nil, err
		}
		picked, list = append(picked, true), append(list, element)
	}
	for i := range list {
		if !picked[i] {
			continue
		}
		element, err := p.setElement(op, g, list[i].(document), value)
		if err != nil {
			return nil, err
		}
		list[i] = element
	}
	if err := demote(g.attr, list, func(i int) bool { return picked[i] }); err != nil {
		return nil, err
	}
	var rest []any
	for i, e := range list {
		// A part that was set on its own may be followed by the others.
		if g.sub != nil || !picked[i] || !isHollow(e) {
			rest = append(rest, e)
		}
	}
	return rest, nil
}

// addElements adds to a list, or replaces it.
func (p *patcher) addElements(op string, g patchPath, list []any, value any) ([]any, error) {
	v, err := g.attr.coerce(value, &p.ignored)
	if err != nil {
		return nil, err
	}
	added, _ := v.([]any)
	if op == "replace" {
		return added, nil
	}
	list = appendNew(list, added...)
	return list, demote(g.attr, list, func(i int) bool {
		return slices.ContainsFunc(added, func(e any) bool { return equal(e, list[i]) })
	})
}

// pick says of each element whether the path is about it.
func pick(g patchPath, list []any) []bool {
	picked := make([]bool, len(list))
	for i, e := range list {
		picked[i] = g.where == nil || matches(g.where, g.attr.searchValue(e).(document))
	}
	return picked
}

// newElement makes the element that a value path asks for but no element is.
func newElement(g patchPath) (document, error) {
	if g.where == nil {
		return document{}, nil
	}
	var seed document
	if g.seed != nil {
		v, err := g.attr.coerceOne(g.seed, nil) // its texts have limits, too
		if err != nil {
			return nil, err
		}
		seed, _ = v.(document)
	}
	if seed == nil || !matches(g.where, g.attr.searchValue(seed).(document)) {
		return nil, noElement(g)
	}
	return seed, nil
}

func noElement(g patchPath) error {
	return invalid(scimerr.ScimTypeNoTarget, "No value of %s is what the path %s asks for, and none can be made from it.", g.attr.label, g.text)
}

// setElement sets a sub-attribute of an element, or several: those that an object
// names. With replace, an element that a value path has picked is new but for
// what picked it.
func (p *patcher) setElement(op string, g patchPath, element document, value any) (document, error) {
	leaf := g.leaf()
	if g.sub != nil {
		v, err := leaf.coerce(value, &p.ignored)
		if v != nil {
			element[leaf.name] = v
		}
		return element, err
	}
	v, err := leaf.coerceOne(value, &p.ignored)
	if err != nil {
		return nil, err
	}
	set, _ := v.(document)
	named, _ := value.(document)
	if g.where != nil && op == "replace" {
		maps.DeleteFunc(element, func(name string, _ any) bool { _, picks := g.seed[name]; return !picks })
	}
	for name := range named {
		if sub, _ := leaf.subOrAlias(name); sub != nil && sub.mutability != mutabilityReadOnly {
			delete(element, sub.name)
		}
	}
	maps.Copy(element, set)
	return element, nil
}

// demote leaves one element primary, the one that an operation has touched (RFC
// 7644 §3.5.2): the others lose the mark.
func demote(a *attribute, list []any, touched func(i int) bool) error {
	primary := -1
	for i, e := range list {
		if !isPrimary(e) || !touched(i) {
			continue
		}
		if primary >= 0 {
			return a.twoPrimaries()
		}
		primary = i
	}
	for i, e := range list {
		if primary >= 0 && i != primary && isPrimary(e) {
			e.(document)["primary"] = false
		}
	}
	return nil
}

// removeElements removes elements, a sub-attribute of them, or with a value those
// that are as it says. An element that no longer says anything goes, too.
func (p *patcher) removeElements(g patchPath, list []any, value any) ([]any, error) {
	gone, err := p.goners(g, value)
	if err != nil {
		return nil, err
	}
	picked := pick(g, list)
	var rest []any
	for i, e := range list {
		element := e.(document)
		switch {
		case !picked[i]:
			rest = append(rest, e)
		case g.sub != nil:
			delete(element, g.sub.name)
			if !isHollow(element) {
				rest = append(rest, e)
			}
		case !gone(element):
			rest = append(rest, e)
		}
	}
	return rest, nil
}

// goners says which of the elements that the path picks are removed: all, or with
// a value of remove those that have all that it says.
func (p *patcher) goners(g patchPath, value any) (func(document) bool, error) {
	if value == nil || g.where != nil || g.sub != nil || !g.attr.multi {
		return func(document) bool { return true }, nil
	}
	v, err := g.attr.coerce(value, &p.ignored)
	if err != nil {
		return nil, err
	}
	named, _ := v.([]any)
	return func(element document) bool {
		return slices.ContainsFunc(named, func(n any) bool { return g.attr.covers(element, n.(document)) })
	}, nil
}

// covers says whether an element has all that named says, texts compared as
// filters compare them.
func (a *attribute) covers(element, named document) bool {
	have, want := a.searchValue(element).(document), a.searchValue(named).(document)
	for name, v := range want {
		if !equal(have[name], v) {
			return false
		}
	}
	return true
}

// changeMembers applies an operation to a group's members, without ever reading
// them: it says what to add and what to remove.
func (p *patcher) changeMembers(op string, g patchPath, value any) error {
	if g.subName != "" {
		return invalid(scimerr.ScimTypeMutability, "%s cannot be changed: add or remove the member.", g.leaf().label)
	}
	if g.where != nil {
		return p.removePicked(op, g)
	}
	if op == "remove" && value == nil || op == "replace" {
		p.members.clear()
	}
	if isEmpty(value) {
		return nil
	}
	ids, err := memberIDs(value)
	if err != nil {
		return err
	}
	p.members.set(op != "remove", ids)
	return nil
}

// removePicked removes members[value eq "a"], also several joined by "or".
func (p *patcher) removePicked(op string, g patchPath) error {
	ids, ok := namedIDs(g.where)
	if !ok {
		return invalid(scimerr.ScimTypeInvalidFilter, "The path %s has to name members by their id: members[value eq \"…\"].", g.text)
	}
	if op != "remove" {
		return invalid(scimerr.ScimTypeInvalidPath, "%s of %s: a member is added by its id as value, with the path members.", op, g.text)
	}
	p.members.set(false, ids)
	return nil
}

// namedIDs gives the ids of value eq "a" or value eq "b".
func namedIDs(f store.Filter) ([]string, bool) {
	switch f := f.(type) {
	case store.Compare:
		id, ok := f.Value.(string)
		return []string{id}, ok && f.Op == store.Equal && f.Attr.Path[0] == "value"
	case store.Or:
		var all []string
		for _, part := range f {
			ids, ok := namedIDs(part)
			if !ok {
				return nil, false
			}
			all = append(all, ids...)
		}
		return all, true
	}
	return nil, false
}

// memberChange collects what operations do to members, in order. Ids count
// in any case, as in the store: the last operation wins in whatever spelling.
type memberChange struct {
	replace bool
	// member says of each id that was named whether it is a member afterwards.
	member map[string]bool
	order  []string // the ids of member, in the order in which they were first named
}

// clear forgets all members, those of the group and those named so far.
func (m *memberChange) clear() { *m = memberChange{replace: true} }

func (m *memberChange) set(member bool, ids []string) {
	if m.member == nil {
		m.member = make(map[string]bool, len(ids))
	}
	for _, id := range ids {
		if isID(id) {
			id = foldName(id)
		}
		if _, named := m.member[id]; !named {
			m.order = append(m.order, id)
		}
		m.member[id] = member
	}
}

func (m *memberChange) delta() memberDelta {
	d := memberDelta{replace: m.replace}
	for _, id := range m.order {
		switch {
		case m.member[id]:
			d.add = append(d.add, id)
		case !m.replace:
			d.remove = append(d.remove, id)
		}
	}
	return d
}
