import { describe, expect } from "bun:test"
import { Duration, Effect, Fiber, TestClock } from "effect"
import { thisMachine } from "../../src/capacity.ts"
import { makeDecodingPlaces } from "../../src/turn/decoding-places.ts"
import { flac } from "../support/audio.ts"
import { startDecoding } from "../support/decoding.ts"
import { effectTest } from "../support/effect.ts"
import { until } from "../support/turns.ts"

const patience = 30_000
const made = (make: () => Promise<Uint8Array>) => Effect.promise(make)
const waitFor = (look: () => boolean | Promise<boolean>, what: string) =>
  Effect.promise(() => until(look, what))

describe("places to decode in", () => {
  effectTest(
    "are not all of one user's, however many recordings of it are slow",
    Effect.gen(function* () {
      const { cores } = thisMachine()
      const decoding = yield* startDecoding({ FFMPEG_WARM: "0" })
      const inPlace = makeDecodingPlaces(Duration.seconds(60))
      const recording = yield* made(flac)
      decoding.hangs(true)
      const slow = Effect.replicateEffect(inPlace("slow", decoding.decode(recording)), 8 * cores, {
        concurrency: "unbounded",
      })
      const running = yield* Effect.fork(slow)
      yield* waitFor(() => decoding.starts().length === 2 * cores, "as many as one user may have")
      decoding.hangs(false)
      expect(yield* inPlace("other", decoding.decode(recording))).toHaveLength(64_000)
      expect(decoding.starts()).toHaveLength(2 * cores + 1)
      yield* Fiber.interrupt(running)
      expect(decoding.alive()).toEqual([])
    }),
    patience,
  )

  effectTest(
    "are waited for no longer than a turn has in all",
    Effect.gen(function* () {
      const { cores } = thisMachine()
      const decoding = yield* startDecoding({ FFMPEG_WARM: "0" })
      const inPlace = makeDecodingPlaces(Duration.seconds(5))
      const recording = yield* made(flac)
      decoding.hangs(true)
      const held = yield* Effect.fork(
        Effect.replicateEffect(inPlace("slow", decoding.decode(recording)), 2 * cores, {
          concurrency: "unbounded",
        }),
      )
      yield* waitFor(() => decoding.starts().length === 2 * cores, "as many as one user may have")
      const late = yield* Effect.fork(Effect.either(inPlace("slow", decoding.decode(recording))))
      yield* Effect.promise(() => Bun.sleep(100))
      yield* TestClock.adjust("5 seconds")
      expect(yield* Fiber.join(late)).toMatchObject({ left: { _tag: "Overloaded", retryAfter: 1 } })
      yield* Fiber.interrupt(held)
    }),
    patience,
  )
})
