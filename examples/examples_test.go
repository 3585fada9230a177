package examples_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"gatehouse/examples"
)

var (
	row  = regexp.MustCompile(`^\| (\d+) \| ([^|]*)\| ([^|]*)\| ([^|]*)\| ([^|]*)\| ([^|]*)\|$`)
	test = regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	file = regexp.MustCompile(`\(\.\./examples/([a-z]+\.yaml)\)`)
)

// Every capability of the five products is shown by a test that there is, or has
// the reason why it isn't.
func TestReferenceProducts(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/reference-products.md")
	if err != nil {
		t.Fatal(err)
	}
	known := tests(t)
	next, named := 1, 0
	for line := range strings.Lines(string(page)) {
		found := row.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if found == nil {
			continue
		}
		if n, err := strconv.Atoi(found[1]); err != nil || n != next {
			t.Errorf("row %s comes where %d should be", found[1], next)
		}
		next++
		shown := test.FindAllStringSubmatch(found[5], -1)
		for _, name := range shown {
			named++
			if !known[name[1]] {
				t.Errorf("row %s: there is no test %s", found[1], name[1])
			}
		}
		if why := strings.TrimSpace(found[6]); len(shown) == 0 && len(why) < 10 {
			t.Errorf("row %s: neither a test nor a reason: %q", found[1], why)
		}
		if how := strings.TrimSpace(found[4]); (how == "") != (len(shown) == 0) {
			t.Errorf("row %s: %q is shown by %q", found[1], how, found[5])
		}
	}
	if next != 59 || named < 40 {
		t.Errorf("%d rows with %d tests, want 58 rows", next-1, named)
	}
	for _, name := range file.FindAllStringSubmatch(string(page), -1) {
		if _, err := fs.Stat(examples.Files, name[1]); err != nil {
			t.Error(err)
		}
	}
}

// tests are the names of all of the project's.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func (Test[A-Za-z0-9]+)\(t \*testing\.T\)`)
	all := make(map[string]bool)
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, found := range declared.FindAllSubmatch(text, -1) {
			all[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
