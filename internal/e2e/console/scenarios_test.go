package console

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/browser"
	"gatehouse/store"

	"github.com/PuerkitoBio/goquery"
)

// A scenario is what somebody comes to the console for: how it is done, and in how
// many clicks at most, with script and without.
type scenario struct {
	what string
	// most clicks with script, and without.
	most, plain int
	// who does it; "" is somebody who isn't signed in.
	who string
	do  func(t *testing.T, h *house, p *browser.Page, script bool)
	// at is where, if it isn't the demo.
	at func(t *testing.T) *house
}

var scenarios = []scenario{
	{"give two people who are ticked a role at a site, and undo it", 8, 9, sam, giveMany, nil},
	{"map a new group to a role at two sites", 5, 6, sam, mapAGroup, nil},
	{"see why Alice may be in Utrecht", 3, 3, sam, whyAlice, nil},
	{"the same by keys alone", 0, 0, sam, whyAliceByKeys, nil},
	{"connect Entra, from nothing to its first request", 5, 5, "", connectEntra, newHouse},
	{"invite a technician to one site for 30 days", 4, 4, sam, inviteATechnician, nil},
	{"from the red badge to the cause and whom it met", 2, 2, sam, followTheBadge, nil},
	{"say as a file who was owner of a site on a day", 4, 4, chloe, whoWasOwner, oldHouse},
	{"undo a wrong mapping, seeing the effect first", 2, 2, sam, undoAMapping, nil},
	{"review 25 people of a site, seven of them one by one", 10, 10, sam, reviewASite, nil},
}

// TestScenarios does what people come for as they would, and counts.
func TestScenarios(t *testing.T) {
	t.Parallel()
	var rows [][]string
	t.Run("scenario", func(t *testing.T) {
		for _, script := range []bool{true, false} {
			h := demo(t)
			h.furnish(t)
			for _, s := range scenarios {
				name := s.what
				if !script {
					name += ", without script"
				}
				t.Run(name, func(t *testing.T) {
					if s.most == 0 && !script {
						return // its keys are the script's
					}
					h := h
					if s.at != nil {
						h = s.at(t)
					}
					p := chrome.Page(t, h.url)
					if s.who != "" {
						p = h.visit(t, s.who)
					}
					if !script {
						p.WithoutScript()
						s.most = s.plain
					}
					begin := time.Now()
					s.do(t, h, p, script)
					p.Clean()
					rows = append(rows, []string{fmt.Sprintf("%d clicks", p.Clicks), fmt.Sprintf("%d keys", p.Keys), fmt.Sprintf("at most %d clicks", s.most),
						fmt.Sprintf("%.1f s", time.Since(begin).Seconds()), name})
					if p.Clicks > s.most {
						t.Errorf("%d clicks, want at most %d", p.Clicks, s.most)
					}
				})
			}
		}
	})
	report(t, "what people come for:", rows)
}

// newcomer is the group that nobody has mapped yet, and the two sites that it is to
// be mapped at.
const newcomer = "Utrecht newcomers"

// newGroup lets a provider push a group with Alice in it.
func newGroup(t *testing.T, h *house, name string) {
	t.Helper()
	c, err := h.ConnectionNamed(t.Context(), h.tenant.ID, "entra")
	if err != nil {
		t.Fatal(err)
	}
	member := h.user(t, alice)
	h.write(t, func(ctx context.Context, tx *store.Tx) error {
		doc := fmt.Appendf(nil, `{"displayname":%q}`, store.Fold(name))
		_, _, err := tx.CreateGroup(ctx, c.Ref(), store.Group{DisplayName: name, Doc: doc, Search: doc}, []store.MemberID{store.MemberID(member)})
		return err
	})
}

