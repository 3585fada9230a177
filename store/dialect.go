package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"
	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// dialect is everything in which the two databases differ.
type dialect struct {
	name  string
	goose goose.Dialect

	// forUpdate ends a SELECT whose rows the transaction is going to change.
	// forDelete does the same for rows that go, and keeps others from referring
	// to them.
	forUpdate string
	forDelete string
	// ids is a subquery that unfolds the one parameter made by idList.
	// idRows is the same as rows of a column id.
	ids    string
	idRows string
	// texts is the same as ids for texts.
	texts  string
	idList func([]string) any
	// packed puts the ids of rows together in their order, packedSize bytes for each;
	// unpacked is the id that such bytes are.
	packed     func(id string) string
	packedSize int
	unpacked   func([]byte) string
	// fewRows is idRows for a few ids as a JSON array. PostgreSQL would plan anew for
	// each array that it can look into, which takes longer than finding a few rows.
	fewRows string
	// each joins the rows w of idRows with the one row of a table, called u, that
	// fulfils a condition: one look into the index for each, whatever the statistics
	// say. On tables that were never analyzed PostgreSQL would rather compare each
	// row with each id.
	each func(table, condition string) string
	// membersOfWithin are rows m of a value: of each group in within the first members
	// behind an id. Its parameters are the tenant, that id and how many.
	membersOfWithin string
	// idParam is a parameter that is an id where the database can't tell.
	idParam string
	// clock is Tx.sharedNow in SQL, its parameter, in milliseconds.
	clock string
	// agreeing is the isolation of reads that see one state.
	agreeing sql.IsolationLevel
	// groupsOfUser is an expression for the JSON array of u's groups, in the order
	// of their ids, so that the same groups are the same text. Before it stands a +
	// when one of them may be within others.
	groupsOfUser string
	// indirectGroup is an element of that array for a group g which a user is in through
	// others only, and joined puts such elements, the column e of a query, one behind the
	// other.
	indirectGroup string
	joined        func(query string) string
	// digest is what Digest makes of a text.
	digest func(text string) string
	// wordRows is an INSERT of a row of user_words for each of some words. Its rows are
	// tenants and users with a JSON array of words, for the reason of fewRows.
	wordRows string
	// splitUsers are the rows that user_words must have.
	splitUsers string
	// elements unfolds a JSON array of the searchable document into rows of
	// e.value; elementText is a simple element as text.
	elements    func(array string) string
	elementText string
	// hasWord tests whether a word of a user u's names begins with a word, which is
	// given as wordPattern makes it.
	hasWord     string
	wordPattern func(word string) string
	// contains tests for a substring; number makes a number of text that is one;
	// binary makes text compare by bytes; boolean is what ->> gives for one.
	contains func(text string) string
	number   func(text string) string
	binary   func(text string) string
	boolean  func(bool) any

	// noTable says that a query named a table that does not exist.
	noTable func(error) bool
	// unique gives the violated unique constraint's columns or name.
	unique    func(error) (string, bool)
	retryable func(error) bool
	// down says whether the error means that the database can't be reached.
	down func(error) bool
}

func dialectOf(url string) (*dialect, error) {
	switch scheme, _, _ := strings.Cut(url, "://"); scheme {
	case "sqlite":
		return sqliteDialect, nil
	case "postgres", "postgresql":
		return postgresDialect, nil
	}
	return nil, fmt.Errorf("database-url %q: want sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME", redactURL(url))
}

// open connects to the database for reading and for writing; the two may be one.
func (d *dialect) open(url string, opts Options) (read, write *pool, err error) {
	if d == sqliteDialect {
		return openSQLite(url)
	}
	return openPostgres(url, opts)
}

// redactURL keeps a database URL's password out of logs and messages.
func redactURL(s string) string {
	if strings.HasPrefix(s, "sqlite:") {
		return s // a file's name, which may look like no URL
	}
	u, err := url.Parse(s)
	if err != nil {
		return "(unreadable)"
	}
	return u.Redacted()
}

// packedPage is how many ids are packed together: each page is a question of its own, and
// twice as many ids in one cost 1 MiB more of memory while a group is read.
func (d *dialect) packedPage() int { return 96_000 / d.packedSize }

