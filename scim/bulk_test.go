package scim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	scimerr "github.com/elimity-com/scim/errors"
	"pgregory.net/rapid"

	"gatehouse/internal/web"
	"gatehouse/store"
)

func TestEveryReferenceIsFound(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ why, data, want string }{
		{"a member", `{"members":[{"value":"bulkId:a","$ref":"../Users/1"}]}`, `{"members":[{"$ref":"../Users/1","value":"<a>"}]}`},
		{"a member as text", `{"members":["bulkId:a","b"]}`, `{"members":["<a>","b"]}`},
		{"in any case", `{"manager":"BULKID:A b"}`, `{"manager":"<A b>"}`},
		{"in a PATCH", `{"Operations":[{"op":"add","path":"members","value":[{"value":"bulkId:a"}]}]}`, `{"Operations":[{"op":"add","path":"members","value":[{"value":"<a>"}]}]}`},
		{"in the path of a PATCH", `{"Operations":[{"path":"members[value eq \"bulkId:a\" or value eq \"b\"]"}]}`, `{"Operations":[{"path":"members[value eq \"<a>\" or value eq \"b\"]"}]}`},
		{"not within a text", `{"title":"see bulkId:a","name":{"formatted":"\"bulkId:a\""}}`, `{"name":{"formatted":"\"bulkId:a\""},"title":"see bulkId:a"}`},
		{"nor in a name", `{"bulkId:a":1}`, `{"bulkId:a":1}`},
		{"numbers stay as they are", `{"x":[1.50,null,true]}`, `{"x":[1.50,null,true]}`},
	} {
		data := mustDecode(t, test.data)
		before := string(jsonOf(data))
		got := string(jsonOf(withIDs(data, func(bulkID string) string { return "<" + bulkID + ">" })))
		if got = strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(got); got != test.want {
			t.Errorf("%s: got %s, want %s", test.why, got, test.want)
		}
		if after := string(jsonOf(data)); after != before {
			t.Errorf("%s: the data was modified: %s", test.why, after)
		}
	}
}

// Whoever manages whom, and whoever can't be created: people are there when all
// that they refer to is, with the manager that was asked for, and otherwise not at
// all.
func TestBulkOfAnyShape(t *testing.T) {
	t.Parallel()
	p := newRig(t)
	round := 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		n := rapid.IntRange(1, 12).Draw(t, "people")
		manager, bad := make([]int, n), make([]bool, n)
		var ops []any
		for i := range n {
			manager[i] = rapid.OneOf(rapid.IntRange(-1, n-1), rapid.Just((i+1)%n)).Draw(t, "manager")
			bad[i] = rapid.IntRange(0, 7).Draw(t, "bad") == 0
			user := document{"userName": fmt.Sprintf("r%d-u%d", round, i), "title": "T"}
			if manager[i] >= 0 {
				user["manager"] = fmt.Sprintf("bulkId:%d", manager[i])
			}
			if bad[i] {
				user["active"] = "perhaps"
			}
			ops = append(ops, document{"method": "POST", "bulkId": fmt.Sprint(i), "path": "/Users", "data": user})
		}
		members := rapid.SliceOfDistinct(rapid.IntRange(0, n-1), rapid.ID[int]).Draw(t, "members")
		refs := []any{}
		for _, m := range members {
			refs = append(refs, document{"value": fmt.Sprintf("bulkId:%d", m)})
		}
		at := rapid.IntRange(0, n).Draw(t, "group at")
		ops = slices.Insert(ops, at, any(document{"method": "POST", "bulkId": "g", "path": "/Groups", "data": document{"displayName": fmt.Sprintf("g%d", round), "members": refs}}))

		status, answer := p.do(context.Background(), "POST", "/Bulk", string(jsonOf(document{"Operations": ops})))
		if status != 200 {
			t.Fatalf("got %d %v", status, answer)
		}
		results := map[string]document{}
		for _, o := range answer["Operations"].([]any) {
			results[o.(document)["bulkId"].(string)] = o.(document)
		}
		if len(results) != n+1 {
			t.Fatalf("%d results of %d operations", len(results), n+1)
		}
		good := func(i int) bool { // and all above
			for range n + 1 {
				if bad[i] {
					return false
				}
				if i = manager[i]; i < 0 {
					break
				}
			}
			return true
		}
		id := func(key string) string {
			location, _ := results[key]["location"].(string)
			return location[strings.LastIndexByte(location, '/')+1:]
		}
		all := true
		for _, m := range members {
			all = all && good(m)
		}
		for i := range n {
			key := fmt.Sprint(i)
			if !good(i) {
				want := "409"
				if bad[i] {
					want = "400"
				}
				_, found := p.do(context.Background(), "GET", "/Users?filter="+fmt.Sprintf("userName+eq+%%22r%d-u%d%%22", round, i), "")
				if results[key]["status"] != want && !(bad[i] && results[key]["status"] == "409") || results[key]["location"] != nil || found["totalResults"] != 0.0 {
					t.Fatalf("person %d: got %v, want %s and nobody; found %v", i, results[key], want, found)
				}
				continue
			}
			if results[key]["status"] != "201" {
				t.Fatalf("person %d: got %v, want 201", i, results[key])
			}
			_, user := p.do(context.Background(), "GET", "/Users/"+id(key), "")
			ent, _ := user[enterpriseURN].(document)
			got, _ := ent["manager"].(document)
			want := ""
			if manager[i] >= 0 {
				want = id(fmt.Sprint(manager[i]))
			}
			if text(got, "value") != want || user["title"] != "T" || user["active"] != true {
				t.Fatalf("person %d: got %v, want manager %s", i, user, want)
			}
		}
		if (results["g"]["status"] == "201") != all {
			t.Fatalf("group: got %v, want made %v", results["g"], all)
		}
		if all {
			_, group := p.do(context.Background(), "GET", "/Groups/"+id("g"), "")
			if got := len(group["members"].([]any)); got != len(members) {
				t.Fatalf("%d members, want %d", got, len(members))
			}
		}
	})
}

