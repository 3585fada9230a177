package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"gatehouse/internal/seal"
	"gatehouse/oidc"
	"gatehouse/store"
)

// sealSignIn gives what a provider's secrets are sealed with.
func sealSignIn(ctx context.Context, st *store.Store, secretKey string) (*seal.Sealer, error) {
	kept, err := st.Secret(ctx, "signin")
	if err != nil {
		return nil, err
	}
	return seal.New("gatehouse sign-in secrets", kept, secretKey)
}

type connectionSignInCmd struct {
	publicURL `embed:""`

	Tenant           string   `help:"The tenant." default:"default" placeholder:"NAME"`
	Name             string   `help:"The connection." required:"" placeholder:"NAME"`
	Issuer           string   `help:"What the provider calls itself, such as https://login.microsoftonline.com/TENANT/v2.0." required:"" placeholder:"URL"`
	ClientID         string   `name:"client-id" help:"What the provider calls Gatehouse." required:"" placeholder:"ID"`
	ClientSecretFile string   `help:"A file with the client's secret; - reads it from standard input." xor:"proof" placeholder:"FILE"`
	PrivateKey       string   `help:"A file with a private key in PEM, for private_key_jwt." xor:"proof" placeholder:"FILE"`
	KeyID            string   `name:"key-id" help:"What the provider knows the private key by." placeholder:"ID"`
	Link             string   `help:"Which claim says who somebody is, and which attribute SCIM told it in: externalId or userName." default:"sub=externalId" placeholder:"CLAIM=ATTRIBUTE"`
	Domain           []string `help:"E-mail domains whose people are sent to this provider." placeholder:"DOMAIN"`
	Algorithm        []string `help:"What the provider may sign with; RS256 by default." placeholder:"ALG"`
	Scope            []string `help:"What to ask for beside openid." default:"profile" placeholder:"SCOPE"`
	JIT              bool     `name:"jit" help:"Make whoever signs in a user, if SCIM never told of her. Gives nobody access."`
	UserInfo         bool     `name:"userinfo" help:"Ask the provider for more claims after each sign-in."`
	FrontChannel     bool     `help:"Let the provider sign people out by a frame in its page, too."`
	GlobalRevocation bool     `help:"Let the provider end all sessions of somebody: Okta's Universal Logout."`
	Disable          bool     `help:"Let nobody sign in with it."`
	SecretKey        string   `help:"The secret-key of the server: the client's secret is kept sealed with it." placeholder:"KEY"`
}

// Help shows an example.
func (connectionSignInCmd) Help() string {
	return `Prints what to enter at the provider. Run it again to change something: what is
not given goes back to its default, only the secret stays.

Example: gatehouse connection signin --name entra --issuer https://login.microsoftonline.com/TENANT/v2.0 --client-id ID --client-secret-file secret.txt --link oid=externalId --domain corp.example`
}

// AfterApply refuses settings that can't work.
func (c *connectionSignInCmd) AfterApply() error {
	return errors.Join(c.publicURL.AfterApply(), checkSecretKey(c.SecretKey))
}

// providerShown is what the provider has to know of us.
type providerShown struct {
	store.Provider
	RedirectURI     string `json:"redirect_uri"`
	LoggedOutURI    string `json:"post_logout_redirect_uri"`
	InitiateURI     string `json:"initiate_login_uri"`
	BackChannelURI  string `json:"back_channel_logout_uri"`
	FrontChannelURI string `json:"front_channel_logout_uri,omitempty"`
	RevocationURI   string `json:"global_revocation_uri,omitempty"`
}

