package scim

import (
	"net/http/httptest"
	"reflect"
	"testing"

	scimerr "github.com/elimity-com/scim/errors"
)

func TestSearchRequestsAreQueries(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{}`: "",
		`{"attributes":["userName","name.givenName"],"count":10,"cursor":""}`:  "attributes=userName%2Cname.givenName&count=10&cursor=",
		`{"FILTER":"a eq \"b\"","sortBy":"userName","sortOrder":"descending"}`: "filter=a+eq+%22b%22&sortBy=userName&sortOrder=descending",
		`{"startIndex":"3","cursor":null,"nope":[{}]}`:                         "startIndex=3",
	} {
		got, err := searchQuery(mustDecode(t, body))
		if err != nil || got.Encode() != want {
			t.Errorf("%s: got %q, %v, want %q", body, got.Encode(), err, want)
		}
	}
}

var searchSeeds = []string{`{}`, `{"attributes":["a","b,c"],"filter":"userName pr","startIndex":1,"count":"2","cursor":null}`,
	`{"Count":1e3}`, `{"filter":"members eq \"x\" or userName eq \"y\"","sortBy":"name.familyName","sortOrder":"descending"}`, `{"attributes":[[]]}`}

func FuzzSearchRequest(f *testing.F) {
	for _, s := range searchSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(checkSearch)
}

// checkSearch checks what holds for all bytes.
func checkSearch(t *testing.T, data []byte) {
	edge := &Server{cursorKey: []byte("key")}
	body, err := decodeObject(data)
	if err != nil {
		return
	}
	query, err := searchQuery(body)
	if err != nil {
		if scimType(err) != scimerr.ScimTypeInvalidValue {
			t.Errorf("got %v, want invalidValue", err)
		}
		return
	}
	r := httptest.NewRequest("GET", "/?"+query.Encode(), nil)
	if again, err := queryOf(r); err != nil || !reflect.DeepEqual(again, query) {
		t.Errorf("got %v, %v as a GET, want %v", again, err, query)
	}
	if query.Get("cursor") != "" {
		return // FuzzCursor
	}
	p, err := edge.rootQuery(caller{}, query)
	if scimType(err) == "?" {
		t.Errorf("got %v, want a SCIM error", err)
	}
	_, asUsers := userType.parseFilter(query.Get("filter"))
	_, asGroups := groupType.parseFilter(query.Get("filter"))
	if query.Get("filter") != "" && err != nil && scimType(err) == scimerr.ScimTypeInvalidFilter && (asUsers == nil || asGroups == nil) {
		t.Errorf("filter %q is good for one kind, and not for both: %v", query.Get("filter"), err)
	}
	if err == nil && (p.Limit < 0 || p.Offset < 0 || p.count > DefaultMaxPage) {
		t.Errorf("got %+v", p.listQuery)
	}
}
