// Package replay plays recorded identity-provider traffic against a SCIM
// endpoint and says where the answers differ from the recorded ones.
//
// A recording is NDJSON, one [Line] each line:
//
//	{"id":"E86","method":"PATCH","path":"/Groups/{gid}","want":204,"body":{…},"note":"…"}
//
// Path and body hold placeholders. What they stand for is made through the same
// endpoint just before the line is sent, under names no earlier run has used:
//
//	{id}           a user made for this line
//	{gid}          a group made for this line
//	{u1} … {u9}    further users
//	{m1} {m2}      managers
//	{random-guid}  an id nobody has
//	{cursor}       nextCursor of the answer before (RFC 9865)
//	{cid} {secret} {entra-jwt}  the player's client credentials
//
// Names that a recording spells out (ada@corp.example) are made free before a
// line that takes them, so that a recording can be played again on the same
// server: whoever holds the name is deleted. Play against a connection that was
// made for testing. What a run has made stays there to be looked at.
package replay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
)

// A Line is one recorded request.
type Line struct {
	ID     string          `json:"id"`     // names the line in results
	Method string          `json:"method"` // GET, POST, PUT, PATCH or DELETE
	Path   string          `json:"path"`   // below the SCIM base; /oauth2/… is below the host
	Want   int             `json:"want"`   // HTTP status of the recorded answer
	Body   json.RawMessage `json:"body"`   // a resource or PatchOp; a JSON string is sent as a form
	Note   string          `json:"note"`   // for people
	Given  Given           `json:"given"`  // what must be there first, beyond the placeholders

	// Keep gives the line the placeholders of the line before it, so that
	// several lines tell one story about the same user or group.
	Keep bool `json:"keep"`
	// Save names the placeholder that the id in the answer is kept under, for
	// lines that follow with Keep.
	Save string `json:"save"`
}

// Given is what must be true before a line is sent.
type Given struct {
	// User is merged into the user made for {id}; null takes an attribute out.
	User map[string]any `json:"user"`
	// Group is merged into the group made for {gid}.
	Group map[string]any `json:"group"`
	// Members are in the group made for {gid}. Without it, they are the users
	// that the line removes, since removing a stranger would prove nothing.
	Members []string `json:"members"`
	// Present are resources of the line's own kind that exist beforehand.
	Present []json.RawMessage `json:"present"`
}

// A Result says how one line went.
type Result struct {
	ID        string  `json:"id"`
	Method    string  `json:"method"`
	Path      string  `json:"path"` // as sent
	Want      int     `json:"want"`
	Got       int     `json:"got"` // 0 if there was no answer
	OK        bool    `json:"ok"`
	NotPlayed bool    `json:"not_played,omitempty"` // the player lacks what the line needs
	Millis    float64 `json:"millis"`               // from sending to the end of the answer
	Detail    string  `json:"detail,omitempty"`     // why not OK, with the answer

	Values map[string]string `json:"-"` // what the placeholders stood for
	Sent   []byte            `json:"-"` // the body as sent
	Header http.Header       `json:"-"` // of the answer
	Body   []byte            `json:"-"` // of the answer
}

// A Summary counts the lines of a run.
type Summary struct {
	Passed    int `json:"passed"`
	Failed    int `json:"failed"`
	NotPlayed int `json:"not_played"`
}

// A Player plays recordings. BaseURL and Token are required.
type Player struct {
	BaseURL string       // of the SCIM endpoint, as in https://host/scim/entra/v2
	Token   string       // bearer token of the connection
	Client  *http.Client // http.DefaultClient if nil

	// ClientID, with ClientSecret or Assertion (a signed JWT, RFC 7523 section
	// 2.2), lets the player ask /oauth2/token for access tokens. Lines that
	// need what is missing are not played, and counted apart.
	ClientID, ClientSecret, Assertion string

	// Prepared, if set, is called when everything a line needs is in place and
	// before it is sent: the moment to look at the state it starts from.
	Prepared func(line Line, values map[string]string)
}

// maxLine bounds a line of a recording: a group of 20,000 members fits.
const maxLine = 4 << 20

