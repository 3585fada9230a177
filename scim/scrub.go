package scim

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// What is recorded passes through here first. Secrets are left out by what names
// them, wherever that stands; and with mask everything goes that isn't known to
// be nobody's: only structure, ids, booleans and labels stay. Where it is not
// clear what something is, it goes.

// What stands in the place of what was left out.
const (
	notKept = "(not kept)"
	masked  = "…"
)

// Notes of texts that aren't all there.
const (
	noteCut     = "cut"
	noteNotJSON = "not JSON from there on"
	noteNotRead = "not read"
	noteBroken  = "broken off"
)

// secretWords are in the names of attributes and parameters whose values are
// never kept, once such a name is folded by secretName.
var secretWords = []string{
	"passwor", "passwd", "passphrase", "passcode", "kennwort", "pwd",
	"secret", "token", "assertion", "credential", "apikey", "privatekey", "authorization", "cookie", "bearer",
}

// namesSecret reports whether the name of an attribute, or a path to one, is that
// of a secret. What isn't plain ASCII may be a look-alike, and no name of RFC 7643
// is like that.
func namesSecret(name string) bool {
	var room [256]byte
	folded := room[:0]
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c >= utf8.RuneSelf:
			return true
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c >= 'a' && c <= 'z':
		default:
			// 0 for o and $ for s are how people write passwords, and their names.
			at := strings.IndexByte("013457$@!|", c)
			if at < 0 {
				continue
			}
			c = "oleastsail"[at]
		}
		folded = append(folded, c)
	}
	for _, word := range secretWords {
		if at := bytes.Index(folded, []byte(word)); at >= 0 && !bytes.HasPrefix(folded[at:], []byte("secretar")) {
			return true
		}
	}
	return string(folded) == "pass" || string(folded) == "pin" || string(folded) == "otp"
}

// tokens are secrets that are known by their look.
var tokens = regexp.MustCompile(`gh[sac]_[A-Za-z0-9_-]{4,}|eyJ[A-Za-z0-9_-]{5,}(\.[A-Za-z0-9_-]*)*|(?i:bearer|basic) +[A-Za-z0-9._~+/=-]{6,}`)

// withoutTokens leaves tokens out of a text, JSON or not.
func withoutTokens(text []byte) []byte {
	for _, sign := range []string{"ghs_", "gha_", "ghc_", "eyJ", "earer ", "EARER ", "asic ", "ASIC "} {
		if bytes.Contains(text, []byte(sign)) {
			return tokens.ReplaceAll(text, []byte(notKept))
		}
	}
	return text
}

// scrubber writes JSON anew without what must not be kept. It reads bodies that
// are cut or go wrong somewhere, as far as they go, and what it writes is whole.
type scrubber struct {
	mask bool
	// answer says that it is one of ours, whose details repeat what was sent.
	answer bool
	// secrets are texts that were left out, to find them again in the answer.
	// unclear says that something was left out of a path or filter, where it isn't
	// clear which part of it is the secret.
	secrets []string
	unclear bool

	in      []byte
	pos     int
	out     []byte
	depth   int
	looking int // into what is left out
}

// scrub gives what is kept of a body of which in is the beginning, or all when
// whole, and a note if that is not all.
func (s *scrubber) scrub(in []byte, whole bool) (text, note string) {
	s.in, s.pos, s.out, s.depth = in, 0, make([]byte, 0, len(in)), 0
	s.space()
	ok := s.pos < len(in) && (in[s.pos] == '{' || in[s.pos] == '[')
	if ok {
		if ok = s.value("", false); ok {
			s.space()
			ok = s.pos == len(in)
		}
	}
	switch {
	case ok && whole:
	case !whole && s.pos >= len(in):
		note = noteCut
	case len(in) > 0:
		note = noteNotJSON
	}
	return clean(string(s.withoutSecrets(s.out)), 2*maxRecorded), note
}

// withoutSecrets leaves out of an answer what it repeats of the request's.
func (s *scrubber) withoutSecrets(text []byte) []byte {
	text = withoutTokens(text)
	if s.answer {
		for _, secret := range s.secrets {
			if inside := bytes.Trim(jsonOf(secret), `"`); len(inside) >= 6 {
				text = bytes.ReplaceAll(text, inside, []byte(notKept))
			}
		}
	}
	return text
}

