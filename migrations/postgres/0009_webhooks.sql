-- Webhooks: where products are told what changed, what they were told, and what
-- is still to be sent. The log of changes is the outbox; all of this follows it.

-- +goose Up

-- One address of a product. disabled_at is when it said that it is gone, or was
-- switched off.
CREATE TABLE webhooks (
    tenant_id    uuid NOT NULL REFERENCES tenants (id),
    id           uuid NOT NULL,
    product      text COLLATE "C" NOT NULL,
    url          text COLLATE "C" NOT NULL,
    created_at   bigint NOT NULL,
    disabled_at  bigint NOT NULL,
    disabled_why text NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, product, url)
);

-- What deliveries are signed with, sealed. Of two live ones both sign.
CREATE TABLE webhook_secrets (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    webhook_id uuid NOT NULL,
    sealed     text NOT NULL,
    hint       text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks (tenant_id, id) ON DELETE CASCADE
);

-- How far a tenant's log has been told: up to the cursor, by the policy of a
-- revision, at an instant. pass is JSON while many people are gone through, done
-- the last of them. One process at a time is the holder; it moves beat as long as
-- it lives, and version with each step.
CREATE TABLE webhook_feeds (
    tenant_id uuid PRIMARY KEY REFERENCES tenants (id),
    version   bigint NOT NULL,
    holder    text NOT NULL,
    beat      bigint NOT NULL,
    seq       bigint NOT NULL,
    cursor    text NOT NULL,
    at        bigint NOT NULL,
    revision  text NOT NULL,
    pass      text NOT NULL,
    done      text NOT NULL
);

-- The policies that feeds and their passes name, as JSON.
CREATE TABLE webhook_policies (
    tenant_id uuid NOT NULL,
    revision  text NOT NULL,
    doc       text NOT NULL,
    PRIMARY KEY (tenant_id, revision)
);

-- What decided about each person when products were last told of her, as JSON.
CREATE TABLE webhook_people (
    tenant_id uuid NOT NULL,
    user_id   uuid NOT NULL,
    person    text NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
);

-- What is to be sent and what was. seq is the order of a tenant's events, which
-- those of a person keep. There is no foreign key: the log outlives its webhook.
CREATE TABLE webhook_deliveries (
    tenant_id  uuid NOT NULL,
    id         uuid NOT NULL,
    webhook_id uuid NOT NULL,
    seq        bigint NOT NULL,
    user_id    uuid NOT NULL,
    type       text NOT NULL,
    body       text NOT NULL,
    created_at bigint NOT NULL,
    state      text NOT NULL,
    attempts   bigint NOT NULL,
    next_at    bigint NOT NULL,
    status     bigint NOT NULL,
    error      text NOT NULL,
    ended_at   bigint NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX webhook_deliveries_by_person ON webhook_deliveries (tenant_id, webhook_id, user_id, seq);
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (tenant_id, webhook_id, seq);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (tenant_id, webhook_id, next_at, seq) WHERE state = 'waiting';
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (tenant_id, ended_at) WHERE state <> 'waiting';

-- +goose Down
DROP TABLE webhook_deliveries;
DROP TABLE webhook_people;
DROP TABLE webhook_policies;
DROP TABLE webhook_feeds;
DROP TABLE webhook_secrets;
DROP TABLE webhooks;
