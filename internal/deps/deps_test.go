package deps

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "gatehouse/"

// table says for each package which of ours it may import. A package that is
// not here fails: give it a row, and check that the picture still holds.
var table = map[string][]string{
	"access":          {},
	"migrations":      {},
	"oidc":            {"internal/egress"},
	"internal/web":    {},
	"store":           {"access", "migrations"},
	"store/storetest": {"access", "store", "internal/pgtest"},
	"scim":            {"access", "store", "internal/web"},
	"webhook":         {"access", "store", "internal/egress", "internal/seal"},
	"api":             {"access", "store", "internal/web"},
	"ui":              {"access", "store", "internal/impact", "internal/mail", "internal/policyfile", "internal/review", "internal/seal", "internal/web", "oidc"},
	"cmd/gatehouse": {"access", "api", "migrations", "oidc", "scim", "store", "ui", "webhook", "internal/mail", "internal/seal", "internal/web",
		"internal/demoidp", "internal/fixture", "internal/policyfile", "internal/replay", "examples"}, // the demo's company, its provider and its player

	"examples":            {},
	"internal/impact":     {"access", "store"},
	"internal/policyfile": {"access", "internal/impact", "store"},
	"internal/bench":      {"access", "store", "internal/browser", "internal/fixture", "internal/pgtest", "internal/replay"},
	"internal/demoidp":    {},
	"internal/browser":    {},
	"internal/deps":       {},
	"internal/egress":     {},
	"internal/e2e": {"access", "store", // for what is granted, beside the servers
		"internal/fixture", "internal/idptest", "internal/patchmodel", "internal/pgtest", "internal/replay"},
	"internal/e2e/console": {"access", "store"},
	"internal/fixture":     {"access", "store"},
	"internal/idptest":     {},
	"internal/mail":        {"access", "store", "internal/seal"},
	"internal/patchmodel":  {},
	"internal/pgtest":      {},
	"internal/replay":      {},
	"internal/review":      {"access", "internal/impact", "store"},
	"internal/seal":        {},
}

// support is what any test may import beside what its package may. An edge's
// tests don't import another edge either.
var support = []string{"examples", "internal/browser", "internal/fixture", "internal/idptest", "internal/patchmodel", "internal/pgtest", "internal/replay", "store/storetest"}

// standardOnly are packages that import nothing but the standard library, so
// that they can be read and trusted alone.
var standardOnly = []string{"access"}

// objection says what is wrong with an import, or nothing. Imported is the path
// as the file writes it.
func objection(pkg, imported string, test bool) string {
	allowed, known := table[pkg]
	if !known {
		return fmt.Sprintf("package %s has no row in internal/deps/deps_test.go: add one that says what it may import", pkg)
	}
	ours, isOurs := strings.CutPrefix(imported, module)
	first, _, _ := strings.Cut(imported, "/")
	switch {
	case !isOurs && !test && slices.Contains(standardOnly, pkg) && strings.Contains(first, "."):
		return fmt.Sprintf("%s imports %s: it may use the standard library only", pkg, imported)
	case !isOurs, slices.Contains(allowed, ours):
		return ""
	case test && (ours == pkg || slices.Contains(support, ours)):
		return ""
	}
	return fmt.Sprintf("%s imports %s: internal/deps/deps_test.go allows it %v", pkg, ours, allowed)
}

func TestDirection(t *testing.T) {
	for pkg, files := range tree(t) {
		if _, known := table[pkg]; !known {
			t.Error(objection(pkg, "", false))
			continue
		}
		for _, f := range files {
			for _, spec := range f.syntax.Imports {
				if problem := objection(pkg, strings.Trim(spec.Path.Value, `"`), f.test); problem != "" {
					t.Errorf("%s: %s", f.name, problem)
				}
			}
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for pkg, files := range tree(t) {
		if !slices.ContainsFunc(files, func(f file) bool { return f.syntax.Doc != nil }) {
			t.Errorf("package %s has no package comment", pkg)
		}
		for _, f := range files {
			name := f.syntax.Name.Name
			if f.syntax.Doc != nil && name != "main" && !strings.HasPrefix(f.syntax.Doc.Text(), "Package "+name+" ") {
				t.Errorf("%s: the package comment doesn't begin with \"Package %s \"", f.name, name)
			}
		}
	}
}

func TestObjections(t *testing.T) {
	for _, test := range []struct {
		why, pkg, imported string
		test, want         bool
	}{
		{why: "the core decides alone", pkg: "access", imported: "github.com/google/uuid", want: true},
		{why: "its tests may use what helps", pkg: "access", imported: "pgregory.net/rapid", test: true},
		{why: "the standard library is everybody's", pkg: "access", imported: "encoding/json"},
		{why: "nothing below calls up", pkg: "store", imported: "gatehouse/scim", want: true},
		{why: "no edge imports another", pkg: "api", imported: "gatehouse/ui", want: true},
		{why: "nor do its tests", pkg: "api", imported: "gatehouse/ui", test: true, want: true},
		{why: "but the console signs people in", pkg: "ui", imported: "gatehouse/oidc"},
		{why: "signing in knows no store", pkg: "oidc", imported: "gatehouse/store", want: true},
		{why: "test support stays out of the product", pkg: "store", imported: "gatehouse/internal/pgtest", want: true},
		{why: "that is what it is for", pkg: "store", imported: "gatehouse/internal/pgtest", test: true},
		{why: "the demo has a company", pkg: "cmd/gatehouse", imported: "gatehouse/internal/fixture"},
		{why: "and no test database", pkg: "cmd/gatehouse", imported: "gatehouse/internal/pgtest", want: true},
		{why: "a new package needs a row", pkg: "internal/helpers", imported: "fmt", want: true},
	} {
		if got := objection(test.pkg, test.imported, test.test); (got != "") != test.want {
			t.Errorf("%s: %s importing %s: got %q, want an objection: %v", test.why, test.pkg, test.imported, got, test.want)
		}
	}
}

type file struct {
	name   string
	test   bool
	syntax *ast.File
}

// tree reads every Go file for every system, by package directory.
func tree(t *testing.T) map[string][]file {
	t.Helper()
	root := filepath.Join("..", "..")
	packages := map[string][]file{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name := entry.Name(); path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") ||
				name == "testdata" || name == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		pkg := strings.TrimSuffix(name, "/"+entry.Name())
		packages[pkg] = append(packages[pkg], file{name, strings.HasSuffix(name, "_test.go"), syntax})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(packages["internal/deps"]) == 0 {
		t.Fatalf("%s is not the top of the project", root)
	}
	return packages
}
