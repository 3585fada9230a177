package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// AccessTokenPrefix begins every access token, and ClientSecretPrefix every
// client secret, so that secret scanners and people recognise a leaked one.
const (
	AccessTokenPrefix  = "gha_"
	ClientSecretPrefix = "ghc_"
)

// MaxLiveSecrets is how many secrets of a client work at a time: the old one and
// the new one while a provider is moved over.
const MaxLiveSecrets = 2

// A client secret lives between these; Entra's gallery wants one to three years.
const (
	MinSecretLife = 365 * 24 * time.Hour
	MaxSecretLife = 3*MinSecretLife + 24*time.Hour
)

// The life of access tokens is between these (Entra's gallery).
const (
	MinAccessTokenLife = time.Hour
	MaxAccessTokenLife = 6 * time.Hour
)

// replayWindow is how long an access token's row outlives the token. An
// assertion may be shown for a few minutes longer than the token lives that was
// given for it, and its id must be known for as long.
const replayWindow = time.Hour

type (
	// ClientID is what a provider calls itself at the token endpoint.
	ClientID string
	// CredentialID names a secret or the federation of a client.
	CredentialID string
)

// Client is what a provider is to the token endpoint (RFC 6749 §2): a connection
// has at most one that lives.
type Client struct {
	TenantID     TenantID     `db:"tenant_id" json:"tenant_id"`
	ID           ClientID     `db:"id" json:"id"`
	ConnectionID ConnectionID `db:"connection_id" json:"connection_id"`
	CreatedAt    Instant      `db:"created_at" json:"created_at"`
	RevokedAt    Instant      `db:"revoked_at" json:"revoked_at"`
}

// Federation is what the assertions of a client must say, each exactly
// (RFC 7523 §3). The zero Federation is none.
type Federation struct {
	Issuer  string `db:"issuer" json:"issuer"`
	Subject string `db:"subject" json:"subject"`
	// EntraTenant is the claim tid; "" for issuers that have none.
	EntraTenant string `db:"entra_tenant" json:"tenant_id"`
	Audience    string `db:"audience" json:"audience"`
	// KeysURL is where the issuer's keys are; "" means its discovery document
	// says so.
	KeysURL string `db:"keys_url" json:"keys_url"`
}

// Credential is what a client proves itself with: a secret, of which only the
// hash is kept, or a federation.
type Credential struct {
	TenantID     TenantID     `db:"tenant_id" json:"tenant_id"`
	ID           CredentialID `db:"id" json:"id"`
	ConnectionID ConnectionID `db:"connection_id" json:"connection_id"`
	ClientID     ClientID     `db:"client_id" json:"client_id"`
	// Hint is the end of the secret, to tell secrets apart; "" of a federation.
	Hint       string `db:"hint" json:"hint"`
	Federation `json:"federation"`
	CreatedAt  Instant `db:"created_at" json:"created_at"`
	// ExpiresAt is zero for a federation, which ends only when it is revoked.
	ExpiresAt  Instant `db:"expires_at" json:"expires_at"`
	RevokedAt  Instant `db:"revoked_at" json:"revoked_at"`
	LastUsedAt Instant `db:"last_used_at" json:"last_used_at"`
}

// IsSecret tells a secret from a federation.
func (c Credential) IsSecret() bool { return c.Federation == Federation{} }

// Live reports whether the credential works at that time.
func (c Credential) Live(now time.Time) bool {
	return c.RevokedAt.IsZero() && (c.ExpiresAt.IsZero() || now.Before(c.ExpiresAt.Time))
}

func (c Credential) ref() ConnectionRef { return ConnectionRef{Tenant: c.TenantID, ID: c.ConnectionID} }

func (c Credential) name() string {
	if c.IsSecret() {
		return "…" + c.Hint
	}
	return c.Issuer
}

const (
	clientColumns     = `tenant_id, id, connection_id, created_at, revoked_at`
	credentialColumns = `tenant_id, id, connection_id, client_id, hint, issuer, subject, entra_tenant, audience, keys_url,
		created_at, expires_at, revoked_at, last_used_at`
)

// Client gives the live client of a connection; ErrNotFound when there is none.
func (r reader) Client(ctx context.Context, c ConnectionRef) (Client, error) {
	var client Client
	err := r.get(ctx, &client, `SELECT `+clientColumns+` FROM clients
		WHERE tenant_id = ? AND connection_id = ? AND revoked_at = 0`, c.Tenant, c.ID)
	if err != nil {
		return client, fmt.Errorf("client: %w", err)
	}
	return client, nil
}

