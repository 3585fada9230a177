package access

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPolicyRefusesWhatCannotBeMeant(t *testing.T) {
	t.Parallel()
	grant := func(change func(*Grant)) func(*Catalogue, *[]Grant) {
		return func(_ *Catalogue, grants *[]Grant) { change(&(*grants)[0]) }
	}
	catalogue := func(change func(*Catalogue)) func(*Catalogue, *[]Grant) {
		return func(c *Catalogue, _ *[]Grant) { change(c) }
	}
	for _, c := range []struct {
		why    string
		change func(*Catalogue, *[]Grant)
		want   string // part of the error; empty for none
	}{
		{"the example itself is in order", grant(func(*Grant) {}), ""},
		{"an id finds one grant", func(_ *Catalogue, g *[]Grant) { *g = append(*g, (*g)[0]) }, "grant g1: twice"},
		{"a grant has an id", grant(func(g *Grant) { g.ID = "" }), "grant 1: the id is empty"},
		{"a grant is for somebody", grant(func(g *Grant) { g.Subject = Grantee{} }), "grant g1: subject"},
		{"a grant has one subject", grant(func(g *Grant) { g.Subject.Everyone = true }), "grant g1: subject"},
		{"an effect is written", grant(func(g *Grant) { g.Effect = "" }), `grant g1: effect ""`},
		{"a grant gives something", grant(func(g *Grant) { g.Role = "" }), "one of role, permission and attribute"},
		{"a grant gives one thing", grant(func(g *Grant) { g.Permission = "open" }), "one of role, permission and attribute"},
		{"the level of a role is the role's", grant(func(g *Grant) { g.Level = "allow" }), "grant g1: level"},
		{"an attribute is no access", grant(func(g *Grant) { g.Role, g.Attribute = "", "engineer" }), "an attribute has no scope"},
		{"a window is open some time", grant(func(g *Grant) { g.From, g.Until = noon, noon }), "ends before it starts"},
		{"everywhere is not also a list", grant(func(g *Grant) { g.Scope.Everywhere = true }), "exclude each other"},
		{"ALL is not also a list", grant(func(g *Grant) { g.Scope.Sites["site"] = Selection{All: true, Sites: []SiteID{"nl"}} }), "exclude each other"},
		{"the console is ours", catalogue(func(c *Catalogue) { c.Products[0].ID = ConsoleID }), `product "console": the id is empty or taken`},
		{"products differ", catalogue(func(c *Catalogue) { c.Products = append(c.Products, c.Products[0]) }), "locks"},
		{"a star stands for all", catalogue(func(c *Catalogue) { c.Products[0].Permissions[0].ID = "*" }), "permission *"},
		{"a role gives what there is", catalogue(func(c *Catalogue) { c.Products[0].Roles[0].Permissions["x"] = "allow" }), "role keeper: permission x"},
		{"a role gives levels there are", catalogue(func(c *Catalogue) { c.Products[0].Roles[0].Permissions["open"] = "" }), `role keeper: permission open: level ""`},
		{"levels differ", catalogue(func(c *Catalogue) { c.Products[0].Levels = []Level{"allow", "allow"} }), "level allow: twice"},
		{"a product scopes by what there is", catalogue(func(c *Catalogue) { c.Products[0].Dimensions = []DimensionID{"x"} }), "dimension x: unknown"},
		{"a limit can be passed", catalogue(func(c *Catalogue) { c.Products[0].Rules.Limits = []Limit{{Kind: "client", MaxLevel: "x"}} }), "limit for kind client"},
		{"a rule is about a role there is", catalogue(func(c *Catalogue) { c.Products[0].Rules.Holders = []HolderRule{{Role: "x"}} }), "holders of role x"},
		{"sites differ", catalogue(func(c *Catalogue) { c.Sites = append(c.Sites, c.Sites[0]) }), "site nl: twice"},
		{"keys differ", catalogue(func(c *Catalogue) { c.Sites[1].Key = "nl" }), "key nl: taken"},
		{"a site has a dimension", catalogue(func(c *Catalogue) { c.Sites[0].Dimension = "x" }), `site nl: dimension "x"`},
		{"a site's parent is there", catalogue(func(c *Catalogue) { c.Sites[1].Parent = "x" }), "site utrecht: parent x"},
		{"a tree is of one dimension", catalogue(func(c *Catalogue) { c.Sites[1].Parent = "guards" }), "site utrecht: parent guards"},
		{"a tree has a top", catalogue(func(c *Catalogue) { c.Sites[0].Parent = "utrecht" }), "is above itself"},
		{"unknown names are problems, not errors", grant(func(g *Grant) { g.Role = "x" }), ""},
	} {
		cat := Catalogue{
			Dimensions: []Dimension{{ID: "site"}, {ID: "team"}},
			Sites:      []Site{{ID: "nl", Key: "nl", Dimension: "site"}, {ID: "utrecht", Dimension: "site", Parent: "nl"}, {ID: "guards", Dimension: "team"}},
			Products: []Product{{
				ID: "locks", Dimensions: []DimensionID{"site"}, Permissions: []Permission{{ID: "open"}},
				Roles: []Role{{ID: "keeper", Permissions: map[PermissionID]Level{"open": LevelAllow}}},
			}},
		}
		grants := []Grant{{
			ID: "g1", Subject: Grantee{User: "ann"}, Effect: Allow, Product: "locks", Role: "keeper",
			Scope: Scope{Sites: map[DimensionID]Selection{"site": {Sites: []SiteID{"nl"}}}},
		}}
		c.change(&cat, &grants)
		_, err := NewPolicy(cat, grants)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.why, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.why, err, c.want)
		}
	}
}

