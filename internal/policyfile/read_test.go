package policyfile_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gatehouse/internal/policyfile"
)

// small is a file that the mistakes below are made in: clicktime.yaml is in force.
const small = `grants:
  clicktime:
  - {group: Planning, role: supervisor, scope: {site: utrecht, team: ALL}}
`

// Every mistake is told with its place and with what was probably meant.
func TestMistakes(t *testing.T) {
	t.Parallel()
	w := with(t, "clicktime")
	for _, connection := range []string{"entra", "test"} {
		w.user(t, connection, "ada")
	}
	s := w.snapshot(t)
	var levels []string
	for i := range 255 {
		levels = append(levels, fmt.Sprint("l", i))
	}
	for _, test := range []struct {
		why, text string
		want      []string // "line:column: beginning"
	}{
		{"nothing", "", []string{"is empty"}},
		{"no YAML", "grants: [", []string{"1:1: no YAML"}},
		{"a list", "- a", []string{`1:1: the file: want keys with values, got a list`}},
		{"two documents", "owns: all\n---\nowns: all\n", []string{"2:1: a second document"}},
		{"not UTF-8", "owns: all\nproducts: {é: {name: \xff}}", []string{"2:22: is no UTF-8 text"}},
		{"an alias", "dimensions: &d {a: b}\nsites: *d\n", []string{"1:13: anchors and aliases"}},
		{"an unquoted star", "products: {p: {roles: {r: {permissions: {*: allow}}}}}", []string{"1:1: no YAML"}},
		{"a merge key", "<<: {owns: all}", []string{`1:1: the file: unknown key "<<"`}},
		{"an unknown section", "grantz: {}", []string{`1:1: the file: unknown key "grantz": did you mean "grants"?`}},
		{"a section twice", "owns: all\nowns: all\n", []string{`2:1: the file: "owns" is there twice, first in line 1`}},
		{"nothing to own", "owns: some", []string{`1:7: owns: "some": want imports`}},

		{"a dimension's name is no list", "dimensions: {a: [b]}", []string{"1:17: dimension a: its name: want a text, got a list"}},
		{"a site in no dimension", "sites: {sit: {x: X}}", []string{`1:9: sites: unknown dimension "sit": did you mean "site"?`}},
		{"a site twice", "sites:\n  site:\n    a: {sites: {b: B}}\n    b: B\n", []string{`4:5: site b: is there twice`}},
		{"a site without a name", "sites: {site: {x: }}", []string{"1:19: site x: its name: want a text, got nothing"}},
		{"a key of a site", "sites: {site: {x: {nam: X}}}", []string{`1:20: site x: unknown key "nam": did you mean "name"?`}},
		{"a site of an unknown id", "sites: {site: {'#7': X}}", []string{"1:16: site #7: no site of that id"}},
		{"no boolean", "sites: {site: {x: {archived: maybe}}}", []string{`1:30: archived: want true or false, got "maybe"`}},

		{"the console", "products: {console: {}}", []string{"1:12: product console: is built in"}},
		{"a dimension of a product", "products: {p: {dimensions: [sites]}}", []string{`1:29: product p: unknown dimension "sites": did you mean "site"?`}},
		{"a permission of a role", "products:\n  p:\n    permissions: [timesheet]\n    roles:\n      r: {permissions: {timeshet: allow}}\n",
			[]string{`5:25: product p: unknown permission "timeshet": did you mean "timesheet"?`}},
		{"a level of a role", "products: {p: {levels: [view, edit], permissions: [a], roles: {r: {permissions: {a: veiw}}}}}",
			[]string{`1:85: product p: unknown level "veiw": did you mean "view"? (it has view, edit)`}},
		{"a dimension twice", "products: {p: {dimensions: [site, site]}}", []string{`1:35: product p: dimension "site" is there twice`}},
		{"too many levels", "products: {p: {levels: [" + strings.Join(levels, ", ") + "]}}", []string{`1:11: product p: more than 254 levels`}},
		{"a permission twice", "products: {p: {permissions: [a, a]}}", []string{`1:33: permissions: "a" is there twice`}},
		{"a kind", "products: {p: {rules: {limits: [{kind: cleint}]}}}", []string{`1:40: kind: "cleint": want one of employee, client, contractor, guest, service: did you mean "client"?`}},
		{"no number", "products: {p: {roles: {r: {}}, rules: {holders: [{role: r, max: few}]}}}", []string{`1:65: max: want a number`}},
		{"a role of a rule", "products: {p: {roles: {owner: {}}, rules: {holders: [{role: ownr, max: 1}]}}}", []string{`1:54: holders: unknown role "ownr": did you mean "owner"?`}},
		{"a tag that nothing has", "products: {p: {permissions: {a: {tags: [money]}}, rules: {limits: [{kind: client, forbid-tags: [mony]}]}}}",
			[]string{`1:97: forbid-tags: no permission of p has the tag "mony": did you mean "money"?`}},

		{"a product", strings.Replace(small, "clicktime", "clicktme", 1), []string{`2:3: grants: unknown product "clicktme": did you mean "clicktime"?`}},
		{"a group", strings.Replace(small, "Planning", "Plannign", 1), []string{`3:13: unknown group: nobody here has the name "Plannign": did you mean "Planning"?`}},
		{"a role", strings.Replace(small, "supervisor", "superviser", 1), []string{`3:29: product clicktime: unknown role "superviser": did you mean "supervisor"?`}},
		{"a site", strings.Replace(small, "utrecht", "utrcht", 1), []string{`3:55: scope: unknown site "utrcht" of dimension site: did you mean "utrecht"?`}},
		{"all of them at once", "grants:\n  clicktime:\n  - {group: Plannign, role: superviser, scope: {site: utrcht}, roel: x}\n  - {group: IT, permission: payrol, level: mantain, scope: ALL}\n", []string{
			`3:13: unknown group`, `3:29: product clicktime: unknown role`, `3:55: scope: unknown site`, `3:64: a grant: unknown key "roel": did you mean "role"?`,
			`4:29: product clicktime: unknown permission "payrol": did you mean "payroll"?`, `4:44: product clicktime: unknown level "mantain": did you mean "maintain"?`,
		}},
		{"a section is wrong and a grant, too", "grantz: {}\n" + strings.Replace(small, "Planning", "Plannign", 1), []string{`1:1: the file`, `4:13: unknown group`}},
		{"a name of two connections", "grants: {clicktime: [{user: ada, role: client, scope: ALL}]}", []string{`1:29: user "ada": there are 2 of that name, by the connections entra and test`}},
		{"nobody of that connection", "grants: {clicktime: [{user: ada.byron@waterland.example, connection: okta, role: client, scope: ALL}]}",
			[]string{`1:29: unknown user: nobody at connection okta has the name`}},
		{"somebody twice", strings.Replace(small, "group: ", "user: a, group: ", 1), []string{`user and group exclude each other`}},
		{"nobody", strings.Replace(small, "group: Planning, ", "", 1), []string{`3:5: subject: must be one of user, group and everyone`}},
		{"not everyone", strings.Replace(small, "group: Planning", "everyone: false", 1), []string{`3:16: everyone: true is all that can be said`}},
		{"an effect", strings.Replace(small, "role:", "effect: denies, role:", 1), []string{`3:5: effect "denies": must be allow or deny`}},
		{"no scope", strings.Replace(small, ", scope: {site: utrecht, team: ALL}", "", 1), []string{`3:5: scope: missing; say where: ALL, or sites by dimension (site, team)`}},
		{"half a scope", strings.Replace(small, ", team: ALL", "", 1), []string{`3:48: scope: says nothing about dimension team`}},
		{"all in small letters", strings.Replace(small, "{site: utrecht, team: ALL}", "all", 1), []string{`3:48: scope: want ALL, or sites by dimension`}},
		{"a mask", strings.Replace(small, "scope", "mask: [scheduled], scope", 1), []string{`3:48: product clicktime: unknown permission "scheduled": did you mean "scheduler"?`}},
		{"a masked deny", strings.Replace(small, "scope", "effect: deny, mask: [scheduler], scope", 1), []string{`mask: a deny has none`}},
		{"no level", strings.Replace(small, "role: supervisor", "permission: payroll", 1), []string{`3:5: level: missing; product clicktime has view, maintain`}},
		{"a role and a permission", strings.Replace(small, "scope", "permission: payroll, level: view, scope", 1), []string{`3:5: must name one of role, permission and attribute`}},
		{"a value of no attribute", strings.Replace(small, "scope", "value: x, scope", 1), []string{`3:48: value: goes with an attribute only`}},
		{"a day", strings.Replace(small, "scope", "until: 30-06-2031, scope", 1), []string{`3:48: until: want a day such as 2031-06-30`}},
		{"the wrong way round", strings.Replace(small, "scope", "from: 2031-06-30, until: 2031-06-30, scope", 1), []string{`3:5: ends before it starts`}},
		{"twice", small + "  - {group: planning, role: supervisor, scope: {team: ALL, site: [utrecht]}}\n", []string{`4:5: the same grant is in line 3`}},
		{"a group denied in the console", "grants: {console: [{group: IT, effect: deny, permission: audit, level: view, scope: ALL}]}", []string{`only single people can be denied`}},
		{"a group of owners", "grants: {console: [{group: IT, role: owner, scope: ALL}]}", []string{`1:38: role owner is for single people`}},

		{"neither never nor always", "must-hold: [{name: x, group: IT, product: clicktime}]", []string{`1:13: must-hold: say never or always`}},
		{"never what", "must-hold: [{name: x, group: IT, never: payrol, product: clicktime, level: view}]", []string{`1:41: product clicktime: unknown permission "payrol"`}},
		{"about nobody", "must-hold: [{name: x, never: payroll, product: clicktime, level: view}]", []string{`1:13: must-hold: say who`}},
		{"about an unknown group", "must-hold: [{name: x, group: Interns, never: payroll, product: clicktime, level: view}]", []string{`1:30: unknown group: nobody here has the name "Interns"`}},
		{"about a connection of nobody", "must-hold: [{name: x, kind: client, connection: entra, never: payroll, product: clicktime, level: view}]",
			[]string{`1:49: connection: goes with a user or a group`}},
		{"about nowhere", "must-hold: [{name: x, group: IT, never: payroll, product: clicktime, level: view, scope: {site: []}}]",
			[]string{`1:90: scope: says nothing about dimension site`, `1:90: scope: says nothing about dimension team`}},
		{"without a level", "must-hold: [{name: x, group: IT, never: payroll, product: clicktime}]", []string{`1:13: level: missing`}},
	} {
		_, err := policyfile.Read("f.yaml", []byte(test.text), s)
		var mistakes policyfile.Mistakes
		if !errors.As(err, &mistakes) {
			t.Errorf("%s: got %v, want mistakes in\n%s", test.why, err, test.text)
			continue
		}
		if len(mistakes) != len(test.want) {
			t.Errorf("%s: got %d mistakes, want %d:\n%v", test.why, len(mistakes), len(test.want), err)
			continue
		}
		for i, want := range test.want {
			got := mistakes[i].String()
			if !strings.Contains(got, want) || strings.Contains(want, ":") && want[0] < 'a' && !strings.HasPrefix(got, "f.yaml:"+want) {
				t.Errorf("%s: got %s, want %s", test.why, got, want)
			}
		}
	}
}

