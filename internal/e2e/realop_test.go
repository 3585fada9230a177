package e2e

import (
	"bufio"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/PuerkitoBio/goquery"

	"gatehouse/internal/idptest"
	"gatehouse/internal/pgtest"
)

// realProvider starts npm's oidc-provider, and gives its issuer.
func realProvider(t *testing.T, gatehouse string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "op.mjs"} {
		data, err := os.ReadFile(filepath.Join("testdata", "oidc-provider", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	get := exec.CommandContext(t.Context(), "npm", "ci", "--prefer-offline", "--fetch-retries=5", "--ignore-scripts", "--no-audit", "--no-fund")
	get.Dir = dir
	if output, err := get.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v (make deps gets node and npm)\n%s", err, output)
	}
	node := exec.CommandContext(t.Context(), "node", "op.mjs", "http://gatehouse.test/oidc/callback", "http://gatehouse.test/logout", gatehouse+"/oidc/backchannel-logout")
	node.Dir, node.Stderr = dir, t.Output()
	stdout, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = node.Process.Kill() // it has nothing to finish
		_ = node.Wait()
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "http://") {
			go io.Copy(io.Discard, stdout)
			return lines.Text()
		}
	}
	t.Fatal("the provider ended before it listened")
	return ""
}

// walk goes on at the provider, filling in its forms, until it leads to Gatehouse; it
// gives what the browser brings.
func (v *visitor) walk(address, account string) url.Values {
	v.t.Helper()
	answer, err := v.http.Get(address)
	for range 20 {
		if err != nil {
			v.t.Fatal(err)
		}
		if to, none := answer.Location(); none == nil {
			answer.Body.Close()
			if to.Host == "gatehouse.test" {
				return to.Query()
			}
			answer, err = v.http.Get(to.String())
			continue
		}
		page, parsed := goquery.NewDocumentFromReader(answer.Body)
		answer.Body.Close()
		if parsed != nil {
			v.t.Fatal(parsed)
		}
		form := page.Find("form").First()
		values := url.Values{}
		form.Find("input[name], button[name]").Each(func(_ int, in *goquery.Selection) {
			values.Set(in.AttrOr("name", ""), in.AttrOr("value", ""))
		})
		if values.Has("login") {
			values.Set("login", account)
			values.Set("password", "any")
		}
		to, parsed := answer.Request.URL.Parse(form.AttrOr("action", ""))
		if parsed != nil || form.Length() == 0 {
			v.t.Fatalf("%s has no form", answer.Request.URL)
		}
		answer, err = v.http.PostForm(to.String(), values)
	}
	v.t.Fatal("the provider leads nowhere")
	return nil
}

// TestRealProvider signs in at npm's oidc-provider, after its keys changed too, and out
// there: whoever signed in by the same session of the provider in another browser is
// told by the back channel.
func TestRealProvider(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	c := serve(t, database, forSignIn...)
	issuer := realProvider(t, c.host)
	connection := signInWith(t, database, "entra", &idptest.OP{URL: issuer, ClientID: "gatehouse", ClientSecret: "s3cret/with+odd:signs & blanks%"})
	c.user("ada@corp.example", object{"externalId": "ada"})

	there := newVisitor(t) // what the browsers know of the provider
	signIn := func() *visitor {
		t.Helper()
		v := newVisitor(t)
		status, to, text := v.get(c.host + "/login/start?provider=" + connection)
		if status != http.StatusSeeOther {
			t.Fatalf("start: status %d: %s", status, text)
		}
		if !v.finish(c.host, there.walk(to, "ada")) || !v.in(c.host) {
			t.Fatal("not in")
		}
		return v
	}
	first := signIn()
	rotated, err := http.Post(issuer+"/rotate", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	rotated.Body.Close()
	second := signIn()

	out, err := second.http.PostForm(c.host+"/logout", nil)
	if err != nil {
		t.Fatal(err)
	}
	out.Body.Close()
	page, err := second.http.Get(c.host + "/logout")
	if err != nil {
		t.Fatal(err)
	}
	page.Body.Close()
	to, found := strings.CutPrefix(page.Header.Get("Refresh"), "0; url="+issuer)
	if second.in(c.host) || !found {
		t.Fatalf("signing out leads to %q", page.Header.Get("Refresh"))
	}
	back := there.walk(issuer+to, "")
	if _, _, text := second.get(c.host + "/logout?" + back.Encode()); !strings.Contains(text, "of Gatehouse and of entra") {
		t.Errorf("back from the provider: %s", text)
	}
	if first.in(c.host) {
		t.Error("the other browser was not told")
	}
	t.Log("oidc_real_op: signed in, after a change of keys, out there, and out by the back channel")
}
