package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"

	"github.com/google/go-cmp/cmp"
)

// clicktime is the product of these tests: time sheets at sites.
func clicktime() access.Product {
	return access.Product{
		ID: "clicktime", Name: "Click Time", Levels: []access.Level{"view", "maintain"},
		Permissions: []access.Permission{{ID: "timesheet", Name: "Time sheets"}, {ID: "salary", Tags: []string{"sensitive"}}},
		Roles: []access.Role{
			{ID: "supervisor", Permissions: map[access.PermissionID]access.Level{"timesheet": "maintain"}},
			{ID: "payroll", Permissions: map[access.PermissionID]access.Level{access.AllPermissions: "view"}},
		},
		Dimensions: []access.DimensionID{"site"},
		Rules:      access.Rules{Holders: []access.HolderRule{{Role: "payroll", Warn: 2}}},
	}
}

// sites are a small tree of the dimension site.
type sites struct{ eu, berlin, sydney access.SiteID }

// addCatalogue makes the product and its sites.
func (p place) addCatalogue(t *testing.T) sites {
	t.Helper()
	s := sites{eu: store.NewSiteID(), berlin: store.NewSiteID(), sydney: store.NewSiteID()}
	p.write(t, func(tx *store.Tx) error {
		if err := tx.SetDimension(t.Context(), access.Dimension{ID: "site", Name: "Site"}); err != nil {
			return err
		}
		_, err := tx.AddSites(t.Context(),
			access.Site{ID: s.berlin, Dimension: "site", Key: "berlin", Name: "Berlin", Parent: s.eu},
			access.Site{ID: s.eu, Dimension: "site", Key: "eu", Name: "Europe"},
			access.Site{ID: s.sydney, Dimension: "site", Key: "sydney", Name: "Sydney"})
		if err != nil {
			return err
		}
		return tx.SetProduct(t.Context(), clicktime())
	})
	return s
}

func at(sites ...access.SiteID) access.Scope {
	return access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: sites}}}
}

// grant is one of the role supervisor.
func grant(to access.Grantee, scope access.Scope) access.Grant {
	return access.Grant{Subject: to, Effect: access.Allow, Product: "clicktime", Role: "supervisor", Scope: scope, Origin: access.OriginDirect, Reason: "asked for by the site"}
}

func toUser(id store.UserID) access.Grantee   { return access.Grantee{User: access.UserID(id)} }
func toGroup(id store.GroupID) access.Grantee { return access.Grantee{Group: access.GroupID(id)} }

// ownership makes somebody an owner of the tenant.
func ownership(id store.UserID) access.Grant {
	return access.Grant{Subject: toUser(id), Effect: access.Allow, Product: access.ConsoleID, Role: access.RoleOwner,
		Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect}
}

func (p place) addGrants(t *testing.T, grants ...access.Grant) []access.Grant {
	t.Helper()
	var added []access.Grant
	p.write(t, func(tx *store.Tx) (err error) {
		added, err = tx.AddGrants(t.Context(), grants...)
		return err
	})
	return added
}

// refused wants a write to fail with an error, and nothing changed.
func (p place) refused(t *testing.T, why string, want error, f func(*store.Tx) error) {
	t.Helper()
	before, logged := p.policy(t), len(p.log(t))
	err := p.Write(t.Context(), p.actor, f)
	wantErr(t, why, err, want)
	if after := p.policy(t); after != before || len(p.log(t)) != logged {
		t.Errorf("%s: refused, and yet the policy or the log changed", why)
	}
}

