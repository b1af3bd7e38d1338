-- What turns cost, and what each user consumed on each day.
--
-- Processes of earlier versions may run during the update. They leave the new columns null: their turns count in usage_days
-- with an unknown cost.
--
-- What is locked here stays locked until the COMMIT of all migrations of the update: statements on it wait. Filling usage_days
-- reads the table `turns` once. Measured on two busy cores: 3 s for a million turns.

-- What this migration and the later ones of the same update lock, in the order of a turn's save: one that runs now would
-- otherwise wait for `turns`, and hold `sessions`, which a later migration needs. The locks are no stronger than those need:
-- requests read the user and the history, and refer to the user.
lock table users in share row exclusive mode;
lock table sessions, turns in access exclusive mode;
lock table items in share mode;
lock table turn_rounds in access exclusive mode;

alter table turns
  -- The API key of the request. No foreign key: the row outlives the key.
  add column key_id uuid,
  -- What answered: [{stage, model, isLocal, usage}].
  add column models jsonb,
  -- Billionths of the currency, as the turn was priced when it ran. Null: unknown.
  add column cost_nanos bigint,
  -- ISO 4217.
  add column currency text,
  -- False for a turn that only changes the items of its conversation: items that a client adds, speech without an answer.
  add column has_reply boolean not null default true;

-- Users with another limit than that of the configuration. A table of its own: a new column of `users` would need a stronger
-- lock, which every request waits for.
create table monthly_limits (
  user_id uuid primary key references users (id) on delete cascade,
  -- In the currency of the configuration. Infinity: no limit.
  amount double precision not null check (amount >= 0 and amount <> 'NaN')
);

-- The sums of each day, in UTC, in which turns ended. They outlive turns and sessions, and go with their user. No foreign key:
-- its lock of the user's row would wait for a deletion that waits for the turn.
create table usage_days (
  user_id uuid not null,
  day date not null,
  -- Null: the agent of the configuration.
  agent_id uuid,
  -- Null: not known.
  key_id uuid,
  -- Null: no prices were known.
  currency text,
  turns bigint not null,
  -- Turns, and summaries and transcriptions outside of turns, whose cost is unknown.
  unpriced bigint not null,
  audio_seconds double precision not null,
  input_tokens bigint not null,
  output_tokens bigint not null,
  characters_spoken bigint not null,
  -- Billionths of the currency; without what is unknown.
  cost_nanos bigint not null,
  constraint usage_days_key unique nulls not distinct (user_id, day, agent_id, key_id, currency)
);

create function delete_usage_of_users() returns trigger language plpgsql as $$
begin
  delete from usage_days where user_id in (select id from gone);
  return null;
end
$$;

-- Its name sorts after those of the foreign keys' triggers, which wait for turns that are just ending.
create trigger users_delete_usage
  after delete on users
  referencing old table as gone
  for each statement execute function delete_usage_of_users();

-- 0 for what is missing or no number: an earlier version may have written it. At most what JSON clients read exactly: the
-- counts are those of providers, and no count may fail the save of a turn.
create function usage_amount(usage jsonb, name text) returns numeric language sql immutable as $$
  select case when jsonb_typeof(usage -> name) = 'number'
    then least(greatest((usage ->> name)::numeric, 0), 9007199254740991) else 0 end
$$;

-- A sum that does not fit stays at the greatest bigint.
create function add_bounded(one bigint, other bigint) returns bigint language sql immutable as $$
  select least(one::numeric + other, 9223372036854775807)::bigint
$$;

-- Adds to the sums of today. `usage`: as in turns. `cost`: billionths of the currency; null: unknown. Adds nothing for a user
-- who is being deleted. It does not wait for the deletion, which waits for the turn.
create function add_usage(
  owner uuid, agent uuid, key uuid, money text, count_of_turns integer, usage jsonb, cost bigint
) returns void language sql as $$
  insert into usage_days as mine (user_id, day, agent_id, key_id, currency, turns, unpriced, audio_seconds,
    input_tokens, output_tokens, characters_spoken, cost_nanos)
  select id, (now() at time zone 'UTC')::date, agent, key, money, count_of_turns, (cost is null)::integer,
    usage_amount(usage, 'audioSeconds'), usage_amount(usage, 'inputTokens'), usage_amount(usage, 'outputTokens'),
    usage_amount(usage, 'charactersSpoken'), coalesce(cost, 0)
  from (select id from users where id = owner for key share skip locked) as payer
  on conflict on constraint usage_days_key do update set
    turns = mine.turns + excluded.turns,
    unpriced = mine.unpriced + excluded.unpriced,
    audio_seconds = mine.audio_seconds + excluded.audio_seconds,
    input_tokens = add_bounded(mine.input_tokens, excluded.input_tokens),
    output_tokens = add_bounded(mine.output_tokens, excluded.output_tokens),
    characters_spoken = add_bounded(mine.characters_spoken, excluded.characters_spoken),
    cost_nanos = add_bounded(mine.cost_nanos, excluded.cost_nanos)
