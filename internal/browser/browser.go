// Package browser lets tests use a real chromium as people do: it finds what is on
// a page by role and name, as a screen reader does, clicks and types for real, and
// notes whatever a browser complains of meanwhile.
//
//	b, err := browser.Start()
//	p := b.Page(t, server.URL)
//	p.Open("/people")
//	p.Follow("link", "Alice Jansen")
//	p.WaitText("Planner")
//	p.Clean() // no script error, no report of the content policy, no asset missing
package browser

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Patience is how long a page may take to show what a test waits for. It is long,
// for machines that do a lot else: what waits in vain fails anyway.
const Patience = 2 * time.Minute

// Keys that Press knows by name.
const (
	Tab       = kb.Tab
	Enter     = kb.Enter
	Escape    = kb.Escape
	Down      = kb.ArrowDown
	Space     = " "
	Backspace = kb.Backspace

	Control = kb.ModifierCtrl
	Shift   = kb.ModifierShift
)

// A Browser is a running chromium. It is safe for use by several tests.
type Browser struct {
	ctx   context.Context
	close func()
}

// ErrNone says that there is no chromium here, and how to get one.
var ErrNone = errors.New("no chromium found: run 'make deps', or install the package chromium")

// Start starts chromium without a window.
func Start() (*Browser, error) {
	path, err := find()
	if err != nil {
		return nil, err
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(path),
		chromedp.Flag("font-render-hinting", "none"), chromedp.Flag("hide-scrollbars", true))
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeFirst := chromedp.NewContext(allocator)
	b := &Browser{ctx, func() { closeFirst(); stop() }}
	if err := chromedp.Do(ctx); err != nil {
		b.close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return b, nil
}

func find() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", ErrNone
}

// Close ends the browser.
func (b *Browser) Close() { b.close() }

// A Page is a tab with cookies of its own, of one test.
type Page struct {
	// Clicks and Keys count what a person did so far.
	Clicks, Keys int

	t    testing.TB
	ctx  context.Context
	home string
	also []string // hosts that it may go to
	// plain says that no script runs.
	plain bool

	mu     sync.Mutex
	faults []string
	load   Load
	open   map[network.RequestID]cdp.LoaderID // requests without an answer, by the page that made them
}

// Load is what came over the network since the page was opened. An address counts
// once, what a data: address holds not at all.
type Load struct {
	Addresses []string
	Bytes     int64 // with headers, as packed
}

// watch runs before any script of a page. It reports to the test through a binding
// what the protocol doesn't, and measures what moves.
const watch = `(() => {
	const seen = window.gatehouseSeen = {shift: 0, paint: 0};
	addEventListener("securitypolicyviolation", e => gatehouseReport("content policy: " + e.effectiveDirective + " " + e.blockedURI + " " + e.sample));
	new PerformanceObserver(list => { for (const e of list.getEntries()) if (!e.hadRecentInput) seen.shift += e.value; }).observe({type: "layout-shift", buffered: true});
	new PerformanceObserver(list => { for (const e of list.getEntries()) seen.paint = e.startTime; }).observe({type: "largest-contentful-paint", buffered: true});
})()`

// Binding is the function of a page's window that makes its argument a fault: what
// must never run calls it.
const Binding = "gatehouseReport"

// Page opens a tab for a test, with nothing in it. Home is where its pages are, such
// as http://127.0.0.1:8080.
func (b *Browser) Page(t testing.TB, home string) *Page {
	t.Helper()
	p := &Page{t: t, home: home, open: map[network.RequestID]cdp.LoaderID{}}
	ctx, cancel := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.hear))
	t.Cleanup(cancel)
	p.ctx = ctx
	p.do(chromedp.EmulateViewport(1280, 800))
	call(p, runtime.AddBinding, runtime.AddBindingParams{Name: Binding})
	call(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watch})
	call(p, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true}) // each load is a first one
	return p
}

