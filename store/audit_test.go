package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"

	"github.com/google/go-cmp/cmp"
)

// auditAll reads all that a filter finds, in pages of that size.
func (p place) auditAll(t *testing.T, f store.AuditFilter, size int) (all []store.Change) {
	t.Helper()
	for after := ""; ; {
		page, err := p.Audit(t.Context(), p.ref.Tenant, f, after, size)
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		if all = append(all, page.Changes...); page.Next == "" {
			return all
		}
		after = page.Next
	}
}

func told(changes []store.Change) []string {
	all := []string{}
	for _, c := range changes {
		all = append(all, c.Action+" "+c.SubjectName)
	}
	return all
}

// by is the same place for another actor.
func (p place) by(kind, id, request string) place {
	p.actor.Kind, p.actor.ID, p.actor.RequestID = kind, id, request
	return p
}

func TestAuditFindsChanges(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		s := open(t, url, store.Options{})
		p := acme(t, s)
		ctx := t.Context()
		const request = "01a20202-8970-7d46-a2e3-aed8d1f4655c" // of a proxy that counts otherwise
		acmeNamed(t, s, "other").people(t, "ann", "stranger")
		p.by(store.ActorSCIM, "token-7", "r-1").people(t, "ann", "Bob", "Ærø")
		ann := p.auditAll(t, store.AuditFilter{Text: "ann"}, 10)[0].SubjectID
		var okta store.Connection
		grace := p.by(store.ActorCLI, "grace", request)
		grace.write(t, func(tx *store.Tx) (err error) {
			if okta, err = tx.CreateConnection(ctx, "okta", store.IdPOkta); err == nil {
				_, err = tx.ChangePerson(ctx, store.UserID(ann), func(p store.Person) store.Person { p.LoginAllowed = false; return p })
			}
			return err
		})
		before := time.Now().Add(-time.Hour)
		for _, c := range []struct {
			why    string
			filter store.AuditFilter
			want   []string // the newest first
		}{
			{why: "all", want: []string{"person.login_blocked ann", "connection.created okta", "user.created Ærø", "user.created Bob", "user.created ann", "connection.created entra", "tenant.created acme"}},
			{why: "by an administrator", filter: store.AuditFilter{Actor: "grace"}, want: []string{"person.login_blocked ann", "connection.created okta"}},
			{why: "by a token", filter: store.AuditFilter{Actor: "token-7", Text: "ob"}, want: []string{"user.created Bob"}},
			{why: "by nobody", filter: store.AuditFilter{Actor: "eve"}},
			{why: "about a person", filter: store.AuditFilter{Subject: ann}, want: []string{"person.login_blocked ann", "user.created ann"}},
			{why: "about no id", filter: store.AuditFilter{Subject: "ann"}},
			{why: "of a connection", filter: store.AuditFilter{Connection: okta.ID}, want: []string{"connection.created okta"}},
			{why: "a rare action", filter: store.AuditFilter{Actions: []string{store.ConnectionCreated}}, want: []string{"connection.created okta", "connection.created entra"}},
			{why: "two rare actions, one of them twice", filter: store.AuditFilter{Actions: []string{store.TenantCreated, store.ConnectionCreated, store.TenantCreated}},
				want: []string{"connection.created okta", "connection.created entra", "tenant.created acme"}},
			{why: "a frequent action and a rare one", filter: store.AuditFilter{Actions: []string{store.UserCreated, store.TenantCreated}},
				want: []string{"user.created Ærø", "user.created Bob", "user.created ann", "tenant.created acme"}},
			{why: "an action that isn't one", filter: store.AuditFilter{Actions: []string{"x"}}},
			{why: "a proxy's request", filter: store.AuditFilter{Request: "r-1"}, want: []string{"user.created Ærø", "user.created Bob", "user.created ann"}},
			{why: "a request of another time", filter: store.AuditFilter{Request: "01980202-8970-7d46-a2e3-aed8d1f4655c"}},
			{why: "a name in another case", filter: store.AuditFilter{Text: "ærØ"}, want: []string{"user.created Ærø"}},
			{why: "the name of who did it", filter: store.AuditFilter{Text: "GRACE"}, want: []string{"person.login_blocked ann", "connection.created okta"}},
			{why: "since an hour", filter: store.AuditFilter{From: before, Actor: "grace"}, want: []string{"person.login_blocked ann", "connection.created okta"}},
			{why: "until an hour ago", filter: store.AuditFilter{Until: before}},
			{why: "from tomorrow", filter: store.AuditFilter{From: time.Now().Add(24 * time.Hour)}},
			{why: "no text", filter: store.AuditFilter{Text: "\x00"}},
			{why: "broken text", filter: store.AuditFilter{Actor: "\xff"}},
		} {
			for _, size := range []int{1, 2, 100} {
				if diff := cmp.Diff(append([]string{}, c.want...), told(p.auditAll(t, c.filter, size))); diff != "" {
					t.Errorf("%s, in pages of %d (-want +got):\n%s", c.why, size, diff)
				}
			}
		}
		if _, err := p.Audit(ctx, p.ref.Tenant, store.AuditFilter{}, "x", 1); !errors.Is(err, store.ErrCursor) {
			t.Errorf("a cursor that is none: got %v, want %v", err, store.ErrCursor)
		}
		newest, err := p.Audit(ctx, p.ref.Tenant, store.AuditFilter{}, "", 1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := p.ChangeByID(ctx, p.ref.Tenant, newest.Changes[0].ID)
		if err != nil || got != newest.Changes[0] {
			t.Errorf("by id: got %+v, %v, want %+v", got, err, newest.Changes[0])
		}
		for _, id := range []store.ChangeID{"x", store.ChangeID(ann), ""} {
			if _, err := p.ChangeByID(ctx, p.ref.Tenant, id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("change %q: got %v, want %v", id, err, store.ErrNotFound)
			}
		}
	})
}

