package ui

import (
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/impact"
	"gatehouse/internal/mail"
	"gatehouse/store"

	"github.com/PuerkitoBio/goquery"
)

const (
	noor  = "noor.mulder@waterland.example"
	lars  = "lars.mulder@waterland.example"
	sofie = "sofie.mulder@waterland.example"
)

// startReview starts a review and gives the address of its form.
func (g *rig) startReview(as, of string, more ...string) string {
	g.t.Helper()
	values := url.Values{"of": {of}}
	for i := 0; i < len(more); i += 2 {
		values.Set(more[i], more[i+1])
	}
	got := g.post(as, "/reviews/new?"+values.Encode(), nil)
	to := got.header.Get("Location")
	if got.status != 303 || !strings.HasSuffix(to, "/decide") {
		g.t.Fatalf("start %s: status %d to %q: %s", of, got.status, to, got.text("main"))
	}
	return to
}

// decide is the address of a form with decisions: remove for those named, each with a
// reason, and keep for everybody else.
func (g *rig) decide(as, form string, removed map[string]string) string {
	g.t.Helper()
	values := url.Values{}
	g.get(as, form).Find("#decide input").Each(func(_ int, input *goquery.Selection) {
		name := input.AttrOr("name", "")
		switch {
		case name == "same":
			values.Set(name, "1")
		case input.AttrOr("type", "") == "radio":
			values.Set(name, sayKeep)
		}
	})
	for userName, why := range removed {
		id := string(g.users[userName])
		values.Set("d."+id, sayRemove)
		values.Set("why."+id, why)
	}
	return form + "?" + values.Encode()
}

// grantsOf are the grants of somebody alone.
func (g *rig) grantsOf(userName string) []access.Grant {
	g.t.Helper()
	p, _, err := g.Policy(g.t.Context(), g.actor.Tenant)
	if err != nil {
		g.t.Fatal(err)
	}
	return slices.DeleteFunc(p.Grants(), func(one access.Grant) bool { return one.Subject.User != access.UserID(g.users[userName]) })
}

// asked are who needs a decision of their own, with all that is said of each.
func (a answer) asked() map[string]string {
	all := map[string]string{}
	for _, card := range a.Find("#decide .card[role=group]").EachIter() {
		all[card.Find("a.big").Text()] = strings.Join(strings.Fields(card.Text()), " ")
	}
	return all
}

// flashed follows a saved form and gives the page that comes, with what it says once.
func (g *rig) flashed(as string, saved answer) answer {
	g.t.Helper()
	return g.get(as, saved.header.Get("Location"), func(r *http.Request) { r.Header.Add("Cookie", strings.Split(saved.header.Get("Set-Cookie"), ";")[0]) })
}

