-- A conversation is a list of items: messages, tool calls, their results, summaries.
--
-- Processes of version 0.1.0 may run during the update. For them the view `messages` takes the place of the table, and the
-- foreign key keeps its name, messages_session_id_fkey, which their code compares.
--
-- The table is rewritten once, under an exclusive lock: statements on it wait. Measured on two busy cores: 12 s for
-- 500,000 messages.

-- The order in which a turn's save takes them: one that runs now would wait for a table that a later migration of the same
-- update locks, and hold one that this one needs.
lock table sessions, turns, messages in access exclusive mode;

alter table messages rename to items;
alter table items rename constraint messages_pkey to items_pkey;
alter sequence messages_sequence_seq rename to items_sequence_seq;
alter index messages_of_session rename to items_of_session;
alter trigger messages_note_activity on items rename to items_note_activity;

alter table items
  alter column content type jsonb using jsonb_build_object('role', role, 'text', content),
  alter column audio_url type text;
alter table items rename column content to payload;
alter table items rename column audio_url to audio_key;
alter table items drop column role;

alter table items
  -- The type of the existing rows; PostgreSQL adds such a column without another rewrite.
  add column type text not null default 'message'
    constraint items_type_check check (type in ('message', 'tool_call', 'tool_result', 'summary')),
  -- Milliseconds of audio that the client heard.
  add column heard_ms integer constraint items_heard_ms_check check (heard_ms >= 0),
  -- message: {role, text}; tool_call: {callId, name, arguments}; tool_result: {callId, output}; summary: {text}.
  add constraint items_payload_check check (
    jsonb_typeof(payload) = 'object'
    and (type <> 'message' or coalesce(payload ->> 'role' in ('user', 'assistant', 'system') and payload ? 'text', false))
  );
alter table items alter column type drop default;

-- For version 0.1.0; nothing else uses it. A multi-row insert costs one trigger call a row, so fill `items` instead.
create view messages as
  select id, session_id, sequence, turn_id, payload ->> 'role' as role, payload ->> 'text' as content, interrupted,
    audio_key as audio_url, created_at
  from items
  where type = 'message';

alter view messages alter column id set default gen_random_uuid();
alter view messages alter column interrupted set default false;
alter view messages alter column created_at set default now();

create function insert_message() returns trigger language plpgsql as $$
begin
  insert into items (id, session_id, turn_id, type, payload, interrupted, audio_key, created_at)
  values (new.id, new.session_id, new.turn_id, 'message', jsonb_build_object('role', new.role, 'text', new.content),
    new.interrupted, new.audio_url, new.created_at);
  return new;
end
$$;

create trigger messages_insert
  instead of insert on messages
  for each row execute function insert_message();
