package replay_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/internal/replay"
)

// A directory is the smallest SCIM server that the player can be tried on. It
// keeps resources, holds names unique, and remembers what it was asked.
type directory struct {
	mu        sync.Mutex
	next      int
	resources map[string]map[string]any // by path, as in /Users/7
	requests  []string                  // "METHOD path body"
	refuse    string                    // a path that is answered with 500
}

func (d *directory) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	text, _ := io.ReadAll(r.Body)
	path := strings.TrimPrefix(r.URL.Path, "/scim/v2")
	d.requests = append(d.requests, r.Method+" "+r.URL.RequestURI()+" "+string(text))

	answer := func(status int, body any) {
		w.Header().Set("Content-Type", "application/scim+json")
		w.WriteHeader(status)
		if body != nil {
			_ = json.NewEncoder(w).Encode(body)
		}
	}
	if path == "/oauth2/token" {
		answer(200, map[string]any{"content_type": r.Header.Get("Content-Type"), "authorization": r.Header.Get("Authorization")})
		return
	}
	if r.Header.Get("Authorization") != "Bearer secret" {
		answer(401, nil)
		return
	}
	if d.refuse != "" && strings.HasPrefix(path, d.refuse) {
		answer(500, map[string]any{"detail": "out of order"})
		return
	}
	switch r.Method {
	case http.MethodPost:
		var resource map[string]any
		_ = json.Unmarshal(text, &resource)
		if d.holder(path, nameOf(resource)) != "" {
			answer(409, map[string]any{"detail": "taken"})
			return
		}
		d.next++
		resource["id"] = fmt.Sprint(d.next)
		d.resources[path+"/"+fmt.Sprint(d.next)] = resource
		answer(201, resource)
	case http.MethodGet:
		if path == "/Users" || path == "/Groups" {
			answer(200, d.list(path, r.URL.Query().Get("filter"), r.URL.Query().Get("cursor")))
			return
		}
		if d.resources[path] == nil {
			answer(404, nil)
			return
		}
		answer(200, d.resources[path])
	case http.MethodDelete:
		delete(d.resources, path)
		answer(204, nil)
	default:
		if d.resources[path] == nil {
			answer(404, nil)
			return
		}
		answer(200, d.resources[path])
	}
}

func (d *directory) list(path, filter, cursor string) map[string]any {
	found := []any{}
	if _, name, ok := strings.Cut(filter, " eq "); ok {
		if holder := d.holder(path, strings.Trim(name, `"`)); holder != "" {
			found = append(found, d.resources[holder])
		}
	}
	answer := map[string]any{"totalResults": len(found), "Resources": found}
	if cursor == "" {
		answer["nextCursor"] = "page/2"
	}
	return answer
}

// holder finds the path of whoever has a name, without regard to case.
func (d *directory) holder(collection, name string) string {
	for path, resource := range d.resources {
		if strings.HasPrefix(path, collection+"/") && strings.EqualFold(nameOf(resource), name) {
			return path
		}
	}
	return ""
}

func nameOf(resource map[string]any) string {
	if name, ok := resource["userName"].(string); ok {
		return name
	}
	name, _ := resource["displayName"].(string)
	return name
}

// asked returns the requests that begin with a prefix.
func (d *directory) asked(prefix string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(d.requests), func(r string) bool { return !strings.HasPrefix(r, prefix) })
}

func newDirectory(t *testing.T) (*directory, *replay.Player) {
	t.Helper()
	d := &directory{resources: map[string]map[string]any{}}
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	return d, &replay.Player{BaseURL: server.URL + "/scim/v2", Token: "secret", Client: server.Client()}
}

func play(t *testing.T, p *replay.Player, lines ...string) (replay.Summary, []replay.Result) {
	t.Helper()
	var results []replay.Result
	sum, err := p.Play(t.Context(), strings.NewReader(strings.Join(lines, "\n")), func(r replay.Result) { results = append(results, r) })
	if err != nil {
		t.Fatalf("play: %v", err)
	}
	if len(results) != len(lines) {
		t.Fatalf("got %d results for %d lines", len(results), len(lines))
	}
	return sum, results
}

