package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demo starts the demo and gives what it writes for programs.
func demo(t *testing.T) (info struct {
	APIURL string `json:"api_url"`
	APIKey string `json:"api_key"`
}) {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(binary, "demo", "--data="+dir, "--listen=127.0.0.1:0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may be gone: Wait says how
		if err := cmd.Wait(); err != nil {
			t.Errorf("the demo ended: %v", err)
		}
	})
	for deadline := time.Now().Add(startTimeout); ; {
		text, err := os.ReadFile(filepath.Join(dir, "demo.json"))
		if err == nil && json.Unmarshal(text, &info) == nil {
			return info
		}
		<-time.After(20 * time.Millisecond)
		if time.Now().After(deadline) {
			t.Fatalf("the demo has written no demo.json after %v: %v", startTimeout, err)
		}
	}
}

var docExample = regexp.MustCompile("(?s)```sh\n(.*?)\n```\n(?:\n```json\n(.*?)\n```)?")

// TestExamplesOfTheAPI runs every command of docs/api.md in a shell, against the
// demo, and compares what it prints with what the page says. An ellipsis stands for
// any text.
func TestExamplesOfTheAPI(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	info := demo(t)
	examples := docExample.FindAllStringSubmatch(string(page), -1)
	if len(examples) < 10 {
		t.Fatalf("%d examples, want at least 10", len(examples))
	}
	for _, e := range examples {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", e[1])
		cmd.Env = append(os.Environ(), "URL="+info.APIURL, "KEY="+info.APIKey)
		output, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v", e[1], err)
			continue
		}
		var got, want any
		if err := json.Unmarshal(output, &got); err != nil {
			t.Errorf("%s: printed %s", e[1], output)
			continue
		}
		if err := json.Unmarshal([]byte(e[2]), &want); err != nil {
			t.Errorf("%s: the page says %s: %v", e[1], e[2], err)
			continue
		}
		if at := differs("", got, want); at != "" {
			t.Errorf("%s\nprinted %s\nand the page says otherwise at %s", e[1], output, at)
		}
	}
}

// differs is where a value is not as an example says; empty if it is.
func differs(at string, got, want any) string {
	switch want := want.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok || len(object) != len(want) {
			return at + " (members)"
		}
		for name, value := range want {
			if where := differs(at+"."+name, object[name], value); where != "" {
				return where
			}
		}
	case []any:
		list, ok := got.([]any)
		if !ok || len(list) != len(want) {
			return at + " (length)"
		}
		for i, value := range want {
			if where := differs(fmt.Sprintf("%s[%d]", at, i), list[i], value); where != "" {
				return where
			}
		}
	case string:
		text, ok := got.(string)
		pattern := "(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".+") + "$"
		if !ok || !regexp.MustCompile(pattern).MatchString(text) {
			return at
		}
	default:
		if got != want {
			return at
		}
	}
	return ""
}
