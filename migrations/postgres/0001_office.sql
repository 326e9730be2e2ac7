-- The office of the first issue. Ids are prefixed ULIDs, instants are milliseconds since 1970 UTC,
-- JSON is text. The sqlite folder holds the same tables and columns under the same names.

create table office_state (
    id          bigint primary key check (id = 1),
    revision    bigint not null,
    event_seq   bigint not null,
    bootstrapped boolean not null
);
insert into office_state (id, revision, event_seq, bootstrapped) values (1, 1, 0, false);

create table tenants (
    id          text collate "C" primary key,
    slug        text collate "C" not null,
    name        text not null,
    timezone    text not null,
    status      text not null,
    created_ms  bigint not null,
    updated_ms  bigint not null,
    deleted_ms  bigint
);
create unique index tenants_slug on tenants (slug) where deleted_ms is null;

create table agents (
    id             text collate "C" primary key,
    tenant_id      text collate "C" not null references tenants (id),
    slug           text collate "C" not null,
    status         text not null,
    draft          text not null,
    draft_tag      bigint not null,
    draft_ms       bigint not null,
    latest_version bigint,
    created_ms     bigint not null,
    updated_ms     bigint not null,
    deleted_ms     bigint
);
create unique index agents_slug on agents (tenant_id, slug) where deleted_ms is null;

create table agent_versions (
    agent_id     text collate "C" not null references agents (id),
    version      bigint not null,
    tenant_id    text collate "C" not null,
    config       text not null,
    config_hash  text not null,
    note         text not null,
    from_version bigint,
    published_by text not null,
    published_ms bigint not null,
    revision     bigint not null,
    primary key (agent_id, version)
);

create table numbers (
    id            text collate "C" primary key,
    tenant_id     text collate "C" not null references tenants (id),
    e164          text collate "C" not null,
    label         text not null,
    agent_id      text collate "C" not null references agents (id),
    agent_version bigint,
    active        boolean not null,
    created_ms    bigint not null,
    updated_ms    bigint not null
);
create unique index numbers_e164 on numbers (e164);
create index numbers_tenant on numbers (tenant_id, id);
create index numbers_agent on numbers (agent_id);

create table api_keys (
    id           text collate "C" primary key,
    tenant_id    text collate "C" references tenants (id),
    name         text not null,
    prefix       text collate "C" not null,
    hash         text not null,
    role         text not null,
    scopes       text not null,
    expires_ms   bigint,
    revoked_ms   bigint,
    last_used_ms bigint,
    created_ms   bigint not null
);
create unique index api_keys_prefix on api_keys (prefix);
create index api_keys_tenant on api_keys (tenant_id, id);

create table bookings (
    id              text collate "C" primary key,
    tenant_id       text collate "C" not null references tenants (id),
    agent_id        text collate "C" not null,
    agent_version   bigint not null,
    call_id         text collate "C",
    resource        text not null,
    code            text collate "C" not null,
    starts_local    text collate "C" not null,
    slot_local      text collate "C" not null,
    zone            text not null,
    seat            bigint not null,
    party_size      bigint not null,
    phone           text not null,
    state           text not null,
    idempotency_key text,
    created_ms      bigint not null,
    updated_ms      bigint not null
);
-- The rule that makes a double booking impossible: a seat of a slot is taken once.
create unique index bookings_seat on bookings (tenant_id, resource, slot_local, seat) where state = 'booked';
create unique index bookings_code on bookings (tenant_id, code);
create unique index bookings_key on bookings (tenant_id, idempotency_key);
create index bookings_tenant on bookings (tenant_id, id);
create index bookings_call on bookings (call_id);

create table calls (
    id            text collate "C" primary key,
    tenant_id     text collate "C",
    node_id       text collate "C" not null,
    boot          bigint not null,
    direction     text,
    channel       text,
    from_party    text collate "C",
    to_party      text collate "C",
    profile       text,
    trunk         text,
    route         text,
    sip_call_id   text collate "C",
    agent_id      text collate "C",
    agent_slug    text,
    agent_version bigint,
    agent_hash    text,
    agent_order   bigint,
    revision      bigint,
    state         text not null,
    started_ms    bigint,
    ringing_ms    bigint,
    answered_ms   bigint,
    ended_ms      bigint,
    duration_ms   bigint,
    setup_ms      bigint,
    codec         text,
    end_reason    text,
    sip_code      bigint,
    q850          bigint,
    provisional   boolean not null,
    final         boolean not null,
    end_event_ms  bigint,
    metrics       text not null,
    captured      text,
    created_ms    bigint not null,
    updated_ms    bigint not null
);
create index calls_tenant on calls (tenant_id, id);
create index calls_from on calls (from_party, id);
create index calls_to on calls (to_party, id);
create index calls_agent on calls (agent_id, id);
create index calls_open on calls (node_id) where state <> 'ended';
create index calls_provisional on calls (ended_ms) where provisional;

create table facts (
    call_id   text collate "C" not null,
    node_id   text collate "C" not null,
    boot      bigint not null,
    seq       bigint not null,
    kind      text not null,
    at_ms     bigint not null,
    offset_ms bigint not null,
    data      text not null,
    primary key (call_id, boot, seq, node_id)
);

create table recordings (
    call_id   text collate "C" primary key,
    path      text not null,
    bytes     bigint not null,
    sha256    text not null,
    stored_ms bigint not null
);

create table events (
    id        bigint primary key,
    tenant_id text collate "C",
    agent_id  text collate "C",
    call_id   text collate "C",
    seq       bigint,
    kind      text not null,
    at_ms     bigint not null,
    data      text not null
);
create index events_call on events (call_id, id);

create table nodes (
    id           text collate "C" primary key,
    boot         bigint not null,
    revision     bigint not null,
    accepting    boolean not null,
    live         bigint not null,
    last_seen_ms bigint not null
);

create table idempotency (
    scope      text collate "C" not null,
    key_hash   text collate "C" not null,
    body_hash  text not null,
    done       boolean not null,
    status     bigint,
    headers    text,
    body       text,
    sealed     boolean not null,
    created_ms bigint not null,
    primary key (scope, key_hash)
);
create index idempotency_age on idempotency (created_ms);

create table audit_log (
    id        text collate "C" primary key,
    tenant_id text collate "C",
    actor     text not null,
    action    text not null,
    resource  text not null,
    at_ms     bigint not null
);
create index audit_tenant on audit_log (tenant_id, id);
