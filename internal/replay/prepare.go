package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
)

const (
	scimType = "application/scim+json"
	formType = "application/x-www-form-urlencoded"

	userURN       = "urn:ietf:params:scim:schemas:core:2.0:User"
	enterpriseURN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
	groupURN      = "urn:ietf:params:scim:schemas:core:2.0:Group"

	// printedCursor is the example that RFC 9865 prints. In a recording it
	// stands for the cursor of the page before.
	printedCursor = "VZUTiyhEQJ94IR"
)

var (
	placeholder     = regexp.MustCompile(`\{(id|gid|u[1-9]|m[12]|random-guid|cursor|cid|secret|entra-jwt)\}`)
	userPlaceholder = regexp.MustCompile(`\{u[1-9]\}`)
)

// prepare makes what a line refers to: people first, then the user, then the
// group, since each may name the ones before. Then it sees to the fixed names.
func (r *run) prepare(ctx context.Context, line Line) error {
	if !line.Keep || r.values == nil {
		r.values = map[string]string{}
	}
	delete(r.values, "cursor") // it is always the answer before's
	members := line.Given.Members
	if members == nil {
		members = removed(line)
	}
	needs := r.needs(line, members)
	for _, name := range needs {
		if err := r.provide(ctx, name, line, members); err != nil {
			return fmt.Errorf("{%s}: %w", name, err)
		}
	}
	for _, resource := range r.present(line) {
		if err := r.ensure(ctx, collection(line.Path), resource); err != nil {
			return err
		}
	}
	if line.Want < 300 {
		return r.free(ctx, line)
	}
	return nil
}