// simple is a product without dimensions and people to ask about it.
func simple(t *testing.T, grants ...Grant) State {
	t.Helper()
	catalogue := Catalogue{
		Dimensions: []Dimension{{ID: "site"}},
		Sites:      []Site{{ID: "nl", Dimension: "site", Key: "NL"}, {ID: "utrecht", Dimension: "site", Parent: "nl"}},
		Products: []Product{{
			ID: "wiki", Levels: []Level{"view", "edit"}, Permissions: []Permission{{ID: "pages"}, {ID: "payroll", Tags: []string{"sensitive"}}},
			Roles: []Role{
				{ID: "reader", Permissions: map[PermissionID]Level{"pages": "view"}},
				{ID: "writer", Permissions: map[PermissionID]Level{AllPermissions: "edit"}},
			},
			Rules: Rules{
				OneRole: true,
				Limits:  []Limit{{Kind: KindClient, MaxLevel: "view", ForbidTags: []string{"sensitive"}, ForbidAll: true}},
				Holders: []HolderRule{{Role: "writer", Warn: 2, Refuse: 1, Max: 3}},
			},
		}},
	}
	for i := range grants {
		if grants[i].Effect == "" {
			grants[i].Effect = Allow
		}
		if grants[i].Product == "" {
			grants[i].Product = "wiki"
		}
		if grants[i].Scope.Zero() && grants[i].Attribute == "" {
			grants[i].Scope.Everywhere = true
		}
	}
	p, err := NewPolicy(catalogue, grants)
	if err != nil {
		t.Fatal(err)
	}
	facts := Facts{People: make(map[UserID]Person), Groups: map[GroupID]Group{"staff": {ID: "staff"}, "deep": {ID: "deep", Parents: []GroupID{"staff"}}}}
	for _, id := range []UserID{"ada", "bob", "cor", "dirk"} {
		facts.People[id] = Person{ID: id, Active: true, LoginAllowed: true, Groups: []GroupID{"staff"}}
	}
	cor := facts.People["cor"]
	cor.Kind = KindClient
	facts.People["cor"] = cor
	return State{Facts: facts, Policy: p, At: noon}
}

func TestWindowsAndExpiryAreHalfOpen(t *testing.T) {
	t.Parallel()
	st := simple(t, Grant{ID: "g1", Subject: Grantee{User: "ada"}, Role: "reader", From: noon, Until: noon.Add(time.Hour)})
	q := Question{Product: "wiki", Permission: "pages", Level: "view"}
	for at, want := range map[time.Time]bool{
		noon.Add(-time.Millisecond): false, noon: true, noon.Add(time.Hour - time.Millisecond): true, noon.Add(time.Hour): false, {}: false,
	} {
		if got := st.Policy.Allows(st.Facts.Subject("ada"), q, at); got != want {
			t.Errorf("%v: %v, want %v", at, got, want)
		}
	}
	ada := st.Facts.People["ada"]
	ada.ExpiresAt = noon
	if ada.Live(noon) || !ada.Live(noon.Add(-time.Millisecond)) {
		t.Error("an account ends at its end, and not before")
	}
}

func TestWithAndWithoutLeaveTheOriginalAlone(t *testing.T) {
	t.Parallel()
	st := simple(t, Grant{ID: "g1", Subject: Grantee{User: "ada"}, Role: "reader"})
	changed, err := st.Policy.With(Grant{ID: "g1", Subject: Grantee{User: "bob"}, Effect: Allow, Product: "wiki", Role: "writer", Scope: Scope{Everywhere: true}})
	if err != nil {
		t.Fatal(err)
	}
	without, err := changed.Without("g1")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		policy *Policy
		user   UserID
	}{"original": {st.Policy, "ada"}, "changed": {changed, "bob"}, "without": {without, ""}} {
		var got UserID
		for _, holder := range WhoHas(State{Facts: st.Facts, Policy: want.policy, At: noon}, Question{Product: "wiki", Permission: "pages"}) {
			got += holder.User
		}
		if got != want.user {
			t.Errorf("%s: %q has it, want %q", name, got, want.user)
		}
	}
	if _, err := st.Policy.With(Grant{ID: "bad"}); err == nil {
		t.Error("a bad grant is taken")
	}
	if g, ok := st.Policy.Grant("g1"); !ok || g.Subject.User != "ada" {
		t.Errorf("got %+v %v", g, ok)
	}
}

