package ui

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"gatehouse/access"
	"gatehouse/store"

	"github.com/PuerkitoBio/goquery"
)

// TestNamesTurnNothing opens every page and file of a company in which everything is
// called so that it would turn round the rest of its line: only controls, which send it
// back, hold that.
func TestNamesTurnNothing(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t), t.Context()
	// The ends are how a name would look like an attribute that is left alone.
	const turned = "\u202e nimdA \u2067\u2069\u200f\u061c value=textarea>"
	w.write(func(tx *store.Tx) error {
		renamed := 0
		for _, ref := range w.refs {
			for _, id := range w.users {
				_, err := tx.UpdateUser(ctx, ref, id, func(u store.User) (store.User, error) {
					renamed++
					return user(u.UserName, u.DisplayName+turned, u.Active), nil
				})
				if err != nil && !errors.Is(err, store.ErrNotFound) { // it is of another provider
					return err
				}
			}
			for _, id := range w.groups {
				_, _, err := tx.UpdateGroup(ctx, ref, id, func(o store.Group) (store.Group, store.MemberDelta, error) {
					renamed++
					o.DisplayName += turned
					o.Doc = fmt.Appendf(nil, `{"displayname":%q}`, store.Fold(o.DisplayName))
					o.Search = o.Doc
					return o, store.MemberDelta{}, nil
				})
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
			}
		}
		if renamed != len(w.users)+len(w.groups) {
			return fmt.Errorf("renamed %d of %d people and %d groups", renamed, len(w.users), len(w.groups))
		}
		for _, id := range w.sites {
			if _, err := tx.ChangeSite(ctx, id, func(s access.Site) access.Site { s.Name += turned; return s }); err != nil {
				return err
			}
		}
		policy, err := tx.Policy(ctx)
		if err != nil {
			return err
		}
		p, _ := policy.Product("clicktime")
		p.Name += turned
		p.Roles, p.Permissions = slices.Clone(p.Roles), slices.Clone(p.Permissions)
		for i := range p.Roles {
			p.Roles[i].Name += turned
		}
		for i := range p.Permissions {
			p.Permissions[i].Name += turned
		}
		return tx.SetProduct(ctx, p)
	})
	turns := func(text string) bool { return strings.ContainsFunc(text, store.Turns) }
	shown, kept := 0, 0
	for _, e := range append(slices.Clone(examples), example{route: "GET /sites/{id}/edit", path: "/sites/{site}/edit"}) {
		if e.method() != "GET" || e.route == "GET /sites.csv" { // which the console reads again
			continue
		}
		got := w.ask(sam, e, w.mine)
		shown += strings.Count(got.body, " nimdA ")
		if !strings.HasPrefix(got.header.Get("Content-Type"), "text/html") {
			if turns(got.body) {
				t.Errorf("%s turns: %q", e.path, got.body)
			}
			continue
		}
		for _, node := range got.Find("*").EachIter() {
			tag := goquery.NodeName(node)
			for _, a := range node.Nodes[0].Attr {
				switch {
				case !turns(a.Val):
				case a.Key == "value" && tag == "input":
					kept++
				default:
					t.Errorf("%s: <%s %s=%q> turns", e.path, tag, a.Key, a.Val)
				}
			}
		}
		if got.Find("textarea").Remove(); turns(got.Text()) {
			t.Errorf("%s turns: %q", e.path, got.text("html"))
		}
	}
	if shown < 100 || kept == 0 {
		t.Errorf("such a name is shown %d times and is in %d fields: the test looks at too little", shown, kept)
	}
}

// TestNothingNewTurns types such names: the console says so beside the field.
func TestNothingNewTurns(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		const turned = "Bob\u202e nimdA"
		group, uithof := string(g.groups["Planning"]), string(g.sites["uithof"])
		g.get(sam, "/people") // counts the visit
		for field, path := range map[string]string{
			"name":   "/sites/new?" + url.Values{"dimension": {"site"}, "name": {turned}, "key": {"x"}}.Encode(),
			"reason": "/mappings/new?" + url.Values{"group": {group}, "what": {"role/clicktime/client"}, "s.site": {uithof}, "reason": {turned}}.Encode(),
			"guest":  "/invitations/new?" + url.Values{"name": {turned}, "email": {"bob@klus.example"}, "what": {"role/clicktime/client"}, "s.site": {uithof}}.Encode(),
		} {
			if field == "guest" {
				field = "name"
			}
			before := g.snapshot()
			for status, got := range map[int]answer{200: g.get(sam, path), 400: g.post(sam, path, url.Values{"digest": {"x"}, "key": {store.NewProposalKey()}})} {
				if got.status != status || !strings.HasPrefix(got.text("#e-"+field), "It has an unseen character") || got.Find("#impact form").Length() > 0 {
					t.Errorf("%s: status %d, want %d: %s", path, got.status, status, got.text("main"))
				}
			}
			if after := g.snapshot(); after != before {
				t.Errorf("%s: something changed:\n%s", path, difference(before, after))
			}
		}
	})
}

func TestStraight(t *testing.T) {
	t.Parallel()
	for page, want := range map[string]string{
		"<b>Bob\u202e</b>": "<b>Bob</b>",
		`<input value="a` + "\u202e" + `"> a` + "\u202e":  `<input value="a` + "\u202e" + `"> a`,
		`<p title="x value=">` + "\u2066" + `<a href="">`: `<p title="x value="><a href="">`,
		"<textarea name=\"a\">\u200f</textarea>\u200f":    "<textarea name=\"a\">\u200f</textarea>",
		"naïve – €": "naïve – €",
	} {
		if got := string(straight([]byte(page))); got != want {
			t.Errorf("%q: got %q, want %q", page, got, want)
		}
	}
	if !slices.ContainsFunc([]rune("\u061c"), store.Turns) || slices.ContainsFunc([]rune("aé–\u200b\u2028שع"), store.Turns) {
		t.Error("other characters turn")
	}
}
