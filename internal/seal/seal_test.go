package seal

import (
	"strings"
	"testing"
)

func TestOpensForWhatItWasSealedFor(t *testing.T) {
	t.Parallel()
	make := func(purpose, kept, setting string) *Sealer {
		s, err := New(purpose, []byte(kept), setting)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	plain, keyed := make("a", "k1", ""), make("a", "k1", "setting")
	for _, c := range []struct {
		why        string
		seal, open *Sealer
		id         string
		want       bool
	}{
		{"without a setting", plain, plain, "x", true},
		{"with one", keyed, keyed, "x", true},
		{"from before there was one", plain, keyed, "x", true},
		{"from before it was taken away", keyed, plain, "x", false},
		{"with another", keyed, make("a", "k1", "other"), "x", false},
		{"of another database", plain, make("a", "k2", ""), "x", false},
		{"for another purpose", plain, make("b", "k1", ""), "x", false},
		{"of something else", plain, plain, "y", false},
	} {
		sealed := c.seal.Seal("x", "hunter2")
		if strings.Contains(sealed, "hunter2") {
			t.Errorf("%s: sealed as %s", c.why, sealed)
		}
		if got, err := c.open.Open(c.id, sealed); (err == nil) != c.want || c.want && got != "hunter2" {
			t.Errorf("%s: got %q, %v; want it to open: %v", c.why, got, err, c.want)
		}
	}
	for _, spoiled := range []string{"", "database:", "database:x", "setting:AAAA", plain.Seal("x", "s")[:40]} {
		if _, err := plain.Open("x", spoiled); err == nil {
			t.Errorf("%q opened", spoiled)
		}
	}
}