// A review takes from one person a grant of her own, from another the site out of one,
// and denies a third what a group gives; and is undone.
func TestReviewASite(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		site := "site/" + string(g.sites["uithof"])
		later := g.toUser(noor, "clicktime", "supervisor", g.at("uithof"))
		later.From = time.Date(2027, 3, 1, 0, 0, 0, 0, g.console.zone)
		g.grant(later, g.toUser(noor, "clicktime", "client", g.at("uithof")), g.toUser(lars, "clicktime", "client", g.at("uithof", "vlissingen")),
			g.toUser(sofie, "clicktime", "client", g.at("utrecht")))
		look := g.get(sam, "/reviews/new?"+url.Values{"of": {site}}.Encode())
		if text := look.text("#review-look"); look.status != 200 || look.text("header .who") != "Sam de Vries" || !strings.Contains(text, "Uithof Sites 20 people 20 to decide one by one") || look.Find("#review-look form").Length() != 1 {
			t.Fatalf("%d: %s", look.status, text)
		}
		form := g.startReview(sam, site, "months", "3", "due", "2026-12-01")
		record := strings.TrimSuffix(form, "/decide")
		page := g.get(sam, form)
		asked := page.asked()
		for name, wants := range map[string][]string{
			"Noor Mulder":  {"first review", "ClickTime: Client @ Uithof by a grant of their own", "@ Uithof by a grant of their own, from 1 Mar 2027", "Remove Noor Mulder"},
			"Daan Bakker":  {"sensitive", "Supervisor @ Uithof through Utrecht technicians, from Entra ID", "Comes from Utrecht technicians at Entra ID: take the person out there.", "Deny it here Daan Bakker"},
			"Sam de Vries": {"sensitive", "Console: Owner @ everywhere", "reaches further than this: it stays, and is denied here"},
		} {
			for _, want := range wants {
				if !strings.Contains(asked[name], want) {
					t.Errorf("%s: got %q, want %q in it", name, asked[name], want)
				}
			}
		}
		if len(asked) != 20 || page.Find("#decide [checked]").Length() > 0 || !strings.Contains(page.text("#impact"), "20 people still need a decision") {
			t.Errorf("%d are asked about, %d ticked: %s", len(asked), page.Find("#decide [checked]").Length(), page.text("#impact"))
		}
		if got := g.post(sam, form, nil); got.status != 400 || !g.reviewOf(record).Open() {
			t.Errorf("sent empty: status %d, want 400", got.status)
		}

		full := g.decide(sam, form, map[string]string{noor: "has left the team", lars: "", daan: "moved"})
		page = g.get(sam, full)
		rows := page.texts("#impact-people tbody th")
		if len(rows) != 3 || !strings.Contains(page.text("#impact"), "3 people lose access") || !strings.Contains(page.text("#impact"), "17 people stay") {
			t.Fatalf("the panel names %q: %s", rows, page.text("#impact"))
		}
		saved := g.press(sam, page)
		if saved.status != 303 || saved.header.Get("Location") != record {
			t.Fatalf("saved: status %d to %q: %s", saved.status, saved.header.Get("Location"), saved.text("main"))
		}
		left := g.grantsOf(lars)
		if len(g.grantsOf(noor)) != 0 || len(left) != 1 || !slices.Equal(left[0].Scope.Sites["site"].Sites, []access.SiteID{g.sites["vlissingen"]}) {
			t.Errorf("Noor has %+v, Lars %+v; want nothing, and Vlissingen", g.grantsOf(noor), left)
		}
		denied := g.grantsOf(daan)
		if len(denied) != 1 || denied[0].Effect != access.Deny || denied[0].Permission != access.AllPermissions || denied[0].Reason != "Access review of Uithof: moved" ||
			!slices.Equal(denied[0].Scope.Sites["site"].Sites, []access.SiteID{g.sites["uithof"]}) {
			t.Errorf("Daan has %+v, want to be denied all there", denied)
		}

		told := g.flashed(sam, saved)
		if text := told.text("main"); !strings.Contains(text, "17 kept, 3 removed") || !strings.Contains(text, "has left the team") || !strings.Contains(text, "finished") || !strings.Contains(text, "by Sam de Vries") {
			t.Errorf("the record says: %s", text)
		}
		if csv := g.get(chloe, record+"/decisions.csv"); csv.status != 200 || !strings.Contains(csv.body, "Noor Mulder,"+noor+",\"ClickTime: Client @ Uithof (by a grant of their own); ClickTime: Supervisor @ Uithof (by a grant of their own, from 1 Mar 2027)\",first review; sensitive,removed,has left the team,Sam de Vries") {
			t.Errorf("as a file: %d\n%s", csv.status, csv.body)
		}
		for _, want := range []string{"Sam de Vries removed what " + noor + " had, in the review of Uithof", "Sam de Vries kept what " + sofie + " had", "Sam de Vries finished the review of Uithof"} {
			if log := g.get(chloe, "/audit?action=review"); !strings.Contains(log.text("#changes"), want) {
				t.Errorf("the log doesn't say %q:\n%s", want, log.text("#changes"))
			}
		}
		if got := g.press(sam, page); got.status != 303 || len(g.grantsOf(daan)) != 1 {
			t.Errorf("the second of two clicks: status %d, want to be led to the same", got.status)
		}
		if got := g.press(ada, page); got.status != 409 || !strings.Contains(got.text("main"), "Nothing of yours was saved") {
			t.Errorf("somebody else's click: status %d: %s", got.status, got.text("main"))
		}

		undo := g.get(sam, told.Find(".flash a").AttrOr("href", "/nothing"))
		if got := g.press(sam, undo); got.status != 303 || len(g.grantsOf(noor)) != 2 || len(g.grantsOf(daan)) != 0 || len(g.grantsOf(lars)[0].Scope.Sites["site"].Sites) != 2 {
			t.Errorf("undone: status %d: %s", got.status, undo.text("main"))
		}
		if v := g.reviewOf(record); v.Open() || v.Removed != 3 {
			t.Errorf("undone, the review is %+v, want what was decided to stay", v)
		}
		list := g.get(sam, "/reviews")
		if text := list.text("main"); !strings.Contains(text, "Nothing due until 22 Feb 2027") || list.Find("#nav .chip").Length() != 0 {
			t.Errorf("the list says: %s", text)
		}
	})
}

