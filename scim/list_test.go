package scim

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzCursor(f *testing.F) {
	edge := newRig(f).edge
	binding := cursorBinding{Connection: "c", Type: "User", Filter: "id pr"}
	key := "ann"
	genuine := edge.sealCursor(place{"u1", &key}, binding)
	for _, s := range []string{"", "x", genuine, genuine + "A", genuine[1:], edge.sealCursor(place{}, binding), strings.ToUpper(genuine)} {
		f.Add(s, "id pr")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, cursor, filter string) {
		asked := binding
		asked.Filter = filter
		after, err := edge.openCursor(cursor, asked)
		if err == nil && (filter != binding.Filter || after.After != "u1" && after.After != "") {
			t.Errorf("%q was taken for %+v of filter %q: nobody but us can seal one", cursor, after, filter)
		}
		if err != nil && scimType(err) != scimTypeInvalidCursor && scimType(err) != scimTypeExpiredCursor {
			t.Errorf("got %v, want invalidCursor", err)
		}
		again, err := edge.openCursor(edge.sealCursor(place{filter, &filter}, asked), asked)
		if err != nil || (again.After != filter || *again.Key != filter) && utf8.ValidString(filter) {
			t.Errorf("sealed %q: opened %+v, %v", filter, again, err)
		}
	})
}
