package storetest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/store"
)

const issuer = "https://idp.example"

func (p place) provider() store.Provider {
	return store.Provider{ConnectionID: p.ref.ID, Issuer: issuer, ClientID: "gatehouse", Sealed: "sealed:hunter2", Enabled: true,
		ProviderSettings: store.ProviderSettings{Auth: "client_secret_basic", Claim: "oid", Attribute: store.LinkExternalID,
			Scopes: []string{"profile"}, Domains: []string{"corp.example"}, BackChannel: true}}
}

func (p place) setProvider(t *testing.T, v store.Provider) store.Provider {
	t.Helper()
	p.write(t, func(tx *store.Tx) (err error) { v, err = tx.SetProvider(t.Context(), v); return err })
	return v
}

func hash(text string) []byte { h := sha256.Sum256([]byte(text)); return h[:] }

func providers(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	if _, err := p.Provider(ctx, p.ref); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("before there is one: %v", err)
	}
	before := len(p.log(t))
	v := p.provider()
	v.Domains = []string{"@Corp.Example", "corp.example", "élan.example"}
	v = p.setProvider(t, v)
	if want := []string{"corp.example", "élan.example"}; !slices.Equal(v.Domains, want) {
		t.Errorf("domains %q, want %q", v.Domains, want)
	}
	got, err := p.Provider(ctx, p.ref)
	if err != nil || !reflect.DeepEqual(got, v) {
		t.Errorf("got %+v, %v; want %+v", got, err, v)
	}
	find := func(why string, want int, f func() ([]store.Provider, error)) {
		t.Helper()
		if found, err := f(); err != nil || len(found) != want {
			t.Errorf("%s: got %+v, %v; want %d", why, found, err, want)
		}
	}
	byDomain := func(d string) func() ([]store.Provider, error) {
		return func() ([]store.Provider, error) { return p.ProvidersFor(ctx, d) }
	}
	byIssuer := func(i string) func() ([]store.Provider, error) {
		return func() ([]store.Provider, error) { return p.ProvidersOfIssuer(ctx, i) }
	}
	find("its domain", 1, byDomain("CORP.example"))
	find("another domain", 0, byDomain("x.example"))
	find("no text", 0, byDomain("\x00"))
	find("its issuer", 1, byIssuer(issuer))
	find("an issuer in other letters", 0, byIssuer("https://IDP.example"))
	find("no text", 0, byIssuer("\xff"))

	other := newPlace(t, s, "globex", "entra")
	other.setProvider(t, other.provider())
	find("of two tenants", 2, byDomain("corp.example"))
	other.refused(t, "another tenant's connection", store.ErrNotFound, func(tx *store.Tx) error {
		_, err := tx.SetProvider(ctx, p.provider())
		return err
	})

	v.Sealed, v.Enabled, v.Domains, v.Scopes = "", false, []string{"x.example"}, nil
	v = p.setProvider(t, v)
	if v.Sealed != "sealed:hunter2" {
		t.Errorf("sealed %q, want it kept", v.Sealed)
	}
	find("not enabled", 0, byDomain("x.example"))
	find("no longer its domain", 1, byDomain("corp.example"))
	find("not enabled", 1, byIssuer(issuer))
	find("of the tenant", 1, func() ([]store.Provider, error) { return p.Providers(ctx, p.ref.Tenant) })

	for why, spoil := range map[string]func(*store.Provider){
		"no issuer":         func(v *store.Provider) { v.Issuer = "" },
		"a name as issuer":  func(v *store.Provider) { v.Issuer = "idp.example" },
		"no client id":      func(v *store.Provider) { v.ClientID = "" },
		"linked by e-mail":  func(v *store.Provider) { v.Attribute = "emails" },
		"linked from email": func(v *store.Provider) { v.Claim = "email" },
		"no claim":          func(v *store.Provider) { v.Claim = "" },
		"no domain":         func(v *store.Provider) { v.Domains = []string{"ann@corp.example"} },
		"no text":           func(v *store.Provider) { v.Scopes = []string{"\x00"} },
	} {
		v := p.provider()
		spoil(&v)
		p.refused(t, why, store.ErrInvalid, func(tx *store.Tx) error { _, err := tx.SetProvider(ctx, v); return err })
	}

	p.write(t, func(tx *store.Tx) error { return tx.RemoveProvider(ctx, p.ref.ID) })
	p.refused(t, "twice", store.ErrNotFound, func(tx *store.Tx) error { return tx.RemoveProvider(ctx, p.ref.ID) })
	if got, want := p.log(t)[before:], []string{store.ProviderSet, store.ProviderSet, store.ProviderRemoved}; !slices.Equal(got, want) {
		t.Errorf("logged %v, want %v", got, want)
	}
	changes, err := p.Changes(ctx, p.ref.Tenant, 10)
	for _, c := range changes {
		if err != nil || strings.Contains(c.Detail, "hunter2") {
			t.Errorf("logged %s, %v: want no secret", c.Detail, err)
		}
	}
	clean(t, s)
}

