package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"gatehouse/access"
	"gatehouse/store"
)

// The types of entities that questions are about. A resource's type is otherwise a
// dimension of the product.
const (
	typeUser    = "user"
	typeGroup   = "group"
	typeProduct = "product"
)

// What a decision's reason can be beside those of package access.
const (
	granted            access.Reason = "granted"
	ambiguousSubject   access.Reason = "ambiguous_subject"
	unknownSubjectType access.Reason = "unknown_subject_type"
	unknownGroup       access.Reason = "unknown_group"
)

// entity is a subject or a resource (AuthZEN 1.0 §5).
type entity struct {
	kind, id   string
	properties value
}

// question is an evaluation request that could be read (AuthZEN 1.0 §6).
type question struct {
	subject, resource entity
	action            string
	explain           bool
}

// isName reports whether a text can be a name.
func isName(s string) bool { return s != "" && len(s) <= maxText && strings.IndexByte(s, 0) < 0 }

// checkText refuses what can't be a name.
func checkText(what, s string) error {
	switch {
	case isName(s):
		return nil
	case s == "":
		return malformed(what + " is empty: send a text.")
	case len(s) > maxText:
		return malformed(fmt.Sprintf("%s is longer than %d bytes.", what, maxText))
	}
	return malformed(what + " holds the character U+0000.")
}

// textIn reads a member that has to be a text.
func textIn(v value, what, name string) (string, error) {
	member, ok := v.get(name)
	switch {
	case !ok:
		return "", malformed(what + " has no " + name + ": send a text.")
	case member.kind != isText:
		return "", malformed(what + "." + name + " is no text.")
	case !isName(member.text):
		return "", checkText(what+"."+name, member.text)
	}
	return member.text, nil
}

// members are those of an object, or of one with defaults.
type members interface {
	get(name string) (value, bool)
}

// withDefaults has the members of an evaluation, and else those of the batch.
type withDefaults struct{ own, defaults *value }

func (w *withDefaults) get(name string) (value, bool) {
	if member, ok := w.own.get(name); ok {
		return member, ok
	}
	return w.defaults.get(name)
}

// objectIn reads a member that has to be an object.
func objectIn(v members, name string) (value, error) {
	member, ok := v.get(name)
	switch {
	case !ok:
		return member, malformed(name + " is missing: send an object.")
	case member.kind != isObject:
		return member, malformed(name + " is no object.")
	}
	return member, nil
}

// entityIn reads a subject or resource; whole says that it has an id.
func entityIn(v members, name string, whole bool) (e entity, err error) {
	object, err := objectIn(v, name)
	if err != nil {
		return e, err
	}
	if e.kind, err = textIn(object, name, "type"); err != nil {
		return e, err
	}
	if whole {
		if e.id, err = textIn(object, name, "id"); err != nil {
			return e, err
		}
	}
	if properties, ok := object.get("properties"); ok {
		if properties.kind != isObject {
			return e, malformed(name + ".properties is no object.")
		}
		e.properties = properties
	}
	return e, nil
}

func actionIn(v members) (string, error) {
	object, err := objectIn(v, "action")
	if err != nil {
		return "", err
	}
	if properties, ok := object.get("properties"); ok && properties.kind != isObject {
		return "", malformed("action.properties is no object.")
	}
	return textIn(object, "action", "name")
}

// explainIn reads whether the context wants reasons in words.
func explainIn(v members) (bool, error) {
	context, ok := v.get("context")
	if !ok {
		return false, nil
	}
	if context.kind != isObject {
		return false, malformed("context is no object.")
	}
	explain, ok := context.get("explain")
	if ok && explain.kind != isTrue && explain.kind != isFalse {
		return false, malformed("context.explain is neither true nor false.")
	}
	return explain.kind == isTrue, nil
}

// questionIn reads an evaluation request. Members that it doesn't know it ignores.
func questionIn(v members) (q question, err error) {
	if q.subject, err = entityIn(v, "subject", true); err != nil {
		return q, err
	}
	if q.action, err = actionIn(v); err != nil {
		return q, err
	}
	if q.resource, err = entityIn(v, "resource", true); err != nil {
		return q, err
	}
	q.explain, err = explainIn(v)
	return q, err
}

