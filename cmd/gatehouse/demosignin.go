package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"gatehouse/access"
	"gatehouse/internal/demoidp"
	"gatehouse/internal/fixture"
	"gatehouse/store"
	"gatehouse/ui"
)

// demoRole is somebody of the sample company whom a newcomer can be.
type demoRole struct {
	connection, userName string
	// title is what she is, for people.
	title string
	// role is hers in the console, everywhere or at a site of the company.
	role access.RoleID
	site string
}

// demoRoles are one of each kind, in the order in which they are offered.
var demoRoles = []demoRole{
	{connection: "entra", userName: "sam.devries", title: "owner: may do everything", role: access.RoleOwner},
	{connection: "entra", userName: "ada.byron", title: "access administrator: people, roles and mappings", role: access.RoleAccessAdministrator},
	{connection: "entra", userName: "bob.okafor", title: "site administrator of Utrecht", role: access.RoleSiteAdministrator, site: "utrecht"},
	{connection: "entra", userName: "chloe.martin", title: "auditor: sees everything, changes nothing", role: access.RoleAuditor},
	{connection: "entra", userName: "eva.smit", title: "end user: sees her own access"},
	{connection: "okta", userName: "ada.byron", title: "client, of the subsidiary Dijkwerk"},
}

func (d demoRole) name() string {
	return d.userName + "@" + map[string]string{"entra": fixture.EntraDomain, "okta": fixture.OktaDomain}[d.connection]
}

// demoSignIn is the demo's identity provider, and who can be chosen there.
type demoSignIn struct {
	idp    *demoidp.Provider
	issuer string
	server *http.Server

	mu     sync.Mutex
	people []ui.StandIn
}

// startDemoSignIn starts the provider on a free port of this machine.
func startDemoSignIn() (*demoSignIn, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &demoSignIn{issuer: "http://" + l.Addr().String()}
	if d.idp, err = demoidp.New(d.issuer); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	d.server = &http.Server{Handler: d.idp, ReadHeaderTimeout: 10 * time.Second}
	go d.server.Serve(l)
	return d, nil
}

// standIns are whom the sign-in page offers to be.
func (d *demoSignIn) standIns() []ui.StandIn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]ui.StandIn{}, d.people...)
}

// connect has the people of both companies sign in at the provider, at its address of
// this run.
func (d *demoSignIn) connect(ctx context.Context, a *app, st *store.Store, info *demoInfo, address string) error {
	t, err := st.TenantNamed(ctx, info.Tenant)
	if err != nil {
		return err
	}
	sealer, err := sealSignIn(ctx, st, "")
	if err != nil {
		return err
	}
	hosts := []string{address, strings.Replace(address, "127.0.0.1", "localhost", 1)}
	d.name(info, address)
	for _, c := range info.Connections {
		client := demoidp.Client{ID: "gatehouse-" + c.Name, Secret: rand.Text(), Name: map[string]string{"entra": "Waterland", "okta": "Dijkwerk"}[c.Name], Hosts: hosts}
		for _, person := range info.People {
			if person.Connection == c.Name {
				client.People = append(client.People, demoidp.Person{UserName: person.UserName, Name: person.Name, Role: person.Role})
			}
		}
		d.idp.SetClient(client)
		err := st.Write(ctx, a.actor(t.ID), func(tx *store.Tx) error {
			_, err := tx.SetProvider(ctx, store.Provider{
				ConnectionID: c.ID, Issuer: d.issuer, ClientID: client.ID, Enabled: true, Sealed: sealer.Seal(string(c.ID), client.Secret),
				ProviderSettings: store.ProviderSettings{
					Auth: "client_secret_basic", Claim: "preferred_username", Attribute: store.LinkUserName, Scopes: []string{"profile"},
					Domains: []string{map[string]string{"entra": fixture.EntraDomain, "okta": fixture.OktaDomain}[c.Name]}, LogoutThere: true,
				},
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// name says who of the people stands for what, and where she signs in.
func (d *demoSignIn) name(info *demoInfo, address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.people = nil
	for _, one := range demoRoles {
		for i, person := range info.People {
			if person.Connection != one.connection || person.UserName != one.name() {
				continue
			}
			of := ui.StandIn{Connection: info.connection(one.connection), Hint: person.UserName, Name: person.Name, Role: one.title}
			d.people = append(d.people, of)
			info.People[i].Role = one.title
			info.People[i].SignIn = address + "/login/start?" + url.Values{"provider": {string(of.Connection)}, "login_hint": {of.Hint}}.Encode()
		}
	}
}

func (d *demoInfo) connection(name string) store.ConnectionID {
	for _, c := range d.Connections {
		if c.Name == name {
			return c.ID
		}
	}
	return ""
}

// consoleRoles gives the people of demoRoles their roles.
func consoleRoles(ctx context.Context, a *app, st *store.Store, t store.Tenant) error {
	now, err := st.Snapshot(ctx, t.ID)
	if err != nil {
		return err
	}
	var grants []access.Grant
	for _, one := range demoRoles {
		if one.role == "" {
			continue
		}
		grant := access.Grant{
			Subject: access.Grantee{}, Effect: access.Allow, Product: access.ConsoleID, Role: one.role,
			Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect, Reason: "the demo's " + one.title,
		}
		for id, named := range now.Users {
			if named.Connection == one.connection && named.Name == one.name() {
				grant.Subject.User = id
			}
		}
		if grant.Subject.User == "" {
			return fmt.Errorf("nobody is %s", one.name())
		}
		if one.site != "" {
			if grant.Scope, err = demoScope(now.Catalogue, one.site); err != nil {
				return err
			}
		}
		grants = append(grants, grant)
	}
	return st.Write(ctx, a.actor(t.ID), func(tx *store.Tx) error {
		_, err := tx.AddGrants(ctx, grants...)
		return err
	})
}

// demoScope is a site, for everything in other dimensions.
func demoScope(c access.Catalogue, key string) (access.Scope, error) {
	scope := access.Scope{Sites: map[access.DimensionID]access.Selection{}}
	for _, d := range c.Dimensions {
		scope.Sites[d.ID] = access.Selection{All: true}
	}
	for _, site := range c.Sites {
		if site.Key == key {
			scope.Sites[site.Dimension] = access.Selection{Sites: []access.SiteID{site.ID}}
			return scope, nil
		}
	}
	return scope, fmt.Errorf("there is no site %s", key)
}
