package store_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"

	"github.com/google/go-cmp/cmp"
)

// moment is what decided from an instant on.
type moment struct {
	at     time.Time
	facts  access.Facts
	policy *access.Policy
}

// held is what everybody has at an instant, with the reasons.
func (m moment) held(t *testing.T, at time.Time) string {
	t.Helper()
	var all []access.Held
	for _, id := range slices.Sorted(maps.Keys(m.facts.People)) {
		all = append(all, access.Resolve(m.facts, m.policy, id, at))
	}
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestAccessHistoryIsExact does what comes to mind to people, groups, sites,
// products and grants, and keeps what decided after each step. Then it asks the
// store about a thousand instants of the past. SEED repeats a run.
func TestAccessHistoryIsExact(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	onBoth(t, func(t *testing.T, url string) {
		t.Logf("SEED=%d", seed)
		c := newClock()
		h := &company{place: acme(t, open(t, url, store.Options{Now: c.Now})), dice: rand.New(rand.NewPCG(seed, 2))}
		ctx := t.Context()
		h.found(t)
		var past []moment
		some := func() bool {
			return h.done["grant"] >= 20 && h.done["member"] >= 20 && h.done["person"] >= 5 && h.done["site"] >= 5 && h.done["product"] >= 5
		}
		for len(past) < 250 || !some() && len(past) < 2500 {
			c.advance(time.Duration(h.dice.IntN(3000)) * time.Millisecond) // sometimes not at all
			h.step(t)
			now := moment{at: c.Now()}
			var err error
			if now.facts, err = h.Facts(ctx, h.ref.Tenant); err != nil {
				t.Fatal(err)
			}
			if now.policy, _, err = h.Policy(ctx, h.ref.Tenant); err != nil {
				t.Fatal(err)
			}
			past = append(past, now)
		}
		if !some() {
			t.Fatalf("done: got %v, want some of everything (SEED=%d)", h.done, seed)
		}
		something := 0
		for asked := 0; asked < 1000 || something < 500 && asked < 20_000; asked++ {
			span := c.Now().Sub(past[0].at)
			at := past[0].at.Add(time.Duration(h.dice.Int64N(int64(span))))
			i, found := slices.BinarySearchFunc(past, at, func(m moment, at time.Time) int {
				if !m.at.After(at) {
					return -1
				}
				return 1
			})
			if found || i == 0 {
				t.Fatalf("instant %v: no step before it", at)
			}
			then := moment{}
			var err error
			if then.facts, err = h.FactsAt(ctx, h.ref.Tenant, at); err != nil {
				t.Fatal(err)
			}
			if then.policy, err = h.PolicyAt(ctx, h.ref.Tenant, at); err != nil {
				t.Fatal(err)
			}
			want, got := past[i-1].held(t, at), then.held(t, at)
			if want != got {
				t.Fatalf("%v (SEED=%d): then (-), read back (+):\n%s", at, seed, cmp.Diff(want, got))
			}
			if bytes.Contains([]byte(got), []byte(`"items"`)) {
				something++
			}
		}
		if something < 500 {
			t.Errorf("instants at which anybody had anything: got %d, want at least 500 (SEED=%d)", something, seed)
		}
		clean(t, h.Store)
	})
}

// company does one thing after the other to a tenant.
type company struct {
	place
	dice *rand.Rand
	made int
	// done counts what had an effect.
	done map[string]int

	users  []store.UserID
	groups []store.GroupID
	sites  []access.SiteID
}

// found makes the catalogue.
func (h *company) found(t *testing.T) {
	t.Helper()
	h.done = map[string]int{}
	h.write(t, func(tx *store.Tx) error {
		for _, d := range []access.DimensionID{"site", "team"} {
			if err := tx.SetDimension(t.Context(), access.Dimension{ID: d}); err != nil {
				return err
			}
			for range 5 {
				added, err := tx.AddSites(t.Context(), access.Site{Dimension: d})
				if err != nil {
					return err
				}
				h.sites = append(h.sites, added[0].ID)
			}
		}
		return tx.SetProduct(t.Context(), h.product())
	})
}

// product is a product whose roles differ each time.
func (h *company) product() access.Product {
	levels := []access.Level{"view", "edit"}
	level := func() access.Level { return levels[h.dice.IntN(2)] }
	return access.Product{
		ID: "roster", Levels: levels, Dimensions: []access.DimensionID{"site", "team"},
		Permissions: []access.Permission{{ID: "shifts"}, {ID: "hours"}, {ID: "pay"}},
		Roles: []access.Role{
			{ID: "planner", Permissions: map[access.PermissionID]access.Level{"shifts": level(), "hours": level()}},
			{ID: "boss", Permissions: map[access.PermissionID]access.Level{access.AllPermissions: level()}},
		},
	}
}

func (h *company) scope() access.Scope {
	scope := access.Scope{Sites: map[access.DimensionID]access.Selection{}}
	for i, d := range []access.DimensionID{"site", "team"} {
		if h.dice.IntN(3) == 0 {
			scope.Sites[d] = access.Selection{All: true}
		} else {
			scope.Sites[d] = access.Selection{Sites: []access.SiteID{h.sites[5*i+h.dice.IntN(5)]}}
		}
	}
	return scope
}

func (h *company) grant(now time.Time) access.Grant {
	g := access.Grant{Effect: access.Allow, Product: "roster", Role: []access.RoleID{"planner", "boss"}[h.dice.IntN(2)], Scope: h.scope()}
	switch n := h.dice.IntN(10); {
	case n < 5:
		g.Subject.Group = access.GroupID(any1(h, h.groups))
	case n < 9:
		g.Subject.User = access.UserID(any1(h, h.users))
	default:
		g.Subject.Everyone = true
	}
	if h.dice.IntN(4) == 0 {
		g.Effect, g.Role, g.Permission, g.Level = access.Deny, "", "hours", "edit"
	} else if h.dice.IntN(4) == 0 {
		g.Mask = []access.PermissionID{"hours"}
	}
	if h.dice.IntN(3) == 0 {
		g.From = now.Add(time.Duration(h.dice.IntN(60)) * time.Second)
	}
	if h.dice.IntN(3) == 0 {
		g.Until = now.Add(time.Duration(60+h.dice.IntN(60)) * time.Second)
	}
	return g
}

func any1[T ~string](h *company, from []T) T {
	if len(from) == 0 {
		return ""
	}
	return from[h.dice.IntN(len(from))]
}

// step does one thing. What the store refuses changes nothing, and is fine.
func (h *company) step(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	h.made++
	name := fmt.Sprintf("n%d", h.made)
	user, group := any1(h, h.users), any1(h, h.groups)
	var grants []access.Grant
	if p, _, err := h.Policy(ctx, h.ref.Tenant); err != nil {
		t.Fatal(err)
	} else {
		grants = p.Grants()
	}
	what := ""
	err := h.Write(ctx, h.actor, func(tx *store.Tx) error {
		switch n := h.dice.IntN(40); {
		case n < 3 || len(h.users) < 3:
			u, err := tx.CreateUser(ctx, h.ref, person(name, true))
			h.users = append(h.users, u.ID)
			return err
		case n < 5 || len(h.groups) < 3:
			g, _, err := tx.CreateGroup(ctx, h.ref, team(name), []store.MemberID{store.MemberID(user)})
			h.groups = append(h.groups, g.ID)
			return err
		case n < 8:
			_, err := tx.UpdateUser(ctx, h.ref, user, func(u store.User) (store.User, error) { return person(u.UserName, h.dice.IntN(3) > 0), nil })
			return err
		case n < 9:
			h.users = slices.DeleteFunc(h.users, func(id store.UserID) bool { return id == user })
			return tx.DeleteUser(ctx, h.ref, user)
		case n < 10:
			h.groups = slices.DeleteFunc(h.groups, func(id store.GroupID) bool { return id == group })
			return tx.DeleteGroup(ctx, h.ref, group)
		case n < 20:
			what = "member"
			delta := store.MemberDelta{Add: []store.MemberID{store.MemberID(user)}}
			switch h.dice.IntN(4) {
			case 0:
				delta.Add = []store.MemberID{store.MemberID(any1(h, h.groups))}
			case 1:
				delta.Add, delta.Remove = nil, []store.MemberID{store.MemberID(user), store.MemberID(any1(h, h.groups))}
			}
			_, _, err := tx.UpdateGroup(ctx, h.ref, group, func(g store.Group) (store.Group, store.MemberDelta, error) { return g, delta, nil })
			return err
		case n < 23:
			what = "person"
			_, err := tx.ChangePerson(ctx, user, func(p store.Person) store.Person {
				p.LoginAllowed = h.dice.IntN(3) > 0
				p.ExpiresAt = time.Time{}
				if h.dice.IntN(2) == 0 {
					p.ExpiresAt = h.Now().Add(time.Duration(h.dice.IntN(100)) * time.Second)
				}
				return p
			})
			return err
		case n < 26:
			what = "site"
			_, err := tx.ChangeSite(ctx, any1(h, h.sites), func(s access.Site) access.Site {
				switch h.dice.IntN(3) {
				case 0:
					s.Archived = !s.Archived
				case 1:
					s.Parent = any1(h, h.sites)
				default:
					s.Key = name
				}
				return s
			})
			return err
		case n < 28:
			what = "product"
			return tx.SetProduct(ctx, h.product())
		}
		what = "grant"
		if len(grants) < 6 || h.dice.IntN(2) == 0 {
			_, err := tx.AddGrants(ctx, h.grant(h.Now()))
			return err
		}
		id := grants[h.dice.IntN(len(grants))].ID
		switch h.dice.IntN(3) {
		case 0:
			return tx.EndGrants(ctx, id)
		case 1:
			_, err := tx.RelinkGrant(ctx, id, access.GroupID(group))
			return err
		}
		_, err := tx.ChangeGrant(ctx, id, func(g access.Grant) access.Grant {
			like := h.grant(h.Now())
			like.ID, like.Subject = g.ID, g.Subject
			return like
		})
		return err
	})
	switch {
	case err == nil:
		h.done[what]++
	case !errors.Is(err, store.ErrInvalid) && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrInUse) && !errors.Is(err, store.ErrCycle):
		t.Fatal(err)
	}
}

