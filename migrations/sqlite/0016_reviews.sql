-- Access reviews, and when somebody was last here.

-- +goose Up

-- When each user last signed in: sessions are forgotten soon after they end.
CREATE TABLE visits (
    tenant_id text NOT NULL,
    user_id   text NOT NULL,
    at        integer NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
) WITHOUT ROWID;

INSERT INTO visits (tenant_id, user_id, at)
SELECT c.tenant_id, u.id, MAX(c.at) FROM changes c
JOIN users u ON u.tenant_id = c.tenant_id AND u.id = json_extract(c.detail, '$.user')
WHERE c.action = 'session.created' GROUP BY c.tenant_id, u.id;

-- A look at who has what, at a site, in a product, or by a role of one. The names are
-- those of the day: a review is shown years later.
CREATE TABLE reviews (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    name          text NOT NULL,
    site          text NOT NULL,
    product       text NOT NULL,
    role          text NOT NULL,
    previous_id   text,
    reviewer_id   text NOT NULL,
    reviewer_name text NOT NULL,
    opened_by     text NOT NULL,
    opened_at     integer NOT NULL,
    due_at        integer NOT NULL,
    months        integer NOT NULL, -- until the next one; 0 for none
    finished_at   integer NOT NULL,
    withdrawn_at  integer NOT NULL,
    ended_by      text NOT NULL,
    proposal      text NOT NULL, -- the key of the save with its changes
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX reviews_open ON reviews (tenant_id, site, product, role) WHERE finished_at = 0 AND withdrawn_at = 0;
CREATE INDEX reviews_finished ON reviews (tenant_id, site, product, role, id) WHERE finished_at <> 0;

-- What somebody had when the review was opened, why it needs a decision, and the
-- decision.
CREATE TABLE review_people (
    tenant_id    text NOT NULL,
    review_id    text NOT NULL,
    user_id      text NOT NULL,
    user_name    text NOT NULL,
    display_name text NOT NULL,
    connection   text NOT NULL,
    kind         text NOT NULL,
    seen_at      integer NOT NULL,
    flags        text NOT NULL,
    had          text NOT NULL,
    decision     text NOT NULL,
    why          text NOT NULL,
    PRIMARY KEY (tenant_id, review_id, user_id),
    FOREIGN KEY (tenant_id, review_id) REFERENCES reviews (tenant_id, id)
) WITHOUT ROWID;

-- +goose Down
DROP TABLE review_people;
DROP TABLE reviews;
DROP TABLE visits;
