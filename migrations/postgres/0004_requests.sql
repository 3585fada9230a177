-- The flight recorder: what identity providers sent, and what they were
-- answered, for as long as the setting record-for says.
--
-- An id begins with the time, so that the indexes are in order of time and old
-- rows are found by their id. A row may stand for several requests (count):
-- refused ones beyond the first few of a minute, and those that were not kept.
-- Like users, requests have no foreign key to their connection.

-- +goose Up

CREATE TABLE requests (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    connection_id uuid NOT NULL,
    at            bigint NOT NULL,
    took_us       bigint NOT NULL,
    count         bigint NOT NULL,
    token_id      text NOT NULL,
    request_id    text NOT NULL,
    method        text NOT NULL,
    path          text NOT NULL,
    query         text NOT NULL,
    status        bigint NOT NULL,
    scim_type     text NOT NULL,
    cause         text NOT NULL,
    detail        text NOT NULL,
    resource_kind text NOT NULL,
    resource_id   text NOT NULL,
    headers       text NOT NULL,
    notes         text NOT NULL,
    body          text NOT NULL,
    body_size     bigint NOT NULL,
    body_note     text NOT NULL,
    answer        text NOT NULL,
    answer_size   bigint NOT NULL,
    answer_note   text NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX requests_by_connection ON requests (tenant_id, connection_id, id);
CREATE INDEX requests_by_resource ON requests (tenant_id, resource_id, id) WHERE resource_id <> '';
CREATE INDEX requests_with_cause ON requests (tenant_id, connection_id, id) WHERE cause <> '';

-- +goose Down
DROP TABLE requests;
