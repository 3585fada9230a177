package scim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	scimerr "github.com/elimity-com/scim/errors"
	"github.com/go-json-experiment/json/jsontext"

	"gatehouse/store"
)

// maxDepth is how deep objects and arrays may nest in a body.
const maxDepth = 32

// maxBodyValues bounds what a body is made of, and so the memory that it takes: a
// group of 200,000 members, each with value, display and $ref.
const maxBodyValues = 1_000_000

// valuesInBreath are read at a time, in about three milliseconds, before others get a breath.
const valuesInBreath = 16384

// decode reads one JSON value from a body, which may be in pieces. It is stricter than encoding/json where a lax
// reader could be made to see another document than the sender's, or the
// database would refuse what was read: member names may not repeat, not even in
// another case; text is valid UTF-8 without NUL and without half of a surrogate pair;
// numbers fit a float64 but are kept as json.Number, digit for digit. Errors are
// invalidSyntax and say where.
func decode(body ...[]byte) (any, error) {
	value, err := decodePieces(body)
	if errors.Is(err, errLong) {
		value, err = decodePieces([][]byte{joined(body)})
	}
	return value, err
}

func decodePieces(body [][]byte) (any, error) {
	// Names are compared below, by their folded forms.
	d := &decoder{body: body, tokens: jsontext.NewDecoder(reader(body), jsontext.AllowDuplicateNames(true))}
	value, err := d.value()
	if err != nil {
		return nil, err
	}
	if _, err := d.tokens.ReadToken(); errors.Is(err, errLong) {
		return nil, err
	} else if err != io.EOF {
		return nil, d.fail("there is more after the end of the JSON value")
	}
	return value, nil
}

// joined puts pieces together, with a breath behind each.
func joined(body [][]byte) []byte {
	size := 0
	for _, piece := range body {
		size += len(piece)
	}
	all := make([]byte, 0, size)
	for _, piece := range body {
		all = append(all, piece...)
		time.Sleep(breath)
	}
	return all
}

// reader reads a body. Of a single piece the decoder makes no copy.
func reader(body [][]byte) io.Reader {
	if len(body) == 1 {
		return bytes.NewBuffer(body[0])
	}
	readers := make([]io.Reader, len(body))
	for i, piece := range body {
		readers[i] = bytes.NewReader(piece)
	}
	return bounded{io.MultiReader(readers...)}
}

// bounded ends with errLong when the decoder wants more than 2 MiB at a time, which it does
// for a token, or the space before one, of more than a megabyte: it would copy all of
// it again and again, where of a single piece it copies nothing.
type bounded struct{ io.Reader }

var errLong = errors.New("too long to be in pieces")

func (b bounded) Read(p []byte) (int, error) {
	if len(p) > 2*maxUserBody {
		return 0, errLong
	}
	return b.Reader.Read(p)
}

// decoder reads a value token by token and remembers where it is.
type decoder struct {
	body   [][]byte
	tokens *jsontext.Decoder
	at     []step
	values int
	// onMembers says that the operation at hand has members as its path.
	onMembers bool
	// spare is what the next object is read into, if there is one.
	spare document
	// seen has the names of what a list of members is made of, which are the same again
	// and again; it is nil elsewhere.
	seen map[string]name
}

// name is a member's name, and its folded form.
type name struct{ text, folded string }

const (
	// maxSeen bounds the names that are remembered.
	maxSeen = 64
	// maxSpare is how many names an object has at most that is read into again.
	maxSpare = 16
)

// step is one level of nesting: a member's name, or an index when name is "".
type step struct {
	name  string
	index int
}

func (d *decoder) value() (any, error) {
	if d.values++; d.values > maxBodyValues {
		return nil, d.fail("there are more than %d values: send fewer at a time", maxBodyValues)
	}
	if d.values%valuesInBreath == 0 {
		time.Sleep(breath)
	}
	token, err := d.tokens.ReadToken()
	if err != nil {
		return nil, d.syntax(err)
	}
	switch kind := token.Kind(); kind {
	case '{', '[':
		if len(d.at) == maxDepth {
			return nil, d.fail("objects and arrays are nested more than %d deep", maxDepth)
		}
		if kind == '{' {
			return d.object()
		}
		return d.array()
	case '"':
		text := token.String()
		return text, d.text(text)
	case '0':
		number := json.Number(token.String())
		return number, d.number(number)
	case 'n':
		return nil, nil
	}
	return token.Bool(), nil
}

