package storetest

import (
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// rolls counts people over groups and users, each once and live.
func rolls(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	stranger := newPlace(t, s, "globex", "entra")
	ann, bob := p.addUser(t, person("ann", nil)), p.addUser(t, person("bob", nil))
	carl, dora := p.addUser(t, person("carl", map[string]any{"active": false})), p.addUser(t, person("dora", nil))
	eva, fred := p.addUser(t, person("eva", nil)), p.addUser(t, person("fred", nil))
	zoe := stranger.addUser(t, person("zoe", nil))
	p.write(t, func(tx *store.Tx) error {
		if _, err := tx.ChangePerson(ctx, dora.ID, func(d store.Person) store.Person { d.LoginAllowed = false; return d }); err != nil {
			return err
		}
		_, err := tx.ChangePerson(ctx, fred.ID, func(d store.Person) store.Person { d.ExpiresAt = s.Now().Add(-time.Hour); return d })
		return err
	})
	inner := p.addGroup(t, team("inner", nil), ann.ID, bob.ID, carl.ID, dora.ID, fred.ID)
	outer := p.addGroup(t, team("outer", nil), ann.ID, eva.ID)
	void := p.addGroup(t, team("void", nil))
	theirs := stranger.addGroup(t, team("theirs", nil), zoe.ID)
	if _, err := p.changeMembers(t, outer.ID, store.MemberDelta{Add: []store.MemberID{store.MemberID(inner.ID)}}); err != nil {
		t.Fatal(err)
	}
	group := func(g store.Group) access.Grantee { return access.Grantee{Group: access.GroupID(g.ID)} }
	user := func(u store.User) access.Grantee { return access.Grantee{User: access.UserID(u.ID)} }
	var whom access.Audience
	for _, to := range []access.Grantee{group(inner), group(outer), group(void), group(theirs), user(ann), user(eva), user(carl), user(zoe)} {
		whom.Add(to)
	}
	got, err := s.Rolls(ctx, p.ref.Tenant, whom)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		why  string
		of   []access.Grantee
		want int
	}{
		{"nobody", nil, 0},
		{"who is live of a group", []access.Grantee{group(inner)}, 2},
		{"a group with another in it: nobody twice", []access.Grantee{group(outer)}, 3},
		{"both groups: nobody twice", []access.Grantee{group(outer), group(inner)}, 3},
		{"an empty group", []access.Grantee{group(void)}, 0},
		{"a group and one of its people", []access.Grantee{group(inner), user(ann)}, 2},
		{"a group and somebody else", []access.Grantee{group(inner), user(eva)}, 3},
		{"somebody who isn't live", []access.Grantee{user(carl)}, 0},
		{"another tenant's", []access.Grantee{group(theirs), user(zoe)}, 0},
		{"what wasn't asked for", []access.Grantee{user(bob)}, 0},
		{"everyone is no one in particular", []access.Grantee{{Everyone: true}}, 0},
	} {
		if n := got.Count(test.of); n != test.want {
			t.Errorf("%s: got %d, want %d", test.why, n, test.want)
		}
	}
	if none, err := s.Rolls(ctx, p.ref.Tenant, access.Audience{}); err != nil || none.People != 0 {
		t.Errorf("of nobody: got %+v, %v", none, err)
	}
}
