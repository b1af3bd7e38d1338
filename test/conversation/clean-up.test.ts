import { afterAll, beforeAll, beforeEach, expect } from "bun:test"
import { Effect, Layer, Logger, Queue, TestClock } from "effect"
import * as CleanUp from "../../src/conversation/clean-up.ts"
import { Ledger } from "../../src/conversation/ledger.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { effectTest } from "../support/effect.ts"
import { storedParts } from "../support/stored-parts.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(() => database.drop())

const run = (statement: string) => Effect.promise(() => database.sql.unsafe(statement))

/** A database as the service has it, with the given SESSION_RETENTION_DAYS. */
const parts = (retentionDays?: string) =>
  storedParts(
    Ledger.layer,
    () => database,
    retentionDays === undefined ? {} : { SESSION_RETENTION_DAYS: retentionDays },
  )

/** Sessions by the name of what is in them, and the hours for which they are idle. */
const insert = (...sessions: ReadonlyArray<readonly [said: "empty" | "said", idleHours: number]>) =>
  run(`
    with sitting as (
      insert into users (email) values (gen_random_uuid() || '@example.com') returning id
    ), made as (
      insert into sessions (user_id, title)
      select id, title from sitting, unnest(array['${sessions.map(([said, hours]) => `${said} ${hours}`).join("','")}']) title
      returning id, title
    )
    insert into messages (session_id, turn_id, role, content)
    select id, gen_random_uuid(), 'user', 'Hi' from made where title like 'said%';
    update sessions set last_activity_at = now() - split_part(title, ' ', 2)::float * interval '1 hour';
  `)
const kept = Effect.map(
  Effect.promise(
    async (): Promise<ReadonlyArray<{ readonly title: string }>> => database.sql`
    select title from sessions order by split_part(title, ' ', 2)::float, title`,
  ),
  (rows) => rows.map(({ title }) => title),
)
beforeEach(async () => {
  await database.sql`drop schema public cascade`
  await database.sql`create schema public`
})

effectTest(
  "deletes empty sessions that are idle for 24 h, and keeps all others",
  Effect.gen(function* () {
    yield* insert(
      ["empty", 0],
      ["empty", 23.9],
      ["empty", 24.1],
      ["empty", 9000],
      ["said", 24.1],
      ["said", 9000],
    )
    expect(yield* CleanUp.cleanUp).toMatchObject({ empty: 2, old: 0 })
    expect(yield* kept).toEqual(["empty 0", "empty 23.9", "said 24.1", "said 9000"])
    expect(yield* CleanUp.cleanUp).toMatchObject({ empty: 0, old: 0 })
  }).pipe(Effect.provide(parts())),
)

effectTest(
  "with SESSION_RETENTION_DAYS deletes all that are idle for longer, with their messages",
  Effect.gen(function* () {
    yield* insert(["empty", 0], ["empty", 25], ["said", 25], ["said", 59.9], ["said", 60.1], ["said", 9000])
    expect(yield* CleanUp.cleanUp).toMatchObject({ empty: 1, old: 2 })
    expect(yield* kept).toEqual(["empty 0", "said 25", "said 59.9"])
    expect(yield* Effect.promise(() => database.sql`select 1 from messages`)).toHaveLength(2)
  }).pipe(Effect.provide(parts("2.5"))),
)

effectTest(
  "forgets allowances that are whole again",
  Effect.gen(function* () {
    yield* run(`insert into rate_limits values
      ('turns', 'a', now() - interval '1 second'), ('turns', 'b', now() + interval '1 minute')`)
    expect(yield* CleanUp.cleanUp).toMatchObject({ limits: 1 })
    expect(yield* Effect.promise(() => database.sql`select who from rate_limits`)).toHaveLength(1)
  }).pipe(Effect.provide(parts())),
)

effectTest(
  "deletes expired client secrets",
  Effect.gen(function* () {
    yield* run(`with owner as (
        insert into users (email) values ('secrets@example.com') returning id
      ), key as (
        insert into api_keys (user_id, name, key_hash) select id, 'key', repeat('0', 64) from owner returning id, user_id
      )
      insert into client_secrets (user_id, key_id, secret_hash, session, expires_at)
      select user_id, id, repeat(n::text, 64), '{}', now() + make_interval(secs => n * 60 - 90) from key, generate_series(1, 2) n`)
    expect(yield* CleanUp.cleanUp).toMatchObject({ secrets: 1 })
    const left = yield* Effect.promise(() => database.sql`select secret_hash from client_secrets`)
    expect([...left]).toMatchObject([{ secret_hash: "2".repeat(64) }])
  }).pipe(Effect.provide(parts())),
)

effectTest(
  "may run many times at once",
  Effect.gen(function* () {
    yield* insert(["empty", 25], ["empty", 30], ["said", 9000], ["said", 1])
    const done = yield* Effect.all(
      Array.from({ length: 8 }, () => CleanUp.cleanUp),
      { concurrency: 8 },
    )
    expect(done.reduce((sum, { empty, old }) => sum + empty + old, 0)).toBe(3)
    expect(yield* kept).toEqual(["said 1"])
  }).pipe(Effect.provide(parts("1"))),
)

effectTest(
  "runs at start and every hour, and goes on after a round that failed",
  Effect.gen(function* () {
    const rounds = yield* Queue.unbounded<string>()
    const logger = Logger.make(({ message, logLevel }) => {
      if (`${message}`.startsWith("cleanup.")) Queue.unsafeOffer(rounds, `${logLevel.label} ${message}`)
    })
    const round = Queue.take(rounds)
    yield* Effect.gen(function* () {
      yield* insert(["empty", 25])
      yield* Layer.build(CleanUp.layer)
      expect(yield* round).toBe("INFO cleanup.completed")
      expect(yield* kept).toEqual([])

      yield* insert(["empty", 30])
      yield* TestClock.adjust("59 minutes")
      expect(yield* Queue.size(rounds)).toBe(0)
      expect(yield* kept).toEqual(["empty 30"])
      yield* TestClock.adjust("1 minute")
      expect(yield* round).toBe("INFO cleanup.completed")
      expect(yield* kept).toEqual([])

      yield* run("alter table sessions rename to elsewhere")
      yield* TestClock.adjust("1 hour")
      expect(yield* round).toBe("WARN cleanup.failed")
      yield* run("alter table elsewhere rename to sessions")
      yield* insert(["empty", 40])
      yield* TestClock.adjust("1 hour")
      expect(yield* round).toBe("INFO cleanup.completed")
      expect(yield* kept).toEqual([])
    }).pipe(Effect.provide(Layer.merge(parts(), Logger.add(logger))))
  }),
)
