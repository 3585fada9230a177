package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/access"
	"gatehouse/internal/pgtest"
	"gatehouse/store"
)

// An arranger writes what is granted into a tenant, beside the servers.
type arranger struct {
	*store.Store
	t      *testing.T
	tenant store.TenantID
	berlin access.SiteID
}

// arrange makes the products clicktime, at sites, and phone.
func arrange(t *testing.T, database, tenant string) *arranger {
	t.Helper()
	st, err := store.Open(t.Context(), database, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	found, err := st.TenantNamed(t.Context(), tenant)
	if err != nil {
		t.Fatal(err)
	}
	a := &arranger{Store: st, t: t, tenant: found.ID, berlin: store.NewSiteID()}
	a.write(func(ctx context.Context, tx *store.Tx) error {
		if err := tx.SetDimension(ctx, access.Dimension{ID: "site"}); err != nil {
			return err
		}
		if _, err := tx.AddSites(ctx, access.Site{ID: a.berlin, Dimension: "site", Key: "berlin"}, access.Site{Dimension: "site", Key: "in-" + tenant}); err != nil {
			return err
		}
		err := tx.SetProduct(ctx, access.Product{ID: "clicktime", Dimensions: []access.DimensionID{"site"}, Permissions: []access.Permission{{ID: "timesheet"}}})
		if err != nil {
			return err
		}
		return tx.SetProduct(ctx, access.Product{ID: "phone", Permissions: []access.Permission{{ID: "call"}}})
	})
	return a
}

func (a *arranger) write(f func(context.Context, *store.Tx) error) {
	a.t.Helper()
	err := a.Write(a.t.Context(), store.Actor{Tenant: a.tenant, Kind: store.ActorCLI}, func(tx *store.Tx) error { return f(a.t.Context(), tx) })
	if err != nil {
		a.t.Fatal(err)
	}
}

// grant lets somebody write time sheets at berlin.
func (a *arranger) grant(to access.Grantee) access.GrantID {
	a.t.Helper()
	var added []access.Grant
	a.write(func(ctx context.Context, tx *store.Tx) (err error) {
		added, err = tx.AddGrants(ctx, access.Grant{Subject: to, Effect: access.Allow, Product: "clicktime", Permission: "timesheet", Level: access.LevelAllow,
			Scope: access.Scope{Sites: map[access.DimensionID]access.Selection{"site": {Sites: []access.SiteID{a.berlin}}}}, Origin: access.OriginMapping})
		return err
	})
	return added[0].ID
}

// A product calls the API with its key.
type product struct {
	host, key string
	t         *testing.T
}

func (p product) do(method, path string, body any) answer {
	p.t.Helper()
	got, err := p.ask(method, path, body)
	if err != nil {
		p.t.Fatalf("%s %s: %v", method, path, err)
	}
	return got
}

// ask is do for any goroutine.
func (p product) ask(method, path string, body any) (got answer, err error) {
	var send io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return got, err
		}
		send = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(p.t.Context(), method, p.host+path, send)
	if err != nil {
		return got, err
	}
	request.Header = http.Header{"Authorization": {"Bearer " + p.key}, "Content-Type": {"application/json"}}
	response, err := products.Do(request)
	if err != nil {
		return got, err
	}
	defer response.Body.Close()
	got = answer{request: method + " " + path, status: response.StatusCode, header: response.Header}
	got.raw, err = io.ReadAll(response.Body)
	got.doc = decode(got.raw)
	return got, err
}

// products keep as many connections as they have askers.
var products = http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: askers}}

func question(id string) object {
	return object{"subject": object{"type": "user", "id": id}, "action": object{"name": "timesheet"}, "resource": object{"type": "site", "id": "berlin"}}
}

const decisionPath = "/p/clicktime/access/v1/evaluation"

// decides asks whether somebody may, and wants a decision.
func (p product) decides(id string) bool {
	p.t.Helper()
	got := p.do("POST", decisionPath, question(id))
	decision, ok := got.doc["decision"].(bool)
	if got.status != 200 || !ok {
		p.t.Fatalf("a decision: answered %d %s", got.status, got.raw)
	}
	return decision
}

