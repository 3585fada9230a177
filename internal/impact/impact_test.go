package impact_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/store"

	"github.com/google/go-cmp/cmp"
)

type kinds = map[access.DifferenceKind][]string

func TestPreviewNamesWhoGainsAndLoses(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		add := impact.Proposal{Add: []access.Grant{w.mapping("technicians", "viewer", "utrecht", "breda")}}
		look := w.look(t, "sam", add)
		if diff := cmp.Diff(kinds{access.Gains: {"daan", "eva", "frank"}}, named(look)); diff != "" || len(look.Refused) > 0 || look.Typed != 0 {
			t.Errorf("%s\n%+v", diff, look.Refused)
		}
		first := w.must(t, "sam", add)

		// Planners get more at Utrecht and, through staff, chloe as much; eva, a
		// technician too, has it raised there.
		second := w.must(t, "sam", impact.Proposal{Add: []access.Grant{w.mapping("planners", "planner", "nl")}})
		if diff := cmp.Diff(kinds{access.Gains: {"alice"}, access.Raises: {"eva"}}, named(second.Preview)); diff != "" {
			t.Error(diff)
		}

		end := w.look(t, "sam", impact.Proposal{End: first.Grants})
		if diff := cmp.Diff(kinds{access.Loses: {"daan", "frank"}, access.Keeps: {"eva"}}, named(end)); diff != "" {
			t.Error(diff)
		}
		kept := end.People[2].Differences[0].Kept
		if len(kept) != 1 || kept[0].Grant.ID != second.Grants[0] {
			t.Errorf("eva still has it via %+v, want the planners' mapping", kept)
		}
		if end.Unchanged != 0 || look.Of != len(people) {
			t.Errorf("%d unchanged of %d", end.Unchanged, look.Of)
		}
	})
}

// Losses come first, and a save that takes something from many wants their number.
func TestManyLosersAreConfirmed(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		var crowd []string
		for i := range 6 {
			name := fmt.Sprintf("guard %d", i)
			w.user(t, name)
			crowd = append(crowd, name)
		}
		w.group(t, "guards", crowd...)
		made := w.must(t, "sam", impact.Proposal{Add: []access.Grant{w.mapping("guards", "planner")}})
		p := impact.Proposal{End: made.Grants, Add: []access.Grant{w.mapping("night", "viewer")}}
		look := w.look(t, "sam", p)
		if look.Typed != 6 || look.Losers() != 6 || look.People[0].Kind != access.Loses {
			t.Fatalf("%d lose something, and %d is to be typed: %+v", look.Losers(), look.Typed, look.People)
		}
		for _, typed := range []int{0, 5} {
			if _, err := w.save(t, "sam", p, impact.Agreed{Digest: look.Digest, Typed: typed}); !errors.Is(err, impact.ErrUnconfirmed) {
				t.Errorf("typed %d: got %v, want %v", typed, err, impact.ErrUnconfirmed)
			}
		}
		if _, err := w.save(t, "sam", p, impact.Agreed{Digest: look.Digest, Typed: 6}); err != nil {
			t.Error(err)
		}
	})
}

// Whoever joins the group between looking and saving is not let in unseen.
func TestStaleWhenSomebodyJoins(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		p := impact.Proposal{Add: []access.Grant{w.mapping("night", "planner", "breda")}}
		look := w.look(t, "sam", p)
		w.join(t, "night", store.MemberID(w.users["frank"]))
		before := w.snapshot(t)
		done, err := w.save(t, "sam", p, impact.Agreed{Digest: look.Digest})
		if !errors.Is(err, impact.ErrStale) || done.Preview == nil || done.Preview.Digest == look.Digest {
			t.Fatalf("got %v and %+v, want %v and another digest", err, done.Preview, impact.ErrStale)
		}
		if diff := cmp.Diff(kinds{access.Gains: {"frank"}}, named(done.Preview)); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(before, w.snapshot(t)); diff != "" {
			t.Errorf("refused, and yet: %s", diff)
		}
		if _, err := w.save(t, "sam", p, impact.Agreed{Digest: done.Preview.Digest}); err != nil {
			t.Error(err)
		}
	})
}

