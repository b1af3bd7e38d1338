-- Summaries of the older part of long conversations. A summary is an item. Its `sequence` is that of the last item that it
-- stands for. It is removed when an item up to there changes.
--
-- Processes of earlier versions may run during the update. They make no summaries, and keep one whose items they change.
--
-- Writes to `items` wait for the index. Building it reads the table once; it has no entries yet.

alter table sessions
  -- Of the process that makes a summary. A change of an item that it has read ends the lease.
  add column summary_lease uuid,
  add column summary_lease_until timestamptz,
  -- The sequence of the last item that the summary will stand for.
  add column summary_up_to bigint;

-- The summary of a session, for every prompt.
create index items_summary on items (session_id, sequence) where type = 'summary';
