package storetest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/store"
)

// signIn signs somebody in as an identity provider's sid would.
func (p place) signIn(t *testing.T, user store.UserID) (v store.Session, secret string) {
	t.Helper()
	p.write(t, func(tx *store.Tx) (err error) {
		v, secret, err = tx.CreateSession(t.Context(), store.Session{UserID: user, Method: store.MethodOIDC, Connection: p.ref.ID,
			Issuer: "https://idp.example", Subject: "sub-" + string(user), ProviderSession: "sid-" + string(user), UserAgent: "Firefox", Address: "192.0.2.7"})
		return err
	})
	return v, secret
}

// out fails the test unless the secret opens nothing.
func (p place) out(t *testing.T, why, secret string) {
	t.Helper()
	v, err := p.Session(t.Context(), secret)
	if !errors.Is(err, store.ErrNotFound) || v != (store.Session{}) {
		t.Errorf("%s: got %+v, %v, want %v", why, v, err, store.ErrNotFound)
	}
}

func (p place) in(t *testing.T, why, secret string) {
	t.Helper()
	if _, err := p.Session(t.Context(), secret); err != nil {
		t.Errorf("%s: got %v, want the session", why, err)
	}
}

func (p place) setActive(t *testing.T, id store.UserID, active bool) error {
	return p.Write(t.Context(), p.actor, func(tx *store.Tx) error {
		_, err := tx.UpdateUser(t.Context(), p.ref, id, func(u store.User) (store.User, error) {
			return person(u.UserName, map[string]any{"active": active}), nil
		})
		return err
	})
}

func sessions(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ids := p.addPeople(t, "ann", "bob")
	before := len(p.log(t))
	v, secret := p.signIn(t, ids[0])
	if !isSecret(store.SessionPrefix, secret) {
		t.Errorf("secret %q: want 256 bits behind %s", secret, store.SessionPrefix)
	}
	if got := v.ExpiresAt.Sub(v.CreatedAt.Time); got != 12*time.Hour {
		t.Errorf("lives for %v, want 12 hours", got)
	}
	got, err := p.Session(t.Context(), secret)
	if err != nil || got != v {
		t.Errorf("got %+v, %v; want %+v", got, err, v)
	}
	for _, other := range []string{"", store.SessionPrefix, secret + "x", secret[:len(secret)-1], strings.ToUpper(secret), "\x00", "\xff", string(v.ID)} {
		p.out(t, other, other)
	}
	_, bobs := p.signIn(t, ids[1])
	_, second := p.signIn(t, ids[0])
	list, err := p.Sessions(t.Context(), p.ref.Tenant, ids[0])
	if err != nil || len(list) != 2 || list[1] != v {
		t.Errorf("her sessions: got %+v, %v; want two, the first %+v", list, err, v)
	}

	other := newPlace(t, s, "globex", "entra")
	other.refused(t, "another tenant's", store.ErrNotFound, func(tx *store.Tx) error { return tx.EndSession(t.Context(), v.ID) })
	other.write(t, func(tx *store.Tx) error {
		n, err := tx.EndSessionsOf(t.Context(), ids[0], "")
		if n != 0 {
			t.Errorf("ended %d of another tenant's, want none", n)
		}
		return err
	})
	other.refused(t, "a session of somebody in another tenant", store.ErrNotFound, func(tx *store.Tx) error {
		_, _, err := tx.CreateSession(t.Context(), store.Session{UserID: ids[0], Method: store.MethodOIDC})
		return err
	})
	for _, id := range []store.SessionID{"", "x", "\x00"} {
		p.refused(t, "no id", store.ErrNotFound, func(tx *store.Tx) error { return tx.EndSession(t.Context(), id) })
	}
	p.in(t, "after others tried", secret)

	later := v
	later.SeenAt = store.At(v.SeenAt.Add(time.Minute))
	p.write(t, func(tx *store.Tx) error {
		return tx.TouchSessions(t.Context(), map[store.SessionID]store.Session{v.ID: later})
	})
	if got, err := p.Session(t.Context(), secret); err != nil || got != later {
		t.Errorf("touched: got %+v, %v; want %+v", got, err, later)
	}

	p.write(t, func(tx *store.Tx) error { return tx.EndSession(t.Context(), v.ID) })
	p.out(t, "signed out", secret)
	p.in(t, "her other one", second)
	p.refused(t, "twice", store.ErrNotFound, func(tx *store.Tx) error { return tx.EndSession(t.Context(), v.ID) })
	kept, third := p.signIn(t, ids[0])
	p.write(t, func(tx *store.Tx) error {
		n, err := tx.EndSessionsOf(t.Context(), ids[0], kept.ID)
		if n != 1 {
			t.Errorf("ended %d, want 1", n)
		}
		return err
	})
	p.out(t, "signed out everywhere", second)
	p.in(t, "but here", third)
	p.in(t, "somebody else", bobs)
	want := []string{store.SessionCreated, store.SessionCreated, store.SessionCreated, store.SessionEnded, store.SessionCreated, store.SessionEnded}
	if got := p.log(t)[before:]; !slices.Equal(got, want) {
		t.Errorf("logged %v, want %v", got, want)
	}
	changes, err := p.Changes(t.Context(), p.ref.Tenant, 20)
	for _, c := range changes {
		if err != nil || strings.Contains(c.Detail, "ghu_") || strings.Contains(c.Detail, "sid-") {
			t.Errorf("logged %s, %v: want no secret", c.Detail, err)
		}
	}
	clean(t, s)
}

