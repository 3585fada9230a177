package console

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/internal/browser"
)

// The budgets of a page that is loaded for the first time. Bytes are as packed, with
// headers, and with the style sheet, the script and the icon.
const (
	mostBytes    = 30 << 10
	mostRequests = 4
	mostElements = 1500
	mostShift    = 0.01
	mostInMatrix = 3000
	// mostStops is how often Tab is pressed on a page at most.
	mostStops = 25
)

// nothingFor are the pages that the demo has nothing for: no webhook, no invitation,
// no secret just made, and no form that an ended session interrupted.
var nothingFor = []string{"/settings/webhooks/{webhook}", "/invitations/{id}", "/invitations/{id}/secret", "/kept"}

// TestEveryScreen opens every page that there is as its owner sees it: with script
// and without, light and dark, on a narrow window, and by keyboard.
func TestEveryScreen(t *testing.T) {
	h := demo(t)
	h.hire(t, sam, "owner")
	h.furnish(t)
	// The first page of each kind is looked at, the others for what they lead to.
	screens := append(slices.CompactFunc(h.screens(t, 12, "/people/"+string(h.user(t, eva))), func(a, b screen) bool { return a.pattern == b.pattern }), screen{"/", "/there-is-no-such-page"})
	if len(screens) < 8 {
		t.Fatalf("%d screens, want at least 8: %v", len(screens), screens)
	}
	for _, r := range h.routes {
		page := r.Method == "GET" && r.Access == "session" && !strings.Contains(r.Pattern, ".")
		if page && !slices.Contains(nothingFor, r.Pattern) && !slices.ContainsFunc(screens, func(s screen) bool { return s.pattern == r.Pattern }) {
			t.Errorf("no page leads to %s", r.Pattern)
		}
	}
	var mu sync.Mutex
	var heaviest int64
	var most int
	var slowest float64
	t.Run("screen", func(t *testing.T) {
		for _, s := range screens {
			t.Run(strings.ReplaceAll(strings.Trim(s.pattern, "/"), "/", "-"), func(t *testing.T) {
				t.Parallel()
				p := h.visit(t, sam)
				p.Scheme("light")
				want := int64(200)
				if s.pattern == "/" {
					want = 404
				}
				if got := p.Open(s.path); got != want {
					t.Fatalf("%s: status %d, want %d", s.path, got, want)
				}
				load := p.Load()
				measures := withinBudgets(t, p, s, load)
				mu.Lock()
				heaviest, most = max(heaviest, load.Bytes), max(most, len(load.Addresses))
				slowest = max(slowest, measures.Paint)
				mu.Unlock()
				for _, violation := range p.Axe() {
					t.Errorf("%s, light: %s", s.path, violation)
				}
				p.Scheme("dark")
				for _, violation := range p.Axe("color-contrast", "link-in-text-block") {
					t.Errorf("%s, dark: %s", s.path, violation)
				}
				for _, part := range p.Wide() {
					t.Errorf("%s in 320 pixels: %s", s.path, part)
				}
				walk(t, p)
				p.Clean()
				sameWithoutScript(t, h, p, s)
			})
		}
	})
	t.Logf("%d screens: at most %d bytes in %d requests, the last one painted after %.0f ms", len(screens), heaviest, most, slowest)
}

func withinBudgets(t *testing.T, p *browser.Page, s screen, load browser.Load) browser.Measures {
	t.Helper()
	if load.Bytes > mostBytes || len(load.Addresses) > mostRequests {
		t.Errorf("%s: %d bytes of %v, want at most %d of %d addresses", s.path, load.Bytes, load.Addresses, mostBytes, mostRequests)
	}
	most := mostElements
	if s.pattern == "/matrix" {
		most = mostInMatrix
	}
	got := p.Measure()
	if got.Elements > most || got.Shift > mostShift {
		t.Errorf("%s: %d elements that shift by %.3f, want at most %d and %.2f", s.path, got.Elements, got.Shift, most, mostShift)
	}
	return got
}

// walk goes through a page with the Tab key: past the navigation, and on from there.
// Wherever the focus is, one sees it.
func walk(t *testing.T, p *browser.Page) {
	t.Helper()
	p.Press(browser.Tab)
	if first := p.Focus(); !strings.Contains(first.Name, "#main") || !first.Shown || !first.Inside {
		t.Errorf("%s: Tab leads to %+v first, want the link that skips the navigation", p.Path(), first)
		return
	}
	p.Press(browser.Enter)
	p.Wait(`document.activeElement.id === "main"`)
	path := p.Path()
	for range mostStops {
		p.Press(browser.Tab)
		stop := p.Focus()
		if stop.Body {
			return // past the end
		}
		if !stop.Shown || !stop.Inside {
			t.Errorf("%s: the focus is at %q, shown %v, inside %v", path, stop.Name, stop.Shown, stop.Inside)
		}
	}
}

// changing differs between two looks: times, ages, ids.
var changing = regexp.MustCompile(`Request \w+|[0-9a-f-]{12,}|[0-9]+`)

