package oidc

import (
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// leeway is by how much our clock and the issuer's may differ.
	leeway = 2 * time.Minute
	// freshness is how old a token may be that was made for this one occasion.
	freshness = 10 * time.Minute
	// maxToken bounds a token in bytes. Entra's longest ID tokens name 200 groups, in
	// about 12,000.
	maxToken = 32 << 10
	// maxSubject bounds a subject in bytes (OpenID Connect Core 1.0 §2).
	maxSubject = 255
)

// tokenLetters are base64url's, and what parts a token.
const tokenLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

// token is a JWT that was read, and is not believed yet.
type token struct {
	raw       string
	algorithm jose.SignatureAlgorithm
	keyID     string // "" when it names none
	claims    claims
	jws       *jose.JSONWebSignature
}

// readToken reads a token of one of the types, in small letters, signed with one
// of the algorithms. A token needs no type (RFC 7519 §5.1); what has one must be
// meant for us: at+jwt (RFC 9068), dpop+jwt or secevent+jwt never are.
func readToken(raw string, max int, allowed []jose.SignatureAlgorithm, types []string) (token, error) {
	if len(raw) > max {
		return token{}, refuse("token", "larger than %d bytes", max)
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return token{}, refuse("token", "%d parts, want the three of a signed token", len(parts))
	}
	// encoding/base64 skips line breaks.
	if strings.ContainsFunc(raw, func(r rune) bool { return !strings.ContainsRune(tokenLetters, r) }) {
		return token{}, refuse("token", "letters that no token has (RFC 7515 §3.1)")
	}
	data, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		return token{}, refuse("token", "header: %w", err)
	}
	t := token{raw: raw}
	if err := t.readHeader(data, allowed, types); err != nil {
		return token{}, err
	}
	if t.jws, err = jose.ParseSignedCompact(raw, allowed); err != nil {
		return token{}, refuse("token", "%w", err)
	}
	if t.claims, err = object(t.jws.UnsafePayloadWithoutVerification()); err != nil {
		return token{}, refuse("claims", "claims: %w", err)
	}
	if err := t.claims.checkNames(tokenClaims); err != nil {
		return token{}, refuse("claims", "%w", err)
	}
	return t, nil
}

func (t *token) readHeader(data []byte, allowed []jose.SignatureAlgorithm, types []string) error {
	head, err := object(data)
	if err != nil {
		return refuse("header", "header: %w", err)
	}
	if err := head.checkNames([]string{"alg", "typ", "kid", "crit", "b64"}); err != nil {
		return refuse("header", "header: %w", err)
	}
	if _, there := head["crit"]; there {
		return refuse("header", "crit names extensions, and we know none (RFC 7515 §4.1.11)")
	}
	if _, there := head["b64"]; there {
		return refuse("header", "b64 is not for a JWT (RFC 7797 §7)")
	}
	algorithm, err := head.text("alg")
	t.algorithm = jose.SignatureAlgorithm(algorithm)
	if _, known := algorithms[t.algorithm]; err != nil || !known || !slices.Contains(allowed, t.algorithm) {
		return refuse("alg", "algorithm %.100q is none of %v", algorithm, allowed)
	}
	if typ, there, err := head.optional("typ"); there {
		if err != nil || !slices.Contains(types, strings.ToLower(typ)) {
			return refuse("typ", "typ %.100q is a token for another purpose", typ)
		}
	}
	if t.keyID, _, err = head.optional("kid"); err != nil {
		return refuse("header", "header: %w", err)
	}
	return nil
}

// signedBy checks the signature.
func (t token) signedBy(keys []crypto.PublicKey) error {
	for _, key := range keys {
		if _, err := t.jws.Verify(key); err == nil {
			return nil
		}
	}
	return refuse("signature", "the signature is not the issuer's")
}

// tokenClaims decide; none may come in another spelling, which another reader
// could take for the real one.
var tokenClaims = []string{"iss", "sub", "aud", "azp", "exp", "nbf", "iat", "auth_time", "jti", "sid", "tid", "nonce", "at_hash", "c_hash", "events"}

// checkNames refuses names that are a known one in another case, or with a letter
// that folds to the same.
func (c claims) checkNames(known []string) error {
	for name := range c {
		for _, k := range known {
			if name != k && strings.EqualFold(name, k) {
				return fmt.Errorf("%.100q looks like %s", name, k)
			}
		}
	}
	return nil
}

// checkIssuer wants iss exactly: a slash more is another issuer.
func (c claims) checkIssuer(want string) error {
	got, err := c.text("iss")
	if err != nil {
		return refuse("iss", "%w", err)
	}
	if got != want {
		return refuse("iss", "iss is %.200q, want %q", got, want)
	}
	return nil
}

// checkClient checks whom a token is for (OpenID Connect Core 1.0 §3.1.3.7, 3 to
// 5). One that is for others too must say that it was given to us, and by azp: any
// of the others could have it otherwise, and show it to us.
func (c claims) checkClient(client string) error {
	audiences, err := c.audiences()
	if err != nil {
		return refuse("aud", "%w", err)
	}
	if !slices.Contains(audiences, client) {
		return refuse("aud", "aud is %.300q, want %q", audiences, client)
	}
	azp, there, err := c.optional("azp")
	switch {
	case err != nil:
		return refuse("azp", "%w", err)
	case there && azp != client:
		return refuse("azp", "azp is %.200q, want %q", azp, client)
	case !there && len(audiences) > 1:
		return refuse("aud", "aud names %d, and no azp says that it was given to us", len(audiences))
	}
	return nil
}

// checkTimes checks that a token is in force and was issued just now, and gives
// when it was issued and when it ends.
func (c claims) checkTimes(now time.Time) (issued, expires time.Time, err error) {
	if expires, err = c.instant("exp"); err != nil {
		return issued, expires, refuse("exp", "%w", err)
	}
	if issued, err = c.instant("iat"); err != nil {
		return issued, expires, refuse("iat", "%w", err)
	}
	starts := issued
	if _, there := c["nbf"]; there {
		if starts, err = c.instant("nbf"); err != nil {
			return issued, expires, refuse("nbf", "%w", err)
		}
	}
	switch {
	case !now.Before(expires.Add(leeway)):
		err = refuse("exp", "it ended at %v", expires.UTC())
	case !issued.Before(expires):
		err = refuse("exp", "it ends before it was issued")
	case now.Add(leeway).Before(issued):
		err = refuse("iat", "it was issued at %v, in the future", issued.UTC())
	case now.Sub(issued) > freshness+leeway:
		err = refuse("iat", "it was issued at %v, more than %v ago", issued.UTC(), freshness)
	case now.Add(leeway).Before(starts):
		err = refuse("nbf", "it starts at %v, in the future", starts.UTC())
	}
	return issued, expires, err
}

// identifier reads a claim that names somebody or something: printable ASCII, so
// that no two of them look or fold alike, and none is cut.
func (c claims) identifier(name string) (string, error) {
	s, err := c.text(name)
	if err != nil {
		return "", err
	}
	if len(s) > maxSubject {
		return "", fmt.Errorf("%s is longer than %d bytes", name, maxSubject)
	}
	if !printable(s) || strings.TrimSpace(s) != s {
		return "", errors.New(name + " is not of printable ASCII")
	}
	return s, nil
}

// printable reports whether a text is of ASCII that can be seen, and blanks.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e })
}
