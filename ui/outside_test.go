package ui

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"gatehouse/access"
	"gatehouse/internal/mail"
	"gatehouse/internal/seal"
	"gatehouse/store"
)

// guest is somebody with a browser of her own, who isn't signed in.
type guest struct {
	g      *rig
	home   string // the address of the console, as she calls it
	client *http.Client
}

func (g *rig) guest() *guest {
	jar, err := cookiejar.New(nil)
	if err != nil {
		g.t.Fatal(err)
	}
	return &guest{g, g.server.URL, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

func (s *guest) do(method, path string, form url.Values, edit ...func(*http.Request)) answer {
	s.g.t.Helper()
	r, err := http.NewRequestWithContext(s.g.t.Context(), method, s.home+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.g.t.Fatal(err)
	}
	if method == "POST" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", s.home)
	}
	for _, f := range edit {
		f(r)
	}
	resp, err := s.client.Do(r)
	if err != nil {
		s.g.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.g.t.Fatal(err)
	}
	doc, err := goquery.NewDocumentFromReader(strings.NewReader(string(body)))
	if err != nil {
		s.g.t.Fatal(err)
	}
	return answer{doc, resp.StatusCode, resp.Header, string(body)}
}

func (s *guest) get(path string) answer { s.g.t.Helper(); return s.do("GET", path, nil) }
func (s *guest) post(path string, form url.Values) answer {
	s.g.t.Helper()
	return s.do("POST", path, form)
}

// asked makes an invitation beside the console.
func (g *rig) asked(change func(*store.Invitation)) (one store.Invitation, secret string) {
	g.t.Helper()
	sam := store.Actor{Tenant: g.actor.Tenant, Kind: store.ActorPerson, ID: string(g.users[sam])}
	grant := g.toUser("", "clicktime", "client", g.at("uithof"))
	grant.Subject = access.Grantee{}
	v := store.Invitation{Kind: access.KindContractor, DisplayName: "Jan Klus", Email: "jan@klus.example", Sponsor: g.users[ada],
		Grants: []access.Grant{grant}, AccountEnds: store.At(now.AddDate(0, 1, 0))}
	change(&v)
	err := g.Write(g.t.Context(), sam, func(tx *store.Tx) (err error) {
		one, secret, err = tx.CreateInvitation(g.t.Context(), v)
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	return one, secret
}

func (g *rig) state(id store.InvitationID) string {
	g.t.Helper()
	one, err := g.Store.Invitation(g.t.Context(), g.actor.Tenant, id)
	if err != nil {
		g.t.Fatal(err)
	}
	return one.State(now)
}

func byMail(*store.Invitation)    {}
func onPaper(v *store.Invitation) { v.Form, v.Email = store.InvitationCode, "" }

func TestLookingAtAnInvitationUsesNothingUp(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		link, secret := g.asked(byMail)
		paper, code := g.asked(onPaper)
		for _, path := range []string{"/i/" + secret, "/i?" + url.Values{"code": {code}}.Encode(), "/i?" + url.Values{"code": {strings.ToLower(strings.ReplaceAll(code, "-", " "))}}.Encode()} {
			for _, method := range []string{"HEAD", "GET", "GET"} {
				if got := g.guest().do(method, path, nil); got.status != 200 || got.header.Get("Set-Cookie") != "" {
					t.Errorf("%s %s: status %d, cookie %q, want the page and nothing else", method, path, got.status, got.header.Get("Set-Cookie"))
				}
			}
			got := g.guest().get(path)
			for _, want := range []string{"Jan Klus", "Ada Byron", "contractor", "Client @ Uithof", "22 Dec 2026", "29 Nov 2026"} {
				if !strings.Contains(got.text("main"), want) {
					t.Errorf("%s: got %q, want %q in it", path, got.text("main"), want)
				}
			}
			if dutch := g.guest().do("GET", path, nil, func(r *http.Request) { r.Header.Set("Accept-Language", "nl") }); !strings.Contains(dutch.text("h1"), "Je bent uitgenodigd") {
				t.Errorf("%s in Dutch: got %q", path, dutch.text("h1"))
			}
		}
		for _, id := range []store.InvitationID{link.ID, paper.ID} {
			if got := g.state(id); got != store.InvitationOpen {
				t.Errorf("after looking it is %s", got)
			}
		}
		// A form that another site sends accepts nothing.
		got := g.guest().do("POST", "/i", url.Values{"code": {secret}}, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") })
		if got.status != 403 || g.state(link.ID) != store.InvitationOpen {
			t.Errorf("from another site: status %d", got.status)
		}
	})
}

func TestAcceptedOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		for why, change := range map[string]func(*store.Invitation){"link": byMail, "code": onPaper} {
			one, secret := g.asked(change)
			jan := g.guest()
			got := jan.get("/i?" + url.Values{"code": {secret}}.Encode())
			field, _ := got.Find("form[action='/i'] input[name=code]").Attr("value")
			got = jan.post("/i", url.Values{"code": {field}})
			if got.status != 303 || got.header.Get("Location") != "/me/passkeys?welcome=1" {
				t.Fatalf("%s: status %d to %q:\n%s", why, got.status, got.header.Get("Location"), got.text("main"))
			}
			if got := jan.get("/me/passkeys?welcome=1"); got.status != 200 || !strings.Contains(got.text(".flash"), "Add a passkey now") {
				t.Errorf("%s: status %d, %q, want a passkey to be offered", why, got.status, got.text("main"))
			}
			if got := jan.get("/me"); !strings.Contains(got.text("main"), "Client @ Uithof") {
				t.Errorf("%s: her access is %q", why, got.text("main"))
			}
			if got := g.guest().post("/i", url.Values{"code": {secret}}); got.status != 410 || !strings.Contains(got.text("main"), "works once") || !strings.Contains(got.text("main"), "Ask Ada Byron") {
				t.Errorf("%s a second time: status %d, %q", why, got.status, got.text("main"))
			}
			if got := g.state(one.ID); got != store.InvitationAccepted {
				t.Errorf("%s: it is %s", why, got)
			}
		}
	})
}

func TestTwentyClicksAcceptOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		one, secret := g.asked(byMail)
		var in, told, other atomic.Int32
		start := make(chan struct{})
		var wg sync.WaitGroup
		for range 20 {
			jan := g.guest()
			wg.Go(func() {
				<-start
				switch got := jan.post("/i", url.Values{"code": {secret}}); got.status {
				case 303:
					in.Add(1)
				case 410:
					told.Add(1)
				default:
					t.Errorf("status %d: %s", got.status, got.text("main"))
					other.Add(1)
				}
			})
		}
		close(start)
		wg.Wait()
		if in.Load() != 1 || told.Load() != 19 {
			t.Errorf("%d came in and %d were told that it is over, want 1 and 19", in.Load(), told.Load())
		}
		accepted, err := g.Store.Invitation(t.Context(), g.actor.Tenant, one.ID)
		if err != nil {
			t.Fatal(err)
		}
		sessions, err := g.Sessions(t.Context(), g.actor.Tenant, accepted.UserID)
		if err != nil || len(sessions) != 1 || sessions[0].Method != store.MethodInvitation {
			t.Errorf("sessions %+v, %v; want one", sessions, err)
		}
	})
}

func TestInvitationsThatAreOverSaySo(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		ctx := t.Context()
		withdrawn, taken := g.asked(byMail)
		g.write(func(tx *store.Tx) error { return tx.WithdrawInvitation(ctx, withdrawn.ID, "") })
		changed, old := g.asked(func(v *store.Invitation) { v.Email = "old@klus.example" })
		g.write(func(tx *store.Tx) error {
			_, _, err := tx.ResendInvitation(ctx, changed.ID, func(v *store.Invitation) { v.Email = "new@klus.example" })
			return err
		})
		_, late := g.asked(func(v *store.Invitation) {
			v.Email, v.ExpiresAt = "late@klus.example", store.At(now.Add(time.Millisecond))
		})
		later := *g
		var err error
		later.Store, err = store.Open(ctx, g.url, store.Options{Now: func() time.Time { return now.Add(time.Hour) }})
		if err != nil {
			t.Fatal(err)
		}
		defer later.Store.Close()
		g.console.store = later.Store
		defer func() { g.console.store = g.Store }()
		for why, test := range map[string]struct {
			secret, want, dutch string
			status              int
		}{
			"withdrawn":           {taken, "was withdrawn", "ingetrokken", 410},
			"expired":             {late, "is over", "verlopen", 410},
			"another address":     {old, "opens nothing", "opent niets", 404},
			"made up":             {store.InvitationPrefix + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "opens nothing", "opent niets", 404},
			"cut off":             {taken[:20], "opens nothing", "opent niets", 404},
			"no invitation's":     {"x", "opens nothing", "opent niets", 404},
			"what is no text":     {store.InvitationPrefix + "%00%ff", "opens nothing", "opent niets", 404},
			"the end of one":      {store.InvitationPrefix, "opens nothing", "opent niets", 404},
			"longer than anybody": {store.InvitationPrefix + strings.Repeat("A", 2000), "opens nothing", "opent niets", 404},
		} {
			who := g.guest()
			got := who.get("/i/" + test.secret)
			dutch := who.do("GET", "/i/"+test.secret, nil, func(r *http.Request) { r.Header.Set("Accept-Language", "nl") })
			if got.status != test.status || !strings.Contains(got.text("h1"), test.want) || !strings.Contains(dutch.text("h1"), test.dutch) {
				t.Errorf("%s: status %d, %q, %q; want %d", why, got.status, got.text("main"), dutch.text("main"), test.status)
			}
			if got := who.post("/i", url.Values{"code": {test.secret}}); got.status < 400 || got.status > 499 || got.header.Get("Set-Cookie") != "" {
				t.Errorf("%s accepted: status %d, cookie %q", why, got.status, got.header.Get("Set-Cookie"))
			}
		}
	})
}

