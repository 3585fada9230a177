package ui

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/internal/idptest"
	"gatehouse/oidc"
	"gatehouse/store"
)

var callOrder = []idptest.Call{"", idptest.Discovery, idptest.Token, idptest.Keys, idptest.UserInfo, idptest.Elsewhere}

// lastCall is how far the provider was asked.
func lastCall(op *idptest.OP) idptest.Call {
	var last idptest.Call
	for _, call := range op.Calls() {
		last = callOrder[max(slices.Index(callOrder, last), slices.Index(callOrder, call))]
	}
	return last
}

// reasonHere is why the pages refuse a case: what the database knows nothing of, or
// not any more, is refused before the protocol sees it.
func reasonHere(c idptest.Case) string {
	if c.Name == "the state twice" {
		return "state"
	}
	return c.Reason
}

// TestHostileProviders runs every sign-in of package idptest over HTTP, and prints
// the figure. Cases that need the person's sign-in there to be recent are package
// oidc's alone: no connection asks for it.
func TestHostileProviders(t *testing.T) {
	atBothGates(t, func(t *testing.T, g *gate) {
		n, good, rejected, accepted := 0, 0, 0, 0
		for _, c := range append(idptest.Hostile(), idptest.Good()...) {
			if c.Setup.MaxAge > 0 {
				continue
			}
			if c.Reason != "" {
				n++
			} else {
				good++
			}
			t.Run(c.Name, func(t *testing.T) {
				g.clock.wait(time.Minute) // no case fills the log for the next
				d := g.newDoor(t, c.Setup)
				c.Prepare(d.OP)
				if c.Reason == "" {
					d.changeAda(func(u *store.User) { u.ExternalID = d.Subject })
				}
				b := d.browser()
				back, page := d.start(b, "&to=/people")
				if back != nil {
					g.clock.wait(c.Wait)
					page = b.get("/oidc/callback?" + back.Encode())
				}
				if got := lastCall(d.OP); got != c.Until {
					t.Errorf("the provider was asked %v, want it asked until %q", d.Calls(), c.Until)
				}
				if c.Reason == "" {
					all := d.sessions()
					if page.status != http.StatusSeeOther || page.header.Get("Location") != "/people" || len(all) != 1 || !b.isIn() {
						t.Fatalf("status %d to %q, %d sessions, want to be in: %s", page.status, page.header.Get("Location"), len(all), page.text("main"))
					}
					if one := all[0]; one.Issuer != d.URL || one.Subject != d.Subject || one.Method != store.MethodOIDC || one.Connection != d.ref.ID {
						t.Errorf("the session is %+v", one)
					}
					accepted++
					return
				}
				wantRefused(t, d, b, page, reasonHere(c))
				if !t.Failed() {
					rejected++
				}
			})
		}
		t.Logf("oidc_hostile_rejected = %d of %d", rejected, n)
		t.Logf("oidc_good_accepted = %d of %d", accepted, good)
		if rejected != n || accepted != good || n < 70 || good < 12 {
			t.Errorf("rejected %d of %d, accepted %d of %d: want all, at least 70 and 12", rejected, n, accepted, good)
		}
	})
}

// wantRefused wants a page that says why, no session, and a line in the log if it is
// known which connection it is about.
func wantRefused(t *testing.T, d *door, b *browser, page answer, reason string) {
	t.Helper()
	status := http.StatusForbidden
	switch reason {
	case "unavailable":
		status = http.StatusServiceUnavailable
	case "state", "expired":
		status = http.StatusBadRequest
	}
	if page.status != status || page.text("h1") == "" || !strings.Contains(page.text("main"), "Request ") {
		t.Errorf("status %d, want %d and a page that says why: %s", page.status, status, page.text("main"))
	}
	if !strings.Contains(page.text("main"), "reason: "+reason) {
		t.Errorf("want reason %s on the page: %s", reason, page.text("main"))
	}
	if len(d.sessions()) != 0 || b.cookie(sessionCookie) != "" || b.isIn() {
		t.Error("refused, and there is a session")
	}
	if reason == "state" {
		return // whose the answer is isn't known
	}
	changes, err := d.Changes(t.Context(), d.ref.Tenant, 1)
	if err != nil || len(changes) != 1 {
		t.Fatalf("changes: %v, %v", changes, err)
	}
	var said struct{ Why string }
	if err := json.Unmarshal([]byte(changes[0].Detail), &said); err != nil || changes[0].Action != store.SignInRefused || said.Why != reason {
		t.Errorf("the log says %s %s, want %s because of %s", changes[0].Action, changes[0].Detail, store.SignInRefused, reason)
	}
}

