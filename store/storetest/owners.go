package storetest

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/store"
)

// lastOwnerStays tries each way to lose the last owner, and then the same way
// with another owner left, which must work.
func lastOwnerStays(t *testing.T, s *store.Store) {
	ctx := t.Context()
	deactivated := func(p place, tx *store.Tx, id store.UserID) error {
		_, err := tx.UpdateUser(ctx, p.ref, id, func(u store.User) (store.User, error) {
			return person(u.UserName, map[string]any{"active": false}), nil
		})
		return err
	}
	say := func(tx *store.Tx, id store.UserID, to store.Person) error {
		to.Kind = access.KindEmployee
		_, err := tx.ChangePerson(ctx, id, func(store.Person) store.Person { return to })
		return err
	}
	change := func(tx *store.Tx, id access.GrantID, f func(*access.Grant)) error {
		_, err := tx.ChangeGrant(ctx, id, func(g access.Grant) access.Grant { f(&g); return g })
		return err
	}
	for name, way := range map[string]func(p place, tx *store.Tx, owner store.UserID, grant access.GrantID) error{
		"deactivated": func(p place, tx *store.Tx, owner store.UserID, _ access.GrantID) error {
			return deactivated(p, tx, owner)
		},
		"deleted": func(p place, tx *store.Tx, owner store.UserID, _ access.GrantID) error {
			return tx.DeleteUser(ctx, p.ref, owner)
		},
		"grant ended": func(_ place, tx *store.Tx, _ store.UserID, grant access.GrantID) error {
			return tx.EndGrants(ctx, grant)
		},
		"grant to end": func(p place, tx *store.Tx, _ store.UserID, grant access.GrantID) error {
			return change(tx, grant, func(g *access.Grant) { g.Until = p.Now().AddDate(1, 0, 0) })
		},
		"grant yet to begin": func(p place, tx *store.Tx, _ store.UserID, grant access.GrantID) error {
			return change(tx, grant, func(g *access.Grant) { g.From = p.Now().Add(time.Hour) })
		},
		"less of a role": func(_ place, tx *store.Tx, _ store.UserID, grant access.GrantID) error {
			return change(tx, grant, func(g *access.Grant) { g.Role = access.RoleAuditor })
		},
		"masked": func(_ place, tx *store.Tx, _ store.UserID, grant access.GrantID) error {
			return change(tx, grant, func(g *access.Grant) { g.Mask = []access.PermissionID{access.ConsoleAccess} })
		},
		"denied": func(_ place, tx *store.Tx, owner store.UserID, _ access.GrantID) error {
			g := ownership(owner)
			g.Effect, g.Role, g.Permission, g.Level = access.Deny, "", access.ConsoleAccess, access.LevelChange
			_, err := tx.AddGrants(ctx, g)
			return err
		},
		"denied later": func(p place, tx *store.Tx, owner store.UserID, _ access.GrantID) error {
			g := ownership(owner)
			g.Effect, g.Role, g.Permission, g.Level, g.From = access.Deny, "", access.ConsoleAccess, access.LevelChange, p.Now().AddDate(0, 1, 0)
			_, err := tx.AddGrants(ctx, g)
			return err
		},
		"login blocked": func(_ place, tx *store.Tx, owner store.UserID, _ access.GrantID) error {
			return say(tx, owner, store.Person{})
		},
		"to expire": func(p place, tx *store.Tx, owner store.UserID, _ access.GrantID) error {
			return say(tx, owner, store.Person{LoginAllowed: true, ExpiresAt: p.Now().AddDate(1, 0, 0)})
		},
		"narrowed to a site that is archived then": func(_ place, tx *store.Tx, _ store.UserID, grant access.GrantID) error {
			if err := tx.SetDimension(ctx, access.Dimension{ID: "site"}); err != nil {
				return err
			}
			sites, err := tx.AddSites(ctx, access.Site{Dimension: "site"})
			if err != nil {
				return err
			}
			if err := change(tx, grant, func(g *access.Grant) { g.Scope = at(sites[0].ID) }); err != nil {
				return err
			}
			_, err = tx.ChangeSite(ctx, sites[0].ID, func(s access.Site) access.Site { s.Archived = true; return s })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			tenant := strings.ReplaceAll(name, " ", "-")
			p := newPlace(t, s, tenant, "entra")
			ids := p.addPeople(t, "ann", "bob")
			p.write(t, func(tx *store.Tx) error { return deactivated(p, tx, ids[1]) })
			own := p.addGrants(t, ownership(ids[0]), ownership(ids[1]))
			try := func(tx *store.Tx) error { return way(p, tx, ids[0], own[0].ID) }
			p.refused(t, "the last", store.ErrLastOwner, try)

			p.write(t, func(tx *store.Tx) error {
				_, err := tx.UpdateUser(ctx, p.ref, ids[1], func(u store.User) (store.User, error) { return person(u.UserName, nil), nil })
				return err
			})
			p.write(t, try)
		})
	}
	clean(t, s)
}

