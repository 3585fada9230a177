package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"gatehouse/oidc"
	"gatehouse/store"
)

type clientCmd struct {
	Add      clientAddCmd      `cmd:"" help:"Make the OAuth client of a connection and its first secret."`
	Federate clientFederateCmd `cmd:"" help:"Let a provider prove its client by what it signs, without a secret."`
	Show     clientShowCmd     `cmd:"" help:"Show a connection's client and what it proves itself with."`
	Revoke   clientRevokeCmd   `cmd:"" help:"End a connection's client and all its access tokens at once."`
	Secret   clientSecretCmd   `cmd:"" help:"Secrets of a client: two work at a time."`
}

// shownClient is what commands print of a client.
type shownClient struct {
	Tenant      string             `json:"tenant"`
	Connection  string             `json:"connection"`
	TokenURL    string             `json:"token_url"`
	SCIMURL     string             `json:"scim_url"`
	ClientID    store.ClientID     `json:"client_id"`
	Secret      string             `json:"client_secret,omitempty"`
	SecretID    store.CredentialID `json:"secret_id,omitempty"`
	ExpiresAt   *time.Time         `json:"expires_at,omitempty"`
	Credentials []store.Credential `json:"credentials,omitempty"`
}

func showClient(base publicURL, t store.Tenant, c store.Connection, id store.ClientID) shownClient {
	return shownClient{Tenant: t.Name, Connection: c.Name, TokenURL: base.token(), SCIMURL: base.scim(c.ID), ClientID: id}
}

func (p shownClient) with(secret string, c store.Credential) shownClient {
	p.Secret, p.SecretID, p.ExpiresAt = secret, c.ID, &c.ExpiresAt.Time
	return p
}

func (p shownClient) text() string {
	text := fmt.Sprintf("Token URL      %s\nClient id      %s\n", p.TokenURL, p.ClientID)
	if p.Secret != "" {
		text += fmt.Sprintf("Client secret  %s\n", p.Secret)
	}
	text += fmt.Sprintf("SCIM URL       %s\n", p.SCIMURL)
	if p.Secret != "" {
		text += fmt.Sprintf("\nThe secret works until %s and can't be shown again.\n", p.ExpiresAt.Format("2 January 2006"))
	}
	return text
}

// token is the address of the token endpoint, as far as settings tell it.
func (p publicURL) token() string {
	return strings.TrimSuffix(cmp.Or(p.URL, "http://127.0.0.1:8080"), "/") + "/oauth2/token"
}

// secretLife is how long a new secret works.
type secretLife struct {
	Expires time.Duration `help:"How long the secret works, one year (8760h) to three." default:"8760h" placeholder:"TIME"`
}

// AfterApply refuses what the store would.
func (s secretLife) AfterApply() error {
	if s.Expires < store.MinSecretLife || s.Expires > store.MaxSecretLife {
		return fmt.Errorf("expires %v: a client secret works from one year (8760h) to three (26280h)", s.Expires)
	}
	return nil
}

// explain says what to do about the errors that clients have in common.
func explain(err error, c store.Connection) error {
	switch {
	case errors.Is(err, store.ErrLimit):
		return fmt.Errorf("%w: revoke one of them first; 'gatehouse client secret list --connection %s' shows them", err, c.Name)
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("connection %q has no client, or not this of it: 'gatehouse client show --connection %s' shows one, 'gatehouse client add --connection %s' makes one", c.Name, c.Name, c.Name)
	}
	return err
}

type clientAddCmd struct {
	ofConnection `embed:""`
	publicURL    `embed:""`
	secretLife   `embed:""`
}

// Help shows an example.
func (clientAddCmd) Help() string {
	return `Prints the token URL, the client id and the secret to paste into the identity
provider. The secret can't be shown again; 'gatehouse client secret add' makes
another. A connection has one client at a time.

Example: gatehouse client add --tenant default --connection entra`
}

// AfterApply checks both of what is embedded, since kong calls neither then.
func (c *clientAddCmd) AfterApply() error {
	return errors.Join(c.publicURL.AfterApply(), c.secretLife.AfterApply())
}

// Run makes the client.
func (c *clientAddCmd) Run(a *app) error {
	return c.ofConnection.with(a, func(st *store.Store, t store.Tenant, conn store.Connection) error {
		var client store.Client
		var credential store.Credential
		var secret string
		err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) error {
			_, err := tx.Client(a.ctx, conn.Ref())
			if err == nil {
				return store.ErrTaken
			}
			if client, err = tx.EnsureClient(a.ctx, conn); err != nil {
				return err
			}
			credential, secret, err = tx.CreateSecret(a.ctx, conn, c.Expires)
			return err
		})
		if errors.Is(err, store.ErrTaken) {
			return fmt.Errorf("connection %q has a client already: 'gatehouse client secret add' gives it another secret, 'gatehouse client revoke' ends it", conn.Name)
		}
		if err != nil {
			return explain(err, conn)
		}
		p := showClient(c.publicURL, t, conn, client.ID).with(secret, credential)
		return a.print(p, fmt.Sprintf("Connection %s has a client. Paste these into the identity provider:\n\n", conn.Name)+p.text())
	})
}