func TestGuessingCodes(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		one, code := g.asked(onPaper)
		look := func(code string) answer { return g.guest().get("/i?" + url.Values{"code": {code}}.Encode()) }
		wrong := code[:len(code)-1] + map[bool]string{true: "0", false: "1"}[code[len(code)-1] != '0']
		for i := range store.MaxCodeAttempts {
			if got := look(wrong); got.status != 404 || !strings.Contains(got.text("main .error"), "no such code") {
				t.Fatalf("attempt %d: status %d, %q", i+1, got.status, got.text("main"))
			}
		}
		if got := look(code); got.status != 410 || !strings.Contains(got.text("h1"), "locked") {
			t.Errorf("the right code after too many wrong ones: status %d, %q", got.status, got.text("main"))
		}
		if got := g.state(one.ID); got != store.InvitationLocked {
			t.Errorf("it is %s", got)
		}
		// Guessing at all codes is bounded by where it comes from.
		for i := range guessBurst - store.MaxCodeAttempts {
			if got := look(fmt.Sprintf("AAAA-AAAA-AAAA-AAAA-%04d", i)); got.status != 404 {
				t.Fatalf("guess %d: status %d", i, got.status)
			}
		}
		_, second := g.asked(onPaper)
		if got := look(second); got.status != 429 || got.header.Get("Retry-After") == "" {
			t.Errorf("after many guesses: status %d, want to wait", got.status)
		}
		_, secret := g.asked(func(v *store.Invitation) { v.Email = "other@klus.example" })
		if got := g.guest().get("/i/" + secret); got.status != 200 {
			t.Errorf("a link meanwhile: status %d: nobody guesses those", got.status)
		}
	})
}

