package scim

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	scimerr "github.com/elimity-com/scim/errors"
	"github.com/go-json-experiment/json/jsontext"

	"gatehouse/store"
)

// Bounds on a filter. They hold while it is read, so that no filter costs more
// than they allow: a stack that overflows ends the process.
const (
	maxFilterBytes       = 8192
	maxFilterDepth       = 32
	maxFilterComparisons = 256
)

// parseFilter reads a filter of RFC 7644 §3.4.2.2 and what clients say in its
// place:
//
//	emails[type eq "work"].value eq "x"   Entra: one element fulfils both
//	userName eq ada@corp.example          a value without quotes is a string
//	members eq "2819", manager eq "2819"  a complex attribute means its value
//	active eq "True"                      a boolean may be quoted, in any case
//
// Every attribute is in the schema and can be searched, and every value has its
// type; anything else is invalidFilter, since an empty answer would make the
// client create what is already there. Of a list with other types besides, a
// filter may name their attributes, which have no value here (RFC 7644 §3.4.2.1).
func (t *resourceType) parseFilter(s string, besides ...*resourceType) (store.Filter, error) {
	p, err := newParser(t, s, scimerr.ScimTypeInvalidFilter)
	if err != nil {
		return nil, err
	}
	p.besides = besides
	f, err := p.or()
	if err != nil {
		return nil, err
	}
	if !p.end() {
		return nil, p.fail("expected \"and\", \"or\" or the end")
	}
	return f, nil
}

// patchPath is what an operation of PATCH is about: attribute, [filter], sub-attribute.
type patchPath struct {
	target
	// where picks elements of attr; its names are relative to the element.
	where store.Filter
	// seed holds the values that where asks of an element, if where is nothing
	// but equalities: an element made from it is one that where picks.
	seed document
	// text is the path as sent.
	text string
}

// parsePath reads PATCH's path (RFC 7644 §3.5.2, figure 7). What follows the name
// of an attribute that the schema does not have is subName, unread.
func (t *resourceType) parsePath(s string) (patchPath, error) {
	p, err := newParser(t, s, scimerr.ScimTypeInvalidPath)
	if err != nil {
		return patchPath{}, err
	}
	word := p.word()
	g := patchPath{target: t.resolve(word), text: shorten(s)}
	if g.name == "" && !g.qualified || g.name != "" && !isName(g.name) || strings.HasSuffix(word, ".") || strings.HasSuffix(word, ":") {
		return patchPath{}, p.fail("expected the name of an attribute")
	}
	if g.name != "" && g.attr == nil && (p.pos == len(s) || s[p.pos] == '[') {
		g.subName += s[p.pos:]
		return g, nil
	}
	if p.next('[') {
		if g.where, g.seed, err = p.valuePath(g.target); err != nil {
			return patchPath{}, err
		}
		if p.next('.') {
			if g.subName = p.word(); g.subName == "" {
				return patchPath{}, p.fail("expected the name of a sub-attribute")
			}
			g.sub, _ = g.attr.subAttribute(g.subName)
		}
	}
	if !p.end() {
		return patchPath{}, p.fail("expected the end of the path")
	}
	if g.attr != nil && g.subName != "" && g.sub == nil {
		return patchPath{}, invalid(scimerr.ScimTypeInvalidPath, "The path %s names %q, which %s does not have.", g.text, shorten(g.subName), g.attr.label)
	}
	return g, nil
}

// parser reads filters and paths by recursive descent.
type parser struct {
	t *resourceType
	// besides are types whose attributes can be named, too.
	besides []*resourceType

	text string
	pos  int
	// kind is the keyword of errors about what is being read.
	kind scimerr.ScimType
	// inPath says that what is read is a path of PATCH, not a filter of a list.
	inPath bool

	depth, comparisons int
	// within is the attribute whose value path is being read.
	within *attribute
	// relative says that names within it are relative to its element.
	relative bool
	// seed collects what the equalities of a value path ask for; nil if it has
	// something else, too.
	seed document
}

