package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// The actions on providers.
const (
	ProviderSet     = "provider.set"
	ProviderRemoved = "provider.removed"
)

// Provider is how a connection signs people in over OpenID Connect.
type Provider struct {
	TenantID     TenantID     `json:"tenant_id"`
	ConnectionID ConnectionID `json:"connection_id"`
	// Name is the connection's.
	Name     string `json:"name"`
	Issuer   string `json:"issuer"`
	ClientID string `json:"client_id"`
	// Sealed is the client's secret or private key. The caller seals and opens it.
	Sealed string `json:"-"`
	// Enabled is whether anybody may sign in with it.
	Enabled bool `json:"enabled"`
	ProviderSettings
	CreatedAt Instant `json:"created_at"`
	ChangedAt Instant `json:"changed_at"`
}

// ProviderSettings are what is kept of a provider as one document.
type ProviderSettings struct {
	// Auth is how we prove ourselves: client_secret_basic or private_key_jwt
	// (OpenID Connect Core 1.0 §9).
	Auth string `json:"auth"`
	// KeyID is what the provider knows our private key by.
	KeyID string `json:"key_id,omitempty"`
	// Algorithms are those that the provider may sign with; none means RS256.
	Algorithms []string `json:"algorithms,omitempty"`
	// Scopes are asked for beside openid.
	Scopes []string `json:"scopes,omitempty"`
	// Claim is the one that is compared with Attribute, LinkExternalID or
	// LinkUserName, of the connection's users to find who somebody is.
	Claim     string `json:"claim"`
	Attribute string `json:"attribute"`
	// Domains are those of e-mail addresses that choose this provider.
	Domains []string `json:"domains,omitempty"`
	// JIT is whether somebody whom SCIM never told us of is made a user by signing in.
	JIT bool `json:"jit,omitempty"`
	// UserInfo asks the provider for more claims after each sign-in.
	UserInfo bool `json:"userinfo,omitempty"`
	// LogoutThere takes a person who signs out to the provider, to sign out there too
	// (RP-Initiated Logout 1.0).
	LogoutThere bool `json:"logout_there,omitempty"`
	// BackChannel, FrontChannel and GlobalRevocation are the ways in which the
	// provider may sign people out here.
	BackChannel      bool `json:"back_channel,omitempty"`
	FrontChannel     bool `json:"front_channel,omitempty"`
	GlobalRevocation bool `json:"global_revocation,omitempty"`
}

// The attributes that a claim can be compared with. An e-mail address is none: it
// is given to somebody else one day, and anybody can claim it elsewhere.
const (
	LinkExternalID = "externalId"
	LinkUserName   = "userName"
)

// maxIssuer bounds, in bytes, an issuer and a subject, so that both fit into an
// index. OpenID Connect Core 1.0 §2 has subjects of at most 255.
const maxIssuer = 1000

// MaxDomains is how many e-mail domains choose a provider at most.
const MaxDomains = 100

func (p *Provider) check() error {
	u, err := url.Parse(p.Issuer)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || len(p.Issuer) > maxIssuer:
		return fmt.Errorf("issuer %q: %w: want the https address that the provider calls itself", p.Issuer, ErrInvalid)
	case p.ClientID == "" || len(p.ClientID) > maxIssuer:
		return fmt.Errorf("client id %q: %w: want what the provider calls us", p.ClientID, ErrInvalid)
	case p.Attribute != LinkExternalID && p.Attribute != LinkUserName:
		return fmt.Errorf("link to %q: %w: want %s or %s", p.Attribute, ErrInvalid, LinkExternalID, LinkUserName)
	case p.Claim == "" || p.Claim == "email":
		return fmt.Errorf("link from %q: %w: want a claim such as sub, oid or preferred_username; an e-mail address proves nothing", p.Claim, ErrInvalid)
	case len(p.Domains) > MaxDomains:
		return fmt.Errorf("%d domains: %w", len(p.Domains), ErrLimit)
	}
	domains := []string{}
	for _, d := range p.Domains {
		d = Fold(strings.TrimPrefix(d, "@"))
		if d == "" || len(d) > 253 || strings.ContainsAny(d, "@ \t\n/") {
			return fmt.Errorf("domain %q: %w: want one such as corp.example", d, ErrInvalid)
		}
		domains = append(domains, d)
	}
	slices.Sort(domains)
	p.Domains = slices.Compact(domains)
	for _, text := range slices.Concat([]string{p.Issuer, p.ClientID, p.Sealed, p.Auth, p.KeyID, p.Claim}, p.Algorithms, p.Scopes, p.Domains) {
		if !isText(text) {
			return fmt.Errorf("provider: %q: %w: no text", text, ErrInvalid)
		}
	}
	return nil
}

