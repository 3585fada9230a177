-- Made by 'make schema' from the migrations: read it, don't edit it.

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

CREATE TABLE ceremonies (
    tenant_id  text NOT NULL,
    key        blob NOT NULL UNIQUE,
    user_id    text,
    data       text NOT NULL,
    begun_at   integer NOT NULL,
    expires_at integer NOT NULL,
    PRIMARY KEY (tenant_id, key)
);

CREATE INDEX ceremonies_by_expiry ON ceremonies (expires_at);

CREATE INDEX ceremonies_by_user ON ceremonies (tenant_id, user_id) WHERE user_id IS NOT NULL;

CREATE INDEX ceremonies_in_order ON ceremonies (tenant_id, begun_at, key);

CREATE TRIGGER changes_are_kept BEFORE DELETE ON changes BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;

CREATE TRIGGER changes_stay BEFORE UPDATE ON changes BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;

CREATE TABLE "changes" (
    seq           integer PRIMARY KEY,
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    at            integer NOT NULL,
    actor_kind    text NOT NULL,
    actor_id      text NOT NULL,
    request_id    text NOT NULL,
    connection_id text,
    action        text NOT NULL,
    subject_kind  text NOT NULL,
    subject_id    text NOT NULL,
    subject_name  text NOT NULL,
    detail        text NOT NULL,
    UNIQUE (tenant_id, id)
);

CREATE INDEX changes_by_action ON changes (tenant_id, action, id)
    WHERE action NOT IN ('user.created', 'user.updated', 'group.created', 'group.updated', 'group.members', 'access_token.created');

CREATE INDEX changes_by_actor ON changes (tenant_id, actor_id, id) WHERE actor_kind <> 'scim';

CREATE INDEX changes_by_subject ON changes (tenant_id, subject_id, id);

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

CREATE TABLE connections (
    tenant_id       text NOT NULL REFERENCES tenants (id),
    id              text NOT NULL UNIQUE,
    name            text NOT NULL,
    name_key        text NOT NULL,
    idp             text NOT NULL,
    created_at      integer NOT NULL,
    last_request_at integer NOT NULL DEFAULT 0, ended_at integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, name_key)
);

CREATE TABLE cutoffs (
    tenant_id  text NOT NULL,
    key        blob NOT NULL,
    at         integer NOT NULL,
    expires_at integer NOT NULL,
    PRIMARY KEY (tenant_id, key)
);

CREATE INDEX cutoffs_by_expiry ON cutoffs (expires_at);

CREATE TABLE dimensions (
    tenant_id text NOT NULL,
    id        text NOT NULL,
    key       text NOT NULL,
    name      text NOT NULL,
    since     integer NOT NULL,
    change_id text NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, key)
);

CREATE TABLE dimensions_past (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    key           text NOT NULL,
    name          text NOT NULL,
    since         integer NOT NULL,
    until         integer NOT NULL,
    change_id     text NOT NULL,
    end_change_id text NOT NULL,
    PRIMARY KEY (tenant_id, id, end_change_id)
) WITHOUT ROWID;

CREATE TABLE drafts (
    tenant_id  text NOT NULL,
    id         text NOT NULL,
    user_id    text NOT NULL,
    doc        text NOT NULL,
    begun_at   integer NOT NULL,
    expires_at integer NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE INDEX drafts_by_expiry ON drafts (expires_at);

CREATE INDEX drafts_by_user ON drafts (tenant_id, user_id, id);

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

CREATE TABLE grants (
    tenant_id   text NOT NULL,
    id          text NOT NULL,
    user_id     text,
    group_id    text,
    effect      text NOT NULL,
    product     text NOT NULL,
    role        text NOT NULL,
    permission  text NOT NULL,
    level       text NOT NULL,
    attribute   text NOT NULL,
    value       text NOT NULL,
    scope       text NOT NULL,
    mask        text NOT NULL,
    valid_from  integer NOT NULL,
    valid_until integer NOT NULL,
    reason      text NOT NULL,
    origin      text NOT NULL,
    since       integer NOT NULL,
    change_id   text NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CHECK (user_id IS NULL OR group_id IS NULL)
);

CREATE INDEX grants_by_group ON grants (tenant_id, group_id) WHERE group_id IS NOT NULL;

CREATE INDEX grants_by_user ON grants (tenant_id, user_id) WHERE user_id IS NOT NULL;

CREATE TABLE grants_past (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    user_id       text,
    group_id      text,
    effect        text NOT NULL,
    product       text NOT NULL,
    role          text NOT NULL,
    permission    text NOT NULL,
    level         text NOT NULL,
    attribute     text NOT NULL,
    value         text NOT NULL,
    scope         text NOT NULL,
    mask          text NOT NULL,
    valid_from    integer NOT NULL,
    valid_until   integer NOT NULL,
    reason        text NOT NULL,
    origin        text NOT NULL,
    since         integer NOT NULL,
    until         integer NOT NULL,
    change_id     text NOT NULL,
    end_change_id text NOT NULL,
    PRIMARY KEY (tenant_id, id, end_change_id)
) WITHOUT ROWID;

CREATE INDEX grants_past_by_user ON grants_past (tenant_id, user_id) WHERE user_id IS NOT NULL;

CREATE TABLE groups (
    tenant_id        text NOT NULL,
    id               text NOT NULL,
    connection_id    text NOT NULL,
    external_id      text NOT NULL,
    display_name     text NOT NULL,
    display_name_key text NOT NULL,
    doc              text NOT NULL,
    search           text NOT NULL,
    version          integer NOT NULL,
    described_at     integer NOT NULL,
    created_at       integer NOT NULL,
    modified_at      integer NOT NULL, within integer NOT NULL DEFAULT 0, unfinished text,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, connection_id, display_name_key)
);

