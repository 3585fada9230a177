package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/google/uuid"
	_ "github.com/lib/pq"
	_ "modernc.org/sqlite"
)

// The floor is the least that a server on this database can do: one commit for a
// write, one indexed read for a GET; no validation, no audit, no history, and no
// other filter than an equality that an index answers. What Gatehouse costs
// beside it is the price of those.
const (
	floorCommand = "floor"
	floorToken   = "floor"
)

// serveFloor answers until the process is killed.
func serveFloor(database string) error {
	h, err := newFloor(database)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	slog.New(slog.NewJSONHandler(os.Stderr, nil)).Info("listening", "addr", l.Addr().String())
	return http.Serve(l, h)
}

// floor is the server and its prepared statements.
type floor struct {
	read, write                                *sql.DB
	insertUser, user, userNamed                *sql.Stmt
	insertGroup, groupNamed, members           *sql.Stmt
	addMembers, removeMember, touch, loadUsers *sql.Stmt
}

// floorTables are the floor's; a membership is a row that both sides find.
const floorTables = `
CREATE TABLE IF NOT EXISTS users (id %[1]s PRIMARY KEY, user_name text NOT NULL UNIQUE, doc text NOT NULL);
CREATE TABLE IF NOT EXISTS groups (id %[1]s PRIMARY KEY, display_name text NOT NULL UNIQUE, version integer NOT NULL);
CREATE TABLE IF NOT EXISTS members (group_id %[1]s NOT NULL, user_id %[1]s NOT NULL, PRIMARY KEY (group_id, user_id)) %[2]s;
CREATE INDEX IF NOT EXISTS members_by_user ON members (user_id, group_id);`

// openFloor opens the database with the drivers, pools and durability that
// Gatehouse has, so that the two differ by nothing below database/sql.
func openFloor(database string) (*floor, error) {
	f := &floor{}
	var err error
	prepare := func(db *sql.DB, query string) (st *sql.Stmt) {
		if err == nil {
			st, err = db.Prepare(query)
		}
		return st
	}
	if file, ok := strings.CutPrefix(database, "sqlite://"); ok {
		dsn := "file:" + file + "?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
		if f.write, err = openPool("sqlite", dsn, 1); err != nil {
			return nil, err
		}
		if f.read, err = openPool("sqlite", dsn, 4); err != nil {
			return nil, err
		}
		if _, err := f.write.Exec(fmt.Sprintf(floorTables, "text", "WITHOUT ROWID")); err != nil {
			return nil, err
		}
		f.addMembers = prepare(f.write, `INSERT INTO members SELECT $1, value FROM json_each($2) WHERE TRUE ON CONFLICT DO NOTHING`)
		f.removeMember = prepare(f.write, `DELETE FROM members WHERE group_id = $1 AND user_id = $2`)
		f.touch = prepare(f.write, `UPDATE groups SET version = version + 1 WHERE id = $1`)
		f.loadUsers = prepare(f.write, `INSERT INTO users SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1)`)
	} else {
		if f.write, err = openPool("postgres", database, 20); err != nil {
			return nil, err
		}
		f.read = f.write
		if _, err := f.write.Exec(fmt.Sprintf(floorTables, "uuid", "")); err != nil {
			return nil, err
		}
		// Both changes in one statement: one round trip, one commit.
		const touch = ` UPDATE groups SET version = version + 1 WHERE id = $1`
		f.addMembers = prepare(f.write, `WITH added AS (INSERT INTO members
			SELECT $1, CAST(value AS uuid) FROM jsonb_array_elements_text(CAST($2 AS jsonb)) value ON CONFLICT DO NOTHING)`+touch)
		f.removeMember = prepare(f.write, `WITH removed AS (DELETE FROM members WHERE group_id = $1 AND user_id = $2)`+touch)
		f.loadUsers = prepare(f.write, `INSERT INTO users
			SELECT CAST(value ->> 0 AS uuid), value ->> 1, value ->> 2 FROM jsonb_array_elements(CAST($1 AS jsonb)) value`)
	}
	f.insertUser = prepare(f.write, `INSERT INTO users (id, user_name, doc) VALUES ($1, $2, $3)`)
	f.user = prepare(f.read, `SELECT doc FROM users WHERE id = $1`)
	f.userNamed = prepare(f.read, `SELECT doc FROM users WHERE user_name = $1`)
	f.insertGroup = prepare(f.write, `INSERT INTO groups (id, display_name, version) VALUES ($1, $2, 1)`)
	f.groupNamed = prepare(f.read, `SELECT '{"id":"' || id || '"}' FROM groups WHERE display_name = $1`)
	f.members = prepare(f.read, `SELECT user_id FROM members WHERE group_id = $1`)
	return f, err
}

