package scim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	scimerr "github.com/elimity-com/scim/errors"

	"gatehouse/internal/web"
)

// maxBulkPayload bounds a bulk request in bytes (RFC 7644 §3.7.4), as Options.MaxBody
// does.
const maxBulkPayload = 4 << 20

// maxBulkNotes is of how many operations the log line of a bulk says more.
const maxBulkNotes = 10

// The states of an operation.
const (
	bulkWaiting = iota
	bulkBusy    // what it refers to is being created
	bulkDone
	bulkFailed
)

// bulkOperation is one operation of a bulk request (RFC 7644 §3.7) and what came
// of it.
type bulkOperation struct {
	number                  int // from 1
	method, bulkID, version string
	t                       *resourceType
	// id is the resource's, perhaps as a reference until that is known; of a POST
	// it is known when it is done.
	id   string
	data document
	// later is what was left out of data when the resource was created, since it
	// refers to what refers to the resource.
	later document
	// flaw is why the operation can't even be tried.
	flaw error
	// needs are the operations that create what this one refers to; neededBy is
	// the same seen from the other side.
	needs, neededBy []*bulkOperation

	state    int
	location string
	etag     string
	status   int
	response []byte // of an error
}

// bulkRun is a bulk request at work.
type bulkRun struct {
	s        *Server
	r        *http.Request
	c        caller
	handlers map[string]handler // by method and address of an endpoint
	ops      []*bulkOperation
	created  map[string]*bulkOperation // those that create something, by their bulkId
	// failOnErrors is after how many errors to stop; 0 means never.
	failOnErrors, errors int
	// creating counts operations that wait for what they refer to, and circles are
	// those of them that could not.
	creating int
	circles  []*bulkOperation
	// down is the answer of a database that is away. What comes after it is not
	// tried.
	down  *bulkAnswer
	noted int
}

func (s *Server) maxBulkPayload() int64 { return min(maxBulkPayload, s.opts.MaxBody) }

// bulk answers POST /Bulk. Each operation is what it would be as a request of its
// own, in a transaction of its own, and by the same handler.
func (s *Server) bulk(w http.ResponseWriter, r *http.Request, c caller) error {
	data, release, err := s.readBytes(w, r, c, s.maxBulkPayload())
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return bulkTooLarge("The request is larger than maxPayloadSize, %d bytes: send its operations in several requests.", large.Limit)
	}
	if err != nil {
		return err
	}
	leave, err := s.heavy.enter(r.Context(), c.conn.ID)
	if err != nil {
		release()
		return err
	}
	defer leave()
	c.inTurn = true

	body, err := decodeObject(data...)
	release()
	if err != nil {
		return err
	}
	ops, failOnErrors, err := parseBulk(body, s.opts.MaxBulk)
	if err != nil {
		return err
	}
	s.limits.Charge(c.conn.ID, s.opts.Rate, len(ops)-1)
	b := &bulkRun{s: s, r: r, c: c, handlers: map[string]handler{}, ops: ops, created: creators(ops), failOnErrors: failOnErrors}
	for _, e := range s.endpoints() {
		b.handlers[e.method+" "+e.path] = e.handle
	}
	for _, op := range ops {
		b.do(op)
	}
	web.Annotate(r.Context(), slog.Int("operations", len(ops)), slog.Int(noteFailedKey, b.errors))
	return b.answer(w)
}

func bulkTooLarge(format string, limit int64) error {
	return scimerr.ScimError{Status: http.StatusRequestEntityTooLarge, Detail: fmt.Sprintf(format, limit)}
}

