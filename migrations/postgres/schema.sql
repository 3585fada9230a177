-- Made by 'make schema' from the migrations: read it, don't edit it.

CREATE FUNCTION public.refuse_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only';
END
$$;

CREATE TABLE public.access_tokens (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    connection_id uuid NOT NULL,
    credential_id uuid NOT NULL,
    hash bytea NOT NULL,
    hint text NOT NULL,
    assertion bytea,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL
);

CREATE TABLE public.ceremonies (
    tenant_id uuid NOT NULL,
    key bytea NOT NULL,
    user_id uuid,
    data text NOT NULL,
    begun_at bigint NOT NULL,
    expires_at bigint NOT NULL
);

CREATE TABLE public.changes (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    at bigint NOT NULL,
    actor_kind text NOT NULL,
    actor_id text NOT NULL,
    request_id text NOT NULL,
    connection_id uuid,
    action text NOT NULL,
    subject_kind text NOT NULL,
    subject_id uuid NOT NULL,
    subject_name text NOT NULL,
    detail text NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL
);

CREATE TABLE public.client_credentials (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    connection_id uuid NOT NULL,
    client_id uuid NOT NULL,
    hash bytea,
    hint text NOT NULL,
    issuer text NOT NULL,
    subject text NOT NULL,
    entra_tenant text NOT NULL,
    audience text NOT NULL,
    keys_url text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    revoked_at bigint DEFAULT 0 NOT NULL,
    last_used_at bigint DEFAULT 0 NOT NULL
);

CREATE TABLE public.clients (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    connection_id uuid NOT NULL,
    created_at bigint NOT NULL,
    revoked_at bigint DEFAULT 0 NOT NULL
);

CREATE TABLE public.connections (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    name_key text NOT NULL COLLATE pg_catalog."C",
    idp text NOT NULL,
    created_at bigint NOT NULL,
    last_request_at bigint DEFAULT 0 NOT NULL,
    ended_at bigint DEFAULT 0 NOT NULL
);

CREATE TABLE public.cutoffs (
    tenant_id uuid NOT NULL,
    key bytea NOT NULL,
    at bigint NOT NULL,
    expires_at bigint NOT NULL
);

CREATE TABLE public.dimensions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    since bigint NOT NULL,
    change_id uuid NOT NULL
);

CREATE TABLE public.dimensions_past (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    key text NOT NULL,
    name text NOT NULL,
    since bigint NOT NULL,
    until bigint NOT NULL,
    change_id uuid NOT NULL,
    end_change_id uuid NOT NULL
);

CREATE TABLE public.drafts (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    doc text NOT NULL,
    begun_at bigint NOT NULL,
    expires_at bigint NOT NULL
);

CREATE TABLE public.entrances (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    hash bytea NOT NULL,
    user_id uuid,
    created_by text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    used_at bigint NOT NULL,
    used_from text NOT NULL
);

CREATE TABLE public.grants (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid,
    group_id uuid,
    effect text NOT NULL,
    product text NOT NULL,
    role text NOT NULL,
    permission text NOT NULL,
    level text NOT NULL,
    attribute text NOT NULL,
    value text NOT NULL,
    scope text NOT NULL,
    mask text NOT NULL,
    valid_from bigint NOT NULL,
    valid_until bigint NOT NULL,
    reason text NOT NULL,
    origin text NOT NULL,
    since bigint NOT NULL,
    change_id uuid NOT NULL,
    CONSTRAINT grants_check CHECK (((user_id IS NULL) OR (group_id IS NULL)))
);

CREATE TABLE public.grants_past (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid,
    group_id uuid,
    effect text NOT NULL,
    product text NOT NULL,
    role text NOT NULL,
    permission text NOT NULL,
    level text NOT NULL,
    attribute text NOT NULL,
    value text NOT NULL,
    scope text NOT NULL,
    mask text NOT NULL,
    valid_from bigint NOT NULL,
    valid_until bigint NOT NULL,
    reason text NOT NULL,
    origin text NOT NULL,
    since bigint NOT NULL,
    until bigint NOT NULL,
    change_id uuid NOT NULL,
    end_change_id uuid NOT NULL
);

CREATE TABLE public.groups (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    connection_id uuid NOT NULL,
    external_id text NOT NULL COLLATE pg_catalog."C",
    display_name text NOT NULL,
    display_name_key text NOT NULL COLLATE pg_catalog."C",
    doc text NOT NULL,
    search jsonb NOT NULL,
    version bigint NOT NULL,
    described_at bigint NOT NULL,
    created_at bigint NOT NULL,
    modified_at bigint NOT NULL,
    within smallint DEFAULT 0 NOT NULL,
    unfinished uuid
)
WITH (fillfactor='70');

