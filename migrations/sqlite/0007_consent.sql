-- Who agreed to be recorded, as JSON; and when the calls of a number are recorded, null as its agent says.

alter table calls add column consent text;
alter table numbers add column recording text;