// parseBulk reads the envelope of a bulk request. What is wrong with one operation
// is that operation's flaw; an error is one of the whole request.
func parseBulk(body document, most int) (ops []*bulkOperation, failOnErrors int, err error) {
	if limit := body[sameKey(body, "failOnErrors")]; limit != nil {
		number, _ := limit.(json.Number)
		n, err := strconv.ParseInt(string(number), 10, 32)
		if err != nil || n < 1 {
			return nil, 0, invalid(scimerr.ScimTypeInvalidValue, "failOnErrors is %s: send a whole number from 1, or leave it out.", shorten(limit))
		}
		failOnErrors = int(n)
	}
	list, ok := body[sameKey(body, "Operations")].([]any)
	if !ok {
		return nil, 0, invalid(scimerr.ScimTypeInvalidSyntax, "The body has to hold Operations, a list.")
	}
	if len(list) > most {
		return nil, 0, bulkTooLarge("There are more than maxOperations, %d, in the request: send several.", int64(most))
	}
	ids := map[string]*bulkOperation{}
	for i, e := range list {
		op := &bulkOperation{number: i + 1}
		op.flaw = op.read(e)
		ops = append(ops, op)
		if op.bulkID == "" {
			continue
		}
		if other := ids[op.bulkID]; other != nil {
			// Neither is done: a reference could mean either.
			op.flaw = invalid(scimerr.ScimTypeInvalidValue, "The bulkId %s is there more than once: give each operation its own.", shorten(op.bulkID))
			other.flaw = op.flaw
		}
		ids[op.bulkID] = op
	}
	created := creators(ops)
	for _, op := range ops {
		if op.flaw == nil {
			op.flaw = op.refer(created)
		}
	}
	return ops, failOnErrors, nil
}

// creators are the operations that can be referred to, by their bulkId.
func creators(ops []*bulkOperation) map[string]*bulkOperation {
	found := map[string]*bulkOperation{}
	for _, op := range ops {
		if op.method == http.MethodPost && op.bulkID != "" {
			found[op.bulkID] = op
		}
	}
	return found
}

// read takes over what an operation says.
func (op *bulkOperation) read(value any) error {
	object, ok := value.(document)
	if !ok {
		return invalid(scimerr.ScimTypeInvalidSyntax, "An operation has to be an object with method, path and data, not text, a number or a list.")
	}
	path := ""
	for _, field := range []struct {
		name string
		into *string
	}{{"method", &op.method}, {"bulkId", &op.bulkID}, {"version", &op.version}, {"path", &path}} {
		switch v := object[sameKey(object, field.name)].(type) {
		case nil:
		case string:
			*field.into = v
		default:
			return invalid(scimerr.ScimTypeInvalidValue, "%s has to be text, not %s.", field.name, shorten(v))
		}
	}
	switch method := strings.ToUpper(op.method); method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		op.method = method
	default:
		op.method = shorten(op.method)
		return invalid(scimerr.ScimTypeInvalidValue, "method has to be POST, PUT, PATCH or DELETE, not %q.", op.method)
	}
	creates := op.method == http.MethodPost
	if op.t, op.id, ok = bulkPath(path); !ok || creates != (op.id == "") {
		op.t, op.id = nil, ""
		wanted := "/Users/{id} or /Groups/{id}"
		if creates {
			wanted = "/Users or /Groups"
		}
		return invalid(scimerr.ScimTypeInvalidPath, "The path of a %s in bulk has to be %s, not %q.", op.method, wanted, shorten(path))
	}
	if creates && op.bulkID == "" {
		return invalid(scimerr.ScimTypeInvalidValue, "A POST in bulk needs a bulkId.")
	}
	if op.method == http.MethodDelete {
		return nil
	}
	data := object[sameKey(object, "data")]
	if op.data, ok = data.(document); !ok {
		// Not repeated: in JSON that was put into a text nothing tells a password apart.
		return invalid(scimerr.ScimTypeInvalidSyntax, "data of a %s has to be a JSON object, not JSON in a text, or nothing.", op.method)
	}
	return nil
}

// bulkPath takes a path below the connection's address apart. There is no other
// address that a bulk could name: not another connection's, nor /Bulk.
func bulkPath(path string) (t *resourceType, id string, ok bool) {
	endpoint, id, _ := strings.Cut(strings.Trim(path, "/"), "/")
	for _, t := range []*resourceType{userType, groupType} {
		if "/"+endpoint == t.endpoint {
			return t, id, !strings.Contains(id, "/")
		}
	}
	return nil, "", false
}