CREATE INDEX groups_by_external_id ON groups (tenant_id, connection_id, external_id);

CREATE UNIQUE INDEX groups_in_order ON groups (tenant_id, connection_id, id);

CREATE TABLE groups_past (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    version       integer NOT NULL,
    connection_id text NOT NULL,
    external_id   text NOT NULL,
    display_name  text NOT NULL,
    doc           text NOT NULL,
    valid_from    integer NOT NULL,
    valid_until   integer NOT NULL,
    change_id     text NOT NULL,
    PRIMARY KEY (tenant_id, id, version)
) WITHOUT ROWID;

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

CREATE INDEX invitations_by_inviter ON invitations (tenant_id, invited_by) WHERE invited_by IS NOT NULL AND accepted_at = 0 AND withdrawn_at = 0;

CREATE INDEX invitations_by_sponsor ON invitations (tenant_id, sponsor_id) WHERE sponsor_id IS NOT NULL AND accepted_at = 0 AND withdrawn_at = 0;

CREATE INDEX invitations_by_user ON invitations (tenant_id, user_id) WHERE user_id IS NOT NULL AND accepted_at = 0 AND withdrawn_at = 0;

CREATE TABLE "mails" (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    invitation_id text,
    address       text NOT NULL,
    sealed        text NOT NULL,
    attempts      integer NOT NULL,
    error         text NOT NULL,
    created_at    integer NOT NULL,
    due_at        integer NOT NULL,
    ended_at      integer NOT NULL,
    review_id     text,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, invitation_id) REFERENCES invitations (tenant_id, id),
    FOREIGN KEY (tenant_id, review_id) REFERENCES reviews (tenant_id, id)
);

CREATE INDEX mails_by_invitation ON mails (tenant_id, invitation_id, id);

CREATE INDEX mails_by_review ON mails (tenant_id, review_id) WHERE review_id IS NOT NULL;

CREATE INDEX mails_due ON mails (due_at) WHERE ended_at = 0;

CREATE TABLE members (
    tenant_id text NOT NULL,
    group_id  text NOT NULL,
    user_id   text NOT NULL,
    since     integer NOT NULL,
    change_id text NOT NULL,
    PRIMARY KEY (tenant_id, group_id, user_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users (tenant_id, id)
) WITHOUT ROWID;

CREATE UNIQUE INDEX members_by_user ON members (tenant_id, user_id, group_id);

CREATE TABLE members_past (
    tenant_id     text NOT NULL,
    group_id      text NOT NULL,
    user_id       text NOT NULL,
    since         integer NOT NULL,
    until         integer NOT NULL,
    change_id     text NOT NULL,
    end_change_id text NOT NULL,
    PRIMARY KEY (tenant_id, group_id, user_id, end_change_id)
) WITHOUT ROWID;

CREATE INDEX members_past_by_user ON members_past (tenant_id, user_id, since);

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

CREATE TABLE people (
    tenant_id     text NOT NULL,
    user_id       text NOT NULL,
    login_allowed integer NOT NULL,
    kind          text NOT NULL,
    expires_at    integer NOT NULL,
    sponsor_id    text,
    since         integer NOT NULL,
    change_id     text NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
) WITHOUT ROWID;

CREATE TABLE people_past (
    tenant_id     text NOT NULL,
    user_id       text NOT NULL,
    login_allowed integer NOT NULL,
    kind          text NOT NULL,
    expires_at    integer NOT NULL,
    sponsor_id    text,
    since         integer NOT NULL,
    until         integer NOT NULL,
    change_id     text NOT NULL,
    end_change_id text NOT NULL,
    PRIMARY KEY (tenant_id, user_id, end_change_id)
) WITHOUT ROWID;

CREATE TABLE policies (
    tenant_id  text PRIMARY KEY REFERENCES tenants (id),
    revision   text NOT NULL,
    changed_at integer NOT NULL
);

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

CREATE TABLE products (
    tenant_id text NOT NULL,
    id        text NOT NULL,
    key       text NOT NULL,
    doc       text NOT NULL,
    since     integer NOT NULL,
    change_id text NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, key)
);

