package ui

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"reflect"
	"sync"

	"gatehouse/internal/seal"
	"gatehouse/oidc"
	"gatehouse/store"
)

// signing is how the console speaks with providers. It keeps a client for each, and
// with it what the provider said of itself and its keys, until the settings change.
type signing struct {
	sealer *seal.Sealer
	egress *oidc.Egress
	client func() *oidc.Client

	mu     sync.Mutex
	opened map[store.ConnectionID]openedProvider
}

// openedProvider is a provider with its secret open.
type openedProvider struct {
	of       store.Provider
	client   *oidc.Client
	provider oidc.Provider
}

// maxOpened bounds how many providers are kept; more are forgotten and made again.
const maxOpened = 1000

// errNoSealer says that the server was made without what opens secrets.
var errNoSealer = errors.New("no sealer: secrets of providers can't be opened")

// open gives what one speaks with a provider with. base is our own address.
func (s *signing) open(p store.Provider, base string) (openedProvider, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, there := s.opened[p.ConnectionID]
	if !there || !reflect.DeepEqual(known.of, p) {
		provider, err := s.protocol(p)
		if err != nil {
			return openedProvider{}, fmt.Errorf("connection %s: %w", p.Name, err)
		}
		known = openedProvider{p, s.client(), provider}
		if s.opened == nil || len(s.opened) >= maxOpened {
			s.opened = map[store.ConnectionID]openedProvider{}
		}
		s.opened[p.ConnectionID] = known
	}
	known.provider.RedirectURL = base + "/oidc/callback"
	return known, nil
}

// protocol is a provider as package oidc wants it.
func (s *signing) protocol(p store.Provider) (oidc.Provider, error) {
	to := oidc.Provider{
		Issuer: p.Issuer, ClientID: p.ClientID, KeyID: p.KeyID,
		Scopes: p.Scopes, Algorithms: p.Algorithms, UserInfo: p.UserInfo,
	}
	if s.sealer == nil {
		return to, errNoSealer
	}
	secret, err := s.sealer.Open(string(p.ConnectionID), p.Sealed)
	if err != nil {
		return to, err
	}
	switch p.Auth {
	case oidc.ClientSecretBasic.String():
		to.Auth, to.ClientSecret = oidc.ClientSecretBasic, secret
		return to, nil
	case oidc.PrivateKeyJWT.String():
		to.Auth = oidc.PrivateKeyJWT
		to.Key, err = privateKey(secret)
		return to, err
	}
	return to, fmt.Errorf("unknown way to authenticate %q", p.Auth)
}

func privateKey(text string) (crypto.Signer, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("the private key is no PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the private key is no PKCS #8") // the error may quote it
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key can't sign")
	}
	return signer, nil
}

// provider gives that of a connection of any tenant. ErrNotFound when nobody may
// sign in with it.
func (s *Server) provider(ctx context.Context, id store.ConnectionID) (store.Provider, error) {
	c, err := s.store.ConnectionOf(ctx, id)
	if err != nil {
		return store.Provider{}, err
	}
	p, err := s.store.Provider(ctx, c)
	if err == nil && !p.Enabled {
		err = fmt.Errorf("provider of connection %s: %w: not enabled", p.Name, store.ErrNotFound)
	}
	return p, err
}