func newParser(t *resourceType, s string, kind scimerr.ScimType) (*parser, error) {
	p := &parser{t: t, text: s, kind: kind, inPath: kind == scimerr.ScimTypeInvalidPath}
	switch {
	case len(s) > maxFilterBytes:
		return nil, invalid(kind, "The %s is longer than %d bytes: ask for less at once.", p.what(), maxFilterBytes)
	case !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0:
		return nil, invalid(kind, "The %s is not valid UTF-8 text.", p.what())
	}
	return p, nil
}

func (p *parser) what() string {
	if p.kind == scimerr.ScimTypeInvalidPath {
		return "path"
	}
	return "filter"
}

func (p *parser) fail(format string, args ...any) error {
	err := invalid(p.kind, format, args...).(scimerr.ScimError)
	rest := p.text[p.pos:]
	near := "at its end"
	if rest != "" {
		near = "before " + strconv.Quote(shorten(rest))
	}
	err.Detail = "The " + p.what() + " cannot be read " + near + ": " + err.Detail + "."
	return err
}

func (p *parser) space() {
	for p.pos < len(p.text) && (p.text[p.pos] == ' ' || p.text[p.pos] == '\t') {
		p.pos++
	}
}

func (p *parser) end() bool {
	p.space()
	return p.pos == len(p.text)
}

