package storetest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/store"
)

// oauth is the contract of clients, their credentials and access tokens.
func oauth(t *testing.T, s *store.Store) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s *store.Store)
	}{
		{"OneClientAConnection", oneClient},
		{"SecretProvesItsClient", secretProvesItsClient},
		{"TwoLiveSecretsAtMost", twoLiveSecrets},
		{"SecretsLiveOneToThreeYears", secretLives},
		{"AccessTokenOpensItsConnection", accessTokenOpens},
		{"AccessTokenDiesWithWhatMadeIt", accessTokenDies},
		{"AssertionCountsOnce", assertionOnce},
		{"FederationIsReplaced", federationReplaced},
		{"NobodyElsesClient", nobodyElsesClient},
		{"SweepKeepsTheLiving", sweepKeeps},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, s) })
	}
	clean(t, s)
}

const year = 365 * 24 * time.Hour

// pins is a federation as Entra's would be.
var pins = store.Federation{
	Issuer: "https://login.example/acme/v2.0", Subject: "sync-fabric", EntraTenant: "acme", Audience: "api://gatehouse",
}

// oauthPlace is a connection of a tenant named for the test, with a client.
func oauthPlace(t *testing.T, s *store.Store, connection string) (place, store.Client) {
	t.Helper()
	p := newPlace(t, s, t.Name(), connection)
	var client store.Client
	p.write(t, func(tx *store.Tx) error {
		var err error
		client, err = tx.EnsureClient(t.Context(), p.conn)
		return err
	})
	return p, client
}

func (p place) secret(t *testing.T) (c store.Credential, secret string) {
	t.Helper()
	p.write(t, func(tx *store.Tx) error {
		var err error
		c, secret, err = tx.CreateSecret(t.Context(), p.conn, year)
		return err
	})
	return c, secret
}

func (p place) federate(t *testing.T, f store.Federation) (c store.Credential) {
	t.Helper()
	p.write(t, func(tx *store.Tx) error {
		var err error
		c, err = tx.Federate(t.Context(), p.conn, f)
		return err
	})
	return c
}

// accessToken gives the error of Write.
func (p place) accessToken(t *testing.T, c store.Credential, assertion string) (token store.Token, secret string, err error) {
	err = p.Write(t.Context(), p.actor, func(tx *store.Tx) error {
		var err error
		token, secret, err = tx.CreateAccessToken(t.Context(), c, time.Hour, assertion)
		return err
	})
	return token, secret, err
}

func (p place) mustAccessToken(t *testing.T, c store.Credential, assertion string) string {
	t.Helper()
	_, secret, err := p.accessToken(t, c, assertion)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Authenticate(t.Context(), secret); err != nil { // and it is in the cache now
		t.Fatalf("a fresh access token: %v", err)
	}
	return secret
}

func (p place) dead(t *testing.T, what, secret string) {
	t.Helper()
	_, err := p.Authenticate(t.Context(), secret)
	wantErr(t, what, err, store.ErrNotFound)
}

