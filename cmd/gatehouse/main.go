// Command gatehouse is the server that identity providers write people and
// groups to, and the tool that administers it.
//
//	gatehouse demo                  a sample company, nothing to configure
//	gatehouse connection add …      make a SCIM endpoint for a provider
//	gatehouse serve                 run it
//
// main.go reads the command line, config.go holds the settings, run.go is the
// one place where the parts meet, and every other file is a subcommand.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"os/user"
	"slices"
	"syscall"

	"github.com/alecthomas/kong"

	"gatehouse/internal/policyfile"
	"gatehouse/store"
)

// version is set when a release is built.
var version = "dev"

// app is what every subcommand works with.
type app struct {
	ctx    context.Context
	stdout io.Writer
	stderr io.Writer
	cfg    *settings
}

// cli is the command line.
type cli struct {
	settings `embed:""`

	Serve      serveCmd      `cmd:"" help:"Run the server."`
	Demo       demoCmd       `cmd:"" help:"Run a sample company on embedded SQLite: nothing to configure."`
	Migrate    migrateCmd    `cmd:"" help:"Bring the database to this program's schema."`
	Verify     verifyCmd     `cmd:"" help:"Look through the whole database for what must never be."`
	Tenant     tenantCmd     `cmd:"" help:"Tenants: one for each customer."`
	Connection connectionCmd `cmd:"" help:"Connections: one for each identity provider of a tenant."`
	BreakGlass breakGlassCmd `cmd:"" help:"Let yourself in when no owner of a tenant can sign in."`
	Token      tokenCmd      `cmd:"" help:"Tokens: what a provider shows to write to its connection."`
	Client     clientCmd     `cmd:"" help:"OAuth clients: what a provider gets short-lived access tokens with."`
	Export     exportCmd     `cmd:"" help:"Write products, sites and grants as a file."`
	Plan       planCmd       `cmd:"" help:"Show what a file of products, sites and grants would change, and for whom."`
	Apply      applyCmd      `cmd:"" help:"Make a tenant what a file of products, sites and grants says."`
	Sites      sitesCmd      `cmd:"" help:"Sites: where access is given, from and to spreadsheets."`
	Explain    explainCmd    `cmd:"" help:"Say whether somebody may do something somewhere, and why."`
	Compare    compareCmd    `cmd:"" help:"Say whose access changed between two days, and why."`
	Key        keyCmd        `cmd:"" help:"Product keys: what a product calls the API with."`
	Requests   requestsCmd   `cmd:"" help:"Requests: what a provider really sent, what it was answered, and why it failed."`
	Webhook    webhookCmd    `cmd:"" help:"Webhooks: where products are told what changes."`
	Replay     replayCmd     `cmd:"" help:"Play recorded identity-provider traffic against a SCIM endpoint."`
	Routes     routesCmd     `cmd:"" help:"List every address that the server answers, and who may use it."`
	Version    versionCmd    `cmd:"" help:"Print the version."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(Main(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Main runs the program and gives its exit status: 0, 1 when it failed, 2 when
// the command line is wrong.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	exit := -1
	parser, err := kong.New(&c,
		kong.Name("gatehouse"),
		kong.Description("Gatehouse receives people and groups from identity providers over SCIM 2.0."),
		kong.DefaultEnvars("GATEHOUSE"),
		kong.Configuration(yamlSettings),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{"version": version},
	)
	if err != nil {
		fmt.Fprintln(stderr, "gatehouse:", err)
		return 2
	}
	if os.Getenv("GATEHOUSE_CONFIG") == "" {
		os.Unsetenv("GATEHOUSE_CONFIG") // set but empty means none
	}
	command, err := parser.Parse(args)
	if exit >= 0 { // help was asked for and printed
		return exit
	}
	if err != nil {
		if slices.Contains(args, "--json") {
			json.NewEncoder(stderr).Encode(map[string]string{"error": err.Error()})
			return 2
		}
		fmt.Fprintf(stderr, "gatehouse: %v\nRun 'gatehouse --help' or 'gatehouse COMMAND --help'.\n", err)
		return 2
	}
	a := &app{ctx: ctx, stdout: stdout, stderr: stderr, cfg: &c.settings}
	err = command.Run(a)
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return int(status)
	}
	a.complain(err)
	return 1
}

// exitStatus ends the program with a status when everything has been said.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// complain says what went wrong, to a person or, with --json, to a program.
func (a *app) complain(err error) {
	if !a.cfg.JSON {
		fmt.Fprintln(a.stderr, "gatehouse:", err)
		return
	}
	complaint := map[string]any{"error": err.Error()}
	if mistakes := (policyfile.Mistakes)(nil); errors.As(err, &mistakes) {
		complaint["mistakes"] = mistakes
	}
	json.NewEncoder(a.stderr).Encode(complaint)
}

// print writes a result: as one line of JSON with --json, otherwise as text for
// people.
func (a *app) print(result any, text string) error {
	if a.cfg.JSON {
		return json.NewEncoder(a.stdout).Encode(result)
	}
	_, err := io.WriteString(a.stdout, store.Straight(text))
	return err
}

// printFile writes a file of a tenant, for a program to read.
func (a *app) printFile(t store.Tenant, text []byte) error {
	if a.cfg.JSON {
		return a.print(map[string]string{"tenant": t.Name, "file": string(text)}, "")
	}
	_, err := a.stdout.Write(text)
	return err
}

// open opens the database of the settings; it must be migrated.
func (a *app) open(opts store.Options) (*store.Store, error) {
	opts.Connections = a.cfg.DatabaseConnections
	return store.Open(a.ctx, a.cfg.DatabaseURL, opts)
}

// openMigrated brings the database to the newest schema first.
func (a *app) openMigrated(opts store.Options) (*store.Store, error) {
	if _, err := store.Migrate(a.ctx, a.cfg.DatabaseURL); err != nil {
		return nil, err
	}
	st, err := a.open(opts)
	if err != nil {
		return nil, err
	}
	if err := st.EnsureBaselines(a.ctx); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

// actor is the person at the terminal.
func (a *app) actor(tenant store.TenantID) store.Actor {
	name := os.Getenv("SUDO_USER")
	if name == "" {
		name = os.Getenv("USER")
	}
	if u, err := user.Current(); name == "" && err == nil {
		name = u.Username
	}
	return store.Actor{Tenant: tenant, Kind: store.ActorCLI, ID: name}
}

// with opens the database and hands it to f with the tenant of that name.
func (a *app) with(tenant string, f func(*store.Store, store.Tenant) error) error {
	st, err := a.open(store.Options{})
	if err != nil {
		return err
	}
	defer st.Close()
	t, err := st.TenantNamed(a.ctx, tenant)
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("there is no tenant %q: 'gatehouse tenant add %s' makes it", tenant, tenant)
	}
	if err != nil {
		return err
	}
	return f(st, t)
}
