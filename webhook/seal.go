package webhook

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

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
// with: by the setting secret-key where there is one, which a copy of the database
// lacks, and otherwise by a key in the database itself, which keeps them from the
// eyes of whoever reads a dump and no more.
type Sealer struct{ setting, database cipher.AEAD }

// NewSealer makes a sealer; an empty key stands for no setting.
func NewSealer(ctx context.Context, st *store.Store, secretKey string) (*Sealer, error) {
	kept, err := st.Secret(ctx, "webhooks")
	if err != nil {
		return nil, err
	}
	s := &Sealer{}
	if s.database, err = aead(kept); err == nil && secretKey != "" {
		s.setting, err = aead([]byte(secretKey))
	}
	return s, err
}

func aead(key []byte) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, "gatehouse webhook secrets", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(derived)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

const (
	bySetting  = "setting:"
	byDatabase = "database:"
)

// Seal closes a secret of a webhook. It opens for that webhook only.
func (s *Sealer) Seal(id store.WebhookID, secret string) string {
	by, key := byDatabase, s.database
	if s.setting != nil {
		by, key = bySetting, s.setting
	}
	nonce := make([]byte, key.NonceSize())
	rand.Read(nonce)
	return by + base64.StdEncoding.EncodeToString(key.Seal(nonce, nonce, []byte(secret), []byte(id)))
}

// ErrSealed says that a secret was sealed with another secret-key.
var ErrSealed = errors.New("the webhook's secret was sealed with another secret-key: set that one, or give the webhook a new secret ('gatehouse webhook rotate')")

// Open gives the secret.
func (s *Sealer) Open(id store.WebhookID, sealed string) (string, error) {
	key := s.database
	text, ok := strings.CutPrefix(sealed, byDatabase)
	if !ok {
		text, _ = strings.CutPrefix(sealed, bySetting)
		key = s.setting
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || key == nil || len(data) < key.NonceSize() {
		return "", fmt.Errorf("webhook %s: %w", id, ErrSealed)
	}
	secret, err := key.Open(nil, data[:key.NonceSize()], data[key.NonceSize():], []byte(id))
	if err != nil {
		return "", fmt.Errorf("webhook %s: %w", id, ErrSealed)
	}
	return string(secret), nil
}
