package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/browser"
)

// What a person waits for in a browser: the list that follows what is typed, and pages.

const sessionCookie = "gatehouse"

// tab is what a page of a browser reports to, in place of a test.
type tab struct {
	testing.TB // what isn't below is never called
	cleanups   []func()
}

// tabError is what a page gave up with.
type tabError string

func (t *tab) Helper()                   {}
func (t *tab) Cleanup(f func())          { t.cleanups = append(t.cleanups, f) }
func (t *tab) Fatal(args ...any)         { panic(tabError(fmt.Sprint(args...))) }
func (t *tab) Fatalf(f string, a ...any) { panic(tabError(fmt.Sprintf(f, a...))) }

// inBrowser opens a tab of the console's owner, who has been here before: what every
// page needs beside itself is kept. Whatever the browser complains of is an error.
func (w *world) inBrowser(ctx context.Context, do func(p *browser.Page) error) (err error) {
	if err := w.needConsole(ctx); err != nil {
		return err
	}
	if err := w.console.server.rest(ctx, w.calm); err != nil {
		return err
	}
	b, err := browser.Start()
	if err != nil {
		return err
	}
	defer b.Close()
	t := &tab{}
	defer func() {
		for _, f := range slices.Backward(t.cleanups) {
			f()
		}
	}()
	defer func() {
		switch gaveUp := recover().(type) {
		case nil:
		case tabError:
			err = errors.New(string(gaveUp))
		default:
			panic(gaveUp)
		}
	}()
	p := b.Page(t, "http://"+w.console.addr)
	p.Cookie(sessionCookie, w.secret)
	p.KeepAssets()
	if err := do(p); err != nil {
		return err
	}
	if faults := p.Faults(); len(faults) > 0 {
		return fmt.Errorf("the browser says: %s", strings.Join(faults, "; "))
	}
	return nil
}

// stopwatch notes for each key how long it takes until what has the id stands there
// anew and a frame has been painted since.
const stopwatch = `(id => {
	const took = window.keysTook = [];
	let pressed = 0;
	addEventListener("keydown", e => { pressed = e.timeStamp; }, true);
	new MutationObserver(changes => {
		if (!pressed || !changes.some(c => [...c.addedNodes].some(n => n.id === id))) return;
		const since = pressed;
		pressed = 0;
		requestAnimationFrame(() => { const next = new MessageChannel(); next.port1.onmessage = () => took.push(performance.now() - since); next.port2.postMessage(0); });
	}).observe(document.body, {childList: true, subtree: true});
	return true;
})`

// typed are the keys of somebody who looks for one of many, and takes all back again.
func typed() []string {
	text := strings.Split(firstName(firstNames-1)+" "+lastName(lastNames-1), "")
	return append(text, slices.Repeat([]string{browser.Backspace}, len(text))...)
}

// typingRows are how long it takes from a key to the next frame with the people whom the
// search has found since, in the list of people and in the search from anywhere.
func typingRows(ctx context.Context, w *world, j job) (rows []row, err error) {
	keys := typed()
	err = w.inBrowser(ctx, func(p *browser.Page) error {
		for _, place := range []struct {
			name, id string
			reach    func()
		}{
			{"the list", "people-list", func() { p.Click("searchbox", "Name…") }},
			{"the search from anywhere", "found", func() { p.Press("k", browser.Control) }},
		} {
			if status := p.Open("/people"); status != http.StatusOK {
				return fmt.Errorf("/people: status %d", status)
			}
			place.reach()
			p.Still()
			browser.Eval[bool](p, fmt.Sprintf("%s(%q)", stopwatch, place.id))
			var took []time.Duration
			for round := range w.rounds {
				for i, key := range keys {
					p.Press(key)
					p.Wait(fmt.Sprintf("keysTook.length === %d", round*len(keys)+i+1))
				}
			}
			warm := min(1, w.rounds-1) * len(keys) // the first of several rounds isn't counted
			for _, ms := range browser.Eval[[]float64](p, "keysTook")[warm:] {
				took = append(took, time.Duration(ms*float64(time.Millisecond)))
			}
			slices.Sort(took)
			middle, late := j, j
			middle.title += ", in " + place.name
			late.title += ", in " + place.name + ", 95th percentile"
			rows = append(rows, middle.value(millis(quantile(took, 0.5)), "ms"), late.value(millis(quantile(took, 0.95)), "ms"))
		}
		return nil
	})
	return rows, err
}

