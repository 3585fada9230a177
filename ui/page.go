package ui

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"

	"gatehouse/store"
)

//go:embed templates
var templateFiles embed.FS

// pages are the templates of a language: "page NAME" is each page, the layout around
// it. They are parsed when the first is shown.
type pages func() *template.Template

// allPages gives the templates for each language. The files are in the program: to
// parse them panics when one is wrong.
func allPages(all map[string]*words, assets map[string]asset) map[string]pages {
	byLanguage := map[string]pages{}
	for lang, words := range all {
		byLanguage[lang] = sync.OnceValue(func() *template.Template {
			set := template.New("").Funcs(words.funcs()).Funcs(template.FuncMap{
				"asset": func(name string) string { return assets[name].path },
			})
			template.Must(set.ParseFS(templateFiles, "templates/shared/*.html"))
			files, _ := fs.Glob(templateFiles, "templates/*.html")
			for _, file := range files {
				// Each file defines a main, which gets a name of its own here: a set for each
				// page, with copies of what all share, took 30 MiB.
				name := strings.TrimSuffix(path.Base(file), ".html")
				text, _ := fs.ReadFile(templateFiles, file)
				main := strings.Replace(string(text), `{{define "main"}}`, fmt.Sprintf("{{define %q}}", "main "+name), 1)
				whole := fmt.Sprintf(`{{define %q}}{{template "top" .}}{{template %q .}}{{template "bottom" .}}{{end}}`, "page "+name, "main "+name)
				template.Must(template.Must(set.Parse(main)).Parse(whole))
			}
			return set
		})
	}
	return byLanguage
}

// framed is the struct of a page: it embeds page.
type framed interface{ frame() *page }

// page is what the layout shows around every page.
type page struct {
	// Title is the page's, in the reader's language.
	Title string
	Lang  string
	// Theme is light, dark, or "" for what the system says.
	Theme string
	// Name is the visitor's; "" when nobody is signed in.
	Name      string
	Nav       []navItem
	Me        string // the address of the visitor's own access
	Here      string // the address of the page itself
	Flash     *flash
	RequestID string
	// PrintedAt is when the page was made, and Zone where the reader is, one of Zones.
	PrintedAt when
	Zone      string
	Zones     []string

	visit *visit
}

func (p *page) frame() *page { return p }

// navItem is a line of the navigation. Work is how much waits there for the visitor, or
// of what fails if it is Failing.
type navItem struct {
	Path    string
	Text    string
	Current bool
	Work    int
	Failing bool
}

// navigation is the console's, in order. An entry is shown to those who may open it.
var navigation = []struct{ path, text string }{
	{"/", "nav.overview"},
	{"/people", "nav.people"},
	{"/groups", "nav.groups"},
	{"/mappings", "nav.mappings"},
	{"/matrix", "nav.matrix"},
	{"/sites", "nav.sites"},
	{"/products", "nav.products"},
	{"/sync", "nav.sync"},
	{"/reviews", "nav.reviews"},
	{"/invitations", "nav.invitations"},
	{"/audit", "nav.audit"},
	{"/settings", "nav.settings"},
	{"/me", "nav.me"},
}

// page makes the frame of a page whose title is the text of a key.
func (v *visit) page(title string, values ...any) page {
	p := page{
		Title: v.words.t(title, values...), Lang: v.words.lang, Theme: v.prefs.Theme,
		Here: v.path, Flash: v.readFlash(), RequestID: v.id, PrintedAt: v.when(v.now), Zone: v.zone.String(), Zones: v.server.zones(), visit: v,
	}
	if !v.signedIn() {
		return p
	}
	p.Name, p.Me = name(v.person), v.link("/me")
	for _, entry := range navigation {
		if v.link(entry.path) == "" || entry.path == "/" && !v.meets(forOverview) {
			continue
		}
		here, _, _ := strings.Cut(v.path, "?")
		item := navItem{
			Path: entry.path, Text: v.words.t(entry.text),
			Current: here == entry.path || entry.path != "/" && strings.HasPrefix(here, entry.path+"/"),
		}
		switch entry.path {
		case "/reviews":
			item.Work = v.work()
		case "/sync":
			item.Work, item.Failing = len(v.failing()), true
		}
		p.Nav = append(p.Nav, item)
	}
	return p
}

