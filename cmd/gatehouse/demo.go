package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/examples"
	"gatehouse/internal/fixture"
	"gatehouse/internal/mail"
	"gatehouse/internal/policyfile"
	"gatehouse/store"

	"github.com/alecthomas/kong"
)

type demoCmd struct {
	Data   string `help:"Folder for the demo's data; delete it to start over." default:"gatehouse-demo" placeholder:"DIR"`
	Listen string `help:"Address to listen on; by default 127.0.0.1:8080, or a free port when that is taken." placeholder:"HOST:PORT"`
}

// Help shows an example.
func (demoCmd) Help() string {
	return `Makes a sample company, lets "Entra" and "Okta" provision it over HTTP, prints
where to look, and serves until Ctrl-C. DIR/demo.json holds the same for programs.

Example: gatehouse demo --data /tmp/gatehouse-demo`
}

// demoInfo is demo.json: what a person, or a script, needs to look around.
type demoInfo struct {
	ConsoleURL string       `json:"console_url"`
	SCIMURL    string       `json:"scim_url"`
	SCIMToken  string       `json:"scim_token"`
	Tenant     string       `json:"tenant"`
	Product    string       `json:"product"`
	APIKey     string       `json:"api_key"`
	APIURL     string       `json:"api_url"`
	People     []demoPerson `json:"people"`
	// Connections are both of the demo's; scim_url and scim_token are the first's.
	Connections []demoConnection `json:"connections"`
}

type demoPerson struct {
	Name       string `json:"name"`
	UserName   string `json:"user_name"`
	Title      string `json:"title"`
	Connection string `json:"connection"`
	Active     bool   `json:"active"`
	// Role is who one can be by her, and SignIn the address that does it; empty for
	// most.
	Role   string `json:"role,omitempty"`
	SignIn string `json:"sign_in_url,omitempty"`
}

type demoConnection struct {
	Name  string             `json:"name"`
	ID    store.ConnectionID `json:"id"`
	URL   string             `json:"scim_url"`
	Token string             `json:"scim_token"`
}

// Run shows the demo.
func (c *demoCmd) Run(a *app) error {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return err
	}
	dir, err := filepath.Abs(c.Data)
	if err != nil {
		return err
	}
	cfg := *a.cfg
	cfg.DatabaseURL = "sqlite://" + filepath.Join(dir, "gatehouse.db")
	a.cfg = &cfg
	st, err := a.openMigrated(store.Options{})
	if err != nil {
		return err
	}
	defer st.Close()

	l, err := c.listen()
	if err != nil {
		return err
	}
	log, closeLog, err := demoLog(filepath.Join(dir, "gatehouse.log"), cfg.LogLevel)
	if err != nil {
		return err
	}
	defer closeLog()
	signIn, err := startDemoSignIn()
	if err != nil {
		return err
	}
	defer signIn.server.Close()
	settings, err := demoSettings()
	if err != nil {
		return err
	}
	settings.standIns = signIn.standIns
	s, err := newServer(a.ctx, settings, st, log)
	if err != nil {
		return err
	}

	ctx, stop := context.WithCancel(a.ctx)
	defer stop()
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- s.run(ctx, l, func(addr string) { ready <- addr }) }()
	select {
	case err := <-done:
		return err
	case addr := <-ready:
		err := c.show(ctx, a, st, signIn, dir, "http://"+addr)
		if err != nil {
			stop()
			return errors.Join(ignoreCanceled(err), <-done)
		}
	}
	return <-done
}

// demoSettings are the server's own defaults, but for what the demo does in the
// internet's place: the console shows what is in force.
func demoSettings() (serveSettings, error) {
	// A browser's spare connection counts as idle after five seconds.
	s := serveSettings{ShutdownTimeout: 10 * time.Second, LoopbackIssuers: true, mailSettings: mailSettings{shown: &mail.Shown{}}}
	return s, kong.ApplyDefaults(&s)
}

// ignoreCanceled drops the error of a demo that was stopped before it stood.
func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

