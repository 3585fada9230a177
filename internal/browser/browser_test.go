package browser

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// faulty is a page with one of everything that tests of the console look for: were
// it not found here, finding nothing there would say nothing.
const faulty = `<!doctype html><html lang="en"><head><title>Faulty</title></head><body><main>
<h1 style="color:#ccc">Pale</h1>
<img src="http://%s/canary"><img alt="none" src="/missing.png">
<input name="q"><button type="button" style="outline:0">Press me</button>
<p style="width:50rem">Wide</p>
<script nonce="n">console.error("oh"); document.querySelector("button").addEventListener("click", () => { document.querySelector("p").textContent = "Pressed"; });</script>
<script>gatehouseReport("ran")</script>
<a href="/next">Next</a>
</main></body></html>`

func TestNothingIsOverlooked(t *testing.T) {
	b, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	canary := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(canary.Close)
	var policy string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Security-Policy", policy)
			fmt.Fprintf(w, faulty, canary.Listener.Addr())
		case "/next":
			fmt.Fprint(w, "Arrived")
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)

	p := b.Page(t, server.URL)
	p.Open("/")
	var faults []string
	from := p // where more of them may come from
	has := func(want string) {
		t.Helper()
		for deadline := time.Now().Add(Patience); ; time.Sleep(10 * time.Millisecond) {
			faults = append(faults, from.Faults()...)
			if slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, want) }) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("no fault has %q: %q", want, faults)
			}
		}
	}
	has("ran")
	has("oh")
	has("missing.png: answered 404")
	has("asked for http://" + canary.Listener.Addr().String())

	faults = p.Axe()
	has("color-contrast")
	has("label")
	has("image-alt")
	if got := p.Axe("label"); len(got) != 1 {
		t.Errorf("one rule of axe alone: got %q, want one violation", got)
	}
	if got := p.Wide(); len(got) == 0 {
		t.Error("a page of 50 rem fits into 320 pixels")
	}
	p.Press(Tab)
	p.Press(Tab)
	if got := p.Focus(); got.Shown || !strings.HasPrefix(got.Name, "button") {
		t.Errorf("the focus is at %+v, want the button, not shown", got)
	}
	p.Click("button", "Press me")
	p.WaitText("Pressed")
	p.Follow("link", "Next")
	p.WaitText("Arrived")
	if p.Clicks != 2 || p.Keys != 2 || p.Path() != "/next" {
		t.Errorf("%d clicks, %d keys, at %s, want 2, 2 and /next", p.Clicks, p.Keys, p.Path())
	}

	policy = "script-src 'nonce-n'; img-src 'self'"
	p.Faults()
	faults = nil
	p.Open("/")
	has("content policy: script-src-elem inline")
	has("content policy: img-src http://" + canary.Listener.Addr().String())
	if slices.Contains(faults, "ran") {
		t.Error("what the policy forbids ran")
	}

	quiet := b.Page(t, server.URL)
	quiet.WithoutScript()
	quiet.Open("/")
	from, faults = quiet, nil
	has("img-src") // the browser tells of it without a script
	if slices.ContainsFunc(faults, func(f string) bool { return strings.HasPrefix(f, "console") }) {
		t.Errorf("scripts run that are switched off: %q", faults)
	}
	quiet.Click("link", "Next")
	quiet.WaitText("Arrived")
}

// TestVendoredFilesAreAsTheyCame checks what scripts/vendor wrote down, so that
// nobody mends such a file by hand.
func TestVendoredFilesAreAsTheyCame(t *testing.T) {
	list, err := os.ReadFile("testdata/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	checked := map[string]bool{}
	for lines := bufio.NewScanner(bytes.NewReader(list)); lines.Scan(); {
		want, name, _ := strings.Cut(lines.Text(), "  ")
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != want {
			t.Errorf("%s is not the file that scripts/vendor fetched", name)
		}
		checked[name] = true
	}
	files, err := filepath.Glob("testdata/axe.*")
	if err != nil || len(files) != 2 {
		t.Fatalf("got %v %v, want axe and its licence", files, err)
	}
	for _, file := range files {
		if !checked[filepath.Base(file)] {
			t.Errorf("%s has no sum: run scripts/vendor", file)
		}
	}
}
