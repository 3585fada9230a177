package policyfile_test

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"gatehouse/access"
	"gatehouse/examples"
	"gatehouse/store"
)

// example is the text of an example.
func example(t *testing.T, name string) string {
	t.Helper()
	text, err := fs.ReadFile(examples.Files, name+".yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// with is the company with an example applied.
func with(t *testing.T, name string) *world {
	t.Helper()
	w := sqlite(t).company(t)
	w.mustApply(t, example(t, name))
	return w
}

// The few of the company that these tests tell of.
const (
	sam   = "sam.devries@waterland.example"  // head of IT
	ada   = "ada.byron@waterland.example"    // IT
	alice = "alice.jansen@waterland.example" // planner
	bob   = "bob.okafor@waterland.example"   // site manager
	chloe = "chloe.martin@waterland.example" // auditor, in Finance
	daan  = "daan.bakker@waterland.example"  // technician
	eva   = "eva.smit@waterland.example"     // intern, in Planning
	frank = "frank.visser@waterland.example" // has left
	welda = "ada.byron@dijkwerk.example"     // a welder at Dijkwerk, so a client
)

// answer is a question with its answer.
type answer struct {
	why, who, ask string
	want          bool
}

func (w *world) answers(t *testing.T, product access.ProductID, all []answer) {
	t.Helper()
	for _, a := range all {
		if got := w.ask(t, a.who, product, a.ask); got != a.want {
			t.Errorf("%s: %s, %s %s: got %v, want %v", a.why, a.who, product, a.ask, got, a.want)
		}
	}
}

// All five go beside each other, and a second time changes nothing.
func TestExamplesLiveTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.company(t)
		files, err := fs.Glob(examples.Files, "*.yaml")
		if err != nil || len(files) != 5 {
			t.Fatalf("%d examples, want 5: %v", len(files), err)
		}
		for _, file := range append(files, files...) {
			w.mustApply(t, example(t, strings.TrimSuffix(file, ".yaml")))
		}
		for _, file := range files {
			if p := w.mustPlan(t, example(t, strings.TrimSuffix(file, ".yaml"))); !p.Empty() || len(p.Warnings) > 0 || p.Left > 0 {
				t.Errorf("%s changes what it has made:\n%s", file, p.Text(0))
			}
		}
		if problems := w.state(t).Policy.Problems(); len(problems) > 0 {
			t.Errorf("grants give less than they say: %v", problems)
		}
		if p := w.mustPlan(t, w.export(t)); !p.Empty() {
			t.Errorf("the export of all changes something:\n%s", p.Text(0))
		}
	})
}

func TestClikComesWithItsThreeGroups(t *testing.T) {
	t.Parallel()
	w := with(t, "clik")
	product, ok := w.state(t).Policy.Product("clik")
	if !ok {
		t.Fatal("no clik")
	}
	var roles []access.RoleID
	for _, r := range product.Roles {
		roles = append(roles, r.ID)
	}
	if want := []access.RoleID{"admin", "user", "viewer"}; !slices.Equal(roles[:3], want) {
		t.Errorf("roles: got %v, want %v first", roles, want)
	}
}

func TestClikTicksAllowAndDeny(t *testing.T) {
	t.Parallel()
	w := with(t, "clik")
	w.answers(t, "clik", []answer{
		{"by the group User", bob, "invoices client=hall", true},
		{"an Allow of one's own adds to the group", bob, "settings client=hall", true},
		{"what isn't ticked isn't there", daan, "settings client=hall", false},
		{"a Deny of one's own beats the group", daan, "invoices client=hall", false},
		{"and only what it names", daan, "jobs client=hall", true},
		{"Viewer", chloe, "diary client=hall", true},
		{"Viewer is no User", chloe, "reports client=hall", false},
		{"Admin has all", sam, "users client=hall", true},
		{"a customer sees the own jobs", welda, "jobs client=dijkwerk", true},
		{"and nobody else's", welda, "jobs client=museum", false},
	})
}