func (p place) policy(t *testing.T) *access.Policy {
	t.Helper()
	policy, _, err := p.Policy(t.Context(), p.ref.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// allows asks as an edge would: one look at the subject, one at the policy.
func (p place) allows(t *testing.T, who store.UserID, site access.SiteID) bool {
	t.Helper()
	subject, policy, err := p.Subject(t.Context(), p.ref.Tenant, store.Who{ID: who})
	if err != nil {
		t.Fatal(err)
	}
	q := access.Question{Product: "clicktime", Permission: "timesheet", Level: "maintain", Place: access.Place{"site": site}}
	return policy.Allows(subject, q, p.Now())
}

func policyRoundTrip(t *testing.T, s *store.Store) {
	p := acme(t, s)
	tree := p.addCatalogue(t)
	ids := p.addPeople(t, "ann", "bob")
	crew := p.addGroup(t, team("crew", nil), ids[0])
	noon := time.Date(2026, 11, 22, 12, 0, 0, 123_456_789, time.UTC)
	full := access.Grant{
		Subject: toGroup(crew.ID), Effect: access.Allow, Product: "clicktime", Role: "payroll", Scope: at(tree.eu, tree.sydney),
		Mask: []access.PermissionID{"salary"}, From: noon, Until: noon.AddDate(1, 0, 0), Reason: "Grüße, \"quoted\" 'twice'", Origin: access.OriginMapping,
	}
	deny := access.Grant{Subject: toUser(ids[1]), Effect: access.Deny, Product: "clicktime", Permission: "timesheet", Level: "maintain",
		Scope: access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {All: true}}}, Origin: access.OriginDirect}
	baseline := access.ConsoleBaseline("")
	tag := access.Grant{Subject: access.Grantee{Everyone: true}, Effect: access.Allow, Product: "clicktime", Attribute: "colour", Value: "blue", Origin: access.OriginImport}
	added := p.addGrants(t, full, deny, baseline, tag)
	want := added[0]
	if want.From.Nanosecond() != 123_000_000 {
		t.Errorf("instants: got %v, want it to the millisecond, as it will be read", want.From)
	}
	policy := p.policy(t)
	for i, g := range added {
		if got, _ := policy.Grant(g.ID); !cmp.Equal(got, g) {
			t.Errorf("grant %d: %s", i, cmp.Diff(g, got))
		}
	}
	// What the process that wrote it keeps is what is in the tables.
	read, err := p.PolicyAt(t.Context(), p.ref.Tenant, p.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(policy.Grants(), read.Grants()); diff != "" {
		t.Errorf("kept (-), read (+):\n%s", diff)
	}
	if diff := cmp.Diff(policy.Products(), read.Products()); diff != "" {
		t.Errorf("kept (-), read (+):\n%s", diff)
	}
	if site, ok := read.SiteByKey("site", "berlin"); !ok || site.Parent != tree.eu || site.Name != "Berlin" {
		t.Errorf("site berlin: got %+v, want it below Europe", site)
	}
	clean(t, s)
}

func policyIsRefused(t *testing.T, s *store.Store) {
	p := acme(t, s)
	tree := p.addCatalogue(t)
	ann := p.addPeople(t, "ann")[0]
	crew := p.addGroup(t, team("crew", nil), ann)
	mapping := p.addGrants(t, grant(toGroup(crew.ID), at(tree.eu)))[0]
	other := newPlace(t, s, "globex", "entra")
	stranger := other.addPeople(t, "ann")[0]
	ctx := t.Context()
	p.policy(t)

	change := func(f func(*access.Grant)) func(*store.Tx) error {
		return func(tx *store.Tx) error {
			g := grant(toUser(ann), at(tree.eu))
			f(&g)
			_, err := tx.AddGrants(ctx, g)
			return err
		}
	}
	for _, c := range []struct {
		why  string
		want error
		f    func(*store.Tx) error
	}{
		{"a grant for nobody", store.ErrInvalid, change(func(g *access.Grant) { g.Subject = access.Grantee{} })},
		{"a grant for two", store.ErrInvalid, change(func(g *access.Grant) { g.Subject.Everyone = true })},
		{"a grant for another tenant's person", store.ErrNotFound, change(func(g *access.Grant) { g.Subject = toUser(stranger) })},
		{"a grant for no id", store.ErrNotFound, change(func(g *access.Grant) { g.Subject = toUser("ann") })},
		{"a grant for no group", store.ErrNotFound, change(func(g *access.Grant) { g.Subject = toGroup(store.GroupID(ann)) })},
		{"a grant without sites", store.ErrInvalid, change(func(g *access.Grant) { g.Scope = access.Scope{} })},
		{"a grant at no site", store.ErrInvalid, change(func(g *access.Grant) { g.Scope = at("nowhere") })},
		{"a role that isn't there", store.ErrInvalid, change(func(g *access.Grant) { g.Role = "king" })},
		{"a product that isn't there", store.ErrInvalid, change(func(g *access.Grant) { g.Product = "x" })},
		{"NUL in a reason", store.ErrInvalid, change(func(g *access.Grant) { g.Reason = "a\x00b" })},
		{"no UTF-8 in a reason", store.ErrInvalid, change(func(g *access.Grant) { g.Reason = "a\xffb" })},
		{"a reason without end", store.ErrTooLong, change(func(g *access.Grant) { g.Reason = strings.Repeat("x", 5000) })},
		{"an end before the start", store.ErrInvalid, change(func(g *access.Grant) { g.From, g.Until = p.Now().Add(time.Hour), p.Now() })},
		{"owner by a group", store.ErrInvalid, change(func(g *access.Grant) { *g = ownership(""); g.Subject = toGroup(crew.ID) })},
		{"console denied to a group", store.ErrInvalid, change(func(g *access.Grant) { *g = ownership(""); g.Effect = access.Deny; g.Subject = toGroup(crew.ID) })},
		{"console denied to all", store.ErrInvalid, change(func(g *access.Grant) {
			*g = ownership("")
			g.Effect = access.Deny
			g.Subject = access.Grantee{Everyone: true}
		})},
		{"a grant that moves to somebody else", store.ErrInvalid, func(tx *store.Tx) error {
			_, err := tx.ChangeGrant(ctx, mapping.ID, func(g access.Grant) access.Grant { g.Subject = toUser(ann); return g })
			return err
		}},
		{"an unknown grant changed", store.ErrNotFound, func(tx *store.Tx) error {
			_, err := tx.ChangeGrant(ctx, "x", func(g access.Grant) access.Grant { return g })
			return err
		}},
		{"an unknown grant ended", store.ErrNotFound, func(tx *store.Tx) error { return tx.EndGrants(ctx, "x") }},
		{"relinked while awake", store.ErrInUse, func(tx *store.Tx) error {
			_, err := tx.RelinkGrant(ctx, mapping.ID, access.GroupID(crew.ID))
			return err
		}},
		{"a role that is granted goes", store.ErrInUse, func(tx *store.Tx) error {
			product := clicktime()
			product.Roles = product.Roles[1:]
			return tx.SetProduct(ctx, product)
		}},
		{"a product contradicts itself", store.ErrInvalid, func(tx *store.Tx) error {
			product := clicktime()
			product.Dimensions = append(product.Dimensions, "moon")
			return tx.SetProduct(ctx, product)
		}},
		{"the console replaced", store.ErrInvalid, func(tx *store.Tx) error { return tx.SetProduct(ctx, access.Console()) }},
		{"a product goes that is granted", store.ErrInUse, func(tx *store.Tx) error { return tx.RemoveProduct(ctx, "clicktime") }},
		{"no product goes", store.ErrNotFound, func(tx *store.Tx) error { return tx.RemoveProduct(ctx, "x") }},
		{"a dimension goes that has sites", store.ErrInUse, func(tx *store.Tx) error { return tx.RemoveDimension(ctx, "site") }},
		{"no dimension goes", store.ErrNotFound, func(tx *store.Tx) error { return tx.RemoveDimension(ctx, "x") }},
		{"a key that is taken", store.ErrInvalid, func(tx *store.Tx) error {
			_, err := tx.AddSites(ctx, access.Site{Dimension: "site", Key: "berlin"})
			return err
		}},
		{"a product that addresses leave out", store.ErrInvalid, func(tx *store.Tx) error { return tx.SetProduct(ctx, access.Product{ID: ".."}) }},
		{"a permission that they do", store.ErrInvalid, func(tx *store.Tx) error {
			product := clicktime()
			product.Permissions = append(product.Permissions, access.Permission{ID: "."})
			return tx.SetProduct(ctx, product)
		}},
		{"a role that they do", store.ErrInvalid, func(tx *store.Tx) error {
			product := clicktime()
			product.Roles = append(product.Roles, access.Role{ID: ".."})
			return tx.SetProduct(ctx, product)
		}},
		{"a dimension that they do", store.ErrInvalid, func(tx *store.Tx) error { return tx.SetDimension(ctx, access.Dimension{ID: ".."}) }},
		{"a site that they do", store.ErrInvalid, func(tx *store.Tx) error {
			_, err := tx.AddSites(ctx, access.Site{Dimension: "site", Key: ".."})
			return err
		}},
		{"a site that becomes one", store.ErrInvalid, func(tx *store.Tx) error {
			_, err := tx.ChangeSite(ctx, tree.eu, func(s access.Site) access.Site { s.Key = "."; return s })
			return err
		}},
		{"a site of no dimension", store.ErrInvalid, func(tx *store.Tx) error {
			_, err := tx.AddSites(ctx, access.Site{Dimension: "moon", Key: "x"})
			return err
		}},
		{"a site below itself", store.ErrInvalid, func(tx *store.Tx) error {
			_, err := tx.ChangeSite(ctx, tree.eu, func(s access.Site) access.Site { s.Parent = tree.berlin; return s })
			return err
		}},
		{"a site with an odd id", store.ErrInvalid, func(tx *store.Tx) error {
			_, err := tx.AddSites(ctx, access.Site{ID: "x", Dimension: "site"})
			return err
		}},
		{"no site changed", store.ErrNotFound, func(tx *store.Tx) error {
			_, err := tx.ChangeSite(ctx, "x", func(s access.Site) access.Site { return s })
			return err
		}},
	} {
		p.refused(t, c.why, c.want, c.f)
	}
	clean(t, s)
}

// answersFollow holds that after each change the next answer knows it.
func answersFollow(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	tree := p.addCatalogue(t)
	ann := p.addPeople(t, "ann")[0]
	inner := p.addGroup(t, team("inner", nil), ann)
	crew := p.addGroup(t, team("crew", nil))
	want := func(why string, berlin, sydney bool) {
		t.Helper()
		if gotBerlin, gotSydney := p.allows(t, ann, tree.berlin), p.allows(t, ann, tree.sydney); gotBerlin != berlin || gotSydney != sydney {
			t.Errorf("%s: got berlin %v, sydney %v, want %v, %v", why, gotBerlin, gotSydney, berlin, sydney)
		}
	}
	want("nothing granted", false, false)
	mapping := p.addGrants(t, grant(toGroup(crew.ID), at(tree.eu)))[0]
	want("granted to a group that she isn't in", false, false)
	if _, err := p.changeMembers(t, crew.ID, store.MemberDelta{Add: memberIDs(inner.ID)}); err != nil {
		t.Fatal(err)
	}
	want("in it through another", true, false)
	p.write(t, func(tx *store.Tx) error {
		_, err := tx.ChangeSite(ctx, tree.sydney, func(s access.Site) access.Site { s.Parent = tree.eu; return s })
		return err
	})
	want("sydney moved below eu", true, true)
	p.write(t, func(tx *store.Tx) error {
		_, err := tx.ChangeSite(ctx, tree.sydney, func(s access.Site) access.Site { s.Archived = true; return s })
		return err
	})
	want("sydney archived", true, false)
	p.write(t, func(tx *store.Tx) error {
		_, err := tx.ChangeGrant(ctx, mapping.ID, func(g access.Grant) access.Grant { g.Until = p.Now().Add(-time.Hour); return g })
		return err
	})
	want("the grant over", false, false)
	p.write(t, func(tx *store.Tx) error {
		_, err := tx.ChangeGrant(ctx, mapping.ID, func(g access.Grant) access.Grant { g.Until = time.Time{}; return g })
		return err
	})
	want("the grant without an end", true, false)

	before, err := p.whole(t, ann)
	if err != nil {
		t.Fatal(err)
	}
	for _, active := range []bool{false, true} {
		p.write(t, func(tx *store.Tx) error {
			_, err := tx.UpdateUser(ctx, p.ref, ann, func(store.User) (store.User, error) { return person("ann", map[string]any{"active": active}), nil })
			return err
		})
		want(fmt.Sprintf("active %v", active), active, false)
	}
	after, err := p.whole(t, ann)
	if err != nil || !cmp.Equal(before, after) {
		t.Errorf("deactivated and reactivated: %v, %s", err, cmp.Diff(before, after))
	}
	for _, c := range []struct {
		why  string
		to   store.Person
		want bool
	}{
		{"blocked here", store.Person{Kind: access.KindEmployee}, false},
		{"expired", store.Person{LoginAllowed: true, Kind: access.KindGuest, ExpiresAt: p.Now().Add(-time.Second)}, false},
		{"to expire", store.Person{LoginAllowed: true, Kind: access.KindGuest, ExpiresAt: p.Now().Add(time.Hour)}, true},
	} {
		p.changePerson(t, ann, c.to)
		want(c.why, c.want, false)
	}
	p.changePerson(t, ann, store.Person{Kind: access.KindEmployee})
	p.write(t, func(tx *store.Tx) error {
		_, err := tx.UpdateUser(ctx, p.ref, ann, func(store.User) (store.User, error) { return person("ann", map[string]any{"title": "back"}), nil })
		return err
	})
	want("blocked here stays blocked, whatever the provider sends", false, false)
	p.changePerson(t, ann, store.Person{LoginAllowed: true, Kind: access.KindEmployee})
	want("allowed again", true, false)
	p.write(t, func(tx *store.Tx) error { return tx.EndGrants(ctx, mapping.ID) })
	want("the grant ended", false, false)

	var actions []string
	for _, a := range p.log(t) {
		if word, _, _ := strings.Cut(a, "."); word == "person" || word == "grant" || word == "site" {
			actions = append(actions, a)
		}
	}
	wantLog := []string{store.SiteCreated, store.SiteCreated, store.SiteCreated, store.GrantCreated, store.SiteMoved, store.SiteArchived,
		store.GrantChanged, store.GrantChanged, store.PersonLoginBlocked, store.PersonLoginAllowed, store.PersonExpiryChanged,
		store.PersonLoginBlocked, store.PersonLoginAllowed, store.GrantEnded}
	if diff := cmp.Diff(wantLog, actions); diff != "" {
		t.Errorf("log: want (-), got (+):\n%s", diff)
	}
	clean(t, s)
}

// neverTogether has a group granted something only while ann isn't in it.
func neverTogether(t *testing.T, s *store.Store) { NeverTogether(t, s, s) }

// NeverTogether asks again and again about ann, who is taken out of a group before
// that is granted something, and put back when the grant has ended. An answer from
// who she was and what was granted a moment later would be a yes that never was.
func NeverTogether(t *testing.T, writes, asks *store.Store) {
	ctx := t.Context()
	p := acme(t, writes)
	tree := p.addCatalogue(t)
	ann := p.addPeople(t, "ann")[0]
	crew := p.addGroup(t, team("crew", nil), ann)
	var done atomic.Bool
	var asked atomic.Int64
	var all sync.WaitGroup
	question := access.Question{Product: "clicktime", Permission: "timesheet", Level: "maintain", Place: access.Place{"site": tree.berlin}}
	for range 8 {
		all.Go(func() {
			for ; !done.Load(); asked.Add(1) {
				subject, policy, err := asks.Subject(ctx, p.ref.Tenant, store.Who{ID: ann})
				if err != nil || policy.Allows(subject, question, asks.Now()) {
					t.Errorf("got %v, allowed, though she was never in the group while that was granted anything", err)
					return
				}
			}
		})
	}
	for range 150 {
		for _, change := range []func(){
			func() { _, _ = p.changeMembers(t, crew.ID, store.MemberDelta{Remove: memberIDs(ann)}) },
			func() {
				mapping := p.addGrants(t, grant(toGroup(crew.ID), at(tree.eu)))[0]
				p.write(t, func(tx *store.Tx) error { return tx.EndGrants(ctx, mapping.ID) })
			},
			func() { _, _ = p.changeMembers(t, crew.ID, store.MemberDelta{Add: memberIDs(ann)}) },
		} {
			change()
		}
	}
	done.Store(true)
	all.Wait()
	if asked.Load() < 150 {
		t.Errorf("asked %d times, want more", asked.Load())
	}
}

// FirstAnswers has many ask at once, as soon as a store is opened, about somebody who
// is denied something through a group within another.
func FirstAnswers(t *testing.T, open func() *store.Store) {
	ctx := t.Context()
	p := acme(t, open())
	tree := p.addCatalogue(t)
	ann := p.addPeople(t, "ann")[0]
	crew, staff := p.addGroup(t, team("crew", nil), ann), p.addGroup(t, team("staff", nil))
	if _, err := p.changeMembers(t, staff.ID, store.MemberDelta{Add: memberIDs(crew.ID)}); err != nil {
		t.Fatal(err)
	}
	deny := grant(toGroup(staff.ID), at(tree.eu))
	deny.Effect = access.Deny
	p.addGrants(t, grant(toUser(ann), at(tree.eu)), deny)
	question := access.Question{Product: "clicktime", Permission: "timesheet", Level: "maintain", Place: access.Place{"site": tree.berlin}}
	for range 15 {
		s := open()
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				subject, policy, err := s.Subject(ctx, p.ref.Tenant, store.Who{ID: ann})
				if err != nil || policy.Allows(subject, question, s.Now()) {
					t.Errorf("got %v, allowed, want a deny through the group that hers is in", err)
				}
			})
		}
		all.Wait()
	}
}

