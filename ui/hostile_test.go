package ui

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// otherSites is how browsers tell that another site sent a form.
var otherSites = []struct{ why, origin, fetchSite, referer string }{
	{"another site", "https://evil.example", "cross-site", ""},
	{"a sub-domain", "http://x.127.0.0.1", "same-site", ""},
	{"another port", "http://127.0.0.1:1", "same-site", ""},
	{"a frame without an origin", "null", "cross-site", ""},
	{"no origin", "null", "", ""},
	{"an old browser, elsewhere", "https://evil.example", "", ""},
	{"a very old one", "", "", "https://evil.example/page"},
	{"one that lies about its origin", "{here}", "cross-site", ""},
}

// TestOtherSitesPostNothing sends every form of the console, filled in as the owner's
// browser would, from another site.
func TestOtherSitesPostNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.snapshot()
	for _, e := range examples {
		if e.method() != "POST" || slices.Contains(fromElsewhere, e.route) {
			continue
		}
		path, form := w.mine.fill(e.path), w.form(e, w.mine)
		for _, from := range otherSites {
			got := w.post(sam, path, form, func(r *http.Request) {
				for name, value := range map[string]string{"Origin": strings.ReplaceAll(from.origin, "{here}", w.server.URL), "Sec-Fetch-Site": from.fetchSite, "Referer": from.referer} {
					if r.Header.Del(name); value != "" {
						r.Header.Set(name, value)
					}
				}
			})
			got.check(t, e.route)
			if got.status != 403 || got.header.Get("Set-Cookie") != "" {
				t.Errorf("%s from %s: status %d, cookie %q, want 403", e.route, from.why, got.status, got.header.Get("Set-Cookie"))
			}
		}
	}
	if after := w.snapshot(); after != before {
		t.Errorf("something changed:\n%s", difference(before, after))
	}
}

// TestFormsSentTwice sends every form twice at once, and once more.
func TestFormsSentTwice(t *testing.T) {
	t.Parallel()
	for _, e := range examples {
		if e.method() != "POST" {
			continue
		}
		t.Run(e.path, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			path, form := w.mine.fill(e.path), w.form(e, w.mine)
			before := rowsOf(w.snapshot())
			one := w.post(sam, path, form)
			once := rowsOf(w.snapshot())
			w2 := newWorld(t)
			var both sync.WaitGroup
			answers := make([]answer, 2)
			for i := range answers {
				both.Go(func() { answers[i] = w2.post(sam, path, form) })
			}
			both.Wait()
			again := w2.post(sam, path, form)
			twice := rowsOf(w2.snapshot())
			for _, a := range append(answers, again) {
				if a.status >= 500 {
					t.Errorf("sent twice: status %d: %s", a.status, a.text("main"))
				}
			}
			if !e.adds && !maps.Equal(once, twice) {
				t.Errorf("once (status %d) and three times (%d, %d, %d): rows %v, first %v and then %v", one.status, answers[0].status, answers[1].status, again.status, before, once, twice)
			}
		})
	}
}

// rowsOf counts the rows of each table.
func rowsOf(snapshot string) map[string]int {
	all := map[string]int{}
	for line := range strings.Lines(snapshot) {
		table, _, _ := strings.Cut(line, ":")
		all[table]++
	}
	return all
}

// always is what no database, or only one of them, takes; every part of every address
// and form is once each of these, and some of the others, each in its turn.
var (
	always = []string{"\x00", "a\xff\xfeb"}
	others = []string{
		"", strings.Repeat("x", 10_000), "-1", "99999999999999999999999999", "1e400", "'; DROP TABLE users; --", "%", "\\", "..%2f..", "<script>alert(1)</script>", "\u202e\u0000\ufeff", "W10", "bnVsbA",
		"eyJOYW1lIjoiXHUwMDAwIn0", "{group}", "{person}", "{connection}", "0001-01-01", "9999-12-31", "2026-02-30", "2026-11-22T00:00:00Z", "-99999-01-01",
	}
)

// nonsense deals out what an address or a form says instead of what it should.
type nonsense int

func (n *nonsense) next() []string {
	*n += 2
	return append(slices.Clone(always), others[int(*n)%len(others)], others[int(*n+1)%len(others)])
}

// TestHostileAddresses puts nonsense into every part of every address, as the
// owner: no page breaks, and both databases answer alike.
func TestHostileAddresses(t *testing.T) {
	t.Parallel()
	worlds := []*world{newWorld(t), newPostgresWorld(t)}
	var addresses []string
	var bad nonsense
	done := map[string]bool{} // by route
	for _, e := range examples {
		if e.method() == "GET" {
			addresses = append(addresses, e.garbled(t, &bad, !done[e.route])...)
			done[e.route] = true
		}
	}
	answers := make([]map[string]int, len(worlds))
	var both sync.WaitGroup
	for i, w := range worlds {
		answers[i] = map[string]int{}
		both.Go(func() {
			before := w.snapshot()
			for _, path := range addresses {
				got := w.get(sam, w.mine.fill(path))
				got.check(t, "GET "+path)
				if got.status >= 500 {
					t.Errorf("GET %.300q: status %d: %s", path, got.status, got.text("main"))
				}
				answers[i][path] = got.status
			}
			if after := w.snapshot(); after != before {
				t.Errorf("something changed:\n%s", difference(before, after))
			}
		})
	}
	both.Wait()
	for path, status := range answers[0] {
		if other := answers[1][path]; status != other {
			t.Errorf("GET %.300q: SQLite answers %d, PostgreSQL %d", path, status, other)
		}
	}
	t.Logf("hostile_addresses: %d on each database", len(answers[0]))
}

