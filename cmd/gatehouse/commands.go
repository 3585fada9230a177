package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
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

type verifyCmd struct {
	Seal []string `placeholder:"TENANT:NUMBER:HASH" help:"A seal of the log that was noted before, to compare (repeatable)."`
}

// Help shows an example.
func (verifyCmd) Help() string {
	return `Reads everything and changes nothing; may run beside the server. Exit status 1
when something was found. Of each tenant it says where the seals of its log end:
noted elsewhere, that is what a later --seal is compared with.

Example: gatehouse verify --json`
}

// sealedLog is where a tenant's seals end.
type sealedLog struct {
	Tenant string `json:"tenant"`
	store.LogCheck
}

// Run verifies.
func (c verifyCmd) Run(a *app) error {
	st, err := store.Open(a.ctx, a.cfg.DatabaseURL, store.Options{Patient: true})
	if err != nil {
		return err
	}
	defer st.Close()
	findings, err := st.Verify(a.ctx)
	if err != nil {
		return err
	}
	noted, err := c.compareNoted(a, st)
	if err != nil {
		return err
	}
	findings = append(findings, noted...)
	logs, err := sealedLogs(a.ctx, st)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s: %s\n", f.Check, f.Detail)
	}
	if len(findings) == 0 {
		b.WriteString("Everything is as it must be.\n")
	}
	for _, l := range logs {
		fmt.Fprintln(&b, l)
	}
	if err := a.print(map[string]any{"findings": findings, "logs": logs}, b.String()); err != nil || len(findings) == 0 {
		return err
	}
	return exitStatus(1)
}

// compareNoted finds noted seals that the log doesn't have.
func (c verifyCmd) compareNoted(a *app, st *store.Store) (findings []store.Finding, err error) {
	for _, noted := range c.Seal {
		// From behind, since a tenant's name may hold anything.
		rest, hash, _ := cutLast(noted, ":")
		name, number, found := cutLast(rest, ":")
		seq, numberErr := strconv.ParseInt(number, 10, 64)
		if !found || numberErr != nil {
			return nil, fmt.Errorf("--seal %q: want TENANT:NUMBER:HASH, as 'gatehouse verify' prints them", noted)
		}
		t, err := st.TenantNamed(a.ctx, name)
		if err != nil {
			return nil, err
		}
		got, err := st.SealHash(a.ctx, t.ID, seq)
		switch {
		case errors.Is(err, store.ErrNotFound):
			findings = append(findings, store.Finding{Check: "the log has the seal that was noted", Detail: fmt.Sprintf("tenant %s: there is no seal %d", t.Name, seq)})
		case err != nil:
			return nil, err
		case got != strings.ToLower(hash):
			findings = append(findings, store.Finding{Check: "the log has the seal that was noted", Detail: fmt.Sprintf("tenant %s: seal %d is %s", t.Name, seq, got)})
		}
	}
	return findings, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// sealedLogs gives what verifying has just found of each tenant's log.
func sealedLogs(ctx context.Context, st *store.Store) ([]sealedLog, error) {
	tenants, err := st.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	logs := []sealedLog{}
	for _, t := range tenants {
		if check := st.LastLogCheck(t.ID); !check.At.IsZero() { // else it came a moment ago
			logs = append(logs, sealedLog{t.Name, check})
		}
	}
	return logs, nil
}

// String says it in a line.
func (l sealedLog) String() string {
	if l.Seals == 0 {
		return fmt.Sprintf("%s: not sealed yet: %s, which the server does", l.Tenant, changes(l.Unsealed))
	}
	text := fmt.Sprintf("%s: sealed up to %s:%d:%s: %s", l.Tenant, l.Tenant, l.Seals, l.Hash, changes(l.Changes))
	if l.Unsealed > 0 {
		text += fmt.Sprintf("; not sealed yet: %s", changes(l.Unsealed))
	}
	return text
}

func changes(n int64) string {
	if n == 1 {
		return "1 change"
	}
	return fmt.Sprintf("%d changes", n)
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
	st, err := a.openMigrated(store.Options{})
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
	st, err := a.open(store.Options{})
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