// whole is what a person is and has, to compare.
func (p place) whole(t *testing.T, id store.UserID) (string, error) {
	t.Helper()
	subject, policy, err := p.Subject(t.Context(), p.ref.Tenant, store.Who{ID: id})
	if err != nil {
		return "", err
	}
	held := policy.Held(subject, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	return string(marshal(subject)) + string(marshal(held)), nil
}

func (p place) changePerson(t *testing.T, id store.UserID, to store.Person) {
	t.Helper()
	p.write(t, func(tx *store.Tx) error {
		_, err := tx.ChangePerson(t.Context(), id, func(store.Person) store.Person { return to })
		return err
	})
}

func subjects(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p, other := acme(t, s), newPlace(t, s, "acme", "okta")
	elsewhere := newPlace(t, s, "globex", "entra")
	mail := func(name, address string) store.User {
		return person(name, map[string]any{"emails": []any{map[string]any{"value": address}}})
	}
	ann, bob, oktaBob := p.addUser(t, mail("Ann", "ann@corp.example")).ID, p.addUser(t, mail("bob", "b@corp.example")).ID, other.addUser(t, mail("BOB", "B@corp.example")).ID
	eve := elsewhere.addUser(t, mail("eve", "eve@corp.example")).ID
	for _, c := range []struct {
		who  store.Who
		want store.UserID
		err  error
	}{
		{who: store.Who{ID: ann}, want: ann},
		{who: store.Who{ID: ann, Connection: p.conn.ID}, want: ann},
		{who: store.Who{ID: ann, Connection: other.conn.ID}, err: store.ErrNotFound},
		{who: store.Who{UserName: "aNN"}, want: ann},
		{who: store.Who{Email: "ANN@corp.example"}, want: ann},
		{who: store.Who{UserName: "bob"}, err: store.ErrAmbiguous},
		{who: store.Who{Email: "b@corp.example"}, err: store.ErrAmbiguous},
		{who: store.Who{UserName: "bob", Connection: p.conn.ID}, want: bob},
		{who: store.Who{Email: "b@corp.example", Connection: other.conn.ID}, want: oktaBob},
		{who: store.Who{ID: eve}, err: store.ErrNotFound},
		{who: store.Who{UserName: "eve"}, err: store.ErrNotFound},
		{who: store.Who{UserName: "nobody"}, err: store.ErrNotFound},
		{who: store.Who{ID: "x"}, err: store.ErrNotFound},
		{who: store.Who{UserName: "a\x00"}, err: store.ErrNotFound},
		{who: store.Who{Email: "a\xff"}, err: store.ErrNotFound},
		{who: store.Who{UserName: "ann", Connection: "x"}, err: store.ErrNotFound},
		{who: store.Who{UserName: "ann", Email: "eve@corp.example"}, err: store.ErrNotFound},
		{who: store.Who{}, err: store.ErrNotFound},
	} {
		subject, _, err := p.Subject(ctx, p.ref.Tenant, c.who)
		if !errors.Is(err, c.err) || subject.Person.ID != access.UserID(c.want) {
			t.Errorf("%+v: got %q, %v, want %q, %v", c.who, subject.Person.ID, err, c.want, c.err)
		}
	}
	if _, _, err := p.Policy(ctx, store.TenantID(ann)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("policy of no tenant: got %v, want %v", err, store.ErrNotFound)
	}
}

// factsAgree holds that all ways to read who is in what say the same.
func factsAgree(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	ids := p.addPeople(t, numbered("user", 30)...)
	var groups []store.GroupID
	for i, name := range numbered("group", 12) {
		groups = append(groups, p.addGroup(t, team(name, nil), ids[i:i+15]...).ID)
	}
	for i := range 4 {
		if _, err := p.changeMembers(t, groups[i+1], store.MemberDelta{Add: memberIDs(groups[i], groups[11-i])}); err != nil {
			t.Fatal(err)
		}
	}
	p.changePerson(t, ids[3], store.Person{Kind: access.KindGuest, LoginAllowed: true, ExpiresAt: time.UnixMilli(1_900_000_000_000).UTC(), Sponsor: ids[4]})
	facts, err := p.Facts(ctx, p.ref.Tenant)
	if err != nil || len(facts.People) != len(ids) || len(facts.Groups) != len(groups) {
		t.Fatalf("facts: got %d people, %d groups, %v", len(facts.People), len(facts.Groups), err)
	}
	soon := p.Now().Add(time.Hour)
	then, err := p.FactsAt(ctx, p.ref.Tenant, soon)
	if diff := cmp.Diff(facts, then); err != nil || diff != "" {
		t.Errorf("facts (-), facts as of now (+): %v\n%s", err, diff)
	}
	for _, id := range ids {
		want := facts.Subject(access.UserID(id))
		one, _, err := p.Subject(ctx, p.ref.Tenant, store.Who{ID: id})
		slices.Sort(one.Person.Groups)
		if diff := cmp.Diff(string(marshal(want)), string(marshal(one))); err != nil || diff != "" {
			t.Errorf("of all (-), alone (+): %v\n%s", err, diff)
		}
		past, err := p.SubjectAt(ctx, p.ref.Tenant, id, soon)
		if diff := cmp.Diff(string(marshal(want)), string(marshal(past))); err != nil || diff != "" {
			t.Errorf("of all (-), alone at an instant (+): %v\n%s", err, diff)
		}
	}
	if _, err := p.SubjectAt(ctx, p.ref.Tenant, ids[0], time.UnixMilli(1)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("before anything: got %v, want %v", err, store.ErrNotFound)
	}
	if none, err := p.FactsAt(ctx, p.ref.Tenant, time.Time{}); err != nil || len(none.People)+len(none.Groups) > 0 {
		t.Errorf("at no instant: got %v, %v, want nobody", none, err)
	}
	got, err := p.Person(ctx, p.ref.Tenant, ids[3])
	if err != nil || got.Sponsor != ids[4] || got.Kind != access.KindGuest {
		t.Errorf("person: got %+v, %v", got, err)
	}
	for why, c := range map[string]struct {
		id   store.UserID
		to   store.Person
		want error
	}{
		"no such kind":         {ids[0], store.Person{Kind: "king"}, store.ErrInvalid},
		"a sponsor who isn't":  {ids[0], store.Person{Kind: access.KindGuest, Sponsor: "x"}, store.ErrNotFound},
		"a sponsor is a group": {ids[0], store.Person{Kind: access.KindGuest, Sponsor: store.UserID(groups[0])}, store.ErrNotFound},
		"nobody":               {"x", store.Person{Kind: access.KindGuest}, store.ErrNotFound},
		"a group":              {store.UserID(groups[0]), store.Person{Kind: access.KindGuest}, store.ErrNotFound},
	} {
		p.refused(t, why, c.want, func(tx *store.Tx) error {
			_, err := tx.ChangePerson(ctx, c.id, func(store.Person) store.Person { return c.to })
			return err
		})
	}
	clean(t, s)
}

func mappingsSleep(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	okta := newPlace(t, s, "acme", "okta")
	tree := p.addCatalogue(t)
	ann := p.addPeople(t, "ann")[0]
	crew := p.addGroup(t, team("Crew", map[string]any{"externalId": "x-7"}), ann)
	mapping := p.addGrants(t, grant(toGroup(crew.ID), at(tree.eu)))[0]
	logged := len(p.log(t))
	p.write(t, func(tx *store.Tx) error { return tx.DeleteGroup(ctx, p.ref, crew.ID) })
	if got := p.log(t)[logged:]; !slices.Equal(got, []string{store.GroupDeleted, store.GrantSleeping}) {
		t.Errorf("log of the deletion: got %v", got)
	}
	candidate := func(why string, want store.GroupID, by string) {
		t.Helper()
		asleep, err := p.Sleeping(ctx, p.ref.Tenant)
		if err != nil || len(asleep) != 1 || asleep[0].Grant != mapping.ID || asleep[0].Candidate != access.GroupID(want) || asleep[0].By != by || asleep[0].Name != "Crew" {
			t.Errorf("%s: got %+v, %v, want candidate %q by %q", why, asleep, err, want, by)
		}
	}
	candidate("gone", "", "")
	okta.addGroup(t, team("Crew", map[string]any{"externalId": "x-7"}))
	candidate("another connection's", "", "")
	named := p.addGroup(t, team("CREW", nil), ann)
	candidate("the same name", named.ID, "displayName")
	again := p.addGroup(t, team("Staff", map[string]any{"externalId": "x-7"}), ann)
	candidate("the same externalId", again.ID, "externalId")
	if p.allows(t, ann, tree.eu) {
		t.Error("a group of the same name was bound without being asked for")
	}
	p.refused(t, "another connection's group", store.ErrNotFound, func(tx *store.Tx) error {
		_, err := tx.RelinkGrant(ctx, mapping.ID, access.GroupID(ann))
		return err
	})
	p.write(t, func(tx *store.Tx) error {
		_, err := tx.RelinkGrant(ctx, mapping.ID, access.GroupID(again.ID))
		return err
	})
	if !p.allows(t, ann, tree.eu) {
		t.Error("relinked: she has nothing")
	}
	if asleep, err := p.Sleeping(ctx, p.ref.Tenant); err != nil || len(asleep) > 0 {
		t.Errorf("relinked: got %v, %v, want none asleep", asleep, err)
	}
	if got, _ := p.policy(t).Grant(mapping.ID); got.Reason != mapping.Reason || !cmp.Equal(got.Scope, mapping.Scope) {
		t.Errorf("relinked: got %+v, want all else as it was", got)
	}
	clean(t, s)
}

// nothingIsInherited deletes and makes anew under the same names.
func nothingIsInherited(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	tree := p.addCatalogue(t)
	ann := p.addUser(t, person("ann", map[string]any{"externalId": "x"})).ID
	added := p.addGrants(t, grant(toUser(ann), at(tree.eu)))
	p.changePerson(t, ann, store.Person{Kind: access.KindGuest})
	p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, ann) })
	again := p.addUser(t, person("ann", map[string]any{"externalId": "x"})).ID
	if p.allows(t, again, tree.eu) {
		t.Error("a new user of the same name has what the old one had")
	}
	if got, err := p.Person(ctx, p.ref.Tenant, again); err != nil || got.Kind != access.KindEmployee || !got.LoginAllowed {
		t.Errorf("a new user: got %+v, %v, want nothing of the old one's", got, err)
	}
	p.write(t, func(tx *store.Tx) error {
		if err := tx.EndGrants(ctx, added[0].ID); err != nil {
			return err
		}
		if err := tx.RemoveProduct(ctx, "clicktime"); err != nil {
			return err
		}
		return tx.SetProduct(ctx, clicktime())
	})
	changes, err := p.Changes(ctx, p.ref.Tenant, 2)
	if err != nil || changes[0].Action != store.ProductCreated || changes[0].SubjectID == changes[1].SubjectID {
		t.Errorf("a product made anew: got %+v, %v, want another id", changes, err)
	}
	clean(t, s)
}

