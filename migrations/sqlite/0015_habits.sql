-- What people keep for themselves in the console.

-- +goose Up

-- An address of the console under a name: a list with its filters. A shared one is
-- offered to everybody who may open its page.
CREATE TABLE views (
    tenant_id  text NOT NULL,
    id         text NOT NULL,
    user_id    text NOT NULL,
    name       text NOT NULL,
    path       text NOT NULL,
    shared     integer NOT NULL,
    created_at integer NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX views_by_user ON views (tenant_id, user_id);
CREATE INDEX views_shared ON views (tenant_id, id) WHERE shared;

-- What somebody has typed and not sent, for a while.
CREATE TABLE drafts (
    tenant_id  text NOT NULL,
    id         text NOT NULL,
    user_id    text NOT NULL,
    doc        text NOT NULL,
    begun_at   integer NOT NULL,
    expires_at integer NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX drafts_by_user ON drafts (tenant_id, user_id, id);
CREATE INDEX drafts_by_expiry ON drafts (expires_at);

-- +goose Down
DROP TABLE drafts;
DROP TABLE views;