// bulkReference is what stands before a bulkId where an id belongs (RFC 7644
// §3.7.2).
const bulkReference = "bulkId:"

// referred gives the bulkId that a text refers to.
func referred(text string) (bulkID string, ok bool) {
	if len(text) < len(bulkReference) || !strings.EqualFold(text[:len(bulkReference)], bulkReference) {
		return "", false
	}
	return text[len(bulkReference):], true
}

// quotedReference is a reference in the path of a PATCH: members[value eq "bulkId:1"].
var quotedReference = regexp.MustCompile(`(?i)"bulkId:[^"]*"`)

// withIDs copies a value with an id for each of its references, in an order that
// does not change between runs.
func withIDs(value any, id func(bulkID string) string) any {
	switch v := value.(type) {
	case string:
		if bulkID, ok := referred(v); ok {
			return id(bulkID)
		}
	case []any:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = withIDs(e, id)
		}
		return list
	case document:
		object := make(document, len(v))
		for _, name := range sortedKeys(v) {
			path, ok := v[name].(string)
			if ok && foldName(name) == "path" {
				object[name] = quotedReference.ReplaceAllStringFunc(path, func(quoted string) string {
					bulkID, _ := referred(strings.Trim(quoted, `"`))
					return `"` + id(bulkID) + `"`
				})
				continue
			}
			object[name] = withIDs(v[name], id)
		}
		return object
	}
	return value
}

// refer finds the operations that create what op refers to.
func (op *bulkOperation) refer(created map[string]*bulkOperation) (err error) {
	seen := map[*bulkOperation]bool{}
	need := func(bulkID string) string {
		other := created[bulkID]
		if other == nil {
			err = invalid(scimerr.ScimTypeInvalidValue, "%s%s is referred to, and no POST of this request has that bulkId.", bulkReference, shorten(bulkID))
			return ""
		}
		if !seen[other] {
			seen[other] = true
			op.needs = append(op.needs, other)
			other.neededBy = append(other.neededBy, op)
		}
		return ""
	}
	withIDs(op.id, need)
	withIDs(op.data, need)
	return err
}

// do does an operation after those that create what it refers to. Apart from them,
// operations are done in the order of the request.
func (b *bulkRun) do(op *bulkOperation) {
	switch {
	case op.state != bulkWaiting || b.stopped():
		return
	case op.flaw != nil:
		b.fail(op, op.flaw)
		return
	}
	op.state = bulkBusy
	creates := op.method == http.MethodPost
	if creates {
		b.creating++
	}
	for _, other := range op.needs {
		b.do(other)
	}
	if b.stopped() {
		op.state = bulkWaiting
	} else {
		b.try(op)
	}
	if creates {
		b.creating--
	}
	if b.creating == 0 {
		b.closeCircles()
	}
}

// stopped says that no further operation is begun: there were too many errors, or
// nobody waits for the answer any more.
func (b *bulkRun) stopped() bool {
	return b.failOnErrors > 0 && b.errors >= b.failOnErrors || b.r.Context().Err() != nil
}

// try does an operation, all that it refers to being there or failed. In a circle
// something is not there yet: the attributes that refer to it are set aside.
func (b *bulkRun) try(op *bulkOperation) {
	if missing := op.missing(bulkFailed); missing != nil {
		b.fail(op, notCreated(missing))
		return
	}
	if b.down != nil {
		b.settle(op, b.down)
		return
	}
	op.id, _ = withIDs(op.id, b.idOf).(string)
	now := document{}
	for name, value := range op.data {
		if refersTo(value, func(bulkID string) bool { return b.created[bulkID].state == bulkBusy }) {
			if op.later == nil {
				op.later = document{}
			}
			op.later[name] = value
			continue
		}
		now[name] = withIDs(value, b.idOf)
	}
	op.data = nil
	b.settle(op, b.send(op, op.method, now))
	if op.state == bulkDone && op.later != nil {
		b.circles = append(b.circles, op)
	}
}