func TestClikMapsAnAttribute(t *testing.T) {
	t.Parallel()
	w := with(t, "clik")
	st := w.state(t)
	for who, want := range map[string]bool{daan: true, bob: true, alice: false} {
		held := st.Policy.Held(st.Facts.Subject(w.users[who]), st.At)
		if got := slices.Equal(held.Attributes["clik"]["engineer"], []string{"true"}); got != want {
			t.Errorf("%s is an engineer: got %v, want %v", who, got, want)
		}
	}
}

// A person who may not sign in can do nothing, mapped or not, and so may one whom
// the provider has deactivated.
func TestClikLoginNotAllowed(t *testing.T) {
	t.Parallel()
	w := with(t, "clik")
	if !w.ask(t, bob, "clik", "jobs client=hall") {
		t.Fatal("bob has no jobs to begin with")
	}
	w.person(t, bob, func(p store.Person) store.Person {
		p.LoginAllowed = false
		return p
	})
	w.answers(t, "clik", []answer{
		{"login not allowed", bob, "jobs client=hall", false},
		{"mapped, and has left", frank, "jobs client=hall", false},
	})
}

func TestClikOneGroupForEachUser(t *testing.T) {
	t.Parallel()
	w := with(t, "clik")
	text := example(t, "clik") + "\n"
	text = strings.Replace(text, "  - {group: IT, ", "  - {user: "+bob+", role: viewer, scope: ALL}\n  - {group: IT, ", 1)
	p := w.mustPlan(t, text)
	wantText(t, "the plan", strings.Join(p.Findings, "\n"), "Bob Okafor", "more than one role")
	if len(p.Refused) > 0 {
		t.Errorf("a lint refuses: %q", p.Refused)
	}
}

func TestClickTimeMaintainGivesView(t *testing.T) {
	t.Parallel()
	with(t, "clicktime").answers(t, "clicktime", []answer{
		{"a supervisor maintains", alice, "timesheet=maintain site=uithof team=security", true},
		{"maintain is view, too", alice, "timesheet=view site=uithof team=security", true},
		{"view is no more", alice, "reports=maintain site=uithof team=security", false},
		{"a screen that isn't ticked", alice, "payroll=view site=uithof team=security", false},
		{"a state has its sites", alice, "scheduler=maintain site=utrecht team=cleaning", true},
		{"and no others", alice, "scheduler=view site=vlissingen team=cleaning", false},
	})
}

func TestClickTimeClientAtAnotherSite(t *testing.T) {
	t.Parallel()
	with(t, "clicktime").answers(t, "clicktime", []answer{
		{"her own site", welda, "timesheet=view site=dijkwerk-yard team=security", true},
		{"the other of the two panels' sites", welda, "reports=view site=dijkwerk-quay team=cleaning", true},
		{"another site", welda, "timesheet=view site=uithof team=security", false},
		{"not even the state around her own", welda, "timesheet=view site=zeeland team=security", false},
		{"read only", welda, "timesheet=maintain site=dijkwerk-yard team=security", false},
		{"never payroll", welda, "payroll=view site=dijkwerk-yard team=security", false},
	})
}

// A client may neither maintain, nor have what is tagged, nor have ALL of
// anything: whichever way the file is edited, it is refused and nothing changes.
func TestClickTimeClientRoleEditedToMaintain(t *testing.T) {
	t.Parallel()
	w := with(t, "clicktime")
	before := w.export(t)
	for _, edit := range []struct{ why, old, new, want string }{
		{"maintain", "permissions: {scheduler: view, timesheet: view, reports: view}",
			"permissions: {scheduler: view, timesheet: maintain, reports: view}", "timesheet at a higher level than a client may"},
		{"a screen with a tag", "permissions: {scheduler: view, timesheet: view, reports: view}",
			"permissions: {scheduler: view, payroll: view}", "payroll, which a client may not have"},
		{"all sites", "role: client, scope: {site: [dijkwerk-quay, dijkwerk-yard], team",
			"role: client, scope: {site: ALL, team", "says ALL"},
	} {
		text := strings.Replace(example(t, "clicktime"), edit.old, edit.new, 1)
		if text == example(t, "clicktime") {
			t.Fatalf("%s: the example has no %q", edit.why, edit.old)
		}
		p, err := w.apply(t, text, "")
		if err == nil || p == nil {
			t.Errorf("%s: applied", edit.why)
			continue
		}
		wantText(t, edit.why, strings.Join(p.Refused, "\n"), edit.want, welda)
		if after := w.export(t); after != before {
			t.Errorf("%s: refused, and yet something changed:\n%s", edit.why, after)
		}
	}
}