// known is a subject as it was found, with the policy to ask about it. One that
// isn't there has a reason instead.
type known struct {
	subject access.Subject
	policy  *access.Policy
	reason  access.Reason
}

// decider answers the questions of one call.
type decider struct {
	*Server
	call
	// subjects are those of a batch, so that each is looked up once.
	subjects map[[2]string]*known
}

// batch answers many questions by the same facts.
func (s *Server) batch(c call) *decider {
	return &decider{Server: s, call: c, subjects: map[[2]string]*known{}}
}

func (d *decider) subject(e entity) (*known, error) {
	if d.subjects == nil {
		return d.find(e)
	}
	key := [2]string{e.kind, e.id}
	if k := d.subjects[key]; k != nil {
		return k, nil
	}
	k, err := d.find(e)
	if err != nil {
		return nil, err
	}
	d.subjects[key] = k
	return k, nil
}

// find looks a subject up. A name that several have is nobody's.
func (d *decider) find(e entity) (*known, error) {
	k := &known{}
	missing := unknownGroup
	var err error
	switch e.kind {
	case typeUser:
		missing = access.UnknownPerson
		k.subject, k.policy, err = d.store.Subject(d.Context(), d.key.TenantID, store.Who{ID: store.UserID(e.id)})
		if errors.Is(err, store.ErrNotFound) {
			k.subject, k.policy, err = d.store.Subject(d.Context(), d.key.TenantID, store.Who{Name: e.id})
		}
	case typeGroup:
		var group store.Somebody
		group, k.policy, err = d.store.GroupNamed(d.Context(), d.key.TenantID, e.id)
		k.subject = group.Subject
	default:
		k.reason = unknownSubjectType
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return &known{reason: missing}, nil
	case errors.Is(err, store.ErrAmbiguous):
		return &known{reason: ambiguousSubject}, nil
	}
	return k, err
}

// place reads where a resource is. Without an id it is for a search, and the type's
// own dimension stays out.
func place(p *access.Policy, id access.ProductID, resource entity) (access.Place, access.Reason) {
	product, ok := p.Product(id)
	if !ok {
		return nil, access.UnknownProduct
	}
	found := access.Place{}
	known := resource.kind == typeProduct
	if known && resource.id != "" && resource.id != string(id) {
		return nil, access.UnknownProduct
	}
	for _, dimension := range product.Dimensions {
		names := make([]string, 0, 2)
		if string(dimension) == resource.kind {
			known = true
			if resource.id == "" {
				continue
			}
			names = append(names, resource.id)
		}
		if property, ok := resource.properties.get(string(dimension)); ok {
			if property.kind != isText {
				return nil, access.UnknownSite
			}
			names = append(names, property.text)
		}
		for _, name := range names {
			site, reason := p.SiteNamed(dimension, name)
			if reason != "" {
				return nil, reason
			}
			if other, ok := found[dimension]; ok && other != site {
				return nil, access.AmbiguousSite
			}
			found[dimension] = site
		}
	}
	if !known {
		return nil, access.UnknownDimension
	}
	return found, ""
}

// translate is a question in the words of a policy.
func translate(p *access.Policy, product access.ProductID, action string, resource entity) (q access.Question, reason access.Reason) {
	q.Product = product
	if q.Permission, q.Level, reason = p.Action(product, action); reason != "" {
		return q, reason
	}
	q.Place, reason = place(p, product, resource)
	return q, reason
}

// verdict is what was decided.
type verdict struct {
	allowed bool
	reason  access.Reason
	words   *words // if they were asked for
	failure error  // of a question within a batch that can't be read
}

// decide answers one question.
func (d *decider) decide(q question) (v verdict, err error) {
	k, err := d.subject(q.subject)
	if err != nil {
		return v, err
	}
	v.reason = k.reason
	var asked access.Question
	if v.reason == "" {
		asked, v.reason = translate(k.policy, d.key.Product, q.action, q.resource)
	}
	at := d.store.Now()
	if v.reason == "" {
		if v.allowed, v.reason = k.policy.Decide(k.subject, asked, at); v.allowed {
			v.reason = granted
		}
	}
	if q.explain {
		v.words, err = d.inWords(k, asked, v, at)
	}
	return v, err
}

