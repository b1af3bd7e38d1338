import { expect } from "bun:test"
import { Duration, Effect, Exit, Fiber, FiberId, TestClock } from "effect"
import { makeFairSemaphore } from "../../src/limits/fair-semaphore.ts"
import { effectTest } from "../support/effect.ts"

const none = Number.POSITIVE_INFINITY
const makeSemaphore = (total: number, perUser: number | "dynamic" = none) =>
  makeFairSemaphore({ total, perUser, queue: { total: none, perUser: none } }, Duration.seconds(2))

const empty = { taken: 0, waiting: 0, users: 0 }

effectTest(
  "an interrupted waiter leaves nothing, also in the moment of its admission",
  Effect.gen(function* () {
    for (const order of ["waits", "admitted first", "interrupted first"]) {
      const semaphore = makeSemaphore(10)
      expect(semaphore.tryTake("a", 10)).toBe(true)
      const waiting = yield* Effect.forEach(
        [
          Effect.uninterruptibleMask((restore) => semaphore.acquire("b", 3, restore)),
          semaphore.waitForCapacity("b", 3),
          semaphore.withPermits("c", 3, Effect.never, (limit) => limit),
        ],
        (effect) => Effect.fork(effect),
      )
      yield* TestClock.adjust("1 seconds")
      expect(semaphore.size()).toEqual({ taken: 10, waiting: 3, users: 3 })
      const interrupt = () => {
        for (const fiber of waiting) fiber.unsafeInterruptAsFork(FiberId.none)
      }
      const giveBack = () => semaphore.giveBack("a", 10)
      if (order === "admitted first") giveBack()
      interrupt()
      if (order === "interrupted first") giveBack()
      for (const fiber of waiting) expect(Exit.isInterrupted(yield* Fiber.await(fiber))).toBe(true)
      if (order === "waits") giveBack()
      expect(semaphore.size()).toEqual(empty)
    }
  }),
)

effectTest(
  "permits are given back however the effect ends",
  Effect.gen(function* () {
    const semaphore = makeSemaphore(10)
    const held = (effect: Effect.Effect<unknown, unknown>) =>
      semaphore.withPermits("a", 4, effect, (limit) => limit)
    yield* held(Effect.sync(() => expect(semaphore.size()).toEqual({ taken: 4, waiting: 0, users: 1 })))
    yield* Effect.exit(held(Effect.fail("failed")))
    yield* Effect.exit(held(Effect.die("died")))
    yield* Effect.exit(held(Effect.interrupt))
    expect(semaphore.size()).toEqual(empty)
  }),
)

effectTest(
  "large and small amounts start in turn, and time out with the limit that was in the way",
  Effect.gen(function* () {
    const semaphore = makeSemaphore(10, 6)
    const started: Array<string> = []
    const work = (name: string, user: string, permits: number, ms: number) =>
      Effect.fork(
        Effect.either(
          semaphore.withPermits(
            user,
            permits,
            Effect.delay(
              Effect.sync(() => started.push(name)),
              ms,
            ),
            (limit) => limit,
          ),
        ),
      )
    yield* work("first", "a", 6, 1000)
    yield* Effect.yieldNow()
    const own = yield* work("own", "a", 1, 0)
    const large = yield* work("large", "b", 5, 500)
    const small = yield* work("small", "c", 4, 0)
    yield* TestClock.adjust("999 millis")
    expect(started).toEqual([])
    yield* TestClock.adjust("501 millis")
    expect(started).toEqual(["first", "own", "small", "large"])
    expect(semaphore.size()).toEqual(empty)
    for (const fiber of [own, large, small]) expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "Right" })

    expect(semaphore.tryTake("a", 6)).toBe(true)
    const refused = [yield* work("own", "a", 1, 0), yield* work("large", "b", 5, 0)]
    yield* TestClock.adjust("2 seconds")
    expect(yield* Effect.forEach(refused, Fiber.join)).toMatchObject([{ left: "user" }, { left: "total" }])
  }),
)
