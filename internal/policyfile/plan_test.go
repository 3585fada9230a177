package policyfile_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gatehouse/access"
	"gatehouse/internal/policyfile"
	"gatehouse/store"
)

// site is a product of few words, for stories about files.
const roster = `dimensions: {site: Sites}
sites:
  site:
    nl: {name: Netherlands, sites: {utrecht: Utrecht, breda: Breda}}
    be: Belgium
products:
  roster:
    levels: [view, edit]
    dimensions: [site]
    permissions: [shifts, hours]
    roles:
      planner: {permissions: {shifts: edit, hours: view}}
      viewer: {permissions: {"*": view}}
`

func (w *world) grant(t *testing.T, g access.Grant) access.GrantID {
	t.Helper()
	var added []access.Grant
	w.write(t, func(tx *store.Tx) (err error) {
		added, err = tx.AddGrants(t.Context(), g)
		return err
	})
	return added[0].ID
}

// steps are a plan's, by their actions.
func steps(p *policyfile.Plan) string {
	var actions []string
	for _, s := range p.Steps {
		actions = append(actions, s.Action)
	}
	return strings.Join(actions, " ")
}

// names are the people of a plan, with the weightiest of what becomes of them.
func names(p *policyfile.Plan) []string {
	var all []string
	for _, person := range p.People {
		all = append(all, fmt.Sprintf("%s %s", person.Name, person.Changes[0].Kind))
	}
	return all
}

func (w *world) refused(t *testing.T, why, text string, want ...string) {
	t.Helper()
	before := w.export(t)
	p, err := w.apply(t, text, "")
	if !errors.Is(err, policyfile.ErrRefused) {
		t.Fatalf("%s: got %v, want it refused", why, err)
	}
	wantText(t, why, strings.Join(p.Refused, "\n"), want...)
	if after := w.export(t); after != before {
		t.Errorf("%s: refused, and yet the tenant changed from\n%s\nto\n%s", why, before, after)
	}
}

// A file ends what files made in the products that it names, and nothing else.
func TestFileOwnsWhatFilesMade(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.company(t)
		w.mustApply(t, example(t, "klic"))
		grants := "grants:\n  roster:\n"
		planning := "  - {group: Planning, role: planner, scope: {site: nl}}\n"
		it := "  - {group: IT, role: viewer, scope: ALL}\n"
		w.mustApply(t, roster+grants+planning+it)
		direct := access.Grant{Subject: access.Grantee{User: w.users[bob]}, Effect: access.Allow, Product: "roster", Role: "viewer",
			Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect, Reason: "by hand"}
		id := w.grant(t, direct)

		p := w.mustApply(t, roster+grants+planning)
		if got := steps(p); got != store.GrantEnded || p.Left != 1 {
			t.Errorf("got %q and %d left alone, want the grant of IT ended and bob's left:\n%s", got, p.Left, p.Text(0))
		}
		if g, ok := w.state(t).Policy.Grant(id); !ok || g.Origin != access.OriginDirect {
			t.Errorf("bob's grant: got %v %v", g, ok)
		}
		p = w.mustApply(t, "owns: all\n"+roster+grants+planning)
		if got := names(p); !slices.Contains(got, bob+" loses") || !slices.Contains(got, sam+" loses") {
			t.Errorf("owns all: %v; want bob and, by klic's end, sam to lose\n%s", got, p.Text(0))
		}
		left := w.state(t).Policy
		if _, ok := left.Product("klic"); ok || len(left.Grants()) != 1 {
			t.Errorf("owns all: klic is there: %v, grants %v", ok, left.Grants())
		}
		// Sites are archived rather than removed, and a dimension that has sites stays.
		if s, ok := left.SiteByKey("region", "noord"); !ok || !s.Archived {
			t.Errorf("owns all: region noord: %v %v, want it archived", s, ok)
		}
	})
}