func TestFirstOwner(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		ctx := t.Context()
		tenant, err := g.EnsureTenant(ctx, store.Actor{Kind: store.ActorSystem}, "empty")
		if err != nil {
			t.Fatal(err)
		}
		var secrets []string
		for range 2 {
			err = g.Write(ctx, store.Actor{Tenant: tenant.ID, Kind: store.ActorSystem}, func(tx *store.Tx) error {
				_, secret, err := tx.CreateSetup(ctx)
				secrets = append(secrets, secret)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		grace := g.guest()
		path := "/setup?" + url.Values{"code": {secrets[0]}}.Encode()
		for range 3 {
			if got := grace.get(path); got.status != 200 || got.Find("main form[method=post]").Length() != 1 {
				t.Fatalf("looking: status %d, %q", got.status, got.text("main"))
			}
		}
		if got := grace.post("/setup", url.Values{"code": {secrets[0]}, "name": {" "}}); got.status != 400 || !strings.Contains(got.text(".error"), "Type your name") {
			t.Errorf("without a name: status %d, %q", got.status, got.text("main"))
		}
		got := grace.post("/setup", url.Values{"code": {secrets[0]}, "name": {"Grace Hopper"}})
		if got.status != 303 || got.header.Get("Location") != "/me/passkeys?welcome=1" {
			t.Fatalf("status %d to %q: %s", got.status, got.header.Get("Location"), got.text("main"))
		}
		got = grace.get("/")
		if got.status != 200 || !strings.Contains(got.text("nav"), "Mappings") {
			t.Errorf("the owner's overview: status %d, %q", got.status, got.text("nav"))
		}
		if facts := got.text(".facts"); strings.Contains(facts, "has not called") {
			t.Errorf("a provider is missed that nobody connected: %q", facts)
		}
		for why, secret := range map[string]string{"used": secrets[0], "of another start": secrets[1], "made up": store.EntrancePrefix + strings.Repeat("A", 43), "empty": " "} {
			who := g.guest()
			if got := who.post("/setup", url.Values{"code": {secret}, "name": {"Eve"}}); got.status != 404 || got.header.Get("Set-Cookie") != "" || !strings.Contains(got.text(".error"), "gatehouse serve") || strings.Contains(got.text("main"), "Nobody owns") {
				t.Errorf("%s: status %d, %q, want nothing opened", why, got.status, got.text("main"))
			}
		}
	})
}

func TestBreakGlassIsSeen(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		ctx := t.Context()
		var secret string
		g.write(func(tx *store.Tx) (err error) { _, secret, err = tx.CreateBreakGlass(ctx); return err })
		if got := g.guest().get("/setup?" + url.Values{"code": {secret}}.Encode()); got.status != 404 {
			t.Errorf("as a set-up link: status %d", got.status)
		}
		path := "/break-glass?" + url.Values{"code": {secret}}.Encode()
		if got := g.guest().get(path); got.status != 200 || !strings.Contains(got.text("main"), "one hour") {
			t.Errorf("looking: status %d, %q", got.status, got.text("main"))
		}
		if got := g.get(sam, "/"); got.Find("main [role=alert]").Length() != 0 || g.console.BreakGlasses() != 0 {
			t.Errorf("before: %q", got.text("main [role=alert]"))
		}
		var in atomic.Int32
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				who := g.guest()
				got := who.post("/break-glass", url.Values{"code": {secret}})
				if got.status != 303 {
					return
				}
				in.Add(1)
				if got := who.get("/"); got.status != 200 || !strings.Contains(got.text(".flash[role=status]"), "owner for an hour") {
					t.Errorf("inside: status %d, %q", got.status, got.text("main"))
				}
			})
		}
		wg.Wait()
		if in.Load() != 1 || g.console.BreakGlasses() != 1 {
			t.Errorf("%d came in, counted %d; want 1", in.Load(), g.console.BreakGlasses())
		}
		if got := g.get(chloe, "/").text("main [role=alert]"); !strings.Contains(got, "The glass was broken") || !strings.Contains(got, "127.0.0.1") || !strings.Contains(got, "grace") {
			t.Errorf("the auditor sees %q", got)
		}
	})
}

// withMail lets the console send mails, which the test reads.
func (g *rig) withMail() *mail.Shown {
	g.t.Helper()
	sealer, err := seal.New("test", make([]byte, 32), "")
	if err != nil {
		g.t.Fatal(err)
	}
	box := &mail.Shown{}
	g.console.mail = mail.New(g.Store, mail.Options{Send: box.Send, Sealer: sealer, Every: time.Millisecond})
	ctx, done := g.t.Context(), make(chan struct{})
	go func() { defer close(done); g.console.mail.Run(ctx) }()
	g.t.Cleanup(func() { <-done })
	return box
}

// formOf are the values of a form of the page, as a browser would send them.
func formOf(a answer, selector string) url.Values {
	values := url.Values{}
	a.Find(selector + " input").Each(func(_ int, s *goquery.Selection) {
		kind, _ := s.Attr("type")
		_, checked := s.Attr("checked")
		if name, ok := s.Attr("name"); ok && (kind != "radio" && kind != "checkbox" || checked) {
			values.Set(name, s.AttrOr("value", ""))
		}
	})
	return values
}

