package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/idptest"
	"gatehouse/store"
)

// TestSessionProperties is about the cookie and the row behind it, and prints the
// figure. TestTheSessionCookie has it over TLS, and TestSecretsDontCollide many of them.
func TestSessionProperties(t *testing.T) {
	atBothGates(t, func(t *testing.T, g *gate) {
		held, n := 0, 0
		holds := func(property string, ok bool) {
			t.Helper()
			if n++; ok {
				held++
			} else {
				t.Errorf("it does not hold: %s", property)
			}
		}
		defer func() { t.Logf("session_properties = %d of %d", held, n) }()
		d := g.newDoor(t, idptest.Setup{})
		b := d.browser()
		page := d.signIn(b)
		var cookie string
		for _, c := range page.header.Values("Set-Cookie") {
			if strings.HasPrefix(c, sessionCookie+"=") {
				cookie = c
			}
		}
		holds("256 bits behind a prefix, in a cookie for this host, which no script and no form of another site gets: "+cookie,
			regexp.MustCompile(`^gatehouse=ghu_[A-Z2-7]{52}; Path=/; HttpOnly; SameSite=Lax$`).MatchString(cookie)) // 5 bits a letter
		holds("a cookie that every browser keeps", len(cookie) <= 4096)
		first := b.cookie(sessionCookie)
		copied := func(secret string) int {
			r, err := http.NewRequest("GET", g.server.URL+"/me", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.AddCookie(&http.Cookie{Name: sessionCookie, Value: secret})
			resp, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode
		}
		if copied(first) != 200 {
			t.Fatal("the control: a copied cookie works while the session does")
		}
		d.wantIn(b)
		second := b.cookie(sessionCookie)
		holds("another secret at each sign-in, in place of the one before", second != first && copied(first) == 303 && len(d.sessions()) == 1)

		for _, end := range []struct {
			why string
			f   func()
		}{
			{"signing out", func() { b.post("/logout", g.server.URL, nil) }},
			{"signing out everywhere", func() { b.post("/me/sessions/end-all", g.server.URL, nil) }},
			{"ending it from another browser", func() {
				other := d.browser()
				d.wantIn(other)
				for _, one := range d.sessions()[1:] {
					other.post("/me/sessions/end", g.server.URL, url.Values{"id": {string(one.ID)}})
				}
			}},
			{"deactivation", func() {
				d.changeAda(func(u *store.User) { u.Active = false })
				d.changeAda(func(u *store.User) { u.Active = true })
			}},
			{"revocation by an administrator", func() {
				g.write(t, func(tx *store.Tx) error {
					_, err := tx.Revoke(t.Context(), store.Revocation{User: d.ada})
					return err
				})
			}},
			{"being idle", func() { g.clock.wait(30*time.Minute + time.Second) }},
			{"twelve hours of use", func() {
				for range 12 * 60 / 25 {
					g.clock.wait(25 * time.Minute)
					secret := b.cookie(sessionCookie)
					if copied(secret) != 200 {
						t.Error("in use, and over before twelve hours")
					}
					g.console.noteSessions(t.Context(), true)
				}
				g.clock.wait(20*time.Minute + time.Second)
			}},
		} {
			g.clock.wait(time.Second)
			b = d.browser()
			d.wantIn(b)
			secret := b.cookie(sessionCookie)
			if copied(secret) != 200 {
				t.Fatalf("%s: the control is not signed in", end.why)
			}
			end.f()
			holds("a copied cookie opens nothing after "+end.why, copied(secret) == 303)
		}
	})
}

// TestHalfFinishedSignInsEnd takes Ada away while she is at the provider, and while the
// provider is asked about what she brought back.
func TestHalfFinishedSignInsEnd(t *testing.T) {
	atBothGates(t, func(t *testing.T, g *gate) {
		set := func(change func(p *store.Provider)) func(*door, *browser) {
			return func(d *door, _ *browser) {
				change(&d.provider)
				d.write(d.t, func(tx *store.Tx) error { _, err := tx.SetProvider(d.t.Context(), d.provider); return err })
			}
		}
		for why, f := range map[string]func(d *door, b *browser){
			"deactivated and active again": func(d *door, _ *browser) {
				d.changeAda(func(u *store.User) { u.Active = false })
				d.changeAda(func(u *store.User) { u.Active = true })
			},
			"signed out everywhere": func(d *door, _ *browser) {
				d.write(t, func(tx *store.Tx) error { _, err := tx.EndSessionsOf(t.Context(), d.ada, ""); return err })
			},
			"signed out in the same browser":  func(d *door, b *browser) { b.post("/logout", d.server.URL, nil) },
			"the settings changed":            set(func(p *store.Provider) { p.Scopes = []string{"profile"} }),
			"people are found in another way": set(func(p *store.Provider) { p.Claim, p.Attribute = "preferred_username", store.LinkUserName }),
			"the provider was switched off":   set(func(p *store.Provider) { p.Enabled = false }),
			"off and on again": func(d *door, b *browser) {
				set(func(p *store.Provider) { p.Enabled = false })(d, b)
				set(func(p *store.Provider) { p.Enabled = true })(d, b)
			},
			"the provider was removed": func(d *door, _ *browser) {
				d.write(t, func(tx *store.Tx) error { return tx.RemoveProvider(t.Context(), d.ref.ID) })
			},
		} {
			for _, asked := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, the provider asked %v", why, asked), func(t *testing.T) {
					d := g.newDoor(t, idptest.Setup{})
					b := d.browser()
					d.wantIn(b)
					g.clock.wait(time.Second)
					back, _ := d.start(b, "")
					kept := b.cookie(signinCookie)
					g.clock.wait(time.Second)
					end := func() { f(d, b); g.clock.wait(time.Second) }
					if asked {
						d.Lies.Before = func(call idptest.Call) {
							if call == idptest.Token {
								end()
							}
						}
					} else {
						end()
					}
					copied := d.browser()
					copied.hold(signinCookie, kept)
					if page := copied.get("/oidc/callback?" + back.Encode()); page.status < 400 || copied.isIn() {
						t.Errorf("status %d, want nothing to come of it", page.status)
					}
					if ids, err := d.Identities(t.Context(), d.ref.Tenant, d.ada); err != nil || strings.HasPrefix(why, "the provider was removed") && len(ids) != 0 {
						t.Errorf("she is linked by what was removed: %v, %v", ids, err)
					}
				})
			}
		}
	})
}

