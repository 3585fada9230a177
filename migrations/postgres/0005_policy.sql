-- Policy: what there is to grant, where, and who was given what. Beside it what
-- we say of people, since SCIM owns users, and the order of the log.
--
-- What ends moves to the _past table of its kind, as in the directory. Products
-- and dimensions are named by their key elsewhere; their id is for the log.

-- +goose Up

-- The row of a tenant is locked by each change of its policy. The revision is the
-- last of the changes that a transaction made, so that none is ever used twice.
CREATE TABLE policies (
    tenant_id  uuid PRIMARY KEY REFERENCES tenants (id),
    revision   uuid NOT NULL,
    changed_at bigint NOT NULL
);
INSERT INTO policies SELECT id, '00000000-0000-0000-0000-000000000000', created_at FROM tenants;

CREATE TABLE dimensions (
    tenant_id uuid NOT NULL,
    id        uuid NOT NULL,
    key       text COLLATE "C" NOT NULL,
    name      text NOT NULL,
    since     bigint NOT NULL,
    change_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, key)
);

CREATE TABLE dimensions_past (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    key           text NOT NULL,
    name          text NOT NULL,
    since         bigint NOT NULL,
    until         bigint NOT NULL,
    change_id     uuid NOT NULL,
    end_change_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, id, end_change_id)
);

CREATE TABLE sites (
    tenant_id uuid NOT NULL,
    id        uuid NOT NULL,
    dimension text COLLATE "C" NOT NULL,
    key       text COLLATE "C" NOT NULL,
    name      text NOT NULL,
    parent_id uuid,
    archived  boolean NOT NULL,
    since     bigint NOT NULL,
    change_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, dimension) REFERENCES dimensions (tenant_id, key)
);
CREATE UNIQUE INDEX sites_by_key ON sites (tenant_id, dimension, key) WHERE key <> '';

CREATE TABLE sites_past (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    dimension     text NOT NULL,
    key           text NOT NULL,
    name          text NOT NULL,
    parent_id     uuid,
    archived      boolean NOT NULL,
    since         bigint NOT NULL,
    until         bigint NOT NULL,
    change_id     uuid NOT NULL,
    end_change_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, id, end_change_id)
);

-- doc is the whole product as JSON, as package access defines it: its levels,
-- permissions, roles, dimensions and rules are edited and read together.
CREATE TABLE products (
    tenant_id uuid NOT NULL,
    id        uuid NOT NULL,
    key       text COLLATE "C" NOT NULL,
    doc       text NOT NULL,
    since     bigint NOT NULL,
    change_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, key)
);

CREATE TABLE products_past (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    key           text NOT NULL,
    doc           text NOT NULL,
    since         bigint NOT NULL,
    until         bigint NOT NULL,
    change_id     uuid NOT NULL,
    end_change_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, id, end_change_id)
);

-- A grant is for a user, for a group, or for everyone when both are NULL. There is
-- no foreign key to them: a grant outlives its group, asleep, and SCIM touches none.
-- scope and mask are JSON.
CREATE TABLE grants (
    tenant_id   uuid NOT NULL,
    id          uuid NOT NULL,
    user_id     uuid,
    group_id    uuid,
    effect      text NOT NULL,
    product     text NOT NULL,
    role        text NOT NULL,
    permission  text NOT NULL,
    level       text NOT NULL,
    attribute   text NOT NULL,
    value       text NOT NULL,
    scope       text NOT NULL,
    mask        text NOT NULL,
    valid_from  bigint NOT NULL,
    valid_until bigint NOT NULL,
    reason      text NOT NULL,
    origin      text NOT NULL,
    since       bigint NOT NULL,
    change_id   uuid NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CHECK (user_id IS NULL OR group_id IS NULL)
);
CREATE INDEX grants_by_user ON grants (tenant_id, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX grants_by_group ON grants (tenant_id, group_id) WHERE group_id IS NOT NULL;

CREATE TABLE grants_past (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    user_id       uuid,
    group_id      uuid,
    effect        text NOT NULL,
    product       text NOT NULL,
    role          text NOT NULL,
    permission    text NOT NULL,
    level         text NOT NULL,
    attribute     text NOT NULL,
    value         text NOT NULL,
    scope         text NOT NULL,
    mask          text NOT NULL,
    valid_from    bigint NOT NULL,
    valid_until   bigint NOT NULL,
    reason        text NOT NULL,
    origin        text NOT NULL,
    since         bigint NOT NULL,
    until         bigint NOT NULL,
    change_id     uuid NOT NULL,
    end_change_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, id, end_change_id)
);
CREATE INDEX grants_past_by_user ON grants_past (tenant_id, user_id) WHERE user_id IS NOT NULL;

-- What we say of people. Who has no row may sign in, is an employee, and doesn't
-- expire.
CREATE TABLE people (
    tenant_id     uuid NOT NULL,
    user_id       uuid NOT NULL,
    login_allowed boolean NOT NULL,
    kind          text NOT NULL,
    expires_at    bigint NOT NULL,
    sponsor_id    uuid,
    since         bigint NOT NULL,
    change_id     uuid NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);

CREATE TABLE people_past (
    tenant_id     uuid NOT NULL,
    user_id       uuid NOT NULL,
    login_allowed boolean NOT NULL,
    kind          text NOT NULL,
    expires_at    bigint NOT NULL,
    sponsor_id    uuid,
    since         bigint NOT NULL,
    until         bigint NOT NULL,
    change_id     uuid NOT NULL,
    end_change_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, user_id, end_change_id)
);

-- Ids of changes are in the order of clocks, not of commits. Who follows the log
-- reads by transaction, up to the oldest that is still open.
ALTER TABLE changes ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX changes_in_order ON changes (tenant_id, xid, id);

-- +goose Down
DROP INDEX changes_in_order;
ALTER TABLE changes DROP COLUMN xid;
DROP TABLE people_past, people, grants_past, grants, products_past, products, sites_past, sites, dimensions_past, dimensions, policies;
