-- Changes of many members that are made in several transactions: SQLite has room
-- for one that writes, and others shall not wait for the whole.

-- +goose Up

CREATE TABLE unfinished (
    tenant_id     text NOT NULL,
    change_id     text NOT NULL, -- what the log will call it
    connection_id text NOT NULL,
    group_id      text NOT NULL,
    deletes       integer NOT NULL, -- whether the group goes with its members
    actor_kind    text NOT NULL,
    actor_id      text NOT NULL,
    request_id    text NOT NULL,
    PRIMARY KEY (tenant_id, change_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id)
) WITHOUT ROWID;

-- What is left to be done, as JSON arrays of users' ids. Parts of which there is no
-- change are of one that never began.
CREATE TABLE unfinished_parts (
    tenant_id text NOT NULL,
    change_id text NOT NULL,
    part      integer NOT NULL,
    come      text NOT NULL,
    gone      text NOT NULL,
    PRIMARY KEY (tenant_id, change_id, part)
);

-- The change that the group is in, if any: nothing else changes it until its end.
ALTER TABLE groups ADD COLUMN unfinished text;

-- +goose Down
ALTER TABLE groups DROP COLUMN unfinished;
DROP TABLE unfinished_parts;
DROP TABLE unfinished;