const providerColumns = `p.tenant_id, p.connection_id, c.name, p.issuer, p.client_id, p.sealed, p.enabled, p.doc, p.created_at, p.changed_at
	FROM providers p JOIN connections c ON c.tenant_id = p.tenant_id AND c.id = p.connection_id`

type providerRow struct {
	TenantID     TenantID     `db:"tenant_id"`
	ConnectionID ConnectionID `db:"connection_id"`
	Name         string       `db:"name"`
	Issuer       string       `db:"issuer"`
	ClientID     string       `db:"client_id"`
	Sealed       string       `db:"sealed"`
	Enabled      bool         `db:"enabled"`
	Doc          []byte       `db:"doc"`
	CreatedAt    Instant      `db:"created_at"`
	ChangedAt    Instant      `db:"changed_at"`
}

func (r reader) providers(ctx context.Context, rest string, args ...any) ([]Provider, error) {
	var rows []providerRow
	if err := r.list(ctx, &rows, `SELECT `+providerColumns+rest, args...); err != nil {
		return nil, err
	}
	providers := make([]Provider, len(rows))
	for i, row := range rows {
		providers[i] = Provider{TenantID: row.TenantID, ConnectionID: row.ConnectionID, Name: row.Name, Issuer: row.Issuer,
			ClientID: row.ClientID, Sealed: row.Sealed, Enabled: row.Enabled, CreatedAt: row.CreatedAt, ChangedAt: row.ChangedAt}
		if err := json.Unmarshal(row.Doc, &providers[i].ProviderSettings); err != nil {
			return nil, fmt.Errorf("provider of connection %s: %w", row.ConnectionID, err)
		}
	}
	return providers, nil
}

// Provider gives how a connection signs people in, enabled or not. ErrNotFound when
// it doesn't.
func (r reader) Provider(ctx context.Context, c ConnectionRef) (Provider, error) {
	if !validID(string(c.ID)) || !validID(string(c.Tenant)) {
		return Provider{}, fmt.Errorf("provider of connection %q: %w", c.ID, ErrNotFound)
	}
	found, err := r.providers(ctx, ` WHERE p.tenant_id = ? AND p.connection_id = ?`, c.Tenant, c.ID)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Provider{}, fmt.Errorf("provider of connection %s: %w", c.ID, err)
	}
	return found[0], nil
}

// Providers gives a tenant's providers by the names of their connections, also
// those that are not enabled.
func (r reader) Providers(ctx context.Context, tenant TenantID) ([]Provider, error) {
	return r.providers(ctx, ` WHERE p.tenant_id = ? ORDER BY c.name_key`, tenant)
}

// ProvidersFor gives the enabled providers, of all tenants, that an e-mail address
// of that domain chooses.
func (r reader) ProvidersFor(ctx context.Context, domain string) ([]Provider, error) {
	if !isText(domain) {
		return nil, nil
	}
	return r.providers(ctx, ` JOIN provider_domains d ON d.tenant_id = p.tenant_id AND d.connection_id = p.connection_id
		WHERE d.domain = ? AND p.enabled ORDER BY c.name_key, p.connection_id LIMIT 100`, Fold(domain))
}

// ProvidersOfIssuer gives the enabled providers, of all tenants, that call
// themselves so: for a sign-in that begins at the provider, and for its logout
// tokens. Client ids tell them apart.
func (r reader) ProvidersOfIssuer(ctx context.Context, issuer string) ([]Provider, error) {
	if !isText(issuer) {
		return nil, nil
	}
	return r.providers(ctx, ` WHERE p.issuer = ? AND p.enabled ORDER BY p.tenant_id, p.connection_id LIMIT 100`, issuer)
}

