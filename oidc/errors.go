package oidc

import (
	"errors"
	"fmt"
)

var (
	// ErrRefused says that what was shown does not prove what it should. Behind it
	// is a *Refusal with the reason, unless it was an assertion.
	ErrRefused = errors.New("refused")
	// ErrUnavailable says that the identity provider can't be asked just now, so
	// that nothing can be said of anybody. Trying again later is right.
	ErrUnavailable = errors.New("identity provider unavailable")
	// ErrDenied says that the identity provider answered with an error of its own
	// (RFC 6749 §4.1.2.1). Behind it is a *Denial with the code.
	ErrDenied = errors.New("identity provider said no")
)

// Refusal is an ErrRefused with its reason.
type Refusal struct {
	// Reason is one of Reasons: the stable code for logs, counters and pages.
	Reason string
	// Cause is for the log, never for a page: it may quote what a stranger sent.
	Cause error
}

func (r *Refusal) Error() string { return fmt.Sprintf("%v (%s): %v", ErrRefused, r.Reason, r.Cause) }

// Is makes errors.Is(err, ErrRefused) hold.
func (r *Refusal) Is(target error) bool { return target == ErrRefused }

// Unwrap gives the cause.
func (r *Refusal) Unwrap() error { return r.Cause }

func refuse(reason, format string, args ...any) error {
	return &Refusal{reason, fmt.Errorf(format, args...)}
}

// Denial is what the identity provider said instead of who somebody is. It is an
// ErrUnavailable when the code is server_error or temporarily_unavailable, and an
// ErrDenied otherwise.
type Denial struct {
	// Code is the provider's, as access_denied or login_required: up to 100 letters
	// and signs of ASCII, not to be shown as HTML.
	Code string
}

func (d *Denial) Error() string { return fmt.Sprintf("%v: %q", ErrDenied, d.Code) }

// Is makes errors.Is(err, ErrDenied) or errors.Is(err, ErrUnavailable) hold.
func (d *Denial) Is(target error) bool {
	if d.Code == "server_error" || d.Code == "temporarily_unavailable" {
		return target == ErrUnavailable
	}
	return target == ErrDenied
}

// Reasons are all that a Refusal can have, with whose problem each is, for those
// who write pages about them.
var Reasons = map[string]string{
	"settings":     "the connection's settings can't work",
	"discovery":    "the provider's discovery document can't be used",
	"transaction":  "the answer is for a sign-in at another provider",
	"expired":      "the sign-in took longer than ten minutes",
	"state":        "the answer belongs to no sign-in, to another browser's, or to one that is over",
	"answer":       "the answer can be read in two ways, or in none",
	"answer_iss":   "the answer is another provider's (RFC 9207)",
	"code":         "there is no code, or the provider does not take it: too late, or used before",
	"client":       "the provider does not take our secret or key",
	"token_answer": "the provider's token endpoint answered something else",
	"token_type":   "the access token is not a bearer token",
	"token":        "the token is missing, malformed or too large",
	"header":       "the token's header asks for what we don't do",
	"typ":          "the token is for another purpose",
	"alg":          "the token is signed with an algorithm that the connection does not allow",
	"key":          "the provider publishes no key that fits the token",
	"signature":    "the provider's keys did not sign the token",
	"claims":       "the claims can be read in two ways, or in none",
	"iss":          "the token is another provider's",
	"sub":          "the token does not say who, or in a way that can't be an identity",
	"aud":          "the token is for somebody else",
	"azp":          "the token was given to somebody else",
	"exp":          "the token has ended, or has no end",
	"iat":          "the token is old, from the future, or says not when it was issued",
	"nbf":          "the token is not valid yet",
	"nonce":        "the token belongs to another sign-in",
	"at_hash":      "the token belongs to another access token",
	"auth_time":    "the person signed in at the provider too long ago",
	"userinfo":     "the provider's answer about the person can't be used",
	"userinfo_sub": "the provider's answer is about another person",
	"jti":          "the token can't be told from others",
	"sid":          "the token's session id is none",
	"events":       "the token is not about a logout",
	"sub_id":       "the request does not say whose sessions should end",
	"sub_id_email": "the request names an address of mail, which proves nothing about who it is",
	"sub_id_iss":   "the request is about another provider's person",
	"initiation":   "the link that should start a sign-in can't be read",
}

// Reason gives the stable code of any error of this package, for a log or a
// counter: that of a Refusal, or denied, or unavailable, or "" of none.
func Reason(err error) string {
	var refusal *Refusal
	switch {
	case errors.Is(err, ErrUnavailable):
		return "unavailable"
	case errors.Is(err, ErrDenied):
		return "denied"
	case errors.As(err, &refusal):
		return refusal.Reason
	case errors.Is(err, ErrRefused):
		return "refused"
	}
	return ""
}

// unavailable says that a provider could not be asked.
func unavailable(doing string, err error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, doing, err)
}
