package main

import (
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

// The floor is the least that a server on this database can do: one insert and
// one commit for a POST, one indexed read for a GET; no validation, no audit, no
// history, no filter. What Gatehouse costs beside it is the price of those.
const (
	floorCommand = "floor"
	floorToken   = "floor"
)

// serveFloor answers POST /Users and GET /Users/{id} until the process is killed.
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

// newFloor opens the database with the drivers, pools and durability that
// Gatehouse has, so that the two differ by nothing below database/sql.
func newFloor(database string) (http.Handler, error) {
	const table = `CREATE TABLE IF NOT EXISTS users (id text PRIMARY KEY, user_name text NOT NULL UNIQUE, doc text NOT NULL)`
	var read, write *sql.DB
	var err error
	if file, ok := strings.CutPrefix(database, "sqlite://"); ok {
		dsn := "file:" + file + "?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
		if write, err = openPool("sqlite", dsn, 1); err != nil {
			return nil, err
		}
		if read, err = openPool("sqlite", dsn, 4); err != nil {
			return nil, err
		}
	} else {
		if write, err = openPool("postgres", database, 20); err != nil {
			return nil, err
		}
		read = write
	}
	if _, err := write.Exec(table); err != nil {
		return nil, err
	}
	insert, err := write.Prepare(`INSERT INTO users (id, user_name, doc) VALUES ($1, $2, $3)`)
	if err != nil {
		return nil, err
	}
	find, err := read.Prepare(`SELECT doc FROM users WHERE id = $1`)
	if err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /Users", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var user struct{ UserName string }
		if err == nil {
			err = json.Unmarshal(body, &user)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		id := uuid.Must(uuid.NewV7()).String()
		doc := fmt.Appendf(nil, `{"id":%q,%s`, id, body[1:])
		if _, err := insert.Exec(id, user.UserName, string(doc)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/scim+json")
		w.WriteHeader(http.StatusCreated)
		w.Write(doc)
	})
	mux.HandleFunc("GET /Users/{id}", func(w http.ResponseWriter, r *http.Request) {
		var doc []byte
		err := find.QueryRow(r.PathValue("id")).Scan(&doc)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			http.NotFound(w, r)
			return
		case err != nil:
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/scim+json")
		w.Write(doc)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+floorToken {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}), nil
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