// TestEveryReasonHasAPage fails when a reason leads to no page, or a page has no
// text: the pages and texts are made of the same keys.
func TestEveryReasonHasAPage(t *testing.T) {
	t.Parallel()
	for reason := range oidc.Reasons {
		no := because(&oidc.Refusal{Reason: reason}, store.Provider{}, "/")
		if _, there := refusals[no.code]; !there {
			t.Errorf("reason %s leads to page %q, which there isn't", reason, no.code)
		}
	}
	for code := range refusals {
		for lang, words := range allWords() {
			for _, part := range []string{"title", "what", "whose", "do"} {
				if _, there := words.texts["signin."+part+"."+code]; !there {
					t.Errorf("no text signin.%s.%s in %s", part, code, lang)
				}
			}
		}
	}
}

// TestWhoseProblemADenialIs tells apart what a person can do something about and what
// only the administrators can.
func TestWhoseProblemADenialIs(t *testing.T) {
	t.Parallel()
	for denial, want := range map[string]string{
		"access_denied": "cancelled", "login_required": "cancelled", "interaction_required": "cancelled", "anything": "cancelled",
		"invalid_scope": "settings", "unauthorized_client": "settings", "invalid_request": "settings", "unsupported_response_type": "settings",
		"server_error": "down", "temporarily_unavailable": "down",
	} {
		if no := because(&oidc.Denial{Code: denial}, store.Provider{}, "/"); no.code != want {
			t.Errorf("%s leads to page %q, want %q", denial, no.code, want)
		}
	}
}

func TestASignInIsUsedOnce(t *testing.T) {
	atBothGates(t, func(t *testing.T, g *gate) {
		d := g.newDoor(t, idptest.Setup{})
		t.Run("by one browser", func(t *testing.T) {
			hers, another := d.browser(), d.browser()
			back, _ := d.start(hers, "")
			if page := another.get("/oidc/callback?" + back.Encode()); page.status != 400 || another.cookie(sessionCookie) != "" {
				t.Errorf("a browser without a sign-in: status %d", page.status)
			}
			d.start(another, "")
			if page := another.get("/oidc/callback?" + back.Encode()); page.status != 400 || another.cookie(sessionCookie) != "" {
				t.Errorf("a browser with a sign-in of its own: status %d", page.status)
			}
			if page := hers.get("/oidc/callback?" + back.Encode()); page.status != 303 {
				t.Errorf("hers, after others tried: status %d, want it to work", page.status)
			}
			if page := hers.get("/oidc/callback?" + back.Encode()); page.status != 400 {
				t.Errorf("hers, again: status %d, want 400", page.status)
			}
		})
		t.Run("under parallel answers", func(t *testing.T) {
			before := len(d.sessions())
			b := d.browser()
			back, _ := d.start(b, "")
			const tries = 8
			statuses := make(chan int, tries)
			for range tries {
				go func() {
					r, err := http.NewRequest("GET", d.server.URL+"/oidc/callback?"+back.Encode(), nil)
					if err != nil {
						t.Error(err)
						statuses <- 0
						return
					}
					r.AddCookie(&http.Cookie{Name: signinCookie, Value: b.cookie(signinCookie)})
					resp, err := http.DefaultTransport.RoundTrip(r)
					if err != nil {
						t.Error(err)
						statuses <- 0
						return
					}
					resp.Body.Close()
					statuses <- resp.StatusCode
				}()
			}
			count := map[int]int{}
			for range tries {
				count[<-statuses]++
			}
			if count[303] != 1 || count[400] != tries-1 || len(d.sessions()) != before+1 {
				t.Errorf("got %v and %d sessions more, want one in and the others told that it is over", count, len(d.sessions())-before)
			}
		})
		t.Run("in two tabs", func(t *testing.T) {
			b := d.browser()
			first, _ := d.start(b, "&to=/first")
			second, _ := d.start(b, "&to=/second")
			for want, back := range map[string]url.Values{"/first": first, "/second": second} {
				if page := b.get("/oidc/callback?" + back.Encode()); page.header.Get("Location") != want {
					t.Errorf("status %d to %q, want %q", page.status, page.header.Get("Location"), want)
				}
			}
		})
	})
}

