package webhook

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

var enqueued []string

func enqueue(id string, _ []byte) { enqueued = append(enqueued, id) }

func hook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	secret, err2 := standardwebhooks.NewWebhook(os.Getenv("GATEHOUSE_WEBHOOK_SECRET"))
	if err != nil || err2 != nil || secret.Verify(body, r.Header) != nil {
		http.Error(w, "not from Gatehouse", http.StatusUnauthorized)
		return
	}
	enqueue(r.Header.Get("webhook-id"), body)
}

// block gives the first block of code in a language of docs/webhooks.md.
func block(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/webhooks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```"+language+"\n")
	code, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatalf("docs/webhooks.md has no %s", language)
	}
	return code
}

// The document's Go takes what is signed with its secret and nothing else. It is
// the function hook of this file, letter by letter.
func TestDocumentedGo(t *testing.T) {
	source, err := os.ReadFile("docs_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if code := block(t, "go"); !strings.Contains(string(source), "\n"+code) {
		t.Errorf("docs/webhooks.md and docs_test.go differ:\n%s", code)
	}
	secret, _ := NewSecret()
	other, _ := NewSecret()
	t.Setenv("GATEHOUSE_WEBHOOK_SECRET", secret)
	for _, test := range []struct {
		why    string
		signed string
		at     time.Time
		want   int
	}{
		{"ours", secret, time.Now(), 200},
		{"another secret's", other, time.Now(), 401},
		{"old", secret, time.Now().Add(-10 * time.Minute), 401},
	} {
		r := signed(t, test.signed, test.at)
		w := httptest.NewRecorder()
		hook(w, r)
		if w.Code != test.want {
			t.Errorf("%s: answered %d, want %d", test.why, w.Code, test.want)
		}
	}
	if len(enqueued) != 1 || enqueued[0] != "msg-1" {
		t.Errorf("enqueued %v", enqueued)
	}
}

func signed(t *testing.T, secret string, at time.Time) *http.Request {
	t.Helper()
	const body = `{"type":"user.deactivated"}`
	s, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := s.Sign("msg-1", at, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(context.Background(), "POST", "/hook", strings.NewReader(body))
	r.Header.Set("webhook-id", "msg-1")
	r.Header.Set("webhook-timestamp", strconv.FormatInt(at.Unix(), 10))
	r.Header.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32))+" "+signature)
	return r
}
