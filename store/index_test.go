package store_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gatehouse/access"
	"gatehouse/store"

	"github.com/lib/pq"
)

// TestProbesUseAnIndex holds that what identity providers ask before every write
// reads a handful of rows of a large directory, also when nobody is found.
func TestProbesUseAnIndex(t *testing.T) {
	onBoth(t, func(t *testing.T, url string) {
		s := open(t, url, store.Options{})
		p := acme(t, s)
		ctx := t.Context()
		var last store.User
		var lastGroup store.Group
		var ids []store.UserID
		p.write(t, func(tx *store.Tx) error {
			for i := range 2000 {
				u := person(fmt.Sprintf("user%04d", i), true)
				if i%2 == 0 {
					u.ExternalID = "" // half of them have none: one very common value
					u.Doc = fmt.Appendf(nil, `{"userName":%q}`, u.UserName)
				}
				var err error
				if last, err = tx.CreateUser(ctx, p.ref, u); err != nil {
					return err
				}
				ids = append(ids, last.ID)
				if lastGroup, _, err = tx.CreateGroup(ctx, p.ref, team("group "+u.UserName), []store.MemberID{store.MemberID(last.ID)}); err != nil {
					return err
				}
			}
			return nil
		})
		db := raw(t, url)
		if !isSQLite(url) { // SQLite's statistics come with the schema
			mustExec(t, db, `ANALYZE`)
		}

		eq := func(value string, path ...string) store.Filter {
			return store.Compare{Attr: store.Attr{Path: path, Multi: len(path) == 2}, Op: store.Equal, Value: value}
		}
		one := func(f store.Filter) store.Query { return store.Query{Filter: f, Limit: 100} }
		sorted := func(path string, descending bool, after string) store.Query {
			q := store.Query{Sort: store.Sort{Attr: store.Attr{Path: []string{path}}, Descending: descending}, Limit: 10}
			if after != "" {
				q.After, q.AfterKey = string(last.ID), &after
			}
			return q
		}
		for _, c := range []struct {
			what   string
			groups bool
			q      store.Query
			sqlite string // what the index must be asked for
		}{
			{"userName", false, one(eq("user1999", "username")), "user_name_key=?"},
			{"userName of nobody", false, one(eq("nobody", "username")), "user_name_key=?"},
			{"externalId", false, one(eq("x-user1999", "externalid")), "external_id=?"},
			{"externalId of nobody", false, one(eq("x-nobody", "externalid")), "external_id=?"},
			{"displayName", false, one(eq("user1999", "displayname")), "display_name_key=?"},
			{"emails.value", false, one(eq("user1999@corp.example", "emails", "value")), "value_key=?"},
			{"emails.value of nobody", false, one(eq("nobody@corp.example", "emails", "value")), "value_key=?"},
			{"emails[value eq]", false, one(store.Some{Attr: store.Attr{Path: []string{"emails"}}, Where: eq("user1999@corp.example", "value")}), "value_key=?"},
			{"id", false, one(eq(string(last.ID), "id")), "id=?"},
			{"userName and active", false, one(store.And{eq("user1999", "username"), store.Compare{Attr: store.Attr{Path: []string{"active"}}, Op: store.Equal, Value: true}}), "user_name_key=?"},
			{"the page behind a user", false, store.Query{After: string(last.ID), Limit: 5}, "id>?"},
			{"a group's displayName", true, one(eq("group user1999", "displayname")), "display_name_key=?"},
			{"a group's externalId, of none", true, one(eq("x", "externalid")), "external_id=?"},
			{"members.value", true, one(eq(string(last.ID), "members", "value")), "user_id=?"},
			{"members[value eq and type eq]", true, one(store.Some{Attr: store.Attr{Path: []string{"members"}}, Where: store.And{eq("user", "type"), eq(string(last.ID), "value")}}), "user_id=?"},
			{"one of members[value eq or value eq]", true, one(store.Some{Attr: store.Attr{Path: []string{"members"}}, Where: store.Or{eq(string(last.ID), "value"), eq(string(ids[7]), "value")}}), "user_id=?"},
			{"groups[value eq and type eq]", false, one(store.Some{Attr: store.Attr{Path: []string{"groups"}}, Where: store.And{eq("direct", "type"), eq(string(lastGroup.ID), "value")}}), "group_id=?"},
			{"sorted by id, descending", false, sorted("id", true, ""), "tenant_id=?"},
			{"sorted by userName", false, sorted("username", false, ""), "connection_id=?"},
			{"sorted by userName, descending", false, sorted("username", true, ""), "connection_id=?"},
			{"the page behind a userName", false, sorted("username", false, "user1000"), "user_name_key>?"},
			{"the page before a userName", false, sorted("username", true, "user1000"), "user_name_key<?"},
			{"groups sorted by displayName", true, sorted("displayname", false, ""), "connection_id=?"},
			{"the page behind a group's displayName", true, sorted("displayname", false, "group user1000"), "display_name_key>?"},
			{"id and members.value", true, one(store.And{eq(string(last.ID), "members", "value"), eq(string(last.ID), "id")}), "id=?"},
		} {
			if store.SortScans(c.q.Sort, c.groups) {
				t.Errorf("%s: said to look at everybody, want an index to have the order", c.what)
			}
			query, args := s.UsersQuery(p.ref, c.q)
			if c.groups {
				query, args = s.GroupsQuery(p.ref, c.q)
			}
			if isSQLite(url) {
				plan := sqlitePlan(t, db, query, args)
				if !strings.Contains(plan, c.sqlite) || strings.Contains(plan, "SCAN u") || strings.Contains(plan, "SCAN g") || strings.Contains(plan, "SCAN m") || c.q.Sort.Attr.Path != nil && strings.Contains(plan, "TEMP B-TREE") {
					t.Errorf("%s: got plan\n%swant a search by %s", c.what, plan, c.sqlite)
				}
				continue
			}
			if rows, plan := postgresRows(t, db, query, args); rows > 30 || c.q.Sort.Attr.Path != nil && strings.Contains(plan, `"Sort"`) {
				t.Errorf("%s: %v rows read, want a handful, of sorted ones in the order of the index:\n%s", c.what, rows, plan)
			}
		}
		check := func(what, query string, args []any) {
			t.Helper()
			if isSQLite(url) {
				if plan := sqlitePlan(t, db, query, args); regexp.MustCompile(`SCAN (u|m|s|e|p|r|grants|users)\b`).MatchString(plan) {
					t.Errorf("%s: got plan\n%swant no table read through", what, plan)
				}
			} else if rows, plan := postgresRows(t, db, query, args); rows > 30 {
				t.Errorf("%s: %v rows read, want a handful:\n%s", what, rows, plan)
			}
		}
		groups, err := s.GroupsPage(ctx, p.ref.Tenant, store.GroupFilter{Text: "group user1000"}, store.GroupKey{}, 1)
		if err != nil || len(groups) != 1 {
			t.Fatalf("a group: got %v, %v", groups, err)
		}
		for what, make := range s.RecordQueries(p.ref, ids[1500], groups[0]) {
			query, args := make()
			check(what, query, args)
		}
		var grants []access.Grant
		subjects := map[string]store.Who{"id": {ID: last.ID}, "userName": {UserName: "user1999"}, "e-mail": {Email: "user1999@corp.example"}, "nobody": {UserName: "nobody"}}
		for _, id := range ids[1000:] {
			toHer, toAll := access.ConsoleBaseline(""), access.ConsoleBaseline("")
			toHer.Subject = access.Grantee{User: access.UserID(id)}
			grants = append(grants, toHer, toAll)
		}
		p.write(t, func(tx *store.Tx) error {
			_, err := tx.AddGrants(ctx, grants...)
			return err
		})
		mustExec(t, db, `ANALYZE`)
		for what, who := range subjects {
			queries, args := s.SubjectQueries(p.ref.Tenant, who)
			for _, query := range queries {
				check("subject by "+what, query, args)
			}
		}
		var secret string
		p.write(t, func(tx *store.Tx) (err error) {
			for _, id := range ids[:200] {
				if _, secret, err = tx.CreateSession(ctx, store.Session{UserID: id, Method: store.MethodOIDC}); err != nil {
					return err
				}
			}
			return nil
		})
		mustExec(t, db, `ANALYZE`)
		query, args := s.SessionQuery(secret)
		if !isSQLite(url) { // as text it is read like this
			args[0] = fmt.Sprintf(`\x%x`, args[0])
			for i := range args[1:] {
				args[i+1] = args[i+1].(store.Instant).UnixMilli()
			}
		}
		check("session", query, args)
		check("rights in the console", s.GuardQuery(), []any{p.ref.Tenant, ids[7]})
		for path, groups := range map[string]bool{"title": false, "displayname": false, "externalid": true, "meta.created": true} {
			if by := (store.Sort{Attr: store.Attr{Path: strings.Split(path, ".")}}); !store.SortScans(by, groups) {
				t.Errorf("sorted by %s: said to be in the order of an index, and there is none", path)
			}
		}
	})
}