func (s *scrubber) space() {
	for s.pos < len(s.in) && strings.IndexByte(" \t\r\n", s.in[s.pos]) >= 0 {
		s.pos++
	}
}

// next takes one character if it comes next.
func (s *scrubber) next(c byte) bool {
	s.space()
	if s.pos < len(s.in) && s.in[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// value writes the next value of an attribute of that name, as far as it goes,
// and reports whether it went to its end.
func (s *scrubber) value(name string, secret bool) bool {
	s.space()
	if s.pos == len(s.in) {
		return false
	}
	if secret {
		start := len(s.out)
		s.looking++
		whole := s.value(name, false)
		s.looking--
		s.out = append(s.out[:start], `"`+notKept+`"`...)
		return whole
	}
	switch s.in[s.pos] {
	case '{':
		return s.object()
	case '[':
		return s.array(name)
	case '"':
		text, ok := s.text()
		if ok {
			s.write(s.keep(name, text))
		}
		return ok
	}
	start := s.pos
	for s.pos < len(s.in) && strings.IndexByte(" \t\r\n,]}", s.in[s.pos]) < 0 {
		s.pos++
	}
	scalar := s.in[start:s.pos]
	if s.pos == len(s.in) || !json.Valid(scalar) { // 12 may be the beginning of 123
		return false
	}
	number := scalar[0] == '-' || scalar[0] >= '0' && scalar[0] <= '9'
	switch {
	case s.looking > 0:
		s.secrets = append(s.secrets, string(scalar))
	case number && s.mask && !slices.Contains([]string{"totalResults", "itemsPerPage", "startIndex"}, name):
		scalar = []byte(`"` + masked + `"`)
	}
	s.out = append(s.out, scalar...)
	return true
}

// text reads a string.
func (s *scrubber) text() (text string, ok bool) {
	start, escaped := s.pos, false
	for s.pos++; s.pos < len(s.in); s.pos++ {
		switch c := s.in[s.pos]; {
		case c == '\\':
			escaped = true
			s.pos++
		case c < ' ':
			return "", false
		case c == '"':
			s.pos++
			raw := s.in[start:s.pos]
			if !escaped {
				return strings.ToValidUTF8(string(raw[1:len(raw)-1]), "\uFFFD"), true
			}
			err := json.Unmarshal(raw, &text)
			return text, err == nil
		}
	}
	s.pos = len(s.in)
	return "", false
}

func (s *scrubber) write(text string) { s.out = appendString(s.out, text) }

// part is a member or an element that has been written.
type part struct {
	start, end int
	value      bool // the member value
}

// hide replaces parts that turned out to be secret; the last comes first.
func (s *scrubber) hide(parts []part) {
	for _, p := range slices.Backward(parts) {
		s.addSecrets(s.out[p.start:p.end])
		s.out = slices.Replace(s.out, p.start, p.end, []byte(`"`+notKept+`"`)...)
	}
}

// addSecrets remembers the texts of a value that has been written.
func (s *scrubber) addSecrets(value []byte) {
	var v any
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.UseNumber()
	if dec.Decode(&v) == nil { // always, since what is written is whole
		s.addSecret(v)
	}
}

func (s *scrubber) addSecret(value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, e := range v {
			s.addSecret(e)
		}
	case []any:
		for _, e := range v {
			s.addSecret(e)
		}
	case string:
		if v != notKept {
			s.secrets = append(s.secrets, v)
		}
	case json.Number:
		s.secrets = append(s.secrets, string(v))
	}
}

// maxScrubDepth bounds how deep recorded JSON goes.
const maxScrubDepth = 64

// object writes an object. Its members go when one of them, such as path, says
// that they are about a secret; and so does the value of an object that was cut
// before that could be seen.
func (s *scrubber) object() bool {
	if s.depth++; s.depth > maxScrubDepth {
		return false
	}
	defer func() { s.depth-- }()
	s.pos++
	s.out = append(s.out, '{')
	var parts []part
	var named, told bool
	whole := s.next('}')
	for first := true; !whole; first = false {
		if !first && !s.next(',') {
			whole = s.next('}')
			break
		}
		back := len(s.out)
		if s.space(); s.pos == len(s.in) || s.in[s.pos] != '"' {
			break
		}
		name, ok := s.text()
		if !ok || !s.next(':') {
			break
		}
		if !first {
			s.out = append(s.out, ',')
		}
		secret := namesSecret(name)
		s.name(name, secret)
		s.out = append(s.out, ':')
		s.space()
		start := len(s.out)
		if ok = false; isTelling(name) && !secret && s.pos < len(s.in) && s.in[s.pos] == '"' {
			var about string
			if about, ok = s.text(); ok {
				isPath := foldName(name) == "path"
				told = told || isPath
				if namesSecret(printable(about)) || isPath && namesSecret(unquoted(about)) {
					named, secret = true, true
					if plain := plainPart(about); plain != about {
						s.leaveOut(about)
						about = plain
					}
				}
				s.write(s.keep(name, about))
			}
		} else {
			ok = s.value(name, secret)
		}
		if len(s.out) > start && !secret && !(foldName(name) == "op" && isOp(s.out[start:])) {
			parts = append(parts, part{start, len(s.out), foldName(name) == "value"})
		}
		if len(s.out) == start {
			s.out = s.out[:back] // nothing came of it
		}
		if !ok {
			break
		}
	}
	switch {
	case named:
		s.hide(parts)
	case !whole && !told:
		s.hide(slices.DeleteFunc(parts, func(p part) bool { return !p.value }))
	}
	s.out = append(s.out, '}')
	return whole
}

// isOp reports whether a value that has been written is an operation of a PATCH.
func isOp(value []byte) bool {
	switch strings.ToLower(string(value)) {
	case `"add"`, `"replace"`, `"remove"`:
		return true
	}
	return false
}

// isTelling says that the member says what others of its object are about.
func isTelling(name string) bool {
	switch foldName(name) {
	case "path", "name", "key", "attribute", "attributename", "field", "type":
		return true
	}
	return false
}

// name writes the name of a member.
func (s *scrubber) name(name string, secret bool) {
	if secret {
		name = plainPart(name)
	}
	s.write(shorten(name))
}

// plainPart is the beginning of a name that can't hold more than a name.
func plainPart(name string) string {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte(":._-", c) < 0 {
			if i == 0 {
				return notKept
			}
			return name[:i] + masked
		}
	}
	return name
}

