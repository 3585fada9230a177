package console

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/browser"
	"gatehouse/store"

	"github.com/PuerkitoBio/goquery"
)

var update = flag.Bool("update", false, "write the screenshots of docs/images anew")

// What all tests share: the program, a browser, and where both are kept.
var (
	dir    string
	binary string
	chrome *browser.Browser
)

// A server of httptest that closes also closes what http.DefaultTransport calls idle, and an
// answer without a body is still on its way then: the client of a test beside it would fail.
func init() { http.DefaultTransport = struct{ http.RoundTripper }{http.DefaultTransport} }

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var err error
	if dir, err = os.MkdirTemp("", "gatehouse-console-"); err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	if chrome, err = browser.Start(); err != nil {
		return fail(err)
	}
	defer chrome.Close()
	binary = filepath.Join(dir, "gatehouse")
	build := exec.Command("go", "build", "-o", binary, "gatehouse/cmd/gatehouse")
	if output, err := build.CombinedOutput(); err != nil {
		return fail(fmt.Errorf("build gatehouse: %w\n%s", err, output))
	}
	return m.Run()
}

// startTimeout bounds how long the program may take to be there, the demo's company
// included, and stopTimeout how long to finish.
const (
	startTimeout = 2 * time.Minute
	stopTimeout  = 2 * time.Minute
)

// A house is a running program with its database.
type house struct {
	*store.Store
	url    string
	tenant store.Tenant
	actor  store.Actor
	routes []route
	mux    *http.ServeMux // of the routes' patterns

	secrets sync.Map // of the sessions, by userName
}

// route is one of the program's.
type route struct{ Method, Pattern, Access, Needs string }

// The people who visit, by what they may do.
const (
	sam   = "sam.devries@waterland.example"  // owns the tenant
	ada   = "ada.byron@waterland.example"    // administers access
	bob   = "bob.okafor@waterland.example"   // administers a site
	chloe = "chloe.martin@waterland.example" // may only look
	alice = "alice.jansen@waterland.example" // works there
	eva   = "eva.smit@waterland.example"     // is blocked, where a test furnishes
)

// demo starts the demo, with its sample company, for one test or for all that t's
// test runs.
func demo(t *testing.T) *house {
	t.Helper()
	data := t.TempDir()
	return start(t, filepath.Join(data, "gatehouse.db"), "demo", "--json", "--data="+data, "--listen=127.0.0.1:0")
}

// start starts the program and waits until it says where it is: the demo in its
// demo.json, the server in its log.
func start(t *testing.T, database string, args ...string) *house {
	t.Helper()
	cmd := exec.Command(binary, args...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start gatehouse: %v", err)
	}
	found, ended := make(chan string, 1), make(chan struct{})
	var mu sync.Mutex
	var said bytes.Buffer
	read := func(from io.Reader) {
		lines := bufio.NewScanner(from)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			mu.Lock()
			fmt.Fprintln(&said, lines.Text())
			mu.Unlock()
			var line struct {
				Msg, Addr string
				Console   string `json:"console_url"`
			}
			if json.Unmarshal(lines.Bytes(), &line) != nil {
				continue
			}
			if line.Msg == "listening" {
				line.Console = "http://" + line.Addr
			}
			if line.Console != "" {
				select {
				case found <- strings.TrimSuffix(line.Console, "/"):
				default: // another listener
				}
			}
		}
	}
	go func() {
		defer close(ended)
		var both sync.WaitGroup
		both.Go(func() { read(stdout) })
		both.Go(func() { read(stderr) })
		both.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may be gone: Wait says how
		kill := time.AfterFunc(stopTimeout, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		<-ended
		if err := cmd.Wait(); err != nil {
			t.Errorf("gatehouse ended: %v\n%s", err, &said)
		}
		if strings.Contains(said.String(), `"level":"ERROR"`) {
			t.Errorf("gatehouse logged an error:\n%s", &said)
		}
	})
	h := &house{mux: http.NewServeMux()}
	select {
	case h.url = <-found:
	case <-ended:
		t.Fatalf("gatehouse ended before it listened:\n%s", &said)
	case <-time.After(startTimeout):
		t.Fatal("gatehouse does not listen")
	}
	if h.Store, err = store.Open(t.Context(), "sqlite://"+database, store.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	if h.tenant, err = h.TenantNamed(t.Context(), store.DefaultTenant); err != nil {
		t.Fatal(err)
	}
	h.actor = store.Actor{Tenant: h.tenant.ID, Kind: store.ActorCLI, ID: "grace"}
	h.readRoutes(t)
	return h
}

