package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gatehouse/store"
)

// sortCast makes the people that are sorted, in this order.
func sortCast(t *testing.T, p place) {
	t.Helper()
	mail := func(value, kind string, primary bool) map[string]any {
		return map[string]any{"value": value, "type": kind, "primary": primary}
	}
	for _, u := range []store.User{
		person("Mona", map[string]any{"externalId": "b", "displayName": "zoë", "title": "Éclair", "logins": 10, "flag": true, "since": "2026-02-01T08:00:00.000Z",
			"emails": []any{mail("z@home", "home", false), mail("a@work", "work", true)}, "tags": []any{"Red", "Alpha"}}),
		person("adam", map[string]any{"externalId": "B", "displayName": "Zoe", "title": "eclair", "logins": 9, "flag": false, "since": "2026-01-31T08:00:00.001Z",
			"emails": []any{mail("c@work", "work", false), mail("a@home", "home", false)}, "active": false}),
		person("Öde", map[string]any{"displayName": "", "title": "", "logins": 2.5, "since": "2026-01-31T08:00:00.000Z",
			"emails": []any{}, "tags": []any{"blue"}}),
		person("Zed", map[string]any{"externalId": "a", "displayName": "zoë", "title": "éclair", "logins": -1,
			"emails": []any{mail("b@x", "other", true)}, enterprise: map[string]any{"department": "Sales", "manager": map[string]any{"value": "m2"}}}),
		person("🙂", map[string]any{"displayName": "🙂", "title": "\uffee", "logins": 1e3, "flag": false,
			"emails": []any{map[string]any{"type": "work"}}, enterprise: map[string]any{"department": "ops", "manager": map[string]any{"value": "m10"}}}),
		person("eve", nil),
	} {
		p.addUser(t, u)
	}
}

func initial(name string) string { return string([]rune(name)[:1]) }

