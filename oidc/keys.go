package oidc

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxKeys bounds the keys of an issuer that are looked at.
	maxKeys = 100
	// minKeyBits and maxKeyBits bound an RSA key: a weak one can be forged, and a
	// huge one costs us time.
	minKeyBits, maxKeyBits = 2048, 8192
)

// algorithms are those that an issuer may sign with, and the curve of each that
// has one (RFC 7518 §3, RFC 8037 §3.1). There is none with a shared secret: a
// public key is no secret.
var algorithms = map[jose.SignatureAlgorithm]elliptic.Curve{
	jose.RS256: nil, jose.RS384: nil, jose.RS512: nil,
	jose.PS256: nil, jose.PS384: nil, jose.PS512: nil,
	jose.ES256: elliptic.P256(), jose.ES384: elliptic.P384(), jose.ES512: elliptic.P521(),
	jose.EdDSA: nil,
}

// signingKey is a public key of an issuer's that may verify.
type signingKey struct {
	id        string
	algorithm string // the only one, if the issuer names one
	key       crypto.PublicKey
}

// fits reports whether the key can have signed a token that names that algorithm,
// and that id if it names one.
func (k signingKey) fits(algorithm jose.SignatureAlgorithm, id string) bool {
	if id != "" && k.id != id || k.algorithm != "" && k.algorithm != string(algorithm) {
		return false
	}
	curve, known := algorithms[algorithm]
	switch key := k.key.(type) {
	case *rsa.PublicKey:
		return known && curve == nil && algorithm != jose.EdDSA
	case *ecdsa.PublicKey:
		return known && curve == key.Curve
	case ed25519.PublicKey:
		return algorithm == jose.EdDSA
	}
	return false
}

// keysFor gives the issuer's keys that may have signed a token. There is at least
// one, or a refusal.
func (c *Client) keysFor(ctx context.Context, issuer, keysURL string, t token) ([]crypto.PublicKey, error) {
	fitting := func(all []signingKey) []crypto.PublicKey {
		var keys []crypto.PublicKey
		for _, k := range all {
			if k.fits(t.algorithm, t.keyID) {
				keys = append(keys, k.key)
			}
		}
		return keys
	}
	all, err := c.keys.find(ctx, issuer+" "+keysURL,
		func(all []signingKey) bool { return len(fitting(all)) > 0 },
		func(ctx context.Context) ([]signingKey, error) { return c.readKeys(ctx, keysURL) })
	if err != nil {
		return nil, err
	}
	keys := fitting(all)
	if len(keys) == 0 {
		return nil, refuse("key", "no signing key of the issuer fits %s and key id %.100q", t.algorithm, t.keyID)
	}
	return keys, nil
}

func (c *Client) readKeys(ctx context.Context, address string) ([]signingKey, error) {
	data, err := c.egress.getJSON(ctx, address)
	if err != nil {
		return nil, unavailable("keys", err)
	}
	keys, err := signingKeys(data)
	if err != nil {
		return nil, unavailable("keys from "+address, err)
	}
	return keys, nil
}

// signingKeys reads the keys of a set (RFC 7517 §5) that may verify. Others are
// left out: a set holds what its issuer needs elsewhere.
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
		if k, ok := readKey(one); ok {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// readKey reads a key that may verify: one for signatures (RFC 7517 §4.2, §4.3),
// strong, and public. One that was published with its private part is everybody's.
func readKey(data []byte) (signingKey, bool) {
	names, err := object(data)
	if err != nil {
		return signingKey{}, false
	}
	if operations, there := names["key_ops"]; there {
		var list []string
		if json.Unmarshal(operations, &list) != nil || !slices.Contains(list, "verify") {
			return signingKey{}, false
		}
	}
	var key jose.JSONWebKey
	if key.UnmarshalJSON(data) != nil || key.Use != "" && key.Use != "sig" {
		return signingKey{}, false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() < minKeyBits || public.N.BitLen() > maxKeyBits {
			return signingKey{}, false
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return signingKey{}, false
	}
	return signingKey{key.KeyID, key.Algorithm, key.Key}, true
}