// What others do meanwhile to what is to be changed isn't lost, though nobody's access
// moves by it.
func TestStaleWhenItIsChangedMeanwhile(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		made := w.must(t, "sam", impact.Proposal{Add: []access.Grant{w.mapping("planners", "viewer", "breda")}}).Grants[0]
		policy, _, err := w.Policy(t.Context(), w.system.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		mapping, _ := policy.Grant(made)
		ended, reasoned := mapping, mapping
		ended.Until, reasoned.Reason = now.AddDate(1, 0, 0), "the move"
		site, _ := policy.Site(w.sites["breda"])
		moved, named := site, site
		moved.Key, named.Name = "breda-2", "Breda city"
		mine, hers := roster(), roster()
		mine.Name, hers.Permissions[1].Name = "Rota", "Salary"
		spare := access.Product{ID: "spare"}
		w.must(t, "sam", impact.Proposal{Products: []access.Product{spare}})
		for _, test := range []struct {
			why        string
			mine, hers impact.Proposal
		}{
			{"a mapping", impact.Proposal{Change: []access.Grant{reasoned}}, impact.Proposal{Change: []access.Grant{ended}}},
			{"a site", impact.Proposal{ChangeSites: []access.Site{named}}, impact.Proposal{ChangeSites: []access.Site{moved}}},
			{"a product", impact.Proposal{Products: []access.Product{mine}}, impact.Proposal{Products: []access.Product{hers}}},
			{"a product that goes", impact.Proposal{RemoveProducts: []access.ProductID{"spare"}}, impact.Proposal{Products: []access.Product{{ID: "spare", Name: "Needed"}}}},
			{"a product that comes", impact.Proposal{Products: []access.Product{{ID: "new", Name: "Mine"}}}, impact.Proposal{Products: []access.Product{{ID: "new", Name: "Hers"}}}},
		} {
			look := w.look(t, "sam", test.mine)
			w.must(t, "olga", test.hers)
			before := w.snapshot(t)
			if _, err := w.save(t, "sam", test.mine, impact.Agreed{Digest: look.Digest}); !errors.Is(err, impact.ErrStale) {
				t.Errorf("%s: got %v, want %v", test.why, err, impact.ErrStale)
			}
			if diff := cmp.Diff(before, w.snapshot(t)); diff != "" {
				t.Errorf("%s: refused, and yet: %s", test.why, diff)
			}
		}
	})
}

// What has nothing to do with the proposal doesn't make it stale.
func TestDigestStays(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		p := impact.Proposal{Add: []access.Grant{w.mapping("planners", "viewer", "breda")}}
		look := w.look(t, "sam", p)
		w.join(t, "night", store.MemberID(w.users["frank"]))
		w.must(t, "olga", impact.Proposal{Add: []access.Grant{w.mapping("night", "payroll", "be")}})
		w.at = w.at.Add(time.Hour)
		if again := w.look(t, "sam", p); again.Digest != look.Digest {
			t.Error("the digest is another one")
		}
		if _, err := w.save(t, "sam", p, impact.Agreed{Digest: look.Digest}); err != nil {
			t.Error(err)
		}
	})
}

// Ten saves of one click make one mapping.
func TestSavedOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		p := impact.Proposal{Add: []access.Grant{w.mapping("planners", "viewer", "breda")}}
		look := w.look(t, "sam", p)
		agreed := impact.Agreed{Digest: look.Digest, Key: store.NewProposalKey()}
		saves := make([]impact.Saved, 10)
		var all sync.WaitGroup
		for i := range saves {
			all.Go(func() {
				var err error
				if saves[i], err = w.save(t, "sam", p, agreed); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		made := 0
		for _, s := range saves {
			if !s.Again {
				made++
			}
			if s.Change != saves[0].Change || !slices.Equal(s.Grants, saves[0].Grants) {
				t.Errorf("got %+v and %+v", s, saves[0])
			}
		}
		if made != 1 {
			t.Errorf("saved %d times", made)
		}
		// Another proposal under the same key, or somebody else's, is no double click.
		other := impact.Proposal{Add: []access.Grant{w.mapping("planners", "payroll", "breda")}}
		if _, err := w.save(t, "sam", other, impact.Agreed{Digest: w.look(t, "sam", other).Digest, Key: agreed.Key}); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("another proposal: got %v, want %v", err, store.ErrInvalid)
		}
		if _, err := w.save(t, "olga", p, agreed); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("somebody else: got %v, want %v", err, store.ErrInvalid)
		}
	})
}

