package ui

import (
	"slices"
	"strings"
	"testing"

	"gatehouse/store"
)

func TestOverview(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		facts := func(as string) map[string]string {
			got := g.get(as, "/")
			all := map[string]string{}
			for i, title := range got.texts(".facts h2") {
				all[title] = got.texts(".facts .card")[i]
			}
			return all
		}
		// The loose ends are counted beside the page: ask until they are there.
		seen := facts(sam)
		for strings.Contains(seen["Loose ends"], "Being counted") {
			seen = facts(sam)
		}
		for title, want := range map[string]string{
			"Sync": "Entra ID has not called yet", "Loose ends": "people have no access", "People": "56 people",
		} {
			if !strings.Contains(seen[title], want) {
				t.Errorf("%s: got %q, want %q in it", title, seen[title], want)
			}
		}
		got := g.get(sam, "/")
		if n := got.Find("#changes tbody tr").Length(); n != 10 {
			t.Errorf("%d changes, want the last 10", n)
		}
		if steps := got.texts(".tasks li"); len(steps) != 4 || strings.HasSuffix(steps[0], "done") || !strings.HasSuffix(steps[1], "done") {
			t.Errorf("first steps: %q, want four, the second done", steps)
		}
		g.write(func(tx *store.Tx) error {
			_, err := tx.CreateConnection(t.Context(), "Third", store.IdPGeneric)
			return err
		})
		if seen := facts(sam); !strings.Contains(seen["Sync"], "Third") {
			t.Errorf("a new connection: got %q", seen["Sync"])
		}

		scoped := facts(bob)
		if len(scoped) != 2 || !strings.Contains(scoped["Reviews"], "No review is open") || !strings.Contains(scoped["People"], "18 people at your sites") || !strings.Contains(scoped["People"], "38 people elsewhere") {
			t.Errorf("the administrator of a site sees %q, want the people there and the reviews alone", scoped)
		}
		if got := g.get(eva, "/"); got.header.Get("Location") != "/me" {
			t.Errorf("somebody without rights: status %d to %q, want her own access", got.status, got.header.Get("Location"))
		}
		past := g.get(eva, "/me?at=2026-03-01")
		if past.status != 200 || past.Find("main .chip").Length() > 0 || past.Find("time[datetime='2026-03-01T22:59:59Z']").Length() != 1 {
			t.Errorf("her own access before she came: status %d, %q", past.status, past.text("main"))
		}
		if got := g.get(eva, "/me?at=yesterday"); got.status != 400 {
			t.Errorf("a date that is none: status %d, want 400", got.status)
		}
		if chips := g.get(eva, "/me").texts("#has-clicktime .chip"); !slices.Equal(chips, []string{"Supervisor"}) {
			t.Errorf("her own access: got %q", chips)
		}
	})
}

func TestSearch(t *testing.T) {
	onBoth(t, func(t *testing.T, g *rig) {
		for _, test := range []struct {
			who, text string
			want      []string
		}{
			{sam, "alice", []string{"Alice Jansen alice.jansen@waterland.example Person"}},
			{sam, "peop", []string{"People Page"}},
			{sam, "zzz", nil},
			{eva, "alice", nil},
			{eva, "access", []string{"My access Page"}},
		} {
			if got := g.get(test.who, "/search?q="+test.text).texts("#found li"); !slices.Equal(got, test.want) {
				t.Errorf("%s looks for %q: got %q, want %q", test.who, test.text, got, test.want)
			}
		}
	})
}
