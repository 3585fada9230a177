package scim

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	scimerr "github.com/elimity-com/scim/errors"
	"pgregory.net/rapid"
)

// annUser and opsGroup are what most operations of these tests start from.
const (
	annUser = `{"userName":"ann@x","externalId":"e0","active":true,"displayName":"Ann","title":"Boss","preferredLanguage":"en",
		"name":{"givenName":"Ann","familyName":"Lee"},"emails":[{"type":"work","value":"ann@x","primary":true},{"type":"home","value":"a@h"}],
		"$ENT":{"department":"IT","manager":{"value":"m1"}}}`
	bare     = `{"userName":"ann@x"}`
	opsGroup = `{"displayName":"Ops","externalId":"g0"}`
	annIs    = `{"userName":"ann@x","externalId":"e0","displayName":"Ann","title":"Boss","preferredLanguage":"en",
		"name":{"givenName":"Ann","familyName":"Lee"},"emails":[{"type":"work","value":"ann@x","primary":true},{"type":"home","value":"a@h"}],
		"$ENT":{"department":"IT","manager":{"value":"m1"}},`
)

func mustParse(t testing.TB, operations string) []operation {
	t.Helper()
	parsed, err := parsePatch(mustDecode(t, expand(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":`+operations+`}`)))
	if err != nil {
		t.Fatalf("parsePatch(%s): %v", operations, err)
	}
	return parsed
}

func TestPatchUsers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ why, before, operations, after string }{
		{"E30", annUser, `[{"op":"Replace","path":"active","value":"False"}]`, annIs + `"active":false}`},
		{"E31", annIs + `"active":false}`, `[{"op":"Replace","path":"active","value":"True"}]`, annUser},
		{"E32", annUser, `[{"op":"Add","path":"active","value":"False"}]`, annIs + `"active":false}`},
		{"E33", `{"userName":"u","name":{"givenName":"A"},"emails":[{"type":"work","value":"old","display":"d"},{"type":"home","value":"h"}]}`,
			`[{"op":"Replace","path":"emails[type eq \"work\"].value","value":"new@x"},{"op":"Replace","path":"name.familyName","value":"King"}]`,
			`{"userName":"u","name":{"givenName":"A","familyName":"King"},"emails":[{"type":"work","value":"new@x","display":"d"},{"type":"home","value":"h"}]}`},
		{"E34 creates the element", bare, `[{"op":"Replace","path":"emails[type eq \"work\"].value","value":"first@x"}]`, `{"userName":"ann@x","emails":[{"type":"work","value":"first@x"}]}`},
		{"E35 creates once per type", bare,
			`[{"op":"Add","path":"addresses[type eq \"work\"].formatted","value":"1 Main St"},{"op":"Add","path":"addresses[type eq \"work\"].postalCode","value":"12345"},{"op":"Add","path":"phoneNumbers[type eq \"mobile\"].value","value":"+1 555 0100"},{"op":"Add","path":"addresses[type eq \"other\"].Formatted","value":"HQ"}]`,
			`{"userName":"ann@x","addresses":[{"type":"work","formatted":"1 Main St","postalCode":"12345"},{"type":"other","formatted":"HQ"}],"phoneNumbers":[{"type":"mobile","value":"+1 555 0100"}]}`},
		{"E36", bare, `[{"op":"Add","path":"$ENT:department","value":"Ops"},{"op":"Replace","path":"$ENT:employeeNumber","value":"42"}]`, `{"userName":"ann@x","$ENT":{"department":"Ops","employeeNumber":"42"}}`},
		{"E37", bare, `[{"op":"Replace","path":"externalId","value":"new-ext"}]`, `{"userName":"ann@x","externalId":"new-ext"}`},
		{"E38", bare, `[{"op":"Replace","path":"userName","value":"renamed@x"}]`, `{"userName":"renamed@x"}`},
		{"E39", bare, `[{"op":"Add","path":"$CORE:role","value":"editor"}]`, `{"userName":"ann@x","role":"editor"}`},
		{"E39 removed again, in another case", `{"userName":"u","role":"editor"}`, `[{"op":"Remove","path":"$CORE:Role"}]`, `{"userName":"u"}`},
		{"E40", `{"userName":"u","title":"T"}`, `[{"op":"Remove","path":"title"}]`, `{"userName":"u"}`},
		{"E41", `{"userName":"u","title":"T"}`, `[{"op":"Replace","path":"title","value":""}]`, `{"userName":"u"}`},
		{"E42", `{"userName":"u","title":"T"}`, `[{"op":"Replace","path":"title","value":null}]`, `{"userName":"u"}`},
		{"E43", `{"userName":"u","nickName":"N","emails":[{"type":"work","value":"w","primary":true},{"type":"home","value":"h"}]}`,
			`[{"op":"Replace","path":"nickName","value":null},{"op":"replace","path":"emails[type eq \"work\"].value","value":null}]`,
			`{"userName":"u","emails":[{"type":"home","value":"h"}]}`},
		{"E50", `{"userName":"u","name":{"formatted":"A"},"$ENT":{"costCenter":"C"}}`,
			`[{"op":"replace","path":"emails[type eq \"work\"].value","value":"t@x"},{"op":"replace","value":{"displayName":"Ada K","name.givenName":"Ada","name.familyName":"King","$ENT:employeeNumber":"42","$ENT:department":"Ops"}}]`,
			`{"userName":"u","displayName":"Ada K","name":{"formatted":"A","givenName":"Ada","familyName":"King"},"emails":[{"type":"work","value":"t@x"}],"$ENT":{"costCenter":"C","employeeNumber":"42","department":"Ops"}}`},
		{"E51", annUser, `[{"op":"replace","path":"active","value":false}]`, annIs + `"active":false}`},
		{"E52, O08", annUser, `[{"op":"replace","value":{"active":false}}]`, annIs + `"active":false}`},
		{"O09", annIs + `"active":false}`, `[{"op":"replace","value":{"active":true}}]`, annUser},
		{"O10", annUser, `[{"op":"replace","value":{"password":"t1meMa$heen"}}]`, annUser},
		{"E54", bare, `[{"op":"add","value":{"$ENT":{"department":"Ops","manager":{"value":"m1"}}}}]`, `{"userName":"ann@x","$ENT":{"department":"Ops","manager":{"value":"m1"}}}`},
		{"E60", bare, `[{"op":"Add","path":"$ENT:manager","value":"m1"}]`, `{"userName":"ann@x","$ENT":{"manager":{"value":"m1"}}}`},
		{"E61", `{"userName":"u","$ENT":{"manager":{"value":"m1"}}}`, `[{"op":"replace","path":"$ENT:manager","value":"m2"}]`, `{"userName":"u","$ENT":{"manager":{"value":"m2"}}}`},
		{"E62", `{"userName":"u","$ENT":{"manager":{"value":"m1"}}}`, `[{"op":"replace","path":"$ENT:manager","value":""}]`, `{"userName":"u"}`},
		{"E63", `{"userName":"u","$ENT":{"department":"D","manager":{"value":"m1"}}}`, `[{"op":"replace","path":"$ENT:manager","value":{"value":""}}]`, `{"userName":"u","$ENT":{"department":"D"}}`},
		{"E64", bare, `[{"op":"Add","path":"manager","value":[{"$ref":"https://h/scim/Users/m1","value":"m1"}]}]`, `{"userName":"ann@x","$ENT":{"manager":{"value":"m1"}}}`},
		{"E65", `{"userName":"u","$ENT":{"manager":{"value":"m1"}}}`, `[{"op":"Remove","path":"$ENT:manager"}]`, `{"userName":"u"}`},
		{"E66", `{"userName":"u","$ENT":{"manager":{"value":"m1"}}}`, `[{"op":"Remove","path":"$ENT:manager[value eq \"m1\"]"}]`, `{"userName":"u"}`},
		{"E66 another manager stays", `{"userName":"u","$ENT":{"manager":{"value":"m2"}}}`, `[{"op":"Remove","path":"$ENT:manager[value eq \"m1\"]"}]`, `{"userName":"u","$ENT":{"manager":{"value":"m2"}}}`},
		{"E101", bare, `[{"op":"Add","path":"roles","value":[{"value":"{\"id\":\"06\",\"value\":\"25\",\"displayName\":\"Role1234\"}"}]}]`,
			`{"userName":"ann@x","roles":[{"value":"{\"id\":\"06\",\"value\":\"25\",\"displayName\":\"Role1234\"}"}]}`},
		{"E102", bare, `[{"op":"Add","path":"roles[primary eq \"True\"].value","value":"Admin"},{"op":"Add","path":"roles[primary eq \"True\"].type","value":"WAAD"},{"op":"Add","path":"roles[primary eq \"True\"].display","value":"Administrator"}]`,
			`{"userName":"ann@x","roles":[{"primary":true,"value":"Admin","type":"WAAD","display":"Administrator"}]}`},
		{"E104 only adds", `{"userName":"u","roles":[{"value":"a1"}]}`, `[{"op":"Add","path":"roles","value":[{"value":"a1"},{"value":"a2"}]}]`, `{"userName":"u","roles":[{"value":"a1"},{"value":"a2"}]}`},
		{"E105", `{"userName":"u","roles":[{"value":"a1"}]}`, `[{"op":"replace","path":"roles","value":[{"primary":false,"type":"W","display":"Reader","value":"Reader"}]}]`,
			`{"userName":"u","roles":[{"primary":false,"type":"W","display":"Reader","value":"Reader"}]}`},
		{"E106", `{"userName":"u","roles":[{"value":"a1"}]}`, `[{"op":"replace","path":"roles","value":[]}]`, `{"userName":"u"}`},
		{"E110", annUser, `[]`, annUser},
		{"V02", bare, `[{"op":"replace","path":"userName","value":"renamed@v"}]`, `{"userName":"renamed@v"}`},
		{"V03", bare, `[{"op":"add","path":"active","value":true},{"op":"add","path":"displayName","value":"RJEX"},{"op":"add","path":"emails[type eq \"work\"].value","value":"a@v"},{"op":"add","path":"emails[type eq \"work\"].primary","value":true},{"op":"add","path":"name.givenName","value":"G"},{"op":"add","path":"addresses[type eq \"work\"].streetAddress","value":"S"},{"op":"add","path":"phoneNumbers[type eq \"fax\"].value","value":"1"},{"op":"add","path":"$ENT:department","value":"D"},{"op":"add","path":"roles[primary eq \"True\"].display","value":"TQ"},{"op":"add","path":"roles[primary eq \"True\"].value","value":"UO"},{"op":"add","path":"roles[primary eq \"True\"].type","value":"VG"}]`,
			`{"userName":"ann@x","active":true,"displayName":"RJEX","emails":[{"type":"work","value":"a@v","primary":true}],"name":{"givenName":"G"},"addresses":[{"type":"work","streetAddress":"S"}],"phoneNumbers":[{"type":"fax","value":"1"}],"$ENT":{"department":"D"},"roles":[{"primary":true,"display":"TQ","value":"UO","type":"VG"}]}`},
		{"what picked an element stays as it was", annUser, `[{"op":"replace","path":"emails[type eq \"WORK\"]","value":{"value":"new@x"}}]`,
			strings.Replace(annUser, `"value":"ann@x","primary":true`, `"value":"new@x"`, 1)},
		{"an element in the making survives others", bare, `[{"op":"add","path":"emails[type eq \"work\"].primary","value":true},{"op":"add","path":"emails[type eq \"home\"]","value":{"value":"h"}},{"op":"add","path":"emails[type eq \"work\"].value","value":"w"}]`,
			`{"userName":"ann@x","emails":[{"type":"work","primary":true,"value":"w"},{"type":"home","value":"h"}]}`},
		{"a list of a manager's name alone", annUser, `[{"op":"add","path":"manager","value":[{"displayName":"Mo"}]}]`, annUser},
		{"V04", `{"userName":"u","preferredLanguage":"en"}`, `[{"op":"remove","path":"preferredLanguage"},{"op":"add","path":"externalId","value":"e9"},{"op":"replace","path":"displayName","value":"ZZ"}]`,
			`{"userName":"u","externalId":"e9","displayName":"ZZ"}`},
		{"V05", `{"userName":"u","externalId":"e0"}`, `[{"op":"remove","path":"externalId"},{"op":"add","path":"externalId","value":"e1"},{"op":"replace","path":"externalId","value":"e2"}]`, `{"userName":"u","externalId":"e2"}`},

		{"what a client reads and sends back is ignored", bare, `[{"op":"replace","value":{"id":"x","schemas":[],"meta":{"version":"1"},"groups":[{"value":"g"}],"title":"T"}}]`, `{"userName":"ann@x","title":"T"}`},
		{"a path may be empty", bare, `[{"op":"add","path":"","value":{"title":"T"}}]`, `{"userName":"ann@x","title":"T"}`},
		{"a core URN in front", bare, `[{"op":"add","path":"$CORE:name.givenName","value":"G"},{"op":"add","value":{"$CORE:title":"T"}}]`, `{"userName":"ann@x","name":{"givenName":"G"},"title":"T"}`},
		{"objects merge, and null removes", `{"userName":"u","name":{"givenName":"G","familyName":"F"}}`, `[{"op":"replace","path":"name","value":{"givenName":null,"middleName":"M"}}]`, `{"userName":"u","name":{"familyName":"F","middleName":"M"}}`},
		{"an unknown extension by path", bare, `[{"op":"add","path":"$ACME:site","value":"A"},{"op":"add","path":"$ACME:Level","value":{"n":[1]}},{"op":"replace","path":"$ACME:level","value":""}]`, `{"userName":"ann@x","$ACME":{"site":"A"}}`},
		{"an unknown extension as a whole", `{"userName":"u","$ACME":{"site":"A"}}`, `[{"op":"add","path":"$ACME","value":{"n":1}},{"op":"add","value":{"$ACME":{"m":2}}},{"op":"add","value":{"$ACME:o":3}}]`, `{"userName":"u","$ACME":{"site":"A","n":1,"m":2,"o":3}}`},
		{"an unknown extension goes with its last attribute", `{"userName":"u","$ACME":{"site":"A"}}`, `[{"op":"remove","path":"$ACME:site"}]`, bareUser},
		{"an extension is removed by its URN", annUser, `[{"op":"remove","path":"$ENT"},{"op":"remove","path":"name"},{"op":"remove","path":"emails"},{"op":"remove","path":"title"},{"op":"remove","path":"active"}]`,
			`{"userName":"ann@x","externalId":"e0","displayName":"Ann","preferredLanguage":"en"}`},
		{"an extension is set by its URN", bare, `[{"op":"replace","path":"$ENT","value":{"department":"D","manager":"m"}}]`, `{"userName":"ann@x","$ENT":{"department":"D","manager":{"value":"m"}}}`},
		{"the same value is not added twice", `{"userName":"u","emails":[{"value":"a"}]}`, `[{"op":"add","path":"emails","value":[{"value":"a"}]},{"op":"add","path":"emails","value":{"value":"a"}}]`, `{"userName":"u","emails":[{"value":"a"}]}`},
		{"a new primary value replaces the old one", `{"userName":"u","emails":[{"value":"a","primary":true}]}`, `[{"op":"add","path":"emails","value":[{"value":"b","primary":true}]}]`, `{"userName":"u","emails":[{"value":"a","primary":false},{"value":"b","primary":true}]}`},
		{"also by its mark", `{"userName":"u","emails":[{"value":"a","primary":true},{"value":"b"}]}`, `[{"op":"replace","path":"emails[value eq \"B\"].primary","value":"true"}]`, `{"userName":"u","emails":[{"value":"a","primary":false},{"value":"b","primary":true}]}`},
		{"a sub-attribute of all elements", `{"userName":"u","emails":[{"value":"a"},{"value":"b"}]}`, `[{"op":"replace","path":"emails.type","value":"work"}]`, `{"userName":"u","emails":[{"value":"a","type":"work"},{"value":"b","type":"work"}]}`},
		{"a sub-attribute of no element makes one", bare, `[{"op":"add","path":"emails.value","value":"a"}]`, `{"userName":"ann@x","emails":[{"value":"a"}]}`},
		{"an element keeps what picked it", `{"userName":"u","emails":[{"type":"work","value":"a","display":"A"}]}`, `[{"op":"replace","path":"emails[type eq \"work\"]","value":{"value":"b"}}]`, `{"userName":"u","emails":[{"type":"work","value":"b"}]}`},
		{"add to an element", `{"userName":"u","emails":[{"type":"work","value":"a","display":"A"}]}`, `[{"op":"add","path":"emails[type eq \"work\"]","value":"b"}]`, `{"userName":"u","emails":[{"type":"work","value":"b","display":"A"}]}`},
		{"two equalities make an element with both", bare, `[{"op":"add","path":"emails[type eq \"Work\" and primary eq true].value","value":"a"}]`, `{"userName":"ann@x","emails":[{"type":"Work","primary":true,"value":"a"}]}`},
		{"elements are removed by filter", annUser, `[{"op":"remove","path":"emails[type ne \"home\"]"},{"op":"remove","path":"emails[type eq \"fax\"]"}]`,
			`{"userName":"ann@x","externalId":"e0","active":true,"displayName":"Ann","title":"Boss","preferredLanguage":"en","name":{"givenName":"Ann","familyName":"Lee"},"emails":[{"type":"home","value":"a@h"}],"$ENT":{"department":"IT","manager":{"value":"m1"}}}`},
		{"remove with values removes those only", `{"userName":"u","roles":[{"value":"a","type":"t"},{"value":"b"}]}`, `[{"op":"remove","path":"roles","value":[{"value":"A"}]},{"op":"remove","path":"roles","value":[]}]`, `{"userName":"u","roles":[{"value":"b"}]}`},
		{"adding nothing removes nothing", `{"userName":"u","roles":[{"value":"a"}]}`, `[{"op":"add","path":"roles","value":null},{"op":"add","path":"roles","value":[]}]`, `{"userName":"u","roles":[{"value":"a"}]}`},
		{"the last name is removed with its object", `{"userName":"u","name":{"givenName":"G"}}`, `[{"op":"remove","path":"name.givenName"}]`, bareUser},
	} {
		operations := mustParse(t, c.operations)
		got, members, ignored, err := userType.patch(mustDecode(t, expand(c.before)), operations)
		if err != nil || len(ignored) > 0 || !reflect.DeepEqual(members, memberDelta{}) {
			t.Errorf("%s: got %v, ignored %q, members %v", c.why, err, ignored, members)
			continue
		}
		sameDocument(t, c.why, got, c.after)
	}
}

const bareUser = `{"userName":"u"}`

func TestPatchGroups(t *testing.T) {
	t.Parallel()
	delta := func(add, remove []string) memberDelta { return memberDelta{add: add, remove: remove} }
	exactly := func(ids ...string) memberDelta { return memberDelta{replace: true, add: ids} }
	for _, c := range []struct {
		why, operations, after string
		members                memberDelta
	}{
		{"E53", `[{"op":"remove","path":"members[value eq \"u1\"]"}]`, opsGroup, delta(nil, []string{"u1"})},
		{"E81", `[{"op":"Replace","path":"displayName","value":"New"}]`, `{"displayName":"New","externalId":"g0"}`, memberDelta{}},
		{"E82, O29 says nothing about members", `[{"op":"replace","value":{"displayName":"New"}}]`, `{"displayName":"New","externalId":"g0"}`, memberDelta{}},
		{"E83", `[{"op":"replace","value":{"externalId":"g1"}}]`, `{"displayName":"Ops","externalId":"g1"}`, memberDelta{}},
		{"E84", `[{"op":"Add","path":"members","value":[{"$ref":null,"value":"u1"}]}]`, opsGroup, delta([]string{"u1"}, nil)},
		{"E85", `[{"op":"Add","path":"members","value":[{"value":"u1"},{"value":"u2"},{"value":"u1"}]}]`, opsGroup, delta([]string{"u1", "u2"}, nil)},
		{"E86 removes one, not all", `[{"op":"Remove","path":"members","value":[{"$ref":null,"value":"u1"}]}]`, opsGroup, delta(nil, []string{"u1"})},
		{"E87", `[{"op":"Remove","path":"members","value":[{"value":"u1"},{"value":"u2"}]}]`, opsGroup, delta(nil, []string{"u1", "u2"})},
		{"E88", `[{"op":"remove","path":"members[value eq \"u1\"]"},{"op":"remove","path":"members[value eq \"U2\"]"}]`, opsGroup, delta(nil, []string{"u1", "U2"})},
		{"E89", `[{"op":"add","path":"members","value":[{"value":"u1"}]},{"op":"remove","path":"members[value eq \"u1\"]"}]`, opsGroup, delta(nil, []string{"u1"})},
		{"E90", `[{"op":"add","path":"members","value":"u1"}]`, opsGroup, delta([]string{"u1"}, nil)},
		{"E91", `[{"name":"addMember","op":"add","path":"members","value":[{"displayName":"New User","value":"u1"}]}]`, opsGroup, delta([]string{"u1"}, nil)},
		{"E92", `[{"op":"remove","path":"members"}]`, opsGroup, exactly()},
		{"E93", `[{"op":"replace","path":"members","value":[{"value":"u1"}]}]`, opsGroup, exactly("u1")},
		{"O24", `[{"op":"replace","value":{"id":"g","displayName":"New"}}]`, `{"displayName":"New","externalId":"g0"}`, memberDelta{}},
		{"O25", `[{"op":"remove","path":"members[value eq \"u1\"]"},{"op":"add","path":"members","value":[{"value":"u2","display":"t"}]}]`, opsGroup, delta([]string{"u2"}, []string{"u1"})},
		{"O26", `[{"op":"replace","path":"members","value":[{"value":"u1","display":"a"},{"value":"u2","display":"b"}]}]`, opsGroup, exactly("u1", "u2")},
		{"O27", `[{"op":"replace","path":"members","value":[]}]`, opsGroup, exactly()},
		{"O28", `[{"op":"replace","value":{"members":[{"value":"u1","display":"a"}]}}]`, opsGroup, exactly("u1")},

		{"null as value hides nobody from a filter", `[{"op":"remove","path":"members[value eq \"u1\"]","value":null}]`, opsGroup, delta(nil, []string{"u1"})},
		{"an empty list removes nobody", `[{"op":"remove","path":"members","value":[]}]`, opsGroup, memberDelta{}},
		{"null among other attributes removes nobody", `[{"op":"replace","value":{"members":null}}]`, opsGroup, memberDelta{}},
		{"add without a path", `[{"op":"add","value":{"$GRP:members":[{"value":"u1"}]}}]`, opsGroup, delta([]string{"u1"}, nil)},
		{"several by or", `[{"op":"remove","path":"members[value eq \"a\" or (value eq \"b\")]"}]`, opsGroup, delta(nil, []string{"a", "b"})},
		{"the last word counts", `[{"op":"remove","path":"members","value":"u1"},{"op":"add","path":"members","value":"u1"}]`, opsGroup, delta([]string{"u1"}, nil)},
		{"the last word counts in any spelling of an id", `[{"op":"add","path":"members","value":"01A202B9-CE0D-7231-8410-881727F555BB"},{"op":"remove","path":"members[value eq \"01a202b9-ce0d-7231-8410-881727f555bb\"]"}]`, opsGroup, delta(nil, []string{"01a202b9-ce0d-7231-8410-881727f555bb"})},
		{"nor is another spelling left of a replacement", `[{"op":"replace","path":"members","value":["01A202B9-CE0D-7231-8410-881727F555BB","u2"]},{"op":"remove","path":"members","value":"01a202b9-ce0d-7231-8410-881727f555bb"}]`, opsGroup, exactly("u2")},
		{"after a replacement only what is in counts", `[{"op":"add","path":"members","value":"u0"},{"op":"replace","path":"members","value":["u1","u2"]},{"op":"remove","path":"members","value":["u1","u0"]},{"op":"add","path":"members","value":"u3"}]`, opsGroup, exactly("u2", "u3")},
	} {
		got, members, ignored, err := groupType.patch(mustDecode(t, opsGroup), mustParse(t, c.operations))
		if err != nil || len(ignored) > 0 {
			t.Errorf("%s: got %v, ignored %q", c.why, err, ignored)
			continue
		}
		sameDocument(t, c.why, got, c.after)
		if !reflect.DeepEqual(members, c.members) {
			t.Errorf("%s: members %+v, want %+v", c.why, members, c.members)
		}
	}
}

func TestPatchIgnoresAndNames(t *testing.T) {
	t.Parallel()
	got, _, ignored, err := userType.patch(mustDecode(t, bareUser), mustParse(t, `[{"op":"add","path":"shoe","value":9},
		{"op":"add","path":"shoe[size eq \"9\"].value","value":9},{"op":"replace","value":{"hat":1,"name.hat":2,"title":"T"}},
		{"op":"add","path":"name","value":{"hat":3,"givenName":"G"}},{"op":"add","path":"department","value":"D"}]`))
	if err != nil {
		t.Fatal(err)
	}
	sameDocument(t, "unknown attributes", got, `{"userName":"u","title":"T","name":{"givenName":"G"}}`)
	want := []string{"shoe", `shoe[size eq "9"].value`, "hat", "name.hat", "name.hat", "department"}
	if !slices.Equal(ignored, want) {
		t.Errorf("ignored %q, want %q", ignored, want)
	}
}

func TestPatchRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		why        string
		typ        *resourceType
		operations string
		want       scimerr.ScimType
	}{
		{"what to remove is not said", userType, `[{"op":"remove"}]`, scimerr.ScimTypeNoTarget},
		{"nor with a value", groupType, `[{"op":"remove","value":{"members":["u1"]}}]`, scimerr.ScimTypeNoTarget},
		{"userName is required", userType, `[{"op":"remove","path":"userName"}]`, scimerr.ScimTypeMutability},
		{"also against null", userType, `[{"op":"replace","value":{"userName":null}}]`, scimerr.ScimTypeMutability},
		{"a group has a name", groupType, `[{"op":"replace","path":"displayName","value":""}]`, scimerr.ScimTypeMutability},
		{"id", userType, `[{"op":"replace","path":"id","value":"x"}]`, scimerr.ScimTypeMutability},
		{"meta", userType, `[{"op":"replace","path":"meta.created","value":"2026-01-01T00:00:00Z"}]`, scimerr.ScimTypeMutability},
		{"groups are changed at the group", userType, `[{"op":"add","path":"groups","value":[{"value":"g1"}]}]`, scimerr.ScimTypeMutability},
		{"schemas", userType, `[{"op":"add","path":"schemas","value":["urn:x"]}]`, scimerr.ScimTypeMutability},
		{"the manager's name is read-only", userType, `[{"op":"add","path":"$ENT:manager.displayName","value":"M"}]`, scimerr.ScimTypeMutability},
		{"groups of nobody, too", userType, `[{"op":"replace","path":"groups","value":null}]`, scimerr.ScimTypeMutability},
		{"a member's parts", groupType, `[{"op":"replace","path":"members[value eq \"u1\"].display","value":"M"}]`, scimerr.ScimTypeMutability},
		{"an unknown part", userType, `[{"op":"add","path":"name.hat","value":"x"}]`, scimerr.ScimTypeInvalidPath},
		{"an unknown part behind a filter", userType, `[{"op":"add","path":"emails[type eq \"work\"].hat","value":"x"}]`, scimerr.ScimTypeInvalidPath},
		{"an open filter", userType, `[{"op":"add","path":"emails[type eq \"work\"","value":"x"}]`, scimerr.ScimTypeInvalidPath},
		{"something behind the path", userType, `[{"op":"add","path":"title title","value":"x"}]`, scimerr.ScimTypeInvalidPath},
		{"something behind an unknown path", userType, `[{"op":"add","path":"shoe size","value":"x"}]`, scimerr.ScimTypeInvalidPath},
		{"a path without a name", userType, `[{"op":"add","path":"[type eq \"work\"]","value":"x"}]`, scimerr.ScimTypeInvalidPath},
		{"JSON pointer", userType, `[{"op":"add","path":"/title","value":"x"}]`, scimerr.ScimTypeInvalidPath},
		{"a filter on what has no parts", userType, `[{"op":"add","path":"title[value eq \"x\"]","value":"x"}]`, scimerr.ScimTypeInvalidPath},
		{"a bad filter", userType, `[{"op":"add","path":"emails[type is \"work\"].value","value":"x"}]`, scimerr.ScimTypeInvalidFilter},
		{"an unknown name in a filter", userType, `[{"op":"add","path":"emails[hat eq \"work\"].value","value":"x"}]`, scimerr.ScimTypeInvalidFilter},
		{"members by another attribute", groupType, `[{"op":"remove","path":"members[display eq \"x\"]"}]`, scimerr.ScimTypeInvalidFilter},
		{"members by another operator", groupType, `[{"op":"remove","path":"members[value sw \"x\"]"}]`, scimerr.ScimTypeInvalidFilter},
		{"members that are not named", groupType, `[{"op":"remove","path":"members[not (value eq \"x\")]"}]`, scimerr.ScimTypeInvalidFilter},
		{"nothing picked, nothing to make", userType, `[{"op":"replace","path":"emails[value co \"x\"].type","value":"work"}]`, scimerr.ScimTypeNoTarget},
		{"either or is nothing to make", userType, `[{"op":"add","path":"emails[type eq \"a\" or type eq \"b\"].value","value":"x"}]`, scimerr.ScimTypeNoTarget},
		{"a contradiction is nothing to make", userType, `[{"op":"add","path":"emails[type eq \"a\" and type eq \"b\"].value","value":"x"}]`, scimerr.ScimTypeNoTarget},
		{"no value", userType, `[{"op":"add","path":"title"}]`, scimerr.ScimTypeInvalidValue},
		{"no object", userType, `[{"op":"add","value":"x"}]`, scimerr.ScimTypeInvalidValue},
		{"a wrong type", userType, `[{"op":"add","path":"active","value":"maybe"}]`, scimerr.ScimTypeInvalidValue},
		{"two primary values at once", userType, `[{"op":"add","path":"emails","value":[{"value":"a"},{"value":"b"}]},{"op":"replace","path":"emails.primary","value":true}]`, scimerr.ScimTypeInvalidValue},
		{"a member without an id", groupType, `[{"op":"add","path":"members","value":[{}]}]`, scimerr.ScimTypeInvalidValue},
		{"into the unknown", userType, `[{"op":"add","path":"$ACME:a.b","value":"x"}]`, scimerr.ScimTypeInvalidPath},
		{"into the unknown by a filter", userType, `[{"op":"replace","path":"$ACME:a[type eq \"b\"].c","value":"x"}]`, scimerr.ScimTypeInvalidPath},
		{"out of the unknown by a filter", userType, `[{"op":"remove","path":"$CORE:role[value eq \"b\"]"}]`, scimerr.ScimTypeInvalidPath},
		{"one manager is another", userType, `[{"op":"add","path":"manager","value":"m1"},{"op":"replace","path":"manager[value eq \"m2\"].value","value":"m3"}]`, scimerr.ScimTypeNoTarget},
		{"a filter makes nothing that is too long", userType, `[{"op":"add","path":"emails[value eq \"` + strings.Repeat("a", maxIndexedText+1) + `\"].type","value":"work"}]`, scimerr.ScimTypeInvalidValue},
	} {
		before := mustDecode(t, bareUser)
		if c.typ == groupType {
			before = mustDecode(t, opsGroup)
		}
		got, _, _, err := c.typ.patch(before, mustParse(t, c.operations))
		if scimType(err) != c.want || got != nil {
			t.Errorf("%s: %s: got %v, %v, want %s", c.why, c.operations, got, err, c.want)
		}
	}
}

