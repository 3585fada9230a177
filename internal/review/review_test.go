package review_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/internal/pgtest"
	"gatehouse/internal/review"
	"gatehouse/store"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

var migrated = pgtest.Template{Prepare: migrate}

func migrate(ctx context.Context, url string) error {
	_, err := store.Migrate(ctx, url)
	return err
}

// onBoth runs a test on a small company in each kind of database; rounds is how often
// what is random is to be tried there.
func onBoth(t *testing.T, test func(t *testing.T, w *world, rounds int)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		url := "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db")
		if err := migrate(t.Context(), url); err != nil {
			t.Fatal(err)
		}
		test(t, newWorld(t, url), 60)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, newWorld(t, migrated.URL(t)), 15)
	})
}

// world is a small company: roster scopes by sites and teams, badge by sites alone, and
// portal by nothing. Sam owns the tenant.
type world struct {
	*store.Store
	actor  store.Actor
	ref    store.ConnectionRef
	people []access.UserID
	groups []access.GroupID
	sites  map[string]access.SiteID
	cuts   bool // grants may be changed that are for other sites, too
}

var names = []string{"sam", "ann", "bob", "chloe", "daan", "eva"}

func newWorld(t *testing.T, url string) *world {
	t.Helper()
	st, err := store.Open(t.Context(), url, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	tenant, err := st.EnsureTenant(t.Context(), store.Actor{Kind: store.ActorSystem}, store.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Store: st, actor: store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI, ID: "grace"}, sites: map[string]access.SiteID{}}
	ctx := t.Context()
	w.write(t, func(tx *store.Tx) error {
		c, err := tx.CreateConnection(ctx, "entra", store.IdPEntra)
		if err != nil {
			return err
		}
		w.ref, w.people, w.groups = c.Ref(), nil, nil
		var members []store.MemberID
		for _, name := range names {
			u, err := tx.CreateUser(ctx, w.ref, store.User{UserName: name, DisplayName: name, Active: true, Doc: []byte(`{}`), Search: []byte(`{}`)})
			if err != nil {
				return err
			}
			w.people, members = append(w.people, access.UserID(u.ID)), append(members, store.MemberID(u.ID))
		}
		// Planners are within staff.
		for name, in := range map[string][]store.MemberID{"planners": members[1:3], "guards": members[2:5], "staff": members[5:]} {
			g, _, err := tx.CreateGroup(ctx, w.ref, store.Group{DisplayName: name, Doc: []byte(`{}`), Search: []byte(`{}`)}, in)
			if err != nil {
				return err
			}
			w.groups = append(w.groups, access.GroupID(g.ID))
		}
		return w.catalogue(ctx, tx)
	})
	owner := access.Grant{Subject: access.Grantee{User: w.people[0]}, Effect: access.Allow, Product: access.ConsoleID, Role: access.RoleOwner,
		Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect}
	w.grant(t, owner, access.ConsoleBaseline(""))
	return w
}

func (w *world) catalogue(ctx context.Context, tx *store.Tx) error {
	for _, d := range []access.DimensionID{"site", "team"} {
		if err := tx.SetDimension(ctx, access.Dimension{ID: d, Name: string(d)}); err != nil {
			return err
		}
	}
	for _, s := range []struct{ dimension, key, above string }{
		{"site", "nl", ""}, {"site", "utrecht", "nl"}, {"site", "uithof", "utrecht"}, {"site", "breda", "nl"}, {"site", "be", ""}, {"team", "day", ""}, {"team", "night", ""},
	} {
		w.sites[s.key] = store.NewSiteID()
		if _, err := tx.AddSites(ctx, access.Site{ID: w.sites[s.key], Dimension: access.DimensionID(s.dimension), Key: s.key, Name: s.key, Parent: w.sites[s.above]}); err != nil {
			return err
		}
	}
	for id, dimensions := range map[access.ProductID][]access.DimensionID{"roster": {"site", "team"}, "badge": {"site"}, "portal": nil} {
		err := tx.SetProduct(ctx, access.Product{ID: id, Name: string(id), Levels: []access.Level{"view", "edit"}, Dimensions: dimensions,
			Permissions: []access.Permission{{ID: "shifts"}, {ID: "salary", Tags: []string{"sensitive"}}},
			Roles: []access.Role{
				{ID: "viewer", Permissions: map[access.PermissionID]access.Level{"shifts": "view"}},
				{ID: "planner", Permissions: map[access.PermissionID]access.Level{"shifts": "edit"}},
				{ID: "payroll", Permissions: map[access.PermissionID]access.Level{access.AllPermissions: "view"}},
			}})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) write(t *testing.T, f func(*store.Tx) error) {
	t.Helper()
	if err := w.Write(t.Context(), w.actor, f); err != nil {
		t.Fatal(err)
	}
}

func (w *world) grant(t *testing.T, grants ...access.Grant) {
	t.Helper()
	w.write(t, func(tx *store.Tx) error {
		_, err := tx.AddGrants(t.Context(), grants...)
		return err
	})
}

// at is a scope of the sites that a product scopes by, with all teams.
func (w *world) at(product access.ProductID, keys ...string) access.Scope {
	if product == "portal" {
		return access.Scope{Everywhere: true}
	}
	var ids []access.SiteID
	for _, key := range keys {
		ids = append(ids, w.sites[key])
	}
	scope := access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: ids}}}
	if product != "badge" {
		scope.Sites["team"] = access.Selection{All: true}
	}
	return scope
}

