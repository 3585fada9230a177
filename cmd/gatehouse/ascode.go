package main

import (
	"fmt"
	"io"
	"os"

	"gatehouse/internal/policyfile"
	"gatehouse/store"
)

type exportCmd struct {
	Tenant string `help:"The tenant." default:"default" placeholder:"NAME"`
}

// Help shows an example.
func (exportCmd) Help() string {
	return `Writes products, sites and grants as YAML, in a stable order. Applied as it is,
it changes nothing. docs/as-code.md describes the format.

Example: gatehouse export --tenant default >policy.yaml`
}

// Run exports.
func (c *exportCmd) Run(a *app) error {
	return a.with(c.Tenant, func(st *store.Store, t store.Tenant) error {
		now, err := st.Snapshot(a.ctx, t.ID)
		if err != nil {
			return err
		}
		text, err := policyfile.Export(now)
		if err != nil {
			return err
		}
		return a.printFile(t, text)
	})
}

// policyFile is the argument of commands that read one.
type policyFile struct {
	Tenant string `help:"The tenant." default:"default" placeholder:"NAME"`
	File   string `arg:"" help:"The file; - is the standard input."`
}

// maxNamed is how many people a plan names on a terminal.
const maxNamed = 50

// read reads the file, as much of it as can be right.
func (p policyFile) read() ([]byte, error) {
	in := os.Stdin
	if p.File != "-" {
		var err error
		if in, err = os.Open(p.File); err != nil {
			return nil, err
		}
		defer in.Close()
	}
	return io.ReadAll(io.LimitReader(in, policyfile.MaxSize+1))
}

// reading is what package policyfile has for a kind of file.
type reading func(name string, data []byte, now store.Snapshot) (*policyfile.Wanted, error)

// plan shows what the file would change. The status is 0 when that is nothing, 2
// when there is something, 1 when it can't be applied.
func (p policyFile) plan(a *app, read reading) error {
	data, err := p.read()
	if err != nil {
		return err
	}
	return a.with(p.Tenant, func(st *store.Store, t store.Tenant) error {
		now, err := st.Snapshot(a.ctx, t.ID)
		if err != nil {
			return err
		}
		wanted, err := read(p.File, data, now)
		if err != nil {
			return err
		}
		plan, err := policyfile.Preview(wanted, now, st.Now())
		if err != nil {
			return err
		}
		text := plan.Text(maxNamed)
		if !plan.Empty() && len(plan.Refused) == 0 {
			text += "\nThe digest of this plan is " + plan.Digest + "\n"
		}
		if err := a.print(plan, text); err != nil {
			return err
		}
		switch {
		case len(plan.Refused) > 0:
			return exitStatus(1)
		case !plan.Empty():
			return exitStatus(2)
		}
		return nil
	})
}

// apply makes the tenant what the file says, and shows what that changed.
func (p policyFile) apply(a *app, read reading, digest string) error {
	data, err := p.read()
	if err != nil {
		return err
	}
	return a.with(p.Tenant, func(st *store.Store, t store.Tenant) error {
		plan, err := applyFile(a, st, t, func(now store.Snapshot) (*policyfile.Wanted, error) {
			return read(p.File, data, now)
		}, digest)
		if err != nil {
			return err
		}
		return a.print(plan, plan.Text(maxNamed))
	})
}

// applyFile applies a file in one transaction.
func applyFile(a *app, st *store.Store, t store.Tenant, source policyfile.Source, digest string) (plan *policyfile.Plan, err error) {
	err = st.Write(a.ctx, a.actor(t.ID), func(tx *store.Tx) (err error) {
		plan, err = policyfile.Apply(a.ctx, tx, t.ID, source, st.Now(), digest)
		return err
	})
	return plan, err
}

type planCmd struct {
	policyFile `embed:""`
}

// Help shows an example.
func (planCmd) Help() string {
	return `Changes nothing. Names the people who would lose, gain or keep something another
way, who loses first, and the rules that would be broken. Exit status 0: nothing
would change; 2: something would; 1: the file is wrong or would be refused.

In CI, plan against the file under review shows what it does, and plan against
the file that is in force shows drift.

Example: gatehouse plan --tenant default policy.yaml`
}

// Run plans.
func (c *planCmd) Run(a *app) error { return c.plan(a, policyfile.Read) }

type applyCmd struct {
	policyFile `embed:""`
	Digest     string `help:"That of the plan which was agreed to; refused when the plan is another one by now." placeholder:"DIGEST"`
}

// Help shows an example.
func (applyCmd) Help() string {
	return `All of the file or nothing. Refused when a rule of a product, or what must hold,
would be broken, and when nobody would own the tenant. Prints what plan prints.

Example: gatehouse apply --tenant default --digest 0f6b… policy.yaml`
}

// Run applies.
func (c *applyCmd) Run(a *app) error { return c.apply(a, policyfile.Read, c.Digest) }

type sitesCmd struct {
	Import sitesImportCmd `cmd:"" help:"Add and change sites as a CSV file says."`
	Export sitesExportCmd `cmd:"" help:"Write the sites as a CSV file."`
}

type sitesImportCmd struct {
	policyFile `embed:""`
	DryRun     bool   `help:"Show what would change, as 'gatehouse plan' does, and change nothing."`
	Digest     string `help:"That of the plan which was agreed to; refused when the plan is another one by now." placeholder:"DIGEST"`
}

// Help shows an example.
func (sitesImportCmd) Help() string {
	return `The columns are dimension, key, name, parent and archived (yes or no), in any
order; the parent is named by its key. Sites that the file doesn't name stay as
they are, and so does what a column that it doesn't have would say.

Example: gatehouse sites import --tenant default sites.csv`
}

// Run imports.
func (c *sitesImportCmd) Run(a *app) error {
	if c.DryRun {
		return c.plan(a, policyfile.ReadSites)
	}
	return c.apply(a, policyfile.ReadSites, c.Digest)
}

type sitesExportCmd struct {
	Tenant string `help:"The tenant." default:"default" placeholder:"NAME"`
	File   string `arg:"" optional:"" help:"The file to write; the standard output without one."`
}

// Help shows an example.
func (sitesExportCmd) Help() string {
	return `A cell that a spreadsheet would take for a formula begins with an apostrophe, which
import takes away again.

Example: gatehouse sites export --tenant default sites.csv`
}

// Run exports.
func (c *sitesExportCmd) Run(a *app) error {
	return a.with(c.Tenant, func(st *store.Store, t store.Tenant) error {
		now, err := st.Snapshot(a.ctx, t.ID)
		if err != nil {
			return err
		}
		text, err := policyfile.ExportSites(now)
		if err != nil {
			return err
		}
		if c.File == "" {
			return a.printFile(t, text)
		}
		if err := os.WriteFile(c.File, text, 0o600); err != nil {
			return err
		}
		n := len(now.Catalogue.Sites)
		return a.print(map[string]any{"tenant": t.Name, "sites": n}, fmt.Sprintf("%d sites are in %s.\n", n, c.File))
	})
}