var anyLink = regexp.MustCompile(`http://\S+/i/ghi_\S+`)

func TestInvitedByMail(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		box := g.withMail()
		got := g.get(ada, "/invitations")
		if href, _ := got.Find("main a.primary").Attr("href"); href != "/invitations/new#f-email" { // where one begins to type
			t.Fatalf("the list leads to %q", href)
		}
		choice := url.Values{"email": {"jan@klus.example"}, "name": {"Jan Klus"}, "what": {"role/clicktime/supervisor"}, "s.site": {string(g.sites["uithof"])}, "lang": {"nl"}}
		path := "/invitations/new?" + choice.Encode()
		got = g.get(ada, path)
		if got.status != 200 || !strings.Contains(got.text("#impact"), "Jan Klus") || !strings.Contains(got.text("#impact"), "Uithof") || got.text("#impact button") != "Send the invitation" {
			t.Fatalf("preview: status %d, %q", got.status, got.text("#impact"))
		}
		action, _ := got.Find("#impact form").Attr("action")
		agreed := formOf(got, "#impact form")
		got = g.post(ada, action, agreed)
		to := got.header.Get("Location")
		if got.status != 303 || !strings.HasPrefix(to, "/invitations/") {
			t.Fatalf("sent: status %d to %q: %s", got.status, to, got.text("main"))
		}
		if again := g.post(ada, action, agreed); again.status != 303 || again.header.Get("Location") != "/invitations" {
			t.Errorf("clicked twice: status %d to %q", again.status, again.header.Get("Location"))
		}
		for !strings.Contains(g.get(ada, to).text("main"), "Sent") {
		}
		mails := box.Messages()
		if len(mails) != 1 || mails[0].To != "jan@klus.example" || mails[0].Subject != "Ada Byron nodigt je uit" || !strings.Contains(mails[0].Text, "ClickTime: Supervisor @ Uithof") || !strings.Contains(mails[0].Text, "22 dec 2026") {
			t.Fatalf("got the mails %+v", mails)
		}
		link := anyLink.FindString(mails[0].Text)
		jan := g.guest()
		secret := strings.TrimPrefix(link, g.server.URL+"/i/")
		if got := jan.post("/i", url.Values{"code": {secret}}); got.status != 303 {
			t.Fatalf("accepted: status %d: %s", got.status, got.text("main"))
		}
		if got := jan.get("/me"); !strings.Contains(got.text("main"), "Supervisor @ Uithof") {
			t.Errorf("her access: %q", got.text("main"))
		}
		if got := g.get(ada, "/invitations").text("#invitations"); !strings.Contains(got, "Jan Klus") || !strings.Contains(got, "accepted") || !strings.Contains(got, "Ada Byron") {
			t.Errorf("the list: %q", got)
		}
		// Somebody with her address can't be invited a second time.
		got = g.get(ada, path)
		action, _ = got.Find("#impact form").Attr("action")
		got = g.post(ada, action, formOf(got, "#impact form"))
		if got.status != 400 || !strings.Contains(got.text(".field .error"), "has this address already") {
			t.Errorf("the same address: status %d, %q", got.status, got.text("main"))
		}
	})
}

