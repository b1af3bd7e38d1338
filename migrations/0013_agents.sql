-- Agents that users define. A change adds a version; a session keeps the version that it began with.

create table agents (
  id uuid primary key,
  user_id uuid not null references users (id) on delete cascade,
  -- The same as in the newest version.
  name text not null,
  -- The newest version.
  version integer not null default 1,
  -- Of the request that created it: a retry finds the agent instead of creating another one.
  idempotency_key text,
  -- SHA-256 of that request's body, in hex.
  content_hash char(64),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (user_id, idempotency_key)
);

-- A user's agents by name; also serves the cascade from users.
create unique index agents_by_name on agents (user_id, lower(name));

create table agent_versions (
  agent_id uuid not null references agents (id) on delete cascade,
  version integer not null check (version > 0),
  -- Not jsonb, which orders the properties of a tool's JSON Schema by their length: models see them in their order.
  definition json not null,
  created_at timestamptz not null default now(),
  primary key (agent_id, version)
);

-- The agent of a session. Null: that of the configuration. No foreign key: after its deletion another agent must not answer
-- in its place unnoticed.
alter table sessions
  add column agent_id uuid,
  -- Null: the newest one, at each turn.
  add column agent_version integer;

-- Whether a version is in use.
create index sessions_of_agent on sessions (agent_id, agent_version) where agent_id is not null;

-- The agent that answered a turn, and the version that the turn was asked for.
alter table turns
  add column agent_id uuid,
  add column agent_version integer;

-- The agent of the sessions that a client secret opens.
alter table client_secrets add column agent_id uuid;