func (d *decoder) object() (any, error) {
	object := d.spare
	if d.spare = nil; object == nil {
		object = document{}
	}
	var names names
	for d.tokens.PeekKind() != '}' {
		name, err := d.name()
		if err != nil {
			return nil, err
		}
		if !names.add(name.folded) {
			return nil, d.fail("%q is there twice in one object, perhaps in another case: send it once", shorten(name.text))
		}
		d.at = append(d.at, step{name: name.text})
		if object[name.text], err = d.value(); err != nil {
			return nil, err
		}
		d.at = d.at[:len(d.at)-1]
		if len(d.at) == 2 && foldName(name.text) == "path" {
			path, _ := object[name.text].(string)
			d.onMembers = foldName(path) == "members"
		}
	}
	return object, d.close()
}

// name reads a member's name.
func (d *decoder) name() (name, error) {
	token, err := d.tokens.ReadToken()
	if err != nil {
		return name{}, d.syntax(err)
	}
	if known, ok := d.seen[token.String()]; ok {
		return known, nil
	}
	text := token.String() // any other key is an error
	if err := d.text(text); err != nil {
		return name{}, err
	}
	read := name{text, store.Fold(text)}
	if d.seen != nil && len(d.seen) < maxSeen {
		d.seen[text] = read
	}
	return read, nil
}

func (d *decoder) array() (any, error) {
	array := []any{}
	var ids idList
	members := d.atMembers()
	var spare document
	if members {
		spare, d.seen = document{}, map[string]name{}
		defer func() { d.seen = nil }()
	}
	for i := 0; d.tokens.PeekKind() != ']'; i++ {
		d.at = append(d.at, step{index: i})
		if len(d.at) == 2 {
			d.onMembers = false // another operation
		}
		d.spare = spare
		value, err := d.value()
		d.spare = nil
		if err != nil {
			return nil, err
		}
		if members = members && ids.add(value); !members {
			array = append(append(array, ids.values()...), value)
			ids, spare = idList{}, nil
		}
		if len(spare) > maxSpare { // what a map once had room for, looking through it takes
			spare = document{}
		}
		clear(spare)
		d.at = d.at[:len(d.at)-1]
	}
	if members && ids.n > 0 {
		return ids.strings(), d.close()
	}
	return array, d.close()
}

// idList are members by their ids, which are all that counts (see memberIDs). As
// objects those of a large group would take twenty times the memory, and the time of
// whoever else asks while it is swept up.
type idList struct {
	// text has the ids one behind the other, last those after it: short enough that nobody
	// waits while one is copied.
	text []string
	last []byte
	n    int
}

// idsInText is how many ids a text has.
const idsInText = 1000

// add takes a member that is an id or an object with one, and no other.
func (l *idList) add(member any) bool {
	if object, ok := member.(document); ok {
		member = object[sameKey(object, "value")]
	}
	id, ok := member.(string)
	if !ok || !isID(id) {
		return false
	}
	l.n++
	l.last = append(l.last, id...)
	if len(l.last) == idsInText*idLength {
		l.text, l.last = append(l.text, string(l.last)), l.last[:0]
	}
	return true
}

// strings are the ids, as parts of long texts.
func (l *idList) strings() []string {
	ids := make([]string, 0, l.n)
	for _, text := range append(l.text, string(l.last)) {
		for ; text != ""; text = text[idLength:] {
			ids = append(ids, text[:idLength])
		}
	}
	return ids
}

func (l *idList) values() (values []any) {
	for _, id := range l.strings() {
		values = append(values, id)
	}
	return values
}

