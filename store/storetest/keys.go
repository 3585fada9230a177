package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

func (p place) addKey(t *testing.T, product access.ProductID, search bool) (key store.Key, secret string) {
	t.Helper()
	p.write(t, func(tx *store.Tx) (err error) {
		key, secret, err = tx.CreateKey(t.Context(), product, search, p.Now().Add(time.Hour))
		return err
	})
	return key, secret
}

func productKeys(t *testing.T, s *store.Store) {
	p := acme(t, s)
	p.addCatalogue(t)
	key, secret := p.addKey(t, "clicktime", true)
	if !strings.HasPrefix(secret, store.KeyPrefix) || !strings.HasSuffix(secret, key.Hint) {
		t.Errorf("secret %q of key %+v", secret, key)
	}
	got, err := p.AuthenticateKey(t.Context(), secret)
	if err != nil || got != key {
		t.Errorf("authenticated %+v, %v; want %+v", got, err, key)
	}
	for _, other := range []string{"", "ghp_", secret + "x", secret[:len(secret)-1], strings.ToUpper(secret), "\x00", "\xff"} {
		if _, err := p.AuthenticateKey(t.Context(), other); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%q: got %v, want %v", other, err, store.ErrNotFound)
		}
	}
	// A SCIM token is no product key, nor the other way round.
	var token string
	p.write(t, func(tx *store.Tx) (err error) {
		_, token, err = tx.CreateToken(t.Context(), p.conn, time.Time{})
		return err
	})
	_, err = p.AuthenticateKey(t.Context(), token)
	wantErr(t, "a SCIM token", err, store.ErrNotFound)
	_, err = p.Authenticate(t.Context(), secret)
	wantErr(t, "a product key as SCIM token", err, store.ErrNotFound)

	console, consoleSecret := p.addKey(t, access.ConsoleID, false)
	if got, err := p.AuthenticateKey(t.Context(), consoleSecret); err != nil || got.Product != access.ConsoleID || got.Search {
		t.Errorf("the console's: got %+v, %v", got, err)
	}
	later := p.Now().Add(time.Minute)
	used := console
	used.LastUsedAt = store.At(later)
	p.write(t, func(tx *store.Tx) error {
		return tx.TouchKeys(t.Context(), map[store.KeyID]store.Key{console.ID: used})
	})
	keys, err := p.Keys(t.Context(), p.ref.Tenant, access.ConsoleID)
	if err != nil || len(keys) != 1 || keys[0] != used {
		t.Errorf("keys of the console: got %+v, %v; want %+v", keys, err, used)
	}

	for _, name := range []access.ProductID{"nothing", "", "\x00", "CLICKTIME"} {
		p.refused(t, fmt.Sprintf("a key of %q", name), store.ErrNotFound, func(tx *store.Tx) error {
			_, _, err := tx.CreateKey(t.Context(), name, false, time.Time{})
			return err
		})
	}
	p.refused(t, "a key of another product revoked", store.ErrNotFound, func(tx *store.Tx) error {
		_, err := tx.RevokeKey(t.Context(), "clicktime", string(console.ID))
		return err
	})
	other := newPlace(t, s, "globex", "entra")
	other.refused(t, "a key of another tenant revoked", store.ErrNotFound, func(tx *store.Tx) error {
		_, err := tx.RevokeKey(t.Context(), access.ConsoleID, string(console.ID))
		return err
	})

	before := len(p.log(t))
	p.write(t, func(tx *store.Tx) error {
		_, err := tx.RevokeKey(t.Context(), "clicktime", key.Hint)
		return err
	})
	if got := p.log(t)[before:]; !slices.Equal(got, []string{store.KeyRevoked}) {
		t.Errorf("logged %v", got)
	}
	_, err = p.AuthenticateKey(t.Context(), secret)
	wantErr(t, "revoked", err, store.ErrNotFound)
	for range store.MaxLiveKeys {
		p.addKey(t, "clicktime", false)
	}
	p.refused(t, "one key too many", store.ErrLimit, func(tx *store.Tx) error {
		_, _, err := tx.CreateKey(t.Context(), "clicktime", false, time.Time{})
		return err
	})
}