func TestPatchIsAllOrNothing(t *testing.T) {
	t.Parallel()
	before := mustDecode(t, expand(annUser))
	got, members, _, err := userType.patch(before, mustParse(t, `[{"op":"replace","path":"emails[type eq \"work\"].value","value":"new"},{"op":"remove","path":"userName"}]`))
	if got != nil || !reflect.DeepEqual(members, memberDelta{}) || scimType(err) != scimerr.ScimTypeMutability {
		t.Errorf("got %v, %v, %v, want mutability alone", got, members, err)
	}
	sameDocument(t, "the document is as before", before, annUser)
}

func TestPatchEnvelope(t *testing.T) {
	t.Parallel()
	if got, err := parsePatch(mustDecode(t, `{"operations":[{"OP":"ADD","Path":"title","Value":"x"}]}`)); err != nil || len(got) != 1 ||
		!reflect.DeepEqual(got[0], operation{op: "add", path: "title", value: "x", given: true}) {
		t.Errorf("names in any case: got %v, %v", got, err)
	}
	for _, c := range []struct {
		body string
		want scimerr.ScimType
	}{
		{`[]`, scimerr.ScimTypeInvalidSyntax},
		{`{}`, scimerr.ScimTypeInvalidSyntax},
		{`{"Operations":{"op":"add"}}`, scimerr.ScimTypeInvalidSyntax},
		{`{"Operations":["add"]}`, scimerr.ScimTypeInvalidSyntax},
		{`{"Operations":[{"path":"title"}]}`, scimerr.ScimTypeInvalidSyntax},
		{`{"Operations":[{"op":"move","path":"title"}]}`, scimerr.ScimTypeInvalidSyntax},
		{`{"Operations":[{"op":"remove","path":7}]}`, scimerr.ScimTypeInvalidPath},
	} {
		body, err := decode([]byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parsePatch(body); scimType(err) != c.want {
			t.Errorf("%s: got %v, %v, want %s", c.body, got, err, c.want)
		}
	}
}

func TestPatchIsBounded(t *testing.T) {
	t.Parallel()
	many := slices.Repeat(mustParse(t, `[{"op":"add","path":"title","value":"x"}]`), maxStatements+1)
	if _, _, _, err := userType.patch(mustDecode(t, bareUser), many); scimType(err) != scimerr.ScimTypeInvalidValue {
		t.Errorf("too many operations: got %v, want invalidValue", err)
	}
	// Members do not count: Entra sends an operation for each.
	many = slices.Repeat(mustParse(t, `[{"op":"remove","path":"members[value eq \"u1\"]"}]`), 10*maxStatements)
	if _, members, _, err := groupType.patch(mustDecode(t, opsGroup), many); err != nil || len(members.remove) != 1 {
		t.Errorf("members: got %v, %v", members, err)
	}
}

// operations draws operations, many of which are good ones.
func operations() *rapid.Generator[[]operation] {
	path := rapid.SampledFrom([]string{"", "userName", "active", "name", "name.givenName", "emails", "emails.type", `emails[type eq "work"]`,
		`emails[type eq "work"].value`, `emails[primary eq "True"].primary`, `roles[value pr]`, "roles", "manager", enterpriseURN, enterpriseURN + ":manager.value",
		enterpriseURN + ":department", acmeURN, acmeURN + ":site", coreURN + ":role", "shoe"})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) operation {
		o := operation{op: rapid.SampledFrom([]string{"add", "remove", "replace"}).Draw(t, "op"), path: path.Draw(t, "path"), given: true}
		if o.path == "" {
			o.value = userBody().Draw(t, "body")
		} else {
			o.value = anyValue(3).Draw(t, "value")
		}
		return o
	}), 0, 6)
}

