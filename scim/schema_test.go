package scim

import (
	"encoding/json"
	"strings"
	"testing"
)

const (
	coreURN       = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupURN      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	enterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	acmeURN       = "urn:ietf:params:scim:schemas:extension:acme:2.0:User"
)

// expand writes out the short names of URNs in a test's text.
var expand = strings.NewReplacer("$CORE", coreURN, "$GRP", groupURN, "$ENT", enterpriseURN, "$ACME", acmeURN).Replace

func TestAttributesAreFoundInAnyCase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ             *resourceType
		urn, name, want string
	}{
		{userType, "", "USERNAME", "userName"},
		{userType, "", "id", "id"},
		{userType, strings.ToUpper(coreURN), "externalid", "externalId"},
		{userType, enterpriseURN, "DEPARTMENT", enterpriseURN + ":department"},
		{userType, "", "manager", enterpriseURN + ":manager"}, // Entra leaves out the URN
		{userType, "", "department", ""},
		{userType, "", "user\u212aame", ""}, // a look-alike letter
		{userType, "urn:x", "userName", ""},
		{groupType, "", "members", "members"},
		{groupType, "", "manager", ""},
	} {
		got := ""
		if a, ok := c.typ.attribute(c.urn, c.name); ok {
			got = a.label
		}
		if got != c.want {
			t.Errorf("%s attribute(%q, %q): got %q, want %q", c.typ.name, c.urn, c.name, got, c.want)
		}
	}
}

func TestSchemasAreCompleteAndWithoutNull(t *testing.T) {
	t.Parallel()
	for _, typ := range []*resourceType{userType, groupType} {
		data, err := json.Marshal(typ.schemas())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "null") {
			t.Errorf("%s: got null in %s", typ.name, data)
		}
		var list []struct {
			ID         string
			Attributes []struct {
				Name, Type, Mutability, Returned string
				SubAttributes                    []struct{ Name, Type string }
			}
		}
		if err := json.Unmarshal(data, &list); err != nil {
			t.Fatal(err)
		}
		if len(list) != 1+len(typ.extensions) || list[0].ID != typ.core.urn {
			t.Fatalf("%s: got %d schemas from %s, want the core schema first", typ.name, len(list), list[0].ID)
		}
		found := map[string]bool{}
		for _, s := range list {
			for _, a := range s.Attributes {
				found[a.Name+":"+a.Type+":"+a.Mutability+":"+a.Returned] = true
				for _, sub := range a.SubAttributes {
					found[a.Name+"."+sub.Name+":"+sub.Type] = true
				}
			}
		}
		want := []string{"id:string:readOnly:always", "externalId:string:readWrite:default", "displayName:string:readWrite:default"}
		if typ == userType {
			want = append(want, "password:string:writeOnly:never", "groups:complex:readOnly:default", "emails.type:string",
				"roles.value:string", "roles.display:string", "roles.type:string", "roles.primary:boolean", "manager.value:string")
		} else {
			want = append(want, "members:complex:readWrite:default", "members.value:string", "members.$ref:reference")
		}
		for _, w := range want {
			if !found[w] {
				t.Errorf("%s: %s is missing in %s", typ.name, w, data)
			}
		}
	}
}
