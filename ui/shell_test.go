package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/web"
	"gatehouse/store"
)

func TestRouteThatNeedsNothingDoesNotStart(t *testing.T) {
	t.Parallel()
	s := New(nil, Options{})
	s.routes = append(s.routes, route{"GET", "/x", needs{}, s.missing})
	if _, err := web.Mux(s.Routes()); err == nil {
		t.Error("got no error for a route that doesn't say who may use it")
	}
}

// TestWhoMayOpenWhat asks for every page that is read as every kind of visitor:
// the table of routes says what should come.
func TestWhoMayOpenWhat(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		rights := map[string]map[access.PermissionID]bool{
			sam:   {"people": true, "access": true, "sites": true, "products": true, "connections": true, "settings": true, "audit": true, "own": true},
			chloe: {"people": true, "access": true, "sites": true, "products": true, "connections": true, "settings": true, "audit": true, "own": true},
			ada:   {"people": true, "access": true, "sites": true, "products": true, "connections": true, "settings": true, "audit": true, "own": true},
			bob:   {"people": true, "access": true, "sites": true, "own": true},
			eva:   {"own": true},
		}
		for _, rt := range g.console.routes {
			if rt.method != "GET" || strings.Contains(rt.pattern, "{") && rt.pattern != "/{$}" {
				continue
			}
			for _, who := range everybody {
				got := g.get(who, strings.TrimSuffix(rt.pattern, "{$}"))
				switch {
				case rt.needs == anybody && strings.HasPrefix(rt.pattern, "/oidc/"):
					if got.status != 400 {
						t.Errorf("%s as %q: status %d, want 400: providers say something there", rt.pattern, who, got.status)
					}
				case rt.needs == anybody:
					if got.status >= 400 {
						t.Errorf("%s as %q: status %d, want it to be anybody's", rt.pattern, who, got.status)
					}
				case who == nobody:
					if to := got.header.Get("Location"); got.status != 303 || !strings.HasPrefix(to, "/login?to=") {
						t.Errorf("%s as nobody: status %d to %q, want 303 to /login", rt.pattern, got.status, to)
					}
				case rt.needs == signedIn, rt.needs.level == access.LevelView && rights[who][rt.needs.permission]:
					if got.status >= 400 {
						t.Errorf("%s as %s: status %d, want the page", rt.pattern, who, got.status)
					}
				case rt.needs.level == access.LevelView:
					if got.status != 403 || !strings.Contains(got.text("main"), "Sam de Vries") {
						t.Errorf("%s as %s: status %d, want 403 and who can help:\n%s", rt.pattern, who, got.status, got.text("main"))
					}
				}
			}
		}
	})
}

func TestSignedOutIsSentToSignIn(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for path, want := range map[string]string{
		"/":                    "/login?to=%2F",
		"/people?q=ada&site=x": "/login?to=%2Fpeople%3Fq%3Dada%26site%3Dx",
	} {
		if got := g.get(nobody, path).header.Get("Location"); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
	forged := func(r *http.Request) {
		r.AddCookie(&http.Cookie{Name: sessionCookie, Value: "ghu_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"})
	}
	if got := g.get(nobody, "/people", forged); got.status != 303 {
		t.Errorf("a made-up session: status %d, want 303", got.status)
	}
}

func TestReturnAddressesStayHere(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for to, want := range map[string]string{
		"/people?q=a%20b":               "/people?q=a%20b",
		"/people/x#y":                   "/people/x",
		"":                              "/",
		"https://evil.example/":         "/",
		"//evil.example":                "/",
		"///evil.example":               "/",
		`/\evil.example`:                "/",
		`\\evil.example`:                "/",
		"/\t/evil.example":              "/",
		"/\n/evil.example":              "/",
		"/%2F/evil.example":             "/",
		"javascript:alert(1)":           "/",
		"people":                        "/",
		" /people":                      "/",
		"/login?to=/people":             "/",
		"/" + strings.Repeat("x", 3000): "/",
	} {
		got := g.get(sam, "/login?to="+url.QueryEscape(to)).header.Get("Location")
		if got != want {
			t.Errorf("to=%q: got %q, want %q", to, got, want)
		}
		got = g.post(nobody, "/preferences", url.Values{"to": {to}, "language": {"nl"}}).header.Get("Location")
		if got != want {
			t.Errorf("preferences, to=%q: got %q, want %q", to, got, want)
		}
	}
}

func TestSignedOutAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		if got := g.get(eva, "/me"); got.status != 200 {
			t.Fatalf("signed in: status %d", got.status)
		}
		g.write(func(tx *store.Tx) error {
			_, err := tx.ChangePerson(t.Context(), g.users[eva], func(p store.Person) store.Person { p.LoginAllowed = false; return p })
			return err
		})
		if got := g.get(eva, "/me"); got.status != 303 {
			t.Errorf("blocked: status %d, want to be sent to sign in", got.status)
		}

		got := g.post(bob, "/logout", nil)
		if got.status != 303 || got.header.Get("Location") != "/logout" {
			t.Errorf("signing out: status %d to %q", got.status, got.header.Get("Location"))
		}
		if cookies := got.header.Values("Set-Cookie"); !slices.ContainsFunc(cookies, func(c string) bool {
			return strings.HasPrefix(c, "gatehouse=;") && strings.Contains(c, "Max-Age=0")
		}) {
			t.Errorf("signing out: cookies %q, want the session's taken away", cookies)
		}
		if got := g.get(bob, "/me"); got.status != 303 {
			t.Errorf("signed out, with a copy of the cookie: status %d, want to be sent to sign in", got.status)
		}
	})
}

