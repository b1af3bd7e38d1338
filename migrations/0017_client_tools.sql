-- A turn that begins with the results of the tools that its client runs.
--
-- Processes of earlier versions may run during the update: their rounds have the default.

-- The results that the turn began with: [{itemId, callId, output}]. In the row of the first round; empty in the others.
alter table turn_rounds add column brought jsonb not null default '[]'
  constraint turn_rounds_brought_check check (jsonb_typeof(brought) = 'array');
