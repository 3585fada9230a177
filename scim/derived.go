package scim

import (
	"strconv"
	"strings"

	"gatehouse/store"
)

// derived says a filter in terms of what the store keeps: addresses and versions are
// only made when a resource is read, below base.
func (t *resourceType) derived(f store.Filter, base string) store.Filter {
	all := func(parts []store.Filter) []store.Filter {
		list := make([]store.Filter, len(parts))
		for i, part := range parts {
			list[i] = t.derived(part, base)
		}
		return list
	}
	switch f := f.(type) {
	case store.And:
		return store.And(all(f))
	case store.Or:
		return store.Or(all(f))
	case store.Not:
		return store.Not{Filter: t.derived(f.Filter, base)}
	case store.Some:
		if a, ok := t.core.byName[f.Attr.Path[0]]; ok && a.isRows() {
			f.Where = a.referred(f.Where, base)
		}
		return f
	case store.Compare:
		return t.derivedComparison(f, base)
	}
	return f
}

func (t *resourceType) derivedComparison(f store.Compare, base string) store.Filter {
	if f.Op == store.NotEqual {
		f.Op = store.Equal
		return store.Not{Filter: t.derivedComparison(f, base)}
	}
	asked, isText := f.Value.(string)
	switch strings.Join(f.Attr.Path, ".") {
	case "meta.location":
		id, ok := strings.CutPrefix(asked, base+t.endpoint+"/")
		if !ok {
			return store.Or{}
		}
		return store.Compare{Attr: t.core.byName["id"].search(false), Op: store.Equal, Value: id}
	case "meta.version":
		number, ok := versionNumber(asked)
		if !ok {
			return store.Or{}
		}
		f.Attr.Type, f.Value = store.TypeNumber, number
		return f
	case "members.$ref", "groups.$ref":
		if !isText {
			return f
		}
		a := t.core.byName[f.Attr.Path[0]]
		f.Attr = store.Attr{Path: f.Attr.Path[1:]}
		return store.Some{Attr: a.search(false), Where: a.referred(f, base)}
	}
	return f
}

// referred is a filter on an element of members or groups without addresses: each
// is as good as an id and the kind of resource that has it.
func (a *attribute) referred(f store.Filter, base string) store.Filter {
	all := func(parts []store.Filter) []store.Filter {
		list := make([]store.Filter, len(parts))
		for i, part := range parts {
			list[i] = a.referred(part, base)
		}
		return list
	}
	switch f := f.(type) {
	case store.And:
		return store.And(all(f))
	case store.Or:
		return store.Or(all(f))
	case store.Not:
		return store.Not{Filter: a.referred(f.Filter, base)}
	case store.Compare:
		asked, isText := f.Value.(string)
		if f.Attr.Path[0] != "$ref" || !isText {
			return f
		}
		if f.Op == store.NotEqual {
			f.Op = store.Equal
			return store.Not{Filter: a.referred(f, base)}
		}
		equal := func(name, value string) store.Filter {
			sub, _ := a.subAttribute(name)
			return store.Compare{Attr: sub.search(true), Op: store.Equal, Value: sub.foldText(value)}
		}
		for _, t := range []*resourceType{userType, groupType} {
			id, ok := strings.CutPrefix(asked, base+t.endpoint+"/")
			switch {
			case !ok:
			case a.folded == "members":
				return store.And{equal("value", id), equal("type", t.name)}
			case t == groupType:
				return equal("value", id)
			}
		}
		return store.Or{}
	}
	return f
}

// versionNumber is the number of a version that versionOf made of a group's.
func versionNumber(version string) (float64, bool) {
	digits := strings.TrimSuffix(strings.TrimPrefix(version, `W/"`), `"`)
	number, err := strconv.ParseInt(digits, 10, 64)
	return float64(number), err == nil && version == versionOf(number, nil)
}