// render writes a page once it is whole: never half a page with status 200.
func (s *Server) render(w http.ResponseWriter, status int, name string, data framed) error {
	v := data.frame().visit
	var b bytes.Buffer
	if err := s.pages[v.words.lang]().ExecuteTemplate(&b, "page "+name, data); err != nil {
		return err
	}
	if data.frame().Flash != nil {
		s.clearFlash(w)
	}
	whole := b.Bytes()
	if v.kept != nil && v.kept.Page == v.path && status == http.StatusOK {
		if filled, ok := refill(whole, v.kept, v.words.t("drafts.kept")); ok {
			whole = filled
			http.SetCookie(w, &http.Cookie{Name: keptCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode})
		}
	}
	out := v.send(w, status)
	out.Write(straight(whole)) // the browser may be gone
	return out.Close()
}

// renderSlowly writes a page whose last part takes its time: all before it goes out
// first, then finds what data lacks, and "rest NAME" ends the page. What goes wrong in
// then is for the rest to say, since the page has begun.
func (s *Server) renderSlowly(w http.ResponseWriter, name string, data framed, then func()) error {
	v := data.frame().visit
	part := func(names ...string) ([]byte, error) {
		var b bytes.Buffer
		for _, name := range names {
			if err := s.pages[v.words.lang]().ExecuteTemplate(&b, name, data); err != nil {
				return nil, err
			}
		}
		return straight(b.Bytes()), nil
	}
	begin, err := part("top", "main "+name)
	if err != nil {
		return err
	}
	if data.frame().Flash != nil {
		s.clearFlash(w)
	}
	out := v.send(w, http.StatusOK)
	out.Write(begin)
	out.Flush()
	then()
	rest, err := part("rest "+name, "bottom")
	if err != nil {
		s.log.Error("render the rest of "+name, "error", err, "request", v.id)
		panic(http.ErrAbortHandler)
	}
	out.Write(rest)
	return out.Close()
}

// sender sends a page, packed for a browser that unpacks it.
type sender struct {
	http.ResponseWriter
	packed *gzip.Writer // nil for none
}

// send begins the answer with a page.
func (v *visit) send(w http.ResponseWriter, status int) *sender {
	out := &sender{ResponseWriter: w}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", v.words.lang)
	h.Add("Vary", "Accept-Encoding")
	if v.packed {
		// No page shows a secret beside what a stranger chose: the cookie comes with no
		// request that another site makes unseen, so that sizes tell nobody anything.
		h.Set("Content-Encoding", "gzip")
		out.packed, _ = gzip.NewWriterLevel(w, gzip.BestSpeed)
	}
	w.WriteHeader(status)
	return out
}

func (s *sender) Write(b []byte) (int, error) {
	if s.packed != nil {
		return s.packed.Write(b)
	}
	return s.ResponseWriter.Write(b)
}

// Flush lets the browser show what was written.
func (s *sender) Flush() {
	if s.packed != nil {
		_ = s.packed.Flush() // the browser may be gone
	}
	_ = http.NewResponseController(s.ResponseWriter).Flush()
}

// Close ends the page.
func (s *sender) Close() error {
	if s.packed != nil {
		return s.packed.Close()
	}
	return nil
}

// attributeOrBox is an attribute of a tag, or a box of text. Outside of tags there are no
// quotation marks: templates write &#34; for those of names.
var attributeOrBox = regexp.MustCompile(`[a-z-]+="[^"]*"|<textarea[^>]*>[^<]*`)