// What a file says of grants that somebody else made it doesn't say twice.
func TestFileFindsWhatOthersMade(t *testing.T) {
	t.Parallel()
	w := sqlite(t).company(t)
	w.mustApply(t, roster)
	g := access.Grant{Subject: access.Grantee{Group: w.group["IT"]}, Effect: access.Allow, Product: "roster", Role: "viewer",
		Scope: access.Scope{Everywhere: true}, Origin: access.OriginMapping}
	for range 2 { // two of the same are one to a file
		w.grant(t, g)
	}
	text := "grants: {roster: [{group: IT, role: viewer, scope: ALL}]}\n"
	if p := w.mustPlan(t, text); !p.Empty() || p.Left != 0 {
		t.Errorf("made again:\n%s", p.Text(0))
	}
	if p := w.mustPlan(t, w.export(t)); !p.Empty() {
		t.Errorf("the export ends one of two:\n%s", p.Text(0))
	}
	if n := strings.Count(w.export(t), "group: IT"); n != 1 {
		t.Errorf("the export has it %d times", n)
	}
}

// A scope that is edited changes the grant instead of ending it, and whoever keeps
// access another way is said to.
func TestEditedGrantStaysItself(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.company(t)
		text := roster + "grants:\n  roster:\n  - {group: Planning, role: planner, scope: {site: nl}}\n  - {user: " + alice + ", role: viewer, scope: ALL}\n"
		w.mustApply(t, text)
		before := w.state(t).Policy.Grants()
		p := w.mustApply(t, strings.Replace(text, "{site: nl}", "{site: breda}", 1))
		if got := steps(p); got != store.GrantChanged {
			t.Errorf("got %s, want one change", got)
		}
		for _, g := range before {
			if _, ok := w.state(t).Policy.Grant(g.ID); !ok {
				t.Errorf("grant %s is another one now", g.ID)
			}
		}
		if got := names(p); len(got) < 3 || got[len(got)-1] != alice+" lowers" || !slices.Contains(got[:len(got)-1], eva+" loses") {
			t.Errorf("got %v, want losers first, and alice last", got)
		}
		text = p.Text(0)
		wantText(t, "the plan", text, "lowers roster shifts: edit → view at site nl but breda",
			`no more through group "Planning": role planner of roster at site nl`, "still directly: role viewer of roster everywhere")
		if i, j := strings.Index(text, "Eva Smit"), strings.Index(text, "Alice Jansen"); i < 0 || j < i {
			t.Errorf("who loses comes after who keeps something:\n%s", text)
		}
	})
}

// Agreed to is what was shown: if people or grants have moved since so that the
// file would do something else, it does nothing.
func TestDigest(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.company(t)
		w.mustApply(t, roster)
		text := "grants: {roster: [{group: Welders, role: viewer, scope: ALL}]}\n"
		p := w.mustPlan(t, text)
		if len(p.People) != 3 {
			t.Fatalf("got %v, want the three welders", names(p))
		}
		w.user(t, "okta", "somebody.else@dijkwerk.example")
		if q := w.mustPlan(t, text); q.Digest != p.Digest {
			t.Errorf("the plan is another one when somebody comes whom it doesn't concern")
		}
		w.person(t, welda, func(p store.Person) store.Person {
			p.LoginAllowed = false
			return p
		})
		before := w.export(t)
		now, err := w.apply(t, text, p.Digest)
		if !errors.Is(err, policyfile.ErrMoved) || w.export(t) != before {
			t.Fatalf("got %v, want it refused", err)
		}
		if _, err := w.apply(t, text, now.Digest); err != nil {
			t.Errorf("with the digest of the new plan: %v", err)
		}
		if w.ask(t, welda, "roster", "hours=view site=be") || !w.ask(t, "lotte.hoekstra@dijkwerk.example", "roster", "hours=view site=be") {
			t.Error("it was applied, and did something else")
		}
	})
}

