package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"gatehouse/api"
	"gatehouse/internal/web"
	"gatehouse/scim"
	"gatehouse/store"
	"gatehouse/ui"
)

type versionCmd struct{}

// Help shows an example.
func (versionCmd) Help() string { return "Example: gatehouse version --json" }

// Run prints the version.
func (versionCmd) Run(a *app) error {
	return a.print(map[string]string{"version": version}, "gatehouse "+version+"\n")
}

type migrateCmd struct{}

// Help shows an example.
func (migrateCmd) Help() string {
	return `'gatehouse serve' does this by itself; run it beforehand to choose the moment.
Several may run at once: one works, the others wait.

Example: gatehouse migrate --database-url postgres://gatehouse@db.example/gatehouse`
}

// Run migrates.
func (migrateCmd) Run(a *app) error {
	v, err := store.Migrate(a.ctx, a.cfg.DatabaseURL)
	if err != nil {
		return err
	}
	return a.print(map[string]int64{"schema": v}, fmt.Sprintf("The database has schema %d.\n", v))
}

type verifyCmd struct{}

// Help shows an example.
func (verifyCmd) Help() string {
	return `Reads everything and changes nothing; may run beside the server. Exit status 1
when something was found.

Example: gatehouse verify --json`
}

// Run verifies.
func (verifyCmd) Run(a *app) error {
	st, err := store.Open(a.ctx, a.cfg.DatabaseURL, store.Options{Patient: true})
	if err != nil {
		return err
	}
	defer st.Close()
	findings, err := st.Verify(a.ctx)
	if err != nil {
		return err
	}
	text := "Everything is as it must be.\n"
	if len(findings) > 0 {
		var b strings.Builder
		for _, f := range findings {
			fmt.Fprintf(&b, "%s: %s\n", f.Check, f.Detail)
		}
		text = b.String()
	}
	if err := a.print(map[string]any{"findings": findings}, text); err != nil || len(findings) == 0 {
		return err
	}
	return exitStatus(1)
}

type routesCmd struct{}

// Help shows an example.
func (routesCmd) Help() string {
	return `Needs no database and no running server.

Example: gatehouse routes --json`
}

// Run lists the routes of a server that is never started.
func (routesCmd) Run(a *app) error {
	s := &server{scim: new(scim.Server), api: new(api.Server), ui: ui.New(nil, ui.Options{})}
	routes := s.routes()
	slices.SortFunc(routes, func(x, y web.Route) int {
		return cmp.Or(strings.Compare(x.Pattern, y.Pattern), strings.Compare(x.Method, y.Method))
	})
	return a.print(routes, table("METHOD\tADDRESS\tWHO", func(row func(...any)) {
		for _, r := range routes {
			row(cmp.Or(r.Method, "any"), r.Pattern, strings.TrimSpace(string(r.Access)+" "+r.Needs))
		}
	}))
}

// table lays out rows of cells under a head with tabs.
func table(head string, fill func(row func(...any))) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	fill(func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			fmt.Fprint(w, c)
		}
		fmt.Fprintln(w)
	})
	w.Flush()
	return b.String()
}

type tenantCmd struct {
	Add  tenantAddCmd  `cmd:"" help:"Make a tenant."`
	List tenantListCmd `cmd:"" help:"List the tenants."`
}

type tenantAddCmd struct {
	Name string `arg:"" help:"The tenant's name, unique without regard to case."`
}

// Help shows an example.
func (tenantAddCmd) Help() string { return "Example: gatehouse tenant add acme" }

// Run makes the tenant.
func (c *tenantAddCmd) Run(a *app) error {
	if err := checkName("tenant", c.Name); err != nil {
		return err
	}
	st, err := a.openMigrated()
	if err != nil {
		return err
	}
	defer st.Close()
	var t store.Tenant
	err = st.Write(a.ctx, a.actor(""), func(tx *store.Tx) error {
		t, err = tx.CreateTenant(a.ctx, c.Name)
		return err
	})
	if err == nil {
		err = st.EnsureBaselines(a.ctx)
	}
	if err != nil {
		return taken(err, "tenant", c.Name)
	}
	return a.print(t, fmt.Sprintf("Tenant %s is there. Connect its identity provider:\n\n  gatehouse connection add --tenant %s --name entra --idp entra\n", t.Name, t.Name))
}

type tenantListCmd struct{}

// Help shows an example.
func (tenantListCmd) Help() string { return "Example: gatehouse tenant list" }

// Run lists the tenants.
func (tenantListCmd) Run(a *app) error {
	st, err := a.open()
	if err != nil {
		return err
	}
	defer st.Close()
	tenants, err := st.Tenants(a.ctx)
	if err != nil {
		return err
	}
	return a.print(tenants, table("NAME\tID", func(row func(...any)) {
		for _, t := range tenants {
			row(t.Name, t.ID)
		}
	}))
}

// ensureTenant gives the tenant; the default one is made when it is missing.
func ensureTenant(ctx context.Context, st *store.Store, actor store.Actor, name string) (store.Tenant, error) {
	if store.Fold(name) == store.DefaultTenant {
		t, err := st.EnsureTenant(ctx, actor, store.DefaultTenant)
		if err == nil {
			err = st.EnsureBaselines(ctx)
		}
		return t, err
	}
	t, err := st.TenantNamed(ctx, name)
	if err != nil {
		return t, fmt.Errorf("there is no tenant %q: 'gatehouse tenant add %s' makes it", name, name)
	}
	return t, nil
}
