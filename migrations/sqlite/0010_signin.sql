-- Signing in: who is signed in, and what may not be any more.
--
-- Of every secret that opens something only the SHA-256 is kept. What a person
-- began, or could begin with, goes in the transaction that takes her away.

-- +goose Up

-- A row is somebody who is signed in. seen_at is coarse.
CREATE TABLE sessions (
    tenant_id        text NOT NULL,
    id               text NOT NULL,
    user_id          text NOT NULL,
    hash             blob NOT NULL UNIQUE,
    method           text NOT NULL,
    connection_id    text,
    issuer           text NOT NULL,
    subject          text NOT NULL,
    provider_session text NOT NULL,
    created_at       integer NOT NULL,
    seen_at          integer NOT NULL,
    expires_at       integer NOT NULL,
    user_agent       text NOT NULL,
    address          text NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX sessions_by_user ON sessions (tenant_id, user_id);
CREATE INDEX sessions_by_subject ON sessions (tenant_id, connection_id, subject) WHERE connection_id IS NOT NULL;
CREATE INDEX sessions_by_provider ON sessions (tenant_id, connection_id, provider_session) WHERE provider_session <> '';
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- A sign-in that began up to an instant comes to nothing: of a user, of a subject
-- at a provider, or of a provider's session, whose names are hashed into key. Also
-- what those wait for who give and take a session of one at the same time.
CREATE TABLE cutoffs (
    tenant_id  text NOT NULL,
    key        blob NOT NULL,
    at         integer NOT NULL,
    expires_at integer NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX cutoffs_by_expiry ON cutoffs (expires_at);

-- +goose Down
DROP TABLE cutoffs;
DROP TABLE sessions;