// hold gives a browser a cookie of another.
func (b *browser) hold(name, value string) {
	b.t.Helper()
	u, err := url.Parse(b.host)
	if err != nil {
		b.t.Fatal(err)
	}
	b.http.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Path: "/"}})
}

func TestBackChannelLogout(t *testing.T) {
	atBothGates(t, func(t *testing.T, g *gate) {
		send := func(d *door, token string) answer {
			return newBrowser(t, d.server.URL).post("/oidc/backchannel-logout", d.server.URL, url.Values{"logout_token": {token}})
		}
		for _, c := range idptest.HostileLogouts() {
			t.Run(c.Name, func(t *testing.T) {
				d := g.newDoor(t, c.Setup)
				b := d.browser()
				d.wantIn(b)
				g.clock.wait(11 * time.Minute) // keys and discovery are asked for again
				c.Prepare(d.OP)
				page := send(d, d.LogoutToken())
				if page.status != 400 || page.header.Get("Cache-Control") != "no-store" || !b.isIn() {
					t.Errorf("status %d, signed in %v, want 400 and nothing done: %s", page.status, b.isIn(), page.body)
				}
			})
		}
		for _, c := range idptest.GoodLogouts() {
			t.Run(c.Name, func(t *testing.T) {
				d := g.newDoor(t, c.Setup)
				b := d.browser()
				d.wantIn(b)
				g.clock.wait(11 * time.Minute) // keys and discovery are asked for again
				c.Prepare(d.OP)
				bystander := g.newDoor(t, idptest.Setup{})
				other := bystander.browser()
				bystander.wantIn(other)
				g.clock.wait(time.Second)
				token := d.LogoutToken()
				page := send(d, token)
				if page.status != 200 || page.header.Get("Cache-Control") != "no-store" || b.isIn() || !other.isIn() {
					t.Errorf("status %d, in %v, bystander in %v: %s", page.status, b.isIn(), other.isIn(), page.body)
				}
				g.clock.wait(time.Second)
				d.OP.Lies = idptest.Lies{}
				d.wantIn(b)
				if page := send(d, token); page.status != 400 || !b.isIn() {
					t.Errorf("the same token again: status %d, in %v, want 400 and nothing done", page.status, b.isIn())
				}
			})
		}
		t.Run("switched off", func(t *testing.T) {
			d := g.newDoor(t, idptest.Setup{}, func(p *store.Provider) { p.BackChannel = false })
			b := d.browser()
			d.wantIn(b)
			if page := send(d, d.LogoutToken()); page.status != 400 || !b.isIn() {
				t.Errorf("status %d, in %v, want 400 and nothing done", page.status, b.isIn())
			}
		})
	})
}

