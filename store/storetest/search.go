package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/store"
)

const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

// attr is a single-valued attribute by its dotted path; case doesn't count but
// for externalId and id.
func attr(path string) store.Attr {
	return store.Attr{Path: strings.Split(path, "."), CaseExact: path == "externalid" || path == "id"}
}

// multi is a multi-valued attribute, or a sub-attribute of one.
func multi(path ...string) store.Attr { return store.Attr{Path: path, Multi: true} }

func of(typ store.AttrType, a store.Attr) store.Attr {
	a.Type = typ
	return a
}

func compare(path string, op store.Op, value any) store.Compare {
	return store.Compare{Attr: attr(path), Op: op, Value: value}
}

func extension(name string) store.Attr {
	return store.Attr{Path: []string{strings.ToLower(enterprise), name}}
}

// cast makes the people that the filters pick from.
func cast(t *testing.T, p place) map[string]store.User {
	t.Helper()
	mail := func(kind, value string, primary bool) map[string]any {
		return map[string]any{"type": kind, "value": value, "primary": primary}
	}
	users := map[string]store.User{}
	for _, u := range []store.User{
		person("ann", map[string]any{
			"externalId": "X-1", "displayName": "Ann O'Neil", "title": "Éclair 100%", "logins": 9, "since": "2026-01-31T08:00:00.000Z",
			"name":     map[string]any{"familyName": "O'Neil", "givenName": "Ann"},
			"emails":   []any{mail("work", "ann@corp.example", true), mail("home", "ann@home.example", false)},
			"schemas":  []any{"urn:core", enterprise},
			enterprise: map[string]any{"department": "Sales", "manager": map[string]any{"value": "m1"}},
		}),
		person("Bob", map[string]any{
			"externalId": "x-1", "displayName": "Bob", "title": "a_b", "logins": 10, "since": "2026-02-01T08:00:00.000Z", "active": false,
			"name":     map[string]any{"familyName": "Smith"},
			"emails":   []any{mail("home", "bob@corp.example", true), mail("work", "bob@home.example", false)},
			"schemas":  []any{"urn:core"},
			enterprise: map[string]any{"department": "sales"},
		}),
		person("eve", map[string]any{ // nothing is said of her
			"title": "", "name": map[string]any{}, "emails": []any{}, "nickName": nil,
		}),
		person(`z"o\e`, map[string]any{"displayName": "🙂 zoë", "title": "axb", "logins": 2.5, "flag": true, "tags": []any{"Red", "100%"}}),
	} {
		users[u.UserName[:1]] = p.addUser(t, u)
	}
	return users
}