CREATE TABLE products_past (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    key           text NOT NULL,
    doc           text NOT NULL,
    since         integer NOT NULL,
    until         integer NOT NULL,
    change_id     text NOT NULL,
    end_change_id text NOT NULL,
    PRIMARY KEY (tenant_id, id, end_change_id)
) WITHOUT ROWID;

CREATE TABLE provider_domains (
    tenant_id     text NOT NULL,
    connection_id text NOT NULL,
    domain        text NOT NULL,
    PRIMARY KEY (tenant_id, connection_id, domain),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES providers (tenant_id, connection_id)
);

CREATE INDEX provider_domains_by_domain ON provider_domains (domain);

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

CREATE TABLE requests (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    connection_id text NOT NULL,
    at            integer NOT NULL,
    took_us       integer NOT NULL,
    count         integer NOT NULL,
    token_id      text NOT NULL,
    request_id    text NOT NULL,
    method        text NOT NULL,
    path          text NOT NULL,
    query         text NOT NULL,
    status        integer NOT NULL,
    scim_type     text NOT NULL,
    cause         text NOT NULL,
    detail        text NOT NULL,
    resource_kind text NOT NULL,
    resource_id   text NOT NULL,
    headers       text NOT NULL,
    notes         text NOT NULL,
    body          text NOT NULL,
    body_size     integer NOT NULL,
    body_note     text NOT NULL,
    answer        text NOT NULL,
    answer_size   integer NOT NULL,
    answer_note   text NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE INDEX requests_by_connection ON requests (tenant_id, connection_id, id);

CREATE INDEX requests_by_resource ON requests (tenant_id, resource_id, id) WHERE resource_id <> '';

CREATE INDEX requests_with_cause ON requests (tenant_id, connection_id, id) WHERE cause <> '';

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
    proposal      text NOT NULL, reminded_at integer NOT NULL DEFAULT 0, -- the key of the save with its changes
    PRIMARY KEY (tenant_id, id)
);

CREATE INDEX reviews_finished ON reviews (tenant_id, site, product, role, id) WHERE finished_at <> 0;

CREATE UNIQUE INDEX reviews_open ON reviews (tenant_id, site, product, role) WHERE finished_at = 0 AND withdrawn_at = 0;

CREATE INDEX reviews_unreminded ON reviews (due_at) WHERE reminded_at = 0 AND finished_at = 0 AND withdrawn_at = 0;

CREATE TABLE seal_heads (
    tenant_id text PRIMARY KEY,
    seq       integer NOT NULL,
    hash      blob NOT NULL
) WITHOUT ROWID;

CREATE TRIGGER seals_are_kept BEFORE DELETE ON seals BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;

CREATE TRIGGER seals_stay BEFORE UPDATE ON seals BEGIN
    SELECT RAISE(ABORT, 'the log is append-only');
END;

CREATE TABLE seals (
    tenant_id text NOT NULL,
    seq       integer NOT NULL,
    cursor    text NOT NULL,
    changes   integer NOT NULL,
    previous  blob NOT NULL,
    covers    blob NOT NULL,
    hash      blob NOT NULL,
    sealed_at integer NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);

CREATE TABLE secrets (
    name  text PRIMARY KEY,
    value blob NOT NULL
);

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

CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE INDEX sessions_by_provider ON sessions (tenant_id, connection_id, provider_session) WHERE provider_session <> '';

CREATE INDEX sessions_by_subject ON sessions (tenant_id, connection_id, subject) WHERE connection_id IS NOT NULL;