// append writes a verdict as JSON. Most have two forms only, and are many.
func (v verdict) append(b []byte) ([]byte, error) {
	b = append(b, `{"decision":`...)
	b = strconv.AppendBool(b, v.allowed)
	b = append(b, `,"context":`...)
	switch {
	case v.failure != nil:
		text, err := json.Marshal(map[string]any{"error": map[string]any{"status": http.StatusBadRequest, "message": v.failure.Error()}})
		return append(append(b, text...), '}'), err
	case v.words != nil:
		v.words.Reason = v.reason
		text, err := json.Marshal(v.words)
		return append(append(b, text...), '}'), err
	}
	b = append(append(b, `{"reason":"`...), v.reason...)
	return append(b, `"}}`...), nil
}

// evaluation answers one question (AuthZEN 1.0 §6).
func (s *Server) evaluation(w http.ResponseWriter, c call) (any, error) {
	body, err := readBody(w, c)
	if err != nil {
		return nil, err
	}
	return s.single(c, body)
}

func (s *Server) single(c call, body value) (any, error) {
	q, err := questionIn(&body)
	if err != nil {
		return nil, err
	}
	d := &decider{Server: s, call: c}
	v, err := d.decide(q)
	if err != nil {
		return nil, err
	}
	return v.append(make([]byte, 0, 128))
}

// maxEvaluations bounds a batch.
const maxEvaluations = 1000

// The semantics of a batch (AuthZEN 1.0 §7.1.2).
const (
	executeAll          = "execute_all"
	denyOnFirstDeny     = "deny_on_first_deny"
	permitOnFirstPermit = "permit_on_first_permit"
)

// evaluations answers many questions (AuthZEN 1.0 §7). What an evaluation leaves
// out is that of the whole request; an entity that it has replaces the whole of
// that one. What can't be read is no, and says why.
func (s *Server) evaluations(w http.ResponseWriter, c call) (any, error) {
	body, err := readBody(w, c)
	if err != nil {
		return nil, err
	}
	semantics, err := semanticsIn(body)
	if err != nil {
		return nil, err
	}
	list, ok := body.get("evaluations")
	switch {
	case !ok || list.kind == isArray && len(list.items) == 0:
		return s.single(c, body)
	case list.kind != isArray:
		return nil, malformed("evaluations is no array.")
	case len(list.items) > maxEvaluations:
		return nil, malformed(fmt.Sprintf("There are more than %d evaluations: send fewer at a time.", maxEvaluations))
	}
	defaults := value{kind: isObject}
	for _, name := range []string{"subject", "action", "resource", "context"} {
		if v, ok := body.get(name); ok {
			if v.kind != isObject {
				return nil, malformed(name + " is no object.")
			}
			defaults.items = append(defaults.items, member{name, v})
		}
	}
	d := s.batch(c)
	out := append(make([]byte, 0, 64*len(list.items)), `{"evaluations":[`...)
	for i, item := range list.items {
		v, err := d.one(item.value, &defaults)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = v.append(out); err != nil {
			return nil, err
		}
		if semantics == denyOnFirstDeny && !v.allowed || semantics == permitOnFirstPermit && v.allowed {
			break
		}
	}
	return append(out, "]}"...), nil
}

func semanticsIn(body value) (string, error) {
	options, ok := body.get("options")
	if !ok {
		return executeAll, nil
	}
	if options.kind != isObject {
		return "", malformed("options is no object.")
	}
	semantic, ok := options.get("evaluations_semantic")
	switch {
	case !ok:
		return executeAll, nil
	case semantic.kind == isText && (semantic.text == executeAll || semantic.text == denyOnFirstDeny || semantic.text == permitOnFirstPermit):
		return semantic.text, nil
	}
	return "", malformed("options.evaluations_semantic is none of " + executeAll + ", " + denyOnFirstDeny + " and " + permitOnFirstPermit + ".")
}

// one answers an evaluation of a batch.
func (d *decider) one(item value, defaults *value) (verdict, error) {
	if item.kind != isObject {
		return verdict{failure: malformed("An evaluation is no object.")}, nil
	}
	q, err := questionIn(&withDefaults{&item, defaults})
	if err != nil {
		return verdict{failure: err}, nil
	}
	return d.decide(q)
}