func TestInvitedWithoutMail(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		for why, test := range map[string]struct {
			who  url.Values
			save string
		}{
			"link": {url.Values{"email": {"jan@klus.example"}}, "Make the link"},
			"code": {url.Values{"name": {"Jan Klus"}}, "Make the code to print"},
		} {
			choice := test.who
			choice.Set("what", "role/clicktime/client")
			choice.Set("s.site", string(g.sites["uithof"]))
			got := g.get(sam, "/invitations/new?"+choice.Encode())
			if got.status != 200 || got.text("#impact button") != test.save {
				t.Fatalf("%s: status %d, %q", why, got.status, got.text("#impact"))
			}
			action, _ := got.Find("#impact form").Attr("action")
			got = g.post(sam, action, formOf(got, "#impact form"))
			to := got.header.Get("Location")
			if got.status != 303 || !strings.HasSuffix(to, "/secret") {
				t.Fatalf("%s: status %d to %q: %s", why, got.status, to, got.text("main"))
			}
			once := (&http.Response{Header: got.header}).Cookies()
			with := func(r *http.Request) {
				for _, c := range once {
					r.AddCookie(c)
				}
			}
			got = g.get(sam, to, with)
			secret := strings.TrimPrefix(got.text("#link"), g.server.URL+"/i/")
			if why == "code" {
				secret = got.text(".card code")
				secret = strings.TrimPrefix(secret, g.server.URL+"/i")
				if got.Find("svg path").Last().AttrOr("d", "") == "" {
					t.Error("no picture to scan")
				}
			}
			if taken := got.header.Get("Set-Cookie"); !strings.Contains(taken, "Max-Age=0") {
				t.Errorf("%s: cookie %q, want it gone", why, taken)
			}
			if got := g.get(sam, to); got.status != 200 || !strings.Contains(got.text("main"), "shown already") {
				t.Errorf("%s a second time: status %d, %q", why, got.status, got.text("main"))
			}
			if got := g.guest().post("/i", url.Values{"code": {secret}}); got.status != 303 {
				t.Errorf("%s %q: status %d: %s", why, secret, got.status, got.text("main"))
			}
		}
	})
}

func TestInvitationsAreLookedAfter(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		box := g.withMail()
		one, old := g.asked(byMail)
		path := "/invitations/" + string(one.ID)
		got := g.post(ada, path+"/resend", url.Values{"email": {"not an address"}, "form": {"link"}})
		if got.status != 400 || !strings.Contains(got.text(".field .error"), "no e-mail address") {
			t.Errorf("a wrong address: status %d, %q", got.status, got.text("main"))
		}
		if got := g.post(ada, path+"/resend", url.Values{"email": {"jan@new.example"}, "open": {"30"}, "form": {"link"}}); got.status != 303 || got.header.Get("Location") != path {
			t.Fatalf("another address: status %d: %s", got.status, got.text("main"))
		}
		for !strings.Contains(g.get(ada, path).text("main"), "Sent") {
		}
		if m := box.Messages()[0]; m.To != "jan@new.example" {
			t.Errorf("sent to %s", m.To)
		}
		if got := g.guest().get("/i/" + old); got.status != 404 {
			t.Errorf("the first link: status %d", got.status)
		}
		if got := g.get(ada, path).text("main"); !strings.Contains(got, "jan@new.example") || !strings.Contains(got, "22 Dec 2026") {
			t.Errorf("it says %q", got)
		}
		if got := g.post(ada, path+"/withdraw", url.Values{"why": {"mistyped"}}); got.status != 303 {
			t.Errorf("withdrawn: status %d", got.status)
		}
		if got := g.post(ada, path+"/withdraw", nil); got.status != 409 {
			t.Errorf("withdrawn twice: status %d, want 409", got.status)
		}
		if got := g.post(ada, path+"/resend", url.Values{"email": {"jan@new.example"}}); got.status != 409 {
			t.Errorf("sent after that: status %d, want 409", got.status)
		}
		if got := g.get(ada, path).text("main"); !strings.Contains(got, "withdrawn") || !strings.Contains(got, "mistyped") {
			t.Errorf("it says %q", got)
		}
		for state, n := range map[string]int{"": 1, "withdrawn": 1, "open": 0} {
			if got := g.get(ada, "/invitations?state="+state).Find("#invitations tbody tr").Length(); got != n {
				t.Errorf("state %q: %d invitations, want %d", state, got, n)
			}
		}

		// Who has accepted gets a new way in, and no more access.
		second, secret := g.asked(func(v *store.Invitation) { v.Email = "second@klus.example" })
		if got := g.guest().post("/i", url.Values{"code": {secret}}); got.status != 303 {
			t.Fatalf("accepted: status %d", got.status)
		}
		got = g.post(ada, "/invitations/"+string(second.ID)+"/again", url.Values{"form": {"link"}})
		if got.status != 303 {
			t.Fatalf("a new way in: status %d: %s", got.status, got.text("main"))
		}
		for to := got.header.Get("Location"); !strings.Contains(g.get(ada, to).text("main"), "Sent"); {
		}
		m := box.Messages()[0]
		got = g.post(ada, "/invitations/"+string(second.ID)+"/again", url.Values{"form": {"link"}}) // an impatient second click
		for to := got.header.Get("Location"); !strings.Contains(g.get(ada, to).text("main"), "Sent"); {
		}
		if got := g.guest().get(strings.TrimPrefix(anyLink.FindString(m.Text), g.server.URL)); got.status != 410 {
			t.Errorf("the first of two new ways in: status %d, %q; want it to be over", got.status, got.text("main"))
		}
		m = box.Messages()[0]
		link := strings.TrimPrefix(anyLink.FindString(m.Text), g.server.URL)
		if got := g.guest().get(link); got.status != 200 || !strings.Contains(got.text("main"), "new way to sign in") {
			t.Errorf("the new way in: status %d, %q", got.status, got.text("main"))
		}
	})
}