// TestNothingSecretIsSaid looks for what opens something in the log, in the audit trail,
// on pages and in the database's own words, after a sign-in and refused ones.
func TestNothingSecretIsSaid(t *testing.T) {
	atBothGates(t, func(t *testing.T, g *gate) {
		d := g.newDoor(t, idptest.Setup{UserInfo: true})
		canaries := map[string]string{d.ClientSecret: "client secret"}
		var pages strings.Builder
		var token string
		d.Lies.JWT = func(jwt string) string { token = jwt; return jwt }
		visit := func(name string, lie func()) {
			lie()
			b := d.browser()
			back, _ := d.start(b, "")
			page := b.get("/oidc/callback?" + back.Encode())
			pages.WriteString(page.body)
			pages.WriteString(b.get("/oidc/callback?" + back.Encode()).body) // again: it is over
			for what, secret := range map[string]string{"code": back.Get("code"), "state": back.Get("state"), "browser": b.cookie(signinCookie),
				"session": b.cookie(sessionCookie), "ID token": token} {
				if secret != "" {
					canaries[secret] = what + " of " + name
				}
			}
		}
		visit("a good sign-in", func() {})
		visit("a bad nonce", func() { d.Lies.Payload = func(c map[string]any) { c["nonce"] = "x" } })
		visit("a bad signature", func() { d.Lies.Payload, d.Lies.Sign = nil, func([]byte) []byte { return make([]byte, 256) } })
		visit("another answer", func() { d.Lies.Answer = func(a url.Values) { a.Set("iss", "https://evil.example") } })
		changes, err := g.Changes(t.Context(), d.ref.Tenant, 100)
		if err != nil {
			t.Fatal(err)
		}
		trail, err := json.Marshal(changes)
		if err != nil {
			t.Fatal(err)
		}
		if len(canaries) < 12 || !strings.Contains(g.log.String(), "signin_refused") || !strings.Contains(string(trail), "evil.example") {
			t.Fatalf("%d canaries, and the log or the trail says nothing: the control fails", len(canaries))
		}
		for secret, what := range canaries {
			for where, text := range map[string]string{"the log": g.log.String(), "the audit trail": string(trail), "a page": pages.String()} {
				if strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret)) {
					t.Errorf("%s has the %s", where, what)
				}
			}
		}
	})
}

// TestParallelSignInsNeverSwap signs 200 people of two providers in at once, each by
// way of both of two servers: the race detector looks on when it is there.
func TestParallelSignInsNeverSwap(t *testing.T) {
	t.Parallel()
	database := migrated.URL(t)
	gates := []*gate{newGateAt(t, database, "http://gatehouse.test"), newGateAt(t, database, "http://gatehouse.test")}
	const each = 100
	var doors []*door
	for name := range 2 {
		d := gates[0].newDoor(t, idptest.Setup{}, func(p *store.Provider) { p.Enabled = false })
		d.OP = idptest.Crowd(t)
		d.provider.Issuer, d.provider.Enabled = d.URL, true
		gates[0].write(t, func(tx *store.Tx) (err error) { d.provider, err = tx.SetProvider(t.Context(), d.provider); return err })
		for i := range each {
			d.addUser(fmt.Sprintf("%d-%03d", name, i), fmt.Sprintf("subject-%03d", i))
		}
		doors = append(doors, d)
	}
	var wg sync.WaitGroup
	var swaps, in atomic.Int32
	for i := range 2 * each {
		wg.Go(func() {
			d, who := doors[i%2], fmt.Sprintf("subject-%03d", i/2)
			b := newBrowser(t, gates[i/2%2].server.URL)
			page := b.get("/login/start?provider=" + string(d.ref.ID) + "&login_hint=" + who)
			back, err := d.Visit(page.header.Get("Location"))
			if err != nil {
				t.Errorf("%s at the provider: %v", who, err)
				return
			}
			b.host = gates[(i/2+1)%2].server.URL
			if page := b.get("/oidc/callback?" + back.Encode()); page.status != 303 {
				t.Errorf("%s: status %d: %s", who, page.status, page.text("main"))
				return
			}
			in.Add(1)
			if got, want := b.get("/me").text(".who"), fmt.Sprintf("%d-%03d", i%2, i/2); got != want {
				swaps.Add(1)
				t.Errorf("%s is called %s, want %s", who, got, want)
			}
		})
	}
	wg.Wait()
	t.Logf("oidc_parallel_swaps = %d of %d", swaps.Load(), in.Load())
	if in.Load() != 2*each {
		t.Errorf("%d came in, want %d", in.Load(), 2*each)
	}
}

