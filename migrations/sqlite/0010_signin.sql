-- Signing in: who is signed in, and what may not be any more.
--
-- Of every secret that opens something only the SHA-256 is kept. What a person
-- began, or could begin with, goes in the transaction that takes her away.

-- +goose Up

-- A row is somebody who is signed in. seen_at is coarse.
CREATE TABLE sessions (
    tenant_id        text NOT NULL,
    id               text NOT NULL,
    user_id          text NOT NULL,
    hash             blob NOT NULL UNIQUE,
    method           text NOT NULL,
    connection_id    text,
    issuer           text NOT NULL,
    subject          text NOT NULL,
    provider_session text NOT NULL,
    created_at       integer NOT NULL,
    seen_at          integer NOT NULL,
    expires_at       integer NOT NULL,
    user_agent       text NOT NULL,
    address          text NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX sessions_by_user ON sessions (tenant_id, user_id);
CREATE INDEX sessions_by_subject ON sessions (tenant_id, connection_id, subject) WHERE connection_id IS NOT NULL;
CREATE INDEX sessions_by_provider ON sessions (tenant_id, connection_id, provider_session) WHERE provider_session <> '';
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

-- A sign-in that began up to an instant comes to nothing: of a user, of a subject
-- at a provider, or of a provider's session, whose names are hashed into key. Also
-- what those wait for who give and take a session of one at the same time.
CREATE TABLE cutoffs (
    tenant_id  text NOT NULL,
    key        blob NOT NULL,
    at         integer NOT NULL,
    expires_at integer NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX cutoffs_by_expiry ON cutoffs (expires_at);

-- How a connection signs people in. doc is the rest of the settings as JSON; sealed
-- is what we prove ourselves with, which the store never sees open.
CREATE TABLE providers (
    tenant_id     text NOT NULL,
    connection_id text NOT NULL,
    issuer        text NOT NULL,
    client_id     text NOT NULL,
    sealed        text NOT NULL,
    enabled       integer NOT NULL,
    doc           text NOT NULL,
    created_at    integer NOT NULL,
    changed_at    integer NOT NULL,
    PRIMARY KEY (tenant_id, connection_id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id)
);
CREATE INDEX providers_by_issuer ON providers (issuer);

-- Who signs in with an e-mail address of a domain is asked for no tenant.
CREATE TABLE provider_domains (
    tenant_id     text NOT NULL,
    connection_id text NOT NULL,
    domain        text NOT NULL,
    PRIMARY KEY (tenant_id, connection_id, domain),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES providers (tenant_id, connection_id)
);
CREATE INDEX provider_domains_by_domain ON provider_domains (domain);

-- A sign-in that has begun, until the browser that began it comes back. state and
-- browser are hashes; sealed is what finishes it.
CREATE TABLE signins (
    tenant_id     text NOT NULL,
    state         blob NOT NULL UNIQUE,
    connection_id text NOT NULL,
    browser       blob NOT NULL,
    sealed        text NOT NULL,
    return_to     text NOT NULL,
    begun_at      integer NOT NULL,
    expires_at    integer NOT NULL,
    PRIMARY KEY (tenant_id, state),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES providers (tenant_id, connection_id)
);
CREATE INDEX signins_in_order ON signins (tenant_id, begun_at, state);
CREATE INDEX signins_by_expiry ON signins (expires_at);

-- Who a provider's subject is. The row goes with the user; neither is anybody else's
-- then.
CREATE TABLE identities (
    tenant_id     text NOT NULL,
    connection_id text NOT NULL,
    issuer        text NOT NULL,
    subject       text NOT NULL,
    user_id       text NOT NULL,
    created_at    integer NOT NULL,
    PRIMARY KEY (tenant_id, connection_id, issuer, subject),
    UNIQUE (tenant_id, user_id, connection_id, issuer)
);

-- Tokens that work once, by the hash of their name, for as long as they work.
CREATE TABLE used_tokens (
    tenant_id  text NOT NULL,
    key        blob NOT NULL,
    expires_at integer NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX used_tokens_by_expiry ON used_tokens (expires_at);

-- People whom no identity provider knows, asked in by a link or a printed code.
-- hash is that of the link or of the whole code, and handle the part of a code that
-- guesses are counted by. grants is JSON. user_id is whom it is for, or who came of
-- it.
CREATE TABLE invitations (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    kind          text NOT NULL,
    display_name  text NOT NULL,
    email         text NOT NULL,
    user_id       text,
    sponsor_id    text,
    invited_by    text,
    grants        text NOT NULL,
    account_ends  integer NOT NULL,
    form          text NOT NULL,
    hash          blob NOT NULL UNIQUE,
    handle        text UNIQUE,
    attempts      integer NOT NULL,
    created_at    integer NOT NULL,
    sent_at       integer NOT NULL,
    expires_at    integer NOT NULL,
    accepted_at   integer NOT NULL,
    withdrawn_at  integer NOT NULL,
    withdrawn_why text NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX invitations_by_user ON invitations (tenant_id, user_id) WHERE user_id IS NOT NULL AND accepted_at = 0 AND withdrawn_at = 0;
CREATE INDEX invitations_by_sponsor ON invitations (tenant_id, sponsor_id) WHERE sponsor_id IS NOT NULL AND accepted_at = 0 AND withdrawn_at = 0;
CREATE INDEX invitations_by_inviter ON invitations (tenant_id, invited_by) WHERE invited_by IS NOT NULL AND accepted_at = 0 AND withdrawn_at = 0;

-- What people outside sign in with (Web Authentication Level 3). flags are those of
-- the authenticator data; transports is a JSON array.
CREATE TABLE passkeys (
    tenant_id    text NOT NULL,
    id           text NOT NULL,
    user_id      text NOT NULL,
    credential   blob NOT NULL UNIQUE,
    public_key   blob NOT NULL,
    sign_count   integer NOT NULL,
    flags        integer NOT NULL,
    transports   text NOT NULL,
    aaguid       text NOT NULL,
    name         text NOT NULL,
    created_at   integer NOT NULL,
    last_used_at integer NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX passkeys_by_user ON passkeys (tenant_id, user_id);

-- A challenge that a browser was given, until it is answered. user_id is NULL when
-- anybody may answer.
CREATE TABLE ceremonies (
    tenant_id  text NOT NULL,
    key        blob NOT NULL UNIQUE,
    user_id    text,
    data       text NOT NULL,
    begun_at   integer NOT NULL,
    expires_at integer NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX ceremonies_by_user ON ceremonies (tenant_id, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX ceremonies_in_order ON ceremonies (tenant_id, begun_at, key);
CREATE INDEX ceremonies_by_expiry ON ceremonies (expires_at);

-- Ways in that need nobody inside: the set-up link of a tenant without an owner, and
-- break-glass. Rows of break-glass stay, to tell of past uses.
CREATE TABLE entrances (
    tenant_id  text NOT NULL,
    id         text NOT NULL,
    kind       text NOT NULL,
    hash       blob NOT NULL UNIQUE,
    user_id    text,
    created_by text NOT NULL,
    created_at integer NOT NULL,
    expires_at integer NOT NULL,
    used_at    integer NOT NULL,
    used_from  text NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

-- +goose Down
DROP TABLE entrances;
DROP TABLE ceremonies;
DROP TABLE passkeys;
DROP TABLE invitations;
DROP TABLE used_tokens;
DROP TABLE identities;
DROP TABLE signins;
DROP TABLE provider_domains;
DROP TABLE providers;
DROP TABLE cutoffs;
DROP TABLE sessions;
