-- Groups that are members of groups (RFC 7643 §4.2). Few groups are, and the
-- memberships of people stay a table of their own, which is all that matters to
-- most.

-- +goose Up

CREATE TABLE subgroups (
    tenant_id text NOT NULL,
    group_id  text NOT NULL,
    member_id text NOT NULL,
    since     integer NOT NULL,
    change_id text NOT NULL,
    PRIMARY KEY (tenant_id, group_id, member_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id),
    FOREIGN KEY (tenant_id, member_id) REFERENCES groups (tenant_id, id)
) WITHOUT ROWID;
CREATE UNIQUE INDEX subgroups_by_member ON subgroups (tenant_id, member_id, group_id);

CREATE TABLE subgroups_past (
    tenant_id     text NOT NULL,
    group_id      text NOT NULL,
    member_id     text NOT NULL,
    since         integer NOT NULL,
    until         integer NOT NULL,
    change_id     text NOT NULL,
    end_change_id text NOT NULL,
    PRIMARY KEY (tenant_id, group_id, member_id, end_change_id)
) WITHOUT ROWID;

-- 1 for a group that is, or once was, within another: whoever is in it has more
-- groups to look for.
ALTER TABLE groups ADD COLUMN within integer NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE groups DROP COLUMN within;
DROP TABLE subgroups_past;
DROP TABLE subgroups;