// A page ends after a while, also when there is nothing to show on it yet.
func TestAuditLooksBackInSteps(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		p := acme(t, open(t, url, store.Options{}))
		db := raw(t, url)
		number, id := `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000)`, `printf('01f00000-0000-7000-8000-%012d', i)`
		if !isSQLite(url) {
			id = `CAST('01f00000-0000-7000-8000-' || lpad(CAST(i AS text), 12, '0') AS uuid)`
		}
		mustExec(t, db, `INSERT INTO changes (tenant_id, id, at, actor_kind, actor_id, request_id, action, subject_kind, subject_id, subject_name, detail) `+number+`
			SELECT tenant_id, `+id+`, 1000000 + i, 'scim', 'token-7', '', 'user.updated', 'user', tenant_id, 'noise', '{}'
			FROM n JOIN changes ON action = 'tenant.created'`)
		f := store.AuditFilter{Text: "acme"}
		page, err := p.Audit(t.Context(), p.ref.Tenant, f, "", 10)
		if err != nil || len(page.Changes) > 0 || page.Next == "" || page.Through.UnixMilli() != 1005001 {
			t.Fatalf("got %d changes, next %q, through %v, %v; want nothing yet, and how far it was looked", len(page.Changes), page.Next, page.Through, err)
		}
		page, err = p.Audit(t.Context(), p.ref.Tenant, f, page.Next, 10)
		if err != nil || len(page.Changes) != 1 || page.Next != "" || !page.Through.IsZero() {
			t.Errorf("got %v, next %q, through %v, %v; want the change and the end", told(page.Changes), page.Next, page.Through, err)
		}
	})
}

func TestAuditUsesIndexes(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		s := open(t, url, store.Options{})
		p := acme(t, s)
		ctx := t.Context()
		p.write(t, func(tx *store.Tx) error {
			for i := range 3000 {
				if _, err := tx.CreateUser(ctx, p.ref, person(fmt.Sprintf("user%04d", i), true)); err != nil {
					return err
				}
			}
			return nil
		})
		p.by(store.ActorCLI, "grace", "").write(t, func(tx *store.Tx) error {
			_, err := tx.CreateConnection(ctx, "okta", store.IdPOkta)
			return err
		})
		db := raw(t, url)
		if !isSQLite(url) { // SQLite's statistics come with the schema
			mustExec(t, db, `ANALYZE`)
		}
		for what, c := range map[string]struct {
			filter store.AuditFilter
			sqlite string
		}{
			"all":              {store.AuditFilter{}, "tenant_id=?"},
			"an administrator": {store.AuditFilter{Actor: "grace"}, "changes_by_actor"},
			"a subject":        {store.AuditFilter{Subject: string(p.ref.Tenant)}, "changes_by_subject"},
			"rare actions":     {store.AuditFilter{Actions: []string{store.ConnectionCreated, store.UserDeleted, store.GrantEnded}}, "changes_by_action"},
			"a day long ago":   {store.AuditFilter{From: time.UnixMilli(0), Until: time.UnixMilli(1)}, "id>?"},
		} {
			query, args := s.AuditQuery(ctx, p.ref.Tenant, c.filter)
			if isSQLite(url) {
				if plan := sqlitePlan(t, db, query, args); !strings.Contains(plan, c.sqlite) || strings.Contains(plan, "SCAN changes") {
					t.Errorf("%s: got plan\n%swant %s", what, plan, c.sqlite)
				}
			} else if rows, plan := postgresRows(t, db, query, args); rows > 60 {
				t.Errorf("%s: %v rows read, want a handful:\n%s", what, rows, plan)
			}
		}
	})
}

