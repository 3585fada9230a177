package scim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	scimerr "github.com/elimity-com/scim/errors"
)

const annFull = `{"schemas":["$CORE","$ENT"],"id":"a1","userName":"ann","name":{"givenName":"Ann","familyName":"Lee"},
	"emails":[{"type":"work","value":"ann@x"},{"type":"home","value":"a@h"}],"meta":{"resourceType":"User"},
	"$ENT":{"department":"Ops","manager":{"value":"m1"}},"groups":[{"value":"g1"}]}`

func TestProjection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ why, attributes, excluded, want string }{
		{"only what was asked, and always id and schemas", "userName", "", `{"schemas":["$CORE","$ENT"],"id":"a1","userName":"ann"}`},
		{"any case, spaces, core URN", " USERNAME , $CORE:name.givenname", "",
			`{"schemas":["$CORE","$ENT"],"id":"a1","userName":"ann","name":{"givenName":"Ann"}}`},
		{"a sub-attribute of each value; filters are tolerated", `emails[type eq "a,]b"].value`, "",
			`{"schemas":["$CORE","$ENT"],"id":"a1","emails":[{"value":"ann@x"},{"value":"a@h"}]}`},
		{"the whole and a part are the whole", "name.givenName,name", "",
			`{"schemas":["$CORE","$ENT"],"id":"a1","name":{"givenName":"Ann","familyName":"Lee"}}`},
		{"an extension's attribute", "$ENT:Department", "", `{"schemas":["$CORE","$ENT"],"id":"a1","$ENT":{"department":"Ops"}}`},
		{"a whole extension", "$ENT", "", `{"schemas":["$CORE","$ENT"],"id":"a1","$ENT":{"department":"Ops","manager":{"value":"m1"}}}`},
		{"an unknown name selects nothing", "shoeSize", "", `{"schemas":["$CORE","$ENT"],"id":"a1"}`},
		{"what is always returned cannot be left out", "", "id,schemas,name,emails,meta,groups,$ENT", `{"schemas":["$CORE","$ENT"],"id":"a1","userName":"ann"}`},
		{"parts can be left out", "name,emails,manager", "name.familyName,emails.value",
			`{"schemas":["$CORE","$ENT"],"id":"a1","name":{"givenName":"Ann"},"emails":[{"type":"work"},{"type":"home"}],"$ENT":{"manager":{"value":"m1"}}}`},
	} {
		p, err := userType.projection(expand(c.attributes), expand(c.excluded))
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
			continue
		}
		doc := mustDecode(t, expand(annFull))
		if got, want := p.apply(doc), mustDecode(t, expand(c.want)); !reflect.DeepEqual(got, want) {
			text, _ := json.Marshal(got)
			t.Errorf("%s: attributes %q without %q: got %s, want %s", c.why, c.attributes, c.excluded, text, c.want)
		}
		if !reflect.DeepEqual(doc, mustDecode(t, expand(annFull))) {
			t.Errorf("%s: the document was modified", c.why)
		}
	}
}

func TestProjectionSaysWhatNeedNotBeRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		attributes, excluded, name string
		want                       bool
	}{
		{"", "", "members", true},
		{"", "members", "members", false},
		{"", "MEMBERS", "members", false},
		{"", "members.display", "members", true},
		{"displayName", "", "members", false},
		{"members.value", "", "members", true},
		{"$GRP:members", "", "members", true},
		{"$GRP", "", "members", true},
		{"id", "", "id", true},
		{"", "id", "id", true},
	} {
		p, err := groupType.projection(expand(c.attributes), c.excluded)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.includes(c.name); got != c.want {
			t.Errorf("attributes %q without %q: includes(%s): got %v, want %v", c.attributes, c.excluded, c.name, got, c.want)
		}
	}
	p, _ := userType.projection("password", "")
	if p.includes("password") {
		t.Error("password is never returned, but is included")
	}
}

func TestNoProjectionReturnsEverything(t *testing.T) {
	t.Parallel()
	p, err := userType.projection("", " ")
	if p != nil || err != nil {
		t.Fatalf("got %v, %v, want nil", p, err)
	}
	doc := mustDecode(t, expand(annFull))
	if got := p.apply(doc); !reflect.DeepEqual(got, doc) {
		t.Errorf("got %v, want %v", got, doc)
	}
	if _, err := userType.projection(strings.Repeat("a", maxFilterBytes+1), ""); scimType(err) != scimerr.ScimTypeInvalidValue {
		t.Errorf("a list without end: got %v, want invalidValue", err)
	}
}

// Roles are no rows, and returned in part all the same.
func TestRolesAreReturnedInPart(t *testing.T) {
	t.Parallel()
	p := newRig(t)
	for query, want := range map[string][]string{
		"":                        {"displayName", "id", "meta", "schemas"},
		"?attributes=displayName": {"displayName", "id", "schemas"},
		"?attributes=" + urnRole + ":DISPLAYNAME": {"displayName", "id", "schemas"},
		"?attributes=meta.location":               {"id", "meta", "schemas"},
		"?excludedAttributes=meta,id":             {"displayName", "id", "schemas"},
		"?excludedAttributes=displayName":         {"id", "meta", "schemas"},
	} {
		_, role := p.do(t.Context(), "GET", "/Roles/owner"+query, "")
		if got := slices.Sorted(maps.Keys(role)); !slices.Equal(got, want) {
			t.Errorf("a role%s: got %v, want %v", query, got, want)
		}
		_, list := p.do(t.Context(), "GET", "/Roles"+query, "")
		all, _ := list["Resources"].([]any)
		if len(all) == 0 {
			t.Fatalf("no roles%s: %v", query, list)
		}
		for _, one := range all {
			if got := slices.Sorted(maps.Keys(one.(document))); !slices.Equal(got, want) {
				t.Errorf("roles%s: got %v, want %v", query, got, want)
			}
		}
	}
	if status, _ := p.do(t.Context(), "GET", "/Roles?attributes="+strings.Repeat("x", maxFilterBytes+1), ""); status != 400 {
		t.Errorf("too long: got %d, want 400", status)
	}
}

