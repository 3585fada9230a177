package storetest

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/store"
)

func tenants(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := newPlace(t, s, "École", "entra")
	for _, name := range []string{"École", "éCOLE", "E\u0301cole"} {
		if found, err := s.TenantNamed(ctx, name); err != nil || found.ID != p.ref.Tenant || found.Name != "École" {
			t.Errorf("tenant %q: got %+v, %v, want École", name, found, err)
		}
		err := s.Write(ctx, p.actor, func(tx *store.Tx) error {
			_, err := tx.CreateTenant(ctx, name)
			return err
		})
		wantErr(t, "create "+name, err, store.ErrTaken)
	}
	for _, name := range []string{"nobody", "", "a\x00b", "\xff"} {
		_, err := s.TenantNamed(ctx, name)
		wantErr(t, "tenant "+name, err, store.ErrNotFound)
	}

	// Replicas that start together all ask for the first tenant.
	var all sync.WaitGroup
	ids := make([]store.TenantID, 8)
	for i := range ids {
		all.Go(func() {
			found, err := s.EnsureTenant(ctx, store.Actor{Kind: store.ActorSystem}, store.DefaultTenant)
			if err != nil {
				t.Errorf("ensure: %v", err)
			}
			ids[i] = found.ID
		})
	}
	all.Wait()
	if len(slices.Compact(ids)) != 1 {
		t.Errorf("got tenants %v, want one", ids)
	}
	if all, err := s.Tenants(ctx); err != nil || len(all) != 2 {
		t.Errorf("got %v, %v, want 2 tenants", all, err)
	}
	err := s.Write(ctx, p.actor, func(tx *store.Tx) error {
		_, err := tx.CreateTenant(ctx, strings.Repeat("x", 3000))
		return err
	})
	wantErr(t, "a long name", err, store.ErrTooLong)
}

func connections(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := newPlace(t, s, "acme", "Entra")
	other := newPlace(t, s, "globex", "Entra")
	create := func(name string) error {
		return p.Write(ctx, p.actor, func(tx *store.Tx) error {
			_, err := tx.CreateConnection(ctx, name, store.IdPOkta)
			return err
		})
	}
	wantErr(t, "the name in capitals", create("ENTRA"), store.ErrTaken)
	wantErr(t, "a long name", create(strings.Repeat("x", 3000)), store.ErrTooLong)
	if err := create("okta"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"entra", "ENTRA", string(p.ref.ID)} {
		if c, err := s.ConnectionNamed(ctx, p.ref.Tenant, name); err != nil || c != p.conn {
			t.Errorf("connection %q: got %+v, %v, want %+v", name, c, err, p.conn)
		}
	}
	for _, name := range []string{"", "no", "00000000-0000-0000-0000", "a\x00b", "\xff", string(other.ref.ID)} {
		_, err := s.ConnectionNamed(ctx, p.ref.Tenant, name)
		wantErr(t, "connection "+name, err, store.ErrNotFound)
	}
	all, err := s.Connections(ctx, p.ref.Tenant)
	if err != nil || len(all) != 2 || all[0].Name != "Entra" || all[1].Name != "okta" {
		t.Errorf("got %v, %v, want Entra and okta", all, err)
	}
	clean(t, s)
}

