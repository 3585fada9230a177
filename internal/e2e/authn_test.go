package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A scimRoute is a row of the program's own table of routes.
type scimRoute struct{ Method, Pattern, Access string }

const scimPrefix = "/scim/{connection}/v2"

// scimRoutes are all routes that want a SCIM token, by the program's word.
func (p *badPlace) scimRoutes() []scimRoute {
	p.t.Helper()
	var all, found []scimRoute
	p.command(p.t, &all, "routes")
	for _, r := range all {
		if r.Access == "scim-token" {
			found = append(found, r)
		}
	}
	if len(found) < 40 {
		p.t.Fatalf("gatehouse routes lists %d routes of SCIM, want at least 40", len(found))
	}
	return found
}

// sample is a request that the route answers, with a body if it may have one. What
// stands for an id is one that there is.
func (p *badPlace) sample(r scimRoute) badInput {
	p.t.Helper()
	path, ok := strings.CutPrefix(r.Pattern, scimPrefix)
	if r.Pattern == "/scim/" {
		path, ok = "/nothing", true
	}
	collection, ofOne := strings.CutSuffix(path, "/{id}")
	if ofOne {
		ids := map[string]string{"/Users": "{user}", "/Groups": "{group}", "/Schemas": coreURN, "/ResourceTypes": "User", "/Roles": "nobody"}
		if ids[collection] == "" {
			p.t.Fatalf("%s %s: say here what an id of it is", r.Method, r.Pattern)
		}
		path = collection + "/" + ids[collection]
	}
	if !ok {
		p.t.Fatalf("%s %s is below no address of SCIM that is known here", r.Method, r.Pattern)
	}
	path = strings.TrimSuffix(path, "{$}")
	row := badInput{why: r.Method + " " + r.Pattern, method: r.Method, path: path}
	switch r.Method {
	case "":
		row.method = "OPTIONS"
	case "POST", "PUT", "PATCH":
		row.body = object{}
	}
	return row
}

// spellings are ways to write the address of a path below the endpoint that could
// lead around a check of it.
var spellings = []struct {
	why   string
	write func(path string) string
}{
	{"as it is", func(path string) string { return path }},
	{"a slash behind it", func(path string) string { return path + "/" }},
	{"two slashes before it", func(path string) string { return "/" + path }},
	{"two slashes behind it", func(path string) string { return path + "//" }},
	{"a dot before it", func(path string) string { return "/." + path }},
	{"a dot behind it", func(path string) string { return path + "/." }},
	{"there and back", func(path string) string { return "/x/.." + path }},
	{"out and in again", func(path string) string { return "/../v2" + path }},
	{"dots escaped", func(path string) string { return "/%2e%2e/v2" + path }},
	{"a slash escaped", func(path string) string { return "/..%2fv2" + path }},
	{"a backslash", func(path string) string { return `/..\v2` + path }},
	{"letters escaped", func(path string) string {
		if len(path) < 2 {
			return "/%55sers"
		}
		return "/%" + fmt.Sprintf("%02x", path[1]) + path[2:]
	}},
	{"in capitals", strings.ToUpper},
	{"in small letters", strings.ToLower},
	{"as a file", func(path string) string { return path + ".json" }},
	{"as an image", func(path string) string { return path + "/logo.png" }},
	{"a parameter in the path", func(path string) string { return path + ";v=1" }},
	{"NUL behind it", func(path string) string { return path + "%00" }},
	{"a line end behind it", func(path string) string { return path + "%0d%0a" }},
	{"a space behind it", func(path string) string { return path + "%20" }},
	{"a question", func(path string) string { return path + "?filter=id+pr&count=1" }},
	{"a public page behind it", func(path string) string { return path + "/../../../../livez" }},
	{"the endpoint twice", func(path string) string { return "/scim/{connection}/v2" + path }},
}

// TestNobodyGetsPastAuthentication sends every route in every spelling with every
// way of not being authenticated: the answer is always the same 401.
func TestNobodyGetsPastAuthentication(t *testing.T) {
	onBothBadPlaces(t, func(t *testing.T, p *badPlace) {
		ways := waysNotToBeAuthenticated()
		if len(ways) < 25 || len(spellings) < 15 {
			t.Fatalf("%d ways and %d spellings, want at least 25 and 15", len(ways), len(spellings))
		}
		want := p.send(badInput{method: "GET", path: "/Users", header: authorization()})
		if want.status != 401 || len(faults(want)) > 0 {
			t.Fatalf("without a token: answered %d %s %v", want.status, want.raw, faults(want))
		}
		before := p.tables()
		routes := p.scimRoutes()
		bypassed, n := 0, 0
		for i, route := range routes {
			row := p.sample(route)
			for j, way := range ways {
				for k, spelling := range spellings {
					// Each pair of the three is tried, on the databases by turns.
					if (i+j+k)%2 == 0 == strings.HasPrefix(p.database, "sqlite:") && k > 0 {
						continue
					}
					n++
					attempt := row
					attempt.path, attempt.header = spelling.write(row.path), way.header
					got := p.send(attempt)
					if got.status == 401 && bytes.Equal(got.raw, want.raw) && got.header.Get("WWW-Authenticate") == want.header.Get("WWW-Authenticate") {
						continue
					}
					if bypassed++; bypassed <= 20 {
						t.Errorf("%s, %s, %s: %s\nanswered %d %s", row.why, way.why, spelling.why, attempt.path, got.status, abbreviate(got.raw))
					}
				}
			}
		}
		same(t, "tables", p.tables(), before)
		for _, route := range routes {
			if got := p.send(p.sample(route)); got.status == 401 || got.status >= 500 && got.status != 501 {
				t.Errorf("%s %s with a token: answered %d", route.Method, route.Pattern, got.status)
			}
		}
		t.Logf("authn_bypass = %d of %d (%d routes, %d ways, %d spellings)", bypassed, n, len(routes), len(ways), len(spellings))
	})
}

// TestNothingIsReadBeforeAuthentication promises a body that never comes: who has
// no token is refused all the same, and not asked to go on.
func TestNothingIsReadBeforeAuthentication(t *testing.T) {
	onBothBadPlaces(t, func(t *testing.T, p *badPlace) {
		for _, route := range p.scimRoutes() {
			row := p.sample(route)
			for _, header := range []string{"", "Authorization: Bearer ghs_nobody\r\n", "Expect: 100-continue\r\n"} {
				conn, err := net.Dial("tcp", strings.TrimPrefix(p.host, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\n%sContent-Type: application/scim+json\r\nContent-Length: 1000000\r\n\r\n",
					row.method, p.fill.Replace(p.path+row.path), header)
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatalf("%s: no answer before the body: %v", row.why, err)
				}
				if answer.StatusCode != 401 {
					t.Errorf("%s: answered %d before the body, want 401", row.why, answer.StatusCode)
				}
				_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1000)) // the answer is what counts
				conn.Close()
			}
		}
	})
}