func oneClient(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := newPlace(t, s, t.Name(), "entra")
	_, err := s.Client(ctx, p.ref)
	wantErr(t, "no client yet", err, store.ErrNotFound)
	wantErr(t, "a secret without a client", p.Write(ctx, p.actor, func(tx *store.Tx) error {
		_, _, err := tx.CreateSecret(ctx, p.conn, year)
		return err
	}), store.ErrNotFound)
	var all sync.WaitGroup
	ids := make([]store.ClientID, 6)
	for i := range ids {
		all.Go(func() {
			err := p.Write(ctx, p.actor, func(tx *store.Tx) error {
				c, err := tx.EnsureClient(ctx, p.conn)
				ids[i] = c.ID
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := slices.Compact(ids); len(got) != 1 {
		t.Errorf("got clients %v, want one", got)
	}
	p.write(t, func(tx *store.Tx) error { _, err := tx.RevokeClient(ctx, p.conn); return err })
	_, err = s.Client(ctx, p.ref)
	wantErr(t, "a revoked client", err, store.ErrNotFound)
	p.write(t, func(tx *store.Tx) error {
		c, err := tx.EnsureClient(ctx, p.conn)
		if c.ID == ids[0] {
			t.Errorf("client id %s is used again", c.ID)
		}
		return err
	})
	want := []string{store.ConnectionCreated, store.ClientCreated, store.ClientRevoked, store.ClientCreated}
	if got := p.log(t); !slices.Equal(got[len(got)-len(want):], want) {
		t.Errorf("log: got %v, want %v at its end", got, want)
	}
}

func secretProvesItsClient(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p, client := oauthPlace(t, s, "entra")
	_, other := oauthPlace(t, s, "okta")
	credential, secret := p.secret(t)
	if !isSecret(store.ClientSecretPrefix, secret) || credential.Hint != secret[len(secret)-4:] {
		t.Errorf("got a secret of %d characters and hint %s, want %s, 256 bits, and its end", len(secret), credential.Hint, store.ClientSecretPrefix)
	}
	if got, err := s.AuthenticateClient(ctx, string(client.ID), secret); err != nil || got != credential || !got.IsSecret() {
		t.Errorf("got %+v, %v, want %+v", got, err, credential)
	}
	for _, wrong := range []struct{ id, secret string }{
		{string(client.ID), ""},
		{string(client.ID), secret + "x"},
		{string(client.ID), secret[:len(secret)-1]},
		{string(other.ID), secret},
		{"", secret},
		{"a\x00\xff", secret},
		{strings.ToUpper(string(client.ID)), secret},
		{string(client.ID), "a\x00\xff"},
	} {
		_, err := s.AuthenticateClient(ctx, wrong.id, wrong.secret)
		wantErr(t, "client "+wrong.id, err, store.ErrNotFound)
	}
	p.dead(t, "a client secret at the endpoint", secret)
}

func twoLiveSecrets(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p, client := oauthPlace(t, s, "entra")
	p.federate(t, pins) // is no secret, and takes no room
	var all sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for range 6 {
		all.Go(func() {
			err := p.Write(ctx, p.actor, func(tx *store.Tx) error {
				_, _, err := tx.CreateSecret(ctx, p.conn, year)
				return err
			})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if !errors.Is(err, store.ErrLimit) {
				t.Errorf("got %v, want %v", err, store.ErrLimit)
			}
		})
	}
	all.Wait()
	if made != store.MaxLiveSecrets {
		t.Errorf("%d secrets were made, want %d", made, store.MaxLiveSecrets)
	}
	credentials, err := s.Credentials(ctx, client)
	if err != nil || len(credentials) != store.MaxLiveSecrets+1 {
		t.Fatalf("got %v, %v, want two secrets and a federation", credentials, err)
	}
	revoke := func(idOrHint string) error {
		return p.Write(ctx, p.actor, func(tx *store.Tx) error { return tx.RevokeSecret(ctx, p.conn, idOrHint) })
	}
	wantErr(t, "an unknown hint", revoke("????"), store.ErrNotFound)
	for _, c := range credentials {
		if !c.IsSecret() {
			wantErr(t, "a federation as a secret", revoke(string(c.ID)), store.ErrNotFound)
			wantErr(t, "a federation by its empty hint", revoke(""), store.ErrNotFound)
			continue
		}
		if err := revoke("…" + c.Hint); err != nil {
			t.Error(err)
		}
		wantErr(t, "revoked again", revoke(string(c.ID)), store.ErrNotFound)
	}
	p.secret(t)
}

func secretLives(t *testing.T, s *store.Store) {
	p, _ := oauthPlace(t, s, "entra")
	for _, life := range []time.Duration{0, -year, year - time.Second, 3*year + 25*time.Hour, 100 * year} {
		err := p.Write(t.Context(), p.actor, func(tx *store.Tx) error {
			_, _, err := tx.CreateSecret(t.Context(), p.conn, life)
			return err
		})
		if err == nil {
			t.Errorf("a secret of %v was made", life)
		}
	}
	if c, _ := p.secret(t); c.ExpiresAt.Sub(c.CreatedAt.Time) != year {
		t.Errorf("got a secret from %v until %v, want a year", c.CreatedAt, c.ExpiresAt)
	}
}

func accessTokenOpens(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p, _ := oauthPlace(t, s, "entra")
	credential, _ := p.secret(t)
	before := len(p.log(t))
	token, secret, err := p.accessToken(t, credential, "")
	if err != nil {
		t.Fatal(err)
	}
	if !isSecret(store.AccessTokenPrefix, secret) || token.Hint != secret[len(secret)-4:] {
		t.Errorf("got a token of %d characters and hint %s, want %s, 256 bits, and its end", len(secret), token.Hint, store.AccessTokenPrefix)
	}
	if got := token.ExpiresAt.Sub(token.CreatedAt.Time); got != time.Hour {
		t.Errorf("it lives %v, want an hour", got)
	}
	for range 2 { // from the database, then from the cache
		got, err := s.Authenticate(ctx, secret)
		if err != nil || got.ID != token.ID || got.Ref() != p.ref || got.ExpiresAt != token.ExpiresAt {
			t.Errorf("got %+v, %v, want %+v", got, err, token)
		}
	}
	for _, wrong := range []string{store.AccessTokenPrefix, secret[:len(secret)-1], secret + "x", strings.ToUpper(secret), strings.TrimPrefix(secret, store.AccessTokenPrefix)} {
		p.dead(t, "secret "+wrong, wrong)
	}
	if got := p.log(t)[before:]; !slices.Equal(got, []string{store.AccessTokenCreated}) {
		t.Errorf("log: got %v, want the token alone", got)
	}
	client, err := s.Client(ctx, p.ref)
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Credentials(ctx, client)
	if err != nil || len(all) != 1 || all[0].LastUsedAt != token.CreatedAt {
		t.Errorf("got %+v, %v, want the secret last used at %v", all, err, token.CreatedAt)
	}
	if tokens, err := s.Tokens(ctx, p.ref); err != nil || len(tokens) > 0 {
		t.Errorf("got %v, %v, want it not among the long-lived", tokens, err)
	}
}

func accessTokenDies(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p, _ := oauthPlace(t, s, "entra")
	first, firstSecret := p.secret(t)
	second, _ := p.secret(t)
	federation := p.federate(t, pins)
	ofFirst, ofSecond, ofFederation := p.mustAccessToken(t, first, ""), p.mustAccessToken(t, second, ""), p.mustAccessToken(t, federation, "")

	p.write(t, func(tx *store.Tx) error { return tx.RevokeSecret(ctx, p.conn, string(first.ID)) })
	p.dead(t, "the token of a revoked secret", ofFirst)
	_, err := s.AuthenticateClient(ctx, string(first.ClientID), firstSecret)
	wantErr(t, "a revoked secret", err, store.ErrNotFound)
	_, _, err = p.accessToken(t, first, "")
	wantErr(t, "a token for a revoked secret", err, store.ErrNotFound)
	for what, secret := range map[string]string{"second": ofSecond, "federation": ofFederation} {
		if _, err := s.Authenticate(ctx, secret); err != nil {
			t.Errorf("the token of the %s: %v, want it alive", what, err)
		}
	}

	p.write(t, func(tx *store.Tx) error { _, err := tx.RevokeClient(ctx, p.conn); return err })
	p.dead(t, "the token of a revoked client's secret", ofSecond)
	p.dead(t, "the token of a revoked client's federation", ofFederation)
	_, err = s.FederationOf(ctx, string(federation.ClientID))
	wantErr(t, "the federation of a revoked client", err, store.ErrNotFound)
}

func assertionOnce(t *testing.T, s *store.Store) {
	p, _ := oauthPlace(t, s, "entra")
	other, _ := oauthPlace(t, s, "second")
	federation := p.federate(t, pins)
	var all sync.WaitGroup
	var mu sync.Mutex
	made := 0
	before := len(p.log(t))
	for range 6 {
		all.Go(func() {
			_, _, err := p.accessToken(t, federation, "jti-1")
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else if !errors.Is(err, store.ErrTaken) {
				t.Errorf("got %v, want %v", err, store.ErrTaken)
			}
		})
	}
	all.Wait()
	if made != 1 {
		t.Errorf("one assertion gave %d tokens, want 1", made)
	}
	if got := p.log(t)[before:]; len(got) != 1 {
		t.Errorf("log: got %v, want one token", got)
	}
	again := p.federate(t, pins)
	_, _, err := p.accessToken(t, again, "jti-1")
	wantErr(t, "after the same was pinned again", err, store.ErrTaken)
	p.mustAccessToken(t, again, "jti-2")
	for range 2 { // without an id nobody can tell
		p.mustAccessToken(t, again, "")
	}
	other.mustAccessToken(t, other.federate(t, pins), "jti-1")
}

func federationReplaced(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p, client := oauthPlace(t, s, "entra")
	first := p.federate(t, pins)
	got, err := s.FederationOf(ctx, string(client.ID))
	if err != nil || got != first || got.IsSecret() || got.Federation != pins {
		t.Errorf("got %+v, %v, want %+v", got, err, first)
	}
	token := p.mustAccessToken(t, first, "")
	moved := pins
	moved.Subject = "another service"
	second := p.federate(t, moved)
	p.dead(t, "the token of the federation before", token)
	if got, err := s.FederationOf(ctx, string(client.ID)); err != nil || got != second {
		t.Errorf("got %+v, %v, want the new pins", got, err)
	}
	p.write(t, func(tx *store.Tx) error { return tx.EndFederation(ctx, p.conn) })
	for _, id := range []string{string(client.ID), "", "nobody", "a\x00\xff", "00000000-0000-0000-0000-000000000000"} {
		_, err = s.FederationOf(ctx, id)
		wantErr(t, "federation of "+id, err, store.ErrNotFound)
	}
	wantErr(t, "end it again", p.Write(ctx, p.actor, func(tx *store.Tx) error { return tx.EndFederation(ctx, p.conn) }), store.ErrNotFound)
	for _, f := range []store.Federation{{}, {Issuer: "i", Subject: "s"}, {Issuer: "i", Audience: "a"}, {Issuer: "\x00", Subject: "s", Audience: "a"}} {
		if err := p.Write(ctx, p.actor, func(tx *store.Tx) error { _, err := tx.Federate(ctx, p.conn, f); return err }); err == nil {
			t.Errorf("%+v was pinned", f)
		}
	}
}

func nobodyElsesClient(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := newPlace(t, s, t.Name()+" p", "entra")
	other, _ := oauthPlace(t, s, "entra")
	credential, secret := other.secret(t)
	before := len(other.log(t))
	for what, write := range map[string]func(tx *store.Tx) error{
		"ensure client":  func(tx *store.Tx) error { _, err := tx.EnsureClient(ctx, other.conn); return err },
		"revoke client":  func(tx *store.Tx) error { _, err := tx.RevokeClient(ctx, other.conn); return err },
		"create secret":  func(tx *store.Tx) error { _, _, err := tx.CreateSecret(ctx, other.conn, year); return err },
		"revoke secret":  func(tx *store.Tx) error { return tx.RevokeSecret(ctx, other.conn, string(credential.ID)) },
		"federate":       func(tx *store.Tx) error { _, err := tx.Federate(ctx, other.conn, pins); return err },
		"end federation": func(tx *store.Tx) error { return tx.EndFederation(ctx, other.conn) },
		"make an access token": func(tx *store.Tx) error {
			_, _, err := tx.CreateAccessToken(ctx, credential, time.Hour, "")
			return err
		},
	} {
		if err := p.Write(ctx, p.actor, write); err == nil {
			t.Errorf("%s in another tenant: got no error", what)
		}
	}
	if got := other.log(t)[before:]; len(got) > 0 {
		t.Errorf("the other tenant's log: got %v, want nothing new", got)
	}
	if _, err := s.AuthenticateClient(ctx, string(credential.ClientID), secret); err != nil {
		t.Errorf("the other tenant's secret: %v, want it alive", err)
	}
}

func sweepKeeps(t *testing.T, s *store.Store) {
	p, _ := oauthPlace(t, s, "entra")
	credential, _ := p.secret(t)
	token := func(life time.Duration) (secret string) {
		p.write(t, func(tx *store.Tx) error {
			var err error
			_, secret, err = tx.CreateAccessToken(t.Context(), credential, life, "")
			return err
		})
		return secret
	}
	live := token(time.Hour)
	ended := token(-time.Second)
	p.dead(t, "an ended token", ended)
	for range 3 {
		token(-3 * time.Hour)
	}
	before := len(p.log(t))
	var swept []int
	for range 3 {
		p.write(t, func(tx *store.Tx) error {
			n, err := tx.SweepAccessTokens(t.Context(), 2)
			swept = append(swept, n)
			return err
		})
	}
	// The one that just ended stays, for the id of its assertion.
	if !slices.Equal(swept, []int{2, 1, 0}) {
		t.Errorf("swept %v, want the three old ones, two at a time", swept)
	}
	if _, err := s.Authenticate(t.Context(), live); err != nil {
		t.Errorf("the live token: %v", err)
	}
	if got := p.log(t)[before:]; len(got) > 0 {
		t.Errorf("log: got %v, want nothing", got)
	}
}