// The log has one change for a save, with its parts, and the parent comes last.
func TestOneChangeWithItsParts(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		done := w.must(t, "sam", impact.Proposal{Add: []access.Grant{w.mapping("planners", "viewer", "breda"), w.mapping("night", "viewer", "breda")}})
		changes, err := w.Changes(t.Context(), w.system.Tenant, 3)
		if err != nil {
			t.Fatal(err)
		}
		_, saved, err := w.Proposal(t.Context(), w.system.Tenant, changes[0].SubjectID)
		if err != nil {
			t.Fatal(err)
		}
		want := store.SavedProposal{Digest: done.Preview.Digest, People: map[access.DifferenceKind]int{access.Gains: 2}, Grants: done.Grants,
			Parts: []store.ChangeID{changes[2].ID, changes[1].ID}}
		if diff := cmp.Diff(want, saved); diff != "" || changes[0].ID != done.Change || changes[0].Action != store.ProposalSaved {
			t.Errorf("%+v\n%s", changes[0], diff)
		}
	})
}

func TestRefusals(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		owner := func(name string) access.GrantID {
			for _, g := range w.snapshot(t).Grants {
				if g.Role == access.RoleOwner && g.Subject.User == w.users[name] {
					return g.ID
				}
			}
			t.Fatalf("%s is no owner", name)
			return ""
		}
		used := w.must(t, "sam", impact.Proposal{Add: []access.Grant{w.mapping("planners", "viewer", "breda")}})
		away := w.mapping("planners", "planner", "breda")
		gone := away
		gone.Subject.Group = access.GroupID(store.NewProposalKey())
		nowhere := away
		nowhere.Scope = access.Scope{}
		denied := away
		denied.Product, denied.Role, denied.Effect, denied.Scope = access.ConsoleID, access.RoleAuditor, access.Deny, access.Scope{Everywhere: true}
		backwards := away
		backwards.From, backwards.Until = now.Add(time.Hour), now
		fewer := roster()
		fewer.Roles = fewer.Roles[1:]
		twice := roster()
		twice.Roles = append(twice.Roles, twice.Roles[0])
		client := store.Person{LoginAllowed: true, Kind: access.KindClient}
		salary := access.Grant{Effect: access.Allow, Product: "roster", Role: "payroll", Scope: w.scope("breda")}
		self := away
		self.Subject = access.Grantee{User: w.users["bob"]}
		self.Scope = w.scope("utrecht")
		for _, test := range []struct {
			why, as string
			p       impact.Proposal
			want    impact.RefusalReason
		}{
			{"nothing changes", "sam", impact.Proposal{}, impact.Nothing},
			{"the group isn't there", "sam", impact.Proposal{Add: []access.Grant{gone}}, impact.Gone},
			{"no site", "sam", impact.Proposal{Add: []access.Grant{nowhere}}, impact.GivesNothing},
			{"it ends before it starts", "sam", impact.Proposal{Add: []access.Grant{backwards}}, impact.Contradicts},
			{"a group is denied the console", "sam", impact.Proposal{Add: []access.Grant{denied}}, impact.GroupDenied},
			{"the role is granted", "sam", impact.Proposal{Products: []access.Product{fewer}}, impact.StillGranted},
			{"a role is there twice, and a mapping with it", "sam", impact.Proposal{Products: []access.Product{twice}, Add: []access.Grant{away}}, impact.Contradicts},
			{"the product is granted", "sam", impact.Proposal{RemoveProducts: []access.ProductID{"roster"}}, impact.StillGranted},
			{"both owners go", "sam", impact.Proposal{End: []access.GrantID{owner("sam"), owner("olga")}}, impact.LastOwner},
			{"my own right goes", "sam", impact.Proposal{End: []access.GrantID{owner("sam")}}, impact.LocksOut},
			{"I block myself", "sam", impact.Proposal{People: []impact.PersonChange{{User: store.UserID(w.users["sam"]), Person: store.Person{Kind: access.KindEmployee}}}}, impact.LocksOut},
			{"outside the own sites", "bob", impact.Proposal{Add: []access.Grant{away}}, impact.NotAllowed},
			{"somebody else's mapping", "bob", impact.Proposal{End: used.Grants}, impact.NotAllowed},
			{"more for oneself", "bob", impact.Proposal{Add: []access.Grant{self}}, impact.NotAllowed},
			{"an owner made by a site administrator", "bob", impact.Proposal{Add: []access.Grant{w.console("bob", access.RoleOwner)}}, impact.NotAllowed},
			{"a role changed by a site administrator", "bob", impact.Proposal{Products: []access.Product{roster()}}, impact.NotAllowed},
			{"a site moved by a site administrator", "bob", impact.Proposal{ChangeSites: []access.Site{{ID: w.sites["uithof"], Dimension: "site"}}}, impact.NotAllowed},
			{"somebody blocked by a site administrator", "bob", impact.Proposal{People: []impact.PersonChange{{User: store.UserID(w.users["eva"])}}}, impact.NotAllowed},
			{"a stranger does nothing", "eva", impact.Proposal{Add: []access.Grant{away}}, impact.NotAllowed},
			{"a client sees salaries", "sam", impact.Proposal{Guests: []impact.Guest{{Name: "Zoë", Person: client, Grants: []access.Grant{salary}}}}, impact.Broken},
			{"too many hold the role", "sam", impact.Proposal{Add: []access.Grant{w.mapping("technicians", "payroll"), w.mapping("staff", "payroll")}}, impact.Broken},
		} {
			before := w.snapshot(t)
			look := w.look(t, test.as, test.p)
			if !slices.ContainsFunc(look.Refused, func(r impact.Refusal) bool { return r.Reason == test.want }) {
				t.Errorf("%s: got %+v, want %s", test.why, look.Refused, test.want)
			}
			if _, err := w.save(t, test.as, test.p, impact.Agreed{Digest: look.Digest, Typed: look.Typed}); !errors.Is(err, impact.ErrRefused) {
				t.Errorf("%s: got %v, want %v", test.why, err, impact.ErrRefused)
			}
			if diff := cmp.Diff(before, w.snapshot(t)); diff != "" {
				t.Errorf("%s: refused, and yet: %s", test.why, diff)
			}
		}
		for _, p := range []impact.Proposal{
			{End: []access.GrantID{"no such grant"}}, {End: []access.GrantID{access.GrantID(store.NewProposalKey())}},
			{RemoveProducts: []access.ProductID{"nothing"}}, {ChangeSites: []access.Site{{ID: "x"}}},
		} {
			if _, err := impact.Look(t.Context(), w.Store, w.as("sam"), p); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("%+v: got %v, want %v", p, err, store.ErrNotFound)
			}
		}
	})
}