// The last owner of a tenant can't be lost by a file: not taken out, not given an
// end, not masked, not denied.
func TestLastOwnerStays(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.company(t)
		owner := "  - {user: " + sam + ", role: owner, scope: ALL}\n"
		text := "owns: all\ngrants:\n  console:\n" + owner
		second := "  - {user: " + ada + ", role: owner, scope: ALL}\n"
		w.mustApply(t, text+second)
		p := w.mustApply(t, text)
		wantText(t, "the plan", strings.Join(p.Findings, "\n"), "too few people have the role owner")
		if len(p.Refused) > 0 {
			t.Errorf("of two owners one may go: %v", p.Refused)
		}
		for why, file := range map[string]string{
			"taken out":  "owns: all\ngrants: {console: [{everyone: true, permission: own, level: view, scope: ALL}]}\n",
			"no grants":  "owns: all\ngrants: {}\n",
			"with a day": strings.Replace(text, "scope", "until: 2031-06-30, scope", 1),
			"masked":     strings.Replace(text, "scope", "mask: [audit], scope", 1),
			"denied":     text + "  - {user: " + sam + ", effect: deny, permission: access, level: change, scope: ALL}\n",
			"limited":    "dimensions: {site: Sites}\nsites: {site: {nl: NL}}\n" + strings.Replace(text, "scope: ALL", "scope: {site: nl}", 1),
		} {
			w.refused(t, why, file, "owner")
		}
		// Handing over in one go is fine.
		w.mustApply(t, strings.Replace(text, sam, ada, 1))
		if owners := access.Owners(w.state(t)); len(owners) != 1 || owners[0] != w.users[ada] {
			t.Errorf("owners: got %v, want ada", owners)
		}
	})
}

// What must hold is looked at whatever the file changes, and says who breaks it.
func TestMustHold(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.company(t)
		base := roster + "grants:\n  roster:\n  - {group: Planning, role: planner, scope: {site: nl}}\nmust-hold:\n"
		for _, test := range []struct {
			why, rule string
			want      string // empty if it holds
		}{
			{"an intern by her group", "user: " + eva + ", never: shifts, product: roster, level: edit", "Eva Smit (eva.smit@waterland.example, entra) has it at site nl through group \"Planning\""},
			{"elsewhere it holds", "user: " + eva + ", never: shifts, product: roster, level: edit, scope: {site: be}", ""},
			{"below the site it doesn't", "user: " + eva + ", never: shifts, product: roster, level: edit, scope: {site: breda}", "Eva Smit"},
			{"above it neither", "group: Planning, never: shifts, product: roster, level: edit, scope: {site: nl}", "Alice Jansen"},
			{"less is no breach", "group: Planning, never: hours, product: roster, level: edit", ""},
			{"a kind", "kind: employee, never: shifts, product: roster, level: view", "Alice Jansen"},
			{"a kind of a group", "kind: client, group: Planning, never: shifts, product: roster, level: view", ""},
			{"who has left has nothing", "user: " + frank + ", never: shifts, product: roster, level: view", ""},
			{"always, at a site below", "group: Planning, always: shifts, product: roster, level: edit, scope: {site: utrecht}", ""},
			{"always, at another", "group: Planning, always: shifts, product: roster, level: edit, scope: {site: [utrecht, be]}", "Eva Smit (eva.smit@waterland.example, entra) doesn't have it"},
			{"always, everywhere", "user: " + alice + ", always: shifts, product: roster, level: view", "Alice Jansen"},
			{"always, for nobody live", "user: " + frank + ", always: shifts, product: roster, level: view", ""},
			{"always at a higher level", "group: Planning, always: hours, product: roster, level: edit, scope: {site: utrecht}", "Alice Jansen"},
		} {
			p, err := w.plan(t, base+"- {name: rule, "+test.rule+"}\n")
			if err != nil {
				t.Fatalf("%s: %v", test.why, err)
			}
			got := strings.Join(p.Refused, "\n")
			if (got == "") != (test.want == "") || !strings.Contains(got, test.want) || test.want != "" && !strings.HasPrefix(got, "must hold: rule: ") {
				t.Errorf("%s: got %q, want %q", test.why, got, test.want)
			}
		}
		later := strings.Replace(base, "role: planner,", "role: planner, from: 2031-01-01,", 1)
		w.refused(t, "what begins later", later+"- {name: rule, user: "+eva+", never: shifts, product: roster, level: edit}\n", "Eva Smit (eva.smit@waterland.example, entra) from 2031-01-01 on has it at site nl")
		denied := strings.Replace(base, "must-hold:", "  - {user: "+eva+", effect: deny, permission: shifts, level: edit, scope: ALL, until: 2031-01-01}\nmust-hold:", 1)
		w.refused(t, "a deny that ends", denied+"- {name: rule, user: "+eva+", never: shifts, product: roster, level: edit}\n", "from 2031-01-01 on has it")
		archived := strings.Replace(base, "utrecht: Utrecht", "utrecht: {name: Utrecht, archived: true}", 1)
		w.refused(t, "always at an archived site", archived+"- {name: rule, user: "+alice+", always: shifts, product: roster, level: edit, scope: {site: utrecht}}\n", "Alice Jansen")
		w.refused(t, "interns never edit", base+"- {name: interns never edit, user: "+eva+", never: shifts, product: roster, level: edit}\n", "interns never edit", "Eva Smit")
		w.mustApply(t, base+"- {name: interns never edit, user: "+eva+", never: shifts, product: roster, level: edit, scope: {site: be}}\n")
	})
}

