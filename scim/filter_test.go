package scim

import (
	"fmt"
	"strings"
	"testing"

	scimerr "github.com/elimity-com/scim/errors"
	"pgregory.net/rapid"

	"gatehouse/store"
)

// showFilter writes a filter so that a test can compare it: * marks multi-valued
// attributes, ! those whose case counts.
func showFilter(f store.Filter) string {
	join := func(parts []store.Filter, op string) string {
		var texts []string
		for _, p := range parts {
			texts = append(texts, showFilter(p))
		}
		return "(" + strings.Join(texts, " "+op+" ") + ")"
	}
	name := func(a store.Attr) string {
		s := strings.Join(a.Path, "/")
		if a.Multi {
			s += "*"
		}
		if a.CaseExact {
			s += "!"
		}
		return s
	}
	switch f := f.(type) {
	case store.And:
		return join(f, "and")
	case store.Or:
		return join(f, "or")
	case store.Not:
		return "not " + showFilter(f.Filter)
	case store.Present:
		return name(f.Attr) + " pr"
	case store.Some:
		return name(f.Attr) + "[" + showFilter(f.Where) + "]"
	case store.Compare:
		return fmt.Sprintf("%s %s %#v", name(f.Attr), f.Op, f.Value)
	}
	return fmt.Sprintf("%#v", f)
}

func TestFilters(t *testing.T) {
	t.Parallel()
	ent := strings.ToLower(enterpriseURN)
	for _, c := range []struct {
		why       string
		typ       *resourceType
		text, got string
	}{
		{"E01 a probe", userType, `userName eq "4F0D-x"`, `username eq "4f0d-x"`},
		{"E02 no quotes", userType, `externalId eq jyoung`, `externalid! eq "jyoung"`},
		{"E03 case does not count", userType, `USERNAME Eq "Ada@Corp.Example"`, `username eq "ada@corp.example"`},
		{"E04 one element fulfils both", userType, `emails[type eq "Work"].value eq "A@x"`, `emails*[(type eq "work" and value eq "a@x")]`},
		{"E08 manager means its value", userType, `id eq "u1" and manager eq "M1"`, `(id! eq "u1" and ` + ent + `/manager/value! eq "M1")`},
		{"E09 members mean their value", groupType, `id eq "g1" and members eq "U1"`, `(id! eq "g1" and members/value*! eq "U1")`},
		{"E115 grouping without quotes", userType, `name.FamilyName eq Employee and (emails.Value co example.com or emails.Value co example.org)`,
			`(name/familyname eq "employee" and (emails/value* co "example.com" or emails/value* co "example.org"))`},
		{"E116 a date without quotes", userType, `meta.Created gt 2015-10-10T14:38:21.8617979-07:00`, `meta/created gt "2015-10-10T21:38:21.861Z"`},
		{"and binds tighter than or", userType, `title pr or active eq true and not (nickName sw "a")`,
			`(title pr or (active eq true and not nickname sw "a"))`},
		{"a boolean as text", userType, `active eq "True"`, `active eq true`},
		{"a boolean in a value path", userType, `roles[primary eq "True" or not (value pr)]`, `roles*[(primary eq true or not value pr)]`},
		{"null is the absence", userType, `title eq null or title ne null`, `(not title pr or title pr)`},
		{"null in quotes is a name", userType, `title eq "null"`, `title eq "null"`},
		{"escapes are decoded", userType, `displayName eq "a\"b\\c\u00e9"`, `displayname eq "a\"b\\cé"`},
		{"folding is Unicode's", userType, `displayName eq "STRASSE É"`, `displayname eq "strasse é"`},
		{"a core URN", userType, coreURN + `:emails.value ew "x"`, `emails/value* ew "x"`},
		{"the extension's URN", userType, strings.ToUpper(enterpriseURN) + `:Department eq "Ops"`, ent + `/department eq "ops"`},
		{"a value path on one value", userType, `manager[value eq "m1"]`, ent + `/manager/value! eq "m1"`},
		{"members by their ids", groupType, `members[value eq "a" or value eq "b"]`, `members*[(value! eq "a" or value! eq "b")]`},
		{"a member of one kind", groupType, `members[value ne "a" and not (type eq "User")]`, `members*[(value! ne "a" and not type eq "user")]`},
		{"groups by their ids", userType, `groups[value eq "g1"] or groups.value eq "g2"`, `(groups*[value! eq "g1"] or groups/value*! eq "g2")`},
		{"groups by their parts", userType, `groups[type eq "direct"].display co "Ops" or groups.type pr`, `(groups*[(type eq "direct" and display co "ops")] or groups/type* pr)`},
		{"the resource type", userType, `meta.resourceType eq "User"`, `meta/resourcetype! eq "User"`},
		{"a number may be an id", userType, `externalId eq 123`, `externalid! eq "123"`},
		{"a colon in a value", userType, `displayName eq "a:b"`, `displayname eq "a:b"`},
		{"schemas are many", userType, `schemas eq "` + enterpriseURN + `"`, `schemas*! eq "` + enterpriseURN + `"`},
		{"a complex attribute is present", userType, `emails pr`, `emails* pr`},
	} {
		f, err := c.typ.parseFilter(c.text)
		if err != nil {
			t.Errorf("%s: parseFilter(%s): %v", c.why, c.text, err)
		} else if got := showFilter(f); got != c.got {
			t.Errorf("%s: parseFilter(%s):\n got %s\nwant %s", c.why, c.text, got, c.got)
		}
	}
}

