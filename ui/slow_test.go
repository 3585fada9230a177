package ui

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gatehouse/store"
)

// What a page knows at once is in the browser before the rest is worked out, packed
// or not; what goes wrong then, the rest says.
func TestASlowPageBeginsAtOnce(t *testing.T) {
	t.Parallel()
	g := newRig(t)
	for _, packed := range []bool{false, true} {
		begun, went := make(chan struct{}), make(chan error, 1)
		s := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			v := g.console.newVisit(r)
			p := &checkPage{page: v.page("audit.checkTitle"), Known: v.chain(store.LogCheck{})}
			went <- g.console.renderSlowly(w, "check", p, func() {
				<-begun
				p.Problem = "it went wrong"
			})
		})
		server := httptest.NewServer(s)
		defer server.Close()
		r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		// The transport asks for gzip unless it is told not to, and unpacks it.
		resp, err := (&http.Transport{DisableCompression: !packed}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.Uncompressed != packed {
			t.Errorf("packed: got %v, want %v", resp.Uncompressed, packed)
		}
		read := make([]byte, 0, 1<<16)
		for !strings.Contains(string(read), "Before this check") {
			n, err := resp.Body.Read(read[len(read):cap(read)])
			if read = read[:len(read)+n]; err != nil {
				t.Fatalf("%v behind %s", err, read)
			}
		}
		if strings.Contains(string(read), "it went wrong") {
			t.Error("it all came at once")
		}
		close(begun)
		rest, err := io.ReadAll(resp.Body)
		if err != nil || !strings.Contains(string(rest), "it went wrong") || !strings.Contains(string(rest), "</html>") {
			t.Errorf("%v: the rest is %s", err, rest)
		}
		if err := <-went; err != nil {
			t.Error(err)
		}
	}
}
