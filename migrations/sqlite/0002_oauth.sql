-- OAuth 2.0 for provisioning: the client of a connection, what it proves itself
-- with, and the access tokens that it was given.
--
-- All of it goes with its connection.

-- +goose Up

CREATE TABLE clients (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    connection_id text NOT NULL,
    created_at    integer NOT NULL,
    revoked_at    integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX clients_by_connection ON clients (tenant_id, connection_id);
CREATE UNIQUE INDEX clients_live ON clients (tenant_id, connection_id) WHERE revoked_at = 0;

-- A credential is a secret, found by its SHA-256, or a federation: what the
-- assertions of an issuer must say. The other one's columns are NULL or ''.
CREATE TABLE client_credentials (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    connection_id text NOT NULL,
    client_id     text NOT NULL,
    hash          blob UNIQUE,
    hint          text NOT NULL,
    issuer        text NOT NULL,
    subject       text NOT NULL,
    entra_tenant  text NOT NULL,
    audience      text NOT NULL,
    keys_url      text NOT NULL,
    created_at    integer NOT NULL,
    expires_at    integer NOT NULL,
    revoked_at    integer NOT NULL DEFAULT 0,
    last_used_at  integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, client_id) REFERENCES clients (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX client_credentials_by_client ON client_credentials (tenant_id, client_id);
CREATE UNIQUE INDEX client_federations ON client_credentials (client_id) WHERE hash IS NULL AND revoked_at = 0;

-- An access token lives as long as its credential does, and no longer than
-- expires_at. assertion is the SHA-256 of the id of the assertion that it was
-- given for, so that none is taken twice; NULL when there is no id.
CREATE TABLE access_tokens (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    connection_id text NOT NULL,
    credential_id text NOT NULL,
    hash          blob NOT NULL UNIQUE,
    hint          text NOT NULL,
    assertion     blob,
    created_at    integer NOT NULL,
    expires_at    integer NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, connection_id, assertion),
    FOREIGN KEY (tenant_id, credential_id) REFERENCES client_credentials (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX access_tokens_by_credential ON access_tokens (tenant_id, credential_id);
CREATE INDEX access_tokens_by_expiry ON access_tokens (expires_at);

-- +goose Down
DROP TABLE access_tokens;
DROP TABLE client_credentials;
DROP TABLE clients;