func (g *rig) reviewOf(path string) store.Review {
	g.t.Helper()
	v, err := g.Review(g.t.Context(), g.actor.Tenant, store.ReviewID(path[strings.LastIndex(path, "/")+1:]))
	if err != nil {
		g.t.Fatal(err)
	}
	return v
}

// The second review asks only about what is otherwise than at the first, or odd.
func TestNextReviewAsksAboutWhatChanged(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		of := "role/clicktime/client"
		people := []string{noor, lars, sofie, "jesse.mulder@waterland.example"}
		for _, userName := range people {
			if g.users[userName] == "" {
				t.Fatalf("there is no %s", userName)
			}
			g.grant(g.toUser(userName, "clicktime", "client", g.at("uithof")))
		}
		g.signIn(noor)
		first := g.startReview(sam, of)
		if got := g.press(sam, g.get(sam, g.decide(sam, first, map[string]string{lars: ""}))); got.status != 303 {
			t.Fatalf("the first: status %d: %s", got.status, got.text("#impact"))
		}
		if got := g.get(sam, "/reviews"); !strings.Contains(got.text("main .empty"), "No review is open") {
			t.Errorf("the list says: %s", got.text("main"))
		}
		g.later(100 * 24 * time.Hour)
		g.grant(g.toUser(sofie, "clicktime", "client", g.at("zeeland")), g.toUser(lars, "clicktime", "client", g.at("uithof")))

		form := g.startReview(sam, of)
		page := g.get(sam, form)
		asked := page.asked()
		for name, want := range map[string]string{
			"Noor Mulder":  "last signed in here on 22 Nov 2026",
			"Lars Mulder":  "new since the last review",
			"Sofie Mulder": "changed since the last review ClickTime: Client @ Uithof by a grant of their own ClickTime: Client @ Zeeland by a grant of their own new",
		} {
			if !strings.Contains(asked[name], want) {
				t.Errorf("%s: got %q, want %q in it", name, asked[name], want)
			}
		}
		if len(asked) != 3 || !strings.Contains(page.text("details"), "Jesse Mulder") || !strings.Contains(page.text("#decide"), "Same as last time (9)") {
			t.Errorf("asked about %q, want three of them, and nine folded: %s", asked, page.text("details"))
		}
		full := g.decide(sam, form, nil)
		if got := g.get(sam, strings.Replace(full, "same=1", "same=", 1)); !strings.Contains(got.text("#impact"), "Confirm the 9 people") || got.Find("#impact form").Length() > 0 {
			t.Errorf("not confirmed: %s", got.text("#impact"))
		}
		page = g.get(sam, full)
		if text := page.text("#impact"); !strings.Contains(text, "12 people stay as they are") || page.text("#impact button") != "Submit 12 decisions" {
			t.Errorf("all are kept: %s", text)
		}

		// Somebody leaves while it is looked at.
		g.write(func(tx *store.Tx) error {
			_, err := tx.ChangePerson(t.Context(), g.users[noor], func(p store.Person) store.Person { p.LoginAllowed = false; return p })
			return err
		})
		stale := g.press(sam, page)
		if stale.status != 409 || !strings.Contains(stale.text("#impact"), "Not saved") || !g.reviewOf(strings.TrimSuffix(form, "/decide")).Open() {
			t.Fatalf("after somebody left: status %d: %s", stale.status, stale.text("#impact"))
		}
		if len(stale.asked()) != 2 || !strings.Contains(stale.text("#decide"), "no decision (1) Noor Mulder") {
			t.Errorf("who left is still asked about: %s", stale.text("#decide"))
		}
		if got := g.press(sam, stale); got.status != 303 || g.reviewOf(strings.TrimSuffix(form, "/decide")).Kept != 11 {
			t.Errorf("saved after all: status %d: %s", got.status, got.text("#impact"))
		}
	})
}

