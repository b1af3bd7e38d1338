import { expect } from "bun:test"
import { Effect, Fiber, TestClock } from "effect"
import { requireRate } from "../../src/http/chunks.ts"
import { effectTest } from "../support/effect.ts"

const KB = 1024

/** A body at a rate in bytes per second, for some seconds or forever. */
const body = (progress: { received: number }, bytes: (second: number) => number, seconds = Infinity) =>
  Effect.gen(function* () {
    for (let second = 0; second < seconds; second += 1) {
      yield* Effect.sleep("1 second")
      progress.received += bytes(second)
    }
    return "whole"
  })

const sent = (least: number, bytes: (second: number) => number, seconds?: number) =>
  Effect.suspend(() => {
    const progress = { received: 0 }
    return Effect.fork(Effect.either(requireRate(progress, least)(body(progress, bytes, seconds))))
  })

effectTest(
  "a body under the rate limit is ended after a window",
  Effect.gen(function* () {
    for (const bytes of [() => 0, () => KB - 1, (second: number) => (second === 0 ? 14 * KB : 0)]) {
      const fiber = yield* sent(KB, bytes)
      yield* TestClock.adjust("14999 millis")
      expect(yield* Fiber.poll(fiber)).toMatchObject({ _tag: "None" })
      yield* TestClock.adjust("1 millis")
      expect(yield* Fiber.join(fiber)).toMatchObject({ left: { _tag: "UploadTooSlow", least: KB } })
    }
  }),
)

effectTest(
  "bursts and short gaps pass",
  Effect.gen(function* () {
    const paces = [
      () => 30 * KB,
      () => KB + 100,
      (second: number) => (second % 10 === 0 ? 40 * KB : 0),
      (second: number) => (second >= 30 && second < 42 ? 0 : 30 * KB),
    ]
    for (const pace of paces) {
      const fiber = yield* sent(KB, pace, 60)
      yield* TestClock.adjust("60 seconds")
      expect(yield* Fiber.join(fiber)).toMatchObject({ right: "whole" })
    }
  }),
)

effectTest(
  "a body that stops is ended within two windows",
  Effect.gen(function* () {
    const fiber = yield* sent(KB, (second) => (second < 100 ? 30 * KB : 0))
    yield* TestClock.adjust("100 seconds")
    expect(yield* Fiber.poll(fiber)).toMatchObject({ _tag: "None" })
    yield* TestClock.adjust("30 seconds")
    expect(yield* Fiber.join(fiber)).toMatchObject({ left: { _tag: "UploadTooSlow" } })
  }),
)

effectTest(
  "a rate of 0 ends nothing",
  Effect.gen(function* () {
    const fiber = yield* sent(0, () => 0, 60)
    yield* TestClock.adjust("60 seconds")
    expect(yield* Fiber.join(fiber)).toMatchObject({ right: "whole" })
  }),
)
