-- What the console keeps: connections that have ended, and links with which an IT
-- administrator without an account sets one up.

-- +goose Up

-- A connection that has ended takes nothing any more. Its people may have stayed.
ALTER TABLE connections ADD COLUMN ended_at integer NOT NULL DEFAULT 0;

-- Whoever has the link may see and make what one connection is set up with, until it
-- expires or is revoked. Only the SHA-256 of its secret is kept.
CREATE TABLE setup_links (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    connection_id text NOT NULL,
    hash          blob NOT NULL UNIQUE,
    created_at    integer NOT NULL,
    expires_at    integer NOT NULL,
    revoked_at    integer NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id)
);
CREATE INDEX setup_links_by_connection ON setup_links (tenant_id, connection_id, id);

-- +goose Down
DROP TABLE setup_links;
ALTER TABLE connections DROP COLUMN ended_at;