// Play plays every line and hands each result to report. A wrong answer is a
// result, not an error; the error is for a recording that can't be read and for
// a context that ended.
func (p *Player) Play(ctx context.Context, recording io.Reader, report func(Result)) (Summary, error) {
	var sum Summary
	r := run{Player: p, name: uuid.NewString()[:8]}
	lines := bufio.NewScanner(recording)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var line Line
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return sum, fmt.Errorf("recording line %d: %w", n, err)
		}
		result := r.play(ctx, line)
		if err := ctx.Err(); err != nil {
			return sum, err
		}
		switch {
		case result.NotPlayed:
			sum.NotPlayed++
		case result.OK:
			sum.Passed++
		default:
			sum.Failed++
		}
		report(result)
	}
	if err := lines.Err(); err != nil {
		return sum, fmt.Errorf("read recording: %w", err)
	}
	return sum, nil
}

// A run is one pass of a player through a recording.
type run struct {
	*Player
	name   string            // in every name this run makes up
	made   int               // how many it has made up
	values map[string]string // placeholders of the line being played
	cursor string            // nextCursor of the answer before
}

func (r *run) play(ctx context.Context, line Line) Result {
	result := Result{ID: line.ID, Method: line.Method, Path: line.Path, Want: line.Want}
	if r.missingCredentials(line) {
		result.NotPlayed = true
		result.Detail = "not played: needs client credentials"
		return result
	}
	if err := r.prepare(ctx, line); err != nil {
		result.Detail = "prepare: " + err.Error()
		return result
	}
	result.Path = r.fillPath(line.Path)
	contentType, body, err := r.fillBody(line.Body)
	if err != nil {
		result.Detail = "prepare: " + err.Error()
		return result
	}
	result.Sent = body
	if r.Prepared != nil {
		r.Prepared(line, r.values)
	}

	start := time.Now()
	answer, err := r.send(ctx, line.Method, result.Path, contentType, body)
	result.Millis = float64(time.Since(start).Microseconds()) / 1000
	if err != nil {
		result.Detail = err.Error()
		return result
	}
	result.Got, result.Header, result.Body = answer.status, answer.header, answer.body
	r.remember(line, answer)
	result.Values = maps.Clone(r.values)
	result.OK = result.Got == line.Want
	if !result.OK {
		result.Detail = fmt.Sprintf("answered %d, want %d: %s", result.Got, line.Want, abbreviate(answer.body))
	}
	return result
}

// missingCredentials reports whether a line asks for credentials that the
// player was not given.
func (r *run) missingCredentials(line Line) bool {
	needs := line.Path + string(line.Body)
	for placeholder, value := range map[string]string{
		"{cid}": r.ClientID, "{secret}": r.ClientSecret, "{entra-jwt}": r.Assertion,
	} {
		if value == "" && strings.Contains(needs, placeholder) {
			return true
		}
	}
	return false
}

// remember keeps what later lines refer to.
func (r *run) remember(line Line, a answer) {
	var doc struct{ ID, NextCursor string }
	_ = json.Unmarshal(a.body, &doc) // an answer without them has nothing to remember
	r.cursor = doc.NextCursor
	if line.Save != "" && doc.ID != "" {
		r.values[line.Save] = doc.ID
	}
}

// An answer is what came back for one request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send sends one request below the SCIM base, or below the host for the token
// endpoint, which no connection owns.
func (r *run) send(ctx context.Context, method, path, contentType string, body []byte) (answer, error) {
	base, err := url.Parse(r.BaseURL)
	if err != nil {
		return answer{}, fmt.Errorf("base address: %w", err)
	}
	oauth := strings.HasPrefix(path, "/oauth2/")
	if oauth {
		base.Path, base.RawPath = "", ""
	}
	base.RawQuery = ""
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base.String(), "/")+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if !oauth {
		request.Header.Set("Authorization", "Bearer "+r.Token)
		request.Header.Set("Accept", scimType)
	}
	if body != nil {
		request.Header.Set("Content-Type", contentType)
	}
	client := r.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: read answer: %w", method, path, err)
	}
	return answer{response.StatusCode, response.Header, got}, nil
}

// abbreviate keeps an answer short enough for one line of a report.
func abbreviate(body []byte) string {
	const most = 500
	text := strings.Join(strings.Fields(string(body)), " ")
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