func openPool(driver, dsn string, conns int) (*sql.DB, error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

func (f *floor) close() error { return errors.Join(f.read.Close(), f.write.Close()) }

// newFloor is the floor as a handler.
func newFloor(database string) (http.Handler, error) {
	f, err := openFloor(database)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		"POST /Users":        f.postUser,
		"GET /Users":         f.find(f.userNamed),
		"GET /Users/{id}":    f.getUser,
		"POST /evaluation":   f.postEvaluation,
		"POST /Groups":       f.postGroup,
		"GET /Groups":        f.find(f.groupNamed),
		"GET /Groups/{id}":   f.getGroup,
		"PATCH /Groups/{id}": f.patchGroup,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			err := handle(w, r)
			switch {
			case errors.Is(err, sql.ErrNoRows):
				http.NotFound(w, r)
			case err != nil:
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+floorToken {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}), nil
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// floorDoc is a body with an id in front.
func floorDoc(id string, body []byte) []byte { return fmt.Appendf(nil, `{"id":%q,%s`, id, body[1:]) }

// readJSON reads the whole body and what v wants of it.
func readJSON(r *http.Request, v any) (body []byte, err error) {
	if body, err = io.ReadAll(r.Body); err != nil {
		return nil, err
	}
	return body, json.Unmarshal(body, v)
}

func answer(w http.ResponseWriter, status int, doc []byte) error {
	w.Header().Set("Content-Type", "application/scim+json")
	w.WriteHeader(status)
	w.Write(doc)
	return nil
}

func (f *floor) postUser(w http.ResponseWriter, r *http.Request) error {
	var user struct{ UserName string }
	body, err := readJSON(r, &user)
	if err != nil {
		return err
	}
	id := newID()
	doc := floorDoc(id, body)
	if _, err := f.insertUser.Exec(id, user.UserName, string(doc)); err != nil {
		return err
	}
	return answer(w, http.StatusCreated, doc)
}

func (f *floor) getUser(w http.ResponseWriter, r *http.Request) error {
	var doc []byte
	if err := f.user.QueryRow(r.PathValue("id")).Scan(&doc); err != nil {
		return err
	}
	return answer(w, http.StatusOK, doc)
}

// postEvaluation decides yes about everybody whom it finds.
func (f *floor) postEvaluation(w http.ResponseWriter, r *http.Request) error {
	var asked struct{ Subject struct{ ID string } }
	if _, err := readJSON(r, &asked); err != nil {
		return err
	}
	var doc []byte
	if err := f.user.QueryRow(asked.Subject.ID).Scan(&doc); err != nil {
		return err
	}
	return answer(w, http.StatusOK, []byte(`{"decision":true,"context":{}}`))
}

// find answers a filter of the form: name eq "value".
func (f *floor) find(named *sql.Stmt) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		var doc []byte
		_, value, _ := strings.Cut(r.URL.Query().Get("filter"), `"`)
		err := named.QueryRow(strings.TrimSuffix(value, `"`)).Scan(&doc)
		if errors.Is(err, sql.ErrNoRows) {
			return answer(w, http.StatusOK, []byte(`{"totalResults":0}`))
		}
		if err != nil {
			return err
		}
		return answer(w, http.StatusOK, fmt.Appendf(nil, `{"totalResults":1,"Resources":[%s]}`, doc))
	}
}

func (f *floor) postGroup(w http.ResponseWriter, r *http.Request) error {
	var group struct{ DisplayName string }
	body, err := readJSON(r, &group)
	if err != nil {
		return err
	}
	id := newID()
	if _, err := f.insertGroup.Exec(id, group.DisplayName); err != nil {
		return err
	}
	return answer(w, http.StatusCreated, floorDoc(id, body))
}

// patchGroup understands the two operations that the load sends.
func (f *floor) patchGroup(w http.ResponseWriter, r *http.Request) error {
	var patch struct {
		Operations []struct {
			Op, Path string
			Value    []struct{ Value string }
		}
	}
	if _, err := readJSON(r, &patch); err != nil {
		return err
	}
	group := r.PathValue("id")
	for _, op := range patch.Operations {
		change, with := f.addMembers, ""
		if op.Op == "remove" {
			_, with, _ = strings.Cut(op.Path, `"`)
			change, with = f.removeMember, strings.TrimSuffix(with, `"]`)
		} else {
			ids := make([]string, len(op.Value))
			for i, v := range op.Value {
				ids[i] = v.Value
			}
			list, _ := json.Marshal(ids) // strings
			with = string(list)
		}
		if err := f.change(change, group, with); err != nil {
			return err
		}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// change is one commit.
func (f *floor) change(st *sql.Stmt, group, with string) error {
	if f.touch == nil { // the statement does it as well
		_, err := st.Exec(group, with)
		return err
	}
	tx, err := f.write.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.Stmt(st).Exec(group, with); err != nil {
		return err
	}
	if _, err := tx.Stmt(f.touch).Exec(group); err != nil {
		return err
	}
	return tx.Commit()
}

// getGroup streams the members, unless they are excluded.
func (f *floor) getGroup(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/scim+json")
	out := fmt.Appendf(nil, `{"id":%q`, r.PathValue("id"))
	if r.URL.RawQuery == "" {
		rows, err := f.members.Query(r.PathValue("id"))
		if err != nil {
			return err
		}
		defer rows.Close()
		out = append(out, `,"members":[`...)
		var user sql.RawBytes
		for next := ""; rows.Next(); next = "," {
			if err := rows.Scan(&user); err != nil {
				return err
			}
			out = append(append(append(append(out, next...), `{"value":"`...), user...), `"}`...)
			if len(out) > 32<<10 {
				w.Write(out)
				out = out[:0]
			}
		}
		if err := rows.Err(); err != nil {
			panic(http.ErrAbortHandler) // part of the answer is on its way
		}
		out = append(out, ']')
	}
	w.Write(append(out, '}'))
	return nil
}

// loadFloor writes users as POST would, many with a statement.
func loadFloor(ctx context.Context, database string, from, to int) ([]string, error) {
	f, err := openFloor(database)
	if err != nil {
		return nil, err
	}
	ids := make([]string, to-from)
	for i := 0; i < len(ids) && err == nil; {
		rows := make([][3]string, 0, loadChunk)
		for ; len(rows) < loadChunk && i < len(ids); i++ {
			name := userName(from + i)
			ids[i] = newID()
			rows = append(rows, [3]string{ids[i], name + "@example.test", string(floorDoc(ids[i], userBody(name)))})
		}
		list, _ := json.Marshal(rows) // strings
		_, err = f.loadUsers.ExecContext(ctx, string(list))
	}
	return ids, errors.Join(err, f.close())
}