// random is a grant of something to somebody other than Sam.
func (w *world) random(r *rand.Rand) access.Grant {
	product := []access.ProductID{"roster", "badge", "portal", access.ConsoleID}[r.IntN(4)]
	g := access.Grant{Subject: access.Grantee{User: w.people[1+r.IntN(len(w.people)-1)]}, Effect: access.Allow, Product: product, Origin: access.OriginDirect,
		Role: []access.RoleID{"viewer", "planner", "payroll"}[r.IntN(3)]}
	if product == access.ConsoleID {
		g.Role = []access.RoleID{access.RoleSiteAdministrator, access.RoleAuditor}[r.IntN(2)]
	}
	if r.IntN(2) == 0 {
		g.Subject, g.Origin = access.Grantee{Group: w.groups[r.IntN(len(w.groups))]}, access.OriginMapping
	}
	keys := []string{"nl", "utrecht", "uithof", "breda", "be"}
	r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	g.Scope = w.at(product, keys[:1+r.IntN(2)]...)
	switch in := g.Scope.Sites["site"]; {
	case g.Scope.Everywhere:
	case r.IntN(5) == 0:
		g.Scope = access.Scope{Everywhere: true}
	case r.IntN(5) == 0:
		in.All, in.Sites = true, nil
		g.Scope.Sites["site"] = in
	}
	if product == "roster" && !g.Scope.Everywhere && r.IntN(2) == 0 {
		g.Scope.Sites["team"] = access.Selection{Sites: []access.SiteID{w.sites["night"]}}
	}
	if product != access.ConsoleID && g.Subject.User != "" && r.IntN(6) == 0 {
		g.Effect = access.Deny
	}
	if r.IntN(5) == 0 {
		g.From = w.Now().AddDate(0, 1, 0).Truncate(time.Millisecond)
	}
	return g
}

func (w *world) state(t *testing.T) access.State {
	t.Helper()
	s, err := w.Snapshot(t.Context(), w.actor.Tenant)
	if err != nil {
		t.Fatal(err)
	}
	p, err := access.NewPolicy(s.Catalogue, s.Grants)
	if err != nil {
		t.Fatal(err)
	}
	return access.State{Facts: s.Facts, Policy: p, At: w.Now()}
}

func (w *world) open(t *testing.T, of store.ReviewScope) *review.Now {
	t.Helper()
	v, err := review.Open(t.Context(), w.Store, w.actor, store.Review{ReviewScope: of, Reviewer: store.UserID(w.people[0]), ReviewerName: "sam", DueAt: store.At(w.Now().AddDate(0, 0, 14))}, nil)
	if errors.Is(err, store.ErrInvalid) {
		return nil // nobody has anything there
	}
	if err != nil {
		t.Fatal(err)
	}
	return w.today(t, v)
}

func (w *world) today(t *testing.T, v store.Review) *review.Now {
	t.Helper()
	now, err := review.Today(t.Context(), w.Store, v, func(_, _ *access.Grant) bool { return w.cuts })
	if err != nil {
		t.Fatal(err)
	}
	return now
}