// Run keeps the settings.
func (c *connectionSignInCmd) Run(a *app) error {
	claim, attribute, ok := strings.Cut(c.Link, "=")
	if !ok {
		return fmt.Errorf("link %q: want CLAIM=ATTRIBUTE, such as oid=externalId", c.Link)
	}
	// The server says whether issuers may be on this machine.
	if err := oidc.NewEgress(true).CheckURL(c.Issuer); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	proof, method, err := c.proof()
	if err != nil {
		return err
	}
	return a.with(c.Tenant, func(st *store.Store, t store.Tenant) error {
		conn, err := st.ConnectionNamed(a.ctx, t.ID, c.Name)
		if err != nil {
			return fmt.Errorf("tenant %q has no connection %q: 'gatehouse connection list' shows those there are", t.Name, c.Name)
		}
		p := store.Provider{ConnectionID: conn.ID, Issuer: c.Issuer, ClientID: c.ClientID, Enabled: !c.Disable,
			ProviderSettings: store.ProviderSettings{Auth: method, KeyID: c.KeyID, Algorithms: c.Algorithm, Scopes: c.Scope, Claim: claim, Attribute: attribute,
				Domains: c.Domain, JIT: c.JIT, UserInfo: c.UserInfo, BackChannel: true, LogoutThere: true,
				FrontChannel: c.FrontChannel, GlobalRevocation: c.GlobalRevocation}}
		before, err := st.Provider(a.ctx, conn.Ref())
		switch {
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		case err == nil && proof == "":
			p.Auth, p.KeyID = before.Auth, before.KeyID
		case proof == "":
			return errors.New("want --client-secret-file or --private-key: the provider has to know that it is Gatehouse")
		}
		if proof != "" {
			sealer, err := sealSignIn(a.ctx, st, c.SecretKey)
			if err != nil {
				return err
			}
			p.Sealed = sealer.Seal(string(conn.ID), proof)
		}
		err = st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) (err error) { p, err = tx.SetProvider(a.ctx, p); return err })
		if err != nil {
			return err
		}
		shown := providerShown{
			Provider: p, RedirectURI: c.at("/oidc/callback"), LoggedOutURI: c.at("/logout"), InitiateURI: c.at("/login/start"),
			BackChannelURI: c.at("/oidc/backchannel-logout"),
		}
		text := fmt.Sprintf(`People of connection %s sign in at %s.
Enter these at the provider:

Redirect URI              %s
Post-logout redirect URI  %s
Initiate login URI        %s
Back-channel logout URI   %s
`, conn.Name, p.Issuer, shown.RedirectURI, shown.LoggedOutURI, shown.InitiateURI, shown.BackChannelURI)
		if c.FrontChannel {
			shown.FrontChannelURI = c.at("/oidc/frontchannel-logout")
			text += "Front-channel logout URI  " + shown.FrontChannelURI + "\n"
		}
		if c.GlobalRevocation {
			shown.RevocationURI = c.at("/oidc/revoke/" + string(conn.ID))
			text += "Global revocation URI     " + shown.RevocationURI + "\n"
		}
		if c.Disable {
			text = fmt.Sprintf("Nobody signs in with connection %s any more.\n", conn.Name)
		}
		return a.print(shown, text)
	})
}

// maxProof is longer than any secret or key.
const maxProof = 64 << 10

// proof reads what we prove ourselves with, if that is given.
func (c *connectionSignInCmd) proof() (proof, method string, err error) {
	file, method := c.ClientSecretFile, "client_secret_basic"
	if c.PrivateKey != "" {
		file, method = c.PrivateKey, "private_key_jwt"
	}
	if file == "" {
		return "", method, nil
	}
	in := os.Stdin
	if file != "-" {
		if in, err = os.Open(file); err != nil {
			return "", "", err
		}
		defer in.Close()
	}
	text, err := io.ReadAll(io.LimitReader(in, maxProof))
	if err != nil {
		return "", "", err
	}
	proof = strings.TrimSpace(string(text))
	if proof == "" {
		return "", "", fmt.Errorf("%s is empty", file)
	}
	if c.PrivateKey != "" {
		block, _ := pem.Decode(text)
		if block == nil {
			return "", "", fmt.Errorf("%s: want a private key in PEM, as 'openssl genpkey' makes it", file)
		}
		if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
			return "", "", fmt.Errorf("%s: want a private key in PKCS #8, as 'openssl genpkey' makes it", file)
		}
	}
	return proof, method, nil
}

type connectionUnlinkCmd struct {
	Tenant string `help:"The tenant." default:"default" placeholder:"NAME"`
	Name   string `help:"The connection." required:"" placeholder:"NAME"`
	User   string `help:"The person, by userName or id." required:"" placeholder:"NAME"`
}

// Help shows an example.
func (connectionUnlinkCmd) Help() string {
	return `The person is signed out everywhere. At the next sign-in, whoever the provider
calls as SCIM calls her becomes her: make sure first that this is the same one.

Example: gatehouse connection unlink --name entra --user ada@corp.example`
}

// Run unlinks.
func (c *connectionUnlinkCmd) Run(a *app) error {
	return a.with(c.Tenant, func(st *store.Store, t store.Tenant) error {
		conn, err := st.ConnectionNamed(a.ctx, t.ID, c.Name)
		if err != nil {
			return fmt.Errorf("tenant %q has no connection %q: 'gatehouse connection list' shows those there are", t.Name, c.Name)
		}
		id, err := userIn(a, st, conn, c.User)
		if err != nil {
			return err
		}
		identities, err := st.Identities(a.ctx, t.ID, id)
		if err != nil {
			return err
		}
		err = st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) error { return tx.Unlink(a.ctx, conn.Ref(), id) })
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("nobody of connection %s is called %q and has signed in with it", conn.Name, c.User)
		}
		if err != nil {
			return err
		}
		return a.print(map[string]any{"user": id, "unlinked": identities}, fmt.Sprintf("%s is unlinked, and signed out everywhere.\n", c.User))
	})
}

