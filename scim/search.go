package scim

import "gatehouse/store"

// searchable is the document that filters look into: the attributes that the
// schema knows, their names in lower case, texts folded by store.Fold unless
// their case counts, instants in store.SearchTime's form, and the URIs of the
// schemas that the resource has something of.
func (t *resourceType) searchable(doc document) map[string]any {
	found := map[string]any{}
	schemas := []any{t.core.urn}
	for _, name := range sortedKeys(doc) {
		if a, ok := t.core.byName[foldName(name)]; ok {
			found[a.folded] = a.searchValue(doc[name])
			continue
		}
		if !isURN(name) {
			continue
		}
		schemas = append(schemas, name)
		if s, ok := t.schema(name); ok {
			found[s.folded] = searchObject(doc[name], s.byName)
		}
	}
	found["schemas"] = schemas
	return found
}

// searchValue is a value as the searchable document holds it.
func (a *attribute) searchValue(value any) any {
	switch v := value.(type) {
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = a.searchValue(e)
		}
		return list
	case document:
		object := make(document, len(v))
		for name, e := range v {
			if sub, ok := a.subAttribute(name); ok {
				object[sub.folded] = sub.searchValue(e)
			}
		}
		return object
	case string:
		return a.searchText(v)
	}
	return value
}

// searchObject is what the searchable document holds of an extension.
func searchObject(value any, attributes map[string]*attribute) document {
	object := document{}
	extension, _ := value.(document)
	for name, v := range extension {
		if a, ok := attributes[foldName(name)]; ok {
			object[a.folded] = a.searchValue(v)
		}
	}
	return object
}

func (a *attribute) searchText(text string) string {
	if a.typ != typeDateTime {
		return a.foldText(text)
	}
	if instant, ok := parseTime(text); ok {
		return store.SearchTime(instant)
	}
	return text
}
