package scim

import (
	"strings"
	"testing"

	"gatehouse/access"
	"gatehouse/store"
)

// The provider may take away anybody but the last owner, and is told what to do
// about that one.
func TestLastOwnerStays(t *testing.T) {
	t.Parallel()
	p := newRig(t)
	ctx := t.Context()
	create := func(name string) string {
		t.Helper()
		status, user := p.do(ctx, "POST", "/Users", `{"userName":"`+name+`"}`)
		if status != 201 {
			t.Fatalf("create %s: got %d %v", name, status, user)
		}
		return user["id"].(string)
	}
	own := func(id string) {
		t.Helper()
		err := p.store.Write(ctx, store.Actor{Tenant: p.conn.Tenant, Kind: store.ActorCLI}, func(tx *store.Tx) error {
			_, err := tx.AddGrants(ctx, access.Grant{Subject: access.Grantee{User: access.UserID(id)}, Effect: access.Allow,
				Product: access.ConsoleID, Role: access.RoleOwner, Scope: access.Scope{Everywhere: true}, Origin: access.OriginDirect})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	ann, bob := create("ann"), create("bob")
	own(ann)
	const off = `{"Operations":[{"op":"Replace","path":"active","value":"False"}]}`
	ways := []struct{ method, body string }{
		{"PATCH", off},
		{"PUT", `{"userName":"ann","active":false}`},
		{"DELETE", ""},
	}
	for _, way := range ways {
		status, answer := p.do(ctx, way.method, "/Users/"+ann, way.body)
		detail, _ := answer["detail"].(string)
		if status != 409 || !strings.Contains(detail, "last owner") || answer["scimType"] != nil {
			t.Errorf("%s of the last owner: got %d %v, want 409 with what to do", way.method, status, answer)
		}
		if status, user := p.do(ctx, "GET", "/Users/"+ann, ""); status != 200 || user["active"] != true {
			t.Errorf("after %s: got %d %v, want her as she was", way.method, status, user)
		}
	}
	status, answer := p.do(ctx, "POST", "/Bulk", `{"Operations":[{"method":"DELETE","path":"/Users/`+ann+`"}]}`)
	if results, _ := answer["Operations"].([]any); status != 200 || len(results) != 1 || results[0].(document)["status"] != "409" {
		t.Errorf("in bulk: got %d %v, want 409 for it", status, answer)
	}
	if status, answer := p.do(ctx, "PATCH", "/Users/"+ann, `{"Operations":[{"op":"replace","path":"title","value":"CEO"}]}`); status != 200 {
		t.Errorf("another change of the last owner: got %d %v", status, answer)
	}
	own(bob)
	for _, way := range ways {
		if status, answer := p.do(ctx, way.method, "/Users/"+ann, way.body); status >= 300 {
			t.Errorf("%s with another owner: got %d %v", way.method, status, answer)
		}
	}
}
