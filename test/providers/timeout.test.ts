import { describe, expect } from "bun:test"
import { Duration, Effect, Exit, Fiber, Option, TestClock } from "effect"
import { stillThinking, timedOut } from "../../src/providers/errors.ts"
import { withTimeout } from "../../src/providers/timeout.ts"
import { effectTest } from "../support/effect.ts"

const timeout = Duration.millis(80)
const failure = Exit.fail(timedOut("llm", timeout))

const thinkingTimeout = Duration.millis(200)
const ignore = () => undefined

/**
 * A stream with pauses in ms before its elements. Of those in `useless` it reports no progress, and of those in `alive` a
 * sign of life.
 */
const stream = (
  pauses: ReadonlyArray<number>,
  useless: ReadonlyArray<number> = [],
  alive: ReadonlyArray<number> = [],
  maxThinking = thinkingTimeout,
) =>
  Effect.gen(function* () {
    const state = { progress: 0, isInterrupted: false }
    const limited = withTimeout(
      "llm",
      timeout,
      maxThinking,
    )((onProgress, onLife) =>
      Effect.gen(function* () {
        for (const [index, pause] of pauses.entries()) {
          yield* Effect.sleep(pause)
          if (alive.includes(index)) onLife()
          else if (!useless.includes(index)) onProgress()
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
      limited(
        () => {
          state.progress += 1
        },
        ignore,
        ignore,
      ),
    )
    return { state, fiber, poll: Fiber.poll(fiber) }
  })

describe("the time-out of an attempt", () => {
  effectTest(
    "is renewed by every sign of life where these have no limit",
    Effect.gen(function* () {
      const refusals = [70, 70, 70, 70, 70]
      const { fiber } = yield* stream([...refusals, 70], [], [0, 1, 2, 3, 4], Duration.infinity)
      yield* TestClock.adjust("420 millis")
      expect(yield* fiber.await).toEqual(Exit.succeed("whole"))
      const silent = yield* stream([...refusals, 90], [], [0, 1, 2, 3, 4], Duration.infinity)
      yield* TestClock.adjust("450 millis")
      expect(yield* silent.fiber.await).toEqual(failure)
    }),
  )

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
    "does not end while there are signs of life, for as long as a model may think",
    Effect.gen(function* () {
      const { state, fiber } = yield* stream([70, 70, 50, 70], [], [0, 1])
      yield* TestClock.adjust("260 millis")
      expect(yield* fiber.await).toEqual(Exit.succeed("whole"))
      expect(state.progress).toBe(2)
    }),
  )

  effectTest(
    "ends signs of life without progress after the time for thinking, and for good",
    Effect.gen(function* () {
      const alive = Array.from({ length: 20 }, (_, index) => index)
      const { state, poll, fiber } = yield* stream(Array(20).fill(50), [], alive)
      yield* TestClock.adjust("199 millis")
      expect(yield* poll).toEqual(Option.none())
      yield* TestClock.adjust("1 millis")
      expect(yield* fiber.await).toEqual(Exit.fail(stillThinking("llm", thinkingTimeout)))
      expect(state).toEqual({ progress: 0, isInterrupted: true })
    }),
  )

  effectTest(
    "gives the model its time for thinking again after each progress",
    Effect.gen(function* () {
      const alive = [0, 1, 3, 4, 6, 7]
      const { state, fiber } = yield* stream(Array(9).fill(60), [], alive)
      yield* TestClock.adjust("540 millis")
      expect(yield* fiber.await).toEqual(Exit.succeed("whole"))
      expect(state.progress).toBe(3)
    }),
  )

  effectTest(
    "ends a silence after a sign of life",
    Effect.gen(function* () {
      const { fiber } = yield* stream([40, Number.POSITIVE_INFINITY], [], [0])
      yield* TestClock.adjust("130 millis")
      expect(yield* fiber.await).toEqual(failure)
    }),
  )

  /** Waits from 50 ms to `until` ms for this service, then is silent. */
  const pausing = (until: number) =>
    Effect.fork(
      withTimeout(
        "tts",
        timeout,
      )((_, __, onPause) =>
        Effect.sync(() => onPause(true)).pipe(
          Effect.delay(50),
          Effect.zipRight(Effect.sleep(until - 50)),
          Effect.zipRight(Effect.sync(() => onPause(false))),
          Effect.zipRight(Effect.never),
        ),
      )(ignore, ignore, ignore),
    )

  effectTest(
    "does not count a pause, and begins anew after it",
    Effect.gen(function* () {
      const fiber = yield* pausing(1000)
      yield* TestClock.adjust("1079 millis")
      expect(yield* Fiber.poll(fiber)).toEqual(Option.none())
      yield* TestClock.adjust("11 millis")
      expect(yield* fiber.await).toEqual(Exit.fail(timedOut("tts", timeout)))
    }),
  )

  effectTest(
    "passes a failure and an interruption on",
    Effect.gen(function* () {
      const error = timedOut("stt", timeout)
      const failing = withTimeout("llm", timeout)(() => Effect.fail(error))
      expect(yield* Effect.exit(failing(ignore, ignore, ignore))).toEqual(Exit.fail(error))
      const { state, fiber } = yield* stream([50])
      yield* TestClock.adjust("10 millis")
      expect(Exit.isInterrupted(yield* Fiber.interrupt(fiber))).toBe(true)
      expect(state.isInterrupted).toBe(true)
    }),
  )
})