// finish decides: those named lose what they have.
func (w *world) finish(t *testing.T, now *review.Now, removed ...access.UserID) impact.Proposal {
	t.Helper()
	decided := map[store.UserID]store.ReviewDecision{}
	for _, p := range now.People {
		d := store.ReviewDecision{User: p.UserID, Decided: store.DecidedKeep}
		if slices.Contains(removed, access.UserID(p.UserID)) {
			d.Decided, d.Why = store.DecidedRemove, "moved"
		}
		decided[p.UserID] = d
	}
	p := now.Proposal(decided, func(d store.ReviewDecision) string { return "review: " + d.Why })
	look, err := impact.Look(t.Context(), w.Store, w.actor, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := impact.Save(t.Context(), w.Store, w.actor, p, impact.Agreed{Digest: look.Digest, Typed: look.Typed, Key: store.NewProposalKey()}, nil); err != nil {
		t.Fatalf("%v: %+v of %+v", err, look.Refused, p)
	}
	return p
}

// A removal leaves nothing of the scope to those whom it is about, nothing less to
// anybody else, and, of a site, nothing less to anybody elsewhere. Whatever is granted.
func TestRemovalsTakeAllAndNoMore(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world, rounds int) {
		removals := 0
		for seed := range rounds {
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			w.cuts = r.IntN(4) > 0
			for range 1 + r.IntN(5) {
				w.grant(t, w.random(r))
			}
			of := []store.ReviewScope{{Site: w.sites["utrecht"]}, {Site: w.sites["nl"]}, {Site: w.sites["night"]}, {Product: "roster"}, {Product: "portal"}, {Product: "badge", Role: "planner"},
				{Product: "roster", Role: "payroll"}, {Product: access.ConsoleID, Role: access.RoleAuditor}}[r.IntN(8)]
			now := w.open(t, of)
			if now == nil {
				continue
			}
			var removed []access.UserID
			for _, p := range now.People {
				if access.UserID(p.UserID) != w.people[0] && r.IntN(2) == 0 {
					removed = append(removed, access.UserID(p.UserID))
				}
			}
			before := w.state(t)
			p := w.finish(t, now, removed...)
			after := w.state(t)
			removals += len(removed)
			for _, one := range w.today(t, now.Review).People {
				if slices.Contains(removed, access.UserID(one.UserID)) && !one.Gone {
					t.Errorf("seed %d, %+v: %s has something still, after %+v", seed, of, one.DisplayName, p)
				}
			}
			for _, id := range w.people {
				for _, product := range after.Policy.Products() {
					for _, place := range w.places(product) {
						was := before.Policy.ActionsAt(before.Facts.Subject(id), product.ID, place, before.At)
						is := after.Policy.ActionsAt(after.Facts.Subject(id), product.ID, place, after.At)
						here := of.Site != "" && within(after.Policy, place, of.Site) || of.Site == "" && product.ID == of.Product
						if (!slices.Contains(removed, id) || !here) && !reflect.DeepEqual(was, is) {
							t.Errorf("seed %d, %+v without %v: %s of %v at %v became %v, after %+v", seed, of, removed, was, id, place, is, p)
						}
					}
				}
			}
			if t.Failed() {
				return
			}
		}
		if removals < rounds/3 {
			t.Errorf("%d removals in %d rounds: too few to tell", removals, rounds)
		}
	})
}

// places are all of a product.
func (w *world) places(product access.Product) []access.Place {
	all := []access.Place{{}}
	for dimension, keys := range map[access.DimensionID][]string{"site": {"nl", "utrecht", "uithof", "breda", "be"}, "team": {"day", "night"}} {
		if !slices.Contains(product.Dimensions, dimension) {
			continue
		}
		var more []access.Place
		for _, place := range all {
			for _, key := range keys {
				one := access.Place{dimension: w.sites[key]}
				for d, site := range place {
					one[d] = site
				}
				more = append(more, one)
			}
		}
		all = more
	}
	return all
}

// within reports whether a place is at a site or below it.
func within(p *access.Policy, place access.Place, id access.SiteID) bool {
	site, _ := p.Site(id)
	return p.Contains(access.Area{site.Dimension: {Sites: []access.SiteID{id}}}, access.Place{site.Dimension: place[site.Dimension]})
}

