package storetest

import (
	"testing"
	"time"

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

	// What there was stays to be asked about, by the names of then.
	earlier := p.Now()
	for !p.Now().After(earlier.Add(time.Millisecond)) { // its clock may be the computer's
	}
	before, err := s.SnapshotAt(t.Context(), p.ref.Tenant, earlier)
	if err != nil || len(before.Users) != 1 || len(before.Groups) != 1 {
		t.Fatalf("a moment ago: %v, got %+v", err, before)
	}
	p.write(t, func(tx *store.Tx) error {
		if err := tx.DeleteUser(t.Context(), p.ref, ann.ID); err != nil {
			return err
		}
		_, _, err := tx.UpdateGroup(t.Context(), p.ref, team7.ID, func(g store.Group) (store.Group, store.MemberDelta, error) {
			return rename(g, "Team 8"), store.MemberDelta{}, nil
		})
		return err
	})
	after, err := s.SnapshotAt(t.Context(), p.ref.Tenant, earlier)
	if diff := cmp.Diff(before, after); err != nil || diff != "" {
		t.Errorf("then, once she has left: %v\n%s", err, diff)
	}
	if got, err = s.Snapshot(t.Context(), p.ref.Tenant); err != nil || len(got.Users) != 0 || got.Groups[access.GroupID(team7.ID)].Name != "Team 8" {
		t.Errorf("now: %v, got %+v", err, got)
	}
}