// ownersMove lets an owner go who names another in the same transaction, in any
// order; whoever has no owner yet may do what they like.
func ownersMove(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	ids := p.addPeople(t, "ann", "bob", "eve")
	first := ownership(ids[2])
	first.Until = p.Now().Add(time.Hour)
	expiring := p.addGrants(t, first)[0]
	p.refused(t, "the only one, though she ends", store.ErrLastOwner, func(tx *store.Tx) error { return tx.EndGrants(ctx, expiring.ID) })
	p.refused(t, "the only one, though she ends, deleted", store.ErrLastOwner, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, ids[2]) })
	own := p.addGrants(t, ownership(ids[0]))[0]
	p.write(t, func(tx *store.Tx) error { return tx.EndGrants(ctx, expiring.ID) })
	p.write(t, func(tx *store.Tx) error {
		if err := tx.EndGrants(ctx, own.ID); err != nil {
			return err
		}
		_, err := tx.AddGrants(ctx, ownership(ids[1]))
		return err
	})
	p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, ids[0]) })
	p.refused(t, "the new one", store.ErrLastOwner, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, ids[1]) })
	clean(t, s)
}

// ownersLeaveAtOnce has the last two owners taken away at the same time, each in
// another way: one of them stays.
func ownersLeaveAtOnce(t *testing.T, s *store.Store) { OwnersLeave(t, s, s) }

// OwnersLeave is the same through two stores of one database.
func OwnersLeave(t *testing.T, one, two *store.Store) {
	ctx := t.Context()
	p := newPlace(t, one, "parallel", "entra")
	ways := []func(tx *store.Tx, id store.UserID, grant access.GrantID) error{
		func(tx *store.Tx, id store.UserID, _ access.GrantID) error { return tx.DeleteUser(ctx, p.ref, id) },
		func(tx *store.Tx, id store.UserID, _ access.GrantID) error {
			_, err := tx.UpdateUser(ctx, p.ref, id, func(u store.User) (store.User, error) {
				return person(u.UserName, map[string]any{"active": false}), nil
			})
			return err
		},
		func(tx *store.Tx, _ store.UserID, grant access.GrantID) error { return tx.EndGrants(ctx, grant) },
		func(tx *store.Tx, id store.UserID, _ access.GrantID) error {
			_, err := tx.ChangePerson(ctx, id, func(p store.Person) store.Person { p.LoginAllowed = false; return p })
			return err
		},
	}
	for i, name := range numbered("round", 16) {
		ids := p.addPeople(t, name+"-a", name+"-b")
		var own []access.Grant
		p.write(t, func(tx *store.Tx) error {
			policy, err := tx.Policy(ctx)
			if err != nil {
				return err
			}
			var before []access.GrantID
			for _, g := range policy.Grants() {
				before = append(before, g.ID)
			}
			if own, err = tx.AddGrants(ctx, ownership(ids[0]), ownership(ids[1])); err != nil {
				return err
			}
			return tx.EndGrants(ctx, before...)
		})
		var both sync.WaitGroup
		errs := make([]error, 2)
		for n, st := range []*store.Store{one, two} {
			both.Go(func() {
				errs[n] = st.Write(ctx, p.actor, func(tx *store.Tx) error { return ways[(i+n*(i/4))%4](tx, ids[n], own[n].ID) })
			})
		}
		both.Wait()
		if refused := errors.Is(errs[0], store.ErrLastOwner) != errors.Is(errs[1], store.ErrLastOwner); !refused || errs[0] != nil && errs[1] != nil {
			t.Fatalf("round %d: got %v and %v, want one of them refused", i, errs[0], errs[1])
		}
	}
	clean(t, one)
}

// ownersSwap makes somebody the only owner while she is being deactivated.
func ownersSwap(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	owner := p.addPeople(t, "ann")[0]
	own := p.addGrants(t, ownership(owner))[0]
	for i, name := range numbered("next", 16) {
		next := p.addPeople(t, name)[0]
		var both sync.WaitGroup
		var added []access.Grant
		var given, left error
		both.Go(func() {
			given = s.Write(ctx, p.actor, func(tx *store.Tx) (err error) {
				if added, err = tx.AddGrants(ctx, ownership(next)); err != nil {
					return err
				}
				return tx.EndGrants(ctx, own.ID)
			})
		})
		both.Go(func() {
			left = s.Write(ctx, p.actor, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, next) })
		})
		both.Wait()
		switch {
		case given == nil && errors.Is(left, store.ErrLastOwner):
			own = added[0]
		case left == nil && (errors.Is(given, store.ErrLastOwner) || errors.Is(given, store.ErrNotFound)):
		default:
			t.Fatalf("round %d: got %v and %v, want one of them refused", i, given, left)
		}
	}
	clean(t, s)
}