func sorting(t *testing.T, s *store.Store) {
	p := acme(t, s)
	newPlace(t, s, "acme", "okta").addPeople(t, "ann", "Bob") // never found
	sortCast(t, p)
	for _, c := range []struct {
		why  string
		attr store.Attr
		want string // initials, ascending
	}{
		{"nothing: as they were made", store.Attr{}, "MaÖZ🙂e"},
		{"id", attr("id"), "MaÖZ🙂e"},
		{"userName folds case, then goes by code point", attr("username"), "aeMZÖ🙂"},
		{"displayName: equal ones by id, empty and absent ones last", attr("displayname"), "aMZ🙂Öe"},
		{"externalId counts case", attr("externalid"), "aZMÖ🙂e"},
		{"title: a letter of the BMP comes before none beyond it", attr("title"), "aMZ🙂Öe"},
		{"a column's boolean: false first", of(store.TypeBoolean, attr("active")), "aMÖZ🙂e"},
		{"a document's boolean", of(store.TypeBoolean, attr("flag")), "a🙂MÖZe"},
		{"numbers: 9 before 10", of(store.TypeNumber, attr("logins")), "ZÖaM🙂e"},
		{"dates, to the millisecond", of(store.TypeDateTime, attr("since")), "ÖaMZ🙂e"},
		{"the primary address, or else the first", multi("emails", "value"), "MZaÖ🙂e"},
		{"a part of the primary one", multi("emails", "type"), "ZMa🙂Öe"},
		{"a boolean of the primary one", of(store.TypeBoolean, multi("emails", "primary")), "aMZÖ🙂e"},
		{"the first of simple values", multi("tags"), "ÖMaZ🙂e"},
		{"an extension's attribute", extension("department"), "🙂ZMaÖe"},
		{"an extension's part", store.Attr{Path: append(extension("manager").Path, "value")}, "🙂ZMaÖe"},
		{"a constant", attr("meta.resourcetype"), "MaÖZ🙂e"},
		{"what nobody has", attr("nickname"), "MaÖZ🙂e"},
		{"a part of what has none", attr("username.part"), "MaÖZ🙂e"},
	} {
		for _, descending := range []bool{false, true} {
			want := []rune(c.want)
			if descending {
				slices.Reverse(want)
			}
			q := store.Query{Sort: store.Sort{Attr: c.attr, Descending: descending}, Limit: 100, Count: true}
			users, total, err := s.Users(t.Context(), p.ref, q)
			if got := initials(users); err != nil || got != string(want) || total != 6 {
				t.Errorf("by %s, descending %v: got %s of %d, %v, want %s of 6", c.why, descending, got, total, err, string(want))
			}
			// The same one by one: by position, and by the one before.
			var byOffset, byKey []store.User
			after := q
			for i := range 6 {
				q.Offset, q.Limit, after.Limit = i, 1, 1
				one, _, err := s.Users(t.Context(), p.ref, q)
				if err != nil {
					t.Fatal(err)
				}
				byOffset = append(byOffset, one...)
				if one, _, err = s.Users(t.Context(), p.ref, after); err != nil || len(one) != 1 {
					t.Fatalf("by %s: got %d behind %q, %v, want one more", c.why, len(one), initials(byKey), err)
				}
				byKey = append(byKey, one...)
				after.After, after.AfterKey = string(one[0].ID), one[0].SortKey
			}
			if got := initials(byOffset) + " " + initials(byKey); got != string(want)+" "+string(want) {
				t.Errorf("by %s, descending %v, one by one: got %s, want %s twice", c.why, descending, got, string(want))
			}
			if more, _, err := s.Users(t.Context(), p.ref, after); err != nil || len(more) > 0 {
				t.Errorf("by %s, behind the last: got %s, %v, want nobody", c.why, initials(more), err)
			}
		}
	}

	// Times are columns of numbers.
	for _, path := range []string{"meta.created", "meta.lastmodified"} {
		by := store.Sort{Attr: of(store.TypeDateTime, attr(path)), Descending: true}
		users, _, err := s.Users(t.Context(), p.ref, store.Query{Sort: by, Limit: 9})
		if !slices.IsSortedFunc(users, func(a, b store.User) int { return b.CreatedAt.Compare(a.CreatedAt.Time) }) || len(users) != 6 || err != nil {
			t.Errorf("by %s: got %s, %v", path, initials(users), err)
		}
		last := users[3]
		rest, _, err := s.Users(t.Context(), p.ref, store.Query{Sort: by, Limit: 9, After: string(last.ID), AfterKey: last.SortKey})
		if initials(rest) != initials(users[4:]) || err != nil {
			t.Errorf("by %s, behind the fourth: got %s, %v, want %s", path, initials(rest), err, initials(users[4:]))
		}
	}

	filtered := store.Query{
		Filter: compare("displayname", store.StartsWith, "zo"), Sort: store.Sort{Attr: attr("title"), Descending: true},
		Offset: 1, Limit: 2, Count: true, WithGroups: true,
	}
	users, total, err := s.Users(t.Context(), p.ref, filtered)
	if initials(users) != "Ma" || total != 3 || err != nil || string(users[0].Groups) != "[]" {
		t.Errorf("filtered and sorted: got %s of %d, %v, want Ma of 3 with their groups", initials(users), total, err)
	}
}

func initials(users []store.User) (s string) {
	for _, u := range users {
		s += initial(u.UserName)
	}
	return s
}

func sortingGroups(t *testing.T, s *store.Store) {
	p := acme(t, s)
	for i, name := range []string{"b", "C", "a", "Ä"} {
		p.addGroup(t, team(name, map[string]any{"externalId": []any{"2", nil, "10", nil}[i]}))
	}
	for path, want := range map[string]string{"": "bCaÄ", "displayname": "abCÄ", "externalid": "abCÄ", "meta.created": "bCaÄ"} {
		q := store.Query{Limit: 9}
		if path != "" {
			q.Sort.Attr = attr(path)
		}
		groups, _, err := s.Groups(t.Context(), p.ref, q)
		got := ""
		for _, g := range groups {
			got += g.DisplayName
		}
		if got != want || err != nil {
			t.Errorf("by %q: got %s, %v, want %s", path, got, err, want)
		}
	}
}