// hear notes what the browser tells. It runs between the messages of the tab, and
// may not ask it anything.
func (p *Page) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fault := func(format string, args ...any) { p.faults = append(p.faults, fmt.Sprintf(format, args...)) }
	switch e := event.(type) {
	case *runtime.EventBindingCalled:
		fault("%s", e.Payload)
	case *runtime.EventExceptionThrown:
		fault("script error: %s %s", e.ExceptionDetails.Text, e.ExceptionDetails.URL)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
			fault("console: %s", e.Args[0].Value)
		}
	case *log.EventEntryAdded:
		// What the network did is told better by its own events.
		if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
			fault("%s: %s", e.Entry.Source, e.Entry.Text)
		}
	case *page.EventJavascriptDialogOpening:
		fault("dialog: %s", e.Message)
		go chromedp.Call(p.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: false})
	case *page.EventFrameNavigated:
		if u := e.Frame.URL; !p.ours(u) && u != "about:blank" {
			fault("went away to %s", u)
		}
		if e.Frame.ParentID == "" { // what the page before still wanted never comes
			maps.DeleteFunc(p.open, func(_ network.RequestID, of cdp.LoaderID) bool { return of != e.Frame.LoaderID })
		}
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, "data:") && !slices.Contains(p.load.Addresses, e.Request.URL) {
			p.load.Addresses = append(p.load.Addresses, e.Request.URL)
		}
		p.open[e.RequestID] = e.LoaderID
		if !p.ours(e.Request.URL) {
			fault("asked for %s", e.Request.URL)
		}
	case *network.EventResponseReceived:
		if e.Type != network.ResourceTypeDocument && e.Response.Status >= 400 {
			fault("%s: answered %d", e.Response.URL, e.Response.Status)
		}
	case *network.EventLoadingFinished:
		p.load.Bytes += int64(e.EncodedDataLength)
		delete(p.open, e.RequestID)
	case *network.EventLoadingFailed:
		delete(p.open, e.RequestID)
		if !e.Canceled {
			fault("%s didn't come: %s", e.Type, e.ErrorText)
		}
	}
}

// Allow lets the page go to another host, too, such as an identity provider's.
func (p *Page) Allow(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.also = append(p.also, host)
}

// ours reports whether an address is of a host that the page may go to.
func (p *Page) ours(address string) bool {
	return strings.HasPrefix(address, "data:") || slices.ContainsFunc(append(p.also, p.home), func(host string) bool {
		return address == host || strings.HasPrefix(address, host+"/")
	})
}

// Faults are what the browser complained of since the last call.
func (p *Page) Faults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := p.faults
	p.faults = nil
	return found
}

// Clean fails the test for whatever the browser complained of.
func (p *Page) Clean() {
	p.t.Helper()
	for _, fault := range p.Faults() {
		p.t.Errorf("%s: %s", p.URL(), fault)
	}
}

// Cookie gives the page a cookie of its host.
func (p *Page) Cookie(name, value string) {
	p.t.Helper()
	call(p, network.SetCookie, network.SetCookieParams{Name: name, Value: value, URL: p.home, HTTPOnly: new(true), SameSite: network.CookieSameSiteLax})
}

// KeepAssets lets the browser keep what it may keep, as for somebody who has been on
// these pages before.
func (p *Page) KeepAssets() {
	p.t.Helper()
	call(p, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: false})
}

// WithoutScript stops pages from running any, as some people and proxies do.
func (p *Page) WithoutScript() {
	p.t.Helper()
	p.plain = true
	call(p, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
}

// Scheme makes the system prefer a colour scheme: light or dark.
func (p *Page) Scheme(name string) {
	p.t.Helper()
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}})
}

// Size makes the window that large inside, in CSS pixels.
func (p *Page) Size(width, height int64) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(width, height))
}

// Open goes to an address of the host, or of another one, waits for the page to be
// whole, and returns the status of the answer.
func (p *Page) Open(path string) int64 {
	p.t.Helper()
	address := path
	if strings.HasPrefix(path, "/") {
		address = p.home + path
	}
	p.mu.Lock()
	p.load, p.open = Load{}, map[network.RequestID]cdp.LoaderID{}
	p.mu.Unlock()
	response, err := run(p, chromedp.NavigateResponse(address))
	if err != nil {
		p.t.Fatalf("open %s: %v", address, err)
	}
	if response == nil {
		p.t.Fatalf("open %s: no answer: it is a file, or a place on the same page", address)
	}
	p.until("answers to all requests of "+address, p.answered)
	return response.Status
}

// answered reports whether all that the page has asked for has come.
func (p *Page) answered() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open) == 0
}

// still reports whether the page waits for nothing, and has done what the answers made
// it do: whatever it puts in the place of something else is there.
func (p *Page) still() bool {
	if !p.answered() {
		return false
	}
	if !p.plain { // what a click began begins when its event is over
		_, err := run(p, chromedp.Evaluate[bool]("new Promise(done => setTimeout(() => done(true)))", chromedp.EvalAwaitPromise))
		if err != nil {
			return false // between two pages
		}
	}
	return p.answered()
}

// Still waits until the page waits for nothing.
func (p *Page) Still() {
	p.t.Helper()
	p.until("the page to be still", p.still)
}

// Load is what came over the network since the last Open.
func (p *Page) Load() Load {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.load
}

// URL is where the page is.
func (p *Page) URL() string {
	p.t.Helper()
	return Eval[string](p, "location.href")
}

// Path is the same without the host.
func (p *Page) Path() string {
	p.t.Helper()
	u, err := url.Parse(p.URL())
	if err != nil {
		p.t.Fatal(err)
	}
	return u.RequestURI()
}