// Credentials gives all credentials of a client, the newest first, also the dead.
func (r reader) Credentials(ctx context.Context, c Client) ([]Credential, error) {
	all := []Credential{}
	err := r.list(ctx, &all, `SELECT `+credentialColumns+` FROM client_credentials
		WHERE tenant_id = ? AND client_id = ? ORDER BY id DESC`, c.TenantID, c.ID)
	return all, err
}

// AuthenticateClient finds the live secret. ErrNotFound when there is none that
// lives, or it is another client's: nothing tells these apart, also not through
// time, since what is looked for is the hash of the secret alone.
func (s *Store) AuthenticateClient(ctx context.Context, id, secret string) (Credential, error) {
	var c Credential
	err := s.get(ctx, &c, `SELECT `+credentialColumns+` FROM client_credentials WHERE hash = ?`, hashSecret(secret))
	if err == nil && (string(c.ClientID) != id || !c.Live(s.now())) {
		err = ErrNotFound
	}
	if err != nil {
		return Credential{}, fmt.Errorf("client secret: %w", err)
	}
	return c, nil
}

// FederationOf gives the live federation of a client; ErrNotFound when it has
// none, or does not exist.
func (s *Store) FederationOf(ctx context.Context, id string) (Credential, error) {
	// Any text is looked for alike, so that a malformed id takes as long.
	client := ClientID(id)
	if !validID(id) {
		client = "00000000-0000-0000-0000-000000000000"
	}
	var c Credential
	err := s.get(ctx, &c, `SELECT `+credentialColumns+` FROM client_credentials
		WHERE client_id = ? AND hash IS NULL AND revoked_at = 0`, client)
	if err != nil {
		return Credential{}, fmt.Errorf("federation: %w", err)
	}
	return c, nil
}

// EnsureClient gives the connection's live client, making it when there is none.
func (tx *Tx) EnsureClient(ctx context.Context, c Connection) (Client, error) {
	if err := tx.lockConnection(ctx, c); err != nil {
		return Client{}, err
	}
	client, err := tx.Client(ctx, c.Ref())
	if !errors.Is(err, ErrNotFound) {
		return client, err
	}
	client = Client{TenantID: c.TenantID, ID: ClientID(newID()), ConnectionID: c.ID, CreatedAt: tx.now}
	_, err = tx.exec(ctx, `INSERT INTO clients (tenant_id, id, connection_id, created_at) VALUES (?, ?, ?, ?)`,
		client.TenantID, client.ID, client.ConnectionID, client.CreatedAt)
	if err != nil {
		return Client{}, fmt.Errorf("client of connection %q: %w", c.Name, err)
	}
	tx.log(ClientCreated, subject{kind: "client", id: string(client.ID), name: c.Name, connection: c.ID}, nil)
	return client, nil
}

// RevokeClient ends the connection's client, all its credentials, and with them
// every access token.
func (tx *Tx) RevokeClient(ctx context.Context, c Connection) (Client, error) {
	if err := tx.lockConnection(ctx, c); err != nil {
		return Client{}, err
	}
	client, err := tx.Client(ctx, c.Ref())
	if err != nil {
		return Client{}, err
	}
	all, err := tx.Credentials(ctx, client)
	if err != nil {
		return Client{}, err
	}
	for _, credential := range all {
		if !credential.RevokedAt.IsZero() {
			continue
		}
		if err := tx.revoke(ctx, credential); err != nil {
			return Client{}, err
		}
	}
	client.RevokedAt = tx.now
	_, err = tx.exec(ctx, `UPDATE clients SET revoked_at = ? WHERE tenant_id = ? AND id = ?`, client.RevokedAt, client.TenantID, client.ID)
	if err != nil {
		return Client{}, err
	}
	tx.log(ClientRevoked, subject{kind: "client", id: string(client.ID), name: c.Name, connection: c.ID}, nil)
	return client, nil
}

// CreateSecret adds a secret to the connection's client and gives it; it can't
// be had again. It lives between MinSecretLife and MaxSecretLife. ErrNotFound
// when there is no client, ErrLimit when MaxLiveSecrets live ones exist.
func (tx *Tx) CreateSecret(ctx context.Context, c Connection, life time.Duration) (Credential, string, error) {
	if life < MinSecretLife || life > MaxSecretLife {
		return Credential{}, "", fmt.Errorf("a client secret of %v: it may live from %v to %v", life, MinSecretLife, MaxSecretLife)
	}
	if err := tx.lockConnection(ctx, c); err != nil {
		return Credential{}, "", err
	}
	client, err := tx.Client(ctx, c.Ref())
	if err != nil {
		return Credential{}, "", err
	}
	all, err := tx.Credentials(ctx, client)
	if err != nil {
		return Credential{}, "", err
	}
	live := 0
	for _, credential := range all {
		if credential.IsSecret() && credential.Live(tx.now.Time) {
			live++
		}
	}
	if live >= MaxLiveSecrets {
		return Credential{}, "", fmt.Errorf("the client of connection %q has %d live secrets: %w", c.Name, live, ErrLimit)
	}
	secret := newSecret(ClientSecretPrefix)
	credential := tx.newCredential(client)
	credential.Hint, credential.ExpiresAt = secret[len(secret)-4:], At(tx.now.Add(life))
	if err := tx.insertCredential(ctx, credential, hashSecret(secret)); err != nil {
		return Credential{}, "", err
	}
	return credential, secret, nil
}

