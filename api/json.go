package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"gatehouse/store"
)

// The limits of a body. A thousand evaluations of a hundred values each fit.
const (
	maxBody   = 1 << 20 // bytes
	maxValues = 100_000
	maxDepth  = 32
	// maxText bounds the names and ids in a question, in bytes.
	maxText = 1024
)

// value is a JSON value. Members are found by their exact name: encoding/json would
// take SUBJECT for subject, and the last of two.
type value struct {
	kind  kind
	text  string   // of a text or number
	items []member // of an array, without names, or of an object
}

type member struct {
	name string
	value
}

type kind byte

const (
	isNull kind = iota
	isFalse
	isTrue
	isNumber
	isText
	isArray
	isObject
)

// get is a member of an object.
func (v *value) get(name string) (value, bool) {
	for i := range v.items {
		if v.kind == isObject && v.items[i].name == name {
			return v.items[i].value, true
		}
	}
	return value{}, false
}

// malformed is the error of a body that can't be read. It says what to do.
type malformed string

func (e malformed) Error() string { return string(e) }

// parse reads one JSON object. It is as strict as package scim where a lax reader
// could be made to see another question than the sender's, with a quarter of the
// allocations that reading encoding/json's tokens makes.
func parse(data []byte) (value, error) {
	if !utf8.Valid(data) {
		return value{}, malformed("The body is not valid UTF-8: send JSON encoded as UTF-8.")
	}
	p := &parser{data: string(data)}
	p.space()
	if p.at == len(p.data) {
		return value{}, malformed("The body is empty: send a JSON object.")
	}
	if p.data[p.at] != '{' {
		return value{}, malformed("The body is not a JSON object.")
	}
	v, err := p.value(0)
	if err != nil {
		return value{}, err
	}
	if p.space(); p.at < len(p.data) {
		return value{}, p.fail("there is more after the end of the object")
	}
	return v, nil
}

// parser is where it is in a body, of which the texts that it finds are parts.
type parser struct {
	data   string
	at     int
	values int
}

func (p *parser) fail(format string, args ...any) error {
	return malformed(fmt.Sprintf("The body cannot be read at byte %d: %s.", p.at, fmt.Sprintf(format, args...)))
}

