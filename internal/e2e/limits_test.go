package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/pgtest"
)

// A limitRow is a row of a table of docs/limits.md.
type limitRow struct {
	name   string
	most   int    // 0 if it is no number
	beyond string // what is said to happen
	cells  []string
}

var numberPattern = regexp.MustCompile(`^[0-9][0-9,]*`)

// limitTable reads the table below a heading of the page.
func limitTable(t *testing.T, heading string) []limitRow {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "limits.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var rows []limitRow
	for _, line := range strings.Split(section, "\n") {
		if !strings.HasPrefix(line, "| ") || strings.Contains(line, "| at most |") || strings.Contains(line, "| how long |") {
			continue
		}
		var cells []string
		for _, cell := range strings.Split(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		most, err := strconv.Atoi(strings.ReplaceAll(numberPattern.FindString(cells[1]), ",", ""))
		if err != nil {
			most = 0
		}
		rows = append(rows, limitRow{cells[0], most, cells[2], cells})
	}
	if len(rows) == 0 {
		t.Fatalf("docs/limits.md has no table %q", heading)
	}
	return rows
}

// everyRow calls check for each row that has one, and fails for rows without a
// check and checks without a row.
func everyRow[T any](t *testing.T, heading string, checks map[string]T, check func(limitRow, T)) {
	t.Helper()
	rows := limitTable(t, heading)
	seen := map[string]bool{}
	for _, row := range rows {
		c, ok := checks[row.name]
		if !ok {
			t.Errorf("docs/limits.md says %q, and nothing checks it", row.name)
			continue
		}
		seen[row.name] = true
		check(row, c)
	}
	for name := range checks {
		if !seen[name] {
			t.Errorf("%q is checked, and docs/limits.md does not say it", name)
		}
	}
}

// A limitCheck makes requests of which each holds exactly n of what is limited.
type limitCheck struct {
	with func(n int) []badInput
	// slack is how much the limit is not exact.
	slack int
	// instead checks what can't be seen from a status.
	instead func(p *badPlace, row limitRow)
}

func (c limitCheck) check(p *badPlace, row limitRow) {
	p.t.Helper()
	if c.instead != nil {
		c.instead(p, row)
		return
	}
	for _, request := range c.with(row.most - c.slack) {
		got := p.send(request)
		if got.status/100 != 2 {
			p.t.Errorf("%s: %d: %s %s answered %d %s, want it taken", row.name, row.most-c.slack, request.method, abbreviate([]byte(request.path)), got.status, abbreviate(got.raw))
		}
		if got.status == 201 {
			p.wantGood(badInput{method: "DELETE", path: request.path + "/" + got.text("id")})
		}
	}
	before := p.snapshot()
	for _, request := range c.with(row.most + 1 + c.slack) {
		got := p.send(request)
		for _, fault := range row.faults(got) {
			p.t.Errorf("%s: %d: %s %s answered %d %s\n%s", row.name, row.most+1, request.method, abbreviate([]byte(request.path)), got.status, abbreviate(got.raw), fault)
		}
	}
	same(p.t, row.name+": what was refused has changed something", p.snapshot(), before)
}

var beyondPattern = regexp.MustCompile("^([0-9]{3})(?: `([A-Za-z_]+)`)?(?: \"([^\"]+)\")?")

// faults says in what an answer is not as the page says.
func (row limitRow) faults(got answer) (found []string) {
	said := beyondPattern.FindStringSubmatch(row.beyond)
	if said == nil {
		return []string{fmt.Sprintf("the page says %q: want a status", row.beyond)}
	}
	if fmt.Sprint(got.status) != said[1] {
		found = append(found, "want status "+said[1])
	}
	kind, detail := got.text("scimType"), got.text("detail")
	if _, isOAuth := got.doc["error"]; isOAuth {
		kind, detail = got.text("error"), got.text("error_description")
	}
	if kind != said[2] || !strings.Contains(detail, said[3]) {
		found = append(found, fmt.Sprintf("want %q and a sentence with %q", said[2], said[3]))
	}
	return found
}

func letters(n int) string { return strings.Repeat("a", n) }

// times repeats what a function makes of 0 to n-1, parted.
func times(n int, parted string, part func(i int) string) string {
	list := make([]string, n)
	for i := range list {
		list[i] = part(i)
	}
	return strings.Join(list, parted)
}

// padded is a body of n bytes.
func padded(body string, n int) []byte { return []byte(body + strings.Repeat(" ", n-len(body))) }

func posts(path string, bodies ...any) []badInput {
	var list []badInput
	for _, body := range bodies {
		list = append(list, badInput{method: "POST", path: path, body: body})
	}
	return list
}

func patches(bodies ...any) []badInput {
	var list []badInput
	for _, body := range bodies {
		list = append(list, badInput{method: "PATCH", path: "/Users/{user}", body: body})
	}
	return list
}

func gets(paths ...string) []badInput {
	var list []badInput
	for _, path := range paths {
		list = append(list, badInput{method: "GET", path: path})
	}
	return list
}

// bulkOfNobody is a request of n operations, each about nobody.
func bulkOfNobody(n int) string {
	return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[` +
		times(n, ",", func(int) string { return `{"method":"DELETE","path":"/Users/nobody"}` }) + `]}`
}

// named is a user's or a group's attribute with the value, set in every way.
func named(attribute string, value any) []badInput {
	return append(posts("/Users", badUser(object{attribute: value})), patches(patch(op("replace", attribute, value)))...)
}

func withFilter(filter string) []badInput { return gets("/Users?filter=" + query(filter)) }

// requestLimits are the checks of the table "Requests", by the limit's name there.
var requestLimits = map[string]limitCheck{
	"body of a request": {with: func(n int) []badInput {
		return append(posts("/Groups", padded(`{"displayName":"Bad"}`, n)), badInput{method: "PATCH", path: "/Groups/{group}", body: padded(`{"Operations":[]}`, n)})
	}},
	"body about a user": {with: func(n int) []badInput {
		return append(posts("/Users", padded(`{"userName":"`+badName+`"}`, n)), patches(padded(`{"Operations":[]}`, n))...)
	}},
	"body of a search": {with: func(n int) []badInput {
		body := padded(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],"count":0}`, n)
		return append(posts("/.search", body), posts("/Users/.search", body)...)
	}},
	"body of a bulk request":       {with: func(n int) []badInput { return posts("/Bulk", padded(bulkOfNobody(1), n)) }},
	"operations of a bulk request": {with: func(n int) []badInput { return posts("/Bulk", bulkOfNobody(n)) }},
	"body of a token request": {with: func(n int) []badInput {
		form := "grant_type=client_credentials&x="
		return []badInput{{method: "POST", address: tokenEndpoint, body: form + letters(n-len(form)),
			header: http.Header{"Authorization": {"Basic {basic}"}, "Content-Type": {"application/x-www-form-urlencoded"}}}}
	}},
	"headers of a request, about": {slack: 8192, with: func(n int) []badInput {
		return []badInput{{method: "GET", path: "/Users", header: http.Header{"X-Padding": {letters(n)}}}}
	}},
	"values in one body, all told": {with: func(n int) []badInput {
		return posts("/Groups", []byte(`{"displayName":"Bad","x":[`+times(n-3, ",", func(int) string { return "1" })+`]}`))
	}},
	"nesting of JSON": {with: func(n int) []badInput {
		return posts("/Users", `{"userName":"`+badName+`","x":`+strings.Repeat("[", n-1)+strings.Repeat("]", n-1)+`}`)
	}},
	"attributes set by a POST or PUT, members aside": {with: func(n int) []badInput {
		return posts("/Users", `{"userName":"`+badName+`",`+times(n-1, ",", func(i int) string { return fmt.Sprintf(`"x%d":1`, i) })+`}`)
	}},
	"attributes set by a PATCH, members aside": {with: func(n int) []badInput {
		return patches(`{"Operations":[` + times(n, ",", func(int) string { return `{"op":"replace","path":"title","value":"Dr"}` }) + `]}`)
	}},
	"attributes of an extension that no schema describes": {with: func(n int) []badInput {
		return posts("/Users", `{"userName":"`+badName+`","urn:x:2.0:User":{`+times(n, ",", func(i int) string { return fmt.Sprintf(`"x%d":1`, i) })+`}}`)
	}},
	"values of one attribute, members aside": {with: func(n int) []badInput {
		emails := `[` + times(n, ",", func(i int) string { return fmt.Sprintf(`{"value":"%d@corp.example"}`, i) }) + `]`
		return append(posts("/Users", `{"userName":"`+badName+`","emails":`+emails+`}`), patches(`{"Operations":[{"op":"replace","path":"emails","value":`+emails+`}]}`)...)
	}},
	"values of one attribute after a PATCH": {with: func(n int) []badInput {
		roles := times(n-1, ",", func(i int) string { return fmt.Sprintf(`{"value":"%d"}`, i) })
		return patches(`{"Operations":[{"op":"replace","path":"roles","value":[` + roles + `]},{"op":"add","path":"roles[value eq \"last\"].type","value":"x"}]}`)
	}},
	"`userName`":   {with: func(n int) []badInput { return named("userName", letters(n)) }},
	"`externalId`": {with: func(n int) []badInput { return named("externalId", letters(n)) }},
	"`displayName`": {with: func(n int) []badInput {
		return append(named("displayName", letters(n)), posts("/Groups", badGroup(object{"displayName": letters(n)}))...)
	}},
	"an e-mail address": {with: func(n int) []badInput { return named("emails", []any{object{"value": letters(n)}}) }},
	// One letter of two bytes is compared as two of two.
	"names and addresses as they are compared (ß as ss)": {with: func(n int) []badInput {
		long := strings.Repeat("\u0587", (n+3)/4)
		rows := append(named("userName", long), named("displayName", long)...)
		rows = append(rows, named("emails", []any{object{"value": long}})...)
		return append(rows, posts("/Groups", badGroup(object{"displayName": long}))...)
	}},
	"any other text": {with: func(n int) []badInput { return named("title", letters(n)) }},
	"text of an extension that no schema describes": {with: func(n int) []badInput {
		return posts("/Users", badUser(object{"urn:x:2.0:User": object{"x": []string{letters(n)}}}))
	}},
	"filter": {with: func(n int) []badInput { return withFilter(`userName eq "` + letters(n-14) + `"`) }},
	"parentheses of a filter in each other": {with: func(n int) []badInput {
		return withFilter(strings.Repeat("(", n) + `id eq "x"` + strings.Repeat(")", n))
	}},
	"comparisons of a filter": {with: func(n int) []badInput {
		return withFilter(times(n, " or ", func(int) string { return `id eq "x"` }))
	}},
	"comparisons of a filter that no index answers": {with: func(n int) []badInput {
		return withFilter(times(n, " or ", func(int) string { return `nickName co "x"` }))
	}},
	"path of a PATCH operation": {with: func(n int) []badInput {
		return patches(patch(op("replace", "title"+strings.Repeat(" ", n-5), "Dr")))
	}},
	"`attributes`": {with: func(n int) []badInput { return gets("/Users?attributes="+letters(n), "/Groups?attributes="+letters(n)) }},
	"`excludedAttributes`": {with: func(n int) []badInput {
		return gets("/Users?excludedAttributes="+letters(n), "/Groups?excludedAttributes="+letters(n))
	}},
	"resources on a page": {instead: func(p *badPlace, row limitRow) {
		p.crowd("limit", row.most)
		for _, count := range []int{row.most, row.most + 1, 1 << 30} {
			got := p.want(200, "GET", fmt.Sprintf("/Users?attributes=userName&count=%d", count), nil)
			if n := len(got.list(p.t)); n != row.most {
				p.t.Errorf("%s: %d with count=%d, want %d", row.name, n, count, row.most)
			}
		}
	}},
	"length of `X-Request-Id`": {instead: func(p *badPlace, row limitRow) {
		for n, kept := range map[int]bool{row.most: true, row.most + 1: false} {
			got := p.send(badInput{method: "GET", path: "/Users?count=0", header: http.Header{"X-Request-Id": {letters(n)}}})
			if id := got.header.Get("X-Request-Id"); got.status != 200 || (id == letters(n)) != kept || id == "" {
				p.t.Errorf("%s: %d: answered %d with id %q", row.name, n, got.status, id)
			}
		}
	}},
	"requests a second of one connection": {instead: func(p *badPlace, row limitRow) {
		if row.cells[1] != "no limit" {
			p.t.Errorf("%s is %q, want the page to say what a server without the setting does", row.name, row.cells[1])
		}
	}}, // see TestRateLimit
}