CREATE TABLE public.groups_past (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    version bigint NOT NULL,
    connection_id uuid NOT NULL,
    external_id text NOT NULL,
    display_name text NOT NULL,
    doc text NOT NULL,
    valid_from bigint NOT NULL,
    valid_until bigint NOT NULL,
    change_id uuid NOT NULL
);

CREATE TABLE public.identities (
    tenant_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    issuer text NOT NULL COLLATE pg_catalog."C",
    subject text NOT NULL COLLATE pg_catalog."C",
    user_id uuid NOT NULL,
    created_at bigint NOT NULL
);

CREATE TABLE public.invitations (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    display_name text NOT NULL,
    email text NOT NULL,
    user_id uuid,
    sponsor_id uuid,
    invited_by uuid,
    grants text NOT NULL,
    account_ends bigint NOT NULL,
    form text NOT NULL,
    hash bytea NOT NULL,
    handle text COLLATE pg_catalog."C",
    attempts bigint NOT NULL,
    created_at bigint NOT NULL,
    sent_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    accepted_at bigint NOT NULL,
    withdrawn_at bigint NOT NULL,
    withdrawn_why text NOT NULL
);

CREATE TABLE public.mails (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    invitation_id uuid,
    address text NOT NULL,
    sealed text NOT NULL,
    attempts bigint NOT NULL,
    error text NOT NULL,
    created_at bigint NOT NULL,
    due_at bigint NOT NULL,
    ended_at bigint NOT NULL,
    review_id uuid
);

CREATE TABLE public.members (
    tenant_id uuid NOT NULL,
    group_id uuid NOT NULL,
    user_id uuid NOT NULL,
    since bigint NOT NULL,
    change_id uuid NOT NULL
);

CREATE TABLE public.members_past (
    tenant_id uuid NOT NULL,
    group_id uuid NOT NULL,
    user_id uuid NOT NULL,
    since bigint NOT NULL,
    until bigint NOT NULL,
    change_id uuid NOT NULL,
    end_change_id uuid NOT NULL
);

CREATE TABLE public.passkeys (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    credential bytea NOT NULL,
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL,
    flags bigint NOT NULL,
    transports text NOT NULL,
    aaguid text NOT NULL,
    name text NOT NULL,
    created_at bigint NOT NULL,
    last_used_at bigint NOT NULL
);

CREATE TABLE public.people (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    login_allowed boolean NOT NULL,
    kind text NOT NULL,
    expires_at bigint NOT NULL,
    sponsor_id uuid,
    since bigint NOT NULL,
    change_id uuid NOT NULL
);

CREATE TABLE public.people_past (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    login_allowed boolean NOT NULL,
    kind text NOT NULL,
    expires_at bigint NOT NULL,
    sponsor_id uuid,
    since bigint NOT NULL,
    until bigint NOT NULL,
    change_id uuid NOT NULL,
    end_change_id uuid NOT NULL
);

CREATE TABLE public.policies (
    tenant_id uuid NOT NULL,
    revision uuid NOT NULL,
    changed_at bigint NOT NULL
);

CREATE TABLE public.product_keys (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    product_id uuid,
    hash bytea NOT NULL,
    hint text NOT NULL,
    search boolean NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    revoked_at bigint DEFAULT 0 NOT NULL,
    last_used_at bigint DEFAULT 0 NOT NULL
);

CREATE TABLE public.products (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    key text NOT NULL COLLATE pg_catalog."C",
    doc text NOT NULL,
    since bigint NOT NULL,
    change_id uuid NOT NULL
);

CREATE TABLE public.products_past (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    key text NOT NULL,
    doc text NOT NULL,
    since bigint NOT NULL,
    until bigint NOT NULL,
    change_id uuid NOT NULL,
    end_change_id uuid NOT NULL
);

CREATE TABLE public.provider_domains (
    tenant_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    domain text NOT NULL COLLATE pg_catalog."C"
);

CREATE TABLE public.providers (
    tenant_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    issuer text NOT NULL COLLATE pg_catalog."C",
    client_id text NOT NULL,
    sealed text NOT NULL,
    enabled boolean NOT NULL,
    doc text NOT NULL,
    created_at bigint NOT NULL,
    changed_at bigint NOT NULL
);

CREATE TABLE public.requests (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    connection_id uuid NOT NULL,
    at bigint NOT NULL,
    took_us bigint NOT NULL,
    count bigint NOT NULL,
    token_id text NOT NULL,
    request_id text NOT NULL,
    method text NOT NULL,
    path text NOT NULL,
    query text NOT NULL,
    status bigint NOT NULL,
    scim_type text NOT NULL,
    cause text NOT NULL,
    detail text NOT NULL,
    resource_kind text NOT NULL,
    resource_id text NOT NULL,
    headers text NOT NULL,
    notes text NOT NULL,
    body text NOT NULL,
    body_size bigint NOT NULL,
    body_note text NOT NULL,
    answer text NOT NULL,
    answer_size bigint NOT NULL,
    answer_note text NOT NULL
);