func TestAttributesComeByMapping(t *testing.T) {
	t.Parallel()
	st := simple(t,
		Grant{ID: "a1", Subject: Grantee{Group: "staff"}, Attribute: "engineer", Value: "true"},
		Grant{ID: "a2", Subject: Grantee{User: "ada"}, Attribute: "language", Value: "nl"},
		Grant{ID: "a3", Subject: Grantee{Everyone: true}, Attribute: "language", Value: "en"},
		Grant{ID: "a4", Subject: Grantee{Everyone: true}, Attribute: "late", Value: "x", From: noon.Add(1)},
	)
	got := Resolve(st.Facts, st.Policy, "ada", noon)
	if a := got.Attributes["wiki"]; !slices.Equal(a["engineer"], []string{"true"}) || !slices.Equal(a["language"], []string{"en", "nl"}) || len(a) != 2 {
		t.Errorf("attributes %v", a)
	}
	if len(got.Items) > 0 || len(st.Policy.Problems()) > 0 {
		t.Errorf("an attribute gives access: %+v, %+v", got.Items, st.Policy.Problems())
	}
}

func TestSitesAreFoundByTheirKey(t *testing.T) {
	t.Parallel()
	p := simple(t).Policy
	if s, ok := p.SiteByKey("site", "NL"); !ok || s.ID != "nl" {
		t.Errorf("got %v %v", s, ok)
	}
	for _, key := range []string{"", "nl", "utrecht"} {
		if s, ok := p.SiteByKey("site", key); ok {
			t.Errorf("key %q finds %v", key, s)
		}
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	list := Scope{Sites: map[DimensionID]Selection{"site": {Sites: []SiteID{"nl"}}}}
	writers := []Grant{{ID: "w1", Subject: Grantee{User: "ada"}, Role: "writer"}, {ID: "w2", Subject: Grantee{User: "bob"}, Role: "writer"}}
	for _, c := range []struct {
		why    string
		grants []Grant
		want   []Finding
	}{
		{"two writers are enough", nil, nil},
		{"two roles of a product that wants one", []Grant{{ID: "g", Subject: Grantee{User: "ada"}, Role: "reader"}}, []Finding{
			{Product: "wiki", Rule: RuleOneRole, User: "ada"},
		}},
		{"a client may not have ALL", []Grant{{ID: "g", Subject: Grantee{User: "cor"}, Role: "reader"}}, []Finding{
			{Product: "wiki", Rule: RuleForbidAll, Refuse: true, User: "cor", Grant: "g"},
		}},
		{"a client reached by a group may not change or see what is sensitive", []Grant{{ID: "g", Subject: Grantee{Group: "staff"}, Permission: "payroll", Level: "edit"}}, []Finding{
			{Product: "wiki", Rule: RuleForbidAll, Refuse: true, User: "cor", Grant: "g"},
			{Product: "wiki", Rule: RuleForbidTag, Refuse: true, User: "cor", Grant: "g", Permission: "payroll"},
			{Product: "wiki", Rule: RuleMaxLevel, Refuse: true, User: "cor", Grant: "g", Permission: "payroll"},
		}},
		{"a grant that reaches nothing breaks nothing", []Grant{{ID: "g", Subject: Grantee{User: "cor"}, Role: "reader", Scope: list}}, nil},
		{"a deny breaks nothing", []Grant{{ID: "g", Subject: Grantee{User: "cor"}, Effect: Deny, Role: "writer"}}, nil},
		{"the last but one writer ends", []Grant{{ID: "w2", Subject: Grantee{User: "bob"}, Role: "writer", Until: noon}}, []Finding{
			{Product: "wiki", Rule: RuleFewHolders, Role: "writer"},
		}},
		{"more writers than wanted", []Grant{{ID: "g", Subject: Grantee{User: "dirk"}, Role: "writer"}, {ID: "h", Subject: Grantee{User: "cor"}, Role: "writer"}}, []Finding{
			{Product: "wiki", Rule: RuleManyHolders, Refuse: true, Role: "writer"},
			{Product: "wiki", Rule: RuleForbidAll, Refuse: true, User: "cor", Grant: "h"},
			{Product: "wiki", Rule: RuleForbidTag, Refuse: true, User: "cor", Grant: "h", Permission: "payroll"},
			{Product: "wiki", Rule: RuleMaxLevel, Refuse: true, User: "cor", Grant: "h", Permission: "pages"},
			{Product: "wiki", Rule: RuleMaxLevel, Refuse: true, User: "cor", Grant: "h", Permission: "payroll"},
		}},
	} {
		grants := slices.Clone(writers)
		for _, g := range c.grants {
			grants = append(slices.DeleteFunc(grants, func(old Grant) bool { return old.ID == g.ID }), g)
		}
		st := simple(t, grants...)
		got := slices.DeleteFunc(Lint(st), func(f Finding) bool { return f.Product == ConsoleID })
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.why, got, c.want)
		}
		refuse := slices.ContainsFunc(c.want, func(f Finding) bool { return f.Refuse })
		if found, no := NewFindings(simple(t, slices.Clone(writers)...), st); !slices.Equal(found, c.want) || no != refuse {
			t.Errorf("%s: new are %+v, refuse %v", c.why, found, no)
		}
		if found, no := NewFindings(st, st); len(found) > 0 || no {
			t.Errorf("%s: what was there is new: %+v", c.why, found)
		}
	}
}