// Who is invited to what goes meanwhile is named before it goes; she gets nothing else
// in its place, but a page that says whom to ask, and what she was promised once it is
// there again.
func TestInvitationsThatPromiseWhatGoes(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		one, secret := g.asked(byMail)
		path := "/invitations/" + string(one.ID)
		for _, gone := range []string{filled("/products/clicktime/roles/client/remove", "end", "1"), filled("/products/clicktime/remove", "end", "1"), g.siteAt("utrecht") + "/archive"} {
			if got := g.guest().get("/i/" + secret); got.status != 200 {
				t.Fatalf("before %s: status %d: %s", gone, got.status, got.text("main"))
			}
			page := g.get(sam, gone)
			if text := page.text("#impact"); !strings.Contains(text, "1 open invitation promises what goes: it could not be accepted any more. Invited: Jan Klus.") {
				t.Errorf("%s: the panel says %q", gone, text)
			}
			if got := g.press(sam, page, "typed", lose(page)); got.status != 303 {
				t.Fatalf("%s: status %d: %s", gone, got.status, got.text("main"))
			}
			jan := g.guest()
			for _, got := range []answer{jan.get("/i/" + secret), jan.post("/i", url.Values{"code": {secret}})} {
				if got.status != 410 || got.header.Get("Set-Cookie") != "" || !strings.Contains(got.text("main"), "doesn't fit any more") || !strings.Contains(got.text("main"), "Ask Ada Byron") {
					t.Errorf("after %s: status %d, cookie %q, %q", gone, got.status, got.header.Get("Set-Cookie"), got.text("main"))
				}
			}
			for _, list := range []string{"/invitations", path} {
				if got := g.get(ada, list); got.status != 200 || !strings.Contains(got.text("main .chip.bad"), "promises what isn't there any more") {
					t.Errorf("after %s, %s: status %d, %q", gone, list, got.status, got.text("main"))
				}
			}
			if got := g.post(ada, path+"/resend", url.Values{"email": {"jan@klus.example"}, "form": {"link"}}); got.status != 409 || !strings.Contains(got.text("main"), "invite anew") {
				t.Errorf("after %s, sent again: status %d, %q", gone, got.status, got.text("main"))
			}
			ends := g.get(sam, "/")
			for strings.Contains(ends.text(".facts"), "Being counted") {
				ends = g.get(sam, "/")
			}
			if !strings.Contains(ends.text(".facts"), "1 open invitation promises what isn't there any more") {
				t.Errorf("after %s the loose ends are %q", gone, ends.text(".facts"))
			}
			undo := g.get(sam, "/changes/"+g.latest()+"/revert")
			if got := g.press(sam, undo, "typed", lose(undo)); got.status != 303 {
				t.Fatalf("%s undone: status %d: %s", gone, got.status, got.text("main"))
			}
		}
		jan := g.guest()
		if got := jan.post("/i", url.Values{"code": {secret}}); got.status != 303 {
			t.Fatalf("once all is there again: status %d: %s", got.status, got.text("main"))
		}
		if got := jan.get("/me"); !strings.Contains(got.text("main"), "Client @ Uithof") {
			t.Errorf("her access is %q", got.text("main"))
		}
	})
}

