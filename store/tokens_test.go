package store_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/store"
)

// token makes one and uses it, so that the store has it in its cache.
func (p place) token(t *testing.T, expires time.Time) (token store.Token, secret string) {
	t.Helper()
	p.write(t, func(tx *store.Tx) error {
		var err error
		token, secret, err = tx.CreateToken(t.Context(), p.conn, expires)
		return err
	})
	if _, err := p.Authenticate(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	return token, secret
}

func TestTokenExpires(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		p := acme(t, open(t, url, store.Options{Now: c.Now}))
		_, secret := p.token(t, c.Now().Add(time.Hour))
		c.advance(time.Hour - time.Millisecond)
		if _, err := p.Authenticate(t.Context(), secret); err != nil {
			t.Errorf("just before: %v", err)
		}
		c.advance(time.Millisecond) // the cache still has it
		if _, err := p.Authenticate(t.Context(), secret); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("at its end: got %v, want %v", err, store.ErrNotFound)
		}
		p.token(t, time.Time{}) // the expired doesn't count: there is room for two
		p.token(t, time.Time{})
	})
}

func TestRevokedElsewhere(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		c := newClock()
		p := acme(t, open(t, url, store.Options{Now: c.Now}))
		other := open(t, url, store.Options{Now: c.Now})
		token, secret := p.token(t, time.Time{})
		if _, err := other.Authenticate(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		p.write(t, func(tx *store.Tx) error {
			_, err := tx.RevokeToken(t.Context(), p.conn, string(token.ID))
			return err
		})
		c.advance(500 * time.Millisecond)
		if _, err := other.Authenticate(t.Context(), secret); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("in the other store, 500 ms later: got %v, want %v", err, store.ErrNotFound)
		}
	})
}

func TestOnlyHashesAreKept(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		p := acme(t, open(t, url, store.Options{}))
		token, secret := p.token(t, time.Time{})
		p.write(t, func(tx *store.Tx) error {
			_, err := tx.RevokeToken(t.Context(), p.conn, string(token.ID))
			return err
		})
		content := contents(t, url)
		if !bytes.Contains(content, []byte(token.ID)) {
			t.Fatal("the token's id is not found: the search is blind")
		}
		if bytes.Contains(content, []byte(strings.TrimPrefix(secret, store.TokenPrefix))) {
			t.Error("the database holds the secret in clear")
		}
	})
}

// contents is all that the database holds.
func contents(t *testing.T, url string) (all []byte) {
	t.Helper()
	if file, ok := strings.CutPrefix(url, "sqlite://"); ok {
		files, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, text...)
		}
		return all
	}
	db := raw(t, url)
	for _, table := range column(t, db, `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'`) {
		for _, row := range column(t, db, `SELECT CAST(t AS text) FROM "`+table+`" t`) {
			all = append(all, row...)
		}
	}
	return all
}
