-- Policy: what there is to grant, where, and who was given what. Beside it what
-- we say of people, since SCIM owns users, and the order of the log.
--
-- What ends moves to the _past table of its kind, as in the directory. Products
-- and dimensions are named by their key elsewhere; their id is for the log.

-- +goose Up

-- The row of a tenant is locked by each change of its policy. The revision is the
-- last of the changes that a transaction made, so that none is ever used twice.
CREATE TABLE policies (
    tenant_id  text PRIMARY KEY REFERENCES tenants (id),
    revision   text NOT NULL,
    changed_at integer NOT NULL
);
INSERT INTO policies SELECT id, '00000000-0000-0000-0000-000000000000', created_at FROM tenants;

CREATE TABLE dimensions (
    tenant_id text NOT NULL,
    id        text NOT NULL,
    key       text NOT NULL,
    name      text NOT NULL,
    since     integer NOT NULL,
    change_id text NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, key)
);

CREATE TABLE dimensions_past (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    key           text NOT NULL,
    name          text NOT NULL,
    since         integer NOT NULL,
    until         integer NOT NULL,
    change_id     text NOT NULL,
    end_change_id text NOT NULL,
    PRIMARY KEY (tenant_id, id, end_change_id)
) WITHOUT ROWID;

CREATE TABLE sites (
    tenant_id text NOT NULL,
    id        text NOT NULL,
    dimension text NOT NULL,
    key       text NOT NULL,
    name      text NOT NULL,
    parent_id text,
    archived  integer NOT NULL,
    since     integer NOT NULL,
    change_id text NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, dimension) REFERENCES dimensions (tenant_id, key)
);
CREATE UNIQUE INDEX sites_by_key ON sites (tenant_id, dimension, key) WHERE key <> '';

CREATE TABLE sites_past (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    dimension     text NOT NULL,
    key           text NOT NULL,
    name          text NOT NULL,
    parent_id     text,
    archived      integer NOT NULL,
    since         integer NOT NULL,
    until         integer NOT NULL,
    change_id     text NOT NULL,
    end_change_id text NOT NULL,
    PRIMARY KEY (tenant_id, id, end_change_id)
) WITHOUT ROWID;

-- doc is the whole product as JSON, as package access defines it: its levels,
-- permissions, roles, dimensions and rules are edited and read together.
CREATE TABLE products (
    tenant_id text NOT NULL,
    id        text NOT NULL,
    key       text NOT NULL,
    doc       text NOT NULL,
    since     integer NOT NULL,
    change_id text NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, key)
);

CREATE TABLE products_past (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    key           text NOT NULL,
    doc           text NOT NULL,
    since         integer NOT NULL,
    until         integer NOT NULL,
    change_id     text NOT NULL,
    end_change_id text NOT NULL,
    PRIMARY KEY (tenant_id, id, end_change_id)
) WITHOUT ROWID;

-- A grant is for a user, for a group, or for everyone when both are NULL. There is
-- no foreign key to them: a grant outlives its group, asleep, and SCIM touches none.
-- scope and mask are JSON.
CREATE TABLE grants (
    tenant_id   text NOT NULL,
    id          text NOT NULL,
    user_id     text,
    group_id    text,
    effect      text NOT NULL,
    product     text NOT NULL,
    role        text NOT NULL,
    permission  text NOT NULL,
    level       text NOT NULL,
    attribute   text NOT NULL,
    value       text NOT NULL,
    scope       text NOT NULL,
    mask        text NOT NULL,
    valid_from  integer NOT NULL,
    valid_until integer NOT NULL,
    reason      text NOT NULL,
    origin      text NOT NULL,
    since       integer NOT NULL,
    change_id   text NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CHECK (user_id IS NULL OR group_id IS NULL)
);
CREATE INDEX grants_by_user ON grants (tenant_id, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX grants_by_group ON grants (tenant_id, group_id) WHERE group_id IS NOT NULL;

CREATE TABLE grants_past (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    user_id       text,
    group_id      text,
    effect        text NOT NULL,
    product       text NOT NULL,
    role          text NOT NULL,
    permission    text NOT NULL,
    level         text NOT NULL,
    attribute     text NOT NULL,
    value         text NOT NULL,
    scope         text NOT NULL,
    mask          text NOT NULL,
    valid_from    integer NOT NULL,
    valid_until   integer NOT NULL,
    reason        text NOT NULL,
    origin        text NOT NULL,
    since         integer NOT NULL,
    until         integer NOT NULL,
    change_id     text NOT NULL,
    end_change_id text NOT NULL,
    PRIMARY KEY (tenant_id, id, end_change_id)
) WITHOUT ROWID;
CREATE INDEX grants_past_by_user ON grants_past (tenant_id, user_id) WHERE user_id IS NOT NULL;

-- What we say of people. Who has no row may sign in, is an employee, and doesn't
-- expire.
CREATE TABLE people (
    tenant_id     text NOT NULL,
    user_id       text NOT NULL,
    login_allowed integer NOT NULL,
    kind          text NOT NULL,
    expires_at    integer NOT NULL,
    sponsor_id    text,
    since         integer NOT NULL,
    change_id     text NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
) WITHOUT ROWID;

CREATE TABLE people_past (
    tenant_id     text NOT NULL,
    user_id       text NOT NULL,
    login_allowed integer NOT NULL,
    kind          text NOT NULL,
    expires_at    integer NOT NULL,
    sponsor_id    text,
    since         integer NOT NULL,
    until         integer NOT NULL,
    change_id     text NOT NULL,
    end_change_id text NOT NULL,
    PRIMARY KEY (tenant_id, user_id, end_change_id)
) WITHOUT ROWID;

-- Ids of changes are in the order of clocks, not of commits. Who follows the log
-- reads by seq: one transaction writes at a time, so that it is their order.
CREATE TABLE changes_in_order (
    seq           integer PRIMARY KEY,
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    at            integer NOT NULL,
    actor_kind    text NOT NULL,
    actor_id      text NOT NULL,
    request_id    text NOT NULL,
    connection_id text,
    action        text NOT NULL,
    subject_kind  text NOT NULL,
    subject_id    text NOT NULL,
    subject_name  text NOT NULL,
    detail        text NOT NULL,
    UNIQUE (tenant_id, id)
);
INSERT INTO changes_in_order SELECT rowid, * FROM changes;
DROP TABLE changes;
ALTER TABLE changes_in_order RENAME TO changes;
CREATE INDEX changes_by_subject ON changes (tenant_id, subject_id, id);

-- +goose Down
CREATE TABLE changes_by_id (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    at            integer NOT NULL,
    actor_kind    text NOT NULL,
    actor_id      text NOT NULL,
    request_id    text NOT NULL,
    connection_id text,
    action        text NOT NULL,
    subject_kind  text NOT NULL,
    subject_id    text NOT NULL,
    subject_name  text NOT NULL,
    detail        text NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
INSERT INTO changes_by_id SELECT tenant_id, id, at, actor_kind, actor_id, request_id, connection_id, action,
    subject_kind, subject_id, subject_name, detail FROM changes ORDER BY seq;
DROP TABLE changes;
ALTER TABLE changes_by_id RENAME TO changes;
CREATE INDEX changes_by_subject ON changes (tenant_id, subject_id, id);
DROP TABLE people_past;
DROP TABLE people;
DROP TABLE grants_past;
DROP TABLE grants;
DROP TABLE products_past;
DROP TABLE products;
DROP TABLE sites_past;
DROP TABLE sites;
DROP TABLE dimensions_past;
DROP TABLE dimensions;
DROP TABLE policies;
