package scim

import (
	"testing"
	"time"

	scimerr "github.com/elimity-com/scim/errors"

	"gatehouse/store"
)

// TestExpiredCursor is RFC 9865 §2.1: a cursor works for as long as cursorTimeout
// says, and then says that it has expired; one of another list never does.
func TestExpiredCursor(t *testing.T) {
	t.Parallel()
	given := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	now := given
	address := "sqlite://" + t.TempDir() + "/gatehouse.db"
	if _, err := store.Migrate(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), address, store.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	s, err := New(t.Context(), st, Options{SecretKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	list := cursorBinding{Type: "User", Filter: "title pr"}
	cursor := s.sealCursor(place{After: "ann"}, list)
	for _, c := range []struct {
		why    string
		age    time.Duration
		cursor string
		list   cursorBinding
		want   scimerr.ScimType
	}{
		{"at once", 0, cursor, list, ""},
		{"in time", cursorLife, cursor, list, ""},
		{"late", cursorLife + time.Second, cursor, list, scimTypeExpiredCursor},
		{"of another list", 0, cursor, cursorBinding{Type: "User"}, scimTypeInvalidCursor},
		{"late, and of another list", 2 * cursorLife, cursor, cursorBinding{Type: "Group", Filter: "title pr"}, scimTypeInvalidCursor},
		{"late, and forged", 2 * cursorLife, cursor + "A", list, scimTypeInvalidCursor},
	} {
		now = given.Add(c.age)
		at, err := s.openCursor(c.cursor, c.list)
		if scimType(err) != c.want || c.want == "" && (err != nil || at.After != "ann") {
			t.Errorf("%s: got %v, %v, want %q", c.why, at, err, c.want)
		}
	}
}
