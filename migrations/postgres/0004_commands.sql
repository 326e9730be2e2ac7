-- Orders of the office to its switches: each has exactly one terminal outcome.

create table commands (
    id         text collate "C" primary key,
    tenant_id  text collate "C" not null,
    call_id    text collate "C" not null,
    node_id    text collate "C" not null,
    boot       bigint,
    action     text not null,
    body       text not null,
    state      text not null,
    why        text,
    expires_ms bigint not null,
    created_ms bigint not null,
    ended_ms   bigint
);
create index commands_open on commands (node_id, id) where state in ('queued', 'taken');
create index commands_call on commands (call_id, id);
