package patchmodel

import (
	"encoding/json"
	"fmt"
	"strings"
)

// String is the filter as RFC 7644 §3.4.2.2 writes it.
func (f *Filter) String() string {
	switch f.Op {
	case "and", "or":
		return fmt.Sprintf("(%v) %s (%v)", f.Left, f.Op, f.Right)
	case "not":
		return fmt.Sprintf("not (%v)", f.Left)
	case "pr":
		return f.Attr + " pr"
	}
	literal := f.text()
	if f.Quoted {
		data, err := json.Marshal(literal)
		if err != nil {
			panic(err)
		}
		literal = string(data)
	}
	return f.Attr + " " + f.Op + " " + literal
}

// text is the value without its quotes.
func (f *Filter) text() string {
	if f.Value == nil {
		return "null"
	}
	return fmt.Sprint(f.Value)
}

// check refuses what can't be compared (RFC 7644 table 3).
func (f *Filter) check(a *attribute) {
	switch f.Op {
	case "and", "or":
		f.Left.check(a)
		f.Right.check(a)
		return
	case "not":
		f.Left.check(a)
		return
	}
	sub := a.find(f.Attr)
	if sub == nil {
		refuse("invalidFilter")
	}
	equality := f.Op == "eq" || f.Op == "ne"
	ordering := f.Op == "gt" || f.Op == "ge" || f.Op == "lt" || f.Op == "le"
	switch {
	case f.Op == "pr", equality && f.isNull():
		return
	case !equality && (sub.kind == booleanKind || sub.whole), ordering && sub.kind == binaryKind:
		refuse("invalidFilter")
	case sub.kind == dateKind:
		refuse("invalidFilter") // no text of the generator's is a date
	case sub.kind == booleanKind:
		if _, ok := sub.truth(f.Value); !ok {
			refuse("invalidFilter")
		}
	case !f.Quoted:
		switch strings.ToLower(f.text()) {
		case "true", "false", "null":
			refuse("invalidFilter") // text is in quotes, or at least nothing else
		}
	}
}

func (f *Filter) isNull() bool { return f.Value == nil && !f.Quoted }

// truth is a boolean, or its name in any case.
func (a *attribute) truth(v any) (value, ok bool) {
	switch strings.ToLower(fmt.Sprint(v)) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// holds says whether a value of the attribute is as the filter says.
func (f *Filter) holds(a *attribute, value object) bool {
	switch f.Op {
	case "and":
		return f.Left.holds(a, value) && f.Right.holds(a, value)
	case "or":
		return f.Left.holds(a, value) || f.Right.holds(a, value)
	case "not":
		return !f.Left.holds(a, value)
	}
	sub := a.find(f.Attr)
	have, there := value[sub.name]
	want := f.text()
	switch {
	case f.Op == "pr", f.Op == "ne" && f.isNull():
		return there
	case f.Op == "eq" && f.isNull():
		return !there
	case f.Op == "ne":
		return !there || !sub.compares("eq", have, want)
	}
	return there && sub.compares(f.Op, have, want)
}

func (a *attribute) compares(op string, have, want any) bool {
	if a.kind == booleanKind {
		truth, _ := a.truth(want)
		return have == truth
	}
	h, w := a.fold(have), a.fold(want)
	switch op {
	case "eq":
		return h == w
	case "co":
		return strings.Contains(h, w)
	case "sw":
		return strings.HasPrefix(h, w)
	case "ew":
		return strings.HasSuffix(h, w)
	case "gt":
		return h > w
	case "ge":
		return h >= w
	case "lt":
		return h < w
	case "le":
		return h <= w
	}
	panic(op)
}

func (a *attribute) fold(v any) string {
	if a.exact {
		return fmt.Sprint(v)
	}
	return strings.ToLower(fmt.Sprint(v))
}

// covers says whether a value has every part of another, as filters compare.
func (a *attribute) covers(value, parts object) bool {
	for key, want := range parts {
		have, there := value[key]
		if sub := a.find(key); !there || !sub.compares("eq", have, want) {
			return false
		}
	}
	return true
}

// equalities are the parts of a value that a filter of nothing but equalities
// asks for, the last word on each.
func (f *Filter) equalities() (object, bool) {
	switch {
	case f.Op == "and":
		left, ok := f.Left.equalities()
		right, ok2 := f.Right.equalities()
		if !ok || !ok2 {
			return nil, false
		}
		for key, v := range right {
			for other := range left {
				if strings.EqualFold(other, key) {
					delete(left, other)
				}
			}
			left[key] = v
		}
		return left, true
	case f.Op == "eq" && !f.isNull():
		return object{f.Attr: f.text()}, true
	}
	return nil, false
}

// ids are the members that a filter names: value eq "a" or value eq "b".
func (f *Filter) ids() ([]string, bool) {
	switch {
	case f.Op == "or":
		left, ok := f.Left.ids()
		right, ok2 := f.Right.ids()
		return append(left, right...), ok && ok2
	case f.Op == "eq" && strings.EqualFold(f.Attr, "value") && !f.isNull():
		return []string{f.text()}, true
	}
	return nil, false
}
