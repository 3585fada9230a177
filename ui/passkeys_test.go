package ui

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/store"
)

// authenticator makes passkeys and proves them, as a device would (Web Authentication
// Level 3 §6). Its fields let it lie.
type authenticator struct {
	t       *testing.T
	key     *ecdsa.PrivateKey
	id      []byte
	handle  []byte // of the user whom the passkey is for
	count   uint32
	flags   byte   // of the authenticator data
	origin  string // that the browser says it is at
	rp      string
	forType string // of the ceremony; "" is what it should be
}

// The flags of authenticator data (§6.1).
const (
	userPresent, userVerified, hasCredential = 0x01, 0x04, 0x40
)

func newAuthenticator(t *testing.T, origin string) *authenticator {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id := make([]byte, 32)
	rand.Read(id)
	return &authenticator{t: t, key: key, id: id, flags: userPresent | userVerified, origin: origin, rp: "localhost"}
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// cborBytes and cborText are the head of such an item of a length below 65536 (RFC
// 8949 §3.1), and the item.
func cborBytes(data []byte) []byte {
	return append([]byte{0x59, byte(len(data) >> 8), byte(len(data))}, data...)
}

func cborText(text string) []byte { return append([]byte{0x60 + byte(len(text))}, text...) }

func (a *authenticator) clientData(kind, challenge string) []byte {
	if a.forType != "" {
		kind = a.forType
	}
	data, err := json.Marshal(map[string]any{"type": kind, "challenge": challenge, "origin": a.origin, "crossOrigin": false})
	if err != nil {
		a.t.Fatal(err)
	}
	return data
}

func (a *authenticator) data(flags byte) []byte {
	sum := sha256.Sum256([]byte(a.rp))
	return binary.BigEndian.AppendUint32(append(sum[:], flags), a.count)
}

// options are those that the console gave, as far as they matter here.
type options struct {
	PublicKey struct {
		Challenge string
		User      struct{ ID string }
		RPID      string
		RP        struct{ ID string }

		UserVerification       string
		AuthenticatorSelection struct{ UserVerification, ResidentKey string }
		AllowCredentials       []any
	}
}

func (a *authenticator) create(o options) string {
	handle, err := base64.RawURLEncoding.DecodeString(o.PublicKey.User.ID)
	if err != nil {
		a.t.Fatal(err)
	}
	a.handle = handle
	point, err := a.key.PublicKey.Bytes()
	if err != nil {
		a.t.Fatal(err)
	}
	// A COSE key of kind EC2 on P-256 for ES256 (RFC 9053 §2.1, §7.1.1).
	public := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21}
	public = append(append(public, 0x58, 32), point[1:33]...)
	public = append(append(public, 0x22, 0x58, 32), point[33:]...)
	data := append(a.data(a.flags|hasCredential), make([]byte, 16)...)
	data = append(binary.BigEndian.AppendUint16(data, uint16(len(a.id))), a.id...)
	data = append(data, public...)
	attestation := append([]byte{0xa3}, cborText("fmt")...)
	attestation = append(append(attestation, cborText("none")...), cborText("attStmt")...)
	attestation = append(append(attestation, 0xa0), cborText("authData")...)
	attestation = append(attestation, cborBytes(data)...)
	return a.answer(map[string]any{
		"clientDataJSON": b64(a.clientData("webauthn.create", o.PublicKey.Challenge)), "attestationObject": b64(attestation), "transports": []string{"internal"},
	})
}

