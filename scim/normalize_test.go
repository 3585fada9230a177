package scim

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	scimerr "github.com/elimity-com/scim/errors"
	"pgregory.net/rapid"
)

// sameDocument compares a document with a test's text.
func sameDocument(t *testing.T, why string, got document, want string) {
	t.Helper()
	if !reflect.DeepEqual(got, mustDecode(t, expand(want))) {
		text, _ := json.Marshal(got)
		t.Errorf("%s:\n got %s\nwant %s", why, text, expand(want))
	}
}

func TestNormalize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why, body, want string
		ignored         []string
	}{
		{"E20 meta and empty lists are left out",
			`{"schemas":["$CORE","$ENT"],"externalId":"0a","userName":"ada@x","active":true,"emails":[{"primary":true,"type":"work","value":"ada@x"}],"meta":{"resourceType":"User"},"name":{"formatted":"Ada Byron","familyName":"Byron","givenName":"Ada"},"roles":[]}`,
			`{"externalId":"0a","userName":"ada@x","active":true,"emails":[{"primary":true,"type":"work","value":"ada@x"}],"name":{"formatted":"Ada Byron","familyName":"Byron","givenName":"Ada"}}`, nil},
		{"E21 nulls and a malformed URN",
			`{"schemas":["$CORE","urn:ietf:params:scim:schemas:extension:enterprise:2.0User"],"userName":"j","addresses":null,"title":null,"department":null,"manager":null}`,
			`{"userName":"j"}`, nil},
		{"E22 manager as text", `{"userName":"b","$ENT":{"employeeNumber":"7","manager":"m1"}}`, `{"userName":"b","$ENT":{"employeeNumber":"7","manager":{"value":"m1"}}}`, nil},
		{"E23 active as text", `{"userName":"c","active":"True","$ENT":{"manager":{"value":"m1"}}}`, `{"userName":"c","active":true,"$ENT":{"manager":{"value":"m1"}}}`, nil},
		{"E25 an unknown extension is kept as it is", `{"userName":"d","$ACME":{"site":"A","N":[1,null]}}`, `{"userName":"d","$ACME":{"site":"A","N":[1,null]}}`, nil},
		{"E101 JSON in text stays text", `{"userName":"d","roles":[{"value":"{\"id\":\"a1\"}"}]}`, `{"userName":"d","roles":[{"value":"{\"id\":\"a1\"}"}]}`, nil},
		{"E103 displayName of roles", `{"userName":"r","roles":[{"primary":"False","displayName":"B","value":"B"},{"displayName":"X","display":"R","value":"R"}]}`,
			`{"userName":"r","roles":[{"primary":false,"display":"B","value":"B"},{"display":"R","value":"R"}]}`, nil},
		{"E111 a misspelt attribute", `{"schemas":["$CORE"],"id":"i","userName":"O","active":false,"adreses":[{"country":"Germany"}]}`, `{"userName":"O","active":false}`, []string{"adreses"}},
		{"O03 groups and password", `{"userName":"t","groups":[],"password":"1mz"}`, `{"userName":"t"}`, nil},
		{"X01 OneLogin", `{"schemas":["urn:scim:schemas:core:1.0"],"id":null,"userName":"ol","active":"true","$ENT":{"department":"Ops","manager":{"managerId":"m1","displayName":"Boss"}}}`,
			`{"userName":"ol","active":true,"$ENT":{"department":"Ops","manager":{"value":"m1"}}}`, nil},
		{"names in any case, dotted and with URN", `{"USERNAME":"u","name.givenName":"G","name.FamilyName":"F","$ENT:Department":"D","$CORE:title":"T","emails.value":"u@x","emails.type":"work"}`,
			`{"userName":"u","name":{"givenName":"G","familyName":"F"},"title":"T","emails":[{"value":"u@x","type":"work"}],"$ENT":{"department":"D"}}`, nil},
		{"an unknown extension's attribute", `{"userName":"u","$ACME:site":"A"}`, `{"userName":"u","$ACME":{"site":"A"}}`, nil},
		{"the core schema as an object", `{"$CORE":{"userName":"u","shoe":1}}`, `{"userName":"u"}`, []string{"$CORE:shoe"}},
		{"a list of one manager", `{"userName":"u","manager":[{"$ref":"https://h/m1","value":"m1"}]}`, `{"userName":"u","$ENT":{"manager":{"value":"m1"}}}`, nil},
		{"no manager", `{"userName":"u","$ENT":{"manager":{"value":""}}}`, `{"userName":"u"}`, nil},
		{"a number for text", `{"userName":"u","externalId":123,"emails":[{"value":5}]}`, `{"userName":"u","externalId":"123","emails":[{"value":"5"}]}`, nil},
		{"one value for a list, text for an object", `{"userName":"u","emails":{"value":"a"},"phoneNumbers":"1"}`, `{"userName":"u","emails":[{"value":"a"}],"phoneNumbers":[{"value":"1"}]}`, nil},
		{"an element without a value says nothing", `{"userName":"u","emails":[{"type":"work","value":""},{"value":"a"},{"value":"a"}]}`, `{"userName":"u","emails":[{"value":"a"}]}`, nil},
		{"text is kept as it is", `{"userName":" u ","title":"+1 (555)\n"}`, `{"userName":" u ","title":"+1 (555)\n"}`, nil},
		{"an unknown sub-attribute", `{"userName":"u","name":{"givenName":"G","shoe":1}}`, `{"userName":"u","name":{"givenName":"G"}}`, []string{"name.shoe"}},
	} {
		got, members, ignored, err := userType.normalize(mustDecode(t, expand(c.body)))
		if err != nil || members.present {
			t.Errorf("%s: got %v, %v", c.why, members, err)
			continue
		}
		sameDocument(t, c.why, got, c.want)
		for i := range c.ignored {
			c.ignored[i] = expand(c.ignored[i])
		}
		if !slices.Equal(ignored, c.ignored) {
			t.Errorf("%s: ignored %q, want %q", c.why, ignored, c.ignored)
		}
	}
}