CREATE INDEX sessions_by_user ON sessions (tenant_id, user_id);

CREATE TABLE setup_links (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    connection_id text NOT NULL,
    hash          blob NOT NULL UNIQUE,
    created_at    integer NOT NULL,
    expires_at    integer NOT NULL,
    revoked_at    integer NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id)
);

CREATE INDEX setup_links_by_connection ON setup_links (tenant_id, connection_id, id);

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

CREATE INDEX signins_by_expiry ON signins (expires_at);

CREATE INDEX signins_in_order ON signins (tenant_id, begun_at, state);

CREATE TABLE sites (
    tenant_id text NOT NULL,
    id        text NOT NULL,
    dimension text NOT NULL,
    key       text NOT NULL,
    name      text NOT NULL,
    parent_id text,
    archived  integer NOT NULL,
    since     integer NOT NULL,
    change_id text NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, dimension) REFERENCES dimensions (tenant_id, key)
);

CREATE UNIQUE INDEX sites_by_key ON sites (tenant_id, dimension, key) WHERE key <> '';

CREATE TABLE sites_past (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    dimension     text NOT NULL,
    key           text NOT NULL,
    name          text NOT NULL,
    parent_id     text,
    archived      integer NOT NULL,
    since         integer NOT NULL,
    until         integer NOT NULL,
    change_id     text NOT NULL,
    end_change_id text NOT NULL,
    PRIMARY KEY (tenant_id, id, end_change_id)
) WITHOUT ROWID;

CREATE TABLE sizes (
    tenant_id     text NOT NULL,
    connection_id text NOT NULL,
    kind          text NOT NULL, -- user or group
    lane          integer NOT NULL,
    created       integer NOT NULL,
    deleted       integer NOT NULL,
    PRIMARY KEY (tenant_id, connection_id, kind, lane)
) WITHOUT ROWID;

CREATE TABLE subgroups (
    tenant_id text NOT NULL,
    group_id  text NOT NULL,
    member_id text NOT NULL,
    since     integer NOT NULL,
    change_id text NOT NULL,
    PRIMARY KEY (tenant_id, group_id, member_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id),
    FOREIGN KEY (tenant_id, member_id) REFERENCES groups (tenant_id, id)
) WITHOUT ROWID;

CREATE UNIQUE INDEX subgroups_by_member ON subgroups (tenant_id, member_id, group_id);

CREATE TABLE subgroups_past (
    tenant_id     text NOT NULL,
    group_id      text NOT NULL,
    member_id     text NOT NULL,
    since         integer NOT NULL,
    until         integer NOT NULL,
    change_id     text NOT NULL,
    end_change_id text NOT NULL,
    PRIMARY KEY (tenant_id, group_id, member_id, end_change_id)
) WITHOUT ROWID;

CREATE TABLE tenants (
    id         text PRIMARY KEY,
    name       text NOT NULL,
    name_key   text NOT NULL UNIQUE,
    created_at integer NOT NULL
);

CREATE TABLE tokens (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    connection_id text NOT NULL,
    hash          blob NOT NULL UNIQUE,
    hint          text NOT NULL,
    created_at    integer NOT NULL,
    expires_at    integer NOT NULL,
    revoked_at    integer NOT NULL DEFAULT 0,
    last_used_at  integer NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, connection_id) REFERENCES connections (tenant_id, id)
);

CREATE INDEX tokens_by_connection ON tokens (tenant_id, connection_id);

CREATE TABLE unfinished (
    tenant_id     text NOT NULL,
    change_id     text NOT NULL, -- what the log will call it
    connection_id text NOT NULL,
    group_id      text NOT NULL,
    deletes       integer NOT NULL, -- whether the group goes with its members
    actor_kind    text NOT NULL,
    actor_id      text NOT NULL,
    request_id    text NOT NULL,
    PRIMARY KEY (tenant_id, change_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id)
) WITHOUT ROWID;

CREATE TABLE unfinished_parts (
    tenant_id text NOT NULL,
    change_id text NOT NULL,
    part      integer NOT NULL,
    come      text NOT NULL,
    gone      text NOT NULL,
    PRIMARY KEY (tenant_id, change_id, part)
);

CREATE TABLE used_tokens (
    tenant_id  text NOT NULL,
    key        blob NOT NULL,
    expires_at integer NOT NULL,
    PRIMARY KEY (tenant_id, key)
);

CREATE INDEX used_tokens_by_expiry ON used_tokens (expires_at);

