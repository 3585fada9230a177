package ui

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"gatehouse/access"
	"gatehouse/store"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// visitors are a person of each role, from the least to the most powerful.
var visitors = []struct{ who, role string }{
	{nobody, "signed out"}, {eva, "everyone"}, {bob, "site administrator"}, {chloe, "auditor"}, {ada, "access administrator"}, {sam, "owner"},
}

// rightsOf is what the roles may do in the console, in words of their own: access/console.go
// says it to the server.
var rightsOf = map[string]string{
	eva:   "own:view",
	bob:   "people:view access:change sites:view own:view",
	chloe: "people:view access:view sites:view products:view connections:view settings:view audit:view own:view",
	ada:   "people:change access:change sites:change products:view connections:view settings:view audit:view own:view",
	sam:   "people:change access:change sites:change products:change connections:change settings:change audit:change own:change",
}

// lets reports whether a visitor has what a route needs.
func lets(who string, n needs) bool {
	if n == anybody || who == nobody {
		return n == anybody
	}
	return n == signedIn || slices.ContainsFunc(strings.Fields(rightsOf[who]), func(right string) bool {
		permission, level, _ := strings.Cut(right, ":")
		return permission == string(n.permission) && (level == string(n.level) || level == string(access.LevelChange))
	})
}

// TestWhoMayDoWhat sends an example of every route as somebody of every role, each
// to a world of its own, and compares what comes with a table that people read.
// Whoever is refused changes nothing, and the log tells of it.
func TestWhoMayDoWhat(t *testing.T) {
	t.Parallel()
	routes := New(nil, Options{}).routes
	lines := make([]string, len(routes))
	t.Run("routes", func(t *testing.T) {
		for i, rt := range routes {
			name := rt.method + " " + rt.pattern
			at := slices.IndexFunc(examples, func(e example) bool { return e.route == name })
			if at < 0 {
				t.Errorf("%s: examples has no request for it", name)
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				lines[i] = fmt.Sprintf("%-50s %-20s", name, rt.needs.short()) + answersTo(t, rt, examples[at])
			})
		}
	})
	if t.Failed() {
		return
	}
	slices.SortFunc(lines, func(a, b string) int {
		_, pathA, _ := strings.Cut(a, " ")
		_, pathB, _ := strings.Cut(b, " ")
		return strings.Compare(pathA+a, pathB+b)
	})
	golden(t, "testdata/roles.txt", rolesHead+strings.Join(lines, "\n")+"\n")
}

const rolesHead = `# What comes of a request for each route of the console, by who sends it.
#
#   y  it is done, or the page comes     -  403: not hers to do    c  409: refused, with what to do
#   s  sent to sign in                   0  404: no such thing     4  400: the form is wrong
#
# out: signed out · all: everyone · site: site administrator, of the thing's site · aud: auditor ·
# adm: access administrator · own: owner
#
# route                                            needs                out all site aud adm own
`

func (n needs) short() string {
	if n == anybody || n == signedIn {
		return string(n.permission)
	}
	return n.String()
}

// answersTo are the letters of a route's line.
func answersTo(t *testing.T, rt route, e example) string {
	w := newWorld(t)
	line := ""
	for _, v := range visitors {
		allowed := lets(v.who, rt.needs)
		if allowed && e.method() == "POST" {
			w = newWorld(t)
		}
		before, logged := w.snapshot(), w.refusals()
		got := letter(w.ask(v.who, e, w.mine))
		line += fmt.Sprintf(" %-3c", got)
		switch after := w.snapshot(); {
		case !allowed && v.who == nobody && got != 's', !allowed && v.who != nobody && got != '-', got == '5':
			t.Errorf("%s, %s: got %c, which needs %s", e.route, v.role, got, rt.needs)
		case (!allowed || e.method() == "GET") && after != before:
			t.Errorf("%s, %s: refused or read only, and something changed:\n%s", e.route, v.role, difference(before, after))
		}
		if allowed && got == '-' && v.who != bob {
			t.Errorf("%s, %s: refused, who has %s", e.route, v.role, rt.needs)
		}
		if want := byte('y'); v.who == sam && got != want && got != e.want {
			t.Errorf("%s, owner: got %c, and it should go through", e.route, got)
		}
		more := map[byte]int{'-': 1}[got]
		if logged = w.refusals() - logged; logged != more {
			t.Errorf("%s, %s: %d lines of %s in the log, want %d", e.route, v.role, logged, store.AccessRefused, more)
		}
	}
	return strings.TrimRight(line, " ")
}

// difference is the rows that a request took away, and those it made.
func difference(before, after string) string {
	return cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n"))
}

// refusals counts those of which the log tells.
func (g *rig) refusals() int {
	g.t.Helper()
	page, err := g.Audit(context.Background(), g.actor.Tenant, store.AuditFilter{Actions: []string{store.AccessRefused}}, "", 100)
	if err != nil {
		g.t.Fatal(err)
	}
	return len(page.Changes)
}

// golden compares a text with a file that -update writes.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(want, []byte(got)) {
		t.Errorf("%s (-update rewrites it), %v: -want +got\n%s", file, err, cmp.Diff(string(want), got))
	}
}
