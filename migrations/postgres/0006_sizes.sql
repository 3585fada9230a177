-- How many users and groups a connection has, so that a list need not count them
-- to say so. A row for each lane of writers: no two wait for each other to count.

-- +goose Up

CREATE TABLE sizes (
    tenant_id     uuid NOT NULL,
    connection_id uuid NOT NULL,
    kind          text NOT NULL, -- user or group
    lane          smallint NOT NULL,
    created       bigint NOT NULL,
    deleted       bigint NOT NULL,
    PRIMARY KEY (tenant_id, connection_id, kind, lane)
) WITH (fillfactor = 50);

INSERT INTO sizes (tenant_id, connection_id, kind, lane, created, deleted)
SELECT tenant_id, connection_id, 'user', 0, COUNT(*), 0 FROM users GROUP BY tenant_id, connection_id;
INSERT INTO sizes (tenant_id, connection_id, kind, lane, created, deleted)
SELECT tenant_id, connection_id, 'group', 0, COUNT(*), 0 FROM groups GROUP BY tenant_id, connection_id;

-- +goose Down
DROP TABLE sizes;
