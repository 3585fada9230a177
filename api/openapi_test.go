package api

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// openapiDoc is as much of the description as is compared.
type openapiDoc struct {
	Paths      map[string]map[string]operation
	Components struct {
		Parameters map[string]parameter
		Schemas    map[string]schema
	}
}

type operation struct {
	OperationID string `yaml:"operationId"`
	Security    *[]any
	Parameters  []parameter
	RequestBody *struct {
		Content map[string]struct{ Schema schema }
	} `yaml:"requestBody"`
	Responses map[string]struct {
		Ref     string `yaml:"$ref"`
		Content map[string]struct{ Schema schema }
	}
}

type parameter struct {
	Ref      string `yaml:"$ref"`
	Name     string
	In       string
	Required bool
	Schema   schema
}

type schema struct {
	Ref                  string `yaml:"$ref"`
	Type, Format         string
	Required             []string
	Properties           map[string]schema
	Items                *schema
	OneOf                []schema `yaml:"oneOf"`
	AdditionalProperties *schema  `yaml:"additionalProperties"`
}

// answers are the Go types of what endpoints answer, by the names of their schemas.
var answers = map[string]any{
	"Problem": Problem{}, "Metadata": Metadata{}, "Page": Page{}, "FoundReason": FoundReason{}, "Entity": Entity{}, "ActionFound": ActionFound{},
	"EntitiesFound": Found[Entity]{}, "ActionsFound": Found[ActionFound]{}, "Person": Person{}, "Site": Site{}, "Group": Group{}, "Part": Part{},
	"Way": Way{}, "HeldItem": HeldItem{}, "UserAccess": UserAccess{}, "LevelHeld": LevelHeld{}, "SitePerson": SitePerson{}, "SitePeople": SitePeople{},
	"MissingItem": MissingItem{}, "Explained": Explained{}, "ChangeSubject": ChangeSubject{}, "ChangeSeen": ChangeSeen{}, "ChangesPage": ChangesPage{},
}

// writtenByHand are schemas of questions, which are read member by member, and of
// decisions, which are written by append: other tests look at those.
var writtenByHand = []string{"Subject", "SubjectType", "Action", "Resource", "ResourceType", "Context", "PageRequest", "EvaluationRequest", "EvaluationPart",
	"EvaluationsRequest", "SubjectSearchRequest", "ResourceSearchRequest", "ActionSearchRequest", "Decision", "DecisionContext", "Decisions", "DecisionOrDecisions"}

