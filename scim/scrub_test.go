package scim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// canary is a secret that must be nowhere in what is kept.
const canary = "Canary-7-hunter2"

func TestSecretsAreNotKept(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ why, body, want string }{
		{"by its name", `{"userName":"ann","password":"CANARY","active":true}`, `{"userName":"ann","password":"(not kept)","active":true}`},
		{"in any case", `{"PassWord":"CANARY"}`, `{"PassWord":"(not kept)"}`},
		{"with an escape in the name", `{"p\u0061ssword":"CANARY"}`, `{"password":"(not kept)"}`},
		{"with a long s", "{\"pa\u017fsword\":\"CANARY\"}", "{\"pa…\":\"(not kept)\"}"},
		{"with Cyrillic letters", "{\"\u0440assword\":\"CANARY\"}", `{"(not kept)":"(not kept)"}`},
		{"with digits", `{"p4$$w0rd":"CANARY"}`, `{"p4…":"(not kept)"}`},
		{"with separators", `{"pass_word":"CANARY","Pass-Word":"CANARY"}`, `{"pass_word":"(not kept)","Pass-Word":"(not kept)"}`},
		{"with its URN", `{"urn:ietf:params:scim:schemas:core:2.0:User:password":"CANARY"}`, `{"urn:ietf:params:scim:schemas:core:2.0:User:password":"(not kept)"}`},
		{"deep", `{"a":[{"b":{"userPassword":["x",{"y":"CANARY"}]}}]}`, `{"a":[{"b":{"userPassword":"(not kept)"}}]}`},
		{"as a number", `{"password":12345678}`, `{"password":"(not kept)"}`},
		{"twice", `{"password":"CANARY","PASSWORD":"CANARY"}`, `{"password":"(not kept)","PASSWORD":"(not kept)"}`},
		{"in the name", `{"password=CANARY":1}`, `{"password…":"(not kept)"}`},
		{"by a path", `{"Operations":[{"op":"replace","path":"password","value":"CANARY"}]}`, `{"Operations":[{"op":"replace","path":"password","value":"(not kept)"}]}`},
		{"by a path that comes last", `{"Operations":[{"value":{"x":"CANARY"},"path":"PASSWORD","op":"Add"}]}`, `{"Operations":[{"value":"(not kept)","path":"PASSWORD","op":"Add"}]}`},
		{"by a path with its URN", `[{"path":"urn:ietf:params:scim:schemas:core:2.0:User:password","value":"CANARY"}]`, `[{"path":"urn:ietf:params:scim:schemas:core:2.0:User:password","value":"(not kept)"}]`},
		{"by a look-alike path", "[{\"path\":\"pa\u017fsword\",\"value\":\"CANARY\"}]", `[{"path":"pa…","value":"(not kept)"}]`},
		{"in a path", `[{"op":"remove","path":"password[value eq \"CANARY\"]"}]`, `[{"op":"remove","path":"password…"}]`},
		{"in the operation", `[{"op":"CANARY","path":"password"}]`, `[{"op":"(not kept)","path":"password"}]`},
		{"without path", `[{"op":"replace","value":{"password":"CANARY","active":false}}]`, `[{"op":"replace","value":{"password":"(not kept)","active":false}}]`},
		{"by a sibling", `{"attributes":[{"name":"password","value":"CANARY"}]}`, `{"attributes":[{"name":"password","value":"(not kept)"}]}`},
		{"by a sibling, under another name", `[{"type":"Password","text":"CANARY","key":"CANARY"}]`, `[{"type":"Password","text":"(not kept)","key":"(not kept)"}]`},
		{"in a pair", `[["password","CANARY"]]`, `[["(not kept)","(not kept)"]]`},
		{"in a text of JSON", `{"value":"{\"password\":\"CANARY\"}"}`, `{"value":"(not kept)"}`},
		{"in a text of a form", `{"value":"password=CANARY"}`, `{"value":"(not kept)"}`},
		{"in a filter", `{"filter":"password eq \"CANARY\""}`, `{"filter":"(not kept)"}`},
		{"in a Bulk request", `{"Operations":[{"method":"POST","path":"/Users","data":{"password":"CANARY"}}]}`, `{"Operations":[{"method":"POST","path":"/Users","data":{"password":"(not kept)"}}]}`},
		{"a client's secret", `{"client_secret":"CANARY","clientAssertion":"CANARY","apiKey":"CANARY"}`, `{"client_secret":"(not kept)","clientAssertion":"(not kept)","apiKey":"(not kept)"}`},
		{"a token of ours anywhere", `{"nickName":"ghs_CANARY","title":"x gh\u0061_CANARY y"}`, `{"nickName":"(not kept)","title":"x (not kept) y"}`},
		{"a header in a text", `{"title":"Bearer CANARY"}`, `{"title":"(not kept)"}`},
		{"what people are called stays", `{"title":"Secretary","path":"emails[type eq \"work\"].value","name":"Jürgen","value":"ü"}`, `{"title":"Secretary","path":"emails[type eq \"work\"].value","name":"Jürgen","value":"ü"}`},
		{"no JSON", `password=CANARY`, ``},
		{"a text alone", `"CANARY"`, ``},
		{"more after its end", `{"a":1} CANARY`, `{"a":1}`},
		{"JSON that goes wrong", `{"a":"x", password: "CANARY"}`, `{"a":"x"}`},
		{"a name without end", `{"a":1,"CANARY`, `{"a":1}`},
	} {
		body := strings.ReplaceAll(test.body, "CANARY", canary)
		s := scrubber{}
		got, _ := s.scrub([]byte(body), true)
		if got != test.want || strings.Contains(got, canary) {
			t.Errorf("%s: %s\n got %s\nwant %s", test.why, body, got, test.want)
		}
	}
}