func TestFiltersRefused(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat("(", n) + "title pr" + strings.Repeat(")", n) }
	long := func(n int) string { return strings.Repeat("title pr or ", n-1) + "title pr" }
	for _, ok := range []string{nested(maxFilterDepth), long(maxFilterComparisons)} {
		if _, err := userType.parseFilter(ok); err != nil {
			t.Errorf("at the limit: got %v", err)
		}
	}
	for _, c := range []struct{ why, text string }{
		{"nothing", ""},
		{"no attribute of ours, rather than an empty answer", `shoeSize eq "9"`},
		{"an unknown sub-attribute", `emails.size eq "9"`},
		{"a sub-attribute that is none", `userName. eq "9"`},
		{"an unknown attribute in a value path", `emails[size eq "9"]`},
		{"an unknown extension", acmeURN + `:site eq "A"`},
		{"a password is not searched", `password eq "x"`},
		{"an id has no parts", `groups.value sw "x"`},
		{"nor in a value path", `groups[value co "x"]`},
		{"an address has no order", `groups.$ref gt "x"`},
		{"nor has that of a resource", `meta.location ge "x"`},
		{"a version has no parts", `meta.version sw "W/"`},
		{"an attribute that groups don't have", `groups[primary eq true]`},
		{"a boolean for text", `userName eq true`},
		{"text for a boolean", `active eq "yes"`},
		{"booleans have no order", `active gt false`},
		{"dates have no parts", `meta.created co "2015"`},
		{"no date", `meta.created gt "yesterday"`},
		{"a year that does not sort", `meta.created gt "9999-12-31T23:59:59-07:00"`},
		{"null has no order", `title gt null`},
		{"an object has parts", `name eq "Ann"`},
		{"an unknown operator", `userName like "a"`},
		{"no value", `userName eq`},
		{"no operator", `userName`},
		{"single quotes", `userName eq 'ann'`},
		{"an open string", `userName eq "ann`},
		{"a broken escape", `userName eq "\x"`},
		{"NUL in an escape", `userName eq "\u0000"`},
		{"NUL as it is", "userName eq \"a\x00\""},
		{"no UTF-8", "userName eq \"\xff\""},
		{"something behind", `title pr title pr`},
		{"an open group", `(title pr`},
		{"a group closed twice", `(title pr))`},
		{"an open value path", `emails[type eq "work"`},
		{"an empty value path", `emails[]`},
		{"a value path without parts", `userName[value eq "x"]`},
		{"a value path in a value path", `emails[value[type eq "x"]]`},
		{"and without a right side", `title pr and `},
		{"not without parentheses", `not title pr`},
		{"too deep", nested(maxFilterDepth + 1)},
		{"so deep that the stack would overflow", strings.Repeat("not (", 1600)},
		{"too many comparisons", long(maxFilterComparisons + 1)},
		{"too long", `userName eq "` + strings.Repeat("a", maxFilterBytes) + `"`},
	} {
		f, err := userType.parseFilter(c.text)
		if scimType(err) != scimerr.ScimTypeInvalidFilter {
			t.Errorf("%s: parseFilter(%.80q): got %v, %v, want invalidFilter", c.why, c.text, f, err)
		}
	}
}