func isUser(body document) bool {
	_, _, _, err := userType.normalize(body)
	return err == nil
}

func TestPatchModifiesNothingItIsGiven(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		doc, _, _, err := userType.normalize(userBody().Filter(isUser).Draw(t, "body"))
		if err != nil {
			t.Fatal(err)
		}
		todo := operations().Draw(t, "operations")
		docBefore, todoBefore := clone(doc), make([]operation, len(todo))
		for i, o := range todo {
			todoBefore[i] = o
			todoBefore[i].value = clone(o.value)
		}
		after, _, _, err := userType.patch(doc, todo)
		if !reflect.DeepEqual(any(doc), docBefore) || !reflect.DeepEqual(todo, todoBefore) {
			t.Fatalf("got %v and %v, want %v and %v as before", doc, todo, docBefore, todoBefore)
		}
		if err == nil {
			checkDocument(t, after)
		}
	})
}

// checkDocument checks what holds for each document of a user.
func checkDocument(t interface{ Fatalf(string, ...any) }, doc document) {
	delete(doc, "role") // kept only because a URN stood before it
	if ent, ok := doc[enterpriseURN].(document); ok && len(ent) == 0 {
		t.Fatalf("an empty extension in %v", doc)
	}
	for name, v := range doc {
		if list, ok := v.([]any); v == nil || v == "" || ok && (len(list) == 0 || primaries(list) > 1) {
			t.Fatalf("%s is %v in %v", name, v, doc)
		}
	}
	if _, ok := doc["userName"].(string); !ok {
		t.Fatalf("no userName in %v", doc)
	}
	if again, _, ignored, err := userType.normalize(doc); err != nil || len(ignored) > 0 || len(again) > len(doc) {
		t.Fatalf("%v is not canonical: got %v, ignored %q, %v", doc, again, ignored, err)
	}
}

