package scim

import (
	"net/http"
	"strconv"
	"strings"

	scimerr "github.com/elimity-com/scim/errors"

	"gatehouse/store"
)

// versionOf is the version of a resource, as meta.version and the ETag header have
// it (RFC 7644 §3.14): the number that each change of it raises. A user shows its
// groups, too, which change without it: behind the number stands a digest of them.
// Groups is what a store.User holds; nil for what has none.
func versionOf(number int64, groups []byte) string {
	out := strconv.AppendInt(append(make([]byte, 0, 32), `W/"`...), number, 10)
	if groups != nil {
		digest := store.Digest(groups)
		out = append(append(out, '.'), digest[:]...)
	}
	return string(append(out, '"'))
}

func userVersion(u store.User) string { return versionOf(u.Version, u.Groups) }

func groupVersion(g store.Group) string { return versionOf(g.Version, nil) }

// conditions are what a request makes itself depend on (RFC 9110 §13.1). Those of
// a resource that isn't there don't count: it is 404 either way.
type conditions struct {
	match, noneMatch *tagList
}

// tagList is the value of If-Match or If-None-Match.
type tagList struct {
	text string
	any  bool // "*"
	tags []string
}

// conditionsOf reads the headers If-Match and If-None-Match.
func conditionsOf(r *http.Request) (c conditions, err error) {
	if c.match, err = tagsIn(r.Header, "If-Match"); err != nil {
		return c, err
	}
	c.noneMatch, err = tagsIn(r.Header, "If-None-Match")
	return c, err
}

// tagsIn reads a list of entity tags (RFC 9110 §8.8.3); nil without the header.
// Whether they are weak makes no difference: all of ours are.
func tagsIn(h http.Header, name string) (*tagList, error) {
	values := h.Values(name)
	if len(values) == 0 {
		return nil, nil
	}
	list := &tagList{text: strings.ToValidUTF8(strings.Join(values, ", "), "?")}
	malformed := invalid(scimerr.ScimTypeInvalidValue, `The header %s is %s: send ETags as they came, such as W/"3", with their quotes and with commas between, or *.`, name, shorten(list.text))
	if list.any = strings.Trim(list.text, " \t") == "*"; list.any {
		return list, nil
	}
	for rest := list.text; ; {
		rest = strings.TrimLeft(rest, " \t,")
		if rest == "" {
			break
		}
		opaque, quoted := strings.CutPrefix(strings.TrimPrefix(rest, "W/"), `"`)
		tag, behind, closed := strings.Cut(opaque, `"`)
		rest = strings.TrimLeft(behind, " \t")
		if !quoted || !closed || strings.ContainsAny(tag, " \t") || rest != "" && rest[0] != ',' {
			return nil, malformed
		}
		list.tags = append(list.tags, tag)
	}
	if len(list.tags) == 0 {
		return nil, malformed
	}
	return list, nil
}

// has reports whether the list names a version that same holds to be the one.
func (l *tagList) has(same func(tag string) bool) bool {
	if l.any {
		return true
	}
	for _, tag := range l.tags {
		if same(tag) {
			return true
		}
	}
	return false
}

// read decides what a GET of a resource of that version comes to: unchanged says
// that the client has it already (304).
func (c conditions) read(version string) (unchanged bool, err error) {
	same := func(tag string) bool { return version[2:] == `"`+tag+`"` }
	if c.match != nil && !c.match.has(same) {
		return false, c.match.refusal("If-Match", "it has another version by now")
	}
	return c.noneMatch != nil && c.noneMatch.has(same), nil
}

// write refuses a change of a resource that has that number now. Call it in the
// transaction that makes the change. A user's groups don't count, since no write
// to the user overwrites them.
func (c conditions) write(number int64) error {
	want := strconv.FormatInt(number, 10)
	same := func(tag string) bool {
		tag, _, _ = strings.Cut(tag, ".")
		return tag == want
	}
	switch {
	case c.match != nil && !c.match.has(same):
		return c.match.refusal("If-Match", "it has another version by now")
	case c.noneMatch != nil && c.noneMatch.has(same):
		return c.noneMatch.refusal("If-None-Match", "that is its version")
	}
	return nil
}

// refusal is the 412 for a condition that doesn't hold.
func (l *tagList) refusal(header, why string) error {
	return scimerr.ScimError{
		Status: http.StatusPreconditionFailed,
		Detail: "Nothing was done to the resource, since " + header + " is " + shorten(l.text) + " and " + why + ": read it again, and decide anew.",
	}
}

// label puts above an answer which resource it shows: where that is, as
// meta.location has it (RFC 7643 §3.1), and its version.
func (r resource) label(h http.Header, base string) {
	values := []string{r.location(base), r.version}
	h["Content-Location"], h["Etag"] = values[:1:1], values[1:]
}

// sendUnchanged answers 304.
func sendUnchanged(w http.ResponseWriter, base string, r resource) error {
	w.Header()["Cache-Control"] = noStore
	r.label(w.Header(), base)
	w.WriteHeader(http.StatusNotModified)
	return nil
}
