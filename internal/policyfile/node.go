package policyfile

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// reader walks a document and notes what is wrong with it. It goes on after a
// mistake, so that a file is mended in one go.
type reader struct {
	file     string
	mistakes Mistakes
	compared int // words, in search of what was meant
}

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	m := Mistake{File: r.file, Text: fmt.Sprintf(format, args...)}
	if n != nil {
		m.Line, m.Column = n.Line, n.Column
	}
	r.mistakes = append(r.mistakes, m)
}

// err is all mistakes so far.
func (r *reader) err() error {
	if len(r.mistakes) == 0 {
		return nil
	}
	slices.SortStableFunc(r.mistakes, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return r.mistakes
}

// badByte is where the first byte is that is no UTF-8.
func badByte(data []byte) *yaml.Node {
	good := 0
	for letter, size := utf8.DecodeRune(data); letter != utf8.RuneError || size > 1; letter, size = utf8.DecodeRune(data[good:]) {
		good += size
	}
	line := bytes.LastIndexByte(data[:good], '\n') + 1
	return &yaml.Node{Line: bytes.Count(data[:good], []byte{'\n'}) + 1, Column: utf8.RuneCount(data[line:good]) + 1}
}

// document reads YAML text without making anything of it yet. Aliases are
// refused: they make small files large, and a grant that is written somewhere
// else is hard to review.
func (r *reader) document(data []byte) *yaml.Node {
	switch {
	case len(data) > MaxSize:
		r.fail(nil, "%d bytes are too many: the limit is %d", len(data), MaxSize)
		return nil
	case !utf8.Valid(data):
		r.fail(badByte(data), "is no UTF-8 text")
		return nil
	}
	var doc, more yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		r.fail(nil, "is empty")
		return nil
	} else if err != nil {
		r.syntax(err)
		return nil
	}
	if err := decoder.Decode(&more); err == nil {
		r.fail(&more, "a second document: one file is one document")
		return nil
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err)
		return nil
	}
	if !r.plain(&doc, 0) {
		return nil
	}
	return doc.Content[0]
}

var atLine = regexp.MustCompile(`^(?:yaml: )?(?:line (\d+): )?(.*)`)

// syntax is what the YAML parser has to say.
func (r *reader) syntax(err error) {
	found := atLine.FindStringSubmatch(err.Error())
	m := Mistake{File: r.file, Line: 1, Column: 1, Text: "no YAML: " + found[2]}
	if line, err := strconv.Atoi(found[1]); err == nil {
		m.Line = line // it names none of the first line
	}
	r.mistakes = append(r.mistakes, m)
}

// plain reports whether there is nothing in a document that isn't understood
// here whatever it is for.
func (r *reader) plain(n *yaml.Node, depth int) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.fail(n, "anchors and aliases (& and *) aren't understood: write it out, and quote %q as a key", "*")
		return false
	case depth > maxDepth:
		r.fail(n, "nested more than %d deep", maxDepth)
		return false
	}
	for _, child := range n.Content {
		if !r.plain(child, depth+1) {
			return false
		}
	}
	return true
}

// entry is one key of a map with its value.
type entry struct {
	key   string
	name  *yaml.Node
	value *yaml.Node
}

// entries are those of a map in the order of the file; a key that is there twice
// counts once.
func (r *reader) entries(n *yaml.Node, what string) []entry {
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s: want %s, got %s", what, "keys with values", kindOf(n))
		return nil
	}
	var all []entry
	lines := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i]
		key, ok := r.text(name, what+": a key")
		if !ok {
			continue
		}
		if line, twice := lines[key]; twice {
			r.fail(name, "%s: %q is there twice, first in line %d", what, key, line)
			continue
		}
		lines[key] = name.Line
		all = append(all, entry{key, name, n.Content[i+1]})
	}
	return all
}

// fields are the values of a map whose keys are known.
type fields map[string]*yaml.Node