func TestLimitsAreThoseOfThePage(t *testing.T) {
	onBothBadPlaces(t, func(t *testing.T, p *badPlace) {
		request, err := http.NewRequest("GET", p.host, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.SetBasicAuth(p.id, p.secret)
		basic := strings.TrimPrefix(request.Header.Get("Authorization"), "Basic ")
		token := requestLimits["body of a token request"].with
		checked := 0
		everyRow(t, "Requests", requestLimits, func(row limitRow, c limitCheck) {
			if row.name == "body of a token request" {
				c.with = func(n int) []badInput {
					list := token(n)
					list[0].header.Set("Authorization", "Basic "+basic)
					return list
				}
			}
			c.check(p, row)
			checked++
		})
		t.Logf("limits_checked %d of %d", checked, len(limitTable(t, "Requests")))
	})
}

// TestRateLimit: bursts of twice the rate pass, then one is told when to come
// back, and may. Another connection doesn't notice.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]string{"sqlite": "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db"), "postgres": pgtest.URL(t)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, database, "--rate-limit=25")
			var row limitRow
			for _, r := range limitTable(t, "Requests") {
				if r.name == "requests a second of one connection" {
					row = r
				}
			}
			start := time.Now()
			got, passed := untilRefused(t, 200, func() (answer, error) { return c.do("GET", "/Users?count=0", nil), nil })
			for _, fault := range row.faults(got) {
				t.Errorf("answered %d %s: %s", got.status, got.raw, fault)
			}
			if most := 50 + int(25*time.Since(start).Seconds()) + 1; passed < 50 || passed > most {
				t.Errorf("%d requests passed, want 50 to %d", passed, most)
			}
			if !comeBack(t, got, func() answer { return c.do("GET", "/Users?count=0", nil) }) {
				t.Error("still refused, time and again, when one may come back")
			}
		})
	}
}

