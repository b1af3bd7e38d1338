-- Short-lived secrets that let a browser open Realtime connections without the API key.

create table client_secrets (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references users (id) on delete cascade,
  -- The key that created it: the secret ends with it.
  key_id uuid not null references api_keys (id) on delete cascade,
  -- SHA-256 of the secret, in hex. The secret itself is shown once and never stored.
  secret_hash char(64) not null unique,
  -- The configuration of the sessions that it opens, as the client sent it. Not jsonb, which refuses \u0000.
  session json not null,
  -- The order of creation, for the pages of the export.
  sequence bigint generated always as identity,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);

-- A user's secrets, for the export and the limit; also serves the cascade from users.
create index client_secrets_of_user on client_secrets (user_id, sequence);
-- Serves the cascade from api_keys.
create index client_secrets_of_key on client_secrets (key_id);
-- The clean-up's search for expired secrets.
create index client_secrets_expired on client_secrets (expires_at);
