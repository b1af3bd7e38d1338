-- The rounds of the model that a running turn has finished, and the tool calls in them. A call is here before it is made, so
-- that no crash hides it. A turn that takes over the Idempotency-Key of another one takes over its rounds, too. At the end
-- of a turn its items have all of this; the rows stay only while a retry with the same key may ask for them.

create table turn_rounds (
  turn_id uuid not null references turns (id) on update cascade on delete cascade,
  -- From 0.
  round smallint not null,
  -- What the user said; null for a turn without input. The same in every round of a turn.
  transcript text,
  -- The id of the item with the text, once that is saved.
  message_id uuid not null,
  -- What the model wrote before it called.
  text text not null,
  primary key (turn_id, round)
);

create table tool_calls (
  -- Of the call's item. It is also the call's idempotency key.
  id uuid primary key,
  turn_id uuid not null,
  round smallint not null,
  -- The order within the round.
  place smallint not null,
  -- The model's id of the call.
  call_id text not null,
  name text not null,
  -- The text that the model wrote; it may be invalid JSON.
  arguments text not null,
  run_by text not null check (run_by in ('client', 'service')),
  -- Of the result's item. Null: the call runs, or its outcome is unknown.
  result_id uuid,
  output text,
  is_error boolean,
  started_at timestamptz not null default now(),
  ended_at timestamptz,
  foreign key (turn_id, round) references turn_rounds on update cascade on delete cascade,
  check ((result_id is null) = (output is null) and (result_id is null) = (is_error is null))
);

-- Also serves the cascade from turn_rounds.
create index tool_calls_of_turn on tool_calls (turn_id, round, place);

-- The turn with the same Idempotency-Key that this one continues. Its items are replaced by those of this one.
alter table turns add column continues uuid;