// Texts that differ behind their first 256 characters are equal to sorting, and a
// page goes on behind one of them all the same.
func sortingLongTexts(t *testing.T, s *store.Store) {
	p := acme(t, s)
	long := strings.Repeat("é", 255)
	for _, name := range []string{"d", "c", "b", "a"} {
		title := long + "x" + name
		if name == "b" {
			title = long + "w"
		}
		p.addUser(t, person(name, map[string]any{"title": title}))
	}
	var got string
	q := store.Query{Sort: store.Sort{Attr: attr("title")}, Limit: 1}
	for range 4 {
		users, _, err := s.Users(t.Context(), p.ref, q)
		if err != nil || len(users) != 1 || len(*users[0].SortKey) > 512 {
			t.Fatalf("behind %s: got %v, %v, want one with a short key", got, users, err)
		}
		got += users[0].UserName
		q.After, q.AfterKey = string(users[0].ID), users[0].SortKey
	}
	if got != "bdca" {
		t.Errorf("by long titles: got %s, want bdca", got)
	}
}

// sortingAsGo holds that texts of all kinds are in the order of the bytes of what
// they fold to, which no locale has.
func sortingAsGo(t *testing.T, s *store.Store) {
	p := acme(t, s)
	random := rand.New(rand.NewPCG(1, 2))
	letters := []rune("aAbBzZ019 -_.'\"\\/@%\tßäÄééİƱſΣσςا中가￮🙂𐐀")
	var want []string
	p.write(t, func(tx *store.Tx) error {
		want = nil
		for i := range 300 {
			title := ""
			for range 1 + random.IntN(5) {
				title += string(letters[random.IntN(len(letters))])
			}
			// The number keeps them apart.
			title += fmt.Sprint(i)
			want = append(want, store.Fold(title))
			if _, err := tx.CreateUser(t.Context(), p.ref, person(title, map[string]any{"displayName": title, "title": title})); err != nil {
				return err
			}
		}
		return nil
	})
	slices.Sort(want)
	for _, path := range []string{"username", "displayname", "title"} {
		users, _, err := s.Users(t.Context(), p.ref, store.Query{Sort: store.Sort{Attr: attr(path)}, Limit: 300})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, u := range users {
			got = append(got, *u.SortKey)
			if *u.SortKey != store.Fold(u.UserName) {
				t.Errorf("by %s: %q has the key %q", path, u.UserName, *u.SortKey)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %s: got %q, want %q", path, got, want)
		}
	}
}

// sortedPaging deletes somebody of every page before the next is read, the one it
// goes on behind among them.
func sortedPaging(t *testing.T, s *store.Store) {
	ctx := t.Context()
	for _, path := range []string{"username", "displayname", "title"} {
		for _, descending := range []bool{false, true} {
			p := newPlace(t, s, "acme", fmt.Sprint(path, descending))
			stays := map[store.UserID]bool{}
			for i := range 40 {
				more := map[string]any{}
				if i%4 > 0 { // ties, and some without
					more["displayName"], more["title"] = fmt.Sprint("D", i%7), fmt.Sprint("T", i%3)
				}
				stays[p.addUser(t, person(fmt.Sprintf("user%02d", (i*17)%40), more)).ID] = true
			}
			q := store.Query{Sort: store.Sort{Attr: attr(path), Descending: descending}, Limit: 6}
			seen := map[store.UserID]bool{}
			for {
				users, _, err := s.Users(ctx, p.ref, q)
				if err != nil {
					t.Fatal(err)
				}
				if len(users) == 0 {
					break
				}
				for _, u := range users {
					if seen[u.ID] {
						t.Errorf("by %s: %s came twice", path, u.UserName)
					}
					seen[u.ID] = true
				}
				last := users[len(users)-1]
				p.write(t, func(tx *store.Tx) error {
					return tx.DeleteUser(ctx, p.ref, users[0].ID)
				})
				if last.ID != users[0].ID {
					p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, last.ID) })
				}
				delete(stays, users[0].ID)
				delete(stays, last.ID)
				q.After, q.AfterKey = string(last.ID), last.SortKey
			}
			for id := range stays {
				if !seen[id] {
					t.Errorf("by %s, descending %v: %s stayed and was not seen", path, descending, id)
				}
			}
			if len(stays) == 40 || len(seen) != 40 {
				t.Errorf("by %s: %d of 40 stayed, %d seen: want some to go, and all to be seen", path, len(stays), len(seen))
			}
		}
	}
}
