package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/store"
)

func errorRollsBack(t *testing.T, s *store.Store) {
	p := acme(t, s)
	before := p.log(t)
	refusal := errors.New("no")
	err := p.Write(t.Context(), p.actor, func(tx *store.Tx) error {
		if _, err := tx.CreateUser(t.Context(), p.ref, person("ann", nil)); err != nil {
			return err
		}
		return refusal
	})
	wantErr(t, "write", err, refusal)
	if _, total, err := p.Users(t.Context(), p.ref, store.Query{Count: true}); err != nil || total != 0 {
		t.Errorf("after the refusal: %d users, %v, want 0", total, err)
	}
	if got := p.log(t); !slices.Equal(got, before) {
		t.Errorf("log after the refusal: got %v, want %v", got, before)
	}
}

func panicRollsBack(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for range 30 { // more often than there are connections
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic did not come through")
				}
			}()
			_ = p.Write(ctx, p.actor, func(tx *store.Tx) error {
				if _, err := tx.CreateUser(ctx, p.ref, person("ann", nil)); err != nil {
					return err
				}
				panic("a bug")
			})
		}()
	}
	err := p.Write(ctx, p.actor, func(tx *store.Tx) error {
		_, err := tx.CreateUser(ctx, p.ref, person("ann", nil))
		return err
	})
	if err != nil {
		t.Errorf("write after panics: got %v, want the name free and the locks gone", err)
	}
}

// PostgreSQL takes nothing more in a transaction in which a statement failed.
// What hides the error would be saved on SQLite only.
func failedStatementDoomsTheWrite(t *testing.T, s *store.Store) {
	p := acme(t, s)
	p.addPeople(t, "ann")
	before := p.log(t)
	err := p.Write(t.Context(), p.actor, func(tx *store.Tx) error {
		if _, err := tx.CreateConnection(t.Context(), "okta", store.IdPOkta); err != nil {
			return err
		}
		if _, err := tx.CreateUser(t.Context(), p.ref, person("ANN", nil)); err != nil {
			return err
		}
		_, err := tx.Tenants(t.Context()) // by now the user must be written
		wantErr(t, "create", err, store.ErrTaken)
		return nil
	})
	wantErr(t, "write", err, store.ErrTaken)
	if got := p.log(t); !slices.Equal(got, before) {
		t.Errorf("log: got %v, want %v", got, before)
	}
}

