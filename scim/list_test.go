package scim

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// A cursorCheck knows what a genuine cursor is.
type cursorCheck struct {
	edge    *Server
	binding cursorBinding
	genuine string
}

func newCursorCheck(t testing.TB) cursorCheck {
	c := cursorCheck{edge: newRig(t).edge, binding: cursorBinding{Connection: "c", Type: "User", Filter: "id pr"}}
	key := "ann"
	c.genuine = c.edge.sealCursor(place{"u1", &key}, c.binding)
	return c
}

func (c cursorCheck) seeds() []string {
	return []string{"", "x", c.genuine, c.genuine + "A", c.genuine[1:], c.edge.sealCursor(place{}, c.binding), strings.ToUpper(c.genuine)}
}

func FuzzCursor(f *testing.F) {
	c := newCursorCheck(f)
	for _, s := range c.seeds() {
		f.Add(s, "id pr")
		f.Add(s, "")
	}
	f.Fuzz(c.check)
}

// check checks what holds for every text and every filter.
func (c cursorCheck) check(t *testing.T, cursor, filter string) {
	asked := c.binding
	asked.Filter = filter
	after, err := c.edge.openCursor(cursor, asked)
	if err == nil && (filter != c.binding.Filter || after.After != "u1" && after.After != "") {
		t.Errorf("%q was taken for %+v of filter %q: nobody but us can seal one", cursor, after, filter)
	}
	if err != nil && scimType(err) != scimTypeInvalidCursor && scimType(err) != scimTypeExpiredCursor {
		t.Errorf("got %v, want invalidCursor", err)
	}
	again, err := c.edge.openCursor(c.edge.sealCursor(place{filter, &filter}, asked), asked)
	if err != nil || (again.After != filter || *again.Key != filter) && utf8.ValidString(filter) {
		t.Errorf("sealed %q: opened %+v, %v", filter, again, err)
	}
}