// SetProvider makes p how its connection, of the actor's tenant, signs people in;
// an empty Sealed keeps what is there. Sign-ins that have begun come to nothing, and
// when it changes who vouches for people or how they are found, they are signed out
// and linked anew. ErrInvalid says what is wrong with p.
func (tx *Tx) SetProvider(ctx context.Context, p Provider) (Provider, error) {
	c, err := tx.lockRef(ctx, p.ConnectionID)
	if err != nil {
		return p, err
	}
	if err := c.connected(); err != nil {
		return p, err
	}
	if err := p.check(); err != nil {
		return p, err
	}
	p.TenantID, p.Name, p.CreatedAt, p.ChangedAt = c.TenantID, c.Name, tx.now, tx.now
	before, err := tx.Provider(ctx, c.Ref())
	fresh := errors.Is(err, ErrNotFound)
	if err != nil && !fresh {
		return p, err
	}
	if err := tx.endSignInsOf(ctx, p.ConnectionID); err != nil {
		return p, err
	}
	var was any
	if !fresh {
		was, p.CreatedAt = before, before.CreatedAt
		if p.Sealed == "" {
			p.Sealed = before.Sealed
		}
		if p.Issuer != before.Issuer || p.ClientID != before.ClientID || p.Claim != before.Claim || p.Attribute != before.Attribute {
			if err := tx.unlinkAll(ctx, p.ConnectionID); err != nil {
				return p, err
			}
		}
	}
	doc, err := asJSON(p.ProviderSettings)
	if err != nil {
		return p, err
	}
	_, err = tx.exec(ctx, `INSERT INTO providers (tenant_id, connection_id, issuer, client_id, sealed, enabled, doc, created_at, changed_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant_id, connection_id) DO UPDATE SET issuer = excluded.issuer,
			client_id = excluded.client_id, sealed = excluded.sealed, enabled = excluded.enabled, doc = excluded.doc, changed_at = excluded.changed_at`,
		p.TenantID, p.ConnectionID, p.Issuer, p.ClientID, p.Sealed, p.Enabled, doc, p.CreatedAt, p.ChangedAt)
	if err != nil {
		return p, err
	}
	if err := tx.setDomains(ctx, p); err != nil {
		return p, err
	}
	detail := beforeAfter(was, p)
	detail["secret_changed"] = p.Sealed != before.Sealed
	tx.log(ProviderSet, p.subject(), detail)
	return p, nil
}

func (p Provider) subject() subject {
	return subject{kind: "connection", id: string(p.ConnectionID), name: p.Name, connection: p.ConnectionID}
}

func (tx *Tx) setDomains(ctx context.Context, p Provider) error {
	_, err := tx.exec(ctx, `DELETE FROM provider_domains WHERE tenant_id = ? AND connection_id = ?`, p.TenantID, p.ConnectionID)
	for _, d := range p.Domains {
		tx.insert(`provider_domains (tenant_id, connection_id, domain)`, p.TenantID, p.ConnectionID, d)
	}
	return err
}

// RemoveProvider lets nobody sign in with a connection any more, and signs out
// whoever did. Its users and groups stay.
func (tx *Tx) RemoveProvider(ctx context.Context, id ConnectionID) error {
	c, err := tx.lockRef(ctx, id)
	if err != nil {
		return err
	}
	p, err := tx.Provider(ctx, c.Ref())
	if err != nil {
		return err
	}
	if err := tx.unlinkAll(ctx, id); err != nil {
		return err
	}
	for _, table := range []string{"provider_domains", "providers"} {
		if _, err := tx.exec(ctx, `DELETE FROM `+table+` WHERE tenant_id = ? AND connection_id = ?`, p.TenantID, id); err != nil {
			return err
		}
	}
	tx.log(ProviderRemoved, p.subject(), beforeAfter(p, nil))
	return nil
}

// unlinkAll forgets whom a provider vouched for.
func (tx *Tx) unlinkAll(ctx context.Context, id ConnectionID) error {
	if _, err := tx.Revoke(ctx, Revocation{Connection: id}); err != nil {
		return err
	}
	_, err := tx.exec(ctx, `DELETE FROM identities WHERE tenant_id = ? AND connection_id = ?`, tx.actor.Tenant, id)
	return err
}

// lockRef finds and locks a connection of the actor's tenant.
func (tx *Tx) lockRef(ctx context.Context, id ConnectionID) (Connection, error) {
	var c Connection
	if !validID(string(id)) {
		return c, fmt.Errorf("connection %q: %w", id, ErrNotFound)
	}
	err := tx.get(ctx, &c, `SELECT `+connectionColumns+` FROM connections WHERE tenant_id = ? AND id = ?`+tx.pool.dialect.forUpdate, tx.actor.Tenant, id)
	if err != nil {
		return c, fmt.Errorf("connection %s: %w", id, err)
	}
	return c, nil
}
