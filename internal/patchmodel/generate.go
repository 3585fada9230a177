package patchmodel

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// Sequence is a resource and the operations of one PATCH request on it.
type Sequence struct {
	Before     Resource
	Operations []Operation
}

// Body is the PATCH request as it is sent (RFC 7644 §3.5.2).
func (s Sequence) Body() map[string]any {
	list := []any{}
	for _, o := range s.Operations {
		list = append(list, o.wire())
	}
	return object{"schemas": []any{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": list}
}

func (o Operation) wire() object {
	sent := object{"op": o.Op}
	if o.Path != nil {
		sent["path"] = o.Path.wire()
	}
	if o.Given {
		sent["value"] = o.Value
	}
	return sent
}

func (p *Path) wire() any {
	if p.Bad != nil {
		return p.Bad
	}
	return p.String()
}

// String is the path as RFC 7644 figure 7 writes it.
func (p *Path) String() string {
	text := p.URN
	if p.URN != "" && p.Name != "" {
		text += ":"
	}
	text += p.Name
	if p.Where != nil {
		text += "[" + p.Where.String() + "]"
	}
	if p.Sub != "" {
		text += "." + p.Sub
	}
	return text
}

// Generator draws sequences. The same seed draws the same ones.
type Generator struct {
	dice *rand.Rand
	// Plain leaves out what only dialects say: what is drawn means one thing by the
	// RFC alone, and is good.
	Plain bool
}

// NewGenerator makes a generator.
func NewGenerator(seed uint64) *Generator {
	return &Generator{dice: rand.New(rand.NewPCG(seed, 7644))}
}

// Sequence draws a resource and one to eight operations, most of which are good.
func (g *Generator) Sequence() Sequence {
	s := Sequence{Before: g.user()}
	if g.dice.IntN(4) == 0 && !g.Plain {
		s.Before = g.group()
	}
	for range 1 + g.dice.IntN(8) {
		s.Operations = append(s.Operations, g.operation(s.Before.Kind))
	}
	return s
}

// MemberIDs are those that generated groups and operations speak of.
var MemberIDs = []string{"member-1", "member-2", "member-3", "member-4", "member-5"}

func (g *Generator) group() Resource {
	r := Resource{Kind: Group, Doc: object{"displayName": "ops"}, Members: map[string]bool{}}
	if g.one(2) {
		r.Doc["externalId"] = g.text()
	}
	for _, id := range MemberIDs {
		if g.one(2) {
			r.Members[id] = true
		}
	}
	return r
}

func (g *Generator) user() Resource {
	doc := object{"userName": "ann"}
	for _, s := range schemas[User].all {
		holder := object{}
		for _, a := range s.attributes {
			if a.readOnly || a.ignored || a.required || !g.one(3) || g.Plain && !g.one(3) {
				continue
			}
			if a.many {
				if list := g.elements(a); len(list) > 0 {
					holder[a.name] = list
				}
			} else if v := g.canonical(a); v != nil {
				holder[a.name] = v
			}
		}
		switch {
		case s.home != "" && len(holder) > 0:
			doc[s.home] = holder
		case s.home == "":
			for key, v := range holder {
				doc[key] = v
			}
		}
	}
	if g.one(5) && !g.Plain {
		doc[acmeUserURN] = object{"site": "a"}
	}
	return Resource{Kind: User, Doc: doc}
}

// canonical draws a value as documents hold it.
func (g *Generator) canonical(a *attribute) any {
	switch {
	case a.kind == booleanKind:
		return g.one(2)
	case a.kind == binaryKind:
		return pickOf(g, "YQ==", "work", "home") // all of which is base64
	case a.kind != complexKind:
		return g.text()
	}
	value := object{}
	for _, sub := range a.subs {
		if !sub.readOnly && g.one(2) {
			value[sub.name] = g.canonical(sub)
		}
	}
	if len(value) == 0 {
		return nil
	}
	return value
}

func (g *Generator) elements(a *attribute) []any {
	var list []any
	for range g.dice.IntN(4) {
		value, _ := g.canonical(a).(object)
		if value == nil || saysNothing(value) || contains(list, value) {
			continue
		}
		if slices.ContainsFunc(list, func(e any) bool { return e.(object)["primary"] == true }) {
			delete(value, "primary")
		}
		if !contains(list, value) && !saysNothing(value) {
			list = append(list, value)
		}
	}
	return list
}

func (g *Generator) one(in int) bool { return g.dice.IntN(in) == 0 }

func pickOf[T any](g *Generator, list ...T) T { return list[g.dice.IntN(len(list))] }

func (g *Generator) text() string { return pickOf(g, "a", "b", "work", "home", "ann@x") }

// anyCase writes a name in the cases of clients.
func (g *Generator) anyCase(name string) string {
	if g.Plain || !g.one(6) {
		return name
	}
	return pickOf(g, strings.ToLower(name), strings.ToUpper(name), strings.ToUpper(name[:1])+name[1:])
}

func (g *Generator) operation(k Kind) Operation {
	o := Operation{Op: pickOf(g, "add", "replace", "remove"), Given: true}
	if g.one(4) {
		if o.Op == "remove" && (g.Plain || !g.one(8)) {
			o.Op = "replace"
		}
		o.Value = g.body(k)
		if g.one(20) && !g.Plain {
			o.Value = g.junk(1)
		}
		o.Op = g.anyCase(o.Op)
		return o
	}
	path, a := g.path(k)
	o.Path, o.Value = path, g.valueFor(a, path)
	if g.Plain && a.required && o.Op == "remove" {
		o.Op = "replace"
	}
	switch {
	case o.Op == "remove" && (g.Plain || !g.one(3)):
		o.Value, o.Given = nil, false
	case !g.Plain && g.one(30):
		o.Value, o.Given = nil, false
	}
	o.Op = g.anyCase(o.Op)
	if !g.Plain && g.one(150) {
		o.Op = pickOf(g, "move", "", "adds")
	}
	return o
}

// path draws a path, and the attribute that it ends in, if there is one.
func (g *Generator) path(k Kind) (*Path, *attribute) {
	if !g.Plain {
		switch {
		case g.one(40):
			return g.badPath(k), nil
		case g.one(12):
			return g.strangePath(k), nil
		}
	}
	s := pickOf(g, schemas[k].all...)
	a := g.attribute(s)
	p := &Path{Name: g.anyCase(a.name)}
	if s.home != "" && (a.name != "manager" || g.Plain || g.one(2)) || !g.Plain && g.one(6) {
		p.URN = g.anyCase(s.urn)
	}
	if a.kind != complexKind {
		return p, a
	}
	if g.one(2) && (!g.Plain || a.many) && (a.many || g.one(3)) {
		p.Where = g.filter(a, 2)
	}
	if g.one(2) {
		sub := pickOf(g, a.subs...)
		if g.Plain && (sub.readOnly || a.many && p.Where == nil) || (sub.readOnly || a.name == "members") && !g.one(8) {
			return p, a
		}
		p.Sub = g.anyCase(sub.name)
		return p, sub
	}
	return p, a
}

// attribute draws one that can be set, most of the time.
func (g *Generator) attribute(s *schema) *attribute {
	for {
		a := pickOf(g, s.attributes...)
		if a.kind != complexKind && g.one(2) {
			continue // there is more to complex ones
		}
		if !a.readOnly && !a.ignored || !g.Plain && g.one(12) {
			return a
		}
	}
}

func (g *Generator) badPath(k Kind) *Path {
	p := pickOf(g,
		Path{Bad: "emails[type eq \"work\"", Refused: "invalidPath"},
		Path{Bad: "emails[]", Refused: "invalidFilter"},
		Path{Bad: "emails[type is \"work\"].value", Refused: "invalidFilter"},
		Path{Bad: "emails[type eq \"work\"]value", Refused: "invalidPath"},
		Path{Bad: "emails[type eq \"work\"].", Refused: "invalidPath"},
		Path{Bad: "title title", Refused: "invalidPath"},
		Path{Bad: "title.", Refused: "invalidPath"},
		Path{Bad: "title[value eq \"a\"]", Refused: "invalidPath"},
		Path{Bad: "/title", Refused: "invalidPath"},
		Path{Bad: "$.title", Refused: "invalidPath"},
		Path{Bad: ".title", Refused: "invalidPath"},
		Path{Bad: "[type eq \"work\"]", Refused: "invalidPath"},
		Path{Bad: "name.hat", Refused: "invalidPath"},
		Path{Bad: "emails[hat eq \"a\"]", Refused: "invalidFilter"},
		Path{Bad: json.Number("7"), Refused: "invalidPath"},
		Path{Bad: []any{"title"}, Refused: "invalidPath"},
	)
	if text, ok := p.Bad.(string); ok && k == Group {
		p.Bad = strings.NewReplacer("emails", "members", "title", "displayName", "name.hat", "members.hat").Replace(text)
	}
	return &p
}

// strangePath draws paths to what no schema has, or to a schema itself.
func (g *Generator) strangePath(k Kind) *Path {
	core, unknown := schemas[k].core, schemas[k].unknown
	extension := schemas[k].all[len(schemas[k].all)-1].urn
	p := pickOf(g,
		Path{Name: "shoe"}, Path{Name: "shoe", Sub: "size"}, Path{Name: "department"},
		Path{URN: core, Name: "badge"}, Path{URN: core, Name: "badge"}, Path{URN: core, Name: "badge", Sub: "x"},
		Path{URN: core}, Path{URN: extension}, Path{URN: unknown},
		Path{URN: extension, Name: "hat"}, Path{URN: extension, Name: "hat", Sub: "x"},
		Path{URN: unknown, Name: "site"}, Path{URN: unknown, Name: "floor"}, Path{URN: unknown, Name: "site", Sub: "x"},
	)
	p.URN, p.Name = g.anyCase(p.URN + " ")[:len(p.URN)], g.anyCase(p.Name + " ")[:len(p.Name)]
	if p.Name != "" && p.Sub == "" && g.one(4) {
		p.Where = &Filter{Op: "eq", Attr: "type", Value: "work", Quoted: true}
	}
	return &p
}

// filter draws a filter on the parts of an attribute; depth bounds its nesting.
func (g *Generator) filter(a *attribute, depth int) *Filter {
	if a.name == "members" && !g.one(8) {
		f := &Filter{Op: "eq", Attr: g.anyCase("value"), Value: pickOf(g, MemberIDs...), Quoted: true}
		if g.one(3) {
			f = &Filter{Op: "or", Left: f, Right: g.filter(a, 0)}
		}
		return f
	}
	if depth > 0 && g.one(4) {
		op := pickOf(g, "and", "and", "or", "not")
		if g.Plain {
			op = pickOf(g, "and", "or")
		}
		f := &Filter{Op: op, Left: g.filter(a, depth-1)}
		if op != "not" {
			f.Right = g.filter(a, depth-1)
		}
		return f
	}
	return g.comparison(a)
}

func (g *Generator) comparison(a *attribute) *Filter {
	sub := pickOf(g, a.subs...)
	if s := a.find("type"); s != nil && g.one(2) {
		sub = s
	}
	f := &Filter{Op: "eq", Attr: g.anyCase(sub.name), Value: g.text(), Quoted: true}
	if !g.one(3) {
		f.Op = pickOf(g, "eq", "eq", "ne", "co", "sw", "ew", "pr", "gt", "le")
	}
	if sub.kind == booleanKind {
		f.Value, f.Quoted = g.one(2), false
		if g.Plain || !g.one(8) {
			f.Op = "eq"
		}
	}
	if g.Plain {
		if sub.kind != booleanKind {
			f.Op = pickOf(g, "eq", "eq", "eq", "ne", "co", "sw", "pr")
		}
		return f
	}
	switch {
	case sub.kind == booleanKind && g.one(3):
		f.Value, f.Quoted = pickOf(g, "True", "False", "FALSE"), true
	case g.one(12):
		f.Value, f.Quoted = pickOf[any](g, nil, true, "ann@x", "", "7"), g.one(2)
		if f.Value == "" {
			f.Quoted = true
		}
	case sub.kind != booleanKind && g.one(8):
		f.Value, f.Quoted = strings.ToUpper(g.text()), g.one(2)
	}
	return f
}

// valueFor draws a value for what a path ends in.
func (g *Generator) valueFor(a *attribute, p *Path) any {
	if !g.Plain && (a == nil || g.one(20)) {
		return g.junk(2)
	}
	if a.kind != complexKind {
		return g.scalar(a)
	}
	if a.name == "members" {
		return g.members()
	}
	if a.many && (p == nil || p.Where == nil) {
		list := []any{}
		for range g.dice.IntN(4) {
			list = append(list, g.complex(a))
		}
		if g.Plain {
			list = g.elements(a)
			if list == nil {
				list = []any{g.complex(a)}
			}
		}
		if len(list) == 1 && !g.Plain && g.one(2) {
			return list[0]
		}
		return list
	}
	return g.complex(a)
}

func (g *Generator) scalar(a *attribute) any {
	if g.Plain {
		return g.canonical(a)
	}
	switch {
	case g.one(12):
		return pickOf[any](g, nil, "")
	case a.limited && g.one(15):
		return strings.Repeat("a", pickOf(g, 1024, 1025))
	case a.kind == booleanKind:
		return pickOf[any](g, true, false, "True", "false", "FALSE")
	case g.one(15):
		return pickOf[any](g, json.Number("7"), " ", " a ", "É", "WORK")
	}
	return g.text()
}

func (g *Generator) complex(a *attribute) any {
	if g.Plain {
		for {
			if v, _ := g.canonical(a).(object); v != nil && (!a.many || !saysNothing(v)) {
				return v
			}
		}
	}
	value := object{}
	for _, sub := range a.subs {
		if g.one(2) {
			value[g.anyCase(sub.name)] = g.scalar(sub)
		}
	}
	switch {
	case g.one(15):
		value["hat"] = "x"
	case g.one(15) && a.find("displayName") == nil:
		value["displayName"] = g.text()
	case g.one(15):
		value["managerId"] = g.text()
	case a.find("value") != nil && g.one(8):
		return pickOf[any](g, "a", "m", []any{value}, []any{"a"}, []any{}, "")
	}
	return value
}

func (g *Generator) members() any {
	list := []any{}
	for range g.dice.IntN(4) {
		id := pickOf(g, MemberIDs...)
		switch {
		case g.one(6):
			list = append(list, id)
		case g.one(6):
			list = append(list, object{"Value": id, "display": "d", "$ref": nil, "displayName": "n"})
		case g.one(40):
			list = append(list, pickOf[any](g, nil, object{"display": "d"}, true))
		default:
			list = append(list, object{"value": id})
		}
	}
	switch {
	case g.one(15):
		return pickOf[any](g, nil, "")
	case len(list) == 1 && g.one(2):
		return list[0]
	}
	return list
}

// body draws the value of an operation without a path.
func (g *Generator) body(k Kind) object {
	body := object{}
	set := func(key string, v any) {
		for other := range body {
			if strings.EqualFold(key, other) {
				return // twice in one object is no JSON for us
			}
		}
		body[key] = v
	}
	for range 1 + g.dice.IntN(4) {
		s := pickOf(g, schemas[k].all...)
		a := g.attribute(s)
		key, v := g.anyCase(a.name), g.valueFor(a, nil)
		if g.Plain {
			if s.home != "" {
				inner, _ := body[s.home].(object)
				if inner == nil {
					inner = object{}
				}
				inner[key] = v
				key, v = s.home, inner
			}
			body[key] = v
			continue
		}
		if a.kind == complexKind && g.one(3) {
			sub := pickOf(g, a.subs...)
			key, v = key+"."+g.anyCase(sub.name), g.scalar(sub)
		}
		switch {
		case s.home != "" && g.one(2), g.one(8):
			set(g.anyCase(s.urn)+":"+key, v)
		case s.home != "" || g.one(8):
			set(s.urn, object{key: v})
		default:
			set(key, v)
		}
	}
	if g.Plain {
		return body
	}
	core, unknown := schemas[k].core, schemas[k].unknown
	extension := schemas[k].all[len(schemas[k].all)-1].urn
	if g.one(6) {
		set(pickOf(g, "shoe", "shoe.size", "name.hat", "department", core, core+":badge", core+":badge.x", extension, extension+":hat", extension+":hat.x",
			unknown, unknown, unknown+":site", unknown+":floor", unknown+":site.x"), g.junk(2))
	}
	return body
}

// junk draws JSON of any type; depth bounds its nesting.
func (g *Generator) junk(depth int) any {
	n := g.dice.IntN(10)
	switch {
	case n == 0 && depth > 0:
		return []any{g.junk(depth - 1)}
	case n == 1 && depth > 0:
		return object{pickOf(g, "value", "type", "site", "givenName", "a.b"): g.junk(depth - 1), "primary": true}
	}
	return pickOf[any](g, nil, "", true, false, "a", "True", json.Number("7"), []any{}, object{}, "b")
}

// Shrunk is the sequence without the operations that failing does without.
func (s Sequence) Shrunk(failing func(Sequence) bool) Sequence {
	for i := 0; i < len(s.Operations); {
		fewer := s
		fewer.Operations = slices.Delete(slices.Clone(s.Operations), i, i+1)
		if failing(fewer) {
			s = fewer
		} else {
			i++
		}
	}
	return s
}

// String writes the sequence for messages.
func (s Sequence) String() string {
	before, err := json.Marshal(s.Before.Doc)
	if err != nil {
		panic(err)
	}
	text := fmt.Sprintf("%s %s %v", s.Before.Kind, before, s.Before.Members)
	for _, o := range s.Operations {
		operation, err := json.Marshal(o.wire())
		if err != nil {
			panic(err)
		}
		text += "\n  " + string(operation)
	}
	return text
}