// Eval asks the page. What it does isn't bound by the page's content policy: do by
// Click and Press what a person would do.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	got, err := run(p, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", shorten(expression), err)
	}
	return got
}

// Wait waits until an expression is true on the page.
func (p *Page) Wait(expression string) {
	p.t.Helper()
	p.until(expression, func() bool {
		got, err := run(p, chromedp.Evaluate[bool](expression))
		return err == nil && got // between two pages there is nothing to ask
	})
}

// WaitText waits until the page says something.
func (p *Page) WaitText(text string) {
	p.t.Helper()
	quoted, _ := json.Marshal(text) // a string
	p.Wait("document.body && document.body.innerText.includes(" + string(quoted) + ")")
}

// until waits for a condition.
func (p *Page) until(what string, met func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(Patience); !met(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			says, _ := run(p, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText.slice(0, 1000)"))
			p.t.Fatalf("waited in vain: %s\n%s", shorten(what), says)
		}
	}
}

// Has reports whether there is something of that role and name for people to use.
func (p *Page) Has(role, name string) bool {
	_, ok := p.query(role, name)
	return ok
}

// query looks for the first of a role and an accessible name in the accessibility
// tree, which holds what is neither hidden nor behind a dialog. A name that ends in
// "…" is how the name begins.
func (p *Page) query(role, name string) (cdp.BackendNodeID, bool) {
	document, err := chromedp.Call(p.ctx, runtime.Evaluate, runtime.EvaluateParams{Expression: "document"})
	if err != nil {
		return 0, false
	}
	query := accessibility.QueryAXTreeParams{ObjectID: document.Result.ObjectID, Role: role, AccessibleName: name}
	beginning, begins := strings.CutSuffix(name, "…")
	if begins {
		query.AccessibleName = ""
	}
	found, err := chromedp.Call(p.ctx, accessibility.QueryAXTree, query)
	if err != nil {
		return 0, false
	}
	for _, node := range found.Nodes {
		if node.Ignored || node.Name == nil {
			continue
		}
		var called string
		if json.Unmarshal(node.Name.Value, &called) == nil && (!begins || strings.HasPrefix(called, beginning)) {
			return node.BackendDOMNodeID, true
		}
	}
	return 0, false
}

// Click clicks on the middle of what has that role and name, wherever on the page it
// is, once it is there and nothing is about to take its place.
func (p *Page) Click(role, name string) {
	p.t.Helper()
	var x, y float64
	p.until(fmt.Sprintf("%s %q", role, name), func() bool {
		if !p.still() {
			return false
		}
		node, ok := p.query(role, name)
		if !ok {
			return false
		}
		if _, err := chromedp.Call(p.ctx, dom.ScrollIntoViewIfNeeded, dom.ScrollIntoViewIfNeededParams{BackendNodeID: node}); err != nil {
			return false // the page is just being changed
		}
		where, err := chromedp.Call(p.ctx, dom.GetContentQuads, dom.GetContentQuadsParams{BackendNodeID: node})
		if err != nil || len(where.Quads) == 0 {
			return false
		}
		q := where.Quads[0]
		x, y = (q[0]+q[4])/2, (q[1]+q[5])/2
		return true
	})
	p.do(chromedp.MouseEvent(chromedp.MouseMoved, x, y), chromedp.MouseClickXY(x, y))
	p.Clicks++
}

// Follow clicks on what leads to another page, and waits for that.
func (p *Page) Follow(role, name string) {
	p.t.Helper()
	p.loading(func() { p.t.Helper(); p.Click(role, name) })
}

// Type types a text where the focus is, once that is where one can: a page that has just
// come gives it to a field a moment later.
func (p *Page) Type(text string) {
	p.t.Helper()
	p.Wait(`document.activeElement !== null && document.activeElement.matches("input, textarea, select")`)
	p.do(chromedp.KeyEvent(text))
	p.Keys += len([]rune(text))
}

// Press presses one key.
func (p *Page) Press(key string, with ...chromedp.Modifier) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(key, chromedp.KeyModifiers(with...)))
	p.Keys++
}

// PressToFollow presses a key that leads to another page, and waits for that.
func (p *Page) PressToFollow(key string) {
	p.t.Helper()
	p.loading(func() { p.t.Helper(); p.Press(key) })
}

// Download clicks on what leads to a file, and gives its name and what is in it, once
// all of it has come.
func (p *Page) Download(role, name string) (file string, data []byte) {
	p.t.Helper()
	dir := p.t.TempDir()
	call(p, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
		Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID, DownloadPath: dir,
	})
	p.Click(role, name)
	p.until("a file by "+name, func() bool {
		files, err := os.ReadDir(dir)
		if err != nil || len(files) != 1 || strings.HasSuffix(files[0].Name(), ".crdownload") || strings.HasPrefix(files[0].Name(), ".") {
			return false
		}
		file = files[0].Name()
		data, err = os.ReadFile(filepath.Join(dir, file))
		return err == nil
	})
	return file, data
}

