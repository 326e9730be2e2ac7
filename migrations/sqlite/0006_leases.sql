-- Which trunks are registered at, and which switch does it; a tenant's own limits.

alter table trunks add column registers integer not null default 0;
update trunks set registers = 1 where json_extract(config, '$.mode') = 'register';
alter table trunks add column holder text;

alter table tenants add column limits text;