// Nothing is begun for a client that is gone, and what is begun is finished.
func TestBulkEndsWithItsClient(t *testing.T) {
	t.Parallel()
	p := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ops, _, err := parseBulk(mustDecode(t, `{"Operations":[{"method":"POST","bulkId":"1","path":"/Users","data":{"userName":"ann"}}]}`), DefaultMaxBulk)
	if err != nil {
		t.Fatal(err)
	}
	b := &bulkRun{s: p.edge, r: httptest.NewRequestWithContext(ctx, "POST", "/", nil), ops: ops, created: creators(ops)}
	b.do(ops[0])
	if ops[0].state != bulkWaiting {
		t.Errorf("got %+v, want it not done", ops[0])
	}
	p.do(ctx, "POST", "/Bulk", `{"Operations":[{"method":"POST","bulkId":"1","path":"/Users","data":{"userName":"ann"}}]}`)
	if _, found := p.do(t.Context(), "GET", "/Users?count=0", ""); found["totalResults"] != 0.0 {
		t.Errorf("found %v, want nobody", found)
	}
}

// Each operation counts against the rate of its connection.
func TestBulkIsChargedByOperation(t *testing.T) {
	t.Parallel()
	p := newRig(t)
	p.edge.opts.Rate = 25
	ops := strings.TrimSuffix(strings.Repeat(`{"method":"DELETE","path":"/Users/x"},`, 200), ",")
	if status, answer := p.do(t.Context(), "POST", "/Bulk", `{"Operations":[`+ops+`]}`); status != 200 {
		t.Fatalf("got %d %v, want 200: a bulk is let in like any request", status, answer)
	}
	wait, ok := p.edge.limits.Allow(p.conn.ID, 25)
	if ok || wait < 5*time.Second {
		t.Errorf("allowed %v after %v, want to wait about (200-50)/25 seconds", ok, wait)
	}
	if status, _ := p.do(t.Context(), "GET", "/Users", ""); status != 429 {
		t.Errorf("the next request: got %d, want 429", status)
	}
}