func signIns(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	begin := func(state, browser string, until time.Time) func(tx *store.Tx) error {
		return func(tx *store.Tx) error {
			_, err := tx.BeginSignIn(ctx, store.SignIn{Connection: p.ref.ID, State: hash(state), Browser: hash(browser),
				Sealed: "sealed:" + state, ReturnTo: "/people", ExpiresAt: store.At(until)})
			return err
		}
	}
	// The callback doesn't know whose sign-in comes back.
	nobody := store.Actor{Kind: store.ActorSystem}
	take := func(state, browser string) (v store.SignIn, err error) {
		err = p.Write(ctx, nobody, func(tx *store.Tx) error {
			v, err = tx.TakeSignIn(ctx, hash(state), hash(browser))
			return err
		})
		return v, err
	}
	soon := p.Now().Add(10 * time.Minute)
	p.refused(t, "no provider", store.ErrNotFound, begin("a", "ann's", soon))
	p.setProvider(t, p.provider())
	p.write(t, begin("a", "ann's", soon))
	p.write(t, begin("b", "bob's", soon))
	p.write(t, begin("late", "ann's", p.Now().Add(-time.Second)))
	for _, wrong := range [][2]string{{"a", "bob's"}, {"b", "ann's"}, {"c", "ann's"}, {"late", "ann's"}, {"", ""}} {
		_, err := take(wrong[0], wrong[1])
		wantErr(t, fmt.Sprint(wrong), err, store.ErrNotFound)
	}
	v, err := take("a", "ann's")
	if err != nil || v.Sealed != "sealed:a" || v.ReturnTo != "/people" || v.TenantID != p.ref.Tenant || v.Connection != p.ref.ID || v.BegunAt.IsZero() {
		t.Errorf("got %+v, %v; want what was begun", v, err)
	}
	_, err = take("a", "ann's")
	wantErr(t, "twice", err, store.ErrNotFound)

	// Two clicks at the same time.
	for i := range 10 {
		state := fmt.Sprint("click", i)
		p.write(t, begin(state, "ann's", soon))
		var won atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				switch _, err := take(state, "ann's"); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, store.ErrNotFound):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d of 8 clicks won, want 1", won.Load())
		}
	}
	p.setProvider(t, p.provider())
	_, err = take("b", "bob's")
	wantErr(t, "begun before the settings changed", err, store.ErrNotFound)
	off := p.provider()
	off.Enabled = false
	p.setProvider(t, off)
	p.refused(t, "not enabled", store.ErrNotFound, begin("d", "ann's", soon))
	clean(t, s)
}