// missing is an operation that op refers to and that is in the state, if any is.
func (op *bulkOperation) missing(state int) *bulkOperation {
	i := slices.IndexFunc(op.needs, func(other *bulkOperation) bool { return other.state == state })
	if i < 0 {
		return nil
	}
	return op.needs[i]
}

func notCreated(op *bulkOperation) error {
	return scimerr.ScimError{Status: http.StatusConflict, Detail: fmt.Sprintf("%s%s is referred to and was not created: see operation %d.", bulkReference, shorten(op.bulkID), op.number)}
}

func (b *bulkRun) idOf(bulkID string) string { return b.created[bulkID].id }

// refersTo says whether a value has a reference that is so.
func refersTo(value any, is func(bulkID string) bool) (found bool) {
	withIDs(value, func(bulkID string) string {
		found = found || is(bulkID)
		return ""
	})
	return found
}

// closeCircles adds to resources what was set aside when they were created. What
// can't be completed is taken back: an error means that nothing was done.
func (b *bulkRun) closeCircles() {
	circles := b.circles
	b.circles = nil
	for _, op := range circles {
		if op.state == bulkFailed {
			continue // taken back with another one
		}
		missing := op.missing(bulkFailed)
		if missing == nil {
			missing = op.missing(bulkWaiting)
		}
		if missing != nil {
			b.takeBack(op, b.render(notCreated(missing)))
			continue
		}
		a := b.send(op, http.MethodPatch, document{"Operations": []any{document{"op": "add", "value": withIDs(op.later, b.idOf)}}})
		op.later = nil
		if a.status >= 400 {
			b.takeBack(op, b.impossible(a))
			continue
		}
		if etag := a.header.Get("ETag"); etag != "" {
			op.etag = etag
		}
	}
}

// impossible is the answer for a circle that was refused, such as groups that would
// be members of themselves: a conflict of several operations (RFC 7644 §3.7.1).
func (b *bulkRun) impossible(a *bulkAnswer) *bulkAnswer {
	var refused struct{ Detail string }
	if a.status >= 500 || json.Unmarshal(a.body, &refused) != nil {
		return a
	}
	return b.render(scimerr.ScimError{Status: http.StatusConflict, Detail: "The circle that this operation is part of can't be: " + refused.Detail})
}

// takeBack deletes a resource that could not be completed, and those that refer to
// it: they are of the same circle. What can't be deleted is in the answer with its
// location.
func (b *bulkRun) takeBack(op *bulkOperation, a *bulkAnswer) {
	if op.method != http.MethodPost || op.state != bulkDone {
		return
	}
	location := op.location
	b.settle(op, a)
	if gone := b.send(op, http.MethodDelete, nil); gone.status >= 500 {
		op.location = location
	}
	for _, other := range op.neededBy {
		b.takeBack(other, b.render(notCreated(op)))
	}
}

// fail settles an operation that was not tried.
func (b *bulkRun) fail(op *bulkOperation, err error) { b.settle(op, b.render(err)) }

// bulkAnswer is the answer to one operation: a http.ResponseWriter that keeps the
// bodies of errors and drops the others, which the client did not ask for.
type bulkAnswer struct {
	header http.Header
	status int
	body   []byte
	notes  []slog.Attr // for the log
}

// Header gives what is written before the body.
func (a *bulkAnswer) Header() http.Header { return a.header }

