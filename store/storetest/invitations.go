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
)

// byHand is the place as a person in the console would write to it.
func (p place) byHand(user store.UserID) place {
	p.actor = store.Actor{Tenant: p.ref.Tenant, Kind: store.ActorPerson, ID: string(user)}
	return p
}

func (p place) invite(t *testing.T, v store.Invitation) (made store.Invitation, secret string) {
	t.Helper()
	p.write(t, func(tx *store.Tx) (err error) {
		made, secret, err = tx.CreateInvitation(t.Context(), v)
		return err
	})
	return made, secret
}

func (p place) accept(t *testing.T, secret string) (v store.Invitation, err error) {
	actor := store.Actor{Tenant: p.ref.Tenant, Kind: store.ActorInvitation}
	err = p.Write(t.Context(), actor, func(tx *store.Tx) error {
		v, err = tx.AcceptInvitation(t.Context(), secret)
		return err
	})
	return v, err
}

func invitations(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	tree := p.addCatalogue(t)
	ids := p.addPeople(t, "ann", "sam")
	p = p.byHand(ids[0])
	given := grant(access.Grantee{}, at(tree.berlin))
	client := store.Invitation{Kind: access.KindClient, DisplayName: "Cleo Client", Email: "Cleo@client.example", Sponsor: ids[1],
		Grants: []access.Grant{given}, AccountEnds: store.At(p.Now().AddDate(0, 6, 0))}
	before := len(p.log(t))
	v, secret := p.invite(t, client)
	if !strings.HasPrefix(secret, store.InvitationPrefix) || v.InvitedBy != ids[0] || v.State(p.Now()) != store.InvitationOpen {
		t.Errorf("made %+v with %q", v, secret)
	}
	for range 3 { // a mail scanner opens it
		if got, err := p.InvitationBySecret(ctx, secret); err != nil || got.ID != v.ID || got.State(p.Now()) != store.InvitationOpen {
			t.Errorf("opened: %+v, %v", got, err)
		}
	}
	other := newPlace(t, s, "globex", "entra")
	_, err := other.accept(t, secret)
	wantErr(t, "in another tenant", err, store.ErrNotFound)

	var won atomic.Int32
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			switch _, err := p.accept(t, secret); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrNotFound):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 6 accepted it, want 1", won.Load())
	}
	v, err = p.InvitationBySecret(ctx, secret)
	if err != nil || v.State(p.Now()) != store.InvitationAccepted || v.UserID == "" {
		t.Fatalf("accepted: %+v, %v", v, err)
	}
	who, err := p.Person(ctx, p.ref.Tenant, v.UserID)
	if err != nil || who.Kind != access.KindClient || who.Sponsor != ids[1] || who.ExpiresAt != client.AccountEnds.Time {
		t.Errorf("became %+v, %v", who, err)
	}
	if !p.allows(t, v.UserID, tree.berlin) || p.allows(t, v.UserID, tree.sydney) {
		t.Errorf("has access in berlin: %v, in sydney: %v; want only berlin", p.allows(t, v.UserID, tree.berlin), p.allows(t, v.UserID, tree.sydney))
	}
	made := p.policy(t).Grants()
	if g := made[len(made)-1]; g.Origin != access.OriginInvitation || g.Subject.User != access.UserID(v.UserID) {
		t.Errorf("granted %+v, want one by invitation", g)
	}
	conns, err := p.Connections(ctx, p.ref.Tenant)
	i := slices.IndexFunc(conns, func(c store.Connection) bool { return c.IdP == store.IdPLocal })
	if err != nil || i < 0 {
		t.Fatalf("connections: %+v, %v; want a local one", conns, err)
	}
	local := conns[i]
	if u, err := p.User(ctx, local.Ref(), v.UserID, false); err != nil || u.UserName != client.Email || u.DisplayName != "Cleo Client" {
		t.Errorf("became %+v, %v", u, err)
	}
	p.refused(t, "a SCIM token for people outside", store.ErrInvalid, func(tx *store.Tx) error {
		_, _, err := tx.CreateToken(ctx, local, time.Time{})
		return err
	})
	p.refused(t, "another local connection", store.ErrInvalid, func(tx *store.Tx) error {
		_, err := tx.CreateConnection(ctx, "mine", store.IdPLocal)
		return err
	})
	if got := p.log(t)[before:]; !slices.Contains(got, store.InvitationWasCreated) || got[len(got)-1] != store.InvitationWasAccepted {
		t.Errorf("logged %v", got)
	}

	for why, c := range map[string]struct {
		want  error
		spoil func(*store.Invitation)
	}{
		"her address again":  {store.ErrTaken, func(v *store.Invitation) { v.Email = "CLEO@client.example" }},
		"a robot":            {store.ErrInvalid, func(v *store.Invitation) { v.Kind = access.KindService }},
		"nobody":             {store.ErrInvalid, func(v *store.Invitation) { v.DisplayName = " " }},
		"a link by no mail":  {store.ErrInvalid, func(v *store.Invitation) { v.Email = "" }},
		"two addresses":      {store.ErrInvalid, func(v *store.Invitation) { v.Email = "a@x.example, b@x.example" }},
		"a header":           {store.ErrInvalid, func(v *store.Invitation) { v.Email = "a@x.example\r\nBcc: b@x.example" }},
		"over":               {store.ErrInvalid, func(v *store.Invitation) { v.ExpiresAt = store.At(p.Now()) }},
		"for ever":           {store.ErrInvalid, func(v *store.Invitation) { v.ExpiresAt = store.At(p.Now().AddDate(1, 0, 0)) }},
		"an account of late": {store.ErrInvalid, func(v *store.Invitation) { v.AccountEnds = store.At(p.Now()) }},
		"another form":       {store.ErrInvalid, func(v *store.Invitation) { v.Form = "sms" }},
		"no text":            {store.ErrInvalid, func(v *store.Invitation) { v.DisplayName = "\x00" }},
		"a strange sponsor":  {store.ErrNotFound, func(v *store.Invitation) { v.Sponsor = "01990000-0000-7000-8000-000000000009" }},
		"a provider's user":  {store.ErrNotFound, func(v *store.Invitation) { v.UserID = ids[1] }},
		"an unknown role": {store.ErrInvalid, func(v *store.Invitation) {
			g := given
			g.Role = "emperor"
			v.Grants = []access.Grant{g}
		}},
	} {
		v := client
		v.Email = "new@client.example"
		c.spoil(&v)
		p.refused(t, why, c.want, func(tx *store.Tx) error { _, _, err := tx.CreateInvitation(ctx, v); return err })
	}

	// She lost her passkey: the invitation is for her, who is here.
	again, secret := p.invite(t, store.Invitation{Kind: access.KindClient, DisplayName: "Cleo Client", Form: store.InvitationCode, UserID: v.UserID})
	if got, err := p.accept(t, secret); err != nil || got.UserID != v.UserID || got.ID != again.ID {
		t.Errorf("invited again: got %+v, %v; want her", got, err)
	}
	// Clicked three times, it opens one way in: the last one.
	lost := store.Invitation{Kind: access.KindClient, DisplayName: "Cleo Client", Form: store.InvitationCode, UserID: v.UserID}
	for range 3 {
		wg.Go(func() {
			if err := p.Write(ctx, p.actor, func(tx *store.Tx) error { _, _, err := tx.CreateInvitation(ctx, lost); return err }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	newer, secret := p.invite(t, lost)
	open, err := p.Invitations(ctx, p.ref.Tenant, store.InvitationQuery{State: store.InvitationOpen})
	if err != nil || len(open) != 1 || open[0].ID != newer.ID {
		t.Errorf("open are %+v, %v; want the newest alone", open, err)
	}
	if over, err := p.Invitations(ctx, p.ref.Tenant, store.InvitationQuery{State: store.InvitationWithdrawn}); err != nil || len(over) != 3 || over[0].WithdrawnWhy == "" {
		t.Errorf("withdrawn are %+v, %v; want the three before, and why", over, err)
	}
	if got, err := p.accept(t, secret); err != nil || got.UserID != v.UserID {
		t.Errorf("the newest: %+v, %v", got, err)
	}
	clean(t, s)
}

// invitationsEnd holds what ends an invitation before it is accepted.
func invitationsEnd(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	ids := p.addPeople(t, "ann", "sam")
	ann := p.byHand(ids[0])
	n := 0
	asked := func(form string) (store.Invitation, string) {
		n++
		return ann.invite(t, store.Invitation{Kind: access.KindContractor, DisplayName: fmt.Sprint("Tech ", n), Email: fmt.Sprintf("t%d@x.example", n), Form: form, Sponsor: ids[1]})
	}
	state := func(why, want string, id store.InvitationID) {
		t.Helper()
		found, err := p.Invitations(ctx, p.ref.Tenant, store.InvitationQuery{State: want})
		if err != nil || !slices.ContainsFunc(found, func(v store.Invitation) bool { return v.ID == id && v.State(p.Now()) == want }) {
			t.Errorf("%s: %+v, %v; want it %s", why, found, err, want)
		}
	}

	v, first := asked(store.InvitationLink)
	var second string
	p.write(t, func(tx *store.Tx) (err error) {
		v, second, err = tx.ResendInvitation(ctx, v.ID, func(v *store.Invitation) { v.Email = "right@x.example" })
		return err
	})
	_, err := p.accept(t, first)
	wantErr(t, "the secret before", err, store.ErrNotFound)
	p.write(t, func(tx *store.Tx) error { return tx.WithdrawInvitation(ctx, v.ID, "a mistake") })
	_, err = p.accept(t, second)
	wantErr(t, "withdrawn", err, store.ErrNotFound)
	state("withdrawn", store.InvitationWithdrawn, v.ID)
	p.refused(t, "withdrawn twice", store.ErrInUse, func(tx *store.Tx) error { return tx.WithdrawInvitation(ctx, v.ID, "") })
	p.refused(t, "sent again after that", store.ErrInUse, func(tx *store.Tx) error { _, _, err := tx.ResendInvitation(ctx, v.ID, nil); return err })

	// A code is read from paper.
	v, code := asked(store.InvitationCode)
	if len(code) != 24 || strings.Count(code, "-") != 4 {
		t.Errorf("code %q: want five groups of four", code)
	}
	wrong := code[:10] + strings.Map(func(r rune) rune {
		if r == '-' || r == '0' {
			return r
		}
		return '0'
	}, code[10:])
	for i := range store.MaxCodeAttempts - 1 {
		var err error
		if i%2 == 0 {
			_, err = p.InvitationBySecret(ctx, wrong)
		} else {
			_, err = p.accept(t, wrong)
		}
		wantErr(t, "a wrong code", err, store.ErrNotFound)
	}
	if got, err := p.InvitationBySecret(ctx, " "+strings.ToLower(strings.ReplaceAll(code, "-", " "))); err != nil || got.ID != v.ID || got.Attempts != store.MaxCodeAttempts-1 {
		t.Errorf("as people type it: %+v, %v; want it after %d attempts", got, err, store.MaxCodeAttempts-1)
	}
	if _, err := p.accept(t, wrong); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("one more: %v", err)
	}
	_, err = p.accept(t, code)
	wantErr(t, "after too many", err, store.ErrNotFound)
	state("after too many", store.InvitationLocked, v.ID)
	if got := p.log(t); got[len(got)-1] != store.InvitationWasLocked {
		t.Errorf("logged %v last", got[len(got)-1])
	}
	p.write(t, func(tx *store.Tx) (err error) { _, code, err = tx.ResendInvitation(ctx, v.ID, nil); return err })
	if _, err := p.accept(t, code); err != nil {
		t.Errorf("a new code: %v", err)
	}
	for _, secret := range []string{"", "ghi_", "\x00", "\xff", "AAAA", strings.Repeat("A", 200), "AAAA-AAAA-AAAA-AAAA-AAAA"} {
		_, err := p.InvitationBySecret(ctx, secret)
		wantErr(t, secret, err, store.ErrNotFound)
	}

	// Nobody who leaves lets anybody in, herself included.
	bySponsor, s1 := asked(store.InvitationLink)
	p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, p.ref, ids[1]) })
	_, err = p.accept(t, s1)
	wantErr(t, "the sponsor left", err, store.ErrNotFound)
	state("the sponsor left", store.InvitationWithdrawn, bySponsor.ID)
	ids[1] = ""
	byAnn, s2 := asked(store.InvitationLink)
	if err := p.setActive(t, ids[0], false); err != nil {
		t.Fatal(err)
	}
	if err := p.setActive(t, ids[0], true); err != nil {
		t.Fatal(err)
	}
	_, err = p.accept(t, s2)
	wantErr(t, "who invited her left", err, store.ErrNotFound)
	state("who invited her left", store.InvitationWithdrawn, byAnn.ID)

	all, err := p.Invitations(ctx, p.ref.Tenant, store.InvitationQuery{})
	if err != nil || len(all) != n {
		t.Errorf("listed %d, %v; want %d", len(all), err, n)
	}
	var paged []store.InvitationID
	for q := (store.InvitationQuery{Limit: 2}); ; q.Before = paged[len(paged)-1] {
		some, err := p.Invitations(ctx, p.ref.Tenant, q)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range some {
			paged = append(paged, v.ID)
		}
		if len(some) < 2 {
			break
		}
	}
	for i, v := range all {
		if paged[i] != v.ID {
			t.Errorf("page by page: got %v, want them as in one list", paged)
			break
		}
	}
	changes, err := p.Changes(ctx, p.ref.Tenant, 100)
	for _, c := range changes {
		if err != nil || strings.Contains(c.Detail, "ghi_") || strings.Contains(c.Detail, code) {
			t.Errorf("logged %s, %v: want no secret", c.Detail, err)
		}
	}
	clean(t, s)
}

