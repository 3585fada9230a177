package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"gatehouse/store"
)

type connectionCmd struct {
	Add    connectionAddCmd    `cmd:"" help:"Make a connection and its first token."`
	List   connectionListCmd   `cmd:"" help:"List a tenant's connections."`
	SignIn connectionSignInCmd `cmd:"" name:"signin" help:"Let a connection's people sign in over OpenID Connect."`
	Unlink connectionUnlinkCmd `cmd:"" help:"Forget who somebody is to the provider that signs her in."`
}

type connectionAddCmd struct {
	publicURL `embed:""`

	Tenant string `help:"The tenant; 'default' is made when it is missing." default:"default" placeholder:"NAME"`
	Name   string `help:"A name for the connection, such as entra." required:"" placeholder:"NAME"`
	IdP    string `name:"idp" help:"What is at the other end: entra, okta or generic." enum:"entra,okta,generic" default:"generic" placeholder:"KIND"`
	expiry `embed:""`
}

// Help shows an example.
func (connectionAddCmd) Help() string {
	return `Prints the SCIM URL and the token to paste into the identity provider. The
token can't be shown again; 'gatehouse token add' makes another.

Example: gatehouse connection add --tenant default --name entra --idp entra`
}

// added is what a new connection or token prints.
type added struct {
	Tenant     string             `json:"tenant"`
	Connection string             `json:"connection"`
	ID         store.ConnectionID `json:"connection_id"`
	SCIMURL    string             `json:"scim_url"`
	Token      string             `json:"token"`
	TokenID    store.TokenID      `json:"token_id"`
	ExpiresAt  *time.Time         `json:"expires_at"`
}

func (p added) text() string {
	until := "for ever"
	if p.ExpiresAt != nil {
		until = "until " + p.ExpiresAt.Format("2 January 2006")
	}
	text := fmt.Sprintf("SCIM URL  %s\nToken     %s\n\nThe token works %s and can't be shown again.\n", p.SCIMURL, p.Token, until)
	if strings.HasPrefix(p.SCIMURL, "http://127.0.0.1") {
		text += "The address is that of this machine: --url or GATEHOUSE_URL puts the public one there.\n"
	}
	return text
}

// AfterApply refuses settings that can't work.
func (c *connectionAddCmd) AfterApply() error {
	return errors.Join(c.publicURL.AfterApply(), c.expiry.AfterApply())
}

// Run makes the connection.
func (c *connectionAddCmd) Run(a *app) error {
	if err := checkName("connection", c.Name); err != nil {
		return err
	}
	st, err := a.openMigrated(store.Options{})
	if err != nil {
		return err
	}
	defer st.Close()
	p, err := addConnection(a, st, c.publicURL, c.Tenant, c.Name, c.IdP, c.Expires)
	if err != nil {
		return err
	}
	return a.print(p, fmt.Sprintf("Connection %s of tenant %s is there. Paste these into the identity provider:\n\n", p.Connection, p.Tenant)+p.text())
}

func addConnection(a *app, st *store.Store, base publicURL, tenant, name, idp string, expires time.Duration) (added, error) {
	t, err := ensureTenant(a.ctx, st, a.actor(""), tenant)
	if err != nil {
		return added{}, err
	}
	var conn store.Connection
	var token store.Token
	var secret string
	err = st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) error {
		if conn, err = tx.CreateConnection(a.ctx, name, idp); err != nil {
			return err
		}
		token, secret, err = tx.CreateToken(a.ctx, conn, deadline(st.Now(), expires))
		return err
	})
	if err != nil {
		return added{}, taken(err, "connection", name)
	}
	return newAdded(base, t, conn, token, secret), nil
}

func newAdded(base publicURL, t store.Tenant, c store.Connection, token store.Token, secret string) added {
	p := added{
		Tenant: t.Name, Connection: c.Name, ID: c.ID, SCIMURL: base.scim(c.ID),
		Token: secret, TokenID: token.ID,
	}
	if !token.ExpiresAt.IsZero() {
		p.ExpiresAt = &token.ExpiresAt.Time
	}
	return p
}

// scim is the address of a connection's endpoint, as far as settings tell it.
func (p publicURL) scim(id store.ConnectionID) string {
	return p.at("/scim/" + string(id) + "/v2")
}

// at is the address of a path, as far as settings tell it.
func (p publicURL) at(path string) string {
	return strings.TrimSuffix(cmp.Or(p.URL, "http://127.0.0.1:8080"), "/") + path
}

func deadline(now time.Time, expires time.Duration) time.Time {
	if expires == 0 {
		return time.Time{}
	}
	return now.Add(expires)
}

// expiry is the flag of commands that make a token.
type expiry struct {
	Expires time.Duration `help:"How long the token works, in hours such as 8760h; one year by default, 0 for ever." default:"8760h" placeholder:"TIME"`
}

// AfterApply refuses what would be over before it began.
func (e expiry) AfterApply() error {
	if e.Expires < 0 {
		return fmt.Errorf("expires %v: want a time to come, such as 8760h, or 0 for ever", e.Expires)
	}
	return nil
}

type connectionListCmd struct {
	publicURL `embed:""`

	Tenant string `help:"The tenant." default:"default" placeholder:"NAME"`
}

// Help shows an example.
func (connectionListCmd) Help() string { return "Example: gatehouse connection list --tenant default" }

// Run lists the connections.
func (c *connectionListCmd) Run(a *app) error {
	return a.with(c.Tenant, func(st *store.Store, t store.Tenant) error {
		conns, err := st.Connections(a.ctx, t.ID)
		if err != nil {
			return err
		}
		return a.print(conns, table("NAME\tPROVIDER\tSCIM URL\tLAST CALL", func(row func(...any)) {
			for _, conn := range conns {
				address := c.scim(conn.ID)
				if conn.IdP == store.IdPLocal {
					address = "-"
				}
				row(conn.Name, conn.IdP, address, moment(conn.LastRequestAt))
			}
		}))
	})
}

// moment writes an instant for a table.
func moment(i store.Instant) string {
	if i.IsZero() {
		return "never"
	}
	return i.Local().Format("2006-01-02 15:04:05")
}

// taken says which name is in use already; other errors pass.
func taken(err error, kind, name string) error {
	if errors.Is(err, store.ErrTaken) {
		return fmt.Errorf("there is a %s %q already: choose another name", kind, name)
	}
	return err
}

// checkName refuses names that could not be told apart or typed again.
func checkName(kind, name string) error {
	ok := name != "" && len(name) <= 100 && strings.TrimSpace(name) == name
	for _, r := range name {
		ok = ok && unicode.IsPrint(r) && r != unicode.ReplacementChar
	}
	if !ok {
		return fmt.Errorf("%s name %q: want 1 to 100 printable characters without spaces around them", kind, name)
	}
	return nil
}