CREATE TABLE public.review_people (
    tenant_id uuid NOT NULL,
    review_id uuid NOT NULL,
    user_id uuid NOT NULL,
    user_name text NOT NULL,
    display_name text NOT NULL,
    connection text NOT NULL,
    kind text NOT NULL,
    seen_at bigint NOT NULL,
    flags text NOT NULL,
    had text NOT NULL,
    decision text NOT NULL,
    why text NOT NULL
);

CREATE TABLE public.reviews (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    site text NOT NULL,
    product text NOT NULL,
    role text NOT NULL,
    previous_id uuid,
    reviewer_id uuid NOT NULL,
    reviewer_name text NOT NULL,
    opened_by text NOT NULL,
    opened_at bigint NOT NULL,
    due_at bigint NOT NULL,
    months bigint NOT NULL,
    finished_at bigint NOT NULL,
    withdrawn_at bigint NOT NULL,
    ended_by text NOT NULL,
    proposal text NOT NULL,
    reminded_at bigint DEFAULT 0 NOT NULL
);

CREATE TABLE public.seal_heads (
    tenant_id uuid NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL
);

CREATE TABLE public.seals (
    tenant_id uuid NOT NULL,
    seq bigint NOT NULL,
    cursor text NOT NULL,
    changes bigint NOT NULL,
    previous bytea NOT NULL,
    covers bytea NOT NULL,
    hash bytea NOT NULL,
    sealed_at bigint NOT NULL
);

CREATE TABLE public.secrets (
    name text NOT NULL,
    value bytea NOT NULL
);

CREATE TABLE public.sessions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    hash bytea NOT NULL,
    method text NOT NULL,
    connection_id uuid,
    issuer text NOT NULL COLLATE pg_catalog."C",
    subject text NOT NULL COLLATE pg_catalog."C",
    provider_session text NOT NULL COLLATE pg_catalog."C",
    created_at bigint NOT NULL,
    seen_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    user_agent text NOT NULL,
    address text NOT NULL
);

CREATE TABLE public.setup_links (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    connection_id uuid NOT NULL,
    hash bytea NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    revoked_at bigint NOT NULL
);

CREATE TABLE public.signins (
    tenant_id uuid NOT NULL,
    state bytea NOT NULL,
    connection_id uuid NOT NULL,
    browser bytea NOT NULL,
    sealed text NOT NULL,
    return_to text NOT NULL,
    begun_at bigint NOT NULL,
    expires_at bigint NOT NULL
);

CREATE TABLE public.sites (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    dimension text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    parent_id uuid,
    archived boolean NOT NULL,
    since bigint NOT NULL,
    change_id uuid NOT NULL
);

CREATE TABLE public.sites_past (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    dimension text NOT NULL,
    key text NOT NULL,
    name text NOT NULL,
    parent_id uuid,
    archived boolean NOT NULL,
    since bigint NOT NULL,
    until bigint NOT NULL,
    change_id uuid NOT NULL,
    end_change_id uuid NOT NULL
);

CREATE TABLE public.sizes (
    tenant_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    kind text NOT NULL,
    lane smallint NOT NULL,
    created bigint NOT NULL,
    deleted bigint NOT NULL
)
WITH (fillfactor='50');

CREATE TABLE public.subgroups (
    tenant_id uuid NOT NULL,
    group_id uuid NOT NULL,
    member_id uuid NOT NULL,
    since bigint NOT NULL,
    change_id uuid NOT NULL
);

CREATE TABLE public.subgroups_past (
    tenant_id uuid NOT NULL,
    group_id uuid NOT NULL,
    member_id uuid NOT NULL,
    since bigint NOT NULL,
    until bigint NOT NULL,
    change_id uuid NOT NULL,
    end_change_id uuid NOT NULL
);

CREATE TABLE public.tenants (
    id uuid NOT NULL,
    name text NOT NULL,
    name_key text NOT NULL COLLATE pg_catalog."C",
    created_at bigint NOT NULL
);

CREATE TABLE public.tokens (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    connection_id uuid NOT NULL,
    hash bytea NOT NULL,
    hint text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    revoked_at bigint DEFAULT 0 NOT NULL,
    last_used_at bigint DEFAULT 0 NOT NULL
);

CREATE TABLE public.unfinished (
    tenant_id uuid NOT NULL,
    change_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    group_id uuid NOT NULL,
    deletes boolean NOT NULL,
    actor_kind text NOT NULL,
    actor_id text NOT NULL,
    request_id text NOT NULL
);