$$;

-- What counts as a turn, and what webhooks are told of: neither a change of items nor an answer that began too early and was
-- dropped. What those consumed counts.
create function is_turn(has_reply boolean, is_aside boolean, is_speculative boolean)
returns boolean language sql immutable as $$
  select has_reply and not (is_aside and is_speculative)
$$;

create function has_usage(usage jsonb) returns boolean language sql immutable as $$
  select usage_amount(usage, 'audioSeconds') + usage_amount(usage, 'inputTokens') + usage_amount(usage, 'outputTokens')
    + usage_amount(usage, 'charactersSpoken') > 0
$$;

create function count_usage() returns trigger language plpgsql as $$
declare
  counts boolean := is_turn(new.has_reply, new.is_aside, new.is_speculative);
begin
  if counts or has_usage(new.usage) then
    perform add_usage(new.user_id, new.agent_id, new.key_id, new.currency, counts::integer, new.usage,
      case when has_usage(new.usage) then new.cost_nanos else 0 end);
  end if;
  return null;
end
$$;

-- At the COMMIT: turns of one user that end at the same time wait for each other as short as possible, and the row of
-- usage_days is the last that a transaction locks.
create constraint trigger turns_count_usage
  after update on turns deferrable initially deferred
  for each row when (old.usage is null and new.usage is not null)
  execute function count_usage();

-- The turns of before, by the rules of the functions above. They do not say whether they have a reply: one that completed
-- without text and tokens has none.
insert into usage_days (user_id, day, agent_id, key_id, currency, turns, unpriced, audio_seconds, input_tokens,
  output_tokens, characters_spoken, cost_nanos)
select user_id, day, agent_id, null, null, count(*) filter (where is_turn), count(*) filter (where has_usage),
  sum(audio_seconds), least(sum(input_tokens), most), least(sum(output_tokens), most), least(sum(characters_spoken), most), 0
from (
  select user_id, day, agent_id, audio_seconds, input_tokens, output_tokens, characters_spoken,
    audio_seconds + input_tokens + output_tokens + characters_spoken > 0 as has_usage,
    is_turn(state <> 'completed' or coalesce(response, '') <> '' or input_tokens + output_tokens > 0,
      is_aside, is_speculative) as is_turn
  from (
    select user_id, agent_id, state, response, is_aside, is_speculative,
      (coalesce(ended_at, created_at) at time zone 'UTC')::date as day,
      case when jsonb_typeof(usage -> 'audioSeconds') = 'number'
        then least(greatest((usage ->> 'audioSeconds')::numeric, 0), 9007199254740991)::float8 else 0 end as audio_seconds,
      case when jsonb_typeof(usage -> 'inputTokens') = 'number'
        then least(greatest((usage ->> 'inputTokens')::numeric, 0), 9007199254740991)::float8 else 0 end as input_tokens,
      case when jsonb_typeof(usage -> 'outputTokens') = 'number'
        then least(greatest((usage ->> 'outputTokens')::numeric, 0), 9007199254740991)::float8 else 0 end as output_tokens,
      case when jsonb_typeof(usage -> 'charactersSpoken') = 'number'
        then least(greatest((usage ->> 'charactersSpoken')::numeric, 0), 9007199254740991)::float8 else 0 end as characters_spoken
    from turns
    where state <> 'running' and usage is not null
    -- Otherwise each amount is read from the JSON for each of its uses.
    offset 0
  ) as amounts
) as ended
-- The greatest double precision that fits a bigint: a sum that does not fit stays there.
cross join (select 9223372036854774784::float8 as most) as bound
where is_turn or has_usage
group by user_id, day, agent_id, most;
