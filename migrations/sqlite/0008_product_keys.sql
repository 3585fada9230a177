-- Product keys: what a product calls the API with.
--
-- A key is of the row of its product, not of its name, so that a product that is
-- made anew under the same name inherits none; NULL is the console, which is built
-- in. A key of a product that was removed opens nothing.

-- +goose Up

CREATE TABLE product_keys (
    tenant_id    text NOT NULL REFERENCES tenants (id),
    id           text NOT NULL,
    product_id   text,
    hash         blob NOT NULL UNIQUE,
    hint         text NOT NULL,
    search       integer NOT NULL,
    created_at   integer NOT NULL,
    expires_at   integer NOT NULL,
    revoked_at   integer NOT NULL DEFAULT 0,
    last_used_at integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id)
);

-- +goose Down
DROP TABLE product_keys;