// floodOfSignIns begins more than are kept: the newest stay, and another tenant's.
func floodOfSignIns(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p, other := acme(t, s), newPlace(t, s, "globex", "entra")
	begin := func(p place, tx *store.Tx, state string) error {
		_, err := tx.BeginSignIn(ctx, store.SignIn{Connection: p.ref.ID, State: hash(state), Browser: hash("ann's")})
		return err
	}
	for _, p := range []place{p, other} {
		p.setProvider(t, p.provider())
		p.write(t, func(tx *store.Tx) error { return begin(p, tx, "first of "+string(p.ref.ID)) })
	}
	for i := 0; i < store.MaxSignIns; i += 500 {
		p.write(t, func(tx *store.Tx) error {
			for j := range 500 {
				if err := begin(p, tx, fmt.Sprint(i+j)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for state, want := range map[string]error{"first of " + string(p.ref.ID): store.ErrNotFound, "first of " + string(other.ref.ID): nil,
		"0": nil, fmt.Sprint(store.MaxSignIns - 1): nil} {
		err := p.Write(ctx, store.Actor{Kind: store.ActorSystem}, func(tx *store.Tx) error {
			_, err := tx.TakeSignIn(ctx, hash(state), hash("ann's"))
			return err
		})
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", state, err, want)
		}
	}
}

func (p place) link(t *testing.T, subject, attribute, value string) (id store.UserID, err error) {
	err = p.Write(t.Context(), p.actor, func(tx *store.Tx) error {
		id, err = tx.Link(t.Context(), p.ref, issuer, subject, attribute, value)
		return err
	})
	return id, err
}

// createdOnSignIn is about people of whom SCIM never told.
func createdOnSignIn(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	okta := newPlace(t, s, "acme", "okta")
	with := func(externalID string) map[string]any { return map[string]any{"externalId": externalID} }
	p.addUser(t, person("Ann", with("oid-ann")))
	left := p.addUser(t, person("Émile", with("oid-left")))
	p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, left.ID) })
	for _, c := range []struct {
		why, userName, externalID string
		at                        place
		want                      error
	}{
		{"there is one of that name", "ANN", "oid-new", p, store.ErrTaken},
		{"there is one of that id", "new", "oid-ann", p, store.ErrTaken},
		{"there was one of that name", "émile", "", p, store.ErrLeft},
		{"there was one of that id", "new", "oid-left", p, store.ErrLeft},
		{"no name", "", "oid-new", p, store.ErrInvalid},
		{"a name that is no text", "a\x00b", "", p, store.ErrInvalid},
		{"a name that is too long", strings.Repeat("n", 3000), "", p, store.ErrTooLong},
		{"somebody new", "new", "oid-new", p, nil},
		{"the same again", "new", "oid-new", p, store.ErrTaken},
		{"of another connection", "émile", "oid-left", okta, nil},
	} {
		var u store.User
		err := s.Write(ctx, p.actor, func(tx *store.Tx) (err error) {
			u, err = tx.CreateOnSignIn(ctx, c.at.ref, c.userName, c.externalID, "Somebody")
			return err
		})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.why, err, c.want)
		}
		if c.want != nil {
			continue
		}
		got, err := s.User(ctx, c.at.ref, u.ID, false)
		if err != nil || got.UserName != c.userName || got.ExternalID != c.externalID || !got.Active || got.DisplayName != "Somebody" {
			t.Errorf("%s: kept %+v, %v", c.why, got, err)
		}
	}
}