// classify turns a driver's error into one of ours where callers care.
func (d *dialect) classify(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, sql.ErrConnDone), errors.Is(err, sql.ErrTxDone): // it ended under our hands
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case d.down(err):
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case strings.Contains(err.Error(), "SSL is not enabled on the server"):
		return fmt.Errorf("%w (the server offers no TLS; for one on the same machine, add ?sslmode=disable to database-url)", err)
	}
	if what, ok := d.unique(err); ok {
		return fmt.Errorf("%w: %s", ErrTaken, what)
	}
	return err
}

var sqliteDialect = &dialect{
	name:  "sqlite",
	goose: goose.DialectSQLite3,

	ids:     "SELECT value FROM json_each(?)",
	idRows:  "SELECT value AS id FROM json_each(?)",
	clock:   "?",
	texts:   "SELECT value FROM json_each(?)",
	fewRows: "SELECT value AS id FROM json_each(?)",
	idParam: "?",

	packed:     func(id string) string { return "group_concat(" + id + ", '')" },
	packedSize: idLength,
	unpacked:   func(id []byte) string { return string(id) },

	each: func(table, condition string) string { return "CROSS JOIN " + table + " u WHERE " + condition },
	// A function of a table may refer to what stands before it; a subquery may not.
	membersOfWithin: `json_each((SELECT json_group_array(user_id) FROM (
		SELECT user_id FROM members WHERE tenant_id = ? AND group_id = within.id AND user_id > ? ORDER BY user_id LIMIT ?))) m`,
	idList: func(ids []string) any {
		text, _ := json.Marshal(ids)
		return string(text)
	},
	// Ordered below the aggregate it costs nothing, as members_by_user has that order.
	groupsOfUser: `(SELECT CASE MAX(within) WHEN 1 THEN '+' ELSE '' END
			|| json_group_array(json_object('value', id, 'display', display_name, 'type', 'direct'))
		FROM (SELECT g.id, g.display_name, g.within FROM members m JOIN groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id
			WHERE m.tenant_id = u.tenant_id AND m.user_id = u.id ORDER BY m.group_id))`,
	indirectGroup: `json_object('value', g.id, 'display', g.display_name, 'type', 'indirect')`,
	joined:        func(query string) string { return "SELECT group_concat(e, ',') FROM (" + query + ")" },
	digest:        func(text string) string { return "gatehouse_digest(" + text + ")" },
	wordRows: `INSERT INTO user_words (tenant_id, user_id, word)
		SELECT v.column1, v.column2, w.value FROM (VALUES %s) v CROSS JOIN json_each(v.column3) w`,
	splitUsers: `SELECT u.tenant_id, w.value AS word, u.id AS user_id FROM users u
		CROSS JOIN json_each(gatehouse_words(u.display_name_key || ' ' || substr(u.user_name_key, 1, instr(u.user_name_key || '@', '@') - 1))) w
		WHERE substr(u.display_name_key, 1, length(w.value)) <> w.value AND substr(u.user_name_key, 1, length(w.value)) <> w.value`,
	hasWord:     "' ' || u.display_name_key || ' ' || substr(u.user_name_key, 1, instr(u.user_name_key || '@', '@') - 1) GLOB ?",
	wordPattern: func(word string) string { return "*" + separators + word + "*" },
	elements:    func(array string) string { return "json_each(" + array + ") AS e" },
	elementText: "e.value",
	contains:    func(text string) string { return "instr(" + text + ", ?) > 0" },
	number:      func(text string) string { return "CAST(" + text + " AS REAL)" },
	binary:      func(text string) string { return "(" + text + ")" },
	boolean: func(b bool) any {
		if b {
			return 1
		}
		return 0
	},

	noTable: func(err error) bool { return strings.Contains(err.Error(), "no such table") },
	unique: func(err error) (string, bool) {
		var e *sqlite.Error
		if !errors.As(err, &e) || e.Code() != sqlite3.SQLITE_CONSTRAINT_UNIQUE && e.Code() != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY {
			return "", false
		}
		return e.Error(), true
	},
	retryable: func(err error) bool {
		var e *sqlite.Error
		return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
	},
	down: func(err error) bool {
		var e *sqlite.Error
		if !errors.As(err, &e) {
			return false
		}
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
			return true
		}
		return false
	},
}