func TestWhatIsMadeWhenReadIsSearched(t *testing.T) {
	t.Parallel()
	const base = "https://x/scim/c/v2"
	for _, c := range []struct {
		why       string
		typ       *resourceType
		text, got string
	}{
		{"where a user is", userType, `meta.location eq "` + base + `/Users/u1"`, `id! eq "u1"`},
		{"where it is not", userType, `meta.location ne "` + base + `/Users/u1"`, `not id! eq "u1"`},
		{"where groups are", userType, `meta.location eq "` + base + `/Groups/u1"`, `()`},
		{"where nothing is", groupType, `meta.location eq "` + base + `/Groups"`, `()`},
		{"on another server", groupType, `not (meta.location eq "https://y/scim/c/v2/Groups/g1")`, `not ()`},
		{"no address at all", groupType, `meta.location eq null`, `not meta/location! pr`},
		{"a group's version", groupType, `meta.version eq "W/\"12\""`, `meta/version! eq 12`},
		{"not that version", groupType, `meta.version ne "W/\"12\""`, `not meta/version! eq 12`},
		{"what no group has as version", groupType, `meta.version eq "W/\"012\"" or meta.version eq "12" or meta.version eq ""`, `(() or () or ())`},
		{"a user's version", userType, `meta.version eq "W/\"12.AbC-_x12\""`, `(meta/version! eq 12 and store.SameGroups{Digest:"AbC-_x12"})`},
		{"not that of a user", userType, `meta.version ne "W/\"1.x\""`, `not (meta/version! eq 1 and store.SameGroups{Digest:"x"})`},
		{"what no user has as version", userType, `meta.version eq "W/\"12\"" or meta.version eq "W/\"12.\"" or meta.version eq "12.x"`, `(() or () or ())`},
		{"what nothing has as version", userType, `meta.version eq "W/\"9223372036854775807.x\"" or meta.version ne "W/\"-1.x\""`, `(() or not ())`},
		{"a user's version is no group's", groupType, `meta.version eq "W/\"12.AbC-_x12\""`, `()`},
		{"where a member is", groupType, `members.$ref eq "` + base + `/Users/u1"`, `members*[(value! eq "u1" and type eq "user")]`},
		{"where no member is", groupType, `members.$ref ne "` + base + `/Groups/g1"`, `not members*[(value! eq "g1" and type eq "group")]`},
		{"by a value path", groupType, `members[type eq "User" and $ref ne "` + base + `/Users/u1"]`, `members*[(type eq "user" and not (value! eq "u1" and type eq "user"))]`},
		{"somewhere else", groupType, `members[$ref eq "/Users/u1"]`, `members*[()]`},
		{"where a group is", userType, `groups.$ref eq "` + base + `/Groups/g1" and title pr`, `(groups*[value! eq "g1"] and title pr)`},
		{"no group is where people are", userType, `groups[$ref eq "` + base + `/Users/g1" or $ref pr]`, `groups*[(() or $ref! pr)]`},
	} {
		f, err := c.typ.parseFilter(c.text)
		if err != nil {
			t.Errorf("%s: parseFilter(%s): %v", c.why, c.text, err)
		} else if got := showFilter(c.typ.derived(f, base)); got != c.got {
			t.Errorf("%s: %s:\n got %s\nwant %s", c.why, c.text, got, c.got)
		}
	}
}

func TestUnknownAttributeIsNamed(t *testing.T) {
	t.Parallel()
	_, err := userType.parseFilter(`userName eq "a" and shoeSize eq "9"`)
	if err == nil || !strings.Contains(err.Error(), "shoeSize") {
		t.Errorf("got %v, want shoeSize in it", err)
	}
}

func TestFiltersMatch(t *testing.T) {
	t.Parallel()
	doc := userType.searchable(mustDecode(t, expand(`{"userName":"Ann","active":true,"externalId":"X1","title":"ÉCLAIR",
		"emails":[{"type":"work","value":"Ann@x"},{"type":"home","value":"a@h"}],"meta":{"created":"2026-01-01T01:00:00+01:00"},
		"$ENT":{"department":"Ops","manager":{"value":"M1"}}}`)))
	for text, want := range map[string]bool{
		`userName eq "ANN"`:                                     true,
		`externalId eq "x1"`:                                    false,
		`title eq "éclair"`:                                     true,
		`nickName ne "x"`:                                       true,
		`nickName eq null`:                                      true,
		`nickName pr`:                                           false,
		`active eq "true"`:                                      true,
		`active ne true`:                                        false,
		`emails co "@X"`:                                        true,
		`emails ne "a@h"`:                                       false,
		`emails[type eq "work" and value eq "a@h"]`:             false,
		`emails[type eq "home"].value eq "A@H"`:                 true,
		`emails.type eq "work" and emails.value eq "a@h"`:       true,
		`meta.created eq "2026-01-01T00:00:00Z"`:                true,
		`meta.created lt 2026-01-01`:                            false,
		`meta.created le 2026-01-01`:                            true,
		enterpriseURN + `:department sw "o"`:                    true,
		`manager eq "m1"`:                                       false,
		`manager eq "M1" and not (userName ew "x")`:             true,
		`schemas eq "` + enterpriseURN + `"`:                    true,
		`userName gt "am" and userName lt "ao"`:                 true,
		`userName ge "ann" and userName le "ann" and title pr`:  true,
		`not (emails[type eq "other"]) and not (emails eq "q")`: true,
	} {
		f, err := userType.parseFilter(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := matches(f, doc); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

// filterText draws texts that are often filters, and often not quite.
func filterText() *rapid.Generator[string] {
	token := rapid.SampledFrom([]string{"userName", "emails", "emails.value", "active", "meta.created", "members", "manager", "name",
		enterpriseURN + ":department", "urn:x:y", ".value", "[", "]", "(", ")", " ", " ", " ", "eq", "ne", "co", "gt", "pr", "and", "or", "not",
		`"x"`, `"`, "true", "null", "12", "2026-01-01", "type", "\\", "é"})
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(token, 0, 60).Draw(t, "tokens"), rapid.SampledFrom([]string{"", " "}).Draw(t, "between"))
	})
}