func TestRevocationByTheProvider(t *testing.T) {
	atBothGates(t, func(t *testing.T, g *gate) {
		send := func(d *door, body, token string) answer {
			r, err := http.NewRequestWithContext(t.Context(), "POST", d.server.URL+"/oidc/revoke/"+string(d.ref.ID), strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+token)
			return newBrowser(t, d.server.URL).send(r)
		}
		audience := func(d *door) string { return d.server.URL + "/oidc/revoke/" + string(d.ref.ID) }
		for _, c := range append(idptest.HostileRevocations(), idptest.GoodRevocations()...) {
			t.Run(c.Name, func(t *testing.T) {
				d := g.newDoor(t, c.Setup)
				b, again := d.browser(), d.browser()
				d.wantIn(b)
				back, _ := d.start(again, "")
				g.clock.wait(time.Second)
				c.Prepare(d.OP)
				page := send(d, c.RevocationBody(d.OP), d.RevocationToken(audience(d)))
				if c.Reason != "" {
					want := 401
					if strings.HasPrefix(c.Reason, "sub_id") {
						want = 400
						if c.Name == "a huge body" {
							want = 413
						}
					}
					if page.status != want || !b.isIn() {
						t.Errorf("status %d, in %v, want %d and nothing done: %s", page.status, b.isIn(), want, page.body)
					}
					return
				}
				if page.status != 204 || b.isIn() {
					t.Errorf("status %d, in %v, want 204 and to be out: %s", page.status, b.isIn(), page.body)
				}
				d.OP.Lies = idptest.Lies{}
				if page := again.get("/oidc/callback?" + back.Encode()); page.status != 403 || again.isIn() {
					t.Errorf("half-finished: status %d, in %v, want 403", page.status, again.isIn())
				}
			})
		}
		t.Run("switched off", func(t *testing.T) {
			d := g.newDoor(t, idptest.Setup{}, func(p *store.Provider) { p.GlobalRevocation = false })
			b := d.browser()
			d.wantIn(b)
			if page := send(d, (idptest.Case{}).RevocationBody(d.OP), d.RevocationToken(audience(d))); page.status != 401 || !b.isIn() {
				t.Errorf("status %d, in %v, want 401 and nothing done", page.status, b.isIn())
			}
		})
	})
}

func TestFrontChannelLogout(t *testing.T) {
	t.Parallel()
	g := newGate(t, sqliteURL(t))
	d := g.newDoor(t, idptest.Setup{})
	const guessable, secret = "op-session-1", "0b6f2c1e-6d0f-4b7e-9b55-6d1f0e7a9c11"
	d.SessionID = guessable
	b := d.browser()
	d.wantIn(b)
	for _, query := range []url.Values{
		{}, {"iss": {d.URL}}, {"iss": {d.URL}, "sid": {"another"}}, {"iss": {"https://evil.example"}, "sid": {d.SessionID}},
		{"iss": {d.URL, d.URL}, "sid": {d.SessionID}},
	} {
		if b.get("/oidc/frontchannel-logout?" + query.Encode()); !b.isIn() {
			t.Fatalf("%v ended a session", query)
		}
	}
	right := func() string {
		return "/oidc/frontchannel-logout?" + url.Values{"iss": {d.URL}, "sid": {d.SessionID}}.Encode()
	}
	if page := d.browser().get(right()); page.status != 200 || !b.isIn() {
		t.Errorf("an id that can be guessed, from another browser: status %d, in %v", page.status, b.isIn())
	}
	page := b.get(right())
	if page.status != 200 || b.isIn() || !strings.Contains(page.header.Get("Content-Security-Policy"), "frame-ancestors "+d.URL) {
		t.Errorf("status %d, in %v, policy %q", page.status, b.isIn(), page.header.Get("Content-Security-Policy"))
	}

	// The frame is of another site, so that the browser keeps the cookie from it.
	g.clock.wait(time.Second)
	bystander := d.browser()
	d.wantIn(bystander)
	d.SessionID = secret
	d.wantIn(b)
	half := d.browser()
	back, _ := d.start(half, "")
	g.clock.wait(time.Second)
	if page := d.browser().get(right()); page.status != 200 || b.isIn() || !bystander.isIn() {
		t.Errorf("without the cookie: status %d, in %v, bystander in %v", page.status, b.isIn(), bystander.isIn())
	}
	if page := half.get("/oidc/callback?" + back.Encode()); page.status != 403 || half.isIn() {
		t.Errorf("half-finished: status %d, in %v", page.status, half.isIn())
	}
	g.clock.wait(time.Second)
	d.wantIn(b)
	d.provider.FrontChannel = false
	g.write(t, func(tx *store.Tx) (err error) { d.provider, err = tx.SetProvider(t.Context(), d.provider); return err })
	if d.browser().get(right()); !b.isIn() {
		t.Error("switched off, and it ends a session")
	}
}

