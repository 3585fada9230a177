package main

import (
	"errors"
	"fmt"
	"strings"

	"gatehouse/store"
)

type tokenCmd struct {
	Add    tokenAddCmd    `cmd:"" help:"Make a token; two of a connection work at a time."`
	List   tokenListCmd   `cmd:"" help:"List a connection's tokens."`
	Revoke tokenRevokeCmd `cmd:"" help:"End a token at once."`
}

// ofConnection names the connection that a token command is about.
type ofConnection struct {
	Tenant     string `help:"The tenant." default:"default" placeholder:"NAME"`
	Connection string `help:"The connection, by name or id." required:"" placeholder:"NAME"`
}

func (o ofConnection) with(a *app, f func(*store.Store, store.Tenant, store.Connection) error) error {
	return a.with(o.Tenant, func(st *store.Store, t store.Tenant) error {
		c, err := st.ConnectionNamed(a.ctx, t.ID, o.Connection)
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("tenant %q has no connection %q: 'gatehouse connection list --tenant %s' shows those it has", t.Name, o.Connection, t.Name)
		}
		if err != nil {
			return err
		}
		return f(st, t, c)
	})
}

type tokenAddCmd struct {
	ofConnection `embed:""`
	publicURL    `embed:""`
	expiry       `embed:""`
}

// Help shows an example.
func (tokenAddCmd) Help() string {
	return `To change tokens without a gap: add the new one, paste it into the identity
provider, test the connection there, then revoke the old one.

Example: gatehouse token add --tenant default --connection entra`
}

// AfterApply refuses settings that can't work.
func (c *tokenAddCmd) AfterApply() error {
	return errors.Join(c.publicURL.AfterApply(), c.expiry.AfterApply())
}

// Run makes the token.
func (c *tokenAddCmd) Run(a *app) error {
	return c.with(a, func(st *store.Store, t store.Tenant, conn store.Connection) error {
		var token store.Token
		var secret string
		err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) error {
			var err error
			token, secret, err = tx.CreateToken(a.ctx, conn, deadline(st.Now(), c.Expires))
			return err
		})
		if errors.Is(err, store.ErrLimit) {
			return fmt.Errorf("%w: revoke one of them first; 'gatehouse token list --connection %s' shows them", err, conn.Name)
		}
		if err != nil {
			return err
		}
		p := newAdded(c.publicURL, t, conn, token, secret)
		return a.print(p, p.text())
	})
}

type tokenListCmd struct {
	ofConnection `embed:""`
}

// Help shows an example.
func (tokenListCmd) Help() string { return "Example: gatehouse token list --connection entra" }

// Run lists the tokens.
func (c *tokenListCmd) Run(a *app) error {
	return c.with(a, func(st *store.Store, _ store.Tenant, conn store.Connection) error {
		tokens, err := st.Tokens(a.ctx, conn.Ref())
		if err != nil {
			return err
		}
		return a.print(tokens, table("TOKEN\tSTATE\tMADE\tEXPIRES\tLAST USED\tID", func(row func(...any)) {
			for _, t := range tokens {
				state := "live"
				switch {
				case !t.RevokedAt.IsZero():
					state = "revoked"
				case !t.Live(st.Now()):
					state = "expired"
				}
				row("…"+t.Hint, state, moment(t.CreatedAt), moment(t.ExpiresAt), moment(t.LastUsedAt), t.ID)
			}
		}))
	})
}

type tokenRevokeCmd struct {
	ofConnection `embed:""`
	Token        string `arg:"" help:"The token's id, or its last four characters."`
}

// Help shows an example.
func (tokenRevokeCmd) Help() string {
	return `A running server refuses the token within half a second.

Example: gatehouse token revoke --connection entra 9f2c`
}

// Run revokes the token.
func (c *tokenRevokeCmd) Run(a *app) error {
	return c.with(a, func(st *store.Store, t store.Tenant, conn store.Connection) error {
		var token store.Token
		if strings.HasPrefix(c.Token, store.TokenPrefix) {
			// A whole token, pasted: its end names it, and nothing repeats the rest.
			c.Token = c.Token[len(c.Token)-min(4, len(c.Token)):]
		}
		err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) error {
			var err error
			token, err = tx.RevokeToken(a.ctx, conn, c.Token)
			return err
		})
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("connection %q has no live token %q: 'gatehouse token list --connection %s' shows them", conn.Name, c.Token, conn.Name)
		}
		if err != nil {
			return err
		}
		return a.print(token, fmt.Sprintf("Token …%s of connection %s no longer works.\n", token.Hint, conn.Name))
	})
}
