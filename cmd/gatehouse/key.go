package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

type keyCmd struct {
	Add    keyAddCmd    `cmd:"" help:"Make a key of a product; several work at a time."`
	List   keyListCmd   `cmd:"" help:"List a product's keys."`
	Revoke keyRevokeCmd `cmd:"" help:"End a key at once."`
}

// ofProduct names the product that a key command is about.
type ofProduct struct {
	Tenant  string `help:"The tenant." default:"default" placeholder:"NAME"`
	Product string `help:"The product, by its key." required:"" placeholder:"PRODUCT"`
}

// explain says what to do about the errors that key commands have in common.
func (o ofProduct) explain(err error) error {
	switch {
	case errors.Is(err, store.ErrLimit):
		return fmt.Errorf("%w: revoke one of them first; 'gatehouse key list --product %s' shows them", err, o.Product)
	case errors.Is(err, store.ErrNotFound):
		return fmt.Errorf("tenant %q has no product %q", o.Tenant, o.Product)
	}
	return err
}

// addedKey is what a new key prints.
type addedKey struct {
	Tenant    string           `json:"tenant"`
	Product   access.ProductID `json:"product"`
	APIURL    string           `json:"api_url"`
	AuthZEN   string           `json:"policy_decision_point"`
	Key       string           `json:"api_key"`
	KeyID     store.KeyID      `json:"key_id"`
	Search    bool             `json:"search"`
	ExpiresAt *time.Time       `json:"expires_at"`
}

func (p addedKey) text() string {
	until, may := "for ever", "answers single questions; 'key add --search' makes one that may search, too"
	if p.ExpiresAt != nil {
		until = "until " + p.ExpiresAt.Format("2 January 2006")
	}
	if p.Search {
		may = "answers single questions and searches"
	}
	return fmt.Sprintf("AuthZEN URL  %s\nKey          %s\n\nThe key works %s and can't be shown again. It %s.\n", p.AuthZEN, p.Key, until, may)
}

type keyAddCmd struct {
	ofProduct `embed:""`
	publicURL `embed:""`
	expiry    `embed:""`
	Search    bool `help:"Let the key list who may do something, and where somebody may."`
}

// Help shows an example.
func (keyAddCmd) Help() string {
	return `The product shows the key as "Authorization: Bearer ghp_…". To change keys without
a gap: add the new one, give it to the product, then revoke the old one.

Example: gatehouse key add --tenant default --product clicktime`
}

// AfterApply refuses settings that can't work.
func (c *keyAddCmd) AfterApply() error {
	return errors.Join(c.publicURL.AfterApply(), c.expiry.AfterApply())
}

// Run makes the key.
func (c *keyAddCmd) Run(a *app) error {
	return a.with(c.Tenant, func(st *store.Store, t store.Tenant) error {
		p, err := addKey(a, st, c.publicURL, t, access.ProductID(c.Product), c.Search, c.Expires)
		if err != nil {
			return c.explain(err)
		}
		return a.print(p, p.text())
	})
}

func addKey(a *app, st *store.Store, base publicURL, t store.Tenant, product access.ProductID, search bool, expires time.Duration) (addedKey, error) {
	var key store.Key
	var secret string
	err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) error {
		var err error
		key, secret, err = tx.CreateKey(a.ctx, product, search, deadline(st.Now(), expires))
		return err
	})
	if err != nil {
		return addedKey{}, err
	}
	address := strings.TrimSuffix(cmp.Or(base.URL, "http://127.0.0.1:8080"), "/")
	p := addedKey{
		Tenant: t.Name, Product: product, APIURL: address, AuthZEN: address + "/p/" + url.PathEscape(string(product)),
		Key: secret, KeyID: key.ID, Search: search,
	}
	if !key.ExpiresAt.IsZero() {
		p.ExpiresAt = &key.ExpiresAt.Time
	}
	return p, nil
}

type keyListCmd struct {
	ofProduct `embed:""`
}

// Help shows an example.
func (keyListCmd) Help() string { return "Example: gatehouse key list --product clicktime" }

// Run lists the keys.
func (c *keyListCmd) Run(a *app) error {
	return a.with(c.Tenant, func(st *store.Store, t store.Tenant) error {
		policy, _, err := st.Policy(a.ctx, t.ID)
		if err != nil {
			return err
		}
		if _, ok := policy.Product(access.ProductID(c.Product)); !ok {
			return c.explain(store.ErrNotFound)
		}
		keys, err := st.Keys(a.ctx, t.ID, access.ProductID(c.Product))
		if err != nil {
			return err
		}
		return a.print(keys, table("KEY\tSTATE\tSEARCH\tMADE\tEXPIRES\tLAST USED\tID", func(row func(...any)) {
			for _, k := range keys {
				state, search := "live", "no"
				switch {
				case !k.RevokedAt.IsZero():
					state = "revoked"
				case !k.Live(st.Now()):
					state = "expired"
				}
				if k.Search {
					search = "yes"
				}
				row("…"+k.Hint, state, search, moment(k.CreatedAt), moment(k.ExpiresAt), moment(k.LastUsedAt), k.ID)
			}
		}))
	})
}

type keyRevokeCmd struct {
	ofProduct `embed:""`
	Key       string `arg:"" help:"The key's id, or its last four characters."`
}

// Help shows an example.
func (keyRevokeCmd) Help() string {
	return `A running server refuses the key within half a second.

Example: gatehouse key revoke --product clicktime 9f2c`
}

// Run revokes the key.
func (c *keyRevokeCmd) Run(a *app) error {
	return a.with(c.Tenant, func(st *store.Store, t store.Tenant) error {
		if strings.HasPrefix(c.Key, store.KeyPrefix) {
			// A whole key, pasted: its end names it, and nothing repeats the rest.
			c.Key = c.Key[len(c.Key)-min(4, len(c.Key)):]
		}
		var key store.Key
		err := st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) error {
			var err error
			key, err = tx.RevokeKey(a.ctx, access.ProductID(c.Product), c.Key)
			return err
		})
		if errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("product %q has no live key %q: 'gatehouse key list --product %s' shows them", c.Product, c.Key, c.Product)
		}
		if err != nil {
			return err
		}
		return a.print(key, fmt.Sprintf("Key …%s of product %s no longer works.\n", key.Hint, c.Product))
	})
}
