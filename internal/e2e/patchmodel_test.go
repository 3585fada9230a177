package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gatehouse/internal/patchmodel"
)

// patchSequences is how many generated sequences each database is asked for.
const patchSequences = 400

// TestPatchAgreesWithTheModel compares the running server with a plain reading of
// RFC 7644 section 3.5.2, by what it answers and by what can be read afterwards.
// SEED repeats a run.
func TestPatchAgreesWithTheModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	onBoth(t, func(t *testing.T, c *client) {
		place := &patchPlace{client: c, ids: map[string]string{}}
		var pairs []string
		for _, name := range patchmodel.MemberIDs {
			place.ids[name] = c.user(name+"@corp.example", nil)
			pairs = append(pairs, name, place.ids[name])
		}
		place.fill = strings.NewReplacer(pairs...)
		g := patchmodel.NewGenerator(seed)
		differences, done := 0, 0
		for range patchSequences {
			s := g.Sequence()
			difference, refused := place.difference(s)
			if difference != "" {
				differences++
				t.Errorf("SEED=%d: %v\n%s", seed, s, difference)
			}
			if !refused {
				done++
			}
		}
		if done < patchSequences/5 {
			t.Errorf("SEED=%d: only %d sequences are good ones", seed, done)
		}
		t.Logf("patch_differential_http = %d of %d sequences (SEED=%d)", differences, patchSequences, seed)
	})
}

// A patchPlace is a server with the users that generated groups speak of.
type patchPlace struct {
	*client
	ids  map[string]string // by the model's name of them
	fill *strings.Replacer
}

// difference makes the resource of a sequence, patches it, reads it and deletes
// it, and says in what the server and the model differ.
func (p *patchPlace) difference(s patchmodel.Sequence) (difference string, refused bool) {
	p.t.Helper()
	collection := "/Users"
	if s.Before.Kind == patchmodel.Group {
		collection = "/Groups"
	}
	want, kind := p.after(s)
	before := maps.Clone(s.Before.Doc)
	if s.Before.Members != nil {
		before["members"] = refs(p.known(s.Before.Members)...)
	}
	address := collection + "/" + p.want(201, "POST", collection, before).text("id")
	defer p.want(204, "DELETE", address, nil)

	text, err := json.Marshal(s.Body())
	if err != nil {
		p.t.Fatal(err)
	}
	answered := p.do("PATCH", address, p.fill.Replace(string(text)))
	status := 400
	if kind == "" {
		status = map[string]int{"/Users": 200, "/Groups": 204}[collection]
	}
	if answered.status != status || answered.text("scimType") != kind {
		return fmt.Sprintf("answered %d %s, want %d %s", answered.status, answered.raw, status, kind), kind != ""
	}
	got := p.want(200, "GET", address, nil).doc
	if status == 200 {
		difference = cmp.Diff(answered.doc, got)
	}
	if collection == "/Groups" {
		same(p.t, "members of "+address, memberIDs(got), sorted(p.known(want.Members)...))
	}
	for _, made := range []string{"id", "meta", "schemas", "groups", "members"} {
		delete(got, made)
	}
	return difference + cmp.Diff(object(want.Doc), got), kind != ""
}

// replaced is a member that no operation names: it goes when all of them do.
const replaced = "replaced"

// after is what the model says, and what docs/scim.md says of ids that name nobody,
// and of who is active.
func (p *patchPlace) after(s patchmodel.Sequence) (want patchmodel.Resource, kind string) {
	before := s.Before
	before.Members = maps.Clone(s.Before.Members)
	if s.Before.Members != nil {
		before.Members[replaced] = true
	}
	want, kind = patchmodel.Apply(before, s.Operations)
	if s.Before.Kind == patchmodel.User {
		if _, said := want.Doc["active"]; !said {
			active, said := before.Doc["active"]
			want.Doc = maps.Clone(want.Doc)
			want.Doc["active"] = !said || active == true
		}
		return want, kind
	}
	strangers := len(want.Members) > 0 && len(p.known(want.Members)) == 0
	if kind == "" && !want.Members[replaced] && strangers && len(s.Before.Members) > 0 {
		return before, "invalidValue"
	}
	return want, kind
}

// known are the ids of the members that there are.
func (p *patchPlace) known(members map[string]bool) []string {
	var ids []string
	for name := range members {
		if id, ok := p.ids[name]; ok {
			ids = append(ids, id)
		}
	}
	return ids
}