func identities(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	okta := newPlace(t, s, "acme", "okta")
	with := func(externalID string) map[string]any {
		return map[string]any{"externalId": externalID, "emails": []any{map[string]any{"value": "ann@corp.example"}}}
	}
	ann, bob := p.addUser(t, person("Ann", with("oid-ann"))), p.addUser(t, person("bob", with("oid-bob")))
	p.addUser(t, person("none", nil))
	p.addUser(t, person("twin1", with("twin")))
	p.addUser(t, person("twin2", with("twin")))
	annAtOkta := okta.addUser(t, person("ann", with("okta-ann")))
	got := func(why string, p place, subject, attribute, value string, want store.UserID, wanted error) {
		t.Helper()
		id, err := p.link(t, subject, attribute, value)
		if id != want || !errors.Is(err, wanted) {
			t.Errorf("%s: got %q, %v; want %q, %v", why, id, err, want, wanted)
		}
	}
	const external, name = store.LinkExternalID, store.LinkUserName
	got("by e-mail address", p, "s-ann", "emails", "ann@corp.example", "", store.ErrInvalid)
	got("by e-mail address", p, "s-ann", "email", "ann@corp.example", "", store.ErrInvalid)
	got("no value", p, "s-ann", external, "", "", store.ErrNotFound)
	got("nobody", p, "s-ann", external, "ann@corp.example", "", store.ErrNotFound)
	got("in other letters", p, "s-ann", external, "OID-ANN", "", store.ErrNotFound)
	got("no text", p, "s-ann", name, "\x00", "", store.ErrNotFound)
	got("no subject", p, "", external, "oid-ann", "", store.ErrInvalid)
	got("two of them", p, "s-twin", external, "twin", "", store.ErrAmbiguous)
	got("another connection's", okta, "s-ann", external, "oid-ann", "", store.ErrNotFound)

	got("the first time", p, "s-ann", external, "oid-ann", ann.ID, nil)
	got("again", p, "s-ann", external, "oid-ann", ann.ID, nil)
	got("when SCIM names nobody so", p, "s-ann", name, "renamed", ann.ID, nil)
	got("when the provider doesn't say", p, "s-ann", external, "", ann.ID, nil)
	got("under an id that SCIM never told of", p, "s-ann", external, "oid-x", "", store.ErrOtherPerson)
	got("as bob", p, "s-ann", external, "oid-bob", "", store.ErrOtherPerson)
	got("another subject as ann", p, "s-eve", external, "oid-ann", "", store.ErrOtherPerson)
	got("another subject as ann, by name", p, "s-eve", name, "ANN", "", store.ErrOtherPerson)
	got("the same subject elsewhere", okta, "s-ann", name, "ANN", annAtOkta.ID, nil)
	got("bob by name", p, "s-bob", name, "BOB", bob.ID, nil)
	if ids, err := p.Identities(ctx, p.ref.Tenant, ann.ID); err != nil || len(ids) != 1 || ids[0].Subject != "s-ann" || ids[0].Issuer != issuer {
		t.Errorf("her identities: %+v, %v", ids, err)
	}

	// Who comes back is somebody else, and so is her subject.
	p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, ann.ID) })
	got("deleted", p, "s-ann", external, "oid-ann", "", store.ErrNotFound)
	again := p.addUser(t, person("ann", with("oid-ann")))
	got("a new ann", p, "s-ann", external, "oid-ann", again.ID, nil)
	if ids, err := p.Identities(ctx, p.ref.Tenant, ann.ID); err != nil || len(ids) != 0 || again.ID == ann.ID {
		t.Errorf("of the one who was deleted: %v, %v", ids, err)
	}

	_, secret := p.signIn(t, again.ID)
	p.write(t, func(tx *store.Tx) error { return tx.Unlink(ctx, p.ref, again.ID) })
	p.out(t, "unlinked", secret)
	if log, err := p.ChangesAbout(ctx, p.ref.Tenant, string(again.ID), 1); err != nil || len(log) != 1 || log[0].Action != store.IdentityUnlinked || !strings.Contains(log[0].Detail, `"s-ann"`) {
		t.Errorf("the log doesn't say from what she was unlinked: %+v, %v", log, err)
	}
	p.refused(t, "unlinking her again", store.ErrNotFound, func(tx *store.Tx) error { return tx.Unlink(ctx, p.ref, again.ID) })
	got("another subject, after unlinking", p, "s-new", external, "oid-ann", again.ID, nil)
	got("the one before", p, "s-ann", external, "oid-ann", "", store.ErrOtherPerson)

	p.setProvider(t, p.provider())
	moved := p.provider()
	moved.Issuer = "https://new.example"
	_, secret = p.signIn(t, bob.ID)
	p.setProvider(t, moved)
	p.out(t, "another issuer", secret)
	if ids, err := p.Identities(ctx, p.ref.Tenant, again.ID); err != nil || len(ids) != 0 {
		t.Errorf("after another issuer: %v, %v", ids, err)
	}

	// Two tabs at the same time.
	carl := p.addUser(t, person("carl", with("oid-carl")))
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if id, err := p.link(t, "s-carl", external, "oid-carl"); err != nil || id != carl.ID {
				t.Errorf("at the same time: got %q, %v; want %q", id, err, carl.ID)
			}
		})
	}
	wg.Wait()
	clean(t, s)
}

