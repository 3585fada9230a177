package oidc

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"gatehouse/internal/egress"
)

const (
	// keysLife is how long keys are believed without asking again: a key that
	// the issuer withdrew works for no longer.
	keysLife = 10 * time.Minute
	// refetchPause is between two questions for a key that isn't there.
	refetchPause = time.Minute
	// failurePause is how long a failure is remembered, so that callers don't
	// queue up before an issuer that is down.
	failurePause = 5 * time.Second
	// maxIssuers bounds the cache; more are forgotten and asked again.
	maxIssuers = 1000
	// maxKeys bounds the keys of an issuer that are looked at.
	maxKeys = 100
	// minKeyBits and maxKeyBits bound an RSA key: a weak one can be forged, and a
	// huge one costs us time.
	minKeyBits, maxKeyBits = 2048, 8192
)

// errUnknownKey says that the issuer has no such key that may sign.
var errUnknownKey = errors.New("no signing key of the issuer fits")

// keyCache holds the keys of issuers.
type keyCache struct {
	egress *Egress
	now    func() time.Time

	mu      sync.Mutex
	issuers map[string]*issuerKeys
}

// issuerKeys are those of one issuer. busy holds one token: whoever has taken it
// may touch the rest.
type issuerKeys struct {
	busy    chan struct{}
	keys    []signingKey
	err     error // of the last question
	asked   time.Time
	fetched time.Time
}

type signingKey struct {
	id  string
	key *rsa.PublicKey
}

// find gives the keys with that id, all when it is "". It asks the issuer when
// what is known is too old, or does not hold the id.
func (c *keyCache) find(ctx context.Context, issuer, keysURL, id string) ([]signingKey, error) {
	k := c.of(issuer + " " + keysURL)
	select {
	case k.busy <- struct{}{}:
		defer func() { <-k.busy }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := c.now()
	fresh := !k.fetched.IsZero() && now.Sub(k.fetched) < keysLife
	if fresh {
		if found := withID(k.keys, id); len(found) > 0 {
			return found, nil
		}
		if now.Sub(k.asked) < refetchPause {
			return nil, errUnknownKey
		}
	}
	if k.err != nil && now.Sub(k.asked) < failurePause {
		return nil, k.err
	}
	keys, err := c.fetch(ctx, issuer, keysURL)
	k.asked = now
	if k.err = err; err != nil {
		return nil, err
	}
	k.keys, k.fetched = keys, now
	found := withID(keys, id)
	if len(found) == 0 {
		return nil, errUnknownKey
	}
	return found, nil
}

func (c *keyCache) of(issuer string) *issuerKeys {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.issuers[issuer]
	if k == nil {
		if c.issuers == nil || len(c.issuers) >= maxIssuers {
			c.issuers = map[string]*issuerKeys{}
		}
		k = &issuerKeys{busy: make(chan struct{}, 1)}
		c.issuers[issuer] = k
	}
	return k
}

func withID(keys []signingKey, id string) []signingKey {
	if id == "" {
		return keys
	}
	var found []signingKey
	for _, k := range keys {
		if k.id == id {
			found = append(found, k)
		}
	}
	return found
}

// fetch asks the issuer for its keys, and first where they are if need be. The
// two questions share one deadline.
func (c *keyCache) fetch(ctx context.Context, issuer, keysURL string) ([]signingKey, error) {
	// Others may wait for the same answer: it does not end with this caller.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), egress.Timeout)
	defer cancel()
	if keysURL == "" {
		var err error
		if keysURL, err = c.discover(ctx, issuer); err != nil {
			return nil, fmt.Errorf("%w: discovery: %w", ErrUnavailable, err)
		}
	}
	data, err := c.egress.getJSON(ctx, keysURL)
	if err != nil {
		return nil, fmt.Errorf("%w: keys: %w", ErrUnavailable, err)
	}
	keys, err := signingKeys(data)
	if err != nil {
		return nil, fmt.Errorf("%w: keys from %s: %w", ErrUnavailable, keysURL, err)
	}
	return keys, nil
}

// discover reads where the keys are (OpenID Connect Discovery 1.0 §4), and
// refuses a document that speaks for another issuer (§4.3).
func (c *keyCache) discover(ctx context.Context, issuer string) (string, error) {
	data, err := c.egress.getJSON(ctx, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", err
	}
	names, err := object(data)
	if err != nil {
		return "", err
	}
	var said, keysURL string
	if said, err = names.text("issuer"); err != nil {
		return "", err
	}
	if said != issuer {
		return "", fmt.Errorf("the document is that of issuer %.200q", said)
	}
	keysURL, err = names.text("jwks_uri")
	return keysURL, err
}

// signingKeys reads the keys of a set (RFC 7517 §5) that may verify an
// assertion. Others are left out: a set holds what its issuer needs elsewhere.
func signingKeys(data []byte) ([]signingKey, error) {
	names, err := object(data)
	if err != nil {
		return nil, err
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(names["keys"], &raw); err != nil {
		return nil, errors.New(`no list "keys"`)
	}
	if len(raw) > maxKeys {
		return nil, fmt.Errorf("%d keys, want at most %d", len(raw), maxKeys)
	}
	var keys []signingKey
	for _, one := range raw {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(one) != nil || key.Use != "" && key.Use != "sig" || key.Algorithm != "" && key.Algorithm != string(jose.RS256) {
			continue
		}
		public, ok := key.Key.(*rsa.PublicKey) // a private or symmetric key is none
		if !ok || public.N.BitLen() < minKeyBits || public.N.BitLen() > maxKeyBits {
			continue
		}
		keys = append(keys, signingKey{key.KeyID, public})
	}
	return keys, nil
}
