-- What lists of people look for: how a word of a name begins, and who isn't active.

-- +goose Up

-- One row for each different word of a user's folded display name, and of the user
-- name up to the @, that neither name begins with: by their beginnings the names
-- themselves are found.
CREATE TABLE user_words (
    tenant_id uuid NOT NULL,
    word      text COLLATE "C" NOT NULL,
    user_id   uuid NOT NULL
);
INSERT INTO user_words (tenant_id, word, user_id)
SELECT DISTINCT u.tenant_id, w.word, u.id
FROM users u CROSS JOIN LATERAL regexp_split_to_table(u.display_name_key || ' ' || split_part(u.user_name_key, '@', 1),
    E'[\u0001-/:-`{-\u007f\u00a0\u2000-\u206f\u3000]+') w (word)
WHERE w.word <> '' AND NOT starts_with(u.display_name_key, w.word) AND NOT starts_with(u.user_name_key, w.word);
-- Behind the rows: in order they go into the index many times as fast.
ALTER TABLE user_words ADD PRIMARY KEY (tenant_id, word, user_id);

CREATE INDEX users_inactive ON users (tenant_id, connection_id, display_name_key) WHERE NOT active;

-- +goose Down
DROP INDEX users_inactive;
DROP TABLE user_words;