func TestMaxBodyIsASetting(t *testing.T) {
	t.Parallel()
	c := serve(t, "sqlite://"+filepath.Join(t.TempDir(), "gatehouse.db"), "--max-body=2048")
	c.want(201, "POST", "/Groups", string(padded(`{"displayName":"Ops"}`, 2048)))
	got := c.want(413, "POST", "/Groups", string(padded(`{"displayName":"Dev"}`, 2049)))
	if !strings.Contains(got.text("detail"), "larger than 2048 bytes") || !strings.Contains(got.text("detail"), "max-body") {
		t.Errorf("detail is %q", got.text("detail"))
	}
	c.want(413, "POST", "/Users", string(padded(`{"userName":"ann"}`, 2049)))
}

// TestMaxBulkAndPageAreSettings: ServiceProviderConfig says them, and they hold.
func TestMaxBulkAndPageAreSettings(t *testing.T) {
	t.Parallel()
	c := serve(t, "sqlite://"+filepath.Join(t.TempDir(), "gatehouse.db"), "--max-bulk=12", "--max-page=11")
	says := c.want(200, "GET", "/ServiceProviderConfig", "")
	for _, limit := range []struct {
		of, name string
		want     int
	}{{"bulk", "maxOperations", 12}, {"filter", "maxResults", 11}, {"pagination", "maxPageSize", 11}, {"pagination", "defaultPageSize", 11}} {
		if got := says.number(t, limit.of, limit.name); got != limit.want {
			t.Errorf("%s of %s is %d, want %d", limit.name, limit.of, got, limit.want)
		}
	}
	bulk := func(n int) string {
		var operations []string
		for i := range n {
			operations = append(operations, fmt.Sprintf(`{"method":"POST","path":"/Users","bulkId":"%d","data":{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"u%d"}}`, i, i))
		}
		return `{"schemas":["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],"Operations":[` + strings.Join(operations, ",") + `]}`
	}
	c.want(413, "POST", "/Bulk", bulk(13))
	c.want(200, "POST", "/Bulk", bulk(12))
	for _, query := range []string{"", "?count=500", "?cursor"} {
		if got := len(c.want(200, "GET", "/Users"+query, "").list(t)); got != 11 {
			t.Errorf("/Users%s holds %d resources, want 11", query, got)
		}
	}
}

