package scim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	scimerr "github.com/elimity-com/scim/errors"

	"gatehouse/internal/patchmodel"
)

var update = flag.Bool("update", false, "write testdata/scim-patch/answers.ndjson anew, with node and npm")

const scimPatchDir = "testdata/scim-patch"

// secondOpinion is a line of answers.ndjson: what scim-patch, the npm module, makes
// of a resource by one operation.
type secondOpinion struct {
	Before    document `json:"before"`
	Operation document `json:"operation"`
	After     document `json:"after,omitempty"`
	Error     string   `json:"error,omitempty"`
}

// differenceClasses are all ways in which scim-patch and Gatehouse differ on what
// the generator draws; docs/scim.md tells them under "Where others differ".
var differenceClasses = []struct {
	class string
	// explains says that the difference is of this class. Ours is nil when Gatehouse
	// refuses, with kind.
	explains func(o secondOpinion, ours document, kind scimerr.ScimType) bool
}{
	{"an extension's URN as a key is taken apart at its last colon", func(o secondOpinion, ours document, _ scimerr.ScimType) bool {
		_, apart := o.After[strings.TrimSuffix(enterpriseURN, ":User")]
		return apart && ours != nil
	}},
	{"a filter that picks nothing is invalidSyntax when the attribute is unassigned", func(o secondOpinion, _ document, kind scimerr.ScimType) bool {
		return kind == scimerr.ScimTypeNoTarget && o.Error == "invalidSyntax"
	}},
	{"adding to what a filter doesn't pick is no error, and does nothing", func(o secondOpinion, _ document, kind scimerr.ScimType) bool {
		return kind == scimerr.ScimTypeNoTarget && o.op() == "add" && o.picks() && equal(o.After, o.Before)
	}},
	{"a value that a filter describes is made only for one equality and one sub-attribute", func(o secondOpinion, ours document, _ scimerr.ScimType) bool {
		return o.op() != "remove" && o.picks() && ours != nil && (o.Error != "" || equal(o.After, o.Before))
	}},
	{"removing from an unassigned attribute by a filter is an error", func(o secondOpinion, ours document, _ scimerr.ScimType) bool {
		return o.op() == "remove" && o.picks() && o.Error != "" && equal(ours, o.Before)
	}},
	{"objects and lists stay when they are empty", func(o secondOpinion, ours document, _ scimerr.ScimType) bool {
		return ours != nil && o.After != nil && equal(pruned(o.After, ""), ours)
	}},
	{"what has no value is not unequal to one", func(o secondOpinion, ours document, _ scimerr.ScimType) bool {
		return strings.Contains(text(o.Operation, "path"), " ne ") && ours != nil && o.After != nil
	}},
	{"the value of a certificate may be any text", func(o secondOpinion, ours document, kind scimerr.ScimType) bool {
		return ours == nil && kind == scimerr.ScimTypeInvalidValue && strings.Contains(string(jsonOf(o.Operation)), "x509Certificates")
	}},
	{"the other values keep their mark of primary", func(o secondOpinion, ours document, _ scimerr.ScimType) bool {
		return ours != nil && o.After != nil && equal(pruned(o.After, "primary"), pruned(ours, "primary"))
	}},
}

func (o secondOpinion) op() string  { return text(o.Operation, "op") }
func (o secondOpinion) picks() bool { return strings.Contains(text(o.Operation, "path"), "[") }

// pruned is a value without what is empty, and without members of a name.
func pruned(value any, without string) any {
	switch v := value.(type) {
	case document:
		c := document{}
		for name, e := range v {
			if e = pruned(e, without); e != nil && name != without {
				c[name] = e
			}
		}
		if len(c) > 0 {
			return c
		}
		return nil
	case []any:
		var c []any
		for _, e := range v {
			if e = pruned(e, without); e != nil {
				c = append(c, e)
			}
		}
		if len(c) > 0 {
			return c
		}
		return nil
	}
	return value
}

