-- How many users and groups a connection has, so that a list need not count them
-- to say so. A row for each lane of writers: no two wait for each other to count.

-- +goose Up

CREATE TABLE sizes (
    tenant_id     text NOT NULL,
    connection_id text NOT NULL,
    kind          text NOT NULL, -- user or group
    lane          integer NOT NULL,
    created       integer NOT NULL,
    deleted       integer NOT NULL,
    PRIMARY KEY (tenant_id, connection_id, kind, lane)
) WITHOUT ROWID;

INSERT INTO sizes (tenant_id, connection_id, kind, lane, created, deleted)
SELECT tenant_id, connection_id, 'user', 0, COUNT(*), 0 FROM users GROUP BY tenant_id, connection_id;
INSERT INTO sizes (tenant_id, connection_id, kind, lane, created, deleted)
SELECT tenant_id, connection_id, 'group', 0, COUNT(*), 0 FROM groups GROUP BY tenant_id, connection_id;

-- +goose Down
DROP TABLE sizes;
