// Package oidc is the protocol of tokens that others sign. It verifies the
// assertions that an identity provider shows instead of a secret (RFC 7523),
// and holds the one way out to addresses that others name. It knows neither
// sessions nor the store; its neighbour below is go-jose.
//
//	v := oidc.NewVerifier(oidc.NewEgress(false), nil)
//	assertion, err := v.VerifyAssertion(ctx, pinned, jwt)
package oidc

import (
	"context"
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
	// maxLife is an hour, and the five minutes by which Entra dates an assertion
	// back: the example that Microsoft prints lives 3,900 seconds.
	maxLife = time.Hour + 5*time.Minute
	// maxAssertion bounds an assertion in bytes; one of Entra's has about 2,000.
	maxAssertion = 12 << 10
)

var (
	// ErrRefused says that an assertion does not prove what it should.
	ErrRefused = errors.New("assertion refused")
	// ErrUnavailable says that the issuer's keys can't be had just now, so that
	// nothing can be said of an assertion.
	ErrUnavailable = errors.New("issuer unavailable")
)

// Pinned is what an assertion must say, each exactly.
type Pinned struct {
	Issuer   string
	Subject  string
	Audience string
	// EntraTenant is the claim tid; "" when the issuer has none.
	EntraTenant string
	// KeysURL is where the issuer's keys are; "" means that its discovery
	// document says so.
	KeysURL string
}

// Assertion is what a verified assertion says beside what was pinned.
type Assertion struct {
	// ID tells the assertion from others (jti); "" when it has none.
	ID string
	// ExpiresAt is when it ends.
	ExpiresAt time.Time
}

// Verifier verifies assertions; it is safe for use by many goroutines.
type Verifier struct {
	keys keyCache
	now  func() time.Time
}

// NewVerifier makes a verifier that fetches keys by way of e. now is the clock,
// for tests; nil means time.Now.
func NewVerifier(e *Egress, now func() time.Time) *Verifier {
	if now == nil {
		now = time.Now
	}
	return &Verifier{now: now, keys: keyCache{egress: e, now: now}}
}