// commandLimits run the commands that reach a limit; the last has to end with 1
// when n is beyond it.
var commandLimits = map[string]func(n int) [][]string{
	"live tokens of a connection": func(n int) [][]string {
		commands := [][]string{{"connection", "add", "--name=limits"}} // has one
		for range n - 1 {
			commands = append(commands, []string{"token", "add", "--connection=limits"})
		}
		return commands
	},
	"live secrets of a client": func(n int) [][]string {
		commands := [][]string{{"connection", "add", "--name=limits"}, {"client", "add", "--connection=limits"}}
		for range n - 1 {
			commands = append(commands, []string{"client", "secret", "add", "--connection=limits"})
		}
		return commands
	},
	"length of a tenant's or connection's name": func(n int) [][]string {
		return [][]string{{"tenant", "add", letters(n)}, {"connection", "add", "--name=" + letters(n)}}
	},
	"days that a client secret lives": func(n int) [][]string {
		return [][]string{{"connection", "add", "--name=limits"}, {"client", "add", "--connection=limits", fmt.Sprintf("--expires=%dh", 24*n)}}
	},
	"length of a webhook's address": func(n int) [][]string {
		return [][]string{{"connection", "add", "--name=limits"}, {"webhook", "add", "--product=console", "--url=https://a.example/" + letters(n-len("https://a.example/"))}}
	},
	"pauses of `webhook-retries`": func(n int) [][]string {
		return [][]string{{"serve", "--listen=nowhere", "--webhook-retries=" + times(n, ",", func(int) string { return "1s" })}}
	},
	"seconds of `webhook-timeout`": func(n int) [][]string {
		return [][]string{{"serve", "--listen=nowhere", fmt.Sprintf("--webhook-timeout=%ds", n)}}
	},
	"hours that a session lives": func(n int) [][]string {
		return [][]string{{"serve", "--listen=nowhere", fmt.Sprintf("--session-life=%dh", n)}}
	},
	"hours that a session may be idle, of 720": func(n int) [][]string {
		return [][]string{{"serve", "--listen=nowhere", "--session-life=720h", fmt.Sprintf("--session-idle=%dh", n)}}
	},
	"hours that an access token lives": func(n int) [][]string {
		return [][]string{{"serve", "--listen=nowhere", fmt.Sprintf("--access-token-life=%dh", n)}}
	},
}