func readDescription(t *testing.T) (doc openapiDoc) {
	t.Helper()
	if err := yaml.Unmarshal(description, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func (d openapiDoc) parameters(t *testing.T, op operation) (all []parameter) {
	t.Helper()
	for _, p := range op.Parameters {
		found, ok := d.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")]
		if !ok {
			t.Errorf("%s: no parameter %s", op.OperationID, p.Ref)
		}
		all = append(all, found)
	}
	return all
}

var inPath = regexp.MustCompile(`\{(\w+)\}`)

// TestDescriptionHasAllRoutes compares the description with the table of routes, in
// both directions: paths, methods, parameters, who may ask, and the statuses that
// bad input is answered with.
func TestDescriptionHasAllRoutes(t *testing.T) {
	t.Parallel()
	doc := readDescription(t)
	type route struct {
		params           []string
		public, searches bool
	}
	routes := map[string]route{"get " + wellKnown: {public: true}, "get " + openAPI: {public: true}}
	for _, e := range new(Server).endpoints() {
		routes[strings.ToLower(e.method)+" "+e.path] = route{params: e.params, searches: e.searches}
	}
	described := map[string]operation{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			described[method+" "+path] = op
		}
	}
	if got, want := slices.Sorted(maps.Keys(described)), slices.Sorted(maps.Keys(routes)); !slices.Equal(got, want) {
		t.Errorf("described are\n%v\nroutes are\n%v", got, want)
	}
	ids := map[string]bool{}
	for at, op := range described {
		if op.OperationID == "" || ids[op.OperationID] {
			t.Errorf("%s: operationId %q is empty or taken", at, op.OperationID)
		}
		ids[op.OperationID] = true
		r := routes[at]
		var path, query, want []string
		for _, p := range doc.parameters(t, op) {
			name := p.Name
			if p.Schema.Type == "array" {
				name += "*"
			}
			switch p.In {
			case "path":
				path = append(path, p.Name)
			case "query":
				query = append(query, name)
			}
		}
		for _, m := range inPath.FindAllStringSubmatch(at, -1) {
			want = append(want, m[1])
		}
		slices.Sort(path)
		slices.Sort(want)
		if !slices.Equal(path, want) {
			t.Errorf("%s: parameters in the path are %v, want %v", at, path, want)
		}
		if slices.Sort(query); !slices.Equal(query, slices.Sorted(slices.Values(r.params))) {
			t.Errorf("%s: parameters of the query are %v, want %v", at, query, r.params)
		}
		if public := op.Security != nil && len(*op.Security) == 0; public != r.public {
			t.Errorf("%s: public is %v, want %v", at, public, r.public)
		}
		statuses := []string{"200"}
		if !r.public {
			statuses = append(statuses, "401", "429", "500", "503")
			statuses = append(statuses, refusals(at)...)
		}
		if r.searches {
			statuses = append(statuses, "403")
		}
		slices.Sort(statuses)
		if got := slices.Sorted(maps.Keys(op.Responses)); !slices.Equal(got, statuses) {
			t.Errorf("%s: answers are %v, and what bad inputs get is %v", at, got, statuses)
		}
		if (op.RequestBody != nil) != strings.HasPrefix(at, "post ") {
			t.Errorf("%s: a body, or none, is wrong", at)
		}
	}
}

// refusals are the statuses that the table of bad inputs wants of a route.
func refusals(at string) (all []string) {
	method, pattern, _ := strings.Cut(at, " ")
	path := regexp.MustCompile("^" + regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(pattern), `[^/]+`) + "$")
	for _, bad := range slices.Concat(badBodies(), badMembers(), badQueries()) {
		m := strings.ToLower(bad.method)
		if m == "" {
			m = "post"
		}
		address, _, _ := strings.Cut(bad.path, "?")
		status := strconv.Itoa(bad.status)
		if m == method && path.MatchString(address) && !slices.Contains(all, status) {
			all = append(all, status)
		}
	}
	// Every address with a body has it bounded and read in the same way.
	if method == "post" && !slices.Contains(all, "413") {
		all = append(all, "413")
	}
	return all
}

// TestDescriptionHasAllFields compares the schemas with the Go types, in both
// directions: names, kinds, and what is always there.
func TestDescriptionHasAllFields(t *testing.T) {
	t.Parallel()
	doc := readDescription(t)
	used := map[string]bool{}
	for name, s := range doc.Components.Schemas {
		note(used, s)
		if example, ok := answers[name]; ok {
			compareFields(t, name, s, reflect.TypeOf(example))
		} else if !slices.Contains(writtenByHand, name) {
			t.Errorf("schema %s: there is no Go type for it here", name)
		}
	}
	for _, methods := range doc.Paths {
		for _, op := range methods {
			if op.RequestBody != nil {
				note(used, op.RequestBody.Content["application/json"].Schema)
			}
			for _, r := range op.Responses {
				for _, c := range r.Content {
					note(used, c.Schema)
				}
			}
		}
	}
	used["Problem"] = true // through responses
	for _, name := range append(slices.Collect(maps.Keys(answers)), writtenByHand...) {
		if _, ok := doc.Components.Schemas[name]; !ok || !used[name] {
			t.Errorf("schema %s: is not there, or nothing speaks of it", name)
		}
	}
	for name := range used {
		if _, ok := doc.Components.Schemas[name]; !ok {
			t.Errorf("schema %s: is spoken of and not there", name)
		}
	}
}

// note collects what a schema refers to.
func note(used map[string]bool, s schema) {
	if s.Ref != "" {
		used[refName(s)] = true
	}
	for _, p := range s.Properties {
		note(used, p)
	}
	for _, one := range s.OneOf {
		note(used, one)
	}
	if s.Items != nil {
		note(used, *s.Items)
	}
	if s.AdditionalProperties != nil {
		note(used, *s.AdditionalProperties)
	}
}

func refName(s schema) string { return strings.TrimPrefix(s.Ref, "#/components/schemas/") }