// A role edited so that a client may change something is refused (P2).
func TestEditingARoleIsLinted(t *testing.T) {
	t.Parallel()
	before := simple(t, Grant{ID: "g", Subject: Grantee{User: "cor"}, Role: "reader"}, Grant{ID: "w", Subject: Grantee{User: "ada"}, Role: "writer"})
	catalogue := before.Policy.catalogue
	catalogue.Products = slices.Clone(catalogue.Products)
	catalogue.Products[0].Roles = []Role{{ID: "reader", Permissions: map[PermissionID]Level{"pages": "edit"}}, catalogue.Products[0].Roles[1]}
	p, err := NewPolicy(catalogue, before.Policy.Grants())
	if err != nil {
		t.Fatal(err)
	}
	got, refuse := NewFindings(before, State{Facts: before.Facts, Policy: p, At: noon})
	want := []Finding{{Product: "wiki", Rule: RuleMaxLevel, Refuse: true, User: "cor", Grant: "g", Permission: "pages"}}
	if !refuse || !slices.Equal(got, want) {
		t.Errorf("got %+v, %v", got, refuse)
	}
}

func TestAssertionsThatCannotFailAreErrors(t *testing.T) {
	t.Parallel()
	st := simple(t, Grant{ID: "g", Subject: Grantee{Group: "staff"}, Role: "writer"})
	good := Assertion{Name: "interns never edit payroll", Kind: KindClient, Product: "wiki", Permission: "payroll", Level: "edit", Scope: Scope{Everywhere: true}}
	got, err := Check(st, []Assertion{good})
	if err != nil || len(got) != 1 || got[0].User != "cor" || got[0].Item.Through[0].Grant.ID != "g" || !slices.Equal(got[0].Item.Through[0].Groups, []GroupID{"staff"}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for why, change := range map[string]func(*Assertion){
		"nobody": func(a *Assertion) { a.Kind = "" }, "no place": func(a *Assertion) { a.Scope = Scope{} },
		"unknown group": func(a *Assertion) { a.Subject.Group = "x" }, "unknown permission": func(a *Assertion) { a.Permission = "x" },
		"unknown level": func(a *Assertion) { a.Level = "" }, "unknown product": func(a *Assertion) { a.Product = "x" },
	} {
		bad := good
		change(&bad)
		if _, err := Check(st, []Assertion{bad}); err == nil || !strings.Contains(err.Error(), good.Name) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

// TestRenamedAnswersTheSame holds that other names change no answer.
func TestRenamedAnswersTheSame(t *testing.T) {
	st := simple(t, Grant{ID: "g", Subject: Grantee{User: "ada"}, Product: ConsoleID, Role: RoleAuditor})
	p, ada := st.Policy, st.Facts.Subject("ada")
	renamed := p.Renamed(ConsoleID, func(permission PermissionID, role RoleID) string { return "x" + string(permission) + string(role) })
	for _, one := range []*Policy{p, renamed} {
		if !one.Allows(ada, Question{Product: ConsoleID, Permission: ConsoleAudit, Level: LevelView}, noon) || one.Allows(ada, Question{Product: ConsoleID, Permission: ConsoleAudit, Level: LevelChange}, noon) {
			t.Error("an auditor may look and not change")
		}
	}
	after, _ := renamed.Product(ConsoleID)
	before, _ := p.Product(ConsoleID)
	if after.Name != "x" || after.Roles[0].Name != "xowner" || after.Permissions[0].Name != "xpeople" || renamed.Products()[0].Name != "x" {
		t.Errorf("renamed: got %+v", after)
	}
	if before.Name != "Console" || before.Roles[0].Name != "Owner" {
		t.Errorf("the policy that was renamed: got %+v", before)
	}
	if renamed.Renamed("nothing", nil) != renamed {
		t.Error("a product that isn't there was renamed")
	}
}
