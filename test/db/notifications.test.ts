import { afterAll, beforeAll, expect } from "bun:test"
import { Effect, Exit, Fiber, Queue, Stream } from "effect"
import { makeNotifications } from "../../src/db/notifications.ts"
import { makeDatabase, type TestDatabase } from "../support/database.ts"
import { effectTest } from "../support/effect.ts"
import { until } from "../support/turns.ts"

let database: TestDatabase
beforeAll(async () => {
  database = await makeDatabase()
})
afterAll(() => database.drop())

const listeners = () =>
  database.sql`select pid from pg_stat_activity where datname = current_database() and query like 'listen %'`

/** As the pool's options have it: the password is hidden from enumeration. */
const config = () => {
  const { hostname, port, username, password, pathname } = new URL(database.url)
  const options = { host: hostname, port: Number(port), user: username, database: pathname.slice(1) }
  return Object.defineProperty(options, "password", {
    value: decodeURIComponent(password),
    enumerable: false,
  })
}

const listen = Effect.gen(function* () {
  const heard = yield* Queue.unbounded<void>()
  const stream = makeNotifications(config()).listen("one channel")
  const fiber = yield* Effect.forkScoped(Stream.runForEach(stream, () => Queue.offer(heard, undefined)))
  // The first one says that it listens.
  yield* Queue.take(heard)
  return { heard, fiber }
})

effectTest(
  "emits at each notification of its channel, and closes its connection at the end",
  Effect.gen(function* () {
    yield* Effect.scoped(
      Effect.gen(function* () {
        const { heard } = yield* listen
        yield* Effect.promise(
          () => database.sql`select pg_notify('another', 'x'), pg_notify('one channel', 'x')`,
        )
        yield* Queue.take(heard)
        yield* Effect.promise(() => database.sql`select pg_notify('one channel', '')`)
        yield* Queue.take(heard)
        expect(yield* Queue.size(heard)).toBe(0)
        expect(yield* Effect.promise(listeners)).toHaveLength(1)
      }),
    )
    yield* Effect.promise(() => until(async () => (await listeners()).length === 0, "the end"))
  }),
)

effectTest(
  "fails when its connection is lost",
  Effect.gen(function* () {
    const { fiber } = yield* listen
    yield* Effect.promise(
      () => database.sql`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and query like 'listen %'`,
    )
    expect(Exit.isFailure(yield* Fiber.await(fiber))).toBe(true)
  }),
)
