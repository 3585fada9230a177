package scim

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// TestSlips is a short run of what 'make fuzz' does for a minute each, for those that
// no other test draws at random: a few slips in what is nearly right. SEED repeats a
// run.
func TestSlips(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	d := rand.New(rand.NewPCG(seed, 3))
	cursors, bodies := newCursorCheck(t), newBodyCheck(t)
	for _, run := range []struct {
		what  string
		seeds []string
		times int
		check func(text string)
	}{
		{"path", pathSeeds, 5000, func(text string) { checkPath(t, text) }},
		{"JSON", decodeSeeds, 5000, func(text string) { checkDecode(t, []byte(text)) }},
		{"search", searchSeeds, 5000, func(text string) { checkSearch(t, []byte(text)) }},
		{"cursor", cursors.seeds(), 2000, func(text string) {
			cursors.check(t, text, cursors.binding.Filter)
			cursors.check(t, cursors.genuine, text)
		}},
		{"body", bodySeeds, 300, func(text string) { bodies.check(t, byte(d.IntN(6)), []byte(text)) }},
	} {
		for range run.times {
			if text := slips(d, run.seeds); !t.Failed() {
				run.check(text)
				if t.Failed() {
					t.Errorf("SEED=%d: %s %q", seed, run.what, text)
				}
			}
		}
	}
}

// slips makes up to four mistakes in one of the texts.
func slips(d *rand.Rand, seeds []string) string {
	text := seeds[d.IntN(len(seeds))]
	for range 1 + d.IntN(4) {
		at := d.IntN(len(text) + 1)
		to := at + d.IntN(min(len(text)-at, 20)+1)
		switch d.IntN(5) {
		case 0: // lost
			text = text[:at] + text[to:]
		case 1: // twice
			text = text[:to] + text[at:]
		case 2: // another's end
			other := seeds[d.IntN(len(seeds))]
			text = text[:at] + other[d.IntN(len(other)+1):]
		case 3: // any byte
			text = text[:at] + string([]byte{byte(d.IntN(256))}) + text[at:]
		default:
			marks := []string{`"`, `\\`, "[", "]", "(", ")", "{", "}", ",", ".", ":", " ", "0", "-1", "1e9", "null", "true", "not ", " or ", "é", "\x00"}
			text = text[:at] + marks[d.IntN(len(marks))] + text[at:]
		}
	}
	return text
}