type clientFederateCmd struct {
	ofConnection `embed:""`
	publicURL    `embed:""`

	Issuer   string `help:"Issuer (iss), https://login.microsoftonline.com/TENANT/v2.0." placeholder:"URL"`
	Subject  string `help:"Subject (sub): the object id of the provider's service." placeholder:"ID"`
	TenantID string `name:"tenant-id" help:"Directory (tid); of an issuer at login.microsoftonline.com it is known." placeholder:"ID"`
	Audience string `help:"Audience (aud), api://APPLICATION." placeholder:"TEXT"`
	KeysURL  string `help:"Where the issuer's keys are (JWKS); its discovery document says so by default." placeholder:"URL"`
	Off      bool   `help:"End the federation and its access tokens."`
}

// Help shows an example.
func (clientFederateCmd) Help() string {
	return `Entra calls this workload identity federation, and shows the values to copy.
What is given replaces what was pinned before; the client is made if there is
none. Each value must be exactly what the provider's assertions say.

Example: gatehouse client federate --connection entra \
  --issuer https://login.microsoftonline.com/ce5f061f-abe6-4e40-9615-301f87bcb7f0/v2.0 \
  --subject d2f8ee76-c549-45b8-a143-f5b640669704 --audience api://b5ba7a93-4452-4522-aeb4-a2b5da870c16`
}

// federation is what the flags pin.
func (c *clientFederateCmd) federation() (store.Federation, error) {
	f := store.Federation{
		Issuer: c.Issuer, Subject: c.Subject, EntraTenant: c.TenantID, KeysURL: c.KeysURL,
		// Entra's page shows the scope of the audience; assertions say the audience.
		Audience: strings.TrimSuffix(c.Audience, "/.default"),
	}
	if f.Issuer == "" || f.Subject == "" || f.Audience == "" {
		return f, errors.New("name --issuer, --subject and --audience, as the identity provider shows them")
	}
	check := oidc.NewEgress(true) // the server says whether issuers may be on this machine
	if err := check.CheckURL(f.Issuer); err != nil {
		return f, fmt.Errorf("issuer: %w", err)
	}
	if f.KeysURL != "" {
		if err := check.CheckURL(f.KeysURL); err != nil {
			return f, fmt.Errorf("keys-url: %w", err)
		}
	}
	u, err := url.Parse(f.Issuer)
	if err == nil && u.Host == "login.microsoftonline.com" {
		tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		if f.EntraTenant = cmp.Or(f.EntraTenant, tenant); f.EntraTenant != tenant {
			return f, fmt.Errorf("tenant-id %s is not the one in issuer %s", f.EntraTenant, f.Issuer)
		}
	}
	return f, nil
}

// Run pins what assertions must say.
func (c *clientFederateCmd) Run(a *app) error {
	if c.Off {
		return c.end(a)
	}
	f, err := c.federation()
	if err != nil {
		return err
	}
	return c.ofConnection.with(a, func(st *store.Store, t store.Tenant, conn store.Connection) error {
		var client store.Client
		var credential store.Credential
		err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) error {
			var err error
			if client, err = tx.EnsureClient(a.ctx, conn); err != nil {
				return err
			}
			credential, err = tx.Federate(a.ctx, conn, f)
			return err
		})
		if err != nil {
			return explain(err, conn)
		}
		p := showClient(c.publicURL, t, conn, client.ID)
		p.Credentials = []store.Credential{credential}
		return a.print(p, fmt.Sprintf("Connection %s trusts %s. Paste these into the identity provider:\n\n", conn.Name, f.Issuer)+p.text())
	})
}

func (c *clientFederateCmd) end(a *app) error {
	return c.ofConnection.with(a, func(st *store.Store, t store.Tenant, conn store.Connection) error {
		err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) error { return tx.EndFederation(a.ctx, conn) })
		if err != nil {
			return explain(err, conn)
		}
		return a.print(map[string]any{"connection": conn.Name, "federation": nil}, fmt.Sprintf("Connection %s trusts no issuer any more.\n", conn.Name))
	})
}

type clientShowCmd struct {
	ofConnection `embed:""`
	publicURL    `embed:""`
}

// Help shows an example.
func (clientShowCmd) Help() string { return "Example: gatehouse client show --connection entra" }

// Run shows the client.
func (c *clientShowCmd) Run(a *app) error {
	return c.ofConnection.with(a, func(st *store.Store, t store.Tenant, conn store.Connection) error {
		client, err := st.Client(a.ctx, conn.Ref())
		if err != nil {
			return explain(err, conn)
		}
		p := showClient(c.publicURL, t, conn, client.ID)
		if p.Credentials, err = st.Credentials(a.ctx, client); err != nil {
			return err
		}
		text := p.text()
		for _, f := range p.Credentials {
			if !f.IsSecret() && f.Live(st.Now()) {
				text += fmt.Sprintf("\nIssuer         %s\nSubject        %s\nTenant id      %s\nAudience       %s\nKeys           %s\nLast used      %s\n",
					f.Issuer, f.Subject, f.EntraTenant, f.Audience, cmp.Or(f.KeysURL, "by discovery"), moment(f.LastUsedAt))
			}
		}
		return a.print(p, text+"\n"+secretTable(p.Credentials, st.Now()))
	})
}

