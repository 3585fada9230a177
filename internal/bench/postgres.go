package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"gatehouse/internal/pgtest"
)

// postgres is a PostgreSQL of our own, with fsync and synchronous commits; each
// server has a database of its own in it.
type postgres struct {
	*pgtest.Server
	pid int // of its first process, the parent of all others
}

func startPostgres(ctx context.Context, dir string) (*postgres, error) {
	server, err := pgtest.Start(dir)
	if err != nil {
		return nil, err
	}
	p := &postgres{Server: server}
	if err := p.prepare(ctx); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

func (p *postgres) prepare(ctx context.Context) error {
	db, err := sql.Open("postgres", p.URL("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	for _, setting := range []string{"fsync", "synchronous_commit"} {
		var value string
		if err := db.QueryRowContext(ctx, "SELECT current_setting($1)", setting).Scan(&value); err != nil {
			return err
		}
		if value != "on" {
			return fmt.Errorf("PostgreSQL runs with %s = %s: its figures would mean nothing", setting, value)
		}
	}
	var backend int
	if err := db.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		return err
	}
	p.pid, err = parentOf(backend)
	return err
}

// create makes an empty database.
func (p *postgres) create(ctx context.Context, name string) (url string, err error) {
	return p.URL(name), execute(ctx, p.URL("postgres"), `CREATE DATABASE "`+name+`"`)
}

// settle does what autovacuum would do a minute after a large load, so that a
// round isn't measured while it happens.
func (p *postgres) settle(ctx context.Context, url string) error {
	return execute(ctx, url, "VACUUM ANALYZE")
}

func execute(ctx context.Context, url, statement string) error {
	db, err := sql.Open("postgres", url)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}