// WriteHeader takes the first status.
func (a *bulkAnswer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write keeps what explains an error.
func (a *bulkAnswer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.status >= 400 {
		a.body = append(a.body, p...)
	}
	return len(p), nil
}

// send does a method on the resource of an operation as a request of its own
// would. It runs to its end, even if the client goes.
func (b *bulkRun) send(op *bulkOperation, method string, body document) *bulkAnswer {
	address := op.t.endpoint
	if method != http.MethodPost {
		address += "/{id}"
	}
	r := &http.Request{
		Method: method, Header: http.Header{}, Body: http.NoBody,
		// Nobody reads the answer: members need not be fetched for it.
		URL: &url.URL{RawQuery: "excludedAttributes=members"},
	}
	if body != nil {
		r.Body = io.NopCloser(bytes.NewReader(jsonOf(body)))
	}
	if op.version != "" && method == op.method {
		r.Header.Set("If-Match", op.version)
	}
	r.SetPathValue("id", op.id)
	return b.recording(func(a *bulkAnswer, ctx context.Context) {
		r = r.WithContext(ctx)
		if err := b.handlers[method+" "+address](a, r, b.c); err != nil {
			b.s.fail(a, r, err)
		}
	})
}

// render is the answer to an error.
func (b *bulkRun) render(err error) *bulkAnswer {
	return b.recording(func(a *bulkAnswer, ctx context.Context) { b.s.fail(a, b.r.WithContext(ctx), err) })
}

func (b *bulkRun) recording(respond func(a *bulkAnswer, ctx context.Context)) *bulkAnswer {
	a := &bulkAnswer{header: http.Header{}}
	ctx, notes := web.Part(context.WithoutCancel(b.r.Context()))
	respond(a, ctx)
	a.notes = notes()
	return a
}

// settle says what came of an operation.
func (b *bulkRun) settle(op *bulkOperation, a *bulkAnswer) {
	op.state, op.status, op.response, op.etag, op.location = bulkDone, a.status, a.body, a.header.Get("ETag"), ""
	switch {
	case a.status >= 400:
		op.state, op.etag = bulkFailed, ""
		b.errors++
	case op.method == http.MethodPost:
		op.location = a.header.Get("Location")
		op.id = op.location[strings.LastIndexByte(op.location, '/')+1:]
	}
	if _, open := referred(op.id); op.method != http.MethodPost && op.id != "" && !open {
		op.location = b.c.base + op.t.endpoint + "/" + url.PathEscape(op.id)
	}
	if a.status == http.StatusServiceUnavailable {
		b.down = a
	}
	b.note(op, a)
}

// note puts into the log what is to be known of an operation: of few, so that the
// line stays one, but of every mistake of ours.
func (b *bulkRun) note(op *bulkOperation, a *bulkAnswer) {
	if len(a.notes) == 0 {
		return
	}
	attr := slog.Attr{Key: fmt.Sprintf("operation_%d", op.number), Value: slog.GroupValue(a.notes...)}
	if a.status >= 500 {
		b.s.opts.Log.LogAttrs(b.r.Context(), slog.LevelError, "bulk", slog.String("request", web.RequestID(b.r.Context())), attr)
		a.notes = nil // said once, also if it is the answer to others
		return
	}
	if b.noted++; b.noted <= maxBulkNotes {
		web.Annotate(b.r.Context(), attr)
	}
}

// answer writes what came of the operations, in the order of the request. Those
// that were not done because of failOnErrors are not in it.
func (b *bulkRun) answer(w http.ResponseWriter) error {
	out := newStream(w, http.StatusOK)
	out.text(`{"schemas":["` + urnBulkResponse + `"],"Operations":[`)
	comma := ""
	for _, op := range b.ops {
		if op.state == bulkWaiting {
			continue
		}
		out.text(comma)
		comma = ","
		out.write(jsonOf(struct {
			Method   string          `json:"method,omitempty"`
			BulkID   string          `json:"bulkId,omitempty"`
			Version  string          `json:"version,omitempty"`
			Location string          `json:"location,omitempty"`
			Status   string          `json:"status"`
			Response json.RawMessage `json:"response,omitempty"`
		}{op.method, op.bulkID, op.etag, op.location, strconv.Itoa(op.status), op.response}))
	}
	out.text("]}")
	return out.close()
}