CREATE TABLE public.unfinished_parts (
    tenant_id uuid NOT NULL,
    change_id uuid NOT NULL,
    part integer NOT NULL,
    come text NOT NULL,
    gone text NOT NULL
);

CREATE TABLE public.used_tokens (
    tenant_id uuid NOT NULL,
    key bytea NOT NULL,
    expires_at bigint NOT NULL
);

CREATE TABLE public.user_emails (
    tenant_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    value_key text NOT NULL COLLATE pg_catalog."C",
    user_id uuid NOT NULL
);

CREATE TABLE public.user_words (
    tenant_id uuid NOT NULL,
    word text NOT NULL COLLATE pg_catalog."C",
    user_id uuid NOT NULL
);

CREATE TABLE public.users (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    connection_id uuid NOT NULL,
    user_name text NOT NULL,
    user_name_key text NOT NULL COLLATE pg_catalog."C",
    external_id text NOT NULL COLLATE pg_catalog."C",
    display_name text NOT NULL,
    display_name_key text NOT NULL COLLATE pg_catalog."C",
    active boolean NOT NULL,
    doc text NOT NULL,
    search jsonb NOT NULL,
    version bigint NOT NULL,
    created_at bigint NOT NULL,
    modified_at bigint NOT NULL
);

CREATE TABLE public.users_past (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    version bigint NOT NULL,
    connection_id uuid NOT NULL,
    user_name text NOT NULL,
    external_id text NOT NULL,
    display_name text NOT NULL,
    active boolean NOT NULL,
    doc text NOT NULL,
    valid_from bigint NOT NULL,
    valid_until bigint NOT NULL,
    change_id uuid NOT NULL
);

CREATE TABLE public.views (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    name text NOT NULL,
    path text NOT NULL,
    shared boolean NOT NULL,
    created_at bigint NOT NULL
);

CREATE TABLE public.visits (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    at bigint NOT NULL
);

CREATE TABLE public.webhook_deliveries (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    seq bigint NOT NULL,
    user_id uuid NOT NULL,
    type text NOT NULL,
    body text NOT NULL,
    created_at bigint NOT NULL,
    state text NOT NULL,
    attempts bigint NOT NULL,
    next_at bigint NOT NULL,
    status bigint NOT NULL,
    error text NOT NULL,
    ended_at bigint NOT NULL
);

CREATE TABLE public.webhook_feeds (
    tenant_id uuid NOT NULL,
    version bigint NOT NULL,
    holder text NOT NULL,
    beat bigint NOT NULL,
    seq bigint NOT NULL,
    cursor text NOT NULL,
    at bigint NOT NULL,
    revision text NOT NULL,
    pass text NOT NULL,
    done text NOT NULL
);

CREATE TABLE public.webhook_people (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    person text NOT NULL
);

CREATE TABLE public.webhook_policies (
    tenant_id uuid NOT NULL,
    revision text NOT NULL,
    doc text NOT NULL
);

CREATE TABLE public.webhook_secrets (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    sealed text NOT NULL,
    hint text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL
);

CREATE TABLE public.webhooks (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    product text NOT NULL COLLATE pg_catalog."C",
    url text NOT NULL COLLATE pg_catalog."C",
    created_at bigint NOT NULL,
    disabled_at bigint NOT NULL,
    disabled_why text NOT NULL
);

ALTER TABLE ONLY public.access_tokens
    ADD CONSTRAINT access_tokens_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.access_tokens
    ADD CONSTRAINT access_tokens_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.access_tokens
    ADD CONSTRAINT access_tokens_tenant_id_connection_id_assertion_key UNIQUE (tenant_id, connection_id, assertion);

ALTER TABLE ONLY public.ceremonies
    ADD CONSTRAINT ceremonies_key_key UNIQUE (key);

ALTER TABLE ONLY public.ceremonies
    ADD CONSTRAINT ceremonies_pkey PRIMARY KEY (tenant_id, key);

ALTER TABLE ONLY public.changes
    ADD CONSTRAINT changes_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.client_credentials
    ADD CONSTRAINT client_credentials_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.client_credentials
    ADD CONSTRAINT client_credentials_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.clients
    ADD CONSTRAINT clients_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.connections
    ADD CONSTRAINT connections_id_key UNIQUE (id);

ALTER TABLE ONLY public.connections
    ADD CONSTRAINT connections_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.connections
    ADD CONSTRAINT connections_tenant_id_name_key_key UNIQUE (tenant_id, name_key);

ALTER TABLE ONLY public.cutoffs
    ADD CONSTRAINT cutoffs_pkey PRIMARY KEY (tenant_id, key);

ALTER TABLE ONLY public.dimensions_past
    ADD CONSTRAINT dimensions_past_pkey PRIMARY KEY (tenant_id, id, end_change_id);