// Who administers a site reviews it, and nothing else.
func TestReviewInsideTheOwnSites(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	product := g.startReview(sam, "product/clicktime")
	elsewhere := g.startReview(sam, "site/"+string(g.sites["vlissingen"]))
	for _, path := range []string{product, elsewhere, strings.TrimSuffix(product, "/decide"), strings.TrimSuffix(elsewhere, "/decide"),
		"/reviews/new?of=product/clicktime", "/reviews/new?of=role/clicktime/client", "/reviews/new?of=site/" + string(g.sites["vlissingen"])} {
		if got := g.get(bob, path); got.status != 404 {
			t.Errorf("%s: status %d, want 404", path, got.status)
		}
	}
	if got := g.get(bob, "/reviews"); got.Find("#open, #ended").Length() > 0 || strings.Contains(got.body, "Vlissingen") {
		t.Errorf("the list shows what is elsewhere: %s", got.text("main"))
	}
	g.grant(g.toUser(lars, "clicktime", "client", g.at("uithof", "vlissingen")))
	form := g.startReview(bob, "site/"+string(g.sites["uithof"]))
	if got := g.get(bob, "/people"); got.text("#nav .chip") != "1 waiting for you" {
		t.Errorf("the navigation says %q, want one review", got.text("#nav .chip"))
	}
	if got := g.get(bob, g.decide(bob, form, map[string]string{sam: ""})); got.Find("#impact form").Length() > 0 || !strings.Contains(got.text("#impact"), "can’t be saved") {
		t.Errorf("taking the owner's rights: %s", got.text("#impact"))
	}
	if got := g.press(bob, g.get(bob, g.decide(bob, form, map[string]string{daan: "moved", lars: ""}))); got.status != 303 || len(g.grantsOf(daan)) != 1 {
		t.Errorf("denying a technician: status %d: %s", got.status, got.text("#impact"))
	}
	if left := g.grantsOf(lars); len(left) != 2 || len(left[0].Scope.Sites["site"].Sites) != 2 || left[1].Effect != access.Deny {
		t.Errorf("of a grant that is for other sites, too, is left %+v; want it to stay, and be denied here", left)
	}
	if got := g.get(chloe, strings.TrimSuffix(product, "/decide")); got.status != 200 || got.Find("main form").Length() > 0 || got.Find("main .primary").Length() > 0 {
		t.Errorf("an auditor sees %s", got.text("main"))
	}
	if got := g.get(chloe, product); got.status != 403 {
		t.Errorf("an auditor at the form: status %d, want 403", got.status)
	}
}

