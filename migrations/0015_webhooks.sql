-- Endpoints of users for events, and the events to send to them. A delivery is written in the transaction of what
-- it tells of.

create table webhooks (
  id uuid primary key,
  user_id uuid not null references users (id) on delete cascade,
  url text not null,
  events text[] not null,
  -- AES-256-GCM, with the id of its key; see src/db/encryption.ts. Bound to the id.
  secret text not null,
  -- Whether events have what was said.
  transcripts boolean not null default false,
  enabled boolean not null default true,
  -- Why the service disabled it. Null: its user did, or it is enabled.
  disabled_reason text check (disabled_reason in ('gone', 'failing')),
  -- The first failure after the last success. Null: the last attempt succeeded.
  failing_since timestamptz,
  -- Up to then, expired sessions have their events.
  sessions_checked_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

-- A user's webhooks; also serves the cascade from users.
create index webhooks_of_user on webhooks (user_id, created_at, id);

-- Those with events of expired sessions, which the service looks for by itself.
create index webhooks_of_expiry on webhooks (id) where enabled and 'session.expired' = any (events);

-- Secrets that a newer one replaced. They sign too, so that an endpoint can learn the new one in the meantime.
create table webhook_old_secrets (
  id uuid primary key default gen_random_uuid(),
  webhook_id uuid not null references webhooks (id) on delete cascade,
  -- As in webhooks.
  secret text not null,
  expires_at timestamptz not null
);

-- A webhook's old secrets; also serves the cascade from webhooks.
create index webhook_old_secrets_of_webhook on webhook_old_secrets (webhook_id, expires_at);
-- The clean-up's search for expired ones.
create index webhook_old_secrets_expired on webhook_old_secrets (expires_at);

create table webhook_deliveries (
  -- The header webhook-id.
  id uuid primary key default gen_random_uuid(),
  webhook_id uuid not null references webhooks (id) on delete cascade,
  sequence bigint generated always as identity,
  type text not null,
  -- The time of the event.
  occurred_at timestamptz not null default now(),
  -- Ids and times. What was said is read from the turn when the event is sent.
  data jsonb not null,
  state text not null default 'pending' check (state in ('pending', 'delivered', 'failed')),
  attempts integer not null default 0,
  -- When the next attempt is due; during an attempt, when another process may make it. Null: none follows.
  next_attempt_at timestamptz default now(),
  -- The user in whose turn it is sent, while the next attempt is due. Null: not due, as far as a process has noticed.
  queued_for uuid,
  -- Sent again on demand: new events go first.
  is_replay boolean not null default false,
  -- The attempt that is being made.
  claim uuid,
  -- Of the last attempt.
  attempted_at timestamptz,
  -- Of its answer, if there was one.
  status smallint,
  -- The first characters of that.
  answer text,
  -- Why there was no answer, or no attempt.
  error text,
  ended_at timestamptz,
  check ((state = 'pending') = (next_attempt_at is not null)),
  check (queued_for is null or state = 'pending')
);

-- Whose turn it is, and what is sent first of each webhook.
create index webhook_deliveries_queue on webhook_deliveries (queued_for, webhook_id, is_replay, next_attempt_at)
  where queued_for is not null;
-- What becomes due later.
create index webhook_deliveries_later on webhook_deliveries (next_attempt_at)
  where state = 'pending' and queued_for is null;
-- A user's replays, which are bounded.
create index webhook_deliveries_replays on webhook_deliveries (webhook_id) where state = 'pending' and is_replay;
-- The log of a webhook; also serves the cascade from webhooks.
create index webhook_deliveries_log on webhook_deliveries (webhook_id, sequence);
-- The clean-up's search for old ones.
create index webhook_deliveries_ended on webhook_deliveries (ended_at) where state <> 'pending';