// array writes an array; its name is that of each of its elements. When one of
// them names a secret, such as ["password","x"], all of them go.
func (s *scrubber) array(name string) bool {
	if s.depth++; s.depth > maxScrubDepth {
		return false
	}
	defer func() { s.depth-- }()
	s.pos++
	s.out = append(s.out, '[')
	var parts []part
	named := false
	whole := s.next(']')
	for first := true; !whole; first = false {
		if !first && !s.next(',') {
			whole = s.next(']')
			break
		}
		back := len(s.out)
		if !first {
			s.out = append(s.out, ',')
		}
		s.space()
		start := len(s.out)
		text := s.pos < len(s.in) && s.in[s.pos] == '"'
		ok := s.value(name, false)
		if len(s.out) == start {
			s.out = s.out[:back]
		} else if written := s.out[start:]; text {
			parts = append(parts, part{start: start, end: len(s.out)})
			named = named || !bytes.HasPrefix(written, []byte(`"urn:`)) && isASCII(written) && namesSecret(string(written[:min(len(written), 64)]))
		}
		if !ok {
			break
		}
	}
	if named {
		s.hide(parts)
	}
	s.out = append(s.out, ']')
	return whole
}

func isASCII(text []byte) bool {
	return !slices.ContainsFunc(text, func(c byte) bool { return c >= utf8.RuneSelf })
}

// keep is what is kept of a text that is no secret by its attribute's name.
func (s *scrubber) keep(name, text string) string {
	if s.looking > 0 {
		s.secrets = append(s.secrets, text)
		return text // and is taken away as a whole
	}
	folded := foldName(name)
	switch {
	case folded == "detail" && s.answer:
		return s.detail(text)
	case folded == "filter":
		return s.filter(text)
	case folded == "path":
		return s.path(text)
	case strings.ContainsAny(text, "{=") && namesSecret(printable(text)):
		return notKept // JSON or a form inside of a text
	case !s.mask || harmless(folded, text):
		return text
	}
	return masked
}