// The log has one line, and says more of a few operations only.
func TestBulkIsOneLineInTheLog(t *testing.T) {
	t.Parallel()
	p := newRig(t)
	var log bytes.Buffer
	p.handler = web.Log(slog.New(slog.NewJSONHandler(&log, nil)), nil, p.handler)
	ops := strings.TrimSuffix(strings.Repeat(`{"method":"DELETE","path":"/Users/x"},`, 30), ",")
	p.do(t.Context(), "POST", "/Bulk", `{"Operations":[`+ops+`]}`)
	var line document
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("%v in %s, want one line", err, &log)
	}
	noted := strings.Count(log.String(), `"operation_`)
	first, _ := line["operation_1"].(document)
	if line["operations"] != 30.0 || line["failed"] != 30.0 || noted != maxBulkNotes || !strings.Contains(text(first, "error"), "not found") {
		t.Errorf("got %d notes in %s, want %d and the errors in them", noted, &log, maxBulkNotes)
	}
}

// A client that puts JSON into a text sends passwords that nobody recognises:
// neither the answer nor the log repeats it.
func TestBulkRepeatsNoTextThatShouldBeAnObject(t *testing.T) {
	t.Parallel()
	p := newRig(t)
	var log bytes.Buffer
	p.handler = web.Log(slog.New(slog.NewJSONHandler(&log, nil)), nil, p.handler)
	const data = `"{\"password\":\"hunter2\"}"`
	status, answer := p.do(t.Context(), "POST", "/Bulk", `{"Operations":[
		{"method":"POST","bulkId":"1","path":"/Users","data":`+data+`}, `+data+`, [{"password":"hunter2"}]]}`)
	if said := string(jsonOf(answer)); status != 200 || strings.Count(said, "invalidSyntax") != 3 || strings.Contains(said, "hunter2") {
		t.Errorf("got %d %s, want invalidSyntax three times and no password", status, said)
	}
	if strings.Count(log.String(), "invalidSyntax") != 3 || strings.Contains(log.String(), "hunter2") {
		t.Errorf("the log has %s, want three errors and no password", &log)
	}
}

// When the database is away, what follows is not tried, and says so.
func TestBulkWithoutDatabase(t *testing.T) {
	t.Parallel()
	p := newRig(t)
	ops, _, err := parseBulk(mustDecode(t, `{"Operations":[
		{"method":"DELETE","path":"/Users/01890000-0000-7000-8000-000000000000"},
		{"method":"POST","bulkId":"1","path":"/Users","data":{"userName":"ann"}},
		{"method":"PUT","path":"/Nothing"}]}`), DefaultMaxBulk)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	away := func(http.ResponseWriter, *http.Request, caller) error {
		tried++
		return fmt.Errorf("%w: gone", store.ErrUnavailable)
	}
	b := &bulkRun{s: p.edge, r: httptest.NewRequest("POST", "/", nil), ops: ops, created: creators(ops),
		handlers: map[string]handler{"DELETE /Users/{id}": away, "POST /Users": away}}
	for _, op := range ops {
		b.do(op)
	}
	var got []int
	for _, op := range ops {
		got = append(got, op.status)
	}
	if tried != 1 || !reflect.DeepEqual(got, []int{503, 503, 400}) {
		t.Errorf("tried %d, got %v, want 1 and 503, 503, 400", tried, got)
	}
}

// What was made for a circle and can't be taken back is named.
func TestWhatCannotBeTakenBackIsNamed(t *testing.T) {
	t.Parallel()
	p := newRig(t)
	ops, _, err := parseBulk(mustDecode(t, `{"Operations":[{"method":"POST","bulkId":"1","path":"/Users","data":{"userName":"ann","manager":"bulkId:1"}}]}`), DefaultMaxBulk)
	if err != nil {
		t.Fatal(err)
	}
	broken := func(http.ResponseWriter, *http.Request, caller) error { return fmt.Errorf("broken") }
	b := &bulkRun{s: p.edge, r: httptest.NewRequest("POST", "/", nil), ops: ops, created: creators(ops), handlers: map[string]handler{
		"POST /Users": func(w http.ResponseWriter, _ *http.Request, _ caller) error {
			w.Header().Set("Location", "https://gatehouse.example/Users/7")
			w.WriteHeader(http.StatusCreated)
			return nil
		},
		"PATCH /Users/{id}": broken, "DELETE /Users/{id}": broken,
	}}
	b.do(ops[0])
	if op := ops[0]; op.status != 500 || op.location != "https://gatehouse.example/Users/7" || b.errors != 1 {
		t.Errorf("got %+v, %d errors, want 500 with the location", op, b.errors)
	}
}

