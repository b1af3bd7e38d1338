import { expect, test } from "bun:test"
import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { SQL } from "bun"
import { makeDatabase, makeEmptyDatabase } from "../support/database.ts"
import { until } from "../support/turns.ts"

const folder = join(import.meta.dir, "../../migrations")
const isOlder = (file: string) => file < "0014"

/** Turns as versions without costs end them. `early`: an answer that begins before its turn. `aside`: it was not adopted. */
const rows = `
  (1, 'completed', true, false, false, 'Hi.', '{"audioSeconds": 1.5, "inputTokens": 3, "outputTokens": 2, "charactersSpoken": 3}'),
  (2, 'completed', false, false, false, '', '{"audioSeconds": 2, "inputTokens": 0, "outputTokens": 0, "charactersSpoken": 0}'),
  (3, 'completed', false, false, false, '', '{"audioSeconds": 0, "inputTokens": 0, "outputTokens": 0, "charactersSpoken": 0}'),
  (4, 'completed', true, false, false, 'Hello.', '{}'),
  (5, 'failed', true, false, false, null, '{"audioSeconds": 4}'),
  (6, 'failed', true, true, true, null, '{"outputTokens": 5}'),
  (7, 'interrupted', true, false, false, 'Hm', '{"inputTokens": "many", "outputTokens": -7, "charactersSpoken": 1}'),
  (8, 'cancelled', true, false, false, null, null),
  (9, 'failed', true, true, false, null, '{"outputTokens": 6}'),
  (10, 'completed', true, false, true, 'A title', '{"outputTokens": 1}')`
const given = `(values ${rows}) as given (n, state, replies, early, aside, response, usage)`
const expected = {
  turns: 6,
  unpriced: 7,
  audio_seconds: 7.5,
  input_tokens: 3,
  output_tokens: 14,
  characters_spoken: 4,
  cost_nanos: 0,
}
const sums = (sql: SQL) => sql`
  select sum(turns)::int as turns, sum(unpriced)::int as unpriced, sum(audio_seconds) as audio_seconds,
    sum(input_tokens)::int as input_tokens, sum(output_tokens)::int as output_tokens,
    sum(characters_spoken)::int as characters_spoken, sum(cost_nanos)::int as cost_nanos from usage_days`

test("the migration sums the turns of before as their end does now", async () => {
  const before = await makeEmptyDatabase()
  const files = (await readdir(folder)).toSorted()
  const run = async (file: string) => before.sql.unsafe(await Bun.file(join(folder, file)).text())
  for (const file of files.filter(isOlder)) await run(file)
  const fill = (more: Record<string, string>) => `
    insert into users (email) values ('ada@example.com');
    insert into turns (${["id, user_id, session_id, lease_until, is_speculative, is_aside, response", ...Object.keys(more)].join()})
    select ${["md5(n::text)::uuid, users.id, gen_random_uuid(), now() + interval '1 minute', early, aside, response", ...Object.values(more)].join()}
    from users, ${given};
    update turns set state = given.state, lease_until = null, usage = given.usage::jsonb, ended_at = now()
    from ${given} where id = md5(n::text)::uuid`
  await before.sql.unsafe(fill({}))
  // Each counts as much as a turn can. Their sums do not fit.
  const [{ id: greatest }] = await before.sql`
    with owner as (insert into users (email) values ('bob@example.com') returning id), used as (
      insert into turns (id, user_id, session_id, state, usage)
      select gen_random_uuid(), id, gen_random_uuid(), 'failed',
        '{"inputTokens": 1e300, "outputTokens": 1e16, "charactersSpoken": 1e16, "audioSeconds": 1e300}'
      from owner, generate_series(1, 1100))
    select id from owner`
  for (const file of files.filter((each) => !isOlder(each))) await run(file)
  const [bounded] = await before.sql`delete from usage_days where user_id = ${greatest}
    returning input_tokens, output_tokens, characters_spoken, turns::int`
  const most = "9223372036854774784"
  expect(bounded).toMatchObject({
    input_tokens: most,
    output_tokens: most,
    characters_spoken: most,
    turns: 1100,
  })
  const after = await makeDatabase()
  await after.sql.unsafe(fill({ has_reply: "replies" }))
  for (const { sql } of [before, after]) expect([...(await sums(sql))]).toEqual([expected])
  await before.drop()
  await after.drop()
})