// VerifyAssertion checks a client assertion (RFC 7523 §3): first what it says,
// then who says so. No key is fetched for one that says the wrong thing. The
// error is ErrRefused or ErrUnavailable, with the cause for the log.
//
// Whether an ID was used before is the caller's to know.
func (v *Verifier) VerifyAssertion(ctx context.Context, want Pinned, jwt string) (Assertion, error) {
	a, jws, err := v.read(want, jwt)
	if err != nil {
		return Assertion{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	id := jws.Signatures[0].Protected.KeyID
	keys, err := v.keys.find(ctx, want.Issuer, want.KeysURL, id)
	switch {
	case errors.Is(err, errUnknownKey):
		return Assertion{}, fmt.Errorf("%w: key %.100q: %w", ErrRefused, id, err)
	case errors.Is(err, ErrUnavailable):
		return Assertion{}, err
	case err != nil:
		return Assertion{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for _, k := range keys {
		if _, err := jws.Verify(k.key); err == nil {
			return a, nil
		}
	}
	return Assertion{}, fmt.Errorf("%w: the signature is not the issuer's", ErrRefused)
}

// read checks everything but the signature.
func (v *Verifier) read(want Pinned, jwt string) (Assertion, *jose.JSONWebSignature, error) {
	if len(jwt) > maxAssertion {
		return Assertion{}, nil, fmt.Errorf("larger than %d bytes", maxAssertion)
	}
	jws, err := jose.ParseSignedCompact(jwt, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return Assertion{}, nil, err
	}
	head, _, _ := strings.Cut(jwt, ".")
	if err := checkHeader(head); err != nil {
		return Assertion{}, nil, fmt.Errorf("header: %w", err)
	}
	c, err := object(jws.UnsafePayloadWithoutVerification())
	if err != nil {
		return Assertion{}, nil, fmt.Errorf("claims: %w", err)
	}
	if err := c.checkNames(); err != nil {
		return Assertion{}, nil, err
	}
	if err := c.checkPinned(want); err != nil {
		return Assertion{}, nil, err
	}
	a := Assertion{}
	if a.ExpiresAt, err = c.checkTimes(v.now()); err != nil {
		return Assertion{}, nil, err
	}
	if _, there := c["jti"]; there {
		if a.ID, err = c.text("jti"); err != nil {
			return Assertion{}, nil, err
		}
	}
	return a, jws, nil
}

// assertionTypes are the values of typ that an assertion may have (RFC 7519
// §5.1; Entra says JWT). Tokens for other purposes name themselves: at+jwt
// (RFC 9068), logout+jwt, dpop+jwt, secevent+jwt.
var assertionTypes = []string{"jwt", "client-authentication+jwt"}

func checkHeader(encoded string) error {
	data, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return err
	}
	head, err := object(data)
	if err != nil {
		return err
	}
	if _, there := head["crit"]; there {
		return errors.New("crit names extensions, and we know none (RFC 7515 §4.1.11)")
	}
	if _, there := head["b64"]; there {
		return errors.New("b64 is not for a JWT (RFC 7797 §7)")
	}
	if _, there := head["typ"]; there {
		typ, err := head.text("typ")
		if err != nil || !slices.Contains(assertionTypes, strings.ToLower(typ)) {
			return fmt.Errorf("typ %.100q is a token for another purpose", typ)
		}
	}
	return nil
}

// knownClaims decide; none may come in another spelling, which another reader
// could take for the real one.
var knownClaims = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "tid", "nonce", "at_hash", "c_hash", "events"}

// otherPurpose are the claims of ID tokens (OpenID Connect Core §2, §3.3.2.11) and
// of logout tokens, which the same issuer signs with the same keys.
var otherPurpose = []string{"nonce", "at_hash", "c_hash", "events"}

func (c claims) checkNames() error {
	for name := range c {
		for _, known := range knownClaims {
			if name != known && strings.EqualFold(name, known) {
				return fmt.Errorf("%.100q looks like %s", name, known)
			}
		}
	}
	for _, name := range otherPurpose {
		if _, there := c[name]; there {
			return fmt.Errorf("with %s it is a token for another purpose", name)
		}
	}
	return nil
}

func (c claims) checkPinned(want Pinned) error {
	if want.Issuer == "" || want.Subject == "" || want.Audience == "" {
		return errors.New("nothing is pinned")
	}
	for _, pin := range []struct{ name, want string }{{"iss", want.Issuer}, {"sub", want.Subject}, {"tid", want.EntraTenant}} {
		if pin.want == "" {
			continue
		}
		got, err := c.text(pin.name)
		if err != nil {
			return err
		}
		if got != pin.want {
			return fmt.Errorf("%s is %.200q, want %q", pin.name, got, pin.want)
		}
	}
	audience, err := c.audience()
	if err != nil {
		return err
	}
	if audience != want.Audience {
		return fmt.Errorf("aud is %.200q, want %q", audience, want.Audience)
	}
	return nil
}

// checkTimes gives the end of an assertion that is in force.
func (c claims) checkTimes(now time.Time) (time.Time, error) {
	expires, err := c.instant("exp")
	if err != nil {
		return time.Time{}, err
	}
	issued, err := c.instant("iat")
	if err != nil {
		return time.Time{}, err
	}
	starts := issued
	if _, there := c["nbf"]; there {
		if starts, err = c.instant("nbf"); err != nil {
			return time.Time{}, err
		}
	}
	switch {
	case !now.Before(expires.Add(leeway)):
		err = fmt.Errorf("it ended at %v", expires.UTC())
	case now.Add(leeway).Before(issued):
		err = fmt.Errorf("it was issued at %v, in the future", issued.UTC())
	case now.Add(leeway).Before(starts):
		err = fmt.Errorf("it starts at %v, in the future", starts.UTC())
	case expires.Sub(issued) > maxLife:
		err = fmt.Errorf("it lives %v, more than %v", expires.Sub(issued), maxLife)
	case !issued.Before(expires):
		err = errors.New("it ends before it was issued")
	}
	return expires, err
}
