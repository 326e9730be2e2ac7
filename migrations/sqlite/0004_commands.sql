-- Orders of the office to its switches: each has exactly one terminal outcome.

create table commands (
    id         text primary key,
    tenant_id  text not null,
    call_id    text not null,
    node_id    text not null,
    boot       integer,
    action     text not null,
    body       text not null,
    state      text not null,
    why        text,
    expires_ms integer not null,
    created_ms integer not null,
    ended_ms   integer
) strict;
create index commands_open on commands (node_id, id) where state in ('queued', 'taken');
create index commands_call on commands (call_id, id);