// screen is a page of the console, with when the largest part of it is painted (LCP).
type screen struct {
	path    string
	preview bool // it shows what a change would do
	paint   float64
}

// screenRows are the slowest pages of all that the console's pages lead to, one of each
// kind: of those that show what a change would do to everybody, and of the others.
func screenRows(ctx context.Context, w *world, j job) (rows []row, err error) {
	const times, candidates = 11, 5
	patterns, err := w.screens(ctx)
	if err != nil {
		return nil, err
	}
	err = w.inBrowser(ctx, func(p *browser.Page) error {
		all, err := visitAll(p, patterns, w.pages)
		if err != nil {
			return err
		}
		slower := func(a, b screen) int { return cmp.Compare(b.paint, a.paint) }
		for _, of := range []struct {
			what    string
			preview bool
			target
		}{{"pages", false, j.target}, {"previews", true, atMost(500)}} {
			some := slices.DeleteFunc(slices.Clone(all), func(s screen) bool { return s.preview != of.preview })
			if len(some) == 0 {
				continue
			}
			slices.SortFunc(some, slower)
			slowest := some[:min(candidates, len(some))]
			for i := range slowest {
				var paints []float64
				for range times {
					s, err := open(p, slowest[i].path)
					if err != nil {
						return err
					}
					paints = append(paints, s.paint)
				}
				slices.Sort(paints)
				slowest[i].paint = paints[times/2]
			}
			slices.SortFunc(slowest, slower)
			for _, s := range slowest {
				w.note("%s painted after %.0f ms", patterns.pattern(s.path), s.paint)
			}
			one := j
			one.target = of.target
			one.title += fmt.Sprintf(", the slowest of %d %s: %s", len(some), of.what, patterns.pattern(slowest[0].path))
			rows = append(rows, one.value(slowest[0].paint, "ms"))
		}
		return nil
	})
	return rows, err
}

// visitAll opens a page of each kind that links lead to, most at the most.
func visitAll(p *browser.Page, patterns *screens, most int) (all []screen, err error) {
	queue, known := []string{"/"}, map[string]bool{}
	for len(queue) > 0 && len(all) < most {
		path, pattern := queue[0], patterns.pattern(queue[0])
		queue = queue[1:]
		if known[pattern] {
			continue
		}
		known[pattern] = true
		if _, err := open(p, path); err != nil {
			return nil, err
		}
		s, err := open(p, path) // again, with all that it keeps
		if err != nil {
			return nil, err
		}
		all = append(all, s)
		for _, href := range browser.Eval[[]string](p, `[...document.querySelectorAll("a[href^='/']:not([download])")].map(a => a.getAttribute("href"))`) {
			href, _, _ = strings.Cut(href, "#") // a place on a page is no page
			if pattern := patterns.pattern(href); pattern != "" && !known[pattern] {
				queue = append(queue, href)
			}
		}
	}
	return all, nil
}

func open(p *browser.Page, path string) (s screen, err error) {
	if status := p.Open(path); status != http.StatusOK {
		return s, fmt.Errorf("%s: status %d", path, status)
	}
	p.Wait("gatehouseSeen.paint > 0")
	return screen{path, browser.Eval[bool](p, `document.querySelector("#impact form") !== null`), p.Measure().Paint}, nil
}

// screens are the pages of the console by the patterns of their addresses.
type screens struct {
	mux *http.ServeMux
}

// screens asks the program for them.
func (w *world) screens(ctx context.Context) (*screens, error) {
	output, err := exec.CommandContext(ctx, w.program, "routes", "--json").Output()
	var routes []struct{ Method, Pattern, Access string }
	if err == nil {
		err = json.Unmarshal(output, &routes)
	}
	if err != nil {
		return nil, fmt.Errorf("the program's routes: %w", err)
	}
	s := &screens{mux: http.NewServeMux()}
	for _, r := range routes {
		if r.Method != "GET" || r.Access != "session" || strings.Contains(r.Pattern, ".") {
			continue
		}
		s.mux.Handle("GET "+r.Pattern, http.NotFoundHandler())
	}
	return s, nil
}

// pattern is the one that an address is of; "" if it is no page of the console.
func (s *screens) pattern(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	_, pattern := s.mux.Handler(&http.Request{Method: "GET", URL: u})
	return strings.TrimPrefix(pattern, "GET ")
}