// next takes the character c if it is the next one.
func (p *parser) next(c byte) bool {
	if p.pos < len(p.text) && p.text[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

// word takes everything up to a space, bracket or quote.
func (p *parser) word() string {
	start := p.pos
	if i := strings.IndexAny(p.text[start:], " \t()[]\""); i >= 0 {
		p.pos = start + i
	} else {
		p.pos = len(p.text)
	}
	return p.text[start:p.pos]
}

// keyword takes the word if it is the next one, in any case.
func (p *parser) keyword(word string) bool {
	p.space()
	start := p.pos
	if strings.EqualFold(p.word(), word) {
		return true
	}
	p.pos = start
	return false
}

func (p *parser) or() (store.Filter, error) {
	f, err := p.and()
	if err != nil || !p.keyword("or") {
		return f, err
	}
	list := store.Or{f}
	for {
		p.seed = nil
		if f, err = p.and(); err != nil {
			return nil, err
		}
		list = append(list, f)
		if !p.keyword("or") {
			p.seed = nil
			return list, nil
		}
	}
}

func (p *parser) and() (store.Filter, error) {
	f, err := p.factor()
	if err != nil || !p.keyword("and") {
		return f, err
	}
	list := store.And{f}
	for {
		if f, err = p.factor(); err != nil {
			return nil, err
		}
		list = append(list, f)
		if !p.keyword("and") {
			return list, nil
		}
	}
}

func (p *parser) factor() (store.Filter, error) {
	not := p.keyword("not")
	p.space()
	if !p.next('(') {
		if not {
			return nil, p.fail("\"not\" is followed by an expression in parentheses")
		}
		return p.comparison()
	}
	if err := p.descend(); err != nil {
		return nil, err
	}
	f, err := p.or()
	if err != nil {
		return nil, err
	}
	p.depth--
	p.space()
	if !p.next(')') {
		return nil, p.fail("expected \")\"")
	}
	if not {
		p.seed = nil
		return store.Not{Filter: f}, nil
	}
	return f, nil
}

// descend counts one more level of nesting, before it is entered.
func (p *parser) descend() error {
	if p.depth++; p.depth > maxFilterDepth {
		return p.fail("it is nested more than %d deep", maxFilterDepth)
	}
	return nil
}

// comparison reads one comparison, or a value path with or without one behind it.
func (p *parser) comparison() (store.Filter, error) {
	if p.comparisons++; p.comparisons > maxFilterComparisons {
		return nil, p.fail("it has more than %d comparisons", maxFilterComparisons)
	}
	g, t, err := p.attribute()
	if err != nil {
		return nil, err
	}
	var f store.Filter
	if p.within == nil && p.next('[') {
		f, err = p.some(g)
	} else {
		f, err = p.compare(g.leaf())
	}
	if err != nil || t == p.t {
		return f, err
	}
	if matches(f, document{}) { // what it says of a resource that has no such attribute
		return store.And{}, nil
	}
	return store.Or{}, nil
}

// leaf is the attribute that a name ends in.
func (g target) leaf() *attribute {
	if g.sub != nil {
		return g.sub
	}
	return g.attr
}

// attribute reads the name of an attribute that can be searched, and says whose it
// is.
func (p *parser) attribute() (target, *resourceType, error) {
	start := p.pos
	word := p.word()
	if word == "" {
		return target{}, nil, p.fail("expected the name of an attribute")
	}
	owner := p.t.name
	if len(p.besides) > 0 {
		owner = "a user or group"
	}
	for _, t := range append([]*resourceType{p.t}, p.besides...) {
		var g target
		if p.within != nil {
			g.attr, _ = p.within.subAttribute(word)
			owner = p.within.label
		} else {
			g = t.resolve(word)
		}
		known := g.attr != nil && (g.subName == "") == (g.sub == nil) && !strings.HasSuffix(word, ".")
		if known && (p.relative && (p.inPath || !p.within.isRows()) || g.leaf().filterable) {
			return g, t, nil
		}
	}
	p.pos = start
	return target{}, nil, invalid(scimerr.ScimTypeInvalidFilter, "The attribute %q cannot be searched: %s has no such attribute, or it is not kept for searching.",
		shorten(word), owner)
}

// valuePath reads the filter between "[" and "]" and what it asks of an element.
func (p *parser) valuePath(g target) (f store.Filter, seed document, err error) {
	if g.attr == nil || len(g.attr.sub) == 0 || g.subName != "" {
		return nil, nil, p.fail("only an attribute with sub-attributes can be followed by \"[\"")
	}
	if err := p.descend(); err != nil {
		return nil, nil, err
	}
	outer := *p
	p.within, p.seed = g.attr, document{}
	p.relative = g.attr.multi || p.inPath
	p.kind = scimerr.ScimTypeInvalidFilter
	if f, err = p.or(); err != nil {
		return nil, nil, err
	}
	seed = p.seed
	p.within, p.relative, p.seed, p.kind, p.depth = nil, false, nil, outer.kind, outer.depth-1
	p.space()
	if !p.next(']') {
		return nil, nil, p.fail("expected \"]\"")
	}
	return f, seed, nil
}

// some reads a value path in a filter, and the comparison that Entra puts behind
// it. A single-valued attribute needs no Some: manager[value eq "x"] is a
// comparison of manager.value.
func (p *parser) some(g target) (store.Filter, error) {
	where, _, err := p.valuePath(g)
	if err != nil {
		return nil, err
	}
	if p.next('.') {
		p.within, p.relative = g.attr, g.attr.multi
		behind, err := p.comparison()
		if err != nil {
			return nil, err
		}
		p.within, p.relative = nil, false
		where = store.And{where, behind}
	}
	if !g.attr.multi {
		return where, nil
	}
	return store.Some{Attr: g.attr.search(false), Where: where}, nil
}

// isRows says that the attribute's elements are not in the document: groups are
// made when a user is read, and members are rows.
func (a *attribute) isRows() bool {
	return a.folded == "groups" || a.folded == "members"
}

// search is how the store knows the attribute: from the top of the searchable
// document, or from the element that it is relative to.
func (a *attribute) search(relative bool) store.Attr {
	attr := store.Attr{Path: a.path, Type: a.attrType(), Multi: a.listed, CaseExact: a.caseExact}
	if relative {
		attr.Path, attr.Multi = a.path[len(a.path)-1:], a.multi
	}
	return attr
}

var operators = map[string]store.Op{
	"eq": store.Equal, "ne": store.NotEqual, "co": store.Contains, "sw": store.StartsWith, "ew": store.EndsWith,
	"gt": store.Greater, "ge": store.GreaterOrEqual, "lt": store.Less, "le": store.LessOrEqual,
}

// compare reads the operator and the value behind an attribute.
func (p *parser) compare(a *attribute) (store.Filter, error) {
	p.space()
	start := p.pos
	word := foldName(p.word())
	if word == "pr" {
		p.seed = nil
		return store.Present{Attr: a.search(p.relative)}, nil
	}
	op, ok := operators[word]
	if !ok {
		p.pos = start
		return nil, p.fail("expected an operator: eq, ne, co, sw, ew, gt, ge, lt, le or pr")
	}
	asked := a
	if a.typ == typeComplex {
		if a, ok = asked.subAttribute("value"); !ok {
			return nil, invalid(scimerr.ScimTypeInvalidFilter, "The attribute %s has parts: compare one of them, such as %s.", asked.label, asked.sub[0].label)
		}
	}
	value, quoted, err := p.literal()
	if err != nil {
		return nil, err
	}
	return p.relation(a, op, value, quoted)
}

// relation is the comparison of an attribute with a value that has its type.
func (p *parser) relation(a *attribute, op store.Op, value string, quoted bool) (store.Filter, error) {
	attr := a.search(p.relative)
	if value == "null" && !quoted {
		p.seed = nil
		switch op {
		case store.Equal:
			return store.Not{Filter: store.Present{Attr: attr}}, nil
		case store.NotEqual:
			return store.Present{Attr: attr}, nil
		}
	}
	if !a.allows(op) {
		return nil, invalid(scimerr.ScimTypeInvalidFilter, "%s cannot be compared with %q%s.", a.label, op, a.instead())
	}
	operand, err := a.operand(value, quoted)
	if err != nil {
		return nil, err
	}
	if op != store.Equal {
		p.seed = nil
	}
	if p.seed != nil {
		p.seed[a.name] = a.seedValue(value, operand)
	}
	return store.Compare{Attr: attr, Op: op, Value: operand}, nil
}

// allows says whether values of the attribute compare in this way (RFC 7644
// table 3). Ids of members and groups, addresses and versions are the same or not:
// their parts mean nothing.
func (a *attribute) allows(op store.Op) bool {
	ordered := op == store.Greater || op == store.GreaterOrEqual || op == store.Less || op == store.LessOrEqual
	switch {
	case op == store.Equal || op == store.NotEqual:
		return true
	case a.typ == typeBoolean || a.isOpaque():
		return false
	case a.typ == typeBinary:
		return !ordered
	case a.typ == typeDateTime || a.typ == typeInteger || a.typ == typeDecimal:
		return ordered
	}
	return true
}

// isOpaque says that a value is whole or nothing.
func (a *attribute) isOpaque() bool {
	switch strings.Join(a.path, ".") {
	case "members.value", "groups.value", "meta.version":
		return true
	}
	return a.isAddress()
}

// isAddress says that the attribute is the address of a resource of ours, which is
// made when it is read.
func (a *attribute) isAddress() bool {
	switch strings.Join(a.path, ".") {
	case "members.$ref", "groups.$ref", "meta.location":
		return true
	}
	return false
}

// instead says how to compare what can't be compared in another way.
func (a *attribute) instead() string {
	if a.isOpaque() {
		return ": its values are the same or not, so use eq, ne or pr"
	}
	return ""
}

// operand gives a value the attribute's type, in the form of store.Compare.
func (a *attribute) operand(value string, quoted bool) (any, error) {
	mismatch := func(wanted string) error {
		return invalid(scimerr.ScimTypeInvalidFilter, "%s is compared with %s, not with %s.", a.label, wanted, shorten(value))
	}
	switch a.typ {
	case typeBoolean:
		switch foldName(value) {
		case "true":
			return true, nil
		case "false":
			return false, nil
		}
		return nil, mismatch("true or false")
	case typeInteger, typeDecimal:
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, mismatch("a number")
		}
		return number, nil
	case typeDateTime:
		instant, ok := parseTime(value)
		if !ok {
			return nil, mismatch("a date and time such as 2026-01-31T08:00:00Z")
		}
		return store.SearchTime(instant), nil
	}
	if word := foldName(value); !quoted && (word == "true" || word == "false" || value == "null") {
		return nil, mismatch("text in double quotes")
	}
	return a.foldText(value), nil
}

// foldText is how the searchable document holds a text of the attribute.
func (a *attribute) foldText(text string) string {
	if a.caseExact {
		return text
	}
	return store.Fold(text)
}

// seedValue is what a document holds so that the comparison is true: the text as
// it was sent, not as it is compared.
func (a *attribute) seedValue(value string, operand any) any {
	if _, ok := operand.(string); ok {
		return value
	}
	return operand
}

// literal reads a value: a JSON string, or anything up to a space or bracket.
func (p *parser) literal() (value string, quoted bool, err error) {
	p.space()
	if p.pos < len(p.text) && p.text[p.pos] == '"' {
		value, err = p.quoted()
		return value, true, err
	}
	start := p.pos
	value = p.word()
	if value == "" || value[0] == '\'' {
		p.pos = start
		return "", false, p.fail("expected a value, text in double quotes")
	}
	return value, false, nil
}

// quoted reads a JSON string, escapes and all.
func (p *parser) quoted() (string, error) {
	start := p.pos
	end := start + 1
	for end < len(p.text) && p.text[end] != '"' {
		if p.text[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(p.text) {
		return "", p.fail("the text has no closing quote")
	}
	text, err := jsontext.AppendUnquote(nil, p.text[start:end+1])
	if err != nil || bytes.IndexByte(text, 0) >= 0 {
		return "", p.fail("the text is not a JSON string")
	}
	p.pos = end + 1
	return string(text), nil
}

// parseTime reads a dateTime (RFC 7643 §2.3.5), also without zone or time of day.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			year := t.UTC().Year()
			return t, 1 <= year && year <= 9999 // beyond, text order is not time order
		}
	}
	return time.Time{}, false
}

