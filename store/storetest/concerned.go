package storetest

import (
	"errors"
	"slices"
	"testing"

	"gatehouse/access"
	"gatehouse/store"

	"github.com/google/go-cmp/cmp"
)

// concerned are those whom grants are for, with all their groups, as in the facts;
// nobody of another tenant, whatever id is asked for.
func concerned(t *testing.T, s *store.Store) {
	p, other := acme(t, s), newPlace(t, s, "globex", "okta")
	ctx := t.Context()
	var ann, bob, cid, zoe store.User
	var inner, outer, alone, theirs store.Group
	p.write(t, func(tx *store.Tx) (err error) {
		for name, u := range map[string]*store.User{"ann": &ann, "bob": &bob, "cid": &cid} {
			if *u, err = tx.CreateUser(ctx, p.ref, person(name, map[string]any{"displayName": name})); err != nil {
				return err
			}
		}
		if inner, _, err = tx.CreateGroup(ctx, p.ref, team("inner", nil), []store.MemberID{store.MemberID(ann.ID)}); err != nil {
			return err
		}
		if alone, _, err = tx.CreateGroup(ctx, p.ref, team("alone", nil), []store.MemberID{store.MemberID(ann.ID), store.MemberID(bob.ID)}); err != nil {
			return err
		}
		outer, _, err = tx.CreateGroup(ctx, p.ref, team("outer", nil), []store.MemberID{store.MemberID(inner.ID)})
		return err
	})
	p.write(t, func(tx *store.Tx) error {
		_, err := tx.ChangePerson(ctx, bob.ID, func(b store.Person) store.Person {
			b.LoginAllowed, b.Kind = false, access.KindClient
			return b
		})
		return err
	})
	other.write(t, func(tx *store.Tx) (err error) {
		if zoe, err = tx.CreateUser(ctx, other.ref, person("zoe", nil)); err != nil {
			return err
		}
		theirs, _, err = tx.CreateGroup(ctx, other.ref, team("inner", nil), []store.MemberID{store.MemberID(zoe.ID)})
		return err
	})
	facts, err := s.Facts(ctx, p.ref.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		why   string
		whom  access.Audience
		names []string
	}{
		{"nobody", access.Audience{}, nil},
		{"everyone", access.Audience{Everyone: true}, []string{"ann", "bob", "cid"}},
		{"a group", access.Audience{Groups: []access.GroupID{access.GroupID(alone.ID)}}, []string{"ann", "bob"}},
		{"who is in it through another", access.Audience{Groups: []access.GroupID{access.GroupID(outer.ID)}}, []string{"ann"}},
		{"a person and her group", access.Audience{Users: []access.UserID{access.UserID(ann.ID), access.UserID(cid.ID)}, Groups: []access.GroupID{access.GroupID(inner.ID)}}, []string{"ann", "cid"}},
		{"strangers", access.Audience{Users: []access.UserID{access.UserID(zoe.ID), "x", ""}, Groups: []access.GroupID{access.GroupID(theirs.ID), "guest-1"}}, nil},
	} {
		whom := func(*access.Policy) (access.Audience, error) { return test.whom, nil }
		look := func(c store.Concerned, err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%s: %v", test.why, err)
			}
			var names []string
			for id, one := range c.Facts.People {
				if diff := cmp.Diff(facts.People[id], one); diff != "" {
					t.Errorf("%s: %s", test.why, diff)
				}
				names = append(names, c.Users[id].Name)
			}
			slices.Sort(names)
			if !slices.Equal(names, test.names) || c.People != 3 {
				t.Errorf("%s: got %v of %d, want %v of 3", test.why, names, c.People, test.names)
			}
			if diff := cmp.Diff(facts.Groups, c.Facts.Groups); diff != "" {
				t.Errorf("%s: %s", test.why, diff)
			}
		}
		look(s.Concerned(ctx, p.ref.Tenant, whom))
		p.write(t, func(tx *store.Tx) error {
			look(tx.Concerned(ctx, whom))
			return nil
		})
	}

	sizes, err := s.GroupSizes(ctx, p.ref.Tenant, []access.GroupID{access.GroupID(alone.ID), access.GroupID(outer.ID), access.GroupID(theirs.ID), "x"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	want := map[access.GroupID]store.GroupSize{access.GroupID(alone.ID): {People: 1}, access.GroupID(outer.ID): {Groups: 1}}
	if diff := cmp.Diff(want, sizes); diff != "" {
		t.Error(diff)
	}
}

// proposals are found by the key that they were saved under, with their parts.
func proposals(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ctx, key := t.Context(), store.NewProposalKey()
	if _, _, err := s.Proposal(ctx, p.ref.Tenant, key); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("before it was saved: got %v, want %v", err, store.ErrNotFound)
	}
	var id store.ChangeID
	p.write(t, func(tx *store.Tx) (err error) {
		if err = tx.SetDimension(ctx, access.Dimension{ID: "site"}); err != nil {
			return err
		}
		id, err = tx.LogProposal(key, store.SavedProposal{Digest: "d"})
		return err
	})
	c, saved, err := s.Proposal(ctx, p.ref.Tenant, key)
	if err != nil || c.ID != id || saved.Digest != "d" || len(saved.Parts) != 1 {
		t.Fatalf("got %+v, %+v, %v", c, saved, err)
	}
	part, err := s.ChangeByID(ctx, p.ref.Tenant, saved.Parts[0])
	if err != nil || part.Action != store.DimensionCreated {
		t.Errorf("got %+v, %v", part, err)
	}
	about, err := s.ChangesAbout(ctx, p.ref.Tenant, key, 10)
	if err != nil || len(about) != 1 || about[0].ID != id {
		t.Errorf("got %+v, %v", about, err)
	}
	for _, id := range []store.ChangeID{"x", store.ChangeID(key)} {
		if _, err := s.ChangeByID(ctx, p.ref.Tenant, id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: got %v, want %v", id, err, store.ErrNotFound)
		}
	}
	err = p.Write(ctx, p.actor, func(tx *store.Tx) error {
		_, err := tx.LogProposal("x", store.SavedProposal{})
		return err
	})
	if !errors.Is(err, store.ErrInvalid) {
		t.Errorf("a key that is none: got %v, want %v", err, store.ErrInvalid)
	}
}