// takenAway does what makes an account not live, and lets it live again: what was
// begun before opens nothing any more, and what begins then does.
func takenAway(t *testing.T, s *store.Store) {
	p := acme(t, s)
	say := func(change func(*store.Person)) func(*testing.T, store.UserID) {
		return func(t *testing.T, id store.UserID) {
			p.write(t, func(tx *store.Tx) error {
				_, err := tx.ChangePerson(t.Context(), id, func(q store.Person) store.Person { change(&q); return q })
				return err
			})
		}
	}
	active := func(active bool) func(*testing.T, store.UserID) {
		return func(t *testing.T, id store.UserID) {
			if err := p.setActive(t, id, active); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		take, give func(*testing.T, store.UserID)
	}{
		"deactivated": {active(false), active(true)},
		"blocked":     {say(func(q *store.Person) { q.LoginAllowed = false }), say(func(q *store.Person) { q.LoginAllowed = true })},
		"expired":     {say(func(q *store.Person) { q.ExpiresAt = p.Now().Add(-time.Hour) }), say(func(q *store.Person) { q.ExpiresAt = time.Time{} })},
		"expired, then longer": {say(func(q *store.Person) { q.ExpiresAt = p.Now().Add(-time.Hour) }),
			say(func(q *store.Person) { q.ExpiresAt = p.Now().Add(time.Hour) })},
		"deleted": {func(t *testing.T, id store.UserID) {
			p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(t.Context(), p.ref, id) })
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ids := p.addPeople(t, name, "colleague of "+name)
			_, secret := p.signIn(t, ids[0])
			_, colleagues := p.signIn(t, ids[1])
			begun := store.At(p.Now())
			finish := func(tx *store.Tx) error {
				_, _, err := tx.CreateSession(t.Context(), store.Session{UserID: ids[0], Method: store.MethodOIDC, BegunAt: begun})
				return err
			}
			c.take(t, ids[0])
			p.out(t, "taken away", secret)
			p.in(t, "a colleague", colleagues)
			p.refused(t, "signing in", store.ErrNotFound, finish)
			if list, err := p.Sessions(t.Context(), p.ref.Tenant, ids[0]); err != nil || len(list) != 0 {
				t.Errorf("her sessions: %v, %v", list, err)
			}
			if c.give == nil {
				return
			}
			c.give(t, ids[0])
			p.out(t, "back again", secret)
			p.refused(t, "a sign-in from before", store.ErrNotFound, finish)
			_, fresh := p.signIn(t, ids[0])
			p.in(t, "signed in anew", fresh)
		})
	}
	ann := p.addPeople(t, "ann")[0]
	for why, begun := range map[string]time.Time{"too long ago": p.Now().Add(-store.MaxSignIn - time.Second)} {
		p.refused(t, why, store.ErrNotFound, func(tx *store.Tx) error {
			_, _, err := tx.CreateSession(t.Context(), store.Session{UserID: ann, Method: store.MethodOIDC, BegunAt: store.At(begun)})
			return err
		})
	}
	clean(t, s)
}