// atMembers reports whether the value at hand is a list of a group's members: in its
// body, or in an operation whose path was members. An operation without a path may
// still get one, so that its lists could be anything.
func (d *decoder) atMembers() bool {
	is := func(level int, name string) bool { return foldName(d.at[level].name) == name }
	switch len(d.at) {
	case 1:
		return is(0, "members")
	case 3:
		return is(0, "operations") && is(2, "value") && d.onMembers
	}
	return false
}

// names are the names in an object. Most objects have few.
type names struct {
	few  [8]string
	n    int
	many map[string]bool
}

// add reports whether a name is a new one.
func (s *names) add(name string) bool {
	if slices.Contains(s.few[:s.n], name) || s.many[name] {
		return false
	}
	if s.n < len(s.few) {
		s.few[s.n] = name
		s.n++
		return true
	}
	if s.many == nil {
		s.many = map[string]bool{}
	}
	s.many[name] = true
	return true
}

// close reads the bracket that ends an object or array.
func (d *decoder) close() error {
	if _, err := d.tokens.ReadToken(); err != nil {
		return d.syntax(err)
	}
	return nil
}

// text refuses NUL, which PostgreSQL cannot store.
func (d *decoder) text(s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return d.fail("text holds the character U+0000, which cannot be stored")
	}
	return nil
}

// number refuses what the databases' numbers cannot hold: 1e999999, 1e-999999.
func (d *decoder) number(n json.Number) error {
	f, err := strconv.ParseFloat(string(n), 64)
	mantissa, _, _ := strings.Cut(strings.ToLower(string(n)), "e")
	if err != nil || f == 0 && strings.ContainsAny(mantissa, "123456789") {
		return d.fail("the number is too large or too small")
	}
	return nil
}

func (d *decoder) syntax(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		if !slices.ContainsFunc(d.body, func(piece []byte) bool { return len(bytes.TrimSpace(piece)) > 0 }) {
			return invalid(scimerr.ScimTypeInvalidSyntax, "The body is empty: send a JSON object.")
		}
		return d.fail("the JSON ends too early")
	}
	if errors.Is(err, errLong) {
		return errLong
	}
	var e *jsontext.SyntacticError
	if !errors.As(err, &e) {
		return d.fail("it is no JSON")
	}
	says := e.Err.Error()
	for _, known := range sayings {
		if strings.HasPrefix(says, known.begins) {
			return d.failAt(e.ByteOffset, "%s", cmp.Or(known.ours, says))
		}
	}
	return d.failAt(e.ByteOffset, "it is no JSON")
}

// sayings are what jsontext says is wrong. It is told as it stands when it shows a
// character at most, since the text may be a secret.
var sayings = []struct{ begins, ours string }{
	{"invalid character '", ""},
	{"object member name must be a string", ""},
	{"invalid UTF-8", "the text is not UTF-8"},
	{"invalid surrogate pair", "half of a surrogate pair is no character"},
	{"invalid escape sequence", "the backslash begins no escape sequence"},
}

// fail is an error that says where in the body it was found.
func (d *decoder) fail(format string, args ...any) error {
	return d.failAt(d.tokens.InputOffset(), format, args...)
}

func (d *decoder) failAt(offset int64, format string, args ...any) error {
	line, rest := 1, offset
	for _, piece := range d.body {
		before := piece[:min(rest, int64(len(piece)))]
		line, rest = line+bytes.Count(before, []byte("\n")), rest-int64(len(before))
	}
	return invalid(scimerr.ScimTypeInvalidSyntax, "The body cannot be read at line %d, byte %d%s: %s.",
		line, offset, d.where(), fmt.Sprintf(format, args...))
}

// where writes the way to the current value: " (in emails[0].value)".
func (d *decoder) where() string {
	if len(d.at) == 0 {
		return ""
	}
	var b strings.Builder
	for _, s := range d.at {
		switch {
		case s.name == "":
			fmt.Fprintf(&b, "[%d]", s.index)
		case b.Len() == 0:
			b.WriteString(shorten(s.name))
		default:
			b.WriteString("." + shorten(s.name))
		}
	}
	return " (in " + b.String() + ")"
}
