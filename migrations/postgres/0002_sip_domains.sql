-- Phones: the domains of a tenant (the realm of their passwords), the extensions in them, and where
-- each of them is registered now. Passwords are sealed (AES-256-GCM, the key's name in the text).

create table sip_domains (
    id          text collate "C" primary key,
    tenant_id   text collate "C" not null references tenants (id),
    name        text collate "C" not null,
    created_ms  bigint not null,
    updated_ms  bigint not null
);
create unique index sip_domains_name on sip_domains (name);
create index sip_domains_tenant on sip_domains (tenant_id, id);

create table extensions (
    id            text collate "C" primary key,
    tenant_id     text collate "C" not null references tenants (id),
    domain_id     text collate "C" not null references sip_domains (id),
    username      text collate "C" not null,
    display_name  text not null,
    password      text not null,
    active        boolean not null,
    created_ms    bigint not null,
    updated_ms    bigint not null
);
create unique index extensions_username on extensions (domain_id, username);
create index extensions_tenant on extensions (tenant_id, id);

create table registrations (
    id            text collate "C" primary key,
    tenant_id     text collate "C" not null,
    extension_id  text collate "C" not null references extensions (id),
    aor           text collate "C" not null,
    name          text collate "C" not null,
    contact       text not null,
    path          text not null,
    node_id       text collate "C" not null,
    profile       text not null,
    transport     text not null,
    source        text not null,
    user_agent    text not null,
    expires_ms    bigint not null,
    updated_ms    bigint not null
);
create index registrations_aor on registrations (aor);
create index registrations_node on registrations (node_id);
create index registrations_extension on registrations (extension_id);
create index registrations_tenant on registrations (tenant_id, id);