// secretTable lists secrets.
func secretTable(all []store.Credential, now time.Time) string {
	return table("SECRET\tSTATE\tMADE\tEXPIRES\tLAST USED\tID", func(row func(...any)) {
		for _, c := range all {
			if !c.IsSecret() {
				continue
			}
			state := "live"
			switch {
			case !c.RevokedAt.IsZero():
				state = "revoked"
			case !c.Live(now):
				state = "expired"
			}
			row("…"+c.Hint, state, moment(c.CreatedAt), moment(c.ExpiresAt), moment(c.LastUsedAt), c.ID)
		}
	})
}

type clientRevokeCmd struct {
	ofConnection `embed:""`
}

// Help shows an example.
func (clientRevokeCmd) Help() string {
	return `Its secrets, its federation and its access tokens end with it; a running server
refuses them within half a second. Long-lived tokens of the connection stay.

Example: gatehouse client revoke --connection entra`
}

// Run revokes the client.
func (c *clientRevokeCmd) Run(a *app) error {
	return c.with(a, func(st *store.Store, t store.Tenant, conn store.Connection) error {
		var client store.Client
		err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) error {
			var err error
			client, err = tx.RevokeClient(a.ctx, conn)
			return err
		})
		if err != nil {
			return explain(err, conn)
		}
		return a.print(client, fmt.Sprintf("Client %s of connection %s no longer works.\n", client.ID, conn.Name))
	})
}

type clientSecretCmd struct {
	Add    clientSecretAddCmd    `cmd:"" help:"Make another secret."`
	List   clientSecretListCmd   `cmd:"" help:"List a client's secrets."`
	Revoke clientSecretRevokeCmd `cmd:"" help:"End a secret and its access tokens at once."`
}

type clientSecretAddCmd struct {
	ofConnection `embed:""`
	publicURL    `embed:""`
	secretLife   `embed:""`
}

// Help shows an example.
func (clientSecretAddCmd) Help() string {
	return `To change secrets without a gap: add the new one, paste it into the identity
provider, test the connection there, then revoke the old one.

Example: gatehouse client secret add --connection entra`
}

// AfterApply checks both of what is embedded, since kong calls neither then.
func (c *clientSecretAddCmd) AfterApply() error {
	return errors.Join(c.publicURL.AfterApply(), c.secretLife.AfterApply())
}

// Run makes the secret.
func (c *clientSecretAddCmd) Run(a *app) error {
	return c.ofConnection.with(a, func(st *store.Store, t store.Tenant, conn store.Connection) error {
		var credential store.Credential
		var secret string
		err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) error {
			var err error
			credential, secret, err = tx.CreateSecret(a.ctx, conn, c.Expires)
			return err
		})
		if err != nil {
			return explain(err, conn)
		}
		p := showClient(c.publicURL, t, conn, credential.ClientID).with(secret, credential)
		return a.print(p, p.text())
	})
}

type clientSecretListCmd struct {
	ofConnection `embed:""`
}

// Help shows an example.
func (clientSecretListCmd) Help() string {
	return "Example: gatehouse client secret list --connection entra"
}

// Run lists the secrets.
func (c *clientSecretListCmd) Run(a *app) error {
	return c.with(a, func(st *store.Store, _ store.Tenant, conn store.Connection) error {
		client, err := st.Client(a.ctx, conn.Ref())
		if err != nil {
			return explain(err, conn)
		}
		all, err := st.Credentials(a.ctx, client)
		if err != nil {
			return err
		}
		secrets := []store.Credential{}
		for _, credential := range all {
			if credential.IsSecret() {
				secrets = append(secrets, credential)
			}
		}
		return a.print(secrets, secretTable(secrets, st.Now()))
	})
}

type clientSecretRevokeCmd struct {
	ofConnection `embed:""`
	Secret       string `arg:"" help:"The secret's id, or its last four characters."`
}

// Help shows an example.
func (clientSecretRevokeCmd) Help() string {
	return `A running server refuses the secret at once, and the access tokens that were
given for it within half a second.

Example: gatehouse client secret revoke --connection entra 9f2c`
}

// Run revokes the secret.
func (c *clientSecretRevokeCmd) Run(a *app) error {
	return c.with(a, func(st *store.Store, t store.Tenant, conn store.Connection) error {
		err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) error { return tx.RevokeSecret(a.ctx, conn, c.Secret) })
		if err != nil {
			return explain(err, conn)
		}
		return a.print(map[string]string{"connection": conn.Name, "revoked": c.Secret},
			fmt.Sprintf("Secret %s of connection %s no longer works.\n", c.Secret, conn.Name))
	})
}