func TestCommandsHaveTheLimitsOfThePage(t *testing.T) {
	t.Parallel()
	everyRow(t, "Commands and settings", commandLimits, func(row limitRow, commands func(n int) [][]string) {
		for n, want := range map[int]string{row.most: "", row.most + 1: strings.Trim(row.beyond, `"`)} {
			database := "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db")
			var output []byte
			for _, args := range commands(n) {
				output, _ = exec.Command(binary, append([]string{"--database-url=" + database}, args...)...).CombinedOutput() // it says how it ended
				if strings.Contains(string(output), "listen") {
					output = nil // all settings were good, so that it came to the address
				}
			}
			refused := strings.Contains(string(output), "error:") || strings.Contains(string(output), "gatehouse: ")
			if refused != (want != "") || !strings.Contains(string(output), want) {
				t.Errorf("%s: %d: printed %s, want %q", row.name, n, output, want)
			}
		}
	})
}

func TestTimesAreThoseOfThePage(t *testing.T) {
	t.Parallel()
	where := regexp.MustCompile("^`([^`]+)`: `([^`]+)`$")
	spaces := regexp.MustCompile(`\s+`)
	for _, row := range append(limitTable(t, "Times"), limitTable(t, "Webhooks")...) {
		said := where.FindStringSubmatch(row.cells[3])
		if said == nil {
			t.Errorf("%s: %q, want a file and what it says", row.name, row.cells[3])
			continue
		}
		code, err := os.ReadFile(filepath.Join("..", "..", said[1]))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(spaces.ReplaceAllString(string(code), " "), said[2]) {
			t.Errorf("%s: %s does not say %q", row.name, said[1], said[2])
		}
	}
}