// technician is somebody outside any provider.
func (p place) technician(t *testing.T, name string) store.UserID {
	t.Helper()
	_, secret := p.invite(t, store.Invitation{Kind: access.KindContractor, DisplayName: name, Form: store.InvitationCode})
	v, err := p.accept(t, secret)
	if err != nil {
		t.Fatal(err)
	}
	return v.UserID
}

func passkeys(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	tim, tom := p.technician(t, "Tim"), p.technician(t, "Tom")
	ann := p.addPeople(t, "ann")[0]
	add := func(user store.UserID, credential string) (k store.Passkey, err error) {
		err = p.Write(ctx, p.actor, func(tx *store.Tx) error {
			k, err = tx.AddPasskey(ctx, store.Passkey{UserID: user, Credential: []byte(credential), PublicKey: []byte{4, 0, 255}, SignCount: 7,
				Flags: 0x1d, Transports: []string{"internal", "hybrid"}, AAGUID: "adce0002", Name: " phone "})
			return err
		})
		return k, err
	}
	k, err := add(tim, "c1")
	if err != nil || k.Name != "phone" {
		t.Fatalf("got %+v, %v", k, err)
	}
	got, err := p.PasskeyOf(ctx, []byte("c1"))
	if err != nil || fmt.Sprint(got) != fmt.Sprint(k) {
		t.Errorf("got %+v, %v; want %+v", got, err, k)
	}
	_, err = p.PasskeyOf(ctx, []byte("c2"))
	wantErr(t, "another's", err, store.ErrNotFound)
	_, err = add(tom, "c1")
	wantErr(t, "the authenticator's name for another", err, store.ErrTaken)
	_, err = add(ann, "c3")
	wantErr(t, "somebody with a provider", err, store.ErrInvalid)
	_, err = add(tim, "")
	wantErr(t, "no name", err, store.ErrInvalid)

	use := func(count uint32) error {
		return p.Write(ctx, p.actor, func(tx *store.Tx) error { _, err := tx.UsePasskey(ctx, k.ID, count); return err })
	}
	for _, c := range []struct {
		count uint32
		want  error
	}{{8, nil}, {8, store.ErrCloned}, {0, store.ErrCloned}, {4_000_000_000, nil}, {9, store.ErrCloned}} {
		if err := use(c.count); !errors.Is(err, c.want) {
			t.Errorf("counter %d: got %v, want %v", c.count, err, c.want)
		}
	}
	if log := p.log(t); log[len(log)-1] != store.PasskeyRefused {
		t.Errorf("logged %s last, want the refusal", log[len(log)-1])
	}
	p.write(t, func(tx *store.Tx) error { return tx.RenamePasskey(ctx, k.ID, "old phone") })
	list, err := p.Passkeys(ctx, p.ref.Tenant, tim)
	if err != nil || len(list) != 1 || list[0].Name != "old phone" || list[0].SignCount != 4_000_000_000 || list[0].LastUsedAt.IsZero() {
		t.Errorf("hers: %+v, %v", list, err)
	}
	other := newPlace(t, s, "globex", "entra")
	other.refused(t, "another tenant's", store.ErrNotFound, func(tx *store.Tx) error { return tx.RemovePasskey(ctx, k.ID) })
	p.write(t, func(tx *store.Tx) error { return tx.RemovePasskey(ctx, k.ID) })
	p.refused(t, "removed", store.ErrNotFound, func(tx *store.Tx) error { return tx.RemovePasskey(ctx, k.ID) })
	for i := range store.MaxPasskeys {
		if _, err := add(tim, fmt.Sprint("many", i)); err != nil {
			t.Fatal(err)
		}
	}
	_, err = add(tim, "one more")
	wantErr(t, "too many", err, store.ErrLimit)

	// Challenges: once, to whom they were given, and not over a leave.
	begin := func(key string, user store.UserID, actor store.Actor) {
		t.Helper()
		err := p.Write(ctx, actor, func(tx *store.Tx) error {
			return tx.BeginCeremony(ctx, store.Ceremony{Key: hash(key), UserID: user, Data: "data of " + key})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	take := func(key string, actor store.Actor) (c store.Ceremony, err error) {
		err = p.Write(ctx, actor, func(tx *store.Tx) error { c, err = tx.TakeCeremony(ctx, hash(key)); return err })
		return c, err
	}
	nobody := store.Actor{Kind: store.ActorSystem}
	begin("tim's", tim, p.actor)
	begin("anybody's", "", nobody)
	begin("tim's, too", tim, p.actor)
	for key, actor := range map[string]store.Actor{"tim's": nobody, "anybody's": p.actor, "none": p.actor} {
		_, err := take(key, actor)
		wantErr(t, key+" elsewhere", err, store.ErrNotFound)
	}
	for key, actor := range map[string]store.Actor{"tim's": p.actor, "anybody's": nobody} {
		if c, err := take(key, actor); err != nil || c.Data != "data of "+key || c.BegunAt.IsZero() || (c.UserID == tim) != (key == "tim's") {
			t.Errorf("%s: got %+v, %v", key, c, err)
		}
		_, err := take(key, actor)
		wantErr(t, key+" twice", err, store.ErrNotFound)
	}
	for _, allowed := range []bool{false, true} {
		p.write(t, func(tx *store.Tx) error {
			_, err := tx.ChangePerson(ctx, tim, func(q store.Person) store.Person { q.LoginAllowed = allowed; return q })
			return err
		})
	}
	_, err = take("tim's, too", p.actor)
	wantErr(t, "from before he was blocked", err, store.ErrNotFound)
	conns, _ := p.Connections(ctx, p.ref.Tenant)
	local := conns[slices.IndexFunc(conns, func(c store.Connection) bool { return c.IdP == store.IdPLocal })]
	p.write(t, func(tx *store.Tx) error { return tx.DeleteUser(ctx, local.Ref(), tim) })
	if _, err := p.PasskeyOf(ctx, []byte("many1")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of somebody deleted: %v", err)
	}
	clean(t, s)
}

func entrances(t *testing.T, s *store.Store) {
	ctx := t.Context()
	p := acme(t, s)
	ann := p.addPeople(t, "ann")[0]
	owners := func() []access.UserID {
		facts, err := p.Facts(ctx, p.ref.Tenant)
		if err != nil {
			t.Fatal(err)
		}
		return access.Owners(access.State{Facts: facts, Policy: p.policy(t), At: p.Now()})
	}
	setup := func() (secret string) {
		t.Helper()
		p.write(t, func(tx *store.Tx) (err error) { _, secret, err = tx.CreateSetup(ctx); return err })
		return secret
	}
	take := func(secret string) (e store.Entrance, err error) {
		err = p.Write(ctx, p.actor, func(tx *store.Tx) error {
			e, err = tx.TakeSetup(ctx, secret, "Olga", "olga@corp.example", "192.0.2.1")
			return err
		})
		return e, err
	}
	first, second := setup(), setup()
	if e, err := p.EntranceBySecret(ctx, first); err != nil || e.TenantID != p.ref.Tenant || e.Kind != store.EntranceSetup || !strings.HasPrefix(first, store.EntrancePrefix) {
		t.Errorf("looked at: %+v, %v", e, err)
	}
	_, err := take("ghb_wrong")
	wantErr(t, "a wrong one", err, store.ErrNotFound)
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			switch _, err := take([]string{first, second}[i%2]); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrInUse):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || len(owners()) != 1 {
		t.Errorf("%d took it, owners %v; want one", won.Load(), owners())
	}
	p.refused(t, "there is an owner", store.ErrInUse, func(tx *store.Tx) error { _, _, err := tx.CreateSetup(ctx); return err })
	if _, err := p.EntranceBySecret(ctx, second); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the other link: %v", err)
	}

	// Break-glass.
	var glass string
	p.write(t, func(tx *store.Tx) (err error) { _, glass, err = tx.CreateBreakGlass(ctx); return err })
	if n := len(owners()); n != 1 {
		t.Errorf("%d owners before it is used, want 1", n)
	}
	_, err = take(glass)
	if err == nil {
		t.Error("a break-glass code taken for set-up")
	}
	other := newPlace(t, s, "globex", "entra")
	brk := func(p place, secret string) (e store.Entrance, err error) {
		err = p.Write(ctx, p.actor, func(tx *store.Tx) error { e, err = tx.TakeBreakGlass(ctx, secret, "192.0.2.9"); return err })
		return e, err
	}
	_, err = brk(other, glass)
	wantErr(t, "in another tenant", err, store.ErrNotFound)
	e, err := brk(p, glass)
	if err != nil || e.UserID == "" || !slices.Contains(owners(), access.UserID(e.UserID)) {
		t.Errorf("broken: %+v, %v, owners %v", e, err, owners())
	}
	_, err = brk(p, glass)
	wantErr(t, "twice", err, store.ErrNotFound)
	who, err := p.Person(ctx, p.ref.Tenant, e.UserID)
	if err != nil || who.ExpiresAt.Sub(p.Now()) > store.BreakGlassOwner {
		t.Errorf("became %+v, %v; want somebody for an hour", who, err)
	}
	uses, err := p.BreakGlasses(ctx, p.ref.Tenant, 10)
	if err != nil || len(uses) != 1 || uses[0].UserID != e.UserID || uses[0].UsedFrom != "192.0.2.9" || uses[0].UsedAt.IsZero() {
		t.Errorf("past uses: %+v, %v", uses, err)
	}
	if log := p.log(t); log[len(log)-1] != store.BreakGlassUsed {
		t.Errorf("logged %v last", log[len(log)-1])
	}

	// Refusals fill nothing.
	before := len(p.log(t))
	for range store.MaxRefusals + 30 {
		err := s.Refused(ctx, p.actor, store.Refusal{Action: store.SignInRefused, Name: "eve\x00", UserID: ann, Why: "nonce"})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := s.CountRefusals(ctx); err != nil {
			t.Fatal(err)
		}
	}
	// The minute may have ended meanwhile.
	if n := len(p.log(t)) - before; n < store.MaxRefusals+1 || n > 2*store.MaxRefusals+1 {
		t.Errorf("logged %d, want about %d and one for the others", n, store.MaxRefusals)
	}
	if err := s.Refused(ctx, p.actor, store.Refusal{Action: "user.deleted"}); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("another action: %v", err)
	}
	clean(t, s)
}