func TestActorsHaveNames(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		s := open(t, url, store.Options{})
		p := acme(t, s)
		ctx := t.Context()
		var token store.Token
		var ann, gone store.User
		p.write(t, func(tx *store.Tx) (err error) {
			token, _, err = tx.CreateToken(ctx, p.conn, time.Time{})
			return err
		})
		p.by(store.ActorSCIM, string(token.ID), "").write(t, func(tx *store.Tx) (err error) {
			named := person("ann", true)
			named.DisplayName = "Ann Bakker"
			if ann, err = tx.CreateUser(ctx, p.ref, named); err == nil {
				gone, err = tx.CreateUser(ctx, p.ref, person("gone", true))
			}
			return err
		})
		p.by("person", string(gone.ID), "").people(t, "guest")
		p.by("person", string(ann.ID), "").people(t, "client")
		p.by(store.ActorCLI, "grace", "").write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, gone.ID) })
		got, err := s.ActorNames(ctx, p.ref.Tenant, p.auditAll(t, store.AuditFilter{}, 100))
		want := map[string]store.ActorName{
			string(ann.ID): {Name: "Ann Bakker"}, string(gone.ID): {Name: "gone"}, string(token.ID): {Name: token.Hint, Connection: "entra"},
		}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
		other := acmeNamed(t, s, "other")
		if got, err := s.ActorNames(ctx, other.ref.Tenant, p.auditAll(t, store.AuditFilter{}, 100)); err != nil || len(got) > 0 {
			t.Errorf("asked for another tenant: got %v, %v, want no names", got, err)
		}
	})
}

