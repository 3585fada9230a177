package ui

import (
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed texts
var textFiles embed.FS

// languages are those that the console speaks, the default first.
var languages = []string{"en", "nl"}

// words are all texts of a language.
type words struct {
	lang  string
	texts map[string]text
}

// text is a text, or two: for one and for any other number. {name} in it stands
// for a value.
type text struct{ One, Other string }

// UnmarshalJSON reads a text, or {"one": …, "other": …}.
func (t *text) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &t.Other) == nil {
		return nil
	}
	type both text
	return json.Unmarshal(data, (*both)(t))
}

// allWords reads the texts of every language. The files are in the program, so
// that what is wrong with them is wrong for everybody: it panics.
func allWords() map[string]*words {
	all := map[string]*words{}
	for _, lang := range languages {
		w := &words{lang: lang, texts: map[string]text{}}
		files, _ := fs.Glob(textFiles, path.Join("texts", lang, "*.json"))
		for _, file := range files {
			data, _ := fs.ReadFile(textFiles, file)
			of := map[string]text{}
			if err := json.Unmarshal(data, &of); err != nil {
				panic(fmt.Errorf("%s: %w", file, err))
			}
			maps.Copy(w.texts, of)
		}
		all[lang] = w
	}
	return all
}

// t is a text with values for its {names}: their names and values in turn. A key
// that isn't there is a mistake of ours; it panics.
func (w *words) t(key string, values ...any) string {
	return w.fill(w.find(key).Other, values)
}

// n is the text for a number, which is its {n}.
func (w *words) n(key string, n int, values ...any) string {
	text := w.find(key)
	values = append([]any{"n", n}, values...)
	if n == 1 {
		return w.fill(text.One, values)
	}
	return w.fill(text.Other, values)
}

func (w *words) find(key string) text {
	text, ok := w.texts[key]
	if !ok {
		panic(fmt.Sprintf("no text %s in %s", key, w.lang))
	}
	return text
}

func (w *words) fill(text string, values []any) string {
	if len(values) == 0 {
		return text
	}
	var pairs []string
	for i := 0; i+1 < len(values); i += 2 {
		value := fmt.Sprint(values[i+1])
		if n, ok := values[i+1].(int); ok {
			value = w.number(n)
		}
		pairs = append(pairs, fmt.Sprintf("{%s}", values[i]), value)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// number writes a number with the language's mark between thousands.
func (w *words) number(n int) string {
	digits := strconv.Itoa(max(n, -n))
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + w.t("format.thousands") + digits[i:]
	}
	if n < 0 {
		return "−" + digits
	}
	return digits
}

// list joins texts as one would say them.
func (w *words) list(texts []string) string {
	if len(texts) < 2 {
		return strings.Join(texts, "")
	}
	last := len(texts) - 1
	return w.t("format.and", "a", strings.Join(texts[:last], ", "), "b", texts[last])
}

// when is an instant in the reader's time zone, and the time of reading.
type when struct {
	time.Time
	now time.Time
}

// date writes a day, and clock a day and a time.
func (w *words) date(at time.Time) string {
	month := strings.Fields(w.t("format.months"))[at.Month()-1]
	return fmt.Sprintf("%d %s %d", at.Day(), month, at.Year())
}

func (w *words) clock(at time.Time) string { return w.date(at) + ", " + at.Format("15:04") }

// ago says how long ago something was, as a person would.
func (w *words) ago(at when) string {
	switch d := at.now.Sub(at.Time); {
	case d < time.Minute:
		return w.t("ago.now")
	case d < time.Hour:
		return w.n("ago.minutes", int(d/time.Minute))
	case d < 48*time.Hour:
		return w.n("ago.hours", int(d/time.Hour))
	default:
		return w.n("ago.days", int(d/(24*time.Hour)))
	}
}

// timeElement is an instant for people and for programs.
func timeElement(at when, text, title string) template.HTML {
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`,
		at.UTC().Format(time.RFC3339), template.HTMLEscapeString(title), template.HTMLEscapeString(text)))
}

// funcs are what templates can say in the language.
func (w *words) funcs() template.FuncMap {
	return template.FuncMap{
		"t":      w.t,
		"n":      w.n,
		"number": w.number,
		"list":   w.list,
		"date":   func(at when) template.HTML { return timeElement(at, w.date(at.Time), w.clock(at.Time)) },
		"time":   func(at when) template.HTML { return timeElement(at, w.clock(at.Time), w.clock(at.Time)) },
		"ago":    func(at when) template.HTML { return timeElement(at, w.ago(at), w.clock(at.Time)) },
	}
}

// language is the one to speak: the one chosen, or the first of those that the
// browser asks for (RFC 9110 §12.5.4) that we have.
func (s *Server) language(chosen, accepted string) string {
	if s.words[chosen] != nil {
		return chosen
	}
	type wish struct {
		lang    string
		quality float64
	}
	var wishes []wish
	for part := range strings.SplitSeq(accepted, ",") {
		tag, parameter, _ := strings.Cut(part, ";")
		lang, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		quality, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(parameter), "q="), 64)
		if err != nil {
			quality = 1
		}
		if s.words[lang] != nil && quality > 0 {
			wishes = append(wishes, wish{lang, quality})
		}
	}
	slices.SortStableFunc(wishes, func(a, b wish) int { return cmp.Compare(b.quality, a.quality) })
	if len(wishes) > 0 {
		return wishes[0].lang
	}
	return languages[0]
}
