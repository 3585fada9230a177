-- The log as an audit trail: seals over what it says, nothing in it that can be
-- changed, and what it is looked through by.

-- +goose Up

-- A seal covers changes of the log, and the seal before it: docs/audit.md says
-- how. covers is the id and the hash of each change, in their order; cursor is
-- where the next seal begins, for ChangesSince.
CREATE TABLE seals (
    tenant_id text NOT NULL,
    seq       integer NOT NULL,
    cursor    text NOT NULL,
    changes   integer NOT NULL,
    previous  blob NOT NULL,
    covers    blob NOT NULL,
    hash      blob NOT NULL,
    sealed_at integer NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);

-- The last seal of each tenant, so that it is missed when it goes.
CREATE TABLE seal_heads (
    tenant_id text PRIMARY KEY,
    seq       integer NOT NULL,
    hash      blob NOT NULL
) WITHOUT ROWID;

-- Syncs write none of these: what a provider does day and night is most of the
-- log, and is found by going through it.
CREATE INDEX changes_by_actor ON changes (tenant_id, actor_id, id) WHERE actor_kind <> 'scim';
CREATE INDEX changes_by_action ON changes (tenant_id, action, id)
    WHERE action NOT IN ('user.created', 'user.updated', 'group.created', 'group.updated', 'group.members', 'access_token.created');
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('changes', 'changes_by_actor', '100000 100000 100 1'),
    ('changes', 'changes_by_action', '100000 100000 2000 1');

-- +goose StatementBegin
CREATE TRIGGER changes_stay BEFORE UPDATE ON changes BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER changes_are_kept BEFORE DELETE ON changes BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER seals_stay BEFORE UPDATE ON seals BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER seals_are_kept BEFORE DELETE ON seals BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER changes_stay;
DROP TRIGGER changes_are_kept;
DELETE FROM sqlite_stat1 WHERE idx IN ('changes_by_actor', 'changes_by_action');
DROP INDEX changes_by_actor;
DROP INDEX changes_by_action;
DROP TABLE seal_heads;
DROP TABLE seals;