// Federate makes f what the client's assertions must say. The federation that
// it had before ends, and the access tokens given for it.
func (tx *Tx) Federate(ctx context.Context, c Connection, f Federation) (Credential, error) {
	if f.Issuer == "" || f.Subject == "" || f.Audience == "" {
		return Credential{}, fmt.Errorf("a federation needs issuer, subject and audience: %w", ErrInvalid)
	}
	for _, text := range []string{f.Issuer, f.Subject, f.EntraTenant, f.Audience, f.KeysURL} {
		if !isText(text) {
			return Credential{}, fmt.Errorf("federation: %q is no text: %w", text, ErrInvalid)
		}
	}
	if err := tx.lockConnection(ctx, c); err != nil {
		return Credential{}, err
	}
	client, err := tx.Client(ctx, c.Ref())
	if err != nil {
		return Credential{}, err
	}
	if err := tx.endFederation(ctx, client); err != nil && !errors.Is(err, ErrNotFound) {
		return Credential{}, err
	}
	credential := tx.newCredential(client)
	credential.Federation = f
	if err := tx.insertCredential(ctx, credential, nil); err != nil {
		return Credential{}, err
	}
	return credential, nil
}

// EndFederation revokes the federation of the connection's client; ErrNotFound
// when there is none.
func (tx *Tx) EndFederation(ctx context.Context, c Connection) error {
	if err := tx.lockConnection(ctx, c); err != nil {
		return err
	}
	client, err := tx.Client(ctx, c.Ref())
	if err != nil {
		return err
	}
	return tx.endFederation(ctx, client)
}

func (tx *Tx) endFederation(ctx context.Context, client Client) error {
	return tx.revokeOne(ctx, client, func(c Credential) bool { return !c.IsSecret() && c.RevokedAt.IsZero() })
}

// RevokeSecret ends a secret of the connection's client, named by its id or its
// hint, and the access tokens given for it: at once in this process and within
// half a second in others.
func (tx *Tx) RevokeSecret(ctx context.Context, c Connection, idOrHint string) error {
	if err := tx.lockConnection(ctx, c); err != nil {
		return err
	}
	client, err := tx.Client(ctx, c.Ref())
	if err != nil {
		return err
	}
	err = tx.revokeOne(ctx, client, func(c Credential) bool {
		return c.IsSecret() && c.Live(tx.now.Time) && (string(c.ID) == idOrHint || c.Hint == strings.TrimPrefix(idOrHint, "…"))
	})
	if err != nil {
		return fmt.Errorf("live secret %q of connection %q: %w", idOrHint, c.Name, err)
	}
	return nil
}

func (tx *Tx) revokeOne(ctx context.Context, client Client, which func(Credential) bool) error {
	all, err := tx.Credentials(ctx, client)
	if err != nil {
		return err
	}
	for _, credential := range all {
		if which(credential) {
			return tx.revoke(ctx, credential)
		}
	}
	return ErrNotFound
}

// revoke ends a credential; its access tokens look at it whenever they are used.
func (tx *Tx) revoke(ctx context.Context, c Credential) error {
	_, err := tx.exec(ctx, `UPDATE client_credentials SET revoked_at = ? WHERE tenant_id = ? AND id = ?`, tx.now, c.TenantID, c.ID)
	if err != nil {
		return err
	}
	action := SecretRevoked
	if !c.IsSecret() {
		action = FederationRevoked
	}
	tx.log(action, subject{kind: "credential", id: string(c.ID), name: c.name(), connection: c.ConnectionID},
		map[string]any{"client": c.ClientID})
	tx.after = append(tx.after, tx.store.tokens.clear)
	return nil
}

func (tx *Tx) newCredential(client Client) Credential {
	return Credential{
		TenantID: client.TenantID, ID: CredentialID(newID()), ConnectionID: client.ConnectionID, ClientID: client.ID, CreatedAt: tx.now,
	}
}