// openSQLite opens some connections for reading and one for writing, since only one
// writes at a time (Store.batch): queueing in Go is fairer than SQLite's busy handler.
func openSQLite(url string) (read, write *pool, err error) {
	file := strings.TrimPrefix(url, "sqlite://")
	if file == "" {
		return nil, nil, errors.New("database-url sqlite://: name a file, for example sqlite://gatehouse.db")
	}
	file, _, _ = strings.Cut(file, "?")
	open := func(conns int, pragmas string) (*pool, error) {
		db, err := sqlx.Open("sqlite", "file:"+strings.NewReplacer("%", "%25", "#", "%23").Replace(file)+"?_txlock=immediate"+
			"&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"+pragmas)
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(conns)
		db.SetMaxIdleConns(conns)
		return newPool(sqliteDialect, db), nil
	}
	if write, err = open(1, fmt.Sprintf("&_pragma=wal_autocheckpoint(%d)&_pragma=journal_size_limit(%d)", longestLog, 4*longestLog*4096)); err != nil {
		return nil, nil, err
	}
	// Mapped as far as SQLite can, since what isn't is copied for every read.
	read, err = open(8, "&_pragma=query_only(1)&_pragma=mmap_size(2147418112)")
	return read, write, err
}

var postgresDialect = &dialect{
	name:  "postgres",
	goose: goose.DialectPostgres,

	forUpdate: " FOR NO KEY UPDATE",
	forDelete: " FOR UPDATE",
	ids:       "SELECT unnest(CAST(? AS uuid[]))",
	idRows:    "SELECT unnest(CAST(? AS uuid[])) AS id",
	texts:     "SELECT unnest(CAST(? AS text[]))",
	fewRows:   "SELECT CAST(jsonb_array_elements_text(CAST(? AS jsonb)) AS uuid) AS id",
	idParam:   "CAST(? AS uuid)",

	packed: func(id string) string { return "string_agg(uuid_send(" + id + "), '')" },
	// Half of what it is as text, here and on its way.
	packedSize: len(uuid.UUID{}),
	unpacked:   func(id []byte) string { return uuid.UUID(id).String() },

	clock:    "COALESCE(CAST(? AS bigint), CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS bigint))",
	agreeing: sql.LevelRepeatableRead,
	idList:   func(ids []string) any { return pq.StringArray(ids) },
	each: func(table, condition string) string {
		return "CROSS JOIN LATERAL (SELECT u.*, u.ctid FROM " + table + " u WHERE " + condition + " LIMIT 1) u"
	},
	membersOfWithin: `LATERAL (SELECT user_id AS value FROM members
		WHERE tenant_id = ? AND group_id = within.id AND user_id > ? ORDER BY user_id LIMIT ?) m`,
	groupsOfUser: `(SELECT CASE MAX(within) WHEN 1 THEN '+' ELSE '' END
			|| COALESCE(CAST(json_agg(json_build_object('value', id, 'display', display_name, 'type', 'direct')) AS text), '[]')
		FROM (SELECT g.id, g.display_name, g.within FROM members m JOIN groups g ON g.tenant_id = m.tenant_id AND g.id = m.group_id
			WHERE m.tenant_id = u.tenant_id AND m.user_id = u.id ORDER BY m.group_id) g)`,
	indirectGroup: `json_build_object('value', g.id, 'display', g.display_name, 'type', 'indirect')`,
	joined:        func(query string) string { return "SELECT string_agg(CAST(e AS text), ',') FROM (" + query + ") e" },
	digest: func(text string) string {
		return "translate(encode(substring(sha256(convert_to(" + text + ", 'UTF8')) FOR 6), 'base64'), '+/', '-_')"
	},
	wordRows: `INSERT INTO user_words (tenant_id, user_id, word)
		SELECT CAST(v.column1 AS uuid), CAST(v.column2 AS uuid), jsonb_array_elements_text(CAST(v.column3 AS jsonb)) FROM (VALUES %s) v`,
	splitUsers: `SELECT DISTINCT u.tenant_id, w.word, u.id AS user_id FROM users u
		CROSS JOIN LATERAL regexp_split_to_table(u.display_name_key || ' ' || split_part(u.user_name_key, '@', 1), '` + separators + `+') w (word)
		WHERE w.word <> '' AND NOT starts_with(u.display_name_key, w.word) AND NOT starts_with(u.user_name_key, w.word)`,
	hasWord:     "' ' || u.display_name_key || ' ' || split_part(u.user_name_key, '@', 1) ~ CAST(? AS text)",
	wordPattern: func(word string) string { return separators + word },
	elements: func(array string) string {
		return "jsonb_array_elements(CASE jsonb_typeof(" + array + ") WHEN 'array' THEN " + array + " ELSE '[]' END) AS e(value)"
	},
	elementText: "e.value #>> '{}'",
	contains:    func(text string) string { return "strpos(" + text + ", ?) > 0" },
	number: func(text string) string {
		// No question mark here: Rebind would take it for a placeholder.
		return "CASE WHEN " + text + " ~ '^-{0,1}[0-9]+([.][0-9]+){0,1}([eE][-+]{0,1}[0-9]{1,3}){0,1}$' THEN CAST(" + text + " AS numeric) END"
	},
	binary:  func(text string) string { return "(" + text + `) COLLATE "C"` },
	boolean: func(b bool) any { return strconv.FormatBool(b) },

	noTable: func(err error) bool { return pq.As(err, pqerror.UndefinedTable) != nil },
	unique: func(err error) (string, bool) {
		if e := pq.As(err, pqerror.UniqueViolation); e != nil {
			return e.Constraint, true
		}
		return "", false
	},
	retryable: func(err error) bool {
		// A foreign key fails when the user to add was deleted a moment ago, by
		// somebody who had not committed yet; the next look finds nobody.
		return pq.As(err, pqerror.TRSerializationFailure, pqerror.TRDeadlockDetected, pqerror.ForeignKeyViolation) != nil
	},
	down: func(err error) bool {
		var netErr net.Error
		if errors.Is(err, driver.ErrBadConn) || errors.As(err, &netErr) {
			return true
		}
		var e *pq.Error
		if !errors.As(err, &e) {
			return false
		}
		switch e.Code.Class() {
		case "08", "53", "57", "58": // connection, resources, operator intervention (also: statement timeout), system
			return true
		}
		return e.Code == "25006" || e.Code == "55P03" || e.Code == "40001" || e.Code == "40P01"
	},
}

