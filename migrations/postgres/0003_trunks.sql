-- Trunks with their sealed passwords, and what a tenant may call.

create table trunks (
    id          text primary key,
    tenant_id   text not null references tenants (id),
    name        text not null,
    config      text not null,
    password    text,
    active      boolean not null,
    tag         bigint not null,
    created_ms  bigint not null,
    updated_ms  bigint not null
);
create unique index trunks_name on trunks (tenant_id, name);

alter table tenants add column outbound text;