func sqlitePlan(t *testing.T, db *sql.DB, query string, args []any) (plan string) {
	t.Helper()
	rows, err := db.Query("EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan += detail + "\n"
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}

// postgresRows runs a query until PostgreSQL may plan it for values it doesn't
// know (after five times), and gives how many rows all its scans looked at.
func postgresRows(t *testing.T, db *sql.DB, query string, args []any) (float64, string) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var values []string
	for _, a := range args {
		values = append(values, pq.QuoteLiteral(fmt.Sprint(a)))
	}
	var text string
	execute := "EXECUTE probe (" + strings.Join(values, ", ") + ")"
	for _, statement := range append([]string{"DEALLOCATE ALL", "PREPARE probe AS " + query}, slices.Repeat([]string{execute}, 6)...) {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	explain := "EXPLAIN (ANALYZE, FORMAT JSON) " + execute
	if err := conn.QueryRowContext(t.Context(), explain).Scan(&text); err != nil {
		t.Fatalf("%s: %v", explain, err)
	}
	var plans []struct{ Plan planNode }
	if err := json.Unmarshal([]byte(text), &plans); err != nil {
		t.Fatal(err)
	}
	return plans[0].Plan.read(), text
}

type planNode struct {
	Type    string  `json:"Node Type"`
	Rows    float64 `json:"Actual Rows"`
	Loops   float64 `json:"Actual Loops"`
	Removed float64 `json:"Rows Removed by Filter"`
	Recheck float64 `json:"Rows Removed by Index Recheck"`
	Plans   []planNode
}

func (n planNode) read() float64 {
	var rows float64
	if strings.Contains(n.Type, "Scan") {
		rows = (n.Rows + n.Removed + n.Recheck) * n.Loops
	}
	for _, p := range n.Plans {
		rows += p.read()
	}
	return rows
}