func FuzzPatch(f *testing.F) {
	for _, s := range []string{`{"Operations":[{"op":"add","path":"emails[type eq \"work\"].value","value":"x"}]}`,
		`{"Operations":[{"op":"replace","value":{"name.givenName":"A","active":"True"}}]}`,
		`{"operations":[{"op":"Remove","path":"members","value":[{"value":"u"}]},{"op":"remove","path":"title"}]}`,
		expand(`{"Operations":[{"op":"add","path":"$ACME:a","value":{"b":null}},{"op":"add","path":"$ENT","value":{"manager":["m"]}}]}`)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		body, err := decode(data)
		if err != nil {
			return
		}
		todo, err := parsePatch(body)
		if err != nil {
			if scimType(err) == "?" {
				t.Errorf("got %v, want a SCIM error", err)
			}
			return
		}
		for typ, text := range map[*resourceType]string{userType: annUser, groupType: opsGroup} {
			before := mustDecode(t, expand(text))
			after, members, _, err := typ.patch(before, todo)
			if err != nil && scimType(err) == "?" {
				t.Errorf("got %v, want a SCIM error", err)
			}
			if !reflect.DeepEqual(before, mustDecode(t, expand(text))) {
				t.Errorf("the document was modified: %v", before)
			}
			for _, id := range members.add {
				if slices.Contains(members.remove, id) {
					t.Errorf("%q is both added and removed", id)
				}
			}
			if _, err := json.Marshal(after); err != nil {
				t.Error(err)
			}
		}
	})
}