func search(t *testing.T, s *store.Store) {
	p := acme(t, s)
	for _, elsewhere := range []place{newPlace(t, s, "acme", "okta"), newPlace(t, s, "globex", "entra")} {
		cast(t, elsewhere) // never found, though every filter would
	}
	users := cast(t, p)
	crew := p.addGroup(t, team("crew", nil), users["a"].ID, users["e"].ID)
	id := func(name string) string { return string(users[name].ID) }
	made := store.SearchTime(users["a"].CreatedAt.Time)
	past := store.SearchTime(users["a"].CreatedAt.Add(-time.Hour))
	future := store.SearchTime(s.Now().Add(time.Hour))
	email, kind := multi("emails", "value"), multi("emails", "type")
	inValue, inType, inPrimary := attr("value"), attr("type"), of(store.TypeBoolean, attr("primary"))
	emails := of(store.TypeComplex, multi("emails"))
	instant := func(path string) store.Attr { return of(store.TypeDateTime, attr(path)) }
	cmp := func(a store.Attr, op store.Op, v any) store.Filter { return store.Compare{Attr: a, Op: op, Value: v} }
	active := of(store.TypeBoolean, attr("active"))
	logins := of(store.TypeNumber, attr("logins"))

	for _, c := range []struct {
		why    string
		filter store.Filter
		want   string // the first letters of who is found
	}{
		{"no filter", nil, "aBez"},

		{"userName eq", compare("username", store.Equal, "bob"), "B"},
		{"userName ne", compare("username", store.NotEqual, "bob"), "aez"},
		{"userName co", compare("username", store.Contains, "o"), "Bz"},
		{"userName sw", compare("username", store.StartsWith, "bo"), "B"},
		{"userName ew", compare("username", store.EndsWith, "nn"), "a"},
		{"userName gt", compare("username", store.Greater, "bob"), "ez"},
		{"userName ge", compare("username", store.GreaterOrEqual, "bob"), "Bez"},
		{"userName lt: by bytes, not as people sort", compare("username", store.Less, "bob"), "a"},
		{"userName le", compare("username", store.LessOrEqual, "bob"), "aB"},
		{"userName with quotes and backslash", compare("username", store.Equal, `z"o\e`), "z"},
		{"userName eq nobody", compare("username", store.Equal, "nobody"), ""},
		{"userName pr", store.Present{Attr: attr("username")}, "aBez"},

		{"externalId counts case", compare("externalid", store.Equal, "X-1"), "a"},
		{"externalId in the other case", compare("externalid", store.Equal, "x-1"), "B"},
		{"externalId sw", compare("externalid", store.StartsWith, "X"), "a"},
		{"externalId ne: absent is not equal", compare("externalid", store.NotEqual, "X-1"), "Bez"},
		{"externalId eq nothing: absent equals nothing", compare("externalid", store.Equal, ""), ""},
		{"externalId ne nothing", compare("externalid", store.NotEqual, ""), "aBez"},
		{"externalId co nothing: every text has it", compare("externalid", store.Contains, ""), "aB"},
		{"externalId lt: the absent come before nobody", compare("externalid", store.Less, "Y"), "a"},
		{"externalId le", compare("externalid", store.LessOrEqual, "x-1"), "aB"},
		{"externalId gt nothing", compare("externalid", store.Greater, ""), "aB"},
		{"externalId pr", store.Present{Attr: attr("externalid")}, "aB"},
		{"externalId eq null", cmp(attr("externalid"), store.Equal, nil), "ez"},
		{"externalId ne null", cmp(attr("externalid"), store.NotEqual, nil), "aB"},
		{"externalId gt null makes no sense", cmp(attr("externalid"), store.Greater, nil), ""},

		{"displayName with a quote", compare("displayname", store.Equal, "ann o'neil"), "a"},
		{"displayName sw beyond the plane", compare("displayname", store.StartsWith, "🙂"), "z"},
		{"displayName ew folded", compare("displayname", store.EndsWith, "zoë"), "z"},
		{"displayName ew longer than it", compare("displayname", store.EndsWith, "my bob"), ""},
		{"displayName lt", compare("displayname", store.Less, "b"), "a"},
		{"displayName not lt", store.Not{Filter: compare("displayname", store.Less, "b")}, "Bez"},

		{"active eq true", cmp(active, store.Equal, true), "aez"},
		{"active eq false", cmp(active, store.Equal, false), "B"},
		{"active ne true", cmp(active, store.NotEqual, true), "B"},
		{"active pr", store.Present{Attr: active}, "aBez"},
		{"a boolean of the document", cmp(of(store.TypeBoolean, attr("flag")), store.Equal, true), "z"},
		{"the absent is not false", cmp(of(store.TypeBoolean, attr("flag")), store.Equal, false), ""},
		{"nor true", cmp(of(store.TypeBoolean, attr("flag")), store.NotEqual, true), "aBe"},

		{"title co: % is no wildcard", compare("title", store.Contains, "0%"), "a"},
		{"title co: _ is no wildcard", compare("title", store.Contains, "a_b"), "B"},
		{"title sw %", compare("title", store.StartsWith, "%"), ""},
		{"title ew %", compare("title", store.EndsWith, "%"), "a"},
		{"title eq: É is é", compare("title", store.Equal, store.Fold("ÉCLAIR 100%")), "a"},
		{"title ne", compare("title", store.NotEqual, "a_b"), "aez"},
		{"title gt", compare("title", store.Greater, "a_b"), "az"},
		{"title lt: by bytes", compare("title", store.Less, "axb"), "Be"},
		{"title pr: the empty is absent", store.Present{Attr: attr("title")}, "aBz"},
		{"nickName pr: null is absent", store.Present{Attr: attr("nickname")}, ""},
		{"not (nickName pr)", store.Not{Filter: store.Present{Attr: attr("nickname")}}, "aBez"},
		{"SQL in a value", compare("title", store.Equal, "' or '1'='1"), ""},
		{"a placeholder in a value", compare("title", store.Contains, "?"), ""},

		{"name.familyName eq", compare("name.familyname", store.Equal, "o'neil"), "a"},
		{"name.familyName pr", store.Present{Attr: attr("name.familyname")}, "aB"},
		{"name pr: an empty one is absent", store.Present{Attr: of(store.TypeComplex, attr("name"))}, "aB"},
		{"a part of what has none", compare("username.part", store.Equal, "x"), ""},

		{"a number eq", cmp(logins, store.Equal, 10.0), "B"},
		{"a number ne", cmp(logins, store.NotEqual, 10.0), "aez"},
		{"a number gt: 10 is more than 9", cmp(logins, store.Greater, 9.0), "B"},
		{"a number ge", cmp(logins, store.GreaterOrEqual, 9.0), "aB"},
		{"a number lt with a fraction", cmp(logins, store.Less, 2.75), "z"},
		{"a number le", cmp(logins, store.LessOrEqual, 9.0), "az"},
		{"not a number lt: the absent are", store.Not{Filter: cmp(logins, store.Less, 9.5)}, "Be"},

		{"a dateTime of the document eq", cmp(instant("since"), store.Equal, "2026-01-31T08:00:00.000Z"), "a"},
		{"gt", cmp(instant("since"), store.Greater, "2026-01-31T08:00:00.000Z"), "B"},
		{"le", cmp(instant("since"), store.LessOrEqual, "2026-02-01T08:00:00.000Z"), "aB"},
		{"meta.created eq", cmp(instant("meta.created"), store.Equal, made), ""},
		{"meta.created gt", cmp(instant("meta.created"), store.Greater, past), "aBez"},
		{"meta.created lt", cmp(instant("meta.created"), store.Less, past), ""},
		{"meta.lastModified le", cmp(instant("meta.lastmodified"), store.LessOrEqual, future), "aBez"},
		{"meta.lastModified ne", cmp(instant("meta.lastmodified"), store.NotEqual, future), "aBez"},
		{"meta.lastModified pr", store.Present{Attr: instant("meta.lastmodified")}, "aBez"},
		{"meta.resourceType eq", compare("meta.resourcetype", store.Equal, "User"), "aBez"},
		{"meta.resourceType eq another", compare("meta.resourcetype", store.Equal, "Group"), ""},
		{"meta.resourceType sw", compare("meta.resourcetype", store.StartsWith, "Us"), "aBez"},
		{"meta pr", store.Present{Attr: attr("meta")}, "aBez"},

		{"id eq", compare("id", store.Equal, id("B")), "B"},
		{"id ne", compare("id", store.NotEqual, id("B")), "aez"},
		{"id eq what can't be one", compare("id", store.Equal, "42"), ""},
		{"id ne what can't be one", compare("id", store.NotEqual, "42"), "aBez"},
		{"id sw", compare("id", store.StartsWith, id("z")), "z"},
		{"id gt", compare("id", store.Greater, id("B")), "ez"},
		{"id pr", store.Present{Attr: attr("id")}, "aBez"},

		{"emails.value eq", cmp(email, store.Equal, "ann@home.example"), "a"},
		{"emails.value ne: nobody has it", cmp(email, store.NotEqual, "ann@home.example"), "Bez"},
		{"emails.value co: some value does", cmp(email, store.Contains, "@corp"), "aB"},
		{"emails.value ew", cmp(email, store.EndsWith, "bob@home.example"), "B"},
		{"emails.type eq", cmp(kind, store.Equal, "work"), "aB"},
		{"emails pr: an empty list is absent", store.Present{Attr: emails}, "aB"},
		{"emails.value pr", store.Present{Attr: email}, "aB"},
		{"not (emails pr)", store.Not{Filter: store.Present{Attr: emails}}, "ez"},
		{"one element fulfils both", store.Some{Attr: attr("emails"), Where: store.And{cmp(inType, store.Equal, "work"), cmp(inValue, store.Contains, "@corp")}}, "a"},
		{"two elements may fulfil two", store.And{cmp(kind, store.Equal, "work"), cmp(email, store.Contains, "@corp")}, "aB"},
		{"a value path with eq on value", store.Some{Attr: attr("emails"), Where: store.And{cmp(inType, store.Equal, "home"), cmp(inValue, store.Equal, "bob@corp.example")}}, "B"},
		{"the same, wrong type", store.Some{Attr: attr("emails"), Where: store.And{cmp(inType, store.Equal, "work"), cmp(inValue, store.Equal, "bob@corp.example")}}, ""},
		{"a value path with or", store.Some{Attr: attr("emails"), Where: store.Or{cmp(inValue, store.Equal, "bob@corp.example"), cmp(inValue, store.StartsWith, "ann@h")}}, "aB"},
		{"a value path with not", store.Some{Attr: attr("emails"), Where: store.Not{Filter: cmp(inType, store.Equal, "work")}}, "aB"},
		{"a boolean of an element", store.Some{Attr: attr("emails"), Where: store.And{cmp(inPrimary, store.Equal, true), cmp(inType, store.Equal, "home")}}, "B"},
		{"pr of an element", store.Some{Attr: attr("emails"), Where: store.Present{Attr: inType}}, "aB"},
		{"not a value path", store.Not{Filter: store.Some{Attr: attr("emails"), Where: cmp(inValue, store.Equal, "ann@corp.example")}}, "Bez"},
		{"simple values eq", cmp(multi("tags"), store.Equal, "red"), "z"},
		{"simple values co", cmp(multi("tags"), store.Contains, "0%"), "z"},
		{"simple values pr", store.Present{Attr: multi("tags")}, "z"},
		{"schemas eq", cmp(multi("schemas"), store.Equal, strings.ToLower(enterprise)), "a"},

		{"an extension's attribute", cmp(extension("department"), store.Equal, "sales"), "aB"},
		{"an extension's part", cmp(store.Attr{Path: append(extension("manager").Path, "value")}, store.Equal, "m1"), "a"},
		{"an extension's part pr", store.Present{Attr: store.Attr{Path: append(extension("manager").Path, "value")}}, "a"},

		{"groups.value eq", cmp(multi("groups", "value"), store.Equal, string(crew.ID)), "ae"},
		{"groups.value ne", cmp(multi("groups", "value"), store.NotEqual, string(crew.ID)), "Bz"},
		{"groups.value eq what can't be one", cmp(multi("groups", "value"), store.Equal, "42"), ""},
		{"groups pr", store.Present{Attr: multi("groups")}, "ae"},
		{"groups by value path", store.Some{Attr: attr("groups"), Where: cmp(inValue, store.Equal, string(crew.ID))}, "ae"},

		{"the empty and", store.And{}, "aBez"},
		{"the empty or", store.Or{}, ""},
		{"and binds its parts", store.And{store.Or{compare("username", store.Equal, "ann"), compare("username", store.Equal, "bob")}, cmp(active, store.Equal, true)}, "a"},
		{"or finds nobody elsewhere", store.Or{compare("username", store.Equal, "ann"), compare("username", store.Equal, "bob")}, "aB"},
		{"or of columns, documents and tables", store.Or{compare("username", store.Equal, "eve"), cmp(email, store.Equal, "ann@corp.example"), compare("title", store.Equal, "a_b")}, "aBe"},
		{"or of and", store.Or{store.And{compare("username", store.Equal, "ann"), cmp(active, store.Equal, false)}, compare("username", store.Equal, "eve")}, "e"},
		{"not of and", store.Not{Filter: store.And{compare("title", store.Equal, "a_b"), cmp(active, store.Equal, false)}}, "aez"},
		{"not of an absent one", store.Not{Filter: compare("nickname", store.Equal, "x")}, "aBez"},
		{"not not", store.Not{Filter: store.Not{Filter: compare("nickname", store.Equal, "x")}}, ""},
		{"the boundary of a column is in its own parentheses", store.Not{Filter: compare("externalid", store.Less, "Y")}, "Bez"},
		{"externalId lt, or another", store.Or{compare("externalid", store.Less, "A"), compare("username", store.Equal, "eve")}, "e"},
	} {
		if c.why == "meta.created eq" { // those made in that millisecond
			for _, letter := range "aBez" {
				if users[string(letter)].CreatedAt == users["a"].CreatedAt {
					c.want += string(letter)
				}
			}
		}
		found, total, err := s.Users(t.Context(), p.ref, store.Query{Filter: c.filter, Limit: 10, Count: true})
		var got string
		for _, u := range found {
			got += u.UserName[:1]
		}
		if err != nil || got != c.want || total != len(c.want) {
			t.Errorf("%s: got %q of %d, %v, want %q", c.why, got, total, err, c.want)
		}
		if _, total, err := s.Users(t.Context(), p.ref, store.Query{Filter: c.filter, Count: true}); err != nil || total != len(c.want) {
			t.Errorf("%s: counted %d, %v, want %d", c.why, total, err, len(c.want))
		}
	}
}

