package ui

import (
	"encoding/json"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func newExchange(host string) (*httptest.ResponseRecorder, *http.Request) {
	r := httptest.NewRequest("GET", "/people", nil)
	r.Host = host
	return httptest.NewRecorder(), r
}

// said finds the keys of texts in code and templates: {{t "a.b"}}, v.words.n("a.b", …
// One that ends in a dot is the beginning of a key that is made there.
var said = regexp.MustCompile("(?:\\{\\{-? *|[(| ]|words\\.|\\bw\\.)[tn][ (]\"([a-zA-Z.]+)\"")

// quoted is any text that could be a key.
var quoted = regexp.MustCompile(`"([a-zA-Z]+(?:\.[a-zA-Z]+)*\.?)[:"]`)

func TestTextsAreThereInEveryLanguage(t *testing.T) {
	t.Parallel()
	all := allWords()
	used, mentioned := map[string]string{}, map[string]bool{}
	for _, pattern := range []string{"*.go", "templates/*.html", "templates/shared/*.html"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, found := range said.FindAllStringSubmatch(string(text), -1) {
				used[found[1]] = file
			}
			for _, found := range quoted.FindAllStringSubmatch(string(text), -1) {
				mentioned[found[1]] = true
			}
		}
	}
	if len(used) < 20 {
		t.Fatalf("found only %d texts in use: look at what is looked for", len(used))
	}
	for lang, words := range all {
		for key, file := range used {
			if _, ok := words.texts[key]; !ok && !strings.HasSuffix(key, ".") {
				t.Errorf("%s: no text %s in %s", file, key, lang)
			}
		}
		for key, text := range words.texts {
			if text.Other == "" {
				t.Errorf("%s: %s is empty", lang, key)
			}
			other, ok := all[languages[0]].texts[key]
			if !ok {
				t.Errorf("%s: %s is in no other language", lang, key)
			}
			if !slices.Equal(names(text), names(other)) {
				t.Errorf("%s: %s has the values %v, want %v", lang, key, names(text), names(other))
			}
			stem := key[:strings.LastIndex(key, ".")+1]
			if !mentioned[key] && !mentioned[strings.TrimSuffix(key, ".text")] && !mentioned[stem] {
				t.Errorf("%s: %s is used nowhere", lang, key)
			}
		}
		if a, b := len(words.texts), len(all[languages[0]].texts); a != b {
			t.Errorf("%s has %d texts, %s has %d", lang, a, languages[0], b)
		}
	}
}

// names are the values that a text wants.
func names(t text) []string {
	found := map[string]bool{}
	for _, name := range regexp.MustCompile(`\{\w+\}`).FindAllString(t.Other, -1) {
		found[name] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// TestTextsAreInTheFileOfTheirSubject keeps people who work on two subjects out of
// each other's way.
func TestTextsAreInTheFileOfTheirSubject(t *testing.T) {
	t.Parallel()
	err := fs.WalkDir(textFiles, "texts", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(textFiles, file)
		if err != nil {
			return err
		}
		keys := map[string]json.RawMessage{}
		if err := json.Unmarshal(data, &keys); err != nil {
			return err
		}
		subject := strings.TrimSuffix(path.Base(file), ".json")
		for key := range keys {
			if subject != "shell" && !strings.HasPrefix(key, subject+".") {
				t.Errorf("%s: %s belongs to another file", file, key)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNumbersAndTimes(t *testing.T) {
	t.Parallel()
	all := allWords()
	zone, err := time.LoadLocation("Europe/Amsterdam")
	if err != nil {
		t.Fatal(err)
	}
	at := func(before time.Duration) when { return when{now.Add(-before).In(zone), now} }
	for _, test := range []struct{ got, want string }{
		{all["en"].number(999), "999"},
		{all["en"].number(1000), "1,000"},
		{all["en"].number(1234567), "1,234,567"},
		{all["nl"].number(100000), "100.000"},
		{all["nl"].number(-1000), "−1.000"},
		{all["en"].n("people.count", 1), "1 person"},
		{all["en"].n("people.count", 0), "0 people"},
		{all["nl"].n("people.count", 100000), "100.000 personen"},
		{all["en"].ago(at(30 * time.Second)), "just now"},
		{all["en"].ago(at(time.Minute)), "1 minute ago"},
		{all["nl"].ago(at(3 * time.Hour)), "3 uur geleden"},
		{all["nl"].ago(at(72 * time.Hour)), "3 dagen geleden"},
		{all["en"].clock(at(0).Time), "22 Nov 2026, 10:30"},
		{all["nl"].date(at(200 * 24 * time.Hour).Time), "6 mei 2026"},
		{all["en"].list([]string{"Ada", "Bob", "Eva"}), "Ada, Bob and Eva"},
		{all["nl"].list([]string{"Ada", "Bob"}), "Ada en Bob"},
		{all["en"].list(nil), ""},
		{all["en"].t("people.noGroup", "name", "{n}"), "There is no group “{n}”."},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}