CREATE TABLE user_emails (
    tenant_id     text NOT NULL,
    connection_id text NOT NULL,
    value_key     text NOT NULL,
    user_id       text NOT NULL,
    PRIMARY KEY (tenant_id, user_id, value_key)
) WITHOUT ROWID;

CREATE INDEX user_emails_by_value ON user_emails (tenant_id, connection_id, value_key);

CREATE TABLE user_words (
    tenant_id text NOT NULL,
    word      text NOT NULL,
    user_id   text NOT NULL,
    PRIMARY KEY (tenant_id, word, user_id)
) WITHOUT ROWID;

CREATE TABLE users (
    tenant_id        text NOT NULL,
    id               text NOT NULL,
    connection_id    text NOT NULL,
    user_name        text NOT NULL,
    user_name_key    text NOT NULL,
    external_id      text NOT NULL,
    display_name     text NOT NULL,
    display_name_key text NOT NULL,
    active           integer NOT NULL,
    doc              text NOT NULL,
    search           text NOT NULL,
    version          integer NOT NULL,
    created_at       integer NOT NULL,
    modified_at      integer NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, connection_id, user_name_key)
);

CREATE INDEX users_by_display_name ON users (tenant_id, connection_id, display_name_key);

CREATE INDEX users_by_external_id ON users (tenant_id, connection_id, external_id);

CREATE UNIQUE INDEX users_in_order ON users (tenant_id, connection_id, id);

CREATE INDEX users_inactive ON users (tenant_id, connection_id, display_name_key) WHERE NOT active;

CREATE TABLE users_past (
    tenant_id     text NOT NULL,
    id            text NOT NULL,
    version       integer NOT NULL,
    connection_id text NOT NULL,
    user_name     text NOT NULL,
    external_id   text NOT NULL,
    display_name  text NOT NULL,
    active        integer NOT NULL,
    doc           text NOT NULL,
    valid_from    integer NOT NULL,
    valid_until   integer NOT NULL,
    change_id     text NOT NULL,
    PRIMARY KEY (tenant_id, id, version)
) WITHOUT ROWID;

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

CREATE TABLE visits (
    tenant_id text NOT NULL,
    user_id   text NOT NULL,
    at        integer NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
) WITHOUT ROWID;

CREATE TABLE webhook_deliveries (
    tenant_id  text NOT NULL,
    id         text NOT NULL,
    webhook_id text NOT NULL,
    seq        integer NOT NULL,
    user_id    text NOT NULL,
    type       text NOT NULL,
    body       text NOT NULL,
    created_at integer NOT NULL,
    state      text NOT NULL,
    attempts   integer NOT NULL,
    next_at    integer NOT NULL,
    status     integer NOT NULL,
    error      text NOT NULL,
    ended_at   integer NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE INDEX webhook_deliveries_by_person ON webhook_deliveries (tenant_id, webhook_id, user_id, seq);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (tenant_id, webhook_id, next_at, seq) WHERE state = 'waiting';

CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (tenant_id, ended_at) WHERE state <> 'waiting';

CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (tenant_id, webhook_id, seq);

CREATE TABLE webhook_feeds (
    tenant_id text PRIMARY KEY REFERENCES tenants (id),
    version   integer NOT NULL,
    holder    text NOT NULL,
    beat      integer NOT NULL,
    seq       integer NOT NULL,
    cursor    text NOT NULL,
    at        integer NOT NULL,
    revision  text NOT NULL,
    pass      text NOT NULL,
    done      text NOT NULL
);

CREATE TABLE webhook_people (
    tenant_id text NOT NULL,
    user_id   text NOT NULL,
    person    text NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
) WITHOUT ROWID;

CREATE TABLE webhook_policies (
    tenant_id text NOT NULL,
    revision  text NOT NULL,
    doc       text NOT NULL,
    PRIMARY KEY (tenant_id, revision)
);

CREATE TABLE webhook_secrets (
    tenant_id  text NOT NULL,
    id         text NOT NULL,
    webhook_id text NOT NULL,
    sealed     text NOT NULL,
    hint       text NOT NULL,
    created_at integer NOT NULL,
    expires_at integer NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE webhooks (
    tenant_id    text NOT NULL REFERENCES tenants (id),
    id           text NOT NULL,
    product      text NOT NULL,
    url          text NOT NULL,
    created_at   integer NOT NULL,
    disabled_at  integer NOT NULL,
    disabled_why text NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, product, url)
);