func TestNormalizeGroups(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why, body, want string
		members         memberList
	}{
		{"E80 nothing about members", `{"schemas":["$GRP","http://schemas.microsoft.com/x"],"externalId":"8a","displayName":"Ops"}`, `{"externalId":"8a","displayName":"Ops"}`, memberList{}},
		{"O22 no members", `{"displayName":"Ops","members":[]}`, `{"displayName":"Ops"}`, memberList{present: true, ids: []string{}}},
		{"null says nothing", `{"displayName":"Ops","members":null}`, `{"displayName":"Ops"}`, memberList{}},
		{"O30 members in order, each once", `{"displayName":"Ops","members":[{"value":"u2","display":null},{"Value":"u1","$ref":null},"u2",7]}`, `{"displayName":"Ops"}`,
			memberList{present: true, ids: []string{"u2", "u1", "7"}}},
		{"with the URN", `{"displayName":"Ops","$GRP:members":{"value":"u1"}}`, `{"displayName":"Ops"}`, memberList{present: true, ids: []string{"u1"}}},
	} {
		got, members, _, err := groupType.normalize(mustDecode(t, expand(c.body)))
		if err != nil {
			t.Errorf("%s: %v", c.why, err)
			continue
		}
		sameDocument(t, c.why, got, c.want)
		if !reflect.DeepEqual(members, c.members) {
			t.Errorf("%s: members %v, want %v", c.why, members, c.members)
		}
	}
}

// Bytes are kept as they were sent, however they were written.
func TestBase64IsKeptAsItIs(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"TWFu", "+/+/", "-_-_", "TWE=", "TWE", "TQ==", "TQ", "TWFu\r\nTWFu\r\nTQ==\r\n"} {
		body := document{"userName": "u", "x509Certificates": []any{document{"value": value}}}
		got, _, _, err := userType.normalize(body)
		if err != nil {
			t.Errorf("%q: %v", value, err)
			continue
		}
		sameDocument(t, value, got, string(jsonOf(body)))
	}
}

