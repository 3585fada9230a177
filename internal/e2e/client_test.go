package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	coreURN       = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupURN      = "urn:ietf:params:scim:schemas:core:2.0:Group"
	enterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	listURN       = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	errorURN      = "urn:ietf:params:scim:api:messages:2.0:Error"
	patchURN      = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
)

// object is a JSON object.
type object = map[string]any

// A client speaks SCIM and looks hard at every answer, see check.
type client struct {
	t           testing.TB
	host        string // http://127.0.0.1:1234
	path        string // /scim/{connection}/v2
	token       string
	contentType string
	header      http.Header // sent with every request
	http        *http.Client
}

func newClient(t testing.TB, host, path, token string) *client {
	return &client{
		t: t, host: host, path: strings.TrimSuffix(path, "/"), token: token,
		contentType: "application/scim+json; charset=utf-8",
		http:        &http.Client{Timeout: patience},
	}
}

// in returns the client for a sub-test.
func (c *client) in(t testing.TB) *client {
	t.Helper()
	inner := *c
	inner.t = t
	return &inner
}

// when returns the client with one more header in its requests.
func (c *client) when(name string, values ...string) *client {
	more := *c
	more.header = c.header.Clone()
	if more.header == nil {
		more.header = http.Header{}
	}
	more.header[http.CanonicalHeaderKey(name)] = values
	return &more
}

// step runs one named step of a suite with the client.
func (c *client) step(name string, f func(t *testing.T, c *client)) {
	c.t.(*testing.T).Run(name, func(t *testing.T) { f(t, c.in(t)) })
}

// An answer is what came back, with the request for messages.
type answer struct {
	request string
	status  int
	header  http.Header
	doc     object // nil without a body; numbers are json.Number
	raw     []byte
	took    time.Duration // until the end of the body
}

// do sends one request. body is nil, a string of JSON, or anything that
// marshals to it. Faults of the answer itself fail the test; it may be called
// from any goroutine.
func (c *client) do(method, path string, body any) answer {
	c.t.Helper()
	var text []byte
	switch body := body.(type) {
	case nil:
	case string:
		text = []byte(body)
	default:
		var err error
		if text, err = json.Marshal(body); err != nil {
			c.t.Errorf("%s %s: %v", method, path, err)
			return answer{}
		}
	}
	got := answer{request: strings.TrimSpace(fmt.Sprintf("%s %s %s", method, path, abbreviate(text)))}
	request, err := http.NewRequest(method, c.host+c.path+path, bytes.NewReader(text))
	if err != nil {
		c.t.Errorf("%s: %v", got.request, err)
		return got
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Accept", "application/scim+json")
	if body != nil {
		request.Header.Set("Content-Type", c.contentType)
	}
	maps.Copy(request.Header, c.header)
	start := time.Now()
	response, err := c.http.Do(request)
	if err != nil {
		c.t.Errorf("%s: %v", got.request, err)
		return got
	}
	defer response.Body.Close()
	got.raw, err = io.ReadAll(response.Body)
	got.took = time.Since(start)
	if err != nil {
		c.t.Errorf("%s: read answer: %v", got.request, err)
	}
	got.status, got.header = response.StatusCode, response.Header
	got.doc = decode(got.raw)
	for _, fault := range faults(got) {
		c.t.Errorf("%s\nanswered %d %s\n%s", got.request, got.status, abbreviate(got.raw), fault)
	}
	return got
}

// want sends one request and stops the test unless the status is as wanted.
func (c *client) want(status int, method, path string, body any) answer {
	c.t.Helper()
	got := c.do(method, path, body)
	if got.status != status {
		c.t.Fatalf("%s\nanswered %d %s\nwant %d", got.request, got.status, abbreviate(got.raw), status)
	}
	return got
}

// faults says what is wrong with any SCIM answer, whatever was asked.
func faults(a answer) []string {
	var found []string
	add := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	if a.status >= 500 {
		add("the server failed")
	}
	if (a.status == http.StatusNoContent || a.status == http.StatusNotModified) && len(a.raw) > 0 {
		add("%d has a body", a.status)
	}
	if version := a.text("meta", "version"); version != "" && version != a.header.Get("ETag") {
		add("ETag is %q, want meta.version %q", a.header.Get("ETag"), version)
	}
	if a.status >= 400 && a.header.Get("ETag") != "" {
		add("an error has the ETag %s", a.header.Get("ETag"))
	}
	if len(a.raw) > 0 {
		kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
		if err != nil || kind != "application/scim+json" {
			add("Content-Type is %q, want application/scim+json", a.header.Get("Content-Type"))
		}
		if a.doc == nil {
			add("the body is no JSON object")
		}
	}
	if location := a.text("meta", "location"); location != "" && a.header.Get("ETag") != "" && location != a.header.Get("Content-Location") {
		add("Content-Location is %q, want meta.location %q", a.header.Get("Content-Location"), location)
	}
	if a.status >= 400 && a.header.Get("Content-Location") != "" {
		add("an error has the Content-Location %s", a.header.Get("Content-Location"))
	}
	if a.status == http.StatusCreated && a.header.Get("Location") != a.text("meta", "location") {
		add("Location is %q, want meta.location %q", a.header.Get("Location"), a.text("meta", "location"))
	}
	if a.status >= 400 {
		if got := a.texts("schemas"); !slices.Equal(got, []string{errorURN}) {
			add("an error has schemas %q, want %q", got, errorURN)
		}
		if got := a.at("status"); got != fmt.Sprint(a.status) {
			add("the body says status %#v, want the string %q", got, fmt.Sprint(a.status))
		}
		if a.text("detail") == "" {
			add("an error without detail helps nobody")
		}
	}
	if a.status == http.StatusUnauthorized && !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Bearer") {
		add("401 without WWW-Authenticate: Bearer")
	}
	return found
}

