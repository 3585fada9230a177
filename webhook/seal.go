package webhook

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"gatehouse/internal/seal"
	"gatehouse/store"
)

// SecretPrefix begins every secret of a webhook (Standard Webhooks).
const SecretPrefix = "whsec_"

// NewSecret makes a secret: 256 random bits. Its last characters before the
// padding are its hint.
func NewSecret() (secret, hint string) {
	var b [32]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	secret = SecretPrefix + base64.StdEncoding.EncodeToString(b[:])
	bare := strings.TrimRight(secret, "=")
	return secret, bare[len(bare)-4:]
}

// Sealer keeps secrets closed in the database, which has to give them back to sign
// with.
type Sealer struct{ seal *seal.Sealer }

// NewSealer makes a sealer; an empty key stands for no setting.
func NewSealer(ctx context.Context, st *store.Store, secretKey string) (*Sealer, error) {
	kept, err := st.Secret(ctx, "webhooks")
	if err != nil {
		return nil, err
	}
	s, err := seal.New("gatehouse webhook secrets", kept, secretKey)
	return &Sealer{s}, err
}

// Seal closes a secret of a webhook. It opens for that webhook only.
func (s *Sealer) Seal(id store.WebhookID, secret string) string {
	return s.seal.Seal(string(id), secret)
}

// ErrSealed says that a secret was sealed with another secret-key.
var ErrSealed = errors.New("the webhook's secret was sealed with another secret-key: set that one, or give the webhook a new secret ('gatehouse webhook rotate')")

// Open gives the secret.
func (s *Sealer) Open(id store.WebhookID, sealed string) (string, error) {
	secret, err := s.seal.Open(string(id), sealed)
	if err != nil {
		return "", fmt.Errorf("webhook %s: %w", id, ErrSealed)
	}
	return secret, nil
}