func TestOtherSitesCanNotPost(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, rt := range g.console.routes {
		if rt.method != "POST" || slices.Contains(fromElsewhere, "POST "+rt.pattern) {
			continue
		}
		for why, header := range map[string][2]string{
			"another site":              {"https://evil.example", "cross-site"},
			"a sub-domain":              {"https://x." + strings.TrimPrefix(g.server.URL, "http://"), "same-site"},
			"no origin, says Fetch":     {"null", "cross-site"},
			"no origin":                 {"null", ""},
			"an old browser, elsewhere": {"https://evil.example", ""},
		} {
			got := g.post(sam, rt.pattern, url.Values{"language": {"nl"}}, func(r *http.Request) {
				r.Header.Set("Origin", header[0])
				r.Header.Del("Sec-Fetch-Site")
				if header[1] != "" {
					r.Header.Set("Sec-Fetch-Site", header[1])
				}
			})
			if got.status != 403 || got.header.Get("Set-Cookie") != "" {
				t.Errorf("%s from %s: status %d, cookie %q, want 403 and nothing done", rt.pattern, why, got.status, got.header.Get("Set-Cookie"))
			}
		}
	}
	if got := g.get(sam, "/me"); got.status != 200 {
		t.Errorf("after refused sign-outs: status %d, want to be signed in", got.status)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, path := range []string{"/", "/people", "/login", "/nothing", "/people.csv"} {
		got := g.get(sam, path)
		policy := got.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: policy %q, want %s in it", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Cross-Origin-Opener-Policy": "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin", "Referrer-Policy": "same-origin",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s: %s: got %q, want %q", path, name, got.header.Get(name), want)
			}
		}
		if n := got.Find("[style], style, script:not([src]), [onclick], [onload]").Length(); n > 0 {
			t.Errorf("%s: %d inline styles and scripts", path, n)
		}
	}
}

func TestTheSessionCookie(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		why, url, host, want string
	}{
		{"on one's own machine", "", "127.0.0.1:8080", "gatehouse=ghu_x; Path=/; HttpOnly; SameSite=Lax"},
		{"the same by name", "", "localhost", "gatehouse=ghu_x; Path=/; HttpOnly; SameSite=Lax"},
		{"IPv6", "", "[::1]:8080", "gatehouse=ghu_x; Path=/; HttpOnly; SameSite=Lax"},
		{"in production", "https://gatehouse.example", "gatehouse.example", "__Host-gatehouse=ghu_x; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"behind a proxy that says localhost", "https://gatehouse.example", "localhost", "__Host-gatehouse=ghu_x; Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"without an address of its own", "", "gatehouse.example", "__Host-gatehouse=ghu_x; Path=/; HttpOnly; Secure; SameSite=Lax"},
	} {
		s := New(nil, Options{URL: test.url})
		w, r := newExchange(test.host)
		if err := s.keepSecret(w, r, "ghu_x"); err != nil {
			t.Fatal(err)
		}
		if got := w.Header().Get("Set-Cookie"); got != test.want {
			t.Errorf("%s: got %q, want %q", test.why, got, test.want)
		}
		r.Header.Set("Cookie", strings.Split(test.want, ";")[0])
		if got := s.secret(r); got != "ghu_x" {
			t.Errorf("%s: read %q back", test.why, got)
		}
	}
}