func mapAGroup(t *testing.T, h *house, p *browser.Page, script bool) {
	newGroup(t, h, newcomer)
	p.Open("/groups?q=newcomers")
	p.Follow("link", "Map "+newcomer)
	chooseRole(p, script)
	p.Click("checkbox", "Midden…")
	p.Click("checkbox", "Noordoost…")
	if !script {
		p.Follow("button", "Preview")
	}
	p.Wait(`(ticks => ticks.length === 2 && ticks.every(t => location.search.includes(t.value)))([...document.querySelectorAll("#editor [type=checkbox]:checked")])`)
	p.WaitText("Alice Jansen")
	p.WaitText("1 person gains access")
	p.Follow("button", "Save: give…")
	p.WaitText("It is in effect now")
	if got := granted(t, h, newcomer); len(got) != 1 || len(got[0].Scope.Sites["region"].Sites) != 2 {
		t.Errorf("the group has %+v, want one grant at two sites", got)
	}
}

func giveMany(t *testing.T, h *house, p *browser.Page, script bool) {
	p.Open("/people")
	p.Click("checkbox", "Choose Alice…")
	p.Click("checkbox", "Choose Daan…")
	p.Follow("button", "Give a role…")
	p.WaitText("2 people: Alice Jansen")
	chooseRole(p, script)
	p.Click("checkbox", "Midden…")
	if !script {
		p.Follow("button", "Preview")
	}
	p.WaitText("people gain access")
	p.Follow("button", "Save: give…")
	p.WaitText("It is in effect now")
	p.Follow("link", "Undo")
	p.WaitText("2 people lose access")
	p.Follow("button", "Save: take…")
	p.WaitText("Undone. It is in effect now")
}

// chooseRole chooses one. With script the page shows the sites of its product alone
// then; without, it has those of all.
func chooseRole(p *browser.Page, script bool) {
	p.Click("radio", "Gebruikersbeheer…")
	if script {
		p.Wait(`location.search.includes("gebruikersbeheer")`)
	}
	p.WaitText("Noordoost")
}

