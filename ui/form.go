package ui

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"gatehouse/store"
)

// formPage is a form about something of the catalogue, with what saving it does. The
// form's state is in the address, also of the save.
type formPage struct {
	page
	Action, Back string
	Text         string
	Keep         map[string]string
	Fields       []field
	Picks        []picker
	Tools        []pivotLink // what else can be done with it
	Panel        *panel
}

// waiting shows a form that isn't filled in yet, or not well.
func (s *Server) waiting(w http.ResponseWriter, r *http.Request, p *formPage, text string) error {
	status := http.StatusOK
	if r.Method == http.MethodPost {
		status = http.StatusBadRequest
	}
	p.Panel = &panel{Waiting: text}
	return s.render(w, status, "form", p)
}

// proposeForm shows what a change does around its form, and saves it.
func (s *Server) proposeForm(w http.ResponseWriter, r *http.Request, v *visit, p *formPage, change proposal) error {
	return s.propose(w, r, v, change, func(status int, panel *panel) error {
		p.Panel = panel
		return s.render(w, status, "form", p)
	})
}

// saving reports whether a request saves what was previewed. A save that comes a
// second time finds what the first one made: propose knows it by its key.
func saving(r *http.Request) bool {
	return r.Method == http.MethodPost && r.PostFormValue("digest") != ""
}

// maxName is how long the names and keys of what people make may be.
const maxName = 200

// textField is a field for a name; it says what is wrong with what was typed.
func (v *visit) textField(name, label, value string, required bool) field {
	f := field{Name: name, Label: label, Value: value}
	if required && strings.TrimSpace(value) == "" {
		f.Error = v.words.t("sites.empty")
		return f
	}
	if f.Error = v.nameProblem(value); name == "key" && !store.IsKey(value) {
		f.Error = v.words.t("sites.noKey")
	}
	return f
}

// nameProblem is why a text can't be a name; "" when it can.
func (v *visit) nameProblem(text string) string {
	switch {
	case len([]rune(text)) > maxName:
		return v.words.t("sites.tooLong", "n", maxName)
	case !utf8.ValidString(text), strings.ContainsFunc(text, func(c rune) bool { return c < ' ' }):
		return v.words.t("sites.oneLine")
	case strings.ContainsFunc(text, store.Turns):
		return v.words.t("sites.turns")
	}
	return ""
}

// linesField is a field for several names, each on a line of its own and none twice.
func (v *visit) linesField(name, label, value string) (f field, lines []string) {
	f = field{Name: name, Label: label, Value: value, Type: "lines"}
	for line := range strings.Lines(value) {
		line = strings.TrimSpace(line)
		switch problem := v.nameProblem(line); {
		case line == "":
			continue
		case problem != "":
			f.Error = problem
		case slices.Contains(lines, line):
			f.Error = v.words.t("sites.twice", "name", line)
		}
		lines = append(lines, line)
	}
	return f, lines
}

// wrong reports whether something is wrong with any of the fields.
func wrong(fields []field) bool {
	return slices.ContainsFunc(fields, func(f field) bool { return f.Error != "" })
}