// insertCredential adds a secret by its hash, or a federation without one.
func (tx *Tx) insertCredential(ctx context.Context, c Credential, hash []byte) error {
	var hashed any
	action, detail := FederationCreated, map[string]any{"client": c.ClientID, "federation": c.Federation}
	if hash != nil {
		hashed, action, detail = hash, SecretCreated, map[string]any{"client": c.ClientID, "expires_at": c.ExpiresAt}
	}
	_, err := tx.exec(ctx, `INSERT INTO client_credentials (tenant_id, id, connection_id, client_id, hash, hint,
			issuer, subject, entra_tenant, audience, keys_url, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		c.TenantID, c.ID, c.ConnectionID, c.ClientID, hashed, c.Hint,
		c.Issuer, c.Subject, c.EntraTenant, c.Audience, c.KeysURL, c.CreatedAt, c.ExpiresAt)
	if err != nil {
		return fmt.Errorf("credential of client %s: %w", c.ClientID, err)
	}
	tx.log(action, subject{kind: "credential", id: string(c.ID), name: c.name(), connection: c.ConnectionID}, detail)
	return nil
}

// lockConnection lets one transaction at a time change what a connection of the
// actor's tenant is opened with, so that two can't both see room for one more.
func (tx *Tx) lockConnection(ctx context.Context, c Connection) error {
	locked, err := tx.lockRef(ctx, c.ID)
	if err != nil {
		return err
	}
	return locked.connected()
}

// CreateAccessToken gives a token for a credential that has just been proved,
// and the secret of it. It opens the connection for that long, though no longer
// than the credential. ErrNotFound when the credential is dead by now, ErrTaken
// when the assertion of that id was used before; "" is an assertion without one.
func (tx *Tx) CreateAccessToken(ctx context.Context, c Credential, life time.Duration, assertion string) (Token, string, error) {
	if err := tx.own(c.ref()); err != nil {
		return Token{}, "", err
	}
	n, err := tx.exec(ctx, `UPDATE client_credentials SET last_used_at = ?
		WHERE tenant_id = ? AND id = ? AND revoked_at = 0 AND (expires_at = 0 OR expires_at > ?)`, tx.now, c.TenantID, c.ID, tx.now)
	if err != nil {
		return Token{}, "", err
	}
	if n == 0 {
		return Token{}, "", fmt.Errorf("credential %s: %w", c.ID, ErrNotFound)
	}
	var used any
	if assertion != "" {
		used = hashSecret(assertion)
	}
	secret := newSecret(AccessTokenPrefix)
	t := Token{
		TenantID: c.TenantID, ID: TokenID(newID()), ConnectionID: c.ConnectionID,
		Hint: secret[len(secret)-4:], CreatedAt: tx.now, ExpiresAt: At(tx.now.Add(life)),
	}
	if !c.ExpiresAt.IsZero() && c.ExpiresAt.Before(t.ExpiresAt.Time) {
		t.ExpiresAt = c.ExpiresAt
	}
	_, err = tx.exec(ctx, `INSERT INTO access_tokens (tenant_id, id, connection_id, credential_id, hash, hint, assertion, created_at, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		t.TenantID, t.ID, t.ConnectionID, c.ID, hashSecret(secret), t.Hint, used, t.CreatedAt, t.ExpiresAt)
	if err != nil {
		return Token{}, "", fmt.Errorf("access token: %w", err)
	}
	tx.log(AccessTokenCreated, subject{kind: "access_token", id: string(t.ID), name: "…" + t.Hint, connection: t.ConnectionID},
		map[string]any{"client": c.ClientID, "credential": c.ID})
	return t, secret, nil
}

// tokenQuery finds what a secret of either kind opens, in one look-up: the
// secret's prefix says where. An access token is revoked when its credential is.
func tokenQuery(secret string) string {
	if strings.HasPrefix(secret, AccessTokenPrefix) {
		return `SELECT a.tenant_id, a.id, a.connection_id, a.hint, a.created_at, a.expires_at, c.revoked_at, c.last_used_at
			FROM access_tokens a JOIN client_credentials c ON c.tenant_id = a.tenant_id AND c.id = a.credential_id WHERE a.hash = ?`
	}
	return `SELECT ` + tokenColumns + ` FROM tokens WHERE hash = ?`
}

// SweepAccessTokens deletes at most limit access tokens that ended a while ago,
// and gives their number. What they were given for is in the log; their end
// changes nothing and leaves no row there.
func (tx *Tx) SweepAccessTokens(ctx context.Context, limit int) (int, error) {
	return tx.exec(ctx, `DELETE FROM access_tokens WHERE hash IN (
		SELECT hash FROM access_tokens WHERE expires_at < ? ORDER BY expires_at LIMIT ?)`, At(tx.now.Add(-replayWindow)), limit)
}