test("turns of a user that end at the same time are all counted", async () => {
  const database = await makeDatabase()
  const sql = new SQL(database.url, { max: 8 })
  const [{ id: user }] = await sql`insert into users (email) values ('ada@example.com') returning id`
  const turns: ReadonlyArray<{ readonly id: string }> = await sql`
    insert into turns (id, user_id, session_id, lease_until)
    select gen_random_uuid(), ${user}, gen_random_uuid(), now() + interval '1 minute' from generate_series(1, 200) returning id`
  await Promise.all(
    turns.map(
      ({
        id,
      }) => sql`update turns set state = 'completed', lease_until = null, response = 'Hi', usage = '{"inputTokens": 2}',
        cost_nanos = 3, currency = 'USD' where id = ${id}`,
    ),
  )
  expect([...(await sums(sql))]).toMatchObject([
    { turns: 200, unpriced: 0, input_tokens: 400, cost_nanos: 600 },
  ])
  // A row that is written again counts once.
  await sql`update turns set usage = '{"inputTokens": 9}', response = 'Hello'`
  expect([...(await sums(sql))]).toMatchObject([{ turns: 200, input_tokens: 400 }])
  await sql`delete from users`
  await sql`select add_usage(${user}::uuid, null::uuid, null::uuid, 'USD', 1, '{"inputTokens": 2}', 3)`
  expect(await sql`select 1 from usage_days`).toHaveLength(0)
  await sql.close()
  await database.drop()
})

test("no count of a provider and no price fails the end of a turn", async () => {
  const { sql, drop } = await makeDatabase()
  const [{ id: user }] = await sql`insert into users (email) values ('ada@example.com') returning id`
  const most = "9223372036854775807"
  const counts = [
    `{"inputTokens": ${"9".repeat(400)}, "outputTokens": 1e300, "charactersSpoken": 9e18, "audioSeconds": 1e400}`,
    '{"inputTokens": -1e300, "outputTokens": -5, "charactersSpoken": -0.4, "audioSeconds": -1}',
    '{"inputTokens": "many", "outputTokens": null, "charactersSpoken": [], "audioSeconds": {}}',
  ]
  for (const usage of [...counts, ...counts]) {
    const [{ id }] = await sql`insert into turns (id, user_id, session_id, lease_until)
      values (gen_random_uuid(), ${user}, gen_random_uuid(), now() + interval '1 minute') returning id`
    await sql`update turns set state = 'completed', lease_until = null, response = 'Hi', usage = ${usage}::text::jsonb,
      cost_nanos = ${most}::bigint, currency = 'USD' where id = ${id}`
  }
  const [row] = await sql`select turns::int, input_tokens::text as input, output_tokens::text as output,
    cost_nanos::text as cost, audio_seconds > 1e15 as hears from usage_days`
  expect(row).toEqual({
    turns: 6,
    input: `${2n * 9007199254740991n}`,
    output: `${2n * 9007199254740991n}`,
    cost: most,
    hears: true,
  })
  await sql`update usage_days set input_tokens = ${most}::bigint`
  await sql`select add_usage(${user}::uuid, null::uuid, null::uuid, 'USD', 1, '{"inputTokens": 2}', 3)`
  expect([...(await sql`select input_tokens::text as input from usage_days`)]).toEqual([{ input: most }])
  await drop()
})

test("nothing is counted for a user who is being deleted, and nothing waits", async () => {
  const database = await makeDatabase()
  const other = new SQL(database.url, { max: 1 })
  const { sql } = database
  const addUser = async () =>
    (await sql`insert into users (email) values (gen_random_uuid() || '@example.com') returning id`)[0].id
  const count = (user: string, by: SQL) =>
    by`select add_usage(${user}::uuid, null::uuid, null::uuid, 'USD', 1, '{"inputTokens": 2}', 3)`
  const rows = (user: string) => sql`select 1 from usage_days where user_id = ${user}`
  // The deletion is first.
  const first = await addUser()
  await other.begin(async (deleting) => {
    await deleting`delete from users where id = ${first}`
    await count(first, sql)
  })
  expect(await rows(first)).toHaveLength(0)
  // The usage is first.
  const second = await addUser()
  const deleted = Promise.withResolvers<unknown>()
  await other.begin(async (counting) => {
    await count(second, counting)
    deleted.resolve(sql`delete from users where id = ${second}`.then((gone) => gone))
    await until(
      async () =>
        (
          await sql`select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like 'delete from users%'`
        ).length > 0,
      "a deletion that waits",
    )
  })
  await deleted.promise
  expect(await rows(second)).toHaveLength(0)
  await other.close()
  await database.drop()
})

test.each(["NaN", "-1", "-Infinity"])("a monthly limit of %s is refused", async (amount) => {
  const { sql, drop } = await makeDatabase()
  await sql`insert into users (email) values ('ada@example.com')`
  const set = sql`insert into monthly_limits select id, ${amount}::float8 from users`.then(
    () => "set",
    (error: Error) => error.message,
  )
  expect(await set).toContain("check constraint")
  await drop()
})
