package access

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/corpus.ndjson anew")

// story is a line of the corpus: a company and questions with their answers. It
// names nothing unknown, so that it can be written into a database and asked
// again through it.
type story struct {
	world
	Answers []answer `json:"answers"`
}

type answer struct {
	User     UserID   `json:"user"`
	Question Question `json:"question"`
	Allowed  bool     `json:"allowed"`
	Level    Level    `json:"level,omitempty"`
	// Reasons are the grants that give it, or what is missing with the grants.
	Reasons []string `json:"reasons"`
}

func answered(st State, user UserID, q Question) answer {
	e := st.Policy.Explain(st.Facts.Subject(user), q, st.At)
	a := answer{User: user, Question: q, Allowed: e.Allowed, Level: e.Level}
	if e.Allowed {
		for _, path := range e.Through {
			a.Reasons = append(a.Reasons, string(path.Grant.ID))
		}
	}
	for _, missing := range e.Missing {
		for _, reason := range missing.Reasons {
			a.Reasons = append(a.Reasons, string(reason))
		}
		if missing.Path != nil {
			a.Reasons = append(a.Reasons, string(missing.Path.Grant.ID))
		}
	}
	return a
}

// stories are 25 random companies with eight answers of yes and eight of no each.
func stories(t *testing.T) []story {
	var all []story
	for seed := uint64(0); len(all) < 25; seed++ {
		d := seededDice(seed)
		s := story{world: newWorld(d)}
		for _, id := range people {
			p := s.Facts.People[id]
			p.Groups = slices.DeleteFunc(slices.Clone(p.Groups), func(g GroupID) bool { return g == "gone" })
			s.Facts.People[id] = p
		}
		for _, problem := range s.state(t).Policy.Problems() {
			if strings.HasPrefix(string(problem.Reason), "unknown_") {
				s.Grants = slices.DeleteFunc(s.Grants, func(g Grant) bool { return g.ID == problem.Grant })
			}
		}
		st := s.state(t)
		count := map[bool]int{}
		for range 600 {
			a := answered(st, pick(d, people...), someQuestion(d, s.world))
			if count[a.Allowed] < 8 {
				count[a.Allowed]++
				s.Answers = append(s.Answers, a)
			}
		}
		if count[true] == 8 && count[false] == 8 {
			all = append(all, s)
		}
	}
	return all
}

// TestCorpus holds today's answers to those of yesterday. A difference is either
// a mistake or a change of the rule that everybody has to hear of.
func TestCorpus(t *testing.T) {
	const file = "testdata/corpus.ndjson"
	if *update {
		var text bytes.Buffer
		for _, s := range stories(t) {
			line, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			text.Write(append(line, '\n'))
		}
		if err := os.WriteFile(file, text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	n := 0
	for lines.Scan() {
		var s story
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		st := s.state(t)
		for _, want := range s.Answers {
			n++
			got := answered(st, want.User, want.Question)
			if got.Allowed != want.Allowed || got.Level != want.Level || !slices.Equal(got.Reasons, want.Reasons) {
				t.Errorf("%s %+v\n got %+v\nwant %+v", want.User, want.Question, got, want)
			}
			if level := s.naive(want.User, want.Question.Product, want.Question.Permission, want.Question.Place); (level > 0) != (want.Level != "") {
				t.Errorf("%s %+v: the rule says %d, the corpus %q", want.User, want.Question, level, want.Level)
			}
		}
	}
	if n != 400 {
		t.Errorf("%d answers", n)
	}
}