// matches says whether a searchable document, or an element of one, fulfils a
// filter. It is what the store's SQL does, in Go.
func matches(f store.Filter, element document) bool {
	switch f := f.(type) {
	case store.And:
		for _, part := range f {
			if !matches(part, element) {
				return false
			}
		}
		return true
	case store.Or:
		for _, part := range f {
			if matches(part, element) {
				return true
			}
		}
		return false
	case store.Not:
		return !matches(f.Filter, element)
	case store.Present:
		return len(valuesAt(element, f.Attr.Path)) > 0
	case store.Some:
		for _, v := range valuesAt(element, f.Attr.Path) {
			if e, ok := v.(document); ok && matches(f.Where, e) {
				return true
			}
		}
		return false
	case store.Compare:
		if f.Op == store.NotEqual {
			f.Op = store.Equal
			return !matches(f, element)
		}
		for _, v := range valuesAt(element, f.Attr.Path) {
			if related(v, f.Op, f.Value) {
				return true
			}
		}
	}
	return false
}

// valuesAt gives the values at a path, those of lists one by one.
func valuesAt(value any, path []string) []any {
	switch v := value.(type) {
	case []any:
		var all []any
		for _, e := range v {
			all = append(all, valuesAt(e, path)...)
		}
		return all
	case document:
		if len(path) > 0 {
			return valuesAt(v[path[0]], path[1:])
		}
		if len(v) > 0 {
			return []any{v}
		}
		return nil
	case nil:
		return nil
	}
	if len(path) > 0 {
		return nil
	}
	return []any{value}
}

// related compares one value with a filter's.
func related(value any, op store.Op, operand any) bool {
	switch want := operand.(type) {
	case bool:
		return op == store.Equal && value == want
	case float64:
		n, ok := value.(json.Number)
		have, err := n.Float64()
		return ok && err == nil && ordered(op, have, want)
	case string:
		have, ok := value.(string)
		if !ok {
			return false
		}
		switch op {
		case store.Contains:
			return strings.Contains(have, want)
		case store.StartsWith:
			return strings.HasPrefix(have, want)
		case store.EndsWith:
			return strings.HasSuffix(have, want)
		}
		return ordered(op, have, want)
	}
	return false
}

func ordered[T string | float64](op store.Op, have, want T) bool {
	switch op {
	case store.Equal:
		return have == want
	case store.Greater:
		return have > want
	case store.GreaterOrEqual:
		return have >= want
	case store.Less:
		return have < want
	case store.LessOrEqual:
		return have <= want
	}
	return false
}
