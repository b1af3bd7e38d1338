import { expect } from "bun:test"
import { Effect, Exit, Fiber, Logger, Scope, TestClock } from "effect"
import { DatabaseUnavailable } from "../../src/db/errors.ts"
import { makeLinger, makeWrites } from "../../src/realtime/writes.ts"
import { effectTest } from "../support/effect.ts"

const away = Effect.fail(new DatabaseUnavailable({ cause: "away" }))

/** Writes of a connection in a scope of its own, whose database is away until `isThere`. */
const makeConnectionWrites = Effect.gen(function* () {
  const scope = yield* Scope.make()
  const service = yield* Scope.make()
  const writes = yield* Scope.extend(makeWrites(yield* Scope.extend(makeLinger, service)), scope)
  const written: Array<number> = []
  const database = { isThere: false }
  const settle = Effect.repeatN(Effect.yieldNow(), 50)
  return {
    written,
    database,
    isFull: writes.isFull,
    add: (at: number) =>
      writes.add(Effect.suspend(() => (database.isThere ? Effect.sync(() => void written.push(at)) : away))),
    hangUp: Effect.fork(Scope.close(scope, Exit.void)),
    stop: Effect.fork(Scope.close(service, Exit.void)),
    pass: (seconds: number) => Effect.zipRight(TestClock.adjust(seconds * 1000), settle),
  }
})

effectTest(
  "writes go on after a hang-up",
  Effect.gen(function* () {
    const { written, database, add, hangUp, pass } = yield* makeConnectionWrites
    for (const at of [1, 2, 3]) add(at)
    const closing = yield* hangUp
    yield* pass(5)
    yield* Fiber.join(closing)
    expect(written).toEqual([])
    database.isThere = true
    yield* pass(1)
    expect(written).toEqual([1, 2, 3])
  }),
)

const logged: Array<unknown> = []
const logger = Logger.make(({ message, annotations }) =>
  logged.push([message, Object.fromEntries(annotations)]),
)

effectTest(
  "writes are dropped with their number a minute after a hang-up, or when the service stops",
  Effect.gen(function* () {
    const waiting = yield* makeConnectionWrites
    for (const at of [1, 2, 3]) waiting.add(at)
    yield* waiting.hangUp
    yield* waiting.pass(5)
    yield* waiting.pass(54)
    expect(logged).toEqual([])
    yield* waiting.pass(7)
    expect(logged.at(-1)).toEqual([["realtime.writes_dropped"], { count: 2 }])
    const stopping = yield* makeConnectionWrites
    for (const at of [1, 2, 3]) stopping.add(at)
    yield* stopping.hangUp
    yield* stopping.pass(5)
    yield* stopping.stop
    yield* stopping.pass(5)
    expect(logged.at(-1)).toEqual([["realtime.writes_dropped"], { count: 3 }])
  }).pipe(Effect.provide(Logger.replace(Logger.defaultLogger, logger))),
)

effectTest(
  "writes are full at 128, and take more",
  Effect.gen(function* () {
    const { written, database, add, isFull, pass } = yield* makeConnectionWrites
    for (let at = 0; at < 127; at++) add(at)
    expect(isFull()).toBe(false)
    for (let at = 127; at < 200; at++) add(at)
    expect(isFull()).toBe(true)
    yield* pass(0)
    database.isThere = true
    yield* pass(1)
    expect(written.length).toBe(200)
  }),
)
