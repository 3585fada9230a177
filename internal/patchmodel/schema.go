package patchmodel

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// URNs of schemas. Nobody has described those of acme.
const (
	CoreUserURN   = "urn:ietf:params:scim:schemas:core:2.0:User"
	CoreGroupURN  = "urn:ietf:params:scim:schemas:core:2.0:Group"
	EnterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	acmeUserURN   = "urn:ietf:params:scim:schemas:extension:acme:2.0:User"
	acmeGroupURN  = "urn:ietf:params:scim:schemas:extension:acme:2.0:Group"
)

// The schemas of RFC 7643 §3.1 and §4, an attribute a line: its name, its
// characteristics, and its sub-attributes behind a colon. Text is the type of what
// doesn't say otherwise; short text is held to 1,024 bytes, since it is indexed.
const commonAttributes = `
id readOnly
schemas readOnly
externalId exact short
meta readOnly: resourceType,exact created,date lastModified,date location,exact version
`

const userAttributes = commonAttributes + `
userName required short
name: formatted familyName givenName middleName honorificPrefix honorificSuffix
displayName short
nickName
profileUrl exact reference
title
userType
preferredLanguage
locale
timezone
active boolean
password ignored
emails many: value,short display type primary,boolean
phoneNumbers many: value display type primary,boolean
ims many: value display type primary,boolean
photos many: value,exact,reference display type primary,boolean
addresses many: formatted streetAddress locality region postalCode country type primary,boolean
groups many readOnly: value,exact,readOnly $ref,exact,reference,readOnly display,readOnly type,readOnly
entitlements many: value display type primary,boolean
roles many: value display type primary,boolean
x509Certificates many: value,exact,binary display type primary,boolean
`

const enterpriseAttributes = `
employeeNumber
costCenter
organization
division
department
manager: value,exact $ref,exact,reference,readOnly displayName,readOnly
`

const groupAttributes = commonAttributes + `
displayName required short
members many: value,exact $ref,exact,reference,readOnly type,readOnly display,readOnly
`

type valueKind int

const (
	textKind valueKind = iota
	booleanKind
	binaryKind
	referenceKind
	dateKind
	complexKind
)

type attribute struct {
	name                                              string
	kind                                              valueKind
	many, required, readOnly, ignored, exact, limited bool
	whole                                             bool // its values are the same or not: ids, addresses and versions
	subs                                              []*attribute
}

type schema struct {
	urn, home  string
	attributes []*attribute
}

// family are the schemas of a kind: its core, all that are described, and one
// that isn't.
type family struct {
	core, unknown string
	all           []*schema
}

var schemas = map[Kind]family{
	User: {CoreUserURN, acmeUserURN, []*schema{
		{CoreUserURN, "", readSchema(userAttributes)},
		{EnterpriseURN, EnterpriseURN, readSchema(enterpriseAttributes)},
	}},
	Group: {CoreGroupURN, acmeGroupURN, []*schema{{CoreGroupURN, "", readSchema(groupAttributes)}}},
}

func readSchema(lines string) []*attribute {
	var list []*attribute
	for _, line := range strings.FieldsFunc(lines, func(r rune) bool { return r == '\n' }) {
		head, subs, isComplex := strings.Cut(line, ":")
		a := readAttribute(strings.Fields(head))
		if isComplex {
			a.kind = complexKind
		}
		for _, sub := range strings.Fields(subs) {
			s := readAttribute(strings.Split(sub, ","))
			switch a.name + "." + s.name {
			case "members.value", "members.$ref", "groups.value", "groups.$ref", "meta.location", "meta.version":
				s.whole = true
			}
			a.subs = append(a.subs, s)
		}
		list = append(list, a)
	}
	return list
}

func readAttribute(words []string) *attribute {
	a := &attribute{name: words[0]}
	for _, word := range words[1:] {
		switch word {
		case "many":
			a.many = true
		case "required":
			a.required = true
		case "readOnly":
			a.readOnly = true
		case "ignored":
			a.ignored = true
		case "exact":
			a.exact = true
		case "short":
			a.limited = true
		case "boolean":
			a.kind = booleanKind
		case "reference":
			a.kind = referenceKind
		case "binary":
			a.kind = binaryKind
		case "date":
			a.kind = dateKind
		default:
			panic(word)
		}
	}
	return a
}

// of is the schema of a URN, or the core one of "".
func (f family) of(urn string) *schema {
	for _, s := range f.all {
		if strings.EqualFold(s.urn, cmp.Or(urn, f.core)) {
			return s
		}
	}
	return nil
}

// split parts the URN of a schema that these tests know from a key.
func (f family) split(key string) (urn, rest string) {
	for _, urn := range []string{CoreUserURN, CoreGroupURN, EnterpriseURN, acmeUserURN, acmeGroupURN} {
		if strings.EqualFold(key, urn) {
			return urn, ""
		}
		if len(key) > len(urn) && strings.EqualFold(key[:len(urn)], urn) && key[len(urn)] == ':' {
			return key[:len(urn)], key[len(urn)+1:]
		}
	}
	return "", key
}

func (s *schema) find(name string) *attribute { return find(s.attributes, name) }

func (a *attribute) find(name string) *attribute { return find(a.subs, name) }

