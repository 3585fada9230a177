package scim

import (
	"strings"

	scimerr "github.com/elimity-com/scim/errors"
)

// projection says which attributes of a resource to return (RFC 7644 §3.9). The
// nil projection returns what is returned by default.
type projection struct {
	t *resourceType
	// only is what the client asked for; nil if it did not say.
	only selection
	// without is what it asked to leave out.
	without selection
	// named are the sub-attributes that it asked for by their own names, such as
	// members.$ref: only so are those returned whose returned is request.
	named map[string]bool
}

// selection is a tree of names in lower case; nil below a name means all of it.
type selection map[string]selection

// projection reads the parameters attributes and excludedAttributes: names with
// commas between them, in any case, with sub-attributes and URNs. A filter behind
// a name is tolerated and not looked at, and so are names that the schema does not
// have. It is nil if both are empty.
func (t *resourceType) projection(attributes, excluded string) (*projection, error) {
	if strings.TrimSpace(attributes) == "" && strings.TrimSpace(excluded) == "" {
		return nil, nil
	}
	p := &projection{t: t, named: map[string]bool{}}
	var err error
	if strings.TrimSpace(attributes) != "" {
		if p.only, err = t.selection("attributes", attributes, p.named); err != nil {
			return nil, err
		}
	}
	p.without, err = t.selection("excludedAttributes", excluded, nil)
	return p, err
}

// selection reads a list of names, and notes in named the sub-attributes in it.
func (t *resourceType) selection(parameter, list string, named map[string]bool) (selection, error) {
	if len(list) > maxFilterBytes {
		return nil, invalid(scimerr.ScimTypeInvalidValue, "The parameter %s is longer than %d bytes: ask for less at once.", parameter, maxFilterBytes)
	}
	s := selection{}
	for _, name := range splitNames(list) {
		g := t.resolve(name)
		var way []string
		if g.home != "" {
			way = append(way, foldName(g.home))
		}
		switch {
		case g.name == "" && g.home == "" && g.qualified:
			for _, a := range t.core.attributes {
				s.add(a.path)
			}
			continue
		case g.name != "":
			way = append(way, foldName(g.name))
		}
		if g.subName != "" {
			way = append(way, foldName(g.subName))
		}
		if g.sub != nil && named != nil {
			named[g.sub.label] = true
		}
		s.add(way)
	}
	return s, nil
}

// splitNames parts a list at its commas and leaves out what is in brackets, in
// which other commas may be.
func splitNames(list string) []string {
	var bare strings.Builder
	inText, depth := false, 0
	for _, r := range list {
		switch {
		case depth > 0 && r == '"':
			inText = !inText
		case inText:
		case r == '[':
			depth++
		case depth == 0:
			bare.WriteRune(r)
		case r == ']':
			depth--
		}
	}
	var names []string
	for name := range strings.SplitSeq(bare.String(), ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// add selects what is at the end of the way. A whole stays whole.
func (s selection) add(way []string) {
	for i, name := range way {
		below, there := s[name]
		switch {
		case there && below == nil:
			return
		case i == len(way)-1:
			s[name] = nil
			return
		case !there:
			below = selection{}
			s[name] = below
		}
		s = below
	}
}

// includes says whether a top-level attribute, or something of it, is returned, so
// that members or groups need not be read in vain. It works on nil.
func (p *projection) includes(name string) bool {
	if p == nil {
		return true
	}
	folded := foldName(name)
	_, asked := p.only[folded]
	if a, ok := p.t.core.byName[folded]; ok {
		switch a.returned {
		case returnedAlways:
			return true
		case returnedNever:
			return false
		case returnedRequest:
			return asked
		}
	}
	below, out := p.without[folded]
	return (asked || p.only == nil) && (!out || below != nil)
}

// includesPart says whether a sub-attribute of a core attribute is returned. It
// works on nil.
func (p *projection) includesPart(a, sub *attribute) bool {
	if p == nil {
		return sub.returned != returnedRequest
	}
	onRequest := sub.returned == returnedRequest || p.only[a.folded] != nil // or some other parts are asked for
	_, out := p.without[a.folded][sub.folded]
	return p.includes(a.name) && (!onRequest || p.named[sub.label]) && !out
}

// apply gives the part of a resource that is returned, id and schemas always. Its
// lists of objects are []any. The document given is not modified; the result may
// share values with it.
func (p *projection) apply(doc document) document {
	if p == nil {
		return doc
	}
	result := document{}
	for name, value := range doc {
		if !p.includes(name) {
			continue
		}
		if a, ok := p.t.core.byName[foldName(name)]; ok && a.returned == returnedAlways {
			result[name] = value
			continue
		}
		if p.only != nil {
			value = p.only[foldName(name)].of(value)
		}
		if value = p.without[foldName(name)].outOf(value); value != nil {
			result[name] = value
		}
	}
	return result
}

// each applies the projection to each of the resources.
func (p *projection) each(all []document) []document {
	for i, doc := range all {
		all[i] = p.apply(doc)
	}
	return all
}

// of gives what is selected of a value; nil if that is nothing.
func (s selection) of(value any) any {
	return s.reduce(value, func(name string, v any) any {
		if below, ok := s[foldName(name)]; ok {
			return below.of(v)
		}
		return nil
	})
}

// outOf gives what remains of a value without what is selected.
func (s selection) outOf(value any) any {
	return s.reduce(value, func(name string, v any) any {
		below, ok := s[foldName(name)]
		if ok && below == nil {
			return nil
		}
		return below.outOf(v)
	})
}

// reduce keeps of an object, or of each object of a list, the members for which
// keep gives a value. The nil selection reduces nothing.
func (s selection) reduce(value any, keep func(name string, v any) any) any {
	if s == nil {
		return value
	}
	switch v := value.(type) {
	case document:
		object := document{}
		for name, e := range v {
			if kept := keep(name, e); kept != nil {
				object[name] = kept
			}
		}
		if len(object) > 0 {
			return object
		}
	case []any:
		list := []any{}
		for _, e := range v {
			if kept := s.reduce(e, keep); kept != nil {
				list = append(list, kept)
			}
		}
		if len(list) > 0 || len(v) == 0 {
			return list
		}
	}
	return nil
}