// A tree may be turned upside down, whatever the order of the rows.
func TestTreeIsTurned(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		a := "dimensions: {site: Sites}\nsites: {site: {a: {name: A, sites: {b: {name: B, sites: {c: C}}}}}}\n"
		b := "dimensions: {site: Sites}\nsites: {site: {c: {name: C, sites: {b: {name: B, sites: {a: A}}}}}}\n"
		for _, text := range []string{a, b, a} {
			p := w.mustApply(t, text)
			if p.Empty() || !strings.Contains(w.export(t), strings.TrimSpace("owns: all")) {
				t.Fatalf("nothing changed:\n%s", p.Text(0))
			}
			if p := w.mustPlan(t, text); !p.Empty() {
				t.Errorf("not as the file says:\n%s", p.Text(0))
			}
		}
		p := w.mustApply(t, "sites: {site: {a: {name: Alpha, archived: true, sites: {b: {name: B, sites: {c: C}}}}}}\n")
		if got := steps(p); got != store.SiteArchived+" "+store.SiteChanged {
			t.Errorf("got %q, want a archived and renamed", got)
		}
	})
}

// A role that somebody else still grants can't be taken away by a side effect.
func TestRoleInUse(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.company(t)
		w.mustApply(t, roster)
		g := access.Grant{Subject: access.Grantee{Group: w.group["IT"]}, Effect: access.Allow, Product: "roster", Role: "viewer",
			Scope: access.Scope{Everywhere: true}, Origin: access.OriginMapping}
		w.grant(t, g)
		without := strings.Replace(roster, "      viewer: {permissions: {\"*\": view}}\n", "", 1)
		w.refused(t, "the role goes", without, `unknown_role viewer: still granted: group "IT": role viewer of roster everywhere`)
		w.refused(t, "the product goes", "owns: all\nproducts: {}\n", "unknown_product roster: still granted")
		p := w.mustApply(t, "owns: all\n"+without+"grants: {roster: [{group: IT, role: planner, scope: ALL}]}\n")
		if got := steps(p); got != strings.Join([]string{store.GrantEnded, store.ProductChanged, store.GrantCreated}, " ") {
			t.Errorf("got %q", got)
		}
		wantText(t, "the plan", p.Text(0), "change product roster: roles")
	})
}

// The plan refuses what the store would: keys that no address can have in it.
func TestKeysForAddresses(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.company(t)
		w.mustApply(t, roster)
		text := strings.Replace(strings.Replace(roster, "viewer:", `"..":`, 1), "breda:", `".":`, 1)
		w.refused(t, "a role and a site", text, `roster: role "..": no address can have that in it`, `site ".": no address`)
		w.refused(t, "a product", roster+`  "..": {permissions: [calls], roles: {user: {permissions: {calls: allow}}}}`+"\n", `product "..": no address`)
	})
}

// A new dimension closes what says nothing about it: the plan says who loses by
// that, also in the console.
func TestNewDimensionClosesGrants(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.company(t)
		w.mustApply(t, roster+"grants:\n  roster:\n  - {group: Welders, role: planner, scope: {site: nl}}\n  console:\n  - {user: "+ada+", role: site-administrator, scope: {site: nl}}\n")
		text := strings.Replace(roster, "dimensions: [site]", "dimensions: [site, team]", 1)
		text = strings.Replace(text, "{site: Sites}", "{site: Sites, team: Teams}", 1)
		p := w.mustPlan(t, text+"grants: {roster: [{group: Welders, role: planner, scope: {site: nl, team: ALL}}]}\n")
		if got := names(p); !slices.Equal(got, []string{ada + " loses"}) {
			t.Errorf("got %v, want ada to lose what she has in the console\n%s", got, p.Text(0))
		}
		p = w.mustApply(t, text)
		if got := names(p); len(got) != 4 {
			t.Errorf("got %v, want ada and the welders to lose", got)
		}
	})
}

