import { expect } from "bun:test"
import { Effect, Either, Exit, Fiber, Logger, Option, Scope, TestClock } from "effect"
import { newItem } from "../../src/conversation/item.ts"
import { SessionNotFound } from "../../src/conversation/model.ts"
import { DatabaseUnavailable } from "../../src/db/errors.ts"
import { makeLinger } from "../../src/realtime/linger.ts"
import { type DropItems, type ItemWrite, makeWrites, type SaveItems } from "../../src/realtime/writes.ts"
import { ItemId, newId } from "../../src/schema.ts"
import { effectTest } from "../support/effect.ts"

const away = Effect.fail(new DatabaseUnavailable({ cause: "away" }))

/** Writes of a connection in a scope of its own, whose database is away until `isThere`. */
const makeConnectionWrites = Effect.gen(function* () {
  const database = { isThere: false }
  const scope = yield* Scope.make()
  const service = yield* Scope.make()
  const linger = yield* Scope.extend(makeLinger, service)
  const saves: Array<number> = []
  const save: SaveItems = (items, onEntered) =>
    Effect.suspend(() => {
      onEntered()
      saves.push(items.length)
      return database.isThere ? Effect.void : away
    })
  /** The texts of items that were dropped together. */
  const dropped: Array<ReadonlyArray<string>> = []
  const onDropped: DropItems = (items) =>
    Effect.sync(() => {
      dropped.push(items.map(({ item }) => (item.payload.type === "message" ? item.payload.text : "")))
    })
  let gone = 0
  const onSessionGone = () => {
    gone += 1
  }
  const writes = yield* Scope.extend(makeWrites({ linger, save, onDropped, onSessionGone }), scope)
  const written: Array<number> = []
  const settle = Effect.repeatN(Effect.yieldNow(), 50)
  return {
    written,
    database,
    writes,
    saves,
    dropped,
    gone: () => gone,
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

/** An item of a conversation that has `later` behind it. */
const item = (text: string, later: ReadonlyArray<ItemId> = []): ItemWrite => ({
  item: newItem({ type: "message", role: "user", text }),
  place: () => ({ earlier: [], later }),
})

effectTest(
  "items that wait are saved together, 200 at a time, apart from those that belong elsewhere",
  Effect.gen(function* () {
    const { writes, saves, database, add, pass } = yield* makeConnectionWrites
    database.isThere = true
    for (let at = 0; at < 450; at++) writes.append(item(`${at}`))
    yield* pass(0)
    expect(saves).toEqual([200, 200, 50])
    writes.append(item("a"))
    writes.append(item("b", [newId(ItemId)]))
    writes.append(item("c"))
    writes.append(item("d"))
    add(1)
    writes.append(item("e"))
    yield* pass(0)
    expect(saves.slice(3)).toEqual([1, 1, 2, 1])
  }),
)

effectTest(
  "a response takes the unsaved items before it, and none that were added later",
  Effect.gen(function* () {
    const { writes, saves, pass } = yield* makeConnectionWrites
    writes.append(item("one"))
    writes.append(item("two"))
    const waiting = yield* Effect.fork(writes.written())
    writes.append(item("three"))
    yield* pass(0)
    const { items } = yield* Fiber.join(waiting)
    expect(items.map(({ payload }) => "text" in payload && payload.text)).toEqual(["one", "two"])
    expect(saves).toEqual([2])
  }),
)

effectTest(
  "writes are full at 10,000, or with 32 Mi characters, and take more",
  Effect.gen(function* () {
    const { writes, database, pass } = yield* makeConnectionWrites
    for (let at = 0; at < 9999; at++) writes.append(item(""))
    expect(writes.isFull()).toBe(false)
    for (let at = 0; at < 3; at++) writes.append(item(""))
    expect(writes.isFull()).toBe(true)
    database.isThere = true
    yield* pass(1)
    expect(writes.isFull()).toBe(false)
    writes.append(item("x".repeat(32 * 1024 * 1024)))
    expect(writes.isFull()).toBe(true)
  }),
)

/** The error of a response that waits for the writes, after `seconds`. */
const errorAfter = (
  seconds: number,
  write: (onEntered: () => void) => Effect.Effect<void, DatabaseUnavailable>,
) =>
  Effect.gen(function* () {
    const { writes, pass } = yield* makeConnectionWrites
    writes.change(write)
    const waiting = yield* Effect.fork(Effect.either(writes.written()))
    yield* pass(seconds)
    const exit = yield* Fiber.poll(waiting)
    return Option.match(exit, {
      onNone: () => "waits",
      onSome: Exit.match({
        onFailure: () => "defect",
        onSuccess: Either.match({ onLeft: ({ _tag }) => _tag, onRight: () => "done" }),
      }),
    })
  })

effectTest(
  "a response behind a long turn of the session is busy after 30 s; without a database it fails after 10 s",
  Effect.gen(function* () {
    const queued = (onEntered: () => void) => Effect.zipRight(Effect.sync(onEntered), Effect.never)
    expect(yield* errorAfter(29, queued)).toBe("waits")
    expect(yield* errorAfter(31, queued)).toBe("SessionBusy")
    expect(yield* errorAfter(9, () => Effect.never)).toBe("waits")
    expect(yield* errorAfter(11, () => Effect.never)).toBe("DatabaseUnavailable")
    // It had its place, and the database went away.
    expect(yield* errorAfter(11, (onEntered) => Effect.zipRight(Effect.sync(onEntered), away))).toBe(
      "DatabaseUnavailable",
    )
  }),
)

effectTest(
  "a write that finds no session says so, once each",
  Effect.gen(function* () {
    const { writes, gone, pass } = yield* makeConnectionWrites
    writes.add(new SessionNotFound())
    yield* pass(0)
    expect(gone()).toBe(1)
  }),
)

effectTest(
  "items that are not saved are given up: those of one save, and those that were in none",
  Effect.gen(function* () {
    const { writes, saves, dropped, database, hangUp, pass } = yield* makeConnectionWrites
    writes.append(item("a"))
    writes.append(item("b"))
    yield* pass(0)
    writes.append(item("c"))
    yield* pass(61)
    expect(dropped).toEqual([["a", "b"]])
    yield* pass(0)
    writes.append(item("d", [newId(ItemId)]))
    yield* hangUp
    yield* pass(5)
    yield* pass(50)
    expect(dropped).toEqual([["a", "b"]])
    yield* pass(15)
    expect(dropped.slice(1).toSorted()).toEqual([["c"], ["d"]])
    expect(saves.slice(-1)).toEqual([1])
    database.isThere = true
    yield* pass(5)
    expect(dropped).toHaveLength(3)
  }),
)