ALTER TABLE ONLY public.dimensions
    ADD CONSTRAINT dimensions_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.dimensions
    ADD CONSTRAINT dimensions_tenant_id_key_key UNIQUE (tenant_id, key);

ALTER TABLE ONLY public.drafts
    ADD CONSTRAINT drafts_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.entrances
    ADD CONSTRAINT entrances_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.entrances
    ADD CONSTRAINT entrances_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.grants_past
    ADD CONSTRAINT grants_past_pkey PRIMARY KEY (tenant_id, id, end_change_id);

ALTER TABLE ONLY public.grants
    ADD CONSTRAINT grants_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.groups_past
    ADD CONSTRAINT groups_past_pkey PRIMARY KEY (tenant_id, id, version);

ALTER TABLE ONLY public.groups
    ADD CONSTRAINT groups_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.groups
    ADD CONSTRAINT groups_tenant_id_connection_id_display_name_key_key UNIQUE (tenant_id, connection_id, display_name_key);

ALTER TABLE ONLY public.identities
    ADD CONSTRAINT identities_pkey PRIMARY KEY (tenant_id, connection_id, issuer, subject);

ALTER TABLE ONLY public.identities
    ADD CONSTRAINT identities_tenant_id_user_id_connection_id_issuer_key UNIQUE (tenant_id, user_id, connection_id, issuer);

ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT invitations_handle_key UNIQUE (handle);

ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT invitations_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.invitations
    ADD CONSTRAINT invitations_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.mails
    ADD CONSTRAINT mails_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.members_past
    ADD CONSTRAINT members_past_pkey PRIMARY KEY (tenant_id, group_id, user_id, end_change_id);

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_pkey PRIMARY KEY (tenant_id, group_id, user_id);

ALTER TABLE ONLY public.passkeys
    ADD CONSTRAINT passkeys_credential_key UNIQUE (credential);

ALTER TABLE ONLY public.passkeys
    ADD CONSTRAINT passkeys_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.people_past
    ADD CONSTRAINT people_past_pkey PRIMARY KEY (tenant_id, user_id, end_change_id);

ALTER TABLE ONLY public.people
    ADD CONSTRAINT people_pkey PRIMARY KEY (tenant_id, user_id);

ALTER TABLE ONLY public.policies
    ADD CONSTRAINT policies_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY public.product_keys
    ADD CONSTRAINT product_keys_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.product_keys
    ADD CONSTRAINT product_keys_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.products_past
    ADD CONSTRAINT products_past_pkey PRIMARY KEY (tenant_id, id, end_change_id);

ALTER TABLE ONLY public.products
    ADD CONSTRAINT products_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.products
    ADD CONSTRAINT products_tenant_id_key_key UNIQUE (tenant_id, key);

ALTER TABLE ONLY public.provider_domains
    ADD CONSTRAINT provider_domains_pkey PRIMARY KEY (tenant_id, connection_id, domain);

ALTER TABLE ONLY public.providers
    ADD CONSTRAINT providers_pkey PRIMARY KEY (tenant_id, connection_id);

ALTER TABLE ONLY public.requests
    ADD CONSTRAINT requests_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.review_people
    ADD CONSTRAINT review_people_pkey PRIMARY KEY (tenant_id, review_id, user_id);

ALTER TABLE ONLY public.reviews
    ADD CONSTRAINT reviews_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.seal_heads
    ADD CONSTRAINT seal_heads_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY public.seals
    ADD CONSTRAINT seals_pkey PRIMARY KEY (tenant_id, seq);

ALTER TABLE ONLY public.secrets
    ADD CONSTRAINT secrets_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.sessions
    ADD CONSTRAINT sessions_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.setup_links
    ADD CONSTRAINT setup_links_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.setup_links
    ADD CONSTRAINT setup_links_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.signins
    ADD CONSTRAINT signins_pkey PRIMARY KEY (tenant_id, state);

ALTER TABLE ONLY public.signins
    ADD CONSTRAINT signins_state_key UNIQUE (state);

ALTER TABLE ONLY public.sites_past
    ADD CONSTRAINT sites_past_pkey PRIMARY KEY (tenant_id, id, end_change_id);

ALTER TABLE ONLY public.sites
    ADD CONSTRAINT sites_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.sizes
    ADD CONSTRAINT sizes_pkey PRIMARY KEY (tenant_id, connection_id, kind, lane);

ALTER TABLE ONLY public.subgroups_past
    ADD CONSTRAINT subgroups_past_pkey PRIMARY KEY (tenant_id, group_id, member_id, end_change_id);

ALTER TABLE ONLY public.subgroups
    ADD CONSTRAINT subgroups_pkey PRIMARY KEY (tenant_id, group_id, member_id);

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_name_key_key UNIQUE (name_key);

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.unfinished_parts
    ADD CONSTRAINT unfinished_parts_pkey PRIMARY KEY (tenant_id, change_id, part);