// An edited profile shows everybody who has it before it is saved.
func TestClickTimeProfileEditNamesItsUsers(t *testing.T) {
	t.Parallel()
	w := with(t, "clicktime")
	text := strings.Replace(example(t, "clicktime"), "permissions: {scheduler: maintain, timesheet: maintain, reports: view}",
		"permissions: {scheduler: view, timesheet: maintain, reports: view}", 1)
	p := w.mustPlan(t, text)
	var named, want []string
	for _, person := range p.People {
		named = append(named, person.Name)
		if len(person.Changes) != 1 || person.Changes[0].Kind != access.Lowers || person.Changes[0].Permission != "scheduler" {
			t.Errorf("%s: got %+v, want the scheduler lowered", person.Name, person.Changes)
		}
	}
	st := w.state(t)
	for name, id := range w.users {
		if slices.Contains(st.Facts.Subject(id).Groups, w.group["Planning"]) {
			want = append(want, name)
		}
	}
	slices.Sort(want)
	if !slices.Equal(named, want) || len(want) < 2 {
		t.Errorf("got %v, want the planners %v", named, want)
	}
}

// The printed matrix: Administrator, Case handler, System technician, Statistics
// viewer. 32 cells, and the fifth column.
func TestWhistleblowerMatrix(t *testing.T) {
	t.Parallel()
	w := with(t, "whistleblower")
	st := w.state(t)
	columns := []access.RoleID{"administrator", "case-handler", "system-technician", "statistics-viewer"}
	rows := []struct {
		area  access.PermissionID
		cells string
	}{
		{"cases", "YYNN"},
		{"statistics", "YNNY"},
		{"users", "YNYN"},
		{"departments", "YNYN"},
		{"channels", "YNYN"},
		{"access", "YNYN"},
		{"profile", "YYYY"},
		{"security", "YNYN"},
	}
	cells := 0
	for i, role := range columns {
		// One person with this role and nothing else but what everyone has.
		p, err := st.Policy.With(access.Grant{
			ID: "cell", Subject: access.Grantee{User: w.users[daan]}, Effect: access.Allow, Product: "whistleblower",
			Role: role, Scope: access.Scope{Everywhere: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			cells++
			q := access.Question{Product: "whistleblower", Permission: row.area}
			if got := p.Allows(st.Facts.Subject(w.users[daan]), q, st.At); got != (row.cells[i] == 'Y') {
				t.Errorf("%s, %s: got %v, want %c", row.area, role, got, row.cells[i])
			}
		}
	}
	if cells != 32 {
		t.Errorf("%d cells, want 32", cells)
	}
	for _, row := range rows {
		custom := row.area == "statistics" || row.area == "security" || row.area == "profile"
		if got := w.ask(t, bob, "whistleblower", string(row.area)); got != custom {
			t.Errorf("user defined, %s: got %v, want %v", row.area, got, custom)
		}
		// Nobody has anything but the profile without a role.
		if got := w.ask(t, daan, "whistleblower", string(row.area)); got != (row.area == "profile") {
			t.Errorf("no role, %s: got %v", row.area, got)
		}
	}
}

// The columns by role are one thing; these are the people of the example.
func TestWhistleblowerMaskAndDepartments(t *testing.T) {
	t.Parallel()
	with(t, "whistleblower").answers(t, "whistleblower", []answer{
		{"a case handler in her department", alice, "cases department=finance", true},
		{"in no other", alice, "cases department=operations", false},
		{"an action is unchecked for her alone", alice, "case.close department=finance", false},
		{"the technician sees no cases", ada, "cases department=finance", false},
		{"and manages the users", ada, "users department=finance", true},
		{"an administrator", sam, "case.close department=yard", true},
	})
}

// More than one administrator, so that somebody always gets in: below two it
// warns, and the last one can't go.
func TestWhistleblowerNeedsAdministrators(t *testing.T) {
	t.Parallel()
	w := with(t, "whistleblower")
	one := strings.Replace(example(t, "whistleblower"), "  - {user: "+chloe+", role: administrator, scope: ALL}\n", "", 1)
	p := w.mustPlan(t, one)
	wantText(t, "the plan", strings.Join(p.Findings, "\n"), "too few people have the role administrator")
	if len(p.Refused) > 0 {
		t.Errorf("one administrator is refused: %q", p.Refused)
	}
	none := strings.Replace(one, "  - {user: "+sam+", role: administrator, scope: ALL}\n", "", 1)
	p, err := w.apply(t, none, "")
	if err == nil {
		t.Fatal("the last administrator went")
	}
	wantText(t, "the refusal", strings.Join(p.Refused, "\n"), "too few people have the role administrator")
}

// From a region's side: exactly its people, as a page of the region lists them.
func TestKlicRegionListsItsPeople(t *testing.T) {
	t.Parallel()
	w := with(t, "klic")
	st := w.state(t)
	in := func(group string) []access.UserID {
		var all []access.UserID
		for id, p := range st.Facts.People {
			if slices.Contains(p.Groups, w.group[group]) && p.Active {
				all = append(all, id)
			}
		}
		return all
	}
	planners, technicians := in("Planning"), in("Utrecht technicians")
	if len(planners) < 2 || len(technicians) != 2 {
		t.Fatalf("%d planners, %d technicians", len(planners), len(technicians))
	}
	for region, want := range map[string][]access.UserID{
		"noord": planners, "noordoost": planners, "midden": technicians, "zuid": {w.users[alice]},
	} {
		q := access.Question{Product: "klic", Permission: "notices.request", Place: access.Place{"region": w.site(t, "region", region)}}
		var got []access.UserID
		for _, holder := range access.WhoHas(st, q) {
			got = append(got, holder.User)
		}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", region, got, want)
		}
	}
}

func TestKlicRightsAreTickedIndependently(t *testing.T) {
	t.Parallel()
	w := with(t, "klic")
	w.answers(t, "klic", []answer{
		{"Monteur is everybody's", daan, "notices.read region=noord", true},
		{"and asks for nothing", chloe, "notices.request region=noord", false},
		{"Gebruikersbeheer has reports", ada, "reports region=zuid", true},
		{"and a new way in for people", ada, "people.reset_signin region=zuid", true},
		{"but no notices of its own", ada, "notices.request region=zuid", false},
		{"Klic Beheer assigns to others", alice, "notices.assign region=noordoost", true},
		{"two regions by the group, one of her own", alice, "notices.assign region=zuid", true},
		{"which the others don't have", eva, "notices.assign region=zuid", false},
	})
}

func TestClickyViewOnlyHasNoExport(t *testing.T) {
	t.Parallel()
	with(t, "clicky").answers(t, "clicky", []answer{
		{"reports", chloe, "reports website=waterland.example", true},
		{"no export", chloe, "export website=waterland.example", false},
		{"billing is the owner's", sam, "billing", true},
		{"an admin's it isn't", ada, "billing", false},
		{"one site", welda, "reports website=dijkwerk.example", true},
		{"and no other", welda, "reports website=waterland.example", false},
	})
}

func TestClickyAllHasTheSiteOfTomorrow(t *testing.T) {
	t.Parallel()
	w := with(t, "clicky")
	seller := ""
	st := w.state(t)
	for name, id := range w.users {
		if slices.Contains(st.Facts.Subject(id).Groups, w.group["Sales"]) {
			seller = max(seller, name)
		}
	}
	w.write(t, func(tx *store.Tx) error {
		_, err := tx.AddSites(t.Context(), access.Site{Dimension: "website", Key: "new.example", Name: "New"})
		return err
	})
	w.answers(t, "clicky", []answer{
		{"ALL has it", chloe, "reports website=new.example", true},
		{"ALL has it", ada, "export website=new.example", true},
		{"a list of sites doesn't", seller, "reports website=new.example", false},
		{"and has what it lists", seller, "reports website=shop.waterland.example", true},
	})
	if p := w.mustPlan(t, example(t, "clicky")); !p.Empty() {
		t.Errorf("the file ends what it doesn't know of:\n%s", p.Text(0))
	}
}

// The dashboard: which sites may she see?
func TestClickyDashboardListsSelectedSites(t *testing.T) {
	t.Parallel()
	w := with(t, "clicky")
	st := w.state(t)
	q := access.Question{Product: "clicky", Permission: "reports"}
	sites, all := st.Policy.SitesOf(st.Facts.Subject(w.users[welda]), q, "website", st.At)
	if want := []access.SiteID{w.site(t, "website", "dijkwerk.example")}; !slices.Equal(sites, want) || all {
		t.Errorf("a client: got %v, all %v; want %v", sites, all, want)
	}
	sites, all = st.Policy.SitesOf(st.Facts.Subject(w.users[chloe]), q, "website", st.At)
	if len(sites) != 3 || !all {
		t.Errorf("all sites: got %v, all %v", sites, all)
	}
}

func TestClickyHasOneOwner(t *testing.T) {
	t.Parallel()
	w := with(t, "clicky")
	owner := "  - {user: " + sam + ", role: owner, scope: ALL}\n"
	two := strings.Replace(example(t, "clicky"), owner, owner+strings.Replace(owner, sam, ada, 1), 1)
	p := w.mustPlan(t, two)
	wantText(t, "a second owner", strings.Join(p.Refused, "\n"), "too many people have the role owner")
	_, err := w.plan(t, strings.Replace(example(t, "clicky"), owner, "  - {group: IT, role: owner, scope: ALL}\n", 1))
	wantText(t, "an owning group", fmt.Sprint(err), "role owner is for single people")
	moved := w.mustApply(t, strings.Replace(example(t, "clicky"), sam, ada, 1))
	if len(moved.Refused) > 0 || !w.ask(t, ada, "clicky", "billing") || w.ask(t, sam, "clicky", "billing") {
		t.Errorf("the ownership didn't move:\n%s", moved.Text(0))
	}
}

// Somebody without an e-mail address is known by another unique userName, and is
// granted something like anybody.
func TestKlicPersonWithoutEMail(t *testing.T) {
	t.Parallel()
	w := with(t, "klic")
	w.users["monteur.17"] = w.user(t, "entra", "monteur.17")
	line := "  - {group: Welders, role: monteur, scope: {region: zuid}}\n"
	text := strings.Replace(example(t, "klic"), line, line+"  - {user: monteur.17, role: monteur, scope: {region: noord}}\n", 1)
	w.mustApply(t, text)
	w.answers(t, "klic", []answer{
		{"where granted", "monteur.17", "notices.read region=noord", true},
		{"nowhere else", "monteur.17", "notices.read region=zuid", false},
	})
	err := w.Write(t.Context(), w.actor, func(tx *store.Tx) error {
		_, err := tx.CreateUser(t.Context(), w.refs["entra"], store.User{UserName: "Monteur.17", Doc: []byte(`{}`), Search: []byte(`{}`)})
		return err
	})
	if !errors.Is(err, store.ErrTaken) {
		t.Errorf("the same userName again: got %v, want it taken", err)
	}
}
