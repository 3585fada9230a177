package scim

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"

	"gatehouse/internal/patchmodel"
)

// patchSequences is how many sequences the model is compared with.
const patchSequences = 30_000

// TestPatchAgreesWithTheModel compares document, members and verdict with a plain
// reading of the RFC. SEED repeats a run.
func TestPatchAgreesWithTheModel(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	g := patchmodel.NewGenerator(seed)
	differences, verdicts := 0, map[string]int{}
	for range patchSequences {
		s := g.Sequence()
		_, refused := patchmodel.Apply(s.Before, s.Operations)
		verdicts[refused]++
		if patchDifference(t, s) == "" {
			continue
		}
		if differences++; differences <= 10 {
			s = s.Shrunk(func(s patchmodel.Sequence) bool { return patchDifference(t, s) != "" })
			t.Errorf("SEED=%d: %v\n%s", seed, s, patchDifference(t, s))
		}
	}
	for _, kind := range []string{"", "invalidFilter", "invalidPath", "invalidSyntax", "invalidValue", "mutability", "noTarget"} {
		if verdicts[kind] < patchSequences/500 {
			t.Errorf("SEED=%d: %d sequences end with %q: the generator has lost a branch", seed, verdicts[kind], kind)
		}
	}
	t.Logf("patch_differential = %d of %d sequences (SEED=%d, verdicts %v)", differences, patchSequences, seed, verdicts)
}

// patchDifference says in what patch and the model differ on a sequence.
func patchDifference(t *testing.T, s patchmodel.Sequence) string {
	t.Helper()
	want, wantRefused := patchmodel.Apply(s.Before, s.Operations)
	got, gotRefused := applyPatch(t, s)
	if gotRefused != wantRefused {
		return fmt.Sprintf("refused with %q, want %q", gotRefused, wantRefused)
	}
	if !reflect.DeepEqual(got, want) {
		g, w := jsonOf(got), jsonOf(want)
		return fmt.Sprintf("got  %s\nwant %s", g, w)
	}
	return ""
}

// applyPatch is the sequence as a request goes: from text to a document and a set
// of members.
func applyPatch(t *testing.T, s patchmodel.Sequence) (after patchmodel.Resource, refused string) {
	t.Helper()
	text, err := json.Marshal(s.Body())
	if err != nil {
		t.Fatal(err)
	}
	ops, err := parsePatch(mustDecode(t, string(text)))
	if err != nil {
		return s.Before, string(scimType(err))
	}
	typ := userType
	if s.Before.Kind == patchmodel.Group {
		typ = groupType
	}
	doc, delta, _, err := typ.patch(s.Before.Doc, ops)
	if err != nil {
		return s.Before, string(scimType(err))
	}
	members := map[string]bool{}
	if !delta.replace {
		maps.Copy(members, s.Before.Members)
	}
	for _, id := range delta.remove {
		delete(members, id)
	}
	for _, id := range delta.add {
		members[id] = true
	}
	return patchmodel.Resource{Kind: s.Before.Kind, Doc: doc, Members: members}, ""
}
