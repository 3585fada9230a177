package store

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// Whoever checks an export begins with the example of the docs.
func TestDocumentedHashes(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	_, rest, _ := strings.Cut(doc, "```json\n")
	line, rest, _ := strings.Cut(rest, "\n```")
	_, rest, _ = strings.Cut(rest, "```\n")
	canonical, _, _ := strings.Cut(rest, "\n```")
	var c Change
	if err := json.Unmarshal([]byte(line), &c); err != nil {
		t.Fatalf("the example: %v", err)
	}
	c.At = At(c.At.Time)
	hash := HashOf(c)
	seal := Seal{TenantID: c.TenantID, Seq: 1, Changes: 1, SealedAt: At(time.UnixMilli(1795330053000))}
	if seal.Covers, err = cover(c); err != nil {
		t.Fatal(err)
	}
	sealed := seal.computed()
	got := string(netstrings(string(c.TenantID), string(c.ID), "1795330050418", c.ActorKind, c.ActorID, c.RequestID, string(c.ConnectionID),
		c.Action, c.SubjectKind, c.SubjectID, c.SubjectName, c.Detail))
	if got != canonical {
		t.Errorf("the bytes: got %s, the docs say %s", got, canonical)
	}
	for _, want := range []string{hex.EncodeToString(hash[:]), hex.EncodeToString(sealed[:]), "put at 1795330053000"} {
		if !strings.Contains(doc, want) {
			t.Errorf("docs/audit.md lacks %s", want)
		}
	}
}
