package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gatehouse/store"
)

var actionPattern = regexp.MustCompile(`^[a-z_]+(\.[a-z_]+)+$`)

// TestEveryActionIsListed reads our own code: whatever is logged has a constant,
// and each of them is in Actions, which has a sentence for each (package ui).
func TestEveryActionIsListed(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	listed, found := store.Actions(), 0
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GenDecl:
				if n.Tok != token.CONST {
					return true
				}
				for _, spec := range n.Specs {
					for i, value := range spec.(*ast.ValueSpec).Values {
						literal, ok := value.(*ast.BasicLit)
						if !ok || literal.Kind != token.STRING {
							continue
						}
						action, _ := strconv.Unquote(literal.Value)
						if !actionPattern.MatchString(action) {
							continue
						}
						found++
						if !slices.Contains(listed, action) {
							t.Errorf("%s: %s is not in Actions: add it there, and its sentence to ui/texts/*/audit.json", file.Name(), spec.(*ast.ValueSpec).Names[i])
						}
					}
				}
			case *ast.CallExpr:
				method, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || !slices.Contains([]string{"log", "logAs", "changed"}, method.Sel.Name) {
					return true
				}
				for _, argument := range n.Args {
					if literal, ok := argument.(*ast.BasicLit); ok && actionPattern.MatchString(strings.Trim(literal.Value, "\"`")) {
						t.Errorf("%s: %s is logged without a constant", file.Name(), literal.Value)
					}
				}
			}
			return true
		})
	}
	if found != len(listed) || found < 40 {
		t.Errorf("found %d constants of actions, %d are listed", found, len(listed))
	}
}