func searchGroups(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ids := p.addPeople(t, "ann", "bob")
	elsewhere := newPlace(t, s, "acme", "okta")
	stranger := elsewhere.addPeople(t, "ann")[0]
	elsewhere.addGroup(t, team("Crew", nil), stranger)
	elsewhere.addGroup(t, team("Staff", nil))
	p.addGroup(t, team("Crew", map[string]any{"externalId": "G1"}), ids...)
	p.addGroup(t, team("Staff", nil), ids[0])
	p.addGroup(t, team("Éire", nil))
	members := multi("members", "value")
	for _, c := range []struct {
		why    string
		filter store.Filter
		want   string
	}{
		{"no filter", nil, "Crew Staff Éire"},
		{"displayName eq", compare("displayname", store.Equal, "crew"), "Crew"},
		{"displayName eq, folded", compare("displayname", store.Equal, store.Fold("ÉIRE")), "Éire"},
		{"displayName sw", compare("displayname", store.StartsWith, "st"), "Staff"},
		{"or", store.Or{compare("displayname", store.Equal, "crew"), compare("displayname", store.Equal, "staff")}, "Crew Staff"},
		{"externalId eq", compare("externalid", store.Equal, "G1"), "Crew"},
		{"externalId lt: not the absent", compare("externalid", store.Less, "Z"), "Crew"},
		{"members.value eq", store.Compare{Attr: members, Op: store.Equal, Value: string(ids[0])}, "Crew Staff"},
		{"members.value ne", store.Compare{Attr: members, Op: store.NotEqual, Value: string(ids[1])}, "Staff Éire"},
		{"members.value eq a stranger", store.Compare{Attr: members, Op: store.Equal, Value: string(stranger)}, ""},
		{"members.value eq nonsense", store.Compare{Attr: members, Op: store.Equal, Value: "x"}, ""},
		{"members by value path", store.Some{Attr: attr("members"), Where: compare("value", store.Equal, string(ids[1]))}, "Crew"},
		{"members pr", store.Present{Attr: members}, "Crew Staff"},
		{"id and member: how Entra asks", store.And{compare("displayname", store.Equal, "crew"), store.Compare{Attr: members, Op: store.Equal, Value: string(ids[1])}}, "Crew"},
		{"meta.resourceType eq", compare("meta.resourcetype", store.Equal, "Group"), "Crew Staff Éire"},
		{"meta.version eq", store.Compare{Attr: of(store.TypeNumber, attr("meta.version")), Op: store.Equal, Value: 1.0}, "Crew Staff Éire"},
		{"meta.version eq another", store.Compare{Attr: of(store.TypeNumber, attr("meta.version")), Op: store.Equal, Value: 2.0}, ""},
		{"meta.location pr", store.Present{Attr: attr("meta.location")}, "Crew Staff Éire"},
		{"an address of members that is not in their rows", store.Compare{Attr: multi("members", "$ref"), Op: store.Equal, Value: "x"}, ""},
	} {
		found, total, err := s.Groups(t.Context(), p.ref, store.Query{Filter: c.filter, Limit: 10, Count: true})
		var names []string
		for _, g := range found {
			names = append(names, g.DisplayName)
		}
		if got := strings.Join(names, " "); err != nil || got != c.want || total != len(names) {
			t.Errorf("%s: got %q of %d, %v, want %q", c.why, got, total, err, c.want)
		}
	}
}