// needs lists the placeholders of a line that have no value yet, in the order
// in which they can be made.
func (r *run) needs(line Line, members []string) []string {
	given, _ := json.Marshal(line.Given) // it came from JSON
	text := line.Path + string(line.Body) + string(given) + strings.Join(members, "")
	found := map[string]bool{}
	for _, match := range placeholder.FindAllStringSubmatch(text, -1) {
		if _, known := r.values[match[1]]; !known {
			found[match[1]] = true
		}
	}
	last := map[string]int{"id": 1, "gid": 2}
	return slices.SortedFunc(maps.Keys(found), func(a, b string) int {
		if d := last[a] - last[b]; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
}

// provide gives a placeholder its value.
func (r *run) provide(ctx context.Context, name string, line Line, members []string) error {
	var err error
	switch name {
	case "random-guid":
		r.values[name] = uuid.NewString()
	case "cursor":
		if r.values[name] = r.cursor; r.cursor == "" {
			return fmt.Errorf("the answer before had no nextCursor")
		}
	case "cid":
		r.values[name] = r.ClientID
	case "secret":
		r.values[name] = r.ClientSecret
	case "entra-jwt":
		r.values[name] = r.Assertion
	case "id":
		if line.Want == http.StatusNotFound {
			r.values[name] = uuid.NewString()
			return nil
		}
		r.values[name], err = r.create(ctx, "/Users", merge(r.freshUser(name), line.Given.User))
	case "gid":
		if line.Want == http.StatusNotFound {
			r.values[name] = uuid.NewString()
			return nil
		}
		r.values[name], err = r.create(ctx, "/Groups", merge(r.freshGroup(members), line.Given.Group))
	default:
		r.values[name], err = r.create(ctx, "/Users", r.freshUser(name))
	}
	return err
}

// freshUser is a person nobody has heard of, with enough attributes that losing
// one of them shows.
func (r *run) freshUser(placeholder string) map[string]any {
	r.made++
	key := fmt.Sprintf("replay-%s-%d-%s", r.name, r.made, placeholder)
	return map[string]any{
		"schemas":           []any{userURN},
		"userName":          key + "@replay.example",
		"externalId":        key,
		"displayName":       "Replay " + key,
		"title":             "Operator",
		"nickName":          "Rep",
		"preferredLanguage": "en-GB",
		"name":              map[string]any{"givenName": "Replay", "familyName": key},
		"emails":            []any{map[string]any{"type": "work", "value": key + "@mail.example", "primary": true}},
		"active":            true,
	}
}

func (r *run) freshGroup(members []string) map[string]any {
	r.made++
	key := fmt.Sprintf("replay-%s-%d", r.name, r.made)
	refs := []any{}
	for _, m := range members {
		refs = append(refs, map[string]any{"value": m})
	}
	return map[string]any{
		"schemas": []any{groupURN}, "displayName": "Replay " + key, "externalId": key, "members": refs,
	}
}

// merge lays changes over a resource. null takes an attribute out. An extension
// must be listed in schemas (RFC 7643 section 3.3), so it is added there.
func merge(resource, changes map[string]any) map[string]any {
	for name, value := range changes {
		if value == nil {
			delete(resource, name)
			continue
		}
		resource[name] = value
		if name == enterpriseURN {
			resource["schemas"] = []any{userURN, enterpriseURN}
		}
	}
	return resource
}

// create posts a resource and returns its id.
func (r *run) create(ctx context.Context, collection string, resource map[string]any) (string, error) {
	text, err := json.Marshal(resource)
	if err != nil {
		return "", err
	}
	got, err := r.send(ctx, http.MethodPost, collection, scimType, r.fillJSON(text))
	if err != nil {
		return "", err
	}
	var made struct{ ID string }
	if err := json.Unmarshal(got.body, &made); got.status != http.StatusCreated || err != nil || made.ID == "" {
		return "", fmt.Errorf("POST %s answered %d, want 201 and an id: %s", collection, got.status, abbreviate(got.body))
	}
	return made.ID, nil
}

// present lists the resources that must exist before a line. One that expects a
// conflict has at least its own twin.
func (r *run) present(line Line) []json.RawMessage {
	if line.Given.Present == nil && line.Method == http.MethodPost && line.Want == http.StatusConflict {
		return []json.RawMessage{line.Body}
	}
	return line.Given.Present
}

// ensure posts a resource that may be there already.
func (r *run) ensure(ctx context.Context, collection string, resource json.RawMessage) error {
	got, err := r.send(ctx, http.MethodPost, collection, scimType, r.fillJSON(resource))
	if err != nil {
		return err
	}
	if got.status != http.StatusCreated && got.status != http.StatusConflict {
		return fmt.Errorf("POST %s answered %d, want 201 or 409: %s", collection, got.status, abbreviate(got.body))
	}
	return nil
}

// free deletes whoever else holds a name that the line takes, such as the user
// that an earlier run of the same recording left behind.
func (r *run) free(ctx context.Context, line Line) error {
	where := collection(line.Path)
	for _, name := range taken(where, line) {
		filter := fmt.Sprintf("%s eq %s", unique[where], quote(name))
		found, err := r.send(ctx, http.MethodGet, where+"?filter="+url.QueryEscape(filter), "", nil)
		if err != nil {
			return err
		}
		var list struct{ Resources []struct{ ID string } }
		if err := json.Unmarshal(found.body, &list); found.status != http.StatusOK || err != nil {
			return fmt.Errorf("look for %s answered %d, want a list: %s", filter, found.status, abbreviate(found.body))
		}
		for _, holder := range list.Resources {
			if holder.ID == r.values["id"] || holder.ID == r.values["gid"] {
				continue
			}
			got, err := r.send(ctx, http.MethodDelete, where+"/"+url.PathEscape(holder.ID), "", nil)
			if err != nil {
				return err
			}
			if got.status != http.StatusNoContent {
				return fmt.Errorf("DELETE %s/%s answered %d, want 204: %s", where, holder.ID, got.status, abbreviate(got.body))
			}
		}
	}
	return nil
}

// unique names the attribute that only one resource of a collection may hold.
var unique = map[string]string{"/Users": "userName", "/Groups": "displayName"}

// taken lists the unique names that a line writes.
func taken(collection string, line Line) []string {
	attribute, named := unique[collection]
	var body map[string]any
	if !named || json.Unmarshal(line.Body, &body) != nil {
		return nil
	}
	var names []string
	add := func(value any) {
		if name, ok := value.(string); ok && name != "" && !placeholder.MatchString(name) {
			names = append(names, name)
		}
	}
	add(body[attribute])
	for _, op := range operations(line) {
		if strings.EqualFold(op.Path, attribute) {
			add(op.Value)
		}
		if values, ok := op.Value.(map[string]any); ok && op.Path == "" {
			add(values[attribute])
		}
	}
	return names
}

// removed lists the placeholders of the users whom a line takes out of a group.
func removed(line Line) []string {
	if collection(line.Path) != "/Groups" {
		return nil
	}
	var users []string
	for _, op := range operations(line) {
		if strings.EqualFold(op.Op, "remove") {
			text, _ := json.Marshal(op) // it came from JSON
			users = append(users, userPlaceholder.FindAllString(string(text), -1)...)
		}
	}
	slices.Sort(users)
	return slices.Compact(users)
}

// An operation of a PatchOp message (RFC 7644 section 3.5.2).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

func operations(line Line) []operation {
	var patch struct{ Operations []operation }
	_ = json.Unmarshal(line.Body, &patch) // a body that is no PatchOp has none
	return patch.Operations
}

// collection is the first segment of a path: "/Users" of "/Users/{id}?count=1".
func collection(path string) string {
	end := strings.IndexAny(path[min(1, len(path)):], "/?")
	if end < 0 {
		return path
	}
	return path[:end+1]
}

// fillPath puts values into a path, escaped.
func (r *run) fillPath(path string) string {
	if r.cursor != "" {
		path = strings.ReplaceAll(path, printedCursor, url.QueryEscape(r.cursor))
	}
	return r.fill(path, url.QueryEscape)
}

// fillBody puts values into a body. A JSON string is a form.
func (r *run) fillBody(body json.RawMessage) (contentType string, filled []byte, err error) {
	if len(body) == 0 || string(body) == "null" {
		return "", nil, nil
	}
	if body[0] != '"' {
		return scimType + "; charset=utf-8", r.fillJSON(body), nil
	}
	var form string
	if err := json.Unmarshal(body, &form); err != nil {
		return "", nil, fmt.Errorf("form: %w", err)
	}
	return formType, []byte(r.fill(form, url.QueryEscape)), nil
}

func (r *run) fillJSON(text []byte) []byte {
	return []byte(r.fill(string(text), func(value string) string {
		quoted := quote(value)
		return quoted[1 : len(quoted)-1]
	}))
}

func (r *run) fill(text string, escape func(string) string) string {
	return placeholder.ReplaceAllStringFunc(text, func(found string) string {
		value, known := r.values[found[1:len(found)-1]]
		if !known {
			return found
		}
		return escape(value)
	})
}

// quote writes a string as JSON, which is how filters quote too (RFC 7644
// section 3.4.2.2).
func quote(s string) string {
	text, _ := json.Marshal(s) // no string fails
	return string(text)
}