// find: names are in any case (RFC 7643 §2.1).
func find(list []*attribute, name string) *attribute {
	for _, a := range list {
		if strings.EqualFold(a.name, name) {
			return a
		}
	}
	return nil
}

// findOrAlias knows the names by which clients call parts, too.
func (a *attribute) findOrAlias(name string) *attribute {
	if sub := a.find(name); sub != nil {
		return sub
	}
	switch {
	case strings.EqualFold(name, "displayName"):
		return a.find("display")
	case strings.EqualFold(name, "managerId") && a.name == "manager":
		return a.find("value")
	}
	return nil
}

// unassigned: RFC 7643 §2.5, and "" as Entra and Okta mean it.
func unassigned(v any) bool { return v == nil || v == "" }

// alone: where a single value belongs, Entra sends a list of one manager, too.
func (a *attribute) alone(list []any) any {
	switch {
	case a.many || a.find("value") == nil || len(list) > 1:
	case len(list) == 0:
		return nil
	default:
		if _, nested := list[0].([]any); !nested {
			return list[0]
		}
	}
	return list
}

// single gives a value its attribute's type; nil if nothing is left of it.
func (a *attribute) single(v any) any {
	if list, ok := v.([]any); ok {
		v = a.alone(list)
	}
	if unassigned(v) {
		return nil
	}
	if n, ok := v.(json.Number); ok && a.kind == textKind {
		v = string(n) // an externalId that looks like a number
	}
	switch a.kind {
	case booleanKind:
		return a.boolean(v)
	case complexKind:
		return a.complex(v)
	}
	text, ok := v.(string)
	if !ok || a.limited && len(text) > 1024 || a.required && strings.TrimSpace(text) == "" {
		refuse("invalidValue")
	}
	if a.kind == binaryKind && !base64Text(text) {
		refuse("invalidValue") // RFC 7643 §2.3.6
	}
	return text
}

// base64Text says that every four digits stand for three bytes; of the last four one
// or two may be missing, and = may stand for them.
func base64Text(text string) bool {
	digits := strings.TrimRight(text, "=")
	stray := strings.Trim(digits, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
	return stray == "" && digits != "" && len(digits)%4 != 1
}

func (a *attribute) boolean(v any) any {
	if text, ok := v.(string); ok {
		switch strings.ToLower(text) {
		case "true":
			return true
		case "false":
			return false
		}
	}
	if _, ok := v.(bool); !ok {
		refuse("invalidValue")
	}
	return v
}

func (a *attribute) complex(v any) any {
	switch v.(type) {
	case string, json.Number:
		if a.find("value") != nil {
			v = object{"value": v} // a value alone
		}
	}
	given, ok := v.(object)
	if !ok {
		refuse("invalidValue")
	}
	typed, aliased := object{}, object{}
	for key, part := range given {
		sub := a.findOrAlias(key)
		if sub == nil || sub.readOnly {
			continue
		}
		if v := sub.single(part); v != nil && strings.EqualFold(sub.name, key) {
			typed[sub.name] = v
		} else if v != nil {
			aliased[sub.name] = v
		}
	}
	for key, v := range aliased {
		if _, there := typed[key]; !there {
			typed[key] = v
		}
	}
	if len(typed) == 0 {
		return nil
	}
	return typed
}

// values are those of a multi-valued attribute, each once.
func (a *attribute) values(v any) []any {
	given, ok := v.([]any)
	if !ok {
		given = []any{v}
	}
	var list []any
	marked := 0
	for _, e := range given {
		value, _ := a.single(e).(object)
		if value == nil || saysNothing(value) || contains(list, value) {
			continue
		}
		if value["primary"] == true {
			marked++
		}
		list = append(list, value)
	}
	if marked > 1 {
		refuse("invalidValue") // RFC 7643 §2.4
	}
	return list
}

// memberIDs: a member is an object with a value, or its id alone.
func (a *attribute) memberIDs(v any) []string {
	given, ok := v.([]any)
	if !ok {
		given = []any{v}
	}
	var ids []string
	for _, e := range given {
		if o, ok := e.(object); ok {
			e = nil
			for key, v := range o {
				if strings.EqualFold(key, "value") {
					e = v
				}
			}
		}
		id, _ := a.find("value").single(e).(string)
		if id == "" {
			refuse("invalidValue")
		}
		ids = append(ids, id)
	}
	return ids
}

// saysNothing: it says what it would be of, but not what.
func saysNothing(value object) bool {
	for key := range value {
		if key != "type" && key != "primary" {
			return false
		}
	}
	return true
}

func contains(list []any, v any) bool {
	return slices.ContainsFunc(list, func(e any) bool { return same(e.(object), v.(object)) })
}

// same compares values that are made of scalars.
func same(a, b object) bool {
	if len(a) != len(b) {
		return false
	}
	for key, v := range a {
		if other, ok := b[key]; !ok || other != v {
			return false
		}
	}
	return true
}

func clone(v any) any {
	switch v := v.(type) {
	case object:
		c := object{}
		for key, e := range v {
			c[key] = clone(e)
		}
		return c
	case []any:
		c := []any{}
		for _, e := range v {
			c = append(c, clone(e))
		}
		return c
	}
	return v
}

func sorted(o object) []string {
	var keys []string
	for key := range o {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
