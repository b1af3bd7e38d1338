/** Silero and the real recognizer, where their models are installed: segments are heard as well as the whole. */
import { describe, expect, test } from "bun:test"
import { Effect, Either, Logger, LogLevel, Option } from "effect"
import { wrongAnswer } from "../../src/providers/errors.ts"
import { makeEngine } from "../../src/providers/offline/engine/supervisor.ts"
import type { Transcriber } from "../../src/providers/transcriber.ts"
import { frameSamples } from "../../src/vad/frame.ts"
import { findSilero } from "../../src/vad/silero/engine.ts"
import { makeStreams } from "../../src/vad/streams.ts"
import { ffmpeg } from "../support/ffmpeg.ts"
import { makeFakeListener } from "../support/listener.ts"
import { hasLibriVox, library, readLibriVox, recognizer } from "../support/offline-models.ts"
import { wordErrorRate } from "../support/word-error-rate.ts"

const silero = await Effect.runPromise(findSilero(library))

/** All readings, one after the other. */
const readAll = async () => {
  const readings = await readLibriVox()
  const parts: Array<number> = []
  for (const { path } of readings) {
    const bytes = await ffmpeg(["-i", path, "-ac", "1", "-ar", "16000", "-f", "s16le", "pipe:1"])
    parts.push(...new Int16Array(bytes.slice().buffer))
  }
  const silence = Array.from({ length: 16_000 }, () => 0)
  return {
    said: readings.map(({ text }) => text).join(" "),
    samples: Int16Array.from([...parts, ...silence]),
  }
}

describe.skipIf(Either.isLeft(silero) || Option.isNone(recognizer) || !hasLibriVox)("segments", () => {
  test("are heard as well as the whole", () =>
    Effect.runPromise(
      Effect.gen(function* () {
        const { said, samples } = yield* Effect.promise(readAll)
        const open = yield* makeStreams(yield* makeEngine(yield* silero))
        const ears = yield* makeEngine((yield* recognizer).engine)
        const calls: Array<number> = []
        const transcriber: Transcriber["Type"] = {
          transcribe: ({ bytes, seconds }) => {
            calls.push(seconds)
            return ears.run(bytes).pipe(
              Effect.map((text) => ({ text: new TextDecoder().decode(text) })),
              Effect.catchAll(({ reason }) => wrongAnswer("stt", reason)),
            )
          },
          status: Effect.succeed("ok" as const),
          model: Effect.succeed("moonshine"),
        }
        const done = Promise.withResolvers<void>()
        let frames = 0
        const { hear, tags, transcripts } = yield* makeFakeListener({
          transcriber,
          voiceActivity: {
            open: (on) =>
              open((probability) => {
                on(probability)
                frames += 1
                if (frames === Math.floor(samples.length / frameSamples)) done.resolve()
              }),
            engine: Effect.succeed("silero"),
          },
        })
        hear(samples)
        yield* Effect.promise(() => done.promise)
        const heard = (yield* transcripts).join(" ")
        const whole = yield* ears.run(new Uint8Array(samples.buffer))
        expect(tags().at(-1)).toBe("Committed")
        expect(calls.length).toBeGreaterThan(1)
        expect(wordErrorRate(said, heard)).toBeLessThanOrEqual(
          1.2 * wordErrorRate(said, new TextDecoder().decode(whole)),
        )
      }).pipe(Effect.scoped, Logger.withMinimumLogLevel(LogLevel.None)),
    ))
})