// Whatever stands in a filter, the database never answers with an error.
func oddFilters(t *testing.T, s *store.Store) {
	p := acme(t, s)
	cast(t, p)
	values := []any{"", "x", "2026-01-31T08:00:00.000Z", strings.Repeat("long ", 2000), "-1", "1e999", true, 1.5, nil}
	attrs := []store.Attr{attr("id"), attr("username"), attr("externalid"), attr("title"), attr("name"), attr("name.familyname"), attr("logins"),
		of(store.TypeDateTime, attr("meta.created")), attr("meta.resourcetype"), multi("emails", "value"), multi("tags"), multi("groups", "value"), multi("groups", "type"), multi("groups", "display"), multi("groups", "$ref"),
		extension("department"), attr("it's")}
	for _, a := range attrs {
		for _, op := range []store.Op{store.Equal, store.NotEqual, store.Contains, store.StartsWith, store.EndsWith,
			store.Greater, store.GreaterOrEqual, store.Less, store.LessOrEqual} {
			for _, v := range values {
				if a.Path[0] == "id" || a.Path[0] == "username" || a.Path[0] == "externalid" {
					if _, text := v.(string); !text && v != nil {
						continue // the edge gives the column's type
					}
				}
				f := store.Compare{Attr: a, Op: op, Value: v}
				_, yes, err := s.Users(t.Context(), p.ref, store.Query{Filter: f, Count: true})
				if err != nil {
					t.Errorf("%v %s %.20v: %v", a.Path, op, v, err)
				}
				_, no, err := s.Users(t.Context(), p.ref, store.Query{Filter: store.Not{Filter: f}, Count: true})
				if err != nil || yes+no != 4 {
					t.Errorf("%v %s %.20v: %d do and %d do not (%v), want 4 in all", a.Path, op, v, yes, no, err)
				}
			}
		}
	}

	var many store.Or
	var deep store.Filter = compare("title", store.Equal, "axb")
	for i := range 256 {
		many = append(many, compare("title", store.Equal, fmt.Sprint("t", i)), store.Compare{Attr: multi("emails", "value"), Op: store.Equal, Value: fmt.Sprint("e", i)})
	}
	for range 32 {
		deep = store.Not{Filter: store.And{deep, store.Or{deep}}}
		if len(fmt.Sprint(deep)) > 10_000 {
			break
		}
	}
	for what, f := range map[string]store.Filter{"wide": many, "deep": deep} {
		if _, _, err := s.Users(t.Context(), p.ref, store.Query{Filter: f, Limit: 5, Count: true}); err != nil {
			t.Errorf("a %s filter: %v", what, err)
		}
	}
}