// writeRunsAgain makes two transactions wait for each other: on PostgreSQL one
// of them is a deadlock's victim, on SQLite they run one after the other.
func writeRunsAgain(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ids := p.addPeople(t, "ann", "bob")
	rename := func(tx *store.Tx, id store.UserID, to string) error {
		_, err := tx.UpdateUser(t.Context(), p.ref, id, func(u store.User) (store.User, error) {
			return person(u.UserName, map[string]any{"title": fmt.Sprint(u.Version, to)}), nil
		})
		return err
	}
	var both sync.WaitGroup
	for i := range 2 {
		both.Go(func() {
			for range 5 {
				err := p.Write(t.Context(), p.actor, func(tx *store.Tx) error {
					if err := rename(tx, ids[i], "x"); err != nil {
						return err
					}
					return rename(tx, ids[1-i], "y")
				})
				if err != nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	both.Wait()
	for _, id := range ids {
		if u, err := p.User(t.Context(), p.ref, id, false); err != nil || u.Version != 11 {
			t.Errorf("user %s: version %d, %v, want 11: every write once", id, u.Version, err)
		}
	}
	clean(t, s)
}

func cancelledIsUnavailable(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, "write", p.Write(ctx, p.actor, func(*store.Tx) error { return nil }), store.ErrUnavailable)
	_, err := p.Tenants(ctx)
	wantErr(t, "read", err, store.ErrUnavailable)

	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	err = p.Write(ctx, p.actor, func(tx *store.Tx) error {
		cancel()
		_, err := tx.CreateUser(ctx, p.ref, person("ann", nil))
		return err
	})
	if users, _, listErr := p.Users(t.Context(), p.ref, store.Query{Limit: 2}); err != nil || listErr != nil || len(users) != 1 {
		t.Errorf("a write that has begun runs to its end: got %v, %d users, %v", err, len(users), listErr)
	}
}

// Each transaction meets queries that nobody has prepared, which takes a second
// connection for a moment; with all of them taken nothing would ever move.
func manyWriters(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() {
			err := p.Write(ctx, p.actor, func(tx *store.Tx) error {
				title := store.Attr{Path: []string{fmt.Sprintf("title%d", i)}}
				if _, _, err := tx.Users(ctx, p.ref, store.Query{Filter: store.Present{Attr: title}, Limit: 1}); err != nil {
					return err
				}
				_, err := tx.CreateUser(ctx, p.ref, person(fmt.Sprintf("user%d", i), nil))
				return err
			})
			if err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	all.Wait()
}

func oneChangeForEachEffect(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	ann := p.addUser(t, person("ann", nil))
	crew := p.addGroup(t, team("crew", nil))
	update := func(change func(*store.User)) func(tx *store.Tx) error {
		return func(tx *store.Tx) error {
			_, err := tx.UpdateUser(ctx, p.ref, ann.ID, func(u store.User) (store.User, error) {
				change(&u)
				return u, nil
			})
			return err
		}
	}
	group := func(change func(*store.Group), delta store.MemberDelta) func(tx *store.Tx) error {
		return func(tx *store.Tx) error {
			_, _, err := tx.UpdateGroup(ctx, p.ref, crew.ID, func(g store.Group) (store.Group, store.MemberDelta, error) {
				change(&g)
				return g, delta, nil
			})
			return err
		}
	}
	same := func(*store.Group) {}
	annOnly := memberIDs(ann.ID)
	for _, step := range []struct {
		why  string
		do   func(tx *store.Tx) error
		want []string
	}{
		{"nothing is asked", func(*store.Tx) error { return nil }, nil},
		{"the same again", update(func(*store.User) {}), nil},
		{"a new title", update(func(u *store.User) { *u = person("ann", map[string]any{"title": "x"}) }), []string{store.UserUpdated}},
		{"switched off, and a new title: one event", update(func(u *store.User) { *u = person("ann", map[string]any{"active": false}) }), []string{store.UserDeactivated}},
		{"off again", update(func(u *store.User) { u.Active = false }), nil},
		{"switched on", update(func(u *store.User) { *u = person("ann", nil) }), []string{store.UserActivated}},
		{"an empty delta", group(same, store.MemberDelta{}), nil},
		{"a first member", group(same, store.MemberDelta{Add: annOnly}), []string{store.MembersChanged}},
		{"who is one already", group(same, store.MemberDelta{Add: annOnly}), nil},
		{"replaced by the same", group(same, store.MemberDelta{Replace: true, Add: annOnly}), nil},
		{"name and members: two subjects of interest", group(func(g *store.Group) { *g = rename(*g, "team") }, store.MemberDelta{Remove: annOnly}),
			[]string{store.GroupUpdated, store.MembersChanged}},
		{"who is none", group(same, store.MemberDelta{Remove: annOnly}), nil},
		{"emptied when empty", group(same, store.MemberDelta{Replace: true}), nil},
		{"the group goes", func(tx *store.Tx) error { return tx.DeleteGroup(ctx, p.ref, crew.ID) }, []string{store.GroupDeleted}},
		{"the user goes", func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, ann.ID) }, []string{store.UserDeleted}},
	} {
		before := len(p.log(t))
		p.write(t, step.do)
		if got := p.log(t)[before:]; !slices.Equal(got, step.want) {
			t.Errorf("%s: got changes %v, want %v", step.why, got, step.want)
		}
	}

	changes, err := p.Changes(ctx, p.ref.Tenant, 1)
	if err != nil || len(changes) != 1 {
		t.Fatalf("got %v, %v, want the last change", changes, err)
	}
	got := changes[0]
	want := store.Change{TenantID: p.ref.Tenant, ID: got.ID, At: got.At, ActorKind: store.ActorSCIM, ActorID: "token-7", RequestID: "r-1",
		ConnectionID: p.ref.ID, Action: store.UserDeleted, SubjectKind: "user", SubjectID: string(ann.ID), SubjectName: "ann", Detail: `{"groups":0}`}
	if got != want || got.At.IsZero() {
		t.Errorf("got change %+v, want %+v", got, want)
	}
	clean(t, s)
}

func rename(g store.Group, name string) store.Group {
	renamed := team(name, nil)
	g.DisplayName, g.Doc, g.Search = renamed.DisplayName, renamed.Doc, renamed.Search
	return g
}

// More changes than fit into one statement all reach the log.
func longLogs(t *testing.T, s *store.Store) {
	p := acme(t, s)
	p.addPeople(t, numbered("user", 250)...)
	created := 0
	for _, action := range p.log(t) {
		if action == store.UserCreated {
			created++
		}
	}
	if created != 250 {
		t.Errorf("got %d changes, want 250", created)
	}
	clean(t, s)
}

// writesTogether come at the same time, so that on SQLite they share a
// transaction: each has to succeed or fail as if it were alone.
func writesTogether(t *testing.T, s *store.Store) {
	p := acme(t, s)
	p.addPeople(t, "taken")
	const rounds = 25
	var all sync.WaitGroup
	for i := range rounds {
		all.Go(func() { // good
			if err := p.Write(t.Context(), p.actor, func(tx *store.Tx) error {
				_, err := tx.CreateUser(t.Context(), p.ref, person(fmt.Sprint("good", i), nil))
				return err
			}); err != nil {
				t.Errorf("good %d: %v", i, err)
			}
		})
		all.Go(func() { // fails in the database
			wantErr(t, "taken", p.Write(t.Context(), p.actor, func(tx *store.Tx) error {
				if _, err := tx.CreateUser(t.Context(), p.ref, person(fmt.Sprint("lost", i), nil)); err != nil {
					return err
				}
				_, err := tx.CreateUser(t.Context(), p.ref, person("TAKEN", nil))
				return err
			}), store.ErrTaken)
		})
		all.Go(func() { // changes its mind
			no := errors.New("no")
			wantErr(t, "refused", p.Write(t.Context(), p.actor, func(tx *store.Tx) error {
				if _, err := tx.CreateUser(t.Context(), p.ref, person(fmt.Sprint("refused", i), nil)); err != nil {
					return err
				}
				if _, err := tx.Tenants(t.Context()); err != nil { // by now the user is written
					return err
				}
				return no
			}), no)
		})
		all.Go(func() { // panics, in the goroutine that called
			defer func() {
				if recover() == nil {
					t.Errorf("panic %d did not come back", i)
				}
			}()
			_ = p.Write(t.Context(), p.actor, func(tx *store.Tx) error {
				_, _ = tx.CreateUser(t.Context(), p.ref, person(fmt.Sprint("panic", i), nil))
				panic("in the middle")
			})
		})
	}
	all.Wait()
	users, total, err := p.Users(t.Context(), p.ref, store.Query{Limit: 1000, Count: true})
	if err != nil || total != rounds+1 {
		t.Errorf("%d users, %v, want %d", total, err, rounds+1)
	}
	for _, u := range users {
		if u.UserName != "taken" && !strings.HasPrefix(u.UserName, "good") {
			t.Errorf("user %s was written by what failed", u.UserName)
		}
	}
	clean(t, s)
}

// deletedOnCondition holds that a condition sees what is deleted, and that none is
// when it fails.
func deletedOnCondition(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	user := p.addPeople(t, "ann")[0]
	group := p.addGroup(t, team("crew", nil), user)
	for what, remove := range map[string]func(tx *store.Tx, refuse error) error{
		"user": func(tx *store.Tx, refuse error) error {
			return tx.DeleteUserIf(ctx, p.ref, user, func(u store.User) error {
				if u.ID != user || u.Version != 1 {
					t.Errorf("got %s at version %d, want %s at 1", u.ID, u.Version, user)
				}
				return refuse
			})
		},
		"group": func(tx *store.Tx, refuse error) error {
			return tx.DeleteGroupIf(ctx, p.ref, group.ID, func(g store.Group) error {
				if g.ID != group.ID || g.DisplayName != "crew" {
					t.Errorf("got %s %s, want %s crew", g.ID, g.DisplayName, group.ID)
				}
				return refuse
			})
		},
	} {
		before := p.log(t)
		err := p.Write(ctx, p.actor, func(tx *store.Tx) error { return remove(tx, store.ErrLimit) })
		wantErr(t, "delete "+what+" against the condition", err, store.ErrLimit)
		if got := p.log(t); len(got) != len(before) {
			t.Errorf("%s refused: got log %v, want nothing done", what, got)
		}
		p.write(t, func(tx *store.Tx) error { return remove(tx, nil) })
		if got := p.log(t); len(got) != len(before)+1 {
			t.Errorf("%s allowed: got log %v, want one more", what, got)
		}
	}
	clean(t, s)
}