// loading waits for the page that comes of what a person does.
func (p *Page) loading(act func()) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, Patience)
	defer cancel()
	loads := chromedp.Events(ctx, page.LoadEventFired) // from now on
	act()
	for _, err := range loads {
		if err != nil {
			p.t.Fatalf("no page came: %v", err)
		}
		return
	}
}

// Stop is where the focus is on a page.
type Stop struct {
	// Name is what is there, for people who read a failure: tag, role and text.
	Name string
	// Body says that it is nowhere.
	Body bool
	// Shown says that one can see that it is there.
	Shown bool
	// Inside says that none of it is out of sight, below or above something else.
	Inside bool
}

const focus = `(() => {
	const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
	const x = Math.min(Math.max(r.left + Math.min(r.width, innerWidth) / 2, 0), innerWidth - 1), y = Math.min(Math.max(r.top + Math.min(r.height, 200) / 2, 0), innerHeight - 1);
	const top = document.elementFromPoint(x, y);
	return {
		name: (e.localName + " " + (e.getAttribute("role") || e.name || e.getAttribute("href") || e.id || "") + " " + (e.getAttribute("aria-label") || e.innerText || "").slice(0, 40)).trim(),
		body: e === document.body,
		shown: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 1 || s.boxShadow !== "none",
		inside: r.bottom > 0 && r.top < innerHeight && (!top || e.contains(top) || top.contains(e) || (e.labels && [...e.labels].some(l => l.contains(top)))),
	};
})()`

// Focus is where the focus is.
func (p *Page) Focus() Stop {
	p.t.Helper()
	return Eval[Stop](p, focus)
}

// Wide are the parts of a page that stick out of a window that is 320 CSS pixels
// wide, unless they scroll by themselves as tables may (WCAG 2.2, 1.4.10).
func (p *Page) Wide() []string {
	p.t.Helper()
	p.Size(320, 640)
	defer p.Size(1280, 800)
	return Eval[[]string](p, `(() => {
	if (document.documentElement.scrollWidth <= 320) return [];
	const wide = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > 320.5 && !e.parentElement.closest(".scroll") && e.checkVisibility());
	return ["the page is " + document.documentElement.scrollWidth + " pixels wide", ...wide.slice(0, 5).map(e => e.outerHTML.slice(0, 150))];
})()`)
}

//go:embed testdata/axe.min.js
var axe string

// Axe asks axe-core for violations of WCAG 2.2 AA and of good practice, or if there
// are rules only of these. Each is the rule, what it wants, and where it is broken.
func (p *Page) Axe(rules ...string) []string {
	p.t.Helper()
	only, _ := json.Marshal(map[string]any{"type": "rule", "values": rules}) // strings
	if len(rules) == 0 {
		only = []byte(`{type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}`)
	}
	Eval[bool](p, `window.axe ? true : (() => {`+axe+`})(), true`)
	return Eval[[]string](p, `axe.run({runOnly: `+string(only)+`, resultTypes: ["violations"]}).then(r =>
		r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.failureSummary + " " + n.html.slice(0, 300))))`)
}

// Measures are what a page weighs, beside what came over the network.
type Measures struct {
	Elements int
	// Shift is the sum of layout shifts, without unit; Paint is when the largest part
	// was there, in milliseconds.
	Shift, Paint float64
}

// Measure measures the page.
func (p *Page) Measure() Measures {
	p.t.Helper()
	return Eval[Measures](p, `({elements: document.querySelectorAll("*").length, shift: gatehouseSeen.shift, paint: Math.round(gatehouseSeen.paint)})`)
}

// Shot writes a PNG of what the window shows.
func (p *Page) Shot(file string) {
	p.t.Helper()
	picture, err := run(p, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(file, picture, 0o644)
	}
	if err != nil {
		p.t.Fatalf("%s: %v", file, err)
	}
}

// do runs steps of the browser's and fails the test if one does.
func (p *Page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	for _, step := range steps {
		if _, err := run(p, step); err != nil {
			p.t.Fatal(err)
		}
	}
}

// run runs a step that takes no longer than Patience.
func run[T any](p *Page, step chromedp.Action[T]) (T, error) {
	return chromedp.Run(p.ctx, func(ctx context.Context, t *chromedp.Target) (T, error) {
		ctx, cancel := context.WithTimeout(ctx, Patience)
		defer cancel()
		return step(ctx, t)
	})
}

// call sends a command of the protocol and fails the test if that does.
func call[P, R any](p *Page, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	result, err := run(p, func(ctx context.Context, t *chromedp.Target) (R, error) { return cdp.Call(ctx, t, command, params) })
	if err != nil {
		p.t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

func shorten(text string) string { return text[:min(len(text), 200)] }