// TestFormPost brings the answer as a form of another site.
func TestFormPost(t *testing.T) {
	t.Parallel()
	d := newGate(t, sqliteURL(t)).newDoor(t, idptest.Setup{})
	b := d.browser()
	back, _ := d.start(b, "")
	page := b.post("/oidc/callback", d.URL, back)
	to, err := url.Parse(page.header.Get("Location"))
	if page.status != 303 || err != nil || to.Path != "/oidc/callback" || len(d.sessions()) != 0 {
		t.Fatalf("status %d to %q, want to come again by GET and nothing done", page.status, to)
	}
	if page := b.get(to.RequestURI()); page.status != 303 || !b.isIn() {
		t.Errorf("again by GET: status %d", page.status)
	}
	huge := url.Values{"state": {strings.Repeat("x", 40_000)}}
	if page := b.post("/oidc/callback", d.URL, huge); page.status != 400 {
		t.Errorf("a huge form: status %d, want 400", page.status)
	}
}

// TestManyBegin has one address begin sign-ins without an end: it is told to wait before
// it has pushed out those of others.
func TestManyBegin(t *testing.T) {
	t.Parallel()
	d := newGate(t, sqliteURL(t)).newDoor(t, idptest.Setup{})
	b, stranger := d.browser(), d.browser()
	back, _ := d.start(b, "")
	const most = startBurst + 1000
	for n := 1; ; n++ {
		page := stranger.get("/login/start?provider=" + string(d.ref.ID))
		if page.status == http.StatusTooManyRequests && n > startBurst/2 {
			break
		}
		if page.status != http.StatusSeeOther || n == most {
			t.Fatalf("sign-in %d that somebody begins: status %d", n, page.status)
		}
	}
	if page := b.get("/oidc/callback?" + back.Encode()); page.status != http.StatusSeeOther || !b.isIn() {
		t.Errorf("what was begun before: status %d: %s", page.status, page.text("main"))
	}
}