func openPostgres(url string, opts Options) (read, write *pool, err error) {
	cfg, err := pq.NewConfig(url)
	if err != nil {
		// The error may repeat the address, and with it the password.
		return nil, nil, errors.New("database-url can't be read: want postgres://USER:PASSWORD@HOST/NAME, with special characters of the password encoded (%40 for @)")
	}
	if cfg.ApplicationName == "" {
		cfg.ApplicationName = "gatehouse"
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 10 * time.Second
	}
	if cfg.Runtime == nil {
		cfg.Runtime = map[string]string{}
	}
	for k, v := range map[string]string{
		"statement_timeout": opts.statementTimeout(), "lock_timeout": "15s", "idle_in_transaction_session_timeout": "60s",
		// To compile a query of lists or previews takes longer than to run it.
		"jit": "off",
	} {
		if _, set := cfg.Runtime[k]; !set {
			cfg.Runtime[k] = v
		}
	}
	connector, err := pq.NewConnectorConfig(cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("database-url %s: %w", redactURL(url), err)
	}
	connector.Dialer(dialer{})
	n := opts.Connections
	if n == 0 {
		n = 20
	}
	n = max(n, 2)
	db := sqlx.NewDb(sql.OpenDB(connector), "postgres")
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	db.SetConnMaxIdleTime(5 * time.Minute)
	db.SetConnMaxLifetime(time.Hour)
	p := newPool(postgresDialect, db)
	return p, p, nil
}

// dialer connects to PostgreSQL so that a peer that is gone without a word is
// noticed within seconds, also by reads that nothing else would end.
type dialer struct{}

func (dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}}
	return d.DialContext(ctx, network, address)
}

func (d dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d dialer) DialTimeout(network, address string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return d.DialContext(ctx, network, address)
}