// lastOwnerIsSignedOut has a provider take away the last owner: she stays, and is
// signed out. An administrator who tries it changes nothing.
func lastOwnerIsSignedOut(t *testing.T, s *store.Store) {
	for name, take := range map[string]func(p place, tx *store.Tx, id store.UserID) error{
		"deactivated": func(p place, tx *store.Tx, id store.UserID) error {
			_, err := tx.UpdateUser(t.Context(), p.ref, id, func(u store.User) (store.User, error) {
				return person(u.UserName, map[string]any{"active": false}), nil
			})
			return err
		},
		"deleted": func(p place, tx *store.Tx, id store.UserID) error { return tx.DeleteUser(t.Context(), p.ref, id) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, s, name, "entra")
			ids := p.addPeople(t, "ann", "bob")
			p.addGrants(t, ownership(ids[0]))
			_, anns := p.signIn(t, ids[0])
			_, bobs := p.signIn(t, ids[1])
			byHand := p
			byHand.actor.Kind, byHand.actor.ID = store.ActorPerson, string(ids[1])
			byHand.refused(t, "in the console", store.ErrLastOwner, func(tx *store.Tx) error { return take(p, tx, ids[0]) })
			p.in(t, "in the console", anns)

			begun := store.At(p.Now())
			err := p.Write(t.Context(), p.actor, func(tx *store.Tx) error { return take(p, tx, ids[0]) })
			wantErr(t, "by the provider", err, store.ErrLastOwner)
			p.out(t, "the last owner", anns)
			p.in(t, "somebody else", bobs)
			p.refused(t, "a sign-in from before", store.ErrNotFound, func(tx *store.Tx) error {
				_, _, err := tx.CreateSession(t.Context(), store.Session{UserID: ids[0], Method: store.MethodOIDC, BegunAt: begun})
				return err
			})
			if u, err := p.User(t.Context(), p.ref, ids[0], false); err != nil || !u.Active {
				t.Errorf("the last owner: got %+v, %v; want her as she was", u, err)
			}
		})
	}
	clean(t, s)
}

// signInsRaceTheirEnd signs people in while they are deactivated: whichever comes
// first, nobody who is activated again finds a session from before.
func signInsRaceTheirEnd(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ids := p.addPeople(t, numbered("u", 20)...)
	var secrets sync.Map
	var made atomic.Int32
	var wg sync.WaitGroup
	for _, id := range ids {
		begun := store.At(p.Now())
		for range 3 {
			wg.Go(func() {
				var secret string
				err := p.Write(t.Context(), p.actor, func(tx *store.Tx) (err error) {
					_, secret, err = tx.CreateSession(t.Context(), store.Session{UserID: id, Method: store.MethodOIDC, Connection: p.ref.ID,
						Issuer: "https://idp.example", Subject: string(id), BegunAt: begun})
					return err
				})
				if err == nil {
					made.Add(1)
					secrets.Store(secret, true)
				} else if !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if err := p.setActive(t, id, false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, id := range ids {
		if err := p.setActive(t, id, true); err != nil {
			t.Fatal(err)
		}
	}
	secrets.Range(func(secret, _ any) bool {
		p.out(t, "from before", secret.(string))
		return true
	})
	t.Logf("%d of %d sign-ins were faster", made.Load(), 3*len(ids))
	clean(t, s)
}

// manySessions holds that a person's sessions are bounded, the oldest going first.
func manySessions(t *testing.T, s *store.Store) {
	p := acme(t, s)
	ann := p.addPeople(t, "ann")[0]
	var secrets []string
	for range store.MaxSessions + 2 {
		_, secret := p.signIn(t, ann)
		secrets = append(secrets, secret)
	}
	for i, secret := range secrets {
		if i < 2 {
			p.out(t, "one of the oldest", secret)
			continue
		}
		p.in(t, "one of the newest", secret)
	}
	clean(t, s)
}

// baselines gives every tenant its first grant, once, and to none that took it away.
func baselines(t *testing.T, s *store.Store) {
	p, other := acme(t, s), newPlace(t, s, "globex", "entra")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := s.EnsureBaselines(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, p := range []place{p, other} {
		if grants := p.policy(t).Grants(); len(grants) != 1 || !grants[0].Subject.Everyone || grants[0].Permission != "own" {
			t.Errorf("granted %+v, want everyone to see their own", grants)
		}
	}
	first := p.policy(t).Grants()[0].ID
	p.write(t, func(tx *store.Tx) error { return tx.EndGrants(t.Context(), first) })
	if err := s.EnsureBaselines(t.Context()); err != nil {
		t.Fatal(err)
	}
	if grants := p.policy(t).Grants(); len(grants) != 0 {
		t.Errorf("taken away, and granted again: %+v", grants)
	}
	clean(t, s)
}