// How a removal at Utrecht goes about a grant of one person, by where that reaches.
func TestHowARemovalIsMade(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world, _ int) {
		ann := w.people[1]
		for _, c := range []struct {
			why               string
			at                []string // without any everywhere
			cut               bool     // may be
			ends, cuts, stays int
		}{
			{why: "it is for the site alone", ends: 1, at: []string{"utrecht"}, cut: true},
			{why: "it is for a site below", ends: 1, at: []string{"uithof"}, cut: true},
			{why: "it is for another one, too", cuts: 1, at: []string{"uithof", "breda"}, cut: true},
			{why: "the same, which the reviewer may not change", stays: 1, at: []string{"uithof", "breda"}},
			{why: "it comes from above", stays: 1, at: []string{"nl"}, cut: true},
			{why: "it comes from above, and names the site", stays: 1, at: []string{"nl", "utrecht"}, cut: true},
			{why: "it is for all sites", stays: 1, cut: true},
		} {
			g := access.Grant{Subject: access.Grantee{User: ann}, Effect: access.Allow, Product: "badge", Role: "viewer", Scope: w.at("badge", c.at...), Origin: access.OriginDirect}
			if len(c.at) == 0 {
				g.Scope = access.Scope{Everywhere: true}
			}
			w.grant(t, g)
			w.cuts = c.cut
			now := w.open(t, store.ReviewScope{Site: w.sites["utrecht"]})
			for _, p := range now.People {
				if p.UserID == store.UserID(ann) && (len(p.Ends) != c.ends || len(p.Cuts) != c.cuts || len(p.Stays) != c.stays || len(p.Denies) != c.stays) {
					t.Errorf("%s: %d end, %d are cut, %d stay with %d denies; want %d, %d and %d", c.why, len(p.Ends), len(p.Cuts), len(p.Stays), len(p.Denies), c.ends, c.cuts, c.stays)
				}
			}
			w.finish(t, now, ann)
			if people := w.today(t, now.Review).People; slices.ContainsFunc(people, func(p review.Person) bool { return p.UserID == store.UserID(ann) && !p.Gone }) {
				t.Errorf("%s: she has something still", c.why)
			}
			w.write(t, func(tx *store.Tx) error {
				p, err := tx.Policy(t.Context())
				if err != nil {
					return err
				}
				for _, g := range p.Grants() {
					if g.Subject.User == ann {
						if err := tx.EndGrants(t.Context(), g.ID); err != nil {
							return err
						}
					}
				}
				return nil
			})
		}
	})
}

// What begins after the review is decided about in it, and is nothing new once it has
// begun; what is over is nobody's business.
func TestWhatBeginsLaterIsReviewed(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world, _ int) {
		ann, bob, chloe := w.people[1], w.people[2], w.people[3]
		later := w.Now().AddDate(0, 2, 0).Truncate(time.Millisecond)
		to := func(who access.UserID, from, until time.Time) access.Grant {
			return access.Grant{Subject: access.Grantee{User: who}, Effect: access.Allow, Product: "badge", Role: "viewer", Scope: w.at("badge", "uithof"), Origin: access.OriginDirect, From: from, Until: until}
		}
		w.grant(t, to(ann, later, time.Time{}), to(bob, later, time.Time{}), to(chloe, time.Time{}, w.Now().Add(time.Minute).Truncate(time.Millisecond)))
		of := store.ReviewScope{Product: "badge"}
		now := w.open(t, of)
		if now == nil || len(now.People) != 3 {
			t.Fatalf("reviewed are %+v, want Ann, Bob and Chloe", now)
		}
		for _, p := range now.People {
			if len(p.Now) != 1 || len(p.Levels) == 0 || p.UserID != store.UserID(chloe) && !p.Now[0].Grant.From.Equal(later) {
				t.Errorf("%s has %+v, want one holding", p.DisplayName, p.ReviewHad)
			}
		}
		w.finish(t, now, bob)
		then := w.state(t)
		for who, want := range map[access.UserID]bool{ann: true, bob: false, chloe: false} {
			held := then.Policy.HeldIn(then.Facts.Subject(who), "badge", later.Add(time.Hour))
			if got := len(held.Items) > 0; got != want {
				t.Errorf("%s: has the badge then: %v, want %v", who, got, want)
			}
		}
		people, err := review.Look(t.Context(), w.Store, w.actor.Tenant, of)
		if err != nil || len(people) != 2 || slices.ContainsFunc(people, func(p store.ReviewPerson) bool { return len(p.Flags) > 0 }) {
			t.Errorf("the next review is about %+v, %v; want Ann and Chloe, with nothing to ask", people, err)
		}
	})
}

