// Package seal closes secrets that the database has to give back, such as what we
// sign with, so that whoever reads a copy of it doesn't learn them. It knows no store
// and keeps nothing:
//
//	s, err := seal.New("gatehouse sign-in secrets", kept, secretKey)
//	sealed := s.Seal(connectionID, clientSecret)
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
)

// Sealer closes secrets by the setting secret-key where there is one, which a copy of
// the database lacks, and otherwise by a key in the database itself, which keeps them
// from the eyes of whoever reads a dump and no more.
type Sealer struct{ setting, database cipher.AEAD }

// New makes a sealer for a purpose; what was sealed for another doesn't open. kept is
// the key in the database. An empty secretKey stands for no setting.
func New(purpose string, kept []byte, secretKey string) (*Sealer, error) {
	s := &Sealer{}
	var err error
	if s.database, err = aead(purpose, kept); err == nil && secretKey != "" {
		s.setting, err = aead(purpose, []byte(secretKey))
	}
	return s, err
}

func aead(purpose string, key []byte) (cipher.AEAD, error) {
	derived, err := hkdf.Key(sha256.New, key, nil, purpose, 32)
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

// Seal closes a secret of what id names. It opens for that only.
func (s *Sealer) Seal(id, secret string) string {
	by, key := byDatabase, s.database
	if s.setting != nil {
		by, key = bySetting, s.setting
	}
	nonce := make([]byte, key.NonceSize())
	rand.Read(nonce)
	return by + base64.StdEncoding.EncodeToString(key.Seal(nonce, nonce, []byte(secret), []byte(id)))
}

// ErrSealed says that a secret was sealed with another secret-key, or for something
// else.
var ErrSealed = errors.New("sealed with another secret-key")

// Open gives the secret.
func (s *Sealer) Open(id, sealed string) (string, error) {
	key := s.database
	text, ok := strings.CutPrefix(sealed, byDatabase)
	if !ok {
		text, _ = strings.CutPrefix(sealed, bySetting)
		key = s.setting
	}
	data, err := base64.StdEncoding.DecodeString(text)
	if err != nil || key == nil || len(data) < key.NonceSize() {
		return "", ErrSealed
	}
	secret, err := key.Open(nil, data[:key.NonceSize()], data[key.NonceSize():], []byte(id))
	if err != nil {
		return "", ErrSealed
	}
	return string(secret), nil
}
