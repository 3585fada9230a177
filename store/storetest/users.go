package storetest

import (
	"encoding/json"
	"strings"
	"testing"

	"gatehouse/store"

	"github.com/google/go-cmp/cmp"
)

func userRoundTrip(t *testing.T, s *store.Store) {
	p := acme(t, s)
	made := p.addUser(t, person("Ann", map[string]any{"externalId": "X-1", "displayName": "Ann Ångström 🙂", "note": `"quoted" \ <&>`}))
	got, err := s.User(t.Context(), p.ref, made.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != 1 || got.CreatedAt.IsZero() || got.CreatedAt != got.ModifiedAt {
		t.Errorf("got version %d of %v, made %v, want 1 and one instant", got.Version, got.ModifiedAt, got.CreatedAt)
	}
	made.Search, made.Emails = nil, nil // written, never read back
	if diff := cmp.Diff(made, got); diff != "" {
		t.Errorf("what was made (-) is not what is read (+):\n%s", diff)
	}
}

func namesAreTaken(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	for _, c := range []struct{ why, first, second string }{
		{"ASCII in any case", "ann@x", "ANN@X"},
		{"SQLite's lower() leaves É alone", "josé", "JOSÉ"},
		{"composed and decomposed", "zo\u00eb", "ZOE\u0308"},
		{"KELVIN SIGN is a k", "kim", "\u212aim"},
		{"sharp s folds to two", "strauß", "STRAUSS"},
		{"both sigmas", "σίσυφος", "ΣΊΣΥΦΟΣ"},
	} {
		first := p.addUser(t, person(c.first, nil))
		create := func(name string) error {
			return p.Write(ctx, p.actor, func(tx *store.Tx) error {
				_, err := tx.CreateUser(ctx, p.ref, person(name, nil))
				return err
			})
		}
		wantErr(t, c.why, create(c.second), store.ErrTaken)
		found, _, err := s.Users(ctx, p.ref, store.Query{Filter: compare("username", store.Equal, store.Fold(c.second)), Limit: 5})
		if err != nil || len(found) != 1 || found[0].ID != first.ID {
			t.Errorf("%s: find %q: got %v, %v, want %q", c.why, c.second, found, err, c.first)
		}

		p.addGroup(t, team(c.first, nil))
		err = p.Write(ctx, p.actor, func(tx *store.Tx) error {
			_, _, err := tx.CreateGroup(ctx, p.ref, team(c.second, nil), nil)
			return err
		})
		wantErr(t, c.why+", a group", err, store.ErrTaken)
	}
	for _, name := range []string{"ann@x ", "ann", "jose", "ı", "i"} { // alike, and not the same
		p.addUser(t, person(name, nil))
	}
}

func updateUser(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	ann := p.addUser(t, person("ann", map[string]any{"emails": []any{map[string]any{"value": "ann@x"}, map[string]any{"value": "a@x"}}}))
	p.addPeople(t, "bob")
	change := func(to store.User) (got store.User, err error) {
		err = p.Write(ctx, p.actor, func(tx *store.Tx) error {
			got, err = tx.UpdateUser(ctx, p.ref, ann.ID, func(store.User) (store.User, error) { return to, nil })
			return err
		})
		return got, err
	}
	_, err := change(person("BOB", nil))
	wantErr(t, "another's name", err, store.ErrTaken)

	got, err := change(person("Ann", map[string]any{"emails": []any{map[string]any{"value": "ANN@X"}, map[string]any{"value": "new@x"}}}))
	if err != nil || got.ID != ann.ID || got.CreatedAt != ann.CreatedAt || got.Version != 2 {
		t.Errorf("own name in another case: got %+v, %v, want version 2 of %s", got, err, ann.ID)
	}
	read, err := s.User(ctx, p.ref, ann.ID, false)
	if err != nil || read.Version != 2 || read.UserName != "Ann" || string(read.Doc) != string(got.Doc) {
		t.Errorf("got %+v, %v, want what was written", read, err)
	}
	for mail, want := range map[string]int{"ann@x": 1, "a@x": 0, "new@x": 1} {
		f := store.Compare{Attr: multi("emails", "value"), Op: store.Equal, Value: mail}
		if _, total, err := s.Users(ctx, p.ref, store.Query{Filter: f, Count: true}); err != nil || total != want {
			t.Errorf("by e-mail %s: got %d, %v, want %d", mail, total, err, want)
		}
	}

	if again, err := change(got); err != nil || again.Version != 2 || again.ModifiedAt != got.ModifiedAt {
		t.Errorf("the same again: got version %d of %v, %v, want nothing written", again.Version, again.ModifiedAt, err)
	}
	if _, err := change(person("cat", nil)); err != nil {
		t.Error(err)
	}
	p.addPeople(t, "ann") // the old name is free
	clean(t, s)
}

func deletedUserIsGone(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	ann := p.addUser(t, person("ann", map[string]any{"emails": []any{map[string]any{"value": "ann@x"}}}))
	ids := p.addPeople(t, "bob")
	crew := p.addGroup(t, team("crew", nil), ann.ID, ids[0])
	empty := p.addGroup(t, team("empty", nil), ids[0])
	remove := func() error {
		return p.Write(ctx, p.actor, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, ann.ID) })
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	_, err := s.User(ctx, p.ref, ann.ID, true)
	wantErr(t, "read", err, store.ErrNotFound)
	wantErr(t, "delete again", remove(), store.ErrNotFound)
	err = p.Write(ctx, p.actor, func(tx *store.Tx) error {
		_, err := tx.UpdateUser(ctx, p.ref, ann.ID, func(u store.User) (store.User, error) { return u, nil })
		return err
	})
	wantErr(t, "update", err, store.ErrNotFound)
	if got := p.members(t, crew.ID); len(got) != 1 || got[0] != ids[0] {
		t.Errorf("members: got %v, want %v", got, ids)
	}
	if g := p.group(t, crew.ID); g.Version != crew.Version+1 {
		t.Errorf("the group's version: got %d, want %d, since its members changed", g.Version, crew.Version+1)
	}
	if g := p.group(t, empty.ID); g.Version != empty.Version {
		t.Errorf("another group's version: got %d, want %d", g.Version, empty.Version)
	}
	again := p.addUser(t, person("ann", nil))
	if again.ID == ann.ID || again.Version != 1 {
		t.Errorf("who comes back: got %s of version %d, want somebody new", again.ID, again.Version)
	}
	if res, err := p.changeMembers(t, crew.ID, store.MemberDelta{Add: memberIDs(ann.ID)}); err != nil || res.Changed() || len(res.Unknown) != 1 {
		t.Errorf("add the deleted: got %+v, %v, want it unknown", res, err)
	}
	clean(t, s)
}