func TestNormalizeRefuses(t *testing.T) {
	t.Parallel()
	text := func(n int) string { return strings.Repeat("a", n) }
	many := strings.Repeat(`{"value":"x"},`, maxValues) + `{"value":"x"}`
	for _, c := range []struct {
		why       string
		typ       *resourceType
		body, say string
	}{
		{"E112 no userName", userType, `{"userame":"O"}`, "userName"},
		{"an empty userName", userType, `{"userName":""}`, "userName"},
		{"a group without a name", groupType, `{"members":[]}`, "displayName"},
		{"a boolean for text", userType, `{"userName":true}`, "userName has to be text, not true"},
		{"a list for text", userType, `{"userName":["a","b"]}`, "userName"},
		{"text for a boolean", userType, `{"userName":"u","active":"yes"}`, `active has to be true or false, not "yes"`},
		{"a number for a boolean", userType, `{"userName":"u","active":1}`, "active"},
		{"text for an object", userType, `{"userName":"u","name":"Ann"}`, "name has to be an object"},
		{"a list of names", userType, `{"userName":"u","name":[{"givenName":"A"}]}`, "name has to be an object"},
		{"two managers", userType, `{"userName":"u","manager":["a","b"]}`, "manager"},
		{"a wrong part", userType, `{"userName":"u","emails":[{"value":{"a":1}}]}`, "emails.value"},
		{"a certificate as a file has it", userType, `{"userName":"u","x509Certificates":[{"value":"-----BEGIN CERTIFICATE-----\nTWFu\n-----END CERTIFICATE-----"}]}`, "x509Certificates.value has to be in base64"},
		{"a certificate cut off", userType, `{"userName":"u","x509Certificates":"TWFuT"}`, "x509Certificates.value has to be in base64"},
		{"a certificate of nothing", userType, `{"userName":"u","x509Certificates":[{"value":"=="}]}`, "x509Certificates.value has to be in base64"},
		{"a certificate that is a number", userType, `{"userName":"u","x509Certificates":[{"value":1234}]}`, "x509Certificates.value has to be in base64"},
		{"two primary values", userType, `{"userName":"u","emails":[{"value":"a","primary":true},{"value":"b","primary":"True"}]}`, "primary"},
		{"one attribute under two names", userType, `{"userName":"u","$CORE:userName":"v"}`, "twice"},
		{"whole and part", userType, `{"userName":"u","name":{"givenName":"A"},"name.givenName":"B"}`, "twice"},
		{"part and whole", userType, `{"userName":"u","$CORE:name":{"givenName":"A"},"name.familyName":"B"}`, "twice"},
		{"userName too long", userType, `{"userName":"` + text(maxIndexedText+1) + `"}`, "1024"},
		{"an e-mail too long", userType, `{"userName":"u","emails":["` + text(maxIndexedText+1) + `"]}`, "emails.value"},
		{"a title too long", userType, `{"userName":"u","title":"` + text(maxText+1) + `"}`, "title"},
		{"an unknown text too long", userType, `{"userName":"u","$ACME":{"a":["` + text(maxText+1) + `"]}}`, "longer"},
		{"too many values", userType, `{"userName":"u","emails":[` + many + `]}`, "emails"},
		{"a member without a value", groupType, `{"displayName":"g","members":[{"display":"x"}]}`, "members[0]"},
		{"a member that is no id", groupType, `{"displayName":"g","members":[true]}`, "members"},
	} {
		_, _, _, err := c.typ.normalize(mustDecode(t, expand(c.body)))
		if scimType(err) != scimerr.ScimTypeInvalidValue || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: got %v, want invalidValue with %q", c.why, err, c.say)
		}
	}
	if _, _, _, err := userType.normalize(mustDecode(t, `{"userName":"`+text(maxIndexedText)+`","title":"`+text(maxText)+`"}`)); err != nil {
		t.Errorf("at the limit: got %v", err)
	}
}

func TestNormalizeBoundsTheNumberOfAttributes(t *testing.T) {
	t.Parallel()
	body := document{"userName": "u"}
	for i := range maxStatements {
		body[fmt.Sprintf("urn:x:%d:User", i)] = document{"a": "b"}
	}
	if _, _, _, err := userType.normalize(body); scimType(err) != scimerr.ScimTypeInvalidValue {
		t.Errorf("got %v, want invalidValue", err)
	}
}

// userBody draws bodies of users, in the ways in which clients write them.
func userBody() *rapid.Generator[document] {
	name := rapid.SampledFrom([]string{"userName", "Active", "externalId", "name", "name.givenName", "emails", "roles", "manager", "shoe",
		enterpriseURN, enterpriseURN + ":department", acmeURN, acmeURN + ":site", coreURN + ":role", coreURN + ":title", "id", "password", "emails.type"})
	return rapid.Custom(func(t *rapid.T) document {
		body := rapid.MapOfN(name, anyValue(3), 0, 8).Draw(t, "body")
		if _, ok := body["userName"]; !ok {
			body["userName"] = "ann"
		}
		return body
	})
}

func anyValue(depth int) *rapid.Generator[any] {
	simple := rapid.SampledFrom([]any{nil, "", "x", "Y", "True", "false", true, false, json.Number("7"), "work"})
	if depth == 0 {
		return simple
	}
	name := rapid.SampledFrom([]string{"value", "Type", "primary", "display", "displayName", "givenName", "department", "manager", "managerId", "shoe", "site"})
	return rapid.OneOf(simple, simple,
		rapid.Map(rapid.SliceOfN(anyValue(depth-1), 0, 3), func(l []any) any { return l }),
		rapid.Map(rapid.MapOfN(name, anyValue(depth-1), 0, 4), func(m map[string]any) any { return m }))
}

func TestNormalizeIsIdempotent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		body := userBody().Draw(t, "body")
		before := clone(body)
		once, _, _, err := userType.normalize(body)
		if !reflect.DeepEqual(any(body), before) {
			t.Fatalf("the body was modified: got %v, want %v", body, before)
		}
		if err != nil {
			if scimType(err) != scimerr.ScimTypeInvalidValue {
				t.Fatalf("got %v, want invalidValue", err)
			}
			return
		}
		twice, _, ignored, err := userType.normalize(once)
		if err != nil || len(ignored) > 0 || !reflect.DeepEqual(twice, once) {
			t.Fatalf("got %v (%v, %v), want %v", twice, ignored, err, once)
		}
	})
}