func TestNavigationShowsWhatOneMayOpen(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, test := range []struct {
		who, path string
		has, not  []string
	}{
		{who: sam, path: "/people", has: []string{"Overview", "People", "My access"}},
		{who: eva, path: "/me", has: []string{"My access"}, not: []string{"People"}},
		{who: nobody, path: "/login", not: []string{"Overview", "People", "My access"}},
	} {
		got := g.get(test.who, test.path)
		nav := got.texts("#nav a")
		for _, want := range test.has {
			if !slices.Contains(nav, want) {
				t.Errorf("%s: navigation %v, want %s in it", test.who, nav, want)
			}
		}
		for _, not := range test.not {
			if slices.Contains(nav, not) {
				t.Errorf("%s: navigation %v, want no %s in it", test.who, nav, not)
			}
		}
		if current := got.Find("#nav [aria-current]"); test.who != nobody && current.AttrOr("href", "") != test.path {
			t.Errorf("%s: current is %q, want %s", test.who, current.Text(), test.path)
		}
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, test := range []struct {
		why, path, want string
		status          int
	}{
		{"no such page", "/nothing", "There is no such page", 404},
		{"a place in a list that is none", "/people?after=%21", "This place in the list doesn't exist", 400},
	} {
		got := g.get(sam, test.path)
		if got.status != test.status || got.text("h1") != test.want || !strings.Contains(got.text("main"), got.header.Get("X-Request-Id")) {
			t.Errorf("%s: status %d, %q, want %d, %q with the request's id", test.why, got.status, got.text("main"), test.status, test.want)
		}
	}
	for _, test := range []struct {
		err    error
		status int
	}{
		{store.ErrNotFound, 404}, {errStale, 409}, {store.ErrTaken, 409}, {access.ErrLastOwner, 409}, {store.ErrInvalid, 400},
		{store.ErrUnavailable, 503}, {fmt.Errorf("boom"), 500}, {&http.MaxBytesError{Limit: 1}, 413}, {errCrossSite, 403},
	} {
		w, r := newExchange("localhost")
		g.console.fail(w, r, g.console.newVisit(r), fmt.Errorf("wrapped: %w", test.err))
		if w.Code != test.status || !strings.Contains(w.Body.String(), "<h1>") {
			t.Errorf("%v: status %d, want %d and a page:\n%s", test.err, w.Code, test.status, w.Body)
		}
	}
}

// TestWithoutADatabase holds that a page comes also then, in the reader's language.
func TestWithoutADatabase(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.signIn(sam)
	if err := g.Store.Close(); err != nil {
		t.Fatal(err)
	}
	got := g.get(sam, "/people", func(r *http.Request) { r.Header.Set("Accept-Language", "nl-NL,nl;q=0.9,en;q=0.5") })
	if got.status < 500 || got.Find("html").AttrOr("lang", "") != "nl" || got.text("h1") == "" {
		t.Errorf("status %d, %q, want a page in Dutch that says so", got.status, got.text("main"))
	}
}

func TestLanguages(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for accept, want := range map[string]string{
		"": "en", "nl": "nl", "nl-BE, en;q=0.8": "nl", "en, nl": "en", "fr, nl;q=0.3, en;q=0.2": "nl", "nl;q=0, en": "en", "fr": "en", ";;q=,": "en",
	} {
		got := g.get(sam, "/people", func(r *http.Request) { r.Header.Set("Accept-Language", accept) })
		if lang := got.Find("html").AttrOr("lang", ""); lang != want {
			t.Errorf("Accept-Language %q: got %s, want %s", accept, lang, want)
		}
	}
	chosen := g.post(sam, "/preferences", url.Values{"language": {"nl"}, "to": {"/people"}})
	if chosen.status != 303 || chosen.header.Get("Location") != "/people" {
		t.Fatalf("choosing Dutch: status %d to %s", chosen.status, chosen.header.Get("Location"))
	}
	cookie, _, _ := strings.Cut(chosen.header.Get("Set-Cookie"), ";")
	got := g.get(sam, "/people", func(r *http.Request) { r.Header.Add("Cookie", cookie) })
	if got.text("h1") != "Personen" {
		t.Errorf("Dutch was chosen, and the heading is %q", got.text("h1"))
	}
	if got := g.post(sam, "/preferences", url.Values{"language": {"tlh"}}); got.status != 400 {
		t.Errorf("choosing Klingon: status %d, want 400", got.status)
	}
}

func TestFlashIsSaidOnce(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	var other store.Session
	g.write(func(tx *store.Tx) (err error) {
		other, _, err = tx.CreateSession(t.Context(), store.Session{UserID: g.users[eva], Method: store.MethodOIDC})
		return err
	})
	out := g.post(eva, "/me/sessions/end", url.Values{"id": {string(other.ID)}})
	var cookie string
	for _, c := range out.header.Values("Set-Cookie") {
		if strings.HasPrefix(c, flashCookie) {
			cookie, _, _ = strings.Cut(c, ";")
		}
	}
	got := g.get(eva, "/me", func(r *http.Request) { r.Header.Add("Cookie", cookie) })
	if got.text(".flash") != "That session is ended." {
		t.Errorf("got %q, want to be told what was done", got.text(".flash"))
	}
	if c := got.header.Get("Set-Cookie"); !strings.HasPrefix(c, flashCookie+"=;") {
		t.Errorf("got cookie %q, want the message gone", c)
	}
	for _, forged := range []string{"x", "eyJrIjoibm8uc3VjaCJ9", "bnVsbA"} {
		got := g.get(nobody, "/login", func(r *http.Request) { r.Header.Add("Cookie", flashCookie+"="+forged) })
		if got.status != 200 || got.Find(".flash").Length() > 0 {
			t.Errorf("forged message %q: status %d, %q", forged, got.status, got.text(".flash"))
		}
	}
}

func TestAssets(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	page := g.get(sam, "/people")
	for _, selector := range []string{"link[rel=stylesheet]", "script", "link[rel=icon]"} {
		path := page.Find(selector).AttrOr("href", page.Find(selector).AttrOr("src", ""))
		got := g.get(nobody, path)
		if got.status != 200 || !strings.Contains(got.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: status %d, %s, want it for ever", path, got.status, got.header.Get("Cache-Control"))
		}
		packed := g.get(nobody, path, func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })
		if packed.header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: not packed", path)
		}
		if old := g.get(nobody, strings.Replace(path, "/s/", "/s/0", 1)); old.status != 404 {
			t.Errorf("%s with another hash: status %d, want 404", path, old.status)
		}
	}
	for name, most := range map[string]int{"app.css": 8 << 10, "app.js": 6 << 10, "passkey.js": 2 << 10} {
		if n := len(g.console.assets[name].plain); n > most {
			t.Errorf("%s has %d bytes, want at most %d", name, n, most)
		}
	}
}

func TestTheUseOfSessionsIsNoted(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		ctx, before := t.Context(), now.Add(-20*time.Minute)
		early := *g
		var err error
		if early.Store, err = store.Open(ctx, g.url, store.Options{Now: func() time.Time { return before }}); err != nil {
			t.Fatal(err)
		}
		defer early.Store.Close()
		early.signIn(eva) // shared with g
		if got := g.get(eva, "/me"); got.status != 200 {
			t.Fatalf("20 minutes later: status %d", got.status)
		}
		g.console.noteSessions(ctx, true)
		sessions, err := g.Sessions(ctx, g.actor.Tenant, g.users[eva])
		if err != nil || len(sessions) != 1 || !sessions[0].SeenAt.Equal(now) {
			t.Errorf("got %+v, %v, want one session seen at %v", sessions, err, now)
		}
	})
}
