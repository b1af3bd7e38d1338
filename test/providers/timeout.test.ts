import { describe, expect } from "bun:test"
import { Duration, Effect, Exit, Fiber, Option, TestClock } from "effect"
import { timedOut } from "../../src/providers/errors.ts"
import { withTimeout } from "../../src/providers/timeout.ts"
import { effectTest } from "../support/effect.ts"

const timeout = Duration.millis(80)
const failure = Exit.fail(timedOut("llm", timeout))

/** A stream with pauses in ms before its elements; of those in `useless` it reports no progress. */
const stream = (pauses: ReadonlyArray<number>, useless: ReadonlyArray<number> = []) =>
  Effect.gen(function* () {
    const state = { progress: 0, isInterrupted: false }
    const limited = withTimeout(
      "llm",
      timeout,
    )((onProgress) =>
      Effect.gen(function* () {
        for (const [index, pause] of pauses.entries()) {
          yield* Effect.sleep(pause)
          if (!useless.includes(index)) onProgress()
        }
        return "whole"
      }).pipe(
        Effect.onInterrupt(() =>
          Effect.sync(() => {
            state.isInterrupted = true
          }),
        ),
      ),
    )
    const fiber = yield* Effect.fork(
      limited(() => {
        state.progress += 1
      }),
    )
    return { state, fiber, poll: Fiber.poll(fiber) }
  })

describe("the time-out of an attempt", () => {
  effectTest(
    "ends an answer that does not begin, exactly after the time-out",
    Effect.gen(function* () {
      const { state, poll, fiber } = yield* stream([Number.POSITIVE_INFINITY])
      yield* TestClock.adjust("79 millis")
      expect(yield* poll).toEqual(Option.none())
      yield* TestClock.adjust("1 millis")
      expect(yield* fiber.await).toEqual(failure)
      expect(state).toEqual({ progress: 0, isInterrupted: true })
    }),
  )

  effectTest(
    "ends a silence between two elements, an eighth late at most",
    Effect.gen(function* () {
      const { state, poll, fiber } = yield* stream([75, Number.POSITIVE_INFINITY])
      yield* TestClock.adjust("154 millis")
      expect(yield* poll).toEqual(Option.none())
      yield* TestClock.adjust("11 millis")
      expect(yield* fiber.await).toEqual(failure)
      expect(state).toEqual({ progress: 1, isInterrupted: true })
    }),
  )

  effectTest(
    "begins anew with each element: a long stream is whole",
    Effect.gen(function* () {
      const { state, fiber } = yield* stream(Array(20).fill(79))
      yield* TestClock.adjust("1580 millis")
      expect(yield* fiber.await).toEqual(Exit.succeed("whole"))
      expect(state).toEqual({ progress: 20, isInterrupted: false })
    }),
  )

  effectTest(
    "does not begin anew with an element that is not useful",
    Effect.gen(function* () {
      const { fiber } = yield* stream([40, 39, Number.POSITIVE_INFINITY], [0, 1])
      yield* TestClock.adjust("80 millis")
      expect(yield* fiber.await).toEqual(failure)
    }),
  )

  effectTest(
    "passes a failure and an interruption on",
    Effect.gen(function* () {
      const error = timedOut("stt", timeout)
      const failing = withTimeout("llm", timeout)(() => Effect.fail(error))
      expect(yield* Effect.exit(failing(() => undefined))).toEqual(Exit.fail(error))
      const { state, fiber } = yield* stream([50])
      yield* TestClock.adjust("10 millis")
      expect(Exit.isInterrupted(yield* Fiber.interrupt(fiber))).toBe(true)
      expect(state.isInterrupted).toBe(true)
    }),
  )
})