// A body is cut wherever the bound falls: no secret gets through, and what is
// kept is JSON.
func TestSecretsAreNotKeptOfCutBodies(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"userName":"ann","password":"CANARY","emails":[{"type":"work","value":"ann@corp.example"}]}`,
		`{"Operations":[{"op":"add","value":{"deep":["CANARY",{"x":"CANARY"}]},"path":"password"},{"value":"CANARY","name":"x","op":"add","path":"PASSWORD"}]}`,
		`{"Operations": [ {"value" : [ "CANARY" ], "path" : "urn:x:User:password" } ] }`,
		`{"a":{"password":[["CANARY"],{"b":"CANARY"},12345,"CANARY"]},"b":"ghs_CANARY"}`,
	} {
		body := strings.ReplaceAll(body, "CANARY", canary)
		for cut := range len(body) {
			s := scrubber{}
			got, note := s.scrub([]byte(body[:cut]), false)
			if strings.Contains(got, "Canary") || got != "" && !json.Valid([]byte(got)) || cut > 0 && note == "" {
				t.Fatalf("cut at %d: %s\n got %s (%s)", cut, body[:cut], got, note)
			}
		}
	}
}

// TestRandomSecretsAreNotKept hides secrets in random documents.
func TestRandomSecretsAreNotKept(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var value func(depth int, secret bool) string
	leaf := func(secret bool) string {
		if secret {
			return []string{`"` + canary + `"`, `"x` + canary + `"`, `["` + canary + `"]`}[r.IntN(3)]
		}
		return []string{`"ann"`, `12`, `true`, `null`, `"é\n"`, `{}`, `[]`}[r.IntN(7)]
	}
	value = func(depth int, secret bool) string {
		if depth == 0 {
			return leaf(secret)
		}
		var members []string
		for i := range r.IntN(4) {
			switch r.IntN(4) {
			case 0:
				name := []string{"password", "PassWord", "x.password", "client_secret", "pa\u017fsword", `pass\u0077ord`}[r.IntN(6)]
				members = append(members, fmt.Sprintf(`"%s%d":%s`, name, i, value(depth-1, true)))
			case 1:
				op := []string{`"op":"add"`, `"path":"password"`, `"value":` + value(depth-1, true)}
				r.Shuffle(len(op), func(i, j int) { op[i], op[j] = op[j], op[i] })
				members = append(members, fmt.Sprintf(`"n%d":{%s}`, i, strings.Join(op, ", ")))
			case 2:
				members = append(members, fmt.Sprintf(`"n%d":[%s , %s]`, i, value(depth-1, secret), value(depth-1, secret)))
			default:
				members = append(members, fmt.Sprintf(`"n%d": %s`, i, value(depth-1, secret)))
			}
		}
		return "{" + strings.Join(members, ",") + "}"
	}
	hidden := 0
	for range 3000 {
		body := value(4, false)
		if strings.Contains(body, canary) {
			hidden++
		}
		for _, cut := range []int{len(body), r.IntN(len(body) + 1)} {
			s := scrubber{mask: r.IntN(2) == 0}
			got, note := s.scrub([]byte(body[:cut]), cut == len(body))
			if strings.Contains(got, canary) || got != "" && !json.Valid([]byte(got)) || cut == len(body) && note != "" {
				t.Fatalf("%s\n got %s (%s)", body[:cut], got, note)
			}
		}
	}
	if hidden < 500 {
		t.Errorf("only %d of the documents had a secret", hidden)
	}
}

func TestAnswersDoNotRepeatSecrets(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ why, body, query, detail, want string }{
		{"nothing to hide", `{"userName":"ann"}`, "", "A user with userName ann already exists.", "A user with userName ann already exists."},
		{"a password that is no matter", `{"userName":"ann","password":"` + canary + `"}`, "", "A user with userName ann already exists.", "A user with userName ann already exists."},
		{"its value", `{"password":"` + canary + `"}`, "", "It has to be a list, not " + canary + ".", "It has to be a list, not (not kept)."},
		{"a part of its value", `{"password":{"x":"` + canary + canary + `"}}`, "", `password has to be text, not {"x":"` + canary + `Can…`, "password …"},
		{"in a filter", `{}`, "filter=password+eq+%22" + canary + "%22", `The attribute "password" cannot be compared with ` + canary, "(not kept)"},
		{"in a path", `[{"path":"password[value eq \"` + canary + `\"]"}]`, "", `The path cannot be read before "value eq \"` + canary, "(not kept)"},
		{"shortened", `{"password":"` + canary + canary + `"}`, "", "It has to be a list, not " + canary + "…", "It has to be a list, not (not kept)"},
		{"in another parameter", `{}`, "access_token=" + canary, "The parameter holds " + canary, "The parameter holds (not kept)"},
	} {
		s := scrubber{}
		s.scrubQuery(test.query)
		s.scrub([]byte(test.body), true)
		s.answer = true
		got, _ := s.scrub(jsonOf(document{"detail": test.detail, "value": "x" + canary + canary}), true)
		var answer struct{ Detail, Value string }
		if err := json.Unmarshal([]byte(got), &answer); err != nil {
			t.Errorf("%s: %s: %v", test.why, got, err)
		}
		if answer.Detail != test.want {
			t.Errorf("%s: got %q, want %q", test.why, answer.Detail, test.want)
		}
		if secret := strings.Contains(test.body+test.query, canary); secret && strings.Contains(got, canary) {
			t.Errorf("%s: %s repeats it", test.why, got)
		}
	}
}

