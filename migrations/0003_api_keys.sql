-- Several keys a user, each with a name, and an end of its own.

create table api_keys (
  id uuid primary key default gen_random_uuid(),
  user_id uuid not null references users (id) on delete cascade,
  name varchar(100) not null,
  -- SHA-256 of the key, in hex. The key itself is shown once and never stored.
  key_hash char(64) not null unique,
  -- How the key begins, by which its owner knows it again. Of keys from before this table nobody knows.
  prefix varchar(7),
  created_at timestamptz not null default now(),
  -- To the minute.
  last_used_at timestamptz,
  expires_at timestamptz,
  -- May lie ahead: a key that was replaced goes on for a grace.
  revoked_at timestamptz
);

-- A user's keys in the order in which they were made; also serves the cascade from users.
create index api_keys_of_user on api_keys (user_id, created_at, id);

insert into api_keys (user_id, name, key_hash, created_at)
select id, 'API key', api_key_hash, created_at from users;

alter table users drop column api_key_hash;

-- One address, one user, in whichever form of Unicode it came: what is written from now on is composed. Two users whose
-- addresses only differ in that keep both.
update users as mine set email = normalize(email, nfc)
where email is not nfc normalized and not exists (
  select 1 from users as other
  where other.id <> mine.id and lower(normalize(other.email, nfc)) = lower(normalize(mine.email, nfc))
);

-- A user's data, page by page, for the export: both orders stay what they are while turns go on.
create index sessions_by_creation on sessions (user_id, created_at, id);
create index turns_of_user on turns (user_id, sequence);
