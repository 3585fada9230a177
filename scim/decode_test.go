package scim

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"

	scimerr "github.com/elimity-com/scim/errors"
)

// scimType is the keyword of an error: "" for none, "?" if it is no SCIM error.
func scimType(err error) scimerr.ScimType {
	var e scimerr.ScimError
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &e) || e.Status != 400 || e.Detail == "":
		return "?"
	}
	return e.ScimType
}

// mustDecode reads a document of a test.
func mustDecode(t testing.TB, text string) document {
	t.Helper()
	value, err := decode([]byte(text))
	if err != nil {
		t.Fatalf("decode(%s): %v", text, err)
	}
	object, ok := value.(document)
	if !ok {
		t.Fatalf("decode(%s): got %T, want an object", text, value)
	}
	return object
}

func TestDecodeKeepsDigitsAndText(t *testing.T) {
	t.Parallel()
	got, err := decode([]byte(` {"n":12345678901234567890.10,"s":"ÄK\u00e9","l":[true,null,{}],"e":{}} `))
	want := document{"n": json.Number("12345678901234567890.10"), "s": "ÄKé", "l": []any{true, nil, document{}}, "e": document{}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, %v, want %#v", got, err, want)
	}
}

// Members are their ids alone, as the bodies of large groups are large enough; any
// other list stays as it was sent.
func TestDecodeMembers(t *testing.T) {
	t.Parallel()
	const id = "01890000-0000-7000-8000-00000000abcd"
	sent := document{"Value": id, "display": "Alice"}
	for _, c := range []struct {
		text string
		ids  bool
	}{
		{`{"displayName":"a","Members":[MEMBER,MEMBER]}`, true},
		{`{"Operations":[{"op":"add","path":"Members","value":[MEMBER,MEMBER]}]}`, true},
		{`{"Operations":[{"op":"add","path":"members","value":MEMBER}]}`, false},
		{`{"Operations":[{"op":"add","value":{"members":[MEMBER]}}]}`, false},
		{`{"Operations":[{"op":"add","value":[MEMBER],"path":"members"}]}`, false},
		{`{"Operations":[{"op":"add","path":"members","value":[]},{"op":"add","value":[MEMBER]}]}`, false},
		{`{"Operations":[{"op":"add","path":"urn:example:x","value":[MEMBER]}]}`, false},
		{`{"urn:example:x":{"members":[MEMBER]}}`, false},
		{`{"Operations":[{"data":{"members":[MEMBER]}}]}`, false},
	} {
		member, _ := json.Marshal(sent)
		got := fmt.Sprint(mustDecode(t, strings.ReplaceAll(c.text, "MEMBER", string(member))))
		want := strings.ReplaceAll(c.text, "MEMBER", `"MEMBER"`)
		if c.ids {
			want = strings.ReplaceAll(c.text, "MEMBER", strconv.Quote(id))
		}
		if want := strings.ReplaceAll(fmt.Sprint(mustDecode(t, want)), "MEMBER", fmt.Sprint(sent)); got != want {
			t.Errorf("%s: got %s, want %s", c.text, got, want)
		}
	}
	for _, other := range []any{nil, "", "bulkId:a", document{}, document{"value": "alice"}, document{"value": ""}, document{"value": json.Number("1")}} {
		list := []any{id, other, id}
		text, _ := json.Marshal(document{"members": list})
		if got := mustDecode(t, string(text)); !reflect.DeepEqual(got, document{"members": list}) {
			t.Errorf("%s: got %v, want it as it was sent", text, got)
		}
	}
	// Each object that stays is one of its own.
	rest := []any{document{"value": "alice", "x": []any{document{"y": "z"}}}, document{"z": json.Number("1")}, []any{document{}}, sent, document{"z": nil}}
	text, _ := json.Marshal(document{"members": append([]any{sent, id, sent}, rest...), "more": []any{document{}}})
	want := document{"members": append([]any{id, id, id}, rest...), "more": []any{document{}}}
	if got := mustDecode(t, string(text)); !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", text, got, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	if _, err := decode([]byte(nested(maxDepth))); err != nil {
		t.Errorf("%d levels: got %v, want none", maxDepth, err)
	}
	for _, c := range []struct{ why, text, says string }{
		{"nothing was sent", "  ", "empty"},
		{"the end is missing", `{"a":`, "too early"},
		{"the last comma is too many", `{"a":1,}`, "line 1"},
		{"only one value is read", `{"a":1} {"a":2}`, "after the end"},
		{"the last of two would win", `{"active":true,"active":false}`, "twice"},
		{"names are equal in any case", `{"active":true,"Active":false}`, "twice"},
		{"K is the KELVIN SIGN, which folds to k", "{\"nick\":1,\"nic\u212a\":2}", "twice"},
		{"twins count at every depth", `{"a":[{"b":1,"B":2}]}`, "in a[0]"},
		{"PostgreSQL cannot store NUL", `{"a":"x\u0000"}`, "U+0000"},
		{"nor in a name", `{"a\u0000":1}`, "U+0000"},
		{"Latin-1 is not UTF-8", "{\"a\":\"\xe9\"}", "UTF-8"},
		{"half of a surrogate pair, and nothing of the text", `{"password":"\ud800 P5s"}`, "(in password): half of a surrogate pair is no character."},
		{"no such escape, and nothing of the text", `{"password":"\uQ WXYZ"}`, "(in password): the backslash begins no escape sequence."},
		{"nor with what can't be shown", "{\"password\":\"\\u1\u00e9\u00a7`\"}", "(in password): the backslash begins no escape sequence."},
		{"nor of a number", `{"password":1e987654321}`, "(in password): the number is too large or too small."},
		{"a number beyond float64", `{"a":1e999999}`, "too large"},
		{"a number that would be zero", `{"a":1e-999999}`, "too small"},
		{"deeper than the limit", nested(maxDepth + 1), "nested"},
		{"deep enough to overflow a stack", strings.Repeat(`{"a":`, 100_000), "nested"},
		{"the line is counted", "{\n\"a\":1,\n\"b\":x}", "line 3"},
	} {
		_, err := decode([]byte(c.text))
		if scimType(err) != scimerr.ScimTypeInvalidSyntax || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: decode(%.60q): got %v, want invalidSyntax with %q", c.why, c.text, err, c.says)
		}
	}
}

