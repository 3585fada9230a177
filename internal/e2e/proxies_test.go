package e2e

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/store"
)

// from sends a form as a proxy would whom somebody called: said is X-Forwarded-For.
func (v *visitor) from(said, address string, form url.Values) int {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), "POST", address, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("X-Forwarded-For", said)
	answer, err := v.http.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	answer.Body.Close() // only the status counts
	return answer.StatusCode
}

// TestWhereSomebodyComesFrom guesses codes, and breaks the glass, through a proxy:
// what is counted and written down is the address that the proxy was called from, or,
// without the setting, the proxy's; whatever the caller says.
func TestWhereSomebodyComesFrom(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		flags []string
		// invented is what the caller may write without being taken for somebody else, of
		// which %d makes another each time.
		invented, written string
	}{
		"not trusted": {nil, "198.51.100.%d", "127.0.0.1"},
		"trusted":     {[]string{"--trusted-proxies=127.0.0.1,10.9.0.0/16"}, "198.51.100.%d, 10.9.0.1, 203.0.113.9, 10.9.0.2", "203.0.113.9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := "sqlite://" + filepath.Join(t.TempDir(), "gatehouse.db")
			c, log := serveLogged(t, database, test.flags...)
			v := newVisitor(t)
			guess := func(said string) int {
				return v.from(said, c.host+"/i", url.Values{"code": {"0123-4567-89AB-CDEF-GHJK"}})
			}
			start, passed := time.Now(), 0
			for passed < 1000 && guess(fmt.Sprintf(test.invented, passed)) != http.StatusTooManyRequests {
				passed++
			}
			if most := 20 + int(time.Since(start)/(6*time.Second)) + 1; passed < 20 || passed > most { // at once, and one every six seconds
				t.Errorf("%d guesses passed, want 20 to %d", passed, most)
			}
			// The next of those seconds may just be over, but not time and again.
			again := 0
			for range 3 {
				if guess("203.0.113.10") == http.StatusTooManyRequests {
					again++
				}
			}
			if again > 0 != (test.flags == nil) {
				t.Errorf("from another address: %d of 3 are refused", again)
			}

			glass := v.breakGlass(c.host, database, fmt.Sprintf(test.invented, 1))
			a := arrangeConsole(t, database)
			sessions, err := a.Sessions(t.Context(), a.tenant, glass.UserID)
			if err != nil || len(sessions) != 1 || sessions[0].Address != test.written || glass.UsedFrom != test.written {
				t.Errorf("used from %s by %+v, %v, want %s", glass.UsedFrom, sessions, err, test.written)
			}
			line := `"address":"` + test.written + `"`
			eventually(t, "the log to say "+line, func() bool { return strings.Contains(log.String(), line) })
			if strings.Contains(log.String(), "198.51.100.1") {
				t.Errorf("the log says what was invented: %s", log)
			}
		})
	}
}

// TestSessionsLastAsTheSettingsSay signs somebody in who owns the tenant for an hour,
// and lets her not come back for a while.
func TestSessionsLastAsTheSettingsSay(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		life        string
		want, quiet time.Duration
		in          bool
	}{
		{life: "20m", want: 20 * time.Minute, quiet: 14 * time.Minute, in: true},
		{life: "24h", want: time.Hour, quiet: 16 * time.Minute},
	} {
		t.Run(test.life, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "gatehouse.db")
			database := "sqlite://" + file
			c := serve(t, database, "--session-life="+test.life, "--session-idle=15m")
			v := newVisitor(t)
			glass := v.breakGlass(c.host, database, "")
			a := arrangeConsole(t, database)
			sessions, err := a.Sessions(t.Context(), a.tenant, glass.UserID)
			if err != nil || len(sessions) != 1 || sessions[0].ExpiresAt.Sub(sessions[0].CreatedAt.Time).Round(time.Second) != test.want {
				t.Errorf("%+v, %v, want one of %v", sessions, err, test.want)
			}
			db, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(60000)")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.Exec(`UPDATE sessions SET seen_at = seen_at - ?`, test.quiet.Milliseconds()); err != nil {
				t.Fatal(err)
			}
			if got := v.in(c.host); got != test.in {
				t.Errorf("after %v: signed in: %t, want %t", test.quiet, got, test.in)
			}
		})
	}
}

// breakGlass has the visitor break the glass, from wherever, and gives what is known
// of it.
func (v *visitor) breakGlass(host, database, from string) store.Entrance {
	v.t.Helper()
	var glass struct{ Code string }
	if err := json.Unmarshal(command(v.t, "break-glass", "--database-url="+database, "--json"), &glass); err != nil || glass.Code == "" {
		v.t.Fatalf("break-glass: %v", err)
	}
	if got := v.from(from, host+"/break-glass", url.Values{"code": {glass.Code}}); got != http.StatusSeeOther {
		v.t.Fatalf("breaking the glass: status %d", got)
	}
	var used []store.Entrance
	if err := json.Unmarshal(command(v.t, "break-glass", "--list", "--database-url="+database, "--json"), &used); err != nil || len(used) != 1 {
		v.t.Fatalf("break-glass --list: %d, %v", len(used), err)
	}
	return used[0]
}