func TestChangesHaveDetails(t *testing.T) {
	type details = []store.Detail
	onBoth(t, func(t *testing.T, url string) {
		s := open(t, url, store.Options{})
		p := acme(t, s)
		ctx := t.Context()
		last := func() (store.Change, details) {
			t.Helper()
			page, err := s.Audit(ctx, p.ref.Tenant, store.AuditFilter{}, "", 1)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.ChangeDetails(ctx, page.Changes[0])
			if err != nil {
				t.Fatalf("%s: %v", page.Changes[0].Action, err)
			}
			return page.Changes[0], got
		}
		var ann store.User
		var crew store.Group
		var europe access.Site
		var grant access.Grant
		older := map[store.ChangeID]details{}
		for _, step := range []struct {
			action string
			do     func(tx *store.Tx) error
			want   details
		}{
			{store.UserCreated, func(tx *store.Tx) (err error) {
				ann, err = tx.CreateUser(ctx, p.ref, person("ann", true))
				return err
			}, details{{"active", "", "true"}, {"externalId", "", "x-ann"}, {"userName", "", "ann"}}},
			{store.UserDeactivated, func(tx *store.Tx) error {
				_, err := tx.UpdateUser(ctx, p.ref, ann.ID, func(store.User) (store.User, error) {
					u := person("ann", false)
					u.Doc = []byte(`{"userName":"ann","externalId":"x-ann","active":false,"name":{"givenName":"Ann"},"emails":[{"value":"a@x"},{"value":"b@x"}]}`)
					return u, nil
				})
				return err
			}, details{{"active", "true", "false"}, {"emails", "", "a@x, b@x"}, {"name.givenName", "", "Ann"}}},
			{store.UserActivated, func(tx *store.Tx) error {
				_, err := tx.UpdateUser(ctx, p.ref, ann.ID, func(store.User) (store.User, error) { return person("ann", true), nil })
				return err
			}, details{{"active", "false", "true"}, {"emails", "a@x, b@x", ""}, {"name.givenName", "Ann", ""}}},
			{store.GroupCreated, func(tx *store.Tx) (err error) {
				crew, _, err = tx.CreateGroup(ctx, p.ref, team("crew"), nil)
				return err
			}, details{{"displayname", "", "crew"}}},
			{store.MembersChanged, func(tx *store.Tx) error {
				_, _, err := tx.UpdateGroup(ctx, p.ref, crew.ID, func(g store.Group) (store.Group, store.MemberDelta, error) {
					return g, store.MemberDelta{Add: []store.MemberID{store.MemberID(ann.ID)}}, nil
				})
				return err
			}, details{{"added", "", "1"}, {"removed", "", "0"}, {"member", "", "ann"}}},
			{store.GroupUpdated, func(tx *store.Tx) error {
				_, _, err := tx.UpdateGroup(ctx, p.ref, crew.ID, func(g store.Group) (store.Group, store.MemberDelta, error) {
					renamed := team("Crew One")
					renamed.ID = g.ID
					return renamed, store.MemberDelta{}, nil
				})
				return err
			}, details{{"displayname", "crew", "Crew One"}}},
			{store.DimensionCreated, func(tx *store.Tx) error { return tx.SetDimension(ctx, access.Dimension{ID: "site", Name: "Sites"}) }, nil},
			{store.SiteCreated, func(tx *store.Tx) error {
				sites, err := tx.AddSites(ctx, access.Site{Dimension: "site", Key: "eu", Name: "Europe"})
				europe = sites[0]
				return err
			}, nil},
			{store.SiteChanged, func(tx *store.Tx) error {
				_, err := tx.ChangeSite(ctx, europe.ID, func(s access.Site) access.Site { s.Name = "EMEA"; return s })
				return err
			}, details{{"name", "Europe", "EMEA"}}},
			{store.ProductCreated, func(tx *store.Tx) error {
				return tx.SetProduct(ctx, access.Product{ID: "wiki", Permissions: []access.Permission{{ID: "pages"}}, Dimensions: []access.DimensionID{"site"},
					Roles: []access.Role{{ID: "writer", Permissions: map[access.PermissionID]access.Level{"pages": access.LevelAllow}}}})
			}, nil},
			{store.GrantCreated, func(tx *store.Tx) error {
				grants, err := tx.AddGrants(ctx, access.Grant{Effect: access.Allow, Product: "wiki", Role: "writer", Subject: access.Grantee{Group: access.GroupID(crew.ID)},
					Scope: access.Scope{Everywhere: true}, Reason: "asked"})
				grant = grants[0]
				return err
			}, nil},
			{store.GrantChanged, func(tx *store.Tx) error {
				_, err := tx.ChangeGrant(ctx, grant.ID, func(g access.Grant) access.Grant {
					g.Scope = access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: []access.SiteID{europe.ID}}}}
					return g
				})
				return err
			}, details{{"scope.everywhere", "true", ""}, {"scope.sites.site.sites", "", "EMEA"}}},
			{store.PersonLoginBlocked, func(tx *store.Tx) error {
				_, err := tx.ChangePerson(ctx, ann.ID, func(p store.Person) store.Person { p.LoginAllowed = false; return p })
				return err
			}, nil},
		} {
			p.write(t, step.do)
			change, got := last()
			if change.Action != step.action {
				t.Fatalf("got %s, want %s", change.Action, step.action)
			}
			if step.want == nil && len(got) == 0 {
				t.Errorf("%s: no details", step.action)
			}
			if diff := cmp.Diff(step.want, got); step.want != nil && diff != "" {
				t.Errorf("%s (-want +got):\n%s", step.action, diff)
			}
			older[change.ID] = got
		}
		p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, ann.ID) })
		if change, got := last(); change.Action != store.UserDeleted || !slices.Contains(got, store.Detail{Field: "userName", Before: "ann"}) ||
			!slices.Contains(got, store.Detail{Field: "group", Before: "Crew One"}) {
			t.Errorf("%s: got %v, want what she was, and her group", change.Action, got)
		}
		p.write(t, func(tx *store.Tx) error { return tx.DeleteGroup(ctx, p.ref, crew.ID) })
		deleted := p.auditAll(t, store.AuditFilter{Actions: []string{store.GroupDeleted}}, 1)
		if got, err := s.ChangeDetails(ctx, deleted[0]); err != nil || !slices.Contains(got, store.Detail{Field: "displayname", Before: "Crew One"}) {
			t.Errorf("group.deleted: got %v, %v, want what it was", got, err)
		}
		// What was said of a change stays so, whatever comes after it, but for names.
		for id, want := range older {
			c, err := s.ChangeByID(ctx, p.ref.Tenant, id)
			if err != nil {
				t.Fatal(err)
			}
			got, err := s.ChangeDetails(context.Background(), c)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" && c.Action != store.GrantCreated && c.Action != store.GrantChanged {
				t.Errorf("%s, later (-before +now):\n%s", c.Action, diff)
			}
		}
	})
}