// Roles are listed as users are, though they are no rows.
func TestRolesAreFilteredSortedAndPaged(t *testing.T) {
	t.Parallel()
	p := newRig(t)
	list := func(method, path, body string) document {
		t.Helper()
		status, got := p.do(t.Context(), method, path, body)
		if status != 200 {
			t.Fatalf("%s %s %s: got %d %v", method, path, body, status, got)
		}
		return got
	}
	names := func(list document) (names []string) {
		for _, one := range list["Resources"].([]any) {
			names = append(names, text(one.(document), "displayName"))
		}
		return names
	}
	whole := list("GET", "/Roles", "")
	all := names(whole)
	if len(all) < 3 || fmt.Sprint(whole["totalResults"]) != fmt.Sprint(len(all)) {
		t.Fatalf("got %v", whole)
	}
	first := whole["Resources"].([]any)[0].(document)
	sorted := slices.Sorted(slices.Values(all))
	backwards := slices.Clone(sorted)
	slices.Reverse(backwards)
	reversed := slices.Clone(all)
	slices.Reverse(reversed)
	quote := func(v string) string { return string(jsonOf(v)) }
	location := text(first["meta"].(document), "location")

	for query, want := range map[string][]string{
		"filter=id eq " + quote(text(first, "id")):                            all[:1],
		"filter=displayName eq " + quote(all[1]) + " or displayName eq \"x\"": all[1:2],
		"filter=displayName ne " + quote(all[0]):                              all[1:],
		"filter=displayName eq " + quote(strings.ToUpper(all[0])):             nil, // the schema says that case counts
		"filter=meta.location eq " + quote(location):                          all[:1],
		"filter=not (meta.resourceType eq \"Role\")":                          nil,
		"filter=schemas eq " + quote(urnRole) + " and id pr":                  all,
		"filter=meta.version pr":                                              nil,
		"sortBy=displayName":                                                  sorted,
		"sortBy=displayName&sortOrder=descending":                             backwards,
		"sortOrder=descending":                                                reversed,
		"sortBy=externalId":                                                   all,
		"startIndex=2&count=1":                                                all[1:2],
		"startIndex=99":                                                       nil,
		"count=0":                                                             nil,
	} {
		values := url.Values{}
		for parameter := range strings.SplitSeq(query, "&") {
			name, value, _ := strings.Cut(parameter, "=")
			values.Set(name, value)
		}
		if got := names(list("GET", "/Roles?"+values.Encode(), "")); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
		body := document{}
		for name := range values {
			body[name] = values.Get(name)
		}
		if got := names(list("POST", "/Roles/.search", string(jsonOf(body)))); !slices.Equal(got, want) {
			t.Errorf("search for %s: got %v, want %v", query, got, want)
		}
	}

	var paged []string
	for next, pages := "", 1; ; pages++ {
		page := list("GET", "/Roles?sortBy=displayName&count=2&cursor="+next, "")
		paged = append(paged, names(page)...)
		if next = text(page, "nextCursor"); next == "" {
			if want := (len(all) + 1) / 2; pages != want {
				t.Errorf("got %d pages, want %d", pages, want)
			}
			break
		}
		if status, got := p.do(t.Context(), "GET", "/Roles?count=2&cursor="+next, ""); status != 400 || got["scimType"] != "invalidCursor" {
			t.Errorf("a cursor in another order: got %d %v", status, got)
		}
	}
	if !slices.Equal(paged, sorted) {
		t.Errorf("by cursor: got %v, want %v", paged, sorted)
	}
	for query, want := range map[string]string{
		"filter=nope+pr": "invalidFilter", "filter=displayName": "invalidFilter", "sortBy=nope": "invalidValue", "sortBy=meta.location": "invalidValue",
		"sortOrder=up": "invalidValue", "cursor=x": "invalidCursor", "count=x": "invalidValue",
	} {
		if status, got := p.do(t.Context(), "GET", "/Roles?"+query, ""); status != 400 || got["scimType"] != want {
			t.Errorf("%s: got %d %v, want 400 %s", query, status, got, want)
		}
	}
}

// Who asks for what can't be made is not told to make it.
func TestWhatIsDiscoveredIsNotCreated(t *testing.T) {
	t.Parallel()
	p := newRig(t)
	for _, path := range []string{"/Schemas", "/ResourceTypes", "/Roles"} {
		status, got := p.do(t.Context(), "GET", path+"/urn:nothing", "")
		if detail := text(got, "detail"); status != 404 || strings.Contains(detail, "create") || !strings.Contains(detail, "urn:nothing") || !strings.Contains(detail, "read "+path) {
			t.Errorf("%s: got %d %q, want 404 that names the list", path, status, detail)
		}
	}
}
