package e2e

import (
	"bytes"
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf16"

	_ "modernc.org/sqlite"
)

// A badInput is a request that has to be refused in exactly one way, and must
// change nothing. Texts may hold placeholders in braces, see badPlace.
type badInput struct {
	why    string
	method string
	// path is below the SCIM endpoint; address, if there is one, is the whole path
	// instead. Both are sent as they stand.
	path, address string
	// header replaces headers of the same name; one without values is not sent.
	header http.Header
	// body is nil, raw bytes or text, or something that marshals.
	body any
	// status is the wanted one, and kind the scimType of the error (RFC 7644
	// section 3.12), "" for none; of the token endpoint it is the error's code (RFC
	// 6749 section 5.2).
	status int
	kind   string
	// early says that HTTP itself is violated: net/http answers in plain text.
	early bool
}

// badFamilies are all rows of the table, by what is bad about them. They are made
// once, so that all databases see them in one order.
var badFamilies = sync.OnceValue(func() []badFamily {
	return []badFamily{
		{"who asks", badCredentials()},
		{"addresses", badAddresses()},
		{"methods", badMethods()},
		{"JSON", badJSON()},
		{"types", badTypes()},
		{"values", badValues()},
		{"read-only", badReadOnly()},
		{"paths", badPaths()},
		{"operations", badOperations()},
		{"filters", badFilters()},
		{"ids", badIDs()},
		{"paging", badPaging()},
		{"sorting", badSorting()},
		{"conditions", badConditions()},
		{"searches by POST", badSearches()},
		{"bulk", badBulks()},
		{"media types", badMediaTypes()},
		{"names taken", badNames()},
		{"token requests", badTokenRequests()},
	}
})

type badFamily struct {
	name string
	rows []badInput
}

func TestBadInputIsRefusedAndChangesNothing(t *testing.T) {
	onBothBadPlaces(t, func(t *testing.T, p *badPlace) {
		count, good := 0, 0
		for _, family := range badFamilies() {
			count += len(family.rows)
			before := p.snapshot()
			for _, row := range family.rows {
				got := p.send(row)
				found := p.badFaults(row, got)
				if len(found) == 0 {
					good++
				}
				for _, fault := range found {
					t.Errorf("%s: %s: %s %s\n%s\nanswered %d %s", family.name, row.why, row.method, abbreviate([]byte(row.path)), fault, got.status, abbreviate(got.raw))
				}
			}
			same(t, family.name+" have changed something", p.snapshot(), before)
		}
		if count < 3500 {
			t.Errorf("%d rows, want at least 3500: a family is missing", count)
		}
		var verified struct{ Findings []any }
		p.command(t, &verified, "verify")
		same(t, "findings", len(verified.Findings), 0)
		t.Logf("scim_bad_inputs %d of %d", good, count)

		// The rows were refused for their faults alone: without, all goes well.
		targets := badTargets()
		slices.Reverse(targets) // what is there is changed and deleted, then made anew
		for _, row := range targets {
			if row.method == "POST" {
				p.wantGood(badInput{method: "DELETE", path: map[string]string{"/Users": "/Users/{user}", "/Groups": "/Groups/{group}"}[row.path]})
			}
			p.wantGood(row)
		}
	})
}

func TestSameVerdictOnBothDatabases(t *testing.T) {
	var mu sync.Mutex
	verdicts := map[string][]string{}
	t.Cleanup(func() { // when both are done
		if len(verdicts) != 2 {
			t.Errorf("%d databases, want 2", len(verdicts))
		}
		differences := 0
		for i, verdict := range verdicts["sqlite"] {
			if i >= len(verdicts["postgres"]) || verdicts["postgres"][i] != verdict {
				differences++
			}
		}
		same(t, "answers of PostgreSQL, compared to those of SQLite", verdicts["postgres"], verdicts["sqlite"])
		t.Logf("db_parity_diffs = %d of %d", differences, len(verdicts["sqlite"]))
	})
	onBothBadPlaces(t, func(t *testing.T, p *badPlace) {
		var all []string
		for _, family := range badFamilies() {
			for _, row := range family.rows {
				got := p.send(row)
				all = append(all, fmt.Sprintf("%s: %s: %s %s\n%d %s %s %s", family.name, row.why, row.method, abbreviate([]byte(row.path)),
					got.status, got.header.Get("Allow"), got.header.Get("Content-Type"), p.anonymous(got.header, string(got.raw))))
			}
		}
		mu.Lock()
		defer mu.Unlock()
		verdicts[filepath.Base(t.Name())] = all
	})
}

// A badPlace is a server with a little in it, and all that rows speak of:
//
//	{user} {group}                ids; Ann@corp.example and Ops, who has Ann in it
//	{otherUser} {otherGroup}      those of the second connection: Bob and Globex Ops
//	{strangeUser} {strangeGroup}  those of another tenant: Mia and Initech Ops
//	{connection} {otherConnection} {strangeConnection}
//	{token} {otherToken} {strangeToken}
//	{revoked} {expired}           tokens that have ended
//	{clientID} {secret}           the first connection's OAuth client
//	{cursor} {otherCursor} {strangeCursor}  of lists of users
//
// A name in capitals, {USER}, is the same in capitals.
type badPlace struct {
	*tenancy
	t    *testing.T
	fill *strings.Replacer
	db   *sql.DB
	http *http.Client
}

func onBothBadPlaces(t *testing.T, test func(t *testing.T, p *badPlace)) {
	onBothTenancies(t, func(t *testing.T, s *tenancy) { test(t, newBadPlace(t, s)) })
}