// A site administrator sees by name what happens inside the own sites only.
func TestNamesStayInsideOwnSites(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		in := w.look(t, "bob", impact.Proposal{Add: []access.Grant{w.mapping("technicians", "viewer", "uithof")}})
		out := w.look(t, "bob", impact.Proposal{Add: []access.Grant{w.mapping("technicians", "viewer", "uithof", "breda")}})
		if in.Hidden || len(in.Refused) > 0 || !out.Hidden || out.Counts[access.Gains] != 3 {
			t.Errorf("inside: %+v, outside: %+v", in.Refused, out)
		}
	})
}

func TestCoveredGrants(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		wide := w.must(t, "sam", impact.Proposal{Add: []access.Grant{w.mapping("staff", "planner", "nl")}})
		look := w.look(t, "sam", impact.Proposal{Add: []access.Grant{w.mapping("planners", "viewer", "breda")}})
		if len(look.Covered) != 1 || look.Covered[0].By.ID != wide.Grants[0] || look.Counts[access.Keeps] != 2 || len(look.Refused) > 0 {
			t.Errorf("%+v", look)
		}
	})
}

// What begins later is shown as of the day on which it begins.
func TestLaterIsShownThen(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		g := w.mapping("technicians", "viewer", "breda")
		g.From = now.AddDate(0, 1, 0)
		look := w.look(t, "sam", impact.Proposal{Add: []access.Grant{g}})
		if !look.At.Equal(g.From) || look.Counts[access.Gains] != 3 {
			t.Errorf("%s: %v", look.At, look.Counts)
		}
	})
}