// TestARefusalSaysOfWhom decides about many people, of whom only one may not lose it.
func TestARefusalSaysOfWhom(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		refused := func(who, of string, removed map[string]string, want ...string) {
			t.Helper()
			got := g.get(who, g.decide(who, g.startReview(who, of), removed))
			if texts := got.texts("#impact [role=alert] li"); !slices.Equal(texts, want) {
				t.Errorf("%s, by %s: got %q, want %q", of, who, texts, want)
			}
		}
		const above, owner = "Sam de Vries: It is about more in the console than you have yourself.", "Sam de Vries: Nobody would own the console. Name another owner first."
		refused(bob, "site/"+string(g.sites["uithof"]), map[string]string{sam: "", daan: "moved"}, above, owner)
		refused(ada, "product/console", map[string]string{sam: "", chloe: "", bob: ""}, above, owner)
		// Elsewhere it says of nobody what it is about: whoever proposes something need not see her.
		form := g.compose("/mappings/new", "user", string(g.users["ada.byron@dijkwerk.example"]), "what", "role/clicktime/client", "s.site", string(g.sites["vlissingen"]))
		if text := g.get(bob, form).text("#impact"); strings.Contains(text, "Ada") {
			t.Errorf("outside of a review: %s", text)
		}
	})
}

func TestARefusalNamesAFew(t *testing.T) {
	t.Parallel()
	f := &forecast{v: &visit{words: allWords()["en"]}, look: &impact.Preview{Users: map[access.UserID]store.Named{}}}
	var ids []access.UserID
	for _, name := range strings.Fields("Ada Bob Chloé Daan Eva Frank Grace") {
		ids = append(ids, access.UserID(name))
		f.look.Users[access.UserID(name)] = store.Named{Name: strings.ToLower(name), DisplayName: name}
	}
	for n, want := range map[int]string{0: "No.", 1: "Ada: No.", 2: "Ada and Bob: No.", 5: "Ada, Bob, Chloé, Daan and Eva: No.", 7: "Ada, Bob, Chloé, Daan, Eva and 2 people more: No."} {
		if got := f.of(ids[:n], "No."); got != want {
			t.Errorf("of %d: got %q, want %q", n, got, want)
		}
	}
	if got := f.of([]access.UserID{"who is gone"}, "No."); got != "No." {
		t.Errorf("of somebody unknown: got %q", got)
	}
}

// What a form says that no page has sent is refused, and nothing changes.
// TestReviewersAreTold holds that whoever is given a review gets a mail then, and one
// more before it is due, however many replicas look.
func TestReviewersAreTold(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		box := g.withMail()
		g.console.url = g.server.URL + "/"
		mails := func(n int) []mail.ShownMessage {
			t.Helper()
			for deadline := time.Now().Add(time.Minute); len(box.Messages()) < n; {
				if time.Now().After(deadline) {
					t.Fatalf("%d mails, want %d", len(box.Messages()), n)
				}
			}
			return box.Messages()
		}
		remind := func() {
			var replicas sync.WaitGroup
			for range 4 {
				replicas.Go(func() { g.console.remind(t.Context()) })
			}
			replicas.Wait()
		}
		uithof, zeeland := "site/"+string(g.sites["uithof"]), "site/"+string(g.sites["zeeland"])
		form := g.startReview(sam, uithof, "reviewer", ada, "due", "2026-12-10")
		g.startReview(ada, zeeland, "reviewer", ada, "due", "2026-12-10") // she knows
		first := mails(1)
		if m := first[0]; len(first) != 1 || m.To != ada || m.Subject != "Access review of Uithof, to be decided by 10 Dec 2026" ||
			!strings.Contains(m.Text, "Hello Ada Byron") || !strings.Contains(m.Text, "Sam de Vries asks you") || !strings.Contains(m.Text, g.server.URL+form+"\n") {
			t.Errorf("told by %+v", first)
		}
		queued := func(want int) {
			t.Helper()
			g.snapshot() // opens the database beside the store
			if ever := g.rows(`SELECT id FROM mails`); len(ever) != want {
				t.Errorf("%d mails were ever queued, want %d", len(ever), want)
			}
		}
		remind()
		queued(1) // it is 18 days until then
		g.later(16 * 24 * time.Hour)
		remind()
		all := mails(3)
		remind()
		g.later(24 * time.Hour)
		remind()
		about := map[string]int{}
		for _, m := range all[:2] {
			about[m.Subject]++
		}
		if about["The access review of Uithof is due on 10 Dec 2026"] != 1 || about["The access review of Zeeland is due on 10 Dec 2026"] != 1 {
			t.Errorf("reminded by %v", about)
		}
		queued(3)
	})
}

