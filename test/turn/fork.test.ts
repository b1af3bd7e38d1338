import { describe, expect } from "bun:test"
import { Effect, Exit, Fiber, TestClock } from "effect"
import { runBoth, runUntil } from "../../src/turn/fork.ts"
import { effectTest } from "../support/effect.ts"

/** Never ends. Its finalizer takes a second. */
const endless = (log: Array<string>, name = "endless") =>
  Effect.never.pipe(
    Effect.onInterrupt(() =>
      Effect.zipRight(
        Effect.sleep("1 second"),
        Effect.sync(() => log.push(name)),
      ),
    ),
    // As in a stage: an interruption from outside must get in here, too.
    Effect.timeout("1 hour"),
  )

/** Runs the effect for two seconds of the test's time. */
const settle = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.fork(effect)
    yield* TestClock.adjust("2 seconds")
    return yield* Fiber.await(fiber)
  })

describe("runBoth", () => {
  effectTest(
    "returns both results",
    Effect.gen(function* () {
      const exit = yield* settle(runBoth(Effect.delay(Effect.succeed(1), "1 second"), Effect.succeed("two")))
      expect(exit).toEqual(Exit.succeed([1, "two"] as const))
    }),
  )

  for (const side of ["first", "second"] as const) {
    effectTest(
      `the failure of the ${side} ends the other, with its finalizers`,
      Effect.gen(function* () {
        const log: Array<string> = []
        const failing = Effect.fail("failed" as const)
        const both = side === "first" ? runBoth(failing, endless(log)) : runBoth(endless(log), failing)
        expect(yield* settle(both)).toEqual(Exit.fail("failed"))
        expect(log).toEqual(["endless"])
      }),
    )
  }

  effectTest(
    "an interruption ends both, with their finalizers",
    Effect.gen(function* () {
      const log: Array<string> = []
      const fiber = yield* Effect.fork(runBoth(endless(log, "one"), endless(log, "other")))
      yield* TestClock.adjust("1 second")
      const ending = yield* Effect.fork(Fiber.interrupt(fiber))
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(ending)
      expect(log.toSorted()).toEqual(["one", "other"])
    }),
  )
})

describe("runUntil", () => {
  effectTest(
    "returns what ends first, and ends the other with its finalizers",
    Effect.gen(function* () {
      const log: Array<string> = []
      expect(yield* settle(runUntil(endless(log), Effect.succeed("end")))).toEqual(Exit.succeed("end"))
      expect(yield* settle(runUntil(Effect.succeed("done"), endless(log)))).toEqual(Exit.succeed("done"))
      expect(yield* settle(runUntil(endless(log), Effect.fail("late")))).toEqual(Exit.fail("late"))
      expect(log).toHaveLength(3)
    }),
  )
})