// TestSigningOutThere leads by way of the provider, and back.
func TestSigningOutThere(t *testing.T) {
	t.Parallel()
	g := newGate(t, sqliteURL(t))
	d := g.newDoor(t, idptest.Setup{}, func(p *store.Provider) { p.LogoutThere = true })
	b := d.browser()
	d.wantIn(b)
	if page := b.get("/logout"); !b.isIn() || page.Find(`form[action="/logout"] button`).Length() == 0 {
		t.Error("a link signed somebody out, or there is no button")
	}
	if page := b.post("/logout", g.server.URL, nil); page.status != 303 || page.header.Get("Location") != "/logout" || b.isIn() {
		t.Fatalf("status %d, in %v", page.status, b.isIn())
	}
	page := b.get("/logout")
	to, err := url.Parse(strings.TrimPrefix(page.header.Get("Refresh"), "0; url="))
	if err != nil || !strings.HasPrefix(to.String(), d.URL+"/logout?") || page.Find("main a").AttrOr("href", "") != to.String() {
		t.Fatalf("leads to %q, want the provider", page.header.Get("Refresh"))
	}
	query := to.Query()
	if query.Get("id_token_hint") == "" || query.Get("client_id") != d.ClientID || query.Get("post_logout_redirect_uri") != g.server.URL+"/logout" || len(query.Get("state")) < 43 {
		t.Errorf("asks the provider %v", query)
	}
	if page := b.get("/logout?state=forged"); strings.Contains(page.text("main"), d.provider.Name) {
		t.Errorf("a forged way back is believed: %s", page.text("main"))
	}
	d.wantIn(b)
	b.post("/logout", g.server.URL, nil)
	to, _ = url.Parse(strings.TrimPrefix(b.get("/logout").header.Get("Refresh"), "0; url="))
	if page := b.get("/logout?state=" + to.Query().Get("state")); !strings.Contains(page.text("main"), "and of "+d.provider.Name) {
		t.Errorf("back from the provider: %s", page.text("main"))
	}

	d.wantIn(b)
	g.clock.wait(11 * time.Minute)
	d.Lies.Reply = func(_ idptest.Call, w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(502); return true }
	b.post("/logout", g.server.URL, nil)
	if page := b.get("/logout"); page.status != 200 || b.isIn() || !strings.Contains(page.text("main"), "could not be asked") {
		t.Errorf("the provider is down: status %d: %s", page.status, page.text("main"))
	}
}