ALTER TABLE ONLY public.unfinished
    ADD CONSTRAINT unfinished_pkey PRIMARY KEY (tenant_id, change_id);

ALTER TABLE ONLY public.used_tokens
    ADD CONSTRAINT used_tokens_pkey PRIMARY KEY (tenant_id, key);

ALTER TABLE ONLY public.user_emails
    ADD CONSTRAINT user_emails_pkey PRIMARY KEY (tenant_id, user_id, value_key);

ALTER TABLE ONLY public.user_words
    ADD CONSTRAINT user_words_pkey PRIMARY KEY (tenant_id, word, user_id);

ALTER TABLE ONLY public.users_past
    ADD CONSTRAINT users_past_pkey PRIMARY KEY (tenant_id, id, version);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_tenant_id_connection_id_user_name_key_key UNIQUE (tenant_id, connection_id, user_name_key);

ALTER TABLE ONLY public.views
    ADD CONSTRAINT views_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.visits
    ADD CONSTRAINT visits_pkey PRIMARY KEY (tenant_id, user_id);

ALTER TABLE ONLY public.webhook_deliveries
    ADD CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.webhook_feeds
    ADD CONSTRAINT webhook_feeds_pkey PRIMARY KEY (tenant_id);

ALTER TABLE ONLY public.webhook_people
    ADD CONSTRAINT webhook_people_pkey PRIMARY KEY (tenant_id, user_id);

ALTER TABLE ONLY public.webhook_policies
    ADD CONSTRAINT webhook_policies_pkey PRIMARY KEY (tenant_id, revision);

ALTER TABLE ONLY public.webhook_secrets
    ADD CONSTRAINT webhook_secrets_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_pkey PRIMARY KEY (tenant_id, id);

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_tenant_id_product_url_key UNIQUE (tenant_id, product, url);

CREATE INDEX access_tokens_by_credential ON public.access_tokens USING btree (tenant_id, credential_id);

CREATE INDEX access_tokens_by_expiry ON public.access_tokens USING btree (expires_at);

CREATE INDEX ceremonies_by_expiry ON public.ceremonies USING btree (expires_at);

CREATE INDEX ceremonies_by_user ON public.ceremonies USING btree (tenant_id, user_id) WHERE (user_id IS NOT NULL);

CREATE INDEX ceremonies_in_order ON public.ceremonies USING btree (tenant_id, begun_at, key);

CREATE INDEX changes_by_action ON public.changes USING btree (tenant_id, action, id) WHERE (action <> ALL (ARRAY['user.created'::text, 'user.updated'::text, 'group.created'::text, 'group.updated'::text, 'group.members'::text, 'access_token.created'::text]));

CREATE INDEX changes_by_actor ON public.changes USING btree (tenant_id, actor_id, id) WHERE (actor_kind <> 'scim'::text);

CREATE INDEX changes_by_subject ON public.changes USING btree (tenant_id, subject_id, id);

CREATE INDEX changes_in_order ON public.changes USING btree (tenant_id, xid, id);

CREATE INDEX client_credentials_by_client ON public.client_credentials USING btree (tenant_id, client_id);

CREATE UNIQUE INDEX client_federations ON public.client_credentials USING btree (client_id) WHERE ((hash IS NULL) AND (revoked_at = 0));

CREATE INDEX clients_by_connection ON public.clients USING btree (tenant_id, connection_id);

CREATE UNIQUE INDEX clients_live ON public.clients USING btree (tenant_id, connection_id) WHERE (revoked_at = 0);

CREATE INDEX cutoffs_by_expiry ON public.cutoffs USING btree (expires_at);

CREATE INDEX drafts_by_expiry ON public.drafts USING btree (expires_at);

CREATE INDEX drafts_by_user ON public.drafts USING btree (tenant_id, user_id, id);

CREATE INDEX grants_by_group ON public.grants USING btree (tenant_id, group_id) WHERE (group_id IS NOT NULL);

CREATE INDEX grants_by_user ON public.grants USING btree (tenant_id, user_id) WHERE (user_id IS NOT NULL);

CREATE INDEX grants_past_by_user ON public.grants_past USING btree (tenant_id, user_id) WHERE (user_id IS NOT NULL);

CREATE INDEX groups_by_external_id ON public.groups USING btree (tenant_id, connection_id, external_id);

CREATE UNIQUE INDEX groups_in_order ON public.groups USING btree (tenant_id, connection_id, id);

CREATE INDEX invitations_by_inviter ON public.invitations USING btree (tenant_id, invited_by) WHERE ((invited_by IS NOT NULL) AND (accepted_at = 0) AND (withdrawn_at = 0));

