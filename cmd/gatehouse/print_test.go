package main

import (
	"strings"
	"testing"

	"gatehouse/store"
)

// TestOutputForPeopleIsStraight holds that no name turns round the rest of its line in
// a terminal, and that programs get it as it is.
func TestOutputForPeopleIsStraight(t *testing.T) {
	t.Parallel()
	const turned = "Bob\u202e nimdA"
	for why, c := range map[string]struct {
		print func(a *app) error
		json  bool
		want  string
	}{
		"a text":            {func(a *app) error { return a.print(turned, turned) }, false, "Bob nimdA"},
		"the same as JSON":  {func(a *app) error { return a.print(turned, turned) }, true, `"` + turned + "\"\n"},
		"a file":            {func(a *app) error { return a.printFile(store.Tenant{Name: "acme"}, []byte(turned)) }, false, turned},
		"that file as JSON": {func(a *app) error { return a.printFile(store.Tenant{Name: "acme"}, []byte(turned)) }, true, `{"file":"` + turned + `","tenant":"acme"}` + "\n"},
	} {
		var out strings.Builder
		a := &app{stdout: &out, cfg: &settings{JSON: c.json}}
		if err := c.print(a); err != nil || out.String() != c.want {
			t.Errorf("%s: got %q (%v), want %q", why, out.String(), err, c.want)
		}
	}
}
