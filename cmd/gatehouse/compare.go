package main

import (
	"cmp"
	"errors"
	"fmt"

	"gatehouse/access"
	"gatehouse/internal/policyfile"
	"gatehouse/store"
)

type compareCmd struct {
	Tenant     string `help:"The tenant." default:"default" placeholder:"NAME"`
	From       string `help:"Since when: a day, which begins at midnight UTC, or an instant (RFC 3339)." required:"" placeholder:"TIME"`
	To         string `help:"Until when; now, without." placeholder:"TIME"`
	User       string `help:"Only this person, by userName or id." placeholder:"NAME"`
	Connection string `help:"Where the person comes from, if two connections have that userName." placeholder:"NAME"`
	Product    string `help:"Only this product." placeholder:"ID"`
	Site       string `help:"Only at this site: its dimension and key." placeholder:"DIMENSION=KEY"`
}

// Help shows an example.
func (compareCmd) Help() string {
	return `Names whose access changed between two points in time, who lost first, and by which
groups and grants they had it or have it. Changes in between that came to nothing
are not told; the audit trail has those.

Example: gatehouse compare --tenant default --from 2026-11-01 --to 2026-12-01 --site site=sydney`
}

// Run compares.
func (c *compareCmd) Run(a *app) error {
	return a.with(c.Tenant, func(st *store.Store, t store.Tenant) error {
		was, from, err := snapshot(a, st, t, c.From)
		if err != nil {
			return err
		}
		is, to, err := snapshot(a, st, t, c.To)
		if err != nil {
			return err
		}
		if !from.Before(to) {
			return errors.New("--from has to be before --to")
		}
		about, err := c.about(was, is)
		if err != nil {
			return err
		}
		compared, err := policyfile.Compare(was, is, from, to, about)
		if err != nil {
			return err
		}
		return a.print(compared, compared.Text(maxNamed))
	})
}

// about finds what is asked about in one of the two states, the later one first: who
// or what isn't there any more is known by the other.
func (c *compareCmd) about(was, is store.Snapshot) (about policyfile.About, err error) {
	find := func(asked string, in func(store.Snapshot, *access.Policy) error) {
		if asked == "" || err != nil {
			return
		}
		for _, s := range []store.Snapshot{is, was} {
			p, broken := access.NewPolicy(s.Catalogue, s.Grants)
			if broken != nil {
				err = broken
				return
			}
			missing := in(s, p)
			if missing == nil {
				err = nil
				return
			}
			err = cmp.Or(err, missing)
		}
	}
	find(c.User, func(s store.Snapshot, _ *access.Policy) (err error) {
		about.User, err = person(s, c.User, c.Connection, "")
		return err
	})
	find(c.Product, func(_ store.Snapshot, p *access.Policy) error {
		about.Product = access.ProductID(c.Product)
		if _, ok := p.Product(about.Product); !ok {
			return fmt.Errorf("there is no product %q", c.Product)
		}
		return nil
	})
	find(c.Site, func(_ store.Snapshot, p *access.Policy) (err error) {
		about.Site, err = siteNamed(p, c.Site)
		return err
	})
	return about, err
}