func TestPlaceholdersStandForFreshResources(t *testing.T) {
	t.Parallel()
	d, player := newDirectory(t)
	_, results := play(t, player,
		`{"id":"E60","method":"PATCH","path":"/Users/{id}","want":200,"body":{"Operations":[{"op":"Add","path":"manager","value":"{m1}"}]}}`,
		`{"id":"E61","method":"PATCH","path":"/Users/{id}","want":200,"body":{"Operations":[{"op":"Add","path":"manager","value":"{m1}"}]}}`)
	first, second := results[0], results[1]
	if !first.OK || !second.OK {
		t.Fatalf("got %+v, want both right", results)
	}
	if first.Values["id"] == second.Values["id"] || first.Values["m1"] == second.Values["m1"] {
		t.Errorf("got the same people twice: %v and %v", first.Values, second.Values)
	}
	want := fmt.Sprintf(`PATCH /scim/v2/Users/%s {"Operations":[{"op":"Add","path":"manager","value":"%s"}]}`, first.Values["id"], first.Values["m1"])
	if got := d.asked("PATCH "); got[0] != want {
		t.Errorf("got %s, want %s", got[0], want)
	}
}

func TestUsersToBeRemovedAreMembersFirst(t *testing.T) {
	t.Parallel()
	d, player := newDirectory(t)
	_, results := play(t, player,
		`{"id":"O25","method":"PATCH","path":"/Groups/{gid}","want":200,"body":{"Operations":[{"op":"remove","path":"members[value eq \"{u1}\"]"},{"op":"add","path":"members","value":[{"value":"{u2}"}]}]}}`)
	group := d.resources["/Groups/"+results[0].Values["gid"]]
	got, _ := json.Marshal(group["members"])
	if want := fmt.Sprintf(`[{"value":"%s"}]`, results[0].Values["u1"]); string(got) != want {
		t.Errorf("the group began with %s, want only the one to be removed: %s", got, want)
	}
}

func TestGivenShapesWhatIsMade(t *testing.T) {
	t.Parallel()
	d, player := newDirectory(t)
	var before map[string]string
	player.Prepared = func(_ replay.Line, values map[string]string) {
		before = values
		if got := d.asked("PATCH "); len(got) != 0 {
			t.Errorf("the line was sent before Prepared was called: %v", got)
		}
	}
	_, results := play(t, player,
		`{"id":"x","method":"PATCH","path":"/Groups/{gid}","want":200,"body":{"Operations":[{"op":"remove","path":"members[value eq \"{u1}\"]"}]},"given":{"members":["{u1}","{u9}"],"group":{"externalId":null}}}`,
	)
	values := results[0].Values
	group := d.resources["/Groups/"+values["gid"]]
	members, _ := json.Marshal(group["members"])
	if want := fmt.Sprintf(`[{"value":"%s"},{"value":"%s"}]`, values["u1"], values["u9"]); string(members) != want {
		t.Errorf("got members %s, want %s", members, want)
	}
	if _, there := group["externalId"]; there || before["gid"] != values["gid"] {
		t.Errorf("got externalId %v and prepared %v, want none and the group", group["externalId"], before)
	}
}

func TestFixedNamesCanBePlayedTwice(t *testing.T) {
	t.Parallel()
	d, player := newDirectory(t)
	lines := []string{
		`{"id":"E20","method":"POST","path":"/Users","want":201,"body":{"userName":"ada@corp.example"}}`,
		`{"id":"E24","method":"POST","path":"/Users","want":409,"body":{"userName":"ADA@corp.example"}}`,
		`{"id":"E80","method":"POST","path":"/Groups","want":201,"body":{"displayName":"Site A"}}`,
	}
	for round := range 2 {
		if sum, results := play(t, player, lines...); sum.Passed != 3 {
			t.Errorf("round %d: got %+v, want all three right: %+v", round+1, sum, results)
		}
	}
	if got := d.asked("DELETE "); len(got) != 2 {
		t.Errorf("got deletions %v, want Ada and Site A of the first round", got)
	}
}

func TestWhatALineNeedsIsMadeBefore(t *testing.T) {
	t.Parallel()
	d, player := newDirectory(t)
	sum, results := play(t, player,
		`{"id":"O04","method":"POST","path":"/Users","want":409,"body":{"userName":"twin@okta.local"}}`,
		`{"id":"E24","method":"POST","path":"/Users","want":409,"body":{"userName":"ADA@corp.example"},"given":{"present":[{"userName":"ada@corp.example"}]}}`)
	if sum.Passed != 2 {
		t.Errorf("got %+v, want two conflicts", results)
	}
	if got := d.asked(`POST /scim/v2/Users {"userName":"ada@corp.example"}`); len(got) != 1 {
		t.Errorf("got %v, want Ada made once, as given", d.requests)
	}
}

func TestRenameMakesRoomForTheNewName(t *testing.T) {
	t.Parallel()
	_, player := newDirectory(t)
	sum, results := play(t, player,
		`{"id":"a","method":"POST","path":"/Users","want":201,"body":{"userName":"ada@corp.example"},"save":"u1"}`,
		`{"id":"b","method":"PATCH","path":"/Users/{id}","want":200,"body":{"Operations":[{"op":"Replace","value":{"userName":"ada@corp.example"}}]},"keep":true}`,
		`{"id":"c","method":"GET","path":"/Users/{u1}","want":404,"body":null,"keep":true}`)
	if sum.Passed != 3 {
		t.Errorf("got %+v, want the holder of the name gone: %+v", sum, results)
	}
}