// Adding a site tells who is there already, but not that everybody sees their own
// access.
func TestNewSiteTellsWhoIsThere(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.write(t, func(tx *store.Tx) error {
			_, err := tx.AddGrants(t.Context(), access.ConsoleBaseline(""), w.mapping("technicians", "viewer", "utrecht"))
			return err
		})
		look := w.look(t, "sam", impact.Proposal{AddSites: []access.Site{{ID: "new", Dimension: "site", Name: "Rijnsweerd", Parent: w.sites["utrecht"]}}})
		if diff := cmp.Diff(kinds{access.Gains: {"bob", "daan", "eva", "frank", "olga", "sam"}}, named(look)); diff != "" {
			t.Error(diff)
		}
	})
}

// Who may add sites somewhere may add some below each other at once, and nowhere else.
func TestNewSitesBelowEachOther(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		w.write(t, func(tx *store.Tx) error {
			_, err := tx.AddGrants(t.Context(), w.console("eva", access.RoleAccessAdministrator, "utrecht"))
			return err
		})
		for top, refused := range map[string]bool{"utrecht": false, "breda": true} {
			look := w.look(t, "eva", impact.Proposal{AddSites: []access.Site{
				{ID: "lower", Dimension: "site", Name: "Dock", Parent: "upper"}, {ID: "upper", Dimension: "site", Name: "Harbour", Parent: w.sites[top]},
			}})
			if (len(look.Refused) > 0) != refused {
				t.Errorf("below %s: refused %+v, want that %v", top, look.Refused, refused)
			}
		}
	})
}

// Each change can be taken back, and what comes of it is what there was.
func TestUndo(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		made := w.must(t, "sam", impact.Proposal{Add: []access.Grant{w.mapping("planners", "viewer", "breda"), w.mapping("night", "planner", "be")}})
		changed, _ := w.state(t).Policy.Grant(made.Grants[0])
		changed.Role, changed.Until = "planner", now.AddDate(0, 2, 0)
		moved := access.Site{ID: w.sites["uithof"], Dimension: "site", Key: "uithof", Name: "De Uithof", Parent: w.sites["breda"]}
		other := roster()
		other.Roles[0].Permissions = map[access.PermissionID]access.Level{access.AllPermissions: "view"}
		w.write(t, func(tx *store.Tx) error { // which ends as she is blocked
			_, _, err := tx.CreateSession(t.Context(), store.Session{UserID: store.UserID(w.users["alice"]), Method: store.MethodOIDC})
			return err
		})
		for _, test := range []struct {
			why string
			p   impact.Proposal
		}{
			{"added", impact.Proposal{Add: []access.Grant{w.mapping("technicians", "planner")}}},
			{"changed", impact.Proposal{Change: []access.Grant{changed}}},
			{"a site moved", impact.Proposal{ChangeSites: []access.Site{moved}}},
			{"a role changed", impact.Proposal{Products: []access.Product{other}}},
			{"somebody blocked", impact.Proposal{People: []impact.PersonChange{{User: store.UserID(w.users["alice"]), Person: store.Person{Kind: access.KindEmployee}}}}},
			{"ended", impact.Proposal{End: made.Grants}}, // from here on the grants have other ids
		} {
			before := w.state(t)
			done := w.must(t, "sam", test.p)
			p, since, err := impact.Undo(t.Context(), w.Store, w.system.Tenant, done.Change)
			if err != nil || since {
				t.Fatalf("%s: %v %v", test.why, since, err)
			}
			look := w.look(t, "sam", p)
			if _, err := w.save(t, "sam", p, impact.Agreed{Digest: look.Digest, Typed: look.Typed, Undoes: done.Change}); err != nil {
				t.Fatalf("%s: %v: %+v", test.why, err, look.Refused)
			}
			impacts, err := impact.Diff(before, w.state(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range impacts {
				for _, d := range i.Differences {
					if d.Kind != access.Keeps {
						t.Errorf("%s: %s: %+v", test.why, i.User, d)
					}
				}
			}
		}

		if _, _, err := impact.Undo(t.Context(), w.Store, w.system.Tenant, made.Change); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("of grants that have ended: got %v, want %v", err, store.ErrNotFound)
		}
		changes, err := w.Changes(t.Context(), w.system.Tenant, 1000)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(changes, func(c store.Change) bool { return c.Action == store.GroupCreated })
		if _, _, err := impact.Undo(t.Context(), w.Store, w.system.Tenant, changes[i].ID); !errors.Is(err, impact.ErrNoInverse) {
			t.Errorf("of what a provider did: got %v, want %v", err, impact.ErrNoInverse)
		}
	})
}

