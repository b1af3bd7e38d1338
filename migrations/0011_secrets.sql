-- Secrets that users store for their tools, such as keys of other services. They are encrypted, and never shown again.

create table secrets (
  user_id uuid not null references users (id) on delete cascade,
  -- Tools refer to it as {{secret:NAME}}.
  name text not null,
  -- AES-256-GCM, with the id of its key; see src/db/encryption.ts. Bound to the user and the name.
  value text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  primary key (user_id, name)
);
