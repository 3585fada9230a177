// Package migrations holds the database schema as numbered SQL files, one
// folder a dialect and one number line for both: sqlite/0003_x.sql and
// postgres/0003_x.sql do the same thing. The files are embedded; package store
// runs them. schema.sql in each folder is a dump of the result, checked by a
// test of package store, so that the whole schema can be read at a glance.
//
//	store.Migrate(ctx, "sqlite://gatehouse.db")
package migrations

import "embed"

// FS holds sqlite/*.sql and postgres/*.sql, named NNNN_what.sql.
//
//go:embed sqlite/[0-9]*.sql postgres/[0-9]*.sql
var FS embed.FS