func decode(raw []byte) object {
	var doc object
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if decoder.Decode(&doc) != nil {
		return nil
	}
	return doc
}

// at follows keys (strings) and positions (ints) into the answer; nil if there
// is nothing.
func (a answer) at(path ...any) any { return at(a.doc, path...) }

func at(value any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			o, _ := value.(object)
			value = o[step]
		case int:
			list, _ := value.([]any)
			if step >= len(list) {
				return nil
			}
			value = list[step]
		}
	}
	return value
}

func (a answer) text(path ...any) string {
	text, _ := a.at(path...).(string)
	return text
}

func (a answer) texts(path ...any) []string {
	list, _ := a.at(path...).([]any)
	var texts []string
	for _, item := range list {
		text, _ := item.(string)
		texts = append(texts, text)
	}
	return texts
}

// number is an integer of the answer. A string or a fraction fails the test:
// Okta's importer reads JSON integers.
func (a answer) number(t testing.TB, path ...any) int {
	t.Helper()
	number, ok := a.at(path...).(json.Number)
	n, err := number.Int64()
	if !ok || err != nil {
		t.Errorf("%s: %v is %#v, want an integer", a.request, path, a.at(path...))
	}
	return int(n)
}

// list checks that the answer is a ListResponse (RFC 7644 section 3.4.2) and
// returns its resources.
func (a answer) list(t testing.TB) []object {
	t.Helper()
	if got := a.texts("schemas"); !slices.Equal(got, []string{listURN}) {
		t.Errorf("%s: schemas are %q, want %q", a.request, got, listURN)
	}
	items, isArray := a.at("Resources").([]any)
	if !isArray {
		t.Errorf("%s: Resources is %#v, want an array, empty or not", a.request, a.at("Resources"))
	}
	var resources []object
	for _, item := range items {
		resource, _ := item.(object)
		resources = append(resources, resource)
	}
	return resources
}

// find returns the ids of what a filter finds, of at most one page.
func (c *client) find(collection, filter string) []string {
	c.t.Helper()
	got := c.want(200, "GET", collection+"?filter="+url.QueryEscape(filter), nil)
	ids := []string{}
	for _, resource := range got.list(c.t) {
		ids = append(ids, fmt.Sprint(resource["id"]))
	}
	if total := got.number(c.t, "totalResults"); total < len(ids) {
		c.t.Errorf("%s: totalResults is %d with %d on the page", got.request, total, len(ids))
	}
	return ids
}

// user makes a user from a userName and further attributes, and returns the id.
func (c *client) user(userName string, more object) string {
	c.t.Helper()
	body := object{"schemas": []string{coreURN}, "userName": userName, "active": true}
	for name, value := range more {
		body[name] = value
	}
	return c.want(201, "POST", "/Users", body).text("id")
}

// users makes n users and returns their ids.
func (c *client) users(prefix string, n int) []string {
	c.t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = c.user(fmt.Sprintf("%s-%04d@corp.example", prefix, i), nil)
	}
	return ids
}

// group makes a group with members and returns its id.
func (c *client) group(displayName string, members ...string) string {
	c.t.Helper()
	return c.want(201, "POST", "/Groups", object{
		"schemas": []string{groupURN}, "displayName": displayName, "members": refs(members...),
	}).text("id")
}

// members reads who is in a group, in order of id. A member listed twice fails
// the test.
func (c *client) members(group string) []string {
	c.t.Helper()
	got := c.want(200, "GET", "/Groups/"+group, nil)
	ids := memberIDs(got.doc)
	if twice := len(ids) - len(slices.Compact(slices.Clone(ids))); twice > 0 {
		c.t.Errorf("group %s lists %d members twice", group, twice)
	}
	return ids
}

func memberIDs(group object) []string {
	ids := []string{}
	list, _ := group["members"].([]any)
	for _, item := range list {
		ids = append(ids, fmt.Sprint(at(item, "value")))
	}
	slices.Sort(ids)
	return ids
}

// refs are references to members.
func refs(ids ...string) []object {
	list := []object{}
	for _, id := range ids {
		list = append(list, object{"value": id})
	}
	return list
}

// reportsTo is what says of a user who the manager is.
func reportsTo(manager string) object {
	return object{enterpriseURN: object{"manager": object{"value": manager}}}
}

// patch is a PatchOp message (RFC 7644 section 3.5.2).
func patch(operations ...object) object {
	if operations == nil {
		operations = []object{}
	}
	return object{"schemas": []string{patchURN}, "Operations": operations}
}

func op(kind, path string, value any) object {
	o := object{"op": kind, "value": value}
	if path != "" {
		o["path"] = path
	}
	return o
}

func remove(path string) object { return object{"op": "remove", "path": path} }

// same fails the test if got is not want.
func same[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// sorted returns ids in the order in which members returns them.
func sorted(ids ...string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	if ids == nil {
		return []string{}
	}
	return ids
}

func abbreviate(text []byte) string {
	const most = 700
	if len(text) > most {
		return string(text[:most]) + "…"
	}
	return string(text)
}

func mustJSON(t testing.TB, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// query escapes a filter for a path.
func query(filter string) string { return url.QueryEscape(filter) }
