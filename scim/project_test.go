package scim

import (
	"encoding/json"
	"maps"
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