// A mapping whose group was deleted sleeps: an export names it by its id, keeps it,
// and ends it when the line goes. The name alone finds no group.
func TestDeletedGroup(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.company(t)
		text := roster + "grants: {roster: [{group: Welders, role: viewer, scope: ALL}]}\n"
		w.mustApply(t, text)
		w.write(t, func(tx *store.Tx) error {
			return tx.DeleteGroup(t.Context(), w.refs["okta"], store.GroupID(w.group["Welders"]))
		})
		exported := w.export(t)
		wantText(t, "the export", exported, "# deleted; nobody has anything by this", "#"+string(w.group["Welders"]))
		if p := w.mustPlan(t, exported); !p.Empty() {
			t.Errorf("the export changes something:\n%s", p.Text(0))
		}
		if _, err := w.plan(t, text); err == nil || !strings.Contains(err.Error(), `the name "Welders"`) {
			t.Errorf("the name of a deleted group: got %v", err)
		}
		if p := w.mustPlan(t, roster+"grants: {roster: []}\n"); steps(p) != store.GrantEnded || len(p.People) > 0 {
			t.Errorf("without the line: want the mapping ended, for nobody:\n%s", p.Text(0))
		}
		// A group of the same name is another one, and nobody is in it by the old one's
		// grant: that is in the plan before it is so.
		w.write(t, func(tx *store.Tx) error {
			_, _, err := tx.CreateGroup(t.Context(), w.refs["okta"], store.Group{DisplayName: "welders", Doc: []byte(`{}`), Search: []byte(`{}`)},
				[]store.MemberID{store.MemberID(w.users[welda])})
			return err
		})
		if w.ask(t, welda, "roster", "hours=view site=be") {
			t.Error("the new group has what the old one had")
		}
		p := w.mustApply(t, text)
		if got := steps(p); got != store.GrantEnded+" "+store.GrantCreated || !slices.Equal(names(p), []string{welda + " gains"}) {
			t.Errorf("the group is made again:\n%s", p.Text(0))
		}
	})
}

// What somebody may not be given can't be given for later either.
func TestLimitsHoldForWhatBeginsLater(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.company(t)
		base := roster + "    rules: {limits: [{kind: client, max-level: view}]}\ngrants:\n  roster:\n"
		w.refused(t, "now", base+"  - {group: Dijkwerk staff, role: planner, scope: ALL}\n", "Bram Veenstra")
		w.refused(t, "from 2031 on", base+"  - {group: Dijkwerk staff, role: planner, scope: ALL, from: 2031-01-01}\n", "Bram Veenstra")
		w.mustApply(t, base+"  - {group: Dijkwerk staff, role: planner, scope: ALL, from: 2019-01-01, until: 2020-01-01}\n")
		w.mustApply(t, base+"  - {group: Dijkwerk staff, role: viewer, scope: ALL, from: 2031-01-01}\n")
	})
}

// A day is its first moment in UTC, and an end is exclusive.
func TestValidity(t *testing.T) {
	t.Parallel()
	w := sqlite(t).company(t)
	w.mustApply(t, roster+"grants: {roster: [{group: IT, role: viewer, scope: ALL, from: 2026-03-01, until: 2026-03-02}]}\n")
	if w.ask(t, sam, "roster", "hours=view site=be") {
		t.Error("it ended at midnight")
	}
	p := w.mustApply(t, roster+"grants: {roster: [{group: IT, role: viewer, scope: ALL, until: 2026-03-02T10:00:00.001+01:00}]}\n")
	if len(p.People) != 2 || !w.ask(t, sam, "roster", "hours=view site=be") {
		t.Errorf("a millisecond is left, and: %v", names(p))
	}
	wantText(t, "the export", w.export(t), "until: '2026-03-02T09:00:00.001Z'")
}