// TestScimPatchIsOfTheSameOpinion compares with what another implementation made
// of the same operations, as recorded by "make scim-patch".
func TestScimPatchIsOfTheSameOpinion(t *testing.T) {
	t.Parallel()
	if *update {
		writeSecondOpinion(t)
	}
	seen, agreed := map[string]int{}, 0
	opinions := readSecondOpinion(t)
	for _, o := range opinions {
		op, err := parseOperation(o.Operation)
		if err != nil {
			t.Fatal(err)
		}
		ours, _, _, err := userType.patch(o.Before, []operation{op})
		if err == nil && o.Error == "" && equal(ours, o.After) || err != nil && o.Error == string(scimType(err)) {
			agreed++
			continue
		}
		class := ""
		for _, c := range differenceClasses {
			if class == "" && c.explains(o, ours, scimType(err)) {
				class = c.class
			}
		}
		if class == "" {
			t.Errorf("%s\n  ours %s, %v", jsonOf(o), jsonOf(ours), err)
		}
		seen[class]++
	}
	page, err := os.ReadFile("../docs/scim.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range differenceClasses {
		if seen[c.class] == 0 || !bytes.Contains(page, []byte(c.class)) {
			t.Errorf("%q: seen %d times; docs/scim.md has to tell of it", c.class, seen[c.class])
		}
	}
	t.Logf("scim_patch_agrees %d of %d operations, %d differences of %d known classes: %v", agreed, len(opinions), len(opinions)-agreed, len(differenceClasses), seen)
}

// writeSecondOpinion asks scim-patch about the operations of generated sequences,
// each on what the model says that those before it have made.
func writeSecondOpinion(t *testing.T) {
	t.Helper()
	g := patchmodel.NewGenerator(7644)
	g.Plain = true
	var asked []secondOpinion
	var questions bytes.Buffer
	for range 150 {
		s := g.Sequence()
		for i, o := range s.Body()["Operations"].([]any) {
			q := secondOpinion{Before: concerned(s.Before.Doc, o), Operation: o.(document)}
			asked = append(asked, q)
			questions.Write(append(jsonOf(q), '\n'))
			s.Before, _ = patchmodel.Apply(s.Before, s.Operations[i:i+1])
		}
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "answer.mjs"} {
		data, err := os.ReadFile(filepath.Join(scimPatchDir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(input *bytes.Buffer, name string, args ...string) []byte {
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Stdin = dir, input
		var stderr strings.Builder
		cmd.Stderr = &stderr
		output, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v (make scim-patch needs node and npm)\n%s", name, err, &stderr)
		}
		return output
	}
	run(&bytes.Buffer{}, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	answers := bufio.NewScanner(bytes.NewReader(run(&questions, "node", "answer.mjs")))
	file := bytes.NewBuffer(jsonOf(document{"madeBy": strings.TrimSpace(string(
		run(&bytes.Buffer{}, "node", "-p", `"scim-patch " + require("scim-patch/package.json").version + ", node " + process.version`)))}))
	file.WriteByte('\n')
	for i := range asked {
		if !answers.Scan() || json.Unmarshal(answers.Bytes(), &asked[i]) != nil {
			t.Fatalf("answer %d is missing", i+1)
		}
		file.Write(append(jsonOf(asked[i]), '\n'))
	}
	if err := os.WriteFile(filepath.Join(scimPatchDir, "answers.ndjson"), file.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// concerned is what of a document an operation speaks of.
func concerned(doc document, operation any) document {
	c := document{}
	for name, v := range doc {
		if name == "userName" || bytes.Contains(jsonOf(operation), []byte(name)) {
			c[name] = v
		}
	}
	return c
}

func readSecondOpinion(t *testing.T) []secondOpinion {
	t.Helper()
	file, err := os.Open(filepath.Join(scimPatchDir, "answers.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var list []secondOpinion
	lines := json.NewDecoder(file)
	var first struct{ MadeBy string }
	if err := lines.Decode(&first); err != nil || !strings.HasPrefix(first.MadeBy, "scim-patch ") {
		t.Fatalf("the first line has to say what made the file: got %q, %v", first.MadeBy, err)
	}
	for lines.More() {
		var o secondOpinion
		if err := lines.Decode(&o); err != nil {
			t.Fatal(err)
		}
		list = append(list, o)
	}
	return list
}
