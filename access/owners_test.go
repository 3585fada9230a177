package access

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"
)

// TestLastAdministratorCannotBeRemoved, whatever removes her (DefGuard #3184,
// Cloudflare #26223).
func TestLastAdministratorCannotBeRemoved(t *testing.T) {
	t.Parallel()
	owner := func(id GrantID, user UserID) Grant {
		return Grant{ID: id, Subject: Grantee{User: user}, Product: ConsoleID, Role: RoleOwner}
	}
	person := func(id UserID, change func(*Person)) func(*testing.T, *State) {
		return func(_ *testing.T, st *State) {
			st.Facts.People = maps.Clone(st.Facts.People)
			p := st.Facts.People[id]
			change(&p)
			st.Facts.People[id] = p
		}
	}
	with := func(grants ...Grant) func(*testing.T, *State) {
		return func(t *testing.T, st *State) {
			var err error
			if st.Policy, err = st.Policy.With(grants...); err != nil {
				t.Fatal(err)
			}
		}
	}
	full := func(g Grant) Grant {
		g.Effect, g.Scope = Allow, Scope{Everywhere: true}
		return g
	}
	deny := Grant{ID: "d", Subject: Grantee{Group: "staff"}, Effect: Deny, Product: ConsoleID, Permission: ConsoleAudit, Level: LevelView, Scope: Scope{Everywhere: true}}
	later := deny
	later.From = noon.Add(time.Hour)
	soon := full(owner("o1", "ada"))
	soon.Until = noon.Add(time.Hour)
	limited := full(owner("o1", "ada"))
	limited.Scope = Scope{Sites: map[DimensionID]Selection{"site": {Sites: []SiteID{"nl"}}}}
	masked := full(owner("o1", "ada"))
	masked.Mask = []PermissionID{ConsoleSettings}
	other := full(owner("o2", "bob"))
	past := full(owner("o2", "bob"))
	past.Until = noon

	for _, c := range []struct {
		why    string
		change func(*testing.T, *State)
		also   func(*testing.T, *State) // holds before, too
		want   bool                     // refused
	}{
		{why: "nothing happens", change: with()},
		{why: "the provider deactivates her", change: person("ada", func(p *Person) { p.Active = false }), want: true},
		{why: "her sign-in is blocked", change: person("ada", func(p *Person) { p.LoginAllowed = false }), want: true},
		{why: "she is deleted", change: func(_ *testing.T, st *State) {
			st.Facts.People = maps.Clone(st.Facts.People)
			delete(st.Facts.People, "ada")
		}, want: true},
		{why: "her account gets an end", change: person("ada", func(p *Person) { p.ExpiresAt = noon.Add(time.Hour) }), want: true},
		{why: "her grant is ended", change: func(t *testing.T, st *State) { st.Policy, _ = st.Policy.Without("o1") }, want: true},
		{why: "her grant gets an end", change: with(soon), want: true},
		{why: "her grant is limited to a site", change: with(limited), want: true},
		{why: "a mask takes something from her", change: with(masked), want: true},
		{why: "a deny for a group reaches her", change: with(deny), want: true},
		{why: "a deny that starts later will reach her", change: with(later), want: true},
		{why: "an import makes somebody else of her grant", change: with(full(owner("o1", "nobody"))), want: true},
		{why: "she goes, and another is there", change: person("ada", func(p *Person) { p.Active = false }), also: with(other)},
		{why: "she goes, and the other's time is over", change: person("ada", func(p *Person) { p.Active = false }), also: with(past), want: true},
		{why: "she hands over", change: with(full(owner("o1", "bob")))},
		{why: "somebody else goes", change: person("bob", func(p *Person) { p.Active = false })},
	} {
		before := simple(t, owner("o1", "ada"))
		if c.also != nil {
			c.also(t, &before)
		}
		after := before
		c.change(t, &after)
		if err := KeepsOwner(before, after); errors.Is(err, ErrLastOwner) != c.want {
			t.Errorf("%s: %v, want refused %v", c.why, err, c.want)
		}
		// With nobody but the candidates in the facts the answer is the same.
		var few [2]State
		for i, st := range []State{before, after} {
			few[i] = st
			few[i].Facts.People = make(map[UserID]Person)
			for _, id := range append(before.Policy.OwnerCandidates(), after.Policy.OwnerCandidates()...) {
				if p, ok := st.Facts.People[id]; ok {
					few[i].Facts.People[id] = p
				}
			}
		}
		if err := KeepsOwner(few[0], few[1]); errors.Is(err, ErrLastOwner) != c.want {
			t.Errorf("%s, candidates only: %v, want refused %v", c.why, err, c.want)
		}
	}

	empty := simple(t)
	if err := KeepsOwner(empty, simple(t, Grant{ID: "g", Subject: Grantee{User: "ada"}, Role: "reader"})); err != nil {
		t.Errorf("without an owner yet nothing can be done: %v", err)
	}
}