type breakGlassCmd struct {
	publicURL `embed:""`

	Tenant string `help:"The tenant." default:"default" placeholder:"NAME"`
	List   bool   `help:"Show the codes that were made, and who used them from where."`
}

// Help shows an example.
func (breakGlassCmd) Help() string {
	return `Whoever can run this can read the database anyway. The link works once, for 15
minutes, and makes an owner for an hour; all of it is in the audit trail.

Example: gatehouse break-glass --tenant default`
}

// Run makes a link, or lists them.
func (c *breakGlassCmd) Run(a *app) error {
	return a.with(c.Tenant, func(st *store.Store, t store.Tenant) error {
		if c.List {
			all, err := st.BreakGlasses(a.ctx, t.ID, 1000)
			if err != nil {
				return err
			}
			return a.print(all, table("MADE\tBY\tUSED\tFROM\tOWNER", func(row func(...any)) {
				for _, e := range all {
					row(moment(e.CreatedAt), e.CreatedBy, moment(e.UsedAt), e.UsedFrom, e.UserID)
				}
			}))
		}
		var e store.Entrance
		var secret string
		err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) (err error) { e, secret, err = tx.CreateBreakGlass(a.ctx); return err })
		if err != nil {
			return err
		}
		link := c.entrance("/break-glass", secret)
		return a.print(map[string]any{"tenant": t.Name, "link": link, "code": secret, "expires_at": e.ExpiresAt},
			fmt.Sprintf("Open this once, until %s, to own tenant %s for an hour:\n\n%s\n\nIts use is logged.\n", e.ExpiresAt.Local().Format("15:04"), t.Name, link))
	})
}

// entrance is a link with a secret, which a log of requests leaves out. Whoever comes in
// by it needs a passkey to come again, and an address that is a number has none.
func (p publicURL) entrance(path, secret string) string {
	if p.URL == "" {
		p.URL = "http://localhost:8080"
	}
	return p.at(path) + "?" + url.Values{"code": {secret}}.Encode()
}

// served is where a browser on this machine finds what listens at an address, unless
// the setting says it.
func (p publicURL) served(at net.Addr) publicURL {
	if tcp, ok := at.(*net.TCPAddr); ok && p.URL == "" {
		host := "localhost"
		if !tcp.IP.IsLoopback() && !tcp.IP.IsUnspecified() {
			host = tcp.IP.String()
		}
		p.URL = "http://" + net.JoinHostPort(host, strconv.Itoa(tcp.Port))
	}
	return p
}

// offerSetup prints a link for each tenant that nobody owns. It is not logged: who
// reads logs is not who owns the tenant.
func offerSetup(a *app, st *store.Store, base publicURL) error {
	if _, err := ensureTenant(a.ctx, st, a.actor(""), store.DefaultTenant); err != nil {
		return err
	}
	tenants, err := st.Tenants(a.ctx)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		var secret string
		err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) (err error) { _, secret, err = tx.CreateSetup(a.ctx); return err })
		if errors.Is(err, store.ErrInUse) {
			continue
		}
		if err != nil {
			return err
		}
		link := base.entrance("/setup", secret)
		err = a.print(map[string]string{"tenant": t.Name, "setup": link},
			fmt.Sprintf("Nobody owns tenant %s yet. Open this within a day to become its first owner:\n\n%s\n\n", t.Name, link))
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepSignIn forgets what is over of signing in, and now and then of inviting, and
// logs how many were refused.
func (s *server) sweepSignIn(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for minute := 0; ; minute++ {
		s.sweep(ctx, "what is over of signing in", (*store.Tx).SweepSignIn)
		if minute%60 == 0 {
			s.sweep(ctx, "invitations that are over", (*store.Tx).SweepInvitations)
		}
		select {
		case <-ctx.Done():
			s.countRefusals(context.WithoutCancel(ctx))
			return
		case <-tick.C:
			s.countRefusals(ctx)
		}
	}
}

// sweep deletes some at a time, until hardly any are left.
func (s *server) sweep(ctx context.Context, what string, some func(tx *store.Tx, ctx context.Context, limit int) (int, error)) {
	const batch = 500
	for n := batch; n >= batch && ctx.Err() == nil; {
		err := s.store.Write(ctx, store.Actor{Kind: store.ActorSystem}, func(tx *store.Tx) (err error) {
			n, err = some(tx, ctx, batch)
			return err
		})
		if err != nil {
			s.log.Warn("sweep "+what, slog.Any("error", err))
			return
		}
	}
}

func (s *server) countRefusals(ctx context.Context) {
	if err := s.store.CountRefusals(ctx); err != nil {
		s.log.Warn("log refusals", slog.Any("error", err))
	}
}