func (p *parser) space() {
	for p.at < len(p.data) {
		switch p.data[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// next skips space and gives the byte behind it, 0 at the end.
func (p *parser) next() byte {
	if p.space(); p.at < len(p.data) {
		return p.data[p.at]
	}
	return 0
}

func (p *parser) value(depth int) (value, error) {
	if p.values++; p.values > maxValues {
		return value{}, p.fail("there are more than %d values: send fewer at a time", maxValues)
	}
	if depth > maxDepth {
		return value{}, p.fail("objects and arrays are nested more than %d deep", maxDepth)
	}
	switch c := p.next(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.string()
		return value{kind: isText, text: s}, err
	case c == '-' || c >= '0' && c <= '9':
		return p.number()
	}
	for _, word := range literals {
		if strings.HasPrefix(p.data[p.at:], word.text) {
			p.at += len(word.text)
			return value{kind: word.kind}, nil
		}
	}
	if p.at == len(p.data) {
		return value{}, p.fail("the JSON ends too early")
	}
	return value{}, p.fail("a value was expected")
}

var literals = []struct {
	text string
	kind kind
}{{"true", isTrue}, {"false", isFalse}, {"null", isNull}}

func (p *parser) object(depth int) (value, error) {
	v := value{kind: isObject, items: make([]member, 0, 2)} // most have two
	var seen map[string]bool                                // of many names
	p.at++
	for first := true; ; first = false {
		switch c := p.next(); {
		case c == '}' && first:
			p.at++
			return v, nil
		case c != '"':
			return v, p.fail("the name of a member was expected")
		}
		name, err := p.string()
		if err != nil {
			return v, err
		}
		if seen, err = p.unique(v.items, seen, name); err != nil {
			return v, err
		}
		if p.next() != ':' {
			return v, p.fail("a colon was expected")
		}
		p.at++
		item, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.items = append(v.items, member{name, item})
		switch p.next() {
		case ',':
			p.at++
		case '}':
			p.at++
			return v, nil
		default:
			return v, p.fail("a comma or the end of the object was expected")
		}
	}
}

// fewNames are compared one by one; more are looked up.
const fewNames = 8

// unique refuses the name of a member that was there before, perhaps in another case.
func (p *parser) unique(before []member, seen map[string]bool, name string) (map[string]bool, error) {
	twin := false
	if len(before) < fewNames {
		twin = slices.ContainsFunc(before, func(other member) bool { return same(name, other.name) })
	} else {
		if seen == nil {
			seen = make(map[string]bool, 2*fewNames)
			for _, other := range before {
				seen[store.Fold(other.name)] = true
			}
		}
		twin = seen[store.Fold(name)]
		seen[store.Fold(name)] = true
	}
	if twin {
		return seen, p.fail("%q is there twice in one object, perhaps in another case: send it once", shorten(name))
	}
	return seen, nil
}

// same compares names without regard to case, as store.Fold does.
func same(a, b string) bool {
	return a == b || strings.EqualFold(a, b) || (!ascii(a) || !ascii(b)) && store.Fold(a) == store.Fold(b)
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func (p *parser) array(depth int) (value, error) {
	v := value{kind: isArray}
	p.at++
	if p.next() == ']' {
		p.at++
		return v, nil
	}
	for {
		item, err := p.value(depth + 1)
		if err != nil {
			return v, err
		}
		v.items = append(v.items, member{value: item})
		switch p.next() {
		case ',':
			p.at++
		case ']':
			p.at++
			return v, nil
		default:
			return v, p.fail("a comma or the end of the array was expected")
		}
	}
}

// string reads a text in quotes. Most hold no escapes and are what they look like.
func (p *parser) string() (string, error) {
	start, plain := p.at, true
	for p.at++; p.at < len(p.data); p.at++ {
		switch c := p.data[p.at]; {
		case c == '"':
			p.at++
			if plain {
				return p.data[start+1 : p.at-1], nil
			}
			return p.unescape(p.data[start:p.at])
		case c < ' ':
			return "", p.fail("a control character stands in a text: escape it")
		case c == '\\':
			plain = false
			p.at++
		}
	}
	return "", p.fail("the JSON ends too early")
}

func (p *parser) unescape(quoted string) (string, error) {
	var s string
	if err := json.Unmarshal([]byte(quoted), &s); err != nil {
		return "", p.fail("a text has an escape that there isn't")
	}
	if strings.IndexByte(s, 0) >= 0 {
		return "", p.fail("text holds the character U+0000, which cannot be stored")
	}
	// What encoding/json puts for half of a surrogate pair, so that two names become one.
	if strings.ContainsRune(s, utf8.RuneError) && !strings.ContainsRune(quoted, utf8.RuneError) {
		return "", p.fail("half of a surrogate pair is no character")
	}
	return s, nil
}

func (p *parser) number() (value, error) {
	start := p.at
	for p.at < len(p.data) && strings.IndexByte("+-.0123456789eE", p.data[p.at]) >= 0 {
		p.at++
	}
	text := p.data[start:p.at]
	if !json.Valid([]byte(text)) {
		return value{}, p.fail("%s is no number", shorten(text))
	}
	return value{kind: isNumber, text: text}, nil
}

// shorten cuts what is repeated in a message. What stands in an address or a header
// need not be UTF-8.
func shorten(s string) string {
	const most = 60
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// appendCanonical writes a value so that equal ones are equal text: members in the
// order of their names.
func appendCanonical(b []byte, v value) []byte {
	switch v.kind {
	case isNull, isTrue, isFalse:
		return append(b, 'n', byte(v.kind))
	case isNumber:
		return append(append(append(b, '#'), v.text...), ';')
	case isText:
		return appendText(b, v.text)
	case isArray:
		b = append(b, '[')
		for _, item := range v.items {
			b = appendCanonical(b, item.value)
		}
		return append(b, ']')
	}
	b = append(b, '{')
	for _, m := range slices.SortedFunc(slices.Values(v.items), func(a, b member) int { return strings.Compare(a.name, b.name) }) {
		b = appendCanonical(appendText(b, m.name), m.value)
	}
	return append(b, '}')
}

// appendText writes a text behind its length, so that no two rows of texts are alike.
func appendText(b []byte, s string) []byte {
	return append(fmt.Appendf(b, "%d:", len(s)), s...)
}