// TestOwnerCannotGrantAboveOwnAccess and its kin (Teleport GHSA-76cc).
func TestWhoMayChangeWhichGrant(t *testing.T) {
	t.Parallel()
	nl := Scope{Sites: map[DimensionID]Selection{"site": {Sites: []SiteID{"nl"}}}}
	utrecht := Scope{Sites: map[DimensionID]Selection{"site": {Sites: []SiteID{"utrecht"}}}}
	everywhere := Scope{Everywhere: true}
	st := simple(t,
		Grant{ID: "o", Subject: Grantee{User: "ada"}, Product: ConsoleID, Role: RoleOwner},
		Grant{ID: "a", Subject: Grantee{User: "bob"}, Product: ConsoleID, Role: RoleAccessAdministrator, Until: noon.Add(24 * time.Hour)},
		Grant{ID: "s", Subject: Grantee{User: "cor"}, Product: ConsoleID, Role: RoleSiteAdministrator, Scope: utrecht},
		Grant{ID: "u", Subject: Grantee{User: "dirk"}, Product: ConsoleID, Role: RoleAuditor},
		Grant{ID: "d", Subject: Grantee{Group: "staff"}, Effect: Deny, Permission: "payroll", Level: "view"},
	)
	site := func(to Grantee, role RoleID, scope Scope) *Grant {
		return &Grant{ID: "new", Subject: to, Effect: Allow, Product: ConsoleID, Role: role, Scope: scope}
	}
	wiki := func(to Grantee) *Grant {
		return &Grant{ID: "new", Subject: to, Effect: Allow, Product: "wiki", Role: "reader", Scope: everywhere}
	}
	deny, _ := st.Policy.Grant("d")
	owner, _ := st.Policy.Grant("o")
	term, _ := st.Policy.Grant("a")
	longer := term
	longer.Until = noon.Add(48 * time.Hour)
	for _, c := range []struct {
		why           string
		actor         UserID
		before, after *Grant
		want          ObjectionReason // the first; empty if the actor may
	}{
		{"an owner makes an owner", "ada", nil, site(Grantee{User: "bob"}, RoleOwner, everywhere), ""},
		{"an owner takes something herself", "ada", nil, wiki(Grantee{User: "ada"}), ""},
		{"an administrator maps a group", "bob", nil, wiki(Grantee{Group: "other"}), ""},
		{"an administrator takes something himself", "bob", nil, wiki(Grantee{User: "bob"}), ToOneself},
		{"an administrator maps his own group", "bob", nil, wiki(Grantee{Group: "staff"}), ToOneself},
		{"an administrator gives to everyone", "bob", nil, wiki(Grantee{Everyone: true}), ToOneself},
		{"an administrator ends a deny that reaches him", "bob", &deny, nil, ToOneself},
		{"an owner ends it", "ada", &deny, nil, ""},
		{"an administrator makes himself an owner", "bob", nil, site(Grantee{User: "bob"}, RoleOwner, everywhere), AboveOwnAccess},
		{"an administrator makes somebody an owner", "bob", nil, site(Grantee{User: "dirk"}, RoleOwner, everywhere), AboveOwnAccess},
		{"an administrator ends an owner's grant", "bob", &owner, nil, AboveOwnAccess},
		{"an administrator makes a site administrator", "bob", nil, site(Grantee{User: "dirk"}, RoleSiteAdministrator, nl), ""},
		{"an administrator makes an auditor", "bob", nil, site(Grantee{User: "dirk"}, RoleAuditor, everywhere), ""},
		{"a site administrator makes another at the own site", "cor", nil, site(Grantee{User: "dirk"}, RoleSiteAdministrator, utrecht), ""},
		{"a site administrator at the site above", "cor", nil, site(Grantee{User: "dirk"}, RoleSiteAdministrator, nl), OutsideOwnSites},
		{"a site administrator widens a grant", "cor", site(Grantee{User: "dirk"}, RoleSiteAdministrator, utrecht), site(Grantee{User: "dirk"}, RoleSiteAdministrator, everywhere), OutsideOwnSites},
		{"a site administrator touches a wider grant", "cor", site(Grantee{User: "dirk"}, RoleSiteAdministrator, nl), site(Grantee{User: "dirk"}, RoleSiteAdministrator, utrecht), OutsideOwnSites},
		{"a site administrator makes an auditor of the site", "cor", nil, site(Grantee{User: "dirk"}, RoleAuditor, utrecht), AboveOwnAccess},
		{"a site administrator where there are no sites", "cor", nil, wiki(Grantee{User: "dirk"}), OutsideOwnSites},
		{"a site administrator with an empty scope", "cor", nil, site(Grantee{User: "dirk"}, RoleSiteAdministrator, Scope{}), Unreadable},
		{"an administrator lengthens his own term", "bob", &term, &longer, AboveOwnAccess},
		{"an owner lengthens it", "ada", &term, &longer, ""},
		{"an auditor changes nothing", "dirk", nil, wiki(Grantee{User: "cor"}), OutsideOwnSites},
		{"a stranger changes nothing", "nobody", nil, wiki(Grantee{User: "cor"}), OutsideOwnSites},
		{"an unknown role can't be weighed", "ada", nil, site(Grantee{User: "bob"}, "lord", everywhere), Unreadable},
	} {
		got := st.Policy.MayChange(st.Facts.Subject(c.actor), c.before, c.after, noon)
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) == 0 || got[0].Reason != c.want) {
			t.Errorf("%s: %+v, want %q", c.why, got, c.want)
		}
	}
}