// keysAreNotInherited removes a product and makes one of the same name: the keys of
// the first open nothing.
func keysAreNotInherited(t *testing.T, s *store.Store) {
	p := acme(t, s)
	p.addCatalogue(t)
	_, secret := p.addKey(t, "clicktime", false)
	p.write(t, func(tx *store.Tx) error { return tx.RemoveProduct(t.Context(), "clicktime") })
	p.write(t, func(tx *store.Tx) error { return tx.SetProduct(t.Context(), clicktime()) })
	// Not asked about before, so that no cache answers.
	if _, err := p.AuthenticateKey(t.Context(), secret); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a key of the product that was: got %v, want %v", err, store.ErrNotFound)
	}
	if keys, err := p.Keys(t.Context(), p.ref.Tenant, "clicktime"); err != nil || len(keys) != 0 {
		t.Errorf("keys of the new product: got %v, %v", keys, err)
	}
	_, fresh := p.addKey(t, "clicktime", false)
	if _, err := p.AuthenticateKey(t.Context(), fresh); err != nil {
		t.Errorf("a key of the new product: %v", err)
	}
}

func subjectsByAnyName(t *testing.T, s *store.Store) {
	p := acme(t, s)
	okta := newPlace(t, s, "acme", "okta")
	strange := newPlace(t, s, "globex", "entra")
	email := func(address string) map[string]any {
		return map[string]any{"emails": []any{map[string]any{"value": address}}}
	}
	ann := p.addUser(t, person("Ann", email("ann@corp.example")))
	same := p.addUser(t, person("same@corp.example", email("SAME@corp.example"))) // her name is her address
	p.addUser(t, person("x@corp.example", nil))
	okta.addUser(t, person("bob", email("x@corp.example")))
	p.addUser(t, person("twin", nil))
	okta.addUser(t, person("twin", nil))
	strange.addUser(t, person("eve", email("eve@corp.example")))
	for name, want := range map[string]store.UserID{"ann": ann.ID, "ANN": ann.ID, "ann@CORP.example": ann.ID, "same@corp.example": same.ID} {
		subject, _, err := p.Subject(t.Context(), p.ref.Tenant, store.Who{Name: name})
		if err != nil || subject.Person.ID != access.UserID(want) {
			t.Errorf("%s: got %s, %v; want %s", name, subject.Person.ID, err, want)
		}
		one, _, err := p.Somebody(t.Context(), p.ref.Tenant, name)
		if err != nil || one.ID != string(want) {
			t.Errorf("somebody %s: got %s, %v; want %s", name, one.ID, err, want)
		}
	}
	for name, want := range map[string]error{"x@corp.example": store.ErrAmbiguous, "twin": store.ErrAmbiguous, "eve": store.ErrNotFound, "eve@corp.example": store.ErrNotFound, "\x00": store.ErrNotFound, "": store.ErrNotFound} {
		_, _, err := p.Subject(t.Context(), p.ref.Tenant, store.Who{Name: name})
		wantErr(t, fmt.Sprintf("subject %q", name), err, want)
		_, _, err = p.Somebody(t.Context(), p.ref.Tenant, name)
		wantErr(t, fmt.Sprintf("somebody %q", name), err, want)
	}
	_, _, err := p.Subject(t.Context(), p.ref.Tenant, store.Who{Name: "ann", Email: "ann@corp.example"})
	wantErr(t, "two names at once", err, store.ErrNotFound)
}

