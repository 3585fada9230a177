package e2e

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"gatehouse/access"
)

// Who had access on a day is told by the names of that day, whoever has left since
// and whoever bears the name now.
func TestExplainKnowsWhoLeft(t *testing.T) {
	onBothTenancies(t, func(t *testing.T, s *tenancy) {
		a := arrange(t, s.database, "default")
		ann := s.user("ann@corp.example", nil)
		crew := s.group("Crew", ann)
		a.grant(access.Grantee{Group: access.GroupID(crew)})
		explain := func(args ...string) string {
			t.Helper()
			out, _ := exec.CommandContext(t.Context(), binary, append([]string{"--database-url=" + s.database, "explain",
				"--product=clicktime", "--permission=timesheet", "--site=site=berlin"}, args...)...).CombinedOutput() // it says why
			return string(out)
		}
		then := time.Now().UTC()
		for !time.Now().After(then.Add(2 * time.Millisecond)) {
		}
		at := "--at=" + then.Format(time.RFC3339Nano)
		s.want(204, "DELETE", "/Users/"+ann, nil)
		s.want(204, "DELETE", "/Groups/"+crew, nil)
		for range 2 { // before and after another has her name
			for _, name := range []string{"ANN@corp.example", ann} {
				if got := explain("--user="+name, at); !strings.HasPrefix(got, "Yes: ann@corp.example (entra) has timesheet") || !strings.Contains(got, `through group "Crew"`) {
					t.Errorf("then, of %s: got %s, want yes, through her group", name, got)
				}
			}
			if got := explain("--user=nobody@corp.example", at); !strings.Contains(got, "nobody here had the userName or id") {
				t.Errorf("then, of nobody: got %s, want no answer", got)
			}
			if len(s.find("/Users", `userName eq "ann@corp.example"`)) == 0 {
				s.user("ann@corp.example", nil)
			}
		}
		if got := explain("--user=ann@corp.example"); !strings.HasPrefix(got, "No: ann@corp.example (entra)") {
			t.Errorf("now: got %s, want no", got)
		}
		if got := explain("--user=ann@corp.example", "--site=site=in-default"); !strings.Contains(got, "two sites of the dimension") {
			t.Errorf("at two sites: got %s, want no answer", got)
		}
	})
}