func compareFields(t *testing.T, name string, s schema, of reflect.Type) {
	t.Helper()
	var fields, required []string
	for i := range of.NumField() {
		tag, options, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		fields = append(fields, tag)
		if options == "" {
			required = append(required, tag)
		}
		property, ok := s.Properties[tag]
		if want := kindOf(of.Field(i).Type); ok && kindIn(property) != want {
			t.Errorf("schema %s: %s is %s, want %s", name, tag, kindIn(property), want)
		}
	}
	slices.Sort(fields)
	slices.Sort(required)
	if got := slices.Sorted(maps.Keys(s.Properties)); !slices.Equal(got, fields) {
		t.Errorf("schema %s: has %v, and %v has %v", name, got, of, fields)
	}
	if got := slices.Sorted(slices.Values(s.Required)); !slices.Equal(got, required) {
		t.Errorf("schema %s: always has %v, and %v always has %v", name, got, of, required)
	}
}

// kindOf is what a Go type is in JSON; kindIn is what a schema says.
func kindOf(of reflect.Type) string {
	switch {
	case of == reflect.TypeFor[time.Time]():
		return "date-time"
	case of.Kind() == reflect.Pointer:
		return kindOf(of.Elem())
	case of.Kind() == reflect.Slice:
		return "array of " + kindOf(of.Elem())
	case of.Kind() == reflect.Map:
		return "map of " + kindOf(of.Elem())
	case of.Kind() == reflect.Struct:
		for name, example := range answers {
			if reflect.TypeOf(example) == of {
				return name
			}
		}
	case of.Kind() == reflect.String:
		return "string"
	case of.Kind() == reflect.Bool:
		return "boolean"
	case of.Kind() == reflect.Int:
		return "integer"
	}
	return of.String()
}

func kindIn(s schema) string {
	switch {
	case s.Ref != "":
		return refName(s)
	case s.Format != "":
		return s.Format
	case s.Items != nil:
		return "array of " + kindIn(*s.Items)
	case s.AdditionalProperties != nil:
		return "map of " + kindIn(*s.AdditionalProperties)
	}
	return s.Type
}

// TestDecisionsAreAsDescribed holds that what is written by hand has the members
// that its schema says, and no others.
func TestDecisionsAreAsDescribed(t *testing.T) {
	onBoth(t, func(t *testing.T, r *rig) {
		doc := readDescription(t)
		check := func(name string, v any) {
			t.Helper()
			object, _ := v.(map[string]any)
			s := doc.Components.Schemas[name]
			for member := range object {
				if _, ok := s.Properties[member]; !ok {
					t.Errorf("%s has a member %s, which is not described", name, member)
				}
			}
			for _, member := range s.Required {
				if _, ok := object[member]; !ok {
					t.Errorf("%s has no member %s: %v", name, member, v)
				}
			}
		}
		seen := map[string]bool{}
		for _, body := range []string{
			ask(user("ann"), "timesheet.view", site("berlin", "")), ask(user("nobody"), "timesheet.view", site("berlin", ""), `,"context":{"explain":true}`),
		} {
			got := r.send(t, "POST", evaluation, r.plain, body)
			check("Decision", got.doc)
			check("DecisionContext", got.doc["context"])
			for member := range got.doc["context"].(map[string]any) {
				seen[member] = true
			}
		}
		got := r.send(t, "POST", evaluations, r.plain, `{"evaluations":[5]}`)
		check("Decisions", got.doc)
		check("DecisionContext", got.at("evaluations", 0, "context"))
		for member := range got.at("evaluations", 0, "context").(map[string]any) {
			seen[member] = true
		}
		if want := slices.Sorted(maps.Keys(doc.Components.Schemas["DecisionContext"].Properties)); !slices.Equal(slices.Sorted(maps.Keys(seen)), want) {
			t.Errorf("contexts had %v, described are %v", slices.Sorted(maps.Keys(seen)), want)
		}
		// The description is served as it is.
		if got := r.send(t, "GET", openAPI, "", ""); got.raw != string(description) {
			t.Errorf("GET %s: got %d with %d bytes, want the %d of the file", openAPI, got.status, len(got.raw), len(description))
		}
	})
}