CREATE INDEX invitations_by_sponsor ON public.invitations USING btree (tenant_id, sponsor_id) WHERE ((sponsor_id IS NOT NULL) AND (accepted_at = 0) AND (withdrawn_at = 0));

CREATE INDEX invitations_by_user ON public.invitations USING btree (tenant_id, user_id) WHERE ((user_id IS NOT NULL) AND (accepted_at = 0) AND (withdrawn_at = 0));

CREATE INDEX mails_by_invitation ON public.mails USING btree (tenant_id, invitation_id, id);

CREATE INDEX mails_by_review ON public.mails USING btree (tenant_id, review_id) WHERE (review_id IS NOT NULL);

CREATE INDEX mails_due ON public.mails USING btree (due_at) WHERE (ended_at = 0);

CREATE UNIQUE INDEX members_by_user ON public.members USING btree (tenant_id, user_id, group_id);

CREATE INDEX members_past_by_user ON public.members_past USING btree (tenant_id, user_id, since);

CREATE INDEX passkeys_by_user ON public.passkeys USING btree (tenant_id, user_id);

CREATE INDEX provider_domains_by_domain ON public.provider_domains USING btree (domain);

CREATE INDEX providers_by_issuer ON public.providers USING btree (issuer);

CREATE INDEX requests_by_connection ON public.requests USING btree (tenant_id, connection_id, id);

CREATE INDEX requests_by_resource ON public.requests USING btree (tenant_id, resource_id, id) WHERE (resource_id <> ''::text);

CREATE INDEX requests_with_cause ON public.requests USING btree (tenant_id, connection_id, id) WHERE (cause <> ''::text);

CREATE INDEX reviews_finished ON public.reviews USING btree (tenant_id, site, product, role, id) WHERE (finished_at <> 0);

CREATE UNIQUE INDEX reviews_open ON public.reviews USING btree (tenant_id, site, product, role) WHERE ((finished_at = 0) AND (withdrawn_at = 0));

CREATE INDEX reviews_unreminded ON public.reviews USING btree (due_at) WHERE ((reminded_at = 0) AND (finished_at = 0) AND (withdrawn_at = 0));

CREATE INDEX sessions_by_expiry ON public.sessions USING btree (expires_at);

CREATE INDEX sessions_by_provider ON public.sessions USING btree (tenant_id, connection_id, provider_session) WHERE (provider_session <> ''::text);

CREATE INDEX sessions_by_subject ON public.sessions USING btree (tenant_id, connection_id, subject) WHERE (connection_id IS NOT NULL);

CREATE INDEX sessions_by_user ON public.sessions USING btree (tenant_id, user_id);

CREATE INDEX setup_links_by_connection ON public.setup_links USING btree (tenant_id, connection_id, id);

CREATE INDEX signins_by_expiry ON public.signins USING btree (expires_at);

CREATE INDEX signins_in_order ON public.signins USING btree (tenant_id, begun_at, state);

CREATE UNIQUE INDEX sites_by_key ON public.sites USING btree (tenant_id, dimension, key) WHERE (key <> ''::text);

CREATE UNIQUE INDEX subgroups_by_member ON public.subgroups USING btree (tenant_id, member_id, group_id);

CREATE INDEX tokens_by_connection ON public.tokens USING btree (tenant_id, connection_id);

CREATE INDEX used_tokens_by_expiry ON public.used_tokens USING btree (expires_at);

CREATE INDEX user_emails_by_value ON public.user_emails USING btree (tenant_id, connection_id, value_key);

CREATE INDEX users_by_display_name ON public.users USING btree (tenant_id, connection_id, display_name_key);

CREATE INDEX users_by_external_id ON public.users USING btree (tenant_id, connection_id, external_id);

CREATE UNIQUE INDEX users_in_order ON public.users USING btree (tenant_id, connection_id, id);

CREATE INDEX users_inactive ON public.users USING btree (tenant_id, connection_id, display_name_key) WHERE (NOT active);

CREATE INDEX views_by_user ON public.views USING btree (tenant_id, user_id);

CREATE INDEX views_shared ON public.views USING btree (tenant_id, id) WHERE shared;

CREATE INDEX webhook_deliveries_by_person ON public.webhook_deliveries USING btree (tenant_id, webhook_id, user_id, seq);

CREATE INDEX webhook_deliveries_due ON public.webhook_deliveries USING btree (tenant_id, webhook_id, next_at, seq) WHERE (state = 'waiting'::text);

CREATE INDEX webhook_deliveries_ended ON public.webhook_deliveries USING btree (tenant_id, ended_at) WHERE (state <> 'waiting'::text);

CREATE INDEX webhook_deliveries_in_order ON public.webhook_deliveries USING btree (tenant_id, webhook_id, seq);