func TestReviewFormsThatLie(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	form := g.startReview(sam, "site/"+string(g.sites["uithof"]))
	full := g.decide(sam, form, map[string]string{daan: "moved"})
	page := g.get(sam, full)
	action, daansDecision := page.Find("#impact form").AttrOr("action", ""), "d."+string(g.users[daan])+"="
	agreed := url.Values{}
	page.Find("#impact form input").Each(func(_ int, input *goquery.Selection) { agreed.Set(input.AttrOr("name", ""), input.AttrOr("value", "")) })
	for why, c := range map[string]struct {
		action string
		status int
	}{
		"a decision turned round":      {strings.Replace(action, daansDecision+sayRemove, daansDecision+sayKeep, 1), 409},
		"another reason":               {strings.Replace(action, "=moved", "=promoted", 1), 409},
		"a decision left out":          {strings.Replace(action, daansDecision+sayRemove, daansDecision, 1), 400},
		"a decision that is none":      {strings.Replace(action, daansDecision+sayRemove, daansDecision+"approve", 1), 400},
		"about somebody not in it":     {action + "&d." + string(g.users["noor.mulder@waterland.example"]) + "=" + sayRemove, 400},
		"about an id that is none":     {action + "&d.x=" + sayRemove, 400},
		"a reason too long":            {action + "&why." + string(g.users[sam]) + "=" + strings.Repeat("x", 301), 400},
		"a reason that turns":          {action + "&why." + string(g.users[sam]) + "=%E2%80%AEx", 400},
		"another review's, not there":  {strings.Replace(action, "/reviews/0", "/reviews/1", 1), 404},
		"all decisions of another one": {form, 400},
	} {
		if got := g.post(sam, c.action, agreed); got.status != c.status || len(g.grantsOf(daan)) != 0 || !g.reviewOf(strings.TrimSuffix(form, "/decide")).Open() {
			t.Errorf("%s: status %d, want %d and nothing done: %s", why, got.status, c.status, got.text("h1"))
		}
	}
	record := strings.TrimSuffix(form, "/decide")
	if got := g.post(sam, record+"/withdraw", url.Values{"why": {"a mistake"}}); got.status != 303 {
		t.Fatalf("withdrawn: status %d", got.status)
	}
	if text := g.get(sam, record).text("#people"); !strings.Contains(text, "no decision") || strings.Contains(text, "yet") {
		t.Errorf("the record of a withdrawn one says: %s", text)
	}
	if got := g.post(sam, action, agreed); got.status != 409 || len(g.grantsOf(daan)) != 0 {
		t.Errorf("decided after it was withdrawn: status %d, want 409", got.status)
	}
	if got := g.post(ada, record+"/withdraw", nil); got.status != 409 {
		t.Errorf("withdrawn twice: status %d, want 409", got.status)
	}
	if got := g.get(sam, form); got.header.Get("Location") != record {
		t.Errorf("the form of one that has ended leads to %q, want its record", got.header.Get("Location"))
	}
}

// inside does something once, as soon as a function of this program asks what time it
// is: whatever comes in between there.
func (g *rig) inside(function string, do func()) {
	var f func()
	f = func() {
		var callers [32]uintptr
		for frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers[:])]); ; {
			frame, more := frames.Next()
			if strings.HasSuffix(frame.Function, function) && g.ticked.CompareAndSwap(&f, nil) {
				do()
			}
			if !more {
				return
			}
		}
	}
	g.ticked.Store(&f)
}

