package scim

import (
	"errors"
	"net/http"
	"slices"

	scimerr "github.com/elimity-com/scim/errors"

	"gatehouse/store"
)

// asGroup is the row of a document.
func asGroup(doc document) store.Group {
	return store.Group{
		ExternalID:  text(doc, "externalId"),
		DisplayName: text(doc, "displayName"),
		Doc:         groupType.encode(doc),
		Search:      jsonOf(groupType.searchable(doc)),
	}
}

func groupTaken(err error, displayName string) error {
	if errors.Is(err, store.ErrTaken) {
		return uniqueness("A group with displayName %s already exists in this connection: match or link it, or choose another displayName.", shorten(displayName))
	}
	return err
}

func groupMissing(err error, id string) error {
	if errors.Is(err, store.ErrNotFound) {
		return notFound("Group", id)
	}
	return err
}

func memberRefs(ids []string) []store.MemberID {
	out := make([]store.MemberID, len(ids))
	for i, id := range ids {
		out[i] = store.MemberID(id)
	}
	return out
}

func (s *Server) getGroup(w http.ResponseWriter, r *http.Request, c caller) error {
	p, _, err := groupType.projectionOf(r)
	if err != nil {
		return err
	}
	conds, err := conditionsOf(r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	g, err := s.store.Group(r.Context(), c.conn, store.GroupID(id))
	if err != nil {
		return groupMissing(err, id)
	}
	unchanged, err := conds.read(groupVersion(g))
	if err != nil {
		return err
	}
	if unchanged {
		return sendUnchanged(w, c.base, groupResource(g))
	}
	return s.sendGroup(w, r, c, g, p, http.StatusOK)
}

func (s *Server) createGroup(w http.ResponseWriter, r *http.Request, c caller) error {
	p, _, err := groupType.projectionOf(r)
	if err != nil {
		return err
	}
	body, err := s.readBody(w, r, c, s.opts.MaxBody)
	if err != nil {
		return err
	}
	doc, members, ignored, err := groupType.normalize(body)
	if err != nil {
		return err
	}
	noteIgnored(r.Context(), ignored)

	g, res, err := s.store.CreateGroup(r.Context(), c.actor(r.Context()), c.conn, asGroup(doc), memberRefs(members.ids))
	c.held.letGo()
	if err != nil {
		return groupTaken(err, asGroup(doc).DisplayName)
	}
	noteUnknown(r, res)
	w.Header().Set("Location", groupResource(g).location(c.base))
	return s.sendGroup(w, r, c, g, p, http.StatusCreated)
}

// replaceGroup is PUT. A body without members leaves them alone: emptying a group
// must be said, not implied.
func (s *Server) replaceGroup(w http.ResponseWriter, r *http.Request, c caller) error {
	p, _, err := groupType.projectionOf(r)
	if err != nil {
		return err
	}
	body, err := s.readBody(w, r, c, s.opts.MaxBody)
	if err != nil {
		return err
	}
	doc, members, ignored, err := groupType.normalize(body)
	if err != nil {
		return err
	}
	noteIgnored(r.Context(), ignored)
	g, err := s.changeGroup(r, c, func(before document) (document, store.MemberDelta, error) {
		after := clone(doc).(document)
		if _, said := after["externalId"]; !said && before["externalId"] != nil {
			after["externalId"] = before["externalId"]
		}
		return after, store.MemberDelta{Replace: members.present, Add: memberRefs(members.ids)}, nil
	})
	if err != nil {
		return err
	}
	return s.sendGroup(w, r, c, g, p, http.StatusOK)
}

// patchGroup answers 204, as Entra advises, since a body would repeat all members;
// 200 with what is asked for when the request names attributes.
func (s *Server) patchGroup(w http.ResponseWriter, r *http.Request, c caller) error {
	p, query, err := groupType.projectionOf(r)
	if err != nil {
		return err
	}
	body, err := s.readBody(w, r, c, s.opts.MaxBody)
	if err != nil {
		return err
	}
	ops, err := parsePatch(body)
	if err != nil {
		return err
	}
	g, err := s.changeGroup(r, c, func(before document) (document, store.MemberDelta, error) {
		after, delta, ignored, err := groupType.patch(before, ops)
		noteIgnored(r.Context(), ignored)
		return after, store.MemberDelta{Replace: delta.replace, Add: memberRefs(delta.add), Remove: memberRefs(delta.remove)}, err
	})
	if err != nil {
		return err
	}
	if query.Get("attributes") == "" {
		w.Header().Set("ETag", groupVersion(g))
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return s.sendGroup(w, r, c, g, p, http.StatusOK)
}

// changeGroup applies a pure change to a group's document and a delta to its
// members.
func (s *Server) changeGroup(r *http.Request, c caller, change func(document) (document, store.MemberDelta, error)) (store.Group, error) {
	var after store.Group
	conds, err := conditionsOf(r)
	if err != nil {
		return after, err
	}
	id := r.PathValue("id")
	g, res, err := s.store.UpdateGroup(r.Context(), c.actor(r.Context()), c.conn, store.GroupID(id), c.held.long(), func(g store.Group) (store.Group, store.MemberDelta, error) {
		if err := conds.write(g.Version); err != nil {
			return g, store.MemberDelta{}, err
		}
		doc, err := decodeStored(g.Doc)
		if err != nil {
			return g, store.MemberDelta{}, err
		}
		doc, delta, err := change(doc)
		if err != nil {
			return g, delta, err
		}
		after = asGroup(doc)
		after.ID, after.CreatedAt = g.ID, g.CreatedAt
		return after, delta, nil
	})
	c.held.letGo()
	if errors.Is(err, store.ErrCycle) {
		return after, invalid(scimerr.ScimTypeInvalidValue, "The group would be a member of itself, directly or through a group that is a member: leave that one out.")
	}
	if errors.Is(err, store.ErrUnknownMembers) {
		return after, invalid(scimerr.ScimTypeInvalidValue, "None of the members sent is a user or group of this connection, and the group would be left empty: send the ids that Gatehouse gave them, or an empty list to empty the group.")
	}
	if err != nil {
		return after, groupTaken(groupMissing(err, id), after.DisplayName)
	}
	noteUnknown(r, res)
	return g, nil
}

func (s *Server) deleteGroup(w http.ResponseWriter, r *http.Request, c caller) error {
	conds, err := conditionsOf(r)
	if err != nil {
		return err
	}
	id := r.PathValue("id")
	err = s.store.DeleteGroupIf(r.Context(), c.actor(r.Context()), c.conn, store.GroupID(id), func(g store.Group) error { return conds.write(g.Version) })
	if err != nil {
		return groupMissing(err, id)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) sendGroup(w http.ResponseWriter, r *http.Request, c caller, g store.Group, p *projection, status int) error {
	groupResource(g).label(w.Header(), c.base)
	out := newStream(w, status)
	if err := s.writeGroups(r, out, c, []store.Group{g}, p); err != nil {
		w.Header().Del("ETag") // they are the group's, not the error's
		w.Header().Del("Content-Location")
		return out.fail(err)
	}
	return out.close()
}

// writeGroups writes groups, parted by commas, with their members unless those
// are projected away. Members are streamed: a group of 200,000 is never held in
// memory.
func (s *Server) writeGroups(r *http.Request, out *stream, c caller, groups []store.Group, p *projection) error {
	parts := partsOfMembers(c.base, p)
	with := parts.any()
	next := 0
	first := true
	member := func(id string, t *resourceType) {
		if !first {
			out.text(",")
		}
		first = false
		parts.write(out, id, t)
	}
	var subgroups map[store.GroupID][]store.GroupID
	finish := func() {
		if with {
			for _, id := range subgroups[groups[next-1].ID] {
				member(string(id), groupType)
			}
			out.text("]")
		}
		out.text("}")
	}
	begin := func() error {
		if next > 0 {
			finish()
			out.text(",")
		}
		body, err := groupResource(groups[next]).open(c.base, p)
		if err != nil {
			return err
		}
		next++
		first = true
		out.write(body)
		if with {
			out.text(`,"members":[`)
		}
		return nil
	}
	if with && len(groups) > 0 {
		ids := make([]store.GroupID, len(groups))
		for i, g := range groups {
			ids[i] = g.ID
		}
		var err error
		if subgroups, err = s.store.Subgroups(r.Context(), c.conn, ids); err != nil {
			return err
		}
		write := func(group store.GroupID, user store.UserID) error {
			for next == 0 || groups[next-1].ID != group {
				if err := begin(); err != nil {
					return err
				}
			}
			member(string(user), userType)
			return out.err
		}
		for n := 0; len(ids) > 0; ids = ids[n:] {
			// Members come in the order of the groups' ids, which a sorted list has
			// only in parts.
			n = 1
			for n < len(ids) && ids[n-1] < ids[n] {
				n++
			}
			if err := s.store.EachMember(r.Context(), c.conn, ids[:n], write); err != nil {
				return err
			}
		}
	}
	for next < len(groups) {
		if err := begin(); err != nil {
			return err
		}
	}
	if len(groups) > 0 {
		finish()
	}
	return out.err
}

// memberParts are the parts of a group's members that go out.
type memberParts struct {
	value, ref, kind bool
	base             string // of the addresses in $ref
}

func partsOfMembers(base string, p *projection) memberParts {
	a := groupType.core.byName["members"]
	has := func(name string) bool {
		sub, _ := a.subAttribute(name)
		return p.includesPart(a, sub)
	}
	return memberParts{value: has("value"), ref: has("$ref"), kind: has("type"), base: base}
}

func (m memberParts) any() bool { return m.value || m.ref || m.kind }

func (m memberParts) write(out *stream, id string, t *resourceType) {
	next := "{"
	part := func(name string) {
		out.text(next)
		out.text(name)
		next = ","
	}
	if m.value {
		part(`"value":"`)
		out.text(id)
		out.text(`"`)
	}
	if m.ref {
		part(`"$ref":`)
		out.write(appendString(nil, m.base+t.endpoint+"/"+id))
	}
	if m.kind {
		part(`"type":"`)
		out.text(t.name)
		out.text(`"`)
	}
	out.text("}")
}

// stream is an answer that starts to go out once it is larger than a buffer, so
// that small ones are whole before their status is sent.
type stream struct {
	w      http.ResponseWriter
	status int
	buf    []byte
	sent   bool
	err    error
}

const streamBuffer = 32 << 10

func newStream(w http.ResponseWriter, status int) *stream { return &stream{w: w, status: status} }

func (s *stream) text(t string) {
	s.room(len(t))
	s.buf = append(s.buf, t...)
}

func (s *stream) write(b []byte) {
	s.room(len(b))
	s.buf = append(s.buf, b...)
}

// room makes room for n bytes. What is no longer small gets the whole buffer at once.
func (s *stream) room(n int) {
	if len(s.buf)+n > streamBuffer && s.err == nil {
		s.flush()
	}
	if need := len(s.buf) + n; need > cap(s.buf) && need > streamBuffer/4 {
		s.buf = slices.Grow(s.buf, max(n, streamBuffer-len(s.buf)))
	}
}

func (s *stream) flush() {
	if !s.sent {
		s.sent = true
		writeJSON(s.w, s.status, s.buf)
	} else {
		_, s.err = s.w.Write(s.buf)
	}
	s.buf = s.buf[:0]
}

func (s *stream) close() error {
	s.flush()
	return nil
}

// fail ends an answer by an error. When part of it is on its way, the connection
// is broken off, so that nobody takes half a group for the whole.
func (s *stream) fail(err error) error {
	if s.sent {
		panic(http.ErrAbortHandler)
	}
	return err
}
