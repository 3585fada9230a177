package e2e

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	_ "github.com/lib/pq"
)

// recordedRequest is a line of 'gatehouse requests --json'.
type recordedRequest struct {
	ID         string
	Method     string
	Path       string
	Query      string
	Status     int
	Cause      string
	Count      int
	ResourceID string `json:"resource_id"`
	Body       string
	Changes    []struct{ Action string }
}

// requests waits until a last request is recorded, and gives all that match.
func (s *tenancy) requests(t *testing.T, args ...string) (found []recordedRequest) {
	t.Helper()
	last := fmt.Sprintf("/Users/last-%d", time.Now().UnixNano())
	s.want(404, "GET", last, nil)
	deadline := time.Now().Add(patience)
	for seen := false; !seen; {
		var newest []recordedRequest
		s.command(t, &newest, "requests", "--connection=entra", "--limit=1")
		seen = len(newest) == 1 && newest[0].Path == last
		if time.Now().After(deadline) {
			t.Fatalf("%s is not recorded; the newest is %v", last, newest)
		}
	}
	s.command(t, &found, append([]string{"requests", "--connection=entra"}, args...)...)
	return found
}

// dump is every value of every table of the server's database, by table.
func (s *tenancy) dump(t *testing.T) map[string]string {
	t.Helper()
	driver, source := "postgres", s.database
	tables := `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()`
	if file, ok := strings.CutPrefix(s.database, "sqlite://"); ok {
		driver, source = "sqlite", file+"?_pragma=busy_timeout(60000)"
		tables = `SELECT name FROM sqlite_master WHERE type = 'table'`
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found := map[string]string{}
	for _, table := range strings.Fields(scanAll(t, db, tables)) {
		found[table] = scanAll(t, db, `SELECT * FROM "`+table+`"`)
	}
	return found
}

func scanAll(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	values, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	var text strings.Builder
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		for _, v := range values {
			text.Write(v)
			text.WriteByte('\n')
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return text.String()
}

// Whatever secret is sent, and wherever: it is nowhere in the database.
func TestSecretsAreNotRecorded(t *testing.T) {
	onBothTenancies(t, func(t *testing.T, s *tenancy) {
		const canary = "Canary7hunter2"
		e := newEntra(t)
		s.federate(t, e)
		user := s.user("ann@corp.example", object{"password": canary})
		send := func(method, path string, header http.Header, body string) string {
			t.Helper()
			r, err := http.NewRequest(method, s.host+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = http.Header{"Authorization": {"Bearer " + s.token}, "Content-Type": {"application/scim+json"}, "Cookie": {"s=" + canary}}
			for name, values := range header {
				r.Header[name] = values
			}
			answer, err := s.http.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			raw, err := io.ReadAll(answer.Body)
			if err != nil || answer.StatusCode >= 500 && answer.StatusCode != http.StatusNotImplemented {
				t.Fatalf("%s %s: %d %s %v", method, path, answer.StatusCode, raw, err)
			}
			return string(raw)
		}
		ops := func(ops string) string { return `{"Operations":[` + ops + `]}` }
		for _, test := range []struct{ method, path, body string }{
			{"POST", "/Users", `{"userName":"b1@corp.example","PassWord":"` + canary + `"}`},
			{"POST", "/Users", `{"userName":"b2@corp.example","urn:ietf:params:scim:schemas:core:2.0:User:password":"` + canary + `"}`},
			{"POST", "/Users", `{"userName":"b3@corp.example","password":{"x":["` + canary + `"]}}`},
			{"POST", "/Users", `{"userName":"ann@corp.example","password":"` + canary + `"}`},
			{"POST", "/Users", `{"password":"` + canary + `"`},
			{"POST", "/Users", `password=` + canary},
			{"PUT", "/Users/" + user, `{"userName":"ann@corp.example","p\u0061ssword":"` + canary + `"}`},
			{"PATCH", "/Users/" + user, ops(`{"op":"replace","path":"password","value":"` + canary + `"}`)},
			{"PATCH", "/Users/" + user, ops(`{"value":"` + canary + `","path":"PASSWORD","op":"Add"}`)},
			{"PATCH", "/Users/" + user, ops(`{"op":"replace","value":{"password":"` + canary + `"}}`)},
			{"PATCH", "/Users/" + user, ops(`{"op":"replace","path":"password","value":{"value":"` + canary + `"}}`)},
			{"PATCH", "/Users/" + user, ops(`{"op":"remove","path":"password[value eq \"` + canary + `\"]"}`)},
			{"PATCH", "/Users/" + user, ops(`{"op":"` + canary + `","path":"password"}`)},
			{"PATCH", "/Users/" + user, `{"pad":"` + strings.Repeat("x", 16300) + `",` + ops(`{"op":"add","value":"` + canary + `","path":"password"}`)[1:]},
			{"POST", "/Bulk", ops(`{"method":"POST","path":"/Users","data":{"password":"` + canary + `"}}`)},
			{"GET", "/Users?access_token=" + canary, ""},
			{"GET", "/Users?" + canary, ""},
			{"GET", "/Users?filter=" + url.QueryEscape(`password eq "`+canary+`"`), ""},
			{"GET", "/Users/ghs_" + canary, ""},
		} {
			send(test.method, s.path+test.path, nil, test.body)
		}
		send("GET", s.path+"/Users", http.Header{"Authorization": {"Bearer " + canary}}, "")
		send("POST", s.path+"/Users", http.Header{"Authorization": {"Basic " + canary}}, `{"userName":"`+canary+`"}`)
		send("GET", s.path+"/Users", http.Header{"User-Agent": {"Bearer " + canary}}, "")

		form := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Authorization": nil}
		assertion := e.assertion(nil)
		var given []string
		for _, body := range []url.Values{s.bySecret(s.secret), s.byAssertion(assertion), s.bySecret(canary), s.byAssertion(canary), {"client_id": {canary}, "client_secret": {s.secret}},
			{"client_id": {s.id}, "password": {canary}, "scope": {canary}, "client_secret": {s.secret}}} {
			body.Set("grant_type", "client_credentials")
			answer := send("POST", "/oauth2/token", form, body.Encode())
			if token, ok := decode([]byte(answer))["access_token"].(string); ok {
				given = append(given, token)
			}
		}
		if len(given) != 3 {
			t.Errorf("%d access tokens were given, want 3", len(given))
		}
		basic := http.Request{Header: http.Header{}}
		basic.SetBasicAuth(s.id, s.secret)
		send("POST", "/oauth2/token", http.Header{"Content-Type": form["Content-Type"], "Authorization": basic.Header["Authorization"]}, "grant_type=client_credentials")

		all := s.requests(t, "--limit=1000")
		tokens := 0
		for _, q := range all {
			if q.Path == "/oauth2/token" {
				tokens++
			}
		}
		if len(all) < 28 || tokens < 5 {
			t.Errorf("%d requests are recorded, %d for tokens, want all: %v", len(all), tokens, all)
		}
		secrets := append(given, canary, s.token, s.secret, assertion, basic.Header.Get("Authorization")[len("Basic "):])
		for table, text := range s.dump(t) {
			for _, secret := range secrets {
				if at := strings.Index(text, secret); at >= 0 {
					t.Errorf("table %s holds a secret: %.300s", table, text[max(at-100, 0):])
				}
			}
		}
	})
}

func TestRequestsTellWhatHappened(t *testing.T) {
	onBothTenancies(t, func(t *testing.T, s *tenancy) {
		user := s.user("ann@corp.example", nil)
		s.want(409, "POST", "/Users", object{"userName": "ANN@corp.example"})
		s.want(200, "PATCH", "/Users/"+user, patch(op("Replace", "active", "False")))
		for range 9 {
			s.with(t, "ghs_nobody").want(401, "GET", "/Users", nil)
		}
		about := s.requests(t, "--user=ann@CORP.example")
		if len(about) != 2 || about[0].Method != "PATCH" || about[1].Method != "POST" || about[1].ResourceID != user {
			t.Fatalf("about ann: got %v, want her creation and her end", about)
		}
		var one recordedRequest
		s.command(t, &one, "requests", "--connection=entra", "--id="+about[0].ID)
		if len(one.Changes) != 1 || one.Changes[0].Action != "user.deactivated" || !strings.Contains(one.Body, `"value":"False"`) {
			t.Errorf("got %+v, want the body, and that she was deactivated", one)
		}
		causes := map[string]int{}
		for _, q := range s.requests(t, "--failed", "--since=1h") {
			causes[q.Cause] += q.Count
		}
		// Of nine some are only counted, and that is written when the minute is over.
		if n := causes["wrong-token"]; n < 5 || n > 9 {
			t.Errorf("%d wrong tokens are recorded, want 5 to 9", n)
		}
		delete(causes, "wrong-token")
		same(t, "other causes", causes, map[string]int{"user-name-taken": 1, "not-found": 2})
		var counted []struct {
			Code, Entra string
			Count       int
			Request     recordedRequest
		}
		s.command(t, &counted, "requests", "--connection=entra", "--causes")
		if len(counted) != 3 || counted[0].Code != "wrong-token" || counted[0].Entra == "" || counted[0].Request.Status != 401 {
			t.Errorf("got %+v, want three causes, the most frequent first, with what to do", counted)
		}
		var foreign []recordedRequest
		s.command(t, &foreign, "requests", "--connection=okta")
		if len(foreign) != 0 {
			t.Errorf("the other connection has %v, want nothing", foreign)
		}
	})
}

// A proxy may give all it passes on the same id, and repeats may come at once.
func TestRequestsOfOneIDKeepTheirChanges(t *testing.T) {
	onBothTenancies(t, func(t *testing.T, s *tenancy) {
		user := s.user("ann@corp.example", nil)
		c := s.when("X-Request-Id", "proxy-1")
		for _, active := range []bool{false, true} {
			got := c.want(200, "PATCH", "/Users/"+user, patch(op("replace", "active", active)))
			same(t, "the id in the answer", got.header.Get("X-Request-Id"), "proxy-1")
		}
		var actions []string
		for _, q := range s.requests(t, "--user="+user, "--limit=2") {
			var one recordedRequest
			s.command(t, &one, "requests", "--connection=entra", "--id="+q.ID)
			for _, change := range one.Changes {
				actions = append(actions, q.Method+" "+change.Action)
			}
		}
		same(t, "changes of the two, the last first", actions, []string{"PATCH user.activated", "PATCH user.deactivated"})
	})
}
