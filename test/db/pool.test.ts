import { afterAll, afterEach, beforeAll, describe, expect } from "bun:test"
import * as BunContext from "@effect/platform-bun/BunContext"
import { SqlClient } from "@effect/sql/SqlClient"
import * as PgClient from "@effect/sql-pg/PgClient"
import { Chunk, Clock, Context, Effect, Fiber, Layer, Redacted, TestClock } from "effect"
import { makePool } from "../../src/db/pool.ts"
import { targetOf } from "../../src/db/target.ts"
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

const connect = Effect.suspend(() => targetOf(Redacted.make(proxy.url))).pipe(
  Effect.provide(BunContext.layer),
  Effect.flatMap((target) => Layer.build(PgClient.layerFromPool({ acquire: makePool({ target, size: 3 }) }))),
  Effect.map(Context.get(SqlClient)),
)

/** Waits in real time. */
const waitUntil = (holds: () => Promise<boolean>, what: string) => Effect.promise(() => until(holds, what))

/** Runs one check of the pool to its end; the pool then sleeps until the next. */
const runCheck = Effect.gen(function* () {
  yield* TestClock.adjust("2 seconds")
  const next = (yield* Clock.currentTimeMillis) + 2000
  while (!Chunk.contains(yield* TestClock.sleeps(), next)) yield* Effect.promise(() => Bun.sleep(2))
})

describe("a long statement", () => {
  const probes = () => proxy.statements().filter((each) => each.includes("from pg_stat_activity")).length
  const waiting = async () =>
    (
      await database.sql`select 1 from pg_stat_activity
        where datname = current_database() and application_name = 'voice-agent' and wait_event_type = 'Lock'`
    ).length

  /** Runs two statements that wait for a lock until the pool has asked the server about them, then unlocks them. */
  const runLong = (meanwhile: (unlock: () => Promise<unknown>) => unknown) =>
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
      yield* waitUntil(async () => (await waiting()) === 2, "both statements waiting")
      const unlock = () => lock`select pg_advisory_unlock(1)`.execute()
      yield* Effect.promise(async () => meanwhile(unlock))
      for (let time = 0; time < 3; time++) yield* runCheck
      yield* Effect.promise(unlock)
      const answers: ReadonlyArray<unknown> = yield* Fiber.join(both)
      return answers
    })
  const done: ReadonlyArray<unknown> = [[{ word: "done" }], [{ word: "done" }]]

  effectTest(
    "continues while the server runs it",
    Effect.gen(function* () {
      expect(yield* runLong(() => undefined)).toEqual(done)
      expect(probes()).toBe(1)
    }),
    30_000,
  )

  effectTest(
    "continues if the server refuses the probe",
    Effect.gen(function* () {
      const before = proxy.refused()
      expect(yield* runLong(() => proxy.redirect({ refusal: "53300" }))).toEqual(done)
      expect(proxy.refused() - before).toBe(1)
    }),
    30_000,
  )

  effectTest(
    "fails if its answer is lost",
    Effect.gen(function* () {
      const lost = runLong(async (unlock) => {
        proxy.vanish()
        await unlock()
        await until(async () => (await waiting()) === 0, "both statements done")
      })
      expect((yield* Effect.flip(lost))._tag).toBe("SqlError")
      expect(probes()).toBe(1)
    }),
    30_000,
  )

  effectTest(
    "continues behind a pooler",
    Effect.gen(function* () {
      proxy.inventProcessIds()
      expect(yield* runLong(() => undefined)).toEqual(done)
      expect(probes()).toBe(1)
    }),
    30_000,
  )
})

effectTest(
  "a failed statement keeps its connection",
  Effect.gen(function* () {
    const sql = yield* connect
    const pid = sql`select pg_backend_pid() as pid`
    const before = yield* pid
    expect((yield* Effect.flip(sql`select 1 / 0`))._tag).toBe("SqlError")
    expect(yield* pid).toEqual(before)
  }),
  60_000,
)