func TestMissingResourceIsNotMade(t *testing.T) {
	t.Parallel()
	d, player := newDirectory(t)
	if sum, results := play(t, player, `{"id":"O32","method":"PATCH","path":"/Users/{id}","want":404,"body":{"Operations":[]}}`); sum.Passed != 1 {
		t.Errorf("got %+v, want 404 for an id nobody has", results)
	}
	if got := d.asked("POST "); len(got) != 0 {
		t.Errorf("made %v, want nothing", got)
	}
}

func TestCursorComesFromTheAnswerBefore(t *testing.T) {
	t.Parallel()
	d, player := newDirectory(t)
	sum, results := play(t, player,
		`{"id":"S01","method":"GET","path":"/Users?cursor&count=10","want":200,"body":null}`,
		`{"id":"S02","method":"GET","path":"/Users?cursor=VZUTiyhEQJ94IR&count=10","want":200,"body":null}`,
		`{"id":"first","method":"GET","path":"/Users?cursor","want":200,"body":null}`,
		`{"id":"second","method":"GET","path":"/Users?cursor={cursor}","want":200,"body":null,"keep":true}`,
		`{"id":"third","method":"GET","path":"/Users?cursor={cursor}","want":200,"body":null,"keep":true}`)
	if got := d.asked("GET /scim/v2/Users?cursor=page%2F2&count=10"); len(got) != 1 {
		t.Errorf("got requests %v, want the cursor of the first page in the second", d.requests)
	}
	if sum.Failed != 1 || !strings.Contains(results[4].Detail, "nextCursor") {
		t.Errorf("got %+v, want a failure after the last page: it has no nextCursor", results[4])
	}
}

func TestTokenEndpointNeedsCredentials(t *testing.T) {
	t.Parallel()
	d, player := newDirectory(t)
	line := `{"id":"E121","method":"POST","path":"/oauth2/token","want":200,"body":"client_id={cid}&client_secret={secret}"}`
	sum, results := play(t, player, line)
	if sum != (replay.Summary{NotPlayed: 1}) || results[0].Detail != "not played: needs client credentials" || len(d.requests) != 0 {
		t.Errorf("got %+v, %+v and %v, want nothing played", sum, results, d.requests)
	}

	player.ClientID, player.ClientSecret = "c 1", "s&2"
	sum, results = play(t, player, line)
	if got, want := d.requests, []string{"POST /oauth2/token client_id=c+1&client_secret=s%262"}; sum.Passed != 1 || !slices.Equal(got, want) {
		t.Errorf("got %+v and %v, want %v", results, got, want)
	}
	want := `{"authorization":"","content_type":"application/x-www-form-urlencoded"}`
	if got := strings.TrimSpace(string(results[0].Body)); got != want {
		t.Errorf("got %s, want a form without the SCIM token: %s", got, want)
	}
}

func TestWrongAnswerIsReported(t *testing.T) {
	t.Parallel()
	d, player := newDirectory(t)
	sum, results := play(t, player, `{"id":"E06","method":"GET","path":"/Users/nobody","want":200,"body":null}`)
	if sum.Failed != 1 || results[0].Got != 404 || results[0].OK || !strings.HasPrefix(results[0].Detail, "answered 404, want 200") {
		t.Errorf("got %+v %+v, want one failure that says what came", sum, results)
	}

	d.refuse = "/Users"
	sum, results = play(t, player, `{"id":"E30","method":"PATCH","path":"/Users/{id}","want":200,"body":{"Operations":[]}}`)
	if sum.Failed != 1 || !strings.Contains(results[0].Detail, "prepare: {id}: POST /Users answered 500") || !strings.Contains(results[0].Detail, "out of order") {
		t.Errorf("got %+v, want the preparation named as what failed", results)
	}
}

func TestPlayStopsOnWhatItCannotPlay(t *testing.T) {
	t.Parallel()
	_, player := newDirectory(t)
	_, err := player.Play(t.Context(), strings.NewReader("{\"id\":\"a\",\"method\":\"GET\",\"path\":\"/Users\",\"want\":200}\n\nnot JSON\n"), func(replay.Result) {})
	if err == nil || !strings.Contains(err.Error(), "recording line 3") {
		t.Errorf("got %v, want the line named", err)
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = player.Play(ended, strings.NewReader(`{"id":"a","method":"GET","path":"/Users","want":200}`), func(r replay.Result) { t.Errorf("got %+v after the end", r) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