func TestPersonalValuesAreMasked(t *testing.T) {
	t.Parallel()
	const id = "01a20202-8970-7d46-a2e3-aed8d1f4655c"
	for _, test := range []struct{ why, body, want string }{
		{
			"a person",
			`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"ann@corp.example","name":{"givenName":"Ann","formatted":"Ann B"},"active":"False","emails":[{"type":"work","value":"ann@corp.example","primary":true}],"employeeNumber":42,"urn:x:2.0:User":{"department":"Ops","manager":{"value":"` + id + `"}}}`,
			`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"…","name":{"givenName":"…","formatted":"…"},"active":"False","emails":[{"type":"work","value":"…","primary":true}],"employeeNumber":"…","urn:x:2.0:User":{"department":"…","manager":{"value":"` + id + `"}}}`,
		},
		{
			"operations",
			`{"Operations":[{"op":"Replace","path":"emails[type eq \"work\" and value eq \"ann@corp.example\"].value","value":"ann@corp.example"},{"op":"add","path":"members","value":[{"value":"` + id + `","display":"Ann"}]},{"op":"remove","path":"members[value eq \"` + id + `\"]"}]}`,
			`{"Operations":[{"op":"Replace","path":"emails[type eq \"work\" and value eq …].value","value":"…"},{"op":"add","path":"members","value":[{"value":"` + id + `","display":"…"}]},{"op":"remove","path":"members[value eq \"` + id + `\"]"}]}`,
		},
		{
			"an answer",
			`{"totalResults":2,"startIndex":1,"Resources":[{"id":"` + id + `","meta":{"resourceType":"User","created":"2026-11-22T09:11:35.489Z","location":"https://h/Users/` + id + `"}}]}`,
			`{"totalResults":2,"startIndex":1,"Resources":[{"id":"` + id + `","meta":{"resourceType":"User","created":"2026-11-22T09:11:35.489Z","location":"https://h/Users/` + id + `"}}]}`,
		},
		{"a label that is none", `{"type":"Ann Byron","path":"ann@corp.example","$ref":"https://h/ann"}`, `{"type":"…","path":"…","$ref":"…"}`},
	} {
		s := scrubber{mask: true, answer: true}
		if got, note := s.scrub([]byte(test.body), true); got != test.want || note != "" {
			t.Errorf("%s:\n got %s (%s)\nwant %s", test.why, got, note, test.want)
		}
	}
}

