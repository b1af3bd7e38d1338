import { expect } from "bun:test"
import { Context, Deferred, Effect, Fiber, Layer, TestClock } from "effect"
import { hostResources } from "../../src/capacity.ts"
import { ConversionSlots } from "../../src/limits/conversion-slots.ts"
import { newId, UserId } from "../../src/schema.ts"
import { effectTest } from "../support/effect.ts"

const { cores } = hostResources()

/** As many conversions of each user as there are slots. Each runs until `ends`. */
const convertAll = Effect.gen(function* () {
  const slots = Context.get(yield* Layer.build(ConversionSlots.layer), ConversionSlots)
  const ends = yield* Deferred.make<void>()
  const users = Array.from({ length: 3 }, () => newId(UserId))
  const running = new Map<UserId, number>()
  const count = (user: UserId, by: number) => running.set(user, (running.get(user) ?? 0) + by)
  const convert = (user: UserId) =>
    Effect.acquireRelease(
      Effect.sync(() => count(user, 1)),
      () => Effect.sync(() => count(user, -1)),
    ).pipe(Effect.zipRight(Deferred.await(ends)))
  const fibers = yield* Effect.forEach(users, (user) =>
    Effect.forEach(Array(8 * cores).keys(), () =>
      Effect.fork(Effect.scoped(Effect.zipRight(slots.acquire(user), convert(user)))),
    ),
  )
  yield* TestClock.adjust("1 hour")
  return { fibers, ends, states: () => users.map((user) => running.get(user) ?? 0) }
})

effectTest(
  "8 conversions per core run at a time, 4 of one user; the others wait without a limit",
  Effect.gen(function* () {
    const { states, ends, fibers } = yield* convertAll
    expect(states()).toEqual([4 * cores, 4 * cores, 0])
    yield* Deferred.succeed(ends, undefined)
    yield* Effect.forEach(fibers.flat(), Fiber.join)
    expect(states()).toEqual([0, 0, 0])
  }),
)

effectTest(
  "an interrupted conversion frees its slot, and an interrupted wait takes none",
  Effect.gen(function* () {
    const { states, fibers } = yield* convertAll
    // Of the first user all, waiting ones first.
    for (const fiber of (fibers[0] ?? []).toReversed()) yield* Fiber.interrupt(fiber)
    yield* TestClock.adjust("1 millis")
    expect(states()).toEqual([0, 4 * cores, 4 * cores])
  }),
)
