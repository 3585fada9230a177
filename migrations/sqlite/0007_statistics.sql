-- SQLite chooses between indexes by statistics, and without any it takes an order
-- for worth more than an exact value: the list's index in place of the one that
-- finds the one user. These are round figures of a large connection, written here
-- so that plans are the same on every installation and don't change by night.

-- +goose Up
ANALYZE;
DELETE FROM sqlite_stat1 WHERE tbl IN ('users', 'user_emails', 'groups', 'members', 'members_past', 'subgroups', 'changes');
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('users', 'sqlite_autoindex_users_1', '1000000 1000000 1'),
    ('users', 'sqlite_autoindex_users_2', '1000000 1000000 500000 1'),
    ('users', 'users_in_order', '1000000 1000000 500000 1'),
    ('users', 'users_by_external_id', '1000000 1000000 500000 2'),
    ('users', 'users_by_display_name', '1000000 1000000 500000 2'),
    ('user_emails', 'user_emails', '1000000 1000000 1 1'),
    ('user_emails', 'user_emails_by_value', '1000000 1000000 500000 1'),
    ('groups', 'sqlite_autoindex_groups_1', '20000 20000 1'),
    ('groups', 'sqlite_autoindex_groups_2', '20000 20000 10000 1'),
    ('groups', 'groups_in_order', '20000 20000 10000 1'),
    ('groups', 'groups_by_external_id', '20000 20000 10000 2'),
    ('members', 'members', '10000000 10000000 500 1'),
    ('members', 'members_by_user', '10000000 10000000 10 1'),
    ('members_past', 'members_past', '10000000 10000000 500 2 1'),
    ('members_past', 'members_past_by_user', '10000000 10000000 10 1'),
    ('subgroups', 'subgroups', '1000 1000 5 1'),
    ('subgroups', 'subgroups_by_member', '1000 1000 5 1'),
    ('changes', 'sqlite_autoindex_changes_1', '10000000 10000000 1'),
    ('changes', 'changes_by_subject', '10000000 10000000 10 1');

-- +goose Down
DROP TABLE sqlite_stat1;
