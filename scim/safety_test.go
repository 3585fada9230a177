package scim

import "testing"

// What takes nothing away and lets nobody in, found by attacking the server.

func TestSlipsEmptyNoGroup(t *testing.T) {
	t.Parallel()
	group := document{"displayName": "Crew"}
	for _, test := range []struct {
		why, op string
		value   any
		given   bool
		want    bool // the group is emptied
	}{
		{why: "no value at all means all members", op: "remove", want: true},
		{why: "null is a client's slip", op: "remove", given: true},
		{why: "so is an empty text", op: "remove", value: "", given: true},
		{why: "an empty list removes nobody", op: "remove", value: []any{}, given: true},
		{why: "an empty list as replacement is meant", op: "replace", value: []any{}, given: true, want: true},
		{why: "null as replacement is a slip", op: "replace", given: true},
		{why: "so is an empty text", op: "replace", value: "", given: true},
	} {
		_, members, _, err := groupType.patch(group, []operation{{op: test.op, path: "members", value: test.value, given: test.given}})
		if err != nil || members.replace != test.want || len(members.add)+len(members.remove) > 0 {
			t.Errorf("%s: %s members %v: got %+v, %v, want emptied %v", test.why, test.op, test.value, members, err, test.want)
		}
	}
}

func TestHalfASurrogatePairIsRefused(t *testing.T) {
	t.Parallel()
	for body, good := range map[string]bool{
		`{"userName":"\ud83d\ude00"}`: true,
		`{"userName":"\\ud800"}`:      true,
		`{"userName":"\ud800"}`:       false,
		`{"userName":"\udc00"}`:       false,
		`{"userName":"\ud800\u0041"}`: false,
		`{"userName":"\ud800x"}`:      false,
		`{"\ud800":"x"}`:              false,
	} {
		if _, err := decode([]byte(body)); (err == nil) != good {
			t.Errorf("%s: got %v, want good %v", body, err, good)
		}
	}
}

func TestBlankNamesAreRefused(t *testing.T) {
	t.Parallel()
	for _, name := range []string{" ", "\n\t", "\u00a0"} {
		if _, _, _, err := userType.normalize(document{"userName": name}); err == nil {
			t.Errorf("userName %q was taken", name)
		}
		if _, _, _, err := groupType.normalize(document{"displayName": name}); err == nil {
			t.Errorf("displayName %q was taken", name)
		}
	}
}
