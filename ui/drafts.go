package ui

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"gatehouse/access"
	"gatehouse/internal/seal"
	"gatehouse/store"

	"golang.org/x/net/html"
)

// forAccess is the right to whose pages drafts belong.
var forAccess = needs{access.ConsoleAccess, access.LevelChange}

func (s *Server) draftsRoutes() []route {
	return []route{
		{"POST", "/drafts", forAccess, s.keepDraft},
		{"GET", "/kept", signedIn, s.openKept},
	}
}

// maxAddress is how long an address may become, in bytes, before what it says is
// kept as a draft: proxies and chat programs cut longer ones off.
const maxAddress = 4096

// keepDraft takes the form of a page whose state is in its address (?for=), and leads
// to that page: with all of it in the address, or as a draft when it is too long.
func (s *Server) keepDraft(w http.ResponseWriter, r *http.Request, v *visit) error {
	to := pathOf(ownPath(r.URL.Query().Get("for")))
	_, pattern := s.mux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: to}})
	if s.needs[pattern] != forAccess {
		return badRequest{"problem.invalid"}
	}
	if err := r.ParseForm(); err != nil {
		return err
	}
	there, err := s.keep(r, v, to, r.PostForm)
	if errors.Is(err, store.ErrTooLong) {
		return badRequest{"problem.large"}
	}
	if err != nil {
		return err
	}
	return s.redirect(w, r, there)
}

// keep gives the address of a page in a state: with all of it, or with the draft that
// keeps it when that is too long. ErrTooLong when it is even for a draft.
func (s *Server) keep(r *http.Request, v *visit, path string, values url.Values) (string, error) {
	whole := address(path, values, "draft", "")
	if len(whole) <= maxAddress {
		return whole, nil
	}
	var draft store.Draft
	err := s.store.Write(r.Context(), v.actor(), func(tx *store.Tx) (err error) {
		draft, err = tx.KeepDraft(r.Context(), store.Draft{UserID: v.session.UserID, Doc: queryOf(whole).Encode()})
		return err
	})
	return address(path, nil, "draft", string(draft.ID)), err
}

// state is what a page's address says, and the address that says it: what follows
// the path, or the draft that it names.
func (s *Server) state(r *http.Request, v *visit) (url.Values, string, error) {
	query := r.URL.Query()
	id := query.Get("draft")
	if id == "" {
		return query, address(r.URL.EscapedPath(), query, "csv", ""), nil
	}
	draft, err := s.store.Draft(r.Context(), v.tenant(), v.session.UserID, store.DraftID(id))
	if errors.Is(err, store.ErrNotFound) {
		return nil, "", badRequest{"drafts.gone"}
	}
	if err != nil {
		return nil, "", err
	}
	values, err := url.ParseQuery(draft.Doc)
	return values, address(r.URL.EscapedPath(), nil, "draft", id), err
}

// keptCookie opens the form that was sent with a session that had lapsed. It holds
// the id of a draft and the only key to it.
const (
	keptCookie = "gatehouse-kept"
	keptFor    = 15 * time.Minute
)

// keptForm is a form that was sent and refused.
type keptForm struct {
	Page   string // where it was filled in
	Action string // where it went, without the query
	Form   url.Values
}

// keepForm keeps a form that somebody sent whose session had lapsed, for the same
// person in the same browser, and gives the address that shows it again. Nothing is
// kept for anybody else: "".
func (s *Server) keepForm(w http.ResponseWriter, r *http.Request, page string) string {
	ctx := r.Context()
	tenant, user, err := s.store.LapsedSession(ctx, s.secret(r))
	if err != nil || r.ParseForm() != nil || len(r.PostForm) == 0 || page == "/" {
		return ""
	}
	text, err := json.Marshal(keptForm{Page: page, Action: r.URL.Path, Form: r.PostForm})
	if err != nil {
		return ""
	}
	key := rand.Text() + rand.Text()
	sealer, err := keptSealer(key)
	if err != nil {
		return ""
	}
	var draft store.Draft
	err = s.store.Write(ctx, store.Actor{Tenant: tenant, Kind: store.ActorSystem}, func(tx *store.Tx) (err error) {
		draft, err = tx.KeepDraft(ctx, store.Draft{UserID: user, Doc: sealer.Seal(string(user), string(text)), ExpiresAt: store.At(s.store.Now().Add(keptFor))})
		return err
	})
	if err != nil {
		s.log.Info("keep a form", "error", err)
		return ""
	}
	s.setKept(w, r, string(draft.ID)+"."+key, int(keptFor/time.Second))
	return address("/kept", nil, "to", page)
}

func keptSealer(key string) (*seal.Sealer, error) {
	return seal.New("gatehouse kept form", []byte(key), "")
}

