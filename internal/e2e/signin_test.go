package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/idptest"
	"gatehouse/internal/pgtest"
	"gatehouse/store"
)

// signInWith has the people of a connection sign in at a provider, found by their
// externalId, and gives the connection's id.
func signInWith(t *testing.T, database, connection string, op *idptest.OP) string {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(op.ClientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	var made struct {
		ID string `json:"connection_id"`
	}
	output := command(t, "--database-url="+database, "connection", "signin", "--name="+connection, "--issuer="+op.URL,
		"--client-id="+op.ClientID, "--client-secret-file="+secret, "--link=sub=externalId", "--json")
	if err := json.Unmarshal(output, &made); err != nil || made.ID == "" {
		t.Fatalf("connection signin printed %s: %v", output, err)
	}
	return made.ID
}

// visitor is a browser that follows no redirects.
type visitor struct {
	t    *testing.T
	http http.Client
}

func newVisitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t, http.Client{Jar: jar, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// get asks for a page, and gives its status, where it leads and its text. It may be
// called from any goroutine.
func (v *visitor) get(address string) (status int, to, text string) {
	v.t.Helper()
	answer, err := v.http.Get(address)
	if err != nil {
		v.t.Errorf("get %s: %v", address, err)
		return 0, "", ""
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Errorf("get %s: %v", address, err)
	}
	return answer.StatusCode, answer.Header.Get("Location"), string(body)
}

// begin goes to the provider, and gives what it sends back.
func (v *visitor) begin(host, connection, who string, op *idptest.OP) url.Values {
	v.t.Helper()
	status, to, text := v.get(host + "/login/start?" + url.Values{"provider": {connection}, "login_hint": {who}}.Encode())
	if status != http.StatusSeeOther {
		v.t.Errorf("start of %s: status %d: %s", who, status, text)
		return nil
	}
	back, err := op.Visit(to)
	if err != nil {
		v.t.Errorf("%s at the provider: %v", who, err)
	}
	return back
}

// finish comes back from it, and reports whether that lets one in.
func (v *visitor) finish(host string, back url.Values) bool {
	v.t.Helper()
	status, to, _ := v.get(host + "/oidc/callback?" + back.Encode())
	return status == http.StatusSeeOther && to == "/"
}

// in reports whether the browser is signed in.
func (v *visitor) in(host string) bool {
	v.t.Helper()
	status, _, _ := v.get(host + "/me")
	return status == http.StatusOK
}

// forSignIn are the flags of servers that are replicas, and whose providers are on
// this machine.
var forSignIn = []string{"--loopback-issuers", "--url=http://gatehouse.test"}

// TestParallelSignInsNeverSwap signs 200 people in at once: those of two providers
// that call theirs by the same subjects, each beginning at one of two servers and
// coming back to the other. A race that a server finds in itself is a line of its log
// that fails the test.
func TestParallelSignInsNeverSwap(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	for _, name := range []string{"entra", "okta"} {
		command(t, "--database-url="+database, "connection", "add", "--tenant=default", "--name="+name, "--idp="+name)
	}
	var hosts []string
	for range 2 {
		address, _ := listenBy(t, racing, database, forSignIn...)
		hosts = append(hosts, "http://"+address)
	}
	a := arrange(t, database, "default")
	const each = 100
	type side struct {
		name, id string
		op       *idptest.OP
	}
	var sides []side
	for _, name := range []string{"entra", "okta"} {
		op := idptest.Crowd(t)
		one := side{name, signInWith(t, database, name, op), op}
		sides = append(sides, one)
		a.write(func(ctx context.Context, tx *store.Tx) error {
			for i := range each {
				_, err := tx.CreateUser(ctx, store.ConnectionRef{Tenant: a.tenant, ID: store.ConnectionID(one.id)}, store.User{
					UserName: fmt.Sprintf("%s-%03d", name, i), ExternalID: fmt.Sprintf("subject-%03d", i), Active: true, Doc: []byte(`{}`), Search: []byte(`{}`),
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	in, swaps := 0, 0
	for i := range 2 * each {
		wg.Go(func() {
			one, who := sides[i%2], fmt.Sprintf("subject-%03d", i/2)
			v := newVisitor(t)
			back := v.begin(hosts[i/2%2], one.id, who, one.op)
			if back == nil || !v.finish(hosts[(i/2+1)%2], back) {
				t.Errorf("%s of %s did not come in", who, one.name)
				return
			}
			_, _, page := v.get(hosts[i/4%2] + "/me")
			mu.Lock()
			defer mu.Unlock()
			in++
			if want := fmt.Sprintf(`popovertarget="profile">%s-%03d</button>`, one.name, i/2); !strings.Contains(page, want) {
				swaps++
				t.Errorf("%s of %s is not called %s", who, one.name, want)
			}
		})
	}
	wg.Wait()
	t.Logf("oidc_parallel_swaps = %d of %d", swaps, in)
	if in != 2*each || swaps != 0 {
		t.Errorf("%d came in and %d were swapped, want %d and none", in, swaps, 2*each)
	}
}

// TestWhoeverIsTakenAwayIsOutElsewhere takes people away over SCIM at one server, and
// asks the other.
func TestWhoeverIsTakenAwayIsOutElsewhere(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	c := serve(t, database, forSignIn...)
	other := "http://" + listen(t, database, forSignIn...)
	idp := idptest.Crowd(t)
	connection := signInWith(t, database, "entra", idp)
	const trials = 100
	var took []time.Duration
	late := 0
	for i := range trials {
		who := fmt.Sprintf("subject-%03d", i)
		id := c.user(who+"@corp.example", object{"externalId": who})
		v, half := newVisitor(t), newVisitor(t)
		if !v.finish(other, v.begin(c.host, connection, who, idp)) || !v.in(other) || !v.in(c.host) {
			t.Fatalf("trial %d: not in before anything was taken away", i)
		}
		back := half.begin(other, connection, who, idp)
		deleted := i%4 == 3
		if deleted {
			c.want(204, "DELETE", "/Users/"+id, nil)
		} else {
			c.want(200, "PATCH", "/Users/"+id, patch(op("replace", "active", false)))
		}
		since := time.Now()
		if v.in(other) {
			late++
			t.Errorf("trial %d: in at the very next request elsewhere", i)
		}
		took = append(took, time.Since(since))
		if v.in(c.host) {
			t.Errorf("trial %d: in where it was done", i)
		}
		if i%2 == 0 {
			// Also when she is let in again before she comes back: it is older than that.
			c.want(200, "PATCH", "/Users/"+id, patch(op("replace", "active", true)))
		}
		if half.finish(other, back) || half.in(other) {
			t.Errorf("trial %d: a sign-in that was begun before lets her in", i)
		}
		if v.in(other) {
			t.Errorf("trial %d: an old session revives", i)
		}
		if i%2 == 0 && !half.finish(other, half.begin(c.host, connection, who, idp)) {
			t.Errorf("trial %d: let in again, and a new sign-in doesn't work", i)
		}
	}
	slices.Sort(took)
	t.Logf("revocation_latency = %d of %d in at the next request on the other server; refused there p99 %v, max %v after the 2xx",
		late, trials, took[trials*99/100].Round(time.Microsecond), took[trials-1].Round(time.Microsecond))
}

// consoleRoutes are all routes for people who are signed in, by the program's word.
func consoleRoutes(t *testing.T) []scimRoute {
	t.Helper()
	var all []scimRoute
	if err := json.Unmarshal(command(t, "routes", "--json"), &all); err != nil {
		t.Fatal(err)
	}
	found := slices.DeleteFunc(all, func(r scimRoute) bool { return r.Access != "session" })
	if len(found) < 5 {
		t.Fatalf("gatehouse routes lists %d routes of the console", len(found))
	}
	return found
}

// TestNobodyGetsPastTheConsole asks for every page, and sends every form, in every
// way of not being signed in.
func TestNobodyGetsPastTheConsole(t *testing.T) {
	onBothBadPlaces(t, func(t *testing.T, p *badPlace) {
		token := p.fill.Replace("{token}")
		key := p.keysFor()
		st := arrangeConsole(t, p.database)
		ann, gone := st.person("ann-of-the-console", true), st.person("gone", true)
		secret, session := st.session(ann)
		signedOut, ended := st.session(ann)
		goneSecret, _ := st.session(gone)
		st.write(func(ctx context.Context, tx *store.Tx) error {
			if err := tx.EndSession(ctx, ended); err != nil {
				return err
			}
			_, err := tx.ChangePerson(ctx, gone, func(one store.Person) store.Person { one.LoginAllowed = false; return one })
			return err
		})
		cookie := func(value string) http.Header { return http.Header{"Cookie": {"gatehouse=" + value}} }
		bearer := func(value string) http.Header { return http.Header{"Authorization": {"Bearer " + value}} }
		ways := []badCredential{
			{"nothing", http.Header{}},
			{"an empty cookie", cookie("")},
			{"a prefix alone", cookie("ghu_")},
			{"a made-up secret", cookie("ghu_" + strings.Repeat("A", 43))},
			{"cut off", cookie(secret[:len(secret)-1])},
			{"a letter too many", cookie(secret + "A")},
			{"a letter before it", cookie("A" + secret)},
			{"without its prefix", cookie(secret[4:])},
			{"in capitals", cookie(strings.ToUpper(secret))},
			{"escaped", cookie(url.QueryEscape("%67" + secret[1:]))},
			{"signed out", cookie(signedOut)},
			{"of somebody who is blocked", cookie(goneSecret)},
			{"the session's id", cookie(string(session))},
			{"the person's id", cookie(string(ann))},
			{"a SCIM token as a cookie", cookie(token)},
			{"a product key as a cookie", cookie(key)},
			{"a SCIM token", bearer(token)},
			{"a product key", bearer(key)},
			{"the secret as a bearer", bearer(secret)},
			{"Basic", http.Header{"Authorization": {"Basic YW5uOnNlY3JldA=="}}},
			{"a JWT of nobody", bearer("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.")},
			{"the secret under another name", http.Header{"Cookie": {"session=" + secret}}},
			{"the name in capitals", http.Header{"Cookie": {"GATEHOUSE=" + secret}}},
			{"the name of TLS", http.Header{"Cookie": {"__Host-gatehouse=" + secret}}},
			{"twice, a bad one first", http.Header{"Cookie": {"gatehouse=x; gatehouse=" + secret}}},
			{"in a header of a proxy", http.Header{"X-Forwarded-User": {"ann"}, "Remote-User": {"ann"}, "X-Session": {secret}}},
			{"SQL", cookie("' OR '1'='1")},
			{"not UTF-8", cookie("ghu_\xff\xfe")},
			{"10,000 letters", cookie("ghu_" + strings.Repeat("A", 10_000))},
		}
		send := func(method, address string, header http.Header) (int, string) {
			var body io.Reader
			if method == "POST" {
				body = strings.NewReader("id=x")
			}
			r, err := http.NewRequestWithContext(t.Context(), method, p.host+address, body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header = header.Clone()
			if method == "POST" {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				r.Header.Set("Origin", p.host)
			}
			answer, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatalf("%s %s: %v", method, address, err)
			}
			defer answer.Body.Close()
			if _, err := io.Copy(io.Discard, answer.Body); err != nil {
				t.Fatal(err)
			}
			return answer.StatusCode, answer.Header.Get("Location")
		}
		before := p.tables()
		bypassed, n := 0, 0
		refused := func(why, method, address string, header http.Header, elsewhere bool) {
			n++
			status, to := send(method, address, header)
			if status == 303 && strings.HasPrefix(to, "/login?to=") || elsewhere && (status == 400 || status == 401 || status == 404 || status == 405) {
				return
			}
			if bypassed++; bypassed <= 20 {
				t.Errorf("%s, %s %s: answered %d to %q, want to be sent to sign in", why, method, address, status, to)
			}
		}
		sample := func(route scimRoute) string {
			address := strings.TrimSuffix(route.Pattern, "{$}")
			for strings.Contains(address, "{") {
				from, rest, _ := strings.Cut(address, "{")
				_, rest, _ = strings.Cut(rest, "}")
				address = from + string(ann) + rest
			}
			return address
		}
		routes := consoleRoutes(t)
		for i, route := range routes {
			address := sample(route)
			for _, way := range ways {
				refused(way.why, route.Method, address, way.header, false)
			}
			refused("the secret in the address", route.Method, address+"?gatehouse="+secret+"&session="+secret, http.Header{}, false)
			for j, spelling := range spellings {
				way := ways[(i+j)%len(ways)]
				refused(way.why+", "+spelling.why, route.Method, spelling.write(address), way.header, true)
			}
		}
		same(t, "tables", p.tables(), before)
		for _, route := range routes {
			status, to := send(route.Method, sample(route), cookie(secret))
			if strings.HasPrefix(to, "/login?to=") || status >= 500 {
				t.Errorf("the control, signed in: %s answered %d to %q", route.Pattern, status, to)
			}
			secret, _ = st.session(ann) // the control may have signed out
		}
		t.Logf("authn_bypass = %d of %d (%d routes of the console, %d ways, %d spellings)", bypassed, n, len(routes), len(ways)+1, len(spellings))
	})
}

// consoleArranger makes people who are signed in.
type consoleArranger struct {
	*arranger
	ref store.ConnectionRef
}

func arrangeConsole(t *testing.T, database string) consoleArranger {
	t.Helper()
	st, err := store.Open(t.Context(), database, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	tenant, err := st.TenantNamed(t.Context(), "default")
	if err != nil {
		t.Fatal(err)
	}
	all, err := st.Connections(t.Context(), tenant.ID)
	if err != nil {
		t.Fatal(err)
	}
	return consoleArranger{&arranger{Store: st, t: t, tenant: tenant.ID}, all[0].Ref()}
}

// person makes somebody, an owner of the console if she is to own it.
func (a consoleArranger) person(name string, owner bool) (id store.UserID) {
	a.t.Helper()
	a.write(func(ctx context.Context, tx *store.Tx) error {
		u, err := tx.CreateUser(ctx, a.ref, store.User{UserName: name, Active: true, Doc: []byte(`{}`), Search: []byte(`{}`)})
		if id = u.ID; err != nil || !owner {
			return err
		}
		_, err = tx.AddGrants(ctx, access.Grant{Subject: access.Grantee{User: access.UserID(id)}, Effect: access.Allow, Product: access.ConsoleID,
			Role: access.RoleOwner, Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect})
		return err
	})
	return id
}

// session signs somebody in.
func (a consoleArranger) session(id store.UserID) (secret string, of store.SessionID) {
	a.t.Helper()
	a.write(func(ctx context.Context, tx *store.Tx) error {
		s, opens, err := tx.CreateSession(ctx, store.Session{UserID: id, Method: store.MethodOIDC})
		secret, of = opens, s.ID
		return err
	})
	return secret, of
}

// TestUnlinkedByCommand has SCIM give somebody another externalId: nobody is let in as
// her until somebody unlinks her, which ends what she has open.
func TestUnlinkedByCommand(t *testing.T) {
	t.Parallel()
	database := "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db")
	c := serve(t, database, forSignIn...)
	idp := idptest.Crowd(t)
	connection := signInWith(t, database, "entra", idp)
	id := c.user("ada@corp.example", object{"externalId": "subject-001"})
	before, after := newVisitor(t), newVisitor(t)
	if !before.finish(c.host, before.begin(c.host, connection, "subject-001", idp)) {
		t.Fatal("she can't sign in")
	}
	c.want(200, "PATCH", "/Users/"+id, patch(op("replace", "externalId", "subject-002")))
	for _, who := range []string{"subject-001", "subject-002"} {
		if after.finish(c.host, after.begin(c.host, connection, who, idp)) {
			t.Errorf("%s comes in as somebody who was subject-001 before and has another externalId now", who)
		}
	}
	if !before.in(c.host) {
		t.Fatal("out before she is unlinked")
	}
	unlink := []string{"connection", "unlink", "--database-url=" + database, "--name=entra", "--user=ADA@corp.example", "--json"}
	if output := command(t, unlink...); !strings.Contains(string(output), `"subject":"subject-001"`) {
		t.Errorf("unlink printed %s", output)
	}
	if before.in(c.host) {
		t.Error("what she had open works on")
	}
	if after.finish(c.host, after.begin(c.host, connection, "subject-001", idp)) {
		t.Error("who she was before comes in")
	}
	if !after.finish(c.host, after.begin(c.host, connection, "subject-002", idp)) || !after.in(c.host) {
		t.Error("who she is now does not come in")
	}
}