// TestWhoIsWho is about people whom the provider vouches for, and what SCIM said of
// them.
func TestWhoIsWho(t *testing.T) {
	atBothGates(t, func(t *testing.T, g *gate) {
		for _, test := range []struct {
			name, page string // of refusals; "" comes in
			change     func(p *store.Provider)
			arrange    func(d *door)
		}{
			{name: "SCIM told of her"},
			{name: "by userName", change: func(p *store.Provider) { p.Claim, p.Attribute = "preferred_username", store.LinkUserName }},
			{name: "SCIM told of nobody of that id", page: "unknown", arrange: func(d *door) { d.Subject = "somebody else" }},
			{name: "the same e-mail address proves nothing", page: "unknown", arrange: func(d *door) {
				d.Subject, d.Claims["email"], d.Claims["email_verified"] = "somebody else", "ada@corp.example", true
			}},
			{name: "no such claim", page: "noclaim", change: func(p *store.Provider) { p.Claim = "oid" }},
			{name: "inactive", page: "inactive", arrange: func(d *door) { d.changeAda(func(u *store.User) { u.Active = false }) }},
			{name: "blocked", page: "blocked", arrange: func(d *door) {
				d.changePerson(func(p store.Person) store.Person { p.LoginAllowed = false; return p })
			}},
			{name: "ended", page: "ended", arrange: func(d *door) {
				d.changePerson(func(p store.Person) store.Person { p.ExpiresAt = d.clock.now().Add(-time.Second); return p })
			}},
			{name: "two people of that id", page: "ambiguous", arrange: func(d *door) {
				d.addUser("ada2@corp.example", d.Subject)
			}},
			{name: "deleted", page: "unknown", arrange: func(d *door) { d.deleteAda() }},
			{name: "the id is another's now", page: "otherperson", arrange: func(d *door) {
				d.wantIn(d.browser())
				d.changeAda(func(u *store.User) { u.ExternalID = "x" })
				d.addUser("eve@corp.example", d.Subject)
			}},
			{name: "SCIM gave her account another id", page: "otherperson", arrange: func(d *door) {
				d.wantIn(d.browser())
				d.changeAda(func(u *store.User) { u.ExternalID = "x" })
			}},
			{name: "renamed by SCIM", change: func(p *store.Provider) { p.Claim, p.Attribute = "preferred_username", store.LinkUserName }, arrange: func(d *door) {
				d.wantIn(d.browser())
				d.changeAda(func(u *store.User) { u.UserName = "ada.king@corp.example" })
			}},
			{name: "another subject by her name", page: "otherperson",
				change:  func(p *store.Provider) { p.Claim, p.Attribute = "preferred_username", store.LinkUserName },
				arrange: func(d *door) { d.wantIn(d.browser()); d.Subject = "another" }},
			{name: "SCIM never told of her, and the connection makes users", change: jit, arrange: func(d *door) {
				d.Subject, d.Claims["preferred_username"] = "new", "new@corp.example"
			}},
			{name: "deleted, and the connection makes users", page: "left", change: jit, arrange: func(d *door) { d.deleteAda() }},
			{name: "deleted, and now has another id", page: "left", change: jit, arrange: func(d *door) {
				d.deleteAda()
				d.Subject, d.Claims["preferred_username"] = "new", "ADA@corp.example"
			}},
			{name: "inactive, and the connection makes users", page: "inactive", change: jit, arrange: func(d *door) {
				d.changeAda(func(u *store.User) { u.Active = false })
			}},
			{name: "inactive under another id", page: "otherperson", change: jit, arrange: func(d *door) {
				d.changeAda(func(u *store.User) { u.Active = false })
				d.Subject, d.Claims["preferred_username"] = "new", "ada@corp.example"
			}},
			{name: "a name that can't be one", page: "badname", change: jit, arrange: func(d *door) {
				d.Subject, d.Claims["preferred_username"] = "new", "x\x00y"
			}},
		} {
			t.Run(test.name, func(t *testing.T) {
				g.clock.wait(time.Minute)
				d := g.newDoor(t, idptest.Setup{}, func(p *store.Provider) {
					if test.change != nil {
						test.change(p)
					}
				})
				if test.arrange != nil {
					test.arrange(d)
				}
				b := d.browser()
				page := d.signIn(b)
				if test.page == "" {
					if page.status != 303 || !b.isIn() {
						t.Fatalf("status %d, want to be in: %s", page.status, page.text("main"))
					}
					return
				}
				title := allWords()["en"].t("signin.title."+test.page, "provider", d.provider.Name)
				if page.status != 403 || page.text("h1") != title || b.isIn() {
					t.Errorf("status %d %q, want %q: %s", page.status, page.text("h1"), title, page.text("main"))
				}
				changes, err := d.Changes(t.Context(), d.ref.Tenant, 1)
				if err != nil || changes[0].Action != store.SignInRefused || !strings.Contains(changes[0].Detail, test.page) {
					t.Errorf("the log says %s %s, %v, want a refusal: %s", changes[0].Action, changes[0].Detail, err, test.page)
				}
			})
		}
	})
}

func jit(p *store.Provider) { p.JIT = true }

func (d *door) changePerson(change func(store.Person) store.Person) {
	d.t.Helper()
	d.write(d.t, func(tx *store.Tx) error {
		_, err := tx.ChangePerson(d.t.Context(), d.ada, change)
		return err
	})
}

func (d *door) addUser(userName, externalID string) {
	d.t.Helper()
	d.write(d.t, func(tx *store.Tx) error {
		u := user(userName, userName, true)
		u.ExternalID = externalID
		_, err := tx.CreateUser(d.t.Context(), d.ref, u)
		return err
	})
}

func (d *door) deleteAda() {
	d.t.Helper()
	d.write(d.t, func(tx *store.Tx) error { return tx.DeleteUser(d.t.Context(), d.ref, d.ada) })
}