// TestCorpusThroughTheStore writes the stories of package access into a database
// and asks their questions of what comes back.
func TestCorpusThroughTheStore(t *testing.T) {
	text, err := os.ReadFile("../access/testdata/corpus.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	onBoth(t, func(t *testing.T, url string) {
		st := open(t, url, store.Options{Now: newClock().Now})
		answers, yes, stories := 0, 0, 0
		for line := range bytes.Lines(text) {
			var s story // which tell changes
			if err := json.Unmarshal(line, &s); err != nil {
				t.Fatal(err)
			}
			n, allowed := s.tell(t, st, fmt.Sprintf("story-%d", stories))
			answers, yes, stories = answers+n, yes+allowed, stories+1
		}
		if answers < 300 || yes < 100 {
			t.Errorf("answers: got %d, of which yes %d, want more", answers, yes)
		}
		clean(t, st)
	})
}

// story is a line of the corpus (package access).
type story struct {
	Catalogue access.Catalogue
	Facts     access.Facts
	Grants    []access.Grant
	At        time.Time
	Answers   []struct {
		User     access.UserID
		Question access.Question
	}
}

// tell writes the story into a tenant, and compares answers with those of the
// same story kept in memory. What the store refuses is in neither: groups within
// themselves, and grants that can't be taken as they are written.
func (s story) tell(t *testing.T, st *store.Store, tenant string) (answers, yes int) {
	t.Helper()
	ctx := t.Context()
	found, err := st.EnsureTenant(ctx, store.Actor{Kind: store.ActorSystem}, tenant)
	if err != nil {
		t.Fatal(err)
	}
	p := place{Store: st, actor: store.Actor{Kind: store.ActorCLI, Tenant: found.ID}}
	p.write(t, func(tx *store.Tx) error {
		p.conn, err = tx.CreateConnection(ctx, "entra", store.IdPEntra)
		return err
	})
	p.ref = p.conn.Ref()

	sites := map[access.SiteID]access.SiteID{}
	for _, site := range s.Catalogue.Sites {
		sites[site.ID] = store.NewSiteID()
	}
	for i := range s.Catalogue.Sites {
		site := &s.Catalogue.Sites[i]
		site.ID, site.Parent = sites[site.ID], sites[site.Parent]
	}
	users, groups := map[access.UserID]access.UserID{}, map[access.GroupID]access.GroupID{}
	facts := access.Facts{People: map[access.UserID]access.Person{}, Groups: map[access.GroupID]access.Group{}}
	p.write(t, func(tx *store.Tx) error {
		for _, d := range s.Catalogue.Dimensions {
			if err := tx.SetDimension(ctx, d); err != nil {
				return err
			}
		}
		if _, err := tx.AddSites(ctx, s.Catalogue.Sites...); err != nil {
			return err
		}
		for _, product := range s.Catalogue.Products {
			if err := tx.SetProduct(ctx, product); err != nil {
				return err
			}
		}
		for _, id := range slices.Sorted(maps.Keys(s.Facts.Groups)) {
			g, _, err := tx.CreateGroup(ctx, p.ref, team(string(id)), nil)
			if err != nil {
				return err
			}
			groups[id] = access.GroupID(g.ID)
			facts.Groups[groups[id]] = access.Group{ID: groups[id], Name: string(id)}
		}
		for _, id := range slices.Sorted(maps.Keys(s.Facts.People)) {
			one := s.Facts.People[id]
			u, err := tx.CreateUser(ctx, p.ref, person(string(id), one.Active))
			if err != nil {
				return err
			}
			_, err = tx.ChangePerson(ctx, u.ID, func(store.Person) store.Person {
				return store.Person{LoginAllowed: one.LoginAllowed, Kind: one.Kind, ExpiresAt: one.ExpiresAt}
			})
			if err != nil {
				return err
			}
			users[id] = access.UserID(u.ID)
			one.ID = users[id]
			one.Groups = slices.DeleteFunc(one.Groups, func(g access.GroupID) bool { return groups[g] == "" }) // long gone
			for i, group := range one.Groups {
				one.Groups[i] = groups[group]
				_, _, err := tx.UpdateGroup(ctx, p.ref, store.GroupID(groups[group]), func(g store.Group) (store.Group, store.MemberDelta, error) {
					return g, store.MemberDelta{Add: []store.MemberID{store.MemberID(u.ID)}}, nil
				})
				if err != nil {
					return err
				}
			}
			facts.People[one.ID] = one
		}
		return nil
	})
	for _, id := range slices.Sorted(maps.Keys(s.Facts.Groups)) {
		for _, parent := range s.Facts.Groups[id].Parents {
			inner, outer := groups[id], groups[parent]
			err := st.Write(ctx, p.actor, func(tx *store.Tx) error {
				_, _, err := tx.UpdateGroup(ctx, p.ref, store.GroupID(outer), func(g store.Group) (store.Group, store.MemberDelta, error) {
					return g, store.MemberDelta{Add: []store.MemberID{store.MemberID(inner)}}, nil
				})
				return err
			})
			if g := facts.Groups[inner]; err == nil && !slices.Contains(g.Parents, outer) {
				g.Parents = append(g.Parents, outer)
				facts.Groups[inner] = g
			} else if err != nil && !errors.Is(err, store.ErrCycle) {
				t.Fatal(err)
			}
		}
	}
	var grants []access.Grant
	for _, g := range s.Grants {
		g.Subject.User, g.Subject.Group = users[g.Subject.User], groups[g.Subject.Group]
		for d, selection := range g.Scope.Sites {
			for i, site := range selection.Sites {
				selection.Sites[i] = sites[site]
			}
			g.Scope.Sites[d] = selection
		}
		err := st.Write(ctx, p.actor, func(tx *store.Tx) error {
			added, err := tx.AddGrants(ctx, g)
			if err == nil {
				g.ID = added[0].ID
			}
			return err
		})
		if err == nil {
			grants = append(grants, g)
		} else if !errors.Is(err, store.ErrInvalid) && !errors.Is(err, store.ErrLastOwner) {
			t.Fatal(err)
		}
	}
	inMemory, err := access.NewPolicy(s.Catalogue, grants)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range s.Answers {
		for d, site := range a.Question.Place {
			a.Question.Place[d] = sites[site]
		}
		want := inMemory.Explain(facts.Subject(users[a.User]), a.Question, s.At)
		subject, policy, err := st.Subject(ctx, found.ID, store.Who{UserName: string(a.User)})
		if err != nil {
			t.Fatal(err)
		}
		got := policy.Explain(subject, a.Question, s.At)
		wantText, _ := json.MarshalIndent(want, "", " ")
		gotText, _ := json.MarshalIndent(got, "", " ")
		if string(wantText) != string(gotText) {
			t.Errorf("%s: %s %+v: in memory (-), stored (+):\n%s", tenant, a.User, a.Question, cmp.Diff(string(wantText), string(gotText)))
		}
		answers++
		if want.Allowed {
			yes++
		}
	}
	return answers, yes
}
