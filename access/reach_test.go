package access

import (
	"testing"
	"time"
)

func TestReach(t *testing.T) {
	t.Parallel()
	catalogue := Catalogue{
		Dimensions: []Dimension{{ID: "site"}, {ID: "team"}, {ID: "region"}},
		Sites: []Site{
			{ID: "eu", Dimension: "site"}, {ID: "berlin", Dimension: "site", Parent: "eu"}, {ID: "mitte", Dimension: "site", Parent: "berlin"},
			{ID: "bonn", Dimension: "site", Parent: "eu", Archived: true}, {ID: "us", Dimension: "site"},
			{ID: "guards", Dimension: "team"}, {ID: "north", Dimension: "region"},
		},
		Products: []Product{{
			ID: "clicktime", Permissions: []Permission{{ID: "timesheet"}}, Dimensions: []DimensionID{"site", "team"},
			Roles: []Role{{ID: "staff", Permissions: map[PermissionID]Level{"timesheet": LevelAllow}}},
		}},
	}
	only := func(sites ...SiteID) Selection { return Selection{Sites: sites} }
	all := Selection{All: true}
	for _, test := range []struct {
		why        string
		site, team Selection
		everywhere bool
		ask        SiteID
		want       Reach
		ok         bool
	}{
		{why: "the site itself", site: only("berlin"), team: all, ask: "berlin", want: Reach{Above: "berlin"}, ok: true},
		{why: "a site above it", site: only("eu"), team: all, ask: "mitte", want: Reach{Above: "eu"}, ok: true},
		{why: "of two that nest the upper one", site: only("mitte", "eu"), team: all, ask: "mitte", want: Reach{Above: "eu"}, ok: true},
		{why: "a site below doesn't count", site: only("mitte"), team: all, ask: "berlin"},
		{why: "another site", site: only("us"), team: all, ask: "berlin"},
		{why: "ALL", site: all, team: all, ask: "berlin", ok: true},
		{why: "everywhere", everywhere: true, ask: "berlin", ok: true},
		{why: "for one team only", site: only("berlin"), team: only("guards"), ask: "mitte", want: Reach{Above: "berlin", Part: true}, ok: true},
		{why: "everywhere for one team", site: all, team: only("guards"), ask: "us", want: Reach{Part: true}, ok: true},
		{why: "for a team that isn't there", site: all, team: only("nobody"), ask: "us"},
		{why: "an archived site", everywhere: true, ask: "bonn"},
		{why: "a site that isn't there", everywhere: true, ask: "moon"},
		{why: "what the product doesn't scope by", everywhere: true, ask: "north"},
	} {
		scope := Scope{Everywhere: test.everywhere}
		if !test.everywhere {
			scope.Sites = map[DimensionID]Selection{"site": test.site, "team": test.team}
		}
		g := Grant{ID: "g", Subject: Grantee{Group: "crew"}, Effect: Allow, Product: "clicktime", Role: "staff", Scope: scope}
		p, err := NewPolicy(catalogue, []Grant{g})
		if err != nil {
			t.Fatal(err)
		}
		got, ok := p.Reach("g", test.ask)
		if got != test.want || ok != test.ok {
			t.Errorf("%s: got %+v, %v, want %+v, %v", test.why, got, ok, test.want, test.ok)
		}
		// Who is in the group has it at the site, if the team is one of the grant's.
		s := Subject{Person: Person{ID: "ann", Active: true, LoginAllowed: true}, Groups: []GroupID{"crew"}}
		has := p.Allows(s, Question{Product: "clicktime", Permission: "timesheet", Level: LevelAllow, Place: Place{"site": test.ask, "team": "guards"}}, time.Now())
		if has != ok && test.ask != "north" {
			t.Errorf("%s: reaches %v, but allows %v", test.why, ok, has)
		}
	}
	p, err := NewPolicy(catalogue, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p.Reach("none", "berlin"); ok {
		t.Error("a grant that isn't there reaches a site")
	}
}
