package policyfile_test

import (
	"os"
	"strings"
	"testing"
)

// The page on the format has a file in it that is one.
func TestDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/as-code.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```yaml\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("no YAML on the page")
	}
	w := sqlite(t).company(t)
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		if p := w.mustApply(t, block); p.Empty() {
			t.Errorf("changes nothing:\n%s", block)
		}
		if p := w.mustPlan(t, block); !p.Empty() || len(p.Warnings) > 0 {
			t.Errorf("is something else than it says:\n%s", p.Text(0))
		}
	}
	if !w.ask(t, alice, "roster", "shifts=edit site=utrecht team=security") || w.ask(t, eva, "roster", "shifts=edit site=utrecht team=security") {
		t.Error("alice doesn't plan, or eva does")
	}
}