// printable is a text without what would make it a look-alike.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return -1
		}
		return r
	}, text)
}

// quoted is a text between quotation marks, or one that is not ended.
var quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"?`)

// unquoted is a filter or path without its texts: names and operators.
func unquoted(text string) string { return quoted.ReplaceAllString(text, "") }

// detail is the sentence of an error. It repeats what was sent, so that it ends
// where it names a secret, if there was one in the request.
func (s *scrubber) detail(text string) string {
	if s.mask {
		return masked
	}
	if s.unclear {
		return notKept
	}
	if len(s.secrets) == 0 {
		return text
	}
	for _, secret := range s.secrets {
		if len(secret) < 3 {
			continue
		}
		text = strings.ReplaceAll(text, secret, notKept)
		if begun := strings.Index(text, secret[:min(len(secret), 8)]); begun >= 0 { // values are shortened
			text = text[:begun] + notKept
		}
	}
	words := strings.SplitAfter(text, " ")
	for i, word := range words {
		if namesSecret(printable(word)) {
			name := strings.TrimSuffix(plainPart(strings.TrimLeft(word, `"`)), masked)
			return strings.Join(words[:i], "") + strings.TrimSpace(name) + " " + masked
		}
	}
	return text
}

// path is the path of an operation, or the address of one of a Bulk request.
func (s *scrubber) path(text string) string {
	name, rest, filtered := strings.Cut(text, "[")
	if !s.mask || strings.HasPrefix(text, "/") {
		return text
	}
	if plainPart(name) != name {
		return masked
	}
	if !filtered {
		return name
	}
	filter, sub, _ := strings.Cut(rest, "]")
	if plainPart(sub) != sub {
		sub = masked
	}
	return name + "[" + scrubFilter(filter, true) + "]" + sub
}

// harmless reports whether a text says nothing about a person.
func harmless(name, text string) bool {
	switch {
	case isID(text), strings.EqualFold(text, "true"), strings.EqualFold(text, "false"):
		return true
	}
	switch name {
	case "op", "method", "type", "resourcetype", "scimtype", "status":
		return len(text) <= 40 && plainPart(text) == text
	case "schemas", "schema":
		return plainPart(text) == text && strings.HasPrefix(text, "urn:") || strings.HasPrefix(text, "http://schemas.microsoft.com/")
	case "created", "lastmodified":
		return strings.Trim(text, "0123456789-:.TZ+") == ""
	case "location", "$ref":
		return isID(text[strings.LastIndexByte(text, '/')+1:])
	}
	return false
}

// idLength is how long our ids are.
const idLength = 36

// isID reports whether a text has the form of our ids.
func isID(text string) bool {
	if len(text) != idLength {
		return false
	}
	for i := range len(text) {
		if c := text[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') && c != '-' {
			return false
		}
	}
	return true
}

// filter is what is kept of a filter.
func (s *scrubber) filter(text string) string {
	kept := scrubFilter(text, s.mask)
	if kept == notKept {
		s.leaveOut(text)
	}
	return kept
}

// leaveOut remembers what was left out of a path or filter.
func (s *scrubber) leaveOut(text string) {
	s.unclear = true
	for _, literal := range quoted.FindAllString(text, -1) {
		s.secrets = append(s.secrets, strings.Trim(literal, `"`))
	}
}

// filterPart is a quoted text, a parenthesis or bracket, or a run of anything else.
var filterPart = regexp.MustCompile(`"(?:[^"\\]|\\.)*"?|[][()]|[^][()" \t]+|[ \t]+`)

// scrubFilter is what is kept of a filter: nothing if it is about a secret, and
// no values with mask, but for ids and labels.
func scrubFilter(text string, mask bool) string {
	if namesSecret(printable(unquoted(text))) {
		return notKept
	}
	if !mask {
		return text
	}
	parts := filterPart.FindAllString(text, -1)
	for i, p := range parts {
		switch {
		case strings.TrimSpace(p) == "" || len(p) == 1 && strings.ContainsAny(p, "[]()") || isOperator(p):
		case plainPart(p) == p && (i+2 < len(parts) && isOperator(parts[i+2]) || i+1 < len(parts) && parts[i+1] == "["): // an attribute
		case harmless("type", strings.Trim(p, `"`)) && slices.Contains([]string{"work", "home", "other", "mobile", "fax", "pager"}, strings.ToLower(strings.Trim(p, `"`))):
		case isID(strings.Trim(p, `"`)), strings.HasPrefix(p, ".") && plainPart(p) == p:
		default:
			parts[i] = masked
		}
	}
	return strings.Join(parts, "")
}