// granted compares whom it finds with everybody, asked one by one.
func granted(t *testing.T, s *store.Store) {
	p := acme(t, s)
	tree := p.addCatalogue(t)
	var names []string
	for i := range 25 {
		names = append(names, fmt.Sprintf("u%02d", i))
	}
	ids := p.addPeople(t, names...)
	inner := p.addGroup(t, team("inner", nil), ids[2:9]...)
	outer := p.addGroup(t, team("outer", nil))
	if _, err := p.changeMembers(t, outer.ID, store.MemberDelta{Add: []store.MemberID{store.MemberID(inner.ID), store.MemberID(ids[20])}}); err != nil {
		t.Fatal(err)
	}
	p.addGrants(t,
		grant(toGroup(outer.ID), at(tree.eu)), grant(toUser(ids[3]), at(tree.eu)), grant(toUser(ids[12]), at(tree.berlin)), grant(toUser(ids[13]), at(tree.sydney)))
	ask := func(site access.SiteID) access.Question {
		return access.Question{Product: "clicktime", Permission: "timesheet", Level: "maintain", Place: access.Place{"site": site}}
	}
	all := func(q access.Question, groups bool, limit int) (found []string) {
		after := ""
		for {
			some, policy, err := p.Granted(t.Context(), p.ref.Tenant, q, groups, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, one := range some {
				if policy.Allows(one.Subject, q, p.Now()) {
					found = append(found, one.ID)
				}
				after = one.ID
			}
			if len(some) < limit {
				return found
			}
		}
	}
	check := func(why string) {
		t.Helper()
		for _, site := range []access.SiteID{tree.eu, tree.berlin, tree.sydney} {
			var want []string
			for _, id := range ids {
				if p.allows(t, id, site) {
					want = append(want, string(id))
				}
			}
			slices.Sort(want)
			for _, limit := range []int{1, 7, 100} {
				if got := all(ask(site), false, limit); !slices.Equal(got, want) {
					t.Errorf("%s: at %s, %d at a time: got %v, want %v", why, site, limit, got, want)
				}
			}
		}
	}
	check("through groups and alone")
	if got, want := all(ask(tree.berlin), true, 1), []string{string(inner.ID), string(outer.ID)}; !slices.Equal(got, sorted(want)) {
		t.Errorf("groups at berlin: got %v, want %v", got, want)
	}
	p.addGrants(t, grant(access.Grantee{Everyone: true}, at(tree.sydney)))
	check("everyone at sydney")
	if got := all(ask(tree.sydney), true, 1); len(got) != 2 {
		t.Errorf("groups at sydney: got %v, want both", got)
	}
	for _, name := range []string{"inner", "INNER", string(inner.ID)} {
		one, policy, err := p.GroupNamed(t.Context(), p.ref.Tenant, name)
		if err != nil || one.ID != string(inner.ID) || !policy.Allows(one.Subject, ask(tree.berlin), p.Now()) {
			t.Errorf("group %s: got %+v, %v", name, one, err)
		}
	}
	newPlace(t, s, "acme", "okta").addGroup(t, team("inner", nil))
	_, _, err := p.GroupNamed(t.Context(), p.ref.Tenant, "inner")
	wantErr(t, "two groups of a name", err, store.ErrAmbiguous)
	for _, name := range []string{"nobody", "", "\x00", string(ids[0])} {
		_, _, err := p.GroupNamed(t.Context(), p.ref.Tenant, name)
		wantErr(t, fmt.Sprintf("group %q", name), err, store.ErrNotFound)
	}
	_, _, err = p.Granted(t.Context(), p.ref.Tenant, ask(tree.eu), false, "nonsense", 1)
	wantErr(t, "after nonsense", err, store.ErrNotFound)
	known, err := p.Names(t.Context(), p.ref.Tenant, []access.UserID{access.UserID(ids[0])}, []access.GroupID{access.GroupID(outer.ID), "01890000-0000-7000-8000-00000000beef"})
	if err != nil || len(known) != 2 || known[string(ids[0])] != "u00" || known[string(outer.ID)] != "outer" {
		t.Errorf("names: got %v, %v", known, err)
	}
}
