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
  check ((state = 'pending') = (next_attempt_at is not null))
);

-- The webhooks with pending deliveries, and of each those that are due.
create index webhook_deliveries_due on webhook_deliveries (webhook_id, next_attempt_at) where state = 'pending';
-- The log of a webhook; also serves the cascade from webhooks.
create index webhook_deliveries_log on webhook_deliveries (webhook_id, sequence);
-- The clean-up's search for old ones.
create index webhook_deliveries_ended on webhook_deliveries (ended_at) where state <> 'pending';

create function announce_webhook_delivery() returns trigger language plpgsql as $$
begin
  -- The same text each time: PostgreSQL then sends one notification per transaction.
  perform pg_notify('webhook_deliveries', 'due');
  return null;
end
$$;

create trigger webhook_deliveries_announce
  after insert or update of next_attempt_at on webhook_deliveries
  for each row when (new.next_attempt_at <= now())
  execute function announce_webhook_delivery();