// Two who decide at the same time: the second is told so, whatever has become of what
// the review is about.
func TestTwoReviewersAtOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		give := func() { g.grant(g.toUser(noor, "clicktime", "client", g.at("uithof"))) }
		give()
		form := g.startReview(sam, "role/clicktime/client")
		sams, adas := g.get(sam, g.decide(sam, form, map[string]string{noor: "left"})), g.get(ada, g.decide(ada, form, map[string]string{noor: ""}))
		g.inside("review.Today", func() {
			if got := g.press(sam, sams); got.status != 303 {
				t.Errorf("the first: status %d: %s", got.status, got.text("main"))
			}
		})
		if got := g.press(ada, adas); got.status != 409 || !strings.Contains(got.text("main"), "Nothing of yours was saved") {
			t.Errorf("the second: status %d: %s", got.status, got.text("main"))
		}
		if v := g.reviewOf(strings.TrimSuffix(form, "/decide")); v.EndedBy != string(g.users[sam]) || v.Removed != 1 {
			t.Errorf("the review is %+v, want what the first decided", v)
		}

		// Somebody takes away what was to be removed.
		give()
		form = g.startReview(sam, "role/clicktime/client")
		sams = g.get(sam, g.decide(sam, form, map[string]string{noor: "left"}))
		g.inside("review.Today", func() {
			g.write(func(tx *store.Tx) error { return tx.EndGrants(t.Context(), g.grantsOf(noor)[0].ID) })
		})
		if got := g.press(sam, sams); got.status != 409 || !strings.Contains(got.text("main"), "nothing was saved") {
			t.Errorf("what was to be removed is gone: status %d: %s", got.status, got.text("main"))
		}
		if !g.reviewOf(strings.TrimSuffix(form, "/decide")).Open() {
			t.Error("the review has ended without a decision")
		}
	})
}

// Who decides about their own access is told so, and so is whoever reads the record.
func TestReviewOfOnesOwnAccess(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	form := g.startReview(ada, "product/console")
	record := strings.TrimSuffix(form, "/decide")
	const own = "This is your own access"
	for _, who := range []string{sam, ada} {
		for name, card := range g.get(who, form).asked() {
			if strings.Contains(card, own) != (name == map[string]string{sam: "Sam de Vries", ada: "Ada Byron"}[who]) {
				t.Errorf("%s reads of %s: %s", who, name, card)
			}
		}
	}
	if got := g.press(ada, g.get(ada, g.decide(ada, form, nil))); got.status != 303 {
		t.Fatalf("saved: status %d: %s", got.status, got.text("main"))
	}
	rows, file := g.get(chloe, record).Find("#people tbody tr"), g.get(chloe, record+"/decisions.csv").body
	if rows.Length() == 0 || strings.Count(rows.Text(), "kept, by whom it is about") != 1 || !strings.Contains(rows.FilterFunction(func(_ int, row *goquery.Selection) bool {
		return strings.Contains(row.Text(), ada)
	}).Text(), "kept, by whom it is about") {
		t.Errorf("the record says: %s", rows.Text())
	}
	if strings.Count(file, "kept, by whom it is about") != 1 || !strings.Contains(file, ",Decision,Reason,Decided by,") {
		t.Errorf("the file says: %s", file)
	}
}

// Who had the same as at the last review when this one was started, and has more now,
// isn't confirmed with those who do.
func TestWhoGetsMoreMeanwhileIsAskedAbout(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		of := "role/clicktime/client"
		g.grant(g.toUser(noor, "clicktime", "client", g.at("uithof")), g.toUser(sofie, "clicktime", "client", g.at("uithof")))
		if got := g.press(sam, g.get(sam, g.decide(sam, g.startReview(sam, of), nil))); got.status != 303 {
			t.Fatalf("the first: status %d", got.status)
		}
		form := g.startReview(sam, of)
		full := g.decide(sam, form, nil)
		page := g.get(sam, full)
		g.grant(g.toUser(noor, "clicktime", "client", g.at("zeeland")))
		if asked := g.get(sam, form).asked(); len(asked) != 1 || !strings.Contains(asked["Noor Mulder"],
			"Now it is ClickTime: Client @ Uithof (by a grant of their own) and ClickTime: Client @ Zeeland (by a grant of their own)") {
			t.Errorf("asked about %q, want Noor with what she has now", asked)
		}
		if got := g.press(sam, page); got.status != 400 || !g.reviewOf(strings.TrimSuffix(form, "/decide")).Open() {
			t.Errorf("confirmed as the same: status %d: %s", got.status, got.text("#impact"))
		}
		if got := g.press(sam, g.get(sam, g.decide(sam, form, map[string]string{noor: "one is enough"}))); got.status != 303 || len(g.grantsOf(noor)) != 0 || len(g.grantsOf(sofie)) != 1 {
			t.Errorf("removed: status %d, Noor has %+v", got.status, g.grantsOf(noor))
		}
	})
}

