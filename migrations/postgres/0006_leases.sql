-- Which trunks are registered at, and which switch does it; a tenant's own limits.

alter table trunks add column registers boolean not null default false;
update trunks set registers = true where config::json->>'mode' = 'register';
alter table trunks add column holder text;

alter table tenants add column limits text;