// sameWithoutScript wants a page to say the same without script, and to have nothing
// on it that only a script could make work.
func sameWithoutScript(t *testing.T, h *house, with *browser.Page, s screen) {
	t.Helper()
	says := func(p *browser.Page) string {
		p.Open(s.path)
		return changing.ReplaceAllString(browser.Eval[string](p, `document.querySelector("main").innerText`), "0")
	}
	p := h.visit(t, sam)
	p.WithoutScript()
	want, got := says(with), says(p)
	for range 3 { // the world moves while one looks
		if want == got {
			break
		}
		want, got = says(with), says(p)
	}
	if got != want {
		t.Errorf("%s says something else without script:\n%s\nwith script:\n%s", s.path, got, want)
	}
	for _, dead := range browser.Eval[[]string](p, `[...document.querySelectorAll("a, button, form")].filter(e =>
		e.localName === "a" ? !/^(https?:|mailto:|#?[^:]*$)/.test(e.getAttribute("href") || ":") :
		e.localName === "form" ? !e.getAttribute("action") && !e.method :
		!(e.form && e.type === "submit") && !e.popoverTargetElement && !e.dataset.copy).map(e => e.outerHTML.slice(0, 200))`) {
		t.Errorf("%s: nothing happens without script at %s", s.path, dead)
	}
	p.Clean()
}

// TestChosenIsSeen opens a mapping whose role is far down in the list of them, and
// chooses another one there: wherever the list is, it shows what is chosen.
func TestChosenIsSeen(t *testing.T) {
	t.Parallel()
	h := demo(t)
	h.hire(t, sam, "owner")
	seen := `(ticked => ticked.length === 1 && ticked.every(box => {
		const list = box.closest("ul").getBoundingClientRect(), at = box.getBoundingClientRect();
		return at.top >= list.top - 1 && at.bottom <= list.bottom + 1;
	}))([...document.querySelectorAll("#pick-what :checked")])`
	scrolled := `document.getElementById("pick-what").scrollTop`
	for _, script := range []bool{true, false} {
		for _, width := range []int64{1280, 390} {
			p := h.visit(t, sam)
			if !script {
				p.WithoutScript()
			}
			p.Size(width, 900)
			p.Open("/mappings/new?v=1&what=role/console/auditor")
			for _, to := range []string{"0", "1e6"} {
				browser.Eval[int](p, scrolled+" = "+to)
				p.Wait(seen)
			}
			at := browser.Eval[float64](p, scrolled)
			if at < 100 {
				t.Fatalf("%d pixels wide: the list of roles scrolls by %v, want it to be long", width, at)
			}
			p.Click("radio", "Access administrator Console")
			if script {
				p.Wait(`location.search.includes("administrator")`)
			}
			p.Wait(seen)
			if now := browser.Eval[float64](p, scrolled); now < at-1 || now > at+1 {
				t.Errorf("%d pixels wide, script %v: the list moves from %v to %v under the pointer", width, script, at, now)
			}
			p.Clean()
		}
	}
}

// TestKeysOfTheFrame uses what surrounds every page: its navigation, the search from
// anywhere, and the visitor's own menu.
func TestKeysOfTheFrame(t *testing.T) {
	t.Parallel()
	h := demo(t)
	h.hire(t, sam, "owner")
	p := h.visit(t, sam)
	p.Open("/people")
	var stops []string
	for range 60 {
		p.Press(browser.Tab)
		stop := p.Focus()
		if stop.Body || strings.Contains(stop.Name, "f-q") || strings.HasPrefix(stop.Name, "input q Search for") {
			break
		}
		if !stop.Shown || !stop.Inside {
			t.Errorf("the focus is at %q, shown %v, inside %v", stop.Name, stop.Shown, stop.Inside)
		}
		stops = append(stops, stop.Name)
	}
	for _, want := range []string{"#main", "a / Gatehouse", "input q", "button", "a /people"} {
		if !strings.Contains(strings.Join(stops, "\n"), want) {
			t.Errorf("Tab never leads to %s, only to %q", want, stops)
		}
	}

	before := p.Focus().Name
	p.Press("k", browser.Control)
	p.Wait(`document.getElementById("palette").open`)
	p.Type("alice")
	p.Wait(`document.querySelector("#palette #found a") !== null`)
	p.Press(browser.Escape)
	p.Wait(`!document.getElementById("palette").open`)
	if after := p.Focus().Name; after != before {
		t.Errorf("Esc leaves the search for %q, want to be where one was, at %q", after, before)
	}

	p.Click("button", "Sam de Vries")
	p.Wait(`document.getElementById("profile").matches(":popover-open")`)
	p.Press(browser.Escape)
	p.Wait(`!document.getElementById("profile").matches(":popover-open")`)
	if after := p.Focus().Name; !strings.HasPrefix(after, "button") {
		t.Errorf("Esc leaves the menu for %q, want the button that opened it", after)
	}
	p.Click("button", "Sam de Vries")
	p.Follow("button", "Nederlands")
	if got := browser.Eval[string](p, "document.documentElement.lang"); got != "nl" || p.Path() != "/people" {
		t.Errorf("the page is in %s at %s, want nl where one was", got, p.Path())
	}
	p.Clean()
}

// report prints a table, one line for each row.
func report(t *testing.T, head string, rows [][]string) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintln(&b, head)
	for _, row := range rows {
		fmt.Fprintln(&b, "  "+strings.Join(row, " | "))
	}
	t.Log(b.String())
}
