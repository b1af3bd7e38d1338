-- What agents remember of users, by the tools remember, recall and forget. It belongs to the user, not to a session.

create table memories (
  -- Of the call that remembered it: a call that is made again adds nothing.
  id uuid primary key,
  user_id uuid not null references users (id) on delete cascade,
  text varchar(500) not null,
  created_at timestamptz not null default now()
);

-- A user's memories in order; also serves the cascade from users.
create index memories_of_user on memories (user_id, created_at, id);