func revocations(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	okta := newPlace(t, s, "acme", "okta")
	p.setProvider(t, p.provider())
	create := func(p place, user store.UserID, sid string, begun store.Instant) (secret string, err error) {
		err = p.Write(ctx, p.actor, func(tx *store.Tx) error {
			_, secret, err = tx.CreateSession(ctx, store.Session{UserID: user, Method: store.MethodOIDC, Connection: p.ref.ID,
				Issuer: issuer, Subject: "s-" + string(user), ProviderSession: sid, BegunAt: begun})
			return err
		})
		return secret, err
	}
	for name, c := range map[string]struct {
		revoke         func(user store.UserID) store.Revocation
		both, half     bool // whether both sessions of the user end, and what had begun
		others, signIn bool // whether everybody's end, and what has yet to come back
	}{
		"a user": {revoke: func(u store.UserID) store.Revocation { return store.Revocation{User: u} }, both: true, half: true},
		"a subject": {revoke: func(u store.UserID) store.Revocation {
			return store.Revocation{Connection: p.ref.ID, Issuer: issuer, Subject: "s-" + string(u)}
		}, both: true, half: true},
		"a session": {revoke: func(u store.UserID) store.Revocation {
			return store.Revocation{Connection: p.ref.ID, ProviderSession: "one" + string(u)}
		}, half: true},
		"a session of the subject": {revoke: func(u store.UserID) store.Revocation {
			return store.Revocation{Connection: p.ref.ID, Issuer: issuer, Subject: "s-" + string(u), ProviderSession: "one" + string(u)}
		}, half: true},
		"all": {revoke: func(store.UserID) store.Revocation { return store.Revocation{Connection: p.ref.ID} }, both: true, half: true, others: true, signIn: true},
	} {
		t.Run(name, func(t *testing.T) {
			ids := p.addPeople(t, name, "colleague of "+name)
			elsewhere := okta.addPeople(t, name)[0]
			var secrets []string
			for _, c := range []struct {
				p    place
				user store.UserID
				sid  string
			}{{p, ids[0], "one" + string(ids[0])}, {p, ids[0], "two"}, {p, ids[1], "three"}, {okta, elsewhere, "one" + string(ids[0])}} {
				secret, err := create(c.p, c.user, c.sid, store.Instant{})
				if err != nil {
					t.Fatal(err)
				}
				secrets = append(secrets, secret)
			}
			begun := store.At(p.Now())
			for p.Now().Sub(begun.Time) < 2*time.Millisecond { // instants are of milliseconds
				runtime.Gosched()
			}
			p.write(t, func(tx *store.Tx) error {
				_, err := tx.BeginSignIn(ctx, store.SignIn{Connection: p.ref.ID, State: hash(name), Browser: hash("b")})
				return err
			})
			want := 1
			p.write(t, func(tx *store.Tx) error {
				n, err := tx.Revoke(ctx, c.revoke(ids[0]))
				if c.both {
					want = 2
				}
				if c.others {
					want = n // those of the other cases, too
				}
				if n != want {
					t.Errorf("ended %d, want %d", n, want)
				}
				return err
			})
			for i, out := range []bool{true, c.both, c.others, false} {
				if out {
					p.out(t, fmt.Sprint("session ", i), secrets[i])
				} else {
					p.in(t, fmt.Sprint("session ", i), secrets[i])
				}
			}
			if c.half {
				_, err := create(p, ids[0], "one"+string(ids[0]), begun)
				wantErr(t, "begun before", err, store.ErrNotFound)
			}
			if _, err := create(p, ids[1], "three", begun); (err != nil) != c.others {
				t.Errorf("a colleague, begun before: %v", err)
			}
			goesOn := func(begun store.Instant) error {
				return p.Write(ctx, p.actor, func(tx *store.Tx) error {
					return tx.GoesOn(ctx, store.SignIn{Connection: p.ref.ID, BegunAt: begun})
				})
			}
			if err := goesOn(begun); errors.Is(err, store.ErrNotFound) != c.others || err != nil && !c.others {
				t.Errorf("begun before, at the connection: %v", err)
			}
			if err := goesOn(store.At(p.Now().Add(time.Second))); err != nil {
				t.Errorf("begun after, at the connection: %v", err)
			}
			err := p.Write(ctx, p.actor, func(tx *store.Tx) error {
				_, err := tx.TakeSignIn(ctx, hash(name), hash("b"))
				return err
			})
			if (err != nil) != c.signIn {
				t.Errorf("what had yet to come back: %v", err)
			}
			if _, err := create(p, ids[0], "new", store.At(p.Now().Add(time.Second))); err != nil {
				t.Errorf("signed in anew: %v", err)
			}
		})
	}
	for why, r := range map[string]store.Revocation{
		"nobody": {}, "a user and a connection": {User: p.addPeople(t, "zoe")[0], Connection: p.ref.ID},
		"half a subject": {Connection: p.ref.ID, Subject: "s"}, "no id": {Connection: "x"}, "no text": {Connection: p.ref.ID, ProviderSession: "\x00"},
	} {
		p.refused(t, why, store.ErrInvalid, func(tx *store.Tx) error { _, err := tx.Revoke(ctx, r); return err })
	}

	for sid, want := range map[string]bool{"three": true, "four": false, "": false, "\x00": false} {
		if got, err := p.HasSessionAt(ctx, okta.ref, sid); err != nil || got {
			t.Errorf("session %q, at another connection: got %v, %v; want none", sid, got, err)
		}
		ann := p.addPeople(t, "ann of "+fmt.Sprintf("%q", sid))[0]
		if want {
			if _, err := create(p, ann, sid, store.Instant{}); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := p.HasSessionAt(ctx, p.ref, sid); err != nil || got != want {
			t.Errorf("session %q: got %v, %v; want %v", sid, got, err, want)
		}
	}

	use := func(c store.ConnectionID) error {
		return p.Write(ctx, p.actor, func(tx *store.Tx) error { return tx.UseToken(ctx, c, "jti-1", p.Now().Add(time.Minute)) })
	}
	for i, want := range []error{nil, store.ErrTaken, store.ErrTaken} {
		if err := use(p.ref.ID); !errors.Is(err, want) {
			t.Errorf("token, use %d: got %v, want %v", i, err, want)
		}
	}
	if err := use(okta.ref.ID); err != nil {
		t.Errorf("another provider's token of that id: %v", err)
	}
	clean(t, s)
}

// fromOneBrowser ends what a browser has begun, and nobody else's.
func fromOneBrowser(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	p.setProvider(t, p.provider())
	ann := p.addPeople(t, "ann")[0]
	begun := map[string]store.SignIn{}
	for _, state := range []string{"waits", "asked", "other"} {
		browser := "ann's"
		if state == "other" {
			browser = "bob's"
		}
		p.write(t, func(tx *store.Tx) (err error) {
			begun[state], err = tx.BeginSignIn(ctx, store.SignIn{Connection: p.ref.ID, State: hash(state), Browser: hash(browser)})
			return err
		})
	}
	take := func(state string) error {
		return p.Write(ctx, p.actor, func(tx *store.Tx) error {
			_, err := tx.TakeSignIn(ctx, hash(state), begun[state].Browser)
			return err
		})
	}
	create := func(state string) error {
		return p.Write(ctx, p.actor, func(tx *store.Tx) error {
			_, _, err := tx.CreateSession(ctx, store.Session{UserID: ann, Method: store.MethodOIDC, Connection: p.ref.ID, Issuer: issuer, Subject: "s",
				BegunAt: begun[state].BegunAt, Browser: string(begun[state].Browser)})
			return err
		})
	}
	wantErr(t, "asked", take("asked"), nil)
	p.write(t, func(tx *store.Tx) error { return tx.EndSignInsFrom(ctx, hash("ann's")) })
	wantErr(t, "still at the provider", take("waits"), store.ErrNotFound)
	wantErr(t, "on its way to a session", create("asked"), store.ErrNotFound)
	wantErr(t, "another browser's", take("other"), nil)
	wantErr(t, "another browser's", create("other"), nil)
	clean(t, s)
}

// aTokenIsUsedOnce also when it ended a moment ago and the sweep went by: it is taken
// for as long as clocks may differ.
func aTokenIsUsedOnce(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	ended := p.Now().Add(-119 * time.Second)
	use := func() error {
		return p.Write(ctx, p.actor, func(tx *store.Tx) error { return tx.UseToken(ctx, p.ref.ID, "jti", ended) })
	}
	wantErr(t, "the first time", use(), nil)
	p.write(t, func(tx *store.Tx) error { _, err := tx.SweepSignIn(ctx, 1000); return err })
	wantErr(t, "the second time", use(), store.ErrTaken)
	clean(t, s)
}