func addKey(t *testing.T, database, tenant, product string, more ...string) (key, id string) {
	t.Helper()
	var added struct {
		Key string `json:"api_key"`
		ID  string `json:"key_id"`
	}
	output := command(t, append([]string{"--database-url=" + database, "key", "add", "--tenant=" + tenant, "--product=" + product, "--json"}, more...)...)
	if err := json.Unmarshal(output, &added); err != nil || added.Key == "" {
		t.Fatalf("key add printed %s: %v", output, err)
	}
	return added.Key, added.ID
}

// TestRemovalsCountAtOnceElsewhere takes access away through one server and asks the
// other on the same database: its very next answer is no.
func TestRemovalsCountAtOnceElsewhere(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	c := serve(t, database)
	a := arrange(t, database, "default")
	key, _ := addKey(t, database, "default", "clicktime")
	other := product{host: "http://" + listen(t, database), key: key, t: t}
	here := product{host: c.host, key: key, t: t}
	const trials = 200
	stale, counts := 0, map[string]int{}
	for i := range trials {
		id := c.user(fmt.Sprintf("trial%03d@corp.example", i), nil)
		inner := c.group(fmt.Sprintf("Inner %03d", i), id)
		outer := inner
		if i%2 == 1 {
			outer = c.group(fmt.Sprintf("Outer %03d", i), inner)
		}
		grant := a.grant(access.Grantee{Group: access.GroupID(outer)})
		if !other.decides(id) || !here.decides(id) {
			t.Fatalf("trial %d: no before anything was taken away", i)
		}
		kinds := []struct {
			what string
			take func()
		}{
			{"active=false", func() { c.want(200, "PATCH", "/Users/"+id, patch(op("replace", "active", false))) }},
			{"removed from the group", func() { c.want(204, "PATCH", "/Groups/"+inner, patch(remove(`members[value eq "`+id+`"]`))) }},
			{"group deleted", func() { c.want(204, "DELETE", "/Groups/"+outer, nil) }},
			{"grant ended", func() { a.write(func(ctx context.Context, tx *store.Tx) error { return tx.EndGrants(ctx, grant) }) }},
			{"user deleted", func() { c.want(204, "DELETE", "/Users/"+id, nil) }},
			{"denied", func() {
				a.write(func(ctx context.Context, tx *store.Tx) error {
					_, err := tx.AddGrants(ctx, access.Grant{Subject: access.Grantee{User: access.UserID(id)}, Effect: access.Deny, Product: "clicktime",
						Permission: "timesheet", Level: access.LevelAllow, Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect})
					return err
				})
			}},
			{"blocked here", func() {
				a.write(func(ctx context.Context, tx *store.Tx) error {
					_, err := tx.ChangePerson(ctx, store.UserID(id), func(p store.Person) store.Person { p.LoginAllowed = false; return p })
					return err
				})
			}},
			{"site archived", func() {
				a.write(func(ctx context.Context, tx *store.Tx) error {
					_, err := tx.ChangeSite(ctx, a.berlin, func(s access.Site) access.Site { s.Archived = true; return s })
					return err
				})
			}},
		}
		kind := kinds[i%len(kinds)]
		kind.take()
		counts[kind.what]++
		if other.decides(id) || here.decides(id) {
			stale++
			t.Errorf("trial %d: yes after %s", i, kind.what)
		}
		if kind.what == "site archived" {
			a.write(func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.ChangeSite(ctx, a.berlin, func(s access.Site) access.Site { s.Archived = false; return s })
				return err
			})
		}
	}
	t.Logf("stale_answers = %d of %d: %v", stale, trials, counts)
}

// TestRevokedKeysStop revokes keys while they are in use: on every server they stop
// within half a second, but where the machine stood still meanwhile, and do not come
// back.
func TestRevokedKeysStop(t *testing.T) {
	t.Parallel()
	database := pgtest.URL(t)
	c := serve(t, database)
	arrange(t, database, "default")
	hosts := []string{c.host, "http://" + listen(t, database)}
	const trials = 5
	late := 0
	for trial := range trials {
		key, id := addKey(t, database, "default", "clicktime")
		for _, host := range hosts {
			if got := (product{host, key, t}).do("POST", decisionPath, question("nobody")); got.status != 200 {
				t.Fatalf("trial %d: a new key: answered %d", trial, got.status)
			}
		}
		command(t, "--database-url="+database, "key", "revoke", "--product=clicktime", id)
		revoked, inTime := time.Now(), true
		for _, host := range hosts {
			for {
				asked := time.Since(revoked)
				got := product{host, key, t}.do("POST", decisionPath, question("nobody"))
				if got.status == 401 {
					break
				}
				if got.status != 200 || asked > patience {
					t.Fatalf("trial %d: asked %v after a key was revoked: answered %d", trial, asked, got.status)
				}
				inTime = inTime && asked <= 500*time.Millisecond
			}
			for range 20 {
				if got := (product{host, key, t}).do("POST", decisionPath, question("nobody")); got.status != 401 {
					t.Fatalf("trial %d: a revoked key that was refused is answered %d", trial, got.status)
				}
			}
		}
		if !inTime {
			late++
		}
	}
	if late == trials {
		t.Errorf("in none of %d trials a revoked key stopped within half a second", trials)
	}
}

