package oidc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	// maxLife is an hour, and the five minutes by which Entra dates an assertion
	// back: the example that Microsoft prints lives 3,900 seconds.
	maxLife = time.Hour + 5*time.Minute
	// maxAssertion bounds an assertion in bytes; one of Entra's has about 2,000.
	maxAssertion = 12 << 10
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

// VerifyAssertion checks a client assertion (RFC 7523 §3): first what it says,
// then who says so. No key is fetched for one that says the wrong thing. The
// error is ErrRefused or ErrUnavailable, with the cause for the log.
//
// Whether an ID was used before is the caller's to know.
func (c *Client) VerifyAssertion(ctx context.Context, want Pinned, jwt string) (Assertion, error) {
	t, err := readToken(jwt, maxAssertion, []jose.SignatureAlgorithm{jose.RS256}, assertionTypes)
	if err != nil {
		return Assertion{}, err
	}
	a, err := t.claims.assertion(want, c.now())
	if err != nil {
		return Assertion{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	keysURL := want.KeysURL
	if keysURL == "" {
		d, err := c.discover(ctx, want.Issuer)
		if err != nil {
			// A document that can't be used says nothing about who asks: try again later.
			return Assertion{}, fmt.Errorf("%w: discovery: %v", ErrUnavailable, err)
		}
		keysURL = d.KeysURL
	}
	keys, err := c.keysFor(ctx, want.Issuer, keysURL, t)
	if err != nil {
		return Assertion{}, err
	}
	if err := t.signedBy(keys); err != nil {
		return Assertion{}, err
	}
	return a, nil
}

// assertion checks all that an assertion says.
func (c claims) assertion(want Pinned, now time.Time) (a Assertion, err error) {
	for _, name := range otherPurpose {
		if _, there := c[name]; there {
			return Assertion{}, fmt.Errorf("with %s it is a token for another purpose", name)
		}
	}
	if err := c.checkPinned(want); err != nil {
		return Assertion{}, err
	}
	if a.ExpiresAt, err = c.checkLife(now); err != nil {
		return Assertion{}, err
	}
	if a.ID, _, err = c.optional("jti"); err != nil {
		return Assertion{}, err
	}
	return a, nil
}

// assertionTypes are the values of typ that an assertion may have (RFC 7519
// §5.1; Entra says JWT).
var assertionTypes = []string{"jwt", "client-authentication+jwt"}

// otherPurpose are the claims of ID tokens (OpenID Connect Core §2, §3.3.2.11) and
// of logout tokens, which the same issuer signs with the same keys.
var otherPurpose = []string{"nonce", "at_hash", "c_hash", "events"}

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
	audiences, err := c.audiences()
	if err != nil {
		return err
	}
	if len(audiences) != 1 || audiences[0] != want.Audience {
		return fmt.Errorf("aud is %.300q, want only %q", audiences, want.Audience)
	}
	return nil
}

// checkLife gives the end of an assertion that is in force.
func (c claims) checkLife(now time.Time) (time.Time, error) {
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