// What was changed again since is said before it is taken back.
func TestUndoTellsOfLaterChanges(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		made := w.must(t, "sam", impact.Proposal{Add: []access.Grant{w.mapping("planners", "viewer", "breda")}})
		g, _ := w.state(t).Policy.Grant(made.Grants[0])
		g.Role = "planner"
		w.must(t, "olga", impact.Proposal{Change: []access.Grant{g}})
		p, since, err := impact.Undo(t.Context(), w.Store, w.system.Tenant, made.Change)
		if err != nil || !since || !slices.Equal(p.End, made.Grants) {
			t.Errorf("%+v, changed since: %v, %v", p, since, err)
		}
	})
}

// Undoing one thing that was said of somebody leaves what was said since of another:
// no end that is taken back lets in who was blocked meanwhile.
func TestUndoOfAnEndLeavesABlock(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		alice := store.UserID(w.users["alice"])
		say := func(p store.Person) impact.Saved {
			t.Helper()
			return w.must(t, "sam", impact.Proposal{People: []impact.PersonChange{{User: alice, Person: p}}})
		}
		ends := now.AddDate(0, 1, 0)
		ended := say(store.Person{LoginAllowed: true, Kind: access.KindEmployee, ExpiresAt: ends})
		say(store.Person{Kind: access.KindEmployee, ExpiresAt: ends})
		undo, since, err := impact.Undo(t.Context(), w.Store, w.system.Tenant, ended.Change)
		if err != nil || since {
			t.Fatalf("changed since: %v, %v", since, err)
		}
		w.must(t, "sam", undo)
		got, err := w.Person(t.Context(), w.system.Tenant, alice)
		if want := (store.Person{Kind: access.KindEmployee}); err != nil || got != want {
			t.Errorf("undone: got %+v, %v, want %+v", got, err, want)
		}
		say(store.Person{Kind: access.KindEmployee, ExpiresAt: now.AddDate(0, 2, 0)})
		if _, since, err := impact.Undo(t.Context(), w.Store, w.system.Tenant, ended.Change); err != nil || !since {
			t.Errorf("with another end since: %v, %v", since, err)
		}
	})
}

// A tree is turned round in one step, in whatever order its sites are named.
func TestTurnATreeRound(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		sites := map[string]access.Site{}
		for _, s := range w.snapshot(t).Catalogue.Sites {
			sites[s.Key] = s
		}
		below, above := sites["nl"], sites["utrecht"]
		below.Parent, above.Parent = w.sites["uithof"], "" // which stays below utrecht
		w.must(t, "sam", impact.Proposal{ChangeSites: []access.Site{below, above}})
		for _, s := range w.snapshot(t).Catalogue.Sites {
			if want, ok := map[string]access.SiteID{"nl": w.sites["uithof"], "utrecht": "", "uithof": w.sites["utrecht"]}[s.Key]; ok && s.Parent != want {
				t.Errorf("%s is below %q, want %q", s.Key, s.Parent, want)
			}
		}
	})
}

// What was made and has gone again can't be undone, a dimension as little as a site.
func TestUndoADimensionOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, w *world) {
		made := w.must(t, "sam", impact.Proposal{Dimensions: []access.Dimension{{ID: "team", Name: "Team"}}})
		back, _, err := impact.Undo(t.Context(), w.Store, w.system.Tenant, made.Change)
		if err != nil {
			t.Fatal(err)
		}
		w.must(t, "sam", back)
		if _, _, err := impact.Undo(t.Context(), w.Store, w.system.Tenant, made.Change); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a second time: %v, want %v", err, store.ErrNotFound)
		}
	})
}