func (a *authenticator) get(o options) string {
	a.count++
	client, data := a.clientData("webauthn.get", o.PublicKey.Challenge), a.data(a.flags)
	sum := sha256.Sum256(client)
	signed := sha256.Sum256(append(append([]byte(nil), data...), sum[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, a.key, signed[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return a.answer(map[string]any{
		"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature), "userHandle": b64(a.handle),
	})
}

func (a *authenticator) answer(response map[string]any) string {
	text, err := json.Marshal(map[string]any{"id": b64(a.id), "rawId": b64(a.id), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{}})
	if err != nil {
		a.t.Fatal(err)
	}
	return string(text)
}

// byName is a guest who calls the console localhost.
func (g *rig) byName() *guest {
	s := g.guest()
	s.home = strings.Replace(s.home, "127.0.0.1", "localhost", 1)
	return s
}

func (s *guest) challenge(path string) (o options) {
	s.g.t.Helper()
	got := s.post(path+"/challenge", nil)
	if got.status != 200 || json.Unmarshal([]byte(got.body), &o) != nil || o.PublicKey.Challenge == "" {
		s.g.t.Fatalf("challenge: status %d, %s", got.status, got.body)
	}
	return o
}

func (s *guest) register(a *authenticator, name string) answer {
	s.g.t.Helper()
	return s.post("/me/passkeys", url.Values{"credential": {a.create(s.challenge("/me/passkeys"))}, "name": {name}})
}

func (s *guest) signIn(a *authenticator) answer {
	s.g.t.Helper()
	return s.post("/login/passkey", url.Values{"credential": {a.get(s.challenge("/login/passkey"))}, "to": {"/me?x=1"}})
}

// comeIn accepts an invitation.
func (g *rig) comeIn() (*guest, store.UserID) {
	g.t.Helper()
	one, secret := g.asked(byMail)
	jan := g.byName()
	if got := jan.post("/i", url.Values{"code": {secret}}); got.status != 303 {
		g.t.Fatalf("accepted: status %d: %s", got.status, got.text("main"))
	}
	one, err := g.Store.Invitation(g.t.Context(), g.actor.Tenant, one.ID)
	if err != nil {
		g.t.Fatal(err)
	}
	return jan, one.UserID
}

func (g *rig) passkeysOf(user store.UserID) []store.Passkey {
	g.t.Helper()
	all, err := g.Passkeys(g.t.Context(), g.actor.Tenant, user)
	if err != nil {
		g.t.Fatal(err)
	}
	return all
}

func TestPasskeyFromRegistrationToRemoval(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		jan, user := g.comeIn()
		phone := newAuthenticator(t, jan.home)
		o := jan.challenge("/me/passkeys")
		if p := o.PublicKey; p.RP.ID != "localhost" || p.AuthenticatorSelection.UserVerification != "required" || p.AuthenticatorSelection.ResidentKey != "required" {
			t.Errorf("asked for %+v", p)
		}
		if got := jan.register(phone, "My phone"); got.status != 303 {
			t.Fatalf("registered: status %d: %s", got.status, got.text("main"))
		}
		if got := jan.register(phone, "Again"); got.status != 409 {
			t.Errorf("the same passkey: status %d, want 409", got.status)
		}
		if got := jan.get("/me/passkeys"); got.Find("main li input[value='My phone']").Length() != 1 {
			t.Errorf("the page says %q", got.text("main"))
		}

		later := g.byName()
		if p := later.challenge("/login/passkey").PublicKey; p.UserVerification != "required" || len(p.AllowCredentials) != 0 || p.RPID != "localhost" {
			t.Errorf("asked for %+v", p)
		}
		if got := later.signIn(phone); got.status != 303 || got.header.Get("Location") != "/me?x=1" {
			t.Fatalf("signed in: status %d to %q: %s", got.status, got.header.Get("Location"), got.text("main"))
		}
		if got := later.get("/me"); got.status != 200 || !strings.Contains(got.text("main"), "Client @ Uithof") {
			t.Errorf("inside: status %d, %q", got.status, got.text("main"))
		}
		sessions, err := g.Sessions(t.Context(), g.actor.Tenant, user)
		if err != nil || len(sessions) != 2 || sessions[0].Method != store.MethodPasskey {
			t.Errorf("sessions %+v, %v", sessions, err)
		}

		id := string(g.passkeysOf(user)[0].ID)
		if got := later.post("/me/passkeys/"+id+"/rename", url.Values{"name": {"Old phone"}}); got.status != 303 || g.passkeysOf(user)[0].Name != "Old phone" {
			t.Errorf("renamed: status %d, %q", got.status, g.passkeysOf(user)[0].Name)
		}
		for _, path := range []string{"/rename", "/remove"} {
			if got := g.post(sam, "/me/passkeys/"+id+path, nil); got.status != 404 {
				t.Errorf("somebody else's%s: status %d, want 404", path, got.status)
			}
		}
		if got := jan.post("/me/passkeys/"+id+"/remove", nil); got.status != 303 || len(g.passkeysOf(user)) != 0 {
			t.Errorf("removed: status %d, %d left", got.status, len(g.passkeysOf(user)))
		}
		if got := later.get("/me"); got.status != 303 {
			t.Errorf("signed in with a passkey that was removed: status %d", got.status)
		}
		if got := g.byName().signIn(phone); got.status != 403 || !strings.Contains(got.text("h1"), "not known here") {
			t.Errorf("with a removed one: status %d, %q", got.status, got.text("main"))
		}
	})
}

func TestPasskeysThatProveNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		jan, user := g.comeIn()
		good := newAuthenticator(t, jan.home)
		if got := jan.register(good, ""); got.status != 303 {
			t.Fatalf("registered: status %d: %s", got.status, got.text("main"))
		}
		other := newAuthenticator(t, jan.home)
		for why, lie := range map[string]func(a *authenticator){
			"without verifying the user":  func(a *authenticator) { a.flags = userPresent },
			"without the user":            func(a *authenticator) { a.flags = userVerified },
			"at another origin":           func(a *authenticator) { a.origin = "https://evil.example" },
			"at another port":             func(a *authenticator) { a.origin = "http://localhost:1" },
			"for another relying party":   func(a *authenticator) { a.rp = "evil.example" },
			"of the other ceremony":       func(a *authenticator) { a.forType = "webauthn.other" },
			"signed with another key":     func(a *authenticator) { a.key = other.key },
			"with somebody else's handle": func(a *authenticator) { a.handle = []byte(g.users[sam]) },
			"without a handle":            func(a *authenticator) { a.handle = nil },
		} {
			liar := *good
			lie(&liar)
			who := g.byName()
			if got := who.signIn(&liar); got.status != 403 || strings.Contains(strings.Join(got.header.Values("Set-Cookie"), " "), "ghu_") || !strings.Contains(got.text("h1"), "not accepted") {
				t.Errorf("%s: status %d, %q; want 403", why, got.status, got.text("main"))
			}
			good.count = max(good.count, liar.count)
			if why == "signed with another key" || strings.Contains(why, "handle") {
				continue // nothing of it is known at registration
			}
			fresh := newAuthenticator(t, jan.home)
			lie(fresh)
			if got := jan.register(fresh, ""); got.status != 400 {
				t.Errorf("registered %s: status %d, want 400", why, got.status)
			}
		}
		for _, bad := range []string{"{}", "x", "[]", "null", `{"id":"` + strings.Repeat("A", 3000) + `"}`, "\x00"} {
			who := g.byName()
			who.challenge("/login/passkey")
			if got := who.post("/login/passkey", url.Values{"credential": {bad}}); got.status != 403 {
				t.Errorf("%.20q: status %d, want 403", bad, got.status)
			}
		}
		if got := g.byName().post("/login/passkey", nil); got.status != 400 || !strings.Contains(got.text("main"), "JavaScript") {
			t.Errorf("without script: status %d, %q", got.status, got.text("main"))
		}
		if n := len(g.passkeysOf(user)); n != 1 {
			t.Errorf("%d passkeys, want the one", n)
		}
		if got := g.byName().signIn(good); got.status != 303 {
			t.Errorf("after all that, the good one: status %d: %s", got.status, got.text("main"))
		}
	})
}

func TestCeremoniesWorkOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		jan, _ := g.comeIn()
		phone := newAuthenticator(t, jan.home)
		if got := jan.register(phone, ""); got.status != 303 {
			t.Fatalf("registered: status %d", got.status)
		}
		who := g.byName()
		proof := phone.get(who.challenge("/login/passkey"))
		if got := g.byName().post("/login/passkey", url.Values{"credential": {proof}}); got.status != 400 {
			t.Errorf("in another browser: status %d, want 400", got.status)
		}
		cookies := who.client.Jar.Cookies(mustURL(t, who.home))
		if got := who.post("/login/passkey", url.Values{"credential": {proof}}); got.status != 303 {
			t.Errorf("once: status %d: %s", got.status, got.text("main"))
		}
		again := g.byName()
		again.client.Jar.SetCookies(mustURL(t, who.home), cookies)
		if got := again.post("/login/passkey", url.Values{"credential": {proof}}); got.status != 400 || !strings.Contains(got.text("main"), "five minutes") {
			t.Errorf("twice: status %d, %q", got.status, got.text("main"))
		}

		// A challenge for one person is no use to another, and none is after five minutes.
		proof = phone.get(who.challenge("/login/passkey"))
		late, err := store.Open(t.Context(), g.url, store.Options{Now: func() time.Time { return now.Add(store.MaxCeremony) }})
		if err != nil {
			t.Fatal(err)
		}
		defer late.Close()
		g.console.store = late
		defer func() { g.console.store = g.Store }()
		if got := who.post("/login/passkey", url.Values{"credential": {proof}}); got.status != 400 {
			t.Errorf("five minutes later: status %d, want 400", got.status)
		}
	})
}

func TestCopiedPasskeyIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		jan, user := g.comeIn()
		phone := newAuthenticator(t, jan.home)
		if got := jan.register(phone, ""); got.status != 303 {
			t.Fatalf("registered: status %d", got.status)
		}
		clone := *phone
		for range 3 {
			if got := g.byName().signIn(phone); got.status != 303 {
				t.Fatalf("signed in: status %d: %s", got.status, got.text("main"))
			}
		}
		if got := g.byName().signIn(&clone); got.status != 403 || !strings.Contains(got.text("h1"), "copied") {
			t.Errorf("the copy: status %d, %q", got.status, got.text("main"))
		}
		if p := g.passkeysOf(user)[0]; p.SignCount != 3 || p.LastUsedAt.IsZero() {
			t.Errorf("kept %+v, want the count of the last good one", p)
		}
		changes, err := g.Changes(t.Context(), g.actor.Tenant, 1)
		if err != nil || changes[0].Action != store.PasskeyRefused {
			t.Errorf("logged %+v, %v", changes, err)
		}
	})
}

func TestDeactivatedCanNotUseAPasskey(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		jan, user := g.comeIn()
		phone := newAuthenticator(t, jan.home)
		if got := jan.register(phone, ""); got.status != 303 {
			t.Fatalf("registered: status %d", got.status)
		}
		block := func(blocked bool) {
			g.write(func(tx *store.Tx) error {
				_, err := tx.ChangePerson(t.Context(), user, func(p store.Person) store.Person { p.LoginAllowed = !blocked; return p })
				return err
			})
		}
		who := g.byName()
		begun := who.challenge("/login/passkey")
		block(true)
		if got := who.post("/login/passkey", url.Values{"credential": {phone.get(begun)}}); got.status != 403 || !strings.Contains(got.text("h1"), "can't sign in any more") {
			t.Errorf("blocked: status %d, %q", got.status, got.text("main"))
		}
		if dutch := g.byName(); !strings.Contains(dutch.post("/preferences", url.Values{"language": {"nl"}}).header.Get("Set-Cookie"), "nl") ||
			!strings.Contains(dutch.signIn(phone).text("h1"), "niet meer aanmelden") {
			t.Error("blocked, in Dutch: another page")
		}
		if got := jan.get("/me"); got.status != 303 {
			t.Errorf("her session: status %d, want it gone", got.status)
		}
		changes, err := g.Changes(t.Context(), g.actor.Tenant, 1)
		if err != nil || changes[0].Action != store.SignInRefused {
			t.Errorf("logged %+v, %v", changes, err)
		}
		block(false)
		later, err := store.Open(t.Context(), g.url, store.Options{Now: func() time.Time { return now.Add(time.Second) }})
		if err != nil {
			t.Fatal(err)
		}
		defer later.Close()
		g.console.store = later
		defer func() { g.console.store = g.Store }()
		if got := g.byName().signIn(phone); got.status != 303 {
			t.Errorf("let in again: status %d: %s", got.status, got.text("main"))
		}
	})
}

func TestPeopleOfAProviderNeedNoPasskey(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	if got := g.get(eva, "/me/passkeys"); got.status != 200 || !strings.Contains(got.text("main"), "Entra ID") || got.Find("main form").Length() != 0 {
		t.Errorf("the page: status %d, %q", got.status, got.text("main"))
	}
	if got := g.post(eva, "/me/passkeys/challenge", nil); got.status != 400 || !strings.Contains(got.text("main"), "localhost") {
		t.Errorf("at an address that is a number: status %d, %q", got.status, got.text("main"))
	}
	if got := g.get(nobody, "/login/passkey"); !strings.Contains(got.text("main"), "http://localhost:") || got.Find("main form").Length() != 0 {
		t.Errorf("signing in there: %q, want the way to the name", got.text("main"))
	}
}

func mustURL(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
