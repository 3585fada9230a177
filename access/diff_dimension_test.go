package access

import (
	"testing"
	"time"
)

// TestDiffOfANewDimension holds that a dimension which only one of two states has
// is none of the other's sites.
func TestDiffOfANewDimension(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	facts := Facts{People: map[UserID]Person{"ann": {ID: "ann", Active: true, LoginAllowed: true}}}
	sites := []Site{{ID: "nl", Dimension: "site"}, {ID: "be", Dimension: "site"}}
	after, err := NewPolicy(Catalogue{
		Dimensions: []Dimension{{ID: "site"}, {ID: "team"}},
		Sites:      append(sites, Site{ID: "guards", Dimension: "team"}),
		Products:   []Product{{ID: "p", Permissions: []Permission{{ID: "x"}}, Dimensions: []DimensionID{"team"}}},
	}, []Grant{{
		ID: "g", Subject: Grantee{User: "ann"}, Effect: Allow, Product: "p", Permission: "x", Level: LevelAllow,
		Scope: Scope{Sites: map[DimensionID]Selection{"team": {Sites: []SiteID{"guards"}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for why, catalogue := range map[string]Catalogue{
		"a tenant's first catalogue": {},
		"one more dimension":         {Dimensions: []Dimension{{ID: "site"}}, Sites: sites},
	} {
		before, err := NewPolicy(catalogue, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, forward := range []bool{true, false} {
			a, b := State{facts, before, at}, State{facts, after, at}
			if !forward {
				a, b = b, a
			}
			diff := Diff(a, b)
			if len(diff) != 1 || len(diff[0].Differences) != 1 {
				t.Fatalf("%s, forward %v: got %+v, want one difference of ann's", why, forward, diff)
			}
			team := diff[0].Differences[0].Area["team"]
			if len(diff[0].Differences[0].Area) != 1 || team.All || len(team.Sites) != 1 || team.Sites[0] != "guards" {
				t.Errorf("%s, forward %v: got area %+v, want the guards", why, forward, diff[0].Differences[0].Area)
			}
		}
	}
}