// garbled are the addresses of an example with one part of each replaced; of the
// first of a route, also those with what many pages ask for.
func (e example) garbled(t *testing.T, bad *nonsense, first bool) []string {
	t.Helper()
	var all []string
	path, query, _ := strings.Cut(e.path, "?")
	for _, part := range placeholders.FindAllString(path, -1) {
		for _, text := range bad.next() {
			if text != "" && part != "{asset}" {
				all = append(all, strings.ReplaceAll(path, part, unfilled(url.PathEscape(text))))
			}
		}
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(values))
	if first {
		names = append(names, "after", "at")
		all = append(all, path+"?%zz", path+"?a=b;c=d", path+"?"+strings.Repeat("x=y&", 2000))
	}
	for _, name := range names {
		for _, text := range bad.next() {
			changed := maps.Clone(values)
			changed[name] = []string{text}
			all = append(all, path+"?"+unfilled(changed.Encode()))
		}
		changed := maps.Clone(values)
		changed[name] = []string{"x", values.Get(name), "\x00"}
		all = append(all, path+"?"+unfilled(changed.Encode()))
	}
	return all
}

// unfilled is a part of an address in which placeholders stay as they are.
func unfilled(text string) string { return strings.NewReplacer("%7B", "{", "%7D", "}").Replace(text) }

// TestHostileForms sends every form empty, garbled, too large and with each field
// replaced: none breaks, and what is refused changes nothing.
func TestHostileForms(t *testing.T) {
	onBothWorlds(t, func(t *testing.T, w *world) {
		n, fields, onSQLite := 0, nonsense(0), strings.HasPrefix(w.url, "sqlite:")
		for _, e := range examples {
			if e.method() != "POST" {
				continue
			}
			form, before := w.form(e, w.mine), w.snapshot()
			bodies := map[string]string{"a NUL": "\x00=\x00"}
			everything := map[string]string{
				"oversized": "x=" + strings.Repeat("y", 2<<20), "a broken escape": "%zz=1&" + form.Encode() + "%", "nothing": "", "many fields": strings.Repeat("a=b&", 20_000),
				"JSON": `{"a":`,
			}
			if onSQLite { // copies of the other take long, and only texts are special to it
				maps.Copy(bodies, everything)
			}
			for _, name := range slices.Sorted(maps.Keys(form)) {
				hostile := fields.next()
				if !onSQLite {
					hostile = always
				}
				for i, bad := range hostile {
					changed := maps.Clone(form)
					changed[name] = []string{w.mine.fill(bad)}
					bodies[fmt.Sprint(name, " ", i)] = changed.Encode()
				}
				if onSQLite {
					changed := maps.Clone(form)
					changed[name] = append([]string{"x"}, form[name]...)
					bodies[name+" twice"] = changed.Encode()
				}
			}
			for _, why := range slices.Sorted(maps.Keys(bodies)) {
				n++
				got := w.sendBody(sam, w.mine.fill(e.path), bodies[why])
				if got.status != 413 { // where the connection is closed as well
					got.check(t, e.route+" "+why)
				}
				switch {
				case got.status >= 500:
					t.Errorf("%s with %s: status %d: %s", e.route, why, got.status, got.text("main"))
				case (why == "oversized" || why == "a broken escape") && got.status < 400:
					t.Errorf("%s with %s: status %d, want to be told", e.route, why, got.status)
				}
				if got.status < 400 && w.snapshot() != before { // it says nothing that matters, or something else
					w = w.anew(t)
				}
			}
			if after := w.snapshot(); after != before {
				t.Errorf("%s: refused, and something changed:\n%s", e.route, difference(before, after))
			}
		}
		t.Logf("hostile_forms: %d", n)
	})
}

// anew is another world, on the same kind of database, in place of this one.
func (w *world) anew(t *testing.T) *world {
	t.Helper()
	w.close()
	if strings.HasPrefix(w.url, "sqlite:") {
		return newWorld(t)
	}
	return newPostgresWorld(t)
}

// sendBody posts a form as it stands.
func (w *world) sendBody(as, path, body string) answer {
	w.t.Helper()
	return w.post(as, path, nil, func(r *http.Request) {
		r.Body, r.ContentLength = http.NoBody, 0
		if body != "" {
			r.Body, r.ContentLength = bodyOf(body), int64(len(body))
		}
		r.GetBody = nil
	})
}

func bodyOf(text string) io.ReadCloser { return io.NopCloser(strings.NewReader(text)) }

// TestHEADAnswersAsGETDoes asks for the head of every page: a program that looks
// whether a link works is told the same as somebody who follows it (RFC 9110 §9.3.2).
func TestHEADAnswersAsGETDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.snapshot()
	for _, e := range examples {
		if e.method() != "GET" {
			continue
		}
		path := w.mine.fill(e.path)
		for _, who := range []string{sam, nobody} {
			get, head := w.do(who, "GET", path, nil), w.do(who, "HEAD", path, nil)
			if head.status != get.status || head.header.Get("Location") != get.header.Get("Location") || head.body != "" {
				t.Errorf("%s: HEAD answers %d to %q with %d bytes, GET %d to %q", path, head.status, head.header.Get("Location"), len(head.body), get.status, get.header.Get("Location"))
			}
		}
	}
	if after := w.snapshot(); after != before {
		t.Errorf("something changed:\n%s", difference(before, after))
	}
}