func FuzzBulk(f *testing.F) {
	for _, s := range []string{`{"Operations":[]}`,
		`{"failOnErrors":1,"Operations":[{"method":"POST","bulkId":"a","path":"/Users","data":{"userName":"a","manager":"bulkId:b"}},{"method":"post","bulkId":"b","path":"Users/","data":{"userName":"b","manager":"bulkId:a"}}]}`,
		`{"Operations":[{"method":"POST","bulkId":"a","path":"/Users","data":{"userName":"fail","manager":"bulkId:b"}},{"method":"POST","bulkId":"b","path":"/Users","data":{"manager":"bulkId:c"}},{"method":"POST","bulkId":"c","path":"/Users","data":{"manager":"bulkId:a"}}]}`,
		`{"failOnErrors":1,"Operations":[{"method":"POST","bulkId":"a","path":"/Users","data":{"manager":"bulkId:b","x":"bulkId:c"}},{"method":"POST","bulkId":"b","path":"/Users","data":{"manager":"bulkId:a"}},{"method":"POST","bulkId":"c","path":"/Users","data":{"userName":"fail"}}]}`,
		`{"operations":[{"method":"PATCH","path":"/Groups/bulkId:g","data":{"Operations":[{"op":"remove","path":"members[value eq \"bulkId:u\"]"}]}},{"method":"POST","bulkId":"g","path":"/Groups","data":{"displayName":"g"}}]}`,
		`{"Operations":[1,{"method":"DELETE","path":"/Users/x","bulkId":"a"},{"method":"PUT","path":"/Users/bulkId:a","bulkId":"a","data":{}}]}`} {
		f.Add([]byte(s))
	}
	edge := &Server{}
	f.Fuzz(func(t *testing.T, data []byte) {
		body, err := decodeObject(data)
		if err != nil {
			return
		}
		ops, failOnErrors, err := parseBulk(body, DefaultMaxBulk)
		if err != nil {
			if scimType(err) == "?" && !strings.Contains(err.Error(), "maxOperations") {
				t.Errorf("got %v, want a SCIM error", err)
			}
			return
		}
		made := 0
		b := &bulkRun{s: edge, r: httptest.NewRequest("POST", "/", nil), ops: ops, created: creators(ops), failOnErrors: failOnErrors, handlers: map[string]handler{}}
		for _, t := range []string{"/Users", "/Groups"} {
			b.handlers["POST "+t] = func(w http.ResponseWriter, r *http.Request, _ caller) error {
				if body, _ := io.ReadAll(r.Body); bytes.Contains(body, []byte("fail")) {
					return invalid(scimerr.ScimTypeInvalidValue, "It is to fail.")
				}
				made++
				w.Header().Set("Location", fmt.Sprintf("%s/id-%d", t, made))
				w.WriteHeader(http.StatusCreated)
				return nil
			}
			for _, method := range []string{"PUT", "PATCH", "DELETE"} {
				b.handlers[method+" "+t+"/{id}"] = func(w http.ResponseWriter, _ *http.Request, _ caller) error { return nil }
			}
		}
		for _, op := range ops {
			b.do(op)
		}
		if b.creating != 0 || len(b.circles) != 0 {
			t.Errorf("%d wait and %d circles are open at the end", b.creating, len(b.circles))
		}
		failed := 0
		for _, op := range ops {
			switch op.state {
			case bulkFailed:
				failed++
			case bulkDone:
				for _, other := range op.needs {
					if other.state != bulkDone {
						t.Errorf("operation %d is done without operation %d, in state %d", op.number, other.number, other.state)
					}
				}
			case bulkBusy:
				t.Errorf("operation %d is busy at the end", op.number)
			case bulkWaiting:
				if !b.stopped() {
					t.Errorf("operation %d was forgotten", op.number)
				}
			}
		}
		if failed != b.errors {
			t.Errorf("%d failed, %d errors were counted", failed, b.errors)
		}
		w := httptest.NewRecorder()
		if err := b.answer(w); err != nil || !json.Valid(w.Body.Bytes()) {
			t.Errorf("answered %s, %v", w.Body, err)
		}
	})
}