// PostgreSQL refuses long index rows, SQLite takes them: both give the same.
func longNames(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	fits, long := noise(2000), noise(2001)
	email := func(value string) map[string]any {
		return map[string]any{"emails": []any{map[string]any{"value": value}}}
	}
	for what, u := range map[string]func(text string) store.User{
		"userName":    func(text string) store.User { return person(text, nil) },
		"externalId":  func(text string) store.User { return person("e", map[string]any{"externalId": text}) },
		"displayName": func(text string) store.User { return person("d", map[string]any{"displayName": text}) },
		"emails":      func(text string) store.User { return person("m", email(text)) },
	} {
		err := p.Write(ctx, p.actor, func(tx *store.Tx) error {
			_, err := tx.CreateUser(ctx, p.ref, u(long))
			return err
		})
		wantErr(t, "create "+what, err, store.ErrTooLong)
		made := p.addUser(t, u(fits))
		err = p.Write(ctx, p.actor, func(tx *store.Tx) error {
			_, err := tx.UpdateUser(ctx, p.ref, made.ID, func(store.User) (store.User, error) { return u(long), nil })
			return err
		})
		wantErr(t, "update "+what, err, store.ErrTooLong)
	}
	for what, g := range map[string]func(text string) store.Group{
		"displayName": func(text string) store.Group { return team(text, nil) },
		"externalId":  func(text string) store.Group { return team("e", map[string]any{"externalId": text}) },
	} {
		p.addGroup(t, g(fits))
		err := p.Write(ctx, p.actor, func(tx *store.Tx) error {
			_, _, err := tx.CreateGroup(ctx, p.ref, g(long), nil)
			return err
		})
		wantErr(t, "group "+what, err, store.ErrTooLong)
	}
	// It is the folded form that is kept: "ŉ" is two bytes, and three folded.
	err := p.Write(ctx, p.actor, func(tx *store.Tx) error {
		_, err := tx.CreateUser(ctx, p.ref, person(strings.Repeat("ŉ", 900), nil))
		return err
	})
	wantErr(t, "long when folded", err, store.ErrTooLong)
	clean(t, s)
}

// noise is text that no database can compress, always the same.
func noise(n int) string {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = 'a' + byte(x>>24)%26
	}
	return string(b)
}