func TestQueriesAndAddresses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ query, want, masked string }{
		{"filter=userName+eq+%22ann%22&count=1", `filter=userName eq "ann"&count=1`, `filter=userName eq …&count=1`},
		{"aadOptscim062020&startIndex=1", "aadOptscim062020&startIndex=1", "aadOptscim062020&startIndex=1"},
		{"filter=emails%5Btype+eq+%22work%22%5D.value+eq+ann@corp.example", "filter=emails[type eq \"work\"].value eq ann@corp.example", "filter=emails[type eq \"work\"].value eq …"},
		{"filter=ann", "filter=ann", "filter=…"},
		{"attributes=userName,emails&excludedAttributes=ann@x", "attributes=userName,emails&excludedAttributes=ann@x", "attributes=userName,emails&excludedAttributes=…"},
		{"access_token=" + canary, "access_token=(not kept)", "access_token=(not kept)"},
		{canary, "(not kept)", "(not kept)"},
		{"%66ilter=" + canary + "&a=%zz", "(not kept)=(not kept)&a=(not kept)", "(not kept)=(not kept)&a=(not kept)"},
		{"filter=password+eq+%22" + canary + "%22", "filter=(not kept)", "filter=(not kept)"},
		{"filter=title+eq+%22ghs_" + canary + "%22", `filter=title eq "(not kept)"`, "filter=title eq …"},
	} {
		for mask, want := range map[bool]string{false: test.want, true: test.masked} {
			s := scrubber{mask: mask}
			if got := s.scrubQuery(test.query); got != want {
				t.Errorf("%s, mask %v: got %s, want %s", test.query, mask, got, want)
			}
		}
	}
	s := scrubber{mask: true}
	if got := s.scrubPath("/Users/ann@corp.example"); got != "/Users/…" {
		t.Errorf("got %s, want the name masked", got)
	}
	if got := new(scrubber).scrubPath("/Users/ghs_" + canary + "/\x00\xff"); got != "/Users/(not kept)/\uFFFD\uFFFD" {
		t.Errorf("got %q, want text without the token", got)
	}
}

func TestTokenRequestsAreKeptWithoutProof(t *testing.T) {
	t.Parallel()
	const id = "01a20202-8970-7d46-a2e3-aed8d1f4655c"
	for _, test := range []struct{ form, want, client string }{
		{"grant_type=client_credentials&client_id=" + id + "&client_secret=" + canary + "&scope=scim", "grant_type=client_credentials&scope=scim&client_id=" + id + "&client_secret=(not kept)", id},
		{"client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=" + canary, "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=(not kept)", ""},
		{"grant_type=" + canary + "&scope=" + canary + "&client_id=" + canary, "grant_type=(not kept)&scope=(not kept)&client_id=(not kept)", ""},
		{canary + "=" + canary + "&" + canary, "(not kept)", ""},
		{"%zz=" + canary, "", ""},
	} {
		if text, client, _ := scrubForm([]byte(test.form), true); text != test.want || client != test.client {
			t.Errorf("%s:\n got %s of client %q\nwant %s of client %q", test.form, text, client, test.want, test.client)
		}
	}
	if text, _, note := scrubForm([]byte("client_secret="+canary), false); text != "" || note == "" {
		t.Errorf("a form that was cut: got %q (%s), want nothing", text, note)
	}
}

