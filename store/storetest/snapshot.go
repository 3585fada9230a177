package storetest

import (
	"testing"

	"gatehouse/access"
	"gatehouse/store"

	"github.com/google/go-cmp/cmp"
)

// snapshot has everything of one tenant, the same within a transaction.
func snapshot(t *testing.T, s *store.Store) {
	p, other := acme(t, s), newPlace(t, s, "globex", "okta")
	where := p.addCatalogue(t)
	var ann store.User
	var team7 store.Group
	for _, in := range []place{other, p} {
		in.write(t, func(tx *store.Tx) (err error) {
			if ann, err = tx.CreateUser(t.Context(), in.ref, person("ann", map[string]any{"displayName": "Ann"})); err != nil {
				return err
			}
			team7, _, err = tx.CreateGroup(t.Context(), in.ref, team("Team 7", nil), []store.MemberID{store.MemberID(ann.ID)})
			return err
		})
	}
	granted := p.addGrants(t, grant(toGroup(team7.ID), at(where.eu)))
	got, err := s.Snapshot(t.Context(), p.ref.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	want := store.Snapshot{
		Catalogue: got.Catalogue, // compared below
		Grants:    granted,
		Facts: access.Facts{
			People: map[access.UserID]access.Person{access.UserID(ann.ID): {
				ID: access.UserID(ann.ID), Kind: access.KindEmployee, Active: true, LoginAllowed: true, Groups: []access.GroupID{access.GroupID(team7.ID)},
			}},
			Groups: map[access.GroupID]access.Group{access.GroupID(team7.ID): {ID: access.GroupID(team7.ID), Name: "Team 7"}},
		},
		Users:  map[access.UserID]store.Named{access.UserID(ann.ID): {Name: "ann", DisplayName: "Ann", Connection: "entra"}},
		Groups: map[access.GroupID]store.Named{access.GroupID(team7.ID): {Name: "Team 7", Connection: "entra"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if c := got.Catalogue; len(c.Dimensions) != 1 || len(c.Sites) != 3 || len(c.Products) != 1 || c.Products[0].ID != "clicktime" {
		t.Errorf("catalogue: got %+v", c)
	}
	p.write(t, func(tx *store.Tx) error {
		if err := tx.EndGrants(t.Context(), granted[0].ID); err != nil {
			return err
		}
		within, err := tx.Snapshot(t.Context(), p.ref.Tenant)
		if len(within.Grants) != 0 || len(within.Users) != 1 {
			t.Errorf("within the transaction: got %+v", within)
		}
		return err
	})
}