func TestAnyTextIsAFilterOrInvalid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		checkFilter(t, filterText().Draw(t, "filter"))
	})
}

// checkFilter checks what holds for every text.
func checkFilter(t interface{ Errorf(string, ...any) }, text string) {
	for _, typ := range []*resourceType{userType, groupType} {
		f, err := typ.parseFilter(text)
		if err != nil {
			if scimType(err) != scimerr.ScimTypeInvalidFilter {
				t.Errorf("parseFilter(%q): got %v, want invalidFilter", text, err)
			}
			continue
		}
		if depth, comparisons := filterSize(f); len(text) > maxFilterBytes || depth > 4*maxFilterDepth || comparisons > maxFilterComparisons {
			t.Errorf("parseFilter(%q): %d deep with %d comparisons", text, depth, comparisons)
		}
		matches(f, document{})
	}
}

func filterSize(f store.Filter) (depth, comparisons int) {
	var parts []store.Filter
	switch f := f.(type) {
	case store.And:
		parts = f
	case store.Or:
		parts = f
	case store.Not:
		parts = []store.Filter{f.Filter}
	case store.Some:
		parts = []store.Filter{f.Where}
	default:
		return 1, 1
	}
	for _, p := range parts {
		d, n := filterSize(p)
		depth, comparisons = max(depth, d), comparisons+n
	}
	return depth + 1, comparisons
}

func FuzzFilter(f *testing.F) {
	for _, s := range []string{`userName eq "a"`, `emails[type eq "work"].value eq "x"`, `not (a pr)`, `members eq 1 or active eq true`,
		`meta.created gt 2015-10-10T14:38:21.8617979-07:00`, `((((`, `manager[value eq "x"].value pr`, `groups[value eq "a" or value eq "b"]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { checkFilter(t, text) })
}

var pathSeeds = []string{`userName`, `emails[type eq "work"].value`, `name.givenName`, enterpriseURN + `:manager`, acmeURN + `:site`,
	`members[value eq "x" or value eq "y"]`, `foo[bar].baz`, `roles[primary eq "True"]`, `urn:`, `emails[`, coreURN}

func FuzzPath(f *testing.F) {
	for _, s := range pathSeeds {
		f.Add(s)
	}
	f.Fuzz(checkPath)
}

// checkPath checks what holds for every text.
func checkPath(t *testing.T, text string) {
	for _, typ := range []*resourceType{userType, groupType} {
		g, err := typ.parsePath(text)
		if kind := scimType(err); err != nil && kind != scimerr.ScimTypeInvalidPath && kind != scimerr.ScimTypeInvalidFilter {
			t.Errorf("parsePath(%q): got %v, want invalidPath or invalidFilter", text, err)
		}
		if err == nil && g.where != nil {
			matches(g.where, document{})
		}
	}
}

func BenchmarkParseFilter(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := userType.parseFilter(`emails[type eq "work"].value eq "ada@corp.example"`); err != nil {
			b.Fatal(err)
		}
	}
}

// What isn't the same is looked for in every document, and counts as that.
func TestNotEqualCounts(t *testing.T) {
	for filter, want := range map[string]int{`externalId eq "a"`: 0, `externalId ne "a"`: 1, `userName ne "a" or displayName ne "b"`: 2, `meta.version eq "W/\"1.x\""`: 10} {
		f, err := userType.parseFilter(filter)
		if err != nil {
			t.Fatal(err)
		}
		if got := store.Scans(userType.derived(f, "https://gatehouse.example"), false); got != want {
			t.Errorf("%s: counted as %d, want %d", filter, got, want)
		}
	}
}
