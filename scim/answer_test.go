package scim

import (
	"bytes"
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// What we write of documents by ourselves is what encoding/json makes of them.
func TestJSONOf(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "é", "<a>&", "\"\\", "\u2028", "a\n\t\x01", "\U0001F600"}))
	simple := rapid.OneOf(text.AsAny(), rapid.Bool().AsAny(), rapid.SampledFrom([]any{nil, json.Number("-1.5e3"), []any(nil), document(nil), []any{}, document{}, 7, []string{"a", "<"}, []document{nil, {"b": 1}}}))
	var value func(deep int) *rapid.Generator[any]
	value = func(deep int) *rapid.Generator[any] {
		if deep == 0 {
			return simple
		}
		return rapid.OneOf(simple, rapid.SliceOfN(value(deep-1), 0, 4).AsAny(), rapid.MapOfN(text, value(deep-1), 0, 4).AsAny())
	}
	rapid.Check(t, func(t *rapid.T) {
		v := value(3).Draw(t, "value")
		var want bytes.Buffer
		enc := json.NewEncoder(&want)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		if got := string(jsonOf(v)) + "\n"; got != want.String() {
			t.Errorf("%#v: got %s, want %s", v, got, want.String())
		}
	})
}
