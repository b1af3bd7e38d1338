-- Users, their sessions and what was said in them. Every time is timestamptz.

create table users (
  id uuid primary key default gen_random_uuid(),
  email varchar(255) not null,
  -- SHA-256 of the API key, in hex. The key itself is shown once and never stored.
  api_key_hash char(64) not null unique,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

-- One address, one user, however it is written.
create unique index users_email_key on users (lower(email));

create table sessions (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references users (id) on delete cascade,
  title varchar(200),
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
  created_at timestamptz not null default now(),
  last_activity_at timestamptz not null default now()
);

-- A user's sessions, latest activity first (GET /sessions); also serves the cascade from users.
create index sessions_by_activity on sessions (user_id, last_activity_at desc, id desc);
-- The clean-up's search for idle sessions.
create index sessions_idle on sessions (last_activity_at);

create table messages (
  id uuid primary key default gen_random_uuid(),
  session_id uuid not null references sessions (id) on delete cascade,
  -- The order in which messages were said, also of those written in the same instant.
  sequence bigint generated always as identity,
  -- The turn that the message belongs to; its two messages share it.
  turn_id uuid not null,
  role text not null check (role in ('user', 'assistant', 'system')),
  content text not null,
  -- The listener heard a part of it only.
  interrupted boolean not null default false,
  -- Where a recording is kept, for deployments that keep them.
  audio_url varchar(500),
  created_at timestamptz not null default now()
);

-- The newest messages of a session (its history, and the model's context); also serves the cascade from sessions.
create index messages_of_session on messages (session_id, sequence desc);

-- What is said keeps its session alive.
create function note_session_activity() returns trigger language plpgsql as $$
begin
  update sessions
     set last_activity_at = greatest(last_activity_at, clock_timestamp())
   where id in (select distinct session_id from said);
  return null;
end
$$;

create trigger messages_note_activity
  after insert on messages
  referencing new table as said
  for each statement execute function note_session_activity();

create function note_update() returns trigger language plpgsql as $$
begin
  new.updated_at = now();
  return new;
end
$$;

create trigger users_note_update
  before update on users
  for each row execute function note_update();
