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

// logFiles of 16 MiB are the 4 GB that PostgreSQL keeps for its write-ahead log when it is set
// up as docs/operate.md says. In a new cluster each large change would make some, while every
// commit waits.
const logFiles = 256

func startPostgres(ctx context.Context, dir string) (*postgres, error) {
	server, err := pgtest.Start(dir, "min_wal_size=4GB", "max_wal_size=4GB")
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
	if p.pid, err = parentOf(backend); err != nil {
		return err
	}
	return useLogFiles(ctx, db)
}

// useLogFiles makes the cluster's log as one is that has been in use for a while: its
// files are there to be used again.
func useLogFiles(ctx context.Context, db *sql.DB) error {
	for range logFiles {
		if _, err := db.ExecContext(ctx, "SELECT pg_logical_emit_message(false, '', ''), pg_switch_wal()"); err != nil {
			return err
		}
	}
	_, err := db.ExecContext(ctx, "CHECKPOINT")
	return err
}

// create makes an empty database.
func (p *postgres) create(ctx context.Context, name string) (url string, err error) {
	return p.URL(name), execute(ctx, p.URL("postgres"), `CREATE DATABASE "`+name+`"`)
}

// settle does what autovacuum and the checkpointer would do minutes after a large load, so
// that a round isn't measured while they do, nor while the log grows since the load used up
// its files.
func (p *postgres) settle(ctx context.Context, url string) error {
	return errors.Join(execute(ctx, url, "VACUUM ANALYZE"), execute(ctx, url, "CHECKPOINT"))
}

func execute(ctx context.Context, url, statement string) error {
	db, err := sql.Open("postgres", url)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, statement)
	return errors.Join(err, db.Close())
}