func tenantsNeverMeet(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	second := newPlace(t, s, "acme", "okta")
	other := newPlace(t, s, "globex", "entra")
	var users []store.User
	var groups []store.Group
	for _, at := range []place{p, second, other} {
		u := at.addUser(t, person("ann", map[string]any{"externalId": "x1", "emails": []any{map[string]any{"value": "ann@x"}}}))
		users, groups = append(users, u), append(groups, at.addGroup(t, team("crew", nil), u.ID))
	}
	for i, at := range []place{p, second, other} {
		for _, f := range []store.Filter{
			compare("username", store.Equal, "ann"),
			compare("externalid", store.Equal, "x1"),
			store.Compare{Attr: multi("emails", "value"), Op: store.Equal, Value: "ann@x"},
			store.Compare{Attr: multi("groups", "value"), Op: store.Equal, Value: string(groups[i].ID)},
		} {
			found, total, err := s.Users(ctx, at.ref, store.Query{Filter: f, Limit: 10, Count: true})
			if err != nil || total != 1 || len(found) != 1 || found[0].ID != users[i].ID {
				t.Errorf("place %d, filter %v: got %v of %d, %v, want its own ann", i, f, found, total, err)
			}
		}
	}

	before := len(other.log(t))
	for _, at := range []place{second, other} { // another connection, another tenant
		foreign, err := store.UserID(""), error(nil)
		for i, o := range []place{second, other} {
			if o == at {
				foreign = users[i+1].ID
			}
		}
		foreignGroup, _, err := s.Groups(ctx, at.ref, store.Query{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []store.Filter{
			store.Compare{Attr: multi("groups", "value"), Op: store.Equal, Value: string(foreignGroup[0].ID)},
			compare("id", store.Equal, string(foreign)),
		} {
			if found, _, err := s.Users(ctx, p.ref, store.Query{Filter: f, Limit: 10}); err != nil || len(found) > 0 {
				t.Errorf("filter %v: got %v, %v, want nobody", f, found, err)
			}
		}
		_, err = s.User(ctx, p.ref, foreign, true)
		wantErr(t, "read a foreign user", err, store.ErrNotFound)
		_, err = s.Group(ctx, p.ref, foreignGroup[0].ID)
		wantErr(t, "read a foreign group", err, store.ErrNotFound)
		if got := p.members(t, foreignGroup[0].ID); len(got) > 0 {
			t.Errorf("members of a foreign group: got %v, want none", got)
		}
		wantErr(t, "delete a foreign user", p.Write(ctx, p.actor, func(tx *store.Tx) error {
			return tx.DeleteUser(ctx, p.ref, foreign)
		}), store.ErrNotFound)
		wantErr(t, "delete a foreign group", p.Write(ctx, p.actor, func(tx *store.Tx) error {
			return tx.DeleteGroup(ctx, p.ref, foreignGroup[0].ID)
		}), store.ErrNotFound)
		res, err := p.changeMembers(t, groups[0].ID, store.MemberDelta{Add: memberIDs(foreign)})
		if err != nil || res.Added != 0 || !slices.Equal(res.Unknown, memberIDs(foreign)) {
			t.Errorf("add a foreign user: got %+v, %v, want it unknown", res, err)
		}
	}

	// The actor of one tenant with the connection of another.
	_, secret := other.token(t)
	for what, write := range map[string]func(tx *store.Tx) error{
		"create user": func(tx *store.Tx) error { _, err := tx.CreateUser(ctx, other.ref, person("eve", nil)); return err },
		"update user": func(tx *store.Tx) error {
			_, err := tx.UpdateUser(ctx, other.ref, users[2].ID, func(u store.User) (store.User, error) { return person("eve", nil), nil })
			return err
		},
		"delete user": func(tx *store.Tx) error { return tx.DeleteUser(ctx, other.ref, users[2].ID) },
		"create group": func(tx *store.Tx) error {
			_, _, err := tx.CreateGroup(ctx, other.ref, team("evil", nil), nil)
			return err
		},
		"update group": func(tx *store.Tx) error {
			_, _, err := tx.UpdateGroup(ctx, other.ref, groups[2].ID, func(g store.Group) (store.Group, store.MemberDelta, error) {
				return g, store.MemberDelta{Replace: true}, nil
			})
			return err
		},
		"delete group": func(tx *store.Tx) error { return tx.DeleteGroup(ctx, other.ref, groups[2].ID) },
		"create token": func(tx *store.Tx) error {
			_, _, err := tx.CreateToken(ctx, other.conn, store.Instant{}.Time)
			return err
		},
		"revoke token": func(tx *store.Tx) error {
			_, err := tx.RevokeToken(ctx, other.conn, secret[len(secret)-4:])
			return err
		},
	} {
		if err := p.Write(ctx, p.actor, write); err == nil {
			t.Errorf("%s in another tenant: got no error", what)
		}
	}
	if got := other.log(t); len(got) != before+1 {
		t.Errorf("the other tenant's log: got %v, want only its token beyond the first %d", got, before)
	}
	if _, err := s.Authenticate(ctx, secret); err != nil {
		t.Errorf("the other tenant's token: %v, want it alive", err)
	}
	clean(t, s)
}

func (p place) token(t *testing.T) (token store.Token, secret string) {
	t.Helper()
	p.write(t, func(tx *store.Tx) error {
		var err error
		token, secret, err = tx.CreateToken(t.Context(), p.conn, store.Instant{}.Time)
		return err
	})
	return token, secret
}

func secretsAreMadeOnce(t *testing.T, s *store.Store) {
	var all sync.WaitGroup
	keys := make([][]byte, 8)
	for i := range keys {
		all.Go(func() {
			var err error
			if keys[i], err = s.Secret(t.Context(), "cursor"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, key := range keys {
		if len(key) != 32 || !bytes.Equal(key, keys[0]) {
			t.Errorf("got %x, want the 32 bytes %x", key, keys[0])
		}
	}
	if other, err := s.Secret(t.Context(), "session"); err != nil || bytes.Equal(other, keys[0]) {
		t.Errorf("another name: got %x, %v, want another key", other, err)
	}
}

// isSecret says whether text has the form of a secret: a prefix and 260 bits in
// letters and digits, so that no hint of its end looks like a flag.
func isSecret(prefix, text string) bool {
	random, ok := strings.CutPrefix(text, prefix)
	return ok && len(random) == 52 && strings.Trim(random, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

func tokenOpensItsConnection(t *testing.T, s *store.Store) {
	p := acme(t, s)
	token, secret := p.token(t)
	if !isSecret(store.TokenPrefix, secret) || token.Hint != secret[len(secret)-4:] {
		t.Errorf("got secret of %d characters and hint %s, want %s, 256 bits, and its end", len(secret), token.Hint, store.TokenPrefix)
	}
	for range 2 { // from the database, then from the cache
		if got, err := s.Authenticate(t.Context(), secret); err != nil || got != token || got.Ref() != p.ref {
			t.Errorf("got %+v, %v, want %+v", got, err, token)
		}
	}
	for _, wrong := range []string{"", secret[:len(secret)-1], secret + "x", strings.ToUpper(secret), string(token.ID), token.Hint} {
		_, err := s.Authenticate(t.Context(), wrong)
		wantErr(t, "secret "+wrong, err, store.ErrNotFound)
	}
}

func twoLiveTokensAtMost(t *testing.T, s *store.Store) {
	p := acme(t, s)
	var all sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for range 10 {
		all.Go(func() {
			err := p.Write(t.Context(), p.actor, func(tx *store.Tx) error {
				_, _, err := tx.CreateToken(t.Context(), p.conn, store.Instant{}.Time)
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				made++
			case !errors.Is(err, store.ErrLimit):
				t.Errorf("got %v, want %v", err, store.ErrLimit)
			}
		})
	}
	all.Wait()
	tokens, err := p.Tokens(t.Context(), p.ref)
	if made != store.MaxLiveTokens || len(tokens) != store.MaxLiveTokens || err != nil {
		t.Errorf("%d callers were given one, and %d exist (%v), want %d", made, len(tokens), err, store.MaxLiveTokens)
	}
}

func revokedAtOnce(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	token, secret := p.token(t)
	if _, err := s.Authenticate(ctx, secret); err != nil { // is in the cache now
		t.Fatal(err)
	}
	revoke := func(idOrHint string) error {
		return p.Write(ctx, p.actor, func(tx *store.Tx) error {
			_, err := tx.RevokeToken(ctx, p.conn, idOrHint)
			return err
		})
	}
	wantErr(t, "an unknown hint", revoke("????"), store.ErrNotFound)
	if err := revoke("…" + token.Hint); err != nil {
		t.Fatal(err)
	}
	_, err := s.Authenticate(ctx, secret)
	wantErr(t, "a revoked token", err, store.ErrNotFound)
	wantErr(t, "revoked again", revoke(string(token.ID)), store.ErrNotFound)

	// Many at once end it once, and nobody who reads meanwhile keeps it alive.
	token, secret = p.token(t)
	before := len(p.log(t))
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if err := revoke(string(token.ID)); err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Error(err)
			}
			_, err := s.Authenticate(ctx, secret)
			wantErr(t, "a token that was just revoked", err, store.ErrNotFound)
		})
		all.Go(func() {
			if _, err := s.Authenticate(ctx, secret); err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := p.log(t)[before:]; !slices.Equal(got, []string{store.TokenRevoked}) {
		t.Errorf("log: got %v, want one revocation", got)
	}
}

func lastUse(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	token, _ := p.token(t)
	before := p.log(t)
	at := store.At(s.Now())
	earlier := store.At(at.Add(-1e9))
	for _, when := range []store.Instant{at, earlier} { // a late note never sets it back
		token.LastUsedAt = when
		p.write(t, func(tx *store.Tx) error {
			return tx.TouchTokens(ctx, map[store.TokenID]store.Token{token.ID: token})
		})
	}
	tokens, err := p.Tokens(ctx, p.ref)
	if err != nil || len(tokens) != 1 || tokens[0].LastUsedAt != at {
		t.Errorf("got %v, %v, want last use %v", tokens, err, at)
	}
	if c, err := p.ConnectionNamed(ctx, p.ref.Tenant, "entra"); err != nil || c.LastRequestAt != at {
		t.Errorf("connection: got %v, %v, want %v", c.LastRequestAt, err, at)
	}
	if got := p.log(t); !slices.Equal(got, before) {
		t.Errorf("log: got %v, want no change", got[len(before):])
	}
}