func newBadPlace(t *testing.T, s *tenancy) *badPlace {
	token := func(connection string, more ...string) (token, id string) {
		var added struct {
			Token string
			ID    string `json:"token_id"`
		}
		s.command(t, &added, append([]string{"token", "add", "--connection=" + connection}, more...)...)
		return added.Token, added.ID
	}
	revoked, id := token("entra")
	s.command(t, nil, "token", "revoke", "--connection=entra", id)
	expired, _ := token("entra", "--expires=1ms")
	otherToken, _ := token("okta")
	s.command(t, nil, "tenant", "add", "initech")
	var strange struct {
		SCIMURL string `json:"scim_url"`
		Token   string
	}
	s.command(t, &strange, "connection", "add", "--tenant=initech", "--name=entra", "--idp=entra")
	strangeURL, err := url.Parse(strange.SCIMURL)
	if err != nil {
		t.Fatal(err)
	}

	c := s.in(t)
	other := s.with(t, otherToken)
	other.path = s.other
	values := map[string]string{
		"token": s.token, "otherToken": otherToken, "revoked": revoked, "expired": expired,
		"connection": strings.Split(s.path, "/")[2], "otherConnection": strings.Split(s.other, "/")[2],
		"strangeConnection": strings.Split(strangeURL.Path, "/")[2], "strangeToken": strange.Token,
		"clientID": s.id, "secret": s.secret,
	}
	values["user"] = c.user("Ann@corp.example", object{"externalId": "ann", "emails": refs("ann@corp.example")})
	c.user("Stra\u00dfe\u00e9@corp.example", nil)
	values["group"] = c.group("Ops", values["user"])
	c.group("Caf\u00e9")
	values["otherUser"] = other.user("Bob@corp.example", nil)
	other.user("Cleo@corp.example", nil)
	values["otherGroup"] = other.group("Globex Ops", values["otherUser"])
	stranger := s.with(t, strange.Token)
	stranger.path = strangeURL.Path
	values["strangeUser"] = stranger.user("Mia@corp.example", object{"externalId": "mia", "emails": refs("mia@corp.example")})
	stranger.user("Noa@corp.example", nil)
	values["strangeGroup"] = stranger.group("Initech Ops", values["strangeUser"])
	values["strangeCursor"] = stranger.want(200, "GET", "/Users?cursor&count=1", nil).text("nextCursor")
	values["cursor"] = c.want(200, "GET", "/Users?cursor&count=1", nil).text("nextCursor")
	values["otherCursor"] = other.want(200, "GET", "/Users?cursor&count=1", nil).text("nextCursor")
	var pairs []string
	for name, value := range values {
		if value == "" {
			t.Fatalf("there is no %s", name)
		}
		pairs = append(pairs, "{"+name+"}", value, "{"+strings.ToUpper(name)+"}", strings.ToUpper(value))
	}

	driver, source := "postgres", s.database
	if file, ok := strings.CutPrefix(s.database, "sqlite://"); ok {
		driver, source = "sqlite", file+"?_pragma=busy_timeout(60000)"
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return &badPlace{tenancy: s, t: t, fill: strings.NewReplacer(pairs...), db: db, http: &http.Client{
		Timeout:       patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// send sends a row, to the byte.
func (p *badPlace) send(row badInput) answer {
	p.t.Helper()
	got := answer{request: row.method + " " + row.path}
	request, err := http.NewRequest(row.method, p.host, bytes.NewReader(p.bytes(row.body)))
	if err != nil {
		p.t.Fatalf("%s: %v", row.why, err)
	}
	request.URL.Opaque = cmp.Or(row.address, p.path+row.path) // nothing of it is cleaned up
	request.URL.Opaque = p.fill.Replace(request.URL.Opaque)
	request.Header = http.Header{"Authorization": {"Bearer {token}"}}
	if row.body != nil {
		request.Header.Set("Content-Type", "application/scim+json")
	}
	maps.Copy(request.Header, row.header)
	for name, values := range request.Header {
		values = slices.Clone(values)
		for i := range values {
			values[i] = p.fill.Replace(values[i])
		}
		request.Header[name] = values
	}
	response, err := p.http.Do(request)
	if err != nil {
		p.t.Fatalf("%s: %v", row.why, err)
	}
	defer response.Body.Close()
	if got.raw, err = io.ReadAll(response.Body); err != nil {
		p.t.Fatalf("%s: %v", row.why, err)
	}
	got.status, got.header, got.doc = response.StatusCode, response.Header, decode(got.raw)
	return got
}

func (p *badPlace) wantGood(row badInput) {
	p.t.Helper()
	if got := p.send(row); got.status < 200 || got.status > 299 {
		p.t.Errorf("%s %s: answered %d %s, want all to be well", row.method, row.path, got.status, got.raw)
	}
}

// bytes are a row's body as it is sent.
func (p *badPlace) bytes(body any) []byte {
	var text []byte
	switch body := body.(type) {
	case nil:
		return nil
	case []byte:
		text = body
	case string:
		text = []byte(body)
	default:
		text = mustJSON(p.t, body)
	}
	if len(text) > 100_000 { // nothing to fill in, and slow
		return text
	}
	return []byte(p.fill.Replace(string(text)))
}

// badFaults says in what an answer is not the one that the row wants.
func (p *badPlace) badFaults(row badInput, got answer) []string {
	if got.status != row.status {
		return []string{fmt.Sprintf("want %d %s", row.status, row.kind)}
	}
	if row.early {
		return nil
	}
	var found []string
	kind := "scimType"
	if row.address == tokenEndpoint {
		kind = "error"
		if got.text("error_description") == "" {
			found = append(found, "an error without description helps nobody")
		}
	} else {
		found = faults(got)
		if got.status == http.StatusNotImplemented { // RFC 7644 section 3.7 wants it
			found = slices.DeleteFunc(found, func(fault string) bool { return fault == "the server failed" })
		}
	}
	if have, _ := got.at(kind).(string); have != row.kind {
		found = append(found, fmt.Sprintf("%s is %q, want %q", kind, have, row.kind))
	}
	if got.status == http.StatusMethodNotAllowed && got.header.Get("Allow") == "" {
		found = append(found, "405 without Allow (RFC 9110 section 15.5.6)")
	}
	return found
}

// snapshot is all that bad input could change.
func (p *badPlace) snapshot() map[string]string {
	p.t.Helper()
	found := map[string]string{}
	for connection, place := range map[string]struct{ path, token string }{
		"first": {p.path, p.token}, "second": {p.other, p.fill.Replace("{otherToken}")},
	} {
		c := p.with(p.t, place.token)
		c.path = place.path
		for _, collection := range []string{"/Users", "/Groups"} {
			found[connection+collection] = string(c.want(200, "GET", collection+"?count=1000", nil).raw)
		}
	}
	for table, rows := range p.tables() {
		found[table] = strings.Join(rows, "\n")
	}
	return found
}

// tables are all rows of all tables, but for the recording of requests, for the seals
// on the log, which follow it by a moment, and for when tokens and connections were
// last used.
func (p *badPlace) tables() map[string][]string {
	p.t.Helper()
	list := "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
	if !strings.HasPrefix(p.database, "sqlite:") {
		list = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
	}
	found := map[string][]string{}
	for _, name := range p.rows(list) {
		if name == "requests" || name == "seals" || name == "seal_heads" {
			continue
		}
		found[name] = p.rows(`SELECT * FROM "` + name + `"`)
		slices.Sort(found[name])
	}
	if len(found) < 10 || len(found["users"]) == 0 {
		p.t.Fatalf("the tables are %v", slices.Collect(maps.Keys(found)))
	}
	return found
}

// rows are the rows of a query as text, columns parted by bars.
func (p *badPlace) rows(query string) []string {
	p.t.Helper()
	rows, err := p.db.Query(query)
	if err != nil {
		p.t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		p.t.Fatal(err)
	}
	values, targets := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	var found []string
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			p.t.Fatal(err)
		}
		var row []string
		for i, name := range columns {
			switch value := values[i].(type) {
			case []byte:
				row = append(row, string(value))
			default:
				if name != "last_used_at" && name != "last_request_at" {
					row = append(row, fmt.Sprint(value))
				}
			}
		}
		found = append(found, strings.Join(row, "|"))
	}
	if err := rows.Err(); err != nil {
		p.t.Fatal(err)
	}
	return found
}

// badIDPattern is an id, or as much of it as a long value is shortened to.
var badIDPattern = regexp.MustCompile(`(?i)[0-9a-f]{8}(-[0-9a-f]{0,12}){1,4}`)

// anonymous is an answer without what differs between any two servers.
func (p *badPlace) anonymous(header http.Header, raw string) string {
	if id := header.Get("X-Request-Id"); id != "" {
		raw = strings.ReplaceAll(raw, id, "REQUEST")
	}
	return badIDPattern.ReplaceAllString(strings.ReplaceAll(raw, p.host, "HOST"), "ID")
}

const (
	tokenEndpoint = "/oauth2/token"
	badName       = "bad@corp.example" // nobody has it before or after
)

func badUser(more object) object {
	body := object{"schemas": []string{coreURN}, "userName": badName}
	maps.Copy(body, more)
	return body
}

func badGroup(more object) object {
	body := object{"schemas": []string{groupURN}, "displayName": "Bad"}
	maps.Copy(body, more)
	return body
}

func authorization(values ...string) http.Header { return http.Header{"Authorization": values} }

// A badCredential is a way of not being authenticated.
type badCredential struct {
	why    string
	header http.Header
}

func waysNotToBeAuthenticated() []badCredential {
	looks := strings.Repeat("A", 43) // as long as the secret of a token is
	return []badCredential{
		{"no header", authorization()},
		{"an empty header", authorization("")},
		{"a scheme alone", authorization("Bearer")},
		{"a scheme and a space", authorization("Bearer ")},
		{"no scheme", authorization("{token}")},
		{"Basic with the token", authorization("Basic {token}")},
		{"Basic", authorization("Basic YW5uOnNlY3JldA==")},
		{"another scheme", authorization("Token {token}")},
		{"a tab behind the scheme", authorization("Bearer\t{token}")},
		{"a colon behind the scheme", authorization("Bearer: {token}")},
		{"the scheme twice", authorization("Bearer Bearer {token}")},
		{"two in one header", authorization("Bearer {token}, Bearer {token}")},
		{"two headers", authorization("Bearer {token}", "Bearer {token}")},
		{"two headers, one good", authorization("Basic YW5uOnNlY3JldA==", "Bearer {token}")},
		{"in quotes", authorization(`Bearer "{token}"`)},
		{"another connection's", authorization("Bearer {otherToken}")},
		{"another tenant's", authorization("Bearer {strangeToken}")},
		{"revoked", authorization("Bearer {revoked}")},
		{"expired", authorization("Bearer {expired}")},
		{"in capitals", authorization("Bearer {TOKEN}")},
		{"a letter too many", authorization("Bearer {token}A")},
		{"a letter before it", authorization("Bearer A{token}")},
		{"something behind it", authorization("Bearer {token} {token}")},
		{"nobody's", authorization("Bearer ghs_" + looks)},
		{"an access token's looks", authorization("Bearer gha_" + looks)},
		{"a product key's looks", authorization("Bearer ghk_" + looks)},
		{"a client's secret", authorization("Bearer {secret}")},
		{"a client's id", authorization("Bearer {clientID}")},
		{"the connection's id", authorization("Bearer {connection}")},
		{"a JWT of nobody", authorization("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.")},
		{"null", authorization("Bearer null")},
		{"not ASCII", authorization("Bearer gh\u017f_" + looks)},
		{"not UTF-8", authorization("Bearer ghs_\xff\xfe")},
		{"SQL", authorization("Bearer ' OR '1'='1")},
		{"10,000 letters", authorization("Bearer ghs_" + strings.Repeat("A", 10_000))},
		{"the header of a proxy", http.Header{"Authorization": nil, "Proxy-Authorization": {"Bearer {token}"}}},
		{"a cookie", http.Header{"Authorization": nil, "Cookie": {"token={token}; access_token={token}"}}},
	}
}

// Whoever can't show a token learns nothing, whatever the address is.
func badCredentials() []badInput {
	paths := []string{
		"/Users", "/Users/", "/Users/{user}", "/Users?filter=userName+eq+%22ann%22", "/Groups/{group}", "/Roles",
		"/ServiceProviderConfig", "/Schemas", "/ResourceTypes/User", "/Bulk", "/Me", "/.search",
		"", "/", "/nothing", "/USERS", "/%55sers", "/Users%2F{user}", "/Users.json", "/Users;v=1", "/Users/%00",
		"//Users", "/./Users", "/Groups/../Users", "/../v2/Users", "/%2e%2e/v2/Users", "/..%2fUsers", "/Users/%2e%2e/Users", `/..\Users`,
	}
	var rows []badInput
	for _, c := range waysNotToBeAuthenticated() {
		for _, path := range paths {
			rows = append(rows, badInput{why: c.why, method: "GET", path: path, header: c.header, status: 401})
		}
	}
	none := authorization()
	for _, where := range []string{"access_token={token}", "token={token}", "authorization=Bearer+{token}", "bearer_token={token}"} {
		rows = append(rows, badInput{why: "in the query", method: "GET", path: "/Users?" + where, header: none, status: 401})
	}
	return append(rows,
		badInput{why: "in a form", method: "POST", path: "/Users", body: "access_token={token}",
			header: http.Header{"Authorization": nil, "Content-Type": {"application/x-www-form-urlencoded"}}, status: 401},
		badInput{why: "who asks comes before what is asked", method: "POST", path: "/Users", header: none, body: "{", status: 401},
		badInput{why: "and before whether it is there", method: "DELETE", path: "/Users/{user}", header: none, status: 401},
		badInput{why: "and before whether it is possible", method: "PATCH", path: "/Schemas", header: none, status: 401},
		badInput{why: "another connection's address", method: "GET", address: "/scim/{otherConnection}/v2/Users", status: 401},
		badInput{why: "the connection in capitals", method: "GET", address: "/scim/{CONNECTION}/v2/Users", status: 401},
		badInput{why: "no connection", method: "GET", address: "/scim/v2/Users", status: 401},
		badInput{why: "an empty connection", method: "GET", address: "/scim//v2/Users", status: 401},
		badInput{why: "a space before the connection", method: "GET", address: "/scim/%20{connection}/v2/Users", status: 401},
		badInput{why: "another connection by dots", method: "GET", address: "/scim/{connection}/../{otherConnection}/v2/Users", header: authorization("Bearer {otherToken}"), status: 401},
		badInput{why: "a header of 1 MB", method: "GET", path: "/Users", header: authorization("Bearer " + strings.Repeat("A", 1<<20)), status: 431, early: true},
	)
}

// Who may ask is told that an address does not exist.
func badAddresses() []badInput {
	var rows []badInput
	for _, path := range []string{
		"/nothing", "/USERS", "/users", "/User", "/Users.json", "/Users;v=1", "/Users%20", "/Users%00", "/Users%2F", "/Users%2F{user}",
		"/Users/{user}/", "/Users/{user}/groups", "/Users/{user}%2Fgroups", "/Groups/{group}/members", "/Groups/{group}/members/{user}",
		`/..\Users`, "/\u0055\u017fers", "/v2/Users", "/Schemas/nothing", "/ResourceTypes/nothing", "/Roles/nothing",
		"/Schemas/" + strings.Repeat("%80", 100), "/ResourceTypes/" + strings.Repeat("%80", 100),
		"/Me/x", "/Bulk/x", "/search", "/Users/{user}/.search",
	} {
		rows = append(rows, badInput{why: "no such address", method: "GET", path: path, status: 404})
	}
	for _, address := range []string{"/scim/{connection}", "/scim/{connection}/", "/scim/{connection}/Users", "/scim/{connection}/v1/Users", "/scim/{connection}/V2/Users", "/scim/{connection}/v2x/Users"} {
		rows = append(rows, badInput{why: "no such address", method: "GET", address: address, status: 404})
	}
	for _, path := range []string{"/./Users", "/Users/./{user}", "/Groups/../Users", "/Users/{user}/..", "/%2e%2e/v2/Users", "/Users/%2e%2e/Users", "/..%2fUsers", "/Users/..%2f{user}", "/Users/%2e%2e"} {
		rows = append(rows, badInput{why: "an address that isn't clean", method: "GET", path: path, status: 404})
	}
	return append(rows,
		badInput{why: "a broken escape", method: "GET", path: "/Users/%zz", status: 400, early: true},
		badInput{why: "half an escape", method: "GET", path: "/Users/%4", status: 400, early: true},
	)
}

// What an address can't do is 405, and what the protocol offers and Gatehouse does
// not is 501 (RFC 7644 section 3.11).
func badMethods() []badInput {
	var rows []badInput
	for path, methods := range map[string][]string{
		// Answered with 404: "/Users/": {"PUT"}, "/Groups/": {"DELETE"},
		"/Users": {"PUT", "PATCH", "DELETE"}, "/Users/{user}": {"POST"},
		"/Groups": {"PUT", "PATCH", "DELETE"}, "/Groups/{group}": {"POST"},
		"/Schemas": {"POST", "PUT", "PATCH", "DELETE"}, "/Schemas/" + coreURN: {"PUT", "DELETE"},
		"/ResourceTypes": {"POST", "DELETE"}, "/ResourceTypes/User": {"PATCH"}, "/ServiceProviderConfig": {"POST", "PUT", "DELETE"},
		"/Roles": {"POST"}, "": {"POST", "PUT", "PATCH", "DELETE"}, "/": {"POST", "DELETE"},
		"/Bulk": {"GET", "PUT", "PATCH", "DELETE"}, "/.search": {"GET", "PUT", "DELETE"},
		"/Users/.search": {"GET", "PUT", "PATCH", "DELETE"}, "/Groups/.search": {"GET", "PUT", "PATCH", "DELETE"}, "/Groups/.search/": {"GET"},
	} {
		for _, method := range slices.Concat(methods, []string{"OPTIONS", "TRACE", "MERGE", "get"}) {
			rows = append(rows, badInput{why: "not possible here", method: method, path: path, status: 405})
		}
	}
	slices.SortFunc(rows, func(a, b badInput) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		for _, path := range []string{"/Me", "/Me/"} {
			rows = append(rows, badInput{why: "nobody is behind a token", method: method, path: path, body: object{}, status: 501})
		}
	}
	return rows
}

// badTargets are requests with a body that would be good; with them a row is only
// as bad as what it adds.
func badTargets() []badInput {
	return []badInput{
		{method: "POST", path: "/Users", body: badUser(nil)},
		{method: "PUT", path: "/Users/{user}", body: badUser(nil)},
		{method: "PATCH", path: "/Users/{user}", body: patch(op("replace", "title", "Bad"))},
		{method: "POST", path: "/Groups", body: badGroup(nil)},
		{method: "PUT", path: "/Groups/{group}", body: badGroup(nil)},
		{method: "PATCH", path: "/Groups/{group}", body: patch(op("replace", "displayName", "Bad"))},
	}
}

// badReaders are requests with a body that change nothing.
func badReaders() []badInput {
	search := object{"schemas": []string{searchURN}, "filter": `displayName eq "bad"`}
	return []badInput{
		{method: "POST", path: "/Users/.search", body: search},
		{method: "POST", path: "/Groups/.search", body: search},
		{method: "POST", path: "/.search", body: search},
		{method: "POST", path: "/Bulk", body: bulk()},
	}
}

// JSON that could be read in two ways, or in none (RFC 8259), is not read.
func badJSON() []badInput {
	inside := func(value string) func(string) string {
		return func(body string) string { return strings.TrimSuffix(body, "}") + `,"x":` + value + "}" }
	}
	instead := func(body string) func(string) string { return func(string) string { return body } }
	utf := func(order string, encode func(uint16) []byte) func(string) string {
		return func(body string) string {
			var b strings.Builder
			b.WriteString(order)
			for _, unit := range utf16.Encode([]rune(body)) {
				b.Write(encode(unit))
			}
			return b.String()
		}
	}
	little := func(u uint16) []byte { return []byte{byte(u), byte(u >> 8)} }
	big := func(u uint16) []byte { return []byte{byte(u >> 8), byte(u)} }

	var rows []badInput
	for _, bad := range []struct {
		why  string
		body func(valid string) string
	}{
		{"nothing", instead("")},
		{"spaces", instead(" \r\n\t ")},
		{"a word", instead("nothing")},
		{"a list", func(body string) string { return "[" + body + "]" }},
		{"an empty list", instead("[]")},
		{"a text", instead(`"text"`)},
		{"a text of JSON", func(body string) string { text, _ := json.Marshal(body); return string(text) }},
		{"a number", instead("1")},
		{"true", instead("true")},
		{"null", instead("null")},
		{"a form", instead("userName=bad&displayName=bad")},
		{"XML", instead(`<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><User>&e;</User>`)},
		{"cut off", func(body string) string { return body[:len(body)-1] }},
		{"cut off in a text", func(body string) string { return body[:12] }},
		{"single quotes", func(body string) string { return strings.ReplaceAll(body, `"`, `'`) }},
		{"names without quotes", inside(`1,y:1`)},
		{"a comma too many", func(body string) string { return strings.TrimSuffix(body, "}") + ",}" }},
		{"a comma too few", inside(`1 "y":1`)},
		{"a colon too few", inside(`1,"y" 1`)},
		{"a comment", inside(`1/* comment */`)},
		{"another object behind it", func(body string) string { return body + "{}" }},
		{"the same behind it", func(body string) string { return body + "\n" + body }},
		{"a word behind it", func(body string) string { return body + " x" }},
		{"a bracket behind it", func(body string) string { return body + "}" }},
		{"NUL behind it", func(body string) string { return body + "\x00" }},
		{"NaN", inside("NaN")},
		{"Infinity", inside("-Infinity")},
		{"undefined", inside("undefined")},
		{"True", inside("True")},
		{"a number too large", inside("1e999999")},
		{"a number too small to be one", inside("1e-999999")},
		{"a number of 400 digits", inside(strings.Repeat("9", 400))},
		{"a zero in front", inside("01")},
		{"a plus in front", inside("+1")},
		{"a point without digits", inside("1.")},
		{"hexadecimal", inside("0x10")},
		{"UTF-16, little end first", utf("", little)},
		{"UTF-16, big end first", utf("", big)},
		{"UTF-16 with its mark", utf("\xff\xfe", little)},
		{"the other UTF-16 with its mark", utf("\xfe\xff", big)},
		{"the mark of UTF-8", func(body string) string { return "\ufeff" + body }},
		{"Latin-1", inside("\"caf\xe9\"")},
		{"a letter in two bytes that needs one", inside("\"\xc1\x81\"")},
		{"half a surrogate pair in bytes", inside("\"\xed\xa0\x80\"")},
		{"beyond Unicode", inside("\"\xf4\x90\x80\x80\"")},
		{"half a surrogate pair escaped", inside(`"\ud800"`)},
		{"the other half", inside(`"\udc00 x"`)},
		{"a pair the wrong way round", inside(`"\udc00\ud800"`)},
		{"half a pair in a name", inside(`1,"\ud83d":1`)},
		{"NUL escaped", inside(`"a\u0000b"`)},
		{"NUL in a name", inside(`1,"a\u0000b":1`)},
		{"NUL in bytes", inside("\"a\x00b\"")},
		{"a line end in a text", inside("\"a\nb\"")},
		{"an unknown escape", inside(`"\x41"`)},
		{"half an escape", inside(`"\u12"`)},
		{"33 lists in each other", inside(strings.Repeat("[", 33) + strings.Repeat("]", 33))},
		{"33 objects in each other", inside(strings.Repeat(`{"x":`, 33) + "1" + strings.Repeat("}", 33))},
		{"100,000 brackets", inside(strings.Repeat("[", 100_000))},
		{"a name twice", inside(`1,"x":1`)},
		{"a name twice, in another case", inside(`1,"X":1`)},
		{"schemas twice", inside(`1,"schemas":[]`)},
		{"schemas twice, in another case", inside(`1,"SCHEMAS":[]`)},
		{"a name twice, once escaped", inside(`1,"\u0078":1`)},
		{"a name twice, further in", inside(`{"a":[{"b":1,"B":2}]}`)},
	} {
		for _, target := range slices.Concat(badTargets(), badReaders()) {
			valid, err := json.Marshal(target.body)
			if err != nil {
				panic(err) // the table is wrong
			}
			rows = append(rows, badInput{why: bad.why, method: target.method, path: target.path, body: []byte(bad.body(string(valid))), status: 400, kind: "invalidSyntax"})
		}
	}
	return rows
}

// badValue is a value that an attribute can't have. Attribute is its name in a path;
// a URN before a colon at the end of it nests in bodies.
type badValue struct {
	why, attribute string
	value          any
}

// everyWay says the value in all ways in which one can be set.
func (v badValue) everyWay(group bool) []badInput {
	name := v.attribute
	body := object{name: v.value}
	if rest, ok := strings.CutPrefix(name, enterpriseURN+":"); ok {
		body = object{enterpriseURN: object{rest: v.value}}
	}
	collection, whole := "/Users", badUser(body)
	if group {
		collection, whole = "/Groups", badGroup(body)
	}
	one := collection + map[string]string{"/Users": "/{user}", "/Groups": "/{group}"}[collection]
	rows := []badInput{
		{method: "POST", path: collection, body: whole},
		{method: "PUT", path: one, body: whole},
		{method: "PATCH", path: one, body: patch(op("add", name, v.value))},
		{method: "PATCH", path: one, body: patch(op("replace", name, v.value))},
		{method: "PATCH", path: one, body: patch(op("replace", "", body))},
	}
	for i := range rows {
		rows[i].why, rows[i].status, rows[i].kind = v.attribute+" that is "+v.why, 400, "invalidValue"
	}
	return rows
}

// Each attribute has a type (RFC 7643 section 2.3), and no value of another is made
// into it but where identity providers are known to send one.
func badTypes() []badInput {
	var rows []badInput
	add := func(group bool, attribute string, values map[string]any) {
		for _, why := range slices.Sorted(maps.Keys(values)) {
			rows = append(rows, badValue{why, attribute, values[why]}.everyWay(group)...)
		}
	}
	noText := map[string]any{"true": true, "an object": object{"a": "b"}, "a list": []any{"a"}}
	for _, name := range []string{
		"userName", "externalId", "displayName", "nickName", "profileUrl", "title", "userType", "preferredLanguage", "locale", "timezone",
		enterpriseURN + ":employeeNumber", enterpriseURN + ":costCenter", enterpriseURN + ":organization", enterpriseURN + ":division", enterpriseURN + ":department",
	} {
		add(false, name, noText)
	}
	add(false, "active", map[string]any{"a number": 1, "a word": "yes", "one as text": "1", "an object": object{"value": true}, "a list": []any{true}})
	add(false, "name", map[string]any{
		"a text": "Ann", "a number": 1, "true": true, "a list": []any{object{"givenName": "Ann"}},
		"of an object": object{"givenName": object{"a": "b"}}, "of true": object{"familyName": true}, "of a list": object{"formatted": []any{"Ann"}},
	})
	for _, name := range []string{"emails", "phoneNumbers", "ims", "photos", "entitlements", "roles", "x509Certificates"} {
		add(false, name, map[string]any{
			"true": true, "a list of true": []any{true}, "a list of lists": []any{[]any{}},
			"of true": []any{object{"value": true}}, "of an object": []any{object{"value": object{"a": "b"}}},
			"of a type that is no text": []any{object{"value": "a", "type": true}},
			"perhaps primary":           []any{object{"value": "a", "primary": "maybe"}}, "primary by number": []any{object{"value": "a", "primary": 1}},
			"primary twice": []any{object{"value": "a", "primary": true}, object{"value": "b", "primary": true}},
		})
	}
	add(false, "addresses", map[string]any{
		"true": true, "a text": "Main Street", "a list of texts": []any{"Main Street"}, "of true": []any{object{"country": true}}, "of a list": []any{object{"region": []any{"x"}}},
	})
	add(false, enterpriseURN, map[string]any{"a text": "Ops", "a number": 1, "true": true, "a list": []any{object{"department": "Ops"}}})
	add(false, enterpriseURN+":manager", map[string]any{
		"true": true, "two": []any{"a", "b"}, "a list of lists": []any{[]any{"a"}}, "of true": object{"value": true}, "of an object": object{"value": object{"a": "b"}},
	})
	for _, name := range []string{"displayName", "externalId"} {
		add(true, name, noText)
	}
	add(true, "members", map[string]any{
		"true": true, "a list of true": []any{true}, "a list of lists": []any{[]any{}}, "a list of nothing": []any{nil}, "a list of no text": []any{""},
		"of no id": []any{object{}}, "of null": []any{object{"value": nil}}, "of an empty id": []any{object{"value": ""}},
		"of true": []any{object{"value": true}}, "of an object": []any{object{"value": object{"a": "b"}}}, "one good, one bad": []any{object{"value": "{user}"}, object{"value": true}},
	})
	return rows
}

// What is missing, too long or too much is invalidValue (RFC 7644 table 9).
func badValues() []badInput {
	var rows []badInput
	bad := func(why, method, path string, body any) {
		rows = append(rows, badInput{why: why, method: method, path: path, body: body, status: 400, kind: "invalidValue"})
	}
	for _, target := range []badInput{{method: "POST", path: "/Users"}, {method: "PUT", path: "/Users/{user}"}, {method: "POST", path: "/Groups"}, {method: "PUT", path: "/Groups/{group}"}} {
		required := map[bool]string{true: "userName", false: "displayName"}[strings.HasPrefix(target.path, "/Users")]
		bad("an empty object", target.method, target.path, object{})
		bad("no "+required, target.method, target.path, object{"schemas": []string{coreURN, groupURN}, "externalId": "x"})
		bad(required+" null", target.method, target.path, object{required: nil})
		bad(required+" empty", target.method, target.path, object{required: ""})
		bad(required+" blank", target.method, target.path, object{required: " \t\u00a0\u3000"})
		bad(required+" misspelt", target.method, target.path, object{required + "s": badName})
		bad(required+" in a look-alike", target.method, target.path, object{strings.ReplaceAll(required, "s", "\u017f"): badName})
		bad(required+" under two names", target.method, target.path, object{required: badName, map[bool]string{true: coreURN, false: groupURN}[required == "userName"] + ":" + required: badName})
	}
	for path, required := range map[string]string{"/Users/{user}": "userName", "/Groups/{group}": "displayName"} {
		bad("a required one replaced by blanks", "PATCH", path, patch(op("replace", required, " ")))
	}

	// One byte too many; the last letter of some needs two.
	long := func(n int) string { return strings.Repeat("a", n-1) + "\u00e9" }
	for _, v := range []badValue{
		{"too long", "userName", long(1024)}, {"too long", "externalId", long(1024)}, {"too long", "emails", []any{object{"value": long(1024)}}},
		{"too long", "displayName", long(1024)}, {"too long", "title", long(64 << 10)}, {"too long", "profileUrl", long(64 << 10)},
		{"too long inside", "name", object{"givenName": long(64 << 10)}}, {"too long", enterpriseURN + ":department", long(64 << 10)},
		{"too long", enterpriseURN + ":manager", object{"value": long(64 << 10)}}, {"too long", "urn:acme:2.0:User:site", long(64 << 10)},
	} {
		rows = append(rows, v.everyWay(false)...)
	}
	for _, v := range []badValue{
		{"too long", "displayName", long(1024)}, {"too long", "externalId", long(1024)}, {"too long inside", "members", []any{object{"value": long(64 << 10)}}},
	} {
		rows = append(rows, v.everyWay(true)...)
	}
	mails, attributes := make([]any, 501), object{}
	for i := range mails {
		mails[i] = object{"value": fmt.Sprintf("%d@corp.example", i)}
	}
	rows = append(rows, badValue{"of 501 values", "emails", mails}.everyWay(false)...)
	for i := range 1001 {
		attributes[fmt.Sprintf("urn:acme:2.0:User:a%d", i)] = "x"
	}
	bad("more than 1,000 attributes", "POST", "/Users", badUser(attributes))
	bad("more than 1,000 attributes", "PATCH", "/Users/{user}", patch(op("replace", "", attributes)))
	return append(rows, badInput{why: "a body of 33 MB", method: "POST", path: "/Users", body: `{"userName":"` + strings.Repeat("a", 33<<20) + `"}`, status: 413})
}

// A path that names what only the server sets is refused; in a body it is ignored
// (RFC 7644 sections 3.5.1 and 3.5.2).
func badReadOnly() []badInput {
	var rows []badInput
	for path, names := range map[string][]string{
		"/Users/{user}": {
			"id", "ID", "meta", "meta.created", "meta.location", "meta.resourceType", "schemas", "groups", "groups.value", coreURN + ":id", coreURN + ":groups",
			enterpriseURN + ":manager.displayName", enterpriseURN + ":manager.$ref", `groups[value eq "{group}"]`, `groups[value eq "{group}"].display`,
		},
		"/Groups/{group}": {"id", "meta", "meta.lastModified", "schemas", groupURN + ":id", "members.value", "members.display", "members.type", "members.$ref", `members[value eq "{user}"].value`, `members[value eq "{user}"].display`},
	} {
		for _, name := range names {
			for _, operation := range []object{op("add", name, "x"), op("replace", name, "x"), remove(name)} {
				rows = append(rows, badInput{why: "read-only", method: "PATCH", path: path, body: patch(operation), status: 400, kind: "mutability"})
			}
		}
	}
	for path, required := range map[string]string{"/Users/{user}": "userName", "/Groups/{group}": "displayName"} {
		for _, operation := range []object{remove(required), op("replace", required, nil), op("replace", required, ""), op("replace", "", object{required: nil})} {
			rows = append(rows, badInput{why: "required", method: "PATCH", path: path, body: patch(operation), status: 400, kind: "mutability"})
		}
	}
	return rows
}

// Paths that are none (RFC 7644 figure 7).
func badPaths() []badInput {
	var rows []badInput
	add := func(kind string, group bool, paths ...any) {
		target := map[bool]string{false: "/Users/{user}", true: "/Groups/{group}"}[group]
		for _, path := range paths {
			for _, operation := range []string{"add", "replace", "remove"} {
				rows = append(rows, badInput{why: fmt.Sprintf("path %.80v", path), method: "PATCH", path: target,
					body: patch(object{"op": operation, "path": path, "value": "x"}), status: 400, kind: kind})
			}
		}
	}
	add("invalidPath", false, " ", ".", "..", ":", "[", "]", "\"", "(", "1name", ".userName", "userName.", "user Name", "userName,title", "/userName", "$.userName",
		"userName.x", "name.nope", "name.givenName.x", "name..givenName", "emails.nope", "emails.value.x",
		`emails[type eq "work"`, `emails[type eq "work"].nope`, `emails[type eq "work"].value.x`, `emails[type eq "work"]value`,
		`emails[type eq "work"] .value`, `emails[type eq "work"][type eq "home"]`, `emails[type eq "work"].value[x eq "y"]`, `emails[type eq "work"]]`,
		`emails.value[type eq "work"]`, `userName[value eq "x"]`, `active[value eq true]`, coreURN+":.", enterpriseURN+":department.x", enterpriseURN+":manager.nope",
		"urn:acme:2.0:User:site.x", strings.Repeat("a", 8193), 1, true, []any{"userName"}, object{"path": "userName"})
	add("invalidPath", false, `emails[type eq "work"].`, coreURN+":")
	add("invalidFilter", false, "emails[", "emails[]", "emails[0]", "emails[0].value", `emails[type eq "work]`, `emails[type]`, `emails[type eq]`, `emails[eq "work"]`, `emails[type is "work"]`,
		`emails[type eq 'work']`, `emails[nope eq "x"]`, `emails[userName eq "x"]`, `emails[type eq "work" and]`, `emails[(type eq "work"]`, `emails[not type eq "work"]`,
		`emails[primary eq "maybe"].value`, `emails[primary gt true].value`, `emails[type eq "a\x"]`, "emails["+strings.Repeat("(", 40)+`type eq "work"`+strings.Repeat(")", 40)+"]")
	add("invalidPath", true, ".", `members[value eq "{user}"`, "members.nope", "displayName.x", `displayName[value eq "x"]`, `members[value eq "{user}"]x`, `members[value eq "{user}"].nope`)
	add("invalidFilter", true, `members[display eq "Ann"]`, `members[value co "a"]`, `members[value ne "{user}"]`, `members[not (value eq "{user}")]`,
		`members[value eq "{user}" and type eq "User"]`, `members[value pr]`, "members[", `members[nope eq "x"]`)
	return rows
}

// The envelope of PATCH (RFC 7644 section 3.5.2). All operations are done, or none.
func badOperations() []badInput {
	var rows []badInput
	add := func(why, kind string, body any) {
		for _, path := range []string{"/Users/{user}", "/Groups/{group}"} {
			rows = append(rows, badInput{why: why, method: "PATCH", path: path, body: body, status: 400, kind: kind})
		}
	}
	add("no operations", "invalidSyntax", object{"schemas": []string{patchURN}})
	add("a resource instead", "invalidSyntax", badUser(nil))
	for why, operations := range map[string]any{"null": nil, "an object": op("replace", "displayName", "x"), "a text": "replace", "a number": 1, "true": true} {
		add("operations that are "+why, "invalidSyntax", object{"schemas": []string{patchURN}, "Operations": operations})
	}
	for why, operation := range map[string]any{"null": nil, "a text": "replace", "a number": 1, "a list": []any{}} {
		add("an operation that is "+why, "invalidSyntax", object{"schemas": []string{patchURN}, "Operations": []any{operation}})
	}
	for why, name := range map[string]any{"null": nil, "empty": "", "a number": 1, "a list": []any{"add"}, "unknown": "move", "test": "test", "with a space": "add ", "in look-alikes": "\u0430dd"} {
		add("op that is "+why, "invalidSyntax", patch(object{"op": name, "path": "displayName", "value": "x"}))
	}
	add("no op", "invalidSyntax", patch(object{"path": "displayName", "value": "x"}))
	add("add of nothing", "invalidValue", patch(object{"op": "add", "path": "displayName"}))
	add("replace by nothing", "invalidValue", patch(object{"op": "replace", "path": "displayName"}))
	add("nothing at all", "invalidValue", patch(object{"op": "add"}))
	for why, value := range map[string]any{"null": nil, "a text": "x", "a number": 1, "a list": []any{object{"displayName": "x"}}} {
		add("no path, and a value that is "+why, "invalidValue", patch(op("replace", "", value)))
	}
	add("remove of everything", "noTarget", patch(object{"op": "remove"}))
	add("remove of a value without a path", "noTarget", patch(object{"op": "remove", "value": object{"displayName": "x"}}))
	add("a good one, then a bad one", "mutability", patch(op("replace", "displayName", "Bad"), op("replace", "id", "x")))
	add("a bad one between good ones", "invalidPath", patch(op("replace", "displayName", "Bad"), op("replace", "displayName.", "x"), op("replace", "externalId", "bad")))
	for _, path := range []string{`emails[type eq "x" and not (value eq "y")].value`, `emails[value co "nobody"].value`, `emails[type eq "a" or type eq "b"].value`} {
		rows = append(rows, badInput{why: "nothing is so, and what a new one would be is not said", method: "PATCH", path: "/Users/{user}", body: patch(op("replace", path, "x")), status: 400, kind: "noTarget"})
	}
	rows = append(rows,
		badInput{why: "members come and go, and one is bad", method: "PATCH", path: "/Groups/{group}", body: patch(remove("members"), op("add", "members", []any{object{"value": true}})), status: 400, kind: "invalidValue"},
		badInput{why: "a member set by what picks it", method: "PATCH", path: "/Groups/{group}", body: patch(op("add", `members[value eq "{user}"]`, object{"value": "{user}"})), status: 400, kind: "invalidPath"},
	)
	return rows
}

// A filter that can't be understood is never answered with an empty list: the
// client would create what is already there.
func badFilters() []badInput {
	var rows []badInput
	add := func(collection, filter string) {
		rows = append(rows, badInput{why: fmt.Sprintf("filter %.80s", filter), method: "GET", path: collection + "?filter=" + query(filter), status: 400, kind: "invalidFilter"})
	}
	nested := func(n int) string { return strings.Repeat("(", n) + "displayName pr" + strings.Repeat(")", n) }
	add("/Users", `displayName eq "\ud800"`)
	for _, filter := range []string{
		" ", ".", "\"", "()", "[]", "(", ")", "displayName", "displayName eq", `displayName eq "`, `displayName eq "x`, `displayName eq 'x'`, `displayName eq "x\"`, `displayName eq "\x"`, `displayName eq "\u12"`,
		`displayName eq "\u0000"`, "displayName eq \"a\nb\"", `eq "x"`, `"x" eq displayName`, `displayName = "x"`, `displayName == "x"`, `displayName equals "x"`, `displayName like "x"`, `displayName in ("x")`,
		`displayName eq "x" and`, `displayName eq "x" or`, `and displayName eq "x"`, `displayName eq "x" displayName eq "y"`, `displayName eq "x" xor displayName eq "y"`, `displayName eq "x" && displayName eq "y"`,
		`(displayName eq "x"`, `displayName eq "x")`, `((displayName eq "x")`, `not displayName eq "x"`, "not", "not ()", `displayName not eq "x"`, `displayName eq "x"; DROP TABLE users`, `displayName eq "x" -- `, `' OR 1=1 --`,
		`displayName pr "x"`, "displayName pr pr", "pr", "displayName eq true", "displayName gt false", `displayName.x eq "x"`, `displayName. eq "x"`, `.displayName eq "x"`, `displayName[value eq "x"]`,
		`nope eq "x"`, "nope pr", `urn:acme:2.0:User:site eq "x"`, `urn:acme eq "x"`, `schema eq "x"`,
		`meta eq "x"`, `meta.nope eq "x"`, `meta.location sw "https://"`, `meta.location gt "x"`, `meta.location eq true`, `meta.version co "3"`, `meta.version lt "W/"`, `meta.version eq false`, `meta.created eq "yesterday"`, `meta.created gt 5`, `meta.created gt "2026-13-01T00:00:00Z"`, `meta.created co "2026"`, `meta.created lt true`,
		nested(33), nested(3000), strings.TrimSuffix(strings.Repeat("displayName pr or ", 257), " or "), `displayName eq "` + strings.Repeat("a", 8192) + `"`,
	} {
		add("/Users", filter)
		add("/Groups", filter)
	}
	for _, filter := range []string{
		`userName eq true`, `active eq "maybe"`, "active eq 1", "active eq", "active gt true", `active co "t"`, `active sw true`, `name eq "x"`, `name.nope eq "x"`, `name[nope eq "x"]`, `addresses eq "x"`, `addresses.nope eq "x"`,
		`emails.nope eq "x"`, `emails[nope eq "x"]`, `emails[type eq "work"`, `emails[type eq "work"].`, `emails[type eq "work"].nope eq "x"`, `emails[type eq "work"] eq "x"`, `emails[type eq "work"].value`, `emails[]`, `emails[type]`,
		`emails[emails[type eq "x"]]`, `emails[emails.type eq "x"]`, `emails[type eq "work"] emails pr`, `emails.value[type eq "x"]`, `emails[primary eq "maybe"]`, `userName[value eq "x"]`,
		`password eq "x"`, "password pr", `x509Certificates.value gt "x"`, `groups co "x"`, `groups[value sw "x"]`, `groups.$ref gt "x"`, `groups[$ref co "x"]`, `groups[primary eq true]`, `groups.display eq true`, `groups[type eq 5 display pr]`, `meta.version gt "W/\"1\""`, `meta.version ew "x"`, `members eq "x"`, groupURN + `:displayName eq "x"`, coreURN + `:nope eq "x"`, enterpriseURN + `:nope eq "x"`,
		enterpriseURN + `:manager.displayName eq "x"`, enterpriseURN + " pr", `manager.nope eq "x"`, "u\u017ferName eq \"x\"",
	} {
		add("/Users", filter)
	}
	for _, filter := range []string{
		`userName eq "x"`, "active eq true", `emails.value eq "x"`, `members co "x"`, `members.value sw "x"`, `members.display eq "x"`, `members[display eq "x"]`, `members[value co "x"]`, `members[value gt "x"]`, `members.$ref ew "x"`, `members[$ref le "x"]`, `members[type eq true]`, `members.type`, `members[type.value eq "x"]`, `members[]`,
		coreURN + `:userName eq "x"`, `manager eq "x"`,
	} {
		add("/Groups", filter)
	}
	return rows
}

// An id is what the server gave, to the letter, and of the kind and connection that
// it is asked for.
func badIDs() []badInput {
	var rows []badInput
	const nobody = "01890000-0000-7000-8000-000000000000"
	common := []string{
		nobody, "0", "1", "-1", "null", "undefined", "*", "%25", "_", "x", "{user}%20", "%20{user}", "%09{user}", "{user}%00", "%00", "%ff", "%ed%a0%80", "{user}%0a", "{user}x", "{user}.json", "{user};v=1", "{user},{user}",
		"%7b{user}%7d", "urn:uuid:{user}", "%22{user}%22", "'%20OR%20'1'='1", "x'%3B%20DROP%20TABLE%20users%3B--", "%F0%9F%92%A9", strings.Repeat("a", 10_000), strings.Repeat("%C3%A9", 3000), strings.Repeat("%80", 100), strings.ReplaceAll(nobody, "-", ""),
		"userName%20eq%20%22Ann@corp.example%22", "Ann@corp.example", "Ops", "ann",
	}
	for collection, ids := range map[string][]string{
		"/Users":  {"{USER}", "{group}", "{otherUser}", "{otherGroup}", "{connection}"},
		"/Groups": {"{GROUP}", "{user}", "{otherUser}", "{otherGroup}", "{connection}"},
	} {
		whole := any(badUser(nil))
		if collection == "/Groups" {
			whole = badGroup(nil)
		}
		for _, id := range slices.Concat(ids, common) {
			path := collection + "/" + id
			rows = append(rows,
				badInput{why: "no such id", method: "GET", path: path, status: 404},
				badInput{why: "no such id", method: "PUT", path: path, body: whole, status: 404},
				badInput{why: "no such id", method: "PATCH", path: path, body: patch(op("replace", "displayName", "Bad")), status: 404},
				badInput{why: "no such id", method: "DELETE", path: path, status: 404},
			)
		}
	}
	return rows
}

// Parameters of lists (RFC 7644 section 3.4.2.4, RFC 9865). Numbers below the least
// are no error: the RFC says what they mean.
func badPaging() []badInput {
	var rows []badInput
	bad := func(why, kind, query string) {
		for _, collection := range []string{"/Users", "/Groups"} {
			rows = append(rows, badInput{why: why, method: "GET", path: collection + "?" + query, status: 400, kind: kind})
		}
	}
	for _, number := range []string{"x", "1.5", "1e3", "0x10", "1,000", "1_000", "%201", "1%20", "NaN", "null", "true", "--1", "99999999999999999999", "2147483648", "-2147483649", "%D9%A1", "1;2"} {
		bad("startIndex is no number", "invalidValue", "startIndex="+number)
		bad("count is no number", "invalidValue", "count="+number)
		if number != "1;2" { // not a query at all
			bad("count of a cursor is no number", "invalidCount", "cursor&count="+number)
		}
	}
	for _, cursor := range []string{"x", "1", "%20", "%2B%2F%3D", "AAAA", strings.Repeat("A", 22), strings.Repeat("A", 64), strings.Repeat("A", 5000), "{user}", "{cursor}A", "{cursor}{cursor}", "A{cursor}", "{cursor}%20", "{cursor}%3D", "{CURSOR}", "{otherCursor}"} {
		bad("no cursor of this list", "invalidCursor", "cursor="+cursor)
	}
	bad("the cursor of another filter", "invalidCursor", "cursor={cursor}&filter=displayName+pr")
	rows = append(rows, badInput{why: "the cursor of another kind", method: "GET", path: "/Groups?cursor={cursor}", status: 400, kind: "invalidCursor"})
	for why, query := range map[string]string{
		"a broken escape": "filter=%zz", "half an escape": "count=1&x=%4", "semicolons": "count=1;startIndex=1", "not UTF-8": "filter=%ff", "NUL": "filter=a%00", "NUL in what is ignored": "x=%00",
		"8,193 bytes of names": "attributes=" + strings.Repeat("a", 8193), "8,193 bytes of other names": "excludedAttributes=" + strings.Repeat("a", 8193),
	} {
		bad(why, "invalidValue", query)
	}
	rows = append(rows,
		badInput{why: "startIndex is no number", method: "GET", path: "/Roles?startIndex=x", status: 400, kind: "invalidValue"},
		badInput{why: "count is no number", method: "GET", path: "/Roles?count=1.5", status: 400, kind: "invalidValue"},
		badInput{why: "a role has no such attribute", method: "GET", path: "/Roles?filter=userName+pr", status: 400, kind: "invalidFilter"},
		badInput{why: "no attribute of roles", method: "GET", path: "/Roles?sortBy=userName", status: 400, kind: "invalidValue"},
		badInput{why: "the cursor of another kind", method: "GET", path: "/Roles?cursor={cursor}", status: 400, kind: "invalidCursor"},
		badInput{why: "no filter", method: "POST", path: "/Roles/.search", body: object{"filter": "id"}, status: 400, kind: "invalidFilter"},
	)
	for _, path := range []string{"/Schemas", "/Schemas/" + coreURN, "/ResourceTypes", "/ResourceTypes/User", "/ServiceProviderConfig"} {
		rows = append(rows, badInput{why: "a filter of discovery", method: "GET", path: path + "?filter=id+pr", status: 403})
	}
	return rows
}

// What lists are sorted by is in the schema and kept for that (RFC 7644 section
// 3.4.2.3).
func badSorting() []badInput {
	var rows []badInput
	bad := func(why, collection, query string) {
		for _, more := range []string{"", "&startIndex=1", "&cursor", "&count=0"} {
			rows = append(rows, badInput{why: why, method: "GET", path: collection + "?" + query + more, status: 400, kind: "invalidValue"})
		}
	}
	for _, collection := range []string{"/Users", "/Groups"} {
		for _, order := range []string{"up", "asc", "desc", "1", "-1", "ascending,descending", "%20ascending", "descending%20", "ascend%C4%B1ng", "null", "true", strings.Repeat("a", 8000)} {
			bad("no order", collection, "sortOrder="+order)
			bad("no order of an attribute", collection, "sortBy=displayName&sortOrder="+order)
		}
		for _, by := range []string{
			"nothing", "user", "userName%20", "%20userName", "displayName.", "displayName.x", ".displayName", ".", ":", "urn:", "displayName,id", "displayName%20desc", "-displayName", "display_name", "%22displayName%22", "diſplayName",
			"id'%20OR%20'1'='1", "id%3B%20DROP%20TABLE%20users", "displayName%20COLLATE%20x", "$", "*", "%25", "1", "id.value", "search", "doc", "tenant_id", "null", strings.Repeat("a", 8000), "%F0%9F%92%A9",
			"meta", "meta.", "meta.x", "meta.version", "meta.location", coreURN, groupURN, enterpriseURN, "urn:x:y", "urn:x:y:displayName", coreURN + ":nothing", coreURN + ":", enterpriseURN + ":department.x", "externalId[type%20eq%20%22x%22]",
		} {
			bad("no attribute", collection, "sortBy="+by)
		}
	}
	for _, by := range []string{"password", "name", "addresses", "groups", "groups.value", "groups.display", "emails[type%20eq%20%22work%22].value", "emails[0]", "emails.0.value", "emails.nothing", "name.familyName.x", "manager.displayName.x", "manager.$ref", "members", enterpriseURN + ":nothing", groupURN + ":displayName"} {
		bad("not of a user", "/Users", "sortBy="+by)
	}
	for _, by := range []string{"members", "members.value", "members.display", "userName", "active", "name.familyName", "emails", "groups", enterpriseURN + ":department", coreURN + ":displayName"} {
		bad("not of a group", "/Groups", "sortBy="+by)
	}
	for _, query := range []string{"cursor={cursor}&sortBy=userName", "cursor={cursor}&sortOrder=descending", "cursor={cursor}&sortBy=id"} {
		rows = append(rows, badInput{why: "the cursor of another order", method: "GET", path: "/Users?" + query, status: 400, kind: "invalidCursor"})
	}
	return rows
}

// Conditions name versions as they came (RFC 9110 section 13.1); nothing is done on
// one that doesn't hold.
func badConditions() []badInput {
	var rows []badInput
	for collection, id := range map[string]string{"/Users": "{user}", "/Groups": "{group}"} {
		path, whole := collection+"/"+id, any(badUser(nil))
		if collection == "/Groups" {
			whole = badGroup(nil)
		}
		every := func(why, kind string, status int, reads bool, header http.Header) {
			rows = append(rows,
				badInput{why: why, method: "PUT", path: path, header: header, body: whole, status: status, kind: kind},
				badInput{why: why, method: "PATCH", path: path, header: header, body: patch(op("replace", "displayName", "Bad")), status: status, kind: kind},
				badInput{why: why, method: "DELETE", path: path, header: header, status: status, kind: kind},
			)
			if reads {
				rows = append(rows, badInput{why: why, method: "GET", path: path, header: header, status: status, kind: kind})
			}
		}
		for _, name := range []string{"If-Match", "If-None-Match"} {
			for _, values := range [][]string{
				{""}, {","}, {" , ,"}, {"1"}, {"x"}, {"W/"}, {"W/1"}, {`"`}, {`"1`}, {`1"`}, {`W/"1`}, {`w/"1"`}, {`W/ "1"`}, {`W/W/"1"`}, {`'1'`}, {`"1" "2"`}, {`"1"x`}, {`"1";"2"`}, {`"a b"`}, {"\"1\t\""}, {`*, "1"`}, {`"1", *`}, {"**"}, {"*,"}, {`"*`},
				{"null"}, {`"1", x`}, {`"1", "2`}, {`"1"`, "x"}, {"*", "*"}, {"é"}, {strings.Repeat("\xa9", 100)}, {strings.Repeat(`"1",`, 1000) + "x"}, {`\"1\"`},
			} {
				every("no list of ETags", "invalidValue", 400, true, http.Header{name: values})
			}
		}
		for _, tag := range []string{`"x"`, `W/"0"`, `W/"01"`, `"+1"`, `"-1"`, `W/"999999"`, `W/"18446744073709551617"`, `""`, `"."`, `".1"`, `"*"`, `"a,b"`, "\"é\"", "\"\xff\"", `"x", W/"y",`, strings.Repeat(`"x",`, 2000)} {
			every("another version", "", 412, true, http.Header{"If-Match": {tag}})
		}
		every("not if it is there", "", 412, false, http.Header{"If-None-Match": {"*"}})
	}
	return rows
}

// A search by POST is refused where the GET is.
func badSearches() []badInput {
	var rows []badInput
	bad := func(why, kind string, body any, paths ...string) {
		if paths == nil {
			paths = []string{"/Users/.search", "/Groups/.search", "/.search"}
		}
		for _, path := range paths {
			rows = append(rows, badInput{why: why, method: "POST", path: path, body: body, status: 400, kind: kind})
		}
	}
	for _, name := range []string{"filter", "sortBy", "sortOrder", "cursor"} {
		for why, value := range map[string]any{"a number": 1, "true": true, "a list": []any{"x"}, "an object": object{"x": "y"}} {
			bad(name+" that is "+why, "invalidValue", object{name: value})
		}
	}
	for _, name := range []string{"attributes", "excludedAttributes"} {
		for why, value := range map[string]any{"a number": 1, "true": true, "an object": object{"x": "y"}, "a list of numbers": []any{1}, "a list of lists": []any{[]any{"x"}}, "a list of nothing": []any{nil}, "too long": []any{strings.Repeat("a", 8193)}, "too much": strings.Repeat("a,", 5000)} {
			bad(name+" that is "+why, "invalidValue", object{name: value})
		}
	}
	for _, name := range []string{"count", "startIndex"} {
		for why, value := range map[string]any{"true": true, "a list": []any{1}, "an object": object{"x": 1}, "a word": "x", "a fraction": 1.5, "too large": json.Number("99999999999"), "an exponent": json.Number("1e3")} {
			bad(name+" that is "+why, "invalidValue", object{name: value})
		}
	}
	bad("count of a cursor is no number", "invalidCount", object{"cursor": "", "count": 1.5})
	for _, cursor := range []string{"x", " ", "{cursor}A", "{otherCursor}"} {
		bad("no cursor of this list", "invalidCursor", object{"cursor": cursor})
	}
	bad("the cursor of another filter", "invalidCursor", object{"cursor": "{cursor}", "filter": "id pr"})
	bad("the cursor of another kind", "invalidCursor", object{"cursor": "{cursor}"}, "/Groups/.search", "/.search")
	for _, filter := range []string{" ", "(", "id", `id eq "x" and`, `nope eq "x"`, `meta.version sw "x"`, `"`, strings.Repeat("(", 40) + "id pr" + strings.Repeat(")", 40)} {
		bad("filter "+filter, "invalidFilter", object{"filter": filter})
		rows = append(rows, badInput{why: "filter " + filter, method: "GET", path: "/?filter=" + query(filter), status: 400, kind: "invalidFilter"})
	}
	bad("too much to look through", "tooMany", object{"filter": strings.TrimSuffix(strings.Repeat("externalId pr or ", 17), " or ")})
	bad("an attribute of people", "invalidFilter", object{"filter": "userName pr"}, "/Groups/.search")
	bad("an attribute of groups", "invalidFilter", object{"filter": "members pr"}, "/Users/.search")
	for _, name := range []string{"filter=id+pr", "count=1", "cursor", "attributes=id"} {
		bad("a parameter in the address", "invalidValue", object{}, "/Users/.search?"+name, "/Groups/.search?"+name, "/.search?"+name)
	}
	bad("an order of all kinds", "invalidValue", object{"sortBy": "displayName"}, "/.search")
	bad("an order of nothing", "invalidValue", object{"sortBy": "nothing"})
	rows = append(rows, badInput{why: "an order of all kinds", method: "GET", path: "/?sortOrder=descending", status: 400, kind: "invalidValue"})
	for _, path := range []string{"/Users/.search", "/Groups/.search", "/.search"} {
		rows = append(rows, badInput{why: "a body of 2 MB", method: "POST", path: path, body: `{"x":"` + strings.Repeat("a", 2<<20) + `"}`, status: 413})
	}
	slices.SortFunc(rows, func(a, b badInput) int { return strings.Compare(a.why+a.path, b.why+b.path) })
	return rows
}

// A bulk request is refused as a whole, or answered operation by operation.
func badBulks() []badInput {
	var rows []badInput
	good := bulkPost("/Users", "bad", badUser(nil))
	bad := func(why string, status int, kind string, body any) {
		rows = append(rows, badInput{why: why, method: "POST", path: "/Bulk", body: body, status: status, kind: kind})
	}
	bad("no operations", 400, "invalidSyntax", object{"schemas": []string{bulkURN}})
	bad("a resource instead", 400, "invalidSyntax", badUser(nil))
	for why, operations := range map[string]any{"null": nil, "an object": good, "a text": "[]", "a number": 1, "true": true} {
		bad("operations that are "+why, 400, "invalidSyntax", object{"Operations": operations})
	}
	for why, limit := range map[string]any{"a text": "1", "zero": 0, "negative": -1, "a fraction": 1.5, "true": true, "a list": []any{1}, "too large": json.Number("99999999999")} {
		bad("failOnErrors that is "+why, 400, "invalidValue", object{"failOnErrors": limit, "Operations": []any{good}})
	}
	bad("1,001 operations", 413, "", object{"Operations": slices.Repeat([]any{good}, 1001)})
	bad("100,000 operations", 413, "", `{"Operations":[1`+strings.Repeat(",1", 100_000)+"]}")
	bad("a body of 5 MB", 413, "", object{"Operations": []any{good}, "x": strings.Repeat("a", 5<<20)})
	bad("data too deep", 400, "invalidSyntax", `{"Operations":[{"method":"POST","bulkId":"bad","path":"/Users","data":{"userName":"bad","x":`+strings.Repeat("[", 30)+strings.Repeat("]", 30)+`}}]}`)
	bad("a name twice in the data", 400, "invalidSyntax", `{"Operations":[{"method":"POST","bulkId":"bad","path":"/Users","data":{"userName":"bad","USERNAME":"worse"}}]}`)
	bad("a million values", 400, "invalidSyntax", `{"Operations":[`+strings.Repeat("1,", 1_000_000)+"1]}")
	for why, operation := range map[string]object{
		"no bulkId":           {"method": "POST", "path": "/Users", "data": badUser(nil)},
		"GET":                 {"method": "GET", "path": "/Users/{user}"},
		"another's user":      {"method": "DELETE", "path": "/Users/{otherUser}"},
		"another's group":     {"method": "PATCH", "path": "/Groups/{otherGroup}", "data": patch(remove("members"))},
		"another's place":     {"method": "DELETE", "path": "/scim/{otherConnection}/v2"},
		"up and down":         {"method": "DELETE", "path": "/../../{otherConnection}/v2"},
		"a whole address":     {"method": "DELETE", "path": "http://127.0.0.1/scim/{connection}/v2/Users/{user}"},
		"a bulk":              {"method": "POST", "bulkId": "b", "path": "/Bulk", "data": bulk(good)},
		"data as text":        {"method": "PUT", "path": "/Users/{user}", "data": `{"userName":"bad"}`},
		"a circle of one":     bulkPost("/Users", "b", object{"userName": "bulkId:b"}),
		"an unknown one":      bulkPost("/Groups", "b", badGroup(object{"members": refs("bulkId:c")})),
		"a name taken":        bulkPost("/Users", "b", badUser(object{"userName": "ann@corp.example"})),
		"a huge reference":    {"method": "DELETE", "path": "/Users/bulkId:" + strings.Repeat("x", 1<<20)},
		"SQL":                 {"method": "DELETE", "path": "/Users/' OR 1=1 --"},
		"a circle that fails": bulkPost("/Users", "b", badUser(object{"userName": "bad", "manager": "bulkId:b", "active": "perhaps"})),
	} {
		bad("an operation: "+why, 200, "", object{"Operations": []any{operation}})
	}
	bad("a circle of which one fails", 200, "", bulk(
		bulkPost("/Users", "a", badUser(object{"manager": "bulkId:b", "active": "perhaps"})), bulkPost("/Groups", "g", badGroup(object{"members": refs("bulkId:b")})),
	))
	slices.SortFunc(rows, func(a, b badInput) int { return strings.Compare(a.why, b.why) })
	return rows
}

// A body is JSON by its name, too, and as it is.
func badMediaTypes() []badInput {
	var rows []badInput
	for _, target := range slices.Concat(badTargets(), badReaders()) {
		for _, media := range []string{
			"text/plain", "text/html", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/octet-stream", "application/jsonx", "application/scim", "application/scim+xml",
			"application/json-patch+json", "application/merge-patch+json", "text/json", "json", "*/*", ";", "application/scim+json, text/plain", "application/scim+json; charset=utf-16", "application/json; charset=iso-8859-1", "application/scim+json; charset=", "application/scim+json; charset=utf-8; charset=utf-16",
			strings.Repeat("\x80", 100),
		} {
			target.why, target.status, target.header = "Content-Type "+media, 415, http.Header{"Content-Type": {media}}
			rows = append(rows, target)
		}
		for _, encoding := range []string{"gzip", "deflate", "br", "zstd", "x", "gzip, identity", "identity, gzip", strings.Repeat("\x80", 100)} {
			target.why, target.status, target.header = "Content-Encoding "+encoding, 415, http.Header{"Content-Encoding": {encoding}}
			rows = append(rows, target)
		}
	}
	return rows
}

// Names are taken in every case and composition of their letters.
func badNames() []badInput {
	var rows []badInput
	taken := func(why, method, path string, body any) {
		rows = append(rows, badInput{why: why, method: method, path: path, body: body, status: 409, kind: "uniqueness"})
	}
	for _, name := range []string{"Ann@corp.example", "ann@corp.example", "ANN@CORP.EXAMPLE", "aNN@corp.Example", "Stra\u00dfe\u00e9@corp.example", "STRASSE\u00c9@CORP.EXAMPLE", "strassee\u0301@corp.example", "Strasse\u00e9@corp.example", "STRA\u1e9eE\u00c9@corp.example"} {
		taken("userName "+name, "POST", "/Users", badUser(object{"userName": name}))
	}
	for _, name := range []string{"STRASSE\u00c9@corp.example", "strassee\u0301@corp.example"} {
		taken("renamed to "+name, "PUT", "/Users/{user}", badUser(object{"userName": name}))
		taken("renamed to "+name, "PATCH", "/Users/{user}", patch(op("replace", "userName", name)))
		taken("renamed to "+name+" without a path", "PATCH", "/Users/{user}", patch(op("replace", "", object{"userName": name, "title": "Bad"})))
		taken("something good, then renamed to "+name, "PATCH", "/Users/{user}", patch(op("replace", "active", false), op("replace", "userName", name)))
	}
	for _, name := range []string{"Ops", "OPS", "ops", "Caf\u00e9", "CAF\u00c9", "cafe\u0301"} {
		taken("displayName "+name, "POST", "/Groups", badGroup(object{"displayName": name, "members": refs("{user}")}))
	}
	for _, name := range []string{"CAF\u00c9", "cafe\u0301"} {
		taken("renamed to "+name, "PUT", "/Groups/{group}", badGroup(object{"displayName": name, "members": refs()}))
		taken("renamed to "+name, "PATCH", "/Groups/{group}", patch(op("replace", "displayName", name)))
		taken("emptied, then renamed to "+name, "PATCH", "/Groups/{group}", patch(remove("members"), op("replace", "displayName", name)))
	}
	return rows
}

// Errors of the token endpoint have codes of their own (RFC 6749 section 5.2).
func badTokenRequests() []badInput {
	const jwt = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ."
	const assertionType = "client_assertion_type=" + "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer"
	const grant, id, secret = "grant_type=client_credentials&", "client_id={clientID}&", "client_secret={secret}"
	var rows []badInput
	add := func(why string, status int, code, form string, header http.Header) {
		whole := http.Header{"Authorization": nil, "Content-Type": {"application/x-www-form-urlencoded"}}
		maps.Copy(whole, header)
		rows = append(rows, badInput{why: why, method: "POST", address: tokenEndpoint, body: form, header: whole, status: status, kind: code})
	}
	for why, form := range map[string]string{
		"no grant": id + secret, "an empty grant": "grant_type=&" + id + secret, "no client": grant + secret, "a secret and an assertion": grant + id + secret + "&client_assertion=" + jwt + "&" + assertionType,
		"an assertion without its type": grant + id + "client_assertion=" + jwt, "a type without assertion": grant + id + assertionType,
		"grant twice": grant + grant + id + secret, "client twice": grant + id + id + secret, "secret twice": grant + id + secret + "&" + secret, "what is ignored twice": grant + id + secret + "&x=1&x=2",
		"no form": "%zz", "semicolons": "grant_type=client_credentials;x=1", "not UTF-8": grant + "client_id=%ff&" + secret, "NUL": grant + "client_id=%00&" + secret, "too long": grant + id + secret + "&x=" + strings.Repeat("a", 17<<10),
	} {
		add(why, 400, "invalid_request", form, nil)
	}
	for _, name := range []string{"password", "authorization_code", "refresh_token", "implicit", "CLIENT_CREDENTIALS", "client_credentials+", "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"} {
		add("grant "+name, 400, "unsupported_grant_type", "grant_type="+name+"&"+id+secret, nil)
	}
	for why, form := range map[string]string{
		"no proof": grant + id, "nothing but the grant": grant, "no secret": grant + id + "client_secret=", "a wrong secret": grant + id + secret + "x", "a secret in capitals": grant + id + "client_secret={SECRET}", "nobody's id": grant + "client_id=nobody&" + secret,
		"an id in capitals": grant + "client_id={CLIENTID}&" + secret, "the connection's id": grant + "client_id={connection}&" + secret, "a token as secret": grant + id + "client_secret={token}", "a secret of 10,000": grant + id + "client_secret=" + strings.Repeat("a", 10_000),
		"an assertion where none is trusted": grant + id + "client_assertion=" + jwt + "&" + assertionType, "another type": grant + id + "client_assertion=" + jwt + "&client_assertion_type=saml2", "SQL": grant + "client_id=%27+OR+1%3D1--&" + secret,
	} {
		add(why, 401, "invalid_client", form, nil)
	}
	for why, header := range map[string]string{"no Basic": "Basic", "broken Basic": "Basic ???", "Basic of nobody": "Basic bm9ib2R5OnNlY3JldA==", "Basic without a colon": "Basic YW5u", "Basic with broken escapes": "Basic JXp6OiV6eg==", "Bearer": "Bearer {token}", "the secret alone": "{secret}"} {
		add(why, 401, "invalid_client", grant, http.Header{"Authorization": {header}})
	}
	add("two proofs", 400, "invalid_request", grant+id+secret, http.Header{"Authorization": {"Basic YTpi"}})
	add("two headers", 400, "invalid_request", grant, http.Header{"Authorization": {"Basic YTpi", "Basic YTpi"}})
	add("another client in the body", 400, "invalid_request", grant+id, http.Header{"Authorization": {"Basic YTpi"}})
	for _, media := range []string{"", "text/plain", "application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded; charset=utf-16"} {
		add("Content-Type "+media, 400, "invalid_request", grant+id+secret, http.Header{"Content-Type": {media}})
	}
	add("Content-Encoding", 400, "invalid_request", grant+id+secret, http.Header{"Content-Encoding": {"gzip"}})
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE", "OPTIONS"} {
		rows = append(rows, badInput{why: "not a POST", method: method, address: tokenEndpoint, status: 405, kind: "invalid_request"})
	}
	slices.SortFunc(rows, func(a, b badInput) int { return strings.Compare(a.why+a.method, b.why+b.method) })
	return rows
}