var decodeSeeds = []string{`{}`, `[1,"a",null]`, `{"a":{"A":1,"b":[{}]}}`, `{"a":1,"A":2}`, `1e999`, `"\ud800"`, `{"":1}`, "\xff", " \n ", "{\"a\":\n\n1,}",
	`{"members":[{"value":"01890000-0000-7000-8000-00000000abcd"},{"value":"a","b":[{}]},{"value":"01890000-0000-7000-8000-00000000abce"}]}`}

func FuzzDecode(f *testing.F) {
	for _, s := range decodeSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(checkDecode)
}

// checkDecode checks what holds for all bytes.
func checkDecode(t *testing.T, data []byte) {
	got, err := decode(data)
	half := len(data) / 2
	says := func(err error) string {
		where, _, _ := strings.Cut(fmt.Sprint(err), "invalid character") // of which half may have come
		return where
	}
	if pieces, other := decode(data[:half], data[half:]); says(err) != says(other) || !reflect.DeepEqual(pieces, got) {
		t.Errorf("in two pieces: got %#v, %v, want %#v, %v", pieces, other, got, err)
	}
	if err != nil {
		if scimType(err) != scimerr.ScimTypeInvalidSyntax {
			t.Errorf("got %v, want invalidSyntax", err)
		}
		return
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	again, err := decode(text)
	if err != nil || !json.Valid(data) || !reflect.DeepEqual(again, got) {
		t.Errorf("got %#v again, %v, want %#v", again, err, got)
	}
}