func looseEnds(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	tree := p.addCatalogue(t)
	ids := p.addPeople(t, "ann", "bob", "eve", "guest", "gone", "off")
	ann, bob, eve, guest, gone, off := ids[0], ids[1], ids[2], ids[3], ids[4], ids[5]
	mapped, inner, empty := p.addGroup(t, team("mapped", nil), ann, bob), p.addGroup(t, team("inner", nil), guest), p.addGroup(t, team("empty", nil))
	lone, lost := p.addGroup(t, team("lone", nil), eve), p.addGroup(t, team("lost", nil))
	if _, err := p.changeMembers(t, mapped.ID, store.MemberDelta{Add: memberIDs(inner.ID), Remove: memberIDs(bob)}); err != nil {
		t.Fatal(err)
	}
	payroll := grant(toUser(ann), at(tree.sydney))
	payroll.Role = "payroll"
	grants := p.addGrants(t, grant(toGroup(mapped.ID), at(tree.eu)), grant(toGroup(empty.ID), at(tree.eu)), grant(toGroup(lost.ID), at(tree.eu)),
		grant(toUser(bob), at(tree.eu)), grant(toUser(gone), at(tree.eu)), payroll, access.ConsoleBaseline(""))
	var promised []store.Invitation
	var secrets []string
	for i, to := range []access.Scope{at(tree.sydney), at(tree.sydney, tree.berlin)} {
		v, secret := p.invite(t, store.Invitation{Kind: access.KindClient, DisplayName: "Cleo Client", Email: fmt.Sprintf("cleo%d@client.example", i), Grants: []access.Grant{grant(access.Grantee{}, to)}})
		promised, secrets = append(promised, v), append(secrets, secret)
	}
	p.changePerson(t, guest, store.Person{LoginAllowed: true, Kind: access.KindGuest, ExpiresAt: p.Now().Add(29 * 24 * time.Hour)})
	p.changePerson(t, ann, store.Person{LoginAllowed: true, Kind: access.KindGuest, ExpiresAt: p.Now().Add(31 * 24 * time.Hour)})
	p.changePerson(t, off, store.Person{Kind: access.KindEmployee})
	p.write(t, func(tx *store.Tx) error {
		if err := tx.DeleteGroup(ctx, p.ref, lost.ID); err != nil {
			return err
		}
		if _, err := tx.ChangeSite(ctx, tree.sydney, func(s access.Site) access.Site { s.Archived = true; return s }); err != nil {
			return err
		}
		return tx.DeleteUser(ctx, p.ref, gone)
	})
	ends, err := p.LooseEnds(ctx, p.ref.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	if len(ends.Sleeping) != 1 || ends.Sleeping[0].Grant != grants[2].ID {
		t.Errorf("sleeping: got %+v, want grant %s", ends.Sleeping, grants[2].ID)
	}
	ends.Sleeping = nil
	want := store.LooseEnds{
		Unmapped: []access.GroupID{access.GroupID(lone.ID)},
		Empty:    []access.GrantID{grants[1].ID}, Orphaned: []access.GrantID{grants[4].ID},
		ArchivedSites: []access.SiteID{tree.sydney}, WithoutAccess: []access.UserID{access.UserID(eve)}, Expiring: []access.UserID{access.UserID(guest)},
		FewHolders: []access.Finding{{Product: "clicktime", Rule: access.RuleFewHolders, Role: "payroll"}, {Product: access.ConsoleID, Rule: access.RuleFewHolders, Refuse: true, Role: access.RoleOwner}},
		Shadow:     []store.Shadow{{User: access.UserID(bob), Grant: grants[3].ID, Mapping: grants[0].ID, Group: access.GroupID(mapped.ID)}},
		Unkept:     []store.InvitationID{promised[0].ID}, // the other one is to a site that is open, too
	}
	if diff := cmp.Diff(want, ends); diff != "" {
		t.Errorf("want (-), got (+):\n%s", diff)
	}
	_, err = p.accept(t, secrets[0])
	wantErr(t, "promised is what isn't there", err, store.ErrInvalid)
	if _, err := p.accept(t, secrets[1]); err != nil {
		t.Errorf("promised is what is there in part: %v", err)
	}
	clean(t, s)
}

func changesTouching(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	start := p.Now()
	tree := p.addCatalogue(t)
	ids := p.addPeople(t, "ann", "bob")
	crew := p.addGroup(t, team("crew", nil), ids[0])
	p.addGroup(t, team("others", nil), ids[1])
	g := p.addGrants(t, grant(toUser(ids[0]), at(tree.eu)), grant(toUser(ids[1]), at(tree.eu)), grant(toGroup(crew.ID), at(tree.eu)))[0]
	p.write(t, func(tx *store.Tx) error { return tx.EndGrants(ctx, g.ID) })
	if _, err := p.changeMembers(t, crew.ID, store.MemberDelta{Remove: memberIDs(ids[0])}); err != nil {
		t.Fatal(err)
	}
	p.changePerson(t, ids[0], store.Person{Kind: access.KindGuest})
	p.write(t, func(tx *store.Tx) error {
		_, err := tx.ChangeSite(ctx, tree.eu, func(s access.Site) access.Site { s.Name = "EU"; return s })
		return err
	})
	for _, c := range []struct {
		what store.Touched
		want []string
	}{
		{store.Touched{User: ids[0]}, []string{store.UserCreated, store.MembersChanged, store.GrantCreated, store.GrantCreated, store.GrantEnded, store.MembersChanged, store.PersonLoginBlocked}},
		{store.Touched{Site: tree.berlin}, []string{store.SiteCreated, store.SiteCreated, store.SiteChanged}},
		{store.Touched{Product: "clicktime"}, []string{store.ProductCreated, store.GrantCreated, store.GrantCreated, store.GrantCreated, store.GrantEnded}},
	} {
		changes, err := p.ChangesTouching(ctx, p.ref.Tenant, c.what, start, p.Now().Add(time.Minute), "", 100)
		var got []string
		for _, change := range changes {
			got = append(got, change.Action)
		}
		slices.Reverse(c.want) // the newest first
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v: got %v, %v, want %v", c.what, got, err, c.want)
		}
		got = nil
		for before := store.ChangeID(""); ; {
			page, err := p.ChangesTouching(ctx, p.ref.Tenant, c.what, start, p.Now().Add(time.Minute), before, 2)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, change := range page {
				got, before = append(got, change.Action), change.ID
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%+v, two at a time: got %v, want %v", c.what, got, c.want)
		}
		if none, err := p.ChangesTouching(ctx, p.ref.Tenant, c.what, start.Add(-time.Hour), start.Add(-time.Minute), "", 100); err != nil || len(none) > 0 {
			t.Errorf("%+v before it all: got %v, %v", c.what, none, err)
		}
	}
	if _, err := p.ChangesTouching(ctx, p.ref.Tenant, store.Touched{}, start, p.Now(), "", 1); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("nothing touched: got %v, want %v", err, store.ErrNotFound)
	}
}