func TestWhoSeesWhichInvitations(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	here, _ := g.asked(byMail)
	away, _ := g.asked(func(v *store.Invitation) {
		v.Email, v.DisplayName = "piet@klus.example", "Piet Ver"
		v.Grants[0].Scope = g.at("vlissingen")
	})
	if got := g.get(bob, "/invitations").texts("#invitations tbody th"); len(got) != 1 || !strings.HasPrefix(got[0], "Jan Klus") {
		t.Errorf("the administrator of Utrecht sees %q, want the invitation to the Uithof alone", got)
	}
	for path, want := range map[string]int{"/invitations/" + string(here.ID): 200, "/invitations/" + string(away.ID): 404, "/invitations/new": 403} {
		if got := g.get(bob, path); got.status != want {
			t.Errorf("%s as the administrator of Utrecht: status %d, want %d", path, got.status, want)
		}
	}
	if got := g.get(bob, "/invitations/"+string(here.ID)); got.Find("main form").Length() != 0 {
		t.Errorf("he can do something about it: %q", got.text("main"))
	}
	for _, path := range []string{"/resend", "/withdraw", "/again"} {
		if got := g.post(chloe, "/invitations/"+string(here.ID)+path, nil); got.status != 403 {
			t.Errorf("the auditor, %s: status %d, want 403", path, got.status)
		}
	}
	// Whoever administers access can't make an owner of a guest.
	got := g.get(ada, "/invitations/new?"+url.Values{"name": {"Eve"}, "what": {"role/console/owner"}, "all.site": {"1"}, "all.team": {"1"}}.Encode())
	if got.status != 200 || got.Find("#impact form").Length() != 0 || got.text("#impact .error") == "" {
		t.Errorf("an owner by invitation: status %d, %q, want it refused", got.status, got.text("#impact"))
	}
}

func TestBadInvitations(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	good := url.Values{"email": {"jan@klus.example"}, "what": {"role/clicktime/client"}, "s.site": {string(g.sites["uithof"])}}
	for why, test := range map[string]struct {
		name, value string
		status      int
		says        string
	}{
		"no address":         {"email", "jan", 200, "no e-mail address"},
		"two addresses":      {"email", "a@b.example,c@d.example", 200, "no e-mail address"},
		"a line in it":       {"email", "a@b.example\r\nBcc: all@b.example", 200, "no e-mail address"},
		"a long name":        {"name", strings.Repeat("x", 201), 200, "longer than 200"},
		"nobody as sponsor":  {"sponsor", "nobody@x", 200, "Nobody who is active"},
		"who left":           {"sponsor", "frank.visser@waterland.example", 200, "Nobody who is active"},
		"no such end":        {"end", "7", 400, ""},
		"no such kind":       {"kind", "service", 400, ""},
		"no such language":   {"lang", "de", 400, ""},
		"no such role":       {"what", "role/clicktime", 400, ""},
		"no such product":    {"what", "role/nothing/x", 400, ""},
		"open for a year":    {"open", "365", 400, ""},
		"nobody at all":      {"email", "", 200, "Type an e-mail address"},
		"no site":            {"s.site", "", 200, ""},
		"what is no text":    {"name", "\xff", 200, ""},
		"a site that is not": {"s.site", "x", 200, ""},
	} {
		choice := url.Values{}
		for k, v := range good {
			choice[k] = v
		}
		choice.Set(test.name, test.value)
		got := g.get(sam, "/invitations/new?"+choice.Encode())
		if got.status != test.status || !strings.Contains(got.text("main"), test.says) {
			t.Errorf("%s: status %d, %q; want %d", why, got.status, got.text("main"), test.status)
		}
		if posted := g.post(sam, "/invitations/new?"+choice.Encode(), url.Values{"digest": {"x"}, "key": {store.NewProposalKey()}}); posted.status < 400 || posted.status > 499 {
			t.Errorf("%s, saved: status %d, want a 4xx", why, posted.status)
		}
	}
	past := url.Values{"end": {"own"}, "until": {"2026-11-21"}}
	for k, v := range good {
		past[k] = v
	}
	if got := g.get(sam, "/invitations/new?"+past.Encode()); !strings.Contains(got.text("main"), "from today on") {
		t.Errorf("an end in the past: %q", got.text("main"))
	}
	if all, err := g.Invitations(t.Context(), g.actor.Tenant, store.InvitationQuery{}); err != nil || len(all) != 0 {
		t.Errorf("%d invitations were made, %v", len(all), err)
	}
}
