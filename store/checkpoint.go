package store

import (
	"context"
	"log/slog"
)

// What is committed to an SQLite file stands in its write-ahead log first, and has to
// be copied into the file now and then. SQLite lets the commit do it that finds the log
// long, and whoever made it waits; here it is done beside the commits. They do it
// only when the log, written to without a pause, is never copied to its end.
const (
	// checkpointEvery is how many written rows it takes, each some pages of the log.
	checkpointEvery = 500
	// longestLog is in pages of 4 KiB. A reader who takes long can make it longer; four
	// times as much is kept of the file afterwards.
	longestLog = 4000
)

// checkpoint copies the log as far as it can without anybody having to wait.
func (s *Store) checkpoint() {
	var busy, pages, copied int
	err := s.pool.db.QueryRowContext(context.Background(), `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &pages, &copied)
	if err != nil {
		slog.Warn("write-ahead log not copied into the database", "error", err)
	}
}
