-- When an event was told: how long it is kept for listeners that come back counts from then, not from when it happened.

alter table events add column told_ms integer not null default 0;
update events set told_ms = at_ms;
