package scim

import (
	"strconv"
	"strings"

	"gatehouse/store"
)

// derived says a filter in terms of what the store keeps: addresses and versions are
// only made when a resource is read, below base.
func (t *resourceType) derived(f store.Filter, base string) store.Filter {
	return rewrite(f, func(f store.Filter) store.Filter {
		switch f := f.(type) {
		case store.Some:
			if a, ok := t.core.byName[f.Attr.Path[0]]; ok && a.isRows() {
				f.Where = a.referred(f.Where, base)
			}
			return f
		case store.Compare:
			return t.derivedComparison(f, base)
		}
		return f
	})
}

// rewrite is a filter with what leaf makes of its comparisons and value paths.
func rewrite(f store.Filter, leaf func(store.Filter) store.Filter) store.Filter {
	all := func(parts []store.Filter) []store.Filter {
		list := make([]store.Filter, len(parts))
		for i, part := range parts {
			list[i] = rewrite(part, leaf)
		}
		return list
	}
	switch f := f.(type) {
	case store.And:
		return store.And(all(f))
	case store.Or:
		return store.Or(all(f))
	case store.Not:
		return store.Not{Filter: rewrite(f.Filter, leaf)}
	}
	return leaf(f)
}

// same is what a comparison that is eq or ne comes to, of what holds when it is eq.
func same(op store.Op, equal store.Filter) store.Filter {
	if op == store.NotEqual {
		return store.Not{Filter: equal}
	}
	return equal
}

func (t *resourceType) derivedComparison(f store.Compare, base string) store.Filter {
	asked, isText := f.Value.(string)
	switch strings.Join(f.Attr.Path, ".") {
	case "meta.location":
		id, ok := strings.CutPrefix(asked, base+t.endpoint+"/")
		if !ok {
			return same(f.Op, store.Or{})
		}
		return same(f.Op, store.Compare{Attr: t.core.byName["id"].search(false), Op: store.Equal, Value: id})
	case "meta.version":
		number, digest, ok := splitVersion(asked)
		if !ok || (digest != "") != (t == userType) {
			return same(f.Op, store.Or{})
		}
		op := f.Op
		f.Attr.Type, f.Op, f.Value = store.TypeNumber, store.Equal, number
		if t == userType {
			return same(op, store.And{f, store.SameGroups{Digest: digest}})
		}
		return same(op, f)
	case "members.$ref", "groups.$ref":
		if !isText {
			return f
		}
		a, op := t.core.byName[f.Attr.Path[0]], f.Op
		f.Attr, f.Op = store.Attr{Path: f.Attr.Path[1:]}, store.Equal
		return same(op, store.Some{Attr: a.search(false), Where: a.referred(f, base)})
	}
	return f
}

// referred is a filter on an element of members or groups without addresses: each
// is as good as an id and the kind of resource that has it.
func (a *attribute) referred(f store.Filter, base string) store.Filter {
	return rewrite(f, func(f store.Filter) store.Filter {
		c, ok := f.(store.Compare)
		if asked, isText := c.Value.(string); ok && isText && c.Attr.Path[0] == "$ref" {
			return same(c.Op, a.referredTo(asked, base))
		}
		return f
	})
}

// referredTo is a filter on an element that has an address.
func (a *attribute) referredTo(address, base string) store.Filter {
	equal := func(name, value string) store.Filter {
		sub, _ := a.subAttribute(name)
		return store.Compare{Attr: sub.search(true), Op: store.Equal, Value: sub.foldText(value)}
	}
	for _, t := range []*resourceType{userType, groupType} {
		id, ok := strings.CutPrefix(address, base+t.endpoint+"/")
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

// splitVersion takes a version that versionOf made apart.
func splitVersion(version string) (number float64, digest string, ok bool) {
	digits, digest, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(version, `W/"`), `"`), ".")
	n, err := strconv.ParseInt(digits, 10, 64)
	whole := strconv.FormatInt(n, 10)
	if digest != "" {
		whole += "." + digest
	}
	return float64(n), digest, err == nil && 0 < n && n < 1<<53 && version == `W/"`+whole+`"`
}
