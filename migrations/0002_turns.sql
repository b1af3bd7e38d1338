-- Every turn that has begun: its place among the turns of its session, what it cost, how it ended, and what a retry
-- with its Idempotency-Key is answered with.

create table turns (
  id uuid primary key,
  user_id uuid not null references users (id) on delete cascade,
  -- No reference: a session's row comes with the first of its turns that is saved.
  session_id uuid not null,
  -- The order of arrival.
  sequence bigint generated always as identity,
  state text not null default 'running'
    check (state in ('running', 'completed', 'interrupted', 'cancelled', 'failed')),
  -- Whoever runs the turn lives until then at least, and says so again before.
  lease_until timestamptz,
  cancel_requested boolean not null default false,
  idempotency_key varchar(255),
  -- SHA-256 of what was said, in hex: the same key with something else is a mistake.
  content_hash char(64),
  transcript text,
  -- As the model wrote it; the messages hold what was heard of it.
  response text,
  -- The speech, for as long as a retry may ask for it.
  speech bytea,
  speech_format text check (speech_format in ('mp3', 'pcm', 'none')),
  timings jsonb,
  usage jsonb,
  created_at timestamptz not null default now(),
  ended_at timestamptz,
  check ((state = 'running') = (lease_until is not null))
);

-- The turn ahead in the same session; what is left of processes that died.
create index turns_running on turns (session_id, sequence) where state = 'running';
-- A user's key is one turn; also serves the cascade from users.
create unique index turns_idempotency_key on turns (user_id, idempotency_key);
-- The clean-up's search for keys whose time is over.
create index turns_with_key on turns (created_at) where idempotency_key is not null;
-- The clean-up's search for failed turns past their retention: no session takes those of new sessions along.
create index turns_failed on turns (ended_at) where state = 'failed';
-- The turns that go with their session.
create index turns_of_session on turns (session_id);

create function delete_turns_of_sessions() returns trigger language plpgsql as $$
begin
  delete from turns where session_id in (select id from gone);
  return null;
end
$$;

create trigger sessions_delete_turns
  after delete on sessions
  referencing old table as gone
  for each statement execute function delete_turns_of_sessions();
