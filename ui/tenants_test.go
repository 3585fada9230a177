package ui

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// onBothWorlds runs a test with a world in a database of each kind.
func onBothWorlds(t *testing.T, test func(t *testing.T, w *world)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, newWorld(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, newPostgresWorld(t))
	})
}

// speaksOf are the things that an example is about.
func (e example) speaksOf() []string {
	var names []string
	for _, found := range placeholders.FindAllStringSubmatch(e.path+" "+e.form, -1) {
		if !slices.Contains(names, found[1]) {
			names = append(names, found[1])
		}
	}
	return names
}

var placeholders = regexp.MustCompile(`\{([a-z]+)\}`)

// about sends an example in which one thing is somebody else's. What a panel agreed
// to is about one's own.
func (w *world) about(as string, e example, name string, others things) answer {
	w.t.Helper()
	changed := w.mine.with(name, others)
	form := w.form(e, changed)
	if e.form == "panel" {
		form = w.form(e, w.mine)
	}
	a := w.do(as, e.method(), changed.fill(e.path), form)
	a.check(w.t, e.route+" as "+as)
	return a
}

// blank is an answer without what differs anyhow: the id that was asked for, the
// request's, and the key that each panel has of its own.
func (a answer) blank(id string) string {
	text := fmt.Sprint(a.status, " ", a.header.Get("Location"), "\n", a.body)
	return ownKeys.ReplaceAllString(strings.NewReplacer(id, "…", a.header.Get("X-Request-Id"), "…").Replace(text), "…")
}

var ownKeys = regexp.MustCompile(`name="key" value="[^"]*"`)

// TestOtherTenantsAreNowhere puts another tenant's things, one at a time, into every
// request that speaks of things: the answer is that of what doesn't exist, to the
// byte, and nothing changes.
func TestOtherTenantsAreNowhere(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, w *world) {
		before, n := w.snapshot(), 0
		covered := map[string]bool{}
		for _, e := range examples {
			for _, name := range e.speaksOf() {
				if w.theirs[name] == "" {
					continue
				}
				covered[e.route] = true
				n++
				theirs, none := w.about(sam, e, name, w.theirs), w.about(sam, e, name, w.nothing)
				if got, want := theirs.blank(w.theirs[name]), none.blank(w.nothing[name]); got != want {
					t.Errorf("%s with another tenant's %s differs from one that isn't there:\n%s", e.path, name, cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")))
				}
				if strings.Contains(theirs.body, "Globex") {
					t.Errorf("%s with another tenant's %s names it:\n%s", e.path, name, theirs.text("main"))
				}
				if theirs.status >= 500 {
					t.Errorf("%s with another tenant's %s: status %d", e.path, name, theirs.status)
				}
			}
		}
		for _, rt := range w.console.routes {
			if route := rt.method + " " + rt.pattern; strings.Contains(rt.pattern, "{id}") && !covered[route] {
				t.Errorf("%s: no example speaks of what it is about", route)
			}
		}
		if after := w.snapshot(); after != before {
			t.Errorf("something changed:\n%s", difference(before, after))
		}
		t.Logf("console_tenant_matrix: %d requests", n)
	})
}

// TestSiteAdministratorsSeeNoNamesOutside opens every page as Bob, also about what
// lies outside his sites: what is there is nowhere named, and not to be changed.
func TestSiteAdministratorsSeeNoNamesOutside(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, w *world) {
		before := w.snapshot()
		for _, e := range examples {
			if need := w.needsOf(e.route); need == anybody || !lets(bob, need) {
				continue
			}
			if e.method() == "GET" {
				w.unnamed(e, "nothing else", w.ask(bob, e, w.mine))
			}
			for _, name := range e.speaksOf() {
				if w.outside[name] == "" || w.outside[name] == w.mine[name] {
					continue
				}
				got := w.about(bob, e, name, w.outside)
				w.unnamed(e, name, got)
				if e.method() == "POST" && got.status < 400 && !e.looks {
					t.Errorf("%s about a %s outside: status %d", e.path, name, got.status)
				}
			}
		}
		if after := w.snapshot(); after != before {
			t.Errorf("something changed:\n%s", difference(before, after))
		}
	})
}

func (w *world) needsOf(route string) needs {
	w.t.Helper()
	for _, rt := range w.console.routes {
		if rt.method+" "+rt.pattern == route {
			return rt.needs
		}
	}
	w.t.Fatalf("%s: an example of no route", route)
	return needs{}
}

// unnamed fails if an answer names what is outside Bob's sites.
func (w *world) unnamed(e example, name string, a answer) {
	w.t.Helper()
	for _, secret := range []string{
		"Zeeland", "Vlissingen", "Dijkwerk", "Welders", "Noor Mulder", "noor.mulder", "Postma", "Hoekstra", "Brouwer", "Schuurman", "Veenstra", "Zijlstra", "Terpstra", "Klaas Buiten", "Globex",
	} {
		if at := strings.Index(a.body, secret); at >= 0 {
			w.t.Errorf("%s with %s outside: names %s: …%s…", e.path, name, secret, a.body[max(0, at-200):min(len(a.body), at+100)])
			return
		}
	}
}

// TestPagesOfferWhatOneMayDo follows no link and sends no form of any page, of any
// role, that would be refused; so an auditor has no form but for herself.
func TestPagesOfferWhatOneMayDo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	posts := http.NewServeMux()
	for _, rt := range w.console.routes {
		if rt.method == "POST" {
			posts.Handle("POST "+rt.pattern, http.NotFoundHandler())
		}
	}
	for _, v := range visitors {
		seen := map[string]string{}
		for _, e := range examples {
			if e.method() != "GET" {
				continue
			}
			page := w.ask(v.who, e, w.mine)
			if page.status/100 == 3 {
				continue // what is in it is where it leads
			}
			for _, node := range page.Find("a[href], form, [formaction]").EachIter() {
				method, target := "GET", node.AttrOr("href", node.AttrOr("formaction", node.AttrOr("action", e.path)))
				if strings.EqualFold(node.AttrOr("method", node.AttrOr("formmethod", "get")), "post") {
					method = "POST"
				}
				seen[method+" "+target] = w.mine.fill(e.path)
			}
		}
		for offer, on := range seen {
			method, target, _ := strings.Cut(offer, " ")
			if strings.HasPrefix(target, "#") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			r, err := http.NewRequest(method, target, nil)
			if err != nil {
				t.Errorf("%s: on %s is a link to %q: %v", v.role, on, target, err)
				continue
			}
			mux := w.console.mux
			if method == "POST" {
				mux = posts
			}
			_, pattern := mux.Handler(r)
			if pattern == "" {
				t.Errorf("%s: %s offers %s, which is no page", v.role, on, offer)
				continue
			}
			if !lets(v.who, w.needsOf(pattern)) && v.who != nobody {
				t.Errorf("%s: %s offers %s, which she may not do", v.role, on, offer)
			}
			if own := []string{"/logout", "/preferences", "/me/sessions/end", "/me/sessions/end-all", "/me/sessions/end-others", "/views"}; v.who == chloe && method == "POST" && w.needsOf(pattern) != anybody && !slices.Contains(own, target) {
				t.Errorf("%s: %s has a form for %s", v.role, on, target)
			}
		}
	}
}