func TestEveryCauseIsExplained(t *testing.T) {
	t.Parallel()
	codes := []string{causeNoToken, causeWrongToken, causeDeadToken, causeOtherToken, causeWrongClient, causeTokenRequest,
		causeUnknownMembers, causeIgnored, causeBulkFailed, causeNotRecorded, "refused", "our-mistake"}
	for _, r := range rules {
		codes = append(codes, r.code)
	}
	for _, code := range codes {
		c := CauseOf(code)
		for _, text := range []string{c.Title, c.Happened, c.Entra, c.Okta} {
			if text == "" || text == code {
				t.Errorf("cause %s: %+v, want words for all of it", code, c)
			}
		}
		if len(code) > 17 {
			t.Errorf("cause %s is wider than its column", code)
		}
	}
	for _, c := range causes {
		if !slices.Contains(codes, c.Code) {
			t.Errorf("cause %s is explained and never found", c.Code)
		}
	}
}

// TestCausesAreExplainedInDutch holds that each cause is, and that what is to be typed
// or clicked on is called as it is there.
func TestCausesAreExplainedInDutch(t *testing.T) {
	t.Parallel()
	if len(dutchCauses) != len(causes) {
		t.Errorf("%d causes in Dutch, %d in English", len(dutchCauses), len(causes))
	}
	literal := regexp.MustCompile(`'gatehouse [a-z ]+'|/[A-Z]\w+|/v2|RFC \d+|max-body|rate-limit|userPrincipalName|Switch\(.*\)|emails\[.*\]\.value`)
	for i, known := range append(slices.Clone(causes), Cause{Code: "x"}) {
		english, dutch := CauseIn("en", known.Code), CauseIn("nl", known.Code)
		for j, pair := range [][2]string{{dutch.Title, english.Title}, {dutch.Happened, english.Happened}, {dutch.Entra, english.Entra}, {dutch.Okta, english.Okta}} {
			same := pair[0] == pair[1] && !strings.HasPrefix(pair[0], "Provisioning > Integration") // which is all names
			if got, want := literal.FindAllString(pair[0], -1), literal.FindAllString(pair[1], -1); english.Code != "x" && (pair[0] == "" || same || !slices.Equal(got, want)) {
				t.Errorf("cause %s (%d), text %d: %q, which names %q, want %q", english.Code, i, j, pair[0], got, want)
			}
		}
	}
	if got := CauseIn("nl", "x"); got.Title != "x" || !strings.HasPrefix(got.Happened, "Deze versie") {
		t.Errorf("what nobody knows: %+v", got)
	}
	if got := CauseIn("de", "wrong-token"); got != CauseIn("en", "wrong-token") {
		t.Errorf("in another language: %+v, want English", got)
	}
}

// TestCausesNameWhatTheReaderHas holds that the console sends nobody to a command line,
// and the command line nobody to a page.
func TestCausesNameWhatTheReaderHas(t *testing.T) {
	t.Parallel()
	commands := 0
	for _, c := range causes {
		for lang, shown := range map[string]Cause{"en": CauseIn("en", c.Code), "nl": CauseIn("nl", c.Code)} {
			if text := fmt.Sprint(shown); strings.Contains(text, "'gatehouse") || strings.Contains(text, "printed") {
				t.Errorf("the console says in %s: %s", lang, text)
			}
		}
		here, there := CauseOf(c.Code), CauseIn("en", c.Code)
		if here != c {
			t.Errorf("the command line says %+v, want %+v", here, c)
		}
		if names := strings.Contains(fmt.Sprint(c), "'gatehouse"); names {
			commands++
			if !strings.Contains(fmt.Sprint(there), "settings of this connection") {
				t.Errorf("the console doesn't say where: %+v", there)
			}
		}
	}
	if commands < 4 {
		t.Errorf("%d causes name a command: the test looks at too few", commands)
	}
}

func FuzzScrub(f *testing.F) {
	f.Add([]byte(`{"Operations":[{"op":"add","value":{"a":[1,"x"]},"path":"password"}]}`), true)
	f.Add([]byte(`{"a":"\ud800","b":[[[`), false)
	f.Fuzz(func(t *testing.T, in []byte, mask bool) {
		s := scrubber{mask: mask}
		if got, _ := s.scrub(in, true); got != "" && len(got) <= maxRecorded && !json.Valid([]byte(got)) {
			t.Errorf("%q: got %q, want JSON", in, got)
		}
	})
}