func (r *reader) fields(n *yaml.Node, what string, known ...string) fields {
	all := make(fields)
	for _, e := range r.entries(n, what) {
		if !slices.Contains(known, e.key) {
			r.fail(e.name, "%s: unknown key %q%s", what, e.key, meant(r, e.key, known))
			continue
		}
		all[e.key] = e.value
	}
	return all
}

// items are those of a list; one alone may stand without brackets.
func (r *reader) items(n *yaml.Node, what string) []*yaml.Node {
	switch {
	case n == nil:
		return nil
	case n.Kind == yaml.SequenceNode:
		return n.Content
	case n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null":
		return []*yaml.Node{n}
	}
	r.fail(n, "%s: want a list, got %s", what, kindOf(n))
	return nil
}

// text is a value as it is written: 007 stays 007, and no stays no.
func (r *reader) text(n *yaml.Node, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" || n.ShortTag() == "!!binary" {
		r.fail(n, "%s: want a text, got %s", what, kindOf(n))
		return "", false
	}
	if strings.ContainsRune(n.Value, 0) {
		r.fail(n, "%s: a text without NUL, please", what)
		return "", false
	}
	return n.Value, true
}

// string is an optional text.
func (f fields) string(r *reader, key string) string {
	n, ok := f[key]
	if !ok {
		return ""
	}
	text, _ := r.text(n, key)
	return text
}

// bool is an optional yes or no.
func (f fields) bool(r *reader, key string) bool {
	n, ok := f[key]
	if !ok {
		return false
	}
	switch text, _ := r.text(n, key); text {
	case "true", "yes":
		return true
	case "false", "no":
	default:
		r.fail(n, "%s: want true or false, got %s", key, kindOf(n))
	}
	return false
}

// number is an optional count.
func (f fields) number(r *reader, key string) int {
	n, ok := f[key]
	if !ok {
		return 0
	}
	text, _ := r.text(n, key)
	count, err := strconv.Atoi(text)
	if err != nil || count < 0 {
		r.fail(n, "%s: want a number from 0 on, got %s", key, kindOf(n))
		return 0
	}
	return count
}

// instant is an optional point in time; a day alone is its first moment in UTC.
func (f fields) instant(r *reader, key string) time.Time {
	n, ok := f[key]
	if !ok {
		return time.Time{}
	}
	text, _ := r.text(n, key)
	for _, layout := range []string{time.DateOnly, time.RFC3339Nano} {
		at, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		if at = at.UTC().Truncate(time.Millisecond); at.Year() < 1970 || at.Year() > 9999 || at.UnixMilli() == 0 {
			break
		}
		return at
	}
	r.fail(n, "%s: want a day such as 2031-06-30, or an instant such as 2031-06-30T17:00:00Z, got %q", key, text)
	return time.Time{}
}

// kindOf names what a node is, for people.
func kindOf(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys with values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "nothing"
	}
	return strconv.Quote(n.Value)
}

// maxCompared is how many words are compared in search of what was meant: where
// there are very many, for the first mistakes only.
const maxCompared = 500_000

// sortedKeys are the keys of a map in order, as long as they can be compared.
func sortedKeys[K ~string, V any](r *reader, m map[K]V) []K {
	if r.compared > maxCompared {
		return nil
	}
	return slices.Sorted(maps.Keys(m))
}

// meant suggests the known word nearest to one that isn't known.
func meant[S ~string](r *reader, word string, known []S) string {
	best, least := "", max(2, len(word)/3)+1
	for _, k := range known {
		if r.compared++; r.compared > maxCompared {
			return ""
		}
		if len(k) <= len(word)-least || len(k) >= len(word)+least {
			continue
		}
		if d := distance(word, string(k)); d < least {
			best, least = string(k), d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(": did you mean %q?", best)
}

// distance is how many letters one has to add, take away, change or swap with
// their neighbour to make a word of another; the case of letters doesn't count.
// It looks at the beginning of long words only.
func distance(a, b string) int {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	x, y = x[:min(len(x), 60)], y[:min(len(y), 60)]
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}