// What makes a difference to the next review, and what doesn't.
func TestWhatIsTheSameAsLastTime(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world, _ int) {
		ann, of := w.people[1], store.ReviewScope{Site: w.sites["utrecht"]}
		give := func(role access.RoleID, keys ...string) access.Grant {
			return access.Grant{Subject: access.Grantee{User: ann}, Effect: access.Allow, Product: "badge", Role: role, Scope: w.at("badge", keys...), Origin: access.OriginDirect}
		}
		flags := func() (all []store.ReviewFlag) {
			t.Helper()
			people, err := review.Look(t.Context(), w.Store, w.actor.Tenant, of)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range people {
				if p.UserID == store.UserID(ann) {
					return p.Flags
				}
			}
			t.Fatalf("she isn't in it: %+v", people)
			return nil
		}
		w.grant(t, give("viewer", "utrecht", "breda"))
		if got := flags(); !slices.Equal(got, []store.ReviewFlag{store.FlagFirst}) {
			t.Errorf("never reviewed: got %v", got)
		}
		w.finish(t, w.open(t, of))
		for _, step := range []struct {
			why  string
			do   func(tx *store.Tx) error
			want []store.ReviewFlag
		}{
			{"nothing was changed", func(*store.Tx) error { return nil }, nil},
			{"elsewhere she has less", func(tx *store.Tx) error {
				return w.change(t, tx, ann, func(g *access.Grant) { g.Scope = w.at("badge", "utrecht") })
			}, nil},
			{"for another reason", func(tx *store.Tx) error { return w.change(t, tx, ann, func(g *access.Grant) { g.Reason = "stand-in" }) }, nil},
			{"until a day", func(tx *store.Tx) error {
				return w.change(t, tx, ann, func(g *access.Grant) { g.Until = w.Now().AddDate(1, 0, 0) })
			}, []store.ReviewFlag{store.FlagChanged}},
			{"as at first", func(tx *store.Tx) error { return w.change(t, tx, ann, func(g *access.Grant) { g.Until = time.Time{} }) }, nil},
			{"another role", func(tx *store.Tx) error { return w.change(t, tx, ann, func(g *access.Grant) { g.Role = "planner" }) }, []store.ReviewFlag{store.FlagChanged, store.FlagSensitive}},
			{"the role gives more", func(tx *store.Tx) error {
				p, err := tx.Policy(t.Context())
				if err != nil {
					return err
				}
				product, _ := p.Product("badge")
				product.Roles = slices.Clone(product.Roles)
				product.Roles[0].Permissions = map[access.PermissionID]access.Level{"shifts": "view", "salary": "view"}
				if err := tx.SetProduct(t.Context(), product); err != nil {
					return err
				}
				return w.change(t, tx, ann, func(g *access.Grant) { g.Role = "viewer" })
			}, []store.ReviewFlag{store.FlagChanged, store.FlagSensitive}},
			{"no provider knows her", func(tx *store.Tx) error {
				_, err := tx.ChangePerson(t.Context(), store.UserID(ann), func(p store.Person) store.Person { p.Kind = access.KindGuest; return p })
				return err
			}, []store.ReviewFlag{store.FlagChanged, store.FlagOutside, store.FlagSensitive}},
		} {
			w.write(t, step.do)
			if got := flags(); !slices.Equal(got, step.want) {
				t.Errorf("%s: got %v, want %v", step.why, got, step.want)
			}
		}
	})
}

// change changes the one grant of somebody.
func (w *world) change(t *testing.T, tx *store.Tx, id access.UserID, f func(*access.Grant)) error {
	p, err := tx.Policy(t.Context())
	if err != nil {
		return err
	}
	for _, g := range p.Grants() {
		if g.Subject.User == id {
			_, err := tx.ChangeGrant(t.Context(), g.ID, func(g access.Grant) access.Grant { f(&g); return g })
			return err
		}
	}
	return fmt.Errorf("grant of %s: %w", id, store.ErrNotFound)
}

// More people than anybody looks at are no review.
func TestTooManyPeople(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world, _ int) {
		w.write(t, func(tx *store.Tx) error {
			for i := range store.MaxReviewed + 1 {
				name := fmt.Sprintf("temp%d", i)
				if _, err := tx.CreateUser(t.Context(), w.ref, store.User{UserName: name, Active: true, Doc: []byte(`{}`), Search: []byte(`{}`)}); err != nil {
					return err
				}
			}
			return nil
		})
		s, err := w.Snapshot(t.Context(), w.actor.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		var grants []access.Grant
		for id := range s.Users {
			grants = append(grants, access.Grant{Subject: access.Grantee{User: id}, Effect: access.Allow, Product: "portal", Role: "viewer", Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect})
		}
		w.grant(t, grants...)
		if _, err := review.Look(t.Context(), w.Store, w.actor.Tenant, store.ReviewScope{Product: "portal"}); !errors.Is(err, store.ErrLimit) {
			t.Errorf("%d people: got %v, want %v", len(grants), err, store.ErrLimit)
		}
		if _, err := review.Look(t.Context(), w.Store, w.actor.Tenant, store.ReviewScope{Product: "nothing"}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("no such product: got %v, want %v", err, store.ErrNotFound)
		}
	})
}
