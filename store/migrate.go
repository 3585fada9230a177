package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"gatehouse/migrations"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

// Migrate brings the database at url to the newest schema, making the SQLite
// file if there is none, and gives the schema's number. When several processes
// start at once, one migrates and the others wait for it.
func Migrate(ctx context.Context, url string) (version int64, err error) {
	d, err := dialectOf(url)
	if err != nil {
		return 0, err
	}
	if err := makeFile(url); err != nil {
		return 0, err
	}
	read, write, err := d.open(url, Options{Connections: 2, Patient: true})
	if err != nil {
		return 0, err
	}
	defer write.close()
	if read != write {
		defer read.close()
	}

	p, err := provider(write.db.DB, d, true)
	if err != nil {
		return 0, err
	}
	// PostgreSQL has a lock for this. SQLite's writers queue for the file, so
	// that a late one finds the tables made and its second look says so. With many
	// at it, each migration can be made by another, and the file be locked at once.
	began, reached := time.Now(), int64(-1)
	for attempt := 0; ; attempt++ {
		if d == sqliteDialect {
			// Each migration waits for the disk otherwise. What a power failure takes back
			// is made again at the next start; it can't break the file (WAL).
			_, err = write.db.ExecContext(ctx, `PRAGMA synchronous = NORMAL`)
		}
		if err == nil {
			if version, err = p.GetDBVersion(ctx); err == nil && version > newest(p) {
				return version, tooNew(version, newest(p))
			}
		}
		if err == nil && version > reached {
			reached, attempt = version, 0
		}
		if err == nil {
			if _, err = p.Up(ctx); err == nil {
				return newest(p), restored(ctx, write)
			}
		}
		locked := d.retryable(err) && time.Since(began) < lockedFor
		if attempt >= 20 && !locked || ctx.Err() != nil || d.name == "postgres" {
			return 0, fmt.Errorf("migrate %s: %w", redactURL(url), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// lockedFor is how long Migrate waits for others who have locked an SQLite file.
const lockedFor = 30 * time.Second

// restored finds a log that another PostgreSQL server counted the transactions of,
// as after pg_restore, and lets what is there stand before all that comes. Cursors
// from before are no longer known (ErrCursor), or the log would seem to stand still.
func restored(ctx context.Context, p *pool) error {
	if p.dialect == sqliteDialect {
		return nil
	}
	var elsewhere bool
	err := p.db.GetContext(ctx, &elsewhere, `SELECT EXISTS (SELECT 1 FROM tenants t CROSS JOIN LATERAL
			(SELECT c.xid FROM changes c WHERE c.tenant_id = t.id ORDER BY c.xid DESC, c.id DESC LIMIT 1) newest
		WHERE newest.xid >= pg_snapshot_xmax(pg_current_snapshot()))`)
	if err == nil && elsewhere {
		err = resetOrder(ctx, p)
	}
	if err != nil {
		return fmt.Errorf("migrate: the order of the log: %w", err)
	}
	return nil
}

// restoredEnd is a cursor behind all that was sealed before a restore.
const restoredEnd = "0.ffffffff-ffff-ffff-ffff-ffffffffffff"

// resetOrder puts what is sealed first, and what isn't yet behind it: in the order
// of ids, since that of the transactions is known only to the seals.
func resetOrder(ctx context.Context, p *pool) error {
	tx, err := p.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // done already, or nothing more can be done
	for _, statement := range []string{
		`WITH ends AS (SELECT DISTINCT ON (tenant_id) tenant_id, CAST(split_part(cursor, '.', 1) AS xid8) AS xid, CAST(split_part(cursor, '.', 2) AS uuid) AS id
			FROM seals ORDER BY tenant_id, seq DESC)
		UPDATE changes c SET xid = CASE WHEN (c.xid, c.id) <= (e.xid, e.id) THEN CAST('0' AS xid8) ELSE CAST('1' AS xid8) END
		FROM tenants t LEFT JOIN ends e ON e.tenant_id = t.id WHERE c.tenant_id = t.id`,
		`UPDATE seals SET cursor = '` + restoredEnd + `'`,
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// sqliteFile is the file that a database URL names, if it names one.
func sqliteFile(url string) (string, bool) {
	file, ok := strings.CutPrefix(url, "sqlite://")
	file, _, _ = strings.Cut(file, "?")
	return file, ok && file != ""
}

// makeFile makes a SQLite file, and the folder that it is to stand in, for the
// eyes of the server's user only: it holds personal data.
func makeFile(url string) error {
	file, ok := sqliteFile(url)
	if !ok {
		return nil
	}
	if dir := filepath.Dir(file); dir != "." {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	// A file that is there stays closed: to close it would end every lock that this
	// process has on it (fcntl), and with them those of SQLite.
	making.Lock()
	defer making.Unlock()
	at, err := os.Stat(file) // of what a link leads to, which may not be there
	if err == nil && at.IsDir() {
		return fmt.Errorf("database-url: %s is a directory: name a file in it", file)
	}
	if err == nil {
		return nil
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("database-url: %w", err)
	}
	return f.Close()
}

// making is held while a file is made, so that nobody here opens it before.
var making sync.Mutex

func provider(db *sql.DB, d *dialect, locked bool) (*goose.Provider, error) {
	files, err := fs.Sub(migrations.FS, d.name)
	if err != nil {
		return nil, err
	}
	opts, dialect := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}, d.goose
	if d == sqliteDialect {
		versions, err := database.NewStore(dialect, goose.DefaultTablename)
		if err != nil {
			return nil, err
		}
		opts, dialect = append(opts, goose.WithStore(onlyOnce{versions})), goose.DialectCustom
	}
	if locked && d.name == "postgres" {
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120))
		if err != nil {
			return nil, err
		}
		opts = append(opts, goose.WithSessionLocker(locker))
	}
	return goose.NewProvider(dialect, db, files, opts...)
}

// onlyOnce notes no migration twice. Goose looks at what is missing before it begins,
// and one that another starter has made since then is taken back with its note; most
// fail by themselves, but some can be made twice.
type onlyOnce struct{ database.Store }

func (s onlyOnce) Insert(ctx context.Context, tx database.DBTxConn, r database.InsertRequest) error {
	switch _, err := s.GetMigration(ctx, tx, r.Version); {
	case err == nil:
		return fmt.Errorf("migration %d was made by another process meanwhile", r.Version)
	case !errors.Is(err, database.ErrVersionNotFound):
		return err
	}
	return s.Store.Insert(ctx, tx, r)
}

func newest(p *goose.Provider) int64 {
	sources := p.ListSources()
	return sources[len(sources)-1].Version
}

func tooNew(have, known int64) error {
	return fmt.Errorf("the database has schema %d, and this gatehouse knows %d: start the newer gatehouse, or restore the backup from before the upgrade", have, known)
}

// checkSchema refuses to work on any other schema than the newest known.
func checkSchema(ctx context.Context, db *sql.DB, d *dialect) error {
	p, err := provider(db, d, false)
	if err != nil {
		return err
	}
	var have int64
	// Asking goose would make its table; a missing table just means 0.
	err = db.QueryRowContext(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&have)
	if err != nil && !d.noTable(err) {
		return fmt.Errorf("database-url: %w", d.classify(err))
	}
	switch known := newest(p); {
	case have > known:
		return tooNew(have, known)
	case have < known:
		return fmt.Errorf("the database has schema %d, and this gatehouse needs %d: run 'gatehouse migrate'", have, known)
	}
	return nil
}
