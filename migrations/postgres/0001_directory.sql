-- The directory: tenants, connections, their tokens, users, groups, members,
-- what they were before, and the log of every change.
--
-- Times are milliseconds since 1970 (UTC), from the writer's one clock, so that
-- both databases order them alike. Columns ending in _key are folded in Go
-- (store.Fold). What ends moves to the _past table of its kind.

-- +goose Up

CREATE TABLE tenants (
    id         uuid PRIMARY KEY,
    name       text NOT NULL,
    name_key   text COLLATE "C" NOT NULL UNIQUE,
    created_at bigint NOT NULL
);

CREATE TABLE connections (
    tenant_id       uuid NOT NULL REFERENCES tenants (id),
    id              uuid NOT NULL UNIQUE,
    name            text NOT NULL,
    name_key        text COLLATE "C" NOT NULL,
    idp             text NOT NULL,
    created_at      bigint NOT NULL,
    last_request_at bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name_key)
);

-- A token is found by the SHA-256 of its secret; the secret itself is not kept.
CREATE TABLE tokens (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    connection_id uuid NOT NULL,
    hash          bytea NOT NULL UNIQUE,
    hint          text NOT NULL,
    created_at    bigint NOT NULL,
    expires_at    bigint NOT NULL,
    revoked_at    bigint NOT NULL DEFAULT 0,
    last_used_at  bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id)
);
CREATE INDEX tokens_by_connection ON tokens (tenant_id, connection_id);

-- Users and groups have no foreign key to their connection: on PostgreSQL each
-- insert would lock the one row that all of a connection's writers share.
CREATE TABLE users (
    tenant_id        uuid NOT NULL,
    id               uuid NOT NULL,
    connection_id    uuid NOT NULL,
    user_name        text NOT NULL,
    user_name_key    text COLLATE "C" NOT NULL,
    external_id      text COLLATE "C" NOT NULL,
    display_name     text NOT NULL,
    display_name_key text COLLATE "C" NOT NULL,
    active           boolean NOT NULL,
    doc              text NOT NULL,
    search           jsonb NOT NULL,
    version          bigint NOT NULL,
    created_at       bigint NOT NULL,
    modified_at      bigint NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, connection_id, user_name_key)
);
CREATE UNIQUE INDEX users_in_order ON users (tenant_id, connection_id, id);
CREATE INDEX users_by_external_id ON users (tenant_id, connection_id, external_id);
CREATE INDEX users_by_display_name ON users (tenant_id, connection_id, display_name_key);

-- One row for each e-mail address of a user, to find people by it.
CREATE TABLE user_emails (
    tenant_id     uuid NOT NULL,
    connection_id uuid NOT NULL,
    value_key     text COLLATE "C" NOT NULL,
    user_id       uuid NOT NULL,
    PRIMARY KEY (tenant_id, user_id, value_key)
);
CREATE INDEX user_emails_by_value ON user_emails (tenant_id, connection_id, value_key);

CREATE TABLE users_past (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    version       bigint NOT NULL,
    connection_id uuid NOT NULL,
    user_name     text NOT NULL,
    external_id   text NOT NULL,
    display_name  text NOT NULL,
    active        boolean NOT NULL,
    doc           text NOT NULL,
    valid_from    bigint NOT NULL,
    valid_until   bigint NOT NULL,
    change_id     uuid NOT NULL,
    PRIMARY KEY (tenant_id, id, version)
);

CREATE TABLE groups (
    tenant_id        uuid NOT NULL,
    id               uuid NOT NULL,
    connection_id    uuid NOT NULL,
    external_id      text COLLATE "C" NOT NULL,
    display_name     text NOT NULL,
    display_name_key text COLLATE "C" NOT NULL,
    doc              text NOT NULL,
    search           jsonb NOT NULL,
    version          bigint NOT NULL,
    described_at     bigint NOT NULL,
    created_at       bigint NOT NULL,
    modified_at      bigint NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, connection_id, display_name_key)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX groups_in_order ON groups (tenant_id, connection_id, id);
CREATE INDEX groups_by_external_id ON groups (tenant_id, connection_id, external_id);

CREATE TABLE groups_past (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    version       bigint NOT NULL,
    connection_id uuid NOT NULL,
    external_id   text NOT NULL,
    display_name  text NOT NULL,
    doc           text NOT NULL,
    valid_from    bigint NOT NULL,
    valid_until   bigint NOT NULL,
    change_id     uuid NOT NULL,
    PRIMARY KEY (tenant_id, id, version)
);

-- Members are rows: adding one person reads none of the others.
CREATE TABLE members (
    tenant_id uuid NOT NULL,
    group_id  uuid NOT NULL,
    user_id   uuid NOT NULL,
    since     bigint NOT NULL,
    change_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, group_id, user_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
);
CREATE UNIQUE INDEX members_by_user ON members (tenant_id, user_id, group_id);

CREATE TABLE members_past (
    tenant_id     uuid NOT NULL,
    group_id      uuid NOT NULL,
    user_id       uuid NOT NULL,
    since         bigint NOT NULL,
    until         bigint NOT NULL,
    change_id     uuid NOT NULL,
    end_change_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, group_id, user_id, end_change_id)
);
CREATE INDEX members_past_by_user ON members_past (tenant_id, user_id, since);

-- The append-only log: audit trail and outbox in one.
CREATE TABLE changes (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    at            bigint NOT NULL,
    actor_kind    text NOT NULL,
    actor_id      text NOT NULL,
    request_id    text NOT NULL,
    connection_id uuid,
    action        text NOT NULL,
    subject_kind  text NOT NULL,
    subject_id    uuid NOT NULL,
    subject_name  text NOT NULL,
    detail        text NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX changes_by_subject ON changes (tenant_id, subject_id, id);

-- Keys that Gatehouse makes for itself, such as the one that signs cursors.
CREATE TABLE secrets (
    name  text PRIMARY KEY,
    value bytea NOT NULL
);

-- +goose Down
DROP TABLE secrets, changes, members_past, members, groups_past, groups, users_past, user_emails, users, tokens, connections, tenants;
