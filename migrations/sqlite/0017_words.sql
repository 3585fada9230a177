-- What lists of people look for: how a word of a name begins, and who isn't active.

-- +goose Up

-- One row for each different word of a user's folded display name, and of the user
-- name up to the @, that neither name begins with: by their beginnings the names
-- themselves are found.
CREATE TABLE user_words (
    tenant_id text NOT NULL,
    word      text NOT NULL,
    user_id   text NOT NULL,
    PRIMARY KEY (tenant_id, word, user_id)
) WITHOUT ROWID;
-- In order they go into the table many times as fast. gatehouse_words is ours.
INSERT INTO user_words (tenant_id, word, user_id)
SELECT u.tenant_id, w.value, u.id
FROM users u
CROSS JOIN json_each(gatehouse_words(u.display_name_key || ' ' || substr(u.user_name_key, 1, instr(u.user_name_key || '@', '@') - 1))) w
WHERE substr(u.display_name_key, 1, length(w.value)) <> w.value AND substr(u.user_name_key, 1, length(w.value)) <> w.value
ORDER BY 1, 2, 3;

CREATE INDEX users_inactive ON users (tenant_id, connection_id, display_name_key) WHERE NOT active;

-- +goose Down
DROP INDEX users_inactive;
DROP TABLE user_words;