func TestWaysIn(t *testing.T) {
	t.Parallel()
	g := newGate(t, sqliteURL(t))
	b := newBrowser(t, g.server.URL)
	if page := b.get("/login"); page.status != 200 || !strings.Contains(page.text("main"), "until then nobody can sign in") {
		t.Errorf("no provider: status %d: %s", page.status, page.text("main"))
	}
	first := g.newDoor(t, idptest.Setup{}, func(p *store.Provider) { p.Domains = []string{"corp.example"} })
	if to := b.get("/login?to=/people").header.Get("Location"); to != "/login/start?provider="+string(first.ref.ID)+"&to=%2Fpeople" {
		t.Errorf("one provider: leads to %q", to)
	}
	if page := b.get("/login?choose=1"); page.status != 200 || len(page.texts(".ways a")) != 1 {
		t.Errorf("one provider, to choose: status %d, %q", page.status, page.texts(".ways a"))
	}
	g.newDoor(t, idptest.Setup{}, func(p *store.Provider) { p.Domains = []string{"other.example"} })
	if page := b.get("/login"); page.status != 200 || len(page.texts(".ways a")) != 2 {
		t.Errorf("two providers: status %d, %q", page.status, page.texts(".ways a"))
	}
	if to := b.get("/login?email=Ada@CORP.example").header.Get("Location"); !strings.Contains(to, "provider="+string(first.ref.ID)) || !strings.Contains(to, "login_hint=Ada%40CORP.example") {
		t.Errorf("by e-mail address: leads to %q", to)
	}
	if page := b.get("/login?email=x@elsewhere.example"); page.status != 200 || page.text(".error") == "" {
		t.Errorf("an unknown domain: status %d, %q", page.status, page.text(".error"))
	}

	third := func(more url.Values) answer {
		values := url.Values{"iss": {first.URL}}
		for k, v := range more {
			values[k] = v
		}
		return b.get("/login/start?" + values.Encode())
	}
	for target, want := range map[string]string{
		g.server.URL + "/people":              "/people",
		"https://evil.example/":               "/",
		g.server.URL + ".evil.example/people": "/",
		g.server.URL + "@evil.example/":       "/",
		"//evil.example":                      "/",
	} {
		page := third(url.Values{"target_link_uri": {target}, "login_hint": {"ada"}})
		to := page.header.Get("Location")
		if !strings.HasPrefix(to, first.URL+"/authorize?") || !strings.Contains(to, "login_hint=ada") {
			t.Fatalf("begun elsewhere: status %d to %q", page.status, to)
		}
		back, err := first.Visit(to)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.get("/oidc/callback?" + back.Encode()).header.Get("Location"); got != want {
			t.Errorf("target %q: leads to %q, want %q", target, got, want)
		}
	}
	for why, more := range map[string]url.Values{
		"a stranger's issuer": {"iss": {"https://evil.example"}}, "two issuers": {"iss": {first.URL, first.URL}}, "no issuer": {"iss": {""}},
	} {
		if page := third(more); page.status < 400 || page.status >= 500 || page.header.Get("Location") != "" {
			t.Errorf("%s: status %d to %q", why, page.status, page.header.Get("Location"))
		}
	}
	if page := b.get("/login/start?provider=x"); page.status != 404 {
		t.Errorf("no such provider: status %d", page.status)
	}
	if page := b.post("/login/start", first.URL, url.Values{"iss": {first.URL}}); page.status != 303 || page.header.Get("Location") != "/login/start?iss="+url.QueryEscape(first.URL) {
		t.Errorf("begun elsewhere by a form: status %d to %q", page.status, page.header.Get("Location"))
	}
}

// TestProviderThatHangs is about the time that somebody waits, and about those who
// are in already.
func TestProviderThatHangs(t *testing.T) {
	t.Parallel()
	g := newGate(t, sqliteURL(t))
	d := g.newDoor(t, idptest.Setup{})
	in := d.browser()
	d.wantIn(in)
	release := make(chan struct{})
	asked := make(chan struct{}, 100)
	d.Lies.Reply = func(idptest.Call, http.ResponseWriter, *http.Request) bool {
		asked <- struct{}{}
		<-release
		return true
	}
	t.Cleanup(func() { close(release) })
	var took time.Duration
	for range 3 { // a machine may stand still for a moment, but not time and again
		g.clock.wait(11 * time.Minute)
		began := time.Now()
		done := make(chan answer, 1)
		go func() { done <- d.browser().get("/login/start?provider=" + string(d.ref.ID)) }()
		<-asked
		for range 5 {
			if !in.isIn() {
				t.Error("whoever is signed in notices it")
			}
		}
		page := <-done
		took = time.Since(began)
		if page.status != 503 || page.header.Get("Retry-After") == "" || !strings.Contains(page.text("h1"), "doesn't answer") {
			t.Fatalf("status %d, want 503: %q", page.status, page.text("main"))
		}
		if took < 10*time.Second {
			return
		}
	}
	t.Errorf("the page comes after %v, want it within ten seconds", took)
}