// granted are the grants of a group.
func granted(t *testing.T, h *house, group string) (found []access.Grant) {
	t.Helper()
	now, err := h.Snapshot(t.Context(), h.tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range now.Grants {
		if now.Groups[g.Subject.Group].Name == group {
			found = append(found, g)
		}
	}
	return found
}

func whyAlice(t *testing.T, _ *house, p *browser.Page, script bool) {
	p.Open("/people?q=alice")
	p.Follow("link", "Alice Jansen")
	p.WaitText("Province of Utrecht")
	p.WaitText("Supervisor")
}

func whyAliceByKeys(t *testing.T, _ *house, p *browser.Page, _ bool) {
	p.Open("/")
	p.Press("k", browser.Control)
	p.Wait(`document.getElementById("palette").open`)
	p.Type("alice jan")
	p.Wait(`performance.getEntriesByType("resource").some(e => e.name.endsWith("q=alice+jan"))`) // not what came of less
	p.Still()
	p.Wait(`document.querySelector("#palette #found a") !== null && document.querySelector("#palette #found a").innerText.includes("Alice Jansen")`)
	p.Press(browser.Down)
	p.PressToFollow(browser.Enter)
	p.WaitText("Province of Utrecht")
	if p.Keys > 12 {
		t.Errorf("%d keys, want at most 12", p.Keys)
	}
}

func undoAMapping(t *testing.T, h *house, p *browser.Page, script bool) {
	const wrong = "Wrong crowd"
	newGroup(t, h, wrong)
	p.Open("/groups?q=wrong")
	p.Follow("link", "Map "+wrong)
	chooseRole(p, script)
	p.Click("checkbox", "Midden…")
	if !script {
		p.Follow("button", "Preview")
	}
	p.Follow("button", "Save…")
	p.WaitText("It is in effect now")
	p.Clicks = 0 // the mistake is made
	p.Follow("link", "Undo")
	p.WaitText("Alice Jansen")
	p.Follow("button", "Save…")
	p.WaitText("Undone")
	if got := granted(t, h, wrong); len(got) != 0 {
		t.Errorf("the group still has %+v", got)
	}
}

// depot is the site that is reviewed, with how many have something there and how many
// of them are to be decided about one by one.
const (
	depot      = "Depot"
	atDepot    = 25
	oneByOne   = 7
	newAtDepot = "Night shift"
)

// reviewDepot has a site reviewed once, changes what some have there, and starts the
// next review. It gives the names of those who are to be decided about, and one of them
// who has it by groups.
func reviewDepot(t *testing.T, h *house) (asked []string, member string) {
	t.Helper()
	c, err := h.ConnectionNamed(t.Context(), h.tenant.ID, "entra")
	if err != nil {
		t.Fatal(err)
	}
	now, err := h.Snapshot(t.Context(), h.tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	site := access.SiteID("")
	// Who administers the console everywhere has something at every site.
	admins, members := map[access.UserID]bool{}, []store.MemberID{}
	for _, g := range now.Grants {
		if g.Product == access.ConsoleID && g.Subject.User != "" && g.Scope.Everywhere {
			admins[g.Subject.User] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(now.Facts.People)) {
		person := now.Facts.People[id]
		if now.Users[id].Connection == c.Name && person.Live(h.Now()) && !admins[id] && len(members)+len(admins) < atDepot {
			members = append(members, store.MemberID(id))
		}
	}
	group := func(tx *store.Tx, name string, members []store.MemberID) error {
		doc := fmt.Appendf(nil, `{"displayname":%q}`, store.Fold(name))
		g, _, err := tx.CreateGroup(t.Context(), c.Ref(), store.Group{DisplayName: name, Doc: doc, Search: doc}, members)
		if err != nil {
			return err
		}
		_, err = tx.AddGrants(t.Context(), access.Grant{Subject: access.Grantee{Group: access.GroupID(g.ID)}, Effect: access.Allow, Product: "locks", Role: "key", Origin: access.OriginMapping,
			Scope: access.Scope{Sites: map[access.DimensionID]access.Selection{"building": {Sites: []access.SiteID{site}}}}})
		return err
	}
	h.write(t, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.SetDimension(ctx, access.Dimension{ID: "building", Name: "Buildings"}); err != nil {
			return err
		}
		made, err := tx.AddSites(ctx, access.Site{ID: store.NewSiteID(), Dimension: "building", Key: "depot", Name: depot})
		if err != nil {
			return err
		}
		site = made[0].ID
		err = tx.SetProduct(ctx, access.Product{ID: "locks", Name: "Locks", Dimensions: []access.DimensionID{"building"}, Permissions: []access.Permission{{ID: "open", Name: "Open"}},
			Roles: []access.Role{{ID: "key", Name: "Key", Permissions: map[access.PermissionID]access.Level{"open": access.LevelAllow}}}})
		if err != nil {
			return err
		}
		return group(tx, "Day shift", members)
	})
	form := h.startReview(t, site)
	h.keepAll(t, form)
	h.write(t, func(ctx context.Context, tx *store.Tx) error {
		return group(tx, newAtDepot, members[:oneByOne-len(admins)])
	})
	page := h.get(t, sam, h.startReview(t, site))
	asked = page.Find("#decide a.big").Map(func(_ int, a *goquery.Selection) string { return a.Text() })
	if same := page.Find("#decide details li").Length(); len(asked) != oneByOne || same != atDepot-oneByOne {
		t.Fatalf("%d are asked about and %d are not, want %d and %d: %q", len(asked), same, oneByOne, atDepot-oneByOne, asked)
	}
	return asked, now.Users[access.UserID(members[0])].DisplayName
}

// startReview starts the review of a site, and gives the address of its form.
func (h *house) startReview(t *testing.T, site access.SiteID) string {
	t.Helper()
	started := h.submit(t, "/reviews/new?of=site/"+string(site), nil)
	if started.status != http.StatusSeeOther {
		t.Fatalf("start a review: status %d: %s", started.status, started.Find("main").Text())
	}
	return started.header.Get("Location")
}

// keepAll decides that everybody keeps what they have.
func (h *house) keepAll(t *testing.T, form string) {
	t.Helper()
	query := url.Values{}
	h.get(t, sam, form).Find("#decide input[value=keep], #decide input[name=same]").Each(func(_ int, input *goquery.Selection) {
		query.Set(input.AttrOr("name", ""), input.AttrOr("value", ""))
	})
	page, body := h.get(t, sam, h.submit(t, "/drafts?for="+form, query).header.Get("Location")), url.Values{}
	page.Find("#impact form input").Each(func(_ int, input *goquery.Selection) { body.Set(input.AttrOr("name", ""), input.AttrOr("value", "")) })
	if saved := h.submit(t, page.Find("#impact form").AttrOr("action", ""), body); saved.status != http.StatusSeeOther {
		t.Fatalf("keep all: status %d: %s", saved.status, saved.Find("#impact").Text())
	}
}

// submit sends a form as Sam's browser would.
func (h *house) submit(t *testing.T, path string, form url.Values) document {
	t.Helper()
	return h.do(t, sam, "POST", path, form.Encode(), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Origin": {h.url}})
}

// reviewASite decides about seven of 25 people, and confirms the others together.
func reviewASite(t *testing.T, h *house, p *browser.Page, script bool) {
	asked, leaver := reviewDepot(t, h)
	p.Open("/reviews")
	p.Follow("link", depot)
	for _, name := range asked {
		if name == leaver {
			p.Click("radio", "Deny it here "+name)
			continue
		}
		p.Click("radio", "Keep "+name)
	}
	if script {
		p.Click("checkbox", "I have looked at these 18 people…")
	} else {
		p.Follow("button", "Preview, and confirm the other 18")
	}
	p.WaitText("1 person loses access")
	p.WaitText("24 people stay as they are")
	p.Follow("button", "Save: take access from 1 person")
	p.WaitText("The review is finished")
	p.WaitText("24 kept, 1 removed")
	now, err := h.Snapshot(t.Context(), h.tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	denied := slices.DeleteFunc(now.Grants, func(g access.Grant) bool { return g.Product != "locks" || g.Effect != access.Deny })
	if len(denied) != 1 || now.Users[denied[0].Subject.User].DisplayName != leaver || denied[0].Reason != "Access review of "+depot {
		t.Errorf("denied are %+v, want %s at %s", denied, leaver, depot)
	}
}

// newHouse is a server that was started for the first time.
func newHouse(t *testing.T) *house {
	t.Helper()
	database := filepath.Join(t.TempDir(), "gatehouse.db")
	return start(t, database, "--database-url=sqlite://"+database, "serve", "--listen=127.0.0.1:0")
}

func connectEntra(t *testing.T, h *house, p *browser.Page, script bool) {
	var secret string
	err := h.Write(t.Context(), store.Actor{Tenant: h.tenant.ID, Kind: store.ActorSystem}, func(tx *store.Tx) (err error) {
		_, secret, err = tx.CreateSetup(t.Context())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Open("/setup?code=" + url.QueryEscape(secret))
	p.Click("textbox", "Your name")
	p.Type("Grace Hopper")
	p.Follow("button", "Become the owner")
	p.Open("/")
	p.Clicks, p.Keys = 0, 0 // she is there

	next := "Sync"
	if !script {
		next = "Connect an identity provider" // the first of the tasks that the overview has
	}
	p.Follow("link", next)
	if script {
		p.Follow("link", "Connect an identity provider")
	}
	p.Follow("button", "Microsoft Entra ID")
	p.WaitText("Waiting for the first request")
	copyValues(p, script)
	if !script {
		h.firstRequest(t, p)
		h.awaitRequest(t, "Microsoft Entra ID") // nobody is quicker than the recorder
		p.Follow("link", "Look again")
		p.WaitText("Received GET")
		return
	}
	var took time.Duration
	for clicks := p.Clicks; ; p.Clicks = clicks {
		asked := time.Now()
		h.firstRequest(t, p)
		p.WaitText("Received GET")
		took = time.Since(asked)
		others, err := h.Connections(t.Context(), h.tenant.ID)
		if err != nil {
			t.Fatal(err)
		}
		if took <= 3*time.Second || len(others) == 3 {
			break
		}
		// A machine may stand still for a moment, but not time and again.
		p.Open("/sync")
		p.Follow("link", "Connect an identity provider")
		p.Follow("button", "Microsoft Entra ID")
		p.WaitText("Waiting for the first request")
	}
	if took > 3*time.Second {
		t.Errorf("the page says so after %v, three times, want at most 3 s", took)
	}
}

// firstRequest asks what Entra asks first, with what the page of the guide shows.
func (h *house) firstRequest(t *testing.T, p *browser.Page) {
	t.Helper()
	values := browser.Eval[[]string](p, shownValues)
	answer := h.do(t, "", "GET", strings.TrimPrefix(values[0], h.url)+`/Users?filter=userName+eq+%22nobody%22`, "", http.Header{"Authorization": {"Bearer " + values[1]}})
	if answer.status != 200 {
		t.Fatalf("Entra's test of %s is answered %d: %s", values[0], answer.status, answer.Text())
	}
}

// awaitRequest waits until a request of a connection is written down.
func (h *house) awaitRequest(t *testing.T, connection string) {
	t.Helper()
	c, err := h.ConnectionNamed(t.Context(), h.tenant.ID, connection)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(browser.Patience); ; time.Sleep(10 * time.Millisecond) {
		found, err := h.Requests(t.Context(), c.Ref(), store.RequestQuery{Limit: 1})
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("no request of %s was written down: %v", connection, err)
		}
		if len(found) > 0 {
			return
		}
	}
}

// shownValues are the two values that a page of the guide has to copy.
const shownValues = `[...document.querySelectorAll(".copy code")].map(c => c.innerText)`

// copyValues copies them. Whoever has no script marks each with a click.
func copyValues(p *browser.Page, script bool) {
	values := browser.Eval[[]string](p, shownValues)
	if !script {
		p.Clicks += len(values)
		return
	}
	// The buttons say so for two seconds.
	browser.Eval[bool](p, `window.saidCopied = 0, new MutationObserver(all => { for (const m of all) saidCopied += m.target.textContent === "Copied"; })
		.observe(document.body, {subtree: true, childList: true}), true`)
	for i := range values {
		p.Click("button", "Copy") // which is called otherwise then
		p.Wait(fmt.Sprintf("saidCopied > %d", i))
	}
}

func inviteATechnician(t *testing.T, h *house, p *browser.Page, script bool) {
	email := fmt.Sprintf("jan.%v@klus.example", script)
	p.Open("/invitations")
	p.Follow("link", "Invite somebody")
	p.Type(email)
	p.Click("radio", "Supervisor ClickTime")
	if script {
		p.Wait(`location.search.includes("supervisor")`)
	}
	p.Click("checkbox", "Uithof campus…")
	if !script {
		p.PressToFollow(browser.Enter) // as in any form
	}
	p.WaitText("1 person gains access")
	p.WaitText("Uithof campus")
	p.Follow("button", "Send the invitation")
	p.WaitText(email)
	all, err := h.Invitations(t.Context(), h.tenant.ID, store.InvitationQuery{})
	if err != nil || len(all) == 0 {
		t.Fatalf("%d invitations: %v", len(all), err)
	}
	one := all[0]
	if days := one.AccountEnds.Sub(h.Now()).Hours() / 24; one.Email != email || days < 30 || days > 31 {
		t.Errorf("invited %s for %.1f days, want %s for 30", one.Email, days, email)
	}
	if scope := one.Grants[0].Scope.Sites; len(scope["site"].Sites) != 1 || scope["site"].All || !scope["team"].All {
		t.Errorf("invited to %+v, want one site and all its teams", scope)
	}
}

func followTheBadge(t *testing.T, h *house, p *browser.Page, _ bool) {
	c, err := h.ConnectionNamed(t.Context(), h.tenant.ID, "okta")
	if err != nil {
		t.Fatal(err)
	}
	var token string
	h.write(t, func(ctx context.Context, tx *store.Tx) (err error) {
		_, token, err = tx.CreateToken(ctx, c, h.Now().Add(time.Hour))
		return err
	})
	taken := `{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"Ada.Byron@dijkwerk.example"}`
	for range 3 {
		answer := h.do(t, "", "POST", "/scim/"+string(c.ID)+"/v2/Users", taken, http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/scim+json"}})
		if answer.status != http.StatusConflict {
			t.Fatalf("a user name that is taken: status %d", answer.status)
		}
	}
	// The other one is that of the company's furniture.
	for deadline := time.Now().Add(browser.Patience); !p.Has("link", "Sync 2 with failed requests"); p.Open("/") {
		if time.Now().After(deadline) {
			t.Fatal("there is no badge")
		}
	}
	p.Follow("link", "Sync 2 with failed requests")
	p.Follow("link", "The userName is taken")
	p.WaitText("Whom it is about")
	p.WaitText("Ada Byron")
	p.WaitText("Application username format") // where to change it at Okta
}

// oldHouse is a server whose company is a year old: Bob and Ada owned its site at Breda
// until the middle of March, when Ada left and Alice came.
func oldHouse(t *testing.T) *house {
	t.Helper()
	database := filepath.Join(t.TempDir(), "gatehouse.db")
	command(t, database, "migrate")
	clock := time.Date(2026, 2, 1, 9, 0, 0, 0, time.UTC)
	st, err := store.Open(t.Context(), "sqlite://"+database, store.Options{Now: func() time.Time { return clock }})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	tenant, err := st.EnsureTenant(t.Context(), store.Actor{Kind: store.ActorSystem}, store.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	write := func(f func(ctx context.Context, tx *store.Tx) error) {
		t.Helper()
		actor := store.Actor{Tenant: tenant.ID, Kind: store.ActorCLI, ID: "grace"}
		if err := st.Write(t.Context(), actor, func(tx *store.Tx) error { return f(t.Context(), tx) }); err != nil {
			t.Fatal(err)
		}
	}
	var entra store.Connection
	users, breda := map[string]store.UserID{}, store.NewSiteID()
	write(func(ctx context.Context, tx *store.Tx) (err error) {
		if entra, err = tx.CreateConnection(ctx, "Entra", store.IdPEntra); err != nil {
			return err
		}
		for userName, name := range map[string]string{sam: "Sam de Vries", chloe: "Chloé Martin", ada: "Ada Byron", bob: "Bob Okafor", alice: "Alice Jansen"} {
			doc := fmt.Appendf(nil, `{"userName":%q,"displayName":%q}`, userName, name)
			u, err := tx.CreateUser(ctx, entra.Ref(), store.User{UserName: userName, DisplayName: name, Active: true, Doc: doc, Search: fmt.Appendf(nil, `{"username":%q}`, userName)})
			if err != nil {
				return err
			}
			users[userName] = u.ID
		}
		if err := tx.SetDimension(ctx, access.Dimension{ID: "site", Name: "Sites"}); err != nil {
			return err
		}
		if _, err := tx.AddSites(ctx, access.Site{ID: breda, Dimension: "site", Key: "breda", Name: "Breda"}, access.Site{ID: store.NewSiteID(), Dimension: "site", Key: "tilburg", Name: "Tilburg"}); err != nil {
			return err
		}
		return tx.SetProduct(ctx, access.Product{ID: "clicky", Name: "Clicky", Levels: []access.Level{access.LevelAllow}, Dimensions: []access.DimensionID{"site"},
			Permissions: []access.Permission{{ID: "edit"}}, Roles: []access.Role{{ID: "owner", Name: "Owner", Permissions: map[access.PermissionID]access.Level{"edit": access.LevelAllow}}}})
	})
	var owners store.Group
	write(func(ctx context.Context, tx *store.Tx) (err error) {
		doc := []byte(`{"displayname":"owners of breda"}`)
		owners, _, err = tx.CreateGroup(ctx, entra.Ref(), store.Group{DisplayName: "Owners of Breda", Doc: doc, Search: doc}, []store.MemberID{store.MemberID(users[bob]), store.MemberID(users[ada])})
		if err != nil {
			return err
		}
		console := func(userName string, role access.RoleID) access.Grant {
			return access.Grant{Subject: access.Grantee{User: access.UserID(users[userName])}, Effect: access.Allow, Product: access.ConsoleID, Role: role,
				Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect}
		}
		_, err = tx.AddGrants(ctx, access.ConsoleBaseline(""), console(sam, access.RoleOwner), console(chloe, access.RoleAuditor), access.Grant{
			Subject: access.Grantee{Group: access.GroupID(owners.ID)}, Effect: access.Allow, Product: "clicky", Role: "owner", Origin: access.OriginMapping,
			Scope: access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: []access.SiteID{breda}}}}})
		return err
	})
	clock = time.Date(2026, 3, 15, 9, 0, 0, 0, time.UTC)
	write(func(ctx context.Context, tx *store.Tx) error {
		_, _, err := tx.UpdateGroup(ctx, entra.Ref(), owners.ID, func(g store.Group) (store.Group, store.MemberDelta, error) {
			return g, store.MemberDelta{Add: []store.MemberID{store.MemberID(users[alice])}}, nil
		})
		if err != nil {
			return err
		}
		return tx.DeleteUser(ctx, entra.Ref(), users[ada])
	})
	return start(t, database, "--database-url=sqlite://"+database, "serve", "--listen=127.0.0.1:0")
}

func whoWasOwner(t *testing.T, _ *house, p *browser.Page, script bool) {
	p.Open("/")
	p.Follow("link", "People")
	p.Click("Date", "As it was on")
	p.Type("03012026")
	// On by Tab, past the day's parts and the button; letters choose.
	choose := func(name, letters, value string) {
		t.Helper()
		for range 8 {
			if browser.Eval[string](p, "document.activeElement.name || ''") == name {
				break
			}
			p.Press(browser.Tab)
		}
		chosen := fmt.Sprintf(`document.activeElement.name === %q && document.activeElement.selectedOptions[0].innerText === %q`, name, value)
		for range 10 {
			if p.Type(letters); browser.Eval[bool](p, chosen) {
				return
			}
			<-time.After(2 * time.Second) // letters that come late begin another word
		}
		t.Errorf("the letters %s don't lead to %s", letters, value)
	}
	choose("site", "Bre", "Breda")
	choose("role", "Clicky: O", "Clicky: Owner")
	if !script {
		p.Follow("button", "Show")
	}
	p.WaitText("2 people")
	p.WaitText("You see how it was on 1 Mar 2026")
	name, data := p.Download("link", "Download this list (CSV)")
	rows, err := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\ufeff")))).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Fatalf("%s has %d rows (%v), want a head and two people:\n%s", name, len(rows), err, data)
	}
	if who := []string{rows[1][0], rows[2][0]}; name != "people-2026-03-01.csv" || !slices.Equal(who, []string{"Ada Byron", "Bob Okafor"}) || rows[1][5] != "Clicky: Owner @ Breda" {
		t.Errorf("%s says %q, want Ada and Bob with what they had", name, rows)
	}
}

// TestQuickSavesShowThePanelAgain ticks a second site and saves before the panel can
// have followed: what it shows isn't what was chosen, so nothing is saved.
func TestQuickSavesShowThePanelAgain(t *testing.T) {
	t.Parallel()
	h := demo(t)
	newGroup(t, h, newcomer)
	p := h.visit(t, sam)
	p.Open("/groups?q=newcomers")
	p.Follow("link", "Map "+newcomer)
	chooseRole(p, true)
	p.Click("checkbox", "Midden…")
	p.WaitText("1 person gains access")
	second := `[...document.querySelectorAll("#editor [type=checkbox]")].find(box => box.labels[0].innerText.startsWith("Noordoost"))`
	browser.Eval[bool](p, second+`.click(), document.querySelector("#impact form button").click(), true`)
	p.WaitText("Not saved")
	p.Wait(second + `.checked`)
	if got := granted(t, h, newcomer); len(got) != 0 {
		t.Errorf("the group has %+v, want nothing before the panel has shown it", got)
	}
	p.Follow("button", "Save: give…")
	p.WaitText("It is in effect now")
	if got := granted(t, h, newcomer); len(got) != 1 || len(got[0].Scope.Sites["region"].Sites) != 2 {
		t.Errorf("the group has %+v, want one grant at two sites", got)
	}
	p.Clean()
}

// TestSigningInAtTheDemosProvider comes in as newcomers do: by one click.
func TestSigningInAtTheDemosProvider(t *testing.T) {
	t.Parallel()
	h := demo(t)
	issuer := ""
	providers, err := h.Providers(t.Context(), h.tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	p := chrome.Page(t, h.url)
	for _, one := range providers {
		issuer = strings.TrimSuffix(one.Issuer, "/")
		p.Allow(issuer)
	}
	if issuer == "" {
		t.Fatal("the demo has no provider")
	}
	p.Open("/people")
	p.Follow("link", "Ada Byron")
	p.WaitText("Alice Jansen") // where she wanted to go
	if at := p.Path(); at != "/people" || p.Clicks != 1 {
		t.Errorf("after %d clicks at %s, want one click and /people", p.Clicks, at)
	}
	p.Click("button", "Ada Byron")
	p.Follow("button", "Sign out")
	p.WaitText("You are signed out of Gatehouse and of") // there, and back again
	p.Open("/people")
	if at := p.Path(); !strings.HasPrefix(at, "/login") {
		t.Errorf("signed out, /people leads to %s, want the sign-in", at)
	}
	p.Clean()
}

// pictures are the screenshots of the documents, and what is done before each.
var pictures = []struct {
	file string
	do   func(t *testing.T, h *house, p *browser.Page)
}{
	{"overview.png", func(t *testing.T, _ *house, p *browser.Page) {
		p.Open("/")
		p.WaitText("2 identity providers, all well")
	}},
	{"people.png", func(t *testing.T, _ *house, p *browser.Page) { p.Open("/people") }},
	{"person.png", func(t *testing.T, h *house, p *browser.Page) { p.Open("/people/" + string(h.user(t, alice))) }},
	{"mapping.png", func(t *testing.T, h *house, p *browser.Page) {
		newGroup(t, h, newcomer)
		p.Size(1280, 1240) // the names are below the choices
		p.Open("/groups?q=newcomers")
		p.Follow("link", "Map "+newcomer)
		chooseRole(p, true)
		p.Click("checkbox", "Midden…")
		p.WaitText("1 person gains access")
	}},
	{"matrix.png", func(t *testing.T, _ *house, p *browser.Page) { p.Open("/matrix") }},
	{"explain.png", func(t *testing.T, h *house, p *browser.Page) {
		p.Open("/explain?product=clicktime&person=" + string(h.user(t, alice)))
	}},
	{"audit.png", func(t *testing.T, _ *house, p *browser.Page) { p.Open("/audit") }},
}

// mostPicture is how large one may be, in bytes.
const mostPicture = 150 << 10

// TestScreenshots looks after the pictures of docs/images: with -update it takes them
// anew, of the demo's company.
func TestScreenshots(t *testing.T) {
	const folder = "../../../docs/images/"
	if *update {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		h := demo(t)
		p := h.visit(t, sam)
		p.Scheme("light")
		for _, picture := range pictures {
			p.Size(1280, 800)
			picture.do(t, h, p)
			p.Shot(folder + picture.file)
		}
	}
	for _, picture := range pictures {
		info, err := os.Stat(folder + picture.file)
		if err != nil {
			t.Errorf("%v: run 'make screenshots'", err)
			continue
		}
		if info.Size() > mostPicture || info.Size() < 5000 {
			t.Errorf("%s has %d bytes, want at most %d and something to see", picture.file, info.Size(), mostPicture)
		}
	}
}
