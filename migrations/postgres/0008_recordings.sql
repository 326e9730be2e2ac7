-- Where the sound of a recording lies (folder, bucket); when it was to be deleted, and when it was.

alter table recordings add column place text not null default 'folder';
alter table recordings add column erased_ms bigint;
alter table recordings add column purged_ms bigint;
create index recordings_to_purge on recordings (erased_ms) where erased_ms is not null and purged_ms is null;