// A review of what was removed leads to where it can be withdrawn, from wherever one
// comes.
func TestReviewOfWhatIsGone(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	g.hotline()
	g.grant(g.toUser(noor, "hotline", "case handler/2", access.Scope{Everywhere: true}))
	form := g.startReview(sam, scopeText(store.ReviewScope{Product: "hotline", Role: "case handler/2"}))
	record := strings.TrimSuffix(form, "/decide")
	full := g.get(sam, g.decide(sam, form, nil))
	if page := g.get(sam, record); page.Find(".flash.bad").Length() != 0 || page.Find("main .primary").Length() != 1 {
		t.Errorf("while it is there: %s", page.text("main"))
	}
	g.write(func(tx *store.Tx) error {
		if err := tx.EndGrants(t.Context(), g.grantsOf(noor)[0].ID); err != nil {
			return err
		}
		return tx.RemoveProduct(t.Context(), "hotline")
	})
	if href := g.get(sam, "/reviews").Find("#open tbody a").AttrOr("href", ""); href != record {
		t.Errorf("the list leads to %q, want %q", href, record)
	}
	if got := g.get(sam, form); got.status != 303 || got.header.Get("Location") != record {
		t.Errorf("the form: status %d to %q, want %q", got.status, got.header.Get("Location"), record)
	}
	if got := g.press(sam, full); got.status != 409 {
		t.Errorf("saved: status %d, want 409", got.status)
	}
	page := g.get(sam, record)
	if !strings.Contains(page.text(".flash.bad"), "Withdraw the review") || page.Find("main .primary").Length() != 0 {
		t.Errorf("the record says: %s", page.text("main"))
	}
	if got := g.post(sam, page.Find("main form").Last().AttrOr("action", ""), nil); got.status != 303 || g.reviewOf(record).Open() {
		t.Errorf("withdrawn: status %d", got.status)
	}
}

// Too much to look at is said, with what to look at instead.
func TestLargeReviews(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for i := range 15 {
		userName := fmt.Sprintf("temp%02d@waterland.example", i)
		g.write(func(tx *store.Tx) error {
			u, err := tx.CreateUser(t.Context(), g.refs["Entra ID"], user(userName, "Temp "+fmt.Sprint(i), true))
			g.users[userName] = u.ID
			return err
		})
		g.grant(g.toUser(userName, "clicktime", "client", g.at("nieuwegein")))
	}
	got := g.get(sam, "/reviews/new?of=site/"+string(g.sites["utrecht"]))
	if text := got.text("#review-look"); !strings.Contains(text, "with more than 25 people stop looking") || !slices.Equal(got.texts("#review-look ul a"), []string{"Uithof", "Nieuwegein"}) {
		t.Errorf("a large one: %s", text)
	}
	for why, c := range map[string][2]string{
		"nobody there":       {"of=role/console/site-administrator&reviewer=nobody@waterland.example", "Nobody who is active has this user name"},
		"who may not decide": {"of=product/clicktime&reviewer=" + eva, "may not change access there"},
		"a day that is over": {"of=product/clicktime&due=2026-11-01", "Choose a day from today on"},
	} {
		if got := g.post(sam, "/reviews/new?"+c[0], nil); got.status != 400 || !strings.Contains(got.text("#review"), c[1]) {
			t.Errorf("%s: status %d: %s", why, got.status, got.text("#review"))
		}
	}
}