func (s *Server) setKept(w http.ResponseWriter, r *http.Request, value string, age int) {
	http.SetCookie(w, &http.Cookie{Name: keptCookie, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: !s.plain(r), SameSite: http.SameSiteLaxMode})
}

// readKept finds the form that the browser has kept for this visitor; nil is none.
func (s *Server) readKept(r *http.Request, v *visit) *keptForm {
	cookie, err := r.Cookie(keptCookie)
	if err != nil {
		return nil
	}
	id, key, _ := strings.Cut(cookie.Value, ".")
	draft, err := s.store.Draft(r.Context(), v.tenant(), v.session.UserID, store.DraftID(id))
	if err != nil {
		return nil
	}
	sealer, err := keptSealer(key)
	if err != nil {
		return nil
	}
	text, err := sealer.Open(string(v.session.UserID), draft.Doc)
	var kept keptForm
	if err != nil || json.Unmarshal([]byte(text), &kept) != nil {
		return nil
	}
	return &kept
}

// openKept leads from signing in to the page whose form was kept, or where it was.
func (s *Server) openKept(w http.ResponseWriter, r *http.Request, v *visit) error {
	if kept := s.readKept(r, v); kept != nil {
		return s.redirect(w, r, kept.Page)
	}
	return s.redirect(w, r, ownPath(r.URL.Query().Get("to")))
}

// refill puts what was typed back into a page: into the form that goes to the same
// address, but for what the page itself says there (hidden fields), secrets and
// files. It is only shown; whoever typed it sends it. Not ok if there is no such form.
func refill(page []byte, kept *keptForm, notice string) (filled []byte, ok bool) {
	doc, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		return nil, false
	}
	var form, main *html.Node
	for n := range doc.Descendants() {
		switch {
		case n.Type != html.ElementNode:
		case n.Data == "main":
			main = n
		case n.Data == "form" && form == nil && goesTo(n, kept.Action):
			form = n
		}
	}
	if form == nil || main == nil {
		return nil, false
	}
	typed := map[string]int{} // how many fields of a name were filled
	for n := range form.Descendants() {
		if n.Type == html.ElementNode {
			kept.fill(n, typed)
		}
	}
	for n := form; n != nil; n = n.Parent {
		if n.Data == "details" {
			setAttr(n, "open", true, "")
		}
	}
	p := &html.Node{Type: html.ElementNode, Data: "p", Attr: []html.Attribute{{Key: "class", Val: "flash"}, {Key: "role", Val: "status"}}}
	p.AppendChild(&html.Node{Type: html.TextNode, Data: notice})
	main.InsertBefore(p, main.FirstChild)
	var b bytes.Buffer
	if html.Render(&b, doc) != nil {
		return nil, false
	}
	return b.Bytes(), true
}

// goesTo reports whether a form that is sent, or a button in it, goes to a path.
func goesTo(form *html.Node, path string) bool {
	if attr(form, "method") == "post" && pathOf(attr(form, "action")) == path {
		return true
	}
	for n := range form.Descendants() {
		if n.Type == html.ElementNode && n.Data == "button" && pathOf(attr(n, "formaction")) == path {
			return true
		}
	}
	return false
}

// fill makes a control say what was typed into it.
func (k *keptForm) fill(n *html.Node, typed map[string]int) {
	name := attr(n, "name")
	values := k.Form[name]
	next := func() (string, bool) {
		i := typed[name]
		typed[name]++
		if i >= len(values) {
			return "", false
		}
		return values[i], true
	}
	switch kind := attr(n, "type"); {
	case name == "":
	case n.Data == "input" && slices.Contains([]string{"hidden", "password", "file", "submit", "button", "image"}, kind):
	case n.Data == "input" && (kind == "checkbox" || kind == "radio"):
		setAttr(n, "checked", slices.Contains(values, attr(n, "value")), "")
	case n.Data == "input":
		if text, ok := next(); ok {
			setAttr(n, "value", true, text)
		}
	case n.Data == "textarea":
		if text, ok := next(); ok {
			for n.FirstChild != nil {
				n.RemoveChild(n.FirstChild)
			}
			n.AppendChild(&html.Node{Type: html.TextNode, Data: text})
		}
	case n.Data == "select":
		for o := range n.Descendants() {
			if o.Data == "option" {
				setAttr(o, "selected", slices.Contains(values, attr(o, "value")), "")
			}
		}
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// setAttr gives an element an attribute, or takes it away.
func setAttr(n *html.Node, name string, has bool, value string) {
	n.Attr = slices.DeleteFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
	if has {
		n.Attr = append(n.Attr, html.Attribute{Key: name, Val: value})
	}
}