// command runs the program on a database to its end and gives what it printed.
func command(t *testing.T, database string, args ...string) []byte {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), binary, append([]string{"--database-url=sqlite://" + database}, args...)...).Output()
	if err != nil {
		t.Fatalf("gatehouse %q: %v", args, err)
	}
	return output
}

// readRoutes asks the program for its routes.
func (h *house) readRoutes(t *testing.T) {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), binary, "routes", "--json").Output()
	if err == nil {
		err = json.Unmarshal(output, &h.routes)
	}
	if err != nil || len(h.routes) < 50 {
		t.Fatalf("gatehouse routes printed %d routes: %v", len(h.routes), err)
	}
	for _, r := range h.routes {
		if r.Method == "GET" {
			h.mux.Handle("GET "+r.Pattern, http.NotFoundHandler())
		}
	}
}

// pattern is the one of the route that a GET of an address reaches; "" if none does.
func (h *house) pattern(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	_, pattern := h.mux.Handler(&http.Request{Method: "GET", URL: u})
	return strings.TrimPrefix(pattern, "GET ")
}

func (h *house) write(t *testing.T, f func(ctx context.Context, tx *store.Tx) error) {
	t.Helper()
	if err := h.Write(t.Context(), h.actor, func(tx *store.Tx) error { return f(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

// user finds somebody of the company.
func (h *house) user(t *testing.T, userName string) store.UserID {
	t.Helper()
	now, err := h.Snapshot(t.Context(), h.tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	for id, user := range now.Users {
		if user.Name == userName {
			return store.UserID(id)
		}
	}
	t.Fatalf("there is nobody %s", userName)
	return ""
}

// hire gives somebody a role in the console everywhere, unless the demo did.
func (h *house) hire(t *testing.T, userName string, role access.RoleID) {
	t.Helper()
	h.write(t, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.AddGrants(ctx, access.Grant{Subject: access.Grantee{User: access.UserID(h.user(t, userName))}, Effect: access.Allow,
			Product: access.ConsoleID, Role: role, Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect})
		return err
	})
}

// furnish makes what the demo doesn't show by itself: somebody who has signed in with
// her provider and is blocked, a site that is archived, one that is reviewed, a mapping
// that sleeps, since its group was deleted and came back, and a request that was refused.
func (h *house) furnish(t *testing.T) {
	t.Helper()
	now, err := h.Snapshot(t.Context(), h.tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	blocked := h.user(t, eva)
	record, err := h.PersonRecord(t.Context(), h.tenant.ID, blocked)
	if err != nil {
		t.Fatal(err)
	}
	h.write(t, func(ctx context.Context, tx *store.Tx) error {
		from := store.ConnectionRef{Tenant: h.tenant.ID, ID: record.Connection}
		if _, err := tx.Link(ctx, from, "https://login.example/waterland/v2.0", "8d1f5c0e-2b7a-4f3d-9c66-0e5b7a1d2f48", store.LinkUserName, eva); err != nil {
			return err
		}
		_, err := tx.ChangePerson(ctx, blocked, func(p store.Person) store.Person { p.LoginAllowed = false; return p })
		return err
	})
	for _, site := range now.Catalogue.Sites {
		if site.Key == "zuid" {
			h.write(t, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.ChangeSite(ctx, site.ID, func(s access.Site) access.Site { s.Archived = true; return s })
				return err
			})
		}
		if site.Key == "uithof" {
			h.startReview(t, site.ID)
		}
	}
	connections, err := h.Connections(t.Context(), h.tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, grant := range now.Grants {
		group := now.Groups[grant.Subject.Group]
		i := slices.IndexFunc(connections, func(c store.Connection) bool { return c.Name == group.Connection })
		if i < 0 {
			continue
		}
		ref := connections[i].Ref()
		h.write(t, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.DeleteGroup(ctx, ref, store.GroupID(grant.Subject.Group)); err != nil {
				return err
			}
			doc := fmt.Appendf(nil, `{"displayname":%q}`, store.Fold(group.Name))
			_, _, err := tx.CreateGroup(ctx, ref, store.Group{DisplayName: group.Name, Doc: doc, Search: doc}, nil)
			return err
		})
		h.do(t, "", "POST", "/scim/"+string(ref.ID)+"/v2/Users", "{}", http.Header{"Authorization": {"Bearer wrong"}})
		return
	}
	t.Fatal("no group of the demo is mapped")
}

// secret is that of a session of somebody's, the same at every call.
func (h *house) secret(t *testing.T, userName string) string {
	t.Helper()
	if known, ok := h.secrets.Load(userName); ok {
		return known.(string)
	}
	var secret string
	user := h.user(t, userName)
	h.write(t, func(ctx context.Context, tx *store.Tx) (err error) {
		_, secret, err = tx.CreateSession(ctx, store.Session{UserID: user, Method: store.MethodOIDC})
		return err
	})
	h.secrets.Store(userName, secret)
	return secret
}

// visit opens a tab in which somebody is signed in.
func (h *house) visit(t *testing.T, userName string) *browser.Page {
	t.Helper()
	p := chrome.Page(t, h.url)
	p.Cookie("gatehouse", h.secret(t, userName))
	return p
}

// A document is an answer that was a page.
type document struct {
	*goquery.Document
	status int
	header http.Header
}

// get asks for an address without a browser; redirects are not followed.
func (h *house) get(t *testing.T, userName, path string) document {
	t.Helper()
	return h.do(t, userName, "GET", path, "", nil)
}

func (h *house) do(t *testing.T, userName, method, path, body string, header http.Header) document {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, h.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	if userName != "" {
		r.AddCookie(&http.Cookie{Name: "gatehouse", Value: h.secret(t, userName)})
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	page, err := goquery.NewDocumentFromReader(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return document{page, response.StatusCode, response.Header}
}

// A screen is a page of the console by an address that leads there.
type screen struct{ pattern, path string }

// screens are all that the owner can reach: those whose address is in the table of
// routes, and what links and forms lead to from there and from more addresses, at
// most that many for each pattern.
func (h *house) screens(t *testing.T, each int, more ...string) []screen {
	t.Helper()
	all := []screen{}
	count, seen := map[string]int{}, map[string]bool{}
	var add func(path string)
	add = func(path string) {
		pattern := h.pattern(path)
		if pattern == "" || count[pattern] >= each || seen[path] {
			return
		}
		seen[path] = true
		page := h.get(t, sam, path)
		switch kind := page.header.Get("Content-Type"); {
		case !strings.HasPrefix(kind, "text/html"), page.status >= 300 && page.status < 400:
			return
		case page.status == 400:
			return // it needs to be asked for something
		case page.status != 200:
			t.Errorf("%s leads nowhere: status %d", path, page.status)
			return
		}
		count[pattern]++
		all = append(all, screen{pattern, path})
		for _, href := range leads(page) {
			if u, err := url.Parse(href); err == nil && u.Host == "" && strings.HasPrefix(u.Path, "/") {
				u.Fragment = ""
				add(u.String())
			}
		}
	}
	for _, path := range more {
		add(path)
	}
	for _, r := range h.routes {
		if path, _ := strings.CutSuffix(r.Pattern, "{$}"); r.Method == "GET" && !strings.Contains(path, "{") {
			add(path)
		}
	}
	slices.SortFunc(all, func(a, b screen) int {
		return cmp.Or(strings.Compare(a.pattern, b.pattern), strings.Compare(a.path, b.path))
	})
	return all
}

// leads are the addresses of a page's links, and of its forms that ask: with what is
// in them, the first tick and each of the buttons.
func leads(page document) []string {
	hrefs := page.Find("a[href]").Map(func(_ int, a *goquery.Selection) string { return a.AttrOr("href", "") })
	page.Find("form:not([method=post])").Each(func(_ int, form *goquery.Selection) {
		query := url.Values{}
		add := func(_ int, input *goquery.Selection) {
			if name := input.AttrOr("name", ""); name != "" {
				query.Add(name, input.AttrOr("value", ""))
			}
		}
		form.Find("input:not([type=checkbox], [type=radio])").Each(add)
		form.Find("input[type=checkbox]").First().Each(add)
		form.Find("select").Each(func(_ int, choice *goquery.Selection) {
			query.Add(choice.AttrOr("name", ""), choice.Find("option[selected]").AttrOr("value", ""))
		})
		buttons := form.Find("button:not([formmethod=post])")
		for _, button := range buttons.EachIter() {
			with := maps.Clone(query)
			if name := button.AttrOr("name", ""); name != "" {
				with.Set(name, button.AttrOr("value", ""))
			}
			hrefs = append(hrefs, button.AttrOr("formaction", form.AttrOr("action", ""))+"?"+with.Encode())
		}
		if buttons.Length() == 0 {
			hrefs = append(hrefs, form.AttrOr("action", "")+"?"+query.Encode())
		}
	})
	return hrefs
}