// productRoutes are all routes that want a product key, by the program's word.
func (p *badPlace) productRoutes() []scimRoute {
	p.t.Helper()
	var all, found []scimRoute
	p.command(p.t, &all, "routes")
	for _, r := range all {
		if r.Access == "product-key" {
			found = append(found, r)
		}
	}
	if len(found) < 20 {
		p.t.Fatalf("gatehouse routes lists %d routes of products, want at least 20", len(found))
	}
	return found
}

// sampleOf is a request that a route of the API answers.
func (p *badPlace) sampleOf(r scimRoute) badInput {
	p.t.Helper()
	path := strings.NewReplacer("{product}", "clicktime", "{id}", "{user}", "{dimension}", "site", "{key}", "berlin").Replace(r.Pattern)
	if strings.HasSuffix(path, "/") {
		path += "clicktime/nothing"
	}
	row := badInput{why: r.Method + " " + r.Pattern, method: r.Method, address: path}
	switch r.Method {
	case "":
		row.method = "OPTIONS"
	case "POST":
		row.body = question("{user}")
		row.header = http.Header{"Content-Type": {"application/json"}}
	}
	if strings.HasSuffix(path, "/explain") {
		row.address += "?user={user}&permission=timesheet"
	}
	return row
}

// keysFor makes the place one of the API: what stands for a token in the ways of not
// being authenticated is a key.
func (p *badPlace) keysFor() (key string) {
	p.t.Helper()
	arrange(p.t, p.database, "default")
	key, _ = addKey(p.t, p.database, "default", "clicktime", "--search")
	phone, _ := addKey(p.t, p.database, "default", "phone", "--search")
	revoked, id := addKey(p.t, p.database, "default", "clicktime", "--search")
	command(p.t, "--database-url="+p.database, "key", "revoke", "--product=clicktime", id)
	expired, _ := addKey(p.t, p.database, "default", "clicktime", "--search", "--expires=1ms")
	p.fill = strings.NewReplacer("{token}", key, "{TOKEN}", strings.ToUpper(key), "{otherToken}", phone, "{strangeToken}", p.token, "{revoked}", revoked, "{expired}", expired,
		"{secret}", p.secret, "{clientID}", p.id, "{connection}", strings.Split(p.path, "/")[2], "{user}", p.fill.Replace("{user}"))
	return key
}