func malformedIDs(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	ann := p.addUser(t, person("ann", nil))
	crew := p.addGroup(t, team("crew", nil), ann.ID)
	for _, id := range []string{"", "1", "ann", strings.ToUpper(string(ann.ID)), string(ann.ID) + "0", strings.ReplaceAll(string(ann.ID), "-", ""),
		"{" + string(ann.ID) + "}", strings.Repeat("-", 36), "a\x00b", "\xff", "' OR 1=1 --", "01990000-0000-7000-8000-000000000000"} {
		_, err := s.User(ctx, p.ref, store.UserID(id), true)
		wantErr(t, "user "+id, err, store.ErrNotFound)
		_, err = s.Group(ctx, p.ref, store.GroupID(id))
		wantErr(t, "group "+id, err, store.ErrNotFound)
		for what, write := range map[string]func(tx *store.Tx) error{
			"update user": func(tx *store.Tx) error {
				_, err := tx.UpdateUser(ctx, p.ref, store.UserID(id), func(u store.User) (store.User, error) { return u, nil })
				return err
			},
			"delete user":  func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, store.UserID(id)) },
			"delete group": func(tx *store.Tx) error { return tx.DeleteGroup(ctx, p.ref, store.GroupID(id)) },
			"update group": func(tx *store.Tx) error {
				_, _, err := tx.UpdateGroup(ctx, p.ref, store.GroupID(id), func(g store.Group) (store.Group, store.MemberDelta, error) {
					return g, store.MemberDelta{}, nil
				})
				return err
			},
		} {
			wantErr(t, what+" "+id, p.Write(ctx, p.actor, write), store.ErrNotFound)
		}
		if got := p.members(t, store.GroupID(id)); len(got) > 0 {
			t.Errorf("members of %q: got %v, want none", id, got)
		}
		if strings.ToLower(id) == string(ann.ID) {
			continue // as a member she is known in any case: providers change it on the way
		}
		res, err := p.changeMembers(t, crew.ID, store.MemberDelta{Add: memberIDs(store.UserID(id)), Remove: memberIDs(store.UserID(id))})
		if err != nil || res.Changed() || len(res.Unknown) != 1 || string(res.Unknown[0]) != id {
			t.Errorf("add %q: got %+v, %v, want it unknown", id, res, err)
		}
	}
	for _, after := range []string{"x", "a\x00b"} {
		_, _, err := s.Users(ctx, p.ref, store.Query{After: after, Limit: 1})
		wantErr(t, "page after "+after, err, store.ErrNotFound)
	}
	clean(t, s)
}

func groupsOfUser(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ids := p.addPeople(t, "ann", "bob", "eve")
	crew := p.addGroup(t, team(`Crew "A"`, nil), ids[0], ids[1])
	staff := p.addGroup(t, team("Staff", nil), ids[0])

	u, err := p.User(t.Context(), p.ref, ids[0], true)
	if err != nil {
		t.Fatal(err)
	}
	var got []map[string]string
	if err := json.Unmarshal(u.Groups, &got); err != nil {
		t.Fatal(err)
	}
	want := []map[string]string{
		{"value": string(crew.ID), "display": `Crew "A"`, "type": "direct"},
		{"value": string(staff.ID), "display": "Staff", "type": "direct"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if u, err := p.User(t.Context(), p.ref, ids[2], true); err != nil || string(u.Groups) != "[]" {
		t.Errorf("who is in no group: got %s, %v, want []", u.Groups, err)
	}

	users, _, err := p.Users(t.Context(), p.ref, store.Query{Limit: 10, WithGroups: true})
	if err != nil || len(users) != len(ids) {
		t.Fatalf("got %d users, %v, want %d", len(users), err, len(ids))
	}
	for i, want := range []string{string(crew.ID) + string(staff.ID), string(crew.ID), ""} {
		var groups []map[string]string
		if err := json.Unmarshal(users[i].Groups, &groups); err != nil {
			t.Fatal(err)
		}
		var got string
		for _, g := range groups {
			got += g["value"]
		}
		if got != want {
			t.Errorf("groups of %s in a list: got %s, want those of %q", users[i].UserName, users[i].Groups, want)
		}
	}
}

func counts(t *testing.T, s *store.Store) {
	p := acme(t, s)
	other := newPlace(t, s, "acme", "okta")
	other.addPeople(t, "x", "y")
	ids := p.addPeople(t, "ann", "bob")
	ids = append(ids, p.addUser(t, person("eve", map[string]any{"active": false})).ID)
	p.addGroup(t, team("crew", nil), ids...)
	p.addGroup(t, team("staff", nil), ids[0])
	got, err := p.Counts(t.Context(), p.ref)
	if want := (store.ConnectionCounts{Users: 3, Inactive: 1, Groups: 2, Members: 4}); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}
