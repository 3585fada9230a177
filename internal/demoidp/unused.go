package demoidp

import (
	"context"
	"errors"
	"time"

	"github.com/go-jose/go-jose/v4"
	zoidc "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// What follows is what op.Storage has beside, for what the demo doesn't do: refresh
// tokens, introspection, revocation and machines that sign in.

var errNotHere = errors.New("the demo's provider doesn't do this")

// CreateAccessAndRefreshTokens is for refresh tokens.
func (p *Provider) CreateAccessAndRefreshTokens(context.Context, op.TokenRequest, string) (string, string, time.Time, error) {
	return "", "", time.Time{}, errNotHere
}

// TokenRequestByRefreshToken is for refresh tokens.
func (p *Provider) TokenRequestByRefreshToken(context.Context, string) (op.RefreshTokenRequest, error) {
	return nil, errNotHere
}

// TerminateSession has nothing to end: the page asks each time.
func (p *Provider) TerminateSession(context.Context, string, string) error { return nil }

// RevokeToken has nothing to revoke.
func (p *Provider) RevokeToken(context.Context, string, string, string) *zoidc.Error { return nil }

// GetRefreshTokenInfo is for refresh tokens.
func (p *Provider) GetRefreshTokenInfo(context.Context, string, string) (string, string, error) {
	return "", "", op.ErrInvalidRefreshToken
}

// SetUserinfoFromScopes leaves it to SetUserinfoFromRequest.
func (p *Provider) SetUserinfoFromScopes(context.Context, *zoidc.UserInfo, string, string, []string) error {
	return nil
}

// SetUserinfoFromToken is for userinfo.
func (p *Provider) SetUserinfoFromToken(context.Context, *zoidc.UserInfo, string, string, string) error {
	return errNotHere
}

// SetIntrospectionFromToken is for introspection.
func (p *Provider) SetIntrospectionFromToken(context.Context, *zoidc.IntrospectionResponse, string, string, string) error {
	return errNotHere
}

// GetPrivateClaimsFromScopes has none to add.
func (p *Provider) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, nil
}

// GetKeyByIDAndClientID is for machines.
func (p *Provider) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errNotHere
}

// ValidateJWTProfileScopes is for machines.
func (p *Provider) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errNotHere
}

// Health is always good.
func (p *Provider) Health(context.Context) error { return nil }