CREATE TRIGGER changes_are_kept BEFORE DELETE OR TRUNCATE ON public.changes FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_append_only();

CREATE TRIGGER changes_stay BEFORE UPDATE OF tenant_id, id, at, actor_kind, actor_id, request_id, connection_id, action, subject_kind, subject_id, subject_name, detail ON public.changes FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_append_only();

CREATE TRIGGER seals_are_kept BEFORE DELETE OR TRUNCATE ON public.seals FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_append_only();

CREATE TRIGGER seals_stay BEFORE UPDATE OF tenant_id, seq, changes, previous, covers, hash, sealed_at ON public.seals FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_append_only();

ALTER TABLE ONLY public.access_tokens
    ADD CONSTRAINT access_tokens_tenant_id_credential_id_fkey FOREIGN KEY (tenant_id, credential_id) REFERENCES public.client_credentials(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.client_credentials
    ADD CONSTRAINT client_credentials_tenant_id_client_id_fkey FOREIGN KEY (tenant_id, client_id) REFERENCES public.clients(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.clients
    ADD CONSTRAINT clients_tenant_id_connection_id_fkey FOREIGN KEY (tenant_id, connection_id) REFERENCES public.connections(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.connections
    ADD CONSTRAINT connections_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.mails
    ADD CONSTRAINT mails_tenant_id_invitation_id_fkey FOREIGN KEY (tenant_id, invitation_id) REFERENCES public.invitations(tenant_id, id);

ALTER TABLE ONLY public.mails
    ADD CONSTRAINT mails_tenant_id_review_id_fkey FOREIGN KEY (tenant_id, review_id) REFERENCES public.reviews(tenant_id, id);

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_tenant_id_group_id_fkey FOREIGN KEY (tenant_id, group_id) REFERENCES public.groups(tenant_id, id);

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_tenant_id_user_id_fkey FOREIGN KEY (tenant_id, user_id) REFERENCES public.users(tenant_id, id);

ALTER TABLE ONLY public.policies
    ADD CONSTRAINT policies_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.product_keys
    ADD CONSTRAINT product_keys_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.provider_domains
    ADD CONSTRAINT provider_domains_tenant_id_connection_id_fkey FOREIGN KEY (tenant_id, connection_id) REFERENCES public.providers(tenant_id, connection_id);

ALTER TABLE ONLY public.providers
    ADD CONSTRAINT providers_tenant_id_connection_id_fkey FOREIGN KEY (tenant_id, connection_id) REFERENCES public.connections(tenant_id, id);

ALTER TABLE ONLY public.review_people
    ADD CONSTRAINT review_people_tenant_id_review_id_fkey FOREIGN KEY (tenant_id, review_id) REFERENCES public.reviews(tenant_id, id);

ALTER TABLE ONLY public.setup_links
    ADD CONSTRAINT setup_links_tenant_id_connection_id_fkey FOREIGN KEY (tenant_id, connection_id) REFERENCES public.connections(tenant_id, id);

ALTER TABLE ONLY public.signins
    ADD CONSTRAINT signins_tenant_id_connection_id_fkey FOREIGN KEY (tenant_id, connection_id) REFERENCES public.providers(tenant_id, connection_id);

ALTER TABLE ONLY public.sites
    ADD CONSTRAINT sites_tenant_id_dimension_fkey FOREIGN KEY (tenant_id, dimension) REFERENCES public.dimensions(tenant_id, key);

ALTER TABLE ONLY public.subgroups
    ADD CONSTRAINT subgroups_tenant_id_group_id_fkey FOREIGN KEY (tenant_id, group_id) REFERENCES public.groups(tenant_id, id);

ALTER TABLE ONLY public.subgroups
    ADD CONSTRAINT subgroups_tenant_id_member_id_fkey FOREIGN KEY (tenant_id, member_id) REFERENCES public.groups(tenant_id, id);

ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_tenant_id_connection_id_fkey FOREIGN KEY (tenant_id, connection_id) REFERENCES public.connections(tenant_id, id);

ALTER TABLE ONLY public.unfinished
    ADD CONSTRAINT unfinished_tenant_id_group_id_fkey FOREIGN KEY (tenant_id, group_id) REFERENCES public.groups(tenant_id, id);

ALTER TABLE ONLY public.webhook_feeds
    ADD CONSTRAINT webhook_feeds_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);

ALTER TABLE ONLY public.webhook_secrets
    ADD CONSTRAINT webhook_secrets_tenant_id_webhook_id_fkey FOREIGN KEY (tenant_id, webhook_id) REFERENCES public.webhooks(tenant_id, id) ON DELETE CASCADE;

ALTER TABLE ONLY public.webhooks
    ADD CONSTRAINT webhooks_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES public.tenants(id);
