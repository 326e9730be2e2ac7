-- The office of the first issue. Ids are prefixed ULIDs, instants are milliseconds since 1970 UTC,
-- JSON is text. The postgres folder holds the same tables and columns under the same names.

create table office_state (
    id          integer primary key check (id = 1),
    revision    integer not null,
    event_seq   integer not null,
    bootstrapped integer not null
) strict;
insert into office_state (id, revision, event_seq, bootstrapped) values (1, 1, 0, 0);

create table tenants (
    id          text primary key,
    slug        text not null,
    name        text not null,
    timezone    text not null,
    status      text not null,
    created_ms  integer not null,
    updated_ms  integer not null,
    deleted_ms  integer
) strict;
create unique index tenants_slug on tenants (slug) where deleted_ms is null;

create table agents (
    id             text primary key,
    tenant_id      text not null references tenants (id),
    slug           text not null,
    status         text not null,
    draft          text not null,
    draft_tag      integer not null,
    draft_ms       integer not null,
    latest_version integer,
    created_ms     integer not null,
    updated_ms     integer not null,
    deleted_ms     integer
) strict;
create unique index agents_slug on agents (tenant_id, slug) where deleted_ms is null;

create table agent_versions (
    agent_id     text not null references agents (id),
    version      integer not null,
    tenant_id    text not null,
    config       text not null,
    config_hash  text not null,
    note         text not null,
    from_version integer,
    published_by text not null,
    published_ms integer not null,
    revision     integer not null,
    primary key (agent_id, version)
) strict;

create table numbers (
    id            text primary key,
    tenant_id     text not null references tenants (id),
    e164          text not null,
    label         text not null,
    agent_id      text not null references agents (id),
    agent_version integer,
    active        integer not null,
    created_ms    integer not null,
    updated_ms    integer not null
) strict;
create unique index numbers_e164 on numbers (e164);
create index numbers_tenant on numbers (tenant_id, id);
create index numbers_agent on numbers (agent_id);

create table api_keys (
    id           text primary key,
    tenant_id    text references tenants (id),
    name         text not null,
    prefix       text not null,
    hash         text not null,
    role         text not null,
    scopes       text not null,
    expires_ms   integer,
    revoked_ms   integer,
    last_used_ms integer,
    created_ms   integer not null
) strict;
create unique index api_keys_prefix on api_keys (prefix);
create index api_keys_tenant on api_keys (tenant_id, id);

create table bookings (
    id              text primary key,
    tenant_id       text not null references tenants (id),
    agent_id        text not null,
    agent_version   integer not null,
    call_id         text,
    resource        text not null,
    code            text not null,
    starts_local    text not null,
    slot_local      text not null,
    zone            text not null,
    seat            integer not null,
    party_size      integer not null,
    phone           text not null,
    state           text not null,
    idempotency_key text,
    created_ms      integer not null,
    updated_ms      integer not null
) strict;
-- The rule that makes a double booking impossible: a seat of a slot is taken once.
create unique index bookings_seat on bookings (tenant_id, resource, slot_local, seat) where state = 'booked';
create unique index bookings_code on bookings (tenant_id, code);
create unique index bookings_key on bookings (tenant_id, idempotency_key);
create index bookings_tenant on bookings (tenant_id, id);
create index bookings_call on bookings (call_id);

create table calls (
    id            text primary key,
    tenant_id     text,
    node_id       text not null,
    boot          integer not null,
    direction     text,
    channel       text,
    from_party    text,
    to_party      text,
    profile       text,
    trunk         text,
    route         text,
    sip_call_id   text,
    agent_id      text,
    agent_slug    text,
    agent_version integer,
    agent_hash    text,
    agent_order   integer,
    revision      integer,
    state         text not null,
    started_ms    integer,
    ringing_ms    integer,
    answered_ms   integer,
    ended_ms      integer,
    duration_ms   integer,
    setup_ms      integer,
    codec         text,
    end_reason    text,
    sip_code      integer,
    q850          integer,
    provisional   integer not null,
    final         integer not null,
    end_event_ms  integer,
    metrics       text not null,
    captured      text,
    created_ms    integer not null,
    updated_ms    integer not null
) strict;
create index calls_tenant on calls (tenant_id, id);
create index calls_from on calls (from_party, id);
create index calls_to on calls (to_party, id);
create index calls_agent on calls (agent_id, id);
create index calls_open on calls (node_id) where state <> 'ended';
create index calls_provisional on calls (ended_ms) where provisional;

create table facts (
    call_id   text not null,
    node_id   text not null,
    boot      integer not null,
    seq       integer not null,
    kind      text not null,
    at_ms     integer not null,
    offset_ms integer not null,
    data      text not null,
    primary key (call_id, boot, seq, node_id)
) strict, without rowid;

create table recordings (
    call_id   text primary key,
    path      text not null,
    bytes     integer not null,
    sha256    text not null,
    stored_ms integer not null
) strict;

create table events (
    id        integer primary key,
    tenant_id text,
    agent_id  text,
    call_id   text,
    seq       integer,
    kind      text not null,
    at_ms     integer not null,
    data      text not null
) strict;
create index events_call on events (call_id, id);

create table nodes (
    id           text primary key,
    boot         integer not null,
    revision     integer not null,
    accepting    integer not null,
    live         integer not null,
    last_seen_ms integer not null
) strict;

create table idempotency (
    scope      text not null,
    key_hash   text not null,
    body_hash  text not null,
    done       integer not null,
    status     integer,
    headers    text,
    body       text,
    sealed     integer not null,
    created_ms integer not null,
    primary key (scope, key_hash)
) strict;
create index idempotency_age on idempotency (created_ms);

create table audit_log (
    id        text primary key,
    tenant_id text,
    actor     text not null,
    action    text not null,
    resource  text not null,
    at_ms     integer not null
) strict;
create index audit_tenant on audit_log (tenant_id, id);