func (c *demoCmd) listen() (net.Listener, error) {
	if c.Listen != "" {
		return net.Listen("tcp", c.Listen)
	}
	if l, err := net.Listen("tcp", "127.0.0.1:8080"); err == nil {
		return l, nil
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// demoLog writes the server's log to a file: the terminal is for people.
func demoLog(file string, level slog.Level) (*slog.Logger, func(), error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	log, flush := newLog(f, level)
	return log, func() {
		flush()
		f.Close()
	}, nil
}

// show makes the company, unless an earlier run did, and says where to look.
func (c *demoCmd) show(ctx context.Context, a *app, st *store.Store, signIn *demoSignIn, dir, url string) error {
	file := filepath.Join(dir, "demo.json")
	info, err := readDemo(file)
	if err != nil {
		return err
	}
	fresh := len(info.Connections) == 0
	if fresh {
		if info, err = c.company(ctx, a, st, url); err != nil {
			return err
		}
	}
	if info.APIKey == "" {
		if err := c.key(a, st, &info); err != nil {
			return fmt.Errorf("a key for the demo's product: %w", err)
		}
	}
	info.at(url)
	if err := signIn.connect(ctx, a, st, &info, url); err != nil {
		return fmt.Errorf("signing in: %w", err)
	}
	data, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return a.print(info, info.text(c.Data, fresh))
}

// readDemo reads what an earlier run wrote; nothing if there was none.
func readDemo(file string) (demoInfo, error) {
	var info demoInfo
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return info, nil
	case err != nil:
		return info, err
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return info, fmt.Errorf("%s: %w (delete the folder to start over)", file, err)
	}
	return info, nil
}

// at puts the address of this run into all URLs: the port may be another one.
func (d *demoInfo) at(url string) {
	// Passkeys are for a name: at an address that is a number there are none.
	d.ConsoleURL, d.APIURL = strings.Replace(url, "//127.0.0.1", "//localhost", 1)+"/", url
	for i, c := range d.Connections {
		d.Connections[i].URL = url + "/scim/" + string(c.ID) + "/v2"
	}
	d.SCIMURL, d.SCIMToken = d.Connections[0].URL, d.Connections[0].Token
}

// company lets both providers provision the sample company.
func (c *demoCmd) company(ctx context.Context, a *app, st *store.Store, url string) (demoInfo, error) {
	info := demoInfo{Tenant: store.DefaultTenant}
	for _, p := range []struct {
		name, idp, title string
		provider         fixture.Provider
		play             func(*fixture.Client, context.Context, fixture.Provider) error
	}{
		{"entra", store.IdPEntra, "Microsoft Entra ID: initial cycle", fixture.Entra(), (*fixture.Client).PlayEntra},
		{"okta", store.IdPOkta, "Okta: assignments and group push", fixture.Okta(), (*fixture.Client).PlayOkta},
	} {
		conn, err := addConnection(a, st, publicURL{}, store.DefaultTenant, p.name, p.idp, 365*24*time.Hour)
		if err != nil {
			return info, fmt.Errorf("%w (an earlier demo was interrupted? delete %s to start over)", err, c.Data)
		}
		info.Connections = append(info.Connections, demoConnection{Name: p.name, ID: conn.ID, Token: conn.Token})
		client := &fixture.Client{
			URL:      url + "/scim/" + string(conn.ID) + "/v2",
			Token:    conn.Token,
			HTTP:     http.DefaultClient,
			Progress: a.progress(p.title),
		}
		if err := p.play(client, ctx, p.provider); err != nil {
			return info, fmt.Errorf("%s: %w", p.title, err)
		}
		a.progressDone(fmt.Sprintf("%s: %d people, %d groups", p.title, len(p.provider.People), len(p.provider.Groups)))
		for _, person := range p.provider.People {
			info.People = append(info.People, demoPerson{
				Name: person.Name(), UserName: person.UserName(p.provider.Domain), Title: person.Title,
				Connection: p.name, Active: !person.Inactive,
			})
		}
	}
	if err := c.access(ctx, a, st); err != nil {
		return info, fmt.Errorf("access of the sample company: %w", err)
	}
	return info, nil
}

// access lets the company use five products: the examples. The people of Dijkwerk
// are its clients.
func (c *demoCmd) access(ctx context.Context, a *app, st *store.Store) error {
	t, err := st.TenantNamed(ctx, store.DefaultTenant)
	if err != nil {
		return err
	}
	now, err := st.Snapshot(ctx, t.ID)
	if err != nil {
		return err
	}
	err = st.Write(ctx, a.actor(t.ID), func(tx *store.Tx) error {
		for id, named := range now.Users {
			if named.Connection != "okta" {
				continue
			}
			_, err := tx.ChangePerson(ctx, store.UserID(id), func(p store.Person) store.Person {
				p.Kind = access.KindClient
				return p
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	files, err := fs.Glob(examples.Files, "*.yaml")
	if err != nil {
		return err
	}
	for _, file := range files {
		data, err := fs.ReadFile(examples.Files, file)
		if err != nil {
			return err
		}
		_, err = applyFile(a, st, t, func(now store.Snapshot) (*policyfile.Wanted, error) {
			return policyfile.Read(file, data, now)
		}, "")
		if err != nil {
			return err
		}
	}
	if err := consoleRoles(ctx, a, st, t); err != nil {
		return err
	}
	a.progressDone(fmt.Sprintf("Access: %d products, as 'gatehouse export' shows them", len(files)))
	return nil
}

// key lets ClickTime ask.
func (c *demoCmd) key(a *app, st *store.Store, info *demoInfo) error {
	t, err := st.TenantNamed(a.ctx, store.DefaultTenant)
	if err != nil {
		return err
	}
	key, err := addKey(a, st, publicURL{}, t, "clicktime", true, 365*24*time.Hour)
	info.Product, info.APIKey = string(key.Product), key.Key
	return err
}

// progress shows how many requests were made, on one line, if a person watches.
func (a *app) progress(title string) func(int) {
	if !isTerminal(a.stderr) || a.cfg.JSON {
		return nil
	}
	return func(n int) { fmt.Fprintf(a.stderr, "\r\x1b[K%s … %d requests", title, n) }
}

func (a *app) progressDone(text string) {
	if a.cfg.JSON {
		return
	}
	if isTerminal(a.stderr) {
		fmt.Fprint(a.stderr, "\r\x1b[K")
	}
	fmt.Fprintln(a.stderr, text)
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// decision asks for one, in one line.
func (d demoInfo) decision() string {
	return fmt.Sprintf(`curl %s/p/%s/access/v1/evaluation -H "Authorization: Bearer %s" --json '{"subject":{"type":"user","id":"alice.jansen@waterland.example"},`+
		`"action":{"name":"timesheet.maintain"},"resource":{"type":"site","id":"uithof","properties":{"team":"cleaning"}},"context":{"explain":true}}'`,
		d.APIURL, d.Product, d.APIKey)
}

func (d demoInfo) text(dir string, fresh bool) string {
	head := "This is Waterland, a sample company, as an earlier run left it."
	if fresh {
		head = "This is Waterland, a sample company. Its people and groups came in over SCIM just now."
	}
	return fmt.Sprintf(`
%s

  Console    %s (one click signs you in as whom you choose)
  Mails      %sdemo/mail
  SCIM URL   %s
  Token      %s

Try it:

  curl -H "Authorization: Bearer %s" \
    "%s/Users?filter=userName+eq+%%22ada.byron@waterland.example%%22"

May Alice change time sheets at the Uithof?

  %s

All of this is in %s. Delete the folder %s to start over.
Press Ctrl-C to stop.
`, head, d.ConsoleURL, d.ConsoleURL, d.SCIMURL, d.SCIMToken, d.SCIMToken, d.SCIMURL, d.decision(), filepath.Join(dir, "demo.json"), dir)
}
