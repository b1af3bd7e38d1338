-- True for a turn that began before its user had stopped speaking. If that was too early, it ends as failed: its usage is the
-- cost of the answer that nobody heard.
alter table turns add column is_speculative boolean not null default false;
