import { afterAll, afterEach, beforeAll, describe, expect } from "bun:test"
import { SqlClient } from "@effect/sql/SqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Chunk, Clock, Context, Effect, Fiber, Layer, Redacted, TestClock } from "effect"
import { makePool } from "../../src/db/pool.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { effectTest } from "../support/effect.ts"
import { startTcpProxy, type TcpProxy } from "../support/tcp-proxy.ts"
import { until } from "../support/turns.ts"

let database: TestDatabase
let proxy: TcpProxy
beforeAll(async () => {
  database = await makeDatabase()
  proxy = await startTcpProxy(database.url)
})
afterAll(async () => {
  await proxy.stop()
  await database.drop()
})
afterEach(() => {
  proxy.redirect()
  proxy.restore()
})

const connect = Effect.suspend(() =>
  Layer.build(PgClient.layerFromPool({ acquire: makePool({ url: Redacted.make(proxy.url), size: 3 }) })),
).pipe(Effect.map(Context.get(SqlClient)))

/** On the real clock. */
const awaited = (holds: () => Promise<boolean>, what: string) => Effect.promise(() => until(holds, what))

/** Lets the pool take one look, to its end: it then sleeps until the next. */
const look = Effect.gen(function* () {
  yield* TestClock.adjust("2 seconds")
  const next = (yield* Clock.currentTimeMillis) + 2000
  while (!Chunk.contains(yield* TestClock.sleeps(), next)) yield* Effect.promise(() => Bun.sleep(2))
})

describe("statements that take long", () => {
  const questions = () => proxy.statements().filter((each) => each.includes("from pg_stat_activity")).length
  const waiting = async () =>
    (
      await database.sql`select 1 from pg_stat_activity
        where datname = current_database() and application_name = 'voice-agent' and wait_event_type = 'Lock'`
    ).length

  /** Two at once, in vain for so long that the server is asked about them; then they may end. */
  const takeLong = (meanwhile: (unlock: () => Promise<unknown>) => unknown) =>
    Effect.gen(function* () {
      proxy.forget()
      const sql = yield* connect
      const lock = yield* Effect.acquireRelease(
        Effect.promise(() => database.sql.reserve()),
        (connection) => Effect.promise(async () => connection.release()),
      )
      yield* Effect.promise(() => lock`select pg_advisory_lock(1)`.execute())
      const statement = sql`select 'done' as word from pg_advisory_xact_lock_shared(1)`
      const both = yield* Effect.fork(Effect.all([statement, statement], { concurrency: 2 }))
      yield* awaited(async () => (await waiting()) === 2, "both to wait")
      const unlock = () => lock`select pg_advisory_unlock(1)`.execute()
      yield* Effect.promise(async () => meanwhile(unlock))
      for (let time = 0; time < 3; time++) yield* look
      yield* Effect.promise(unlock)
      const answers: ReadonlyArray<unknown> = yield* Fiber.join(both)
      return answers
    })
  const done: ReadonlyArray<unknown> = [[{ word: "done" }], [{ word: "done" }]]

  effectTest(
    "are left alone where the server works on them, as one question for all of them tells",
    Effect.gen(function* () {
      expect(yield* takeLong(() => undefined)).toEqual(done)
      expect(questions()).toBe(1)
    }),
    30_000,
  )

  effectTest(
    "are left alone where the server has no connection to spare for the question",
    Effect.gen(function* () {
      const before = proxy.refused()
      expect(yield* takeLong(() => proxy.redirect({ refusal: "53300" }))).toEqual(done)
      expect(proxy.refused() - before).toBe(1)
    }),
    30_000,
  )

  effectTest(
    "fail where the server has done its work and the answer is lost",
    Effect.gen(function* () {
      const lost = takeLong(async (unlock) => {
        proxy.vanish()
        await unlock()
        await until(async () => (await waiting()) === 0, "both to be done")
      })
      expect((yield* Effect.flip(lost))._tag).toBe("SqlError")
      expect(questions()).toBe(1)
    }),
    30_000,
  )

  effectTest(
    "are left alone behind a pooler, which tells process ids of its own invention",
    Effect.gen(function* () {
      proxy.inventProcessIds()
      expect(yield* takeLong(() => undefined)).toEqual(done)
      expect(questions()).toBe(1)
    }),
    30_000,
  )
})

effectTest(
  "a statement that is refused does not cost its connection",
  Effect.gen(function* () {
    const sql = yield* connect
    const pid = sql`select pg_backend_pid() as pid`
    const before = yield* pid
    expect((yield* Effect.flip(sql`select 1 / 0`))._tag).toBe("SqlError")
    expect(yield* pid).toEqual(before)
  }),
  60_000,
)