// What could make a program slow or large is refused before it is.
func TestBombs(t *testing.T) {
	t.Parallel()
	w := sqlite(t)
	s := w.snapshot(t)
	var lol strings.Builder
	lol.WriteString("a0: &a0 [x, x]\n")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&lol, "a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	// As many sites as mistakes about them: not each is compared with all.
	var unknown strings.Builder
	unknown.WriteString("dimensions: {d: D}\nproducts: {p: {dimensions: [d], permissions: [a]}}\nsites:\n  d:\n")
	for i := range 20_000 {
		fmt.Fprintf(&unknown, "    site%d: S\n", i)
	}
	unknown.WriteString("grants:\n  p:\n")
	for i := range 20_000 {
		fmt.Fprintf(&unknown, "  - {everyone: true, permission: a, scope: {d: [sit%d]}}\n", i)
	}
	for why, text := range map[string]string{
		"aliases":  lol.String(),
		"depth":    "sites: " + strings.Repeat("{a: ", 5000) + "x" + strings.Repeat("}", 5000),
		"lists":    strings.Repeat("[", 100_000),
		"size":     "# " + strings.Repeat("x", policyfile.MaxSize),
		"mistakes": "grants: {" + strings.Repeat("a: [], ", 50_000) + "}",
		"unknown":  unknown.String(),
	} {
		if _, err := policyfile.Read("f.yaml", []byte(text), s); err == nil {
			t.Errorf("%s: read", why)
		} else if len(err.Error()) > 20_000 {
			t.Errorf("%s: an error of %d bytes", why, len(err.Error()))
		}
	}
}
