-- The log as an audit trail: seals over what it says, nothing in it that can be
-- changed, and what it is looked through by.

-- +goose Up

-- A seal covers changes of the log, and the seal before it: docs/audit.md says
-- how. covers is the id and the hash of each change, in their order; cursor is
-- where the next seal begins, for ChangesSince.
CREATE TABLE seals (
    tenant_id uuid NOT NULL,
    seq       bigint NOT NULL,
    cursor    text NOT NULL,
    changes   bigint NOT NULL,
    previous  bytea NOT NULL,
    covers    bytea NOT NULL,
    hash      bytea NOT NULL,
    sealed_at bigint NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);

-- The last seal of each tenant, so that it is missed when it goes.
CREATE TABLE seal_heads (
    tenant_id uuid PRIMARY KEY,
    seq       bigint NOT NULL,
    hash      bytea NOT NULL
);

-- Syncs write none of these: what a provider does day and night is most of the
-- log, and is found by going through it.
CREATE INDEX changes_by_actor ON changes (tenant_id, actor_id, id) WHERE actor_kind <> 'scim';
CREATE INDEX changes_by_action ON changes (tenant_id, action, id)
    WHERE action NOT IN ('user.created', 'user.updated', 'group.created', 'group.updated', 'group.members', 'access_token.created');

-- +goose StatementBegin
CREATE FUNCTION refuse_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only';
END
$$;
-- +goose StatementEnd

-- xid and cursor are the server's count of transactions, which begins anew on
-- another server: 'gatehouse migrate' sets them after a restore.
CREATE TRIGGER changes_stay BEFORE UPDATE OF tenant_id, id, at, actor_kind, actor_id, request_id, connection_id,
    action, subject_kind, subject_id, subject_name, detail ON changes EXECUTE FUNCTION refuse_append_only();
CREATE TRIGGER changes_are_kept BEFORE DELETE OR TRUNCATE ON changes EXECUTE FUNCTION refuse_append_only();
CREATE TRIGGER seals_stay BEFORE UPDATE OF tenant_id, seq, changes, previous, covers, hash, sealed_at
    ON seals EXECUTE FUNCTION refuse_append_only();
CREATE TRIGGER seals_are_kept BEFORE DELETE OR TRUNCATE ON seals EXECUTE FUNCTION refuse_append_only();

-- +goose Down
DROP TRIGGER changes_stay ON changes;
DROP TRIGGER changes_are_kept ON changes;
DROP INDEX changes_by_actor;
DROP INDEX changes_by_action;
DROP TABLE seal_heads;
DROP TABLE seals;
DROP FUNCTION refuse_append_only();