// A grant at a site reaches everything below it, so the right to change it has to.
func TestAHoleInTheOwnSitesIsOutside(t *testing.T) {
	t.Parallel()
	scope := func(site SiteID) Scope {
		return Scope{Sites: map[DimensionID]Selection{"site": {Sites: []SiteID{site}}}}
	}
	admin := Grant{ID: "s", Subject: Grantee{User: "cor"}, Product: ConsoleID, Role: RoleSiteAdministrator, Scope: scope("nl")}
	hole := Grant{ID: "d", Subject: Grantee{User: "cor"}, Effect: Deny, Product: ConsoleID, Permission: ConsoleAccess, Level: LevelChange, Scope: scope("utrecht")}
	grant := Grant{ID: "new", Subject: Grantee{User: "dirk"}, Effect: Allow, Product: ConsoleID, Permission: ConsolePeople, Level: LevelView, Scope: scope("nl")}
	for want, st := range []State{simple(t, admin), simple(t, admin, hole)} {
		if got := st.Policy.MayChange(st.Facts.Subject("cor"), nil, &grant, noon); len(got) != want {
			t.Errorf("with %d holes: %+v", want, got)
		}
	}
}

func TestWhoMayLetPeopleIntoAGroup(t *testing.T) {
	t.Parallel()
	st := simple(t,
		Grant{ID: "a", Subject: Grantee{User: "bob"}, Product: ConsoleID, Role: RoleAccessAdministrator},
		Grant{ID: "g", Subject: Grantee{Group: "staff"}, Role: "reader"},
	)
	for _, c := range []struct {
		why    string
		actor  UserID
		member UserID
		group  GroupID
		want   bool
	}{
		{"an administrator lets somebody in", "bob", "cor", "staff", true},
		{"an administrator lets himself into a group in a group", "bob", "bob", "deep", true}, // he has it already, through staff
		{"nobody lets others in", "cor", "dirk", "deep", false},
	} {
		got := st.Policy.MayJoin(st.Facts.Subject(c.actor), c.member, c.group, st.Facts.Groups, noon)
		if (len(got) == 0) != c.want {
			t.Errorf("%s: %+v", c.why, got)
		}
	}
	bob := st.Facts.People["bob"]
	bob.Groups = nil
	st.Facts.People["bob"] = bob
	if got := st.Policy.MayJoin(st.Facts.Subject("bob"), "bob", "deep", st.Facts.Groups, noon); len(got) == 0 || got[0].Reason != ToOneself {
		t.Errorf("an administrator lets himself in: %+v", got)
	}
}

func TestMendersAreThoseWithTheRightThere(t *testing.T) {
	t.Parallel()
	utrecht := Scope{Sites: map[DimensionID]Selection{"site": {Sites: []SiteID{"utrecht"}}}}
	st := simple(t,
		Grant{ID: "o", Subject: Grantee{User: "ada"}, Product: ConsoleID, Role: RoleOwner},
		Grant{ID: "a", Subject: Grantee{User: "bob"}, Product: ConsoleID, Role: RoleAccessAdministrator},
		Grant{ID: "s", Subject: Grantee{User: "cor"}, Product: ConsoleID, Role: RoleSiteAdministrator, Scope: utrecht},
	)
	for _, c := range []struct {
		reason Reason
		site   SiteID
		want   []UserID
	}{
		{OtherSite, "utrecht", []UserID{"ada", "bob", "cor"}},
		{OtherSite, "nl", []UserID{"ada", "bob"}},
		{LoginBlocked, "utrecht", []UserID{"ada", "bob"}},
		{NotActive, "utrecht", nil},
		{UnknownPermission, "utrecht", []UserID{"ada"}},
		{UnknownSite, "gone", []UserID{"ada", "bob"}},
	} {
		q := Question{Product: "wiki", Permission: "pages", Level: "view", Place: Place{"site": c.site}}
		if got := Menders(st, q, c.reason); !slices.Equal(got, c.want) {
			t.Errorf("%s at %s: %v, want %v", c.reason, c.site, got, c.want)
		}
	}
}