func paging(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	ids := p.addPeople(t, numbered("user", 25)...)
	odd := compare("username", store.GreaterOrEqual, "user0005")
	for _, c := range []struct {
		why   string
		q     store.Query
		want  []store.UserID
		total int
	}{
		{"the first page", store.Query{Limit: 10, Count: true}, ids[:10], 25},
		{"the second", store.Query{Offset: 10, Limit: 10, Count: true}, ids[10:20], 25},
		{"the last, not full", store.Query{Offset: 20, Limit: 10, Count: true}, ids[20:], 25},
		{"just full", store.Query{Offset: 15, Limit: 10, Count: true}, ids[15:], 25},
		{"behind the end", store.Query{Offset: 25, Limit: 10, Count: true}, nil, 25},
		{"far behind", store.Query{Offset: 1 << 40, Limit: 10, Count: true}, nil, 25},
		{"before the start", store.Query{Offset: -5, Limit: 2, Count: true}, ids[:2], 25},
		{"a count alone", store.Query{Count: true}, nil, 25},
		{"nothing at all", store.Query{}, nil, 0},
		{"a negative limit", store.Query{Limit: -1, Count: true}, nil, 25},
		{"not counted", store.Query{Limit: 3}, ids[:3], 0},
		{"all at once", store.Query{Limit: 1 << 40, Count: true}, ids, 25},
		{"after one", store.Query{After: string(ids[6]), Limit: 5, Count: true}, ids[7:12], 25},
		{"after the last", store.Query{After: string(ids[24]), Limit: 5, Count: true}, nil, 25},
		{"after one, to the end", store.Query{After: string(ids[20]), Limit: 50, Count: true}, ids[21:], 25},
		{"after and offset", store.Query{After: string(ids[0]), Offset: 1, Limit: 2, Count: true}, ids[2:4], 25},
		{"after one who never was", store.Query{After: "00000000-0000-7000-8000-000000000000", Limit: 1, Count: true}, ids[:1], 25},
		{"of a filter", store.Query{Filter: odd, Offset: 1, Limit: 3, Count: true}, ids[6:9], 20},
		{"of a filter, after", store.Query{Filter: odd, After: string(ids[10]), Limit: 3, Count: true}, ids[11:14], 20},
	} {
		found, total, err := s.Users(ctx, p.ref, c.q)
		var got []store.UserID
		for _, u := range found {
			got = append(got, u.ID)
		}
		if err != nil || !slices.Equal(got, c.want) || total != c.total {
			t.Errorf("%s: got %v of %d, %v, want %v of %d", c.why, got, total, err, c.want, c.total)
		}
	}

	// Paging by the last id seen loses nobody while others are deleted.
	var seen []store.UserID
	for after := ""; ; {
		found, _, err := s.Users(ctx, p.ref, store.Query{After: after, Limit: 5})
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 0 {
			break
		}
		for _, u := range found {
			seen = append(seen, u.ID)
		}
		after = string(found[len(found)-1].ID)
		p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, found[len(found)-1].ID) })
	}
	if !slices.Equal(seen, ids) {
		t.Errorf("paging while users go: got %d, want all %d", len(seen), len(ids))
	}
}