func TestSitesAsCSV(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.company(t)
		w.mustApply(t, roster+"grants: {roster: [{group: Welders, role: viewer, scope: {site: nl}}]}\n")
		w.write(t, func(tx *store.Tx) error {
			_, err := tx.AddSites(t.Context(),
				access.Site{Dimension: "site", Key: "=1+2", Name: "@SUM(A1)"}, access.Site{Dimension: "site", Key: "'-1", Name: "'s-Hertogenbosch"},
				access.Site{Dimension: "site", Name: "no key; \"quoted\",\nand two lines", Archived: true})
			return err
		})
		table, err := policyfile.ExportSites(w.snapshot(t))
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, "the export", string(table), "dimension,key,name,parent,archived\n", "site,'=1+2,'@SUM(A1),,no\n", "site,''-1,'s-Hertogenbosch,,no\n", "site,breda,Breda,nl,no\n")
		before := w.export(t)
		if p, err := w.importSites(t, string(table)); err != nil || !p.Empty() || w.export(t) != before {
			t.Errorf("imported again: %v\n%s", err, p.Text(0))
		}
		// A child may come before its parent, columns may be left out, and a spreadsheet
		// may write semicolons and a byte order mark.
		p, err := w.importSites(t, "\ufeffkey;parent;Dimension\nschiedam;zh;site\nzh;nl;site\nbreda;zh;site\n")
		if err != nil || steps(p) != strings.Join([]string{store.SiteCreated, store.SiteCreated, store.SiteMoved}, " ") {
			t.Fatalf("got %v\n%s", err, p.Text(0))
		}
		if s := w.state(t); !w.ask(t, welda, "roster", "hours=view site=schiedam") {
			t.Error("nl doesn't cover what is below it")
		} else if site, _ := s.Policy.SiteByKey("site", "breda"); site.Name != "Breda" {
			t.Errorf("a name that no column says became %q", site.Name)
		}
		before = w.export(t)
		for _, test := range []struct{ why, table, want string }{
			{"an empty file", "", "want a line of column names first"},
			{"a column", "dimension,key,nam\n", `1:1: column "nam": unknown or twice: did you mean "name"?`},
			{"a column is missing", "key,name\n", `1:1: there is no column "dimension"`},
			{"a dimension", "dimension,key\nsite,a\nsit,b\n", `3:1: unknown dimension "sit": did you mean "site"?`},
			{"a parent", "dimension,key,parent\nsite,x,utrech\n", `2:1: site "x": unknown parent "utrech": did you mean "utrecht"?`},
			{"a row twice", "dimension,key\nsite,x\nsite,x\n", `3:1: site "x" is in line 2 already`},
			{"too many cells", "dimension,key\nsite,x\nsite,y,z\n", "3:1: no CSV: wrong number of fields"},
			{"an open quote", "dimension,key\nsite,\"x\n", "no CSV"},
			{"archived what", "dimension,key,archived\nsite,x,perhaps\n", `2:1: archived: want yes or no, got "perhaps"`},
			{"a loop", "dimension,key,parent\nsite,nl,utrecht\n", `2:1: site "nl" would come to be below itself`},
			{"no key", "dimension,key\nsite,\n", "2:1: the key is empty"},
			{"an id that isn't there", "dimension,key\nsite,#7\n", "2:1: #7: no site of that id"},
			{"not UTF-8", "dimension,key\nsite,\xff\n", "save it as \"CSV UTF-8\""},
		} {
			_, err := w.importSites(t, test.table)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: got %v, want %s", test.why, err, test.want)
			}
		}
		if w.export(t) != before {
			t.Error("a wrong file changed something")
		}
	})
}

func (w *world) importSites(t *testing.T, table string) (p *policyfile.Plan, err error) {
	t.Helper()
	err = w.Write(t.Context(), w.actor, func(tx *store.Tx) (err error) {
		p, err = policyfile.Apply(t.Context(), tx, w.actor.Tenant, func(now store.Snapshot) (*policyfile.Wanted, error) {
			return policyfile.ReadSites("sites.csv", []byte(table), now)
		}, w.at, "")
		return err
	})
	if p == nil {
		p = &policyfile.Plan{}
	}
	return p, err
}