// straight makes the texts of a page such that no name turns round what stands beside
// it. What controls hold stays as it is, since it comes back.
func straight(whole []byte) []byte {
	if !bytes.ContainsFunc(whole, store.Turns) {
		return whole
	}
	var b []byte
	at := 0
	for _, found := range attributeOrBox.FindAllIndex(whole, -1) {
		if control := whole[found[0]:found[1]]; control[0] == '<' || bytes.HasPrefix(control, []byte("value=")) {
			b = append(b, store.Straight(string(whole[at:found[0]]))...)
			b = append(b, control...)
			at = found[1]
		}
	}
	return append(b, store.Straight(string(whole[at:]))...)
}

// table is the head of a table; its rows are the page's own. The same columns are
// as wide on every page, so that nothing moves while rows arrive.
type table struct {
	ID string
	// Caption says what is in it; a page whose heading says so already hides it.
	Caption string
	Hidden  bool
	Columns []column
}

// column is one of a table. Width is a class of app.css: narrow, wide, or "" for a
// share of the rest; Number aligns figures.
type column struct {
	Title, Width string
	Number       bool
}

// columns makes columns of the keys of their titles, each with a width behind a
// colon if it has one.
func (v *visit) columns(keys ...string) []column {
	var all []column
	for _, key := range keys {
		key, width, _ := strings.Cut(key, ":")
		all = append(all, column{Title: v.words.t(key), Width: width, Number: width == "number"})
	}
	return all
}

// field is a control of a form with its label: text, or a choice when there are
// options. Of more options than maxOptions only a text is asked for.
type field struct {
	Name, Label, Value string
	Type               string // of the input; "" is text, lines is a text of several
	Hint, Error        string
	Any                string // the text of the empty option
	Options            []option
}

// option is one of a choice.
type option struct {
	Value, Text string
	Selected    bool
}

// maxOptions is how many a browser offers at once.
const maxOptions = 50

// choose makes a choice, with the option of that value selected.
func choose(name, label, any, value string, options []option) field {
	f := field{Name: name, Label: label, Any: any, Value: value}
	if len(options) > maxOptions {
		return f
	}
	for i := range options {
		options[i].Selected = options[i].Value == value
	}
	f.Options = options
	return f
}

// chip is a small label: a role at some sites.
type chip struct {
	Text  string
	Title string // the whole of it
	Deny  bool
}

// pager leads to the next page of a list, and to its start; "" is nowhere.
type pager struct{ Start, Next string }

// empty stands where a list has nothing.
type empty struct{ Text, Href, Link string }

// keyset makes the pager of a list whose place is in the query as after.
func keyset[K any](r *http.Request, next *K) pager {
	var p pager
	query := r.URL.Query()
	if query.Has("after") {
		p.Start = address(r.URL.EscapedPath(), query, "after", "")
	}
	if next != nil {
		text, _ := json.Marshal(next) // plain structs
		p.Next = address(r.URL.EscapedPath(), query, "after", base64.RawURLEncoding.EncodeToString(text))
	}
	return p
}

// place reads the place that keyset wrote.
func place[K any](r *http.Request) (K, error) {
	var key K
	text := r.URL.Query().Get("after")
	if text == "" {
		return key, nil
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(data, &key) != nil {
		return key, badRequest{"problem.after"}
	}
	return key, nil
}

// address is a path with a query in which one value is another one; "" leaves it
// out.
func address(path string, query url.Values, name, value string) string {
	changed := url.Values{}
	for k, values := range query {
		if k != name && values[0] != "" {
			changed[k] = values
		}
	}
	if value != "" {
		changed.Set(name, value)
	}
	if len(changed) == 0 {
		return path
	}
	return path + "?" + changed.Encode()
}

// instant is a store's instant as the visitor reads it.
func (v *visit) instant(at store.Instant) when { return v.when(at.Time) }