// TestNobodyGetsPastProductKeys sends every route of the API in every spelling with
// every way of not being authenticated.
func TestNobodyGetsPastProductKeys(t *testing.T) {
	onBothBadPlaces(t, func(t *testing.T, p *badPlace) {
		key := p.keysFor()
		ways := append(waysNotToBeAuthenticated(), badCredential{"a SCIM token", authorization("Bearer " + p.token)},
			badCredential{"a key without its prefix", authorization("Bearer " + strings.TrimPrefix(key, "ghp_"))},
			badCredential{"a key's looks", authorization("Bearer ghp_" + strings.Repeat("A", 43))})
		want := map[bool]answer{}
		for forAuthZEN, path := range map[bool]string{true: decisionPath, false: "/api/v1/changes"} {
			method := "GET"
			if forAuthZEN {
				method = "POST"
			}
			want[forAuthZEN] = p.send(badInput{method: method, address: path, header: authorization()})
			if want[forAuthZEN].status != 401 || want[forAuthZEN].header.Get("WWW-Authenticate") == "" {
				t.Fatalf("%s without a key: answered %d %s", path, want[forAuthZEN].status, want[forAuthZEN].raw)
			}
		}
		before := p.tables()
		routes, bypassed, n := p.productRoutes(), 0, 0
		for i, route := range routes {
			row := p.sampleOf(route)
			forAuthZEN := strings.HasPrefix(route.Pattern, "/p/")
			for j, way := range ways {
				if way.why == "another connection's" && !forAuthZEN {
					continue // the key of another product asks about that product there
				}
				for k, spelling := range spellings {
					if (i+j+k)%3 != 0 && k > 0 {
						continue
					}
					n++
					attempt := row
					attempt.address = spelling.write(row.address)
					attempt.header = way.header.Clone()
					if row.body != nil {
						attempt.header.Set("Content-Type", "application/json")
					}
					got := p.send(attempt)
					ok := got.status == 401 && bytes.Equal(got.raw, want[forAuthZEN].raw)
					if k > 0 { // some lead to other parts of the server, which tell nothing
						ok = got.status == 401 || got.status == 404 && !bytes.Contains(got.raw, []byte("no_such_endpoint"))
					}
					if !ok {
						if bypassed++; bypassed <= 10 {
							t.Errorf("%s, %s, %s: %s\nanswered %d %s", row.why, way.why, spelling.why, attempt.address, got.status, abbreviate(got.raw))
						}
					}
				}
			}
		}
		same(t, "tables", p.tables(), before)
		for _, route := range routes {
			row := p.sampleOf(route)
			if got := p.send(row); got.status == 401 || got.status >= 500 {
				t.Errorf("%s with a key: answered %d %s", row.why, got.status, got.raw)
			}
		}
		// Nor does a product key open SCIM.
		for _, route := range p.scimRoutes() {
			row := badInput{method: route.Method, address: strings.ReplaceAll(route.Pattern, "{$}", ""), header: authorization("Bearer " + key)}
			row.address = strings.ReplaceAll(row.address, "{id}", "{user}")
			if row.method == "" {
				row.method = "OPTIONS"
			}
			if got := p.send(row); got.status != 401 {
				t.Errorf("a product key at %s %s: answered %d", route.Method, route.Pattern, got.status)
			}
		}
		t.Logf("authn_bypass = %d of %d (%d routes, %d ways, %d spellings)", bypassed, n, len(routes), len(ways), len(spellings))
	})
}

