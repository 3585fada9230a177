package main

import (
	"bytes"
	"database/sql"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gatehouse": main})
}

// TestScripts plays what people type, and what they see. Beside the commands of
// testscript, scripts have:
//
//	capture NAME FILE REGEXP   waits until FILE, or stdout, has a match, and puts
//	                           its first group into the variable NAME
//	sql FILE STATEMENT         changes a SQLite file behind the program's back
//
// Every script starts in an empty folder with a database of its own in it.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("GATEHOUSE_DATABASE_URL", "sqlite://"+env.WorkDir+"/gatehouse.db")
			env.Setenv("USER", "grace")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"capture": capture,
			"sql":     damage,
		},
	})
}

// captureTimeout is how long a server may take to write what a script waits for.
const captureTimeout = 2 * time.Minute

func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: capture NAME FILE REGEXP")
	}
	pattern, err := regexp.Compile(args[2])
	ts.Check(err)
	read := func() string { return ts.ReadFile("stdout") }
	if args[1] != "stdout" {
		read = func() string {
			text, _ := os.ReadFile(ts.MkAbs(args[1])) // it may not be there yet
			return string(text)
		}
	}
	late := time.After(captureTimeout)
	for tick := time.Tick(5 * time.Millisecond); ; {
		if found := pattern.FindStringSubmatch(read()); len(found) > 1 {
			ts.Setenv(args[0], found[1])
			return
		}
		select {
		case <-tick:
		case <-late:
			ts.Fatalf("%s has nothing like %s:\n%s", args[1], args[2], read())
		}
	}
}

func damage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sql FILE STATEMENT")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0])+"?_pragma=busy_timeout(60000)") // the driver that package store brings
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec(args[1])
	ts.Check(err)
}

// A command without an example would be one that people have to guess at.
func TestEveryCommandShowsAnExample(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(new(cli))
	if err != nil {
		t.Fatal(err)
	}
	leaves := parser.Model.Leaves(true)
	if len(leaves) < 18 {
		t.Fatalf("%d commands, want at least 18", len(leaves))
	}
	for _, leaf := range leaves {
		words := strings.Fields(leaf.FullPath())[1:]
		var stdout, stderr bytes.Buffer
		if status := Main(t.Context(), slices.Concat(words, []string{"--help"}), &stdout, &stderr); status != 0 || stderr.Len() > 0 {
			t.Errorf("%v --help: status %d, %s", words, status, &stderr)
		}
		// Help is wrapped: spaces and ends of lines are alike.
		shown := strings.Join(strings.Fields(stdout.String()), " ")
		if want := "Example: gatehouse " + strings.Join(words, " "); !strings.Contains(shown, want) {
			t.Errorf("%v --help shows no %q:\n%s", words, want, &stdout)
		}
	}
}