func isOperator(word string) bool {
	switch strings.ToLower(word) {
	case "eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr", "and", "or", "not", "true", "false", "null":
		return true
	}
	return false
}

// keptParameters are those of a query whose values are kept; the flags of Entra
// have none.
var keptParameters = []string{
	"filter", "attributes", "excludedAttributes", "startIndex", "count", "cursor", "sortBy", "sortOrder",
	"aadOptscim062020", "AzureAdScimPatch2017",
}

// scrubQuery is what is kept of a query, decoded so that people can read it.
// Parameters that we don't know may be anything, such as a token.
func (s *scrubber) scrubQuery(raw string) string {
	if raw == "" {
		return ""
	}
	var kept []string
	for _, pair := range strings.Split(raw, "&") {
		name, value, given := strings.Cut(pair, "=")
		decoded, err := url.QueryUnescape(value)
		switch {
		case !slices.Contains(keptParameters, name) || err != nil:
			if !given || plainPart(name) != name || len(name) > 40 {
				name = notKept
			}
			value = notKept
			if given {
				s.secrets = append(s.secrets, decoded)
			}
		case name == "filter":
			value = s.filter(decoded)
		case s.mask && name == "cursor":
			value = masked
		case s.mask && plainPart(strings.ReplaceAll(decoded, ",", "")) != strings.ReplaceAll(decoded, ",", ""):
			value = masked
		default:
			value = decoded
		}
		if given {
			name += "=" + value
		}
		kept = append(kept, name)
	}
	return clean(string(withoutTokens([]byte(strings.Join(kept, "&")))), maxLine)
}

// knownSegments are parts of addresses that name nobody.
var knownSegments = []string{
	"", "scim", "v2", "Users", "Groups", "Roles", "Schemas", "ResourceTypes", "ServiceProviderConfig", "Bulk", "Me", ".search", "oauth2", "token",
}

// scrubPath is what is kept of an address.
func (s *scrubber) scrubPath(path string) string {
	if s.mask {
		segments := strings.Split(path, "/")
		for i, segment := range segments {
			if !slices.Contains(knownSegments, segment) && !isID(segment) && !strings.HasPrefix(segment, "urn:") {
				segments[i] = masked
			}
		}
		path = strings.Join(segments, "/")
	}
	return clean(string(withoutTokens([]byte(path))), 300)
}

// maxLine bounds queries and details in bytes.
const maxLine = 2000

// clean makes a text that both databases take, of at most so many bytes.
func clean(text string, most int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) <= most {
		return text
	}
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + masked
}

// keptForm are the parameters of a token request that are kept, when they have
// one of these values. All others may be the secret, pasted in the wrong field.
var keptForm = map[string][]string{
	"grant_type":            {"client_credentials", "authorization_code", "password", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange"},
	"scope":                 {"", "scim"},
	"client_assertion_type": {assertionType},
	"client_secret":         {""},
	"client_assertion":      {""},
}

// scrubForm is what is kept of the form of a token request, and the client that it
// names, "" if it names none.
func scrubForm(in []byte, whole bool) (text, client, note string) {
	values, err := url.ParseQuery(string(in))
	if err != nil || !whole {
		return "", "", "not kept"
	}
	var kept []string
	for _, name := range []string{"grant_type", "scope", "client_id", "client_assertion_type", "client_secret", "client_assertion"} {
		for _, value := range values[name] {
			switch {
			case name == "client_id" && isID(value):
				client = value
			case !slices.Contains(keptForm[name], value):
				value = notKept
			}
			kept = append(kept, name+"="+value)
		}
		delete(values, name)
	}
	if len(values) > 0 {
		kept = append(kept, notKept)
	}
	return strings.Join(kept, "&"), client, ""
}