// TestProductBodiesAreNotReadBeforeTheKey promises a body that never comes.
func TestProductBodiesAreNotReadBeforeTheKey(t *testing.T) {
	onBothBadPlaces(t, func(t *testing.T, p *badPlace) {
		p.keysFor()
		for _, route := range p.productRoutes() {
			if route.Method != "POST" {
				continue
			}
			conn, err := net.Dial("tcp", strings.TrimPrefix(p.host, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ghp_nobody\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n", p.sampleOf(route).address)
			got, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || got.StatusCode != 401 {
				t.Fatalf("%s: before the body: %v, %v", route.Pattern, got, err)
			}
			_, _ = io.Copy(io.Discard, io.LimitReader(got.Body, 1000)) // the answer is what counts
			conn.Close()
		}
	})
}

// TestProductsOfTenantsNeverMeet asks with the key of one tenant about what belongs
// to another one: the answers are those about nothing, to the byte.
func TestProductsOfTenantsNeverMeet(t *testing.T) {
	onBothBadPlaces(t, func(t *testing.T, p *badPlace) {
		a, b := arrange(t, p.database, "default"), arrange(t, p.database, "initech")
		mine, _ := addKey(t, p.database, "default", "clicktime", "--search")
		theirs, _ := addKey(t, p.database, "initech", "clicktime", "--search")
		strangeUser, strangeGroup := p.fill.Replace("{strangeUser}"), p.fill.Replace("{strangeGroup}")
		a.grant(access.Grantee{Everyone: true})
		b.grant(access.Grantee{User: access.UserID(strangeUser)})
		b.grant(access.Grantee{Group: access.GroupID(strangeGroup)})
		me, them := product{p.host, mine, t}, product{p.host, theirs, t}
		var n atomic.Int64
		deviations := 0
		compare := func(why, foreign, nobody string, ask func(it string) answer) {
			t.Helper()
			n.Add(1)
			got, want := ask(foreign), ask(nobody)
			text := func(a answer, it string) string {
				return lengthPattern.ReplaceAllString(instantPattern.ReplaceAllString(requestPattern(strings.ReplaceAll(string(a.raw), it, "IT")), "INSTANT"), `"TOKEN"`)
			}
			if got.status != want.status || got.status >= 500 || text(got, foreign) != text(want, nobody) {
				deviations++
				t.Errorf("%s:\ngot  %d %s\nwant %d %s", why, got.status, got.raw, want.status, want.raw)
			}
		}
		subject := func(kind string) func(it string) answer {
			return func(it string) answer {
				return me.do("POST", decisionPath, object{"subject": object{"type": kind, "id": it}, "action": object{"name": "timesheet"}, "resource": object{"type": "site", "id": "berlin"}, "context": object{"explain": true}})
			}
		}
		users := map[string]string{strangeUser: noID, "Mia@corp.example": noName, string(b.tenant): noID, strangeGroup: noID}
		for foreign, nobody := range users {
			compare("subject user "+foreign, foreign, nobody, subject("user"))
			compare("access of "+foreign, foreign, nobody, func(it string) answer { return me.do("GET", "/api/v1/users/"+url.PathEscape(it)+"/access", nil) })
			compare("explain "+foreign, foreign, nobody, func(it string) answer {
				return me.do("GET", "/api/v1/explain?permission=timesheet&user="+url.QueryEscape(it), nil)
			})
			for _, kind := range []string{"resource", "action"} {
				compare("search "+kind+" of "+foreign, foreign, nobody, func(it string) answer {
					return me.do("POST", "/p/clicktime/access/v1/search/"+kind, question(it))
				})
			}
			compare("a batch about "+foreign, foreign, nobody, func(it string) answer {
				return me.do("POST", "/p/clicktime/access/v1/evaluations", object{"evaluations": []object{question(it), question(p.fill.Replace("{user}"))}})
			})
		}
		for foreign, nobody := range map[string]string{strangeGroup: noID, "Initech Ops": noGroup} {
			compare("subject group "+foreign, foreign, nobody, subject("group"))
		}
		for foreign, nobody := range map[string]string{string(b.berlin): noID, "in-initech": "in-nowhere"} {
			compare("site "+foreign, foreign, nobody, func(it string) answer {
				q := question(p.fill.Replace("{user}"))
				q["resource"] = object{"type": "site", "id": it}
				return me.do("POST", decisionPath, q)
			})
			compare("people at "+foreign, foreign, nobody, func(it string) answer { return me.do("GET", "/api/v1/sites/site/"+it+"/people", nil) })
			compare("explain at "+foreign, foreign, nobody, func(it string) answer {
				return me.do("GET", "/api/v1/explain?permission=timesheet&user="+p.fill.Replace("{user}")+"&site=site:"+it, nil)
			})
			compare("who may at "+foreign, foreign, nobody, func(it string) answer {
				return me.do("POST", "/p/clicktime/access/v1/search/subject", object{"subject": object{"type": "user"}, "action": object{"name": "timesheet"}, "resource": object{"type": "site", "id": it}})
			})
		}
		// Lists of mine hold nothing of theirs.
		who := object{"subject": object{"type": "user"}, "action": object{"name": "timesheet"}, "resource": object{"type": "site", "id": "berlin"}, "page": object{"limit": 1}}
		found := me.do("POST", "/p/clicktime/access/v1/search/subject", who)
		token, _ := them.do("POST", "/p/clicktime/access/v1/search/subject", who).at("page", "next_token").(string)
		mineToken, _ := found.at("page", "next_token").(string)
		if found.status != 200 || mineToken == "" {
			t.Fatalf("my people: answered %d %s", found.status, found.raw)
		}
		if got := them.do("POST", "/p/clicktime/access/v1/search/subject", object{"subject": who["subject"], "action": who["action"], "resource": who["resource"], "page": object{"limit": 1, "token": mineToken}}); got.status != 400 {
			t.Errorf("another tenant's page token: answered %d %s (theirs is %q)", got.status, got.raw, token)
		}
		var texts []string
		for _, path := range []string{"/api/v1/sites/site/berlin/people?limit=1000", "/api/v1/changes?limit=1000"} {
			got := me.do("GET", path, nil)
			if got.status != 200 {
				t.Errorf("%s: answered %d %s", path, got.status, got.raw)
			}
			texts = append(texts, string(got.raw))
		}
		for _, text := range append(texts, string(found.raw)) {
			for _, foreign := range []string{strangeUser, strangeGroup, string(b.tenant), string(b.berlin), "mia@", "initech"} {
				if strings.Contains(strings.ToLower(text), foreign) {
					deviations++
					t.Errorf("%s is in %s", foreign, abbreviate([]byte(text)))
				}
			}
		}
		// What is one's own is found, so that all of this was about something.
		if !them.decides(strangeUser) || !me.decides(p.fill.Replace("{user}")) || me.decides(strangeUser) {
			t.Error("decisions about one's own people are wrong")
		}
		if slices.Contains(texts, "") || n.Load() < 30 {
			t.Errorf("%d comparisons", n.Load())
		}
		t.Logf("tenant_matrix = %d of %d", deviations, n.Load())
	})
}

// requestPattern leaves the id of the request out of a problem.
func requestPattern(text string) string {
	before, rest, found := strings.Cut(text, `"request":"`)
	if !found {
		return text
	}
	_, after, _ := strings.Cut(rest, `"`)
	return before + after
}

// askers are how many ask at once who are to be refused for asking too often, which one
// after the other might not be on a machine that does a lot else.
const askers = 32

// untilRefused asks until something else comes than status usual, and counts what was
// answered so.
func untilRefused(t *testing.T, usual int, ask func() (answer, error)) (refused answer, passed int) {
	t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	over := false
	start := time.Now()
	for range askers {
		all.Go(func() {
			for {
				got, err := ask()
				mu.Lock()
				switch {
				case err != nil:
					over = true
					t.Error(err)
				case got.status == usual:
					passed++
				case !over:
					over, refused = true, got
				}
				end := over || time.Since(start) > patience
				mu.Unlock()
				if end {
					return
				}
			}
		})
	}
	all.Wait()
	return refused, passed
}

// untilDecisionsEnd is untilRefused for decisions.
func (p product) untilDecisionsEnd() (refused answer, passed int) {
	p.t.Helper()
	return untilRefused(p.t, 200, func() (answer, error) { return p.ask("POST", decisionPath, question("nobody")) })
}

// comeBack asks again when one may, as Retry-After says, and reports whether that was
// so. What is asked meanwhile, and refused, can make it later, but not time and again.
func comeBack(t *testing.T, refused answer, ask func() answer) bool {
	t.Helper()
	for range 3 {
		wait, err := strconv.Atoi(refused.header.Get("Retry-After"))
		if err != nil || wait < 1 || wait > 60 {
			t.Fatalf("answered %d with Retry-After %q, want seconds", refused.status, refused.header.Get("Retry-After"))
		}
		<-time.After(time.Duration(wait) * time.Second)
		if refused = ask(); refused.status != http.StatusTooManyRequests {
			return true
		}
	}
	return false
}

// TestKeyRateLimit: bursts of twice the rate pass, then a key is told when to come
// back, and may. Other keys, of the same product too, don't notice, and nobody who
// has no key learns of it.
func TestKeyRateLimit(t *testing.T) {
	onBothTenancies(t, func(t *testing.T, s *tenancy) {
		arrange(t, s.database, "default")
		host := "http://" + listen(t, s.database, "--key-rate-limit=100")
		key, _ := addKey(t, s.database, "default", "clicktime", "--search")
		other, _ := addKey(t, s.database, "default", "clicktime")
		p, calm := product{host, key, t}, product{host, other, t}
		start := time.Now()
		got, passed := p.untilDecisionsEnd()
		if most := 200 + int(100*time.Since(start).Seconds()) + 1; passed < 200 || passed > most {
			t.Errorf("%d questions passed, want 200 to %d", passed, most)
		}
		if wait := got.header.Get("Retry-After"); got.status != 429 || wait != "1" || !strings.Contains(string(got.raw), "slow down") {
			t.Errorf("answered %d %q, Retry-After %q, want 429 and to slow down for a second", got.status, got.raw, wait)
		}
		calm.decides("nobody")
		if got := (product{host, "ghp_" + letters(43), t}).do("POST", decisionPath, question("nobody")); got.status != 401 {
			t.Errorf("a key that isn't one: answered %d, want 401", got.status)
		}
		// A batch is one request, so that a second of it is enough for a page of a thousand.
		batch := answer{}
		back := comeBack(t, got, func() answer {
			batch = p.do("POST", "/p/clicktime/access/v1/evaluations", object{"subject": question("nobody")["subject"], "action": question("nobody")["action"],
				"resource": question("nobody")["resource"], "evaluations": make([]struct{}, 1000)})
			return batch
		})
		if !back || batch.status != 200 {
			t.Errorf("a batch, a second later: answered %d %s", batch.status, batch.raw)
		}
		got, asked := untilRefused(t, 404, func() (answer, error) { return p.ask("GET", "/api/v1/users/nobody/access", nil) })
		if got.status != 429 || got.header.Get("Content-Type") != "application/problem+json" || got.text("code") != "too_many_requests" {
			t.Errorf("after %d of ours: answered %d %s, want a problem", asked, got.status, got.raw)
		}
	})
}

// TestLimitsOfTheAPI tries each limit of docs/limits.md, and one beyond it.
func TestLimitsOfTheAPI(t *testing.T) {
	onBothTenancies(t, func(t *testing.T, s *tenancy) {
		database := s.database
		arrange(t, database, "default")
		key, _ := addKey(t, database, "default", "clicktime", "--search")
		p := product{s.host, key, t}
		with := func(more object) object {
			q := question("nobody")
			for name, value := range more {
				q[name] = value
			}
			return q
		}
		everyRow(t, "The API", map[string]func(n int) answer{
			"body of a question": func(n int) answer {
				empty := len(mustJSON(t, with(object{"trace": ""})))
				return p.do("POST", decisionPath, with(object{"trace": letters(n - empty)}))
			},
			"values in one body, all told": func(n int) answer {
				return p.do("POST", decisionPath, with(object{"trace": make([]int, n-10)})) // ten are the question's
			},
			"nesting of JSON": func(n int) answer {
				deep := any("x")
				for range n - 1 {
					deep = []any{deep}
				}
				return p.do("POST", decisionPath, with(object{"trace": deep}))
			},
			"a type, an id or the name of an action": func(n int) answer {
				for _, q := range []object{
					{"subject": object{"type": letters(n), "id": "x"}}, {"action": object{"name": letters(n)}}, {"resource": object{"type": "site", "id": letters(n)}},
				} {
					if got := p.do("POST", decisionPath, with(q)); got.status != 200 {
						return got
					}
				}
				return p.do("POST", decisionPath, question(letters(n)))
			},
			"evaluations in one request": func(n int) answer {
				return p.do("POST", "/p/clicktime/access/v1/evaluations", with(object{"evaluations": make([]struct{}, n)}))
			},
			"results on a page": func(n int) answer {
				return p.do("POST", "/p/clicktime/access/v1/search/subject", object{"subject": object{"type": "user"}, "action": object{"name": "timesheet"},
					"resource": object{"type": "site", "id": "berlin"}, "page": object{"limit": n}})
			},
			"live keys of a product": func(n int) answer {
				var out []byte
				for range n {
					out, _ = exec.CommandContext(t.Context(), binary, "--database-url="+database, "key", "add", "--product=phone").CombinedOutput() // it says why
				}
				return answer{status: 200, raw: out}
			},
			"requests a second of one key": func(n int) answer { // see TestKeyRateLimit
				if n == 0 {
					return p.do("POST", decisionPath, question("nobody"))
				}
				fast := product{"http://" + listen(t, database, "--key-rate-limit=100"), key, t}
				got, _ := fast.untilDecisionsEnd()
				return got
			},
		}, func(row limitRow, ask func(n int) answer) {
			if got := ask(row.most); got.status != 200 || bytes.Contains(got.raw, []byte("limit")) {
				t.Errorf("%s: %d: answered %d %s, want it taken", row.name, row.most, got.status, abbreviate(got.raw))
			}
			got := ask(row.most + 1)
			said := regexp.MustCompile(`^([0-9]{3})?[^"]*(?:"([^"]+)")?`).FindStringSubmatch(row.beyond)
			if said[1] != "" && fmt.Sprint(got.status) != said[1] || !strings.Contains(string(got.raw), said[2]) {
				t.Errorf("%s: %d: answered %d %s, want %s", row.name, row.most+1, got.status, abbreviate(got.raw), row.beyond)
			}
		})
	})
}
